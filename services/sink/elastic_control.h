/* services/sink/elastic_control.h - control documents: one a writer, in the index sluice-control.
 *
 * A control document is only ever changed by a compare-and-swap on the sequence number under which it was last read, so
 * that of two writers one notices the other.
 *
 * Ownership: a control owns its cuts, marks and facts.
 * Errors:    UNKNOWN: whether it was written is not known: look. MOVED: it is not what was read any more. CONFIG: it is none of
 *            ours, or Elasticsearch refuses.
 * Blocking:  yes.
 */
#ifndef ELASTIC_CONTROL_H
#define ELASTIC_CONTROL_H

#include "services/sink/elastic_http.h"
#include "services/sink/sink_port.h"
#include "services/sink/sink_runner.h"

#define CONTROL_INDEX "sluice-control"
enum { CONTROL_INDEX_MAX = 256 };

struct control {
	bool exists;
	int64_t seq_no, primary_term; /* of what was last read or written */
	/* What stands in it; job and writer are in its id. */
	uint32_t writers;
	uint32_t first_group, groups, key_groups;
	char index[CONTROL_INDEX_MAX];
	char runner[RUNNER_NAME_MAX]; /* coordinator of whoever raised the fence; empty: not known */
	uint64_t fence;
	struct epoch_id last;
	bool started;
	struct cut cut;
	struct cut start; /* where the job began; only writer 0's says so */
	struct cut since; /* where these key groups became this writer's: counters count from there */
	struct counters counters; /* consumed, accepted, dead */
	char fingerprint[33];
	struct marks marks; /* of the last records in front of cut */
	struct facts remembered; /* only writer 0's says so; the arena's */
	struct arena arena;
};

struct controls {
	struct http *http;
	struct http_request *request;
	const char *job; /* ecommerce-transactions/search */
};

/* exists is false where there is none. */
enum sink_outcome control_read(
    struct controls *controls, uint32_t writer, struct control *control, struct error *error) MUST_USE;
/* As control says, under the sequence number in it; that of a new one where it does not exist. */
enum sink_outcome control_write(
    struct controls *controls, uint32_t writer, struct control *control, struct error *error) MUST_USE;
/* MOVED where somebody has changed it since. */
enum sink_outcome control_delete(
    struct controls *controls, uint32_t writer, const struct control *control, struct error *error) MUST_USE;
void control_copy(struct control *to, const struct control *from);
void control_fini(struct control *control);

/* Its _source: for the request, and for tests. */
void control_print(const struct controls *controls, uint32_t writer, const struct control *control, struct buffer *out);
/* A whole answer to a GET; false: it is none. control is zeroed. */
bool control_parse(struct bytes text, struct control *control);

#endif
