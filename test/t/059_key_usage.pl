# Uses of keys are counted, and a key that has sealed enough is replaced; keys are used, replaced and destroyed only by whom
# and when they may be.
use strict;
use warnings;
use FindBin;
use IPC::Run ();
use lib "$FindBin::Bin/../perl";
use MtTest qw(ask);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $dir = PostgreSQL::Test::Utils::tempdir;
chmod(0700, $dir);
umask(0077);
append_to_file("$dir/$_.key", sprintf('%02x', 0x50 + $_) x 32) foreach 1 .. 2;
my $mt = MtTest->new('key_usage', conf => "multitenant.key_provider = file\nmultitenant.key_file = '$dir/%v.key'\nmultitenant.key_versions = '1'\nmax_prepared_transactions = 5");
my $node = $mt->node;

# A procedure's notices.
sub notices
{
	my ($sql) = @_;
	my (undef, undef, $err) = $node->psql('app', $sql);
	return $err;
}

my $session = $mt->session('regress_mt_trusted');

# ---- who may ----
my $acme = "'00000000-0000-0000-0000-00000000000a'::uuid";
foreach my $call ("rotate_cek($acme, 'pii')", "rotate_kek($acme)", "suspend_tenant_keys($acme, 'x')", "resume_tenant_keys($acme)",
	"destroy_retired_keys($acme, 'pii')", 'verify_keys()', "create_key($acme, 'pii')")
{
	$mt->refused('regress_mt_trusted', "SELECT multitenant.$call", '42501', "an application may not call $call");
}
$mt->refused('regress_mt_operator', 'CALL multitenant.rotate_mek()', '42501', 'only superusers replace the master key');

# ---- when ----
$mt->superuser("CREATE TABLE kept (id serial PRIMARY KEY, value multitenant.encrypted); GRANT ALL ON kept, kept_id_seq TO regress_mt_trusted; SELECT multitenant.create_key($acme, 'pii')");
ask($session, 'BEGIN');
ask($session, "SELECT multitenant.use_tenant('acme')");
is(ask($session, "INSERT INTO kept (value) VALUES (multitenant.encrypt('x', 'pii')) RETURNING multitenant.is_current(value)"), 't', 'a session has a key ready');
$mt->superuser("SELECT multitenant.rotate_cek('acme', 'pii')");
is(ask($session, "SELECT multitenant.is_current(multitenant.encrypt('x', 'pii'))"), 't', 'and uses the next one as soon as it is there');
is(ask($session, 'SELECT multitenant.decrypt_text(value) FROM kept'), 'x', 'the retired one still decrypts');
$mt->refused('regress_mt_provisioner', "SELECT multitenant.destroy_retired_keys('acme', 'pii', patience => '200 ms')", '55000', 'nor is it destroyed while somebody writes');
ask($session, 'COMMIT');
$mt->refused('regress_mt_provisioner', "SELECT multitenant.destroy_retired_keys('acme', 'pii')", '55000', 'nor while a row has a value of it');

# Values that no row has yet that can be seen: those of tables that are being made, and those in somebody's hands.
$mt->superuser("SELECT multitenant.create_key($acme, 'held')");
$mt->superuser('GRANT CREATE ON SCHEMA public TO regress_mt_trusted');
my $destroy = "SELECT multitenant.destroy_retired_keys('acme', 'held', patience => '200 ms')";
ask($session, 'BEGIN');
ask($session, "SELECT multitenant.use_tenant('acme')");
my $held = ask($session, "SELECT multitenant.encrypt('x', 'held')");
$mt->superuser("SELECT multitenant.rotate_cek('acme', 'held')");
$mt->refused('regress_mt_provisioner', $destroy, '55000', 'nor is it destroyed while a value is in somebody\'s hands');
ask($session, "CREATE TABLE held AS SELECT '$held'::multitenant.encrypted AS value");
$mt->refused('regress_mt_provisioner', $destroy, '55000', 'nor is it destroyed while a new table has one');
my (undef, $open) = $mt->run('regress_mt_provisioner', $destroy);
like($open, qr/DETAIL:  Open: process \d+ of role regress_mt_trusted\.$/m, 'it says who is waited for');
ask($session, 'COMMIT');
(undef, $open) = $mt->run('regress_mt_provisioner', $destroy);
like($open, qr/1 rows of public\.held have values of them in column value/, 'then the table is seen');
$mt->superuser('DROP TABLE held');
$mt->run('postgres', "BEGIN; CREATE TABLE held AS SELECT '$held'::multitenant.encrypted AS value; PREPARE TRANSACTION 'held'");
(undef, $open) = $mt->run('regress_mt_provisioner', $destroy);
like($open, qr/DETAIL:  Open: a prepared transaction, /, 'prepared transactions are waited for, too');
$mt->superuser("ROLLBACK PREPARED 'held'");
# What is copied on while others are waited for, and not committed when they have ended.
$mt->superuser("SELECT multitenant.create_key($acme, 'moved'); CREATE TABLE staged (value multitenant.encrypted); CREATE TABLE copied (value multitenant.encrypted); GRANT ALL ON staged, copied TO regress_mt_trusted");
my ($slow, $loading, $moving) = map { $mt->session('regress_mt_trusted') } 1 .. 3;
foreach my $one ($slow, $loading)
{
	ask($one, 'BEGIN');
	ask($one, "SELECT multitenant.use_tenant('acme')");
}
ask($loading, "INSERT INTO staged VALUES (multitenant.encrypt('precious', 'moved'))");
$mt->superuser("SELECT multitenant.rotate_cek('acme', 'moved')");
my ($destroyed, $refused) = ('', '');
my $destroying = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('app'), '-c', "SELECT multitenant.destroy_retired_keys('acme', 'moved', patience => '60 s')" ],
	'>', \$destroyed, '2>', \$refused);
ok($node->poll_query_until('app', "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'virtualxid' AND NOT granted"), 'others are waited for');
ask($loading, 'COMMIT');
ask($moving, 'BEGIN');
ask($moving, 'INSERT INTO copied SELECT value FROM staged');
$mt->superuser('DELETE FROM staged');
ask($slow, 'COMMIT');
usleep(300_000);
ask($moving, 'COMMIT');
IPC::Run::finish($destroying);
like($refused, qr/1 rows of public\.copied have values of them/, 'what was copied meanwhile is waited for and seen');
is($mt->superuser("BEGIN; SELECT multitenant.use_tenant('acme') \\g /dev/null\nSELECT multitenant.decrypt_text(value) FROM copied; COMMIT;"), 'precious', 'and opens');
$mt->superuser('DROP TABLE staged, copied');
$_->quit foreach $slow, $loading, $moving;
# Another type, or none: its bytes are not taken for values.
$mt->superuser('CREATE TABLE held (value multitenant.encrypted, other int, gone multitenant.encrypted); INSERT INTO held VALUES (NULL, 12345, NULL); ALTER TABLE held DROP COLUMN gone');
is(($mt->run('postgres', "SELECT sum(multitenant._rows_of_keys('held', n::smallint, '{1}')) FROM generate_series(-1, 4) n"))[0], '0', 'only columns that hold values are read');
$mt->superuser('DROP TABLE held');
is($mt->superuser($destroy), 1, 'a key that nobody needs is destroyed');
$mt->refused('regress_mt_provisioner', "BEGIN; SELECT multitenant.rotate_cek('acme', 'held'); $destroy; COMMIT", '55000', 'nor in the transaction that retired it');

# A key that was made after a transaction's snapshot would be left behind under a key that is destroyed.
$mt->refused('regress_mt_provisioner', "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT multitenant.rotate_kek('acme'); COMMIT", '55000', 'nor with a snapshot from before');
my $provisioner = $mt->session('regress_mt_provisioner');
my $late = $mt->superuser("SELECT multitenant.create_tenant('late')");
ask($provisioner, 'BEGIN ISOLATION LEVEL REPEATABLE READ');
ask($provisioner, 'SELECT count(*) FROM multitenant.tenants');
$mt->superuser("SELECT multitenant.create_key('$late', 'pii')");
is(ask($provisioner, "SELECT multitenant.create_tenant_key('$late', true)"), '55000', 'nor is a key exchanged for one with a share');
ask($provisioner, 'COMMIT');
$provisioner->quit;
is($mt->superuser("SELECT count(*) FROM multitenant.verify_keys() v WHERE v.tenant_id = '$late'"), 0, 'which keeps what it wraps');
$mt->refused('postgres', "SELECT multitenant._assert_wraps_nothing(kek_id) FROM multitenant.kek WHERE tenant_id = $acme AND state = 'active'", '55000',
	'nor a tenant\'s key that wraps something');
is($mt->superuser("SELECT count(*) FROM multitenant.cek WHERE state = 'destroyed' AND purpose = 'pii'"), 0, 'all are there');
$mt->superuser("SELECT multitenant.suspend_tenant_keys('acme', 'test')");
ask($session, 'BEGIN');
ask($session, "SELECT multitenant.use_tenant('acme')");
is(ask($session, 'SELECT multitenant.decrypt_text(value) FROM kept'), 'MT020', 'a suspended key decrypts nothing');
ask($session, 'ROLLBACK');
$mt->superuser("SELECT multitenant.resume_tenant_keys('acme')");
$mt->superuser("ALTER SYSTEM SET multitenant.key_versions = '1,2'");
$mt->superuser('SELECT pg_reload_conf(); SELECT multitenant.reload_master_keys()');
$mt->superuser('CALL multitenant.rotate_mek(1)');
my $problems = 'SELECT string_agg(problem, $$; $$) FROM multitenant.verify_keys()';
is($mt->superuser($problems), '', 'every key opens after it was wrapped again');
$mt->superuser("SELECT multitenant.rotate_kek('acme')");
is($mt->superuser($problems), '', 'and under the next key of the tenant');

# A key that waits for the second phase of its transaction seals nothing: it may still be rolled back.
my ($found, $refused) = $mt->run('postgres', "BEGIN; SELECT multitenant.use_tenant('acme') \\g /dev/null\nSELECT multitenant.encrypt('x', 'two-phase') \\g /dev/null\nPREPARE TRANSACTION 'first use';
	SET lock_timeout = '100ms'; BEGIN; SELECT multitenant.use_tenant('acme') \\g /dev/null\nSELECT multitenant.encrypt('x', 'two-phase'); ROLLBACK; ROLLBACK PREPARED 'first use';");
like($refused, qr/ERROR:  55P03/, 'a key that waits for its second phase seals nothing');
is($found, '', 'nothing at all');
is($mt->superuser("SELECT count(*) FROM multitenant.cek WHERE purpose = 'two-phase'"), 0, 'and is gone afterwards');

# ---- encrypting again ----
# A tenant with a row that cannot be written, a trigger that fires at the commit: the others are done all the same.
$mt->superuser("CREATE TABLE papers (tenant_id uuid, id int, value multitenant.encrypted, number int, PRIMARY KEY (tenant_id, id));
	CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
	CREATE CONSTRAINT TRIGGER at_commit AFTER UPDATE ON papers DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION at_commit()");
foreach my $slug ('acme', 'beta')
{
	$mt->superuser("BEGIN; SELECT multitenant.use_tenant('$slug') \\g /dev/null\nINSERT INTO papers SELECT multitenant.current_tenant(), n, multitenant.encrypt('x', 'docs'), CASE '$slug' WHEN 'acme' THEN -1 END FROM generate_series(1, 3) n; COMMIT; SELECT multitenant.rotate_cek('$slug', 'docs') > 0");
}
$mt->superuser('ALTER TABLE papers ADD CHECK (number > 0) NOT VALID');
my $encrypted = notices("CALL multitenant.reencrypt('papers', 'value')");
like($encrypted, qr/WARNING:.* for purpose "docs" were not all encrypted again: new row for relation "papers" violates check constraint/, 'a tenant whose rows cannot be written is named');
like($encrypted, qr/encrypted 3 rows of public\.papers\.value again; failed for 1 tenants/, 'the others are encrypted again, also with deferred triggers');
is($mt->superuser("SELECT string_agg(t.slug || ' ' || p.state, ', ' ORDER BY t.slug) FROM multitenant.reencrypt_progress p JOIN multitenant.tenant t ON t.id = p.tenant_id WHERE p.purpose = 'docs'"),
	'acme failed, beta done', 'progress says so');
# Values of retired keys that keep coming: somebody writes old ones back.
$mt->superuser('TRUNCATE papers');
$mt->superuser("ALTER TABLE papers DROP CONSTRAINT papers_number_check; CREATE OR REPLACE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.value := OLD.value; RETURN NEW; END';
	DROP TRIGGER at_commit ON papers; CREATE TRIGGER back BEFORE UPDATE ON papers FOR EACH ROW EXECUTE FUNCTION at_commit()");
$mt->superuser("BEGIN; SELECT multitenant.use_tenant('acme') \\g /dev/null\nINSERT INTO papers VALUES (multitenant.current_tenant(), 1, multitenant.encrypt('x', 'docs')); COMMIT; SELECT multitenant.rotate_cek('acme', 'docs') > 0");
like(notices("CALL multitenant.reencrypt('papers', 'value', max_runtime => '1 minute')"), qr/not all encrypted again: others go on writing values of retired keys/, 'it does not go on for ever');
$mt->superuser('DROP TABLE papers');

# ---- counting ----
my $tenant = '00000000-0000-0000-0000-00000000000a';
my $uses = "SELECT uses FROM multitenant.cek WHERE tenant_id = '$tenant' AND purpose = 'counted' AND class = 'data' AND version = 1";

sub seal
{
	my ($number) = @_;
	return "BEGIN; SELECT multitenant.use_tenant('acme') \\g /dev/null\nSELECT count(multitenant.encrypt('x', 'counted')) FROM generate_series(1, $number); COMMIT;";
}

$mt->superuser(seal(1000));
is($mt->superuser($uses), 0, 'a few uses are not written');
is($mt->superuser("SELECT uses FROM multitenant.key_status WHERE purpose = 'counted'"), 1000, 'but counted');
$mt->superuser("BEGIN; SELECT multitenant.use_tenant('acme') \\g /dev/null\nSELECT multitenant.encrypt('x', 'counted') \\g /dev/null\nSAVEPOINT s; SELECT multitenant.encrypt('x', 'counted') \\g /dev/null\nROLLBACK TO s; ROLLBACK;");
is($mt->superuser("SELECT uses FROM multitenant.key_status WHERE purpose = 'counted'"), 1002, 'also those of transactions that were rolled back');
$mt->superuser("BEGIN; SELECT multitenant.use_tenant('acme') \\g /dev/null\nSELECT multitenant.blind_index('x', 'counted') \\g /dev/null\nCOMMIT;");
is($mt->superuser("SELECT count(*) FROM multitenant.key_status WHERE purpose = 'counted' AND class = 'blind_index' AND uses IS NULL"), 1, 'blind indexes are not');
ask($session, 'BEGIN');
ask($session, "SELECT multitenant.use_tenant('acme')");
is(ask($session, "SELECT multitenant.is_current(multitenant.encrypt('x', 'counted'))"), 't', 'a session that stays');
$mt->superuser(seal(1_100_000));
ok($node->poll_query_until('app', "SELECT ($uses) >= 1048576"), 'many are written');
ok($node->poll_query_until('app', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'multitenant key usage'"), 'by a process that ends');
is($mt->superuser("SELECT uses FROM multitenant.key_status WHERE purpose = 'counted' AND class = 'data'"), 1_101_003, 'none is lost, none is counted twice');

# At half of what it may seal a key is replaced by itself, also for a session that has it ready.
$mt->superuser("UPDATE multitenant.cek SET uses = 2147483648 - 1000000 WHERE tenant_id = '$tenant' AND purpose = 'counted' AND class = 'data'");
is(ask($session, "SELECT count(multitenant.encrypt('x', 'counted')) FROM generate_series(1, 1300000)"), '1300000', 'it goes on');
# Whoever comes next asks for the process if it was there a moment ago.
usleep(200_000);
is(ask($session, "SELECT count(multitenant.encrypt('x', 'counted')) FROM generate_series(1, 70000)"), '70000', 'and on');
ok($node->poll_query_until('app', "SELECT count(*) = 1 FROM multitenant.cek WHERE tenant_id = '$tenant' AND purpose = 'counted' AND class = 'data' AND version = 2 AND state = 'active'"),
	'a key that has sealed enough is replaced');
is($mt->superuser("SELECT state FROM multitenant.cek WHERE tenant_id = '$tenant' AND purpose = 'counted' AND class = 'data' AND version = 1"), 'retired', 'and retired');
is(ask($session, "SELECT (SELECT version FROM multitenant.key_status) IS NULL"), '42501', 'the session is an application');
ask($session, 'ROLLBACK');
is($mt->superuser("SELECT count(*) FROM multitenant.audit_log WHERE event = 'key.rotate' AND object = 'counted'"), 1, 'it is recorded');
like($mt->log_since, qr/key of tenant $tenant for purpose "counted" was replaced after \d+ values/, 'and logged');

# Where the keys of the tenant are suspended it waits until they are not.
$mt->superuser("SELECT multitenant.create_key('$tenant', 'waits'); UPDATE multitenant.cek SET uses = 2147483648 WHERE purpose = 'waits'; SELECT multitenant.suspend_tenant_keys('acme', 'test')");
$mt->superuser('SELECT multitenant._replace_used_keys(2147483648)');
is($mt->superuser("SELECT count(*) FROM multitenant.cek WHERE purpose = 'waits'"), 1, 'not replaced while suspended');
$mt->superuser("SELECT multitenant.resume_tenant_keys('acme'); SELECT multitenant._replace_used_keys(2147483648)");
is($mt->superuser("SELECT count(*) FROM multitenant.cek WHERE purpose = 'waits'"), 2, 'but afterwards');
# Without the master key it says so and leaves the others alone.
$mt->superuser("UPDATE multitenant.cek SET uses = 2147483648 WHERE purpose = 'waits' AND state = 'active'");
$mt->superuser("ALTER SYSTEM SET multitenant.key_provider = 'off'");
$mt->superuser('SELECT pg_reload_conf(); SELECT multitenant.reload_master_keys()');
like(notices('SELECT multitenant._replace_used_keys(2147483648)'), qr/is used up and was not replaced: there is no master key/, 'a key that cannot be replaced');
is($mt->superuser("SELECT count(*) FROM multitenant.cek WHERE purpose = 'waits' AND state = 'active'"), 1, 'stays as it is');
$session->quit;


done_testing();
