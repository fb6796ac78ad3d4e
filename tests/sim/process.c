#include "tests/sim/process.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/aggregator/dedup.h"
#include "services/aggregator/rollup.h"
#include "services/sink/writer.h"
#include "tests/sim/sim.h"

enum { HEADER_KIND = 6, HEADER_ATTEMPT = 16 }; /* see frame.h */

static struct process *process_of(struct host *host)
{
	return (struct process *)host;
}

static enum frame_kind kind_of(struct bytes message)
{
	return (enum frame_kind)(message.data[HEADER_KIND] | message.data[HEADER_KIND + 1] << 8);
}

static uint64_t attempt_of(struct bytes message)
{
	uint64_t attempt;
	memcpy(&attempt, message.data + HEADER_ATTEMPT, sizeof attempt);
	return attempt;
}

static const char *channel_text(const struct process *process, uint32_t channel, char out[64])
{
	char from[ACTOR_NAME_MAX], to[ACTOR_NAME_MAX];
	struct edge edge = topology_edge(&process->setup.topology, channel);
	(void)snprintf(out, 64, "%s -> %s", actor_name(edge.from, from), actor_name(edge.to, to));
	return out;
}

/* --- what an attempt replays ------------------------------------------------------------------------------------------ */

/* A decision that dedup sends about a record below the frontier has been recorded, with the same verdict. */
static void watch_decisions(struct world *world, uint64_t attempt, struct bytes message)
{
	struct attempt_note *note = world_note(world, attempt);
	struct arena arena = {0};
	struct frame frame;
	struct error error;
	if (note == NULL || note->altered || frame_decode(message, &arena, &frame, NULL, &error) != RESULT_OK)
		goto out;
	const struct decisions *decisions = &frame.body.decisions.decisions;
	for (uint32_t i = 0; i < decisions->len; i++) {
		const struct decision *decision = &decisions->entries[i];
		uint32_t place = log_place(&world->log.partitions[decision->partition], decision->offset);
		if (decision->offset >= note->cut[decision->partition])
			continue;
		note->replayed[decision->partition][place] = 1;
		world->statistics.decisions_replayed++;
		if (note->decided[decision->partition][place] != decision->verdict)
			world_violate(world,
			    "attempt %" PRIu64 " decides %u/%" PRId64 " in its replay, which was not decided so",
			    attempt, decision->partition, decision->offset);
	}
out:
	arena_fini(&arena);
}

/* At the end of the silence every decision of before has been obeyed again. */
static void watch_silence(struct world *world, const struct frame_committed *committed)
{
	struct attempt_note *note = world_note(world, committed->epoch.attempt);
	if (note == NULL || !committed->silent)
		return;
	world->statistics.silent_epochs++;
	if (!committed->live)
		return;
	world->statistics.silences++;
	if (note->altered)
		world_violate(world, "attempt %" PRIu64 " goes on, though %u/%" PRId64 " is not what was read before",
		    committed->epoch.attempt, world->log.alteration.partition, world->log.alteration.offset);
	for (uint32_t p = 0; p < world->log.len; p++)
		for (uint32_t i = 0; i < world->log.partitions[p].len; i++)
			if (note->decided[p][i] != 0 && !note->replayed[p][i] &&
			    world->log.partitions[p].records[i].offset >= note->base[p])
				world_violate(world, "attempt %" PRIu64 " did not replay the decision on %u/%" PRId64,
				    committed->epoch.attempt, p, world->log.partitions[p].records[i].offset);
}

/* --- the host: what the worker asks for ------------------------------------------------------------------------------- */

static enum result host_listen(struct host *host, uint32_t channel, char url[CHANNEL_URL_MAX], struct error *error)
{
	struct process *process = process_of(host);
	(void)error;
	(void)snprintf(url, CHANNEL_URL_MAX, "sim:%" PRIu64, network_listen(process->world, process, channel));
	return RESULT_OK;
}

static enum result host_dial(struct host *host, uint32_t channel, const char *url, struct error *error)
{
	struct process *process = process_of(host);
	(void)error;
	(void)network_dial(process->world, process, channel, strtoull(url + sizeof "sim:" - 1, NULL, 10));
	return RESULT_OK;
}

/* Some of what is sent is kept, to come in again in a later attempt. */
static void keep_stale(struct world *world, uint32_t channel, uint64_t attempt, struct bytes message)
{
	struct stale_message *stale = &world->stale[world->stale_next];
	if (!random_chance(&world->random, 120))
		return;
	world->stale_next = (world->stale_next + 1) % STALE_MAX;
	stale->channel = channel;
	stale->attempt = attempt;
	buffer_clear(&stale->bytes);
	buffer_append(&stale->bytes, message.data, message.len);
}

static void host_send(struct host *host, uint32_t channel, struct buffer *message)
{
	struct process *process = process_of(host);
	struct world *world = process->world;
	struct connection *connection = process->out[channel];
	struct bytes bytes = buffer_bytes(message);
	char text[64];
	if (world->trace)
		world_trace(world, "    %s %s", channel_text(process, channel, text), frame_kind_name(kind_of(bytes)));
	world_hash(world, bytes);
	if (kind_of(bytes) == FRAME_DECISIONS)
		watch_decisions(world, process->worker.attempt, bytes);
	keep_stale(world, channel, process->worker.attempt, bytes);
	if (connection == NULL || connection->to == NULL || connection->broken) {
		buffer_fini(message);
	} else if (!world->settling && random_chance(&world->random, world->drop_permille)) {
		struct attempt_note *note = world_note(world, process->worker.attempt);
		world_trace(world, "    ... is lost on the way");
		world->statistics.dropped_frames++;
		if (note != NULL)
			note->broken_link = true;
		buffer_fini(message);
	} else {
		queue_push(&connection->queue, message);
	}
}

static void host_taken(struct host *host, uint32_t channel)
{
	(void)host, (void)channel;
}

static bool is_refusal(enum sink_outcome outcome)
{
	return outcome == SINK_FENCED || outcome == SINK_MOVED;
}

static bool was_refused(const struct process *process)
{
	bool refused = process->sink_open && is_refusal(process->sink.answer.outcome);
	for (uint32_t i = 0; i < WRITERS_MAX; i++)
		refused |= process->documents[i].open && is_refusal(process->documents[i].answer.outcome);
	return refused;
}

/* An attempt ends only for a reason that was put there; CONFIG has one where the topic is another one. */
static void judge_failure(struct process *process, const struct frame_failed *failed)
{
	struct world *world = process->world;
	const struct attempt_note *note = world_note(world, process->worker.attempt);
	bool refused = was_refused(process);
	/* By now another attempt may have raised the fence, and all begins anew there. */
	bool looked = process->sink_open && (process->sink.failed_over || world->database.failed_over);
	bool overtaken = world->kind == JOB_SEARCH && documents_overtaken(world, process->worker.attempt);
	world->statistics.failures++;
	world_trace(world, "    %s fails: %s", process->name, failed->text);
	if (failed->code == RESULT_CONFIG && !says_other_log(world, failed->text))
		world_violate(world, "%s stops the job: %s", process->name, failed->text);
	else if (failed->code == RESULT_CORRUPT && !refused && !looked && !overtaken &&
	         !(note != NULL && note->broken_link))
		world_violate(world, "%s ends attempt %" PRIu64 " though nothing was broken: %s", process->name,
		    process->worker.attempt, failed->text);
}

static bool is_reported(enum frame_kind kind)
{
	for (enum frame_party from = PARTY_INGEST; from <= PARTY_WORKER; from++)
		if (frame_travels(kind, from, PARTY_COORDINATOR))
			return true;
	return false;
}

static void watch_report(struct process *process, enum frame_kind kind, struct bytes message)
{
	struct arena arena = {0};
	struct frame frame;
	struct error error;
	world_hash(process->world, message);
	if (!is_reported(kind))
		world_violate(process->world, "%s says %s, which has no route to a coordinator", process->name,
		    frame_kind_name(kind));
	if (kind != FRAME_FAILED && kind != FRAME_COMMITTED)
		return;
	if (frame_decode(message, &arena, &frame, NULL, &error) != RESULT_OK)
		world_violate(process->world, "%s reports what cannot be read: %s", process->name, error.text);
	else if (kind == FRAME_FAILED)
		judge_failure(process, &frame.body.failed);
	else
		watch_silence(process->world, &frame.body.committed);
	arena_fini(&arena);
}

static void host_report(struct host *host, enum frame_kind kind, uint64_t attempt, struct buffer *message)
{
	struct process *process = process_of(host);
	struct session *session = session_of(process->world, process);
	struct frame_header header = {.kind = kind, .job = process->worker.job, .attempt = attempt};
	frame_header_write(message->data, message->len - FRAME_HEADER_SIZE, &header);
	if (process->world->trace)
		world_trace(process->world, "    %s says %s", process->name, frame_kind_name(kind));
	watch_report(process, kind, buffer_bytes(message));
	if (session != NULL)
		session_report(session, message);
	buffer_fini(message);
}

static void host_restart(struct host *host, const char *why)
{
	struct process *process = process_of(host);
	process->restart_wanted = true;
	(void)snprintf(process->why, sizeof process->why, "%s", why);
}

static void host_stop(struct host *host, int code, const char *why)
{
	struct process *process = process_of(host);
	process->stop_wanted = process->leaves;
	if (!process->leaves && !process->world->declared && !process->world->refused && !process->world->log_refused &&
	    !process->world->stopped_cleanly)
		world_violate(process->world, "%s is told to exit with %d: %s", process->name, code, why);
}

static struct sink_port *open_sink(struct process *process, uint32_t id)
{
	if (process->world->kind == JOB_SEARCH)
		return document_port_open(process, actor_index(id));
	if (!process->sink_open)
		sink_init(&process->sink, process->world, process->name);
	process->sink_open = true;
	return &process->sink.port;
}

static struct actor *host_create(struct host *host, uint32_t id, uint64_t attempt, struct error *error)
{
	struct process *process = process_of(host);
	const struct setup *setup = &process->setup;
	switch (actor_role(id)) {
	case ROLE_INGEST:
		return ingest_new(&process->ingest, id, attempt, error);
	case ROLE_DEDUP:
		return dedup_new(&setup->pipeline, &setup->topology, sim_state_open(process, id), id, attempt);
	case ROLE_ROLLUP:
		return rollup_new(&setup->pipeline, &setup->topology, sim_state_open(process, id), id, attempt);
	case ROLE_WRITER:
		return writer_new(&setup->pipeline, &setup->topology, open_sink(process, id), id, attempt);
	}
	panic("no such role");
}

static const struct host_ops host_ops = {
    host_listen, host_dial, host_send, host_taken, host_report, host_restart, host_stop, host_create};

/* --- life ---------------------------------------------------------------------------------------------------------------- */

void process_init(struct process *process, struct world *world, enum process_role role, uint32_t slot)
{
	*process = (struct process){.host = {&host_ops}, .world = world, .role = role, .slot = slot};
}

struct setup setup_now(const struct world *world)
{
	return (struct setup){world->generation, world->topology, world->pipeline};
}

static void begin(struct process *process)
{
	struct world *world = process->world;
	process->incarnation = ++world->next_id;
	process->restart_wanted = process->leaves = process->stop_wanted = false;
	worker_init(&process->worker, &process->host, process->name, world->job, &process->setup.topology);
	source_init(&process->source, world);
	process->ingest = (struct ingest_process){
	    .pipeline = &process->setup.pipeline, .topology = process->setup.topology, .source = &process->source.port};
}

static void end(struct process *process, bool backend_lives_on)
{
	session_forget_process(process->world, process);
	network_forget(process->world, process);
	worker_fini(&process->worker);
	source_fini(&process->source);
	if (process->sink_open)
		sink_fini(&process->sink, backend_lives_on);
	process->sink_open = false;
	for (uint32_t i = 0; i < WRITERS_MAX; i++)
		document_port_close(&process->documents[i], backend_lives_on);
}

void process_start(struct process *process)
{
	const char *role = process_role_name(process->role);
	process->life = LIFE_UP;
	if (!process->old)
		process->setup = setup_now(process->world);
	process->pid = ++process->world->next_id;
	if (process->world->names_fixed)
		(void)snprintf(process->name, sizeof process->name, "%s-%u", role, process->slot);
	else
		(void)snprintf(
		    process->name, sizeof process->name, "%s-%u-%" PRIu64, role, process->slot, process->pid);
	begin(process);
	world_trace(process->world, "%s starts", process->name);
}

void process_kill(struct process *process)
{
	end(process, random_chance(&process->world->random, 600));
	process->life = LIFE_DOWN;
}

void process_restart(struct process *process)
{
	world_trace(process->world, "    %s starts afresh: %s", process->name, process->why);
	process->world->statistics.restarts++;
	end(process, random_chance(&process->world->random, 600));
	begin(process);
}

/* --- what it does ---------------------------------------------------------------------------------------------------------- */

static void settle(struct process *process)
{
	if (process->stop_wanted) {
		world_trace(process->world, "    %s ends", process->name);
		process_kill(process);
		process->back_us = fault_later(process->world);
	} else if (process->restart_wanted)
		process_restart(process);
}

void process_command(struct process *process, const struct frame *command)
{
	if (command->header.kind == FRAME_START)
		process->world->statistics.starts += process->role == PROCESS_SINK;
	worker_command(&process->worker, command);
	settle(process);
}

void process_message(struct process *process, uint32_t channel, struct buffer *message)
{
	char text[64];
	if (process->world->trace)
		world_trace(process->world, "%s gets %s, attempt %" PRIu64 ", on %s", process->name,
		    frame_kind_name(kind_of(buffer_bytes(message))), attempt_of(buffer_bytes(message)),
		    channel_text(process, channel, text));
	const struct worker_channel *known = &process->worker.channels[channel - 1];
	bool stale = attempt_of(buffer_bytes(message)) < process->worker.attempt, greeted = known->greeted;
	worker_message(&process->worker, channel, message);
	if (stale && known->greeted != greeted)
		world_violate(process->world, "%s is greeted by a sender of an older attempt", process->name);
	settle(process);
}

void process_deliver(struct process *process, uint32_t id)
{
	struct worker *worker = &process->worker;
	const struct worker_channel *channel = &worker->channels[id - 1];
	struct bytes message = buffer_bytes(&channel->inbox[channel->inbox_first]);
	bool stale = attempt_of(message) < worker->attempt;
	char text[64];
	if (process->world->trace)
		world_trace(process->world, "deliver %s%s on %s", stale ? "stale " : "",
		    frame_kind_name(kind_of(message)), channel_text(process, id, text));
	enum worker_state before = worker->state;
	uint64_t sequence = channel->sequence_in;
	worker_deliver(worker, id);
	if (stale && ((worker->state == WORKER_OVER && before != WORKER_OVER) || channel->sequence_in != sequence))
		world_violate(process->world, "a frame of an older attempt was not dropped by %s", process->name);
	settle(process);
}

void process_tick(struct process *process, uint32_t place)
{
	struct world *world = process->world;
	uint32_t id = process->worker.actors[place]->id;
	char name[ACTOR_NAME_MAX];
	if (world->trace)
		world_trace(world, "tick %s of %s", actor_name(id, name), process->name);
	if (actor_role(id) == ROLE_INGEST)
		process->source.seen[actor_index(id)] = world->log_version;
	worker_tick(&process->worker, place, world->now_us);
	settle(process);
}

bool process_tick_due(const struct process *process, uint32_t place)
{
	const struct actor *actor = process->worker.actors[place];
	if (actor->wake_us != WAKE_NEVER && actor->wake_us <= process->world->now_us)
		return true;
	if (actor_role(actor->id) == ROLE_INGEST)
		return source_has_news(&process->source, actor_index(actor->id));
	for (const struct sim_state *state = process->states; state != NULL; state = state->next)
		if (actor_id(state->role, state->index) == actor->id && state->answered)
			return true;
	return actor_role(actor->id) == ROLE_WRITER &&
	       (process->world->kind == JOB_SEARCH ? process->documents[actor_index(actor->id)].answered
	                                           : process->sink.answered);
}
