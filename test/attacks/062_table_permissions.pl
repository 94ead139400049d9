# Tables that ask for permissions and filter rows by scope: who has no permission does nothing, whatever the way there;
# what weakens that is refused, or closes the table; and what is recorded of break-glass and of operators who look in.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use Test::More;

my $mt = MtTest->new('permissions', conf => 'max_prepared_transactions = 2');
my ($app, $owner, $migrator) = qw(regress_mt_app regress_mt_owner regress_mt_migrator);
my ($acme, $beta) = map { "00000000-0000-0000-0000-00000000000$_" } qw(a b);
my ($nil, $doer, $reader, $master) = map { "00000000-0000-0000-0000-$_" } qw(000000000000 0000000000d1 0000000000d2 0000000000d3);
my ($one, $below, $two) = map { "00000000-0000-0000-0000-0000000000$_" } qw(c1 c2 c3);

# dora: everything everywhere; rick reads everywhere; cleo: everything in one scope, and reads in another; nora: nothing.
# In beta the scope that cleo has in acme is dora's alone.
$mt->superuser(<<"SQL");
INSERT INTO multitenant.permission (name, description) SELECT r || ':' || a, '' FROM unnest('{vm,disk}'::text[]) r, unnest('{read,create,update,delete}'::text[]) a;
INSERT INTO multitenant.principal (id) VALUES ('dora'), ('rick'), ('cleo'), ('nora'), ('olga'), ('greg');
INSERT INTO multitenant.member (tenant_id, principal) SELECT '$acme', id FROM multitenant.principal WHERE id <> 'olga' UNION ALL VALUES ('$beta'::uuid, 'dora'), ('$beta', 'cleo');
INSERT INTO multitenant.role (id, tenant_id, name) VALUES ('$doer', '$nil', 'doer'), ('$reader', '$nil', 'reader');
INSERT INTO multitenant.role_permission (role_id, tenant_id, permission) VALUES ('$doer', '$nil', 'vm:*'), ('$reader', '$nil', 'vm:read');
INSERT INTO multitenant.scope (tenant_id, id, parent_id) VALUES ('$acme', '$one', NULL), ('$acme', '$below', '$one'), ('$acme', '$two', NULL), ('$beta', '$one', NULL);
INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id, scope_id) VALUES ('$acme', false, 'dora', '$doer', NULL),
	('$acme', false, 'rick', '$reader', NULL), ('$acme', false, 'cleo', '$doer', '$one'), ('$acme', false, 'cleo', '$reader', '$two'), ('$beta', false, 'dora', '$doer', NULL);
SET ROLE $owner;
CREATE TABLE vm (tenant_id uuid, id int, cluster uuid, note text, PRIMARY KEY (tenant_id, id));
CREATE TABLE disk (tenant_id uuid, vm_id int, note text, FOREIGN KEY (tenant_id, vm_id) REFERENCES vm ON DELETE CASCADE);
INSERT INTO vm VALUES ('$acme', 1, '$one', 'SEEN-1'), ('$acme', 2, '$below', 'SEEN-2'), ('$acme', 3, '$two', 'READ-3'), ('$acme', 4, NULL, 'HIDDEN-4'),
	('$acme', 5, gen_random_uuid(), 'HIDDEN-5'), ('$beta', 1, '$one', 'SECRET-BETA');
INSERT INTO disk VALUES ('$acme', 1, 'of 1'), ('$acme', 4, 'of 4');
SELECT multitenant.protect('disk');
SELECT multitenant.protect('vm', permissions => 'vm');
GRANT SELECT, INSERT, UPDATE, DELETE ON vm, disk TO $app, $migrator;
CREATE VIEW lent AS SELECT * FROM vm;
CREATE VIEW unlent WITH (security_invoker) AS SELECT * FROM vm;
CREATE FUNCTION counted() RETURNS bigint LANGUAGE plpgsql AS \$\$ BEGIN RETURN (SELECT count(*) FROM vm); END \$\$;
CREATE FUNCTION lent() RETURNS SETOF vm LANGUAGE sql SECURITY DEFINER AS 'SELECT * FROM vm';
CREATE FUNCTION spy(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS \$\$ BEGIN RAISE NOTICE 'spied %', \$1; RETURN true; END \$\$;
GRANT SELECT, INSERT, UPDATE, DELETE ON lent, unlent TO $app;
SQL

sub as { my ($who, $tenant) = @_; return $mt->begin($tenant // 'acme', sub => $who) }
sub denied { my ($who, $statement, $name) = @_; return $mt->refused($app, as($who) . $statement, '42501', $name, tenant => 'acme') }

# ---- once for each statement ----
my %statements = (
	read => [ 'SELECT count(*) FROM vm', 'COPY vm (id) TO STDOUT', 'SELECT 1 WHERE EXISTS (SELECT FROM vm)', 'SELECT count(*) FROM lent', 'SELECT count(*) FROM unlent',
		'SELECT count(*) FROM lent()', 'TABLE vm', 'SELECT * FROM vm WHERE false', 'INSERT INTO disk (vm_id) SELECT id FROM vm', 'DECLARE c CURSOR FOR SELECT * FROM vm',
		'DO $$ BEGIN PERFORM FROM vm; END $$', 'PREPARE p AS SELECT * FROM vm; EXECUTE p', 'WITH w AS MATERIALIZED (SELECT * FROM vm) SELECT count(*) FROM w', 'SELECT count(*) FROM ONLY vm',
		"SET @{[$mt->parallel_setting]} = on; SELECT count(*) FROM vm" ],
	create => [ "INSERT INTO vm (id) VALUES (9)", "COPY vm (id) FROM STDIN;\n9\n\\.\n", 'INSERT INTO vm (id) SELECT 1 WHERE false', 'INSERT INTO unlent (id) VALUES (9)',
		'INSERT INTO lent (id) VALUES (9)', 'INSERT INTO vm (id) VALUES (1) ON CONFLICT DO NOTHING', 'WITH w AS (INSERT INTO vm (id) VALUES (9)) SELECT 1',
		'MERGE INTO vm USING (VALUES (9)) n(id) ON vm.id = n.id WHEN NOT MATCHED THEN INSERT (id) VALUES (9)' ],
	update => [ "UPDATE vm SET note = ''", "UPDATE vm SET note = '' WHERE id = 1", "UPDATE vm SET note = '' WHERE false", "UPDATE lent SET note = ''", 'SELECT * FROM vm FOR UPDATE',
		'SELECT * FROM vm FOR KEY SHARE', "INSERT INTO vm (id) VALUES (1) ON CONFLICT (tenant_id, id) DO UPDATE SET note = ''", "UPDATE vm SET note = ''",
		"MERGE INTO vm USING (VALUES (1)) n(id) ON vm.id = n.id WHEN MATCHED THEN UPDATE SET note = ''" ],
	delete => [ 'DELETE FROM vm', 'DELETE FROM vm WHERE id = 1', 'DELETE FROM vm WHERE false', 'DELETE FROM lent', 'WITH w AS (DELETE FROM vm) SELECT 1',
		'MERGE INTO vm USING (VALUES (1)) n(id) ON vm.id = n.id WHEN MATCHED THEN DELETE' ]);
foreach my $action (sort keys %statements)
{
	foreach my $statement (@{ $statements{$action} })
	{
		denied('nora', $statement, "$action, without any permission: $statement");
		denied('rick', $statement, "$action, with vm:read alone: $statement") if $action ne 'read';
		$mt->allowed($app, as('dora') . $statement, undef, "$action, with the permission: $statement", tenant => 'acme');
	}
}
denied('stranger', 'TABLE vm', 'who is no member');
denied('cleo', 'TABLE vm', 'a right in one scope is none on a table without scopes');
denied(undef, 'TABLE vm', 'a context without a principal');
$mt->refused($app, as('rick', 'beta') . 'TABLE vm', '42501', 'who is a member of another tenant', tenant => 'beta');
$mt->refused($app, 'TABLE vm', 'MT001', 'nobody at all');
$mt->allowed($app, as('nora') . 'DELETE FROM disk', undef, 'a table that asks for nothing');
$mt->allowed($app, as('nora') . "INSERT INTO disk (vm_id) VALUES (1) RETURNING 'probed'", 'probed', 'a foreign key asks for no permission');

# ---- by scope ----
$mt->superuser("SELECT multitenant.set_permissions('vm', 'vm', 'cluster')");
my $none = qr/HIDDEN|SECRET/;
foreach my $query ('SELECT note FROM vm', 'SELECT note FROM lent', 'SELECT note FROM unlent', 'SELECT note FROM lent()', 'COPY vm (note) TO STDOUT', 'SELECT note FROM vm WHERE spy(note)',
	"SELECT note FROM vm WHERE spy(note) AND id > 0 OFFSET 0", "SELECT note FROM vm WHERE note ~ 'H' OR spy(note)", 'SELECT max(note) FROM vm',
	'SELECT v.note FROM vm v JOIN vm w ON spy(w.note)', "SELECT string_agg(note, '') FROM (TABLE vm UNION ALL TABLE vm) v",
	"SET enable_seqscan = off; SELECT note FROM vm WHERE spy(note)", "SET @{[$mt->parallel_setting]} = on; SELECT note FROM vm",
	"SELECT note FROM vm TABLESAMPLE SYSTEM (100) WHERE spy(note)", "UPDATE vm SET note = note RETURNING note", 'SELECT note FROM vm FOR SHARE', 'DELETE FROM vm RETURNING note',
	"UPDATE vm SET note = note WHERE spy(note) RETURNING note", "INSERT INTO disk SELECT tenant_id, id, note FROM vm RETURNING note")
{
	my ($out, $err) = $mt->run($app, as('cleo') . $query);
	ok(($out =~ /SEEN|READ/ and "$out$err" !~ $none), "only what is in the scopes: $query") or diag("$out\n$err");
	($out, $err) = $mt->run($app, as('cleo', 'beta') . $query);
	ok(($err =~ /42501/ and "$out$err" !~ /SEEN|READ|$none/), "and in another tenant nothing: $query") or diag("$out\n$err");
}
$mt->allowed($app, as('dora') . 'SELECT string_agg(id::text, $$,$$ ORDER BY id) FROM vm', '1,2,3,4,5', 'rights in the whole tenant reach rows of no scope', tenant => 'acme');
foreach my $statement ("INSERT INTO vm (id, cluster) VALUES (9, '$two')", "INSERT INTO vm (id) VALUES (9)", "INSERT INTO vm (id, cluster) VALUES (9, gen_random_uuid())",
	"UPDATE vm SET cluster = '$two' WHERE id = 1", "UPDATE vm SET cluster = NULL WHERE id = 1", "UPDATE vm SET cluster = gen_random_uuid()", "COPY vm (id, cluster) FROM STDIN;\n9\t$two\n\\.\n",
	"INSERT INTO vm (id, cluster) VALUES (3, '$one') ON CONFLICT (tenant_id, id) DO UPDATE SET note = ''", "INSERT INTO vm (id, cluster) VALUES (4, '$one') ON CONFLICT (tenant_id, id) DO UPDATE SET note = EXCLUDED.note",
	"MERGE INTO vm USING (VALUES (3)) n(id) ON vm.id = n.id WHEN MATCHED THEN DELETE")
{
	denied('cleo', $statement, "a row that comes to be where it must not: $statement");
}
foreach my $statement ("UPDATE vm SET note = '' WHERE id IN (3, 4, 5)", 'DELETE FROM vm WHERE id IN (3, 4, 5)', "UPDATE vm SET cluster = '$one' WHERE id IN (3, 4, 5)")
{
	$mt->allowed($app, as('cleo') . "WITH w AS ($statement RETURNING 1) SELECT count(*) || ' rows' FROM w", '0 rows', "rows that are not there: $statement");
}
$mt->allowed($app, as('cleo') . "UPDATE vm SET cluster = '$below' WHERE id = 1 RETURNING 'moved'", 'moved', 'a row goes from one scope to another where both may be changed');
my ($out) = $mt->run($app, as('nora') . "SELECT multitenant.in_scope('$one'::uuid, 'vm:read')::text || multitenant.in_scope(NULL::uuid, 'vm:read') || multitenant.in_scope('$one', 'vm:delete')");
like($out, qr/falsefalsefalse/, 'in_scope() says of everybody what he has himself');
$mt->refused($app, as('cleo') . "SELECT multitenant.in_scope('$one'::uuid, 'vm:raed')", '42704', 'and that there is no such permission', tenant => 'acme');
is($mt->superuser("SELECT count(*) FROM pg_proc WHERE proname = 'in_scope' AND (proleakproof OR provolatile <> 's')"), '0', 'nor does it see rows before the tenant\'s condition does');

# ---- other principals in one session ----
foreach my $mode ('force_generic_plan', 'force_custom_plan')
{
	my $session = $mt->session($app, pgoptions => "-c plan_cache_mode=$mode");
	my @counts;
	foreach my $who (qw(dora cleo rick dora cleo))
	{
		MtTest::ask($session, as($who));
		push @counts, MtTest::ask($session, 'SELECT counted()');
		MtTest::ask($session, 'COMMIT');
	}
	is("@counts", '5 3 5 5 3', "what was planned for one is right for the next: $mode");
	$session->quit;
}

# ---- revocations reach open transactions ----
sub give { return "INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id, scope_id) VALUES ('$acme', false, 'cleo', '$doer', '$one')" }
my $take = "DELETE FROM multitenant.role_assignment WHERE assignee = 'cleo' AND scope_id = '$one'";
my $take_all = "DELETE FROM multitenant.role_assignment WHERE assignee = 'cleo'";
foreach my $level ('READ COMMITTED', 'REPEATABLE READ')
{
	my $session = $mt->session($app);
	MtTest::ask($session, "SET default_transaction_isolation = '$level'");
	MtTest::ask($session, as('cleo'));
	is(MtTest::ask($session, 'SELECT count(*) FROM vm'), '3', "$level: before the revocation");
	MtTest::ask($session, 'DECLARE c CURSOR FOR SELECT id FROM vm ORDER BY id; DECLARE d CURSOR FOR SELECT id FROM vm ORDER BY id DESC');
	is(MtTest::ask($session, 'FETCH c'), '1', "$level: a cursor begins");
	$mt->superuser($take);
	is(MtTest::ask($session, 'SELECT count(*) FROM vm'), '1', "$level: the next statement sees less");
	MtTest::ask($session, 'SAVEPOINT s');
	is(MtTest::ask($session, "UPDATE vm SET note = ''"), '42501', "$level: or is refused");
	MtTest::ask($session, 'ROLLBACK TO s');
	is(MtTest::ask($session, 'FETCH ALL FROM c'), '3', "$level: the cursor goes on with what is left");
	$mt->superuser($take_all);
	is(MtTest::ask($session, 'FETCH d'), '42501', "$level: and ends with the last right");
	MtTest::ask($session, 'ROLLBACK TO s');
	is(MtTest::ask($session, 'SELECT count(*) FROM vm'), '42501', "$level: as does everything");
	MtTest::ask($session, 'ROLLBACK');
	$session->quit;
	$mt->superuser(give() . "; INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id, scope_id) VALUES ('$acme', false, 'cleo', '$reader', '$two')");
}
{
	my $session = $mt->session($app);
	MtTest::ask($session, as('cleo'));
	is(MtTest::ask($session, 'SELECT count(*) FROM vm'), '3', 'a member');
	$mt->superuser("UPDATE multitenant.member SET state = 'suspended' WHERE principal = 'cleo'");
	is(MtTest::ask($session, 'SELECT count(*) FROM vm'), 'MT008', 'who is suspended has nothing there any more');
	MtTest::ask($session, 'ROLLBACK');
	$mt->superuser("UPDATE multitenant.member SET state = 'active' WHERE principal = 'cleo'");
	MtTest::ask($session, as('cleo'));
	$mt->superuser("UPDATE multitenant.scope SET parent_id = NULL WHERE id = '$below'");
	is(MtTest::ask($session, 'SELECT count(*) FROM vm'), '2', 'a scope that moves takes its rows along');
	MtTest::ask($session, 'ROLLBACK');
	$mt->superuser("UPDATE multitenant.scope SET parent_id = '$one' WHERE id = '$below'");
	$mt->superuser("UPDATE multitenant.role_assignment SET expires_at = now() - interval '1 second' WHERE assignee = 'cleo'");
	MtTest::ask($session, as('cleo'));
	is(MtTest::ask($session, 'SELECT count(*) FROM vm'), '42501', 'what has expired is nothing');
	MtTest::ask($session, 'ROLLBACK');
	$session->quit;
	$mt->superuser("UPDATE multitenant.role_assignment SET expires_at = NULL WHERE assignee = 'cleo'");
}

# A row that another transaction moves meanwhile is tested again (EvalPlanQual).
{
	my ($one_session, $other) = map { $mt->session($app) } 1 .. 2;
	MtTest::ask($one_session, as('dora'));
	MtTest::ask($one_session, "UPDATE vm SET cluster = '$two', note = 'HIDDEN-1' WHERE id = 1");
	MtTest::ask($other, as('cleo'));
	$other->query_until(qr/begun/, "\\echo begun\nUPDATE vm SET note = 'mine' WHERE id = 1 RETURNING note;\n");
	$mt->node->poll_query_until('app', "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted");
	MtTest::ask($one_session, 'COMMIT');
	is(MtTest::ask($other, 'SELECT note FROM vm WHERE id = 1'), 'HIDDEN-1', 'a row that was moved away meanwhile was not changed');
	MtTest::ask($other, 'ROLLBACK');
	$_->quit foreach $one_session, $other;
	$mt->superuser("UPDATE vm SET cluster = '$one', note = 'SEEN-1' WHERE tenant_id = '$acme' AND id = 1");
}

# ---- who weakens it ----
foreach my $role ($owner, $app)
{
	foreach my $command ('DROP POLICY multitenant_scope_select ON vm', 'ALTER POLICY multitenant_scope_select ON vm USING (true)', 'ALTER POLICY multitenant_scope_update ON vm WITH CHECK (true)',
		'ALTER POLICY multitenant_scope_insert ON vm RENAME TO other', "SECURITY LABEL FOR multitenant ON TABLE vm IS 'tenant'", 'SECURITY LABEL FOR multitenant ON TABLE vm IS NULL',
		q(SECURITY LABEL FOR multitenant ON TABLE vm IS 'tenant {"permissions": "vm"}'), q(SECURITY LABEL FOR multitenant ON TABLE vm IS 'tenant {"permissions": "disk", "scoped": true}'),
		'SECURITY LABEL FOR multitenant ON COLUMN vm.cluster IS NULL', "SECURITY LABEL FOR multitenant ON COLUMN vm.id IS 'scope_column'", "SELECT multitenant.set_permissions('vm', NULL)",
		"SELECT multitenant.set_permissions('vm', 'disk')", "SELECT multitenant.set_permissions('vm', 'vm')", "SELECT * FROM multitenant.protect('vm', permissions => 'disk')",
		'ALTER TABLE vm DROP COLUMN cluster CASCADE', 'ALTER TABLE vm DISABLE ROW LEVEL SECURITY', "SELECT multitenant.unprotect('vm')",
		'CREATE POLICY multitenant_scope_other ON vm USING (true)', 'CREATE POLICY wide ON vm FOR SELECT USING (true)', "SELECT multitenant._run_as_owner('vm', 'DROP POLICY multitenant_scope_select ON vm')")
	{
		my (undef, $err) = $mt->run($role, $command);
		my $state = $mt->superuser("SELECT is_intact || coalesce(permissions, '') || coalesce(scope_column, '') FROM multitenant._protection('vm')");
		my ($shown) = $mt->run($app, as('cleo') . 'SELECT note FROM vm');
		# Whoever owns a table can have the library run a command that closes it.
		ok((($err =~ /42501|MT010|55000|22023/ and $state eq 'truevmcluster') or ($command =~ /_run_as_owner/ and $shown !~ $none)), "$role: $command") or diag("$state $err");
		$mt->superuser("SELECT * FROM multitenant.repair('vm')") if $state ne 'truevmcluster';
	}
}
# What succeeds past the guard closes the table for everybody.
foreach my $command ('DROP POLICY multitenant_scope_select ON vm', "ALTER POLICY multitenant_scope_select ON vm USING (multitenant.in_scope(cluster, 'disk:read'))",
	"ALTER POLICY multitenant_scope_select ON vm USING (multitenant.in_scope(id, 'vm:read'))", "ALTER POLICY multitenant_scope_select ON vm USING (multitenant.in_scope(cluster, 'vm:read') OR true)",
	"ALTER POLICY multitenant_scope_insert ON vm WITH CHECK (true)", "ALTER POLICY multitenant_scope_update ON vm USING (true)", 'DROP POLICY multitenant_scope_delete ON vm',
	"ALTER POLICY multitenant_scope_update ON vm WITH CHECK (multitenant.in_scope(cluster, 'vm:read'))", 'ALTER POLICY multitenant_scope_select ON vm TO regress_mt_migrator')
{
	$mt->past_guard($owner, $command);
	$mt->refused($app, as('dora') . 'TABLE vm', 'MT007', "closed: $command", tenant => 'acme');
	$mt->superuser("SELECT * FROM multitenant.repair('vm')");
	is($mt->superuser("SELECT is_intact || permissions || scope_column FROM multitenant._protection('vm')"), 'truevmcluster', "and repaired: $command");
}
# The column that goes takes policies and label along; the label of the table still says that there was one.
is($mt->superuser("SET multitenant.guard_enabled = off; BEGIN; ALTER TABLE vm DROP COLUMN cluster CASCADE; SELECT is_intact FROM multitenant._protection('vm'); ROLLBACK"), 'f',
	'without its scope column the table is closed');

# ---- a dump brings it along ----
my $dump = $mt->node->basedir . '/app.sql';
$mt->node->command_ok([ 'pg_dump', '-d', $mt->node->connstr('app'), '-f', $dump ], 'a dump');
$mt->node->safe_psql('postgres', 'CREATE DATABASE again');
$mt->node->command_ok([ 'psql', '-X', '-q', '-d', $mt->node->connstr('again'), '-f', $dump ], 'and its restore');
is($mt->node->safe_psql('again', "SELECT is_intact || permissions || scope_column FROM multitenant._protection('vm')"), 'truevmcluster', 'and the restored table asks for the same');
is($mt->node->safe_psql('again', "SELECT count(*) FROM multitenant.permission WHERE name ~ '^vm:'"), '4', 'permissions that there are');

# ---- what is recorded ----
{
	$mt->superuser("INSERT INTO multitenant.break_glass (tenant_id, principal, role_id, holds_from, ends_at, duration, reason) VALUES ('$acme', 'greg', '$doer', now() - interval '1 minute', now() + interval '1 hour', '1 hour', 'test');");
	$mt->run($app, as('dora') . 'SELECT count(*) FROM vm; COMMIT');
	is($mt->superuser("SELECT count(*) FROM multitenant.audit_log WHERE event = 'break_glass.use'"), '0', 'nobody else is recorded');
	$mt->allowed($app, as('greg') . "SELECT 'sees ' || count(*) FROM vm; SELECT count(*) FROM vm; SELECT count(*) FROM disk; UPDATE vm SET note = note; COMMIT", 'sees 5', 'break-glass');
	is($mt->superuser("SELECT string_agg(object || ' ' || (detail ->> 'write'), ', ' ORDER BY object, detail ->> 'write') FROM multitenant.audit_log WHERE event = 'break_glass.use'"),
		'public.disk false, public.vm false, public.vm true', 'is recorded once for each table and way');
	$mt->superuser("UPDATE multitenant.break_glass SET closed_at = now()");
	$mt->refused($app, as('greg') . 'TABLE vm', '42501', 'and over when it is closed');
}
{
	$mt->superuser("INSERT INTO multitenant.master_account (id, name) VALUES ('$master', 'looker');
		INSERT INTO multitenant.master_tenant (tenant_id, master_id) VALUES ('$acme', '$master');
		INSERT INTO multitenant.operator (tenant_id, principal, master_id, role_id) VALUES ('$acme', 'olga', '$master', '$reader');
		UPDATE multitenant.tenant SET visibility = 'supervised' WHERE id = '$acme';
		INSERT INTO multitenant.supervision (tenant_id, principal, ends_at, reason) VALUES ('$acme', 'olga', now() + interval '1 hour', 'test')");
	$mt->allowed($app, $mt->begin('acme', sub => 'olga', kind => 'supervised') . "SELECT 'sees ' || count(*) FROM vm; SELECT count(*) FROM disk; COMMIT", 'sees 5', 'an operator looks in');
	is($mt->superuser("SELECT string_agg(object, ', ' ORDER BY object) FROM multitenant.audit_log WHERE event = 'supervised.read'"), 'public.disk, public.vm', 'and each table is recorded');
	$mt->refused($app, $mt->begin('acme', sub => 'olga', kind => 'supervised') . "UPDATE vm SET note = ''", '25006', 'and changes nothing');
}
$mt->intact('nothing of others was changed');
done_testing();
