/* tests/sim/source.c - the topic as an ingest process sees it: lends records, can be away. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/ingest/record_mark.h"
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
	return record->valid && (!record->wide || world->file.wide);
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

/* --- what it is known by -------------------------------------------------------------------------------------------------- */

static struct source_record record_of(const struct record_log *log, uint32_t partition, const struct log_record *record)
{
	return (struct source_record){
	    .partition = partition,
	    .offset = record->offset,
	    .timestamp_ms = INT64_C(1735689600000) + record->offset + log_is_foreign(log, partition, record->offset),
	    .payload = {(const uint8_t *)record->payload, record->payload_len},
	};
}

/* What stands there for whoever reads it now; NULL: nothing. */
static const struct log_record *as_altered(
    const struct record_log *log, uint32_t partition, const struct log_record *record)
{
	const struct alteration *alteration = &log->alteration;
	if (!alteration->there || alteration->partition != partition || alteration->offset != record->offset)
		return record;
	return alteration->gone ? NULL : &alteration->record;
}

bool log_alter(struct world *world, uint32_t partition, int64_t from, int64_t to)
{
	struct random *random = &world->random;
	struct alteration *alteration = &world->log.alteration;
	const struct log_partition *in = &world->log.partitions[partition];
	uint32_t first = log_place(in, from), end = log_place(in, to);
	if (first == end)
		return false;
	const struct log_record *was = &in->records[first + random_below(random, end - first)];
	*alteration = (struct alteration){true, random_chance(random, 300), partition, was->offset, {0}};
	do
		make_record(random, random_below(random, KEYS_MAX), &alteration->record);
	while (strcmp(alteration->record.payload, was->payload) == 0);
	alteration->record.offset = was->offset;
	return true;
}

bool log_is_foreign(const struct record_log *log, uint32_t partition, int64_t offset)
{
	return log->foreign && offset < log->foreign_end[partition];
}

uint64_t log_mark(uint32_t partition, const struct log_record *record)
{
	static const struct record_log own;
	const struct source_record read = record_of(&own, partition, record);
	return record_mark(&read);
}

void marks_store(struct stored_mark to[PARTITIONS_MAX], const struct marks *from)
{
	memset(to, 0, PARTITIONS_MAX * sizeof *to);
	for (uint32_t i = 0; i < from->len; i++) {
		struct stored_mark *stored = &to[from->entries[i].partition];
		CHECK(stored->len < 2);
		stored->entries[stored->len++] = from->entries[i];
	}
}

void marks_tell(const struct stored_mark from[PARTITIONS_MAX], struct marks *to)
{
	for (uint32_t p = 0; p < PARTITIONS_MAX; p++)
		for (uint32_t i = 0; i < from[p].len; i++)
			marks_add(to, &from[p].entries[i]);
}

static const struct log_record *last_within(const struct log_partition *partition, int64_t from, int64_t to)
{
	uint32_t place = log_place(partition, to);
	if (place == 0 || partition->records[place - 1].offset < from)
		return NULL;
	return &partition->records[place - 1];
}

void marks_check(struct world *world, const char *who, const struct stored_mark marks[PARTITIONS_MAX],
    const int64_t *from, const int64_t cut[PARTITIONS_MAX])
{
	for (uint32_t p = 0; p < PARTITIONS_MAX; p++) {
		const struct log_record *last =
		    from == NULL ? NULL : last_within(&world->log.partitions[p], from[p], cut[p]);
		const struct log_record *record = NULL;
		if (world->log.told && cut[p] > world->log.read_by_then[p])
			world_violate(world, "%s: %u/%lld was read of a topic that may be another one", who, p,
			    (long long)cut[p] - 1);
		for (uint32_t i = 0; i < marks[p].len; i++) {
			record = log_find(&world->log, p, marks[p].entries[i].offset);
			if (record == NULL || log_mark(p, record) != marks[p].entries[i].hash)
				world_violate(world, "%s: the mark of partition %u is of no record at %lld", who, p,
				    (long long)marks[p].entries[i].offset);
		}
		if (from != NULL && record != last)
			world_violate(world,
			    "%s: the mark of partition %u is of %lld, the last record before the cut is %lld", who, p,
			    record == NULL ? -1 : (long long)record->offset,
			    last == NULL ? -1 : (long long)last->offset);
	}
}

void marks_check_own(struct world *world, const char *who, const struct stored_mark marks[PARTITIONS_MAX])
{
	if (world->log.swapped)
		world_violate(world, "%s begins, though the topic was made anew while the job ran", who);
	for (uint32_t p = 0; p < PARTITIONS_MAX; p++)
		for (uint32_t i = 0; i < marks[p].len; i++)
			if (log_is_foreign(&world->log, p, marks[p].entries[i].offset))
				world_violate(world, "%s begins, but %u/%lld is another record now", who, p,
				    (long long)marks[p].entries[i].offset);
}

bool says_other_log(const struct world *world, const char *why)
{
	return ((world->log.alteration.there || world->store.foreign) &&
	           strstr(why, "is not what the database holds") != NULL) ||
	       (world->store.foreign && strstr(why, "knows none of its checkpoints") != NULL) ||
	       ((world->log.foreign || world->log.alteration.there) &&
	           strstr(why, "is not the one that was read") != NULL) ||
	       (world->log.cluster != 1 && strstr(why, "(kafka.cluster_id)") != NULL);
}

uint32_t cluster_of(const struct facts *facts)
{
	const char *value = facts_get(facts, FACT_CLUSTER);
	return value == NULL ? 0 : (uint32_t)strtoul(value, NULL, 10);
}

void cluster_tell(uint32_t cluster, struct facts *facts, struct arena *arena)
{
	char value[16];
	(void)snprintf(value, sizeof value, "%u", cluster);
	if (cluster != 0)
		facts_add(facts, arena, FACT_CLUSTER, value);
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

static struct recall recall(const struct record_log *log, const struct mark *mark)
{
	const struct log_record *record = log_find(log, mark->partition, mark->offset);
	struct recall answer = {.mark = *mark, .now = RECALLED_ABSENT};
	if (record != NULL)
		record = as_altered(log, mark->partition, record);
	if (record == NULL)
		return answer;
	const struct source_record read = record_of(log, mark->partition, record);
	answer.now = RECALLED_THERE;
	answer.hash = record_mark(&read);
	return answer;
}

static uint64_t port_doubts(struct source_port *port)
{
	const struct source *source = source_of(port);
	return source->assigned ? source->world->log.doubts - source->doubts_before : 0;
}

static enum result port_describe(
    struct source_port *port, const struct marks *marks, struct description *description, struct error *error)
{
	const struct source *source = source_of(port);
	struct world *world = source->world;
	/* Asked again while nobody has a doubt, there is nothing that an answer could be late for. */
	bool matters = !source->assigned || port_doubts(port) != 0;
	if (world->source_away || (!world->settling && matters && random_chance(&world->random, 200)))
		return away(error);
	description->partitions = world->log.len;
	cluster_tell(world->log.cluster, &description->facts, &description->arena);
	description->recalls = arena_take(&description->arena, (marks->len + 1) * sizeof *description->recalls);
	for (uint32_t i = 0; i < marks->len; i++)
		description->recalls[description->recalls_len++] = recall(&world->log, &marks->entries[i]);
	for (uint32_t i = 0; i < world->log.len; i++)
		cut_set(&description->start, i,
		    world->pipeline.source.start.at == START_LATEST ? world->log.partitions[i].end : 0);
	return RESULT_OK;
}

static enum result port_assign(struct source_port *port, const struct cut *positions, struct error *error)
{
	struct source *source = source_of(port);
	(void)error;
	source->assigned = true;
	source->doubts_before = source->world->log.doubts;
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
		const struct log_record *record = as_altered(&world->log, id, &partition->records[i]);
		if (record == NULL)
			continue;
		records[(*taken)++] = record_of(&world->log, id, record);
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

static const struct source_port_ops source_ops = {port_describe, port_assign, port_take, port_give_back, port_doubts,
    port_health, port_position, port_end, port_heard_us, port_partitions, port_commit_group, port_close};

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
