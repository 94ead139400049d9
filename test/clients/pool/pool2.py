# One session, tenants by turns, with psycopg2: see 020_pooling.pl. Arguments: tokens of two tenants.
import sys
import psycopg2

tokens = sys.argv[1:3]
connection = psycopg2.connect("")
connection.autocommit = True
connection.cursor().execute("SET statement_timeout = '93s'")
connection.autocommit = False
cursor = connection.cursor()


def one(sql):
    cursor.execute(sql)
    return cursor.fetchone()[0]


def begin(tenant):
    cursor.execute("SELECT multitenant.authenticate(%s)", (tokens[tenant],))


for turn in range(6):
    begin(turn % 2)
    print(one("SELECT note FROM invoice"), one("SHOW statement_timeout"))
    connection.commit()

begin(0)
cursor.execute("SET statement_timeout = '5s'; SET search_path = evil, public; PREPARE left_here AS SELECT 1; CREATE TEMP VIEW invoice AS SELECT 'planted' AS note")
connection.commit()
begin(1)
print(one("SELECT note FROM invoice"), one("SHOW statement_timeout"), one("SHOW search_path"),
      one("SELECT count(*) FROM pg_prepared_statements WHERE from_sql"))
connection.commit()

begin(0)
cursor.execute("CREATE TEMP TABLE copy AS SELECT note FROM invoice")
try:
    connection.commit()
    print("committed")
except psycopg2.Error as error:
    print(error.pgcode, error.diag.message_hint is not None)
connection.rollback()
begin(1)
print(one("SELECT note FROM invoice"))
connection.commit()
