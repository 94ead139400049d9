# unprotect() gives back exactly what protect() found: "pg_dump -s" before and after are the same byte for byte, for every
# kind of thing that protect() changes, with rows in the tables, and also after the database went through a dump and
# restore in between (labels, and with them what is to be undone, travel in the dump).
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('unprotect');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'multitenant'\n");
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE regress_mt_owner; CREATE ROLE regress_mt_app; CREATE DATABASE app');

# The schema of an application, without what differs from run to run.
sub dump_of
{
	my ($database, @options) = @_;
	my ($out, $err);
	run_log([ 'pg_dump', '-s', '-n', 'app', '-n', 'App "2"', @options, $node->connstr($database) ], '>', \$out, '2>', \$err)
	  or die "pg_dump: $err";
	$out =~ s/^\\(un)?restrict .*\n//mg;
	return $out;
}

$node->safe_psql('app', <<'SQL');
CREATE EXTENSION multitenant;
SELECT multitenant.create_tenant('a', number => 1, id => '00000000-0000-0000-0000-0000000000a1');
SELECT multitenant.create_tenant('b', number => 2, id => '00000000-0000-0000-0000-0000000000b1');
CREATE SCHEMA app AUTHORIZATION regress_mt_owner;
CREATE SCHEMA "App ""2""" AUTHORIZATION regress_mt_owner;
SET ROLE regress_mt_owner;
SET search_path = app;
CREATE TABLE customer (
	id serial PRIMARY KEY, tenant_id uuid, email text, code text,
	CONSTRAINT customer_email UNIQUE (email) INCLUDE (code) WITH (fillfactor = 70),
	UNIQUE NULLS NOT DISTINCT (code) DEFERRABLE INITIALLY DEFERRED);
CREATE UNIQUE INDEX customer_lower ON customer (lower(email) text_pattern_ops DESC) WHERE code IS NOT NULL;
COMMENT ON TABLE customer IS 'of the application';
CREATE TABLE product (sku text PRIMARY KEY, tenant_id uuid DEFAULT '00000000-0000-0000-0000-0000000000a1', price numeric);
CREATE FUNCTION default_tenant() RETURNS uuid LANGUAGE sql AS 'SELECT ''00000000-0000-0000-0000-0000000000a1''::uuid';
CREATE TABLE orders (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid NOT NULL DEFAULT app.default_tenant(),
	customer_id int REFERENCES customer ON DELETE SET NULL,
	sku text CONSTRAINT sku_fk REFERENCES product (sku) MATCH FULL ON DELETE SET NULL (sku) ON UPDATE CASCADE
		DEFERRABLE INITIALLY DEFERRED,
	parent uuid REFERENCES orders ON DELETE CASCADE,
	seller int REFERENCES customer ON UPDATE SET NULL ON DELETE SET DEFAULT);
ALTER TABLE orders ADD CONSTRAINT unchecked FOREIGN KEY (seller) REFERENCES customer NOT VALID;
CREATE TABLE line (order_id uuid REFERENCES orders, n int, tenant_id uuid, PRIMARY KEY (order_id, n));
ALTER TABLE line ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON line USING (n > 0);
CREATE TABLE place (x int, y int, tenant_id uuid, PRIMARY KEY (x, y));
CREATE TABLE visit (tenant_id uuid, x int, y int, FOREIGN KEY (x, y) REFERENCES place MATCH FULL);
CREATE TABLE event (id bigint, at date NOT NULL, tenant_id uuid, what text, CONSTRAINT event_pk PRIMARY KEY (id, at), UNIQUE (what, at))
	PARTITION BY RANGE (at);
CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE event_2 PARTITION OF event FOR VALUES FROM ('2021-01-01') TO ('2022-01-01') PARTITION BY RANGE (at);
CREATE TABLE event_2a PARTITION OF event_2 FOR VALUES FROM ('2021-01-01') TO ('2021-07-01');
ALTER TABLE event_2a ALTER tenant_id SET NOT NULL;
ALTER TABLE event_1 ALTER tenant_id SET DEFAULT gen_random_uuid(), ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER INDEX event_1_what_at_key RENAME TO "Its own Name";
CREATE TABLE mention (event_id bigint, at date, tenant_id uuid, FOREIGN KEY (event_id, at) REFERENCES event ON DELETE CASCADE);
CREATE TABLE base (id int, tenant_id uuid);
CREATE TABLE derived (x int) INHERITS (base);
CREATE VIEW view_1 WITH (security_invoker = false, security_barrier = true) AS SELECT * FROM orders;
CREATE VIEW view_2 AS SELECT count(*) FROM view_1;
CREATE VIEW view_3 WITH (security_invoker = on) AS SELECT * FROM product;
CREATE TABLE country (code text PRIMARY KEY);
CREATE TABLE template (tenant_id int, name text);
CREATE TABLE "App ""2"""."Odd ""Name" ("Te nant" text, id int PRIMARY KEY, other int UNIQUE);
GRANT SELECT ON customer, view_1 TO regress_mt_app;

INSERT INTO customer (tenant_id, email, code) VALUES ('00000000-0000-0000-0000-0000000000a1', 'x', 'x'), ('00000000-0000-0000-0000-0000000000b1', 'y', 'y');
INSERT INTO product VALUES ('s', DEFAULT, 1);
INSERT INTO orders (customer_id, sku, seller) VALUES (1, 's', 1);
INSERT INTO place VALUES (1, 1, '00000000-0000-0000-0000-0000000000a1');
INSERT INTO visit VALUES ('00000000-0000-0000-0000-0000000000a1', 1, 1), ('00000000-0000-0000-0000-0000000000b1', NULL, NULL);
INSERT INTO event VALUES (1, '2020-02-02', '00000000-0000-0000-0000-0000000000a1', 'w'), (1, '2021-02-02', '00000000-0000-0000-0000-0000000000b1', 'w');
INSERT INTO mention VALUES (1, '2020-02-02', '00000000-0000-0000-0000-0000000000a1');
INSERT INTO "App ""2"""."Odd ""Name" VALUES ('a', 1, 1);
SQL

my @tables = ('app.customer', 'app.product', 'app.orders', 'app.line', 'app.place', 'app.visit', 'app.event', 'app.mention', 'app.base');
my $odd = q{'"App ""2"""."Odd ""Name"', 'Te nant'};
my $protect_all = 'SET ROLE regress_mt_owner; ' . join(' ', map { "SELECT multitenant.protect('$_');" } @tables) . " SELECT multitenant.protect($odd);"
  . q{ RESET ROLE; SELECT multitenant.share('app.country'); SELECT multitenant.shared_rows('app.template');};
my $before = dump_of('app');

# in one order
$node->safe_psql('app', $protect_all);
my $protected = dump_of('app');
isnt($protected, $before, 'protecting changes the schema');
is($node->safe_psql('app', 'SELECT count(*), bool_and(is_intact) FROM multitenant.tables'), '16|t', 'all are protected and intact');
$node->safe_psql('app', 'SELECT multitenant.unprotect_all()');
is(dump_of('app'), $before, 'unprotect_all() gives back the same schema');

# in the other order, and as one schema
$node->safe_psql('app', 'SET ROLE regress_mt_owner; ' . join(' ', map { "SELECT multitenant.protect('$_');" } reverse @tables));
$node->safe_psql('app', 'SELECT multitenant.unprotect_all()');
is(dump_of('app'), $before, 'also when children were protected before their parents');
$node->safe_psql('app', q{SET ROLE regress_mt_owner; ALTER TABLE app.template ALTER tenant_id TYPE int; SELECT multitenant.protect_schema('app', dry_run => false)});
$node->safe_psql('app', 'SELECT multitenant.unprotect_all()');
is(dump_of('app'), $before, 'also after protect_schema()');

# one table at a time, in any order
foreach my $order ([@tables], [ reverse @tables ])
{
	$node->safe_psql('app', $protect_all);
	foreach my $table (@$order)
	{
		my ($ret, $out, $err) = $node->psql('app', "SELECT multitenant.unprotect('$table')");
		is($ret, 0, "unprotect($table)") or diag $err;
	}
	$node->safe_psql('app', 'SELECT multitenant.unprotect_all()');
	is(dump_of('app'), $before, "one by one, $order->[0] first");
}

# a table that needs its neighbour's key
# through dump and restore
$node->safe_psql('app', $protect_all);
my $file = $PostgreSQL::Test::Utils::tmp_check . '/app.dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $file, $node->connstr('app') ], 'dump of the protected database');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('restored'), $file ], 'restore');
is($node->safe_psql('restored', 'SELECT count(*), bool_and(is_intact) FROM multitenant.tables'), '16|t', 'restored tables are protected and intact');
is(dump_of('restored'), dump_of('app'), 'the restored schema is the same');
$node->safe_psql('restored', 'SELECT multitenant.unprotect_all()');
is(dump_of('restored'), $before, 'unprotect_all() after the restore gives back the same schema');
is($node->safe_psql('restored', q{SELECT count(*) FROM pg_seclabel WHERE provider = 'multitenant'}), '0', 'no labels are left');
$node->safe_psql('restored', 'DROP EXTENSION multitenant');
is(dump_of('restored'), $before, 'and dropping the extension changes nothing');

# names that changed since then are skipped, with a NOTICE
my $renamed = 'SELECT multitenant.protect($$app.customer$$); SELECT multitenant.protect($$app.orders$$);';
$node->safe_psql('app', 'SELECT multitenant.unprotect_all()');
$node->safe_psql('app', $renamed . q{
	ALTER TABLE app.customer RENAME CONSTRAINT customer_email TO renamed_email;
	ALTER TABLE app.orders RENAME CONSTRAINT orders_customer_id_fkey TO renamed_fk;
	ALTER TABLE app.orders RENAME tenant_id TO org;
	ALTER VIEW app.view_2 RENAME TO view_two;});
my ($ret, $out, $err) = $node->psql('app', 'SELECT multitenant.unprotect_all()');
is($ret, 0, 'unprotect_all() after renames') or diag $err;
like($err, qr/NOTICE:.*"customer_email"/, 'says what it did not find');
like($err, qr/NOTICE:.*"view_2"/, 'also of a view');
is($node->safe_psql('app', q{SELECT count(*) FROM multitenant.tables}), '0', 'nothing is protected any more');
is($node->safe_psql('app', q{SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'orders_parent_fkey'}),
	'FOREIGN KEY (parent) REFERENCES app.orders(id) ON DELETE CASCADE', 'the rest is given back');
is($node->safe_psql('app', q{SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 'app.orders'::regclass AND adnum = 2}),
	'app.default_tenant()', 'under the new name of the column, too');

done_testing();
