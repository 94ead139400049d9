# pg_dump and pg_restore: in every format and by every road a restored database is protected from its first moment on,
# knows the same tenants, roles and keys, and takes no credential before somebody says that it may.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use PostgreSQL::Test::Utils;
use Test::More;

our $TODO;

my ($app, $owner, $dumper) = qw(regress_mt_app regress_mt_owner regress_mt_dumper);
my ($acme, $beta) = map { "00000000-0000-0000-0000-00000000000$_" } qw(a b);
my $read = 'SELECT note FROM invoice;';
my $conf = "multitenant.audience = 'app'\nmax_worker_processes = 8";

my $mt = MtTest->new('source', conf => $conf);
my $source = $mt->node;

# ---- a database with a table of every class ----

$mt->superuser(<<"SQL");
CREATE ROLE $dumper LOGIN BYPASSRLS;
GRANT pg_read_all_data TO $dumper;
SELECT multitenant.grant_access('$dumper', 'bypass_read', reason => 'nightly dump');
CREATE ROLE regress_mt_bound LOGIN;
SELECT multitenant.grant_access('regress_mt_bound', 'tenant', tenant => 'beta', expires_at => now() + interval '1 day');
SELECT multitenant.add_member('acme', 'somebody');
SELECT multitenant.create_tenant('delta');
CREATE SCHEMA zoo AUTHORIZATION $owner;
GRANT USAGE ON SCHEMA zoo TO PUBLIC;
SET ROLE $owner;
CREATE TABLE public."Odd Name" ("Tenant" text NOT NULL, id int PRIMARY KEY, note text);
INSERT INTO "Odd Name" VALUES ('acme', 1, 'SECRET-ACME'), ('beta', 2, 'SECRET-BETA');
SELECT multitenant.protect('"Odd Name"', 'Tenant');
CREATE TABLE zoo.keeper (id int PRIMARY KEY, tenant_id int8, name text UNIQUE);
CREATE TABLE zoo.animal (id int PRIMARY KEY, tenant_id int8, keeper int REFERENCES zoo.keeper ON DELETE CASCADE, note text);
INSERT INTO zoo.keeper VALUES (1, 1, 'a'), (2, 2, 'b');
INSERT INTO zoo.animal VALUES (1, 1, 1, 'SECRET-ACME'), (2, 2, 2, 'SECRET-BETA');
SELECT count(*) FROM multitenant.protect_schema('zoo', dry_run => false);
CREATE TABLE ledger (tenant_id uuid, day int, note text) PARTITION BY RANGE (day);
CREATE TABLE ledger_1 PARTITION OF ledger FOR VALUES FROM (0) TO (10);
CREATE TABLE ledger_2 PARTITION OF ledger FOR VALUES FROM (10) TO (20);
INSERT INTO ledger VALUES ('$acme', 1, 'SECRET-ACME'), ('$beta', 11, 'SECRET-BETA');
SELECT multitenant.protect('ledger');
CREATE TABLE template (tenant_id uuid, note text);
INSERT INTO template VALUES (NULL, 'for all'), ('$acme', 'SECRET-ACME'), ('$beta', 'SECRET-BETA');
CREATE TABLE country (code text PRIMARY KEY);
INSERT INTO country VALUES ('de');
CREATE TABLE bookkeeping (version int);
INSERT INTO bookkeeping VALUES (7);
CREATE VIEW notes WITH (security_invoker) AS SELECT note FROM invoice;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO $app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA zoo TO $app;
RESET ROLE;
SELECT multitenant.shared_rows('template');
SELECT multitenant.share('country');
SELECT multitenant.exempt('bookkeeping', 'migration tool');
SQL

# Parts of what must be the same after a restore, by name.
my %facts = (
	tenants => 'SELECT t::text FROM multitenant.tenant t ORDER BY id',
	members => 'SELECT m::text FROM multitenant.member m ORDER BY m',
	access => 'SELECT a::text FROM multitenant.access a ORDER BY role_name',
	keys => 'SELECT k::text FROM multitenant.signing_key k ORDER BY kid',
	policies => 'SELECT p::text FROM pg_policies p ORDER BY p::text',
	row_security => "SELECT c.oid::regclass, relrowsecurity, relforcerowsecurity FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
		WHERE relkind IN ('r', 'p') AND nspname IN ('public', 'zoo') ORDER BY c.oid::regclass::text",
	defaults => 'SELECT d.adrelid::regclass, d.adnum, pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d ORDER BY d.adrelid::regclass::text, d.adnum',
	constraints => "SELECT c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid), c.convalidated FROM pg_constraint c
		WHERE c.connamespace IN ('public'::regnamespace, 'zoo'::regnamespace) ORDER BY c.conrelid::regclass::text, c.conname",
	indexes => "SELECT i.indexdef FROM pg_indexes i WHERE i.schemaname IN ('public', 'zoo') ORDER BY i.indexdef",
	rows => "SELECT (SELECT string_agg(i::text, ',' ORDER BY id) FROM invoice i), (SELECT string_agg(x::text, ',' ORDER BY x) FROM ledger x),
		(SELECT string_agg(x::text, ',' ORDER BY id) FROM zoo.animal x), (SELECT string_agg(x::text, ',' ORDER BY id) FROM \"Odd Name\" x),
		(SELECT string_agg(x::text, ',' ORDER BY x) FROM template x), (SELECT count(*) FROM country), (SELECT count(*) FROM bookkeeping)");
my %label_facts = (
	labels => "SELECT objoid::regclass, objsubid, label FROM pg_seclabel WHERE provider = 'multitenant' ORDER BY objoid::regclass::text, objsubid",
	classes => 'SELECT * FROM multitenant.tables ORDER BY table_name');

# What a query shows the superuser, or its error: a restore that failed must not end the test.
sub value
{
	my ($node, $database, $query) = @_;
	my ($out, $err) = ('', '');
	$node->psql($database, $query, stdout => \$out, stderr => \$err);
	return $err =~ /ERROR/ ? $err : $out;
}

sub facts_of
{
	my ($node, $database, %queries) = @_;
	return { map { $_ => value($node, $database, $queries{$_}) } keys %queries };
}

my $wanted = facts_of($source, 'app', %facts, %label_facts);
my $next_number = $mt->superuser('SELECT last_value + 1 FROM multitenant.tenant_number_seq');
like($wanted->{labels}, qr/undo/, 'labels carry what unprotect() needs');
unlike($wanted->{classes}, qr/\|f\|/, 'everything is intact before the dump');

# The event of the source that must be in every copy.
$mt->superuser("SELECT multitenant.audit('shop.opened', '{\"day\": 1}')");

# ---- dumping ----

my $dir = PostgreSQL::Test::Utils::tempdir();
my %dumps;

sub dump_as
{
	my ($role, $name, @options) = @_;
	my $file = "$dir/$name";
	$source->command_ok([ 'pg_dump', '-U', $role, '-f', $file, @options, 'app' ], "pg_dump @options as $role");
	$dumps{$name} = $file;
	return $file;
}

$mt->log_since;
dump_as('postgres', 'plain');
like($mt->log_since, qr/multitenant audit: event="access\.bypass".*session_role="postgres"/, 'a superuser\'s dump is on record');
dump_as($dumper, 'plain_bypass');
like($mt->log_since, qr/multitenant audit: event="access\.bypass".*session_role="$dumper"/, 'so is one by a recorded role');
dump_as('postgres', 'custom', '-Fc');
dump_as($dumper, 'custom_bypass', '-Fc');
dump_as('postgres', 'directory', '-Fd', '-j2');
dump_as($dumper, 'directory_bypass', '-Fd', '-j2');
dump_as('postgres', 'schema', '-Fc', '-s');
dump_as('postgres', 'data', '-Fc', '-a');
dump_as('postgres', 'plain_session', '--use-set-session-authorization');

foreach my $role ($app, $owner, 'regress_mt_migrator', 'regress_mt_auditor')
{
	$source->command_fails([ 'pg_dump', '-U', $role, '-f', "$dir/refused", 'app' ], "pg_dump as $role is refused");
	my $text = -e "$dir/refused" ? slurp_file("$dir/refused") : '';
	is(scalar(MtTest::leaks($text)), 0, "pg_dump as $role got no row");
	unlink "$dir/refused";
	$source->command_fails([ 'pg_dump', '-U', $role, '-f', "$dir/refused", '--enable-row-security', '-t', 'invoice', 'app' ],
		"pg_dump --enable-row-security as $role is refused without a context");
	unlink "$dir/refused";
}
$mt->superuser("UPDATE multitenant.access SET expires_at = now() - interval '1 second' WHERE role_name = '$dumper'");
$source->command_fails([ 'pg_dump', '-U', $dumper, '-f', "$dir/refused", 'app' ], 'pg_dump with an expired bypass is refused');
$mt->superuser("UPDATE multitenant.access SET expires_at = NULL WHERE role_name = '$dumper'");
$source->command_ok([ 'pg_dumpall', '-U', 'postgres', '-f', "$dir/roles", '--roles-only' ], 'pg_dumpall of the roles');

foreach my $name ('plain', 'plain_bypass')
{
	my $text = slurp_file($dumps{$name});
	unlike($text, qr/\Q$mt->{secret}\E/, "$name: no secret of a key is in the dump");
	like($text, qr/SECRET-BETA/, "$name: rows of every tenant are");
}

# ---- restoring ----

# A cluster without the library, with the same roles.
my $bare = MtTest->new('bare', preload => 'none', bare => 1, conf => $conf);
$bare->{secret} = $mt->{secret};
run_command([ 'psql', '-X', '-q', '-d', $bare->node->connstr('postgres'), '-f', "$dir/roles" ]);
is($bare->node->safe_psql('postgres', "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'regress_mt_%'"),
	$source->safe_psql('postgres', "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'regress_mt_%'"), 'another cluster has the same roles');

# Runs a program of the restore; the test is that it is silent.
sub silent
{
	my ($name, @command) = @_;
	my ($out, $err) = ('', '');
	my $result = IPC::Run::run(\@command, '>', \$out, '2>', \$err);
	ok($result && $err eq '', "$name: restored without an error") or diag($err);
	return $err;
}

sub restore
{
	my ($world, $database, $name, @options) = @_;
	my $connection = $world->node->connstr($database);
	return silent("$database: $name", 'psql', '-X', '-q', '-o', '/dev/null', '-v', 'ON_ERROR_STOP=0', '-d', $connection, '-f', $dumps{$name}) if -f $dumps{$name} && $name =~ /plain/;
	return silent("$database: $name @options", 'pg_restore', '-d', $connection, @options, $dumps{$name});
}

sub create
{
	my ($world, $database) = @_;
	$world->node->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE template0");
	# For the roads on which the tables' owner makes them.
	$world->node->safe_psql('postgres', "GRANT CREATE ON DATABASE $database TO $owner");
	$world->node->safe_psql($database, "GRANT CREATE ON SCHEMA public TO $owner");
	return;
}

# Nobody gets a row that is not his, whatever else is missing.
sub closed
{
	my ($world, $database) = @_;
	my @tables = ('invoice', '"Odd Name"', 'zoo.animal', 'zoo.keeper', 'ledger', 'ledger_1', 'ledger_2', 'template');
	foreach my $role ($app, $owner)
	{
		my ($out, $err) = $world->run($role, join('', map { "SELECT * FROM $_;\n" } @tables), database => $database);
		my $refusals = () = $err =~ /ERROR:  MT001/g;
		ok($out eq '' && $refusals == @tables, "$database: $role gets no row of any table without a context") or diag("$out\n$err");
	}
	return;
}

# Everything that must hold of a restored database. labels => 0: they could not be restored.
sub check_restored
{
	my ($world, $database, %options) = @_;
	my $labels = $options{labels} // 1;
	my %queries = (%facts, $labels ? %label_facts : ());
	my $got = facts_of($world->node, $database, %queries);
	foreach my $fact (sort keys %queries)
	{
		is($got->{$fact}, $wanted->{$fact}, "$database: the same $fact");
	}
	is(value($world->node, $database, "SELECT count(*) FROM multitenant.audit_event WHERE event = 'shop.opened'"), 1, "$database: the audit record came along");
	closed($world, $database);

	my @in = (database => $database, tenant => 'acme');
	$world->refused($app, $mt->begin('acme') . $read, 'MT00[24]', "$database: a copy takes no credential", @in);
	is(value($world->node, $database, "SELECT ok FROM multitenant.status() WHERE item = 'credentials'"), 'f', "$database: and says so");
	value($world->node, $database, 'SELECT multitenant.adopt_clone(false)');
	$world->allowed($app, $mt->begin('acme') . $read, 'SECRET-ACME', "$database: adopted, it does", @in);
	$world->allowed($app, $mt->begin('acme') . 'SELECT note FROM zoo.animal', 'SECRET-ACME', "$database: numbers", @in);
	$world->allowed($app, $mt->begin('acme') . 'SELECT note FROM "Odd Name"', 'SECRET-ACME', "$database: slugs", @in);
	$world->allowed($app, $mt->begin('acme') . 'SELECT note FROM template', 'for all', "$database: shared rows", @in);
	$world->allowed($app, $mt->begin('acme') . 'SELECT note FROM ledger_1', 'SECRET-ACME', "$database: partitions", @in);
	$world->refused($app, $mt->begin('acme') . "INSERT INTO invoice (tenant_id, note) VALUES ('$beta', 'planted'); COMMIT", '42501', "$database: no planting", @in);
	$world->refused($app, $mt->begin('gamma') . $read, 'MT006', "$database: who was suspended is", database => $database);
	$world->refused($app, $mt->begin('acme') . "INSERT INTO country VALUES ('xx')", 'MT010', "$database: shared tables are read-only", @in) if $labels;
	is(value($world->node, $database, "SELECT multitenant.create_tenant('epsilon'); SELECT number FROM multitenant.tenant WHERE slug = 'epsilon'") =~ s/.*\n//r, $next_number,
		"$database: numbers of tenants go on where they were");
	$world->refused('postgres', 'DROP EXTENSION multitenant CASCADE', 'MT010', "$database: the extension cannot be removed", database => $database) if $labels;
	return;
}

sub check_undone
{
	my ($world, $database) = @_;
	value($world->node, $database, 'SELECT multitenant.unprotect_all()');
	is(value($world->node, $database, "SELECT count(*) FROM multitenant.tables"), 0, "$database: everything can be given back");
	# the primary key's NOT NULL is a constraint of its own from 18 on
	is(value($world->node, $database, "SELECT string_agg(pg_get_constraintdef(oid), ', ' ORDER BY conname) FROM pg_constraint WHERE conrelid = 'zoo.animal'::regclass AND contype <> 'n'"),
		'FOREIGN KEY (keeper) REFERENCES zoo.keeper(id) ON DELETE CASCADE, PRIMARY KEY (id)', "$database: also the keys");
	return;
}

my @roads = (
	[ 'plain' ], [ 'plain_bypass' ], [ 'custom' ], [ 'custom', '-j2' ], [ 'custom_bypass' ], [ 'directory', '-j2' ],
	[ 'directory_bypass' ]);
foreach my $world ($mt, $bare)
{
	my $where = $world == $mt ? 'preloaded' : 'not preloaded';
	foreach my $i (0 .. $#roads)
	{
		my ($name, @options) = @{ $roads[$i] };
		subtest "$where: $name @options" => sub {
			create($world, "copy$i");
			restore($world, "copy$i", $name, @options);
			check_restored($world, "copy$i");
			check_undone($world, "copy$i") if $name eq 'custom';
		};
		$world->node->safe_psql('postgres', "DROP DATABASE IF EXISTS copy$i");
	}

	subtest "$where: --no-owner" => sub {
		create($world, 'no_owner');
		restore($world, 'no_owner', 'custom', '--no-owner');
		check_restored($world, 'no_owner');
	};

	subtest "$where: schema first, data later" => sub {
		create($world, 'split');
		restore($world, 'split', 'schema');
		closed($world, 'split');
		restore($world, 'split', 'data', '--disable-triggers');
		check_restored($world, 'split');
	};

	subtest "$where: in one transaction" => sub {
		create($world, 'single');
		restore($world, 'single', 'custom', '-1');
		is(value($world->node, 'single', 'SELECT count(*) FROM invoice'), 3, 'the rows are there');
	};

	# Made by the tables' owner: labels before the rows, row security after them.
	foreach my $road ([ 'custom', '--use-set-session-authorization' ], [ 'plain_session' ])
	{
		subtest "$where: @$road" => sub {
			create($world, 'session');
			restore($world, 'session', @$road);
			check_restored($world, 'session');
		};
		$world->node->safe_psql('postgres', 'DROP DATABASE IF EXISTS session');
	}

	subtest "$where: section by section" => sub {
		create($world, 'sections');
		restore($world, 'sections', 'custom', '--section=pre-data');
		restore($world, 'sections', 'custom', '--section=data');
		# Only the library denies here: row security comes with the last section.
		foreach my $role ($world == $mt ? ($app, $owner) : ())
		{
			my ($out, $err) = $world->run($role, $read, database => 'sections');
			is($out, '', "$role gets nothing between data and policies");
			like($err, qr/ERROR:  MT007/, "$role is told why");
		}
		restore($world, 'sections', 'custom', '--section=post-data');
		check_restored($world, 'sections');
	};

	# Where the extension exists already, it is the event trigger on CREATE TABLE that loads the library for the labels.
	subtest "$where: the extension exists already" => sub {
		create($world, 'existing');
		$world->node->safe_psql('existing', 'CREATE EXTENSION multitenant');
		restore($world, 'existing', 'custom');
		check_restored($world, 'existing');
	};

	subtest "$where: --no-security-labels" => sub {
		create($world, 'unlabelled');
		restore($world, 'unlabelled', 'custom', '--no-security-labels');
		check_restored($world, 'unlabelled', labels => 0);
		lost_labels($world, 'unlabelled');
	};

	subtest "$where: one table only" => sub {
		create($world, 'one');
		$world->node->safe_psql('one', 'CREATE EXTENSION multitenant');
		run_command([ 'pg_restore', '-d', $world->node->connstr('one'), '-t', 'invoice', $dumps{custom} ]);
		my ($out, $err) = $world->run($app, $read, database => 'one');
		local $TODO = 'pg_restore -t brings no policy, and the label means nothing to a server that does not preload the library' if $world == $bare;
		is($out, '', 'the application gets no row without a context');
	};
	foreach my $database (qw(no_owner split single sections existing unlabelled one))
	{
		$world->node->safe_psql('postgres', "DROP DATABASE IF EXISTS $database");
	}
}

# Labels were lost, policies were not: repair() knows from them what the table was.
sub lost_labels
{
	my ($world, $database) = @_;
	my $node = $world->node;
	is(value($node, $database, "SELECT count(*) FROM pg_seclabel WHERE provider = 'multitenant'"), 0, "$database: no label");
	closed($world, $database);
	value($node, $database, "SELECT multitenant.repair(t.table_name::regclass) FROM multitenant.tables t
		WHERE NOT (SELECT relispartition FROM pg_class WHERE oid = t.table_name::regclass)");
	is(value($node, $database, "SELECT string_agg(table_name || ' ' || class || ' ' || is_intact, ', ' ORDER BY table_name) FROM multitenant.tables"),
		join(', ', map { "$_ true" } 'public."Odd Name" tenant', 'public.invoice tenant', 'public.ledger tenant', 'public.ledger_1 tenant',
			'public.ledger_2 tenant', 'public.template shared_rows', 'zoo.animal tenant', 'zoo.keeper tenant'), "$database: repair() brings the classes back");
	is(value($node, $database, "SELECT count(*) FROM pg_seclabel WHERE provider = 'multitenant' AND objsubid = 0"), 8, "$database: and the labels");
	$world->refused('postgres', 'DROP EXTENSION multitenant CASCADE', 'MT010', "$database: which keep the extension", database => $database);
	return;
}

subtest 'adopt_clone(true)' => sub {
	create($mt, 'rotated');
	restore($mt, 'rotated', 'custom');
	$mt->node->safe_psql('rotated', 'SELECT multitenant.adopt_clone(true)');
	$mt->refused($app, $mt->begin('acme') . $read, 'MT004', 'the keys of the original are worthless in the copy', database => 'rotated');
	$mt->refused($owner, 'SELECT multitenant.adopt_clone(false)', '42501', 'the owner adopts nothing', database => 'rotated');
};

done_testing();
