/* common/postgres/postgres_connection.h - one session with PostgreSQL, whose every wait is bounded.
 *
 * libpq is used without blocking and waited for with poll, so that a stopped server, a dead network and an owner who
 * wants to leave all end a wait.
 *
 * Errors:   what is known, as enum sink_outcome: UNKNOWN when trying again may help (the connection may be lost then, see
 *           postgres_alive), CONFIG when a person has to act, FENCED and MOVED from the functions in sql/001_sluice.sql.
 * Blocking: up to POSTGRES_SILENCE_MS for each answer, the server's own timeouts come earlier; connecting up to
 *           connect_timeout for each host. Ends early when stop_fd becomes readable.
 * Threads:  one at a time.
 */
#ifndef POSTGRES_CONNECTION_H
#define POSTGRES_CONNECTION_H

#include <libpq-fe.h>

#include "common/base/buffer.h"
#include "common/base/pipeline.h"
#include "common/base/sink_outcome.h"
#include "common/postgres/postgres_states.h"

enum {
	POSTGRES_STATEMENT_MS = 60000,
	POSTGRES_LOCK_MS = 30000,
	POSTGRES_SILENCE_MS = 75000,
	POSTGRES_MISSING_MS =
	    60000, /* a database that does not exist is waited for as long as a missing topic; and a password that was right until now */
	POSTGRES_BINARY_MAX = 64, /* parameters of postgres_query_binary */
	POSTGRES_NAME_MAX = 64, /* of a schema or table, with a NUL */
};

struct postgres {
	PGconn *link; /* NULL: not connected */
	int stop_fd; /* -1: none */
	int pid; /* of the backend, for ending it later */
	char started[64];
	char schema[POSTGRES_NAME_MAX]; /* of the tables that the pipeline file declares */
	char state[POSTGRES_STATE +
	           1]; /* SQLSTATE of the last postgres_query that failed; empty: not the server's doing */
	uint64_t
	    missing_since_us; /* when the database was first said not to exist, or the password to be wrong; 0: it was not */
	bool was_connected; /* by this process, once */
	bool reads_only; /* so a database that lets nobody write will do, but no standby: it may be behind */
	int silence_ms; /* without an answer the link is given up; 0: POSTGRES_SILENCE_MS */
	/* Who is told when an answer is late; NULL: nobody. true: the server is at it, so the silence is none. */
	bool (*on_late)(void *context);
	void *late_context;
	uint64_t late_us; /* when that is to happen next */
	uint64_t late_every_us;
	char *
	    url; /* read anew from the pipeline file when the one in it was refused; NULL: the pipeline's. The heap's */
};

/* Connects and sets the session up (postgres_session.h); an open link is closed first. */
enum sink_outcome postgres_connect(struct postgres *postgres, const struct pipeline *pipeline,
    const char *application_name, struct error *error) MUST_USE;
void postgres_disconnect(struct postgres *postgres);
/* And what belongs to it. */
void postgres_fini(struct postgres *postgres);
bool postgres_alive(const struct postgres *postgres);

/* Runs one statement with text parameters, or a string of statements where params_len is 0. With result: the last
 * result, the caller's to PQclear; NULL where the outcome is not DONE. */
enum sink_outcome postgres_query(struct postgres *postgres, PGresult **result, struct error *error, const char *sql,
    int params_len, const char *const *params) MUST_USE;
/* The same with parameters in binary format; their types stand in the SQL. */
enum sink_outcome postgres_query_binary(struct postgres *postgres, PGresult **result, struct error *error,
    const char *sql, int params_len, const struct bytes *params) MUST_USE;
/* Rolls back what is open, if anything is. The link is closed where that fails. */
void postgres_rollback(struct postgres *postgres);

/* The steps of postgres_query, for COPY. false: the link is lost. */
bool postgres_send(struct postgres *postgres, const char *sql) MUST_USE;
/* NULL in *result: nothing more to come. */
bool postgres_next(struct postgres *postgres, PGresult **result) MUST_USE;
bool postgres_copy_put(struct postgres *postgres, struct bytes chunk) MUST_USE;
bool postgres_copy_end(struct postgres *postgres) MUST_USE;
/* The next message of COPY ... TO STDOUT, to be given to PQfreemem; NULL: it has ended, go on with postgres_next. */
bool postgres_copy_get(struct postgres *postgres, char **message, size_t *len) MUST_USE;

/* What a failed result means (postgres_states.h); fills error. NULL: what the link itself says. */
enum sink_outcome postgres_fault(const struct postgres *postgres, const PGresult *result, struct error *error);
/* Its words alone, with RETRY. */
void postgres_words(const struct postgres *postgres, const PGresult *result, struct error *error);
/* The link is in a state that nobody knows: closes it; what was sent may still be carried out. */
enum sink_outcome postgres_lost(struct postgres *postgres, struct error *error);
/* The SQLSTATE of a failed result, or "". */
const char *postgres_state(const PGresult *result);
/* Sleeps, unless the owner wants to leave: false. */
bool postgres_pause(const struct postgres *postgres, int pause_ms);

#endif
