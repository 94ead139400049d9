# Plans that outlive the tenant they were made for, wherever the server keeps one: right rows or MT005 or MT001, never
# another tenant's. Goes on where 041_folding.pl ends: Bind and Execute apart, SPI, cursors, loops, DDL in between.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use MtWire;
use Test::More;

my $mt = MtTest->new('stale');
my ($app, $owner) = qw(regress_mt_app regress_mt_owner);
my ($acme, $beta) = map { "00000000-0000-0000-0000-00000000000$_" } qw(a b);
my $mode = 'SET plan_cache_mode = force_generic_plan;';

# Tables whose kept plans are folded in sessions with one tenant so far (plain), and in all (parted).
$mt->superuser(<<"SQL");
SET ROLE $owner;
CREATE TABLE plain (tenant_id uuid NOT NULL, id int, note text, PRIMARY KEY (tenant_id, id));
CREATE TABLE parted (tenant_id uuid NOT NULL, id int, note text, PRIMARY KEY (tenant_id, id)) PARTITION BY LIST (tenant_id);
CREATE TABLE parted_a PARTITION OF parted FOR VALUES IN ('$acme');
CREATE TABLE parted_b PARTITION OF parted FOR VALUES IN ('$beta');
SELECT format('CREATE TABLE more_%s PARTITION OF parted FOR VALUES IN (%L)', n, gen_random_uuid()) FROM generate_series(1, 80) n \\gexec
INSERT INTO plain SELECT t.id::uuid, i, 'SECRET-' || t.name FROM (VALUES ('$acme', 'ACME'), ('$beta', 'BETA')) t (id, name), generate_series(1, 3) i;
INSERT INTO parted SELECT * FROM plain;
SELECT multitenant.protect('plain');
SELECT multitenant.protect('parted');
GRANT SELECT, INSERT, UPDATE, DELETE ON plain, parted TO $app;
SQL

# "ACME BETA": whose rows a text shows, one word for each part of it
sub owners { return join(' ', map { my %seen = map { $_ => 1 } /SECRET-(\w+)/g; join('+', sort keys %seen) || '-' } @_) }

# Runs something for acme, beta, beta, acme in one session; each must see its own.
sub by_turns
{
	my ($name, $prepare, $run, %options) = @_;
	my ($out, $err) = $mt->run($app, "$mode $prepare;\n" . join('', map { $mt->begin($_) . "$run;\nCOMMIT;\n\\echo --\n" } qw(acme beta beta acme)), %options);
	my $ok = is(owners(split(/--\n/, $out)), 'ACME BETA BETA ACME', "$name: each sees its own");
	$ok &&= unlike($err, qr/ERROR/, "$name: no error");
	diag("$out\n$err") if !$ok;
	return;
}

# ---- the protocol: Bind and Execute apart ----
sub connect_app
{
	my (%options) = @_;
	return wire($mt->node, $app, '-c plan_cache_mode=force_generic_plan' . ($options{token} ? " -c multitenant.token=$options{token}" : ''));
}

# COMMIT of what acme or beta did; begun in one message, as drivers do
sub enter { my ($tenant) = @_; return query('BEGIN; SELECT multitenant.authenticate(\'' . $mt->token($tenant) . '\')') }

foreach my $table ('plain', 'parted')
{
	my $own = sub { my ($name) = @_; return join(' ', ("SECRET-$name") x 3) };
	my $read = "SELECT note FROM $table";
	my $write = "UPDATE $table SET note = note RETURNING note";
	my $silent = "UPDATE $table SET note = note";
	my %wanted = map { my $name = $_; $name => { read => $own->($name), write => $own->($name), silent => 'UPDATE 3' } } qw(ACME BETA);
	my $run = sub { my ($socket, $name, $rows) = @_; return talk($socket, bind_to('', $name), execute('', $rows), synchronize()) };
	my $prepared = sub { my ($socket) = @_; return talk($socket, parse('read', $read), parse('write', $write), parse('silent', $silent), synchronize()) };

	my $s = connect_app();
	is($prepared->($s), '', "$table: statements are parsed without a context");
	foreach my $tenant (qw(acme beta acme beta))
	{
		talk($s, enter($tenant));
		is($run->($s, 'read'), $own->(uc $tenant), "$table: read for $tenant");
		is($run->($s, 'write'), $own->(uc $tenant), "$table: written for $tenant");
		talk($s, query('COMMIT'));
	}

	# A portal holds its plan from Bind on; one that writes starts at Execute. It was made for acme and kept.
	foreach my $name ('write', 'silent')
	{
		$s = connect_app();
		$prepared->($s);
		talk($s, enter('acme'));
		is($run->($s, $name), $wanted{ACME}{$name}, "$table: $name for acme");
		talk($s, query('ROLLBACK'));
		talk($s, query('BEGIN'));
		is(talk($s, bind_to('held', $name), synchronize()), '', "$table: $name is bound without a context");
		talk($s, query("SELECT multitenant.authenticate('" . $mt->token('beta') . "')"));
		is(talk($s, execute('held'), synchronize()), 'MT005', "$table: $name, bound without a context, is not executed for beta");
		talk($s, query('ROLLBACK'));
		talk($s, query('BEGIN'));
		is(talk($s, bind_to('held', $name), synchronize()), 'MT001', "$table: $name cannot be planned without a context");
		talk($s, query('ROLLBACK'));
		talk($s, enter('beta'));
		is($run->($s, $name), $wanted{BETA}{$name}, "$table: $name for beta afterwards");
		talk($s, query('ROLLBACK'));

		# the same in one go: what is kept general runs for whom has entered, what was made for beta does not
		talk($s, parse('enter', "SELECT multitenant.authenticate('" . $mt->token('acme') . "')"), synchronize());
		is(talk($s, bind_to('a', 'enter'), bind_to('b', $name), execute('a'), execute('b'), synchronize()), $table eq 'parted' ? 'row MT005' : "row $wanted{ACME}{$name}" =~ s/row UPDATE 3/row/r,
			"$table: $name bound in a pipeline before acme is entered");
		is(talk($s, bind_to('a', 'enter'), execute('a'), bind_to('b', 'read'), execute('b'), synchronize()), "row $wanted{ACME}{read}", "$table: bound after it");
	}

	# What has begun ends with its context: after some rows, and before the first.
	foreach my $rows (0, 1)
	{
		$s = connect_app();
		$prepared->($s);
		talk($s, enter('acme'));
		talk($s, bind_to('held', 'read'), $rows ? execute('held', $rows) : (), synchronize());
		talk($s, query('SELECT multitenant.reset_tenant()'));
		is(talk($s, execute('held'), synchronize()), 'MT001', "$table: a portal after $rows rows and reset_tenant()");
		talk($s, query('ROLLBACK'));
	}

	# A connection's own context, and beside it another's.
	$s = connect_app(token => $mt->token('acme'));
	$prepared->($s);
	foreach my $round (1 .. 3)
	{
		is($run->($s, 'read'), $own->('ACME'), "$table: the connection's own context, $round");
		is(talk($s, query('BEGIN'), ), '', 'begun');
		talk($s, bind_to('held', 'read'), synchronize());
		unlike(talk($s, query("SELECT multitenant.authenticate('" . $mt->token('beta') . "')")), qr/row/, "$table: no other one after a portal was bound, $round");
		talk($s, query('ROLLBACK'));
		talk($s, enter('beta'));
		like($run->($s, 'read'), qr/^(?:MT005|SECRET-BETA SECRET-BETA SECRET-BETA)$/, "$table: another one first, $round");
		talk($s, query('ROLLBACK'));
	}
}

# ---- statements of every kind, kept ----
foreach my $table ('plain', 'parted')
{
	by_turns("UPDATE on $table", "PREPARE p AS UPDATE $table SET note = note RETURNING note", 'EXECUTE p');
	by_turns("DELETE on $table", "PREPARE p AS DELETE FROM $table RETURNING note", 'SAVEPOINT s; EXECUTE p; ROLLBACK TO s');
	by_turns("ON CONFLICT on $table", "PREPARE p AS INSERT INTO $table (id, note) VALUES (1, 'x') ON CONFLICT (tenant_id, id) DO UPDATE SET id = $table.id RETURNING note", 'EXECUTE p');
	by_turns("MERGE on $table", "PREPARE p AS MERGE INTO $table t USING (VALUES (1), (2)) v (id) ON t.id = v.id WHEN MATCHED THEN DELETE; PREPARE q AS SELECT note FROM $table",
		'SAVEPOINT s; EXECUTE p; EXECUTE q; ROLLBACK TO s');
	by_turns("WITH a write on $table", "PREPARE p AS WITH w AS (UPDATE $table SET note = note RETURNING id) SELECT t.note FROM $table t JOIN w USING (id)", 'EXECUTE p');
	by_turns("subqueries on $table", "PREPARE p(int) AS SELECT (SELECT max(note) FROM $table) || ' ' || (SELECT min(b.note) FROM $table b WHERE b.id = a.id) FROM $table a WHERE EXISTS (SELECT FROM $table c WHERE c.id = a.id) AND id > \$1",
		'EXECUTE p(0); EXECUTE p(1)');
	by_turns("a parallel plan on $table", 'SET ' . $mt->parallel_setting . " = on; PREPARE p AS SELECT note FROM $table", 'EXECUTE p');
	by_turns("a cursor of PL/pgSQL on $table", "CREATE FUNCTION pg_temp.f() RETURNS SETOF text LANGUAGE plpgsql AS 'DECLARE c CURSOR FOR SELECT note FROM $table; n text;
		BEGIN OPEN c; LOOP FETCH c INTO n; EXIT WHEN NOT FOUND; RETURN NEXT n; END LOOP; CLOSE c; END'", 'SELECT pg_temp.f()');
	by_turns("EXECUTE of PL/pgSQL on $table", "CREATE FUNCTION pg_temp.f() RETURNS SETOF text LANGUAGE plpgsql AS 'BEGIN RETURN QUERY EXECUTE ''SELECT note FROM $table''; END'", 'SELECT pg_temp.f()');
	by_turns("a cursor on $table", '', "DECLARE c SCROLL CURSOR FOR SELECT note FROM $table; FETCH 2 FROM c; FETCH BACKWARD ALL FROM c; CLOSE c");

	# New rows: the default and the check are of the tenant that runs.
	my ($out, $err) = $mt->run($app, "$mode PREPARE own AS INSERT INTO $table (id, note) VALUES (9, 'new') RETURNING tenant_id;
		PREPARE given(uuid) AS INSERT INTO $table (tenant_id, id, note) VALUES (\$1, 8, 'new') RETURNING tenant_id;\n"
		. join('', map { $mt->begin($_) . "EXECUTE own; EXECUTE given('$acme'); ROLLBACK; \\echo --\n" } qw(acme acme beta acme beta)));
	is_deeply([ map { join(' ', map { substr($_, -1) } split) } split(/--\n?/, $out) ], [ 'a a a', 'a a a', 'b b', 'a a a', 'b b' ], "INSERT into $table: the tenant that runs") or diag($out);
	is(scalar(() = $err =~ /42501/g), 2, "INSERT into $table: another tenant's row is refused") or diag($err);
}
$mt->superuser("SET ROLE $owner; CREATE FUNCTION of_owner() RETURNS SETOF text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
	'BEGIN RETURN QUERY SELECT note FROM public.plain; RETURN QUERY SELECT note FROM public.parted; END'; GRANT EXECUTE ON FUNCTION of_owner() TO $app;
	CREATE VIEW barrier WITH (security_invoker, security_barrier) AS SELECT note FROM plain UNION ALL SELECT note FROM parted; GRANT SELECT ON barrier TO $app");
by_turns('a function of the owner', '', 'SELECT of_owner()');
by_turns('a barrier view', 'PREPARE p AS SELECT * FROM barrier', 'EXECUTE p');
by_turns('a simple expression', "CREATE FUNCTION pg_temp.f() RETURNS text LANGUAGE plpgsql AS 'DECLARE n text := multitenant.current_tenant_slug(); BEGIN
	FOR i IN 1 .. 3 LOOP IF multitenant.current_tenant_slug() <> n THEN RETURN ''mixed''; END IF; END LOOP; RETURN ''SECRET-'' || upper(n); END'", 'SELECT pg_temp.f()');

# ---- the tenant goes in the middle of a function ----
foreach my $table ('plain', 'parted')
{
	$mt->refused($app, "CREATE FUNCTION pg_temp.f() RETURNS SETOF text LANGUAGE plpgsql AS \$\$ DECLARE c CURSOR FOR SELECT note FROM $table; n text;
		BEGIN OPEN c; FETCH c INTO n; RETURN NEXT n; PERFORM multitenant.reset_tenant(); FETCH c INTO n; RETURN NEXT n; END \$\$;"
		. $mt->begin('acme') . 'SELECT pg_temp.f()', 'MT001', "a cursor of PL/pgSQL on $table after reset_tenant()");
	$mt->refused($app, "CREATE FUNCTION pg_temp.f() RETURNS SETOF text LANGUAGE plpgsql AS \$\$
		BEGIN RETURN QUERY EXECUTE 'SELECT note FROM $table'; PERFORM multitenant.reset_tenant(); RETURN QUERY EXECUTE 'SELECT note FROM $table'; END \$\$;"
		. $mt->begin('acme') . 'SELECT pg_temp.f()', 'MT001', "EXECUTE of PL/pgSQL on $table after reset_tenant()");

	# a block that fails takes its context with it
	my ($out, $err) = $mt->run($app, "$mode CREATE FUNCTION pg_temp.of(token text) RETURNS SETOF text LANGUAGE plpgsql AS \$\$ BEGIN
			PERFORM multitenant.authenticate(token); RETURN QUERY SELECT note FROM $table; END \$\$;
		CREATE FUNCTION pg_temp.f(a text, b text) RETURNS SETOF text LANGUAGE plpgsql AS \$\$ BEGIN
			BEGIN PERFORM pg_temp.of(a); RAISE 'end' USING ERRCODE = 'P0001'; EXCEPTION WHEN raise_exception THEN NULL; END;
			RETURN QUERY SELECT pg_temp.of(b); END \$\$;\n"
		. join('', map { "SELECT pg_temp.f('" . $mt->token($_->[0]) . "', '" . $mt->token($_->[1]) . "');\n\\echo --\n" } [qw(acme beta)], [qw(beta acme)], [qw(acme acme)]));
	my @seen = split(/--\n/, $out);
	like(owners($seen[0] // ''), qr/^(?:BETA|-|)$/, "a block on $table that failed, then beta") or diag("$out\n$err");
	like(owners($seen[1] // ''), qr/^(?:ACME|-|)$/, "a block on $table that failed, then acme") or diag("$out\n$err");
	is(owners($seen[2] // ''), 'ACME', "a block on $table that failed, then the same tenant") or diag("$out\n$err");
}

# ---- SPI by way of PL/Perl: plans that are not saved, and plans that are ----
SKIP:
{
	skip 'PL/Perl is not installed', 6 if $mt->superuser("SELECT count(*) FROM pg_available_extensions WHERE name = 'plperl'") eq '0';
	$mt->superuser('CREATE EXTENSION plperl');
	foreach my $table ('plain', 'parted')
	{
		# spi_query: a cursor over a plan that is not saved. PL/Perl leaves the text of an error and loses its code.
		$mt->refused($app, "CREATE FUNCTION pg_temp.f() RETURNS SETOF text LANGUAGE plperl AS \$\$
			my \$c = spi_query('SELECT note FROM $table'); return_next(spi_fetchrow(\$c)->{note}); spi_exec_query('SELECT multitenant.reset_tenant()');
			while (my \$row = spi_fetchrow(\$c)) { return_next(\$row->{note}); } return; \$\$;" . $mt->begin('acme') . 'SELECT pg_temp.f()', '38000',
			"a plan of SPI that is not saved, on $table, after reset_tenant()", tenant => 'acme');
		by_turns("a plan of SPI that is saved, on $table", "CREATE FUNCTION pg_temp.f() RETURNS SETOF text LANGUAGE plperl AS \$\$
			\$_SHARED{p} //= spi_prepare('SELECT note FROM $table WHERE id > \$1', 'int');
			return_next(\$_->{note}) foreach \@{ spi_exec_prepared(\$_SHARED{p}, 0)->{rows} };
			my \$c = spi_query_prepared(\$_SHARED{p}, 1); while (my \$row = spi_fetchrow(\$c)) { return_next(\$row->{note}); } return; \$\$", 'SELECT pg_temp.f()');
	}
}

# ---- tables that change between two executions ----
{
	my $session = $mt->session($app);
	my $ask = sub {
		my ($tenant) = @_;
		my $out = $session->query('BEGIN; SELECT multitenant.authenticate(\'' . $mt->token($tenant) . '\');
			SAVEPOINT s; EXECUTE p; EXECUTE q(0); SELECT both_notes(); UPDATE plain SET note = note RETURNING note; COMMIT');
		$session->{stderr} = '';
		return owners($out);
	};
	$mt->superuser("SET ROLE $owner; CREATE FUNCTION both_notes() RETURNS SETOF text LANGUAGE plpgsql AS
		'BEGIN RETURN QUERY SELECT note FROM plain; RETURN QUERY SELECT note FROM parted; END'");
	$session->query("$mode PREPARE p AS SELECT note FROM plain; PREPARE q(int) AS SELECT note FROM parted WHERE id > \$1");
	is(join(' ', map { $ask->($_) } qw(acme acme beta)), 'ACME ACME BETA', 'before any DDL');
	my @steps = (
		'a column' => 'ALTER TABLE plain ADD COLUMN extra int; ALTER TABLE parted ADD COLUMN extra int',
		'an index' => 'CREATE INDEX ON plain (id); CREATE INDEX ON parted (id)',
		'a partition' => "CREATE TABLE parted_c PARTITION OF parted DEFAULT",
		'a column of another type' => 'ALTER TABLE plain ALTER id TYPE bigint; ALTER TABLE parted ALTER id TYPE bigint',
		'a restrictive policy' => "CREATE POLICY narrow ON plain AS RESTRICTIVE USING (id < 3); CREATE POLICY narrow ON parted AS RESTRICTIVE USING (id < 3)",
		'a policy less' => 'DROP POLICY narrow ON plain; DROP POLICY narrow ON parted',
		'other names' => 'ALTER TABLE plain RENAME note TO noted; ALTER TABLE plain RENAME noted TO note',
		'a partition that comes again' => "ALTER TABLE parted DETACH PARTITION parted_b; ALTER TABLE parted ATTACH PARTITION parted_b FOR VALUES IN ('$beta')",
		'a repair' => "SELECT multitenant.repair('parted')");
	while (my ($name, $ddl) = splice(@steps, 0, 2))
	{
		$mt->superuser("SET ROLE $owner; $ddl");
		is(join(' ', map { $ask->($_) } qw(beta acme acme beta)), 'BETA ACME ACME BETA', "after $name");
	}
	$mt->superuser("SELECT multitenant.unprotect('plain'); SELECT multitenant.unprotect('parted')");
	my $open = $ask->('acme');
	is($open, 'ACME+BETA', 'without protection everything is seen, by no plan of before');
	$mt->superuser("SET ROLE $owner; SELECT multitenant.protect('plain'); SELECT multitenant.protect('parted')");
	is(join(' ', map { $ask->($_) } qw(beta acme acme beta)), 'BETA ACME ACME BETA', 'protected again');
	$session->quit;
}

$mt->intact('nothing was changed');
done_testing();
