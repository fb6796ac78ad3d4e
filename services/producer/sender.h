/* services/producer/sender.h - records to Kafka through librdkafka's idempotent producer, and a count of every fate.
 *
 * Blocking: sender_open waits for the broker and the topic, sender_send for room in librdkafka's queue, sender_flush for
 *           the last delivery report; all of them end early when `interrupted` says so.
 */
#ifndef PRODUCER_SENDER_H
#define PRODUCER_SENDER_H

#include <librdkafka/rdkafka.h>

#include "common/base/buffer.h"
#include "common/base/error.h"

struct sender_counts {
	uint64_t sent, delivered, failed, bytes;
};

struct sender {
	rd_kafka_t *client;
	rd_kafka_topic_t *topic;
	const char *topic_name;
	uint32_t partitions; /* of the topic */
	struct sender_counts counts;
	char first_failure[256];
	bool away; /* all brokers; said once */
	bool (*interrupted)(void *opaque); /* asked about every 100 ms while waiting */
	void *opaque;
};

/* settings: name=value. create_partitions: 0, the topic has to exist. The members `interrupted`, `opaque` and
 * `topic_name` are the caller's to fill before. RETRY: interrupted. */
enum result sender_open(struct sender *sender, const char *bootstrap, const char *const *settings, size_t settings_len,
    uint32_t create_partitions, struct error *error) MUST_USE;
/* partition -1: by the key. payload.data NULL: a tombstone. False: interrupted before there was room. */
bool sender_send(struct sender *sender, int32_t partition, struct bytes key, struct bytes payload) MUST_USE;
/* Serves delivery reports without waiting. */
void sender_poll(struct sender *sender);
/* Until every record has its report; false: interrupted. */
bool sender_flush(struct sender *sender) MUST_USE;
void sender_close(struct sender *sender);

#endif
