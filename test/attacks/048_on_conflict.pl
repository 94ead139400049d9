# INSERT .. ON CONFLICT DO UPDATE on a table that has a unique key without the tenant: the row in the way is another tenant's.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use Test::More;

my $mt = MtTest->new('on_conflict');
my ($app, $owner) = ('regress_mt_app', 'regress_mt_owner');
my ($acme, $beta) = map { "00000000-0000-0000-0000-00000000000$_" } 'a', 'b';
$mt->superuser("SET ROLE $owner; CREATE TABLE keyed (tenant_id uuid NOT NULL, id int PRIMARY KEY, note text, n int DEFAULT 0);
	INSERT INTO keyed VALUES ('$acme', 1, 'own'), ('$beta', 2, 'SECRET-BETA');
	CREATE FUNCTION spy(t text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS \$\$ BEGIN RAISE NOTICE 'sees %', t; RETURN true; END \$\$;
	GRANT ALL ON keyed TO $app");
$mt->superuser("SELECT count(*) FROM multitenant.protect('keyed')");
my $upsert = sub { "INSERT INTO keyed (id, note) VALUES ($_[0], 'q') ON CONFLICT (id) DO UPDATE SET n = keyed.n + 1 WHERE $_[1]" };

# What it does with a row of one's own is what the server does.
foreach my $own ([ "keyed.note = 'own'", 1 ], [ "keyed.note = 'another'", 1 ], [ 'NULL', 1 ], [ "spy(keyed.note)", 2 ])
{
	my ($condition, $n) = @$own;
	my ($out, $err) = $mt->run($app, $mt->begin('acme') . $upsert->(1, $condition) . '; COMMIT; ' . $mt->begin('acme') . 'SELECT n FROM keyed WHERE id = 1');
	like($out, qr/^$n$/m, "a row of one's own: $condition");
	unlike($err, qr/ERROR/, 'and no error');
}

# Another's: whatever the condition, the same error, and nothing of the row.
foreach my $condition ("spy(keyed.note)", "(SELECT spy(keyed.note))", "EXISTS (SELECT FROM generate_series(1, 1) WHERE spy(keyed.note))",
	"keyed.note::int > 0", "keyed.note LIKE 'SECRET%'", "keyed.note LIKE 'x%'", '1 / (ascii(keyed.note) - 83) = 1', 'false', 'NULL', 'keyed.n < 0', "excluded.note = keyed.note")
{
	foreach my $mode ('', 'SET plan_cache_mode = force_generic_plan; ')
	{
		my $statement = $mode ? $mode . $mt->begin('acme') . 'PREPARE u AS ' . $upsert->(2, $condition) . '; EXECUTE u' : $mt->begin('acme') . $upsert->(2, $condition);
		my ($out, $err) = $mt->run($app, $statement);
		like($err, qr/42501|row-level security/, "another tenant's row: $condition" . ($mode ? ', prepared' : ''));
		unlike("$out\n$err", qr/SECRET|sees|invalid input|division/, 'shows nothing of it');
	}
}

# In WITH, and through a view.
$mt->superuser("SET ROLE $owner; CREATE VIEW keyed_view WITH (security_invoker) AS SELECT * FROM keyed; GRANT ALL ON keyed_view TO $app");
foreach my $statement ('WITH w AS (' . $upsert->(2, 'spy(keyed.note)') . ' RETURNING 1) SELECT count(*) FROM w',
	"INSERT INTO keyed_view (id, note) VALUES (2, 'q') ON CONFLICT (id) DO UPDATE SET n = 9 WHERE spy(keyed_view.note)")
{
	my ($out, $err) = $mt->run($app, $mt->begin('acme') . $statement);
	like($err, qr/42501|row-level security/, 'refused: ' . substr($statement, 0, 30));
	unlike("$out\n$err", qr/SECRET|sees/, 'and nothing is seen');
}

# Rows that are everybody's to read are nobody's to change.
$mt->superuser("SET ROLE $owner; CREATE TABLE common (tenant_id uuid, id int PRIMARY KEY, note text); INSERT INTO common VALUES ('$beta', 2, 'SECRET-BETA'), (NULL, 3, 'common'); GRANT ALL ON common TO $app");
$mt->superuser("SELECT multitenant.shared_rows('common')");
my ($out, $err) = $mt->run($app, $mt->begin('acme') . "INSERT INTO common (id, note) VALUES (2, 'q') ON CONFLICT (id) DO UPDATE SET note = 'z' WHERE spy(common.note)");
like($err, qr/42501|row-level security/, 'with rows that are shared, too');
unlike("$out\n$err", qr/SECRET|sees/, 'nothing is seen');

is($mt->superuser("SELECT note || n FROM keyed WHERE id = 2"), 'SECRET-BETA0', 'nothing was changed');
done_testing();
