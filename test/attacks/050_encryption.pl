# Encrypted values against a role with all of SQL and every ciphertext: another tenant's keys, by what is cached in the
# session, by savepoints, cursors, plans and workers; keys that are no longer there; and plaintext where it must not be.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest qw(ask);
use PostgreSQL::Test::Utils;
use Test::More;

my ($app, $trusted, $owner) = qw(regress_mt_app regress_mt_trusted regress_mt_owner);
my $dir = PostgreSQL::Test::Utils::tempdir;
umask(0077);
append_to_file("$dir/1.key", '5c' x 32);
my $mt = MtTest->new('attack_encryption', conf => "multitenant.key_provider = file\nmultitenant.key_file = '$dir/%v.key'\nlog_min_messages = debug1");
my %id = map { $_->[0] => $_->[1] } map { [ split(/\|/) ] } split(/\n/, $mt->superuser('SELECT slug, id FROM multitenant.tenant'));
$mt->superuser("CREATE TABLE sealed (slug text PRIMARY KEY, value multitenant.encrypted, det multitenant.encrypted_det, hash bytea);
	GRANT ALL ON sealed TO PUBLIC; GRANT CREATE ON SCHEMA public TO $app");
foreach my $slug (qw(acme beta))
{
	my $secret = 'SECRET-' . uc $slug;
	$mt->allowed($app, $mt->begin($slug) . "INSERT INTO sealed VALUES ('$slug', multitenant.encrypt('$secret', 'pii'),
		multitenant.encrypt_deterministic('$secret', 'pii'), multitenant.blind_index('$secret', 'pii')); COMMIT;", undef, "$slug encrypts", tenant => $slug);
}
my $acmes = "(SELECT value FROM sealed WHERE slug = 'acme')";
my $open = "SELECT multitenant.decrypt_text($acmes);\n";

# ---- another tenant's keys ----
$mt->allowed($app, $mt->begin('acme') . $open . 'COMMIT;', 'SECRET-ACME', 'E1: a tenant opens its own value', tenant => 'acme');
$mt->refused($app, $mt->begin('beta') . $open, 'MT021', 'E1: nobody else does', tenant => 'beta');
$mt->refused($app, $open, 'MT001', 'E1: nor does nobody');
$mt->refused($app, $mt->begin('acme') . "SELECT length(multitenant.decrypt_text($acmes)); COMMIT;\n" . $mt->begin('beta') . $open, 'MT021',
	'E2: a key that the session has from the tenant before opens nothing', tenant => 'beta');
$mt->refused($app, $mt->begin('acme') . "SELECT length(multitenant.decrypt_text($acmes)); COMMIT;\n" . $mt->begin('beta') .
	"SELECT multitenant.decrypt_text(det) FROM sealed WHERE slug = 'acme'", 'MT021', 'E2: nor a deterministic one', tenant => 'beta');
$mt->refused($app, $mt->begin('acme') . "SELECT length(multitenant.decrypt_text($acmes)); COMMIT;\n$open", 'MT001',
	'E2: nor without a tenant');
$mt->refused($app, "BEGIN; SAVEPOINT s; SELECT multitenant.authenticate('" . $mt->token('acme') . "'); SELECT length(multitenant.decrypt_text($acmes)); ROLLBACK TO s;\n$open", 'MT001',
	'E3: nor after a rollback to before the tenant');
$mt->refused($app, "BEGIN; SAVEPOINT s; SELECT multitenant.authenticate('" . $mt->token('acme') . "'); SELECT length(multitenant.decrypt_text($acmes)); ROLLBACK TO s;
	SELECT multitenant.authenticate('" . $mt->token('beta') . "');", 'MT005', 'E3: who has used keys of one tenant is no other in that transaction');
$mt->refused($app, $mt->begin('acme') . "DECLARE c CURSOR WITH HOLD FOR $open COMMIT;\n" . $mt->begin('beta') . 'FETCH ALL FROM c;', '(?:MT010|55000|34000)',
	'E4: no cursor keeps it for the next one', tenant => 'beta');
my $parallel = $mt->parallel_setting;
$mt->refused($app, $mt->begin('beta') . "SET $parallel = on; SELECT multitenant.decrypt_text(value) FROM sealed WHERE slug = 'acme';", 'MT021',
	'E5: nor do workers', tenant => 'beta');
$mt->allowed($app, $mt->begin('acme') . "SET $parallel = on; SELECT multitenant.decrypt_text(value) FROM sealed WHERE slug = 'acme';", 'SECRET-ACME',
	'E5: they open the tenant\'s own', tenant => 'acme');
$mt->allowed($app, $mt->begin('beta') . "SELECT count(*) || ' equal' FROM sealed WHERE slug = 'acme' AND (det = multitenant.encrypt_deterministic('SECRET-' || 'ACME', 'pii')
	OR hash = multitenant.blind_index('SECRET-' || 'ACME', 'pii'));", '0 equal', 'E6: the same text of another tenant is another ciphertext and another hash', tenant => 'beta');
$mt->superuser("SELECT multitenant.set_visibility('acme', 'supervised')");
$mt->refused($app, $mt->begin('acme', kind => 'supervised') . $open, '42501', 'E7: supervised sessions open nothing');
$mt->refused($app, $mt->begin('acme', kind => 'supervised') . "SELECT multitenant.encrypt('x', 'pii');", '42501', 'E7: and seal nothing');
like($mt->log_since, qr/multitenant audit: event="key\.use" source="engine" outcome="refused" tenant="$id{acme}"/, 'E7: which the audit says');

# ---- plaintext where it must not be ----
$mt->refused($app, 'CREATE INDEX ON sealed (multitenant.decrypt_text(value));', '(?:42P17|42501)', 'E8: no index of what was decrypted');
$mt->refused($app, 'CREATE TABLE mine (v multitenant.encrypted, t text GENERATED ALWAYS AS (multitenant.decrypt_text(v)) STORED);', '42P17', 'E8: no generated column');
$mt->refused($app, 'CREATE TABLE mine (v multitenant.encrypted); CREATE INDEX ON mine (multitenant.decrypt_text(v));', '42P17', 'E8: not on a table of one\'s own either');
$mt->refused($app, "INSERT INTO sealed VALUES ('x', 'plain');", '22P02', 'E9: no plaintext is stored as a value');
$mt->refused($app, "SELECT multitenant.encrypted_in('plain');", '22P02', 'E9: nor by the function of the type');
$mt->refused($app, 'CREATE CAST (text AS multitenant.encrypted) WITHOUT FUNCTION;', '42501', 'E9: and nobody makes a cast that does');
$mt->refused($app, "INSERT INTO sealed VALUES ('x', repeat('x', 40)::bytea::text::multitenant.encrypted);", '22P02', 'E9: not by way of bytea');

# ---- keys that are no longer there ----
my $session = $mt->session($trusted);
ask($session, 'BEGIN');
ask($session, "SELECT multitenant.use_tenant('acme')");
is(ask($session, "SELECT multitenant.decrypt_text($acmes)"), 'SECRET-ACME', 'E10: an open transaction with a key');
$mt->superuser("UPDATE multitenant.kek SET state = 'suspended' WHERE tenant_id = '$id{acme}'");
is(ask($session, "SELECT multitenant.decrypt_text($acmes)"), 'MT020', 'E10: which is suspended, for its next statement');
ask($session, 'ROLLBACK');
$mt->superuser("UPDATE multitenant.kek SET state = 'active' WHERE tenant_id = '$id{acme}'");
ask($session, 'BEGIN ISOLATION LEVEL REPEATABLE READ');
ask($session, "SELECT multitenant.use_tenant('acme')");
is(ask($session, "SELECT multitenant.decrypt_text($acmes)"), 'SECRET-ACME', 'E10: and is back');
$mt->superuser("SELECT multitenant.suspend_tenant('$id{acme}', 'test')");
is(ask($session, "SELECT multitenant.decrypt_text($acmes)"), 'MT006', 'E11: a tenant that is suspended opens nothing, whatever the snapshot');
ask($session, 'ROLLBACK');
$mt->superuser("SELECT multitenant.resume_tenant('$id{acme}')");

# What is sealed must be openable: a key whose row was rolled back is not used again.
foreach my $case ([ 'a savepoint', 'SAVEPOINT s;', 'ROLLBACK TO s;' ], [ 'an exception', "DO \$\$ BEGIN PERFORM multitenant.encrypt('x', 'exception'); RAISE division_by_zero; EXCEPTION WHEN OTHERS THEN END \$\$;", '' ])
{
	my ($name, $before, $after) = @$case;
	my $purpose = $name =~ s/.* //r;
	$mt->allowed($trusted, "BEGIN; SELECT multitenant.use_tenant('acme'); $before SELECT length(multitenant.encrypt('x', '$purpose')::bytea); $after
		INSERT INTO sealed VALUES ('$purpose', multitenant.encrypt('kept', '$purpose')); COMMIT; BEGIN; SELECT multitenant.use_tenant('acme');
		SELECT 'opened ' || multitenant.decrypt_text(value) FROM sealed WHERE slug = '$purpose';", 'opened kept', "E12: a key made in $name that was rolled back seals nothing");
	is($mt->superuser("SELECT count(*) FROM sealed s JOIN multitenant.cek c ON c.cek_id = multitenant.key_id(s.value) WHERE s.slug = '$purpose'"), 1, "E12: its key is there ($name)");
}
$mt->steps('E12: nor in a transaction', $trusted, {}, 'BEGIN' => '', "SELECT multitenant.use_tenant('acme') IS NULL" => 'f', "SELECT length(multitenant.encrypt('x', 'whole')::bytea)" => '39', 'ROLLBACK' => '',
	'BEGIN' => '', "SELECT multitenant.use_tenant('acme') IS NULL" => 'f', "INSERT INTO sealed VALUES ('whole', multitenant.encrypt('kept', 'whole'))" => '', 'COMMIT' => '',
	"SELECT count(*) FROM sealed WHERE slug = 'whole'" => '1');
is($mt->superuser("SELECT count(*) FROM sealed s JOIN multitenant.cek c ON c.cek_id = multitenant.key_id(s.value) WHERE s.slug = 'whole'"), 1, 'E12: its key is there (a transaction)');

# A pooler's DISCARD ALL leaves no key. How many there are is not for applications.
$mt->refused($app, 'SELECT entries FROM multitenant.key_cache;', '42501', 'E17: an application does not learn how many keys the session has');
$mt->steps('E17: a session that is handed on has no key', 'regress_mt_migrator', {}, $mt->begin('acme') =~ s/;\n\z//r . '' => $id{acme}, "SELECT length(multitenant.decrypt_text($acmes))" => '11', 'COMMIT' => '',
	'SELECT entries > 0 FROM multitenant.key_cache' => 't', 'DISCARD ALL' => '', 'SELECT entries FROM multitenant.key_cache' => '0');

# More keys than a session keeps ready: the one used last is not there any more either.
my $purposes = "SELECT count(multitenant.encrypt('x', 'many-' || g)) FROM generate_series(%d, 40) g;";
$mt->superuser("ALTER DATABASE app SET multitenant.key_cache_size = 8");
$mt->allowed($app, $mt->begin('acme') . sprintf($purposes, 0) . "COMMIT;\n" . $mt->begin('acme') . "SELECT multitenant.encrypt('opened', 'many-0') AS v \\gset\n
	SELECT multitenant.decrypt_text(:'v'); " . sprintf($purposes, 1) . " SELECT multitenant.decrypt_text(:'v') || ' again';
	SELECT multitenant.encrypt('x', 'many-0') IS NULL; SELECT count(multitenant.decrypt_text(multitenant.encrypt('x', 'many-' || g))) FROM generate_series(1, 40) g;
	SELECT multitenant.decrypt_text(multitenant.encrypt('sealed again', 'many-0')); COMMIT;", 'opened again', 'E15: a key whose place another has taken is made ready again');
$mt->superuser("ALTER DATABASE app RESET multitenant.key_cache_size");

# An unwrapping that is interrupted leaves nothing that looks like a key.
my $blocker = $mt->session('postgres');
$session = $mt->session($trusted);
ask($session, 'BEGIN');
ask($session, "SELECT multitenant.use_tenant('acme')");
ask($session, "SELECT multitenant.encrypt('x', 'interrupted') IS NULL");
ask($session, 'COMMIT');
$session->quit;
$session = $mt->session($trusted);
ask($blocker, 'BEGIN');
ask($blocker, 'LOCK TABLE multitenant.kek IN ACCESS EXCLUSIVE MODE');
ask($session, "SET lock_timeout = '100ms'");
ask($session, 'BEGIN');
ask($session, "SELECT multitenant.use_tenant('acme')");
ask($session, 'SAVEPOINT s');
is(ask($session, "SELECT multitenant.encrypt('x', 'interrupted')"), '55P03', 'E16: an unwrapping that is interrupted');
ask($session, 'ROLLBACK TO s');
ask($blocker, 'ROLLBACK');
ask($session, "INSERT INTO sealed VALUES ('interrupted', multitenant.encrypt('kept', 'interrupted'))");
ask($session, 'COMMIT');
$mt->allowed($trusted, "BEGIN; SELECT multitenant.use_tenant('acme'); SELECT 'opened ' || multitenant.decrypt_text(value) FROM sealed WHERE slug = 'interrupted';",
	'opened kept', 'E16: is made good by the next one');

# ---- the tables of keys ----
foreach my $table (qw(kek cek))
{
	$mt->refused($app, "SELECT * FROM multitenant.$table;", '42501', "E13: nobody reads multitenant.$table");
	$mt->refused($app, "UPDATE multitenant.$table SET state = 'active';", '42501', "E13: or writes it");
}
$mt->refused($app, "SELECT multitenant._make_key('$id{acme}', 'x', 'data');", '42501', 'E13: or has a key made');
$mt->superuser("GRANT pg_read_all_data TO $app; ANALYZE");
$mt->allowed($app, "SELECT count(*) || ' rows' FROM multitenant.kek;", '0 rows', 'E13: not even who reads everything');
$mt->allowed($app, "SELECT count(*) || ' values' FROM pg_stats WHERE schemaname = 'multitenant' AND attname IN ('wrapped', 'kcv');", '0 values', 'E13: nor sees statistics');

unlike(slurp_file($mt->node->logfile), qr/(?:5c){8}/, 'E14: no master key in the log');
$mt->intact('nothing else happened');
done_testing();
