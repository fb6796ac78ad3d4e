#include "tests/unit/state_bed.h"

#include <poll.h>
#include <unistd.h>

#include "common/state/state_leveldb.h"

uint32_t below(struct bed *bed, uint32_t most)
{
	return (uint32_t)rand_r(&bed->seed) % most;
}

struct epoch_id epoch(uint32_t n)
{
	return (struct epoch_id){n == 0 ? 0 : 1, n};
}

struct bytes key_text(uint32_t i, char key[24])
{
	(void)snprintf(key, 24, "key-%010u", i);
	return (struct bytes){(const uint8_t *)key, strlen(key)};
}

void open_actors(struct bed *bed, uint32_t actors)
{
	struct error error;
	bed->actors_len = actors;
	for (uint32_t i = 0; i < actors; i++) {
		struct state_port *port;
		struct state_config config = {
		    .store = bed->store,
		    .cache_dir = bed->cache,
		    .job = "shop/totals",
		    .role = 2,
		    .index = i,
		    .memory_bytes = (size_t)8 * 1024 * 1024,
		    .generation_ms = bed->generation_ms,
		};
		for (uint32_t group = 0; group < GROUPS; group++)
			if (key_group_owner(group, GROUPS, actors) == i) {
				config.first_group = config.groups_len == 0 ? group : config.first_group;
				config.groups_len++;
			}
		if (state_leveldb_open(&port, &config, &error) != RESULT_OK)
			fail_msg("%s", error.text);
		bed->ports[i] = port;
		bed->actors[i] = state_new(port, config.first_group, config.groups_len);
	}
}

void close_actors(struct bed *bed)
{
	for (uint32_t i = 0; i < bed->actors_len; i++)
		state_free(bed->actors[i]);
	bed->actors_len = 0;
}

enum state_news await(struct state *state, struct state_event *event)
{
	for (int i = 0; i < PATIENCE_MS; i++) {
		enum state_news news = state_poll(state, event);
		if (news != STATE_NOTHING)
			return news;
		(void)poll(NULL, 0, 1);
	}
	fail_msg("no news of the state");
	return STATE_NOTHING;
}

enum state_news restore(struct bed *bed, uint32_t n)
{
	struct state_event event;
	enum state_news worst = STATE_RESTORED;
	for (uint32_t i = 0; i < bed->actors_len; i++) {
		state_restore(bed->actors[i], epoch(n));
		enum state_news news = await(bed->actors[i], &event);
		if (news != STATE_RESTORED)
			worst = news;
	}
	bed->now = bed->kept[n];
	bed->complete = n;
	for (uint32_t i = n + 1; i < CHECKPOINTS_MAX; i++)
		bed->in_line[i] = false; /* a history that was left */
	return worst;
}

struct state *owner_of(const struct bed *bed, uint32_t group)
{
	return bed->actors[key_group_owner(group, GROUPS, bed->actors_len)];
}

uint32_t look(const struct bed *bed, uint32_t i)
{
	char text[24];
	struct error error;
	struct bytes key = key_text(i, text), value;
	uint64_t hash = key_hash(key);
	uint32_t group = key_group(hash, GROUPS), number = 0;
	if (state_find(owner_of(bed, group), group, hash, key, &value, &error) != RESULT_OK)
		fail_msg("%s", error.text);
	if (value.data != NULL)
		memcpy(&number, value.data, sizeof number);
	return number;
}

void change(struct bed *bed, uint32_t i)
{
	char text[24];
	struct error error;
	struct bytes key = key_text(i, text);
	uint64_t hash = key_hash(key);
	uint32_t group = key_group(hash, GROUPS), number = 1 + below(bed, 1000000);
	if (bed->actors_len > 0)
		assert_int_equal(state_put(owner_of(bed, group), group, hash, key,
		                     (struct bytes){(const uint8_t *)&number, sizeof number}, bed->time_ms, &error),
		    RESULT_OK);
	bed->now.values[i] = number;
}

void check_all(const struct bed *bed)
{
	for (uint32_t i = 0; i < KEYS; i++)
		assert_int_equal(look(bed, i), bed->now.values[i]);
}

void start(struct bed *bed, uint32_t actors, uint32_t n, bool with_cache)
{
	close_actors(bed);
	if (!with_cache)
		folder_remove(bed->cache);
	open_actors(bed, actors);
	assert_int_equal(restore(bed, n), STATE_RESTORED);
	check_all(bed);
}

uint32_t checkpoint(struct bed *bed, bool whole)
{
	struct frame_manifest manifest = {.job = "shop/totals", .fingerprint = "f", .key_groups = GROUPS};
	struct checkpoint_entry line[CHECKPOINTS_MAX];
	struct file_entry files[512];
	struct state_event event;
	struct error error;
	bool existed;
	uint32_t n = ++bed->n;
	manifest.epoch = epoch(n);
	manifest.files.entries = files;
	manifest.line.entries = line;
	for (uint32_t i = 0; i < bed->actors_len; i++)
		assert_true(state_freeze(bed->actors[i], epoch(n), epoch(bed->complete)));
	bed->kept[n] = bed->now;
	for (uint32_t i = 0; i < bed->actors_len; i++) {
		assert_int_equal(await(bed->actors[i], &event), STATE_WRITTEN);
		for (uint32_t k = 0; k < event.files.len; k++) {
			files[manifest.files.len] = event.files.entries[k];
			files[manifest.files.len++].name =
			    arena_clone(&bed->arena, event.files.entries[k].name, strlen(event.files.entries[k].name));
		}
	}
	if (!whole)
		return n;
	/* All it was built on; whoever goes back to an older one begins another line. */
	for (uint32_t i = bed->complete + 1; i-- > 0;)
		if (bed->in_line[i])
			line[manifest.line.len++] = (struct checkpoint_entry){.epoch = epoch(i)};
	bed->in_line[n] = true;
	assert_int_equal(bed->store->ops->put_manifest(bed->store, &manifest, &existed, &error), RESULT_OK);
	for (uint32_t i = 0; i < bed->actors_len; i++)
		state_complete(bed->actors[i], epoch(n));
	bed->complete = n;
	return n;
}

void change_some(struct bed *bed, uint32_t some)
{
	for (uint32_t i = 0; i < some; i++)
		change(bed, below(bed, KEYS));
}

static bool is_settled(const struct bed *bed)
{
	for (uint32_t i = 0; i < bed->actors_len; i++)
		if (state_size(bed->actors[i]).changed > 0)
			return false;
	return true;
}

void settle_for(struct bed *bed, int ms)
{
	struct state_event event;
	for (int i = 0; i < ms && !is_settled(bed); i++) {
		for (uint32_t k = 0; k < bed->actors_len; k++)
			assert_int_equal(state_poll(bed->actors[k], &event), STATE_NOTHING);
		(void)poll(NULL, 0, 1);
	}
}

void settle(struct bed *bed)
{
	settle_for(bed, PATIENCE_MS);
	assert_true(is_settled(bed));
}

int open_bed(void **state)
{
	struct bed *bed = memory_new(sizeof *bed);
	struct error error;
	(void)snprintf(bed->folder, sizeof bed->folder, "/tmp/sluice-state-XXXXXX");
	assert_non_null(mkdtemp(bed->folder));
	(void)snprintf(bed->checkpoints, sizeof bed->checkpoints, "%s/checkpoints", bed->folder);
	(void)snprintf(bed->cache, sizeof bed->cache, "%s/cache", bed->folder);
	assert_int_equal(checkpoint_folder_open(&bed->store, bed->checkpoints, "shop/totals", &error), RESULT_OK);
	bed->in_line[0] = true;
	bed->time_ms = BEGIN_MS;
	bed->generation_ms = INT64_MAX;
	bed->seed = 7;
	*state = bed;
	return 0;
}

int close_bed(void **state)
{
	struct bed *bed = *state;
	close_actors(bed);
	bed->store->ops->close(bed->store);
	folder_remove(bed->folder);
	arena_fini(&bed->arena);
	free(bed);
	return 0;
}
