/* services/sink/elastic_http.h - requests to Elasticsearch, several at a time, on one thread.
 *
 * libcurl's multi interface with connections that are kept. Where a host does not answer, the next one of the pipeline's
 * is taken for a while; sending again is the caller's business.
 *
 * Ownership: a request is the caller's memory; its body is borrowed until it is done. Answers go to the request's reader,
 *            piece by piece, and a beginning of them into its text.
 * Errors:    request.failure: what happened in words, never with credentials; request.status 0: no answer.
 * Blocking:  http_wait only; it returns at once when stop_fd is readable.
 * Limits:    an answer is cut off behind answer_max bytes.
 */
#ifndef ELASTIC_HTTP_H
#define ELASTIC_HTTP_H

#include <curl/curl.h>

#include "common/base/pipeline.h"
#include "services/sink/elastic_wait.h"

enum { HTTP_ANSWER_MAX = 1 << 20, HTTP_TEXT_MAX = 512 };

struct http_request {
	/* to be set before http_start */
	const char *method; /* GET, HEAD, PUT, POST, DELETE */
	struct buffer path; /* with the query, from the / on */
	struct bytes body; /* NULL: none */
	bool lines; /* the body is lines of JSON, not a document */
	size_t answer_max; /* 0: HTTP_ANSWER_MAX */
	/* Takes a piece of an answer; NULL: the whole is put into answer. */
	bool (*on_piece)(void *context, struct bytes piece);
	void *context;
	/* filled */
	bool busy;
	bool done;
	long status; /* 0: there was no whole answer */
	struct buffer answer;
	char text[HTTP_TEXT_MAX]; /* how the answer begins, for people */
	size_t text_len;
	char failure[HTTP_TEXT_MAX]; /* status 0: why */
	bool late; /* status 0: the time was over */
	bool unsafe; /* the server's certificate or our own settings of TLS are wrong: trying again does not help */
	/* private */
	CURL *easy;
	struct http_request *next; /* of those under way */
	uint64_t started_us;
	size_t host;
	size_t bytes;
	struct buffer url, packed;
	char words[CURL_ERROR_SIZE];
};

struct http {
	const struct elasticsearch *settings;
	int stop_fd; /* readable: everything ends */
	bool stopped;
	CURLM *multi;
	struct curl_slist *json, *lines; /* headers */
	char *credentials; /* user:password; NULL: none */
	bool packs;
	size_t current; /* host that answered last */
	uint64_t away_until_us[ELASTICSEARCH_HOSTS_MAX];
	struct http_request *under_way; /* the youngest first */
	long last_status; /* of the last that ended */
	struct elastic_wait wait; /* its owner says what it waits for, http_wait looks */
	/* Called by http_finish while it waits: others may be done. NULL: nobody cares. */
	void (*meanwhile)(void *context);
	void *context;
};

/* Once a process, before there are other threads. */
void http_prepare(void);
enum result http_open(
    struct http *http, const struct elasticsearch *settings, int stop_fd, struct error *error) MUST_USE;
void http_close(struct http *http);

void http_start(struct http *http, struct http_request *request);
/* Sends what can be sent at once. */
void http_push(struct http *http);
/* Until a request is done, or the time is over, or everything has to end (false). */
bool http_wait(struct http *http, int timeout_ms);
/* A request that is not done is taken back. */
void http_cancel(struct http *http, struct http_request *request);
/* Waits until one that was started is done; false: everything has to end. */
bool http_finish(struct http *http, struct http_request *request);
/* Starts it, too. */
bool http_do(struct http *http, struct http_request *request);
void http_request_fini(struct http_request *request);

/* http://host:9200: where the request went. */
const char *http_where(const struct http *http, const struct http_request *request);
/* Appends a text as it may stand in a path. */
void http_put_escaped(struct buffer *path, const char *text);

#endif
