#include "common/runtime/listener_probe.h"

#include <sys/socket.h>
#include <unistd.h>

enum { HANDSHAKE_SIZE = 8 };

void listener_probe_init(struct listener_probe *probe, uint64_t now_us)
{
	probe->fd = -1;
	probe->due_us = now_us + LISTENER_PROBE_EVERY_US;
	if (probe->address.any.sa_family == AF_INET && probe->address.v4.sin_addr.s_addr == htonl(INADDR_ANY))
		probe->address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (probe->address.any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&probe->address.v6.sin6_addr))
		probe->address.v6.sin6_addr = in6addr_loopback;
}

static void begin(struct listener_probe *probe, uint64_t now_us)
{
	bool v6 = probe->address.any.sa_family == AF_INET6;
	socklen_t len = v6 ? sizeof probe->address.v6 : sizeof probe->address.v4;
	probe->connected = false;
	probe->answered = 0;
	probe->due_us = now_us + LISTENER_PROBE_TIMEOUT_US;
	probe->fd = socket(probe->address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (probe->fd >= 0)
		(void)connect(probe->fd, &probe->address.any, len); /* EINPROGRESS; a refusal shows when sending */
}

/* What nng would send for a REQ0 socket; what comes back is only counted. */
static void advance(struct listener_probe *probe)
{
	static const uint8_t greeting[HANDSHAKE_SIZE] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
	uint8_t answer[HANDSHAKE_SIZE];
	if (!probe->connected)
		probe->connected = send(probe->fd, greeting, sizeof greeting, MSG_NOSIGNAL) == sizeof greeting;
	ssize_t got = probe->connected ? recv(probe->fd, answer, sizeof answer - probe->answered, 0) : 0;
	if (got > 0)
		probe->answered += (uint32_t)got;
}

static void end(struct listener_probe *probe, uint64_t now_us)
{
	if (probe->fd >= 0)
		(void)close(probe->fd);
	probe->fd = -1;
	probe->due_us = now_us + LISTENER_PROBE_EVERY_US;
}

bool listener_probe_step(struct listener_probe *probe, uint64_t now_us)
{
	if (probe->address.any.sa_family != AF_INET && probe->address.any.sa_family != AF_INET6)
		return true;
	if (probe->fd < 0) {
		if (now_us >= probe->due_us)
			begin(probe, now_us);
		return true;
	}
	advance(probe);
	if (probe->answered == HANDSHAKE_SIZE) {
		probe->failures = 0;
		end(probe, now_us);
	} else if (now_us >= probe->due_us) {
		probe->failures++;
		end(probe, now_us);
	}
	bool dead = probe->failures == LISTENER_PROBE_FAILURES;
	if (dead)
		probe->failures = 0;
	return !dead;
}
