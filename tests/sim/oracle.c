/* tests/sim/oracle.c - what the database must hold at its cut: a fold of the log and the recorded decisions.
 *
 * Written from the promise, not from the services: rows, totals, dead letters and counters are recomputed and compared.
 */
#include <inttypes.h>
#include <string.h>

#include "tests/sim/sim.h"

struct expected {
	struct stored_row rows[KEYS_MAX];
	const struct log_record *winners[KEYS_MAX];
	struct totals totals;
	uint8_t letters[PARTITIONS_MAX][RECORDS_MAX];
	struct counters counters;
};

static bool same_content(const struct log_record *a, const struct log_record *b)
{
	return a->group == b->group && a->day == b->day && a->minor == b->minor;
}

static void count(struct expected *expected, enum counter counter, uint64_t n)
{
	expected->counters.n[counter] += n;
}

static void drop(struct expected *expected, uint32_t partition, uint32_t place, bool is_duplicate)
{
	count(expected, is_duplicate ? COUNTER_DUPLICATES : COUNTER_CONFLICTS, 1);
	if (!is_duplicate)
		expected->letters[partition][place] = LETTER_CONFLICT;
}

static void add(struct total *total, int64_t minor)
{
	total->there = true;
	total->minor += minor;
}

static void accept(struct expected *expected, uint32_t partition, const struct log_record *record)
{
	expected->rows[record->key] = (struct stored_row){true, partition, record->offset};
	expected->winners[record->key] = record;
	count(expected, COUNTER_ACCEPTED, 1);
	add(&expected->totals.by_group[record->day][record->group], record->minor);
	add(&expected->totals.by_day[record->day], record->minor);
	add(&expected->totals.by_month[record->day == 2], record->minor);
}

/* By the pipeline file that counted when the cut passed it. */
static bool is_valid(const struct world *world, uint32_t p, uint32_t place)
{
	const struct database *database = &world->database;
	const struct log_record *record = &world->log.partitions[p].records[place];
	enum judge judge = (enum judge)database->judged[p][place];
	return record->valid && (!record->wide || judge == JUDGE_WIDE || (judge == JUDGE_NOW && database->file.wide));
}

/* Records that nobody decided about: within a partition the first one of a key wins, and no other partition has any. */
static void fold_undecided(struct world *world, uint32_t p, uint32_t place, struct expected *expected)
{
	const struct log_record *record = &world->log.partitions[p].records[place];
	const struct stored_row *row = &expected->rows[record->key];
	if (!row->there)
		accept(expected, p, record);
	else if (row->partition != p)
		world_violate(
		    world, "undecided repeats of key %u in partitions %u and %u", record->key, row->partition, p);
	else
		drop(expected, p, place, same_content(expected->winners[record->key], record));
}

static void fold_decided(
    struct world *world, uint32_t p, uint32_t place, enum verdict verdict, struct expected *expected)
{
	const struct log_record *record = &world->log.partitions[p].records[place],
	                        *winner = expected->winners[record->key];
	if (winner == NULL) {
		world_violate(
		    world, "%u/%" PRId64 " was dropped, but its key has no row at this cut", p, record->offset);
		return;
	}
	if ((verdict == VERDICT_DUPLICATE) != same_content(winner, record))
		world_violate(world, "the verdict on %u/%" PRId64 " does not fit the row", p, record->offset);
	drop(expected, p, place, verdict == VERDICT_DUPLICATE);
}

/* decided: those that somebody decided about, once all winners are known. */
static void fold(struct world *world, bool decided, struct expected *expected)
{
	const struct database *database = &world->database;
	for (uint32_t p = 0; p < world->log.len; p++) {
		const struct log_partition *partition = &world->log.partitions[p];
		int64_t from = database->base[p] == UNNAMED ? 0 : database->base[p];
		for (uint32_t i = 0; i < partition->len; i++) {
			const struct log_record *record = &partition->records[i];
			enum verdict verdict = (enum verdict)database->decided[p][i];
			bool inside = record->offset >= from && record->offset < database->cut[p];
			if (!inside) {
				if (!decided && verdict != 0)
					world_violate(world,
					    "a decision on %u/%" PRId64 ", which is not within the cut", p,
					    record->offset);
				continue;
			}
			if (is_valid(world, p, i) && (verdict != 0) == decided) {
				if (decided)
					fold_decided(world, p, i, verdict, expected);
				else
					fold_undecided(world, p, i, expected);
			}
			if (decided)
				continue;
			count(expected, COUNTER_CONSUMED, 1);
			count(expected, COUNTER_UNKNOWN_FIELDS, is_valid(world, p, i) ? record->unknown_fields : 0);
			if (!is_valid(world, p, i)) {
				count(expected, COUNTER_DEAD, 1);
				expected->letters[p][i] = LETTER_DEAD;
			}
		}
	}
}

static void compare_rows(struct world *world, const struct expected *expected)
{
	for (uint32_t key = 0; key < KEYS_MAX; key++) {
		const struct stored_row *is = &world->database.rows[key], *ought = &expected->rows[key];
		if (is->there != ought->there || is->partition != ought->partition || is->offset != ought->offset)
			world_violate(world, "key %u: row %d %u/%" PRId64 " instead of %d %u/%" PRId64, key, is->there,
			    is->partition, is->offset, ought->there, ought->partition, ought->offset);
	}
}

static void compare_total(struct world *world, const char *table, uint32_t place, struct total is, struct total ought)
{
	if (is.there != ought.there || is.minor != ought.minor)
		world_violate(world, "total of %s, group %u: %d %" PRId64 " instead of %d %" PRId64, table, place,
		    is.there, is.minor, ought.there, ought.minor);
}

static void compare_totals(struct world *world, const struct totals *ought)
{
	const struct totals *is = &world->database.totals;
	for (uint32_t d = 0; d < DAYS_MAX; d++) {
		for (uint32_t g = 0; g < GROUPS_MAX; g++)
			compare_total(world, "by_group", d * GROUPS_MAX + g, is->by_group[d][g], ought->by_group[d][g]);
		compare_total(world, "by_day", d, is->by_day[d], ought->by_day[d]);
	}
	for (uint32_t m = 0; m < MONTHS_MAX; m++)
		compare_total(world, "by_month", m, is->by_month[m], ought->by_month[m]);
}

/* No group counts twice, and none is left out. Sums are those of the totals from the start on. */
static void compare_sums(struct world *world)
{
	const struct totals *totals = &world->database.totals;
	int128 ought[ROLLUPS] = {0};
	for (uint32_t d = 0; d < DAYS_MAX; d++) {
		for (uint32_t g = 0; g < GROUPS_MAX; g++)
			ought[0] += totals->by_group[d][g].minor;
		ought[1] += totals->by_day[d].minor;
	}
	for (uint32_t m = 0; m < MONTHS_MAX; m++)
		ought[2] += totals->by_month[m].minor;
	for (uint32_t i = 0; i < ROLLUPS && world->database.sums.known; i++)
		if (world->database.sums.of[i].plain != (uint128)ought[i])
			world_violate(world, "the sums of rollup %u are not those of its totals", i);
}

static void compare_counters(struct world *world, const struct counters *ought)
{
	const struct counters *is = &world->database.counters;
	for (int i = 0; i < COUNTERS_FOR_PEOPLE; i++)
		if (is->n[i] != ought->n[i])
			world_violate(
			    world, "%s: %" PRIu64 " instead of %" PRIu64, counter_names[i], is->n[i], ought->n[i]);
	if (is->n[COUNTER_CONSUMED] !=
	    is->n[COUNTER_ACCEPTED] + is->n[COUNTER_DUPLICATES] + is->n[COUNTER_CONFLICTS] + is->n[COUNTER_DEAD])
		world_violate(world, "the counters do not add up");
}

void oracle_check(struct world *world)
{
	struct expected expected = {0};
	if (!world->database.started)
		return;
	fold(world, false, &expected);
	fold(world, true, &expected);
	compare_rows(world, &expected);
	compare_totals(world, &expected.totals);
	compare_counters(world, &expected.counters);
	compare_sums(world);
	if (memcmp(world->database.letters, expected.letters, sizeof expected.letters) != 0)
		world_violate(world, "the dead letters are not those of the records within the cut");
}

bool oracle_complete(const struct world *world)
{
	if (!world->database.started)
		return false;
	for (uint32_t p = 0; p < world->log.len; p++)
		if (world->log.partitions[p].len > 0 && world->database.cut[p] < log_last(&world->log.partitions[p]))
			return false;
	return true;
}
