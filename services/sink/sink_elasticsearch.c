#include "services/sink/sink_elasticsearch.h"

#include <stdlib.h>

#include "services/sink/elastic_frontier.h"
#include "services/sink/sink_thread.h"

static enum sink_outcome ask(
    struct elastic_writer *writer, const struct sink_request *request, struct sink_answer *answer)
{
	switch (request->kind) {
	case SINK_FENCE:
		return elastic_writer_fence(writer, request->attempt, answer);
	case SINK_SET_CUT:
		return elastic_writer_set_cut(writer, request->attempt, request->cut, request->remember, answer);
	case SINK_COMMIT:
		return elastic_writer_commit(writer, request->transaction, answer);
	case SINK_LOOK:
		return elastic_writer_look(writer, request->attempt, answer);
	case SINK_TOUCH:
		return elastic_writer_touch(writer, request->attempt, request->predecessor, answer);
	case SINK_MARK:
	case SINK_CHOOSE:
	case SINK_RETIRE:
	case SINK_ASK_LATE: /* of checkpoints */
	case SINK_NOTHING:
	case SINK_REQUEST_KINDS:
		break;
	}
	panic("request %d", (int)request->kind);
}

static enum sink_outcome carry_out(void *store, const struct sink_request *request, struct sink_answer *answer)
{
	struct elastic_writer *writer = store;

	elastic_wait_begin(&writer->http.wait);
	enum sink_outcome outcome = ask(writer, request, answer);
	elastic_wait_end(&writer->http.wait);
	return outcome;
}

static void say(void *context, const char *text)
{
	sink_thread_say(context, text);
}

static void writer_free(void *store)
{
	elastic_writer_fini(store);
	free(store);
}

static const struct sink_store_ops store_ops = {"Elasticsearch", carry_out, writer_free};

enum result sink_elasticsearch_open(struct sink_port **port, const struct pipeline *pipeline, const char *job,
    uint32_t writer, uint32_t writers, const struct sink_runner *runner, struct error *error)
{
	struct sink_thread *thread = sink_thread_new();
	struct elastic_writer *store = memory_new(sizeof *store);

	*port = NULL;
	http_prepare();
	if (elastic_writer_init(store, pipeline, job, writer, writers, runner, thread->stop_fd, error) != RESULT_OK) {
		writer_free(store);
		sink_thread_free(thread);
		return error->code;
	}
	store->http.wait.say = say;
	store->http.wait.context = thread;
	return sink_thread_start(thread, &store_ops, store, port, error);
}
