#include "services/coordinator/checkpoints_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/crash_point.h"
#include "common/base/log.h"
#include "common/base/mutant.h"
#include "common/base/timestamp.h"

enum {
	LOOK_AGAIN_US = 1000000,
	DOUBLED_MOST = 5, /* 32 times checkpoint.timeout */
	WHY_MAX = sizeof((struct checkpoint_keeper *)0)->why
};

void checkpoint_keeper_start(struct checkpoint_keeper *keeper, uint64_t now_us)
{
	keeper->due_us = now_us + keeper->config.pipeline->checkpoint.interval_us;
	keeper->records = 0;
	keeper->changed = false;
	keeper->failed_in_row = 0;
	keeper->retiring = false;
}

/* What changed lies in the actors' memory. But one that failed is not tried again at once. */
static bool is_large(const struct checkpoint_keeper *keeper)
{
	return keeper->records >= keeper->config.pipeline->checkpoint.max_records && keeper->failed_in_row == 0;
}

uint64_t checkpoint_keeper_wish(struct checkpoint_keeper *keeper)
{
	return ++keeper->wished;
}

bool checkpoint_keeper_due(const struct checkpoint_keeper *keeper, uint64_t now_us, uint64_t *wake_us)
{
	uint64_t due_us = is_large(keeper) ? keeper->earliest_us : keeper->due_us;
	*wake_us = 0;
	if (keeper->state != CHECKPOINT_IDLE)
		return false;
	if (keeper->wished > keeper->answered)
		return true;
	if (keeper->changed && now_us < due_us)
		*wake_us = due_us;
	return keeper->changed && now_us >= due_us;
}

static bool all_there(const struct checkpoint_keeper *keeper)
{
	const struct topology *topology = keeper->config.topology;
	for (uint32_t i = 0; i < topology_actors(topology); i++) {
		enum role role = actor_role(topology_actor(topology, i));
		if ((role == ROLE_DEDUP || role == ROLE_ROLLUP) && !keeper->acked[i])
			return false;
	}
	return keeper->committed || MUTANT(manifest_first);
}

/* Whoever wrote the files may have another folder than we, or somebody has emptied it: what we do not see is not complete. */
static enum checkpoint_event look_at_files(struct checkpoint_keeper *keeper, char why[WHY_MAX])
{
	struct checkpoint_store *store = keeper->config.store;
	struct error error = {0};
	bool whole = false;
	if (MUTANT(files_not_seen))
		return CHECKPOINT_EVENT_ALL_THERE;
	enum result result = store->ops->check_files(store, &keeper->files, &whole, &error);
	keeper->unseen = result == RESULT_OK && !whole;
	if (result == RESULT_OK && whole)
		return CHECKPOINT_EVENT_ALL_THERE;
	(void)snprintf(why, WHY_MAX,
	    "its files were written, but cannot be seen in the coordinator's checkpoint folder: %.400s", error.text);
	return CHECKPOINT_EVENT_DECLINED;
}

static enum checkpoint_event store_manifest(struct checkpoint_keeper *keeper)
{
	struct checkpoint_store *store = keeper->config.store;
	struct frame_manifest manifest = {
	    .job = keeper->config.job,
	    .epoch = keeper->epoch,
	    .cut = keeper->cut,
	    .fingerprint = keeper->config.pipeline->fingerprint,
	    .key_groups = keeper->config.pipeline->key_groups,
	    .created_us = clock_realtime_us(),
	    .line = checkpoint_line_of_next(keeper),
	    .files = keeper->files,
	};
	struct error error = {0};
	bool existed;
	enum result result = store->ops->put_manifest(store, &manifest, &existed, &error);
	free(manifest.line.entries);
	if (result == RESULT_OK || MUTANT(manifest_unsure))
		return CHECKPOINT_EVENT_STORED;
	log_warn("the manifest of checkpoint %" PRIu64 ".%" PRIu64 " may not have been written: %s",
	    keeper->epoch.attempt, keeper->epoch.n, error.text);
	return CHECKPOINT_EVENT_UNANSWERED;
}

static enum checkpoint_event look_again(const struct checkpoint_keeper *keeper)
{
	struct checkpoint_store *store = keeper->config.store;
	struct frame_manifest manifest;
	struct arena arena = {0};
	struct error error;
	bool found = false;
	enum result result = store->ops->get_manifest(store, keeper->epoch, &arena, &manifest, &found, &error);
	arena_fini(&arena);
	if (result == RESULT_RETRY || result == RESULT_CONFIG)
		return CHECKPOINT_EVENT_UNANSWERED;
	return result == RESULT_OK && found ? CHECKPOINT_EVENT_STORED : CHECKPOINT_EVENT_MISSING;
}

static void publish(struct checkpoint_keeper *keeper, uint64_t now_us)
{
	const struct pipeline *pipeline = keeper->config.pipeline;
	keeper->added_bytes = 0;
	for (uint32_t i = 0; i < keeper->files.len; i++)
		if (epoch_equal(keeper->files.entries[i].written, keeper->epoch))
			keeper->added_bytes += keeper->files.entries[i].bytes;
	struct checkpoints line = checkpoint_line_of_next(keeper);
	checkpoint_keep(keeper, keeper->kept_len, keeper->epoch, &keeper->cut, &keeper->files, &line);
	free(line.entries);
	keeper->took_us = now_us - keeper->begun_us;
	keeper->completed++;
	keeper->answered = keeper->granted = MUTANT(wish_answered_early) ? keeper->wished : keeper->carried;
	keeper->failed_in_row = keeper->doubled = 0;
	keeper->completed_us = clock_realtime_us();
	keeper->records = 0; /* since it was injected a few more: the next commit tells */
	keeper->earliest_us = now_us + pipeline->checkpoint.min_pause_us;
	keeper->due_us = keeper->begun_us + pipeline->checkpoint.interval_us;
	if (keeper->due_us < keeper->earliest_us)
		keeper->due_us = keeper->earliest_us;
	CRASH_POINT(checkpoint_published);
	log_info("checkpoint %" PRIu64 ".%" PRIu64 " is complete: %u files, %" PRIu64 " bytes new, %" PRIu64 " ms",
	    keeper->epoch.attempt, keeper->epoch.n, keeper->files.len, keeper->added_bytes, keeper->took_us / 1000);
}

static void abandon(struct checkpoint_keeper *keeper, const char *why, uint64_t now_us)
{
	const struct pipeline *pipeline = keeper->config.pipeline;
	(void)snprintf(keeper->why, sizeof keeper->why, "%s", why);
	keeper->failed++;
	keeper->answered = MUTANT(wish_answered_early) ? keeper->wished : keeper->carried;
	if (keeper->failed_in_row == 0)
		keeper->failing_us = now_us;
	keeper->failed_in_row++;
	keeper->changed = true;
	keeper->due_us = now_us + pipeline->checkpoint.interval_us;
	log_warn("checkpoint %" PRIu64 ".%" PRIu64 " is given up: %s", keeper->epoch.attempt, keeper->epoch.n, why);
}

static enum keeper_news happen(
    struct checkpoint_keeper *keeper, enum checkpoint_event event, const char *why, uint64_t now_us)
{
	const struct checkpoint_transition *transition = checkpoint_transition(keeper->state, event);
	keeper->state = transition->next;
	switch (transition->action) {
	case CHECKPOINT_NOTHING:
	case CHECKPOINT_FORGET:
		return KEEPER_NOTHING;
	case CHECKPOINT_STORE:
		return happen(keeper, store_manifest(keeper), why, now_us);
	case CHECKPOINT_PUBLISH:
		publish(keeper, now_us);
		return KEEPER_COMPLETE;
	case CHECKPOINT_ABANDON:
		keeper->expired = event == CHECKPOINT_EVENT_EXPIRED;
		abandon(keeper, why, now_us);
		return KEEPER_ABANDONED;
	}
	return KEEPER_NOTHING;
}

void checkpoint_keeper_stop(struct checkpoint_keeper *keeper)
{
	(void)happen(keeper, CHECKPOINT_EVENT_OVER, "the attempt is over", 0);
}

void checkpoint_keeper_injected(
    struct checkpoint_keeper *keeper, struct epoch_id epoch, bool checkpoint, uint64_t now_us)
{
	keeper->changed = !checkpoint;
	if (!checkpoint)
		return;
	(void)happen(keeper, CHECKPOINT_EVENT_INJECTED, "", now_us);
	/* Its epoch may be committed, and it be named, long after it was given up: to be retired then. */
	if (!MUTANT(given_up_unnamed))
		checkpoint_name(keeper, keeper->named_len, epoch);
	keeper->carried = keeper->wished;
	keeper->epoch = epoch;
	keeper->begun_us = now_us;
	keeper->committed = false;
	keeper->cut.len = 0;
	keeper->files.len = 0;
	arena_clear(&keeper->arena);
	memset(keeper->acked, 0, topology_actors(keeper->config.topology) * sizeof *keeper->acked);
}

static uint32_t place_of(const struct topology *topology, uint32_t actor)
{
	uint32_t place = 0;
	while (place < topology_actors(topology) && topology_actor(topology, place) != actor)
		place++;
	return place;
}

static void add_files(struct checkpoint_keeper *keeper, const struct files *files)
{
	if (keeper->files.len + files->len > keeper->files_capacity) {
		keeper->files_capacity = (keeper->files.len + files->len) * 2;
		keeper->files.entries =
		    memory_resize(keeper->files.entries, keeper->files_capacity, sizeof *keeper->files.entries);
	}
	for (uint32_t i = 0; i < files->len; i++) {
		struct file_entry *entry = &keeper->files.entries[keeper->files.len++];
		*entry = files->entries[i];
		entry->name = arena_clone(&keeper->arena, entry->name, strlen(entry->name));
	}
}

static bool is_under_way(const struct checkpoint_keeper *keeper, struct epoch_id epoch)
{
	return keeper->state == CHECKPOINT_WRITING && epoch_equal(keeper->epoch, epoch);
}

static enum keeper_news when_all_there(struct checkpoint_keeper *keeper, uint64_t now_us)
{
	char why[WHY_MAX] = "";
	if (!all_there(keeper))
		return KEEPER_NOTHING;
	enum checkpoint_event event = look_at_files(keeper, why);
	return happen(keeper, event, why, now_us);
}

enum keeper_news checkpoint_keeper_written(
    struct checkpoint_keeper *keeper, const struct frame_snapshot_done *done, uint64_t now_us)
{
	char why[sizeof keeper->why], actor[ACTOR_NAME_MAX];
	uint32_t place = place_of(keeper->config.topology, (uint32_t)done->actor);
	if (!is_under_way(keeper, done->checkpoint) || place >= topology_actors(keeper->config.topology) ||
	    keeper->acked[place])
		return KEEPER_NOTHING;
	if (done->failure[0] != '\0') {
		(void)snprintf(why, sizeof why, "%s: %s", actor_name((uint32_t)done->actor, actor), done->failure);
		return happen(keeper, CHECKPOINT_EVENT_DECLINED, why, now_us);
	}
	keeper->acked[place] = true;
	add_files(keeper, &done->files);
	return when_all_there(keeper, now_us);
}

enum keeper_news checkpoint_keeper_committed(
    struct checkpoint_keeper *keeper, struct epoch_id epoch, const struct cut *at, uint64_t now_us)
{
	keeper->records = cut_distance(&checkpoint_keeper_base(keeper)->cut, at);
	if (!epoch_equal(keeper->epoch, epoch) || keeper->committed)
		return KEEPER_NOTHING;
	keeper->committed = true;
	if (!is_under_way(keeper, epoch))
		return KEEPER_NOTHING;
	cut_copy(&keeper->cut, at);
	return when_all_there(keeper, now_us);
}

void checkpoint_keeper_be_patient(struct checkpoint_keeper *keeper)
{
	if (keeper->expired && keeper->doubled < DOUBLED_MOST && !MUTANT(patience_forgotten))
		keeper->doubled++;
}

static uint64_t timeout_us(const struct checkpoint_keeper *keeper)
{
	return keeper->config.pipeline->checkpoint.timeout_us << keeper->doubled;
}

enum keeper_news checkpoint_keeper_tick(struct checkpoint_keeper *keeper, uint64_t now_us)
{
	char why[sizeof keeper->why];
	if (keeper->state == CHECKPOINT_UNCERTAIN && now_us >= keeper->due_us) {
		keeper->due_us = now_us + LOOK_AGAIN_US;
		return happen(keeper, look_again(keeper), "its manifest could not be written", now_us);
	}
	if (keeper->state != CHECKPOINT_WRITING || now_us < keeper->begun_us + timeout_us(keeper))
		return KEEPER_NOTHING;
	(void)snprintf(why, sizeof why, "it took more than %" PRIu64 " ms (%s)", timeout_us(keeper) / 1000,
	    keeper->committed ? "an actor is still writing its state" : "its epoch is not committed");
	return happen(keeper, CHECKPOINT_EVENT_EXPIRED, why, now_us);
}

uint64_t checkpoint_keeper_wake_us(const struct checkpoint_keeper *keeper, uint64_t now_us)
{
	uint64_t wake_us = 0;
	switch (keeper->state) {
	case CHECKPOINT_IDLE:
		return checkpoint_keeper_due(keeper, now_us, &wake_us) ? now_us : wake_us;
	case CHECKPOINT_WRITING:
		return keeper->begun_us + timeout_us(keeper);
	case CHECKPOINT_UNCERTAIN:
		return keeper->due_us;
	case CHECKPOINT_STATES_LEN:
		break;
	}
	return 0;
}
