# The owner of a table against those who administer it. A table brings code of its owner along (index expressions,
# checks, defaults, triggers) and labels that its owner has written; superusers and migrators call the functions of the
# extension on it. None of that code may ever run with their rights, and none of those labels may keep them, or other
# owners, from their work. And the owner may not take his table's protection away by moving or preceding its policies.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use Test::More;

my ($app, $owner, $migrator) = qw(regress_mt_app regress_mt_owner regress_mt_migrator);
my $mt = MtTest->new('hostile_owner');
my $acme = '00000000-0000-0000-0000-00000000000a';
my $beta = '00000000-0000-0000-0000-00000000000b';

# The owner's code: every function notes as whom it ran (in a sequence for each kind of user: sequences survive errors)
# and takes superuser for the owner if it can.
$mt->superuser(<<'SQL');
CREATE SCHEMA lair AUTHORIZATION regress_mt_owner;
GRANT regress_mt_owner TO regress_mt_migrator;
SET ROLE regress_mt_owner;
CREATE SEQUENCE lair.ran_as_owner;
CREATE SEQUENCE lair.ran_as_other;
GRANT ALL ON ALL SEQUENCES IN SCHEMA lair TO PUBLIC;
GRANT USAGE ON SCHEMA lair TO PUBLIC;
CREATE FUNCTION lair.attack() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF current_user = 'regress_mt_owner' THEN
		PERFORM nextval('lair.ran_as_owner');
		BEGIN
			RESET ROLE;
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
		BEGIN
			RESET SESSION AUTHORIZATION;
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
	END IF;
	IF current_user <> 'regress_mt_owner' THEN
		PERFORM nextval('lair.ran_as_other');
	END IF;
	BEGIN
		ALTER ROLE regress_mt_owner SUPERUSER;
	EXCEPTION WHEN OTHERS THEN NULL;
	END;
END $$;
CREATE FUNCTION lair.boom(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM lair.attack(); RETURN $1; END $$;
CREATE FUNCTION lair.boom_uuid() RETURNS uuid LANGUAGE plpgsql STABLE AS
	$$ BEGIN PERFORM lair.attack(); RETURN '00000000-0000-0000-0000-00000000000a'::uuid; END $$;
CREATE FUNCTION lair.boom_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM lair.attack(); RETURN NEW; END $$;
SQL

# Runs SQL as a role of its own session, so that there is nothing to RESET to; dies if it fails.
sub as_role
{
	my ($role, $sql) = @_;
	my ($out, $err) = $mt->run($role, $sql);
	die "$sql\n$err" if $err =~ /ERROR|FATAL/;
	return $out;
}

# A new set of hostile tables: a parent, a child, a grandchild without a tenant, a partitioned table, a view.
sub new_tables
{
	$mt->superuser('SELECT multitenant.unprotect_all(); DROP SCHEMA IF EXISTS den CASCADE; CREATE SCHEMA den AUTHORIZATION regress_mt_owner');
	as_role($owner, <<"SQL");
CREATE TABLE den.parent (id int PRIMARY KEY, tenant_id uuid DEFAULT lair.boom_uuid(), x int, code text UNIQUE, CHECK (lair.boom(x) = x));
CREATE TABLE den.child (id int PRIMARY KEY, tenant_id uuid, x int, parent_id int REFERENCES den.parent ON DELETE CASCADE);
CREATE TABLE den.grandchild (id int PRIMARY KEY, x int, child_id int REFERENCES den.child);
CREATE TABLE den.part (id int, tenant_id uuid, x int) PARTITION BY LIST (id);
CREATE TABLE den.part_1 PARTITION OF den.part (CHECK (lair.boom(x) = x)) FOR VALUES IN (1);
CREATE VIEW den.sight AS SELECT lair.boom(x) FROM den.parent;
INSERT INTO den.parent (id, tenant_id, x) VALUES (1, '$acme', 1), (2, '$beta', 2);
INSERT INTO den.child (id, tenant_id, x, parent_id) VALUES (1, '$acme', 1, 1), (2, '$beta', 2, 2);
INSERT INTO den.grandchild (id, x, child_id) VALUES (1, 1, 1), (2, 2, 2);
INSERT INTO den.part VALUES (1, '$acme', 1);
CREATE INDEX ON den.parent ((x + lair.boom(1)));
CREATE INDEX ON den.child ((x + lair.boom(1))) WHERE lair.boom(1) = 1;
CREATE INDEX ON den.grandchild ((x + lair.boom(1)));
CREATE INDEX ON den.part ((x + lair.boom(1)));
CREATE UNIQUE INDEX by_boom ON den.parent (lair.boom(x));
CREATE STATISTICS den.stat ON (x + lair.boom(1)), id FROM den.parent;
CREATE TRIGGER boom BEFORE UPDATE ON den.grandchild FOR EACH ROW EXECUTE FUNCTION lair.boom_trigger();
SQL
	$mt->superuser("SELECT setval('lair.ran_as_owner', 1, false), setval('lair.ran_as_other', 1, false)");
	return;
}

# After an attack: the owner has gained nothing, his code has not run as anybody else, and (runs => 1) it did run.
sub owner_gained_nothing
{
	my ($name, %options) = @_;
	is($mt->superuser("SELECT rolsuper OR rolbypassrls OR rolcreaterole FROM pg_roles WHERE rolname = '$owner'"), 'f', "$name: the owner gained no rights");
	is($mt->superuser('SELECT is_called FROM lair.ran_as_other'), 'f', "$name: the owner's code ran as nobody else");
	is($mt->superuser('SELECT is_called FROM lair.ran_as_owner'), 't', "$name: it did run") if $options{runs};
	return;
}

subtest 'the trap works: outside the extension such a table does harm' => sub {
	new_tables();
	$mt->superuser('BEGIN; SELECT count(*) FROM den.parent; ROLLBACK');
	is($mt->superuser('SELECT is_called FROM lair.ran_as_other'), 't', 'a plain SELECT runs the code as its caller');
	is($mt->superuser("SELECT rolsuper FROM pg_roles WHERE rolname = '$owner'"), 'f', 'and was rolled back');
};

# [name, SQL, what the owner does before, does the owner's code run, what he has done past the guard]
my @calls = (
	[ 'protect, dry run', 'SELECT count(*) FROM multitenant.protect($$den.parent$$, dry_run => true)', '', 1 ],
	[ 'protect', 'SELECT count(*) FROM multitenant.protect($$den.parent$$); SELECT count(*) FROM multitenant.protect($$den.child$$)', '', 1 ],
	[ 'protect the child first', 'SELECT count(*) FROM multitenant.protect($$den.child$$); SELECT count(*) FROM multitenant.protect($$den.parent$$)', '', 1 ],
	[ 'protect a partitioned table', 'SELECT count(*) FROM multitenant.protect($$den.part$$)', '', 1 ],
	[ 'protect_schema, dry run', 'SELECT count(*) FROM multitenant.protect_schema($$den$$)', '', 1 ],
	[ 'protect_schema', 'SELECT count(*) FROM multitenant.protect_schema($$den$$, dry_run => false)', '', 1 ],
	[ 'plan', 'SELECT count(*) FROM multitenant.plan($$den$$)', '', 0 ],
	[ 'shared_rows', 'SELECT multitenant.shared_rows($$den.parent$$)', '', 1 ],
	[ 'add_tenant_column', 'CALL multitenant.add_tenant_column($$den.grandchild$$)', '', 1 ],
	[ 'repair', 'SELECT count(*) FROM multitenant.repair($$den.parent$$)',
		'SELECT count(*) FROM multitenant.protect($$den.parent$$)', 0, 'ALTER TABLE den.parent DISABLE ROW LEVEL SECURITY, ALTER tenant_id DROP NOT NULL;
		DROP POLICY multitenant_access ON den.parent; DROP INDEX den.by_boom' ],
	[ 'pause_protection', 'SELECT multitenant.pause_protection($$den.parent$$, $$test$$, now() + interval $$1 hour$$); SELECT count(*) FROM multitenant.repair($$den.parent$$)',
		'SELECT count(*) FROM multitenant.protect($$den.parent$$)', 0 ],
	[ 'unprotect', 'SELECT multitenant.unprotect($$den.parent$$); SELECT multitenant.unprotect($$den.child$$)',
		'SELECT count(*) FROM multitenant.protect_schema($$den$$, dry_run => false)', 1 ],
	[ 'share', 'SELECT multitenant.share($$den.grandchild$$); SELECT multitenant.unprotect($$den.grandchild$$)', '', 0 ],
	[ 'the views', 'SELECT count(*) FROM multitenant.tables; SELECT count(*) FROM multitenant.status()',
		'SELECT count(*) FROM multitenant.protect_schema($$den$$, dry_run => false)', 0 ]);
foreach my $role ('postgres', $migrator)
{
	foreach my $call (@calls)
	{
		my ($name, $sql, $before, $runs, $past) = @$call;
		new_tables();
		as_role($owner, "$before; SELECT setval('lair.ran_as_owner', 1, false)") if $before;
		$mt->past_guard($owner, $past) if $past;
		$mt->allowed($role, $sql, undef, "$role: $name works");
		owner_gained_nothing("$role: $name", runs => $runs);
	}
	new_tables();
	as_role($owner, 'SELECT count(*) FROM multitenant.protect_schema($$den$$, dry_run => false)');
	$mt->superuser("SELECT setval('lair.ran_as_owner', 1, false)");
	# the migrator owns nothing of lair and den but through the owner's role, and so also invoice
	$mt->allowed($role, 'SELECT multitenant.unprotect_all()', undef, "$role: unprotect_all works");
	owner_gained_nothing("$role: unprotect_all", runs => 1);
	is($mt->superuser('SELECT count(*) FROM multitenant.tables'), '0', "$role: and gives everything back");
	is($mt->superuser(q{SELECT count(*) FROM pg_seclabel WHERE provider = 'multitenant'}), '0', "$role: no label is left, of columns neither");
}

subtest 'a superuser who has set the owner\'s role' => sub {
	foreach my $call ('protect($$den.parent$$, dry_run => true)', 'protect($$den.parent$$)', 'protect_schema($$den$$, dry_run => false)')
	{
		new_tables();
		$mt->allowed('postgres', "SET ROLE $owner; SELECT count(*) FROM multitenant.$call", undef, "$call works");
		owner_gained_nothing($call, runs => 1);
	}
};

subtest 'a superuser\'s table that refers to a hostile one' => sub {
	new_tables();
	$mt->superuser("CREATE TABLE public.chief (id int, tenant_id uuid, parent_id int)");
	as_role($owner, "GRANT ALL ON den.parent TO PUBLIC");
	as_role($owner, "ALTER TABLE den.parent DROP CONSTRAINT parent_x_check; DROP INDEX den.by_boom, den.parent_expr_idx; DROP STATISTICS den.stat");
	$mt->superuser('ALTER TABLE public.chief ADD FOREIGN KEY (parent_id) REFERENCES den.parent');
	as_role($owner, "CREATE INDEX ON den.parent ((x + lair.boom(1)))");
	$mt->superuser("SELECT setval('lair.ran_as_other', 1, false)");
	$mt->superuser('SELECT count(*) FROM multitenant.protect($$den.parent$$)');
	$mt->refused('postgres', 'SELECT * FROM multitenant.protect($$public.chief$$)', '42501', 'the key between them is not made');
	$mt->refused('postgres', 'CALL multitenant.add_tenant_column($$public.chief$$)', '55000', 'nor is its column filled from a protected table');
	$mt->superuser('SELECT multitenant.unprotect($$den.parent$$)');
	$mt->refused('postgres', 'CALL multitenant.add_tenant_column($$public.chief$$)', '42501', 'nor from an unprotected one');
	owner_gained_nothing('a key to a hostile table');
	$mt->superuser('DROP TABLE public.chief');
};

subtest 'a tree of several owners' => sub {
	new_tables();
	$mt->superuser('CREATE TABLE den.trunk (id int, tenant_id uuid) PARTITION BY LIST (id); CREATE TABLE den.leaf PARTITION OF den.trunk FOR VALUES IN (1)');
	$mt->superuser("ALTER TABLE den.leaf OWNER TO $owner");
	as_role($owner, "CREATE INDEX ON den.leaf ((id + lair.boom(1)))");
	$mt->superuser("SELECT setval('lair.ran_as_other', 1, false)");
	$mt->refused('postgres', "SELECT * FROM multitenant.$_(\$\$den.trunk\$\$)", '42501', "$_ refuses it") foreach qw(protect shared_rows repair);
	owner_gained_nothing('a tree of several owners');
};

subtest 'the helpers lend nobody anything' => sub {
	new_tables();
	foreach my $role ($app, 'regress_mt_provisioner')
	{
		$mt->refused($role, "SELECT multitenant._run_as_owner('den.parent', 'ALTER TABLE den.parent ADD y int')", '42501', "$role: a command as somebody else");
		$mt->refused($role, "SELECT multitenant._run_as_owner(NULL, 'ALTER TABLE den.parent ADD y int')", '42501', "$role: the same without a table");
		$mt->refused($role, "SELECT multitenant._query_as_owner('invoice', 'SELECT note FROM invoice')", '42501', "$role: a query as somebody else");
	}
	as_role($owner, "SELECT count(*) FROM multitenant.protect('invoice')");
	$mt->refused($owner, "SELECT multitenant._query_as_owner('invoice', 'SELECT note FROM public.invoice LIMIT 1')", 'MT001', 'the owner reads nothing more than without it');
	$mt->refused($migrator, "SELECT multitenant._query_as_owner('invoice', 'SELECT note FROM public.invoice LIMIT 1')", 'MT001', 'nor does a migrator');
	$mt->allowed($owner, $mt->begin('acme') . "SELECT multitenant._query_as_owner('invoice', 'SELECT string_agg(note, \$\$,\$\$) FROM public.invoice');",
		'SECRET-ACME', 'with a context it is filtered', tenant => 'acme');
	foreach my $command ('DROP TABLE den.parent', 'ALTER ROLE regress_mt_owner SUPERUSER', 'ALTER TABLE den.parent ADD y int; SELECT 1',
		'ALTER TABLE parent ADD y int', 'CREATE TEMP TABLE new (x int)', 'CREATE TABLE new (x int)', 'GRANT ALL ON ALL TABLES IN SCHEMA den TO PUBLIC', 'GRANT regress_mt_owner TO regress_mt_app', 'DO $$BEGIN END$$', 'COPY den.parent TO PROGRAM $$true$$',
		'DROP INDEX den.by_boom, den.child_pkey', 'CREATE SEQUENCE den.numbers', '')
	{
		(my $quoted = $command) =~ s/'/''/g;
		$mt->refused('postgres', "SELECT multitenant._run_as_owner('den.parent', '$quoted')", '22023', "not a command of the kind: $command");
		$mt->refused('postgres', "SELECT multitenant._run_as_owner(NULL, '$quoted')", '22023', "nor without a table: $command");
	}
	$mt->refused('postgres', "SELECT multitenant._run_as_owner('den.parent', 'ALTER TABLE den.child ADD y int')", '22023', 'another table');
	$mt->refused('postgres', "SELECT multitenant._query_as_owner('den.parent', '$_')", '22023', "not a query: $_")
	  foreach 'DELETE FROM den.parent', 'SELECT 1; SELECT 2', 'ALTER TABLE den.parent ADD y int', '';
	$mt->refused('postgres', "SELECT multitenant._query_as_owner('den.parent', 'WITH d AS (DELETE FROM den.parent RETURNING 1) SELECT count(*) FROM d')", '0A000', 'a query that writes');
	my ($out) = $mt->run('postgres', "SELECT multitenant._query_as_owner('den.parent', 'SELECT set_config(''work_mem'', ''1MB'', false)'); SHOW work_mem; SELECT current_user;");
	is($out, "1MB\n4MB\npostgres", 'neither settings nor the user stay behind');
	($out) = $mt->run('postgres', "SELECT multitenant._query_as_owner('den.parent', 'SELECT 1/0'); SELECT current_user; SHOW search_path;");
	is($out, "postgres\n\"\$user\", public", 'after an error neither');
	owner_gained_nothing('helpers', runs => 0);
};

# Labels that do not have the shape that protect() writes, one for each member that is read somewhere.
my @labels = (
	'tenant',
	'tenant {}',
	'tenant {"undo": null}',
	'tenant {"undo": 7}',
	'tenant {"undo": {"kind": "key"}}',
	'tenant {"undo": [null, 7, "x", [], {}, {"kind": null}, {"kind": 7}, {"kind": "x"}, {"kind": ["key"]}]}',
	'tenant {"undo": [{"kind": "x", "table": null}]}',
	'tenant {"undo": [{"kind": "key", "table": null, "schema": "public", "name": "x"}, {"kind": "key", "table": "invoice", "name": "x"}]}',
	'tenant {"undo": [{"kind": "key", "table": {}, "schema": [], "name": 1}, {"kind": "view", "table": "invoice", "schema": null}]}',
	'tenant {"undo": [{"kind": "key"}, {"kind": "unique"}, {"kind": "unique_index"}, {"kind": "foreign_key"}, {"kind": "companion"}, {"kind": "index"}, {"kind": "view"}]}',
	'tenant {"undo": [{"kind": "foreign_key", "name": "fk", "set_columns": "maybe", "match_full": 2}, {"kind": "companion", "name": null}]}',
	'tenant {"undo": [{"kind": "row_security", "enabled": "perhaps", "forced": []}, {"kind": "default", "expression": {"a": 1}}]}',
	'tenant {"undo": [{"kind": "default", "expression": "nonsense(("}, {"kind": "default", "expression": ""}]}',
	'tenant {"undo": [{"kind": "unique", "name": "decoy_k_key", "members": 7}, {"kind": "unique", "name": "decoy_k_key", "members": [7, null]}]}',
	'tenant {"undo": [{"kind": "unique", "name": "decoy_k_key", "members": [{"schema": null, "table": 1, "name": []}]}]}',
	'tenant {"undo": [{"kind": "view", "schema": "public", "table": "invoice", "options": "x"}, {"kind": "view", "schema": "lair", "table": "seen", "options": [1, {}]}]}',
	'tenant {"undo": [{"kind": "view", "schema": "lair", "table": "seen", "options": ["nonsense", "=", "a=b=c"]}]}',
	'tenant {"undo": [{"kind": "key", "schema": "", "table": "", "name": ""}, {"kind": "key", "schema": "a.b.c", "table": "\\"\\"", "name": "\\u0041"}]}',
	'tenant {"undo": [{"kind": "key", "schema": "public", "table": "invoice", "name": "invoice_pkey"}, {"kind": "index", "schema": "public", "table": "invoice", "name": "invoice_tenant_id_idx"}]}',
	'tenant {"undo": ' . ('[' x 2000) . (']' x 2000) . '}',
	'tenant {"undo": [{"kind": "key", "name": "' . ('x' x 5000) . '", "invoice": "invoice"}]}');
$mt->superuser("CREATE ROLE regress_mt_evil LOGIN; CREATE SCHEMA evil AUTHORIZATION regress_mt_evil");
subtest 'hostile labels' => sub {
	foreach my $label (@labels)
	{
		my $short = substr($label, 0, 100);
		new_tables();
		as_role($owner, "SELECT count(*) FROM multitenant.protect('invoice'); SELECT count(*) FROM multitenant.protect_schema('den', dry_run => false)");
		$mt->superuser('DROP TABLE IF EXISTS evil.decoy CASCADE; DROP VIEW IF EXISTS evil.seen');
		my ($out, $err) = $mt->run('regress_mt_evil',
			"CREATE TABLE evil.decoy (a int, k int CONSTRAINT decoy_k_key UNIQUE); CREATE VIEW evil.seen WITH (security_invoker) AS SELECT 1;
			SECURITY LABEL FOR multitenant ON TABLE evil.decoy IS '$label'");
		is($err, '', "the owner of another table may write: $short");
		$mt->allowed('postgres', 'SELECT multitenant.unprotect($$den.child$$)', undef, 'unprotect(child) works');
		$mt->allowed('postgres', 'SELECT multitenant.unprotect($$den.parent$$)', undef, 'unprotect(parent) works');
		is($mt->superuser("SELECT count(*) FROM pg_index WHERE indrelid = 'invoice'::regclass"), '2', 'nothing happened to a table that is not the labeller\'s');
		($out, $err) = $mt->run('postgres', 'SELECT multitenant.unprotect_all()');
		unlike($err, qr/ERROR|WARNING/, 'unprotect_all() works, and for the labeller\'s table as well');
		is($mt->superuser(q{SELECT count(*) FROM pg_seclabel WHERE provider = 'multitenant'}), '0', 'no label is left');
		is($mt->superuser(q{SELECT count(*) FROM pg_policy WHERE polname ~ '^multitenant'}), '0', 'nor a policy');
		is($mt->superuser("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'child_parent_id_fkey'"),
			'FOREIGN KEY (parent_id) REFERENCES den.parent(id) ON DELETE CASCADE', 'the others have their keys back');
	}
	$mt->refused('regress_mt_evil', "CREATE TEMP TABLE t (x int); SECURITY LABEL FOR multitenant ON TABLE t IS '$labels[6]'", '42809',
		'a temporary table takes no label');
};

# Tables that cannot be given back are named and stripped; the others are given back.
subtest 'tables that resist' => sub {
	new_tables();
	as_role($owner, "SELECT count(*) FROM multitenant.protect('invoice'); SELECT count(*) FROM multitenant.protect_schema('den', dry_run => false)");
	$mt->superuser('DROP TABLE IF EXISTS evil.decoy CASCADE');
	as_role('regress_mt_evil', <<"SQL");
CREATE FUNCTION evil.fail(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RAISE EXCEPTION ''no'' USING ERRCODE = ''55P03''; END';
CREATE TABLE evil.stubborn (tenant_id uuid NOT NULL, x int);
INSERT INTO evil.stubborn VALUES ('$acme', 1);
SELECT count(*) FROM multitenant.protect('evil.stubborn');
SQL
	# built while the function was still harmless
	as_role('regress_mt_evil', <<'SQL');
CREATE OR REPLACE FUNCTION evil.fail(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 1; END';
CREATE TABLE evil.obstacle (tenant_id uuid NOT NULL, x int);
CREATE UNIQUE INDEX obstacle_x ON evil.obstacle (evil.fail(x));
SELECT count(*) FROM multitenant.protect('evil.obstacle');
CREATE OR REPLACE FUNCTION evil.fail(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RAISE EXCEPTION ''no'' USING ERRCODE = ''55P03''; END';
SQL
	as_role('regress_mt_evil', "ALTER TABLE evil.stubborn RENAME TO \"stub\"\"born' %I\"; REVOKE ALL ON evil.\"stub\"\"born' %I\" FROM regress_mt_evil");
	# an owner that loses the right to make indexes where its table lies
	$mt->superuser('REVOKE ALL ON SCHEMA evil FROM regress_mt_evil; ALTER SCHEMA evil OWNER TO postgres');
	my ($out, $err) = $mt->run('postgres', 'SELECT multitenant.unprotect_all()');
	unlike($err, qr/ERROR/, 'unprotect_all() does not fail');
	like($err, qr/WARNING:.*evil\.obstacle/, 'it names the table');
	unlike($err, qr/WARNING:.*(?:den\.|invoice)/, 'and no other');
	is($mt->superuser(q{SELECT count(*) FROM pg_seclabel WHERE provider = 'multitenant'}), '0', 'no label is left');
	is($mt->superuser("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'child_parent_id_fkey'"),
		'FOREIGN KEY (parent_id) REFERENCES den.parent(id) ON DELETE CASCADE', 'the others are given back');
	$mt->superuser('DROP SCHEMA evil CASCADE');
};

subtest 'which tenants exist' => sub {
	new_tables();
	$mt->superuser("CREATE SCHEMA oracle AUTHORIZATION $owner");
	as_role($owner, "CREATE TABLE oracle.guess (tenant_id text NOT NULL); INSERT INTO oracle.guess VALUES ('acme')");
	$mt->refused($owner, "SELECT multitenant._count_unregistered('oracle.guess', 'tenant_id', '{acme}')", '42883', 'there is no such function any more');
	my @answers;
	foreach my $slug ('acme', 'nobody-has-this-name')
	{
		as_role($owner, "UPDATE oracle.guess SET tenant_id = '$slug'");
		push @answers, join("\n", $mt->run($owner, "SELECT * FROM multitenant.protect('oracle.guess', dry_run => true)"));
	}
	is($answers[0], $answers[1], 'protect() tells an owner the same of a tenant that exists and of one that does not');
	like($answers[0], qr/was not checked/, 'and that it did not look');
	is(as_role($owner, "SELECT multitenant._count_unregistered('text'::regtype, '{acme,beta,x}')"), '3', 'to the owner no tenant is there');
	foreach my $role ('postgres', $migrator)
	{
		$mt->refused($role, "SELECT * FROM multitenant.protect('oracle.guess', dry_run => true)", '23503', "$role is told");
	}
	$mt->superuser('DROP SCHEMA oracle CASCADE');
};

subtest 'moving the policies to another column' => sub {
	new_tables();
	as_role($owner, "SELECT count(*) FROM multitenant.protect('invoice')");
	my $move = "ALTER TABLE invoice ADD fake uuid DEFAULT multitenant.current_tenant();
		ALTER POLICY multitenant_isolation ON invoice USING (fake = multitenant.current_tenant());
		ALTER POLICY multitenant_access ON invoice USING (fake = multitenant.current_tenant());";
	foreach my $attack (
		[ 'the policies alone' ],
		[ 'the label as well', "SECURITY LABEL FOR multitenant ON COLUMN invoice.fake IS 'tenant_column'", '22023' ],
		[ 'the old label first', "SECURITY LABEL FOR multitenant ON COLUMN invoice.tenant_id IS NULL", '42501' ],
		[ 'the table\'s label first', 'SECURITY LABEL FOR multitenant ON TABLE invoice IS NULL', '42501' ],
		[ 'by exchanging names', 'ALTER TABLE invoice RENAME tenant_id TO gone; ALTER TABLE invoice RENAME fake TO tenant_id' ],
		[ 'by protect()', "SELECT * FROM multitenant.protect('invoice', 'fake')", '55000' ])
	{
		my ($name, $sql, $sqlstate) = @$attack;
		$mt->refused($owner, $mt->begin('acme') . "$move COMMIT;", 'MT010', "$name: the policies are not moved");
		$mt->past_guard($owner, $mt->begin('acme') . "$move COMMIT;");
		if ($sqlstate)
		{
			$mt->refused($owner, $sql, $sqlstate, "$name: refused");
		}
		elsif ($sql)
		{
			as_role($owner, $sql);
		}
		foreach my $tenant ('acme', 'beta')
		{
			$mt->refused($app, $mt->begin($tenant) . 'SELECT note FROM invoice', 'MT007', "$name: $tenant reads nothing", tenant => $tenant);
		}
		as_role($owner, 'ALTER TABLE invoice RENAME tenant_id TO fake; ALTER TABLE invoice RENAME gone TO tenant_id') if $name =~ /names/;
		$mt->allowed($owner, "SELECT * FROM multitenant.repair('invoice')", 'CREATE POLICY', "$name: the owner may repair it");
		$mt->superuser('ALTER TABLE invoice DROP COLUMN fake');
		$mt->allowed($app, $mt->begin('acme') . 'SELECT note FROM invoice', 'SECRET-ACME', "$name: and it works again", tenant => 'acme');
		is($mt->superuser("SELECT tenant_column FROM multitenant.tables WHERE table_name = 'public.invoice'"), 'tenant_id', "$name: by the labelled column");
	}
	# the column gone, and with it its label
	as_role($owner, "SELECT count(*) FROM multitenant.protect('den.parent')");
	$mt->refused($owner, 'ALTER TABLE den.parent DROP tenant_id CASCADE', 'MT010', 'the column stays');
	$mt->past_guard($owner, $mt->begin('acme') . 'ALTER TABLE den.parent DROP tenant_id CASCADE; ALTER TABLE den.parent ADD tenant_id uuid DEFAULT multitenant.current_tenant(); COMMIT;');
	$mt->refused($owner, "SECURITY LABEL FOR multitenant ON COLUMN den.parent.tenant_id IS 'tenant_column'", '42501', 'another column of the name is not labelled by the owner');
	$mt->refused($owner, "SELECT * FROM multitenant.repair('den.parent')", '55000', 'nor by repair()');
	as_role($owner, 'CREATE POLICY multitenant_isolation ON den.parent AS RESTRICTIVE USING (tenant_id = multitenant.current_tenant());
		CREATE POLICY multitenant_access ON den.parent USING (tenant_id = multitenant.current_tenant());');
	$mt->refused($owner, $mt->begin('acme') . 'SELECT count(*) FROM den.parent', 'MT007', 'nor by policies made by hand: the table stays closed');
	# without the column's label the table is closed; repair() does not guess, a migrator or superuser labels the column
	$mt->superuser('SECURITY LABEL FOR multitenant ON COLUMN invoice.tenant_id IS NULL');
	$mt->refused($app, $mt->begin('acme') . 'SELECT note FROM invoice', 'MT007', 'no column is labelled', tenant => 'acme');
	foreach my $role ($owner, $migrator, 'postgres')
	{
		$mt->refused($role, "SELECT * FROM multitenant.repair('invoice')", '55000', "repair() by $role takes no column for it");
	}
	$mt->refused($owner, "SECURITY LABEL FOR multitenant ON COLUMN invoice.tenant_id IS 'tenant_column'", '42501', 'the owner does not label it');
	$mt->allowed($migrator, "SECURITY LABEL FOR multitenant ON COLUMN invoice.tenant_id IS 'tenant_column'", undef, 'a migrator who knows does');
	$mt->allowed($app, $mt->begin('acme') . 'SELECT note FROM invoice', 'SECRET-ACME', 'and it is open again', tenant => 'acme');
	$mt->intact('rows are what they were');
};

subtest 'policies that come before ours' => sub {
	new_tables();
	as_role($owner, "SELECT count(*) FROM multitenant.protect('invoice')");
	as_role($owner, <<'SQL');
CREATE FUNCTION lair.spy(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN RAISE NOTICE '%', $1; RETURN true; END $$;
SQL
	foreach my $name ('aaa', 'Multitenant', '0', 'multitenant_b')
	{
		$mt->refused($owner, "CREATE POLICY \"$name\" ON invoice AS RESTRICTIVE USING (lair.spy(note))", 'MT010', "policy $name is not made");
		$mt->past_guard($owner, "CREATE POLICY \"$name\" ON invoice AS RESTRICTIVE USING (lair.spy(note))");
		$mt->refused($app, $mt->begin('acme') . 'SELECT note FROM invoice', 'MT007', "policy $name closes the table", tenant => 'acme');
		my ($out, $err) = $mt->run($owner, "SELECT * FROM multitenant.repair('invoice')");
		like($err, qr/55000:.*HINT:.*ALTER POLICY .* RENAME TO/s, "repair() says to rename $name");
		as_role($owner, "ALTER POLICY \"$name\" ON invoice RENAME TO \"zzz_$name\"");
		$mt->allowed($app, $mt->begin('acme') . 'SELECT note FROM invoice', 'SECRET-ACME', "renamed, it sees the tenant's rows only", tenant => 'acme');
		$mt->superuser("DROP POLICY \"zzz_$name\" ON invoice");
		as_role($owner, "CREATE POLICY \"$name\" ON den.parent AS RESTRICTIVE USING (true)");
		foreach my $call ("protect('den.parent')", "protect('den.parent', dry_run => true)", "protect_schema('den')", "plan('den')")
		{
			$mt->refused('postgres', "SELECT * FROM multitenant.$call", '55000', "$call refuses $name");
		}
		$mt->refused('postgres', "SELECT multitenant.shared_rows('den.parent')", '55000', "shared_rows() refuses $name");
		$mt->superuser("DROP POLICY \"$name\" ON den.parent; CREATE POLICY \"$name\" ON den.part_1 AS RESTRICTIVE USING (true)");
		$mt->refused('postgres', "SELECT * FROM multitenant.protect('den.part')", '55000', "also on a partition: $name");
		$mt->superuser("DROP POLICY \"$name\" ON den.part_1");
	}
	$mt->superuser('CREATE POLICY aaa ON den.parent USING (true)');
	$mt->allowed($migrator, "SELECT count(*) FROM multitenant.protect('den.parent')", undef, 'a permissive one may be called as it likes');
};

subtest 'names' => sub {
	my @names = (q{it's}, q{a"b}, q{x; ALTER ROLE regress_mt_owner SUPERUSER; --}, q{%I %L %s %1$I}, q{$$}, q{\\'}, 'tab' . "\t" . 'le', 'line' . "\n" . 'break', q{pg_temp}, 'x' x 63);
	foreach my $name (@names)
	{
		(my $identifier = $name) =~ s/"/""/g;
		$identifier = qq{"$identifier"};
		(my $literal = $identifier) =~ s/'/''/g;
		(my $column = $name) =~ s/'/''/g;
		(my $shown = $name) =~ s/\s/ /g;
		$mt->superuser("DROP SCHEMA IF EXISTS den CASCADE; CREATE SCHEMA den AUTHORIZATION $owner");
		as_role($owner, "CREATE TABLE den.$identifier (id int PRIMARY KEY, $identifier uuid NOT NULL, code text, parent int REFERENCES den.$identifier, CHECK (lair.boom(id) = id));
			CREATE VIEW den.v AS SELECT * FROM den.$identifier;
			INSERT INTO den.$identifier VALUES (1, '$acme', 'c')");
		# an index and a table share their names
		as_role($owner, "ALTER TABLE den.$identifier ADD CONSTRAINT \"u$1\" UNIQUE (code)") if $identifier =~ /^"(.*)"$/s && length $name < 63;
		my $before = $mt->superuser("SELECT string_agg(pg_get_constraintdef(oid), ',' ORDER BY conname) FROM pg_constraint WHERE connamespace = 'den'::regnamespace");
		$mt->allowed('postgres', "SELECT count(*) FROM multitenant.protect('den.$literal', '$column')", undef, "protect: $shown");
		is($mt->superuser("SELECT is_intact FROM multitenant._protection('den.$literal')"), 't', "intact: $shown");
		$mt->allowed('postgres', "SELECT multitenant.unprotect_all()", undef, "unprotect: $shown");
		is($mt->superuser("SELECT string_agg(pg_get_constraintdef(oid), ',' ORDER BY conname) FROM pg_constraint WHERE connamespace = 'den'::regnamespace"), $before, "given back: $shown");
	}
	owner_gained_nothing('names', runs => 0);
};

subtest 'a diamond of inheritance' => sub {
	my $sql = "CREATE TABLE den.a0 (tenant_id uuid); CREATE TABLE den.b0 (tenant_id uuid);";
	$sql .= sprintf('CREATE TABLE den.a%d () INHERITS (den.a%d, den.b%d); CREATE TABLE den.b%d () INHERITS (den.a%d, den.b%d);', $_, $_ - 1, $_ - 1, $_, $_ - 1, $_ - 1) foreach 1 .. 25;
	as_role($owner, "SET client_min_messages = warning; $sql");
	is($mt->superuser("SELECT count(*), max(depth) FROM multitenant._tree('den.a0')"), '51|25', 'is walked once');
};

done_testing();
