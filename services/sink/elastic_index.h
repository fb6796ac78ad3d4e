/* services/sink/elastic_index.h - the indices that a search job needs, that they are its own, and that they are still there.
 *
 * Every index that is written to is made here, with an explicit mapping, looked at (elastic_look.h) and claimed for the job
 * (elastic_claim.h): those without a date when the writer is fenced, those with one before the first document goes there. They are
 * looked at again in every attempt and, in turn, every few seconds, also while there is nothing to write. An index that was deleted is
 * known by the claim: without a date the job stops, with one (people delete old months) it is made anew. For one with a date there is a
 * template, too: Elasticsearch itself may make it in the moment after it was deleted.
 *
 * Errors:   CONFIG where a person has to act, in words that say what to do; UNKNOWN: away, or an index is closed.
 * Blocking: yes.
 */
#ifndef ELASTIC_INDEX_H
#define ELASTIC_INDEX_H

#include "services/sink/elastic_http.h"
#include "services/sink/elastic_look.h"
#include "common/base/sink_outcome.h"

/* An index of documents that was looked at in this attempt. */
struct index_known {
	uint32_t period; /* document_period; 0: it has no date */
	char *name;
	char uuid[LOOK_UUID_MAX];
};

struct indices {
	struct http *http;
	struct http_request *request;
	const struct pipeline *pipeline;
	const char *job; /* ecommerce-transactions/search */
	struct index_known *known; /* by period */
	size_t known_len, known_last; /* the one last asked for */
	size_t watch_next;
	bool letters_known;
	uint64_t watched_us; /* when one was last looked at again */
};

void indices_fini(struct indices *indices);

/* sluice-control. */
enum sink_outcome indices_prepare_control(struct indices *indices, struct error *error) MUST_USE;
/* All others; nothing is known of any. started: documents have been written already, so their index has to be there. */
enum sink_outcome indices_prepare(struct indices *indices, bool started, struct error *error) MUST_USE;
/* That of dead letters, where it has gone. */
enum sink_outcome indices_prepare_letters(struct indices *indices, struct error *error) MUST_USE;

bool indices_know(struct indices *indices, uint32_t period);
/* One with a date, before the first document goes there. */
enum sink_outcome indices_use(struct indices *indices, uint32_t period, const char *name, struct error *error) MUST_USE;
/* One with a date is not there any more: it is to be made anew. */
void indices_forget(struct indices *indices, uint32_t period);

/* CONFIG where the documents' index is gone, another one, or not as it has to be any more; UNKNOWN where it is closed or, without a date,
 * read-only. Of many, some in turn. */
enum sink_outcome indices_watch(struct indices *indices, struct error *error) MUST_USE;
/* The same of one in turn, and only every few seconds. */
enum sink_outcome indices_watch_sometimes(struct indices *indices, struct error *error) MUST_USE;
/* In words. */
enum sink_outcome indices_gone(const struct indices *indices, const char *how, struct error *error);

/* {"properties":{...}} of the documents. */
void mapping_put(const struct pipeline *pipeline, struct buffer *out);

#endif
