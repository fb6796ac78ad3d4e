/* common/runtime/control_peers.h - the workers that are registered with the coordinator, by name.
 *
 * Ownership: a peer belongs to the list until it is removed, then to whoever removed it.
 */
#ifndef RUNTIME_CONTROL_PEERS_H
#define RUNTIME_CONTROL_PEERS_H

#include "common/runtime/control_session.h"

struct control_request;

struct control_peer {
	char *worker;
	uint64_t incarnation, identity, pid; /* pid: for people */
	uint32_t job; /* place in the server's list */
	uint32_t pipe;
	uint64_t heard_us; /* of it, or when it was given its turn: its poll answered */
	uint64_t heard; /* messages */
	struct control_outgoing outgoing;
	struct control_incoming incoming;
	struct control_request *poll; /* held until there is something to say; NULL: none */
	uint64_t poll_since_us;
};
struct control_peers {
	struct control_peer **items;
	size_t len;
};

struct control_peer *control_peers_add(struct control_peers *peers, const char *worker, uint64_t incarnation,
    const struct frame_registration *registration);
/* NULL: none. */
struct control_peer *control_peers_find(const struct control_peers *peers, const char *worker);
struct control_peer *control_peers_on(const struct control_peers *peers, uint32_t pipe);
/* One that had its turn for so long and said nothing; NULL: none. */
struct control_peer *control_peers_silent(const struct control_peers *peers, uint64_t now_us, uint64_t timeout_us);
/* All have acknowledged all that was sent to them. */
bool control_peers_served(const struct control_peers *peers);
void control_peers_remove(struct control_peers *peers, const struct control_peer *peer);
void control_peer_free(struct control_peer *peer);

#endif
