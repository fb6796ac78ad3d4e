#include "tests/integration/tcp_proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/buffer.h"
#include "common/base/error.h"

enum { PAIRS_MAX = 16, PUMP_BYTES = 16384, POLL_MS = 20 };

struct pair {
	int client, server; /* -1: closed */
};

struct proxy {
	pthread_t thread;
	pthread_mutex_t mutex; /* guards mode, left and stop */
	enum proxy_mode mode;
	size_t left;
	bool stop;
	int listener, port, upstream_port;
	struct pair pairs[PAIRS_MAX];
	size_t pairs_len;
};

static struct sockaddr_in local_address(int port)
{
	return (struct sockaddr_in){
	    .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void close_end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static bool send_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);
		if (sent < 0 && errno != EINTR)
			return false;
		if (sent > 0) {
			data += sent;
			len -= (size_t)sent;
		}
	}
	return true;
}

static void accept_pair(struct proxy *proxy)
{
	int client = accept(proxy->listener, NULL, NULL);
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = local_address(proxy->upstream_port);

	CHECK(proxy->pairs_len < PAIRS_MAX && client >= 0 && server >= 0);
	if (connect(server, (struct sockaddr *)&address, sizeof address) != 0) {
		close(client);
		close(server);
		return;
	}
	proxy->pairs[proxy->pairs_len++] = (struct pair){client, server};
}

/* What the mode does with these bytes; false: the client is to be closed. The mode is good for one time. */
static bool mode_allows(struct proxy *proxy, bool from_client, const char *data, size_t len)
{
	bool allowed = true;

	pthread_mutex_lock(&proxy->mutex);
	if (proxy->mode == PROXY_CUT_CLIENT && from_client) {
		allowed = len <= proxy->left;
		proxy->left -= allowed ? len : 0;
	}
	if (proxy->mode == PROXY_LOSE_COMMIT && !from_client)
		allowed = !memmem(data, len, "COMMIT", sizeof "COMMIT");
	if (proxy->mode == PROXY_LOSE_ANSWER && !from_client)
		allowed = false;
	if (!allowed)
		proxy->mode = PROXY_PASS;
	pthread_mutex_unlock(&proxy->mutex);
	return allowed;
}

static void pump(struct proxy *proxy, struct pair *pair, bool from_client)
{
	char data[PUMP_BYTES];
	int *from = from_client ? &pair->client : &pair->server, *to = from_client ? &pair->server : &pair->client;
	ssize_t len = recv(*from, data, sizeof data, 0);

	if (len <= 0) {
		close_end(from);
		close_end(to);
	} else if (!mode_allows(proxy, from_client, data, (size_t)len)) {
		close_end(&pair->client);
	} else if (*to >= 0 && !send_all(*to, data, (size_t)len)) {
		close_end(to);
	}
}

static bool stopped(struct proxy *proxy)
{
	pthread_mutex_lock(&proxy->mutex);
	bool stop = proxy->stop;
	pthread_mutex_unlock(&proxy->mutex);
	return stop;
}

static void *run(void *context)
{
	struct proxy *proxy = context;

	while (!stopped(proxy)) {
		struct pollfd waits[1 + 2 * PAIRS_MAX] = {{.fd = proxy->listener, .events = POLLIN}};
		size_t pairs = proxy->pairs_len;
		for (size_t i = 0; i < pairs; i++) {
			waits[1 + 2 * i] = (struct pollfd){.fd = proxy->pairs[i].client, .events = POLLIN};
			waits[2 + 2 * i] = (struct pollfd){.fd = proxy->pairs[i].server, .events = POLLIN};
		}
		if (poll(waits, 1 + 2 * pairs, POLL_MS) <= 0)
			continue;
		if (waits[0].revents)
			accept_pair(proxy);
		for (size_t i = 0; i < pairs; i++) {
			if (waits[1 + 2 * i].revents && proxy->pairs[i].client >= 0)
				pump(proxy, &proxy->pairs[i], true);
			if (waits[2 + 2 * i].revents && proxy->pairs[i].server >= 0)
				pump(proxy, &proxy->pairs[i], false);
		}
	}
	return NULL;
}

struct proxy *proxy_open(int port)
{
	struct proxy *proxy = memory_new(sizeof *proxy);
	struct sockaddr_in address = local_address(0);
	socklen_t len = sizeof address;

	proxy->upstream_port = port;
	proxy->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(bind(proxy->listener, (struct sockaddr *)&address, sizeof address) == 0);
	CHECK(listen(proxy->listener, PAIRS_MAX) == 0);
	CHECK(getsockname(proxy->listener, (struct sockaddr *)&address, &len) == 0);
	proxy->port = ntohs(address.sin_port);
	pthread_mutex_init(&proxy->mutex, NULL);
	CHECK(pthread_create(&proxy->thread, NULL, run, proxy) == 0);
	return proxy;
}

int proxy_port(const struct proxy *proxy)
{
	return proxy->port;
}

void proxy_mode(struct proxy *proxy, enum proxy_mode mode, size_t bytes)
{
	pthread_mutex_lock(&proxy->mutex);
	proxy->mode = mode;
	proxy->left = bytes;
	pthread_mutex_unlock(&proxy->mutex);
}

void proxy_close(struct proxy *proxy)
{
	pthread_mutex_lock(&proxy->mutex);
	proxy->stop = true;
	pthread_mutex_unlock(&proxy->mutex);
	pthread_join(proxy->thread, NULL);
	for (size_t i = 0; i < proxy->pairs_len; i++) {
		close_end(&proxy->pairs[i].client);
		close_end(&proxy->pairs[i].server);
	}
	close_end(&proxy->listener);
	pthread_mutex_destroy(&proxy->mutex);
	free(proxy);
}
