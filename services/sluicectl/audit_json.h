/* services/sluicectl/audit_json.h - the audit's own reading of JSON: which declared fields a payload has, and how written.
 *
 * libyajl decides whether a document is JSON. Where it is more generous than RFC 8259 (white space, halves of surrogate
 * pairs, the begin of a token behind the document) or silent (depth), and for what tests/vectors/README.md adds, one
 * look over the bytes goes before.
 *
 * Ownership: texts of values are borrowed until the next document_read.
 * Errors:    document_read answers NULL, or the reason of the dead letter.
 */
#ifndef AUDIT_JSON_H
#define AUDIT_JSON_H

#include "common/base/buffer.h"
#include "common/base/pipeline.h"

enum document_kind {
	DOCUMENT_ABSENT,
	DOCUMENT_NULL,
	DOCUMENT_STRING, /* text: without quotes and escapes */
	DOCUMENT_NUMBER, /* text: as it stands in the payload */
	DOCUMENT_OTHER, /* true, false, an object or an array */
};

struct document_value {
	enum document_kind kind;
	size_t at, len; /* of its text in texts */
};

/* A name in the JSON, and the field that it means. */
struct document_name {
	struct bytes text;
	size_t field;
};

struct document {
	struct document_name *names;
	size_t names_len, names_guess; /* names_guess: where the next name is likely to be found */
	size_t fields_len;
	struct document_value
	    values[PIPELINE_FIELDS_MAX]; /* by place in record.fields; the first one in the document */
	uint32_t unknown; /* names that are not declared */
	struct buffer texts;
	unsigned depth; /* while reading */
	bool is_object;
	struct document_value *next; /* whose value comes; NULL: of no interest */
};

void document_init(struct document *document, const struct pipeline *pipeline);
void document_fini(struct document *document);
const char *document_read(struct document *document, struct bytes payload);
struct bytes document_text(const struct document *document, size_t field);

#endif
