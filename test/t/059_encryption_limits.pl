# What encrypted columns, secrets, shredding and the transfer of keys must not do, each in one attempt.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use IPC::Run;
use MtTest qw(ask);
use PostgreSQL::Test::Utils;
use Test::More;

my ($app, $trusted, $owner, $provisioner) = qw(regress_mt_app regress_mt_trusted regress_mt_owner regress_mt_provisioner);
my $acme = '00000000-0000-0000-0000-00000000000a';
my $gamma = '00000000-0000-0000-0000-00000000000c';
my $dir = PostgreSQL::Test::Utils::tempdir;
chmod(0700, $dir);
foreach my $version (1, 2)
{
	open(my $out, '>:raw', "$dir/$version.key") or die;
	print $out join('', map { chr(int(rand 256)) } 1 .. 32);
	close $out;
	chmod(0600, "$dir/$version.key") or die;
}
my $mt = MtTest->new('limits', conf => "multitenant.key_provider = file\nmultitenant.key_file = '$dir/%v.key'\nmultitenant.key_versions = '1,2'");

# ---- columns ----
$mt->superuser("SELECT multitenant.grant_access('$owner', 'migrator')");
$mt->superuser(<<"SQL");
SET SESSION AUTHORIZATION $owner;
CREATE TABLE file (tenant_id uuid NOT NULL, id int, part int, body text, n int DEFAULT 0, PRIMARY KEY (tenant_id, id, part));
INSERT INTO file VALUES ('$acme', 1, 23, 'BODY-1'), ('$acme', 12, 3, 'BODY-2'), ('$gamma', 1, 1, 'BODY-3');
SELECT multitenant.protect('file');
GRANT SELECT, INSERT, UPDATE, DELETE ON file TO $app, $trusted;
SQL
my (undef, undef, $err) = $mt->node->psql('app', "SET SESSION AUTHORIZATION $owner;\nCALL multitenant.encrypt_column('file', 'body', 'files');",
	extra_params => [ '-v', 'VERBOSITY=verbose' ]);
like($err, qr/ERROR:  55000: .*not active/, 'a tenant that is not active keeps the column from being dropped');
is($mt->superuser('SELECT string_agg(body_plaintext, $$,$$) FROM file_encrypted'), 'BODY-3', 'so that nothing is lost');
$mt->superuser("SELECT multitenant.resume_tenant('gamma')");
$mt->superuser("SET SESSION AUTHORIZATION $owner;\nCALL multitenant.encrypt_column('file', 'body', 'files')");
$mt->allowed($app, $mt->begin('acme') . "SELECT string_agg(body, '+' ORDER BY id) FROM file", 'BODY-1+BODY-2', 'read through the view');
$mt->superuser("GRANT SELECT ON file TO regress_mt_migrator");
$mt->refused('regress_mt_migrator', "BEGIN; SELECT multitenant.use_tenant('acme'); SELECT body FROM file", '42501', 'the view alone, without a privilege on the table');
$mt->refused($app, 'SELECT body FROM file', 'MT001', 'the view without a context');
$mt->allowed($app, $mt->begin('beta') . 'SELECT count(*) FROM file', '0', 'another tenant sees no row of the view');
$mt->superuser("SELECT multitenant.set_visibility('acme', 'supervised')");
$mt->refused($app, $mt->begin('acme', kind => 'supervised') . 'SELECT body FROM file', '42501', 'a supervised session, of the view');
$mt->refused($app, $mt->begin('acme') . 'UPDATE file_encrypted t SET body = o.body FROM file_encrypted o WHERE t.id = 12 AND o.id = 1; SELECT body FROM file WHERE id = 12',
	'MT021', 'a value moved to another row');
# Without lengths 1:23 and 12:3 would be one context.
$mt->allowed($app, $mt->begin('acme') . 'UPDATE file SET part = 7 WHERE id = 1; UPDATE file_encrypted SET part = 8 WHERE id = 12; SELECT string_agg(body, $$+$$ ORDER BY id) FROM file',
	'BODY-1+BODY-2', 'a key that changes is followed');
$mt->refused($app, $mt->begin('acme') . "INSERT INTO file_encrypted (id, part, body) VALUES (5, 5, 'PLAIN')", '22P02', 'no plaintext past the view');
$mt->refused($app, $mt->begin('acme') . "INSERT INTO file (tenant_id, id, part, body) VALUES ('$gamma', 5, 5, 'x')", '42501', 'no row of another tenant through the view');

# ---- secrets ----
$mt->allowed($app, $mt->begin('acme') . "SELECT 'v' || multitenant.put_secret('s', 'SECRET-ACME'); COMMIT;", 'v1', 'a secret, from an application');
foreach my $use ("multitenant.get_secret('s')", "multitenant.put_secret('s', 'x')", "multitenant.drop_secret('s')")
{
	$mt->refused($app, $mt->begin('acme', kind => 'supervised') . "SELECT $use", '42501', "a supervised session: $use");
}
$mt->refused($app, $mt->begin('beta') . "SELECT multitenant.get_secret('s')", '42704', 'another tenant');
# Who puts a secret, and then does nothing, is suspended all the same.
my $idle = $mt->session($trusted);
ask($idle, "BEGIN; SELECT multitenant.use_tenant('beta')");
is(ask($idle, "SELECT multitenant.put_secret('held', '1')"), '1', 'a secret in an open transaction');
my ($code) = $mt->node->psql('app', "SET lock_timeout = '5s'; SELECT multitenant.suspend_tenant('beta', 'incident')");
is($code, 0, 'does not keep its tenant from being suspended');
ask($idle, 'ROLLBACK');
$mt->superuser("SELECT multitenant.resume_tenant('beta')");
# Two at once have two versions.
my $other = $mt->session($trusted);
ask($_, "BEGIN; SELECT multitenant.use_tenant('beta')") foreach $idle, $other;
is(ask($idle, "SELECT multitenant.put_secret('both', 'one')"), '1', 'the first one');
$other->query_until(qr/begun/, "\\echo begun\nSELECT multitenant.put_secret('both', 'two');\n");
ok($mt->node->poll_query_until('app', "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"), 'the second one waits');
ask($idle, 'COMMIT');
is(ask($other, "SELECT string_agg(multitenant.get_secret('both', v), '+' ORDER BY v) FROM generate_series(1, 2) v"), "2\none+two", 'and takes the next version');
ask($other, 'COMMIT');
$_->quit foreach $idle, $other;

# ---- a table that others have open ----
$mt->superuser(<<"SQL");
SET SESSION AUTHORIZATION $owner;
CREATE TABLE busy (tenant_id uuid NOT NULL, id int PRIMARY KEY, ssn text NOT NULL, phone text NOT NULL);
INSERT INTO busy SELECT '$acme', g, 's' || g, 'p' || g FROM generate_series(1, 5) g;
SELECT multitenant.protect('busy');
GRANT SELECT ON busy TO $trusted;
CALL multitenant.encrypt_column('busy', 'ssn', 'files');
CALL multitenant.encrypt_column('busy', 'phone', 'files');
SQL
my $reader = $mt->session($trusted);
ask($reader, "BEGIN; SELECT multitenant.use_tenant('acme')");
is(ask($reader, 'SELECT count(*) FROM busy'), '5', 'a reader holds the table');
my @changes = map {
	IPC::Run::start([ 'psql', '-X', '-q', '-d', $mt->node->connstr('app'), '-c', "SET SESSION AUTHORIZATION $owner", '-c', "CALL multitenant.decrypt_column('busy', '$_')" ],
		'>', '/dev/null', '2>', \(my $errors = ''))
} qw(ssn phone);
ok($mt->node->poll_query_until('app', "SELECT count(*) = 2 FROM pg_stat_activity WHERE query ~ '^CALL multitenant.decrypt_column' AND wait_event IN ('relation', 'PgSleep')"),
	'two change it at once');
sleep 3;
like($mt->superuser("SELECT string_agg(DISTINCT wait_event, ',') FROM pg_stat_activity WHERE query ~ '^CALL multitenant.decrypt_column'"), qr/PgSleep|relation/, 'and wait');
ask($reader, 'COMMIT');
$reader->quit;
ok((grep { $_->finish } @changes) == 2, 'both are done');
is($mt->superuser("SELECT count(*) FROM multitenant.encrypted_columns WHERE column_name IN ('ssn', 'phone')"), '0', 'no column is forgotten');
is($mt->superuser("SELECT string_agg(attname, ',' ORDER BY attname) FROM pg_attribute WHERE attrelid = 'busy'::regclass AND attnum > 0 AND NOT attisdropped"),
	'id,phone,ssn,tenant_id', 'none is left over');
is($mt->superuser('SELECT string_agg(ssn || phone, $$,$$ ORDER BY id) FROM busy'), 's1p1,s2p2,s3p3,s4p4,s5p5', 'and values are what they were');

# ---- transfer ----
$mt->superuser("SELECT multitenant.create_key('$acme', 'pii')");
my $transport = $mt->superuser('SELECT id FROM multitenant.mek_status WHERE is_current');
my $bundle = $mt->superuser("SELECT multitenant.export_wrapped_keys('$acme', '$transport')");
is($mt->superuser("UPDATE multitenant.kek SET wrapped = decode('$bundle'::jsonb -> 'keks' -> 0 ->> 'key', 'hex') WHERE tenant_id = '$acme' RETURNING 'done'"), 'done', 'an exported key as a row');
$mt->refused($app, $mt->begin('acme') . 'SELECT body FROM file', 'MT020', 'which opens nothing');
$mt->superuser("DELETE FROM multitenant.cek WHERE tenant_id = '$acme'; DELETE FROM multitenant.kek WHERE tenant_id = '$acme';");
$mt->refused($provisioner, "SELECT multitenant.import_wrapped_keys('$bundle')", '42501', 'importing is not for provisioners');
my $changed = $mt->superuser("SELECT jsonb_set('$bundle', '{ceks,0,check}', '\"0011223344556677\"')");
(undef, undef, $err) = $mt->node->psql('app', "SELECT multitenant.import_wrapped_keys('$changed')", extra_params => [ '-v', 'VERBOSITY=verbose' ]);
like($err, qr/ERROR:  MT020: a key of the bundle/, 'a bundle that was changed');
$mt->superuser("SELECT multitenant.import_wrapped_keys('$bundle')");
$mt->allowed($app, $mt->begin('acme') . "SELECT string_agg(body, '+' ORDER BY id) FROM file", 'BODY-1+BODY-2', 'imported, the keys open what they did');

# ---- shredding ----
$mt->refused($trusted, "SELECT * FROM multitenant.shred_tenant('$acme', 'acme')", '42501', 'shredding is not for applications');
$mt->refused($provisioner, "SELECT * FROM multitenant.shred_tenant('$acme', 'acme')", '55000', 'nor for tenants that are active');
$mt->superuser("SELECT multitenant.suspend_tenant('acme', 'end')");
$mt->refused($provisioner, "SELECT * FROM multitenant.shred_tenant('$acme', 'beta')", '22023', 'nor without confirmation');
$mt->allowed($provisioner, "SELECT count FROM multitenant.shred_tenant('$acme', 'acme', true) WHERE what = 'tenant keys'", '1', 'dry');
is($mt->superuser("SELECT count(*) FROM multitenant.kek WHERE tenant_id = '$acme' AND wrapped IS NOT NULL"), '1', 'nothing is destroyed');
$mt->allowed($provisioner, "SELECT count FROM multitenant.shred_tenant('$acme', 'acme') WHERE what = 'tenant keys'", '1', 'for good');
is($mt->superuser("SELECT count(*) FROM multitenant.kek WHERE tenant_id = '$acme' AND wrapped IS NOT NULL"), '0', 'no wrapped key is left');
$mt->superuser("SELECT multitenant.resume_tenant('acme')");
$mt->refused($app, $mt->begin('acme') . 'SELECT body FROM file', 'MT020', 'nothing can be read');
$mt->allowed($app, $mt->begin('gamma') . 'SELECT body FROM file', 'BODY-3', 'but by others');
$mt->refused($provisioner, 'SELECT is_final FROM multitenant.shred_status WHERE is_final; SELECT multitenant.confirm_master_key_destroyed($$' . $transport . '$$, $$x$$)', '42501',
	'who manages tenants does not speak for master keys');
my $certificate = $mt->superuser('SELECT id FROM multitenant.shred_certificate');
is($mt->superuser("SELECT multitenant.verify_shred_certificate('$certificate')"), 'valid', 'the certificate');
# RFC 8032, test 1: a signature that is right, under a key that is not ours.
is($mt->superuser(q{SELECT multitenant._check_certificate('', signed_with, '\xd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
	'\xe5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b') FROM multitenant.shred_certificate}),
	'forged', 'a certificate of somebody else');
$mt->superuser("ALTER TABLE multitenant.shred_certificate DISABLE TRIGGER USER; UPDATE multitenant.shred_certificate SET content = content || '{\"by\": \"nobody\"}'");
is($mt->superuser("SELECT multitenant.verify_shred_certificate('$certificate')"), 'forged', 'a certificate that was changed');
is($mt->superuser("SELECT is_final FROM multitenant.shred_status"), 'f', 'it is not final');

# ---- a share that is kept elsewhere ----
my $shares = "$dir/shares";
mkdir($shares) or die;
chmod(0700, $shares);
sub share_command
{
	my ($command) = @_;
	$mt->superuser("ALTER SYSTEM SET multitenant.share_command = '$command'");
	$mt->superuser('SELECT pg_reload_conf()');
	return;
}
my $delta = $mt->superuser("SELECT multitenant.create_tenant('delta')");
my $create = "SELECT multitenant.create_tenant_key('$delta', true)";
$mt->refused($provisioner, $create, 'MT020', 'a share without a command');
share_command("cat $shares/%x");
$mt->refused($provisioner, $create, 'MT020', 'a command with another percent sign');
share_command("cat $shares/%t");
$mt->refused($provisioner, $create, 'MT020', 'a share that is not there');
append_to_file("$shares/$delta", 'ab' x 31);
$mt->refused($provisioner, $create, 'MT020', 'one that is too short');
append_to_file("$shares/$delta", "ab\n");
$mt->refused($app, $create, '42501', 'not for applications');
$mt->allowed($provisioner, "SELECT 'made' WHERE multitenant.create_tenant_key('$delta', true) > 0", 'made', 'a key with a share');
$mt->refused($provisioner, $create, '55000', 'a second one');
is($mt->superuser("SELECT share IS NOT NULL FROM multitenant.kek WHERE tenant_id = '$delta'"), 't', 'is marked so');
my $use = "BEGIN; SELECT multitenant.use_tenant('delta');";
$mt->allowed($trusted, "$use INSERT INTO file (id, part, body) VALUES (1, 1, 'BODY-4') RETURNING body; COMMIT;", 'BODY-4', 'encrypts');
$mt->allowed($trusted, "$use SELECT body FROM file", 'BODY-4', 'and decrypts');
# Rotating the master key keeps the need for the share.
$mt->superuser("CREATE FUNCTION pg_temp.rewrap(bigint) RETURNS void LANGUAGE c AS '\$libdir/multitenant', 'mt_rewrap_tenant_key'; SELECT pg_temp.rewrap(kek_id) FROM multitenant.kek WHERE tenant_id = '$delta'");
$mt->allowed($trusted, "$use SELECT body FROM file", 'BODY-4', 'as it does when its wrapping was renewed');
rename("$shares/$delta", "$dir/other") or die;
append_to_file("$shares/$delta", ('ac' x 32) . "\n");
$mt->refused($trusted, "$use SELECT body FROM file", 'MT020', 'with another share nothing');
unlink("$shares/$delta");
$mt->refused($trusted, "$use SELECT body FROM file", 'MT020', 'without a share nothing');
$mt->allowed($app, $mt->begin('gamma') . 'SELECT body FROM file', 'BODY-3', 'other tenants need none');
rename("$dir/other", "$shares/$delta") or die;
$mt->allowed($trusted, "$use SELECT body FROM file", 'BODY-4', 'with it everything again');
share_command("sleep 8; cat $shares/%t");
$mt->refused($trusted, "SET statement_timeout = '300 ms'; $use SELECT body FROM file", '57014', 'who waits for a share can be stopped');
share_command("cat $shares/%t");
$mt->superuser("SELECT multitenant.suspend_tenant('delta', 'end')");
$mt->refused($provisioner, "SELECT multitenant.confirm_share_destroyed('$delta', 'x')", '55000', 'destroyed before it is shredded');
$mt->superuser("SELECT multitenant.shred_tenant('$delta', 'delta')");
is($mt->superuser("SELECT is_final FROM multitenant.shred_status WHERE slug = 'delta'"), 'f', 'shredded, not yet final');
$mt->superuser("SELECT multitenant.confirm_share_destroyed('$delta', 'ceremony')");
is($mt->superuser("SELECT is_final, pending FROM multitenant.shred_status WHERE slug = 'delta'"), 't|{}', 'final when the share is gone');
is($mt->superuser("SELECT is_final FROM multitenant.shred_status WHERE slug = 'acme'"), 'f', 'which says nothing of a tenant without one');
$mt->refused($provisioner, "SELECT multitenant.confirm_share_destroyed('$acme', 'x')", '55000', 'nor can it be said');
$mt->superuser("SELECT multitenant.resume_tenant('delta'); SELECT multitenant.create_key('$delta', 'pii')");
is($mt->superuser("SELECT share IS NOT NULL FROM multitenant.kek WHERE tenant_id = '$delta' AND state = 'active'"), 't', 'its next key has a share, too');
# A trigger that is replaced by what it runs goes on with what it was.
$mt->superuser("GRANT CREATE ON SCHEMA public TO $owner");
$mt->allowed($owner, <<'SQL', 'still here', 'a trigger replaced by what it runs');
CREATE TABLE replaced (a int);
CREATE FUNCTION kept(i int) RETURNS int LANGUAGE sql AS 'SELECT i';
CREATE FUNCTION replacing(i int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
	IF i = 1 THEN
		EXECUTE 'CREATE OR REPLACE TRIGGER multitenant_encryption BEFORE INSERT ON replaced FOR EACH ROW EXECUTE FUNCTION multitenant._encrypted_row(''{}'', ''SELECT public.kept(new.a) AS a'', '''')';
		INSERT INTO replaced VALUES (2);
		PERFORM count(*), max(length(repeat('z', g))) FROM generate_series(1, 3000) g;
	END IF;
	RETURN i;
END $$;
CREATE TRIGGER multitenant_encryption BEFORE INSERT ON replaced FOR EACH ROW EXECUTE FUNCTION multitenant._encrypted_row('{}', 'SELECT public.replacing(new.a) AS a', '');
INSERT INTO replaced VALUES (1);
INSERT INTO replaced VALUES (3);
SELECT 'still here' FROM replaced HAVING count(*) = 3;
SQL

done_testing();
