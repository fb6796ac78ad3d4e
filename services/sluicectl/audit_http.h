/* services/sluicectl/audit_http.h - requests to Elasticsearch, by libcurl; one at a time.
 *
 * The first host that answers is kept until it fails; then the others are asked in turn. What is asked twice must be
 * harmless: the next page of a scroll is not (HTTP_ONCE).
 *
 * Ownership: settings are borrowed from http_open to http_close; an answer is until the next request.
 * Errors:    RETRY: no host answers, or says 429 or 5xx for too long. CONFIG: what no repetition changes: an address that is
 *            none, a certificate that is not accepted, 401 and 403, a closed index. Any other status is the caller's to judge.
 *            No text names a credential.
 * Blocking:  until the answer: HTTP_STALL_S without a byte end a request.
 * Limits:    HTTP_ANSWER_BYTES of an answer.
 */
#ifndef AUDIT_HTTP_H
#define AUDIT_HTTP_H

#include "common/base/buffer.h"
#include "common/base/error.h"
#include "common/base/pipeline.h"

enum { HTTP_ANSWER_BYTES = 64 << 20, HTTP_CONNECT_S = 5, HTTP_STALL_S = 60, HTTP_TRIES = 4 };

enum http_repeat { HTTP_ONCE, HTTP_AGAIN };

struct http {
	void *curl;
	void *headers;
	const struct elasticsearch *settings;
	size_t host; /* the one asked last: its place in settings->urls */
	struct buffer url, answer;
	long status;
	char trouble[256]; /* what libcurl says of a request that failed */
};

enum result http_open(struct http *http, const struct elasticsearch *settings, struct error *error) MUST_USE;
void http_close(struct http *http);

/* path begins with a slash and is encoded already; body.data NULL: none. Fills status and answer. */
enum result http_ask(struct http *http, const char *method, const char *path, struct bytes body,
    enum http_repeat repeat, struct error *error) MUST_USE;
/* One part of a path or of a query: what is neither letter, digit nor one of -._~ as %XX. */
void http_encode(struct buffer *out, const char *text);

#endif
