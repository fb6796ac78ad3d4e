#include <string.h>
#include <xxhash.h>

#include "common/base/mutant.h"
#include "common/base/pipeline_draft.h"

enum { MEANING_FORMAT = 1 };

static void put_field(const struct field *field, struct buffer *out)
{
	buffer_printf(out, "field %s ", field->name);
	field_type_print(field, out);
	buffer_append_text(out, field->required ? " required" : " optional");
	/* The one text without a narrow alphabet: its length keeps it apart from what follows. */
	for (size_t i = 0; i < field->aliases_len; i++)
		buffer_printf(out, " alias %zu:%s", strlen(field->aliases[i]), field->aliases[i]);
	buffer_append_text(out, "\n");
}

static void put_rollup(const struct pipeline *pipeline, const struct rollup *rollup, struct buffer *out)
{
	const struct field *fields = pipeline->record.fields;
	buffer_printf(out, "rollup %s\n", rollup->table);
	for (size_t i = 0; i < rollup->by_len; i++)
		buffer_printf(out, "by %s %s %s\n", rollup->by[i].column, group_part_name(rollup->by[i].part),
		    fields[rollup->by[i].field].name);
	for (size_t i = 0; i < rollup->measures_len; i++) {
		const struct measure *measure = &rollup->measures[i];
		buffer_printf(out, "measure %s sum %s decimal(%d,%d)\n", measure->column, fields[measure->field].name,
		    measure->precision, measure->scale);
	}
}

/* The order of fields and rollups is part of it: rows are encoded and hashed in that order. */
static void put_meaning(const struct pipeline *pipeline, struct buffer *out)
{
	const struct field *fields = pipeline->record.fields;
	buffer_printf(out, "format %d\n", MEANING_FORMAT);
	buffer_printf(out, "topic %s\n", pipeline->source.topic);
	buffer_printf(out, "table %s\n", pipeline->record.table);
	buffer_printf(out, "key %s\n", fields[pipeline->record.key].name);
	buffer_printf(out, "event_time %s\n", fields[pipeline->record.event_time].name);
	buffer_printf(out, "time_zone %s\n", pipeline->record.time_zone);
	buffer_printf(out, "max_record_bytes %u\n", pipeline->record.max_record_bytes);
	buffer_printf(out, "max_future_us %lld\n", (long long)pipeline->record.max_future_us);
	for (size_t i = 0; i < pipeline->record.fields_len; i++)
		put_field(&fields[i], out);
	buffer_append_text(out, "duplicates first\n");
	for (size_t i = 0; i < pipeline->rollups_len; i++)
		put_rollup(pipeline, &pipeline->rollups[i], out);
	buffer_printf(out, "key_groups %u\n", pipeline->key_groups);
}

void pipeline_make_meaning(struct pipeline *pipeline)
{
	struct buffer text = {0};
	put_meaning(pipeline, &text);
	XXH128_canonical_t digest;
	XXH128_canonicalFromHash(&digest, XXH3_128bits(text.data, text.len));
	for (size_t i = 0; i < sizeof digest.digest; i++) {
		static const char hex[] = "0123456789abcdef";
		pipeline->fingerprint[2 * i] = hex[digest.digest[i] >> 4];
		pipeline->fingerprint[2 * i + 1] = hex[digest.digest[i] & 15];
	}
	pipeline->fingerprint[2 * sizeof digest.digest] = '\0';
	buffer_append(&text, "", 1);
	pipeline->meaning = (char *)text.data; /* taken over */
}

/* --- what has changed -------------------------------------------------------------------------------------------- */

enum { LINES_SHOWN = 3, LINE_SHOWN = 100 };

/* The next line of *at; false at the end. */
static bool line_take(const char **at, struct bytes *line)
{
	size_t len = strcspn(*at, "\n");
	*line = (struct bytes){(const uint8_t *)*at, len};
	if (**at == '\0')
		return false;
	*at += len + ((*at)[len] == '\n');
	return true;
}

static size_t word_len(struct bytes line, size_t from, const char *ends)
{
	size_t len = 0;
	while (from + len < line.len && strchr(ends, line.data[from + len]) == NULL)
		len++;
	return len;
}

static bool begins(struct bytes line, const char *with)
{
	return line.len >= strlen(with) && memcmp(line.data, with, strlen(with)) == 0;
}

/* A type without its limits: "string(36)" -> "string", "decimal(10,2)" -> "decimal,2)". */
static void put_type(struct bytes line, size_t at, struct buffer *out)
{
	size_t name = word_len(line, at, " (,"), limit = word_len(line, at, " ,");
	buffer_append(out, line.data + at, name);
	if (at + limit < line.len && line.data[at + limit] == ',')
		buffer_append(out, line.data + at + limit, word_len(line, at + limit, " "));
}

/* What of a line no later file may change. */
static void put_core(struct bytes line, struct buffer *out)
{
	if (begins(line, "max_record_bytes ") || begins(line, "max_future_us ")) {
		buffer_append(out, line.data, word_len(line, 0, " "));
	} else if (begins(line, "field ") || begins(line, "measure ")) {
		/* field NAME TYPE ..., measure NAME sum FIELD TYPE */
		size_t at = 0;
		for (int words = begins(line, "field ") ? 2 : 4; words > 0; words--)
			at += word_len(line, at, " ") + 1;
		if (at > line.len)
			at = line.len; /* no such line was ever written by us */
		buffer_append(out, line.data, at);
		put_type(line, at, out);
	} else {
		buffer_append(out, line.data, line.len);
	}
}

static bool same_core(struct bytes a, struct bytes b)
{
	struct buffer one = {0}, other = {0};
	put_core(a, &one);
	put_core(b, &other);
	bool same = bytes_equal(buffer_bytes(&one), buffer_bytes(&other));
	buffer_fini(&one);
	buffer_fini(&other);
	return same;
}

static bool has_line(const char *text, struct bytes wanted)
{
	struct bytes line;
	while (line_take(&text, &line))
		if (bytes_equal(line, wanted))
			return true;
	return false;
}

static void say_line(struct buffer *words, uint32_t *shown, const char *how, struct bytes line)
{
	if (++*shown <= LINES_SHOWN)
		buffer_printf(words, "%s%s \"%.*s\"", *shown > 1 ? "; " : "", how,
		    (int)(line.len < LINE_SHOWN ? line.len : LINE_SHOWN), (const char *)line.data);
}

/* Lines were added or are gone: those that only one of both has. */
static void say_sets(const char *was, const char *is, struct buffer *words, uint32_t *shown)
{
	struct bytes line;
	for (const char *at = was; line_take(&at, &line);)
		if (!has_line(is, line))
			say_line(words, shown, "no longer", line);
	for (const char *at = is; line_take(&at, &line);)
		if (!has_line(was, line))
			say_line(words, shown, "now also", line);
}

static enum meaning_change line_change(struct bytes old, struct bytes new)
{
	if (!same_core(old, new))
		return MEANING_OTHER;
	return begins(old, "measure ") ? MEANING_MEASURES : MEANING_LIMITS;
}

/* In pairs; false: there are not as many of them in both. */
static bool say_pairs(
    const char *was, const char *is, struct buffer *words, uint32_t *shown, enum meaning_change *change)
{
	struct bytes old, new;
	for (;;) {
		bool had = line_take(&was, &old), has = line_take(&is, &new);
		if (had != has)
			return false;
		if (!had)
			return true;
		if (bytes_equal(old, new))
			continue;
		say_line(words, shown, "was", old);
		if (*shown <= LINES_SHOWN)
			buffer_printf(words, ", is \"%.*s\"", (int)(new.len < LINE_SHOWN ? new.len : LINE_SHOWN),
			    (const char *)new.data);
		enum meaning_change here = line_change(old, new);
		*change = here > *change || MUTANT(last_difference_counts) ? here : *change;
	}
}

enum meaning_change pipeline_meaning_compare(const char *was, const char *is, struct buffer *words)
{
	enum meaning_change change = MEANING_SAME;
	uint32_t shown = 0;
	size_t before = words->len;
	if (!say_pairs(was, is, words, &shown, &change)) {
		change = MEANING_OTHER;
		words->len = before;
		shown = 0;
		say_sets(was, is, words, &shown);
		if (shown == 0)
			buffer_append_text(words, "the same lines, another number of times");
	}
	if (shown > LINES_SHOWN)
		buffer_printf(words, "; and %u more", shown - LINES_SHOWN);
	return change;
}
