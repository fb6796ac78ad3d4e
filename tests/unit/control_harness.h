/* tests/unit/control_harness.h - a coordinator's end and workers' ends of the control link, pumped by one thread. */
#ifndef CONTROL_HARNESS_H
#define CONTROL_HARNESS_H

#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/timestamp.h"
#include "common/runtime/control_client.h"
#include "common/runtime/control_server.h"
#include "common/runtime/control_session.h"

enum { URL_MAX = 64, PATIENCE_US = 10000000, SHORT_HEARTBEAT_US = 1500000, CONTAINER_PID = 1 };
static const uint64_t COORDINATOR = 4711;
static const char *const JOB = "shop/totals";

static inline void free_address(char url[URL_MAX])
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	(void)close(fd);
	(void)snprintf(url, URL_MAX, "tcp://127.0.0.1:%u", ntohs(address.sin_port));
}

static inline struct control_server *open_server(char url[URL_MAX], uint64_t heartbeat_us)
{
	struct control_server *server;
	struct error error;
	free_address(url);
	assert_int_equal(control_server_open(&server, url, &JOB, 1, COORDINATOR, heartbeat_us, &error), RESULT_OK);
	return server;
}

static inline struct control_client *open_client_as(
    const char *url, const char *worker, const char *job, uint64_t identity)
{
	struct control_client *client;
	struct error error;
	struct frame_registration registration = {.process = 1,
	    .pid = CONTAINER_PID,
	    .identity = identity,
	    .job = job,
	    .fingerprint = "f",
	    .topology = "t",
	    .release = "0"};
	assert_int_equal(control_client_open(&client, url, worker, job, &registration, &error), RESULT_OK);
	return client;
}

static inline struct control_client *open_client(const char *url, const char *worker)
{
	return open_client_as(url, worker, JOB, (uint64_t)getpid());
}

static inline void wait_readable(int a, int b, uint64_t most_us)
{
	struct pollfd fds[] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};
	(void)poll(fds, 2, (int)(most_us / 1000) + 1);
}

/* The coordinator's next event within so long; clients are served meanwhile (their commands are not expected). */
static inline bool server_next(
    struct control_server *server, struct control_client *client, uint64_t most_us, struct control_event *event)
{
	uint64_t now = clock_monotonic_us(), end = now + most_us;
	struct frame unexpected;
	for (;; now = clock_monotonic_us()) {
		if (control_server_next(server, now, event))
			return true;
		control_server_flush(server, now);
		if (client != NULL)
			assert_false(control_client_next(client, &unexpected));
		if (now >= end)
			return false;
		wait_readable(control_server_event_fd(server), client ? control_client_event_fd(client) : -1,
		    end - now < 50000 ? end - now : 50000);
	}
}

static inline void expect_event(
    struct control_server *server, struct control_client *client, const char *worker, enum frame_kind kind)
{
	struct control_event event;
	assert_true(server_next(server, client, PATIENCE_US, &event));
	assert_int_equal(event.kind, CONTROL_FRAME);
	assert_string_equal(event.worker, worker);
	assert_int_equal(event.frame.header.kind, kind);
}

static inline void expect_lost(
    struct control_server *server, struct control_client *client, const char *worker, const char *why)
{
	struct control_event event;
	assert_true(server_next(server, client, PATIENCE_US, &event));
	assert_int_equal(event.kind, CONTROL_LOST);
	assert_string_equal(event.worker, worker);
	assert_string_equal(event.why, why);
}

/* The worker's next command within so long; the coordinator answers meanwhile (no event is expected). */
static inline bool client_next(
    struct control_server *server, struct control_client *client, uint64_t most_us, struct frame *command)
{
	uint64_t now = clock_monotonic_us(), end = now + most_us;
	struct control_event unexpected;
	for (;; now = clock_monotonic_us()) {
		if (control_client_next(client, command))
			return true;
		assert_false(control_server_next(server, now, &unexpected));
		control_server_flush(server, now);
		if (now >= end)
			return false;
		wait_readable(control_server_event_fd(server), control_client_event_fd(client),
		    end - now < 50000 ? end - now : 50000);
	}
}

static inline void report_ready(struct control_client *client, const char *text)
{
	struct buffer message = {0};
	buffer_reserve(&message, FRAME_HEADER_SIZE);
	message.len = FRAME_HEADER_SIZE;
	frame_encode_body(&message, FRAME_READY, &(struct frame_ready){.worker = text});
	control_client_report(client, FRAME_READY, 7, &message);
	assert_null(message.data);
}

#endif
