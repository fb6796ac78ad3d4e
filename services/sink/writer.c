#include "services/sink/writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/key_group.h"
#include "common/base/log.h"
#include "common/base/mutant.h"
#include "common/runtime/aligner.h"
#include "services/sink/epoch.h"

enum {
	DECISIONS_PER_PAGE = 20000,
	BACKOFF_FIRST_US = 50000,
	BACKOFF_MOST_US = 5000000,
	TOUCH_US = 30000000, /* an idle pipeline says so much */
};

/* What the port is busy with. */
enum request { REQUEST_NONE, REQUEST_FENCE, REQUEST_SET_CUT, REQUEST_COMMIT, REQUEST_LOOK, REQUEST_TOUCH };

struct writer {
	struct actor actor;
	const struct pipeline *pipeline;
	struct topology topology;
	struct sink_port *port;
	uint64_t attempt;
	struct aligner aligner;
	bool deployed;
	/* the database's side */
	enum request request;
	enum request next; /* when backoff is over */
	uint64_t next_us; /* when that is; 0: no backoff */
	uint32_t setbacks; /* in a row */
	uint64_t started_us; /* of the request */
	uint64_t touched_us; /* last sign of life in the frontier row */
	struct frontier frontier;
	struct cut start; /* SET_CUT */
	struct transaction transaction;
	char waiting[256];
	/* epochs */
	bool live; /* past the silent replay */
	struct cut base_cut;
	struct epoch *current; /* being received */
	struct epoch *first, *last; /* aligned, waiting for the database; first is the one being committed */
};

static struct writer *writer_of(struct actor *actor)
{
	return (struct writer *)actor;
}

/* --- what the coordinator is told ---------------------------------------------------------------------------------- */

static void say_waiting(struct writer *writer, struct outbox *outbox, const char *text)
{
	if (strcmp(writer->waiting, text) == 0)
		return;
	(void)snprintf(writer->waiting, sizeof writer->waiting, "%s", text);
	outbox_report(outbox, FRAME_WAITING, &(struct frame_waiting){.text = text});
}

static void say_decisions(struct outbox *outbox, const struct decisions *decisions)
{
	for (uint32_t first = 0; first < decisions->len; first += DECISIONS_PER_PAGE) {
		uint32_t len = decisions->len - first;
		struct frame_decisions page = {
		    .decisions = {decisions->entries + first, len < DECISIONS_PER_PAGE ? len : DECISIONS_PER_PAGE},
		    .last = len <= DECISIONS_PER_PAGE,
		};
		outbox_report(outbox, FRAME_DECISIONS, &page);
	}
}

static void say_fenced(struct writer *writer, const struct sink_answer *answer, struct outbox *outbox)
{
	struct frame_fenced fenced = {
	    .last = writer->frontier.last,
	    .started = writer->frontier.started,
	    .cut = writer->frontier.cut,
	    .counters = writer->frontier.counters,
	};
	fenced.checkpoints.entries = memory_resize(NULL, answer->checkpoints_len, sizeof *fenced.checkpoints.entries);
	for (size_t i = 0; i < answer->checkpoints_len; i++)
		fenced.checkpoints.entries[fenced.checkpoints.len++] =
		    (struct checkpoint_entry){answer->checkpoints[i].epoch, answer->checkpoints[i].cut};
	say_decisions(outbox, &answer->decisions);
	outbox_report(outbox, FRAME_FENCED, &fenced);
	free(fenced.checkpoints.entries);
}

static void say_committed(struct writer *writer, const struct epoch *epoch, uint64_t took_us, struct outbox *outbox)
{
	struct frame_committed committed = {
	    .epoch = epoch->id,
	    .silent = epoch->silent,
	    .live = writer->live,
	    .cut = writer->frontier.cut,
	    .counters = writer->frontier.counters,
	    .commit_us = took_us,
	};
	outbox_report(outbox, FRAME_COMMITTED, &committed);
}

/* --- requests ------------------------------------------------------------------------------------------------------ */

static void begin(struct writer *writer, enum request request, uint64_t now_us)
{
	struct sink_port *port = writer->port;
	CHECK(writer->request == REQUEST_NONE);
	writer->request = request;
	writer->next = REQUEST_NONE;
	writer->next_us = 0;
	writer->started_us = now_us;
	switch (request) {
	case REQUEST_NONE:
		panic("nothing is no request");
	case REQUEST_FENCE:
		port->ops->fence(port, writer->attempt);
		break;
	case REQUEST_SET_CUT:
		port->ops->set_cut(port, writer->attempt, &writer->start);
		break;
	case REQUEST_COMMIT:
		port->ops->commit(port, &writer->transaction);
		break;
	case REQUEST_LOOK:
		port->ops->look(port, writer->attempt);
		break;
	case REQUEST_TOUCH:
		port->ops->touch(port, writer->attempt, writer->frontier.last);
		break;
	}
}

/* Exponential with jitter, so that writers do not come back in step. */
static void back_off(struct writer *writer, enum request next, uint64_t now_us)
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
	const struct epoch *epoch = writer->first;
	writer->transaction = (struct transaction){
	    .fence = writer->attempt,
	    .predecessor = writer->frontier.last,
	    .epoch = epoch->id,
	    .cut = &epoch->cut,
	    .counters = epoch->counters,
	    .rows = epoch->rows,
	    .rows_len = epoch->rows_len,
	    .letters = epoch->letters,
	    .letters_len = epoch->letters_len,
	    .decisions = epoch->decisions,
	    .decisions_len = epoch->decisions_len,
	    .totals = epoch->totals,
	    .totals_len = epoch->totals_len,
	};
	begin(writer, REQUEST_COMMIT, now_us);
}

static void drop_first(struct writer *writer)
{
	struct epoch *done = writer->first;
	writer->first = done->next;
	if (writer->first == NULL)
		writer->last = NULL;
	epoch_free(done);
}

static void finish_first(struct writer *writer, uint64_t now_us, struct outbox *outbox)
{
	struct epoch *epoch = writer->first;
	CHECK(epoch != NULL);
	writer->frontier.last = epoch->id;
	cut_copy(&writer->frontier.cut, &epoch->cut);
	counters_add(&writer->frontier.counters, &epoch->counters);
	writer->setbacks = 0;
	writer->touched_us = now_us;
	say_waiting(writer, outbox, "");
	say_committed(writer, epoch, now_us - writer->started_us, outbox);
	drop_first(writer);
}

/* --- answers ------------------------------------------------------------------------------------------------------- */

static enum result broken(struct writer *writer, const struct sink_answer *answer, struct error *error)
{
	*error = answer->error;
	error_wrap(error, "epoch after %" PRIu64 ".%" PRIu64, writer->frontier.last.attempt, writer->frontier.last.n);
	error->code = answer->outcome == SINK_CONFIG ? RESULT_CONFIG : RESULT_CORRUPT;
	return error->code;
}

static void keep_frontier(struct writer *writer, const struct frontier *found)
{
	struct cut cut = writer->frontier.cut;
	cut_copy(&cut, &found->cut);
	writer->frontier = *found;
	writer->frontier.cut = cut;
}

static enum result on_fence_answer(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
    struct outbox *outbox, struct error *error)
{
	switch (answer->outcome) {
	case SINK_DONE:
		keep_frontier(writer, &answer->frontier);
		writer->setbacks = 0;
		writer->touched_us = now_us;
		say_waiting(writer, outbox, "");
		say_fenced(writer, answer, outbox);
		return RESULT_OK;
	case SINK_UNKNOWN:
		say_waiting(writer, outbox, answer->error.text);
		back_off(writer, REQUEST_FENCE, now_us);
		return RESULT_OK;
	case SINK_FENCED:
	case SINK_MOVED:
		outbox_report(outbox, FRAME_FENCED, &(struct frame_fenced){.fence = answer->frontier.fence});
		return RESULT_OK;
	case SINK_CONFIG:
		break;
	}
	*error = answer->error;
	return error->code = RESULT_CONFIG;
}

static enum result on_set_cut_answer(
    struct writer *writer, const struct sink_answer *answer, struct outbox *outbox, struct error *error)
{
	if (answer->outcome != SINK_DONE) {
		*error = answer->error; /* the next attempt sees what became of it */
		error->code = answer->outcome == SINK_CONFIG ? RESULT_CONFIG : RESULT_RETRY;
		return error->code;
	}
	cut_copy(&writer->frontier.cut, &writer->start);
	writer->frontier.started = true;
	outbox_report(outbox, FRAME_CUT_SET, &(struct frame_cut_set){.cut = writer->start});
	return RESULT_OK;
}

static enum result on_commit_answer(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
    struct outbox *outbox, struct error *error)
{
	bool again = MUTANT(unknown_commit_is_failure) && writer->first != NULL;
	switch (answer->outcome) {
	case SINK_DONE:
		finish_first(writer, now_us, outbox);
		return RESULT_OK;
	case SINK_UNKNOWN:
		say_waiting(writer, outbox, answer->error.text);
		back_off(writer, again ? REQUEST_COMMIT : REQUEST_LOOK, now_us);
		return RESULT_OK;
	case SINK_FENCED:
	case SINK_MOVED:
	case SINK_CONFIG:
		break;
	}
	return broken(writer, answer, error);
}

/* The frontier says what became of the epoch that got no answer. */
static enum result on_look_answer(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
    struct outbox *outbox, struct error *error)
{
	switch (answer->outcome) {
	case SINK_DONE:
		break;
	case SINK_UNKNOWN:
		say_waiting(writer, outbox, answer->error.text);
		back_off(writer, REQUEST_LOOK, now_us);
		return RESULT_OK;
	case SINK_FENCED:
	case SINK_MOVED:
	case SINK_CONFIG:
		return broken(writer, answer, error);
	}
	struct epoch_id found = answer->frontier.last;
	if (writer->first != NULL && !writer->first->silent && epoch_equal(found, writer->first->id)) {
		log_info(
		    "epoch %" PRIu64 ".%" PRIu64 " was committed; only its answer was lost", found.attempt, found.n);
		finish_first(writer, now_us, outbox);
	} else if (!epoch_equal(found, writer->frontier.last)) {
		return error_set(error, RESULT_CORRUPT,
		    "the frontier is at %" PRIu64 ".%" PRIu64 ", this writer left it at %" PRIu64 ".%" PRIu64,
		    found.attempt, found.n, writer->frontier.last.attempt, writer->frontier.last.n);
	} else {
		say_waiting(writer, outbox, "");
	}
	return RESULT_OK;
}

static enum result on_touch_answer(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
    struct outbox *outbox, struct error *error)
{
	writer->touched_us = now_us;
	return answer->outcome == SINK_DONE ? RESULT_OK : on_commit_answer(writer, answer, now_us, outbox, error);
}

static enum result on_answer(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
    struct outbox *outbox, struct error *error)
{
	enum request request = writer->request;
	writer->request = REQUEST_NONE;
	switch (request) {
	case REQUEST_NONE:
		panic("an answer to nothing");
	case REQUEST_FENCE:
		return on_fence_answer(writer, answer, now_us, outbox, error);
	case REQUEST_SET_CUT:
		return on_set_cut_answer(writer, answer, outbox, error);
	case REQUEST_COMMIT:
		return on_commit_answer(writer, answer, now_us, outbox, error);
	case REQUEST_LOOK:
		return on_look_answer(writer, answer, now_us, outbox, error);
	case REQUEST_TOUCH:
		return on_touch_answer(writer, answer, now_us, outbox, error);
	}
	return RESULT_OK;
}

/* Starts what comes next, if the port is free. */
static void go_on(struct writer *writer, uint64_t now_us, struct outbox *outbox)
{
	while (writer->request == REQUEST_NONE && writer->next == REQUEST_NONE && writer->first != NULL &&
	       writer->first->silent) {
		if (!MUTANT(silent_not_acked))
			say_committed(writer, writer->first, 0, outbox);
		drop_first(writer);
	}
	if (writer->request != REQUEST_NONE)
		return;
	if (writer->next != REQUEST_NONE) {
		if (writer->next_us <= now_us)
			begin(writer, writer->next, now_us);
	} else if (writer->first != NULL) {
		commit_first(writer, now_us);
	} else if (writer->deployed && writer->live && now_us >= writer->touched_us + TOUCH_US) {
		begin(writer, REQUEST_TOUCH, now_us);
	}
}

static enum result on_tick(struct actor *actor, uint64_t now_us, struct outbox *outbox, struct error *error)
{
	struct writer *writer = writer_of(actor);
	struct sink_answer *answer;
	while (writer->request != REQUEST_NONE && writer->port->ops->answer(writer->port, &answer)) {
		enum result result = on_answer(writer, answer, now_us, outbox, error);
		if (result != RESULT_OK)
			return result;
		go_on(writer, now_us, outbox);
	}
	go_on(writer, now_us, outbox);
	actor->wake_us = writer->next_us;
	if (writer->request == REQUEST_NONE && writer->next == REQUEST_NONE && writer->deployed && writer->live)
		actor->wake_us = writer->touched_us + TOUCH_US;
	return RESULT_OK;
}

/* --- epochs -------------------------------------------------------------------------------------------------------- */

static struct counters sum_of(const struct shares *shares)
{
	struct counters sum = {0};
	for (uint32_t i = 0; i < shares->len; i++)
		counters_add(&sum, &shares->entries[i].counters);
	return sum;
}

static enum result judge_silence(struct writer *writer, const struct cut *cut, bool *silent, struct error *error)
{
	const struct cut *frontier = &writer->frontier.cut;
	*silent = !writer->live && !MUTANT(no_silence);
	if (writer->live)
		return RESULT_OK;
	for (uint32_t i = 0; i < cut->len && !MUTANT(silence_too_long); i++) {
		uint32_t partition = cut->entries[i].partition;
		int64_t ceiling = cut_get(frontier, partition, cut_get(&writer->base_cut, partition, 0));
		if (cut->entries[i].offset > ceiling)
			return error_set(error, RESULT_CORRUPT,
			    "an epoch lies on both sides of the frontier (partition %u, offset %" PRId64
			    " behind %" PRId64 ")",
			    partition, cut->entries[i].offset, ceiling);
	}
	writer->live = true;
	for (uint32_t i = 0; i < frontier->len && writer->live; i++)
		writer->live = cut_get(cut, frontier->entries[i].partition, -1) == frontier->entries[i].offset;
	if (MUTANT(silence_too_long))
		writer->live = !cut_equal(cut, frontier);
	return RESULT_OK;
}

static enum result finish_epoch(struct writer *writer, struct error *error)
{
	const struct frame_barrier *barrier = &writer->aligner.merged;
	struct epoch *epoch = writer->current;
	const uint64_t *n = epoch->counters.n;
	enum result result = judge_silence(writer, &barrier->cut, &epoch->silent, error);
	if (result != RESULT_OK)
		return result;
	epoch->id = barrier->epoch;
	cut_copy(&epoch->cut, &barrier->cut);
	epoch->counters = sum_of(&barrier->shares);
	if (n[COUNTER_CONSUMED] != n[COUNTER_ACCEPTED] + n[COUNTER_DUPLICATES] + n[COUNTER_CONFLICTS] + n[COUNTER_DEAD])
		return error_set(error, RESULT_CONFIG,
		    "the counters of epoch %" PRIu64 ".%" PRIu64
		    " do not add up; nothing of it is written: please report this as a bug",
		    epoch->id.attempt, epoch->id.n);
	if (writer->last != NULL)
		writer->last->next = epoch;
	else
		writer->first = epoch;
	writer->last = epoch;
	writer->current = epoch_new();
	writer->actor.wake_us = WAKE_NOW;
	return RESULT_OK;
}

static bool accepts(const struct actor *actor, uint32_t channel)
{
	const struct writer *writer = (const struct writer *)actor;
	return aligner_accepts(&writer->aligner, channel);
}

static enum result on_frame(
    struct actor *actor, uint32_t channel, const struct frame *frame, struct outbox *outbox, struct error *error)
{
	struct writer *writer = writer_of(actor);
	(void)outbox;
	if (frame->header.kind == FRAME_BARRIER) {
		bool aligned;
		enum result result = aligner_barrier(&writer->aligner, channel, &frame->body.barrier, &aligned, error);
		return result == RESULT_OK && aligned ? finish_epoch(writer, error) : result;
	}
	/* What comes in silence is in the database already: it is not even kept. */
	if (writer->live && !epoch_add(writer->current, frame))
		return error_set(
		    error, RESULT_CORRUPT, "%s is no part of an epoch", frame_kind_name(frame->header.kind));
	return RESULT_OK;
}

static enum result on_command(
    struct actor *actor, const struct frame *command, struct outbox *outbox, struct error *error)
{
	struct writer *writer = writer_of(actor);
	(void)outbox, (void)error;
	actor->wake_us = WAKE_NOW;
	switch ((int)command->header.kind) {
	case FRAME_PREPARE:
		writer->next = REQUEST_FENCE;
		writer->next_us = WAKE_NOW;
		break;
	case FRAME_SET_CUT:
		cut_copy(&writer->start, &command->body.set_cut.cut);
		writer->next = REQUEST_SET_CUT;
		writer->next_us = WAKE_NOW;
		break;
	case FRAME_DEPLOY:
		writer->deployed = true;
		cut_copy(&writer->base_cut, &command->body.deploy.base_cut);
		writer->live = cut_equal(&writer->base_cut, &writer->frontier.cut);
		break;
	}
	return RESULT_OK;
}

static void writer_free(struct actor *actor)
{
	struct writer *writer = writer_of(actor);
	while (writer->first != NULL)
		drop_first(writer);
	epoch_free(writer->current);
	aligner_fini(&writer->aligner);
	cut_fini(&writer->frontier.cut);
	cut_fini(&writer->base_cut);
	cut_fini(&writer->start);
	free(writer);
}

static const struct actor_ops writer_ops = {accepts, on_frame, on_command, on_tick, writer_free};

struct actor *writer_new(const struct pipeline *pipeline, const struct topology *topology, struct sink_port *port,
    uint32_t id, uint64_t attempt)
{
	struct writer *writer = memory_new(sizeof *writer);
	writer->actor = (struct actor){&writer_ops, id, port->event_fd, WAKE_NEVER};
	writer->pipeline = pipeline;
	writer->topology = *topology;
	writer->port = port;
	writer->attempt = attempt;
	writer->current = epoch_new();
	aligner_init(&writer->aligner);
	for (uint32_t i = 0; i < topology->dedup; i++)
		aligner_add(&writer->aligner, topology_channel(topology, actor_id(ROLE_DEDUP, i), id));
	for (uint32_t i = 0; i < topology->rollup; i++)
		aligner_add(&writer->aligner, topology_channel(topology, actor_id(ROLE_ROLLUP, i), id));
	return &writer->actor;
}
