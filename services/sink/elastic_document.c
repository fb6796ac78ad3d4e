/* services/sink/elastic_document.c - see elastic_document.h. */
#include "services/sink/elastic_document.h"

#include <stdio.h>
#include <string.h>

#include "common/base/decimal.h"
#include "common/base/mutant.h"

enum { NUMBER_MAX = 24, TIME_MAX = 36 /* with quotes and offset */, ESCAPED_MAX = 6 /* bytes for one */ };
#define SECOND_US INT64_C(1000000)
#define MINUTE_US (60 * SECOND_US)
#define DAY_US (1440 * MINUTE_US)

/* --- the plan ---------------------------------------------------------------------------------------------------- */

enum result document_plan_init(struct document_plan *plan, const struct pipeline *pipeline, struct error *error)
{
	*plan = (struct document_plan){.pipeline = pipeline, .day = INT32_MIN, .index_day = INT32_MIN};
	if (time_zone_open(&plan->zone, pipeline->record.time_zone, error) != RESULT_OK)
		return RESULT_CONFIG;
	plan->dated = strchr(pipeline->sinks.elasticsearch.index, '%') != NULL;
	plan->fields_len = pipeline->record.fields_len;
	for (size_t i = 0; i < plan->fields_len; i++) {
		const struct field *field = &pipeline->record.fields[i];
		plan->fields[i].type = field->type;
		plan->fields[i].scale = field->type == FIELD_DECIMAL ? field->scale : 0;
		buffer_printf(&plan->fields[i].name, ",\"%s\":", field->name); /* letters, digits and _ only */
	}
	return RESULT_OK;
}

void document_plan_fini(struct document_plan *plan)
{
	for (size_t i = 0; i < plan->fields_len; i++)
		buffer_fini(&plan->fields[i].name);
	*plan = (struct document_plan){0};
}

void index_stem(const char *pattern, char out[INDEX_NAME_MAX])
{
	size_t len = strcspn(pattern, "%");

	if (pattern[len] == '%')
		while (len > 0 && strchr("-_.", pattern[len - 1]) != NULL)
			len--;
	(void)snprintf(out, INDEX_NAME_MAX, "%.*s", (int)len, pattern);
}

/* --- which index ------------------------------------------------------------------------------------------------- */

static int32_t row_day(const struct document_plan *plan, const struct row *row)
{
	const struct value *at = &row->values[plan->pipeline->record.event_time];
	if (MUTANT(index_by_utc) && at->kind == VALUE_INTEGER) {
		struct time_zone zone = plan->zone;
		return day_of(time_zone_instant(&zone, at->integer));
	}
	return at->kind == VALUE_INTEGER ? day_of(at->integer) : 0;
}

static uint32_t day_period(const struct document_plan *plan, int32_t day)
{
	const char *pattern = plan->pipeline->sinks.elasticsearch.index;
	struct civil civil = civil_from_day(day);
	uint32_t period = 0;

	if (strstr(pattern, "%Y") != NULL)
		period += (uint32_t)civil.year * 10000;
	if (strstr(pattern, "%m") != NULL)
		period += (uint32_t)civil.month * 100;
	if (strstr(pattern, "%d") != NULL)
		period += (uint32_t)civil.day;
	return period;
}

static void index_print(const char *pattern, int32_t day, char out[INDEX_NAME_MAX])
{
	struct civil civil = civil_from_day(day);
	size_t len = 0;

	for (const char *at = pattern; *at != '\0'; at++) {
		if (*at != '%')
			out[len++] = *at;
		else if (*++at == 'Y')
			len += (size_t)snprintf(out + len, 8, "%04d", (int)civil.year);
		else
			len += (size_t)snprintf(out + len, 8, "%02d", (int)(*at == 'm' ? civil.month : civil.day));
	}
	out[len] = '\0'; /* at most 180 letters, and a date is as long as its pattern or twice that */
}

static void index_of_day(struct document_plan *plan, int32_t day)
{
	if (day == plan->index_day)
		return;
	index_print(plan->pipeline->sinks.elasticsearch.index, day, plan->index);
	plan->index_day = day;
}

uint32_t document_period(const struct document_plan *plan, const struct row *row)
{
	return plan->dated ? day_period(plan, row_day(plan, row)) : 0;
}

const char *document_index(struct document_plan *plan, const struct row *row)
{
	if (!plan->dated)
		return plan->pipeline->sinks.elasticsearch.index;
	index_of_day(plan, row_day(plan, row));
	return plan->index;
}

/* --- values ------------------------------------------------------------------------------------------------------ */

static uint8_t *put(uint8_t *at, const void *data, size_t len)
{
	memcpy(at, data, len);
	return at + len;
}

/* Everything below a space, the quote and the backslash. */
static uint8_t *text_put(uint8_t *at, struct bytes text)
{
	static const char hex[] = "0123456789abcdef";
	const uint8_t *from = text.data, *end = text.data + text.len;

	*at++ = '"';
	for (; from < end; from++) {
		uint8_t letter = *from;
		if (letter >= ' ' && letter != '"' && letter != '\\') {
			*at++ = letter;
			continue;
		}
		*at++ = '\\';
		if (letter >= ' ') {
			*at++ = letter;
		} else if (letter == '\n' || letter == '\t' || letter == '\r') {
			*at++ = letter == '\n' ? 'n' : letter == '\t' ? 't' : 'r';
		} else {
			at = put(at, "u00", 3);
			*at++ = (uint8_t)hex[letter >> 4];
			*at++ = (uint8_t)hex[letter & 15];
		}
	}
	*at++ = '"';
	return at;
}

static uint8_t *digits_put(uint8_t *at, uint64_t number, int least)
{
	uint8_t turned[NUMBER_MAX];
	int len = 0;

	for (; number > 0 || len < least; number /= 10)
		turned[len++] = (uint8_t)('0' + number % 10);
	while (len > 0)
		*at++ = turned[--len];
	return at;
}

static uint8_t *integer_put(uint8_t *at, int64_t number)
{
	if (number < 0)
		*at++ = '-';
	return digits_put(at, number < 0 ? 0 - (uint64_t)number : (uint64_t)number, 1);
}

/* -5 with scale 2 is -0.05. */
static uint8_t *decimal_put(uint8_t *at, int64_t minor, int scale)
{
	static const uint64_t powers[DECIMAL_PRECISION_MAX + 1] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000,
	    100000000, 1000000000, 10000000000, 100000000000, 1000000000000, 10000000000000, 100000000000000,
	    1000000000000000, 10000000000000000, 100000000000000000, 1000000000000000000};
	uint64_t size = minor < 0 ? 0 - (uint64_t)minor : (uint64_t)minor;

	if (minor < 0)
		*at++ = '-';
	at = digits_put(at, size / powers[scale], 1);
	if (scale > 0) {
		*at++ = '.';
		at = digits_put(at, size % powers[scale], scale);
	}
	return at;
}

static void day_print_once(struct document_plan *plan, int32_t day)
{
	if (day == plan->day)
		return;
	(void)day_print(day, plan->day_text);
	plan->day = day;
}

static uint8_t *two_digits(uint8_t *at, int64_t number)
{
	*at++ = (uint8_t)('0' + number / 10);
	*at++ = (uint8_t)('0' + number % 10);
	return at;
}

/* An offset is of whole minutes here: where the zone's has seconds too (Liberia in 1972), the clock is moved by them, and
 * the instant is the same. NULL: no year that a document can have. */
static uint8_t *time_put(struct document_plan *plan, uint8_t *at, int64_t wall_us)
{
	int64_t offset_us = wall_us - time_zone_instant(&plan->zone, wall_us);
	int64_t over_us = offset_us % MINUTE_US, minutes = offset_us / MINUTE_US;

	wall_us -= over_us;
	if (wall_us < 0 || day_of(wall_us) > day_from_civil((struct civil){9999, 12, 31}))
		return NULL;
	day_print_once(plan, (int32_t)(wall_us / DAY_US));
	int64_t clock_us = wall_us % DAY_US, second = clock_us / SECOND_US;
	*at++ = '"';
	at = put(at, plan->day_text, 10);
	*at++ = 'T';
	at = two_digits(at, second / 3600);
	*at++ = ':';
	at = two_digits(at, second / 60 % 60);
	*at++ = ':';
	at = two_digits(at, second % 60);
	*at++ = '.';
	at = digits_put(at, (uint64_t)(clock_us % SECOND_US), 6);
	*at++ = minutes < 0 ? '-' : '+';
	minutes = minutes < 0 ? -minutes : minutes;
	at = two_digits(at, minutes / 60);
	*at++ = ':';
	at = two_digits(at, minutes % 60);
	*at++ = '"';
	return at;
}

/* NULL: the value is not of the field's type. */
static uint8_t *value_put(
    struct document_plan *plan, uint8_t *at, const struct document_field *field, const struct value *value)
{
	if ((value->kind == VALUE_TEXT) != (field->type == FIELD_STRING))
		return NULL;
	switch (field->type) {
	case FIELD_STRING:
		return text_put(at, value->text);
	case FIELD_INTEGER:
		return integer_put(at, value->integer);
	case FIELD_DECIMAL:
		return decimal_put(at, value->integer, field->scale);
	case FIELD_TIMESTAMP:
		return time_put(plan, at, value->integer);
	}
	return NULL;
}

/* --- documents --------------------------------------------------------------------------------------------------- */

/* Names, numbers and times of all fields, and texts, all of whose letters may need an escape. */
static size_t room_for(const struct document_plan *plan, const struct row *row)
{
	return 2 + plan->fields_len * (PIPELINE_NAME_MAX + 4 + TIME_MAX + NUMBER_MAX) + ESCAPED_MAX * row->encoded.len;
}

bool document_put(struct document_plan *plan, const struct row *row, struct buffer *out)
{
	uint8_t *start = buffer_reserve(out, room_for(plan, row)), *at = start;

	if (row->values_len != plan->fields_len)
		return false;
	for (size_t i = 0; i < plan->fields_len; i++) {
		const struct document_field *field = &plan->fields[i];
		if (row->values[i].kind == VALUE_NULL)
			continue;
		at = put(at, field->name.data, field->name.len);
		at = value_put(plan, at, field, &row->values[i]);
		if (at == NULL)
			return false;
	}
	if (at == start)
		*at++ = ',';
	*start = '{'; /* where the first comma was */
	*at++ = '}';
	out->len += (size_t)(at - start);
	return true;
}

void document_put_action(struct document_plan *plan, const struct row *row, struct buffer *out)
{
	static const char plain[] = "{\"create\":{\"_id\":", dated[] = "{\"create\":{\"_index\":\"";
	struct bytes key = row->values[plan->pipeline->record.key].text;
	uint8_t *start = buffer_reserve(out, sizeof dated + INDEX_NAME_MAX + 32 + ESCAPED_MAX * key.len), *at = start;

	if (plan->dated) {
		const char *index = document_index(plan, row);
		at = put(at, dated, sizeof dated - 1);
		at = put(at, index, strlen(index));
		at = put(at, "\",\"_id\":", 8);
	} else {
		at = put(at, plain, sizeof plain - 1);
	}
	at = text_put(at, key);
	at = put(at, "}}\n", 3);
	out->len += (size_t)(at - start);
}
