/* common/runtime/control_server.h - the coordinator's end of the control link.
 *
 * One nng REP0 socket with contexts. A worker holds two REQ0 contexts: a long poll for commands and one for events. Every
 * message opens with a HEARTBEAT frame (worker, incarnation, sequence, acknowledged) followed by the frames themselves,
 * so that nng's resending is harmless: an event seen before is acknowledged and dropped, a command is repeated until
 * a poll acknowledges it. A poll is answered after CONTROL_POLL_US at the latest; a worker whose pipe is gone is lost at
 * once, one that has not been heard of for heartbeat_timeout_us is lost, too. A poll from an incarnation that is not
 * registered (REGISTER is the first event of every incarnation), or that names another incarnation of the coordinator,
 * is answered with a lone CANCEL: start afresh.
 *
 * Threads:  all functions on one thread; nng's callbacks only fill queues and signal event_fd.
 * Watchdog: a listener of nng 1.5.2 can stop accepting for good: it is dialed every 10 s, and made again when it does
 *           not answer (listener_probe.h).
 */
#ifndef RUNTIME_CONTROL_SERVER_H
#define RUNTIME_CONTROL_SERVER_H

#include "common/base/error.h"
#include "proto/frame.h"

enum { CONTROL_POLL_US = 1000000, HEARTBEAT_TIMEOUT_US = 5000000, CONTROL_JOBS_MAX = 4 };

struct control_server;

enum control_event_kind {
	CONTROL_FRAME, /* an event of a registered worker (REGISTER itself included) */
	CONTROL_LOST, /* a registered worker is gone; its name is free again */
	CONTROL_STATUS, /* somebody asks for STATUS, or for a CHECKPOINT, of one of our jobs: answer with control_server_answer */
};
struct control_event {
	enum control_event_kind kind;
	uint32_t job; /* whose worker it is, or which one is asked about: place in the list of jobs */
	const char *worker; /* valid until the next call of control_server_next */
	const char *why; /* LOST */
	struct frame frame; /* FRAME, STATUS; valid likewise */
	uint32_t token; /* STATUS */
};

/* Workers of these jobs may register; names of workers are unique over all of them. */
enum result control_server_open(struct control_server **server, const char *listen_url, const char *const *jobs,
    uint32_t jobs_len, uint64_t incarnation, uint64_t heartbeat_timeout_us, struct error *error) MUST_USE;
int control_server_event_fd(const struct control_server *server);
/* Takes the next event, false: none. Call until false, then control_server_flush. */
bool control_server_next(struct control_server *server, uint64_t now_us, struct control_event *event);
/* Queues a command; it leaves with the flush. An unknown worker: dropped (its loss has been or will be told). */
void control_server_command(
    struct control_server *server, const char *worker, uint64_t attempt, enum frame_kind kind, const void *body);
void control_server_answer(struct control_server *server, uint32_t token, const struct frame_status_report *report);
void control_server_flush(struct control_server *server, uint64_t now_us);
/* When control_server_next wants to be called at the latest. */
uint64_t control_server_wake_us(const struct control_server *server);
/* Waits until queued commands have been fetched, at most so long: before the coordinator exits. */
void control_server_linger(struct control_server *server, uint64_t most_us);

#endif
