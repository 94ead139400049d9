# The context where it seldom goes: what the accessors say of a principal, roles that are gone, statements that start
# while another one starts, encodings, and what a session brings along into a transaction that has had another identity.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use Encode qw(encode);
use MtTest qw(ask);
use PostgreSQL::Test::Utils;
use Test::More;

my $mt = MtTest->new('corners');
my $node = $mt->node;
my ($app, $trusted, $migrator, $owner, $keep) = qw(regress_mt_app regress_mt_trusted regress_mt_migrator regress_mt_owner regress_mt_keep);
my ($acme, $beta) = map { "00000000-0000-0000-0000-00000000000$_" } qw(a b);
my $rows = 'SELECT note FROM invoice';

sub authenticate { return "SELECT multitenant.authenticate('" . $mt->token(@_) . "')" }

$mt->superuser(<<"SQL");
SELECT multitenant.add_signing_key('machine', 'HS256', secret_file => '$mt->{secret_file}', kinds => '{system}');
CREATE ROLE $keep LOGIN;
GRANT SELECT ON invoice TO $keep;
SELECT multitenant.grant_access('$keep', 'application', session_context => true);
SQL

# ---- what a token says of its principal ----

my $view = "SELECT state, principal, kind, scope, source, expires_at IS NULL FROM multitenant.context";
$mt->steps('principal and scope', $app, {}, 'SELECT multitenant.current_principal() IS NULL' => 't', 'BEGIN' => '',
	authenticate('acme', sub => 'ann', scope => 'read write') => $acme, 'SELECT multitenant.current_principal()' => 'ann',
	$view => 'tenant|ann|tenant|read write|credential|f', 'COMMIT' => '', 'SELECT multitenant.current_principal() IS NULL' => 't');
$mt->steps('a system token', $migrator, {}, 'BEGIN' => '', authenticate(undef, kid => 'machine', kind => 'system', sub => 'cron') => '',
	$view => 'system|cron|system||credential|f', 'COMMIT' => '',
	authenticate('acme', kid => 'machine', kind => 'system') => 'MT002');

# ---- keys whose lists have holes ----

foreach my $hole ("roles = '{NULL}'", "roles = '{NULL,$trusted}'")
{
	$mt->superuser("UPDATE multitenant.signing_key SET $hole WHERE kid = 'hs'");
	$mt->steps("a key with $hole", $app, {}, authenticate('acme') => 'MT004');
}
$mt->steps('names the role that it lists', $trusted, {}, authenticate('acme') => $acme);
$mt->superuser("UPDATE multitenant.signing_key SET roles = NULL, tenants = '{NULL}' WHERE kid = 'hs'");
$mt->steps('a key with a null among its tenants', $app, {}, authenticate('acme') => 'MT008');
$mt->superuser("UPDATE multitenant.signing_key SET tenants = NULL WHERE kid = 'hs'");

# ---- names that are no tenants ----

foreach my $name ('00000000-0000-0000-0000-00000000000g', '00000000-0000-0000-0000+00000000000a', '00000000 0000 0000 0000 00000000000a',
	'00000000-0000-0000-0000-00000000000a ', 'x' x 36)
{
	$mt->steps("no tenant is called $name", $trusted, {}, "SELECT multitenant.use_tenant('$name')" => 'MT008');
}
$mt->steps('an id in capitals', $trusted, {}, "SELECT multitenant.use_tenant('" . uc($acme) . "')" => $acme);

# ---- control characters in the server's log ----

$mt->log_since;
$mt->superuser('SELECT multitenant.audit(\'note.made\', jsonb_build_object(\'text\', U&\'a\0085b\009bc\00a0\'))');
my ($line) = $mt->log_since =~ /multitenant audit:.*event="note\.made".*/g ? $& : '';
like($line, qr/a\\x85b\\x9bc/, 'C1 control characters are escaped');
unlike($line, qr/\xc2[\x80-\x9f]/, 'and none is left');

# ---- a role that is dropped under its session ----

$mt->superuser("CREATE ROLE regress_mt_gone LOGIN; GRANT SELECT ON invoice TO regress_mt_gone;
	SELECT multitenant.grant_access('regress_mt_gone', 'trusted_application')");
my $session = $mt->session('regress_mt_gone');
is(ask($session, "SELECT multitenant.use_tenant('acme')"), $acme, 'a role names a tenant');
$mt->superuser("SELECT multitenant.revoke_access('regress_mt_gone'); DROP OWNED BY regress_mt_gone; DROP ROLE regress_mt_gone");
is(ask($session, "SELECT multitenant.use_tenant('acme')"), '42501', 'and no longer when it is gone');
is(ask($session, authenticate('acme')), '42501', 'nor does it authenticate');
$mt->log_since;
is(ask($session, "SELECT multitenant.audit('last.words')"), '', 'what it says is recorded');
like($mt->log_since, qr/event="last\.words".* session_role="" role=""/, 'without a name');
$session->quit;

# ---- an identity that the transaction has had ----

my %startup = (pgoptions => '-c multitenant.token=' . $mt->token('acme'));
$mt->steps('what the session brings along does not replace an identity that was rolled back', $app, \%startup, $rows => 'SECRET-ACME',
	'BEGIN' => '', 'SAVEPOINT s' => '', authenticate('beta') => $beta, $rows => 'SECRET-BETA', 'ROLLBACK TO s' => '', $rows => 'MT001',
	'ROLLBACK TO s' => '', authenticate('beta') => $beta, $rows => 'SECRET-BETA', 'ROLLBACK' => '', $rows => 'SECRET-ACME');

# ---- parallel workers of a session that has nothing to offer any more ----

$mt->superuser("CREATE FUNCTION peek() RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE AS
	'BEGIN RETURN (SELECT coalesce(state, ''?'') FROM multitenant.context); END'");
$mt->steps('a session whose context is forsaken', $keep, {}, authenticate('acme') => $acme, $rows => 'SECRET-ACME', authenticate('gamma') => 'MT006',
	'SET ' . $mt->parallel_setting . ' = on' => '', 'SELECT peek()' => 'none', $rows => 'MT001');

# ---- a statement that starts while another one starts ----

$mt->superuser(<<"SQL");
SET ROLE $owner;
CREATE TABLE part (tenant_id uuid NOT NULL, kind int, note text) PARTITION BY LIST (kind);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE part_2 PARTITION OF part FOR VALUES IN (2);
RESET ROLE;
INSERT INTO part SELECT tenant_id, kind, note FROM invoice, generate_series(1, 2) kind;
SET ROLE $owner;
SELECT multitenant.protect('part');
GRANT SELECT ON part TO $app;
CREATE FUNCTION chosen() RETURNS int LANGUAGE plpgsql STABLE AS \$\$
BEGIN
	-- which partitions are scanned is decided by what the tenant may see
	RETURN (SELECT CASE WHEN count(*) = 1 THEN 2 ELSE 0 END FROM invoice);
END \$\$;
SQL
like($mt->superuser("SET multitenant.guard_enabled = off; EXPLAIN (COSTS off) SELECT note FROM part WHERE kind = chosen()"), qr/Subplans Removed/,
	'partitions are chosen while the statement starts');
$mt->steps('a function in partition pruning reads as the tenant', $app, {}, 'BEGIN' => '', authenticate('acme') => $acme,
	'SELECT note, kind FROM part WHERE kind = chosen()' => 'SECRET-ACME|2', 'COMMIT' => '',
	'SELECT note FROM part WHERE kind = chosen()' => 'MT001');

# ---- statements below statements ----

$mt->superuser("CREATE FUNCTION down(depth int) RETURNS text LANGUAGE plpgsql STABLE AS
	'BEGIN RETURN CASE WHEN depth = 0 THEN (SELECT string_agg(note, \'\' \'\') FROM invoice) ELSE (SELECT down(depth - 1) FROM generate_series(1, 1)) END; END'");
foreach my $depth (1, 10, 50)
{
	$mt->steps("$depth statements deep", $app, {}, 'BEGIN' => '', authenticate('beta') => $beta, "SELECT down($depth)" => 'SECRET-BETA', 'COMMIT' => '',
		"SELECT down($depth)" => 'MT001', $rows => 'MT001');
}

# ---- checks beside those of isolation ----

$mt->superuser("CREATE POLICY tidy ON invoice AS RESTRICTIVE FOR INSERT WITH CHECK (note <> 'a' AND length(note) < 20)");
$mt->steps('a policy of the owner\'s', $app, {}, 'BEGIN' => '', authenticate('acme') => $acme,
	"INSERT INTO invoice (note) VALUES ('b') RETURNING note" => 'b', 'SAVEPOINT s' => '',
	"INSERT INTO invoice (note) VALUES ('a')" => '42501', 'ROLLBACK TO s' => '',
	"INSERT INTO invoice (tenant_id, note) VALUES ('$beta', 'b')" => '42501', 'ROLLBACK' => '');

# ---- a database whose encoding is longer than the token's ----

$node->safe_psql('postgres', "CREATE DATABASE euc ENCODING 'EUC_JP' LOCALE 'C' TEMPLATE template0");
$node->safe_psql('euc', "CREATE EXTENSION multitenant; SELECT multitenant.create_tenant('acme', id => '$acme');
	SELECT multitenant.add_signing_key('hs', 'HS256', secret_file => '$mt->{secret_file}')");
my %euc = (database => 'euc', pgoptions => '-c client_encoding=UTF8');
# "e acute" takes two bytes in UTF-8 and three in EUC-JP
foreach my $length (84, 86, 127)
{
	$mt->steps("a principal of $length letters", $app, \%euc, 'BEGIN' => '',
		authenticate('acme', aud => 'euc', sub => encode('UTF-8', "\x{e9}" x $length)) => $length * 3 <= 255 ? $acme : 'MT002', 'ROLLBACK' => '');
}
# what the encoding does not have is refused, too
$mt->steps('a principal that cannot be represented', $app, \%euc, 'BEGIN' => '', authenticate('acme', aud => 'euc', sub => encode('UTF-8', "\x{1f600}")) => '22P05', 'ROLLBACK' => '');

$mt->intact('nothing was changed');
done_testing();
