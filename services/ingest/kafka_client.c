#include "services/ingest/kafka_client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"

/* All queues together. A queued record costs librdkafka about 450 bytes besides its own, hence the second bound.
 * Measured, 1,000,000 records of 417 bytes in 4 partitions with 8 us of work a record (which allows 125,000/s):
 *   librdkafka's own limits, a queue a partition        121,600 records/s, 0.54 CPU-s, 292 MiB resident
 *   16 MiB, 50,000 records                              121,500 records/s, 0.49 CPU-s,  48 MiB
 *   the same without being woken (kafka_watch.h)         56,600 records/s, 0.44 CPU-s,  45 MiB
 *   a bare loop on one queue, librdkafka's own limits   112,700 records/s, 0.50 CPU-s,  70 MiB
 * A whole job drains no slower with these limits (113,000 records/s), and its ingest takes 22 MiB instead of 40 to 55. */
enum { QUEUED_BYTES = 6 << 20, QUEUED_RECORDS = 14000, QUEUED_KIB_MIN = 512, QUEUED_RECORDS_MIN = 1000 };
/* A partition's share of one answer: what a queue may exceed its limit by. */
enum { FETCH_BYTES_MAX = 1 << 20, FETCH_BYTES_MIN = 128 << 10 };

/* Kafka's own limit. */
enum { TOPIC_NAME_MAX = 249 };

struct kafka_setting {
	const char *name, *value;
};

static const struct kafka_setting defaults[] = {
    {"bootstrap.servers", "localhost:9092"},
    {"isolation.level", "read_committed"},
    /* A broker answers as soon as there is one byte, so the wait costs no latency. It is short because one request
     * speaks for all the partitions of a broker: one whose queue has room again waits until the idle ones' time is up.
     * Measured with 15 idle partitions beside one with a backlog, 8 us of work a record: 20 or 25 ms 120,000
     * records/s, 50 ms 88,000, 100 ms 45,000. An idle source takes 0.9 % of a core at 5 ms, 0.3 to 0.5 % at 25 ms. */
    {"fetch.min.bytes", "1"},
    {"fetch.wait.max.ms", "25"},
    {"fetch.error.backoff.ms", "50"},
    {"reconnect.backoff.ms", "50"},
    {"reconnect.backoff.max.ms", "1000"},
    {"socket.keepalive.enable", "true"},
    {"socket.nagle.disable", "true"},
    /* A partition that a broker does not know is asked for again by librdkafka, and nobody is told. Its log does. */
    {"debug", "topic"},
};

/* What exactness rests on. */
static const struct kafka_setting required[] = {
    {"enable.auto.commit", "false"}, /* the cut stands in the database, nowhere else */
    {"enable.auto.offset.store", "false"}, /* likewise */
    {"auto.offset.reset", "error"}, /* anything else jumps silently over records that are gone */
    {"enable.partition.eof", "true"}, /* says where reading stands behind a transaction's marker */
    {"api.version.request", "true"}, /* else an old protocol is spoken, which sends what was aborted, too */
    {"check.crcs", "true"}, /* a damaged batch must not pass for money */
    {"allow.auto.create.topics", "false"}, /* a misspelt topic must be missing, not empty */
};

struct kafka_verdict {
	rd_kafka_resp_err_t code;
	enum result result;
};

static const struct kafka_verdict verdicts[] = {
    {RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, RESULT_RETRY},
    {RD_KAFKA_RESP_ERR__TRANSPORT, RESULT_RETRY},
    {RD_KAFKA_RESP_ERR__RESOLVE, RESULT_RETRY},
    {RD_KAFKA_RESP_ERR__TIMED_OUT, RESULT_RETRY},
    {RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE, RESULT_RETRY},
    {RD_KAFKA_RESP_ERR__SSL, RESULT_RETRY},
    {RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, RESULT_RETRY},
    {RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, RESULT_RETRY},
    {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, RESULT_RETRY},
    {RD_KAFKA_RESP_ERR_UNKNOWN, RESULT_RETRY},
    {RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, RESULT_RETRY},
    {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RESULT_RETRY},
    {RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, RESULT_RETRY},
    {RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE, RESULT_RETRY},
    {RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE, RESULT_RETRY},
    {RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION, RESULT_RETRY},
    {RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, RESULT_RETRY},
    {RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH, RESULT_RETRY},
    {RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH, RESULT_RETRY},
    {RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE, RESULT_RETRY},
    {RD_KAFKA_RESP_ERR_PREFERRED_LEADER_NOT_AVAILABLE, RESULT_RETRY},
    {RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, RESULT_OK},
    {RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, RESULT_OK},
    {RD_KAFKA_RESP_ERR_NOT_COORDINATOR, RESULT_OK},
    {RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, RESULT_OK},
    {RD_KAFKA_RESP_ERR__AUTHENTICATION, RESULT_CONFIG},
    {RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, RESULT_CONFIG},
    {RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM, RESULT_CONFIG},
    {RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE, RESULT_CONFIG},
    {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, RESULT_CONFIG},
    {RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, RESULT_CONFIG},
    {RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, RESULT_CONFIG},
    {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RESULT_CONFIG},
    {RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE, RESULT_CONFIG},
    {RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION, RESULT_CONFIG},
    {RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, RESULT_CONFIG},
    {RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE, RESULT_CONFIG},
};

enum result kafka_client_verdict(rd_kafka_resp_err_t code, const char *text)
{
	/* The one TLS failure that never passes by itself. */
	if (code == RD_KAFKA_RESP_ERR__SSL && text != NULL && strstr(text, "certificate verify failed") != NULL)
		return RESULT_CONFIG;
	for (size_t i = 0; i < sizeof verdicts / sizeof verdicts[0]; i++) {
		if (verdicts[i].code == code)
			return verdicts[i].result;
	}
	return RESULT_CORRUPT;
}

static enum result setting_apply(rd_kafka_conf_t *conf, const char *name, const char *value, struct error *error)
{
	char text[512] = "";
	if (rd_kafka_conf_set(conf, name, value, text, sizeof text) == RD_KAFKA_CONF_OK)
		return RESULT_OK;
	return error_stop(error, STOP_PIPELINE_FILE, "source.kafka.%s: %s", name, text);
}

static enum result settings_apply(
    rd_kafka_conf_t *conf, const struct kafka_setting *settings, size_t len, struct error *error)
{
	for (size_t i = 0; i < len; i++) {
		enum result result = setting_apply(conf, settings[i].name, settings[i].value, error);
		if (result != RESULT_OK)
			return result;
	}
	return RESULT_OK;
}

static int64_t share_of(int64_t whole, uint32_t partitions, int64_t least)
{
	int64_t share = whole / (int64_t)partitions;
	return share < least ? least : share;
}

/* The memory that waits in the queues does not grow with the number of partitions. */
static enum result limits_apply(rd_kafka_conf_t *conf, uint32_t partitions, struct error *error)
{
	int64_t kib = share_of(QUEUED_BYTES >> 10, partitions, QUEUED_KIB_MIN);
	int64_t records = share_of(QUEUED_RECORDS, partitions, QUEUED_RECORDS_MIN);
	int64_t fetch = (kib << 10) / 4;
	if (fetch > FETCH_BYTES_MAX)
		fetch = FETCH_BYTES_MAX;
	if (fetch < FETCH_BYTES_MIN)
		fetch = FETCH_BYTES_MIN;
	char texts[3][24];
	(void)snprintf(texts[0], sizeof texts[0], "%" PRId64, kib);
	(void)snprintf(texts[1], sizeof texts[1], "%" PRId64, records);
	(void)snprintf(texts[2], sizeof texts[2], "%" PRId64, fetch);
	const struct kafka_setting settings[] = {
	    {"queued.max.messages.kbytes", texts[0]},
	    {"queued.min.messages", texts[1]},
	    {"fetch.message.max.bytes", texts[2]},
	};
	return settings_apply(conf, settings, sizeof settings / sizeof settings[0], error);
}

static int64_t setting_number(rd_kafka_conf_t *conf, const char *name)
{
	char text[64] = "";
	size_t size = sizeof text;
	CHECK(rd_kafka_conf_get(conf, name, text, &size) == RD_KAFKA_CONF_OK);
	return strtoll(text, NULL, 10);
}

/* Everything ours was set before the user's: a required one that differs now was changed by the user. */
static enum result required_check(rd_kafka_conf_t *conf, struct error *error)
{
	for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) {
		char text[64] = "";
		size_t size = sizeof text;
		if (rd_kafka_conf_get(conf, required[i].name, text, &size) != RD_KAFKA_CONF_OK ||
		    strcmp(text, required[i].value) != 0)
			return error_stop(error, STOP_PIPELINE_FILE,
			    "source.kafka.%s cannot be changed: it has to be %s", required[i].name, required[i].value);
	}
	return RESULT_OK;
}

/* What librdkafka's log says when a connection was lost that stood, and when a broker does not know a partition. Neither a broker that stays
 * away nor an election is among them: what is read meanwhile comes from others of the same cluster. */
static const struct {
	const char *facility, *words;
} doubtful[] = {{"FAIL", "in state UP"}, {"BROKERUA", "Unknown topic"}};

/* On librdkafka's threads. */
static void on_log(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
	struct kafka_reader *reader = rd_kafka_opaque(client);
	for (size_t i = 0; reader != NULL && i < sizeof doubtful / sizeof doubtful[0]; i++)
		if (strcmp(facility, doubtful[i].facility) == 0 && strstr(text, doubtful[i].words) != NULL)
			atomic_fetch_add(&reader->doubts, 1);
	/* What a person is to know is said through health, once; warnings about settings come only here. */
	if (strcmp(facility, "CONFWARN") == 0)
		log_warn("librdkafka: %s", text);
	else
		log_debug("librdkafka: %s (%s, level %d)", text, facility, level);
}

static enum result conf_new(rd_kafka_conf_t **conf, const struct pipeline *pipeline, const char *client_id,
    uint32_t partitions, struct error *error)
{
	rd_kafka_conf_t *made = rd_kafka_conf_new();
	enum result result = settings_apply(made, defaults, sizeof defaults / sizeof defaults[0], error);
	if (result == RESULT_OK)
		result = settings_apply(made, required, sizeof required / sizeof required[0], error);
	if (result == RESULT_OK)
		result = limits_apply(made, partitions, error);
	if (result == RESULT_OK)
		result = setting_apply(made, "client.id", client_id, error);
	/* Without a group librdkafka refuses assign(). */
	if (result == RESULT_OK)
		result = setting_apply(made, "group.id", pipeline->job, error);
	for (size_t i = 0; i < pipeline->source.kafka_len && result == RESULT_OK; i++) {
		const struct setting *setting = &pipeline->source.kafka[i];
		result = setting_apply(made, setting->name, setting->value, error);
	}
	if (result == RESULT_OK)
		result = required_check(made, error);
	if (result != RESULT_OK) {
		rd_kafka_conf_destroy(made);
		return result;
	}
	rd_kafka_conf_set_log_cb(made, on_log);
	rd_kafka_conf_set_events(made, RD_KAFKA_EVENT_ERROR);
	*conf = made;
	return RESULT_OK;
}

enum result kafka_client_check(const struct pipeline *pipeline, const char *client_id, struct error *error)
{
	size_t len = strlen(pipeline->source.topic);
	if (len == 0 || len > TOPIC_NAME_MAX)
		return error_stop(
		    error, STOP_PIPELINE_FILE, "source.topic: a name has 1 to %d characters", TOPIC_NAME_MAX);
	rd_kafka_conf_t *conf = NULL;
	enum result result = conf_new(&conf, pipeline, client_id, 1, error);
	if (result == RESULT_OK)
		rd_kafka_conf_destroy(conf);
	return result;
}

enum result kafka_client_new(rd_kafka_t **client, const struct pipeline *pipeline, const char *client_id,
    uint32_t partitions, struct kafka_reader *reader, struct error *error)
{
	rd_kafka_conf_t *conf = NULL;
	enum result result = conf_new(&conf, pipeline, client_id, partitions, error);
	if (result != RESULT_OK)
		return result;
	if (reader != NULL) {
		reader->limits.bytes = setting_number(conf, "queued.max.messages.kbytes") << 10;
		reader->limits.records = setting_number(conf, "queued.min.messages");
		rd_kafka_conf_set_opaque(conf, reader);
	}
	char text[512] = "";
	*client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof text);
	if (*client == NULL) {
		rd_kafka_conf_destroy(conf);
		return error_stop(error, STOP_PIPELINE_FILE, "source.kafka: %s", text);
	}
	/* Errors of the client and of its group then come out of one queue. */
	(void)rd_kafka_poll_set_consumer(*client);
	return RESULT_OK;
}

/* The others that do are required, above. */
static const char *const deciding[] = {"isolation.level", "plugin.library.paths"};

void kafka_client_facts(rd_kafka_t *client, struct facts *facts, struct arena *arena)
{
	for (size_t i = 0; i < sizeof deciding / sizeof deciding[0]; i++) {
		char name[64], value[512] = "";
		size_t size = sizeof value;
		(void)snprintf(name, sizeof name, "kafka.%s", deciding[i]);
		if (rd_kafka_conf_get(rd_kafka_conf(client), deciding[i], value, &size) != RD_KAFKA_CONF_OK)
			value[0] = '\0';
		facts_add(facts, arena, name, value);
	}
}

void kafka_client_free(rd_kafka_t *client)
{
	if (client != NULL)
		rd_kafka_destroy_flags(client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

bool kafka_client_next_error(rd_kafka_queue_t *events, rd_kafka_resp_err_t *code, char text[ERROR_TEXT_MAX])
{
	for (;;) {
		rd_kafka_event_t *event = rd_kafka_queue_poll(events, 0);
		if (event == NULL)
			return false;
		bool found = rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR;
		if (found) {
			*code = rd_kafka_event_error(event);
			const char *words = rd_kafka_event_error_string(event);
			(void)snprintf(text, ERROR_TEXT_MAX, "%s", words != NULL ? words : rd_kafka_err2str(*code));
		}
		rd_kafka_event_destroy(event);
		if (found)
			return true;
	}
}
