/* tests/fuzz/fuzz_letters.c - any records of a topic: what ingest and dedup make of them are frames that travel, and each record is
 * counted, once, and has its letter where it was refused.
 *
 * libFuzzer's entry. Each record is five bytes and a payload: the key's length, what the payload is, the partition, the timestamp, and
 * how many bytes of the input follow for it. Keys and payloads of megabytes are made, not read: the input stays small.
 */
#include <stdlib.h>
#include <string.h>

#include "common/runtime/actor.h"
#include "proto/letter.h"
#include "proto/row.h"
#include "services/aggregator/dedup.h"
#include "services/ingest/ingest.h"
#include "tests/unit/memory_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PARTITIONS = 2, RECORDS_MAX = 64, LARGE = 6 * 1024 * 1024, ATTEMPT = 7 };

static const char text[] = "job: shop\n"
                           "source: {topic: sales}\n"
                           "record:\n"
                           "  table: sales\n"
                           "  key: id\n"
                           "  event_time: at\n"
                           "  max_record_bytes: 3MiB\n"
                           "  fields:\n"
                           "    - {name: id, type: string(36), required: true}\n"
                           "    - {name: words, type: string(10485760)}\n"
                           "    - {name: amount, type: \"decimal(10,2)\"}\n"
                           "    - {name: at, type: timestamp, required: true}\n"
                           "rollups:\n"
                           "  - table: per_day\n"
                           "    by: [{column: day, day: at}]\n"
                           "    measures: [{column: n, sum: amount, type: \"decimal(15,2)\"}]\n"
                           "checkpoint: {dir: checkpoints}\n";

static const size_t key_sizes[] = {0, 1, 255, 65536, LETTER_KEY_MAX - 1, LETTER_KEY_MAX, LETTER_KEY_MAX + 1, 1100000,
    FRAME_MAX - FRAME_HEADER_SIZE, FRAME_MAX, FRAME_MAX + 1, 5000000, LARGE};
static const size_t payload_sizes[] = {1, 65536, 256 * 1024, LETTER_PAYLOAD_MAX - 1, LETTER_PAYLOAD_MAX,
    LETTER_PAYLOAD_MAX + 1, FRAME_MAX - LETTER_KEY_MAX, FRAME_MAX, 5000000, LARGE};
static const int64_t timestamps_ms[] = {INT64_C(1705312800000), -1, 0, INT64_MAX};

struct topic {
	struct source_port port; /* first */
	struct source_record records[PARTITIONS][RECORDS_MAX];
	size_t len[PARTITIONS], taken[PARTITIONS];
	struct buffer made[RECORDS_MAX]; /* payloads that are not the input's */
	size_t made_len;
};

static uint8_t *large;

/* --- the topic ------------------------------------------------------------------------------------------------- */

static enum result topic_describe(
    struct source_port *port, const struct marks *marks, struct description *description, struct error *error)
{
	(void)port, (void)marks, (void)description, (void)error;
	return RESULT_OK;
}

static enum result topic_assign(struct source_port *port, const struct cut *positions, struct error *error)
{
	(void)port, (void)positions, (void)error;
	return RESULT_OK;
}

static enum result topic_take(struct source_port *port, uint32_t partition, struct source_record *records, size_t max,
    size_t *taken, struct error *error)
{
	struct topic *topic = (struct topic *)(void *)port;
	(void)error;
	for (*taken = 0; *taken < max && topic->taken[partition] < topic->len[partition];)
		records[(*taken)++] = topic->records[partition][topic->taken[partition]++];
	return RESULT_OK;
}

static void topic_give_back(struct source_port *port, struct source_record *records, size_t len)
{
	(void)port, (void)records, (void)len;
}

static enum result topic_health(struct source_port *port, struct error *error)
{
	(void)port, (void)error;
	return RESULT_OK;
}

static int64_t topic_position(struct source_port *port, uint32_t partition)
{
	return (int64_t)((struct topic *)(void *)port)->taken[partition];
}

static uint64_t topic_heard_us(struct source_port *port)
{
	(void)port;
	return 0;
}

static int64_t topic_end(struct source_port *port, uint32_t partition)
{
	(void)port, (void)partition;
	return -1;
}

static uint32_t topic_partitions(struct source_port *port)
{
	(void)port;
	return PARTITIONS;
}

static void topic_commit_group(struct source_port *port, const struct cut *cut)
{
	(void)port, (void)cut;
}

static void topic_close(struct source_port *port)
{
	(void)port;
}

static uint64_t port_doubts(struct source_port *port)
{
	(void)port;
	return 0;
}

static const struct source_port_ops topic_ops = {.doubts = port_doubts,
    .describe = topic_describe,
    .assign = topic_assign,
    .take = topic_take,
    .give_back = topic_give_back,
    .health = topic_health,
    .position = topic_position,
    .end = topic_end,
    .heard_us = topic_heard_us,
    .partitions = topic_partitions,
    .commit_group = topic_commit_group,
    .close = topic_close};

/* A record that is accepted, with a text as long as it may be, or a little longer: the same key twice is a conflict. */
static struct bytes valid_payload(struct topic *topic, uint8_t which, struct bytes body)
{
	struct buffer *out = &topic->made[topic->made_len++];
	size_t words = payload_sizes[which % (sizeof payload_sizes / sizeof *payload_sizes)];
	buffer_printf(
	    out, "{\"id\":\"k%u\",\"at\":\"2024-01-15T10:00:00Z\",\"words\":\"", body.len > 0 ? body.data[0] % 4 : 0);
	for (size_t len = words < 110 ? 0 : words - 110; len > 0; len -= len < 6 ? len : 6)
		buffer_append(out, which & 0x80 ? "\\u0001" : "xyzxyz", len < 6 ? 0 : 6);
	buffer_append_text(out, "\"}");
	return buffer_bytes(out);
}

static struct bytes payload_of(struct topic *topic, uint8_t kind, struct bytes body)
{
	uint8_t which = kind / 4;
	switch (kind % 4) {
	case 0:
		return (struct bytes){0}; /* a tombstone */
	case 1:
		return body;
	case 2:
		return (struct bytes){large, payload_sizes[which % (sizeof payload_sizes / sizeof *payload_sizes)]};
	default:
		return valid_payload(topic, (uint8_t)(which | (kind & 0x80)), body);
	}
}

static size_t topic_fill(struct topic *topic, const uint8_t *data, size_t size)
{
	size_t records = 0;
	while (size >= 5 && records < RECORDS_MAX) {
		uint32_t partition = data[2] % PARTITIONS;
		size_t body_len = data[4] < size - 5 ? data[4] : size - 5;
		struct source_record *record = &topic->records[partition][topic->len[partition]];
		*record = (struct source_record){.partition = partition,
		    .offset = (int64_t)(topic->len[partition]++),
		    .timestamp_ms = timestamps_ms[data[3] % 4],
		    .payload = payload_of(topic, data[1], (struct bytes){data + 5, body_len})};
		if (data[0] != 0)
			record->key =
			    (struct bytes){large, key_sizes[data[0] % (sizeof key_sizes / sizeof *key_sizes)]};
		records++;
		data += 5 + body_len;
		size -= 5 + body_len;
	}
	return records;
}

/* --- its way --------------------------------------------------------------------------------------------------- */

struct way {
	struct pipeline pipeline;
	struct topology topology;
	struct actor *ingest, *dedup;
	size_t letters, dead, conflicts, consumed;
};

static void command(struct actor *actor, enum frame_kind kind, const void *body, struct outbox *outbox)
{
	struct frame frame = {.header = {.kind = kind, .attempt = ATTEMPT}};
	const struct frame_row *row = frame_row_of(kind);
	memcpy(&frame.body, body, row->size);
	CHECK(actor_command(actor, &frame, outbox, NULL) == RESULT_OK);
}

/* What is sent on is read as the other side would; what goes to dedup goes there. */
static void travel(struct way *way, struct outbox *outbox, bool to_dedup)
{
	struct outbox next = {0};
	for (size_t i = 0; i < outbox->len; i++) {
		struct outbox_item *item = &outbox->items[i];
		const struct frame_header header = {.kind = item->kind, .channel = item->channel, .attempt = ATTEMPT};
		struct arena arena = {0};
		struct frame frame;
		struct error error;
		CHECK(item->message.len <= FRAME_MAX);
		frame_header_write(item->message.data, item->message.len - FRAME_HEADER_SIZE, &header);
		CHECK(frame_decode(buffer_bytes(&item->message), &arena, &frame, NULL, &error) == RESULT_OK);
		if (item->kind == FRAME_DEAD_LETTERS && !to_dedup)
			way->letters += frame.body.dead_letters.letters.len;
		if (item->kind == FRAME_BARRIER && !to_dedup &&
		    item->channel == topology_channel(&way->topology, way->dedup->id, actor_id(ROLE_WRITER, 0)))
			for (uint32_t k = 0; k < frame.body.barrier.shares.len; k++) {
				const struct counters *counters = &frame.body.barrier.shares.entries[k].counters;
				way->consumed += counters->n[COUNTER_CONSUMED];
				way->dead += counters->n[COUNTER_DEAD];
				way->conflicts += counters->n[COUNTER_CONFLICTS];
			}
		if (to_dedup && item->channel != 0)
			CHECK(actor_frame(way->dedup, PARTY_INGEST, item->channel, &frame, &next, &error) == RESULT_OK);
		arena_fini(&arena);
	}
	outbox_clear(outbox);
	if (to_dedup)
		travel(way, &next, false);
	outbox_fini(&next);
}

static void way_open(struct way *way, struct ingest_process *process)
{
	struct outbox none = {0};
	*process = (struct ingest_process){&way->pipeline, way->topology, process->source, false};
	way->ingest = ingest_new(process, actor_id(ROLE_INGEST, 0), ATTEMPT, NULL);
	way->dedup = dedup_new(&way->pipeline, &way->topology, memory_state_open(), actor_id(ROLE_DEDUP, 0), ATTEMPT);
	CHECK(way->ingest != NULL && way->dedup != NULL);
	const struct frame_deploy deploy = {.partitions = PARTITIONS};
	command(way->ingest, FRAME_DEPLOY, &deploy, &none);
	command(way->dedup, FRAME_DEPLOY, &deploy, &none);
	CHECK(way->dedup->ops->on_tick(way->dedup, 1, &none, NULL) == RESULT_OK);
	command(way->ingest, FRAME_START, &(struct frame_start){0}, &none);
	command(way->dedup, FRAME_START, &(struct frame_start){0}, &none);
	outbox_fini(&none);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct topic topic;
	static struct way way;
	struct ingest_process process = {.source = &topic.port};
	struct outbox outbox = {0};
	struct error error;
	if (large == NULL) {
		large = memory_new(LARGE);
		memset(large, '[', LARGE);
		CHECK(pipeline_parse(&way.pipeline, "fuzz", (struct bytes){(const uint8_t *)text, sizeof text - 1},
		          &error) == RESULT_OK);
	}
	topic = (struct topic){.port = {&topic_ops, -1}};
	way = (struct way){.pipeline = way.pipeline, .topology = {1, 1, 1, 1, .plan = &job_plans[JOB_TOTALS]}};
	size_t records = topic_fill(&topic, data, size);
	way_open(&way, &process);
	/* An epoch lets through what its credit allows, and one record at least. */
	for (uint64_t n = 1; n <= records + 1; n++) {
		const struct frame_inject inject = {.epoch = {ATTEMPT, n}};
		CHECK(way.ingest->ops->on_tick(way.ingest, n, &outbox, &error) == RESULT_OK);
		command(way.ingest, FRAME_INJECT, &inject, &outbox);
		travel(&way, &outbox, true);
	}
	CHECK(way.consumed == records && way.letters == way.dead + way.conflicts);
	way.ingest->ops->free(way.ingest);
	way.dedup->ops->free(way.dedup);
	outbox_fini(&outbox);
	for (size_t i = 0; i < topic.made_len; i++)
		buffer_fini(&topic.made[i]);
	return 0;
}
