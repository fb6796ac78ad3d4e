#include <string.h>

#include <msgpack.h>

#include "proto/frame_fields.h"

static int append(void *data, const char *bytes, size_t len)
{
	buffer_append(data, bytes, len);
	return 0;
}

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

static void pack_marks(msgpack_packer *packer, const struct marks *marks)
{
	msgpack_pack_array(packer, marks->len);
	for (uint32_t i = 0; i < marks->len; i++) {
		msgpack_pack_array(packer, 3);
		msgpack_pack_uint32(packer, marks->entries[i].partition);
		msgpack_pack_int64(packer, marks->entries[i].offset);
		msgpack_pack_uint64(packer, marks->entries[i].hash);
	}
}

static void pack_facts(msgpack_packer *packer, const struct facts *facts)
{
	msgpack_pack_map(packer, facts->len);
	for (uint32_t i = 0; i < facts->len; i++) {
		pack_text(packer, facts->entries[i].name);
		pack_text(packer, facts->entries[i].value);
	}
}

static void pack_checkpoints(msgpack_packer *packer, const struct checkpoints *checkpoints)
{
	msgpack_pack_array(packer, checkpoints->len);
	for (uint32_t i = 0; i < checkpoints->len; i++) {
		msgpack_pack_array(packer, 3);
		pack_epoch(packer, &checkpoints->entries[i].epoch);
		pack_cut(packer, &checkpoints->entries[i].cut);
		pack_marks(packer, &checkpoints->entries[i].marks);
	}
}

static void pack_files(msgpack_packer *packer, const struct files *files)
{
	msgpack_pack_array(packer, files->len);
	for (uint32_t i = 0; i < files->len; i++) {
		const struct file_entry *entry = &files->entries[i];
		msgpack_pack_array(packer, 10);
		pack_text(packer, entry->name);
		pack_epoch(packer, &entry->written);
		msgpack_pack_uint32(packer, entry->role);
		msgpack_pack_uint32(packer, entry->first_group);
		msgpack_pack_uint32(packer, entry->groups_len);
		msgpack_pack_uint64(packer, entry->generation);
		msgpack_pack_int64(packer, entry->newest_ms);
		msgpack_pack_uint64(packer, entry->rows);
		msgpack_pack_uint64(packer, entry->bytes);
		msgpack_pack_uint64(packer, entry->checksum);
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

static void pack_waits(msgpack_packer *packer, const struct waits *waits)
{
	msgpack_pack_array(packer, waits->len);
	for (uint32_t i = 0; i < waits->len; i++) {
		msgpack_pack_array(packer, 4);
		pack_text(packer, waits->entries[i].who);
		pack_text(packer, waits->entries[i].text);
		msgpack_pack_int64(packer, waits->entries[i].since_us);
		msgpack_pack_uint64(packer, waits->entries[i].for_us);
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
	case TYPE_MARKS:
		pack_marks(&packer, value);
		break;
	case TYPE_FACTS:
		pack_facts(&packer, value);
		break;
	case TYPE_CHECKPOINTS:
		pack_checkpoints(&packer, value);
		break;
	case TYPE_FILES:
		pack_files(&packer, value);
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
	case TYPE_WAITS:
		pack_waits(&packer, value);
		break;
	case TYPE_RAW:
		buffer_append(out, ((const struct bytes *)value)->data, ((const struct bytes *)value)->len);
		break;
	}
}
