# Break-glass and rules of purposes against who looks after tenants from outside, against their own members who want more
# than they were given, and against the clock.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest qw(ask);
use PostgreSQL::Test::Utils;
use Test::More;

my ($app, $trusted) = qw(regress_mt_app regress_mt_trusted);
my $dir = PostgreSQL::Test::Utils::tempdir;
umask(0077);
append_to_file("$dir/1.key", '5c' x 32);
my $mt = MtTest->new('break_glass', conf => "multitenant.key_provider = file\nmultitenant.key_file = '$dir/%v.key'\nmultitenant.clock_leeway = 0");
my $acme = '00000000-0000-0000-0000-00000000000a';
my $beta = '00000000-0000-0000-0000-00000000000b';

# ann is the administrator, otto may open, adam and eve approve and review; ops looks after acme from outside, with a role
# that permits everything; mole knows the tenant and is nobody there.
$mt->superuser(<<"SQL");
INSERT INTO multitenant.principal (id) SELECT unnest('{ann,otto,adam,eve,ops,mole}'::text[]);
INSERT INTO multitenant.member (tenant_id, principal) SELECT '$acme', unnest('{ann,otto,adam,eve}'::text[]);
INSERT INTO multitenant.member (tenant_id, principal) VALUES ('$beta', 'otto');
INSERT INTO multitenant.permission (name, description) VALUES ('vault:open', 'Open the vault.');
INSERT INTO multitenant.role (id, tenant_id, name) VALUES
	('a0000000-0000-4000-8000-0000000000e1', '$acme', 'emergency'), ('a0000000-0000-4000-8000-0000000000e2', '$acme', 'staff'),
	('a0000000-0000-4000-8000-0000000000e3', '$acme', 'keeper');
INSERT INTO multitenant.role_permission (role_id, permission, tenant_id) VALUES
	('a0000000-0000-4000-8000-0000000000e1', '*:*', '$acme'), ('a0000000-0000-4000-8000-0000000000e2', 'break_glass:open', '$acme'),
	('a0000000-0000-4000-8000-0000000000e3', 'break_glass:approve', '$acme'), ('a0000000-0000-4000-8000-0000000000e3', 'break_glass:open', '$acme'),
	('a0000000-0000-4000-8000-0000000000e3', 'break_glass:review', '$acme');
INSERT INTO multitenant.role_assignment (tenant_id, is_group, assignee, role_id) VALUES
	('$acme', false, 'ann', '00000000-0000-0000-0000-000000000001'), ('$acme', false, 'otto', 'a0000000-0000-4000-8000-0000000000e2'),
	('$acme', false, 'adam', 'a0000000-0000-4000-8000-0000000000e3'), ('$acme', false, 'eve', 'a0000000-0000-4000-8000-0000000000e3'),
	('$beta', false, 'otto', '00000000-0000-0000-0000-000000000001');
INSERT INTO multitenant.master_account (id, name) VALUES ('c0000000-0000-4000-8000-0000000000c1', 'helpers');
INSERT INTO multitenant.master_tenant (tenant_id, master_id) VALUES ('$acme', 'c0000000-0000-4000-8000-0000000000c1');
INSERT INTO multitenant.operator (tenant_id, principal, master_id, role_id) VALUES
	('$acme', 'ops', 'c0000000-0000-4000-8000-0000000000c1', '00000000-0000-0000-0000-000000000001');
UPDATE multitenant.tenant SET visibility = 'supervised' WHERE slug = 'acme';
INSERT INTO multitenant.supervision (tenant_id, principal, ends_at, reason) VALUES ('$acme', 'ops', now() + interval '1 hour', 'test');
INSERT INTO multitenant.principal (id) VALUES ('friend');
INSERT INTO multitenant.member (tenant_id, principal, state) VALUES ('$acme', 'friend', 'suspended');
INSERT INTO multitenant.member_group (tenant_id, name) VALUES ('$acme', 'team');
INSERT INTO multitenant.scope (tenant_id, id) VALUES ('$acme', 'here');
INSERT INTO multitenant.role_exclusion (tenant_id, role_id, excluded_id) VALUES
	('$acme', 'a0000000-0000-4000-8000-0000000000e2', 'a0000000-0000-4000-8000-0000000000e3');
INSERT INTO multitenant.access_request (id, tenant_id, principal, reason, duration) VALUES
	('d0000000-0000-4000-8000-0000000000d1', '$acme', 'ops', 'test', '1 hour');
CREATE TABLE sealed (value multitenant.encrypted);
GRANT ALL ON sealed TO PUBLIC;
SQL
sub as { my ($principal, %claims) = @_; return $mt->begin($claims{tenant} // 'acme', sub => $principal, %claims); }

# Runs it as a member and commits; the output.
sub by
{
	my ($principal, $sql, %claims) = @_;
	$mt->superuser($claims{before}) if $claims{before};
	delete $claims{before};
	my ($out, $err) = $mt->run($app, as($principal, %claims) . $sql . '; COMMIT;');
	die "$principal: $err\n" if $err =~ /ERROR/;
	return (split /\n/, $out)[-1];
}
sub open_count { return $mt->superuser('SELECT count(*) FROM multitenant.break_glass WHERE closed_at IS NULL AND ends_at > now() AND holds_from IS NOT NULL'); }

by('ann', "SELECT multitenant.set_break_glass('emergency', '30 minutes')");
my $id = by('otto', "SELECT multitenant.open_break_glass('fire')");
like($id, qr/^[0-9a-f-]{36}$/, 'otto has opened it, and it waits');

# ---- from outside ----
my %attempts = (
	'set it' => "SELECT multitenant.set_break_glass('emergency')",
	'drop it' => 'SELECT multitenant.drop_break_glass()',
	'open it' => "SELECT multitenant.open_break_glass('I am here to help')",
	'approve it' => "SELECT multitenant.approve_break_glass('$id')",
	'deny it' => "SELECT multitenant.deny_break_glass('$id')",
	'close it' => "SELECT multitenant.close_break_glass('$id')",
	'review it' => "SELECT multitenant.review_break_glass('$id', 'fine')",
	'see it' => 'SELECT reason FROM multitenant.break_glass_reviews',
	'read the table' => 'SELECT reason FROM multitenant.break_glass',
	'write the table' => "UPDATE multitenant.break_glass SET holds_from = now()",
	'read the rule' => 'SELECT role_id FROM multitenant.break_glass_rule',
	'write the rule' => 'UPDATE multitenant.break_glass_rule SET needs_approval = false');
foreach my $what (sort keys %attempts)
{
	my $sql = $attempts{$what};
	$mt->refused($_, "$sql;", '(?:MT001|42501)', "MSP: $_ cannot $what") foreach qw(regress_mt_provisioner regress_mt_operator regress_mt_auditor);
	# The profile is that of an application here; the principal is the operator.
	$mt->refused($app, as('ops', kind => 'supervised') . "$sql;", '(?:42501|25006|MT008|MT001)', "MSP: an operator who is let in to look cannot $what");
	$mt->refused('regress_mt_migrator', "BEGIN; SELECT multitenant.system_context('maintenance'); $sql;", '(?:MT001|42501|25006)', "a system context cannot $what");
	next if $what eq 'see it';
	$mt->refused($app, as('ops') . "$sql;", '42501', "MSP: an operator with a token of the tenant and no membership cannot $what");
	$mt->refused($app, as('mole') . "$sql;", '42501', "somebody who is no member cannot $what");
	$mt->refused($app, as(undef) . "$sql;", '42501', "a token without a principal cannot $what");
	$mt->refused($trusted, "BEGIN; SELECT multitenant.use_tenant('acme'); $sql;", '42501', "an application that names the tenant cannot $what");
	next if $what =~ /table|rule/;
	my (undef, $err) = $mt->run(scalar getpwuid($<), "BEGIN; SELECT multitenant.use_tenant('acme'); $sql;");
	like($err, qr/ERROR:  42501: .* is for members of the tenant alone/, "a superuser without a principal cannot $what by the function");
}
foreach my $session (as('ops'), as('mole'), as(undef), "BEGIN; SELECT multitenant.use_tenant('acme');")
{
	my ($out, $err) = $mt->run($session =~ /use_tenant/ ? $trusted : $app, $session . "SELECT count(*) || ' seen' FROM multitenant.break_glass_reviews;");
	like("$out\n$err", qr/^0 seen$|ERROR:  (?:42501|MT008)/m, 'who is no member sees none of it');
}
is(open_count(), 0, 'nothing has come of all that');
is($mt->superuser("SELECT count(*) FROM multitenant.break_glass WHERE closed_at IS NULL AND reviewed_at IS NULL AND holds_from IS NULL"), 1, 'and what waits still waits');
is($mt->superuser('SELECT needs_approval FROM multitenant.break_glass_rule'), 't', 'under the same rule');

# ---- the opener alone ----
by('ann', "SELECT multitenant.create_role('manager', permissions => '{break_glass:manage,role:manage}'); SELECT multitenant.assign_role('mole', 'manager')",
	before => "INSERT INTO multitenant.member (tenant_id, principal) VALUES ('$acme', 'mole')");
$mt->refused($app, as('mole') . "SELECT multitenant.set_break_glass('emergency', '30 minutes', false);", '42501', 'who has not got the role himself cannot make it the one of break-glass');
$mt->refused($app, as('otto') . "SELECT multitenant.approve_break_glass('$id');", '42501', 'the opener cannot approve it');
by('otto', 'SELECT multitenant.close_break_glass()');
$id = by('adam', "SELECT multitenant.open_break_glass('mine')");
$mt->refused($app, as('adam') . "SELECT multitenant.approve_break_glass('$id');", '42501', 'nor with the permission to approve');
$mt->refused($trusted, as('adam') . "SELECT multitenant.approve_break_glass('$id');", '42501', 'nor from another application');
$mt->refused($app, as('adam') . "SELECT multitenant.deny_break_glass('$id');", '42501', 'nor deny it');
$mt->superuser("UPDATE multitenant.break_glass SET ends_at = now() - interval '1 second' WHERE id = '$id'");
$mt->refused($app, as('eve') . "SELECT multitenant.approve_break_glass('$id');", '55000', 'nobody approves it after an hour');
$id = by('adam', "SELECT multitenant.open_break_glass('mine again')");
$mt->superuser("UPDATE multitenant.member SET state = 'suspended' WHERE principal = 'adam'");
$mt->refused($app, as('eve') . "SELECT multitenant.approve_break_glass('$id');", '55000', 'nor for somebody who is no active member any more');
$mt->superuser("UPDATE multitenant.member SET state = 'active' WHERE principal = 'adam'");
by('eve', "SELECT multitenant.approve_break_glass('$id')");
is(open_count(), 1, 'eve approves it');

# ---- under it ----
is(by('adam', "SELECT multitenant.has_permission('vault:open') AND multitenant.has_permission('break_glass:manage')"), 't', 'adam has everything now');
$mt->refused($app, as('adam') . "SELECT multitenant.set_break_glass('emergency', '24 hours', false);", '42501', 'but cannot do without approval from now on');
$mt->refused($app, as('adam') . 'SELECT multitenant.drop_break_glass();', '42501', 'nor drop the rule');
$mt->refused($app, as('adam') . "SELECT multitenant.assign_role('adam', 'emergency');", '42501', 'nor give himself the role for good');
$mt->refused($app, as('adam') . "SELECT multitenant.grant_permission('keeper', 'vault:open');", '42501', 'nor his own role what it permits');
$mt->refused($app, as('adam') . "SELECT multitenant.set_purpose_rule('pii', 'break_glass:open');", '42501', 'nor say who decrypts');
# Nothing that lasts comes of it, whatever its role permits: a friend who is resumed, somebody new, duties that are joined.
is(by('adam', "SELECT bool_and(multitenant.has_permission(p)) FROM unnest('{member:manage,role:assign,role:manage,scope:manage,visibility:manage,access:approve}'::text[]) p"), 't',
	'its role permits everything');
my $everything = "SELECT string_agg(t.r::text, chr(10) ORDER BY t.r::text) FROM (SELECT to_jsonb(m) FROM multitenant.member m
	UNION ALL SELECT to_jsonb(a) FROM multitenant.role_assignment a UNION ALL SELECT to_jsonb(r) FROM multitenant.role r
	UNION ALL SELECT to_jsonb(p) FROM multitenant.role_permission p UNION ALL SELECT to_jsonb(e) FROM multitenant.role_exclusion e
	UNION ALL SELECT to_jsonb(s) FROM multitenant.scope s UNION ALL SELECT to_jsonb(q) FROM multitenant.access_request q
	UNION ALL SELECT to_jsonb(g) FROM multitenant.group_member g UNION ALL SELECT to_jsonb(n) FROM multitenant.tenant n) AS t(r)";
my $before = $mt->superuser($everything);
foreach my $lasting ("resume_member('friend')", "add_member('accomplice')", "invite_member('accomplice')", "suspend_member('ann', 'x')", "remove_member('ann')",
	"create_group('crew')", "add_to_group('team', 'adam')", "unassign_role('ann', 'administrator')", "create_role('mine', permissions => '{vault:open}')",
	"create_role('empty')", "alter_role('keeper', 'mine')", "drop_exclusion('keeper', 'staff')", "exclude_roles('keeper', 'emergency')", "revoke_permission('keeper', 'break_glass:open')",
	"create_scope('s')", "move_scope('here', NULL)", "drop_scope('here')", "set_visibility('none')", "set_visibility('metadata')", "set_visibility('supervised')",
	"approve_access('d0000000-0000-4000-8000-0000000000d1')")
{
	my (undef, $err) = $mt->run($app, as('adam') . "SELECT multitenant.$lasting; COMMIT;");
	like($err, qr/ERROR:  42501: permission "[a-z:_]+" is not enough under break-glass/, "under break-glass: $lasting");
}
is($mt->superuser($everything), $before, 'under break-glass: nothing has changed');
by('adam', "SELECT multitenant.deny_access('d0000000-0000-4000-8000-0000000000d1')");
my $second = by('otto', "SELECT multitenant.open_break_glass('while the door is open')");
$mt->refused($app, as('adam') . "SELECT multitenant.approve_break_glass('$second');", '42501', 'nor let others in');
$mt->refused($app, as('adam', tenant => 'beta') . "SELECT multitenant.close_break_glass('$second');", '42501', 'it holds in its tenant only');
$mt->refused($app, as('otto', tenant => 'beta') . "SELECT multitenant.approve_break_glass('$id');", '42704', 'the administrator of another tenant finds nothing');
$mt->refused($app, as('adam') . "SELECT multitenant.open_break_glass('twice');", '55000', 'there is one at a time for each');

# ---- it ends: for an open transaction, too ----
my $session = $mt->session($app);
sub entered { my ($s, $principal) = @_; ask($s, 'BEGIN'); ask($s, "SELECT multitenant.authenticate('" . $mt->token('acme', sub => $principal) . "')"); return; }
entered($session, 'adam');
is(ask($session, "SELECT multitenant.has_permission('vault:open')"), 't', 'in a transaction that is open');
by('eve', "SELECT multitenant.close_break_glass('$id')");
is(ask($session, "SELECT multitenant.has_permission('vault:open')"), 'f', 'somebody else closes it, and the next statement is without it');
ask($session, 'ROLLBACK');
by('ann', "SELECT multitenant.set_break_glass('emergency', '30 minutes', false)");
entered($session, 'adam');
like(ask($session, "SELECT multitenant.open_break_glass('for a moment', '2 seconds')"), qr/^[0-9a-f-]{36}$/, 'without approval it is opened');
is(ask($session, "SELECT multitenant.has_permission('vault:open')"), 't', 'and holds at once');
ask($session, 'SELECT pg_sleep(2.1)');
is(ask($session, "SELECT multitenant.has_permission('vault:open')"), 'f', 'until its end, in the same transaction');
ask($session, 'COMMIT');
entered($session, 'adam');
is(ask($session, "SELECT multitenant.has_permission('vault:open')"), 'f', 'and after it');
ask($session, 'ROLLBACK');

# ---- two at the same time ----
my $other = $mt->session($app);
entered($session, 'adam');
entered($other, 'adam');
ask($session, "SELECT multitenant.open_break_glass('first')");
$other->query_until(qr/begun/, "\\echo begun\nSELECT multitenant.open_break_glass('second');\n");
$mt->node->poll_query_until('app', "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%second%'")
  or die "nobody waits\n";
ask($session, 'COMMIT');
is(ask($other, 'SELECT 1'), '55000', 'two that open it at the same time: one is refused');
ask($other, 'ROLLBACK');
is(open_count(), 1, 'and one is open');

# ---- nothing of it is lost ----
# A rollback takes away what it gave, not that it was opened.
by('adam', 'SELECT multitenant.close_break_glass()');
$mt->run($app, as('adam') . "SELECT multitenant.open_break_glass('quietly'); SELECT note FROM invoice; ROLLBACK;");
is($mt->superuser("SELECT count(*) FROM multitenant.audit_event WHERE event = 'access.open_break_glass' AND detail ->> 'reason' = 'quietly'"), 1,
	'what was opened in a transaction that is rolled back is recorded');
is(open_count(), 0, 'and not open');
$mt->refused($app, as('adam') . "SELECT multitenant.review_break_glass('$id', 'nothing to see');", '42501', 'nobody reviews his own');
by('eve', "SELECT multitenant.review_break_glass('$id', 'was a drill')");
$mt->refused($app, as('ann') . "SELECT multitenant.review_break_glass('$id', 'was no drill');", '55000', 'nor changes what was found');
$mt->refused($app, as('ann') . 'DELETE FROM multitenant.break_glass;', '42501', 'nor removes it');

# What was done under it stays in the record, by ROLLBACK, READ ONLY or in a savepoint.
by('adam', "SELECT multitenant.open_break_glass('to look around')");
my $uses = "SELECT string_agg(coalesce(object, detail ->> 'purpose') || coalesce(' ' || (detail ->> 'write'), ''), ', ' ORDER BY at, object, detail ->> 'write') FROM multitenant.audit_event
	WHERE event = 'break_glass.use' AND principal = 'adam' AND tenant_id = '$acme' AND at > (SELECT max(at) FROM multitenant.audit_event WHERE event = 'test')";
sub recorded
{
	my ($sql, $expected, $name) = @_;
	$mt->superuser("INSERT INTO multitenant.audit_event (id, at, event, source, outcome, session_role, \"current_role\", detail) VALUES (gen_random_uuid(), clock_timestamp(), 'test', 'application', 'done', 'x', 'x', '{}')");
	my ($out, $err) = $mt->run($app, as('adam') . $sql);
	diag($err) if $err =~ /ERROR/;
	return is($mt->superuser($uses), $expected, "recorded: $name");
}
recorded('SELECT note FROM invoice; ROLLBACK;', 'public.invoice false', 'what is rolled back');
recorded('SELECT note FROM invoice; SELECT count(*) FROM invoice; COMMIT;', 'public.invoice false', 'once for a transaction');
recorded('SET TRANSACTION READ ONLY; SELECT note FROM invoice; COMMIT;', 'public.invoice false', 'in a read-only transaction');
recorded('SAVEPOINT s; SELECT note FROM invoice; ROLLBACK TO s; UPDATE invoice SET note = note; ROLLBACK TO s; SELECT note FROM invoice; COMMIT;',
	'public.invoice false, public.invoice true', 'in savepoints');
recorded('COPY invoice TO STDOUT; ROLLBACK;', 'public.invoice false', 'COPY');
recorded('SELECT count(*) FROM invoice i, (SELECT note FROM invoice) j; ROLLBACK;', 'public.invoice false', 'a table that is named twice');
recorded("SELECT multitenant.decrypt_text(multitenant.encrypt('x', 'pii')), multitenant.decrypt_text(multitenant.encrypt('x', 'pii')); ROLLBACK;", 'pii', 'which purpose is decrypted');
{
	my $parallel = $mt->parallel_setting;
	$mt->superuser("CREATE FUNCTION seen(OUT n bigint) LANGUAGE plpgsql STABLE PARALLEL SAFE AS 'BEGIN n := (SELECT count(*) FROM invoice); END'; CREATE TABLE one (n int); INSERT INTO one VALUES (1); GRANT SELECT ON one TO PUBLIC;
		CREATE FUNCTION may_open(slept boolean) RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE AS 'BEGIN RETURN multitenant.has_permission(''vault:open''); END'");
	recorded("SET $parallel = on; SELECT seen() FROM one; ROLLBACK;", 'public.invoice false', 'what a function reads in a worker');
}
by('adam', 'SELECT multitenant.close_break_glass()');
# Nothing is read that cannot be recorded.
by('adam', "SELECT multitenant.open_break_glass('without a trace')");
{
	my $locker = $mt->node->background_psql('app');
	$locker->query('BEGIN; LOCK TABLE multitenant.audit_event IN SHARE MODE');
	$mt->refused($app, "SET statement_timeout = '2s'; " . as('adam') . "SELECT note FROM invoice;", '57014', 'recorded: or not read', tenant => undef);
	$locker->query('ROLLBACK');
	$locker->quit;
}
# An operator counts events, and does not learn that there is break-glass.
{
	my ($out) = $mt->run($app, "BEGIN; SELECT multitenant.authenticate('" . $mt->token(undef, sub => 'ops') . "'); SELECT DISTINCT event_class FROM multitenant.audit_metadata ORDER BY 1;");
	like($out, qr/^access$/m, 'an operator sees classes of events');
	unlike($out, qr/glass/, 'and none of break-glass');
}
by('adam', 'SELECT multitenant.close_break_glass()');

# ---- who decrypts ----
by('ann', "INSERT INTO sealed VALUES (multitenant.encrypt('SECRET-ACME', 'pii')); SELECT multitenant.set_purpose_rule('pii')");
my $decrypt = 'SELECT multitenant.decrypt_text(value) FROM sealed;';
$mt->allowed($app, as('ann') . $decrypt, 'SECRET-ACME', 'decrypting: who has the permission', tenant => 'acme');
$mt->refused($app, as('eve') . $decrypt, '42501', 'decrypting: who has not');
like($mt->log_since, qr/event="key\.use" source="engine" outcome="refused" tenant="$acme" principal="eve".*\\"purpose\\": \\"pii\\", \\"use\\": \\"decrypt\\"/,
	'decrypting: which the audit says');
$mt->refused($app, as('eve') . 'SELECT multitenant.try_decrypt_bytea(value) FROM sealed;', '42501', 'decrypting: nor by trying');
$mt->refused($app, as('eve') . "CREATE TEMP VIEW v AS $decrypt SELECT * FROM v;", '42501', 'decrypting: nor in a view');
my $parallel = $mt->parallel_setting;
$mt->refused($app, as('eve') . "SET $parallel = on; $decrypt", '42501', 'decrypting: nor in workers');
$mt->allowed($app, as('ann') . "SET $parallel = on; $decrypt", 'SECRET-ACME', 'decrypting: workers know the permission', tenant => 'acme');
$mt->refused($app, as('ops', kind => 'supervised') . $decrypt, '(?:42501|MT008)', 'decrypting: an operator never, whatever the role permits');
$mt->refused($app, as('ops') . $decrypt, '42501', 'decrypting: nor without supervision');
$mt->refused($trusted, "BEGIN; SELECT multitenant.use_tenant('acme'); $decrypt", '42501', 'decrypting: nor an application that names the tenant');
$mt->refused($_, $decrypt, 'MT001', "decrypting: nor $_") foreach qw(regress_mt_provisioner regress_mt_operator);
$mt->allowed('regress_mt_migrator', "BEGIN; SELECT multitenant.use_tenant('acme'); $decrypt", 'SECRET-ACME', 'decrypting: maintenance is not asked', tenant => 'acme');
$mt->refused('regress_mt_migrator', as('eve') . $decrypt, '42501', 'decrypting: in the name of a principal it is');
$mt->refused($app, as('mole') . "SELECT multitenant.set_purpose_rule('pii', 'role:manage');", '42501', 'decrypting: who manages roles cannot let himself in');
$mt->refused($app, as('mole') . "SELECT multitenant.drop_purpose_rule('pii');", '42501', 'decrypting: nor drop the rule');
# In sessions that have the key ready and are asked again for each value.
entered($session, 'ann');
entered($other, 'eve');
is(ask($session, $decrypt), 'SECRET-ACME', 'decrypting: a key that is ready');
ask($session, 'ROLLBACK');
entered($session, 'eve');
is(ask($session, $decrypt), '42501', 'decrypting: is not for the next principal of the session');
ask($session, 'ROLLBACK');
ask($other, 'ROLLBACK');
by('ann', "SELECT multitenant.grant_permission('keeper', 'secret:decrypt')");
entered($session, 'eve');
is(ask($session, $decrypt), 'SECRET-ACME', 'decrypting: with the permission it is');
by('ann', "SELECT multitenant.revoke_permission('keeper', 'secret:decrypt')");
is(ask($session, $decrypt), '42501', 'decrypting: taken away, the next statement is refused');
ask($session, 'ROLLBACK');
by('ann', "SELECT multitenant.drop_purpose_rule('pii')");
entered($session, 'eve');
is(ask($session, $decrypt), 'SECRET-ACME', 'decrypting: without a rule everybody of the tenant does');
by('ann', "SELECT multitenant.set_purpose_rule('pii')");
is(ask($session, $decrypt), '42501', 'decrypting: a new rule counts for the next statement of open transactions');
ask($session, 'ROLLBACK');
# Break-glass of the tenant's own people opens what its role opens.
entered($session, 'adam');
is(ask($session, $decrypt), '42501', 'decrypting: adam may not');
ask($session, 'ROLLBACK');
entered($session, 'adam');
ask($session, "SELECT multitenant.open_break_glass('the safe')");
is(ask($session, $decrypt), 'SECRET-ACME', 'decrypting: under break-glass he does');
ask($session, 'ROLLBACK');
is($mt->superuser("SELECT detail ->> 'use' FROM multitenant.audit_event WHERE event = 'break_glass.use' AND detail ->> 'purpose' = 'pii' ORDER BY at DESC LIMIT 1"), 'decrypt',
	'decrypting: which is recorded');


# ---- who closes his own holds nobody up ----
$mt->superuser('UPDATE multitenant.break_glass SET closed_at = now() WHERE closed_at IS NULL');
by('ann', "SELECT multitenant.set_break_glass('emergency', '30 minutes', false)");
# Opened in the middle of a statement, also by another session, it counts for the next message, which is recorded when it starts.
my $opener = $mt->session($app);
foreach my $middle ("SELECT pg_sleep(1.5) IS NOT NULL, multitenant.has_permission('vault:open')",
	"SET LOCAL $parallel = on; SELECT true, may_open(pg_sleep(1.5) IS NOT NULL) FROM one")
{
	entered($opener, 'otto');
	ask($opener, "SELECT multitenant.open_break_glass('in the middle')");
	entered($session, 'otto');
	$session->query_until(qr/begun/, "\\echo begun\n$middle;\n");
	$mt->node->poll_query_until('app', "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
	ask($opener, 'COMMIT');
	is(ask($session, "SELECT 'then', multitenant.has_permission('vault:open')"), $middle =~ /may_open/ ? "t|false\nthen|t" : "t|f\nthen|t", "middle: it does not count in the message during which it is opened: $middle");
	ask($session, 'ROLLBACK');
	$mt->superuser('UPDATE multitenant.break_glass SET closed_at = now() WHERE closed_at IS NULL');
}
$opener->quit;
foreach my $take ('close_break_glass(ID)', "remove_member('otto')", "suspend_member('otto', 'x')")
{
	my $id = by('otto', "SELECT multitenant.open_break_glass('fire')");
	my $holder = $mt->session($app);
	my $pid = ask($holder, 'SELECT pg_backend_pid()');
	ask($holder, as('otto'));
	is(ask($holder, 'SELECT multitenant.close_break_glass()'), '', 'holding: otto closes it and does not end his transaction');
	$mt->allowed($app, as('ann') . "SET LOCAL lock_timeout = '8s'; SELECT multitenant.set_break_glass('emergency', '20 minutes', false); ROLLBACK;", '', 'holding: nothing of others waits');
	my ($who, $call) = ('ann', $take =~ s/ID/'$id'/r);
	$mt->allowed($app, as($who) . "SET LOCAL lock_timeout = '8s'; SELECT multitenant.$call; ROLLBACK;", '', "holding: nor $take");
	is($mt->superuser("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid"), '0', 'holding: his session is ended');
	eval { $holder->quit };
	entered($session, 'otto');
	is(ask($session, "SELECT multitenant.has_permission('vault:open')"), 't', 'holding: it is open still');
	by('otto', 'SELECT multitenant.close_break_glass()');
	is(ask($session, "SELECT multitenant.has_permission('vault:open')"), 'f', 'holding: closed, it counts for the next statement elsewhere');
	ask($session, 'ROLLBACK');
}
# ---- a context that has ended in an open session is none, whatever works with the extension's rights ----
by('ann', "SELECT multitenant.put_secret('a door', 'SECRET-ACME'), multitenant.open_break_glass('ends')");
my @ways = (
	'multitenant.close_break_glass()', "multitenant.set_break_glass('staff')", 'multitenant.drop_break_glass()', "multitenant.set_purpose_rule('other')",
	"multitenant.drop_purpose_rule('pii')", 'count(*) FROM multitenant.break_glass_reviews', 'count(*) FROM multitenant.purpose_rules',
	"count(*) FROM multitenant.access_as_of('ann', now())", "count(*) FROM multitenant.access_as_of('otto', now())", 'count(*) FROM multitenant.review_access()',
	"multitenant.get_secret('a door')", "multitenant.put_secret('a door', 'x')", "multitenant.drop_secret('a door')", 'count(*) FROM multitenant.secrets',
	'count(*) FROM multitenant.audit_log', 'count(*) FROM multitenant.audit_metadata', 'count(*) FROM multitenant.tenant_overview',
	'count(*) FROM multitenant.members', 'count(*) FROM multitenant.roles', 'count(*) FROM multitenant.assignments', 'count(*) FROM multitenant.operators',
	'count(*) FROM multitenant.access_requests', 'count(*) FROM multitenant.supervisions', "multitenant.set_visibility('none')",
	"multitenant.deny_access('d0000000-0000-4000-8000-0000000000d1')", "multitenant.create_group('late')", "multitenant.create_scope('late')",
	"count(*) FROM multitenant.list_accessible('vault:open')", "count(*) FROM multitenant.explain_permission('vault:open')", "multitenant.has_permission('vault:open')");
sub all_ways
{
	my ($s, $wanted, $name, @around) = @_;
	foreach my $way (@ways)
	{
		# Whoever has no context sees no rows there.
		next if $wanted eq 'MT001' and $way =~ /audit_metadata|tenant_overview|operators|access_requests|supervisions/;
		ask($s, $around[0]);
		my $answer = ask($s, "SELECT $way");
		# Some are refused otherwise; but then their own questions come behind that for the context.
		is($answer =~ /^MT\d{3}$/ ? $answer : 'answered', $wanted, "ended: $name: $way");
		ask($s, $around[1]);
	}
	return;
}
my @savepoint = ('SAVEPOINT s', 'ROLLBACK TO s');
my $entered_by_switch = sub {
	ask($session, 'BEGIN');
	ask($session, "SELECT multitenant.authenticate('" . $mt->token(undef, sub => 'ann') . "'), multitenant.switch_tenant('acme')");
};
my $exp = time + 20;
foreach my $case (
	[ 'a member that was removed', $entered_by_switch, sub { $mt->superuser("DELETE FROM multitenant.member WHERE tenant_id = '$acme' AND principal = 'ann'") }, 'MT008',
		"INSERT INTO multitenant.member (tenant_id, principal) VALUES ('$acme', 'ann')" ],
	[ 'a principal that was disabled', sub { entered($session, 'ann') }, sub { $mt->superuser("SELECT multitenant.disable_principal('ann', 'x')") }, 'MT008',
		"SELECT multitenant.enable_principal('ann')" ],
	[ 'a tenant that was suspended', sub { entered($session, 'ann') }, sub { $mt->superuser("SELECT multitenant.suspend_tenant('acme', 'unpaid')") }, 'MT006',
		"SELECT multitenant.resume_tenant('acme')" ],
	[ 'a token that has run out', sub { $exp = time + 12; ask($session, $mt->begin('acme', sub => 'ann', iat => $exp - 30, exp => $exp)) },
		sub { $mt->node->poll_query_until('app', "SELECT clock_timestamp() > to_timestamp($exp)") }, 'MT003', 'SELECT 1' ])
{
	my ($name, $enter, $end, $state, $again) = @$case;
	$enter->();
	all_ways($session, 'answered', "before $name", @savepoint);
	$end->();
	all_ways($session, $state, $name, @savepoint);
	ask($session, 'ROLLBACK');
	$mt->superuser($again);
}
$mt->superuser("CREATE ROLE regress_mt_kept LOGIN; SELECT multitenant.grant_access('regress_mt_kept', 'application', session_context => true);
	SELECT multitenant.add_signing_key('kept', 'HS256', secret_file => '$mt->{secret_file}')");
my $kept = $mt->session('regress_mt_kept');
ask($kept, $mt->begin('acme', sub => 'ann', kid => 'kept') . 'COMMIT');
all_ways($kept, 'answered', 'before a session\'s key was revoked', 'BEGIN', 'ROLLBACK');
$mt->superuser("SELECT multitenant.revoke_signing_key('kept', 'lost')");
all_ways($kept, 'MT001', 'a session\'s key was revoked', 'BEGIN', 'ROLLBACK');
$kept->quit;
by('ann', 'SELECT multitenant.close_break_glass()');
$mt->intact('and everybody has what he had');
$session->quit;
$other->quit;
done_testing();
