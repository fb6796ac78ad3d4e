/* The sink writer against a port whose answers the test writes: what it asks for, when, and what it tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/runtime/actor.h"
#include "proto/row.h"
#include "services/sink/writer.h"

enum { ATTEMPT = 7, SECOND_US = 1000000, OF_DOCUMENTS = -2 /* stands in the port's event_fd */ };

/* --- the port ------------------------------------------------------------------------------------------------------ */

struct script {
	struct sink_port port; /* first */
	enum sink_request_kind asked; /* and not yet answered */
	struct epoch_id predecessor, epoch, next; /* of the request */
	bool checkpoint;
	struct cut cut, handled;
	struct marks marks;
	uint32_t remembers; /* so many facts */
	size_t rows_len; /* bodies */
	struct epoch_id retired[8];
	size_t retired_len;
	bool answered;
	struct sink_answer answer;
};

static struct script *script_of(struct sink_port *port)
{
	return (struct script *)port;
}

static void take_transaction(struct script *script, const struct transaction *transaction)
{
	bool of_documents = script->port.event_fd == OF_DOCUMENTS;
	assert_int_equal(transaction->fence, ATTEMPT);
	script->predecessor = transaction->predecessor;
	script->epoch = transaction->epoch;
	script->checkpoint = transaction->checkpoint;
	script->rows_len = transaction->rows_len;
	script->next = transaction->next.epoch;
	cut_copy(&script->cut, transaction->cut);
	marks_copy(&script->marks, transaction->marks);
	if (transaction->handled != NULL)
		cut_copy(&script->handled, transaction->handled);
	assert_int_equal(transaction->handled != NULL, of_documents);
	assert_true(script->next.n == 0 || of_documents);
}

static void take_retirement(struct script *script, const struct sink_request *request)
{
	script->epoch = request->checkpoint;
	assert_true(request->retired_len <= 8);
	script->retired_len = request->retired_len;
	if (request->retired_len)
		memcpy(script->retired, request->retired, request->retired_len * sizeof *request->retired);
}

static void take_bodies(struct script *script, const struct sink_request *request)
{
	script->rows_len = request->bodies_len;
	for (size_t i = 0; i < request->bodies_len; i++)
		assert_true(request->bodies[i].len > 0);
}

static void port_start(struct sink_port *port, const struct sink_request *request)
{
	struct script *script = script_of(port);
	assert_int_equal(script->asked, SINK_NOTHING); /* one at a time */
	assert_int_equal(request->attempt, ATTEMPT);
	script->asked = request->kind;
	script->answer = (struct sink_answer){0};
	script->predecessor = request->predecessor;
	if (request->cut != NULL)
		cut_copy(&script->cut, request->cut);
	if (request->remember != NULL)
		script->remembers = request->remember->len;
	if (request->kind == SINK_COMMIT)
		take_transaction(script, request->transaction);
	if (request->kind == SINK_RETIRE)
		take_retirement(script, request);
	if (request->kind == SINK_ASK_LATE)
		take_bodies(script, request);
	if (request->kind == SINK_MARK) {
		script->epoch = request->marked->epoch;
		cut_copy(&script->cut, &request->marked->cut);
		marks_copy(&script->marks, &request->marked->marks);
	}
	if (request->kind == SINK_CHOOSE) {
		script->epoch = request->checkpoint;
		script->predecessor = request->renamed;
	}
}

static bool port_answer(struct sink_port *port, struct sink_answer **answer)
{
	struct script *script = script_of(port);
	if (!script->answered)
		return false;
	script->answered = false;
	script->asked = SINK_NOTHING;
	*answer = &script->answer;
	return true;
}

static const struct sink_port_ops ops = {
    .start = port_start,
    .answer = port_answer,
};

/* --- the writer ---------------------------------------------------------------------------------------------------- */

struct harness {
	struct topology topology;
	struct pipeline pipeline;
	struct script script;
	struct actor *writer;
	uint64_t now_us;
	struct outbox outbox;
	struct arena arena;
	struct error error;
	struct frame frames[64]; /* that it sent last */
	size_t frames_len;
	/* What the database says, and what barriers say; nothing at first. */
	struct checkpoint_identity checkpoint;
	struct counts frontier;
	struct share share;
	struct sum before, after;
	enum result deployed;
	bool start_lost; /* as the next look says */
};

static struct epoch_id epoch_of(uint64_t attempt, uint64_t n)
{
	return (struct epoch_id){attempt, n};
}

static enum result deliver(struct harness *harness, uint32_t channel, enum frame_kind kind, const void *body)
{
	const struct frame_header header = {.kind = kind, .channel = channel, .attempt = ATTEMPT};
	struct buffer message = {0};
	struct arena arena = {0};
	struct frame frame;
	frame_encode(&message, &header, body);
	enum result result = frame_decode(buffer_bytes(&message), &arena, &frame, NULL, &harness->error);
	assert_int_equal(result, RESULT_OK);
	if (channel == 0)
		result = actor_command(harness->writer, &frame, &harness->outbox, &harness->error);
	else
		result = actor_frame(harness->writer, actor_party(topology_edge(&harness->topology, channel).from),
		    channel, &frame, &harness->outbox, &harness->error);
	/* What it keeps of a frame is its own: this memory is gone when the call is over. */
	buffer_fini(&message);
	arena_fini(&arena);
	return result;
}

static void take_frames(struct harness *harness)
{
	arena_clear(&harness->arena);
	harness->frames_len = 0;
	for (size_t i = 0; i < harness->outbox.len; i++) {
		struct outbox_item *item = &harness->outbox.items[i];
		const struct frame_header header = {.kind = item->kind, .channel = item->channel, .attempt = ATTEMPT};
		frame_header_write(item->message.data, item->message.len - FRAME_HEADER_SIZE, &header);
		void *copy = arena_clone(&harness->arena, item->message.data, item->message.len);
		assert_int_equal(item->channel, 0);
		assert_int_equal(frame_decode((struct bytes){copy, item->message.len}, &harness->arena,
		                     &harness->frames[harness->frames_len++], NULL, &harness->error),
		    RESULT_OK);
	}
	outbox_clear(&harness->outbox);
}

static enum result tick(struct harness *harness)
{
	enum result result =
	    harness->writer->ops->on_tick(harness->writer, harness->now_us, &harness->outbox, &harness->error);
	take_frames(harness);
	return result;
}

static void assert_asked(const struct harness *harness, enum sink_request_kind asked)
{
	assert_int_equal(harness->script.asked, asked);
}

/* The request under way is answered, and the writer hears of it. */
static enum result answer(struct harness *harness, enum sink_request_kind asked, enum sink_outcome outcome)
{
	assert_asked(harness, asked);
	harness->script.answer.outcome = outcome;
	if (asked == SINK_LOOK)
		harness->script.answer.frontier.started = !harness->start_lost;
	if (outcome != SINK_DONE)
		error_set(&harness->script.answer.error, RESULT_RETRY, "the database says %d", (int)outcome);
	harness->script.answered = true;
	return tick(harness);
}

static void answer_ok(struct harness *harness, enum sink_request_kind asked, enum sink_outcome outcome)
{
	if (answer(harness, asked, outcome) != RESULT_OK)
		fail_msg("%s", harness->error.text);
}

/* A look that finds the frontier at this epoch. */
static void answer_look(struct harness *harness, struct epoch_id last)
{
	harness->script.answer.frontier.last = last;
	answer_ok(harness, SINK_LOOK, SINK_DONE);
}

static const struct frame *said(const struct harness *harness, enum frame_kind kind)
{
	for (size_t i = 0; i < harness->frames_len; i++)
		if (harness->frames[i].header.kind == kind)
			return &harness->frames[i];
	return NULL;
}

static void wait_for_backoff(struct harness *harness)
{
	assert_asked(harness, SINK_NOTHING);
	assert_true(harness->writer->wake_us > harness->now_us);
	harness->now_us = harness->writer->wake_us;
	assert_int_equal(tick(harness), RESULT_OK);
}

/* One body of rows from a dedup. */
static void rows(struct harness *harness, uint32_t dedup)
{
	struct rows_writer writer = {0};
	struct value value = {.kind = VALUE_INTEGER, .integer = 1};
	struct buffer values = {0};
	rows_begin(&writer);
	row_encode_values(&values, &value, 1);
	rows_put(&writer, 0, 1, 0, 1, 1, buffer_bytes(&values));
	rows_end(&writer);
	struct frame_rows body = {.rows = buffer_bytes(&writer.body)};
	uint32_t channel = topology_channel(&harness->topology, actor_id(ROLE_DEDUP, dedup), actor_id(ROLE_WRITER, 0));
	assert_int_equal(deliver(harness, channel, FRAME_ROWS, &body), RESULT_OK);
	buffer_fini(&writer.body);
	buffer_fini(&values);
}

/* The barrier of an epoch of this attempt, on every channel. */
static enum result barrier(struct harness *harness, uint64_t n, int64_t offset, bool checkpoint)
{
	struct cut_entry entry = {0, offset};
	struct group sums[] = {
	    {0, {(const uint8_t *)SUMS_BEFORE, 1}, {(const uint8_t *)&harness->before, sizeof harness->before}},
	    {0, {(const uint8_t *)SUMS_AFTER, 1}, {(const uint8_t *)&harness->after, sizeof harness->after}}};
	struct frame_barrier body = {
	    .epoch = {ATTEMPT, n}, .checkpoint = checkpoint, .cut = {&entry, 1}, .shares = {&harness->share, 1}};
	enum result result = RESULT_OK;
	for (uint32_t i = 0; i < harness->topology.dedup && result == RESULT_OK; i++)
		result = deliver(harness,
		    topology_channel(&harness->topology, actor_id(ROLE_DEDUP, i), actor_id(ROLE_WRITER, 0)),
		    FRAME_BARRIER, &body);
	if (harness->pipeline.rollups_len > 0)
		body.sums = (struct groups){sums, 2};
	for (uint32_t i = 0; i < harness->topology.rollup && result == RESULT_OK; i++)
		result = deliver(harness,
		    topology_channel(&harness->topology, actor_id(ROLE_ROLLUP, i), actor_id(ROLE_WRITER, 0)),
		    FRAME_BARRIER, &body);
	return result == RESULT_OK ? tick(harness) : result;
}

/* Fences; the frontier is at 3.9 with offset 100; then the checkpoint 3.5 with this offset is chosen and deployed. */
static void deploy(struct harness *harness, int64_t base_offset)
{
	struct cut_entry base = {0, base_offset}, frontier = {0, 100};
	assert_int_equal(deliver(harness, 0, FRAME_PREPARE, &(struct frame_prepare){.actor = 0}), RESULT_OK);
	assert_int_equal(tick(harness), RESULT_OK);
	harness->script.answer.frontier = (struct frontier){.fence = ATTEMPT,
	    .last = {3, 9},
	    .started = true,
	    .cut = {&frontier, 1},
	    .counters = harness->frontier.counters,
	    .sums = harness->frontier.sums};
	harness->checkpoint.epoch = epoch_of(3, 5);
	harness->script.answer.checkpoints = &harness->checkpoint;
	harness->script.answer.checkpoints_len = 1;
	answer_ok(harness, SINK_FENCE, SINK_DONE);
	harness->script.answer.checkpoints_len = 0;
	assert_non_null(said(harness, FRAME_FENCED));
	struct frame_choose choose = {.checkpoint = {3, 5}};
	assert_int_equal(deliver(harness, 0, FRAME_CHOOSE, &choose), RESULT_OK);
	assert_int_equal(tick(harness), RESULT_OK);
	assert_true(epoch_equal(harness->script.epoch, epoch_of(3, 5)));
	answer_ok(harness, SINK_CHOOSE, SINK_DONE);
	const struct frame *cut_set = said(harness, FRAME_CUT_SET);
	assert_non_null(cut_set);
	assert_int_equal(cut_get(&cut_set->body.cut_set.cut, 0, -1), 100);
	struct frame_deploy body = {
	    .partitions = 1, .base = {3, 5}, .base_cut = {&base, 1}, .last = {3, 9}, .frontier_cut = {&frontier, 1}};
	harness->deployed = deliver(harness, 0, FRAME_DEPLOY, &body);
	if (harness->deployed == RESULT_OK)
		assert_int_equal(tick(harness), RESULT_OK);
}

static int setup(void **state)
{
	struct harness *harness = memory_new(sizeof *harness);
	harness->topology = (struct topology){1, 2, 1, 1, .plan = &job_plans[JOB_TOTALS]};
	harness->script.port = (struct sink_port){&ops, -1};
	harness->now_us = SECOND_US;
	harness->writer = writer_new(
	    &harness->pipeline, &harness->topology, &harness->script.port, actor_id(ROLE_WRITER, 0), ATTEMPT);
	*state = harness;
	return 0;
}

/* The second of two writers of documents, which two ingests send to. */
static int setup_documents(void **state)
{
	struct harness *harness = memory_new(sizeof *harness);
	harness->topology = (struct topology){.ingest = 2, .writers = 2, .plan = &job_plans[JOB_SEARCH]};
	harness->script.port = (struct sink_port){&ops, OF_DOCUMENTS};
	harness->now_us = SECOND_US;
	harness->writer = writer_new(
	    &harness->pipeline, &harness->topology, &harness->script.port, actor_id(ROLE_WRITER, 1), ATTEMPT);
	*state = harness;
	return 0;
}

static int teardown(void **state)
{
	struct harness *harness = *state;
	harness->writer->ops->free(harness->writer);
	outbox_fini(&harness->outbox);
	arena_fini(&harness->arena);
	cut_fini(&harness->script.cut);
	cut_fini(&harness->script.handled);
	marks_fini(&harness->script.marks);
	free(harness);
	return 0;
}

/* --- tests ----------------------------------------------------------------------------------------------------------- */

static void assert_committed(const struct harness *harness, uint64_t n, bool silent)
{
	const struct frame *frame = said(harness, FRAME_COMMITTED);
	assert_non_null(frame);
	assert_true(epoch_equal(frame->body.committed.epoch, epoch_of(ATTEMPT, n)));
	assert_int_equal(frame->body.committed.silent, silent);
}

/* A silent epoch is acknowledged at once; a silent checkpoint is named when the replay has reached the frontier and is what it ought to
 * be, before anything is committed. Neither moves the frontier. */
static void test_silence(void **state)
{
	struct harness *harness = *state;
	deploy(harness, 50);
	assert_int_equal(barrier(harness, 1, 60, false), RESULT_OK);
	assert_committed(harness, 1, true);
	assert_asked(harness, SINK_NOTHING);
	assert_int_equal(barrier(harness, 2, 70, true), RESULT_OK);
	assert_committed(harness, 2, true);
	assert_int_equal(barrier(harness, 3, 80, true), RESULT_OK);
	assert_committed(harness, 3, true);
	assert_asked(harness, SINK_NOTHING);
	assert_int_equal(barrier(harness, 4, 100, false), RESULT_OK);
	assert_committed(harness, 4, true);
	assert_true(said(harness, FRAME_COMMITTED)->body.committed.live);
	assert_asked(harness, SINK_MARK);
	assert_true(epoch_equal(harness->script.predecessor, epoch_of_choice(ATTEMPT)));
	assert_true(epoch_equal(harness->script.epoch, epoch_of(ATTEMPT, 2)));
	assert_int_equal(cut_get(&harness->script.cut, 0, -1), 70);
	rows(harness, 1);
	assert_int_equal(barrier(harness, 5, 110, true), RESULT_OK);
	answer_ok(harness, SINK_MARK, SINK_DONE);
	assert_asked(harness, SINK_MARK);
	assert_true(epoch_equal(harness->script.epoch, epoch_of(ATTEMPT, 3)));
	assert_int_equal(cut_get(&harness->script.cut, 0, -1), 80);
	answer_ok(harness, SINK_MARK, SINK_DONE);
	/* The first live one follows the choice. */
	assert_asked(harness, SINK_COMMIT);
	assert_true(epoch_equal(harness->script.predecessor, epoch_of_choice(ATTEMPT)));
	assert_true(harness->script.checkpoint);
	assert_int_equal(harness->script.rows_len, 1);
	answer_ok(harness, SINK_COMMIT, SINK_DONE);
	assert_committed(harness, 5, false);
	assert_int_equal(barrier(harness, 6, 120, false), RESULT_OK);
	assert_asked(harness, SINK_COMMIT);
	assert_false(harness->script.checkpoint);
	assert_true(epoch_equal(harness->script.predecessor, epoch_of(ATTEMPT, 5)));
}

/* mark without an answer: a look first, then the same again. */
static void test_mark_unknown(void **state)
{
	struct harness *harness = *state;
	deploy(harness, 50);
	assert_int_equal(barrier(harness, 1, 60, true), RESULT_OK);
	assert_int_equal(barrier(harness, 2, 100, true), RESULT_OK);
	answer_ok(harness, SINK_MARK, SINK_UNKNOWN);
	assert_non_null(said(harness, FRAME_WAITING));
	wait_for_backoff(harness);
	answer_ok(harness, SINK_LOOK, SINK_UNKNOWN);
	wait_for_backoff(harness);
	answer_look(harness, epoch_of_choice(ATTEMPT));
	assert_asked(harness, SINK_MARK);
	answer_ok(harness, SINK_MARK, SINK_DONE);
	assert_true(epoch_equal(harness->script.epoch, epoch_of(ATTEMPT, 2)));
	assert_int_equal(answer(harness, SINK_MARK, SINK_MOVED), RESULT_CORRUPT);
}

static void test_mark_frontier_moved(void **state)
{
	struct harness *harness = *state;
	deploy(harness, 50);
	assert_int_equal(barrier(harness, 1, 60, true), RESULT_OK);
	assert_int_equal(barrier(harness, 2, 100, false), RESULT_OK);
	answer_ok(harness, SINK_MARK, SINK_UNKNOWN);
	wait_for_backoff(harness);
	harness->script.answer.frontier.last = epoch_of(3, 8);
	assert_int_equal(answer(harness, SINK_LOOK, SINK_DONE), RESULT_CORRUPT);
}

/* The same epoch, and no start: a failover has lost all that there was of a job without records. */
static void test_look_finds_no_start(void **state)
{
	struct harness *harness = *state;
	deploy(harness, 50);
	assert_int_equal(barrier(harness, 1, 60, true), RESULT_OK);
	assert_int_equal(barrier(harness, 2, 100, false), RESULT_OK);
	answer_ok(harness, SINK_MARK, SINK_UNKNOWN);
	wait_for_backoff(harness);
	harness->start_lost = true;
	harness->script.answer.frontier.last = epoch_of_choice(ATTEMPT);
	assert_int_equal(answer(harness, SINK_LOOK, SINK_DONE), RESULT_CORRUPT);
}

/* The coordinator asks before it stops the job. */
static void test_prepared_once_more(void **state)
{
	struct harness *harness = *state;
	deploy(harness, 50);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(
		    deliver(harness, 0, FRAME_PREPARE, &(struct frame_prepare){.actor = harness->writer->id}),
		    RESULT_OK);
		assert_int_equal(tick(harness), RESULT_OK);
		answer_ok(harness, SINK_LOOK, SINK_UNKNOWN);
		wait_for_backoff(harness);
		answer_look(harness, epoch_of_choice(ATTEMPT));
		assert_int_equal(said(harness, FRAME_FENCED)->body.fenced.fence, ATTEMPT);
	}
	assert_int_equal(
	    deliver(harness, 0, FRAME_PREPARE, &(struct frame_prepare){.actor = harness->writer->id}), RESULT_OK);
	assert_int_equal(tick(harness), RESULT_OK);
	assert_int_equal(answer(harness, SINK_LOOK, SINK_FENCED), RESULT_CORRUPT);
}

static void test_choose_unknown(void **state)
{
	struct harness *harness = *state;
	deploy(harness, 50);
	struct frame_choose choose = {.checkpoint = {3, 4}};
	assert_int_equal(deliver(harness, 0, FRAME_CHOOSE, &choose), RESULT_OK);
	assert_int_equal(tick(harness), RESULT_OK);
	answer_ok(harness, SINK_CHOOSE, SINK_UNKNOWN);
	assert_null(said(harness, FRAME_CUT_SET));
	wait_for_backoff(harness);
	answer_look(harness, epoch_of_choice(ATTEMPT));
	assert_true(epoch_equal(harness->script.epoch, epoch_of(3, 4)));
	answer_ok(harness, SINK_CHOOSE, SINK_DONE);
	assert_non_null(said(harness, FRAME_CUT_SET));
	assert_asked(harness, SINK_NOTHING);
	assert_int_equal(deliver(harness, 0, FRAME_CHOOSE, &choose), RESULT_OK);
	assert_int_equal(tick(harness), RESULT_OK);
	assert_int_equal(answer(harness, SINK_CHOOSE, SINK_FENCED), RESULT_CORRUPT);
}

static void retire(struct harness *harness, uint64_t n)
{
	struct cut_entry oldest = {0, (int64_t)n};
	struct checkpoint_entry entries[] = {{.epoch = {3, n}}, {.epoch = {0, 0}}};
	struct frame_retire body = {.checkpoints = {entries, 2}, .kept = {3, n + 1}, .oldest_cut = {&oldest, 1}};
	assert_int_equal(deliver(harness, 0, FRAME_RETIRE, &body), RESULT_OK);
	assert_int_equal(tick(harness), RESULT_OK);
}

static void assert_retired(const struct harness *harness, uint64_t n)
{
	const struct frame *frame = said(harness, FRAME_RETIRED);
	assert_non_null(frame);
	const struct checkpoints *checkpoints = &frame->body.retired.checkpoints;
	assert_int_equal(checkpoints->len, 2);
	assert_true(epoch_equal(checkpoints->entries[0].epoch, epoch_of(3, n)));
	assert_true(epoch_equal(checkpoints->entries[1].epoch, epoch_of(0, 0)));
}

/* When nothing waits at once; each answered with its own list. */
static void test_retire(void **state)
{
	struct harness *harness = *state;
	deploy(harness, 100);
	retire(harness, 2);
	assert_asked(harness, SINK_RETIRE);
	assert_int_equal(harness->script.retired_len, 2);
	assert_true(epoch_equal(harness->script.retired[0], epoch_of(3, 2)));
	assert_true(epoch_equal(harness->script.epoch, epoch_of(3, 3)));
	assert_int_equal(cut_get(&harness->script.cut, 0, -1), 2);
	retire(harness, 3);
	answer_ok(harness, SINK_RETIRE, SINK_UNKNOWN);
	assert_null(said(harness, FRAME_RETIRED));
	wait_for_backoff(harness);
	answer_look(harness, epoch_of_choice(ATTEMPT));
	answer_ok(harness, SINK_RETIRE, SINK_DONE);
	assert_retired(harness, 2);
	assert_true(epoch_equal(harness->script.retired[0], epoch_of(3, 3)));
	answer_ok(harness, SINK_RETIRE, SINK_DONE);
	assert_retired(harness, 3);
	assert_asked(harness, SINK_NOTHING);
	retire(harness, 4);
	assert_int_equal(answer(harness, SINK_RETIRE, SINK_FENCED), RESULT_CORRUPT);
}

/* Epochs go first, but a sink that is never idle still retires. */
static void test_retire_between_commits(void **state)
{
	struct harness *harness = *state;
	uint64_t n = 1, commits = 0;
	deploy(harness, 100);
	assert_int_equal(barrier(harness, n, 101, false), RESULT_OK);
	retire(harness, 2);
	assert_asked(harness, SINK_COMMIT);
	while (harness->script.asked == SINK_COMMIT) {
		n++;
		assert_int_equal(
		    barrier(harness, n, 100 + (int64_t)n, false), RESULT_OK); /* the next one is there already */
		answer_ok(harness, SINK_COMMIT, SINK_DONE);
		assert_true(++commits < 10);
	}
	assert_true(commits > 1);
	answer_ok(harness, SINK_RETIRE, SINK_DONE);
	assert_retired(harness, 2);
	assert_asked(harness, SINK_COMMIT);
	assert_true(epoch_equal(harness->script.epoch, epoch_of(ATTEMPT, n)));
	assert_true(epoch_equal(harness->script.predecessor, epoch_of(ATTEMPT, n - 1)));
	answer_ok(harness, SINK_COMMIT, SINK_DONE);
	assert_asked(harness, SINK_NOTHING);
}

/* All epochs held are asked about, and those that come behind them; nothing is committed. When none comes any more the verdicts
 * are reported, and then nothing more happens. */
static void test_late(void **state)
{
	struct harness *harness = *state;
	struct decision verdicts[] = {{0, 103, VERDICT_DUPLICATE}, {2, 7, VERDICT_CONFLICT}};
	struct decision more[] = {{1, 44, VERDICT_DUPLICATE}};
	deploy(harness, 100);
	rows(harness, 0);
	rows(harness, 1);
	assert_int_equal(barrier(harness, 1, 110, false), RESULT_OK);
	rows(harness, 1);
	assert_int_equal(barrier(harness, 2, 120, false), RESULT_OK);
	rows(harness, 0);
	answer_ok(harness, SINK_COMMIT, SINK_LATE);
	assert_asked(harness, SINK_ASK_LATE);
	assert_true(epoch_equal(harness->script.predecessor, epoch_of_choice(ATTEMPT)));
	assert_int_equal(harness->script.rows_len, 3);
	rows(harness, 0); /* comes while the database looks */
	harness->script.answer.decisions = (struct decisions){verdicts, 2};
	answer_ok(harness, SINK_ASK_LATE, SINK_DONE);
	assert_null(said(harness, FRAME_FAILED));
	assert_int_equal(said(harness, FRAME_COMMITTED)->body.committed.epoch.n, 1);
	assert_true(said(harness, FRAME_COMMITTED)->body.committed.silent);
	assert_asked(harness, SINK_NOTHING);
	assert_int_equal(barrier(harness, 3, 130, false), RESULT_OK);
	assert_asked(harness, SINK_ASK_LATE);
	assert_int_equal(harness->script.rows_len, 2);
	assert_true(epoch_equal(harness->script.predecessor, epoch_of_choice(ATTEMPT)));
	harness->script.answer.decisions = (struct decisions){more, 1};
	answer_ok(harness, SINK_ASK_LATE, SINK_DONE);
	assert_null(said(harness, FRAME_FAILED));
	harness->now_us = harness->writer->wake_us;
	assert_int_equal(tick(harness), RESULT_OK);
	const struct frame *frame = said(harness, FRAME_FAILED);
	assert_non_null(frame);
	assert_int_equal(frame->body.failed.code, RESULT_RETRY);
	assert_non_null(strstr(frame->body.failed.text, "3 late duplicates"));
	assert_int_equal(frame->body.failed.verdicts.len, 3);
	assert_int_equal(frame->body.failed.verdicts.entries[1].offset, 7);
	assert_int_equal(frame->body.failed.verdicts.entries[1].verdict, VERDICT_CONFLICT);
	assert_true(epoch_equal(frame->body.failed.as_of, epoch_of_choice(ATTEMPT)));
	for (uint32_t channel = 1; channel <= topology_channels(&harness->topology); channel++)
		if (topology_edge(&harness->topology, channel).to == actor_id(ROLE_WRITER, 0))
			assert_false(harness->writer->ops->accepts(harness->writer, channel));
	retire(harness, 2);
	harness->now_us += 3600 * (uint64_t)SECOND_US;
	assert_int_equal(tick(harness), RESULT_OK);
	assert_int_equal(harness->frames_len, 0);
	assert_asked(harness, SINK_NOTHING);
	assert_int_equal(harness->writer->wake_us, WAKE_NEVER);
}

/* The database goes away in between: a look, and the epoch is sent again; it may even go through by then. */
static void test_late_unknown(void **state)
{
	struct harness *harness = *state;
	deploy(harness, 100);
	rows(harness, 0);
	assert_int_equal(barrier(harness, 1, 110, false), RESULT_OK);
	answer_ok(harness, SINK_COMMIT, SINK_LATE);
	answer_ok(harness, SINK_ASK_LATE, SINK_UNKNOWN);
	assert_non_null(said(harness, FRAME_WAITING));
	wait_for_backoff(harness);
	answer_look(harness, epoch_of_choice(ATTEMPT));
	answer_ok(harness, SINK_COMMIT, SINK_LATE);
	answer_ok(harness, SINK_ASK_LATE, SINK_UNKNOWN);
	wait_for_backoff(harness);
	answer_look(harness, epoch_of_choice(ATTEMPT));
	answer_ok(harness, SINK_COMMIT, SINK_DONE);
	assert_committed(harness, 1, false);
}

static void test_late_refused(void **state)
{
	struct harness *harness = *state;
	deploy(harness, 100);
	rows(harness, 0);
	assert_int_equal(barrier(harness, 1, 110, false), RESULT_OK);
	answer_ok(harness, SINK_COMMIT, SINK_LATE);
	assert_int_equal(answer(harness, SINK_ASK_LATE, SINK_MOVED), RESULT_CORRUPT);
}

/* No key is there: another unique index of the table's. A person has to act, and is told which record it was. */
static void test_late_finds_nothing(void **state)
{
	struct harness *harness = *state;
	deploy(harness, 100);
	rows(harness, 0);
	assert_int_equal(barrier(harness, 1, 110, false), RESULT_OK);
	harness->script.answer.outcome = SINK_LATE;
	error_set(&harness->script.answer.error, RESULT_RETRY, "record sales/0/103 with key \"b\"");
	harness->script.answered = true;
	assert_int_equal(tick(harness), RESULT_OK);
	assert_int_equal(answer(harness, SINK_ASK_LATE, SINK_DONE), RESULT_CONFIG);
	assert_int_equal(harness->error.code, RESULT_CONFIG);
	assert_non_null(strstr(harness->error.text, "record sales/0/103 with key \"b\""));
	assert_null(said(harness, FRAME_FAILED));
}

/* A commit whose answer is lost is looked up; an idle writer touches, and not while a replay is silent. */
static void test_lost_answer_and_touch(void **state)
{
	struct harness *harness = *state;
	deploy(harness, 99);
	harness->now_us += 31 * (uint64_t)SECOND_US;
	assert_int_equal(tick(harness), RESULT_OK);
	assert_asked(harness, SINK_NOTHING);
	assert_int_equal(barrier(harness, 1, 100, false), RESULT_OK);
	answer_ok(harness, SINK_TOUCH, SINK_DONE);
	assert_int_equal(barrier(harness, 2, 110, true), RESULT_OK);
	answer_ok(harness, SINK_COMMIT, SINK_UNKNOWN);
	wait_for_backoff(harness);
	answer_look(harness, epoch_of_choice(ATTEMPT));
	answer_ok(harness, SINK_COMMIT, SINK_UNKNOWN);
	wait_for_backoff(harness);
	answer_look(harness, epoch_of(ATTEMPT, 2));
	assert_committed(harness, 2, false);
	assert_asked(harness, SINK_NOTHING);
	harness->now_us = harness->writer->wake_us;
	assert_int_equal(tick(harness), RESULT_OK);
	assert_true(epoch_equal(harness->script.predecessor, epoch_of(ATTEMPT, 2)));
	assert_int_equal(answer(harness, SINK_TOUCH, SINK_FENCED), RESULT_CORRUPT);
}

/* Fences at 3.9 with offset 100, is told to begin at 60, and deployed there. */
static void deploy_documents(struct harness *harness, const struct frontier *found, int64_t begins)
{
	struct cut_entry base = {0, 60};
	assert_int_equal(
	    deliver(harness, 0, FRAME_PREPARE, &(struct frame_prepare){.actor = harness->writer->id}), RESULT_OK);
	assert_int_equal(tick(harness), RESULT_OK);
	harness->script.answer.frontier = *found;
	answer_ok(harness, SINK_FENCE, SINK_DONE);
	assert_int_equal(said(harness, FRAME_FENCED)->body.fenced.actor, harness->writer->id);
	assert_int_equal(deliver(harness, 0, FRAME_SET_CUT, &(struct frame_set_cut){.cut = {&base, 1}}), RESULT_OK);
	assert_int_equal(tick(harness), RESULT_OK);
	assert_asked(harness, SINK_SET_CUT);
	assert_int_equal(cut_get(&harness->script.cut, 0, -1), begins);
	answer_ok(harness, SINK_SET_CUT, SINK_DONE);
	const struct frame *cut_set = said(harness, FRAME_CUT_SET);
	assert_int_equal(cut_set->body.cut_set.actor, harness->writer->id);
	assert_int_equal(cut_get(&cut_set->body.cut_set.cut, 0, -1), begins);
	struct frame_deploy body = {.partitions = 1, .base_cut = {&base, 1}, .frontier_cut = {&base, 1}};
	assert_int_equal(deliver(harness, 0, FRAME_DEPLOY, &body), RESULT_OK);
	assert_int_equal(tick(harness), RESULT_OK);
}

static void documents(struct harness *harness, uint64_t n, int64_t offset)
{
	struct cut_entry entry = {0, offset};
	struct frame_barrier body = {.epoch = {ATTEMPT, n}, .cut = {&entry, 1}};
	for (uint32_t i = 0; i < 2; i++) {
		struct frame_barrier of_one = body;
		if (i != 0)
			of_one.cut.len = 0; /* an ingest without partitions */
		assert_int_equal(
		    deliver(harness,
		        topology_channel(&harness->topology, actor_id(ROLE_INGEST, i), harness->writer->id),
		        FRAME_BARRIER, &of_one),
		    RESULT_OK);
	}
	assert_int_equal(tick(harness), RESULT_OK);
}

/* A writer that is ahead of its job stays where it is: what comes is written and not counted, and its cut never goes back. */
static void test_documents_ahead(void **state)
{
	struct harness *harness = *state;
	struct cut_entry own = {0, 100};
	const struct frontier found = {.fence = ATTEMPT,
	    .last = {3, 9},
	    .started = true,
	    .cut = {&own, 1},
	    .counters = {.n = {[COUNTER_CONSUMED] = 40}}};
	deploy_documents(harness, &found, 100);
	documents(harness, 1, 80);
	assert_asked(harness, SINK_COMMIT);
	assert_true(epoch_equal(harness->script.predecessor, epoch_of(3, 9)));
	assert_int_equal(cut_get(&harness->script.cut, 0, -1), 100);
	assert_int_equal(cut_get(&harness->script.handled, 0, -1), 100);
	harness->script.answer.frontier.counters.n[COUNTER_CONSUMED] = 40;
	answer_ok(harness, SINK_COMMIT, SINK_DONE);
	const struct frame_committed *committed = &said(harness, FRAME_COMMITTED)->body.committed;
	assert_true(committed->live && !committed->silent);
	assert_int_equal(committed->actor, harness->writer->id);
	assert_int_equal(cut_get(&committed->cut, 0, -1), 100);
	documents(harness, 2, 130);
	assert_int_equal(cut_get(&harness->script.cut, 0, -1), 130);
	assert_int_equal(cut_get(&harness->script.handled, 0, -1), 100);
	/* What the sink has counted is what is told, also where only its answer was lost. */
	answer_ok(harness, SINK_COMMIT, SINK_UNKNOWN);
	wait_for_backoff(harness);
	harness->script.answer.frontier.last = epoch_of(ATTEMPT, 2);
	harness->script.answer.frontier.counters.n[COUNTER_CONSUMED] = 55;
	answer_ok(harness, SINK_LOOK, SINK_DONE);
	committed = &said(harness, FRAME_COMMITTED)->body.committed;
	assert_int_equal(committed->counters.n[COUNTER_CONSUMED], 55);
}

/* An epoch that waits may be stored while the one in front of it is committed. */
static void test_documents_next(void **state)
{
	struct harness *harness = *state;
	const struct frontier found = {.fence = ATTEMPT};
	deploy_documents(harness, &found, 60);
	for (uint64_t n = 1; n <= 3; n++)
		documents(harness, n, 60 + 10 * (int64_t)n);
	assert_asked(harness, SINK_COMMIT);
	assert_true(epoch_equal(harness->script.next, epoch_of(0, 0))); /* when it was asked */
	answer_ok(harness, SINK_COMMIT, SINK_DONE);
	assert_true(epoch_equal(harness->script.epoch, epoch_of(ATTEMPT, 2)));
	assert_true(epoch_equal(harness->script.next, epoch_of(ATTEMPT, 3)));
	answer_ok(harness, SINK_COMMIT, SINK_DONE);
	assert_true(epoch_equal(harness->script.epoch, epoch_of(ATTEMPT, 3)));
	assert_true(epoch_equal(harness->script.next, epoch_of(0, 0)));
	assert_int_equal(said(harness, FRAME_COMMITTED)->body.committed.epoch.n, 2);
}

/* Nobody else looks at its indices. A touch every five seconds, one at a time; none that fails ends the job, and a commit comes first. */
static void test_documents_idle(void **state)
{
	struct harness *harness = *state;
	const struct frontier found = {.fence = ATTEMPT};
	deploy_documents(harness, &found, 60);
	assert_int_equal(harness->writer->wake_us, harness->now_us + 5 * (uint64_t)SECOND_US);
	harness->now_us += 4 * (uint64_t)SECOND_US;
	assert_int_equal(tick(harness), RESULT_OK);
	for (int i = 0; i < 3; i++) {
		wait_for_backoff(harness); /* until the touch is due */
		harness->now_us += 40 * (uint64_t)SECOND_US;
		assert_int_equal(tick(harness), RESULT_OK);
		answer_ok(harness, SINK_TOUCH, i == 1 ? SINK_UNKNOWN : SINK_DONE);
		if (i != 1) {
			assert_asked(harness, SINK_NOTHING);
			assert_int_equal(harness->writer->wake_us, harness->now_us + 5 * (uint64_t)SECOND_US);
			continue;
		}
		assert_non_null(said(harness, FRAME_WAITING));
		wait_for_backoff(harness);
		answer_look(harness, epoch_of(0, 0));
		assert_asked(harness, SINK_NOTHING);
	}
	wait_for_backoff(harness);
	documents(harness, 1, 80);
	answer_ok(harness, SINK_TOUCH, SINK_UNKNOWN);
	wait_for_backoff(harness);
	answer_look(harness, epoch_of(0, 0));
	assert_asked(harness, SINK_COMMIT);
}

/* With other key groups than before it begins where the job does. */
static void test_documents_regrouped(void **state)
{
	struct harness *harness = *state;
	struct cut_entry own = {0, 100};
	const struct frontier found = {
	    .fence = ATTEMPT, .last = {3, 9}, .started = true, .cut = {&own, 1}, .regrouped = true};
	deploy_documents(harness, &found, 60);
	documents(harness, 1, 80);
	assert_int_equal(cut_get(&harness->script.cut, 0, -1), 80);
	assert_int_equal(cut_get(&harness->script.handled, 0, -1), 60);
}

/* Frontiers of writers that are no more count, too: the job is not further than they were. */
static void test_documents_surplus(void **state)
{
	struct harness *harness = *state;
	struct cut_entry own = {0, 100}, left = {0, 30};
	assert_int_equal(
	    deliver(harness, 0, FRAME_PREPARE, &(struct frame_prepare){.actor = harness->writer->id}), RESULT_OK);
	assert_int_equal(tick(harness), RESULT_OK);
	harness->script.answer.frontier =
	    (struct frontier){.fence = ATTEMPT, .last = {3, 9}, .started = true, .cut = {&own, 1}};
	harness->script.answer.surplus = true;
	harness->script.answer.surplus_cut = (struct cut){&left, 1};
	answer_ok(harness, SINK_FENCE, SINK_DONE);
	assert_int_equal(cut_get(&said(harness, FRAME_FENCED)->body.fenced.cut, 0, -1), 30);
}

/* As many checkpoints of as many partitions as settings and a topic allow: what is said of them travels, newest first. */
static void many_checkpoints_travel(void **state)
{
	enum { MANY = 1000, PARTITIONS = 10000 };
	struct harness *harness = *state;
	static struct cut_entry entries[PARTITIONS];
	static struct checkpoint_identity named[MANY];
	for (uint32_t i = 0; i < PARTITIONS; i++)
		entries[i] = (struct cut_entry){UINT32_MAX - PARTITIONS + i, INT64_MAX};
	for (uint32_t i = 0; i < MANY; i++)
		named[i] = (struct checkpoint_identity){
		    .epoch = {UINT64_MAX, MANY - i}, .cut = {entries, i == 0 ? 1 : PARTITIONS}};
	assert_int_equal(deliver(harness, 0, FRAME_PREPARE, &(struct frame_prepare){.actor = 0}), RESULT_OK);
	assert_int_equal(tick(harness), RESULT_OK);
	harness->script.answer.frontier =
	    (struct frontier){.fence = ATTEMPT, .last = {3, 9}, .started = true, .cut = {entries, PARTITIONS}};
	harness->script.answer.checkpoints = named;
	harness->script.answer.checkpoints_len = MANY;
	answer_ok(harness, SINK_FENCE, SINK_DONE);
	const struct frame *fenced = said(harness, FRAME_FENCED);
	assert_non_null(fenced);
	assert_int_equal(fenced->body.fenced.checkpoints.len, MANY);
	assert_int_equal(fenced->body.fenced.checkpoints.entries[0].epoch.n, MANY);
}

/* --- the comparison ------------------------------------------------------------------------------------------------ */

/* The checkpoint has 5 records that come to 1.00, the frontier 8 that come to 3.00. */
static void known_to_the_database(struct harness *harness)
{
	static char table[] = "per_day", column[] = "total";
	harness->pipeline.rollups_len = 1;
	harness->pipeline.rollups[0].table = table;
	harness->pipeline.rollups[0].measures_len = 1;
	harness->pipeline.rollups[0].measures[0] = (struct measure){.column = column, .precision = 15, .scale = 2};
	harness->checkpoint.counts = (struct counts){.counted = true,
	    .counters.n = {[COUNTER_CONSUMED] = 5, [COUNTER_ACCEPTED] = 5, [COUNTER_DIGEST] = UINT64_MAX},
	    .sums.known = true};
	harness->checkpoint.counts.sums.of[0][0] = (struct sum){100, 700};
	harness->frontier = (struct counts){.counted = true,
	    .counters.n = {[COUNTER_CONSUMED] = 8, [COUNTER_ACCEPTED] = 8, [COUNTER_DIGEST] = 41},
	    .sums.known = true};
	harness->frontier.sums.of[0][0] = (struct sum){300, 2100};
	harness->share.counters =
	    (struct counters){{[COUNTER_CONSUMED] = 3, [COUNTER_ACCEPTED] = 3, [COUNTER_DIGEST] = 42}};
	harness->before = (struct sum){100, 700};
	harness->after = (struct sum){300, 2100};
}

static void assert_differs(struct harness *harness, enum result result, const char *words)
{
	assert_int_equal(result, RESULT_CONFIG);
	if (strstr(harness->error.text, words) == NULL ||
	    strstr(harness->error.text, stop_way(STOP_STATE_DIFFERS)) == NULL)
		fail_msg("%s", harness->error.text);
	assert_asked(harness, SINK_NOTHING);
}

static void test_replay_is_compared(void **state)
{
	struct harness *harness = *state;
	known_to_the_database(harness);
	deploy(harness, 50);
	assert_int_equal(barrier(harness, 1, 100, false), RESULT_OK);
	/* And behind it: from barrier to barrier. */
	harness->before = harness->after;
	harness->after = (struct sum){500, 3500};
	assert_int_equal(barrier(harness, 2, 110, false), RESULT_OK);
	answer_ok(harness, SINK_COMMIT, SINK_DONE);
	harness->before.plain++;
	assert_differs(harness, barrier(harness, 3, 120, false),
	    "total of per_day adds up to 3.01 in the state, and to 5.00 in the database");
}

static void test_replay_counts_otherwise(void **state)
{
	struct harness *harness = *state;
	known_to_the_database(harness);
	harness->share.counters.n[COUNTER_CONSUMED] = harness->share.counters.n[COUNTER_ACCEPTED] = 2;
	deploy(harness, 50);
	assert_differs(harness, barrier(harness, 1, 100, false), "come to 7 consumed, the frontier says 8");
}

static void test_replay_of_other_records(void **state)
{
	struct harness *harness = *state;
	known_to_the_database(harness);
	harness->share.counters.n[COUNTER_DIGEST]++;
	deploy(harness, 50);
	assert_differs(harness, barrier(harness, 1, 100, false), "they are not the same ones");
}

static void test_restored_sums_differ(void **state)
{
	struct harness *harness = *state;
	known_to_the_database(harness);
	harness->before.plain--;
	deploy(harness, 50);
	assert_differs(
	    harness, barrier(harness, 1, 60, false), "adds up to 0.99 in the state, and to 1.00 in the database");
}

static void test_replayed_sums_differ(void **state)
{
	struct harness *harness = *state;
	known_to_the_database(harness);
	harness->after.weighted++;
	deploy(harness, 50);
	assert_differs(harness, barrier(harness, 1, 100, false), "but not in the same groups");
}

/* Nothing to replay: what is restored is what the frontier says. */
static void test_checkpoint_at_the_frontier_differs(void **state)
{
	struct harness *harness = *state;
	known_to_the_database(harness);
	deploy(harness, 100);
	assert_differs(harness, harness->deployed, "come to 5 consumed, the frontier says 8");
}

/* Rows of before they were kept are not compared; what is committed next is known. */
static void test_not_known_is_not_compared(void **state)
{
	struct harness *harness = *state;
	known_to_the_database(harness);
	harness->checkpoint.counts = (struct counts){0};
	harness->before = (struct sum){0};
	harness->after = (struct sum){9, 9};
	deploy(harness, 50);
	assert_int_equal(barrier(harness, 1, 100, false), RESULT_OK);
	harness->before = harness->after;
	assert_int_equal(barrier(harness, 2, 110, false), RESULT_OK);
	answer_ok(harness, SINK_COMMIT, SINK_DONE);
	harness->before.weighted++;
	assert_differs(harness, barrier(harness, 3, 120, false), "but not in the same groups");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_silence, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_replay_is_compared, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_replay_counts_otherwise, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_replay_of_other_records, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_restored_sums_differ, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_replayed_sums_differ, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_checkpoint_at_the_frontier_differs, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_not_known_is_not_compared, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_mark_unknown, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_mark_frontier_moved, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_look_finds_no_start, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_prepared_once_more, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_choose_unknown, setup, teardown),
	    cmocka_unit_test_setup_teardown(many_checkpoints_travel, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_retire, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_retire_between_commits, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_late, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_late_unknown, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_late_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_late_finds_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_lost_answer_and_touch, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_documents_ahead, setup_documents, teardown),
	    cmocka_unit_test_setup_teardown(test_documents_next, setup_documents, teardown),
	    cmocka_unit_test_setup_teardown(test_documents_idle, setup_documents, teardown),
	    cmocka_unit_test_setup_teardown(test_documents_regrouped, setup_documents, teardown),
	    cmocka_unit_test_setup_teardown(test_documents_surplus, setup_documents, teardown),
	};
	return cmocka_run_group_tests_name("writer", tests, NULL, NULL);
}
