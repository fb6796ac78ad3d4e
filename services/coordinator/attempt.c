#include "services/coordinator/coordinator_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/crash_point.h"
#include "common/base/key_group.h"
#include "common/base/log.h"
#include "common/base/mutant.h"
#include "common/base/timestamp.h"
#include "services/coordinator/remembered.h"

enum {
	BACKOFF_FIRST_US = 100000, /* after the second attempt in a row that got nowhere */
	BACKOFF_MOST_US = 10000000,
	DECISIONS_PER_PAGE = 20000, /* in one frame */
};

/* --- small things -------------------------------------------------------------------------------------------------- */

static void command(struct coordinator *coordinator, const char *worker, enum frame_kind kind, const void *body)
{
	struct coordinator_port *port = coordinator->config.port;
	port->command(port, worker, coordinator->attempt, kind, body);
}

static const char *worker_of(const struct coordinator *coordinator, uint32_t actor)
{
	for (uint32_t i = 0; i < coordinator->places_len; i++)
		if (coordinator->places[i].actor == actor)
			return coordinator->places[i].worker;
	panic("actor %u has no place", actor);
}

bool takes_part(const struct coordinator *coordinator, const char *worker)
{
	for (uint32_t i = 0; i < coordinator->places_len; i++)
		if (strcmp(coordinator->places[i].worker, worker) == 0)
			return true;
	return false;
}

bool hosts_role(const struct coordinator *coordinator, const char *worker, enum role role)
{
	for (uint32_t i = 0; i < coordinator->places_len; i++)
		if (actor_role(coordinator->places[i].actor) == role &&
		    strcmp(coordinator->places[i].worker, worker) == 0)
			return true;
	return false;
}

/* Every process that takes part, once. */
static void command_all(struct coordinator *coordinator, enum frame_kind kind, const void *body)
{
	for (uint32_t i = 0; i < coordinator->registry.len; i++)
		if (takes_part(coordinator, coordinator->registry.members[i].name))
			command(coordinator, coordinator->registry.members[i].name, kind, body);
}

void command_role(struct coordinator *coordinator, enum role role, enum frame_kind kind, const void *body)
{
	for (uint32_t i = 0; i < coordinator->registry.len; i++)
		if (hosts_role(coordinator, coordinator->registry.members[i].name, role))
			command(coordinator, coordinator->registry.members[i].name, kind, body);
}

void command_stateful(struct coordinator *coordinator, enum frame_kind kind, const void *body)
{
	for (uint32_t i = 0; i < coordinator->registry.len; i++) {
		const char *worker = coordinator->registry.members[i].name;
		if (hosts_role(coordinator, worker, ROLE_DEDUP) || hosts_role(coordinator, worker, ROLE_ROLLUP))
			command(coordinator, worker, kind, body);
	}
}

void command_writer(struct coordinator *coordinator, enum frame_kind kind, const void *body)
{
	command_role(coordinator, ROLE_WRITER, kind, body);
}

void stop_worker(struct coordinator *coordinator, const char *worker, int code, const char *why)
{
	coordinator->config.port->command(
	    coordinator->config.port, worker, 0, FRAME_STOP, &(struct frame_stop){.code = (uint64_t)code, .text = why});
}

void forget_ends(struct coordinator *coordinator)
{
	for (uint32_t i = 0; i < coordinator->topology.ingest; i++)
		if (coordinator->ends_said[i].known)
			coordinator->ends_said[i] = (struct ends_said){false, clock_realtime_us()};
}

void stop_all(struct coordinator *coordinator, int code, const char *why)
{
	forget_ends(coordinator);
	for (uint32_t i = 0; i < coordinator->registry.len; i++)
		stop_worker(coordinator, coordinator->registry.members[i].name, code, why);
	coordinator->config.port->stop(coordinator->config.port, code, why);
}

void forget_attempt(struct coordinator *coordinator)
{
	for (uint32_t i = 0; i < coordinator->places_len; i++)
		free((char *)coordinator->places[i].worker);
	coordinator->places_len = 0;
	for (uint32_t i = 0; i < coordinator->decisions_len; i++)
		buffer_fini(&coordinator->decisions[i]);
	coordinator->decisions_len = 0;
	for (uint32_t i = 0; i < coordinator->addresses_len; i++)
		free((char *)coordinator->addresses[i].url);
	coordinator->addresses_len = 0;
	for (uint32_t i = 0; i < coordinator->registry.len; i++)
		coordinator->registry.members[i].deployed = coordinator->registry.members[i].ready = false;
	coordinator->live = coordinator->excused = coordinator->rebalance = false;
	coordinator->stop_wish = 0;
	forget_writers(coordinator);
	forget_ends(coordinator);
	coordinator->remembered = coordinator->found = (struct facts){0};
	coordinator->marks.len = 0;
	arena_clear(&coordinator->memory);
	checkpoint_keeper_stop(&coordinator->checkpoints);
}

void config_error(struct coordinator *coordinator, const char *text)
{
	(void)snprintf(coordinator->last_error, sizeof coordinator->last_error, "%s", text);
	happen(coordinator, EVENT_CONFIG);
}

/* Whoever says so has read the database some time ago. A process that was stopped meanwhile may speak of a history that another
 * coordinator has long gone on from; if the fence is its own still, nobody has. */
void refused(struct coordinator *coordinator, const char *text)
{
	(void)snprintf(coordinator->last_error, sizeof coordinator->last_error, "%s", text);
	happen(coordinator, MUTANT(stop_unconfirmed) ? EVENT_CONFIG : EVENT_REFUSED);
}

void broken(struct coordinator *coordinator, const char *format, ...)
{
	if (coordinator->state == STATE_GATHERING || coordinator->state == STATE_STOPPED)
		return;
	va_list args;
	va_start(args, format);
	(void)vsnprintf(coordinator->last_error, sizeof coordinator->last_error, format, args);
	va_end(args);
	happen(coordinator, EVENT_BROKEN);
}

/* A port's error: CONFIG stops the job, anything else ends the attempt. */
void on_error(struct coordinator *coordinator, const struct error *error)
{
	if (error->code == RESULT_CONFIG || error->code == RESULT_CORRUPT)
		refused(coordinator, error->text);
	else
		broken(coordinator, "%s", error->text);
}

/* --- actions, in the order of an attempt's life -------------------------------------------------------------------- */

void prepare_writer(struct coordinator *coordinator, uint32_t number)
{
	uint32_t writer = actor_id(ROLE_WRITER, number);
	command(coordinator, worker_of(coordinator, writer), FRAME_PREPARE, &(struct frame_prepare){.actor = writer});
}

static void act_fence(struct coordinator *coordinator)
{
	struct checkpoint_store *store = coordinator->config.store;
	struct error error = {0};
	forget_attempt(coordinator);
	registry_sweep(&coordinator->registry);
	CRASH_POINT(attempt_untaken);
	if (store->ops->take_attempt(store, coordinator->at_least, &coordinator->attempt, &error) != RESULT_OK) {
		on_error(coordinator, &error);
		return;
	}
	CRASH_POINT(attempt_taken);
	if (MUTANT(attempt_not_monotone))
		coordinator->attempt = 1;
	coordinator->at_least = coordinator->attempt + 1;
	log_set_job(coordinator->config.job, coordinator->attempt);
	coordinator->places_len = topology_actors(&coordinator->topology);
	CHECK(registry_place(&coordinator->registry, &coordinator->topology, coordinator->places));
	for (uint32_t i = 0; i < coordinator->places_len; i++)
		coordinator->places[i].worker = text_clone(coordinator->places[i].worker);
	log_info("attempt %" PRIu64 " begins with %u processes", coordinator->attempt, coordinator->registry.len);
	/* Writer 0 last, see on_fenced. */
	for (uint32_t i = coordinator->topology.writers; i-- > 0;)
		if (i > 0 || coordinator->topology.writers == 1 || MUTANT(fenced_in_any_order))
			prepare_writer(coordinator, i);
}

/* Another meaning may count from the frontier on only: what a replay reads was judged by the old one. Where totals only get more
 * digits, both judge alike. */
static enum result check_change(
    const struct coordinator *coordinator, const struct kept_checkpoint *base, struct error *error)
{
	if (coordinator->changed[0] == '\0' || (coordinator->fenced.replayable && !MUTANT(digits_not_replayed)) ||
	    cut_equal(&base->cut, &coordinator->fenced.cut) || MUTANT(meaning_unclean))
		return RESULT_OK;
	return error_stop(error, STOP_NOT_STOPPED_CLEANLY,
	    "the pipeline file does not mean what it meant (%s), and the job was not stopped cleanly: checkpoint "
	    "%" PRIu64 ".%" PRIu64 " lies before the frontier",
	    coordinator->changed, base->epoch.attempt, base->epoch.n);
}

/* Of the checkpoint that is restored; the frontier's are there already. */
static void add_marks(struct coordinator *coordinator, const struct checkpoints *named, struct epoch_id base)
{
	for (uint32_t i = 0; i < named->len && !MUTANT(marks_of_frontier_only); i++)
		for (uint32_t k = 0; k < named->entries[i].marks.len; k++)
			if (epoch_equal(named->entries[i].epoch, base))
				marks_add(&coordinator->marks, &named->entries[i].marks.entries[k]);
}

/* Which checkpoint is restored: the newest that the database names and the folder holds. */
static bool find_base(struct coordinator *coordinator, const struct checkpoints *named, struct error *error)
{
	bool found, passed_over;
	if (checkpoint_keeper_choose(&coordinator->checkpoints, named, &found, &passed_over, error) != RESULT_OK)
		return false;
	if (!found) {
		error_stop(error, STOP_NO_CHECKPOINT, "the database holds totals of job %s up to a cut, but %s",
		    coordinator->config.job,
		    named->len == 0 ? "names no checkpoint of it"
		                    : "the checkpoint folder knows none of its checkpoints");
		return false;
	}
	const struct kept_checkpoint *base = checkpoint_keeper_base(&coordinator->checkpoints);
	if (passed_over)
		log_warn("checkpoint %" PRIu64 ".%" PRIu64 " is restored: none that is newer can be",
		    base->epoch.attempt, base->epoch.n);
	cut_copy(&coordinator->base_cut, &base->cut);
	add_marks(coordinator, named, base->epoch);
	cut_copy(&coordinator->decided_from, MUTANT(decisions_from_frontier) ? &coordinator->fenced.cut : &base->cut);
	return check_change(coordinator, base, error) == RESULT_OK;
}

static void act_describe(struct coordinator *coordinator)
{
	struct error error = {0};
	if (coordinator->fenced.started && coordinator->topology.plan->has_checkpoints &&
	    !find_base(coordinator, &coordinator->fenced.checkpoints, &error)) {
		on_error(coordinator, &error);
		return;
	}
	uint32_t ingest = actor_id(ROLE_INGEST, 0);
	command(coordinator, worker_of(coordinator, ingest), FRAME_PREPARE,
	    &(struct frame_prepare){.actor = ingest, .marks = coordinator->marks});
}

/* What is restored and what the database holds are of one log, and of this one. */
static enum result check_cuts(const struct coordinator *coordinator, struct error *error)
{
	const struct cut *frontier = &coordinator->fenced.cut, *base = &coordinator->base_cut;
	for (uint32_t i = 0; i < frontier->len; i++) {
		uint32_t partition = frontier->entries[i].partition;
		if (partition >= coordinator->partitions)
			return error_stop(error, STOP_OTHER_LOG,
			    "topic %s has %u partitions, but the database was filled from partition %u too: the topic "
			    "was made anew",
			    coordinator->pipeline->source.topic, coordinator->partitions, partition);
	}
	for (uint32_t i = 0; i < base->len; i++) {
		uint32_t partition = base->entries[i].partition;
		if (base->entries[i].offset > cut_get(frontier, partition, 0))
			return error_stop(error, STOP_CHECKPOINT_AHEAD,
			    "the checkpoint to be restored lies ahead of the database in partition %u (offset %" PRId64
			    " behind %" PRId64 ")",
			    partition, base->entries[i].offset, cut_get(frontier, partition, 0));
	}
	return RESULT_OK;
}

/* What exactness rests on is as it was. */
static enum result check_facts(struct coordinator *coordinator, struct facts *remember, struct error *error)
{
	struct buffer start = {0};
	pipeline_print_start(coordinator->pipeline, &start);
	buffer_append(&start, "", 1);
	facts_add(&coordinator->found, &coordinator->memory, FACT_START, (const char *)start.data);
	buffer_fini(&start);
	facts_add(&coordinator->found, &coordinator->memory, FACT_ZONE_RULES, coordinator->config.zone_rules);
	return remembered_compare(&coordinator->remembered, &coordinator->found, remember, &coordinator->memory, error);
}

/* Every writer learns where the job begins: one whose key groups are not what they were begins there, too. */
static void choose_cut(struct coordinator *coordinator, const struct facts *remember)
{
	struct error error = {0};
	if (coordinator->fenced.started)
		cut_copy(&coordinator->base_cut, &coordinator->fenced.cut);
	cut_copy(&coordinator->fenced.cut, &coordinator->base_cut);
	coordinator->restored = (struct epoch_id){0};
	if (check_cuts(coordinator, &error) != RESULT_OK)
		on_error(coordinator, &error);
	else
		command_writer(coordinator, FRAME_SET_CUT,
		    &(struct frame_set_cut){.cut = coordinator->base_cut, .remember = *remember});
}

static void act_choose(struct coordinator *coordinator)
{
	struct error error = {0};
	struct facts remember;
	if (check_facts(coordinator, &remember, &error) != RESULT_OK) {
		on_error(coordinator, &error);
		return;
	}
	if (coordinator->topology.plan->own_frontiers) {
		choose_cut(coordinator, &remember);
		return;
	}
	if (!coordinator->fenced.started) {
		if (checkpoint_keeper_begin(&coordinator->checkpoints, &coordinator->base_cut, &error) != RESULT_OK) {
			on_error(coordinator, &error);
			return;
		}
		CRASH_POINT(begin_written);
		cut_copy(&coordinator->fenced.cut, &coordinator->base_cut);
		coordinator->restored = (struct epoch_id){0};
		command_writer(coordinator, FRAME_SET_CUT,
		    &(struct frame_set_cut){.cut = coordinator->base_cut, .remember = remember});
		return;
	}
	if (check_cuts(coordinator, &error) != RESULT_OK) {
		on_error(coordinator, &error);
		return;
	}
	coordinator->restored = checkpoint_keeper_base(&coordinator->checkpoints)->epoch;
	struct frame_choose choose = {.checkpoint = coordinator->restored, .remember = remember};
	if (coordinator->changed[0] != '\0') {
		/* Epochs are counted from 1, so nobody else has or gets this name. Manifest first: the database names nothing
		 * that is not there. */
		choose.renamed = epoch_of_choice(coordinator->attempt);
		if (checkpoint_keeper_rename(&coordinator->checkpoints, choose.renamed, &error) != RESULT_OK) {
			on_error(coordinator, &error);
			return;
		}
		log_info("the pipeline file means something else from here on: %s", coordinator->changed);
		coordinator->restored = choose.renamed;
	}
	if (!MUTANT(choice_unnoticed))
		coordinator->fenced.last = epoch_of_choice(coordinator->attempt);
	command_writer(coordinator, FRAME_CHOOSE, &choose);
	CRASH_POINT(choose_commanded);
}

static void act_deploy(struct coordinator *coordinator)
{
	struct frame_deploy deploy = {
	    .partitions = coordinator->partitions,
	    .base = coordinator->restored,
	    .base_cut = coordinator->base_cut,
	    .last = coordinator->fenced.last,
	    .frontier_cut = coordinator->fenced.cut,
	    .marks = coordinator->marks,
	    .places = {coordinator->places, coordinator->places_len},
	};
	CRASH_POINT(deploy_begun);
	command_all(coordinator, FRAME_DEPLOY, &deploy);
	CRASH_POINT(deploy_commanded);
}

void hand_back(struct coordinator *coordinator, const struct decisions *decisions, const struct cut *from)
{
	struct frame_decisions page = {
	    .decisions = {memory_resize(NULL, DECISIONS_PER_PAGE, sizeof *page.decisions.entries), 0}};
	for (uint32_t i = 0; i < decisions->len; i++) {
		if (decisions->entries[i].offset >= cut_get(from, decisions->entries[i].partition, 0))
			page.decisions.entries[page.decisions.len++] = decisions->entries[i];
		if (page.decisions.len == DECISIONS_PER_PAGE || (i + 1 == decisions->len && page.decisions.len > 0)) {
			command_role(coordinator, ROLE_DEDUP, FRAME_DECISIONS, &page);
			page.decisions.len = 0;
		}
	}
	free(page.decisions.entries);
}

static void act_connect(struct coordinator *coordinator)
{
	for (uint32_t i = 0; i < coordinator->decisions_len && !MUTANT(no_decisions); i++) {
		struct frame frame;
		struct arena arena = {0};
		struct error error;
		CHECK(
		    frame_decode(buffer_bytes(&coordinator->decisions[i]), &arena, &frame, NULL, &error) == RESULT_OK);
		hand_back(coordinator, &frame.body.decisions.decisions, &coordinator->decided_from);
		arena_fini(&arena);
	}
	late_hand_on(coordinator);
	struct frame_connect connect = {.addresses = {coordinator->addresses, coordinator->addresses_len}};
	command_all(coordinator, FRAME_CONNECT, &connect);
	CRASH_POINT(connect_commanded);
}

static void act_start(struct coordinator *coordinator)
{
	bool silent = !cut_equal(&coordinator->base_cut, &coordinator->fenced.cut);
	pacing_start(&coordinator->pacing, coordinator->pipeline, silent, coordinator->now_us);
	checkpoint_keeper_start(&coordinator->checkpoints, coordinator->now_us);
	coordinator->live = !silent;
	coordinator->committed = coordinator->fenced.last;
	coordinator->counters = coordinator->fenced.counters;
	coordinator->rate_from = coordinator->counters.n[COUNTER_CONSUMED];
	coordinator->rate_us = coordinator->now_us;
	coordinator->rate = 0;
	cut_copy(&coordinator->cut, &coordinator->fenced.cut);
	/* Who came while the attempt was being deployed. */
	for (enum process_role process = PROCESS_INGEST; process <= PROCESS_SINK; process++)
		coordinator->rebalance |=
		    registry_would_even(&coordinator->registry, &coordinator->topology, coordinator->places, process);
	command_all(coordinator, FRAME_START, &(struct frame_start){.silent = silent});
	CRASH_POINT(start_commanded);
	if (coordinator->topology.plan->has_checkpoints)
		log_info("attempt %" PRIu64 " runs from checkpoint %" PRIu64 ".%" PRIu64 "%s", coordinator->attempt,
		    coordinator->restored.attempt, coordinator->restored.n,
		    silent ? ": silent replay up to the frontier first" : "");
	else
		log_info("attempt %" PRIu64 " runs from the frontier", coordinator->attempt);
}

/* Attempts that commit nothing new are paused between, longer each time. */
static void back_off(struct coordinator *coordinator)
{
	coordinator->attempts_ended++;
	coordinator->earliest_us = coordinator->now_us;
	if (coordinator->excused)
		return;
	if (coordinator->fruitless > 0) {
		uint64_t pause = (uint64_t)BACKOFF_FIRST_US
		                 << (coordinator->fruitless < 8 ? coordinator->fruitless : 8);
		if (pause > BACKOFF_MOST_US)
			pause = BACKOFF_MOST_US;
		uint64_t seed[2] = {coordinator->attempt, coordinator->now_us};
		uint64_t jitter = key_hash((struct bytes){(const uint8_t *)seed, sizeof seed}) % (pause / 2 + 1);
		coordinator->earliest_us += pause / 2 + jitter;
	}
	if (++coordinator->fruitless == FRUITLESS_MANY)
		log_error(
		    "%d attempts in a row got nowhere; the last one: %s", FRUITLESS_MANY, coordinator->last_error);
}

static void act_cancel(struct coordinator *coordinator)
{
	log_warn("attempt %" PRIu64 " is over: %s", coordinator->attempt, coordinator->last_error);
	coordinator->erred_us = clock_realtime_us();
	command_all(coordinator, FRAME_CANCEL, &(struct frame_cancel){.text = coordinator->last_error});
	for (uint32_t i = 0; i < coordinator->registry.len; i++)
		if (takes_part(coordinator, coordinator->registry.members[i].name))
			coordinator->registry.members[i].leaving = true;
	coordinator->registered_us = coordinator->now_us;
	CRASH_POINT(attempt_cancelled);
	back_off(coordinator);
	forget_attempt(coordinator);
}

static void act_stop(struct coordinator *coordinator)
{
	stop_all(coordinator, EXIT_CONFIG, coordinator->last_error);
}

void happen(struct coordinator *coordinator, enum deployment_event event)
{
	const struct transition *transition = deployment_transition(coordinator->state, event);
	log_debug("%s: %s -> %s, %s", deployment_event_name(event), deployment_state_name(transition->state),
	    deployment_state_name(transition->next), transition->why);
	if (transition->next != coordinator->state)
		coordinator->state_us = coordinator->work_us = coordinator->now_us;
	coordinator->state = transition->next;
	switch (transition->action) {
	case ACTION_NONE:
	case ACTIONS:
		break;
	case ACTION_FENCE:
		act_fence(coordinator);
		break;
	case ACTION_DESCRIBE:
		act_describe(coordinator);
		break;
	case ACTION_CHOOSE:
		act_choose(coordinator);
		break;
	case ACTION_DEPLOY:
		act_deploy(coordinator);
		break;
	case ACTION_CONNECT:
		act_connect(coordinator);
		break;
	case ACTION_START:
		act_start(coordinator);
		break;
	case ACTION_CONFIRM:
		prepare_writer(coordinator, 0);
		break;
	case ACTION_OUTBID:
	case ACTION_CANCEL:
		act_cancel(coordinator);
		break;
	case ACTION_STOP:
		act_stop(coordinator);
		break;
	}
}
