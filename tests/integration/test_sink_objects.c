/* What hangs on the tables and would change, drop, refuse or lose rows: found at the start, and when it appears while epochs are
 * committed. Needs DATABASE_URL. */
#include "tests/integration/sink_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/postgres/postgres_objects.h"

static const struct epoch_id none = {0, 0};

/* One row a way in which somebody may have arranged the tables. rule: of object_rules, or what other check finds it; NULL: it is harmless,
 * and goes on. `back` makes it good again, as the way out says. */
static const struct {
	const char *rule, *sql, *words, *back;
} harms[] = {
    {"kind", "DROP TABLE dead_letters; CREATE VIEW dead_letters AS SELECT 1", "a view", "DROP VIEW dead_letters"},
    {"kind",
        "DROP TABLE sales_per_month; CREATE TABLE sales_per_month (year int, month int, total_sales numeric(38,2), "
        "PRIMARY KEY "
        "(year, month)) PARTITION BY LIST (year)",
        "partitioned", "DROP TABLE sales_per_month"},
    {"kind", "DROP TABLE sales_per_month; CREATE MATERIALIZED VIEW sales_per_month AS SELECT 1", "a materialized view",
        "DROP MATERIALIZED VIEW sales_per_month"},
    {"persistence", "ALTER TABLE transactions SET UNLOGGED", "\"transactions\" is UNLOGGED",
        "ALTER TABLE transactions SET LOGGED"},
    {"persistence", "ALTER TABLE sales_per_month SET UNLOGGED", "\"sales_per_month\" is UNLOGGED",
        "ALTER TABLE sales_per_month SET LOGGED"},
    {"persistence", "ALTER TABLE dead_letters SET UNLOGGED", "\"dead_letters\" is UNLOGGED",
        "ALTER TABLE dead_letters SET LOGGED"},
    {"persistence", "ALTER TABLE sluice.decisions SET UNLOGGED", "\"decisions\" is UNLOGGED",
        "ALTER TABLE sluice.decisions SET LOGGED"},
    {"persistence", "ALTER TABLE sluice.frontier SET UNLOGGED", "\"frontier\" is UNLOGGED",
        "ALTER TABLE sluice.frontier SET LOGGED"},
    {"inheritance", "CREATE TABLE old_ones () INHERITS (transactions)", "inheritance", "DROP TABLE old_ones"},
    {"trigger", "CREATE TRIGGER nosy BEFORE INSERT ON transactions FOR EACH ROW EXECUTE FUNCTION drop_row()",
        "trigger nosy", "DROP TRIGGER nosy ON transactions"},
    {"trigger", "CREATE TRIGGER nosy BEFORE UPDATE ON sales_per_month FOR EACH ROW EXECUTE FUNCTION drop_row()",
        "trigger nosy", "ALTER TABLE sales_per_month DISABLE TRIGGER nosy"},
    {"trigger", "CREATE TRIGGER nosy BEFORE DELETE ON sales_per_category FOR EACH ROW EXECUTE FUNCTION drop_row()",
        "trigger nosy", "DROP TRIGGER nosy ON sales_per_category"},
    {"trigger", "CREATE TRIGGER nosy BEFORE INSERT ON transactions FOR EACH STATEMENT EXECUTE FUNCTION drop_row()",
        "trigger nosy", "DROP TRIGGER nosy ON transactions"},
    {"trigger",
        "CREATE TRIGGER nosy BEFORE INSERT ON dead_letters FOR EACH ROW EXECUTE FUNCTION drop_row(); ALTER TABLE "
        "dead_letters ENABLE ALWAYS TRIGGER nosy",
        "trigger nosy", "DROP TRIGGER nosy ON dead_letters"},
    {"trigger", "CREATE TRIGGER nosy BEFORE UPDATE ON sluice.frontier FOR EACH ROW EXECUTE FUNCTION drop_row()",
        "\"frontier\"", "DROP TRIGGER nosy ON sluice.frontier"},
    {"deferred trigger",
        "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON transactions DEFERRABLE INITIALLY DEFERRED FOR EACH ROW "
        "EXECUTE FUNCTION drop_row()",
        "trigger late", "DROP TRIGGER late ON transactions"},
    {"rule", "CREATE RULE nosy AS ON INSERT TO sales_per_month DO INSTEAD NOTHING", "rule nosy",
        "DROP RULE nosy ON sales_per_month"},
    {"rule",
        "CREATE RULE nosy AS ON UPDATE TO sales_per_category DO ALSO NOTHING; ALTER TABLE sales_per_category DISABLE "
        "RULE nosy",
        "rule nosy", "DROP RULE nosy ON sales_per_category"},
    {"collation", "ALTER TABLE transactions ALTER transaction_id TYPE varchar(36) COLLATE easy", "collation easy",
        "ALTER TABLE transactions ALTER transaction_id TYPE varchar(36)"},
    {"collation", "ALTER TABLE sales_per_category ALTER category TYPE varchar(100) COLLATE easy", "collation easy",
        "ALTER TABLE sales_per_category ALTER category TYPE varchar(100)"},
    {"surplus", "CREATE UNIQUE INDEX extra ON transactions (customer_id)", "unique index \"extra\"",
        "DROP INDEX extra"},
    {"surplus", "CREATE UNIQUE INDEX extra ON transactions (lower(transaction_id))", "unique index \"extra\"",
        "DROP INDEX extra"},
    {"surplus", "CREATE UNIQUE INDEX extra ON sales_per_month (year) WHERE month > 1", "unique index \"extra\"",
        "DROP INDEX extra"},
    {"exclusion", "ALTER TABLE transactions ADD CONSTRAINT apart EXCLUDE USING btree (customer_id WITH =)",
        "constraint apart", "ALTER TABLE transactions DROP CONSTRAINT apart"},
    {"cascade",
        "CREATE TABLE customers (id varchar(255) PRIMARY KEY); ALTER TABLE transactions ADD CONSTRAINT known FOREIGN "
        "KEY (customer_id) REFERENCES customers ON DELETE CASCADE NOT VALID",
        "constraint known: FOREIGN KEY", "DROP TABLE customers CASCADE"},
    {"cascade",
        "CREATE TABLE customers (id varchar(255) PRIMARY KEY); ALTER TABLE transactions ADD CONSTRAINT known FOREIGN "
        "KEY (customer_id) REFERENCES customers ON DELETE SET NULL NOT VALID",
        "constraint known: FOREIGN KEY", "DROP TABLE customers CASCADE"},
    {"cascade",
        "CREATE TABLE customers (id varchar(255) PRIMARY KEY); ALTER TABLE transactions ADD CONSTRAINT known FOREIGN "
        "KEY (customer_id) REFERENCES customers ON DELETE SET DEFAULT NOT VALID",
        "constraint known: FOREIGN KEY", "DROP TABLE customers CASCADE"},
    {"cascade",
        "CREATE TABLE customers (id varchar(255) PRIMARY KEY); ALTER TABLE transactions ADD CONSTRAINT known FOREIGN "
        "KEY (customer_id) REFERENCES customers ON UPDATE CASCADE NOT VALID",
        "constraint known: FOREIGN KEY", "DROP TABLE customers CASCADE"},
    {"referenced totals",
        "CREATE TABLE report (year int, month int, FOREIGN KEY (year, month) REFERENCES sales_per_month)",
        "foreign key", "DROP TABLE report"},
    {"column",
        "ALTER TABLE transactions DROP customer_id, ADD customer_id varchar(255) GENERATED ALWAYS AS ('x') STORED",
        "generated", "ALTER TABLE transactions DROP customer_id, ADD customer_id varchar(255)"},
    {"column",
        "ALTER TABLE transactions ALTER product_quantity SET NOT NULL, ALTER product_quantity ADD GENERATED ALWAYS AS "
        "IDENTITY",
        "\"product_quantity\"",
        "ALTER TABLE transactions ALTER product_quantity DROP IDENTITY, ALTER product_quantity DROP NOT NULL"},
    {"column",
        "CREATE DOMAIN cents AS numeric(10,2) CHECK (VALUE < 5); ALTER TABLE transactions ALTER total_amount TYPE "
        "cents",
        "cents instead of numeric(10,2)", "ALTER TABLE transactions ALTER total_amount TYPE numeric(10,2)"},
    /* What PostgreSQL would take without a word, rounded, padded or shifted. */
    {"column", "ALTER TABLE transactions ALTER total_amount TYPE numeric(9,1)",
        "\"total_amount\" is numeric(9,1) instead of numeric(10,2)",
        "ALTER TABLE transactions ALTER total_amount TYPE numeric(10,2)"},
    {"column", "ALTER TABLE transactions ALTER total_amount TYPE numeric(12,2)",
        "\"total_amount\" is numeric(12,2) instead of numeric(10,2)",
        "ALTER TABLE transactions ALTER total_amount TYPE numeric(10,2)"},
    {"column", "ALTER TABLE transactions ALTER rate TYPE real", "\"rate\" is real instead of numeric(18,7)",
        "ALTER TABLE transactions ALTER rate TYPE numeric(18,7)"},
    {"column", "ALTER TABLE sales_per_month ALTER total_sales TYPE numeric(15,0)",
        "\"total_sales\" is numeric(15,0) instead of numeric(38,2)",
        "ALTER TABLE sales_per_month ALTER total_sales TYPE numeric(38,2)"},
    {"column", "ALTER TABLE sales_per_category ALTER total_sales TYPE numeric",
        "\"total_sales\" is numeric instead of numeric(15,2)",
        "ALTER TABLE sales_per_category ALTER total_sales TYPE numeric(15,2)"},
    {"column", "ALTER TABLE transactions ALTER customer_id TYPE char(200)",
        "\"customer_id\" is character(200) instead of character varying(255)",
        "ALTER TABLE transactions ALTER customer_id TYPE varchar(255)"},
    {"column", "ALTER TABLE transactions ALTER customer_id TYPE varchar(256)",
        "\"customer_id\" is character varying(256) instead of character varying(255)",
        "ALTER TABLE transactions ALTER customer_id TYPE varchar(255)"},
    {"column", "ALTER TABLE transactions ALTER transaction_date TYPE timestamptz",
        "\"transaction_date\" is timestamp with time zone instead of timestamp without time zone",
        "ALTER TABLE transactions ALTER transaction_date TYPE timestamp"},
    {"column", "ALTER TABLE transactions ALTER transaction_date TYPE timestamp(0)",
        "\"transaction_date\" is timestamp(0) without time zone",
        "ALTER TABLE transactions ALTER transaction_date TYPE timestamp"},
    {"column", "ALTER TABLE transactions ALTER product_quantity TYPE smallint",
        "\"product_quantity\" is smallint instead of integer",
        "ALTER TABLE transactions ALTER product_quantity TYPE integer"},
    {"column", "ALTER TABLE dead_letters ALTER \"offset\" TYPE numeric", "\"offset\" is numeric instead of bigint",
        "ALTER TABLE dead_letters ALTER \"offset\" TYPE bigint"},
    {"column", "UPDATE transactions SET customer_id = 'x'; ALTER TABLE transactions ALTER customer_id SET NOT NULL",
        "\"customer_id\" is NOT NULL, while the field is not required",
        "ALTER TABLE transactions ALTER customer_id DROP NOT NULL"},
    {"column", "ALTER TABLE transactions RENAME customer_id TO client", "\"customer_id\" is missing",
        "ALTER TABLE transactions RENAME client TO customer_id"},
    {"column",
        "ALTER TABLE transactions ADD branch text NOT NULL DEFAULT ''; ALTER TABLE transactions ALTER branch DROP "
        "DEFAULT",
        "\"branch\" is not declared, and is NOT NULL without a default", "ALTER TABLE transactions DROP branch"},
    {"column", "ALTER TABLE transactions ALTER created_at SET NOT NULL, ALTER created_at DROP DEFAULT",
        "\"created_at\" is NOT NULL without a default",
        "ALTER TABLE transactions ALTER created_at DROP NOT NULL, ALTER created_at SET DEFAULT CURRENT_TIMESTAMP"},
    {"key", "ALTER TABLE transactions DROP CONSTRAINT transactions_pkey",
        "ALTER TABLE \"public\".\"transactions\" ADD PRIMARY KEY (\"transaction_id\")",
        "ALTER TABLE \"public\".\"transactions\" ADD PRIMARY KEY (\"transaction_id\")"},
    {"key", "ALTER TABLE sales_per_month DROP CONSTRAINT sales_per_month_pkey",
        "ALTER TABLE \"public\".\"sales_per_month\" ADD PRIMARY KEY (\"year\", \"month\")",
        "ALTER TABLE \"public\".\"sales_per_month\" ADD PRIMARY KEY (\"year\", \"month\")"},
    {"key",
        "ALTER TABLE transactions DROP CONSTRAINT transactions_pkey, ADD PRIMARY KEY (transaction_id, total_amount)",
        "ALTER TABLE \"public\".\"transactions\" ADD UNIQUE (\"transaction_id\")",
        "ALTER TABLE transactions DROP CONSTRAINT transactions_pkey; ALTER TABLE transactions ADD PRIMARY KEY "
        "(transaction_id)"},
    {"key",
        "ALTER TABLE transactions DROP CONSTRAINT transactions_pkey, ADD PRIMARY KEY (transaction_id) DEFERRABLE "
        "INITIALLY IMMEDIATE",
        "has no primary key",
        "ALTER TABLE transactions DROP CONSTRAINT transactions_pkey, ADD PRIMARY KEY (transaction_id)"},
    {"key", "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'transactions_pkey'::regclass",
        "has no primary key", "REINDEX INDEX transactions_pkey"},
    {"key",
        "DO $$ BEGIN EXECUTE format('ALTER TABLE dead_letters DROP CONSTRAINT %I', (SELECT conname FROM pg_constraint "
        "WHERE conrelid = 'dead_letters'::regclass AND contype = 'p')); END $$",
        "ALTER TABLE \"public\".\"dead_letters\" ADD PRIMARY KEY (\"job\", \"topic\", \"partition\", \"offset\", "
        "\"sink\")",
        "ALTER TABLE \"public\".\"dead_letters\" ADD PRIMARY KEY (\"job\", \"topic\", \"partition\", \"offset\", "
        "\"sink\")"},
    /* The second of its kind on a table: pg_class says "has one" since the first. */
    {"inheritance", "CREATE TABLE old_ones () INHERITS (transactions)", "inheritance", "DROP TABLE old_ones"},
    {"rule", "CREATE RULE nosy AS ON INSERT TO sales_per_month DO ALSO NOTHING", "rule nosy",
        "DROP RULE nosy ON sales_per_month"},
    {"inheritance",
        "CREATE TABLE new_ones (LIKE transactions INCLUDING ALL); ALTER TABLE new_ones INHERIT transactions",
        "inheritance", "DROP TABLE new_ones"},
    {"writing trigger", "CREATE TRIGGER add AFTER INSERT ON transactions FOR EACH ROW EXECUTE FUNCTION add_up()",
        "\"sales_per_month\" is written by trigger add of public.transactions", "DROP TRIGGER add ON transactions"},
    {"writing trigger",
        "CREATE TRIGGER add AFTER INSERT ON sluice.checkpoints FOR EACH STATEMENT EXECUTE FUNCTION add_up()",
        "trigger add of sluice.checkpoints", "ALTER TABLE sluice.checkpoints DISABLE TRIGGER add"},
    {"writing trigger",
        "CREATE TABLE other (n int); CREATE TRIGGER add AFTER INSERT ON other FOR EACH ROW EXECUTE FUNCTION add_up()",
        "trigger add of public.other", "DROP TABLE other"},
    {"writing trigger",
        "CREATE TABLE other (n int); CREATE TRIGGER take BEFORE DELETE ON other FOR EACH ROW EXECUTE FUNCTION "
        "take_away()",
        "\"transactions\" is written by trigger take of public.other", "DROP TABLE other"},
    /* Says so in a comment, reads, writes a table of that name in another schema, one of a longer name, or one whose schema it leaves open,
     * which is found nowhere. */
    {NULL, "CREATE TRIGGER seems AFTER INSERT ON transactions FOR EACH ROW EXECUTE FUNCTION innocent()", NULL,
        "DROP TRIGGER seems ON transactions"},
    {"later trigger", "CREATE TRIGGER tell AFTER INSERT ON transactions FOR EACH ROW EXECUTE FUNCTION drop_row()", NULL,
        "DROP TRIGGER tell ON transactions"},
    {NULL, "CREATE TRIGGER tell BEFORE TRUNCATE ON transactions EXECUTE FUNCTION drop_row()", NULL,
        "DROP TRIGGER tell ON transactions"},
    {NULL,
        "CREATE TRIGGER off BEFORE INSERT ON transactions FOR EACH ROW EXECUTE FUNCTION drop_row(); ALTER TABLE "
        "transactions "
        "DISABLE TRIGGER off",
        NULL, "DROP TRIGGER off ON transactions"},
    {NULL, "ALTER TABLE transactions ENABLE ROW LEVEL SECURITY", NULL,
        "ALTER TABLE transactions DISABLE ROW LEVEL SECURITY"},
    {NULL, "CREATE UNIQUE INDEX wider ON transactions (transaction_id, customer_id)", NULL, "DROP INDEX wider"},
    {NULL, "ALTER TABLE transactions ADD id bigserial UNIQUE", NULL, "ALTER TABLE transactions DROP id"},
    {NULL, "CREATE TABLE refunds (transaction_id varchar(36) REFERENCES transactions)", NULL, "DROP TABLE refunds"},
    {"constraint", "ALTER TABLE transactions ADD CONSTRAINT sane CHECK (total_amount >= 0)", NULL,
        "ALTER TABLE transactions DROP CONSTRAINT sane"},
    {NULL, "ALTER TABLE transactions ALTER customer_id SET DEFAULT 'x', ALTER created_at DROP DEFAULT", NULL,
        "ALTER TABLE transactions ALTER customer_id DROP DEFAULT, ALTER created_at SET DEFAULT CURRENT_TIMESTAMP"},
    {NULL, "ALTER TABLE transactions ALTER transaction_id TYPE varchar(36) COLLATE \"C\"", NULL,
        "ALTER TABLE transactions ALTER transaction_id TYPE varchar(36)"},
    {NULL, "ALTER TABLE transactions ADD branch text, ADD region text NOT NULL DEFAULT ''", NULL,
        "ALTER TABLE transactions DROP branch, DROP region"},
    {NULL, "ALTER TABLE transactions ALTER total_amount DROP NOT NULL", NULL,
        "ALTER TABLE transactions ALTER total_amount SET NOT NULL"},
    {NULL, "REINDEX TABLE CONCURRENTLY transactions", NULL, "REINDEX TABLE transactions"},
    {NULL,
        "CREATE INDEX more ON transactions (customer_id); CREATE STATISTICS s ON customer_id, product_category FROM "
        "transactions; GRANT SELECT ON transactions TO PUBLIC; COMMENT ON TABLE transactions IS 'x'",
        NULL, "DROP INDEX more; DROP STATISTICS s"},
};
enum { HARMS = sizeof harms / sizeof harms[0] };

static void prepare(struct fixture *fixture)
{
	/* A vacuum that finds no trigger any more changes pg_class: a writer looks again, which is not what is tried here. */
	fixture_run(fixture, "ALTER SYSTEM SET autovacuum = off");
	fixture_run(fixture, "SELECT pg_reload_conf()");
	fixture_run(fixture,
	    "CREATE COLLATION easy (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
	    "CREATE FUNCTION drop_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"
	    "CREATE FUNCTION add_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN update only /* all */ "
	    "Public . \"sales_per_month\" SET total_sales = 0; RETURN NULL; END $$;"
	    "CREATE FUNCTION take_away() RETURNS trigger LANGUAGE plpgsql SET search_path = other, public AS $$ BEGIN "
	    "DELETE FROM transactions; RETURN NULL; END $$;"
	    "CREATE FUNCTION innocent() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM count(*) FROM "
	    "public.transactions; /* UPDATE public.transactions */ IF false THEN -- INSERT INTO public.transactions\n"
	    "INSERT INTO archive.transactions VALUES (1); DELETE FROM public.transactions_old; UPDATE transactions SET "
	    "total_amount = 0; END IF; RETURN NULL; END $$");
}

static void assert_says(
    const struct sink_answer *answer, enum sink_outcome outcome, const char *words, const char *after)
{
	if (answer->outcome != outcome || !strstr(answer->error.text, words))
		fail_msg("after %s: outcome %d instead of %d, or \"%s\" does not say \"%s\"", after,
		    (int)answer->outcome, (int)outcome, answer->error.text, words);
}

static struct sink_answer *commit_one(struct fixture *fixture, uint64_t fence, struct epoch_id from, struct epoch_id to)
{
	struct value category[] = {value_integer(19737), value_text("books")};
	struct value month[] = {value_integer(2024), value_integer(1)};
	struct draft draft;
	char key[32];

	snprintf(key, sizeof key, "%d.%d", (int)to.attempt, (int)to.n);
	draft_open(&draft, fence, from, to, (int64_t)to.n);
	draft_sale(&draft, 0, key, 100);
	draft_group(&draft, 0, category, 2, 100 * (__int128)to.n);
	draft_group(&draft, 1, month, 2, 100 * (__int128)to.n);
	draft.transaction.counters.n[COUNTER_ACCEPTED] = 1;
	struct sink_answer *answer = draft_commit(&draft, fixture->port);
	draft_close(&draft);
	return answer;
}

/* Before the start: nothing is written, and the way out leads on. */
static void test_found_at_the_start(void **state)
{
	struct fixture *fixture = *state;
	struct error error = {0};

	prepare(fixture);
	assert_int_equal(postgres_init(&fixture->pipeline, "test", NULL, &error), RESULT_OK);
	assert_int_equal(
	    sink_postgres_open(&fixture->port, &fixture->pipeline, "sluice-sink 0", NULL, &error), RESULT_OK);
	for (size_t i = 0; i < HARMS; i++) {
		if (harms[i].rule && strcmp(harms[i].rule, "kind") == 0)
			continue;
		fixture_run(fixture, harms[i].sql);
		struct sink_answer *answer = fixture_fence(fixture->port, 1 + i);
		assert_says(answer, harms[i].words ? SINK_CONFIG : SINK_DONE, harms[i].words ? harms[i].words : "",
		    harms[i].sql);
		if (harms[i].words && !strstr(answer->error.text, "start again"))
			fail_msg("no way out: %s", answer->error.text);
		fixture_run(fixture, harms[i].back);
	}
	assert_says(fixture_fence(fixture->port, 1000), SINK_DONE, "", "all");
	for (size_t i = 0; i < HARMS; i++) {
		if (!harms[i].rule || strcmp(harms[i].rule, "kind") != 0)
			continue;
		fixture_run(fixture, harms[i].sql);
		assert_says(fixture_fence(fixture->port, 1001 + i), SINK_CONFIG, harms[i].words, harms[i].sql);
		fixture_run(fixture, harms[i].back);
		assert_int_equal(postgres_init(&fixture->pipeline, "test", NULL, &error), RESULT_OK);
	}
}

/* Every row of the table of rules has a case here. */
static void test_every_rule_has_a_case(void **state)
{
	(void)state;
	for (size_t i = 0; i < object_rules_len; i++) {
		bool found = strcmp(object_rules[i].name, "row security") == 0 ||
		             strcmp(object_rules[i].name, "access method") == 0 ||
		             strcmp(object_rules[i].name, "operator class") == 0; /* cases of their own */
		for (size_t j = 0; j < HARMS && !found; j++)
			found = harms[j].rule && strcmp(harms[j].rule, object_rules[i].name) == 0;
		if (!found)
			fail_msg("no case for rule %s", object_rules[i].name);
	}
}

/* While epochs are committed: what matters is refused before anything is, what does not costs a look. */
static void test_found_while_it_runs(void **state)
{
	struct fixture *fixture = *state;
	struct epoch_id last = none;
	uint64_t attempt = 1, n = 1;

	prepare(fixture);
	fixture->port = fixture_writer(fixture, attempt);
	assert_says(commit_one(fixture, attempt, last, (struct epoch_id){attempt, n}), SINK_DONE, "", "the start");
	last = (struct epoch_id){attempt, n++};
	for (size_t i = 0; i < HARMS; i++) {
		if (harms[i].rule && strcmp(harms[i].rule, "kind") == 0)
			continue;
		fixture_run(fixture, harms[i].sql);
		struct sink_answer *answer = commit_one(fixture, attempt, last, (struct epoch_id){attempt, n});
		/* One of a table that no epoch writes is seen when somebody looks. */
		if (answer->outcome == SINK_DONE && harms[i].words && !strstr(harms[i].sql, " ON other "))
			fail_msg("after %s: committed", harms[i].sql);
		/* What PostgreSQL itself refused is explained by what the tables have become. */
		if (answer->outcome == SINK_CONFIG)
			assert_says(answer, SINK_CONFIG, harms[i].words, harms[i].sql);
		if (answer->outcome == SINK_DONE)
			last = (struct epoch_id){attempt, n++};
		answer = fixture_look(fixture->port, attempt);
		assert_says(answer, harms[i].words ? SINK_CONFIG : SINK_DONE, harms[i].words ? harms[i].words : "",
		    harms[i].sql);
		fixture_run(fixture, harms[i].back);
		assert_says(fixture_look(fixture->port, attempt), SINK_DONE, "", harms[i].back);
		assert_says(
		    commit_one(fixture, attempt, last, (struct epoch_id){attempt, n}), SINK_DONE, "", harms[i].back);
		last = (struct epoch_id){attempt, n++};
	}
	char wanted[32];
	snprintf(wanted, sizeof wanted, "%d", (int)n - 1);
	assert_string_equal(fixture_value(fixture, "SELECT count(*) FROM transactions"), wanted);
}

/* A table whose name another one has now, or none. What was meant is said, and what became of it. */
static void test_replaced(void **state)
{
	static const struct {
		const char *sql, *words, *back;
	} turns[] = {
	    {"ALTER TABLE sales_per_month RENAME TO months_t; CREATE TABLE sales_per_month (LIKE months_t INCLUDING "
	     "ALL); "
	     "INSERT INTO sales_per_month TABLE months_t",
	        "table \"sales_per_month\" of the pipeline file is not there any more: while the job ran it was "
	        "renamed to "
	        "public.months_t, and another table was put in its place",
	        "DROP TABLE sales_per_month; ALTER TABLE months_t RENAME TO sales_per_month"},
	    {"ALTER TABLE transactions RENAME TO behind; CREATE VIEW transactions AS TABLE behind",
	        "renamed to public.behind, and another",
	        "DROP VIEW transactions; ALTER TABLE behind RENAME TO transactions"},
	    {"ALTER TABLE dead_letters RENAME TO \"Old\"",
	        "table \"dead_letters\" of the pipeline file is not there any more: while the job ran it was renamed "
	        "to "
	        "public.\"Old\".",
	        "ALTER TABLE \"Old\" RENAME TO dead_letters"},
	    {"CREATE SCHEMA shelf; ALTER TABLE transactions SET SCHEMA shelf", "renamed to shelf.transactions.",
	        "ALTER TABLE shelf.transactions SET SCHEMA public"},
	    {"CREATE TABLE copy (LIKE sales_per_month INCLUDING ALL); INSERT INTO copy TABLE sales_per_month; DROP "
	     "TABLE "
	     "sales_per_month; ALTER TABLE copy RENAME TO sales_per_month",
	        "\"sales_per_month\" of the pipeline file is not there any more: while the job ran it was dropped, and "
	        "another",
	        NULL},
	};
	struct fixture *fixture = *state;

	fixture->port = fixture_writer(fixture, 1);
	assert_says(commit_one(fixture, 1, none, (struct epoch_id){1, 1}), SINK_DONE, "", "the start");
	for (size_t i = 0; i < sizeof turns / sizeof turns[0]; i++) {
		fixture_run(fixture, turns[i].sql);
		struct sink_answer *answer = commit_one(fixture, 1, (struct epoch_id){1, 1}, (struct epoch_id){1, 2});
		assert_int_not_equal(answer->outcome, SINK_DONE);
		if (answer->outcome == SINK_CONFIG)
			assert_says(answer, SINK_CONFIG, turns[i].words, turns[i].sql);
		assert_says(fixture_look(fixture->port, 1), SINK_CONFIG, turns[i].words, turns[i].sql);
		if (turns[i].back)
			fixture_run(fixture, turns[i].back);
		if (turns[i].back)
			assert_says(fixture_look(fixture->port, 1), SINK_DONE, "", turns[i].back);
	}
	/* Another process takes the new one. */
	fixture->port->ops->close(fixture->port);
	fixture->port = fixture_writer(fixture, 2);
	assert_says(
	    commit_one(fixture, 2, (struct epoch_id){1, 1}, (struct epoch_id){2, 1}), SINK_DONE, "", "a new process");
	assert_string_equal(fixture_value(fixture, "SELECT count(*) FROM transactions"), "2");
}

/* Row security that applies to the user, as it does not to a superuser. */
static void test_row_security(void **state)
{
	struct fixture *fixture = *state;
	struct pipeline pipeline;
	struct error error = {0};
	struct sink_port *port = NULL;

	assert_int_equal(postgres_init(&fixture->pipeline, "test", NULL, &error), RESULT_OK);
	fixture_run(fixture,
	    "DROP ROLE IF EXISTS sluice_reader; CREATE ROLE sluice_reader LOGIN PASSWORD 'r';"
	    "GRANT ALL ON ALL TABLES IN SCHEMA public, sluice TO sluice_reader; GRANT USAGE ON SCHEMA sluice TO "
	    "sluice_reader; ALTER TABLE sales_per_month ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON "
	    "sales_per_month USING (year > 2024)");
	struct buffer url = fixture_url(fixture->database, "sluice_reader", "r", NULL);
	fixture_pipeline(&pipeline, (const char *)url.data, fixture_pipeline_text);
	buffer_fini(&url);
	assert_int_equal(sink_postgres_open(&port, &pipeline, "sluice-sink 0", NULL, &error), RESULT_OK);
	struct sink_answer *answer = fixture_fence(port, 1);
	assert_int_equal(answer->outcome, SINK_CONFIG);
	if ((!strstr(answer->error.text, "row-level security") && !strstr(answer->error.text, "row security")) ||
	    !strstr(answer->error.text, "ALTER TABLE ... DISABLE") || strstr(answer->error.text, "GRANT"))
		fail_msg("%s", answer->error.text);
	fixture_run(fixture, "ALTER TABLE sales_per_month DISABLE ROW LEVEL SECURITY");
	assert_says(fixture_fence(port, 2), SINK_DONE, "", "DISABLE");
	port->ops->close(port);
	pipeline_fini(&pipeline);
	fixture_run(fixture, "DROP OWNED BY sluice_reader; DROP ROLE sluice_reader");
}

/* A key of somebody's own notion of equality. */
static void test_operator_class(void **state)
{
	struct fixture *fixture = *state;
	struct error error = {0};

	assert_int_equal(postgres_init(&fixture->pipeline, "test", NULL, &error), RESULT_OK);
	fixture_run(fixture,
	    "CREATE FUNCTION easy(text, text) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT bttextcmp(lower($1), "
	    "lower($2))'; CREATE OPERATOR CLASS easy FOR TYPE text USING btree AS OPERATOR 1 <, OPERATOR 2 <=, "
	    "OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 easy(text, text);"
	    "CREATE UNIQUE INDEX easily ON transactions (transaction_id easy, customer_id)");
	assert_int_equal(
	    sink_postgres_open(&fixture->port, &fixture->pipeline, "sluice-sink 0", NULL, &error), RESULT_OK);
	assert_says(fixture_fence(fixture->port, 1), SINK_CONFIG, "operator class easy", "operator class");
	fixture_run(fixture, "DROP INDEX easily");
	assert_says(fixture_fence(fixture->port, 2), SINK_DONE, "", "DROP INDEX");
}

/* Another way to keep a table, that only says that it is one. */
static void test_access_method(void **state)
{
	struct fixture *fixture = *state;
	struct error error = {0};

	fixture_run(fixture, "CREATE ACCESS METHOD own TYPE TABLE HANDLER heap_tableam_handler");
	assert_int_equal(postgres_init(&fixture->pipeline, "test", NULL, &error), RESULT_OK);
	fixture_run(fixture, "ALTER TABLE sales_per_month SET ACCESS METHOD own");
	assert_int_equal(
	    sink_postgres_open(&fixture->port, &fixture->pipeline, "sluice-sink 0", NULL, &error), RESULT_OK);
	assert_says(fixture_fence(fixture->port, 1), SINK_CONFIG, "by access method own", "own");
	fixture_run(fixture, "ALTER TABLE sales_per_month SET ACCESS METHOD heap");
	assert_says(fixture_fence(fixture->port, 2), SINK_DONE, "", "heap");
}

/* Each table that was emptied behind the frontier's back. */
static void test_emptied(void **state)
{
	static const char *const tables[] = {"transactions", "sales_per_category", "sales_per_month"};
	struct fixture *fixture = *state;

	fixture->port = fixture_writer(fixture, 1);
	assert_says(commit_one(fixture, 1, none, (struct epoch_id){1, 1}), SINK_DONE, "", "the start");
	for (size_t i = 0; i < 3; i++) {
		char sql[256];
		snprintf(sql, sizeof sql,
		    "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT * FROM %s; TRUNCATE %s", tables[i],
		    tables[i]);
		fixture_run(fixture, sql);
		assert_says(commit_one(fixture, 1, (struct epoch_id){1, 1}, (struct epoch_id){1, 2}), SINK_UNKNOWN,
		    "truncated", sql);
		assert_says(fixture_look(fixture->port, 1), SINK_CONFIG,
		    "is empty, but the frontier of job shop/totals counts 1", sql);
		assert_says(fixture_fence(fixture->port, 1), SINK_CONFIG, tables[i], sql);
		snprintf(sql, sizeof sql, "INSERT INTO %s SELECT * FROM kept", tables[i]);
		fixture_run(fixture, sql);
		assert_says(fixture_look(fixture->port, 1), SINK_DONE, "", sql);
	}
}

static void test_encodings(void **state)
{
	static const char *const encodings[] = {"LATIN1", "SQL_ASCII", "WIN1252", "EUC_JP"};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof encodings / sizeof encodings[0]; i++) {
		char sql[320], name[96];
		struct pipeline pipeline;
		struct error error = {0};
		struct buffer report = {0};
		snprintf(name, sizeof name, "%s_%zu", fixture->database, i);
		snprintf(sql, sizeof sql,
		    "CREATE DATABASE %s TEMPLATE template0 ENCODING '%s' LC_COLLATE 'C' LC_CTYPE 'C'", name,
		    encodings[i]);
		PGresult *result = PQexec(fixture->server, sql);
		assert_int_equal(PQresultStatus(result), PGRES_COMMAND_OK);
		PQclear(result);
		struct buffer url = fixture_url(name, NULL, NULL, NULL);
		fixture_pipeline(&pipeline, (const char *)url.data, fixture_pipeline_text);
		assert_int_equal(postgres_init(&pipeline, "test", &report, &error), RESULT_CONFIG);
		if (!strstr(error.text, encodings[i]) || !strstr(error.text, "ENCODING 'UTF8'"))
			fail_msg("%s", error.text);
		buffer_fini(&url);
		buffer_fini(&report);
		pipeline_fini(&pipeline);
		snprintf(sql, sizeof sql, "DROP DATABASE %s WITH (FORCE)", name);
		PQclear(PQexec(fixture->server, sql));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_found_at_the_start, fixture_setup, fixture_teardown),
	    cmocka_unit_test(test_every_rule_has_a_case),
	    cmocka_unit_test_setup_teardown(test_found_while_it_runs, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_replaced, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_row_security, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_operator_class, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_access_method, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_emptied, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_encodings, fixture_setup, fixture_teardown),
	};
	fixture_choose_tests();
	return cmocka_run_group_tests_name("sink_objects", tests, NULL, NULL);
}
