/* tests/integration/sink_fixture.h - a database of one's own, a pipeline, and transactions by hand, for the sink's tests.
 *
 * DATABASE_URL names a server on which databases may be created.
 */
#ifndef SINK_FIXTURE_H
#define SINK_FIXTURE_H

#include <libpq-fe.h>

#include "common/base/pipeline.h"
#include "proto/row.h"
#include "common/postgres/postgres_schema.h"
#include "services/sink/sink_postgres.h"
#include "tests/integration/sink_await.h"

struct fixture {
	PGconn *server; /* to DATABASE_URL itself */
	PGconn *link; /* to the test's database */
	char database[64];
	struct buffer url; /* with a NUL */
	struct pipeline pipeline;
	struct sink_port *port;
	char *text; /* of the last fixture_value */
};

/* cmocka's setup and teardown. */
/* Only the test that SLUICE_TEST_ONLY names, where it names one: a mutant runs the one that is to catch it. */
void fixture_choose_tests(void);
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* The address of another database, user or port on the same server; NULL keeps. With a NUL; buffer_fini it. */
struct buffer fixture_url(const char *database, const char *user, const char *password, const char *port);
void fixture_pipeline(struct pipeline *pipeline, const char *url, const char *text);
extern const char fixture_pipeline_text[];

/* Runs SQL in the test's database; the test fails when it does. */
void fixture_run(struct fixture *fixture, const char *sql);
/* The first value of the result as text, "(null)" for null; valid until the next one. */
const char *fixture_value(struct fixture *fixture, const char *sql);

/* These ask, and wait for the answer. */
struct sink_answer *fixture_fence(struct sink_port *port, uint64_t attempt);
/* What every epoch is marked with, and what is remembered. */
extern const struct marks fixture_marks;
extern const struct facts fixture_facts;

struct sink_answer *fixture_look(struct sink_port *port, uint64_t attempt);
struct sink_answer *fixture_mark(
    struct sink_port *port, uint64_t attempt, struct epoch_id predecessor, struct epoch_id checkpoint, int64_t offset);
struct sink_answer *fixture_choose(struct sink_port *port, uint64_t attempt, struct epoch_id checkpoint);
/* Fences with attempt, and sets the cut {0: 0} where there is none. */
struct sink_port *fixture_writer(struct fixture *fixture, uint64_t attempt);

/* A transaction that owns what it points to. */
struct draft {
	struct transaction transaction;
	struct cut cut;
	struct rows_writer rows;
	struct bytes body;
	struct buffer scratch;
	struct arena arena;
	struct letters letters;
	struct decisions decisions;
	struct groups groups;
	uint64_t rows_len;
};
void draft_open(
    struct draft *draft, uint64_t fence, struct epoch_id predecessor, struct epoch_id epoch, int64_t offset);
void draft_row(
    struct draft *draft, uint32_t partition, int64_t offset, const struct value *values, uint32_t values_len);
/* A row of the fixture's pipeline with just its key and an amount. */
void draft_sale(struct draft *draft, int64_t offset, const char *key, int64_t amount_minor);
void draft_letter(struct draft *draft, struct letter letter);
void draft_decision(struct draft *draft, uint32_t partition, int64_t offset, enum verdict verdict);
void draft_group(struct draft *draft, uint32_t rollup, const struct value *key, uint32_t key_len, __int128 measure);
void draft_measures(struct draft *draft, uint32_t rollup, const struct value *key, uint32_t key_len,
    const __int128 *measures, size_t measures_len);
struct sink_answer *draft_commit(struct draft *draft, struct sink_port *port);
/* The same without waiting for the answer; the draft stays as it is until then. */
void draft_start(struct draft *draft, struct sink_port *port);
/* Asks which of the draft's rows are late duplicates, with its fence and predecessor. */
struct sink_answer *draft_late(struct draft *draft, struct sink_port *port);
void draft_close(struct draft *draft);

struct value value_text(const char *text);
struct value value_integer(int64_t integer);
struct value value_null(void);

#endif
