# Tokens minted by every program of the guide (test/clients/mint) open the right tenant on a live server, and what is
# changed in them afterwards opens none. A missing interpreter is a failure unless MT_ALLOW_MISSING=1.
# PYTHON, NODE, RUBY, JAVA, GO, PHP name other programs than the usual ones.
use strict;
use warnings;
use utf8;
use Encode qw(encode_utf8);
use FindBin;
use lib "$FindBin::Bin/../perl";
use JSON::PP;
use MIME::Base64 qw(decode_base64url encode_base64url);
use MtTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $mt = MtTest->new('minting');
my $app = 'regress_mt_app';
my $mint = "$FindBin::Bin/mint";
my $dir = PostgreSQL::Test::Utils::tempdir;
my %id = (acme => '00000000-0000-0000-0000-00000000000a', 'Zoë/"x"' => '00000000-0000-0000-0000-0000000000e1');
my $rows = "SELECT multitenant.current_tenant_slug(); SELECT note FROM invoice";

# ---- keys, as the guide makes them ----

# The output of a program, undef if it failed
sub output_of
{
	my ($name, @command) = @_;
	my ($out, $err) = ('', '');
	# The modules of the server's tests take LC_ALL away; Java mangles arguments without it.
	local $ENV{LC_ALL} = 'C.UTF-8';
	my $ok = eval { IPC::Run::run(\@command, '>', \$out, '2>', \$err) };
	diag("$name: @command\n", $@ || $err) unless $ok;
	chomp $out;
	return $ok ? $out : undef;
}

sub make_key
{
	my ($name, @options) = @_;
	defined output_of($name, 'openssl', 'genpkey', @options, '-out', "$dir/$name.key") or die "no key\n";
	return output_of($name, 'openssl', 'pkey', '-in', "$dir/$name.key", '-pubout') // die "no public key\n";
}
my $ed = make_key('ed', '-algorithm', 'ed25519');
make_key('other', '-algorithm', 'ed25519');
my $rsa = make_key('rsa', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048');
make_key('other_rsa', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048');
foreach my $name (qw(hs other_hs))
{
	append_to_file("$dir/$name.key", output_of($name, 'openssl', 'rand', '-hex', 32) . "\n");
	chmod(0600, "$dir/$name.key");
}

$mt->superuser(<<"SQL");
SELECT multitenant.add_signing_key('ed-key', 'EdDSA', \$\$$ed\$\$);
SELECT multitenant.add_signing_key('rsa-key', 'RS256', \$\$$rsa\$\$);
SELECT multitenant.add_signing_key('hs-key', 'HS256', secret_file => '$dir/hs.key');
SELECT multitenant.create_tenant('@{[ encode_utf8('Zoë/"x"') ]}', id => '$id{'Zoë/"x"'}');
INSERT INTO invoice (tenant_id, note) VALUES ('$id{'Zoë/"x"'}', 'SECRET-ZOE');
SQL

# ---- programs ----

my @programs = (
	[ 'Python', 'ed', 'other', $ENV{PYTHON} || '/usr/bin/python3', "$mint/mint.py" ],
	[ 'Python, HS256', 'hs', 'other_hs', $ENV{PYTHON} || '/usr/bin/python3', "$mint/mint_hs256.py" ],
	[ 'Node', 'ed', 'other', $ENV{NODE} || 'node', "$mint/mint.js" ],
	[ 'Ruby', 'ed', 'other', $ENV{RUBY} || 'ruby', "$mint/mint.rb" ],
	[ 'Java', 'ed', 'other', $ENV{JAVA} || 'java', "$mint/Mint.java" ],
	[ 'Go', 'ed', 'other', $ENV{GO} || 'go', 'run', "$mint/mint.go" ],
	[ 'PHP', 'rsa', 'other_rsa', $ENV{PHP} || 'php', "$mint/mint.php" ]);
$ENV{GO111MODULE} = 'off';
$ENV{GOCACHE} = "$dir/gocache";

sub is_there
{
	my ($program) = @_;
	return -x $program if $program =~ m{/};
	return grep { -x "$_/$program" } split(/:/, $ENV{PATH});
}

# Statements after authenticating with a token, all in one transaction
sub with { return "BEGIN; SELECT multitenant.authenticate('$_[0]'); $rows;" }

# The claims or the header changed, the signature as it was
sub changed
{
	my ($token, $part, %new) = @_;
	my @parts = split(/\./, $token);
	my $json = JSON::PP->new->utf8->canonical;
	$parts[$part] = encode_base64url($json->encode({ %{ $json->decode(decode_base64url($parts[$part])) }, %new }));
	return join('.', @parts);
}

foreach my $program (@programs)
{
	my ($name, $key, $other, @command) = @$program;
  SKIP:
	{
		if (!is_there($command[0]))
		{
			skip("$name: $command[0] is missing", 1) if $ENV{MT_ALLOW_MISSING};
			fail("$name: $command[0] is missing");
			next;
		}
		my %token;
		foreach my $tenant ('acme', $id{acme}, 'Zoë/"x"')
		{
			$token{$tenant} = output_of($name, @command, "$dir/$key.key", "$key-key", encode_utf8($tenant), 'app');
			like($token{$tenant}, qr/^eyJ[\w.-]+$/, "$name: mints for " . encode_utf8($tenant)) or next;
		}
		my $token = $token{acme} or next;
		is(($mt->run($app, with($token)))[0], "$id{acme}\nacme\nSECRET-ACME", "$name: by slug");
		is(($mt->run($app, with($token{ $id{acme} })))[0], "$id{acme}\nacme\nSECRET-ACME", "$name: by id");
		is(($mt->run($app, with($token{'Zoë/"x"'})))[0], encode_utf8("$id{'Zoë/\"x\"'}\nZoë/\"x\"\nSECRET-ZOE"), "$name: with a name that needs escaping");

		$mt->refused($app, with(changed($token, 1, tenant => 'beta')), 'MT002', "$name: another tenant written into it");
		$mt->refused($app, with(changed($token, 1, exp => time + 300)), 'MT002', "$name: another end written into it");
		$mt->refused($app, with(changed($token, 0, alg => 'none')), 'MT002', "$name: another algorithm written into it");
		$mt->refused($app, with(changed($token, 0, kid => $key eq 'ed' ? 'rsa-key' : 'ed-key')), 'MT002', "$name: another key written into it");
		(my $flipped = $token) =~ s/(.)(.{20})$/($1 eq 'A' ? 'B' : 'A') . $2/e;
		$mt->refused($app, with($flipped), 'MT002', "$name: one letter of the signature changed");
		$mt->refused($app, with($token =~ s/\.[^.]*$/./r), 'MT002', "$name: the signature cut off");

		my $forged = output_of($name, @command, "$dir/$other.key", "$key-key", 'acme', 'app');
		$mt->refused($app, with($forged), 'MT002', "$name: signed with another key");
		my $elsewhere = output_of($name, @command, "$dir/$key.key", "$key-key", 'acme', 'elsewhere');
		$mt->refused($app, with($elsewhere), 'MT002', "$name: minted for another audience");
		my $suspended = output_of($name, @command, "$dir/$key.key", "$key-key", 'gamma', 'app');
		$mt->refused($app, with($suspended), 'MT006', "$name: for a suspended tenant");
	}
}

done_testing();
