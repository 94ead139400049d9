# Races of people: who gives what another session is just changing, and who holds a row of his own to keep what he has.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest qw(ask);
use PostgreSQL::Test::Utils;
use Test::More;

my $mt = MtTest->new('races');
my $app = 'regress_mt_app';
my $provisioner = 'regress_mt_provisioner';
my $acme = '00000000-0000-0000-0000-00000000000a';

$mt->superuser("SELECT multitenant.add_member('acme', 'ann', 'administrator'), multitenant.create_permission('ticket:read', 'x'),
	multitenant.create_role_template('helper', 'x', '{ticket:read}');
	INSERT INTO multitenant.member (tenant_id, principal) SELECT '$acme', unnest('{lim,mel}'::text[]);
	INSERT INTO multitenant.member (tenant_id, principal, state) VALUES ('$acme', 'out', 'invited');");
sub in { my ($who) = @_; return $mt->begin('acme', sub => $who) }
sub as { my ($who) = @_; return 'BEGIN; SELECT multitenant.authenticate(\'' . $mt->token(undef, sub => $who) . "');\n" }
$mt->allowed($app, in('ann') . "SELECT multitenant.create_role('giver', 'x', '{role:assign,role:manage,ticket:read}'),
	multitenant.assign_role('lim', 'giver'), multitenant.create_role('idle'), multitenant.create_role('small'), multitenant.create_scope('px'), multitenant.create_group('team');
	COMMIT; SELECT 'made';", 'made', 'one who gives little');

# A statement that has to wait for another session; what comes of it when that has gone on.
sub begins_to_wait
{
	my ($session, $statement) = @_;
	$session->query_until(qr/on its way/, "\\echo on its way\n$statement;\n");
	ok($mt->node->poll_query_until('app', "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"), "$statement: waits");
	return;
}

# ---- a role is held before it is asked what it permits ----
foreach my $case ([ 'READ COMMITTED', '42501' ], [ 'REPEATABLE READ', '40001' ])
{
	my ($level, $state) = @$case;
	foreach my $give ("assign_role('mel', 'helper')", "create_role('mine', 'x', '{}', '{helper}')", "inherit_role('giver', 'helper')")
	{
		$mt->superuser("SELECT multitenant.alter_role_template('helper', permissions => '{ticket:read}')");
		my ($changing, $giving) = ($mt->session($provisioner), $mt->session($app));
		ask($changing, "BEGIN; SELECT multitenant.alter_role_template('helper', permissions => '{*:*}')");
		(my $begin = in('lim')) =~ s/BEGIN;/BEGIN ISOLATION LEVEL $level;/;
		ask($giving, $begin);
		begins_to_wait($giving, "SELECT multitenant.$give");
		ask($changing, 'COMMIT');
		is(ask($giving, 'SELECT 1'), $state, "a template that is being changed, $level: $give");
		$_->quit foreach $changing, $giving;
	}
}
is($mt->superuser("SELECT count(*) FROM multitenant.role_assignment WHERE assignee = 'mel'"), '0', 'nothing came of it');

# ---- nobody keeps what is his by locking his row ----
my $leave = 'SELECT multitenant.leave_tenant()';
{
	my ($first, $second) = ($mt->session($app), $mt->session($app));
	ask($first, in('mel') . $leave);
	ask($second, in('mel'));
	is(ask($second, "SET LOCAL statement_timeout = '5s'; $leave"), '55000', 'leaving: no queue of his own');
	ask($first, 'ROLLBACK');
	ask($second, 'ROLLBACK; ' . as('out'));
	ask($first, as('out') . "SELECT multitenant.decline_invitation('acme')");
	is(ask($second, "SET LOCAL statement_timeout = '5s'; SELECT multitenant.$_('acme')"), '55000', "$_: no queue of his own") foreach 'decline_invitation';
	ask($second, 'ROLLBACK; ' . as('out'));
	is(ask($second, "SET LOCAL statement_timeout = '5s'; SELECT multitenant.accept_invitation('acme')"), '55000', 'accept_invitation: no queue of his own');
	$mt->allowed($app, in('ann') . "SET LOCAL statement_timeout = '9s'; SELECT multitenant.invite_member('out'); COMMIT; SELECT 'done';", 'done',
		'inviting again does not wait for who declines');
	eval { $_->quit } foreach $first, $second;
}
# What a superuser locks is not waited for without end.
{
	my $locker = $mt->node->background_psql('app');
	$locker->query("BEGIN; SELECT FROM multitenant.member WHERE principal = 'mel' FOR UPDATE");
	$mt->refused($app, in('ann') . "SET LOCAL statement_timeout = '60s'; SELECT multitenant.remove_member('mel');", '55000', 'a row that stays locked: an end');
	$locker->quit;
}
$mt->superuser("INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id, scope_id, expires_at)
	SELECT '$acme', false, 'mel', r.id, s.id, now() - interval '1 day' FROM multitenant.role r, (VALUES ('px'), (NULL)) AS s(id) WHERE r.name = 'idle'");
foreach my $change ("assign_role('mel', 'small')", "add_to_group('team', 'mel')", "invite_member('mel')", "add_member('mel')",
	"drop_scope('px')", "drop_role('idle')")
{
	my $holder = $mt->session($app);
	ask($holder, in('mel') . $leave);
	my ($out, $err) = $mt->run($app, in('ann') . "SET LOCAL statement_timeout = '9s'; SELECT multitenant.$change; COMMIT;");
	unlike($err, qr/57014/, "$change does not wait for who is leaving");
	eval { $holder->quit };
}

# ---- the last two who manage do not leave together ----
{
	$mt->superuser("DELETE FROM multitenant.role_assignment WHERE assignee = 'mel'");
	my ($one, $two) = ($mt->session($app), $mt->session($app));
	ask($one, in('ann') . "SELECT multitenant.assign_role('mel', 'administrator')");
	(my $begin = in('mel')) =~ s/BEGIN;/BEGIN ISOLATION LEVEL REPEATABLE READ;/;
	ask($two, "$begin SELECT multitenant.current_tenant()");
	ask($one, 'COMMIT');
	is(ask($two, $leave), '40001', 'who leaves sees that he manages now');
	$_->quit foreach $one, $two;
}

done_testing();
