/* services/sink/postgres_commit.h - one epoch as one transaction.
 *
 * Everything is encoded before anything is sent. Then one string of statements goes out: BEGIN, the frontier's compare and
 * swap, a COPY for rows, letters and decisions where there are any, the totals, COMMIT; the server asks for the data of
 * each COPY when it gets there. A string ends at its first error, so the frontier's refusal leaves nothing behind it. The last questions
 * are how many rows all that wrote (postgres_written.h), and whether the tables are still those that were looked at (postgres_objects.h).
 */
#ifndef POSTGRES_COMMIT_H
#define POSTGRES_COMMIT_H

#include "common/postgres/postgres_objects.h"
#include "services/sink/postgres_copy.h"
#include "services/sink/postgres_rows.h"
#include "services/sink/postgres_totals.h"
#include "services/sink/postgres_written.h"
#include "services/sink/sink_port.h"

struct postgres_commit {
	const struct pipeline *pipeline;
	const char *job;
	struct epoch_rows rows;
	struct totals totals;
	struct written written;
	struct copy copy;
	struct buffer sql;
	struct postgres_objects objects; /* as they were looked at last */
	uint64_t frontier; /* hash of the frontier's row, for its place */
	struct way way; /* to it */
};

/* Prepares the statements of a new session. */
enum sink_outcome postgres_commit_prepare(struct postgres_commit *commit, struct postgres *postgres,
    const struct pipeline *pipeline, const char *job, struct error *error) MUST_USE;
/* LATE where a row met another with the same key, or the like; error names the record. UNKNOWN also where the server has refused for a while: nothing is committed then, but a look finds that out. May leave
 * a failed transaction open. */
enum sink_outcome postgres_commit_run(struct postgres_commit *commit, struct postgres *postgres,
    const struct transaction *transaction, struct error *error) MUST_USE;
/* Of the frontier's row, as PostgreSQL reads it; where nothing lies when it is not known. Returns text. */
const char *postgres_commit_place(const struct postgres_commit *commit, char text[PLACE_TEXT_MAX]);
void postgres_commit_fini(struct postgres_commit *commit);

#endif
