#include "services/coordinator/coordinator.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/key_group.h"
#include "common/base/log.h"
#include "common/base/mutant.h"
#include "common/base/timestamp.h"
#include "services/coordinator/deployment.h"
#include "services/coordinator/pacing.h"
#include "services/coordinator/registry.h"

enum {
	QUIET_US = 2000000, /* without a new process: go on with those that are there */
	STAGE_US = 15000000, /* deploying and connecting need nobody from outside */
	STUCK_US = 60000000, /* an epoch under way for so long, and nobody waits for anything */
	BACKOFF_FIRST_US = 100000, /* after the second attempt in a row that got nowhere */
	BACKOFF_MOST_US = 10000000,
	TELL_COMMITTED_US = 5000000, /* how often ingests hear what is committed, for lag tools */
	RATE_US = 2000000, /* records per second are measured over */
};

struct coordinator {
	const struct pipeline *pipeline;
	struct coordinator_config config;
	struct topology topology;
	struct registry registry;
	uint64_t now_us;
	enum deployment_state state;
	uint64_t state_us; /* since when */
	uint64_t registered_us; /* last REGISTER */
	uint64_t attempt, at_least; /* number of this attempt; the next one is at least */
	uint64_t attempts_ended, fruitless; /* in all; in a row without a commit */
	uint64_t earliest_us; /* backoff: no new attempt before */
	struct place *places; /* of this attempt; names are ours */
	uint32_t places_len;
	/* what the database and the topic said, this attempt */
	struct frame_fenced fenced; /* cut on the heap; checkpoints are not kept */
	bool base_named; /* the database names checkpoint 0 */
	struct cut base_cut;
	uint32_t partitions;
	struct buffer *decisions; /* encoded DECISIONS bodies, to be handed back */
	uint32_t decisions_len;
	struct address *addresses; /* urls are ours */
	uint32_t addresses_len;
	struct pacing pacing;
	/* what people are told */
	struct epoch_id committed;
	struct cut cut, ends;
	struct counters counters;
	int64_t committed_us; /* instant */
	bool live, told_anew;
	uint64_t told_us, rate_us, rate_from, rate;
	char last_error[ERROR_TEXT_MAX];
};

static void happen(struct coordinator *coordinator, enum deployment_event event);

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

static bool takes_part(const struct coordinator *coordinator, const char *worker)
{
	for (uint32_t i = 0; i < coordinator->places_len; i++)
		if (strcmp(coordinator->places[i].worker, worker) == 0)
			return true;
	return false;
}

static bool hosts_role(const struct coordinator *coordinator, const char *worker, enum role role)
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

static void command_role(struct coordinator *coordinator, enum role role, enum frame_kind kind, const void *body)
{
	for (uint32_t i = 0; i < coordinator->registry.len; i++)
		if (hosts_role(coordinator, coordinator->registry.members[i].name, role))
			command(coordinator, coordinator->registry.members[i].name, kind, body);
}

static void forget_attempt(struct coordinator *coordinator)
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
	coordinator->live = false;
}

static void config_error(struct coordinator *coordinator, const char *text)
{
	(void)snprintf(coordinator->last_error, sizeof coordinator->last_error, "%s", text);
	happen(coordinator, EVENT_CONFIG);
}

static void broken(struct coordinator *coordinator, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void broken(struct coordinator *coordinator, const char *format, ...)
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
static void on_error(struct coordinator *coordinator, const struct error *error)
{
	if (error->code == RESULT_CONFIG || error->code == RESULT_CORRUPT)
		config_error(coordinator, error->text);
	else
		broken(coordinator, "%s", error->text);
}

/* --- actions, in the order of an attempt's life -------------------------------------------------------------------- */

static void act_fence(struct coordinator *coordinator)
{
	struct checkpoint_store *store = coordinator->config.store;
	struct error error = {0};
	forget_attempt(coordinator);
	if (store->ops->take_attempt(store, coordinator->at_least, &coordinator->attempt, &error) != RESULT_OK) {
		on_error(coordinator, &error);
		return;
	}
	if (MUTANT(attempt_not_monotone))
		coordinator->attempt = 1;
	coordinator->at_least = coordinator->attempt + 1;
	log_set_job(coordinator->config.job, coordinator->attempt);
	coordinator->places_len = topology_actors(&coordinator->topology);
	CHECK(registry_place(&coordinator->registry, &coordinator->topology, coordinator->places));
	for (uint32_t i = 0; i < coordinator->places_len; i++)
		coordinator->places[i].worker = text_clone(coordinator->places[i].worker);
	log_info("attempt %" PRIu64 " begins with %u processes", coordinator->attempt, coordinator->registry.len);
	uint32_t writer = actor_id(ROLE_WRITER, 0);
	command(coordinator, worker_of(coordinator, writer), FRAME_PREPARE, &(struct frame_prepare){.actor = writer});
}

/* Checkpoint 0 is the only one so far: its manifest must be there as soon as the database has a cut. */
static void act_describe(struct coordinator *coordinator)
{
	struct checkpoint_store *store = coordinator->config.store;
	const struct frame_fenced *fenced = &coordinator->fenced;
	struct frame_manifest manifest;
	struct arena arena = {0};
	struct error error = {0};
	bool found = false;
	coordinator->base_cut.len = 0;
	if (store->ops->get_manifest(store, (struct epoch_id){0}, &arena, &manifest, &found, &error) != RESULT_OK) {
		on_error(coordinator, &error);
		goto out;
	}
	if (fenced->started && (!found || !coordinator->base_named)) {
		(void)snprintf(error.text, sizeof error.text,
		    "the database holds totals of job %s up to a cut, but %s knows no checkpoint of it. Ways out: "
		    "point "
		    "checkpoint.dir at the folder that was used before; or start over with empty tables (drop the "
		    "job's "
		    "tables and the schema sluice)",
		    coordinator->config.job, found ? "the database itself" : "the checkpoint folder");
		config_error(coordinator, error.text);
		goto out;
	}
	if (found && strcmp(manifest.fingerprint, coordinator->pipeline->fingerprint) != 0) {
		(void)snprintf(error.text, sizeof error.text,
		    "the checkpoint folder belongs to a pipeline file of another meaning (fingerprint %s, this file "
		    "has %s)",
		    manifest.fingerprint, coordinator->pipeline->fingerprint);
		config_error(coordinator, error.text);
		goto out;
	}
	if (found)
		cut_copy(&coordinator->base_cut, &manifest.cut);
	uint32_t ingest = actor_id(ROLE_INGEST, 0);
	command(coordinator, worker_of(coordinator, ingest), FRAME_PREPARE, &(struct frame_prepare){.actor = ingest});
out:
	arena_fini(&arena);
}

/* The start is resolved once. The first manifest wins, also over a coordinator that wakes up late; the database
 * takes its cut from it. */
static bool resolve_start(struct coordinator *coordinator, const struct cut *described, struct error *error)
{
	struct checkpoint_store *store = coordinator->config.store;
	if (coordinator->base_cut.len == 0)
		cut_copy(&coordinator->base_cut, described);
	struct frame_manifest manifest = {
	    .job = coordinator->config.job,
	    .cut = coordinator->base_cut,
	    .fingerprint = coordinator->pipeline->fingerprint,
	    .key_groups = coordinator->pipeline->key_groups,
	    .created_us = clock_realtime_us(),
	};
	bool existed;
	if (store->ops->put_manifest(store, &manifest, &existed, error) != RESULT_OK)
		return false;
	if (!existed)
		return true;
	struct arena arena = {0};
	bool found;
	enum result result = store->ops->get_manifest(store, manifest.epoch, &arena, &manifest, &found, error);
	if (result == RESULT_OK && found)
		cut_copy(&coordinator->base_cut, &manifest.cut);
	arena_fini(&arena);
	return result == RESULT_OK;
}

static void act_cut(struct coordinator *coordinator)
{
	const struct cut *frontier = &coordinator->fenced.cut;
	struct error error = {0};
	for (uint32_t i = 0; i < frontier->len; i++) {
		uint32_t partition = frontier->entries[i].partition;
		if (partition >= coordinator->partitions) {
			error_set(&error, RESULT_CONFIG,
			    "topic %s has %u partitions, but the database was filled from partition %u too: the topic "
			    "was made "
			    "anew",
			    coordinator->pipeline->source.topic, coordinator->partitions, partition);
			on_error(coordinator, &error);
			return;
		}
		if (cut_get(&coordinator->base_cut, partition, 0) > frontier->entries[i].offset) {
			error_set(&error, RESULT_CONFIG, "checkpoint 0.0 lies ahead of the frontier in partition %u",
			    partition);
			on_error(coordinator, &error);
			return;
		}
	}
	if (coordinator->fenced.started) {
		happen(coordinator, EVENT_CUT_SET);
		return;
	}
	uint32_t writer = actor_id(ROLE_WRITER, 0);
	command(coordinator, worker_of(coordinator, writer), FRAME_SET_CUT,
	    &(struct frame_set_cut){.cut = coordinator->base_cut});
}

static void act_deploy(struct coordinator *coordinator)
{
	if (!coordinator->fenced.started)
		cut_copy(&coordinator->fenced.cut, &coordinator->base_cut);
	struct frame_deploy deploy = {
	    .partitions = coordinator->partitions,
	    .base_cut = coordinator->base_cut,
	    .last = coordinator->fenced.last,
	    .frontier_cut = coordinator->fenced.cut,
	    .places = {coordinator->places, coordinator->places_len},
	};
	command_all(coordinator, FRAME_DEPLOY, &deploy);
}

static void act_connect(struct coordinator *coordinator)
{
	for (uint32_t i = 0; i < coordinator->decisions_len && !MUTANT(no_decisions); i++) {
		struct frame frame;
		struct arena arena = {0};
		struct error error;
		CHECK(
		    frame_decode(buffer_bytes(&coordinator->decisions[i]), &arena, &frame, NULL, &error) == RESULT_OK);
		command_role(coordinator, ROLE_DEDUP, FRAME_DECISIONS, &frame.body.decisions);
		arena_fini(&arena);
	}
	struct frame_connect connect = {.addresses = {coordinator->addresses, coordinator->addresses_len}};
	command_all(coordinator, FRAME_CONNECT, &connect);
}

static void act_start(struct coordinator *coordinator)
{
	bool silent = !cut_equal(&coordinator->base_cut, &coordinator->fenced.cut);
	pacing_start(&coordinator->pacing, coordinator->pipeline, silent, coordinator->now_us);
	coordinator->live = !silent;
	coordinator->committed = coordinator->fenced.last;
	coordinator->counters = coordinator->fenced.counters;
	coordinator->rate_from = coordinator->counters.n[COUNTER_CONSUMED];
	coordinator->rate_us = coordinator->now_us;
	coordinator->rate = 0;
	cut_copy(&coordinator->cut, &coordinator->fenced.cut);
	command_all(coordinator, FRAME_START, &(struct frame_start){.silent = silent});
	log_info("attempt %" PRIu64 " runs%s", coordinator->attempt,
	    silent ? ": silent replay up to the frontier first" : "");
}

/* Attempts that commit nothing new are paused between, longer each time. */
static void back_off(struct coordinator *coordinator)
{
	coordinator->attempts_ended++;
	coordinator->earliest_us = coordinator->now_us;
	if (coordinator->fruitless > 0) {
		uint64_t pause = (uint64_t)BACKOFF_FIRST_US
		                 << (coordinator->fruitless < 8 ? coordinator->fruitless : 8);
		if (pause > BACKOFF_MOST_US)
			pause = BACKOFF_MOST_US;
		uint64_t seed[2] = {coordinator->attempt, coordinator->now_us};
		uint64_t jitter = key_hash((struct bytes){(const uint8_t *)seed, sizeof seed}) % (pause / 2 + 1);
		coordinator->earliest_us += pause / 2 + jitter;
	}
	coordinator->fruitless++;
}

static void act_cancel(struct coordinator *coordinator)
{
	log_warn("attempt %" PRIu64 " is over: %s", coordinator->attempt, coordinator->last_error);
	command_all(coordinator, FRAME_CANCEL, &(struct frame_cancel){.text = coordinator->last_error});
	for (uint32_t i = 0; i < coordinator->registry.len; i++)
		if (takes_part(coordinator, coordinator->registry.members[i].name))
			coordinator->registry.members[i].leaving = true;
	coordinator->registered_us = coordinator->now_us;
	back_off(coordinator);
	forget_attempt(coordinator);
}

static void act_stop(struct coordinator *coordinator)
{
	struct frame_stop stop = {.code = EXIT_CONFIG, .text = coordinator->last_error};
	for (uint32_t i = 0; i < coordinator->registry.len; i++)
		command(coordinator, coordinator->registry.members[i].name, FRAME_STOP, &stop);
	coordinator->config.port->stop(coordinator->config.port, EXIT_CONFIG, coordinator->last_error);
}

static void happen(struct coordinator *coordinator, enum deployment_event event)
{
	const struct transition *transition = deployment_transition(coordinator->state, event);
	log_debug("%s: %s -> %s, %s", deployment_event_name(event), deployment_state_name(transition->state),
	    deployment_state_name(transition->next), transition->why);
	if (transition->next != coordinator->state)
		coordinator->state_us = coordinator->now_us;
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
	case ACTION_CUT:
		act_cut(coordinator);
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
	case ACTION_OUTBID:
	case ACTION_CANCEL:
		act_cancel(coordinator);
		break;
	case ACTION_STOP:
		act_stop(coordinator);
		break;
	}
}

/* --- events, in the order of an attempt's life --------------------------------------------------------------------- */

static void on_register(struct coordinator *coordinator, const char *worker, const struct frame_registration *said)
{
	char why[256];
	if (said->process < PROCESS_INGEST || said->process > PROCESS_SINK) {
		log_warn("%s is a process of unknown role %" PRIu64, worker, said->process);
		return;
	}
	if (strcmp(said->job, coordinator->config.job) != 0 ||
	    strcmp(said->fingerprint, coordinator->pipeline->fingerprint) != 0) {
		(void)snprintf(why, sizeof why,
		    "%s runs job %s with pipeline file %s, the coordinator has job %s with %s: give both the same file",
		    worker, said->job, said->fingerprint, coordinator->config.job, coordinator->pipeline->fingerprint);
		log_error("%s", why);
		coordinator->config.port->command(coordinator->config.port, worker, 0, FRAME_STOP,
		    &(struct frame_stop){.code = EXIT_CONFIG, .text = why});
		return;
	}
	registry_add(&coordinator->registry, worker, (enum process_role)said->process, said->pid);
	coordinator->registered_us = coordinator->now_us;
	if (said->highest_attempt >= coordinator->at_least)
		coordinator->at_least = said->highest_attempt + 1;
	log_info("%s is here (%s)", worker, process_role_name((enum process_role)said->process));
}

static void on_waiting(struct coordinator *coordinator, struct member *member, const struct frame_waiting *waiting)
{
	if (strcmp(member->waiting, waiting->text) == 0)
		return;
	(void)snprintf(member->waiting, sizeof member->waiting, "%s", waiting->text);
	if (waiting->text[0] != '\0')
		log_warn("%s waits: %s", member->name, waiting->text);
	else
		log_info("%s waits no longer", member->name);
	coordinator->pacing.oldest_us = coordinator->now_us;
}

static void on_decisions(struct coordinator *coordinator, const struct frame *event)
{
	coordinator->decisions =
	    memory_resize(coordinator->decisions, coordinator->decisions_len + 1, sizeof *coordinator->decisions);
	struct buffer *page = &coordinator->decisions[coordinator->decisions_len++];
	*page = (struct buffer){0};
	frame_encode(page, &event->header, &event->body.decisions);
}

static void on_fenced(struct coordinator *coordinator, const struct frame_fenced *fenced)
{
	if (coordinator->state != STATE_FENCING)
		return;
	if (fenced->fence != 0) {
		if (fenced->fence >= coordinator->at_least)
			coordinator->at_least = fenced->fence + 1;
		(void)snprintf(coordinator->last_error, sizeof coordinator->last_error,
		    "the database has fence %" PRIu64 ": another coordinator was here", fenced->fence);
		happen(coordinator, EVENT_OUTBID);
		return;
	}
	struct cut cut = coordinator->fenced.cut;
	cut_copy(&cut, &fenced->cut);
	coordinator->fenced = *fenced;
	coordinator->fenced.cut = cut;
	coordinator->fenced.checkpoints = (struct checkpoints){0};
	coordinator->base_named = false;
	for (uint32_t i = 0; i < fenced->checkpoints.len; i++)
		coordinator->base_named |= epoch_equal(fenced->checkpoints.entries[i].epoch, (struct epoch_id){0});
	happen(coordinator, EVENT_FENCED);
}

static void on_described(struct coordinator *coordinator, const struct frame_described *described)
{
	struct error error = {0};
	if (coordinator->state != STATE_DESCRIBING)
		return;
	coordinator->partitions = (uint32_t)described->partitions;
	if (!coordinator->fenced.started && !resolve_start(coordinator, &described->start, &error)) {
		on_error(coordinator, &error);
		return;
	}
	if (MUTANT(start_moves))
		cut_copy(&coordinator->base_cut, &described->start);
	happen(coordinator, EVENT_DESCRIBED);
}

static bool all_said(const struct coordinator *coordinator, bool ready)
{
	for (uint32_t i = 0; i < coordinator->registry.len; i++) {
		const struct member *member = &coordinator->registry.members[i];
		if (takes_part(coordinator, member->name) && !(ready ? member->ready : member->deployed))
			return false;
	}
	return true;
}

static void on_deployed(struct coordinator *coordinator, struct member *member, const struct addresses *addresses)
{
	if (member->deployed)
		return;
	member->deployed = true;
	coordinator->addresses = memory_resize(
	    coordinator->addresses, coordinator->addresses_len + addresses->len, sizeof *coordinator->addresses);
	for (uint32_t i = 0; i < addresses->len; i++)
		coordinator->addresses[coordinator->addresses_len++] =
		    (struct address){addresses->entries[i].channel, text_clone(addresses->entries[i].url)};
	if (all_said(coordinator, false))
		happen(coordinator, EVENT_DEPLOYED);
}

static void on_ready(struct coordinator *coordinator, struct member *member)
{
	member->ready = true;
	if (all_said(coordinator, true))
		happen(coordinator, EVENT_READY);
}

static void on_pending(struct coordinator *coordinator, const struct frame_pending *pending)
{
	pacing_pending(&coordinator->pacing, pending);
	for (uint32_t i = 0; i < pending->ends.len; i++)
		cut_set(&coordinator->ends, pending->ends.entries[i].partition, pending->ends.entries[i].offset);
}

static void on_committed(struct coordinator *coordinator, const struct frame_committed *committed)
{
	if (coordinator->state != STATE_RUNNING)
		return;
	if (committed->epoch.attempt != coordinator->attempt ||
	    !pacing_committed(&coordinator->pacing, committed->epoch.n, committed->commit_us, committed->silent,
	        coordinator->now_us)) {
		broken(coordinator, "epoch %" PRIu64 ".%" PRIu64 " was committed out of order",
		    committed->epoch.attempt, committed->epoch.n);
		return;
	}
	if (committed->live && !coordinator->live)
		log_info("attempt %" PRIu64 " has reached the frontier", coordinator->attempt);
	coordinator->live = committed->live;
	if (committed->silent)
		return;
	coordinator->fruitless = 0;
	coordinator->committed = committed->epoch;
	coordinator->counters = committed->counters;
	coordinator->committed_us = clock_realtime_us();
	coordinator->told_anew = true;
	cut_copy(&coordinator->cut, &committed->cut);
}

static void on_failed(struct coordinator *coordinator, const char *worker, const struct frame_failed *failed)
{
	char text[ERROR_TEXT_MAX];
	if (failed->code == RESULT_CONFIG) {
		config_error(coordinator, failed->text);
		return;
	}
	(void)snprintf(text, sizeof text, "%s: %s", worker, failed->text);
	broken(coordinator, "%s", text);
}

void coordinator_on_event(
    struct coordinator *coordinator, const char *worker, const struct frame *event, uint64_t now_us)
{
	coordinator->now_us = now_us;
	enum frame_kind kind = event->header.kind;
	if (coordinator->state == STATE_STOPPED)
		return;
	if (kind == FRAME_REGISTER) {
		on_register(coordinator, worker, &event->body.registration);
		coordinator_on_tick(coordinator, now_us);
		return;
	}
	struct member *member = registry_find(&coordinator->registry, worker);
	if (member == NULL || member->leaving)
		return;
	if (kind == FRAME_WAITING) {
		on_waiting(coordinator, member, &event->body.waiting);
		return;
	}
	if (event->header.attempt != coordinator->attempt || !takes_part(coordinator, worker))
		return; /* news of an attempt that is over */
	switch ((int)kind) {
	case FRAME_DECISIONS:
		on_decisions(coordinator, event);
		break;
	case FRAME_FENCED:
		on_fenced(coordinator, &event->body.fenced);
		break;
	case FRAME_DESCRIBED:
		on_described(coordinator, &event->body.described);
		break;
	case FRAME_CUT_SET:
		happen(coordinator, EVENT_CUT_SET);
		break;
	case FRAME_DEPLOYED:
		on_deployed(coordinator, member, &event->body.deployed.addresses);
		break;
	case FRAME_READY:
		on_ready(coordinator, member);
		break;
	case FRAME_PENDING:
		on_pending(coordinator, &event->body.pending);
		break;
	case FRAME_COMMITTED:
		on_committed(coordinator, &event->body.committed);
		break;
	case FRAME_FAILED:
		on_failed(coordinator, worker, &event->body.failed);
		break;
	default:
		log_warn("%s sends %s, which no worker does", worker, frame_kind_name(kind));
	}
	coordinator_on_tick(coordinator, now_us);
}

void coordinator_on_lost(struct coordinator *coordinator, const char *worker, const char *why, uint64_t now_us)
{
	coordinator->now_us = now_us;
	struct member *member = registry_find(&coordinator->registry, worker);
	bool expected = member != NULL && member->leaving;
	bool part = member != NULL && !expected && takes_part(coordinator, worker);
	if (member == NULL)
		return;
	if (!expected)
		log_warn("%s is lost: %s", worker, why);
	registry_remove(&coordinator->registry, worker);
	if (part)
		broken(coordinator, "%s is lost: %s", worker, why);
}

/* --- time ---------------------------------------------------------------------------------------------------------- */

/* Everybody who is expected, or somebody for every role and two quiet seconds. */
static uint64_t gathered_us(const struct coordinator *coordinator)
{
	const struct registry *registry = &coordinator->registry;
	uint32_t ingest = registry_count(registry, PROCESS_INGEST);
	uint32_t aggregators = registry_count(registry, PROCESS_AGGREGATOR);
	if (ingest == 0 || aggregators == 0 || registry_count(registry, PROCESS_SINK) == 0)
		return 0;
	const struct coordinator_config *config = &coordinator->config;
	bool complete = config->expected_ingest > 0 && config->expected_aggregators > 0 &&
	                ingest >= config->expected_ingest && aggregators >= config->expected_aggregators;
	uint64_t at = complete ? coordinator->registered_us : coordinator->registered_us + QUIET_US;
	return at > coordinator->earliest_us ? at : coordinator->earliest_us;
}

/* An epoch may take as long as the database is away. An ingest that waits for Kafka cuts all the same. */
static bool sink_waits(const struct coordinator *coordinator)
{
	for (uint32_t i = 0; i < coordinator->registry.len; i++) {
		const struct member *member = &coordinator->registry.members[i];
		if (member->process == PROCESS_SINK && member->waiting[0] != '\0')
			return true;
	}
	return false;
}

static void inject(struct coordinator *coordinator)
{
	uint64_t wake_us;
	enum pace pace = pacing_next(&coordinator->pacing, coordinator->now_us, &wake_us);
	if (pace == PACE_WAIT)
		return;
	struct frame_inject order = {
	    .epoch = {coordinator->attempt,
	        pacing_inject(&coordinator->pacing, pace == PACE_LIFT, coordinator->now_us)},
	    .lift = pace == PACE_LIFT,
	};
	command_role(coordinator, ROLE_INGEST, FRAME_INJECT, &order);
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

static void tick_running(struct coordinator *coordinator)
{
	const struct pacing *pacing = &coordinator->pacing;
	inject(coordinator);
	watch_rate(coordinator);
	tell_committed(coordinator);
	if (pacing->injected > pacing->committed && coordinator->now_us >= pacing->oldest_us + STUCK_US &&
	    !sink_waits(coordinator))
		broken(coordinator, "epoch %" PRIu64 ".%" PRIu64 " has been under way for %d seconds",
		    coordinator->attempt, pacing->committed + 1, STUCK_US / 1000000);
}

void coordinator_on_tick(struct coordinator *coordinator, uint64_t now_us)
{
	coordinator->now_us = now_us;
	uint64_t gathered = gathered_us(coordinator);
	switch (coordinator->state) {
	case STATE_GATHERING:
		if (gathered != 0 && now_us >= gathered)
			happen(coordinator, EVENT_GATHERED);
		break;
	case STATE_DEPLOYING:
	case STATE_CONNECTING:
		if (now_us >= coordinator->state_us + STAGE_US)
			broken(coordinator, "%s took more than %d seconds", deployment_state_name(coordinator->state),
			    STAGE_US / 1000000);
		break;
	case STATE_RUNNING:
		tick_running(coordinator);
		break;
	case STATE_FENCING:
	case STATE_DESCRIBING:
	case STATE_CUTTING:
	case STATE_STOPPED:
	case STATES:
		break;
	}
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a == 0 ? b : b == 0 || a < b ? a : b;
}

uint64_t coordinator_wake_us(const struct coordinator *coordinator)
{
	const struct pacing *pacing = &coordinator->pacing;
	uint64_t wake = 0;
	switch (coordinator->state) {
	case STATE_GATHERING:
		return gathered_us(coordinator);
	case STATE_DEPLOYING:
	case STATE_CONNECTING:
		return coordinator->state_us + STAGE_US;
	case STATE_RUNNING:
		(void)pacing_next(pacing, coordinator->now_us, &wake);
		if (pacing->injected > pacing->committed && !sink_waits(coordinator))
			wake = sooner(wake, pacing->oldest_us + STUCK_US);
		if (coordinator->rate != 0 || coordinator->told_anew)
			wake = sooner(wake, coordinator->rate_us + RATE_US);
		if (coordinator->told_anew)
			wake = sooner(wake, coordinator->told_us + TELL_COMMITTED_US);
		return wake;
	case STATE_FENCING:
	case STATE_DESCRIBING:
	case STATE_CUTTING:
	case STATE_STOPPED:
	case STATES:
		break;
	}
	return 0;
}

/* --- what people are told ------------------------------------------------------------------------------------------ */

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

static const char *waiting_of(const struct coordinator *coordinator, struct arena *arena)
{
	struct buffer text = {0};
	const struct registry *registry = &coordinator->registry;
	if (coordinator->state == STATE_GATHERING)
		buffer_printf(&text, "processes (%u ingest, %u aggregator, %u sink are here)",
		    registry_count(registry, PROCESS_INGEST), registry_count(registry, PROCESS_AGGREGATOR),
		    registry_count(registry, PROCESS_SINK));
	for (uint32_t i = 0; i < registry->len; i++)
		if (registry->members[i].waiting[0] != '\0')
			buffer_printf(&text, "%s%s: %s", text.len ? "; " : "", registry->members[i].name,
			    registry->members[i].waiting);
	const char *copy = arena_clone(arena, text.data, text.len);
	buffer_fini(&text);
	return copy;
}

void coordinator_report(const struct coordinator *coordinator, struct arena *arena, struct frame_status_report *report)
{
	const struct registry *registry = &coordinator->registry;
	*report = (struct frame_status_report){
	    .job = coordinator->config.job,
	    .state = deployment_state_name(coordinator->state),
	    .waiting = waiting_of(coordinator, arena),
	    .last_error = coordinator->last_error,
	    .epoch = coordinator->committed,
	    .live = coordinator->state == STATE_RUNNING && coordinator->live,
	    .cut = coordinator->cut,
	    .ends = coordinator->ends,
	    .counters = coordinator->counters,
	    .in_flight = coordinator->pacing.injected - coordinator->pacing.committed,
	    .commit_us = coordinator->pacing.commit_us,
	    .records_per_second = coordinator->rate,
	    .attempts_ended = coordinator->attempts_ended,
	    .committed_us = coordinator->committed_us,
	};
	report->workers.entries = arena_take(arena, registry->len * sizeof *report->workers.entries);
	for (uint32_t i = 0; i < registry->len; i++)
		report->workers.entries[report->workers.len++] = (struct worker_entry){
		    .worker = registry->members[i].name,
		    .process = (uint32_t)registry->members[i].process,
		    .pid = registry->members[i].pid,
		    .actors = actors_of(coordinator, registry->members[i].name, arena),
		};
}

/* ------------------------------------------------------------------------------------------------------------------- */

struct coordinator *coordinator_new(const struct coordinator_config *config, uint64_t now_us)
{
	struct coordinator *coordinator = memory_new(sizeof *coordinator);
	coordinator->config = *config;
	coordinator->pipeline = config->pipeline;
	coordinator->topology = (struct topology){config->pipeline->parallelism.ingest,
	    config->pipeline->parallelism.dedup, config->pipeline->parallelism.rollup};
	coordinator->places = memory_resize(NULL, topology_actors(&coordinator->topology), sizeof *coordinator->places);
	coordinator->at_least = 1;
	coordinator->now_us = coordinator->state_us = now_us;
	return coordinator;
}

void coordinator_free(struct coordinator *coordinator)
{
	forget_attempt(coordinator);
	free(coordinator->places);
	free(coordinator->decisions);
	free(coordinator->addresses);
	registry_fini(&coordinator->registry);
	cut_fini(&coordinator->fenced.cut);
	cut_fini(&coordinator->base_cut);
	cut_fini(&coordinator->cut);
	cut_fini(&coordinator->ends);
	free(coordinator);
}
