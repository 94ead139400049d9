# Attacks S5 and S6 of docs/internals/attacks.md: other sessions' statements, and ending them.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use Test::More;

my $mt = MtTest->new('signals');
my $node = $mt->node;
my $app = 'regress_mt_app';

# The victim: another application session, whose statement text holds its tenant's secret.
my $victim = $node->background_psql('app', on_error_stop => 0, extra_params => [ '-U', $app, '-v', 'VERBOSITY=verbose' ]);
my $pid = $victim->query('SELECT pg_backend_pid()');
$victim->query($mt->begin('beta') . "SELECT count(*) FROM invoice WHERE note = 'SECRET-BETA'");

$mt->superuser(<<'SQL');
CREATE ROLE regress_mt_monitor LOGIN;
CREATE ROLE regress_mt_killer LOGIN;
CREATE ROLE regress_mt_both LOGIN;
GRANT pg_monitor TO regress_mt_monitor;
GRANT pg_signal_backend TO regress_mt_killer;
GRANT pg_read_all_stats TO regress_mt_both;
GRANT regress_mt_app TO regress_mt_operator, regress_mt_monitor, regress_mt_killer;
GRANT regress_mt_operator, regress_mt_monitor, regress_mt_killer TO regress_mt_both;
GRANT CREATE ON SCHEMA public TO regress_mt_app;
CREATE VIEW public.activity AS SELECT pid, query FROM pg_stat_activity;
GRANT SELECT ON public.activity TO PUBLIC;
CREATE VIEW public.activity_invoker WITH (security_invoker = true) AS SELECT pid, query FROM pg_stat_activity;
GRANT SELECT ON public.activity_invoker TO PUBLIC;
CREATE FUNCTION public.activity() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER AS 'SELECT query FROM pg_stat_activity';
CREATE FUNCTION public.cancel(int) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN pg_cancel_backend($1); END';
CREATE FUNCTION public.terminate(int) RETURNS boolean LANGUAGE sql SECURITY DEFINER AS 'SELECT pg_terminate_backend($1)';
CREATE MATERIALIZED VIEW public.activity_kept AS SELECT 1 AS pid, 'none'::text AS query WITH NO DATA;
SQL

# Each a way to run an expression of the functions in question.
my %functions = (
	'pg_stat_activity' => '(SELECT string_agg(query, \',\') FROM pg_stat_activity)',
	'pg_stat_get_activity()' => '(SELECT string_agg(query, \',\') FROM pg_stat_get_activity(NULL))',
	'pg_stat_get_activity(pid)' => "(SELECT query FROM pg_stat_get_activity($pid))",
	'pg_stat_get_backend_activity()' => '(SELECT string_agg(pg_stat_get_backend_activity(b), \',\') FROM pg_stat_get_backend_idset() b)',
	'pg_cancel_backend()' => "pg_cancel_backend($pid)::text",
	'pg_terminate_backend()' => "pg_terminate_backend($pid)::text",
	'pg_terminate_backend() with a timeout' => "pg_terminate_backend($pid, 100)::text");
my %ways = (
	'plain' => 'SELECT %s;',
	'in a condition' => "SELECT 1 WHERE %s <> '';",
	'DO' => "DO \$\$ BEGIN RAISE NOTICE '%%', (%s); END \$\$;",
	'DO with EXECUTE' => 'DO $$ BEGIN EXECUTE $x$SELECT %s$x$; END $$;',
	'PL/pgSQL assignment' => 'DO $$ DECLARE x text; BEGIN x := %s; END $$;',
	'prepared' => 'PREPARE p AS SELECT %s; EXECUTE p;',
	'prepared, generic plan' => 'SET plan_cache_mode = force_generic_plan; PREPARE p AS SELECT %s; EXECUTE p;',
	'temporary view' => 'CREATE TEMP VIEW v AS SELECT %s AS x; SELECT * FROM v;',
	'temporary SQL function' => 'CREATE FUNCTION pg_temp.f() RETURNS text LANGUAGE sql AS $$ SELECT %s $$; SELECT pg_temp.f();',
	'own definer function' => 'CREATE FUNCTION pg_temp.f() RETURNS text LANGUAGE sql SECURITY DEFINER AS $$ SELECT %s $$; SELECT pg_temp.f();',
	'column default' => 'CREATE TEMP TABLE t (id int, x text); CREATE TEMP VIEW v AS SELECT %s AS x; INSERT INTO t SELECT 1, x FROM v; TABLE t;',
	'COPY' => 'COPY (SELECT %s) TO STDOUT;',
	'cursor' => 'BEGIN; DECLARE c CURSOR FOR SELECT %s; FETCH c;',
	'CREATE TABLE AS' => 'CREATE TEMP TABLE t AS SELECT %s AS x; TABLE t;',
	'EXPLAIN ANALYZE' => 'EXPLAIN (ANALYZE, VERBOSE) SELECT %s;',
	'swallowed error' => 'DO $$ BEGIN PERFORM %s; EXCEPTION WHEN OTHERS THEN RAISE; END $$;',
	'under a context' => $mt->begin('acme') . 'SELECT %s;');
foreach my $role ($app, 'regress_mt_trusted')
{
	foreach my $function (sort keys %functions)
	{
		foreach my $way ($role eq $app ? sort keys %ways : ('plain', 'DO'))
		{
			$mt->refused($role, sprintf($ways{$way}, $functions{$function}), 'MT010', "S5, S6: $function, $way ($role)", tenant => 'acme');
		}
	}
}
foreach my $role ('regress_mt_owner', 'regress_mt_provisioner', 'regress_mt_auditor')
{
	$mt->refused($role, "SELECT $functions{$_}", 'MT010', "S5, S6: $_ ($role)") foreach sort keys %functions;
}
is($mt->superuser("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid"), '1', 'S6: the victim is still there');

# ---- what others made for it ----
$mt->refused($app, "SELECT query FROM activity", 'MT010', 'S5: a view of a superuser');
$mt->refused($app, "SELECT query FROM activity_invoker", 'MT010', 'S5: a view with security_invoker');
$mt->refused($app, "SELECT activity()", 'MT010', 'S5: a definer function of a superuser');
$mt->refused($app, "SELECT cancel($pid)", 'MT010', 'S6: a definer function of a superuser that cancels');
$mt->refused($app, "SELECT terminate($pid)", 'MT010', 'S6: one that terminates');
$mt->refused($app, "CREATE AGGREGATE pg_temp.kill(int) (sfunc = int4pl, stype = int, initcond = '0', finalfunc = pg_cancel_backend); SELECT pg_temp.kill($pid)", 'MT010', 'S6: as the final function of an aggregate');
$mt->refused($app, "CREATE OPERATOR public.## (rightarg = int, procedure = pg_cancel_backend); SELECT OPERATOR(public.##) $pid", 'MT010', 'S6: as an operator');
$mt->refused($app, "CREATE TEMP TABLE t (pid int, x boolean GENERATED ALWAYS AS (pid > 0) STORED CHECK (pg_cancel_backend(pid))); INSERT INTO t VALUES ($pid)", 'MT010', 'S6: in a CHECK constraint');
$mt->refused($app, "CREATE TEMP TABLE t (pid int, x boolean DEFAULT pg_cancel_backend($pid)); INSERT INTO t VALUES (1)", 'MT010', 'S6: in a default');
$mt->refused($app, "CREATE TEMP TABLE t (pid int); CREATE RULE r AS ON INSERT TO t DO ALSO SELECT pg_cancel_backend(new.pid); INSERT INTO t VALUES ($pid)", 'MT010', 'S6: in a rule');
$mt->refused($app, "CREATE TEMP TABLE t (pid int); CREATE FUNCTION pg_temp.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_cancel_backend(new.pid); RETURN new; END';
	CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION pg_temp.f(); INSERT INTO t VALUES ($pid)", 'MT010', 'S6: in a trigger');
$mt->refused($app, "CREATE DOMAIN pg_temp.d AS int CHECK (pg_cancel_backend(value)); SELECT $pid\::pg_temp.d", 'MT010', 'S6: in a domain');
$mt->refused($app, "SELECT query_to_xml('SELECT query FROM pg_stat_activity', true, true, '')", 'MT010', 'S5: query_to_xml()');
$mt->refused($app, "SELECT set_config('multitenant.guard_enabled', 'off', false); SELECT query FROM pg_stat_activity", 'MT010', 'S5: the guard cannot be switched off');
$mt->refused($app, "SELECT query FROM pg_stat_activity", 'MT010', 'S5: one\'s own statement neither');
$mt->refused($app, "SELECT pg_cancel_backend(pg_backend_pid())", 'MT010', 'S6: one\'s own session neither');
$mt->refused($app, "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SELECT count(query) FROM pg_class, pg_stat_get_activity(NULL)", 'MT010', 'S5: in a parallel plan');

# ---- borrowed roles ----
$mt->refused('regress_mt_both', "SET ROLE regress_mt_operator; SELECT query FROM pg_stat_activity", 'MT010', 'S5: SET ROLE to an operator lends nothing') ;
# from 16 on the grant keeps what the role says when it is made
my $roles = 'pg_read_all_stats, regress_mt_operator, regress_mt_monitor, regress_mt_killer';
$mt->superuser("ALTER ROLE regress_mt_both NOINHERIT; REVOKE $roles FROM regress_mt_both; GRANT $roles TO regress_mt_both");
$mt->refused('regress_mt_both', "SET ROLE regress_mt_monitor; SELECT query FROM pg_stat_activity", 'MT010', 'S5: SET ROLE to a monitor whose rights are not inherited lends nothing');
$mt->refused('regress_mt_both', "SET ROLE regress_mt_killer; SELECT pg_cancel_backend($pid)", 'MT010', 'S6: SET ROLE to a role that may signal, not inherited, lends nothing');
$mt->refused('regress_mt_operator', "SET ROLE regress_mt_app; SELECT query FROM pg_stat_activity", 'MT010', 'S5: an operator that became an application');
$mt->refused('regress_mt_monitor', "SET ROLE regress_mt_app; SELECT query FROM pg_stat_activity", 'MT010', 'S5: a monitor that became an application');
$mt->refused('regress_mt_monitor', "SELECT pg_cancel_backend($pid)", 'MT010', 'S6: pg_monitor looks and does not end');
$mt->refused('regress_mt_killer', 'SELECT query FROM pg_stat_activity', 'MT010', 'S5: pg_signal_backend ends and does not look');
is($mt->superuser("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid"), '1', 'S6: the victim is still there');
is(scalar $victim->query('SELECT note FROM invoice'), 'SECRET-BETA', 'S6: and was not cancelled');

# ---- those whose work it is ----
$mt->allowed('regress_mt_operator', "SELECT count(*) > 0 FROM pg_stat_activity WHERE pid = $pid", 't', 'an operator looks');
$mt->allowed('regress_mt_migrator', "SELECT count(*) > 0 FROM pg_stat_activity WHERE pid = $pid", 't', 'a migrator looks');
$mt->allowed('regress_mt_monitor', "SELECT query FROM pg_stat_activity WHERE pid = $pid", 'invoice', 'a member of pg_monitor looks');
$mt->allowed('regress_mt_monitor', "SELECT pg_stat_get_backend_activity(b) FROM pg_stat_get_backend_idset() b", 'invoice', 'by every function');
is($mt->superuser("SELECT count(*) FROM activity WHERE pid = $pid"), '1', 'a superuser looks');
$mt->allowed('regress_mt_killer', "SELECT pg_cancel_backend($pid)", 't', 'a member of pg_signal_backend cancels');
$mt->superuser('GRANT pg_signal_backend TO regress_mt_operator');
$mt->allowed('regress_mt_operator', "SELECT pg_cancel_backend($pid)", 't', 'an operator cancels, where the server permits it');
is($mt->superuser("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid"), '1', 'a cancelled idle session goes on');
$mt->allowed('regress_mt_killer', "SELECT pg_terminate_backend($pid)", 't', 'a member of pg_signal_backend terminates');
ok($node->poll_query_until('app', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)"), 'and then it is gone');
$victim->{run}->kill_kill;

# What is refused is not what monitoring by everybody needs.
$mt->allowed($app, 'SELECT count(*) >= 0 FROM pg_stat_database', 't', 'statistics of databases stay open');
$mt->refused($app, 'SELECT count(*) >= 0 FROM pg_locks', 'MT010', 'locks tell what other sessions do');
is($node->safe_psql('postgres', "SET ROLE $app; SELECT count(*) > 0 FROM pg_stat_activity"), 't', 'and everything in databases without the extension');
$mt->intact('nothing was changed');

done_testing();
