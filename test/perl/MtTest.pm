# What the TAP tests share: a server with two tenants and a protected table, tokens, and "this must be refused".
#
#	use FindBin;
#	use lib "$FindBin::Bin/../perl";
#	use MtTest;
#
#	my $mt = MtTest->new('name');
#	$mt->refused('regress_mt_app', 'SELECT * FROM invoice', 'MT001', 'no context');
#	$mt->allowed('regress_mt_app', $mt->begin('acme') . 'SELECT note FROM invoice', 'SECRET-ACME', 'own row');
#	$mt->steps('autocommit', 'regress_mt_app', {}, 'SELECT 1' => '1', 'SELECT note FROM invoice' => 'MT001');
#
# The world: database "app"; tenants acme (1), beta (2), gamma (3, suspended); table public.invoice (id uuid, tenant_id
# uuid, note text) owned by regress_mt_owner, one row for each tenant with note SECRET-ACME, SECRET-BETA, SECRET-GAMMA;
# the roles below; signing key "hs" (HS256, kinds tenant and supervised, at most one hour).
# A statement counts as an escape when its output shows another tenant's secret, whatever else it does.
package MtTest;

use strict;
use warnings;
use Digest::SHA qw(hmac_sha256);
use Exporter qw(import);
use IPC::Run ();
use JSON::PP;
use MIME::Base64 qw(encode_base64url);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT_OK = qw(ask);

# Role => profile, "-" for none granted. All can log in, none is superuser.
our %roles = (
	regress_mt_owner => '-',
	regress_mt_app => '-',
	regress_mt_trusted => 'trusted_application',
	regress_mt_migrator => 'migrator',
	regress_mt_provisioner => 'provisioner',
	regress_mt_operator => 'operator',
	regress_mt_auditor => 'auditor');

# Options: preload => 'shared' (default), 'session' or 'none'; conf => lines for postgresql.conf; bare => 1 makes no
# extension and no world.
sub new
{
	my ($class, $name, %options) = @_;
	my $self = bless { secret => join('', map { sprintf '%02x', rand 256 } 1 .. 32) }, $class;
	my $node = $self->{node} = PostgreSQL::Test::Cluster->new($name);
	my $preload = $options{preload} || 'shared';
	$node->init(%{ $options{init} || {} });
	$node->append_conf('postgresql.conf', "${preload}_preload_libraries = 'multitenant'\n") if $preload ne 'none';
	$node->append_conf('postgresql.conf', $options{conf} . "\n") if $options{conf};
	$node->start;
	$self->create_world unless $options{bare};
	return $self;
}

sub node { return $_[0]->{node} }

# ---- questions of version, all of them here ----

sub major { return $_[0]->{node}->pg_version->major }

# The setting that makes the planner use a parallel worker wherever it may.
sub parallel_setting { return $_[0]->major < 16 ? 'force_parallel_mode' : 'debug_parallel_query' }

sub create_world
{
	my ($self) = @_;
	my $node = $self->{node};
	my $file = $node->basedir . '/hs.secret';
	umask(0077);
	append_to_file($file, $self->{secret} . "\n");
	chmod(0600, $file);
	$self->{secret_file} = $file;
	$node->safe_psql('postgres', 'CREATE DATABASE app');
	my $sql = "CREATE EXTENSION multitenant;\n";
	foreach my $role (sort keys %roles)
	{
		$sql .= "CREATE ROLE $role LOGIN;\n";
		$sql .= "SELECT multitenant.grant_access('$role', '$roles{$role}');\n" if $roles{$role} ne '-';
	}
	$sql .= <<"SQL";
GRANT CREATE ON SCHEMA public TO regress_mt_owner;
SELECT multitenant.create_tenant('acme', number => 1, id => '00000000-0000-0000-0000-00000000000a');
SELECT multitenant.create_tenant('beta', number => 2, id => '00000000-0000-0000-0000-00000000000b');
SELECT multitenant.create_tenant('gamma', number => 3, id => '00000000-0000-0000-0000-00000000000c');
SELECT multitenant.add_signing_key('hs', 'HS256', secret_file => '$file', kinds => '{tenant,supervised}', max_lifetime => '1 hour');
SET ROLE regress_mt_owner;
CREATE TABLE invoice (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid, note text);
INSERT INTO invoice (tenant_id, note) VALUES
	('00000000-0000-0000-0000-00000000000a', 'SECRET-ACME'),
	('00000000-0000-0000-0000-00000000000b', 'SECRET-BETA'),
	('00000000-0000-0000-0000-00000000000c', 'SECRET-GAMMA');
SELECT multitenant.protect('invoice');
GRANT SELECT, INSERT, UPDATE, DELETE ON invoice TO
	regress_mt_app, regress_mt_trusted, regress_mt_migrator, regress_mt_operator, regress_mt_auditor;
RESET ROLE;
SELECT multitenant.suspend_tenant('gamma', 'unpaid');
SQL
	$self->superuser($sql);
	return;
}

# Runs SQL as the superuser in "app"; dies if it fails; returns the output.
sub superuser
{
	my ($self, $sql) = @_;
	return $self->{node}->safe_psql('app', $sql);
}

# What a role did while the guard was off, or before the library was there: for tests of what stands behind the guard.
# Dies if it fails; returns the output.
sub past_guard
{
	my ($self, $role, $sql) = @_;
	return $self->superuser("SET multitenant.guard_enabled = off; SET SESSION AUTHORIZATION $role; $sql");
}

# Allows an application role what hardening() names.
sub allow
{
	my ($self, $role, @names) = @_;
	$self->superuser("SELECT multitenant.grant_access('$role', 'application', allow => '{" . join(',', @names) . "}')");
	return;
}

# A token of a tenant, good for four minutes, or for MT_TOKEN_SECONDS, up to an hour, where a tool makes the server slow.
# Claims are overridden by name, undef removes one; "key", "kid", "alg" change how it is signed.
sub token
{
	my ($self, $tenant, %claims) = @_;
	my $key = delete $claims{key} || $self->{secret};
	my $header = { alg => delete $claims{alg} || 'HS256', kid => delete $claims{kid} || 'hs', typ => 'JWT' };
	my $now = time;
	my %all = (tenant => $tenant, aud => 'app', iat => $now, exp => $now + ($ENV{MT_TOKEN_SECONDS} || 240), jti => sprintf('%.12f', rand), %claims);
	delete $all{$_} foreach grep { !defined $all{$_} } keys %all;
	my $json = JSON::PP->new->canonical;
	my $text = join('.', map { encode_base64url($json->encode($_)) } $header, \%all);
	return $text . '.' . encode_base64url(hmac_sha256($text, $key));
}

# "BEGIN; SELECT multitenant.authenticate(..);" for a tenant.
sub begin
{
	my ($self, $tenant, %claims) = @_;
	return "BEGIN; SELECT multitenant.authenticate('" . $self->token($tenant, %claims) . "');\n";
}

# Runs SQL as a role; returns (stdout, stderr) with SQLSTATEs in stderr. Goes on after errors. Options: pgoptions,
# single => 1 sends the whole text as one simple query message.
sub run
{
	my ($self, $role, $sql, %options) = @_;
	local $ENV{PGOPTIONS} = $options{pgoptions} if defined $options{pgoptions};
	my ($out, $err) = ('', '');
	my @command = ('psql', '-XAtq', '-d', $self->{node}->connstr($options{database} || 'app'), '-U', $role, '-v', 'VERBOSITY=verbose');
	# From a file: psql reads nothing where the connection is refused, and writing to it then is an error of its own.
	my $input = $self->{node}->basedir . '/input.sql';
	open(my $file, '>', $input) or die "$input: $!\n";
	print $file $sql unless $options{single};
	close($file) or die "$input: $!\n";
	IPC::Run::run([ @command, $options{single} ? ('-c', $sql) : ('-f', '-') ], '<', $input, '>', \$out, '2>', \$err);
	s/\r\n/\n/g, s/\n\z// foreach $out, $err;
	return ($out, $err);
}

# Statements in one session, each with what it must print, or the SQLSTATE with which it must be refused. The options
# are those of run().
sub steps
{
	my ($self, $name, $role, $options, @steps) = @_;
	my (@statements, @wanted);
	while (my ($statement, $wanted) = splice(@steps, 0, 2))
	{
		push @statements, "$statement;\n\\echo '#' :SQLSTATE\n";
		push @wanted, $wanted;
	}
	my ($out, $err) = $self->run($role, join('', @statements), %$options);
	my @got = map { /^(.*?)\n?# (\w+)$/s ? ($2 eq '00000' ? $1 : $2) : $_ } "$out\n" =~ /\G(.*?# \w+)\n/gs;
	my $ok = is_deeply(\@got, \@wanted, $name);
	diag(join('', map { "$statements[$_] wanted: $wanted[$_], got: " . ($got[$_] // 'nothing') . "\n" }
		grep { ($got[$_] // '') ne $wanted[$_] } 0 .. $#wanted), $err) unless $ok;
	return $ok;
}

# A session that stays, for ask(). Options: pgoptions, database.
sub session
{
	my ($self, $role, %options) = @_;
	local $ENV{PGOPTIONS} = $options{pgoptions} if defined $options{pgoptions};
	return $self->{node}->background_psql($options{database} || 'app', on_error_stop => 0,
		extra_params => [ '-U', $role, '-v', 'VERBOSITY=sqlstate' ]);
}

# What a statement printed in such a session, or the SQLSTATE with which it was refused.
sub ask
{
	my ($session, $statement) = @_;
	my $out = $session->query($statement);
	my ($state) = $session->{stderr} =~ /(?:ERROR|FATAL): +(\w{5})/;
	$session->{stderr} = '';
	return $state // $out;
}

# The secrets in an output that belong to others than the tenant (undef: nobody).
sub leaks
{
	my ($output, $tenant) = @_;
	my $own = uc($tenant // '-');
	return grep { $_ ne "SECRET-$own" } $output =~ /(SECRET-\w+)/g;
}

# The SQL must fail with the SQLSTATE and show no other tenant's secret. tenant => whose secrets are its own.
sub refused
{
	my ($self, $role, $sql, $sqlstate, $name, %options) = @_;
	my ($out, $err) = $self->run($role, $sql, %options);
	my $states = join(' ', $err =~ /(?:ERROR|FATAL): +(\w{5}):/g);
	my @leaks = leaks("$out\n$err", $options{tenant});
	my $ok = ok((!@leaks and $states =~ /\b$sqlstate\b/), $name);
	diag("wanted $sqlstate, got \"$states\", leaked \"@leaks\"\n$out\n$err") unless $ok;
	return $ok;
}

# The SQL must run without error, its output contain the text (undef: anything) and, with tenant => whose secrets are
# its own, no other tenant's secret.
sub allowed
{
	my ($self, $role, $sql, $wanted, $name, %options) = @_;
	my ($out, $err) = $self->run($role, $sql, %options);
	my @leaks = exists $options{tenant} ? leaks("$out\n$err", $options{tenant}) : ();
	my $ok = ok(($err !~ /(?:ERROR|FATAL):/ and !@leaks and (!defined $wanted or index($out, $wanted) >= 0)), $name);
	diag("wanted \"" . ($wanted // '') . "\"\n$out\n$err") unless $ok;
	return $ok;
}

# After an attack: every tenant still has exactly its own row, seen by the superuser.
sub intact
{
	my ($self, $name) = @_;
	return is($self->superuser("SELECT string_agg(t.slug || ':' || i.note, ' ' ORDER BY t.slug, i.note)
		FROM multitenant.tenant t JOIN invoice i ON i.tenant_id = t.id"),
		'acme:SECRET-ACME beta:SECRET-BETA gamma:SECRET-GAMMA', $name);
}

# The server's log since the last call.
sub log_since
{
	my ($self) = @_;
	my $log = slurp_file($self->{node}->logfile);
	my $offset = $self->{log_offset} // 0;
	$self->{log_offset} = length $log;
	return substr($log, $offset);
}

1;
