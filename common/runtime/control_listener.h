/* common/runtime/control_listener.h - requests of the control link as they come in, and answers as they go out (nng REP0).
 *
 * Every request has a context of its own, so that it may wait for its answer as long as it takes.
 *
 * Ownership: a request is the owner's from control_listener_next until it is answered or dropped.
 * Threads:   one owner; nng's callbacks only fill the mailbox.
 */
#ifndef RUNTIME_CONTROL_LISTENER_H
#define RUNTIME_CONTROL_LISTENER_H

#include "common/base/buffer.h"
#include "common/base/error.h"

struct control_listener;
struct control_request;

enum control_news_kind { CONTROL_REQUEST, CONTROL_PIPE_GONE };
struct control_news {
	enum control_news_kind kind;
	uint32_t pipe; /* the connection it came on, or that is gone */
	struct control_request *request;
	struct bytes message; /* REQUEST; valid until it is answered or dropped */
};

enum result control_listener_open(struct control_listener **listener, const char *url, struct error *error) MUST_USE;
int control_listener_event_fd(const struct control_listener *listener);
/* false: nothing more for now. Requests of connections that are gone do not come up. */
bool control_listener_next(struct control_listener *listener, struct control_news *news);
/* Takes the message; the request is over. */
void control_request_answer(struct control_request *request, struct buffer *message);
/* No answer: whoever asked waits in vain. */
void control_request_drop(struct control_request *request);

/* The watchdog, to be called now and then: where the listener has died (listener_probe.h), it is closed and made again,
 * which ends every connection. */
void control_listener_check(struct control_listener *listener, uint64_t now_us);

#endif
