#include "proto/frame_fields.h"

#include <string.h>

#include <msgpack.h>

enum { PRINT_ENTRIES_MAX = 4, MEASURE_BYTES = 16 };

static int append(void *data, const char *bytes, size_t len)
{
	buffer_append(data, bytes, len);
	return 0;
}

/* --- writing --------------------------------------------------------------------------------------------------- */

static void pack_text(msgpack_packer *packer, const char *text)
{
	if (text == NULL)
		text = "";
	msgpack_pack_str_with_body(packer, text, strlen(text));
}

static void pack_bytes(msgpack_packer *packer, struct bytes bytes)
{
	if (bytes.data == NULL)
		msgpack_pack_nil(packer);
	else
		msgpack_pack_bin_with_body(packer, bytes.data, bytes.len);
}

static void pack_words(msgpack_packer *packer, struct bytes text)
{
	msgpack_pack_str_with_body(packer, text.data ? (const char *)text.data : "", text.len);
}

static void pack_epoch(msgpack_packer *packer, const struct epoch_id *epoch)
{
	msgpack_pack_array(packer, 2);
	msgpack_pack_uint64(packer, epoch->attempt);
	msgpack_pack_uint64(packer, epoch->n);
}

static void pack_cut(msgpack_packer *packer, const struct cut *cut)
{
	msgpack_pack_map(packer, cut->len);
	for (uint32_t i = 0; i < cut->len; i++) {
		msgpack_pack_uint32(packer, cut->entries[i].partition);
		msgpack_pack_int64(packer, cut->entries[i].offset);
	}
}

static void pack_counters(msgpack_packer *packer, const struct counters *counters)
{
	msgpack_pack_array(packer, COUNTERS);
	for (int i = 0; i < COUNTERS; i++)
		msgpack_pack_uint64(packer, counters->n[i]);
}

static void pack_shares(msgpack_packer *packer, const struct shares *shares)
{
	msgpack_pack_map(packer, shares->len);
	for (uint32_t i = 0; i < shares->len; i++) {
		msgpack_pack_uint32(packer, shares->entries[i].actor);
		pack_counters(packer, &shares->entries[i].counters);
	}
}

static void pack_decisions(msgpack_packer *packer, const struct decisions *decisions)
{
	msgpack_pack_array(packer, decisions->len);
	for (uint32_t i = 0; i < decisions->len; i++) {
		msgpack_pack_array(packer, 3);
		msgpack_pack_uint32(packer, decisions->entries[i].partition);
		msgpack_pack_int64(packer, decisions->entries[i].offset);
		msgpack_pack_uint8(packer, (uint8_t)decisions->entries[i].verdict);
	}
}

static void pack_letters(msgpack_packer *packer, const struct letters *letters)
{
	msgpack_pack_array(packer, letters->len);
	for (uint32_t i = 0; i < letters->len; i++) {
		const struct letter *letter = &letters->entries[i];
		msgpack_pack_array(packer, 7);
		msgpack_pack_uint32(packer, letter->partition);
		msgpack_pack_int64(packer, letter->offset);
		pack_bytes(packer, letter->key);
		pack_bytes(packer, letter->payload);
		if (letter->payload_raw)
			msgpack_pack_true(packer);
		else
			msgpack_pack_false(packer);
		pack_words(packer, letter->reason);
		pack_words(packer, letter->detail);
	}
}

static void pack_groups(msgpack_packer *packer, const struct groups *groups)
{
	msgpack_pack_array(packer, groups->len);
	for (uint32_t i = 0; i < groups->len; i++) {
		msgpack_pack_array(packer, 3);
		msgpack_pack_uint32(packer, groups->entries[i].rollup);
		pack_bytes(packer, groups->entries[i].key);
		pack_bytes(packer, groups->entries[i].measures);
	}
}

static void pack_checkpoints(msgpack_packer *packer, const struct checkpoints *checkpoints)
{
	msgpack_pack_array(packer, checkpoints->len);
	for (uint32_t i = 0; i < checkpoints->len; i++) {
		msgpack_pack_array(packer, 2);
		pack_epoch(packer, &checkpoints->entries[i].epoch);
		pack_cut(packer, &checkpoints->entries[i].cut);
	}
}

static void pack_places(msgpack_packer *packer, const struct places *places)
{
	msgpack_pack_map(packer, places->len);
	for (uint32_t i = 0; i < places->len; i++) {
		msgpack_pack_uint32(packer, places->entries[i].actor);
		pack_text(packer, places->entries[i].worker);
	}
}

static void pack_addresses(msgpack_packer *packer, const struct addresses *addresses)
{
	msgpack_pack_map(packer, addresses->len);
	for (uint32_t i = 0; i < addresses->len; i++) {
		msgpack_pack_uint32(packer, addresses->entries[i].channel);
		pack_text(packer, addresses->entries[i].url);
	}
}

static void pack_workers(msgpack_packer *packer, const struct workers *workers)
{
	msgpack_pack_array(packer, workers->len);
	for (uint32_t i = 0; i < workers->len; i++) {
		msgpack_pack_array(packer, 4);
		pack_text(packer, workers->entries[i].worker);
		msgpack_pack_uint32(packer, workers->entries[i].process);
		msgpack_pack_uint64(packer, workers->entries[i].pid);
		pack_text(packer, workers->entries[i].actors);
	}
}

void field_encode(enum field_kind type, struct buffer *out, const void *value)
{
	msgpack_packer packer;
	msgpack_packer_init(&packer, out, append);
	switch (type) {
	case TYPE_UNSIGNED:
		msgpack_pack_uint64(&packer, *(const uint64_t *)value);
		break;
	case TYPE_SIGNED:
		msgpack_pack_int64(&packer, *(const int64_t *)value);
		break;
	case TYPE_FLAG:
		if (*(const bool *)value)
			msgpack_pack_true(&packer);
		else
			msgpack_pack_false(&packer);
		break;
	case TYPE_TEXT:
		pack_text(&packer, *(const char *const *)value);
		break;
	case TYPE_EPOCH:
		pack_epoch(&packer, value);
		break;
	case TYPE_CUT:
		pack_cut(&packer, value);
		break;
	case TYPE_COUNTERS:
		pack_counters(&packer, value);
		break;
	case TYPE_SHARES:
		pack_shares(&packer, value);
		break;
	case TYPE_DECISIONS:
		pack_decisions(&packer, value);
		break;
	case TYPE_LETTERS:
		pack_letters(&packer, value);
		break;
	case TYPE_GROUPS:
		pack_groups(&packer, value);
		break;
	case TYPE_CHECKPOINTS:
		pack_checkpoints(&packer, value);
		break;
	case TYPE_PLACES:
		pack_places(&packer, value);
		break;
	case TYPE_ADDRESSES:
		pack_addresses(&packer, value);
		break;
	case TYPE_WORKERS:
		pack_workers(&packer, value);
		break;
	case TYPE_RAW:
		buffer_append(out, ((const struct bytes *)value)->data, ((const struct bytes *)value)->len);
		break;
	}
}

/* --- reading: memory taken is at most a small multiple of the bytes that are there ---- */

/* A list of len entries takes at least so many bytes each; otherwise it is refused before memory is taken for it. */
static uint32_t list_len(struct wire *wire, uint32_t len, size_t entry_bytes_min)
{
	if (len <= (size_t)(wire->end - wire->at) / entry_bytes_min)
		return len;
	wire->bad = true;
	return 0;
}

static const char *read_text(struct wire *wire, struct arena *arena)
{
	struct bytes text = wire_text(wire);
	if (text.len && memchr(text.data, 0, text.len) != NULL)
		wire->bad = true;
	return arena_clone(arena, text.data, text.len);
}

static struct bytes read_bytes(struct wire *wire)
{
	return wire_nil(wire) ? (struct bytes){0} : wire_blob(wire);
}

static void expect_array(struct wire *wire, uint32_t len)
{
	if (wire_array(wire) != len)
		wire->bad = true;
}

static void read_epoch(struct wire *wire, struct epoch_id *epoch)
{
	expect_array(wire, 2);
	epoch->attempt = wire_unsigned(wire);
	epoch->n = wire_unsigned(wire);
}

static void read_cut(struct wire *wire, struct arena *arena, struct cut *cut)
{
	uint32_t len = list_len(wire, wire_map(wire), 2);
	cut->entries = arena_take(arena, len * sizeof *cut->entries);
	for (; cut->len < len && !wire->bad; cut->len++) {
		struct cut_entry *entry = &cut->entries[cut->len];
		entry->partition = wire_unsigned32(wire);
		entry->offset = wire_signed(wire);
		if (entry->offset < 0 || (cut->len > 0 && entry[-1].partition >= entry->partition))
			wire->bad = true; /* sorted, each partition once */
	}
}

static void read_counters(struct wire *wire, struct counters *counters)
{
	expect_array(wire, COUNTERS);
	for (int i = 0; i < COUNTERS; i++)
		counters->n[i] = wire_unsigned(wire);
}

static void read_shares(struct wire *wire, struct arena *arena, struct shares *shares)
{
	uint32_t len = list_len(wire, wire_map(wire), 8);
	shares->entries = arena_take(arena, len * sizeof *shares->entries);
	for (; shares->len < len && !wire->bad; shares->len++) {
		struct share *share = &shares->entries[shares->len];
		share->actor = wire_unsigned32(wire);
		read_counters(wire, &share->counters);
	}
}

static void read_decisions(struct wire *wire, struct arena *arena, struct decisions *decisions)
{
	uint32_t len = list_len(wire, wire_array(wire), 4);
	decisions->entries = arena_take(arena, len * sizeof *decisions->entries);
	for (; decisions->len < len && !wire->bad; decisions->len++) {
		struct decision *decision = &decisions->entries[decisions->len];
		expect_array(wire, 3);
		decision->partition = wire_unsigned32(wire);
		decision->offset = wire_signed(wire);
		uint64_t verdict = wire_unsigned(wire);
		if (verdict != VERDICT_DUPLICATE && verdict != VERDICT_CONFLICT)
			wire->bad = true;
		else
			decision->verdict = (enum verdict)verdict;
	}
}

static void read_letters(struct wire *wire, struct arena *arena, struct letters *letters)
{
	uint32_t len = list_len(wire, wire_array(wire), 8);
	letters->entries = arena_take(arena, len * sizeof *letters->entries);
	for (; letters->len < len && !wire->bad; letters->len++) {
		struct letter *letter = &letters->entries[letters->len];
		expect_array(wire, 7);
		letter->partition = wire_unsigned32(wire);
		letter->offset = wire_signed(wire);
		letter->key = read_bytes(wire);
		letter->payload = read_bytes(wire);
		letter->payload_raw = wire_flag(wire);
		letter->reason = wire_text(wire);
		letter->detail = wire_text(wire);
	}
}

static void read_groups(struct wire *wire, struct arena *arena, struct groups *groups)
{
	uint32_t len = list_len(wire, wire_array(wire), 4);
	groups->entries = arena_take(arena, len * sizeof *groups->entries);
	for (; groups->len < len && !wire->bad; groups->len++) {
		struct group *group = &groups->entries[groups->len];
		expect_array(wire, 3);
		group->rollup = wire_unsigned32(wire);
		group->key = wire_blob(wire);
		group->measures = wire_blob(wire);
		if (group->measures.len % MEASURE_BYTES != 0)
			wire->bad = true;
	}
}

static void read_checkpoints(struct wire *wire, struct arena *arena, struct checkpoints *checkpoints)
{
	uint32_t len = list_len(wire, wire_array(wire), 5);
	checkpoints->entries = arena_take(arena, len * sizeof *checkpoints->entries);
	for (; checkpoints->len < len && !wire->bad; checkpoints->len++) {
		struct checkpoint_entry *entry = &checkpoints->entries[checkpoints->len];
		expect_array(wire, 2);
		read_epoch(wire, &entry->epoch);
		read_cut(wire, arena, &entry->cut);
	}
}

static void read_places(struct wire *wire, struct arena *arena, struct places *places)
{
	uint32_t len = list_len(wire, wire_map(wire), 2);
	places->entries = arena_take(arena, len * sizeof *places->entries);
	for (; places->len < len && !wire->bad; places->len++) {
		places->entries[places->len].actor = wire_unsigned32(wire);
		places->entries[places->len].worker = read_text(wire, arena);
	}
}

static void read_addresses(struct wire *wire, struct arena *arena, struct addresses *addresses)
{
	uint32_t len = list_len(wire, wire_map(wire), 2);
	addresses->entries = arena_take(arena, len * sizeof *addresses->entries);
	for (; addresses->len < len && !wire->bad; addresses->len++) {
		addresses->entries[addresses->len].channel = wire_unsigned32(wire);
		addresses->entries[addresses->len].url = read_text(wire, arena);
	}
}

static void read_workers(struct wire *wire, struct arena *arena, struct workers *workers)
{
	uint32_t len = list_len(wire, wire_array(wire), 5);
	workers->entries = arena_take(arena, len * sizeof *workers->entries);
	for (; workers->len < len && !wire->bad; workers->len++) {
		struct worker_entry *entry = &workers->entries[workers->len];
		expect_array(wire, 4);
		entry->worker = read_text(wire, arena);
		entry->process = wire_unsigned32(wire);
		entry->pid = wire_unsigned(wire);
		entry->actors = read_text(wire, arena);
	}
}

void field_decode(enum field_kind type, struct wire *wire, struct arena *arena, void *value)
{
	switch (type) {
	case TYPE_UNSIGNED:
		*(uint64_t *)value = wire_unsigned(wire);
		break;
	case TYPE_SIGNED:
		*(int64_t *)value = wire_signed(wire);
		break;
	case TYPE_FLAG:
		*(bool *)value = wire_flag(wire);
		break;
	case TYPE_TEXT:
		*(const char **)value = read_text(wire, arena);
		break;
	case TYPE_EPOCH:
		read_epoch(wire, value);
		break;
	case TYPE_CUT:
		read_cut(wire, arena, value);
		break;
	case TYPE_COUNTERS:
		read_counters(wire, value);
		break;
	case TYPE_SHARES:
		read_shares(wire, arena, value);
		break;
	case TYPE_DECISIONS:
		read_decisions(wire, arena, value);
		break;
	case TYPE_LETTERS:
		read_letters(wire, arena, value);
		break;
	case TYPE_GROUPS:
		read_groups(wire, arena, value);
		break;
	case TYPE_CHECKPOINTS:
		read_checkpoints(wire, arena, value);
		break;
	case TYPE_PLACES:
		read_places(wire, arena, value);
		break;
	case TYPE_ADDRESSES:
		read_addresses(wire, arena, value);
		break;
	case TYPE_WORKERS:
		read_workers(wire, arena, value);
		break;
	case TYPE_RAW:
		*(struct bytes *)value = (struct bytes){wire->at, (size_t)(wire->end - wire->at)};
		wire->at = wire->end;
		break;
	}
}

/* --- showing --------------------------------------------------------------------------------------------------- */

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
	case TYPE_CHECKPOINTS:
		buffer_printf(out, "%u checkpoints", ((const struct checkpoints *)value)->len);
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
	case TYPE_RAW:
		buffer_printf(out, "%zu bytes", ((const struct bytes *)value)->len);
		break;
	}
}
