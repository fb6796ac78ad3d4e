/* services/sink/elastic_letters.c - see elastic_letters.h. */
#include "services/sink/elastic_letters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WHOLE_MAX = 256 * 1024, BRIEF_MAX = 1024, WORD_MAX = 160 };

void letters_index(const struct pipeline *pipeline, char out[INDEX_NAME_MAX])
{
	char stem[INDEX_NAME_MAX - 32];
	size_t len;

	index_stem(pipeline->sinks.elasticsearch.index, out);
	len = strlen(out);
	CHECK(len < sizeof stem);
	memcpy(out + len, "-dead-letters", sizeof "-dead-letters");
}

/* --- which ones there are ---------------------------------------------------------------------------------------- */

void letter_notes_clear(struct letter_notes *notes)
{
	notes->len = notes->waiting_len = notes->unused_len = 0;
}

void letter_notes_fini(struct letter_notes *notes)
{
	free(notes->notes);
	free(notes->waiting);
	free(notes->unused);
	*notes = (struct letter_notes){0};
}

static uint32_t place_find(struct letter_notes *notes)
{
	if (notes->unused_len > 0)
		return notes->unused[--notes->unused_len];
	if (notes->len == notes->capacity) {
		notes->capacity = notes->capacity ? 2 * notes->capacity : 16;
		notes->notes = memory_resize(notes->notes, notes->capacity, sizeof *notes->notes);
		notes->waiting = memory_resize(notes->waiting, notes->capacity, sizeof *notes->waiting);
		notes->unused = memory_resize(notes->unused, notes->capacity, sizeof *notes->unused);
	}
	return (uint32_t)notes->len++;
}

void letter_note_add(struct letter_notes *notes, uint32_t item, uint16_t status, const struct elastic_error *error)
{
	uint32_t place = place_find(notes);

	notes->notes[place] = (struct letter_note){.item = item, .status = status, .error = *error};
	letter_note_return(notes, place);
}

bool letter_note_take(struct letter_notes *notes, uint32_t *place)
{
	if (notes->waiting_len == 0)
		return false;
	*place = notes->waiting[--notes->waiting_len];
	return true;
}

void letter_note_return(struct letter_notes *notes, uint32_t place)
{
	notes->waiting[notes->waiting_len++] = place;
}

void letter_note_drop(struct letter_notes *notes, uint32_t place)
{
	notes->unused[notes->unused_len++] = place;
}

/* --- what stands in one ------------------------------------------------------------------------------------------ */

static void member_put(struct buffer *out, const char *name, struct bytes text)
{
	buffer_printf(out, ",\"%s\":", name);
	buffer_append_json(out, text);
}

static struct bytes text_bytes(const char *text)
{
	return (struct bytes){(const uint8_t *)text, strlen(text)};
}

/* Between characters. */
static struct bytes text_cut(struct bytes text, size_t most)
{
	if (text.len <= most)
		return text;
	while (most > 0 && (text.data[most] & 0xc0) == 0x80)
		most--;
	return (struct bytes){text.data, most};
}

/* What it would have been as a document; empty where the row is none. */
static void document_member_put(
    struct document_plan *plan, const struct letter_note *note, const struct row *row, struct buffer *out)
{
	struct buffer document = {0};

	if (document_put(plan, row, &document))
		member_put(out, "document", text_cut(buffer_bytes(&document), note->brief ? BRIEF_MAX : WHOLE_MAX));
	if (document.len > (note->brief ? BRIEF_MAX : WHOLE_MAX))
		buffer_printf(out, ",\"document_bytes\":%zu", document.len);
	buffer_fini(&document);
}

void letter_put(struct document_plan *plan, const struct letter_note *note, const struct row *row, struct buffer *out)
{
	const struct pipeline *pipeline = plan->pipeline;
	char status[16], now[TIMESTAMP_TEXT_MAX];
	const char *reason = note->error.type;

	(void)snprintf(status, sizeof status, "status_%u", note->status);
	(void)timestamp_print(clock_realtime_us(), now);
	buffer_printf(out, "{\"create\":{\"_id\":\"%s-%u-%lld\"}}\n{\"reason\":", pipeline->source.topic,
	    row->partition, (long long)row->offset);
	buffer_append_json(out, text_bytes(reason[0] != '\0' ? reason : status));
	member_put(out, "detail", text_bytes(note->error.reason));
	member_put(out, "topic", text_bytes(pipeline->source.topic));
	buffer_printf(out, ",\"partition\":%u,\"offset\":%lld", row->partition, (long long)row->offset);
	member_put(out, "key", row->values[pipeline->record.key].text);
	member_put(out, "index", text_bytes(document_index(plan, row)));
	document_member_put(plan, note, row, out);
	buffer_printf(out, ",\"at\":\"%.23sZ\"}\n", now);
}
