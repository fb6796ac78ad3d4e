/* common/state/sums.h - what all totals of a job add up to: two numbers per measure of a rollup.
 *
 * `plain` is the sum of the measure over all groups, in minor units. `weighted` is the sum of hash times measure, the hash being the
 * group's: it differs, too, where the same amounts stand in other groups. Both grow by what is added to a group, so nobody has to
 * read the groups. The rollup actors keep them with their state (rollup_sums.h), barriers bring them to the writer, the database
 * keeps them beside frontier and checkpoints: so a state, or a replay, that is not the one of before is noticed by a comparison
 * of a few numbers.
 *
 * Units: minor units, modulo 2^128. Where a job has begun before sums were kept, they count from there on, in state and database
 *        alike.
 */
#ifndef STATE_SUMS_H
#define STATE_SUMS_H

#include "common/base/decimal.h"
#include "common/base/pipeline.h"
#include "proto/cut.h"

typedef unsigned __int128 uint128;

struct sum {
	uint128 plain, weighted;
};
struct sums {
	bool known;
	struct sum of[PIPELINE_ROLLUPS_MAX][PIPELINE_MEASURES_MAX];
};
/* What frontier and checkpoints have of both. */
struct counts {
	bool counted; /* the counters are known */
	struct counters counters;
	struct sums sums;
};

/* hash: key_hash of the group's key. */
static inline void sum_add(struct sum *sum, uint64_t hash, int128 amount)
{
	sum->plain += (uint128)amount;
	sum->weighted += (uint128)amount * hash;
}

enum sum_part { SUM_PLAIN, SUM_WEIGHTED, SUM_PARTS };
static inline uint128 *sum_part(struct sum *sum, enum sum_part part)
{
	return part == SUM_PLAIN ? &sum->plain : &sum->weighted;
}

/* In the state of the rollups the sums stand by key group, one entry per rollup and part: its value is that part of each measure in
 * turn, 16 bytes each. The keys of totals begin with the place of their rollup, these with SUM_MARK. */
enum { SUM_MARK = 0xff, SUM_KEY_LEN = 5 };
struct bytes sum_key(uint8_t room[SUM_KEY_LEN], uint32_t key_group, size_t rollup, enum sum_part part);

/* In a barrier: two groups per rollup, their keys SUMS_BEFORE and SUMS_AFTER: the sums at the beginning of the epoch and at its end.
 * measures: plain and weighted of each measure in turn. */
#define SUMS_BEFORE "b"
#define SUMS_AFTER "a"

/* Adds one actor's; false: they are not such sums. */
bool sums_take(struct sums *before, struct sums *after, const struct pipeline *pipeline, const struct groups *groups);

/* False where they differ: in words, where and by what. is, ought: who says so. */
bool sums_agree(const struct pipeline *pipeline, const struct sums *is, const char *is_name, const struct sums *ought,
    const char *ought_name, char *words, size_t words_size);

/* {"sales_per_day": {"total_sales": ["1627.53", "-4711"]}} */
void sums_print(const struct pipeline *pipeline, const struct sums *sums, struct buffer *out);
/* "-1627.53" of whatever scale it was printed with: its digits. */
bool sum_parse(const char *text, uint128 *value);

#endif
