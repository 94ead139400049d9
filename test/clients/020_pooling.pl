# Tenants that use one session by turns, through drivers that prepare statements and set things when they connect, and
# through PgBouncer in both modes. Needs pgbouncer, psycopg 3 and 2, DBD::Pg, pgjdbc; what is missing is a failure unless
# MT_ALLOW_MISSING=1.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $mt = MtTest->new('pooling');
my $node = $mt->node;
my $dir = PostgreSQL::Test::Utils::tempdir;
my $pool = "$FindBin::Bin/pool";
my $python = $ENV{PYTHON} || '/usr/bin/python3';
my $jar = '/usr/share/java/postgresql.jar';

# ---- what each driver prints, whatever it goes through ----
my $turns = join('', map { ("SECRET-$_ 93s\n") } ('ACME', 'BETA') x 3);
my $left = "SECRET-BETA 93s \"\$user\", public 0\n";
my $end = "MT010 True\nSECRET-BETA";

my ($bouncer) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin';
my @pids;

sub is_missing
{
	my ($what, $is_there) = @_;
	return 0 if $is_there;
	ok($ENV{MT_ALLOW_MISSING}, "$what is missing");
	return 1;
}

# Does the program run?
sub has
{
	my @command = @_;
	return eval { IPC::Run::run(\@command, '>', \my $out, '2>', \my $err) };
}

# A PgBouncer with one session for all; returns its port.
sub start_bouncer
{
	my ($mode) = @_;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	append_to_file("$dir/$mode.users", join('', map { "\"$_\" \"\"\n" } 'regress_mt_app'));
	append_to_file("$dir/$mode.ini", <<"INI");
[databases]
app = host=@{[ $node->host ]} port=@{[ $node->port ]} dbname=app
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = trust
auth_file = $dir/$mode.users
pool_mode = $mode
default_pool_size = 1
ignore_startup_parameters = extra_float_digits
logfile = $dir/$mode.log
INI
	my $pid = fork // die "fork: $!\n";
	if ($pid == 0)
	{
		open(STDOUT, '>', '/dev/null');
		open(STDERR, '>', '/dev/null');
		exec($bouncer, "$dir/$mode.ini") or exit 127;
	}
	push @pids, $pid;
	local %ENV = (%ENV, PGHOST => '127.0.0.1', PGPORT => $port, PGUSER => 'regress_mt_app', PGDATABASE => 'app', PGCONNECT_TIMEOUT => 10);
	foreach (1 .. 100)
	{
		return $port if IPC::Run::run([ 'psql', '-XAtqc', 'SELECT 1' ], '>', \my $out, '2>', \my $err);
		select(undef, undef, undef, 0.1);
	}
	die "pgbouncer does not answer:\n" . slurp_file("$dir/$mode.log");
}

END { kill('TERM', @pids) if @pids; }

sub output_of
{
	my ($host, $port, @command) = @_;
	my ($out, $err) = ('', '');
	local %ENV = (%ENV, PGHOST => $host, PGPORT => $port, PGUSER => 'regress_mt_app', PGDATABASE => 'app');
	IPC::Run::run(\@command, '>', \$out, '2>', \$err) or diag("@command[0, 1]\n$err");
	chomp $out;
	return $out;
}

my @tokens = map { $mt->token($_, exp => time + 1800) } 'acme', 'beta';
my %port = (direct => $node->port);
unless (is_missing('pgbouncer', $bouncer))
{
	$port{$_} = start_bouncer($_) foreach qw(session transaction);
}

foreach my $way (grep { $port{$_} } qw(direct session transaction))
{
	my $host = $way eq 'direct' ? $node->host : '127.0.0.1';
	# PgBouncer knows nothing of prepared statements in transaction mode before 1.21.
	my $mode = $way eq 'transaction' ? 'plain' : 'prepare';
	my @drivers;
	push @drivers, [ 'psycopg 3', $python, "$pool/pool.py", 'psycopg', @tokens, $mode ] unless is_missing('psycopg 3', has($python, '-c', 'import psycopg'));
	push @drivers, [ 'psycopg2', $python, "$pool/pool.py", 'psycopg2', @tokens, $mode ] unless is_missing('psycopg2', has($python, '-c', 'import psycopg2'));
	push @drivers, [ 'DBD::Pg', 'perl', "$pool/pool.pl", @tokens, $mode ] unless is_missing('DBD::Pg', has('perl', '-MDBD::Pg', '-e', '1'));
	push @drivers, [ 'pgjdbc', $ENV{JAVA} || 'java', '-cp', $jar, "$pool/Pool.java",
		"jdbc:postgresql://127.0.0.1:$port{$way}/app?prepareThreshold=" . ($mode eq 'plain' ? 0 : 1), 'regress_mt_app', @tokens ]
	  if $way ne 'direct' && !is_missing('pgjdbc', -e $jar);
	foreach my $driver (@drivers)
	{
		my ($name, @command) = @$driver;
		is(output_of($host, $port{$way}, @command), "$turns$left$end", "$way: $name");
	}
}

# ---- two clients of one session ----
if ($port{transaction} && has($python, '-c', 'import psycopg'))
{
	my %shown = (ACME => 'Asia/Tokyo first', BETA => 'America/Lima second');
	is(output_of('127.0.0.1', $port{transaction}, $python, "$pool/turns.py", @tokens),
		join("\n", map { "SECRET-$_ $shown{$_} \"\$user\", public  0" } ('ACME', 'BETA') x 2),
		'transaction: what the pooler sets for each client stays, what a tenant leaves does not');
}

done_testing();
