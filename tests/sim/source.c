/* tests/sim/source.c - the topic as an ingest process sees it: lends records, can be away. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

enum { LENT_MOST = 5 };

const char *const day_texts[DAYS_MAX] = {"2023-12-05", "2023-12-31", "2024-01-01"};

/* --- the log -------------------------------------------------------------------------------------------------------------- */

static const char *const broken_payloads[] = {
    "not json",
    "{\"id\":\"k1\",\"kind\":\"g1\"",
    "[]",
    "{\"id\":\"k1\",\"kind\":\"g0\",\"amount\":1e11,\"at\":\"2024-01-01T00:00:00Z\"}",
    "{\"id\":\"k2\",\"kind\":\"g0\",\"amount\":1}",
    "{\"id\":null,\"kind\":\"g0\",\"amount\":1,\"at\":\"2024-01-01T00:00:00Z\"}",
    "{\"id\":\"k3\",\"kind\":\"g2\",\"amount\":\"one\",\"at\":\"2024-01-01T00:00:00Z\"}",
};
enum { BROKEN_PAYLOADS = sizeof broken_payloads / sizeof *broken_payloads };

static const struct {
	int64_t minor;
	const char *text;
} amounts[] = {{100, "1.00"}, {1001, "10.009999999999"}, {-350, "-3.5"}, {0, "\"0\""}, {1000000, "1e4"}};
#define WIDE_TEXT "123456789.01" /* more digits than the narrow file allows */
static const int64_t WIDE_MINOR = INT64_C(12345678901);
enum { AMOUNTS = sizeof amounts / sizeof *amounts, CONTENTS = 4 };

bool record_is_valid(const struct world *world, const struct log_record *record)
{
	return record->valid && (!record->wide || world->wide);
}

static void make_record(struct random *random, uint32_t key, struct log_record *record)
{
	/* A key has one of a few contents: its repeats are duplicates as often as conflicts. */
	uint32_t content = (key + random_below(random, CONTENTS) / 3) % 30, amount = content % AMOUNTS;
	record->valid = !random_chance(random, 100);
	record->unknown_fields = random_chance(random, 100) ? 1 : 0;
	record->key = key;
	record->group = content % GROUPS_MAX;
	record->day = content / 2 % DAYS_MAX;
	record->minor = amounts[amount].minor;
	record->wide = record->valid && random_chance(random, 150);
	if (record->wide)
		record->minor = WIDE_MINOR;
	int len;
	if (record->valid)
		len = snprintf(record->payload, PAYLOAD_MAX,
		    "{\"id\":\"k%u\",%s\"kind\":\"g%u\",\"amount\":%s,\"at\":\"%sT10:00:00Z\"}", key,
		    record->unknown_fields ? "\"extra\":true," : "", record->group,
		    record->wide ? WIDE_TEXT : amounts[amount].text, day_texts[record->day]);
	else
		len = snprintf(
		    record->payload, PAYLOAD_MAX, "%s", broken_payloads[random_below(random, BROKEN_PAYLOADS)]);
	CHECK(len > 0 && len < PAYLOAD_MAX);
	record->payload_len = (uint32_t)len;
}

void log_produce(struct world *world)
{
	struct random *random = &world->random;
	struct record_log *log = &world->log;
	uint32_t key = random_below(random, KEYS_MAX), all = 0;
	uint32_t place = random_chance(random, 650) ? key % log->len : random_below(random, log->len);
	struct log_partition *partition = &log->partitions[place];
	for (uint32_t i = 0; i < log->len; i++)
		all += log->partitions[i].len;
	if (all >= world->records_max || partition->len == RECORDS_MAX)
		return;
	struct log_record *record = &partition->records[partition->len];
	make_record(random, key, record);
	if (!record->valid)
		record->unknown_fields = 0;
	record->offset = partition->end;
	if (log->holes && random_chance(random, 150))
		record->offset += random_between(random, 1, 3);
	partition->end = record->offset + 1;
	partition->len++;
	world->statistics.records++;
	world->log_version++;
	world_trace(world, "produce %u/%lld: key %u, %s", place, (long long)record->offset, key,
	    record->valid ? "valid" : "broken");
}

uint32_t log_place(const struct log_partition *partition, int64_t offset)
{
	uint32_t place = 0;
	while (place < partition->len && partition->records[place].offset < offset)
		place++;
	return place;
}

const struct log_record *log_find(const struct record_log *log, uint32_t partition, int64_t offset)
{
	if (partition >= log->len)
		return NULL;
	uint32_t place = log_place(&log->partitions[partition], offset);
	if (place == log->partitions[partition].len || log->partitions[partition].records[place].offset != offset)
		return NULL;
	return &log->partitions[partition].records[place];
}

int64_t log_last(const struct log_partition *partition)
{
	return partition->len ? partition->records[partition->len - 1].offset + 1 : 0;
}

/* --- the port -------------------------------------------------------------------------------------------------------------- */

static struct source *source_of(struct source_port *port)
{
	return (struct source *)port;
}

static enum result away(struct error *error)
{
	return error_set(error, RESULT_RETRY, "the log is away");
}

static enum result port_describe(struct source_port *port, uint32_t *partitions, struct cut *start, struct error *error)
{
	struct world *world = source_of(port)->world;
	if (world->source_away || (!world->settling && random_chance(&world->random, 200)))
		return away(error);
	*partitions = world->log.len;
	for (uint32_t i = 0; i < world->log.len; i++)
		cut_set(start, i, world->pipeline.source.start.at == START_LATEST ? world->log.partitions[i].end : 0);
	return RESULT_OK;
}

static enum result port_assign(struct source_port *port, const struct cut *positions, struct error *error)
{
	struct source *source = source_of(port);
	(void)error;
	for (uint32_t i = 0; i < positions->len; i++)
		source->cursors[positions->entries[i].partition] =
		    (struct source_cursor){true, positions->entries[i].offset, -1};
	return RESULT_OK;
}

static enum result port_take(struct source_port *port, uint32_t id, struct source_record *records, size_t max,
    size_t *taken, struct error *error)
{
	struct source *source = source_of(port);
	struct world *world = source->world;
	const struct log_partition *partition = &world->log.partitions[id];
	struct source_cursor *cursor = &source->cursors[id];
	(void)error;
	*taken = 0;
	if (!cursor->assigned)
		world_violate(world, "partition %u is read, but was never assigned", id);
	if (world->source_away)
		return RESULT_OK;
	cursor->heard = partition->end;
	uint32_t most = random_between(&world->random, 1, LENT_MOST);
	for (uint32_t i = log_place(partition, cursor->position); i < partition->len && *taken < max && *taken < most;
	     i++) {
		const struct log_record *record = &partition->records[i];
		records[(*taken)++] = (struct source_record){
		    .partition = id,
		    .offset = record->offset,
		    .timestamp_ms = INT64_C(1735689600000) + record->offset,
		    .payload = {(const uint8_t *)record->payload, record->payload_len},
		};
		cursor->position = record->offset + 1;
	}
	source->lent += *taken > 0;
	return RESULT_OK;
}

static void port_give_back(struct source_port *port, struct source_record *records, size_t len)
{
	struct source *source = source_of(port);
	(void)records;
	CHECK(len > 0 && source->lent > 0);
	source->lent--;
}

static enum result port_health(struct source_port *port, struct error *error)
{
	struct source *source = source_of(port);
	return source->world->source_away ? away(error) : RESULT_OK;
}

static int64_t port_position(struct source_port *port, uint32_t partition)
{
	return source_of(port)->cursors[partition].position;
}

/* Now, as far as anybody can tell who hears it. */
static uint64_t port_heard_us(struct source_port *port)
{
	return source_of(port)->world->now_us;
}

static int64_t port_end(struct source_port *port, uint32_t partition)
{
	return source_of(port)->cursors[partition].heard;
}

static uint32_t port_partitions(struct source_port *port)
{
	return source_of(port)->world->log.len;
}

/* What the lag tools are told was committed once. */
static void port_commit_group(struct source_port *port, const struct cut *cut)
{
	struct world *world = source_of(port)->world;
	for (uint32_t i = 0; i < cut->len; i++)
		if (cut->entries[i].offset > world->log.partitions[cut->entries[i].partition].end)
			world_violate(world, "the group is told an offset that the log does not have");
}

static void port_close(struct source_port *port)
{
	(void)port;
}

static const struct source_port_ops source_ops = {port_describe, port_assign, port_take, port_give_back, port_health,
    port_position, port_end, port_heard_us, port_partitions, port_commit_group, port_close};

void source_init(struct source *source, struct world *world)
{
	*source = (struct source){.port = {&source_ops, -1}, .world = world};
	for (uint32_t i = 0; i < PARTITIONS_MAX; i++)
		source->cursors[i].heard = -1;
}

void source_fini(struct source *source)
{
	CHECK(source->lent == 0);
}

bool source_has_news(const struct source *source, uint32_t ingest)
{
	return source->seen[ingest] != source->world->log_version;
}
