#include "common/state/sums.h"

#include <stdio.h>
#include <string.h>

_Static_assert((int)PIPELINE_ROLLUPS_MAX < (int)SUM_MARK, "no rollup has this place");

struct bytes sum_key(uint8_t room[SUM_KEY_LEN], uint32_t key_group, size_t rollup, enum sum_part part)
{
	room[0] = SUM_MARK;
	room[1] = (uint8_t)part;
	room[2] = (uint8_t)rollup;
	room[3] = (uint8_t)(key_group >> 8);
	room[4] = (uint8_t)key_group;
	return (struct bytes){room, SUM_KEY_LEN};
}

static bool is_key(struct bytes key, const char *name)
{
	return key.len == 1 && key.data[0] == (uint8_t)name[0];
}

bool sums_take(struct sums *before, struct sums *after, const struct pipeline *pipeline, const struct groups *groups)
{
	for (uint32_t i = 0; i < groups->len; i++) {
		const struct group *group = &groups->entries[i];
		struct sums *into = is_key(group->key, SUMS_BEFORE)  ? before
		                    : is_key(group->key, SUMS_AFTER) ? after
		                                                     : NULL;
		if (into == NULL || group->rollup >= pipeline->rollups_len ||
		    group->measures.len != pipeline->rollups[group->rollup].measures_len * sizeof(struct sum))
			return false;
		for (size_t m = 0; m < pipeline->rollups[group->rollup].measures_len; m++) {
			struct sum sum;
			memcpy(&sum, group->measures.data + m * sizeof sum, sizeof sum);
			into->of[group->rollup][m].plain += sum.plain;
			into->of[group->rollup][m].weighted += sum.weighted;
		}
	}
	return true;
}

static void differ(const struct rollup *rollup, size_t m, const struct sum *is, const char *is_name,
    const struct sum *ought, const char *ought_name, char *words, size_t words_size)
{
	const struct measure *measure = &rollup->measures[m];
	char text[2][DECIMAL_TEXT_MAX];
	(void)decimal_print((int128)is->plain, measure->scale, text[0]);
	(void)decimal_print((int128)ought->plain, measure->scale, text[1]);
	if (is->plain != ought->plain)
		(void)snprintf(words, words_size, "%s of %s adds up to %s in %s, and to %s in %s", measure->column,
		    rollup->table, text[0], is_name, text[1], ought_name);
	else
		(void)snprintf(words, words_size, "%s of %s adds up to %s in %s and in %s, but not in the same groups",
		    measure->column, rollup->table, text[0], is_name, ought_name);
}

bool sums_agree(const struct pipeline *pipeline, const struct sums *is, const char *is_name, const struct sums *ought,
    const char *ought_name, char *words, size_t words_size)
{
	for (size_t i = 0; i < pipeline->rollups_len; i++) {
		for (size_t m = 0; m < pipeline->rollups[i].measures_len; m++) {
			const struct sum *a = &is->of[i][m], *b = &ought->of[i][m];
			if (a->plain == b->plain && a->weighted == b->weighted)
				continue;
			differ(&pipeline->rollups[i], m, a, is_name, b, ought_name, words, words_size);
			return false;
		}
	}
	return true;
}

static void name_print(const char *name, struct buffer *out)
{
	buffer_append_json(out, (struct bytes){(const uint8_t *)name, strlen(name)});
}

void sums_print(const struct pipeline *pipeline, const struct sums *sums, struct buffer *out)
{
	for (size_t i = 0; i < pipeline->rollups_len; i++) {
		const struct rollup *rollup = &pipeline->rollups[i];
		buffer_append_text(out, i ? ", " : "{");
		name_print(rollup->table, out);
		for (size_t m = 0; m < rollup->measures_len; m++) {
			char plain[DECIMAL_TEXT_MAX], weighted[DECIMAL_TEXT_MAX];
			(void)decimal_print((int128)sums->of[i][m].plain, rollup->measures[m].scale, plain);
			(void)decimal_print((int128)sums->of[i][m].weighted, 0, weighted);
			buffer_append_text(out, m ? ", " : ": {");
			name_print(rollup->measures[m].column, out);
			buffer_printf(out, ": [\"%s\", \"%s\"]", plain, weighted);
		}
		buffer_append_text(out, "}");
	}
	buffer_append_text(out, pipeline->rollups_len ? "}" : "{}");
}

bool sum_parse(const char *text, uint128 *value)
{
	bool negative = *text == '-';
	size_t digits = 0;
	*value = 0;
	for (text += negative; *text != '\0'; text++) {
		if (*text == '.')
			continue;
		if (*text < '0' || *text > '9' || ++digits >= DECIMAL_TEXT_MAX)
			return false;
		*value = *value * 10 + (uint8_t)(*text - '0');
	}
	*value = negative ? -*value : *value;
	return digits > 0;
}
