# Other extensions with hooks: in either order of loading each gets its calls, and what is refused is refused.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $app = 'regress_mt_app';
my $acme = '00000000-0000-0000-0000-00000000000a';
my @hooks = qw(planner start run finish permissions access analyze log);

# The other extension, compiled as this one is.
my $library = PostgreSQL::Test::Utils::tempdir . '/counting_hooks.so';
my %config = map { chomp(my $value = `pg_config --$_`); ($_ => $value) } qw(cc cppflags cflags_sl includedir-server);
$config{cflags_sl} ||= '-fPIC';
is(system("$config{cc} $config{cppflags} $config{cflags_sl} -O1 -g -Wall -I$FindBin::Bin/../../src -I$config{'includedir-server'} -shared "
		. "-o '$library' '$FindBin::Bin/hooks/counting_hooks.c'"), 0, 'another extension with hooks')
  or BAIL_OUT('it does not compile');
chmod(0755, $library);

foreach my $order ("$library, multitenant", "multitenant, $library")
{
	my $first = $order =~ /^multitenant/ ? 'multitenant' : 'the other one';
	my $mt = MtTest->new($first =~ s/\W+/_/gr, preload => 'none', conf => "shared_preload_libraries = '$order'");
	$mt->superuser("CREATE FUNCTION hook_calls(text) RETURNS bigint LANGUAGE c VOLATILE STRICT AS '$library'");
	foreach my $hook (@hooks)
	{
		my %options = $hook eq 'log' ? (pgoptions => '-c log_statement=none') : ();
		my $calls = "SELECT hook_calls('$hook') AS before \\gset\n";
		my ($out) = $mt->run('postgres', $calls . "SET log_statement = 'all'; CREATE TEMP TABLE t (i int); INSERT INTO t VALUES (1);
			SELECT count(*) FROM t; DROP TABLE t; SELECT hook_calls('$hook') - :before > 0;");
		like($out, qr/^t$/m, "$first first: \"$hook\" of the other one is called");
	}
	$mt->refused($app, 'SELECT note FROM invoice', 'MT001', "$first first: no context, no rows");
	$mt->allowed($app, $mt->begin('acme') . 'SELECT note FROM invoice', 'SECRET-ACME', "$first first: a context, its rows", tenant => 'acme');
	$mt->refused($app, $mt->begin('acme') . 'SELECT pg_terminate_backend(1)', 'MT010', "$first first: other sessions are out of reach");
	$mt->refused('postgres', 'DROP EXTENSION multitenant CASCADE', 'MT010', "$first first: the extension stays");
	$mt->log_since;
	my $token = $mt->token('acme');
	$mt->run($app, "SELECT 1/0, '$token'");
	my $log = $mt->log_since;
	like($log, qr/division by zero/, "$first first: the error is in the log");
	unlike($log, qr/eyJ[\w-]{8}/, "$first first: the credential is not");
	$mt->intact("$first first: nothing was changed");
	$mt->node->stop;
}

done_testing();
