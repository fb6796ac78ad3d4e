#include "services/aggregator/rollup_sums.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/key_group.h"
#include "common/base/mutant.h"

void rollup_sums_init(struct rollup_sums *sums, const struct pipeline *pipeline, struct state *state,
    uint32_t first_group, uint32_t groups_len)
{
	*sums = (struct rollup_sums){
	    .pipeline = pipeline, .state = state, .first_group = first_group, .groups_len = groups_len};
	for (size_t i = 0; i < pipeline->rollups_len; i++) {
		sums->first[i] = sums->measures_len;
		sums->measures_len += (uint32_t)pipeline->rollups[i].measures_len;
	}
	sums->by_group = memory_new(((size_t)groups_len * sums->measures_len + 1) * sizeof *sums->by_group);
	sums->changed = memory_new((groups_len + 1) * sizeof *sums->changed);
	sums->said.entries = memory_new((2 * pipeline->rollups_len + 1) * sizeof *sums->said.entries);
	sums->said_sums = memory_new((2 * (size_t)sums->measures_len + 1) * sizeof *sums->said_sums);
}

void rollup_sums_fini(struct rollup_sums *sums)
{
	free(sums->by_group);
	free(sums->changed);
	free(sums->said.entries);
	free(sums->said_sums);
	*sums = (struct rollup_sums){0};
}

static enum result load(
    struct rollup_sums *sums, uint32_t group, size_t rollup, enum sum_part part, struct error *error)
{
	uint8_t room[SUM_KEY_LEN];
	uint32_t key_group = sums->first_group + group;
	struct bytes key = sum_key(room, key_group, rollup, part), value;
	size_t measures_len = sums->pipeline->rollups[rollup].measures_len;
	if (state_find(sums->state, key_group, key_hash(key), key, &value, error) != RESULT_OK)
		return error->code;
	if (value.data == NULL)
		return RESULT_OK;
	if (value.len != measures_len * sizeof(uint128))
		return error_set(error, RESULT_CORRUPT, "the sums of %s have %zu bytes in the state",
		    sums->pipeline->rollups[rollup].table, value.len);
	for (size_t m = 0; m < measures_len; m++) {
		struct sum *sum = &sums->by_group[(size_t)group * sums->measures_len + sums->first[rollup] + m];
		uint128 number;
		memcpy(&number, value.data + m * sizeof number, sizeof number);
		*sum_part(sum, part) = number;
		*sum_part(&sums->after.of[rollup][m], part) += number;
	}
	return RESULT_OK;
}

enum result rollup_sums_load(struct rollup_sums *sums, struct error *error)
{
	for (uint32_t group = 0; group < sums->groups_len; group++)
		for (size_t i = 0; i < sums->pipeline->rollups_len; i++)
			if (load(sums, group, i, SUM_PLAIN, error) != RESULT_OK ||
			    load(sums, group, i, SUM_WEIGHTED, error) != RESULT_OK)
				return error->code;
	sums->before = sums->after;
	return RESULT_OK;
}

enum result rollup_sums_add(struct rollup_sums *sums, uint32_t key_group, uint64_t hash, uint32_t rollup, uint32_t m,
    int128 amount, struct error *error)
{
	uint32_t group = key_group - sums->first_group;
	if (group >= sums->groups_len)
		return error_set(error, RESULT_CORRUPT, "key group %u is not this actor's", key_group);
	sum_add(&sums->by_group[(size_t)group * sums->measures_len + sums->first[rollup] + m], hash, amount);
	sum_add(&sums->after.of[rollup][m], hash, amount);
	sums->changed[group] = true;
	return RESULT_OK;
}

static enum result keep(
    struct rollup_sums *sums, uint32_t group, size_t rollup, enum sum_part part, struct error *error)
{
	uint8_t room[SUM_KEY_LEN];
	uint32_t key_group = sums->first_group + group;
	uint128 numbers[PIPELINE_MEASURES_MAX];
	struct bytes key = sum_key(room, key_group, rollup, part);
	size_t measures_len = sums->pipeline->rollups[rollup].measures_len;
	for (size_t m = 0; m < measures_len; m++)
		numbers[m] =
		    *sum_part(&sums->by_group[(size_t)group * sums->measures_len + sums->first[rollup] + m], part);
	return state_put(sums->state, key_group, key_hash(key), key,
	    (struct bytes){(const uint8_t *)numbers, measures_len * sizeof numbers[0]}, 0, error);
}

enum result rollup_sums_keep(struct rollup_sums *sums, struct error *error)
{
	for (uint32_t group = 0; group < sums->groups_len && !MUTANT(sums_not_kept); group++) {
		for (size_t i = 0; i < sums->pipeline->rollups_len && sums->changed[group]; i++)
			if (keep(sums, group, i, SUM_PLAIN, error) != RESULT_OK ||
			    keep(sums, group, i, SUM_WEIGHTED, error) != RESULT_OK)
				return error->code;
		sums->changed[group] = false;
	}
	return RESULT_OK;
}

static struct sum *say(
    struct rollup_sums *sums, const struct sums *from, size_t rollup, const char *name, struct sum *room)
{
	size_t measures_len = sums->pipeline->rollups[rollup].measures_len;
	memcpy(room, from->of[rollup], measures_len * sizeof *room);
	sums->said.entries[sums->said.len++] = (struct group){.rollup = (uint32_t)rollup,
	    .key = {(const uint8_t *)name, 1},
	    .measures = {(const uint8_t *)room, measures_len * sizeof *room}};
	return room + measures_len;
}

struct groups rollup_sums_say(struct rollup_sums *sums)
{
	struct sum *room = sums->said_sums;
	sums->said.len = 0;
	for (size_t i = 0; i < sums->pipeline->rollups_len; i++) {
		room = say(sums, &sums->before, i, SUMS_BEFORE, room);
		room = say(sums, &sums->after, i, SUMS_AFTER, room);
	}
	sums->before = sums->after;
	return sums->said;
}
