# No nonce twice: of one key, in many sessions, transactions and savepoints that are rolled back, parallel workers, after a
# crash, and on a standby that was promoted while the old primary goes on. MT_NONCES=10000000 makes it that many values.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $wanted = $ENV{MT_NONCES} || 200_000;
my $share = int($wanted / 9) + 100;	# four sessions, workers with two, one after the crash, two after the promotion
my $dir = PostgreSQL::Test::Utils::tempdir;
umask(0077);
append_to_file("$dir/1.key", '5c' x 32);
my $mt = MtTest->new('nonces', init => { allows_streaming => 1 }, conf => "multitenant.key_provider = file\nmultitenant.key_file = '$dir/%v.key'\nmax_worker_processes = 16\nmax_parallel_workers = 8");
my $primary = $mt->node;
my @files;

# What a session seals: its key's id and its nonces, whether or not the transaction commits.
sub sealed
{
	my ($count, $from) = @_;
	$from ||= "generate_series(1, $count)";
	return "COPY (SELECT encode(substr(multitenant.encrypt('x')::bytea, 3, 20), 'hex') FROM $from) TO STDOUT;\n";
}

sub start_session
{
	my ($node, $sql) = @_;
	my $file = "$dir/nonces." . scalar @files;
	push @files, $file;
	append_to_file("$file.sql", $sql);
	return IPC::Run::start([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('app'), '-f', "$file.sql" ], '>', $file, '2>', "$file.err");
}

sub all_end
{
	my ($what, @sessions) = @_;
	my $good = 1;
	$good &&= IPC::Run::finish($_) foreach @sessions;
	ok($good, $what);
	return;
}

my $begin = "BEGIN;\nSELECT multitenant.use_tenant('acme') \\g /dev/null\n";
$mt->superuser("SELECT multitenant.create_key('" . $mt->superuser("SELECT id FROM multitenant.tenant WHERE slug = 'acme'") . "', 'default')");

# Sessions at once; each with one long transaction, many short ones, and savepoints that are rolled back.
my $short = join('', map { $begin . sealed(int($share / 200) || 1) . "COMMIT;\n" } 1 .. 100);
my $undone = $begin . join('', map { "SAVEPOINT s;\n" . sealed(int($share / 200) || 1) . "ROLLBACK TO s;\n" . sealed(1) } 1 .. 100) . "ROLLBACK;\n";
all_end('sessions at once', map { start_session($primary, $_) } ($begin . sealed($share) . "COMMIT;\n", $begin . sealed($share) . "ROLLBACK;\n", $short . $undone, $undone . $short));

# Workers.
my $rows = $share * 2;
$primary->safe_psql('app', "CREATE TABLE public.many AS SELECT i FROM generate_series(1, $rows) i; ALTER TABLE public.many SET (parallel_workers = 4); ANALYZE public.many");
my $parallel = "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 4;\n";
my $plan = $primary->safe_psql('app', "$parallel EXPLAIN SELECT encode(substr(multitenant.encrypt('x')::bytea, 3, 20), 'hex') FROM public.many");
like($plan, qr/Workers Planned: 4/, 'workers seal');
all_end('parallel workers', start_session($primary, $parallel . $begin . sealed(0, 'public.many') . "COMMIT;\n"));

# A crash.
$primary->stop('immediate');
$primary->start;
all_end('after a crash', start_session($primary, $begin . sealed($share) . "COMMIT;\n"));

# Two servers that were one.
$primary->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('promoted');
$standby->init_from_backup($primary, 'copy', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby);
my ($code, $stdout, $stderr) = $standby->psql('app', "\\set VERBOSITY sqlstate\nBEGIN; SELECT multitenant.use_tenant('acme'); SELECT multitenant.encrypt('x')");
like($stderr, qr/25006/, 'a standby seals nothing');
$standby->promote;
all_end('after a promotion, on both', map { start_session($_, $begin . sealed($share) . "COMMIT;\n") } ($primary, $standby));

my $total = 0;
foreach my $file (@files)
{
	my $size = -s $file;
	is(slurp_file("$file.err"), '', 'no error');
	$total += $size / 41;
}
my $names = join(' ', map { "'$_'" } @files);
chomp(my $distinct = `LC_ALL=C sort -u -S 200M -T '$dir' $names | wc -l`);
chomp(my $keys = `cut -c 1-16 $names | LC_ALL=C sort -u -S 200M -T '$dir' | wc -l`);
cmp_ok($total, '>=', $wanted, "$total values");
is($distinct + 0, $total, 'no nonce twice');
is($keys + 0, 1, 'of one key');
diag("$total values, $distinct nonces, $keys key") if $ENV{MT_NONCES};
$standby->stop;
done_testing();
