#include "common/runtime/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mutant.h"

enum { DELIVERIES_PER_RUN = 64 };

struct frame_registration worker_registration(enum process_role process, uint64_t pid, uint64_t identity,
    const char *job, const struct pipeline *pipeline, const struct topology *topology, const char *zone_rules,
    char text[TOPOLOGY_TEXT_MAX])
{
	return (struct frame_registration){
	    .process = (uint64_t)process,
	    .pid = pid,
	    .identity = identity,
	    .job = job,
	    .fingerprint = pipeline->fingerprint,
	    .topology = topology_print(topology, text),
	    .zone_rules = zone_rules,
	    .release = SLUICE_VERSION,
	};
}

void worker_init(
    struct worker *worker, struct host *host, const char *name, const char *job, const struct topology *topology)
{
	*worker = (struct worker){.host = host, .job = frame_job(job), .topology = *topology};
	(void)snprintf(worker->name, sizeof worker->name, "%s", name);
	worker->channels_len = topology_channels(topology);
	worker->channels = memory_resize(NULL, worker->channels_len, sizeof *worker->channels);
	for (uint32_t i = 0; i < worker->channels_len; i++)
		worker->channels[i] = (struct worker_channel){.id = i + 1, .edge = topology_edge(topology, i + 1)};
}

void worker_fini(struct worker *worker)
{
	for (uint32_t i = 0; i < worker->actors_len; i++)
		worker->actors[i]->ops->free(worker->actors[i]);
	free(worker->actors);
	for (uint32_t i = 0; i < worker->channels_len; i++) {
		struct worker_channel *channel = &worker->channels[i];
		for (uint32_t k = 0; k < channel->inbox_len; k++)
			buffer_fini(&channel->inbox[(channel->inbox_first + k) % channel->inbox_capacity]);
		free(channel->inbox);
	}
	free(worker->channels);
	arena_fini(&worker->arena);
	outbox_fini(&worker->outbox);
	*worker = (struct worker){0};
}

/* --- helpers that every handler uses ----------------------------------------------------------------------------- */

void worker_fail(struct worker *worker, const struct error *error)
{
	if (worker->state == WORKER_OVER)
		return;
	worker->state = WORKER_OVER;
	log_error("attempt %llu ends here: %s", (unsigned long long)worker->attempt, error->text);
	outbox_clear(&worker->outbox);
	struct frame_failed failed = {.code = (uint64_t)error->code, .text = error->text};
	struct buffer message = {0};
	buffer_reserve(&message, FRAME_HEADER_SIZE);
	message.len = FRAME_HEADER_SIZE;
	frame_encode_body(&message, FRAME_FAILED, &failed);
	worker->host->ops->report(worker->host, FRAME_FAILED, worker->attempt, &message);
}

static struct actor *find_actor(const struct worker *worker, uint32_t id)
{
	for (uint32_t i = 0; i < worker->actors_len; i++)
		if (worker->actors[i]->id == id)
			return worker->actors[i];
	return NULL;
}

static struct actor *make_actor(struct worker *worker, uint32_t id, struct error *error)
{
	struct actor *actor = find_actor(worker, id);
	if (actor != NULL)
		return actor;
	actor = worker->host->ops->create(worker->host, id, worker->attempt, error);
	if (actor == NULL)
		return NULL;
	worker->actors = memory_resize(worker->actors, worker->actors_len + 1, sizeof *worker->actors);
	worker->actors[worker->actors_len++] = actor;
	return actor;
}

static void inbox_push(struct worker_channel *channel, struct buffer *message)
{
	if (channel->inbox_len == channel->inbox_capacity) {
		uint32_t capacity = channel->inbox_capacity ? channel->inbox_capacity * 2 : 8;
		struct buffer *grown = memory_resize(NULL, capacity, sizeof *grown);
		for (uint32_t i = 0; i < channel->inbox_len; i++)
			grown[i] = channel->inbox[(channel->inbox_first + i) % channel->inbox_capacity];
		free(channel->inbox);
		channel->inbox = grown;
		channel->inbox_first = 0;
		channel->inbox_capacity = capacity;
	}
	channel->inbox[(channel->inbox_first + channel->inbox_len++) % channel->inbox_capacity] = *message;
	*message = (struct buffer){0};
}

static struct buffer inbox_pop(struct worker_channel *channel)
{
	struct buffer message = channel->inbox[channel->inbox_first];
	channel->inbox_first = (channel->inbox_first + 1) % channel->inbox_capacity;
	channel->inbox_len--;
	return message;
}

static void send_message(struct worker *worker, uint32_t id, enum frame_kind kind, struct buffer *message)
{
	struct worker_channel *channel = &worker->channels[id - 1];
	struct frame_header header = {
	    .kind = kind,
	    .job = worker->job,
	    .channel = id,
	    .attempt = worker->attempt,
	    .sequence = ++channel->sequence_out,
	};
	frame_header_write(message->data, message->len - FRAME_HEADER_SIZE, &header);
	if (channel->here_to)
		inbox_push(channel, message);
	else
		worker->host->ops->send(worker->host, id, message);
}

static void flush_outbox(struct worker *worker)
{
	for (size_t i = 0; i < worker->outbox.len; i++) {
		struct outbox_item *item = &worker->outbox.items[i];
		if (item->channel == 0)
			worker->host->ops->report(worker->host, item->kind, worker->attempt, &item->message);
		else
			send_message(worker, item->channel, item->kind, &item->message);
	}
	outbox_clear(&worker->outbox);
}

/* After every call of an actor: what it sent leaves, or its error ends the attempt. */
static void settle(struct worker *worker, struct actor *actor, enum result result, struct error *error)
{
	if (result == RESULT_OK) {
		flush_outbox(worker);
		return;
	}
	char name[ACTOR_NAME_MAX];
	error_wrap(error, "%s", actor_name(actor->id, name));
	worker_fail(worker, error);
}

/* --- commands, in the order of an attempt's life ------------------------------------------------------------------- */

static void on_prepare(struct worker *worker, const struct frame *command)
{
	struct error error = {0};
	struct actor *actor = make_actor(worker, (uint32_t)command->body.prepare.actor, &error);
	if (actor == NULL) {
		worker_fail(worker, &error);
		return;
	}
	if (worker->state == WORKER_REGISTERED)
		worker->state = WORKER_PREPARED;
	settle(worker, actor, actor_command(actor, command, &worker->outbox, &error), &error);
}

static bool hosts(const struct worker *worker, const struct places *places, uint32_t actor)
{
	for (uint32_t i = 0; i < places->len; i++)
		if (places->entries[i].actor == actor)
			return strcmp(places->entries[i].worker, worker->name) == 0;
	return false;
}

static bool listen_channels(struct worker *worker, struct error *error)
{
	struct frame_deployed deployed = {0};
	deployed.addresses.entries =
	    arena_take(&worker->arena, worker->channels_len * sizeof *deployed.addresses.entries);
	for (uint32_t i = 0; i < worker->channels_len; i++) {
		struct worker_channel *channel = &worker->channels[i];
		if (!channel->here_to || channel->here_from)
			continue;
		char *url = arena_take(&worker->arena, CHANNEL_URL_MAX);
		if (worker->host->ops->listen(worker->host, channel->id, url, error) != RESULT_OK)
			return false;
		deployed.addresses.entries[deployed.addresses.len++] = (struct address){channel->id, url};
	}
	outbox_report(&worker->outbox, FRAME_DEPLOYED, &deployed);
	return true;
}

static void on_deploy(struct worker *worker, const struct frame *command)
{
	struct error error = {0};
	const struct places *places = &command->body.deploy.places;
	for (uint32_t i = 0; i < places->len; i++)
		if (strcmp(places->entries[i].worker, worker->name) == 0 &&
		    make_actor(worker, places->entries[i].actor, &error) == NULL)
			goto failed;
	for (uint32_t i = 0; i < worker->channels_len; i++) {
		struct worker_channel *channel = &worker->channels[i];
		channel->here_from = hosts(worker, places, channel->edge.from);
		channel->here_to = hosts(worker, places, channel->edge.to);
	}
	worker->state = WORKER_DEPLOYED;
	for (uint32_t i = 0; i < worker->actors_len; i++) {
		struct actor *actor = worker->actors[i];
		settle(worker, actor, actor_command(actor, command, &worker->outbox, &error), &error);
		if (worker->state == WORKER_OVER)
			return;
	}
	if (!listen_channels(worker, &error))
		goto failed;
	flush_outbox(worker);
	return;
failed:
	worker_fail(worker, &error);
}

static void say_ready(struct worker *worker)
{
	if (worker->state != WORKER_CONNECTED || worker->ready_said)
		return;
	for (uint32_t i = 0; i < worker->channels_len; i++) {
		const struct worker_channel *channel = &worker->channels[i];
		if (channel->here_to && !channel->here_from && !channel->greeted)
			return;
	}
	for (uint32_t i = 0; i < worker->actors_len; i++)
		if (worker->actors[i]->restoring)
			return;
	worker->ready_said = true;
	outbox_report(&worker->outbox, FRAME_READY, &(struct frame_ready){.worker = worker->name});
	flush_outbox(worker);
}

static void on_connect(struct worker *worker, const struct frame *command)
{
	const struct addresses *addresses = &command->body.connect.addresses;
	struct error error = {0};
	worker->state = WORKER_CONNECTED;
	for (uint32_t i = 0; i < addresses->len; i++) {
		const struct address *address = &addresses->entries[i];
		if (address->channel < 1 || address->channel > worker->channels_len)
			continue;
		struct worker_channel *channel = &worker->channels[address->channel - 1];
		if (!channel->here_from || channel->here_to)
			continue;
		if (worker->host->ops->dial(worker->host, channel->id, address->url, &error) != RESULT_OK) {
			worker_fail(worker, &error);
			return;
		}
		struct frame_hello hello = {.from = channel->edge.from, .to = channel->edge.to};
		outbox_send(&worker->outbox, channel->id, FRAME_HELLO, &hello);
	}
	flush_outbox(worker);
	say_ready(worker);
}

static void for_all_actors(struct worker *worker, const struct frame *command)
{
	struct error error = {0};
	for (uint32_t i = 0; i < worker->actors_len && worker->state != WORKER_OVER; i++) {
		struct actor *actor = worker->actors[i];
		settle(worker, actor, actor_command(actor, command, &worker->outbox, &error), &error);
	}
}

static void on_start(struct worker *worker, const struct frame *command)
{
	worker->state = WORKER_STARTED;
	for_all_actors(worker, command);
}

static void on_cancel(struct worker *worker, const struct frame *command)
{
	if (command->header.attempt == 0 || command->header.attempt >= worker->attempt)
		worker->host->ops->restart(worker->host, command->body.cancel.text);
}

static void on_stop(struct worker *worker, const struct frame *command)
{
	worker->host->ops->stop(worker->host, (int)command->body.stop.code, command->body.stop.text);
}

/* A worker obeys one attempt in its life. */
static bool obeys(struct worker *worker, const struct frame *command)
{
	uint64_t attempt = command->header.attempt;
	if (worker->state == WORKER_REGISTERED && attempt > worker->attempt)
		worker->attempt = attempt;
	if (attempt > worker->attempt) {
		worker->host->ops->restart(worker->host, "a newer attempt has begun");
		return false;
	}
	return attempt == worker->attempt && worker->state != WORKER_OVER;
}

/* Those that concern more than its actors; whatever else the coordinator may tell an actor goes to them all. */
static const struct {
	enum frame_kind kind;
	bool any_attempt; /* the handler judges it */
	void (*handle)(struct worker *, const struct frame *);
} commands[] = {
    {FRAME_PREPARE, false, on_prepare},
    {FRAME_DEPLOY, false, on_deploy},
    {FRAME_CONNECT, false, on_connect},
    {FRAME_START, false, on_start},
    {FRAME_CANCEL, true, on_cancel},
    {FRAME_STOP, true, on_stop},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static size_t command_row(enum frame_kind kind)
{
	size_t row = 0;
	while (row < COMMANDS && commands[row].kind != kind)
		row++;
	return row;
}

bool worker_takes(enum frame_kind kind)
{
	return command_row(kind) < COMMANDS;
}

static bool is_for_actors(enum frame_kind kind)
{
	for (enum frame_party party = PARTY_INGEST; party <= PARTY_WRITER; party++)
		if (frame_travels(kind, PARTY_COORDINATOR, party))
			return true;
	return false;
}

void worker_command(struct worker *worker, const struct frame *command)
{
	enum frame_kind kind = command->header.kind;
	size_t row = command_row(kind);
	bool any_attempt = row < COMMANDS && commands[row].any_attempt;
	if (!any_attempt && !obeys(worker, command))
		log_debug("%s of attempt %llu is not for me", frame_kind_name(kind),
		    (unsigned long long)command->header.attempt);
	else if (row < COMMANDS)
		commands[row].handle(worker, command);
	else if (is_for_actors(kind))
		for_all_actors(worker, command);
	else
		log_warn("a coordinator does not send %s", frame_kind_name(kind));
}

/* --- channels ------------------------------------------------------------------------------------------------------ */

static enum result check_link(
    struct worker *worker, struct worker_channel *channel, const struct frame *frame, bool *stale, struct error *error)
{
	const struct frame_header *header = &frame->header;
	*stale = header->attempt < worker->attempt && !MUTANT(stale_attempt_accepted);
	if (*stale)
		return RESULT_OK;
	if (header->attempt > worker->attempt || header->job != worker->job || header->channel != channel->id)
		return error_set(error, RESULT_CORRUPT, "channel %u brings a frame of channel %u, attempt %llu",
		    channel->id, header->channel, (unsigned long long)header->attempt);
	if (header->sequence != channel->sequence_in + 1 && !MUTANT(sequence_unchecked))
		return error_set(error, RESULT_CORRUPT, "channel %u: frame %llu came after %llu: frames were lost",
		    channel->id, (unsigned long long)header->sequence, (unsigned long long)channel->sequence_in);
	channel->sequence_in = header->sequence;
	return RESULT_OK;
}

/* The first message of a channel from outside says who sends. */
static enum result greet(
    struct worker *worker, struct worker_channel *channel, struct bytes message, struct error *error)
{
	struct frame frame;
	bool stale;
	enum result result = frame_decode(message, &worker->arena, &frame, NULL, error);
	if (result == RESULT_OK)
		result = check_link(worker, channel, &frame, &stale, error);
	if (result != RESULT_OK || stale)
		return result;
	if (frame.header.kind != FRAME_HELLO || frame.body.hello.from != channel->edge.from ||
	    frame.body.hello.to != channel->edge.to)
		return error_set(error, RESULT_CORRUPT, "channel %u does not begin with its HELLO", channel->id);
	channel->greeted = true;
	return RESULT_OK;
}

void worker_message(struct worker *worker, uint32_t id, struct buffer *message)
{
	CHECK(id >= 1 && id <= worker->channels_len);
	struct worker_channel *channel = &worker->channels[id - 1];
	struct error error = {0};
	if (worker->state == WORKER_OVER) {
		buffer_fini(message);
		return;
	}
	if (channel->greeted) {
		inbox_push(channel, message);
		return;
	}
	if (greet(worker, channel, buffer_bytes(message), &error) != RESULT_OK)
		worker_fail(worker, &error);
	buffer_fini(message);
	arena_clear(&worker->arena);
	worker->host->ops->taken(worker->host, id);
	if (worker->state != WORKER_OVER)
		say_ready(worker);
}

void worker_channel_lost(struct worker *worker, uint32_t id, const char *why)
{
	struct error error;
	char from[ACTOR_NAME_MAX], to[ACTOR_NAME_MAX];
	struct edge edge = topology_edge(&worker->topology, id);
	error_set(
	    &error, RESULT_RETRY, "channel %s -> %s: %s", actor_name(edge.from, from), actor_name(edge.to, to), why);
	worker_fail(worker, &error);
}

bool worker_deliverable(const struct worker *worker, uint32_t id)
{
	const struct worker_channel *channel = &worker->channels[id - 1];
	if (channel->inbox_len == 0 || worker->state == WORKER_OVER)
		return false;
	const struct actor *actor = find_actor(worker, channel->edge.to);
	/* data[6]: the kind, see frame.h */
	bool mutant = MUTANT(no_alignment) && channel->inbox[channel->inbox_first].data[6] != FRAME_BARRIER;
	return actor != NULL && (mutant || actor->ops->accepts(actor, id));
}

static enum result deliver(struct worker *worker, struct worker_channel *channel, struct actor *actor,
    struct bytes message, struct error *error)
{
	struct frame frame;
	bool stale;
	enum result result = frame_decode(message, &worker->arena, &frame, NULL, error);
	if (result == RESULT_OK)
		result = check_link(worker, channel, &frame, &stale, error);
	if (result != RESULT_OK || stale)
		return result;
	return actor_frame(actor, actor_party(channel->edge.from), channel->id, &frame, &worker->outbox, error);
}

void worker_deliver(struct worker *worker, uint32_t id)
{
	struct worker_channel *channel = &worker->channels[id - 1];
	struct actor *actor = find_actor(worker, channel->edge.to);
	struct buffer message = inbox_pop(channel);
	struct error error = {0};
	enum result result = deliver(worker, channel, actor, buffer_bytes(&message), &error);
	settle(worker, actor, result, &error);
	buffer_fini(&message);
	arena_clear(&worker->arena);
	if (!channel->here_from)
		worker->host->ops->taken(worker->host, id);
}

void worker_tick(struct worker *worker, uint32_t place, uint64_t now_us)
{
	struct actor *actor = worker->actors[place];
	struct error error = {0};
	if (worker->state == WORKER_OVER)
		return;
	settle(worker, actor, actor->ops->on_tick(actor, now_us, &worker->outbox, &error), &error);
	if (worker->state == WORKER_CONNECTED)
		say_ready(worker); /* it may have been the last to be restored */
}

static bool deliver_some(struct worker *worker)
{
	uint32_t delivered = 0;
	for (uint32_t idle = 0; idle < worker->channels_len && delivered < DELIVERIES_PER_RUN;) {
		uint32_t id = worker->next_channel % worker->channels_len + 1;
		worker->next_channel = id; /* a frame from each in turn */
		if (worker_deliverable(worker, id)) {
			worker_deliver(worker, id);
			delivered++;
			idle = 0;
		} else {
			idle++;
		}
	}
	return delivered == DELIVERIES_PER_RUN;
}

bool worker_run(struct worker *worker, uint64_t now_us)
{
	bool more = deliver_some(worker);
	for (uint32_t i = 0; i < worker->actors_len && worker->state != WORKER_OVER; i++) {
		uint64_t wake = worker->actors[i]->wake_us;
		if (wake != WAKE_NEVER && wake <= now_us)
			worker_tick(worker, i, now_us);
		if (worker->state != WORKER_OVER && worker->actors[i]->wake_us == WAKE_NOW)
			more = true;
	}
	for (uint32_t id = 1; id <= worker->channels_len && !more; id++)
		more = worker_deliverable(worker, id);
	return more;
}

uint64_t worker_wake_us(const struct worker *worker)
{
	uint64_t earliest = 0;
	for (uint32_t i = 0; i < worker->actors_len && worker->state != WORKER_OVER; i++) {
		uint64_t wake = worker->actors[i]->wake_us;
		if (wake != WAKE_NEVER && (earliest == 0 || wake < earliest))
			earliest = wake;
	}
	return earliest;
}
