/* services/ingest/kafka_client.h - a librdkafka consumer made from the pipeline file's settings, and what its errors mean.
 *
 * Three kinds of setting: the user's go to librdkafka unchanged; our defaults give way to them; a few carry
 * exactness and cannot be changed (CONFIG names the one).
 */
#ifndef KAFKA_CLIENT_H
#define KAFKA_CLIENT_H

#include <stdatomic.h>

#include <librdkafka/rdkafka.h>

#include "common/base/error.h"
#include "common/base/pipeline.h"
#include "proto/cut.h"

/* At which fill a partition's queue stops fetching. */
enum { KAFKA_LOOK_PARTITIONS = 16 }; /* that a client that only looks reads at a time */
struct kafka_limits {
	int64_t bytes, records;
};

/* What a client that reads tells about itself. */
struct kafka_reader {
	struct kafka_limits limits;
	/* Raised, before anything more is read, when a connection was lost, or a broker refused a partition: from then on
	 * it may be another log. */
	_Atomic uint64_t doubts;
};

/* partitions: how many will be read (the memory is divided among them); at least 1. reader may be NULL, and outlives the client. */
enum result kafka_client_new(rd_kafka_t **client, const struct pipeline *pipeline, const char *client_id,
    uint32_t partitions, struct kafka_reader *reader, struct error *error) MUST_USE;
/* Of the settings in use, those that decide which records there are: kafka.isolation.level... */
void kafka_client_facts(rd_kafka_t *client, struct facts *facts, struct arena *arena);
/* Only checks the topic's name and the settings. */
enum result kafka_client_check(const struct pipeline *pipeline, const char *client_id, struct error *error) MUST_USE;
void kafka_client_free(rd_kafka_t *client);

/* RETRY: passes by itself. CONFIG: a person has to act. CORRUPT: records may have been skipped, read again from a
 * safe offset. OK: concerns only the group, whose offsets nothing depends on. */
enum result kafka_client_verdict(rd_kafka_resp_err_t code, const char *text);

/* Takes one error from the client's own queue (its partitions' queues are not looked at); false: none. */
bool kafka_client_next_error(rd_kafka_queue_t *events, rd_kafka_resp_err_t *code, char text[ERROR_TEXT_MAX]);

#endif
