#include "services/producer/poison.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/error.h"

enum { LARGE_BYTES = 900000, LARGE_EVERY = 1000 };

/* What is done to the JSON text. */
enum spoil {
	SPOIL_WHOLE, /* the text is `with` */
	SPOIL_VALUE, /* the value of `field` becomes `with` */
	SPOIL_NAME, /* the field is called `with` */
	SPOIL_TRUNCATE, /* the last third is missing */
	SPOIL_ARRAY, /* in brackets */
	SPOIL_LONG, /* the value of `field` is a text of 300 characters */
	SPOIL_TOMBSTONE,
	SPOIL_LARGE, /* a text field of 900 kB */
};

struct poison {
	const char *name;
	enum spoil spoil;
	const char *field;
	const char *with;
	size_t with_len; /* 0: strlen */
};

static const struct poison table[] = {
    {"not_json", SPOIL_WHOLE, NULL, "this is not JSON", 0}, {"truncated", SPOIL_TRUNCATE, NULL, NULL, 0},
    {"array", SPOIL_ARRAY, NULL, NULL, 0}, {"missing_field", SPOIL_NAME, "total_amount", "total_amounts", 0},
    {"null_field", SPOIL_VALUE, "product_category", "null", 0},
    {"wrong_type", SPOIL_VALUE, "product_category", "{\"a\": 1}", 0},
    {"text_as_number", SPOIL_VALUE, "total_amount", "\"twelve\"", 0},
    {"fraction_as_quantity", SPOIL_VALUE, "product_quantity", "1.5", 0},
    {"too_long", SPOIL_LONG, "product_category", NULL, 0},
    {"amount_out_of_range", SPOIL_VALUE, "total_amount", "123456789012.34", 0},
    {"nan", SPOIL_VALUE, "total_amount", "NaN", 0}, {"amount_1e400", SPOIL_VALUE, "total_amount", "1e400", 0},
    {"invalid_utf8", SPOIL_VALUE, "product_category", "\"caf\xe9 \xff\"", 0},
    {"nul_in_text", SPOIL_VALUE, "product_category", "\"a\\u0000b\"", 0},
    {"no_time", SPOIL_VALUE, "transaction_date", "\"yesterday\"", 0},
    {"absurd_time", SPOIL_VALUE, "transaction_date", "\"9999999-01-01T00:00:00Z\"", 0},
    {"far_future", SPOIL_VALUE, "transaction_date", "\"9000-01-01T00:00:00.000000+0000\"", 0},
    {"null_bytes", SPOIL_WHOLE, NULL, "\0\0\0\0", 4}, {"empty", SPOIL_WHOLE, NULL, "", 0},
    {"tombstone", SPOIL_TOMBSTONE, NULL, NULL, 0},
    {"large", SPOIL_LARGE, "product_name", NULL, 0}, /* last: see poison_kind_of */
};

size_t poison_kinds(void)
{
	return sizeof table / sizeof table[0];
}

const char *poison_name(size_t kind)
{
	return table[kind].name;
}

size_t poison_kind_of(uint64_t n)
{
	size_t small = poison_kinds() - 1;
	if (n % LARGE_EVERY == small)
		return small;
	return (size_t)(n % small);
}

/* Where `"field": ` stands, and where its value begins and ends. Our own JSON: values hold no commas or braces. */
static char *field_find(const struct buffer *json, const char *field, char **value, char **value_end)
{
	char *text = (char *)json->data, *end = text + json->len;
	size_t len = strlen(field);
	char *name = memmem(text, json->len, field, len);
	CHECK(name != NULL);
	*value = name + len + strlen("\": ");
	char *at = *value;
	while (at < end && *at != ',' && *at != '}')
		at++;
	*value_end = at;
	return name;
}

static void text_replace(struct buffer *json, const char *from, const char *to, const char *with, size_t with_len)
{
	struct buffer made = {0};
	const char *text = (const char *)json->data;
	buffer_append(&made, text, (size_t)(from - text));
	buffer_append(&made, with, with_len);
	buffer_append(&made, to, (size_t)(text + json->len - to));
	buffer_fini(json);
	*json = made;
}

static void value_fill(struct buffer *json, const char *field, size_t len)
{
	char *value, *value_end, *text = memory_new(len + 2);
	(void)field_find(json, field, &value, &value_end);
	memset(text, 'x', len + 2);
	text[0] = text[len + 1] = '"';
	text_replace(json, value, value_end, text, len + 2);
	free(text);
}

bool poison_spoil(struct transaction *transaction, size_t kind)
{
	const struct poison *poison = &table[kind];
	struct buffer *json = &transaction->json;
	size_t with_len = poison->with == NULL || poison->with_len > 0 ? poison->with_len : strlen(poison->with);
	char *name, *value, *value_end;
	switch (poison->spoil) {
	case SPOIL_WHOLE:
		buffer_clear(json);
		buffer_append(json, poison->with, with_len);
		return true;
	case SPOIL_VALUE:
		(void)field_find(json, poison->field, &value, &value_end);
		text_replace(json, value, value_end, poison->with, with_len);
		return true;
	case SPOIL_NAME:
		name = field_find(json, poison->field, &value, &value_end);
		text_replace(json, name, name + strlen(poison->field), poison->with, with_len);
		return true;
	case SPOIL_TRUNCATE:
		json->len = json->len * 2 / 3;
		return true;
	case SPOIL_ARRAY: {
		const char *text = (const char *)json->data;
		text_replace(json, text, text, "[", 1);
		buffer_append(json, "]", 1);
		return true;
	}
	case SPOIL_LONG:
		value_fill(json, poison->field, 300);
		return true;
	case SPOIL_TOMBSTONE:
		return false;
	case SPOIL_LARGE:
		value_fill(json, poison->field, LARGE_BYTES);
		return true;
	}
	panic("poison %zu has no spoil", kind);
}
