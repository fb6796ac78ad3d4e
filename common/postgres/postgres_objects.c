/* common/postgres/postgres_objects.c - see postgres_objects.h. */
#include "common/postgres/postgres_objects.h"

#include <stdio.h>
#include <string.h>

#include "common/base/job.h"
#include "common/base/log.h"
#include "common/base/mutant.h"
#include "common/postgres/ddl.h"

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

/* A version of a row of the catalog is known by the transaction that made it. */
#define PRINT                                                                                                          \
	"md5(concat((SELECT string_agg(concat(t.oid, '.', t.xmin), ' ' ORDER BY t.oid) FROM pg_class t WHERE t.oid = " \
	"ANY ('%s')), "                                                                                                \
	"' ', (SELECT string_agg(concat(g.oid, '.', g.xmin), ' ' ORDER BY g.oid) FROM pg_trigger g WHERE g.tgrelid = " \
	"ANY ('%s'))))"

/* Of all tables that are there; and what the catalog says of them before they are looked at. */
static enum sink_outcome print_read(
    struct postgres *postgres, const struct pipeline *pipeline, struct postgres_objects *objects, struct error *error)
{
	static const char *const ours[] = {
	    "frontier", "checkpoints", "decisions", "remembered", "interventions", "migrations"};
	struct buffer sql = {0};
	PGresult *result = NULL;

	buffer_append_text(&sql, "SELECT array_agg(t.oid ORDER BY v.place) FROM (VALUES ");
	for (size_t i = 0; i < ddl_tables(pipeline); i++) {
		struct ddl_table table;
		ddl_table_describe(pipeline, i, &table);
		buffer_printf(&sql, "(%zu, '%s', '%s'), ", i, postgres->schema, table.name);
	}
	for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
		buffer_printf(&sql, "%s(%zu, 'sluice', '%s')", i ? ", " : "", ddl_tables(pipeline) + i, ours[i]);
	buffer_append_text(&sql,
	    ") v(place, schema, name) JOIN pg_namespace n ON n.nspname = v.schema JOIN pg_class t ON "
	    "t.relnamespace = n.oid AND t.relname = v.name");
	buffer_append(&sql, "", 1);
	enum sink_outcome outcome = postgres_query(postgres, &result, error, (const char *)sql.data, 0, NULL);
	if (outcome == SINK_DONE) {
		int len = snprintf(objects->tables, sizeof objects->tables, "%s", PQgetvalue(result, 0, 0));
		CHECK(len > 0 && (size_t)len < sizeof objects->tables);
		PQclear(result);
		buffer_clear(&sql);
		buffer_printf(&sql, "SELECT " PRINT, objects->tables, objects->tables);
		buffer_append(&sql, "", 1);
		outcome = postgres_query(postgres, &result, error, (const char *)sql.data, 0, NULL);
	}
	if (outcome == SINK_DONE)
		snprintf(objects->print, sizeof objects->print, "%s", PQgetvalue(result, 0, 0));
	PQclear(result);
	buffer_fini(&sql);
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

enum sink_outcome postgres_objects_look(struct postgres *postgres, const struct pipeline *pipeline, const char *job,
    struct postgres_objects *objects, struct error *error)
{
	enum sink_outcome outcome = print_read(postgres, pipeline, objects, error);

	for (size_t i = 0; i < object_rules_len && outcome == SINK_DONE; i++)
		outcome = rule_ask(postgres, &object_rules[i], objects, error);
	if (outcome == SINK_DONE)
		outcome = emptiness_check(postgres, pipeline, job, error);
	return outcome;
}

void postgres_objects_prepare_print(const struct postgres_objects *objects, struct buffer *out)
{
	buffer_printf(out,
	    "PREPARE tables_are_the_same AS SELECT CASE " PRINT " WHEN '%s' THEN true ELSE "
	    "sluice.tables_changed() END;\n",
	    objects->tables, objects->tables, objects->print);
}
