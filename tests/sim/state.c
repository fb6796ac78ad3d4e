#include "tests/sim/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/key_group.h"
#include "common/base/mutant.h"
#include "services/aggregator/actor_state.h"
#include "tests/sim/sim.h"

static struct sim_state *state_of(struct state_port *port)
{
	return (struct sim_state *)port;
}

/* --- entries ------------------------------------------------------------------------------------------------------------ */

static struct bytes key_of(const struct entry *entry)
{
	return (struct bytes){entry->key, entry->key_len};
}

static struct entry *find(struct entries *entries, struct bytes key)
{
	for (uint32_t i = 0; i < entries->len; i++)
		if (bytes_equal(key_of(&entries->at[i]), key))
			return &entries->at[i];
	return NULL;
}

const struct entry *entries_find(const struct entries *entries, struct bytes key)
{
	return find((struct entries *)entries, key);
}

void entries_put(struct entries *entries, const struct entry *entry)
{
	struct entry *old = find(entries, key_of(entry));
	if (old == NULL) {
		CHECK(entries->len < ENTRIES_MAX);
		old = &entries->at[entries->len++];
	}
	*old = *entry;
}

static void drop(struct entries *entries, struct bytes key)
{
	struct entry *old = find(entries, key);
	if (old != NULL)
		*old = entries->at[--entries->len];
}

static bool is_mine(uint32_t group, uint32_t first_group, uint32_t groups_len)
{
	return group - first_group < groups_len;
}

/* Oldest layer first: the newest value of a key stays. */
static void put_layers(struct sim_state *state, struct entries *into)
{
	for (uint32_t i = state->layers_len; i-- > 0;)
		for (uint32_t group = state->first_group; group < state->first_group + state->groups_len; group++) {
			const struct overlay_entry *from;
			for (uint32_t at = 0; (from = overlay_next(state->layers[i], group, &at)) != NULL;) {
				struct entry entry = {.group = group,
				    .key_len = (uint8_t)from->key_len,
				    .value_len = (uint8_t)from->value_len};
				CHECK(from->key_len <= ENTRY_KEY_MAX && from->value_len <= ENTRY_VALUE_MAX);
				memcpy(entry.key, overlay_key(from).data, from->key_len);
				memcpy(entry.value, overlay_value(from).data, from->value_len);
				entries_put(into, &entry);
			}
		}
}

/* --- files ------------------------------------------------------------------------------------------------------------------ */

static void list_file(struct listing *listing, const struct file_entry *file)
{
	CHECK(listing->len < FILES_LISTED_MAX);
	uint32_t i = listing->len++;
	(void)snprintf(listing->names[i], FILE_NAME_MAX, "%s", file->name);
	listing->files[i] = *file;
	listing->files[i].name = listing->names[i];
}

static void copy_listing(struct listing *to, const struct listing *from)
{
	struct listing copy = {.checkpoint = from->checkpoint};
	for (uint32_t i = 0; i < from->len; i++)
		list_file(&copy, &from->files[i]);
	*to = copy;
	for (uint32_t i = 0; i < to->len; i++)
		to->files[i].name = to->names[i];
}

/* What the files written after `since` say, later ones over earlier ones; false: one does not verify. */
static bool read_files(
    struct sim_state *state, const struct listing *listing, const struct epoch_id *since, struct entries *into)
{
	bool taken[FILES_LISTED_MAX] = {false};
	for (uint32_t round = 0; round < listing->len; round++) {
		uint32_t oldest = UINT32_MAX;
		for (uint32_t i = 0; i < listing->len; i++)
			if (!taken[i] && (oldest == UINT32_MAX || epoch_compare(listing->files[i].written,
			                                              listing->files[oldest].written) < 0))
				oldest = i;
		taken[oldest] = true;
		const struct file_entry *listed = &listing->files[oldest];
		if (since != NULL && epoch_compare(listed->written, *since) <= 0)
			continue;
		const struct stored_file *file = store_file(&state->world->store, listed->name);
		/* Later attempts may have retired what an older one builds upon: nobody hears of it any more. */
		if (file == NULL && state->process->worker.attempt >= state->world->store.taken)
			world_violate(state->world, "a file of a checkpoint is gone: %s", listed->name);
		if (file == NULL)
			return false;
		if (!stored_file_verifies(file, listed))
			return false;
		for (uint32_t i = 0; i < file->entries.len && !file->foreign; i++)
			if (is_mine(file->entries.at[i].group, listed->first_group, listed->groups_len) &&
			    is_mine(file->entries.at[i].group, state->first_group, state->groups_len))
				entries_put(into, &file->entries.at[i]);
	}
	return true;
}

/* The manifest's files that concern this actor, as far as they do. */
static bool read_manifest(struct sim_state *state, struct error *error)
{
	struct checkpoint_store *store = &state->world->store.store;
	struct frame_manifest manifest;
	struct arena arena = {0};
	bool found = false;
	state->base = (struct listing){.checkpoint = state->checkpoint};
	if (epoch_equal(state->checkpoint, (struct epoch_id){0}))
		return true;
	enum result result = store->ops->get_manifest(store, state->checkpoint, &arena, &manifest, &found, error);
	for (uint32_t i = 0; result == RESULT_OK && found && i < manifest.files.len; i++) {
		struct file_entry file = manifest.files.entries[i];
		uint32_t end = file.first_group + file.groups_len, mine = state->first_group + state->groups_len;
		file.first_group = file.first_group > state->first_group ? file.first_group : state->first_group;
		end = end < mine ? end : mine;
		if (file.role != (uint32_t)state->role || file.first_group >= end)
			continue;
		file.groups_len = end - file.first_group;
		list_file(&state->base, &file);
	}
	arena_fini(&arena);
	if (result == RESULT_OK && !found)
		error_set(error, RESULT_RETRY, "the manifest is gone");
	return result == RESULT_OK && found;
}

/* --- requests ------------------------------------------------------------------------------------------------------------------ */

static enum result fail(struct sim_state *state, enum result result, const char *why)
{
	state->answer.result = result;
	return error_set(&state->answer.error, result, "%s", why);
}

static void take_cache(struct sim_state *state)
{
	struct world *world = state->world;
	struct cache *free_ones[CACHES_MAX];
	uint32_t len = 0;
	for (uint32_t i = 0; i < CACHES_MAX; i++)
		if (world->caches[i].owner == NULL &&
		    (world->caches[i].role == 0 || world->caches[i].role == state->role))
			free_ones[len++] = &world->caches[i];
	for (uint32_t i = 0; i < CACHES_MAX && len == 0; i++)
		if (world->caches[i].owner == NULL) {
			world->caches[i].role = 0;
			free_ones[len++] = &world->caches[i];
		}
	CHECK(len > 0);
	state->cache = free_ones[random_below(&world->random, len)];
	state->cache->owner = state;
}

static bool is_written_by_listed(const struct listing *listing, struct epoch_id checkpoint)
{
	for (uint32_t i = 0; i < listing->len; i++)
		if (epoch_equal(listing->files[i].written, checkpoint))
			return true;
	return epoch_equal(checkpoint, listing->checkpoint);
}

/* Nothing less, and nothing more: a replay from here has to know what was known the first time, on whatever machine that was. */
static void check_cache(struct sim_state *state, const struct entries *truth)
{
	bool same = state->cache->entries.len == truth->len;
	for (uint32_t i = 0; i < truth->len && same; i++) {
		const struct entry *is = entries_find(&state->cache->entries, key_of(&truth->at[i]));
		same = is != NULL && memcmp(is->value, truth->at[i].value, truth->at[i].value_len) == 0;
	}
	if (!same)
		world_violate(state->world, "the cache of a %s does not hold what its checkpoint's files say",
		    state->role == ROLE_DEDUP ? "dedup" : "rollup");
}

/* Generations that no file of the checkpoint is of any more, see state_cache_end. */
static void drop_forgotten(struct entries *cached, const struct entries *truth)
{
	for (uint32_t i = cached->len; i-- > 0 && !MUTANT(cache_knows_more);)
		if (entries_find(truth, key_of(&cached->at[i])) == NULL)
			cached->at[i] = cached->at[--cached->len];
}

static void restore(struct sim_state *state)
{
	struct world *world = state->world;
	struct entries truth = {0};
	if (!read_manifest(state, &state->answer.error)) {
		state->answer.result = RESULT_CORRUPT;
		return;
	}
	if (!read_files(state, &state->base, NULL, &truth)) {
		fail(state, RESULT_CORRUPT, "a file does not verify");
		state->answer.damaged = true;
		return;
	}
	take_cache(state);
	struct cache *cache = state->cache;
	bool same_groups = (cache->first_group == state->first_group && cache->groups_len == state->groups_len) ||
	                   MUTANT(cache_any_groups);
	bool known = cache->role == state->role && same_groups && cache->checkpoint.n != 0;
	if (known && epoch_equal(cache->checkpoint, state->checkpoint)) {
		world->statistics.caches_reused++;
	} else if (known && is_written_by_listed(&state->base, cache->checkpoint)) {
		world->statistics.caches_brought_forward++;
		if (!read_files(state, &state->base, &cache->checkpoint, &cache->entries))
			cache->entries = truth;
		drop_forgotten(&cache->entries, &truth);
	} else {
		cache->entries = truth;
	}
	check_cache(state, &truth);
	cache->role = state->role;
	cache->checkpoint = state->checkpoint;
	cache->first_group = state->first_group;
	cache->groups_len = state->groups_len;
	world->statistics.restores++;
}

/* Now and then all files become one, and always when keys are left out. */
static void write_file(struct sim_state *state)
{
	struct world *world = state->world;
	struct entries entries = {0};
	char name[FILE_NAME_MAX], actor[ACTOR_NAME_MAX];
	bool whole = state->forgotten.len > 0 || state->base.len > 6 || random_chance(&world->random, 150);
	if (store_fails(&world->store)) {
		fail(state, RESULT_RETRY, "the disk is full");
		return;
	}
	copy_listing(&state->written, &state->base);
	state->written.checkpoint = state->checkpoint;
	if (whole) {
		if (!read_files(state, &state->base, NULL, &entries)) {
			fail(state, RESULT_RETRY, "a file to be merged cannot be read");
			return;
		}
		for (uint32_t i = 0; i < state->forgotten.len; i++)
			drop(&entries, key_of(&state->forgotten.at[i]));
		state->written.len = 0;
	}
	state->forgotten_written = state->forgotten.len;
	put_layers(state, &entries);
	(void)snprintf(name, sizeof name, "checkpoints/%" PRIu64 ".%" PRIu64 "/%s", state->checkpoint.attempt,
	    state->checkpoint.n, actor_name(actor_id(state->role, state->index), actor));
	store_put_file(&world->store, name, &entries);
	list_file(&state->written, &(struct file_entry){.name = name,
	                               .written = state->checkpoint,
	                               .role = state->role,
	                               .first_group = state->first_group,
	                               .groups_len = state->groups_len,
	                               .rows = entries.len,
	                               .bytes = 1});
	state->answer.files = (struct files){state->written.files, state->written.len};
	world->statistics.files_written++;
}

static void apply(struct sim_state *state)
{
	struct cache *cache = state->cache;
	bool mine = epoch_equal(state->written.checkpoint, state->checkpoint);
	for (uint32_t i = 0; i < state->forgotten_written && mine; i++)
		drop(&cache->entries, key_of(&state->forgotten.at[i]));
	if (mine) {
		state->forgotten.len -= state->forgotten_written;
		memmove(state->forgotten.at, state->forgotten.at + state->forgotten_written,
		    state->forgotten.len * sizeof *state->forgotten.at);
		state->forgotten_written = 0;
	}
	put_layers(state, &cache->entries);
	cache->checkpoint = state->checkpoint;
	copy_listing(&state->base, &state->written);
}

bool sim_state_due(const struct sim_state *state)
{
	return state->request != STATE_REQUEST_NONE && !state->answered;
}

void sim_state_run(struct sim_state *state)
{
	char name[ACTOR_NAME_MAX];
	state->answer = (struct state_answer){0};
	world_trace(state->world, "state of %s: %s %" PRIu64 ".%" PRIu64,
	    actor_name(actor_id(state->role, state->index), name),
	    state->request == STATE_REQUEST_RESTORE ? "restore"
	    : state->request == STATE_REQUEST_WRITE ? "write"
	                                            : "apply",
	    state->checkpoint.attempt, state->checkpoint.n);
	switch (state->request) {
	case STATE_REQUEST_NONE:
		break;
	case STATE_REQUEST_RESTORE:
		restore(state);
		break;
	case STATE_REQUEST_WRITE:
		write_file(state);
		break;
	case STATE_REQUEST_APPLY:
		apply(state);
		break;
	}
	state->answered = true;
}

/* --- the port -------------------------------------------------------------------------------------------------------------------- */

static void ask(struct sim_state *state, enum state_request_kind kind, struct epoch_id checkpoint,
    const struct overlay *const *layers, uint32_t layers_len)
{
	CHECK(state->request == STATE_REQUEST_NONE);
	state->request = kind;
	state->checkpoint = checkpoint;
	state->layers = layers;
	state->layers_len = layers_len;
}

static void port_restore(struct state_port *port, struct epoch_id checkpoint)
{
	ask(state_of(port), STATE_REQUEST_RESTORE, checkpoint, NULL, 0);
}

static void port_write(struct state_port *port, struct epoch_id checkpoint, struct epoch_id base,
    const struct overlay *const *layers, uint32_t layers_len)
{
	struct sim_state *state = state_of(port);
	if (!epoch_equal(base, state->base.checkpoint) && !MUTANT(cache_early))
		world_violate(state->world, "a checkpoint on top of another one than the last complete one");
	ask(state, STATE_REQUEST_WRITE, checkpoint, layers, layers_len);
}

static void port_apply(
    struct state_port *port, struct epoch_id checkpoint, const struct overlay *const *layers, uint32_t layers_len)
{
	ask(state_of(port), STATE_REQUEST_APPLY, checkpoint, layers, layers_len);
}

static uint32_t port_progress(struct state_port *port)
{
	(void)port;
	return 0;
}

static bool port_answer(struct state_port *port, struct state_answer **answer)
{
	struct sim_state *state = state_of(port);
	if (!state->answered)
		return false;
	state->answered = false;
	state->request = STATE_REQUEST_NONE;
	*answer = &state->answer;
	return true;
}

static enum result port_get(
    struct state_port *port, uint32_t group, uint64_t hash, struct bytes key, struct bytes *value, struct error *error)
{
	struct sim_state *state = state_of(port);
	const struct entry *entry = entries_find(&state->cache->entries, key);
	(void)group, (void)hash, (void)error;
	*value = (struct bytes){0};
	if (entry == NULL || (entries_find(&state->forgotten, key) != NULL && !MUTANT(forgotten_found)))
		return RESULT_OK;
	memcpy(state->value, entry->value, entry->value_len);
	*value = (struct bytes){state->value, entry->value_len};
	return RESULT_OK;
}

/* An APPLY has taken them into the cache; until its answer has been taken they are found before the cache is asked. */
static bool is_in_layers(const struct sim_state *state, const struct entry *entry)
{
	struct overlay_place ignored;
	if (state->request != STATE_REQUEST_APPLY)
		return false;
	for (uint32_t i = 0; i < state->layers_len; i++)
		if (overlay_find((struct overlay *)state->layers[i], entry->group, key_hash(key_of(entry)),
		        key_of(entry), &ignored) != NULL)
			return true;
	return false;
}

static void port_expire(struct state_port *port, int64_t before_ms)
{
	struct sim_state *state = state_of(port);
	(void)before_ms;
	for (uint32_t i = 0; i < state->cache->entries.len; i++) {
		const struct entry *entry = &state->cache->entries.at[i];
		if (!random_chance(&state->world->random, 100) ||
		    entries_find(&state->forgotten, key_of(entry)) != NULL || is_in_layers(state, entry))
			continue;
		entries_put(&state->forgotten, entry);
		state->world->statistics.keys_forgotten++;
	}
}

static void port_close(struct state_port *port)
{
	struct sim_state *state = state_of(port);
	struct sim_state **at = &state->process->states;
	while (*at != state)
		at = &(*at)->next;
	*at = state->next;
	if (state->cache != NULL)
		state->cache->owner = NULL;
	free(state);
}

static const struct state_port_ops state_ops = {
    .restore = port_restore,
    .write = port_write,
    .apply = port_apply,
    .progress = port_progress,
    .answer = port_answer,
    .get = port_get,
    .expire = port_expire,
    .close = port_close,
};

struct state_port *sim_state_open(struct process *process, uint32_t actor)
{
	struct world *world = process->world;
	struct sim_state *state = memory_new(sizeof *state);
	enum role role = actor_role(actor);
	*state = (struct sim_state){
	    .port = {&state_ops, -1},
	    .world = world,
	    .process = process,
	    .role = role,
	    .index = actor_index(actor),
	    .next = process->states,
	};
	state->groups_len = actor_groups(state->index, world->pipeline.key_groups,
	    role == ROLE_DEDUP ? world->topology.dedup : world->topology.rollup, &state->first_group);
	process->states = state;
	return &state->port;
}
