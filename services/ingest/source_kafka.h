/* services/ingest/source_kafka.h - records from Kafka, through librdkafka.
 *
 * Reads with assign() and explicit offsets, never as a member of a consumer group. Every partition has a queue of its
 * own, bounded, so that one that is not asked for disturbs no other and needs no pause or seek (librdkafka 2.0.2 skips
 * records when those meet batches).
 *
 * event_fd:  an eventfd. Whoever waits for it reads it empty first and asks the partitions it wants afterwards; take
 *            never reads it, so that no news can get lost between two partitions.
 * Limits:    about 16 MiB of records wait in all the queues together, unless the pipeline file says otherwise.
 * Threads:   the port is one thread's; what may block runs on a thread of the port's own.
 * Process:   librdkafka's inner pipes are not close-on-exec: before exec, close_range(3, ~0U, CLOSE_RANGE_CLOEXEC).
 */
#ifndef SOURCE_KAFKA_H
#define SOURCE_KAFKA_H

#include "services/ingest/source_port.h"

/* pipeline is borrowed until close. CONFIG: a setting that librdkafka does not take, or that exactness rests on. */
enum result source_kafka_open(
    struct source_port **port, const struct pipeline *pipeline, const char *client_id, struct error *error) MUST_USE;

#endif
