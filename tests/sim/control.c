#include "tests/sim/control.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

#define ZONE_RULES "those of UTC" /* that all processes have */

/* --- coordinators ------------------------------------------------------------------------------------------------------- */

static struct session *find(const struct coordinator_process *coordinator, const char *worker)
{
	struct session *session = coordinator->world->sessions;
	while (session != NULL && (session->coordinator != coordinator || strcmp(session->worker, worker) != 0))
		session = session->next;
	return session;
}

static void note_base(struct world *world, uint64_t attempt, const struct frame_deploy *deploy)
{
	struct attempt_note *note = world_note(world, attempt);
	const struct alteration *alteration = &world->log.alteration;
	for (uint32_t p = 0; note != NULL && p < PARTITIONS_MAX; p++) {
		note->base[p] = cut_get(&deploy->base_cut, p, 0);
		note->altered |= alteration->there && alteration->partition == p &&
		                 alteration->offset >= note->base[p] && alteration->offset < note->cut[p];
	}
}

/* Actors and retention rely on it: as long as the database names it, it can be restored. */
static void check_complete(struct world *world, struct epoch_id checkpoint)
{
	const struct database *database = &world->database;
	for (uint32_t i = 0; i < database->checkpoints_len; i++)
		if (epoch_equal(database->checkpoints[i].epoch, checkpoint) &&
		    !store_has_manifest(&world->store, checkpoint))
			world_violate(world,
			    "checkpoint %" PRIu64 ".%" PRIu64 " is called complete, and has no manifest",
			    checkpoint.attempt, checkpoint.n);
}

static void port_command(
    struct coordinator_port *port, const char *worker, uint64_t attempt, enum frame_kind kind, const void *body)
{
	struct coordinator_process *coordinator = (struct coordinator_process *)port;
	struct world *world = coordinator->world;
	struct session *session = find(coordinator, worker);
	struct frame_header header = {.kind = kind, .job = frame_job(world->job), .attempt = attempt};
	struct buffer message = {0};
	if (world->trace)
		world_trace(world, "    coordinator.%u tells %s %s, attempt %" PRIu64, coordinator->slot, worker,
		    frame_kind_name(kind), attempt);
	frame_encode(&message, &header, body);
	world_hash(world, buffer_bytes(&message));
	coordinator->attempt = attempt != 0 ? attempt : coordinator->attempt;
	if (kind == FRAME_INJECT && world_note(world, attempt) != NULL)
		world_note(world, attempt)->injected = ((const struct frame_inject *)body)->epoch.n;
	if (kind == FRAME_DEPLOY)
		note_base(world, attempt, body);
	if (kind == FRAME_DEPLOY && world->kind == JOB_SEARCH)
		documents_check_base(world, &((const struct frame_deploy *)body)->base_cut);
	if (kind == FRAME_INJECT && world->kind == JOB_SEARCH)
		documents_check_inject(coordinator, ((const struct frame_inject *)body)->epoch);
	if (kind == FRAME_CHECKPOINT_COMPLETE)
		check_complete(world, ((const struct frame_checkpoint_complete *)body)->checkpoint);
	if (session != NULL)
		queue_push(&session->commands, &message);
	buffer_fini(&message);
}

static bool is_usable(const struct world *world, struct epoch_id epoch)
{
	struct checkpoint_store *store = (struct checkpoint_store *)&world->store.store;
	struct frame_manifest manifest;
	struct arena arena = {0};
	struct error error;
	bool found = false;
	((struct world *)world)->store.failures = 0;
	enum result result = store->ops->get_manifest(store, epoch, &arena, &manifest, &found, &error);
	bool usable = result == RESULT_OK && found;
	for (uint32_t i = 0; usable && i < manifest.files.len; i++) {
		const struct stored_file *file = store_file(&world->store, manifest.files.entries[i].name);
		usable = file != NULL && stored_file_verifies(file, &manifest.files.entries[i]);
	}
	arena_fini(&arena);
	return usable;
}

const struct identity *usable_checkpoint(const struct world *world)
{
	const struct database *database = &world->database;
	for (uint32_t i = database->checkpoints_len; i-- > 0;)
		if (epoch_compare(database->checkpoints[i].epoch, database->since) >= 0 &&
		    is_usable(world, database->checkpoints[i].epoch))
			return &database->checkpoints[i];
	return NULL;
}

/* Only who has the fence can promise that nothing comes behind its last checkpoint, and no failover has lost it already. */
static void note_clean_stop(struct world *world, const struct coordinator_process *coordinator, const char *why)
{
	world->stopped_cleanly = true;
	world->clean =
	    (struct clean_stop){.said = strcmp(why, "a last checkpoint was taken") == 0 &&
	                                world->database.fence == coordinator->attempt && !world->database.failed_over,
	        .last = world->database.last};
}

/* The attempt that was stopped has gone no further but for what it had under way, no failover has lost the checkpoint, and it can
 * be read: all the time, for what a coordinator saw damaged it does not try again. */
static bool clean_stop_counts(const struct world *world)
{
	const struct database *database = &world->database;
	return world->clean.said && world->statistics.mended == 0 &&
	       database->last.attempt == world->clean.last.attempt &&
	       epoch_compare(database->last, world->clean.last) >= 0 && database->checkpoints_len > 0 &&
	       is_usable(world, database->checkpoints[database->checkpoints_len - 1].epoch);
}

static void port_stop(struct coordinator_port *port, int code, const char *why)
{
	struct coordinator_process *coordinator = (struct coordinator_process *)port;
	/* A failover that loses commits can bring back a time whose checkpoints have been retired; and a damaged file that
	 * nobody reads for long enough is in all that are left, as is one that a manifest of another history named before
	 * that was put back. What this coordinator saw damaged it does not try again, though it may be readable by now. */
	const struct statistics *statistics = &coordinator->world->statistics;
	if (statistics->failover + statistics->damaged + statistics->states_altered > 0 &&
	    !coordinator->world->store.foreign &&
	    (statistics->mended > 0 || coordinator->world->nothing_usable ||
	        usable_checkpoint(coordinator->world) == NULL) &&
	    strstr(why, "knows none of its checkpoints") != NULL)
		coordinator->world->declared = true;
	else if (says_other_log(coordinator->world, why))
		coordinator->world->log_refused = true;
	else if (code == 0)
		note_clean_stop(coordinator->world, coordinator, why);
	else if (coordinator->world->database.file.wide != coordinator->world->file.wide &&
	         strstr(why, "not stopped cleanly") != NULL && !clean_stop_counts(coordinator->world))
		coordinator->world->refused = true;
	else if (!coordinator->world->database.started && strstr(why, "of another meaning") != NULL)
		coordinator->world->refused = true;
	else
		world_violate(
		    coordinator->world, "coordinator.%u stops the job with %d: %s", coordinator->slot, code, why);
}

void coordinator_process_start(struct coordinator_process *process, struct world *world, uint32_t slot)
{
	*process = (struct coordinator_process){
	    .port = {port_command, port_stop},
	    .world = world,
	    .life = LIFE_UP,
	    .setup = setup_now(world),
	    .incarnation = ++world->next_id,
	    .slot = slot,
	};
	struct coordinator_config config = {
	    .pipeline = &process->setup.pipeline,
	    .job = world->job,
	    .zone_rules = ZONE_RULES,
	    .topology = process->setup.topology,
	    .store = &world->store.store,
	    .port = &process->port,
	    .expected_ingest = world->expected_ingest,
	    .expected_aggregators = world->expected_aggregators,
	};
	process->coordinator = coordinator_new(&config, world->now_us);
	world_trace(world, "coordinator.%u starts", slot);
}

/* What it had sent is partly under way still. */
void coordinator_process_kill(struct coordinator_process *process)
{
	struct world *world = process->world;
	for (struct session *session = world->sessions; session != NULL; session = session->next) {
		if (session->coordinator != process)
			continue;
		session->coordinator = NULL;
		queue_cut(&session->events, 0);
		queue_cut(&session->commands, random_below(&world->random, session->commands.len + 1));
	}
	coordinator_free(process->coordinator);
	process->coordinator = NULL;
	process->life = LIFE_DOWN;
}

bool coordinator_process_due(const struct coordinator_process *process)
{
	if (process->life != LIFE_UP)
		return false;
	uint64_t wake = coordinator_wake_us(process->coordinator);
	return wake != 0 && wake <= process->world->now_us;
}

/* --- sessions ------------------------------------------------------------------------------------------------------------- */

static bool is_reachable(const struct coordinator_process *coordinator, const struct process *process)
{
	return coordinator->life == LIFE_UP && coordinator->setup.generation == process->setup.generation;
}

bool session_can_open(const struct world *world, const struct process *process)
{
	for (uint32_t i = 0; i < COORDINATORS_MAX; i++)
		if (is_reachable(&world->coordinators[i], process))
			return true;
	return false;
}

static struct coordinator_process *reachable(struct world *world, const struct process *process)
{
	struct coordinator_process *up[COORDINATORS_MAX];
	uint32_t len = 0;
	for (uint32_t i = 0; i < COORDINATORS_MAX; i++)
		if (is_reachable(&world->coordinators[i], process))
			up[len++] = &world->coordinators[i];
	return len ? up[random_below(&world->random, len)] : NULL;
}

bool session_open(struct world *world, struct process *process)
{
	struct coordinator_process *coordinator = reachable(world, process);
	struct session *session, **end = &world->sessions;
	char topology[TOPOLOGY_TEXT_MAX];
	struct frame_registration registration = worker_registration(process->role, process->pid, process->pid,
	    world->job, &process->setup.pipeline, &process->setup.topology, ZONE_RULES, topology);
	struct frame_header header = {.kind = FRAME_REGISTER, .job = frame_job(world->job)};
	struct buffer message = {0};
	if (coordinator == NULL)
		return false;
	session = memory_new(sizeof *session);
	session->coordinator = coordinator;
	session->process = process;
	(void)snprintf(session->worker, sizeof session->worker, "%s", process->name);
	frame_encode(&message, &header, &registration);
	queue_push(&session->events, &message);
	while (*end != NULL)
		end = &(*end)->next;
	*end = session;
	world_trace(world, "%s registers with coordinator.%u", process->name, coordinator->slot);
	return true;
}

struct session *session_of(const struct world *world, const struct process *process)
{
	struct session *session = world->sessions;
	while (session != NULL && session->process != process)
		session = session->next;
	return session;
}

void session_report(struct session *session, struct buffer *message)
{
	if (session->coordinator != NULL)
		queue_push(&session->events, message);
}

void session_forget_process(struct world *world, const struct process *process)
{
	struct session *session = session_of(world, process);
	if (session == NULL)
		return;
	session->process = NULL;
	queue_cut(&session->commands, 0);
	queue_cut(&session->events, random_below(&world->random, session->events.len + 1));
}

void session_give_up(struct session *session, const char *why)
{
	struct coordinator_process *coordinator = session->coordinator;
	struct world *world = coordinator->world;
	session->coordinator = NULL;
	queue_cut(&session->events, 0);
	queue_cut(&session->commands, random_below(&world->random, session->commands.len + 1));
	coordinator_on_lost(coordinator->coordinator, session->worker, why, world->now_us);
}

/* A name belongs to the older session until that is lost. */
static bool is_first_of_its_name(const struct world *world, const struct session *session)
{
	for (const struct session *older = world->sessions; older != session; older = older->next)
		if (older->coordinator == session->coordinator && strcmp(older->worker, session->worker) == 0)
			return false;
	return true;
}

bool session_has_event(const struct world *world, const struct session *session)
{
	if (session->coordinator == NULL || session->coordinator->life != LIFE_UP)
		return false;
	return (session->events.len > 0 || session->process == NULL) && is_first_of_its_name(world, session);
}

void session_take_event(struct session *session)
{
	struct coordinator_process *coordinator = session->coordinator;
	struct world *world = coordinator->world;
	struct arena arena = {0};
	struct frame frame;
	struct error error;
	if (session->events.len == 0) {
		world_trace(world, "coordinator.%u hears that %s is gone", coordinator->slot, session->worker);
		session_give_up(session, "it is gone");
		return;
	}
	struct buffer message = queue_pop(&session->events);
	if (frame_decode(buffer_bytes(&message), &arena, &frame, NULL, &error) != RESULT_OK) {
		world_violate(world, "an event of %s cannot be read: %s", session->worker, error.text);
	} else {
		world_trace(world, "coordinator.%u hears %s of %s, attempt %" PRIu64, coordinator->slot,
		    frame_kind_name(frame.header.kind), session->worker, frame.header.attempt);
		coordinator_on_event(coordinator->coordinator, session->worker, &frame, world->now_us);
		if (world->kind == JOB_SEARCH)
			documents_check_report(coordinator);
	}
	buffer_fini(&message);
	arena_fini(&arena);
}

/* Given up by its coordinator: it hears so from whoever answers at that address now. */
bool session_has_command(const struct world *world, const struct session *session)
{
	if (session->process == NULL || session->process->life != LIFE_UP)
		return false;
	if (session->commands.len > 0)
		return true;
	if (session->coordinator != NULL)
		return false;
	for (uint32_t i = 0; i < COORDINATORS_MAX; i++)
		if (world->coordinators[i].life == LIFE_UP)
			return true;
	return false;
}

void session_take_command(struct session *session)
{
	struct process *process = session->process;
	struct world *world = process->world;
	struct arena arena = {0};
	struct frame frame = {.header = {.kind = FRAME_CANCEL}};
	struct error error;
	struct buffer message = {0};
	if (session->commands.len == 0) {
		frame.body.cancel.text = "the coordinator does not know this worker any more";
	} else {
		message = queue_pop(&session->commands);
		if (frame_decode(buffer_bytes(&message), &arena, &frame, NULL, &error) != RESULT_OK) {
			world_violate(world, "a command cannot be read: %s", error.text);
			goto out;
		}
	}
	world_trace(world, "%s is told %s, attempt %" PRIu64, process->name, frame_kind_name(frame.header.kind),
	    frame.header.attempt);
	process_command(process, &frame);
out:
	buffer_fini(&message);
	arena_fini(&arena);
}

void sessions_sweep(struct world *world)
{
	for (struct session **at = &world->sessions; *at != NULL;) {
		struct session *session = *at;
		if (session->process == NULL && session->coordinator == NULL) {
			*at = session->next;
			queue_fini(&session->events);
			queue_fini(&session->commands);
			free(session);
		} else {
			at = &session->next;
		}
	}
}

void control_fini(struct world *world)
{
	for (uint32_t i = 0; i < COORDINATORS_MAX; i++)
		if (world->coordinators[i].life != LIFE_DOWN)
			coordinator_process_kill(&world->coordinators[i]);
	for (struct session *session = world->sessions; session != NULL; session = session->next)
		session->process = NULL;
	sessions_sweep(world);
}
