/* What the sink makes in a database, and what it refuses to touch. Needs DATABASE_URL. */
#include "common/postgres/postgres_session.h"
#include "tests/integration/sink_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static enum result init(struct fixture *fixture, struct buffer *report, struct error *error)
{
	buffer_clear(report);
	enum result result = postgres_init(&fixture->pipeline, "sluicectl", report, error);
	buffer_append(report, "", 1);
	return result;
}

static const char columns_sql[] =
    "SELECT string_agg(format('%s %s%s%s', column_name, (SELECT format_type(atttypid, atttypmod) FROM pg_attribute "
    "WHERE attrelid = table_name::regclass AND attname = column_name), CASE is_nullable WHEN 'NO' THEN ' !' ELSE '' "
    "END, "
    "coalesce(' = ' || column_default, '')), ', ' ORDER BY ordinal_position) FROM information_schema.columns "
    "WHERE table_schema = 'public' AND table_name = ";

static void assert_columns(struct fixture *fixture, const char *table, const char *expected)
{
	struct buffer sql = {0};
	buffer_printf(&sql, "%s'%s'", columns_sql, table);
	buffer_append(&sql, "", 1);
	assert_string_equal(fixture_value(fixture, (const char *)sql.data), expected);
	buffer_fini(&sql);
}

/* What a report says of every migration from this place on. */
static void migrations_print(struct buffer *out, size_t first)
{
	for (size_t i = first; i < migrations_len; i++)
		buffer_printf(out, "applied migration %s\n", migrations[i].name);
}

static void test_init_makes_everything(void **state)
{
	struct fixture *fixture = *state;
	struct buffer report = {0}, expected = {0};
	struct error error = {0};

	assert_int_equal(init(fixture, &report, &error), RESULT_OK);
	migrations_print(&expected, 0);
	buffer_append_text(&expected, "created table transactions\ncreated table sales_per_category\n"
	                              "created table sales_per_month\ncreated table dead_letters\ncreated frontier "
	                              "shop/totals\n");
	buffer_append(&expected, "", 1);
	assert_string_equal((const char *)report.data, (const char *)expected.data);
	buffer_fini(&expected);
	assert_columns(fixture, "transactions",
	    "transaction_id character varying(36) !, product_category character varying(100) !, product_quantity "
	    "integer, "
	    "total_amount numeric(10,2) !, rate numeric(18,7), transaction_date timestamp without time zone !, "
	    "customer_id character varying(255), created_at timestamp without time zone = CURRENT_TIMESTAMP");
	assert_columns(fixture, "sales_per_category",
	    "transaction_date date !, category character varying(100) !, total_sales numeric(15,2) !");
	assert_columns(fixture, "sales_per_month", "year integer !, month integer !, total_sales numeric(38,2) !");
	assert_columns(fixture, "dead_letters",
	    "job text !, topic text !, partition integer !, offset bigint !, key bytea, payload bytea, payload_raw "
	    "boolean !, "
	    "reason text !, detail text, sink text !, epoch text !, created_at timestamp with time zone ! = now()");
	assert_string_equal(
	    fixture_value(fixture,
	        "SELECT string_agg(indexdef, '; ' ORDER BY indexname) FROM pg_indexes WHERE schemaname = "
	        "'public' AND tablename IN ('transactions', 'sales_per_month')"),
	    "CREATE INDEX idx_transactions_category ON public.transactions USING btree (product_category); "
	    "CREATE INDEX idx_transactions_date ON public.transactions USING btree (transaction_date); "
	    "CREATE UNIQUE INDEX sales_per_month_pkey ON public.sales_per_month USING btree (year, month); "
	    "CREATE UNIQUE INDEX transactions_pkey ON public.transactions USING btree (transaction_id)");
	assert_string_equal(
	    fixture_value(fixture, "SELECT row(job, fence, attempt, epoch, cut)::text FROM sluice.frontier"),
	    "(shop/totals,0,0,0,)");
	buffer_fini(&report);
}

static void test_init_twice(void **state)
{
	struct fixture *fixture = *state;
	struct buffer report = {0};
	struct error error = {0};

	assert_int_equal(init(fixture, &report, &error), RESULT_OK);
	assert_int_equal(init(fixture, &report, &error), RESULT_OK);
	assert_string_equal((const char *)report.data,
	    "found table transactions\nfound table sales_per_category\nfound table sales_per_month\n"
	    "found table dead_letters\nfound frontier shop/totals\n");
	assert_string_equal(fixture_value(fixture, "SELECT count(*) FROM sluice.frontier"), "1");
	buffer_fini(&report);
}

/* The frontier's index is not unique: that there is one row a job is init's to see to. */
static void test_many_inits_at_once(void **state)
{
	enum { INITS = 8 };
	struct fixture *fixture = *state;
	pid_t children[INITS];

	for (int i = 0; i < INITS; i++) {
		children[i] = fork();
		assert_true(children[i] >= 0);
		if (children[i] == 0) {
			struct buffer report = {0};
			struct error error = {0};
			bool done = init(fixture, &report, &error) == RESULT_OK;
			if (!done)
				fprintf(stderr, "%s\n", error.text);
			_exit(done ? 0 : 1);
		}
	}
	for (int i = 0; i < INITS; i++) {
		int status = -1;
		assert_int_equal(waitpid(children[i], &status, 0), children[i]);
		assert_int_equal(status, 0);
	}
	assert_string_equal(fixture_value(fixture, "SELECT string_agg(job, ',') FROM sluice.frontier"), "shop/totals");
}

/* A snapshot that is as old as the wait for the lock would see no migration. */
static void test_many_inits_at_once_serializable(void **state)
{
	fixture_run(*state, "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = "
	                    "serializable', current_database()); END $$");
	test_many_inits_at_once(state);
}

/* Somebody else's logical replication of the whole database stops no writer. */
static void test_published(void **state)
{
	struct fixture *fixture = *state;
	struct buffer report = {0};
	struct error error = {0};

	assert_int_equal(init(fixture, &report, &error), RESULT_OK);
	fixture_run(fixture, "CREATE PUBLICATION everything FOR ALL TABLES; UPDATE sluice.frontier SET fence = 1; "
	                     "DELETE FROM sluice.checkpoints; DELETE FROM sluice.decisions; UPDATE sales_per_category "
	                     "SET total_sales = 0; UPDATE sales_per_month SET total_sales = 0");
	buffer_fini(&report);
}

/* Made by the user, with a column more that has a default: fine. */
static void test_own_table_is_taken(void **state)
{
	struct fixture *fixture = *state;
	struct buffer report = {0};
	struct error error = {0};

	fixture_run(fixture,
	    "CREATE TABLE transactions (note text NOT NULL DEFAULT 'x', transaction_id varchar(36) PRIMARY KEY, "
	    "product_category varchar(100), product_quantity int, total_amount numeric(10,2), rate numeric(18,7), "
	    "transaction_date timestamp, customer_id varchar(255), extra text)");
	if (init(fixture, &report, &error) != RESULT_OK)
		fail_msg("%s", error.text);
	fixture->port = fixture_writer(fixture, 1);
	struct draft draft;
	draft_open(&draft, 1, (struct epoch_id){0, 0}, (struct epoch_id){1, 1}, 1);
	draft_sale(&draft, 0, "a", 100);
	assert_int_equal(draft_commit(&draft, fixture->port)->outcome, SINK_DONE);
	assert_string_equal(
	    fixture_value(fixture, "SELECT note || transaction_id || total_amount FROM transactions"), "xa1.00");
	draft_close(&draft);
	buffer_fini(&report);
}

/* Runs `sql`, then init must be refused with `words`, and must leave nothing behind. */
static void assert_refused(struct fixture *fixture, const char *sql, const char *words)
{
	struct buffer report = {0};
	struct error error = {0};

	fixture_run(fixture, sql);
	const char *before =
	    "SELECT string_agg(oid::text || relname, ',' ORDER BY oid) FROM pg_class WHERE oid >= 16384";
	char *was = text_clone(fixture_value(fixture, before));
	assert_int_equal(init(fixture, &report, &error), RESULT_CONFIG);
	if (!strstr(error.text, words))
		fail_msg("\"%s\" does not say \"%s\"", error.text, words);
	assert_string_equal((const char *)report.data, "");
	assert_string_equal(fixture_value(fixture, before), was);
	free(was);
	buffer_fini(&report);
}

static void test_incompatible_tables(void **state)
{
	struct fixture *fixture = *state;

	assert_refused(fixture, "CREATE TABLE transactions (transaction_id varchar(36) PRIMARY KEY)",
	    "\"product_category\" is missing");
	assert_refused(fixture, "ALTER TABLE transactions ADD product_category varchar(50)",
	    "\"product_category\" is character varying(50) instead of character varying(100)");
	assert_refused(fixture,
	    "ALTER TABLE transactions ALTER product_category TYPE varchar(100), ADD product_quantity bigint",
	    "is bigint");
	assert_refused(fixture,
	    "ALTER TABLE transactions ALTER product_quantity TYPE int, ALTER product_quantity SET NOT NULL, "
	    "ADD total_amount numeric(10,2), ADD rate numeric(18,7), ADD transaction_date timestamp, ADD customer_id "
	    "varchar(255)",
	    "\"product_quantity\" is NOT NULL");
	assert_refused(
	    fixture, "ALTER TABLE transactions ALTER product_quantity DROP NOT NULL, ADD who text NOT NULL", "\"who\"");
	assert_refused(fixture,
	    "ALTER TABLE transactions DROP who, DROP CONSTRAINT transactions_pkey, "
	    "ADD UNIQUE (transaction_id, product_category)",
	    "over exactly \"transaction_id\"");
	assert_refused(fixture, "DROP TABLE transactions; CREATE VIEW transactions AS SELECT 1", "a view");
	assert_refused(fixture,
	    "DROP VIEW transactions; CREATE TABLE sales_per_month (year int, month int, "
	    "total_sales numeric(15,2), PRIMARY KEY (year, month))",
	    "\"total_sales\" is numeric(15,2)");
	/* The last table is checked before the first one is made. */
	assert_refused(fixture, "DROP TABLE sales_per_month; CREATE TABLE dead_letters (topic text)", "dead_letters");
}

static void test_rows_without_frontier(void **state)
{
	struct fixture *fixture = *state;
	struct buffer report = {0};
	struct error error = {0};

	assert_int_equal(init(fixture, &report, &error), RESULT_OK);
	buffer_fini(&report);
	assert_refused(fixture, "INSERT INTO sales_per_month VALUES (2024, 1, 5)", "\"sales_per_month\" holds rows");
	assert_refused(fixture,
	    "DELETE FROM sales_per_month; INSERT INTO dead_letters (job, topic, partition, \"offset\", "
	    "payload_raw, reason, sink, epoch) VALUES ('shop/totals', 'sales', 0, 0, true, 'x', 'postgres', '1.1')",
	    "\"dead_letters\" holds");
	/* Another job may read the same topic. */
	fixture_run(fixture, "UPDATE dead_letters SET job = 'other/totals'");
	fixture->port = fixture_writer(fixture, 1);
	/* Started: rows are what is expected. */
	fixture_run(fixture, "INSERT INTO sales_per_month VALUES (2024, 1, 5)");
	assert_int_equal(fixture_fence(fixture->port, 2)->outcome, SINK_DONE);
	/* Started, and a table is gone: it must not be made anew, empty. */
	fixture_run(fixture, "DROP TABLE sales_per_month");
	struct sink_answer *answer = fixture_fence(fixture->port, 3);
	assert_int_equal(answer->outcome, SINK_CONFIG);
	assert_non_null(strstr(answer->error.text, "\"sales_per_month\" is gone"));
	assert_string_equal(fixture_value(fixture, "SELECT fence FROM sluice.frontier"), "2");
}

/* A database of the first release, with a job that has come some way and two that have not been started or retired. */
static void test_second_migration(void **state)
{
	struct fixture *fixture = *state;
	struct buffer report = {0}, tables = {0}, applied = {0};
	struct error error = {0};
	char sql[512];

	fixture_run(fixture, migrations[0].sql);
	ddl_print(&fixture->pipeline, &tables);
	buffer_append(&tables, "", 1);
	fixture_run(fixture, (const char *)tables.data);
	snprintf(sql, sizeof sql,
	    "INSERT INTO sluice.migrations VALUES (1); INSERT INTO sluice.frontier (job, fence, attempt, epoch, cut, "
	    "counters, fingerprint, committed_at) VALUES ('shop/totals', 3, 3, 9, '{\"0\": 70, \"1\": 4}', "
	    "'{\"consumed\": 20}', '%s', now()), ('idle/totals', 0, 0, 0, NULL, '{}', NULL, NULL)",
	    fixture->pipeline.fingerprint);
	fixture_run(fixture, sql);
	fixture_run(fixture, "INSERT INTO sluice.checkpoints VALUES ('shop/totals', 0, 0, '{\"0\": 50, \"1\": 4}');"
	                     "INSERT INTO sluice.decisions VALUES ('shop/totals', 'sales', 0, 60, 'conflicts', '3.9');"
	                     "INSERT INTO transactions VALUES ('a', 'x', 1, 1, NULL, now(), NULL)");
	assert_int_equal(init(fixture, &report, &error), RESULT_OK);
	migrations_print(&applied, 1);
	buffer_append(&applied, "found table", sizeof "found table");
	assert_non_null(strstr((const char *)report.data, (const char *)applied.data));
	buffer_fini(&applied);
	assert_null(strstr((const char *)report.data, "001"));
	assert_string_equal(
	    fixture_value(fixture, "SELECT string_agg(job || ' ' || coalesce(start::text, '-'), ', ' ORDER BY job) "
	                           "FROM sluice.frontier"),
	    "idle/totals -, shop/totals {\"0\": 50, \"1\": 4}");
	fixture->port = fixture_writer(fixture, 4);
	struct sink_answer *answer = fixture_look(fixture->port, 4);
	assert_int_equal(answer->outcome, SINK_DONE);
	assert_int_equal(cut_get(&answer->frontier.cut, 0, -1), 70);
	assert_int_equal(answer->frontier.counters.n[COUNTER_CONSUMED], 20);
	assert_int_equal(
	    fixture_mark(fixture->port, 4, (struct epoch_id){3, 9}, (struct epoch_id){4, 1}, 70)->outcome, SINK_DONE);
	assert_int_equal(fixture_choose(fixture->port, 4, (struct epoch_id){0, 0})->outcome, SINK_DONE);
	assert_string_equal(fixture_value(fixture, "SELECT count(*) FROM sluice.checkpoints"), "1");
	snprintf(sql, sizeof sql, "%zu", migrations_len);
	assert_string_equal(fixture_value(fixture, "SELECT count(*) FROM sluice.migrations"), sql);
	buffer_fini(&report);
	buffer_fini(&tables);
}

/* --- neighbours ---------------------------------------------------------------------------------------------------- */

/* As the release before made it, or the DDL that it printed. */
static const char old_letters[] =
    "CREATE TABLE dead_letters (topic TEXT NOT NULL, \"partition\" INTEGER NOT NULL, \"offset\" BIGINT NOT NULL, "
    "key BYTEA, payload BYTEA, payload_raw BOOLEAN NOT NULL, reason TEXT NOT NULL, detail TEXT, sink TEXT NOT NULL, "
    "epoch TEXT NOT NULL, created_at TIMESTAMPTZ NOT NULL DEFAULT now(), UNIQUE (topic, \"partition\", \"offset\", "
    "sink)); INSERT INTO dead_letters (topic, \"partition\", \"offset\", payload, payload_raw, reason, sink, epoch) "
    "SELECT t, p, o, 'x', true, 'not_json', 'postgres', '1.1' FROM unnest('{sales,orders}'::text[]) t, "
    "generate_series(0, 1) p, generate_series(10, 19) o; ";

/* A job that has come some way: from 0 to 15 and 100, with so many letters. */
static void old_job(struct fixture *fixture, const char *job, const char *topic, int dead)
{
	char sql[512];

	snprintf(sql, sizeof sql,
	    "INSERT INTO sluice.frontier (job, fence, cut, start, counters, fingerprint, meaning) VALUES ('%s', 1, "
	    "'{\"0\": 15, \"1\": 100}', '{\"0\": 0, \"1\": 0}', '{\"dead\": %d, \"conflicts\": 0}', 'x', "
	    "E'format 1\\ntopic %s\\ntable t\\n')",
	    job, dead, topic);
	fixture_run(fixture, sql);
}

static void old_release(struct fixture *fixture)
{
	struct buffer report = {0};
	struct error error = {0};

	assert_int_equal(init(fixture, &report, &error), RESULT_OK);
	fixture_run(fixture, "DROP TABLE dead_letters; DELETE FROM sluice.frontier");
	buffer_fini(&report);
}

static const char letters_by_job[] =
    "SELECT string_agg(format('%s %s %s', job, topic, n), ', ' ORDER BY job, topic) FROM "
    "(SELECT job, topic, count(*) AS n FROM dead_letters GROUP BY 1, 2) l";
static const char letters_keys[] =
    "SELECT string_agg(pg_get_constraintdef(oid), ', ') FROM pg_constraint WHERE conrelid = 'dead_letters'::regclass";

static void assert_init(struct fixture *fixture)
{
	struct buffer report = {0};
	struct error error = {0};

	if (init(fixture, &report, &error) != RESULT_OK)
		fail_msg("%s", error.text);
	buffer_fini(&report);
}

static void test_letters_of_one_job(void **state)
{
	struct fixture *fixture = *state;

	old_release(fixture);
	fixture_run(fixture, old_letters);
	old_job(fixture, "first/totals", "sales", 15);
	/* Who comes first after the update is a new job here: it has no letter, and is not refused. */
	assert_init(fixture);
	assert_string_equal(fixture_value(fixture, letters_by_job), " orders 20,  sales 5, first/totals sales 15");
	assert_string_equal(fixture_value(fixture, letters_keys), "UNIQUE (job, topic, partition, \"offset\", sink)");
	assert_init(fixture);
	fixture_run(fixture,
	    "INSERT INTO dead_letters SELECT topic, \"partition\", \"offset\", key, payload, payload_raw, "
	    "reason, detail, sink, epoch, created_at, 'shop/totals' FROM dead_letters WHERE topic = 'sales' "
	    "AND job <> ''");
}

static void test_letters_of_two_jobs(void **state)
{
	struct fixture *fixture = *state;

	old_release(fixture);
	fixture_run(fixture, old_letters);
	old_job(fixture, "first/totals", "sales", 15);
	old_job(fixture, "second/totals", "orders", 15);
	old_job(fixture, "third/totals", "sales", 0);
	assert_init(fixture);
	assert_string_equal(fixture_value(fixture, letters_by_job),
	    " orders 5,  sales 5, first/totals sales 15, second/totals orders 15");
}

static void test_letters_of_who_knows(void **state)
{
	struct fixture *fixture = *state;

	old_release(fixture);
	fixture_run(fixture, old_letters);
	old_job(fixture, "first/totals", "sales", 10);
	old_job(fixture, "third/totals", "sales", 5);
	assert_refused(fixture, "SELECT 1", "may be of job first/totals or third/totals");
	/* Nothing was changed; then a person says so. */
	assert_string_equal(fixture_value(fixture, letters_keys), "UNIQUE (topic, partition, \"offset\", sink)");
	fixture_run(fixture,
	    "ALTER TABLE dead_letters ADD COLUMN IF NOT EXISTS job text; UPDATE dead_letters SET job = "
	    "CASE WHEN \"offset\" < 12 THEN 'first/totals' ELSE 'third/totals' END WHERE topic = 'sales'");
	assert_init(fixture);
	assert_string_equal(
	    fixture_value(fixture, letters_by_job), " orders 20, first/totals sales 4, third/totals sales 16");
	assert_string_equal(fixture_value(fixture, letters_keys), "UNIQUE (job, topic, partition, \"offset\", sink)");
}

/* Made by `validate --ddl`, and never used; with another name of its key, and as an index without a constraint. */
static void test_letters_empty(void **state)
{
	struct fixture *fixture = *state;

	old_release(fixture);
	fixture_run(fixture, old_letters);
	fixture_run(fixture,
	    "DELETE FROM dead_letters; ALTER TABLE dead_letters ADD CONSTRAINT mine PRIMARY KEY (sink, topic, "
	    "\"offset\", \"partition\"); CREATE UNIQUE INDEX other ON dead_letters (sink, topic, "
	    "\"partition\", \"offset\"); CREATE UNIQUE INDEX keep ON dead_letters (created_at, epoch)");
	assert_init(fixture);
	assert_string_equal(fixture_value(fixture, letters_keys), "UNIQUE (job, topic, partition, \"offset\", sink)");
	assert_string_equal(
	    fixture_value(fixture, "SELECT count(*) FROM pg_index WHERE indrelid = 'dead_letters'::regclass"), "2");
}

static void test_letters_of_another_role(void **state)
{
	struct fixture *fixture = *state;

	old_release(fixture);
	fixture_run(fixture, old_letters);
	fixture_run(fixture,
	    "CREATE ROLE letters_owner; ALTER TABLE dead_letters OWNER TO letters_owner; "
	    "CREATE ROLE letters_writer LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO letters_writer; "
	    "GRANT ALL ON SCHEMA sluice TO letters_writer; GRANT ALL ON ALL TABLES IN SCHEMA sluice TO letters_writer");
	assert_string_equal(
	    fixture_value(fixture, "SET ROLE letters_writer; SELECT sluice.letters_by_job('dead_letters')"),
	    "it belongs to role letters_owner");
	fixture_run(fixture, "RESET ROLE");
	assert_init(fixture);
	fixture_run(
	    fixture, "DROP OWNED BY letters_owner, letters_writer; DROP ROLE letters_owner; DROP ROLE letters_writer");
}

static void test_table_of_another(void **state)
{
	struct fixture *fixture = *state;

	assert_init(fixture);
	assert_refused(fixture, "UPDATE sluice.tables SET job = 'other/totals' WHERE name = 'sales_per_month'",
	    "\"sales_per_month\" belongs to job other/totals, and this is job shop/totals");
	/* Also where it is not there yet, or any more. */
	assert_refused(fixture, "DROP TABLE sales_per_month", "\"sales_per_month\" belongs to job other/totals");
	/* A database of before, whose jobs came without owners: the first one to come has them. */
	fixture_run(fixture, "DELETE FROM sluice.tables");
	assert_init(fixture);
	assert_string_equal(
	    fixture_value(fixture, "SELECT string_agg(concat_ws(' ', schema, name, job), ', ' ORDER BY name) FROM "
	                           "sluice.tables"),
	    "public sales_per_category shop/totals, public sales_per_month shop/totals, public transactions "
	    "shop/totals");
}

static void test_newer_schema(void **state)
{
	struct fixture *fixture = *state;
	struct buffer report = {0};
	struct error error = {0};

	assert_int_equal(init(fixture, &report, &error), RESULT_OK);
	buffer_fini(&report);
	assert_refused(fixture, "INSERT INTO sluice.migrations VALUES (999)", "newer release");
}

static void test_meaning_changed(void **state)
{
	struct fixture *fixture = *state;
	struct pipeline other;
	struct error error = {0};
	struct buffer text = {0};

	fixture->port = fixture_writer(fixture, 5);
	/* The same job with a category that is a number. */
	const char *at = strstr(fixture_pipeline_text, "string(100)");
	buffer_append(&text, fixture_pipeline_text, (size_t)(at - fixture_pipeline_text));
	buffer_append_text(&text, "integer");
	buffer_append(&text, at + 11, strlen(at + 11) + 1);
	fixture_pipeline(&other, (const char *)fixture->url.data, (const char *)text.data);
	struct sink_port *port = NULL;
	assert_int_equal(sink_postgres_open(&port, &other, "other", NULL, &error), RESULT_OK);
	struct sink_answer *answer = fixture_fence(port, 6);
	assert_int_equal(answer->outcome, SINK_CONFIG);
	assert_non_null(strstr(answer->error.text, "string(100)"));
	assert_non_null(strstr(answer->error.text, "integer"));
	assert_non_null(strstr(answer->error.text, "product_category"));
	port->ops->close(port);
	/* The writer that was there has not been disturbed. */
	sink_start(fixture->port, SINK_TOUCH, .attempt = 5, .predecessor = (struct epoch_id){0, 0});
	assert_int_equal(sink_await(fixture->port)->outcome, SINK_DONE);
	pipeline_fini(&other);
	buffer_fini(&text);
}

/* ---- schemas ---- */

static void assert_commits(struct fixture *fixture, struct epoch_id from, struct epoch_id to, const char *key)
{
	struct draft draft;
	struct value month[] = {value_integer(2024), value_integer(1)};

	draft_open(&draft, to.attempt, from, to, (int64_t)to.n);
	draft_sale(&draft, 0, key, 100);
	draft_group(&draft, 1, month, 2, 100 * (__int128)to.n);
	draft_letter(&draft, (struct letter){.offset = (int64_t)to.n, .reason = {(const uint8_t *)"x", 1}});
	struct sink_answer *answer = draft_commit(&draft, fixture->port);
	if (answer->outcome != SINK_DONE)
		fail_msg("%s", answer->error.text);
	draft_close(&draft);
}

static void schema_name(struct fixture *fixture, const char *name)
{
	free(fixture->pipeline.sinks.postgres_schema);
	fixture->pipeline.sinks.postgres_schema = text_clone(name);
}

static void assert_fence(struct fixture *fixture, uint64_t attempt, enum sink_outcome outcome, const char *words)
{
	struct sink_answer *answer = fixture_fence(fixture->port, attempt);
	if (answer->outcome != outcome || !strstr(answer->error.text, words))
		fail_msg("outcome %d instead of %d, or \"%s\" does not say \"%s\"", (int)answer->outcome, (int)outcome,
		    answer->error.text, words);
}

/* Another schema with the same tables comes first in the search_path of a job that has started. */
static void test_schema_is_remembered(void **state)
{
	struct fixture *fixture = *state;
	struct buffer tables = {0};

	fixture->port = fixture_writer(fixture, 1);
	assert_commits(fixture, (struct epoch_id){0, 0}, (struct epoch_id){1, 1}, "a");
	fixture_run(fixture, "CREATE SCHEMA postgres; SET search_path = postgres");
	ddl_print(&fixture->pipeline, &tables);
	buffer_append(&tables, "", 1);
	fixture_run(fixture, (const char *)tables.data);
	fixture_run(fixture, "INSERT INTO sales_per_month VALUES (2030, 1, 7)");
	assert_fence(fixture, 2, SINK_DONE, "");
	assert_commits(fixture, (struct epoch_id){1, 1}, (struct epoch_id){2, 2}, "b");
	assert_int_equal(fixture_look(fixture->port, 2)->outcome, SINK_DONE);
	assert_commits(fixture, (struct epoch_id){2, 2}, (struct epoch_id){2, 3}, "c");
	assert_string_equal(
	    fixture_value(fixture, "SELECT concat((SELECT string_agg(transaction_id, '') FROM "
	                           "public.transactions), (SELECT total_sales FROM "
	                           "public.sales_per_month), (SELECT count(*) FROM public.dead_letters))"),
	    "abc3.003");
	assert_string_equal(
	    fixture_value(fixture, "SELECT concat((SELECT count(*) FROM postgres.transactions), (SELECT "
	                           "count(*) FROM postgres.sales_per_month), (SELECT count(*) FROM "
	                           "postgres.dead_letters))"),
	    "010");
	buffer_fini(&tables);
}

static void test_schema_is_named(void **state)
{
	struct fixture *fixture = *state;
	struct buffer report = {0};
	struct error error = {0};

	schema_name(fixture, "shop");
	assert_int_equal(init(fixture, &report, &error), RESULT_OK);
	assert_non_null(strstr((const char *)report.data, "created schema shop\ncreated table transactions\n"));
	buffer_fini(&report);
	/* Nothing was written: another name is as good. */
	schema_name(fixture, "sales");
	fixture->port = fixture_writer(fixture, 1);
	assert_commits(fixture, (struct epoch_id){0, 0}, (struct epoch_id){1, 1}, "a");
	assert_string_equal(fixture_value(fixture, "SELECT count(*) FROM sales.transactions"), "1");
	/* The name is left out: it is remembered. */
	schema_name(fixture, "");
	assert_fence(fixture, 2, SINK_DONE, "");
	assert_commits(fixture, (struct epoch_id){1, 1}, (struct epoch_id){2, 2}, "b");
	assert_string_equal(fixture_value(fixture, "SELECT count(*) FROM sales.transactions"), "2");
	assert_string_equal(fixture_value(fixture, "SELECT to_regclass('public.transactions')"), "(null)");
}

static void test_schema_is_another(void **state)
{
	struct fixture *fixture = *state;

	fixture->port = fixture_writer(fixture, 1);
	assert_commits(fixture, (struct epoch_id){0, 0}, (struct epoch_id){1, 1}, "a");
	schema_name(fixture, "other");
	assert_fence(fixture, 2, SINK_CONFIG, "made in schema \"public\", and 4 of 4 are there");
	fixture_run(fixture, "CREATE SCHEMA other; ALTER TABLE transactions SET SCHEMA other");
	assert_fence(fixture, 3, SINK_CONFIG, "\"other\", where 1 are");
	schema_name(fixture, "");
	assert_fence(fixture, 4, SINK_CONFIG, "table \"transactions\" is gone from schema \"public\"");
	schema_name(fixture, "other");
	fixture_run(fixture, "ALTER TABLE sales_per_category SET SCHEMA other; ALTER TABLE sales_per_month SET SCHEMA "
	                     "other; ALTER TABLE dead_letters SET SCHEMA other");
	assert_fence(fixture, 5, SINK_DONE, "");
	assert_commits(fixture, (struct epoch_id){1, 1}, (struct epoch_id){5, 2}, "b");
	assert_string_equal(fixture_value(fixture, "SELECT count(*) FROM other.transactions"), "2");
	schema_name(fixture, "");
	assert_fence(fixture, 6, SINK_DONE, "");
}

/* A job of a release that remembered no schema: the tables are where search_path finds them. */
static void test_schema_of_before(void **state)
{
	struct fixture *fixture = *state;

	fixture_run(fixture, "CREATE SCHEMA postgres");
	schema_name(fixture, "public");
	fixture->port = fixture_writer(fixture, 1);
	assert_commits(fixture, (struct epoch_id){0, 0}, (struct epoch_id){1, 1}, "a");
	schema_name(fixture, "");
	fixture_run(fixture, "DELETE FROM sluice.remembered");
	assert_fence(fixture, 2, SINK_DONE, "");
	assert_commits(fixture, (struct epoch_id){1, 1}, (struct epoch_id){2, 2}, "b");
	assert_string_equal(fixture_value(fixture, "SELECT count(*) FROM public.transactions"), "2");
}

static void test_no_schema(void **state)
{
	struct fixture *fixture = *state;

	assert_refused(fixture,
	    "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = nowhere', "
	    "current_database()); END $$",
	    "no schema for the tables of job shop/totals");
}

/* ---- the session ---- */

/* Whoever runs the database has set everything otherwise; somebody has made functions and operators that look like the real ones. */
static void test_session_is_ours(void **state)
{
	static const struct {
		const char *name, *value;
	} others[] = {
	    {"search_path", "trap, pg_catalog"},
	    {"default_transaction_isolation", "serializable"},
	    {"default_transaction_deferrable", "on"},
	    {"synchronous_commit", "off"},
	    {"standard_conforming_strings", "off"},
	    {"backslash_quote", "on"},
	    {"array_nulls", "off"},
	    {"transform_null_equals", "on"},
	    {"quote_all_identifiers", "on"},
	    {"bytea_output", "escape"},
	    {"DateStyle", "German, DMY"},
	    {"IntervalStyle", "iso_8601"},
	    {"extra_float_digits", "-5"},
	    {"TimeZone", "Asia/Kathmandu"},
	    {"client_encoding", "LATIN1"},
	    {"row_security", "on"},
	    {"default_table_access_method", ""},
	    {"check_function_bodies", "off"},
	    {"statement_timeout", "1h"},
	    {"lock_timeout", "1h"},
	    {"idle_in_transaction_session_timeout", "1h"},
	    {"tcp_keepalives_idle", "7200"},
	    {"tcp_keepalives_interval", "75"},
	    {"tcp_keepalives_count", "9"},
	    {"idle_session_timeout", "1h"},
	    {"transaction_timeout", ""},
	    {"client_min_messages", "error"},
	    {"jit", "on"},
	};
	struct fixture *fixture = *state;
	struct postgres postgres = {.stop_fd = -1};
	struct error error = {0};

	assert_int_equal(sizeof others / sizeof others[0], session_settings_len);
	fixture_run(fixture,
	    "CREATE SCHEMA trap; CREATE TABLE trap.pg_settings (name text, setting text);"
	    "CREATE FUNCTION trap.coalesce_count(text) RETURNS text LANGUAGE sql AS 'SELECT 0::text';"
	    "CREATE FUNCTION trap.set_config(text, text, boolean) RETURNS text LANGUAGE sql AS $$ SELECT "
	    "'caught'::text $$; CREATE FUNCTION trap.never(name, text) RETURNS boolean LANGUAGE sql AS 'SELECT "
	    "false'; CREATE OPERATOR trap.= (LEFTARG = name, RIGHTARG = text, FUNCTION = trap.never)");
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
		struct buffer sql = {0};
		assert_string_equal(others[i].name, session_settings[i].name);
		if (!others[i].value[0])
			continue; /* there is one access method in a bare server, and this one may not know the setting */
		buffer_printf(&sql, "ALTER DATABASE %s SET %s = %s%s%s", fixture->database, others[i].name,
		    i ? "'" : "", others[i].value, i ? "'" : "");
		buffer_append(&sql, "", 1);
		fixture_run(fixture, (const char *)sql.data);
		buffer_fini(&sql);
	}
	if (postgres_connect(&postgres, &fixture->pipeline, "test", &error) != SINK_DONE)
		fail_msg("%s", error.text);
	for (size_t i = 0; i < session_settings_len; i++) {
		PGresult *result = NULL;
		const char *name = session_settings[i].name;
		assert_int_equal(postgres_query(&postgres, &result, &error,
		                     "SELECT setting FROM pg_settings WHERE name = $1", 1, &name),
		    SINK_DONE);
		if (PQntuples(result) == 1 && strcmp(PQgetvalue(result, 0, 0), session_settings[i].value) != 0)
			fail_msg("%s is %s", name, PQgetvalue(result, 0, 0));
		PQclear(result);
	}
	postgres_disconnect(&postgres);
	schema_name(fixture, "public");
	fixture->port = fixture_writer(fixture, 1);
	assert_commits(fixture, (struct epoch_id){0, 0}, (struct epoch_id){1, 1}, "it's \\ a");
	assert_string_equal(
	    fixture_value(fixture, "SELECT transaction_id FROM public.transactions WHERE abs(extract(epoch "
	                           "FROM created_at - now() AT TIME ZONE 'UTC')) < 100"),
	    "it's \\ a");
}

/* A stronger synchronous_commit is the operator's wish. */
static void test_remote_apply_is_left(void **state)
{
	struct fixture *fixture = *state;
	struct postgres postgres = {.stop_fd = -1};
	struct error error = {0};
	PGresult *result = NULL;

	fixture_run(fixture, "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = remote_apply', "
	                     "current_database()); END $$");
	assert_int_equal(postgres_connect(&postgres, &fixture->pipeline, "test", &error), SINK_DONE);
	assert_int_equal(postgres_query(&postgres, &result, &error, "SHOW synchronous_commit", 0, NULL), SINK_DONE);
	assert_string_equal(PQgetvalue(result, 0, 0), "remote_apply");
	PQclear(result);
	postgres_disconnect(&postgres);
}

/* Names that need quotes, everywhere that names are used. */
static void test_odd_names(void **state)
{
	struct fixture *fixture = *state;
	struct buffer text = {0};

	for (const char *at = fixture_pipeline_text; *at; at++) {
		if (strncmp(at, "total_sales", 11) == 0) {
			buffer_append_text(&text, "order");
			at += 10;
		} else if (strncmp(at, "sales_per_category", 18) == 0) {
			buffer_append_text(&text, "group");
			at += 17;
		} else {
			buffer_append(&text, at, 1);
		}
	}
	buffer_append(&text, "", 1);
	pipeline_fini(&fixture->pipeline);
	fixture_pipeline(&fixture->pipeline, (const char *)fixture->url.data, (const char *)text.data);
	fixture->port = fixture_writer(fixture, 1);
	struct draft draft;
	struct value key[] = {value_integer(19737), value_text("it's \"a\\b\", {NULL}")};
	draft_open(&draft, 1, (struct epoch_id){0, 0}, (struct epoch_id){1, 1}, 1);
	draft_group(&draft, 0, key, 2, -5);
	struct sink_answer *answer = draft_commit(&draft, fixture->port);
	if (answer->outcome != SINK_DONE)
		fail_msg("%s", answer->error.text);
	assert_string_equal(
	    fixture_value(fixture, "SELECT concat_ws('|', transaction_date, category, \"order\") FROM \"group\""),
	    "2024-01-15|it's \"a\\b\", {NULL}|-0.05");
	assert_int_equal(fixture_fence(fixture->port, 2)->outcome, SINK_DONE);
	draft_close(&draft);
	buffer_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_init_makes_everything, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_init_twice, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_many_inits_at_once, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_many_inits_at_once_serializable, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_published, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_own_table_is_taken, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_incompatible_tables, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_rows_without_frontier, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_second_migration, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_letters_of_one_job, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_letters_of_two_jobs, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_letters_of_who_knows, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_letters_empty, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_letters_of_another_role, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_table_of_another, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_newer_schema, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_meaning_changed, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_schema_is_remembered, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_schema_is_named, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_schema_is_another, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_schema_of_before, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_no_schema, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_session_is_ours, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_remote_apply_is_left, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_odd_names, fixture_setup, fixture_teardown),
	};
	fixture_choose_tests();
	return cmocka_run_group_tests_name("sink_schema", tests, NULL, NULL);
}
