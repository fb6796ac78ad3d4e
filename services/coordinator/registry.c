#include "services/coordinator/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void registry_fini(struct registry *registry)
{
	for (uint32_t i = 0; i < registry->len; i++)
		waits_fini(&registry->members[i].waits);
	free(registry->members);
	*registry = (struct registry){0};
}

struct member *registry_find(const struct registry *registry, const char *name)
{
	for (uint32_t i = 0; i < registry->len; i++)
		if (strcmp(registry->members[i].name, name) == 0)
			return &registry->members[i];
	return NULL;
}

struct member *registry_add(struct registry *registry, const char *name, enum process_role process, uint64_t pid)
{
	uint32_t place = 0;
	registry_remove(registry, name);
	while (place < registry->len && strcmp(registry->members[place].name, name) < 0)
		place++;
	registry->members = memory_resize(registry->members, registry->len + 1, sizeof *registry->members);
	memmove(registry->members + place + 1, registry->members + place,
	    (registry->len - place) * sizeof *registry->members);
	registry->len++;
	struct member *member = &registry->members[place];
	*member = (struct member){.process = process, .pid = pid};
	(void)snprintf(member->name, sizeof member->name, "%s", name);
	return member;
}

void registry_remove(struct registry *registry, const char *name)
{
	struct member *member = registry_find(registry, name);
	if (member == NULL)
		return;
	uint32_t place = (uint32_t)(member - registry->members);
	waits_fini(&member->waits);
	memmove(member, member + 1, (registry->len - place - 1) * sizeof *member);
	registry->len--;
}

static bool is_counted(const struct member *member)
{
	return !member->leaving && !member->quits;
}

uint32_t registry_leaving(const struct registry *registry)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < registry->len; i++)
		count += registry->members[i].leaving;
	return count;
}

void registry_sweep(struct registry *registry)
{
	for (uint32_t i = registry->len; i-- > 0;)
		if (registry->members[i].gone)
			registry_remove(registry, registry->members[i].name);
}

uint32_t registry_count(const struct registry *registry, enum process_role process)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < registry->len; i++)
		count += registry->members[i].process == process && is_counted(&registry->members[i]);
	return count;
}

static const char *nth(const struct registry *registry, enum process_role process, uint32_t n)
{
	for (uint32_t i = 0; i < registry->len; i++)
		if (registry->members[i].process == process && is_counted(&registry->members[i]) && n-- == 0)
			return registry->members[i].name;
	panic("no such member");
}

bool registry_place(const struct registry *registry, const struct topology *topology, struct place *entries)
{
	uint32_t placed[PROCESS_SINK + 1] = {0};
	for (uint32_t i = 0; i < topology_actors(topology); i++) {
		uint32_t actor = topology_actor(topology, i);
		enum process_role process = role_process(actor_role(actor));
		uint32_t members = registry_count(registry, process);
		if (members == 0)
			return false;
		entries[i] = (struct place){actor, nth(registry, process, placed[process]++ % members)};
	}
	return true;
}

static uint32_t largest_load(const struct topology *topology, const struct place *places, enum process_role process)
{
	uint32_t largest = 0;
	for (uint32_t i = 0; i < topology_actors(topology); i++) {
		uint32_t load = 0;
		if (role_process(actor_role(places[i].actor)) != process)
			continue;
		for (uint32_t k = 0; k < topology_actors(topology); k++)
			load += role_process(actor_role(places[k].actor)) == process &&
			        strcmp(places[k].worker, places[i].worker) == 0;
		if (load > largest)
			largest = load;
	}
	return largest;
}

bool registry_would_even(const struct registry *registry, const struct topology *topology, const struct place *places,
    enum process_role process)
{
	struct place *anew = memory_resize(NULL, topology_actors(topology), sizeof *anew);
	bool evens = registry_place(registry, topology, anew) &&
	             largest_load(topology, anew, process) < largest_load(topology, places, process);
	free(anew);
	return evens;
}
