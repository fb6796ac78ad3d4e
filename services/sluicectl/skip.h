/* services/sluicectl/skip.h - sluicectl skip: a job goes on behind records that are gone, or that nobody wants.
 *
 * Its cut is moved forward, never back, and what lies between is written down: where the frontier is, and for the audit, which
 * expects nothing of those records. Nothing may run meanwhile. skip_plan.c says what is to be done, skip_log.c what Kafka holds,
 * skip_search.c does it for the search job.
 */
#ifndef SKIP_H
#define SKIP_H

#include "common/base/pipeline.h"
#include "proto/cut.h"

/* --to: earliest, or offsets. */
struct skip_wish {
	bool earliest; /* every partition whose cut lies in front of what the log holds goes to where that begins */
	struct cut to; /* otherwise */
};
struct skip {
	uint32_t partition;
	int64_t from, to; /* to: the first one that is read again */
};
struct skips {
	struct skip *entries;
	uint32_t len;
};

/* CONFIG: it is neither "earliest" nor 0:500,2:800. */
enum result skip_wish_parse(const char *text, struct skip_wish *wish, struct error *error) MUST_USE;
/* begins, ends: of every partition of the topic. CONFIG: it would go back, or to where the log has nothing. None: a cut that is moved
 * nowhere. The entries are the caller's to free. */
enum result skip_plan(const struct skip_wish *wish, const struct cut *cut, const struct cut *begins,
    const struct cut *ends, struct skips *skips, struct error *error) MUST_USE;
/* The cut, moved. */
void skip_apply(const struct skips *skips, struct cut *cut);

/* What the log holds of each partition now. Blocks for some seconds at most. RETRY: Kafka is away. */
enum result skip_log_range(
    const struct pipeline *pipeline, struct cut *begins, struct cut *ends, struct error *error) MUST_USE;

/* In the control documents of the search job; change: otherwise it is only planned. The entries of skips are the caller's to free.
 * CONFIG: the job was never started, it is running, or the wish is refused; RETRY: Elasticsearch is away. */
enum result skip_search(const struct pipeline *pipeline, const char *job, const struct skip_wish *wish,
    const struct cut *begins, const struct cut *ends, bool change, struct skips *skips, struct error *error) MUST_USE;

#endif
