# Ways around the guard that go through the server's own machinery: parallel workers, rules and triggers on a foreign
# key's statement, plans kept from there, maintenance by others, inheritance, policies that come first, contexts that
# come back.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use Test::More;

my $mt = MtTest->new('machinery');
my ($app, $owner) = ('regress_mt_app', 'regress_mt_owner');
my $parallel = 'SET ' . $mt->parallel_setting . ' = on;';
$mt->superuser(q{CREATE VIEW definer_view AS SELECT * FROM invoice; GRANT SELECT ON definer_view TO regress_mt_app; CREATE SCHEMA scratch AUTHORIZATION regress_mt_app;});
# A parallel worker runs what its leader never saw, on the caller's word that a function is PARALLEL SAFE.
$mt->refused($app, q{CREATE FUNCTION pg_temp.peek() RETURNS text LANGUAGE plpgsql PARALLEL SAFE AS $$ BEGIN RETURN (SELECT string_agg(note, ',') FROM definer_view); END $$; } . $parallel . q{ SELECT pg_temp.peek();}, 'MT007', 'a statement in a parallel worker');
$mt->refused($app, q{CREATE FUNCTION pg_temp.act() RETURNS text LANGUAGE plpgsql PARALLEL SAFE AS $$ BEGIN RETURN (SELECT string_agg(query, ',') FROM pg_stat_get_activity(NULL)); END $$; } . $parallel . q{ SELECT pg_temp.act();}, 'MT010', 'a function of the server in a parallel worker');
$mt->allowed($app, $parallel . $mt->begin('acme')."SELECT note FROM invoice", 'SECRET-ACME', 'a parallel worker with a context', tenant=>'acme');
$mt->allow($_, 'references', 'triggers') foreach $app, $owner;
# The exemption of a foreign key's statement covers neither what a rule adds to it nor what only looks like its probe.
$mt->refused($app, q{CREATE TEMP TABLE par(id int PRIMARY KEY);
CREATE TEMP TABLE chi(id int REFERENCES par ON DELETE CASCADE); CREATE TEMP TABLE leak(note text);
INSERT INTO par VALUES(1); INSERT INTO chi VALUES(1);
CREATE RULE r AS ON DELETE TO chi DO ALSO INSERT INTO leak SELECT note FROM definer_view;
DELETE FROM par; SELECT * FROM leak;}, 'MT007', 'a rule on the child of a cascade');
$mt->refused($app, q{CREATE TEMP TABLE par(id int PRIMARY KEY);
CREATE TEMP TABLE chi(id int REFERENCES par ON DELETE CASCADE);
INSERT INTO par VALUES(1); INSERT INTO chi VALUES(1);
CREATE FUNCTION pg_temp.shout(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE NOTICE ''%'', $1; RETURN $1; END';
CREATE RULE r AS ON DELETE TO chi DO ALSO SELECT pg_temp.shout(note) FROM definer_view;
DELETE FROM par;}, 'MT007', 'a rule on the child of a cascade that only looks');
$mt->refused($owner, q{CREATE TABLE par(id int PRIMARY KEY);
CREATE TABLE chi(id int REFERENCES par ON DELETE CASCADE); CREATE TABLE leak(note text);
INSERT INTO par VALUES(1); INSERT INTO chi VALUES(1);
CREATE FUNCTION srf() RETURNS SETOF text LANGUAGE sql AS 'SELECT note FROM ONLY invoice FOR KEY SHARE';
CREATE FUNCTION trg() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO leak SELECT srf(); RETURN OLD; END';
CREATE TRIGGER t BEFORE DELETE ON chi FOR EACH ROW EXECUTE FUNCTION trg();
DELETE FROM par; SELECT * FROM leak;}, 'MT007', 'a probe that returns data');
$mt->refused($owner, q{
CREATE FUNCTION leakf(text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE NOTICE ''%'', $1; RETURN true; END';
CREATE OR REPLACE FUNCTION srf() RETURNS SETOF text LANGUAGE sql AS $$SELECT '1'::text FROM ONLY invoice WHERE leakf(note) FOR KEY SHARE$$;
DELETE FROM par; SELECT * FROM leak;}, 'MT007', 'a probe with a condition of its own');
# A plan made where FORCE is missing has no policies, and must not be kept.
my $a3 = q{DROP TRIGGER t ON chi; CREATE FUNCTION rd() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT string_agg(note,',') FROM invoice); END $$;
CREATE FUNCTION trg2() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN BEGIN PERFORM rd(); EXCEPTION WHEN OTHERS THEN RAISE NOTICE 'caught %', SQLSTATE; END; RETURN OLD; END $$;
CREATE TRIGGER t2 BEFORE DELETE ON chi FOR EACH ROW EXECUTE FUNCTION trg2();
};
$mt->allowed($owner, $a3 . $mt->begin('acme') . "DELETE FROM par; SELECT rd();", 'SECRET-ACME', 'a plan made below a cascade', tenant=>'acme');
$mt->superuser("SELECT multitenant.revoke_access('$_')") foreach $app, $owner;
# Maintenance runs index functions as the table's owner, in the session of a superuser: it lends them no profile.
$mt->superuser(q{CREATE SCHEMA appdata AUTHORIZATION regress_mt_app});
$mt->allowed($app, q{CREATE TABLE appdata.loot(who text, note text); CREATE TABLE appdata.bait(i int); INSERT INTO appdata.bait VALUES (1);
CREATE FUNCTION appdata.steal() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM multitenant.use_tenant('beta'); INSERT INTO appdata.loot SELECT session_user||'/'||current_user, note FROM public.invoice; EXCEPTION WHEN OTHERS THEN INSERT INTO appdata.loot VALUES (SQLSTATE, 'none'); END $$;
CREATE FUNCTION appdata.idx(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN IF session_user <> 'regress_mt_app' AND i = 1 THEN PERFORM appdata.steal(); END IF; RETURN i; END $$;
CREATE INDEX ON appdata.bait (appdata.idx(i));}, undef, 'an application with an index expression');
$mt->superuser('ANALYZE appdata.bait');
is($mt->superuser('SELECT * FROM appdata.loot'), '42501|none', 'a superuser\'s ANALYZE lends it nothing');
# A parent applies its own policies to its children's rows, and it has none.
$mt->refused($owner, q{CREATE TABLE up (LIKE invoice); GRANT SELECT ON up TO regress_mt_app; ALTER TABLE invoice INHERIT up; SELECT note FROM up;}, 'MT007', 'an unprotected parent, for the owner');
$mt->refused($app, q{SELECT note FROM up;}, 'MT007', 'an unprotected parent, for the application');
$mt->superuser('ALTER TABLE invoice NO INHERIT up');
$mt->allowed($app, q{SELECT note FROM up;}, undef, 'a parent whose child has left');
# Restrictive policies are evaluated in the order of their names.
$mt->refused($owner, 'CREATE POLICY aaa ON invoice AS RESTRICTIVE USING (leakf(note))', 'MT010', 'a policy that would be evaluated first');
$mt->past_guard($owner, 'CREATE POLICY aaa ON invoice AS RESTRICTIVE USING (leakf(note))');
$mt->refused($owner, $mt->begin('acme').'SELECT * FROM invoice', 'MT007', 'a policy that is evaluated first', tenant=>'acme');
$mt->superuser('DROP POLICY aaa ON invoice');
# Weird input.
$mt->refused('postgres', q{SELECT multitenant.add_signing_key('k', NULL, 'pem');}, '22023', 'a signing key without an algorithm');
# A tree with 2^40 paths to its root.
my $sql = "CREATE TEMP TABLE a0(i int); CREATE TEMP TABLE b0(i int);\n";
for my $n (1..40) { my $p=$n-1; $sql .= "CREATE TEMP TABLE a$n() INHERITS (a$p,b$p); CREATE TEMP TABLE b$n() INHERITS (a$p,b$p);\n"; }
$mt->allowed($app, $sql."SET statement_timeout='20s'; SELECT 1 FROM a40;", undef, 'a tree with many paths');
# A context can be taken up again after a rollback to a savepoint; after a reset other statements go on.
$mt->allowed($app, "BEGIN; SELECT 1; SAVEPOINT s; SELECT multitenant.authenticate('".($mt->token('acme'))."'); SELECT note FROM invoice; ROLLBACK TO s; SELECT multitenant.authenticate('".$mt->token('acme')."'); SELECT count(*) FROM invoice; SELECT multitenant.reset_tenant(); SELECT 1;", undef, 'a context taken up again and reset');
$mt->allowed('postgres', "SELECT count(*) FROM multitenant.audit_log", undef, 'audit_log superuser');
$mt->refused($app, "SELECT count(*) FROM multitenant.audit_log", 'MT001', 'audit_log app');
$mt->allowed($app, $mt->begin('acme')."SELECT count(*) FROM multitenant.audit_log", undef, 'audit_log tenant');
# Trees in the log spell literals as bytes.
$mt->log_since;
$mt->run($app, "SET debug_print_parse=on; SET debug_print_plan=on; SET debug_print_rewritten=on; ".$mt->begin('acme'));
unlike($mt->log_since, qr/101 121 74/, 'no credential in the trees of debug_print_parse');

# A key for some tenants does not vouch for principals that are members of others.
$mt->superuser("SELECT multitenant.add_signing_key('acme-only', 'HS256', secret_file => '$mt->{secret_file}', tenants => '{acme}');
	SELECT multitenant.add_member('beta', 'alice')");
$mt->refused($app, $mt->begin(undef, sub => 'alice', kid => 'acme-only') . "SELECT multitenant.switch_tenant('beta'); SELECT note FROM invoice",
	'MT004', 'a principal from a key with tenants');
$mt->allowed($app, $mt->begin(undef, sub => 'alice') . "SELECT multitenant.switch_tenant('beta'); SELECT note FROM invoice",
	'SECRET-BETA', 'a principal from a key without', tenant => 'beta');

# A rollback brings back the context of the connection, but the transaction has had another since.
my $options = '-c multitenant.token=' . $mt->token('acme');
$mt->allowed($app, 'SELECT note FROM invoice', 'SECRET-ACME', 'startup token', pgoptions => $options, tenant => 'acme');
$mt->refused($app, "BEGIN; SELECT 1; SAVEPOINT s; SELECT multitenant.authenticate('" . $mt->token('beta') . "'); SELECT count(*) FROM invoice;
	ROLLBACK TO s; SELECT note FROM invoice", 'MT005', 'two tenants in one transaction by rollback', pgoptions => $options);

# A pooled session whose next client fails to authenticate does not go on with the context of the client before.
$mt->superuser("SELECT multitenant.grant_access('$app', 'application', session_context => true)");
my $kept = "SELECT multitenant.authenticate('" . $mt->token('acme') . "'); SELECT note FROM invoice;\n";
$mt->allowed($app, $kept, 'SECRET-ACME', 'a session keeps its context', tenant => 'acme');
$mt->refused($app, $kept . "BEGIN; SELECT multitenant.authenticate('" . $mt->token('beta', key => 'wrong') . "'); ROLLBACK; SELECT 'after', note FROM invoice",
	'MT001', 'but not over a failed attempt to replace it', tenant => 'acme');
$mt->superuser("SELECT multitenant.revoke_access('$app')");

# COPY is not planned, yet a connection's context is there.
$mt->allowed($app, 'COPY invoice TO STDOUT', 'SECRET-ACME', 'COPY as the first statement', pgoptions => $options, tenant => 'acme');

# Partitions of a shared table are shared; a pause is finite.
$mt->superuser("CREATE TABLE ref (k int, v text) PARTITION BY LIST (k); CREATE TABLE ref1 PARTITION OF ref FOR VALUES IN (1);
	GRANT ALL ON ref, ref1 TO $app; SELECT multitenant.share('ref')");
$mt->refused($app, "INSERT INTO ref VALUES (1, 'x')", 'MT010', 'write to a shared table');
$mt->refused($app, "INSERT INTO ref1 VALUES (1, 'x')", 'MT010', 'write to a partition of a shared table');
$mt->refused('postgres', q{SECURITY LABEL FOR multitenant ON TABLE invoice IS 'tenant {"mode": "paused", "reason": "x", "until": "infinity"}'}, '22023', 'endless pause');
$mt->refused('postgres', q{SECURITY LABEL FOR multitenant ON TABLE invoice IS 'tenant {"mode": "paused", "reason": "x", "until": "2999-01-01 00:00:00+00"}'}, '22023', 'pause of centuries');
$mt->refused($owner, q{CREATE TEMP TABLE t (i int); SECURITY LABEL FOR multitenant ON TABLE t IS 'tenant'}, '42809', 'label on a temporary table');

# The record of a bypass: one for reading does not stand for writing, and a rollback takes it along.
$mt->superuser("BEGIN; SELECT count(*) FROM invoice WHERE false; UPDATE invoice SET note = note; COMMIT");
is($mt->superuser(q{SELECT count(*) FROM multitenant.audit_event WHERE event = 'access.bypass' AND detail @> '{"write": true}'}), '1', 'a write is recorded after a read');
$mt->superuser("BEGIN; SAVEPOINT s; SELECT 1 FROM invoice LIMIT 0; ROLLBACK TO s; UPDATE invoice SET note = note; COMMIT");
is($mt->superuser(q{SELECT count(*) FROM multitenant.audit_event WHERE event = 'access.bypass' AND detail @> '{"write": true}'}), '2', 'a record that was rolled back is made again');

# Who did it is the role that the session has taken, not the definer of a function around it.
$mt->superuser('CREATE FUNCTION note_it() RETURNS void LANGUAGE sql SECURITY DEFINER AS $$ SELECT multitenant.audit(\'by.definer\') $$;
	GRANT regress_mt_app TO regress_mt_trusted');
$mt->log_since;
$mt->allowed('regress_mt_trusted', 'SET ROLE regress_mt_app; SELECT note_it()', undef, 'an event in a definer function');
like($mt->log_since, qr/event="by\.definer".* session_role="regress_mt_trusted" role="regress_mt_app"/, 'is that of the role, in the log');
is($mt->superuser(q{SELECT session_role || ' ' || "current_role" FROM multitenant.audit_event WHERE event = 'by.definer'}),
	'regress_mt_trusted regress_mt_app', 'and in the record');

$mt->intact('every tenant still has its row');
done_testing();
