/* services/coordinator/registry.h - the worker processes that are there, and which actors go where.
 *
 * Placement is a pure function of who is registered: actors of a role go round the workers of its process role, sorted
 * by name. Fewer workers than actors share them; more are standbys.
 */
#ifndef REGISTRY_H
#define REGISTRY_H

#include "common/runtime/topology.h"
#include "common/runtime/worker.h"
#include "services/coordinator/waits.h"

struct member {
	char name[WORKER_NAME_MAX];
	enum process_role process;
	uint64_t pid;
	bool deployed, ready; /* in this attempt */
	bool quits; /* told to end by somebody else */
	uint64_t quit_wish; /* it goes when this wish for a checkpoint has been answered */
	bool gone; /* leaving, and its connection has closed: it comes back in a moment, or never */
	bool leaving; /* was told to start afresh or to stop: not counted any more */
	struct member_waits waits; /* what it says that it waits for */
};

struct registry {
	struct member *members; /* sorted by name */
	uint32_t len;
};

void registry_fini(struct registry *registry);
struct member *registry_find(const struct registry *registry, const char *name);
struct member *registry_add(struct registry *registry, const char *name, enum process_role process, uint64_t pid);
void registry_remove(struct registry *registry, const char *name);
/* Members of a process role that are not leaving. */
uint32_t registry_count(const struct registry *registry, enum process_role process);
/* Members that have been told to start afresh or to stop, and are still there. */
uint32_t registry_leaving(const struct registry *registry);
/* Forgets those that are gone. */
void registry_sweep(struct registry *registry);

/* entries: topology_actors of them; false: a process role has no member. Names point into the registry's members. */
bool registry_place(const struct registry *registry, const struct topology *topology, struct place *entries);
/* Placing anew would lower the largest number of actors on one process of this role. */
bool registry_would_even(const struct registry *registry, const struct topology *topology, const struct place *places,
    enum process_role process);

#endif
