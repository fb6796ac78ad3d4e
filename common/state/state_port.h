/* common/state/state_port.h - where an actor's keyed state is kept durably: files of checkpoints, and a cache of them.
 *
 * Implemented by state_leveldb.c (files in the checkpoint folder, cache in leveldb, on a thread of its own), tests/sim
 * (memory). Opened for one actor: job, role, index and its range of key groups are the port's to know.
 *
 * The files are the truth. The cache holds exactly one complete checkpoint, never more: a store that runs ahead of its
 * checkpoint would count twice after a crash. It is rebuilt from the files whenever it is not that.
 *
 * Entries lie in generations of Kafka time (state.generation = duplicates.retention / 4): what is written goes into the
 * generation of its newest entry, or the newest there is. A generation expires whole.
 *
 * One request of restore, write and apply at a time: start it, then poll answer (after event_fd became readable, if there
 * is one). get and expire answer at once, also while a request is under way.
 *
 * Ownership: layers are frozen and borrowed until the answer has been taken; an answer's contents are valid until the next
 *            request; what get hands out until the next get.
 * Errors:    RETRY: storage is away or full: this checkpoint fails, the attempt goes on. CORRUPT: the cache is broken and
 *            will be rebuilt by the next attempt. A file that does not verify at restore: CORRUPT, and damaged is set.
 */
#ifndef STATE_PORT_H
#define STATE_PORT_H

#include "common/base/error.h"
#include "common/state/overlay.h"
#include "proto/frame.h"

struct state_answer {
	enum result result;
	struct error error;
	bool damaged; /* restore: the checkpoint itself cannot be used; another one may */
	/* write: the complete list of files that this actor's state is made of at that checkpoint */
	struct files files;
};

struct state_port;
struct state_port_ops {
	/* Makes the cache hold exactly what the manifest of this checkpoint says for this actor's key groups; (0,0): nothing.
	 * Reuses a cache of this checkpoint, or of one in its line, with exactly these groups. Once, before all else. */
	void (*restore)(struct state_port *, struct epoch_id checkpoint);
	/* Writes the layers (newest first: the first value of a key counts) as a file of this checkpoint, on top of the files of
	 * base, the last complete one; may merge older files on the way. Durable when answered. */
	void (*write)(struct state_port *, struct epoch_id checkpoint, struct epoch_id base,
	    const struct overlay *const *layers, uint32_t layers_len);
	/* The checkpoint is complete: the cache takes the layers (newest first), and its name, at once or not at all. */
	void (*apply)(
	    struct state_port *, struct epoch_id checkpoint, const struct overlay *const *layers, uint32_t layers_len);
	/* How far restore has got, for people: 0 to 100. */
	uint32_t (*progress)(struct state_port *);
	/* True when the request has been answered; the answer may be taken once. */
	bool (*answer)(struct state_port *, struct state_answer **);
	/* May be NULL. Has the memory fetched that get is going to look at first. */
	void (*prefetch)(struct state_port *, uint64_t hash);
	/* hash: key_hash(key). value.data NULL: there is none. May read from disk. */
	enum result (*get)(
	    struct state_port *, uint32_t group, uint64_t hash, struct bytes key, struct bytes *value, struct error *);
	/* Generations whose newest entry is older than this are forgotten: get does not find them any more from now on.
	 * But the cache and the list of files still hold them until the next checkpoint is complete: a replay from this one
	 * has to know at least what was known the first time. So write leaves their files out, and apply drops them. A
	 * checkpoint that is given up between changes nothing in that. The other way round, too: what get still finds after
	 * this call has to be in the files of the checkpoint that is about to be written, and so has what lies in the layers of an
	 * apply whose answer has not been taken: these are looked at before get is asked. */
	void (*expire)(struct state_port *, int64_t before_ms);
	void (*close)(struct state_port *);
};
struct state_port {
	const struct state_port_ops *ops;
	int event_fd; /* an eventfd, not blocking: readable when an answer is there; -1: the runner polls (simulation) */
};

#endif
