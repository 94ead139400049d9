# Attacks P1 to P8, P16 and P17 of docs/internals/attacks.md: what a role can get by owning a table, by being a member
# of another role, by running another role's function, or by copying and re-hanging tables.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use Test::More;

my $mt = MtTest->new('roles');
my ($app, $owner, $trusted, $migrator) = qw(regress_mt_app regress_mt_owner regress_mt_trusted regress_mt_migrator);
my ($acme, $beta) = map { "00000000-0000-0000-0000-00000000000$_" } qw(a b);
my $read = 'SELECT note FROM invoice;';

# Number of rows of invoice, whoever they belong to.
sub row_count { return $mt->superuser('SELECT count(*) FROM invoice'); }

# One value the superuser sees must be this.
sub holds
{
	my ($sql, $wanted, $name) = @_;
	return is($mt->superuser($sql), $wanted, $name);
}

# The owner weakens the protection: that is refused; and where it was done past the guard, every statement of everybody is
# refused until repair(), and nothing has changed.
# (Without a context the planner may ask for the tenant before the guard looks at the table, hence MT001 or MT007.)
sub weakened
{
	my ($name, @commands) = @_;
	foreach my $command (grep { !/^SET / } @commands)
	{
		$mt->refused($owner, join("\n", (grep { /^SET / } @commands), $command), 'MT010', "$name: the owner cannot do it") if $command !~ /^CREATE POLICY multitenant/;
	}
	$mt->past_guard($owner, join("\n", @commands));
	$mt->refused($app, $mt->begin('acme') . $read, 'MT007', "$name: refused under a context");
	$mt->refused($app, $read, 'MT00[17]', "$name: refused without a context");
	$mt->refused($owner, $read, 'MT00[17]', "$name: refused to the owner");
	$mt->refused($owner, $mt->begin('acme') . $read, 'MT007', "$name: refused to the owner under a context");
	$mt->refused($owner, $mt->begin('acme') . "UPDATE invoice SET note = 'hit'; COMMIT;", 'MT007',
		"$name: no writing either");
	$mt->intact("$name: nothing was changed");
	$mt->allowed($owner, "SELECT count(*) > 0 FROM multitenant.repair('invoice')", 't', "$name: the owner can repair it");
	$mt->allowed($app, $mt->begin('acme') . $read, 'SECRET-ACME', "$name: after repair() the tenant reads again",
		tenant => 'acme');
	return;
}

subtest 'P1: the application owns its tables' => sub {
	$mt->superuser("GRANT CREATE ON SCHEMA public TO $app");
	$mt->allowed($app, "CREATE TABLE mine (tenant_id uuid, note text);
		INSERT INTO mine VALUES ('$acme', 'SECRET-ACME'), ('$beta', 'SECRET-BETA');
		SELECT count(*) > 0 FROM multitenant.protect('mine')", 't', 'it protects one');
	$mt->refused($app, 'SELECT note FROM mine', 'MT001', 'and is asked for a context like anybody');
	$mt->allowed($app, $mt->begin('acme') . 'SELECT note FROM mine', 'SECRET-ACME', 'reads its tenant', tenant => 'acme');
	$mt->allowed($app, $mt->begin('acme') . "WITH d AS (DELETE FROM mine RETURNING note) SELECT note FROM d; COMMIT",
		'SECRET-ACME', 'deletes its tenant only', tenant => 'acme');
	holds('SELECT note FROM mine', 'SECRET-BETA', 'the other tenant\'s row is still there');
	$mt->refused($app, 'TABLE mine', 'MT001', 'no context, no rows');
	$mt->superuser("DROP TABLE mine; REVOKE CREATE ON SCHEMA public FROM $app");
};

subtest 'P2: the owner weakens row security' => sub {
	weakened('NO FORCE', 'ALTER TABLE invoice NO FORCE ROW LEVEL SECURITY;');
	weakened('DISABLE', 'ALTER TABLE invoice DISABLE ROW LEVEL SECURITY;');
	weakened('DISABLE and NO FORCE', 'ALTER TABLE invoice DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;');
	weakened('DROP of the restrictive policy', 'DROP POLICY multitenant_isolation ON invoice;');
	weakened('DROP of the permissive policy', 'DROP POLICY multitenant_access ON invoice;');
	weakened('DROP of both policies and DISABLE', 'DROP POLICY multitenant_isolation ON invoice;',
		'DROP POLICY multitenant_access ON invoice;', 'ALTER TABLE invoice DISABLE ROW LEVEL SECURITY;');
};

subtest 'P2: the owner edits the policies' => sub {
	weakened('ALTER POLICY USING (true)', 'ALTER POLICY multitenant_isolation ON invoice USING (true);');
	weakened('ALTER POLICY USING (true) on both', 'ALTER POLICY multitenant_isolation ON invoice USING (true);',
		'ALTER POLICY multitenant_access ON invoice USING (true);');
	weakened('ALTER POLICY WITH CHECK (true)', 'ALTER POLICY multitenant_isolation ON invoice WITH CHECK (true);');
	weakened('ALTER POLICY with OR', 'ALTER POLICY multitenant_isolation ON invoice
		USING (tenant_id = multitenant.current_tenant() OR true);');
	weakened('ALTER POLICY TO one role', "ALTER POLICY multitenant_isolation ON invoice TO $owner;");
	weakened('RENAME of a policy', 'ALTER POLICY multitenant_isolation ON invoice RENAME TO zzz_harmless;');
	weakened('one policy of the name, for SELECT only', 'DROP POLICY multitenant_isolation ON invoice;',
		'CREATE POLICY multitenant_isolation ON invoice AS RESTRICTIVE FOR SELECT
			USING (tenant_id = multitenant.current_tenant());');
	weakened('one policy of the name, permissive', 'DROP POLICY multitenant_isolation ON invoice;',
		'CREATE POLICY multitenant_isolation ON invoice USING (tenant_id = multitenant.current_tenant());');
	$mt->superuser('DROP POLICY IF EXISTS zzz_harmless ON invoice');
};

subtest 'P2: policies that only look right' => sub {
	$mt->superuser("CREATE SCHEMA sandbox AUTHORIZATION $owner");
	$mt->allowed($owner, "CREATE FUNCTION sandbox.current_tenant() RETURNS uuid LANGUAGE sql STABLE AS 'SELECT ''$beta''::uuid';
		CREATE FUNCTION sandbox.always(uuid, uuid) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
		CREATE OPERATOR sandbox.= (FUNCTION = sandbox.always, LEFTARG = uuid, RIGHTARG = uuid);
		GRANT USAGE ON SCHEMA sandbox TO PUBLIC", undef, 'the owner makes an operator and a function of the same name');
	weakened('another =', 'SET search_path = sandbox, public, pg_catalog;',
		'ALTER POLICY multitenant_isolation ON invoice USING (tenant_id = multitenant.current_tenant());',
		'ALTER POLICY multitenant_access ON invoice USING (tenant_id = multitenant.current_tenant());');
	weakened('another current_tenant()', 'SET search_path = sandbox, public;',
		'ALTER POLICY multitenant_isolation ON invoice USING (tenant_id = current_tenant());',
		'ALTER POLICY multitenant_access ON invoice USING (tenant_id = current_tenant());');
	weakened('current_tenant_or_null()',
		'ALTER POLICY multitenant_isolation ON invoice USING (tenant_id = multitenant.current_tenant_or_null());');
	weakened('the column with itself', 'ALTER POLICY multitenant_isolation ON invoice USING (tenant_id = tenant_id);');
	$mt->superuser('DROP SCHEMA sandbox CASCADE');
};

# A table of its own with a row of each tenant, because what happens to it cannot be undone.
sub bill
{
	$mt->superuser("DROP TABLE IF EXISTS bill; SET ROLE $owner;
		CREATE TABLE bill (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid, note text);
		INSERT INTO bill (tenant_id, note) VALUES ('$acme', 'SECRET-ACME'), ('$beta', 'SECRET-BETA');
		SELECT multitenant.protect('bill'); GRANT SELECT, INSERT, UPDATE, DELETE ON bill TO $app");
	return;
}

subtest 'P2: one policy on another column' => sub {
	bill();
	my $move = 'ALTER POLICY multitenant_isolation ON bill USING (id = multitenant.current_tenant())';
	$mt->refused($owner, $move, 'MT010', 'the owner cannot do it');
	$mt->past_guard($owner, $move);
	$mt->refused($app, $mt->begin('acme') . 'SELECT note FROM bill', 'MT007', 'refused under a context');
	$mt->refused($app, 'SELECT note FROM bill', 'MT00[17]', 'refused without a context');
	$mt->run($owner, "SELECT multitenant.repair('bill')");
	$mt->run($app, $mt->begin('acme') . "INSERT INTO bill (id, tenant_id, note) VALUES ('$acme', '$beta', 'planted'); COMMIT");
	holds("SELECT count(*) FROM bill WHERE note = 'planted'", 0, 'repair() does not take that column for the tenant\'s');
};

subtest 'P2: both policies on another column' => sub {
	bill();
	$mt->past_guard($owner, "ALTER TABLE bill ADD COLUMN other uuid DEFAULT '$acme';
		ALTER POLICY multitenant_isolation ON bill USING (other = multitenant.current_tenant());
		ALTER POLICY multitenant_access ON bill USING (other = multitenant.current_tenant());");
	$mt->refused($owner, $mt->begin('acme') . 'SELECT note FROM bill', 'MT007', 'refused to the owner', tenant => 'acme');
	$mt->refused($app, $mt->begin('acme') . 'SELECT note FROM bill', 'MT007', 'refused to the application', tenant => 'acme');
};
$mt->superuser('DROP TABLE bill');

subtest 'P2, P5: further policies do not widen' => sub {
	$mt->superuser("CREATE ROLE regress_mt_readonly; GRANT regress_mt_readonly TO $app");
	foreach my $policy ('USING (true)', "TO regress_mt_readonly USING (true)", 'FOR SELECT USING (true)',
		'USING (true) WITH CHECK (true)')
	{
		$mt->refused($owner, "CREATE POLICY evil ON invoice $policy", 'MT010', "CREATE POLICY evil $policy");
		$mt->past_guard($owner, "CREATE POLICY evil ON invoice $policy");
		$mt->allowed($app, $mt->begin('acme') . $read, 'SECRET-ACME', 'it shows no other tenant', tenant => 'acme');
		$mt->refused($app, $read, 'MT001', 'and needs a context');
		$mt->refused($app, $mt->begin('acme') . "INSERT INTO invoice (tenant_id, note) VALUES ('$beta', 'planted'); COMMIT",
			'42501', 'and plants nothing');
		$mt->intact('all rows are where they were');
		$mt->allowed($owner, 'DROP POLICY evil ON invoice', undef, 'DROP POLICY evil');
	}
};

subtest 'P5: a further restrictive policy that is evaluated first' => sub {
	my $shout = "CREATE FUNCTION shout(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS 'BEGIN RAISE NOTICE ''%'', \$1; RETURN true; END'";
	my $first = 'CREATE POLICY a_first ON invoice AS RESTRICTIVE USING (shout(note))';
	$mt->superuser("GRANT CREATE ON SCHEMA public TO $owner; SET ROLE $owner; $shout");
	$mt->refused($owner, $first, 'MT010', 'the owner cannot make it');
	$mt->past_guard($owner, $first);
	foreach my $role ($app, $owner)
	{
		my ($out, $err) = $mt->run($role, $mt->begin('acme') . $read);
		is(scalar(MtTest::leaks("$out\n$err", 'acme')), 0, "$role: it is shown no other tenant's row");
	}
	$mt->superuser('DROP POLICY a_first ON invoice; DROP FUNCTION shout(text)');
	$mt->allowed($app, $mt->begin('acme') . $read, 'SECRET-ACME', 'everything is as before', tenant => 'acme');
};

subtest 'P6: policies for one command' => sub {
	foreach my $policy ('d ON invoice FOR DELETE USING (true)', 'u ON invoice FOR UPDATE USING (true) WITH CHECK (true)', 'i ON invoice FOR INSERT WITH CHECK (true)')
	{
		$mt->refused($owner, "CREATE POLICY $policy", 'MT010', "the owner cannot make $policy");
		$mt->past_guard($owner, "CREATE POLICY $policy");
	}
	$mt->allowed($app, $mt->begin('acme') . 'DELETE FROM invoice; ROLLBACK', undef, 'DELETE without WHERE');
	$mt->allowed($app, $mt->begin('acme') . "DELETE FROM invoice; INSERT INTO invoice (note) VALUES ('SECRET-ACME'); COMMIT",
		undef, 'DELETE of everything, committed');
	$mt->intact('deleted the rows of its tenant only');
	$mt->refused($app, $mt->begin('acme') . "UPDATE invoice SET tenant_id = '$beta'; COMMIT", '42501',
		'UPDATE moves no row to another tenant');
	$mt->refused($app, $mt->begin('acme') . "INSERT INTO invoice (tenant_id, note) VALUES ('$beta', 'planted'); COMMIT",
		'42501', 'INSERT plants none');
	$mt->refused($app, $mt->begin('acme') . "INSERT INTO invoice (id, note) SELECT id, 'taken' FROM invoice
		ON CONFLICT (id) DO UPDATE SET tenant_id = '$beta'; COMMIT", '42501', 'ON CONFLICT moves none');
	$mt->refused($app, $mt->begin('acme') . "MERGE INTO invoice i USING (VALUES (1)) v(x) ON true
		WHEN MATCHED THEN UPDATE SET tenant_id = '$beta'; COMMIT", '42501', 'MERGE moves none');
	$mt->intact('all rows are where they were');
	$mt->superuser('DROP POLICY d ON invoice; DROP POLICY u ON invoice; DROP POLICY i ON invoice');
};

# The check of a new row is left out where protect()'s policies make it certain; somebody else's say nothing of the sort.
subtest 'own policies with the accessor, on a table that is not protected' => sub {
	$mt->superuser("CREATE TABLE draft (tenant_id uuid, note text); INSERT INTO draft VALUES ('$acme', 'a'), ('$beta', 'b');
		ALTER TABLE draft ENABLE ROW LEVEL SECURITY; GRANT SELECT, INSERT, UPDATE ON draft TO $app;
		CREATE POLICY r ON draft FOR SELECT USING (true);
		CREATE POLICY u ON draft FOR UPDATE USING (true) WITH CHECK (tenant_id = multitenant.current_tenant())");
	$mt->refused($app, $mt->begin('acme') . "UPDATE draft SET note = 'hit'; COMMIT", '42501', 'their check is made of every row');
	holds("SELECT string_agg(note, ',' ORDER BY note) FROM draft", 'a,b', 'nothing was written');
	$mt->allowed($app, $mt->begin('acme') . "UPDATE draft SET note = 'mine' WHERE note = 'a'; COMMIT", undef, 'a row that passes is written');
	$mt->superuser('DROP TABLE draft');
};

subtest 'P3: a member of the owner' => sub {
	$mt->superuser("GRANT $owner TO $app");
	$mt->refused($app, $read, 'MT001', 'needs a context');
	$mt->refused($app, "SET ROLE $owner; $read", 'MT001', 'also as the owner');
	$mt->allowed($app, $mt->begin('acme') . "SET ROLE $owner; $read", 'SECRET-ACME', 'reads its tenant', tenant => 'acme');
	$mt->refused($app, 'ALTER TABLE invoice DISABLE ROW LEVEL SECURITY', 'MT010', 'does not disable row security');
	$mt->past_guard($app, 'ALTER TABLE invoice DISABLE ROW LEVEL SECURITY');
	$mt->refused($app, $mt->begin('acme') . $read, 'MT007', 'and would gain nothing by it');
	$mt->refused($app, "SECURITY LABEL FOR multitenant ON TABLE invoice IS NULL", '42501', 'the label stays');
	$mt->intact('nothing was changed');
	$mt->superuser("SELECT multitenant.repair('invoice'); REVOKE $owner FROM $app");
};

subtest 'P4: a member of something stronger' => sub {
	$mt->superuser("CREATE ROLE regress_mt_bypass BYPASSRLS; GRANT SELECT, INSERT, UPDATE, DELETE ON invoice TO regress_mt_bypass;
		CREATE ROLE regress_mt_super SUPERUSER;
		CREATE ROLE regress_mt_dump BYPASSRLS; GRANT pg_read_all_data TO regress_mt_dump;
		SELECT multitenant.grant_access('regress_mt_dump', 'bypass', reason => 'dump');
		GRANT regress_mt_bypass, regress_mt_super, regress_mt_dump TO $app");
	foreach my $role (qw(regress_mt_bypass regress_mt_super regress_mt_dump))
	{
		$mt->refused($app, "SET ROLE $role; $read", 'MT007', "SET ROLE $role: nothing without a context");
		$mt->refused($app, $mt->begin('acme') . "SET ROLE $role; $read", 'MT007', "SET ROLE $role: nor with one");
		$mt->refused($app, $mt->begin('acme') . "SET ROLE $role; COPY invoice TO STDOUT", 'MT007', "SET ROLE $role: COPY");
		$mt->refused($app, "SET ROLE $role; SELECT multitenant.use_tenant('beta'); $read", '42501',
			"SET ROLE $role: naming a tenant");
		$mt->refused($app, "SET ROLE $role; SELECT multitenant.system_context('because'); $read", '42501',
			"SET ROLE $role: system context");
	}
	$mt->refused($app, 'SET ROLE regress_mt_super; SELECT multitenant.unprotect_all();', '42501', 'unprotect_all() as a borrowed superuser');
	$mt->refused($app, "SET ROLE regress_mt_super; SELECT multitenant.grant_access('$app', 'bypass', reason => 'because')",
		'42501', 'grant_access() as a borrowed superuser');
	$mt->refused($app, "SET ROLE regress_mt_super; SECURITY LABEL FOR multitenant ON TABLE invoice IS 'exempt: because'",
		'42501', 'SECURITY LABEL as a borrowed superuser');
	$mt->intact('nothing was changed');
	$mt->superuser("REVOKE regress_mt_bypass, regress_mt_super, regress_mt_dump FROM $app");
};

subtest 'P4: pg_read_all_data and the extension\'s own tables' => sub {
	$mt->superuser("CREATE ROLE regress_mt_reader LOGIN; GRANT pg_read_all_data TO regress_mt_reader;
		INSERT INTO multitenant.member SELECT id, 'somebody' FROM multitenant.tenant;
		ANALYZE");
	my @tables = split /\n/, $mt->superuser("SELECT oid::regclass FROM pg_class
		WHERE relnamespace = 'multitenant'::regnamespace AND relkind = 'r'");
	ok(@tables >= 6, 'the extension has tables');
	foreach my $table (@tables)
	{
		my ($out) = $mt->run('regress_mt_reader', "SELECT count(*) FROM $table");
		is($out, '0', "$table shows no row");
		($out) = $mt->run('regress_mt_reader', "COPY $table TO STDOUT");
		is($out, '', "$table is not copied");
		$mt->refused('regress_mt_reader', "SET row_security = off; SELECT * FROM $table", '42501', "$table: row_security off");
		$mt->refused('regress_mt_reader', "DELETE FROM $table", '42501', "$table cannot be written");
		$mt->refused($app, "SELECT * FROM $table", '42501', "$table is closed to the application");
	}
	$mt->allowed('regress_mt_reader', "SELECT count(*) || ' columns' FROM pg_stats WHERE schemaname = 'multitenant'", '0 columns',
		'pg_stats shows none of their values');
	holds("SELECT count(*) FROM pg_statistic s JOIN pg_attribute a ON a.attrelid = s.starelid AND a.attnum = s.staattnum
		WHERE a.attrelid = 'multitenant.signing_key'::regclass AND a.attname IN ('public_key', 'secret_file')", 0,
		'there are no statistics on keys at all');
	$mt->superuser('CREATE STATISTICS invoice_mcv (mcv) ON note, tenant_id FROM invoice; ANALYZE invoice; GRANT TEMP ON DATABASE app TO regress_mt_reader');
	my %statistics = (pg_statistic => 'stavalues1::text', pg_statistic_ext_data => 'stxdmcv::text');
	foreach my $table (sort keys %statistics)
	{
		my $read_it = "SELECT $statistics{$table} FROM $table";
		my %ways = (
			'directly' => $read_it, 'in a subquery' => "SELECT (SELECT count(*) FROM ($read_it) s)", 'by COPY' => "COPY $table TO STDOUT",
			'by COPY of a query' => "COPY ($read_it) TO STDOUT", 'with row_security off' => "SET row_security = off; $read_it",
			'in a function' => "DO \$\$ BEGIN PERFORM * FROM $table; END \$\$", 'one column that tells nothing' => "SELECT count(*) FROM $table",
			'into a table' => "CREATE TEMP TABLE s AS SELECT count(*) FROM $table");
		foreach my $way (sort keys %ways)
		{
			$mt->refused('regress_mt_reader', $ways{$way}, 'MT010', "$table is not for it $way");
			$mt->refused('regress_mt_reader', $mt->begin('acme') . $ways{$way}, 'MT010', "$table is not for it $way, under a context", tenant => 'acme');
		}
		$mt->refused('regress_mt_reader', "CREATE TEMP VIEW v AS $read_it; SELECT * FROM v", 'MT010', "$table is not for it in a view of its own");
		$mt->refused($app, $read_it, '42501', "$table is closed to the application");
		$mt->allowed('postgres', "$read_it LIMIT 1", undef, "$table is open to a superuser");
	}
	$mt->allowed('regress_mt_reader', "SELECT count(*) || ' columns' FROM pg_stats WHERE schemaname = 'public' AND tablename = 'invoice'", '0 columns',
		'pg_stats shows nothing of a protected table');
	$mt->allowed('regress_mt_reader', "SELECT count(*) > 0 FROM pg_stats WHERE tablename = 'pg_class'", 't', 'pg_stats works for what is not protected');
	$mt->refused('regress_mt_reader', $read, 'MT001', 'protected tables ask it for a context');
	$mt->refused('regress_mt_reader', "SET row_security = off; $read", '42501', 'also with row_security off');
};

subtest 'P8: only one half of the protection exists' => sub {
	$mt->superuser('SECURITY LABEL FOR multitenant ON TABLE invoice IS NULL');
	$mt->allowed($app, $mt->begin('acme') . $read, 'SECRET-ACME', 'policies alone protect', tenant => 'acme');
	$mt->refused($app, $read, 'MT001', 'and need a context');
	weakened('policies without label, row security disabled', 'ALTER TABLE invoice DISABLE ROW LEVEL SECURITY;');
	$mt->superuser('SECURITY LABEL FOR multitenant ON TABLE invoice IS NULL');
	weakened('one policy, no label, row security disabled', 'ALTER TABLE invoice DISABLE ROW LEVEL SECURITY;',
		'DROP POLICY multitenant_isolation ON invoice;');
	holds("SELECT class || ' ' || is_intact FROM multitenant.tables WHERE table_name = 'public.invoice'", 'tenant true',
		'repair() brought back the label');
};

subtest 'labels are not the owner\'s' => sub {
	my $until = $mt->superuser("SELECT to_char(now() AT TIME ZONE 'UTC' + interval '1 hour', 'YYYY-MM-DD HH24:MI:SS+00')");
	my @labels = ("'exempt: because'", "'shared'", "'shared_rows'", 'NULL', "'tenant'", "'tenant {}'",
		qq('tenant {"mode": "paused", "until": "$until", "reason": "because"}'));
	foreach my $label (@labels)
	{
		$mt->refused($owner, "SECURITY LABEL FOR multitenant ON TABLE invoice IS $label", '42501', "invoice cannot become $label");
	}
	foreach my $column ("invoice.note IS 'tenant_column'", "invoice.id IS 'tenant_column'", 'invoice.tenant_id IS NULL', "invoice.tenant_id IS 'tenant'")
	{
		$mt->refused($owner, "SECURITY LABEL FOR multitenant ON COLUMN $column", '(?:42501|42809|22023|55000)', "column $column is not for the owner");
	}
	foreach my $call ("unprotect('invoice')", 'unprotect_all()', "share('invoice')", "exempt('invoice', 'because')",
		"shared_rows('invoice')", "pause_protection('invoice', 'because', now() + interval '1 hour')")
	{
		$mt->refused($owner, "SELECT multitenant.$call", '42501', "$call is not for the owner");
		$mt->refused($app, "SELECT multitenant.$call", '42501', "$call is not for the application");
	}
	$mt->superuser("CREATE TABLE fresh (tenant_id uuid, note text); ALTER TABLE fresh OWNER TO $owner");
	foreach my $label (@labels[0 .. 3], $labels[6])
	{
		$mt->refused($owner, "SECURITY LABEL FOR multitenant ON TABLE fresh IS $label", '42501', "the first label cannot be $label");
	}
	$mt->refused($owner, "SECURITY LABEL FOR multitenant ON TABLE fresh IS 'nonsense'", '22023', 'nor nonsense');
	$mt->refused($owner, "SECURITY LABEL FOR multitenant ON COLUMN fresh.note IS 'tenant'", '(?:42809|22023)', 'nor one on a column');
	$mt->refused($app, "SECURITY LABEL FOR multitenant ON TABLE fresh IS 'tenant'", '42501', 'strangers label nothing');
	$mt->allowed($owner, "SECURITY LABEL FOR multitenant ON TABLE fresh IS 'tenant'", undef, 'the first label may be tenant');
	$mt->refused($owner, 'SELECT * FROM fresh', 'MT007', 'which denies everything until the rest is there');
	$mt->superuser('DROP TABLE fresh');
	$mt->intact('nothing was changed');
};

# ---- other tables with the same rows ----

subtest 'P17: partitions' => sub {
	$mt->superuser("SET ROLE $owner;
		CREATE TABLE ledger (tenant_id uuid, day int, note text) PARTITION BY RANGE (day);
		CREATE TABLE ledger_1 PARTITION OF ledger FOR VALUES FROM (0) TO (10);
		INSERT INTO ledger VALUES ('$acme', 1, 'SECRET-ACME'), ('$beta', 1, 'SECRET-BETA');
		SELECT multitenant.protect('ledger');
		GRANT ALL ON ledger, ledger_1 TO $app");
	$mt->allowed($app, $mt->begin('acme') . 'SELECT note FROM ledger', 'SECRET-ACME', 'through the parent', tenant => 'acme');
	$mt->allowed($app, $mt->begin('acme') . 'SELECT note FROM ledger_1', 'SECRET-ACME', 'the partition itself', tenant => 'acme');
	$mt->refused($app, 'SELECT note FROM ledger', 'MT001', 'parent without a context');
	$mt->refused($app, 'SELECT note FROM ledger_1', 'MT001', 'partition without a context');
	$mt->refused($app, $mt->begin('acme') . "INSERT INTO ledger_1 VALUES ('$beta', 2, 'planted')", '42501', 'planting into the partition');

	# made afterwards: nothing of its own protects it
	$mt->superuser("SET ROLE $owner; CREATE TABLE ledger_2 PARTITION OF ledger FOR VALUES FROM (10) TO (20);
		CREATE TABLE ledger_3 (tenant_id uuid NOT NULL, day int, note text);
		INSERT INTO ledger_3 VALUES ('$acme', 21, 'SECRET-ACME'), ('$beta', 21, 'SECRET-BETA');
		GRANT ALL ON ledger_2, ledger_3 TO $app");
	my $attach = 'ALTER TABLE ledger ATTACH PARTITION ledger_3 FOR VALUES FROM (20) TO (30)';
	$mt->refused($owner, $attach, 'MT010', 'the owner cannot attach what is not protected');
	$mt->past_guard($owner, $attach);
	$mt->allowed($app, $mt->begin('acme') . "INSERT INTO ledger (day, note) VALUES (11, 'SECRET-ACME'); COMMIT;" .
		$mt->begin('beta') . "INSERT INTO ledger (day, note) VALUES (11, 'SECRET-BETA'); COMMIT", undef, 'new partitions take rows');
	$mt->allowed($app, $mt->begin('acme') . 'SELECT note FROM ledger WHERE day > 10', "SECRET-ACME\nSECRET-ACME",
		'through the parent they show the tenant\'s rows', tenant => 'acme');
	foreach my $partition (qw(ledger_2 ledger_3))
	{
		$mt->refused($app, $mt->begin('acme') . "SELECT note FROM $partition", 'MT007', "$partition itself");
		$mt->refused($app, "SELECT note FROM $partition", 'MT007', "$partition itself, without a context");
		$mt->refused($app, "COPY $partition TO STDOUT", 'MT007', "COPY of $partition");
		$mt->refused($owner, "SELECT note FROM $partition", 'MT007', "$partition for the owner");
		$mt->refused($app, $mt->begin('acme') . "DELETE FROM $partition; COMMIT", 'MT007', "DELETE FROM $partition");
		$mt->refused($owner, "SECURITY LABEL FOR multitenant ON TABLE $partition IS 'exempt: because'", '42501', "$partition is not exempted by its owner");
	}
	$mt->superuser("SECURITY LABEL FOR multitenant ON TABLE ledger_3 IS 'exempt: by mistake'");
	$mt->refused($app, "SELECT note FROM ledger_3", 'MT007', 'not even a superuser exempts one partition');
	$mt->superuser("SECURITY LABEL FOR multitenant ON TABLE ledger_3 IS NULL");
	$mt->allowed($owner, "SELECT count(*) > 0 FROM multitenant.repair('ledger')", 't', 'repair() reaches the new ones');
	$mt->allowed($app, $mt->begin('acme') . 'SELECT note FROM ledger_3', 'SECRET-ACME', 'then they can be used', tenant => 'acme');

	# what left the tree keeps what it got
	$mt->superuser("SET ROLE $owner; ALTER TABLE ledger DETACH PARTITION ledger_3");
	$mt->refused($app, 'SELECT note FROM ledger_3', 'MT001', 'a detached partition is protected');
	$mt->allowed($app, $mt->begin('acme') . 'SELECT note FROM ledger_3', 'SECRET-ACME', 'and serves its tenant', tenant => 'acme');
	holds("SELECT string_agg(note, ' ' ORDER BY note) FROM ledger_3", 'SECRET-ACME SECRET-BETA', 'nothing was changed');
};

subtest 'P17: an unprotected partition leaves the tree' => sub {
	$mt->superuser("SET ROLE $owner; CREATE TABLE ledger_4 PARTITION OF ledger FOR VALUES FROM (30) TO (40);
		GRANT ALL ON ledger_4 TO $app");
	$mt->allowed($app, $mt->begin('beta') . "INSERT INTO ledger (day, note) VALUES (31, 'SECRET-BETA'); COMMIT", undef, 'it has a row');
	foreach my $detach ('ALTER TABLE ledger DETACH PARTITION ledger_4', 'ALTER TABLE ledger DETACH PARTITION ledger_4 CONCURRENTLY')
	{
		$mt->refused($owner, $detach, 'MT010', "refused: $detach");
	}
	$mt->refused($app, 'SELECT note FROM ledger_4', 'MT00[17]', 'it shows nothing to anybody without a context');
	$mt->allowed($owner, "SELECT count(*) > 0 FROM multitenant.repair('ledger'); ALTER TABLE ledger DETACH PARTITION ledger_4", 't', 'protected by repair() it may leave');
	$mt->refused($app, 'SELECT note FROM ledger_4', 'MT001', 'and still shows nothing without a context');
};

subtest 'P17: inheritance children' => sub {
	$mt->superuser("SET ROLE $owner; CREATE TABLE invoice_old (LIKE invoice);
		INSERT INTO invoice_old VALUES (gen_random_uuid(), '$beta', 'SECRET-BETA'); GRANT ALL ON invoice_old TO $app");
	$mt->refused($owner, 'ALTER TABLE invoice_old INHERIT invoice', 'MT010', 'the owner cannot hang it there');
	$mt->past_guard($owner, 'ALTER TABLE invoice_old INHERIT invoice');
	$mt->refused($app, $mt->begin('acme') . 'SELECT note FROM invoice_old', 'MT007', 'the child itself');
	$mt->refused($app, 'SELECT note FROM invoice_old', 'MT007', 'the child itself, without a context');
	$mt->refused($owner, 'SELECT note FROM invoice_old', 'MT007', 'the child itself, for the owner');
	$mt->allowed($app, $mt->begin('acme') . $read, 'SECRET-ACME', 'through the parent', tenant => 'acme');
	$mt->superuser('DROP TABLE invoice_old');
};

subtest 'P16: copies' => sub {
	$mt->refused($owner, 'CREATE TABLE copy AS SELECT * FROM invoice', 'MT001', 'CREATE TABLE AS without a context');
	$mt->refused($owner, 'SELECT * INTO copy FROM invoice', 'MT001', 'SELECT INTO without a context');
	$mt->refused($owner, 'CREATE TABLE copy (LIKE invoice INCLUDING ALL); INSERT INTO copy SELECT * FROM invoice', 'MT001',
		'LIKE without a context');
	holds('SELECT count(*) FROM copy', 0, 'is empty');
	$mt->superuser('DROP TABLE copy');
	$mt->refused($owner, 'CREATE MATERIALIZED VIEW copy AS SELECT * FROM invoice', 'MT001', 'materialized view without a context');
	$mt->refused($app, 'CREATE TEMP TABLE copy AS SELECT * FROM invoice', 'MT001', 'temporary table without a context');
	$mt->allowed($owner, $mt->begin('acme') . 'CREATE TABLE copy AS SELECT * FROM invoice; SELECT note FROM copy', 'SECRET-ACME',
		'a copy under a context has its tenant\'s rows', tenant => 'acme');
	holds("SELECT to_regclass('copy') IS NULL", 't', 'nothing was left');
};

# ---- borrowed profiles ----

subtest 'profiles are not lent by SET ROLE' => sub {
	$mt->superuser("CREATE ROLE regress_mt_group NOLOGIN; SELECT multitenant.grant_access('regress_mt_group', 'trusted_application');
		GRANT SELECT ON invoice TO regress_mt_group; GRANT regress_mt_group TO $app;
		GRANT $app TO $trusted; GRANT $migrator TO $app; GRANT regress_mt_provisioner TO $app");
	$mt->refused($app, "SET ROLE regress_mt_group; SELECT multitenant.use_tenant('beta'); $read", '42501', 'from a group');
	$mt->refused($app, "SET ROLE $migrator; SELECT multitenant.use_tenant('beta'); $read", '42501', 'from a migrator');
	$mt->refused($app, "SET ROLE $migrator; SELECT multitenant.system_context('because')", '42501', 'system context of a migrator');
	$mt->refused($app, "SET ROLE regress_mt_provisioner; SELECT multitenant.create_tenant('evil')", '42501', 'create_tenant() of a provisioner');
	$mt->refused($trusted, "SET ROLE $app; SELECT multitenant.use_tenant('beta'); $read", '42501', 'a weaker role weakens');
	$mt->refused($app, "SET SESSION AUTHORIZATION $trusted; SELECT multitenant.use_tenant('beta')", '42501', 'no session authorization');
	$mt->allowed($trusted, "BEGIN; SELECT multitenant.use_tenant('acme'); $read", 'SECRET-ACME', 'the role itself may', tenant => 'acme');
	holds("SELECT count(*) FROM multitenant.tenant WHERE slug = 'evil'", 0, 'no tenant was made');
	$mt->superuser("REVOKE regress_mt_group, $migrator, regress_mt_provisioner FROM $app; REVOKE $app FROM $trusted");
};

subtest 'profiles are not lent by definer functions' => sub {
	my %calls = (
		$trusted => ["multitenant.use_tenant('beta')", "multitenant.use_tenant(2)", "multitenant.use_tenant('$beta'::uuid)"],
		$migrator => ["multitenant.use_tenant('beta')", "multitenant.unprotect('invoice')", "multitenant.system_context('because')",
			"multitenant.exempt('invoice', 'because')"],
		regress_mt_provisioner => ["multitenant.create_tenant('evil')", "multitenant.suspend_tenant('beta', 'because')",
			"multitenant.resume_tenant('gamma')", "multitenant.delete_tenant('beta', 'because')", "multitenant.add_member('beta', 'me')"],
		postgres => ["multitenant.use_tenant('beta')", "multitenant.grant_access('$app', 'trusted_application')",
			"multitenant.revoke_access('$trusted')", "multitenant.unprotect('invoice')", "multitenant.unprotect_all()",
			"multitenant.pause_protection('invoice', 'because', now() + interval '1 hour')", "multitenant.share('invoice')",
			"multitenant.exempt('invoice', 'because')", "multitenant.system_context('because')", "multitenant.create_tenant('evil')",
			"multitenant.suspend_tenant('beta', 'because')", "multitenant.revoke_signing_key('hs')", "multitenant.adopt_clone(true)",
			"multitenant.add_signing_key('evil', 'HS256', secret_file => '$mt->{secret_file}')"]);
	foreach my $role (sort keys %calls)
	{
		$mt->superuser("GRANT CREATE ON SCHEMA public TO $role");
		foreach my $call (@{ $calls{$role} })
		{
			$mt->superuser("SET ROLE $role;
				CREATE FUNCTION lend() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS \$\$ BEGIN PERFORM $call; END \$\$;
				GRANT EXECUTE ON FUNCTION lend() TO $app");
			$mt->refused($app, "SELECT lend(); $read", '42501', "$role: $call");
			$mt->superuser('DROP FUNCTION lend()');
		}
	}
	$mt->superuser("CREATE FUNCTION lend() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS \$\$ BEGIN
			SECURITY LABEL FOR multitenant ON TABLE invoice IS NULL; END \$\$; GRANT EXECUTE ON FUNCTION lend() TO $app");
	$mt->refused($app, 'SELECT lend()', '42501', 'SECURITY LABEL in a superuser\'s function');
	$mt->superuser('DROP FUNCTION lend()');
	$mt->intact('nothing was changed');
	holds("SELECT string_agg(slug || ':' || state, ' ' ORDER BY slug) FROM multitenant.tenant",
		'acme:active beta:active gamma:suspended', 'no tenant was changed');
	holds("SELECT count(*) FROM multitenant.access WHERE role_name = '$app'", 0, 'no profile was given');
};

subtest 'definer functions that read' => sub {
	$mt->superuser("CREATE FUNCTION peek() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER AS 'SELECT note FROM invoice';
		CREATE FUNCTION peek_off() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER SET row_security = off AS 'SELECT note FROM invoice';
		CREATE FUNCTION peek_count() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM invoice'");
	foreach my $function (qw(peek peek_off peek_count))
	{
		$mt->refused($app, "SELECT * FROM $function()", 'MT007', "$function() of a superuser without a context");
		$mt->refused($app, $mt->begin('acme') . "SELECT * FROM $function()", 'MT007', "$function() of a superuser");
		$mt->superuser("ALTER FUNCTION $function() OWNER TO $owner");
		$mt->refused($app, "SELECT * FROM $function()", $function eq 'peek_off' ? '42501' : 'MT001', "$function() of the owner without a context");
	}
	$mt->allowed($app, $mt->begin('acme') . 'SELECT * FROM peek()', 'SECRET-ACME', 'a function of the owner is filtered', tenant => 'acme');
	$mt->refused($app, $mt->begin('acme') . 'SELECT * FROM peek_off()', '42501', 'row_security off in a function of the owner');
	$mt->superuser('DROP FUNCTION peek(); DROP FUNCTION peek_off(); DROP FUNCTION peek_count()');
};

subtest 'row_security off' => sub {
	foreach my $role ($app, $owner)
	{
		$mt->refused($role, "SET row_security = off; $read", '42501', "$role without a context", pgoptions => '');
		$mt->refused($role, $read, '42501', "$role by startup option", pgoptions => '-c row_security=off');
		$mt->refused($role, "SET row_security = off; " . $mt->begin('acme') . $read, '42501', "$role with one");
		$mt->refused($role, "SET row_security = off; " . $mt->begin('acme') . 'COPY invoice TO STDOUT', '42501', "$role: COPY");
	}
};

# ---- expiry and binding ----

subtest 'what has run out grants nothing' => sub {
	$mt->superuser("CREATE ROLE regress_mt_temp LOGIN; GRANT SELECT ON invoice TO regress_mt_temp;
		SELECT multitenant.grant_access('regress_mt_temp', 'trusted_application', expires_at => now() + interval '1 day')");
	my $use = "BEGIN; SELECT multitenant.use_tenant('acme'); $read";
	$mt->allowed('regress_mt_temp', $use, 'SECRET-ACME', 'before', tenant => 'acme');
	$mt->superuser("UPDATE multitenant.access SET expires_at = now() - interval '1 second' WHERE role_name = 'regress_mt_temp'");
	$mt->refused('regress_mt_temp', $use, '42501', 'afterwards it names no tenant');
	$mt->refused('regress_mt_temp', $mt->begin('acme') . $read, '42501', 'and is not even an application');
	$mt->refused('regress_mt_temp', $read, 'MT001', 'and sees nothing');

	# in one session: the time passes between two statements
	$mt->superuser("UPDATE multitenant.access SET expires_at = clock_timestamp() + interval '2 seconds' WHERE role_name = 'regress_mt_temp'");
	my ($out, $err) = $mt->run('regress_mt_temp', "$use COMMIT; SELECT pg_sleep(2.1); $use ROLLBACK;");
	is(scalar(() = $out =~ /SECRET-ACME/g), 1, 'a session that outlives its grant reads once');
	like($err, qr/42501:/, 'and is refused then');
	$mt->superuser("SELECT multitenant.revoke_access('regress_mt_temp')");
	$mt->refused('regress_mt_temp', $use, '42501', 'a revoked profile names no tenant');
	$mt->allowed('regress_mt_temp', $mt->begin('acme') . $read, 'SECRET-ACME', 'but is an application', tenant => 'acme');
};

subtest 'bound roles' => sub {
	my $bound = 'regress_mt_bound';
	$mt->superuser("CREATE ROLE $bound LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON invoice TO $bound;
		SELECT multitenant.grant_access('$bound', 'tenant', tenant => 'acme'); GRANT $bound TO $app; CREATE ROLE regress_mt_other; GRANT SELECT ON invoice TO regress_mt_other; GRANT regress_mt_other TO $bound");
	$mt->allowed($bound, $read, 'SECRET-ACME', 'it has its tenant at once', tenant => 'acme');
	$mt->refused($bound, $mt->begin('beta') . $read, 'MT005', 'another tenant\'s token', tenant => 'acme');
	$mt->refused($bound, "SELECT multitenant.use_tenant('beta'); $read", '42501', 'naming another', tenant => 'acme');
	$mt->refused($bound, "SELECT multitenant.reset_tenant(); " . $mt->begin('beta') . $read, 'MT005', 'another after a reset', tenant => 'acme');
	$mt->refused($bound, "SET ROLE regress_mt_other; " . $mt->begin('beta') . $read, 'MT005', 'another after SET ROLE', tenant => 'acme');
	$mt->refused($bound, "INSERT INTO invoice (tenant_id, note) VALUES ('$beta', 'planted')", '42501', 'planting', tenant => 'acme');
	$mt->refused($app, "SET ROLE $bound; $read", 'MT001', 'the binding is not lent by SET ROLE');
	$mt->superuser("UPDATE multitenant.access SET expires_at = now() - interval '1 second' WHERE role_name = '$bound'");
	$mt->refused($bound, $read, 'MT001', 'an expired binding binds to nothing');
	$mt->refused($bound, $mt->begin('beta') . $read, '42501', 'and frees for nothing');
	$mt->superuser("SELECT multitenant.grant_access('$bound', 'tenant', tenant => 'gamma')");
	$mt->refused($bound, $read, 'MT006', 'bound to a suspended tenant');
	$mt->intact('nothing was changed');
};

done_testing();
