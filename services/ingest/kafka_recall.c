#include "services/ingest/kafka_recall.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/timestamp.h"
#include "services/ingest/kafka_client.h"
#include "services/ingest/record_mark.h"

enum {
	TOGETHER_MAX = KAFKA_LOOK_PARTITIONS, /* partitions that are read at a time */
	ASK_TIMEOUT_MS = 2000,
	POLL_MS = 20,
	SHORT_US = 5000000, /* a new leader may tell an end that lags, but not for so long */
};

/* A mark whose record is being fetched. */
struct asked {
	uint32_t place; /* of the mark */
	rd_kafka_queue_t *queue; /* of its partition */
};

void kafka_recall_init(struct kafka_recall *recall, rd_kafka_t *client, const char *topic, const struct marks *marks)
{
	*recall = (struct kafka_recall){.client = client, .topic = topic, .len = marks->len};
	recall->recalls = memory_new((marks->len + 1) * sizeof *recall->recalls);
	recall->short_us = memory_new((marks->len + 1) * sizeof *recall->short_us);
	recall->done = memory_new((marks->len + 1) * sizeof *recall->done);
	for (uint32_t i = 0; i < marks->len; i++)
		recall->recalls[i].mark = marks->entries[i];
}

void kafka_recall_fini(struct kafka_recall *recall)
{
	free(recall->recalls);
	free(recall->short_us);
	free(recall->done);
	*recall = (struct kafka_recall){0};
}

static void settle(struct kafka_recall *recall, uint32_t place, enum recalled now, uint64_t hash)
{
	recall->recalls[place].now = now;
	recall->recalls[place].hash = hash;
	recall->done[place] = true;
}

static enum result wait_for(const struct kafka_recall *recall, uint32_t place, const char *why, struct error *error)
{
	const struct mark *mark = &recall->recalls[place].mark;
	return error_set(error, RESULT_RETRY,
	    "topic %s partition %" PRIu32 ": the record at offset %" PRId64
	    ", the last one before the cut, is read again: %s",
	    recall->topic, mark->partition, mark->offset, why);
}

/* The log seems to end in front of a record that it once held. */
static enum result ends_before(struct kafka_recall *recall, uint32_t place, int64_t end, struct error *error)
{
	uint64_t now_us = clock_monotonic_us();
	if (recall->short_us[place] == 0)
		recall->short_us[place] = now_us;
	if (now_us - recall->short_us[place] < SHORT_US)
		return wait_for(recall, place, "the log ends before it", error);
	recall->recalls[place].end = end;
	settle(recall, place, RECALLED_SHORT, 0);
	return RESULT_OK;
}

/* Where the log begins and ends decides already, or the record has to be there. */
static enum result ask_range(struct kafka_recall *recall, uint32_t place, bool *fetch, struct error *error)
{
	const struct mark *mark = &recall->recalls[place].mark;
	int64_t low, high;
	rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(
	    recall->client, recall->topic, (int32_t)mark->partition, &low, &high, ASK_TIMEOUT_MS);
	*fetch = false;
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR && kafka_client_verdict(code, NULL) == RESULT_CONFIG)
		return error_stop(error, STOP_KAFKA_REFUSES, "Kafka refuses us: %s", rd_kafka_err2str(code));
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return wait_for(recall, place, rd_kafka_err2str(code), error);
	if (low > mark->offset)
		settle(recall, place, RECALLED_GONE, 0);
	else if (high <= mark->offset)
		return ends_before(recall, place, high, error);
	*fetch = !recall->done[place];
	return RESULT_OK;
}

/* The first thing that a partition has to say: its record, or that there is none. */
static enum result take_first(
    struct kafka_recall *recall, uint32_t place, const rd_kafka_message_t *message, struct error *error)
{
	const struct mark *mark = &recall->recalls[place].mark;
	if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF && message->offset <= mark->offset)
		return ends_before(recall, place, message->offset, error);
	if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
		settle(recall, place, RECALLED_ABSENT, 0);
		return RESULT_OK;
	}
	if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
		const char *text = rd_kafka_message_errstr(message);
		if (kafka_client_verdict(message->err, text) == RESULT_CONFIG &&
		    message->err != RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET)
			return error_stop(error, STOP_KAFKA_REFUSES, "topic %s partition %" PRIu32 ": %s",
			    recall->topic, mark->partition, text);
		return wait_for(recall, place, text, error);
	}
	if (message->offset != mark->offset) {
		settle(recall, place, RECALLED_ABSENT, 0);
		return RESULT_OK;
	}
	rd_kafka_timestamp_type_t type;
	int64_t timestamp_ms = rd_kafka_message_timestamp(message, &type);
	const struct source_record record = {
	    .timestamp_ms = type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? -1 : timestamp_ms,
	    .key = {message->key, message->key_len},
	    .payload = {message->payload, message->len},
	};
	settle(recall, place, RECALLED_THERE, record_mark(&record));
	return RESULT_OK;
}

static enum result assign(struct kafka_recall *recall, struct asked *asked, uint32_t len, struct error *error)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)len);
	for (uint32_t i = 0; i < len; i++) {
		const struct mark *mark = &recall->recalls[asked[i].place].mark;
		rd_kafka_topic_partition_list_add(list, recall->topic, (int32_t)mark->partition)->offset = mark->offset;
		asked[i].queue = rd_kafka_queue_get_partition(recall->client, recall->topic, (int32_t)mark->partition);
		CHECK(asked[i].queue != NULL);
		rd_kafka_queue_forward(asked[i].queue, NULL);
	}
	rd_kafka_resp_err_t code = rd_kafka_assign(recall->client, list);
	rd_kafka_topic_partition_list_destroy(list);
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		return RESULT_OK;
	return error_set(error, RESULT_RETRY, "Kafka: assign: %s", rd_kafka_err2str(code));
}

/* Whoever waits for one record asks for the others meanwhile. */
static enum result keep_words(enum result result, struct error *waits, const struct error *error)
{
	if (result != RESULT_RETRY)
		return result;
	*waits = *error;
	return RESULT_OK;
}

/* Of what was fetched for an earlier mark of the partition. */
static bool is_left_over(const struct mark *mark, const rd_kafka_message_t *message)
{
	return message->err == RD_KAFKA_RESP_ERR_NO_ERROR && message->offset < mark->offset;
}

/* waits: the words of one that is not known yet. */
static enum result fetch(
    struct kafka_recall *recall, struct asked *asked, uint32_t len, struct error *waits, struct error *error)
{
	uint64_t end_us = clock_monotonic_us() + ASK_TIMEOUT_MS * 1000ULL;
	bool heard[TOGETHER_MAX] = {false};
	uint32_t left = len;
	enum result result = assign(recall, asked, len, error);
	while (result == RESULT_OK && left > 0 && clock_monotonic_us() < end_us) {
		for (uint32_t i = 0; i < len && result == RESULT_OK; i++) {
			rd_kafka_message_t *message = heard[i] ? NULL : rd_kafka_consume_queue(asked[i].queue, POLL_MS);
			if (message == NULL)
				continue;
			if (!is_left_over(&recall->recalls[asked[i].place].mark, message)) {
				heard[i] = true;
				left--;
				result = keep_words(take_first(recall, asked[i].place, message, error), waits, error);
			}
			rd_kafka_message_destroy(message);
		}
	}
	for (uint32_t i = 0; i < len && result == RESULT_OK; i++)
		if (!heard[i])
			result =
			    keep_words(wait_for(recall, asked[i].place, "it has not come yet", error), waits, error);
	(void)rd_kafka_assign(recall->client, NULL);
	for (uint32_t i = 0; i < len; i++)
		if (asked[i].queue != NULL)
			rd_kafka_queue_destroy(asked[i].queue);
	return result;
}

/* From *place on, some that have to be fetched, each of another partition. */
static enum result gather(struct kafka_recall *recall, uint32_t *place, struct asked asked[TOGETHER_MAX], uint32_t *len,
    struct error *waits, struct error *error)
{
	enum result result = RESULT_OK;
	*len = 0;
	for (; *place < recall->len && *len < TOGETHER_MAX && result == RESULT_OK; (*place)++) {
		bool needed = false;
		if (recall->done[*place])
			continue;
		if (*len > 0 &&
		    recall->recalls[asked[*len - 1].place].mark.partition == recall->recalls[*place].mark.partition)
			break;
		result = keep_words(ask_range(recall, *place, &needed, error), waits, error);
		if (needed)
			asked[(*len)++] = (struct asked){.place = *place};
	}
	return result;
}

/* Those that are not known are left so. */
static bool is_enough(const struct kafka_recall *recall)
{
	bool enough = false;
	for (uint32_t i = 0; i < recall->len && recall->one_will_do; i++)
		enough = enough || (recall->done[i] && recall->recalls[i].now == RECALLED_THERE);
	for (uint32_t i = 0; i < recall->len && enough; i++)
		if (!recall->done[i])
			recall->recalls[i].now = RECALLED_UNKNOWN;
	return enough;
}

enum result kafka_recall_ask(struct kafka_recall *recall, uint32_t partitions, struct error *error)
{
	enum result result = RESULT_OK;
	struct error waits = {0};
	for (uint32_t i = 0; i < recall->len; i++)
		if (recall->recalls[i].mark.partition >= partitions)
			settle(recall, i, RECALLED_ABSENT, 0);
	for (uint32_t place = 0; place < recall->len && result == RESULT_OK;) {
		struct asked asked[TOGETHER_MAX];
		uint32_t len;
		result = gather(recall, &place, asked, &len, &waits, error);
		if (result == RESULT_OK && len > 0)
			result = fetch(recall, asked, len, &waits, error);
	}
	if (result != RESULT_OK || waits.code == RESULT_OK || is_enough(recall))
		return result;
	*error = waits;
	return RESULT_RETRY;
}
