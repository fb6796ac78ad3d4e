#include "services/coordinator/coordinator.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mutant.h"
#include "common/base/timestamp.h"
#include "services/coordinator/coordinator_state.h"

/* --- events, in the order of an attempt's life --------------------------------------------------------------------- */

/* It ends with 78; people see it for a while. */
static void refuse(struct coordinator *coordinator, const char *worker, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void refuse(struct coordinator *coordinator, const char *worker, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	(void)vsnprintf(coordinator->refused, sizeof coordinator->refused, format, args);
	va_end(args);
	(void)snprintf(coordinator->refused_name, sizeof coordinator->refused_name, "%s", worker);
	coordinator->refused_us = coordinator->now_us;
	log_error("%s", coordinator->refused);
	stop_worker(coordinator, worker, EXIT_CONFIG, coordinator->refused);
}

static void refuse_zone(struct coordinator *coordinator, const char *worker, const char *rules)
{
	char difference[64];
	struct error why;
	zone_rules_difference(coordinator->config.zone_rules, rules, difference, sizeof difference);
	(void)error_stop(&why, STOP_OTHER_ZONE_RULES, "%s has other rules of the time zone %s than the coordinator: %s",
	    worker, coordinator->pipeline->record.time_zone, difference);
	refuse(coordinator, worker, "%s", why.text);
}

static void on_register(
    struct coordinator *coordinator, const char *worker, struct member *member, const struct frame *event)
{
	const struct frame_registration *said = &event->body.registration;
	(void)member;
	char topology[TOPOLOGY_TEXT_MAX];
	if (said->process < PROCESS_INGEST || said->process > PROCESS_SINK) {
		log_warn("%s is a process of unknown role %" PRIu64, worker, said->process);
		return;
	}
	if (strcmp(said->job, coordinator->config.job) != 0 ||
	    strcmp(said->fingerprint, coordinator->pipeline->fingerprint) != 0) {
		refuse(coordinator, worker,
		    "%s runs job %s with pipeline file %s, the coordinator has job %s with %s: give both the same file",
		    worker, said->job, said->fingerprint, coordinator->config.job, coordinator->pipeline->fingerprint);
		return;
	}
	if (strcmp(said->topology, topology_print(&coordinator->topology, topology)) != 0) {
		refuse(coordinator, worker,
		    "%s has parallelism %s, the coordinator %s: give both the same file, and start both anew", worker,
		    said->topology, topology);
		return;
	}
	if (strcmp(said->zone_rules, coordinator->config.zone_rules) != 0 && !MUTANT(zones_not_compared)) {
		refuse_zone(coordinator, worker, said->zone_rules);
		return;
	}
	if (strcmp(worker, coordinator->refused_name) == 0)
		coordinator->refused_us = 0;
	registry_add(&coordinator->registry, worker, (enum process_role)said->process, said->pid);
	coordinator->registered_us = coordinator->now_us;
	log_info("%s is here (%s)", worker, process_role_name((enum process_role)said->process));
	if (coordinator->state == STATE_RUNNING && registry_would_even(&coordinator->registry, &coordinator->topology,
	                                               coordinator->places, (enum process_role)said->process)) {
		log_info("actors will be moved to %s%s", worker,
		    coordinator->topology.plan->has_checkpoints ? " after the next checkpoint" : "");
		coordinator->rebalance = true;
	}
}

static void on_waiting(
    struct coordinator *coordinator, const char *worker, struct member *member, const struct frame *event)
{
	(void)worker;
	coordinator->work_us = coordinator->now_us; /* whoever restores a large state is at work, and says so again */
	if (waits_say(member, &event->body.waiting, coordinator->now_us))
		coordinator->pacing.oldest_us = coordinator->now_us;
}

static void on_decisions(
    struct coordinator *coordinator, const char *worker, struct member *member, const struct frame *event)
{
	(void)worker, (void)member;
	coordinator->decisions =
	    memory_resize(coordinator->decisions, coordinator->decisions_len + 1, sizeof *coordinator->decisions);
	struct buffer *page = &coordinator->decisions[coordinator->decisions_len++];
	*page = (struct buffer){0};
	frame_encode(page, &event->header, &event->body.decisions);
}

static void on_fenced(
    struct coordinator *coordinator, const char *worker, struct member *member, const struct frame *event)
{
	const struct frame_fenced *fenced = &event->body.fenced;
	(void)worker, (void)member;
	struct writer_said *writer = writer_said(coordinator, fenced->actor);
	if (coordinator->state == STATE_CONFIRMING && fenced->fence == coordinator->attempt) {
		happen(coordinator, EVENT_FENCED);
		return;
	}
	if (coordinator->state != STATE_FENCING || writer == NULL || writer->fenced)
		return;
	if (fenced->fence != 0) {
		if (fenced->fence >= coordinator->at_least)
			coordinator->at_least = fenced->fence + 1;
		(void)snprintf(coordinator->last_error, sizeof coordinator->last_error,
		    "the database has seen attempt %" PRIu64 "%s: the next one goes behind that", fenced->fence,
		    coordinator->fence_known ? ", another coordinator was here" : "");
		happen(coordinator, EVENT_OUTBID);
		/* After a reset, or with another checkpoint folder, it is no error. */
		if (!coordinator->fence_known && !MUTANT(first_fence_is_an_error))
			coordinator->last_error[0] = '\0';
		coordinator->fence_known = true;
		return;
	}
	coordinator->fence_known = true;
	for (uint32_t i = 0; i < fenced->marks.len; i++)
		marks_add(&coordinator->marks, &fenced->marks.entries[i]);
	/* Of a job of documents writer 0 has them. */
	if (fenced->actor == actor_id(ROLE_WRITER, 0))
		facts_copy(&coordinator->remembered, &coordinator->memory, &fenced->remembered);
	if (!all_fenced(coordinator, writer, fenced)) {
		/* Writer 0 comes last: then all frontiers of this attempt are there before its own is fenced, and an attempt with
		 * fewer writers, which fences that too, finds them as surplus. Otherwise it would not, and they be set later, behind
		 * its back, to a cut that the job has left. */
		if (others_fenced(coordinator) && !MUTANT(fenced_in_any_order))
			prepare_writer(coordinator, 0);
		return;
	}
	(void)snprintf(coordinator->changed, sizeof coordinator->changed, "%s", fenced->changed);
	(void)snprintf(coordinator->checkpoints.meant, sizeof coordinator->checkpoints.meant, "%s",
	    fenced->started ? fenced->fingerprint : "");
	coordinator->checkpoints.since = fenced->since;
	coordinator->fenced.fingerprint = coordinator->fenced.changed = NULL; /* the event's memory */
	late_judge(coordinator);
	happen(coordinator, EVENT_FENCED);
	/* the event's memory */
	coordinator->fenced.checkpoints = (struct checkpoints){0};
	coordinator->fenced.marks = (struct marks){0};
	coordinator->fenced.remembered = (struct facts){0};
}

static void on_described(
    struct coordinator *coordinator, const char *worker, struct member *member, const struct frame *event)
{
	const struct frame_described *described = &event->body.described;
	(void)worker, (void)member;
	if (coordinator->state == STATE_RUNNING && described->partitions > coordinator->partitions) {
		coordinator->excused = true;
		broken(coordinator, "topic %s has %" PRIu64 " partitions now", coordinator->pipeline->source.topic,
		    described->partitions);
	}
	if (coordinator->state != STATE_DESCRIBING)
		return;
	coordinator->partitions = (uint32_t)described->partitions;
	facts_copy(&coordinator->found, &coordinator->memory, &described->facts);
	if (!coordinator->fenced.started || (MUTANT(start_moves) && coordinator->fenced.last.attempt == 0))
		cut_copy(&coordinator->base_cut, &described->start);
	happen(coordinator, EVENT_DESCRIBED);
}

static void on_cut_set(
    struct coordinator *coordinator, const char *worker, struct member *member, const struct frame *event)
{
	const struct frame_cut_set *set = &event->body.cut_set;
	(void)worker, (void)member;
	struct writer_said *writer = writer_said(coordinator, set->actor);
	if (writer != NULL && coordinator->state == STATE_CHOOSING && all_cut_set(coordinator, writer, set))
		happen(coordinator, EVENT_CUT_SET);
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

static void on_deployed(
    struct coordinator *coordinator, const char *worker, struct member *member, const struct frame *event)
{
	const struct addresses *addresses = &event->body.deployed.addresses;
	(void)worker;
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

static void on_ready(
    struct coordinator *coordinator, const char *worker, struct member *member, const struct frame *event)
{
	(void)worker, (void)event;
	member->ready = true;
	if (all_said(coordinator, true))
		happen(coordinator, EVENT_READY);
}

static void on_pending(
    struct coordinator *coordinator, const char *worker, struct member *member, const struct frame *event)
{
	const struct frame_pending *pending = &event->body.pending;
	(void)worker, (void)member;
	uint32_t ingest = actor_index((uint32_t)pending->actor);
	bool known = pending->ends_age_us == 0;
	pacing_pending(&coordinator->pacing, pending);
	if (ingest < coordinator->topology.ingest && known != coordinator->ends_said[ingest].known)
		coordinator->ends_said[ingest] =
		    (struct ends_said){known, clock_realtime_us() - (int64_t)pending->ends_age_us};
	for (uint32_t i = 0; i < pending->ends.len; i++)
		cut_set(&coordinator->ends, pending->ends.entries[i].partition, pending->ends.entries[i].offset);
}

/* --- checkpoints ---------------------------------------------------------------------------------------------------- */

/* Not in silence: what was taken since has no name yet, and gets none where the replay is not what it ought to be. */
static void retire(struct coordinator *coordinator)
{
	struct frame_retire order;
	if (!coordinator->live && !MUTANT(retired_in_silence))
		return;
	if (!checkpoint_keeper_retire(&coordinator->checkpoints, &order))
		return;
	command_writer(coordinator, FRAME_RETIRE, &order);
	free(order.checkpoints.entries);
}

/* Whoever was told to end does so now; nothing of what it did has to be done again. */
static void let_go(struct coordinator *coordinator)
{
	const char *left = NULL;
	for (uint32_t i = 0; i < coordinator->registry.len; i++) {
		struct member *member = &coordinator->registry.members[i];
		if (!member->quits || member->quit_wish > coordinator->checkpoints.answered)
			continue;
		left = member->name;
		stop_worker(coordinator, member->name, EXIT_SUCCESS, "told to end");
		member->leaving = true;
	}
	if (left == NULL)
		return;
	coordinator->excused = true;
	broken(coordinator, "%s leaves", left);
}

void move_actors(struct coordinator *coordinator)
{
	coordinator->excused = true;
	broken(coordinator, "actors are moved to processes that are new");
}

void end_well(struct coordinator *coordinator, const char *why)
{
	stop_all(coordinator, EXIT_SUCCESS, why);
	coordinator->state = STATE_STOPPED;
}

/* One that was under way when the stop was asked for is not the last: records may have come in behind it. */
static void after_checkpoint(struct coordinator *coordinator, bool complete)
{
	const struct checkpoint_keeper *keeper = &coordinator->checkpoints;
	if (coordinator->stop_wish != 0 && keeper->answered >= coordinator->stop_wish) {
		bool last = complete && cut_equal(&checkpoint_keeper_base(keeper)->cut, &coordinator->cut);
		end_well(coordinator, last ? "a last checkpoint was taken" : "no last checkpoint could be taken");
		return;
	}
	let_go(coordinator);
	if (complete && coordinator->rebalance && coordinator->state == STATE_RUNNING)
		move_actors(coordinator);
}

/* The next attempt would find no checkpoint, or one of long ago: a person has to look. */
static void unseen_files(struct coordinator *coordinator)
{
	const struct checkpoint_keeper *keeper = &coordinator->checkpoints;
	struct error error;
	(void)error_stop(&error, STOP_FILES_NOT_SEEN, "%" PRIu64 " checkpoints in a row failed, the last one: %s",
	    keeper->failed_in_row, keeper->why);
	config_error(coordinator, error.text);
}

void on_keeper_news(struct coordinator *coordinator, enum keeper_news news)
{
	struct checkpoint_keeper *keeper = &coordinator->checkpoints;
	switch (news) {
	case KEEPER_NOTHING:
		break;
	case KEEPER_COMPLETE:
		command_stateful(coordinator, FRAME_CHECKPOINT_COMPLETE,
		    &(struct frame_checkpoint_complete){.checkpoint = checkpoint_keeper_base(keeper)->epoch});
		retire(coordinator);
		after_checkpoint(coordinator, true);
		break;
	case KEEPER_ABANDONED:
		after_checkpoint(coordinator, false);
		if (keeper->failed_in_row <= coordinator->pipeline->checkpoint.tolerable_failures ||
		    coordinator->state == STATE_STOPPED)
			break;
		checkpoint_keeper_be_patient(keeper);
		if (keeper->unseen)
			unseen_files(coordinator);
		else
			broken(coordinator, "%" PRIu64 " checkpoints in a row failed, the last one: %s",
			    keeper->failed_in_row, keeper->why);
		break;
	}
}

static void on_damaged(
    struct coordinator *coordinator, const char *worker, struct member *member, const struct frame *event)
{
	const struct frame_damaged *damaged = &event->body.damaged;
	(void)member;
	log_error("checkpoint %" PRIu64 ".%" PRIu64 " cannot be restored, the one before will be: %s",
	    damaged->checkpoint.attempt, damaged->checkpoint.n, damaged->text);
	checkpoint_keeper_damaged(&coordinator->checkpoints, damaged->checkpoint);
	broken(coordinator, "%s: checkpoint %" PRIu64 ".%" PRIu64 " is damaged: %s", worker,
	    damaged->checkpoint.attempt, damaged->checkpoint.n, damaged->text);
}

/* A process that is to end: what it hosts is moved behind a last checkpoint. */
static void on_leaving(
    struct coordinator *coordinator, const char *worker, struct member *member, const struct frame *event)
{
	(void)worker, (void)event;
	member->quits = true;
	if (coordinator->state == STATE_RUNNING && takes_part(coordinator, member->name) &&
	    coordinator->topology.plan->has_checkpoints) {
		log_info("%s is told to end: a checkpoint first", member->name);
		member->quit_wish = checkpoint_keeper_wish(&coordinator->checkpoints);
		return;
	}
	stop_worker(coordinator, member->name, EXIT_SUCCESS, "told to end");
	member->leaving = true;
	if (takes_part(coordinator, member->name))
		broken(coordinator, "%s leaves", member->name);
}

/* All writers have committed it. */
static void note_frontier(struct coordinator *coordinator, uint64_t n, const struct counters *counters)
{
	if (!MUTANT(backoff_kept))
		coordinator->fruitless = 0;
	coordinator->committed = (struct epoch_id){coordinator->attempt, n};
	coordinator->counters = *counters;
	coordinator->committed_us = clock_realtime_us();
	coordinator->told_anew = true;
	cut_copy(&coordinator->cut, &coordinator->all_cut);
}

static void on_committed(
    struct coordinator *coordinator, const char *worker, struct member *member, const struct frame *event)
{
	const struct frame_committed *committed = &event->body.committed;
	(void)worker, (void)member;
	struct writer_said *writer = writer_said(coordinator, committed->actor);
	struct pacing *pacing = &coordinator->pacing;
	struct counters counters;
	uint64_t n = 0;
	if (coordinator->state != STATE_RUNNING || writer == NULL)
		return;
	bool in_order = writer_committed(coordinator, writer, committed, &n, &coordinator->all_cut, &counters);
	bool further = in_order && n > pacing->committed;
	if (!in_order || committed->epoch.n > pacing->injected ||
	    (further && !pacing_committed(pacing, n, committed->commit_us, committed->silent, coordinator->now_us))) {
		broken(coordinator, "epoch %" PRIu64 ".%" PRIu64 " was committed out of order",
		    committed->epoch.attempt, committed->epoch.n);
		return;
	}
	if (committed->live && !coordinator->live)
		log_info("attempt %" PRIu64 " has reached the frontier", coordinator->attempt);
	coordinator->live = committed->live;
	if (further && !committed->silent)
		note_frontier(coordinator, n, &counters);
	if (coordinator->topology.plan->has_checkpoints)
		on_keeper_news(coordinator, checkpoint_keeper_committed(&coordinator->checkpoints, committed->epoch,
		                                &committed->at, coordinator->now_us));
}

static void on_failed(
    struct coordinator *coordinator, const char *worker, struct member *member, const struct frame *event)
{
	const struct frame_failed *failed = &event->body.failed;
	(void)member;
	char text[ERROR_TEXT_MAX];
	if (failed->code == RESULT_CONFIG) {
		/* A writer has just asked the database, and answers no more. */
		(hosts_role(coordinator, worker, ROLE_WRITER) ? config_error : refused)(coordinator, failed->text);
		return;
	}
	coordinator->excused = failed->verdicts.len > 0;
	if (failed->verdicts.len > 0)
		late_keep(coordinator, failed);
	(void)snprintf(text, sizeof text, "%s: %s", worker, failed->text);
	broken(coordinator, "%s", text);
}

static void on_snapshot_done(
    struct coordinator *coordinator, const char *worker, struct member *member, const struct frame *event)
{
	(void)worker, (void)member;
	if (coordinator->state == STATE_RUNNING)
		on_keeper_news(coordinator, checkpoint_keeper_written(&coordinator->checkpoints,
		                                &event->body.snapshot_done, coordinator->now_us));
}

static void on_retired(
    struct coordinator *coordinator, const char *worker, struct member *member, const struct frame *event)
{
	(void)worker, (void)member;
	if (coordinator->state == STATE_RUNNING)
		checkpoint_keeper_retired(&coordinator->checkpoints, &event->body.retired.checkpoints);
}

/* What is logged from here on is about this job. */
void enter(struct coordinator *coordinator, uint64_t now_us)
{
	coordinator->now_us = now_us;
	log_set_job(coordinator->config.job, coordinator->attempt);
}

/* Whose word counts. */
enum hearing_scope {
	ANYBODY, /* also of one that nobody knows yet */
	MEMBERS, /* whoever has registered, and is not on its way out */
	PARTS, /* of those whoever takes part in this attempt, about this attempt */
};
struct hearing {
	enum frame_kind kind;
	enum hearing_scope scope;
	/* member: NULL where it is not known, of ANYBODY */
	void (*hear)(struct coordinator *, const char *worker, struct member *member, const struct frame *);
};
static const struct hearing hearings[] = {
    {FRAME_REGISTER, ANYBODY, on_register},
    {FRAME_WAITING, MEMBERS, on_waiting},
    {FRAME_LEAVING, MEMBERS, on_leaving},
    {FRAME_FENCED, PARTS, on_fenced},
    {FRAME_DECISIONS, PARTS, on_decisions},
    {FRAME_DESCRIBED, PARTS, on_described},
    {FRAME_CUT_SET, PARTS, on_cut_set},
    {FRAME_DEPLOYED, PARTS, on_deployed},
    {FRAME_READY, PARTS, on_ready},
    {FRAME_PENDING, PARTS, on_pending},
    {FRAME_COMMITTED, PARTS, on_committed},
    {FRAME_SNAPSHOT_DONE, PARTS, on_snapshot_done},
    {FRAME_DAMAGED, PARTS, on_damaged},
    {FRAME_RETIRED, PARTS, on_retired},
    {FRAME_FAILED, PARTS, on_failed},
};

static const struct hearing *hearing_of(enum frame_kind kind)
{
	for (size_t i = 0; i < sizeof hearings / sizeof *hearings; i++)
		if (hearings[i].kind == kind)
			return &hearings[i];
	return NULL;
}

bool coordinator_hears(enum frame_kind kind)
{
	return hearing_of(kind) != NULL;
}

static bool counts(const struct coordinator *coordinator, enum hearing_scope scope, const struct member *member,
    const struct frame *event)
{
	if (scope == ANYBODY)
		return true;
	if (member == NULL || member->leaving)
		return false;
	return scope == MEMBERS ||
	       (event->header.attempt == coordinator->attempt && takes_part(coordinator, member->name));
}

void coordinator_on_event(
    struct coordinator *coordinator, const char *worker, const struct frame *event, uint64_t now_us)
{
	const struct hearing *hearing = hearing_of(event->header.kind);
	enter(coordinator, now_us);
	if (coordinator->state == STATE_STOPPED)
		return;
	struct member *member = registry_find(&coordinator->registry, worker);
	if (!counts(coordinator, hearing != NULL ? hearing->scope : PARTS, member, event))
		return;
	if (hearing != NULL)
		hearing->hear(coordinator, worker, member, event);
	else
		log_warn("%s sends %s, which no worker does", worker, frame_kind_name(event->header.kind));
	coordinator_on_tick(coordinator, now_us);
}

void coordinator_on_lost(struct coordinator *coordinator, const char *worker, const char *why, uint64_t now_us)
{
	enter(coordinator, now_us);
	struct member *member = registry_find(&coordinator->registry, worker);
	bool expected = member != NULL && member->leaving;
	bool part = member != NULL && !expected && takes_part(coordinator, worker);
	if (member == NULL)
		return;
	if (!expected)
		log_warn("%s is lost: %s", worker, why);
	if (expected && !member->quits)
		member->gone = true; /* it starts itself afresh: whoever gathers waits for it a moment */
	else
		registry_remove(&coordinator->registry, worker);
	if (part)
		broken(coordinator, "%s is lost: %s", worker, why);
}

/* --- wishes, and life ---------------------------------------------------------------------------------------------- */

void coordinator_stop(struct coordinator *coordinator, uint64_t now_us)
{
	enter(coordinator, now_us);
	coordinator->stopping = true;
	if (coordinator->state == STATE_RUNNING && coordinator->topology.plan->has_checkpoints)
		coordinator_on_tick(coordinator, now_us);
	else if (coordinator->state != STATE_STOPPED)
		end_well(coordinator, "told to end");
}

void coordinator_checkpoint(struct coordinator *coordinator, uint64_t now_us)
{
	enter(coordinator, now_us);
	if (!coordinator->topology.plan->has_checkpoints)
		return;
	(void)checkpoint_keeper_wish(&coordinator->checkpoints);
	coordinator_on_tick(coordinator, now_us);
}

uint64_t coordinator_attempt(const struct coordinator *coordinator)
{
	return coordinator->attempt;
}

struct coordinator *coordinator_new(const struct coordinator_config *config, uint64_t now_us)
{
	struct coordinator *coordinator = memory_new(sizeof *coordinator);
	coordinator->config = *config;
	coordinator->pipeline = config->pipeline;
	coordinator->topology = config->topology;
	coordinator->writers = memory_new(coordinator->topology.writers * sizeof *coordinator->writers);
	coordinator->ends_said = memory_new(coordinator->topology.ingest * sizeof *coordinator->ends_said);
	for (uint32_t i = 0; i < coordinator->topology.ingest; i++)
		coordinator->ends_said[i].since_us = clock_realtime_us();
	coordinator->places = memory_resize(NULL, topology_actors(&coordinator->topology), sizeof *coordinator->places);
	checkpoint_keeper_init(&coordinator->checkpoints, &(struct checkpoints_config){.pipeline = config->pipeline,
	                                                      .job = config->job,
	                                                      .store = config->store,
	                                                      .topology = &coordinator->topology});
	coordinator->at_least = 1;
	coordinator->now_us = coordinator->state_us = coordinator->work_us = now_us;
	return coordinator;
}

void coordinator_free(struct coordinator *coordinator)
{
	forget_attempt(coordinator);
	for (uint32_t i = 0; i < coordinator->topology.writers; i++)
		cut_fini(&coordinator->writers[i].cut);
	free(coordinator->writers);
	free(coordinator->ends_said);
	free(coordinator->places);
	free(coordinator->decisions);
	free(coordinator->addresses);
	free(coordinator->late);
	checkpoint_keeper_fini(&coordinator->checkpoints);
	registry_fini(&coordinator->registry);
	cut_fini(&coordinator->fenced.cut);
	marks_fini(&coordinator->marks);
	arena_fini(&coordinator->memory);
	cut_fini(&coordinator->base_cut);
	cut_fini(&coordinator->decided_from);
	cut_fini(&coordinator->cut);
	cut_fini(&coordinator->all_cut);
	cut_fini(&coordinator->ends);
	free(coordinator);
}
