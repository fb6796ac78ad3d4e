#include "services/ingest/kafka_describe.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/buffer.h"
#include "common/base/log.h"
#include "common/base/timestamp.h"
#include "services/ingest/kafka_client.h"
#include "services/ingest/kafka_recall.h"
#include "services/ingest/kafka_topic.h"

enum { ASK_TIMEOUT_MS = 2000, ASK_PAUSE_MS = 200 };

struct kafka_describe {
	const struct pipeline *pipeline;
	char *client_id;
	rd_kafka_t *client;
	rd_kafka_topic_t *topic;
	rd_kafka_queue_t *events;
	pthread_t thread;

	/* The thread's own. */
	uint64_t missing_since_us; /* 0: not missing */
	char transport[ERROR_TEXT_MAX]; /* why the brokers cannot be reached, as last heard */
	struct kafka_recall recall;
	bool untold; /* the topic's settings are not told: said once */
	bool reading; /* what decides where it begins is not asked any more */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Under the lock. */
	bool stop, done;
	bool again, fresh; /* what is asked next, */
	struct marks marks; /* and with which marks */
	struct error state; /* code OK: answered */
	struct description found;
};

static struct timespec deadline_after(uint32_t timeout_ms)
{
	struct timespec at;
	(void)clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += timeout_ms / 1000;
	at.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (at.tv_nsec >= 1000000000) {
		at.tv_sec++;
		at.tv_nsec -= 1000000000;
	}
	return at;
}

/* Credentials that are refused show only here: the questions themselves just time out. */
static enum result errors_read(struct kafka_describe *describe, struct error *error)
{
	rd_kafka_resp_err_t code;
	char text[ERROR_TEXT_MAX];
	while (kafka_client_next_error(describe->events, &code, text)) {
		if (kafka_client_verdict(code, text) == RESULT_CONFIG)
			return error_stop(error, STOP_KAFKA_REFUSES, "Kafka refuses us: %s", text);
		if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
			memcpy(describe->transport, text, sizeof text);
	}
	return RESULT_OK;
}

static enum result topic_missing(struct kafka_describe *describe, struct error *error)
{
	uint64_t now_us = clock_monotonic_us();
	const char *topic = describe->pipeline->source.topic;
	bool was_read = describe->recall.len > 0;
	if (describe->missing_since_us == 0)
		describe->missing_since_us = now_us;
	return kafka_topic_missing(topic, was_read, describe->missing_since_us, now_us, error);
}

static enum result away(const struct kafka_describe *describe, rd_kafka_resp_err_t code, struct error *error)
{
	const char *why = describe->transport[0] != '\0' ? describe->transport : rd_kafka_err2str(code);
	return error_set(error, RESULT_RETRY, "Kafka does not answer: %s", why);
}

static enum result topic_check(
    struct kafka_describe *describe, const rd_kafka_metadata_topic_t *topic, struct error *error)
{
	if (topic->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || topic->err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC)
		return topic_missing(describe, error);
	describe->missing_since_us = 0;
	if (topic->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
		enum result result = kafka_client_verdict(topic->err, NULL);
		(void)error_set(error, result == RESULT_CONFIG ? RESULT_CONFIG : RESULT_RETRY, "topic %s: %s",
		    topic->topic, rd_kafka_err2str(topic->err));
		return error_way(error, STOP_KAFKA_REFUSES);
	}
	if (topic->partition_cnt <= 0)
		return error_set(error, RESULT_RETRY, "topic %s has no partitions yet", topic->topic);
	for (int i = 0; i < topic->partition_cnt; i++) {
		/* The rest counts on 0..n-1. */
		if (topic->partitions[i].id < 0 || topic->partitions[i].id >= topic->partition_cnt)
			return error_set(error, RESULT_RETRY, "topic %s: incomplete metadata", topic->topic);
	}
	return RESULT_OK;
}

static enum result ask_partitions(struct kafka_describe *describe, uint32_t *partitions, struct error *error)
{
	const struct rd_kafka_metadata *metadata = NULL;
	rd_kafka_resp_err_t code = rd_kafka_metadata(describe->client, 0, describe->topic, &metadata, ASK_TIMEOUT_MS);
	enum result result = errors_read(describe, error);
	if (result == RESULT_OK && code != RD_KAFKA_RESP_ERR_NO_ERROR)
		result = away(describe, code, error);
	else if (result == RESULT_OK && metadata->topic_cnt != 1)
		result = error_set(error, RESULT_RETRY, "Kafka's answer names %d topics", metadata->topic_cnt);
	else if (result == RESULT_OK)
		result = topic_check(describe, &metadata->topics[0], error);
	if (result == RESULT_OK)
		*partitions = (uint32_t)metadata->topics[0].partition_cnt;
	if (metadata != NULL)
		rd_kafka_metadata_destroy(metadata);
	return result;
}

/* at: a timestamp, or RD_KAFKA_OFFSET_BEGINNING or RD_KAFKA_OFFSET_END, which the protocol asks for in the same way. */
static enum result ask_offsets(
    struct kafka_describe *describe, rd_kafka_topic_partition_list_t *list, int64_t at, struct error *error)
{
	for (int i = 0; i < list->cnt; i++)
		list->elems[i].offset = at;
	rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(describe->client, list, ASK_TIMEOUT_MS);
	enum result result = errors_read(describe, error);
	if (result != RESULT_OK)
		return result;
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return away(describe, code, error);
	for (int i = 0; i < list->cnt; i++) {
		const rd_kafka_topic_partition_t *one = &list->elems[i];
		if (one->err == RD_KAFKA_RESP_ERR_NO_ERROR)
			continue;
		result = kafka_client_verdict(one->err, NULL);
		(void)error_set(error, result == RESULT_CONFIG ? RESULT_CONFIG : RESULT_RETRY,
		    "topic %s partition %" PRId32 ": %s", one->topic, one->partition, rd_kafka_err2str(one->err));
		return error_way(error, STOP_KAFKA_REFUSES);
	}
	return RESULT_OK;
}

static enum result resolve_by_asking(
    struct kafka_describe *describe, uint32_t partitions, int64_t at, struct cut *start, struct error *error)
{
	const char *topic = describe->pipeline->source.topic;
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)partitions);
	rd_kafka_topic_partition_list_t *ends = rd_kafka_topic_partition_list_new((int)partitions);
	for (uint32_t i = 0; i < partitions; i++) {
		(void)rd_kafka_topic_partition_list_add(list, topic, (int32_t)i);
		(void)rd_kafka_topic_partition_list_add(ends, topic, (int32_t)i);
	}
	enum result result = ask_offsets(describe, list, at, error);
	bool need_ends = false;
	for (int i = 0; i < list->cnt && result == RESULT_OK; i++)
		need_ends = need_ends || list->elems[i].offset < 0;
	/* A partition without a record at or after the timestamp begins at its end. */
	if (result == RESULT_OK && need_ends)
		result = ask_offsets(describe, ends, RD_KAFKA_OFFSET_END, error);
	for (int i = 0; i < list->cnt && result == RESULT_OK; i++) {
		int64_t offset = list->elems[i].offset;
		if (offset < 0)
			offset = rd_kafka_topic_partition_list_find(ends, topic, list->elems[i].partition)->offset;
		if (offset < 0)
			result = error_set(error, RESULT_RETRY, "topic %s: an offset is not known yet", topic);
		else
			cut_set(start, (uint32_t)list->elems[i].partition, offset);
	}
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_topic_partition_list_destroy(ends);
	return result;
}

static enum result resolve_by_name(
    const struct kafka_describe *describe, uint32_t partitions, struct cut *start, struct error *error)
{
	const struct start *named = &describe->pipeline->source.start;
	for (uint32_t i = 0; i < partitions; i++)
		cut_set(start, i, 0);
	for (size_t i = 0; i < named->offsets_len; i++) {
		if (named->offsets[i].partition >= partitions)
			return error_stop(error, STOP_PIPELINE_FILE,
			    "source.start names partition %" PRIu32 ", but topic %s has %" PRIu32,
			    named->offsets[i].partition, describe->pipeline->source.topic, partitions);
		cut_set(start, named->offsets[i].partition, named->offsets[i].offset);
	}
	return RESULT_OK;
}

static enum result resolve(struct kafka_describe *describe, uint32_t partitions, struct cut *start, struct error *error)
{
	const struct start *configured = &describe->pipeline->source.start;
	switch (configured->at) {
	case START_EARLIEST:
		return resolve_by_asking(describe, partitions, RD_KAFKA_OFFSET_BEGINNING, start, error);
	case START_LATEST:
		return resolve_by_asking(describe, partitions, RD_KAFKA_OFFSET_END, start, error);
	case START_TIMESTAMP:
		return resolve_by_asking(describe, partitions, configured->timestamp_ms, start, error);
	case START_OFFSETS:
		return resolve_by_name(describe, partitions, start, error);
	}
	panic("source.start %d", (int)configured->at);
}

static void ask_cluster(struct kafka_describe *describe, struct description *found)
{
	char *cluster = rd_kafka_clusterid(describe->client, ASK_TIMEOUT_MS);
	if (cluster != NULL)
		facts_add(&found->facts, &found->arena, FACT_CLUSTER, cluster);
	free(cluster);
}

static enum result ask_facts(struct kafka_describe *describe, struct description *found, struct error *error)
{
	const char *topic = describe->pipeline->source.topic;
	struct kafka_topic_settings settings;
	struct error why;
	kafka_client_facts(describe->client, &found->facts, &found->arena);
	if (!kafka_topic_ask(describe->client, topic, &settings, &why)) {
		if (!describe->untold)
			log_warn("Kafka does not tell the settings of topic %s (right DescribeConfigs), so nobody "
			         "would notice "
			         "that it is compacted: %s",
			    topic, why.text);
		describe->untold = true;
		return RESULT_OK;
	}
	if (settings.retention_ms[0] != '\0')
		facts_add(&found->facts, &found->arena, "kafka.retention.ms", settings.retention_ms);
	return kafka_topic_check(topic, &settings, error);
}

static enum result ask_recalls(struct kafka_describe *describe, struct description *found, struct error *error)
{
	struct kafka_recall *recall = &describe->recall;
	enum result result = kafka_recall_ask(recall, found->partitions, error), refused = errors_read(describe, error);
	if (refused != RESULT_OK)
		return refused;
	if (result != RESULT_OK)
		return result;
	found->recalls = arena_clone(&found->arena, recall->recalls, recall->len * sizeof *recall->recalls);
	found->recalls_len = recall->len;
	return RESULT_OK;
}

static enum result ask_all(struct kafka_describe *describe, struct description *found, struct error *error)
{
	enum result result = ask_partitions(describe, &found->partitions, error);
	if (result == RESULT_OK)
		ask_cluster(describe, found);
	if (result == RESULT_OK && !describe->reading)
		result = resolve(describe, found->partitions, &found->start, error);
	if (result == RESULT_OK && !describe->reading)
		result = ask_facts(describe, found, error);
	if (result == RESULT_OK)
		result = ask_recalls(describe, found, error);
	return result;
}

static enum result client_open(struct kafka_describe *describe, struct error *error)
{
	enum result result = kafka_client_new(
	    &describe->client, describe->pipeline, describe->client_id, KAFKA_LOOK_PARTITIONS, NULL, error);
	if (result != RESULT_OK)
		return result;
	describe->topic = rd_kafka_topic_new(describe->client, describe->pipeline->source.topic, NULL);
	CHECK(describe->topic != NULL); /* its name was checked by kafka_client_check */
	describe->events = rd_kafka_queue_get_consumer(describe->client);
	return RESULT_OK;
}

static void client_close(struct kafka_describe *describe)
{
	if (describe->client == NULL)
		return;
	rd_kafka_topic_destroy(describe->topic);
	rd_kafka_queue_destroy(describe->events);
	kafka_client_free(describe->client);
	describe->client = NULL;
}

static enum result ask_anew(struct kafka_describe *describe, const struct marks *marks, bool fresh, struct error *error)
{
	if (fresh)
		client_close(describe);
	if (describe->client == NULL && client_open(describe, error) != RESULT_OK)
		return error->code;
	kafka_recall_fini(&describe->recall);
	kafka_recall_init(&describe->recall, describe->client, describe->pipeline->source.topic, marks);
	describe->recall.one_will_do = true;
	describe->transport[0] = '\0';
	describe->reading = true;
	return RESULT_OK;
}

/* The next question; under the lock, but not while it is prepared. */
static void next_take(struct kafka_describe *describe)
{
	struct marks marks = describe->marks;
	struct error error = {0};
	bool fresh = describe->fresh;
	describe->marks = (struct marks){0};
	describe->again = false;
	(void)pthread_mutex_unlock(&describe->lock);
	enum result result = ask_anew(describe, &marks, fresh, &error);
	marks_fini(&marks);
	(void)pthread_mutex_lock(&describe->lock);
	if (result != RESULT_OK)
		describe->state = error;
	describe->done = result != RESULT_OK;
}

/* Under the lock, but not while it is asked. */
static void ask_once(struct kafka_describe *describe)
{
	struct error error = {0};
	struct description found = {0};
	(void)pthread_mutex_unlock(&describe->lock);
	enum result result = ask_all(describe, &found, &error);
	error.code = result;
	(void)pthread_mutex_lock(&describe->lock);
	describe->state = error;
	describe->done = result != RESULT_RETRY;
	if (result == RESULT_OK) {
		description_fini(&describe->found);
		describe->found = found;
		found = (struct description){0};
	}
	(void)pthread_cond_broadcast(&describe->changed);
	description_fini(&found);
}

static void *describe_run(void *opaque)
{
	struct kafka_describe *describe = opaque;
	(void)pthread_mutex_lock(&describe->lock);
	while (!describe->stop) {
		if (describe->again)
			next_take(describe);
		if (!describe->done)
			ask_once(describe);
		struct timespec until = deadline_after(ASK_PAUSE_MS);
		while (!describe->stop && !describe->again && describe->done)
			(void)pthread_cond_wait(&describe->changed, &describe->lock);
		while (!describe->stop && !describe->again &&
		       pthread_cond_timedwait(&describe->changed, &describe->lock, &until) == 0)
			;
	}
	(void)pthread_mutex_unlock(&describe->lock);
	return NULL;
}

enum result kafka_describe_new(struct kafka_describe **out, const struct pipeline *pipeline, const char *client_id,
    const struct marks *marks, struct error *error)
{
	struct kafka_describe *describe = memory_new(sizeof *describe);
	describe->pipeline = pipeline;
	describe->client_id = text_clone(client_id);
	enum result result = client_open(describe, error);
	if (result != RESULT_OK) {
		free(describe->client_id);
		free(describe);
		return result;
	}
	kafka_recall_init(&describe->recall, describe->client, pipeline->source.topic, marks);
	(void)error_set(&describe->state, RESULT_RETRY, "waiting for Kafka's answer");
	(void)pthread_mutex_init(&describe->lock, NULL);
	pthread_condattr_t attributes;
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&describe->changed, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	CHECK(pthread_create(&describe->thread, NULL, describe_run, describe) == 0);
	*out = describe;
	return RESULT_OK;
}

void kafka_describe_again(struct kafka_describe *describe, const struct marks *marks, bool fresh)
{
	(void)pthread_mutex_lock(&describe->lock);
	marks_copy(&describe->marks, marks);
	describe->fresh = fresh;
	describe->again = true;
	describe->done = false;
	(void)error_set(&describe->state, RESULT_RETRY, "waiting for Kafka's answer");
	(void)pthread_cond_broadcast(&describe->changed);
	(void)pthread_mutex_unlock(&describe->lock);
}

enum result kafka_describe_wait(
    struct kafka_describe *describe, uint32_t timeout_ms, struct description *description, struct error *error)
{
	struct timespec until = deadline_after(timeout_ms);
	(void)pthread_mutex_lock(&describe->lock);
	while (!describe->done && timeout_ms > 0 &&
	       pthread_cond_timedwait(&describe->changed, &describe->lock, &until) == 0)
		;
	*error = describe->state;
	enum result result = describe->state.code;
	if (result == RESULT_OK) {
		const struct description *found = &describe->found;
		description->partitions = found->partitions;
		cut_copy(&description->start, &found->start);
		facts_copy(&description->facts, &description->arena, &found->facts);
		description->recalls =
		    arena_clone(&description->arena, found->recalls, found->recalls_len * sizeof *found->recalls);
		description->recalls_len = found->recalls_len;
	}
	(void)pthread_mutex_unlock(&describe->lock);
	return result;
}

void kafka_describe_free(struct kafka_describe *describe)
{
	if (describe == NULL)
		return;
	(void)pthread_mutex_lock(&describe->lock);
	describe->stop = true;
	(void)pthread_cond_broadcast(&describe->changed);
	(void)pthread_mutex_unlock(&describe->lock);
	(void)pthread_join(describe->thread, NULL);
	client_close(describe);
	kafka_recall_fini(&describe->recall);
	description_fini(&describe->found);
	marks_fini(&describe->marks);
	free(describe->client_id);
	(void)pthread_cond_destroy(&describe->changed);
	(void)pthread_mutex_destroy(&describe->lock);
	free(describe);
}
