/* common/postgres/postgres_objects.h - are the tables what the pipeline file declares, and what else hangs on them, and could change,
 * drop, refuse or lose rows?
 *
 * Looked at when a writer begins and whenever it looks again; then every epoch's transaction ends with one question, whether the
 * catalog's rows about these tables, their columns, unique indexes, triggers, rules and heirs are still the same versions. By then the
 * transaction holds its locks, so nobody changes them before it commits.
 *
 * Decided, with a row each in postgres_objects.c: triggers and rules that come between (BEFORE, INSTEAD, rewriting), row security that
 * applies to this user, UNLOGGED and temporary tables, inheritance, other access methods, keys that are compared otherwise than byte by
 * byte, exclusion constraints: refused. CHECK and FOREIGN KEY constraints: warned of, for the data may keep them. So are AFTER triggers:
 * what they write in the same transaction is counted before it is committed (services/sink/postgres_written.h). One that is deferred to
 * the commit is refused, and one, on any table, whose function says by name that it writes a table of this job.
 */
#ifndef POSTGRES_OBJECTS_H
#define POSTGRES_OBJECTS_H

#include "common/postgres/postgres_connection.h"

enum { OBJECTS_TABLES_MAX = 640, OBJECTS_PRINT_MAX = 160 };

/* All zero: nothing was looked at yet. */
struct postgres_objects {
	char tables
	    [OBJECTS_TABLES_MAX]; /* oids, as an array: those of the pipeline file, then those of the schema sluice */
	size_t declared; /* how many are of the pipeline file */
	char print[OBJECTS_PRINT_MAX]; /* of the catalog's rows about them */
};

/* CONFIG, with what was found. Also where a frontier that counts rows stands beside an empty table, and where a table is not the one
 * that objects knows of from before. objects is filled anew where the outcome is DONE, and left alone otherwise. */
enum sink_outcome postgres_objects_look(struct postgres *postgres, const struct pipeline *pipeline, const char *job,
    struct postgres_objects *objects, struct error *error) MUST_USE;
/* A text is to be stored as it came, and its characters counted as the pipeline file counts them. */
enum sink_outcome postgres_encoding_check(struct postgres *postgres, struct error *error) MUST_USE;
/* PREPARE tables_are_the_same ...; for that question. */
void postgres_objects_prepare_print(const struct postgres_objects *objects, struct buffer *out);
#define OBJECTS_ASK "EXECUTE tables_are_the_same;\n"

struct object_rule {
	const char *name;
	enum stop stop; /* STOP_KINDS: only warned of */
	const char *sql; /* $1: the oids. A row for what is found: table, words */
};
extern const struct object_rule object_rules[];
extern const size_t object_rules_len;

#endif
