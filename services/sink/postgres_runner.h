/* services/sink/postgres_runner.h - one coordinator runs a job of totals: see sink_runner.h.
 *
 * Table sluice.runners (015) names the coordinator of whoever raised the fence last, and its session: alive is who has that, and has
 * committed lately.
 */
#ifndef POSTGRES_RUNNER_H
#define POSTGRES_RUNNER_H

#include "services/sink/postgres_writer.h"

/* UNKNOWN: another one runs the job; the error says who, and that one is told. */
enum sink_outcome postgres_runner_look(struct postgres_writer *writer, struct error *error) MUST_USE;
/* This writer is the one, and holds the lock. */
enum sink_outcome postgres_runner_note(struct postgres_writer *writer, struct error *error) MUST_USE;
/* Logs who else would run the job. */
void postgres_runner_hear(struct postgres_writer *writer);

#endif
