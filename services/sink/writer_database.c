/* services/sink/writer_database.c - what the writer asks of its port, one request at a time; see writer_parts.h. */
#include <inttypes.h>
#include <stdlib.h>

#include "common/base/key_group.h"
#include "common/base/crash_point.h"
#include "common/base/log.h"
#include "common/base/mutant.h"
#include "services/sink/writer_parts.h"

enum {
	BACKOFF_FIRST_US = 50000,
	BACKOFF_MOST_US = 5000000,
	COMMITS_PAST_RETIREMENT = 4,
};

/* The rows of every epoch that is aligned: what is found now costs no attempt of its own. */
static size_t gather_bodies(struct writer *writer)
{
	size_t len = 0;
	writer->asked = 0;
	for (const struct epoch *epoch = writer->first; epoch != NULL; epoch = epoch->next) {
		len += epoch->rows_len;
		writer->asked++;
	}
	writer->bodies = memory_resize(writer->bodies, len + 1, sizeof *writer->bodies);
	len = 0;
	for (const struct epoch *epoch = writer->first; epoch != NULL; epoch = epoch->next)
		for (size_t i = 0; i < epoch->rows_len; i++)
			writer->bodies[len++] = epoch->rows[i];
	return len;
}

static void request_fill(struct writer *writer, struct sink_request *request)
{
	switch (request->kind) {
	case SINK_SET_CUT:
		request->cut = &writer->start;
		request->remember = &writer->remember;
		break;
	case SINK_COMMIT:
		request->transaction = &writer->transaction;
		break;
	case SINK_MARK:
		writer->marked = (struct checkpoint_identity){
		    .epoch = writer->unnamed->id,
		    .cut = writer->unnamed->cut,
		    .counts = writer->unnamed->held,
		    .marks = writer->unnamed->marks,
		};
		request->marked = &writer->marked;
		break;
	case SINK_CHOOSE:
		request->checkpoint = writer->chosen;
		request->renamed = writer->renamed;
		request->remember = &writer->remember;
		break;
	case SINK_RETIRE:
		request->retired = writer->retirements->identities;
		request->retired_len = writer->retirements->checkpoints.len;
		request->checkpoint = writer->retirements->kept;
		request->cut = &writer->retirements->oldest_cut;
		break;
	case SINK_ASK_LATE:
		request->bodies_len = gather_bodies(writer);
		request->bodies = writer->bodies;
		break;
	case SINK_FENCE:
	case SINK_LOOK:
	case SINK_TOUCH:
		break;
	case SINK_NOTHING:
	case SINK_REQUEST_KINDS:
		panic("nothing is no request");
	}
}

void writer_begin(struct writer *writer, enum sink_request_kind kind, uint64_t now_us)
{
	struct sink_request request = {.kind = kind, .attempt = writer->attempt, .predecessor = writer->frontier.last};
	CHECK(writer->request == SINK_NOTHING);
	writer->request = kind;
	writer->next = SINK_NOTHING;
	writer->next_us = 0;
	writer->started_us = now_us;
	request_fill(writer, &request);
	writer->port->ops->start(writer->port, &request);
}

void writer_back_off(struct writer *writer, enum sink_request_kind next, uint64_t now_us)
{
	uint64_t pause = (uint64_t)BACKOFF_FIRST_US << (writer->setbacks < 7 ? writer->setbacks : 7);
	if (pause > BACKOFF_MOST_US)
		pause = BACKOFF_MOST_US;
	uint64_t seed[2] = {now_us, writer->attempt};
	pause = pause / 2 + key_hash((struct bytes){(const uint8_t *)seed, sizeof seed}) % (pause / 2 + 1);
	writer->setbacks++;
	writer->next = next;
	writer->next_us = now_us + pause;
}

static void commit_first(struct writer *writer, uint64_t now_us)
{
	const struct epoch *epoch = writer->first, *next = epoch->next;
	const struct job_plan *plan = writer->topology.plan;
	if (writer->retirements != NULL)
		writer->retirements->passed++;
	writer->transaction = (struct transaction){
	    .fence = writer->attempt,
	    .predecessor = writer->frontier.last,
	    .epoch = epoch->id,
	    .checkpoint = epoch->checkpoint,
	    .cut = &epoch->cut,
	    .marks = &epoch->marks,
	    .counters = epoch->counters,
	    .before = &epoch->before,
	    .after = &epoch->after,
	    .handled = plan->own_frontiers && !MUTANT(handled_not_applied) ? &writer->handled : NULL,
	    .rows = epoch->rows,
	    .rows_len = epoch->rows_len,
	    .letters = epoch->letters,
	    .letters_len = epoch->letters_len,
	    .decisions = epoch->decisions,
	    .decisions_len = epoch->decisions_len,
	    .totals = epoch->totals,
	    .totals_len = epoch->totals_len,
	};
	if (plan->shows_next && next != NULL)
		writer->transaction.next = (struct epoch_bodies){next->id, next->rows, next->rows_len};
	writer_begin(writer, SINK_COMMIT, now_us);
}

static struct epoch *take_first(struct writer *writer)
{
	struct epoch *first = writer->first;
	writer->first = first->next;
	if (writer->first == NULL)
		writer->last = NULL;
	return first;
}

void writer_drop_first(struct writer *writer)
{
	epoch_free(take_first(writer));
}

void writer_drop_unnamed(struct writer *writer)
{
	struct epoch *done = writer->unnamed;
	writer->unnamed = done->next;
	epoch_free(done);
}

static void keep_unnamed(struct writer *writer, struct epoch *epoch)
{
	struct epoch **end = &writer->unnamed;
	while (*end != NULL)
		end = &(*end)->next;
	epoch->next = NULL;
	*end = epoch;
}

void writer_drop_retirement(struct writer *writer)
{
	struct retirement *done = writer->retirements;
	writer->retirements = done->next;
	free(done->checkpoints.entries);
	free(done->identities);
	cut_fini(&done->oldest_cut);
	free(done);
}

void writer_finish_silent(struct writer *writer, struct outbox *outbox)
{
	if (!MUTANT(silent_not_acked))
		say_committed(writer, writer->first, 0, outbox);
	if (writer->first->checkpoint)
		keep_unnamed(writer, take_first(writer));
	else
		writer_drop_first(writer);
}

void writer_finish_first(struct writer *writer, const struct frontier *now, uint64_t now_us, struct outbox *outbox)
{
	struct epoch *epoch = writer->first;
	CHECK(epoch != NULL);
	writer->frontier.last = epoch->id;
	cut_copy(&writer->frontier.cut, &epoch->cut);
	marks_copy(&writer->frontier.marks, &epoch->marks);
	if (writer->topology.plan->counts_at_sink)
		writer->frontier.counters = now->counters;
	else
		counters_add(&writer->frontier.counters, &epoch->counters);
	writer->frontier.sums = epoch->after;
	writer->setbacks = 0;
	writer->touched_us = now_us;
	say_waiting(writer, outbox, "");
	CRASH_POINT(commit_said);
	say_committed(writer, epoch, now_us - writer->started_us, outbox);
	writer_drop_first(writer);
}

/* An epoch that waits goes first, but a retirement is not passed for ever. */
static bool retirement_is_due(const struct writer *writer)
{
	return writer->retirements != NULL &&
	       (writer->first == NULL || writer->retirements->passed >= COMMITS_PAST_RETIREMENT);
}

static uint64_t touch_due_us(const struct writer *writer)
{
	const struct job_plan *plan = MUTANT(idle_unwatched) ? &job_plans[JOB_TOTALS] : writer->topology.plan;
	return writer->touched_us + plan->touch_us;
}

/* Starts what comes next, if the port is free. */
static void go_on(struct writer *writer, uint64_t now_us, struct outbox *outbox)
{
	while (writer->request == SINK_NOTHING && writer->next == SINK_NOTHING && writer->first != NULL &&
	       writer->first->silent)
		writer_finish_silent(writer, outbox);
	if (writer->request != SINK_NOTHING)
		return;
	if (writer->next != SINK_NOTHING) {
		if (writer->next_us <= now_us)
			writer_begin(writer, writer->next, now_us);
	} else if (writer->surveying) {
		if (writer->first != NULL)
			writer_begin(writer, SINK_ASK_LATE, now_us);
		else if (now_us >= writer->survey_end_us)
			writer_survey_end(writer, outbox);
	} else if (writer->choosing) {
		writer_begin(writer, SINK_CHOOSE, now_us);
	} else if (writer->unnamed != NULL && (writer->live || MUTANT(named_in_silence))) {
		writer_begin(writer, SINK_MARK, now_us);
	} else if (retirement_is_due(writer)) {
		writer_begin(writer, SINK_RETIRE, now_us);
	} else if (writer->first != NULL) {
		commit_first(writer, now_us);
	} else if (writer->deployed && writer->live && now_us >= touch_due_us(writer)) {
		writer_begin(writer, SINK_TOUCH, now_us);
	}
}

/* A request that is not answered yet may have something to say. */
static void hear_words(struct writer *writer, struct outbox *outbox)
{
	char text[sizeof writer->waiting];

	if (writer->port->ops->late_words == NULL || !writer->port->ops->late_words(writer->port, text, sizeof text))
		return;
	if (writer->request != SINK_NOTHING)
		say_waiting(writer, outbox, text);
}

enum result writer_advance(struct writer *writer, uint64_t now_us, struct outbox *outbox, struct error *error)
{
	struct sink_answer *answer;
	writer->now_us = now_us;
	while (writer->request != SINK_NOTHING && writer->port->ops->answer(writer->port, &answer)) {
		enum result result = writer_answered(writer, answer, now_us, outbox, error);
		if (result != RESULT_OK)
			return result;
		if (!writer->over)
			go_on(writer, now_us, outbox);
	}
	hear_words(writer, outbox);
	if (writer->over) {
		writer->actor.wake_us = WAKE_NEVER;
		return RESULT_OK;
	}
	go_on(writer, now_us, outbox);
	writer->actor.wake_us = writer->next_us;
	if (writer->request == SINK_NOTHING && writer->next == SINK_NOTHING && writer->deployed && writer->live)
		writer->actor.wake_us = writer->surveying ? writer->survey_end_us : touch_due_us(writer);
	if (writer->over)
		writer->actor.wake_us = WAKE_NEVER;
	return RESULT_OK;
}
