/* Protects: every record gets the verdict that the model gives it, and the same one in every replay. */
#include "aggregator_harness.h"

#include "common/base/timestamp.h"
#include "proto/letter.h"
#include "services/aggregator/dedup.h"

/* One row, as ingest would make it. */
struct sale {
	uint32_t partition;
	int64_t offset;
	const char *id;
	int64_t amount;
	const char *category; /* NULL: toys */
	int64_t day; /* 0: DAY_ONE */
};

static const struct topology one = {1, 1, 1, 1, .plan = &job_plans[JOB_TOTALS]};

static struct value text_of(const char *text)
{
	return (struct value){.kind = VALUE_TEXT, .text = {(const uint8_t *)text, strlen(text)}};
}

static void put_sale(struct rows_writer *writer, const struct sale *sale)
{
	struct buffer values = {0};
	const struct value columns[HARNESS_FIELDS] = {
	    text_of(sale->id),
	    text_of(sale->category ? sale->category : "toys"),
	    {.kind = VALUE_NULL},
	    {.kind = VALUE_INTEGER, .integer = sale->amount},
	    {.kind = VALUE_INTEGER, .integer = (sale->day ? sale->day : DAY_ONE) * DAY_US},
	};
	row_encode_values(&values, columns, HARNESS_FIELDS);
	rows_put(writer, sale->partition, sale->offset, 1000 + sale->offset, key_hash(buffer_bytes(&values)),
	    HARNESS_FIELDS, buffer_bytes(&values));
	buffer_fini(&values);
}

static enum result send_rows(struct harness *harness, uint32_t ingest, const struct sale *sales, size_t len)
{
	struct rows_writer writer = {0};
	rows_begin(&writer);
	for (size_t i = 0; i < len; i++)
		put_sale(&writer, &sales[i]);
	rows_end(&writer);
	const struct frame_rows body = {.rows = buffer_bytes(&writer.body)};
	enum result result =
	    harness_frame(harness, channel_from(harness, ROLE_INGEST, ingest), FRAME_ROWS, &body, false);
	buffer_fini(&writer.body);
	return result;
}
#define SALE(...)                                                                                                      \
	{                                                                                                              \
		__VA_ARGS__, NULL, 0                                                                                   \
	}
#define SALES(...) (const struct sale[]){__VA_ARGS__}, sizeof((const struct sale[]){__VA_ARGS__}) / sizeof(struct sale)

static enum result send_barrier(struct harness *harness, uint32_t ingest, uint64_t n)
{
	struct cut_entry position = {ingest, (int64_t)(100 * n)};
	struct share share = {actor_id(ROLE_INGEST, ingest), {{10 + ingest, 0, 0, 0, 1, 0}}};
	const struct frame_barrier body = {
	    .epoch = {ATTEMPT, n}, .base = {3, 1}, .cut = {&position, 1}, .shares = {&share, 1}};
	return harness_frame(harness, channel_from(harness, ROLE_INGEST, ingest), FRAME_BARRIER, &body, false);
}

static enum result hand_back(struct harness *harness, struct decision *decisions, uint32_t len, bool last)
{
	const struct frame_decisions body = {.decisions = {decisions, len}, .last = last};
	return harness_frame(harness, 0, FRAME_DECISIONS, &body, true);
}

static enum result start(struct harness *harness)
{
	return harness_frame(harness, 0, FRAME_START, &(struct frame_start){.silent = true}, true);
}

static void expect_rows(struct harness *harness, const struct frame *frame, const struct sale *sales, size_t len)
{
	struct rows_reader reader;
	struct row row;
	bool more;
	assert_non_null(frame);
	assert_int_equal(rows_open(&reader, frame->body.rows.rows, HARNESS_FIELDS, &harness->error), RESULT_OK);
	for (size_t i = 0; i < len; i++) {
		assert_int_equal(rows_next(&reader, &row, &more, &harness->error), RESULT_OK);
		assert_true(more);
		assert_int_equal(row.partition, sales[i].partition);
		assert_int_equal(row.offset, sales[i].offset);
		assert_int_equal(row.timestamp_ms, 1000 + sales[i].offset);
		assert_memory_equal(row.values[0].text.data, sales[i].id, strlen(sales[i].id));
		assert_int_equal(row.values[3].integer, sales[i].amount);
	}
	assert_int_equal(rows_next(&reader, &row, &more, &harness->error), RESULT_OK);
	assert_false(more);
}

static void expect_text(struct bytes text, const char *expected)
{
	assert_int_equal(text.len, strlen(expected));
	assert_memory_equal(text.data, expected, text.len);
}

static void expect_share(const struct frame *barrier, uint64_t accepted, uint64_t duplicates, uint64_t conflicts)
{
	const struct shares *shares = &barrier->body.barrier.shares;
	for (uint32_t i = 0; i < shares->len; i++)
		if (actor_role(shares->entries[i].actor) == ROLE_DEDUP) {
			const struct counters expected = {{[COUNTER_ACCEPTED] = accepted,
			    [COUNTER_DUPLICATES] = duplicates,
			    [COUNTER_CONFLICTS] = conflicts}};
			assert_memory_equal(&shares->entries[i].counters, &expected, sizeof expected);
			return;
		}
	fail_msg("no share of a dedup actor");
}

/* Ends the epoch and takes all that was sent to the writer and the first rollup; the barrier to the writer. */
static const struct frame *finish(struct harness *harness, uint64_t n)
{
	for (uint32_t i = 0; i < harness->topology.ingest; i++)
		if (send_barrier(harness, i, n) != RESULT_OK)
			fail_msg("%s", harness->error.text);
	harness_take(harness);
	const struct frame *barrier = sent(harness, channel_to(harness, ROLE_WRITER, 0), FRAME_BARRIER, 0);
	assert_non_null(barrier);
	return barrier;
}

static void test_new_rows_pass_unchanged(void **state)
{
	(void)state;
	struct harness harness;
	harness_init(&harness, dedup_new, ROLE_DEDUP, 0, one);
	assert_int_equal(send_rows(&harness, 0, SALES(SALE(0, 1, "a", 100), SALE(1, 1, "b", 200))), RESULT_OK);
	assert_int_equal(harness.outbox.len, 1);
	struct rows_writer writer = {0};
	rows_begin(&writer);
	put_sale(&writer, &(struct sale)SALE(0, 1, "a", 100));
	put_sale(&writer, &(struct sale)SALE(1, 1, "b", 200));
	rows_end(&writer);
	harness_take(&harness);
	const struct frame *rows = sent(&harness, channel_to(&harness, ROLE_WRITER, 0), FRAME_ROWS, 0);
	assert_non_null(rows);
	assert_int_equal(rows->encoded_body.len, writer.body.len);
	assert_memory_equal(rows->encoded_body.data, writer.body.data, writer.body.len);
	buffer_fini(&writer.body);
	expect_share(finish(&harness, 1), 2, 0, 0);
	harness_fini(&harness);
}

/* Within a partition the log says who was first: nothing to decide. */
static void test_repeats_within_a_partition(void **state)
{
	(void)state;
	struct harness harness;
	harness_init(&harness, dedup_new, ROLE_DEDUP, 0, one);
	uint32_t writer = channel_to(&harness, ROLE_WRITER, 0);
	assert_int_equal(
	    send_rows(&harness, 0,
	        SALES(SALE(2, 1, "a", 100), SALE(2, 2, "a", 100), SALE(2, 3, "a", 101), SALE(2, 4, "a", 100))),
	    RESULT_OK);
	const struct frame *barrier = finish(&harness, 1);
	expect_share(barrier, 1, 2, 1);
	assert_null(sent(&harness, writer, FRAME_DECISIONS, 0));
	expect_rows(&harness, sent(&harness, writer, FRAME_ROWS, 0), SALES(SALE(2, 1, "a", 100)));
	const struct frame *letters = sent(&harness, writer, FRAME_DEAD_LETTERS, 0);
	assert_non_null(letters);
	assert_int_equal(letters->body.dead_letters.letters.len, 1);
	const struct letter *letter = &letters->body.dead_letters.letters.entries[0];
	assert_int_equal(letter->partition, 2);
	assert_int_equal(letter->offset, 3);
	assert_false(letter->payload_raw);
	expect_text(letter->key, "a");
	expect_text(letter->reason, "conflict");
	expect_text(
	    letter->detail, "a record of partition 2 with this key was accepted before, and its content differs");
	expect_text(letter->payload, "{\"id\": \"a\", \"category\": \"toys\", \"amount\": 1.01, "
	                             "\"at\": \"2024-01-15T00:00:00.000000\"}");
	/* Nothing accepted: nothing sent but the barriers. */
	assert_int_equal(send_rows(&harness, 0, SALES(SALE(2, 5, "a", 100))), RESULT_OK);
	assert_int_equal(harness.outbox.len, 0);
	expect_share(finish(&harness, 2), 0, 1, 0);
	assert_int_equal(harness.frames_len, 2);
	harness_fini(&harness);
}

/* Each bit of the content hash alone makes a conflict, and nothing else does: not Kafka's time, not the offset. */
static void test_every_bit_of_the_hash(void **state)
{
	(void)state;
	struct harness harness;
	struct rows_writer writer = {0};
	struct buffer values = {0};
	harness_init(&harness, dedup_new, ROLE_DEDUP, 0, one);
	const struct value columns[HARNESS_FIELDS] = {text_of("a"), text_of("toys"), {.kind = VALUE_NULL},
	    {.kind = VALUE_INTEGER, .integer = 100}, {.kind = VALUE_INTEGER, .integer = DAY_ONE * DAY_US}};
	row_encode_values(&values, columns, HARNESS_FIELDS);
	rows_begin(&writer);
	const uint64_t hash = UINT64_C(0x123456789abcdef0);
	for (uint32_t i = 0; i < 2 + 64; i++)
		rows_put(&writer, 2, i, 1000 + 7 * i, i < 2 ? hash : hash ^ UINT64_C(1) << (i - 2), HARNESS_FIELDS,
		    buffer_bytes(&values));
	rows_end(&writer);
	const struct frame_rows body = {.rows = buffer_bytes(&writer.body)};
	assert_int_equal(
	    harness_frame(&harness, channel_from(&harness, ROLE_INGEST, 0), FRAME_ROWS, &body, false), RESULT_OK);
	expect_share(finish(&harness, 1), 1, 1, 64);
	buffer_fini(&writer.body);
	buffer_fini(&values);
	harness_fini(&harness);
}

/* Decisions in frames of 4,000: exactly so many, and one more. */
static void test_decisions_by_frame(void **state)
{
	static const struct {
		uint32_t decisions;
		size_t frames;
	} cases[] = {{0, 0}, {1, 1}, {3999, 1}, {4000, 1}, {4001, 2}, {8000, 2}, {8001, 3}};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct harness harness;
		harness_init(&harness, dedup_new, ROLE_DEDUP, 0, one);
		for (uint32_t first = 0; first <= cases[i].decisions; first += 1000) {
			struct rows_writer writer = {0};
			rows_begin(&writer);
			for (uint32_t n = first; n < first + 1000 && n <= cases[i].decisions; n++)
				put_sale(&writer, &(struct sale){n > 0, n, "a", 100 + n % 2, NULL, 0});
			rows_end(&writer);
			const struct frame_rows body = {.rows = buffer_bytes(&writer.body)};
			assert_int_equal(
			    harness_frame(&harness, channel_from(&harness, ROLE_INGEST, 0), FRAME_ROWS, &body, false),
			    RESULT_OK);
			outbox_clear(&harness.outbox); /* rows and letters */
			buffer_fini(&writer.body);
		}
		(void)finish(&harness, 1);
		uint32_t seen = 0;
		const struct frame *frame;
		for (size_t n = 0; (frame = sent(&harness, channel_to(&harness, ROLE_WRITER, 0), FRAME_DECISIONS, n));
		     n++) {
			assert_true(n < cases[i].frames);
			for (uint32_t d = 0; d < frame->body.decisions.decisions.len; d++)
				assert_int_equal(frame->body.decisions.decisions.entries[d].offset, ++seen);
		}
		assert_int_equal(seen, cases[i].decisions);
		harness_fini(&harness);
	}
}

/* Between partitions it is chance: the verdict is recorded, duplicate and conflict alike. */
static void test_repeats_across_partitions(void **state)
{
	(void)state;
	struct harness harness;
	harness_init(&harness, dedup_new, ROLE_DEDUP, 0, one);
	uint32_t writer = channel_to(&harness, ROLE_WRITER, 0);
	assert_int_equal(
	    send_rows(&harness, 0,
	        SALES(SALE(0, 1, "a", 100), SALE(1, 5, "a", 100), SALE(3, 9, "a", 7), SALE(0, 2, "a", 100))),
	    RESULT_OK);
	expect_share(finish(&harness, 1), 1, 2, 1);
	const struct frame *decisions = sent(&harness, writer, FRAME_DECISIONS, 0);
	assert_non_null(decisions);
	assert_null(sent(&harness, writer, FRAME_DECISIONS, 1));
	const struct decisions *list = &decisions->body.decisions.decisions;
	assert_int_equal(list->len, 2);
	assert_int_equal(list->entries[0].partition, 1);
	assert_int_equal(list->entries[0].offset, 5);
	assert_int_equal(list->entries[0].verdict, VERDICT_DUPLICATE);
	assert_int_equal(list->entries[1].partition, 3);
	assert_int_equal(list->entries[1].offset, 9);
	assert_int_equal(list->entries[1].verdict, VERDICT_CONFLICT);
	/* Decisions stand before the barrier of their epoch. */
	assert_true(decisions < sent(&harness, writer, FRAME_BARRIER, 0));
	/* The entry is still the first one's: a repeat never changes it. Decisions are sent once. */
	assert_int_equal(send_rows(&harness, 0, SALES(SALE(3, 10, "a", 7), SALE(0, 3, "a", 7))), RESULT_OK);
	expect_share(finish(&harness, 2), 0, 0, 2);
	assert_int_equal(sent(&harness, writer, FRAME_DECISIONS, 0)->body.decisions.decisions.len, 1);
	assert_int_equal(sent(&harness, writer, FRAME_DECISIONS, 0)->body.decisions.decisions.entries[0].partition, 3);
	finish(&harness, 3);
	assert_null(sent(&harness, writer, FRAME_DECISIONS, 0));
	harness_fini(&harness);
}

/* The record that won the first time comes second in the replay: the told one steps back before its key is known. */
static void test_told_before_the_key_is_known(void **state)
{
	(void)state;
	struct harness harness;
	harness_init(&harness, dedup_new, ROLE_DEDUP, 0, one);
	uint32_t writer = channel_to(&harness, ROLE_WRITER, 0);
	struct decision first = {1, 5, VERDICT_CONFLICT}, second = {1, 4, VERDICT_DUPLICATE};
	assert_int_equal(hand_back(&harness, &first, 1, false), RESULT_OK);
	assert_int_equal(hand_back(&harness, &second, 1, true), RESULT_OK);
	assert_int_equal(start(&harness), RESULT_OK);
	assert_int_equal(
	    send_rows(&harness, 0,
	        SALES(SALE(1, 4, "a", 100), SALE(1, 5, "a", 7), SALE(0, 1, "a", 100), SALE(1, 6, "a", 100))),
	    RESULT_OK);
	expect_share(finish(&harness, 1), 1, 2, 1);
	expect_rows(&harness, sent(&harness, writer, FRAME_ROWS, 0), SALES(SALE(0, 1, "a", 100)));
	const struct decisions *list = &sent(&harness, writer, FRAME_DECISIONS, 0)->body.decisions.decisions;
	assert_int_equal(list->len, 3); /* the told ones again, and a new one */
	assert_int_equal(list->entries[0].offset, 4);
	assert_int_equal(list->entries[0].verdict, VERDICT_DUPLICATE);
	assert_int_equal(list->entries[1].offset, 5);
	assert_int_equal(list->entries[1].verdict, VERDICT_CONFLICT);
	assert_int_equal(list->entries[2].offset, 6);
	assert_int_equal(list->entries[2].verdict, VERDICT_DUPLICATE);
	const struct letters *letters = &sent(&harness, writer, FRAME_DEAD_LETTERS, 0)->body.dead_letters.letters;
	assert_int_equal(letters->len, 1);
	assert_int_equal(letters->entries[0].offset, 5);
	expect_text(letters->entries[0].detail,
	    "a record of another partition with this key was accepted before, and its content differs");
	harness_fini(&harness);
}

/* What was said counts, not what the contents look like now; also in the winner's own partition. */
static void test_told_is_obeyed_unconditionally(void **state)
{
	(void)state;
	struct harness harness;
	harness_init(&harness, dedup_new, ROLE_DEDUP, 0, one);
	struct decision told[] = {{0, 2, VERDICT_DUPLICATE}, {0, 3, VERDICT_CONFLICT}};
	assert_int_equal(hand_back(&harness, told, 2, true), RESULT_OK);
	assert_int_equal(start(&harness), RESULT_OK);
	assert_int_equal(send_rows(&harness, 0,
	                     SALES(SALE(0, 1, "a", 1), SALE(0, 2, "a", 2), SALE(0, 3, "a", 1), SALE(0, 4, "b", 1))),
	    RESULT_OK);
	expect_share(finish(&harness, 1), 2, 1, 1);
	assert_int_equal(
	    sent(&harness, channel_to(&harness, ROLE_WRITER, 0), FRAME_DECISIONS, 0)->body.decisions.decisions.len, 2);
	harness_fini(&harness);
}

static void test_decisions_after_start_are_refused(void **state)
{
	(void)state;
	struct harness harness;
	harness_init(&harness, dedup_new, ROLE_DEDUP, 0, one);
	struct decision twice[] = {{0, 2, VERDICT_DUPLICATE}, {0, 2, VERDICT_CONFLICT}};
	assert_int_equal(hand_back(&harness, twice, 2, true), RESULT_OK);
	assert_int_equal(start(&harness), RESULT_CORRUPT);
	assert_int_equal(hand_back(&harness, twice, 1, true), RESULT_CORRUPT);
	const struct frame_deploy deploy = {.partitions = 3};
	assert_int_equal(harness_frame(&harness, 0, FRAME_DEPLOY, &deploy, true), RESULT_OK);
	harness_fini(&harness);
}

static void test_mixed_frame_is_repacked_in_order(void **state)
{
	(void)state;
	struct harness harness;
	harness_init(&harness, dedup_new, ROLE_DEDUP, 0, one);
	uint32_t writer = channel_to(&harness, ROLE_WRITER, 0);
	assert_int_equal(send_rows(&harness, 0,
	                     SALES(SALE(0, 1, "a", 1), SALE(0, 2, "a", 1), SALE(1, 1, "b", 2), SALE(1, 2, "c", 3),
	                         SALE(0, 3, "b", 2), SALE(0, 4, "d", 4))),
	    RESULT_OK);
	harness_take(&harness);
	assert_int_equal(harness.frames_len, 1);
	expect_rows(&harness, sent(&harness, writer, FRAME_ROWS, 0),
	    SALES(SALE(0, 1, "a", 1), SALE(1, 1, "b", 2), SALE(1, 2, "c", 3), SALE(0, 4, "d", 4)));
	/* The next frame begins afresh. */
	assert_int_equal(send_rows(&harness, 0, SALES(SALE(0, 5, "e", 5), SALE(0, 6, "e", 6))), RESULT_OK);
	harness_take(&harness);
	expect_rows(&harness, sent(&harness, writer, FRAME_ROWS, 0), SALES(SALE(0, 5, "e", 5)));
	assert_int_equal(sent(&harness, writer, FRAME_DEAD_LETTERS, 0)->body.dead_letters.letters.len, 1);
	assert_int_equal(send_rows(&harness, 0, NULL, 0), RESULT_OK); /* a frame without rows */
	assert_int_equal(harness.outbox.len, 0);
	harness_fini(&harness);
}

static void test_letters_pass_unchanged(void **state)
{
	(void)state;
	struct harness harness;
	harness_init(&harness, dedup_new, ROLE_DEDUP, 0, one);
	struct letter letter = {.partition = 4,
	    .offset = 8,
	    .payload = {(const uint8_t *)"\0{", 2},
	    .payload_raw = true,
	    .reason = {(const uint8_t *)"invalid_json", 12},
	    .detail = {(const uint8_t *)"", 0}};
	const struct frame_dead_letters body = {.letters = {&letter, 1}};
	struct buffer expected = {0};
	frame_encode_body(&expected, FRAME_DEAD_LETTERS, &body);
	assert_int_equal(
	    harness_frame(&harness, channel_from(&harness, ROLE_INGEST, 0), FRAME_DEAD_LETTERS, &body, false),
	    RESULT_OK);
	harness_take(&harness);
	const struct frame *passed = sent(&harness, channel_to(&harness, ROLE_WRITER, 0), FRAME_DEAD_LETTERS, 0);
	assert_non_null(passed);
	assert_int_equal(passed->encoded_body.len, expected.len);
	assert_memory_equal(passed->encoded_body.data, expected.data, expected.len);
	buffer_fini(&expected);
	harness_fini(&harness);
}

/* A channel that delivered its barrier waits; offsets and shares are united, this actor's own is added once. */
static void test_alignment(void **state)
{
	(void)state;
	const struct topology topology = {2, 1, 2, 1, .plan = &job_plans[JOB_TOTALS]};
	struct harness harness;
	harness_init(&harness, dedup_new, ROLE_DEDUP, 0, topology);
	uint32_t in[2] = {channel_from(&harness, ROLE_INGEST, 0), channel_from(&harness, ROLE_INGEST, 1)};
	const struct actor_ops *ops = harness.actor->ops;
	assert_false(ops->accepts(harness.actor, in[0])); /* START may reach an ingest first */
	assert_int_equal(start(&harness), RESULT_OK);
	assert_true(ops->accepts(harness.actor, in[0]) && ops->accepts(harness.actor, in[1]));
	assert_int_equal(send_barrier(&harness, 1, 1), RESULT_OK);
	assert_int_equal(harness.outbox.len, 0);
	assert_true(ops->accepts(harness.actor, in[0]));
	assert_false(ops->accepts(harness.actor, in[1]));
	assert_int_equal(send_rows(&harness, 0, SALES(SALE(0, 1, "a", 100))), RESULT_OK);
	assert_int_equal(send_barrier(&harness, 0, 1), RESULT_OK);
	assert_true(ops->accepts(harness.actor, in[0]) && ops->accepts(harness.actor, in[1]));
	harness_take(&harness);
	const uint32_t out[3] = {channel_to(&harness, ROLE_ROLLUP, 0), channel_to(&harness, ROLE_ROLLUP, 1),
	    channel_to(&harness, ROLE_WRITER, 0)};
	for (int i = 0; i < 3; i++) {
		const struct frame *barrier = sent(&harness, out[i], FRAME_BARRIER, 0);
		assert_non_null(barrier);
		assert_null(sent(&harness, out[i], FRAME_BARRIER, 1));
		const struct frame_barrier *body = &barrier->body.barrier;
		assert_int_equal(body->epoch.attempt, ATTEMPT);
		assert_int_equal(body->epoch.n, 1);
		assert_int_equal(body->base.attempt, 3);
		assert_int_equal(body->cut.len, 2);
		assert_int_equal(cut_get(&body->cut, 0, -1), 100);
		assert_int_equal(cut_get(&body->cut, 1, -1), 100);
		assert_int_equal(body->shares.len, 3);
		expect_share(barrier, 1, 0, 0);
	}
	expect_share(finish(&harness, 2), 0, 0, 0); /* the counters are an epoch's */
	assert_int_equal(harness.frames_len, 3);
	harness_fini(&harness);
}

static void test_bad_barriers(void **state)
{
	(void)state;
	const struct topology topology = {2, 1, 1, 1, .plan = &job_plans[JOB_TOTALS]};
	struct harness harness;
	harness_init(&harness, dedup_new, ROLE_DEDUP, 0, topology);
	const struct frame_barrier stale = {.epoch = {ATTEMPT - 1, 1}};
	assert_int_equal(harness_frame(&harness, channel_from(&harness, ROLE_INGEST, 0), FRAME_BARRIER, &stale, false),
	    RESULT_CORRUPT);
	assert_int_equal(send_barrier(&harness, 0, 1), RESULT_OK);
	assert_int_equal(send_barrier(&harness, 1, 2), RESULT_CORRUPT);
	harness_fini(&harness);
}

/* The groups of an epoch, each once, to the rollup actor that owns it, before its barrier. */
static void test_deltas_go_to_their_owners(void **state)
{
	(void)state;
	const struct topology topology = {1, 1, 3, 1, .plan = &job_plans[JOB_TOTALS]};
	struct harness harness;
	char category[12];
	harness_init(&harness, dedup_new, ROLE_DEDUP, 0, topology);
	for (int i = 0; i < 40; i++) {
		char id[12];
		(void)snprintf(id, sizeof id, "%d", i);
		(void)snprintf(category, sizeof category, "c%d", i % 10);
		assert_int_equal(
		    send_rows(&harness, 0, SALES({0, i, id, i % 2 ? -100 : 1000, category, DAY_ONE + i / 20})),
		    RESULT_OK);
	}
	finish(&harness, 1);
	uint32_t groups = 0, channels = 0;
	int128 sums[4] = {0};
	for (uint32_t owner = 0; owner < 3; owner++) {
		const struct frame *frame = sent(&harness, channel_to(&harness, ROLE_ROLLUP, owner), FRAME_DELTAS, 0);
		assert_true(frame < sent(&harness, channel_to(&harness, ROLE_ROLLUP, owner), FRAME_BARRIER, 0));
		if (frame == NULL)
			continue;
		channels++;
		for (uint32_t i = 0; i < frame->body.deltas.groups.len; i++, groups++) {
			const struct group *group = &frame->body.deltas.groups.entries[i];
			assert_int_equal(rollup_owner(&harness, group->key), owner);
			sums[group->rollup] += measure_of(group, group->rollup == UNITS ? 1 : 0);
		}
	}
	assert_true(channels > 1);
	assert_int_equal(groups, 2 + 20 + 1 + 10);
	for (int i = 0; i < 4; i++)
		assert_true(sums[i] == 20 * 900);
	finish(&harness, 2); /* the next epoch adds nothing */
	assert_int_equal(harness.frames_len, 4);
	harness_fini(&harness);
}

static void test_deltas_of_one_group(void **state)
{
	(void)state;
	struct harness harness;
	harness_init(&harness, dedup_new, ROLE_DEDUP, 0, one);
	assert_int_equal(
	    send_rows(&harness, 0, SALES(SALE(0, 1, "a", 100), SALE(0, 2, "b", -30), SALE(0, 3, "a", 100))), RESULT_OK);
	finish(&harness, 1);
	const struct groups *groups =
	    &sent(&harness, channel_to(&harness, ROLE_ROLLUP, 0), FRAME_DELTAS, 0)->body.deltas.groups;
	const struct bytes keys[4] = {
	    [PER_DAY] = key_of(&harness.arena, (struct column[]){{NULL, DAY_ONE}}, 1),
	    [PER_CATEGORY] = key_of(&harness.arena, (struct column[]){{NULL, DAY_ONE}, {"toys", 0}}, 2),
	    [PER_MONTH] = key_of(&harness.arena, (struct column[]){{NULL, 2024}, {NULL, 1}}, 2),
	    [UNITS] = key_of(&harness.arena, (struct column[]){{"toys", 0}}, 1),
	};
	assert_int_equal(groups->len, 4);
	for (uint32_t i = 0; i < 4; i++) {
		const struct group *group = &groups->entries[i];
		assert_int_equal(group->rollup, i);
		assert_true(bytes_equal(group->key, keys[i]));
		assert_true(measure_of(group, i == UNITS ? 1 : 0) == 70);
	}
	assert_true(measure_of(&groups->entries[UNITS], 0) == 0); /* null counts as nothing */
	harness_fini(&harness);
}

static void test_large_epochs_are_split(void **state)
{
	(void)state;
	struct harness harness;
	uint32_t decisions = 0, groups = 0;
	harness_init(&harness, dedup_new, ROLE_DEDUP, 0, one);
	for (int64_t i = 0; i < 5000; i++) {
		char id[12];
		(void)snprintf(id, sizeof id, "%d", (int)i);
		assert_int_equal(
		    send_rows(&harness, 0, SALES({0, i, id, 1, id, DAY_ONE}, {1, i, id, 1, id, DAY_ONE})), RESULT_OK);
		outbox_clear(&harness.outbox);
	}
	finish(&harness, 1);
	for (size_t i = 0; i < harness.frames_len; i++) {
		const struct frame *frame = &harness.frames[i];
		assert_true(frame->encoded_body.len <= FRAME_BODY_TARGET);
		if (frame->header.kind == FRAME_DECISIONS)
			decisions += frame->body.decisions.decisions.len;
		if (frame->header.kind == FRAME_DELTAS)
			groups += frame->body.deltas.groups.len;
	}
	assert_int_equal(decisions, 5000);
	assert_int_equal(groups, 1 + 5000 + 1 + 5000);
	assert_non_null(sent(&harness, channel_to(&harness, ROLE_WRITER, 0), FRAME_DECISIONS, 1));
	assert_non_null(sent(&harness, channel_to(&harness, ROLE_ROLLUP, 0), FRAME_DELTAS, 5));
	harness_fini(&harness);
}

/* Many large conflicts in one frame, and one that is larger than any letter: no frame exceeds the limit. */
static void test_large_letters(void **state)
{
	(void)state;
	enum { LARGE = 300 * 1024, HUGE_ONE = 3300 * 1024 };
	struct harness harness;
	char *text = memory_new(HUGE_ONE + 1);
	uint32_t letters = 0;
	harness_init(&harness, dedup_new, ROLE_DEDUP, 0, one);
	memset(text, 'x', LARGE);
	assert_int_equal(send_rows(&harness, 0, SALES(SALE(0, 0, "a", 1))), RESULT_OK);
	outbox_clear(&harness.outbox);
	struct rows_writer writer = {0};
	rows_begin(&writer);
	for (int64_t i = 1; i <= 10; i++)
		put_sale(&writer, &(struct sale){0, i, "a", i, text, DAY_ONE});
	rows_end(&writer);
	const struct frame_rows body = {.rows = buffer_bytes(&writer.body)};
	assert_int_equal(
	    harness_frame(&harness, channel_from(&harness, ROLE_INGEST, 0), FRAME_ROWS, &body, false), RESULT_OK);
	buffer_fini(&writer.body);
	harness_take(&harness);
	assert_int_equal(harness.frames_len, 4);
	for (size_t i = 0; i < harness.frames_len; i++) {
		assert_true(harness.frames[i].encoded_body.len < 1100 * 1024);
		for (uint32_t k = 0; k < harness.frames[i].body.dead_letters.letters.len; k++)
			assert_int_equal(harness.frames[i].body.dead_letters.letters.entries[k].offset, ++letters);
	}
	assert_int_equal(letters, 10);

	memset(text, 'x', HUGE_ONE);
	assert_int_equal(send_rows(&harness, 0, SALES({0, 11, "a", 1, text, DAY_ONE})), RESULT_OK);
	harness_take(&harness);
	const struct letter *cut = &harness.frames[0].body.dead_letters.letters.entries[0];
	assert_int_equal(cut->payload.len, LETTER_PAYLOAD_MAX);
	expect_text(cut->detail, "a record of partition 0 with this key was accepted before, and its content differs "
	                         "(payload of 3379279 bytes cut to 3145728)");
	free(text);
	harness_fini(&harness);
}

/* Two dedup actors: a row that belongs to the other one did not come from an ingest of this job. */
static void test_rows_of_other_key_groups(void **state)
{
	(void)state;
	const struct topology topology = {1, 2, 1, 1, .plan = &job_plans[JOB_TOTALS]};
	int accepted = 0;
	for (uint32_t i = 0; i < 40; i++) {
		struct harness harness[2];
		char id[12];
		size_t len = (size_t)snprintf(id, sizeof id, "%u", i);
		for (uint32_t d = 0; d < 2; d++) {
			harness_init(&harness[d], dedup_new, ROLE_DEDUP, d, topology);
			uint32_t groups = harness[d].pipeline.key_groups;
			uint32_t group = key_group(key_hash((struct bytes){(const uint8_t *)id, len}), groups);
			bool mine = key_group_owner(group, groups, 2) == d;
			assert_int_equal(
			    send_rows(&harness[d], 0, SALES(SALE(0, 1, id, 1))), mine ? RESULT_OK : RESULT_CORRUPT);
			accepted += mine && d;
			harness_fini(&harness[d]);
		}
	}
	assert_true(accepted > 0 && accepted < 40);
}

static void expect_corrupt(const struct value *columns, uint32_t columns_len, const char *words)
{
	struct harness harness;
	struct rows_writer writer = {0};
	struct buffer values = {0};
	harness_init(&harness, dedup_new, ROLE_DEDUP, 0, one);
	row_encode_values(&values, columns, columns_len);
	rows_begin(&writer);
	rows_put(&writer, 6, 42, 0, 1, columns_len, buffer_bytes(&values));
	rows_end(&writer);
	const struct frame_rows body = {.rows = buffer_bytes(&writer.body)};
	assert_int_equal(
	    harness_frame(&harness, channel_from(&harness, ROLE_INGEST, 0), FRAME_ROWS, &body, false), RESULT_CORRUPT);
	if (strstr(harness.error.text, words) == NULL)
		fail_msg("%s", harness.error.text);
	assert_int_equal(harness.outbox.len, 0);
	buffer_fini(&writer.body);
	buffer_fini(&values);
	harness_fini(&harness);
}

static void test_malformed_rows(void **state)
{
	(void)state;
	static char long_key[1025];
	memset(long_key, 'k', sizeof long_key - 1);
	const struct value number = {.kind = VALUE_INTEGER, .integer = 1}, null = {.kind = VALUE_NULL};
	const struct value good[HARNESS_FIELDS] = {text_of("a"), text_of("toys"), null, number, number};
	struct value bad[HARNESS_FIELDS];
	expect_corrupt(good, HARNESS_FIELDS - 1, "rows: ");
	static const char *const names[] = {"id", "category", "quantity", "amount", "at"};
	for (size_t i = 0; i < HARNESS_FIELDS; i++) {
		char words[80];
		(void)snprintf(words, sizeof words, "record 6/42: %s is not what it is declared to be", names[i]);
		memcpy(bad, good, sizeof bad);
		bad[i] = i < 2 ? number : text_of("x");
		expect_corrupt(bad, HARNESS_FIELDS, words);
		bad[i] = null;
		if (i != 2) /* the one that is not required */
			expect_corrupt(bad, HARNESS_FIELDS, words);
	}
	memcpy(bad, good, sizeof bad);
	bad[0] = text_of(long_key);
	expect_corrupt(bad, HARNESS_FIELDS, "record 6/42: the key is longer than any key can be");
}

static void test_malformed_frames(void **state)
{
	(void)state;
	struct harness harness;
	harness_init(&harness, dedup_new, ROLE_DEDUP, 0, one);
	uint32_t in = channel_from(&harness, ROLE_INGEST, 0);
	static const struct bytes bodies[] = {{(const uint8_t *)"", 0}, {(const uint8_t *)"\xc0", 1},
	    {(const uint8_t *)"\xdd\xff\xff\xff\xff", 5}, {(const uint8_t *)"\x90\x90", 2}};
	for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
		assert_int_equal(
		    harness_frame(&harness, in, FRAME_ROWS, &(struct frame_rows){.rows = bodies[i]}, false),
		    RESULT_CORRUPT);
	assert_int_equal(
	    harness_frame(&harness, in, FRAME_TOTALS, &(struct frame_totals){.groups = {0}}, false), RESULT_CORRUPT);
	assert_string_equal(harness.error.text, "channel 1 may not carry TOTALS");
	harness_fini(&harness);
}

/* --- Kafka's time ---------------------------------------------------------------------------------------------- */

static int64_t expired_ms; /* what was to be forgotten last */

static struct state_port *noted_state_open(void)
{
	struct memory_state *state = (struct memory_state *)(void *)memory_state_open();
	state->expired_ms = &expired_ms;
	expired_ms = -1;
	return &state->port;
}

static struct actor *noted_dedup_new(const struct pipeline *pipeline, const struct topology *topology,
    struct state_port *port, uint32_t id, uint64_t attempt)
{
	port->ops->close(port);
	return dedup_new(pipeline, topology, noted_state_open(), id, attempt);
}

/* Records of these times, then a checkpoint; what is forgotten by it, as a time, or -1: nothing. */
static int64_t forgotten_by(struct harness *harness, uint64_t n, const int64_t *times_ms, size_t len)
{
	struct rows_writer writer = {0};
	struct buffer values = {0};
	rows_begin(&writer);
	for (size_t i = 0; i < len; i++) {
		char id[24];
		(void)snprintf(id, sizeof id, "%llu-%zu", (unsigned long long)n, i);
		const struct value columns[HARNESS_FIELDS] = {text_of(id), text_of("toys"), {.kind = VALUE_NULL},
		    {.kind = VALUE_INTEGER, .integer = 1}, {.kind = VALUE_INTEGER, .integer = DAY_ONE * DAY_US}};
		buffer_clear(&values);
		row_encode_values(&values, columns, HARNESS_FIELDS);
		rows_put(&writer, 0, (int64_t)(100 * n + i), times_ms[i], key_hash(buffer_bytes(&values)),
		    HARNESS_FIELDS, buffer_bytes(&values));
	}
	rows_end(&writer);
	const struct frame_rows body = {.rows = buffer_bytes(&writer.body)};
	const struct frame_barrier barrier = {.epoch = {ATTEMPT, n}, .base = {3, 1}, .checkpoint = true};
	uint32_t channel = channel_from(harness, ROLE_INGEST, 0);
	expired_ms = -1;
	if (len > 0)
		assert_int_equal(harness_frame(harness, channel, FRAME_ROWS, &body, false), RESULT_OK);
	assert_int_equal(harness_frame(harness, channel, FRAME_BARRIER, &barrier, false), RESULT_OK);
	assert_int_equal(harness->actor->ops->on_tick(harness->actor, n, &harness->outbox, &harness->error), RESULT_OK);
	outbox_clear(&harness->outbox);
	buffer_fini(&values);
	buffer_fini(&writer.body);
	return expired_ms;
}

#define FORGOTTEN_BY(n, ...)                                                                                           \
	forgotten_by(                                                                                                  \
	    &harness, n, (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

/* One record of the future does not make the others of a backlog old; where there are no others, or they have no time, ours counts. */
static void test_times_of_the_future_and_none(void **state)
{
	(void)state;
	enum { HOUR_MS = 3600000 };
	static const int64_t never = INT64_C(253402300799000), micros = INT64_C(1700000000000000);
	struct harness harness;
	harness_init(&harness, noted_dedup_new, ROLE_DEDUP, 0, one);
	int64_t now_ms = clock_realtime_us() / 1000, week_ms = now_ms - 7 * 24 * HOUR_MS;
	int64_t retention_ms = harness.pipeline.duplicates.retention_us / 1000;
	const struct frame_start start = {0};
	assert_int_equal(harness_frame(&harness, 0, FRAME_START, &start, true), RESULT_OK);
	assert_int_equal(FORGOTTEN_BY(1, week_ms, week_ms + 5), week_ms + 5 - retention_ms);
	assert_int_equal(FORGOTTEN_BY(2, week_ms + 6, never, week_ms + 7, -1), week_ms + 7 - retention_ms);
	assert_int_equal(FORGOTTEN_BY(3, week_ms + 8), week_ms + 8 - retention_ms);
	assert_int_equal(forgotten_by(&harness, 4, NULL, 0), week_ms + 8 - retention_ms);
	assert_in_range(FORGOTTEN_BY(5, micros, never), now_ms - retention_ms, now_ms + HOUR_MS - retention_ms);
	assert_in_range(FORGOTTEN_BY(6, week_ms + 9), now_ms - retention_ms, now_ms + HOUR_MS - retention_ms);
	harness_fini(&harness);

	harness_init(&harness, noted_dedup_new, ROLE_DEDUP, 0, one);
	assert_int_equal(harness_frame(&harness, 0, FRAME_START, &start, true), RESULT_OK);
	assert_int_equal(forgotten_by(&harness, 1, NULL, 0), -1);
	assert_in_range(FORGOTTEN_BY(2, -1, -1), now_ms - retention_ms, now_ms + HOUR_MS - retention_ms);
	harness_fini(&harness);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_new_rows_pass_unchanged),
	    cmocka_unit_test(test_repeats_within_a_partition),
	    cmocka_unit_test(test_every_bit_of_the_hash),
	    cmocka_unit_test(test_decisions_by_frame),
	    cmocka_unit_test(test_repeats_across_partitions),
	    cmocka_unit_test(test_told_before_the_key_is_known),
	    cmocka_unit_test(test_told_is_obeyed_unconditionally),
	    cmocka_unit_test(test_decisions_after_start_are_refused),
	    cmocka_unit_test(test_mixed_frame_is_repacked_in_order),
	    cmocka_unit_test(test_letters_pass_unchanged),
	    cmocka_unit_test(test_alignment),
	    cmocka_unit_test(test_bad_barriers),
	    cmocka_unit_test(test_deltas_go_to_their_owners),
	    cmocka_unit_test(test_deltas_of_one_group),
	    cmocka_unit_test(test_large_epochs_are_split),
	    cmocka_unit_test(test_large_letters),
	    cmocka_unit_test(test_times_of_the_future_and_none),
	    cmocka_unit_test(test_rows_of_other_key_groups),
	    cmocka_unit_test(test_malformed_rows),
	    cmocka_unit_test(test_malformed_frames),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
