/* services/sink/sink_postgres.h - the sink port on PostgreSQL; implemented by sink_postgres.c and the postgres_*.c files.
 *
 * Ownership: the pipeline is borrowed until close.
 * Blocking:  open and the requests do not block; requests run on a thread of the port's own. close waits a few seconds at
 *            most. postgres_init blocks until the database has answered, and does not wait for one that is away.
 * Errors:    open fails only for want of a thread or a descriptor. Connecting happens in fence and look.
 */
#ifndef SINK_POSTGRES_H
#define SINK_POSTGRES_H

#include "common/base/pipeline.h"
#include "services/sink/sink_port.h"

/* application_name: as pg_stat_activity is to show it. */
enum result sink_postgres_open(struct sink_port **port, const struct pipeline *pipeline, const char *application_name,
    struct error *error) MUST_USE;

/* Makes schema, tables and frontier row where they are missing, as fence does; harmless when repeated. report says what was
 * made and what was found, a line each. RETRY: the database is away. */
enum result postgres_init(
    const struct pipeline *pipeline, const char *application_name, struct buffer *report, struct error *error) MUST_USE;

#endif
