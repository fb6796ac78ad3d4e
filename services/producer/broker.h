/* services/producer/broker.h - a Kafka broker inside the producer's process, for trials: librdkafka's mock cluster.
 *
 * It listens on 127.0.0.1 on a port of the kernel's choice, keeps everything in memory and at most 5 MiB a partition
 * (then it forgets the oldest records, and a replay from the start would fail): BROKER_PARTITION_BYTES is what a sender
 * may put into one. It knows no offsets for times, and a fetch that finds nothing sleeps for the consumer's whole
 * fetch.wait.max.ms: set 5 there.
 */
#ifndef PRODUCER_BROKER_H
#define PRODUCER_BROKER_H

#include <stdint.h>

#include "common/base/error.h"

enum { BROKER_PARTITION_BYTES = 4 << 20, BROKER_RECORD_OVERHEAD = 100 };

struct broker;

enum result broker_open(struct broker **broker, const char *topic, uint32_t partitions, struct error *error) MUST_USE;
/* host:port, as long as the broker is open. */
const char *broker_address(const struct broker *broker);
/* The file appears complete or not at all. */
enum result broker_publish(const struct broker *broker, const char *file, struct error *error) MUST_USE;
void broker_close(struct broker *broker);

#endif
