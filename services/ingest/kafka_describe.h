/* services/ingest/kafka_describe.h - what the topic looks like: its partitions, where reading is to begin, what exactness rests on, and
 * whether records that were read once are still there.
 *
 * The questions may block for as long as a broker likes, so a thread asks them; kafka_describe_wait only looks at how
 * far it has come. The answer is kept until it is asked again.
 *
 * Errors: RETRY while brokers are away (for ever) or the topic is missing (MISSING_TOPIC_MS in kafka_topic.h); then CONFIG, for good.
 */
#ifndef KAFKA_DESCRIBE_H
#define KAFKA_DESCRIBE_H

#include "services/ingest/source_port.h"

struct kafka_describe;

/* Starts asking. pipeline is borrowed until free; marks are copied. */
enum result kafka_describe_new(struct kafka_describe **describe, const struct pipeline *pipeline, const char *client_id,
    const struct marks *marks, struct error *error) MUST_USE;
/* Waits for timeout_ms at most. description is the caller's, empty; filled when OK. */
enum result kafka_describe_wait(struct kafka_describe *describe, uint32_t timeout_ms, struct description *description,
    struct error *error) MUST_USE;
/* Asks again, once it was answered: only partitions, cluster and recalls. fresh: over new connections. marks are copied. */
void kafka_describe_again(struct kafka_describe *describe, const struct marks *marks, bool fresh);
void kafka_describe_free(struct kafka_describe *describe);

#endif
