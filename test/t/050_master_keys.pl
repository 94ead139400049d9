# Master keys from files: which files are refused and why, two versions, changing them without a restart, a provider that is
# down at the start, standbys, restarts of the keeper, memory that is hidden, and a log without keys.
use strict;
use warnings;
use Digest::SHA qw(hmac_sha256);
use FindBin;
use lib "$FindBin::Bin/../perl";
use MIME::Base64 qw(encode_base64);
use MtTest qw(ask);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @keys = map { join('', map { chr(int(rand 256)) } 1 .. 32) } 0 .. 4;

# The id of a key: eight bytes of HKDF-Expand for usage "kcv", no tenant, no purpose.
sub id
{
	my ($key) = @_;
	return unpack('H16', hmac_sha256("multitenant/v1/kcv\0" . "\0" x 16 . "\1", $key));
}

sub write_key
{
	my ($file, $content, $mode) = @_;
	unlink $file;
	open(my $out, '>:raw', $file) or die "$file: $!";
	print $out $content;
	close $out;
	chmod($mode // 0600, $file) or die;
	return $file;
}

my $dir = PostgreSQL::Test::Utils::tempdir;
chmod(0700, $dir);
write_key("$dir/1.key", unpack('H*', $keys[1]) . "\n");
write_key("$dir/2.key", $keys[2]);

my $mt = MtTest->new('keys', conf => "multitenant.key_provider = file\nmultitenant.key_file = '$dir/%v.key'\nrestart_after_crash = on\nlog_min_messages = debug5\nlog_replication_commands = on");
my $node = $mt->node;

sub status
{
	my ($which) = @_;
	return $mt->superuser("SELECT version, id, is_current, state, error FROM multitenant.mek_status ORDER BY version");
}

# Changes settings and loads anew; "" or the error's code and detail.
sub reload
{
	my (%settings) = @_;
	my $sql = join('', map { "ALTER SYSTEM SET multitenant.$_ = '$settings{$_}';\n" } sort keys %settings);
	my (undef, undef, $err) = $node->psql('app', $sql . 'SELECT pg_reload_conf(); SELECT multitenant.reload_master_keys()',
		extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	return '' unless $err =~ /ERROR:  (\w{5}): (.*)/;
	my ($code, $message) = ($1, $2);
	return $err =~ /DETAIL:  (.*)/ ? "$code $1" : "$code $message";
}

# ---- one key, then two ----
is(status(), '1|' . id($keys[1]) . '|t|loaded|', 'a key in hexadecimal digits is there when the server is');
is(reload(key_versions => '1,2'), '', 'a second version');
is(status(), '1|' . id($keys[1]) . "|f|loaded|\n2|" . id($keys[2]) . '|t|loaded|', 'both are there, the last is the current one');
is(reload(key_versions => '2'), '', 'the first is listed no longer');
is(status(), '2|' . id($keys[2]) . '|t|loaded|', 'and is gone');
is(reload(key_versions => '2, 1'), '', 'any order');
is($mt->superuser("SELECT version FROM multitenant.mek_status WHERE is_current"), '1', 'the last is the current one');
foreach my $wrong ('', '0', '1,1', '1,2,3,4,5', 'x', '1,', '-1', '99999999999')
{
	my (undef, undef, $err) = $node->psql('app', "ALTER SYSTEM SET multitenant.key_versions = '$wrong'");
	like($err, qr/invalid value for parameter "multitenant.key_versions"/, "versions \"$wrong\" are refused");
}
is(reload(key_versions => '1'), '', 'one again');

# ---- files that are refused ----
my $good = unpack('H*', $keys[3]);
mkdir("$dir/open") or die;
chmod(0777, "$dir/open");
my %files = (
	group => [ write_key("$dir/group", $good, 0640), 'The secret file is accessible to its group.' ],
	others => [ write_key("$dir/others", $good, 0604), 'The secret file is accessible to others.' ],
	writable => [ write_key("$dir/writable", $good, 0602), 'The secret file is accessible to others.' ],
	short => [ write_key("$dir/short", substr($good, 1)), 'The key is neither 32 bytes nor 64 hexadecimal digits.' ],
	long => [ write_key("$dir/long", $good . '00'), 'The key is neither 32 bytes nor 64 hexadecimal digits.' ],
	longer => [ write_key("$dir/longer", $good x 2), 'The secret file is too long.' ],
	empty => [ write_key("$dir/empty", ''), 'The key is neither 32 bytes nor 64 hexadecimal digits.' ],
	letters => [ write_key("$dir/letters", 'g' x 64), 'The key is neither 32 bytes nor 64 hexadecimal digits.' ],
	'32 bytes and a newline' => [ write_key("$dir/newline", $keys[3] . "\n"), 'The key is neither 32 bytes nor 64 hexadecimal digits.' ],
	missing => [ "$dir/missing", 'The secret file cannot be opened: No such file or directory.' ],
	directory => [ $dir, 'The secret file is not a regular file.' ],
	device => [ '/dev/zero', 'The secret file is not a regular file.' ],
	'of another owner' => [ '/etc/passwd', 'The secret file is accessible to others.' ],
	relative => [ 'global/key', 'The path of the secret file is not absolute.' ],
	'in an open directory' => [ write_key("$dir/open/key", $good), 'The directory of the secret file can be written by everybody.' ],
	pattern => [ "$dir/%x.key", 'multitenant.key_file has a % that is neither %v nor %%.' ],
	unset => [ '', 'multitenant.key_file is not set.' ]);
symlink(write_key("$dir/target", $good), "$dir/link") or die;
$files{link} = [ "$dir/link", 'The secret file is a symbolic link.' ];
system('mkfifo', '-m', '0600', "$dir/fifo") == 0 or die;
$files{fifo} = [ "$dir/fifo", 'The secret file is not a regular file.' ];
foreach my $name (sort keys %files)
{
	my ($file, $reason) = @{ $files{$name} };
	is(reload(key_file => $file, key_versions => '3'), "MT020 $reason", "a file that is $name");
	is(status(), "3||f|failing|$reason", "mek_status says it of a file that is $name");
}
is(reload(key_file => "$dir/%v.key", key_versions => '1,2'), '', 'back to good files');

# ---- what becomes of keys that are loaded ----
write_key("$dir/1.key", unpack('H*', $keys[4]));
is(reload(), 'MT020 The provider has another key for this version than the one that is loaded.', 'a version does not become another key');
is(status(), '1|' . id($keys[1]) . '|f|failing|The provider has another key for this version than the one that is loaded.' . "\n2|" . id($keys[2]) . '|t|failing|',
	'it keeps what it had');
unlink("$dir/1.key");
is(reload(), 'MT020 The secret file cannot be opened: No such file or directory.', 'a file that has gone');
like(status(), qr/^1\|${\id($keys[1])}\|f\|failing\|/, 'its key stays');
write_key("$dir/1.key", unpack('H*', $keys[2]));
is(reload(key_versions => '2'), '', 'without it');
is(reload(key_versions => '2,1'), 'MT020 The provider has the same key for another version.', 'two versions are two keys');
is($mt->superuser("SELECT count(*) FROM multitenant.mek_status WHERE is_current"), '0', 'there is no current one then');
my (undef, undef, $refusal) = $node->psql('app', "SELECT multitenant.wrap_signing_secret('hs')", extra_params => [ '-v', 'VERBOSITY=verbose' ]);
like($refusal, qr/ERROR:  MT020: the master key is not loaded\nDETAIL:  Version 1: The provider has the same key for another version\./, 'none stands in for it');
write_key("$dir/1.key", unpack('H*', $keys[1]));

# ---- by itself ----
ok($node->poll_query_until('app', "SELECT state = 'loaded' FROM multitenant.mek_status LIMIT 1"), 'it is tried again by itself');
is($mt->superuser("SELECT next_try IS NULL FROM multitenant.mek_status LIMIT 1"), 't', 'and then no more');
rename("$dir/1.key", "$dir/away");
$node->restart;
my $app = $mt->superuser('SELECT count(*) FROM multitenant.tenants');
is($app, '3', 'a server whose key is away runs');
is(status(), "1||f|failing|The secret file cannot be opened: No such file or directory.\n2|" . id($keys[2]) . '|f|failing|', 'and says why');
rename("$dir/away", "$dir/1.key");
ok($node->poll_query_until('app', "SELECT state = 'loaded' FROM multitenant.mek_status LIMIT 1"), 'once it is back it is loaded');

# ---- the keeper ends ----
my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
my ($keeper) = `ps -eo pid,ppid,args` =~ /^\s*(\d+)\s+$postmaster\s+.*multitenant key keeper/m;
ok($keeper, 'there is a keeper');
kill 'TERM', $keeper;
ok($node->poll_query_until('app', "SELECT count(*) = 2 AND bool_and(state = 'loaded') FROM multitenant.mek_status"), 'keys outlive it');
is(reload(), '', 'and it comes back');
my ($second) = `ps -eo pid,ppid,args` =~ /^\s*(\d+)\s+$postmaster\s+.*multitenant key keeper/m;
isnt($second, $keeper, 'as another process');
kill 'KILL', $second;
ok($node->poll_query_until('app', "SELECT count(*) = 2 AND bool_and(state = 'loaded') FROM multitenant.mek_status"), 'after a crash they are loaded again');
is(reload(), '', 'by another keeper');

# ---- who may look ----
$mt->refused('regress_mt_app', 'SELECT * FROM multitenant.mek_status', '42501', 'an application does not see the state');
$mt->refused('regress_mt_app', 'SELECT multitenant.reload_master_keys()', '42501', 'nor loads keys');
$mt->refused('regress_mt_app', 'SELECT multitenant._reload_master_keys()', '42501', 'not past the record either');
$mt->refused('regress_mt_app', 'SELECT * FROM multitenant._master_keys()', '42501', 'nor reads what is behind it');
$mt->refused('regress_mt_operator', 'SELECT multitenant.reload_master_keys()', '42501', 'an operator loads none');
foreach my $setting (qw(key_file key_command pkcs11_module pkcs11_pin_file pkcs11_token_label pkcs11_key_label))
{
	$mt->refused('regress_mt_app', "SHOW multitenant.$setting", '42501', "$setting is not shown to an application");
}

# ---- what lint() says ----
sub findings { return $mt->superuser("SELECT string_agg(name || ' ' || level || ' ' || cache_key, E'\\n' ORDER BY cache_key) FROM multitenant.lint() WHERE name ~ '^(master_key|memory)_'") }
is(findings(), '', 'nothing, where all is well');
my $inside = write_key($node->data_dir . '/3.key', $keys[3]);
is(reload(key_file => $node->data_dir . '/%v.key', key_versions => '3,4'), 'MT020 The secret file cannot be opened: No such file or directory.', 'files inside the data directory, one of them missing');
my @findings = split /\n/, findings();
like($findings[0], qr/^master_key_in_data_directory high /, 'a key inside the data directory');
like(join("\n", @findings), qr/^master_key_not_loaded medium .*version:4/m, 'and one that is missing');
is(reload(key_file => "$dir/%v.key", key_versions => '1,2'), '', 'all well again');
like(slurp_file($node->logfile), qr/WARNING:  the file of master key version 3 is inside the data directory/, 'the log warns of such a file, too');

# ---- the standby ----
$node->append_conf('postgresql.conf', "wal_level = replica\nmax_wal_senders = 4\n");
$node->restart;
$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->append_conf('postgresql.conf', "multitenant.key_file = '$dir/standby-%v.key'\n");
$standby->append_conf('postgresql.auto.conf', "multitenant.key_file = '$dir/standby-%v.key'\n");
$standby->start;
my $standby_state = "SELECT DISTINCT state FROM multitenant.mek_status";
is($standby->safe_psql('app', $standby_state), 'failing', 'a standby without its file has no keys');
write_key("$dir/standby-$_.key", $keys[$_]) foreach 1, 2;
ok($standby->poll_query_until('app', "SELECT bool_and(state = 'loaded') FROM multitenant.mek_status"), 'it loads its own');
is($standby->safe_psql('app', "SELECT version, id FROM multitenant.mek_status ORDER BY version"),
	'1|' . id($keys[1]) . "\n2|" . id($keys[2]), 'the same keys have the same ids there');
$standby->stop;

# ---- off ----
is(reload(key_provider => 'off'), '', 'the provider is turned off');
is($mt->superuser("SELECT version, id, provider, state FROM multitenant.mek_status"), '||off|off', 'and all keys are gone');
$node->stop;

# ---- the log ----
my $log = slurp_file($node->logfile) . slurp_file($standby->logfile);
like($log, qr/multitenant audit: event="key.master_load".*outcome="done".*object="master key version 1".*${\id($keys[1])}/, 'loading is recorded');
like($log, qr/event="key.master_load".*outcome="refused".*accessible to others/, 'so is failure');
like($log, qr/event="key.master_remove".*${\id($keys[1])}/, 'and removal');
like($log, qr/event="key.reload_master_keys"/, 'and who asked');
foreach my $n (1 .. 4)
{
	my $hex = unpack('H*', $keys[$n]);
	my $base64 = encode_base64($keys[$n], '');
	ok(index(lc $log, substr($hex, $_, 16)) < 0, "no part of key $n in the log, from digit $_ on") foreach 0, 16, 32, 48;
	ok(index($log, substr($base64, 0, 16)) < 0, "nor in base64");
	ok(index($log, substr($keys[$n], 0, 8)) < 0, "nor as it is");
}

done_testing();
