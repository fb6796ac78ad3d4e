#include "services/aggregator/rollup.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/key_group.h"
#include "common/base/mutant.h"
#include "common/runtime/aligner.h"
#include "services/aggregator/actor_state.h"
#include "services/aggregator/group_batch.h"
#include "common/state/group_key.h"
#include "services/aggregator/group_table.h"
#include "services/aggregator/rollup_sums.h"

struct rollup_actor {
	struct actor actor;
	const struct pipeline *pipeline;
	struct topology topology;
	uint64_t attempt;
	bool started;
	bool silent; /* what comes is in the database already */
	struct aligner aligner;
	struct group_batch writer; /* knows its channel */

	/* state: by rollup and group its totals, at the end of the last epoch */
	struct actor_state totals;
	struct rollup_sums sums; /* of them all */
	struct buffer key; /* scratch */

	/* this epoch: the groups that were touched, with their totals as they are now */
	struct group_table touched[PIPELINE_ROLLUPS_MAX];
};

static bool accepts(const struct actor *actor, uint32_t channel);
static actor_handler on_deltas, on_barrier, on_deploy, on_start, on_checkpoint_complete;
static enum result on_tick(struct actor *actor, uint64_t now_us, struct outbox *outbox, struct error *error);
static void rollup_free(struct actor *actor);

const struct actor_ops rollup_ops = {
    .accepts = accepts,
    .handlers =
        {
            [FRAME_DELTAS] = on_deltas,
            [FRAME_BARRIER] = on_barrier,
            [FRAME_DEPLOY] = on_deploy,
            [FRAME_START] = on_start,
            [FRAME_CHECKPOINT_COMPLETE] = on_checkpoint_complete,
        },
    .on_tick = on_tick,
    .free = rollup_free,
};

/* --- life ------------------------------------------------------------------------------------------------------ */

struct actor *rollup_new(const struct pipeline *pipeline, const struct topology *topology, struct state_port *port,
    uint32_t id, uint64_t attempt)
{
	CHECK(actor_role(id) == ROLE_ROLLUP && actor_index(id) < topology->rollup);
	struct rollup_actor *rollup = memory_new(sizeof *rollup);
	rollup->actor = (struct actor){.ops = &rollup_ops, .id = id, .event_fd = -1, .wake_us = WAKE_NEVER};
	rollup->pipeline = pipeline;
	rollup->topology = *topology;
	rollup->attempt = attempt;
	aligner_init(&rollup->aligner);
	for (uint32_t i = 0; i < topology->dedup; i++)
		aligner_add(&rollup->aligner, topology_channel(topology, actor_id(ROLE_DEDUP, i), id));
	group_batch_init(&rollup->writer, topology_channel(topology, id, actor_id(ROLE_WRITER, 0)), FRAME_TOTALS);
	for (size_t i = 0; i < pipeline->rollups_len; i++)
		group_table_init(&rollup->touched[i], (uint32_t)pipeline->rollups[i].measures_len);
	actor_state_init(&rollup->totals, &rollup->actor, port, pipeline->key_groups, topology->rollup);
	uint32_t first, groups_len = actor_groups(actor_index(id), pipeline->key_groups, topology->rollup, &first);
	rollup_sums_init(&rollup->sums, pipeline, rollup->totals.state, first, groups_len);
	return &rollup->actor;
}

static void rollup_free(struct actor *actor)
{
	struct rollup_actor *rollup = (struct rollup_actor *)actor;
	aligner_fini(&rollup->aligner);
	group_batch_fini(&rollup->writer);
	rollup_sums_fini(&rollup->sums);
	actor_state_fini(&rollup->totals);
	buffer_fini(&rollup->key);
	for (size_t i = 0; i < PIPELINE_ROLLUPS_MAX; i++)
		group_table_fini(&rollup->touched[i]);
	free(rollup);
}

static struct rollup_actor *rollup_of(struct actor *actor)
{
	return (struct rollup_actor *)actor;
}

static bool accepts(const struct actor *actor, uint32_t channel)
{
	const struct rollup_actor *rollup = (const struct rollup_actor *)actor;
	/* Not before it knows whether it replays. */
	return rollup->started && aligner_accepts(&rollup->aligner, channel);
}

static enum result on_tick(struct actor *actor, uint64_t now_us, struct outbox *outbox, struct error *error)
{
	return actor_state_tick(&rollup_of(actor)->totals, now_us, outbox, error);
}

static enum result on_deploy(
    struct actor *actor, uint32_t channel, const struct frame *command, struct outbox *outbox, struct error *error)
{
	(void)channel, (void)outbox, (void)error;
	actor_state_deploy(&rollup_of(actor)->totals, &command->body.deploy);
	return RESULT_OK;
}

static enum result on_start(
    struct actor *actor, uint32_t channel, const struct frame *command, struct outbox *outbox, struct error *error)
{
	struct rollup_actor *rollup = rollup_of(actor);
	(void)channel, (void)outbox;
	CHECK(state_is_restored(rollup->totals.state));
	if (rollup_sums_load(&rollup->sums, error) != RESULT_OK)
		return error->code;
	rollup->started = true;
	rollup->silent = command->body.start.silent;
	return RESULT_OK;
}

static enum result on_checkpoint_complete(
    struct actor *actor, uint32_t channel, const struct frame *command, struct outbox *outbox, struct error *error)
{
	(void)channel, (void)outbox, (void)error;
	actor_state_complete(&rollup_of(actor)->totals, &command->body.checkpoint_complete);
	return RESULT_OK;
}

/* --- deltas ---------------------------------------------------------------------------------------------------- */

/* table and group, for messages */
static void print_group(const struct rollup_actor *rollup, uint32_t place, struct bytes key, struct buffer *out)
{
	const struct rollup *declared = &rollup->pipeline->rollups[place];
	buffer_printf(out, "%s ", declared->table);
	group_key_print(declared, rollup->pipeline->record.fields, key, out);
	buffer_append(out, "", 1);
}

static enum result does_not_fit(
    const struct rollup_actor *rollup, uint32_t place, const struct group_entry *entry, size_t m, struct error *error)
{
	const struct measure *measure = &rollup->pipeline->rollups[place].measures[m];
	struct buffer group = {0};
	print_group(rollup, place, entry->key, &group);
	enum result result = error_stop(error, STOP_TOTAL_BEYOND_COLUMN, "%s of %s would exceed DECIMAL(%d,%d)",
	    measure->column, (const char *)group.data, measure->precision, measure->scale);
	buffer_fini(&group);
	return result;
}

static enum result check_group(const struct rollup_actor *rollup, const struct group *group, struct error *error)
{
	const struct pipeline *pipeline = rollup->pipeline;
	struct value columns[PIPELINE_COLUMNS_MAX];
	if (!group_key_read(&pipeline->rollups[group->rollup], pipeline->record.fields, group->key, columns))
		return error_set(
		    error, RESULT_CORRUPT, "a delta's key is not one of %s", pipeline->rollups[group->rollup].table);
	return RESULT_OK;
}

static enum result check_delta(
    const struct rollup_actor *rollup, const struct group *group, uint64_t hash, struct error *error)
{
	const struct pipeline *pipeline = rollup->pipeline;
	if (group->rollup >= pipeline->rollups_len)
		return error_set(
		    error, RESULT_CORRUPT, "a delta for rollup %u of %zu", group->rollup, pipeline->rollups_len);
	if (group->measures.len != pipeline->rollups[group->rollup].measures_len * sizeof(int128))
		return error_set(error, RESULT_CORRUPT, "a delta of %s with %zu bytes of measures",
		    pipeline->rollups[group->rollup].table, group->measures.len);
	uint32_t owner =
	    key_group_owner(key_group(hash, pipeline->key_groups), pipeline->key_groups, rollup->topology.rollup);
	if (owner != actor_index(rollup->actor.id))
		return error_set(error, RESULT_CORRUPT, "a delta of %s for a group that rollup.%u owns",
		    pipeline->rollups[group->rollup].table, owner);
	return RESULT_OK;
}

/* In the state, the key of a group's totals is the rollup's place and the group's key. */
static struct bytes state_key(struct rollup_actor *rollup, uint32_t place, struct bytes group)
{
	uint8_t first = MUTANT(rollup_not_in_key) ? 0 : (uint8_t)place;
	buffer_clear(&rollup->key);
	buffer_append(&rollup->key, &first, 1);
	buffer_append(&rollup->key, group.data, group.len);
	return buffer_bytes(&rollup->key);
}

/* For the first time in this epoch: from what the totals were at the end of the last one, or from nothing. NULL: error. */
static struct group_entry *touch(
    struct rollup_actor *rollup, const struct group *group, uint64_t hash, struct error *error)
{
	const char *table = rollup->pipeline->rollups[group->rollup].table;
	struct bytes key = state_key(rollup, group->rollup, group->key), value;
	if (check_group(rollup, group, error) != RESULT_OK)
		return NULL;
	if (key.len > OVERLAY_KEY_MAX) {
		(void)error_stop(error, STOP_OUR_FAULT, "a group of %s has a key of %zu bytes, %d are possible", table,
		    key.len, OVERLAY_KEY_MAX);
		return NULL;
	}
	if (state_find(rollup->totals.state, key_group(hash, rollup->pipeline->key_groups), key_hash(key), key, &value,
	        error) != RESULT_OK)
		return NULL;
	if (value.data != NULL && value.len != group->measures.len) {
		(void)error_set(
		    error, RESULT_CORRUPT, "the totals of a group of %s have %zu bytes in the state", table, value.len);
		return NULL;
	}
	struct group_entry *entry = group_table_add(&rollup->touched[group->rollup], group->key, hash);
	if (value.data != NULL)
		memcpy(entry->measures, value.data, value.len);
	return entry;
}

static enum result add_delta(struct rollup_actor *rollup, const struct group *group, struct error *error)
{
	uint64_t hash = key_hash(group->key);
	uint32_t owned = key_group(hash, rollup->pipeline->key_groups);
	if (check_delta(rollup, group, hash, error) != RESULT_OK)
		return error->code;
	struct group_table *table = &rollup->touched[group->rollup];
	struct group_entry *entry = group_table_find(table, group->key, hash);
	if (entry == NULL)
		entry = touch(rollup, group, hash, error);
	if (entry == NULL)
		return error->code;
	for (uint32_t m = 0; m < table->measures_len; m++) {
		int128 amount;
		memcpy(&amount, group->measures.data + m * sizeof amount, sizeof amount);
		if (!measure_add(&entry->measures[m], amount))
			return does_not_fit(rollup, group->rollup, entry, m, error);
		if (rollup_sums_add(&rollup->sums, owned, hash, group->rollup, m, amount, error) != RESULT_OK)
			return error->code;
	}
	return RESULT_OK;
}

static enum result on_deltas(
    struct actor *actor, uint32_t channel, const struct frame *frame, struct outbox *outbox, struct error *error)
{
	struct rollup_actor *rollup = rollup_of(actor);
	const struct groups *groups = &frame->body.deltas.groups;
	(void)channel, (void)outbox;
	for (uint32_t i = 0; i < groups->len; i++)
		if (add_delta(rollup, &groups->entries[i], error) != RESULT_OK)
			return error->code;
	return RESULT_OK;
}

/* --- the end of an epoch --------------------------------------------------------------------------------------- */

/* Only where an epoch ends: within one, a sale and its refund may come in either order. And never in silence: a replay
 * cuts the log elsewhere, and what no reader ever saw must not stop the job. */
static enum result check_totals(
    const struct rollup_actor *rollup, uint32_t place, const struct group_entry *entry, struct error *error)
{
	const struct rollup *declared = &rollup->pipeline->rollups[place];
	for (size_t m = 0; m < declared->measures_len; m++) {
		int128 limit = decimal_limit(declared->measures[m].precision), total = entry->measures[m];
		if (total >= limit || total <= -limit)
			return does_not_fit(rollup, place, entry, m, error);
	}
	return RESULT_OK;
}

static enum result finish_group(struct rollup_actor *rollup, uint32_t place, const struct group_entry *entry,
    struct outbox *outbox, struct error *error)
{
	const struct group group = group_of_entry(&rollup->touched[place], place, entry);
	if (!rollup->silent && check_totals(rollup, place, entry, error) != RESULT_OK)
		return error->code;
	struct bytes key = state_key(rollup, place, entry->key);
	if (state_put(rollup->totals.state, key_group(entry->hash, rollup->pipeline->key_groups), key_hash(key), key,
	        group.measures, 0, error) != RESULT_OK)
		return error->code;
	group_batch_put(&rollup->writer, &group, outbox);
	return RESULT_OK;
}

static enum result finish_epoch(struct rollup_actor *rollup, struct outbox *outbox, struct error *error)
{
	struct frame_barrier barrier = rollup->aligner.merged;
	rollup->silent = rollup->silent && !barrier.lift;
	for (uint32_t place = 0; place < rollup->pipeline->rollups_len; place++) {
		struct group_table *touched = &rollup->touched[place];
		for (uint32_t i = 0; i < touched->len; i++)
			if (finish_group(rollup, place, touched->entries[i], outbox, error) != RESULT_OK)
				return error->code;
	}
	group_batch_flush(&rollup->writer, outbox);
	for (uint32_t place = 0; place < rollup->pipeline->rollups_len; place++)
		group_table_clear(&rollup->touched[place]);
	if (barrier.checkpoint && rollup_sums_keep(&rollup->sums, error) != RESULT_OK)
		return error->code;
	barrier.sums = rollup_sums_say(&rollup->sums);
	outbox_send(outbox, rollup->writer.channel, FRAME_BARRIER, &barrier);
	actor_state_barrier(&rollup->totals, &barrier, outbox);
	return RESULT_OK;
}

static enum result on_barrier(
    struct actor *actor, uint32_t channel, const struct frame *frame, struct outbox *outbox, struct error *error)
{
	struct rollup_actor *rollup = rollup_of(actor);
	const struct frame_barrier *barrier = &frame->body.barrier;
	bool aligned;
	if (barrier->epoch.attempt != rollup->attempt)
		return error_set(error, RESULT_CORRUPT, "channel %u: a barrier of attempt %llu in attempt %llu",
		    channel, (unsigned long long)barrier->epoch.attempt, (unsigned long long)rollup->attempt);
	if (aligner_barrier(&rollup->aligner, channel, barrier, &aligned, error) != RESULT_OK)
		return error->code;
	return aligned ? finish_epoch(rollup, outbox, error) : RESULT_OK;
}
