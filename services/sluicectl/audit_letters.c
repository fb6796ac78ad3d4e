/* services/sluicectl/audit_letters.c - see audit_letters.h. */
#include "services/sluicectl/audit_letters.h"

#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

#include "services/sluicectl/audit_table.h"

enum { SHOWN_BYTES = 60 };

/* Bytes, told apart by their hash. */
struct letter_bytes {
	bool there;
	uint64_t len;
	XXH128_hash_t hash;
	uint8_t first[SHOWN_BYTES];
};

/* Without padding at its front, the place names the letter. */
struct letter_place {
	int64_t offset;
	uint64_t partition;
};

struct letter_item {
	struct letter_place place;
	char reason[32];
	struct letter_bytes key, payload;
	bool payload_raw;
	bool meaning; /* the payload's hash is that of a content; its first bytes and length are not to be compared */
};

struct letter_entry {
	struct table_entry head; /* key: the place */
	struct letter_item found;
	bool is_found, is_due;
};

/* --- putting --------------------------------------------------------------------------------------------------- */

static struct letter_bytes bytes_take(struct bytes bytes)
{
	struct letter_bytes taken = {.there = bytes.data != NULL, .len = bytes.len};
	if (bytes.data != NULL)
		memcpy(taken.first, bytes.data, bytes.len < SHOWN_BYTES ? bytes.len : SHOWN_BYTES);
	taken.hash = XXH3_128bits(bytes.data, bytes.len);
	return taken;
}

static void item_make(struct letter_item *item, const struct letter *letter)
{
	memset(item, 0, sizeof *item);
	item->place = (struct letter_place){letter->offset, letter->partition};
	item->key = bytes_take(letter->key);
	item->payload = bytes_take(letter->payload);
	item->payload_raw = letter->payload_raw;
	memcpy(item->reason, letter->reason.data,
	    letter->reason.len < sizeof item->reason ? letter->reason.len : sizeof item->reason - 1);
}

static void item_put(struct spool *spool, enum spool_lane_name lane, const struct letter_item *item)
{
	uint64_t hash = table_hash((struct bytes){(const uint8_t *)&item->place, sizeof item->place});
	spool_put(spool, lane, hash, (struct bytes){(const uint8_t *)item, sizeof *item});
}

void letter_put_found(struct spool *spool, struct record_reader *reader, const struct letter *letter)
{
	struct letter_item item;
	struct audit_record record;
	item_make(&item, letter);
	if (!letter->payload_raw && letter->payload.data != NULL) {
		record_read_letter(reader, letter->payload, &record);
		item.meaning = record.reason == NULL;
		if (item.meaning)
			item.payload.hash = XXH3_128bits(record.content.data, record.content.len);
	}
	item_put(spool, LANE_LETTERS, &item);
}

void letter_put_bad(struct spool *spool, const struct letter *letter)
{
	struct letter_item item;
	struct letter cut = *letter;
	if (cut.payload.len > LETTER_PAYLOAD_MOST)
		cut.payload.len = LETTER_PAYLOAD_MOST;
	if (cut.key.len > LETTER_KEY_MOST)
		cut.key.len = LETTER_KEY_MOST;
	item_make(&item, &cut);
	item_put(spool, LANE_LETTERS_DUE, &item);
}

void letter_put_conflict(struct spool *spool, const struct letter *letter)
{
	struct letter_item item;
	item_make(&item, letter);
	item.meaning = true;
	item_put(spool, LANE_LETTERS_DUE, &item);
}

/* --- comparing ------------------------------------------------------------------------------------------------- */

static bool bytes_same(const struct letter_bytes *a, const struct letter_bytes *b, bool meaning)
{
	return a->there == b->there && XXH128_isEqual(a->hash, b->hash) && (meaning || a->len == b->len);
}

static bool payload_same(const struct letter_item *due, const struct letter_item *found)
{
	/* What a conflict said cannot be read any more where it was cut. */
	if (due->meaning && !found->payload_raw && found->payload.len == LETTER_PAYLOAD_MOST)
		return true;
	return due->payload_raw == found->payload_raw && due->meaning == found->meaning &&
	       bytes_same(&due->payload, &found->payload, due->meaning);
}

static void print_bytes(const char *name, const struct letter_bytes *bytes, struct buffer *out)
{
	buffer_printf(out, ", %s ", name);
	if (!bytes->there) {
		buffer_append_text(out, "none");
		return;
	}
	buffer_append_text(out, "'");
	size_t len = bytes->len < SHOWN_BYTES ? (size_t)bytes->len : SHOWN_BYTES;
	audit_bytes_print(out, (struct bytes){bytes->first, len}, SHOWN_BYTES);
	buffer_append_text(out, bytes->len > SHOWN_BYTES ? "...'" : "'");
}

static void print_letter(const struct letter_item *item, struct buffer *out)
{
	buffer_printf(out, "reason %s", item->reason);
	print_bytes("key", &item->key, out);
	print_bytes("payload", &item->payload, out);
	buffer_printf(out, " (%" PRIu64 " bytes%s)", item->payload.len, item->payload_raw ? "" : ", re-encoded");
}

static void say(
    struct report *report, enum difference_kind kind, const struct letter_item *due, const struct letter_item *found)
{
	struct difference difference = {.kind = kind};
	const struct letter_place *place = due != NULL ? &due->place : &found->place;
	buffer_printf(
	    &difference.key, "the record at partition %" PRIu64 ", offset %" PRId64, place->partition, place->offset);
	if (due == NULL)
		buffer_append_text(&difference.expected, "no dead letter");
	else if (due->meaning)
		buffer_printf(&difference.expected,
		    "reason conflict, key '%.*s', and what the record said (payload_raw false)",
		    (int)(due->key.len < SHOWN_BYTES ? due->key.len : SHOWN_BYTES), (const char *)due->key.first);
	else
		print_letter(due, &difference.expected);
	if (kind == DIFFERENCE_LETTER_MISSING)
		buffer_append_text(&difference.found, "no dead letter");
	else
		print_letter(found, &difference.found);
	report_add(report, &difference);
}

struct letters {
	struct spool *spool;
	struct report *report;
	struct table table;
};

static bool item_take(
    struct letters *letters, struct spool_cursor *cursor, struct letter_item *item, struct letter_entry **entry)
{
	struct spool_item taken;
	if (!spool_next(cursor, &taken))
		return false;
	CHECK(taken.bytes.len == sizeof *item);
	memcpy(item, taken.bytes.data, sizeof *item);
	struct bytes place = {(const uint8_t *)&item->place, sizeof item->place};
	*entry = table_get(&letters->table, taken.hash, place, sizeof **entry);
	return true;
}

/* Of a record that Kafka does not hold any more. */
static bool is_before(const struct report *report, const struct letter_item *item)
{
	const struct audit_partition *partition = report_partition(report, (uint32_t)item->place.partition);
	return report->partial && partition != NULL && item->place.offset < partition->begin &&
	       item->place.offset >= partition->start;
}

static void take_found(struct letters *letters, const struct spool_stream *found)
{
	struct spool_cursor cursor;
	struct letter_item item;
	struct letter_entry *entry;
	spool_cursor_open(&cursor, letters->spool, found);
	while (item_take(letters, &cursor, &item, &entry)) {
		if (entry->is_found)
			say(letters->report, DIFFERENCE_LETTER_EXTRA, NULL, &item);
		entry->is_found = true;
		entry->found = item;
	}
	spool_cursor_close(&cursor);
}

static void compare_due(struct letters *letters, const struct spool_stream *due)
{
	struct spool_cursor cursor;
	struct letter_item item;
	struct letter_entry *entry;
	spool_cursor_open(&cursor, letters->spool, due);
	while (item_take(letters, &cursor, &item, &entry)) {
		entry->is_due = true;
		if (!entry->is_found)
			say(letters->report, DIFFERENCE_LETTER_MISSING, &item, NULL);
		else if (strcmp(item.reason, entry->found.reason) != 0 || !payload_same(&item, &entry->found) ||
		         !bytes_same(&item.key, &entry->found.key, false))
			say(letters->report, DIFFERENCE_LETTER, &item, &entry->found);
	}
	spool_cursor_close(&cursor);
}

static void on_part(void *context, const struct spool_stream *found, const struct spool_stream *due)
{
	struct letters *letters = context;
	struct letter_entry *entry;
	take_found(letters, found);
	compare_due(letters, due);
	for (size_t place = 0; (entry = table_next(&letters->table, &place)) != NULL;) {
		if (!entry->is_found || entry->is_due)
			continue;
		if (is_before(letters->report, &entry->found))
			letters->report->letters_unproved++;
		else
			say(letters->report, DIFFERENCE_LETTER_EXTRA, NULL, &entry->found);
	}
	table_clear(&letters->table);
}

void letters_compare(struct spool *spool, struct report *report)
{
	struct letters letters = {.spool = spool, .report = report};
	spool_each_part(spool, LANE_LETTERS, LANE_LETTERS_DUE, on_part, &letters);
	table_fini(&letters.table);
}
