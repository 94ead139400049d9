# Master keys from commands and from an HSM: what is taken, what is refused and why, what is left running, and that neither a
# provider that hangs nor one that crashes reaches the server.
use strict;
use warnings;
use Digest::SHA qw(hmac_sha256);
use FindBin;
use lib "$FindBin::Bin/../perl";
use MIME::Base64 qw(encode_base64);
use MtTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @keys = map { join('', map { chr(int(rand 256)) } 1 .. 32) } 0 .. 5;
my @hex = map { unpack('H*', $_) } @keys;
sub id { return unpack('H16', hmac_sha256("multitenant/v1/kcv\0" . "\0" x 16 . "\1", $_[0])) }

# A time to sleep that no other process of the machine has.
my $nap = 100000 + $$;
my $dir = PostgreSQL::Test::Utils::tempdir;
chmod(0700, $dir);
sub write_file
{
	my ($name, $content, $mode) = @_;
	unlink "$dir/$name";
	open(my $out, '>:raw', "$dir/$name") or die "$name: $!";
	print $out $content;
	close $out;
	chmod($mode // 0600, "$dir/$name") or die;
	return "$dir/$name";
}
write_file("$_.hex", "$hex[$_]\n") foreach 1 .. 5;
write_file("$_.raw", $keys[$_]) foreach 1 .. 5;

$ENV{SOFTHSM2_CONF} = "$dir/softhsm2.conf";
my $mt = MtTest->new('providers', bare => 1, conf => "multitenant.key_provider = command\nmultitenant.key_timeout = '10s'\nlog_min_messages = debug5");
my $node = $mt->node;
$node->safe_psql('postgres', 'CREATE DATABASE app');
$mt->superuser('CREATE EXTENSION multitenant');

# Changes settings and loads anew; "" or the error's code and detail.
sub reload
{
	my (%settings) = @_;
	s/'/''/g foreach values %settings;
	my $sql = join('', map { "ALTER SYSTEM SET multitenant.$_ = '$settings{$_}';\n" } sort keys %settings);
	my (undef, undef, $err) = $node->psql('app', $sql . 'SELECT multitenant.reload_master_keys()', extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	return '' unless $err =~ /ERROR:  (\w{5}): (.*)/;
	my ($code, $message) = ($1, $2);
	return $err =~ /DETAIL:  (.*)/ ? "$code $1" : "$code $message";
}
sub naps { my @found = `pgrep -f '^sleep $nap\$'`; return scalar @found }
sub loaded { return $mt->superuser("SELECT string_agg(version || ' ' || id, ', ' ORDER BY version) FROM multitenant.mek_status") }

# A version that was not loaded before, so that nothing is kept.
my $fresh = 10;
sub reload_fresh { return reload(key_versions => ++$fresh, @_) }

# ---- commands ----
is(reload(), 'MT020 multitenant.key_command is not set.', 'no command');
is(reload(key_command => "cat $dir/%v.hex", key_versions => '1,2'), '', 'a command that prints hexadecimal digits');
is(loaded(), '1 ' . id($keys[1]) . ', 2 ' . id($keys[2]), 'is asked for each version');
is(reload(key_command => "printf '%%b' ''; cat $dir/%v.raw", key_versions => '3'), '', 'one that prints 32 bytes');
is(loaded(), '3 ' . id($keys[3]), 'yields the key');
is(reload_fresh(key_command => "cat; cat $dir/1.hex"), '', 'one that reads finds nothing to read');
is(reload_fresh(key_command => "ls -1 /proc/self/fd > $dir/fds; cat $dir/1.hex"), '', 'one that looks for open files');
is(join(' ', sort split /\n/, slurp_file("$dir/fds")), '0 1 2 3', 'finds what it was given, and the directory it reads');

my $timeout = 'MT020 The command took longer than multitenant.key_timeout.';
my @refused = (
	[ 'exit 3', 'MT020 The command failed with exit status 3.' ],
	[ "cat $dir/1.hex; exit 1", 'MT020 The command failed with exit status 1.' ],
	[ 'no-such-command', 'MT020 The command failed with exit status 127.' ],
	[ 'kill -9 $$', 'MT020 The command was ended by signal 9.' ],
	[ 'true', 'MT020 The key is neither 32 bytes nor 64 hexadecimal digits.' ],
	[ 'echo hello', 'MT020 The key is neither 32 bytes nor 64 hexadecimal digits.' ],
	[ "cat $dir/1.hex $dir/2.hex", 'MT020 The command printed more than a key.' ],
	[ 'yes', 'MT020 The command printed more than a key.' ],
	[ "echo %w", 'MT020 multitenant.key_command has a % that is neither %v nor %%.' ]);
# Without what differs from run to run.
sub name_of { my ($command) = @_; return 'command: ' . $command =~ s/\Q$dir\E\///gr =~ s/$nap/long/gr }
is(reload_fresh(key_command => $_->[0]), $_->[1], name_of($_->[0])) foreach @refused;
my @hanging = ("sleep $nap", "sleep $nap & sleep $nap", "trap '' TERM INT; sleep $nap", "sleep $nap & cat $dir/1.hex", "exec 1>&-; sleep $nap");
is(reload_fresh(key_command => $_, key_timeout => '300ms'), $timeout, name_of($_)) foreach @hanging;
is(naps(), 0, 'nothing of them is left');
is($mt->superuser('SELECT 1'), '1', 'the server is there all the time');
is(reload_fresh(key_command => "sleep $nap >&- & cat $dir/4.hex", key_timeout => '10s'), '', 'what lets go of the output is not waited for');
is(naps(), 0, 'nor left');
is(reload_fresh(key_command => "echo a complaint >&2; exit 1"), 'MT020 The command failed with exit status 1.', 'a command that complains');
is(reload(key_provider => 'pkcs11'), 'MT020 multitenant.key_file is not set.', 'another provider without its settings');

# While a command hangs the server can be stopped.
reload(key_provider => 'command', key_command => "cat $dir/1.hex", key_versions => '1');
$node->append_conf('postgresql.conf', "multitenant.key_timeout = '5min'\n");
$mt->superuser("ALTER SYSTEM RESET multitenant.key_timeout; ALTER SYSTEM SET multitenant.key_command = 'exec sleep $nap'; SELECT pg_reload_conf()");
ok(poll(sub { naps() == 1 }), 'a command hangs');
is(loaded(), '1 ' . id($keys[1]), 'what was loaded is there meanwhile');
$node->stop('fast');
is(naps(), 0, 'the server stops nevertheless, and the command with it');
$node->start;
my $hung = $node->background_psql('app', on_error_stop => 0);
is($mt->superuser('SELECT state FROM multitenant.mek_status'), 'starting', 'a command that hangs at the start keeps nobody out');
$hung->quit;
$node->stop('immediate');
ok(poll(sub { naps() == 0 }), 'a command does not outlive a crash either');
$node->append_conf('postgresql.auto.conf', "multitenant.key_provider = off\nmultitenant.key_timeout = '10s'\n");
$node->start;

sub poll
{
	my ($test) = @_;
	for (1 .. 600)
	{
		return 1 if $test->();
		select(undef, undef, undef, 0.1);
	}
	return 0;
}

# ---- an HSM ----
my ($module) = grep { -e } '/usr/lib/softhsm/libsofthsm2.so', '/usr/lib64/softhsm/libsofthsm.so', '/usr/lib64/pkcs11/libsofthsm2.so', '/usr/local/lib/softhsm/libsofthsm2.so';
my $has_tools = grep { -x "$_/softhsm2-util" } split /:/, $ENV{PATH};
$has_tools &&= grep { -x "$_/pkcs11-tool" } split /:/, $ENV{PATH};
SKIP:
{
	skip 'SoftHSM2 and pkcs11-tool are not installed', 1 unless $module && $has_tools;
	my %settings = (key_provider => 'pkcs11', pkcs11_module => $module, pkcs11_token_label => 'mt', pkcs11_key_label => 'wrapping-%v',
		pkcs11_pin_file => write_file('pin', "1234\n"), key_file => "$dir/%v.blob", key_versions => '1');
	my $probe = reload(%settings);
	skip 'this build has no PKCS#11', 1 if $probe =~ /no PKCS#11/;

	mkdir("$dir/tokens") or die;
	write_file('softhsm2.conf', "directories.tokendir = $dir/tokens\nobjectstore.backend = file\nlog.level = ERROR\n");
	my $tool = "pkcs11-tool --module $module --token-label mt --login --pin 1234";
	sub run_tool { my ($command) = @_; my $out = `$command 2>&1`; is($?, 0, name_of($command)) or diag($out); return $out; }
	run_tool('softhsm2-util --init-token --free --label mt --pin 1234 --so-pin 5678');

	# As the guide says: a master key that is made and wrapped inside.
	run_tool("$tool --keygen --key-type AES:32 --id 01 --label wrapping-1 --sensitive --usage-wrap --usage-decrypt");
	run_tool("$tool --keygen --key-type AES:32 --id 02 --label master-1 --sensitive --extractable");
	run_tool("umask 077; $tool --wrap --mechanism AES-KEY-WRAP --id 01 --application-id 02 --output-file $dir/1.blob");
	is(-s "$dir/1.blob", 40, 'a wrapped key');
	run_tool("$tool --delete-object --type secrkey --id 02");
	is(reload(%settings), '', 'the HSM unwraps a master key');
	my $first = loaded();
	like($first, qr/^1 [0-9a-f]{16}$/, 'it is loaded');
	$node->restart;
	ok($node->poll_query_until('app', "SELECT state = 'loaded' FROM multitenant.mek_status"), 'and after a restart');
	is(loaded(), $first, 'it is the same');

	# AES-GCM, with a key that the test knows.
	write_file('2.raw.wrapping', $keys[0]);
	run_tool("$tool --write-object $dir/2.raw.wrapping --type secrkey --key-type AES:32 --id 03 --label wrapping-2 --usage-decrypt");
	my $seal = sub {
		my ($aad) = @_;
		return pack('H*', `python3 -c "from cryptography.hazmat.primitives.ciphers.aead import AESGCM
n = bytes(range(12))
print((n + AESGCM(bytes.fromhex('$hex[0]')).encrypt(n, bytes.fromhex('$hex[2]'), b'$aad')).hex(), end='')"`);
	};
	write_file('2.blob', $seal->('multitenant/mek/v1'));
	is(-s "$dir/2.blob", 60, 'a sealed key');
	is(reload(key_versions => '1,2'), '', 'the HSM decrypts a master key');
	is(loaded(), "$first, 2 " . id($keys[2]), 'and it is the one that was sealed');

	# What goes wrong.
	reload(key_versions => '1');
	my $blob = slurp_file("$dir/2.blob");
	write_file('2.blob', $seal->('another'));
	like(reload(key_versions => '1,2'), qr/^MT020 The HSM refuses: AES-GCM decryption, code 0x/, 'sealed for something else');
	substr(my $changed = $blob, 30, 1) ^= "\1";
	write_file('2.blob', $changed);
	like(reload(), qr/^MT020 The HSM refuses: AES-GCM decryption, code 0x/, 'a changed bit');
	write_file('2.blob', substr($blob, 1));
	is(reload(), 'MT020 The wrapped key is neither 60 bytes (AES-GCM) nor 40 (AES key wrap).', 'a byte too few');
	write_file('2.blob', $blob);
	is(reload(pkcs11_pin_file => write_file('wrong', '9999')), 'MT020 The HSM refuses the PIN.', 'a wrong PIN');
	is(reload(pkcs11_pin_file => write_file('open', '1234', 0644)), 'MT020 PIN: The secret file is accessible to others.', 'a PIN for everybody');
	is(reload(pkcs11_pin_file => $settings{pkcs11_pin_file}, pkcs11_token_label => 'm'), 'MT020 The HSM has no token of that label.', 'another token');
	is(reload(pkcs11_token_label => 'mt', pkcs11_key_label => 'other'), 'MT020 The HSM has no AES key of that label.', 'another key');
	is(reload(pkcs11_key_label => 'wrapping-%v', pkcs11_module => "$dir/none.so"), 'MT020 The PKCS#11 module cannot be loaded.', 'no module');
	is(reload(pkcs11_module => 'none.so'), 'MT020 multitenant.pkcs11_module is not an absolute path.', 'a relative path');
	my ($libc) = `ldd $module` =~ m{(/\S*libc\.so\.6)};
	is(reload(pkcs11_module => $libc), 'MT020 The library is no PKCS#11 module.', 'another library');
	is(loaded(), $first, 'the first key is there all the time');
	is(reload(pkcs11_module => $module), '', 'and the second when all is mended');

	# What a module sees: it writes its map and is no module.
	write_file('map.c', "#include <stdio.h>\nlong C_GetFunctionList(void *p) { char line[512]; FILE *in = fopen(\"/proc/self/maps\", \"r\"), *out = fopen(\"$dir/maps\", \"w\"); while (fgets(line, sizeof line, in)) fputs(line, out); fclose(out); return 1; }\n");
	run_tool("gcc -shared -fPIC -o $dir/map.so $dir/map.c");
	is(reload_fresh(pkcs11_module => "$dir/map.so", key_file => "$dir/1.blob"), 'MT020 The library is no PKCS#11 module.', 'a module that looks around');
	unlike(slurp_file("$dir/maps"), qr/ rw-s /, 'sees no memory of the server');

	# A module that crashes or hangs is not the server's end.
	write_file('bad.c', "#include <stdlib.h>\n#include <unistd.h>\nlong C_GetFunctionList(void *p) { if (getenv(\"PATH\") && access(\"$dir/hang\", 0) == 0) for (;;) sleep(9); abort(); }\n");
	run_tool("gcc -shared -fPIC -o $dir/bad.so $dir/bad.c");
	is(reload_fresh(pkcs11_module => "$dir/bad.so", key_file => "$dir/1.blob"), 'MT020 The PKCS#11 module was ended by signal 6.', 'a module that crashes');
	write_file('hang', '');
	is(reload(key_timeout => '300ms'), 'MT020 The PKCS#11 module took longer than multitenant.key_timeout.', 'a module that hangs');
}

my $log = slurp_file($node->logfile);
like($log, qr/^a complaint$/m, 'what a command complains of is in the log');
unlike($log, qr/was terminated by signal|terminating any other active server processes/, 'no process of the server crashed');
unlike($log, qr/\b1234\b/, 'no PIN in the log');
foreach my $n (0 .. 5)
{
	ok(index(lc $log, substr($hex[$n], $_, 16)) < 0, "no part of key $n in the log, from digit $_ on") foreach 0, 16, 32, 48;
	ok(index($log, substr(encode_base64($keys[$n], ''), 0, 16)) < 0 && index($log, substr($keys[$n], 0, 8)) < 0, 'nor in other forms');
}

done_testing();
