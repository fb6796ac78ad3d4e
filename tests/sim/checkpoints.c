/* tests/sim/checkpoints.c - the database's table of checkpoints, and late duplicates; see database.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mutant.h"
#include "tests/sim/sim.h"

/* --- identities --------------------------------------------------------------------------------------------------------------- */

static struct identity *find_identity(struct database *database, struct epoch_id epoch)
{
	for (uint32_t i = 0; i < database->checkpoints_len; i++)
		if (epoch_equal(database->checkpoints[i].epoch, epoch))
			return &database->checkpoints[i];
	return NULL;
}

struct identity identity_here(const struct database *database, struct epoch_id epoch)
{
	struct identity identity = {
	    .epoch = epoch, .counted = true, .counters = database->counters, .sums = database->sums};
	memcpy(identity.cut, database->cut, sizeof identity.cut);
	memcpy(identity.marks, database->marks, sizeof identity.marks);
	return identity;
}

void name_checkpoint(struct world *world, const struct identity *identity)
{
	struct database *database = &world->database;
	uint32_t place = database->checkpoints_len;
	if (place == IDENTITIES_MAX) {
		world_violate(world, "%d checkpoints are named, and none is retired", IDENTITIES_MAX);
		return;
	}
	for (; place > 0 && epoch_compare(database->checkpoints[place - 1].epoch, identity->epoch) > 0; place--)
		database->checkpoints[place] = database->checkpoints[place - 1];
	database->checkpoints[place] = *identity;
	marks_check(world, "a checkpoint", identity->marks, database->base, identity->cut);
	database->checkpoints_len++;
	world->statistics.checkpoints++;
}

void tell_checkpoints(const struct world *world, struct sink_answer *answer)
{
	const struct database *database = &world->database;
	answer->checkpoints = memory_new((database->checkpoints_len + 1) * sizeof *answer->checkpoints);
	for (uint32_t i = database->checkpoints_len; i-- > 0;) {
		struct checkpoint_identity *told = &answer->checkpoints[answer->checkpoints_len++];
		told->epoch = database->checkpoints[i].epoch;
		told->counts.counted = database->checkpoints[i].counted;
		told->counts.counters = database->checkpoints[i].counters;
		told->counts.sums = sums_whole(&database->checkpoints[i].sums);
		for (uint32_t p = 0; p < PARTITIONS_MAX; p++)
			if (database->checkpoints[i].cut[p] != UNNAMED)
				cut_set(&told->cut, p, database->checkpoints[i].cut[p]);
		marks_tell(database->checkpoints[i].marks, &told->marks);
	}
}

/* What a checkpoint has seen is in the database: nobody names or restores one that has seen more. */
static void check_cut(struct world *world, const char *who, struct epoch_id epoch, const int64_t cut[PARTITIONS_MAX])
{
	for (uint32_t p = 0; p < PARTITIONS_MAX; p++)
		if (cut[p] > 0 && cut[p] > world->database.cut[p])
			world_violate(world,
			    "%s %" PRIu64 ".%" PRIu64 " lies behind the frontier in partition %u: %" PRId64
			    " instead of at most %" PRId64,
			    who, epoch.attempt, epoch.n, p, cut[p], world->database.cut[p]);
}

enum sink_outcome run_mark(struct world *world, const struct task *task)
{
	const struct changes *changes = task->changes;
	enum sink_outcome outcome = frontier_holds(world, task);
	if (outcome != SINK_DONE || find_identity(&world->database, changes->epoch) != NULL)
		return outcome;
	keep_snapshot(world);
	check_cut(world, "the silent checkpoint", changes->epoch, changes->cut);
	struct identity marked = {
	    .epoch = changes->epoch, .counted = changes->counted, .counters = changes->counters, .sums = changes->sums};
	memcpy(marked.cut, changes->cut, sizeof marked.cut);
	memcpy(marked.marks, changes->marks, sizeof marked.marks);
	name_checkpoint(world, &marked);
	world->statistics.marks++;
	return SINK_DONE;
}

/* What lies in front of the checkpoint restored is not replayed: nobody decides about it again. */
static void note_choice(struct world *world, uint64_t attempt, const int64_t cut[PARTITIONS_MAX])
{
	struct attempt_note *note = world_note(world, attempt);
	if (note == NULL)
		return;
	for (uint32_t p = 0; p < world->log.len; p++) {
		const struct log_partition *partition = &world->log.partitions[p];
		for (uint32_t i = 0; i < partition->len && partition->records[i].offset < cut[p]; i++)
			note->decided[p][i] = 0;
	}
}

/* --- meaning ------------------------------------------------------------------------------------------------------------------ */

void tell_meaning(const struct world *world, struct sink_answer *answer)
{
	const struct database *database = &world->database;
	const struct pipeline *was = &world->files[database->file.wide][database->file.roomy];
	struct buffer words = {0};
	if (!database->started)
		return;
	memcpy(answer->frontier.fingerprint, was->fingerprint, sizeof answer->frontier.fingerprint);
	answer->since = database->since;
	answer->replayable =
	    pipeline_meaning_compare(was->meaning, world->pipeline.meaning, &words) == MEANING_MEASURES;
	buffer_append(&words, "", 1);
	(void)snprintf(answer->changed, sizeof answer->changed, "%s", (const char *)words.data);
	buffer_fini(&words);
}

/* What lies before the frontier has been judged. */
static void change_meaning(struct world *world, struct epoch_id since, struct file_kind file)
{
	struct database *database = &world->database;
	for (uint32_t p = 0; p < PARTITIONS_MAX; p++)
		for (uint32_t i = 0; i < world->log.partitions[p].len; i++)
			if (world->log.partitions[p].records[i].offset < database->cut[p] &&
			    database->judged[p][i] == JUDGE_NOW)
				database->judged[p][i] = database->file.wide ? JUDGE_WIDE : JUDGE_NARROW;
	database->file = file;
	database->since = since;
	world->statistics.meanings++;
}

static enum sink_outcome rename_chosen(struct world *world, const struct task *task, const struct identity *identity)
{
	struct database *database = &world->database;
	const struct changes *changes = task->changes;
	struct identity named = *identity;
	bool at_frontier = memcmp(named.cut, database->cut, sizeof named.cut) == 0;
	/* Totals that only get more digits are no other judgement of the records that are read again. */
	bool replayable = changes->file.wide == database->file.wide;
	if (!at_frontier && !replayable && !MUTANT(meaning_unclean)) {
		world_violate(world, "checkpoint %" PRIu64 ".%" PRIu64 " is renamed, but does not lie at the frontier",
		    named.epoch.attempt, named.epoch.n);
		return SINK_MOVED;
	}
	named.epoch = changes->renamed;
	name_checkpoint(world, &named);
	world->statistics.meanings_replayed += !at_frontier;
	change_meaning(world, changes->renamed, changes->file);
	return SINK_DONE;
}

void check_cluster(struct world *world, uint32_t remembered)
{
	if (remembered != 0 && remembered != world->log.cluster)
		world_violate(
		    world, "an attempt begins in cluster %u, and cluster %u was read", world->log.cluster, remembered);
}

enum sink_outcome run_choose(struct world *world, const struct task *task)
{
	struct database *database = &world->database;
	struct epoch_id chosen = task->changes->epoch;
	if (!fence_holds(database, task->attempt))
		return SINK_FENCED;
	const struct identity *identity = find_identity(database, chosen);
	bool renames = !epoch_equal(task->changes->renamed, (struct epoch_id){0});
	if (renames && find_identity(database, task->changes->renamed) != NULL)
		return SINK_DONE; /* sent again */
	if (identity == NULL) {
		if (!database->failed_over)
			world_violate(world, "attempt %" PRIu64 " restores %" PRIu64 ".%" PRIu64 ", which is not named",
			    task->attempt, chosen.attempt, chosen.n);
		return SINK_MOVED;
	}
	check_cut(world, "the checkpoint restored,", chosen, identity->cut);
	world->statistics.choices++;
	if (task->sink != NULL) {
		marks_check_own(world, "an attempt at this frontier", database->marks);
		marks_check_own(world, "an attempt from this checkpoint", identity->marks);
		check_cluster(world, database->cluster);
	}
	if (task->changes->cluster != 0)
		database->cluster = task->changes->cluster;
	note_choice(world, task->attempt, identity->cut);
	uint32_t kept = 0;
	while (kept < database->checkpoints_len && epoch_compare(database->checkpoints[kept].epoch, chosen) <= 0)
		kept++;
	keep_snapshot(world);
	fault_after_choice(world, kept < database->checkpoints_len);
	if (kept < database->checkpoints_len && !MUTANT(branches_kept)) {
		world->statistics.branches += database->checkpoints_len - kept;
		database->checkpoints_len = kept;
	}
	enum sink_outcome outcome = renames ? rename_chosen(world, task, identity) : SINK_DONE;
	if (outcome == SINK_DONE && !MUTANT(choice_unnoticed))
		database->last = epoch_of_choice(task->attempt);
	world->database_changed = true;
	return outcome;
}

static bool is_retired(const struct changes *changes, struct epoch_id epoch)
{
	for (uint32_t i = 0; i < changes->retired_len; i++)
		if (epoch_equal(changes->retired[i], epoch))
			return true;
	return false;
}

/* A failover may have lost the very checkpoint that makes the others superfluous. */
static bool names(const struct database *database, struct epoch_id epoch)
{
	for (uint32_t i = 0; i < database->checkpoints_len; i++)
		if (epoch_equal(database->checkpoints[i].epoch, epoch))
			return true;
	return false;
}

static void prune_decisions(struct world *world, const int64_t oldest_cut[PARTITIONS_MAX])
{
	for (uint32_t p = 0; p < world->log.len; p++)
		for (uint32_t i = 0; i < world->log.partitions[p].len; i++) {
			uint8_t *decision = &world->database.decisions[p][i];
			if (world->log.partitions[p].records[i].offset >= oldest_cut[p])
				break;
			world->statistics.decisions_retired += *decision != 0;
			*decision = 0;
		}
}

/* Named, of the meaning of now, and with a manifest. */
static bool can_restore(const struct world *world)
{
	const struct database *database = &world->database;
	for (uint32_t i = 0; i < database->checkpoints_len; i++)
		if (epoch_compare(database->checkpoints[i].epoch, database->since) >= 0 &&
		    store_has_manifest(&world->store, database->checkpoints[i].epoch))
			return true;
	return false;
}

enum sink_outcome run_retire(struct world *world, const struct task *task)
{
	struct database *database = &world->database;
	const struct changes *changes = task->changes;
	uint32_t kept = 0;
	bool could_restore = can_restore(world);
	if (!fence_holds(database, task->attempt)) {
		world->statistics.fenced++;
		return SINK_FENCED;
	}
	if (!names(database, changes->epoch) && !MUTANT(retirement_trusted))
		return SINK_MOVED;
	keep_snapshot(world);
	for (uint32_t i = 0; i < database->checkpoints_len; i++)
		if (!is_retired(changes, database->checkpoints[i].epoch))
			database->checkpoints[kept++] = database->checkpoints[i];
	world->statistics.names_retired += database->checkpoints_len - kept;
	database->checkpoints_len = kept;
	if (could_restore && !can_restore(world))
		world_violate(world, "the last checkpoint that could be restored is retired");
	prune_decisions(world, changes->cut);
	return SINK_DONE;
}

/* --- late duplicates ----------------------------------------------------------------------------------------------------------- */

bool rows_are_late(const struct world *world, const struct changes *changes)
{
	for (uint32_t i = 0; i < changes->rows_len; i++)
		if (world->database.rows[changes->rows[i].key].there)
			return true;
	return false;
}

static enum verdict compare(const struct log_record *a, const struct log_record *b)
{
	return a->group == b->group && a->day == b->day && a->minor == b->minor ? VERDICT_DUPLICATE : VERDICT_CONFLICT;
}

enum sink_outcome run_late(struct world *world, const struct task *task)
{
	const struct changes *changes = task->changes;
	enum sink_outcome outcome = violation_is_trusted() ? SINK_DONE : frontier_holds(world, task);
	if (outcome != SINK_DONE || task->sink == NULL)
		return outcome;
	struct decisions *found = &task->sink->answer.decisions;
	found->entries = memory_new((changes->rows_len + 1) * sizeof *found->entries);
	for (uint32_t i = 0; i < changes->rows_len; i++) {
		uint32_t partition = changes->rows[i].partition;
		int64_t offset = changes->rows[i].offset;
		const struct stored_row *row = &world->database.rows[changes->rows[i].key];
		if (!row->there)
			continue;
		/* Behind the frontier, so none of its records has a row. */
		if (row->partition == partition && row->offset == offset)
			world_violate(
			    world, "%u/%" PRId64 " is found to be a late duplicate of itself", partition, offset);
		enum verdict verdict = compare(
		    log_find(&world->log, partition, offset), log_find(&world->log, row->partition, row->offset));
		found->entries[found->len++] = (struct decision){partition, offset, verdict};
	}
	world->statistics.late += found->len;
	return SINK_DONE;
}

void database_take_checkpoints(struct database *database, const struct database *from)
{
	memcpy(database->checkpoints, from->checkpoints, sizeof database->checkpoints);
	database->checkpoints_len = from->checkpoints_len;
}
