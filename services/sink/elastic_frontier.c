/* services/sink/elastic_frontier.c - see elastic_frontier.h. */
#include "services/sink/elastic_frontier.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/crash_point.h"
#include "common/base/key_group.h"
#include "common/base/log.h"

enum { TRIES_MAX = 5 };

/* --- what the answer says ---------------------------------------------------------------------------------------- */

static bool is_regrouped(const struct elastic_writer *self, const struct control *control)
{
	return control->first_group != self->first_group || control->groups != self->groups ||
	       control->key_groups != self->pipeline->key_groups;
}

static void frontier_fill(const struct elastic_writer *self, struct frontier *frontier)
{
	const struct control *mine = &self->mine;

	frontier->fence = mine->fence;
	frontier->last = mine->last;
	frontier->started = mine->started;
	cut_copy(&frontier->cut, &mine->cut);
	marks_copy(&frontier->marks, &mine->marks);
	frontier->counters = mine->counters;
	memcpy(frontier->fingerprint, mine->fingerprint, sizeof frontier->fingerprint);
	frontier->regrouped = is_regrouped(self, mine);
}

static enum sink_outcome fenced(const struct control *control, uint64_t attempt, struct sink_answer *answer)
{
	answer->frontier.fence = control->fence;
	error_set(&answer->error, RESULT_CORRUPT,
	    "another writer has raised the fence to %" PRIu64 "; this one has %" PRIu64, control->fence, attempt);
	return SINK_FENCED;
}

static enum sink_outcome moved(struct elastic_writer *self, const struct control *control, struct sink_answer *answer)
{
	if (!control->exists)
		error_set(&answer->error, RESULT_CORRUPT, "the control document %s.%" PRIu32 " is gone", self->job,
		    self->writer);
	else
		error_set(&answer->error, RESULT_CORRUPT,
		    "the control document %s.%" PRIu32 " is at %" PRIu64 ".%" PRIu64
		    ", and this writer left it at %" PRIu64 ".%" PRIu64,
		    self->job, self->writer, control->last.attempt, control->last.n, self->mine.last.attempt,
		    self->mine.last.n);
	return SINK_MOVED;
}

/* --- fence ------------------------------------------------------------------------------------------------------- */

static void groups_set(const struct elastic_writer *self, struct control *control)
{
	control->first_group = self->first_group;
	control->groups = self->groups;
	control->key_groups = self->pipeline->key_groups;
	(void)snprintf(control->index, sizeof control->index, "%s", self->pipeline->sinks.elasticsearch.index);
}

/* A frontier is worth nothing for another index. */
static enum sink_outcome index_check(struct elastic_writer *self, const struct control *control, struct error *error)
{
	const char *index = self->pipeline->sinks.elasticsearch.index;

	if (!control->started || strcmp(control->index, index) == 0)
		return SINK_DONE;
	error_stop(error, STOP_INDEX_RENAMED, "job %s writes to index %.180s, and sinks.elasticsearch.index now is %s",
	    self->job, control->index, index);
	return SINK_CONFIG;
}

/* One document, read and written again with a higher fence; MOVED: somebody else was faster, again. */
static enum sink_outcome fence_once(struct elastic_writer *self, uint32_t writer, uint64_t attempt, bool make,
    struct control *control, struct sink_answer *answer)
{
	bool own = writer == self->writer;
	int64_t raised_seq_no = own && self->raised == attempt ? self->mine.seq_no : -1;
	enum sink_outcome outcome = control_read(&self->controls, writer, control, &answer->error);

	if (outcome != SINK_DONE || (!control->exists && !make))
		return outcome;
	/* By this very process, and something else failed then; a surplus one only by who had raised its own. */
	if (control->exists && control->fence == attempt && (!own || control->seq_no == raised_seq_no))
		return SINK_DONE;
	if (control->exists && control->fence >= attempt)
		return fenced(control, attempt, answer);
	outcome = index_check(self, control, &answer->error);
	if (outcome == SINK_DONE && own && control->exists)
		outcome = elastic_runner_look(&self->runner, self->job, control, &answer->error);
	if (outcome != SINK_DONE)
		return outcome;
	if (!control->exists) {
		groups_set(self, control);
		control->writers = self->writers;
	}
	/* Who comes with fewer writers finds by it those that this attempt is about to make. */
	if (own && control->writers < self->writers)
		control->writers = self->writers;
	control->fence = attempt;
	(void)snprintf(control->runner, sizeof control->runner, "%s", self->runner.coordinator);
	outcome = control_write(&self->controls, writer, control, &answer->error);
	if (outcome == SINK_DONE)
		CRASH_POINT(control_fenced);
	if (outcome == SINK_DONE && own)
		self->raised = attempt;
	return outcome;
}

static enum sink_outcome fence_raise(struct elastic_writer *self, uint32_t writer, uint64_t attempt, bool make,
    struct control *control, struct sink_answer *answer)
{
	enum sink_outcome outcome = SINK_MOVED;

	for (int i = 0; i < TRIES_MAX && outcome == SINK_MOVED; i++)
		outcome = fence_once(self, writer, attempt, make, control, answer);
	if (outcome == SINK_MOVED) {
		error_wrap(&answer->error, "it changes all the time");
		answer->error.code = RESULT_RETRY;
		outcome = SINK_UNKNOWN;
	}
	return outcome;
}

/* Of writers that are no more: their documents may be behind everybody else's until all have taken over. */
static enum sink_outcome surplus_fence(struct elastic_writer *self, uint64_t attempt, struct sink_answer *answer)
{
	uint32_t end = self->writer == 0 ? self->mine.writers : 0;
	enum sink_outcome outcome = SINK_DONE;

	self->surplus_end = end > self->writers ? end : self->writers;
	for (uint32_t i = self->writers; i < self->surplus_end && outcome == SINK_DONE; i++) {
		outcome = fence_raise(self, i, attempt, false, &self->other, answer);
		if (outcome != SINK_DONE || !self->other.exists || !self->other.started)
			continue;
		if (answer->surplus)
			cut_lower(&answer->surplus_cut, &self->other.cut);
		else
			cut_copy(&answer->surplus_cut, &self->other.cut);
		answer->surplus = true;
	}
	return outcome;
}

enum sink_outcome elastic_writer_fence(struct elastic_writer *self, uint64_t attempt, struct sink_answer *answer)
{
	bulk_forget(&self->bulk);
	enum sink_outcome outcome = indices_prepare_control(&self->indices, &answer->error);

	if (outcome == SINK_DONE)
		outcome = fence_raise(self, self->writer, attempt, true, &self->mine, answer);
	if (outcome == SINK_DONE)
		outcome = indices_prepare(&self->indices, self->mine.started, &answer->error);
	if (outcome == SINK_DONE)
		outcome = surplus_fence(self, attempt, answer);
	if (outcome == SINK_DONE) {
		frontier_fill(self, &answer->frontier);
		facts_copy(&answer->remembered, &answer->arena, &self->mine.remembered);
	}
	return outcome;
}

/* --- changes under the fence ------------------------------------------------------------------------------------- */

/* After a compare-and-swap that was refused: `next` may be there all the same, sent once by us and answered never. *again: it
 * is not, but nothing else is either. */
static enum sink_outcome conflict_judge(struct elastic_writer *self, bool *again, struct sink_answer *answer)
{
	struct control *found = &self->other;
	enum sink_outcome outcome = control_read(&self->controls, self->writer, found, &answer->error);

	*again = false;
	if (outcome != SINK_DONE)
		return outcome;
	if (!found->exists)
		return moved(self, found, answer);
	if (found->fence != self->next.fence)
		return fenced(found, self->next.fence, answer);
	if (found->started == self->next.started && epoch_equal(found->last, self->next.last) &&
	    cut_equal(&found->cut, &self->next.cut)) {
		control_copy(&self->mine, found);
		return SINK_DONE;
	}
	if (!epoch_equal(found->last, self->mine.last))
		return moved(self, found, answer);
	if (found->seq_no == self->mine.seq_no) {
		/* A replica that is not as far as the primary. */
		error_set(
		    &answer->error, RESULT_RETRY, "the control document was changed, and is read as if it was not");
		return SINK_UNKNOWN;
	}
	self->mine.seq_no = self->next.seq_no = found->seq_no;
	self->mine.primary_term = self->next.primary_term = found->primary_term;
	*again = true;
	return SINK_DONE;
}

static enum sink_outcome next_write(struct elastic_writer *self, struct sink_answer *answer)
{
	for (int i = 0; i < TRIES_MAX; i++) {
		bool again = false;
		enum sink_outcome outcome = control_write(&self->controls, self->writer, &self->next, &answer->error);
		if (outcome == SINK_DONE)
			control_copy(&self->mine, &self->next);
		if (outcome == SINK_MOVED)
			outcome = conflict_judge(self, &again, answer);
		if (!again) {
			if (outcome == SINK_DONE)
				frontier_fill(self, &answer->frontier);
			return outcome;
		}
	}
	error_set(&answer->error, RESULT_RETRY, "the control document changes all the time");
	return SINK_UNKNOWN;
}

/* All others have recorded the cut of this attempt by now. */
static enum sink_outcome surplus_delete(struct elastic_writer *self, uint64_t attempt, struct sink_answer *answer)
{
	enum sink_outcome outcome = SINK_DONE;

	for (uint32_t i = self->writers; i < self->surplus_end && outcome == SINK_DONE; i++) {
		outcome = control_read(&self->controls, i, &self->other, &answer->error);
		if (outcome == SINK_DONE && self->other.exists && self->other.fence != attempt)
			return fenced(&self->other, attempt, answer);
		if (outcome == SINK_DONE && self->other.exists)
			outcome = control_delete(&self->controls, i, &self->other, &answer->error);
		if (outcome == SINK_MOVED) { /* fenced, or gone: what we write next notices */
			answer->error.code = RESULT_RETRY;
			outcome = SINK_UNKNOWN;
		}
	}
	if (outcome == SINK_DONE)
		self->surplus_end = self->writers;
	return outcome;
}

static enum sink_outcome own_check(
    struct elastic_writer *self, uint64_t attempt, const struct epoch_id *predecessor, struct sink_answer *answer)
{
	if (self->mine.exists && self->mine.fence == attempt &&
	    (!predecessor || epoch_equal(self->mine.last, *predecessor)))
		return SINK_DONE;
	error_set(&answer->error, RESULT_CORRUPT,
	    "this writer left the control document %s.%" PRIu32 " at %" PRIu64 ".%" PRIu64 " under fence %" PRIu64,
	    self->job, self->writer, self->mine.last.attempt, self->mine.last.n, self->mine.fence);
	return SINK_MOVED;
}

enum sink_outcome elastic_writer_set_cut(struct elastic_writer *self, uint64_t attempt, const struct cut *cut,
    const struct facts *remember, struct sink_answer *answer)
{
	enum sink_outcome outcome = own_check(self, attempt, NULL, answer);

	if (outcome != SINK_DONE)
		return outcome;
	bool counts = self->mine.started && !is_regrouped(self, &self->mine);
	bool same_meaning = strcmp(self->mine.fingerprint, self->pipeline->fingerprint) == 0;
	if (self->mine.started && !same_meaning)
		log_warn("the pipeline file means something else than before: documents from here on are as it says "
		         "now, those "
		         "that are there stay as they are");
	bool remembers = self->writer == 0 && remember->len > 0;
	if (counts && same_meaning && cut_equal(&self->mine.cut, cut) && !remembers) {
		frontier_fill(self, &answer->frontier);
		return SINK_DONE;
	}
	control_copy(&self->next, &self->mine);
	groups_set(self, &self->next);
	/* Until the surplus documents are deleted it has to be known that there are some. */
	self->next.writers = self->surplus_end > self->writers ? self->surplus_end : self->writers;
	self->next.started = true;
	cut_copy(&self->next.cut, cut);
	if (!counts) { /* what other key groups came to is not this frontier's */
		self->next.counters = (struct counters){0};
		cut_copy(&self->next.since, cut);
	}
	if (self->writer == 0 && !self->mine.started)
		cut_copy(&self->next.start, cut);
	if (remembers)
		facts_raise(&self->next.remembered, &self->next.arena, remember);
	memcpy(self->next.fingerprint, self->pipeline->fingerprint, sizeof self->next.fingerprint);
	return next_write(self, answer);
}

enum sink_outcome elastic_writer_touch(
    struct elastic_writer *self, uint64_t attempt, struct epoch_id predecessor, struct sink_answer *answer)
{
	enum sink_outcome outcome = own_check(self, attempt, &predecessor, answer);

	if (outcome == SINK_DONE)
		outcome = indices_watch(&self->indices, &answer->error);
	if (outcome == SINK_DONE)
		outcome = surplus_delete(self, attempt, answer);
	if (outcome != SINK_DONE)
		return outcome;
	control_copy(&self->next, &self->mine);
	self->next.writers = self->writers;
	return next_write(self, answer);
}

static enum sink_outcome commit(
    struct elastic_writer *self, const struct transaction *transaction, struct sink_answer *answer)
{
	struct counters counters;
	enum sink_outcome outcome = own_check(self, transaction->fence, &transaction->predecessor, answer);

	if (outcome == SINK_DONE)
		outcome = bulk_store(&self->bulk, transaction, &counters, &answer->error);
	if (outcome == SINK_DONE)
		CRASH_POINT(documents_stored);
	if (outcome == SINK_DONE)
		outcome = indices_watch_sometimes(&self->indices, &answer->error);
	if (outcome == SINK_DONE)
		outcome = surplus_delete(self, transaction->fence, answer);
	if (outcome != SINK_DONE)
		return outcome;
	control_copy(&self->next, &self->mine);
	self->next.writers = self->writers;
	self->next.last = transaction->epoch;
	cut_copy(&self->next.cut, transaction->cut);
	marks_copy(&self->next.marks, transaction->marks);
	self->next.started = true;
	counters_add(&self->next.counters, &counters);
	return next_write(self, answer);
}

enum sink_outcome elastic_writer_commit(
    struct elastic_writer *self, const struct transaction *transaction, struct sink_answer *answer)
{
	enum sink_outcome outcome = commit(self, transaction, answer);

	if (outcome == SINK_DONE)
		CRASH_POINT(control_written);
	else
		bulk_stop(&self->bulk);
	return outcome;
}

enum sink_outcome elastic_writer_look(struct elastic_writer *self, uint64_t attempt, struct sink_answer *answer)
{
	struct control *found = &self->other;
	enum sink_outcome outcome = control_read(&self->controls, self->writer, found, &answer->error);

	if (outcome != SINK_DONE)
		return outcome;
	if (!found->exists)
		return moved(self, found, answer);
	if (found->fence != attempt)
		return fenced(found, attempt, answer);
	outcome = indices_watch(&self->indices, &answer->error);
	if (outcome != SINK_DONE)
		return outcome;
	control_copy(&self->mine, found);
	frontier_fill(self, &answer->frontier);
	return SINK_DONE;
}

/* --- beginning and end ------------------------------------------------------------------------------------------- */

static void groups_find(struct elastic_writer *self)
{
	uint32_t key_groups = self->pipeline->key_groups;

	for (uint32_t group = key_groups; group-- > 0;)
		if (key_group_owner(group, key_groups, self->writers) == self->writer) {
			self->first_group = group;
			self->groups++;
		}
}

enum result elastic_writer_init(struct elastic_writer *self, const struct pipeline *pipeline, const char *job,
    uint32_t writer, uint32_t writers, const struct sink_runner *runner, int stop_fd, struct error *error)
{
	*self = (struct elastic_writer){
	    .pipeline = pipeline, .job = text_clone(job), .writer = writer, .writers = writers, .surplus_end = writers};
	self->controls = (struct controls){.http = &self->http, .request = &self->request, .job = self->job};
	self->indices =
	    (struct indices){.http = &self->http, .request = &self->request, .pipeline = pipeline, .job = self->job};
	if (runner != NULL)
		(void)snprintf(self->runner.coordinator, sizeof self->runner.coordinator, "%s", runner->coordinator);
	groups_find(self);
	enum result result = http_open(&self->http, &pipeline->sinks.elasticsearch, stop_fd, error);
	if (result == RESULT_OK)
		result = bulk_init(&self->bulk, &self->http, &self->indices, pipeline, error);
	return result;
}

void elastic_writer_fini(struct elastic_writer *self)
{
	http_request_fini(&self->request);
	bulk_fini(&self->bulk);
	indices_fini(&self->indices);
	http_close(&self->http);
	control_fini(&self->mine);
	control_fini(&self->next);
	control_fini(&self->other);
	free(self->job);
}
