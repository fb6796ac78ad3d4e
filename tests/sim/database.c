#include "tests/sim/database.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mutant.h"
#include "tests/sim/sim.h"

void database_init(struct database *database)
{
	*database = (struct database){0};
	for (uint32_t i = 0; i < PARTITIONS_MAX; i++)
		database->cut[i] = database->base[i] = UNNAMED;
}

/* --- one transaction ------------------------------------------------------------------------------------------------------ */

bool fence_holds(const struct database *database, uint64_t attempt)
{
	return database->fence == attempt || MUTANT(no_fence);
}

static bool predecessor_holds(const struct database *database, struct epoch_id predecessor)
{
	return epoch_equal(database->last, predecessor) || MUTANT(no_predecessor);
}

bool violation_is_trusted(void)
{
	return MUTANT(violation_trusted);
}

enum sink_outcome frontier_holds(struct world *world, const struct task *task)
{
	const struct database *database = &world->database;
	if (!fence_holds(database, task->attempt)) {
		world->statistics.fenced++;
		return SINK_FENCED;
	}
	bool started = database->started || (task->kind == SINK_TOUCH && MUTANT(touch_unstarted));
	if (predecessor_holds(database, task->changes->predecessor) && started)
		return SINK_DONE;
	world->statistics.moved++;
	/* Whoever has the fence alone can move the frontier, and has to know where it left it. */
	if (!database->failed_over)
		world_violate(world,
		    "attempt %" PRIu64 " has the fence, but believes the frontier at %" PRIu64 ".%" PRIu64
		    "; it is at %" PRIu64 ".%" PRIu64,
		    task->attempt, task->changes->predecessor.attempt, task->changes->predecessor.n,
		    database->last.attempt, database->last.n);
	return SINK_MOVED;
}

static void put_rows(struct world *world, const struct changes *changes)
{
	struct database *database = &world->database;
	for (uint32_t i = 0; i < changes->rows_len; i++) {
		uint32_t key = changes->rows[i].key;
		if (database->rows[key].there)
			world_violate(world, "key %u comes twice in an epoch, the second time with %u/%" PRId64, key,
			    changes->rows[i].partition, changes->rows[i].offset);
		database->rows[key] = (struct stored_row){true, changes->rows[i].partition, changes->rows[i].offset};
	}
	for (uint32_t i = 0; i < changes->letters_len; i++) {
		uint8_t *letter = &database->letters[changes->letters[i].partition][changes->letters[i].place];
		if (*letter != LETTER_NONE)
			world_violate(world, "a second dead letter of the same record");
		*letter = (uint8_t)changes->letters[i].kind;
	}
	for (uint32_t i = 0; i < changes->decisions_len; i++) {
		uint32_t partition = changes->decisions[i].partition, place = changes->decisions[i].place;
		if (database->decided[partition][place] != 0)
			world_violate(world, "a second decision about the same record");
		database->decisions[partition][place] = database->decided[partition][place] =
		    (uint8_t)changes->decisions[i].verdict;
	}
}

static void put_total(struct total *total, const struct total *named)
{
	if (named->there)
		*total = *named;
}

static void put_totals(struct totals *totals, const struct totals *named)
{
	for (uint32_t d = 0; d < DAYS_MAX; d++) {
		for (uint32_t g = 0; g < GROUPS_MAX; g++)
			put_total(&totals->by_group[d][g], &named->by_group[d][g]);
		put_total(&totals->by_day[d], &named->by_day[d]);
	}
	for (uint32_t m = 0; m < MONTHS_MAX; m++)
		put_total(&totals->by_month[m], &named->by_month[m]);
}

static void move_cut(struct world *world, const struct changes *changes)
{
	struct database *database = &world->database;
	for (uint32_t i = 0; i < PARTITIONS_MAX; i++) {
		if (changes->cut[i] < database->cut[i])
			world_violate(world, "the cut goes back in partition %u: %" PRId64 " after %" PRId64, i,
			    changes->cut[i], database->cut[i]);
		if (changes->cut[i] > world->log.partitions[i].end)
			world_violate(world, "the cut lies behind the end of partition %u", i);
		database->cut[i] = changes->cut[i];
	}
}

void keep_snapshot(struct world *world)
{
	world->snapshots[world->snapshots_len % SNAPSHOTS] = world->database;
	world->snapshots_len++;
}

static enum sink_outcome run_commit(struct world *world, const struct task *task)
{
	struct database *database = &world->database;
	const struct changes *changes = task->changes;
	if (violation_is_trusted() && rows_are_late(world, changes))
		return SINK_LATE;
	enum sink_outcome outcome = frontier_holds(world, task);
	if (outcome != SINK_DONE)
		return outcome;
	if (rows_are_late(world, changes)) {
		world->statistics.late_commits++;
		return SINK_LATE;
	}
	if (task->attempt != database->fence)
		world_violate(
		    world, "attempt %" PRIu64 " commits behind fence %" PRIu64, task->attempt, database->fence);
	const struct attempt_note *note = world_note(world, task->attempt);
	if (note != NULL && note->altered)
		world_violate(
		    world, "attempt %" PRIu64 " writes, and has read another record than before", task->attempt);
	keep_snapshot(world);
	put_rows(world, changes);
	put_totals(&database->totals, &changes->totals);
	move_cut(world, changes);
	memcpy(database->marks, changes->marks, sizeof database->marks);
	marks_check(world, "the frontier", database->marks, database->base, database->cut);
	counters_add(&database->counters, &changes->counters);
	database->sums = changes->sums;
	database->last = changes->epoch;
	const struct identity here = identity_here(database, changes->epoch);
	if (changes->checkpoint)
		name_checkpoint(world, &here);
	world->database_changed = true;
	world->statistics.commits++;
	world->statistics.rows += changes->rows_len;
	world->statistics.letters += changes->letters_len;
	world->statistics.decisions += changes->decisions_len;
	world->statistics.in_flight_two += note != NULL && note->injected > changes->epoch.n;
	world->statistics.old_backend_commits += task->sink == NULL;
	world->statistics.outside_commits +=
	    world->coordinators[0].life != LIFE_DOWN && world->coordinators[1].life != LIFE_DOWN;
	world_trace(world, "    committed %" PRIu64 ".%" PRIu64 ": %u rows, %u letters, %u decisions",
	    changes->epoch.attempt, changes->epoch.n, changes->rows_len, changes->letters_len, changes->decisions_len);
	return SINK_DONE;
}

static enum sink_outcome run_set_cut(struct world *world, const struct task *task)
{
	struct database *database = &world->database;
	if (!fence_holds(database, task->attempt))
		return SINK_FENCED;
	if (database->started)
		return SINK_MOVED;
	keep_snapshot(world);
	database->started = true;
	database->file = task->changes->file;
	memcpy(database->cut, task->changes->cut, sizeof database->cut);
	memcpy(database->base, task->changes->cut, sizeof database->base);
	memset(database->marks, 0, sizeof database->marks);
	database->cluster = task->changes->cluster;
	database->sums.known = true;
	const struct identity here = identity_here(database, (struct epoch_id){0, 0});
	name_checkpoint(world, &here);
	world->database_changed = true;
	return SINK_DONE;
}

/* --- whose backend it is ---------------------------------------------------------------------------------------------------- */

static void task_free(struct task *task)
{
	free(task->changes);
	free(task);
}

static void unlink_task(struct world *world, const struct task *task)
{
	struct task **at = &world->tasks;
	while (*at != task)
		at = &(*at)->next;
	*at = task->next;
}

static void link_task(struct world *world, struct task *task)
{
	struct task **end = &world->tasks;
	while (*end != NULL)
		end = &(*end)->next;
	task->next = NULL;
	*end = task;
}

void tasks_free(struct world *world)
{
	while (world->tasks != NULL) {
		struct task *task = world->tasks;
		world->tasks = task->next;
		task_free(task);
	}
}

/* The newcomer ends its own old backend and those of older writers, and waits until they are gone. */
static void end_others(struct world *world, const struct task *newcomer)
{
	for (uint32_t i = 0; i < world->processes_len; i++) {
		struct sink *sink = &world->processes[i].sink;
		if (world->processes[i].sink_open && sink->id != newcomer->owner && sink->connected &&
		    sink->attempt <= newcomer->attempt)
			sink_break(sink, false, "the backend was ended by another writer");
	}
	for (struct task **at = &world->tasks; *at != NULL;) {
		struct task *task = *at;
		if (task->attempt <= newcomer->attempt && task->sink == NULL) {
			*at = task->next;
			task_free(task);
			world->statistics.ended_backends++;
		} else {
			at = &task->next;
		}
	}
}

/* --- answers ------------------------------------------------------------------------------------------------------------------- */

static void tell_frontier(const struct world *world, struct sink_answer *answer)
{
	const struct database *database = &world->database;
	struct frontier *frontier = &answer->frontier;
	frontier->fence = database->fence;
	frontier->last = database->last;
	frontier->started = database->started;
	frontier->counters = database->counters;
	frontier->sums = sums_whole(&database->sums);
	marks_tell(database->marks, &frontier->marks);
	for (uint32_t i = 0; database->started && i < PARTITIONS_MAX; i++)
		if (database->cut[i] != UNNAMED)
			cut_set(&frontier->cut, i, database->cut[i]);
}

static void tell_decisions(const struct world *world, struct decisions *decisions)
{
	decisions->entries = memory_new(PARTITIONS_MAX * RECORDS_MAX * sizeof *decisions->entries);
	for (uint32_t p = 0; p < world->log.len; p++)
		for (uint32_t i = 0; i < world->log.partitions[p].len; i++)
			if (world->database.decisions[p][i] != 0)
				decisions->entries[decisions->len++] =
				    (struct decision){p, world->log.partitions[p].records[i].offset,
				        (enum verdict)world->database.decisions[p][i]};
}

static void note_attempt(struct world *world, uint64_t attempt)
{
	struct attempt_note *note = &world->notes[attempt % ATTEMPTS_KEPT];
	*note = (struct attempt_note){.attempt = attempt};
	for (uint32_t i = 0; i < PARTITIONS_MAX; i++)
		note->cut[i] = world->database.cut[i] == UNNAMED ? 0 : world->database.cut[i];
	memcpy(note->decided, world->database.decisions, sizeof note->decided);
}

static void tell_fenced(struct world *world, const struct task *task)
{
	struct sink_answer *answer = &task->sink->answer;
	tell_frontier(world, answer);
	tell_decisions(world, &answer->decisions);
	tell_checkpoints(world, answer);
	tell_meaning(world, answer);
	cluster_tell(world->database.cluster, &answer->remembered, &answer->arena);
	note_attempt(world, task->attempt);
}

/* Raises the fence, or sees that it must not. */
static enum sink_outcome run_fence(struct world *world, const struct task *task)
{
	struct database *database = &world->database;
	if (database->fence >= task->attempt && !MUTANT(attempt_not_monotone)) {
		world->statistics.outbid++;
		return SINK_FENCED;
	}
	database->fence = task->attempt;
	database->failed_over = false;
	return SINK_DONE;
}

/* A failover may bring names back before the coordinator hears which ones there were. */
static void note_usable(struct world *world)
{
	uint32_t failures = world->store.failures;
	world->nothing_usable = usable_checkpoint(world) == NULL;
	world->store.failures = failures;
}

static enum sink_outcome run_fence_read(struct world *world, struct task *task)
{
	end_others(world, task);
	if (!fence_holds(&world->database, task->attempt))
		return SINK_FENCED;
	tell_fenced(world, task);
	note_usable(world);
	return SINK_DONE;
}

/* One statement or transaction. *more: the task goes on with its other half at a later step. */
static enum sink_outcome run(struct world *world, struct task *task, bool *more)
{
	enum sink_outcome outcome = SINK_DONE;
	switch (task->kind) {
	case SINK_FENCE:
		if (task->reads)
			return run_fence_read(world, task);
		outcome = run_fence(world, task);
		*more = outcome == SINK_DONE && task->sink != NULL;
		task->reads = true;
		return outcome;
	case SINK_SET_CUT:
		return run_set_cut(world, task);
	case SINK_COMMIT:
		return run_commit(world, task);
	case SINK_MARK:
		return run_mark(world, task);
	case SINK_CHOOSE:
		return run_choose(world, task);
	case SINK_RETIRE:
		return run_retire(world, task);
	case SINK_ASK_LATE:
		return run_late(world, task);
	case SINK_LOOK:
		if (task->reads && !violation_is_trusted())
			end_others(world, task);
		*more = !task->reads && fence_holds(&world->database, task->attempt);
		task->reads = true;
		return fence_holds(&world->database, task->attempt) ? SINK_DONE : SINK_FENCED;
	case SINK_TOUCH:
		world->statistics.touches++;
		return frontier_holds(world, task);
	case SINK_NOTHING:
	case SINK_REQUEST_KINDS:
		break;
	}
	panic("task %d", (int)task->kind);
}

static void answer(struct world *world, struct task *task, enum sink_outcome outcome)
{
	struct sink *sink = task->sink;
	sink->answer.outcome = outcome;
	sink->on_the_way = true;
	sink->failed_over = world->database.failed_over;
	if (outcome != SINK_DONE)
		error_set(&sink->answer.error, RESULT_CORRUPT, "refused by the database, whose fence is %" PRIu64,
		    world->database.fence);
	if (outcome == SINK_DONE && task->kind == SINK_LOOK)
		tell_frontier(world, &sink->answer);
	sink->answer.frontier.fence = world->database.fence;
	if (task->kind == SINK_FENCE || task->kind == SINK_LOOK)
		sink->connected = outcome == SINK_DONE;
}

bool task_due(const struct world *world, const struct task *task)
{
	return task->slow_until_us <= world->now_us;
}

void task_run(struct world *world, struct task *task)
{
	bool more = false;
	world_trace(world, "a backend of %s, attempt %" PRIu64 ", %s", task->sink ? task->sink->process : "nobody",
	    task->attempt, task->reads ? "reads under the fence" : sink_request_words(task->kind));
	unlink_task(world, task);
	if (world->database_away) {
		if (task->sink != NULL)
			sink_break(task->sink, false, "the database is away");
		task_free(task);
		return;
	}
	enum sink_outcome outcome = run(world, task, &more);
	if (more) {
		if (random_chance(&world->random, 300))
			task->slow_until_us = world->now_us + random_below(&world->random, SLOW_MOST_US);
		link_task(world, task);
		return;
	}
	if (task->sink != NULL)
		answer(world, task, outcome);
	task_free(task);
}
