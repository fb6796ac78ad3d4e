/* services/sluicectl/skip_plan.c - see skip.h. */
#include "services/sluicectl/skip.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mutant.h"

/* Digits and nothing else, up to most. */
static bool read_number(const char **text, int64_t most, int64_t *number)
{
	const char *at = *text;
	*number = 0;
	while (*at >= '0' && *at <= '9') {
		if (__builtin_mul_overflow(*number, 10, number) || __builtin_add_overflow(*number, *at - '0', number))
			return false;
		at++;
	}
	bool read = at > *text && *number <= most;
	*text = at;
	return read;
}

enum result skip_wish_parse(const char *text, struct skip_wish *wish, struct error *error)
{
	const char *at = text;
	*wish = (struct skip_wish){.earliest = strcmp(text, "earliest") == 0};
	while (!wish->earliest) {
		int64_t partition, offset;
		bool read = read_number(&at, INT32_MAX, &partition) && *at++ == ':' &&
		            read_number(&at, INT64_MAX - 1, &offset) && (*at == ',' || *at == '\0') &&
		            !cut_names(&wish->to, (uint32_t)partition);
		if (!read)
			return error_set(error, RESULT_CONFIG,
			    "--to %s: it is earliest, or an offset for each of some partitions, as in 0:500,2:800",
			    text);
		cut_set(&wish->to, (uint32_t)partition, offset);
		if (*at++ == '\0')
			break;
	}
	return RESULT_OK;
}

static void add(struct skips *skips, uint32_t partition, int64_t from, int64_t to)
{
	skips->entries = memory_resize(skips->entries, skips->len + 1, sizeof *skips->entries);
	skips->entries[skips->len++] = (struct skip){partition, from, to};
}

static enum result check(const struct skip *skip, const struct cut *begins, const struct cut *ends, struct error *error)
{
	if (!cut_names(ends, skip->partition))
		return error_set(error, RESULT_CONFIG, "the topic has no partition %" PRIu32, skip->partition);
	int64_t begin = cut_get(begins, skip->partition, 0), end = cut_get(ends, skip->partition, 0);
	if (skip->to < skip->from && !MUTANT(skip_backwards))
		return error_set(error, RESULT_CONFIG,
		    "partition %" PRIu32 ": the job is at offset %" PRId64
		    " already, and a skip never goes back to %" PRId64,
		    skip->partition, skip->from, skip->to);
	if (skip->to > end)
		return error_set(error, RESULT_CONFIG,
		    "partition %" PRIu32 ": the log ends at offset %" PRId64 ", which lies in front of %" PRId64,
		    skip->partition, end, skip->to);
	if (skip->to < begin)
		return error_set(error, RESULT_CONFIG,
		    "partition %" PRIu32 ": the log begins at offset %" PRId64 ", behind %" PRId64
		    ": take that, or --to earliest",
		    skip->partition, begin, skip->to);
	return RESULT_OK;
}

enum result skip_plan(const struct skip_wish *wish, const struct cut *cut, const struct cut *begins,
    const struct cut *ends, struct skips *skips, struct error *error)
{
	const struct cut *to = wish->earliest ? begins : &wish->to;
	enum result result = RESULT_OK;
	*skips = (struct skips){0};
	for (uint32_t i = 0; i < to->len && result == RESULT_OK; i++) {
		struct skip skip = {to->entries[i].partition, 0, to->entries[i].offset};
		/* A partition that the cut does not name yet is read from its beginning. */
		skip.from = cut_get(cut, skip.partition, 0);
		if (wish->earliest && skip.to <= skip.from)
			continue;
		result = check(&skip, begins, ends, error);
		if (result == RESULT_OK && skip.to != skip.from)
			add(skips, skip.partition, skip.from, skip.to);
	}
	return result;
}

void skip_apply(const struct skips *skips, struct cut *cut)
{
	for (uint32_t i = 0; i < skips->len; i++)
		cut_set(cut, skips->entries[i].partition, skips->entries[i].to);
}
