# One session, tenants by turns, with psycopg2 or psycopg 3: see 020_pooling.pl. Arguments: the module's name, tokens of two
# tenants, "prepare" or "plain" (psycopg 3: whether the driver prepares every statement).
import importlib
import sys

module, tokens, mode = sys.argv[1], sys.argv[2:4], sys.argv[4]
driver = importlib.import_module(module)
is_3 = module == "psycopg"
connection = driver.connect("", **({"prepare_threshold": 0 if mode == "prepare" else None} if is_3 else {}))
cursor = connection.cursor()


def execute(sql, arguments=None):
    cursor.execute(sql, arguments)


# What is left behind is the client's SQL; psycopg 3 is not to prepare that.
def leave(sql):
    cursor.execute(sql, **({"prepare": False} if is_3 else {}))


def one(sql):
    execute(sql)
    return cursor.fetchone()[0]


def begin(tenant):
    execute("SELECT multitenant.authenticate(%s)", (tokens[tenant],))


connection.autocommit = True
execute("SET statement_timeout = '93s'")
connection.autocommit = False

for turn in range(6):
    begin(turn % 2)
    print(one("SELECT note FROM invoice"), one("SHOW statement_timeout"))
    connection.commit()

begin(0)
for sql in ("SET statement_timeout = '5s'", "SET search_path = evil, public", "PREPARE left_here AS SELECT 1",
            "CREATE TEMP VIEW invoice AS SELECT 'planted' AS note"):
    leave(sql)
connection.commit()
begin(1)
print(one("SELECT note FROM invoice"), one("SHOW statement_timeout"), one("SHOW search_path"),
      one("SELECT count(*) FROM pg_prepared_statements WHERE from_sql"))
connection.commit()

begin(0)
leave("CREATE TEMP TABLE copy AS SELECT note FROM invoice")
try:
    connection.commit()
    print("committed")
except driver.Error as error:
    print(error.diag.sqlstate, error.diag.message_hint is not None)
connection.rollback()
begin(1)
print(one("SELECT note FROM invoice"))
connection.commit()
