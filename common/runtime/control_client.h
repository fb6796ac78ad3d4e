/* common/runtime/control_client.h - a worker's end of the control link, see control_server.h. */
#ifndef RUNTIME_CONTROL_CLIENT_H
#define RUNTIME_CONTROL_CLIENT_H

#include "common/base/error.h"
#include "proto/frame.h"

struct control_client;

/* Dials in the background and keeps trying; REGISTER is the first event, sent by open. */
enum result control_client_open(struct control_client **client, const char *coordinator_url, const char *worker,
    const char *job, const struct frame_registration *registration, struct error *error) MUST_USE;
int control_client_event_fd(const struct control_client *client);
/* The next command (valid until the next call); false: none. A coordinator that does not know this worker, or another
 * incarnation of it, shows up as a CANCEL. */
bool control_client_next(struct control_client *client, struct frame *command);
/* Takes the message: FRAME_HEADER_SIZE of room and an encoded body; events leave in order, many in one request. */
void control_client_report(
    struct control_client *client, enum frame_kind kind, uint64_t attempt, struct buffer *message);
/* Whether a coordinator is at the other end now. */
bool control_client_connected(const struct control_client *client);
/* When it was last heard of; of one that is there, a poll is answered once a second. */
uint64_t control_client_heard_us(const struct control_client *client);
/* Waits until all events have been acknowledged, at most so long: before the process ends. */
void control_client_linger(struct control_client *client, uint64_t most_us);

/* A question of sluicectl's, STATUS or CHECKPOINT, answered by a STATUS_REPORT: blocks at most timeout_ms. The answer's
 * memory is the arena's. CONFIG: the coordinator does not run that job. For one thread of a process; its connection stays. */
enum result control_ask(const char *coordinator_url, const char *job, enum frame_kind kind, int timeout_ms,
    struct arena *arena, struct frame *answer, struct error *error) MUST_USE;

#endif
