/* services/sink/elastic_claim.h - whose an index is: a document per index that is written to, in sluice-control.
 *
 * It says which job writes there, and which index it was (its uuid). It is made by a creation, so of two jobs one notices the other, and
 * it is there as long as the job is: `sluicectl reset` ends it. Its id is "index:<name>"; no job's name has a colon.
 *
 * Errors:   CONFIG: another job's. UNKNOWN: away. MOVED: somebody was faster, again and again.
 * Blocking: yes.
 */
#ifndef ELASTIC_CLAIM_H
#define ELASTIC_CLAIM_H

#include "services/sink/elastic_http.h"
#include "services/sink/elastic_look.h"
#include "services/sink/sink_port.h"

enum { CLAIM_OWNER_MAX = 128 };

struct claim {
	bool exists;
	int64_t seq_no, primary_term;
	char owner[CLAIM_OWNER_MAX]; /* <pipeline.job>/search */
	char uuid[LOOK_UUID_MAX];
};

/* exists is false where there is none. */
enum sink_outcome claim_read(struct http *http, struct http_request *request, const char *index, struct claim *claim,
    struct error *error) MUST_USE;
/* As owner and uuid say, under the sequence number in it; a new one where it does not exist. MOVED: it is not what was read. */
enum sink_outcome claim_write(struct http *http, struct http_request *request, const char *index, struct claim *claim,
    struct error *error) MUST_USE;

#endif
