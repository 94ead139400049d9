#!/usr/bin/perl
# Prints a token for the demo's bank: mint.pl KEYFILE KID AUDIENCE TENANT_NUMBER [AGE]
#
# HS256, valid for five minutes from AGE seconds ago (0). What an application would do is in
# docs/guides/minting-tokens.md; this is Perl because every machine with PostgreSQL has it.
use strict;
use warnings;
use Digest::SHA qw(hmac_sha256);
use MIME::Base64 qw(encode_base64url);

my ($keyfile, $kid, $audience, $tenant, $age) = @ARGV;
open(my $file, '<', $keyfile) or die "$keyfile: $!\n";
chomp(my $secret = <$file>);
my $iat = time - ($age // 0);
my $exp = $iat + 300;
# Digits and the demo's own names only: nothing here needs escaping.
my $text = join('.', map { encode_base64url($_) }
	qq({"alg":"HS256","kid":"$kid","typ":"JWT"}),
	qq({"tenant":$tenant,"aud":"$audience","iat":$iat,"exp":$exp,"sub":"teller"}));
print $text, '.', encode_base64url(hmac_sha256($text, $secret)), "\n";
