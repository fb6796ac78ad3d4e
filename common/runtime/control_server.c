#include "common/runtime/control_server.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mutant.h"
#include "common/base/timestamp.h"
#include "common/runtime/control_listener.h"
#include "common/runtime/control_peers.h"
#include "common/runtime/trace.h"
#include "common/runtime/worker.h"

/* Longer than this between two looks: it was the coordinator that was away, so nobody else is blamed for silence. */
enum { AWAY_US = 1500000, COMPLAINT_INTERVAL_US = 10000000 };

/* A REGISTER under a name that is taken. It waits until the other one is heard of again (then it is refused) or lost. */
struct challenger {
	struct control_news news;
	char *worker;
	uint64_t heard_before;
};

struct control_server {
	struct control_listener *listener;
	char *jobs[CONTROL_JOBS_MAX]; /* their names */
	uint32_t hashes[CONTROL_JOBS_MAX]; /* of these, as they stand in frames */
	uint32_t jobs_len;
	uint32_t speaks; /* hash of the job that the request in hand is about */
	uint64_t incarnation, heartbeat_timeout_us, now_us, complained_us;
	struct control_peers peers;
	struct control_peer *lost; /* told of by the last event */
	char lost_why[256];
	struct challenger *challengers;
	size_t challengers_len;
	struct control_news pending; /* to be looked at (again) before anything new; request NULL: nothing */
	struct control_news reading; /* an events message in hand; request NULL: none */
	struct control_peer *reading_peer;
	struct control_reader reader;
	struct control_request **status; /* by token; NULL: answered */
	size_t status_len;
	struct arena arena;
	bool trace;
};

enum result control_server_open(struct control_server **opened, const char *listen_url, const char *const *jobs,
    uint32_t jobs_len, uint64_t incarnation, uint64_t heartbeat_timeout_us, struct error *error)
{
	CHECK(jobs_len >= 1 && jobs_len <= CONTROL_JOBS_MAX);
	struct control_listener *listener;
	enum result result = control_listener_open(&listener, listen_url, error);
	if (result != RESULT_OK)
		return result;
	struct control_server *server = memory_new(sizeof *server);
	*server = (struct control_server){
	    .listener = listener,
	    .jobs_len = jobs_len,
	    .incarnation = incarnation,
	    .heartbeat_timeout_us = heartbeat_timeout_us,
	    .now_us = clock_monotonic_us(),
	    .trace = trace_wanted(),
	};
	for (uint32_t i = 0; i < jobs_len; i++) {
		server->jobs[i] = text_clone(jobs[i]);
		server->hashes[i] = frame_job(jobs[i]);
	}
	server->speaks = server->hashes[0];
	*opened = server;
	return RESULT_OK;
}

int control_server_event_fd(const struct control_server *server)
{
	return control_listener_event_fd(server->listener);
}

/* --- answers -------------------------------------------------------------------------------------------------------- */

static uint32_t hash_of(const struct control_server *server, const struct control_peer *peer)
{
	return server->hashes[peer->job];
}

/* The job's place in the list; jobs_len: none of ours. */
static uint32_t place_of(const struct control_server *server, uint32_t hash)
{
	uint32_t place = 0;
	while (place < server->jobs_len && server->hashes[place] != hash)
		place++;
	return place;
}

static struct frame_heartbeat heartbeat_for(const struct control_server *server, const struct control_peer *peer)
{
	return (struct frame_heartbeat){
	    .worker = "",
	    .incarnation = peer ? peer->incarnation : 0,
	    .coordinator = server->incarnation,
	    .acknowledged = peer ? peer->incoming.last : 0,
	};
}

static void answer_lone(
    struct control_server *server, struct control_request *request, enum frame_kind kind, const void *body)
{
	struct buffer message = {0};
	struct frame_heartbeat heartbeat = heartbeat_for(server, NULL);
	control_write_lone(server->speaks, &heartbeat, kind, body, &message);
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

static void name_jobs(const struct control_server *server, struct buffer *text)
{
	buffer_printf(text, "this coordinator runs job %s", server->jobs[0]);
	for (uint32_t i = 1; i < server->jobs_len; i++)
		buffer_printf(text, " and %s", server->jobs[i]);
}

/* Nobody is answered for another job than the one that was asked about. */
static void answer_unknown_job(struct control_server *server, struct control_request *request, const char *asked)
{
	struct buffer text = {0};
	name_jobs(server, &text);
	if (asked[0] != '\0')
		buffer_printf(&text, ", not %s: is it that of another pipeline?", asked);
	else
		buffer_append_text(&text, ": name one of them");
	answer_lone(
	    server, request, FRAME_STOP, &(struct frame_stop){.code = EXIT_CONFIG, .text = (const char *)text.data});
	buffer_fini(&text);
}

static void answer_events(
    struct control_server *server, struct control_request *request, const struct control_peer *peer)
{
	static const struct control_outgoing nothing;
	struct buffer message = {0};
	struct frame_heartbeat heartbeat = heartbeat_for(server, peer);
	control_outgoing_write(&nothing, hash_of(server, peer), &heartbeat, &message);
	control_request_answer(request, &message);
}

static void answer_poll(struct control_server *server, struct control_peer *peer)
{
	struct buffer message = {0};
	struct frame_heartbeat heartbeat = heartbeat_for(server, peer);
	if (peer->poll == NULL)
		return;
	control_outgoing_write(&peer->outgoing, hash_of(server, peer), &heartbeat, &message);
	control_request_answer(peer->poll, &message);
	peer->poll = NULL;
	peer->heard_us = server->now_us; /* its turn to speak begins now */
}

/* --- peers ------------------------------------------------------------------------------------------------------- */

/* Its name is free from now on; the peer lives on until the event has been read. */
static bool lose_peer(
    struct control_server *server, struct control_peer *peer, const char *why, struct control_event *event)
{
	control_peers_remove(&server->peers, peer);
	if (peer->poll != NULL)
		answer_cancel(server, peer->poll, why);
	peer->poll = NULL;
	(void)snprintf(server->lost_why, sizeof server->lost_why, "%s", why);
	server->lost = peer;
	*event = (struct control_event){
	    .kind = CONTROL_LOST, .job = peer->job, .worker = peer->worker, .why = server->lost_why};
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
	const char *asked = frame->header.kind == FRAME_STATUS ? frame->body.status.job : frame->body.checkpoint.job;
	uint32_t job = asked[0] == '\0' && server->jobs_len == 1 ? 0 : place_of(server, frame_job(asked));
	size_t token = 0;
	if (job == server->jobs_len && !MUTANT(unknown_job_is_the_first)) {
		answer_unknown_job(server, request, asked);
		return false;
	}
	while (token < server->status_len && server->status[token] != NULL)
		token++;
	if (token == server->status_len)
		server->status = memory_resize(server->status, ++server->status_len, sizeof(struct control_request *));
	server->status[token] = request;
	*event = (struct control_event){.kind = CONTROL_STATUS,
	    .job = job % server->jobs_len,
	    .worker = "",
	    .frame = *frame,
	    .token = (uint32_t)token};
	return true;
}

static void start_reading(struct control_server *server, const struct control_news *news,
    const struct control_reader *reader, struct control_peer *peer)
{
	server->reading = *news;
	server->reader = *reader;
	server->reading_peer = peer;
}

static void note_heard(struct control_server *server, struct control_peer *peer, uint32_t pipe)
{
	peer->pipe = pipe;
	peer->heard_us = server->now_us;
	peer->heard++;
}

/* A new incarnation: of a new worker, of the same process after exec, or somebody else under the same name. */
static bool on_register(struct control_server *server, const struct control_news *news,
    const struct control_reader *reader, const struct frame_registration *registration, struct control_event *event)
{
	const struct frame_heartbeat *heartbeat = &reader->heartbeat;
	struct control_peer *old = control_peers_find(&server->peers, heartbeat->worker);
	if (old == NULL) {
		struct control_peer *peer =
		    control_peers_add(&server->peers, heartbeat->worker, heartbeat->incarnation, registration);
		peer->job = place_of(server, reader->job);
		note_heard(server, peer, news->pipe);
		start_reading(server, news, reader, peer);
		return false;
	}
	/* Not by pid: in containers all have the same. */
	bool same = MUTANT(namesake_by_pid) ? old->pid == registration->pid : old->identity == registration->identity;
	if (same && heartbeat->incarnation > old->incarnation) {
		server->pending = *news;
		return lose_peer(server, old, "it has started afresh", event);
	}
	if (same) {
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

static void on_poll(struct control_server *server, struct control_peer *peer, struct control_request *request)
{
	answer_poll(server, peer); /* nng has sent it twice */
	peer->poll = request;
	peer->poll_since_us = server->now_us;
}

static bool on_message(struct control_server *server, const struct control_news *news,
    const struct control_reader *reader, enum frame_kind first, struct control_event *event)
{
	struct control_peer *peer = control_peers_find(&server->peers, reader->heartbeat.worker);
	struct error error;
	if (peer == NULL || peer->incarnation != reader->heartbeat.incarnation ||
	    hash_of(server, peer) != reader->job) {
		answer_cancel(server, news->request, "the coordinator does not know this worker any more");
		return false;
	}
	note_heard(server, peer, news->pipe);
	if (control_outgoing_acknowledge(&peer->outgoing, reader->heartbeat.acknowledged, &error) != RESULT_OK) {
		answer_cancel(server, news->request, error.text);
		return lose_peer(server, peer, error.text, event);
	}
	if (first == FRAME_NONE)
		on_poll(server, peer, news->request);
	else
		start_reading(server, news, reader, peer);
	return false;
}

static bool is_registered(const struct control_server *server, const struct frame_heartbeat *heartbeat)
{
	const struct control_peer *peer = control_peers_find(&server->peers, heartbeat->worker);
	return peer != NULL && peer->incarnation == heartbeat->incarnation;
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
	if (strlen(heartbeat->worker) >= WORKER_NAME_MAX) {
		error_set(&error, RESULT_CORRUPT, "a worker's name is longer than %d bytes", WORKER_NAME_MAX - 1);
		on_malformed(server, news->request, &error);
		return false;
	}
	if (frame.header.kind == FRAME_STATUS || frame.header.kind == FRAME_CHECKPOINT)
		return on_status(server, news->request, &frame, event);
	server->speaks = reader.job;
	if (place_of(server, reader.job) == server->jobs_len) {
		struct buffer text = {0};
		name_jobs(server, &text);
		(void)error_stop(&error, STOP_OTHER_COORDINATOR, "%.*s, not the one that worker %s is for",
		    (int)text.len, (const char *)text.data, heartbeat->worker);
		answer_stop(server, news->request, error.text);
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
	struct control_peer *peer = server->reading_peer;
	struct control_request *request = server->reading.request;
	struct bytes encoded;
	struct error error;
	while (control_reader_more(&server->reader)) {
		enum result result =
		    control_reader_next(&server->reader, &server->arena, &event->frame, &encoded, &error);
		enum control_verdict verdict = CONTROL_SEEN;
		if (result == RESULT_OK)
			verdict = control_incoming_check(&peer->incoming, event->frame.header.sequence);
		if (verdict == CONTROL_TAKE) {
			if (server->trace)
				trace_frame(peer->worker, "coordinator", encoded);
			event->kind = CONTROL_FRAME;
			event->job = peer->job;
			event->worker = peer->worker;
			return true;
		}
		if (verdict == CONTROL_GAP)
			result = error_set(&error, RESULT_CORRUPT, "event %llu came after %llu",
			    (unsigned long long)event->frame.header.sequence, (unsigned long long)peer->incoming.last);
		if (result != RESULT_OK) {
			server->reading.request = NULL;
			answer_cancel(server, request, error.text);
			return lose_peer(server, peer, error.text, event);
		}
	}
	server->reading.request = NULL;
	answer_events(server, request, peer);
	return false;
}

/* --- what time and other news decide ---------------------------------------------------------------------------------- */

/* Whether one of those who wait for a name can be decided about: then it is pending. */
static bool settle_challenger(struct control_server *server)
{
	for (size_t i = 0; i < server->challengers_len; i++) {
		struct challenger challenger = server->challengers[i];
		const struct control_peer *holder = control_peers_find(&server->peers, challenger.worker);
		if (holder != NULL && holder->heard == challenger.heard_before)
			continue;
		server->challengers[i] = server->challengers[--server->challengers_len];
		if (holder == NULL) {
			server->pending = challenger.news;
		} else {
			struct buffer text = {0};
			buffer_printf(&text,
			    "another process (pid %llu) is registered as %s: give every worker its own name (--name), "
			    "or none: then one is drawn",
			    (unsigned long long)holder->pid, holder->worker);
			answer_stop(server, challenger.news.request, (const char *)text.data);
			buffer_fini(&text);
		}
		free(challenger.worker);
		return true;
	}
	return false;
}

/* Who waits for a name on this connection need not be refused any more. */
static void forget_challengers(struct control_server *server, uint32_t pipe)
{
	for (size_t i = server->challengers_len; i-- > 0;) {
		struct challenger challenger = server->challengers[i];
		if (challenger.news.pipe != pipe)
			continue;
		server->challengers[i] = server->challengers[--server->challengers_len];
		control_request_drop(challenger.news.request);
		free(challenger.worker);
	}
}

static bool on_pipe_gone(struct control_server *server, uint32_t pipe, struct control_event *event)
{
	forget_challengers(server, pipe);
	struct control_peer *peer = control_peers_on(&server->peers, pipe);
	return peer != NULL && lose_peer(server, peer, "its connection is gone", event);
}

static bool check_heartbeats(struct control_server *server, struct control_event *event)
{
	char why[64];
	struct control_peer *peer = control_peers_silent(&server->peers, server->now_us, server->heartbeat_timeout_us);
	if (peer == NULL || MUTANT(heartbeat_ignored))
		return false;
	(void)snprintf(
	    why, sizeof why, "it has not been heard of for %.1f s", (double)server->heartbeat_timeout_us / 1e6);
	return lose_peer(server, peer, why, event);
}

static void set_now(struct control_server *server, uint64_t now_us)
{
	bool was_away = now_us > server->now_us && now_us - server->now_us >= AWAY_US;
	server->now_us = now_us;
	for (size_t i = 0; i < server->peers.len && was_away; i++)
		server->peers.items[i]->heard_us = now_us;
}

/* --- the public part -------------------------------------------------------------------------------------------------- */

bool control_server_next(struct control_server *server, uint64_t now_us, struct control_event *event)
{
	struct control_news news;
	set_now(server, now_us);
	control_listener_check(server->listener, now_us);
	control_peer_free(server->lost);
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
	struct control_peer *peer = control_peers_find(&server->peers, worker);
	struct buffer message = {0};
	if (peer == NULL)
		return;
	buffer_reserve(&message, FRAME_HEADER_SIZE);
	message.len = FRAME_HEADER_SIZE;
	frame_encode_body(&message, kind, body);
	struct bytes encoded = buffer_bytes(&message);
	control_outgoing_push(&peer->outgoing,
	    (struct frame_header){.kind = kind, .job = hash_of(server, peer), .attempt = attempt}, &message);
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
	for (size_t i = 0; i < server->peers.len; i++) {
		struct control_peer *peer = server->peers.items[i];
		if (peer->outgoing.len != 0 || now_us - peer->poll_since_us >= CONTROL_POLL_US)
			answer_poll(server, peer);
	}
}

uint64_t control_server_wake_us(const struct control_server *server)
{
	uint64_t wake_us = server->now_us + AWAY_US / 3;
	for (size_t i = 0; i < server->peers.len; i++) {
		const struct control_peer *peer = server->peers.items[i];
		uint64_t due_us = peer->poll != NULL ? peer->poll_since_us + CONTROL_POLL_US
		                                     : peer->heard_us + server->heartbeat_timeout_us;
		if (due_us < wake_us)
			wake_us = due_us;
	}
	return wake_us;
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
		if (control_peers_served(&server->peers))
			return;
		struct pollfd fd = {.fd = control_server_event_fd(server), .events = POLLIN};
		(void)poll(&fd, 1, (int)((end_us - now_us) / 1000) + 1);
		now_us = clock_monotonic_us();
	}
}
