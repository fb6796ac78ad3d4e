/* services/aggregator/record_json.c - see record_json.h. */
#include "services/aggregator/record_json.h"

#include <string.h>

#include "common/base/decimal.h"
#include "common/base/timestamp.h"

static void put_escaped(struct buffer *out, uint8_t byte)
{
	switch (byte) {
	case '"':
		buffer_append_text(out, "\\\"");
		break;
	case '\\':
		buffer_append_text(out, "\\\\");
		break;
	case '\n':
		buffer_append_text(out, "\\n");
		break;
	case '\r':
		buffer_append_text(out, "\\r");
		break;
	case '\t':
		buffer_append_text(out, "\\t");
		break;
	default:
		buffer_printf(out, "\\u%04x", byte);
		break;
	}
}

/* Only what JSON wants escaped is: other characters stay as they are. */
static void put_string(struct buffer *out, struct bytes text)
{
	size_t plain = 0; /* begin of what was not written yet */

	buffer_append(out, "\"", 1);
	for (size_t i = 0; i < text.len; i++) {
		uint8_t byte = text.data[i];

		if (byte >= 0x20 && byte != '"' && byte != '\\')
			continue;
		if (i > plain)
			buffer_append(out, text.data + plain, i - plain);
		put_escaped(out, byte);
		plain = i + 1;
	}
	if (text.len > plain)
		buffer_append(out, text.data + plain, text.len - plain);
	buffer_append(out, "\"", 1);
}

static void put_timestamp(struct buffer *out, int64_t wall_us)
{
	char text[TIMESTAMP_TEXT_MAX];
	size_t len = timestamp_print(wall_us, text);

	put_string(out, (struct bytes){(const uint8_t *)text, len});
}

static void put_value(struct buffer *out, const struct field *field, const struct value *value)
{
	char text[DECIMAL_TEXT_MAX];

	switch (field->type) {
	case FIELD_STRING:
		put_string(out, value->text);
		break;
	case FIELD_INTEGER:
		buffer_append(out, text, decimal_print(value->integer, 0, text));
		break;
	case FIELD_DECIMAL:
		buffer_append(out, text, decimal_print(value->integer, field->scale, text));
		break;
	case FIELD_TIMESTAMP:
		put_timestamp(out, value->integer);
		break;
	}
}

void record_json(const struct pipeline *pipeline, const struct value *values, struct buffer *out)
{
	bool first = true;

	buffer_append(out, "{", 1);
	for (size_t i = 0; i < pipeline->record.fields_len; i++) {
		const struct field *field = &pipeline->record.fields[i];

		if (values[i].kind == VALUE_NULL)
			continue;
		if (!first)
			buffer_append(out, ", ", 2);
		first = false;
		put_string(out, (struct bytes){(const uint8_t *)field->name, strlen(field->name)});
		buffer_append(out, ": ", 2);
		put_value(out, field, &values[i]);
	}
	buffer_append(out, "}", 1);
}
