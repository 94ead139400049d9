# One session, tenants by turns, with psycopg 3: see 020_pooling.pl. Arguments: tokens of two tenants, "prepare" or "plain".
import sys
import psycopg

tokens, threshold = sys.argv[1:3], 0 if sys.argv[3] == "prepare" else None
connection = psycopg.connect("", prepare_threshold=threshold)
connection.autocommit = True
connection.execute("SET statement_timeout = '93s'")
connection.autocommit = False


def one(sql):
    return connection.execute(sql).fetchone()[0]


def begin(tenant):
    connection.execute("SELECT multitenant.authenticate(%s)", (tokens[tenant],))


for turn in range(6):
    begin(turn % 2)
    print(one("SELECT note FROM invoice"), one("SHOW statement_timeout"))
    connection.commit()

begin(0)
for leave in ("SET statement_timeout = '5s'", "SET search_path = evil, public", "PREPARE left_here AS SELECT 1", "CREATE TEMP VIEW invoice AS SELECT 'planted' AS note"):
    connection.execute(leave, prepare=False)
connection.commit()
begin(1)
print(one("SELECT note FROM invoice"), one("SHOW statement_timeout"), one("SHOW search_path"),
      one("SELECT count(*) FROM pg_prepared_statements WHERE from_sql"))
connection.commit()

begin(0)
connection.execute("CREATE TEMP TABLE copy AS SELECT note FROM invoice", prepare=False)
try:
    connection.commit()
    print("committed")
except psycopg.Error as error:
    print(error.sqlstate, error.diag.message_hint is not None)
connection.rollback()
begin(1)
print(one("SELECT note FROM invoice"))
connection.commit()
