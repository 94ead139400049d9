# Attacks V1, V2 and V4 to V8 of docs/internals/attacks.md, and the other ways to read a table without naming it:
# views, functions, names that mean something else, COPY, cursors, rules, prepared statements, EXPLAIN.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use Test::More;

my $mt = MtTest->new('views');
my ($app, $owner) = qw(regress_mt_app regress_mt_owner);
my ($acme, $beta) = map { "00000000-0000-0000-0000-00000000000$_" } qw(a b);
my $read = 'SELECT note FROM invoice;';

sub as_owner { return $mt->superuser("SET ROLE $owner; $_[0]"); }

# A relation or function that must show every tenant its own and nobody anything else.
sub filtered
{
	my ($query, $name) = @_;
	$mt->allowed($app, $mt->begin('acme') . $query, 'SECRET-ACME', "$name: the tenant's rows", tenant => 'acme');
	$mt->allowed($app, $mt->begin('beta') . $query, 'SECRET-BETA', "$name: another tenant's rows", tenant => 'beta');
	$mt->refused($app, $query, 'MT001', "$name: no context");
	return;
}

# One that must show nothing to anybody.
sub closed
{
	my ($query, $name) = @_;
	$mt->refused($app, $mt->begin('acme') . $query, 'MT007', "$name: under a context");
	$mt->refused($app, $query, 'MT00[17]', "$name: no context");
	return;
}

subtest 'V1, V2: views' => sub {
	as_owner("CREATE VIEW v_invoker WITH (security_invoker) AS SELECT * FROM invoice;
		CREATE VIEW v_owner AS SELECT * FROM invoice;
		CREATE VIEW v_barrier WITH (security_barrier) AS SELECT * FROM invoice WHERE tenant_id = '$beta';
		CREATE VIEW v_counts AS SELECT count(*) AS n, max(note) AS note FROM invoice;
		GRANT ALL ON v_invoker, v_owner, v_barrier, v_counts TO $app");
	filtered('SELECT note FROM v_invoker', 'security_invoker');
	filtered('SELECT note FROM v_owner', 'view of the table\'s owner');
	filtered('SELECT note FROM v_counts', 'aggregating view of the owner');
	$mt->allowed($app, $mt->begin('acme') . 'SELECT count(*) || \' rows\' FROM v_barrier', '0 rows', 'a view on another tenant is empty', tenant => 'acme');

	$mt->superuser("CREATE VIEW v_super AS SELECT * FROM invoice; GRANT ALL ON v_super TO $app, $owner");
	closed('SELECT note FROM v_super', 'view of a superuser');
	closed('SELECT count(*) FROM v_super', 'counting in a view of a superuser');
	closed('SELECT 1 FROM v_super WHERE false', 'a view of a superuser that yields nothing');
	closed("UPDATE v_super SET note = 'hit'", 'UPDATE through a view of a superuser');
	closed('DELETE FROM v_super', 'DELETE through a view of a superuser');
	closed("INSERT INTO v_super (tenant_id, note) VALUES ('$beta', 'planted')", 'INSERT through a view of a superuser');
	closed('COPY (SELECT note FROM v_super) TO STDOUT', 'COPY from a view of a superuser');

	as_owner("CREATE VIEW v_over WITH (security_invoker) AS SELECT * FROM v_super; GRANT ALL ON v_over TO $app");
	closed('SELECT note FROM v_over', 'an invoker view over it');
	$mt->superuser("CREATE VIEW v_over2 AS SELECT * FROM v_invoker; GRANT ALL ON v_over2 TO $app");
	filtered('SELECT note FROM v_over2', 'a superuser\'s view over an invoker view');
	closed('SELECT i.note FROM invoice i, v_super v', 'a join of table and view');
	closed('WITH x AS (SELECT note FROM v_super) SELECT * FROM x', 'in a CTE');
	closed('SELECT (SELECT max(note) FROM v_super)', 'in a subquery');
	closed('SELECT 1 WHERE EXISTS (SELECT FROM v_super)', 'in EXISTS');
	$mt->intact('nothing was changed');

	$mt->superuser("CREATE ROLE regress_mt_viewer BYPASSRLS; GRANT SELECT ON invoice TO regress_mt_viewer;
		ALTER VIEW v_super OWNER TO regress_mt_viewer");
	closed('SELECT note FROM v_super', 'view of a BYPASSRLS role');
	$mt->superuser("GRANT $owner TO regress_mt_viewer");
	closed('SELECT note FROM v_super', 'view of a BYPASSRLS role that is a member of the owner');
	$mt->superuser("REVOKE $owner FROM regress_mt_viewer;
		ALTER VIEW v_super OWNER TO $owner");
	filtered('SELECT note FROM v_super', 'the same view of the table\'s owner');
};

subtest 'V5: definer functions' => sub {
	my %body = (
		f_sql => "LANGUAGE sql AS 'SELECT note FROM invoice'",
		f_atomic => 'LANGUAGE sql BEGIN ATOMIC SELECT note FROM invoice; END',
		f_static => "LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT note FROM invoice; END'",
		f_dynamic => "LANGUAGE plpgsql AS 'BEGIN RETURN QUERY EXECUTE ''SELECT note FROM invoice''; END'",
		f_do => "LANGUAGE plpgsql AS 'DECLARE r record; BEGIN FOR r IN SELECT note FROM invoice LOOP RETURN NEXT r.note; END LOOP; END'",
		f_catch => "LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT note FROM invoice; EXCEPTION WHEN OTHERS THEN
			RETURN QUERY SELECT note FROM invoice; END'");
	foreach my $function (sort keys %body)
	{
		$mt->superuser("CREATE FUNCTION $function() RETURNS SETOF text SECURITY DEFINER $body{$function}");
		closed("SELECT * FROM $function()", "$function() of a superuser");
		$mt->superuser("ALTER FUNCTION $function() OWNER TO $owner");
		filtered("SELECT * FROM $function()", "$function() of the owner");
	}
	# the attacker chooses the statement
	$mt->superuser("CREATE FUNCTION f_any(statement text) RETURNS SETOF text SECURITY DEFINER LANGUAGE plpgsql
		AS 'BEGIN RETURN QUERY EXECUTE statement; END'");
	closed("SELECT f_any('SELECT note FROM invoice')", 'injection into a function of a superuser');
	closed("SELECT f_any('DELETE FROM invoice RETURNING note')", 'deleting in a function of a superuser');
	$mt->superuser("ALTER FUNCTION f_any(text) OWNER TO $owner");
	filtered("SELECT f_any('SELECT note FROM invoice')", 'injection into a function of the owner');
	$mt->refused($app, $mt->begin('acme') . "SELECT f_any('SELECT multitenant.use_tenant(''beta'')::text'); $read", '42501',
		'naming a tenant in it', tenant => 'acme');
	$mt->refused($app, $mt->begin('acme') . "SELECT f_any('UPDATE invoice SET tenant_id = ''$beta'' RETURNING note')", '42501',
		'moving rows in it', tenant => 'acme');
	$mt->intact('nothing was changed');
};

subtest 'V6, V7: names that mean something else' => sub {
	as_owner("CREATE FUNCTION notes() RETURNS SETOF text LANGUAGE sql STABLE AS 'SELECT note FROM invoice'");
	$mt->superuser("CREATE SCHEMA sandbox; GRANT ALL ON SCHEMA sandbox TO $app");
	my @shadows = (
		"CREATE TEMP TABLE tenant AS SELECT '$beta'::uuid AS id, 2 AS number, 'acme' AS slug, 'active' AS state",
		"CREATE FUNCTION pg_temp.current_tenant() RETURNS uuid LANGUAGE sql AS 'SELECT ''$beta''::uuid'",
		"CREATE FUNCTION sandbox.current_tenant() RETURNS uuid LANGUAGE sql AS 'SELECT ''$beta''::uuid'",
		"CREATE FUNCTION sandbox.always(uuid, uuid) RETURNS boolean LANGUAGE sql AS 'SELECT true';
		CREATE OPERATOR sandbox.= (FUNCTION = sandbox.always, LEFTARG = uuid, RIGHTARG = uuid)",
		"CREATE FUNCTION sandbox.uuid_eq(uuid, uuid) RETURNS boolean LANGUAGE sql AS 'SELECT true'");
	foreach my $shadow (@shadows)
	{
		foreach my $path ('sandbox, public, pg_catalog', 'pg_temp, sandbox, multitenant, public, pg_catalog')
		{
			foreach my $query ($read, 'SELECT * FROM public.notes()')
			{
				$mt->allowed($app, "SET search_path = $path;\n$shadow;\n" . $mt->begin('acme') . $query, 'SECRET-ACME',
					substr($shadow, 0, 45) . " with $path", tenant => 'acme');
				$mt->superuser('DROP SCHEMA sandbox CASCADE; CREATE SCHEMA sandbox; GRANT ALL ON SCHEMA sandbox TO ' . $app);
			}
		}
	}
	$mt->refused($app, "CREATE SCHEMA multitenant", '42501', 'the schema is taken');
	$mt->refused($app, "CREATE FUNCTION multitenant.evil() RETURNS int LANGUAGE sql AS 'SELECT 1'", '42501', 'and closed');
	$mt->superuser('DROP SCHEMA sandbox CASCADE');
};

subtest 'V8: leaky conditions' => sub {
	my $leak = "CREATE FUNCTION pg_temp.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS 'BEGIN RAISE NOTICE ''%'', \$1; RETURN true; END';\n";
	my @queries = ('SELECT note FROM invoice WHERE pg_temp.leak(note)', 'SELECT count(*) FROM invoice WHERE pg_temp.leak(note)',
		'SELECT note FROM invoice ORDER BY pg_temp.leak(note)', 'DELETE FROM invoice WHERE pg_temp.leak(note) RETURNING note',
		"UPDATE invoice SET note = note WHERE pg_temp.leak(note) RETURNING note",
		"INSERT INTO invoice (id, note) SELECT id, note FROM invoice ON CONFLICT (id) DO UPDATE SET note = excluded.note
			WHERE pg_temp.leak(invoice.note) RETURNING note",
		'SELECT i.note FROM invoice i JOIN invoice j ON pg_temp.leak(j.note)',
		'SELECT note FROM invoice WHERE CASE note WHEN note THEN pg_temp.leak(note) END');
	foreach my $query (@queries)
	{
		$mt->allowed($app, $leak . $mt->begin('acme') . "$query; ROLLBACK", undef, $query, tenant => 'acme');
	}
	$mt->refused($app, $mt->begin('acme') . 'SELECT note::int FROM invoice', '22P02', 'an error names the tenant\'s value only', tenant => 'acme');
	$mt->refused($app, $mt->begin('acme') . "SELECT 1 / (CASE WHEN note = 'SECRET-' || 'BETA' THEN 0 ELSE 1 END) FROM invoice; SELECT 1/0",
		'22012', 'dividing by zero on the other\'s row only', tenant => 'acme');
	my ($out) = $mt->run($app, $mt->begin('acme') . "SELECT 'fine' FROM invoice WHERE 1 / (CASE WHEN note LIKE '%BETA' THEN 0 ELSE 1 END) = 1");
	like($out, qr/fine/, 'the other\'s row is not evaluated');
};

subtest 'COPY and cursors' => sub {
	filtered('COPY invoice TO STDOUT', 'COPY table');
	filtered('COPY invoice (note) TO STDOUT', 'COPY columns');
	filtered('COPY (SELECT note FROM invoice) TO STDOUT', 'COPY query');
	filtered('COPY (UPDATE invoice SET note = note RETURNING note) TO STDOUT', 'COPY of an UPDATE');
	filtered('TABLE invoice', 'TABLE');
	$mt->refused($app, "BEGIN; DECLARE c CURSOR FOR SELECT note FROM invoice; FETCH ALL FROM c", 'MT001', 'cursor without a context');
	$mt->allowed($app, $mt->begin('acme') . 'DECLARE c CURSOR FOR SELECT note FROM invoice; FETCH ALL FROM c; MOVE BACKWARD ALL IN c; FETCH ALL FROM c',
		'SECRET-ACME', 'cursor', tenant => 'acme');
	$mt->refused($app, $mt->begin('acme') . "DECLARE c CURSOR FOR SELECT note FROM invoice; SELECT multitenant.reset_tenant();
		FETCH ALL FROM c", 'MT001', 'fetching after a reset', tenant => '-');
	$mt->refused($app, $mt->begin('acme') . "DECLARE c CURSOR FOR SELECT * FROM invoice FOR UPDATE; FETCH 1 FROM c;
		UPDATE invoice SET tenant_id = '$beta' WHERE CURRENT OF c", '42501', 'WHERE CURRENT OF moves no row', tenant => 'acme');
	$mt->refused($app, "DO \$\$ DECLARE c refcursor; r record; BEGIN OPEN c FOR SELECT note FROM invoice; FETCH c INTO r;
		RAISE NOTICE '%', r; END \$\$", 'MT001', 'refcursor in DO');
	$mt->intact('nothing was changed');
};

subtest 'materialized views' => sub {
	$mt->refused($owner, 'CREATE MATERIALIZED VIEW m AS SELECT * FROM invoice', 'MT001', 'without a context');
	is($mt->superuser("SELECT to_regclass('m') IS NULL"), 't', 'none was made');
	$mt->refused($app, $mt->begin('acme') . 'CREATE MATERIALIZED VIEW m AS SELECT * FROM invoice', '42501', 'by the application', tenant => 'acme');

	# Under a context it holds that tenant's rows; a refresh runs under the context of its moment.
	$mt->allowed($owner, $mt->begin('acme') . "CREATE MATERIALIZED VIEW m AS SELECT note FROM invoice; SELECT note FROM m; COMMIT",
		'SECRET-ACME', 'under a context', tenant => 'acme');
	$mt->refused($owner, 'REFRESH MATERIALIZED VIEW m', 'MT001', 'REFRESH without a context');
	is($mt->superuser('SELECT string_agg(note, \' \') FROM m'), 'SECRET-ACME', 'nothing was added');
	$mt->superuser('ALTER MATERIALIZED VIEW m OWNER TO postgres');
	is($mt->superuser('REFRESH MATERIALIZED VIEW m; SELECT count(*) FROM m'), '3', 'a superuser refreshes it as a recorded bypass');
	like($mt->log_since, qr/multitenant audit: event="access\.bypass".*object="public\.invoice"/, 'which is on record');
	$mt->superuser('DROP MATERIALIZED VIEW m');
};

subtest 'rules' => sub {
	$mt->superuser("CREATE TABLE inbox (note text); GRANT ALL ON inbox TO $app;
		CREATE RULE also AS ON INSERT TO inbox DO ALSO INSERT INTO invoice (tenant_id, note) VALUES ('$beta', NEW.note);
		CREATE VIEW outbox AS SELECT ''::text AS note; GRANT ALL ON outbox TO $app;
		CREATE OR REPLACE RULE \"_RETURN\" AS ON SELECT TO outbox DO INSTEAD SELECT note FROM invoice");
	closed("INSERT INTO inbox VALUES ('planted')", 'a superuser\'s rule that writes');
	closed('SELECT note FROM outbox', 'a superuser\'s rule that reads');
	is($mt->superuser('SELECT count(*) FROM inbox'), '0', 'the statement itself wrote nothing');
	$mt->superuser("ALTER TABLE inbox OWNER TO $owner");
	$mt->refused($app, $mt->begin('acme') . "INSERT INTO inbox VALUES ('planted'); COMMIT", '42501', 'the owner\'s rule plants nothing', tenant => 'acme');
	$mt->superuser('DROP TABLE inbox; DROP VIEW outbox');
	$mt->intact('nothing was changed');
};

subtest 'functions that the planner inlines' => sub {
	as_owner("CREATE FUNCTION all_notes() RETURNS TABLE (note text) LANGUAGE sql STABLE AS 'SELECT note FROM invoice';
		CREATE FUNCTION note_of(uuid) RETURNS text LANGUAGE sql STABLE AS 'SELECT max(note) FROM invoice WHERE tenant_id = \$1'");
	filtered('SELECT note FROM all_notes()', 'table function');
	$mt->allowed($app, $mt->begin('acme') . "SELECT coalesce(note_of('$beta'), 'nothing')", 'nothing', 'scalar function', tenant => 'acme');
	$mt->refused($app, "SELECT note_of('$beta')", 'MT001', 'scalar function without a context');
};

subtest 'plans that outlive what they were made for' => sub {
	my $prepare = "SET plan_cache_mode = force_generic_plan; PREPARE p AS $read";
	$mt->refused($app, "$prepare EXECUTE p;", 'MT001', 'a prepared statement without a context');
	my ($out, $err) = $mt->run($app, "$prepare\n" . $mt->begin('acme') . "EXECUTE p; COMMIT;\n" . $mt->begin('beta') . "EXECUTE p; COMMIT; EXECUTE p;");
	is(join(' ', $out =~ /(SECRET-\w+)/g), 'SECRET-ACME SECRET-BETA', 'one plan serves each tenant its rows');
	like($err, qr/MT001:/, 'and nobody without a context');

	# Another session takes row security away between two executions of one plan.
	foreach my $role ($app, $owner)
	{
		my $session = $mt->node->background_psql('app', extra_params => [ '-U', $role ], on_error_stop => 0);
		$session->query('SET plan_cache_mode = force_generic_plan');
		$session->query("PREPARE p AS $read");
		like($session->query($mt->begin('acme') . 'EXECUTE p; COMMIT;'), qr/SECRET-ACME/, "$role: the plan works");
		$mt->past_guard($owner, 'ALTER TABLE invoice DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY');
		$out = $session->query($mt->begin('acme') . 'EXECUTE p;');
		is(scalar(MtTest::leaks($out, 'acme')), 0, "$role: shows nothing once row security is disabled");
		unlike($out, qr/SECRET/, "$role: not even the own row");
		$session->query('ROLLBACK');
		$mt->superuser("SELECT multitenant.repair('invoice')");
		like($session->query($mt->begin('acme') . 'EXECUTE p; COMMIT;'), qr/SECRET-ACME/, "$role: works again after repair()");
		$session->quit;
	}

	# The same inside one transaction that sees its old snapshot.
	my $session = $mt->node->background_psql('app', extra_params => [ '-U', $app ], on_error_stop => 0);
	$session->query('BEGIN ISOLATION LEVEL REPEATABLE READ');
	$session->query("SELECT multitenant.authenticate('" . $mt->token('acme') . "')");
	$session->query("PREPARE p AS SELECT count(*) FROM pg_class");
	$session->query('EXECUTE p');
	$mt->past_guard($owner, 'ALTER TABLE invoice DISABLE ROW LEVEL SECURITY');
	unlike($session->query($read), qr/SECRET/, 'an old snapshot does not bring row security back');
	$session->query('ROLLBACK');
	$session->quit;
	$mt->superuser("SELECT multitenant.repair('invoice')");

	# A plan made by a role that is not filtered.
	$mt->superuser("CREATE FUNCTION cached() RETURNS SETOF text LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT note FROM invoice; END'");
	($out, $err) = $mt->run('postgres', "SELECT count(*) || ' rows' FROM cached(); SET ROLE $app;\n" . $mt->begin('acme') . 'SELECT * FROM cached()');
	like($out, qr/3 rows.*SECRET-ACME$/s, 'a function\'s plan is made anew for another role');
	is(scalar(MtTest::leaks($out, 'acme')), 0, 'and filtered');
};

subtest 'EXPLAIN' => sub {
	$mt->refused($app, $mt->begin('acme') . "EXPLAIN $read", 'MT010', 'not for applications');
	$mt->allow($app, 'explain');
	$mt->refused($app, "EXPLAIN $read", 'MT001', 'EXPLAIN without a context');
	$mt->refused($app, "EXPLAIN ANALYZE $read", 'MT001', 'EXPLAIN ANALYZE without a context');
	$mt->superuser('CREATE VIEW v_open AS SELECT * FROM invoice; GRANT ALL ON v_open TO PUBLIC');
	closed('EXPLAIN SELECT * FROM v_open', 'EXPLAIN of a superuser\'s view');
	closed('EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM v_open', 'EXPLAIN ANALYZE of a superuser\'s view');
	$mt->allowed($app, $mt->begin('acme') . "EXPLAIN $read", 'tenant_id = ', 'EXPLAIN shows the policy', tenant => 'acme');
	$mt->allowed($app, $mt->begin('acme') . "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) $read", 'rows=1', 'EXPLAIN ANALYZE counts the own row', tenant => 'acme');
};

done_testing();
