#include "services/producer/sender.h"

#include <stdio.h>
#include <string.h>

enum { WAIT_MS = 100, ADMIN_WAIT_MS = 30000, TOPIC_ASKS = 50 };

static void on_delivery(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
	struct sender *sender = opaque;
	(void)client;
	if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
		sender->counts.delivered++;
		if (sender->away)
			(void)fputs("Kafka answers again\n", stderr);
		sender->away = false;
		return;
	}
	if (sender->counts.failed++ == 0)
		(void)snprintf(
		    sender->first_failure, sizeof sender->first_failure, "%s", rd_kafka_err2str(message->err));
}

static void on_error(rd_kafka_t *client, int code, const char *reason, void *opaque)
{
	struct sender *sender = opaque;
	(void)client;
	if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && !sender->away) {
		sender->away = true;
		(void)fputs("Kafka does not answer: waiting\n", stderr);
	} else if (code == RD_KAFKA_RESP_ERR__AUTHENTICATION || code == RD_KAFKA_RESP_ERR__FATAL) {
		(void)fprintf(stderr, "Kafka: %s\n", reason);
	}
}

static enum result setting_apply(rd_kafka_conf_t *conf, const char *name, const char *value, struct error *error)
{
	char text[256] = "";
	if (rd_kafka_conf_set(conf, name, value, text, sizeof text) != RD_KAFKA_CONF_OK)
		return error_set(error, RESULT_CONFIG, "%s", text);
	return RESULT_OK;
}

static enum result user_setting_apply(rd_kafka_conf_t *conf, const char *setting, struct error *error)
{
	const char *equals = strchr(setting, '=');
	struct buffer name = {0};
	buffer_append(&name, setting, (size_t)(equals - setting));
	buffer_append(&name, "", 1);
	enum result result = setting_apply(conf, (const char *)name.data, equals + 1, error);
	buffer_fini(&name);
	return result;
}

static enum result client_open(
    struct sender *sender, const char *bootstrap, const char *const *settings, size_t settings_len, struct error *error)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	rd_kafka_conf_set_error_cb(conf, on_error);
	rd_kafka_conf_set_log_cb(conf, NULL);
	rd_kafka_conf_set_opaque(conf, sender);
	static const char *const ours[][2] = {
	    {"client.id", "sluice-producer"},
	    /* One request at a time keeps the order, also of what is sent again. An idempotent client of 2.0.2 would never send a
	     * batch twice, but while five requests wait for a slow broker it turns in a circle and takes a core for itself. */
	    {"max.in.flight", "1"},
	    {"partitioner", "murmur2_random"}, /* as Java's and Python's clients place keys */
	    {"linger.ms", "2"},
	    {"reconnect.backoff.max.ms", "1000"},
	};
	enum result result = setting_apply(conf, "bootstrap.servers", bootstrap, error);
	for (size_t i = 0; i < sizeof ours / sizeof ours[0] && result == RESULT_OK; i++)
		result = setting_apply(conf, ours[i][0], ours[i][1], error);
	for (size_t i = 0; i < settings_len && result == RESULT_OK; i++)
		result = user_setting_apply(conf, settings[i], error);
	char text[256] = "";
	if (result == RESULT_OK) {
		sender->client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
		if (sender->client == NULL)
			result = error_set(error, RESULT_CONFIG, "%s", text);
	}
	if (result != RESULT_OK)
		rd_kafka_conf_destroy(conf);
	return result;
}

/* One question; *partitions stays 0 where the topic is missing. False: no answer. */
static bool topic_ask(struct sender *sender, uint32_t *partitions)
{
	const struct rd_kafka_metadata *metadata = NULL;
	rd_kafka_resp_err_t code = rd_kafka_metadata(sender->client, 0, sender->topic, &metadata, WAIT_MS * 5);
	(void)rd_kafka_poll(sender->client, 0);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return false;
	if (metadata->topic_cnt == 1 && metadata->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR)
		*partitions = (uint32_t)metadata->topics[0].partition_cnt;
	rd_kafka_metadata_destroy(metadata);
	return true;
}

static enum result topic_create(struct sender *sender, uint32_t partitions, struct error *error)
{
	char text[256] = "";
	rd_kafka_NewTopic_t *wanted = rd_kafka_NewTopic_new(sender->topic_name, (int)partitions, -1, text, sizeof text);
	if (wanted == NULL)
		return error_set(error, RESULT_CONFIG, "%s", text);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(sender->client);
	rd_kafka_CreateTopics(sender->client, &wanted, 1, NULL, queue);
	rd_kafka_event_t *event = NULL;
	for (int waited = 0; event == NULL && waited < ADMIN_WAIT_MS && !sender->interrupted(sender->opaque);
	     waited += WAIT_MS) {
		event = rd_kafka_queue_poll(queue, WAIT_MS);
		(void)rd_kafka_poll(sender->client, 0);
	}
	enum result result = RESULT_OK;
	if (event == NULL || rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) {
		result = error_set(error, RESULT_RETRY, "topic %s: %s", sender->topic_name,
		    event == NULL ? "no answer" : rd_kafka_event_error_string(event));
	} else {
		size_t len;
		const rd_kafka_topic_result_t **made =
		    rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &len);
		rd_kafka_resp_err_t code = rd_kafka_topic_result_error(made[0]);
		if (code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
			result = error_set(error, RESULT_CONFIG, "topic %s: %s", sender->topic_name,
			    rd_kafka_topic_result_error_string(made[0]));
	}
	if (event != NULL)
		rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(queue);
	rd_kafka_NewTopic_destroy(wanted);
	return result;
}

/* Brokers are waited for; a topic only for as long as news of a new one need to get about. */
static enum result topic_wait(struct sender *sender, uint32_t create_partitions, struct error *error)
{
	for (int asked = 0; asked < TOPIC_ASKS;) {
		if (sender->interrupted(sender->opaque))
			return error_set(error, RESULT_RETRY, "interrupted");
		if (topic_ask(sender, &sender->partitions)) {
			if (sender->partitions > 0)
				return RESULT_OK;
			if (create_partitions == 0 && asked >= 10)
				break;
			if (create_partitions > 0 && asked == 0) {
				enum result result = topic_create(sender, create_partitions, error);
				if (result != RESULT_OK)
					return result;
			}
			asked++;
		}
		(void)rd_kafka_poll(sender->client, WAIT_MS);
	}
	return error_set(
	    error, RESULT_CONFIG, "topic %s does not exist; --create-topic N makes it", sender->topic_name);
}

enum result sender_open(struct sender *sender, const char *bootstrap, const char *const *settings, size_t settings_len,
    uint32_t create_partitions, struct error *error)
{
	enum result result = client_open(sender, bootstrap, settings, settings_len, error);
	if (result != RESULT_OK)
		return result;
	sender->topic = rd_kafka_topic_new(sender->client, sender->topic_name, NULL);
	if (sender->topic == NULL)
		return error_set(error, RESULT_CONFIG, "not a topic's name: %s", sender->topic_name);
	return topic_wait(sender, create_partitions, error);
}

bool sender_send(struct sender *sender, int32_t partition, struct bytes key, struct bytes payload)
{
	for (;;) {
		/* librdkafka copies both; its prototype only forgot a const. */
		int refused = rd_kafka_produce(sender->topic, partition < 0 ? RD_KAFKA_PARTITION_UA : partition,
		    RD_KAFKA_MSG_F_COPY, (void *)(uintptr_t)payload.data, payload.len, key.data, key.len, NULL);
		if (refused == 0)
			break;
		rd_kafka_resp_err_t code = rd_kafka_last_error();
		if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
			if (sender->counts.failed++ == 0)
				(void)snprintf(
				    sender->first_failure, sizeof sender->first_failure, "%s", rd_kafka_err2str(code));
			break;
		}
		if (sender->interrupted(sender->opaque))
			return false;
		(void)rd_kafka_poll(sender->client, WAIT_MS);
	}
	sender->counts.sent++;
	sender->counts.bytes += key.len + payload.len;
	return true;
}

void sender_poll(struct sender *sender)
{
	(void)rd_kafka_poll(sender->client, 0);
}

bool sender_flush(struct sender *sender)
{
	while (sender->counts.delivered + sender->counts.failed < sender->counts.sent) {
		if (rd_kafka_flush(sender->client, WAIT_MS) != RD_KAFKA_RESP_ERR_NO_ERROR &&
		    sender->interrupted(sender->opaque))
			return false;
	}
	return true;
}

void sender_close(struct sender *sender)
{
	if (sender->topic != NULL)
		rd_kafka_topic_destroy(sender->topic);
	if (sender->client != NULL) {
		/* What was not delivered is given up; its reports would have nobody to read them. */
		(void)rd_kafka_purge(sender->client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
		rd_kafka_destroy(sender->client);
	}
}
