#include "services/ingest/source_kafka.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/log.h"
#include "services/ingest/kafka_client.h"
#include "services/ingest/kafka_describe.h"
#include "services/ingest/kafka_watch.h"

enum { BATCH_MAX = 1000, DESCRIBE_WAIT_MS = 450, WAKE_PARTS = 4 };

struct source_kafka {
	struct source_port port; /* first: the port is the source */
	const struct pipeline *pipeline;
	char *client_id;
	struct kafka_describe *describe; /* NULL: not asked yet */
	const struct marks *asked; /* of the question that is under way while reading; NULL: none is */
	uint64_t doubts_asked; /* as they were at the last one */

	/* From assign on; client NULL where no partition was assigned. */
	rd_kafka_t *client;
	rd_kafka_topic_t *topic;
	rd_kafka_queue_t *events;
	struct kafka_reader reader;
	struct kafka_partition *partitions;
	uint32_t partitions_len;
	struct kafka_watch watch;
	char transport[ERROR_TEXT_MAX]; /* why a broker cannot be reached, as last heard */
	bool group_refused; /* said once */
	rd_kafka_message_t *messages[BATCH_MAX];
};

static struct source_kafka *source_of(struct source_port *port)
{
	return (struct source_kafka *)(void *)port;
}

static struct kafka_partition *partition_find(struct source_kafka *source, uint32_t id)
{
	for (uint32_t i = 0; i < source->partitions_len; i++) {
		if (source->partitions[i].id == id)
			return &source->partitions[i];
	}
	return NULL;
}

static void on_client_error(struct source_kafka *source, rd_kafka_resp_err_t code, const char *text);

static void errors_read(struct source_kafka *source)
{
	rd_kafka_resp_err_t code;
	char text[ERROR_TEXT_MAX];
	while (kafka_client_next_error(source->events, &code, text))
		on_client_error(source, code, text);
}

static uint64_t source_doubts(struct source_port *port)
{
	struct source_kafka *source = source_of(port);
	if (source->client != NULL)
		errors_read(source); /* raises them, too */
	return atomic_load(&source->reader.doubts);
}

/* After a doubt on new connections: those of before may lead to what was there before. */
static enum result describe_anew(
    struct source_kafka *source, const struct marks *marks, struct description *description, struct error *error)
{
	if (source->asked != NULL && source->asked != marks)
		return error_set(error, RESULT_RETRY, "waiting for Kafka's answer");
	if (source->asked == NULL) {
		uint64_t doubts = source_doubts(&source->port);
		kafka_describe_again(source->describe, marks, doubts != source->doubts_asked);
		source->doubts_asked = doubts;
		source->asked = marks;
	}
	enum result result = kafka_describe_wait(source->describe, 0, description, error);
	if (result != RESULT_RETRY)
		source->asked = NULL;
	return result;
}

static enum result source_describe(
    struct source_port *port, const struct marks *marks, struct description *description, struct error *error)
{
	struct source_kafka *source = source_of(port);
	if (source->client != NULL && source->describe != NULL)
		return describe_anew(source, marks, description, error);
	if (source->describe == NULL) {
		enum result result =
		    kafka_describe_new(&source->describe, source->pipeline, source->client_id, marks, error);
		if (result != RESULT_OK)
			return result;
	}
	return kafka_describe_wait(source->describe, DESCRIBE_WAIT_MS, description, error);
}

/* Before rd_kafka_assign: a queue whose forwarding was taken off by then keeps its own records. */
static void partition_open(struct source_kafka *source, struct kafka_partition *partition, struct cut_entry position)
{
	static const uint64_t one = 1;
	partition->id = position.partition;
	atomic_init(&partition->next, position.offset);
	atomic_init(&partition->end, -1);
	atomic_init(&partition->stable_end, -1);
	partition->queue =
	    rd_kafka_queue_get_partition(source->client, source->pipeline->source.topic, (int32_t)position.partition);
	CHECK(partition->queue != NULL);
	rd_kafka_queue_forward(partition->queue, NULL);
	rd_kafka_queue_io_event_enable(partition->queue, source->port.event_fd, &one, sizeof one);
}

static enum result positions_assign(struct source_kafka *source, const struct cut *positions, struct error *error)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)positions->len);
	for (uint32_t i = 0; i < positions->len; i++) {
		rd_kafka_topic_partition_list_add(
		    list, source->pipeline->source.topic, (int32_t)positions->entries[i].partition)
		    ->offset = positions->entries[i].offset;
	}
	rd_kafka_resp_err_t code = rd_kafka_assign(source->client, list);
	rd_kafka_topic_partition_list_destroy(list);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return error_stop(error, STOP_KAFKA_REFUSES, "Kafka: assign: %s", rd_kafka_err2str(code));
	return RESULT_OK;
}

static enum result source_assign(struct source_port *port, const struct cut *positions, struct error *error)
{
	static const uint64_t one = 1;
	struct source_kafka *source = source_of(port);
	CHECK(source->client == NULL);
	if (positions->len == 0)
		return RESULT_OK;
	enum result result = kafka_client_new(
	    &source->client, source->pipeline, source->client_id, positions->len, &source->reader, error);
	if (result != RESULT_OK)
		return result;
	source->topic = rd_kafka_topic_new(source->client, source->pipeline->source.topic, NULL);
	CHECK(source->topic != NULL); /* its name was checked by kafka_client_check */
	source->events = rd_kafka_queue_get_consumer(source->client);
	rd_kafka_queue_io_event_enable(source->events, port->event_fd, &one, sizeof one);
	source->partitions = memory_new(positions->len * sizeof source->partitions[0]);
	source->partitions_len = positions->len;
	for (uint32_t i = 0; i < positions->len; i++)
		partition_open(source, &source->partitions[i], positions->entries[i]);
	source->watch.client = source->client;
	source->watch.topic = source->topic;
	source->watch.topic_name = source->pipeline->source.topic;
	source->watch.partitions = source->partitions;
	source->watch.partitions_len = source->partitions_len;
	source->watch.event_fd = port->event_fd;
	kafka_watch_start(&source->watch);
	return positions_assign(source, positions, error);
}

static void on_partition_error(
    struct source_kafka *source, struct kafka_partition *partition, const rd_kafka_message_t *message)
{
	const char *text = rd_kafka_message_errstr(message);
	if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
	    message->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE) {
		kafka_watch_out_of_range(&source->watch, partition);
		return;
	}
	if (message->err == RD_KAFKA_RESP_ERR__BAD_COMPRESSION) {
		kafka_watch_cannot_unpack(&source->watch, partition, text);
		return;
	}
	enum result result = kafka_client_verdict(message->err, text);
	if (result == RESULT_CONFIG || result == RESULT_CORRUPT) {
		struct error failure;
		(void)error_set(&failure, result, "topic %s partition %" PRIu32 " at offset %" PRId64 ": %s",
		    source->pipeline->source.topic, partition->id, atomic_load(&partition->next), text);
		kafka_watch_fail(&source->watch, &failure);
		return;
	}
	log_debug("topic %s partition %" PRIu32 ": %s", source->pipeline->source.topic, partition->id, text);
	if (message->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
	    message->err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC || message->err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION) {
		atomic_fetch_add(&source->reader.doubts, 1);
		kafka_watch_check(&source->watch);
	}
}

static void record_fill(struct source_record *record, uint32_t partition, rd_kafka_message_t *message)
{
	rd_kafka_timestamp_type_t type;
	int64_t timestamp_ms = rd_kafka_message_timestamp(message, &type);
	record->partition = partition;
	record->offset = message->offset;
	record->timestamp_ms = type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? -1 : timestamp_ms;
	record->key = (struct bytes){message->key, message->key_len};
	record->payload = (struct bytes){message->payload, message->len};
	record->owner = message;
}

/* Hands on what is new of a batch and destroys the rest. */
static size_t batch_sort(
    struct source_kafka *source, struct kafka_partition *partition, size_t len, struct source_record *records)
{
	int64_t next = atomic_load_explicit(&partition->next, memory_order_relaxed);
	size_t taken = 0;
	for (size_t i = 0; i < len; i++) {
		rd_kafka_message_t *message = source->messages[i];
		if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
			next = message->offset > next ? message->offset : next;
			atomic_store_explicit(&partition->stable_end, message->offset, memory_order_relaxed);
			rd_kafka_message_destroy(message);
		} else if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
			atomic_store_explicit(&partition->next, next, memory_order_relaxed);
			on_partition_error(source, partition, message);
			rd_kafka_message_destroy(message);
		} else if (message->offset < next) {
			/* Never twice, whatever the library does. */
			rd_kafka_message_destroy(message);
		} else {
			next = message->offset + 1;
			partition->bytes_taken += (int64_t)(message->len + message->key_len);
			record_fill(&records[taken++], partition->id, message);
		}
	}
	partition->records_taken += (int64_t)taken;
	atomic_store_explicit(&partition->next, next, memory_order_relaxed);
	return taken;
}

static void wake_if_due(struct source_kafka *source, struct kafka_partition *partition)
{
	if (partition->bytes_taken < source->reader.limits.bytes / WAKE_PARTS &&
	    partition->records_taken < source->reader.limits.records / WAKE_PARTS)
		return;
	partition->bytes_taken = 0;
	partition->records_taken = 0;
	kafka_watch_wake(&source->watch, partition);
}

static enum result source_take(struct source_port *port, uint32_t id, struct source_record *records, size_t max,
    size_t *taken, struct error *error)
{
	struct source_kafka *source = source_of(port);
	struct kafka_partition *partition = partition_find(source, id);
	CHECK(partition != NULL);
	*taken = 0;
	enum result result = kafka_watch_failure(&source->watch, error);
	if (result != RESULT_OK)
		return result;
	ssize_t len = 1;
	/* An event comes only when an empty queue gets its first record: "none" may be said only of an empty queue. */
	while (*taken == 0 && len > 0) {
		len = rd_kafka_consume_batch_queue(
		    partition->queue, 0, source->messages, max < BATCH_MAX ? max : BATCH_MAX);
		if (len > 0)
			*taken = batch_sort(source, partition, (size_t)len, records);
	}
	if (*taken > 0)
		wake_if_due(source, partition);
	return RESULT_OK;
}

static void source_give_back(struct source_port *port, struct source_record *records, size_t len)
{
	(void)port;
	for (size_t i = 0; i < len; i++) {
		rd_kafka_message_destroy(records[i].owner);
		records[i].owner = NULL;
	}
}

static void on_client_error(struct source_kafka *source, rd_kafka_resp_err_t code, const char *text)
{
	if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
		atomic_fetch_add(&source->reader.doubts, 1);
		kafka_watch_away(&source->watch, source->transport[0] != '\0' ? source->transport : text);
		return;
	}
	switch (kafka_client_verdict(code, text)) {
	case RESULT_CONFIG: {
		struct error failure;
		(void)error_stop(&failure, STOP_KAFKA_REFUSES, "Kafka refuses us: %s", text);
		kafka_watch_fail(&source->watch, &failure);
		break;
	}
	case RESULT_OK:
		if (!source->group_refused)
			log_warn(
			    "Kafka: the group's offsets cannot be committed, lag tools will not see them: %s", text);
		source->group_refused = true;
		break;
	case RESULT_RETRY:
	case RESULT_CORRUPT: /* of the client, not of a partition: no record was skipped */
		(void)snprintf(source->transport, sizeof source->transport, "%s", text);
		break;
	}
}

static enum result source_health(struct source_port *port, struct error *error)
{
	struct source_kafka *source = source_of(port);
	if (source->client == NULL)
		return RESULT_OK;
	errors_read(source);
	return kafka_watch_state(&source->watch, error);
}

static int64_t source_position(struct source_port *port, uint32_t id)
{
	struct kafka_partition *partition = partition_find(source_of(port), id);
	return partition == NULL ? -1 : atomic_load_explicit(&partition->next, memory_order_relaxed);
}

static int64_t source_end(struct source_port *port, uint32_t id)
{
	struct source_kafka *source = source_of(port);
	struct kafka_partition *partition = partition_find(source, id);
	return partition == NULL ? -1 : kafka_watch_end(&source->watch, partition);
}

static uint64_t source_heard_us(struct source_port *port)
{
	struct source_kafka *source = source_of(port);
	return source->client == NULL ? 0 : atomic_load(&source->watch.heard_us);
}

static uint32_t source_partitions(struct source_port *port)
{
	struct source_kafka *source = source_of(port);
	return source->client == NULL ? 0 : atomic_load(&source->watch.partitions_known);
}

static void source_commit_group(struct source_port *port, const struct cut *cut)
{
	struct source_kafka *source = source_of(port);
	if (source->client == NULL || cut->len == 0)
		return;
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)cut->len);
	for (uint32_t i = 0; i < cut->len; i++) {
		rd_kafka_topic_partition_list_add(
		    list, source->pipeline->source.topic, (int32_t)cut->entries[i].partition)
		    ->offset = cut->entries[i].offset;
	}
	(void)rd_kafka_commit(source->client, list, 1);
	rd_kafka_topic_partition_list_destroy(list);
}

static void source_close(struct source_port *port)
{
	struct source_kafka *source = source_of(port);
	kafka_describe_free(source->describe);
	if (source->client != NULL) {
		kafka_watch_stop(&source->watch);
		rd_kafka_queue_io_event_enable(source->events, -1, NULL, 0);
		rd_kafka_queue_destroy(source->events);
		for (uint32_t i = 0; i < source->partitions_len; i++) {
			rd_kafka_queue_io_event_enable(source->partitions[i].queue, -1, NULL, 0);
			rd_kafka_queue_destroy(source->partitions[i].queue);
		}
		rd_kafka_topic_destroy(source->topic);
		kafka_client_free(source->client);
	}
	(void)close(port->event_fd);
	free(source->partitions);
	free(source->client_id);
	free(source);
}

static const struct source_port_ops operations = {
    .describe = source_describe,
    .assign = source_assign,
    .take = source_take,
    .give_back = source_give_back,
    .doubts = source_doubts,
    .health = source_health,
    .position = source_position,
    .end = source_end,
    .heard_us = source_heard_us,
    .partitions = source_partitions,
    .commit_group = source_commit_group,
    .close = source_close,
};

enum result source_kafka_open(
    struct source_port **port, const struct pipeline *pipeline, const char *client_id, struct error *error)
{
	enum result result = kafka_client_check(pipeline, client_id, error);
	if (result != RESULT_OK)
		return result;
	struct source_kafka *source = memory_new(sizeof *source);
	source->port.ops = &operations;
	source->port.event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	CHECK(source->port.event_fd >= 0);
	source->pipeline = pipeline;
	source->client_id = text_clone(client_id);
	*port = &source->port;
	return RESULT_OK;
}
