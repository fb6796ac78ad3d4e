/* services/sluicectl/same_log.h - is this the log that the job has read? Every verb that writes a place of the log, or that goes on from
 * one, asks this before it writes anything: what is written down of another log cannot be taken back.
 *
 * Errors: RETRY: Kafka is away. CONFIG: it is another log (STOP_OTHER_LOG), or a fact differs (STOP_FACT_CHANGED).
 */
#ifndef SAME_LOG_H
#define SAME_LOG_H

#include "common/base/job.h"
#include "common/base/pipeline.h"
#include "services/ingest/source_port.h"

/* Marks whose record is there, and is not any more: the log begins behind it, so nothing can be said. */
struct same_log {
	uint32_t same, gone;
};

/* Blocks for half a minute at most. description: empty, the caller's to fini; its facts have the rules of the time zone, too. */
enum result same_log_ask(const struct pipeline *pipeline, const char *client_id, const struct marks *marks,
    struct description *description, struct error *error) MUST_USE;
/* What was answered: each record that is there is the one that was read. */
enum result same_log_check(const struct pipeline *pipeline, const struct description *description,
    struct same_log *found, struct error *error) MUST_USE;

/* Both, by what the job remembers with its frontier: no older checkpoint will be restored. facts: they are compared, too. Where the
 * frontier only gets a checkpoint they do not matter yet: the next start compares them, and then nothing is read again. */
enum result same_log_or_refuse(
    const struct pipeline *pipeline, const char *job, enum job_kind kind, bool facts, struct error *error) MUST_USE;

#endif
