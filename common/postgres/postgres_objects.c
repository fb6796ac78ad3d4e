/* common/postgres/postgres_objects.c - see postgres_objects.h. */
#include "common/postgres/postgres_objects.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/job.h"
#include "common/base/log.h"
#include "common/base/mutant.h"
#include "common/postgres/ddl.h"
#include "common/postgres/postgres_schema.h"

/* Bits of pg_trigger.tgtype: 1 for each row, 2 BEFORE, 4 INSERT, 8 DELETE, 16 UPDATE, 32 TRUNCATE, 64 INSTEAD OF. */
const struct object_rule object_rules[] = {
    {"kind", STOP_TABLE_KIND,
        "SELECT t.relname, CASE t.relkind WHEN 'p' THEN 'is partitioned' WHEN 'v' THEN 'is a view' WHEN 'f' THEN 'is a "
        "foreign "
        "table' ELSE 'is not a table' END FROM pg_class t WHERE t.oid = ANY ($1::oid[]) AND t.relkind <> 'r'"},
    {"persistence", STOP_TABLE_NOT_LASTING,
        "SELECT t.relname, CASE t.relpersistence WHEN 'u' THEN 'is UNLOGGED: PostgreSQL empties it after a crash' ELSE "
        "'is "
        "temporary' END FROM pg_class t WHERE t.oid = ANY ($1::oid[]) AND t.relpersistence <> 'p'"},
    {"inheritance", STOP_TABLE_KIND,
        "SELECT t.relname, format('is connected to %s by inheritance', CASE i.inhrelid WHEN t.oid THEN i.inhparent "
        "ELSE "
        "i.inhrelid END::regclass) FROM pg_class t JOIN pg_inherits i ON t.oid IN (i.inhrelid, i.inhparent) "
        "WHERE t.oid = ANY ($1::oid[])"},
    {"access method", STOP_TABLE_KIND,
        "SELECT t.relname, format('is kept by access method %s instead of heap', a.amname) FROM pg_class t JOIN pg_am "
        "a ON "
        "a.oid = t.relam WHERE t.oid = ANY ($1::oid[]) AND a.amname <> 'heap'"},
    {"trigger", STOP_TABLE_INTERFERED,
        "SELECT t.relname, format('has trigger %I, which runs before rows are written and may change or drop them', "
        "g.tgname) "
        "FROM pg_class t JOIN pg_trigger g ON g.tgrelid = t.oid WHERE t.oid = ANY ($1::oid[]) AND NOT g.tgisinternal "
        "AND "
        "g.tgenabled <> 'D' AND g.tgtype & 66 <> 0 AND g.tgtype & 28 <> 0"},
    {"deferred trigger", STOP_TABLE_INTERFERED,
        "SELECT t.relname, format('has trigger %I, which is deferred to the commit and may change rows there', "
        "g.tgname) "
        "FROM pg_class t JOIN pg_trigger g ON g.tgrelid = t.oid WHERE t.oid = ANY ($1::oid[]) AND NOT g.tgisinternal "
        "AND "
        "g.tgenabled <> 'D' AND g.tginitdeferred"},
    /* On any table of the database: what its function says that it writes, with the schema's name, or by a search_path of its own. */
    {"writing trigger", STOP_TABLE_INTERFERED,
        "SELECT t.relname, format('is written by trigger %I of %s, as the text of its function %s says', g.tgname, "
        "g.tgrelid::regclass, p.oid::regprocedure) FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace, "
        "pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid WHERE t.oid = ANY ($1::oid[]) AND NOT g.tgisinternal AND "
        "g.tgenabled <> 'D' AND g.tgtype & 28 <> 0 AND "
        "regexp_replace(p.prosrc, '--[^\n]*|/\\*([^*]|\\*+[^*/])*\\*+/', ' ', 'g') ~* concat("
        "'\\m(insert\\s+into|update(\\s+only)?|delete\\s+from(\\s+only)?|merge\\s+into(\\s+only)?|truncate(\\s+table)?("
        "\\s+only)?)\\s+', "
        "CASE WHEN EXISTS (SELECT FROM unnest(p.proconfig) c WHERE c ~ concat('^search_path=.*\\m', n.nspname, '\\M')) "
        "THEN concat('(\"?', n.nspname, '\"?\\s*\\.\\s*)?') ELSE concat('\"?', n.nspname, '\"?\\s*\\.\\s*') END, "
        "'\"?', t.relname, '\"?(?![\\w\"$.])')"},
    /* Also one that is disabled: ON CONFLICT refuses it. */
    {"rule", STOP_TABLE_INTERFERED,
        "SELECT t.relname, format('has rule %I, which rewrites statements', r.rulename) FROM pg_class t JOIN "
        "pg_rewrite r ON "
        "r.ev_class = t.oid WHERE t.oid = ANY ($1::oid[])"},
    {"row security", STOP_TABLE_INTERFERED,
        "SELECT t.relname, format('has row security that applies to %I, and may hide or refuse rows', current_user) "
        "FROM "
        "pg_class t WHERE t.oid = ANY ($1::oid[]) AND row_security_active(t.oid)"},
    {"collation", STOP_TABLE_KEY,
        "SELECT t.relname, format('has unique index %I with collation %I, which takes different texts for the same "
        "key', "
        "x.relname, o.collname) FROM pg_class t JOIN pg_index i ON i.indrelid = t.oid AND i.indisunique JOIN pg_class "
        "x ON "
        "x.oid = i.indexrelid JOIN pg_collation o ON o.oid = ANY (i.indcollation::oid[]) AND NOT o.collisdeterministic "
        "WHERE t.oid = ANY ($1::oid[])"},
    {"operator class", STOP_TABLE_KEY,
        "SELECT t.relname, format('has unique index %I with operator class %I, which is not one of PostgreSQL', "
        "x.relname, "
        "o.opcname) FROM pg_class t JOIN pg_index i ON i.indrelid = t.oid AND i.indisunique JOIN pg_class x ON x.oid = "
        "i.indexrelid JOIN pg_opclass o ON o.oid = ANY (i.indclass::oid[]) AND o.opcnamespace <> "
        "'pg_catalog'::regnamespace "
        "WHERE t.oid = ANY ($1::oid[])"},
    {"exclusion", STOP_TABLE_KEY,
        "SELECT t.relname, format('has exclusion constraint %I, which refuses rows', c.conname) FROM pg_class t JOIN "
        "pg_constraint c ON c.conrelid = t.oid AND c.contype = 'x' WHERE t.oid = ANY ($1::oid[])"},
    /* A row of totals is brought to another page by deleting it and making it anew. The first table is that of the records. */
    {"referenced totals", STOP_TABLE_KEY,
        "SELECT t.relname, format('is referred to by foreign key %I of %s, but its rows are deleted and made anew at "
        "times', "
        "c.conname, c.conrelid::regclass) FROM pg_class t JOIN pg_constraint c ON c.confrelid = t.oid AND c.contype = "
        "'f' "
        "WHERE t.oid = ANY (($1::oid[])[2:])"},
    {"cascade", STOP_TABLE_KEY,
        "SELECT t.relname, format('has constraint %I: %s: rows here are deleted or changed with those of the other "
        "table', "
        "c.conname, pg_get_constraintdef(c.oid)) FROM pg_class t JOIN pg_constraint c ON c.conrelid = t.oid AND "
        "c.contype = 'f' AND (c.confdeltype IN ('c', 'n', 'd') OR c.confupdtype IN ('c', 'n', 'd')) WHERE t.oid = ANY "
        "($1::oid[])"},
    {"constraint", STOP_KINDS,
        "SELECT t.relname, format('has constraint %I: %s: a record that does not keep it stops the job', c.conname, "
        "pg_get_constraintdef(c.oid)) FROM pg_class t JOIN "
        "pg_constraint c ON c.conrelid = t.oid AND c.contype IN ('c', 'f') WHERE t.oid = ANY ($1::oid[])"},
    {"later trigger", STOP_KINDS,
        "SELECT t.relname, format('has trigger %I: if its function %s, or what that sets going, writes tables of this "
        "job "
        "in an epoch, PostgreSQL counts other rows than were sent, and the job stops', g.tgname, p.oid::regprocedure) "
        "FROM pg_class t JOIN pg_trigger g ON g.tgrelid = t.oid JOIN pg_proc p ON p.oid = g.tgfoid WHERE t.oid = ANY "
        "($1::oid[]) AND NOT g.tgisinternal AND g.tgenabled <> 'D' AND g.tgtype & 28 <> 0"},
};
const size_t object_rules_len = sizeof object_rules / sizeof object_rules[0];

/* Those of schema sluice that a job writes, behind the tables of the pipeline file. */
static const char *const ours[] = {"frontier", "checkpoints", "decisions", "remembered", "interventions", "migrations"};
enum { OURS = sizeof ours / sizeof ours[0] };

/* ---- are they the same? ---- */

/* The rows of the catalog that say what a table is. A version of a row is known by the transaction that made it: whatever is made, changed
 * or taken away leaves other versions, or fewer. */
static const struct {
	const char *catalog, *table, *part; /* part: what there are several of, per table */
	bool declared_only; /* asked of the tables of the pipeline file only */
	const char *more;
} versions[] = {
    {"pg_class", "oid", "oid", false, ""},
    {"pg_trigger", "tgrelid", "oid", false, ""},
    {"pg_rewrite", "ev_class", "oid", false, ""},
    {"pg_inherits", "inhparent", "inhrelid", false, ""},
    {"pg_attribute", "attrelid", "attnum", true, " AND c.attnum > 0"},
    /* Others refuse nothing, and people make and rebuild them. */
    {"pg_index", "indrelid", "indexrelid", true, " AND (c.indisunique OR c.indisexclusion)"},
};
enum { VERSIONS = sizeof versions / sizeof versions[0], TABLE_CATALOGS = 4 };

static void print_print(const struct postgres_objects *objects, struct buffer *out)
{
	size_t len = MUTANT(columns_unasked) ? TABLE_CATALOGS : VERSIONS;

	buffer_append_text(out, "concat(");
	for (size_t i = 0; i < len; i++) {
		buffer_printf(out,
		    "%s(SELECT hash_array_extended(array_agg(c.xmin ORDER BY c.%s, c.%s), 0) FROM %s c WHERE c.%s = "
		    "ANY (('%s'::oid[])[:%zu])%s)",
		    i ? ", ' ', " : "", versions[i].table, versions[i].part, versions[i].catalog, versions[i].table,
		    objects->tables, versions[i].declared_only ? objects->declared : objects->declared + OURS,
		    versions[i].more);
	}
	buffer_append_text(out, ")");
}

static enum sink_outcome tables_find(
    struct postgres *postgres, const struct pipeline *pipeline, struct postgres_objects *objects, struct error *error)
{
	struct buffer sql = {0};
	PGresult *result = NULL;

	objects->declared = ddl_tables(pipeline);
	buffer_append_text(&sql, "SELECT array_agg(coalesce(t.oid, 0) ORDER BY v.place) FROM (VALUES ");
	for (size_t i = 0; i < objects->declared; i++) {
		struct ddl_table table;
		ddl_table_describe(pipeline, i, &table);
		buffer_printf(&sql, "(%zu, '%s', '%s'), ", i, postgres->schema, table.name);
	}
	for (size_t i = 0; i < OURS; i++)
		buffer_printf(&sql, "%s(%zu, 'sluice', '%s')", i ? ", " : "", objects->declared + i, ours[i]);
	buffer_append_text(&sql,
	    ") v(place, schema, name) LEFT JOIN pg_namespace n ON n.nspname = v.schema LEFT JOIN pg_class t ON "
	    "t.relnamespace = n.oid AND t.relname = v.name");
	buffer_append(&sql, "", 1);
	enum sink_outcome outcome = postgres_query(postgres, &result, error, (const char *)sql.data, 0, NULL);
	if (outcome == SINK_DONE) {
		int len = snprintf(objects->tables, sizeof objects->tables, "%s", PQgetvalue(result, 0, 0));
		CHECK(len > 0 && (size_t)len < sizeof objects->tables);
	}
	PQclear(result);
	buffer_fini(&sql);
	return outcome;
}

/* What the catalog says of them before they are looked at. */
static enum sink_outcome print_read(struct postgres *postgres, struct postgres_objects *objects, struct error *error)
{
	struct buffer sql = {0};
	PGresult *result = NULL;

	buffer_append_text(&sql, "SELECT ");
	print_print(objects, &sql);
	buffer_append(&sql, "", 1);
	enum sink_outcome outcome = postgres_query(postgres, &result, error, (const char *)sql.data, 0, NULL);
	if (outcome == SINK_DONE) {
		int len = snprintf(objects->print, sizeof objects->print, "%s", PQgetvalue(result, 0, 0));
		CHECK(len > 0 && (size_t)len < sizeof objects->print);
	}
	PQclear(result);
	buffer_fini(&sql);
	return outcome;
}

static const char was_sql[] =
    "SELECT v.place - 1, v.now, CASE WHEN n.oid IS NULL THEN '' ELSE format('%I.%I', n.nspname, t.relname) END FROM "
    "unnest($1::oid[], $2::oid[]) WITH "
    "ORDINALITY "
    "v(was, now, place) LEFT JOIN pg_class t ON t.oid = v.was LEFT JOIN pg_namespace n ON n.oid = t.relnamespace WHERE "
    "v.was NOT IN (0, v.now) ORDER BY v.place LIMIT 1";

/* A table of that name is there, but it is not the one that was looked at before. */
static enum sink_outcome sameness_check(struct postgres *postgres, const struct pipeline *pipeline,
    const struct postgres_objects *before, const struct postgres_objects *objects, struct error *error)
{
	const char *params[] = {before->tables, objects->tables};
	struct ddl_table table;
	PGresult *result = NULL;

	if (before->tables[0] == '\0' || strcmp(before->tables, objects->tables) == 0 || MUTANT(sameness_unasked))
		return SINK_DONE;
	enum sink_outcome outcome = postgres_query(postgres, &result, error, was_sql, 2, params);
	if (outcome == SINK_DONE && PQntuples(result) > 0) {
		size_t place = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
		bool gone = strcmp(PQgetvalue(result, 0, 1), "0") == 0;
		bool renamed = PQgetvalue(result, 0, 2)[0] != '\0';
		if (place < objects->declared)
			ddl_table_describe(pipeline, place, &table);
		error_stop(error, gone ? STOP_TABLE_GONE : STOP_TABLE_REPLACED,
		    "table \"%s\"%s is not there any more: while the job ran it was %s%s%s",
		    place < objects->declared ? table.name : ours[place - objects->declared],
		    place < objects->declared ? " of the pipeline file" : " of schema sluice",
		    renamed ? "renamed to " : "dropped", renamed ? PQgetvalue(result, 0, 2) : "",
		    gone ? "" : ", and another table was put in its place");
		outcome = SINK_CONFIG;
	}
	PQclear(result);
	return outcome;
}

/* ---- what is wrong with them? ---- */

static enum sink_outcome shapes_check(
    struct postgres *postgres, const struct pipeline *pipeline, const char *job, struct error *error)
{
	enum sink_outcome outcome = SINK_DONE;

	for (size_t i = 0; i < ddl_tables(pipeline) && outcome == SINK_DONE && !MUTANT(shapes_unchecked); i++) {
		struct ddl_table table;
		struct table_state state;
		ddl_table_describe(pipeline, i, &table);
		outcome = postgres_table_check(postgres, &table, job, &state, error);
		if (outcome == SINK_DONE && !state.exists) {
			error_stop(error, STOP_TABLE_GONE, "table \"%s\" is gone from schema \"%s\"", table.name,
			    postgres->schema);
			outcome = SINK_CONFIG;
		}
	}
	return outcome;
}

static enum sink_outcome rule_ask(struct postgres *postgres, const struct object_rule *rule,
    const struct postgres_objects *objects, struct error *error)
{
	const char *tables = objects->tables;
	PGresult *result = NULL;
	enum sink_outcome outcome = postgres_query(postgres, &result, error, rule->sql, 1, &tables);

	if (outcome == SINK_DONE && rule->stop != STOP_KINDS && PQntuples(result) > 0) {
		error_stop(error, rule->stop, "table \"%s\" %s", PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1));
		outcome = SINK_CONFIG;
	}
	for (int i = 0; outcome == SINK_DONE && i < PQntuples(result); i++)
		log_warn("table \"%s\" %s", PQgetvalue(result, i, 0), PQgetvalue(result, i, 1));
	PQclear(result);
	return outcome;
}

enum sink_outcome postgres_encoding_check(struct postgres *postgres, struct error *error)
{
	PGresult *result = NULL;
	enum sink_outcome outcome =
	    postgres_query(postgres, &result, error, "SELECT current_setting('server_encoding')", 0, NULL);

	if (outcome == SINK_DONE && strcmp(PQgetvalue(result, 0, 0), "UTF8") != 0 && !MUTANT(encoding_unasked)) {
		error_stop(error, STOP_ENCODING,
		    "the database's encoding is %s, which cannot hold every text, or not count it",
		    PQgetvalue(result, 0, 0));
		outcome = SINK_CONFIG;
	}
	PQclear(result);
	return outcome;
}

/* Emptied by TRUNCATE, or by a crash while it was UNLOGGED. */
static enum sink_outcome emptiness_check(
    struct postgres *postgres, const struct pipeline *pipeline, const char *job, struct error *error)
{
	struct buffer sql = {0};
	PGresult *result = NULL;

	buffer_append_text(&sql, "SELECT v.name, f.counters ->> 'accepted' FROM sluice.frontier f, (VALUES ");
	for (size_t i = 0; i <= pipeline->rollups_len; i++) {
		const char *name = i ? pipeline->rollups[i - 1].table : pipeline->record.table;
		buffer_printf(&sql, "%s('%s', EXISTS (SELECT FROM ", i ? ", " : "", name);
		sql_table(&sql, postgres->schema, name);
		buffer_append_text(&sql, "))");
	}
	buffer_append_text(&sql, ") v(name, rows) WHERE f.job = $1 AND NOT v.rows AND coalesce((f.counters ->> "
	                         "'accepted')::numeric, 0) > 0");
	buffer_append(&sql, "", 1);
	enum sink_outcome outcome = postgres_query(postgres, &result, error, (const char *)sql.data, 1, &job);
	if (outcome == SINK_DONE && PQntuples(result) > 0 && !MUTANT(emptiness_unasked)) {
		error_stop(error, STOP_ROWS_GONE, "table \"%s\" is empty, but the frontier of job %s counts %s records",
		    PQgetvalue(result, 0, 0), job, PQgetvalue(result, 0, 1));
		outcome = SINK_CONFIG;
	}
	PQclear(result);
	buffer_fini(&sql);
	return outcome;
}

/* People may have dealt with letters and deleted them, so this is no reason to stop: no total rests on one. */
static enum sink_outcome letters_look(struct postgres *postgres, const char *job, struct error *error)
{
	struct buffer sql = {0};
	PGresult *result = NULL;

	buffer_append_text(&sql,
	    "SELECT n FROM (SELECT coalesce((counters ->> 'dead')::numeric, 0) + coalesce((counters "
	    "->> 'conflicts')::numeric, 0) AS n FROM sluice.frontier WHERE job = $1) f WHERE n > 0 "
	    "AND NOT EXISTS (SELECT FROM ");
	sql_table(&sql, postgres->schema, DEAD_LETTERS_TABLE);
	buffer_append_text(&sql, " WHERE job = $1)");
	buffer_append(&sql, "", 1);
	enum sink_outcome outcome = postgres_query(postgres, &result, error, (const char *)sql.data, 1, &job);
	if (outcome == SINK_DONE && PQntuples(result) > 0)
		log_warn("table \"" DEAD_LETTERS_TABLE
		         "\" has no letter of job %s, but its frontier counts %s: somebody "
		         "has deleted them; sluicectl audit names each, and no total rests on them",
		    job, PQgetvalue(result, 0, 0));
	PQclear(result);
	buffer_fini(&sql);
	return outcome;
}

enum sink_outcome postgres_objects_look(struct postgres *postgres, const struct pipeline *pipeline, const char *job,
    struct postgres_objects *objects, struct error *error)
{
	struct postgres_objects now;
	enum sink_outcome outcome = tables_find(postgres, pipeline, &now, error);

	if (outcome == SINK_DONE)
		outcome = print_read(postgres, &now, error);
	if (outcome == SINK_DONE)
		outcome = sameness_check(postgres, pipeline, objects, &now, error);
	if (outcome == SINK_DONE)
		outcome = shapes_check(postgres, pipeline, job, error);
	for (size_t i = 0; i < object_rules_len && outcome == SINK_DONE; i++)
		outcome = rule_ask(postgres, &object_rules[i], &now, error);
	if (outcome == SINK_DONE)
		outcome = emptiness_check(postgres, pipeline, job, error);
	if (outcome == SINK_DONE)
		outcome = letters_look(postgres, job, error);
	if (outcome == SINK_DONE)
		*objects = now;
	return outcome;
}

void postgres_objects_prepare_print(const struct postgres_objects *objects, struct buffer *out)
{
	buffer_append_text(out, "PREPARE tables_are_the_same AS SELECT CASE ");
	print_print(objects, out);
	buffer_printf(out, " WHEN '%s' THEN true ELSE sluice.tables_changed() END;\n", objects->print);
}
