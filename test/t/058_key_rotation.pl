# Keys are replaced while an application writes and reads encrypted values all the time: all three kinds, with restarts, a
# crash and fresh sessions in between, and nothing is lost. What is interrupted goes on. Suspending stops statements that
# are running, here and on a standby.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use IPC::Run ();
use MtTest qw(ask);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $dir = PostgreSQL::Test::Utils::tempdir;
chmod(0700, $dir);
umask(0077);
append_to_file("$dir/$_.key", sprintf('%02x', 0x50 + $_) x 32) foreach 1 .. 3;
my $mt = MtTest->new('rotation', init => { allows_streaming => 1 },
	conf => "multitenant.key_provider = file\nmultitenant.key_file = '$dir/%v.key'\nmultitenant.key_versions = '1'\nmax_worker_processes = 16");
my $node = $mt->node;

# ---- an application at work ----
$mt->superuser(<<'SQL');
SET ROLE regress_mt_owner;
CREATE TABLE kept (tenant_id uuid, id bigserial, note text, value multitenant.encrypted, PRIMARY KEY (tenant_id, id));
SELECT multitenant.protect('kept');
GRANT ALL ON kept, kept_id_seq TO regress_mt_trusted;
SQL
my $script = "$dir/work.sql";
append_to_file($script, <<'SQL');
\set tenant random(1, 2)
\set n random(1, 1000000000)
BEGIN;
SELECT multitenant.use_tenant(:tenant::bigint);
INSERT INTO kept (note, value) VALUES ('v:n', multitenant.encrypt('v:n', 'pii'));
SELECT 1 / (count(*) = count(*) FILTER (WHERE note = multitenant.decrypt_text(value)))::int FROM (SELECT * FROM kept ORDER BY id DESC LIMIT 30) k;
END;
SQL
my ($load, $load_out, $load_err);

# Whole transactions of three sessions, one of which is a new one each time.
sub start_load
{
	($load_out, $load_err) = ('', '');
	$load = IPC::Run::start([ 'sh', '-c', 'pgbench -n -c 2 -T 600 -f "$0" "$1" & p=$!; trap "kill $p" TERM; pgbench -n -C -c 1 -T 600 -f "$0" "$1" & q=$!; trap "kill $p $q" TERM; wait; wait',
			$script, $node->connstr('app') . ' user=regress_mt_trusted' ], '>', \$load_out, '2>', \$load_err);
	return;
}

sub rows { return $mt->superuser('SELECT count(*) FROM kept') }

# It has done more since.
sub goes_on
{
	my ($name) = @_;
	my $before = rows();
	ok($node->poll_query_until('app', "SELECT count(*) > $before + 50 FROM kept"), $name);
	return;
}

sub stop_load
{
	my ($name) = @_;
	$load->pump_nb;
	unlike($load_err, qr/ERROR|FATAL|aborted/, $name);
	$load->signal('TERM');
	eval { $load->finish };
	return;
}

# Every row of every tenant, in a fresh session.
sub all_readable
{
	my ($name) = @_;
	my ($rows, $good) = (rows(), 0);
	foreach my $tenant ('acme', 'beta')
	{
		my ($out) = $mt->run('regress_mt_trusted', "BEGIN; SELECT multitenant.use_tenant('$tenant') \\g /dev/null\nSELECT count(*) FILTER (WHERE note = multitenant.decrypt_text(value)) FROM kept; COMMIT");
		$good += $out || 0;
	}
	is($good, $rows, "$name: each of $rows values");
	is($mt->superuser('SELECT count(*) FROM multitenant.verify_keys()'), 0, "$name: every key");
	return;
}

sub versions
{
	my ($versions) = @_;
	$mt->superuser("ALTER SYSTEM SET multitenant.key_versions = '$versions'");
	$mt->superuser('SELECT pg_reload_conf(); SELECT multitenant.reload_master_keys()');
	return;
}

# A procedure's notices.
sub notices
{
	my ($sql) = @_;
	my (undef, undef, $err) = $node->psql('app', $sql);
	return $err;
}

start_load();
goes_on('an application encrypts and decrypts');
ok($mt->superuser("SELECT multitenant.rotate_cek('$_', 'pii')"), "a new key for $_") foreach 'acme', 'beta';
goes_on('with the next version');
ok($mt->superuser("SELECT multitenant.rotate_kek('$_')"), "a new key of $_") foreach 'acme', 'beta';
ok($mt->superuser("SELECT multitenant.rotate_kek('acme')"), "and again $_") foreach 1 .. 20;
goes_on('under the next key of the tenant');
versions('1,2');
like(notices('CALL multitenant.rotate_mek(1)'), qr/nothing in this database needs an older master key|have not ended/, 'the next master key');
goes_on('under the next master key');
versions('2');
goes_on('without the first one');
my $old = $mt->superuser("SELECT count(*) FROM kept k JOIN multitenant.cek c ON c.cek_id = multitenant.key_id(k.value) WHERE c.state = 'retired'");
cmp_ok($old, '>', 0, 'values of the first key are there');
like(notices("CALL multitenant.reencrypt('kept', 'value', 20)"), qr/encrypted $old rows of public.kept.value again; failed for 0/, 'and encrypted again');
is($mt->superuser("SELECT multitenant.destroy_retired_keys('acme', 'pii') + multitenant.destroy_retired_keys('beta', 'pii')"), 2, 'the retired keys are destroyed');
goes_on('with the keys that are left');
stop_load('nobody has noticed');
all_readable('after all three');

# ---- restarts ----
unlink("$dir/1.key") or die;
$node->restart;
all_readable('after a restart without the first master key');
start_load();
goes_on('after the restart');
$node->stop('immediate');
eval { $load->finish };
$node->start;
all_readable('after a crash');

# ---- what is interrupted goes on ----
$mt->superuser("SELECT multitenant.create_tenant('many-' || n) FROM generate_series(1, 500) n");
versions('2,3');
my $third = $mt->superuser('SELECT id FROM multitenant.mek_status WHERE is_current');
my $on_second = "SELECT count(*) FROM multitenant.kek WHERE wrapped IS NOT NULL AND mek_id <> '$third'";

# Runs a procedure until the query says that it is halfway, and crashes the server.
sub crash_halfway
{
	my ($sql, $is_halfway) = @_;
	my $run = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('app'), '-c', $sql ], '>', \my $out, '2>', \my $err);
	ok($node->poll_query_until('app', $is_halfway), 'halfway');
	$node->stop('immediate');
	eval { $run->finish };
	$node->start;
	return;
}

$mt->superuser("CREATE FUNCTION public.brake() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.01); RETURN NEW; END'");
$mt->superuser('CREATE TRIGGER brake BEFORE UPDATE ON multitenant.kek FOR EACH ROW EXECUTE FUNCTION public.brake()');
my $all = $mt->superuser($on_second);
crash_halfway('CALL multitenant.rotate_mek(10)', "SELECT ($on_second) BETWEEN 1 AND $all - 20");
$mt->superuser('DROP TRIGGER brake ON multitenant.kek');
my $left = $mt->superuser($on_second);
ok($left > 0 && $left < $all, "$left of $all tenants' keys are left after the crash");
all_readable('between two master keys');
like(notices('CALL multitenant.rotate_mek()'), qr/wrapped the keys of $left tenants.*nothing in this database needs an older master key/s, 'the rotation goes on from there');
is($mt->superuser($on_second), 0, 'all are under the new one');
versions('3');
all_readable('under the third master key');

$mt->superuser("SELECT multitenant.rotate_cek('acme', 'pii')");
my $total = $mt->superuser("SELECT count(*) FROM kept k JOIN multitenant.cek c ON c.cek_id = multitenant.key_id(k.value) WHERE c.state = 'retired'");
$mt->superuser('CREATE TRIGGER brake BEFORE UPDATE ON kept FOR EACH ROW EXECUTE FUNCTION public.brake()');
crash_halfway("CALL multitenant.reencrypt('kept', 'value', 5)",
	"SELECT coalesce(max(rows_done), 0) BETWEEN 10 AND $total - 10 FROM multitenant.reencrypt_progress WHERE state = 'running'");
$mt->superuser('DROP TRIGGER brake ON kept');
my $done = $mt->superuser("SELECT rows_done FROM multitenant.reencrypt_progress WHERE state = 'running'");
ok($done >= 10 && $done < $total, "$done of $total values were encrypted again before the crash");
is($mt->superuser("SELECT count(*) FROM kept k JOIN multitenant.cek c ON c.cek_id = multitenant.key_id(k.value) WHERE c.state = 'retired'"), $total - $done, 'and are noted');
like(notices("CALL multitenant.reencrypt('kept', 'value', 100)"), qr/encrypted @{[$total - $done]} rows/, 'the others follow');
all_readable('after a crash in the middle');

# ---- statements that are running ----
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('rotation_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
my (undef, $checked, $count) = $standby->psql('app', 'SELECT count(*) FROM multitenant.verify_keys()');
is($checked, 0, 'on a standby every key is verified');
like($count, qr/[1-9]\d* keys were checked, 0 failed/, 'and counted');
my ($code) = $standby->psql('app', "SELECT multitenant.rotate_cek('acme', 'pii')");
isnt($code, 0, 'but not replaced');

my $endless = "BEGIN; SELECT multitenant.use_tenant('acme'); SELECT count(multitenant.decrypt_text(a.value)) FROM kept a, kept b, kept c, kept d";

# Starts it on a server, does something on the primary, and wants it to fail.
sub stopped
{
	my ($server, $sql, $state, $name) = @_;
	my ($out, $err) = ('', '');
	my $run = IPC::Run::start([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $server->connstr('app') . ' user=regress_mt_trusted', '-c', $endless ], '>', \$out, '2>', \$err);
	$server->poll_query_until('app', "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'BEGIN; SELECT multitenant.use_tenant%' AND state = 'active' AND clock_timestamp() > query_start + interval '300 ms'")
	  or die "the statement does not run: $err";
	my $from = time;
	$mt->superuser($sql);
	my $committed = time;
	$run->finish;
	diag(sprintf('%s: %.1f ms after the commit was reported, %.1f ms after the call', $name, 1000 * (time - $committed), 1000 * (time - $from)));
	like($err, qr/ERROR:  $state:/, $name);
	return;
}

foreach my $case ([ $node, 'on the primary' ], [ $standby, 'on a standby' ])
{
	my ($server, $where) = @$case;
	stopped($server, "SELECT multitenant.suspend_tenant_keys('acme', 'test')", 'MT020', "suspending the keys stops a running statement $where");
	$mt->superuser("SELECT multitenant.resume_tenant_keys('acme')");
	$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
	stopped($server, "SELECT multitenant.suspend_tenant('acme', 'test')", 'MT006', "suspending the tenant stops it $where");
	$mt->superuser("SELECT multitenant.resume_tenant('acme')");
	$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
}
$standby->stop;

# A snapshot from before sees the suspension; so does a session that had the key ready.
my $session = $mt->session('regress_mt_trusted');
ask($session, 'BEGIN ISOLATION LEVEL REPEATABLE READ');
ask($session, "SELECT multitenant.use_tenant('acme')");
is(ask($session, 'SELECT multitenant.decrypt_text(value) = note FROM kept LIMIT 1'), 't', 'a session has the key ready');
$mt->superuser("SELECT multitenant.suspend_tenant_keys('acme', 'test')");
is(ask($session, 'SELECT multitenant.decrypt_text(value) FROM kept LIMIT 1'), 'MT020', 'and no longer');
ask($session, 'ROLLBACK');
$mt->superuser("SELECT multitenant.resume_tenant_keys('acme')");
# In two phases, too.
$mt->superuser("ALTER SYSTEM SET max_prepared_transactions = 5");
$session->quit;
$node->restart;
$session = $mt->session('regress_mt_trusted');
ask($session, 'BEGIN');
ask($session, "SELECT multitenant.use_tenant('acme')");
is(ask($session, 'SELECT multitenant.decrypt_text(value) = note FROM kept LIMIT 1'), 't', 'the same once more');
$mt->superuser("BEGIN; SELECT multitenant.suspend_tenant_keys('acme', 'test'); PREPARE TRANSACTION 'suspension'");
is(ask($session, 'SELECT multitenant.decrypt_text(value) = note FROM kept LIMIT 1'), 't', 'a suspension that is prepared is none');
$mt->superuser("COMMIT PREPARED 'suspension'");
is(ask($session, 'SELECT multitenant.decrypt_text(value) FROM kept LIMIT 1'), 'MT020', 'until its commit');
ask($session, 'ROLLBACK');
$mt->superuser("SELECT multitenant.resume_tenant_keys('acme')");
$session->quit;
unlike(slurp_file($node->logfile), qr/(?:5[123]){16}/, 'no key is in the log');
done_testing();
