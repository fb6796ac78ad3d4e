/* tests/unit/aggregator_harness.h - drives a dedup or rollup actor by hand and looks into its outbox. */
#ifndef AGGREGATOR_HARNESS_H
#define AGGREGATOR_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/decimal.h"
#include "common/base/key_group.h"
#include "common/base/pipeline.h"
#include "common/runtime/actor.h"
#include "proto/row.h"
#include "tests/unit/memory_state.h"

enum { ATTEMPT = 7, DAY_ONE = 19737 /* 2024-01-15 */ };
#define DAY_US INT64_C(86400000000)

static const char harness_text[] =
    "job: shop\n"
    "source: {topic: sales}\n"
    "record:\n"
    "  table: sales\n"
    "  key: id\n"
    "  event_time: at\n"
    "  fields:\n"
    "    - {name: id, type: string(36), required: true}\n"
    "    - {name: category, type: string(20), required: true}\n"
    "    - {name: quantity, type: integer}\n"
    "    - {name: amount, type: \"decimal(10,2)\", required: true}\n"
    "    - {name: at, type: timestamp, required: true}\n"
    "rollups:\n"
    "  - table: per_day\n"
    "    by: [{column: day, day: at}]\n"
    "    measures: [{column: total_sales, sum: amount, type: \"decimal(15,2)\"}]\n"
    "  - table: per_category\n"
    "    by: [{column: day, day: at}, {column: category, field: category}]\n"
    "    measures: [{column: total_sales, sum: amount, type: \"decimal(15,2)\"}]\n"
    "  - table: per_month\n"
    "    by: [{column: year, year: at}, {column: month, month: at}]\n"
    "    measures: [{column: total_sales, sum: amount, type: \"decimal(15,2)\"}]\n"
    "  - table: units\n"
    "    by: [{column: category, field: category}]\n"
    "    measures: [{column: units, sum: quantity, type: \"decimal(12,0)\"}, {column: sales, sum: amount, type: "
    "\"decimal(15,2)\"}]\n"
    "checkpoint: {dir: checkpoints}\n";
enum { PER_DAY, PER_CATEGORY, PER_MONTH, UNITS, HARNESS_FIELDS = 5 };

struct harness {
	struct pipeline pipeline;
	struct topology topology;
	struct actor *actor;
	struct outbox outbox;
	struct arena arena;
	struct error error;
	struct frame frames[64]; /* decoded by harness_take */
	size_t frames_len;
};

typedef struct actor *harness_new(
    const struct pipeline *, const struct topology *, struct state_port *, uint32_t, uint64_t);

static inline enum result harness_frame(
    struct harness *harness, uint32_t channel, enum frame_kind kind, const void *body, bool is_command);

/* With another pipeline than the harness's. */
static inline void harness_init_text(struct harness *harness, const char *pipeline, harness_new *new, enum role role,
    uint32_t index, struct topology topology)
{
	*harness = (struct harness){.topology = topology};
	const struct bytes text = {(const uint8_t *)pipeline, strlen(pipeline)};
	if (pipeline_parse(&harness->pipeline, "harness", text, &harness->error) != RESULT_OK)
		fail_msg("%s", harness->error.text);
	harness->actor =
	    new (&harness->pipeline, &harness->topology, memory_state_open(), actor_id(role, index), ATTEMPT);
	/* Restored from checkpoint 0: nothing. */
	assert_int_equal(harness_frame(harness, 0, FRAME_DEPLOY, &(struct frame_deploy){0}, true), RESULT_OK);
	assert_int_equal(
	    harness->actor->ops->on_tick(harness->actor, 1000000, &harness->outbox, &harness->error), RESULT_OK);
	assert_false(harness->actor->restoring);
	assert_int_equal(harness->outbox.len, 0);
}

static inline void harness_init(
    struct harness *harness, harness_new *new, enum role role, uint32_t index, struct topology topology)
{
	harness_init_text(harness, harness_text, new, role, index, topology);
}

static inline void harness_fini(struct harness *harness)
{
	harness->actor->ops->free(harness->actor);
	outbox_fini(&harness->outbox);
	arena_fini(&harness->arena);
	pipeline_fini(&harness->pipeline);
}

/* The channel from an actor, or to one. */
static inline uint32_t channel_from(const struct harness *harness, enum role role, uint32_t index)
{
	return topology_channel(&harness->topology, actor_id(role, index), harness->actor->id);
}
static inline uint32_t channel_to(const struct harness *harness, enum role role, uint32_t index)
{
	return topology_channel(&harness->topology, harness->actor->id, actor_id(role, index));
}

static inline enum frame_party sender_of(const struct harness *harness, uint32_t channel)
{
	return actor_party(topology_edge(&harness->topology, channel).from);
}

/* Encodes and decodes the frame on its way, as a channel does. */
static inline enum result harness_frame(
    struct harness *harness, uint32_t channel, enum frame_kind kind, const void *body, bool is_command)
{
	const struct frame_header header = {.kind = kind, .channel = channel, .attempt = ATTEMPT};
	struct buffer message = {0};
	struct arena arena = {0};
	struct frame frame;
	frame_encode(&message, &header, body);
	enum result result = frame_decode(buffer_bytes(&message), &arena, &frame, NULL, &harness->error);
	if (result == RESULT_OK && is_command)
		result = actor_command(harness->actor, &frame, &harness->outbox, &harness->error);
	else if (result == RESULT_OK)
		result = actor_frame(
		    harness->actor, sender_of(harness, channel), channel, &frame, &harness->outbox, &harness->error);
	/* What an actor keeps of a frame is its own: this memory is gone when the call is over. */
	buffer_fini(&message);
	arena_fini(&arena);
	return result;
}

/* Moves what was sent into harness->frames, decoded. */
static inline void harness_take(struct harness *harness)
{
	arena_clear(&harness->arena);
	harness->frames_len = 0;
	assert_true(harness->outbox.len <= 64);
	for (size_t i = 0; i < harness->outbox.len; i++) {
		struct outbox_item *item = &harness->outbox.items[i];
		const struct frame_header header = {.kind = item->kind, .channel = item->channel, .attempt = ATTEMPT};
		frame_header_write(item->message.data, item->message.len - FRAME_HEADER_SIZE, &header);
		void *copy = arena_clone(&harness->arena, item->message.data, item->message.len);
		if (frame_decode((struct bytes){copy, item->message.len}, &harness->arena,
		        &harness->frames[harness->frames_len++], NULL, &harness->error) != RESULT_OK)
			fail_msg("%s", harness->error.text);
	}
	outbox_clear(&harness->outbox);
}

/* The n-th frame of this kind sent to this channel; NULL: there are not so many. */
static inline const struct frame *sent(const struct harness *harness, uint32_t channel, enum frame_kind kind, size_t n)
{
	for (size_t i = 0; i < harness->frames_len; i++)
		if (harness->frames[i].header.channel == channel && harness->frames[i].header.kind == kind && n-- == 0)
			return &harness->frames[i];
	return NULL;
}

static inline int128 measure_of(const struct group *group, size_t m)
{
	int128 measure;
	assert_true(group->measures.len >= (m + 1) * sizeof measure);
	memcpy(&measure, group->measures.data + m * sizeof measure, sizeof measure);
	return measure;
}

/* A group key by hand. */
struct column {
	const char *text; /* NULL: number */
	int64_t number;
};
static inline struct bytes key_of(struct arena *arena, const struct column *columns, uint32_t len)
{
	struct buffer key = {0};
	struct value values[PIPELINE_COLUMNS_MAX];
	buffer_append(&key, &(uint8_t){(uint8_t)(0x90 | len)}, 1);
	for (uint32_t i = 0; i < len; i++)
		values[i] = columns[i].text ? (struct value){.kind = VALUE_TEXT,
		                                  .text = {(const uint8_t *)columns[i].text, strlen(columns[i].text)}}
		                            : (struct value){.kind = VALUE_INTEGER, .integer = columns[i].number};
	row_encode_values(&key, values, len);
	struct bytes bytes = {arena_clone(arena, key.data, key.len), key.len};
	buffer_fini(&key);
	return bytes;
}
static inline uint32_t rollup_owner(const struct harness *harness, struct bytes key)
{
	uint32_t groups = harness->pipeline.key_groups;
	return key_group_owner(key_group(key_hash(key), groups), groups, harness->topology.rollup);
}

#endif
