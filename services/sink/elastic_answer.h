/* services/sink/elastic_answer.h - what Elasticsearch says, and what follows from it.
 *
 * Two shapes: the answer to a bulk request, whose items are read one by one while it comes in, and an error of a whole
 * request. Both are judged by one table: the status decides, and only where that is not enough the error's type.
 *
 * Ownership: a struct is reused from answer to answer; texts are valid until the next start.
 * Errors:    bulk_answer_end is false for anything that is not exactly an answer to that many items.
 * Limits:    a text of an error is cut at ERROR_WORDS_MAX bytes.
 */
#ifndef ELASTIC_ANSWER_H
#define ELASTIC_ANSWER_H

#include "common/base/sink_outcome.h"
#include "services/sink/elastic_http.h"
#include "services/sink/elastic_json.h"

enum { ERROR_WORDS_MAX = 512, ERROR_TYPE_MAX = 96 };

/* type and reason as Elasticsearch has them; reason with what caused it. */
struct elastic_error {
	char type[ERROR_TYPE_MAX];
	char reason[ERROR_WORDS_MAX];
};

enum elastic_verdict {
	ELASTIC_DONE, /* for create: stored now, or there already */
	ELASTIC_BUSY, /* later, and smaller */
	ELASTIC_AWAY, /* later */
	ELASTIC_TOO_LARGE, /* smaller */
	ELASTIC_REFUSED, /* this document, for good */
	ELASTIC_CONFLICT, /* of a compare-and-swap, or of a creation */
	ELASTIC_MISSING, /* an index or a document */
	ELASTIC_CONFIG, /* a person has to act */
};

/* What a status means, alone or with the error's type and the beginning of its reason (NULL: any): the first row that fits. */
struct elastic_judgement {
	long least, most; /* status */
	const char *type, *reason;
	enum elastic_verdict verdict;
	const char *why;
};
extern const struct elastic_judgement elastic_judgements[];
extern const size_t elastic_judgements_len;

/* type: "" where there is none. */
const struct elastic_judgement *elastic_judgement_of(long status, const char *type, const char *reason);
enum elastic_verdict elastic_judge(long status, const char *type, const char *reason);

/* An error of a whole request; a text that is no JSON becomes the reason. */
void elastic_error_read(const struct http_request *request, struct elastic_error *error);
/* One line for people: "http://h:9200: 403 security_exception: ...". */
void elastic_error_say(const struct http *http, const struct http_request *request, struct error *error,
    enum result code, const char *what);

/* What follows from an answer that is not the one hoped for, in words: UNKNOWN or CONFIG. sent false: the process is ending. */
enum sink_outcome elastic_trouble(
    const struct http *http, const struct http_request *request, bool sent, const char *what, struct error *error);

/* An item that was not stored. */
struct bulk_failure {
	uint32_t item;
	uint16_t status;
	struct elastic_error error;
};

struct bulk_answer {
	struct json_reader json;
	uint32_t expected; /* items */
	uint32_t items; /* told so far */
	uint16_t *statuses; /* of each; 0: not told */
	size_t capacity;
	struct bulk_failure *failures; /* whose status is neither 2xx nor 409, by item */
	size_t failures_len, failures_capacity;
	bool broken;
};

void bulk_answer_start(struct bulk_answer *answer, uint32_t expected);
/* An on_piece of http_request. */
bool bulk_answer_piece(void *context, struct bytes piece);
/* true: every item has been told, once. */
bool bulk_answer_end(struct bulk_answer *answer) MUST_USE;
void bulk_answer_fini(struct bulk_answer *answer);
/* What is asked for: all that is read, and no more. Documents are stored as they are sent: no pipeline by default. */
#define BULK_QUERY                                                                                                     \
	"pipeline=_none&filter_path=error.type,error.reason,status,items.*.status,items.*.error.type,items.*.error."   \
	"reason,"                                                                                                      \
	"items.*.error.caused_by.reason"

#endif
