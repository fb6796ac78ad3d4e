/* common/state/state_leveldb.h - the state port on files and leveldb; implemented by the state_*.c files of this folder.
 *
 * Ownership: the store is borrowed until close and used from the port's thread.
 * Blocking:  open does not block on the disk for long; close ends the thread, and waits for what it is writing.
 */
#ifndef STATE_LEVELDB_H
#define STATE_LEVELDB_H

#include "common/state/checkpoint_store.h"
#include "common/state/state_port.h"

struct state_config {
	struct checkpoint_store *store;
	const char *cache_dir; /* of this machine: state.dir; made where it is missing */
	const char *job;
	uint32_t role, index; /* of the actor */
	uint32_t first_group, groups_len; /* its key groups */
	uint64_t memory_bytes; /* for filters, block cache and write buffers of this actor, in all */
	int64_t generation_ms; /* width of a generation; INT64_MAX: there is only one, and it never expires */
};

enum result state_leveldb_open(
    struct state_port **port, const struct state_config *config, struct error *error) MUST_USE;

#endif
