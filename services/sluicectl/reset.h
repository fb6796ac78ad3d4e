/* services/sluicectl/reset.h - ends what one job remembers, so that its next start is a first one. Touches nothing of another job.
 *
 * Totals (reset_totals.c): in one transaction the job's tables are emptied, its dead letters deleted, and all that schema sluice
 * remembers of it but the fence; before that is committed its checkpoint folder is removed, so that a start never finds the one
 * without the other. Search (reset_search.c): its control documents and what index it had; with_index: its indices, too.
 *
 * Errors:   CONFIG: it is running, or a person has to act; RETRY: a service is away. Interrupted, it is run again.
 * Blocking: yes.
 */
#ifndef SLUICECTL_RESET_H
#define SLUICECTL_RESET_H

#include "services/sluicectl/sluicectl.h"

struct reset {
	const struct pipeline *pipeline;
	char job[JOB_NAME_MAX];
	bool change; /* false: only say what there is */
	bool with_index;
	bool json;
	struct buffer said; /* a line per thing, or the members of an object */
};

/* what: "table", name: "transactions"; fate: "emptied". */
void reset_say(struct reset *reset, const char *what, const char *name, long long count, const char *fate);

enum result reset_totals(struct reset *reset, struct error *error) MUST_USE;
enum result reset_search(struct reset *reset, struct error *error) MUST_USE;

#endif
