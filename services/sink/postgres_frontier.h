/* services/sink/postgres_frontier.h - reads what the schema sluice remembers of a job.
 *
 * Ownership: what is read belongs to the answer until sink_answer_clear.
 */
#ifndef POSTGRES_FRONTIER_H
#define POSTGRES_FRONTIER_H

#include "common/postgres/postgres_connection.h"
#include "services/sink/sink_port.h"

/* for_update: waits for whoever is changing the row. CONFIG when there is no row. */
enum sink_outcome postgres_frontier_read(struct postgres *postgres, const struct pipeline *pipeline, const char *job,
    bool for_update, struct frontier *frontier, struct error *error) MUST_USE;
/* Newest first. */
enum sink_outcome postgres_checkpoints_read(struct postgres *postgres, const struct pipeline *pipeline, const char *job,
    struct sink_answer *answer, struct error *error) MUST_USE;
/* What exactness rests on, as it is remembered. */
enum sink_outcome postgres_facts_read(
    struct postgres *postgres, const char *job, struct sink_answer *answer, struct error *error) MUST_USE;
/* Of the pipeline's topic, by partition and offset. */
enum sink_outcome postgres_decisions_read(struct postgres *postgres, const struct pipeline *pipeline, const char *job,
    struct sink_answer *answer, struct error *error) MUST_USE;

/* {"0": 12, "1": 7} as jsonb prints it; false: something else, cut is left empty. cut is the heap's. */
bool cut_parse(const char *text, struct cut *cut);
/* {"0": "11:00c0ffee00c0ffee"}: likewise. */
bool marks_parse(const char *text, struct marks *marks);

#endif
