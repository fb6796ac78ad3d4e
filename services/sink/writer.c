#include "services/sink/writer.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/mutant.h"
#include "services/sink/writer_parts.h"

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
	const struct job_plan *plan = writer->topology.plan;
	struct epoch *epoch = writer->current;
	const uint64_t *n = epoch->counters.n;
	enum result result = judge_silence(writer, &barrier->cut, &epoch->silent, error);
	if (result != RESULT_OK)
		return result;
	epoch->id = barrier->epoch;
	cut_copy(&epoch->cut, &barrier->cut);
	marks_copy(&epoch->marks, &barrier->marks);
	if (plan->own_frontiers)
		marks_raise(&epoch->marks, &writer->frontier.marks);
	if (plan->own_frontiers && !MUTANT(handled_not_raised))
		cut_raise(&epoch->cut, &writer->handled);
	epoch->checkpoint = barrier->checkpoint;
	epoch->counters = sum_of(&barrier->shares);
	if (n[COUNTER_CONSUMED] != n[COUNTER_ACCEPTED] + n[COUNTER_DUPLICATES] + n[COUNTER_CONFLICTS] + n[COUNTER_DEAD])
		return error_stop(error, STOP_OUR_FAULT, "the counters of epoch %" PRIu64 ".%" PRIu64 " do not add up",
		    epoch->id.attempt, epoch->id.n);
	if (plan->has_checkpoints && writer_compare_epoch(writer, epoch, error) != RESULT_OK)
		return error->code;
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
	return !writer->over && aligner_accepts(&writer->aligner, channel);
}

static enum result on_barrier(
    struct actor *actor, uint32_t channel, const struct frame *frame, struct outbox *outbox, struct error *error)
{
	struct writer *writer = writer_of(actor);
	const struct frame_barrier *barrier = &frame->body.barrier;
	bool aligned;
	(void)outbox;
	if (writer->over)
		return RESULT_OK;
	if (!sums_take(&writer->current->before, &writer->current->after, writer->pipeline, &barrier->sums))
		return error_set(error, RESULT_CORRUPT, "a barrier with sums that the pipeline file does not declare");
	enum result result = aligner_barrier(&writer->aligner, channel, barrier, &aligned, error);
	return result == RESULT_OK && aligned ? finish_epoch(writer, error) : result;
}

/* What comes in silence is in the database already: it is not even kept. */
static bool keeps(const struct writer *writer)
{
	return !writer->over && writer->live;
}

static enum result on_rows(
    struct actor *actor, uint32_t channel, const struct frame *frame, struct outbox *outbox, struct error *error)
{
	struct writer *writer = writer_of(actor);
	(void)channel, (void)outbox, (void)error;
	if (keeps(writer))
		epoch_add_rows(writer->current, frame->encoded_body);
	return RESULT_OK;
}

static enum result on_dead_letters(
    struct actor *actor, uint32_t channel, const struct frame *frame, struct outbox *outbox, struct error *error)
{
	struct writer *writer = writer_of(actor);
	(void)channel, (void)outbox, (void)error;
	if (keeps(writer))
		epoch_add_letters(writer->current, &frame->body.dead_letters.letters);
	return RESULT_OK;
}

static enum result on_decisions(
    struct actor *actor, uint32_t channel, const struct frame *frame, struct outbox *outbox, struct error *error)
{
	struct writer *writer = writer_of(actor);
	(void)channel, (void)outbox, (void)error;
	if (keeps(writer))
		epoch_add_decisions(writer->current, &frame->body.decisions.decisions);
	return RESULT_OK;
}

static enum result on_totals(
    struct actor *actor, uint32_t channel, const struct frame *frame, struct outbox *outbox, struct error *error)
{
	struct writer *writer = writer_of(actor);
	(void)channel, (void)outbox, (void)error;
	if (keeps(writer))
		epoch_add_totals(writer->current, &frame->body.totals.groups);
	return RESULT_OK;
}

/* --- commands ------------------------------------------------------------------------------------------------------ */

static void add_retirement(struct writer *writer, const struct frame_retire *retire)
{
	struct retirement *retirement = memory_new(sizeof *retirement), **end = &writer->retirements;
	uint32_t len = retire->checkpoints.len;
	retirement->checkpoints.entries = memory_new((len + 1) * sizeof *retirement->checkpoints.entries);
	retirement->identities = memory_new((len + 1) * sizeof *retirement->identities);
	retirement->checkpoints.len = len;
	for (uint32_t i = 0; i < len; i++) {
		const struct checkpoint_entry *entry = &retire->checkpoints.entries[i];
		retirement->identities[i] = retirement->checkpoints.entries[i].epoch = entry->epoch;
	}
	retirement->kept = retire->kept;
	cut_copy(&retirement->oldest_cut, &retire->oldest_cut);
	while (*end != NULL)
		end = &(*end)->next;
	*end = retirement;
}

static enum result on_prepare(
    struct actor *actor, uint32_t channel, const struct frame *command, struct outbox *outbox, struct error *error)
{
	struct writer *writer = writer_of(actor);
	(void)channel, (void)command, (void)outbox, (void)error;
	writer->confirms = writer->fenced;
	writer->next = writer->fenced ? SINK_LOOK : SINK_FENCE;
	writer->next_us = WAKE_NOW;
	actor->wake_us = WAKE_NOW;
	return RESULT_OK;
}

static enum result on_set_cut(
    struct actor *actor, uint32_t channel, const struct frame *command, struct outbox *outbox, struct error *error)
{
	struct writer *writer = writer_of(actor);
	const struct frame_set_cut *set = &command->body.set_cut;
	(void)channel, (void)outbox, (void)error;
	/* It may be ahead of the job, where its frontier is of just these key groups. */
	bool ahead = writer->topology.plan->own_frontiers && writer->frontier.started &&
	             (!writer->frontier.regrouped || MUTANT(regrouped_keeps_cut));
	cut_copy(&writer->start, ahead ? &writer->frontier.cut : &set->cut);
	facts_copy(&writer->remember, &writer->memory, &set->remember);
	writer->next = SINK_SET_CUT;
	writer->next_us = WAKE_NOW;
	actor->wake_us = WAKE_NOW;
	return RESULT_OK;
}

static enum result on_choose(
    struct actor *actor, uint32_t channel, const struct frame *command, struct outbox *outbox, struct error *error)
{
	struct writer *writer = writer_of(actor);
	const struct frame_choose *choose = &command->body.choose;
	(void)channel, (void)outbox, (void)error;
	facts_copy(&writer->remember, &writer->memory, &choose->remember);
	writer->choosing = true;
	writer->chosen = choose->checkpoint;
	writer->renamed = choose->renamed;
	actor->wake_us = WAKE_NOW;
	return RESULT_OK;
}

static enum result on_deploy(
    struct actor *actor, uint32_t channel, const struct frame *command, struct outbox *outbox, struct error *error)
{
	struct writer *writer = writer_of(actor);
	const struct frame_deploy *deploy = &command->body.deploy;
	(void)channel, (void)outbox;
	writer->deployed = true;
	cut_copy(&writer->base_cut, &deploy->base_cut);
	bool replays = writer->topology.plan->has_checkpoints;
	writer->live = !replays || cut_equal(&writer->base_cut, &writer->frontier.cut);
	actor->wake_us = WAKE_NOW;
	return replays ? writer_compare_begin(writer, deploy->base, error) : RESULT_OK;
}

static enum result on_start(
    struct actor *actor, uint32_t channel, const struct frame *command, struct outbox *outbox, struct error *error)
{
	(void)channel, (void)command, (void)outbox, (void)error;
	actor->wake_us = WAKE_NOW;
	return RESULT_OK;
}

static enum result on_retire(
    struct actor *actor, uint32_t channel, const struct frame *command, struct outbox *outbox, struct error *error)
{
	(void)channel, (void)outbox, (void)error;
	add_retirement(writer_of(actor), &command->body.retire);
	actor->wake_us = WAKE_NOW;
	return RESULT_OK;
}

static enum result on_tick(struct actor *actor, uint64_t now_us, struct outbox *outbox, struct error *error)
{
	return writer_advance(writer_of(actor), now_us, outbox, error);
}

static void writer_free(struct actor *actor)
{
	struct writer *writer = writer_of(actor);
	while (writer->first != NULL)
		writer_drop_first(writer);
	while (writer->unnamed != NULL)
		writer_drop_unnamed(writer);
	while (writer->retirements != NULL)
		writer_drop_retirement(writer);
	free(writer->bodies);
	free(writer->late.entries);
	epoch_free(writer->current);
	writer_compare_end(writer);
	aligner_fini(&writer->aligner);
	cut_fini(&writer->frontier.cut);
	marks_fini(&writer->frontier.marks);
	arena_fini(&writer->memory);
	cut_fini(&writer->base_cut);
	cut_fini(&writer->start);
	cut_fini(&writer->handled);
	free(writer);
}

const struct actor_ops writer_ops = {
    .accepts = accepts,
    .handlers =
        {
            [FRAME_ROWS] = on_rows,
            [FRAME_DEAD_LETTERS] = on_dead_letters,
            [FRAME_DECISIONS] = on_decisions,
            [FRAME_TOTALS] = on_totals,
            [FRAME_BARRIER] = on_barrier,
            [FRAME_PREPARE] = on_prepare,
            [FRAME_SET_CUT] = on_set_cut,
            [FRAME_CHOOSE] = on_choose,
            [FRAME_DEPLOY] = on_deploy,
            [FRAME_START] = on_start,
            [FRAME_RETIRE] = on_retire,
        },
    .on_tick = on_tick,
    .free = writer_free,
};

struct actor *writer_new(const struct pipeline *pipeline, const struct topology *topology, struct sink_port *port,
    uint32_t id, uint64_t attempt)
{
	struct writer *writer = memory_new(sizeof *writer);
	writer->actor = (struct actor){.ops = &writer_ops, .id = id, .event_fd = port->event_fd, .wake_us = WAKE_NEVER};
	writer->pipeline = pipeline;
	writer->topology = *topology;
	writer->port = port;
	writer->attempt = attempt;
	writer->current = epoch_new();
	aligner_init(&writer->aligner);
	for (uint32_t channel = 1; channel <= topology_channels(topology); channel++)
		if (topology_edge(topology, channel).to == id)
			aligner_add(&writer->aligner, channel);
	return &writer->actor;
}
