/* common/runtime/listener_probe.h - is our own listener still alive?
 *
 * A listener of nng 1.5.2 can stop accepting for good when a peer disconnects in the middle of the handshake, while the
 * kernel goes on taking connections for it: nobody is told. So it is dialed now and then, and must answer with its half of the
 * handshake (eight bytes). The probe sends its own half first and leaves only afterwards, so it does no harm itself.
 *
 * Source:   the SP mapping for TCP, sp-tcp-mapping-01 (nanomsg RFC).
 * Blocking: never: a step is taken at every call.
 */
#ifndef RUNTIME_LISTENER_PROBE_H
#define RUNTIME_LISTENER_PROBE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

enum { LISTENER_PROBE_EVERY_US = 10000000, LISTENER_PROBE_TIMEOUT_US = 3000000, LISTENER_PROBE_FAILURES = 2 };

struct listener_probe {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} address; /* family AF_UNSPEC: nothing to probe */
	int fd; /* -1: no probe under way */
	bool connected;
	uint32_t answered; /* bytes of the handshake so far */
	uint64_t due_us; /* of the next probe, or the deadline of this one */
	uint32_t failures; /* in a row */
};

/* address: as bound; a wildcard is probed through loopback. */
void listener_probe_init(struct listener_probe *probe, uint64_t now_us);
/* false: the listener is dead (said once; probing goes on). */
bool listener_probe_step(struct listener_probe *probe, uint64_t now_us);

#endif
