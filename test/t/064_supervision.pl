# Who looks after tenants, as a table: what each profile can do and see, every cell tried with SQL; the whole of a tenant's
# beginning done by a provisioner with EXECUTE alone; and events that a rollback does not take away, where that is hard.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest qw(ask);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes;

my ($app, $provisioner) = qw(regress_mt_app regress_mt_provisioner);
my $dir = PostgreSQL::Test::Utils::tempdir;
umask(0077);
append_to_file("$dir/1.key", '5c' x 32);
my $mt = MtTest->new('supervision', init => { allows_streaming => 1 },
	conf => "multitenant.key_provider = file\nmultitenant.key_file = '$dir/%v.key'\nmax_worker_processes = 4");
my $acme = '00000000-0000-0000-0000-00000000000a';

sub enter { my ($who) = @_; return "BEGIN; SELECT multitenant.authenticate('" . $mt->token(undef, sub => $who) . "');\n" }

# What a statement printed in the end, or the SQLSTATE with which it was refused.
sub outcome
{
	my ($role, $sql) = @_;
	my ($out, $err) = $mt->run($role, $sql);
	return $1 if $err =~ /(?:ERROR|FATAL): +(\w{5}):/;
	return $out =~ s/.*\n//sr;
}

# ---- narrow provisioning ----
# The whole beginning of a tenant, by a role that has its profile and nothing else.
is($mt->superuser("SELECT rolcreaterole OR rolsuper OR rolcreatedb OR rolbypassrls OR rolreplication FROM pg_roles WHERE rolname = '$provisioner'"), 'f', 'a provisioner has no attributes');
is($mt->superuser("SELECT count(*) FROM pg_auth_members WHERE member = '$provisioner'::regrole"), '0', 'is a member of nothing');
is($mt->superuser("SELECT count(*) FROM pg_class c, aclexplode(c.relacl) a WHERE a.grantee = '$provisioner'::regrole"), '0', 'and has no grants');
sub provision
{
	my ($sql, $wanted, $name) = @_;
	is(outcome($provisioner, $sql), $wanted, "provisioning: $name");
	return;
}
provision("SELECT multitenant.create_tenant('newco', 'New Co', id => '00000000-0000-0000-0000-00000000000d')", '00000000-0000-0000-0000-00000000000d', 'the tenant');
provision("SELECT multitenant.create_role_template('watcher', 'Looks.', '{member:read}') IS NOT NULL", 't', 'a template');
my ($master) = $mt->run($provisioner, "SELECT multitenant.create_master_account('Northern Services')");
provision("SELECT count(multitenant.link_tenant('$master', t)) FROM unnest('{newco,acme,beta}'::text[]) t", '3', 'links');
provision("SELECT count(multitenant.assign_operator('$master', 'olga', t, 'watcher')) FROM unnest('{newco,acme}'::text[]) t", '2', 'an operator');
provision("SELECT count(multitenant.create_principal(p)) FROM unnest('{ann,bob}'::text[]) p", '2', 'people');
provision("SELECT multitenant.add_member('acme', 'bob')", '', 'members, as long as nobody has been given a role');
provision("SELECT count(multitenant.add_member(t, 'ann', 'administrator')) FROM unnest('{newco,acme}'::text[]) t", '2', 'the first administrators');
provision("SELECT multitenant.add_member('newco', 'bob', 'administrator')", '42501', 'not the second one');
provision("SELECT multitenant.add_member('acme', 'eve')", '42501', 'nor members any more');
provision("SELECT multitenant.create_key('$acme', 'pii', 'data') IS NOT NULL", 't', 'a key');
provision("SELECT multitenant.suspend_tenant('newco', 'unpaid')", '', 'suspending');
provision("SELECT multitenant.resume_tenant('newco')", '', 'resuming');
provision("SELECT multitenant.suspend_tenant_keys('newco', 'theft')", '', 'suspending keys');
provision("SELECT multitenant.resume_tenant_keys('newco')", '', 'resuming them');
foreach my $table (qw(member principal role_assignment secret cek kek audit_event operator supervision access_request access signing_key))
{
	provision("SELECT * FROM multitenant.$table", '42501', "not what is in $table");
}
provision('SELECT note FROM invoice', 'MT001', 'no rows');
provision("CREATE ROLE regress_mt_made", '42501', 'no roles');
provision("SELECT multitenant.grant_access('$provisioner', 'bypass', reason => 'x')", '42501', 'no other profile');
provision("SELECT multitenant.use_tenant('acme')", '42501', 'no tenant');

# ---- the table ----
$mt->superuser("SELECT multitenant.set_visibility('acme', 'supervised'), multitenant.set_visibility('newco', 'none')");
my $ann = $mt->begin('acme', sub => 'ann');
$mt->run($app, $ann . "SELECT multitenant.put_secret('vault-1', 'TOP-SECRET'); SELECT multitenant.audit('door.opened', '{\"who\": \"bob\"}'); SELECT multitenant.set_break_glass('administrator', '1 hour', false); COMMIT;");
$mt->run($app, enter('olga') . "SELECT multitenant.begin_supervised('acme', 'ticket 7'); COMMIT;");
my @profiles = ('provisioner', 'operator role', 'auditor', 'operator', 'looking in', 'administrator', 'member');
my %enter = (
	provisioner => [ $provisioner, 'BEGIN;' ], 'operator role' => [ 'regress_mt_operator', 'BEGIN;' ], auditor => [ 'regress_mt_auditor', 'BEGIN;' ],
	operator => [ $app, enter('olga') ], 'looking in' => [ $app, enter('olga') . "SELECT multitenant.switch_tenant('acme');" ],
	administrator => [ $app, $ann ], member => [ $app, $mt->begin('acme', sub => 'bob') ]);
my @table = (
	[ 'lists tenants', "SELECT string_agg(tenant, ' ' ORDER BY tenant) FROM multitenant.tenant_overview", 'acme beta newco', 'acme beta newco', 'acme beta newco', 'acme newco', 'acme', 'acme', 'acme' ],
	[ 'health and status', "SELECT state || ' ' || members || ' ' || keys FROM multitenant.tenant_overview WHERE tenant = 'acme'", ('active 2 active') x 7 ],
	[ '.. of who shows nothing', "SELECT count(*) || ' ' || count(members) || count(since) || count(keys) FROM multitenant.tenant_overview WHERE tenant = 'newco'", '1 000', '1 000', '1 000', '1 000', '0 000', '0 000', '0 000' ],
	[ 'usage', "SELECT events_of_a_day > 0 FROM multitenant.tenant_overview WHERE tenant = 'acme'", ('t') x 7 ],
	[ 'users', "SELECT count(*) FROM multitenant.members", ('MT001') x 4, '42501', '2', '42501' ],
	[ 'names of secrets', "SELECT count(*) FROM multitenant.secrets", ('MT001') x 4, '42501', '1', '1' ],
	[ 'secrets', "SELECT multitenant.get_secret('vault-1')", 'MT001', 'MT001', 'MT001', 'MT001', '42501', 'TOP-SECRET', 'TOP-SECRET' ],
	[ 'counts of events', "SELECT count(*) > 0 FROM multitenant.audit_metadata WHERE tenant_id = '$acme' AND event_class IN ('application', 'tenant')", 't', 't', 't', 't', 't', 't', '42501' ],
	[ 'names of events', "SELECT count(*) FROM multitenant.audit_metadata WHERE event_class ~ 'door'", '0', '0', '0', '0', '0', '0', '42501' ],
	[ 'details of events', "SELECT count(*) > 0 FROM multitenant.audit_log WHERE event = 'door.opened'", 'MT001', 'MT001', 't', 'MT001', '42501', 't', '42501' ],
	[ 'manages roles', "SELECT multitenant.create_role('x') IS NOT NULL", 'MT001', 'MT001', 'MT001', 'MT001', '42501', 't', '42501' ],
	[ 'provisions', "SELECT multitenant.create_tenant('other') IS NOT NULL", 't', ('42501') x 6 ],
	[ 'suspends', "SELECT multitenant.suspend_tenant('beta', 'x')", '', '', ('42501') x 5 ],
	[ 'assigns operators', "SELECT multitenant.assign_operator('$master', 'mole', '$acme'::uuid, 'watcher')", '', ('42501') x 6 ],
	[ 'sees who they are', "SELECT count(*) FROM multitenant.operators WHERE tenant = 'acme'", '1', '0', '1', '1', '0', '1', '0' ],
	[ 'opens the door to them', "SELECT multitenant.set_visibility('supervised')", 'MT001', 'MT001', 'MT001', 'MT001', '42501', '', '42501' ],
	[ 'reads rows', "SELECT note FROM invoice", ('MT001') x 4, 'SECRET-ACME', 'SECRET-ACME', 'SECRET-ACME' ],
	[ 'writes rows', "UPDATE invoice SET note = note RETURNING note", ('MT001') x 4, '25006', 'SECRET-ACME', 'SECRET-ACME' ],
	[ 'opens break-glass', "SELECT multitenant.open_break_glass('fire') IS NOT NULL", 'MT001', 'MT001', 'MT001', 'MT001', '42501', 't', '42501' ],
	[ 'reads every tenant', "SELECT count(*) FROM multitenant.across_tenants('SELECT note FROM invoice', 'x') AS t(tenant_id uuid, note text)", 'MT001', 'MT001', 'MT001', '1', 'MT005', 'MT005', 'MT005' ]);
foreach my $row (@table)
{
	my ($what, $sql, @wanted) = @$row;
	is(outcome($enter{$profiles[$_]}[0], "$enter{$profiles[$_]}[1] $sql; ROLLBACK;"), $wanted[$_], "table: $what: $profiles[$_]") foreach 0 .. $#profiles;
}

# ---- events that stay ----
my $begin = enter('olga') . "SELECT multitenant.begin_supervised('acme', 'ticket 7');";
my $events = "SELECT count(*) FROM multitenant.audit_event WHERE event = 'supervised.begin'";
my $before = $mt->superuser($events);
# No process is free.
$mt->node->append_conf('postgresql.conf', 'max_worker_processes = 0');
$mt->node->restart;
is(outcome($app, "$begin SELECT note FROM invoice;"), '55000', 'without a free process nothing is looked at');
is($mt->superuser($events), $before, 'and nothing is recorded');
$mt->node->append_conf('postgresql.conf', 'max_worker_processes = 4');
$mt->node->restart;
is(outcome($app, "$begin SELECT note FROM invoice;"), 'SECRET-ACME', 'with one it is');
is(outcome($app, "BEGIN ISOLATION LEVEL SERIALIZABLE; " . ($begin =~ s/^BEGIN;//r) . ' SELECT note FROM invoice;'), 'SECRET-ACME', 'also in a serializable transaction');
is($mt->superuser($events), $before + 2, 'each time');
# All places are taken for a while: the keeper, the launcher of replication, and a parallel query have one each.
$mt->node->append_conf('postgresql.conf', "max_worker_processes = 3\nmax_parallel_workers = 3");
$mt->node->restart;
{
	my $busy = $mt->session($app);
	$busy->query('SET ' . $mt->parallel_setting . ' = on');
	$busy->query_until(qr/begun/, "\\echo begun\nSELECT pg_sleep(2);\n");
	$mt->node->poll_query_until('app', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'parallel worker'") or die "no worker\n";
	my $start = Time::HiRes::time();
	is(outcome($app, "$begin SELECT note FROM invoice;"), 'SECRET-ACME', 'it waits until there is a place');
	cmp_ok(Time::HiRes::time() - $start, '>', 0.5, 'which takes a while');
	$busy->query('SELECT 1');
	$busy->query_until(qr/begun/, "\\echo begun\nSELECT pg_sleep(9);\n");
	$mt->node->poll_query_until('app', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'parallel worker'") or die "no worker\n";
	is(outcome($app, "SET statement_timeout = '1s'; $begin SELECT note FROM invoice;"), '57014', 'and can be interrupted');
	is(outcome($app, "$begin SELECT note FROM invoice;"), '55000', 'and does not wait for ever');
	$busy->query('SELECT 1');
	$busy->quit;
}
$mt->node->append_conf('postgresql.conf', "max_worker_processes = 8\nmax_parallel_workers = 8");
$mt->node->restart;
# A database whose sessions are read-only by default.
$mt->superuser('ALTER DATABASE app SET default_transaction_read_only = on');
is(outcome($app, 'BEGIN READ WRITE; ' . ($begin =~ s/^BEGIN;//r) . ' SELECT note FROM invoice;'), 'SECRET-ACME', 'the process writes where sessions do not by default');
is(outcome($app, "$begin SELECT note FROM invoice;"), '25006', 'a read-only transaction cannot begin');
$mt->node->safe_psql('app', "BEGIN READ WRITE; ALTER DATABASE app RESET default_transaction_read_only; COMMIT;");
# On a standby: nothing begins, and nothing is read, as nothing can be recorded.
$mt->node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($mt->node, 'b', has_streaming => 1);
$standby->start;
$mt->run($app, "$begin COMMIT;");
$mt->node->wait_for_catchup($standby, 'replay');
{
	my $primary = $mt->{node};
	local $mt->{node} = $standby;
	is(outcome($app, $begin), '25006', 'a standby records nothing, so nothing begins there');
	is(outcome($app, enter('olga') . "SELECT * FROM multitenant.across_tenants('SELECT 1', 'x') AS t(tenant_id uuid, n int);"), '25006', 'nor does a query in all tenants');
	is(outcome($app, enter('olga') . "SELECT multitenant.switch_tenant('acme'); SELECT note FROM invoice;"), '25006', 'nor is anything read of what has begun');
	like(slurp_file($standby->logfile), qr/multitenant audit: event="supervised\.begin".* tenant="$acme"/, 'the attempt is in its log');
}
$standby->stop;
done_testing();
