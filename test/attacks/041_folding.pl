# The tenant as a constant in plans (docs/internals/folding.md): plans are those of a literal, and none runs for another
# tenant than the one that it was made for.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use MtWire;
use Test::More;

my $mt = MtTest->new('folding');
my ($app, $owner, $trusted, $migrator) = qw(regress_mt_app regress_mt_owner regress_mt_trusted regress_mt_migrator);
my ($acme, $beta) = map { "00000000-0000-0000-0000-00000000000$_" } qw(a b);

$mt->superuser(<<"SQL");
SET ROLE $owner;
CREATE TABLE parted (tenant_id uuid NOT NULL, id int, note text) PARTITION BY LIST (tenant_id);
CREATE TABLE parted_a PARTITION OF parted FOR VALUES IN ('$acme');
CREATE TABLE parted_b PARTITION OF parted FOR VALUES IN ('$beta');
SELECT format('CREATE TABLE more_%s PARTITION OF parted FOR VALUES IN (%L)', n, gen_random_uuid()) FROM generate_series(1, 80) n \\gexec
INSERT INTO parted VALUES ('$acme', 1, 'SECRET-ACME'), ('$beta', 1, 'SECRET-BETA');
CREATE TABLE few (tenant_id uuid NOT NULL, note text) PARTITION BY LIST (tenant_id);
CREATE TABLE few_a PARTITION OF few FOR VALUES IN ('$acme');
CREATE TABLE few_b PARTITION OF few FOR VALUES IN ('$beta');
CREATE TABLE daily (tenant_id uuid NOT NULL, day int, note text) PARTITION BY LIST (day);
SELECT format('CREATE TABLE daily_%s PARTITION OF daily FOR VALUES IN (%s)', n, n) FROM generate_series(1, 80) n \\gexec
SELECT multitenant.protect(t) FROM unnest('{parted,few,daily}'::regclass[]) t;
CREATE TABLE numbered (tenant_id bigint, note text);
CREATE TABLE small (tenant_id int, note text);
CREATE TABLE named (tenant_id text, note text);
INSERT INTO numbered VALUES (1, 'SECRET-ACME'), (2, 'SECRET-BETA');
INSERT INTO small VALUES (1, 'SECRET-ACME'), (2, 'SECRET-BETA');
INSERT INTO named VALUES ('acme', 'SECRET-ACME'), ('beta', 'SECRET-BETA');
SELECT multitenant.protect(t, 'tenant_id') FROM unnest('{numbered,small,named}'::regclass[]) t;
GRANT SELECT, INSERT, UPDATE, DELETE ON parted, few, daily, numbered, small, named TO $app, $migrator;
CREATE VIEW every WITH (security_invoker) AS SELECT note FROM invoice UNION ALL SELECT note FROM named;
GRANT SELECT ON every TO $app, $migrator;
SQL

sub plan_of
{
	my ($query, %options) = @_;
	my ($out, $err) = $mt->run($migrator, ($options{set} // '') . ';' . $mt->begin('acme') . "EXPLAIN (COSTS off) $query; ROLLBACK");
	return $err =~ /ERROR/ ? $err : $out;
}

# ---- what is folded ----
my %tables = (invoice => "'$acme'::uuid", numbered => "'1'::bigint", small => '1', named => "'acme'::text");
foreach my $table (sort keys %tables)
{
	foreach my $query ("SELECT note FROM $table", "UPDATE $table SET note = ''", "DELETE FROM $table", "SELECT (SELECT note FROM $table LIMIT 1)",
		"WITH w AS (UPDATE $table SET note = '' RETURNING note) SELECT * FROM w", "SELECT 1 WHERE EXISTS (SELECT FROM (SELECT note FROM $table OFFSET 0) t)")
	{
		my $shown = plan_of($query);
		ok((index($shown, "tenant_id = $tables{$table}") >= 0 and $shown !~ /multitenant/), "constant: $query") or diag($shown);
		like(plan_of($query, set => 'RESET ALL'), qr/tenant_id = /, "filtered: $query");
	}
}
like(plan_of('SELECT * FROM every'), qr/$acme.*'acme'/s, 'below a view, and of several types');
my $pruned = plan_of('SELECT note FROM parted');
ok(($pruned =~ /parted_a/ and $pruned !~ /parted_b|Append/), 'partitions are pruned by the planner') or diag($pruned);
unlike(plan_of('SELECT multitenant.current_tenant() FROM numbered WHERE note = multitenant.current_tenant()::text'), qr/note = '/,
	'what a statement says itself is not folded');

$mt->superuser('ALTER SYSTEM SET multitenant.fold_plans = off; SELECT pg_reload_conf()');
$mt->{node}->poll_query_until('app', "SELECT current_setting('multitenant.fold_plans') = 'off'");
like(plan_of('SELECT note FROM invoice'), qr/multitenant\.current_tenant/, 'not where it is switched off');
$mt->superuser('ALTER SYSTEM RESET multitenant.fold_plans; SELECT pg_reload_conf()');
$mt->{node}->poll_query_until('app', "SELECT current_setting('multitenant.fold_plans') = 'on'");
$mt->refused($app, 'SET multitenant.fold_plans = off', '42501', 'an application cannot switch it off');

# ---- plans that are kept ----
my $mode = 'SET plan_cache_mode = force_generic_plan;';
my $both = sub {
	my ($prepare, $run, $name) = @_;
	foreach my $last ("$run;", "BEGIN; $run; ROLLBACK;")
	{
		my ($out, $err) = $mt->run($app, "$mode $prepare;" . join('', map { $mt->begin($_) . "$run; COMMIT; \\echo --\n" } qw(acme beta beta acme)) . $last);
		my @parts = split(/--\n/, $out);
		is(join(' ', map { join('+', /SECRET-(\w+)/g) } @parts[0 .. 3]), 'ACME BETA BETA ACME', "$name: each sees its own");
		ok((($parts[4] // '') !~ /SECRET/ and $err =~ /MT001/), "$name: nobody sees anything without a context") or diag("$parts[4]\n$err");
	}
};
foreach my $table ('invoice', 'parted', 'named')
{
	$both->("PREPARE p AS SELECT note FROM $table", 'EXECUTE p', "a statement without parameters on $table");
	$both->("PREPARE p(text) AS SELECT note FROM $table WHERE note LIKE \$1", "EXECUTE p('SECRET%')", "a statement with parameters on $table");
	$both->("CREATE FUNCTION pg_temp.f() RETURNS SETOF text LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT note FROM $table; END'", 'SELECT pg_temp.f()', "PL/pgSQL on $table");
	$both->("CREATE FUNCTION pg_temp.f() RETURNS SETOF text LANGUAGE sql AS 'SELECT 1; SELECT note FROM $table'", 'SELECT pg_temp.f()', "SQL on $table");
	$both->("CREATE FUNCTION pg_temp.f() RETURNS SETOF text LANGUAGE sql STABLE AS 'SELECT note FROM $table'", 'SELECT * FROM pg_temp.f()', "inlined SQL on $table");
}

# A plan outlives its context where a savepoint takes that back, or its holder is told to drop it.
$mt->refused($app, "$mode PREPARE p AS SELECT note FROM invoice;" . $mt->begin('acme') . "EXECUTE p; SELECT multitenant.reset_tenant(); EXECUTE p", 'MT001',
	'after reset_tenant()', tenant => 'acme');
$mt->refused($app, "\\set ON_ERROR_ROLLBACK on\n$mode PREPARE p AS SELECT note FROM invoice; BEGIN; SAVEPOINT s; SELECT multitenant.authenticate('"
	. $mt->token('acme') . "'); EXECUTE p; ROLLBACK TO s; EXECUTE p", 'MT001', 'after ROLLBACK TO', tenant => 'acme');
$mt->refused($app, $mt->begin('acme') . "DECLARE c CURSOR FOR SELECT note FROM invoice; SELECT multitenant.reset_tenant(); FETCH c", 'MT001', 'a cursor after reset_tenant()');


# ---- sessions that change tenants ----

# What runs once is folded for each, what is kept is left general, except over partitions.
{
	my ($out, $err) = $mt->run($migrator, "$mode PREPARE plain AS SELECT note FROM invoice; PREPARE parted AS SELECT note FROM parted;"
		. "PREPARE few AS SELECT note FROM few; PREPARE daily AS SELECT note FROM daily WHERE day = 1; PREPARE joined AS SELECT p.note FROM parted p JOIN invoice i USING (tenant_id) JOIN few USING (tenant_id);"
		. "PREPARE custom(text) AS SELECT note FROM invoice WHERE note > \$1;"
		. join('', map { $mt->begin($_) . 'EXPLAIN (COSTS off) EXECUTE plain; \echo --
			EXPLAIN (COSTS off) EXECUTE parted; \echo --
			EXPLAIN (COSTS off) SELECT note FROM invoice; \echo --
			SET LOCAL plan_cache_mode = force_custom_plan; EXPLAIN (COSTS off) EXECUTE custom(0); \echo --
			EXPLAIN (COSTS off) EXECUTE few; EXPLAIN (COSTS off) EXECUTE daily; EXPLAIN (COSTS off) EXECUTE joined; \echo --
			DECLARE c CURSOR FOR SELECT note FROM invoice; FETCH c;
			COMMIT; \echo --
' } qw(acme beta acme beta)));
	my @parts = split(/--\n/, $out);
	foreach my $round (0 .. 3)
	{
		my ($kept, $partitions, $once, $custom) = @parts[6 * $round .. 6 * $round + 3];
		my $own = $round % 2 ? $beta : $acme;
		if ($round == 0) { like($kept, qr/$own/, 'kept, with one tenant so far: folded') }
		else { like($kept, qr/multitenant\.current_tenant/, "kept, tenant $round: general") }
		like($partitions, $round % 2 ? qr/parted_b/ : qr/parted_a/, "kept, over partitions, tenant $round: pruned");
		unlike($partitions, $round % 2 ? qr/parted_a|multitenant/ : qr/parted_b|multitenant/, "kept, over partitions, tenant $round: only its own");
		my @general = $parts[6 * $round + 4] =~ /multitenant\.current_tenant/g;
		ok((@general ? $round > 0 && @general >= 3 && $parts[6 * $round + 4] !~ /'$own'/ : $round == 0),
			"kept, over few partitions, by something else, or joined, tenant $round: general after a change") or diag($parts[6 * $round + 4]);
		like($once, qr/tenant_id = '$own'/, "run once, tenant $round: folded");
		like($custom, qr/tenant_id = '$own'/, "with values, tenant $round: folded");
		like($parts[6 * $round + 5], $round % 2 ? qr/SECRET-BETA/ : qr/SECRET-ACME/, "a cursor, tenant $round");
	}
	unlike($err, qr/ERROR/, 'no error');
}

# A savepoint brings the context of a connection's token back, past everybody who is told of contexts. Whatever was folded
# for the other one is neither used nor left behind, and nothing is folded in between.
$mt->superuser("SET ROLE $owner; CREATE FUNCTION listed() RETURNS SETOF text LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT note FROM invoice; RETURN QUERY SELECT note FROM parted; END';
	RESET ROLE; SELECT multitenant.grant_access('$app', 'application', session_context => true)");
{
	my $list = 'SELECT * FROM listed();';
	my ($out, $err) = $mt->run($app, "$mode PREPARE p AS SELECT note FROM parted; $list EXECUTE p; \\echo --
		BEGIN; SELECT; SAVEPOINT s; SELECT multitenant.authenticate('" . $mt->token('beta') . "'); $list EXECUTE p; \\echo --
		ROLLBACK TO s; PREPARE q AS SELECT note FROM parted; EXECUTE q; ROLLBACK; \\echo --
		$list EXECUTE p; EXECUTE q; \\echo --\n" . $mt->begin('beta') . "$list EXECUTE p; EXECUTE q; COMMIT;",
		pgoptions => '-c multitenant.token=' . $mt->token('acme'));
	my @parts = split(/--\n/, $out);
	ok(($parts[0] =~ /SECRET-ACME/ and $parts[1] =~ /SECRET-BETA/ and $parts[4] =~ /SECRET-BETA/), 'each context sees its own') or diag("$out\n$err");
	ok(!MtTest::leaks("$parts[0]$parts[3]", 'acme'), 'the own context sees nothing of the other');
	ok(!MtTest::leaks("$parts[1]$parts[4]", 'beta'), 'nor the other of it');
	is($parts[2], '', 'a context that a savepoint brought back sees nothing');
	like($parts[3], qr/SECRET-ACME.*SECRET-ACME.*SECRET-ACME/s, 'afterwards the own context works') or diag($err);
}

# Another tenant may get the id of one that is gone; its name and number are its own.
{
	my $id = '00000000-0000-0000-0000-0000000000cc';
	my $enter = "BEGIN; SELECT multitenant.use_tenant('$id'::uuid);";
	$mt->superuser("SELECT multitenant.create_tenant('epsilon', id => '$id', number => 77)");
	$mt->superuser("INSERT INTO named VALUES ('epsilon', 'SECRET-EPSILON'), ('delta', 'SECRET-DELTA'); INSERT INTO numbered VALUES (77, 'SECRET-EPSILON'), (78, 'SECRET-DELTA')");
	my $session = $mt->session($migrator);
	my $read = 'EXECUTE p; EXECUTE q;';
	my $out = MtTest::ask($session, "$mode PREPARE p AS SELECT note FROM named; PREPARE q AS SELECT note FROM numbered; $enter $read COMMIT;");
	is(join(' ', $out =~ /SECRET-(\w+)/g), 'EPSILON EPSILON', 'a tenant');
	$mt->superuser("DELETE FROM multitenant.tenant WHERE slug = 'epsilon'; SELECT multitenant.create_tenant('delta', id => '$id', number => 78)");
	$out = MtTest::ask($session, "$enter $read COMMIT;");
	is(join(' ', $out =~ /SECRET-(\w+)/g), 'DELTA DELTA', 'another tenant with its id');
}

# A plan is taken from the cache before the session's own context is there: none of another tenant may be kept then. And a
# function in SQL was planned as a whole before it entered a tenant.
foreach my $table ('invoice', 'parted')
{
	my $beta_first = $mt->begin('beta') . "EXECUTE p; COMMIT; \\echo --\n EXECUTE p; \\echo --\n";
	my ($out, $err) = $mt->run($app, "$mode PREPARE p AS SELECT note FROM $table;" . $beta_first x 3, pgoptions => '-c multitenant.token=' . $mt->token('acme'));
	is(join(' ', map { join('+', /SECRET-(\w+)/g) } split(/--\n/, $out)), join(' ', ('BETA', 'ACME') x 3), "a connection's own context beside another, $table") or diag($err);
	($out, $err) = $mt->run($app, "CREATE FUNCTION pg_temp.f(text) RETURNS SETOF text LANGUAGE sql AS 'SELECT multitenant.authenticate(\$1); SELECT note FROM $table'; SELECT pg_temp.f('"
		. $mt->token('beta') . "')", pgoptions => '-c multitenant.token=' . $mt->token('acme'));
	is($out, 'SECRET-BETA', "a function in SQL that enters another tenant, $table") or diag($err);
	($out, $err) = $mt->run($app, "CREATE PROCEDURE pg_temp.f(text) LANGUAGE sql AS 'SELECT multitenant.authenticate(\$1); UPDATE $table SET note = note'; CALL pg_temp.f('"
		. $mt->token('beta') . "')", pgoptions => '-c multitenant.token=' . $mt->token('acme'));
	is("$out$err", '', "a procedure in SQL that enters another tenant, $table");
}
{
	local $ENV{PGOPTIONS} = "-c plan_cache_mode=force_generic_plan -c multitenant.token=" . $mt->token('acme');
	$mt->{node}->pgbench("-n -t 6 -M prepared -U $app -D n=0", 0, [qr/processed: 6\/6/], [qr/^$/], 'the same by a driver that prepares',
		{ 'by_turns' => "\\set n :n + 1\n\\set other :n % 2\n\\if :other\nBEGIN;\nSELECT multitenant.authenticate('" . $mt->token('beta') . "');\n\\endif\nSELECT note FROM parted;\n\\if :other\nCOMMIT;\n\\endif\n" }, 'app');
}

# A function in PL/pgSQL is folded where a session brings its context, too: what it keeps prunes.
{
	$mt->superuser("SELECT multitenant.grant_access('$app', 'application', session_context => true, allow => '{activity}')");
	my ($out, $err) = $mt->run($app, "SELECT * FROM listed(); BEGIN; SELECT count(*) FROM listed();
		SELECT string_agg(relation::regclass::text, ' ' ORDER BY relation::regclass::text DESC) FROM pg_locks WHERE pid = pg_backend_pid() AND relation::regclass::text LIKE 'parted%'; COMMIT",
		pgoptions => '-c plan_cache_mode=force_generic_plan -c multitenant.token=' . $mt->token('acme'));
	like($out, qr/^parted_a parted$/m, 'PL/pgSQL in a session that brings its context') or diag("$out\n$err");
	$mt->superuser("SELECT multitenant.grant_access('$app', 'application', session_context => true)");
}

# A policy of one's own, on a table without protection: the tenant changes in the middle of a statement. The context of a
# session could still be replaced, had it not been used.
$mt->superuser("SET ROLE $owner; CREATE TABLE loose AS SELECT tenant_id, 'SECRET-' || upper(tenant_id) AS note FROM (VALUES ('acme'), ('beta')) v(tenant_id), generate_series(1, 3);
	ALTER TABLE loose ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON loose USING (tenant_id = multitenant.current_tenant_slug()); GRANT SELECT ON loose TO $app");
$mt->refused($app, $mt->begin('acme') . "COMMIT; SELECT note, (SELECT multitenant.authenticate('" . $mt->token('beta') . "') WHERE note IS NOT NULL) FROM loose", 'MT005',
	'a statement that enters another tenant', tenant => 'acme');
$mt->refused($app, $mt->begin('acme') . "COMMIT; BEGIN; SELECT 1; DECLARE c CURSOR FOR SELECT note FROM loose; FETCH c; SELECT multitenant.authenticate('"
	. $mt->token('beta') . "'); FETCH c", 'MT005', 'a cursor that enters another tenant', tenant => 'acme');
$mt->refused($app, $mt->begin('acme') . "DECLARE c CURSOR FOR SELECT note FROM loose; SELECT multitenant.reset_tenant(); FETCH c", 'MT001',
	'a cursor whose tenant is reset, without protection');
$mt->superuser("SELECT multitenant.grant_access('$app', 'application'); DROP TABLE loose");

# ---- shapes of kept statements, over changes of tenant ----

$mt->superuser(<<"SQL");
SELECT multitenant.grant_access('$app', 'application');
SET ROLE $owner;
CREATE TABLE keyed (tenant_id uuid, k int, note text, PRIMARY KEY (tenant_id, k));
INSERT INTO keyed VALUES ('$acme', 1, 'SECRET-ACME'), ('$beta', 1, 'SECRET-BETA');
SELECT multitenant.protect('keyed');
CREATE TABLE person (tenant_id text, name text);
CREATE TABLE letter (name text, note text);
INSERT INTO person VALUES ('acme', 'ann'), ('beta', 'bob');
INSERT INTO letter VALUES ('ann', 'SECRET-ACME'), ('bob', 'SECRET-BETA');
ALTER TABLE person ENABLE ROW LEVEL SECURITY;
ALTER TABLE letter ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON person USING (tenant_id = multitenant.current_tenant_slug());
CREATE POLICY own ON letter USING (EXISTS (SELECT FROM person p WHERE p.name = letter.name AND p.tenant_id = multitenant.current_tenant_slug() OFFSET 0))
	WITH CHECK (name IN (WITH q AS MATERIALIZED (SELECT p.name FROM person p WHERE p.tenant_id = multitenant.current_tenant_slug()) SELECT q.name FROM q));
CREATE VIEW barrier WITH (security_invoker, security_barrier) AS SELECT note FROM parted WHERE tenant_id = multitenant.current_tenant();
CREATE VIEW checked WITH (security_invoker) AS SELECT * FROM keyed WHERE EXISTS (SELECT FROM parted p WHERE p.tenant_id = keyed.tenant_id) WITH CHECK OPTION;
CREATE FUNCTION fails_inside() RETURNS SETOF text LANGUAGE plpgsql AS \$\$
BEGIN
	BEGIN
		RETURN QUERY SELECT note FROM parted;
		PERFORM 1 / 0;
	EXCEPTION WHEN division_by_zero THEN
		RETURN QUERY SELECT note FROM invoice;
	END;
END
\$\$;
CREATE FUNCTION claims(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS \$\$
BEGIN
	PERFORM multitenant.authenticate(\$1);
	RETURN 'entered';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || (SELECT string_agg(note, '') FROM parted);
END
\$\$;
GRANT SELECT, INSERT, UPDATE, DELETE ON keyed, person, letter, barrier, checked TO $app;
SQL

my $other_token = $mt->token('gamma');
foreach my $statement (
	'SELECT note FROM letter', 'SELECT note FROM barrier', 'SELECT * FROM fails_inside()', "SELECT note, claims('$other_token') FROM parted",
	'WITH RECURSIVE r AS (SELECT note, 1 AS d FROM invoice UNION ALL SELECT p.note, d + 1 FROM r, LATERAL (SELECT note FROM parted OFFSET 0) p WHERE d < 3) SELECT note FROM r',
	'SELECT i.note FROM invoice i FULL JOIN parted p USING (tenant_id)', 'SELECT note FROM parted FOR UPDATE', 'CREATE TEMP TABLE copied ON COMMIT DROP AS EXECUTE p0; SELECT note FROM copied')
{
	my ($prepare, $run) = $statement =~ /EXECUTE p0/ ? ('PREPARE p0 AS SELECT note FROM parted', $statement) : ("PREPARE p AS $statement", 'EXECUTE p');
	my ($out, $err) = $mt->run($app, "$mode $prepare;" . join('', map { $mt->begin($_) . "$run; COMMIT; \\echo --\n" } qw(acme beta acme)));
	my @parts = split(/--\n/, $out);
	my @seen = map { my %all = map { $_ => 1 } $parts[$_] =~ /SECRET-(ACME|BETA|GAMMA)/g; join('+', sort keys %all) } 0 .. 2;
	is("@seen", 'ACME BETA ACME', 'each its own: ' . substr($statement, 0, 60)) or diag("$out\n$err");
}

# What a kept statement writes is of the tenant that runs it, and no other's row is touched.
my %writes = (
	'INSERT INTO keyed(tenant_id, k, note) VALUES ($1, 2, $2)' => '42501',
	'INSERT INTO keyed(tenant_id, k, note) VALUES ($1, 1, $2) ON CONFLICT (tenant_id, k) DO UPDATE SET note = EXCLUDED.note' => '42501',
	'INSERT INTO checked(tenant_id, k, note) VALUES ($1, 2, $2)' => '42501',
	'INSERT INTO parted(tenant_id, id, note) VALUES ($1, 2, $2)' => '42501',
	'UPDATE parted SET tenant_id = $1, note = $2' => '42501',
	'MERGE INTO keyed t USING (VALUES ($1::uuid, $2)) s(id, v) ON t.tenant_id = s.id WHEN MATCHED THEN UPDATE SET note = s.v WHEN NOT MATCHED THEN INSERT VALUES (s.id, 3, s.v)' => '42501');
my $all_rows = "SELECT string_agg(r::text, ' ' ORDER BY r::text) FROM (SELECT tenant_id, k, note FROM keyed UNION ALL SELECT tenant_id, id, note FROM parted) r";
my $rows_before = $mt->superuser($all_rows);
foreach my $statement (sort keys %writes)
{
	$mt->steps("writing: $statement", $app, {}, "SET plan_cache_mode = force_generic_plan; PREPARE p(uuid, text) AS $statement" => '',
		map { my ($own, $id, $other) = @$_; (
			'BEGIN' => '', "SELECT multitenant.authenticate('" . $mt->token($own) . "')" => $id, 'SAVEPOINT s' => '',
			"EXECUTE p('$id', 'mine')" => '', 'ROLLBACK TO s' => '', "EXECUTE p('$other', 'stolen')" => $writes{$statement}, 'ROLLBACK' => '') }
		[ 'acme', $acme, $beta ], [ 'beta', $beta, $acme ], [ 'acme', $acme, $beta ]);
}
is($mt->superuser($all_rows), $rows_before, 'nothing was written');

# A row that another transaction has changed is looked at again with the conditions of the plan.
{
	my ($first, $second) = map { $mt->session($app) } 1 .. 2;
	MtTest::ask($_, "$mode PREPARE p AS UPDATE keyed SET k = k + 10 RETURNING note") foreach $first, $second;
	foreach my $tenant ('acme', 'beta', 'acme')
	{
		MtTest::ask($first, $mt->begin($tenant) . 'EXECUTE p');
		my $pid = MtTest::ask($second, $mt->begin($tenant) . 'SELECT pg_backend_pid()');
		$pid =~ s/.*\n//s;
		$second->query_until(qr/started/, "\\echo started\nEXECUTE p;\n\\echo '' done\n");
		$mt->{node}->poll_query_until('app', "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $pid");
		MtTest::ask($first, 'COMMIT');
		my $out = MtTest::ask($second, 'COMMIT');
		is(join(' ', $out =~ /SECRET-(\w+)/g), uc($tenant), "after another transaction, $tenant");
	}
	$_->quit foreach $first, $second;
	is($mt->superuser('SELECT string_agg(k::text, \' \' ORDER BY tenant_id) FROM keyed'), '41 21', 'and each row was changed by its own tenant');
	$mt->superuser('UPDATE keyed SET k = 1');
}

# Principals enter a tenant, and leave it with a savepoint.
$mt->superuser("SELECT multitenant.add_member(t, 'alice') FROM unnest('{acme,beta}'::text[]) t");
foreach my $table ('invoice', 'parted')
{
	my ($out, $err) = $mt->run($app, "$mode PREPARE p AS SELECT note FROM $table;" . join('', map {
		"BEGIN; SAVEPOINT s; SELECT multitenant.switch_tenant('$_'); EXECUTE p; \\echo --\n ROLLBACK TO s; EXECUTE p; ROLLBACK; EXECUTE p; \\echo --\n" } qw(acme beta acme)),
		pgoptions => '-c multitenant.token=' . $mt->token(undef, sub => 'alice'));
	is(join(' ', map { join('+', /SECRET-(\w+)/g) || '-' } split(/--\n/, $out)), 'ACME - BETA - ACME -', "a principal that switches, $table") or diag($err);
	is(() = $err =~ /MT001/g, 6, "and sees nothing outside of a tenant, $table") or diag($err);
}

# A superuser who tries what a role may do runs the role's plans, for one tenant after the other, and then without any.
$mt->superuser("CREATE FUNCTION tried() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN (SELECT string_agg(note, chr(44)) FROM parted); END'; ALTER FUNCTION tried() OWNER TO $app");
{
	my $try = join('', map { "SELECT value FROM multitenant._try('$app', '$_', 'SELECT tried()', " . ($_ eq $beta ? 'true' : 'false') . ");\n" } $acme, $beta, $acme);
	my $out = $mt->superuser("SET plan_cache_mode = force_generic_plan; $try SELECT sqlstate FROM multitenant._try('$app', NULL, 'SELECT tried()', false)");
	is($out, "SECRET-ACME\nSECRET-BETA\nSECRET-ACME\nMT001", 'trials of several tenants');
}

# ---- what only a driver can do: a portal that is bound under one context and executed under another ----

sub driver
{
	my ($token, @steps) = @_;
	my $socket = wire($mt->node, $app, "-c multitenant.token=$token");
	my @seen;
	foreach my $step (@steps)
	{
		ref $step eq 'CODE' ? $step->() : push @seen, talk($socket, ref $step ? map { message(@$_) } @$step : query($step));
	}
	return @seen;
}
my $sync = [ S => '' ];
foreach my $statement ('UPDATE parted SET id = 7', 'UPDATE parted SET id = 7 RETURNING note', 'WITH w AS (UPDATE parted SET id = 7 RETURNING note) SELECT * FROM w', 'SELECT note FROM parted')
{
	my @bind = ([ P => "s\0$statement\0\0\0" ], [ B => "p\0s\0" . "\0\0" x 3 ], $sync);
	my @execute = ([ E => "p\0\0\0\0\0" ], $sync);
	my @seen = driver($mt->token('acme'), 'BEGIN', \@bind, "SELECT multitenant.authenticate('" . $mt->token('beta') . "')", \@execute, 'COMMIT');
	like("$seen[2] $seen[3]", qr/MT005/, "bound for one tenant, executed for another: $statement");
	ok(!MtTest::leaks("@seen", undef), "nothing is shown: $statement") or diag("@seen");
	@seen = driver($mt->token('acme'), 'BEGIN', \@bind, \@execute, 'ROLLBACK');
	unlike($seen[2], qr/MT0|25P02/, "executed for its own: $statement");
}
is($mt->superuser($all_rows), $rows_before, 'nothing was written');

# What is bound and never executed is kept all the same, also where the statement had to be analyzed anew.
{
	my $bind = [ [ B => "p\0s\0" . "\0\0" x 3 ], $sync ];
	my $enter = sub { return ('BEGIN', "SELECT multitenant.authenticate('" . $mt->token($_[0]) . "')") };
	my @seen = driver('', $enter->('beta'), 'COMMIT', [ [ P => "s\0UPDATE parted SET id = id RETURNING note\0\0\0" ], $sync ], $enter->('acme'), $bind, 'COMMIT', $enter->('beta'), 'COMMIT',
		sub { $mt->superuser('COMMENT ON TABLE parted IS NULL; ALTER TABLE parted ALTER note SET STATISTICS 10') },
		$enter->('acme'), $bind, 'COMMIT', $enter->('beta'), [ @$bind[0], [ E => "p\0\0\0\0\0" ], $sync ], 'ROLLBACK');
	like($seen[-2], qr/^SECRET-BETA$/, 'bound and not executed for another tenant') or diag(join(' | ', @seen));
}

# A function that a driver calls without a statement: what it keeps is taken from the cache before any context is there.
$mt->superuser(<<"SQL");
SET ROLE $owner;
CREATE FUNCTION listing() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT string_agg(note, chr(44)) FROM parted); END';
CREATE FUNCTION entering(text) RETURNS text LANGUAGE sql AS 'SELECT multitenant.authenticate(\$1); SELECT string_agg(note, chr(44)) FROM parted';
SQL
my ($listing, $entering) = split(/\|/, $mt->superuser("SELECT 'listing()'::regprocedure::oid, 'entering(text)'::regprocedure::oid"));
my $call = sub {
	my ($function, @arguments) = @_;
	return [ [ F => pack('N n n', $function, 0, scalar @arguments) . join('', map { pack('N', length) . $_ } @arguments) . pack('n', 0) ] ];
};
{
	my @by_turns = ($call->($listing), 'BEGIN', "SELECT multitenant.authenticate('" . $mt->token('beta') . "')", $call->($listing), 'COMMIT');
	my @seen = driver($mt->token('acme'), @by_turns, @by_turns, $call->($listing), $call->($entering, $mt->token('beta')), $call->($listing));
	is(join(' ', map { /SECRET-(\w+)/g } @seen), 'ACME BETA ACME BETA ACME BETA ACME', 'calls without a statement') or diag(join("\n", @seen));
}

$mt->superuser('DROP TABLE letter, person, keyed CASCADE; DROP FUNCTION tried(); DROP VIEW barrier');

$mt->intact('nothing was changed');
done_testing();
