/* services/sink/elastic_frontier.h - what a writer of documents asks of Elasticsearch, as calls that block.
 *
 * sink_elasticsearch.c runs them on a thread. Each fills the answer, except its outcome, which it returns.
 */
#ifndef ELASTIC_FRONTIER_H
#define ELASTIC_FRONTIER_H

#include "services/sink/elastic_bulk.h"
#include "services/sink/elastic_control.h"
#include "services/sink/elastic_index.h"
#include "services/sink/elastic_runner.h"

struct elastic_writer {
	const struct pipeline *pipeline;
	char *job;
	uint32_t writer, writers;
	uint32_t first_group, groups; /* mine */
	struct http http;
	struct http_request request; /* for all but documents */
	struct controls controls;
	struct indices indices;
	struct bulk bulk;
	struct elastic_runner runner;
	uint64_t raised; /* the fence that this process has raised itself */
	struct control mine; /* as last read or written */
	struct control next; /* as it is to be */
	struct control other; /* for a look, and for surplus ones */
	uint32_t surplus_end; /* writer 0: the documents from `writers` to here are to be deleted */
};

enum result elastic_writer_init(struct elastic_writer *self, const struct pipeline *pipeline, const char *job,
    uint32_t writer, uint32_t writers, const struct sink_runner *runner, int stop_fd, struct error *error) MUST_USE;
void elastic_writer_fini(struct elastic_writer *self);

enum sink_outcome elastic_writer_fence(
    struct elastic_writer *self, uint64_t attempt, struct sink_answer *answer) MUST_USE;
enum sink_outcome elastic_writer_set_cut(struct elastic_writer *self, uint64_t attempt, const struct cut *cut,
    const struct facts *remember, struct sink_answer *answer) MUST_USE;
enum sink_outcome elastic_writer_commit(
    struct elastic_writer *self, const struct transaction *transaction, struct sink_answer *answer) MUST_USE;
enum sink_outcome elastic_writer_look(
    struct elastic_writer *self, uint64_t attempt, struct sink_answer *answer) MUST_USE;
enum sink_outcome elastic_writer_touch(
    struct elastic_writer *self, uint64_t attempt, struct epoch_id predecessor, struct sink_answer *answer) MUST_USE;

#endif
