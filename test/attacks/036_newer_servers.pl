# What PostgreSQL 16 and later brought that reads, writes or lends rights in a new way: each part runs where the server
# has it. PostgreSQL 15 has none of it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use Test::More;

my $mt = MtTest->new('newer');
my $major = $mt->major;
my ($app, $owner) = qw(regress_mt_app regress_mt_owner);
my ($acme, $beta) = map { "00000000-0000-0000-0000-00000000000$_" } qw(a b);
my $read = 'SELECT note FROM invoice;';

sub since
{
	my ($version, $name, $code) = @_;
	SKIP:
	{
		skip("$name: from PostgreSQL $version on", 1) if $major < $version;
		subtest "$version: $name" => $code;
	}
	return;
}

sub as_owner { return $mt->superuser("SET ROLE $owner; $_[0]"); }

# What shows every tenant its own and nobody anything else; nothing of it lasts.
sub filtered
{
	my ($query, $name) = @_;
	$mt->allowed($app, $mt->begin('acme') . "$query; ROLLBACK", 'SECRET-ACME', "$name: the tenant's rows", tenant => 'acme');
	$mt->allowed($app, $mt->begin('beta') . "$query; ROLLBACK", 'SECRET-BETA', "$name: another tenant's rows", tenant => 'beta');
	$mt->refused($app, $query, 'MT001', "$name: no context");
	return;
}

# What shows nothing to anybody.
sub closed
{
	my ($query, $name) = @_;
	$mt->refused($app, $mt->begin('acme') . $query, 'MT007', "$name: under a context");
	$mt->refused($app, $query, 'MT00[17]', "$name: no context");
	return;
}

# What is refused to a tenant with this SQLSTATE.
sub denied
{
	my ($query, $sqlstate, $name) = @_;
	$mt->refused($app, $mt->begin('acme') . "$query; COMMIT", $sqlstate, $name, tenant => 'acme');
	return;
}

$mt->superuser("CREATE VIEW v_open AS SELECT * FROM invoice; GRANT ALL ON v_open TO PUBLIC");
my $beta_id = $mt->superuser("SELECT id FROM invoice WHERE note = 'SECRET-BETA'");

since 16, 'membership that inherits and cannot SET, or the other way round' => sub {
	foreach my $options ('INHERIT TRUE, SET FALSE', 'INHERIT FALSE, SET TRUE', 'INHERIT TRUE, SET TRUE')
	{
		my $set = $options =~ /SET TRUE/;
		foreach my $role (qw(regress_mt_trusted regress_mt_migrator regress_mt_operator))
		{
			$mt->superuser("GRANT $role TO $app WITH $options");
			foreach my $try ('', "SET ROLE $role; ")
			{
				$mt->refused($app, $try . "SELECT multitenant.use_tenant('beta');", '42501', "$role, $options: $try names no tenant");
				$mt->refused($app, $try . $read, $set || !$try ? 'MT001' : '(?:42501|MT001)', "$role, $options: $try reads nothing");
			}
			$mt->superuser("REVOKE $role FROM $app");
		}
	}
	$mt->superuser("CREATE ROLE regress_mt_all BYPASSRLS; GRANT ALL ON invoice TO regress_mt_all;
		SELECT multitenant.grant_access('regress_mt_all', 'bypass_read', reason => 'dump'); GRANT regress_mt_all TO $app WITH INHERIT TRUE, SET TRUE");
	filtered($read =~ s/;//r, 'member of a role with a bypass');
	$mt->refused($app, "SET ROLE regress_mt_all; $read", 'MT007', 'which lends it to nobody');
	$mt->superuser("GRANT $owner TO $app WITH INHERIT TRUE, SET FALSE");
	$mt->refused($app, 'ALTER TABLE invoice NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY', 'MT010', 'who inherits from the owner disables nothing');
	$mt->past_guard($app, 'ALTER TABLE invoice NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY');
	$mt->refused($app, $read, 'MT00[17]',
		'who inherits from the owner and disables row security reads nothing');
	$mt->superuser("SELECT multitenant.repair('invoice'); REVOKE $owner FROM $app");
	$mt->intact('nothing was changed');
};

since 16, 'makers of roles' => sub {
	$mt->superuser("CREATE ROLE regress_mt_maker LOGIN CREATEROLE; GRANT SELECT ON invoice TO regress_mt_maker");
	my $make = "SET createrole_self_grant = 'set, inherit'; CREATE ROLE regress_mt_made;";
	foreach my $deed ('ALTER ROLE regress_mt_made BYPASSRLS', 'CREATE ROLE regress_mt_other BYPASSRLS', 'GRANT regress_mt_trusted TO regress_mt_maker',
		"SELECT multitenant.grant_access('regress_mt_made', 'trusted_application')", "SELECT multitenant.grant_access('regress_mt_maker', 'bypass_read', reason => 'mine')",
		"SET ROLE regress_mt_made; SELECT multitenant.use_tenant('beta')")
	{
		$mt->refused('regress_mt_maker', "BEGIN; $make $deed; ROLLBACK; $read", '42501', $deed);
	}
};

since 17, 'MAINTAIN' => sub {
	$mt->superuser("CREATE MATERIALIZED VIEW m_all AS SELECT note FROM invoice WITH NO DATA; GRANT ALL ON m_all TO $app");
	as_owner("CREATE MATERIALIZED VIEW m_own AS SELECT note FROM invoice WITH NO DATA; GRANT ALL ON m_own TO $app; GRANT MAINTAIN ON invoice TO $app");
	foreach my $grant ('', "GRANT pg_maintain TO $app")
	{
		$mt->superuser($grant) if $grant;
		closed('REFRESH MATERIALIZED VIEW m_all', 'REFRESH of a superuser\'s materialized view');
		$mt->refused($app, 'SELECT * FROM m_all', '55000', 'it stays empty');
		filtered('REFRESH MATERIALIZED VIEW m_own; SELECT note FROM m_own', 'REFRESH of the owner\'s');
		foreach my $command ('ANALYZE', 'VACUUM', 'REINDEX TABLE', 'CLUSTER')
		{
			$mt->allowed($app, "$command invoice" . ($command eq 'CLUSTER' ? ' USING invoice_pkey' : '') . '; SELECT most_common_vals FROM pg_stats WHERE tablename = \'invoice\'',
				undef, "$command shows nothing", tenant => '-');
		}
	}
	$mt->superuser("REVOKE pg_maintain FROM $app; REVOKE MAINTAIN ON invoice FROM $app; DROP MATERIALIZED VIEW m_all, m_own");
	$mt->intact('nothing was changed');
};

since 17, 'MERGE with RETURNING and WHEN NOT MATCHED BY SOURCE' => sub {
	my $merge = 'MERGE INTO invoice i USING (VALUES (1)) v(x) ON false';
	filtered("$merge WHEN NOT MATCHED BY SOURCE THEN UPDATE SET note = i.note RETURNING merge_action(), i.note", 'UPDATE of what does not match');
	filtered("$merge WHEN NOT MATCHED BY SOURCE THEN DELETE RETURNING i.note", 'DELETE of what does not match');
	filtered('WITH m AS (MERGE INTO invoice i USING invoice j ON i.id = j.id WHEN MATCHED THEN UPDATE SET note = j.note RETURNING i.note AS a, j.note AS b) SELECT * FROM m',
		'MERGE in WITH');
	denied("$merge WHEN NOT MATCHED BY SOURCE THEN UPDATE SET tenant_id = '$beta' RETURNING i.note", '42501', 'rows do not move');
	denied("$merge WHEN NOT MATCHED THEN INSERT (tenant_id, note) VALUES ('$beta', 'planted') RETURNING i.note", '42501', 'rows are not planted');
	denied("MERGE INTO invoice i USING (VALUES ('$beta_id'::uuid)) v(id) ON i.id = v.id WHEN MATCHED THEN DELETE
		WHEN NOT MATCHED THEN INSERT (id, note) VALUES (v.id, 'x') RETURNING i.note", '23505', 'another\'s row is not matched');
	closed('MERGE INTO v_open i USING (VALUES (1)) v(x) ON false WHEN NOT MATCHED BY SOURCE THEN UPDATE SET note = i.note RETURNING i.note',
		'MERGE into a superuser\'s view');
	$mt->intact('nothing was changed');
};

since 17, 'EXPLAIN that serializes' => sub {
	$mt->refused($app, $mt->begin('acme') . "EXPLAIN (ANALYZE, SERIALIZE, MEMORY) $read", 'MT010', 'not for applications');
	$mt->allow($app, 'explain');
	$mt->refused($app, "EXPLAIN (ANALYZE, SERIALIZE, MEMORY) $read", 'MT001', 'without a context');
	closed('EXPLAIN (ANALYZE, SERIALIZE TEXT) SELECT * FROM v_open', 'of a superuser\'s view');
	closed('EXPLAIN (MEMORY) SELECT * FROM v_open', 'planning only');
	$mt->allowed($app, $mt->begin('acme') . "EXPLAIN (ANALYZE, SERIALIZE, COSTS OFF, TIMING OFF, SUMMARY OFF) $read", 'rows=1', 'the own row',
		tenant => 'acme');
};

since 17, 'COPY that ignores errors' => sub {
	foreach my $options ('ON_ERROR ignore', 'ON_ERROR ignore, LOG_VERBOSITY verbose')
	{
		denied("COPY invoice (tenant_id, note) FROM STDIN WITH ($options);\n$beta\tplanted\n\\.\nSELECT 1", '(?:0A000|42501)',
			"$options: the tenant is no error to be ignored");
	}
	$mt->refused($app, "COPY v_open FROM STDIN WITH (ON_ERROR ignore);\n\\.\n", '(?:42809|MT00[17])', 'nor through a view');
	$mt->intact('nothing was planted');
};

since 17, 'login event triggers' => sub {
	$mt->superuser("CREATE TABLE seen (note text); GRANT ALL ON seen TO PUBLIC;
		CREATE FUNCTION at_login() RETURNS event_trigger LANGUAGE plpgsql AS \$\$
		BEGIN
			IF session_user = '$app' THEN
				INSERT INTO public.seen SELECT note FROM public.invoice;
			END IF;
		END \$\$;
		CREATE EVENT TRIGGER at_login ON login EXECUTE FUNCTION at_login()");
	my ($out, $err) = $mt->run($app, $read);
	unlike("$out$err", qr/SECRET/, 'without a context it reads nothing');
	like($err, qr/FATAL:.*tenant/, 'and keeps the session out');
	$mt->allowed($app, $read, 'SECRET-ACME', 'with a startup token it reads the tenant\'s rows', tenant => 'acme',
		pgoptions => '-c multitenant.token=' . $mt->token('acme'));
	is($mt->superuser('SELECT string_agg(note, \' \') FROM seen'), 'SECRET-ACME', 'and no others');
	$mt->superuser('ALTER FUNCTION at_login() SECURITY DEFINER');
	($out, $err) = $mt->run($app, $read, pgoptions => '-c multitenant.token=' . $mt->token('acme'));
	unlike("$out$err", qr/SECRET/, 'a superuser\'s function lends nothing');
	is($mt->superuser('DROP EVENT TRIGGER at_login; SELECT string_agg(note, \' \') FROM seen'), 'SECRET-ACME', 'also not to a table');
	$mt->superuser('DROP FUNCTION at_login(); DROP TABLE seen');
};

since 18, 'RETURNING OLD and NEW' => sub {
	filtered('UPDATE invoice SET note = note RETURNING old.note, new.note', 'UPDATE');
	filtered('DELETE FROM invoice RETURNING old.note, new.note', 'DELETE');
	filtered('MERGE INTO invoice i USING (VALUES (1)) v(x) ON false WHEN NOT MATCHED BY SOURCE THEN UPDATE SET note = i.note RETURNING old.note, new.note',
		'MERGE');
	denied("UPDATE invoice SET tenant_id = '$beta' RETURNING old.note, new.note", '42501', 'rows do not move');
	denied("INSERT INTO invoice (id, note) VALUES ('$beta_id', 'x') ON CONFLICT (id) DO UPDATE SET note = 'x' RETURNING old.note", '42501',
		'the row in the way is not shown');
	denied("INSERT INTO invoice (id, tenant_id, note) VALUES ('$beta_id', '$beta', 'x') ON CONFLICT (id) DO UPDATE SET note = 'x'
		RETURNING WITH (OLD AS o, NEW AS n) o.note, n.note", '42501', 'also not under other names');
	closed('UPDATE v_open SET note = note RETURNING old.note, new.note', 'a superuser\'s view');
	$mt->intact('nothing was changed');
};

since 18, 'virtual generated columns' => sub {
	as_owner("ALTER TABLE invoice ADD loud text GENERATED ALWAYS AS (note || '!') VIRTUAL");
	filtered('SELECT loud FROM invoice', 'SELECT');
	filtered('UPDATE invoice SET note = note RETURNING old.loud, new.loud', 'UPDATE');
	denied("INSERT INTO invoice (tenant_id, note) VALUES ('$beta', 'planted') RETURNING loud", '42501', 'rows are not planted');
	denied("UPDATE invoice SET tenant_id = '$beta' RETURNING loud", '42501', 'rows do not move');
	as_owner('ALTER TABLE invoice DROP loud');
	as_owner("CREATE TABLE computed (id int, note text, tenant_id uuid GENERATED ALWAYS AS (CASE WHEN id > 0 THEN '$acme'::uuid ELSE '$beta'::uuid END) VIRTUAL);
		GRANT ALL ON computed TO $app");
	$mt->refused($owner, "SELECT multitenant.protect('computed')", '\w{5}', 'a tenant column must be stored');
	as_owner('DROP TABLE computed');
	$mt->intact('nothing was changed');
};

since 18, 'constraints that are not enforced' => sub {
	as_owner(<<"SQL");
CREATE TABLE parent (id int PRIMARY KEY, tenant_id uuid, UNIQUE (tenant_id, id));
CREATE TABLE child (id int, tenant_id uuid, parent_id int,
	CONSTRAINT enforced FOREIGN KEY (parent_id) REFERENCES parent (id) ON DELETE CASCADE,
	CONSTRAINT idle FOREIGN KEY (tenant_id, parent_id) REFERENCES parent (tenant_id, id) NOT ENFORCED);
INSERT INTO parent VALUES (1, '$acme'), (2, '$beta');
SELECT multitenant.protect('parent');
SELECT multitenant.protect('child');
GRANT ALL ON parent, child TO $app;
SQL
	# The idle key has the tenant in it, and ties nothing.
	is($mt->superuser("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'child'::regclass AND conname = 'enforced'"),
		'FOREIGN KEY (tenant_id, parent_id) REFERENCES parent(tenant_id, id) ON DELETE CASCADE', 'the enforced key gets the tenant');
	is($mt->superuser("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'child'::regclass AND conname = 'idle'"),
		'FOREIGN KEY (tenant_id, parent_id) REFERENCES parent(tenant_id, id) NOT ENFORCED', 'the other stays as it is');
	denied('INSERT INTO child (parent_id) VALUES (2)', '23503', 'another tenant\'s parent is none');
	$mt->allowed($app, $mt->begin('acme') . "INSERT INTO child (parent_id) VALUES (1); DELETE FROM parent; SELECT 'left: ' || count(*) FROM child; COMMIT", 'left: 0',
		'the cascade works beside a key that is not enforced');
	$mt->superuser("SELECT multitenant.unprotect('child')");
	is($mt->superuser("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'child'::regclass AND conname = 'enforced'"),
		'FOREIGN KEY (parent_id) REFERENCES parent(id) ON DELETE CASCADE', 'unprotect() gives the enforced one back');
	as_owner('DROP TABLE child, parent');

	as_owner("CREATE TABLE lax (id int, tenant_id uuid); INSERT INTO lax VALUES (1, '$acme');
		ALTER TABLE lax ADD CONSTRAINT lax_tenant NOT NULL tenant_id NOT VALID");
	as_owner("SELECT multitenant.protect('lax')");
	is($mt->superuser("SELECT convalidated FROM pg_constraint WHERE conrelid = 'lax'::regclass AND conname = 'lax_tenant'"), 't',
		'NOT NULL that was not valid is validated');
	$mt->superuser("SELECT multitenant.unprotect('lax')");
	is($mt->superuser("SELECT attnotnull FROM pg_attribute WHERE attrelid = 'lax'::regclass AND attname = 'tenant_id'"), 't', 'and is not taken away again');
	as_owner('DROP TABLE lax');
};

since 18, 'keys over periods' => sub {
	as_owner(<<"SQL");
CREATE TABLE room (id int4range, tenant_id uuid, valid daterange, PRIMARY KEY (id, valid WITHOUT OVERLAPS));
CREATE TABLE booking (tenant_id uuid, room_id int4range, valid daterange, note text,
	CONSTRAINT of_room FOREIGN KEY (room_id, PERIOD valid) REFERENCES room (id, PERIOD valid));
INSERT INTO room VALUES ('[1,1]', '$acme', '[2025-01-01,2026-01-01)'), ('[2,2]', '$beta', '[2025-01-01,2026-01-01)');
INSERT INTO booking VALUES ('$acme', '[1,1]', '[2025-02-01,2025-03-01)', 'SECRET-ACME'), ('$beta', '[2,2]', '[2025-02-01,2025-03-01)', 'SECRET-BETA');
CREATE TEMP TABLE before AS SELECT conname, pg_get_constraintdef(oid) AS def FROM pg_constraint
	WHERE contype IN ('p', 'f') AND conrelid IN ('room'::regclass, 'booking'::regclass);
SELECT multitenant.protect('room');
SELECT multitenant.protect('booking');
DO \$\$ BEGIN
	ASSERT (SELECT bool_and(b.def = pg_get_constraintdef(c.oid)) FROM before b JOIN pg_constraint c USING (conname)), 'a key over periods was changed';
END \$\$;
GRANT ALL ON room, booking TO $app;
SQL
	pass('keys over periods stay as they are');
	$mt->superuser("SELECT multitenant.unprotect('booking')");
	is(as_owner("SELECT count(*) FROM multitenant.protect('booking', dry_run => true) WHERE note LIKE '%of_room%periods%'"), '1', 'protect() says so');
	as_owner("SELECT multitenant.protect('booking')");
	filtered('SELECT note FROM booking', 'SELECT');
	filtered("UPDATE booking SET valid = '[2025-02-02,2025-03-01)' RETURNING note", 'UPDATE, which looks the room up');
	denied("INSERT INTO booking (room_id, valid, note, tenant_id) VALUES ('[2,2]', '[2025-02-01,2025-03-01)', 'x', '$beta')", '42501', 'rows are not planted');
	denied('DELETE FROM room', '23503', 'rooms with bookings stay');
	denied("UPDATE room SET valid = '[2025-02-15,2026-01-01)'", '23503', 'for the time of the bookings');
	$mt->allowed($app, $mt->begin('acme') . "UPDATE room SET valid = '[2025-02-01,2026-01-01)'; INSERT INTO room (id, valid) VALUES ('[9,9]', '[2025-01-01,2026-01-01)');
		DELETE FROM room WHERE id = '[9,9]'; SELECT 'left: ' || count(*) FROM room; ROLLBACK", 'left: 1', 'others may go', tenant => 'acme');
	as_owner('DROP TABLE booking, room');
};

if ($major < 16)
{
	pass('PostgreSQL 15 has none of it');
}
done_testing();
