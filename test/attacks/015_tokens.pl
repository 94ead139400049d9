# Attacks T1 to T11 of docs/internals/attacks.md: tokens that must not open anything, and keys.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use Digest::SHA qw(hmac_sha256);
use JSON::PP;
use MIME::Base64 qw(encode_base64url decode_base64url encode_base64);
use MtTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $leeway = 2;
my $mt = MtTest->new('tokens', conf => "log_error_verbosity = default\nmultitenant.clock_leeway = $leeway");
my $node = $mt->node;
my $app = 'regress_mt_app';
my $see = "SELECT note FROM invoice;\n";
my $dir = $node->basedir;
my $now = time;

# The statement that presents a credential, whatever it holds.
sub present
{
	my ($credential) = @_;
	return 'BEGIN; SELECT multitenant.authenticate($token$' . $credential . '$token$);' . "\n" . $see;
}

# Headers and claims of one's own choice, signed with the secret of "hs" or another.
sub forge
{
	my ($header, $payload, $key) = @_;
	my $text = encode_base64url($header) . '.' . encode_base64url($payload);
	return $text . '.' . encode_base64url(hmac_sha256($text, $key // $mt->{secret}));
}

sub claims
{
	my (%claims) = @_;
	my %all = (tenant => 'beta', aud => 'app', iat => time, exp => time + 60, %claims);
	delete $all{$_} foreach grep { !defined $all{$_} } keys %all;
	return JSON::PP->new->canonical->encode(\%all);
}

sub openssl
{
	my (@arguments) = @_;
	my ($out, $err);
	IPC::Run::run([ 'openssl', @arguments ], '<', \'', '>', \$out, '2>', \$err) or die "openssl @arguments: $err\n";
	return $out;
}

sub slurp_binary
{
	open(my $in, '<:raw', $_[0]) or die "$_[0]: $!\n";
	local $/;
	return scalar <$in>;
}

# A DER signature of ECDSA as r || s.
sub raw_signature
{
	my ($der) = @_;
	my ($r, $s) = unpack('x2 x C/a x C/a', $der);
	s/^\0+// foreach $r, $s;
	return ("\0" x (32 - length $r)) . $r . ("\0" x (32 - length $s)) . $s;
}

sub sign
{
	my ($algorithm, $kid, $key_file, %claims) = @_;
	my $text = encode_base64url(JSON::PP->new->canonical->encode({ alg => $algorithm, kid => $kid, typ => 'JWT' })) . '.' . encode_base64url(claims(%claims));
	my $input = "$dir/input";
	open(my $out, '>:raw', $input) or die "$input: $!\n";
	print $out $text;
	close($out);
	my $output = "$dir/signature";
	openssl($algorithm eq 'EdDSA' ? ('pkeyutl', '-sign', '-inkey', $key_file, '-rawin', '-in', $input, '-out', $output)
		: ('dgst', '-sha256', '-sign', $key_file, '-out', $output, $input));
	my $signature = slurp_binary($output);
	$signature = raw_signature($signature) if $algorithm eq 'ES256';
	return $text . '.' . encode_base64url($signature);
}

sub write_file
{
	my ($name, $content, $mode) = @_;
	my $file = "$dir/$name";
	open(my $out, '>:raw', $file) or die "$file: $!\n";
	print $out $content;
	close($out);
	chmod($mode // 0600, $file);
	return $file;
}

# ---- keys of every algorithm ----
openssl('genpkey', '-algorithm', 'ED25519', '-out', "$dir/ed.pem");
openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', "$dir/es.pem");
openssl('genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048', '-out', "$dir/rs.pem");
my %algorithm = (ed => 'EdDSA', es => 'ES256', rs => 'RS256');
my %public;
foreach my $kid (sort keys %algorithm)
{
	$public{$kid} = openssl('pkey', '-in', "$dir/$kid.pem", '-pubout');
	$mt->superuser("SELECT multitenant.add_signing_key('$kid', '$algorithm{$kid}', public_key => '$public{$kid}')");
	$mt->allowed($app, present(sign($algorithm{$kid}, $kid, "$dir/$kid.pem", tenant => 'acme')), 'SECRET-ACME', "a token of $algorithm{$kid} is accepted", tenant => 'acme');
}
$mt->superuser(<<"SQL");
SELECT multitenant.add_signing_key('acme-only', 'HS256', secret_file => '$mt->{secret_file}', tenants => '{acme}');
SELECT multitenant.add_signing_key('no-tenant', 'HS256', secret_file => '$mt->{secret_file}', tenants => '{}');
SELECT multitenant.add_signing_key('trusted-only', 'HS256', secret_file => '$mt->{secret_file}', roles => '{regress_mt_trusted}');
SELECT multitenant.add_signing_key('past', 'HS256', secret_file => '$mt->{secret_file}', not_after => now() - interval '1 s');
SELECT multitenant.add_signing_key('future', 'HS256', secret_file => '$mt->{secret_file}', not_before => now() + interval '1 hour');
SELECT multitenant.add_signing_key('overlap', 'HS256', secret_file => '$mt->{secret_file}', not_before => now() - interval '1 hour', not_after => now() + interval '1 hour');
SELECT multitenant.add_signing_key('revoked', 'HS256', secret_file => '$mt->{secret_file}');
SELECT multitenant.revoke_signing_key('revoked', 'lost');
SELECT multitenant.add_signing_key('machine', 'HS256', secret_file => '$mt->{secret_file}', kinds => '{system}');
SELECT multitenant.add_member('acme', 'alice');
SELECT multitenant.add_member('beta', 'alice');
SELECT multitenant.add_member('gamma', 'alice');
SELECT multitenant.add_member('acme', 'adam');
SQL

# ---- T1: whatever is wrong before the signature is one error ----
my $header = '{"alg":"HS256","kid":"hs","typ":"JWT"}';
my $good = $mt->token('beta');
my ($h, $p, $s) = split /\./, $good;
my $other_claims = encode_base64url(claims());
my %bad = (
	'empty' => '', 'a letter' => 'x', 'the prefix alone' => 'eyJ', 'the header alone' => $h, 'no signature' => "$h.$p", 'an empty signature' => "$h.$p.",
	'four parts' => "$good.$s", 'a dot too much' => "$good.", 'an empty payload' => "$h..$s", 'only dots' => '..', 'a space in front' => " $good", 'a space behind' => "$good ",
	'a line feed behind' => "$good\n", 'a scheme in front' => "Bearer $good", 'quotes' => "\"$good\"", 'padding' => "$good=", 'standard base64' => "$h.$p." . ('+/' x 20) . 'AAA',
	'other claims' => "$h.$other_claims.$s", 'another header' => encode_base64url('{"alg":"HS256","typ":"JWT","kid":"hs"}') . ".$p.$s",
	'the signature of another token' => "$h.$p." . (split /\./, $mt->token('acme'))[2], 'a zero signature' => "$h.$p." . encode_base64url("\0" x 32),
	'a signature cut by a byte' => "$h.$p." . encode_base64url(substr(decode_base64url($s), 0, 31)), 'a signature with a byte more' => "$h.$p." . encode_base64url(decode_base64url($s) . "\0"),
	'a non-canonical last character' => substr($good, 0, -1) . (substr($good, -1) =~ tr/AEIMQUYcgkosw048/BFJNRVZdhlptx159/r),
	'another secret' => $mt->token('beta', key => 'x' x 64), 'an empty secret' => forge($header, claims(), ''), 'the text of the key id as secret' => forge($header, claims(), 'hs'),
	'alg none' => encode_base64url('{"alg":"none","kid":"hs"}') . ".$p.", 'alg none with a signature' => forge('{"alg":"none","kid":"hs"}', claims()),
	'alg None' => encode_base64url('{"alg":"None","kid":"hs"}') . ".$p.", 'no alg' => forge('{"kid":"hs"}', claims()), 'alg null' => forge('{"alg":null,"kid":"hs"}', claims()),
	'alg HS512' => forge('{"alg":"HS512","kid":"hs"}', claims()), 'alg hs256' => forge('{"alg":"hs256","kid":"hs"}', claims()),
	(map { ("alg $_ for an HS256 key" => forge("{\"alg\":\"$_\",\"kid\":\"hs\"}", claims())) } 'EdDSA', 'ES256', 'RS256'),
	(map { ("alg HS256 for an $algorithm{$_} key, the public key as secret" => forge("{\"alg\":\"HS256\",\"kid\":\"$_\"}", claims(), $public{$_})) } sort keys %algorithm),
	(map { ("a zero signature for $algorithm{$_}" => encode_base64url("{\"alg\":\"$algorithm{$_}\",\"kid\":\"$_\"}") . ".$p." . encode_base64url("\0" x ($_ eq 'rs' ? 256 : 64))) } sort keys %algorithm),
	'no kid' => forge('{"alg":"HS256"}', claims()), 'an empty kid' => forge('{"alg":"HS256","kid":""}', claims()), 'an unknown kid' => $mt->token('beta', kid => 'other'),
	'a long kid' => $mt->token('beta', kid => 'k' x 65), 'a kid with SQL' => $mt->token('beta', kid => "hs' OR '1'='1"), 'a kid that is a path' => $mt->token('beta', kid => '../hs'),
	'a kid in capitals' => $mt->token('beta', kid => 'HS'), 'a kid with a NUL' => forge('{"alg":"HS256","kid":"hs\u0000"}', claims()), 'kid a number' => forge('{"alg":"HS256","kid":1}', claims()),
	'two kids' => forge('{"alg":"HS256","kid":"other","kid":"hs"}', claims()), 'two algs' => forge('{"alg":"none","alg":"HS256","kid":"hs"}', claims()),
	'crit' => forge('{"alg":"HS256","kid":"hs","crit":["exp"]}', claims()), 'b64 false' => forge('{"alg":"HS256","kid":"hs","b64":false}', claims()),
	'another typ' => forge('{"alg":"HS256","kid":"hs","typ":"secevent+jwt"}', claims()), 'a header that is a list' => forge('["alg"]', claims()),
	'a header cut off' => forge('{"alg":"HS256","kid":"hs"', claims()), 'a header with something behind' => forge("$header {}", claims()),
	'a key of its own' => forge('{"alg":"HS256","kid":"hs","jwk":{"kty":"oct","k":"' . encode_base64url('x' x 32) . '"}}', claims(), 'x' x 32),
	'a deep header' => forge('{"alg":"HS256","kid":"hs","x":' . ('[' x 100) . (']' x 100) . '}', claims()),
	'5000 bytes' => $mt->token('beta', padding => 'x' x 4000), '1 MB' => 'eyJ' . ('A' x 1_000_000), '1 MB of prefixes' => 'eyJ' x 350_000, '1 MB of dots' => '.' x 1_000_000,
	'a revoked key, wrongly signed' => $mt->token('beta', kid => 'revoked', key => 'x' x 64), 'expired and wrongly signed' => $mt->token('beta', exp => $now - 1000, iat => $now - 1060, key => 'x' x 64),
	'a suspended tenant, wrongly signed' => $mt->token('gamma', key => 'x' x 64), 'no such tenant, wrongly signed' => $mt->token('nobody', key => 'x' x 64),
	'claims that are no JSON, wrongly signed' => forge($header, 'hello', 'x' x 64));
my %texts;
foreach my $name (sort keys %bad)
{
	my ($out, $err) = $mt->run($app, present($bad{$name}));
	my $ok = ok(($out !~ /SECRET/ and $err =~ /ERROR:  MT002: the credential is not valid\n/ and $err =~ /25P02/), "T1: $name") or diag(substr("$out\n$err", 0, 1000));
	$err =~ s/^psql:<stdin>:\d+: //mg;
	$err =~ s/^(LINE \d+|LOCATION):.*\n( +\^\n)?//mg;
	push @{ $texts{$err} }, $name;
}
is(scalar(keys %texts), 1, 'T1: and every text is the same') or diag(join("\n", map { "@{ $texts{$_} }: $_" } keys %texts));
{
	my @opened;
	for (my $length = 1; $length < length $good; $length += 5)
	{
		my ($out, $err) = $mt->run($app, present(substr($good, 0, $length)));
		push @opened, $length if $out =~ /SECRET|-/ or $err !~ /MT002/;
	}
	is("@opened", '', 'T1: cut off anywhere');
	my @changed;
	for (my $at = 3; $at < length $good; $at += 11)
	{
		my $changed = $good;
		substr($changed, $at, 1) = substr($good, $at, 1) eq 'B' ? 'C' : 'B' if substr($good, $at, 1) ne '.';
		next if $changed eq $good;
		my ($out, $err) = $mt->run($app, present($changed));
		push @changed, $at if $out =~ /SECRET|-/ or $err !~ /MT002/;
	}
	is("@changed", '', 'T1: one character changed anywhere');
}
$mt->refused($app, 'SELECT multitenant.authenticate(NULL);' . $see, 'MT001', 'T1: null sets nothing');
$mt->refused($app, "SELECT multitenant.authenticate(t) FROM (VALUES ('x')) v(t) WHERE false; $see", 'MT001', 'T1: a call that does not happen sets nothing');
$mt->refused($app, 'BEGIN; SAVEPOINT s;' . (present($bad{'another secret'}) =~ s/BEGIN;//r) . 'ROLLBACK TO s;' . $see, 'MT001', 'T1: a failed attempt leaves no context');
$mt->allowed($app, "\\set ON_ERROR_ROLLBACK on\nBEGIN; SELECT multitenant.reset_tenant();" . ($mt->begin('acme') =~ s/BEGIN;//r) . $see, 'SECRET-ACME', 'T1: nor takes the lock', tenant => 'acme');

# ---- T2: claims of a good signature ----
$now = time;
my @claims = (
	[ 'MT002', 'no audience', aud => undef ], [ 'MT002', 'another audience', aud => 'other' ], [ 'MT002', 'the audience in capitals', aud => 'APP' ],
	[ 'MT002', 'an audience that begins alike', aud => 'app2' ], [ 'MT002', 'an empty audience', aud => '' ], [ 'MT002', 'a list of other audiences', aud => [ 'a', 'b' ] ],
	[ 'MT002', 'an empty list of audiences', aud => [] ], [ 'MT002', 'too many audiences', aud => [ 'app', 1 .. 20 ] ],
	[ 'MT003', 'expired', iat => $now - 120, exp => $now - 60 ], [ 'MT003', 'issued in the future', iat => $now + 600, exp => $now + 660 ],
	[ 'MT003', 'not yet valid', nbf => $now + 600 ], [ 'MT002', 'a lifetime beyond that of the key', exp => $now + 7200 ],
	[ 'MT002', 'a life that ends before it begins', exp => $now - 10, iat => $now ], [ 'MT002', 'no exp', exp => undef ], [ 'MT002', 'no iat', iat => undef ],
	[ 'MT002', 'exp as text', exp => '"' . ($now + 60) . '"' ], [ 'MT002', 'exp with a fraction', exp => $now + 60.5 ], [ 'MT002', 'a huge exp', exp => 9223372036854775807 ],
	[ 'MT002', 'negative times', iat => -10, exp => -5 ], [ 'MT002', 'exp null', exp => JSON::PP::null() ],
	[ 'MT004', 'a kind that the key may not vouch for', kind => 'system', tenant => undef ], [ 'MT004', 'an unknown kind', kind => 'root' ], [ 'MT004', 'a kind in capitals', kind => 'TENANT' ],
	[ 'MT008', 'no such tenant', tenant => 'nobody' ], [ 'MT008', 'a slug in capitals', tenant => 'BETA' ], [ 'MT008', 'a slug with a space', tenant => 'beta ' ],
	[ 'MT008', 'a pattern', tenant => '%' ], [ 'MT008', 'SQL', tenant => "beta' OR '1'='1" ], [ 'MT008', 'no such id', tenant => '00000000-0000-0000-0000-0000000000ff' ],
	[ 'MT008', 'no such number', tenant => 99 ], [ 'MT008', 'a number as text', tenant => '2' ], [ 'MT002', 'a number with a fraction', tenant => 2.5 ],
	[ 'MT002', 'a list of tenants', tenant => [ 'acme', 'beta' ] ], [ 'MT002', 'an object', tenant => { id => 'beta' } ], [ 'MT002', 'an empty tenant', tenant => '' ],
	[ 'MT002', 'true', tenant => JSON::PP::true() ], [ 'MT006', 'a suspended tenant', tenant => 'gamma' ],
	[ 'MT002', 'neither tenant nor principal', tenant => undef ], [ 'MT002', 'a long principal', sub => 's' x 300 ], [ 'MT002', 'an empty principal', tenant => undef, sub => '' ],
	[ 'MT004', 'a key that is over', kid => 'past' ], [ 'MT004', 'a key that is not yet valid', kid => 'future' ], [ 'MT004', 'a revoked key', kid => 'revoked' ],
	[ 'MT008', "a tenant that is not the key's", kid => 'acme-only' ], [ 'MT008', 'a key for no tenant', kid => 'no-tenant' ], [ 'MT008', "no such tenant, for the same key", kid => 'acme-only', tenant => 'nobody' ],
	[ 'MT004', 'a key for another role', kid => 'trusted-only' ], [ 'MT002', 'a lifetime beyond that of another key', kid => 'overlap', iat => $now, exp => $now + 4000 ],
	[ 'MT004', 'a tenant token of a key for systems', kid => 'machine' ], [ '42501', 'a system token in the hands of an application', kid => 'machine', kind => 'system', tenant => undef, sub => 'job' ]);
my %said;
foreach my $case (@claims)
{
	my ($sqlstate, $name, %claims) = @$case;
	my $kid = delete $claims{kid} || 'hs';
	my $payload = claims(%claims);
	$payload =~ s/"\\"(\d+)\\""/"$1"/;
	my $token = forge("{\"alg\":\"HS256\",\"kid\":\"$kid\",\"typ\":\"JWT\"}", $payload);
	$mt->refused($app, present($token), $sqlstate, "T2: $name");
	my (undef, $err) = $mt->run($app, present($token));
	$said{$name} = $err =~ s/^LOCATION.*\n//mgr;
}
is($said{"a tenant that is not the key's"}, $said{'no such tenant, for the same key'}, "T2: a tenant that is not the key's and one that does not exist are one error");
$mt->refused($app, present(forge($header, $_->[1])), 'MT002', "T2: $_->[0]") foreach [ 'claims that are a list', '[]' ], [ 'claims that are no JSON', 'hello' ], [ 'empty claims', '' ],
	[ 'a claim twice', '{"tenant":"acme","tenant":"beta","aud":"app","iat":' . $now . ',"exp":' . ($now + 60) . '}' ],
	[ 'a NUL in a claim', '{"tenant":"beta\u0000x","aud":"app","iat":' . $now . ',"exp":' . ($now + 60) . '}' ],
	[ 'invalid UTF-8', "{\"tenant\":\"beta\",\"sub\":\"\xff\xfe\",\"aud\":\"app\",\"iat\":$now,\"exp\":" . ($now + 60) . '}' ];
foreach my $tenant ('beta', 2, '00000000-0000-0000-0000-00000000000b', '00000000-0000-0000-0000-00000000000B')
{
	$mt->allowed($app, present(forge($header, claims(tenant => $tenant))), 'SECRET-BETA', "T2: tenant $tenant", tenant => 'beta');
}
$mt->allowed($app, present(forge($header, claims(aud => [ 'x', 'app' ]))), 'SECRET-BETA', 'T2: one of several audiences', tenant => 'beta');
$mt->allowed($app, present($mt->token('acme', kid => 'acme-only')), 'SECRET-ACME', "T2: the key's own tenant", tenant => 'acme');
$mt->allowed('regress_mt_trusted', present($mt->token('acme', kid => 'trusted-only')), 'SECRET-ACME', "T2: the key's own role", tenant => 'acme');
$mt->refused($app, "SET ROLE regress_mt_trusted;" . present($mt->token('acme', kid => 'trusted-only')), 'MT004', 'T2: SET ROLE to it, without membership');

# ---- T3: a principal and its tenants ----
my $alice = 'BEGIN; SELECT multitenant.authenticate(\'' . $mt->token(undef, sub => 'alice') . "');\n";
sub switch { return join('', map { "SELECT multitenant.switch_tenant($_);\n" } @_); }
$mt->refused($app, $alice . $see, 'MT001', 'T3: a principal alone sees nothing');
$mt->allowed($app, $alice . switch("'acme'") . $see, 'SECRET-ACME', 'T3: a member switches by slug', tenant => 'acme');
$mt->allowed($app, $alice . switch('2') . $see, 'SECRET-BETA', 'T3: by number', tenant => 'beta');
$mt->allowed($app, $alice . switch("'00000000-0000-0000-0000-00000000000b'::uuid") . $see, 'SECRET-BETA', 'T3: by id', tenant => 'beta');
$mt->allowed($app, $alice . switch("'acme'", "'acme'", '1') . $see, 'SECRET-ACME', 'T3: the same again', tenant => 'acme');
$mt->refused($app, $alice . switch("'acme'", "'beta'") . $see, 'MT005', 'T3: a second tenant', tenant => 'acme');
$mt->refused($app, "$alice SAVEPOINT s;" . switch("'acme'") . 'ROLLBACK TO s;' . switch("'beta'") . $see, 'MT005', 'T3: a second tenant after ROLLBACK TO', tenant => 'acme');
$mt->refused($app, "$alice SAVEPOINT s;" . switch("'acme'") . "$see ROLLBACK TO s;" . switch("'beta'") . $see, 'MT00[15]', 'T3: the same after reading', tenant => 'acme');
$mt->refused($app, $alice . switch("'acme'") . 'SELECT multitenant.reset_tenant();' . ($alice =~ s/BEGIN;//r) . switch("'beta'") . $see, 'MT00[15]', 'T3: a second tenant after a reset', tenant => 'acme');
$mt->refused($app, $alice . switch("'gamma'") . $see, 'MT006', 'T3: a suspended tenant');
my @errors;
foreach my $tenant ("'beta'", "'nobody'", '99', "'00000000-0000-0000-0000-0000000000ff'::uuid", "'gamma'")
{
	my $adam = 'BEGIN; SELECT multitenant.authenticate(\'' . $mt->token(undef, sub => 'adam') . "');\n";
	$mt->refused($app, $adam . switch($tenant) . $see, 'MT008', "T3: not a member of $tenant");
	my (undef, $err) = $mt->run($app, $adam . switch($tenant));
	push @errors, $err unless grep { $_ eq $err } @errors;
}
is(scalar(@errors), 1, 'T3: not a member and no such tenant are one error') or diag(@errors);
$mt->refused($app, 'BEGIN;' . switch("'acme'") . $see, 'MT001', 'T3: nobody has authenticated');
$mt->refused($app, $mt->begin('acme') . switch("'beta'") . $see, 'MT005', 'T3: a token without a principal', tenant => 'acme');
$mt->refused($app, $mt->begin('acme', sub => 'alice') . switch("'beta'") . $see, 'MT005', 'T3: a token of one tenant for a member of both', tenant => 'acme');
$mt->refused($app, 'BEGIN; SELECT multitenant.authenticate(\'' . $mt->token(undef, sub => 'Alice') . "');" . switch("'acme'"), 'MT008', 'T3: principals are compared exactly');
# A key for some tenants vouches for no principal, who may be a member of others.
foreach my $kid ('acme-only', 'no-tenant')
{
	foreach my $tenant ('acme', 'beta')
	{
		my ($out, $err) = $mt->run($app, 'BEGIN; SELECT multitenant.authenticate(\'' . $mt->token(undef, sub => 'alice', kid => $kid) . "'); ROLLBACK; BEGIN;" .
			switch("'$tenant'") . $see);
		is(join(' ', $out =~ /(SECRET-\w+)/g, $err =~ /(?:ERROR|FATAL): +(\w{5}):/g), 'MT004 MT001 25P02', "T3: a principal of the key $kid cannot enter $tenant");
	}
}
{
	my $session = $node->background_psql('app', on_error_stop => 0, extra_params => [ '-U', $app, '-v', 'VERBOSITY=verbose' ]);
	$session->query($alice . switch("'beta'") . 'COMMIT');
	$mt->superuser("SELECT multitenant.remove_member('beta', 'alice')");
	$session->{stderr} = '';
	my $out = $session->query($alice . switch("'beta'") . $see . 'ROLLBACK');
	ok(($out !~ /SECRET/ and $session->{stderr} =~ /MT008/), 'T3: a membership that ended, in a session that had used it') or diag("$out\n$session->{stderr}");
	$session->quit;
}

# ---- T4: supervised contexts look and do not touch ----
$mt->superuser("SELECT multitenant.set_visibility('acme', 'supervised')");
$mt->superuser("CREATE SCHEMA scratch AUTHORIZATION $app");
$mt->allow($app, 'explain');
my $supervised = $mt->begin('acme', kind => 'supervised', sub => 'support');
$mt->allowed($app, $supervised . $see, 'SECRET-ACME', 'T4: a supervised context reads', tenant => 'acme');
foreach my $statement ("INSERT INTO invoice (note) VALUES ('planted')", "UPDATE invoice SET note = 'changed'", 'DELETE FROM invoice', 'SELECT note FROM invoice FOR UPDATE', 'SELECT note FROM invoice FOR KEY SHARE',
	"WITH w AS (DELETE FROM invoice RETURNING note) SELECT 1 FROM w", "INSERT INTO invoice (note) VALUES ('x') ON CONFLICT DO NOTHING",
	'CREATE TEMP TABLE copy AS SELECT note FROM invoice', 'CREATE TABLE scratch.copy AS TABLE invoice', 'SELECT note INTO scratch.copy FROM invoice',
	'CREATE TEMP TABLE copy AS SELECT 1', 'CREATE MATERIALIZED VIEW scratch.copy AS SELECT note FROM invoice', 'EXPLAIN ANALYZE CREATE TABLE scratch.copy AS TABLE invoice',
	"DO \$\$ BEGIN CREATE TEMP TABLE copy AS SELECT note FROM invoice; END \$\$",
	"MERGE INTO invoice i USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE", "DO \$\$ BEGIN DELETE FROM invoice; END \$\$", "EXPLAIN ANALYZE DELETE FROM invoice")
{
	$mt->refused($app, "$supervised$statement; COMMIT;", '25006', "T4: $statement", tenant => 'acme');
}
$mt->refused($app, "$supervised PREPARE q AS SELECT note FROM invoice; CREATE TABLE scratch.copy AS EXECUTE q; ROLLBACK;", '25006', 'T4: CREATE TABLE AS EXECUTE',
	tenant => 'acme');
$mt->refused($app, $supervised . "SET transaction_read_only = off; DELETE FROM invoice;", '(?:25001|25006)', 'T4: a setting makes it no writer', tenant => 'acme');
$mt->refused($app, $supervised . ($mt->begin('acme', sub => 'support') =~ s/BEGIN;//r) . 'DELETE FROM invoice;', 'MT005', 'T4: nor a second token of the same tenant', tenant => 'acme');
$mt->refused($app, 'BEGIN; SELECT multitenant.authenticate(\'' . $mt->token(undef, sub => 'adam', kind => 'supervised') . "');" . switch("'acme'") . 'DELETE FROM invoice;', '25006',
	'T4: a supervised principal stays supervised', tenant => 'acme');
$mt->intact('T4: nothing was changed');
is($mt->superuser("SELECT count(*) FROM pg_class WHERE relnamespace = 'scratch'::regnamespace"), 0, 'T4: nor made');
$mt->superuser("SELECT multitenant.revoke_access('$app')");

# ---- T5: one backend, a token it has verified before ----
sub session
{
	my ($role) = @_;
	my $session = $node->background_psql('app', on_error_stop => 0, extra_params => [ '-U', $role // $app, '-v', 'VERBOSITY=verbose' ]);
	return $session;
}

# Output and SQLSTATEs of one query in a session.
sub ask
{
	my ($session, $sql) = @_;
	$session->{stderr} = '';
	my $out = $session->query($sql);
	my $seen = join(' ', $out =~ /SECRET-(\w+)/g);
	return join(' ', $seen || (), $session->{stderr} =~ /(?:ERROR|FATAL): +(\w{5}):/g);
}

my $session = session();
my $cached = $mt->token('beta', kid => 'overlap');
is(ask($session, present($cached) . 'COMMIT'), 'BETA', 'T5: a token') foreach 1 .. 2;
$mt->superuser("SELECT multitenant.suspend_tenant('beta', 'unpaid')");
is(ask($session, present($cached) . 'ROLLBACK'), 'MT006 25P02', 'T5: the same after the suspension of its tenant');
$mt->superuser("SELECT multitenant.resume_tenant('beta')");
is(ask($session, present($cached) . 'COMMIT'), 'BETA', 'T5: and after the end of the suspension');
$mt->superuser("SELECT multitenant.revoke_signing_key('overlap', 'lost')");
is(ask($session, present($cached) . 'ROLLBACK'), 'MT004 25P02', 'T5: the same after the revocation of its key');
is(ask($session, present($mt->token('beta')) . 'COMMIT'), 'BETA', 'T5: another key goes on');
{
	# Revocation does not wait for a snapshot.
	my $token = $mt->token('beta', kid => 'trusted-only');
	my $reader = session('regress_mt_trusted');
	is(ask($reader, present($token) . 'COMMIT'), 'BETA', 'T5: a key that is about to be revoked');
	ask($reader, 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
	$mt->superuser("SELECT multitenant.revoke_signing_key('trusted-only')");
	is(ask($reader, present($token) =~ s/BEGIN;//r), 'MT004 25P02', 'T5: revoked under an open REPEATABLE READ transaction');
	$reader->quit;
}

{
	# A context that the session keeps does not outlive what it was made of.
	$mt->superuser("CREATE ROLE regress_mt_kept LOGIN; GRANT SELECT ON invoice TO regress_mt_kept;
		SELECT multitenant.grant_access('regress_mt_kept', 'application', session_context => true);
		SELECT multitenant.add_signing_key('kept', 'HS256', secret_file => '$mt->{secret_file}')");
	my $kept = session('regress_mt_kept');
	is(ask($kept, present($mt->token('beta', kid => 'kept')) . 'COMMIT'), 'BETA', 'T5: a session-scoped context');
	is(ask($kept, $see), 'BETA', 'T5: in the next transaction');
	$mt->superuser("SELECT multitenant.suspend_tenant('beta', 'unpaid')");
	like(ask($kept, $see), qr/^MT00[16]$/, 'T5: after the suspension of its tenant');
	$mt->superuser("SELECT multitenant.resume_tenant('beta')");
	is(ask($kept, present($mt->token('beta', kid => 'kept')) . 'COMMIT'), 'BETA', 'T5: the same after the suspension');
	is(ask($kept, $see), 'BETA', 'T5: and in the next transaction');
	$mt->superuser("SELECT multitenant.revoke_signing_key('kept', 'lost')");
	is(ask($kept, $see), 'MT001', 'T5: after the revocation of its key');
	$mt->superuser("SELECT multitenant.revoke_access('regress_mt_kept')");
	is(ask($kept, $see), 'MT001', 'T5: after the session may not keep a context any more');
	$kept->quit;
}

# ---- T6: a credential that runs out while it is used ----
sub wait_until
{
	my ($time) = @_;
	return $node->poll_query_until('app', "SELECT clock_timestamp() > to_timestamp($time)");
}
{
	# Leeway is for credentials and for the contexts made of them alike.
	my $exp = time + 4;
	my $token = $mt->token('beta', iat => $exp - 30, exp => $exp);
	is(ask($session, present($token) . 'DECLARE c CURSOR FOR SELECT note FROM invoice'), 'BETA', 'T6: before it runs out');
	my $other = session();
	wait_until($exp);
	is(ask($session, $see), 'BETA', 'T6: in the same transaction within the leeway');
	is(ask($other, present($token) . 'COMMIT'), 'BETA', 'T6: the token again within the leeway');
	wait_until($exp + $leeway);
	is(ask($session, $see), 'MT003', 'T6: in the same transaction after it has run out');
	is(ask($other, present($token) . 'ROLLBACK'), 'MT003 25P02', 'T6: the token again after it has run out');
	is(ask($session, 'ROLLBACK; ' . present($token) . 'ROLLBACK'), 'MT003 25P02', 'T6: and in the session that had verified it');
	$other->quit;

	$exp = time + 2;
	is(ask($session, present($mt->token('beta', iat => $exp - 30, exp => $exp)) . 'DECLARE c CURSOR FOR SELECT note FROM invoice'), 'BETA', 'T6: a cursor opened before it runs out');
	wait_until($exp + $leeway);
	is(ask($session, 'FETCH ALL FROM c'), 'MT003', 'T6: fetched after it has run out');
	ask($session, 'ROLLBACK');

	$exp = time + 2;
	$token = $mt->token('beta', iat => $exp - 30, exp => $exp);
	is(ask($session, present($token) . ';' . (present($mt->token('beta')) =~ s/BEGIN;//r)), 'BETA BETA', 'T6: a longer token of the same identity');
	wait_until($exp + $leeway);
	is(ask($session, $see), 'BETA', 'T6: keeps the transaction going');
	ask($session, 'ROLLBACK');
	$token = $mt->token('beta', iat => time - 30, exp => time - $leeway);
	$mt->refused($app, $see, 'MT003', 'T6: a startup token that has run out', pgoptions => "-c multitenant.token=$token");
	$mt->refused($app, present($token), 'MT003', 'T6: a token that has run out, in a new session');
}
{
	my $end = time + 5;
	$mt->superuser("SELECT multitenant.add_signing_key('ending', 'HS256', secret_file => '$mt->{secret_file}', not_after => to_timestamp($end))");
	my $token = $mt->token('beta', kid => 'ending');
	is(ask($session, present($token) . 'COMMIT'), 'BETA', 'T6: a key that is about to end');
	wait_until($end);
	$mt->refused($app, present($token), 'MT004', 'T6: after its end, in a new session');
	is(ask($session, present($token) . 'ROLLBACK'), 'MT004 25P02', 'T6: after its end, in a session that had verified the token');
	ask($session, 'ROLLBACK');
}

# ---- T7: the audience changes ----
{
	my $token = $mt->token('beta');
	is(ask($session, present($token) . 'COMMIT'), 'BETA', 'T7: the audience is the name of the database');
	$node->append_conf('postgresql.conf', "multitenant.audience = 'production'");
	$node->reload;
	$node->poll_query_until('app', "SELECT current_setting('multitenant.audience') = 'production'");
	is($session->query('SHOW multitenant.audience'), 'production', 'T7: the session has the new setting');
	$mt->refused($app, present($token), 'MT002', 'T7: a token for the old audience, in a new session');
	is(ask($session, present($token) . 'ROLLBACK'), 'MT002 25P02', 'T7: the same in a session that had verified the token');
	ask($session, 'ROLLBACK');
	is(ask($session, present($mt->token('beta', aud => 'production')) . 'COMMIT'), 'BETA', 'T7: a token for the new audience');
	$node->adjust_conf('postgresql.conf', 'multitenant.audience', undef, 1);
	$node->reload;
	$node->poll_query_until('app', "SELECT current_setting('multitenant.audience') = ''");
}

# ---- T8: power that is lent by a cached token ----
{
	$mt->superuser('GRANT regress_mt_app TO regress_mt_migrator');
	my $migrator = session('regress_mt_migrator');
	my $token = $mt->token(undef, kid => 'machine', kind => 'system', sub => 'job');
	is(ask($migrator, "BEGIN; SELECT multitenant.authenticate('$token'); SELECT state FROM multitenant.context; COMMIT"), '', 'T8: a system token in the hands of a migrator');
	my $fresh = $mt->token(undef, kid => 'machine', kind => 'system', sub => 'other');
	is(ask($migrator, "SET ROLE regress_mt_app; BEGIN; SELECT multitenant.authenticate('$fresh'); ROLLBACK"), '42501', 'T8: under a weaker role');
	is(ask($migrator, "BEGIN; SELECT multitenant.authenticate('$token'); ROLLBACK"), '42501', 'T8: the same for a token that was verified before');
	ask($migrator, 'ROLLBACK');
	$migrator->quit;
}

# ---- T9: keys that must not be accepted ----
openssl('genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:1024', '-out', "$dir/small.pem");
openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-384', '-out', "$dir/p384.pem");
openssl('genpkey', '-algorithm', 'ED448', '-out', "$dir/ed448.pem");
my $secret = 's' x 40;
my %files = (
	open => write_file('open.secret', $secret, 0644), group => write_file('group.secret', $secret, 0640), writable => write_file('writable.secret', $secret, 0602),
	short => write_file('short.secret', 's' x 31), newline => write_file('newline.secret', 's' x 31 . "\n"), long => write_file('long.secret', 's' x 2000), empty => write_file('empty.secret', ''),
	good => write_file('good.secret', $secret), directory => $dir, missing => "$dir/missing.secret", relative => 'good.secret', dotted => '../good.secret', device => '/dev/zero', empty_path => '');
symlink($files{good}, "$dir/link.secret");
system('mkfifo', '-m', '0600', "$dir/fifo.secret");
@files{qw(link fifo)} = ("$dir/link.secret", "$dir/fifo.secret");
sub add_key
{
	my (%arguments) = @_;
	my $kid = delete $arguments{kid} // 'bad';
	my $algorithm = delete $arguments{algorithm} // 'HS256';
	my $list = join(', ', "'$kid'", "'$algorithm'", map { "$_ => '$arguments{$_}'" } sort keys %arguments);
	my (undef, undef, $err) = $node->psql('app', "SELECT multitenant.add_signing_key($list)", extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	return $err =~ /ERROR:  (\w{5}):/ ? $1 . ($err =~ /$secret|BEGIN (?:RSA |EC )?PRIVATE/ && $err !~ /public_key =>/ ? ' SECRET' : '') : 'added';
}
foreach my $name (grep { $_ ne 'good' } sort keys %files)
{
	is(add_key(secret_file => $files{$name}), '22023', "T9: a secret file: $name");
}
is(add_key(), '22023', 'T9: no secret file');
is(add_key(secret_file => $files{good}, public_key => $public{ed}), '22023', 'T9: a secret file and a public key');
foreach my $kid (sort keys %algorithm)
{
	is(add_key(algorithm => $algorithm{$kid}, public_key => slurp_binary("$dir/$kid.pem")), '22023', "T9: $algorithm{$kid} with a private key");
	is(add_key(algorithm => $algorithm{$kid}, public_key => $public{$_}), '22023', "T9: $algorithm{$kid} with the public key of $algorithm{$_}") foreach grep { $_ ne $kid } sort keys %algorithm;
	is(add_key(algorithm => $algorithm{$kid}, public_key => ''), '22023', "T9: $algorithm{$kid} with an empty key");
	is(add_key(algorithm => $algorithm{$kid}, public_key => 'hello'), '22023', "T9: $algorithm{$kid} with no key at all");
	is(add_key(algorithm => $algorithm{$kid}, secret_file => $files{good}), '22023', "T9: $algorithm{$kid} with a secret file");
}
is(add_key(algorithm => 'RS256', public_key => openssl('pkey', '-in', "$dir/small.pem", '-pubout')), '22023', 'T9: RSA of 1024 bits');
is(add_key(algorithm => 'ES256', public_key => openssl('pkey', '-in', "$dir/p384.pem", '-pubout')), '22023', 'T9: the curve P-384');
is(add_key(algorithm => 'EdDSA', public_key => openssl('pkey', '-in', "$dir/ed448.pem", '-pubout')), '22023', 'T9: Ed448');
is(add_key(algorithm => $_, secret_file => $files{good}), '22023', "T9: algorithm $_") foreach 'none', 'HS512', 'hs256', '';
is(add_key(kid => $_, secret_file => $files{good}), '22023', "T9: key id \"$_\"") foreach '', 'a b', 'k' x 65, '../x', 'a"b';
is(add_key(kid => 'hs', secret_file => $files{good}), '42710', 'T9: a key id that exists');
is(add_key(secret_file => $files{good}, max_lifetime => $_), '22023', "T9: a lifetime of $_") foreach '0', '-1 s', '25 hours';
is(add_key(secret_file => $files{good}, kinds => $_), '22023', "T9: kinds $_") foreach '{}', '{root}', '{tenant,root}';
is(add_key(secret_file => $files{good}, tenants => '{nobody}'), 'MT008', 'T9: an unknown tenant');
is($mt->superuser("SELECT count(*) FROM multitenant.signing_key WHERE kid = 'bad'"), '0', 'T9: none of them was added');
foreach my $role ($app, 'regress_mt_trusted', 'regress_mt_provisioner', 'regress_mt_operator', 'regress_mt_migrator', 'regress_mt_owner')
{
	$mt->refused($role, "SELECT multitenant.add_signing_key('mine', 'HS256', secret_file => '$files{good}')", '42501', "T9: $role adds no key");
	$mt->refused($role, "SELECT multitenant.revoke_signing_key('hs')", '42501', "T9: $role revokes none");
	$mt->refused($role, "SELECT multitenant.adopt_clone(false)", '42501', "T9: $role adopts no copy");
	$mt->refused($role, "SELECT * FROM multitenant.$_", '42501', "T9: $role does not read $_") foreach 'signing_key', 'installation', 'member', 'access';
	$mt->refused($role, "INSERT INTO multitenant.signing_key (kid, algorithm, secret_file, kinds, max_lifetime) VALUES ('mine', 'HS256', '$files{good}', '{tenant}', 60)", '42501', "T9: $role writes none");
}

# ---- T10: a secret file that changes afterwards ----
is(add_key(kid => 'file', secret_file => $files{good}), 'added', 'T10: a good secret file');
$mt->allowed($app, present($mt->token('acme', kid => 'file', key => $secret)), 'SECRET-ACME', 'T10: its tokens are accepted', tenant => 'acme');
chmod(0644, $files{good});
$mt->refused($app, present($mt->token('acme', kid => 'file', key => $secret)), 'MT002', 'T10: not any more once others can read it');
chmod(0600, $files{good});
unlink($files{good});
$mt->refused($app, present($mt->token('acme', kid => 'file', key => $secret)), 'MT002', 'T10: nor without it');
$mt->refused($app, present($mt->token('acme', kid => 'file', key => '')), 'MT002', 'T10: nor with an empty secret');
write_file('good.secret', 'n' x 40);
$mt->refused($app, present($mt->token('acme', kid => 'file', key => $secret)), 'MT002', 'T10: nor with the old secret when there is a new one');

# ---- T11: a copy of the database ----
$session->quit;
$node->poll_query_until('app', "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = 'app'");
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE app');
foreach my $audience ('app', 'copy')
{
	$mt->refused($app, present($mt->token('beta', aud => $audience)), 'MT004', "T11: a copy of the database refuses tokens for \"$audience\"", database => 'copy');
}
$node->safe_psql('copy', 'SELECT multitenant.adopt_clone(true)');
$mt->refused($app, present($mt->token('beta', aud => 'copy')), 'MT004', 'T11: adopted with new keys, the old ones are worthless in it', database => 'copy');
$mt->allowed($app, $mt->begin('acme') . $see, 'SECRET-ACME', 'T11: the original goes on', tenant => 'acme');

$session = session();
my $before = $mt->token('beta');
is(ask($session, present($before) . 'COMMIT'), 'BETA', 'T11: a token verified before');
$mt->superuser("UPDATE multitenant.installation SET system_identifier = '1'");
is(ask($session, present($before) . 'ROLLBACK'), 'MT004 25P02', 'T11: restored elsewhere, it is refused in the same session');
$mt->refused($app, present($mt->token('beta')), 'MT004', 'T11: and in every other');
$mt->refused($app, present($mt->token('beta', key => 'x' x 64)), 'MT002', 'T11: what is wrongly signed is not told that this is a copy');
is(add_key(kid => 'late', secret_file => $mt->{secret_file}), '55000', 'T11: no key is added to a copy');
$mt->superuser('SELECT multitenant.adopt_clone(false)');
is(ask($session, present($before) . 'COMMIT'), 'BETA', 'T11: adopted with its keys');
$mt->superuser("UPDATE multitenant.installation SET database_name = 'other'");
is(ask($session, present($before) . 'ROLLBACK'), 'MT004 25P02', 'T11: renamed');
$mt->superuser('DELETE FROM multitenant.installation');
is(ask($session, present($before) . 'ROLLBACK'), 'MT004 25P02', 'T11: nothing known of the installation');
$mt->superuser('SELECT multitenant.adopt_clone(true)');
is(ask($session, present($before) . 'ROLLBACK'), 'MT004 25P02', 'T11: adopted with new keys only');
is(ask($session, present(sign('EdDSA', 'ed', "$dir/ed.pem"))  . 'ROLLBACK'), 'MT004 25P02', 'T11: whatever their algorithm');
$session->quit;
$mt->intact('nothing was changed');

done_testing();
