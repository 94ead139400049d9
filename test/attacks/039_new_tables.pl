# Attack O4 of docs/internals/attacks.md, new tables: roles that want a table without a class where each has to have one,
# or want to use protect() at the commit for what they may not do themselves.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($app, $owner) = qw(regress_mt_app regress_mt_owner);
my $acme = '00000000-0000-0000-0000-00000000000a';
my $mt = MtTest->new('new_tables', conf => 'max_prepared_transactions = 5');

$mt->superuser(<<"SQL");
GRANT CREATE ON DATABASE app TO $app;
GRANT CREATE ON SCHEMA public TO $app;
CREATE SCHEMA free AUTHORIZATION $app;
CREATE SCHEMA watched AUTHORIZATION $app;
SELECT multitenant.grant_access('$app', 'application', allow => '{references,triggers}');
SET ROLE $app;
CREATE TABLE watched.old (id int);
CREATE TABLE watched.parent (tenant_id uuid, n int) PARTITION BY LIST (n);
SELECT multitenant.protect('watched.parent');
RESET ROLE;
SELECT multitenant.set_new_tables('error', '{public,watched}');
SQL

# Refused, and afterwards no table without a class is there that was not there before.
sub closed
{
	my ($name, $sql, $state) = @_;
	my (undef, $err) = $mt->run($app, $sql);
	my $left = $mt->superuser("SELECT string_agg(table_name, ' ') FROM multitenant._undecided_tables() WHERE is_watched AND table_name <> 'watched.old'");
	my $column = $mt->superuser("SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass('watched.old') AND attname = 'tenant_id'");
	my $wanted = $state // 'MT010';
	ok($left eq '' && $column eq '0' && $err =~ /\b$wanted\b/, $name) or diag("left: $left $column\n$err");
	return;
}

closed('an application makes one', 'CREATE TABLE watched.t (tenant_id uuid, n int)');
closed('an application makes one later in its session', 'SELECT 1; CREATE TABLE watched.t (n int)');
closed('in a function of its own', 'CREATE FUNCTION free.f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CREATE TABLE watched.t (n int); END $$; SELECT free.f(); DROP FUNCTION free.f()');
closed('behind a savepoint that is rolled back', 'BEGIN; CREATE TABLE watched.t (n int); SAVEPOINT s; CREATE TABLE watched.u (n int); ROLLBACK TO s; COMMIT');
closed('behind a savepoint that is released', 'BEGIN; SAVEPOINT s; CREATE TABLE watched.t (n int); RELEASE s; SAVEPOINT r; SELECT 1/0; ROLLBACK TO r; COMMIT');
closed('behind an exception block', "DO \$\$ BEGIN CREATE TABLE watched.t (n int); BEGIN PERFORM 1/0; EXCEPTION WHEN OTHERS THEN NULL; END; END \$\$");
closed('moved from elsewhere', 'CREATE TABLE free.t (n int); ALTER TABLE free.t SET SCHEMA watched; DROP TABLE free.t');
closed('moved there and back and there', 'BEGIN; CREATE TABLE free.t (n int); COMMIT; BEGIN; ALTER TABLE free.t SET SCHEMA watched; ALTER TABLE watched.t RENAME TO u; COMMIT; DROP TABLE free.t');
closed('as a temporary table that stays', 'CREATE TEMP TABLE t (n int); ALTER TABLE t SET SCHEMA watched', '0A000');
closed('a schema renamed', 'CREATE SCHEMA more; CREATE TABLE more.t (n int); BEGIN; ALTER SCHEMA watched RENAME TO was; ALTER SCHEMA more RENAME TO watched; COMMIT; DROP SCHEMA more CASCADE');
closed('the tenant column added', 'ALTER TABLE watched.old ADD COLUMN tenant_id uuid');
closed('a column renamed to it', 'ALTER TABLE watched.old ADD COLUMN x uuid; ALTER TABLE watched.old RENAME x TO tenant_id; ALTER TABLE watched.old DROP COLUMN x');
closed('a partition that leaves its parent', 'SET client_min_messages = error; CREATE TABLE watched.p PARTITION OF watched.parent FOR VALUES IN (1); ALTER TABLE watched.parent DETACH PARTITION watched.p; DROP TABLE watched.p');
closed('a partition of a table elsewhere that leaves it', 'CREATE TABLE free.parent (n int) PARTITION BY LIST (n); CREATE TABLE watched.p PARTITION OF free.parent FOR VALUES IN (1); ALTER TABLE free.parent DETACH PARTITION watched.p; DROP TABLE free.parent');
closed('the same, partitioned itself', 'CREATE TABLE free.parent (n int) PARTITION BY LIST (n); CREATE TABLE watched.p PARTITION OF free.parent FOR VALUES IN (1) PARTITION BY LIST (n); ALTER TABLE free.parent DETACH PARTITION watched.p; DROP TABLE free.parent');
closed('the same, moved there as a partition', 'CREATE TABLE free.parent (n int) PARTITION BY LIST (n); CREATE TABLE free.p PARTITION OF free.parent FOR VALUES IN (1); ALTER TABLE free.p SET SCHEMA watched; ALTER TABLE free.parent DETACH PARTITION watched.p; DROP TABLE free.parent');
$mt->superuser("SET multitenant.guard_enabled = off; CREATE TABLE watched.p PARTITION OF watched.parent FOR VALUES IN (1)");
$mt->refused('postgres', 'SET multitenant.guard_enabled = off; ALTER TABLE watched.parent DETACH PARTITION watched.p', 'MT010', 'a partition leaves its parent while the guard is off');
$mt->superuser("DROP TABLE watched.p");
closed('with a label that says nothing', "BEGIN; CREATE TABLE watched.t (n int); SECURITY LABEL FOR multitenant ON TABLE watched.t IS 'exempt: mine'; COMMIT", '42501');
closed('by turning constraints around', 'BEGIN; SET CONSTRAINTS ALL DEFERRED; CREATE TABLE watched.t (n int); SET CONSTRAINTS ALL IMMEDIATE; COMMIT');
closed('by dropping the event trigger', 'DROP EVENT TRIGGER multitenant_after_ddl; CREATE TABLE watched.t (n int)', '42501');
closed('by the replica role', 'SET session_replication_role = replica; CREATE TABLE watched.t (n int)');
$mt->refused('postgres', "BEGIN; CREATE TABLE watched.t (n int); PREPARE TRANSACTION 't'", 'MT010', 'by a prepared transaction');
$mt->refused('postgres', "BEGIN; CREATE TABLE watched.m (n int); ALTER EXTENSION plpgsql ADD TABLE watched.m; COMMIT; ALTER EXTENSION plpgsql DROP TABLE watched.m", 'MT010', 'out of an extension');
$mt->superuser("BEGIN; ALTER EXTENSION plpgsql DROP TABLE watched.m; DROP TABLE watched.m; COMMIT");

# ---- auto: whose rights protect() has ----

$mt->superuser("SELECT multitenant.set_new_tables('auto', '{watched}')");
$mt->superuser(<<"SQL");
CREATE TABLE witness (who name, session name);
GRANT INSERT ON witness TO PUBLIC;
SQL
# An index expression is code of the table's owner; a superuser makes the table his or builds it in his transaction.
$mt->run($app, <<'SQL');
CREATE FUNCTION free.spy(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM free.note(); RETURN $1; END $$;
CREATE FUNCTION free.note() RETURNS void LANGUAGE sql VOLATILE AS 'INSERT INTO public.witness VALUES (current_user, session_user)';
CREATE TABLE free.bait (tenant_id uuid NOT NULL, n int, UNIQUE (n));
CREATE UNIQUE INDEX ON free.bait (free.spy(n));
SQL
$mt->superuser("INSERT INTO free.bait VALUES ('$acme', 1); TRUNCATE witness");
$mt->allowed('postgres', 'ALTER TABLE free.bait SET SCHEMA watched', undef, 'a superuser moves a table of another role');
is($mt->superuser("SELECT class || ' ' || is_intact FROM multitenant.tables WHERE table_name = 'watched.bait'"), 'tenant true', 'it is protected');
is($mt->superuser("SELECT count(*) FROM witness WHERE who = 'postgres'"), 0, 'and code of its owner never ran as the superuser');

# A foreign key has protect() change the table that it refers to: not for who may only refer to it.
$mt->superuser(<<"SQL");
CREATE SCHEMA theirs AUTHORIZATION $owner;
GRANT USAGE ON SCHEMA theirs TO $app;
SET ROLE $owner;
CREATE TABLE theirs.parent (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid NOT NULL);
SELECT multitenant.protect('theirs.parent');
DO \$\$ DECLARE c name; BEGIN
	FOR c IN SELECT conname FROM pg_constraint WHERE conrelid = 'theirs.parent'::regclass AND contype = 'u' LOOP
		EXECUTE format('ALTER TABLE theirs.parent DROP CONSTRAINT %I', c);
	END LOOP;
END \$\$;
GRANT REFERENCES, SELECT ON theirs.parent TO $app;
SQL
my $before = $mt->superuser("SELECT string_agg(pg_get_constraintdef(oid), ',' ORDER BY conname) FROM pg_constraint WHERE conrelid = 'theirs.parent'::regclass AND contype <> 'n'");
like($before, qr/^PRIMARY KEY \(id\)$/, 'a table that needs another key to be referred to');
my ($out, $err) = $mt->run($app, 'CREATE TABLE watched.child (id int PRIMARY KEY, tenant_id uuid NOT NULL, parent uuid REFERENCES theirs.parent)');
like($err, qr/42501/, 'a reference to it that would need one is refused') or diag("$out\n$err");
is($mt->superuser("SELECT string_agg(pg_get_constraintdef(oid), ',' ORDER BY conname) FROM pg_constraint WHERE conrelid = 'theirs.parent'::regclass AND contype <> 'n'"), $before,
	'a table of another owner is not changed by creating one that refers to it') or diag($err);

# Made by a superuser's definer function: its owner's table, its owner's rights.
$mt->run('postgres', <<"SQL");
CREATE FUNCTION free.make() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'CREATE TABLE watched.made (tenant_id uuid)';
GRANT EXECUTE ON FUNCTION free.make() TO PUBLIC;
SQL
$mt->allowed($app, 'SELECT free.make()', undef, 'a definer function makes a table');
is($mt->superuser("SELECT class FROM multitenant.tables WHERE table_name = 'watched.made'"), 'tenant', 'which is protected though the session is not its owner');
$mt->intact('every tenant still has its row');

done_testing();
