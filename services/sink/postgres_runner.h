/* services/sink/postgres_runner.h - one coordinator runs a job: another one, of another run directory or machine, waits.
 *
 * A fence decides between attempts, whoever makes them: two coordinators would end each other's for ever. So before it raises the fence, a
 * writer looks whether that of another coordinator is there and alive (sluice.runners, 015): then it says so and tries again, and takes
 * over when that one has ended or fallen silent. Nothing rests on this but peace: two that overlook each other are decided by the fence.
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
