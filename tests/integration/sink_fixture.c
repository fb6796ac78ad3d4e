#include "tests/integration/sink_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/timestamp.h"

const char fixture_pipeline_text[] =
    "job: shop\n"
    "source:\n"
    "  topic: sales\n"
    "  kafka: {bootstrap.servers: \"localhost:9092\"}\n"
    "record:\n"
    "  table: transactions\n"
    "  key: transaction_id\n"
    "  event_time: transaction_date\n"
    "  fields:\n"
    "    - {name: transaction_id,   type: string(36),      required: true}\n"
    "    - {name: product_category, type: string(100),     required: true, index: idx_transactions_category}\n"
    "    - {name: product_quantity, type: integer}\n"
    "    - {name: total_amount,     type: \"decimal(10,2)\", required: true}\n"
    "    - {name: rate,             type: \"decimal(18,7)\"}\n"
    "    - {name: transaction_date, type: timestamp,       required: true, index: idx_transactions_date}\n"
    "    - {name: customer_id,      type: string(255)}\n"
    "rollups:\n"
    "  - table: sales_per_category\n"
    "    by:       [{column: transaction_date, day: transaction_date}, {column: category, field: product_category}]\n"
    "    measures: [{column: total_sales, sum: total_amount, type: \"decimal(15,2)\"}]\n"
    "  - table: sales_per_month\n"
    "    by:       [{column: year, year: transaction_date}, {column: month, month: transaction_date}]\n"
    "    measures: [{column: total_sales, sum: total_amount, type: \"decimal(38,2)\"}]\n";

struct value value_text(const char *text)
{
	return (struct value){.kind = VALUE_TEXT, .text = {(const uint8_t *)text, strlen(text)}};
}

struct value value_integer(int64_t integer)
{
	return (struct value){.kind = VALUE_INTEGER, .integer = integer};
}

struct value value_null(void)
{
	return (struct value){.kind = VALUE_NULL};
}

/* ---- database ---- */

static PGconn *connect_or_fail(const char *url)
{
	PGconn *link = PQconnectdb(url);
	if (PQstatus(link) != CONNECTION_OK)
		fail_msg("%s", PQerrorMessage(link));
	return link;
}

static void run_or_fail(PGconn *link, const char *sql)
{
	PGresult *result = PQexec(link, sql);
	if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", sql, PQerrorMessage(link));
	PQclear(result);
}

static const char *server_url(void)
{
	const char *url = getenv("DATABASE_URL");
	if (!url || !*url) {
		fprintf(stderr, "DATABASE_URL is not set: run this under tests/integration/postgres.sh with DIR\n");
		exit(2);
	}
	return url;
}

struct buffer fixture_url(const char *database, const char *user, const char *password, const char *port)
{
	struct buffer url = {0};
	PQconninfoOption *options = PQconninfoParse(server_url(), NULL);

	assert_non_null(options);
	for (PQconninfoOption *option = options; option->keyword; option++) {
		const char *value = option->val;
		if (database && strcmp(option->keyword, "dbname") == 0)
			value = database;
		if (user && strcmp(option->keyword, "user") == 0)
			value = user;
		if (password && strcmp(option->keyword, "password") == 0)
			value = password;
		if (port && strcmp(option->keyword, "port") == 0)
			value = port;
		if (value)
			buffer_printf(&url, "%s='%s' ", option->keyword, value);
	}
	PQconninfoFree(options);
	buffer_append(&url, "", 1);
	return url;
}

void fixture_pipeline(struct pipeline *pipeline, const char *url, const char *text)
{
	struct error error = {0};
	struct bytes bytes = {(const uint8_t *)text, strlen(text)};

	if (pipeline_parse(pipeline, "test.yaml", bytes, &error) != RESULT_OK)
		fail_msg("%s", error.text);
	free(pipeline->sinks.postgres_url);
	pipeline->sinks.postgres_url = text_clone(url);
}

void fixture_choose_tests(void)
{
	if (getenv("SLUICE_TEST_ONLY") != NULL)
		cmocka_set_test_filter(getenv("SLUICE_TEST_ONLY"));
}

int fixture_setup(void **state)
{
	static int number; /* databases of one test program */
	struct fixture *fixture = memory_new(sizeof *fixture);
	char sql[128];

	fixture->server = connect_or_fail(server_url());
	snprintf(fixture->database, sizeof fixture->database, "sluice_test_%d_%d", (int)getpid(), ++number);
	snprintf(sql, sizeof sql, "CREATE DATABASE %s TEMPLATE template0 ENCODING 'UTF8'", fixture->database);
	run_or_fail(fixture->server, sql);
	fixture->url = fixture_url(fixture->database, NULL, NULL, NULL);
	fixture->link = connect_or_fail((const char *)fixture->url.data);
	run_or_fail(fixture->link, "SET client_min_messages = warning");
	fixture_pipeline(&fixture->pipeline, (const char *)fixture->url.data, fixture_pipeline_text);
	*state = fixture;
	return 0;
}

int fixture_teardown(void **state)
{
	struct fixture *fixture = *state;
	char sql[128];

	if (fixture->port)
		fixture->port->ops->close(fixture->port);
	PQfinish(fixture->link);
	PQfinish(fixture->server);
	PGconn *server = connect_or_fail(server_url()); /* a test may have restarted the server */
	snprintf(sql, sizeof sql, "DROP DATABASE %s WITH (FORCE)", fixture->database);
	run_or_fail(server, sql);
	PQfinish(server);
	pipeline_fini(&fixture->pipeline);
	buffer_fini(&fixture->url);
	free(fixture->text);
	free(fixture);
	return 0;
}

void fixture_run(struct fixture *fixture, const char *sql)
{
	run_or_fail(fixture->link, sql);
}

const char *fixture_value(struct fixture *fixture, const char *sql)
{
	PGresult *result = PQexec(fixture->link, sql);

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", sql, PQerrorMessage(fixture->link));
	free(fixture->text);
	bool null = PQntuples(result) == 0 || PQgetisnull(result, 0, 0);
	fixture->text = text_clone(null ? "(null)" : PQgetvalue(result, 0, 0));
	PQclear(result);
	return fixture->text;
}

/* ---- port ---- */

struct sink_answer *fixture_fence(struct sink_port *port, uint64_t attempt)
{
	sink_start(port, SINK_FENCE, .attempt = attempt);
	return sink_await(port);
}

static struct mark mark_entries[] = {{0, 4, UINT64_C(0xc0ffee)}, {12, INT64_MAX, UINT64_MAX}};
const struct marks fixture_marks = {mark_entries, 2};
static struct fact fact_entries[] = {{"kafka.cluster_id", "a'\\\"b"}};
const struct facts fixture_facts = {fact_entries, 1};

struct sink_answer *fixture_look(struct sink_port *port, uint64_t attempt)
{
	sink_start(port, SINK_LOOK, .attempt = attempt);
	return sink_await(port);
}

struct sink_answer *fixture_mark(
    struct sink_port *port, uint64_t attempt, struct epoch_id predecessor, struct epoch_id checkpoint, int64_t offset)
{
	struct checkpoint_identity marked = {.epoch = checkpoint};

	cut_set(&marked.cut, 0, offset);
	marked.marks = fixture_marks;
	sink_start(port, SINK_MARK, .attempt = attempt, .predecessor = predecessor, .marked = &marked);
	struct sink_answer *answer = sink_await(port);
	cut_fini(&marked.cut);
	return answer;
}

struct sink_answer *fixture_choose(struct sink_port *port, uint64_t attempt, struct epoch_id checkpoint)
{
	sink_start(port, SINK_CHOOSE, .attempt = attempt, .checkpoint = checkpoint, .renamed = (struct epoch_id){0},
	    .remember = &fixture_facts);
	return sink_await(port);
}

struct sink_port *fixture_writer(struct fixture *fixture, uint64_t attempt)
{
	struct sink_port *port = NULL;
	struct error error = {0};
	struct cut cut = {0};

	if (sink_postgres_open(&port, &fixture->pipeline, "sluice-sink 0", NULL, &error) != RESULT_OK)
		fail_msg("%s", error.text);
	struct sink_answer *answer = fixture_fence(port, attempt);
	if (answer->outcome != SINK_DONE)
		fail_msg("fence: %s", answer->error.text);
	if (!answer->frontier.started) {
		cut_set(&cut, 0, 0);
		sink_start(port, SINK_SET_CUT, .attempt = attempt, .cut = &cut, .remember = &fixture_facts);
		answer = sink_await(port);
		if (answer->outcome != SINK_DONE)
			fail_msg("set_cut: %s", answer->error.text);
		cut_fini(&cut);
	}
	return port;
}

/* ---- transactions ---- */

void draft_open(struct draft *draft, uint64_t fence, struct epoch_id predecessor, struct epoch_id epoch, int64_t offset)
{
	*draft = (struct draft){
	    .transaction = {.fence = fence, .predecessor = predecessor, .epoch = epoch},
	};
	cut_set(&draft->cut, 0, offset);
	rows_begin(&draft->rows);
}

void draft_row(struct draft *draft, uint32_t partition, int64_t offset, const struct value *values, uint32_t values_len)
{
	buffer_clear(&draft->scratch);
	row_encode_values(&draft->scratch, values, values_len);
	rows_put(&draft->rows, partition, offset, 1700000000000, 1, values_len, buffer_bytes(&draft->scratch));
	draft->rows_len++;
}

void draft_sale(struct draft *draft, int64_t offset, const char *key, int64_t amount_minor)
{
	struct value values[] = {value_text(key), value_text("books"), value_integer(1), value_integer(amount_minor),
	    value_null(), value_integer(INT64_C(1705312800000000)), value_null()};
	draft_row(draft, 0, offset, values, 7);
}

void draft_letter(struct draft *draft, struct letter letter)
{
	draft->letters.entries =
	    memory_resize(draft->letters.entries, draft->letters.len + 1, sizeof draft->letters.entries[0]);
	draft->letters.entries[draft->letters.len++] = letter;
}

void draft_decision(struct draft *draft, uint32_t partition, int64_t offset, enum verdict verdict)
{
	draft->decisions.entries =
	    memory_resize(draft->decisions.entries, draft->decisions.len + 1, sizeof draft->decisions.entries[0]);
	draft->decisions.entries[draft->decisions.len++] = (struct decision){partition, offset, verdict};
}

void draft_group(struct draft *draft, uint32_t rollup, const struct value *key, uint32_t key_len, __int128 measure)
{
	draft_measures(draft, rollup, key, key_len, &measure, 1);
}

void draft_measures(struct draft *draft, uint32_t rollup, const struct value *key, uint32_t key_len,
    const __int128 *measures, size_t measures_len)
{
	struct buffer encoded = {0};
	uint8_t head = (uint8_t)(0x90 | key_len);

	buffer_append(&encoded, &head, 1);
	row_encode_values(&encoded, key, key_len);
	draft->groups.entries =
	    memory_resize(draft->groups.entries, draft->groups.len + 1, sizeof draft->groups.entries[0]);
	draft->groups.entries[draft->groups.len++] = (struct group){
	    .rollup = rollup,
	    .key = {arena_clone(&draft->arena, encoded.data, encoded.len), encoded.len},
	    .measures = {arena_clone(&draft->arena, measures, measures_len * sizeof measures[0]),
	        measures_len * sizeof measures[0]},
	};
	buffer_fini(&encoded);
}

struct sink_answer *draft_late(struct draft *draft, struct sink_port *port)
{
	rows_end(&draft->rows);
	draft->body = buffer_bytes(&draft->rows.body);
	sink_start(port, SINK_ASK_LATE, .attempt = draft->transaction.fence,
	    .predecessor = draft->transaction.predecessor, .bodies = &draft->body, .bodies_len = 1);
	return sink_await(port);
}

void draft_start(struct draft *draft, struct sink_port *port)
{
	struct transaction *transaction = &draft->transaction;

	rows_end(&draft->rows);
	draft->body = buffer_bytes(&draft->rows.body);
	transaction->cut = &draft->cut;
	transaction->rows = &draft->body;
	transaction->rows_len = draft->rows_len ? 1 : 0;
	transaction->letters = &draft->letters;
	transaction->letters_len = 1;
	transaction->decisions = &draft->decisions;
	transaction->decisions_len = 1;
	transaction->totals = &draft->groups;
	transaction->totals_len = 1;
	transaction->marks = &fixture_marks;
	sink_start(port, SINK_COMMIT, .transaction = transaction);
}

struct sink_answer *draft_commit(struct draft *draft, struct sink_port *port)
{
	draft_start(draft, port);
	return sink_await(port);
}

void draft_close(struct draft *draft)
{
	cut_fini(&draft->cut);
	buffer_fini(&draft->rows.body);
	buffer_fini(&draft->scratch);
	arena_fini(&draft->arena);
	free(draft->letters.entries);
	free(draft->decisions.entries);
	free(draft->groups.entries);
}
