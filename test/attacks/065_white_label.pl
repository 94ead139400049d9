# What a tenant can learn of the provider and of other tenants without seeing a row: every function that an application may
# call is called, every view is read, with names and ids of another tenant that it may have got from elsewhere and with some
# that do not exist. Nothing of the other tenant is in what comes back, and both are answered alike.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $app = 'regress_mt_app';
my $dir = PostgreSQL::Test::Utils::tempdir;
umask(0077);
append_to_file("$dir/1.key", '5c' x 32);
my $mt = MtTest->new('white_label', conf => "multitenant.key_provider = file\nmultitenant.key_file = '$dir/%v.key'");

# The other tenant, and a stranger of the same shape for each thing that it has.
my %canary = (id => 'ca0a0000-0000-4000-8000-00000000ca0a', slug => 'canary-tenant', number => 987654321, principal => 'canary-principal', role => 'canary-role',
	group => 'canary-group', scope => 'canary-scope', object => 'ca0d0000-0000-4000-8000-00000000ca0d');
my %stranger = (id => 'fe0a0000-0000-4000-8000-00000000fe0a', slug => 'orphan-tenant', number => 123454321, principal => 'orphan-principal', role => 'orphan-role',
	group => 'orphan-group', scope => 'orphan-scope', object => 'fe0d0000-0000-4000-8000-00000000fe0d');
my %needles = (%canary, name => 'Canary Limited', master => 'canary-master', master_id => 'ca0b0000-0000-4000-8000-00000000ca0b', reason => 'canary-reason', secret => 'canary-secret');
my $acme = '00000000-0000-0000-0000-00000000000a';

$mt->superuser(<<"SQL");
SELECT multitenant.create_tenant('$canary{slug}', '$needles{name}', $canary{number}, '$canary{id}');
INSERT INTO multitenant.principal (id) SELECT unnest('{$canary{principal},ann,nora}'::text[]);
INSERT INTO multitenant.member (tenant_id, principal) VALUES ('$canary{id}', '$canary{principal}'), ('$acme', 'ann'), ('$acme', 'nora');
INSERT INTO multitenant.role (id, tenant_id, name) VALUES ('$canary{object}', '$canary{id}', '$canary{role}');
INSERT INTO multitenant.member_group (tenant_id, name) VALUES ('$canary{id}', '$canary{group}');
INSERT INTO multitenant.group_member (tenant_id, is_group, member, group_name) VALUES ('$canary{id}', false, '$canary{principal}', '$canary{group}');
INSERT INTO multitenant.scope (tenant_id, id) VALUES ('$canary{id}', '$canary{scope}');
INSERT INTO multitenant.role_assignment (id, tenant_id, is_group, assignee, role_id) VALUES
	('$canary{object}', '$canary{id}', false, '$canary{principal}', '$canary{object}'), (DEFAULT, '$acme', false, 'ann', '00000000-0000-0000-0000-000000000001');
INSERT INTO multitenant.master_account (id, name) VALUES ('$needles{master_id}', '$needles{master}');
INSERT INTO multitenant.master_tenant (tenant_id, master_id) VALUES ('$canary{id}', '$needles{master_id}');
INSERT INTO multitenant.operator (tenant_id, principal, master_id, role_id) VALUES
	('$canary{id}', '$canary{principal}', '$needles{master_id}', '$canary{object}');
INSERT INTO multitenant.access_request (id, tenant_id, principal, reason, duration) VALUES ('$canary{object}', '$canary{id}', '$canary{principal}', '$needles{reason}', '1 hour');
INSERT INTO multitenant.supervision (id, tenant_id, principal, ends_at, reason) VALUES ('$canary{object}', '$canary{id}', '$canary{principal}', now() + interval '1 hour', '$needles{reason}');
INSERT INTO multitenant.break_glass_rule (tenant_id, role_id, maximum) VALUES ('$canary{id}', '$canary{object}', '1 hour'),
	('$acme', '00000000-0000-0000-0000-000000000001', '1 hour');
INSERT INTO multitenant.break_glass (id, tenant_id, principal, role_id, ends_at, reason, duration) VALUES
	('$canary{object}', '$canary{id}', '$canary{principal}', '$canary{object}', now() + interval '1 hour', '$needles{reason}', '1 hour');
INSERT INTO multitenant.purpose_rule (tenant_id, purpose, decrypt_permission) VALUES ('$canary{id}', '$canary{slug}', 'secret:decrypt');
INSERT INTO multitenant.membership_rule (mode) VALUES ('multiple') ON CONFLICT DO NOTHING;
-- Runs it, undoes it, and says what came of it.
CREATE FUNCTION public.attempt(label text, call text) RETURNS text LANGUAGE plpgsql AS \$\$
DECLARE
	result text; state text; message text; detail text; hint text; place text;
BEGIN
	BEGIN
		EXECUTE 'SELECT string_agg(x::text, '' '') FROM (SELECT * FROM ' || call || ' AS f LIMIT 50) x' INTO result;
		RAISE SQLSTATE 'ZZ999';
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, place = PG_EXCEPTION_CONTEXT;
		IF state = 'ZZ999' THEN
			RETURN concat_ws('|', '#', label, '00000', regexp_replace(result, '[\\n\\r]', ' ', 'g'));
		END IF;
		RETURN concat_ws('|', '#', label, state, regexp_replace(concat_ws('|', message, detail, hint), '[\\n\\r]', ' ', 'g')) || E'\\n' || place;
	END;
END \$\$;
SQL
my ($sealed) = split /\n/, ($mt->run('regress_mt_trusted', "SET client_min_messages = error; BEGIN; SELECT multitenant.use_tenant('$canary{slug}') IS NULL AS x \\gset\nSELECT multitenant.encrypt('$needles{secret}', 'pii'); COMMIT;"))[0];
like($sealed, qr/^\\x/, 'the other tenant has a value');
# The same, under a key that is not there.
my $strange = $sealed;
substr($strange, 8, 8) = '00000001';

# Functions that an application may call; not those that are the way into another context, nor what takes internal types.
my @functions = map { my ($name, $types, $defaults) = split /\|/, $_, -1; { name => $name, types => [ split /,/, $types ], defaults => $defaults } }
	split /\n/, $mt->superuser(<<"SQL");
SELECT p.proname, coalesce((SELECT string_agg(t.typname, ',' ORDER BY a.n) FROM unnest(p.proargtypes) WITH ORDINALITY AS a(id, n) JOIN pg_type t ON t.oid = a.id), ''), p.pronargdefaults
FROM pg_proc p
WHERE p.pronamespace = 'multitenant'::regnamespace AND p.prokind = 'f' AND has_function_privilege('$app', p.oid, 'EXECUTE')
AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype, 'cstring'::regtype)
AND p.proname NOT IN ('system_context', 'reset_tenant', '_lint_state')
-- These count what this test does.
AND p.proname NOT IN ('_audit_metadata', '_tenant_overview')
AND NOT EXISTS (SELECT FROM unnest(p.proargtypes) AS a(id) JOIN pg_type t ON t.oid = a.id WHERE t.typtype IN ('p', 'c') OR t.typelem <> 0 AND t.typname NOT IN ('_text', 'name', '_uuid'))
ORDER BY 1, 2
SQL
cmp_ok(scalar @functions, '>', 150, 'functions that an application may call');

# One value for each type. Texts are what is being tried.
sub value
{
	my ($type, $text, $of) = @_;
	my %value = (text => "'$text'", name => "'$text'", varchar => "'$text'", uuid => "'" . ($text =~ /^[0-9a-f-]{36}$/ ? $text : $of->{object}) . "'",
		int8 => $of->{number}, int4 => 3, int2 => 1, bool => 'true', float8 => 0.5, interval => "'1 hour'", timestamptz => "now() + interval '1 hour'",
		_text => "'{$text}'", _uuid => "'{$of->{id}}'", jsonb => "'{}'", json => "'{}'", bytea => "'\\x00'", regclass => "'public.invoice'", oid => '1',
		encrypted => "'" . ($of == \%canary ? $sealed : $strange) . "'", encrypted_det => 'NULL');
	return ($value{$type} // 'NULL') . "::$type";
}

# label => answer, and everything that was said, for one kind of thing.
sub attempts
{
	my ($session, $kind, $of) = @_;
	my $sql = '';
	foreach my $function (@functions)
	{
		my @types = @{ $function->{types} };
		foreach my $count (sort { $a <=> $b } keys %{ { map { $_ => 1 } scalar @types, @types - $function->{defaults} } })
		{
			my $call = "multitenant.$function->{name}(" . join(', ', map { value($_, $of->{$kind}, $of) } @types[0 .. $count - 1]) . ')';
			my $label = "$function->{name}(" . join(',', @types[0 .. $count - 1]) . ')';
			$sql .= "SELECT public.attempt('$label', \$call\$$call\$call\$);\n";
		}
	}
	my ($out, $err) = $mt->run($app, "$session$sql");
	my %answer = map { /^#\|([^|]*)\|(.*)$/ ? ($1 => $2) : () } split /\n/, $out;
	return (\%answer, "$out\n$err");
}

# What was asked with is echoed, and pieces of it; ids, numbers and times are new each time.
sub alike
{
	my ($answer, $of) = @_;
	$answer =~ s/\\x[0-9a-f]*//g;
	$answer =~ s/\Q$_\E/?/g foreach sort { length $b <=> length $a } values %$of;
	# before the marks of the canaries' own ids, which a random one may contain
	$answer =~ s/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/U/g;
	$answer =~ s/canary|orphan/?/g;
	$answer =~ s/(?:ca|fe)0([a-d])/?$1/g;
	$answer =~ s/staged_[0-9a-f]{16}/staged/g;
	$answer =~ s/\d+/N/g;
	return $answer;
}

my %sessions = (
	administrator => $mt->begin('acme', sub => 'ann'),
	member => $mt->begin('acme', sub => 'nora'),
	nobody => $mt->begin('acme'),
	'no context' => '');
# First: what the attempts ask with may be recorded for good, as the reason of break-glass is.
foreach my $who (sort keys %sessions)
{
	my @views = split /\n/, $mt->superuser("SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'multitenant'::regnamespace AND c.relkind = 'v' AND has_table_privilege('$app', c.oid, 'SELECT') ORDER BY 1");
	my $seen = join("\n", map { my ($out, $err) = $mt->run($app, $sessions{$who} . "SELECT * FROM multitenant.$_;"); "$_: $out $err" } @views);
	my @found = grep { $seen =~ /\Q$needles{$_}\E/ } sort keys %needles;
	ok(@views > 15 && !@found, "$who: views show nothing of it (" . scalar(@views) . ')');
	diag(map { my $needle = $needles{$_}; my ($line) = grep { /\Q$needle\E/ } split /\n/, $seen; "$_: " . substr($line, 0, 300) . "\n" } @found) if @found;
}

foreach my $who (sort keys %sessions)
{
	foreach my $kind ($who eq 'administrator' ? sort keys %canary : qw(id principal slug))
	{
		my ($answers, $said) = attempts($sessions{$who}, $kind, \%canary);
		my ($others) = attempts($sessions{$who}, $kind, \%stranger);
		cmp_ok(scalar keys %$answers, '>', 150, "$who, $kind: all were called");
		# What was given may come back, nothing else.
		my %given = map { $_ => 1 } $canary{$kind}, @canary{qw(object number id)};
		my @found = grep { !$given{ $needles{$_} } && $said =~ /\Q$needles{$_}\E/ } sort keys %needles;
		ok(!@found, "$who, $kind: nothing of the other tenant comes back");
		diag(map { my $needle = $needles{$_}; my ($line) = grep { /\Q$needle\E/ } split /\n/, $said; "$_: " . substr($line, 0, 300) . "\n" } @found) if @found;
		my @told = grep { alike($answers->{$_}, \%canary) ne alike($others->{$_} // '', \%stranger) } sort keys %$answers;
		ok(!@told, "$who, $kind: what exists elsewhere is answered like what does not");
		diag(map { "$_\n\t" . substr($answers->{$_}, 0, 200) . "\n\t" . substr($others->{$_} // '', 0, 200) . "\n" } @told[0 .. ($#told < 5 ? $#told : 5)]) if @told;
	}
}

# Where a principal can be a member of one tenant only, nobody learns that it is one elsewhere.
$mt->superuser("SELECT multitenant.set_membership_mode('single')");
my ($answers) = attempts($sessions{administrator}, 'principal', \%canary);
my ($others) = attempts($sessions{administrator}, 'principal', \%stranger);
my @told = grep { alike($answers->{$_}, \%canary) ne alike($others->{$_} // '', \%stranger) } sort keys %$answers;
ok(!@told, 'one tenant for each: who is a member elsewhere is answered like who is none');
diag(map { "$_\n\t$answers->{$_}\n\t" . ($others->{$_} // '') . "\n" } @told) if @told;

# A definer function of the extension does not tell what its owner would be told.
$mt->allowed($app, $sessions{administrator} . "SELECT multitenant.put_secret('a', 'b'); COMMIT;", undef, 'a key');
unlink("$dir/1.key");
append_to_file("$dir/1.key", '6d' x 32);
$mt->node->restart;
my ($out, $err) = $mt->run($app, $sessions{administrator} . "SELECT multitenant.get_secret('a');");
ok($err =~ /MT020/ && $err !~ /[0-9a-f]{16}|\Q$dir\E/, 'no name of a master key is in an error of an application');
diag("$out $err") unless $err =~ /MT020/;
done_testing();
