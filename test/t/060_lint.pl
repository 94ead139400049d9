# lint() where regression tests do not get: without the library preloaded, after a restore, after the restore of one table,
# in a database with a thousand tables, and on a database with extensions.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $bad = q{SELECT level, cache_key FROM multitenant.lint(minimum_level => 'high') WHERE name <> 'server_minor_outdated'};
my $keys = 'SELECT cache_key FROM multitenant.lint()';

sub server
{
	my ($name, $preload) = @_;
	my $node = MtTest->new($name, preload => $preload, bare => 1)->node;
	$node->safe_psql('postgres', 'CREATE DATABASE app; CREATE ROLE regress_mt_owner; CREATE ROLE regress_mt_app LOGIN');
	$node->safe_psql('app', <<'SQL');
CREATE EXTENSION multitenant;
REVOKE TEMPORARY ON DATABASE app FROM PUBLIC;
SELECT multitenant.create_tenant('acme');
CREATE SCHEMA shop AUTHORIZATION regress_mt_owner;
GRANT USAGE ON SCHEMA shop TO regress_mt_app;
SET ROLE regress_mt_owner;
CREATE TABLE shop.orders (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid NOT NULL, item text);
CREATE TABLE shop.line (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid NOT NULL, order_id uuid REFERENCES shop.orders);
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA shop TO regress_mt_app;
RESET ROLE;
SELECT multitenant.protect_schema('shop', dry_run => false);
SQL
	return $node;
}

# ---- tiers ----

my $late = server('late', 'none');
is($late->safe_psql('app', $bad), 'critical|library_not_preloaded:server', 'without preloading lint() works and says so');
is($late->safe_psql('app', "GRANT TRUNCATE ON shop.orders TO regress_mt_app; SELECT level FROM multitenant.lint() WHERE name = 'truncate_privilege'"), 'high',
	'and what the guard would close is open');
$late->stop;

my $session = server('session', 'session');
is($session->safe_psql('app', $bad), '', 'preloaded by the session, a protected database is clean');
is($session->safe_psql('app', "SELECT level FROM multitenant.lint() WHERE name = 'library_not_preloaded'"), 'medium', 'and what is missing is said');
$session->safe_psql('app', "ALTER ROLE regress_mt_app SET session_preload_libraries = ''");
is($session->safe_psql('app', $bad), 'critical|guard_disabled:ROLE regress_mt_app:session_preload_libraries', 'a role that leaves the library out is found');
$session->safe_psql('app', $session->safe_psql('app', "SELECT remediation FROM multitenant.lint() WHERE name = 'guard_disabled'"));
is($session->safe_psql('app', $bad), '', 'and mended');
$session->append_conf('postgresql.conf', "max_prepared_transactions = 2\nmultitenant.superuser_access = allow\n");
$session->restart;
my $settings = q{SELECT level, name FROM multitenant.lint() WHERE name IN ('prepared_transactions_enabled', 'superuser_access_unrecorded') ORDER BY name};
is($session->safe_psql('app', $settings), "info|prepared_transactions_enabled\nlow|superuser_access_unrecorded", 'settings of the server');
$session->safe_psql('app', "SELECT multitenant.grant_access('regress_mt_app', 'application', allow => '{prepared_transactions}')");
like($session->safe_psql('app', $settings), qr/^high\|prepared_transactions_enabled/, 'are worse where an application may use them');
$session->stop;

my $node = server('shared', 'shared');
is($node->safe_psql('app', $bad), '', 'preloaded by the server, a protected database is clean');

# ---- what was given away ----

$node->safe_psql('app', q{SELECT multitenant.grant_access('regress_mt_app', 'application', allow => (SELECT array_agg(name) FROM multitenant._hardenings()))});
is($node->safe_psql('app', q{SELECT string_agg(h.name, ' ') FROM multitenant._hardenings() h WHERE NOT EXISTS (SELECT FROM multitenant.lint() l
	WHERE l.cache_key = 'hardening_allowed:regress_mt_app:' || h.name AND l.level IN ('high', 'medium'))}), '', 'each allowance is a finding');
$node->safe_psql('app', "SELECT multitenant.grant_access('regress_mt_app', 'application')");
$node->safe_psql('app', 'GRANT TRUNCATE ON multitenant.access TO regress_mt_app; GRANT EXECUTE ON FUNCTION multitenant._audit(text, uuid, text, text, jsonb) TO regress_mt_app');
is($node->safe_psql('app', $bad), <<'TEXT' =~ s/\n\z//r, 'grants on the extension are findings');
high|own_object_exposed:multitenant._audit(text,uuid,text,text,jsonb):regress_mt_app
high|own_object_exposed:multitenant.access:regress_mt_app
TEXT
$node->safe_psql('app', $_) foreach split(/\n/, $node->safe_psql('app', "SELECT remediation FROM multitenant.lint() WHERE name = 'own_object_exposed'"));
is($node->safe_psql('app', $bad), '', 'and taken back');
$node->safe_psql('app', 'GRANT TEMPORARY ON DATABASE app TO regress_mt_app');
my $residue = q{SELECT l.level FROM jsonb_populate_record(multitenant._lint_state(), '{"is_residue_removed": %s}') s CROSS JOIN LATERAL multitenant._lint_create(s) l WHERE l.lint = 'app_role_temp_privilege'};
is(join(' ', map { $node->safe_psql('app', sprintf($residue, $_)) } qw(true false)), 'medium high', 'temporary tables are as bad as what becomes of them');
$node->safe_psql('app', 'REVOKE TEMPORARY ON DATABASE app FROM regress_mt_app; CREATE INDEX line_order ON shop.line (order_id)');
my $hidden = q{SELECT l.level FROM jsonb_populate_record(multitenant._lint_state(), '{"open_channels": [%s], "are_indexes_hidden": %s}') s CROSS JOIN LATERAL multitenant._lint_indexes(s) l WHERE l.object = 'shop.line:line_order'};
is(join(' ', map { $node->safe_psql('app', sprintf($hidden, @$_)) } ([ '"explain"', 'false' ], [ '"explain"', 'true' ], [ '"statistics"', 'false' ], [ '"notify"', 'false' ])),
	'high low high low', 'an index is as bad as what shows its use');
$node->safe_psql('app', 'DROP INDEX shop.line_order');

# ---- what belongs to others ----

# Members of an extension, whatever they look like, are not the application's.
$node->safe_psql('app', <<'SQL');
CREATE SCHEMA ext;
CREATE TABLE ext.member (tenant_id uuid);
CREATE VIEW ext.member_view AS SELECT * FROM shop.orders;
CREATE FUNCTION ext.member() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM shop.orders';
GRANT CREATE ON SCHEMA ext TO PUBLIC;
SQL
my $others = "SELECT count(*) FROM multitenant.lint() WHERE cache_key ~ 'ext'";
is($node->safe_psql('app', $others), '4', 'a table, a view, a function and a schema are findings');
$node->safe_psql('app', 'ALTER EXTENSION plpgsql ADD TABLE ext.member; ALTER EXTENSION plpgsql ADD VIEW ext.member_view;
	ALTER EXTENSION plpgsql ADD FUNCTION ext.member(); ALTER EXTENSION plpgsql ADD SCHEMA ext');
is($node->safe_psql('app', $others), '0', 'unless an extension brought them');
$node->safe_psql('app', 'ALTER EXTENSION plpgsql DROP TABLE ext.member; ALTER EXTENSION plpgsql DROP VIEW ext.member_view;
	ALTER EXTENSION plpgsql DROP FUNCTION ext.member(); ALTER EXTENSION plpgsql DROP SCHEMA ext; DROP SCHEMA ext CASCADE');

SKIP:
{
	skip 'contrib is not installed', 2 if $node->safe_psql('app', "SELECT count(*) FROM pg_available_extensions WHERE name IN ('pageinspect', 'dblink')") < 2;
	$node->safe_psql('app', 'CREATE EXTENSION pageinspect; CREATE EXTENSION dblink;
		GRANT EXECUTE ON FUNCTION get_raw_page(text, bigint) TO regress_mt_app; GRANT EXECUTE ON FUNCTION dblink_connect_u(text) TO regress_mt_app');
	my $found = "SELECT string_agg(cache_key, ' ' ORDER BY cache_key) FROM multitenant.lint() WHERE name = 'raw_access_extension' AND level = 'high' AND cache_key ~ 'regress'";
	is($node->safe_psql('app', $found), 'raw_access_extension:dblink:regress_mt_app raw_access_extension:pageinspect:regress_mt_app', 'functions past the tables are found');
	$node->safe_psql('app', $_) foreach split(/\n/, $node->safe_psql('app', "SELECT remediation FROM multitenant.lint() WHERE name = 'raw_access_extension'"));
	is($node->safe_psql('app', $found), '', 'and closed');
}

# ---- a restored database ----

$node->safe_psql('app', q{GRANT TRUNCATE ON shop.orders TO regress_mt_app; SELECT multitenant.accept_finding('truncate_privilege:shop.orders:regress_mt_app', 'for a while', now() + interval '1 day')});
my $dump = $node->basedir . '/app.dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'app' ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE copy; REVOKE TEMPORARY ON DATABASE copy FROM PUBLIC');
$node->command_ok([ 'pg_restore', '-d', 'copy', $dump ], 'pg_restore');
is($node->safe_psql('copy', $keys), $node->safe_psql('app', $keys), 'findings have the same keys after a restore');
is($node->safe_psql('copy', "SELECT cache_key FROM multitenant.lint() WHERE metadata ? 'accepted'"), 'truncate_privilege:shop.orders:regress_mt_app', 'and stay accepted');

# ---- one table restored into a database where the extension is ----

$node->safe_psql('copy', 'SET multitenant.guard_enabled = off; DROP TABLE shop.orders CASCADE');
$node->run_log([ 'pg_restore', '-d', 'copy', '-t', 'orders', '-n', 'shop', $dump ]);
is($node->safe_psql('copy', 'SELECT relrowsecurity OR EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid) FROM pg_class c WHERE c.oid = \'shop.orders\'::regclass'), 'f',
	'pg_restore -t brings back a table without protection');
# Its label came along, so the guard refuses to read it.
is($node->safe_psql('copy', "SELECT level, cache_key FROM multitenant.lint() WHERE name = 'tenant_table_without_rls'"), 'high|tenant_table_without_rls:shop.orders', 'it is found');
$node->safe_psql('copy', $node->safe_psql('copy', "SELECT remediation FROM multitenant.lint() WHERE name = 'tenant_table_without_rls'"));
is($node->safe_psql('copy', "SELECT count(*) FROM multitenant.lint() WHERE name = 'tenant_table_without_rls'"), '0', 'mended');

# ---- many tables ----

$node->safe_psql('postgres', 'CREATE DATABASE many; REVOKE TEMPORARY ON DATABASE many FROM PUBLIC');
$node->safe_psql('many', <<'SQL');
CREATE EXTENSION multitenant;
CREATE SCHEMA many AUTHORIZATION regress_mt_owner;
DO $$ BEGIN FOR i IN 1 .. 1000 LOOP
	EXECUTE format('CREATE TABLE many.t%1$s (id uuid, tenant_id uuid NOT NULL DEFAULT multitenant.current_tenant(), a text, b serial, PRIMARY KEY (tenant_id, id), parent uuid, '
		'FOREIGN KEY (tenant_id, parent) REFERENCES many.t%1$s)', i);
	EXECUTE format('ALTER TABLE many.t%1$s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY, OWNER TO regress_mt_owner; CREATE INDEX ON many.t%1$s (a); '
		'CREATE POLICY multitenant_isolation ON many.t%1$s AS RESTRICTIVE USING (tenant_id = multitenant.current_tenant()); '
		'CREATE POLICY multitenant_access ON many.t%1$s USING (tenant_id = multitenant.current_tenant()); '
		'SECURITY LABEL FOR multitenant ON COLUMN many.t%1$s.tenant_id IS ''tenant_column''; SECURITY LABEL FOR multitenant ON TABLE many.t%1$s IS ''tenant''; '
		'CREATE VIEW many.v%1$s AS SELECT * FROM many.t%1$s; ALTER VIEW many.v%1$s OWNER TO regress_mt_owner; GRANT SELECT, TRUNCATE ON many.t%1$s TO regress_mt_app', i);
END LOOP; END $$;
SQL
is($node->safe_psql('many', "SELECT name, level, count(*) FROM multitenant.lint('many') GROUP BY 1, 2 ORDER BY 1"), <<'TEXT' =~ s/\n\z//r, 'a thousand tables, each with its findings');
global_identity_key|low|1000
index_without_tenant_prefix|low|1000
truncate_privilege|medium|1000
view_without_security_invoker|medium|1000
TEXT
is($node->safe_psql('many', $bad), '', 'and none of them bad');
$node->stop;
done_testing();
