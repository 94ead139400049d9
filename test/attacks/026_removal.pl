# Taking the extension away while tables depend on it: every way to remove it or one of its parts, by everybody, with
# the library preloaded and without. What succeeds by force must leave the tables closed, never open.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use Test::More;

my ($app, $owner, $migrator, $admin) = qw(regress_mt_app regress_mt_owner regress_mt_migrator regress_mt_admin);
my $read = 'SELECT note FROM invoice;';
my $mt;

# The world, with an extension that belongs to a superuser who is not the first one (his objects cannot be DROP OWNED).
sub world
{
	my ($name, $preload) = @_;
	my $self = MtTest->new($name, preload => $preload, bare => 1);
	$self->node->safe_psql('postgres', "CREATE ROLE $admin SUPERUSER LOGIN");
	local $ENV{PGOPTIONS} = "-c role=$admin";
	$self->create_world;
	return $self;
}

# Everything that protects: members of the extension, their definitions, policies, labels, row security.
sub fingerprint
{
	return $mt->superuser("SELECT md5(string_agg(x, '|' ORDER BY x)) FROM (
		SELECT pg_describe_object(classid, objid, objsubid) FROM pg_depend d JOIN pg_extension e ON d.refobjid = e.oid
			WHERE d.deptype = 'e' AND e.extname = 'multitenant'
		UNION ALL SELECT pg_get_functiondef(p.oid) || p.proowner::text || coalesce(p.proacl, acldefault('f', p.proowner))::text FROM pg_proc p
			WHERE p.pronamespace = 'multitenant'::regnamespace AND p.prokind <> 'a'
		UNION ALL SELECT policies::text FROM pg_policies policies
		UNION ALL SELECT s.objoid::text || s.label FROM pg_seclabel s
		UNION ALL SELECT c.oid::text || ':' || c.relrowsecurity || c.relforcerowsecurity || coalesce(c.relacl::text, '') FROM pg_class c
			WHERE c.relkind IN ('r', 'v') AND c.oid >= 16384
		UNION ALL SELECT evtname || evtenabled::text FROM pg_event_trigger) f(x)");
}

my @removals = (
	'DROP EXTENSION multitenant',
	'DROP EXTENSION multitenant CASCADE',
	'DROP EXTENSION IF EXISTS multitenant CASCADE',
	'DROP EXTENSION plpgsql, multitenant CASCADE',
	'DROP SCHEMA multitenant',
	'DROP SCHEMA multitenant CASCADE',
	'DROP SCHEMA IF EXISTS nothing, multitenant CASCADE',
	"DROP OWNED BY $admin",
	"DROP OWNED BY $admin CASCADE",
	"DROP OWNED BY $app, $admin CASCADE",
	'ALTER EXTENSION multitenant DROP FUNCTION multitenant.current_tenant()',
	'ALTER EXTENSION multitenant DROP EVENT TRIGGER multitenant_removal',
	'ALTER EXTENSION multitenant DROP TABLE multitenant.tenant',
	'ALTER EXTENSION multitenant DROP SCHEMA multitenant',
	'ALTER EXTENSION multitenant DROP VIEW multitenant.tables',
	"DO \$\$ BEGIN EXECUTE 'DROP EXTENSION multitenant CASCADE'; END \$\$",
	"SET search_path = multitenant; DROP SCHEMA multitenant CASCADE",
	"BEGIN; DROP EXTENSION multitenant CASCADE; COMMIT",
	"BEGIN; DROP OWNED BY $admin CASCADE; COMMIT");

# The server itself keeps single members.
my @parts = (
	'DROP FUNCTION multitenant.current_tenant()',
	'DROP FUNCTION multitenant.current_tenant() CASCADE',
	'DROP EVENT TRIGGER multitenant_removal',
	'DROP TABLE multitenant.access CASCADE',
	'DROP VIEW multitenant.tables CASCADE',
	'DROP SEQUENCE multitenant.tenant_number_seq',
	'DROP TYPE multitenant._step CASCADE');

# What somebody without superuser could try on members.
my @changes = (
	"CREATE OR REPLACE FUNCTION multitenant.current_tenant() RETURNS uuid LANGUAGE sql STABLE AS 'SELECT NULL::uuid'",
	"CREATE OR REPLACE FUNCTION multitenant._refuse_removal() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
	'ALTER FUNCTION multitenant.current_tenant() RENAME TO other',
	"ALTER FUNCTION multitenant.current_tenant() OWNER TO $app",
	'ALTER FUNCTION multitenant.current_tenant() SET search_path = public',
	'ALTER FUNCTION multitenant.current_tenant() SET SCHEMA public',
	'ALTER FUNCTION multitenant.current_tenant() SECURITY DEFINER',
	'ALTER FUNCTION multitenant.current_tenant() LEAKPROOF',
	'REVOKE ALL ON FUNCTION multitenant.current_tenant() FROM PUBLIC; SELECT 1/0 AS "42501"',
	'ALTER SCHEMA multitenant RENAME TO other',
	"ALTER SCHEMA multitenant OWNER TO $app",
	'ALTER TABLE multitenant.access DISABLE ROW LEVEL SECURITY',
	'ALTER TABLE multitenant.access DISABLE TRIGGER ALL',
	'DROP TRIGGER access_changed ON multitenant.access',
	"CREATE POLICY evil ON multitenant.access USING (true)",
	"INSERT INTO multitenant.access (role_name, profile) VALUES (current_user, 'bypass')",
	"UPDATE multitenant.tenant SET state = 'active'",
	'TRUNCATE multitenant.audit_event',
	'SELECT * FROM multitenant.signing_key',
	'ALTER EVENT TRIGGER multitenant_removal DISABLE',
	'CREATE EVENT TRIGGER mine ON ddl_command_start EXECUTE FUNCTION multitenant._refuse_removal()',
	'SET session_replication_role = replica',
	'ALTER EXTENSION multitenant UPDATE',
	'ALTER EXTENSION multitenant ADD TABLE invoice',
	'ALTER EXTENSION multitenant SET SCHEMA public',
	'COMMENT ON EXTENSION multitenant IS $$mine$$',
	"UPDATE pg_extension SET extname = 'other'",
	"UPDATE pg_policy SET polroles = '{1}'",
	'DELETE FROM pg_seclabel',
	"SELECT multitenant._audit('access.grant', NULL, 'x', 'done', '{}')");

foreach my $preload ('shared', 'session', 'none')
{
	subtest "library preloaded: $preload" => sub {
		$mt = world($preload, $preload);
		my $before = fingerprint();
		foreach my $removal (@removals)
		{
			$mt->refused('postgres', $removal, 'MT010', "superuser: $removal");
		}
		foreach my $part (@parts)
		{
			$mt->refused('postgres', $part, '2BP01', "superuser: $part");
		}
		is(fingerprint(), $before, 'nothing was removed');
		$mt->superuser("GRANT CREATE ON SCHEMA public TO $app");
		foreach my $role ($app, $owner, $migrator)
		{
			foreach my $attempt (@removals, @parts)
			{
				next if $preload eq 'session' and $role ne $app;
				$mt->refused($role, $attempt, '(?:MT010|42501|2BP01)', "$role: $attempt");
			}
			foreach my $attempt (@changes)
			{
				next if $preload eq 'session' and $role ne $app;
				$mt->refused($role, $attempt, '(?:MT010|42501|22012)', "$role: $attempt");
			}
		}
		$mt->superuser("REVOKE CREATE ON SCHEMA public FROM $app");
		is(fingerprint(), $before, 'nothing was changed');
		$mt->refused($app, $read, 'MT001', 'the table is protected');
		$mt->allowed($app, $mt->begin('acme') . $read, 'SECRET-ACME', 'and works', tenant => 'acme');
		$mt->allowed('postgres', 'DROP SCHEMA IF EXISTS other; CREATE SCHEMA other; DROP SCHEMA other; CREATE ROLE regress_mt_gone; DROP OWNED BY regress_mt_gone;
			ALTER EXTENSION plpgsql UPDATE', undef, 'other objects can be dropped');
		renamed();
		past_the_event_trigger($preload);
		removed_properly();
		$mt->node->stop('fast');
	};
}

# The schema under another name: the library does not find its tables, and nobody gets at a row.
sub renamed
{
	$mt->superuser('ALTER SCHEMA multitenant RENAME TO elsewhere');
	foreach my $role ($app, $owner, $migrator)
	{
		foreach my $statement ($read, 'DELETE FROM invoice RETURNING note', 'COPY invoice TO STDOUT')
		{
			my ($out, $err) = $mt->run($role, $statement);
			is($out, '', "schema renamed: $role gets nothing from $statement");
			like($err, qr/ERROR/, "schema renamed: $role gets an error from $statement");
		}
		my ($out, $err) = $mt->run($role, "BEGIN; SELECT elsewhere.authenticate('" . $mt->token('acme') . "'); SELECT elsewhere.use_tenant('acme'); $read");
		is(scalar(MtTest::leaks("$out\n$err", 'acme')), 0, "schema renamed: $role sees no other tenant with a token");
	}
	$mt->superuser('ALTER SCHEMA elsewhere RENAME TO multitenant');
	$mt->allowed($app, $mt->begin('acme') . $read, 'SECRET-ACME', 'everything works again', tenant => 'acme');
	$mt->intact('nothing was changed');
	return;
}

# A superuser switches the event trigger off. With the hooks the drop itself is refused; without them it succeeds,
# and then the tables must deny.
sub past_the_event_trigger
{
	my ($preload) = @_;
	my @forced = ('DROP EXTENSION multitenant CASCADE', "DROP OWNED BY $admin CASCADE",
		'ALTER EXTENSION multitenant DROP FUNCTION multitenant.current_tenant(); DROP FUNCTION multitenant.current_tenant() CASCADE');
	my %ways = (
		'session_replication_role' => [ 'SET session_replication_role = replica;', '' ],
		'ALTER EVENT TRIGGER' => [ 'ALTER EVENT TRIGGER multitenant_removal DISABLE;', 'ALTER EVENT TRIGGER multitenant_removal ENABLE' ]);
	foreach my $way (sort keys %ways)
	{
		foreach my $drop (@forced)
		{
			# Without preloading, the event triggers for new tables load the library at a DDL command.
			if ($preload ne 'none' || $drop =~ /^ALTER/)
			{
				$mt->refused('postgres', "$ways{$way}[0] $drop;", 'MT010', "$way, then $drop: refused at the drop");
				$mt->superuser($ways{$way}[1]) if $ways{$way}[1];
				$mt->allowed($app, $mt->begin('acme') . $read, 'SECRET-ACME', 'everything works', tenant => 'acme') if $drop !~ /^ALTER/;
				$mt->superuser('ALTER EXTENSION multitenant ADD FUNCTION multitenant.current_tenant()') if $drop =~ /^ALTER/;
				next;
			}
			# In a copy of the database, which is gone for good.
			$mt->node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE app');
			my ($out, $err) = $mt->run('postgres', "$ways{$way}[0] $drop;", database => 'copy');
			unlike($err, qr/ERROR/, "$way, then $drop: succeeds without hooks");
			closed("$way, then $drop");
			$mt->node->safe_psql('postgres', 'DROP DATABASE copy');
		}
	}
	return;
}

# In "copy" nobody but superusers and BYPASSRLS roles gets at a row.
sub closed
{
	my ($name) = @_;
	foreach my $role ($app, $owner, $migrator)
	{
		foreach my $statement ($read, 'DELETE FROM invoice RETURNING note', "UPDATE invoice SET note = 'hit' RETURNING note", 'COPY invoice TO STDOUT')
		{
			my ($out, $err) = $mt->run($role, $statement, database => 'copy');
			is($out, '', "$name: $role gets nothing from $statement");
		}
		$mt->refused($role, "INSERT INTO invoice (tenant_id, note) VALUES (gen_random_uuid(), 'planted')", '42501', "$name: $role plants nothing", database => 'copy');
	}
	is($mt->node->safe_psql('copy', "SELECT string_agg(note, ' ' ORDER BY note) FROM invoice"), 'SECRET-ACME SECRET-BETA SECRET-GAMMA',
		"$name: all rows are there");
	return;
}

sub removed_properly
{
	$mt->refused('postgres', "SELECT multitenant.exempt('invoice', 'because')", '55000', 'a protected table is not just exempted');
	$mt->superuser("CREATE TABLE country (code text); SELECT multitenant.share('country');
		CREATE TABLE bookkeeping (x int); SELECT multitenant.exempt('bookkeeping', 'migration tool')");
	$mt->superuser("SELECT multitenant.unprotect('invoice')");
	$mt->refused('postgres', 'DROP EXTENSION multitenant', 'MT010', 'a shared table is a reason, too');
	$mt->refused($owner, 'SELECT multitenant.unprotect_all()', '42501', 'the owner does not clear the way');
	$mt->superuser('SELECT multitenant.unprotect_all()');
	is($mt->superuser('SELECT count(*) FROM multitenant.tables'), '0', 'unprotect_all() leaves no class');
	is($mt->superuser("SELECT count(*) FROM pg_policies WHERE schemaname = 'public'"), '0', 'and no policy');
	is($mt->superuser("SELECT relrowsecurity::text || relforcerowsecurity FROM pg_class WHERE relname = 'invoice'"), 'falsefalse', 'and no row security');
	$mt->allowed('postgres', 'DROP EXTENSION multitenant', undef, 'then the extension can be dropped without CASCADE');
	is($mt->superuser("SELECT count(*) FROM pg_namespace WHERE nspname = 'multitenant'"), '0', 'and is gone');
	is($mt->superuser("SELECT count(*) FROM pg_event_trigger"), '0', 'with its event trigger');
	is($mt->superuser('SELECT count(*) FROM invoice'), '3', 'the rows are there');
	$mt->allowed('postgres', 'CREATE EXTENSION multitenant; DROP EXTENSION multitenant', undef, 'it can be created and dropped again');
	return;
}

done_testing();
