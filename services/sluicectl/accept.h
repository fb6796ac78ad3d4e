/* services/sluicectl/accept.h - what a job remembers of the outside, for a person who changed that on purpose; see accept.c.
 *
 * Ownership: what memory holds is its arena's, or its own heap's (marks). accept_totals.c and accept_search.c fill it.
 * Errors:    RETRY: a service is away. CONFIG: there is no such job, or it is not as it was any more.
 */
#ifndef ACCEPT_H
#define ACCEPT_H

#include "common/base/error.h"
#include "common/base/pipeline.h"
#include "proto/cut.h"

struct memory {
	const struct pipeline *pipeline;
	const char *job; /* ecommerce-transactions/totals */
	struct facts facts; /* remembered */
	bool frontier_only; /* of marks; set before reading: no checkpoint of before will be restored */
	struct marks marks; /* in front of the frontier's cut, and of the checkpoint's that would be restored */
	bool replays; /* records in front of the cut would be read again */
	struct arena arena;
};

enum result accept_totals_read(struct memory *memory, struct error *error) MUST_USE;
enum result accept_search_read(struct memory *memory, struct error *error) MUST_USE;
/* These are remembered from now on. anew: they decide how records are read; detail: a JSON object, for the row in
 * sluice.interventions. */
enum result accept_totals_write(
    const struct memory *memory, const struct facts *now, bool anew, const char *detail, struct error *error) MUST_USE;
enum result accept_search_write(
    const struct memory *memory, const struct facts *now, bool anew, const char *detail, struct error *error) MUST_USE;

#endif
