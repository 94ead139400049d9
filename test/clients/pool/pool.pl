# One session, tenants by turns, with DBD::Pg: see 020_pooling.pl. Arguments: tokens of two tenants, "prepare" or "plain".
use strict;
use warnings;
use DBI;

my @tokens = @ARGV[ 0, 1 ];
my $connection = DBI->connect('dbi:Pg:', '', '', { RaiseError => 1, PrintError => 0, AutoCommit => 1, pg_server_prepare => $ARGV[2] eq 'prepare' ? 1 : 0 });
$connection->do("SET statement_timeout = '93s'");
my %statements;

# A statement of the driver, prepared on the server at its first execution and executed again
sub one
{
	my $statement = $statements{ $_[0] } //= $connection->prepare($_[0], { pg_prepare_now => $ARGV[2] eq 'prepare' ? 1 : 0 });
	$statement->execute;
	my ($value) = $statement->fetchrow_array;
	$statement->finish;
	return $value;
}

sub begin
{
	$connection->begin_work;
	$connection->selectrow_array('SELECT multitenant.authenticate(?)', undef, $tokens[ $_[0] ]);
}

foreach my $turn (0 .. 5)
{
	begin($turn % 2);
	print one('SELECT note FROM invoice'), ' ', one('SHOW statement_timeout'), "\n";
	$connection->commit;
}

begin(0);
$connection->do($_) foreach ("SET statement_timeout = '5s'", 'SET search_path = evil, public', 'PREPARE left_here AS SELECT 1', "CREATE TEMP VIEW invoice AS SELECT 'planted' AS note");
$connection->commit;
begin(1);
print join(' ', map { one($_) } 'SELECT note FROM invoice', 'SHOW statement_timeout', 'SHOW search_path', 'SELECT count(*) FROM pg_prepared_statements WHERE from_sql'), "\n";
$connection->commit;

begin(0);
$connection->do('CREATE TEMP TABLE copy AS SELECT note FROM invoice');
print eval { $connection->commit } ? "committed\n" : $connection->state . ' ' . ($connection->pg_error_field('hint') ? 'True' : 'False') . "\n";
$connection->rollback unless $connection->{AutoCommit};
begin(1);
print one('SELECT note FROM invoice'), "\n";
$connection->commit;
$connection->disconnect;
