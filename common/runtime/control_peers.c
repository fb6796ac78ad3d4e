#include "common/runtime/control_peers.h"

#include <stdlib.h>
#include <string.h>

struct control_peer *control_peers_add(struct control_peers *peers, const char *worker, uint64_t incarnation,
    const struct frame_registration *registration)
{
	struct control_peer *peer = memory_new(sizeof *peer);
	peer->worker = text_clone(worker);
	peer->incarnation = incarnation;
	peer->identity = registration->identity;
	peer->pid = registration->pid;
	peers->items = memory_resize(peers->items, peers->len + 1, sizeof(struct control_peer *));
	peers->items[peers->len++] = peer;
	return peer;
}

struct control_peer *control_peers_find(const struct control_peers *peers, const char *worker)
{
	for (size_t i = 0; i < peers->len; i++)
		if (strcmp(peers->items[i]->worker, worker) == 0)
			return peers->items[i];
	return NULL;
}

struct control_peer *control_peers_on(const struct control_peers *peers, uint32_t pipe)
{
	for (size_t i = 0; i < peers->len; i++)
		if (peers->items[i]->pipe == pipe)
			return peers->items[i];
	return NULL;
}

/* Whose poll is held here is not expected to speak. */
struct control_peer *control_peers_silent(const struct control_peers *peers, uint64_t now_us, uint64_t timeout_us)
{
	for (size_t i = 0; i < peers->len; i++) {
		struct control_peer *peer = peers->items[i];
		if (peer->poll == NULL && now_us > peer->heard_us && now_us - peer->heard_us >= timeout_us)
			return peer;
	}
	return NULL;
}

bool control_peers_served(const struct control_peers *peers)
{
	for (size_t i = 0; i < peers->len; i++)
		if (peers->items[i]->outgoing.len != 0)
			return false;
	return true;
}

void control_peers_remove(struct control_peers *peers, const struct control_peer *peer)
{
	for (size_t i = 0; i < peers->len; i++)
		if (peers->items[i] == peer) {
			peers->items[i] = peers->items[--peers->len];
			return;
		}
}

void control_peer_free(struct control_peer *peer)
{
	if (peer == NULL)
		return;
	control_outgoing_fini(&peer->outgoing);
	free(peer->worker);
	free(peer);
}
