/* The sink port on a real PostgreSQL: fence, frontier, and what one epoch writes. Needs DATABASE_URL. */
#include "tests/integration/sink_fixture.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/decimal.h"

static const struct epoch_id none = {0, 0};

static void assert_done(const struct sink_answer *answer)
{
	if (answer->outcome != SINK_DONE)
		fail_msg("outcome %d: %s", (int)answer->outcome, answer->error.text);
}

static void assert_says(const struct sink_answer *answer, enum sink_outcome outcome, const char *words)
{
	if (answer->outcome != outcome || !strstr(answer->error.text, words))
		fail_msg("outcome %d instead of %d, or \"%s\" does not say \"%s\"", (int)answer->outcome, (int)outcome,
		    answer->error.text, words);
}

static struct epoch_id epoch_of(uint64_t attempt, uint64_t n)
{
	return (struct epoch_id){attempt, n};
}

static void test_start(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = NULL;
	struct error error = {0};
	struct cut cut = {0};

	assert_int_equal(sink_postgres_open(&port, &fixture->pipeline, "sluice-sink 3", NULL, &error), RESULT_OK);
	fixture->port = port;
	struct sink_answer *answer = fixture_fence(port, 7);
	assert_done(answer);
	assert_int_equal(answer->frontier.fence, 7);
	assert_true(epoch_equal(answer->frontier.last, none));
	assert_false(answer->frontier.started);
	assert_int_equal(answer->frontier.cut.len, 0);
	assert_string_equal(answer->frontier.fingerprint, "");
	assert_int_equal(answer->checkpoints_len, 0);
	assert_int_equal(answer->decisions.len, 0);
	assert_string_equal(
	    fixture_value(fixture, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sluice-sink 3'"),
	    "1");

	cut_set(&cut, 11, 5);
	cut_set(&cut, 2, INT64_MAX);
	sink_start(port, SINK_SET_CUT, .attempt = 6, .cut = &cut, .remember = &fixture_facts);
	answer = sink_await(port);
	assert_says(answer, SINK_FENCED, "fence");
	assert_int_equal(answer->frontier.fence, 7);
	assert_string_equal(fixture_value(fixture, "SELECT cut FROM sluice.frontier"), "(null)");
	sink_start(port, SINK_SET_CUT, .attempt = 7, .cut = &cut, .remember = &fixture_facts);
	assert_done(sink_await(port));
	sink_start(port, SINK_SET_CUT, .attempt = 7, .cut = &cut, .remember = &fixture_facts);
	assert_says(sink_await(port), SINK_MOVED, "0.0");

	answer = fixture_fence(port, 8);
	assert_done(answer);
	assert_true(answer->frontier.started);
	assert_true(cut_equal(&answer->frontier.cut, &cut));
	assert_string_equal(answer->frontier.fingerprint, fixture->pipeline.fingerprint);
	assert_int_equal(answer->checkpoints_len, 1);
	assert_true(epoch_equal(answer->checkpoints[0].epoch, none));
	assert_true(cut_equal(&answer->checkpoints[0].cut, &cut));
	cut_fini(&cut);
}

static void test_fence_only_rises(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 4);

	struct sink_answer *answer = fixture_fence(port, 4);
	assert_says(answer, SINK_FENCED, "raised the fence to 4");
	assert_int_equal(answer->frontier.fence, 4);
	answer = fixture_fence(port, 3);
	assert_says(answer, SINK_FENCED, "fence to 4");
	assert_done(fixture_fence(port, 5));
	assert_string_equal(fixture_value(fixture, "SELECT fence FROM sluice.frontier"), "5");
}

static void test_predecessor(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 2);
	struct draft draft;

	draft_open(&draft, 2, none, epoch_of(2, 1), 10);
	draft_sale(&draft, 0, "a", 162753);
	draft.transaction.counters.n[COUNTER_CONSUMED] = UINT64_C(9007199254740993);
	draft.transaction.counters.n[COUNTER_ACCEPTED] = 1;
	struct value category[] = {value_integer(19737), value_text("books")};
	struct value month[] = {value_integer(2024), value_integer(1)};
	draft_group(&draft, 0, category, 2, 162753);
	draft_group(&draft, 1, month, 2, 162753);
	assert_done(draft_commit(&draft, port));
	draft_close(&draft);

	/* The same epoch again: its predecessor is not there any more. */
	draft_open(&draft, 2, none, epoch_of(2, 1), 10);
	draft_sale(&draft, 0, "b", 1);
	assert_says(draft_commit(&draft, port), SINK_MOVED, "2.1");
	draft_close(&draft);
	/* Another attempt's number. */
	draft_open(&draft, 1, epoch_of(2, 1), epoch_of(1, 9), 20);
	draft_sale(&draft, 0, "c", 1);
	struct sink_answer *answer = draft_commit(&draft, port);
	assert_says(answer, SINK_FENCED, "fence");
	assert_int_equal(answer->frontier.fence, 2);
	draft_close(&draft);
	assert_string_equal(fixture_value(fixture, "SELECT string_agg(transaction_id, ',') FROM transactions"), "a");

	draft_open(&draft, 2, epoch_of(2, 1), epoch_of(2, 2), 12);
	draft.transaction.counters.n[COUNTER_CONSUMED] = 2;
	draft.transaction.counters.n[COUNTER_DEAD] = 2;
	assert_done(draft_commit(&draft, port));
	draft_close(&draft);
	answer = fixture_look(port, 2);
	assert_done(answer);
	assert_true(epoch_equal(answer->frontier.last, epoch_of(2, 2)));
	assert_int_equal(cut_get(&answer->frontier.cut, 0, -1), 12);
	assert_true(answer->frontier.counters.n[COUNTER_CONSUMED] == UINT64_C(9007199254740995));
	assert_int_equal(answer->frontier.counters.n[COUNTER_ACCEPTED], 1);
	assert_int_equal(answer->frontier.counters.n[COUNTER_DEAD], 2);
}

static void assert_row(struct fixture *fixture, const char *key, const char *expected)
{
	char sql[512];
	snprintf(sql, sizeof sql,
	    "SELECT concat_ws('|', product_category, coalesce(product_quantity::text, '-'), total_amount, "
	    "coalesce(rate::text, '-'), transaction_date, coalesce(customer_id, '-'), created_at IS NOT NULL) "
	    "FROM transactions WHERE transaction_id = '%s'",
	    key);
	assert_string_equal(fixture_value(fixture, sql), expected);
}

static void test_values(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 1);
	struct draft draft;
	char wide[100 * 4 + 1] = "";

	for (int i = 0; i < 100; i++)
		memcpy(wide + 4 * i, "\xf0\x9f\x98\x80", 5);
	const struct value rows[][7] = {
	    {value_text("zero"), value_text("books"), value_integer(0), value_integer(0), value_integer(0),
	        value_integer(0), value_text("")},
	    {value_text("most"), value_text(wide), value_integer(INT32_MAX), value_integer(9999999999),
	        value_integer(999999999999999999), value_integer(INT64_C(253402300799999999)),
	        value_text("Zo\xc3\xab")},
	    {value_text("least"), value_text("x"), value_integer(INT32_MIN), value_integer(-9999999999),
	        value_integer(-999999999999999999), value_integer(1), value_text("tab\there\\N\n")},
	    {value_text("nulls"), value_text("x"), value_null(), value_integer(-1), value_null(),
	        value_integer(INT64_C(1705312800123456)), value_null()},
	    {value_text("round"), value_text("x"), value_null(), value_integer(1000000), value_integer(10000000),
	        value_integer(INT64_C(946684800000000)), value_null()},
	    {value_text("small"), value_text("x"), value_null(), value_integer(100), value_integer(1),
	        value_integer(INT64_C(946684799999999)), value_null()},
	};
	draft_open(&draft, 1, none, epoch_of(1, 1), 6);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		draft_row(&draft, 0, (int64_t)i, rows[i], 7);
	assert_done(draft_commit(&draft, port));
	draft_close(&draft);
	char expected[1024];
	assert_row(fixture, "zero", "books|0|0.00|0.0000000|1970-01-01 00:00:00||t");
	snprintf(expected, sizeof expected,
	    "%s|2147483647|99999999.99|99999999999.9999999|9999-12-31 23:59:59.999999|Zo\xc3\xab|t", wide);
	assert_row(fixture, "most", expected);
	assert_row(fixture, "least",
	    "x|-2147483648|-99999999.99|-99999999999.9999999|1970-01-01 00:00:00.000001|tab\there\\N\n|t");
	assert_row(fixture, "nulls", "x|-|-0.01|-|2024-01-15 10:00:00.123456|-|t");
	assert_row(fixture, "round", "x|-|10000.00|1.0000000|2000-01-01 00:00:00|-|t");
	assert_row(fixture, "small", "x|-|1.00|0.0000001|1999-12-31 23:59:59.999999|-|t");
}

/* Against PostgreSQL's own reading of the same number as text: every length, both signs. */
static void test_numerics(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 1);
	struct draft draft;
	struct buffer sql = {0};
	int64_t minor = 1, count = 0;

	draft_open(&draft, 1, none, epoch_of(1, 1), 1000);
	buffer_append_text(&sql, "SELECT count(*) FROM transactions t JOIN (VALUES ('', 0.0)");
	for (int digits = 1; digits <= 18; digits++, minor = minor * 10 + digits % 10) {
		for (int variant = 0; variant < 6; variant++) {
			static const int64_t less[] = {0, 1, 7};
			int64_t value = (minor - less[variant / 2]) * (variant % 2 ? -1 : 1);
			char key[24], number[DECIMAL_TEXT_MAX];
			snprintf(key, sizeof key, "%d-%d", digits, variant);
			decimal_print(value, 7, number);
			buffer_printf(&sql, ", ('%s', %s)", key, number);
			struct value row[] = {value_text(key), value_text("x"), value_null(), value_integer(0),
			    value_integer(value), value_integer(0), value_null()};
			draft_row(&draft, 0, count++, row, 7);
		}
	}
	buffer_append_text(&sql, ") v (id, n) ON t.transaction_id = v.id AND t.rate::text = v.n::numeric(18,7)::text");
	buffer_append(&sql, "", 1);
	assert_done(draft_commit(&draft, port));
	draft_close(&draft);
	assert_string_equal(fixture_value(fixture, (const char *)sql.data), "108");
	buffer_fini(&sql);
}

static struct bytes bytes_of(const void *data, size_t len)
{
	return (struct bytes){data, len};
}

static void test_letters(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 1);
	struct draft draft;
	uint8_t every[256];
	size_t big = 3 << 20;
	uint8_t *huge = memory_new(big);

	for (size_t i = 0; i < sizeof every; i++)
		every[i] = (uint8_t)i;
	memset(huge, 0xff, big);
	draft_open(&draft, 1, none, epoch_of(1, 1), 3);
	draft_letter(&draft, (struct letter){.partition = 3,
	                         .offset = INT64_C(5000000000),
	                         .key = bytes_of(every, 256),
	                         .payload = bytes_of(every, 256),
	                         .payload_raw = true,
	                         .reason = bytes_of("not_json", 8),
	                         .detail = bytes_of("byte 1: \xc3\xa9", 10)});
	draft_letter(&draft, (struct letter){.partition = 3,
	                         .offset = 1,
	                         .payload = bytes_of(huge, big),
	                         .reason = bytes_of("too_large", 9),
	                         .detail = bytes_of("", 0)});
	draft_letter(&draft, (struct letter){.partition = 0,
	                         .offset = 2,
	                         .key = bytes_of("", 0),
	                         .payload_raw = true,
	                         .reason = bytes_of("tombstone", 9)});
	assert_done(draft_commit(&draft, port));
	draft_close(&draft);
	assert_string_equal(
	    fixture_value(fixture, "SELECT concat_ws('|', topic, length(key), md5(payload) = md5(key), "
	                           "get_byte(payload, 255), payload_raw, reason, "
	                           "detail, sink, epoch) FROM dead_letters WHERE \"offset\" = 5000000000"),
	    "sales|256|t|255|t|not_json|byte 1: \xc3\xa9|postgres|1.1");
	assert_string_equal(fixture_value(fixture, "SELECT concat_ws('|', key IS NULL, length(payload), payload_raw, "
	                                           "detail = '') FROM dead_letters WHERE \"offset\" = 1"),
	    "t|3145728|f|t");
	assert_string_equal(fixture_value(fixture, "SELECT concat_ws('|', length(key), payload IS NULL, detail IS "
	                                           "NULL) FROM dead_letters WHERE \"offset\" = 2"),
	    "0|t|t");
	free(huge);

	/* The same letter again is an error, not a second one. */
	draft_open(&draft, 1, epoch_of(1, 1), epoch_of(1, 2), 4);
	draft_letter(&draft, (struct letter){.offset = 2, .reason = bytes_of("tombstone", 9)});
	assert_says(draft_commit(&draft, port), SINK_CONFIG, "dead letter");
	draft_close(&draft);
}

static void test_decisions(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 1);
	struct draft draft;

	draft_open(&draft, 1, none, epoch_of(1, 1), 3);
	draft_decision(&draft, 10, 7, VERDICT_CONFLICT);
	draft_decision(&draft, 2, INT64_C(5000000000), VERDICT_DUPLICATE);
	draft_decision(&draft, 2, 9, VERDICT_CONFLICT);
	assert_done(draft_commit(&draft, port));
	draft_close(&draft);
	assert_string_equal(
	    fixture_value(fixture, "SELECT string_agg(concat_ws('|', job, topic, verdict, epoch), ',' ORDER BY "
	                           "\"offset\") FROM sluice.decisions"),
	    "shop/totals|sales|conflicts|1.1,shop/totals|sales|conflicts|1.1,"
	    "shop/totals|sales|duplicates|1.1");
	fixture_run(fixture, "INSERT INTO sluice.decisions VALUES ('other/totals', 'sales', 0, 0, 'conflicts', '1.1')");
	fixture_run(fixture,
	    "INSERT INTO sluice.checkpoints VALUES ('shop/totals', 1, 10, '{}'), ('shop/totals', 1, 9, "
	    "'{\"0\": 4, \"10\": 77}'), ('other/totals', 3, 1, '{}')");
	struct sink_answer *answer = fixture_fence(port, 2);
	assert_done(answer);
	assert_int_equal(answer->decisions.len, 3);
	const struct decision *entries = answer->decisions.entries;
	assert_true(entries[0].partition == 2 && entries[0].offset == 9 && entries[0].verdict == VERDICT_CONFLICT);
	assert_true(
	    entries[1].partition == 2 && entries[1].offset == 5000000000 && entries[1].verdict == VERDICT_DUPLICATE);
	assert_true(entries[2].partition == 10 && entries[2].offset == 7);
	assert_int_equal(answer->checkpoints_len, 3);
	assert_true(epoch_equal(answer->checkpoints[0].epoch, epoch_of(1, 10)));
	assert_int_equal(answer->checkpoints[0].cut.len, 0);
	assert_true(epoch_equal(answer->checkpoints[1].epoch, epoch_of(1, 9)));
	assert_int_equal(cut_get(&answer->checkpoints[1].cut, 10, -1), 77);
	assert_true(epoch_equal(answer->checkpoints[2].epoch, none));
}

static void test_totals(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 1);
	const struct value day[] = {value_integer(19737), value_text("b\xc3\xbc\"cher\\ 'n' {x}, NULL")};
	const struct value other_day[] = {value_integer(2932896), value_text("NULL")};
	const struct value month[] = {value_integer(2024), value_integer(1)};
	int128 most = decimal_limit(38) - 1;
	struct draft draft;

	draft_open(&draft, 1, none, epoch_of(1, 1), 1);
	draft_group(&draft, 0, day, 2, 162753);
	draft_group(&draft, 1, month, 2, most);
	draft_group(&draft, 0, other_day, 2, -1);
	assert_done(draft_commit(&draft, port));
	draft_close(&draft);
	draft_open(&draft, 1, epoch_of(1, 1), epoch_of(1, 2), 2);
	draft_group(&draft, 0, day, 2, -(decimal_limit(15) - 1));
	draft_group(&draft, 1, month, 2, -most);
	assert_done(draft_commit(&draft, port));
	draft_close(&draft);
	assert_string_equal(
	    fixture_value(fixture, "SELECT string_agg(concat_ws('|', transaction_date, category, total_sales), ',' "
	                           "ORDER BY transaction_date) FROM sales_per_category"),
	    "2024-01-15|b\xc3\xbc\"cher\\ 'n' {x}, NULL|-9999999999999.99,9999-12-31|NULL|-0.01");
	assert_string_equal(
	    fixture_value(fixture, "SELECT concat_ws('|', year, month, total_sales) FROM sales_per_month"),
	    "2024|1|-999999999999999999999999999999999999.99");

	/* One unit more than the column holds: nothing is sent, and the epoch can be told from a committed one. */
	draft_open(&draft, 1, epoch_of(1, 2), epoch_of(1, 3), 3);
	draft_group(&draft, 0, day, 2, decimal_limit(15));
	assert_says(draft_commit(&draft, port), SINK_CONFIG,
	    "a total has more than the 15 digits of its column \"total_sales\"");
	draft_close(&draft);
	/* A key of the wrong shape is not sent either. */
	draft_open(&draft, 1, epoch_of(1, 2), epoch_of(1, 3), 3);
	draft_group(&draft, 1, day, 2, 1);
	struct sink_answer *answer = draft_commit(&draft, port);
	assert_says(answer, SINK_CONFIG, "sales_per_month");
	assert_int_equal(answer->error.code, RESULT_CORRUPT);
	draft_close(&draft);
	assert_string_equal(fixture_value(fixture, "SELECT attempt || '.' || epoch FROM sluice.frontier"), "1.2");
}

static void test_refused_rows(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 1);
	struct draft draft;

	fixture_run(fixture, "ALTER TABLE transactions ADD CONSTRAINT poor CHECK (total_amount <> 13)");
	assert_done(fixture_look(port, 1));
	draft_open(&draft, 1, none, epoch_of(1, 1), 3);
	draft_sale(&draft, 100, "zz", 100);
	draft_sale(&draft, 101, "mm", 1300);
	draft_sale(&draft, 102, "aa", 100);
	struct sink_answer *answer = draft_commit(&draft, port);
	assert_says(answer, SINK_CONFIG, "record sales/0/101 with key \"mm\"");
	assert_says(answer, SINK_CONFIG, "poor");
	draft_close(&draft);
	assert_string_equal(fixture_value(fixture, "SELECT count(*) FROM transactions"), "0");

	draft_open(&draft, 1, none, epoch_of(1, 1), 3);
	draft_sale(&draft, 100, "k1", 100);
	draft_sale(&draft, 101, "k2", 100);
	assert_done(draft_commit(&draft, port));
	draft_close(&draft);
	draft_open(&draft, 1, epoch_of(1, 1), epoch_of(1, 2), 6);
	draft_sale(&draft, 102, "k0", 100);
	draft_sale(&draft, 103, "k2", 100);
	draft_sale(&draft, 104, "k3", 100);
	answer = draft_commit(&draft, port);
	assert_says(answer, SINK_LATE, "record sales/0/103 with key \"k2\"");
	assert_says(answer, SINK_LATE, "(transaction_id)=(k2)");
	assert_int_equal(answer->error.code, RESULT_RETRY);
	draft_close(&draft);
	assert_string_equal(fixture_value(fixture, "SELECT count(*) FROM transactions"), "2");

	/* Too wide, a null that may not be, an integer of 33 bits, a frame that is none. */
	struct value row[] = {value_text("k4"), value_text("x"), value_integer(INT64_C(1) << 31), value_integer(1),
	    value_null(), value_integer(0), value_null()};
	draft_open(&draft, 1, epoch_of(1, 1), epoch_of(1, 2), 6);
	draft_row(&draft, 5, 9, row, 7);
	assert_says(draft_commit(&draft, port), SINK_CONFIG, "record sales/5/9: the value of \"product_quantity\"");
	draft_close(&draft);
	row[2] = value_null();
	row[3] = value_integer(10000000000);
	draft_open(&draft, 1, epoch_of(1, 1), epoch_of(1, 2), 6);
	draft_row(&draft, 5, 9, row, 7);
	assert_says(draft_commit(&draft, port), SINK_CONFIG, "record sales/5/9 with key \"k4\"");
	draft_close(&draft);
	row[3] = value_null();
	draft_open(&draft, 1, epoch_of(1, 1), epoch_of(1, 2), 6);
	draft_row(&draft, 5, 9, row, 7);
	assert_says(draft_commit(&draft, port), SINK_CONFIG, "total_amount");
	draft_close(&draft);
	draft_open(&draft, 1, epoch_of(1, 1), epoch_of(1, 2), 6);
	draft_row(&draft, 5, 9, row, 6);
	answer = draft_commit(&draft, port);
	assert_int_equal(answer->outcome, SINK_CONFIG);
	assert_int_equal(answer->error.code, RESULT_CORRUPT);
	draft_close(&draft);
	/* The link is as good as before. */
	draft_open(&draft, 1, epoch_of(1, 1), epoch_of(1, 2), 6);
	draft_sale(&draft, 105, "k5", 100);
	assert_done(draft_commit(&draft, port));
	draft_close(&draft);
}

static void test_touch(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 3);

	char *before = text_clone(fixture_value(fixture, "SELECT row(f.*)::text FROM sluice.frontier f"));
	sink_start(port, SINK_TOUCH, .attempt = 3, .predecessor = epoch_of(3, 1));
	assert_says(sink_await(port), SINK_MOVED, "0.0");
	sink_start(port, SINK_TOUCH, .attempt = 2, .predecessor = none);
	assert_says(sink_await(port), SINK_FENCED, "fence");
	assert_string_equal(fixture_value(fixture, "SELECT row(f.*)::text FROM sluice.frontier f"), before);
	free(before);
	sink_start(port, SINK_TOUCH, .attempt = 3, .predecessor = none);
	assert_done(sink_await(port));
	assert_string_equal(fixture_value(fixture, "SELECT concat_ws('|', fence, attempt, epoch, cut, committed_at > "
	                                           "now() - interval '10 s' AND committed_at <= now()) "
	                                           "FROM sluice.frontier"),
	    "3|0|0|{\"0\": 0}|t");
	struct sink_answer *answer = NULL;
	assert_false(port->ops->answer(port, &answer));
	/* A failover has lost the start, and nothing else. */
	fixture_run(fixture, "UPDATE sluice.frontier SET cut = NULL");
	sink_start(port, SINK_TOUCH, .attempt = 3, .predecessor = none);
	assert_says(sink_await(port), SINK_MOVED, "0.0");
}

/* The frontier changes for ever: its row must not grow with it. */
static void test_frontier_stays_small(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 1);
	struct draft draft;

	for (uint64_t n = 1; n <= 300; n++) {
		draft_open(&draft, 1, n == 1 ? none : epoch_of(1, n - 1), epoch_of(1, n), (int64_t)n);
		draft.transaction.counters.n[COUNTER_CONSUMED] = 1;
		assert_done(draft_commit(&draft, port));
		draft_close(&draft);
	}
	assert_string_equal(fixture_value(fixture, "SELECT pg_relation_size('sluice.frontier') <= 8192"), "t");
	assert_string_equal(fixture_value(fixture, "SELECT counters ->> 'consumed' FROM sluice.frontier"), "300");
}

enum { PLACE_GROUPS = 20 };

/* Epochs n + 1 to n + epochs, each of which changes PLACE_GROUPS totals to its number. */
static uint64_t change_totals(struct sink_port *port, uint64_t n, uint64_t epochs)
{
	/* Where a table was altered meanwhile, the first epoch is refused once, and committed after a look. */
	for (uint64_t end = n + epochs; n < end; n++) {
		struct draft draft;
		draft_open(&draft, 1, n ? epoch_of(1, n) : none, epoch_of(1, n + 1), (int64_t)n + 1);
		for (int i = 0; i < PLACE_GROUPS; i++) {
			char category[32];
			snprintf(category, sizeof category, "category %d", i);
			const struct value key[] = {value_integer(19737), value_text(category)};
			draft_group(&draft, 0, key, 2, (int64_t)n + 1);
		}
		struct sink_answer *answer = draft_commit(&draft, port);
		if (answer->outcome == SINK_UNKNOWN && strstr(answer->error.text, "SL003")) {
			assert_done(fixture_look(port, 1));
			buffer_fini(&draft.rows.body);
			draft.rows = (struct rows_writer){0};
			rows_begin(&draft.rows);
			answer = draft_commit(&draft, port);
		}
		assert_done(answer);
		draft_close(&draft);
	}
	return n;
}

static void assert_totals(struct fixture *fixture, uint64_t n)
{
	char wanted[64];
	snprintf(wanted, sizeof wanted, "%d|%" PRIu64 ".%02" PRIu64, PLACE_GROUPS, PLACE_GROUPS * n / 100,
	    PLACE_GROUPS * n % 100);
	assert_string_equal(
	    fixture_value(fixture, "SELECT count(*) || '|' || sum(total_sales) FROM sales_per_category"), wanted);
}

/* Blocks of the totals and of their index that were looked at so far, by all sessions that have told. */
static long blocks_seen(struct fixture *fixture)
{
	return strtol(fixture_value(fixture, "SELECT heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read "
	                                     "FROM pg_statio_user_tables WHERE relname = 'sales_per_category'"),
	    NULL, 10);
}

/* Whatever others do to the rows: places that are wrong cost nothing but the look. */
static void test_wrong_places(void **state)
{
	static const char *const harm[] = {
	    "VACUUM FULL sales_per_category",
	    "UPDATE sales_per_category SET total_sales = total_sales; UPDATE sluice.frontier SET job = job",
	    "DELETE FROM sales_per_category WHERE category LIKE '%1%'",
	    /* Places of other rows: the table is written anew in another order. */
	    ("CREATE TEMP TABLE kept AS SELECT * FROM sales_per_category; TRUNCATE sales_per_category; "
	     "INSERT INTO sales_per_category SELECT * FROM kept ORDER BY category DESC; DROP TABLE kept"),
	    "VACUUM FULL sluice.frontier",
	};
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 1);
	uint64_t n = change_totals(port, 0, 3);

	for (size_t i = 0; i < sizeof harm / sizeof harm[0]; i++) {
		for (uint64_t before = 1; before <= 5; before++) { /* by place or not: some of these are */
			fixture_run(fixture, harm[i]);
			n = change_totals(port, n, before);
			assert_totals(fixture, n);
		}
	}
	/* A transaction that fails behind the totals leaves places of rows that never were. */
	struct draft draft;
	draft_open(&draft, 1, epoch_of(1, n - 1), epoch_of(1, n + 1), (int64_t)n + 1);
	assert_says(draft_commit(&draft, port), SINK_MOVED, "");
	draft_close(&draft);
	n = change_totals(port, n, 3);
	assert_totals(fixture, n);
}

/* Without somebody's snapshot the space of old versions is used again; with one, they are not walked over, and rows that are
 * changed together do not all leave their page together. */
static void test_hot_rows(void **state)
{
	enum { EPOCHS = 600 };
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 1);

	fixture_run(fixture, "ALTER TABLE sales_per_category SET (autovacuum_enabled = off)");
	uint64_t n = change_totals(port, 0, EPOCHS);
	assert_totals(fixture, n);
	assert_string_equal(
	    fixture_value(fixture, "SELECT CASE WHEN pg_relation_size('sales_per_category') <= 4 * 8192 THEN 'small' "
	                           "ELSE pg_relation_size('sales_per_category')::text END"),
	    "small");

	PGconn *reader = PQconnectdb((const char *)fixture->url.data);
	PQclear(PQexec(reader, "BEGIN ISOLATION LEVEL REPEATABLE READ"));
	PQclear(PQexec(reader, "SELECT count(*) FROM sales_per_category"));
	long before = blocks_seen(fixture);
	n = change_totals(port, n, EPOCHS);
	assert_totals(fixture, n);
	port->ops->close(port); /* its statistics are told now */
	fixture->port = NULL;
	long seen = blocks_seen(fixture) - before, versions = (long)EPOCHS * PLACE_GROUPS;
	PQfinish(reader);
	long moved = strtol(fixture_value(fixture, "SELECT n_tup_del FROM pg_stat_user_tables WHERE relname = "
	                                           "'sales_per_category'"),
	    NULL, 10);
	print_message("%ld rows were brought apart\n", moved);
	assert_true(moved > EPOCHS / 10 && moved < EPOCHS);
	/* Through the index alone it would be more than 40 blocks a version. */
	print_message("%ld blocks for %ld versions\n", seen, versions);
	assert_true(seen > 0 && seen < 15 * versions);
}

/* Rows that were to be brought to another page are no more where they were. */
static void test_apart_from_wrong_places(void **state)
{
	struct fixture *fixture = *state;
	struct sink_port *port = fixture->port = fixture_writer(fixture, 1);
	PGconn *reader = PQconnectdb((const char *)fixture->url.data);

	PQclear(PQexec(reader, "BEGIN ISOLATION LEVEL REPEATABLE READ"));
	PQclear(PQexec(reader, "SELECT count(*) FROM sales_per_category"));
	uint64_t n = change_totals(port, 0, 200);
	for (int i = 0; i < 60; i++) {
		fixture_run(fixture, i % 2 ? "UPDATE sales_per_category SET total_sales = total_sales"
		                           : "DELETE FROM sales_per_category WHERE category LIKE '%1%'");
		n = change_totals(port, n, 1);
		assert_totals(fixture, n);
	}
	PQfinish(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_start, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_fence_only_rises, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_predecessor, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_values, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_numerics, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_letters, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_decisions, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_totals, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_refused_rows, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_touch, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_frontier_stays_small, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_wrong_places, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_hot_rows, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_apart_from_wrong_places, fixture_setup, fixture_teardown),
	};
	return cmocka_run_group_tests_name("sink_postgres", tests, NULL, NULL);
}
