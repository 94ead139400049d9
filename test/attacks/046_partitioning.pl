# Partitioning by tenant against roles without the right, against owners whose code is run by it and whose labels are
# read by it, and what its tools could be used for past it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest qw(ask);
use Test::More;

my ($app, $owner, $migrator) = qw(regress_mt_app regress_mt_owner regress_mt_migrator);
my $mt = MtTest->new('attack_partitioning');
my ($acme, $beta) = map { "00000000-0000-0000-0000-00000000000$_" } qw(a b);
$mt->superuser(<<"SQL");
GRANT CREATE ON SCHEMA public TO $app;
GRANT $owner TO $migrator;
SQL
# In a session of his own: there is nothing to RESET to.
my ($made, $failed) = $mt->run($owner, <<"SQL");
CREATE SEQUENCE ran_as_owner;
CREATE SEQUENCE ran_as_other;
CREATE SEQUENCE saw_others;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO PUBLIC;
CREATE FUNCTION attack() RETURNS void LANGUAGE plpgsql SET search_path = public AS \$\$
DECLARE
	tenants int;
BEGIN
	IF current_user = '$owner' THEN
		PERFORM nextval('ran_as_owner');
		BEGIN RESET ROLE; EXCEPTION WHEN OTHERS THEN NULL; END;
		BEGIN RESET SESSION AUTHORIZATION; EXCEPTION WHEN OTHERS THEN NULL; END;
	END IF;
	IF current_user NOT IN ('$owner', '$app') THEN
		PERFORM nextval('ran_as_other');
	END IF;
	BEGIN ALTER ROLE $owner SUPERUSER; EXCEPTION WHEN OTHERS THEN NULL; END;
	BEGIN
		EXECUTE 'SELECT count(DISTINCT tenant_id) FROM invoice' INTO tenants;
		IF tenants > 1 THEN PERFORM nextval('saw_others'); END IF;
	EXCEPTION WHEN OTHERS THEN NULL;
	END;
END \$\$;
CREATE FUNCTION boom(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS \$\$ BEGIN PERFORM public.attack(); RETURN \$1; END \$\$;
CREATE FUNCTION boom_trigger() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN PERFORM public.attack(); RETURN NEW; END \$\$;
CREATE TABLE den (tenant_id uuid NOT NULL, id int, x int DEFAULT boom(1), twice int GENERATED ALWAYS AS (boom(x)) STORED,
	PRIMARY KEY (tenant_id, id), CHECK (boom(x) = x));
CREATE INDEX ON den ((x + boom(1))) WHERE boom(1) = 1;
CREATE TABLE child (tenant_id uuid NOT NULL, id int, x int, FOREIGN KEY (tenant_id, x) REFERENCES den);
CREATE VIEW sight AS SELECT boom(x) FROM den;
INSERT INTO den (tenant_id, id) VALUES ('$acme', 1), ('$beta', 2);
INSERT INTO child (tenant_id, id, x) VALUES ('$acme', 1, 1), ('$beta', 2, 2);
SQL
is($failed, '', 'the owner makes his tables');
$mt->superuser(<<"SQL");
CREATE TRIGGER boom BEFORE INSERT OR UPDATE OR DELETE ON den FOR EACH ROW EXECUTE FUNCTION boom_trigger();
CREATE TRIGGER boom_after AFTER INSERT OR UPDATE OR DELETE ON den FOR EACH STATEMENT EXECUTE FUNCTION boom_trigger();
SQL
my ($out, $err) = $mt->run($migrator, "SELECT count(*) > 0 FROM multitenant.protect('den'); SELECT count(*) > 0 FROM multitenant.protect('child')");
is($out, "t\nt", 'a table full of its owner\'s code is protected') or diag($err);

# ---- who may ----

foreach my $call ("SELECT multitenant.partition_by_tenant('invoice')", "SELECT multitenant.partition_by_tenant('invoice', dry_run => true)",
	"SELECT multitenant.set_partition_strategy('invoice', 'dedicated')", "CALL multitenant.isolate_tenant('acme', 'invoice')",
	'CALL multitenant.isolate_new_tenants()', "SELECT multitenant._add_checked_reference('ALTER TABLE public.child ADD CONSTRAINT k FOREIGN KEY (tenant_id, x) REFERENCES public.den')")
{
	$mt->refused($_, $call, '42501', "$_: $call") foreach $app, $owner, qw(regress_mt_trusted regress_mt_provisioner regress_mt_operator regress_mt_auditor);
}

# What the library can run for an owner it runs for nobody else, and no more than the owner himself may do.
my @commands = (
	'LOCK TABLE public.invoice IN ACCESS EXCLUSIVE MODE', 'GRANT ALL ON TABLE public.invoice TO PUBLIC', 'ALTER TABLE public.invoice RENAME TO gone',
	"COMMENT ON TABLE public.invoice IS 'taken'", "COMMENT ON COLUMN public.invoice.note IS 'taken'", 'DROP TRIGGER boom ON public.den',
	'CREATE TRIGGER t BEFORE INSERT ON public.invoice FOR EACH ROW EXECUTE FUNCTION public.boom_trigger()',
	'CREATE OR REPLACE VIEW public.sight AS SELECT 1', 'ALTER SEQUENCE public.ran_as_owner RESTART',
	"INSERT INTO public.invoice (tenant_id, note) VALUES ('$acme', 'x')", 'DELETE FROM public.invoice');
foreach my $command (@commands)
{
	$mt->refused($app, 'SELECT multitenant._run_as_owner(NULL, ' . "\$x\$$command\$x\$)", '42501', "not for others: $command");
}
$mt->refused($owner, "SELECT multitenant._run_as_owner(NULL, \$x\$$_\$x\$)", 'MT010', "an application stays one: $_")
	foreach $commands[0], $commands[6];
$mt->refused($owner, "SELECT multitenant._run_as_owner(NULL, \$x\$$_\$x\$)", 'MT001', "nor is it past the context: $_") foreach @commands[9, 10];
foreach my $command ('DROP TABLE public.invoice', 'TRUNCATE public.invoice',
	'CREATE TABLE public.new (a int); DROP TABLE public.invoice', 'CREATE TEMP TABLE public.new (a int)', 'CREATE ROLE x', 'GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC',
	'COMMENT ON SCHEMA public IS NULL', 'LOCK TABLE public.invoice, public.den', 'ALTER TABLE ALL IN TABLESPACE pg_default SET TABLESPACE x')
{
	$mt->refused($owner, "SELECT multitenant._run_as_owner('invoice', \$x\$$command\$x\$)", '22023', "not its kind of command: $command");
}
$mt->refused($migrator, "SELECT multitenant._add_checked_reference('$_')", '22023', "no foreign key: $_")
	foreach 'ALTER TABLE public.child ADD CONSTRAINT k CHECK (true)', 'ALTER TABLE public.child ADD CONSTRAINT k FOREIGN KEY (tenant_id, x) REFERENCES public.den, DROP COLUMN id',
	'ALTER TABLE public.child DISABLE ROW LEVEL SECURITY';
$mt->refused($app, "SELECT multitenant._confirm_absence('invoice', 'c')", '42501', 'nor does another prove anything about the table');

# A CHECK is marked as valid only where an index shows that it holds.
sub confirms
{
	my ($check, $wanted, $name, $index) = @_;
	$mt->run($owner, "DROP TABLE IF EXISTS proof; CREATE TABLE proof (id int, tenant_id int NOT NULL); INSERT INTO proof VALUES (1, 1)");
	$mt->run($migrator, "SELECT multitenant.protect('proof')");
	$mt->run($owner, "DROP INDEX proof_tenant_id_idx; CREATE INDEX ON proof (id, tenant_id); $index");
	my (undef, $failed) = $mt->run($owner, "ALTER TABLE proof ADD CONSTRAINT c CHECK ($check) NOT VALID");
	is($failed, '', 'the constraint is there');
	my ($out, $err) = $mt->run($migrator, "SELECT multitenant._confirm_absence('proof', 'c')");
	is($err =~ /ERROR:  (\w{5})/ ? $1 : $out, $wanted, $name) or diag($err);
	is($mt->superuser("SELECT convalidated FROM pg_constraint WHERE conname = 'c'"), $wanted eq 't' ? 't' : 'f', "$name: and is marked so");
	return;
}
confirms('tenant_id <> 2', 't', 'a row that is not there', 'CREATE INDEX ON proof (tenant_id)');
confirms('tenant_id <> 1', 'f', 'a row that is there', 'CREATE INDEX ON proof (tenant_id)');
confirms('id <> 2', '22023', 'another column', 'CREATE INDEX ON proof (id)');
confirms('tenant_id <> 2', 'f', 'no index', '');
confirms('tenant_id <> 1', 'f', 'a partial index', 'CREATE INDEX ON proof (tenant_id) WHERE id > 1');
confirms('tenant_id < 1', 'f', 'another operator', 'CREATE INDEX ON proof (tenant_id)');
is($mt->superuser("SELECT count(*) FROM pg_trigger WHERE tgname = 't'"), '0', 'no trigger was made');

# ---- the owner's code and his labels ----

# Tables of others say that they are the copy that rows are to go to; labels say nonsense.
foreach my $label ("{\"isolation\": {\"table\": \"public.den\", \"tenant\": \"$acme\", \"phase\": \"ready\", \"rows\": 0, \"block\": 0, \"of_blocks\": 0}}",
	'{"isolation": {"table": "public.den", "tenant": "me", "rows": "many"}}', '{"isolation": {"table": "a.b.c.d.\"", "tenant": 1}}', '{"isolation": [], "new_tenants": {}}', '{"isolation": 1}')
{
	my $n = ++$main::count;
	$mt->allowed($app, "CREATE TABLE trap_$n (tenant_id uuid NOT NULL, id int, x int, twice int, PRIMARY KEY (tenant_id, id));
		SELECT multitenant.protect('trap_$n');", undef, "trap $n");
	$mt->superuser("SECURITY LABEL FOR multitenant ON TABLE trap_$n IS 'tenant $label'");
}
is($mt->superuser('SELECT count(*) FROM multitenant.isolations'), '0', 'labels of others are no moves');
$mt->allowed('postgres', "SELECT multitenant.partition_by_tenant('den')", undef, 'a superuser partitions the owner\'s table');
my ($first) = $mt->run('postgres', "CALL multitenant.isolate_tenant('acme', 'den')");
# (Seen by an application: a superuser who reads the table runs its owner's code himself.)
my $seen = 'SELECT tableoid::regclass, tenant_id FROM den';
$mt->superuser("GRANT SELECT ON den TO $app");
$mt->allowed($app, $mt->begin('acme') . $seen, "\nden_tenant_1|$acme", 'and a tenant gets its partition');
$mt->allowed($app, $mt->begin('beta') . $seen, "\nden_shared_tenants|$beta", 'and the other stays');
$mt->allowed($migrator, "CALL multitenant.isolate_tenant('beta', 'den', 1)", undef, 'a migrator does the next');
$mt->allowed($app, $mt->begin('beta') . $seen, "\nden_tenant_2|$beta", 'which is there');
is($mt->superuser('SELECT sum(n) FROM (' . join(' UNION ALL ', map { "SELECT count(*) FROM trap_$_" } 1 .. 5) . ') AS x(n)'), '0', 'nothing has gone into the traps');
is($mt->superuser('SELECT is_called FROM ran_as_owner'), 't', 'the owner\'s code has run');
is($mt->superuser('SELECT is_called FROM ran_as_other'), 'f', 'as nobody but him');
is($mt->superuser('SELECT is_called FROM saw_others'), 'f', 'and has not seen rows of several tenants');
is($mt->superuser("SELECT rolsuper FROM pg_roles WHERE rolname = '$owner'"), 'f', 'and has gained nothing');

# ---- the partitions ----

$mt->superuser("GRANT SELECT ON den_tenant_1, den_tenant_2, den_shared_tenants TO $app");
$mt->refused($app, "SELECT * FROM $_", 'MT001', "no context, no rows of $_") foreach qw(den den_tenant_1 den_shared_tenants);
$mt->allowed($app, $mt->begin('acme') . 'SELECT count(*) FROM den_tenant_2', "\n0", 'another tenant\'s partition is empty, also for who may name it');
$mt->refused($owner, 'ALTER TABLE den DETACH PARTITION den_tenant_2; ALTER TABLE den_tenant_2 DISABLE ROW LEVEL SECURITY', 'MT010', 'what has left stays protected');
$mt->refused($owner, "CREATE TABLE bare (LIKE den); ALTER TABLE den ATTACH PARTITION bare FOR VALUES IN ('00000000-0000-0000-0000-00000000000c')", 'MT010', 'no partition without protection comes');
$mt->intact('every tenant still has its row');
done_testing();
