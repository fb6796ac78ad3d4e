#include "common/runtime/control_server.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/timestamp.h"
#include "common/runtime/control_listener.h"
#include "common/runtime/control_session.h"
#include "common/runtime/trace.h"

/* Longer than this between two looks: it was the coordinator that was away, so nobody else is blamed for silence. */
enum { AWAY_US = 1500000, COMPLAINT_INTERVAL_US = 10000000 };

/* A registered worker. */
struct session {
	char *worker;
	uint64_t incarnation, pid;
	uint32_t pipe;
	uint64_t heard_us; /* of it, or when it was given its turn: its poll answered */
	uint64_t heard; /* messages */
	struct control_outgoing outgoing;
	struct control_incoming incoming;
	struct control_request *poll; /* held until there is something to say; NULL: none */
	uint64_t poll_since_us;
};

/* A REGISTER under a name that is taken. It waits until the other one is heard of again (then it is refused) or lost. */
struct challenger {
	struct control_news news;
	char *worker;
	uint64_t heard_before;
};

struct control_server {
	struct control_listener *listener;
	char *job;
	uint32_t job_hash;
	uint64_t incarnation, heartbeat_timeout_us, now_us, complained_us;
	struct session **sessions;
	size_t sessions_len;
	struct session *lost; /* told of by the last event */
	char lost_why[256];
	struct challenger *challengers;
	size_t challengers_len;
	struct control_news pending; /* to be looked at (again) before anything new; request NULL: nothing */
	struct control_news reading; /* an events message in hand; request NULL: none */
	struct session *reading_session;
	struct control_reader reader;
	struct control_request **status; /* by token; NULL: answered */
	size_t status_len;
	struct arena arena;
	bool trace;
};

enum result control_server_open(struct control_server **opened, const char *listen_url, const char *job,
    uint64_t incarnation, uint64_t heartbeat_timeout_us, struct error *error)
{
	struct control_listener *listener;
	enum result result = control_listener_open(&listener, listen_url, error);
	if (result != RESULT_OK)
		return result;
	struct control_server *server = memory_new(sizeof *server);
	*server = (struct control_server){
	    .listener = listener,
	    .job = text_clone(job),
	    .job_hash = frame_job(job),
	    .incarnation = incarnation,
	    .heartbeat_timeout_us = heartbeat_timeout_us,
	    .now_us = clock_monotonic_us(),
	    .trace = trace_wanted(),
	};
	*opened = server;
	return RESULT_OK;
}

int control_server_event_fd(const struct control_server *server)
{
	return control_listener_event_fd(server->listener);
}

/* --- answers -------------------------------------------------------------------------------------------------------- */

static struct frame_heartbeat heartbeat_for(const struct control_server *server, const struct session *session)
{
	return (struct frame_heartbeat){
	    .worker = "",
	    .incarnation = session ? session->incarnation : 0,
	    .coordinator = server->incarnation,
	    .acknowledged = session ? session->incoming.last : 0,
	};
}

static void answer_lone(
    struct control_server *server, struct control_request *request, enum frame_kind kind, const void *body)
{
	struct buffer message = {0};
	struct frame_heartbeat heartbeat = heartbeat_for(server, NULL);
	control_write_lone(server->job_hash, &heartbeat, kind, body, &message);
	control_request_answer(request, &message);
}

static void answer_cancel(struct control_server *server, struct control_request *request, const char *why)
{
	answer_lone(server, request, FRAME_CANCEL, &(struct frame_cancel){.text = why});
}

static void answer_stop(struct control_server *server, struct control_request *request, const char *why)
{
	log_warn("refused a worker: %s", why);
	answer_lone(server, request, FRAME_STOP, &(struct frame_stop){.code = EXIT_CONFIG, .text = why});
}

static void answer_events(struct control_server *server, struct control_request *request, const struct session *session)
{
	static const struct control_outgoing nothing;
	struct buffer message = {0};
	struct frame_heartbeat heartbeat = heartbeat_for(server, session);
	control_outgoing_write(&nothing, server->job_hash, &heartbeat, &message);
	control_request_answer(request, &message);
}

static void answer_poll(struct control_server *server, struct session *session)
{
	struct buffer message = {0};
	struct frame_heartbeat heartbeat = heartbeat_for(server, session);
	if (session->poll == NULL)
		return;
	control_outgoing_write(&session->outgoing, server->job_hash, &heartbeat, &message);
	control_request_answer(session->poll, &message);
	session->poll = NULL;
	session->heard_us = server->now_us; /* its turn to speak begins now */
}

/* --- sessions ------------------------------------------------------------------------------------------------------- */

static struct session *find_session(const struct control_server *server, const char *worker)
{
	for (size_t i = 0; i < server->sessions_len; i++)
		if (strcmp(server->sessions[i]->worker, worker) == 0)
			return server->sessions[i];
	return NULL;
}

static struct session *add_session(struct control_server *server, const struct frame_heartbeat *heartbeat, uint64_t pid)
{
	struct session *session = memory_new(sizeof *session);
	session->worker = text_clone(heartbeat->worker);
	session->incarnation = heartbeat->incarnation;
	session->pid = pid;
	server->sessions = memory_resize(server->sessions, server->sessions_len + 1, sizeof(struct session *));
	server->sessions[server->sessions_len++] = session;
	return session;
}

static void free_session(struct session *session)
{
	if (session == NULL)
		return;
	control_outgoing_fini(&session->outgoing);
	free(session->worker);
	free(session);
}

/* Its name is free from now on; the session lives on until the event has been read. */
static bool lose_session(
    struct control_server *server, struct session *session, const char *why, struct control_event *event)
{
	for (size_t i = 0; i < server->sessions_len; i++)
		if (server->sessions[i] == session)
			server->sessions[i] = server->sessions[--server->sessions_len];
	if (session->poll != NULL)
		answer_cancel(server, session->poll, why);
	session->poll = NULL;
	(void)snprintf(server->lost_why, sizeof server->lost_why, "%s", why);
	server->lost = session;
	*event = (struct control_event){.kind = CONTROL_LOST, .worker = session->worker, .why = server->lost_why};
	return true;
}

/* --- requests, in the order in which they are told apart -------------------------------------------------------------- */

/* Whoever speaks another wire version cannot read the answer either, but its header tells it so. Anything else is
 * noise: no answer. One complaint in a while, or a port scanner would fill the log. */
static void on_malformed(struct control_server *server, struct control_request *request, const struct error *error)
{
	if (server->complained_us == 0 || server->now_us - server->complained_us >= COMPLAINT_INTERVAL_US) {
		server->complained_us = server->now_us;
		log_warn("control link: a message was refused: %s", error->text);
	}
	if (error->code == RESULT_CONFIG)
		answer_lone(server, request, FRAME_STOP,
		    &(struct frame_stop){.code = EXIT_CONFIG, .text = "another wire version"});
	else
		control_request_drop(request);
}

static bool on_status(struct control_server *server, struct control_request *request, const struct frame *frame,
    struct control_event *event)
{
	size_t token = 0;
	while (token < server->status_len && server->status[token] != NULL)
		token++;
	if (token == server->status_len)
		server->status = memory_resize(server->status, ++server->status_len, sizeof(struct control_request *));
	server->status[token] = request;
	*event =
	    (struct control_event){.kind = CONTROL_STATUS, .worker = "", .frame = *frame, .token = (uint32_t)token};
	return true;
}

static void start_reading(struct control_server *server, const struct control_news *news,
    const struct control_reader *reader, struct session *session)
{
	server->reading = *news;
	server->reader = *reader;
	server->reading_session = session;
}

static void note_heard(struct control_server *server, struct session *session, uint32_t pipe)
{
	session->pipe = pipe;
	session->heard_us = server->now_us;
	session->heard++;
}

/* A new incarnation: of a new worker, of the same process after exec, or somebody else under the same name. */
static bool on_register(struct control_server *server, const struct control_news *news,
    const struct control_reader *reader, const struct frame_registration *registration, struct control_event *event)
{
	const struct frame_heartbeat *heartbeat = &reader->heartbeat;
	struct session *old = find_session(server, heartbeat->worker);
	if (old == NULL) {
		struct session *session = add_session(server, heartbeat, registration->pid);
		note_heard(server, session, news->pipe);
		start_reading(server, news, reader, session);
		return false;
	}
	if (old->pid == registration->pid && heartbeat->incarnation > old->incarnation) {
		server->pending = *news;
		return lose_session(server, old, "it has started afresh", event);
	}
	if (old->pid == registration->pid) {
		answer_cancel(server, news->request, "a newer incarnation of this worker is registered");
		return false;
	}
	server->challengers =
	    memory_resize(server->challengers, server->challengers_len + 1, sizeof *server->challengers);
	server->challengers[server->challengers_len++] =
	    (struct challenger){*news, text_clone(heartbeat->worker), old->heard};
	answer_poll(server, old); /* if it is alive, it polls again at once */
	return false;
}

static void on_poll(struct control_server *server, struct session *session, struct control_request *request)
{
	answer_poll(server, session); /* nng has sent it twice */
	session->poll = request;
	session->poll_since_us = server->now_us;
}

static bool on_message(struct control_server *server, const struct control_news *news,
    const struct control_reader *reader, enum frame_kind first, struct control_event *event)
{
	struct session *session = find_session(server, reader->heartbeat.worker);
	struct error error;
	if (session == NULL || session->incarnation != reader->heartbeat.incarnation) {
		answer_cancel(server, news->request, "the coordinator does not know this worker any more");
		return false;
	}
	note_heard(server, session, news->pipe);
	if (control_outgoing_acknowledge(&session->outgoing, reader->heartbeat.acknowledged, &error) != RESULT_OK) {
		answer_cancel(server, news->request, error.text);
		return lose_session(server, session, error.text, event);
	}
	if (first == FRAME_NONE)
		on_poll(server, session, news->request);
	else
		start_reading(server, news, reader, session);
	return false;
}

static bool is_registered(const struct control_server *server, const struct frame_heartbeat *heartbeat)
{
	const struct session *session = find_session(server, heartbeat->worker);
	return session != NULL && session->incarnation == heartbeat->incarnation;
}

static bool on_request(struct control_server *server, const struct control_news *news, struct control_event *event)
{
	struct control_reader reader, ahead;
	struct frame frame = {0};
	struct error error;
	enum result result = control_reader_open(&reader, news->message, &server->arena, &error);
	ahead = reader;
	if (result == RESULT_OK && control_reader_more(&reader))
		result = control_reader_next(&ahead, &server->arena, &frame, NULL, &error);
	if (result != RESULT_OK) {
		on_malformed(server, news->request, &error);
		return false;
	}
	const struct frame_heartbeat *heartbeat = &reader.heartbeat;
	if (frame.header.kind == FRAME_STATUS)
		return on_status(server, news->request, &frame, event);
	if (reader.job != server->job_hash) {
		struct buffer text = {0};
		buffer_printf(&text, "this coordinator runs job %s, not the one that worker %s is for", server->job,
		    heartbeat->worker);
		answer_stop(server, news->request, (const char *)text.data);
		buffer_fini(&text);
		return false;
	}
	if (frame.header.kind == FRAME_REGISTER && !is_registered(server, heartbeat))
		return on_register(server, news, &reader, &frame.body.registration, event);
	if (heartbeat->coordinator != 0 && heartbeat->coordinator != server->incarnation) {
		answer_cancel(server, news->request, "the coordinator has started afresh");
		return false;
	}
	return on_message(server, news, &reader, frame.header.kind, event);
}

/* The next frame of the message in hand; false: it is read to its end and answered. */
static bool read_frame(struct control_server *server, struct control_event *event)
{
	struct session *session = server->reading_session;
	struct control_request *request = server->reading.request;
	struct bytes encoded;
	struct error error;
	while (control_reader_more(&server->reader)) {
		enum result result =
		    control_reader_next(&server->reader, &server->arena, &event->frame, &encoded, &error);
		enum control_verdict verdict = CONTROL_SEEN;
		if (result == RESULT_OK)
			verdict = control_incoming_check(&session->incoming, event->frame.header.sequence);
		if (verdict == CONTROL_TAKE) {
			if (server->trace)
				trace_frame(session->worker, "coordinator", encoded);
			event->kind = CONTROL_FRAME;
			event->worker = session->worker;
			return true;
		}
		if (verdict == CONTROL_GAP)
			result = error_set(&error, RESULT_CORRUPT, "event %llu came after %llu",
			    (unsigned long long)event->frame.header.sequence,
			    (unsigned long long)session->incoming.last);
		if (result != RESULT_OK) {
			server->reading.request = NULL;
			answer_cancel(server, request, error.text);
			return lose_session(server, session, error.text, event);
		}
	}
	server->reading.request = NULL;
	answer_events(server, request, session);
	return false;
}

/* --- what time and other news decide ---------------------------------------------------------------------------------- */

/* Whether one of those who wait for a name can be decided about: then it is pending. */
static bool settle_challenger(struct control_server *server)
{
	for (size_t i = 0; i < server->challengers_len; i++) {
		struct challenger challenger = server->challengers[i];
		const struct session *holder = find_session(server, challenger.worker);
		if (holder != NULL && holder->heard == challenger.heard_before)
			continue;
		server->challengers[i] = server->challengers[--server->challengers_len];
		if (holder == NULL) {
			server->pending = challenger.news;
		} else {
			struct buffer text = {0};
			buffer_printf(&text,
			    "another process (pid %llu) is registered as %s: give every worker its own name",
			    (unsigned long long)holder->pid, holder->worker);
			answer_stop(server, challenger.news.request, (const char *)text.data);
			buffer_fini(&text);
		}
		free(challenger.worker);
		return true;
	}
	return false;
}

static bool on_pipe_gone(struct control_server *server, uint32_t pipe, struct control_event *event)
{
	for (size_t i = 0; i < server->sessions_len; i++)
		if (server->sessions[i]->pipe == pipe)
			return lose_session(server, server->sessions[i], "its connection is gone", event);
	return false;
}

static bool is_silent(const struct control_server *server, const struct session *session)
{
	return session->poll == NULL && server->now_us > session->heard_us &&
	       server->now_us - session->heard_us >= server->heartbeat_timeout_us;
}

static bool check_heartbeats(struct control_server *server, struct control_event *event)
{
	for (size_t i = 0; i < server->sessions_len; i++)
		if (is_silent(server, server->sessions[i])) {
			char why[64];
			(void)snprintf(why, sizeof why, "it has not been heard of for %.1f s",
			    (double)server->heartbeat_timeout_us / 1e6);
			return lose_session(server, server->sessions[i], why, event);
		}
	return false;
}

static void set_now(struct control_server *server, uint64_t now_us)
{
	bool was_away = now_us > server->now_us && now_us - server->now_us >= AWAY_US;
	server->now_us = now_us;
	for (size_t i = 0; i < server->sessions_len && was_away; i++)
		server->sessions[i]->heard_us = now_us;
}

/* --- the public part -------------------------------------------------------------------------------------------------- */

bool control_server_next(struct control_server *server, uint64_t now_us, struct control_event *event)
{
	struct control_news news;
	set_now(server, now_us);
	free_session(server->lost);
	server->lost = NULL;
	arena_clear(&server->arena);
	for (;;) {
		if (server->reading.request != NULL) {
			if (read_frame(server, event))
				return true;
		} else if (server->pending.request != NULL) {
			news = server->pending;
			server->pending.request = NULL;
			if (on_request(server, &news, event))
				return true;
		} else if (!settle_challenger(server)) {
			if (!control_listener_next(server->listener, &news))
				return check_heartbeats(server, event);
			if (news.kind == CONTROL_REQUEST ? on_request(server, &news, event)
			                                 : on_pipe_gone(server, news.pipe, event))
				return true;
		}
	}
}

void control_server_command(
    struct control_server *server, const char *worker, uint64_t attempt, enum frame_kind kind, const void *body)
{
	struct session *session = find_session(server, worker);
	struct buffer message = {0};
	if (session == NULL)
		return;
	buffer_reserve(&message, FRAME_HEADER_SIZE);
	message.len = FRAME_HEADER_SIZE;
	frame_encode_body(&message, kind, body);
	struct bytes encoded = buffer_bytes(&message);
	control_outgoing_push(&session->outgoing,
	    (struct frame_header){.kind = kind, .job = server->job_hash, .attempt = attempt}, &message);
	if (server->trace)
		trace_frame("coordinator", worker, encoded);
}

void control_server_answer(struct control_server *server, uint32_t token, const struct frame_status_report *report)
{
	CHECK(token < server->status_len && server->status[token] != NULL);
	answer_lone(server, server->status[token], FRAME_STATUS_REPORT, report);
	server->status[token] = NULL;
}

void control_server_flush(struct control_server *server, uint64_t now_us)
{
	set_now(server, now_us);
	for (size_t i = 0; i < server->sessions_len; i++) {
		struct session *session = server->sessions[i];
		if (session->outgoing.len != 0 || now_us - session->poll_since_us >= CONTROL_POLL_US)
			answer_poll(server, session);
	}
}

uint64_t control_server_wake_us(const struct control_server *server)
{
	uint64_t wake_us = server->now_us + AWAY_US / 3;
	for (size_t i = 0; i < server->sessions_len; i++) {
		const struct session *session = server->sessions[i];
		uint64_t due_us = session->poll != NULL ? session->poll_since_us + CONTROL_POLL_US
		                                        : session->heard_us + server->heartbeat_timeout_us;
		if (due_us < wake_us)
			wake_us = due_us;
	}
	return wake_us;
}

static bool all_fetched(const struct control_server *server)
{
	for (size_t i = 0; i < server->sessions_len; i++)
		if (server->sessions[i]->outgoing.len != 0)
			return false;
	return true;
}

static void drop_status(struct control_server *server, uint32_t token)
{
	control_request_drop(server->status[token]);
	server->status[token] = NULL;
}

void control_server_linger(struct control_server *server, uint64_t most_us)
{
	uint64_t now_us = clock_monotonic_us(), end_us = now_us + most_us;
	struct control_event event;
	while (now_us < end_us) {
		/* What workers still say is not heard; a worker that obeyed a STOP is gone, and so are its commands. */
		while (control_server_next(server, now_us, &event))
			if (event.kind == CONTROL_STATUS)
				drop_status(server, event.token);
		control_server_flush(server, now_us);
		if (all_fetched(server))
			return;
		struct pollfd fd = {.fd = control_server_event_fd(server), .events = POLLIN};
		(void)poll(&fd, 1, (int)((end_us - now_us) / 1000) + 1);
		now_us = clock_monotonic_us();
	}
}
