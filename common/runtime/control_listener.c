#include "common/runtime/control_listener.h"

#include <stdlib.h>
#include <string.h>

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>

#include "common/base/log.h"
#include "common/base/timestamp.h"
#include "common/runtime/listener_probe.h"
#include "common/runtime/mailbox.h"
#include "common/runtime/nng_error.h"
#include "proto/frame.h"

/* Contexts that wait for a request at any time; more are made when answers are being held back. */
enum { SPARE = 4, RETRY_US = 1000000 };

enum mail_kind { MAIL_PIPE_ADDED, MAIL_PIPE_GONE, MAIL_REQUEST };

enum request_state { REQUEST_RECEIVING, REQUEST_HELD, REQUEST_ANSWERING };

struct control_request {
	struct control_listener *listener;
	nng_ctx context;
	nng_aio *aio;
	enum request_state state; /* the owner's while HELD, the callback's otherwise */
	nng_msg *message; /* HELD */
};

struct control_listener {
	struct mailbox mailbox;
	nng_socket socket;
	nng_listener listener;
	char *url;
	bool listening;
	uint64_t retry_us; /* while it is not */
	struct listener_probe probe;
	uint32_t *pipes; /* that stand now */
	size_t pipes_len, pipes_capacity;
	_Atomic uint32_t receiving; /* requests in that state */
};

/* --- nng's threads ------------------------------------------------------------------------------------------------ */

static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *context)
{
	struct control_listener *listener = context;
	int kind = event == NNG_PIPE_EV_ADD_PRE ? MAIL_PIPE_ADDED : MAIL_PIPE_GONE;
	mailbox_put(&listener->mailbox, (struct mail){.kind = kind, .id = (uint32_t)nng_pipe_id(pipe)});
}

static void receive(struct control_request *request)
{
	request->state = REQUEST_RECEIVING;
	request->listener->receiving++;
	nng_ctx_recv(request->context, request->aio);
}

static void on_request(void *context)
{
	struct control_request *request = context;
	struct control_listener *listener = request->listener;
	int code = nng_aio_result(request->aio);
	if (request->state == REQUEST_ANSWERING) {
		if (code != 0) {
			nng_msg_free(nng_aio_get_msg(request->aio));
			nng_aio_set_msg(request->aio, NULL);
		}
		if (code != NNG_ECLOSED)
			receive(request);
		return;
	}
	listener->receiving--;
	if (code == NNG_ECLOSED || code == NNG_ECANCELED)
		return;
	if (code != 0) {
		receive(request);
		return;
	}
	request->state = REQUEST_HELD;
	request->message = nng_aio_get_msg(request->aio);
	nng_aio_set_msg(request->aio, NULL);
	uint32_t pipe = (uint32_t)nng_pipe_id(nng_msg_get_pipe(request->message));
	mailbox_put(&listener->mailbox, (struct mail){.kind = MAIL_REQUEST, .id = pipe, .payload = request});
}

/* --- the owner's thread --------------------------------------------------------------------------------------------- */

static void add_requests(struct control_listener *listener)
{
	while (listener->receiving < SPARE) {
		struct control_request *request = memory_new(sizeof *request);
		request->listener = listener;
		nng_must(nng_ctx_open(&request->context, listener->socket), "nng_ctx_open");
		nng_must(nng_aio_alloc(&request->aio, on_request, request), "nng_aio_alloc");
		nng_aio_set_timeout(request->aio, NNG_DURATION_INFINITE);
		receive(request);
	}
}

static void prepare_probe(struct control_listener *listener)
{
	nng_sockaddr bound = {0};
	listener->probe = (struct listener_probe){0};
	(void)nng_listener_get_addr(listener->listener, NNG_OPT_LOCADDR, &bound);
	if (bound.s_family == NNG_AF_INET)
		listener->probe.address.v4 = (struct sockaddr_in){
		    .sin_family = AF_INET, .sin_port = bound.s_in.sa_port, .sin_addr.s_addr = bound.s_in.sa_addr};
	if (bound.s_family == NNG_AF_INET6) {
		listener->probe.address.v6 =
		    (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = bound.s_in6.sa_port};
		memcpy(&listener->probe.address.v6.sin6_addr, bound.s_in6.sa_addr, sizeof bound.s_in6.sa_addr);
	}
	listener_probe_init(&listener->probe, clock_monotonic_us());
}

static enum result listen_now(struct control_listener *listener, struct error *error)
{
	int code = nng_listen(listener->socket, listener->url, &listener->listener, 0);
	if (code != 0)
		return nng_error_set(error, code, "control link: listening on %s", listener->url);
	listener->listening = true;
	prepare_probe(listener);
	return RESULT_OK;
}

static enum result open_socket(struct control_listener *listener, struct error *error)
{
	int code = nng_rep0_open(&listener->socket);
	if (code != 0)
		return nng_error_set(error, code, "control link: opening its socket");
	nng_must(nng_socket_set_size(listener->socket, NNG_OPT_RECVMAXSZ, FRAME_MAX), NNG_OPT_RECVMAXSZ);
	/* Before the handshake, so that a connection is known before its first request. */
	nng_must(nng_pipe_notify(listener->socket, NNG_PIPE_EV_ADD_PRE, on_pipe, listener), "nng_pipe_notify");
	nng_must(nng_pipe_notify(listener->socket, NNG_PIPE_EV_REM_POST, on_pipe, listener), "nng_pipe_notify");
	return listen_now(listener, error);
}

enum result control_listener_open(struct control_listener **opened, const char *url, struct error *error)
{
	struct control_listener *listener = memory_new(sizeof *listener);
	enum result result = mailbox_open(&listener->mailbox, error);
	if (result != RESULT_OK)
		goto no_mailbox;
	listener->url = text_clone(url);
	result = open_socket(listener, error);
	if (result != RESULT_OK)
		goto failed;
	add_requests(listener);
	*opened = listener;
	return RESULT_OK;
failed:
	(void)nng_close(listener->socket);
	free(listener->url);
	mailbox_close(&listener->mailbox);
no_mailbox:
	free(listener);
	return result;
}

int control_listener_event_fd(const struct control_listener *listener)
{
	return listener->mailbox.event_fd;
}

static void add_pipe(struct control_listener *listener, uint32_t pipe)
{
	if (listener->pipes_len == listener->pipes_capacity) {
		listener->pipes_capacity = listener->pipes_capacity ? listener->pipes_capacity * 2 : 16;
		listener->pipes = memory_resize(listener->pipes, listener->pipes_capacity, sizeof *listener->pipes);
	}
	listener->pipes[listener->pipes_len++] = pipe;
}

static bool find_pipe(const struct control_listener *listener, uint32_t pipe, size_t *place)
{
	for (size_t i = 0; i < listener->pipes_len; i++)
		if (listener->pipes[i] == pipe) {
			*place = i;
			return true;
		}
	return false;
}

/* false: the owner need not know. */
static bool read_mail(struct control_listener *listener, const struct mail *mail, struct control_news *news)
{
	size_t place;
	bool known = find_pipe(listener, mail->id, &place);
	struct control_request *request = mail->payload;
	switch ((enum mail_kind)mail->kind) {
	case MAIL_PIPE_ADDED:
		add_pipe(listener, mail->id);
		return false;
	case MAIL_PIPE_GONE:
		if (known)
			listener->pipes[place] = listener->pipes[--listener->pipes_len];
		*news = (struct control_news){.kind = CONTROL_PIPE_GONE, .pipe = mail->id};
		return known;
	case MAIL_REQUEST:
		/* Removal may have overtaken it, on another thread: whoever sent it is gone. */
		if (!known) {
			control_request_drop(request);
			return false;
		}
		*news = (struct control_news){
		    .kind = CONTROL_REQUEST,
		    .pipe = mail->id,
		    .request = request,
		    .message = {nng_msg_body(request->message), nng_msg_len(request->message)},
		};
		return true;
	}
	panic("mail of kind %d", mail->kind);
}

bool control_listener_next(struct control_listener *listener, struct control_news *news)
{
	struct mail mail;
	add_requests(listener);
	while (mailbox_take(&listener->mailbox, &mail))
		if (read_mail(listener, &mail, news))
			return true;
	return false;
}

static void free_message(struct control_request *request)
{
	CHECK(request->state == REQUEST_HELD);
	nng_msg_free(request->message);
	request->message = NULL;
}

void control_request_answer(struct control_request *request, struct buffer *message)
{
	nng_msg *answer;
	free_message(request);
	CHECK(message->len <= FRAME_MAX);
	nng_must(nng_msg_alloc(&answer, message->len), "nng_msg_alloc");
	memcpy(nng_msg_body(answer), message->data, message->len);
	buffer_fini(message);
	request->state = REQUEST_ANSWERING;
	nng_aio_set_msg(request->aio, answer);
	nng_ctx_send(request->context, request->aio);
}

void control_request_drop(struct control_request *request)
{
	free_message(request);
	receive(request);
}

void control_listener_check(struct control_listener *listener, uint64_t now_us)
{
	struct error error;
	if (listener->listening && listener_probe_step(&listener->probe, now_us))
		return;
	if (listener->listening) {
		log_error("control link: the listener at %s does not answer any more: it is made again", listener->url);
		(void)nng_listener_close(listener->listener);
		listener->listening = false;
		listener->retry_us = now_us;
	}
	if (now_us >= listener->retry_us && listen_now(listener, &error) != RESULT_OK) {
		log_warn("%s", error.text);
		listener->retry_us = now_us + RETRY_US;
	}
}
