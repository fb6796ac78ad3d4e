/* tests/bench/bench_sink.c - what the PostgreSQL sink costs beside a bare COPY of the same rows.
 *
 *   DATABASE_URL=... bench_sink [ROWS [EPOCH_BYTES]]      (run it under tests/integration/postgres.sh with DIR)
 *
 * The floor is a loop of text COPYs, 2,500 rows a transaction, into a table with the same columns and indexes; it runs before
 * and after. CPU of the backends comes from /proc, so the server has to be on this machine.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "common/base/decimal.h"
#include "common/base/timestamp.h"
#include "common/postgres/postgres_schema.h"
#include "proto/row.h"
#include "services/sink/postgres_rows.h"
#include "services/sink/sink_postgres.h"
#include "tests/bench/sample_rows.h"

enum { FLOOR_ROWS = 2500, BODY_ROWS = 200 };

struct figures {
	double seconds, own_cpu, backend_cpu;
};

static double seconds_now(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* User and system time of a process. */
static double process_cpu(int pid)
{
	char path[64], line[1024];
	unsigned long user = 0, system = 0;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	FILE *file = fopen(path, "r");
	if (!file)
		return 0;
	if (fgets(line, sizeof line, file)) {
		const char *at = strrchr(line, ')');
		if (!at || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
			user = system = 0;
	}
	fclose(file);
	return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static PGconn *connect_or_die(void)
{
	PGconn *link = PQconnectdb(getenv("DATABASE_URL"));
	if (PQstatus(link) != CONNECTION_OK)
		panic("%s", PQerrorMessage(link));
	return link;
}

static void run_or_die(PGconn *link, const char *sql)
{
	PGresult *result = PQexec(link, sql);
	if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
		panic("%s", PQerrorMessage(link));
	PQclear(result);
}

/* ---- the floor ---- */

static void text_row(struct source *source, struct buffer *out)
{
	struct value values[FIELDS];
	char text[FIELDS][48], number[DECIMAL_TEXT_MAX];

	row_make(source, values, text);
	for (size_t i = 0; i < FIELDS; i++) {
		if (i == 10)
			buffer_append(out, number, timestamp_print(values[i].integer, number));
		else if (values[i].kind == VALUE_INTEGER)
			buffer_append(out, number, decimal_print(values[i].integer, i == 5 ? 0 : 2, number));
		else
			buffer_append(out, values[i].text.data, values[i].text.len);
		buffer_append(out, i + 1 < FIELDS ? "\t" : "\n", 1);
	}
}

static struct figures floor_run(struct source *source)
{
	PGconn *link = connect_or_die();
	struct buffer chunk = {0};
	struct figures figures = {0};

	run_or_die(link, "DROP TABLE IF EXISTS floor; CREATE TABLE floor (LIKE transactions INCLUDING ALL)");
	run_or_die(link, "CHECKPOINT");
	double backend = process_cpu(PQbackendPID(link));
	for (source->left = source->rows; source->left;) {
		uint64_t rows = source->left < FLOOR_ROWS ? source->left : FLOOR_ROWS;
		buffer_clear(&chunk);
		for (uint64_t i = 0; i < rows; i++)
			text_row(source, &chunk); /* not timed */
		double began = seconds_now(CLOCK_MONOTONIC), cpu = seconds_now(CLOCK_PROCESS_CPUTIME_ID);
		PQclear(PQexec(link,
		    "COPY floor (transaction_id, product_id, product_name, product_category, product_price, "
		    "product_quantity, product_brand, total_amount, currency, customer_id, transaction_date, "
		    "payment_method) "
		    "FROM STDIN"));
		if (PQputCopyData(link, (const char *)chunk.data, (int)chunk.len) != 1 || PQputCopyEnd(link, NULL) != 1)
			panic("%s", PQerrorMessage(link));
		for (PGresult *result; (result = PQgetResult(link)); PQclear(result))
			if (PQresultStatus(result) != PGRES_COMMAND_OK)
				panic("%s", PQerrorMessage(link));
		figures.seconds += seconds_now(CLOCK_MONOTONIC) - began;
		figures.own_cpu += seconds_now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
		source->left -= rows;
	}
	figures.backend_cpu = process_cpu(PQbackendPID(link)) - backend;
	run_or_die(link, "DROP TABLE floor");
	buffer_fini(&chunk);
	PQfinish(link);
	return figures;
}

/* ---- the sink ---- */

static struct sink_answer *answer_or_die(struct sink_port *port)
{
	struct sink_answer *answer = NULL;
	struct pollfd wait = {.fd = port->event_fd, .events = POLLIN};

	if (poll(&wait, 1, -1) != 1 || !port->ops->answer(port, &answer) || answer->outcome != SINK_DONE)
		panic("%s", answer ? answer->error.text : "no answer");
	return answer;
}

static struct bytes body_make(struct source *source, struct arena *arena)
{
	struct rows_writer writer = {0};
	struct buffer encoded = {0};
	struct value values[FIELDS];
	char text[FIELDS][48];

	rows_begin(&writer);
	for (uint64_t i = 0; i < BODY_ROWS && source->left; i++, source->left--) {
		row_make(source, values, text);
		buffer_clear(&encoded);
		row_encode_values(&encoded, values, FIELDS);
		rows_put(&writer, 0, (int64_t)source->left, 1770595200000, i, FIELDS, buffer_bytes(&encoded));
	}
	rows_end(&writer);
	struct bytes body = {arena_clone(arena, writer.body.data, writer.body.len), writer.body.len};
	buffer_fini(&encoded);
	buffer_fini(&writer.body);
	return body;
}

/* Every group of two days and six categories, in each epoch. */
static void groups_make(struct groups *groups, struct arena *arena)
{
	static const char *const categories[] = {"electronic", "fashion", "grocery", "home", "beauty", "sports"};
	struct buffer key = {0};
	__int128 total = 123456;

	groups->entries = arena_take(arena, 16 * sizeof groups->entries[0]);
	for (int i = 0; i < 15; i++) {
		struct value values[2] = {{.kind = VALUE_INTEGER, .integer = 20493 + i % 2}};
		uint32_t rollup = i < 12 ? 0 : i < 14 ? 1 : 2;
		const char *category = categories[i / 2 % 6];
		values[1] = (struct value){.kind = VALUE_TEXT, .text = {(const uint8_t *)category, strlen(category)}};
		if (rollup == 2) {
			values[0].integer = 2026;
			values[1] = (struct value){.kind = VALUE_INTEGER, .integer = 2};
		}
		buffer_clear(&key);
		buffer_append(&key, rollup == 1 ? "\x91" : "\x92", 1);
		row_encode_values(&key, values, rollup == 1 ? 1 : 2);
		groups->entries[groups->len++] = (struct group){.rollup = rollup,
		    .key = {arena_clone(arena, key.data, key.len), key.len},
		    .measures = {arena_clone(arena, &total, sizeof total), sizeof total}};
	}
	buffer_fini(&key);
}

static int writer_pid(PGconn *link)
{
	PGresult *result = PQexec(link, "SELECT pid FROM pg_stat_activity WHERE application_name = 'bench_sink'");
	int pid = PQntuples(result) == 1 ? atoi(PQgetvalue(result, 0, 0)) : 0;
	PQclear(result);
	return pid;
}

static struct figures sink_run(struct source *source, size_t epoch_bytes, uint64_t *epochs)
{
	PGconn *link = connect_or_die();
	struct sink_port *port = NULL;
	struct error error = {0};
	struct figures figures = {0};
	struct cut cut = {0};
	struct epoch_id last = {0, 0};

	if (sink_postgres_open(&port, &source->pipeline, "bench_sink", NULL, &error) != RESULT_OK)
		panic("%s", error.text);
	sink_start(port, SINK_FENCE, .attempt = 1);
	answer_or_die(port);
	cut_set(&cut, 0, 0);
	sink_start(port, SINK_SET_CUT, .attempt = 1, .cut = &cut, .remember = &(struct facts){0});
	answer_or_die(port);
	run_or_die(link, "CHECKPOINT");
	int pid = writer_pid(link);
	double backend = process_cpu(pid);
	for (source->left = source->rows; source->left; ++*epochs) {
		struct arena arena = {0};
		struct bytes *bodies = memory_new(65536 * sizeof *bodies);
		size_t bodies_len = 0, bytes = 0;
		struct groups groups = {0};
		while (bytes < epoch_bytes && source->left && bodies_len < 65536) {
			bodies[bodies_len] = body_make(source, &arena);
			bytes += bodies[bodies_len++].len;
		}
		groups_make(&groups, &arena);
		cut_set(&cut, 0, (int64_t)(source->rows - source->left));
		struct transaction transaction = {.fence = 1,
		    .predecessor = last,
		    .epoch = {1, last.n + 1},
		    .cut = &cut,
		    .rows = bodies,
		    .rows_len = bodies_len,
		    .totals = &groups,
		    .totals_len = 1};
		double began = seconds_now(CLOCK_MONOTONIC), cpu = seconds_now(CLOCK_PROCESS_CPUTIME_ID);
		sink_start(port, SINK_COMMIT, .transaction = &transaction);
		answer_or_die(port);
		figures.seconds += seconds_now(CLOCK_MONOTONIC) - began;
		figures.own_cpu += seconds_now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
		last = transaction.epoch;
		free(bodies);
		arena_fini(&arena);
	}
	figures.backend_cpu = process_cpu(pid) - backend;
	port->ops->close(port);
	cut_fini(&cut);
	PQfinish(link);
	return figures;
}

/* Decoding, encoding and sorting alone. */
static double encode_run(struct source *source, size_t epoch_bytes)
{
	struct epoch_rows rows = {0};
	struct error error = {0};
	double cpu = 0;

	for (source->left = source->rows; source->left;) {
		struct arena arena = {0};
		struct bytes *bodies = memory_new(65536 * sizeof *bodies);
		size_t bodies_len = 0, bytes = 0;
		while (bytes < epoch_bytes && source->left && bodies_len < 65536) {
			bodies[bodies_len] = body_make(source, &arena);
			bytes += bodies[bodies_len++].len;
		}
		double began = seconds_now(CLOCK_PROCESS_CPUTIME_ID);
		if (epoch_rows_build(&rows, &source->pipeline, bodies, bodies_len, &error) != RESULT_OK)
			panic("%s", error.text);
		cpu += seconds_now(CLOCK_PROCESS_CPUTIME_ID) - began;
		free(bodies);
		arena_fini(&arena);
	}
	epoch_rows_fini(&rows);
	return cpu;
}

static void print(const char *what, const struct source *source, struct figures figures)
{
	double millions = (double)source->rows / 1e6;
	printf("%-28s %9.0f rows/s  CPU-s per million: own %5.2f  backend %5.2f\n", what,
	    (double)source->rows / figures.seconds, figures.own_cpu / millions, figures.backend_cpu / millions);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct source source = {.random = 88172645463325252u, .rows = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000};
	size_t epoch_bytes = argc > 2 ? strtoull(argv[2], NULL, 10) : 4 << 20;
	struct error error = {0};
	struct buffer report = {0};
	uint64_t epochs = 0;

	if (!getenv("DATABASE_URL"))
		panic("DATABASE_URL is not set");
	if (pipeline_load(&source.pipeline, SOURCE_DIR "/compose/pipeline.yaml", &error) != RESULT_OK ||
	    postgres_init(&source.pipeline, "bench_sink", &report, &error) != RESULT_OK)
		panic("%s", error.text);
	struct figures before = floor_run(&source);
	print("COPY text, 2500 rows", &source, before);
	struct figures sink = sink_run(&source, epoch_bytes, &epochs);
	print("sink", &source, sink);
	struct figures after = floor_run(&source);
	print("COPY text, 2500 rows", &source, after);
	printf("%" PRIu64 " epochs of %zu bytes; ratio to the floor %.2f (before) %.2f (after)\n", epochs, epoch_bytes,
	    before.seconds / sink.seconds, after.seconds / sink.seconds);
	double cpu = encode_run(&source, epoch_bytes);
	printf("decode, encode and sort alone: %.3f CPU-s per million\n", cpu / ((double)source.rows / 1e6));
	buffer_fini(&report);
	pipeline_fini(&source.pipeline);
	return 0;
}
