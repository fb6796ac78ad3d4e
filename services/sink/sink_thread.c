/* services/sink/sink_thread.c - see sink_thread.h.
 *
 * The mutex guards `request`, `closing`, `answered`, and the words. What a request points to and the answer belong to the thread from the moment
 * the request is set until answered is: so neither needs the mutex for longer than a look.
 */
#include "services/sink/sink_thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/base/log.h"

enum { CLOSE_WITHIN_S = 4, SINK_WORDS_MAX = 512 };

struct sink_thread_inner {
	const struct sink_store_ops *ops;
	void *store;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	struct sink_request request; /* kind NOTHING: nothing to do */
	bool closing;
	bool busy; /* requested, and the answer not yet taken */
	bool answered;
	bool said; /* words have changed, and the owner has not taken them */
	char words[SINK_WORDS_MAX];
	struct sink_answer answer;
};

static struct sink_thread *self_of(struct sink_port *port)
{
	return (struct sink_thread *)port;
}

/* An eventfd's counter cannot overflow here: at most one answer is untaken. */
static void signal_fd(int fd)
{
	uint64_t one = 1;
	ssize_t written = write(fd, &one, sizeof one);
	CHECK(written == sizeof one);
}

/* --- the thread ---------------------------------------------------------------------------------------------------- */

/* False: the port is to close. */
static bool request_wait(struct sink_thread_inner *inner, struct sink_request *request)
{
	pthread_mutex_lock(&inner->mutex);
	while (inner->request.kind == SINK_NOTHING && !inner->closing)
		pthread_cond_wait(&inner->changed, &inner->mutex);
	bool closing = inner->closing;
	*request = inner->request;
	inner->request.kind = SINK_NOTHING;
	pthread_mutex_unlock(&inner->mutex);
	return !closing;
}

static void *thread_run(void *context)
{
	struct sink_thread *self = context;
	struct sink_thread_inner *inner = self->inner;
	struct sink_request request;

	while (request_wait(inner, &request)) {
		sink_answer_clear(&inner->answer);
		inner->answer.outcome = inner->ops->carry_out(inner->store, &request, &inner->answer);
		pthread_mutex_lock(&inner->mutex);
		inner->answered = true;
		inner->said = false; /* the words were the request's: the answer ends them */
		inner->words[0] = '\0';
		pthread_mutex_unlock(&inner->mutex);
		signal_fd(self->port.event_fd);
	}
	return NULL;
}

void sink_thread_say(struct sink_thread *self, const char *text)
{
	struct sink_thread_inner *inner = self->inner;

	pthread_mutex_lock(&inner->mutex);
	bool changed = strcmp(inner->words, text) != 0;
	inner->said |= changed;
	(void)snprintf(inner->words, sizeof inner->words, "%s", text);
	pthread_mutex_unlock(&inner->mutex);
	if (changed)
		signal_fd(self->port.event_fd);
}

/* --- the owner ----------------------------------------------------------------------------------------------------- */

static void on_start(struct sink_port *port, const struct sink_request *request)
{
	struct sink_thread_inner *inner = self_of(port)->inner;

	pthread_mutex_lock(&inner->mutex);
	CHECK(!inner->busy);
	inner->busy = true;
	inner->request = *request;
	pthread_cond_signal(&inner->changed);
	pthread_mutex_unlock(&inner->mutex);
}

static bool on_answer(struct sink_port *port, struct sink_answer **answer)
{
	struct sink_thread_inner *inner = self_of(port)->inner;
	uint64_t count;

	pthread_mutex_lock(&inner->mutex);
	bool answered = inner->answered;
	pthread_mutex_unlock(&inner->mutex);
	if (!answered)
		return false;
	/* Whoever waits for the descriptor may have read it empty already, and the signal may come a moment later still. */
	(void)!read(port->event_fd, &count, sizeof count);
	inner->answered = false;
	inner->busy = false;
	*answer = &inner->answer;
	return true;
}

static bool on_late_words(struct sink_port *port, char *text, size_t size)
{
	struct sink_thread_inner *inner = self_of(port)->inner;
	uint64_t count;

	pthread_mutex_lock(&inner->mutex);
	bool said = inner->said;
	inner->said = false;
	if (said)
		(void)snprintf(text, size, "%s", inner->words);
	/* What comes from here on signals again. */
	if (!inner->answered)
		(void)!read(port->event_fd, &count, sizeof count);
	pthread_mutex_unlock(&inner->mutex);
	return said;
}

static void on_close(struct sink_port *port)
{
	struct sink_thread *self = self_of(port);
	struct sink_thread_inner *inner = self->inner;
	struct timespec until;

	pthread_mutex_lock(&inner->mutex);
	inner->closing = true;
	pthread_cond_signal(&inner->changed);
	pthread_mutex_unlock(&inner->mutex);
	signal_fd(self->stop_fd);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += CLOSE_WITHIN_S;
	if (pthread_timedjoin_np(inner->thread, NULL, &until) != 0) {
		/* A name server that does not answer, for example. The thread still uses all of this. */
		log_warn("the thread that talks to %s does not end; it is left behind", inner->ops->name);
		pthread_detach(inner->thread);
		return;
	}
	inner->ops->free(inner->store);
	sink_thread_free(self);
}

static const struct sink_port_ops port_ops = {
    .start = on_start,
    .answer = on_answer,
    .late_words = on_late_words,
    .close = on_close,
};

/* --- beginning and end --------------------------------------------------------------------------------------------- */

struct sink_thread *sink_thread_new(void)
{
	struct sink_thread *self = memory_new(sizeof *self);

	self->inner = memory_new(sizeof *self->inner);
	pthread_mutex_init(&self->inner->mutex, NULL);
	pthread_cond_init(&self->inner->changed, NULL);
	self->port.ops = &port_ops;
	self->port.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	self->stop_fd = eventfd(0, EFD_CLOEXEC);
	return self;
}

void sink_thread_free(struct sink_thread *self)
{
	sink_answer_clear(&self->inner->answer);
	if (self->port.event_fd >= 0)
		close(self->port.event_fd);
	if (self->stop_fd >= 0)
		close(self->stop_fd);
	pthread_cond_destroy(&self->inner->changed);
	pthread_mutex_destroy(&self->inner->mutex);
	free(self->inner);
	free(self);
}

/* Signals are for the process's main thread. */
static int thread_start(struct sink_thread *self)
{
	sigset_t all, old;

	if (self->port.event_fd < 0 || self->stop_fd < 0)
		return EMFILE;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int failed = pthread_create(&self->inner->thread, NULL, thread_run, self);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return failed;
}

enum result sink_thread_start(struct sink_thread *self, const struct sink_store_ops *ops, void *store,
    struct sink_port **port, struct error *error)
{
	self->inner->ops = ops;
	self->inner->store = store;
	int failed = thread_start(self);
	if (failed) {
		ops->free(store);
		sink_thread_free(self);
		return error_set(
		    error, RESULT_RETRY, "cannot start the thread that talks to %s: %s", ops->name, strerror(failed));
	}
	*port = &self->port;
	return RESULT_OK;
}
