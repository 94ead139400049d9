# Operators against the tenants that they look after: writing, staying, looking without consent or without a trace, and
# carrying one tenant's rows into another's context.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest qw(ask);
use MtWire;
use PostgreSQL::Test::Utils;
use Test::More;

my ($app, $trusted, $provisioner, $owner) = qw(regress_mt_app regress_mt_trusted regress_mt_provisioner regress_mt_owner);
my $mt = MtTest->new('supervised', conf => "max_prepared_transactions = 2\nwal_level = logical");
my $acme = '00000000-0000-0000-0000-00000000000a';

# ann and bert administer acme and beta; olga looks after both, acme lets her; mole is nobody.
$mt->superuser(<<"SQL");
SELECT multitenant.add_member('acme', 'ann', 'administrator'), multitenant.add_member('beta', 'bert', 'administrator');
SELECT multitenant.create_role_template('watcher', 'Looks.', '{member:read}');
INSERT INTO multitenant.master_account (id, name) VALUES ('c0000000-0000-4000-8000-0000000000c1', 'helpers'), ('c0000000-0000-4000-8000-0000000000c2', 'others');
SELECT multitenant.link_tenant('c0000000-0000-4000-8000-0000000000c1', t), multitenant.assign_operator('c0000000-0000-4000-8000-0000000000c1', 'olga', t, 'watcher')
	FROM unnest('{acme,beta,gamma}'::text[]) t;
SELECT multitenant.set_visibility('acme', 'supervised');
CREATE SEQUENCE counter; GRANT ALL ON SEQUENCE counter TO PUBLIC;
CREATE TABLE plain (n int); INSERT INTO plain VALUES (1); GRANT ALL ON plain TO PUBLIC;
CREATE SCHEMA scratch AUTHORIZATION $app;
CREATE EXTENSION IF NOT EXISTS dblink;
SET ROLE $owner;
CREATE FUNCTION definer_note() RETURNS text LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS \$\$ BEGIN UPDATE invoice SET note = 'x'; RETURN 'done'; END \$\$;
SQL
$mt->allow($app, qw(explain advisory_locks large_objects notify held_cursors snapshots logical_messages prepared_transactions lock truncate triggers));

sub enter { my ($who) = @_; return "BEGIN; SELECT multitenant.authenticate('" . $mt->token(undef, sub => $who) . "');\n" }
sub inside { my ($tenant, $who) = @_; return $mt->begin($tenant, sub => $who) }
my $begin = enter('olga') . "SELECT multitenant.begin_supervised('acme', 'ticket 7', '1 hour');\n";
my $see = 'SELECT note FROM invoice;';

# ---- L1: no looking without consent, assignment and link ----
$mt->allowed($app, "$begin$see COMMIT;", 'SECRET-ACME', 'L1: an operator looks in', tenant => 'acme');
my $back = enter('olga') . "SELECT multitenant.switch_tenant('acme');\n";
$mt->allowed($app, $back . $see, 'SECRET-ACME', 'L1: and comes back', tenant => 'acme');
$mt->refused($app, enter('olga') . "SELECT multitenant.begin_supervised('beta', 'ticket 7'); $see", 'MT008', 'L1: not where nobody consented');
$mt->refused($app, enter('olga') . "SELECT multitenant.begin_supervised('gamma', 'ticket 7'); $see", 'MT008', 'L1: not into a suspended tenant');
$mt->refused($app, enter('mole') . "SELECT multitenant.begin_supervised('acme', 'ticket 7'); $see", 'MT008', 'L1: nobody else');
$mt->refused($app, enter('olga') . "SELECT multitenant.switch_tenant('beta'); $see", 'MT008', 'L1: a supervision opens one tenant only');
$mt->refused($app, enter('mole') . "SELECT multitenant.switch_tenant('acme'); $see", 'MT008', 'L1: and for one principal only');
$mt->refused($app, $mt->begin('beta', sub => 'olga', kind => 'supervised') . $see, 'MT008', 'L1: no signing key vouches for consent');
$mt->refused($app, $mt->begin('beta', sub => undef, kind => 'supervised') . $see, 'MT008', 'L1: nor does a token of nobody');
$mt->refused($app, $mt->begin('beta', sub => 'olga') =~ s/$/SELECT multitenant.set_visibility('supervised');/r, '42501', 'L1: an operator cannot consent for the tenant');
$mt->refused($provisioner, "SELECT multitenant.set_visibility('beta', 'supervised');", '42501', 'L1: nor can a provisioner');
$mt->refused($app, "SELECT multitenant._enter_supervised('$acme');", '42501', 'L1: the inner function is closed');
$mt->refused($app, enter('olga') . "SELECT multitenant._audit_durably('supervised.begin', NULL, NULL, 'done', '{}');", '42501', 'L1: nobody writes events of the engine');
$mt->refused($app, enter('olga') . "INSERT INTO multitenant.supervision (tenant_id, principal, ends_at, reason) VALUES ('$acme', 'olga', 'infinity', 'x');", '42501', 'L1: nor rows');
foreach my $table (qw(operator supervision access_request master_tenant master_account audit_event))
{
	$mt->refused($_, "SELECT * FROM multitenant.$table;", '42501', "L1: $_ cannot read $table") foreach $app, $provisioner, 'regress_mt_operator', 'regress_mt_auditor';
}

# A supervision ends by itself, however long the message is that it is used in.
my $olga = $mt->token(undef, sub => 'olga');
my $stay = "BEGIN; SELECT multitenant.authenticate('$olga'); SELECT multitenant.switch_tenant('acme'); $see";
foreach my $next ($see, "COMMIT; $stay")
{
	$mt->run($app, enter('olga') . "SELECT multitenant.begin_supervised('acme', 'short', '3 seconds'); COMMIT;");
	$mt->refused($app, "$stay SELECT pg_sleep(3.2); $next", 'MT008', 'L1: it ends in a message that goes on' . ($next eq $see ? '' : ', over a COMMIT'), tenant => 'acme', single => 1);
}
$mt->allowed($app, "$begin COMMIT;", undef, 'L1: another one');

# ---- L2: reading only ----
# What goes on that began before must neither write nor have seen anything: functions, and conditions of domains, are looked at
# when an expression is initialised, and languages evaluate expressions by themselves.
$mt->superuser(<<"SQL");
GRANT CREATE ON SCHEMA public TO $app; CREATE TABLE loot (n int, v text DEFAULT 'x'); GRANT ALL ON loot TO $app;
SET ROLE $app; CREATE TABLE own_loot (n int); INSERT INTO own_loot VALUES (1);
CREATE FUNCTION scratch.look() RETURNS text LANGUAGE plpgsql AS 'DECLARE seen text; BEGIN PERFORM multitenant.switch_tenant(''acme''); SELECT note INTO seen FROM public.invoice; RETURN seen; END';
CREATE FUNCTION scratch.each() RETURNS text LANGUAGE plpgsql AS 'DECLARE seen text; r record; BEGIN FOR r IN SELECT multitenant.switch_tenant(''acme'') LOOP END LOOP;
	FOR r IN SELECT note FROM public.invoice LOOP seen := r.note; END LOOP; RETURN seen; END';
CREATE FUNCTION scratch.try() RETURNS text LANGUAGE plpgsql AS 'DECLARE seen text; BEGIN BEGIN PERFORM multitenant.switch_tenant(''acme''); SELECT note INTO seen FROM public.invoice;
	EXCEPTION WHEN division_by_zero THEN NULL; END; RETURN seen; END';
CREATE FUNCTION scratch.send() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN pg_notify(''c'', scratch.look()); END';
CREATE FUNCTION scratch.fire() RETURNS trigger LANGUAGE plpgsql AS 'DECLARE v text; BEGIN v := pg_notify(''c'', scratch.each()); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER fire AFTER INSERT ON own_loot DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION scratch.fire();
CREATE FUNCTION scratch.enter() RETURNS text LANGUAGE plpgsql AS 'BEGIN PERFORM multitenant.switch_tenant(''acme''); RETURN ''x''; END';
CREATE FUNCTION scratch.note() RETURNS text LANGUAGE plpgsql AS 'DECLARE r record; BEGIN FOR r IN SELECT note FROM public.invoice LOOP RETURN r.note; END LOOP; END';
CREATE DOMAIN scratch.told AS text CHECK (pg_notify('c', VALUE) IS NOT NULL);
CREATE DOMAIN scratch.asked AS int CHECK (pg_notify('c', scratch.each()) IS NOT NULL);
CREATE TYPE scratch.letter AS ENUM ('a');
CREATE FUNCTION scratch.spell(scratch.letter) RETURNS json LANGUAGE plpgsql AS 'DECLARE v text; BEGIN v := pg_notify(''c'', scratch.look()); RETURN ''{}''; END';
CREATE CAST (scratch.letter AS json) WITH FUNCTION scratch.spell(scratch.letter);
CREATE FUNCTION scratch.rows() RETURNS SETOF text LANGUAGE plpgsql AS 'BEGIN PERFORM multitenant.switch_tenant(''acme''); RETURN QUERY SELECT scratch.safe() FROM public.plain; END';
CREATE FUNCTION scratch.safe() RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE AS 'BEGIN RETURN (SELECT string_agg(note, '','') FROM public.invoice); END';
CREATE FUNCTION scratch.emit(t text) RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE AS 'BEGIN PERFORM pg_logical_emit_message(false, ''x'', t); RETURN ''emitted''; END';
CREATE FUNCTION scratch.fetch(k refcursor) RETURNS text LANGUAGE plpgsql AS 'DECLARE x text; BEGIN FETCH k INTO x; RETURN x; END';
RESET ROLE; ALTER TABLE loot ALTER v SET DEFAULT scratch.look(); CREATE TABLE blind (n int, v text DEFAULT scratch.enter()); GRANT ALL ON blind TO $app;
SQL
foreach my $more ("DO \$\$ DECLARE v text; BEGIN v := pg_notify('c', CALL); END \$\$", "DO \$\$ DECLARE v oid; BEGIN v := lo_from_bytea(0, convert_to(CALL, 'utf8')); END \$\$",
	"DO \$\$ DECLARE v int; BEGIN v := length(CALL) + nextval('counter'); END \$\$", "DO \$\$ DECLARE v text; BEGIN v := pg_logical_emit_message(false, 'x', CALL); END \$\$",
	"SELECT scratch.send()", "SELECT CALL::scratch.told", "SELECT to_json('a'::scratch.letter)", "SELECT multitenant.switch_tenant('acme'), to_json('a'::scratch.letter)",
	"SELECT * FROM jsonb_to_record('{\"a\": 1}') AS t(a scratch.asked)", "SET LOCAL " . $mt->parallel_setting . " = on; SELECT pg_notify('c', x) FROM scratch.rows() x", "PREPARE q (text, text) AS SELECT 1; EXECUTE q (CALL, pg_notify('c', 'x')::text)", "INSERT INTO own_loot VALUES (1); COMMIT")
{
	$mt->refused($app, enter('olga') . ($more =~ s/CALL/scratch.$_()/r) . '; COMMIT;', '(?:25006|55000)', "L2: nothing is seen by what goes on: $more, $_") foreach $more =~ /CALL/ ? qw(look each try) : 'none';
}
$mt->refused($app, enter('olga') . "$_; COMMIT;", '(?:25006|55000|MT001)', 'L2: nor where more is running: ' . s/\n/ /gr)
	foreach "SELECT multitenant.switch_tenant('acme'), pg_notify('c', note) FROM invoice", "INSERT INTO plain SELECT 1 WHERE multitenant.switch_tenant('acme') IS NOT NULL",
	"DECLARE c CURSOR FOR SELECT lo_from_bytea(0, 'x') FROM generate_series(1, 2); SELECT multitenant.switch_tenant('acme'); FETCH 1 FROM c",
	"CREATE TABLE l1 AS SELECT multitenant.switch_tenant('acme') AS t, 1 AS v", "SELECT multitenant.switch_tenant('acme') AS t, 1 AS v INTO l2",
	"COPY loot (n) FROM STDIN;\n1\n\\.\n", "COPY blind (n) FROM STDIN;\n1\n\\.\n", "ALTER TABLE own_loot ADD v text DEFAULT scratch.look()", "EXPLAIN ANALYZE CREATE TABLE l3 AS SELECT scratch.look()";
# The client's messages themselves: a parameter's conditions, a function without a statement, a statement that goes on in the next one.
sub said { my (@messages) = @_; my $socket = wire($mt->node, $app, ''); return talk($socket, query(enter('olga'))) . '|' . join('|', map { talk($socket, @$_) } @messages) }
my ($told) = $mt->superuser("SELECT 'scratch.asked'::regtype::oid");
my ($sends) = $mt->superuser("SELECT 'scratch.send'::regproc::oid");
is(said([ message('P', "p\0SELECT \$1\0" . pack('nN', 1, $told)), message('B', "\0p\0" . pack('nnNa*n', 0, 1, 1, '1', 0)), synchronize() ], [ query('COMMIT') ]),
	'row|25006|', 'L2: the conditions of a parameter see nothing');
is(said([ message('F', pack('Nnnn', $sends, 0, 0, 0)) ], [ query('COMMIT') ]), 'row|55000|', 'L2: nor does a function that is called by itself');
like(said([ parse('p', 'SELECT CASE WHEN n = 1 THEN multitenant.switch_tenant(\'acme\')::text ELSE pg_notify(\'c\', (SELECT min(note) FROM invoice))::text END FROM generate_series(1, 2) n'), bind_to('a', 'p'), execute('a', 1), synchronize() ],
	[ execute('a', 1), synchronize() ]), qr/^row\|MT001\|(?!.*SECRET)/, 'L2: a portal has seen nothing before');
is(said([ parse('p', 'SELECT CASE WHEN n = 1 THEN scratch.enter() ELSE pg_notify(\'c\', scratch.note())::text END FROM generate_series(1, 2) n'), bind_to('a', 'p'), execute('a', 1), synchronize() ],
	[ execute('a', 1), synchronize() ]), 'row|row|25006', 'L2: and does not go on');
is(said([ query("DO 'BEGIN PERFORM multitenant.switch_tenant(''acme''); END'") ], [ query('SELECT note FROM invoice') ]), 'row||SECRET-ACME', 'L2: begun by a function it sees in the next message');
is(said([ query("SELECT multitenant.switch_tenant('acme'); SELECT note FROM invoice") ]), 'row|row SECRET-ACME', 'L2: begun by a statement of its own at once');
is(said([ query("PREPARE s AS SELECT multitenant.switch_tenant(\$1); EXECUTE s('acme'); SELECT note FROM invoice") ]), 'row|row SECRET-ACME', 'L2: also one that was prepared');
is(said([ parse('', "SELECT multitenant.switch_tenant('acme')"), bind_to('', ''), execute(''), parse('', 'SELECT note FROM invoice'), bind_to('', ''), execute(''), synchronize() ]),
	'row|row SECRET-ACME', 'L2: and in a pipeline');
is(said([ query("DECLARE k CURSOR FOR SELECT CASE WHEN n = 1 THEN scratch.enter() ELSE pg_notify('c', scratch.note())::text END FROM generate_series(1, 2) n") ],
	[ query('FETCH 1 FROM k') ], [ query("SELECT scratch.fetch('k')") ]), 'row||25006|25P02', 'L2: no context begins in a cursor');
is(said([ parse('p', "SELECT CASE WHEN n = 1 THEN scratch.enter() ELSE pg_notify('c', scratch.note())::text END FROM generate_series(1, 2) n"), bind_to('k', 'p'), execute('k', 1), synchronize() ],
	[ query("SELECT scratch.fetch('k')") ]), 'row|row|25006', 'L2: nor does the portal that it began in go on below another statement');
# Workers have no variables of their leader's.
foreach my $end ('SELECT multitenant.reset_tenant()', 'ROLLBACK TO s')
{
	$mt->refused($app, enter('olga') . "SAVEPOINT s; SELECT multitenant.switch_tenant('acme'); SELECT note FROM invoice; $end; SET LOCAL " . $mt->parallel_setting . " = on; SELECT scratch.emit('x') FROM plain;",
		'25006', "L2: nothing is written by a worker after $end", tenant => 'acme');
}
$mt->refused($app, "BEGIN; SELECT 1; SAVEPOINT s; SELECT multitenant.authenticate('" . $mt->token('acme') . "'); SELECT note FROM invoice; ROLLBACK TO s; SET LOCAL " . $mt->parallel_setting . ' = on; SELECT scratch.safe() FROM plain;',
	'MT005', 'L6: nor does a worker read under the context that a rollback brought back', tenant => 'acme', pgoptions => '-c multitenant.token=' . $mt->token('beta'));
$mt->refused($_, 'SET multitenant.leader = 8;', '42501', 'L2: nobody says what workers are told') foreach $app, 'postgres';
# What the connection brings is there before what it may not execute.
my $brought = $mt->token('acme', sub => 'olga', kind => 'supervised');
$mt->superuser("SET ROLE $app; CREATE FUNCTION scratch.seen() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT note FROM public.invoice); END';
	CREATE PROCEDURE scratch.tell() LANGUAGE plpgsql AS 'DECLARE v text; BEGIN v := pg_notify(''c'', scratch.seen()); END'");
$mt->superuser("SET ROLE $app; CREATE FUNCTION scratch.tried() RETURNS text LANGUAGE plpgsql AS 'DECLARE seen text; BEGIN BEGIN seen := (SELECT note FROM public.invoice);
	EXCEPTION WHEN division_by_zero THEN NULL; END; RETURN seen; END';
	CREATE DOMAIN scratch.counted AS int CHECK (length(scratch.tried()) + nextval('counter') > 0)");
my ($counted, $last) = ($mt->superuser("SELECT 'scratch.counted'::regtype::oid"), $mt->superuser('SELECT last_value FROM counter'));
is(talk(wire($mt->node, $app, "-c multitenant.token=$brought"), message('P', "p\0SELECT \$1\0" . pack('nN', 1, $counted)), message('B', "\0p\0" . pack('nnNa*n', 0, 1, 1, '1', 0)), synchronize()),
	'25006', 'L2: brought by the connection: a parameter, before there is a statement');
is($mt->superuser('SELECT last_value FROM counter'), $last, 'L2: and no number is taken');
$mt->refused($app, "CALL scratch.tell();\n" x 3 . 'SELECT 1;', '25006 25006 25006', 'L2: brought by the connection: an expression that is kept', pgoptions => "-c multitenant.token=$brought");
$mt->refused($app, "$_; SELECT 1;", '25006', "L2: brought by the connection: $_", pgoptions => "-c multitenant.token=$brought")
	foreach 'NOTIFY c', 'CREATE TABLE scratch.t (n int)', 'LISTEN c', "ALTER ROLE CURRENT_USER SET work_mem = '1MB'";
$mt->allowed($app, enter('olga') . "SELECT * FROM multitenant.switch_tenant('acme'); SELECT 'seen ' || count(*) FROM invoice; COMMIT;", 'seen', 'L2: in FROM, it begins');
foreach my $after ("SELECT multitenant.reset_tenant(); RESET transaction_read_only;", 'ROLLBACK TO s;')
{
	$mt->refused($app, enter('olga') . "SAVEPOINT s; SELECT multitenant.switch_tenant('acme'); SELECT count(*) FROM invoice; $after INSERT INTO plain VALUES (1); COMMIT;", '25006', "L2: and in its transaction nothing is written afterwards: $after");
}

my @escapes = ("INSERT INTO invoice (note) VALUES ('x')", 'DELETE FROM invoice', 'SELECT note FROM invoice FOR UPDATE', 'SELECT note FROM invoice FOR KEY SHARE',
	'UPDATE plain SET n = 2', "SELECT definer_note()", "SELECT nextval('counter')", "SELECT setval('counter', 9)", "SELECT lo_import('/etc/hostname')", 'SELECT lo_create(0)',
	"SELECT lo_from_bytea(0, 'x')", "COPY (SELECT 1) TO PROGRAM 'true'", "COPY invoice TO '/tmp/x'", "COPY invoice FROM '/tmp/x'", 'CREATE TEMP TABLE keep AS TABLE invoice',
	'CREATE TEMP TABLE keep (n int)', 'SELECT note INTO TEMP keep FROM invoice', 'SELECT pg_advisory_lock(7)', "SELECT pg_notify('a', 'b')", 'NOTIFY a', 'LISTEN a',
	'SELECT pg_export_snapshot()', "SELECT pg_logical_emit_message(false, 'a', 'b')", "PREPARE TRANSACTION 'x'", 'LOCK TABLE plain', 'DECLARE c CURSOR WITH HOLD FOR TABLE invoice',
	"SELECT * FROM dblink('dbname=app', 'SELECT 1') AS t(n int)", "SELECT dblink_connect('x', 'dbname=app')", 'SELECT pg_stat_reset()', 'CREATE FUNCTION scratch.f() RETURNS int LANGUAGE sql AS \'SELECT 1\'',
	"ALTER ROLE CURRENT_USER SET work_mem = '1MB'", "COMMENT ON TABLE plain IS 'x'", 'TRUNCATE plain', 'MERGE INTO plain USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE',
	"DO 'BEGIN PERFORM nextval(''counter''); END'", "EXPLAIN ANALYZE DELETE FROM plain", "PREPARE p AS DELETE FROM plain; EXECUTE p");
foreach my $statement (@escapes)
{
	# Some are denied to everybody but superusers anyway.
	$mt->refused($app, "$back$statement; COMMIT;", $statement =~ /lo_import|stat_reset/ ? '(?:25006|42501)' : '25006', "L2: $statement", tenant => 'acme');
}
# What makes the server forget that the transaction is read-only.
my @forget = ('SET LOCAL transaction_read_only = off', 'RESET transaction_read_only', "SELECT set_config('transaction_read_only', 'off', true)", 'SAVEPOINT s; RELEASE s', 'SET TRANSACTION READ WRITE');
foreach my $trick (@forget)
{
	foreach my $statement ('DELETE FROM plain', "SELECT nextval('counter')", 'CREATE TABLE scratch.t (n int)')
	{
		$mt->refused($app, "$back$trick; $statement; COMMIT;", '(?:25006|25001|25P02)', "L2: $trick; $statement", tenant => 'acme');
	}
}
$mt->refused($app, enter('olga') . "SAVEPOINT s; SELECT multitenant.switch_tenant('acme'); RELEASE s; DELETE FROM plain;", '25006', 'L2: begun in a subtransaction that is over');
# An expression that was ready before the context began, in a transaction that a subtransaction's end makes writable.
$mt->superuser("CREATE FUNCTION ready(tenant text) RETURNS bigint LANGUAGE plpgsql AS \$\$ DECLARE n bigint; BEGIN
	FOR i IN 1 .. 2 LOOP
		n := nextval('counter');
		BEGIN IF i = 1 THEN PERFORM multitenant.switch_tenant(tenant); END IF; EXCEPTION WHEN division_by_zero THEN NULL; END;
	END LOOP; RETURN n; END \$\$");
$mt->refused($app, enter('olga') . "SELECT ready('acme');", '25006', 'L2: an expression that was initialised before');
is($mt->superuser('SELECT last_value <= 2 FROM counter'), 't', 'L2: no number was taken under the context');
$mt->refused($app, "$back SET max_parallel_workers_per_gather = 2; SET " . $mt->parallel_setting . " = on; SELECT note FROM invoice; DELETE FROM plain;", '25006', 'L2: nor with workers', tenant => 'acme');
is($mt->superuser('SELECT count(*) FROM plain'), 1, 'L2: nothing has changed');
is($mt->superuser("SELECT to_regclass('scratch.t') IS NULL AND to_regproc('scratch.f') IS NULL"), 't', 'L2: nothing was made');
$mt->intact('L2: and no row of a tenant');

# ---- L3: no keys, no detail ----
$mt->refused($app, "${back}SELECT * FROM multitenant.audit_log;", '42501', 'L3: no detail of the record', tenant => 'acme');
$mt->refused($app, "${back}SELECT multitenant.encrypt('x', 'pii');", '42501', 'L3: no keys');
$mt->refused($app, "${back}SELECT multitenant.get_secret('x');", '42501', 'L3: no secrets');
$mt->refused($app, "${back}SELECT multitenant.set_visibility('none');", '42501', 'L3: no management');

# ---- L4: what is recorded stays ----
my $events = "SELECT count(*) FROM multitenant.audit_event WHERE event = 'supervised.begin' AND tenant_id = '$acme' AND principal = 'olga'";
my $before = $mt->superuser($events);
$mt->allowed($app, "$begin$see ROLLBACK;", 'SECRET-ACME', 'L4: looked, and rolled back', tenant => 'acme');
is($mt->superuser($events), $before + 1, 'L4: the event is there');
$mt->refused($app, enter('olga') . "SAVEPOINT s; SELECT multitenant.begin_supervised('acme', 'ticket 8'); $see ROLLBACK TO s; $see", 'MT001', 'L4: a rollback to a savepoint ends the context', tenant => 'acme');
is($mt->superuser($events), $before + 2, 'L4: and not the event');
{
	my $session = $mt->session($app);
	ask($session, enter('olga') . "SELECT multitenant.begin_supervised('acme', 'ticket 9')");
	is($mt->superuser($events), $before + 3, 'L4: the event is committed before the first row is read');
	ask($session, 'ROLLBACK');
	$session->quit;
}
# What was read stays, too: the server would roll it back, and a supervised context cannot write at all.
{
	my $reads = "SELECT count(*) FROM multitenant.audit_event WHERE event = 'supervised.read' AND tenant_id = '$acme' AND principal = 'olga' AND object = 'public.invoice'";
	my $count = $mt->superuser($reads);
	$mt->allowed($app, "$begin$see $see ROLLBACK;", 'SECRET-ACME', 'L4: read, and rolled back', tenant => 'acme');
	is($mt->superuser($reads), $count + 1, 'L4: the table is in the record, once');
	$mt->allowed($app, "$begin SAVEPOINT s; $see ROLLBACK TO s; $see ROLLBACK TO s; COMMIT;", 'SECRET-ACME', 'L4: in a savepoint', tenant => 'acme');
	is($mt->superuser($reads), $count + 2, 'L4: once for all savepoints');
	$mt->allowed($app, $mt->begin('acme', sub => 'olga', kind => 'supervised') . "$see ROLLBACK;", 'SECRET-ACME', 'L4: with a token', tenant => 'acme');
	is($mt->superuser($reads), $count + 3, 'L4: also');
	my $session = $mt->session($app);
	ask($session, "$begin COMMIT;");
	ask($session, $back);
	ask($session, 'SELECT count(*) FROM invoice');
	is($mt->superuser($reads), $count + 4, 'L4: while it is being read');
	ask($session, 'ROLLBACK');
	$session->quit;
	# A function that only workers execute: no statement of the leader names the table.
	$mt->superuser("CREATE FUNCTION count_invoices(n int) RETURNS bigint LANGUAGE plpgsql STABLE PARALLEL SAFE AS 'BEGIN RETURN (SELECT count(*) FROM invoice); END'");
	my $parallel = $mt->parallel_setting;
	$mt->allowed($app, "$back SET $parallel = on; SELECT 'seen ' || count_invoices(n) FROM plain; ROLLBACK;", 'seen 1', 'L4: in a worker', tenant => 'acme');
	is($mt->superuser($reads), $count + 5, 'L4: as well');
}
# Fails closed: nobody can write the event.
{
	my $locker = $mt->node->background_psql('app');
	$locker->query('BEGIN; LOCK TABLE multitenant.audit_event IN SHARE MODE');
	my $start = time;
	$mt->refused($app, "SET statement_timeout = '2s'; $begin$see", '57014', 'L4: no event, no looking; and no hanging');
	$mt->refused($app, "$begin$see", '55000', 'L4: the writer gives up by itself');
	cmp_ok(time - $start, '<', 25, 'L4: soon');
	$locker->query('ROLLBACK');
	$locker->quit;
}

# ---- L5: it ends in a session that is open ----
sub ends
{
	my ($name, $sql, $mend) = @_;
	$mt->superuser("UPDATE multitenant.supervision SET ended_at = now() WHERE ended_at IS NULL");
	my $session = $mt->session($app);
	ask($session, "$begin COMMIT;");
	like(ask($session, "$back SELECT count(*) FROM invoice"), qr/\b1$/, "L5: $name: open");
	$mt->superuser($sql);
	is(ask($session, 'SELECT count(*) FROM invoice'), 'MT008', "L5: $name: the next statement is refused");
	ask($session, 'ROLLBACK');
	ask($session, enter('olga') =~ s/\n//r);
	like(ask($session, "SELECT multitenant.switch_tenant('acme')"), qr/^(MT008|25P02)$/, "L5: $name: and no coming back");
	ask($session, 'ROLLBACK');
	$session->quit;
	$mt->superuser($mend) if $mend;
	return;
}
my $master = "'c0000000-0000-4000-8000-0000000000c1'";
ends('the operator is unassigned', "SELECT multitenant.unassign_operator('olga', 'acme')", "SELECT multitenant.assign_operator($master, 'olga', 'acme', 'watcher')");
ends('the tenant is unlinked', "SELECT multitenant.unlink_tenant($master, 'acme')", "SELECT multitenant.link_tenant($master, 'acme'), multitenant.assign_operator($master, 'olga', 'acme', 'watcher')");
ends('the link alone is gone', "DELETE FROM multitenant.master_tenant WHERE tenant_id = '$acme'", "SELECT multitenant.link_tenant($master, 'acme')");
ends('the assignment expires', "UPDATE multitenant.operator SET expires_at = now() WHERE tenant_id = '$acme'", "UPDATE multitenant.operator SET expires_at = NULL");
ends('visibility is lowered', "SELECT multitenant.set_visibility('acme', 'metadata')", "SELECT multitenant.set_visibility('acme', 'supervised')");
ends('the supervision is ended', "UPDATE multitenant.supervision SET ended_at = now() WHERE ended_at IS NULL");
ends('its time is over', "UPDATE multitenant.supervision SET ends_at = now() WHERE ended_at IS NULL");
ends('the principal is disabled', "UPDATE multitenant.principal SET state = 'disabled' WHERE id = 'olga'", "UPDATE multitenant.principal SET state = 'active'");
# By itself, without any change: two seconds.
{
	my $session = $mt->session($app);
	ask($session, enter('olga') . "SELECT multitenant.begin_supervised('acme', 'ticket 9', '2 seconds')");
	is(ask($session, 'SELECT count(*) FROM invoice'), '1', 'L5: two seconds');
	$session->query('SELECT pg_sleep(2.1)');
	is(ask($session, 'SELECT count(*) FROM invoice'), 'MT008', 'L5: and it ends by itself');
	$session->quit;
}
# Expired with the operator's row that has not changed since.
$mt->superuser("UPDATE multitenant.operator SET expires_at = clock_timestamp() + interval '2 seconds' WHERE tenant_id = '$acme'");
{
	my $session = $mt->session($app);
	ask($session, enter('olga') . "SELECT multitenant.begin_supervised('acme', 'ticket 9')");
	$session->query('SELECT pg_sleep(2.1)');
	is(ask($session, 'SELECT count(*) FROM invoice'), 'MT008', 'L5: an assignment ends by itself, too');
	$session->quit;
}
$mt->superuser('UPDATE multitenant.operator SET expires_at = NULL');

# ---- L6: one query in all of them ----
$mt->superuser("SELECT multitenant.set_visibility('beta', 'supervised')");
sub across { my ($query, $columns, $who) = @_; return enter($who // 'olga') . "SELECT * FROM multitenant.across_tenants(\$q\$$query\$q\$, 'report') AS t(tenant_id uuid, $columns);" }
{
	my ($out) = $mt->run($app, across('SELECT note FROM invoice', 'note text'));
	is(join(' ', $out =~ /(\w+\|SECRET-\w+)/g), '00000000000a|SECRET-ACME 00000000000b|SECRET-BETA', 'L6: each row with its own tenant');
}
$mt->refused($app, across($_, 'n text'), '25006', "L6: $_") foreach "SELECT nextval('counter')::text", 'SELECT definer_note()', "SELECT pg_notify('a', 'b')::text", "SELECT lo_create(0)::text";
$mt->refused($app, across($_, 'n text'), '22023', "L6: $_") foreach 'SELECT note FROM invoice; DELETE FROM invoice', 'DELETE FROM invoice RETURNING note', "COPY invoice TO PROGRAM 'true'",
	"WITH w AS (UPDATE invoice SET note = 'x' RETURNING note) SELECT * FROM w", 'SELECT note FROM invoice FOR SHARE', 'EXPLAIN SELECT note FROM invoice';
# The outer statement sees nothing, and an error shows nothing of another tenant's context to whom it belongs not.
$mt->refused($app, across('SELECT note FROM invoice', 'note text') =~ s/;$/ JOIN invoice i ON true;/r, 'MT001', 'L6: the outer statement has no tenant');
$mt->refused($app, across("SELECT multitenant.authenticate('" . $mt->token('beta', sub => 'bert') . "')::text", 'n text'), 'MT005', 'L6: no other context in it', tenant => 'acme');
# Residue of one turn for the next.
$mt->superuser("CREATE FUNCTION leave() RETURNS text LANGUAGE plpgsql AS \$\$ DECLARE seen text := current_setting('leak.note', true); c refcursor := 'leak'; BEGIN
	IF EXISTS (SELECT FROM pg_cursors WHERE name = 'leak') THEN RETURN 'CURSOR'; END IF;
	OPEN c FOR SELECT note FROM invoice;
	PERFORM set_config('leak.note', (SELECT note FROM invoice), false);
	RETURN coalesce(nullif(seen, ''), 'nothing'); END \$\$");
{
	my ($out, $err) = $mt->run($app, across('SELECT leave()', 'n text') . " SELECT '<' || coalesce(current_setting('leak.note', true), '') || '>', (SELECT count(*) FROM pg_cursors);");
	like($out, qr/0a\|nothing\n.*0b\|nothing\n<>\|0/, 'L6: no setting and no cursor of one tenant reaches the next, or stays') or diag($err);
}
# A cursor over all of them beside the context of one.
$mt->refused($app, enter('olga') . "DECLARE c CURSOR FOR SELECT * FROM multitenant.across_tenants('SELECT note FROM invoice', 'report') AS t(tenant_id uuid, note text); MOVE 1 FROM c;
	$_; FETCH 1 FROM c;", 'MT005', "L6: $_ with a cursor over several tenants") foreach "SELECT multitenant.begin_supervised('acme', 'x')", "SELECT multitenant.switch_tenant('acme')";
$mt->refused($app, enter('olga') . "SAVEPOINT s; SELECT * FROM multitenant.across_tenants('SELECT 1', 'report') AS t(tenant_id uuid, n int); ROLLBACK TO s; SELECT multitenant.begin_supervised('acme', 'x');",
	'MT005', 'L6: nor after a rollback to a savepoint');
# Caught errors leave the transaction where it was: a principal without a tenant.
$mt->superuser("CREATE FUNCTION catch() RETURNS text LANGUAGE plpgsql AS \$\$ BEGIN
	PERFORM * FROM multitenant.across_tenants('SELECT 1 / (note <> ''SECRET-BETA'')::int FROM invoice', 'report') AS t(tenant_id uuid, n int); RETURN 'none';
	EXCEPTION WHEN division_by_zero THEN RETURN (SELECT state FROM multitenant.context); END \$\$");
$mt->allowed($app, enter('olga') . 'SELECT catch(); SELECT catch();', "principal\nprincipal", 'L6: an error that is caught', tenant => undef);
$mt->refused($app, enter('olga') . 'SELECT catch(); SELECT note FROM invoice;', 'MT001', 'L6: and nothing is left of the context', tenant => undef);
$mt->refused($app, across("SELECT 'x' FROM pg_sleep(60)", 'n text') =~ s/^BEGIN;/SET statement_timeout = '1s'; BEGIN;/r, '57014', 'L6: it can be interrupted');
$mt->refused($app, inside('acme', 'ann') . "SELECT * FROM multitenant.across_tenants('SELECT 1', 'x') AS t(tenant_id uuid, n int);", 'MT005', 'L6: not from inside a tenant');
my $asked = "SELECT count(*) FROM multitenant.audit_event WHERE event = 'supervised.across'";
$before = $mt->superuser($asked);
$mt->refused($app, across('SELECT note FROM invoice', 'note text', 'mole'), 'MT008', 'L6: nobody else sees anything', tenant => undef);
is($mt->superuser($asked), $before, 'L6: nor fills the record');
$before = $mt->superuser($asked);
$mt->log_since;
$mt->run($app, across("SELECT note FROM invoice WHERE note <> 'IBAN 7'", 'note text') . 'ROLLBACK;');
is($mt->superuser($asked), $before + 1, 'L6: what was rolled back is recorded');
my $own = "SELECT concat_ws(' ', principal, object, detail ->> 'query') FROM multitenant.audit_log WHERE event = 'supervised.query' ORDER BY at DESC LIMIT 1;";
$mt->allowed($app, inside(@$_) . $own, 'olga report SELECT note FROM invoice WHERE note <> ?', "L6: also in the record of $_->[0], without literals") foreach [qw(acme ann)], [qw(beta bert)];
is(scalar(() = $mt->log_since =~ /event="supervised\.query".* tenant="[-0-9]+0[ab]".* principal="olga"/g), 2, 'L6: and each tenant in the log');
$mt->superuser("SELECT multitenant.set_visibility('beta', 'metadata')");
{
	my ($out) = $mt->run($app, across('SELECT note FROM invoice', 'note text'));
	is(join(' ', $out =~ /SECRET-(\w+)/g), 'ACME', 'L6: who consents no longer is not among them');
}

# ---- L8: nobody who takes sight away waits for the operator ----
{
	my $soon = "SET lock_timeout = '2s';";
	my $session = $mt->session($app);
	my $coming_back = $back . $see;
	# The rows of two supervisions are the operator's: the old one that he ends, the new one that nobody sees yet.
	sub hold { my ($s) = @_; ask($s, "$begin COMMIT;"); return ask($s, "${begin}SELECT count(*) FROM invoice"); }
	like(hold($session), qr/\b1$/, 'L8: an operator holds his rows locked');
	$mt->allowed($app, "$soon" . inside('acme', 'ann') . "SELECT multitenant.set_visibility('none'); COMMIT;", undef, 'L8: the tenant lowers its visibility at once');
	is(ask($session, 'SELECT count(*) FROM invoice'), 'MT008', 'L8: and he sees nothing any more');
	$mt->allowed($app, inside('acme', 'ann') . "SELECT multitenant.set_visibility('supervised'); COMMIT;", undef, 'L8: raised again');
	ask($session, 'ROLLBACK');
	$mt->refused($app, $coming_back, 'MT008', 'L8: what was locked does not come back', tenant => undef);
	is($mt->superuser("SELECT multitenant._open_supervisions('$acme')"), 0, 'L8: nor is it shown as open');
	hold($session);
	$mt->allowed($app, "$soon" . inside('acme', 'ann') . "SELECT multitenant.set_visibility('metadata'), multitenant.set_visibility('supervised'); COMMIT;", undef, 'L8: lowered and raised');
	ask($session, 'COMMIT');
	$mt->refused($app, $coming_back, 'MT008', 'L8: what was not committed does not come back either', tenant => undef);
	# Unassigned, and assigned again.
	hold($session);
	$mt->allowed($provisioner, "$soon SELECT multitenant.unassign_operator('olga', 'acme');", undef, 'L8: a provisioner unassigns him at once');
	is(ask($session, 'SELECT count(*) FROM invoice'), 'MT008', 'L8: and he sees nothing any more');
	ask($session, 'ROLLBACK');
	$mt->allowed($provisioner, "SELECT multitenant.assign_operator($master, 'olga', 'acme', 'watcher');", undef, 'L8: assigned again');
	$mt->refused($app, $coming_back, 'MT008', 'L8: he begins anew', tenant => undef);
	hold($session);
	$mt->allowed($provisioner, "$soon SELECT multitenant.unlink_tenant($master, 'acme');", undef, 'L8: the tenant is unlinked at once');
	ask($session, 'ROLLBACK');
	$mt->superuser("SELECT multitenant.link_tenant($master, 'acme'), multitenant.assign_operator($master, 'olga', 'acme', 'watcher')");
	# While he asks for something.
	ask($session, enter('olga') . "SELECT multitenant.request_access('acme', 'x', '1 hour')");
	$mt->allowed($provisioner, "$soon SELECT multitenant.unassign_operator('olga', 'acme');", undef, 'L8: unassigned while he asks');
	ask($session, 'ROLLBACK');
	$mt->superuser("SELECT multitenant.assign_operator($master, 'olga', 'acme', 'watcher')");
	# An approval that he is just taking back.
	$mt->superuser("SELECT multitenant.set_visibility('acme', 'metadata')");
	my ($request) = ask($session, enter('olga') . "SELECT multitenant.request_access('acme', 'x', '1 hour'); COMMIT;") =~ /([0-9a-f-]{36})/;
	$mt->allowed($app, inside('acme', 'ann') . "SELECT multitenant.approve_access('$request'); COMMIT;", undef, 'L8: approved');
	$mt->allowed($app, "$begin$see COMMIT;", 'SECRET-ACME', 'L8: he looks in', tenant => 'acme');
	ask($session, enter('olga') . "SELECT multitenant.withdraw_request('$request')");
	$mt->allowed($app, "$soon" . inside('acme', 'ann') . "SELECT multitenant.revoke_approval('$request'); COMMIT;", undef, 'L8: an approval is revoked at once');
	$mt->refused($app, $coming_back, 'MT008', 'L8: and ends', tenant => undef);
	ask($session, 'ROLLBACK');
	$mt->refused($app, $coming_back, 'MT008', 'L8: whatever he does', tenant => undef);
	# What he has taken back is over, whatever the tenant answers.
	($request) = ask($session, enter('olga') . "SELECT multitenant.request_access('acme', 'x', '1 hour'); COMMIT;") =~ /([0-9a-f-]{36})/;
	ask($session, enter('olga') . "SELECT multitenant.withdraw_request('$request')");
	$mt->allowed($app, "$soon" . inside('acme', 'ann') . "SELECT multitenant.approve_access('$request'); COMMIT;", undef, 'L8: approved while it is being withdrawn');
	ask($session, 'COMMIT');
	$mt->refused($app, "$begin$see", 'MT008', 'L8: it stays withdrawn', tenant => undef);
	$session->quit;
	$mt->superuser("SELECT multitenant.set_visibility('acme', 'supervised')");
}

# ---- L9: what an operator is just getting is not taken away from under him ----
{
	$mt->superuser("SELECT multitenant.create_role_template('short-lived', permissions => '{member:read}')");
	my $session = $mt->session($provisioner);
	ask($session, 'BEGIN');
	is(ask($session, "SELECT multitenant.assign_operator('c0000000-0000-4000-8000-0000000000c1', 'newcomer', 'acme', 'short-lived')"), '', 'L9: an operator that is just being assigned');
	$mt->refused($provisioner, "SET lock_timeout = '8s'; SELECT multitenant.drop_role_template('short-lived');", '55000', 'L9: his template is not dropped');
	$mt->refused($provisioner, "SET lock_timeout = '8s'; SELECT multitenant.alter_role_template('short-lived', permissions => '{*:*}');", '55000', 'L9: nor made to permit more');
	ask($session, 'COMMIT');
	$session->quit;
	is($mt->superuser("SELECT count(*) FROM multitenant.operator o JOIN multitenant.role r ON r.id = o.role_id WHERE o.principal = 'newcomer'"), '1', 'L9: it is there when he has it');
	$mt->superuser("SELECT multitenant.unassign_operator('newcomer', 'acme')");
}

# ---- L7: views show nothing else ----
$mt->allowed($app, enter('mole') . 'SELECT count(*) FROM multitenant.tenant_overview; SELECT count(*) FROM multitenant.audit_metadata; SELECT count(*) FROM multitenant.operators; SELECT count(*) FROM multitenant.access_requests;',
	"0\n0\n0\n0", 'L7: nobody sees nobody');
$mt->superuser("CREATE FUNCTION scratch.tell(t text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS \$\$ BEGIN RAISE NOTICE 'seen %', t; RETURN true; END \$\$");
{
	my ($out, $err) = $mt->run($app, inside('beta', 'bert') . 'SELECT count(*) FROM multitenant.operators WHERE scratch.tell(tenant); SELECT count(*) FROM multitenant.supervisions WHERE scratch.tell(tenant || reason);');
	unlike($err, qr/seen acme|ticket/, 'L7: no function of one\'s own sees other rows');
}
$mt->intact('all rows are what they were');
done_testing();
