/* Protects: when an ingest says that the log is not the one that the database was filled from, and when not yet; that it goes on telling
 * how long the log is while nobody has it cut, and when it does not know; that a cut goes behind what is no record; that rows and letters are sent in frames of a size, a letter whole or cut; that an epoch
 * takes what its credit allows; that no partition waits for another one's backlog. */
#include "tests/unit/aggregator_harness.h"

#include "proto/letter.h"
#include "services/ingest/ingest.h"

#include "services/ingest/record_mark.h"

enum { SECOND_US = 1000000, FRONTIER = 100 };
#define MARK_OF_FIRST UINT64_C(0xa2eb60943ec9f20)

/* A source of one partition that has a single record at most: one that is refused. */
struct quiet_source {
	struct source_port port;
	int64_t end, position;
	uint64_t heard_us; /* when the end was heard; 0: never */
	bool has_record;
	enum recalled now; /* what is said about every mark */
	uint64_t hash; /* 0: that of the mark */
	int64_t ends_at;
	bool away; /* nothing is said */
	uint64_t doubts;
	const char *cluster; /* NULL: not told */
};

static enum result quiet_describe(
    struct source_port *port, const struct marks *marks, struct description *found, struct error *error)
{
	struct quiet_source *source = (struct quiet_source *)(void *)port;
	if (source->away)
		return error_set(error, RESULT_RETRY, "nobody answers");
	found->partitions = 1;
	if (source->cluster != NULL)
		facts_add(&found->facts, &found->arena, FACT_CLUSTER, source->cluster);
	found->recalls = arena_take(&found->arena, (marks->len + 1) * sizeof *found->recalls);
	for (uint32_t i = 0; i < marks->len; i++)
		found->recalls[found->recalls_len++] = (struct recall){marks->entries[i], source->now,
		    source->hash != 0 ? source->hash : marks->entries[i].hash, source->ends_at};
	return RESULT_OK;
}

static enum result quiet_assign(struct source_port *port, const struct cut *positions, struct error *error)
{
	(void)port, (void)positions, (void)error;
	return RESULT_OK;
}

static enum result quiet_take(struct source_port *port, uint32_t partition, struct source_record *records, size_t max,
    size_t *taken, struct error *error)
{
	struct quiet_source *source = (struct quiet_source *)(void *)port;
	(void)max, (void)error;
	*taken = source->has_record;
	if (source->has_record)
		records[0] = (struct source_record){
		    .partition = partition, .offset = source->position++, .payload = {(const uint8_t *)"?", 1}};
	source->has_record = false;
	return RESULT_OK;
}

static void quiet_give_back(struct source_port *port, struct source_record *records, size_t len)
{
	(void)port, (void)records, (void)len;
}

static enum result quiet_health(struct source_port *port, struct error *error)
{
	(void)port, (void)error;
	return RESULT_OK;
}

static int64_t quiet_end(struct source_port *port, uint32_t partition)
{
	(void)partition;
	return ((struct quiet_source *)(void *)port)->end;
}

static int64_t quiet_position(struct source_port *port, uint32_t partition)
{
	(void)partition;
	return ((struct quiet_source *)(void *)port)->position;
}

static uint64_t quiet_heard_us(struct source_port *port)
{
	return ((struct quiet_source *)(void *)port)->heard_us;
}

static void quiet_commit_group(struct source_port *port, const struct cut *cut)
{
	(void)port, (void)cut;
}

static void quiet_close(struct source_port *port)
{
	(void)port;
}

static uint32_t port_partitions(struct source_port *port)
{
	(void)port;
	return 0;
}

static uint64_t quiet_doubts(struct source_port *port)
{
	return ((struct quiet_source *)(void *)port)->doubts;
}

static const struct source_port_ops quiet_ops = {.doubts = quiet_doubts,
    .describe = quiet_describe,
    .assign = quiet_assign,
    .take = quiet_take,
    .give_back = quiet_give_back,
    .health = quiet_health,
    .position = quiet_position,
    .end = quiet_end,
    .heard_us = quiet_heard_us,
    .partitions = port_partitions,
    .commit_group = quiet_commit_group,
    .close = quiet_close};

struct world {
	struct harness harness;
	struct quiet_source source;
	struct ingest_process process;
};

/* An ingest that replays from 0 up to the frontier; a record of partition 1, which is another's, was read before. */
static int replay_begin(void **state)
{
	static struct world world;
	static struct cut_entry first = {0, 0}, last = {0, FRONTIER};
	static struct mark of_another = {1, 11, 4711};
	struct harness *harness = &world.harness;
	const struct bytes text = {(const uint8_t *)harness_text, sizeof harness_text - 1};
	world = (struct world){.harness.topology = {1, 1, 1, 1, .plan = &job_plans[JOB_TOTALS]},
	    .source = {.port = {&quiet_ops, -1}, .end = -1}};
	assert_int_equal(pipeline_parse(&harness->pipeline, "harness", text, &harness->error), RESULT_OK);
	world.process = (struct ingest_process){&harness->pipeline, harness->topology, &world.source.port, false};
	harness->actor = ingest_new(&world.process, actor_id(ROLE_INGEST, 0), ATTEMPT, &harness->error);
	assert_non_null(harness->actor);
	const struct frame_deploy deploy = {
	    .partitions = 1, .base_cut = {&first, 1}, .frontier_cut = {&last, 1}, .marks = {&of_another, 1}};
	assert_int_equal(harness_frame(harness, 0, FRAME_DEPLOY, &deploy, true), RESULT_OK);
	assert_int_equal(harness_frame(harness, 0, FRAME_START, &(struct frame_start){0}, true), RESULT_OK);
	*state = &world;
	return 0;
}

static int replay_end(void **state)
{
	harness_fini(&((struct world *)*state)->harness);
	return 0;
}

static enum result tick(struct world *world, uint64_t second, int64_t end)
{
	struct harness *harness = &world->harness;
	world->source.end = end;
	return harness->actor->ops->on_tick(harness->actor, second * SECOND_US, &harness->outbox, &harness->error);
}

static void a_log_that_stays_short_is_refused(void **state)
{
	enum result result = RESULT_OK;
	uint64_t second = 1;
	assert_int_equal(tick(*state, second, -1), RESULT_OK); /* not known yet */
	while (result == RESULT_OK && second < 30)
		result = tick(*state, ++second, FRONTIER - 1);
	assert_int_equal(result, RESULT_CONFIG);
	assert_in_range(second, 5, 15);
	assert_non_null(strstr(((struct world *)*state)->harness.error.text, "ends at offset 99"));
}

/* A broker that has just become the leader may tell an end that lags. */
static void a_log_that_is_short_for_a_moment_is_not(void **state)
{
	for (uint64_t second = 1; second < 60; second++)
		assert_int_equal(tick(*state, second, second % 4 == 0 ? FRONTIER : FRONTIER - 1), RESULT_OK);
}

/* What was said of PENDING in this tick, of a log that was heard in this second (0: not at all); NULL: nothing. */
static const struct frame_pending *said_at(struct world *world, uint64_t second, int64_t end, uint64_t heard)
{
	struct harness *harness = &world->harness;
	const struct frame *frame;
	world->source.heard_us = heard * SECOND_US;
	assert_int_equal(tick(world, second, end), RESULT_OK);
	harness_take(harness);
	frame = sent(harness, 0, FRAME_PENDING, 0);
	assert_null(sent(harness, 0, FRAME_PENDING, 1));
	return frame != NULL ? &frame->body.pending : NULL;
}

/* How far the log reaches by what was said in this tick; -1: nothing was said. */
static int64_t end_said(struct world *world, uint64_t second, int64_t end)
{
	const struct frame_pending *said = said_at(world, second, end, second);
	return said != NULL ? cut_get(&said->ends, 0, -1) : -1;
}

/* As long as a sink is away no barrier comes: the lag that people are told grows all the same. */
static void the_log_grows_while_a_cut_is_waited_for(void **state)
{
	struct world *world = *state;
	assert_int_equal(end_said(world, 1, 200), 200); /* now it is known */
	assert_int_equal(end_said(world, 1, 201), -1); /* nothing is pending, and it was just said */
	world->source.has_record = true;
	assert_int_equal(end_said(world, 2, 200), 200);
	assert_int_equal(end_said(world, 2, 300), -1); /* not more often than once a second */
	assert_int_equal(end_said(world, 3, 300), 300);
	assert_int_equal(end_said(world, 4, 300), -1);
	assert_int_equal(end_said(world, 9, 301), 301);
}

/* Nobody has heard for a while how long the log is: that is said, once, and also where nothing else is to be said. */
static void old_ends_are_unknown(void **state)
{
	struct world *world = *state;
	const struct frame_pending *said;
	assert_null(said_at(world, 1, -1, 0)); /* unknown is what it is at first */
	said = said_at(world, 2, 200, 2);
	assert_non_null(said);
	assert_int_equal(said->ends_age_us, 0);
	assert_null(said_at(world, 3, 200, 2));
	assert_non_null(said_at(world, 4, 201, 2)); /* it goes on, though nothing can be read */
	assert_null(said_at(world, 4, 202, 2));
	said = said_at(world, 6, 200, 2);
	assert_non_null(said);
	assert_int_equal(said->ends_age_us, 4 * SECOND_US);
	assert_false(said->waiting);
	assert_null(said_at(world, 6, 200, 2));
	said = said_at(world, 9, 300, 9);
	assert_non_null(said);
	assert_int_equal(said->ends_age_us, 0);
	assert_int_equal(cut_get(&said->ends, 0, -1), 300);
}

/* A marker at the end is no record, but the cut goes behind it; in silence, as far as the frontier and no further. */
static void what_is_no_record_is_passed(void **state)
{
	struct world *world = *state;
	const struct frame_pending *said;
	world->source.position = FRONTIER - 2;
	world->source.has_record = true;
	said = said_at(world, 1, FRONTIER, 1);
	assert_non_null(said);
	assert_true(said->waiting);
	assert_false(said->at_ceiling);
	world->source.position = FRONTIER + 7;
	said = said_at(world, 2, FRONTIER + 7, 2);
	assert_non_null(said);
	assert_true(said->at_ceiling);
	const struct frame_inject lift = {.epoch = {ATTEMPT, 1}, .lift = true}, next = {.epoch = {ATTEMPT, 2}};
	const struct frame_inject third = {.epoch = {ATTEMPT, 3}};
	assert_int_equal(harness_frame(&world->harness, 0, FRAME_INJECT, &lift, true), RESULT_OK);
	harness_take(&world->harness);
	uint32_t channel = channel_to(&world->harness, ROLE_DEDUP, 0);
	assert_int_equal(cut_get(&sent(&world->harness, channel, FRAME_BARRIER, 0)->body.barrier.cut, 0, -1), FRONTIER);
	/* There is nothing to count, but something to commit. */
	said = said_at(world, 3, FRONTIER + 7, 3);
	assert_non_null(said);
	assert_true(said->waiting);
	assert_int_equal(harness_frame(&world->harness, 0, FRAME_INJECT, &next, true), RESULT_OK);
	harness_take(&world->harness);
	assert_int_equal(
	    cut_get(&sent(&world->harness, channel, FRAME_BARRIER, 0)->body.barrier.cut, 0, -1), FRONTIER + 7);
	assert_null(said_at(world, 5, FRONTIER + 7, 5));
	/* How far the log reaches may be heard only after all of it has been read, and cut. */
	world->source.position = FRONTIER + 9;
	assert_non_null(said_at(world, 6, FRONTIER + 7, 6));
	assert_int_equal(harness_frame(&world->harness, 0, FRAME_INJECT, &third, true), RESULT_OK);
	harness_take(&world->harness);
	assert_int_equal(end_said(world, 8, FRONTIER + 9), FRONTIER + 9);
	assert_int_equal(end_said(world, 10, FRONTIER + 9), -1);
}

/* In silence the next record may lie behind the frontier: what was in front of that is gone, or was no record. */
static void a_gap_at_the_ceiling_ends_it(void **state)
{
	struct world *world = *state;
	world->source.position = FRONTIER + 3;
	world->source.has_record = true;
	const struct frame_pending *said = said_at(world, 1, FRONTIER + 4, 1);
	assert_non_null(said);
	assert_true(said->at_ceiling);
}

/* --- a topic with a backlog ---------------------------------------------------------------------------------------- */

enum { PARTITIONS = 4 };

/* Each partition has so many records, all of one kind. */
struct backlog {
	struct source_port port;
	int64_t left[PARTITIONS], taken[PARTITIONS];
	uint64_t doubts;
	struct bytes key, payload[PARTITIONS];
	char texts[PARTITIONS][512];
};

static enum result backlog_describe(
    struct source_port *port, const struct marks *marks, struct description *found, struct error *error)
{
	(void)marks, (void)error;
	found->partitions = (uint32_t)((struct backlog *)(void *)port)->left[0];
	return RESULT_OK;
}

static enum result backlog_take(struct source_port *port, uint32_t partition, struct source_record *records, size_t max,
    size_t *taken, struct error *error)
{
	struct backlog *source = (struct backlog *)(void *)port;
	(void)error;
	for (*taken = 0; *taken < max && source->left[partition] > 0; source->left[partition]--)
		records[(*taken)++] = (struct source_record){.partition = partition,
		    .offset = source->taken[partition]++,
		    .timestamp_ms = -1,
		    .key = source->key,
		    .payload = source->payload[partition]};
	return RESULT_OK;
}

static int64_t backlog_end(struct source_port *port, uint32_t partition)
{
	(void)port, (void)partition;
	return -1;
}

static int64_t backlog_position(struct source_port *port, uint32_t partition)
{
	return ((struct backlog *)(void *)port)->taken[partition];
}

static uint64_t backlog_heard_us(struct source_port *port)
{
	(void)port;
	return 0;
}

static uint64_t backlog_doubts(struct source_port *port)
{
	return ((struct backlog *)(void *)port)->doubts;
}

static const struct source_port_ops backlog_ops = {.doubts = backlog_doubts,
    .describe = backlog_describe,
    .assign = quiet_assign,
    .take = backlog_take,
    .give_back = quiet_give_back,
    .health = quiet_health,
    .position = backlog_position,
    .end = backlog_end,
    .heard_us = backlog_heard_us,
    .partitions = port_partitions,
    .commit_group = quiet_commit_group,
    .close = quiet_close};

struct bed {
	struct harness harness;
	struct backlog source;
	struct ingest_process process;
	uint64_t epochs;
};

static int bed_begin(void **state)
{
	static struct bed bed;
	struct harness *harness = &bed.harness;
	const struct bytes text = {(const uint8_t *)harness_text, sizeof harness_text - 1};
	bed = (struct bed){
	    .harness.topology = {1, 2, 1, 1, .plan = &job_plans[JOB_TOTALS]}, .source = {.port = {&backlog_ops, -1}}};
	assert_int_equal(pipeline_parse(&harness->pipeline, "harness", text, &harness->error), RESULT_OK);
	for (uint32_t p = 0; p < PARTITIONS; p++) {
		int len = snprintf(bed.source.texts[p], sizeof bed.source.texts[p],
		    "{\"id\": \"%u-%030d\", \"category\": \"c\", \"amount\": 1, \"at\": \"2024-01-15T10:00:00Z\"}", p,
		    7);
		bed.source.payload[p] = (struct bytes){(const uint8_t *)bed.source.texts[p], (size_t)len};
	}
	bed.process = (struct ingest_process){&harness->pipeline, harness->topology, &bed.source.port, false};
	*state = &bed;
	return 0;
}

static int bed_end(void **state)
{
	harness_fini(&((struct bed *)*state)->harness);
	return 0;
}

/* With an epoch's credit of so many bytes. */
static struct bed *bed_start(void **state, uint64_t credit, uint64_t behind)
{
	struct bed *bed = *state;
	struct harness *harness = &bed->harness;
	harness->pipeline.epoch.max_bytes = credit;
	harness->pipeline.epoch.max_bytes_behind = behind;
	harness->actor = ingest_new(&bed->process, actor_id(ROLE_INGEST, 0), ATTEMPT, &harness->error);
	assert_non_null(harness->actor);
	const struct frame_deploy deploy = {.partitions = PARTITIONS};
	assert_int_equal(harness_frame(harness, 0, FRAME_DEPLOY, &deploy, true), RESULT_OK);
	assert_int_equal(harness_frame(harness, 0, FRAME_START, &(struct frame_start){0}, true), RESULT_OK);
	return bed;
}

static void bed_tick(struct bed *bed)
{
	struct harness *harness = &bed->harness;
	assert_int_equal(
	    harness->actor->ops->on_tick(harness->actor, SECOND_US, &harness->outbox, &harness->error), RESULT_OK);
}

/* Reads as long as something comes, then cuts: what was sent is in the harness. The counters of the epoch. */
static struct counters bed_epoch(struct bed *bed)
{
	struct harness *harness = &bed->harness;
	const struct frame_inject inject = {.epoch = {ATTEMPT, ++bed->epochs}};
	do
		bed_tick(bed);
	while (harness->actor->wake_us == WAKE_NOW);
	assert_int_equal(harness_frame(harness, 0, FRAME_INJECT, &inject, true), RESULT_OK);
	harness_take(harness);
	const struct frame *barrier = sent(harness, channel_to(harness, ROLE_DEDUP, 0), FRAME_BARRIER, 0);
	assert_non_null(barrier);
	assert_int_equal(barrier->body.barrier.shares.len, 1);
	for (uint32_t p = 0; p < PARTITIONS; p++)
		assert_in_range(cut_get(&barrier->body.barrier.cut, p, -1), 0, bed->source.taken[p]);
	return barrier->body.barrier.shares.entries[0].counters;
}

static int64_t cut_now(struct bed *bed, uint32_t partition)
{
	const struct frame *barrier = sent(&bed->harness, channel_to(&bed->harness, ROLE_DEDUP, 0), FRAME_BARRIER, 0);
	return cut_get(&barrier->body.barrier.cut, partition, -1);
}

/* Rows come in frames of some 64 KiB, each to the actor that has its key. */
static void rows_come_in_frames(void **state)
{
	struct bed *bed = bed_start(state, 1 << 20, 1 << 20);
	uint64_t rows = 0;
	size_t frames = 0;
	for (uint32_t p = 0; p < PARTITIONS; p++)
		bed->source.left[p] = 1000;
	assert_int_equal(bed_epoch(bed).n[COUNTER_CONSUMED], 4000);
	for (size_t i = 0; i < bed->harness.frames_len; i++) {
		const struct frame *frame = &bed->harness.frames[i];
		struct rows_reader reader;
		struct row row;
		bool more = true;
		if (frame->header.kind != FRAME_ROWS)
			continue;
		frames++;
		assert_true(frame->encoded_body.len < FRAME_BODY_TARGET + 512);
		assert_int_equal(rows_open(&reader, frame->body.rows.rows, HARNESS_FIELDS, NULL), RESULT_OK);
		while (rows_next(&reader, &row, &more, NULL) == RESULT_OK && more) {
			uint32_t groups = bed->harness.pipeline.key_groups;
			uint32_t owner = key_group_owner(key_group(key_hash(row.values[0].text), groups), groups, 2);
			assert_int_equal(frame->header.channel, channel_to(&bed->harness, ROLE_DEDUP, owner));
			assert_int_equal(row.values[0].text.data[0], '0' + row.partition);
			assert_int_equal(row.timestamp_ms, -1);
			rows++;
		}
	}
	assert_int_equal(rows, 4000);
	assert_in_range(frames, 4, 6);
}

/* Letters go together as long as they are small; a large one goes alone, and is cut. */
static void letters_come_in_frames(void **state)
{
	struct bed *bed = bed_start(state, 64 << 20, 64 << 20);
	uint8_t *large = memory_new(5000000);
	size_t frames = 0, letters = 0;
	memset(large, 'k', 5000000);
	for (uint32_t p = 0; p < PARTITIONS; p++)
		bed->source.payload[p] = (struct bytes){(const uint8_t *)"?", 1};
	bed->source.key = (struct bytes){large, 100000};
	bed->source.left[0] = 12;
	bed->source.left[1] = 3;
	assert_int_equal(bed_epoch(bed).n[COUNTER_DEAD], 15);
	for (size_t i = 0; i < bed->harness.frames_len; i++) {
		const struct frame *frame = &bed->harness.frames[i];
		if (frame->header.kind != FRAME_DEAD_LETTERS)
			continue;
		frames++;
		letters += frame->body.dead_letters.letters.len;
		assert_true(frame->encoded_body.len <= 512 * 1024);
	}
	assert_int_equal(letters, 15);
	assert_int_equal(frames, 4); /* five, five and two; three of the other partition */

	bed->source.key = (struct bytes){large, 5000000};
	bed->source.payload[0] = (struct bytes){large, 5000000};
	bed->source.left[0] = 2;
	assert_int_equal(bed_epoch(bed).n[COUNTER_DEAD], 2);
	for (size_t n = 0; n < 2; n++) {
		const struct frame *frame =
		    sent(&bed->harness, channel_to(&bed->harness, ROLE_DEDUP, 0), FRAME_DEAD_LETTERS, n);
		assert_non_null(frame);
		assert_int_equal(frame->body.dead_letters.letters.len, 1);
		const struct letter *letter = &frame->body.dead_letters.letters.entries[0];
		assert_int_equal(letter->key.len, LETTER_KEY_MAX);
		assert_int_equal(letter->payload.len, LETTER_PAYLOAD_MAX);
		assert_true(letter->payload_raw);
		assert_non_null(strstr((const char *)letter->detail.data, "key of 5000000 bytes cut to 524288"));
	}
	free(large);
}

/* Between two barriers: what the credit allows, and one record at least; more of it while there is a backlog. */
static void an_epoch_takes_its_credit(void **state)
{
	struct bed *bed = bed_start(state, 3000, 10000);
	uint64_t taken[5];
	bed->source.left[0] = 1000;
	for (size_t i = 0; i < 5; i++)
		taken[i] = bed_epoch(bed).n[COUNTER_CONSUMED];
	/* Some 60 bytes a row: 3,000, then 6,000, then 10,000 bytes. */
	assert_in_range(taken[0], 45, 55);
	assert_in_range(taken[1], 90, 110);
	assert_in_range(taken[2], 150, 180);
	assert_in_range(taken[3], taken[2] - 2, taken[2] + 2);
	bed->source.left[0] = 0;
	(void)bed_epoch(bed); /* what was taken before */
	while (bed_epoch(bed).n[COUNTER_CONSUMED] > 0)
		continue;
	bed->source.left[0] = 1000;
	assert_in_range(bed_epoch(bed).n[COUNTER_CONSUMED], 45, 55);
}

static void one_record_is_always_allowed(void **state)
{
	struct bed *bed = bed_start(state, 1, 1);
	bed->source.left[0] = 3;
	for (int64_t i = 1; i <= 3; i++) {
		assert_int_equal(bed_epoch(bed).n[COUNTER_CONSUMED], 1);
		assert_int_equal(cut_now(bed, 0), i);
	}
	assert_int_equal(bed_epoch(bed).n[COUNTER_CONSUMED], 0);
}

/* Whoever has a backlog gets its turn, and no more: by the record where an epoch takes a few of them, and by the batch. */
static void no_partition_starves(void **state)
{
	struct bed *bed = bed_start(state, 3000, 3000);
	bed->source.left[0] = 1000000;
	bed->source.left[1] = 1000000;
	bed->source.left[3] = 100;
	for (int i = 0; i < 40; i++)
		(void)bed_epoch(bed);
	assert_int_equal(cut_now(bed, 2), 0);
	assert_int_equal(cut_now(bed, 3), 100);
	assert_in_range(cut_now(bed, 1), cut_now(bed, 0) * 2 / 3, cut_now(bed, 0) * 3 / 2);
	bed->source.left[2] = 20; /* it comes late, and waits for no more than a round */
	for (int i = 0; i < 8; i++)
		(void)bed_epoch(bed);
	assert_int_equal(cut_now(bed, 2), 20);
}

static void too_many_partitions_are_refused(void **state)
{
	struct bed *bed = bed_start(state, 1, 1);
	struct harness *harness = &bed->harness;
	harness->actor->ops->free(harness->actor);
	bed->process.assigned = false;
	harness->actor = ingest_new(&bed->process, actor_id(ROLE_INGEST, 0), ATTEMPT, &harness->error);
	bed->source.left[0] = TOPIC_PARTITIONS_MAX;
	const struct frame_prepare prepare = {.actor = actor_id(ROLE_INGEST, 0)};
	assert_int_equal(harness_frame(harness, 0, FRAME_PREPARE, &prepare, true), RESULT_OK);
	bed_tick(bed);
	bed->source.left[0] = TOPIC_PARTITIONS_MAX + 1;
	assert_int_equal(harness_frame(harness, 0, FRAME_PREPARE, &prepare, true), RESULT_OK);
	assert_int_equal(
	    harness->actor->ops->on_tick(harness->actor, SECOND_US, &harness->outbox, &harness->error), RESULT_CONFIG);
	assert_non_null(strstr(harness->error.text, "has 10001 partitions"));
}

/* --- the log that was read --------------------------------------------------------------------------------------------- */

static enum result describe_again(struct world *world, enum recalled now, uint64_t hash)
{
	static struct mark mark = {0, 11, 4711};
	struct harness *harness = &world->harness;
	const struct frame_prepare prepare = {.actor = actor_id(ROLE_INGEST, 0), .marks = {&mark, 1}};
	world->source.now = now;
	world->source.hash = hash;
	world->source.ends_at = 7;
	assert_int_equal(harness_frame(harness, 0, FRAME_PREPARE, &prepare, true), RESULT_OK);
	return harness->actor->ops->on_tick(harness->actor, SECOND_US, &harness->outbox, &harness->error);
}

static void another_record_is_refused(void **state)
{
	const char *text = ((struct world *)*state)->harness.error.text;
	assert_int_equal(describe_again(*state, RECALLED_THERE, 4712), RESULT_CONFIG);
	assert_non_null(strstr(text, "offset 11, and there is another one"));
	assert_int_equal(describe_again(*state, RECALLED_SHORT, 4711), RESULT_CONFIG);
	assert_non_null(strstr(text, "offset 11, and the log ends at offset 7"));
	assert_int_equal(describe_again(*state, RECALLED_ABSENT, 4711), RESULT_CONFIG);
	assert_non_null(strstr(text, "offset 11, and there is no record"));
}

static void the_same_record_and_one_that_is_gone_are_not(void **state)
{
	assert_int_equal(describe_again(*state, RECALLED_THERE, 4711), RESULT_OK);
	assert_int_equal(describe_again(*state, RECALLED_GONE, 0), RESULT_OK);
}

/* The marks of the barrier that is sent when the n-th epoch is cut: their offsets, as digits. */
static const char *marks_at(struct world *world, uint64_t n)
{
	static char text[16];
	size_t len = 0;
	struct harness *harness = &world->harness;
	const struct frame_inject inject = {.epoch = {ATTEMPT, n}};
	assert_int_equal(harness_frame(harness, 0, FRAME_INJECT, &inject, true), RESULT_OK);
	harness_take(harness);
	const struct marks *marks =
	    &sent(harness, channel_to(harness, ROLE_DEDUP, 0), FRAME_BARRIER, 0)->body.barrier.marks;
	for (uint32_t i = 0; i < marks->len; i++)
		text[len++] = (char)('0' + marks->entries[i].offset);
	text[len] = '\0';
	return text;
}

static void read_one(struct world *world, uint64_t second)
{
	world->source.has_record = true;
	assert_int_equal(tick(world, second, FRONTIER), RESULT_OK);
}

/* What a barrier calls sure was read again after everything in front of the last look; another log is noticed by it. */
static void what_was_read_is_looked_at_again(void **state)
{
	struct world *world = *state;
	read_one(world, 1);
	assert_string_equal(marks_at(world, 1), "0");
	read_one(world, 2);
	read_one(world, 3);
	assert_string_equal(marks_at(world, 2), "02");
	read_one(world, 4); /* after three seconds, as they were until then */
	assert_string_equal(marks_at(world, 3), "23");
	assert_int_equal(tick(world, 7, FRONTIER), RESULT_OK);
	assert_string_equal(marks_at(world, 4), "3");
	world->source.hash = 1;
	assert_int_equal(tick(world, 9, FRONTIER), RESULT_OK);
	assert_int_equal(tick(world, 10, FRONTIER), RESULT_CONFIG);
	assert_non_null(strstr(world->harness.error.text, "offset 3, and there is another one"));
}

static bool is_pending(struct world *world, uint64_t second)
{
	const struct frame_pending *said = said_at(world, second, FRONTIER, second);
	return said != NULL && said->waiting;
}

static void nothing_is_read_in_doubt(void **state)
{
	struct world *world = *state;
	read_one(world, 1);
	assert_string_equal(marks_at(world, 1), "0");
	world->source.away = true;
	world->source.has_record = true;
	world->source.doubts = 1;
	assert_false(is_pending(world, 2));
	assert_false(is_pending(world, 60));
	world->source.doubts = 2; /* while it is asked: it is asked again */
	world->source.away = false;
	assert_false(is_pending(world, 61));
	assert_true(is_pending(world, 61));
	world->source.has_record = true;
	world->source.hash = 1;
	world->source.doubts = 3;
	assert_int_equal(tick(world, 61, FRONTIER), RESULT_CONFIG);
}

static void others_tell_whoever_has_read_nothing(void **state)
{
	struct world *world = *state;
	world->source.doubts = 1;
	assert_int_equal(tick(world, 1, FRONTIER), RESULT_OK);
	world->source.doubts = 2;
	world->source.has_record = true;
	world->source.hash = 4712;
	assert_int_equal(tick(world, 2, FRONTIER), RESULT_CONFIG);
	assert_non_null(strstr(world->harness.error.text, "of partition 1 a record was read at offset 11"));
	assert_true(world->source.has_record);
}

static void without_any_record_the_next_attempt_finds_out(void **state)
{
	struct bed *bed = bed_start(state, 1 << 20, 1 << 20);
	struct harness *harness = &bed->harness;
	bed_tick(bed);
	bed->source.left[0] = 1;
	bed->source.doubts = 1;
	assert_int_equal(
	    harness->actor->ops->on_tick(harness->actor, SECOND_US, &harness->outbox, &harness->error), RESULT_RETRY);
	assert_non_null(strstr(harness->error.text, "the next attempt finds out"));
	assert_int_equal(bed->source.left[0], 1);
}

/* Retention goes on, and one partition does not answer: neither is another log. */
static void what_is_not_seen_is_no_other_log(void **state)
{
	struct world *world = *state;
	static const enum recalled harmless[] = {RECALLED_GONE, RECALLED_UNKNOWN};
	for (uint64_t i = 0; i < 2; i++) {
		world->source.now = harmless[i];
		world->source.doubts++;
		read_one(world, 10 + i);
		assert_string_equal(marks_at(world, i + 1), i == 0 ? "0" : "01");
	}
}

/* The next attempt compares it with what is remembered. */
static void another_cluster_ends_the_attempt(void **state)
{
	struct world *world = *state;
	world->source.cluster = "one";
	assert_int_equal(describe_again(world, RECALLED_THERE, 0), RESULT_OK);
	assert_int_equal(harness_frame(&world->harness, 0, FRAME_START, &(struct frame_start){0}, true), RESULT_OK);
	world->source.doubts++;
	assert_int_equal(tick(world, 2, FRONTIER), RESULT_OK);
	world->source.doubts++;
	world->source.cluster = "two";
	assert_int_equal(tick(world, 3, FRONTIER), RESULT_CORRUPT);
	assert_non_null(strstr(world->harness.error.text, "the Kafka cluster was 'one', and now it is 'two'"));
}

/* One member at a time; the value stands in databases: it must be the same in every release. */
static void a_record_is_known_by_all_of_it(void **state)
{
	static const struct bytes none = {NULL, 0}, empty = {(const uint8_t *)"", 0}, a = {(const uint8_t *)"a", 1},
	                          ab = {(const uint8_t *)"ab", 2}, b = {(const uint8_t *)"b", 1};
	const struct source_record records[] = {
	    {.timestamp_ms = 5, .key = a, .payload = b},
	    {.timestamp_ms = 6, .key = a, .payload = b},
	    {.timestamp_ms = -1, .key = a, .payload = b},
	    {.timestamp_ms = 5, .key = b, .payload = b},
	    {.timestamp_ms = 5, .key = a, .payload = a},
	    {.timestamp_ms = 5, .key = none, .payload = b},
	    {.timestamp_ms = 5, .key = empty, .payload = b},
	    {.timestamp_ms = 5, .key = a, .payload = none},
	    {.timestamp_ms = 5, .key = a, .payload = empty},
	    {.timestamp_ms = 5, .key = ab, .payload = empty},
	    {.timestamp_ms = 5, .key = empty, .payload = ab},
	};
	enum { RECORDS = sizeof records / sizeof *records };
	(void)state;
	for (size_t i = 0; i < RECORDS; i++)
		for (size_t k = 0; k < i; k++)
			assert_true(record_mark(&records[i]) != record_mark(&records[k]));
	assert_int_equal(record_mark(&records[0]), MARK_OF_FIRST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_log_that_stays_short_is_refused, replay_begin, replay_end),
	    cmocka_unit_test_setup_teardown(a_log_that_is_short_for_a_moment_is_not, replay_begin, replay_end),
	    cmocka_unit_test_setup_teardown(the_log_grows_while_a_cut_is_waited_for, replay_begin, replay_end),
	    cmocka_unit_test_setup_teardown(old_ends_are_unknown, replay_begin, replay_end),
	    cmocka_unit_test_setup_teardown(what_is_no_record_is_passed, replay_begin, replay_end),
	    cmocka_unit_test_setup_teardown(a_gap_at_the_ceiling_ends_it, replay_begin, replay_end),
	    cmocka_unit_test_setup_teardown(rows_come_in_frames, bed_begin, bed_end),
	    cmocka_unit_test_setup_teardown(letters_come_in_frames, bed_begin, bed_end),
	    cmocka_unit_test_setup_teardown(an_epoch_takes_its_credit, bed_begin, bed_end),
	    cmocka_unit_test_setup_teardown(one_record_is_always_allowed, bed_begin, bed_end),
	    cmocka_unit_test_setup_teardown(no_partition_starves, bed_begin, bed_end),
	    cmocka_unit_test_setup_teardown(too_many_partitions_are_refused, bed_begin, bed_end),
	    cmocka_unit_test_setup_teardown(another_record_is_refused, replay_begin, replay_end),
	    cmocka_unit_test_setup_teardown(the_same_record_and_one_that_is_gone_are_not, replay_begin, replay_end),
	    cmocka_unit_test_setup_teardown(what_was_read_is_looked_at_again, replay_begin, replay_end),
	    cmocka_unit_test_setup_teardown(nothing_is_read_in_doubt, replay_begin, replay_end),
	    cmocka_unit_test_setup_teardown(others_tell_whoever_has_read_nothing, replay_begin, replay_end),
	    cmocka_unit_test_setup_teardown(without_any_record_the_next_attempt_finds_out, bed_begin, bed_end),
	    cmocka_unit_test_setup_teardown(what_is_not_seen_is_no_other_log, replay_begin, replay_end),
	    cmocka_unit_test_setup_teardown(another_cluster_ends_the_attempt, replay_begin, replay_end),
	    cmocka_unit_test(a_record_is_known_by_all_of_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
