/*
 * pbench.c
 *	  Measures the same work on several connections in turns.
 *
 * Reads a plan from standard input, prints one line for each batch. All
 * connections of a workload are open at once, and this program and all its
 * backends are pinned to one processor, so that no wake-up of another one is
 * measured. A round gives every variant one short batch, in an order that
 * rotates; what the machine does meanwhile meets all variants alike, and a ratio
 * is only ever taken within a round. Connections are made anew now and then,
 * because luck with addresses and caches sticks to a process.
 *
 *	pbench [-b US] [-c CONNECTIONS] [-r ROUNDS] [-t MS] [-p CPU] [-s SEED] <plan
 *
 * -b: length of a batch; -c: how often all connections are made; -r: rounds for
 * each of these, but no more once -t is over (three at least); -s: varies orders.
 *
 * The plan's lines have fields separated by tabs:
 *
 *	key ALGORITHM KID FILE			signs tokens: EdDSA (PEM), HS256 (secret)
 *	workload NAME MODE IDS			{id} is a random number from 1 to IDS
 *	variant NAME CONNINFO [TENANT AUDIENCE ALGORITHM kept|new]	the last four say
 *									what {token} is: one for the connection, or another each time
 *	tenants COUNT					{tenant} is the id of one of so many, the same in all of an iteration
 *	connect SQL						once, after connecting
 *	before SQL, after SQL			around each batch, not measured
 *	step simple|prepared|pipelined SQL	one iteration is all steps, a message
 *									each; a pipelined one goes with the step after it
 *	run								measures what was said since "workload"
 *
 * The first variant is what others are compared with. {serial} counts upwards.
 * Before it measures, it sees that all variants return the same rows; a result
 * whose column is named "context" is not counted.
 *
 * Output: workload, mode, variant, connection, round, iterations, wall
 * nanoseconds, nanoseconds of processor time in the backend.
 */
#define _GNU_SOURCE

#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <libpq-fe.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>

#define MAX_VARIANTS	12
#define MAX_STEPS		8
#define MAX_SQL			8
#define MAX_PIECES		64
#define MAX_KEYS		4
#define MAX_BATCH		5000	/* iterations, and tokens for them */
#define MAX_TOKEN		1024
#define MAX_MESSAGE		16384

/* Before a connection is measured: past the custom plans, caches filled. */
#define WARM_ITERATIONS	12
#define WARM_SLOW		2
#define SLOW_NS			5000000

/* Of every batch, not measured: after the others, caches are cold. */
#define WARM_SHARE		8
#define WARM_LIMIT		25

/* Of the tokens; the keys of run permit an hour. */
#define TOKEN_LIFETIME	3000

typedef struct Key
{
	char		algorithm[16];
	char		kid[64];
	EVP_PKEY   *pkey;			/* EdDSA */
	unsigned char secret[1024]; /* HS256 */
	size_t		secret_length;
} Key;

typedef enum PieceKind
{
	PIECE_TEXT,
	PIECE_ID,
	PIECE_SERIAL,
	PIECE_TOKEN,
	PIECE_TENANT
} PieceKind;

typedef struct Piece
{
	PieceKind	kind;
	char	   *text;
} Piece;

typedef enum StepKind
{
	STEP_SIMPLE,
	STEP_PREPARED,
	STEP_PIPELINED
} StepKind;

typedef struct Step
{
	StepKind	kind;
	Piece		pieces[MAX_PIECES];
	int			piece_count;
	char		name[16];		/* of the prepared statement */
} Step;

typedef struct Variant
{
	char	   *name;
	char	   *conninfo;
	char	   *tenant;			/* NULL: no tokens */
	char	   *audience;
	const Key  *key;
	bool		is_token_new;
	char	   *connect[MAX_SQL];
	int			connect_count;
	char	   *before[MAX_SQL];
	int			before_count;
	char	   *after[MAX_SQL];
	int			after_count;
	Step		steps[MAX_STEPS];
	int			step_count;

	PGconn	   *connection;
	int			schedstat;		/* of its backend */
	long		serial;
	char	   *tokens;			/* MAX_TOKEN bytes each */
	int			next_token;
	int			token_uses;		/* in one iteration */
	int			tenant_count;	/* 0: {tenant} is not said */
	uint64_t	check;			/* of what it returned in warming up */
	int64_t		wall;
	int64_t		cpu;
} Variant;

static int	batch_us = 4000;
static int	connection_count = 2;
static int	round_count = 10;
static int	limit_ms = 2000;
static int	processor = -1;
static int	seed = 0;

static Key	keys[MAX_KEYS];
static int	key_count = 0;
static long token_count = 0;

static char *workload = NULL;
static char *mode = NULL;
static int	id_count = 1;
static char tenant_id[37];		/* {tenant} of this iteration */
static Variant variants[MAX_VARIANTS];
static int	variant_count = 0;
static int	iterations = 1;
static bool is_pipelined = false;

static uint64_t random_state;

static void
die(const char *format,...)
{
	va_list args;

	fprintf(stderr, "pbench: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
	exit(1);
}

static char *
copy_of(const char *text)
{
	char	   *copy = strdup(text);

	if (copy == NULL)
		die("out of memory");
	return copy;
}

static int64_t
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t) time.tv_sec * 1000000000 + time.tv_nsec;
}

/* xorshift64*; every variant gets the same numbers in a round. */
static uint64_t
next_random(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * UINT64_C(0x2545F4914F6CDD1D);
}

static void
start_random(uint64_t from)
{
	random_state = (from + 1) * UINT64_C(0x9E3779B97F4A7C15);
	next_random();
}

/* ---- tokens ---- */

static void
append_base64url(char *out, const void *data, size_t length)
{
	char		encoded[MAX_TOKEN * 2];
	int			n = EVP_EncodeBlock((unsigned char *) encoded, data, (int) length);

	out += strlen(out);
	for (int i = 0; i < n && encoded[i] != '='; i++)
		*out++ = encoded[i] == '+' ? '-' : encoded[i] == '/' ? '_' : encoded[i];
	*out = '\0';
}

static void
mint(const Variant *variant, char *token)
{
	const Key  *key = variant->key;
	char		part[512];
	unsigned char signature[256];
	size_t		length = sizeof(signature);
	unsigned	mac_length;
	long		iat = (long) time(NULL);
	EVP_MD_CTX *context;

	token[0] = '\0';
	snprintf(part, sizeof(part), "{\"alg\":\"%s\",\"kid\":\"%s\",\"typ\":\"JWT\"}",
			 key->algorithm, key->kid);
	append_base64url(token, part, strlen(part));
	strcat(token, ".");
	snprintf(part, sizeof(part),
			 "{\"tenant\":\"%s\",\"sub\":\"bench\",\"aud\":\"%s\",\"iat\":%ld,\"exp\":%ld,\"jti\":\"%08lx\"}",
			 variant->tenant, variant->audience, iat, iat + TOKEN_LIFETIME,
			 ++token_count);
	append_base64url(token, part, strlen(part));
	if (key->pkey == NULL)
	{
		HMAC(EVP_sha256(), key->secret, (int) key->secret_length,
			 (unsigned char *) token, strlen(token), signature, &mac_length);
		length = mac_length;
	}
	else
	{
		context = EVP_MD_CTX_new();
		if (EVP_DigestSignInit(context, NULL, NULL, NULL, key->pkey) != 1 ||
			EVP_DigestSign(context, signature, &length, (unsigned char *) token,
						   strlen(token)) != 1)
			die("cannot sign a token");
		EVP_MD_CTX_free(context);
	}
	strcat(token, ".");
	append_base64url(token, signature, length);
}

/* As many tokens as the next "count" iterations will take. */
static void
provide_tokens(Variant *variant, int count)
{
	variant->next_token = 0;
	if (variant->tenant == NULL || !variant->is_token_new)
		return;
	for (int i = 0; i < count * variant->token_uses; i++)
		mint(variant, variant->tokens + (size_t) i * MAX_TOKEN);
}

static const char *
token_of(Variant *variant)
{
	if (variant->tenant == NULL)
		die("variant %s has no tokens", variant->name);
	return variant->tokens +
		(variant->is_token_new ? (size_t) variant->next_token++ * MAX_TOKEN : 0);
}

static void
read_key(const char *algorithm, const char *kid, const char *path)
{
	Key		   *key = &keys[key_count];
	FILE	   *file = fopen(path, "r");

	if (file == NULL || key_count == MAX_KEYS)
		die("cannot read key %s", path);
	snprintf(key->algorithm, sizeof(key->algorithm), "%s", algorithm);
	snprintf(key->kid, sizeof(key->kid), "%s", kid);
	if (strcmp(algorithm, "HS256") == 0)
		key->secret_length = fread(key->secret, 1, sizeof(key->secret), file);
	else if ((key->pkey = PEM_read_PrivateKey(file, NULL, NULL, NULL)) == NULL)
		die("%s holds no private key", path);
	fclose(file);
	key_count++;
}

static const Key *
find_key(const char *algorithm)
{
	for (int i = 0; i < key_count; i++)
		if (strcmp(keys[i].algorithm, algorithm) == 0)
			return &keys[i];
	die("there is no key of algorithm %s", algorithm);
	return NULL;
}

/* ---- statements ---- */

static void
split(Step *step, const char *sql)
{
	static const char *const names[] = {NULL, "{id}", "{serial}", "{token}", "{tenant}"};
	const char *rest = sql;

	while (*rest != '\0')
	{
		Piece	   *piece = &step->pieces[step->piece_count++];
		const char *end = NULL;

		if (step->piece_count == MAX_PIECES)
			die("too many pieces: %s", sql);
		for (int kind = PIECE_ID; kind <= PIECE_TENANT; kind++)
		{
			const char *found = strstr(rest, names[kind]);

			if (found == rest)
			{
				piece->kind = kind;
				rest += strlen(names[kind]);
				end = rest;
				break;
			}
			if (found != NULL && (end == NULL || found < end))
				end = found;
		}
		if (piece->kind != PIECE_TEXT)
			continue;
		if (end == NULL)
			end = rest + strlen(rest);
		piece->text = strndup(rest, end - rest);
		rest = end;
	}
}

/* The text of what is not constant; a number's lies in buffer. */
static const char *
value_of(Variant *variant, PieceKind kind, char *buffer)
{
	if (kind == PIECE_TOKEN)
		return token_of(variant);
	if (kind == PIECE_TENANT)
		return tenant_id;
	if (kind == PIECE_ID)
		sprintf(buffer, "%d", (int) (next_random() % id_count) + 1);
	else
		sprintf(buffer, "%ld", ++variant->serial);
	return buffer;
}

/* Takes in all results of one message; when checking, what they say. */
static void
drain(Variant *variant, bool is_checking)
{
	PGresult   *result;

	while ((result = PQgetResult(variant->connection)) != NULL)
	{
		ExecStatusType status = PQresultStatus(result);

		if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK &&
			status != PGRES_PIPELINE_SYNC)
			die("%s %s %s: %s", workload, mode, variant->name,
				PQresultErrorMessage(result));
		if (is_checking && PQnfields(result) > 0 &&
			strcmp(PQfname(result, 0), "context") != 0)
		{
			for (int row = 0; row < PQntuples(result); row++)
				for (int column = 0; column < PQnfields(result); column++)
					for (const char *c = PQgetvalue(result, row, column);; c++)
					{
						variant->check = (variant->check ^ (unsigned char) *c) * UINT64_C(1099511628211);
						if (*c == '\0')
							break;
					}
		}
		else if (is_checking && PQcmdTuples(result)[0] != '\0' && PQnfields(result) == 0)
			variant->check = variant->check * 31 + atoi(PQcmdTuples(result));
		PQclear(result);
	}
}

static void
execute(Variant *variant, const char *sql)
{
	if (PQsendQuery(variant->connection, sql) != 1)
		die("%s", PQerrorMessage(variant->connection));
	drain(variant, false);
}

/* The same with {token} in its place, which is always the kept one. */
static void
execute_with_token(Variant *variant, const char *sql)
{
	char		message[MAX_MESSAGE];
	const char *place = strstr(sql, "{token}");

	if (place == NULL)
	{
		execute(variant, sql);
		return;
	}
	snprintf(message, sizeof(message), "%.*s%s%s", (int) (place - sql), sql,
			 variant->tokens, place + strlen("{token}"));
	execute(variant, message);
}

static void
send_simple(Variant *variant, const Step *step)
{
	static char message[MAX_MESSAGE];
	char	   *end = message;

	for (int i = 0; i < step->piece_count; i++)
	{
		const Piece *piece = &step->pieces[i];
		char		buffer[32];

		end = stpcpy(end, piece->kind == PIECE_TEXT ? piece->text :
					 value_of(variant, piece->kind, buffer));
	}
	if (PQsendQuery(variant->connection, message) != 1)
		die("%s", PQerrorMessage(variant->connection));
}

static void
send_prepared(Variant *variant, const Step *step)
{
	const char *values[MAX_PIECES];
	char		buffers[MAX_PIECES][32];
	int			count = 0;

	for (int i = 0; i < step->piece_count; i++)
		if (step->pieces[i].kind != PIECE_TEXT)
		{
			values[count] = value_of(variant, step->pieces[i].kind, buffers[count]);
			count++;
		}
	if (PQsendQueryPrepared(variant->connection, step->name, count, values, NULL,
							NULL, 0) != 1)
		die("%s", PQerrorMessage(variant->connection));
}

/* The ids of tenants, as data.sql makes them. */
static void
choose_tenant(int tenant_count)
{
	char		name[32];
	unsigned char digest[16];
	char	   *end = tenant_id;

	snprintf(name, sizeof(name), "tenant %d", (int) (next_random() % tenant_count) + 1);
	if (EVP_Digest(name, strlen(name), digest, NULL, EVP_md5(), NULL) != 1)
		die("no MD5");
	for (int i = 0; i < 16; i++)
		end += sprintf(end, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", digest[i]);
}

static void
iterate(Variant *variant, bool is_checking)
{
	int			waiting = 0;

	if (variant->tenant_count > 0)
		choose_tenant(variant->tenant_count);
	for (int i = 0; i < variant->step_count; i++)
	{
		const Step *step = &variant->steps[i];

		if (step->kind == STEP_SIMPLE)
			send_simple(variant, step);
		else
			send_prepared(variant, step);
		waiting++;
		if (step->kind == STEP_PIPELINED)
			continue;

		if (is_pipelined && PQpipelineSync(variant->connection) != 1)
			die("%s", PQerrorMessage(variant->connection));
		for (; waiting > 0; waiting--)
			drain(variant, is_checking);
		if (is_pipelined)
			PQclear(PQgetResult(variant->connection));	/* of the sync */
	}
}

/* ---- connections ---- */

static void
pin(pid_t pid)
{
	cpu_set_t	set;

	CPU_ZERO(&set);
	CPU_SET(processor, &set);
	if (sched_setaffinity(pid, sizeof(set), &set) != 0)
		die("cannot pin process %d to processor %d: %m", (int) pid, processor);
}

/* The last one this process may use. */
static int
last_processor(void)
{
	cpu_set_t	set;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		die("sched_getaffinity: %m");
	for (int cpu = CPU_SETSIZE - 1; cpu >= 0; cpu--)
		if (CPU_ISSET(cpu, &set))
			return cpu;
	return 0;
}

/* Nanoseconds on a processor. The backend waits for us, so they are complete. */
static int64_t
backend_time(const Variant *variant)
{
	char		buffer[128];
	ssize_t		n = pread(variant->schedstat, buffer, sizeof(buffer) - 1, 0);

	if (n <= 0)
		die("cannot read a backend's schedstat: %m");
	buffer[n] = '\0';
	return strtoll(buffer, NULL, 10);
}

static void
prepare(Variant *variant, Step *step, int number)
{
	char		sql[MAX_MESSAGE] = "";
	char	   *end = sql;
	int			parameter = 0;

	snprintf(step->name, sizeof(step->name), "s%d", number);
	for (int i = 0; i < step->piece_count; i++)
		if (step->pieces[i].kind == PIECE_TEXT)
			end = stpcpy(end, step->pieces[i].text);
		else
			end += sprintf(end, "$%d", ++parameter);
	if (PQsendPrepare(variant->connection, step->name, sql, 0, NULL) != 1)
		die("%s", PQerrorMessage(variant->connection));
	drain(variant, false);
}

static void
connect_variant(Variant *variant)
{
	char		path[64];
	int			pid;

	variant->connection = PQconnectdb(variant->conninfo);
	if (PQstatus(variant->connection) != CONNECTION_OK)
		die("%s: %s", variant->name, PQerrorMessage(variant->connection));
	pid = PQbackendPID(variant->connection);
	pin(pid);
	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	variant->schedstat = open(path, O_RDONLY);
	if (variant->schedstat < 0)
		die("cannot open %s: %m (is CONFIG_SCHEDSTATS off?)", path);

	if (variant->tenant != NULL)
		mint(variant, variant->tokens);
	for (int i = 0; i < variant->connect_count; i++)
		execute_with_token(variant, variant->connect[i]);
	for (int i = 0; i < variant->step_count; i++)
		if (variant->steps[i].kind != STEP_SIMPLE)
			prepare(variant, &variant->steps[i], i);
}

static void
disconnect_variant(Variant *variant)
{
	close(variant->schedstat);
	PQfinish(variant->connection);
	variant->connection = NULL;
}

/* ---- measuring ---- */

/* A few iterations unmeasured, "count" measured ones; wall and cpu are the results. */
static void
run_batch(Variant *variant, int warm, int count, bool is_checking)
{
	int64_t		wall;
	int64_t		cpu;

	for (int i = 0; i < variant->before_count; i++)
		execute_with_token(variant, variant->before[i]);
	provide_tokens(variant, warm + count);
	if (is_pipelined)
		PQenterPipelineMode(variant->connection);

	for (int i = 0; i < warm; i++)
		iterate(variant, is_checking);
	cpu = backend_time(variant);
	wall = now();
	for (int i = 0; i < count; i++)
		iterate(variant, is_checking);
	variant->wall = now() - wall;
	variant->cpu = backend_time(variant) - cpu;

	if (is_pipelined)
		PQexitPipelineMode(variant->connection);
	for (int i = 0; i < variant->after_count; i++)
		execute(variant, variant->after[i]);
}

/* Fills the caches, and sees that all variants do the same. */
static void
warm_up(int connection)
{
	int			count = 1;

	run_batch(&variants[0], 0, 1, false);
	count = variants[0].wall > SLOW_NS ? WARM_SLOW : WARM_ITERATIONS;
	for (int i = 0; i < variant_count; i++)
	{
		Variant    *variant = &variants[i];

		start_random(seed * 1000 + connection);
		variant->check = 0;
		run_batch(variant, 0, count, true);
		if (variant->check != variants[0].check)
			die("%s %s: %s returns other rows than %s", workload, mode,
				variant->name, variants[0].name);
	}
}

/* Custom plans where another variant has a generic one would not be compared fairly. */
static void
check_plans(void)
{
	for (int i = 0; i < variant_count; i++)
	{
		PGresult   *result = PQexec(variants[i].connection,
									"SELECT statement FROM pg_catalog.pg_prepared_statements"
									" WHERE custom_plans > 5 AND NOT from_sql");

		if (PQresultStatus(result) != PGRES_TUPLES_OK)
			die("%s: %s", variants[i].name, PQerrorMessage(variants[i].connection));
		if (PQntuples(result) > 0)
			fprintf(stderr, "# %s %s %s: planned anew for each execution: %s\n",
					workload, mode, variants[i].name, PQgetvalue(result, 0, 0));
		PQclear(result);
	}
}

/* How many iterations of the first variant make a batch. */
static void
calibrate(void)
{
	int			limit = MAX_BATCH;
	int64_t		best = INT64_MAX;

	for (int i = 0; i < 3; i++)
	{
		int			count = i == 0 || best > SLOW_NS ? 1 : 20;

		start_random(i);
		run_batch(&variants[0], 0, count, false);
		if (variants[0].wall / count < best)
			best = variants[0].wall / count;
	}
	for (int i = 0; i < variant_count; i++)
		if (variants[i].token_uses > 0 && limit > MAX_BATCH / variants[i].token_uses)
			limit = MAX_BATCH / variants[i].token_uses;
	iterations = (int) (batch_us * INT64_C(1000) / best);
	if (iterations > limit - WARM_LIMIT)
		iterations = limit - WARM_LIMIT;
	if (iterations < 1)
		iterations = 1;
}

static void
run_rounds(int connection)
{
	int64_t		start = now();
	int			warm = iterations / WARM_SHARE < WARM_LIMIT ?
	iterations / WARM_SHARE : WARM_LIMIT;

	for (int round = 0; round < round_count; round++)
	{
		int			first = (round / 2 + connection + seed) % variant_count;
		int			direction = round % 2 == 0 ? 1 : variant_count - 1;

		if (round >= 3 && now() - start > limit_ms * INT64_C(1000000))
			break;
		for (int i = 0, at = first; i < variant_count; i++, at = (at + direction) % variant_count)
		{
			start_random(((uint64_t) seed * 100 + connection) * 1000 + round);
			run_batch(&variants[at], warm, iterations, false);
		}
		for (int i = 0; i < variant_count; i++)
			printf("%s\t%s\t%s\t%d\t%d\t%d\t%" PRId64 "\t%" PRId64 "\n",
				   workload, mode, variants[i].name, connection, round,
				   iterations, variants[i].wall, variants[i].cpu);
	}
}

static void
run_workload(void)
{
	if (variant_count == 0)
		die("%s %s has no variant", workload, mode);
	for (int connection = 0; connection < connection_count; connection++)
	{
		for (int i = 0; i < variant_count; i++)
			connect_variant(&variants[(i * (connection % 2 ? variant_count - 1 : 1) +
									   connection + seed) % variant_count]);
		warm_up(connection);
		if (connection == 0)
		{
			check_plans();
			calibrate();
		}
		run_rounds(connection);
		for (int i = 0; i < variant_count; i++)
			disconnect_variant(&variants[i]);
	}
	fflush(stdout);
}

/* ---- the plan ---- */

static void
add_sql(char **list, int *count, const char *sql)
{
	if (*count == MAX_SQL)
		die("too many statements: %s", sql);
	list[(*count)++] = copy_of(sql);
}

static void
add_variant(char **field, int count)
{
	Variant    *variant = &variants[variant_count++];

	if (variant_count > MAX_VARIANTS || (count != 3 && count != 7))
		die("bad variant %s", field[1]);
	memset(variant, 0, sizeof(*variant));
	variant->name = copy_of(field[1]);
	variant->conninfo = copy_of(field[2]);
	variant->serial = 1000000;
	if (count == 7)
	{
		variant->tenant = copy_of(field[3]);
		variant->audience = copy_of(field[4]);
		variant->key = find_key(field[5]);
		variant->is_token_new = strcmp(field[6], "new") == 0;
		variant->tokens = calloc(MAX_BATCH, MAX_TOKEN);
	}
}

static void
add_step(Variant *variant, const char *kind, const char *sql)
{
	Step	   *step = &variant->steps[variant->step_count++];

	if (variant->step_count > MAX_STEPS)
		die("too many steps: %s", sql);
	if (strcmp(kind, "simple") == 0)
		step->kind = STEP_SIMPLE;
	else if (strcmp(kind, "prepared") == 0)
		step->kind = STEP_PREPARED;
	else if (strcmp(kind, "pipelined") == 0)
		step->kind = STEP_PIPELINED;
	else
		die("unknown kind of step: %s", kind);
	split(step, sql);
	is_pipelined = is_pipelined || step->kind == STEP_PIPELINED;
	for (int i = 0; i < step->piece_count; i++)
	{
		if (step->pieces[i].kind == PIECE_TOKEN)
			variant->token_uses++;
		if (step->pieces[i].kind == PIECE_TENANT && variant->tenant_count < 1)
			die("variant %s has no tenants", variant->name);
	}
}

/* The few bytes of a workload's plan are left to the end of the process, its tokens are not. */
static void
start_workload(char **field)
{
	for (int i = 0; i < variant_count; i++)
		free(variants[i].tokens);
	variant_count = 0;
	is_pipelined = false;
	workload = copy_of(field[1]);
	mode = copy_of(field[2]);
	id_count = atoi(field[3]);
	if (id_count < 1)
		die("workload %s: bad number of ids", workload);
}

static void
read_line(char *line)
{
	char	   *field[8] = {NULL};
	int			count = 0;
	Variant    *variant = variant_count > 0 ? &variants[variant_count - 1] : NULL;

	for (char *rest = line; rest != NULL && count < 8;)
		field[count++] = strsep(&rest, "\t");
	if (strcmp(field[0], "key") == 0 && count == 4)
		read_key(field[1], field[2], field[3]);
	else if (strcmp(field[0], "workload") == 0 && count == 4)
		start_workload(field);
	else if (strcmp(field[0], "variant") == 0 && count >= 3 && workload != NULL)
		add_variant(field, count);
	else if (strcmp(field[0], "tenants") == 0 && count == 2 && variant)
		variant->tenant_count = atoi(field[1]);
	else if (strcmp(field[0], "connect") == 0 && count == 2 && variant)
		add_sql(variant->connect, &variant->connect_count, field[1]);
	else if (strcmp(field[0], "before") == 0 && count == 2 && variant)
		add_sql(variant->before, &variant->before_count, field[1]);
	else if (strcmp(field[0], "after") == 0 && count == 2 && variant)
		add_sql(variant->after, &variant->after_count, field[1]);
	else if (strcmp(field[0], "step") == 0 && count == 3 && variant)
		add_step(variant, field[1], field[2]);
	else if (strcmp(field[0], "run") == 0 && count == 1 && variant)
		run_workload();
	else
		die("cannot read the plan's line \"%s\"", line);
}

static void
read_options(int argc, char **argv)
{
	int			option;

	while ((option = getopt(argc, argv, "b:c:r:t:p:s:")) != -1)
	{
		int			value = optarg ? atoi(optarg) : 0;

		switch (option)
		{
			case 'b':
				batch_us = value;
				break;
			case 'c':
				connection_count = value;
				break;
			case 'r':
				round_count = value;
				break;
			case 't':
				limit_ms = value;
				break;
			case 'p':
				processor = value;
				break;
			case 's':
				seed = value;
				break;
			default:
				die("usage: pbench [-b US] [-c CONNECTIONS] [-r ROUNDS] [-t MS] [-p CPU] [-s SEED] <plan");
		}
	}
}

int
main(int argc, char **argv)
{
	static char line[MAX_MESSAGE];

	read_options(argc, argv);
	if (processor < 0)
		processor = last_processor();
	pin(0);
	while (fgets(line, sizeof(line), stdin) != NULL)
	{
		line[strcspn(line, "\n")] = '\0';
		if (line[0] != '\0')
			read_line(line);
	}
	return 0;
}
