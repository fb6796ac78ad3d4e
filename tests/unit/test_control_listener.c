/* The watchdog of the coordinator's listener: dead is told from alive, and made again. */
#include "tests/unit/control_harness.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>

#include "common/runtime/control_listener.h"
#include "common/runtime/listener_probe.h"

static void serve(struct control_listener *listener)
{
	struct control_news news;
	while (control_listener_next(listener, &news))
		if (news.kind == CONTROL_REQUEST)
			control_request_drop(news.request);
}

static bool accepts(const char *url)
{
	nng_socket socket; /* left open, as everything of nng's here */
	assert_int_equal(nng_req0_open(&socket), 0);
	assert_int_equal(nng_socket_set_ms(socket, NNG_OPT_SENDTIMEO, 2000), 0);
	assert_int_equal(nng_dial(socket, url, NULL, NNG_FLAG_NONBLOCK), 0);
	void *data = nng_alloc(1);
	memset(data, 0, 1);
	int code = nng_send(socket, data, 1, NNG_FLAG_ALLOC);
	if (code != 0)
		nng_free(data, 1);
	return code == 0;
}

/* A listener that answers is left alone for a minute; one that does not get the time to (made up here) is made again,
 * at the same address: what it had is gone, what comes is served. */
static void dead_listener_is_made_again(void **state)
{
	(void)state;
	char url[URL_MAX];
	struct control_listener *listener;
	struct control_news news;
	struct error error;
	uint64_t now_us = clock_monotonic_us();
	free_address(url);
	assert_int_equal(control_listener_open(&listener, url, &error), RESULT_OK);
	assert_true(accepts(url));
	for (int i = 0; i < 120; i++, now_us += 500000) {
		control_listener_check(listener, now_us);
		(void)usleep(5000);
		serve(listener);
	}
	for (int i = 0; i < 8; i++, now_us += LISTENER_PROBE_EVERY_US + LISTENER_PROBE_TIMEOUT_US)
		control_listener_check(listener, now_us);
	bool gone = false;
	for (uint64_t end = clock_monotonic_us() + PATIENCE_US; !gone && clock_monotonic_us() < end;) {
		while (control_listener_next(listener, &news)) {
			gone = gone || news.kind == CONTROL_PIPE_GONE;
			if (news.kind == CONTROL_REQUEST)
				control_request_drop(news.request);
		}
		wait_readable(control_listener_event_fd(listener), -1, 10000);
	}
	assert_true(gone);
	assert_true(accepts(url));
}

/* The probe by itself: a port that takes connections and says nothing is dead at the second failure, not before. */
static void probe_tells_dead_from_alive(void **state)
{
	(void)state;
	struct listener_probe probe = {
	    .address.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof probe.address.v4;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, &probe.address.any, len), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(getsockname(fd, &probe.address.any, &len), 0);
	uint64_t now_us = 1000;
	listener_probe_init(&probe, now_us);
	for (int round = 1; round <= 4; round++) {
		assert_true(listener_probe_step(&probe, now_us + LISTENER_PROBE_EVERY_US - 1));
		assert_int_equal(probe.fd, -1);
		now_us += LISTENER_PROBE_EVERY_US;
		assert_true(listener_probe_step(&probe, now_us));
		assert_true(listener_probe_step(&probe, now_us + LISTENER_PROBE_TIMEOUT_US - 1));
		now_us += LISTENER_PROBE_TIMEOUT_US;
		assert_int_equal(listener_probe_step(&probe, now_us), round % 2 == 1);
	}
	/* One answer in between, and it begins to count anew. */
	assert_true(listener_probe_step(&probe, now_us += LISTENER_PROBE_EVERY_US));
	assert_true(listener_probe_step(&probe, now_us += LISTENER_PROBE_TIMEOUT_US));
	assert_int_equal(probe.failures, 1);
	assert_true(listener_probe_step(&probe, now_us += LISTENER_PROBE_EVERY_US));
	int peer = -1;
	while (probe.fd >= 0) { /* those that gave up lie in the backlog before it */
		peer = accept(fd, NULL, NULL);
		assert_true(peer >= 0);
		assert_int_equal(send(peer, "\0SP\0\0\x31\0\0", 8, MSG_NOSIGNAL), 8);
		(void)usleep(10000);
		assert_true(listener_probe_step(&probe, now_us));
		(void)close(peer);
	}
	assert_int_equal(probe.failures, 0);
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(dead_listener_is_made_again),
	    cmocka_unit_test(probe_tells_dead_from_alive),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)fflush(NULL);
	_exit(failed); /* as in production: nng is left as it is */
}
