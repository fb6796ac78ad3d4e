#include "common/runtime/control_client.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>

#include "common/base/log.h"
#include "common/base/timestamp.h"
#include "common/runtime/control_session.h"
#include "common/runtime/mailbox.h"
#include "common/runtime/nng_error.h"
#include "common/runtime/trace.h"

/* RESEND_MS: a question whose answer got lost is asked again; longer than any poll is held. */
enum { RESEND_MS = 3000, RECONNECT_LEAST_MS = 20, RECONNECT_MOST_MS = 100 };

enum mail_kind { MAIL_ANSWER, MAIL_BROKEN, MAIL_PIPE_ADDED, MAIL_PIPE_GONE };

/* One REQ0 context: a question, then its answer. */
enum exchange_id { EXCHANGE_EVENTS, EXCHANGE_POLL, EXCHANGES };
struct exchange {
	struct control_client *client;
	enum exchange_id id;
	nng_ctx context;
	nng_aio *aio;
	bool asking; /* the callback's while busy: the question has not left yet */
	bool busy; /* the owner's */
};

struct control_client {
	struct mailbox mailbox;
	nng_socket socket;
	struct exchange exchanges[EXCHANGES];
	char *worker;
	uint32_t job;
	uint64_t incarnation, coordinator;
	uint32_t pipe; /* 0: no coordinator at the other end */
	uint64_t heard_us; /* an answer, or the connection's beginning */
	bool over; /* told to start afresh or to stop: nothing more is asked */
	struct control_outgoing outgoing;
	struct control_incoming incoming;
	nng_msg *answer; /* in hand, of exchange answered; NULL: none */
	enum exchange_id answered;
	struct control_reader reader;
	struct arena arena;
	struct error broken; /* for a CANCEL or STOP of our own making */
	bool trace;
};

/* --- nng's threads ------------------------------------------------------------------------------------------------ */

static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *context)
{
	struct control_client *client = context;
	int kind = event == NNG_PIPE_EV_ADD_PRE ? MAIL_PIPE_ADDED : MAIL_PIPE_GONE;
	mailbox_put(&client->mailbox, (struct mail){.kind = kind, .id = (uint32_t)nng_pipe_id(pipe)});
}

static void on_exchange(void *context)
{
	struct exchange *exchange = context;
	struct mail mail = {.kind = MAIL_BROKEN, .id = (uint32_t)exchange->id};
	int code = nng_aio_result(exchange->aio);
	if (code == 0 && exchange->asking) {
		exchange->asking = false;
		nng_ctx_recv(exchange->context, exchange->aio);
		return;
	}
	if (code == 0) {
		mail.kind = MAIL_ANSWER;
		mail.payload = nng_aio_get_msg(exchange->aio);
	} else if (exchange->asking) {
		nng_msg_free(nng_aio_get_msg(exchange->aio));
	}
	nng_aio_set_msg(exchange->aio, NULL);
	mailbox_put(&exchange->client->mailbox, mail);
}

/* --- asking --------------------------------------------------------------------------------------------------------- */

static void ask(struct control_client *client, enum exchange_id id)
{
	static const struct control_outgoing nothing;
	struct exchange *exchange = &client->exchanges[id];
	struct frame_heartbeat heartbeat = {
	    .worker = client->worker,
	    .incarnation = client->incarnation,
	    .coordinator = client->coordinator,
	    .acknowledged = client->incoming.last,
	};
	struct buffer message = {0};
	nng_msg *question;
	control_outgoing_write(id == EXCHANGE_EVENTS ? &client->outgoing : &nothing, client->job, &heartbeat, &message);
	nng_must(nng_msg_alloc(&question, message.len), "nng_msg_alloc");
	memcpy(nng_msg_body(question), message.data, message.len);
	buffer_fini(&message);
	exchange->busy = true;
	exchange->asking = true;
	nng_aio_set_msg(exchange->aio, question);
	nng_ctx_send(exchange->context, exchange->aio);
}

/* Events first: an unregistered worker's poll would be answered with CANCEL, so the first poll waits for the answer to
 * REGISTER. */
static void ask_what_is_due(struct control_client *client)
{
	if (client->over)
		return;
	if (!client->exchanges[EXCHANGE_EVENTS].busy && client->outgoing.len != 0)
		ask(client, EXCHANGE_EVENTS);
	if (!client->exchanges[EXCHANGE_POLL].busy && client->coordinator != 0)
		ask(client, EXCHANGE_POLL);
}

/* --- opening -------------------------------------------------------------------------------------------------------- */

static void open_exchange(struct control_client *client, enum exchange_id id)
{
	struct exchange *exchange = &client->exchanges[id];
	*exchange = (struct exchange){.client = client, .id = id};
	nng_must(nng_ctx_open(&exchange->context, client->socket), "nng_ctx_open");
	nng_must(nng_aio_alloc(&exchange->aio, on_exchange, exchange), "nng_aio_alloc");
	nng_aio_set_timeout(exchange->aio, NNG_DURATION_INFINITE);
}

static void set_options(nng_socket socket)
{
	nng_must(nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, FRAME_MAX), NNG_OPT_RECVMAXSZ);
	nng_must(nng_socket_set_ms(socket, NNG_OPT_RECONNMINT, RECONNECT_LEAST_MS), NNG_OPT_RECONNMINT);
	nng_must(nng_socket_set_ms(socket, NNG_OPT_RECONNMAXT, RECONNECT_MOST_MS), NNG_OPT_RECONNMAXT);
	nng_must(nng_socket_set_ms(socket, NNG_OPT_REQ_RESENDTIME, RESEND_MS), NNG_OPT_REQ_RESENDTIME);
}

static void report_registration(struct control_client *client, const struct frame_registration *registration)
{
	struct buffer message = {0};
	buffer_reserve(&message, FRAME_HEADER_SIZE);
	message.len = FRAME_HEADER_SIZE;
	frame_encode_body(&message, FRAME_REGISTER, registration);
	control_client_report(client, FRAME_REGISTER, 0, &message);
}

enum result control_client_open(struct control_client **opened, const char *coordinator_url, const char *worker,
    const char *job, const struct frame_registration *registration, struct error *error)
{
	struct control_client *client = memory_new(sizeof *client);
	enum result result = mailbox_open(&client->mailbox, error);
	if (result != RESULT_OK)
		goto no_mailbox;
	int code = nng_req0_open(&client->socket);
	if (code != 0) {
		result = nng_error_set(error, code, "control link: opening its socket");
		goto no_socket;
	}
	client->worker = text_clone(worker);
	client->job = frame_job(job);
	client->incarnation = (uint64_t)clock_realtime_us();
	client->trace = trace_wanted();
	set_options(client->socket);
	/* ADD_PRE: before the first answer on it, and never after its removal. */
	nng_must(nng_pipe_notify(client->socket, NNG_PIPE_EV_ADD_PRE, on_pipe, client), "nng_pipe_notify");
	nng_must(nng_pipe_notify(client->socket, NNG_PIPE_EV_REM_POST, on_pipe, client), "nng_pipe_notify");
	open_exchange(client, EXCHANGE_EVENTS);
	open_exchange(client, EXCHANGE_POLL);
	code = nng_dial(client->socket, coordinator_url, NULL, NNG_FLAG_NONBLOCK);
	if (code != 0) {
		result = nng_error_set(error, code, "control link: dialing %s", coordinator_url);
		goto no_dialer;
	}
	report_registration(client, registration);
	*opened = client;
	return RESULT_OK;
no_dialer:
	(void)nng_close(client->socket);
	for (int i = 0; i < EXCHANGES; i++)
		nng_aio_free(client->exchanges[i].aio);
	free(client->worker);
no_socket:
	mailbox_close(&client->mailbox);
no_mailbox:
	free(client);
	return result;
}

/* --- answers -------------------------------------------------------------------------------------------------------- */

/* The link cannot go on: a CANCEL of our own making, or a STOP where a person has to act. */
static bool give_up(struct control_client *client, struct frame *command)
{
	client->over = true;
	client->reader.rest.len = 0;
	*command = (struct frame){.header = {.kind = FRAME_CANCEL, .job = client->job}};
	if (client->broken.code == RESULT_CONFIG) {
		command->header.kind = FRAME_STOP;
		command->body.stop = (struct frame_stop){.code = EXIT_CONFIG, .text = client->broken.text};
	} else {
		command->body.cancel.text = client->broken.text;
	}
	return true;
}

static void finish_answer(struct control_client *client)
{
	nng_msg_free(client->answer);
	client->answer = NULL;
	client->exchanges[client->answered].busy = false;
}

/* false: the answer has been read to its end. */
static bool read_frame(struct control_client *client, struct frame *command)
{
	struct bytes encoded;
	while (control_reader_more(&client->reader)) {
		enum result result =
		    control_reader_next(&client->reader, &client->arena, command, &encoded, &client->broken);
		uint64_t number = command->header.sequence;
		if (result != RESULT_OK)
			return give_up(client, command);
		bool lone = number == 0;
		enum control_verdict verdict = lone ? CONTROL_TAKE : control_incoming_check(&client->incoming, number);
		if (verdict == CONTROL_TAKE) {
			client->over = client->over || lone;
			if (client->trace)
				trace_frame("coordinator", client->worker, encoded);
			return true;
		}
		if (verdict == CONTROL_GAP) {
			error_set(&client->broken, RESULT_CORRUPT, "control link: command %llu came after %llu",
			    (unsigned long long)number, (unsigned long long)client->incoming.last);
			return give_up(client, command);
		}
	}
	finish_answer(client);
	return false;
}

static bool open_answer(struct control_client *client, const struct mail *mail, struct frame *command)
{
	client->answer = mail->payload;
	client->answered = (enum exchange_id)mail->id;
	struct bytes message = {nng_msg_body(client->answer), nng_msg_len(client->answer)};
	enum result result = control_reader_open(&client->reader, message, &client->arena, &client->broken);
	if (result == RESULT_OK)
		result = control_outgoing_acknowledge(
		    &client->outgoing, client->reader.heartbeat.acknowledged, &client->broken);
	if (result != RESULT_OK) {
		error_wrap(&client->broken, "control link");
		return give_up(client, command);
	}
	client->coordinator = client->reader.heartbeat.coordinator;
	return false;
}

static bool read_mail(struct control_client *client, const struct mail *mail, struct frame *command)
{
	switch ((enum mail_kind)mail->kind) {
	case MAIL_PIPE_ADDED:
		client->pipe = mail->id;
		client->heard_us = clock_monotonic_us();
		return false;
	case MAIL_PIPE_GONE:
		if (client->pipe == mail->id)
			client->pipe = 0;
		return false;
	case MAIL_ANSWER:
		client->heard_us = clock_monotonic_us();
		return open_answer(client, mail, command);
	case MAIL_BROKEN:
		error_set(&client->broken, RESULT_RETRY, "the control link broke");
		return give_up(client, command);
	}
	panic("mail of kind %d", mail->kind);
}

/* --- the public part -------------------------------------------------------------------------------------------------- */

int control_client_event_fd(const struct control_client *client)
{
	return client->mailbox.event_fd;
}

bool control_client_connected(const struct control_client *client)
{
	return client->pipe != 0;
}

uint64_t control_client_heard_us(const struct control_client *client)
{
	return client->heard_us;
}

bool control_client_next(struct control_client *client, struct frame *command)
{
	struct mail mail;
	arena_clear(&client->arena);
	for (;;) {
		if (client->answer != NULL && read_frame(client, command))
			return true;
		ask_what_is_due(client);
		if (!mailbox_take(&client->mailbox, &mail))
			return false;
		if (read_mail(client, &mail, command))
			return true;
	}
}

void control_client_report(
    struct control_client *client, enum frame_kind kind, uint64_t attempt, struct buffer *message)
{
	struct bytes encoded = buffer_bytes(message);
	control_outgoing_push(
	    &client->outgoing, (struct frame_header){.kind = kind, .job = client->job, .attempt = attempt}, message);
	if (client->trace)
		trace_frame(client->worker, "coordinator", encoded);
	ask_what_is_due(client);
}

void control_client_linger(struct control_client *client, uint64_t most_us)
{
	uint64_t now_us = clock_monotonic_us(), end_us = now_us + most_us;
	struct frame unheard;
	/* Looked at first: the answer may be in the mailbox already, and the descriptor read empty. */
	for (;; now_us = clock_monotonic_us()) {
		while (control_client_next(client, &unheard))
			continue;
		if (client->outgoing.len == 0 || client->over || now_us >= end_us)
			return;
		struct pollfd fd = {.fd = client->mailbox.event_fd, .events = POLLIN};
		(void)poll(&fd, 1, (int)((end_us - now_us) / 1000) + 1);
	}
}

/* --- a question from outside ------------------------------------------------------------------------------------------- */

static enum result exchange_status(nng_socket socket, nng_msg *question, const char *coordinator_url,
    struct arena *arena, struct frame *answer, struct error *error)
{
	struct control_reader reader;
	nng_msg *reply;
	int code = nng_sendmsg(socket, question, 0);
	if (code != 0) {
		nng_msg_free(question);
		return nng_error_set(error, code, "no coordinator at %s", coordinator_url);
	}
	code = nng_recvmsg(socket, &reply, 0);
	if (code != 0)
		return nng_error_set(error, code, "no answer from %s", coordinator_url);
	struct bytes message = {arena_clone(arena, nng_msg_body(reply), nng_msg_len(reply)), nng_msg_len(reply)};
	nng_msg_free(reply);
	enum result result = control_reader_open(&reader, message, arena, error);
	if (result == RESULT_OK)
		result = control_reader_next(&reader, arena, answer, NULL, error);
	if (result == RESULT_OK && answer->header.kind == FRAME_STOP)
		result = error_set(error, RESULT_CONFIG, "%s", answer->body.stop.text);
	if (result == RESULT_OK && answer->header.kind != FRAME_STATUS_REPORT)
		result = error_set(
		    error, RESULT_CORRUPT, "the coordinator answered with %s", frame_kind_name(answer->header.kind));
	return result;
}

/* nng_close may wait for ever (nng 1.5.2), so a socket that asks stays open for the next question; it is the process's last one. */
static struct {
	nng_socket socket;
	char *url; /* NULL: not open */
} asker;

static enum result asker_open(const char *coordinator_url, struct error *error)
{
	if (asker.url != NULL && strcmp(asker.url, coordinator_url) == 0)
		return RESULT_OK;
	int code = nng_req0_open(&asker.socket);
	if (code != 0)
		return nng_error_set(error, code, "opening a socket");
	free(asker.url);
	asker.url = NULL;
	set_options(asker.socket);
	code = nng_dial(asker.socket, coordinator_url, NULL, NNG_FLAG_NONBLOCK);
	if (code != 0)
		return nng_error_set(error, code, "dialing %s", coordinator_url);
	asker.url = text_clone(coordinator_url);
	return RESULT_OK;
}

enum result control_ask(const char *coordinator_url, const char *job, enum frame_kind kind, int timeout_ms,
    struct arena *arena, struct frame *answer, struct error *error)
{
	struct buffer message = {0};
	struct frame_heartbeat heartbeat = {.worker = ""};
	nng_msg *question;
	if (asker_open(coordinator_url, error) != RESULT_OK)
		return error->code;
	nng_must(nng_socket_set_ms(asker.socket, NNG_OPT_SENDTIMEO, timeout_ms / 2), NNG_OPT_SENDTIMEO);
	nng_must(nng_socket_set_ms(asker.socket, NNG_OPT_RECVTIMEO, timeout_ms / 2), NNG_OPT_RECVTIMEO);
	union frame_body body = {0};
	if (kind == FRAME_STATUS)
		body.status.job = job;
	else
		body.checkpoint.job = job;
	control_write_lone(frame_job(job), &heartbeat, kind, &body, &message);
	nng_must(nng_msg_alloc(&question, message.len), "nng_msg_alloc");
	memcpy(nng_msg_body(question), message.data, message.len);
	buffer_fini(&message);
	return exchange_status(asker.socket, question, coordinator_url, arena, answer, error);
}
