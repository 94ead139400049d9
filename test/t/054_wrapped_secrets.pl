# Token secrets wrapped with the master key, with the library preloaded, by the session and late; and memory that is hidden.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest qw(ask);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $app = 'regress_mt_app';
my $rows = 'SELECT note FROM invoice';
my @keys = map { join('', map { chr(int(rand 256)) } 1 .. 32) } 0 .. 2;
my $dir = PostgreSQL::Test::Utils::tempdir;
chmod(0700, $dir);
sub write_key
{
	my ($name, $key) = @_;
	open(my $out, '>:raw', "$dir/$name") or die;
	print $out $key;
	close $out;
	chmod(0600, "$dir/$name");
	return;
}
write_key("$_.key", $keys[$_]) foreach 1, 2;
my $conf = "multitenant.key_provider = file\nmultitenant.key_file = '$dir/%v.key'";

sub accepted { my ($mt, $name) = @_; return $mt->allowed($app, $mt->begin('acme') . $rows, 'SECRET-ACME', $name, tenant => 'acme') }
sub unavailable { my ($mt, $name) = @_; return $mt->refused($app, $mt->begin('acme') . $rows, 'MT020', $name) }
my $wrap = "SELECT multitenant.wrap_signing_secret('hs')";

foreach my $preload (qw(shared session none))
{
	my $mt = MtTest->new("wrapped_$preload", preload => $preload, conf => $conf);
	my $node = $mt->node;
	$mt->superuser("SELECT multitenant._library()");
	accepted($mt, "$preload: a secret in a file");
	chmod(0644, $mt->{secret_file});
	my (undef, undef, $open) = $node->psql('app', $wrap, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	like($open, qr/ERROR:  55000: the secret of signing key "hs" cannot be wrapped\nDETAIL:  The secret file is accessible to others/, "$preload: a file for everybody is not wrapped");
	chmod(0600, $mt->{secret_file});
	$mt->superuser($wrap);
	is($mt->superuser("SELECT secret_file IS NULL, length(wrapped_secret) FROM multitenant.signing_key WHERE kid = 'hs'"), 't|' . (38 + length $mt->{secret}), "$preload: wrapped");
	my $stored = $mt->superuser("SELECT encode(wrapped_secret, 'hex') FROM multitenant.signing_key WHERE kid = 'hs'");
	ok(index($stored, unpack('H16', $mt->{secret})) < 0, "$preload: not in the clear");
	unlink($mt->{secret_file}) or die;
	accepted($mt, "$preload: a wrapped secret, without the file");
	$mt->refused($app, "BEGIN; SELECT multitenant.authenticate('" . $mt->token('acme', key => 'x' x 40) . "'); $rows", 'MT002', "$preload: another secret is another");
	my $first = $mt->superuser("SELECT encode(substr(wrapped_secret, 3, 8), 'hex') FROM multitenant.signing_key WHERE kid = 'hs'");
	is($mt->superuser('SELECT id FROM multitenant.mek_status'), $first, "$preload: under the master key that mek_status names");

	# Another version.
	$mt->superuser("SELECT multitenant._library(); ALTER SYSTEM SET multitenant.key_versions = '1,2'; SELECT pg_reload_conf()");
	ok($node->poll_query_until('app', "SELECT count(*) = 2 AND bool_and(id IS NOT NULL) FROM multitenant.mek_status"), "$preload: a second version");
	accepted($mt, "$preload: what the first has wrapped");
	$mt->superuser($wrap);
	isnt($mt->superuser("SELECT encode(substr(wrapped_secret, 3, 8), 'hex') FROM multitenant.signing_key WHERE kid = 'hs'"), $first, "$preload: wrapped again with the second");
	$mt->superuser("SELECT multitenant._library(); ALTER SYSTEM SET multitenant.key_versions = '2'; SELECT pg_reload_conf()");
	ok($node->poll_query_until('app', "SELECT count(*) = 1 FROM multitenant.mek_status"), "$preload: the first is gone");
	accepted($mt, "$preload: and not needed");

	# The master key is away.
	my $session = $mt->session($app);
	ask($session, 'SELECT 1');
	rename("$dir/2.key", "$dir/away");
	$mt->superuser("SELECT multitenant._library(); ALTER SYSTEM SET multitenant.key_provider = off; SELECT pg_reload_conf()");
	ok($node->poll_query_until('app', "SELECT state = 'off' FROM multitenant.mek_status"), "$preload: no provider");
	unavailable($mt, "$preload: a token of a key whose master key is not there");
	is(ask($session, "SELECT multitenant.authenticate('" . $mt->token('acme') . "')"), 'MT020', "$preload: in a session that stays");
	my (undef, undef, $err) = $node->psql('app', $wrap, extra_params => [ '-v', 'VERBOSITY=sqlstate' ]);
	like($err, qr/MT020/, "$preload: nothing is wrapped without one");
	$mt->superuser("SELECT multitenant._library(); ALTER SYSTEM SET multitenant.key_provider = file; SELECT pg_reload_conf()");
	ok($node->poll_query_until('app', "SELECT state = 'failing' FROM multitenant.mek_status"), "$preload: a provider without the key");
	unavailable($mt, "$preload: the same");
	rename("$dir/away", "$dir/2.key");
	ok($node->poll_query_until('app', "SELECT state = 'loaded' FROM multitenant.mek_status"), "$preload: it comes back");
	accepted($mt, "$preload: and tokens are accepted again");
	ok((grep { sleep 1; ask($session, 'BEGIN'); my $answer = ask($session, "SELECT multitenant.authenticate('" . $mt->token('acme') . "')"); ask($session, 'ROLLBACK'); $answer =~ /0a$/ } 1 .. 3), "$preload: in the session that stayed, too");
	$session->quit;

	# What was tampered with.
	my $kept = $mt->superuser("SELECT wrapped_secret FROM multitenant.signing_key WHERE kid = 'hs'");
	foreach my $byte (0, 1, 10, 22, -1)
	{
		my $offset = $byte >= 0 ? $byte : length($mt->{secret}) + 38 + $byte;
		$mt->superuser("UPDATE multitenant.signing_key SET wrapped_secret = set_byte('$kept', $offset, get_byte('$kept', $offset) # 1) WHERE kid = 'hs'");
		$mt->refused($app, $mt->begin('acme') . $rows, 'MT002', "$preload: byte $byte of the wrapped secret changed");
	}
	$mt->superuser("UPDATE multitenant.signing_key SET wrapped_secret = '$kept', created_at = created_at + interval '1 us' WHERE kid = 'hs'");
	$mt->refused($app, $mt->begin('acme') . $rows, 'MT002', "$preload: another key's beginning");
	$mt->superuser("UPDATE multitenant.signing_key SET created_at = created_at - interval '1 us' WHERE kid = 'hs'");
	accepted($mt, "$preload: all put right");
	$mt->superuser("INSERT INTO multitenant.signing_key (kid, algorithm, wrapped_secret, kinds, max_lifetime, created_at)
		SELECT 'moved', algorithm, wrapped_secret, kinds, max_lifetime, created_at FROM multitenant.signing_key WHERE kid = 'hs'");
	$mt->refused($app, $mt->begin('acme', kid => 'moved') . $rows, 'MT002', "$preload: the wrapped secret under another key id");
	$mt->refused($app, $wrap, '42501', "$preload: an application wraps nothing");
	$mt->refused($app, "SELECT multitenant._wrap_signing_secret('hs', '/etc/passwd', NULL, now())", '42501', "$preload: not past the record either");

	# Without the keeper.
	if ($preload ne 'shared')
	{
		(undef, undef, $err) = $node->psql('app', 'SELECT multitenant.reload_master_keys()', extra_params => [ '-v', 'VERBOSITY=sqlstate' ]);
		like($err, qr/55000/, "$preload: there is no keeper to reload");
		$mt->superuser("SELECT multitenant._library(); ALTER SYSTEM SET multitenant.key_provider = command; ALTER SYSTEM SET multitenant.key_command = 'touch $dir/ran-$preload; cat $dir/2.key'; SELECT pg_reload_conf()");
		ok($node->poll_query_until('app', "SELECT provider = 'command' AND error ~ 'shared_preload_libraries' FROM multitenant.mek_status"), "$preload: a session runs no command");
		unavailable($mt, "$preload: and has no key then");
		ok(!-e "$dir/ran-$preload", "$preload: the command has not run");
	}
	$node->stop;
	my $log = slurp_file($node->logfile);
	ok(index(lc $log, unpack('H*', $keys[$_])) < 0 && index($log, $keys[$_]) < 0, "$preload: key $_ is not in the log") foreach 1, 2;
	unlike($log, qr/\Q$mt->{secret}\E/, "$preload: nor the secret");
	unlike($log, qr/was terminated by signal/, "$preload: nothing crashed");
}

# ---- memory ----
SKIP:
{
	skip 'only Linux hides memory', 1 unless $^O eq 'linux';
	my $mt = MtTest->new('memory', conf => "$conf\nmultitenant.hide_memory = off");
	my $node = $mt->node;
	my $hex = unpack('H*', $keys[1]);

	# What a superuser can do with SQL: find the page in the map of a process, and read it.
	my $search = sub {
		my ($process) = @_;
		return $node->psql('app', <<"SQL");
DO \$do\$
DECLARE
	line text;
	low bigint;
	high bigint;
	found boolean := false;
BEGIN
	FOR line IN SELECT l FROM regexp_split_to_table(pg_read_file('/proc/$process/maps'), E'\\n') l WHERE l ~ ' rw-s .*zero' LOOP
		low := ('x' || lpad(split_part(split_part(line, ' ', 1), '-', 1), 16, '0'))::bit(64)::bigint;
		high := ('x' || lpad(split_part(split_part(line, ' ', 1), '-', 2), 16, '0'))::bit(64)::bigint;
		CONTINUE WHEN high - low > 65536;
		found := found OR position('\\x$hex'::bytea IN pg_read_binary_file('/proc/$process/mem', low, high - low)) > 0;
	END LOOP;
	RAISE NOTICE 'found: %', found;
END
\$do\$;
SQL
	};
	my $postmaster = sub { return (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0] };
	ok($node->poll_query_until('app', "SELECT state = 'loaded' FROM multitenant.mek_status"), 'there is a key');
	foreach my $process ('self', $postmaster->())
	{
		my (undef, undef, $err) = $search->($process);
		like($err, qr/found: t/, 'not hidden, SQL reads the key out of /proc/' . ($process eq 'self' ? 'self' : 'PID') . '/mem');
	}
	my @pages = grep { /^[0-9a-f]+-[0-9a-f]+ rw-s .*zero/ && /^Size: +4 kB/m } split /(?=^[0-9a-f]+-[0-9a-f]+ )/m, slurp_file('/proc/' . $postmaster->() . '/smaps');
	is(scalar @pages, 1, 'the page is one of its own');
	like($pages[0], qr/^VmFlags:.* dd\b/m, 'it is left out of core files');
	like($pages[0], qr/^VmFlags:.* lo\b/m, 'and locked');

	$node->append_conf('postgresql.conf', "multitenant.hide_memory = on\n");
	$node->restart;
	ok($node->poll_query_until('app', "SELECT state = 'loaded' FROM multitenant.mek_status"), 'hidden, there is a key, too');
	foreach my $process ('self', $postmaster->())
	{
		my (undef, undef, $err) = $search->($process);
		like($err, qr/Permission denied/, 'hidden, SQL does not read /proc/' . ($process eq 'self' ? 'self' : 'PID'));
	}
	foreach my $pid (split /\n/, `ps -o pid= --ppid @{[ $postmaster->() ]}`)
	{
		$pid =~ s/\s//g;
		ok(!open(my $memory, '<', "/proc/$pid/mem"), 'the memory of every process of the server is hidden');
	}
	my (undef, undef, $err) = $node->psql('app', "ALTER SYSTEM SET multitenant.hide_memory = off; SELECT pg_reload_conf(); SELECT pg_sleep(0.5); SELECT encode(pg_read_binary_file('/proc/self/mem', 4096, 8), 'hex')");
	like($err, qr/Permission denied/, 'turning it off takes a restart');
	$mt->superuser('ALTER SYSTEM RESET multitenant.hide_memory');

	# A provider that is turned on later hides what runs by then.
	$node->append_conf('postgresql.conf', "multitenant.key_provider = off\n");
	$node->restart;
	my $session = $mt->session('postgres');
	my $read = "SELECT pg_read_binary_file('/proc/self/mem', 4096, 8)";
	is(ask($session, $read), '58030', 'without a provider nothing is hidden, only that address is empty');
	$node->append_conf('postgresql.conf', "multitenant.key_provider = file\n");
	$node->reload;
	ok($node->poll_query_until('app', "SELECT state = 'loaded' FROM multitenant.mek_status"), 'a provider comes');
	is(ask($session, 'SELECT 1'), '1', 'a statement later');
	is(ask($session, $read), '42501', 'a session from before is hidden');
	ok(!open(my $memory, '<', '/proc/' . $postmaster->() . '/mem'), 'and the postmaster');
	$session->quit;
	$node->stop;

	# Memory that cannot be locked.
	my $start = sub { return system("ulimit -l 0; pg_ctl -w -D '" . $node->data_dir . "' -l '" . $node->logfile . "' start >/dev/null 2>&1") };
	is($start->(), 0, 'a server that cannot lock memory starts');
	ok($node->poll_query_until('app', "SELECT state = 'loaded' FROM multitenant.mek_status"), 'with its keys');
	is($mt->superuser("SELECT level FROM multitenant.lint() WHERE name = 'memory_not_locked'"), 'medium', 'lint() says so');
	system('pg_ctl', '-w', '-s', '-D', $node->data_dir, 'stop');
	like(slurp_file($node->logfile), qr/WARNING:  the memory of the master keys cannot be locked/, 'and the log');
	$node->append_conf('postgresql.conf', "multitenant.require_locked_memory = on\n");
	isnt($start->(), 0, 'with require_locked_memory it does not');
	like(slurp_file($node->logfile), qr/FATAL:  the memory of the master keys cannot be locked/, 'and says why');
}

done_testing();
