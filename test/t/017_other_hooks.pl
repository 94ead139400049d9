# Other extensions with hooks: in either order of loading each gets its calls, and what is refused is refused.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $app = 'regress_mt_app';
my @hooks = (qw(planner start run finish permissions access analyze log), 'relation info', 'relation stats', 'index stats', 'paths');

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
	$mt->superuser("CREATE FUNCTION hook_calls(text) RETURNS bigint LANGUAGE c VOLATILE STRICT AS '$library';
		CREATE FUNCTION hook_refuses(boolean) RETURNS void LANGUAGE c VOLATILE STRICT AS '$library';
		CREATE TABLE uneven (i int); INSERT INTO uneven SELECT 1 FROM generate_series(1, 1000); CREATE INDEX ON uneven ((i + 1)); ANALYZE uneven;
		CREATE TABLE kind (id int PRIMARY KEY); INSERT INTO kind VALUES (1); CREATE TABLE thing (kind int); INSERT INTO thing SELECT 1 FROM generate_series(1, 9);
		CREATE TABLE ruled (t text); ALTER TABLE ruled ENABLE ROW LEVEL SECURITY; CREATE POLICY all_rows ON ruled USING (t IS NOT NULL); GRANT SELECT ON ruled TO $app");
	# Some of the library's own hooks are there only once something needs them.
	my $needed = "SET multitenant.index_exposure = hide; SET ROLE $app; SELECT count(*) FROM ruled WHERE t LIKE 'x%'; RESET ROLE;\n";
	foreach my $hook (@hooks)
	{
		my $calls = "SELECT hook_calls('$hook') AS before \\gset\n";
		my ($out) = $mt->run('postgres', $needed . $calls . "SET log_statement = 'all'; CREATE TEMP TABLE t (i int); CREATE INDEX ON t ((i + 1)); INSERT INTO t VALUES (1);
			SELECT count(*) FROM t WHERE i = 1; SELECT count(*) FROM t WHERE i + 1 = 2; DROP TABLE t; SELECT hook_calls('$hook') - :before > 0;");
		like($out, qr/^t$/m, "$first first: \"$hook\" of the other one is called");
	}
	# The server asks whether it may validate a key with one statement, and else takes one for each row.
	foreach my $refuses (0, 1)
	{
		my ($out) = $mt->run('postgres', "SELECT hook_refuses(${refuses}::boolean); BEGIN; SELECT hook_calls('start') AS before \\gset\n
			ALTER TABLE thing ADD FOREIGN KEY (kind) REFERENCES kind; SELECT hook_calls('start') - :before >= 9; ROLLBACK");
		like($out, $refuses ? qr/^t$/m : qr/^f$/m, "$first first: what the other one answers counts");
		foreach my $column ('i', 'i + 1')
		{
			($out) = $mt->run('postgres', "SELECT hook_refuses(${refuses}::boolean); EXPLAIN SELECT FROM uneven WHERE $column IN (1, 2)");
			like($out, $refuses ? qr/rows=(?!1000)\d+ / : qr/rows=1000 /, "$first first: and what it says of statistics for $column");
		}
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
