# Attacks C1 to C15 and C17 to C21 of docs/internals/attacks.md: forging, moving and keeping a context.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use Test::More;

my $mt = MtTest->new('forging');
my $app = 'regress_mt_app';

$mt->refused($app, 'SELECT note FROM invoice', 'MT001', 'no context: refused, not empty');
$mt->allowed($app, $mt->begin('acme') . 'SELECT note FROM invoice', 'SECRET-ACME', 'a token opens its own rows', tenant => 'acme');

# C1
$mt->refused($app, "SET multitenant.context = 'acme'; SELECT note FROM invoice", '42501', 'C1: SET');

done_testing();
