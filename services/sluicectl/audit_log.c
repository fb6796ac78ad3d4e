/* services/sluicectl/audit_log.c - the audit's own reading of the topic, from the start of the job to the cut; see audit.h.
 * Of search: to the end, and every partition: documents may be ahead of the cut.
 *
 * A plain consumer: offsets are assigned, nothing is committed, no group is joined. Every setting of source.kafka counts
 * here too (isolation.level above all), but for those that would make a reader miss or skip records. Offsets may have
 * holes: a partition is read when a record at or behind its cut comes, or its end does.
 *
 * Errors:   RETRY: no broker, or LOG_STALL_MS without a record. CONFIG: refused by a broker, or the topic is not there.
 * Blocking: as long as it takes.
 */
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/timestamp.h"
#include "services/sluicectl/audit.h"
#include "services/sluicectl/audit_keys.h"
#include "services/sluicectl/audit_letters.h"

enum { LOG_STALL_MS = 30000, QUERY_MS = 10000, POLL_MS = 200, BATCH = 1000 };
/* All queues together: librdkafka's own bounds are 64 MiB and 100,000 records for each partition. */
enum {
	QUEUED_KIB = 32 << 10,
	QUEUED_KIB_LEAST = 256,
	QUEUED_RECORDS = 50000,
	QUEUED_RECORDS_LEAST = 1000,
	WAKE_MS = 1000
};

struct log_reader {
	struct audit *audit;
	rd_kafka_t *client;
	/* A partition is read in stretches: what was skipped is not looked at, for it may be what nobody can unpack. */
	bool *done; /* with its stretch; by place in report.partitions */
	size_t left; /* partitions that are not done */
	int64_t *begins, *ends; /* of the stretch, likewise */
	int64_t *limits; /* likewise: the cut, or the end of the log where it comes before; of search: the end */
	struct log_taken {
		size_t records, bytes;
	} * taken; /* likewise: since librdkafka was woken */
	size_t queue_records, queue_bytes; /* what librdkafka may hold of a partition */
	uint64_t records_expected; /* at most: the log may have holes */
	uint64_t heard_us; /* when something came last */
	char trouble[256]; /* what librdkafka said last */
	bool refused; /* that will not get better */
	bool again; /* stretches were read before */
};

/* --- a client -------------------------------------------------------------------------------------------------- */

struct log_setting {
	const char *name, *value;
};

static const struct log_setting required[] = {
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"auto.offset.reset", "error"}, /* anything else jumps over records without a word */
    {"enable.partition.eof", "true"}, /* the offset before the cut may hold no record */
    {"allow.auto.create.topics", "false"},
    {"check.crcs", "true"},
};

/* No broker of the list is a state that can pass; being refused is not. */
static void on_error(rd_kafka_t *client, int code, const char *reason, void *context)
{
	struct log_reader *log = context;
	(void)client;
	(void)snprintf(log->trouble, sizeof log->trouble, "%s", reason);
	log->refused = log->refused || code == RD_KAFKA_RESP_ERR__AUTHENTICATION ||
	               code == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED ||
	               code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
}

static void on_log(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
	(void)client, (void)level, (void)facility, (void)text; /* what matters comes through on_error */
}

static enum result set(rd_kafka_conf_t *conf, const char *name, const char *value, struct error *error)
{
	char words[256];
	if (rd_kafka_conf_set(conf, name, value, words, sizeof words) == RD_KAFKA_CONF_OK)
		return RESULT_OK;
	return error_set(error, RESULT_CONFIG, "source.kafka.%s: %s", name, words);
}

static size_t share_of(size_t whole, size_t least, size_t partitions)
{
	size_t share = whole / (partitions > 0 ? partitions : 1);
	return share > least ? share : least;
}

static enum result set_defaults(struct log_reader *log, rd_kafka_conf_t *conf, struct error *error)
{
	char kib[24], records[24];
	size_t partitions = log->audit->report.partitions_len;
	log->queue_records = share_of(QUEUED_RECORDS, QUEUED_RECORDS_LEAST, partitions);
	log->queue_bytes = share_of(QUEUED_KIB, QUEUED_KIB_LEAST, partitions) << 10;
	(void)snprintf(kib, sizeof kib, "%zu", log->queue_bytes >> 10);
	(void)snprintf(records, sizeof records, "%zu", log->queue_records);
	const struct log_setting defaults[] = {{"bootstrap.servers", "localhost:9092"}, {"group.id", "sluicectl-audit"},
	    {"isolation.level", "read_committed"}, {"fetch.wait.max.ms", "25"}, {"queued.max.messages.kbytes", kib},
	    {"queued.min.messages", records}, {"client.id", "sluicectl-audit"}};
	enum result result = RESULT_OK;
	for (size_t i = 0; i < sizeof defaults / sizeof defaults[0] && result == RESULT_OK; i++)
		result = set(conf, defaults[i].name, defaults[i].value, error);
	return result;
}

static enum result client_open(struct log_reader *log, struct error *error)
{
	const struct pipeline *pipeline = log->audit->pipeline;
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char words[256];
	enum result result = set_defaults(log, conf, error);
	for (size_t i = 0; i < pipeline->source.kafka_len && result == RESULT_OK; i++)
		result = set(conf, pipeline->source.kafka[i].name, pipeline->source.kafka[i].value, error);
	for (size_t i = 0; i < sizeof required / sizeof required[0] && result == RESULT_OK; i++)
		result = set(conf, required[i].name, required[i].value, error);
	if (result != RESULT_OK) {
		rd_kafka_conf_destroy(conf);
		return result;
	}
	rd_kafka_conf_set_opaque(conf, log);
	rd_kafka_conf_set_error_cb(conf, on_error);
	rd_kafka_conf_set_log_cb(conf, on_log);
	log->client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, words, sizeof words);
	if (log->client == NULL) {
		rd_kafka_conf_destroy(conf);
		return error_set(error, RESULT_CONFIG, "source.kafka: %s", words);
	}
	(void)rd_kafka_poll_set_consumer(log->client);
	return RESULT_OK;
}

/* --- where to begin and to end --------------------------------------------------------------------------------- */

static bool is_gone(rd_kafka_resp_err_t code)
{
	return code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC || code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
	       code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
}

static enum result fault(const struct log_reader *log, rd_kafka_resp_err_t code, const char *what, struct error *error)
{
	const char *topic = log->audit->pipeline->source.topic;
	bool for_good = log->refused || code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
	                code == RD_KAFKA_RESP_ERR__AUTHENTICATION;
	if (is_gone(code))
		return error_set(error, RESULT_CONFIG,
		    "Kafka: topic %s is not there (%s: %s), and without its records nothing can be proved. What to do: "
		    "let "
		    "bootstrap.servers and source.topic lead to the log that was read. Where that is gone for good, "
		    "`sluicectl reset` starts a job over with another one",
		    topic, what, rd_kafka_err2str(code));
	return error_set(error, for_good ? RESULT_CONFIG : RESULT_RETRY, "Kafka: topic %s: %s: %s%s%s", topic, what,
	    rd_kafka_err2str(code), log->trouble[0] ? "; " : "", log->trouble);
}

enum { NO_PARTITION = -1 };

/* Kafka ends before the cut: what was read is not there any more. end: NO_PARTITION, or an offset. */
static void say_short(struct audit *audit, const struct audit_partition *partition, int64_t end)
{
	struct difference difference = {.kind = DIFFERENCE_LOG};
	buffer_printf(&difference.key, "partition %" PRIu32, partition->partition);
	buffer_printf(&difference.expected, "records up to offset %" PRId64 ", the cut", partition->cut);
	if (end == NO_PARTITION)
		buffer_append_text(&difference.found, "the topic has no such partition: it was made anew, with fewer");
	else
		buffer_printf(&difference.found, "the topic ends at offset %" PRId64, end);
	report_add(&audit->report, &difference);
}

/* Lets on_error say what librdkafka has noted; nothing is assigned yet, so no record comes. */
static void hear(struct log_reader *log)
{
	rd_kafka_message_t *message = rd_kafka_consumer_poll(log->client, 0);
	if (message != NULL)
		rd_kafka_message_destroy(message);
}

static bool has_partition(const struct rd_kafka_metadata_topic *topic, uint32_t partition)
{
	for (int i = 0; i < topic->partition_cnt; i++)
		if (topic->partitions[i].id == (int32_t)partition)
			return true;
	return false;
}

static void take_partitions(struct audit *audit, const struct rd_kafka_metadata_topic *topic)
{
	struct report *report = &audit->report;
	size_t len = report->partitions_len;
	for (size_t i = 0; i < len; i++)
		report->partitions[i].gone = !has_partition(topic, report->partitions[i].partition);
	if (!audit->target->runs_ahead)
		return;
	report->partitions =
	    memory_resize(report->partitions, len + (size_t)topic->partition_cnt + 1, sizeof report->partitions[0]);
	for (int i = 0; i < topic->partition_cnt; i++)
		if (report_partition(report, (uint32_t)topic->partitions[i].id) == NULL)
			report->partitions[len++] =
			    (struct audit_partition){.partition = (uint32_t)topic->partitions[i].id};
	report->partitions_len = len;
	report_partitions_sort(report);
}

/* Which ones there are. Of a job that runs ahead, those that came since the cut are read, too. */
static enum result find_partitions(struct log_reader *log, struct error *error)
{
	const struct rd_kafka_metadata *metadata = NULL;
	rd_kafka_topic_t *topic = rd_kafka_topic_new(log->client, log->audit->pipeline->source.topic, NULL);
	rd_kafka_resp_err_t code =
	    topic != NULL ? rd_kafka_metadata(log->client, 0, topic, &metadata, QUERY_MS) : rd_kafka_last_error();
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR && metadata != NULL && metadata->topic_cnt == 1) {
		code = metadata->topics[0].err;
		if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
			take_partitions(log->audit, &metadata->topics[0]);
	}
	if (metadata != NULL)
		rd_kafka_metadata_destroy(metadata);
	if (topic != NULL)
		rd_kafka_topic_destroy(topic);
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		return RESULT_OK;
	hear(log);
	return fault(log, code, "its partitions", error);
}

static void make_room(struct log_reader *log)
{
	size_t len = log->audit->report.partitions_len + 1;
	log->done = memory_new(len * sizeof log->done[0]);
	log->begins = memory_new(len * sizeof log->begins[0]);
	log->ends = memory_new(len * sizeof log->ends[0]);
	log->limits = memory_new(len * sizeof log->limits[0]);
	log->taken = memory_new(len * sizeof log->taken[0]);
}

static enum result find_places(struct log_reader *log, struct error *error)
{
	struct audit *audit = log->audit;
	for (size_t i = 0; i < audit->report.partitions_len; i++) {
		struct audit_partition *partition = &audit->report.partitions[i];
		int64_t low = 0, high = 0;
		if (partition->gone) {
			partition->begin = log->limits[i] = log->ends[i] = partition->start;
			say_short(audit, partition, NO_PARTITION);
			continue;
		}
		rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(
		    log->client, audit->pipeline->source.topic, (int32_t)partition->partition, &low, &high, QUERY_MS);
		if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
			hear(log);
			return fault(log, code, "its offsets", error);
		}
		partition->begin = low > partition->start ? low : partition->start;
		audit->report.remeant = audit->report.remeant || partition->meant_from > partition->begin;
		if (partition->meant_from > partition->begin)
			partition->begin = partition->meant_from;
		audit->report.partial = audit->report.partial || report_skip_end(&audit->report, partition->partition,
		                                                     partition->start) < partition->begin;
		if (high < partition->cut)
			say_short(audit, partition, high);
		log->limits[i] = high < partition->cut || audit->target->runs_ahead ? high : partition->cut;
		log->ends[i] = partition->begin;
		if (log->limits[i] > partition->begin)
			log->records_expected += (uint64_t)(log->limits[i] - partition->begin);
	}
	return RESULT_OK;
}

/* The next stretch of each partition behind the one that was read. False: there is none any more. */
static bool next_stretches(struct log_reader *log)
{
	const struct report *report = &log->audit->report;
	log->left = 0;
	for (size_t i = 0; i < report->partitions_len; i++) {
		uint32_t partition = report->partitions[i].partition;
		log->begins[i] = report_skip_end(report, partition, log->ends[i]);
		log->ends[i] = report_skip_begin(report, partition, log->begins[i], log->limits[i]);
		log->done[i] = log->begins[i] >= log->limits[i];
		log->left += !log->done[i];
	}
	return log->left > 0;
}

static enum result assign(struct log_reader *log, struct error *error)
{
	const struct report *report = &log->audit->report;
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)report->partitions_len + 1);
	for (size_t i = 0; i < report->partitions_len; i++)
		if (!log->done[i])
			rd_kafka_topic_partition_list_add(
			    list, log->audit->pipeline->source.topic, (int32_t)report->partitions[i].partition)
			    ->offset = log->begins[i];
	if (log->again)
		(void)rd_kafka_resume_partitions(log->client, list); /* each was paused at the end of its stretch */
	log->again = true;
	rd_kafka_resp_err_t code = rd_kafka_assign(log->client, list);
	rd_kafka_topic_partition_list_destroy(list);
	return code == RD_KAFKA_RESP_ERR_NO_ERROR ? RESULT_OK : fault(log, code, "assigning it", error);
}

/* --- records --------------------------------------------------------------------------------------------------- */

static void take_record(struct audit *audit, const rd_kafka_message_t *message)
{
	rd_kafka_timestamp_type_t type;
	struct audit_record record;
	int64_t timestamp_ms = rd_kafka_message_timestamp(message, &type);
	struct bytes payload = {message->payload, message->payload != NULL ? message->len : 0};
	if (type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE)
		timestamp_ms = -1;
	audit->report.counters_due[AUDIT_CONSUMED]++;
	record_read(&audit->reader, payload, timestamp_ms, &record);
	if (record.reason != NULL && !audit->target->has_letters) {
		audit->report.counters_due[AUDIT_DEAD]++;
		return;
	}
	if (record.reason == NULL) {
		struct key_record valid = {.partition = (uint32_t)message->partition,
		    .offset = message->offset,
		    .timestamp_ms = timestamp_ms,
		    .key = record.key,
		    .content = record.content};
		audit->report.counters_due[AUDIT_UNKNOWN_FIELDS] += record.unknown_fields;
		audit->target->take_record(audit, &valid);
		return;
	}
	const struct letter bad = {.partition = (uint32_t)message->partition,
	    .offset = message->offset,
	    .key = {message->key, message->key != NULL ? message->key_len : 0},
	    .payload = payload,
	    .payload_raw = true,
	    .reason = {(const uint8_t *)record.reason, strlen(record.reason)}};
	audit->report.counters_due[AUDIT_DEAD]++;
	letter_put_bad(&audit->spool, &bad);
}

/* librdkafka 2.0.2 sleeps up to a second once a queue was full, unless something is asked of the partition's broker.
 * Measured: 1,050,000 records take 81 s without this. */
static void wake(struct log_reader *log, const rd_kafka_message_t *message, size_t place)
{
	struct log_taken *taken = &log->taken[place];
	int64_t low, high;
	taken->records++;
	taken->bytes += message->len + message->key_len;
	if (taken->records < log->queue_records / 4 && taken->bytes < log->queue_bytes / 4)
		return;
	*taken = (struct log_taken){0};
	(void)rd_kafka_query_watermark_offsets(
	    log->client, log->audit->pipeline->source.topic, message->partition, &low, &high, WAKE_MS);
}

/* At full load more and more records come behind the cut: none of them is to be fetched. */
static void finish_partition(struct log_reader *log, size_t place)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(
	    list, log->audit->pipeline->source.topic, (int32_t)log->audit->report.partitions[place].partition);
	(void)rd_kafka_pause_partitions(log->client, list);
	rd_kafka_topic_partition_list_destroy(list);
	log->done[place] = true;
	log->left--;
}

static enum result on_trouble(struct log_reader *log, const rd_kafka_message_t *message, struct error *error)
{
	switch ((int)message->err) {
	case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
	case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
		return error_set(error, RESULT_RETRY,
		    "Kafka: topic %s, partition %" PRId32 ": records were deleted while they were read; run again",
		    log->audit->pipeline->source.topic, message->partition);
	case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
	case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR__BAD_MSG:
		return fault(log, message->err, "reading it", error);
	default: /* passes, or nothing comes for too long */
		(void)snprintf(log->trouble, sizeof log->trouble, "%s", rd_kafka_message_errstr(message));
		return RESULT_OK;
	}
}

static enum result take_message(struct log_reader *log, const rd_kafka_message_t *message, struct error *error)
{
	const struct audit_partition *partition = report_partition(&log->audit->report, (uint32_t)message->partition);
	bool end = message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
	if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR && !end)
		return on_trouble(log, message, error);
	if (partition == NULL)
		return RESULT_OK;
	size_t place = (size_t)(partition - log->audit->report.partitions);
	log->heard_us = clock_monotonic_us();
	if (log->done[place])
		return RESULT_OK;
	if (!end && message->offset < log->ends[place]) {
		take_record(log->audit, message);
		wake(log, message, place);
	}
	/* Behind its end, a partition may have what is not committed yet. */
	if (message->offset + (end ? 0 : 1) >= log->ends[place] || (end && log->audit->target->runs_ahead))
		finish_partition(log, place);
	return RESULT_OK;
}

static enum result read_records(struct log_reader *log, struct error *error)
{
	struct audit *audit = log->audit;
	rd_kafka_message_t **messages = memory_new(BATCH * sizeof messages[0]);
	rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(log->client);
	enum result result = RESULT_OK;
	log->heard_us = clock_monotonic_us();
	while (log->left > 0 && result == RESULT_OK) {
		ssize_t got = rd_kafka_consume_batch_queue(queue, POLL_MS, messages, BATCH);
		for (ssize_t i = 0; i < got; i++) {
			if (result == RESULT_OK)
				result = take_message(log, messages[i], error);
			rd_kafka_message_destroy(messages[i]);
		}
		if (result == RESULT_OK)
			result = spool_check(&audit->spool, error);
		if (result == RESULT_OK &&
		    (log->refused || clock_monotonic_us() - log->heard_us > LOG_STALL_MS * 1000ULL))
			result = error_set(error, log->refused ? RESULT_CONFIG : RESULT_RETRY,
			    "Kafka: topic %s: nothing came for %d s: %s", audit->pipeline->source.topic,
			    LOG_STALL_MS / 1000, log->trouble);
		progress_show(
		    &audit->progress, "Kafka", audit->report.counters_due[AUDIT_CONSUMED], log->records_expected);
	}
	rd_kafka_queue_destroy(queue);
	free(messages);
	return result;
}

enum result audit_log_read(struct audit *audit, struct error *error)
{
	struct log_reader log = {.audit = audit};
	enum result result = client_open(&log, error);
	if (result == RESULT_OK)
		result = find_partitions(&log, error);
	make_room(&log);
	if (result == RESULT_OK)
		result = find_places(&log, error);
	while (result == RESULT_OK && next_stretches(&log)) {
		result = assign(&log, error);
		if (result == RESULT_OK)
			result = read_records(&log, error);
	}
	if (log.client != NULL) {
		(void)rd_kafka_consumer_close(log.client);
		rd_kafka_destroy(log.client);
	}
	free(log.done);
	free(log.begins);
	free(log.ends);
	free(log.limits);
	free(log.taken);
	return result;
}
