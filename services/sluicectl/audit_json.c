/* services/sluicectl/audit_json.c - see audit_json.h. */
#include "services/sluicectl/audit_json.h"

#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "services/sluicectl/audit_number.h"

enum { DEPTH_MOST = 1024, YAJL_GO_ON = 1 };

/* --- a look over the bytes ------------------------------------------------------------------------------------- */

/* The length of the character that begins here; 0: these bytes are none. */
static size_t utf8_character(const uint8_t *at, size_t left)
{
	static const struct {
		uint8_t first, last; /* of the first byte */
		uint8_t least, most; /* of the second byte */
		size_t len;
	} forms[] = {
	    {0xc2, 0xdf, 0x80, 0xbf, 2},
	    {0xe0, 0xe0, 0xa0, 0xbf, 3},
	    {0xe1, 0xec, 0x80, 0xbf, 3},
	    {0xed, 0xed, 0x80, 0x9f, 3},
	    {0xee, 0xef, 0x80, 0xbf, 3},
	    {0xf0, 0xf0, 0x90, 0xbf, 4},
	    {0xf1, 0xf3, 0x80, 0xbf, 4},
	    {0xf4, 0xf4, 0x80, 0x8f, 4},
	};
	if (*at < 0x80)
		return 1;
	for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
		if (*at < forms[i].first || *at > forms[i].last)
			continue;
		if (left < forms[i].len || at[1] < forms[i].least || at[1] > forms[i].most)
			return 0;
		for (size_t next = 2; next < forms[i].len; next++)
			if ((at[next] & 0xc0) != 0x80)
				return 0;
		return forms[i].len;
	}
	return 0;
}

static bool is_utf8(struct bytes text)
{
	for (size_t at = 0, len; at < text.len; at += len)
		if ((len = utf8_character(text.data + at, text.len - at)) == 0)
			return false;
	return true;
}

/* The four hexadecimal digits behind \u; -1 where there are none. */
static int escaped_unit(struct bytes text, size_t backslash)
{
	int unit = 0;
	if (backslash + 6 > text.len || text.data[backslash] != '\\' || text.data[backslash + 1] != 'u')
		return -1;
	for (size_t i = backslash + 2; i < backslash + 6; i++) {
		uint8_t digit = text.data[i];
		if (digit >= '0' && digit <= '9')
			unit = unit * 16 + digit - '0';
		else if ((digit | 0x20) >= 'a' && (digit | 0x20) <= 'f')
			unit = unit * 16 + (digit | 0x20) - 'a' + 10;
		else
			return -1;
	}
	return unit;
}

/* What is found in one walk from the left. */
struct look {
	bool in_string, broken; /* broken: no JSON, for whatever reason */
	int control; /* the first control character in a string; -1: none */
	unsigned depth;
	size_t pair_end; /* where the second half of a surrogate pair ends */
	/* The document's value: libyajl 2.1 does not see the begin of a token behind it. */
	bool begun, over; /* over: of what is not within it, only white space may follow */
	struct bytes bare; /* the value, if it is neither a string nor an object nor an array */
};

/* At a backslash in a string. */
static void look_at_escape(struct look *look, struct bytes text, size_t at)
{
	int unit = escaped_unit(text, at);
	if (unit < 0xd800 || unit > 0xdfff || at < look->pair_end)
		return;
	int second = unit < 0xdc00 ? escaped_unit(text, at + 6) : -1;
	if (second < 0xdc00 || second > 0xdfff)
		look->broken = true;
	else
		look->pair_end = at + 12;
}

static bool is_space(uint8_t byte)
{
	return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

/* Neither in a string nor in an object nor in an array. */
static void look_at_top(struct look *look, const uint8_t *at)
{
	bool opens = *at == '"' || *at == '{' || *at == '[';
	if (is_space(*at)) {
		look->over = look->begun;
		return;
	}
	look->broken = look->broken || look->over || (opens && look->begun);
	if (!look->begun && !opens)
		look->bare.data = at;
	if (!opens)
		look->bare.len++;
	look->begun = true;
	look->over = look->over || opens;
}

static void look_outside(struct look *look, const uint8_t *at)
{
	if (look->depth == 0)
		look_at_top(look, at);
	if (*at == '"') {
		look->in_string = true;
	} else if (*at == '{' || *at == '[') {
		look->depth++;
		look->broken = look->broken || look->depth > DEPTH_MOST;
	} else if (*at == '}' || *at == ']') {
		look->depth -= look->depth > 0;
	} else if (*at < 0x20 && !is_space(*at)) {
		look->broken = true;
	}
}

static bool is_bare_value(struct bytes text)
{
	static const char *const words[] = {"true", "false", "null"};
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (bytes_equal(text, (struct bytes){(const uint8_t *)words[i], strlen(words[i])}))
			return true;
	return number_is_json(text);
}

static const char *look_over(struct bytes text)
{
	struct look look = {.control = -1};
	for (size_t at = 0; at < text.len; at++) {
		if (!look.in_string) {
			look_outside(&look, text.data + at);
			continue;
		}
		if (text.data[at] == '\\') {
			look_at_escape(&look, text, at);
			at++; /* the next byte belongs to the escape, whatever it is */
		} else if (text.data[at] == '"') {
			look.in_string = false;
		} else if (text.data[at] < 0x20 && look.control < 0) {
			look.control = text.data[at];
		}
	}
	if (look.bare.data != NULL && !look.broken)
		look.broken = !is_bare_value(look.bare);
	if (look.control == 0)
		return "nul_in_text";
	return look.broken || look.control > 0 ? "invalid_json" : NULL;
}

/* --- what libyajl finds ---------------------------------------------------------------------------------------- */

static void take_value(struct document *document, enum document_kind kind, const void *text, size_t len)
{
	if (document->depth != 1 || document->next == NULL)
		return;
	*document->next = (struct document_value){kind, document->texts.len, len};
	if (len > 0)
		buffer_append(&document->texts, text, len);
	document->next = NULL;
}

static int on_null(void *context)
{
	take_value(context, DOCUMENT_NULL, NULL, 0);
	return YAJL_GO_ON;
}

static int on_boolean(void *context, int value)
{
	(void)value;
	take_value(context, DOCUMENT_OTHER, NULL, 0);
	return YAJL_GO_ON;
}

static int on_number(void *context, const char *text, size_t len)
{
	take_value(context, DOCUMENT_NUMBER, text, len);
	return YAJL_GO_ON;
}

static int on_string(void *context, const unsigned char *text, size_t len)
{
	take_value(context, DOCUMENT_STRING, text, len);
	return YAJL_GO_ON;
}

static int on_array(void *context)
{
	struct document *document = context;
	take_value(document, DOCUMENT_OTHER, NULL, 0);
	document->depth++;
	return YAJL_GO_ON;
}

static int on_object(void *context)
{
	struct document *document = context;
	if (document->depth == 0)
		document->is_object = true;
	return on_array(context);
}

static int on_end(void *context)
{
	struct document *document = context;
	document->depth--;
	return YAJL_GO_ON;
}

/* Names mostly come in the same order in every record. */
static const struct document_name *name_find(struct document *document, struct bytes text)
{
	for (size_t i = 0; i < document->names_len; i++) {
		size_t place = (document->names_guess + i) % document->names_len;
		if (bytes_equal(document->names[place].text, text)) {
			document->names_guess = place + 1;
			return &document->names[place];
		}
	}
	return NULL;
}

static int on_name(void *context, const unsigned char *text, size_t len)
{
	struct document *document = context;
	if (document->depth != 1)
		return YAJL_GO_ON;
	const struct document_name *name = name_find(document, (struct bytes){text, len});
	document->next = NULL;
	if (name == NULL)
		document->unknown++;
	else if (document->values[name->field].kind == DOCUMENT_ABSENT)
		document->next = &document->values[name->field];
	return YAJL_GO_ON;
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_object,
    .yajl_map_key = on_name,
    .yajl_end_map = on_end,
    .yajl_start_array = on_array,
    .yajl_end_array = on_end,
};

/* --- the document ---------------------------------------------------------------------------------------------- */

void document_init(struct document *document, const struct pipeline *pipeline)
{
	*document = (struct document){.fields_len = pipeline->record.fields_len};
	document->names =
	    memory_new(pipeline->record.fields_len * (PIPELINE_ALIASES_MAX + 1) * sizeof document->names[0]);
	for (size_t i = 0; i < pipeline->record.fields_len; i++) {
		const struct field *field = &pipeline->record.fields[i];
		for (size_t j = 0; j <= field->aliases_len; j++) {
			const char *name = j == 0 ? field->name : field->aliases[j - 1];
			document->names[document->names_len++] =
			    (struct document_name){{(const uint8_t *)name, strlen(name)}, i};
		}
	}
}

void document_fini(struct document *document)
{
	free(document->names);
	buffer_fini(&document->texts);
}

static bool is_blank(struct bytes payload)
{
	for (size_t i = 0; i < payload.len; i++)
		if (payload.data[i] == '\0' || strchr(" \t\r\n", payload.data[i]) == NULL)
			return false;
	return true;
}

const char *document_read(struct document *document, struct bytes payload)
{
	for (size_t i = 0; i < document->fields_len; i++)
		document->values[i] = (struct document_value){0};
	document->unknown = document->depth = 0;
	document->names_guess = 0;
	document->is_object = false;
	document->next = NULL;
	buffer_clear(&document->texts);
	if (is_blank(payload))
		return "empty";
	if (!is_utf8(payload))
		return "invalid_utf8";
	const char *reason = look_over(payload);
	if (reason != NULL)
		return reason;
	yajl_handle yajl = yajl_alloc(&callbacks, NULL, document);
	if (yajl == NULL)
		panic("libyajl is out of memory");
	bool whole = yajl_parse(yajl, payload.data, payload.len) == yajl_status_ok &&
	             yajl_complete_parse(yajl) == yajl_status_ok;
	yajl_free(yajl);
	if (!whole)
		return "invalid_json";
	return document->is_object ? NULL : "not_an_object";
}

struct bytes document_text(const struct document *document, size_t field)
{
	const struct document_value *value = &document->values[field];
	if (value->len == 0)
		return (struct bytes){(const uint8_t *)"", 0};
	return (struct bytes){document->texts.data + value->at, value->len};
}
