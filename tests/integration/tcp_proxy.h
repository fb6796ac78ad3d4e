/* tests/integration/tcp_proxy.h - stands between a client and a server, and loses what a test wants to be lost.
 *
 * Threads: runs one of its own; proxy_mode may be called from any thread.
 */
#ifndef TCP_PROXY_H
#define TCP_PROXY_H

#include <stddef.h>

enum proxy_mode {
	PROXY_PASS,
	/* When the server says COMMIT, the client does not hear it: its connection is closed instead. */
	PROXY_LOSE_COMMIT,
	/* The same for whatever the server says next. */
	PROXY_LOSE_ANSWER,
	/* After `bytes` more from the client its connection is closed; the server's stays open and hears nothing of it. */
	PROXY_CUT_CLIENT,
};

struct proxy;
/* Listens on a free port of 127.0.0.1 and passes on to 127.0.0.1:port. */
struct proxy *proxy_open(int port);
int proxy_port(const struct proxy *proxy);
void proxy_mode(struct proxy *proxy, enum proxy_mode mode, size_t bytes);
void proxy_close(struct proxy *proxy);

#endif
