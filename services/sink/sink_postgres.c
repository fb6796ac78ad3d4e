#include "services/sink/sink_postgres.h"

#include <stdlib.h>

#include "common/base/timestamp.h"
#include "services/sink/postgres_frontier.h"
#include "services/sink/postgres_runner.h"
#include "services/sink/postgres_writer.h"
#include "services/sink/sink_thread.h"

static enum sink_outcome ask(
    struct postgres_writer *writer, const struct sink_request *request, struct sink_answer *answer)
{
	switch (request->kind) {
	case SINK_FENCE:
		return postgres_writer_fence(writer, request->attempt, answer);
	case SINK_SET_CUT:
		return postgres_writer_set_cut(writer, request->attempt, request->cut, request->remember, answer);
	case SINK_COMMIT:
		return postgres_writer_commit(writer, request->transaction, answer);
	case SINK_MARK:
		return postgres_writer_mark(writer, request->attempt, request->predecessor, request->marked, answer);
	case SINK_CHOOSE:
		return postgres_writer_choose(
		    writer, request->attempt, request->checkpoint, request->renamed, request->remember, answer);
	case SINK_RETIRE:
		return postgres_writer_retire(writer, request->attempt, request->retired, request->retired_len,
		    request->checkpoint, request->cut, answer);
	case SINK_ASK_LATE:
		return postgres_writer_late(
		    writer, request->attempt, request->predecessor, request->bodies, request->bodies_len, answer);
	case SINK_LOOK:
		return postgres_writer_look(writer, request->attempt, answer);
	case SINK_TOUCH:
		return postgres_writer_touch(writer, request->attempt, request->predecessor, answer);
	case SINK_NOTHING:
	case SINK_REQUEST_KINDS:
		break;
	}
	panic("request %d", (int)request->kind);
}

/* The answer is late: the owner hears why. */
static bool on_late(void *context)
{
	struct postgres_writer *writer = context;

	writer->wait.pid = writer->postgres.pid;
	bool at_it = postgres_wait_look(&writer->wait);
	sink_thread_say(writer->thread, writer->wait.text);
	return at_it;
}

static enum sink_outcome carry_out(void *store, const struct sink_request *request, struct sink_answer *answer)
{
	struct postgres_writer *writer = store;

	writer->postgres.on_late = on_late;
	writer->postgres.late_context = writer;
	writer->postgres.late_us = clock_monotonic_us() + WAIT_LOOK_AFTER_MS * UINT64_C(1000);
	writer->postgres.late_every_us = WAIT_LOOK_EVERY_MS * UINT64_C(1000);
	postgres_wait_begin(&writer->wait);
	enum sink_outcome outcome = ask(writer, request, answer);
	postgres_runner_hear(writer);
	postgres_wait_end(&writer->wait);
	return outcome;
}

static void writer_free(void *store)
{
	postgres_writer_fini(store);
	free(store);
}

static const struct sink_store_ops store_ops = {"PostgreSQL", carry_out, writer_free};

enum result sink_postgres_open(struct sink_port **port, const struct pipeline *pipeline, const char *application_name,
    const struct sink_runner *runner, struct error *error)
{
	struct sink_thread *thread = sink_thread_new();
	struct postgres_writer *writer = memory_new(sizeof *writer);

	*port = NULL;
	postgres_writer_init(writer, pipeline, application_name, thread->stop_fd);
	writer->thread = thread;
	if (runner != NULL)
		writer->runner = *runner;
	return sink_thread_start(thread, &store_ops, writer, port, error);
}
