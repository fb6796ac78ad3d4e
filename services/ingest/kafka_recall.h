/* services/ingest/kafka_recall.h - records that were read once are read again: is this still the log that they were in?
 *
 * Blocking: a few seconds at most; what is known by then is kept, and asked no more.
 */
#ifndef KAFKA_RECALL_H
#define KAFKA_RECALL_H

#include <librdkafka/rdkafka.h>

#include "services/ingest/source_port.h"

struct kafka_recall {
	rd_kafka_t *client; /* nothing assigned */
	const char *topic;
	struct recall *recalls; /* one per mark */
	uint64_t *short_us; /* by mark: since when the log seems to end in front of it; 0: it does not */
	bool *done; /* by mark */
	uint32_t len;
	bool one_will_do; /* a topic is deleted as a whole: once one record is there, others need not be waited for */
};

void kafka_recall_init(struct kafka_recall *recall, rd_kafka_t *client, const char *topic, const struct marks *marks);
void kafka_recall_fini(struct kafka_recall *recall);
/* OK: all are known. RETRY: not yet, the text says what is waited for; call again. partitions: of the topic. */
enum result kafka_recall_ask(struct kafka_recall *recall, uint32_t partitions, struct error *error) MUST_USE;

#endif
