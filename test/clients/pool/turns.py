# Two clients of a pooler that share one session by turns, with psycopg 3: see 020_pooling.pl. Arguments: tokens of two
# tenants. Each client says at connecting what the pooler sets for it; the first leaves whatever it can.
import os
import sys
import psycopg

tokens = sys.argv[1:3]


def connect(zone, name):
    os.environ.update(PGTZ=zone, PGAPPNAME=name)
    return psycopg.connect("", prepare_threshold=None)


def one(connection, sql):
    return connection.execute(sql).fetchone()[0]


clients = [connect("Asia/Tokyo", "first"), connect("America/Lima", "second")]
for turn in range(4):
    client = clients[turn % 2]
    client.execute("SELECT multitenant.authenticate(%s)", (tokens[turn % 2],))
    print(one(client, "SELECT note FROM invoice"), one(client, "SHOW TimeZone"), one(client, "SHOW application_name"),
          one(client, "SHOW search_path"), one(client, "SELECT coalesce(current_setting('app.customer', true), '')"),
          one(client, "SELECT count(*) FROM pg_prepared_statements WHERE from_sql"))
    if turn % 2 == 0:
        for leave in ("SET search_path = evil, public", "SET app.customer = 'x'", "PREPARE left_here AS SELECT 1",
                      "CREATE TEMP TABLE invoice (id uuid, tenant_id uuid, note text)"):
            client.execute(leave)
    client.commit()
