/* tests/integration/elastic_fixture.h - an index of one's own, writers of it, and epochs by hand, for the tests of the
 * Elasticsearch sink.
 *
 * SLUICE_TEST_ELASTICSEARCH is the address of a server, real or elastic_fake.py's; where it is the latter, SLUICE_TEST_FAKE
 * is set too.
 */
#ifndef ELASTIC_FIXTURE_H
#define ELASTIC_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/row.h"
#include "services/sink/elastic_http.h"
#include "services/sink/sink_elasticsearch.h"
#include "tests/integration/sink_await.h"

enum { BED_PORTS_MAX = 8 };

struct bed {
	char name[64]; /* of job and index */
	struct pipeline pipeline;
	struct elasticsearch address;
	struct http http; /* the test's own */
	struct http_request request;
	struct sink_port *ports[BED_PORTS_MAX];
	size_t ports_len;
};

bool bed_is_fake(void);
/* cmocka's setup and teardown; the latter deletes what was made. */
int bed_setup(void **state);
int bed_teardown(void **state);
/* settings: more of sinks.elasticsearch, "index: x-%Y, ..."; NULL: none. url NULL: the server's. */
void bed_pipeline(struct bed *bed, const char *url, const char *settings);
struct sink_port *bed_open(struct bed *bed, uint32_t writer, uint32_t writers);
/* The only writer, of this coordinator. */
struct sink_port *bed_open_for(struct bed *bed, const char *coordinator);
void bed_close(struct bed *bed, struct sink_port *port);

/* %s in path is the bed's name. Returns the status; the answer's text is in bed->request.answer, with a NUL. */
long bed_ask(struct bed *bed, const char *method, const char *path, const char *body);
const char *bed_answer(const struct bed *bed);
void bed_fault(struct bed *bed, const char *json);
/* Of an index; "" behind the bed's name is the documents'. -1: there is no such index. */
long bed_count(struct bed *bed, const char *behind);

/* What a request that is under way says that it waits for, as soon as that has these words. */
const char *bed_words(struct sink_port *port, const char *wanted);
struct sink_answer *bed_fence(struct sink_port *port, uint64_t attempt);
/* What every epoch is marked with, and what is remembered. */
extern const struct marks bed_marks;
extern const struct facts bed_facts;

struct sink_answer *bed_set_cut(struct sink_port *port, uint64_t attempt, int64_t offset);
struct sink_answer *bed_look(struct sink_port *port, uint64_t attempt);
struct sink_answer *bed_touch(struct sink_port *port, uint64_t attempt, struct epoch_id predecessor);
/* A writer that has fenced with attempt and has the cut {0: 0}. */
struct sink_port *bed_writer(struct bed *bed, uint64_t attempt);

/* An epoch of rows with ascending offsets in partition 0. */
struct batch {
	struct transaction transaction;
	struct cut cut, handled;
	struct rows_writer rows;
	struct bytes body;
	int64_t offset;
};
void batch_open(
    struct batch *batch, uint64_t fence, struct epoch_id predecessor, struct epoch_id epoch, int64_t offset);
/* wall_us 0: some time in January 2024. */
void batch_row(struct batch *batch, const char *key, const char *note, int64_t wall_us);
void batch_start(struct batch *batch, struct sink_port *port);
struct sink_answer *batch_commit(struct batch *batch, struct sink_port *port);
/* The next epoch is here already; its rows are complete, and have to be there until it is committed. */
void batch_next(struct batch *batch, struct batch *next);
void batch_close(struct batch *batch);

#define assert_outcome(answer, expected)                                                                               \
	do {                                                                                                           \
		if ((answer)->outcome != (expected))                                                                   \
			fail_msg(                                                                                      \
			    "outcome %d, not %d: %s", (int)(answer)->outcome, (int)(expected), (answer)->error.text);  \
	} while (0)
#define assert_says(answer, words)                                                                                     \
	do {                                                                                                           \
		if (strstr((answer)->error.text, words) == NULL)                                                       \
			fail_msg("'%s' does not say '%s'", (answer)->error.text, words);                               \
	} while (0)

#endif
