#include "proto/cut.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/error.h"

const char *const counter_names[COUNTERS] = {
    "consumed", "accepted", "duplicates", "conflicts", "dead", "unknown_fields", "digest"};

/* The place of the partition, or where it would stand. */
static uint32_t place_of(const struct cut *cut, uint32_t partition)
{
	uint32_t low = 0, high = cut->len;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (cut->entries[middle].partition < partition)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool cut_names(const struct cut *cut, uint32_t partition)
{
	uint32_t place = place_of(cut, partition);
	return place < cut->len && cut->entries[place].partition == partition;
}

int64_t cut_get(const struct cut *cut, uint32_t partition, int64_t otherwise)
{
	uint32_t place = place_of(cut, partition);
	if (place < cut->len && cut->entries[place].partition == partition)
		return cut->entries[place].offset;
	return otherwise;
}

void cut_set(struct cut *cut, uint32_t partition, int64_t offset)
{
	uint32_t place = place_of(cut, partition);
	if (place == cut->len || cut->entries[place].partition != partition) {
		cut->entries = memory_resize(cut->entries, cut->len + 1, sizeof *cut->entries);
		memmove(cut->entries + place + 1, cut->entries + place, (cut->len - place) * sizeof *cut->entries);
		cut->len++;
	}
	cut->entries[place] = (struct cut_entry){partition, offset};
}

void cut_copy(struct cut *to, const struct cut *from)
{
	if (to == from)
		return;
	to->entries = memory_resize(to->entries, from->len, sizeof *to->entries);
	if (from->len)
		memcpy(to->entries, from->entries, from->len * sizeof *to->entries);
	to->len = from->len;
}

void cut_fini(struct cut *cut)
{
	free(cut->entries);
	*cut = (struct cut){0};
}

bool cut_equal(const struct cut *a, const struct cut *b)
{
	if (a->len != b->len)
		return false;
	for (uint32_t i = 0; i < a->len; i++)
		if (a->entries[i].partition != b->entries[i].partition || a->entries[i].offset != b->entries[i].offset)
			return false;
	return true;
}

bool cut_union(struct cut *into, const struct cut *from)
{
	for (uint32_t i = 0; i < from->len; i++) {
		const struct cut_entry *entry = &from->entries[i];
		if (cut_get(into, entry->partition, entry->offset) != entry->offset)
			return false;
		cut_set(into, entry->partition, entry->offset);
	}
	return true;
}

void cut_raise(struct cut *cut, const struct cut *by)
{
	for (uint32_t i = 0; i < by->len; i++)
		if (cut_get(cut, by->entries[i].partition, -1) < by->entries[i].offset)
			cut_set(cut, by->entries[i].partition, by->entries[i].offset);
}

void cut_lower(struct cut *cut, const struct cut *by)
{
	uint32_t len = 0;
	for (uint32_t i = 0; i < cut->len; i++) {
		struct cut_entry entry = cut->entries[i];
		if (!cut_names(by, entry.partition))
			continue;
		int64_t other = cut_get(by, entry.partition, 0);
		cut->entries[len++] = (struct cut_entry){entry.partition, other < entry.offset ? other : entry.offset};
	}
	cut->len = len;
}

uint64_t cut_distance(const struct cut *from, const struct cut *to)
{
	uint64_t distance = 0;
	for (uint32_t i = 0; i < to->len; i++) {
		int64_t begin = cut_get(from, to->entries[i].partition, 0);
		if (to->entries[i].offset > begin)
			distance += (uint64_t)(to->entries[i].offset - begin);
	}
	return distance;
}

void cut_print(const struct cut *cut, struct buffer *out)
{
	buffer_append_text(out, "{");
	for (uint32_t i = 0; i < cut->len; i++)
		buffer_printf(
		    out, "%s\"%u\": %lld", i ? ", " : "", cut->entries[i].partition, (long long)cut->entries[i].offset);
	buffer_append_text(out, "}");
}

/* --- marks --------------------------------------------------------------------------------------------------------- */

static bool is_before(const struct mark *a, const struct mark *b)
{
	return a->partition < b->partition || (a->partition == b->partition && a->offset < b->offset);
}

/* The place of a mark, or where it would stand. */
static uint32_t place_of_mark(const struct marks *marks, const struct mark *mark)
{
	uint32_t low = 0, high = marks->len;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (is_before(&marks->entries[middle], mark))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void marks_add(struct marks *marks, const struct mark *mark)
{
	uint32_t place = place_of_mark(marks, mark);
	if (place < marks->len && marks->entries[place].partition == mark->partition &&
	    marks->entries[place].offset == mark->offset)
		return;
	marks->entries = memory_resize(marks->entries, marks->len + 1, sizeof *marks->entries);
	memmove(marks->entries + place + 1, marks->entries + place, (marks->len - place) * sizeof *marks->entries);
	marks->entries[place] = *mark;
	marks->len++;
}

/* Where the marks of the partition of the one at `place` end. */
static uint32_t end_of_partition(const struct marks *marks, uint32_t place)
{
	uint32_t end = place;
	while (end < marks->len && marks->entries[end].partition == marks->entries[place].partition)
		end++;
	return end;
}

static void remove_marks(struct marks *marks, uint32_t from, uint32_t to)
{
	memmove(marks->entries + from, marks->entries + to, (marks->len - to) * sizeof *marks->entries);
	marks->len -= to - from;
}

void marks_raise(struct marks *marks, const struct marks *by)
{
	uint32_t end;
	for (uint32_t i = 0; i < by->len; i = end) {
		end = end_of_partition(by, i);
		uint32_t place = place_of_mark(marks, &(struct mark){.partition = by->entries[i].partition});
		bool named = place < marks->len && marks->entries[place].partition == by->entries[i].partition;
		uint32_t behind = named ? end_of_partition(marks, place) : place;
		if (named && marks->entries[behind - 1].offset >= by->entries[end - 1].offset)
			continue;
		remove_marks(marks, place, behind);
		for (uint32_t k = i; k < end; k++)
			marks_add(marks, &by->entries[k]);
	}
}

void marks_copy(struct marks *to, const struct marks *from)
{
	if (to == from)
		return;
	to->entries = memory_resize(to->entries, from->len, sizeof *to->entries);
	if (from->len)
		memcpy(to->entries, from->entries, from->len * sizeof *to->entries);
	to->len = from->len;
}

void marks_fini(struct marks *marks)
{
	free(marks->entries);
	*marks = (struct marks){0};
}

void marks_print(const struct marks *marks, struct buffer *out)
{
	buffer_append_text(out, "{");
	for (uint32_t i = 0; i < marks->len; i++) {
		const struct mark *mark = &marks->entries[i];
		if (i > 0 && mark[-1].partition == mark->partition)
			buffer_append_text(out, ",");
		else
			buffer_printf(out, "%s\"%u\": \"", i > 0 ? "\", " : "", mark->partition);
		buffer_printf(out, "%lld:%016llx", (long long)mark->offset, (unsigned long long)mark->hash);
	}
	buffer_append_text(out, marks->len > 0 ? "\"}" : "}");
}

/* What follows it; NULL: it is none. */
static const char *mark_parse(const char *text, struct mark *mark)
{
	char *end;
	if (*text < '0' || *text > '9')
		return NULL;
	errno = 0;
	mark->offset = strtoll(text, &end, 10);
	if (errno != 0 || *end != ':' || strspn(end + 1, "0123456789abcdef") != 16)
		return NULL;
	mark->hash = strtoull(end + 1, NULL, 16);
	return end + 17;
}

bool marks_add_text(struct marks *marks, uint32_t partition, const char *text)
{
	struct mark mark = {.partition = partition};
	while ((text = mark_parse(text, &mark)) != NULL && *text == ',') {
		marks_add(marks, &mark);
		text++;
	}
	if (text == NULL || *text != '\0')
		return false;
	marks_add(marks, &mark);
	return true;
}

/* --- facts --------------------------------------------------------------------------------------------------------- */

static const struct fact *find_fact(const struct facts *facts, const char *name)
{
	for (uint32_t i = 0; i < facts->len; i++)
		if (strcmp(facts->entries[i].name, name) == 0)
			return &facts->entries[i];
	return NULL;
}

const char *facts_get(const struct facts *facts, const char *name)
{
	const struct fact *fact = find_fact(facts, name);
	return fact == NULL ? NULL : fact->value;
}

void facts_add(struct facts *facts, struct arena *arena, const char *name, const char *value)
{
	struct fact *entries = arena_take(arena, (facts->len + 1) * sizeof *entries);
	if (facts->entries != NULL)
		memcpy(entries, facts->entries, facts->len * sizeof *entries);
	entries[facts->len++] = (struct fact){
	    arena_clone(arena, name, strlen(name)),
	    arena_clone(arena, value, strlen(value)),
	};
	facts->entries = entries;
}

void facts_copy(struct facts *to, struct arena *arena, const struct facts *from)
{
	*to = (struct facts){0};
	for (uint32_t i = 0; i < from->len; i++)
		facts_add(to, arena, from->entries[i].name, from->entries[i].value);
}

void facts_raise(struct facts *facts, struct arena *arena, const struct facts *by)
{
	struct facts now = {0};
	for (uint32_t i = 0; i < facts->len; i++)
		if (find_fact(by, facts->entries[i].name) == NULL)
			facts_add(&now, arena, facts->entries[i].name, facts->entries[i].value);
	for (uint32_t i = 0; i < by->len; i++)
		facts_add(&now, arena, by->entries[i].name, by->entries[i].value);
	*facts = now;
}

static struct bytes text_bytes(const char *text)
{
	return (struct bytes){(const uint8_t *)text, strlen(text)};
}

void facts_print(const struct facts *facts, struct buffer *out)
{
	buffer_append_text(out, "{");
	for (uint32_t i = 0; i < facts->len; i++) {
		buffer_append_text(out, i ? ", " : "");
		buffer_append_json(out, text_bytes(facts->entries[i].name));
		buffer_append_text(out, ": ");
		buffer_append_json(out, text_bytes(facts->entries[i].value));
	}
	buffer_append_text(out, "}");
}

/* --- the rest ------------------------------------------------------------------------------------------------------ */

void counters_add(struct counters *into, const struct counters *from)
{
	for (int i = 0; i < COUNTERS_FOR_PEOPLE; i++)
		CHECK(!__builtin_add_overflow(into->n[i], from->n[i], &into->n[i]));
	into->n[COUNTER_DIGEST] += from->n[COUNTER_DIGEST];
}

const char *verdict_name(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_DUPLICATE:
		return "duplicates";
	case VERDICT_CONFLICT:
		return "conflicts";
	}
	panic("verdict %d has no name", (int)verdict);
}
