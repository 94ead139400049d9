# Durations, time zones and moments against the limits that are set in them; what has ended and still counts; and queries
# across tenants that keep out of the record what they read.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest qw(ask);
use PostgreSQL::Test::Utils;
use Test::More;

my ($app, $provisioner, $auditor) = qw(regress_mt_app regress_mt_provisioner regress_mt_auditor);
my $mt = MtTest->new('time');
my ($c1, $c2) = map { "c0000000-0000-4000-8000-0000000000c$_" } 1, 2;
my $see = 'SELECT note FROM invoice;';

# ann and bert administer acme and beta, otto may open break-glass; olga looks after both, acme lets her.
$mt->superuser(<<"SQL");
SELECT multitenant.add_member('acme', 'ann', 'administrator'), multitenant.add_member('beta', 'bert', 'administrator'),
	multitenant.add_member('acme', 'otto', 'administrator');
SELECT multitenant.create_role_template('watcher', 'Looks.', '{member:read}');
INSERT INTO multitenant.master_account (id, name) VALUES ('$c1', 'helpers'), ('$c2', 'others');
SELECT multitenant.link_tenant('$c1', t), multitenant.assign_operator('$c1', 'olga', t, 'watcher') FROM unnest('{acme,beta}'::text[]) t;
SELECT multitenant.set_visibility('acme', 'supervised');
CREATE VIEW hiding WITH (security_invoker = true) AS SELECT note FROM invoice;
GRANT SELECT ON hiding TO PUBLIC;
SQL

sub outside { my ($who) = @_; return "BEGIN; SELECT multitenant.authenticate('" . $mt->token(undef, sub => $who) . "');\n" }
sub inside { my ($tenant, $who, %claims) = @_; return $mt->begin($tenant, sub => $who, %claims) }

# Runs it as somebody and commits; the last line of the output.
sub by
{
	my ($begin, $sql) = @_;
	my ($out, $err) = $mt->run($app, "$begin$sql; COMMIT;");
	die "$sql: $err\n" if $err =~ /ERROR/;
	return (split /\n/, $out)[-1];
}

# A time zone whose local time jumps in that many seconds, from one offset to the other (hours east of Greenwich).
sub jumping
{
	my ($seconds, $before, $after) = @_;
	my ($second, $minute, $hour, $day) = (gmtime(time + $seconds + $before * 3600))[ 0, 1, 2, 7 ];
	return sprintf("SET TimeZone = 'AAA%+dBBB%+d,%d/%02d:%02d:%02d,%d/23';\n", -$before, -$after, $day, $hour, $minute, $second, ($day + 30) % 365);
}

# ---- durations: months, days and what no clock can add ----
my $request = by(outside('olga'), "SELECT multitenant.request_access('beta', 'look', '1 hour')");
my $key = "SELECT multitenant.add_signing_key('odd', 'HS256', secret_file => '$mt->{secret_file}', max_lifetime =>";
my %takes = (
	begin_supervised => [ $app, outside('olga') . "SELECT multitenant.begin_supervised('acme', 'x', %s);" ],
	request_access => [ $app, outside('olga') . "SELECT multitenant.request_access('beta', 'x', %s);" ],
	approve_access => [ $app, inside('beta', 'bert') . "SELECT multitenant.approve_access('$request', %s);" ],
	set_break_glass => [ $app, inside('acme', 'ann') . "SELECT multitenant.set_break_glass('administrator', %s);" ],
	open_break_glass => [ $app, inside('acme', 'otto') . "SELECT multitenant.open_break_glass('x', %s);" ]);
by(inside('acme', 'ann'), "SELECT multitenant.set_break_glass('administrator', '30 minutes', false)");
foreach my $name (sort keys %takes)
{
	my ($role, $sql) = @{ $takes{$name} };
	$mt->refused($role, sprintf($sql, "'1200 mons -36000 days 10 minutes'"), '22023', "durations: $name() takes no months against days");
	$mt->refused($role, sprintf($sql, "'-1200 mons 36525 days 25 hours'") =~ s/^/SET TimeZone = 'Europe\/Berlin'; /r, '22023', "durations: $name() takes no days against months")
		if $name =~ /break_glass/;
}
%takes = (%takes,
	delete_tenant => [ $provisioner, "SELECT multitenant.delete_tenant('beta', 'x', %s);" ],
	destroy_retired_keys => [ $provisioner, "SELECT multitenant.destroy_retired_keys('beta', 'p', 'data', %s);" ],
	add_signing_key => [ 'postgres', "$key %s);" ],
	review_access => [ $app, inside('acme', 'ann') . 'SELECT count(*) FROM multitenant.review_access(%s);' ],
	review_tenant_access => [ $auditor, "SELECT count(*) FROM multitenant.review_tenant_access('acme', unused => %s);" ]);
foreach my $name (sort keys %takes)
{
	my ($role, $sql) = @{ $takes{$name} };
	foreach my $much ("'290000 years'", "'-290000 years'", $mt->major >= 17 ? ("'infinity'", "'-infinity'") : ())
	{
		$role eq 'postgres' ? like(($mt->run(scalar getpwuid($<), sprintf($sql, $much)))[1], qr/ERROR:  22023:/, "durations: $name() refuses $much")
			: $mt->refused($role, sprintf($sql, $much), '22023', "durations: $name() refuses $much");
	}
}

# ---- time zones ----
my $long = "'6 days 23 hours 10 minutes'";
{
	my ($out, $err) = $mt->run($app, jumping(2, 0, 167) . inside('acme', 'otto') . "SELECT pg_sleep(3.2);\nSELECT multitenant.open_break_glass('zone', $long);");
	like($err, qr/ERROR:  22023:/, 'zones: no break-glass for days where the rule says minutes') or diag($out);
}
by(inside('acme', 'ann'), "SELECT multitenant.set_break_glass('administrator', '1 day', false)");
{
	my ($out, $err) = $mt->run($app, jumping(3600, 167, 0) . inside('acme', 'otto') . "SELECT multitenant.open_break_glass('zone');\n"
		. "SELECT 'lasts ' || round(extract(epoch FROM ends_at - holds_from)) FROM multitenant.break_glass_reviews WHERE state = 'open'; COMMIT;");
	like($out, qr/^lasts 86400$/m, 'zones: a day has 24 hours') or diag($err);
	by(inside('acme', 'otto'), 'SELECT multitenant.close_break_glass()');
}
{
	my ($out, $err) = $mt->run($app, jumping(3600, 167, 0) . outside('olga') . "SELECT multitenant.begin_supervised('acme', 'x'); COMMIT; " . outside('olga')
		. "SELECT 'lasts ' || round(extract(epoch FROM ends_at - began_at)) FROM multitenant.supervisions WHERE is_open; COMMIT;");
	like($out, qr/^lasts 28800$/m, 'zones: nor do hours of a supervision depend on it') or diag($err);
}
foreach my $zone ("'AAA-00:40'", "'AAA-14'")
{
	my ($out, $err) = $mt->run($app, "SET TimeZone = $zone;" . outside('olga')
		. "SELECT 'rows ' || (count(*) > 0), 'odd ' || count(*) FILTER (WHERE extract(epoch FROM hour)::bigint % 3600 <> 0) FROM multitenant.audit_metadata;");
	like($out, qr/^rows true\|odd 0$/m, "zones: events are counted by hours of UTC in $zone") or diag($err);
}
{
	my %days = map { $_ => ($mt->run($app, "SET TimeZone = '$_'; SET datestyle = iso;" . inside('acme', 'ann')
		. "SELECT 'day ' || last_used FROM multitenant.review_access() WHERE principal = 'ann';"))[0] =~ /(day [-0-9]+)/ } 'AAA-14', 'AAA+12';
	ok($days{'AAA-14'} && $days{'AAA-14'} eq ($days{'AAA+12'} // ''), 'zones: and by days of UTC') or diag(explain(\%days));
}

# ---- approvals ----
my $look = outside('olga') . "SELECT multitenant.begin_supervised('beta', 'ticket');\n$see ROLLBACK;";
my %ends = (
	'the tenant has lowered its visibility, and raised it again' => sub {
		by(inside('beta', 'bert'), "SELECT multitenant.set_visibility('none')");
		by(inside('beta', 'bert'), "SELECT multitenant.set_visibility('metadata')");
	},
	'the operator was unassigned, and assigned again' => sub {
		$mt->superuser("SELECT multitenant.unassign_operator('olga', t.id), multitenant.assign_operator('$c1', 'olga', t.id, 'watcher') FROM multitenant.tenant t WHERE t.slug = 'beta'");
	},
	'the tenant has another provider' => sub {
		$mt->superuser("SELECT multitenant.unlink_tenant('$c1', 'beta'); SELECT multitenant.link_tenant('$c2', 'beta');
			SELECT multitenant.assign_operator('$c2', 'olga', 'beta', 'watcher')");
	});
foreach my $how (sort keys %ends)
{
	my $asked = by(outside('olga'), "SELECT multitenant.request_access('beta', 'look', '2 hours')");
	my $state = "SELECT 'state ' || state FROM multitenant.access_requests WHERE id = '$asked'";
	by(inside('beta', 'bert'), "SELECT multitenant.approve_access('$asked')");
	$mt->allowed($app, $look, 'SECRET-BETA', 'approvals: what is approved is seen', tenant => 'beta');
	my $token = inside('beta', 'olga', kind => 'supervised');
	$mt->allowed($app, $token . $see, 'SECRET-BETA', 'approvals: also with a token', tenant => 'beta');
	is(by(outside('olga'), $state), 'state approved', 'approvals: and shown');
	$ends{$how}->();
	$mt->refused($app, $look, 'MT008', "approvals: not after $how");
	$mt->refused($app, $token . $see, 'MT008', "approvals: nor with a token after $how");
	is(by(outside('olga'), $state), 'state ended', "approvals: nor shown so after $how");
	is(by(inside('beta', 'bert'), $state), 'state ended', "approvals: nor to the tenant after $how");
}

# ---- one query in all of them ----
sub across { my ($query, $columns) = @_; return outside('olga') . "SELECT * FROM multitenant.across_tenants(\$q\$$query\$q\$, 'monthly') AS t(tenant_id uuid, $columns);" }
my $padded = join(', ', map { "1 AS a_column_with_a_long_name_$_" } 1 .. 150);
$mt->refused($app, across("SELECT note FROM (SELECT $padded, note FROM invoice) s", 'note text'), '22023', 'across: what does not fit into the record is not run');
$mt->refused($app, across("SELECT '" . 'x' x 70000 . "' || note FROM invoice", 'note text'), '22023', 'across: nor what is longer than can be looked at');
foreach my $query ('SELECT note FROM hiding', q{SELECT 'a\' || note FROM invoice}, "SELECT \$a\$'\$a\$ || note || '\$b\$' FROM invoice")
{
	$mt->allowed($app, across($query, 'note text') . 'COMMIT;', 'SECRET-ACME', "across: $query", tenant => 'acme');
	like($mt->superuser("SELECT detail FROM multitenant.audit_event WHERE event = 'supervised.query' ORDER BY at DESC LIMIT 1"),
		qr/"tables": \[[^]]*"public\.invoice"/, "across: the table is recorded: $query");
}

# ---- contexts that have ended ----
my %still = ('the view tenants' => 'SELECT slug FROM multitenant.tenants;', 'audit()' => "SELECT multitenant.audit('invoice.seen', '{}');");
foreach my $what (sort keys %still)
{
	my $session = $mt->session($app);
	ask($session, inside('acme', 'otto') . $see);
	is(ask($session, "SAVEPOINT a; $still{$what}"), $what eq 'audit()' ? '' : 'acme', "ended: $what answers while the context holds");
	$mt->superuser("SELECT multitenant.suspend_tenant('acme', 'unpaid')");
	is(ask($session, $still{$what}), 'MT006', "ended: $what does not answer for a suspended tenant");
	ask($session, 'ROLLBACK;');
	$mt->superuser("SELECT multitenant.resume_tenant('acme')");
	ask($session, outside('otto') . "SELECT multitenant.switch_tenant('acme'); $see");
	$mt->superuser("SELECT multitenant.remove_member('acme', 'otto')");
	is(ask($session, $still{$what}), 'MT008', "ended: nor $what for whom was removed");
	$session->quit;
	$mt->superuser("SELECT multitenant.add_member('acme', 'otto', 'administrator')");
}
$mt->intact('nothing was written');
done_testing();
