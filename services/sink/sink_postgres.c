/* services/sink/sink_postgres.c - hands one request at a time to a thread that may block; see sink_port.h.
 *
 * The mutex guards `request` and `answered`. What a request points to and the answer belong to the thread from the moment
 * the request is set until answered is: so neither needs the mutex for longer than a look.
 */
#include "services/sink/sink_postgres.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/base/log.h"
#include "services/sink/postgres_frontier.h"
#include "common/postgres/postgres_schema.h"
#include "services/sink/postgres_writer.h"

enum { CLOSE_WITHIN_S = 4 };

enum request_kind {
	REQUEST_NONE,
	REQUEST_FENCE,
	REQUEST_SET_CUT,
	REQUEST_COMMIT,
	REQUEST_MARK,
	REQUEST_CHOOSE,
	REQUEST_RETIRE,
	REQUEST_LATE,
	REQUEST_LOOK,
	REQUEST_TOUCH,
	REQUEST_CLOSE
};

struct request {
	enum request_kind kind;
	uint64_t attempt;
	struct epoch_id predecessor;
	struct epoch_id checkpoint, renamed;
	const struct cut *cut;
	const struct transaction *transaction;
	const struct epoch_id *retired;
	size_t retired_len;
	const struct bytes *bodies;
	size_t bodies_len;
};

struct sink_postgres {
	struct sink_port port; /* first: the port is this struct */
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	struct request request; /* kind NONE: nothing to do */
	bool busy; /* requested, and the answer not yet taken */
	bool answered;
	int stop_fd;
	struct sink_answer answer;
	struct postgres_writer writer;
};

static struct sink_postgres *self_of(struct sink_port *port)
{
	return (struct sink_postgres *)port;
}

/* An eventfd's counter cannot overflow here: at most one answer is untaken. */
static void signal_fd(int fd)
{
	uint64_t one = 1;
	ssize_t written = write(fd, &one, sizeof one);
	CHECK(written == sizeof one);
}

/* ---- the thread ---- */

static enum sink_outcome carry_out(struct sink_postgres *self, const struct request *request)
{
	struct postgres_writer *writer = &self->writer;
	struct sink_answer *answer = &self->answer;

	switch (request->kind) {
	case REQUEST_FENCE:
		return postgres_writer_fence(writer, request->attempt, answer);
	case REQUEST_SET_CUT:
		return postgres_writer_set_cut(writer, request->attempt, request->cut, answer);
	case REQUEST_COMMIT:
		return postgres_writer_commit(writer, request->transaction, answer);
	case REQUEST_MARK:
		return postgres_writer_mark(
		    writer, request->attempt, request->predecessor, request->checkpoint, request->cut, answer);
	case REQUEST_CHOOSE:
		return postgres_writer_choose(writer, request->attempt, request->checkpoint, request->renamed, answer);
	case REQUEST_RETIRE:
		return postgres_writer_retire(
		    writer, request->attempt, request->retired, request->retired_len, request->cut, answer);
	case REQUEST_LATE:
		return postgres_writer_late(
		    writer, request->attempt, request->predecessor, request->bodies, request->bodies_len, answer);
	case REQUEST_LOOK:
		return postgres_writer_look(writer, request->attempt, answer);
	case REQUEST_TOUCH:
		return postgres_writer_touch(writer, request->attempt, request->predecessor, answer);
	case REQUEST_NONE:
	case REQUEST_CLOSE:
		break;
	}
	panic("request %d", (int)request->kind);
}

static struct request request_wait(struct sink_postgres *self)
{
	pthread_mutex_lock(&self->mutex);
	while (self->request.kind == REQUEST_NONE)
		pthread_cond_wait(&self->changed, &self->mutex);
	struct request request = self->request;
	if (request.kind != REQUEST_CLOSE) /* that one stays */
		self->request.kind = REQUEST_NONE;
	pthread_mutex_unlock(&self->mutex);
	return request;
}

static void *thread_run(void *context)
{
	struct sink_postgres *self = context;

	for (;;) {
		struct request request = request_wait(self);
		if (request.kind == REQUEST_CLOSE)
			return NULL;
		answer_clear(&self->answer);
		self->answer.outcome = carry_out(self, &request);
		pthread_mutex_lock(&self->mutex);
		self->answered = true;
		pthread_mutex_unlock(&self->mutex);
		signal_fd(self->port.event_fd);
	}
}

/* ---- the owner ---- */

static void request_start(struct sink_port *port, struct request request)
{
	struct sink_postgres *self = self_of(port);

	pthread_mutex_lock(&self->mutex);
	CHECK(!self->busy);
	self->busy = true;
	self->request = request;
	pthread_cond_signal(&self->changed);
	pthread_mutex_unlock(&self->mutex);
}

static void on_fence(struct sink_port *port, uint64_t attempt)
{
	request_start(port, (struct request){.kind = REQUEST_FENCE, .attempt = attempt});
}

static void on_set_cut(struct sink_port *port, uint64_t attempt, const struct cut *cut)
{
	request_start(port, (struct request){.kind = REQUEST_SET_CUT, .attempt = attempt, .cut = cut});
}

static void on_commit(struct sink_port *port, const struct transaction *transaction)
{
	request_start(port, (struct request){.kind = REQUEST_COMMIT, .transaction = transaction});
}

static void on_mark(struct sink_port *port, uint64_t attempt, struct epoch_id predecessor, struct epoch_id checkpoint,
    const struct cut *cut)
{
	request_start(port, (struct request){.kind = REQUEST_MARK,
	                        .attempt = attempt,
	                        .predecessor = predecessor,
	                        .checkpoint = checkpoint,
	                        .cut = cut});
}

static void on_choose(struct sink_port *port, uint64_t attempt, struct epoch_id checkpoint, struct epoch_id renamed)
{
	request_start(port,
	    (struct request){.kind = REQUEST_CHOOSE, .attempt = attempt, .checkpoint = checkpoint, .renamed = renamed});
}

static void on_retire(struct sink_port *port, uint64_t attempt, const struct epoch_id *checkpoints,
    size_t checkpoints_len, const struct cut *oldest_cut)
{
	request_start(port, (struct request){.kind = REQUEST_RETIRE,
	                        .attempt = attempt,
	                        .cut = oldest_cut,
	                        .retired = checkpoints,
	                        .retired_len = checkpoints_len});
}

static void on_late(struct sink_port *port, uint64_t attempt, struct epoch_id predecessor, const struct bytes *bodies,
    size_t bodies_len)
{
	request_start(port, (struct request){.kind = REQUEST_LATE,
	                        .attempt = attempt,
	                        .predecessor = predecessor,
	                        .bodies = bodies,
	                        .bodies_len = bodies_len});
}

static void on_look(struct sink_port *port, uint64_t attempt)
{
	request_start(port, (struct request){.kind = REQUEST_LOOK, .attempt = attempt});
}

static void on_touch(struct sink_port *port, uint64_t attempt, struct epoch_id predecessor)
{
	request_start(port, (struct request){.kind = REQUEST_TOUCH, .attempt = attempt, .predecessor = predecessor});
}

static bool on_answer(struct sink_port *port, struct sink_answer **answer)
{
	struct sink_postgres *self = self_of(port);
	uint64_t count;

	pthread_mutex_lock(&self->mutex);
	bool answered = self->answered;
	pthread_mutex_unlock(&self->mutex);
	if (!answered)
		return false;
	/* Whoever waits for the descriptor may have read it empty already, and the signal may come a moment later still. */
	(void)!read(port->event_fd, &count, sizeof count);
	self->answered = false;
	self->busy = false;
	*answer = &self->answer;
	return true;
}

static void self_free(struct sink_postgres *self)
{
	postgres_writer_fini(&self->writer);
	answer_clear(&self->answer);
	if (self->port.event_fd >= 0)
		close(self->port.event_fd);
	if (self->stop_fd >= 0)
		close(self->stop_fd);
	pthread_cond_destroy(&self->changed);
	pthread_mutex_destroy(&self->mutex);
	free(self);
}

static void on_close(struct sink_port *port)
{
	struct sink_postgres *self = self_of(port);
	struct timespec until;

	pthread_mutex_lock(&self->mutex);
	self->request.kind = REQUEST_CLOSE;
	pthread_cond_signal(&self->changed);
	pthread_mutex_unlock(&self->mutex);
	signal_fd(self->stop_fd);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += CLOSE_WITHIN_S;
	if (pthread_timedjoin_np(self->thread, NULL, &until) != 0) {
		/* A name server that does not answer, for example. The thread still uses all of this. */
		log_warn("the thread that talks to PostgreSQL does not end; it is left behind");
		pthread_detach(self->thread);
		return;
	}
	self_free(self);
}

static const struct sink_port_ops ops = {
    .fence = on_fence,
    .set_cut = on_set_cut,
    .commit = on_commit,
    .mark = on_mark,
    .choose = on_choose,
    .retire = on_retire,
    .late = on_late,
    .look = on_look,
    .touch = on_touch,
    .answer = on_answer,
    .close = on_close,
};

/* Signals are for the process's main thread. */
static int thread_start(struct sink_postgres *self)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int failed = pthread_create(&self->thread, NULL, thread_run, self);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return failed;
}

enum result sink_postgres_open(
    struct sink_port **port, const struct pipeline *pipeline, const char *application_name, struct error *error)
{
	struct sink_postgres *self = memory_new(sizeof *self);

	*port = NULL;
	self->port.ops = &ops;
	pthread_mutex_init(&self->mutex, NULL);
	pthread_cond_init(&self->changed, NULL);
	self->port.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	self->stop_fd = eventfd(0, EFD_CLOEXEC);
	postgres_writer_init(&self->writer, pipeline, application_name, self->stop_fd);
	int failed = self->port.event_fd < 0 || self->stop_fd < 0 ? errno : thread_start(self);
	if (failed) {
		self_free(self);
		return error_set(
		    error, RESULT_RETRY, "cannot start the thread that talks to PostgreSQL: %s", strerror(failed));
	}
	*port = &self->port;
	return RESULT_OK;
}
