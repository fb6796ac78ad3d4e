/* services/sink/writer_answers.c - what the port's answers mean, and what comes next; see writer_parts.h. */
#include <inttypes.h>

#include "common/base/log.h"
#include "common/base/mutant.h"
#include "services/sink/writer_parts.h"

static enum result broken(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
    struct outbox *outbox, struct error *error)
{
	(void)now_us, (void)outbox;
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

/* --- done ---------------------------------------------------------------------------------------------------------- */

static enum result on_fenced(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
    struct outbox *outbox, struct error *error)
{
	(void)error;
	keep_frontier(writer, &answer->frontier);
	writer_note_checkpoints(writer, answer);
	writer->fenced = true;
	writer->touched_us = now_us;
	say_fenced(writer, answer, outbox);
	return RESULT_OK;
}

static enum result on_cut_set(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
    struct outbox *outbox, struct error *error)
{
	(void)answer, (void)now_us, (void)error;
	cut_copy(&writer->frontier.cut, &writer->start);
	cut_copy(&writer->handled, &writer->start);
	writer->frontier.started = true;
	writer_note_start(writer);
	say_cut_set(writer, outbox);
	return RESULT_OK;
}

static enum result on_committed(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
    struct outbox *outbox, struct error *error)
{
	(void)error;
	writer_finish_first(writer, &answer->frontier, now_us, outbox);
	return RESULT_OK;
}

static enum result on_marked(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
    struct outbox *outbox, struct error *error)
{
	(void)answer, (void)now_us, (void)outbox, (void)error;
	writer_drop_unnamed(writer);
	return RESULT_OK;
}

static enum result on_chosen(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
    struct outbox *outbox, struct error *error)
{
	(void)answer, (void)now_us, (void)error;
	writer->choosing = false;
	writer_note_renamed(writer);
	if (!MUTANT(choice_unnoticed))
		writer->frontier.last = epoch_of_choice(writer->attempt);
	say_cut_set(writer, outbox);
	return RESULT_OK;
}

static enum result on_retired(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
    struct outbox *outbox, struct error *error)
{
	(void)answer, (void)now_us, (void)error;
	say_retired(writer->retirements, outbox);
	writer_drop_retirement(writer);
	return RESULT_OK;
}

/* After a look the epoch is sent again, and is late again: so an answer that was lost here needs no rule of its own. */
static enum result on_late_found(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
    struct outbox *outbox, struct error *error)
{
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

/* The frontier says what became of the epoch that got no answer; what has waited is sent again. */
static enum result on_looked(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
    struct outbox *outbox, struct error *error)
{
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
	} else if (writer->frontier.started && !answer->frontier.started && !MUTANT(start_not_looked_for)) {
		return error_set(error, RESULT_CORRUPT, "the frontier has lost the start that this writer recorded");
	} else if (writer->first == NULL) {
		say_waiting(writer, outbox, "");
	}
	if (writer->confirms) {
		writer->confirms = false;
		say_fence(writer, writer->attempt, outbox);
	}
	return RESULT_OK;
}

static enum result on_touched(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
    struct outbox *outbox, struct error *error)
{
	(void)writer, (void)answer, (void)now_us, (void)outbox, (void)error;
	return RESULT_OK;
}

/* --- refused ------------------------------------------------------------------------------------------------------- */

/* Somebody else has raised the fence, or the pipeline cannot run here. */
static enum result on_not_fenced(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
    struct outbox *outbox, struct error *error)
{
	(void)now_us;
	if (answer->outcome != SINK_FENCED && answer->outcome != SINK_MOVED) {
		*error = answer->error;
		return error->code = RESULT_CONFIG;
	}
	say_fence(writer, answer->frontier.fence, outbox);
	return RESULT_OK;
}

/* The next attempt sees what became of it. */
static enum result on_cut_not_set(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
    struct outbox *outbox, struct error *error)
{
	(void)writer, (void)now_us, (void)outbox;
	*error = answer->error;
	return error->code = answer->outcome == SINK_CONFIG ? RESULT_CONFIG : RESULT_RETRY;
}

static enum result on_not_committed(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
    struct outbox *outbox, struct error *error)
{
	if (answer->outcome != SINK_LATE)
		return broken(writer, answer, now_us, outbox, error);
	say_waiting(writer, outbox, "");
	writer->refusal = answer->error;
	writer_begin(writer, SINK_ASK_LATE, now_us);
	return RESULT_OK;
}

/* --- what an answer means ------------------------------------------------------------------------------------------ */

typedef enum result answer_handler(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
    struct outbox *outbox, struct error *error);

static const struct meaning {
	answer_handler *on_done;
	answer_handler *on_refused; /* of FENCED, MOVED, LATE, CONFIG */
	/* Asked next, after a pause, where it is not known what became of it. NOTHING: that is a refusal, too. */
	enum sink_request_kind after_unknown;
	bool settles; /* done: whatever was waited for is over */
} meanings[SINK_REQUEST_KINDS] = {
    [SINK_FENCE] = {on_fenced, on_not_fenced, SINK_FENCE, true},
    [SINK_SET_CUT] = {on_cut_set, on_cut_not_set, SINK_NOTHING, true},
    [SINK_COMMIT] = {on_committed, on_not_committed, SINK_LOOK, true},
    [SINK_LOOK] = {on_looked, broken, SINK_LOOK, false},
    [SINK_TOUCH] = {on_touched, broken, SINK_LOOK, true},
    [SINK_MARK] = {on_marked, broken, SINK_LOOK, true},
    [SINK_CHOOSE] = {on_chosen, broken, SINK_LOOK, true},
    [SINK_RETIRE] = {on_retired, broken, SINK_LOOK, true},
    [SINK_ASK_LATE] = {on_late_found, broken, SINK_LOOK, true},
};

static enum sink_request_kind after_unknown(const struct writer *writer, enum sink_request_kind kind)
{
	if (kind == SINK_COMMIT && writer->first != NULL && MUTANT(unknown_commit_is_failure))
		return SINK_COMMIT;
	return meanings[kind].after_unknown;
}

enum result writer_answered(struct writer *writer, const struct sink_answer *answer, uint64_t now_us,
    struct outbox *outbox, struct error *error)
{
	enum sink_request_kind kind = writer->request;
	const struct meaning *meaning = &meanings[kind];
	CHECK(kind != SINK_NOTHING);
	writer->request = SINK_NOTHING;
	if (kind == SINK_TOUCH) /* also where it is not known: the look behind it says the same */
		writer->touched_us = now_us;
	if (answer->outcome == SINK_UNKNOWN && meaning->after_unknown != SINK_NOTHING) {
		say_waiting(writer, outbox, answer->error.text);
		writer_back_off(writer, after_unknown(writer, kind), now_us);
		return RESULT_OK;
	}
	if (answer->outcome != SINK_DONE)
		return meaning->on_refused(writer, answer, now_us, outbox, error);
	if (meaning->settles) {
		writer->setbacks = 0;
		say_waiting(writer, outbox, "");
	}
	return meaning->on_done(writer, answer, now_us, outbox, error);
}
