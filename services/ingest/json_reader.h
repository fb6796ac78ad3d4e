/* services/ingest/json_reader.h - walks the top-level object of a JSON document, field by field.
 *
 * Everything is checked, also what nobody asks for: when json_reader_next says JSON_END, the whole document was valid
 * JSON as RFC 8259 has it (no byte order mark, no NaN, no lone surrogate), with nothing behind the object.
 *
 * Ownership: texts of names and values point into the reader's copy of the document, valid until the next open.
 * Limits:    document_max bytes; JSON_DEPTH_MAX levels, the top-level object being the first.
 * Threads:   one reader per thread.
 */
#ifndef JSON_READER_H
#define JSON_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"

struct json_index;

enum { JSON_DEPTH_MAX = 1024 };

enum json_kind { JSON_NULL, JSON_BOOLEAN, JSON_NUMBER, JSON_STRING, JSON_OBJECT, JSON_ARRAY };

struct json_value {
	enum json_kind kind;
	bool escaped; /* a string in which there are escapes: json_unescape makes its text */
	struct bytes text; /* as it stands in the document; a string without its quotes */
};

enum json_step {
	JSON_FIELD,
	JSON_END,
	JSON_EMPTY, /* nothing but white space */
	JSON_NOT_UTF8,
	JSON_NUL, /* not valid: the first control character in a string is a NUL */
	JSON_INVALID, /* not valid otherwise; problem says why */
	JSON_NOT_OBJECT, /* valid, but something else than an object */
};

struct json_reader {
	struct json_index *index;
	uint8_t *document; /* copied in, followed by room that may be read */
	size_t len;
	const uint32_t *starts; /* of tokens; starts[count] is len */
	uint32_t count, at;
	bool escapes; /* there is a backslash somewhere */
	bool first; /* no field was read yet */
	const char *problem; /* JSON_INVALID: what is wrong, */
	size_t problem_at; /* and at which byte */
};

/* Panics where there is no memory. */
void json_reader_init(struct json_reader *reader, size_t document_max);
void json_reader_fini(struct json_reader *reader);

/* JSON_FIELD: an object, go on with next. Otherwise what is wrong with the document; it is not to be read on. */
enum json_step json_reader_open(struct json_reader *reader, struct bytes document);
/* JSON_FIELD, JSON_END, or one of JSON_NOT_UTF8, JSON_NUL and JSON_INVALID. */
enum json_step json_reader_next(struct json_reader *reader, struct json_value *name, struct json_value *value);

#endif
