/* tests/unit/test_writer_pages.c - protects: what the writer hands to the coordinator in pieces comes whole, in order, in frames that are
 * none too large, exactly at its limits and one beyond, with the widest numbers that there are.
 */
#include "tests/unit/aggregator_harness.h"

#include "services/sink/writer_parts.h"

enum { PAGE = 20000, VERDICTS = 100000, CHECKPOINTS = 50000, MARKS = 80000, MARKS_EACH = 8 };

static struct decision *decisions_new(uint32_t len)
{
	struct decision *entries = memory_new((len + 1) * sizeof *entries);
	for (uint32_t i = 0; i < len; i++)
		entries[i] =
		    (struct decision){UINT32_MAX - i, INT64_MAX - i, i % 2 ? VERDICT_CONFLICT : VERDICT_DUPLICATE};
	return entries;
}

static bool decision_is(const struct decision *decision, uint32_t i)
{
	return decision->partition == UINT32_MAX - i && decision->offset == INT64_MAX - i &&
	       decision->verdict == (i % 2 ? VERDICT_CONFLICT : VERDICT_DUPLICATE);
}

/* As the coordinator gets it; frame_decode refuses what is larger than any frame. */
static struct frame decoded(struct outbox_item *item, struct arena *arena)
{
	struct frame frame;
	struct error error = {0};
	const struct frame_header header = {.kind = item->kind, .attempt = 7};
	assert_true(item->message.len <= FRAME_MAX);
	frame_header_write(item->message.data, item->message.len - FRAME_HEADER_SIZE, &header);
	if (frame_decode(buffer_bytes(&item->message), arena, &frame, NULL, &error) != RESULT_OK)
		fail_msg("%s", error.text);
	return frame;
}

static void test_decisions_by_page(void **state)
{
	static const struct {
		uint32_t decisions;
		size_t pages;
	} cases[] = {{0, 0}, {1, 1}, {PAGE - 1, 1}, {PAGE, 1}, {PAGE + 1, 2}, {2 * PAGE, 2}, {2 * PAGE + 1, 3}};
	static struct writer writer;
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct decision *entries = decisions_new(cases[i].decisions);
		struct sink_answer answer = {.decisions = {entries, cases[i].decisions}};
		struct outbox outbox = {0};
		struct arena arena = {0};
		uint32_t seen = 0;
		say_fenced(&writer, &answer, &outbox);
		assert_int_equal(outbox.len, cases[i].pages + 1);
		for (size_t page = 0; page < cases[i].pages; page++) {
			struct frame frame = decoded(&outbox.items[page], &arena);
			assert_int_equal(frame.header.kind, FRAME_DECISIONS);
			assert_int_equal(frame.body.decisions.last, page == cases[i].pages - 1);
			for (uint32_t d = 0; d < frame.body.decisions.decisions.len; d++)
				assert_true(decision_is(&frame.body.decisions.decisions.entries[d], seen++));
		}
		assert_int_equal(seen, cases[i].decisions);
		assert_int_equal(outbox.items[cases[i].pages].kind, FRAME_FENCED); /* behind them */
		outbox_fini(&outbox);
		arena_fini(&arena);
		free(entries);
	}
}

static void test_verdicts_at_most(void **state)
{
	static const uint32_t cases[] = {1, VERDICTS - 1, VERDICTS, VERDICTS + 1, 3 * VERDICTS};
	static struct writer writer;
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct decision *entries = decisions_new(cases[i]);
		const struct decisions verdicts = {entries, cases[i]};
		struct outbox outbox = {0};
		struct arena arena = {0};
		char words[32];
		say_late(&writer, &verdicts, &outbox);
		assert_int_equal(outbox.len, 1);
		struct frame frame = decoded(&outbox.items[0], &arena);
		uint32_t len = frame.body.failed.verdicts.len;
		assert_int_equal(len, cases[i] < VERDICTS ? cases[i] : VERDICTS);
		assert_true(decision_is(&frame.body.failed.verdicts.entries[0], 0));
		assert_true(decision_is(&frame.body.failed.verdicts.entries[len - 1], len - 1));
		(void)snprintf(words, sizeof words, "%u late duplicates", cases[i]);
		assert_non_null(strstr(frame.body.failed.text, words));
		outbox_fini(&outbox);
		arena_fini(&arena);
		free(entries);
	}
}

/* The newest names, and of these the newest marks, as many as a frame takes. */
static void test_checkpoints_in_one_frame(void **state)
{
	static const size_t cases[] = {0, 1, CHECKPOINTS - 1, CHECKPOINTS, CHECKPOINTS + 1, 4 * CHECKPOINTS};
	static struct writer writer;
	struct mark entries[MARKS_EACH];
	(void)state;
	for (uint32_t i = 0; i < MARKS_EACH; i++)
		entries[i] = (struct mark){UINT32_MAX - MARKS_EACH + i, INT64_MAX, UINT64_MAX - i};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct checkpoint_identity *checkpoints = memory_new((cases[i] + 1) * sizeof *checkpoints);
		struct outbox outbox = {0};
		struct arena arena = {0};
		for (size_t c = 0; c < cases[i]; c++) {
			checkpoints[c].epoch = (struct epoch_id){UINT64_MAX - c, UINT64_MAX - c};
			checkpoints[c].marks = (struct marks){entries, MARKS_EACH};
		}
		struct sink_answer answer = {.checkpoints = checkpoints, .checkpoints_len = cases[i]};
		say_fenced(&writer, &answer, &outbox);
		struct frame frame = decoded(&outbox.items[0], &arena);
		const struct checkpoints *told = &frame.body.fenced.checkpoints;
		assert_int_equal(told->len, cases[i] < CHECKPOINTS ? cases[i] : CHECKPOINTS);
		for (uint32_t c = 0; c < told->len; c++) {
			const struct marks *marks = &told->entries[c].marks;
			assert_true(told->entries[c].epoch.n == UINT64_MAX - c);
			assert_int_equal(marks->len, c < MARKS / MARKS_EACH ? MARKS_EACH : 0);
			assert_true(
			    marks->len == 0 || marks->entries[MARKS_EACH - 1].hash == entries[MARKS_EACH - 1].hash);
		}
		outbox_fini(&outbox);
		arena_fini(&arena);
		free(checkpoints);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_decisions_by_page),
	    cmocka_unit_test(test_verdicts_at_most),
	    cmocka_unit_test(test_checkpoints_in_one_frame),
	};
	return cmocka_run_group_tests_name("writer_pages", tests, NULL, NULL);
}
