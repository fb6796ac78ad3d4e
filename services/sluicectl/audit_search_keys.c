/* services/sluicectl/audit_search_keys.c - see audit_search_keys.h. */
#include "services/sluicectl/audit_search_keys.h"

#include <inttypes.h>
#include <string.h>

#include "common/base/mutant.h"
#include "services/sluicectl/audit_table.h"
#include "services/sluicectl/audit_value.h"

/* What a partition's records of a key would have in the document: the first one that has no dead letter, or else the last. */
struct claim {
	struct claim *next;
	bool settled; /* it is one without a dead letter: those behind it are repeats */
	uint32_t partition;
	int64_t offset, timestamp_ms;
	struct bytes content;
};

struct document_entry {
	struct table_entry head; /* key: what names the document (search_print_key) */
	bool has_document;
	struct bytes document; /* its content */
	struct claim *claims;
	const struct claim *due; /* a settled one in front of the cut */
	const struct claim *held; /* the one that the document is of */
	bool in_front; /* some record of the key is in front of the cut */
	bool has_letter;
	bool said; /* some record of the key says what the document does */
};

/* Without padding, the place names the letter. */
struct letter_place {
	int64_t offset;
	uint64_t partition;
};

struct letter_entry {
	struct table_entry head; /* key: the place */
	struct document_entry *of;
	struct bytes content;
	bool has_record;
	bool healed; /* the document says the same: it was accepted in a later attempt */
};

struct matching {
	struct spool *spool;
	struct report *report;
	struct table documents, letters;
};

/* --- items ----------------------------------------------------------------------------------------------------- */

enum item_kind { ITEM_DOCUMENT, ITEM_LETTER };

void search_put_document(struct spool *spool, struct bytes key, struct bytes content)
{
	const struct key_record document = {.kind = ITEM_DOCUMENT, .key = key, .content = content};
	key_record_put(spool, LANE_ROWS, &document);
}

void search_put_letter(struct spool *spool, const struct search_letter *letter)
{
	const struct key_record record = {.kind = ITEM_LETTER,
	    .partition = letter->partition,
	    .offset = letter->offset,
	    .key = letter->key,
	    .content = letter->content};
	key_record_put(spool, LANE_ROWS, &record);
}

void search_put_record(struct spool *spool, const struct key_record *record)
{
	key_record_put(spool, LANE_RECORDS, record);
}

/* Takes the next one, and the entry of its key. */
static bool item_take(
    struct matching *matching, struct spool_cursor *cursor, struct key_record *record, struct document_entry **entry)
{
	uint64_t hash;
	if (!key_record_next(cursor, record, &hash))
		return false;
	*entry = table_get(&matching->documents, hash, record->key, sizeof **entry);
	return true;
}

static struct bytes keep(struct matching *matching, struct bytes bytes)
{
	return (struct bytes){arena_clone(&matching->documents.arena, bytes.data, bytes.len), bytes.len};
}

static struct letter_entry *letter_at(struct matching *matching, uint32_t partition, int64_t offset)
{
	struct letter_place place = {offset, partition};
	struct bytes name = {(const uint8_t *)&place, sizeof place};
	return table_get(&matching->letters, table_hash(name), name, sizeof(struct letter_entry));
}

static struct letter_place place_of(const struct letter_entry *letter)
{
	struct letter_place place;
	memcpy(&place, letter->head.key.data, sizeof place);
	return place;
}

static bool is_in_front(const struct audit_partition *partition, int64_t offset)
{
	return partition != NULL && offset < partition->cut;
}

/* Has a writer certainly, or possibly, counted the record? */
static bool is_counted(const struct audit_partition *partition, int64_t offset)
{
	return partition != NULL && offset >= partition->since_most && offset < partition->cut;
}

static bool may_be_counted(const struct audit_partition *partition, int64_t offset)
{
	return partition != NULL && offset >= partition->since && offset < partition->cut_most;
}

/* --- words ----------------------------------------------------------------------------------------------------- */

/* The name as search_print_key made it. */
static void print_key(const struct matching *matching, struct bytes key, struct buffer *out)
{
	const struct pipeline *pipeline = matching->report->pipeline;
	bool dated = strchr(pipeline->sinks.elasticsearch.index, '%') != NULL;
	const uint8_t *slash = dated && key.len > 0 ? memchr(key.data, '/', key.len) : NULL;
	size_t index_len = slash != NULL ? (size_t)(slash - key.data) : 0, skip = slash != NULL ? index_len + 1 : 0;
	buffer_printf(out, "%s '", pipeline->record.fields[pipeline->record.key].name);
	buffer_append(out, key.data + skip, key.len - skip);
	buffer_append_text(out, "'");
	if (slash != NULL)
		buffer_printf(out, " in index %.*s", (int)index_len, (const char *)key.data);
}

static void print_place(uint32_t partition, int64_t offset, struct buffer *out)
{
	buffer_printf(out, "the record at partition %" PRIu32 ", offset %" PRId64, partition, offset);
}

static void print_claim(
    const struct matching *matching, const struct claim *claim, const struct bytes *other, struct buffer *out)
{
	content_print(out, matching->report->pipeline, claim->content, other);
	buffer_append_text(out, " (");
	print_place(claim->partition, claim->offset, out);
	buffer_append_text(out, ")");
}

static void say_extra(
    struct matching *matching, const struct document_entry *entry, struct bytes document, const char *expected)
{
	struct difference difference = {.kind = DIFFERENCE_DOCUMENT_EXTRA};
	print_key(matching, entry->head.key, &difference.key);
	buffer_append_text(&difference.expected, expected);
	content_print(&difference.found, matching->report->pipeline, document, NULL);
	report_add(matching->report, &difference);
}

static void say_missing(struct matching *matching, const struct document_entry *entry)
{
	struct difference difference = {.kind = DIFFERENCE_DOCUMENT_MISSING};
	print_key(matching, entry->head.key, &difference.key);
	print_claim(matching, entry->due, NULL, &difference.expected);
	buffer_append_text(&difference.found, "neither a document nor a dead letter");
	report_add(matching->report, &difference);
}

static void say_different(struct matching *matching, const struct document_entry *entry, const struct claim *claim)
{
	struct difference difference = {.kind = DIFFERENCE_DOCUMENT};
	print_key(matching, entry->head.key, &difference.key);
	print_claim(matching, claim, &entry->document, &difference.expected);
	content_print(&difference.found, matching->report->pipeline, entry->document, &claim->content);
	if (entry->said)
		buffer_append_text(&difference.found, " (a later record of its partition says so)");
	report_add(matching->report, &difference);
}

static void say_letter(
    struct matching *matching, enum difference_kind kind, const struct letter_entry *letter, const struct bytes *record)
{
	struct difference difference = {.kind = kind};
	struct letter_place place = place_of(letter);
	buffer_append_text(&difference.key, "the dead letter of ");
	print_place((uint32_t)place.partition, place.offset, &difference.key);
	buffer_append_text(&difference.key, ", ");
	print_key(matching, letter->of->head.key, &difference.key);
	if (record != NULL)
		content_print(&difference.expected, matching->report->pipeline, *record, &letter->content);
	else
		buffer_append_text(&difference.expected, "no dead letter: there is no valid record of this key");
	content_print(&difference.found, matching->report->pipeline, letter->content, record);
	report_add(matching->report, &difference);
}

static void say_contested(struct matching *matching, const struct document_entry *entry)
{
	struct search_report *search = matching->report->search;
	uint64_t before = search->contested++;
	if (before >= REPORT_SHOWN)
		return;
	struct buffer *out = &search->contested_shown[before];
	print_key(matching, entry->head.key, out);
	buffer_append_text(out, ": the document is ");
	print_place(entry->held->partition, entry->held->offset, out);
	for (const struct claim *claim = entry->claims; claim != NULL; claim = claim->next) {
		if (bytes_equal(claim->content, entry->document))
			continue;
		buffer_append_text(out, "; otherwise ");
		print_claim(matching, claim, &entry->document, out);
	}
}

/* --- what is there --------------------------------------------------------------------------------------------- */

static void take_letter(struct matching *matching, const struct key_record *record, struct document_entry *entry)
{
	struct letter_entry *letter = letter_at(matching, record->partition, record->offset);
	letter->of = entry;
	letter->content = keep(matching, record->content);
	entry->has_letter = true;
}

static void take_found(struct matching *matching, const struct spool_stream *found)
{
	struct spool_cursor cursor;
	struct key_record record;
	struct document_entry *entry;
	spool_cursor_open(&cursor, matching->spool, found);
	while (item_take(matching, &cursor, &record, &entry)) {
		if (record.kind == ITEM_LETTER) {
			take_letter(matching, &record, entry);
		} else if (entry->has_document) {
			say_extra(matching, entry, record.content, "one document of this key");
		} else {
			entry->has_document = true;
			entry->document = keep(matching, record.content);
		}
	}
	spool_cursor_close(&cursor);
}

/* --- what has to be -------------------------------------------------------------------------------------------- */

/* Mostly the document, or another partition's claim, says the same and is kept already. */
static struct bytes content_keep(struct matching *matching, const struct document_entry *entry, struct bytes content)
{
	if (entry->has_document && bytes_equal(entry->document, content))
		return entry->document;
	for (const struct claim *claim = entry->claims; claim != NULL; claim = claim->next)
		if (bytes_equal(claim->content, content))
			return claim->content;
	return keep(matching, content);
}

static struct claim *claim_of(struct matching *matching, struct document_entry *entry, uint32_t partition)
{
	for (struct claim *claim = entry->claims; claim != NULL; claim = claim->next)
		if (claim->partition == partition)
			return claim;
	struct claim *claim = arena_take(&matching->documents.arena, sizeof *claim);
	*claim = (struct claim){.next = entry->claims, .partition = partition};
	entry->claims = claim;
	return claim;
}

/* Is there a letter for it? */
static bool compare_letter(
    struct matching *matching, const struct document_entry *entry, const struct key_record *record, bool same)
{
	struct letter_entry *letter = letter_at(matching, record->partition, record->offset);
	if (letter->of != entry)
		return false; /* made just now: there is none; or it names another key */
	letter->has_record = true;
	letter->healed = same;
	if (letter->content.len > 0 && !bytes_equal(letter->content, record->content))
		say_letter(matching, DIFFERENCE_LETTER, letter, &record->content);
	return true;
}

static void take_record(struct matching *matching, struct document_entry *entry, const struct key_record *record)
{
	struct search_report *search = matching->report->search;
	const struct audit_partition *partition = report_partition(matching->report, record->partition);
	bool same = entry->has_document && bytes_equal(entry->document, record->content);
	bool in_front = is_in_front(partition, record->offset);
	bool has_letter = entry->has_letter && compare_letter(matching, entry, record, same);
	search->valid += in_front;
	search->valid_least += is_counted(partition, record->offset);
	search->valid_most += may_be_counted(partition, record->offset);
	entry->said = entry->said || same;
	entry->in_front = entry->in_front || in_front;
	struct claim *claim = claim_of(matching, entry, record->partition);
	/* The one that the document is of stays. */
	if (claim->settled || claim == entry->held)
		return;
	claim->offset = record->offset;
	claim->timestamp_ms = record->timestamp_ms;
	claim->content = content_keep(matching, entry, record->content);
	claim->settled = !has_letter;
	if (same && entry->held == NULL)
		entry->held = claim;
	if (claim->settled && in_front && entry->due == NULL)
		entry->due = claim;
}

static void take_records(struct matching *matching, const struct spool_stream *records)
{
	struct spool_cursor cursor;
	struct key_record record;
	struct document_entry *entry;
	spool_cursor_open(&cursor, matching->spool, records);
	while (item_take(matching, &cursor, &record, &entry))
		take_record(matching, entry, &record);
	spool_cursor_close(&cursor);
}

/* --- rule ------------------------------------------------------------------------------------------------------ */

/* The earliest by Kafka's clock. */
static const struct claim *earliest(const struct document_entry *entry)
{
	const struct claim *chosen = NULL;
	for (const struct claim *claim = entry->claims; claim != NULL; claim = claim->next)
		if (chosen == NULL || claim->timestamp_ms < chosen->timestamp_ms ||
		    (claim->timestamp_ms == chosen->timestamp_ms && claim->partition < chosen->partition))
			chosen = claim;
	return chosen;
}

static bool is_contested(const struct document_entry *entry)
{
	for (const struct claim *claim = entry->claims; claim != NULL; claim = claim->next)
		if (!bytes_equal(claim->content, entry->document))
			return true;
	return false;
}

static void decide(struct matching *matching, const struct document_entry *entry)
{
	struct report *report = matching->report;
	const struct claim *claim = earliest(entry);
	if (!entry->has_document) {
		if (entry->due != NULL)
			say_missing(matching, entry);
	} else if (entry->held != NULL) {
		report->search->ahead += !entry->in_front;
		if (is_contested(entry))
			say_contested(matching, entry);
	} else if (report->partial || report->skips_len > 0) { /* it may be one's that was written ahead of the cut */
		report->rows_unproved++;
	} else if (claim == NULL) {
		say_extra(matching, entry, entry->document, "no document: there is no valid record of this key");
	} else {
		say_different(matching, entry, claim);
	}
}

/* Of a record that Kafka does not hold any more, or that was passed over. */
static bool is_before(const struct report *report, struct letter_place place)
{
	const struct audit_partition *partition = report_partition(report, (uint32_t)place.partition);
	if (report_skip_end(report, (uint32_t)place.partition, place.offset) > place.offset && !MUTANT(skipped_wanted))
		return true;
	return report->partial && partition != NULL && place.offset < partition->begin &&
	       place.offset >= partition->start;
}

static void decide_letter(struct matching *matching, const struct letter_entry *letter)
{
	struct report *report = matching->report;
	struct letter_place place = place_of(letter);
	const struct audit_partition *partition = report_partition(report, (uint32_t)place.partition);
	if (letter->of == NULL)
		return; /* only asked for */
	report->search->letters_least += !letter->healed && is_counted(partition, place.offset);
	report->search->letters_most += may_be_counted(partition, place.offset);
	if (letter->has_record)
		return;
	if (is_before(report, place))
		report->letters_unproved++;
	else
		say_letter(matching, DIFFERENCE_LETTER_EXTRA, letter, NULL);
}

static void on_part(void *context, const struct spool_stream *found, const struct spool_stream *records)
{
	struct matching *matching = context;
	struct document_entry *entry;
	struct letter_entry *letter;
	take_found(matching, found);
	take_records(matching, records);
	for (size_t place = 0; (entry = table_next(&matching->documents, &place)) != NULL;)
		decide(matching, entry);
	for (size_t place = 0; (letter = table_next(&matching->letters, &place)) != NULL;)
		decide_letter(matching, letter);
	table_clear(&matching->documents);
	table_clear(&matching->letters);
}

void search_compare(struct spool *spool, struct report *report)
{
	struct matching matching = {.spool = spool, .report = report};
	spool_each_part(spool, LANE_ROWS, LANE_RECORDS, on_part, &matching);
	table_fini(&matching.documents);
	table_fini(&matching.letters);
}
