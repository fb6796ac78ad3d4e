/* What the sink makes in a database, and what it refuses to touch. Needs DATABASE_URL. */
#include "tests/integration/sink_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
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

static void test_init_makes_everything(void **state)
{
	struct fixture *fixture = *state;
	struct buffer report = {0};
	struct error error = {0};

	assert_int_equal(init(fixture, &report, &error), RESULT_OK);
	assert_string_equal((const char *)report.data,
	    "applied migration 001_sluice.sql\napplied migration 002_checkpoints.sql\n"
	    "applied migration 003_meaning.sql\napplied migration 004_choice.sql\napplied migration "
	    "005_place.sql\napplied migration 006_frontier_index.sql\n"
	    "applied migration 007_retire_place.sql\ncreated table "
	    "transactions\ncreated table sales_per_category\n"
	    "created table sales_per_month\ncreated table dead_letters\ncreated frontier shop/totals\n");
	assert_columns(fixture, "transactions",
	    "transaction_id character varying(36) !, product_category character varying(100) !, product_quantity "
	    "integer, "
	    "total_amount numeric(10,2) !, rate numeric(18,7), transaction_date timestamp without time zone !, "
	    "customer_id character varying(255), created_at timestamp without time zone = CURRENT_TIMESTAMP");
	assert_columns(fixture, "sales_per_category",
	    "transaction_date date !, category character varying(100) !, total_sales numeric(15,2) !");
	assert_columns(fixture, "sales_per_month", "year integer !, month integer !, total_sales numeric(38,2) !");
	assert_columns(fixture, "dead_letters",
	    "topic text !, partition integer !, offset bigint !, key bytea, payload bytea, payload_raw boolean !, "
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
	enum { INITS = 6 };
	struct fixture *fixture = *state;
	pid_t children[INITS];

	for (int i = 0; i < INITS; i++) {
		children[i] = fork();
		assert_true(children[i] >= 0);
		if (children[i] == 0) {
			struct buffer report = {0};
			struct error error = {0};
			_exit(init(fixture, &report, &error) == RESULT_OK ? 0 : 1);
		}
	}
	for (int i = 0; i < INITS; i++) {
		int status = -1;
		assert_int_equal(waitpid(children[i], &status, 0), children[i]);
		assert_int_equal(status, 0);
	}
	assert_string_equal(fixture_value(fixture, "SELECT string_agg(job, ',') FROM sluice.frontier"), "shop/totals");
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
	    "{\"transaction_id\"}");
	assert_refused(fixture, "DROP TABLE transactions; CREATE VIEW transactions AS SELECT 1", "not a table");
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
	    "DELETE FROM sales_per_month; INSERT INTO dead_letters (topic, partition, \"offset\", "
	    "payload_raw, reason, sink, epoch) VALUES ('sales', 0, 0, true, 'x', 'postgres', '1.1')",
	    "\"dead_letters\" holds");
	/* Another topic's letters are another job's. */
	fixture_run(fixture, "UPDATE dead_letters SET topic = 'others'");
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
	struct buffer report = {0}, tables = {0};
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
	assert_non_null(strstr((const char *)report.data,
	    "applied migration 002_checkpoints.sql\napplied migration "
	    "003_meaning.sql\napplied migration 004_choice.sql\napplied migration 005_place.sql\n"
	    "applied migration 006_frontier_index.sql\napplied migration 007_retire_place.sql\nfound table"));
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
	assert_string_equal(
	    fixture_value(fixture, "SELECT string_agg(version::text, ',') FROM sluice.migrations"), "1,2,3,4,5,6,7");
	buffer_fini(&report);
	buffer_fini(&tables);
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
	assert_int_equal(sink_postgres_open(&port, &other, "other", &error), RESULT_OK);
	struct sink_answer *answer = fixture_fence(port, 6);
	assert_int_equal(answer->outcome, SINK_CONFIG);
	assert_non_null(strstr(answer->error.text, "string(100)"));
	assert_non_null(strstr(answer->error.text, "integer"));
	assert_non_null(strstr(answer->error.text, "product_category"));
	port->ops->close(port);
	/* The writer that was there has not been disturbed. */
	fixture->port->ops->touch(fixture->port, 5, (struct epoch_id){0, 0});
	assert_int_equal(fixture_answer(fixture->port)->outcome, SINK_DONE);
	pipeline_fini(&other);
	buffer_fini(&text);
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
	    cmocka_unit_test_setup_teardown(test_published, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_own_table_is_taken, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_incompatible_tables, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_rows_without_frontier, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_second_migration, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_newer_schema, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_meaning_changed, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_odd_names, fixture_setup, fixture_teardown),
	};
	return cmocka_run_group_tests_name("sink_schema", tests, NULL, NULL);
}
