# explain_access() and test_isolation(): whose rights the code of a table gets, what stays, who may ask, and that the
# attempts of test_isolation() would notice.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use Test::More;

my $mt = MtTest->new('explain');
$mt->superuser(<<'SQL');
SET ROLE regress_mt_owner;
CREATE FUNCTION seen(text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$ BEGIN RAISE WARNING 'policy called by %', current_user; RETURN true; END $$;
CREATE FUNCTION acting() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$ BEGIN RAISE WARNING 'volatile policy called by %', current_user; RETURN true; END $$;
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'trigger called by %', current_user; RETURN NEW; END $$;
CREATE FUNCTION folded(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE WARNING 'index called by %', current_user; RETURN $1; END $$;
CREATE FUNCTION checked(text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$ BEGIN RAISE WARNING 'domain called by %', current_user; RETURN true; END $$;
CREATE DOMAIN checked_text AS text CHECK (checked(VALUE));
ALTER TABLE invoice ADD COLUMN checked checked_text;
CREATE POLICY seen ON invoice AS RESTRICTIVE FOR SELECT USING (seen(note));
CREATE POLICY volatile ON invoice AS RESTRICTIVE FOR DELETE USING (acting());
RESET ROLE;
CREATE TRIGGER noted BEFORE INSERT OR UPDATE ON invoice FOR EACH ROW EXECUTE FUNCTION noted();
SQL
# Not before the rows are there: the superuser's own statements would call it.
$mt->superuser('SET client_min_messages = error; SET ROLE regress_mt_owner; CREATE INDEX ON invoice (folded(1))');
my $acme_row = $mt->superuser("SELECT id FROM invoice WHERE note = 'SECRET-ACME'");
my $beta_row = $mt->superuser("SELECT id FROM invoice WHERE note = 'SECRET-BETA'");
chomp(my $superuser = $mt->superuser('SELECT current_user'));
my $ask = sub { my ($row, $rest) = @_; return "SELECT layer, verdict, detail FROM multitenant.explain_access('invoice', '$row'::uuid$rest);"; };
my $test = "SELECT multitenant.test_isolation('invoice', confirm => 'app');";

# ---- whose rights ----

my ($out, $err) = $mt->run($superuser, $ask->($acme_row, ''));
like($out, qr/^row\|pass\|the row is there; it belongs to tenant acme$/m, 'an administrator learns whose a row is');
unlike($err, qr/called by/, 'and no code of the table is called for it');
($out, $err) = $mt->run($superuser, $ask->($acme_row, ", 'delete', role => 'regress_mt_app', tenant => 'acme'"));
like($err, qr/policy called by regress_mt_app/, 'policies are asked as the role that is meant');
unlike($err, qr/called by \Q$superuser\E/, 'nothing of them is called by the superuser');
unlike($err, qr/volatile policy called/, 'volatile policies are not called');
like($out, qr/^policy volatile\|unknown\|.*volatile function$/m, 'and the answer says so');
($out, $err) = $mt->run($superuser, $ask->($beta_row, ", role => 'regress_mt_app', tenant => 'acme'"));
unlike($err, qr/policy called/, 'nor does a policy see another tenant\'s row');
unlike($err, qr/domain called/, 'nor does the check of a domain');
($out, $err) = $mt->run($superuser, $test);
like($err, qr/trigger called by regress_mt_app/, 'attempts are made as an application role');
unlike($err, qr/called by \Q$superuser\E/, 'no code of the table is called by the superuser in a test');
unlike($out, qr/^not ok/m, 'a protected table passes');
like($out, qr/^ok \d+ - acme cannot insert a row of beta \(42501\)$/m, 'having tried to insert');

# ---- what stays ----

my $state = q{SELECT string_agg(t::text, ' ' ORDER BY id) FROM invoice t;};
my $before = $mt->superuser($state);
$mt->run($superuser, "BEGIN; $test COMMIT;");
is($mt->superuser($state), $before, 'nothing stays of a test, also where the transaction commits');
$mt->superuser('SET client_min_messages = error; CREATE TABLE bare (tenant_id uuid, id int DEFAULT 1, PRIMARY KEY (tenant_id, id)); ALTER TABLE bare OWNER TO regress_mt_owner; '
	. "SELECT multitenant.protect('bare'); GRANT SELECT, INSERT, UPDATE, DELETE ON bare TO regress_mt_app");
($out) = $mt->run($superuser, "SELECT multitenant.test_isolation('bare', confirm => 'app'); SELECT 'left ' || count(*) FROM bare;");
like($out, qr/^ok \d+ - acme reads a row of its own$/m, 'rows are made for a test where there are none');
like($out, qr/^left 0$/m, 'nor do the rows stay that it makes');
($out, $err) = $mt->run($superuser, "BEGIN; $test SELECT 'state ' || state FROM multitenant.context; SELECT 'now ' || multitenant.use_tenant('beta'); COMMIT;");
like($out, qr/^state none$/m, 'there is no context after a test');
like($out, qr/^now [0-9a-f-]+$/m, 'and the transaction may still have one');

($out) = $mt->run($superuser, "BEGIN; SELECT sqlstate, rows FROM multitenant._try('regress_mt_app', '00000000-0000-0000-0000-00000000000a', 'DELETE FROM bare'); "
	. "SELECT sqlstate FROM multitenant._try('regress_mt_app', '00000000-0000-0000-0000-00000000000a', 'INSERT INTO bare DEFAULT VALUES'); COMMIT; SELECT 'left ' || count(*) FROM bare;");
is($out, "00000|0\n00000\nleft 0", 'a command that is tried is undone');

# ---- who may ----

($out, $err) = $mt->run($superuser, "BEGIN; SELECT multitenant.use_tenant('acme'); $test");
like($err, qr/MT005/, 'not in a transaction that has a context');
($out, $err) = $mt->run($superuser, "SELECT multitenant.test_isolation('invoice');");
like($err, qr/55000/, 'not in a database that is not marked');
($out, $err) = $mt->run('regress_mt_migrator', $test);
like($err, qr/42501/, 'a test is for superusers');
($out, $err) = $mt->run('regress_mt_migrator', $ask->($beta_row, ", tenant => 'beta'"));
like($err, qr/42501/, 'asking for others is for superusers');
$mt->superuser(<<'SQL');
GRANT EXECUTE ON FUNCTION multitenant._rows_by_key(regclass, text[], text[], text), multitenant._try(name, uuid, text, boolean, boolean) TO regress_mt_owner;
SET ROLE regress_mt_owner;
CREATE FUNCTION looks(OUT answer text) LANGUAGE sql SECURITY DEFINER AS $$ SELECT row_text FROM multitenant._rows_by_key('invoice', '{note}', '{SECRET-BETA}', 'tenant_id') $$;
CREATE FUNCTION acts(OUT answer text) LANGUAGE sql SECURITY DEFINER AS $$ SELECT value FROM multitenant._try('pg_database_owner', NULL, 'SELECT current_user') $$;
SQL
($out, $err) = $mt->run($superuser, 'SELECT looks();');
like($err, qr/42501/, 'a definer function does not look at rows for a superuser who calls it');
($out, $err) = $mt->run($superuser, 'SELECT acts();');
like($err, qr/42501/, 'nor does it act as other roles');

# ---- no oracle ----

my $absent = '00000000-0000-0000-0000-000000000000';
foreach my $command (qw(select update delete))
{
	my ($there) = $mt->run('regress_mt_app', $mt->begin('acme') . $ask->($beta_row, ", '$command'"));
	my ($not_there) = $mt->run('regress_mt_app', $mt->begin('acme') . $ask->($absent, ", '$command'"));
	is($there, $not_there, "$command: another tenant's row and none read the same");
	like($there, qr/^row\|stop\|no row/m, "$command: and that is that no row is visible");
}

# ---- a broken table ----

$mt->superuser('SET client_min_messages = error; DROP TRIGGER noted ON invoice; DROP POLICY seen ON invoice; DROP POLICY volatile ON invoice');
$mt->superuser('SET multitenant.guard_enabled = off; DROP POLICY multitenant_isolation ON invoice; DROP POLICY multitenant_access ON invoice; '
	. 'CREATE POLICY everything ON invoice USING (true)');
($out) = $mt->run($superuser, $test);
like($out, qr/^not ok 1 - the table is protected/m, 'with the guard a broken table is found');
like($out, qr/^not ok \d+ - acme reads a row of its own\n# .*MT007/m, 'and the guard refuses it');
like($out, qr/^ok \d+ - without a context nothing is read/m, 'and lends the role nothing of the superuser');
($out) = $mt->run($superuser, "SET multitenant.guard_enabled = off; $test");
like($out, qr/^not ok \d+ - \Q$_\E/m, "without the guard this is not ok: $_") foreach 'without a context nothing is read',
	'without a context nothing is inserted', 'acme selects nothing of beta', 'acme counts rows of its own only', 'acme finds no row of beta by its key',
	'nor does the owner of the table see beta as acme', 'acme cannot insert a row of beta', 'acme cannot overwrite a row of beta with ON CONFLICT',
	'acme cannot give its own row to beta', 'acme updates no row of beta', 'acme locks no row of beta', 'acme deletes no row of beta';

done_testing();
