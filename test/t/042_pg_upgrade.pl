# pg_upgrade: the server that it starts only restores, so the library enforces nothing there, and what comes out is
# protected as before. Old and new are of the same version here; what is tested is the road.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($app, $owner) = qw(regress_mt_app regress_mt_owner);
my $conf = "multitenant.audience = 'app'";
my $see = 'SELECT note FROM invoice;';

my $mt = MtTest->new('old', conf => $conf);
my $old = $mt->node;
$mt->superuser(<<"SQL");
SET ROLE $owner;
CREATE TABLE ledger (tenant_id uuid, day int, note text) PARTITION BY RANGE (day);
CREATE TABLE ledger_1 PARTITION OF ledger FOR VALUES FROM (0) TO (10);
INSERT INTO ledger VALUES ('00000000-0000-0000-0000-00000000000a', 1, 'SECRET-ACME');
SELECT multitenant.protect('ledger');
CREATE TABLE country (code text PRIMARY KEY);
CREATE TABLE template (tenant_id uuid, note text);
RESET ROLE;
SELECT multitenant.share('country');
SELECT multitenant.shared_rows('template');
SELECT multitenant.pause_protection('template', 'upgrade', now() + interval '1 hour');
SQL

my $labels = "SELECT string_agg(objtype || ' ' || objname || ' ' || label, E'\\n' ORDER BY objname, objtype) FROM pg_seclabels WHERE provider = 'multitenant'";
my $tables = 'SELECT table_name, class, tenant_column, mode, is_intact FROM multitenant.tables ORDER BY 1';
my %before = map { $_ => $mt->superuser($_) } $labels, $tables, 'SELECT slug, number, id, state FROM multitenant.tenant ORDER BY 2',
  'SELECT role_name, profile FROM multitenant.access ORDER BY 1', 'SELECT kid FROM multitenant.signing_key';

my $new = PostgreSQL::Test::Cluster->new('new');
$new->init;
$new->append_conf('postgresql.conf', "shared_preload_libraries = 'multitenant'\n$conf\n");
$old->stop;
chomp(my $bindir = `pg_config --bindir`);
my $scratch = PostgreSQL::Test::Utils::tempdir;
chdir($scratch) or die "$scratch: $!\n";
command_ok([ 'pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir, '-b', $bindir, '-B', $bindir, '-s', $new->host,
		'-p', $old->port, '-P', $new->port ], 'pg_upgrade');
$new->start;
$mt->{node} = $new;

foreach my $query (sort keys %before)
{
	is($mt->superuser($query), $before{$query}, "the same as before: $query");
}
$mt->refused($app, $see, 'MT001', 'no context, no rows');
$mt->refused($app, $mt->begin('acme') . $see, 'MT004', 'the new cluster is another one: it takes no credential unasked');
$mt->superuser('SELECT multitenant.adopt_clone(rotate_keys => false)');
$mt->allowed($app, $mt->begin('acme') . $see, 'SECRET-ACME', 'and does when it was told to', tenant => 'acme');
$mt->refused($app, $mt->begin('gamma') . $see, 'MT006', 'a suspended tenant is suspended');
$mt->refused($owner, 'SECURITY LABEL FOR multitenant ON TABLE country IS NULL', '42501', 'labels are checked again');
$mt->intact('every row is there');

done_testing();
