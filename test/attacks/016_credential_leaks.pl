# Attacks K6, S5, S7 and P23 of docs/internals/attacks.md: a credential must not be found in logs, activity, settings,
# statistics or the audit.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use MtTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $app = 'regress_mt_app';
my @issued;		# every token used against the current server

my $conf = <<'CONF';
logging_collector = on
log_destination = 'stderr,csvlog,jsonlog'
log_directory = 'log'
log_filename = 'server.log'
log_rotation_age = 0
log_rotation_size = 0
log_statement = 'all'
log_duration = on
log_min_duration_statement = 0
log_min_messages = debug1
log_min_error_statement = debug1
log_parameter_max_length = -1
log_parameter_max_length_on_error = -1
log_error_verbosity = verbose
log_connections = on
log_disconnections = on
log_lock_waits = on
deadlock_timeout = 100ms
track_activity_query_size = 16384
CONF
my $mt = MtTest->new('leaks', conf => $conf);
my $node = $mt->node;
my $log_dir = $node->data_dir . '/log';

sub token
{
	my $token = $mt->token('acme', @_);
	push @issued, $token;
	return $token;
}

# Pieces of the credentials found in a text: payload and signature are what is secret, in windows of 12 characters.
sub pieces
{
	my ($text) = @_;
	my @found;
	foreach my $token (@issued)
	{
		my (undef, $rest) = split /\./, $token, 2;
		for (my $at = 0; $at + 12 <= length $rest; $at += 12)
		{
			push @found, substr($rest, $at, 12) if index($text, substr($rest, $at, 12)) >= 0;
		}
	}
	return @found;
}

sub logs
{
	return { map { ($_ => -f "$log_dir/$_" ? slurp_file("$log_dir/$_") : '') } 'server.log', 'server.csv', 'server.json' };
}

my %offset;

# Nothing of a credential in what the logs have got since the last call; the marker must be in them all.
sub logs_are_clean
{
	my ($name, $marker) = @_;
	my ($logs, @problems);
	for my $attempt (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		$logs = logs();
		last unless grep { index($logs->{$_}, $marker, $offset{$_} // 0) < 0 } keys %$logs;
		Time::HiRes::usleep(100_000);
	}
	foreach my $file (sort keys %$logs)
	{
		my $new = substr($logs->{$file}, $offset{$file} // 0);
		$offset{$file} = length $logs->{$file};
		push @problems, "$file: no marker" if index($new, $marker) < 0;
		# The whole first: a line is looked at by itself only where there is something.
		push @problems, map { "$file: " . substr($_, 0, 300) } grep { pieces($_) } split /\n/, $new if pieces($new);
	}
	my $ok = is(scalar(@problems), 0, $name);
	diag(join("\n", @problems[0 .. ($#problems < 5 ? $#problems : 5)])) unless $ok;
	return $ok;
}

my $marker = 0;

# Runs the SQL as a role, then asks the logs.
sub quiet
{
	my ($name, $sql, %options) = @_;
	my $role = delete $options{role} // $app;
	$mt->run($role, $sql, %options);
	$marker++;
	$mt->run($role, "SELECT 'marker-$marker-end'");
	return logs_are_clean($name, "marker-$marker-end");
}

$mt->superuser(<<'SQL');
CREATE TABLE public.notes (id int PRIMARY KEY, note text CHECK (length(note) < 10));
GRANT ALL ON public.notes TO PUBLIC;
CREATE PROCEDURE public.enter(credential text) LANGUAGE plpgsql AS 'BEGIN PERFORM multitenant.authenticate(credential); END';
SQL

# ---- K6: the server's log, in three formats ----
my %statements = (
	'a statement' => sub { "SELECT multitenant.authenticate('$_[0]');" },
	'a statement with two' => sub { "SELECT multitenant.authenticate('$_[0]'), '" . token() . "';" },
	'in a transaction' => sub { "BEGIN; SELECT multitenant.authenticate('$_[0]'); SELECT 1; SELECT 1/0; SELECT multitenant.authenticate('" . token() . "'); ROLLBACK;" },
	'a wrong signature' => sub { "SELECT multitenant.authenticate('$_[0]x');" },
	'a scheme in front' => sub { "SELECT multitenant.authenticate('Bearer $_[0]');" },
	'dollar quotes' => sub { "SELECT multitenant.authenticate(\$\$$_[0]\$\$);" },
	'an escape string' => sub { "SELECT multitenant.authenticate(E'$_[0]\\n');" },
	'over lines' => sub { "SELECT\n multitenant.authenticate(\n'$_[0]'\n)\n;" },
	'a syntax error behind' => sub { "SELECT multitenant.authenticate('$_[0]') FRM x;" },
	'a syntax error at it' => sub { "SELECT 1 1 '$_[0]';" },
	# The server takes it apart at dots, hyphens and digits, and names a part: which one is chance, so several.
	(map { ("without quotes, $_" => sub { "SELECT multitenant.authenticate($_[0]);" }) } 1 .. 6),
	'without quotes, twice' => sub { "SELECT authenticate($_[0], " . token() . ');' },
	'a part without quotes' => sub { 'SELECT 1 ' . (split /\./, $_[0])[1] . " FROM '$_[0]';" },
	'an open quote' => sub { "SELECT multitenant.authenticate('$_[0]);\n';" },
	'double quotes' => sub { "SELECT multitenant.authenticate(\"$_[0]\");" },
	'an unknown function' => sub { "SELECT authenticate('$_[0]');" },
	'the type integer' => sub { "SELECT '$_[0]'::int;" },
	'the type uuid' => sub { "SELECT multitenant.use_tenant('$_[0]'::uuid);" },
	'the type jsonb' => sub { "SELECT '{\"t\": $_[0]}'::jsonb;" },
	'as a tenant' => sub { "SELECT multitenant.use_tenant('$_[0]');" },
	'a cast at run time' => sub { "SELECT x::int FROM (VALUES ('$_[0]')) v(x);" },
	'a function that does not exist' => sub { "SELECT nothing('$_[0]', 1);" },
	'a table of that name' => sub { "SELECT * FROM \"$_[0]\";" },
	'a violated constraint' => sub { "INSERT INTO notes VALUES (1, '$_[0]');" },
	'a duplicate' => sub { "CREATE TEMP TABLE t (x text UNIQUE); INSERT INTO t VALUES ('$_[0]'), ('$_[0]');" },
	'COPY with an error' => sub { "COPY notes (id, note) FROM STDIN;\nx\t$_[0]\n\\.\n" },
	'COPY with a short line' => sub { "COPY notes (id, note) FROM STDIN;\n$_[0]\n\\.\n" },
	'COPY with a violated constraint' => sub { "COPY notes (id, note) FROM STDIN;\n1\t$_[0]\n\\.\n" },
	'DO' => sub { "DO \$\$ BEGIN PERFORM multitenant.authenticate('$_[0]'); END \$\$;" },
	'DO with an error' => sub { "DO \$\$ BEGIN PERFORM multitenant.authenticate('$_[0]'); PERFORM 1/0; END \$\$;" },
	'DO with EXECUTE' => sub { "DO \$\$ BEGIN EXECUTE 'SELECT multitenant.authenticate(''$_[0]''), 1/0'; END \$\$;" },
	'DO with a syntax error' => sub { "DO \$\$ BEGIN EXECUTE 'SELECT multitenant.authenticate(''$_[0]'') FRM x'; END \$\$;" },
	'a message' => sub { "DO \$\$ BEGIN RAISE LOG 'got $_[0]'; RAISE WARNING '%', '$_[0]'; END \$\$;" },
	'an error with every field' => sub { "DO \$\$ BEGIN RAISE EXCEPTION 'm $_[0]' USING DETAIL = 'd $_[0]', HINT = 'h $_[0]', COLUMN = 'c', TABLE = 't'; END \$\$;" },
	'an error in a nested function' => sub { "CREATE FUNCTION pg_temp.f(x text) RETURNS int LANGUAGE sql AS 'SELECT x::int'; DO \$\$ DECLARE n int; BEGIN n := pg_temp.f('$_[0]'); END \$\$;" },
	'PREPARE' => sub { "PREPARE p AS SELECT multitenant.authenticate('$_[0]'); EXECUTE p; DEALLOCATE p;" },
	'EXECUTE' => sub { "PREPARE p (text) AS SELECT multitenant.authenticate(\$1); EXECUTE p ('$_[0]');" },
	'EXECUTE with an error' => sub { "PREPARE p (text) AS SELECT multitenant.authenticate(\$1), 1/0; EXECUTE p ('$_[0]'); EXECUTE p ('$_[0]y');" },
	'CALL' => sub { "CALL public.enter('$_[0]');" },
	'a cursor' => sub { "BEGIN; DECLARE c CURSOR FOR SELECT multitenant.authenticate('$_[0]'), 1/0; FETCH c; ROLLBACK;" },
	'EXPLAIN' => sub { "EXPLAIN (ANALYZE, VERBOSE) SELECT multitenant.authenticate('$_[0]');" },
	'SET' => sub { "SET multitenant.token = '$_[0]'; SET my.token = '$_[0]'; SET work_mem = '$_[0]'; SET timezone = '$_[0]';" },
	'COMMENT' => sub { "CREATE TEMP TABLE t (); COMMENT ON TABLE t IS '$_[0]';" },
	'a comment' => sub { "SELECT 1 /* $_[0] */; SELECT 1/0 -- $_[0]\n;" },
	'a timeout' => sub { "SET statement_timeout = 100; SELECT multitenant.authenticate('$_[0]'), pg_sleep(60);" },
	'audit()' => sub { "SELECT multitenant.authenticate('$_[0]'), multitenant.audit('app.login', '{\"token\": \"$_[0]\"}');" });
foreach my $name (sort keys %statements)
{
	quiet("K6: $name", $statements{$name}->(token()));
}
quiet('K6: one message', join('', map { $statements{$_}->(token()) } 'a statement', 'in a transaction'), single => 1);
quiet('K6: a startup token', 'SELECT note FROM invoice; SELECT 1/0', pgoptions => '-c multitenant.token=' . token());
quiet('K6: a startup token that is wrong', 'SELECT note FROM invoice', pgoptions => '-c multitenant.token=' . token() . 'x');
quiet('K6: a startup token that has expired', 'SELECT note FROM invoice', pgoptions => '-c multitenant.token=' . token(iat => time - 100, exp => time - 50));
quiet('K6: a token of another setting at startup', 'SELECT 1', pgoptions => '-c multitenant.context=' . token(), single => 1);
quiet('K6: ALTER SYSTEM', "ALTER SYSTEM SET multitenant.token = '" . token() . "'", role => scalar getpwuid($<));
quiet('K6: ALTER ROLE', "ALTER ROLE $app SET multitenant.token = '" . token() . "'", role => scalar getpwuid($<));
quiet('K6: a system context with a token as reason', "SELECT multitenant.system_context('" . token() . "')", role => 'regress_mt_migrator');

# Bind parameters, and literals in the extended protocol.
sub pgbench
{
	my ($script, $mode, %variables) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/script.sql';
	open(my $out, '>', $file) or die "$file: $!\n";
	print $out $script;
	close($out);
	my @command = ('pgbench', '-n', '-t', 1, '-M', $mode, '-f', $file, '-U', $app, '-h', $node->host, '-p', $node->port, (map { ('-D', "$_=$variables{$_}") } sort keys %variables), 'app');
	return IPC::Run::start(\@command, '<', \undef, '>', \my $stdout, '2>', \my $stderr);
}

sub quiet_pgbench
{
	my ($name, $script, $mode, %variables) = @_;
	pgbench($script, $mode, %variables)->finish;
	$marker++;
	$mt->run($app, "SELECT 'marker-$marker-end'");
	return logs_are_clean($name, "marker-$marker-end");
}
foreach my $mode ('extended', 'prepared')
{
	quiet_pgbench("K6: a bind parameter, $mode", "SELECT multitenant.authenticate(:t);\n", $mode, t => token());
	quiet_pgbench("K6: a bind parameter of a failing statement, $mode", "SELECT multitenant.authenticate(:t), 1/:zero;\n", $mode, t => token(), zero => 0);
	quiet_pgbench("K6: a bind parameter of a wrong type, $mode", "SELECT :t::int;\n", $mode, t => token());
	quiet_pgbench("K6: a bind parameter of a refused token, $mode", "SELECT multitenant.authenticate(:t);\n", $mode, t => token() . 'x');
	quiet_pgbench("K6: several bind parameters, $mode", "INSERT INTO notes VALUES (:n, :t);\n", $mode, t => token(), n => 7);
	quiet_pgbench("K6: a literal, $mode", "SELECT multitenant.authenticate('" . token() . "');\nDO \$\$ BEGIN PERFORM multitenant.authenticate('" . token() . "'); END \$\$;\n", $mode);
	quiet_pgbench("K6: a pipeline, $mode", "\\startpipeline\nBEGIN;\nSELECT multitenant.authenticate(:t);\nSELECT note FROM invoice;\nCOMMIT;\n\\endpipeline\n", $mode, t => token());
}

# A deadlock report shows the statements of others.
{
	my @sessions = map { $node->background_psql('app', on_error_stop => 0, extra_params => [ '-U', scalar getpwuid($<) ]) } 1 .. 2;
	$sessions[$_]->query("BEGIN; SELECT pg_advisory_xact_lock($_)") foreach 0, 1;
	foreach my $i (0, 1)
	{
		my $token = token();
		$sessions[$i]->query_until(qr/go/, "\\echo go\nSELECT '$token', pg_advisory_xact_lock(" . (1 - $i) . ");\nROLLBACK;\n");
	}
	$_->quit foreach @sessions;
	$mt->run($app, "SELECT 'marker-deadlock-end'");
	like(logs()->{'server.log'}, qr/deadlock detected/, 'K6: there was a deadlock');
	logs_are_clean('K6: a deadlock', 'marker-deadlock-end');
}
{
	my $logs = logs();
	like($logs->{$_}, qr/authenticate\('\*{50,}'\)/, "K6: the statements themselves are in $_") foreach 'server.log', 'server.csv', 'server.json';
	unlike($logs->{$_}, qr/eyJ[A-Za-z0-9_-]{8}/, "K6: nothing that looks like a credential is in $_") foreach 'server.log', 'server.csv', 'server.json';
	like($logs->{'server.log'}, qr/marker-1-end/, 'K6: other statements are not touched');
}
$mt->run($app, "SELECT 'eyJshort', 1/0");
ok(!pieces(slurp_file($node->logfile)), 'K6: the log before the collector');

# ---- S5: activity, as a superuser sees it ----
# Statements that stay at work after they have presented a token; the session's text must not show it.
sub activity_while
{
	my ($name, $start, $stop, %options) = @_;
	my $query = "SELECT string_agg(query, ' ') FROM pg_stat_activity WHERE usename = '$app' AND wait_event = 'PgSleep'";
	$start->();
	$node->poll_query_until('app', "SELECT count(*) = 1 FROM pg_stat_activity WHERE usename = '$app' AND wait_event = 'PgSleep'") or die "$name: nothing sleeps\n";
	my $seen = $node->safe_psql('app', $query);
	my $shown = $node->safe_psql('app', "SELECT string_agg(pg_stat_get_backend_activity(b), ' ') FROM pg_stat_get_backend_idset() b");
	my $is_clean = (!pieces($seen) and !pieces($shown) and $seen ne '');
	ok($is_clean, "S5: $name") or diag($seen);
	$node->safe_psql('app', "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = '$app'");
	$stop->();
	return;
}
my %sleepers = (
	'one statement' => sub { "SELECT multitenant.authenticate('$_[0]'), pg_sleep(60);" },
	'one message' => sub { "SELECT multitenant.authenticate('$_[0]')\\; SELECT pg_sleep(60);" },
	'one message, asleep before' => sub { "SELECT pg_sleep(60)\\; SELECT multitenant.authenticate('$_[0]');" },
	'DO' => sub { "DO \$\$ BEGIN PERFORM multitenant.authenticate('$_[0]'); PERFORM pg_sleep(60); END \$\$;" },
	'EXECUTE' => sub { "PREPARE p (text) AS SELECT multitenant.authenticate(\$1), pg_sleep(60); EXECUTE p ('$_[0]');" },
	'a cursor' => sub { "BEGIN; DECLARE c CURSOR FOR SELECT multitenant.authenticate('$_[0]'), pg_sleep(60)\\; FETCH c;" },
	'no credential function' => sub { "SELECT '$_[0]', pg_sleep(60);" });
foreach my $name (sort keys %sleepers)
{
	my $session;
	activity_while($name, sub {
		$session = $node->background_psql('app', on_error_stop => 0, extra_params => [ '-U', $app ]);
		$session->query_until(qr/go/, "\\echo go\n" . $sleepers{$name}->(token()) . "\n");
	}, sub { $session->{run}->kill_kill; });
}
foreach my $mode ('extended', 'prepared')
{
	my %scripts = ('a bind parameter' => "SELECT multitenant.authenticate(:t), pg_sleep(60);\n", 'a literal' => "SELECT multitenant.authenticate('TOKEN'), pg_sleep(60);\n",
		'DO' => "DO \$\$ BEGIN PERFORM multitenant.authenticate('TOKEN'); PERFORM pg_sleep(60); END \$\$;\n");
	foreach my $name (sort keys %scripts)
	{
		my $token = token();
		my $run;
		activity_while("$name, $mode protocol", sub { $run = pgbench($scripts{$name} =~ s/TOKEN/$token/r, $mode, t => $token); }, sub { $run->finish; });
	}
}
# What the last statement of an idle session was.
my %idle = (
	'a statement' => sub { "SELECT multitenant.authenticate('$_[0]');" },
	'a refused one' => sub { "SELECT multitenant.authenticate('$_[0]x');" },
	'SET' => sub { "SET my.token = '$_[0]';" },
	'an unknown function' => sub { "SELECT authenticate('$_[0]');" },
	'a syntax error' => sub { "SELECT multitenant.authenticate('$_[0]') FRM x;" },
	'an aborted transaction' => sub { "BEGIN; SELECT 1/0; SELECT multitenant.authenticate('$_[0]');" });
foreach my $name (sort keys %idle)
{
	my $session = $node->background_psql('app', on_error_stop => 0, extra_params => [ '-U', $app ]);
	my $pid = $session->query('SELECT pg_backend_pid()');
	$session->query_until(qr/done/, $idle{$name}->(token()) . "\n\\echo done\n");	# query() would send an empty statement after it
	my $seen = $node->safe_psql('app', "SELECT query FROM pg_stat_activity WHERE pid = $pid");
	ok((!pieces($seen) and $seen =~ /authenticate|SET/), "S5: idle after $name") or diag($seen);
	$session->quit;
}

# ---- P23: settings ----
{
	my %options = (pgoptions => '-c multitenant.token=' . token());
	$mt->allowed($app, 'SELECT note FROM invoice', 'SECRET-ACME', 'P23: a startup token works', tenant => 'acme', %options);
	foreach my $sql ('SHOW multitenant.token', "SELECT current_setting('multitenant.token')", "SELECT current_setting('multitenant.token', true)",
		"DO \$\$ BEGIN RAISE NOTICE '%', current_setting('multitenant.token'); END \$\$")
	{
		my ($out, $err) = $mt->run($app, $sql, %options);
		ok((!pieces("$out$err") and $err =~ /42501/), "P23: $sql") or diag("$out\n$err");
	}
	foreach my $sql ('SHOW ALL', 'SELECT * FROM pg_settings', 'SELECT * FROM pg_show_all_settings()', "SELECT * FROM pg_settings WHERE name LIKE 'multitenant.%'", 'SELECT * FROM multitenant.context',
		'SELECT * FROM multitenant.status()', "SELECT set_config('multitenant.token', NULL, false)", 'RESET multitenant.token; SHOW ALL', 'RESET ALL; SHOW ALL', 'SHOW multitenant.context',
		'SELECT pg_current_logfile(); SELECT * FROM pg_stat_ssl; SELECT * FROM pg_cursors; SELECT * FROM pg_prepared_statements')
	{
		my ($out, $err) = $mt->run($app, $sql, %options);
		ok(!pieces("$out$err"), "P23: $sql") or diag("$out\n$err");
	}
	my ($out, $err) = $mt->run($app, $mt->begin('acme', jti => 'JTI-OF-THE-TOKEN') . 'SELECT * FROM multitenant.context; SHOW multitenant.context;');
	unlike($out, qr/JTI-OF|eyJ/, 'P23: the context tells nothing of its credential');
}
foreach my $statement ("ALTER SYSTEM SET multitenant.token = 'TOKEN'", "ALTER ROLE $app SET multitenant.token = 'TOKEN'", "ALTER DATABASE app SET multitenant.token = 'TOKEN'", "SET multitenant.token = 'TOKEN'")
{
	my $token = token();
	my ($status, $out, $err) = $node->psql('app', $statement =~ s/TOKEN/$token/r);
	ok(($status != 0 and !pieces($err)), "P23: $statement, by a superuser") or diag($err);
}
is($mt->superuser('SELECT count(*) FROM pg_db_role_setting'), '0', 'P23: nothing was kept in the catalog');
ok(!pieces(slurp_file($node->data_dir . '/postgresql.auto.conf')), 'P23: nor in a file');

# ---- the audit ----
$mt->run($app, $mt->begin('acme') . "SELECT multitenant.audit('app.login', '{\"token\": \"" . token() . "\", \"" . token() . "\": 1}'); COMMIT;");
is($mt->superuser("SELECT count(*) > 0 FROM multitenant.audit_event WHERE event = 'app.login'"), 't', 'audit: there is an event');
$mt->superuser("SELECT multitenant.suspend_tenant('beta', '" . token() . "'); SELECT multitenant.resume_tenant('beta')");
ok(!pieces($mt->superuser('SELECT detail FROM multitenant.audit_event')), 'audit: no credential in the details of events');
$mt->run('regress_mt_migrator', "BEGIN; SELECT multitenant.system_context('" . token() . "'); COMMIT;");
ok(!pieces($mt->superuser('SELECT e::text FROM multitenant.audit_event e')), 'audit: nor elsewhere in them');
$node->stop;

# ---- S7: pg_stat_statements, in both orders; auto_explain beside them ----
my $sharedir = `$ENV{PG_CONFIG} --pkglibdir 2>/dev/null` || `pg_config --pkglibdir`;
chomp $sharedir;
SKIP:
{
	skip 'this PostgreSQL has no pg_stat_statements', 1 unless -f "$sharedir/pg_stat_statements.so" && -f "$sharedir/auto_explain.so";
	foreach my $order ('pg_stat_statements,auto_explain,multitenant', 'multitenant,auto_explain,pg_stat_statements')
	{
		@issued = ();
		%offset = ();
		$mt = MtTest->new('statistics_' . ($order =~ /^multi/ ? 'after' : 'before'), preload => 'none', conf => $conf . <<"CONF");
shared_preload_libraries = '$order'
pg_stat_statements.track = 'all'
pg_stat_statements.track_utility = on
auto_explain.log_min_duration = 0
auto_explain.log_verbose = on
auto_explain.log_nested_statements = on
CONF
		$node = $mt->node;
		$log_dir = $node->data_dir . '/log';
		$mt->superuser("CREATE EXTENSION pg_stat_statements; CREATE TABLE public.notes (id int PRIMARY KEY, note text CHECK (length(note) < 10)); GRANT ALL ON public.notes TO PUBLIC;
			CREATE PROCEDURE public.enter(credential text) LANGUAGE plpgsql AS 'BEGIN PERFORM multitenant.authenticate(credential); END';");
		my @more = (
			sub { "CREATE TEMP TABLE t AS SELECT multitenant.authenticate('$_[0]');" },
			sub { "COPY (SELECT multitenant.authenticate('$_[0]')) TO STDOUT;" },
			sub { "CREATE TEMP VIEW v AS SELECT '$_[0]'::text AS x; SELECT * FROM v;" },
			sub { "CREATE FUNCTION pg_temp.g() RETURNS text LANGUAGE sql AS 'SELECT multitenant.authenticate(''$_[0]'')::text'; SELECT pg_temp.g();" },
			sub { "ALTER ROLE $app SET my.token = '$_[0]';" },
			sub { "DECLARE c CURSOR WITH HOLD FOR SELECT multitenant.authenticate('$_[0]'); CLOSE c;" });
		foreach my $name (grep { $_ ne 'a comment' } sort keys %statements)
		{
			$mt->run($app, $statements{$name}->(token()));
		}
		$mt->run($app, $_->(token())) foreach @more;
		pgbench("SELECT multitenant.authenticate(:t);\nDO \$\$ BEGIN PERFORM multitenant.authenticate('" . token() . "'); END \$\$;\n", 'extended', t => token())->finish;
		$mt->run($app, "SELECT 'marker-statistics-end'");
		my $queries = $mt->superuser('SELECT query FROM pg_stat_statements');
		like($queries, qr/multitenant\.authenticate\(\$1\)/, "S7: statements are counted ($order)");
		ok(!pieces($queries), "S7: without their credentials ($order)") or diag(join("\n", grep { pieces($_) } split /\n/, $queries));
		like(logs()->{'server.log'}, qr/Query Text: .*authenticate\('\*{50,}/, "S7: auto_explain reports them ($order)");
		logs_are_clean("S7: without their credentials ($order)", 'marker-statistics-end');
		$mt->run($app, 'SELECT 1, 2, 3, 4 /* ' . token() . ' */;');
		TODO:
		{
			local $TODO = 'a comment is part of the text of a statement that is no utility';
			ok(!pieces($mt->superuser('SELECT query FROM pg_stat_statements')), "S7: nor that of a comment ($order)");
		}
		$node->stop;
	}
}

done_testing();
