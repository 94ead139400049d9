# An upgraded installation is the same as a fresh one, object by object: for every frozen script
# sql/upgrade/multitenant--A.sql, installing A and updating to the current version gives the catalog that installing the
# current version gives.  The comparison itself is tested with releases made up here: one whose delta is right and
# several whose delta forgets something.
use strict;
use warnings;
use File::Basename qw(basename);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = $ENV{TESTDIR} || '.';
my $node = PostgreSQL::Test::Cluster->new('upgrade');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'multitenant'\n");
$node->start;

my $sharedir = `pg_config --sharedir`;
chomp $sharedir;
my $dir = "$sharedir/extension";
my ($current) = slurp_file("$dir/multitenant.control") =~ /^default_version *= *'(.*)'/m;
my $install = slurp_file("$dir/multitenant--$current.sql");

if (!-w $dir)
{
	plan skip_all => "$dir is not writable: run through make check, which installs into a copy";
}

my @made;
my $number = 0;

# The fingerprint of a database where the SQL ran.
sub fingerprint
{
	my ($sql) = @_;
	my $database = 'fingerprint_' . ++$number;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	my $err;
	my $ret = $node->psql($database, $sql, stderr => \$err, on_error_die => 0, on_error_stop => 1);
	if ($ret != 0)
	{
		diag($err);
		return;
	}
	my $out;
	$node->psql($database, slurp_file("$top/test/tools/fingerprint.sql"), stdout => \$out, on_error_die => 1);
	return $out;
}

# The lines in which two fingerprints differ, the way diff marks them.
sub differences
{
	my ($a, $b) = @_;
	my %a = map { $_ => 1 } split(/\n/, $a);
	my %b = map { $_ => 1 } split(/\n/, $b);
	return join("\n", (map { "-$_" } grep { !$b{$_} } sort keys %a), (map { "+$_" } grep { !$a{$_} } sort keys %b));
}

# A release that never was: the install script $script as version $version, and a delta from it to the current one.
sub release
{
	my ($version, $script, $delta) = @_;
	my @files = ("$dir/multitenant--$version.sql", "$dir/multitenant--$version--$current.sql");
	foreach my $content ($script, $delta)
	{
		my $file = shift @files;
		push @made, $file;
		open(my $out, '>', $file) or die "$file: $!\n";
		print $out $content;
		close($out) or die "$file: $!\n";
	}
	return;
}

sub upgraded
{
	my ($version) = @_;
	return fingerprint("CREATE EXTENSION multitenant VERSION '$version'; ALTER EXTENSION multitenant UPDATE TO '$current';");
}

END
{
	my $status = $?;
	unlink @made;
	$? = $status;
}

my $fresh = fingerprint('CREATE EXTENSION multitenant');
ok(defined $fresh, 'the current version installs') or BAIL_OUT('nothing to compare with');
cmp_ok(scalar(split(/\n/, $fresh)), '>', 5, 'its fingerprint has lines');
unlike($fresh, qr/pg_temp_\d|pg_toast/, 'the fingerprint names nothing transient');
is(differences($fresh, fingerprint('CREATE EXTENSION multitenant')), '', 'two fresh installations have the same fingerprint');

# ---- released versions ----------------------------------------------------------------------------------------------
foreach my $file (sort glob("$top/sql/upgrade/multitenant--*.sql"))
{
	my ($version, $to) = basename($file) =~ /^multitenant--([^-]+)(?:--([^-]+))?\.sql$/ or die "$file is neither an install script nor a delta\n";
	if (defined $to)
	{
		ok(-f "$top/sql/upgrade/multitenant--$version.sql", "the delta $version--$to has its frozen install script beside it");
		next;
	}
	release_frozen($version, slurp_file($file));
	my $upgraded = upgraded($version);
	ok(defined $upgraded, "$version installs and updates to $current");
	is(defined $upgraded ? differences($fresh, $upgraded) : 'no upgrade', '', "$version updated is the same as $current installed");
}

# A frozen install script is in the repository only; the deltas are installed with the extension.
sub release_frozen
{
	my ($version, $script) = @_;
	my $file = "$dir/multitenant--$version.sql";
	push @made, $file;
	open(my $out, '>', $file) or die "$file: $!\n";
	print $out $script;
	close($out) or die "$file: $!\n";
	return;
}

# ---- does the comparison notice? --------------------------------------------------------------------------------------
my $addition = <<'SQL';
CREATE FUNCTION multitenant._upgrade_probe(a int) RETURNS int LANGUAGE plpgsql STABLE PARALLEL SAFE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp AS $$ BEGIN RETURN a; END $$;
REVOKE ALL ON FUNCTION multitenant._upgrade_probe(int) FROM PUBLIC;
COMMENT ON FUNCTION multitenant._upgrade_probe(int) IS 'probe';
CREATE TABLE multitenant._upgrade_table (a int PRIMARY KEY, b text NOT NULL DEFAULT 'b' CHECK (b <> ''));
ALTER TABLE multitenant._upgrade_table ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('multitenant._upgrade_table', '');
GRANT SELECT (a) ON multitenant._upgrade_table TO PUBLIC;
CREATE INDEX ON multitenant._upgrade_table (b);
SQL

# The installed script gets the addition at its end for the length of this test.
my $script = "$dir/multitenant--$current.sql";
sub install_script
{
	my ($content) = @_;
	open(my $out, '>', $script) or die "$script: $!\n";
	print $out $content;
	close($out) or die "$script: $!\n";
	return;
}

eval {
	install_script($install . $addition);
	my $with = fingerprint('CREATE EXTENSION multitenant');
	my $difference = differences($fresh, $with);
	like($difference, qr/^\+function multitenant\._upgrade_probe/m, 'an added function changes the fingerprint');
	unlike($difference, qr/^-/m, 'and takes nothing away from it');

	release('0.0.0.right', $install, $addition);
	is(differences($with, upgraded('0.0.0.right')), '', 'a delta that adds what was missing passes');

	release('0.0.0.empty', $install, "SELECT 1;\n");
	isnt(differences($with, upgraded('0.0.0.empty')), '', 'a delta that forgets everything is reported');

	my %forgotten = (
		'a revoked privilege' => [ qr/^REVOKE .*$/m, '' ],
		'a comment' => [ qr/^COMMENT .*$/m, '' ],
		'row security' => [ qr/^ALTER TABLE .* ROW LEVEL SECURITY;$/m, '' ],
		'a table to dump' => [ qr/^SELECT pg_catalog\.pg_extension_config_dump.*$/m, '' ],
		'a column privilege' => [ qr/^GRANT SELECT .*$/m, '' ],
		'an index' => [ qr/^CREATE INDEX .*$/m, '' ],
		'a check' => [ qr/ CHECK \(b <> ''\)/, '' ],
		'a default' => [ qr/ DEFAULT 'b'/, '' ],
		'strictness' => [ qr/ STRICT/, '' ],
		'volatility' => [ qr/ STABLE/, ' VOLATILE' ],
		'a parallel label' => [ qr/ PARALLEL SAFE/, '' ],
		'security' => [ qr/SECURITY INVOKER/, 'SECURITY DEFINER' ],
		'a search path' => [ qr/^SET search_path = pg_catalog, pg_temp/m, '' ],
		'the order of columns' => [ qr/a int PRIMARY KEY, b text NOT NULL DEFAULT 'b' CHECK \(b <> ''\)/, "b text NOT NULL DEFAULT 'b' CHECK (b <> ''), a int PRIMARY KEY" ]);
	my $release = 0;
	foreach my $what (sort keys %forgotten)
	{
		my ($pattern, $instead) = @{ $forgotten{$what} };
		(my $delta = $addition) =~ s/$pattern/$instead/ or die "nothing to forget for $what\n";
		my $version = '0.0.1.' . ++$release;
		release($version, $install, $delta);
		my $upgraded = upgraded($version);
		isnt(defined $upgraded ? differences($with, $upgraded) : '', '', "a delta that forgets $what is reported");
	}
};
my $died = $@;
install_script($install);
is($died, '', 'the comparison ran to its end');

$node->stop;
done_testing();
