#include <string.h>
#include <xxhash.h>

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
