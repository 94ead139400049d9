# Attacks I1 and I3 of docs/internals/attacks.md: what plans tell of other tenants' rows, and multitenant.index_exposure and
# multitenant.statistics_exposure against it. The application that may use EXPLAIN is there to look; the other one sees the
# same in the order of its own rows.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use Test::More;

my $mt = MtTest->new('inference');
my $app = 'regress_mt_app';
my $looker = 'regress_mt_looker';
my ($acme, $beta) = map { "00000000-0000-0000-0000-00000000000$_" } 'a', 'b';

# Half the rows are beta's, a quarter of the table is beta's "paris". Acme has two rows of each city, the later email first.
$mt->superuser(<<"SQL");
CREATE ROLE $looker LOGIN;
SELECT multitenant.grant_access('$looker', 'application', allow => '{explain}');
SET ROLE regress_mt_owner;
CREATE TABLE customer (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid NOT NULL, email text, city text);
INSERT INTO customer (tenant_id, email, city) SELECT CASE WHEN i % 2 = 0 THEN '$acme' ELSE '$beta' END::uuid, format('c%s\@example.org', i),
	CASE WHEN i % 2 = 1 AND i < 3000 THEN 'paris' ELSE 'town ' || i END FROM generate_series(1, 6000) i;
INSERT INTO customer (tenant_id, email, city) SELECT '$acme', email, city
	FROM unnest('{paris,nowhere}'::text[]) city, unnest('{z,a}'::text[]) WITH ORDINALITY AS e(email, n) ORDER BY city, n;
SELECT multitenant.protect('customer');
CREATE INDEX customer_email ON customer (email);
CREATE INDEX customer_city ON customer (tenant_id, city, email);
CREATE INDEX customer_lower ON customer (lower(city));
CREATE STATISTICS customer_expression ON (city || '!') FROM customer;
CREATE TABLE ledger (city text, day int, tenant_id uuid NOT NULL) PARTITION BY RANGE (day);
CREATE TABLE ledger_1 (tenant_id uuid NOT NULL, day int, city text);
ALTER TABLE ledger ATTACH PARTITION ledger_1 FOR VALUES FROM (0) TO (10000);
INSERT INTO ledger SELECT 'town ' || i, i, CASE WHEN i % 2 = 0 THEN '$acme' ELSE '$beta' END::uuid FROM generate_series(1, 6000) i;
SELECT multitenant.protect('ledger');
CREATE INDEX ledger_city ON ledger (city);
CREATE INDEX ledger_tenant ON ledger (tenant_id, day);
GRANT SELECT, INSERT, UPDATE, DELETE ON customer, ledger, ledger_1 TO $app, $looker;
ANALYZE customer, ledger;
SQL

# How many hidden rows an index scan has visited.
my $forced = 'SET enable_seqscan = off; SET enable_bitmapscan = off;';
sub visited
{
	my ($query) = @_;
	my ($out) = $mt->run($looker, $mt->begin('acme') . "$forced EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) $query");
	return $out =~ /Index .*?Filter: [^\n]*tenant_id.*?Rows Removed by Filter: (\d+)/s ? $1 : 0;
}

sub estimate
{
	my ($query) = @_;
	my ($out) = $mt->run($looker, $mt->begin('acme') . "EXPLAIN $query");
	return $out =~ /rows=(\d+)/ ? $1 : $out;
}

# The order in which the tenant's own two rows come.
sub shape
{
	my ($city) = @_;
	my ($out) = $mt->run($app, $mt->begin('acme') . "SELECT email FROM customer WHERE city = '$city'");
	return join(' ', $out =~ /^([az])$/mg);
}

# The same questions for each way of hiding.
my %by_index = (
	'a text' => "SELECT FROM customer WHERE email = 'c1\@example.org'",
	'a partition through its parent' => "SELECT FROM ledger WHERE city = 'town 1'",
	'a partition' => "SELECT FROM ledger_1 WHERE city = 'town 1'");
my %by_value = (
	'a column' => "SELECT FROM customer WHERE city = '%s'",
	'an expression of an index' => "SELECT FROM customer WHERE lower(city) = '%s'",
	'an expression with statistics of its own' => "SELECT FROM customer WHERE city || '!' = '%s!'");
my $partition = "SELECT FROM ledger WHERE day > %s";

foreach my $what (sort keys %by_index)
{
	cmp_ok(visited($by_index{$what}), '>', 0, "I1: an index of $what visits hidden rows");
}
foreach my $what (sort keys %by_value)
{
	my ($paris, $nowhere) = map { estimate(sprintf $by_value{$what}, $_) } 'paris', 'nowhere';
	isnt($paris, $nowhere, "I3: estimates of $what tell a frequent value from a rare one");
}
isnt(shape('paris'), shape('nowhere'), 'I3: without EXPLAIN, so does the order of rows');
$mt->refused($app, $mt->begin('acme') . "EXPLAIN SELECT FROM customer", 'MT010', 'I1: EXPLAIN is not for applications');

# A session with plans that it keeps, while the setting changes.
my $session = $mt->session($looker);
$session->query("SET plan_cache_mode = force_generic_plan; $forced
	PREPARE by_email AS SELECT FROM customer WHERE email = \$1;");
sub kept
{
	return $session->query($mt->begin('acme') . "EXPLAIN (COSTS off) EXECUTE by_email('c1\@example.org'); COMMIT", verbose => 0) =~ /customer_email/ ? 1 : 0;
}
is(kept(), 1, 'I1: a plan that is kept uses the index');

$mt->refused($app, "SET multitenant.$_ = allow", '42501', "an application cannot set $_") foreach 'index_exposure', 'statistics_exposure';

$mt->superuser("ALTER SYSTEM SET multitenant.index_exposure = 'hide'; SELECT pg_reload_conf()");
is($mt->node->poll_query_until('app', "SELECT current_setting('multitenant.index_exposure') = 'hide'"), 1, 'indexes are hidden');
foreach my $what (sort keys %by_index)
{
	is(visited($by_index{$what}), 0, "I1: no index of $what visits hidden rows");
}
is(kept(), 0, 'I1: nor does a plan that was kept');
$mt->allowed($looker, $mt->begin('acme') . "$forced EXPLAIN (COSTS off) SELECT FROM ledger_1 WHERE day = 2", 'ledger_1_tenant_id_day_idx',
	'I1: an index with the tenant in front stays, wherever the column stands');
$mt->allowed($app, $mt->begin('acme') . "SELECT email FROM customer WHERE email = 'c2\@example.org'", 'c2@example.org', 'I1: rows are found');

$mt->superuser("ALTER SYSTEM RESET multitenant.index_exposure; ALTER SYSTEM SET multitenant.statistics_exposure = 'hide'; SELECT pg_reload_conf()");
is($mt->node->poll_query_until('app', "SELECT current_setting('multitenant.statistics_exposure') = 'hide'"), 1, 'statistics are hidden');
foreach my $what (sort keys %by_value)
{
	my ($paris, $nowhere) = map { estimate(sprintf $by_value{$what}, $_) } 'paris', 'nowhere';
	is($paris, $nowhere, "I3: estimates of $what tell nothing");
}
is(estimate(sprintf $partition, 5000), estimate(sprintf $partition, 5900), 'I3: nor those of a partition');
is(shape('paris'), shape('nowhere'), 'I3: nor does the order of rows');
$session->quit;
done_testing();
