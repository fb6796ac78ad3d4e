/* services/sluicectl/skip_log.c - see skip.h. */
#include <librdkafka/rdkafka.h>

#include "services/ingest/kafka_client.h"
#include "services/sluicectl/skip.h"

enum { ASK_MS = 10000 };

static enum result fault(
    const struct pipeline *pipeline, rd_kafka_resp_err_t code, const char *doing, struct error *error)
{
	enum result result = kafka_client_verdict(code, NULL) == RESULT_CONFIG ? RESULT_CONFIG : RESULT_RETRY;
	return error_set(
	    error, result, "Kafka: topic %s, %s: %s", pipeline->source.topic, doing, rd_kafka_err2str(code));
}

static enum result ask_ranges(rd_kafka_t *client, const struct pipeline *pipeline, int partitions, struct cut *begins,
    struct cut *ends, struct error *error)
{
	for (int i = 0; i < partitions; i++) {
		int64_t low = 0, high = 0;
		rd_kafka_resp_err_t code =
		    rd_kafka_query_watermark_offsets(client, pipeline->source.topic, i, &low, &high, ASK_MS);
		if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
			return fault(pipeline, code, "its offsets", error);
		cut_set(begins, (uint32_t)i, low);
		cut_set(ends, (uint32_t)i, high);
	}
	return RESULT_OK;
}

enum result skip_log_range(const struct pipeline *pipeline, struct cut *begins, struct cut *ends, struct error *error)
{
	const struct rd_kafka_metadata *metadata = NULL;
	rd_kafka_t *client = NULL;
	rd_kafka_topic_t *topic = NULL;
	enum result result = kafka_client_check(pipeline, "sluicectl", error);
	if (result == RESULT_OK)
		result = kafka_client_new(&client, pipeline, "sluicectl", 1, NULL, error);
	if (result != RESULT_OK)
		return result;
	topic = rd_kafka_topic_new(client, pipeline->source.topic, NULL);
	rd_kafka_resp_err_t code =
	    topic == NULL ? rd_kafka_last_error() : rd_kafka_metadata(client, 0, topic, &metadata, ASK_MS);
	if (metadata != NULL && metadata->topic_cnt == 1)
		code = metadata->topics[0].err;
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR || metadata == NULL)
		result = fault(pipeline, code, "its partitions", error);
	else
		result = ask_ranges(client, pipeline, metadata->topics[0].partition_cnt, begins, ends, error);
	if (metadata != NULL)
		rd_kafka_metadata_destroy(metadata);
	if (topic != NULL)
		rd_kafka_topic_destroy(topic);
	kafka_client_free(client);
	return result;
}
