/* common/postgres/postgres_session.h - how a session has to be, whatever ALTER DATABASE, ALTER ROLE or the server's file say.
 *
 * What decides a result is set here, one row per setting; a server that does not know one is left alone. What is not here costs time
 * at most (planner, memory, logs), or is the operator's to choose: tablespaces, and default_transaction_read_only, by which
 * whoever runs the server says that nothing may be written now: that is waited for, by who writes.
 */
#ifndef POSTGRES_SESSION_H
#define POSTGRES_SESSION_H

#include "common/postgres/postgres_connection.h"

struct session_setting {
	const char *name, *value;
	const char *why;
};
extern const struct session_setting session_settings[];
extern const size_t session_settings_len;

/* Of a link that has just been made: sets all of these, learns who the backend is, and finds the schema of the tables: the one that is
 * remembered of the job, else the one that the file names, else the first on the user's own search_path that has the record table,
 * else the first. Left empty where there is none. */
enum sink_outcome postgres_session_set_up(
    struct postgres *postgres, const struct pipeline *pipeline, struct error *error) MUST_USE;

/* The schema of the tables, as it is remembered of this job; empty: it is not. */
enum sink_outcome postgres_remembered_schema(
    struct postgres *postgres, const char *job, char schema[POSTGRES_NAME_MAX], struct error *error) MUST_USE;

#endif
