/* Channels: order, loss that is told once, an inbox that is bounded, and strangers that disturb nobody. */
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
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>

#include "common/base/timestamp.h"
#include "common/runtime/channel.h"
#include "proto/frame.h"

enum { URL_MAX = 128, PATIENCE_US = 10000000 };

static char **test_argv; /* to start the other process */

static struct channel_set *open_set(uint32_t channels)
{
	struct channel_set *set;
	struct error error;
	assert_int_equal(channel_set_open(&set, channels, &error), RESULT_OK);
	return set;
}

static void listen_on(struct channel_set *set, uint32_t channel, char url[URL_MAX])
{
	struct error error;
	assert_int_equal(channel_listen(set, channel, "127.0.0.1", url, URL_MAX, &error), RESULT_OK);
	assert_memory_equal(url, "tcp://127.0.0.1:", 16);
	assert_true(atoi(url + 16) > 0);
}

static void dial_to(struct channel_set *set, uint32_t channel, const char *url)
{
	struct error error;
	assert_int_equal(channel_dial(set, channel, url, clock_monotonic_us(), &error), RESULT_OK);
}

static void send_number(struct channel_set *set, uint32_t channel, uint32_t number, size_t size)
{
	struct buffer message = {0};
	memset(buffer_reserve(&message, size), (int)(number & 0xff), size);
	memcpy(message.data, &number, sizeof number);
	message.len = size;
	channel_send(set, channel, &message);
	assert_null(message.data);
}

/* The next event within so long; false: none. */
static bool next_within(struct channel_set *set, uint64_t most_us, struct channel_event *event)
{
	uint64_t end = clock_monotonic_us() + most_us;
	for (;;) {
		uint64_t now = clock_monotonic_us();
		if (channel_next(set, now, event))
			return true;
		if (now >= end)
			return false;
		struct pollfd fd = {.fd = channel_set_event_fd(set), .events = POLLIN};
		(void)poll(&fd, 1, (int)((end - now) / 1000) + 1);
	}
}

static uint32_t receive_number(struct channel_set *set, uint32_t channel, size_t size)
{
	struct channel_event event;
	uint32_t number;
	assert_true(next_within(set, PATIENCE_US, &event));
	assert_int_equal(event.kind, CHANNEL_MESSAGE);
	assert_int_equal(event.channel, channel);
	assert_int_equal(event.message.len, size);
	memcpy(&number, event.message.data, sizeof number);
	if (size > sizeof number)
		assert_int_equal(event.message.data[size - 1], number & 0xff);
	buffer_fini(&event.message);
	return number;
}

static void expect_lost(struct channel_set *set, uint32_t channel, const char *why)
{
	struct channel_event event;
	assert_true(next_within(set, 2 * PATIENCE_US, &event));
	assert_int_equal(event.kind, CHANNEL_LOST);
	assert_int_equal(event.channel, channel);
	assert_string_equal(event.why, why);
}

static void expect_nothing(struct channel_set *set, uint64_t for_us)
{
	struct channel_event event;
	assert_false(next_within(set, for_us, &event));
}

/* Everything arrives, in order, also what was sent before the connection stood, whatever its size. */
static void keeps_order(void **state)
{
	(void)state;
	enum { MESSAGES = 2000 };
	char url[URL_MAX];
	struct channel_set *receiver = open_set(3), *sender = open_set(3);
	listen_on(receiver, 2, url);
	dial_to(sender, 2, url);
	for (uint32_t i = 0; i < MESSAGES; i++)
		send_number(sender, 2, i, i % 100 == 7 ? 65536 : 4 + i % 200);
	for (uint32_t i = 0; i < MESSAGES; i++) {
		assert_int_equal(receive_number(receiver, 2, i % 100 == 7 ? 65536 : 4 + i % 200), i);
		channel_taken(receiver, 2);
	}
	send_number(sender, 2, 7, FRAME_MAX); /* the largest that there is */
	assert_int_equal(receive_number(receiver, 2, FRAME_MAX), 7);
	expect_nothing(receiver, 50000);
	expect_nothing(sender, 0);
	channel_set_close(sender);
	expect_lost(receiver, 2, "the other end has gone");
	channel_set_close(receiver);
}

/* What is not dealt with holds back what comes after it. */
static void inbox_is_bounded(void **state)
{
	(void)state;
	enum { MESSAGES = 50 };
	char url[URL_MAX];
	struct channel_set *receiver = open_set(1), *sender = open_set(1);
	listen_on(receiver, 1, url);
	dial_to(sender, 1, url);
	for (uint32_t i = 0; i < MESSAGES; i++)
		send_number(sender, 1, i, 100);
	for (uint32_t i = 0; i < CHANNEL_INBOX; i++)
		assert_int_equal(receive_number(receiver, 1, 100), i);
	expect_nothing(receiver, 200000);
	channel_taken(receiver, 1);
	assert_int_equal(receive_number(receiver, 1, 100), CHANNEL_INBOX);
	expect_nothing(receiver, 100000);
	for (uint32_t i = CHANNEL_INBOX + 1; i < MESSAGES; i++) {
		channel_taken(receiver, 1);
		assert_int_equal(receive_number(receiver, 1, 100), i);
	}
	channel_set_close(sender);
	channel_set_close(receiver);
}

/* A channel that was lost says nothing more, and what is sent on it disturbs nobody. */
static void loss_is_told_once(void **state)
{
	(void)state;
	char url[URL_MAX];
	struct channel_set *receiver = open_set(1), *sender = open_set(1);
	listen_on(receiver, 1, url);
	dial_to(sender, 1, url);
	send_number(sender, 1, 1, 10);
	assert_int_equal(receive_number(receiver, 1, 10), 1);
	channel_set_close(receiver);
	expect_lost(sender, 1, "the other end has gone");
	for (uint32_t i = 0; i < 10; i++)
		send_number(sender, 1, i, 10);
	/* Somebody else on the same port is not the one that was lost. */
	nng_socket stranger;
	assert_int_equal(nng_pair0_open(&stranger), 0);
	assert_int_equal(nng_listen(stranger, url, NULL, 0), 0);
	expect_nothing(sender, 700000);
	(void)nng_close(stranger);
	channel_set_close(sender);
}

/* A connection without nng, which in 1.5.2 may leak a dialer that is refused. */
static int connect_raw(const char *url, const void *bytes, size_t len)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1)),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(write(fd, bytes, len), len);
	return fd;
}

/* What a peer of protocol PAIR0 says first, and a message of four bytes. */
static const char pair_says_mine[] = {0, 'S', 'P', 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 'm', 'i', 'n', 'e'};

/* PAIR0 has one peer: a second one is refused, noise does not even become one. */
static void strangers_disturb_nobody(void **state)
{
	(void)state;
	char url[URL_MAX];
	struct channel_set *receiver = open_set(1), *sender = open_set(1);
	listen_on(receiver, 1, url);
	for (int i = 0; i < 50; i++) /* before its peer is there, and ... */
		(void)close(connect_raw(url, "GET / HTTP/1.1\r\n\r\n", i % 2 == 1 ? 18 : 0));
	dial_to(sender, 1, url);
	send_number(sender, 1, 1, 10);
	assert_int_equal(receive_number(receiver, 1, 10), 1);
	channel_taken(receiver, 1);
	for (int i = 0; i < 20; i++) { /* ... afterwards, somebody who even speaks the protocol */
		int fd = connect_raw(url, pair_says_mine, sizeof pair_says_mine);
		expect_nothing(receiver, 20000);
		(void)close(fd);
	}
	for (uint32_t i = 2; i < 100; i++) {
		send_number(sender, 1, i, 10);
		assert_int_equal(receive_number(receiver, 1, 10), i);
		channel_taken(receiver, 1);
	}
	expect_nothing(sender, 0);
	channel_set_close(sender);
	channel_set_close(receiver);
	/* Where there is no peer yet, the same one is taken: it does speak the protocol. */
	struct channel_set *alone = open_set(1);
	listen_on(alone, 1, url);
	int fd = connect_raw(url, pair_says_mine, sizeof pair_says_mine);
	uint32_t mine = receive_number(alone, 1, 4);
	assert_memory_equal(&mine, "mine", 4);
	(void)close(fd);
	channel_set_close(alone);
}

/* Nobody listens: the channel is lost after CHANNEL_CONNECT_US, by the caller's clock. */
static void dial_gives_up(void **state)
{
	(void)state;
	char url[URL_MAX];
	struct channel_set *set = open_set(2);
	struct channel_event event;
	struct error error;
	uint64_t now = clock_monotonic_us();
	listen_on(set, 1, url); /* for a port that is free again ... */
	channel_set_close(set);
	set = open_set(2);
	assert_int_equal(channel_wake_us(set), 0);
	assert_int_equal(channel_dial(set, 2, url, now, &error), RESULT_OK);
	assert_int_equal(channel_wake_us(set), now + CHANNEL_CONNECT_US);
	send_number(set, 2, 1, 10);
	assert_false(channel_next(set, now + CHANNEL_CONNECT_US - 1, &event));
	assert_true(channel_next(set, now + CHANNEL_CONNECT_US, &event));
	assert_int_equal(event.kind, CHANNEL_LOST);
	assert_int_equal(event.channel, 2);
	assert_string_equal(event.why, "no connection within 10 s");
	assert_false(channel_next(set, now + 2 * (uint64_t)CHANNEL_CONNECT_US, &event));
	assert_int_equal(channel_wake_us(set), 0);
	channel_set_close(set);
}

static void bad_addresses_are_errors(void **state)
{
	(void)state;
	char url[URL_MAX], small[24];
	struct channel_set *set = open_set(4);
	struct error error;
	assert_int_not_equal(channel_dial(set, 1, "nonsense", 0, &error), RESULT_OK);
	assert_int_not_equal(channel_listen(set, 2, "203.0.113.1", url, sizeof url, &error), RESULT_OK);
	assert_int_equal(channel_listen(set, 3, "127.0.0.1", small, sizeof "tcp://127.0.0.1:0", &error), RESULT_CONFIG);
	channel_set_close(set);
}

/* --- another process ------------------------------------------------------------------------------------------------ */

/* Sends numbers on a channel until it is killed. */
static int send_for_ever(const char *url)
{
	struct channel_set *set = open_set(1);
	struct channel_event event;
	dial_to(set, 1, url);
	for (uint32_t i = 0;; i++) {
		send_number(set, 1, i, 1000);
		if (i % 64 == 0 && next_within(set, 2000, &event))
			return 0;
	}
}

/* One message above FRAME_MAX. A process of its own and _exit: when a peer goes in the middle of a send, nng 1.5.2 may
 * hang in that process's nng_close. */
static int send_too_large(const char *url)
{
	nng_socket sender;
	char *large = calloc(1, FRAME_MAX + 1);
	if (nng_pair0_open(&sender) == 0 && nng_dial(sender, url, NULL, 0) == 0)
		(void)nng_send(sender, large, FRAME_MAX + 1, 0);
	(void)sleep(60);
	_exit(0);
}

static pid_t start_process(const char *role, char *url)
{
	char *role_argument = strdup(role), *argv[] = {test_argv[0], role_argument, url, NULL};
	pid_t pid;
	assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ), 0);
	free(role_argument);
	return pid;
}

/* Nobody's frame: the connection ends, and the channel with it. */
static void too_large_ends_the_channel(void **state)
{
	(void)state;
	char url[URL_MAX];
	struct channel_set *receiver = open_set(1);
	listen_on(receiver, 1, url);
	pid_t pid = start_process("too-large", url);
	expect_lost(receiver, 1, "the other end has gone");
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	channel_set_close(receiver);
}

/* kill -9 of the sender: what came in came in order and whole, then the loss is told at once. */
static void killed_sender_is_lost(void **state)
{
	(void)state;
	for (int round = 0; round < 3; round++) {
		char url[URL_MAX];
		struct channel_set *receiver = open_set(1);
		struct channel_event event;
		listen_on(receiver, 1, url);
		pid_t pid = start_process("sender", url);
		for (uint32_t i = 0; i < 200; i++) {
			assert_int_equal(receive_number(receiver, 1, 1000), i);
			channel_taken(receiver, 1);
		}
		assert_int_equal(kill(pid, SIGKILL), 0);
		uint64_t killed_us = clock_monotonic_us();
		uint32_t next = 200, number;
		for (;;) {
			assert_true(next_within(receiver, PATIENCE_US, &event));
			if (event.kind == CHANNEL_LOST)
				break;
			memcpy(&number, event.message.data, sizeof number);
			assert_int_equal(number, next++);
			buffer_fini(&event.message);
			channel_taken(receiver, 1);
		}
		assert_true(clock_monotonic_us() - killed_us < 3000000);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		expect_nothing(receiver, 20000);
		channel_set_close(receiver);
	}
}

int main(int argc, char **argv)
{
	test_argv = argv;
	if (argc == 3 && strcmp(argv[1], "sender") == 0)
		return send_for_ever(argv[2]);
	if (argc == 3 && strcmp(argv[1], "too-large") == 0)
		return send_too_large(argv[2]);
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(keeps_order),
	    cmocka_unit_test(inbox_is_bounded),
	    cmocka_unit_test(loss_is_told_once),
	    cmocka_unit_test(strangers_disturb_nobody),
	    cmocka_unit_test(too_large_ends_the_channel),
	    cmocka_unit_test(dial_gives_up),
	    cmocka_unit_test(bad_addresses_are_errors),
	    cmocka_unit_test(killed_sender_is_lost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
