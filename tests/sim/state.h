/* tests/sim/state.h - the state port in memory: files that survive, caches that survive, one request at a time.
 *
 * A request is carried out at some later step. A cache belongs to the machine: it stays when its process dies, and any
 * actor of the same role may find it again, whoever filled it. What is forgotten is chosen at random, key by key.
 */
#ifndef SIM_STATE_H
#define SIM_STATE_H

#include "common/state/state_port.h"
#include "common/runtime/topology.h"

enum {
	ENTRIES_MAX = 96,
	ENTRY_KEY_MAX = 40,
	ENTRY_VALUE_MAX = 32,
	FILE_NAME_MAX = 64,
	CACHES_MAX = 12,
	FILES_LISTED_MAX = 64
};

struct world;
struct process;

struct entry {
	uint32_t group;
	uint8_t key_len, value_len;
	uint8_t key[ENTRY_KEY_MAX], value[ENTRY_VALUE_MAX];
};
/* Flat; a key stands in it once. */
struct entries {
	struct entry at[ENTRIES_MAX];
	uint32_t len;
};
void entries_put(struct entries *entries, const struct entry *entry);
const struct entry *entries_find(const struct entries *entries, struct bytes key);

/* A file of a checkpoint. */
struct stored_file {
	struct stored_file *next;
	char name[FILE_NAME_MAX];
	bool damaged;
	bool foreign; /* one of another history is in its place: nothing of what this one says, and another checksum */
	struct entries entries;
};

struct cache {
	enum role role; /* 0: empty */
	struct epoch_id checkpoint;
	uint32_t first_group, groups_len;
	struct entries entries;
	const void *owner; /* the port that holds its lock; NULL: free */
};

/* What an actor's state is made of at a checkpoint. */
struct listing {
	struct epoch_id checkpoint;
	struct file_entry files[FILES_LISTED_MAX];
	char names[FILES_LISTED_MAX][FILE_NAME_MAX];
	uint32_t len;
};

enum state_request_kind { STATE_REQUEST_NONE, STATE_REQUEST_RESTORE, STATE_REQUEST_WRITE, STATE_REQUEST_APPLY };

struct sim_state {
	struct state_port port; /* first */
	struct world *world;
	struct process *process;
	enum role role;
	uint32_t index, first_group, groups_len;
	struct cache *cache;
	struct listing base, written; /* complete; written, complete or not */
	struct entries forgotten; /* hidden from get; leaves the cache with the next checkpoint */
	uint32_t forgotten_written; /* how many of them the written checkpoint leaves out */
	enum state_request_kind request;
	struct epoch_id checkpoint;
	const struct overlay *const *layers;
	uint32_t layers_len;
	bool answered;
	struct state_answer answer;
	uint8_t value[ENTRY_VALUE_MAX];
	struct sim_state *next; /* of the process */
};

struct state_port *sim_state_open(struct process *process, uint32_t actor);
/* A request that waits to be carried out. */
bool sim_state_due(const struct sim_state *state);
void sim_state_run(struct sim_state *state);

#endif
