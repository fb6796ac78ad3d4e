#include "tests/sim/network.h"

#include <stdlib.h>

#include "tests/sim/sim.h"

/* --- queues --------------------------------------------------------------------------------------------------------- */

void queue_push(struct queue *queue, struct buffer *message)
{
	if (queue->len == queue->capacity) {
		uint32_t capacity = queue->capacity ? queue->capacity * 2 : 8;
		struct buffer *grown = memory_resize(NULL, capacity, sizeof *grown);
		for (uint32_t i = 0; i < queue->len; i++)
			grown[i] = *queue_at(queue, i);
		free(queue->messages);
		queue->messages = grown;
		queue->first = 0;
		queue->capacity = capacity;
	}
	queue->messages[(queue->first + queue->len++) % queue->capacity] = *message;
	*message = (struct buffer){0};
}

struct buffer queue_pop(struct queue *queue)
{
	struct buffer message = queue->messages[queue->first];
	queue->first = (queue->first + 1) % queue->capacity;
	queue->len--;
	return message;
}

struct buffer *queue_at(const struct queue *queue, uint32_t place)
{
	return &queue->messages[(queue->first + place) % queue->capacity];
}

void queue_cut(struct queue *queue, uint32_t kept)
{
	while (queue->len > kept)
		buffer_fini(queue_at(queue, --queue->len));
}

void queue_fini(struct queue *queue)
{
	queue_cut(queue, 0);
	free(queue->messages);
	*queue = (struct queue){0};
}

/* --- listeners and connections --------------------------------------------------------------------------------------- */

uint64_t network_listen(struct world *world, struct process *process, uint32_t channel)
{
	struct listener *listener = memory_new(sizeof *listener);
	*listener = (struct listener){world->listeners, ++world->next_id, process, channel, false};
	world->listeners = listener;
	return listener->id;
}

/* A listener has one peer: whoever dials later, or dials one that is gone, sends into the void. */
struct connection *network_dial(struct world *world, struct process *process, uint32_t channel, uint64_t id)
{
	struct connection *connection = memory_new(sizeof *connection), **end = &world->connections;
	struct listener *listener = world->listeners;
	*connection = (struct connection){.channel = channel, .from = process};
	while (listener != NULL && listener->id != id)
		listener = listener->next;
	if (listener != NULL && !listener->taken && listener->channel == channel) {
		listener->taken = true;
		connection->to = listener->process;
		connection->to->in[channel] = connection;
	}
	while (*end != NULL)
		end = &(*end)->next;
	*end = connection;
	process->out[channel] = connection;
	return connection;
}

void network_forget(struct world *world, struct process *process)
{
	for (struct listener **at = &world->listeners; *at != NULL;) {
		struct listener *listener = *at;
		if (listener->process == process) {
			*at = listener->next;
			free(listener);
		} else {
			at = &listener->next;
		}
	}
	for (struct connection *connection = world->connections; connection != NULL; connection = connection->next) {
		if (connection->to == process) {
			connection->to = NULL;
			queue_cut(&connection->queue, 0);
		}
		if (connection->from == process) {
			connection->from = NULL;
			queue_cut(&connection->queue, random_below(&world->random, connection->queue.len + 1));
		}
	}
	for (uint32_t i = 0; i <= CHANNELS_MAX; i++)
		process->in[i] = process->out[i] = NULL;
}

void connection_break(struct world *world, struct connection *connection)
{
	connection->broken = true;
	queue_cut(&connection->queue, random_below(&world->random, connection->queue.len + 1));
}

bool connection_has_news_for_receiver(const struct connection *connection)
{
	if (connection->to == NULL || connection->to->life != LIFE_UP)
		return false;
	return connection->queue.len > 0 || connection->from == NULL || connection->broken;
}

bool connection_has_news_for_sender(const struct connection *connection)
{
	return connection->from != NULL && connection->from->life == LIFE_UP &&
	       (connection->to == NULL || connection->broken);
}

void connection_serve_receiver(struct world *world, struct connection *connection)
{
	struct process *process = connection->to;
	uint32_t channel = connection->channel;
	if (connection->queue.len > 0) {
		struct buffer message = queue_pop(&connection->queue);
		process_message(process, channel, &message);
		return;
	}
	world_trace(world, "%s hears that channel %u is lost", process->name, channel);
	world->statistics.channels_lost++;
	connection->to = NULL;
	process->in[channel] = NULL;
	worker_channel_lost(&process->worker, channel, "the connection is gone");
}

void connection_serve_sender(struct world *world, struct connection *connection)
{
	struct process *process = connection->from;
	uint32_t channel = connection->channel;
	world_trace(world, "%s hears that channel %u, which it sends on, is lost", process->name, channel);
	world->statistics.channels_lost++;
	connection->from = NULL;
	process->out[channel] = NULL;
	worker_channel_lost(&process->worker, channel, "the connection is gone");
}

/* Frees what nobody is at the end of. */
void network_sweep(struct world *world)
{
	for (struct connection **at = &world->connections; *at != NULL;) {
		struct connection *connection = *at;
		if (connection->from == NULL && connection->to == NULL) {
			*at = connection->next;
			queue_fini(&connection->queue);
			free(connection);
		} else {
			at = &connection->next;
		}
	}
}

void network_fini(struct world *world)
{
	for (uint32_t i = 0; i < world->processes_len; i++)
		network_forget(world, &world->processes[i]);
	network_sweep(world);
}
