# The lift (docs/internals/lift.md): conditions that are not leakproof in indexes that show one tenant's rows only. A spy, a
# function that says so when it is called with a row of another tenant, stands in every place where a plan may evaluate
# a condition: in indexes, lossy bitmaps, joins, statements that write, rows that changed meanwhile, partitions, workers.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use Test::More;

my $mt = MtTest->new('lift', conf => 'max_worker_processes = 16');
my $app = 'regress_mt_app';
my $looker = 'regress_mt_looker';
my ($acme, $beta) = map { "00000000-0000-0000-0000-00000000000$_" } 'a', 'b';

# Every sixth row is acme's, so that each page has rows of both; a bitmap of all pages does not fit into 64 kB. The spies are
# cheap or in an index, so that the planner would like to call them first; without statistics it takes every condition for
# a selective one.
my $rows = <<"SQL";
SELECT CASE WHEN i % 6 = 0 THEN '$acme' ELSE '$beta' END::uuid, i, CASE WHEN i % 6 = 0 THEN 'key ' ELSE 'beta-secret ' END || i % 1009,
	i % 1013 / 10.0, to_tsvector('simple', 'every w' || i % 1019), i % 5 = 0, repeat('x', 200) FROM generate_series(1, 60000) i
SQL
my $columns = 'tenant_id uuid NOT NULL, id int NOT NULL, key text, amount numeric, words tsvector, hidden boolean, pad text';
my $indexes = <<'SQL';
CREATE INDEX ON %1$s (tenant_id, spy(tenant_id, key));
CREATE INDEX ON %1$s (tenant_id, spy(tenant_id, key || '!'), amount);
CREATE INDEX ON %1$s (tenant_id, key text_pattern_ops);
CREATE INDEX ON %1$s (tenant_id, amount);
CREATE INDEX ON %1$s USING gin (tenant_id, spies(tenant_id, key));
CREATE INDEX ON %1$s USING gin (tenant_id, words);
CREATE INDEX ON %1$s USING gin (tenant_id, key gin_trgm_ops);
SQL
my $item_indexes = sprintf $indexes, 'item';
my $ledger_indexes = sprintf $indexes, 'ledger';
$mt->superuser(<<"SQL");
CREATE EXTENSION btree_gin; CREATE EXTENSION pg_trgm; CREATE EXTENSION btree_gist;
CREATE OPERATOR CLASS own_text_ops FOR TYPE text USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 bttextcmp(text, text);
CREATE FUNCTION is_amount(numeric, text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS 'BEGIN RETURN \$1 = \$2::numeric; END';
CREATE FUNCTION compare_amount(numeric, text) RETURNS int LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS 'BEGIN RETURN numeric_cmp(\$1, \$2::numeric); END';
CREATE OPERATOR === (FUNCTION = is_amount, LEFTARG = numeric, RIGHTARG = text);
ALTER OPERATOR FAMILY numeric_ops USING btree ADD OPERATOR 3 === (numeric, text), FUNCTION 1 (numeric, text) compare_amount(numeric, text);
CREATE ROLE $looker LOGIN;
SELECT multitenant.grant_access('$looker', 'trusted_application', allow => '{explain}');
ALTER ROLE $looker SET multitenant.session_hygiene = off;
ALTER ROLE $looker SET multitenant.statistics_exposure = hide;
CREATE FUNCTION spy(uuid, text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 100 AS
	\$\$ BEGIN IF \$1 <> '$acme' THEN RAISE NOTICE 'FOREIGN %', \$2; END IF; RETURN \$2; END \$\$;
CREATE FUNCTION spies(uuid, text) RETURNS text[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 100 AS
	\$\$ BEGIN IF \$1 <> '$acme' THEN RAISE NOTICE 'FOREIGN %', \$2; END IF; RETURN ARRAY[\$2]; END \$\$;
CREATE FUNCTION sees(uuid, boolean) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 0.0001 AS
	\$\$ BEGIN IF \$1 <> '$acme' OR \$2 THEN RAISE NOTICE 'FOREIGN'; END IF; RETURN true; END \$\$;
SET client_min_messages = warning;
SET ROLE regress_mt_owner;
CREATE TABLE item ($columns);
INSERT INTO item $rows;
CREATE INDEX item_id ON item (tenant_id, id);
$item_indexes
SELECT multitenant.protect('item');
CREATE TABLE ledger ($columns) PARTITION BY LIST (tenant_id);
CREATE TABLE ledger_acme PARTITION OF ledger FOR VALUES IN ('$acme');
CREATE TABLE ledger_rest PARTITION OF ledger DEFAULT;
INSERT INTO ledger $rows;
$ledger_indexes
SELECT multitenant.protect('ledger');
CREATE TABLE mixed (pad text, hidden boolean, words tsvector, amount numeric, key text, id int NOT NULL, tenant_id uuid NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE mixed_1 ($columns);
ALTER TABLE mixed ATTACH PARTITION mixed_1 FOR VALUES FROM (0) TO (100000);
INSERT INTO mixed_1 $rows;
CREATE INDEX ON mixed (tenant_id, spy(tenant_id, key));
CREATE TABLE grams (LIKE item);
INSERT INTO grams $rows;
CREATE INDEX ON grams USING gin (tenant_id, key gin_trgm_ops);
CREATE INDEX ON grams (spy(tenant_id, key));
SELECT multitenant.protect('grams');
DROP INDEX grams_tenant_id_idx;
CREATE TABLE few (LIKE item);
INSERT INTO few SELECT * FROM ($rows) r(a, id, c, d, e, f, g) WHERE id <= 6000;
CREATE INDEX few_id ON few (tenant_id, id);
CREATE INDEX few_spy ON few (tenant_id, spy(tenant_id, key));
CREATE INDEX few_key ON few (key text_pattern_ops);
CREATE INDEX few_behind ON few (amount, tenant_id);
CREATE INDEX few_hash ON few USING hash (amount);
CREATE INDEX few_own ON few (tenant_id, (key || '?') own_text_ops);
CREATE INDEX few_open ON few (tenant_id, (amount + 1)) WHERE NOT hidden;
SELECT multitenant.protect('few');
CREATE TABLE blocks (LIKE item);
INSERT INTO blocks SELECT * FROM ($rows) r(a, id, c, d, e, f, g) WHERE id <= 6000;
SELECT multitenant.protect('blocks');
DROP INDEX blocks_tenant_id_idx;
CREATE INDEX ON blocks USING brin (tenant_id, amount);
CREATE TABLE pages (LIKE item);
INSERT INTO pages SELECT * FROM ($rows) r(a, id, c, d, e, f, g) WHERE id <= 6000;
SELECT multitenant.protect('pages');
DROP INDEX pages_tenant_id_idx;
CREATE INDEX ON pages USING gist (tenant_id, amount);
CREATE TABLE strict (LIKE item);
INSERT INTO strict SELECT * FROM ($rows) r(a, id, c, d, e, f, g) WHERE id <= 6000;
CREATE INDEX strict_spy ON strict (tenant_id, spy(tenant_id, key));
SELECT multitenant.protect('strict');
CREATE TABLE backwards (LIKE item);
INSERT INTO backwards $rows;
CREATE INDEX backwards_partial ON backwards (tenant_id DESC NULLS FIRST, amount DESC) INCLUDE (key) WHERE sees(tenant_id, false);
SELECT multitenant.protect('backwards');
CREATE TABLE ranges ($columns) PARTITION BY RANGE (tenant_id, id);
CREATE TABLE ranges_acme PARTITION OF ranges FOR VALUES FROM ('$acme', 0) TO ('$acme', 100000);
CREATE TABLE ranges_rest PARTITION OF ranges DEFAULT;
INSERT INTO ranges $rows;
CREATE INDEX ON ranges (spy(tenant_id, key));
SELECT multitenant.protect('ranges');
CREATE TABLE common (LIKE item);
ALTER TABLE common ALTER tenant_id DROP NOT NULL;
INSERT INTO common SELECT * FROM ($rows) r(a, id, c, d, e, f, g) WHERE id <= 6000;
CREATE INDEX common_spy ON common (tenant_id, spy(tenant_id, key));
CREATE TABLE slugs (tenant_id text NOT NULL, amount numeric);
INSERT INTO slugs SELECT CASE WHEN i % 6 = 0 THEN 'acme' ELSE 'beta' END, i FROM generate_series(1, 6000) i;
CREATE INDEX slugs_c ON slugs (tenant_id COLLATE "C", (-amount));
CREATE INDEX slugs_amount ON slugs (tenant_id text_pattern_ops, amount);
SELECT multitenant.protect('slugs');
CREATE TABLE numbers (tenant_id int NOT NULL, amount numeric);
INSERT INTO numbers SELECT CASE WHEN i % 6 = 0 THEN 1 ELSE 2 END, i FROM generate_series(1, 6000) i;
CREATE INDEX numbers_amount ON numbers (tenant_id, amount);
SELECT multitenant.protect('numbers');
CREATE TABLE dedicated ($columns) PARTITION BY LIST (tenant_id);
CREATE TABLE dedicated_acme PARTITION OF dedicated FOR VALUES IN ('$acme') PARTITION BY RANGE (id);
CREATE TABLE dedicated_acme_1 PARTITION OF dedicated_acme FOR VALUES FROM (0) TO (100000);
CREATE TABLE dedicated_two PARTITION OF dedicated FOR VALUES IN ('$beta', '00000000-0000-0000-0000-00000000000c');
INSERT INTO dedicated $rows;
CREATE INDEX ON dedicated (spy(tenant_id, key));
CREATE INDEX ON dedicated USING gist (words);
CREATE INDEX ON dedicated ((key || '?') own_text_ops);
SELECT multitenant.protect('dedicated');
CREATE TABLE late ($columns) PARTITION BY LIST (tenant_id);
CREATE TABLE late_beta PARTITION OF late FOR VALUES IN ('$beta');
SELECT multitenant.protect('late');
CREATE TABLE late_acme ($columns);
INSERT INTO late_acme $rows;
CREATE INDEX ON late_acme (spy(tenant_id, key));
CREATE VIEW barrier WITH (security_barrier, security_invoker) AS SELECT * FROM few WHERE NOT hidden;
SELECT multitenant.protect('mixed');
GRANT SELECT, INSERT, UPDATE, DELETE ON item, ledger, mixed, grams, few, blocks, pages, strict, common, slugs, numbers, barrier, dedicated, dedicated_acme, late, backwards, ranges TO $app, $looker;
ANALYZE item, ledger, mixed, grams, few, blocks, pages, strict, common, slugs, numbers, dedicated, backwards, ranges;
RESET ROLE;
SELECT multitenant.shared_rows('common');
CREATE POLICY not_hidden ON strict AS RESTRICTIVE USING (NOT hidden);
SQL

# ---- what is asked ----

# With the accessor in plans, and with the tenant as a constant.
my @foldings = ('off', 'on');

sub fold
{
	my ($folding) = @_;
	$mt->superuser("ALTER DATABASE app SET multitenant.fold_plans = $folding");
	return;
}

# (plan, what the statement returned, how many foreign rows were seen, errors) of a statement of a tenant's, acme's if
# none is given.
sub spied
{
	my ($sql, $settings, $tenant) = @_;
	my ($out, $err) = $mt->run($looker, $mt->begin($tenant // 'acme') . "$settings\nEXPLAIN (COSTS off) $sql;\n\\echo ----\n$sql;\n ROLLBACK;");
	my ($plan, $rows) = split /\n?----\n/, $out;
	my $foreign = () = $err =~ /FOREIGN/g;
	my $errors = join(' ', $err =~ /ERROR: +(\w{5})/g);
	return ($plan // '', $rows // '', $foreign, $errors, $err);
}

my $bitmap = 'SET LOCAL work_mem = \'64kB\'; SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off;';
my $index = 'SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off;';
my $nestloop = "$index SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_material = off; SET LOCAL enable_memoize = off;";
my $parallel = 'SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0; SET LOCAL min_parallel_table_scan_size = 0; SET LOCAL min_parallel_index_scan_size = 0; SET LOCAL max_parallel_workers_per_gather = 2;';

my $worker = 'SET LOCAL ' . $mt->parallel_setting . ' = on; SET LOCAL parallel_leader_participation = off;';

my $is_key = "spy(tenant_id, key) = 'key 12'";
my $is_any = "spy(tenant_id, key) BETWEEN 'a' AND 'z'";
my $in_index = qr/Index Cond: \(\(tenant_id = \S+\) AND \(spy/;
my $seen = qr/^0*[1-9]/;

# Name => settings, statement, how the plan must look, what it must return.
my @cases = (
	[ 'btree', $index, "SELECT count(*) FROM item WHERE $is_key", qr/Index Scan.*$in_index/s, $seen ],
	[ 'btree, everything of the tenant', $index, "SELECT count(*) FROM item WHERE $is_any", qr/Index (?:Only )?Scan.*$in_index/s, qr/^10000$/ ],
	[ 'a lossy bitmap', $bitmap, "SELECT count(*) FROM item WHERE $is_any", qr/Bitmap Heap Scan.*$in_index/s, qr/^10000$/ ],
	[ 'a lossy bitmap and the spy behind it', $bitmap, "SELECT count(*) FROM item WHERE $is_any AND sees(tenant_id, false)", qr/Filter: sees.*$in_index/s, qr/^10000$/ ],
	[ 'BitmapOr', $bitmap, "SELECT count(*) FROM item WHERE ($is_any AND amount < 1000) OR spy(tenant_id, key || '!') BETWEEN 'a' AND 'z'", qr/BitmapOr.*$in_index.*$in_index/s, qr/^10000$/ ],
	[ 'BitmapAnd', $bitmap, "SELECT count(*) FROM item WHERE $is_any AND spies(tenant_id, key) && (SELECT array_agg('key ' || i) FROM generate_series(0, 300) i)",
		qr/$in_index|AND \(spies/s, $seen ],
	[ 'GIN over a function', $bitmap, "SELECT count(*) FROM item WHERE spies(tenant_id, key) \@> '{key 12}'", qr/Index Cond: \(\(tenant_id = \S+\) AND \(spies/, $seen ],
	[ 'GIN over a function, lossy', $bitmap, "SELECT count(*) FROM item WHERE spies(tenant_id, key) && (SELECT array_agg('key ' || i) FROM generate_series(0, 1008) i)",
		qr/Index Cond: \(\(tenant_id = \S+\) AND \(spies/, qr/^10000$/ ],
	[ 'GIN over text search', $bitmap, "SELECT count(*) FROM item WHERE words @@ 'every' AND sees(tenant_id, false)", qr/Filter: sees.*Index Cond: \(\(tenant_id = \S+\) AND \(words @@/s, qr/^10000$/ ],
	[ 'GIN over trigrams', $bitmap, "SELECT count(*) FROM grams WHERE key LIKE '%ey 12%' AND sees(tenant_id, false)", qr/Filter: .*sees.*Index Cond: \(\(tenant_id = \S+\) AND \(key ~~/s, $seen ],
	[ 'LIKE', $index, "SELECT count(*) FROM item WHERE key LIKE 'key 12%' AND sees(tenant_id, false)", qr/Index Cond: \(\(tenant_id = \S+\) AND \(key ~>=~/, $seen ],
	[ 'a parameterised nestloop', $nestloop, "SELECT count(*) FROM item a JOIN item b ON spy(b.tenant_id, b.key) = a.key || '' WHERE a.id < 100",
		qr/Nested Loop.*Index Cond: \(\(tenant_id = \S+\) AND \(spy\(tenant_id, key\) = \(a\.key/s, $seen ],
	[ 'a parameterised nestloop over bitmaps', 'SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_material = off;' . $bitmap,
		"SELECT count(*) FROM item a JOIN item b ON spy(b.tenant_id, b.key) = a.key || '' WHERE a.id < 100",
		qr/Nested Loop.*Index Cond: \(\(tenant_id = \S+\) AND \(spy\(tenant_id, key\) = \(a\.key/s, $seen ],
	[ 'workers', $parallel . $bitmap, "SELECT count(*) FROM item WHERE $is_any AND sees(tenant_id, false)", qr/Parallel Bitmap Heap Scan.*$in_index/s, qr/^10000$/ ],
	[ 'a worker over a btree', $worker . $index, "SELECT count(*) FROM item WHERE $is_any AND sees(tenant_id, false)", qr/Gather.*Index Scan.*$in_index/s, qr/^10000/ ],
	[ 'an index-only scan', $index, "SELECT count(amount) FROM item WHERE amount > 0 AND sees(tenant_id, amount < 0)", qr/Filter: sees|Index Only Scan.*Index Cond: \(\(tenant_id = \S+\) AND \(amount/s, $seen ],
	[ 'the greatest', $index, "SELECT max(amount) FROM item WHERE amount < 50", qr/Index Only Scan.*Index Cond: \(\(tenant_id = \S+\).*AND \(amount </s, qr/^49/ ],
	[ 'UPDATE', $bitmap, "WITH u AS (UPDATE item SET pad = 'y' WHERE $is_any RETURNING 1) SELECT count(*) FROM u", qr/Update.*$in_index/s, qr/^10000$/ ],
	[ 'DELETE', $bitmap, "WITH u AS (DELETE FROM item WHERE $is_any RETURNING 1) SELECT count(*) FROM u", qr/Delete.*$in_index/s, qr/^10000$/ ],
	[ 'MERGE', $nestloop, "MERGE INTO item USING (VALUES ('key 12'), ('key 18')) v(k) ON spy(tenant_id, key) = k WHEN MATCHED THEN UPDATE SET pad = k", qr/Merge.*$in_index/s, qr/^$/ ],
	[ 'locked rows', $bitmap, "SELECT count(*) FROM (SELECT FROM item WHERE $is_any FOR UPDATE) x", qr/LockRows.*$in_index/s, qr/^10000$/ ],
	[ 'UNION ALL', $index, "SELECT count(*) FROM (SELECT tenant_id, key FROM item UNION ALL SELECT tenant_id, key FROM item WHERE id < 100) x WHERE $is_key", qr/Append.*$in_index/s, $seen ],
	[ 'a subquery', $index, "SELECT count(*) FROM item a WHERE id < 100 AND EXISTS (SELECT FROM item b WHERE spy(b.tenant_id, b.key) = a.key AND b.amount > a.amount)", qr/tenant_id = /, $seen ],
	[ 'an anti-join', $nestloop, "SELECT count(*) FROM item a WHERE id < 100 AND NOT EXISTS (SELECT FROM item b WHERE spy(b.tenant_id, b.key) = a.key || '' AND b.amount > a.amount)", qr/Anti Join.*$in_index/s, qr/^\d+$/ ],
	[ 'LATERAL', $nestloop, "SELECT count(*) FROM item a, LATERAL (SELECT b.key FROM item b WHERE spy(b.tenant_id, b.key) = a.key || '' LIMIT 1) x WHERE a.id < 100 AND sees(a.tenant_id, false)", qr/Nested Loop.*$in_index/s, qr/^16$/ ],
	[ 'WITH RECURSIVE', $nestloop, "WITH RECURSIVE r AS (SELECT id, key FROM item WHERE id = 12 UNION SELECT b.id, b.key FROM r JOIN item b ON spy(b.tenant_id, b.key) = r.key || '') SELECT count(*) FROM r",
		qr/Recursive Union.*$in_index/s, $seen ],
	[ 'UPDATE .. FROM', $nestloop, "WITH u AS (UPDATE item b SET pad = 'y' FROM item a WHERE spy(b.tenant_id, b.key) = a.key || '' AND sees(b.tenant_id, false) AND a.id < 100 RETURNING 1) SELECT count(*) FROM u", qr/Update.*$in_index/s, $seen ],
	[ 'DELETE .. USING', $nestloop, "WITH u AS (DELETE FROM item b USING item a WHERE spy(b.tenant_id, b.key) = a.key || '' AND sees(b.tenant_id, false) AND a.id < 100 RETURNING 1) SELECT count(*) FROM u", qr/Delete.*$in_index/s, $seen ],
	[ 'a comparison of rows that begins with the tenant', $bitmap, "SELECT count(*) FROM item WHERE (tenant_id, spy(tenant_id, key)) < ('$beta', 'l') AND $is_any", qr/Index Cond: \(\(tenant_id = \S+\) AND \(ROW\(tenant_id/, qr/^10000$/ ],
	[ 'the tenant among others', $bitmap, "SELECT count(*) FROM item WHERE tenant_id = ANY ('{$beta,$acme}'::uuid[]) AND $is_any", qr/Index Cond: \(\(tenant_id = '?\S+\) AND .*\(spy/, qr/^10000$/ ],
	[ 'a partial index over a function of somebody\'s', $bitmap, "SELECT count(*) FROM backwards WHERE sees(tenant_id, false) AND amount > 0", qr/backwards_partial.*Index Cond: \(\(tenant_id = \S+\) AND \(amount/s, qr/^\d{4}$/ ],
	[ 'a child that numbers its columns otherwise', $bitmap, "SELECT count(*) FROM mixed WHERE $is_any", qr/Bitmap Heap Scan on mixed_1.*$in_index/s, qr/^10000$/ ],
	[ 'partitions by tenant, indexes with the tenant', $bitmap, "SELECT count(*) FROM ledger WHERE $is_any", qr/Bitmap Heap Scan.*$in_index/s, qr/^10000$/ ]);

foreach my $folding (@foldings)
{
	fold($folding);
	foreach my $case (@cases)
	{
		my ($name, $settings, $sql, $shape, $wanted) = @$case;
		my ($plan, $rows, $foreign, $errors, $err) = spied($sql, $settings);
		my $ok = ok(($plan =~ $shape and $rows =~ $wanted and $foreign == 0 and $errors eq ''), "$name: lifted, and the spy sees nobody (folding $folding)");
		diag("foreign $foreign\n$plan\n$rows\n" . substr($err, 0, 2000)) unless $ok;
	}
}

# ---- what must not be lifted ----

my @others = (
	[ 'an index over the spy alone', $bitmap, "SELECT count(*) FROM grams WHERE $is_any AND sees(tenant_id, false)", qr/tenant_id = /, qr/^10000$/ ],
	[ 'an index that does not begin with the tenant', $index, "SELECT count(*) FROM few WHERE key LIKE 'key 12%'", qr/tenant_id = /, $seen ],
	[ 'an index with the tenant in the second column, hash', $index, "SELECT count(*) FROM few WHERE amount = 1.2", qr/tenant_id = /, $seen ],
	[ 'BRIN', $bitmap, "SELECT count(*) FROM blocks WHERE amount = 1.2", qr/on blocks_.*tenant_id = /s, $seen ],
	[ 'GiST', $bitmap, "SELECT count(*) FROM pages WHERE amount = 1.2", qr/on pages_.*tenant_id = /s, $seen ],
	[ 'an operator class of somebody\'s own', $index, "SELECT count(*) FROM few WHERE key || '?' = 'key 12?'", qr/tenant_id = /, $seen ],
	[ 'a further restrictive policy', $index, "SELECT count(*) FROM strict WHERE $is_any AND sees(tenant_id, hidden)", qr/tenant_id = /, qr/^800$/ ],
	[ 'a security_barrier view', $index, "SELECT count(*) FROM barrier WHERE $is_any AND sees(tenant_id, hidden)", qr/tenant_id = /, qr/^800$/ ],
	[ 'a statement that writes through a security_barrier view', $index, "WITH u AS (UPDATE barrier SET pad = 'y' WHERE $is_any AND sees(tenant_id, hidden) RETURNING 1) SELECT count(*) FROM u",
		qr/tenant_id = /, qr/^800$/ ],
	[ 'rows that belong to everybody', $index, "SELECT count(*) FROM common WHERE $is_any", qr/tenant_id = /, qr/^1000$/ ],
	[ 'another tenant that the statement names', $index, "SELECT count(*) FROM few WHERE tenant_id = '$beta' AND $is_any", qr/./, qr/^0$/ ],
	[ 'a partial index whose condition the statement does not imply', $index, "SELECT count(*) FROM few WHERE amount + 1 = 2.2", qr/tenant_id = /, $seen ],
	[ 'an operator of somebody\'s own in a family of the server\'s', $index, "SELECT count(*) FROM numbers WHERE amount === '12'", qr/tenant_id = /, qr/^1$/ ],
	[ 'the same in a partition of one tenant, which has dead entries of others', $index, "SELECT count(*) FROM ledger WHERE amount === '12'", qr/ledger_acme.*tenant_id = /s, qr/^\d+$/ ],
	[ 'a condition on the tenant\'s own column before it', $bitmap, "SELECT count(*) FROM slugs WHERE (tenant_id LIKE 'ac%' AND amount = 12) OR (tenant_id LIKE 'acm%' AND amount = 18)",
		qr/tenant_id = /, qr/^2$/ ],
	[ 'a tenant in another collation', $index, "SELECT count(*) FROM slugs WHERE -amount = -12", qr/tenant_id = /, qr/^1$/ ],
	[ 'the errors of a condition', $bitmap, "SELECT count(*) FROM slugs WHERE (tenant_id LIKE 'ac%' AND amount > 0) OR (tenant_id LIKE 'bet\\' AND amount > 0)",
		qr/tenant_id = /, qr/^1000$/ ]);
my $lifted = qr/Index Cond: [^\n]*(?:spy\(|amount|===|\|\||~)/;

# What is: the counterparts of these.
my @also = (
	[ 'a number as the tenant', $index, "SELECT count(*) FROM numbers WHERE amount = 12", qr/Index Cond: \(\(tenant_id = \S+\) AND \(amount/, qr/^1$/ ],
	[ 'a name as the tenant', $index, "SELECT count(*) FROM slugs WHERE amount = 12", qr/Index Cond: \(\(tenant_id = \S+\) AND \(amount/, qr/^1$/ ],
	[ 'a condition on the tenant\'s own column', $bitmap, "SELECT count(*) FROM slugs WHERE tenant_id LIKE 'ac%' AND amount > 0",
		qr/Index Cond: \(\(tenant_id = \S+\) AND .*\(amount/, qr/^1000$/ ],
	[ 'beside a table that has rows of everybody', $index, "SELECT count(*) FROM numbers n, common c WHERE n.amount = 12 AND c.key LIKE 'key 1%' AND c.id = 1",
		qr/Index Cond: \(\(tenant_id = \S+\) AND \(amount/, qr/^\d+$/ ],
	[ 'a partial index', $index, "SELECT count(*) FROM few WHERE amount + 1 = 2.2 AND NOT hidden", qr/few_open.*Index Cond: \(\(tenant_id = \S+\) AND \(\(amount/s, qr/^\d+$/ ],
	[ 'a pattern that ends with the escape character', $index, "SELECT count(*) FROM item WHERE key LIKE 'beta-secret\\'", qr/Index Cond: \(\(tenant_id = \S+\) AND \(key/, qr/^0$/ ]);

foreach my $folding (@foldings)
{
	fold($folding);
	foreach my $case (@others)
	{
		my ($name, $settings, $sql, $shape, $wanted) = @$case;
		my ($plan, $rows, $foreign, $errors, $err) = spied($sql, $settings);
		my $ok = ok((($plan !~ $lifted or $plan =~ /One-Time Filter: false/) and $plan =~ $shape and $rows =~ $wanted and $foreign == 0 and $errors eq ''), "$name: not lifted (folding $folding)");
		diag("foreign $foreign\n$plan\n$rows\n" . substr($err, 0, 2000)) unless $ok;
	}
	foreach my $case (@also)
	{
		my ($name, $settings, $sql, $shape, $wanted) = @$case;
		my ($plan, $rows, $foreign, $errors, $err) = spied($sql, $settings);
		my $ok = ok(($plan =~ $shape and $rows =~ $wanted and $foreign == 0 and $errors eq ''), "$name: lifted (folding $folding)");
		diag("foreign $foreign\n$plan\n$rows\n" . substr($err, 0, 2000)) unless $ok;
	}
}

# ---- partitions of one tenant ----

my $alone = qr/(?:Index|Recheck) Cond: [^\n]*spy\(/;
my @partitioned = (
	[ 'a partition of one tenant', 'acme', $bitmap, "SELECT count(*) FROM dedicated WHERE $is_any AND sees(tenant_id, false)", qr/Bitmap Heap Scan on dedicated_acme_1.*Index Cond: \(\(spy/s, qr/^10000$/ ],
	[ 'a partition of one tenant, btree', 'acme', $index, "SELECT count(*) FROM dedicated WHERE $is_key", qr/Index Scan.*on dedicated_acme_1.*Index Cond: \(spy/s, $seen ],
	[ 'a partition of one tenant, GiST', 'acme', $bitmap, "SELECT count(*) FROM dedicated WHERE words @@ 'every' AND sees(tenant_id, false)", qr/Index Cond: \(words @@/, qr/^10000$/ ],
	[ 'a partition by range whose bounds are of one tenant', 'acme', $bitmap, "SELECT count(*) FROM ranges WHERE $is_any AND sees(tenant_id, false)", qr/Bitmap Heap Scan on ranges_acme.*Index Cond: \(\(spy/s, qr/^10000$/ ],
	[ 'a partition of one tenant that the statement names', 'acme', $bitmap, "SELECT count(*) FROM dedicated_acme WHERE $is_any", qr/Index Cond: \(\(spy/, qr/^10000$/ ]);
my @shared = (
	[ 'a partition of two tenants', 'beta', $bitmap, "SELECT count(*) FROM dedicated WHERE spy(tenant_id, key) BETWEEN 'c' AND 'd'", qr/dedicated_two/, qr/^0$/ ],
	[ 'an operator class of somebody\'s own in a partition of one tenant', 'acme', $bitmap, "SELECT count(*) FROM dedicated WHERE key || '?' = 'key 12?'", qr/dedicated_acme_1/, $seen ]);
foreach my $case (@partitioned)
{
	my ($name, $tenant, $settings, $sql, $shape, $wanted) = @$case;
	my ($plan, $rows, $foreign, $errors, $err) = spied($sql, $settings, $tenant);
	my $ok = ok(($plan =~ $shape and $rows =~ $wanted and $foreign == 0 and $errors eq ''), "$name: lifted");
	diag("foreign $foreign\n$plan\n$rows\n" . substr($err, 0, 2000)) unless $ok;
}
foreach my $case (@shared)
{
	my ($name, $tenant, $settings, $sql, $shape, $wanted) = @$case;
	my ($plan, $rows, $foreign, $errors, $err) = spied($sql, $settings, $tenant);
	my $ok = ok(($plan =~ $shape and $plan !~ $alone and $plan !~ $lifted and $rows =~ $wanted), "$name: not lifted");
	diag("$plan\n$rows\n" . substr($err, 0, 2000)) unless $ok;
}
fold('off');
foreach my $case (@partitioned)
{
	my ($name, $tenant, $settings, $sql, $shape, $wanted) = @$case;
	my ($plan, $rows, $foreign) = spied($sql, $settings, $tenant);
	ok(($plan !~ $shape and $rows =~ $wanted and $foreign == 0), "$name: not lifted in a plan for any tenant") or diag($plan);
}
fold('on');

# A table that becomes the tenant's partition has had rows of another that an older snapshot still sees.
{
	my $older = $mt->session($looker);
	$older->query($mt->begin('acme') =~ s/BEGIN/BEGIN ISOLATION LEVEL REPEATABLE READ/r . $bitmap);
	is(MtTest::ask($older, 'SELECT count(*) FROM late'), '0', 'a snapshot before');
	$mt->superuser("BEGIN; SELECT multitenant.system_context('a partition'); DELETE FROM late_acme WHERE tenant_id <> '$acme'; ALTER TABLE late ATTACH PARTITION late_acme FOR VALUES IN ('$acme'); SELECT multitenant.repair('late'); COMMIT");
	$older->{stderr} = '';
	my $plan = $older->query("EXPLAIN (COSTS off) SELECT count(*) FROM late WHERE $is_any");
	my $rows = $older->query("SELECT count(*) FROM late WHERE $is_any");
	ok(($plan =~ /late_acme/ and $plan !~ $alone and $rows eq '10000' and $older->{stderr} !~ /NOTICE/), 'a partition that is younger than the snapshot: not lifted')
		or diag("$plan\n$rows\n" . substr($older->{stderr}, 0, 500));
	$older->quit;
	my ($later, $count, $foreign) = spied("SELECT count(*) FROM late WHERE $is_any", $bitmap);
	ok(($later =~ $alone and $count eq '10000' and $foreign == 0), 'and with a newer snapshot: lifted') or diag("$later\n$count");
}

# A plan that is kept, while its partition of one tenant goes, gets rows of others, and comes back.
{
	my $keeper = $mt->session($looker);
	$mt->superuser("GRANT SELECT ON late_acme TO $looker");
	$keeper->query("SET plan_cache_mode = force_generic_plan; PREPARE by_late AS SELECT count(*) FROM late WHERE $is_any; PREPARE by_part AS SELECT count(*) FROM late_acme WHERE $is_any");
	my $kept = sub {
		$keeper->{stderr} = '';
		my $plans = $keeper->query($mt->begin('acme') . $bitmap . 'EXPLAIN (COSTS off) EXECUTE by_late; EXPLAIN (COSTS off) EXECUTE by_part');
		my $rows = $keeper->query('EXECUTE by_late; EXECUTE by_part');
		$keeper->query('COMMIT');
		my $lifted = () = $plans =~ /Index Cond: \(\(spy/g;
		return "$lifted lifted, $rows, " . ($keeper->{stderr} =~ /NOTICE|ERROR/ ? "seen: $keeper->{stderr}" : 'nobody seen');
	};
	# What a running transaction may see otherwise is not lifted; one of the server's own may run.
	my $settle = sub {
		$mt->node->poll_query_until('app', "SELECT xmin::text::bigint < pg_snapshot_xmin(pg_current_snapshot())::text::bigint FROM pg_class WHERE oid = 'late_acme'::regclass") or die 'the partition stays young';
	};
	$settle->();
	is($kept->(), "2 lifted, 10000\n10000, nobody seen", 'plans that are kept use the partition\'s indexes');
	$mt->superuser("BEGIN; SELECT multitenant.system_context('a partition'); ALTER TABLE late DETACH PARTITION late_acme; UPDATE late_acme SET tenant_id = '$beta' WHERE id % 4 = 0; COMMIT");
	is($kept->(), "0 lifted, 0\n5000, nobody seen", 'and do not when it is none any more and has rows of others');
	$mt->superuser("BEGIN; SELECT multitenant.system_context('a partition'); DELETE FROM late_acme WHERE tenant_id <> '$acme'; ALTER TABLE late ATTACH PARTITION late_acme FOR VALUES IN ('$acme'); SELECT multitenant.repair('late'); COMMIT");
	$settle->();
	is($kept->(), "2 lifted, 5000\n5000, nobody seen", 'and do when it is one again');
	$keeper->quit;
}

# ---- the same rows as without the lift, in statements made up at random ----

{
	my $seed = $ENV{MT_LIFT_SEED} || 44;
	srand($seed);
	$mt->superuser("CREATE ROLE regress_mt_plain LOGIN; SELECT multitenant.grant_access('regress_mt_plain', 'trusted_application', allow => '{explain}');
		ALTER ROLE regress_mt_plain SET multitenant.lift_conditions = off; ALTER ROLE regress_mt_plain SET multitenant.session_hygiene = off; GRANT SELECT ON item, ledger, dedicated, mixed TO regress_mt_plain");
	my $pick = sub { return $_[ rand @_ ] };
	my $condition;
	my $atom = sub {
		my $text = "'key " . int(rand 1009) . "'";
		my $number = int(rand 1013) / 10;
		my $tenant = $pick->($acme, $beta);
		my $operator = $pick->('=', '<', '>', '<=', '>=');
		return $pick->("spy(tenant_id, key) $operator $text", "spy(tenant_id, key || '!') $operator $text", "amount $operator $number", "key LIKE 'key " . int(rand 100) . "%'",
			"words @@ 'w" . int(rand 1019) . "'", "spies(tenant_id, key) && ARRAY[$text, 'key 12']", "tenant_id $operator '$tenant'", "tenant_id = ANY ('{$beta,$acme}'::uuid[])",
			"(tenant_id, amount) $operator ('$tenant', $number)", "sees(tenant_id, false)", "NOT hidden", "id < " . int(rand 60000));
	};
	$condition = sub {
		my ($depth) = @_;
		return $depth == 0 || rand() < 0.5 ? $atom->() : '(' . join($pick->(' AND ', ' OR '), map { $condition->($depth - 1) } 1 .. 2 + rand 2) . ')';
	};
	my $batch = '';
	for my $i (1 .. 60)
	{
		my $settings = join(' ', map { rand() < 0.4 ? "SET LOCAL enable_$_ = off;" : '' } qw(seqscan seqscan indexscan indexonlyscan bitmapscan)) . (rand() < 0.5 ? " SET LOCAL work_mem = '64kB';" : '');
		my $statement = 'SELECT count(*), sum(id), md5(string_agg(id::text, $$,$$ ORDER BY id)) FROM ' . $pick->('item', 'item', 'ledger', 'dedicated', 'mixed') . ' WHERE ' . join(' AND ', map { $condition->(2) } 1 .. 2);
		$batch .= "SAVEPOINT one; $settings\n\\echo PLAN $i\nEXPLAIN (COSTS off) $statement;\n\\echo ROWS $i\n$statement;\nROLLBACK TO one;\n";
	}
	foreach my $folding (@foldings)
	{
		fold($folding);
		my %seen;
		foreach my $role ($looker, 'regress_mt_plain')
		{
			my ($out, $err) = $mt->run($role, $mt->begin('acme') . $batch . 'ROLLBACK;');
			$seen{$role} = { plans => [ $out =~ /^PLAN \d+\n(.*?)(?=^ROWS)/gms ], rows => [ $out =~ /^ROWS \d+\n(.*?)(?=^PLAN|\z)/gms ], foreign => scalar(() = $err =~ /FOREIGN|ERROR/g) };
		}
		my ($with, $without) = @seen{ $looker, 'regress_mt_plain' };
		is(scalar(@{ $with->{rows} }), 60, "60 statements (folding $folding, seed $seed)");
		is_deeply($with->{rows}, $without->{rows}, 'return the same with the lift and without it') or diag($batch);
		is($with->{foreign}, 0, 'and the spies see nobody') or diag($batch);
		my $changed = grep { $with->{plans}[$_] ne $without->{plans}[$_] } 0 .. 59;
		cmp_ok($changed, '>', 10, 'though the plans differ');
		diag("$changed plans of 60 differ");
	}
}

# ---- rows that change while a statement waits for them ----

foreach my $folding (@foldings)
{
	fold($folding);
	my $held = $mt->session('postgres');
	my $waiting = $mt->session($looker);
	my $condition = "$is_any AND id IN (12, 18) AND sees(tenant_id, false)";
	my $update = "UPDATE item SET pad = 'z' WHERE $condition RETURNING id";
	my $compared = "UPDATE item SET pad = 'z' WHERE tenant_id = ANY ('{$beta,$acme}'::uuid[]) AND $is_any AND id + 0 IN (12, 18) RETURNING id";
	my $joined = "UPDATE item b SET pad = 'z' FROM item a WHERE spy(b.tenant_id, b.key) = a.key || '' AND b.id + 0 = a.id AND sees(b.tenant_id, false) AND a.id IN (12, 18) RETURNING b.id";
	foreach my $case ([ 'an index scan', $index, qr/Index Scan.*$in_index/s, $update ], [ 'a lossy bitmap', $bitmap, qr/Bitmap Heap Scan.*$in_index/s, $update ],
		[ 'comparisons of the tenant', $bitmap, qr/Index Cond: \(\(tenant_id = \S+\) AND .*spy/, $compared ], [ 'a join', $nestloop, qr/Nested Loop.*$in_index/s, $joined ])
	{
		my ($name, $settings, $shape, $statement) = @$case;
		$waiting->query($mt->begin('acme') . $settings);
		my $plan = $waiting->query("EXPLAIN (COSTS off) $statement");
		$held->query("BEGIN; UPDATE item SET tenant_id = '$beta' WHERE tenant_id = '$acme' AND id = 12; UPDATE item SET amount = amount + 1 WHERE tenant_id = '$acme' AND id = 18");
		$waiting->{stderr} = '';
		$waiting->query_until(qr/sent/, "\\echo sent\nWITH u AS ($statement) SELECT string_agg(id::text, ',') FROM u;\n");
		$mt->node->poll_query_until('app', "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = '$looker'") or die 'nobody waits';
		$held->query('COMMIT');
		my $got = $waiting->query('SELECT 1');
		my $ok = ok(($plan =~ $shape and $got =~ /^18\n1$/ and $waiting->{stderr} !~ /NOTICE/), "a row that becomes another tenant's meanwhile: $name (folding $folding)");
		diag("$plan\n$got\n" . substr($waiting->{stderr}, 0, 1000)) unless $ok;
		$waiting->query('ROLLBACK');
		$held->query("UPDATE item SET tenant_id = '$acme' WHERE id = 12");
	}
	$held->quit;
	$waiting->quit;
}

# ---- where indexes must not tell of others by their time ----

$mt->superuser("ALTER SYSTEM SET multitenant.index_exposure = 'hide'; SELECT pg_reload_conf()");
is($mt->node->poll_query_until('app', "SELECT current_setting('multitenant.index_exposure') = 'hide'"), 1, 'indexes are hidden');
foreach my $case (grep { $_->[0] eq 'GIN over text search' } @cases)
{
	my ($name, $settings, $sql, $shape, $wanted) = @$case;
	my ($plan, $rows, $foreign) = spied($sql, $settings);
	ok(($plan !~ $shape and $rows =~ $wanted and $foreign == 0), "$name: not lifted where indexes are hidden") or diag("$plan\n$rows");
}
foreach my $case ($cases[0], $partitioned[2])
{
	my ($name, $settings, $sql, $shape, $wanted) = @$case[0, -4, -3, -2, -1];
	my ($plan, $rows, $foreign) = spied($sql, $settings);
	my $is_partition = $name =~ /partition/;
	ok((($plan =~ $shape xor $is_partition) and $rows =~ $wanted and $foreign == 0), $is_partition ? "$name: hidden" : "$name: lifted also where indexes are hidden") or diag("$plan\n$rows");
}
$mt->superuser('ALTER SYSTEM RESET multitenant.index_exposure; SELECT pg_reload_conf()');
is($mt->node->poll_query_until('app', "SELECT current_setting('multitenant.index_exposure') = 'allow'"), 1, 'indexes are shown again');

# ---- the switch ----

$mt->refused($app, 'SET multitenant.lift_conditions = off', '42501', 'an application cannot set lift_conditions');
my $keeper = $mt->session($looker);
$keeper->query("SET plan_cache_mode = force_generic_plan; PREPARE by_spy AS SELECT count(*) FROM few WHERE spy(tenant_id, key) = \$1");
sub kept
{
	return $keeper->query($mt->begin('acme') . "$index EXPLAIN (COSTS off) EXECUTE by_spy('key 12'); COMMIT") =~ $in_index ? 1 : 0;
}
is(kept(), 1, 'a plan that is kept uses the index');
$mt->superuser("ALTER SYSTEM SET multitenant.lift_conditions = 'off'; SELECT pg_reload_conf()");
is($mt->node->poll_query_until('app', "SELECT current_setting('multitenant.lift_conditions') = 'off'"), 1, 'lifting is switched off');
is(kept(), 0, 'a plan that was kept does not');
foreach my $case (@cases[0, 2])
{
	my ($name, $settings, $sql, $shape, $wanted) = @$case;
	my ($plan, $rows, $foreign) = spied($sql, $settings);
	ok(($plan !~ $shape and $rows =~ $wanted and $foreign == 0), "$name: not lifted where that is switched off") or diag("$plan\n$rows");
}
$keeper->quit;
$mt->superuser('ALTER SYSTEM RESET multitenant.lift_conditions; SELECT pg_reload_conf()');

# The same spies report where nothing keeps them from it.
{
	my ($out, $err) = $mt->run('postgres', "BEGIN; $bitmap SELECT count(*) FROM item WHERE tenant_id = '$acme' AND $is_any AND sees(tenant_id, false);
		SET LOCAL enable_seqscan = on; SET LOCAL enable_bitmapscan = off; SELECT count(*) FROM item WHERE tenant_id = '$acme' AND sees(tenant_id, false); ROLLBACK");
	my $foreign = () = $err =~ /FOREIGN/g;
	cmp_ok($foreign, '>', 40000, 'the spy reports to a role that is not filtered') or diag(substr($err, 0, 500));
	diag("$foreign reports");
	($out, $err) = $mt->run('postgres', "SET enable_indexscan = off; SET enable_bitmapscan = off; SELECT count(*) FROM item WHERE key LIKE 'beta-secret\\'");
	like($err, qr/22025/, 'an error tells such a role of a value');
}

# A bitmap that was too large for its memory, and rows that were tested again.
{
	my ($out) = $mt->run($looker, $mt->begin('acme') . "$bitmap EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) SELECT count(*) FROM item WHERE $is_any");
	my ($removed) = $out =~ /Rows Removed by Index Recheck: (\d+)/;
	my ($lossy) = $out =~ /lossy=(\d+)/;
	ok(($lossy // 0) > 500 && ($removed // 0) > 5000, 'the bitmaps are lossy, and thousands of rows are tested again') or diag($out);
	diag("lossy pages: $lossy; rows tested again and left out: $removed");
}

# A statement that is refused is planned twice, and with it what it calls - but not twice as often at each level below.
$mt->superuser(<<"SQL");
SET ROLE regress_mt_owner; CREATE SEQUENCE calls; GRANT USAGE ON calls TO $looker;
CREATE FUNCTION nested(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS \$\$ BEGIN
	PERFORM nextval('calls');
	IF n > 0 THEN EXECUTE format('SELECT 0 FROM numbers WHERE amount === ''12'' AND amount > nested(%s) LIMIT 1', n - 1); END IF;
	RETURN 0; END \$\$;
SQL
$mt->run($looker, "BEGIN; SELECT multitenant.use_tenant('acme'); SET LOCAL enable_seqscan = off; SELECT nested(8); COMMIT");
my $calls = $mt->superuser('SELECT last_value FROM calls');
ok(($calls >= 9 and $calls <= 18), 'what is planned inside of planning is planned once') or diag($calls);

done_testing();
