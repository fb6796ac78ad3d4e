/* services/sink/elastic_index.h - the indices that a search job needs, and that they are still there.
 *
 * An index of documents without a date is made here, with an explicit mapping, and never by Elasticsearch itself: so one
 * that was deleted and made anew by a request is known by its mapping, or while the writer runs by its uuid. For one
 * with a date there is an index template.
 *
 * Errors:   CONFIG where a person has to act, in words that say what to do; UNKNOWN: away.
 * Blocking: yes.
 */
#ifndef ELASTIC_INDEX_H
#define ELASTIC_INDEX_H

#include "services/sink/elastic_http.h"
#include "common/base/sink_outcome.h"

enum { INDEX_UUID_MAX = 64 };

struct indices {
	struct http *http;
	struct http_request *request;
	const struct pipeline *pipeline;
	char uuid[INDEX_UUID_MAX]; /* of the documents' index; empty: it has a date, or is not known yet */
	uint64_t watched_us; /* when it was last looked at */
};

/* sluice-control. */
enum sink_outcome indices_prepare_control(struct indices *indices, struct error *error) MUST_USE;
/* All others. started: documents have been written already, so their index has to be there. */
enum sink_outcome indices_prepare(struct indices *indices, bool started, struct error *error) MUST_USE;
/* CONFIG where the documents' index is gone, or another one under its name. */
enum sink_outcome indices_watch(struct indices *indices, struct error *error) MUST_USE;
/* The same, but only every few seconds. */
enum sink_outcome indices_watch_sometimes(struct indices *indices, struct error *error) MUST_USE;

/* {"properties":{...}} of the documents. */
void mapping_put(const struct pipeline *pipeline, struct buffer *out);

#endif
