/* services/coordinator/report.c - what people are told; see coordinator.h. */
#include <inttypes.h>
#include <string.h>

#include "common/base/mutant.h"
#include "common/base/timestamp.h"
#include "services/coordinator/coordinator_state.h"

static const char *actors_of(const struct coordinator *coordinator, const char *worker, struct arena *arena)
{
	struct buffer text = {0};
	char name[ACTOR_NAME_MAX];
	for (uint32_t i = 0; i < coordinator->places_len; i++)
		if (strcmp(coordinator->places[i].worker, worker) == 0)
			buffer_printf(
			    &text, "%s%s", text.len ? " " : "", actor_name(coordinator->places[i].actor, name));
	const char *copy = arena_clone(arena, text.data, text.len);
	buffer_fini(&text);
	return copy;
}

static const char *verdict_of(const struct coordinator *coordinator, struct arena *arena)
{
	struct buffer text = {0};
	if (coordinator->fruitless >= FRUITLESS_MANY)
		buffer_printf(&text, "%" PRIu64 " attempts in a row got nowhere; the last one: %s",
		    coordinator->fruitless, coordinator->last_error);
	const char *copy = arena_clone(arena, text.data, text.len);
	buffer_fini(&text);
	return copy;
}

/* With its instant where the job runs again: an old error is not to be taken for one of now. */
static const char *last_error_of(const struct coordinator *coordinator, struct arena *arena)
{
	struct buffer text = {0};
	char at[TIMESTAMP_TEXT_MAX];
	buffer_append_text(&text, coordinator->last_error);
	(void)timestamp_print(coordinator->erred_us, at);
	if (text.len > 0 && coordinator->state == STATE_RUNNING && !MUTANT(error_undated))
		buffer_printf(&text, " (at %.19sZ)", at);
	const char *copy = arena_clone(arena, text.data, text.len);
	buffer_fini(&text);
	return copy;
}

/* The first of those who do not know says since when the whole is not known. */
static int64_t ends_unknown_us(const struct coordinator *coordinator)
{
	int64_t since_us = 0;
	for (uint32_t i = 0; i < coordinator->topology.ingest; i++) {
		const struct ends_said *said = &coordinator->ends_said[i];
		if (!said->known && (since_us == 0 || said->since_us < since_us))
			since_us = said->since_us;
	}
	return since_us;
}

void coordinator_report(const struct coordinator *coordinator, struct arena *arena, struct frame_status_report *report)
{
	const struct registry *registry = &coordinator->registry;
	const struct checkpoint_keeper *keeper = &coordinator->checkpoints;
	*report = (struct frame_status_report){
	    .job = coordinator->config.job,
	    .jobs = coordinator->config.job,
	    .state = deployment_state_name(coordinator->state),
	    .now_us = clock_realtime_us(),
	    .last_error = last_error_of(coordinator, arena),
	    .epoch = coordinator->committed,
	    .live = coordinator->state == STATE_RUNNING && coordinator->live,
	    .cut = coordinator->cut,
	    .ends = coordinator->ends,
	    .ends_unknown_us = ends_unknown_us(coordinator),
	    .counters = coordinator->counters,
	    .in_flight = coordinator->pacing.injected - coordinator->pacing.committed,
	    .commit_us = coordinator->pacing.commit_us,
	    .records_per_second = coordinator->rate,
	    .attempts_ended = coordinator->attempts_ended,
	    .committed_us = coordinator->committed_us,
	    .checkpoint_us = keeper->completed_us,
	    .checkpoint_took_us = keeper->took_us,
	    .checkpoint_bytes = keeper->added_bytes,
	    .checkpoints_completed = keeper->completed,
	    .checkpoints_failed = keeper->failed,
	    .restored = coordinator->restored,
	    .verdict = verdict_of(coordinator, arena),
	    .wish = keeper->wished,
	    .wish_answered = keeper->answered,
	    .wish_granted = keeper->granted,
	};
	waits_report(coordinator, arena, &report->waits);
	if (keeper->kept_len > 0)
		report->checkpoint = checkpoint_keeper_base(keeper)->epoch;
	for (uint32_t i = 0; keeper->kept_len > 0 && i < checkpoint_keeper_base(keeper)->files.len; i++)
		report->checkpoint_whole_bytes += checkpoint_keeper_base(keeper)->files.entries[i].bytes;
	report->workers.entries = arena_take(arena, registry->len * sizeof *report->workers.entries);
	for (uint32_t i = 0; i < registry->len; i++)
		report->workers.entries[report->workers.len++] = (struct worker_entry){
		    .worker = registry->members[i].name,
		    .process = (uint32_t)registry->members[i].process,
		    .pid = registry->members[i].pid,
		    .actors = actors_of(coordinator, registry->members[i].name, arena),
		};
}
