/* services/coordinator/coordinator_time.c - what happens because time has passed: a deployment begins, epochs and checkpoints are
 * injected, what takes too long ends the attempt. See coordinator_state.h. */
#include <inttypes.h>

#include "common/base/crash_point.h"
#include "common/base/mutant.h"
#include "services/coordinator/coordinator_state.h"

enum {
	QUIET_US = 2000000, /* without a new process: go on with those that are there */
	STAGE_US = 15000000, /* deploying and connecting need nobody from outside */
	STUCK_US = 60000000, /* an epoch under way for so long, and nobody waits for anything */
	TELL_COMMITTED_US = 5000000, /* how often ingests hear what is committed, for lag tools */
	RATE_US = 2000000, /* records per second are measured over */
};

/* At first: everybody who is expected, or somebody for every role and two quiet seconds. Later: somebody for every role,
 * once all who were told to start afresh are back. */
static uint64_t gathered_us(const struct coordinator *coordinator)
{
	const struct registry *registry = &coordinator->registry;
	uint32_t ingest = registry_count(registry, PROCESS_INGEST);
	uint32_t aggregators = registry_count(registry, PROCESS_AGGREGATOR);
	bool needed = topology_needs(&coordinator->topology, PROCESS_AGGREGATOR);
	if (ingest == 0 || (needed && aggregators == 0) || registry_count(registry, PROCESS_SINK) == 0)
		return 0;
	const struct coordinator_config *config = &coordinator->config;
	bool expected = config->expected_ingest > 0 && config->expected_aggregators > 0 &&
	                ingest >= config->expected_ingest && aggregators >= config->expected_aggregators;
	/* Whoever was told to start afresh would be left out, and actors be moved to it again behind the next checkpoint. */
	bool complete = (expected || coordinator->attempts_ended > 0) && registry_leaving(registry) == 0;
	uint64_t at = complete ? coordinator->registered_us : coordinator->registered_us + QUIET_US;
	return at > coordinator->earliest_us ? at : coordinator->earliest_us;
}

/* An epoch may take as long as the database is away (an ingest that waits for Kafka cuts all the same), but a checkpoint is not
 * begun while the sink waits for its database: its epoch could not be committed. */
static bool checkpoint_due(const struct coordinator *coordinator, uint64_t *wake_us)
{
	const struct pacing *pacing = &coordinator->pacing;
	return coordinator->topology.plan->has_checkpoints && !sink_waits(coordinator) &&
	       pacing->injected - pacing->committed < pacing->max_in_flight &&
	       checkpoint_keeper_due(&coordinator->checkpoints, coordinator->now_us, wake_us);
}

static void inject(struct coordinator *coordinator)
{
	uint64_t ignored;
	enum pace pace = pacing_next(&coordinator->pacing, coordinator->now_us, &ignored);
	bool checkpoint = checkpoint_due(coordinator, &ignored);
	if (pace == PACE_WAIT && !checkpoint)
		return;
	struct frame_inject order = {
	    .epoch = {coordinator->attempt,
	        pacing_inject(&coordinator->pacing, pace == PACE_LIFT, coordinator->now_us)},
	    .base = coordinator->topology.plan->has_checkpoints
	                ? checkpoint_keeper_base(&coordinator->checkpoints)->epoch
	                : (struct epoch_id){0},
	    .checkpoint = checkpoint,
	    .lift = pace == PACE_LIFT,
	    .stop = checkpoint && coordinator->stop_wish != 0,
	};
	checkpoint_keeper_injected(&coordinator->checkpoints, order.epoch, checkpoint, coordinator->now_us);
	command_role(coordinator, ROLE_INGEST, FRAME_INJECT, &order);
	if (checkpoint)
		CRASH_POINT(checkpoint_injected);
	if (order.lift)
		CRASH_POINT(lift_injected);
}

static void watch_rate(struct coordinator *coordinator)
{
	uint64_t consumed = coordinator->counters.n[COUNTER_CONSUMED];
	uint64_t passed = coordinator->now_us - coordinator->rate_us;
	if (passed < RATE_US)
		return;
	coordinator->rate = (consumed - coordinator->rate_from) * 1000000 / passed;
	coordinator->rate_from = consumed;
	coordinator->rate_us = coordinator->now_us;
}

static void tell_committed(struct coordinator *coordinator)
{
	if (!coordinator->told_anew || coordinator->now_us < coordinator->told_us + TELL_COMMITTED_US)
		return;
	coordinator->told_us = coordinator->now_us;
	coordinator->told_anew = false;
	struct frame_committed committed = {.epoch = coordinator->committed, .live = true, .cut = coordinator->cut};
	command_role(coordinator, ROLE_INGEST, FRAME_COMMITTED, &committed);
}

/* Behind a silent replay only: before, a checkpoint lies in front of the frontier. */
static void wish_for_last(struct coordinator *coordinator)
{
	if (coordinator->stopping && coordinator->stop_wish == 0 && (coordinator->live || MUTANT(stop_in_silence)) &&
	    !MUTANT(stop_without_checkpoint))
		coordinator->stop_wish = checkpoint_keeper_wish(&coordinator->checkpoints);
}

static void tick_running(struct coordinator *coordinator)
{
	const struct pacing *pacing = &coordinator->pacing;
	on_keeper_news(coordinator, checkpoint_keeper_tick(&coordinator->checkpoints, coordinator->now_us));
	if (coordinator->state != STATE_RUNNING)
		return;
	if (coordinator->rebalance && !coordinator->topology.plan->has_checkpoints) {
		move_actors(coordinator);
		return;
	}
	wish_for_last(coordinator);
	inject(coordinator);
	watch_rate(coordinator);
	tell_committed(coordinator);
	if (pacing->injected > pacing->committed && coordinator->now_us >= pacing->oldest_us + STUCK_US &&
	    !sink_waits(coordinator))
		broken(coordinator, "epoch %" PRIu64 ".%" PRIu64 " has been under way for %d seconds",
		    coordinator->attempt, pacing->committed + 1, STUCK_US / 1000000);
}

static bool is_alone(const struct coordinator *coordinator)
{
	return coordinator->stopping && coordinator->registry.len == 0;
}

void coordinator_on_tick(struct coordinator *coordinator, uint64_t now_us)
{
	enter(coordinator, now_us);
	waits_tell(coordinator);
	uint64_t gathered = gathered_us(coordinator);
	switch (coordinator->state) {
	case STATE_GATHERING:
		if (is_alone(coordinator))
			end_well(coordinator, "told to end, and nobody is left who could take a last checkpoint");
		else if (gathered != 0 && now_us >= gathered)
			happen(coordinator, EVENT_GATHERED);
		break;
	case STATE_DEPLOYING:
	case STATE_CONNECTING:
		if (now_us >= coordinator->work_us + STAGE_US)
			broken(coordinator, "%s took more than %d seconds", deployment_state_name(coordinator->state),
			    STAGE_US / 1000000);
		break;
	case STATE_RUNNING:
		tick_running(coordinator);
		break;
	case STATE_FENCING:
	case STATE_DESCRIBING:
	case STATE_CHOOSING:
	case STATE_CONFIRMING:
	case STATE_STOPPED:
	case STATES:
		break;
	}
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a == 0 ? b : b == 0 || a < b ? a : b;
}

static uint64_t checkpoint_wake_us(const struct coordinator *coordinator)
{
	uint64_t wake_us = 0;
	if (coordinator->checkpoints.state != CHECKPOINT_IDLE)
		return checkpoint_keeper_wake_us(&coordinator->checkpoints, coordinator->now_us);
	return checkpoint_due(coordinator, &wake_us) ? coordinator->now_us : wake_us;
}

static uint64_t state_wake_us(const struct coordinator *coordinator)
{
	const struct pacing *pacing = &coordinator->pacing;
	uint64_t wake = 0;
	switch (coordinator->state) {
	case STATE_GATHERING:
		return is_alone(coordinator) ? coordinator->now_us : gathered_us(coordinator);
	case STATE_DEPLOYING:
	case STATE_CONNECTING:
		return coordinator->work_us + STAGE_US;
	case STATE_RUNNING:
		/* An event may have moved the time past it: then nobody has looked. */
		if (pacing_next(pacing, coordinator->now_us, &wake) != PACE_WAIT && !MUTANT(pace_forgotten))
			return coordinator->now_us;
		wake = sooner(wake, checkpoint_wake_us(coordinator));
		if (pacing->injected > pacing->committed && !sink_waits(coordinator))
			wake = sooner(wake, pacing->oldest_us + STUCK_US);
		if (coordinator->rate != 0 || coordinator->told_anew)
			wake = sooner(wake, coordinator->rate_us + RATE_US);
		if (coordinator->told_anew)
			wake = sooner(wake, coordinator->told_us + TELL_COMMITTED_US);
		return wake;
	case STATE_FENCING:
	case STATE_DESCRIBING:
	case STATE_CHOOSING:
	case STATE_CONFIRMING:
	case STATE_STOPPED:
	case STATES:
		break;
	}
	return 0;
}

uint64_t coordinator_wake_us(const struct coordinator *coordinator)
{
	return sooner(state_wake_us(coordinator), waits_wake_us(coordinator));
}
