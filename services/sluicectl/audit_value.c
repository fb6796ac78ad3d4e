/* services/sluicectl/audit_value.c - see audit_value.h. */
#include "services/sluicectl/audit_value.h"

#include <string.h>
#include <time.h>

enum { DAY_SECONDS = 86400, SECOND_US = 1000000 };

void content_add(struct buffer *content, const struct audit_value *value)
{
	uint8_t tag = (uint8_t)value->kind;
	buffer_append(content, &tag, 1);
	switch (value->kind) {
	case AUDIT_NULL:
		break;
	case AUDIT_TEXT:
	case AUDIT_FOREIGN: {
		uint32_t len = (uint32_t)value->text.len;
		buffer_append(content, &len, sizeof len);
		if (len > 0)
			buffer_append(content, value->text.data, len);
		break;
	}
	case AUDIT_NUMBER:
	case AUDIT_TIME:
	case AUDIT_INSTANT:
		buffer_append(content, &value->number, sizeof value->number);
		break;
	}
}

static void take(struct bytes *rest, void *into, size_t len)
{
	CHECK(rest->len >= len);
	memcpy(into, rest->data, len);
	rest->data += len;
	rest->len -= len;
}

bool content_next(struct bytes *rest, struct audit_value *value)
{
	uint8_t tag;
	uint32_t len;
	*value = (struct audit_value){0};
	if (rest->len == 0)
		return false;
	take(rest, &tag, 1);
	value->kind = (enum audit_kind)tag;
	switch (value->kind) {
	case AUDIT_NULL:
		break;
	case AUDIT_TEXT:
	case AUDIT_FOREIGN:
		take(rest, &len, sizeof len);
		CHECK(rest->len >= len);
		value->text = (struct bytes){rest->data, len};
		rest->data += len;
		rest->len -= len;
		break;
	case AUDIT_NUMBER:
	case AUDIT_TIME:
	case AUDIT_INSTANT:
		take(rest, &value->number, sizeof value->number);
		break;
	}
	return true;
}

struct audit_value content_field(struct bytes content, size_t place)
{
	struct audit_value value;
	for (size_t i = 0; i <= place; i++)
		CHECK(content_next(&content, &value));
	return value;
}

void audit_sum_print(struct buffer *out, audit_sum sum, int scale)
{
	if (sum == AUDIT_SUM_FOREIGN) {
		buffer_printf(out, "not a number with %d digits behind the point", scale);
		return;
	}
	char digits[48];
	size_t len = 0;
	unsigned __int128 rest = sum < 0 ? (unsigned __int128)-sum : (unsigned __int128)sum;
	/* Backwards: the last digit first, and at least one before the point. */
	while (rest > 0 || len <= (size_t)scale) {
		digits[len++] = (char)('0' + (int)(rest % 10));
		rest /= 10;
	}
	if (sum < 0)
		buffer_append_text(out, "-");
	while (len > 0) {
		buffer_append(out, &digits[--len], 1);
		if (len == (size_t)scale && len > 0)
			buffer_append_text(out, ".");
	}
}

static struct tm broken_down(int64_t seconds)
{
	time_t at = (time_t)seconds;
	struct tm parts = {0};
	(void)gmtime_r(&at, &parts);
	return parts;
}

void audit_day_print(struct buffer *out, int64_t day)
{
	struct tm at = broken_down(day * DAY_SECONDS);
	buffer_printf(out, "%04d-%02d-%02d", at.tm_year + 1900, at.tm_mon + 1, at.tm_mday);
}

static void print_time(struct buffer *out, int64_t wall_us)
{
	int64_t fraction_us = (wall_us % SECOND_US + SECOND_US) % SECOND_US;
	struct tm at = broken_down((wall_us - fraction_us) / SECOND_US);
	buffer_printf(out, "%04d-%02d-%02dT%02d:%02d:%02d.%06d", at.tm_year + 1900, at.tm_mon + 1, at.tm_mday,
	    at.tm_hour, at.tm_min, at.tm_sec, (int)fraction_us);
}

void audit_value_print(struct buffer *out, const struct field *field, const struct audit_value *value)
{
	switch (value->kind) {
	case AUDIT_NULL:
		buffer_append_text(out, "nothing");
		break;
	case AUDIT_TEXT:
		buffer_append_text(out, "'");
		buffer_append(out, value->text.data, value->text.len);
		buffer_append_text(out, "'");
		break;
	case AUDIT_FOREIGN:
		buffer_append(out, value->text.data, value->text.len);
		break;
	case AUDIT_NUMBER:
		audit_sum_print(out, value->number, field != NULL && field->type == FIELD_DECIMAL ? field->scale : 0);
		break;
	case AUDIT_TIME:
		print_time(out, value->number);
		break;
	case AUDIT_INSTANT:
		print_time(out, value->number);
		buffer_append_text(out, "Z");
		break;
	}
}

void content_print(struct buffer *out, const struct pipeline *pipeline, struct bytes content, const struct bytes *other)
{
	struct audit_value value, against;
	struct bytes rest = other != NULL ? *other : (struct bytes){0};
	const char *comma = "";
	for (size_t i = 0; content_next(&content, &value); i++) {
		bool same = other != NULL && content_next(&rest, &against) && value.kind == against.kind &&
		            value.number == against.number && bytes_equal(value.text, against.text);
		if (same || (other == NULL && value.kind == AUDIT_NULL))
			continue;
		/* Behind the declared fields: what a document has beside them. */
		const struct field *field = i < pipeline->record.fields_len ? &pipeline->record.fields[i] : NULL;
		buffer_printf(out, "%s%s ", comma, field != NULL ? field->name : "and");
		audit_value_print(out, field, &value);
		comma = ", ";
	}
}

void audit_bytes_print(struct buffer *out, struct bytes bytes, size_t bytes_max)
{
	for (size_t i = 0; i < bytes.len && i < bytes_max; i++) {
		uint8_t byte = bytes.data[i];
		if (byte >= 0x20 && byte < 0x7f && byte != '\\')
			buffer_append(out, &byte, 1);
		else
			buffer_printf(out, "\\x%02x", byte);
	}
	if (bytes.len > bytes_max)
		buffer_append_text(out, "...");
}
