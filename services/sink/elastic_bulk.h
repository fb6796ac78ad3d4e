/* services/sink/elastic_bulk.h - all documents of an epoch into Elasticsearch: none is dropped.
 *
 * A few lanes, each with one bulk request at a time, and one more that is filled meanwhile. Every item of every answer is read.
 * What has to be sent again is sent again alone, after a pause that grows, in smaller requests where none got through; what is
 * refused for good becomes a dead letter; a request that is too large, or not answered in time, is divided. Where nothing gets on for a few seconds, the caller
 * is told, and asks again later.
 *
 * Elasticsearch is never left without work while there is some: lanes that find nothing more of the epoch take documents of the one behind
 * it, also while whatever else is asked (http_finish) is waited for: the control document. A key that the epoch has waits until that is committed.
 *
 * An index is known (elastic_index.h) before the first document goes there. Whatever pipeline it would have by default is not used.
 *
 * Ownership: rows are borrowed until their epoch is committed, bulk_forget or the end. Buffers are kept.
 * Errors:    UNKNOWN: away or busy; what was stored is remembered for the next try of the same epoch. CONFIG: a person has
 *            to act. Never with credentials.
 * Blocking:  yes, until all is stored, or GIVE_UP_US without progress and no request under way.
 * Limits:    max_batch_bytes a request, but one document is always allowed.
 */
#ifndef ELASTIC_BULK_H
#define ELASTIC_BULK_H

#include "services/sink/elastic_index.h"
#include "services/sink/elastic_letters.h"

enum { BULK_LANES_MAX = 17 /* max_requests, and one that is ready */ };

/* What is to be stored of an epoch. */
struct bulk_epoch {
	struct epoch_items items;
	struct letter_notes notes;
};

/* One request at a time, with the buffers that it needs. */
struct bulk_lane {
	struct bulk_epoch *epoch; /* whose items it carries, or letters */
	struct http_request request;
	struct bulk_answer answer;
	struct buffer body;
	uint32_t *places; /* of items, or of notes */
	size_t len, capacity;
	bool letters;
	uint64_t started_us;
};

struct bulk {
	struct http *http;
	struct indices *indices;
	const struct pipeline *pipeline;
	struct document_plan plan;
	struct bulk_epoch epochs[2];
	struct bulk_epoch *now, *next; /* the one that is to be committed, and the one behind it */
	struct bulk_lane lanes[BULK_LANES_MAX];
	size_t lanes_len;
	struct buffer documents_path, letters_path;
	size_t limit_bytes; /* of a request's body, for now */
	size_t ceiling_bytes; /* more was too large */
	uint32_t limit_items; /* of one request of this epoch: to find which one makes it fail */
	/* Since the last item was settled: */
	uint64_t failing_since_us; /* 0: nothing has failed */
	uint64_t progress_us; /* when that was; 0: never yet */
	uint64_t pause_until_us;
	uint32_t setbacks; /* in a row */
	uint64_t seed; /* of jitter */
	bool running; /* requests may be started */
	bool over; /* with this outcome: */
	enum sink_outcome outcome;
	struct error error;
};

enum result bulk_init(struct bulk *bulk, struct http *http, struct indices *indices, const struct pipeline *pipeline,
    struct error *error) MUST_USE;
void bulk_fini(struct bulk *bulk);

/* counters: what the rows came to; only where it is DONE. Requests of the epoch behind may be under way then. */
enum sink_outcome bulk_store(
    struct bulk *bulk, const struct transaction *transaction, struct counters *counters, struct error *error) MUST_USE;
/* The epoch is not committed: no request is under way any more, and none is started until the next try. */
void bulk_stop(struct bulk *bulk);
/* And nothing is known of any epoch. */
void bulk_forget(struct bulk *bulk);

#endif
