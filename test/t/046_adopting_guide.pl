# docs/guides/adopting.md is true: its statements, in its order, on a schema of 32 tables that an application uses meanwhile.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $mt = MtTest->new('guide', bare => 1, conf => 'max_locks_per_transaction = 256');
my $node = $mt->node;
$node->safe_psql('postgres', 'CREATE DATABASE app');

# ---- 30 tables of tenants that refer to each other, and two that are everybody's ----

my @tables = map { "line_$_" } 1 .. 26;
unshift @tables, qw(customer orders);
my $sql = "CREATE ROLE shop_owner LOGIN; CREATE ROLE shop_app LOGIN; CREATE ROLE shop_reports LOGIN;
	CREATE SCHEMA shop AUTHORIZATION shop_owner; GRANT USAGE ON SCHEMA shop TO shop_app, shop_reports; SET ROLE shop_owner; SET search_path = shop;
	CREATE TABLE country (code text PRIMARY KEY); CREATE TABLE currency (code text PRIMARY KEY);
	CREATE TABLE customer (id int PRIMARY KEY, tenant_id int NOT NULL, country text REFERENCES country, name text);
	CREATE TABLE orders (id int PRIMARY KEY, tenant_id int NOT NULL, customer_id int REFERENCES customer, total int);
	CREATE TABLE audit_line (id int PRIMARY KEY, tenant_id int, note text);
	CREATE TABLE event (tenant_id int, id int, at date) PARTITION BY RANGE (at);
	CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');\n";
$sql .= "CREATE TABLE $_ (id int PRIMARY KEY, tenant_id int NOT NULL, order_id int REFERENCES orders, item text UNIQUE);\n" foreach grep { /^line/ } @tables;
$sql .= "INSERT INTO country VALUES ('SI'); INSERT INTO customer SELECT i, 1 + i % 2, 'SI', 'c' || i FROM generate_series(1, 10) i;
	INSERT INTO orders SELECT i, 1 + i % 2, 1 + (i - 1) % 10, i FROM generate_series(1, 40) i; INSERT INTO audit_line SELECT i, 1 + i % 2, 'x' FROM generate_series(1, 9) i;
	INSERT INTO event SELECT 1 + i % 2, i, '2026-05-05' FROM generate_series(1, 9) i;\n";
$sql .= "INSERT INTO $_ SELECT i, 1 + i % 2, i, 'i' || i FROM generate_series(1, 40) i;\n" foreach grep { /^line/ } @tables;
$sql .= 'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA shop TO shop_app; GRANT SELECT ON ALL TABLES IN SCHEMA shop TO shop_reports;';
$node->safe_psql('app', $sql);
is($node->safe_psql('app', "SELECT count(*) FROM pg_class WHERE relnamespace = 'shop'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"), '32', '32 tables');

# ---- the guide ----

my $guide = slurp_file("$FindBin::Bin/../../docs/guides/adopting.md");
my @blocks = $guide =~ /^```sql\n-- as (\w+)\n(.*?)^```/msg;
my $number = 0;

# The next block of the guide; returns what it prints.
sub block
{
	my ($name, $sqlstate) = @_;
	my ($role, $text) = splice(@blocks, 0, 2);
	$role = $node->{_pguser} // getpwuid($<) if $role eq 'superuser';
	my ($out, $err) = $mt->run($role, $text);
	$number++;
	my ($state) = $err =~ /ERROR:  (\w{5})/;
	is($state // '', $sqlstate // '', "block $number: $name") or diag("$text\n$out\n$err");
	return $out;
}

block('tenants and profiles');
my $before = $node->safe_psql('app', "EXPLAIN SELECT * FROM shop.orders JOIN shop.customer c ON c.id = customer_id WHERE total > 5");
my $out = block('plan and observe');
is(() = $out =~ /\|observed$/mg, 30, 'all tables with the column are observed');
is($node->safe_psql('app', "EXPLAIN SELECT * FROM shop.orders JOIN shop.customer c ON c.id = customer_id WHERE total > 5"), $before, 'plans stay');

my $work = join(' ', map { "SELECT count(*) FROM shop.$_ WHERE tenant_id = 1;" } @tables, 'event');
$mt->allowed('shop_app', "SET application_name = 'web'; BEGIN; SELECT multitenant.use_tenant('acme'); $work SELECT count(*) FROM shop.orders WHERE total > 5; COMMIT", "20\n20", 'the adapted part');
$mt->allowed('shop_app', "SET application_name = 'nightly'; SELECT count(*) FROM shop.customer; UPDATE shop.line_3 SET item = item", '10', 'the part that is not');
$out = block('the report');
like($out, qr/^shop\.customer\|shop_app\|nightly\|1\|0\|SELECT count\(\*\) FROM shop\.customer\|MT001/m, 'finds what has no context');
like($out, qr/^shop\.orders\|shop_app\|web\|0\|17\|SELECT count\(\*\) FROM shop\.orders WHERE total > \?\|Rows of other/m, 'and a forgotten condition');
is(() = $out =~ /\n/g, 2, 'and nothing else');

like(block('enforce one table'), qr/^shop\.audit_line\|enforce\|t$/m, 'protected');
$mt->refused('shop_app', 'SELECT count(*) FROM shop.audit_line', 'MT001', 'refused without a tenant');
block('and back');
$mt->allowed('shop_app', 'SELECT count(*) FROM shop.audit_line', '9', 'not refused any more');
block('a legacy role');
like(block('the rest'), qr/\n0$/, 'everything is enforced and intact');
block('the application is refused', 'MT001');
$mt->allowed('shop_app', "BEGIN; SELECT multitenant.use_tenant('acme'); SELECT count(*) FROM shop.orders WHERE total > 5; COMMIT", "18", 'and sees its own');
$mt->allowed('shop_reports', 'SELECT count(*) FROM shop.orders', '40', 'the legacy role sees all');
like($node->safe_psql('app', "SELECT table_name, legacy FROM multitenant.adoption_report() WHERE legacy > 0"), qr/shop\.orders\|1/, 'and is counted');
is(scalar @blocks, 0, 'no block is left');
done_testing();
