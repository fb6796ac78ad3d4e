/* common/state/state.h - an actor's keyed state: what changed since the last complete checkpoint in memory, the rest
 * behind its port.
 *
 * A checkpoint freezes what changed (O(1)) and goes on with an empty overlay; the frozen layer stays, is written, and goes
 * when the checkpoint is complete and the cache has taken it. The changes of a checkpoint that was given up are in the next
 * one. Deterministic; the port does what takes time.
 *
 * The actor: state_restore at DEPLOY; state_poll on every tick; at the barrier of a checkpoint state_freeze with the base
 * that it names; state_complete when the coordinator says so (a barrier's base says so, too).
 *
 * Ownership: the port is the state's: closed by state_free. What state_find hands out is valid until the next call.
 */
#ifndef STATE_STATE_H
#define STATE_STATE_H

#include "common/state/state_port.h"

struct state;

struct state *state_new(struct state_port *port, uint32_t first_group, uint32_t groups_len);
void state_free(struct state *state);

/* Once, before all else; state_poll says RESTORED. */
void state_restore(struct state *state, struct epoch_id checkpoint);
bool state_is_restored(const struct state *state);
/* 0 to 100. */
uint32_t state_progress(const struct state *state);

/* Has the memory fetched that state_find is going to look at, a few keys later. */
void state_prefetch(const struct state *state, uint32_t group, uint64_t hash);
/* value.data NULL: the key is new. group: its key group; hash: key_hash(key). */
enum result state_find(struct state *state, uint32_t group, uint64_t hash, struct bytes key, struct bytes *value,
    struct error *error) MUST_USE;
/* Right after state_find said that this key is new. */
enum result state_add(struct state *state, uint64_t hash, struct bytes key, struct bytes value, int64_t time_ms,
    struct error *error) MUST_USE;
/* A new value. The length of a key's value never changes. time_ms: Kafka's, of the record behind it. */
enum result state_put(struct state *state, uint32_t group, uint64_t hash, struct bytes key, struct bytes value,
    int64_t time_ms, struct error *error) MUST_USE;
/* Entries older than this may be forgotten: those that a complete checkpoint covers. Never in silence. */
void state_expire(struct state *state, int64_t before_ms);

/* base: the last complete checkpoint, as the barrier names it. False: the one before is still being written, and nothing was
 * frozen: this checkpoint has to be given up. */
bool state_freeze(struct state *state, struct epoch_id checkpoint, struct epoch_id base);
void state_complete(struct state *state, struct epoch_id checkpoint);

enum state_news {
	STATE_NOTHING,
	STATE_RESTORED,
	STATE_WRITTEN, /* checkpoint and files are set */
	STATE_NOT_WRITTEN, /* checkpoint and error: given up, the attempt goes on */
	STATE_DAMAGED, /* the checkpoint to be restored does not verify: error */
	STATE_BROKEN, /* error: the attempt ends */
};
struct state_event {
	struct epoch_id checkpoint;
	struct files files; /* valid until the next poll */
	struct error error;
};
/* What has become of requests; call until NOTHING. */
enum state_news state_poll(struct state *state, struct state_event *event);

struct state_size {
	uint64_t changed; /* keys in memory */
	size_t bytes; /* of memory that they take */
};
struct state_size state_size(const struct state *state);

#endif
