/* services/sink/writer_answers.c - what the port's answers mean, and what comes next; see writer_parts.h. */
#include <inttypes.h>

#include "common/base/log.h"
#include "common/base/mutant.h"
#include "services/sink/writer_parts.h"

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
	struct marks marks = writer->frontier.marks;
	cut_copy(&cut, &found->cut);
	marks_copy(&marks, &found->marks);
	writer->frontier = *found;
	writer->frontier.cut = cut;
	writer->frontier.marks = marks;
}

static enum result on_fence_answer(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
    struct outbox *outbox, struct error *error)
{
	switch (answer->outcome) {
	case SINK_DONE:
		keep_frontier(writer, &answer->frontier);
		writer_note_checkpoints(writer, answer);
		writer->setbacks = 0;
		writer->touched_us = now_us;
		say_waiting(writer, outbox, "");
		say_fenced(writer, answer, outbox);
		return RESULT_OK;
	case SINK_UNKNOWN:
		say_waiting(writer, outbox, answer->error.text);
		writer_back_off(writer, REQUEST_FENCE, now_us);
		return RESULT_OK;
	case SINK_FENCED:
	case SINK_MOVED:
		outbox_report(outbox, FRAME_FENCED,
		    &(struct frame_fenced){
		        .actor = writer->actor.id, .fence = answer->frontier.fence, .fingerprint = "", .changed = ""});
		return RESULT_OK;
	case SINK_LATE:
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
	say_waiting(writer, outbox, "");
	cut_copy(&writer->frontier.cut, &writer->start);
	cut_copy(&writer->handled, &writer->start);
	writer->frontier.started = true;
	writer_note_start(writer);
	say_cut_set(writer, outbox);
	return RESULT_OK;
}

static enum result on_commit_answer(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
    struct outbox *outbox, struct error *error)
{
	bool again = MUTANT(unknown_commit_is_failure) && writer->first != NULL;
	switch (answer->outcome) {
	case SINK_DONE:
		writer_finish_first(writer, &answer->frontier, now_us, outbox);
		return RESULT_OK;
	case SINK_UNKNOWN:
		say_waiting(writer, outbox, answer->error.text);
		writer_back_off(writer, again ? REQUEST_COMMIT : REQUEST_LOOK, now_us);
		return RESULT_OK;
	case SINK_LATE:
		say_waiting(writer, outbox, "");
		writer->refusal = answer->error;
		writer_begin(writer, REQUEST_LATE, now_us);
		return RESULT_OK;
	case SINK_FENCED:
	case SINK_MOVED:
	case SINK_CONFIG:
		break;
	}
	return broken(writer, answer, error);
}

/* Of the requests that may simply be sent again once a look has found the frontier where it was. *done: it is done. */
static enum result on_other_answer(struct writer *writer, const struct sink_answer *answer, bool *done, uint64_t now_us,
    struct outbox *outbox, struct error *error)
{
	*done = answer->outcome == SINK_DONE;
	switch (answer->outcome) {
	case SINK_DONE:
		writer->setbacks = 0;
		say_waiting(writer, outbox, "");
		return RESULT_OK;
	case SINK_UNKNOWN:
		say_waiting(writer, outbox, answer->error.text);
		writer_back_off(writer, REQUEST_LOOK, now_us);
		return RESULT_OK;
	case SINK_FENCED:
	case SINK_MOVED:
	case SINK_LATE:
	case SINK_CONFIG:
		break;
	}
	return broken(writer, answer, error);
}

static enum result on_mark_answer(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
    struct outbox *outbox, struct error *error)
{
	bool done;
	enum result result = on_other_answer(writer, answer, &done, now_us, outbox, error);
	if (done)
		writer_drop_unnamed(writer);
	return result;
}

static enum result on_choose_answer(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
    struct outbox *outbox, struct error *error)
{
	bool done;
	enum result result = on_other_answer(writer, answer, &done, now_us, outbox, error);
	if (done) {
		writer->choosing = false;
		writer_note_renamed(writer);
		if (!MUTANT(choice_unnoticed))
			writer->frontier.last = epoch_of_choice(writer->attempt);
		say_cut_set(writer, outbox);
	}
	return result;
}

static enum result on_retire_answer(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
    struct outbox *outbox, struct error *error)
{
	bool done;
	enum result result = on_other_answer(writer, answer, &done, now_us, outbox, error);
	if (done) {
		say_retired(writer->retirements, outbox);
		writer_drop_retirement(writer);
	}
	return result;
}

/* After a look the epoch is sent again, and is late again: so an answer that was lost here needs no rule of its own. */
static enum result on_late_answer(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
    struct outbox *outbox, struct error *error)
{
	bool done;
	enum result result = on_other_answer(writer, answer, &done, now_us, outbox, error);
	if (!done)
		return result;
	if (answer->decisions.len > 0 || writer->surveying) {
		if (!writer->surveying)
			log_warn("late duplicates behind epoch %" PRIu64 ".%" PRIu64 ": %s",
			    writer->frontier.last.attempt, writer->frontier.last.n, writer->refusal.text);
		writer_survey(writer, &answer->decisions, now_us, outbox);
		return RESULT_OK;
	}
	*error = writer->refusal;
	error_wrap(error,
	    "epoch after %" PRIu64 ".%" PRIu64 ": refused, though no row of it has a key that the table holds",
	    writer->frontier.last.attempt, writer->frontier.last.n);
	error->code = RESULT_CONFIG;
	return error_way(error, STOP_TABLE_KEY);
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
		writer_back_off(writer, REQUEST_LOOK, now_us);
		return RESULT_OK;
	case SINK_FENCED:
	case SINK_MOVED:
	case SINK_LATE:
	case SINK_CONFIG:
		return broken(writer, answer, error);
	}
	struct epoch_id found = answer->frontier.last;
	if (writer->first != NULL && !writer->first->silent && epoch_equal(found, writer->first->id)) {
		log_info(
		    "epoch %" PRIu64 ".%" PRIu64 " was committed; only its answer was lost", found.attempt, found.n);
		writer_finish_first(writer, &answer->frontier, now_us, outbox);
	} else if (!epoch_equal(found, writer->frontier.last) &&
	           !(writer->choosing && epoch_equal(found, epoch_of_choice(writer->attempt)))) {
		return error_set(error, RESULT_CORRUPT,
		    "the frontier is at %" PRIu64 ".%" PRIu64 ", this writer left it at %" PRIu64 ".%" PRIu64,
		    found.attempt, found.n, writer->frontier.last.attempt, writer->frontier.last.n);
	} else if (writer->first == NULL) {
		say_waiting(writer, outbox, ""); /* otherwise what has waited is sent again */
	}
	return RESULT_OK;
}

static enum result on_touch_answer(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
    struct outbox *outbox, struct error *error)
{
	bool done;
	writer->touched_us = now_us;
	return on_other_answer(writer, answer, &done, now_us, outbox, error);
}

enum result writer_answered(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
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
	case REQUEST_MARK:
		return on_mark_answer(writer, answer, now_us, outbox, error);
	case REQUEST_CHOOSE:
		return on_choose_answer(writer, answer, now_us, outbox, error);
	case REQUEST_RETIRE:
		return on_retire_answer(writer, answer, now_us, outbox, error);
	case REQUEST_LATE:
		return on_late_answer(writer, answer, now_us, outbox, error);
	case REQUEST_LOOK:
		return on_look_answer(writer, answer, now_us, outbox, error);
	case REQUEST_TOUCH:
		return on_touch_answer(writer, answer, now_us, outbox, error);
	}
	return RESULT_OK;
}
