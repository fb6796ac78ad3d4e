/* services/ingest/kafka_describe.h - what the topic looks like: its partitions, and where reading is to begin.
 *
 * The questions may block for as long as a broker likes, so a thread asks them; kafka_describe_wait only looks at how
 * far it has come. The answer is found once and kept.
 *
 * Errors: RETRY while brokers are away (for ever) or the topic is missing (MISSING_TOPIC_MS); then CONFIG, for good.
 */
#ifndef KAFKA_DESCRIBE_H
#define KAFKA_DESCRIBE_H

#include "common/base/error.h"
#include "common/base/pipeline.h"
#include "proto/cut.h"

enum { MISSING_TOPIC_MS = 60000 };

struct kafka_describe;

/* Starts asking. pipeline is borrowed until free. */
enum result kafka_describe_new(struct kafka_describe **describe, const struct pipeline *pipeline, const char *client_id,
    struct error *error) MUST_USE;
/* Waits for timeout_ms at most. start is the caller's empty heap cut, filled when OK. */
enum result kafka_describe_wait(struct kafka_describe *describe, uint32_t timeout_ms, uint32_t *partitions,
    struct cut *start, struct error *error) MUST_USE;
void kafka_describe_free(struct kafka_describe *describe);

#endif
