/* services/ingest/kafka_topic.h - the topic's own settings, as far as exactness rests on them.
 *
 * Blocking: ASK_TIMEOUT at most.
 */
#ifndef KAFKA_TOPIC_H
#define KAFKA_TOPIC_H

#include <librdkafka/rdkafka.h>

#include "common/base/error.h"

struct kafka_topic_settings {
	char cleanup_policy[64]; /* empty: not known */
	char retention_ms[24]; /* likewise */
};

/* False, with the reason in error: a broker does not tell. That is no reason to stop: many let clients only read. */
bool kafka_topic_ask(
    rd_kafka_t *client, const char *topic, struct kafka_topic_settings *settings, struct error *error) MUST_USE;
enum { MISSING_TOPIC_MS = 60000 };
/* RETRY, and CONFIG when it has been missing for so long. One that was read is not to be made anew. */
enum result kafka_topic_missing(
    const char *topic, bool was_read, uint64_t since_us, uint64_t now_us, struct error *error) MUST_USE;
/* CONFIG where records are taken out of the middle of the log: which ones are there depends on when it is read. */
enum result kafka_topic_check(
    const char *topic, const struct kafka_topic_settings *settings, struct error *error) MUST_USE;

#endif
