/* common/postgres/postgres_schema.h - makes sure that the database has the tables, and only the tables, that it should.
 *
 * One transaction under an advisory lock: what an older release made is brought to the shape of now, everything that is there is
 * checked, then what is missing is made. A table with other columns than declared, of another job, or with rows while the job has
 * no started frontier, is refused and nothing is changed; and so is what postgres_objects.h tells of.
 */
#ifndef POSTGRES_SCHEMA_H
#define POSTGRES_SCHEMA_H

#include "common/postgres/ddl.h"
#include "common/postgres/postgres_connection.h"
#include "common/postgres/postgres_objects.h"

/* Says in report what was made and what was there (NULL: nobody asks), and in objects what hangs on the tables. */
enum sink_outcome postgres_schema_apply(struct postgres *postgres, const struct pipeline *pipeline, const char *job,
    struct postgres_objects *objects, struct buffer *report, struct error *error) MUST_USE;

/* Makes schema, tables and frontier row where they are missing, as a sink writer does; harmless when repeated. report says what was
 * made and what was found, a line each. RETRY: the database is away. */
enum result postgres_init(
    const struct pipeline *pipeline, const char *application_name, struct buffer *report, struct error *error) MUST_USE;

/* Brings what an older release made to the shape of now, and checks nothing else: for whoever ends a job that cannot start. *there
 * is false where there is no schema sluice. */
enum sink_outcome postgres_schema_upgrade(
    struct postgres *postgres, const char *job, bool *there, struct error *error) MUST_USE;

/* Is there a schema sluice? CONFIG: one of an older or a newer release. For whoever reads what a job has written, and makes nothing. */
enum sink_outcome postgres_schema_find(struct postgres *postgres, bool *there, struct error *error) MUST_USE;
/* CONFIG also where there is none: the job was never started. */
enum sink_outcome postgres_schema_check(struct postgres *postgres, const char *job, struct error *error) MUST_USE;

/* The session advisory lock that whoever writes for this job holds. */
int64_t postgres_lock_key(const char *job);
/* Takes it for as long as the session lasts. CONFIG where a writer keeps it: one that has just ended may for a moment. */
enum sink_outcome postgres_lock_free(struct postgres *postgres, const char *job, struct error *error) MUST_USE;

/* postgres_meaning.c: CONFIG, with the first lines that differ, when the pipeline file does not mean what it meant when the job was started. */
enum sink_outcome postgres_meaning_check(
    const struct pipeline *pipeline, const char *fingerprint, const char *meaning, struct error *error) MUST_USE;

/* The same for a job that wants to go on: DONE also where only totals' digits or limits of records differ (*change), which words then
 * names. */
enum sink_outcome postgres_meaning_change(const struct pipeline *pipeline, const char *fingerprint, const char *meaning,
    enum meaning_change *change, struct buffer *words, struct error *error) MUST_USE;

/* postgres_check.c: is this table, if it is there, the one that the pipeline file of this job declares? */
struct table_state {
	bool exists;
	bool rows; /* it holds some that this job would call its own */
};
enum sink_outcome postgres_table_check(struct postgres *postgres, const struct ddl_table *table, const char *job,
    struct table_state *state, struct error *error) MUST_USE;

/* The files sql/NNN_*.sql, built into the library. */
struct migration {
	int version;
	const char *name;
	const char *sql;
};
extern const struct migration migrations[];
extern const size_t migrations_len;

#endif
