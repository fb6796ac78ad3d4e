#include "services/aggregator/rollup.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/key_group.h"
#include "common/runtime/aligner.h"
#include "services/aggregator/actor_state.h"
#include "services/aggregator/group_batch.h"
#include "common/state/group_key.h"
#include "services/aggregator/group_table.h"

struct touched {
	uint32_t rollup;
	struct group_entry *entry;
};

struct rollup_actor {
	struct actor actor;
	const struct pipeline *pipeline;
	struct topology topology;
	uint64_t attempt;
	bool started;
	bool silent; /* what comes is in the database already */
	struct aligner aligner;
	struct group_batch writer; /* knows its channel */

	/* state */
	struct group_table totals[PIPELINE_ROLLUPS_MAX];
	struct actor_state stored; /* the same, by rollup and group */
	struct buffer key; /* scratch */

	/* this epoch */
	struct touched *touched;
	uint32_t touched_len, touched_capacity;
};

static bool rollup_accepts(const struct actor *actor, uint32_t channel);
static enum result rollup_on_frame(
    struct actor *actor, uint32_t channel, const struct frame *frame, struct outbox *outbox, struct error *error);
static enum result rollup_on_command(
    struct actor *actor, const struct frame *frame, struct outbox *outbox, struct error *error);
static enum result rollup_on_tick(struct actor *actor, uint64_t now_us, struct outbox *outbox, struct error *error);
static void rollup_free(struct actor *actor);

static const struct actor_ops rollup_ops = {
    .accepts = rollup_accepts,
    .on_frame = rollup_on_frame,
    .on_command = rollup_on_command,
    .on_tick = rollup_on_tick,
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
		group_table_init(&rollup->totals[i], (uint32_t)pipeline->rollups[i].measures_len);
	actor_state_init(&rollup->stored, &rollup->actor, port, pipeline->key_groups, topology->rollup);
	return &rollup->actor;
}

static void rollup_free(struct actor *actor)
{
	struct rollup_actor *rollup = (struct rollup_actor *)actor;
	aligner_fini(&rollup->aligner);
	group_batch_fini(&rollup->writer);
	actor_state_fini(&rollup->stored);
	buffer_fini(&rollup->key);
	for (size_t i = 0; i < PIPELINE_ROLLUPS_MAX; i++)
		group_table_fini(&rollup->totals[i]);
	free(rollup->touched);
	free(rollup);
}

/* --- dispatch -------------------------------------------------------------------------------------------------- */

static enum result on_deltas(struct rollup_actor *rollup, const struct groups *groups, struct error *error);
static enum result on_barrier(struct rollup_actor *rollup, uint32_t channel, const struct frame_barrier *barrier,
    struct outbox *outbox, struct error *error);
static enum result read_totals(struct rollup_actor *rollup, struct error *error);

static bool rollup_accepts(const struct actor *actor, uint32_t channel)
{
	const struct rollup_actor *rollup = (const struct rollup_actor *)actor;
	/* Not before it knows whether it replays. */
	return rollup->started && aligner_accepts(&rollup->aligner, channel);
}

static enum result rollup_on_frame(
    struct actor *actor, uint32_t channel, const struct frame *frame, struct outbox *outbox, struct error *error)
{
	struct rollup_actor *rollup = (struct rollup_actor *)actor;
	enum frame_kind kind = frame->header.kind;
	if (kind == FRAME_DELTAS)
		return on_deltas(rollup, &frame->body.deltas.groups, error);
	if (kind == FRAME_BARRIER)
		return on_barrier(rollup, channel, &frame->body.barrier, outbox, error);
	return error_set(
	    error, RESULT_CORRUPT, "channel %u: a rollup actor takes no %s", channel, frame_kind_name(kind));
}

static enum result rollup_on_command(
    struct actor *actor, const struct frame *frame, struct outbox *outbox, struct error *error)
{
	struct rollup_actor *rollup = (struct rollup_actor *)actor;
	(void)outbox, (void)error;
	if (frame->header.kind == FRAME_START) {
		CHECK(state_is_restored(rollup->stored.state));
		rollup->started = true;
		rollup->silent = frame->body.start.silent;
	}
	actor_state_command(&rollup->stored, frame);
	return RESULT_OK; /* the others are not for this actor */
}

static enum result rollup_on_tick(struct actor *actor, uint64_t now_us, struct outbox *outbox, struct error *error)
{
	struct rollup_actor *rollup = (struct rollup_actor *)actor;
	bool restored;
	enum result result = actor_state_tick(&rollup->stored, now_us, outbox, &restored, error);
	return result == RESULT_OK && restored ? read_totals(rollup, error) : result;
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
	enum result result = error_set(error, RESULT_CONFIG, "%s of %s would exceed DECIMAL(%d,%d)", measure->column,
	    (const char *)group.data, measure->precision, measure->scale);
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

static void touch(struct rollup_actor *rollup, uint32_t place, struct group_entry *entry)
{
	if (entry->touched)
		return;
	if (rollup->touched_len == rollup->touched_capacity) {
		rollup->touched_capacity = rollup->touched_capacity ? rollup->touched_capacity * 2 : 64;
		rollup->touched = memory_resize(rollup->touched, rollup->touched_capacity, sizeof *rollup->touched);
	}
	entry->touched = true;
	rollup->touched[rollup->touched_len++] = (struct touched){place, entry};
}

static enum result add_delta(struct rollup_actor *rollup, const struct group *group, struct error *error)
{
	uint64_t hash = key_hash(group->key);
	if (check_delta(rollup, group, hash, error) != RESULT_OK)
		return error->code;
	struct group_table *table = &rollup->totals[group->rollup];
	struct group_entry *entry = group_table_find(table, group->key, hash);
	if (entry == NULL) {
		if (check_group(rollup, group, error) != RESULT_OK)
			return error->code;
		entry = group_table_add(table, group->key, hash);
	}
	for (uint32_t m = 0; m < table->measures_len; m++) {
		int128 amount;
		memcpy(&amount, group->measures.data + m * sizeof amount, sizeof amount);
		if (!measure_add(&entry->measures[m], amount))
			return does_not_fit(rollup, group->rollup, entry, m, error);
	}
	touch(rollup, group->rollup, entry);
	return RESULT_OK;
}

static enum result on_deltas(struct rollup_actor *rollup, const struct groups *groups, struct error *error)
{
	for (uint32_t i = 0; i < groups->len; i++)
		if (add_delta(rollup, &groups->entries[i], error) != RESULT_OK)
			return error->code;
	return RESULT_OK;
}

/* --- state: the key of a group's total is the rollup's place and the group's key -------------------------------- */

struct reading {
	struct rollup_actor *rollup;
	enum result result;
	struct error *error;
};

static bool read_total(void *context, struct bytes key, struct bytes value)
{
	struct reading *reading = context;
	struct rollup_actor *rollup = reading->rollup;
	if (key.len == 0) {
		reading->result = error_set(reading->error, RESULT_CORRUPT, "a total in the state has no key");
		return false;
	}
	struct group group = {.rollup = key.data[0], .key = {key.data + 1, key.len - 1}, .measures = value};
	uint64_t hash = key_hash(group.key);
	reading->result = check_delta(rollup, &group, hash, reading->error);
	if (reading->result == RESULT_OK)
		reading->result = check_group(rollup, &group, reading->error);
	if (reading->result != RESULT_OK)
		return false;
	struct group_entry *entry = group_table_add(&rollup->totals[group.rollup], group.key, hash);
	memcpy(entry->measures, value.data, value.len);
	return true;
}

static enum result read_totals(struct rollup_actor *rollup, struct error *error)
{
	struct reading reading = {rollup, RESULT_OK, error};
	enum result result = state_scan(rollup->stored.state, read_total, &reading, error);
	return result == RESULT_OK ? reading.result : result;
}

static enum result store_total(struct rollup_actor *rollup, const struct touched *touched, struct error *error)
{
	const struct group_entry *entry = touched->entry;
	uint8_t place = (uint8_t)touched->rollup;
	buffer_clear(&rollup->key);
	buffer_append(&rollup->key, &place, 1);
	buffer_append(&rollup->key, entry->key.data, entry->key.len);
	struct bytes key = buffer_bytes(&rollup->key);
	struct group group = group_of_entry(&rollup->totals[touched->rollup], touched->rollup, entry);
	if (key.len > OVERLAY_KEY_MAX)
		return error_set(error, RESULT_CONFIG, "a group of %s has a key of %zu bytes, %d are possible",
		    rollup->pipeline->rollups[touched->rollup].table, key.len, OVERLAY_KEY_MAX);
	return state_put(rollup->stored.state, key_group(entry->hash, rollup->pipeline->key_groups), key_hash(key), key,
	    group.measures, 0, error);
}

/* --- the end of an epoch --------------------------------------------------------------------------------------- */

/* Only where an epoch ends: within one, a sale and its refund may come in either order. And never in silence: a replay
 * cuts the log elsewhere, and what no reader ever saw must not stop the job. */
static enum result check_totals(const struct rollup_actor *rollup, const struct touched *touched, struct error *error)
{
	const struct rollup *declared = &rollup->pipeline->rollups[touched->rollup];
	for (size_t m = 0; m < declared->measures_len; m++) {
		int128 limit = decimal_limit(declared->measures[m].precision), total = touched->entry->measures[m];
		if (total >= limit || total <= -limit)
			return does_not_fit(rollup, touched->rollup, touched->entry, m, error);
	}
	return RESULT_OK;
}

static enum result finish_epoch(struct rollup_actor *rollup, struct outbox *outbox, struct error *error)
{
	const struct frame_barrier *barrier = &rollup->aligner.merged;
	rollup->silent = rollup->silent && !barrier->lift;
	for (uint32_t i = 0; i < rollup->touched_len; i++) {
		struct touched *touched = &rollup->touched[i];
		if (!rollup->silent && check_totals(rollup, touched, error) != RESULT_OK)
			return error->code;
		if (store_total(rollup, touched, error) != RESULT_OK)
			return error->code;
		touched->entry->touched = false;
		struct group group = group_of_entry(&rollup->totals[touched->rollup], touched->rollup, touched->entry);
		group_batch_put(&rollup->writer, &group, outbox);
	}
	group_batch_flush(&rollup->writer, outbox);
	rollup->touched_len = 0;
	outbox_send(outbox, rollup->writer.channel, FRAME_BARRIER, barrier);
	actor_state_barrier(&rollup->stored, barrier, outbox);
	return RESULT_OK;
}

static enum result on_barrier(struct rollup_actor *rollup, uint32_t channel, const struct frame_barrier *barrier,
    struct outbox *outbox, struct error *error)
{
	bool aligned;
	if (barrier->epoch.attempt != rollup->attempt)
		return error_set(error, RESULT_CORRUPT, "channel %u: a barrier of attempt %llu in attempt %llu",
		    channel, (unsigned long long)barrier->epoch.attempt, (unsigned long long)rollup->attempt);
	if (aligner_barrier(&rollup->aligner, channel, barrier, &aligned, error) != RESULT_OK)
		return error->code;
	return aligned ? finish_epoch(rollup, outbox, error) : RESULT_OK;
}
