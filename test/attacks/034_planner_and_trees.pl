# Ways around the guard through the planner, through statements inside the start of others, and through trees of tables.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use Test::More;

my $mt = MtTest->new('planner');
my ($app, $owner) = ('regress_mt_app', 'regress_mt_owner');
my ($acme, $beta) = map { "00000000-0000-0000-0000-00000000000$_" } 'a', 'b';
$mt->superuser('CREATE VIEW definer_view AS SELECT * FROM invoice; GRANT SELECT ON definer_view TO regress_mt_app; ANALYZE invoice');
# An owner who may make keys and triggers.
$mt->allow($owner, 'references', 'triggers');

# The planner calls operators of the statement's author on values from the statistics.
my $leakop = q{CREATE FUNCTION pg_temp.leakop(t text, u text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'LEAKOP %', t; RETURN false; END $$;
	CREATE OPERATOR pg_temp.=== (LEFTARG = text, RIGHTARG = text, PROCEDURE = pg_temp.leakop, RESTRICT = eqsel);
	};
$mt->refused($app, $leakop . q{SELECT count(*) FROM definer_view WHERE note OPERATOR(pg_temp.===) 'x'}, 'MT007', 'statistics behind a definer view');

# The same where row security has been switched off, wherever in the statement the table is; what is met twice is remembered.
$mt->superuser("SET ROLE $owner; CREATE TABLE opened (LIKE invoice); SELECT multitenant.protect('opened'); GRANT ALL ON opened TO $app;
	RESET ROLE; INSERT INTO opened SELECT i.* FROM invoice i, generate_series(1, 9); ANALYZE opened");
$mt->past_guard($owner, 'ALTER TABLE opened DISABLE ROW LEVEL SECURITY');
my $look = "SELECT count(*) FROM opened WHERE note OPERATOR(pg_temp.===) 'x'";
my %looks = ('itself' => $look, 'a subquery' => "SELECT * FROM ($look OFFSET 0) v", 'a condition' => "SELECT 1 WHERE ($look) >= 0",
	'WITH' => "WITH w AS MATERIALIZED ($look) SELECT * FROM w");
$mt->refused($app, $leakop . $looks{$_}, 'MT007', "statistics of an opened table, in $_") foreach sort keys %looks;
$mt->superuser('DROP TABLE opened');

# An oid constant is no relation: what drivers look up goes on in a transaction that has used its context.
$mt->allowed($app, $mt->begin('acme') . "SELECT note FROM invoice; SELECT typname FROM pg_type WHERE oid = 25; SELECT format_type(25, NULL); COMMIT",
	'text', 'looking up types by oid', tenant => 'acme');

# The start of a foreign key's statement evaluates a cast of its value, where FORCE is missing.
$mt->superuser("SET ROLE $owner; CREATE TYPE kind AS ENUM ('a');
	CREATE TABLE kp (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE kp1 PARTITION OF kp FOR VALUES FROM (0) TO (10); INSERT INTO kp VALUES (1);
	CREATE FUNCTION shout(t text) RETURNS int LANGUAGE plpgsql AS \$\$ BEGIN RAISE NOTICE '%', t; RETURN 1; END \$\$;
	CREATE FUNCTION cast_it(kind) RETURNS int STABLE LANGUAGE sql AS 'SELECT max(public.shout(note)) FROM public.invoice';
	CREATE CAST (kind AS int) WITH FUNCTION cast_it(kind) AS IMPLICIT;
	CREATE TABLE ft (k kind REFERENCES kp (id)); GRANT ALL ON ft TO $app");
foreach my $role ($app, $owner)
{
	$mt->refused($role, "SET plan_cache_mode = force_generic_plan; INSERT INTO ft VALUES ('a')", 'MT0(?:01|07)', "a cast in the start of a foreign key's statement by $role");
	my ($out, $err) = $mt->run($role, "SET plan_cache_mode = force_generic_plan; " . $mt->begin('acme') . "INSERT INTO ft VALUES ('a')");
	is(join(' ', MtTest::leaks("$out\n$err", 'acme')), '', "nor under a context, by $role");
}
$mt->superuser("SET ROLE $owner; CREATE FUNCTION rd() RETURNS text LANGUAGE plpgsql AS \$\$ BEGIN RETURN (SELECT string_agg(note, ',') FROM public.invoice); END \$\$;
	CREATE OR REPLACE FUNCTION cast_it(kind) RETURNS int STABLE LANGUAGE plpgsql AS \$\$ DECLARE t text;
		BEGIN t := public.rd(); RETURN 1; EXCEPTION WHEN OTHERS THEN RAISE NOTICE 'caught %', SQLSTATE; RETURN 1; END \$\$");
my ($out, $err) = $mt->run($owner, "SET plan_cache_mode = force_generic_plan; " . $mt->begin('acme') . "INSERT INTO ft VALUES ('a'); SELECT rd()");
is(join(' ', MtTest::leaks("$out\n$err", 'acme')), '', 'a plan made there is not kept');

# What looks like a probe compares for equality only.
$mt->superuser("SET ROLE $owner; CREATE TABLE par (id int PRIMARY KEY); CREATE TABLE chi (id int REFERENCES par ON DELETE CASCADE); INSERT INTO par VALUES (1); INSERT INTO chi VALUES (1);
	CREATE FUNCTION oracle(text) RETURNS int LANGUAGE sql AS 'SELECT 1 FROM ONLY public.invoice WHERE note ~~ \$1 FOR KEY SHARE';
	CREATE FUNCTION ask() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN IF oracle('SECRET-B%') = 1 THEN RAISE NOTICE 'there is SECRET-BETA'; END IF; RETURN OLD; END \$\$;
	CREATE TRIGGER ask BEFORE DELETE ON chi FOR EACH ROW EXECUTE FUNCTION ask()");
$mt->refused($owner, 'DELETE FROM par', 'MT007', 'a probe with LIKE');

# A parent that is protected by another column, and a partition that is.
$mt->superuser("SET ROLE $owner; CREATE TABLE evil (LIKE invoice, x uuid DEFAULT '$acme');
	CREATE POLICY multitenant_isolation ON evil AS RESTRICTIVE USING (x = multitenant.current_tenant());
	CREATE POLICY multitenant_access ON evil USING (x = multitenant.current_tenant());
	ALTER TABLE evil ENABLE ROW LEVEL SECURITY; ALTER TABLE evil FORCE ROW LEVEL SECURITY;
	ALTER TABLE invoice ADD COLUMN x uuid DEFAULT '$acme'; GRANT ALL ON evil TO $app");
$mt->refused($owner, 'ALTER TABLE invoice INHERIT evil', 'MT010', 'a parent on another column is not taken');
$mt->past_guard($owner, 'ALTER TABLE invoice INHERIT evil');
foreach my $role ($app, $owner)
{
	$mt->refused($role, $mt->begin('acme') . 'SELECT note FROM evil', 'MT007', "a parent on another column, by $role", tenant => 'acme');
}
$mt->superuser('ALTER TABLE invoice NO INHERIT evil; ALTER TABLE invoice DROP COLUMN x; DROP TABLE evil');
$mt->allowed($app, $mt->begin('acme') . 'SELECT note FROM invoice', 'SECRET-ACME', 'without it all is well', tenant => 'acme');
$mt->superuser("SET ROLE $owner; CREATE TABLE ledger (day int, tenant_id uuid NOT NULL, x uuid DEFAULT '$acme', note text) PARTITION BY RANGE (day);
	SELECT multitenant.protect('ledger'); CREATE TABLE ledger_1 PARTITION OF ledger FOR VALUES FROM (0) TO (10);
	CREATE POLICY multitenant_isolation ON ledger_1 AS RESTRICTIVE USING (x = multitenant.current_tenant());
	CREATE POLICY multitenant_access ON ledger_1 USING (x = multitenant.current_tenant());
	ALTER TABLE ledger_1 ENABLE ROW LEVEL SECURITY; ALTER TABLE ledger_1 FORCE ROW LEVEL SECURITY; GRANT ALL ON ledger, ledger_1 TO $app");
$mt->run($app, $mt->begin('beta') . "INSERT INTO ledger (day, note) VALUES (1, 'SECRET-BETA'); COMMIT");
$mt->refused($app, $mt->begin('acme') . 'SELECT note FROM ledger_1', 'MT007', 'a partition on another column', tenant => 'acme');

# A session that has seen a tree before it was changed far below.
$mt->superuser("SET ROLE $owner; CREATE TABLE g (LIKE invoice); CREATE TABLE m () INHERITS (g); GRANT ALL ON g, m TO $app");
my $session = $mt->session($app);
$session->query('SELECT count(*) FROM g') foreach 1 .. 3;
$mt->superuser("SET ROLE $owner; ALTER TABLE invoice INHERIT m");
my $seen = $session->query('SELECT string_agg(note, \' \') FROM g', verbose => 0) // '';
is(join(' ', MtTest::leaks($seen, undef)), '', 'the cache notices a table that comes in two levels below');
$session->quit;
$mt->superuser('ALTER TABLE invoice NO INHERIT m');

# A FETCH inside a function is a statement like any other.
$mt->allowed($app, $mt->begin('acme') . "DECLARE c CURSOR FOR SELECT note FROM invoice; DO \$\$ DECLARE c refcursor := 'c'; r record; BEGIN FETCH c INTO r; END \$\$; COMMIT",
	undef, 'FETCH in a function', tenant => 'acme');
$mt->refused($app, $mt->begin('acme') . "DECLARE c CURSOR FOR SELECT note FROM invoice; SELECT note FROM invoice; SELECT multitenant.reset_tenant();
	DO \$\$ DECLARE c refcursor := 'c'; r record; BEGIN FETCH c INTO r; RAISE NOTICE 'after %', r.note; END \$\$", 'MT001', 'FETCH in a function after a reset', tenant => 'acme');

# Dropping the tenant column and adding one of the same name: nobody is told to repair that.
$mt->superuser("SET ROLE $owner; CREATE TABLE dc (id int, tenant_id uuid, note text); INSERT INTO dc VALUES (1, '$acme', 'SECRET-ACME'), (2, '$beta', 'SECRET-BETA');
	SELECT multitenant.protect('dc'); GRANT ALL ON dc TO $app");
$mt->refused($owner, 'ALTER TABLE dc DROP COLUMN tenant_id CASCADE', 'MT010', 'the tenant column is not dropped');
$mt->past_guard($owner, "ALTER TABLE dc DROP COLUMN tenant_id CASCADE; ALTER TABLE dc ADD COLUMN tenant_id uuid NOT NULL DEFAULT '$acme'");
$mt->refused('postgres', "SELECT multitenant.repair('dc')", '55000', 'repair() of a column that was dropped');
$mt->refused($app, $mt->begin('acme') . 'SELECT note FROM dc', 'MT007', 'and it stays closed', tenant => 'acme');

# A foreign key takes the tenant from a row of a table where rows without one are everybody's; another writes shared data.
$mt->superuser("SET ROLE $owner; CREATE TABLE parent (id int, tenant_id uuid, PRIMARY KEY (tenant_id, id)); SELECT multitenant.protect('parent');
	CREATE TABLE template (id int, tenant_id uuid, par int, note text, FOREIGN KEY (tenant_id, par) REFERENCES parent (tenant_id, id) ON DELETE SET NULL);
	RESET ROLE; SELECT multitenant.shared_rows('template'); GRANT ALL ON parent, template TO $app");
$mt->refused($app, $mt->begin('beta') . "INSERT INTO parent (id) VALUES (1); INSERT INTO template (id, par, note) VALUES (1, 1, 'SECRET-BETA'); DELETE FROM parent; COMMIT",
	'MT007', 'ON DELETE SET NULL of the tenant', tenant => 'beta');
$mt->superuser("SET ROLE $owner; CREATE TABLE shared_child (id int, inv uuid REFERENCES invoice (id) ON DELETE CASCADE); INSERT INTO shared_child SELECT 1, id FROM (SELECT 1) s LEFT JOIN (SELECT NULL::uuid AS id) i ON true;
	RESET ROLE; UPDATE shared_child SET inv = (SELECT id FROM invoice WHERE tenant_id = '$acme'); SELECT multitenant.share('shared_child'); GRANT SELECT ON shared_child TO $app");
$mt->refused($app, $mt->begin('acme') . 'DELETE FROM invoice; COMMIT', 'MT010', 'a cascade into a shared table', tenant => 'acme');
$mt->intact('every tenant still has its row');

done_testing();
