/* services/ingest/json_reader.c - JSON's grammar over the tokens that json_index found. See json_reader.h.
 *
 * Tokens are known by their first byte only. Where one ends follows from where the next begins, without the white space
 * in between; so nothing can hide between two tokens, and every byte of the document is looked at here or was there.
 */
#include "services/ingest/json_reader.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/error.h"
#include "services/ingest/json_index.h"
#include "services/ingest/json_text.h"

enum { PADDING = 64 };

void json_reader_init(struct json_reader *reader, size_t document_max)
{
	*reader = (struct json_reader){.index = json_index_new(document_max)};
	if (reader->index == NULL)
		panic("out of memory (index of a document of %zu bytes)", document_max);
	reader->document = memory_resize(NULL, document_max + PADDING, 1);
}

void json_reader_fini(struct json_reader *reader)
{
	json_index_free(reader->index);
	free(reader->document);
	*reader = (struct json_reader){0};
}

static bool invalid_at(struct json_reader *reader, size_t at, const char *problem)
{
	reader->problem = problem;
	reader->problem_at = at;
	return false;
}

static bool invalid(struct json_reader *reader, const char *problem)
{
	return invalid_at(reader, reader->starts[reader->at], problem);
}

/* The first byte of the token to read next; 0 behind the last one (and for a NUL, which nobody expects either). */
static uint8_t token_first(const struct json_reader *reader)
{
	return reader->document[reader->starts[reader->at]];
}

static bool is_space(uint8_t byte)
{
	return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

/* Takes the next token, all of it. There is one. */
static struct bytes token_take(struct json_reader *reader)
{
	const uint8_t *begin = reader->document + reader->starts[reader->at];
	const uint8_t *end = reader->document + reader->starts[reader->at + 1];

	while (end > begin + 1 && is_space(end[-1]))
		end--;
	reader->at++;
	return (struct bytes){begin, (size_t)(end - begin)};
}

static bool take_if(struct json_reader *reader, uint8_t first)
{
	if (token_first(reader) != first)
		return false;
	reader->at++;
	return true;
}

/* ---- strings ---- */

static bool escapes_check(struct json_reader *reader, struct json_value *string)
{
	const uint8_t *at = string->text.data, *end = at + string->text.len;

	while ((at = memchr(at, '\\', (size_t)(end - at))) != NULL) {
		size_t len = json_escape_len(at, end);

		if (len == 0)
			return invalid_at(reader, (size_t)(at - reader->document), "a broken escape");
		string->escaped = true;
		at += len;
	}
	return true;
}

/* The next token is a string. The index refuses strings without an end, so its quotes are in place. */
static bool string_read(struct json_reader *reader, struct json_value *value)
{
	size_t begin = reader->starts[reader->at];
	struct bytes token = token_take(reader);

	if (token.len < 2 || token.data[token.len - 1] != '"')
		return invalid_at(reader, begin, "a string expected");
	*value = (struct json_value){JSON_STRING, false, {token.data + 1, token.len - 2}};
	return !reader->escapes || escapes_check(reader, value);
}

/* ---- numbers and words ---- */

static bool word_is(struct bytes token, const char *word)
{
	return token.len == strlen(word) && memcmp(token.data, word, token.len) == 0;
}

/* A token that is neither a string nor one of {}[]:, */
static bool word_read(struct json_reader *reader, struct json_value *value)
{
	size_t begin = reader->starts[reader->at];
	struct bytes token = token_take(reader);

	*value = (struct json_value){JSON_NUMBER, false, token};
	if (json_number_valid(token))
		return true;
	value->kind = JSON_NULL;
	if (word_is(token, "null"))
		return true;
	value->kind = JSON_BOOLEAN;
	if (word_is(token, "true") || word_is(token, "false"))
		return true;
	return invalid_at(reader, begin, "a value expected");
}

/* ---- objects and arrays ---- */

/* A name and the colon behind it. */
static bool name_read(struct json_reader *reader, struct json_value *name)
{
	if (token_first(reader) != '"')
		return invalid(reader, "a name in quotes expected");
	if (!string_read(reader, name))
		return false;
	return take_if(reader, ':') || invalid(reader, "':' expected");
}

static bool scalar_read(struct json_reader *reader, struct json_value *value)
{
	if (reader->at == reader->count)
		return invalid(reader, "a value expected, not the end");
	return token_first(reader) == '"' ? string_read(reader, value) : word_read(reader, value);
}

/* What is open while nested values are walked over. */
struct nesting {
	uint8_t closer[JSON_DEPTH_MAX];
	unsigned depth, depth_max;
};

/* Behind a value: closes what ends here, and reads up to where the next value has to begin, if there is one. */
static bool nesting_go_on(struct json_reader *reader, struct nesting *nesting)
{
	struct json_value name;

	while (nesting->depth > 0) {
		uint8_t closer = nesting->closer[nesting->depth - 1];

		if (take_if(reader, closer)) {
			nesting->depth--;
			continue;
		}
		if (!take_if(reader, ','))
			return invalid(reader, closer == '}' ? "',' or '}' expected" : "',' or ']' expected");
		return closer == ']' || name_read(reader, &name);
	}
	return true;
}

/* The next token is { or [. Leaves the depth as it was where there is nothing in it. */
static bool nesting_open(struct json_reader *reader, struct nesting *nesting, bool *empty)
{
	struct json_value name;
	uint8_t closer = token_first(reader) == '{' ? '}' : ']';

	if (nesting->depth == nesting->depth_max)
		return invalid(reader, "nested too deeply");
	reader->at++;
	*empty = take_if(reader, closer);
	if (*empty)
		return true;
	nesting->closer[nesting->depth++] = closer;
	return closer == ']' || name_read(reader, &name);
}

/* The next token is { or [: walks over all that is in it, without recursion. */
static bool nested_skip(struct json_reader *reader, unsigned depth_max)
{
	struct nesting nesting;
	struct json_value value;

	nesting.depth = 0;
	nesting.depth_max = depth_max;
	do {
		bool ended = true;

		if (token_first(reader) == '{' || token_first(reader) == '[') {
			if (!nesting_open(reader, &nesting, &ended))
				return false;
		} else if (!scalar_read(reader, &value)) {
			return false;
		}
		if (ended && !nesting_go_on(reader, &nesting))
			return false;
	} while (nesting.depth > 0);
	return true;
}

static bool value_read(struct json_reader *reader, struct json_value *value, unsigned depth_max)
{
	uint8_t first = token_first(reader);
	const uint8_t *begin = reader->document + reader->starts[reader->at], *end;

	if (first != '{' && first != '[')
		return scalar_read(reader, value);
	if (!nested_skip(reader, depth_max))
		return false;
	end = reader->document + reader->starts[reader->at - 1] + 1;
	*value = (struct json_value){first == '{' ? JSON_OBJECT : JSON_ARRAY, false, {begin, (size_t)(end - begin)}};
	return true;
}

/* ---- the document ---- */

/* The first control character in a string, or len. Quotes are paired from the beginning of the document. */
static size_t control_find(const struct json_reader *reader)
{
	bool inside = false;

	for (size_t i = 0; i < reader->len; i++) {
		uint8_t byte = reader->document[i];

		if (inside && byte < 0x20)
			return i;
		if (inside && byte == '\\')
			i++;
		else if (byte == '"')
			inside = !inside;
	}
	return reader->len;
}

/* Why a document is not valid. Seldom needed, and a function of its bytes alone: what the index and the walk met first
 * would differ between processors. */
static enum json_step diagnose(struct json_reader *reader)
{
	size_t control;

	if (!json_index_utf8(reader->index, reader->document, reader->len))
		return JSON_NOT_UTF8;
	control = control_find(reader);
	if (control == reader->len)
		return JSON_INVALID;
	if (reader->document[control] == 0)
		return JSON_NUL;
	invalid_at(reader, control, "a control character in a string");
	return JSON_INVALID;
}

static enum json_step index_broken(struct json_reader *reader)
{
	invalid_at(reader, reader->len, "a string without an end");
	return diagnose(reader);
}

static bool end_read(struct json_reader *reader)
{
	return reader->at == reader->count || invalid(reader, "the end expected");
}

static enum json_step tokens_open(struct json_reader *reader)
{
	struct json_value value;

	reader->at = 0;
	reader->first = true;
	reader->escapes = memchr(reader->document, '\\', reader->len) != NULL;
	if (take_if(reader, '{'))
		return JSON_FIELD;
	return value_read(reader, &value, JSON_DEPTH_MAX) && end_read(reader) ? JSON_NOT_OBJECT : diagnose(reader);
}

enum json_step json_reader_open(struct json_reader *reader, struct bytes document)
{
	if (document.len == 0)
		return JSON_EMPTY;
	memcpy(reader->document, document.data, document.len);
	memset(reader->document + document.len, 0, PADDING);
	reader->len = document.len;
	switch (json_index_build(reader->index, reader->document, reader->len, &reader->starts, &reader->count)) {
	case JSON_INDEX_OK:
		return tokens_open(reader);
	case JSON_INDEX_EMPTY:
		return JSON_EMPTY;
	case JSON_INDEX_BROKEN:
		return index_broken(reader);
	}
	panic("an index is whole or broken");
}

enum json_step json_reader_next(struct json_reader *reader, struct json_value *name, struct json_value *value)
{
	bool first = reader->first;

	reader->first = false;
	if (take_if(reader, '}'))
		return end_read(reader) ? JSON_END : diagnose(reader);
	if (!first && !take_if(reader, ',')) {
		invalid(reader, "',' or '}' expected");
		return diagnose(reader);
	}
	if (!name_read(reader, name) || !value_read(reader, value, JSON_DEPTH_MAX - 1))
		return diagnose(reader);
	return JSON_FIELD;
}
