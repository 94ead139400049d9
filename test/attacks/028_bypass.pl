# Roles that row security does not filter: recorded bypasses, unrecorded ones, superusers, system contexts.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use Test::More;

my $mt = MtTest->new('bypass');
my ($app, $owner, $migrator) = qw(regress_mt_app regress_mt_owner regress_mt_migrator);
my ($reader, $writer, $stranger) = qw(regress_mt_reader regress_mt_writer regress_mt_stranger);
my ($acme, $beta) = map { "00000000-0000-0000-0000-00000000000$_" } qw(a b);
my $read = 'SELECT note FROM invoice ORDER BY note;';
my $count = "SELECT count(*) || ' rows' FROM invoice;";
my @writes = ("INSERT INTO invoice (tenant_id, note) VALUES ('$beta', 'planted')", "UPDATE invoice SET note = 'hit'",
	'DELETE FROM invoice', "INSERT INTO invoice (id, tenant_id) SELECT id, tenant_id FROM invoice ON CONFLICT (id) DO UPDATE SET note = 'hit'",
	"MERGE INTO invoice i USING (VALUES (1)) v(x) ON true WHEN MATCHED THEN DELETE", 'SELECT * FROM invoice FOR UPDATE',
	'SELECT * FROM invoice FOR KEY SHARE', "WITH w AS (DELETE FROM invoice RETURNING note) SELECT note FROM w");

$mt->superuser("CREATE ROLE $reader LOGIN BYPASSRLS; GRANT pg_read_all_data TO $reader;
	CREATE ROLE $writer LOGIN BYPASSRLS; CREATE ROLE $stranger LOGIN BYPASSRLS; GRANT pg_read_all_data, pg_write_all_data TO $stranger;
	GRANT SELECT, INSERT, UPDATE, DELETE ON invoice TO $writer, $reader;
	SELECT multitenant.grant_access('$reader', 'bypass_read', reason => 'nightly dump');
	SELECT multitenant.grant_access('$writer', 'bypass', reason => 'replication')");

# Bypass events of a role in the audit table, newest last: "object write" for each.
sub recorded
{
	my ($role) = @_;
	return $mt->superuser("SELECT coalesce(string_agg(object || ' ' || (detail ->> 'write') || ' ' || (detail ->> 'profile'), ', ' ORDER BY at), '-')
		FROM multitenant.audit_event WHERE event = 'access.bypass' AND session_role = '$role'");
}

subtest 'an unrecorded BYPASSRLS role' => sub {
	$mt->refused($stranger, $read, 'MT007', 'reads nothing');
	$mt->refused($stranger, 'SELECT 1 FROM invoice WHERE false', 'MT007', 'not even nothing');
	$mt->refused($stranger, 'COPY invoice TO STDOUT', 'MT007', 'copies nothing');
	$mt->refused($stranger, $mt->begin('acme') . $read, 'MT007', 'also under a context');
	$mt->refused($stranger, "SELECT multitenant.system_context('because'); $read", '42501', 'enters no system context');
	$mt->refused($stranger, $read, '42501', 'nor by startup option', pgoptions => '-c multitenant.system_reason=because');
	foreach my $write (@writes)
	{
		$mt->refused($stranger, $write, 'MT007', "does not: $write");
	}
	is(recorded($stranger), '-', 'what was refused is no bypass');
	$mt->intact('nothing was changed');
};

subtest 'bypass_read reads and does not write' => sub {
	$mt->log_since;
	$mt->allowed($reader, $count, '3 rows', 'reads every tenant');
	$mt->allowed($reader, 'COPY invoice TO STDOUT', 'SECRET-BETA', 'copies');
	is(recorded($reader), 'public.invoice false bypass_read, public.invoice false bypass_read', 'each transaction is recorded');
	my @lines = $mt->log_since =~ /multitenant audit: event="access\.bypass".*session_role="$reader".*object="public\.invoice"/g;
	is(scalar @lines, 2, 'and logged');
	$mt->allowed($reader, "BEGIN READ ONLY; $count COMMIT", '3 rows', 'reads in a read-only transaction');
	like($mt->log_since, qr/multitenant audit: event="access\.bypass".*session_role="$reader"/, 'which is logged');
	$mt->allowed($reader, "BEGIN; $count $count COMMIT", '3 rows', 'reads twice in one transaction');
	is(() = recorded($reader) =~ /invoice/g, 3, 'recorded once');
	foreach my $write (@writes)
	{
		$mt->refused($reader, $write, 'MT007', "does not: $write", tenant => '-');
	}
	$mt->refused($reader, "BEGIN; $count UPDATE invoice SET note = 'hit'; COMMIT", 'MT007', 'nor after a read');
	$mt->refused($reader, "SELECT multitenant.system_context('because'); UPDATE invoice SET note = 'hit'", 'MT007', 'nor in a system context');
	$mt->refused($reader, $mt->begin('acme') . $read, '42501', 'and presents no credential');
	$mt->refused($reader, "SELECT multitenant.use_tenant('acme')", '42501', 'and names no tenant');
	$mt->intact('nothing was changed');
};

subtest 'bypass writes' => sub {
	$mt->allowed($writer, "INSERT INTO invoice (tenant_id, note) VALUES ('$beta', 'moved'); DELETE FROM invoice WHERE note = 'moved'", undef, 'any tenant\'s rows');
	like(recorded($writer), qr/public\.invoice true bypass/, 'on record as a write');
	$mt->intact('nothing is left');
	$mt->superuser("ALTER ROLE $writer NOBYPASSRLS");
	$mt->refused($writer, $read, 'MT001', 'the record alone does not make row security go away');
	$mt->superuser("ALTER ROLE $writer BYPASSRLS");
};

subtest 'the record ends' => sub {
	$mt->superuser("UPDATE multitenant.access SET expires_at = now() - interval '1 second' WHERE role_name = '$reader'");
	$mt->refused($reader, $read, 'MT007', 'expired');
	$mt->refused($reader, 'COPY invoice TO STDOUT', 'MT007', 'expired: COPY');
	$mt->refused($reader, "SELECT multitenant.system_context('because'); $read", '42501', 'expired: system context');
	$mt->superuser("SELECT multitenant.grant_access('$reader', 'bypass_read', reason => 'dump', expires_at => now() + interval '1 hour')");
	my $session = $mt->node->background_psql('app', extra_params => [ '-U', $reader ], on_error_stop => 0);
	like($session->query($count), qr/3 rows/, 'granted again');
	$session->query("PREPARE p AS $count");
	$mt->superuser("SELECT multitenant.revoke_access('$reader')");
	unlike($session->query($count), qr/rows/, 'revoked: the next statement of an open session is refused');
	unlike($session->query('EXECUTE p'), qr/rows/, 'revoked: also a prepared one');
	$session->quit;
	$mt->refused($reader, $read, 'MT007', 'revoked: refused');
	$mt->superuser("SELECT multitenant.grant_access('$reader', 'bypass_read', reason => 'dump')");
	foreach my $reason ('NULL', "''", "'  '")
	{
		$mt->refused('postgres', "SELECT multitenant.grant_access('$stranger', 'bypass', reason => $reason)", '22023', "no bypass for the reason $reason");
	}
	foreach my $role ($reader, $writer, $app, $owner, $migrator)
	{
		$mt->refused($role, "SELECT multitenant.grant_access('$stranger', 'bypass', reason => 'because')", '42501', "$role grants none");
		$mt->refused($role, "INSERT INTO multitenant.access (role_name, profile) VALUES ('$stranger', 'bypass')", '42501', "$role inserts none");
	}
};

subtest 'bypass and SET ROLE' => sub {
	$mt->superuser("GRANT $app TO $reader; GRANT $reader, $writer TO $stranger");
	$mt->refused($reader, "SET ROLE $app; $read", 'MT001', 'a weaker role weakens');
	$mt->refused($stranger, "SET ROLE $reader; $read", 'MT007', 'an unrecorded session borrows no record');
	$mt->refused($stranger, "SET ROLE $writer; DELETE FROM invoice", 'MT007', 'nor one for writing');
	$mt->superuser("GRANT $reader TO $writer");
	$mt->allowed($writer, "SET ROLE $reader; $count", '3 rows', 'two records: what both permit');
	$mt->refused($writer, "SET ROLE $reader; DELETE FROM invoice", 'MT007', 'and nothing that only one permits');
	$mt->superuser("REVOKE $app FROM $reader; REVOKE $reader, $writer FROM $stranger; REVOKE $reader FROM $writer");
	$mt->intact('nothing was changed');
};

subtest 'objects of a bypass role lend nothing' => sub {
	$mt->superuser("GRANT CREATE ON SCHEMA public TO $writer; SET ROLE $writer;
		CREATE FUNCTION lend() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER AS 'SELECT note FROM invoice';
		CREATE FUNCTION lend_write() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER AS 'DELETE FROM invoice RETURNING note';
		CREATE VIEW lend_view AS SELECT * FROM invoice; GRANT ALL ON lend_view TO PUBLIC");
	foreach my $query ('SELECT * FROM lend()', 'SELECT * FROM lend_write()', 'SELECT note FROM lend_view', 'DELETE FROM lend_view')
	{
		$mt->refused($app, $query, 'MT007', "$query by the application");
		$mt->refused($app, $mt->begin('acme') . $query, 'MT007', "$query by the application under a context");
		$mt->refused($owner, $query, 'MT007', "$query by the owner");
		$mt->refused($migrator, $query, 'MT007', "$query by a migrator");
	}
	$mt->allowed($writer, "SELECT count(*) || ' rows' FROM lend()", '3 rows', 'the role itself may call it');
	$mt->refused($reader, 'SELECT * FROM lend_write()', 'MT007', 'a reader deletes nothing through it');
	$mt->intact('nothing was changed');
};

subtest 'the migrator is no bypass' => sub {
	$mt->refused($migrator, $read, 'MT001', 'a migrator needs a context');
	$mt->refused($migrator, "BEGIN; SELECT multitenant.system_context('data migration'); $read", 'MT001', 'a system context has no tenant');
	$mt->refused($migrator, "BEGIN; SELECT multitenant.system_context('data migration'); SELECT multitenant.use_tenant('acme'); $read", 'MT005', 'and does not become one');
	$mt->allowed($migrator, "BEGIN; SELECT multitenant.use_tenant('acme'); $read", 'SECRET-ACME', 'it names a tenant', tenant => 'acme');
};

# ---- superusers ----

sub superuser_access
{
	my ($value) = @_;
	$mt->node->append_conf('postgresql.conf', "multitenant.superuser_access = $value");
	$mt->node->reload;
	$mt->node->poll_query_until('app', "SELECT current_setting('multitenant.superuser_access') = '$value'") or die;
	return;
}

subtest 'superusers: audit' => sub {
	my $before = $mt->superuser("SELECT count(*) FROM multitenant.audit_event WHERE event = 'access.bypass' AND session_role = current_user");
	$mt->allowed('postgres', $count, '3 rows', 'read every tenant');
	is($mt->superuser("SELECT count(*) FROM multitenant.audit_event WHERE event = 'access.bypass' AND session_role = current_user"), $before + 1, 'on record');
	foreach my $statement ($read, @writes)
	{
		$mt->refused('postgres', $mt->begin('acme') . $statement, 'MT007', "under a context, not: $statement", tenant => '-');
		$mt->refused('postgres', "BEGIN; SELECT multitenant.use_tenant('acme'); $statement", 'MT007', "under a named one, not: $statement", tenant => '-');
	}
	$mt->intact('nothing was changed');
	$mt->allowed('postgres', "SET ROLE $app; " . $mt->begin('acme') . $read, 'SECRET-ACME', 'as an application they are one', tenant => 'acme');
	$mt->refused('postgres', "SET ROLE $app; $read", 'MT001', 'without exception');
	$mt->refused('postgres', "SET ROLE $stranger; $read", 'MT007', 'as an unrecorded role they have no record');
};

subtest 'superusers: allow' => sub {
	superuser_access('allow');
	my $before = $mt->superuser("SELECT count(*) FROM multitenant.audit_event WHERE event = 'access.bypass'");
	$mt->allowed('postgres', $count, '3 rows', 'read every tenant');
	is($mt->superuser("SELECT count(*) FROM multitenant.audit_event WHERE event = 'access.bypass'"), $before, 'without a record');
	$mt->refused('postgres', $mt->begin('acme') . $read, 'MT007', 'but not under a context');
};

subtest 'superusers: deny' => sub {
	superuser_access('deny');
	my $system = "BEGIN; SELECT multitenant.system_context('incident 7');\n";
	$mt->refused('postgres', $read, 'MT007', 'nothing');
	$mt->refused('postgres', 'COPY invoice TO STDOUT', 'MT007', 'no COPY');
	my $by_key = "SELECT count(*) || ' by key' FROM multitenant._rows_by_key('invoice', '{note}', '{SECRET-BETA}', 'tenant_id')";
	$mt->refused('postgres', $by_key, 'MT007', 'nor with what explain_access() looks for rows with');
	$mt->allowed('postgres', "$system$by_key", '1 by key', 'but as the system');
	$mt->refused('postgres', 'CREATE TABLE copy AS TABLE invoice', 'MT007', 'no copy');
	foreach my $write (@writes)
	{
		$mt->refused('postgres', $write, 'MT007', "not: $write");
	}
	$mt->refused('postgres', "SET multitenant.superuser_access = 'allow'; $read", 'MT007', 'the setting is not theirs to change in a session');
	$mt->allowed('postgres', "$system $count COMMIT", '3 rows', 'in a system context they read');
	is($mt->superuser("SELECT object FROM multitenant.audit_event WHERE event = 'context.system' ORDER BY at DESC LIMIT 1"), 'incident 7', 'the reason is on record');
	$mt->allowed('postgres', "$system UPDATE invoice SET note = note; ROLLBACK", undef, 'and write');
	$mt->refused('postgres', "$system COMMIT; $read", 'MT007', 'until it ends');
	$mt->refused('postgres', "SELECT multitenant.system_context(' '); $read", '22023', 'an empty reason is none');
	$mt->allowed('postgres', $count, '3 rows', 'by startup option, for programs', pgoptions => '-c multitenant.system_reason=dump');
	$mt->refused('postgres', $count, 'MT007', 'an empty one is none', pgoptions => '-c multitenant.system_reason=');
	$mt->refused('postgres', "SET multitenant.system_reason = 'because'; $read", '55P02', 'it cannot be set later');
	$mt->refused($app, $read, '42501', 'it is no use to an application', pgoptions => '-c multitenant.system_reason=because');
	$mt->refused($app, $mt->begin('acme') . $read, '42501', 'which is refused then, context or not', pgoptions => '-c multitenant.system_reason=because');
	$mt->allowed($reader, $count, '3 rows', 'a recorded bypass is not touched by the setting');
	$mt->allowed($reader, $count, '3 rows', 'with a reason, too', pgoptions => '-c multitenant.system_reason=dump');
	$mt->allowed($app, $mt->begin('acme') . $read, 'SECRET-ACME', 'nor are tenants', tenant => 'acme');
	superuser_access('audit');
	$mt->intact('nothing was changed');
};

subtest 'the guard switched off' => sub {
	foreach my $role ($app, $owner, $migrator, $reader)
	{
		$mt->refused($role, "SET multitenant.guard_enabled = off", '42501', "$role cannot");
		$mt->refused($role, "SELECT set_config('multitenant.guard_enabled', 'off', false)", '42501', "$role: nor with set_config()");
		my ($out, $err) = $mt->run($role, $read, pgoptions => '-c multitenant.guard_enabled=off', single => 1);
		like($err, qr/permission denied to set parameter "multitenant.guard_enabled"/, "$role: nor by startup option");
		is($out, '', "$role: and reads nothing");
	}
	$mt->superuser("ALTER ROLE $app SET multitenant.guard_enabled = off");
	$mt->refused($app, $read, 'MT001', 'a superuser can: row security still asks for a context');
	$mt->allowed($app, $mt->begin('acme') . $read, 'SECRET-ACME', 'and still filters', tenant => 'acme');
	$mt->superuser("ALTER ROLE $app RESET multitenant.guard_enabled");
	like($mt->log_since, qr/multitenant\.guard_enabled is now off/, 'on record');
};

done_testing();
