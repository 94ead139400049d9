# Attacks H1 to H5 of docs/internals/attacks.md: reaching other tenants past the rows - through utility statements and
# functions of the server -, each refused to application roles and each allowed again by its name; and statements that
# would break the protection of a table, for whoever owns it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use Test::More;

chomp(my $libraries = `pg_config --pkglibdir`);
my %has = map { $_ => -e "$libraries/$_.so" } qw(auto_explain pg_stat_statements);
my $mt = MtTest->new('utility', conf => "max_prepared_transactions = 5\n" .
	($has{pg_stat_statements} ? "shared_preload_libraries = 'multitenant,pg_stat_statements'\n" : ''));
my ($app, $owner, $migrator, $operator) = qw(regress_mt_app regress_mt_owner regress_mt_migrator regress_mt_operator);
my ($acme, $beta) = map { "00000000-0000-0000-0000-00000000000$_" } qw(a b);

# The worst case: the application has every privilege on the owner's table, and owns tables itself.
$mt->superuser(<<"SQL");
GRANT ALL ON invoice TO $app;
GRANT CREATE ON DATABASE app TO $app;
CREATE SCHEMA yard AUTHORIZATION $app;
SET SESSION AUTHORIZATION $app;
CREATE TABLE yard.plain (n int);
CREATE TABLE yard.parent (id int PRIMARY KEY);
CREATE TABLE yard.up (tenant_id uuid, note text);
CREATE TABLE yard.bill (id int PRIMARY KEY, tenant_id uuid, note text, parent int, of int REFERENCES yard.parent);
INSERT INTO yard.bill VALUES (1, '$acme', 'SECRET-ACME'), (2, '$beta', 'SECRET-BETA');
CREATE TABLE yard.ledger (id int, tenant_id uuid, note text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE yard.ledger_1 PARTITION OF yard.ledger FOR VALUES FROM (0) TO (10);
CREATE TABLE yard.country (code text PRIMARY KEY);
CREATE TABLE yard.template (id int PRIMARY KEY, tenant_id uuid);
CREATE VIEW yard.v AS SELECT note FROM invoice;
CREATE FUNCTION yard.trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TABLE yard.line (id int, tenant_id uuid, bill int REFERENCES yard.bill);
SELECT multitenant.protect('yard.bill');
SELECT multitenant.protect('yard.line');
GRANT REFERENCES ON yard.bill TO $owner;
SELECT multitenant.protect('yard.ledger');
ALTER TABLE yard.bill INHERIT yard.up;
RESET SESSION AUTHORIZATION;
SELECT multitenant.share('yard.country');
SELECT multitenant.shared_rows('yard.template');
GRANT USAGE, CREATE ON SCHEMA yard TO $owner;
CREATE FUNCTION yard.lend(statement text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN EXECUTE statement; END';
SQL
$mt->superuser('CREATE EXTENSION pg_stat_statements; GRANT SELECT ON pg_stat_statements TO PUBLIC') if $has{pg_stat_statements};

# Ways to run one utility statement.
sub ways
{
	my ($what, $statement) = @_;
	return ("$what" => $statement, "$what in DO" => "DO \$x\$ BEGIN $statement; END \$x\$",
		"$what in EXECUTE" => "DO \$x\$ BEGIN EXECUTE \$y\$$statement\$y\$; END \$x\$",
		"$what in a function" => "CREATE FUNCTION pg_temp.f() RETURNS void LANGUAGE plpgsql AS \$x\$ BEGIN $statement; END \$x\$; SELECT pg_temp.f()",
		"$what in an SQL function" => "CREATE FUNCTION pg_temp.g() RETURNS void LANGUAGE sql AS \$x\$ $statement \$x\$; SELECT pg_temp.g()",
		"$what in a superuser's function" => "SELECT yard.lend(\$y\$$statement\$y\$)");
}

# Ways to call one function.
sub calls
{
	my ($what, $call) = @_;
	return ("$what" => "SELECT $call", "$what in FROM" => "SELECT * FROM $call", "$what in a condition" => "SELECT 1 WHERE $call IS NOT NULL",
		"$what in DO" => "DO \$x\$ BEGIN PERFORM $call; END \$x\$",
		"$what in EXECUTE" => "DO \$x\$ BEGIN EXECUTE \$y\$SELECT $call\$y\$; END \$x\$",
		"$what prepared" => "PREPARE p AS SELECT $call; EXECUTE p",
		"$what in a generic plan" => "SET plan_cache_mode = force_generic_plan; PREPARE p AS SELECT $call; EXECUTE p",
		"$what as a parameter" => "PREPARE p(text) AS SELECT \$1; EXECUTE p(($call)::text)",
		"$what in an SQL function" => "CREATE FUNCTION pg_temp.g() RETURNS text LANGUAGE sql AS \$x\$ SELECT ($call)::text \$x\$; SELECT pg_temp.g()",
		"$what in a superuser's function" => "SELECT yard.lend(\$y\$SELECT $call\$y\$)",
		"$what in a view" => "CREATE TEMP VIEW w AS SELECT ($call)::text AS x; SELECT x FROM w",
		"$what in COPY" => "COPY (SELECT $call) TO STDOUT",
		"$what in a cursor" => "DECLARE c CURSOR FOR SELECT $call; FETCH c",
		"$what in RETURNING" => "INSERT INTO yard.plain VALUES (1) RETURNING $call");
}

my @all = split /\n/, $mt->superuser("SELECT name FROM multitenant.hardening('$app')");
my %tried;

# Runs each statement in a transaction that is rolled back, all in one session of a role; what each has reported.
sub reports
{
	my ($role, @statements) = @_;
	my ($out, $err) = $mt->run($role, join('', map { "BEGIN; $_; ROLLBACK; DISCARD ALL;\n\\warn '#'\n" } @statements));
	is(join(' ', MtTest::leaks("$out\n$err", 'acme')), '', "$role: nothing of another tenant is shown");
	my @reports = split /^#\n/m, "$err\n", -1;
	pop @reports;
	return @reports;
}

# What is refused to an application role, and not where it is allowed by this name; there it may fail in its own way.
sub switchable
{
	my ($name, @attempts) = @_;
	my @names = @attempts[ grep { $_ % 2 == 0 } 0 .. $#attempts ];
	my @statements = @attempts[ grep { $_ % 2 == 1 } 0 .. $#attempts ];
	$tried{$name} = 1;
	my @refused = reports($app, @statements);
	$mt->allow($app, grep { $_ ne $name } @all);
	push @refused, reports($app, $statements[0]);
	$mt->allow($app, $name);
	my @allowed = reports($app, @statements);
	$mt->superuser("SELECT multitenant.revoke_access('$app')");
	foreach my $i (0 .. $#names)
	{
		like($refused[$i], qr/MT010: application roles cannot.*allow => '\{$name\}'/s, "$name: $names[$i] is refused") or diag($statements[$i]);
		unlike($allowed[$i] // 'nothing', qr/application roles cannot|nothing/, "$name: $names[$i] where it is allowed") or diag($statements[$i]);
	}
	like($refused[-1], qr/application roles cannot/, "$name: refused where everything else is allowed");
	return;
}

# What it may do as before.
sub free
{
	my ($sql, $name) = @_;
	return $mt->allowed($app, "BEGIN; $sql; ROLLBACK;", undef, $name);
}

# ---- H1: utility statements ----

switchable('truncate', ways('TRUNCATE', 'TRUNCATE public.invoice'), 'its own table' => 'TRUNCATE yard.bill', 'among others' => 'TRUNCATE yard.plain, yard.bill',
	'from above' => 'TRUNCATE yard.up', 'a partition' => 'TRUNCATE yard.ledger_1', 'a partitioned table' => 'TRUNCATE yard.ledger',
	'by CASCADE' => 'TRUNCATE yard.parent CASCADE', 'a shared table' => 'TRUNCATE yard.country', 'shared rows' => 'TRUNCATE yard.template RESTART IDENTITY',
	'under a context' => ($mt->begin('acme') =~ s/BEGIN; //r) . 'TRUNCATE public.invoice');
free('TRUNCATE yard.plain', 'TRUNCATE of what is not protected');
$mt->intact('every row is there');

switchable('lock', ways('LOCK', 'LOCK TABLE public.invoice'), 'ACCESS SHARE' => 'LOCK TABLE invoice IN ACCESS SHARE MODE', 'NOWAIT' => 'LOCK TABLE invoice NOWAIT',
	'a view' => 'LOCK TABLE yard.v', 'its own table' => 'LOCK TABLE yard.bill', 'among others' => 'LOCK TABLE yard.plain, yard.bill', 'from above' => 'LOCK TABLE yard.up',
	'a partition' => 'LOCK TABLE ONLY yard.ledger_1', 'a shared table' => 'LOCK TABLE yard.country');
free('LOCK TABLE yard.plain', 'LOCK of what is not protected');

my $in_acme = $mt->begin('acme') =~ s/BEGIN; //r;
my $late = 'CREATE FUNCTION pg_temp.late() RETURNS text LANGUAGE plpgsql AS $x$ BEGIN RETURN (SELECT max(note) FROM public.invoice); END $x$; ';
switchable('held_cursors', 'DECLARE WITH HOLD' => $in_acme . 'DECLARE c CURSOR WITH HOLD FOR SELECT note FROM invoice WHERE false; COMMIT; FETCH c',
	'scrolling' => $in_acme . 'DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT 1 FROM invoice; COMMIT', 'through a view' => $in_acme . 'DECLARE c CURSOR WITH HOLD FOR SELECT 1 FROM yard.v',
	'in a subquery' => $in_acme . 'DECLARE c CURSOR WITH HOLD FOR SELECT (SELECT count(*) FROM invoice)',
	'in EXECUTE' => $in_acme . 'DO $x$ BEGIN EXECUTE $y$DECLARE c CURSOR WITH HOLD FOR SELECT 1 FROM invoice$y$; END $x$',
	'a function that reads at COMMIT' => $late . $in_acme . 'DECLARE c CURSOR WITH HOLD FOR SELECT pg_temp.late() IS NULL FROM generate_series(1, 3); COMMIT',
	'a function that reads at FETCH' => $late . $in_acme . 'DECLARE c CURSOR WITH HOLD FOR SELECT pg_temp.late() IS NULL; FETCH c',
	'a function that reads below another' => $late . 'CREATE FUNCTION pg_temp.later() RETURNS text LANGUAGE plpgsql AS $x$ BEGIN RETURN pg_temp.late(); END $x$; '
		. $in_acme . 'DECLARE c CURSOR WITH HOLD FOR SELECT pg_temp.later() IS NULL; COMMIT',
	'an SQL function' => 'CREATE FUNCTION pg_temp.s() RETURNS bigint LANGUAGE sql STABLE AS $x$ SELECT count(*) FROM public.invoice $x$; '
		. $in_acme . 'DECLARE c CURSOR WITH HOLD FOR SELECT pg_temp.s(); COMMIT');
free('DECLARE c CURSOR WITH HOLD FOR SELECT 1; COMMIT; FETCH c; CLOSE c', 'WITH HOLD of what is not protected');
free($in_acme . 'DECLARE c CURSOR FOR SELECT 1 FROM invoice; FETCH c', 'a cursor that ends with its transaction');
free($in_acme . 'DO $x$ BEGIN BEGIN EXECUTE $y$DECLARE c CURSOR WITH HOLD FOR SELECT 1 FROM invoice$y$; EXCEPTION WHEN OTHERS THEN NULL; END;
	PERFORM note FROM invoice; END $x$; SELECT 1 FROM invoice', 'reading after a refused cursor');

$mt->superuser('CREATE TABLE yard.shout (n int); CREATE RULE shout AS ON INSERT TO yard.shout DO ALSO NOTIFY mt; GRANT INSERT ON yard.shout TO PUBLIC');
switchable('notify', 'LISTEN' => 'LISTEN mt', 'NOTIFY' => 'NOTIFY mt', 'with a payload' => "NOTIFY mt, 'x'", ways('NOTIFY', "NOTIFY mt, 'x'"),
	calls('pg_notify()', "pg_notify('mt', 'x')"), 'pg_notification_queue_usage()' => 'SELECT pg_notification_queue_usage()', 'a rule' => 'INSERT INTO yard.shout VALUES (1)');
free('UNLISTEN *; UNLISTEN mt', 'UNLISTEN');

switchable('triggers', ways('CREATE TRIGGER', 'CREATE TRIGGER t BEFORE INSERT ON public.invoice FOR EACH ROW EXECUTE FUNCTION yard.trigger()'),
	'OR REPLACE' => 'CREATE OR REPLACE TRIGGER t BEFORE INSERT ON yard.bill FOR EACH ROW EXECUTE FUNCTION yard.trigger()',
	'CONSTRAINT TRIGGER' => 'CREATE CONSTRAINT TRIGGER t AFTER INSERT ON yard.bill FOR EACH ROW EXECUTE FUNCTION yard.trigger()',
	'of a statement' => 'CREATE TRIGGER t AFTER TRUNCATE ON yard.plain EXECUTE FUNCTION yard.trigger()',
	'in CREATE SCHEMA' => 'CREATE SCHEMA shed CREATE TABLE t (n int) CREATE TRIGGER t AFTER INSERT ON t EXECUTE FUNCTION yard.trigger()',
	'CREATE RULE' => 'CREATE RULE r AS ON INSERT TO yard.plain DO ALSO NOTHING', 'OR REPLACE RULE' => 'CREATE OR REPLACE RULE r AS ON DELETE TO yard.bill DO ALSO SELECT 1',
	'on a view' => 'CREATE TRIGGER t INSTEAD OF INSERT ON yard.v FOR EACH ROW EXECUTE FUNCTION yard.trigger()');

switchable('references', ways('CREATE TABLE', 'CREATE TABLE yard.c (i uuid REFERENCES public.invoice)'),
	'of the table' => 'CREATE TABLE yard.c (i uuid, FOREIGN KEY (i) REFERENCES invoice (id))', 'ADD COLUMN' => 'ALTER TABLE yard.plain ADD i uuid REFERENCES invoice',
	'ADD CONSTRAINT' => 'CREATE TABLE yard.c (i uuid); ALTER TABLE yard.c ADD FOREIGN KEY (i) REFERENCES invoice',
	'NOT VALID' => 'CREATE TABLE yard.c (i uuid); ALTER TABLE yard.c ADD FOREIGN KEY (i) REFERENCES invoice ON DELETE CASCADE NOT VALID',
	'of a partitioned table' => 'CREATE TABLE yard.c (i uuid REFERENCES invoice) PARTITION BY LIST (i)',
	'of a partition' => 'CREATE TABLE yard.c (i uuid) PARTITION BY LIST (i); CREATE TABLE yard.c1 PARTITION OF yard.c (FOREIGN KEY (i) REFERENCES invoice) DEFAULT',
	'of what is attached then' => 'CREATE TABLE yard.c (i uuid) PARTITION BY LIST (i); CREATE TABLE yard.c1 (i uuid REFERENCES invoice); ALTER TABLE yard.c ATTACH PARTITION yard.c1 DEFAULT',
	'to its own table' => 'ALTER TABLE yard.bill ADD FOREIGN KEY (parent) REFERENCES yard.bill', 'to a partitioned table' => 'CREATE TABLE yard.c (i int REFERENCES yard.ledger)',
	'to a partition' => 'CREATE TABLE yard.c (i int REFERENCES yard.ledger_1)', 'to shared rows' => 'CREATE TABLE yard.c (i int REFERENCES yard.template)',
	'to a shared table' => 'CREATE TABLE yard.c (i text REFERENCES yard.country)', 'in CREATE SCHEMA' => 'CREATE SCHEMA shed CREATE TABLE c (i uuid REFERENCES public.invoice)',
	'through the library' => "CREATE TABLE yard.c (i uuid); SELECT multitenant._run_as_owner(NULL, 'ALTER TABLE yard.c ADD FOREIGN KEY (i) REFERENCES public.invoice')");
subtest 'a key that was there' => sub {
	$mt->allow($owner, 'references');
	$mt->allowed($owner, 'CREATE TABLE yard.guest (tenant_id uuid NOT NULL, bill int CONSTRAINT of_bill REFERENCES yard.bill)', undef, 'made while it was allowed');
	$mt->superuser("SELECT multitenant.revoke_access('$owner')");
	$mt->refused($owner, "CREATE TABLE yard.guest_2 (tenant_id uuid, bill int);
		SELECT multitenant._run_as_owner(NULL, 'ALTER TABLE yard.guest_2 ADD FOREIGN KEY (tenant_id, bill) REFERENCES yard.bill (tenant_id, id)')", 'MT010', 'one that was not there is not made');
	$mt->allowed($owner, "SELECT count(*) FROM multitenant.protect('yard.guest')", undef, 'protect() makes it again with the tenant');
	is($mt->superuser("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'yard.guest'::regclass AND contype = 'f'"),
		'FOREIGN KEY (tenant_id, bill) REFERENCES yard.bill(tenant_id, id)', 'it is composite');
	# .. or one that the table has still: over the same columns, to the same table
	$mt->superuser("GRANT REFERENCES ON yard.parent, yard.country TO $owner");
	$mt->past_guard($owner, 'CREATE TABLE yard.guest_3 (tenant_id uuid NOT NULL, bill int CONSTRAINT of_bill REFERENCES yard.bill, n int, parent int REFERENCES yard.parent, country text)');
	my $add = sub { "SELECT multitenant._run_as_owner(NULL, 'ALTER TABLE yard.guest_3 ADD FOREIGN KEY ($_[0]')" };
	$mt->refused($owner, $add->('tenant_id, n) REFERENCES yard.bill (tenant_id, id)'), 'MT010', 'over another column');
	$mt->refused($owner, $add->('country) REFERENCES yard.country'), 'MT010', 'to a shared table');
	$mt->refused($owner, $add->('bill) REFERENCES yard.bill'), 'MT010', 'without the tenant, once more');
	$mt->allowed($owner, $add->('tenant_id, bill) REFERENCES yard.bill (tenant_id, id)'), undef, 'the same one with the tenant');
	$mt->superuser('DROP TABLE yard.guest, yard.guest_3');
};
free('CREATE TABLE yard.c (i int REFERENCES yard.parent)', 'a key to what is not protected');

switchable('explain', ways('EXPLAIN', 'EXPLAIN SELECT 1'), 'ANALYZE' => $in_acme . 'EXPLAIN (ANALYZE, COSTS OFF) SELECT 1 FROM invoice',
	'EXECUTE' => 'PREPARE p AS SELECT 1; EXPLAIN EXECUTE p', 'CREATE TABLE AS' => 'EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT 1',
	'in a loop' => 'DO $x$ DECLARE l text; BEGIN FOR l IN EXPLAIN SELECT 1 LOOP RAISE NOTICE $y$%$y$, l; END LOOP; END $x$',
	'debug_print_plan' => 'SET debug_print_plan = on; SET client_min_messages = log; SELECT 1',
	# Both in the last expression: a later one would be refused while it is planned.
	'debug_print_plan while planning' => q{CREATE FUNCTION pg_temp.on() RETURNS text LANGUAGE plpgsql IMMUTABLE AS $x$ BEGIN
		RETURN set_config('debug_print_plan', 'on', true) || set_config('client_min_messages', 'debug1', true); END $x$; SELECT pg_temp.on()},
	'debug_print_plan in a function' => q{CREATE FUNCTION pg_temp.printed() RETURNS bigint LANGUAGE plpgsql SET debug_print_plan = on SET client_min_messages = log
		AS $x$ BEGIN RETURN (SELECT count(*) FROM yard.plain); END $x$; SELECT pg_temp.printed()});
free('SET debug_print_plan = on; SELECT 1', 'a plan for the server\'s log');

subtest 'auto_explain' => sub {
	plan skip_all => 'there is no auto_explain' unless $has{auto_explain};
	$mt->superuser("ALTER ROLE $app SET session_preload_libraries = 'auto_explain'; ALTER ROLE $app SET auto_explain.log_min_duration = 0;
		ALTER ROLE $app SET auto_explain.log_analyze = on; ALTER ROLE $app SET auto_explain.log_nested_statements = on");
	$mt->log_since;
	foreach my $level ('log', 'debug1')
	{
		my ($out, $err) = $mt->run($app, "SET client_min_messages = $level; " . $mt->begin('acme') . 'SELECT note FROM invoice; COMMIT;');
		like($out, qr/SECRET-ACME/, "$level: it works");
		unlike($err, qr/plan:|Seq Scan|rows=/, "$level: no plan for the client");
		($out, $err) = $mt->run($app, $mt->begin('acme') . "SELECT set_config('client_min_messages', '$level', false), note FROM invoice; COMMIT;");
		unlike($err, qr/plan:|Seq Scan|rows=/, "$level: nor where the statement itself asks for it");
	}
	like($mt->log_since, qr/plan:.*Seq Scan/s, 'they are in the log');
	$mt->allow($app, 'explain');
	my ($out, $err) = $mt->run($app, "SET client_min_messages = log; " . $mt->begin('acme') . 'SELECT note FROM invoice; COMMIT;');
	like($err, qr/plan:/, 'and with the client where it is allowed');
	$mt->superuser("SELECT multitenant.revoke_access('$app'); ALTER ROLE $app RESET ALL");
};

# ---- H2: prepared transactions ----

subtest 'prepared_transactions' => sub {
	$tried{prepared_transactions} = 1;
	my $begin = 'BEGIN; INSERT INTO yard.plain VALUES (7);';
	$mt->refused($app, "$begin PREPARE TRANSACTION 'mt'; ROLLBACK", 'MT010', 'PREPARE TRANSACTION');
	is($mt->superuser('SELECT count(*) FROM pg_prepared_xacts'), '0', 'none was made');
	# A session that has not run anything before knows nothing of the extension in a transaction that has failed.
	my ($out, $err) = $mt->run($app, "TABLE yard.plain; BEGIN; SELECT 1/0; PREPARE TRANSACTION 'mt'; SELECT 'goes on'");
	is($out, 'goes on', 'one that has failed is rolled back by it');
	unlike($err, qr/MT010/, 'without another error');
	$mt->allow($app, 'prepared_transactions');
	$mt->allowed($app, "$begin PREPARE TRANSACTION 'mt'", undef, 'where it is allowed');
	$mt->superuser("SELECT multitenant.revoke_access('$app')");
	$mt->refused($app, "$_ PREPARED 'mt'", 'MT010', "$_ PREPARED") foreach qw(COMMIT ROLLBACK);
	is($mt->superuser('SELECT count(*) FROM pg_prepared_xacts'), '1', 'it is still there');
	$mt->allow($app, grep { $_ ne 'prepared_transactions' } @all);
	$mt->refused($app, "ROLLBACK PREPARED 'mt'", 'MT010', 'also where everything else is allowed');
	$mt->allow($app, 'prepared_transactions');
	$mt->allowed($app, "ROLLBACK PREPARED 'mt'", undef, 'where it is allowed');
	$mt->superuser("SELECT multitenant.revoke_access('$app')");
};

# ---- H3: functions ----

my $index = "'public.invoice_pkey'::regclass";
switchable('statistics', calls('pg_stat_get_xact_tuples_returned()', "pg_stat_get_xact_tuples_returned($index)"),
	(map { ("$_()" => "SELECT $_($index)") } qw(pg_stat_get_numscans pg_stat_get_tuples_returned pg_stat_get_tuples_fetched pg_stat_get_live_tuples
		pg_stat_get_dead_tuples pg_stat_get_tuples_inserted pg_stat_get_blocks_hit pg_stat_get_xact_numscans pg_stat_get_xact_tuples_inserted pg_stat_get_mod_since_analyze)),
	(map { ($_ => "SELECT * FROM $_") } qw(pg_stat_user_tables pg_stat_xact_user_tables pg_statio_user_indexes pg_stat_user_functions pg_stat_database pg_stat_bgwriter)));
switchable('activity', calls('pg_blocking_pids()', 'pg_blocking_pids(1)'), 'pg_stat_get_backend_idset()' => 'SELECT pg_stat_get_backend_idset()',
	'pg_safe_snapshot_blocking_pids()' => 'SELECT pg_safe_snapshot_blocking_pids(1)',
	(map { ($_ => "SELECT * FROM $_") } qw(pg_stat_activity pg_locks pg_prepared_xacts pg_stat_replication pg_stat_progress_vacuum pg_stat_ssl)),
	$has{pg_stat_statements} ? ('pg_stat_statements' => 'SELECT query FROM pg_stat_statements', 'pg_stat_statements()' => 'SELECT query FROM pg_stat_statements(true)',
		'pg_stat_statements_info' => 'SELECT * FROM pg_stat_statements_info') : ());
if ($has{pg_stat_statements})
{
	# What a session has seen of a function holds until it is replaced.
	$mt->superuser("CREATE FUNCTION yard.counters() RETURNS SETOF record LANGUAGE sql AS 'SELECT 1::bigint, now()'");
	my $session = $mt->session($app);
	is($session->query('SELECT count(*) FROM yard.counters() AS c(a bigint, b timestamptz)', verbose => 0), 1, 'a function of anybody is called');
	$mt->superuser("CREATE OR REPLACE FUNCTION yard.counters() RETURNS SETOF record LANGUAGE c AS 'pg_stat_statements', 'pg_stat_statements_info'");
	$session->query('SELECT count(*) FROM yard.counters() AS c(a bigint, b timestamptz)', verbose => 0);
	like($session->{stderr}, qr/MT010/, 'and no more once it shows the statements of others');
	$session->quit;
}
switchable('signals', calls('pg_cancel_backend()', 'pg_cancel_backend(0)'), 'pg_terminate_backend()' => 'SELECT pg_terminate_backend(0)');
switchable('advisory_locks', calls('pg_advisory_lock()', 'pg_advisory_xact_lock(1)'),
	(map { my $f = $_; map { ("$f($_)" => "SELECT $f($_)") } '1', '1, 2' } map { ("pg_$_", "pg_${_}_shared") } qw(advisory_lock advisory_xact_lock try_advisory_lock try_advisory_xact_lock)),
	'as an operator' => 'CREATE OPERATOR yard.<<<| (LEFTARG = int, RIGHTARG = int, FUNCTION = pg_try_advisory_xact_lock)',
	'as a default' => 'CREATE TABLE yard.d (a int, b boolean DEFAULT pg_try_advisory_xact_lock(1)); INSERT INTO yard.d VALUES (1)',
	'as a default of COPY' => "CREATE TABLE yard.d (a int, b boolean DEFAULT pg_try_advisory_xact_lock(1)); COPY yard.d (a) FROM STDIN;\n1\n\\.\n SELECT 1",
	'as the bound of a partition' => 'CREATE TABLE yard.d (a boolean) PARTITION BY LIST (a); CREATE TABLE yard.d1 PARTITION OF yard.d FOR VALUES IN (pg_try_advisory_xact_lock(1))',
	'in a constraint' => 'CREATE TABLE yard.d (a int CHECK (pg_try_advisory_xact_lock(a))); INSERT INTO yard.d VALUES (1)');
free('SELECT pg_advisory_unlock_all(), pg_advisory_unlock(1), pg_advisory_unlock_shared(1)', 'releasing advisory locks');
switchable('large_objects', calls('lo_creat()', 'lo_creat(-1)'), 'lo_create()' => 'SELECT lo_create(0)', 'lo_from_bytea()' => "SELECT lo_from_bytea(0, '')", 'lo_get()' => 'SELECT lo_get(1)',
	'lo_get(.., ..)' => 'SELECT lo_get(1, 0, 1)', 'lo_put()' => "SELECT lo_put(1, 0, '')", 'lo_open()' => 'SELECT lo_open(1, 262144)', 'lo_unlink()' => 'SELECT lo_unlink(1)',
	'loread()' => 'SELECT loread(0, 1)', 'lowrite()' => "SELECT lowrite(0, '')", 'lo_tell64()' => 'SELECT lo_tell64(0)', 'lo_truncate()' => 'SELECT lo_truncate(0, 0)',
	"a function call of the protocol" => "\\lo_import /dev/null\nSELECT 1");
switchable('sizes', calls('pg_relation_size()', "pg_relation_size('public.invoice')"), 'of a fork' => "SELECT pg_relation_size('invoice', 'fsm')",
	(map { ("$_()" => "SELECT $_('invoice')") } qw(pg_total_relation_size pg_table_size pg_indexes_size)),
	'pg_database_size()' => 'SELECT pg_database_size(current_database())', 'pg_database_size(oid)' => 'SELECT pg_database_size(oid) FROM pg_database WHERE datname = current_database()',
	'pg_tablespace_size()' => "SELECT pg_tablespace_size('pg_default')", 'pg_tablespace_size(oid)' => "SELECT pg_tablespace_size(oid) FROM pg_tablespace WHERE spcname = 'pg_default'");
switchable('snapshots', calls('pg_export_snapshot()', 'pg_export_snapshot()'));
switchable('logical_messages', calls('pg_logical_emit_message()', "pg_logical_emit_message(false, 'a', 'b')"), 'of bytes' => "SELECT pg_logical_emit_message(true, 'a', 'b'::bytea)");
switchable('role_settings', ways('ALTER ROLE', "ALTER ROLE $app SET search_path = yard, public"), 'by CURRENT_USER' => 'ALTER ROLE CURRENT_USER SET default_transaction_read_only = on',
	'in a database' => "ALTER ROLE $app IN DATABASE app SET statement_timeout = '1ms'", 'RESET' => "ALTER ROLE $app RESET ALL", 'a password' => "ALTER ROLE $app PASSWORD 'mine'",
	'a password of SESSION_USER' => "ALTER USER SESSION_USER PASSWORD 'mine'");
$mt->superuser("CREATE ROLE regress_mt_weak; GRANT regress_mt_weak TO $app");
$mt->refused($app, "SET ROLE regress_mt_weak; ALTER ROLE $app PASSWORD 'mine'", 'MT010', "the session's password, as another role");
switchable('row_versions', calls('currtid2()', "currtid2('public.invoice', '(0,1)')")) if $mt->superuser("SELECT count(*) FROM pg_proc WHERE proname = 'currtid2'");
$tried{row_versions} = 1;
is(join(' ', grep { !$tried{$_} } @all), '', 'everything that hardening() names was tried');

# ---- H4: whose profile counts ----

subtest 'profiles' => sub {
	$mt->superuser("GRANT $app TO $operator");
	$mt->allowed($operator, 'LISTEN mt; EXPLAIN SELECT 1', undef, 'an operator may');
	$mt->refused($operator, "SET ROLE $app; LISTEN mt", 'MT010', 'not as an application');
	$mt->superuser("REVOKE $app FROM $operator; GRANT $operator TO $app");
	$mt->refused($app, "SET ROLE $operator; LISTEN mt", 'MT010', 'an application does not borrow it');
	$mt->refused($app, "SET ROLE $operator; SELECT pg_relation_size('invoice')", 'MT010', 'nor for a function');
	$mt->superuser("REVOKE $operator FROM $app");
	$mt->superuser("CREATE ROLE regress_mt_stats LOGIN; GRANT pg_read_all_stats TO regress_mt_stats");
	$mt->allowed('regress_mt_stats', "SELECT pg_relation_size('invoice'), pg_stat_get_live_tuples($index); SELECT count(*) FROM pg_stat_activity, pg_locks", undef, 'a member of pg_read_all_stats');
	$mt->superuser("REVOKE pg_read_all_stats FROM regress_mt_stats");
	$mt->refused('regress_mt_stats', 'SELECT count(*) FROM pg_stat_activity', 'MT010', 'no member any more');
	$mt->superuser("SELECT multitenant.grant_access('$app', 'application', allow => '{notify}')");
	my $session = $mt->session($app);
	is(MtTest::ask($session, 'LISTEN mt'), '', 'allowed');
	$mt->superuser("SELECT multitenant.revoke_access('$app')");
	is(MtTest::ask($session, 'LISTEN mt'), 'MT010', 'and taken away from a session that goes on');
	$session->quit;
};

subtest 'a database without protected tables' => sub {
	$mt->node->safe_psql('postgres', 'CREATE DATABASE bare');
	$mt->node->safe_psql('bare', "CREATE EXTENSION multitenant; GRANT CREATE ON SCHEMA public TO $app");
	my @anything = ('LISTEN mt', 'EXPLAIN SELECT 1', "SELECT pg_notify('mt', 'x'), pg_relation_size('pg_class'), pg_try_advisory_xact_lock(1), lo_creat(-1)",
		'SELECT count(*) FROM pg_stat_activity, pg_locks', 'CREATE TABLE a (id int PRIMARY KEY)', 'CREATE TABLE b (id int REFERENCES a)', 'BEGIN', 'LOCK TABLE a',
		'TRUNCATE a, b', 'DECLARE c CURSOR WITH HOLD FOR TABLE a', 'COMMIT', 'CREATE RULE r AS ON INSERT TO a DO ALSO NOTIFY mt');
	$mt->allowed($app, join('; ', @anything), undef, 'nothing is refused', database => 'bare');
	$mt->node->safe_psql('bare', 'CREATE FUNCTION leak(text) RETURNS boolean LANGUAGE sql LEAKPROOF AS $$ SELECT true $$');
	$mt->node->safe_psql('postgres', 'DROP DATABASE bare');
};

# ---- H5: breaking the protection of a table ----

$mt->superuser(<<"SQL");
CREATE ROLE regress_mt_dbo LOGIN;
ALTER DATABASE app OWNER TO regress_mt_dbo;
GRANT $owner TO regress_mt_dbo, $migrator;
GRANT USAGE ON SCHEMA yard TO regress_mt_dbo, $migrator;
SET ROLE $owner;
CREATE TABLE yard.lot (day int, tenant_id uuid, t uuid, note text) PARTITION BY RANGE (day);
CREATE TABLE yard.lot_1 PARTITION OF yard.lot FOR VALUES FROM (0) TO (10);
SELECT multitenant.protect('yard.lot');
CREATE TABLE yard.lot_2 PARTITION OF yard.lot FOR VALUES FROM (10) TO (20);
CREATE TABLE yard.loose (day int, tenant_id uuid NOT NULL, t uuid, note text);
CREATE TABLE yard.child () INHERITS (public.invoice);
CREATE TABLE yard.stray (LIKE public.invoice);
CREATE TABLE yard.other (day int, tenant_id uuid NOT NULL DEFAULT '$acme', t uuid NOT NULL, note text);
SELECT multitenant.protect('yard.other', 't');
CREATE TABLE yard.ready (day int, tenant_id uuid NOT NULL, t uuid, note text);
SELECT multitenant.protect('yard.ready');
CREATE TABLE yard.template_2 (id int PRIMARY KEY, tenant_id uuid);
CREATE POLICY zzz ON public.invoice AS RESTRICTIVE USING (true);
RESET ROLE;
SELECT multitenant.shared_rows('yard.template_2');
SQL
my %weakening = (
	'DISABLE' => 'ALTER TABLE invoice DISABLE ROW LEVEL SECURITY', 'NO FORCE' => 'ALTER TABLE public.invoice NO FORCE ROW LEVEL SECURITY',
	'among others' => 'ALTER TABLE IF EXISTS invoice ADD x int, NO FORCE ROW LEVEL SECURITY', 'ONLY' => 'ALTER TABLE ONLY invoice DISABLE ROW LEVEL SECURITY',
	'in DO' => 'DO $x$ BEGIN ALTER TABLE invoice DISABLE ROW LEVEL SECURITY; END $x$',
	'DROP POLICY' => 'DROP POLICY multitenant_isolation ON invoice', 'DROP POLICY IF EXISTS' => 'DROP POLICY IF EXISTS multitenant_access ON public.invoice CASCADE',
	'ALTER POLICY' => 'ALTER POLICY multitenant_isolation ON invoice USING (true)', 'ALTER POLICY TO' => "ALTER POLICY multitenant_isolation ON invoice TO $app",
	'ALTER POLICY WITH CHECK' => 'ALTER POLICY multitenant_access ON invoice WITH CHECK (true)', 'RENAME of a policy' => 'ALTER POLICY multitenant_isolation ON invoice RENAME TO zzzz',
	'a permissive policy' => 'CREATE POLICY wide ON invoice USING (true)', 'for INSERT' => 'CREATE POLICY wide ON invoice FOR INSERT WITH CHECK (true)',
	'that says so' => "CREATE POLICY wide ON invoice AS PERMISSIVE FOR SELECT TO $app USING (true)",
	'an early policy' => 'CREATE POLICY aaa ON invoice AS RESTRICTIVE USING (note IS NOT NULL)', 'RENAME to an early name' => 'ALTER POLICY zzz ON invoice RENAME TO aaa',
	'the tenant column' => 'ALTER TABLE invoice DROP tenant_id CASCADE',
	'ATTACH' => 'ALTER TABLE yard.lot ATTACH PARTITION yard.loose FOR VALUES FROM (20) TO (30)', 'ATTACH by another column' => 'ALTER TABLE yard.lot ATTACH PARTITION yard.other FOR VALUES FROM (20) TO (30)',
	'DETACH' => 'ALTER TABLE yard.lot DETACH PARTITION yard.lot_2', 'INHERIT' => 'ALTER TABLE yard.stray INHERIT invoice', 'NO INHERIT' => 'ALTER TABLE yard.child NO INHERIT invoice',
	'shared rows' => 'DROP POLICY multitenant_isolation_insert ON yard.template_2', 'shared rows, another' => 'CREATE POLICY wide ON yard.template_2 USING (true)');
my $system = "SELECT multitenant.system_context('on purpose');";
my @what = sort keys %weakening;
foreach my $role ($owner, 'regress_mt_dbo', $migrator, 'postgres')
{
	my @reports = reports($role, map { $weakening{$_} } @what);
	foreach (0 .. $#what)
	{
		# A superuser's restore brings the policies that were there before protect(); lint() finds them.
		my $is_restored = $role eq 'postgres' && $weakening{$what[$_]} =~ /^CREATE POLICY wide/;
		$is_restored ? unlike($reports[$_], qr/ERROR/, "breaking it: $what[$_] is left to lint() for $role")
			: like($reports[$_], qr/(?:MT010: .* would break the protection|42501: must be owner of \w+ template)/, "breaking it: $what[$_] is refused to $role");
	}
	@reports = reports($role, map { "$system $weakening{$_}" } @what);
	my $wanted = $role =~ /owner|dbo/ ? qr/42501: permission denied/ : qr/\A(?!.*(?:ERROR|nothing))/s;
	like($reports[$_] // 'nothing', $wanted, "breaking it: $what[$_] in a system context of $role") foreach 0 .. $#what;
}
my @leakproof = ('CREATE FUNCTION yard.leak(text) RETURNS boolean LANGUAGE sql LEAKPROOF AS \'SELECT true\'', 'ALTER FUNCTION yard.lend(text) LEAKPROOF',
	'ALTER ROUTINE yard.lend(text) LEAKPROOF', 'DO $x$ BEGIN ALTER FUNCTION yard.lend(text) LEAKPROOF; END $x$');
my @reports = reports('postgres', @leakproof);
like($reports[$_], qr/MT010: a LEAKPROOF function/, "refused to a superuser: $leakproof[$_]") foreach 0 .. $#leakproof;
@reports = reports('postgres', map { "$system $_" } @leakproof);
unlike($reports[$_], qr/ERROR/, "in a system context: $leakproof[$_]") foreach 0 .. $#leakproof;
my @harmless = ('CREATE POLICY zzzz ON invoice AS RESTRICTIVE USING (true)', 'ALTER POLICY zzz ON invoice USING (note IS NOT NULL)', 'ALTER POLICY zzz ON invoice RENAME TO zzzzz',
	'DROP POLICY zzz ON invoice', 'ALTER TABLE invoice ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', 'ALTER TABLE invoice ADD x int', 'ALTER TABLE yard.ready DROP note',
	'ALTER TABLE yard.stray ENABLE ROW LEVEL SECURITY; CREATE POLICY wide ON yard.stray USING (true); ALTER TABLE yard.stray DISABLE ROW LEVEL SECURITY',
	'ALTER TABLE yard.lot ATTACH PARTITION yard.ready FOR VALUES FROM (20) TO (30); ALTER TABLE yard.lot DETACH PARTITION yard.ready',
	'CREATE FUNCTION yard.f(int) RETURNS int LANGUAGE sql NOT LEAKPROOF AS $x$ SELECT 1 $x$', 'DROP TABLE yard.lot');
@reports = reports($owner, @harmless);
unlike($reports[$_], qr/ERROR/, "what narrows, or breaks nothing, goes on: $harmless[$_]") foreach 0 .. $#harmless;

subtest 'the commands of the library' => sub {
	$mt->refused($owner, "SELECT multitenant._run_as_owner(NULL, 'CREATE POLICY wide ON public.invoice USING (true)')", 'MT010', 'widen nothing');
	$mt->refused($owner, "SELECT multitenant._run_as_owner(NULL, 'ALTER TABLE public.invoice DROP tenant_id CASCADE')", 'MT010', 'drop no tenant column');
	$mt->allowed($owner, "SELECT multitenant._run_as_owner(NULL, 'ALTER TABLE yard.ready DISABLE ROW LEVEL SECURITY')", undef, 'can take protection away');
	$mt->refused($owner, $mt->begin('acme') . 'SELECT * FROM yard.ready', 'MT007', 'which closes the table');
	$mt->superuser("SELECT multitenant.repair('yard.ready'); SET ROLE $owner; CREATE TABLE yard.bait (x int); INSERT INTO yard.bait VALUES (1);
		CREATE FUNCTION yard.deed() RETURNS int LANGUAGE plpgsql AS \$x\$ BEGIN ALTER TABLE public.invoice DISABLE ROW LEVEL SECURITY; RETURN 1; END \$x\$;
		CREATE FUNCTION yard.ride(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS \$x\$ BEGIN RETURN yard.deed(); END \$x\$");
	$mt->refused($owner, "SELECT multitenant._run_as_owner(NULL, 'CREATE INDEX ON yard.bait ((yard.ride(x)))')", 'MT010', 'lend nothing to what they call');
};
subtest 'what is not there, and what was lost' => sub {
	free('ALTER TABLE IF EXISTS yard.nowhere ADD n int', 'a table that is not there');
	$mt->refused($app, 'ALTER POLICY nowhere ON yard.bill RENAME TO a', '42704', 'a policy that is not there');
	$mt->superuser("SET SESSION AUTHORIZATION $app; CREATE TABLE yard.lost (LIKE yard.bill); INSERT INTO yard.lost VALUES (7, '$beta', 'SECRET-BETA'); SELECT multitenant.protect('yard.lost'); RESET SESSION AUTHORIZATION;
		SECURITY LABEL FOR multitenant ON COLUMN yard.lost.tenant_id IS NULL");
	$mt->past_guard($app, 'DROP POLICY multitenant_isolation ON yard.lost; DROP POLICY multitenant_access ON yard.lost');
	$mt->allowed($app, 'ALTER TABLE yard.lost INHERIT yard.bill', undef, 'a child whose tenant column nobody knows any more');
	$mt->refused($app, 'SELECT * FROM yard.lost', 'MT007', 'is closed');
	$mt->allowed($app, $mt->begin('acme') . 'SELECT * FROM yard.bill', 'SECRET-ACME', 'what is above it shows the rows of the tenant', tenant => 'acme');
	$mt->allowed($app, 'ALTER TABLE yard.lost NO INHERIT yard.bill; ALTER TABLE yard.lost DROP COLUMN tenant_id CASCADE', undef, 'it may lose the column');
	$mt->refused($app, 'SELECT * FROM yard.lost', 'MT007', 'and stays closed');
};
$mt->intact('every tenant still has its row');
$mt->superuser('SET multitenant.guard_enabled = off; DROP SCHEMA yard CASCADE');

done_testing();
