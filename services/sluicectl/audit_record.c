/* services/sluicectl/audit_record.c - see audit_record.h. */
#include "services/sluicectl/audit_record.h"

#include <string.h>

#include "services/sluicectl/audit_number.h"

void record_reader_init(struct record_reader *reader, const struct pipeline *pipeline)
{
	*reader = (struct record_reader){.pipeline = pipeline};
	audit_zone_use(&reader->zone, pipeline->record.time_zone);
	document_init(&reader->document, pipeline);
}

void record_reader_fini(struct record_reader *reader)
{
	document_fini(&reader->document);
	buffer_fini(&reader->content);
}

static size_t count_characters(struct bytes text)
{
	size_t characters = 0;
	for (size_t i = 0; i < text.len; i++)
		characters += (text.data[i] & 0xc0) != 0x80;
	return characters;
}

static const char *read_string(
    const struct field *field, bool is_key, enum document_kind kind, struct audit_value *value)
{
	if (is_key && kind == DOCUMENT_STRING && value->text.len == 0)
		return "missing_field";
	if (kind == DOCUMENT_NUMBER)
		return "wrong_type";
	value->kind = AUDIT_TEXT;
	return count_characters(value->text) > field->length_max ? "too_long" : NULL;
}

static const char *read_number(const struct field *field, struct audit_value *value)
{
	value->kind = AUDIT_NUMBER;
	if (!number_is_json(value->text))
		return "invalid_number";
	if (field->type == FIELD_INTEGER)
		return number_read_integer(value->text, &value->number);
	return number_read_decimal(value->text, field->precision, field->scale, &value->number);
}

static const char *read_time(
    const struct record_reader *reader, enum document_kind kind, struct audit_value *value, int64_t latest_us)
{
	int64_t instant_us = 0;
	value->kind = AUDIT_TIME;
	const char *reason = kind == DOCUMENT_NUMBER
	                         ? time_read_number(&reader->zone, value->text, &value->number, &instant_us)
	                         : time_read_text(&reader->zone, value->text, &value->number, &instant_us);
	return reason == NULL && instant_us > latest_us ? "time_out_of_range" : reason;
}

/* latest_us: of the event time. */
static const char *read_field(
    const struct record_reader *reader, size_t place, int64_t latest_us, struct audit_value *value)
{
	const struct field *field = &reader->pipeline->record.fields[place];
	enum document_kind kind = reader->document.values[place].kind;
	*value = (struct audit_value){.kind = AUDIT_NULL, .text = document_text(&reader->document, place)};
	if (kind == DOCUMENT_ABSENT || kind == DOCUMENT_NULL)
		return field->required ? "missing_field" : NULL;
	if (kind == DOCUMENT_OTHER)
		return "wrong_type";
	if (value->text.len > 0 && memchr(value->text.data, '\0', value->text.len) != NULL)
		return "nul_in_text";
	switch (field->type) {
	case FIELD_STRING:
		return read_string(field, place == reader->pipeline->record.key, kind, value);
	case FIELD_INTEGER:
	case FIELD_DECIMAL:
		return read_number(field, value);
	case FIELD_TIMESTAMP:
		return read_time(
		    reader, kind, value, place == reader->pipeline->record.event_time ? latest_us : INT64_MAX);
	}
	return NULL;
}

static void read_object(
    struct record_reader *reader, struct bytes payload, int64_t latest_us, struct audit_record *record)
{
	record->reason = document_read(&reader->document, payload);
	buffer_clear(&reader->content);
	for (size_t i = 0; i < reader->pipeline->record.fields_len && record->reason == NULL; i++) {
		struct audit_value value;
		record->reason = read_field(reader, i, latest_us, &value);
		if (record->reason == NULL)
			content_add(&reader->content, &value);
	}
	if (record->reason != NULL)
		return;
	record->content = buffer_bytes(&reader->content);
	record->key = document_text(&reader->document, reader->pipeline->record.key);
	record->unknown_fields = reader->document.unknown;
}

void record_read(struct record_reader *reader, struct bytes payload, int64_t timestamp_ms, struct audit_record *record)
{
	int64_t latest_us;
	*record = (struct audit_record){0};
	if (timestamp_ms < 0 || reader->pipeline->record.max_future_us == 0 ||
	    __builtin_mul_overflow(timestamp_ms, 1000, &latest_us) ||
	    __builtin_add_overflow(latest_us, reader->pipeline->record.max_future_us, &latest_us))
		latest_us = INT64_MAX;
	if (payload.data == NULL)
		record->reason = "tombstone";
	else if (payload.len > reader->pipeline->record.max_record_bytes)
		record->reason = "too_large";
	else
		read_object(reader, payload, latest_us, record);
}

void record_read_letter(struct record_reader *reader, struct bytes payload, struct audit_record *record)
{
	*record = (struct audit_record){0};
	if (payload.data == NULL)
		record->reason = "tombstone";
	else
		read_object(reader, payload, INT64_MAX, record);
}
