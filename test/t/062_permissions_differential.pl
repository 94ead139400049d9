# Compiled rights against a slow reference in SQL that is plainly right: random tenants, groups, roles, scopes and
# assignments, changed between rounds by another session and, in part, by the one that asks.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest qw(ask);
use PostgreSQL::Test::Utils;
use Test::More;

# Rounds, and in each the principals for which a context of their own asks.
my $rounds = $ENV{MT_RIGHTS_ROUNDS} || 8;
my $seed = $ENV{MT_RIGHTS_SEED} || 0.4711;
my $own_contexts = 6;
my @tenants = map { "rnd-$_" } 1 .. 4;

my $mt = MtTest->new('differential');
my $node = $mt->node;
$mt->superuser(<<'SQL');
CREATE SCHEMA reference;

-- Who counts, for what is asked at the beginning of this statement.
CREATE VIEW reference.acting AS
	SELECT m.tenant_id, m.principal FROM multitenant.member m
	WHERE NOT EXISTS (SELECT FROM multitenant.principal p WHERE p.id = m.principal AND p.state <> 'active') AND m.state = 'active' AND (m.expires_at IS NULL OR m.expires_at > statement_timestamp());

CREATE VIEW reference.in_group AS
	WITH RECURSIVE up AS (
		SELECT a.tenant_id, a.principal, g.group_name FROM reference.acting a
			JOIN multitenant.group_member g ON g.tenant_id = a.tenant_id AND NOT g.is_group AND g.member = a.principal
		UNION
		SELECT up.tenant_id, up.principal, g.group_name FROM up
			JOIN multitenant.group_member g ON g.tenant_id = up.tenant_id AND g.is_group AND g.member = up.group_name)
	SELECT * FROM up;

CREATE VIEW reference.assigned AS
	SELECT a.tenant_id, w.principal, a.role_id, a.scope_id FROM reference.acting w
		JOIN multitenant.role_assignment a ON a.tenant_id = w.tenant_id AND NOT a.is_group AND a.assignee = w.principal
		WHERE a.expires_at IS NULL OR a.expires_at > statement_timestamp()
	UNION
	SELECT a.tenant_id, w.principal, a.role_id, a.scope_id FROM reference.in_group w
		JOIN multitenant.role_assignment a ON a.tenant_id = w.tenant_id AND a.is_group AND a.assignee = w.group_name
		WHERE a.expires_at IS NULL OR a.expires_at > statement_timestamp()
	UNION
	SELECT b.tenant_id, w.principal, b.role_id, NULL FROM reference.acting w
		JOIN multitenant.break_glass b ON b.tenant_id = w.tenant_id AND b.principal = w.principal
		WHERE b.closed_at IS NULL AND b.holds_from <= statement_timestamp() AND b.ends_at > statement_timestamp();

-- A role of the tenant or a template has what it has, and what parents of its own tenant, or templates, have.
CREATE VIEW reference.role_has AS
	WITH RECURSIVE up AS (
		SELECT r.id AS role_id, r.tenant_id, r.id AS has, r.tenant_id AS has_tenant FROM multitenant.role r
		UNION
		SELECT up.role_id, up.tenant_id, r.id, r.tenant_id FROM up
			JOIN multitenant.role_parent p ON p.role_id = up.has AND p.tenant_id = up.has_tenant
			JOIN multitenant.role r ON r.id = p.parent_id
			WHERE r.tenant_id IN (up.has_tenant, '00000000-0000-0000-0000-000000000000'))
	SELECT DISTINCT up.role_id, up.tenant_id, n.name AS permission FROM up
		JOIN multitenant.role_permission p ON p.role_id = up.has AND p.tenant_id = up.has_tenant
		JOIN multitenant.permission n ON n.name ~ ('^' || replace(replace(p.permission, '.', '\.'), '*', '[^:]*') || '$');

-- A scope that comes back to itself is in no tree.
CREATE VIEW reference.circle AS
	WITH RECURSIVE up AS (
		SELECT s.tenant_id, s.id, s.parent_id AS above FROM multitenant.scope s
		UNION
		SELECT up.tenant_id, up.id, s.parent_id FROM up JOIN multitenant.scope s ON s.tenant_id = up.tenant_id AND s.id = up.above)
	SELECT DISTINCT tenant_id, id FROM up WHERE above = id;

CREATE VIEW reference.covers AS
	WITH RECURSIVE node AS (
		SELECT s.tenant_id, s.id, s.parent_id FROM multitenant.scope s
			WHERE NOT EXISTS (SELECT FROM reference.circle c WHERE c.tenant_id = s.tenant_id AND c.id = s.id)),
	up AS (
		SELECT n.tenant_id, n.id, n.id AS above FROM node n
		UNION
		SELECT up.tenant_id, up.id, p.id FROM up
			JOIN node n ON n.tenant_id = up.tenant_id AND n.id = up.above
			JOIN node p ON p.tenant_id = n.tenant_id AND p.id = n.parent_id)
	SELECT tenant_id, id, above FROM up;

-- scope null: the whole tenant.
CREATE FUNCTION reference.held(tenant uuid) RETURNS TABLE(principal text, permission text, scope text) LANGUAGE sql STABLE AS $$
	WITH a AS MATERIALIZED (
		SELECT DISTINCT a.principal, r.permission, a.scope_id FROM reference.assigned a
		JOIN reference.role_has r ON r.role_id = a.role_id AND r.tenant_id IN (a.tenant_id, '00000000-0000-0000-0000-000000000000')
		WHERE a.tenant_id = $1)
	SELECT a.principal, a.permission, NULL FROM a WHERE a.scope_id IS NULL
	UNION
	SELECT a.principal, a.permission, s.id FROM a, (SELECT id FROM multitenant.scope WHERE tenant_id = $1 UNION SELECT 'nowhere') s
		WHERE a.scope_id IS NULL
	UNION
	SELECT a.principal, a.permission, c.id FROM a JOIN reference.covers c ON c.tenant_id = $1 AND c.above = a.scope_id
$$;

CREATE FUNCTION reference.system(principal text) RETURNS TABLE(permission text) LANGUAGE sql STABLE AS $$
	WITH RECURSIVE up AS (
		SELECT g.group_name FROM multitenant.group_member g
			WHERE g.tenant_id = '00000000-0000-0000-0000-000000000000' AND NOT g.is_group AND g.member = $1
		UNION
		SELECT g.group_name FROM up JOIN multitenant.group_member g
			ON g.tenant_id = '00000000-0000-0000-0000-000000000000' AND g.is_group AND g.member = up.group_name)
	SELECT DISTINCT r.permission FROM multitenant.role_assignment a
	JOIN reference.role_has r ON r.role_id = a.role_id AND r.tenant_id = a.tenant_id
	WHERE a.tenant_id = '00000000-0000-0000-0000-000000000000' AND a.scope_id IS NULL
		AND (a.expires_at IS NULL OR a.expires_at > statement_timestamp())
		AND CASE WHEN a.is_group THEN a.assignee IN (SELECT group_name FROM up) ELSE a.assignee = $1 END
		AND NOT EXISTS (SELECT FROM multitenant.principal p WHERE p.id = $1 AND p.state <> 'active')
$$;

-- Answers for everybody, in everything and everywhere, beside those of the reference.
CREATE FUNCTION reference.compare(tenant uuid, OUT cases bigint, OUT held bigint, OUT wrong bigint, OUT example text) LANGUAGE sql STABLE AS $$
	WITH h AS MATERIALIZED (SELECT * FROM reference.held($1)),
	c AS MATERIALIZED (
		SELECT p.id AS principal, n.name AS permission, s.id AS scope, h.principal IS NOT NULL AS is_right,
			multitenant.has_permission_of(p.id, n.name, s.id) AS is_answered
		FROM multitenant.principal p CROSS JOIN multitenant.permission n
		CROSS JOIN (SELECT id FROM multitenant.scope WHERE tenant_id = $1 UNION ALL SELECT 'nowhere' UNION ALL SELECT NULL) s
		LEFT JOIN h ON h.principal = p.id AND h.permission = n.name AND h.scope IS NOT DISTINCT FROM s.id)
	SELECT count(*), count(*) FILTER (WHERE is_right AND principal <> 'adm'), count(*) FILTER (WHERE is_right <> is_answered),
		min(format('%s %s in %s is %s', principal, permission, coalesce(scope, 'the whole tenant'), is_answered)) FILTER (WHERE is_right <> is_answered)
	FROM c
$$;

-- The same for the current principal, over every other way to ask.
CREATE FUNCTION reference.compare_own(OUT cases bigint, OUT wrong bigint) LANGUAGE sql STABLE AS $$
	WITH h AS MATERIALIZED (SELECT * FROM reference.held(multitenant.current_tenant()) WHERE principal = multitenant.current_principal()),
	c AS (
		SELECT EXISTS (SELECT FROM h WHERE h.permission = n.name AND h.scope IS NOT DISTINCT FROM s.id) AS is_right,
			multitenant.has_permission(n.name, s.id) AS is_answered
		FROM multitenant.permission n
		CROSS JOIN (SELECT id FROM multitenant.scope WHERE tenant_id = multitenant.current_tenant() UNION ALL SELECT 'nowhere' UNION ALL SELECT NULL) s
		UNION ALL
		SELECT EXISTS (SELECT FROM h WHERE h.permission = n.name), multitenant.has_permission_anywhere(n.name) FROM multitenant.permission n
		UNION ALL
		SELECT EXISTS (SELECT FROM h WHERE h.permission = n.name AND h.scope IS NULL), l.has_null FROM multitenant.permission n,
			LATERAL (SELECT count(*) FILTER (WHERE scope_id IS NULL) = 1 AS has_null FROM multitenant.list_accessible(n.name)) l
		UNION ALL
		SELECT true, (SELECT array_agg(h.scope ORDER BY h.scope) FROM h WHERE h.permission = n.name AND h.scope <> 'nowhere')
			IS NOT DISTINCT FROM (SELECT array_agg(l.scope_id ORDER BY l.scope_id) FROM multitenant.list_accessible(n.name) l WHERE l.scope_id IS NOT NULL)
			FROM multitenant.permission n)
	SELECT count(*), count(*) FILTER (WHERE is_right IS DISTINCT FROM is_answered) FROM c
$$;

-- Has nothing ended, and nothing begun, since the statement began? The answers are those of the clock.
CREATE FUNCTION reference.is_calm() RETURNS boolean LANGUAGE sql VOLATILE AS $$
	SELECT NOT EXISTS (SELECT FROM (
		SELECT expires_at FROM multitenant.role_assignment UNION ALL SELECT expires_at FROM multitenant.member
		UNION ALL SELECT holds_from FROM multitenant.break_glass UNION ALL SELECT ends_at FROM multitenant.break_glass) t(at)
		WHERE t.at BETWEEN statement_timestamp() AND clock_timestamp())
$$;

-- ---- chance ----

CREATE FUNCTION reference.one_of(VARIADIC text[]) RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT $1[1 + floor(random() * cardinality($1))::int] $$;
CREATE FUNCTION reference.tenant() RETURNS uuid LANGUAGE sql VOLATILE AS $$
	SELECT id FROM multitenant.tenant WHERE slug LIKE 'rnd-%' ORDER BY random() LIMIT 1 $$;
CREATE FUNCTION reference.principal() RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT 'p' || floor(random() * 14)::int $$;
CREATE FUNCTION reference.team() RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT 'g' || floor(random() * 6)::int $$;
CREATE FUNCTION reference.scope() RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT 's' || floor(random() * 18)::int $$;
CREATE FUNCTION reference.pattern() RETURNS text LANGUAGE sql VOLATILE AS $$
	SELECT reference.one_of('vm', 'disk', 'net', 'user.name', 'user', '*', 'vm') || ':' || reference.one_of('read', 'create', 'update', 'delete', '*', 'read') $$;
CREATE FUNCTION reference.soon() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
	SELECT CASE floor(random() * 6)::int WHEN 0 THEN clock_timestamp() - interval '1 day' WHEN 1 THEN clock_timestamp() + interval '1 day'
		WHEN 2 THEN clock_timestamp() + random() * interval '5 seconds' END $$;
-- of the tenant three times of four, else a template or of any tenant
CREATE FUNCTION reference.role(tenant uuid) RETURNS uuid LANGUAGE sql VOLATILE AS $$
	WITH c AS MATERIALIZED (SELECT random() AS chance)
	SELECT r.id FROM multitenant.role r, c
	WHERE NOT r.is_builtin AND (c.chance > 0.9 OR r.tenant_id = CASE WHEN c.chance > 0.7 THEN '00000000-0000-0000-0000-000000000000' ELSE $1 END)
	ORDER BY random() LIMIT 1 $$;

-- One random change; administrators "adm" stay.
CREATE FUNCTION reference.change() RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	t uuid := reference.tenant();
	nil constant uuid := '00000000-0000-0000-0000-000000000000';
	r uuid := reference.role(t);
	what int := floor(random() * 22)::int;
BEGIN
	CASE
		WHEN what < 6 THEN
			INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id, scope_id, expires_at)
				SELECT t, g, CASE WHEN g THEN reference.team() ELSE reference.principal() END, r,
					CASE WHEN random() < 0.7 THEN reference.scope() END, reference.soon()
				FROM (SELECT random() < 0.4 AS g OFFSET 0) x ON CONFLICT DO NOTHING;
		WHEN what < 8 THEN
			DELETE FROM multitenant.role_assignment WHERE id IN (SELECT id FROM multitenant.role_assignment WHERE assignee <> 'adm' ORDER BY random() LIMIT 2);
		WHEN what = 8 THEN
			UPDATE multitenant.role_assignment SET expires_at = reference.soon()
				WHERE id IN (SELECT id FROM multitenant.role_assignment WHERE assignee <> 'adm' ORDER BY random() LIMIT 3);
		WHEN what < 11 THEN
			INSERT INTO multitenant.group_member (tenant_id, is_group, member, group_name)
				SELECT t, g, CASE WHEN g THEN reference.team() ELSE reference.principal() END, reference.team()
				FROM (SELECT random() < 0.4 AS g OFFSET 0) x ON CONFLICT DO NOTHING;
		WHEN what = 11 THEN
			DELETE FROM multitenant.group_member WHERE ctid IN (SELECT ctid FROM multitenant.group_member ORDER BY random() LIMIT 1);
		WHEN what = 12 THEN
			INSERT INTO multitenant.role (tenant_id, name) VALUES (CASE WHEN random() < 0.3 THEN nil ELSE t END, 'r' || gen_random_uuid());
		WHEN what < 15 THEN
			INSERT INTO multitenant.role_permission (role_id, permission, tenant_id)
				SELECT r, reference.pattern(), CASE WHEN random() < 0.9 THEN x.tenant_id ELSE t END FROM multitenant.role x WHERE x.id = r ON CONFLICT DO NOTHING;
		WHEN what = 15 THEN
			DELETE FROM multitenant.role_permission WHERE ctid IN (SELECT p.ctid FROM multitenant.role_permission p
				JOIN multitenant.role x ON x.id = p.role_id WHERE NOT x.is_builtin ORDER BY random() LIMIT 1);
		WHEN what = 16 THEN
			INSERT INTO multitenant.role_parent (role_id, parent_id, tenant_id)
				SELECT r, reference.role(t), CASE WHEN random() < 0.9 THEN x.tenant_id ELSE t END FROM multitenant.role x WHERE x.id = r ON CONFLICT DO NOTHING;
		WHEN what = 17 THEN
			UPDATE multitenant.scope SET parent_id = CASE WHEN random() < 0.8 THEN reference.scope() END
				WHERE tenant_id = t AND id = reference.scope();
		WHEN what = 18 THEN
			UPDATE multitenant.member SET state = reference.one_of('active', 'active', 'suspended', 'invited'), expires_at = reference.soon()
				WHERE tenant_id = t AND principal = reference.principal();
		WHEN what = 19 THEN
			UPDATE multitenant.principal SET state = reference.one_of('active', 'active', 'disabled') WHERE id = reference.principal();
		WHEN what = 20 THEN
			IF random() < 0.5 THEN
				DELETE FROM multitenant.permission WHERE name IN (SELECT name FROM multitenant.permission WHERE NOT is_builtin ORDER BY random() LIMIT 1);
			ELSE
				INSERT INTO multitenant.permission (name, description)
					SELECT reference.one_of('vm', 'disk', 'net', 'user.name', 'userxname') || ':' || reference.one_of('read', 'create', 'update', 'delete'), 'test'
					ON CONFLICT DO NOTHING;
			END IF;
		ELSE
			INSERT INTO multitenant.break_glass (tenant_id, principal, role_id, duration, holds_from, ends_at, closed_at, reason)
				VALUES (t, reference.principal(), r, '1 hour', reference.soon() - interval '2 seconds', clock_timestamp() + random() * interval '20 seconds',
					CASE WHEN random() < 0.2 THEN now() END, 'test');
	END CASE;
END $$;

-- ---- the beginning ----

INSERT INTO multitenant.principal (id) SELECT 'p' || i FROM generate_series(0, 13) i UNION ALL SELECT 'adm' ORDER BY 1;
INSERT INTO multitenant.permission (name, description)
	SELECT r || ':' || a, 'test' FROM unnest('{vm,disk,net,user.name,userxname}'::text[]) r, unnest('{read,create,update,delete}'::text[]) a;
INSERT INTO multitenant.role (tenant_id, name) SELECT '00000000-0000-0000-0000-000000000000', 'template ' || i FROM generate_series(1, 3) i;
SQL

foreach my $i (0 .. $#tenants)
{
	$mt->superuser("SELECT multitenant.create_tenant('$tenants[$i]', id => '00000000-0000-4000-8000-00000000010$i');
		INSERT INTO multitenant.member (tenant_id, principal) SELECT '00000000-0000-4000-8000-00000000010$i', id FROM multitenant.principal WHERE id <> 'p13' ON CONFLICT DO NOTHING;
		INSERT INTO multitenant.role (tenant_id, name) SELECT '00000000-0000-4000-8000-00000000010$i', 'role ' || i FROM generate_series(1, 5) i;
		INSERT INTO multitenant.scope (tenant_id, id, parent_id) SELECT '00000000-0000-4000-8000-00000000010$i', 's' || i, CASE WHEN i > 1 THEN 's' || i / 2 - 1 END FROM generate_series(0, 17) i;
		INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id) VALUES ('00000000-0000-4000-8000-00000000010$i', false, 'adm', '00000000-0000-0000-0000-000000000001')");
}

# The session that changes has its own chance; the one that asks stays for all rounds.
my $changer = $node->background_psql('app', on_error_stop => 0, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
my $asker = $node->background_psql('app', on_error_stop => 0, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
ask($changer, "SELECT setseed($seed)");
ask($asker, "SELECT setseed(-$seed)");
ask($changer, "INSERT INTO multitenant.role_permission (role_id, permission, tenant_id)
	SELECT r.id, reference.pattern(), r.tenant_id FROM multitenant.role r, generate_series(1, 3) WHERE NOT r.is_builtin ON CONFLICT DO NOTHING");
change($changer, 60) foreach 1 .. 4;

# So many random changes. What fails would leave nothing to compare.
sub change
{
	my ($session, $count) = @_;
	my $done = ask($session, "SELECT count(reference.change()) FROM generate_series(1, $count)");
	die "changes failed: $done\n" if $done ne $count;
	return;
}

my %sum = (cases => 0, held => 0, wrong => 0, own => 0, own_wrong => 0, system => 0, system_wrong => 0);
my @examples;

# Asked again until nothing has ended in the meantime.
sub compare
{
	my ($query) = @_;
	foreach (1 .. 200)
	{
		my $answer = ask($asker, "SELECT x.*, reference.is_calm() FROM ($query) x");
		return split(/\|/, $answer) if $answer !~ /\|f$/;
	}
	die "something ends all the time\n";
}

sub compare_everybody
{
	my ($id) = @_;
	my ($cases, $held, $wrong, $example) = compare("SELECT * FROM reference.compare('$id')");
	$sum{cases} += $cases;
	$sum{held} += $held;
	$sum{wrong} += $wrong;
	push @examples, $example if $wrong;
	return;
}

# Errors stand in the place of the answer.
sub enter
{
	my ($tenant, $principal) = @_;
	ask($asker, 'BEGIN');
	return ask($asker, "SELECT multitenant.authenticate('" . $mt->token($tenant, sub => $principal) . "')");
}

foreach my $round (1 .. $rounds)
{
	foreach my $i (0 .. $#tenants)
	{
		my $id = "00000000-0000-4000-8000-00000000010$i";
		enter($tenants[$i], 'adm');
		compare_everybody($id);
		if ($round % 2)
		{
			# What it changes itself, and what it takes back.
			ask($asker, 'SAVEPOINT s');
			change($asker, 12);
			compare_everybody($id);
			ask($asker, 'ROLLBACK TO s');
			compare_everybody($id) if $round % 4 == 1;
		}
		else
		{
			# What the other one changes in the middle of the transaction.
			change($changer, 8);
			compare_everybody($id);
		}
		ask($asker, 'COMMIT');
	}
	foreach (1 .. $own_contexts)
	{
		my ($slug, $principal) = split(/\|/, $mt->superuser("SELECT t.slug, a.principal FROM reference.acting a JOIN multitenant.tenant t ON t.id = a.tenant_id
			JOIN multitenant.member m USING (tenant_id, principal) WHERE m.expires_at IS NULL AND t.slug LIKE 'rnd-%' ORDER BY random() LIMIT 1"));
		enter($slug, $principal);
		my ($cases, $wrong) = compare('SELECT * FROM reference.compare_own()');
		ask($asker, 'COMMIT');
		$sum{own} += $cases;
		$sum{own_wrong} += $wrong;
	}
	# The provider's own staff.
	$mt->superuser("UPDATE multitenant.principal SET state = 'active' WHERE id = 'p$round';
		INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id, expires_at)
		SELECT '00000000-0000-0000-0000-000000000000', false, 'p$round', r.id, reference.soon() FROM multitenant.role r WHERE NOT r.is_builtin ORDER BY random() LIMIT 4;
		INSERT INTO multitenant.group_member (tenant_id, is_group, member, group_name) VALUES ('00000000-0000-0000-0000-000000000000', false, 'p$round', 'g0'),
			('00000000-0000-0000-0000-000000000000', true, 'g0', 'g$round') ON CONFLICT DO NOTHING");
	enter(undef, "p$round");
	my ($cases, $wrong) = compare("SELECT count(*), count(*) FILTER (WHERE multitenant.has_system_permission(n.name) <>
		(n.name IN (SELECT permission FROM reference.system('p$round')))) FROM multitenant.permission n");
	ask($asker, 'COMMIT');
	$sum{system} += $cases;
	$sum{system_wrong} += $wrong;
	change($changer, 40);
}

# A session that may not use indexes reads each table from its beginning.
$asker->quit;
{
	local $ENV{PGOPTIONS} = '-c ignore_system_indexes=on';
	$asker = $node->background_psql('app', on_error_stop => 0, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
}
enter($tenants[0], 'adm');
compare_everybody('00000000-0000-4000-8000-000000000100');
ask($asker, 'COMMIT');

note(join(', ', map { "$_ $sum{$_}" } sort keys %sum));
is($sum{wrong}, 0, "everybody's rights are those of the reference") or diag(join("\n", @examples));
cmp_ok($sum{cases}, '>=', $rounds * 12500, 'over as many cases as there should be');
cmp_ok($sum{held}, '>', $sum{cases} / 50, 'of which enough are held, without those of administrators');
cmp_ok($sum{held}, '<', $sum{cases} * 0.8, 'and enough are not');
is($sum{own_wrong}, 0, 'own rights, anywhere and in lists, are those of the reference');
cmp_ok($sum{own}, '>', 1000, 'over as many cases as there should be');
is($sum{system_wrong}, 0, 'rights in the system are those of the reference');
cmp_ok($sum{system}, '>', 100, 'over as many cases as there should be');

$changer->quit;
$asker->quit;
done_testing();
