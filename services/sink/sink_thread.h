/* services/sink/sink_thread.h - a sink port made of functions that may block: they run on a thread of the port's own.
 *
 *   struct sink_thread *thread = sink_thread_new();
 *   ... prepare a store, which gives up waiting when thread->stop_fd becomes readable ...
 *   result = sink_thread_start(thread, &mine, store, port, error);
 *
 * Ownership: what a request points to and the answer belong to the thread until the answer has been taken.
 * Blocking:  the port's functions do not; closing waits a few seconds at most.
 */
#ifndef SINK_THREAD_H
#define SINK_THREAD_H

#include "services/sink/sink_port.h"

/* What the thread talks to. */
struct sink_store_ops {
	const char *name; /* "PostgreSQL" */
	/* On the thread: the outcome, and the answer, which is empty. */
	enum sink_outcome (*carry_out)(void *store, const struct sink_request *, struct sink_answer *);
	/* After the thread's end: the store's memory, too. */
	void (*free)(void *store);
};

struct sink_thread {
	struct sink_port port; /* first: the port is this struct */
	int stop_fd; /* an eventfd, readable when the port is to close */
	struct sink_thread_inner *inner;
};

struct sink_thread *sink_thread_new(void);
/* Takes both, also where it fails. */
enum result sink_thread_start(struct sink_thread *thread, const struct sink_store_ops *ops, void *store,
    struct sink_port **port, struct error *error) MUST_USE;
/* Of one that was not started. */
void sink_thread_free(struct sink_thread *thread);

/* On the thread: for what the request waits; empty: no longer. The answer ends it. */
void sink_thread_say(struct sink_thread *thread, const char *text);

#endif
