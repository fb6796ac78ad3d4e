/* proto/field_decode.c - see frame_fields.h: memory taken is at most a small multiple of the bytes that are there. */
#include <string.h>

#include "proto/frame_fields.h"

enum { MEASURE_BYTES = 16 };

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

static void read_marks(struct wire *wire, struct arena *arena, struct marks *marks)
{
	uint32_t len = list_len(wire, wire_array(wire), 4);
	marks->entries = arena_take(arena, len * sizeof *marks->entries);
	for (; marks->len < len && !wire->bad; marks->len++) {
		struct mark *mark = &marks->entries[marks->len];
		expect_array(wire, 3);
		mark->partition = wire_unsigned32(wire);
		mark->offset = wire_signed(wire);
		mark->hash = wire_unsigned(wire);
		if (mark->offset < 0 ||
		    (marks->len > 0 && (mark[-1].partition > mark->partition ||
		                           (mark[-1].partition == mark->partition && mark[-1].offset >= mark->offset))))
			wire->bad = true; /* sorted, each once */
	}
}

static void read_facts(struct wire *wire, struct arena *arena, struct facts *facts)
{
	uint32_t len = list_len(wire, wire_map(wire), 2);
	facts->entries = arena_take(arena, len * sizeof *facts->entries);
	for (; facts->len < len && !wire->bad; facts->len++) {
		facts->entries[facts->len].name = read_text(wire, arena);
		facts->entries[facts->len].value = read_text(wire, arena);
	}
}

static void read_checkpoints(struct wire *wire, struct arena *arena, struct checkpoints *checkpoints)
{
	uint32_t len = list_len(wire, wire_array(wire), 6);
	checkpoints->entries = arena_take(arena, len * sizeof *checkpoints->entries);
	for (; checkpoints->len < len && !wire->bad; checkpoints->len++) {
		struct checkpoint_entry *entry = &checkpoints->entries[checkpoints->len];
		expect_array(wire, 3);
		read_epoch(wire, &entry->epoch);
		read_cut(wire, arena, &entry->cut);
		read_marks(wire, arena, &entry->marks);
	}
}

static void read_files(struct wire *wire, struct arena *arena, struct files *files)
{
	uint32_t len = list_len(wire, wire_array(wire), 13);
	files->entries = arena_take(arena, len * sizeof *files->entries);
	for (; files->len < len && !wire->bad; files->len++) {
		struct file_entry *entry = &files->entries[files->len];
		expect_array(wire, 10);
		entry->name = read_text(wire, arena);
		read_epoch(wire, &entry->written);
		entry->role = wire_unsigned32(wire);
		entry->first_group = wire_unsigned32(wire);
		entry->groups_len = wire_unsigned32(wire);
		entry->generation = wire_unsigned(wire);
		entry->newest_ms = wire_signed(wire);
		entry->rows = wire_unsigned(wire);
		entry->bytes = wire_unsigned(wire);
		entry->checksum = wire_unsigned(wire);
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

static void read_waits(struct wire *wire, struct arena *arena, struct waits *waits)
{
	uint32_t len = list_len(wire, wire_array(wire), 5);
	waits->entries = arena_take(arena, len * sizeof *waits->entries);
	for (; waits->len < len && !wire->bad; waits->len++) {
		struct wait_entry *entry = &waits->entries[waits->len];
		expect_array(wire, 4);
		entry->who = read_text(wire, arena);
		entry->text = read_text(wire, arena);
		entry->since_us = wire_signed(wire);
		entry->for_us = wire_unsigned(wire);
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
	case TYPE_MARKS:
		read_marks(wire, arena, value);
		break;
	case TYPE_FACTS:
		read_facts(wire, arena, value);
		break;
	case TYPE_CHECKPOINTS:
		read_checkpoints(wire, arena, value);
		break;
	case TYPE_FILES:
		read_files(wire, arena, value);
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
	case TYPE_WAITS:
		read_waits(wire, arena, value);
		break;
	case TYPE_RAW:
		*(struct bytes *)value = (struct bytes){wire->at, (size_t)(wire->end - wire->at)};
		wire->at = wire->end;
		break;
	}
}
