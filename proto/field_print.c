#include "proto/frame_fields.h"

enum { PRINT_ENTRIES_MAX = 4 };

static void print_counters(struct buffer *out, const struct counters *counters)
{
	for (int i = 0; i < COUNTERS; i++)
		buffer_printf(out, "%s%s:%llu", i ? " " : "", counter_names[i], (unsigned long long)counters->n[i]);
}

static void print_places(struct buffer *out, const struct places *places)
{
	for (uint32_t i = 0; i < places->len; i++)
		buffer_printf(out, "%s%u.%u@%s", i ? " " : "", places->entries[i].actor >> 16,
		    places->entries[i].actor & 0xffff, places->entries[i].worker);
}

static void print_addresses(struct buffer *out, const struct addresses *addresses)
{
	for (uint32_t i = 0; i < addresses->len; i++)
		buffer_printf(out, "%s%u=%s", i ? " " : "", addresses->entries[i].channel, addresses->entries[i].url);
}

static void print_letters(struct buffer *out, const struct letters *letters)
{
	buffer_printf(out, "%u letters", letters->len);
	for (uint32_t i = 0; i < letters->len && i < PRINT_ENTRIES_MAX; i++)
		buffer_printf(out, " %u/%lld:%.*s", letters->entries[i].partition,
		    (long long)letters->entries[i].offset, (int)letters->entries[i].reason.len,
		    (const char *)letters->entries[i].reason.data);
}

static void print_decisions(struct buffer *out, const struct decisions *decisions)
{
	buffer_printf(out, "%u decisions", decisions->len);
	for (uint32_t i = 0; i < decisions->len && i < PRINT_ENTRIES_MAX; i++)
		buffer_printf(out, " %u/%lld:%s", decisions->entries[i].partition,
		    (long long)decisions->entries[i].offset, verdict_name(decisions->entries[i].verdict));
}

static void print_facts(struct buffer *out, const struct facts *facts)
{
	for (uint32_t i = 0; i < facts->len; i++)
		buffer_printf(out, "%s%s=%s", i ? " " : "", facts->entries[i].name, facts->entries[i].value);
}

void field_print(enum field_kind type, struct buffer *out, const void *value)
{
	const struct epoch_id *epoch = value;
	switch (type) {
	case TYPE_UNSIGNED:
		buffer_printf(out, "%llu", (unsigned long long)*(const uint64_t *)value);
		break;
	case TYPE_SIGNED:
		buffer_printf(out, "%lld", (long long)*(const int64_t *)value);
		break;
	case TYPE_FLAG:
		buffer_append_text(out, *(const bool *)value ? "yes" : "no");
		break;
	case TYPE_TEXT:
		buffer_printf(out, "\"%s\"", *(const char *const *)value);
		break;
	case TYPE_EPOCH:
		buffer_printf(out, "%llu.%llu", (unsigned long long)epoch->attempt, (unsigned long long)epoch->n);
		break;
	case TYPE_CUT:
		cut_print(value, out);
		break;
	case TYPE_COUNTERS:
		print_counters(out, value);
		break;
	case TYPE_SHARES:
		buffer_printf(out, "%u actors", ((const struct shares *)value)->len);
		break;
	case TYPE_DECISIONS:
		print_decisions(out, value);
		break;
	case TYPE_LETTERS:
		print_letters(out, value);
		break;
	case TYPE_GROUPS:
		buffer_printf(out, "%u groups", ((const struct groups *)value)->len);
		break;
	case TYPE_MARKS:
		buffer_printf(out, "%u marks", ((const struct marks *)value)->len);
		break;
	case TYPE_FACTS:
		print_facts(out, value);
		break;
	case TYPE_CHECKPOINTS:
		buffer_printf(out, "%u checkpoints", ((const struct checkpoints *)value)->len);
		break;
	case TYPE_FILES:
		buffer_printf(out, "%u files", ((const struct files *)value)->len);
		break;
	case TYPE_PLACES:
		print_places(out, value);
		break;
	case TYPE_ADDRESSES:
		print_addresses(out, value);
		break;
	case TYPE_WORKERS:
		buffer_printf(out, "%u workers", ((const struct workers *)value)->len);
		break;
	case TYPE_WAITS:
		buffer_printf(out, "%u waits", ((const struct waits *)value)->len);
		break;
	case TYPE_RAW:
		buffer_printf(out, "%zu bytes", ((const struct bytes *)value)->len);
		break;
	}
}
