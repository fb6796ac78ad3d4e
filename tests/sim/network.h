/* tests/sim/network.h - channels between processes: a listener, one sender, messages in order.
 *
 * A connection ends when one of its ends does; what had left the sender may still arrive. Each end is told at some
 * later step.
 */
#ifndef SIM_NETWORK_H
#define SIM_NETWORK_H

#include "common/base/buffer.h"

enum { CHANNELS_MAX = 24 };

struct world;
struct process;

struct queue {
	struct buffer *messages;
	uint32_t first, len, capacity;
};
void queue_push(struct queue *queue, struct buffer *message);
struct buffer queue_pop(struct queue *queue);
struct buffer *queue_at(const struct queue *queue, uint32_t place);
/* Drops all but the oldest `kept`. */
void queue_cut(struct queue *queue, uint32_t kept);
void queue_fini(struct queue *queue);

struct listener {
	struct listener *next;
	uint64_t id;
	struct process *process;
	uint32_t channel;
	bool taken;
};

struct connection {
	struct connection *next;
	uint32_t channel;
	struct process *from, *to; /* NULL: that end is gone, or has been told */
	struct queue queue;
	bool broken; /* both ends are to be told */
};

uint64_t network_listen(struct world *world, struct process *process, uint32_t channel);
struct connection *network_dial(struct world *world, struct process *process, uint32_t channel, uint64_t listener);
/* The process and its sockets are gone. */
void network_forget(struct world *world, struct process *process);
/* Undelivered messages are lost; both ends will be told. */
void connection_break(struct world *world, struct connection *connection);
/* Something can be delivered, or its receiver be told. */
bool connection_has_news_for_receiver(const struct connection *connection);
bool connection_has_news_for_sender(const struct connection *connection);
void connection_serve_receiver(struct world *world, struct connection *connection);
void connection_serve_sender(struct world *world, struct connection *connection);
void network_sweep(struct world *world);
void network_fini(struct world *world);

#endif
