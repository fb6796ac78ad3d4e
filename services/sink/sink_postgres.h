/* services/sink/sink_postgres.h - the sink port on PostgreSQL; implemented by sink_postgres.c and the postgres_*.c files.
 *
 * Ownership: the pipeline is borrowed until close.
 * Blocking:  open and the requests do not block; requests run on a thread of the port's own. close waits a few seconds at
 *            most.
 * Errors:    open fails only for want of a thread or a descriptor. Connecting happens in fence and look.
 */
#ifndef SINK_POSTGRES_H
#define SINK_POSTGRES_H

#include "common/base/pipeline.h"
#include "services/sink/sink_port.h"
#include "services/sink/sink_runner.h"

/* application_name: as pg_stat_activity is to show it. runner: NULL: whoever writes is ended. */
enum result sink_postgres_open(struct sink_port **port, const struct pipeline *pipeline, const char *application_name,
    const struct sink_runner *runner, struct error *error) MUST_USE;

#endif
