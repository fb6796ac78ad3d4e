#include "services/ingest/kafka_topic.h"

#include <stdio.h>
#include <string.h>

enum { ASK_TIMEOUT_MS = 2000 };

static void take(const char *name, const char *value, struct kafka_topic_settings *settings)
{
	if (value == NULL)
		return;
	if (strcmp(name, "cleanup.policy") == 0)
		(void)snprintf(settings->cleanup_policy, sizeof settings->cleanup_policy, "%s", value);
	else if (strcmp(name, "retention.ms") == 0)
		(void)snprintf(settings->retention_ms, sizeof settings->retention_ms, "%s", value);
}

static bool take_all(const rd_kafka_event_t *event, struct kafka_topic_settings *settings, struct error *error)
{
	size_t resources_len = 0, entries_len = 0;
	const rd_kafka_DescribeConfigs_result_t *result =
	    rd_kafka_event_DescribeConfigs_result((rd_kafka_event_t *)event);
	const char *why = rd_kafka_event_error_string((rd_kafka_event_t *)event);
	if (rd_kafka_event_error((rd_kafka_event_t *)event) != RD_KAFKA_RESP_ERR_NO_ERROR || result == NULL) {
		(void)error_set(error, RESULT_RETRY, "%s", why != NULL ? why : "no answer");
		return false;
	}
	const rd_kafka_ConfigResource_t **resources = rd_kafka_DescribeConfigs_result_resources(result, &resources_len);
	if (resources_len != 1 || rd_kafka_ConfigResource_error(resources[0]) != RD_KAFKA_RESP_ERR_NO_ERROR) {
		why = resources_len == 1 ? rd_kafka_ConfigResource_error_string(resources[0]) : NULL;
		(void)error_set(error, RESULT_RETRY, "%s", why != NULL ? why : "no answer");
		return false;
	}
	const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resources[0], &entries_len);
	for (size_t i = 0; i < entries_len; i++)
		take(rd_kafka_ConfigEntry_name(entries[i]), rd_kafka_ConfigEntry_value(entries[i]), settings);
	return true;
}

bool kafka_topic_ask(rd_kafka_t *client, const char *topic, struct kafka_topic_settings *settings, struct error *error)
{
	char text[256] = "";
	rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
	rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
	rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
	bool told = false;
	*settings = (struct kafka_topic_settings){0};
	(void)rd_kafka_AdminOptions_set_request_timeout(options, ASK_TIMEOUT_MS, text, sizeof text);
	rd_kafka_DescribeConfigs(client, &resource, 1, options, queue);
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, ASK_TIMEOUT_MS + 1000);
	if (event != NULL)
		told = take_all(event, settings, error);
	else
		(void)error_set(error, RESULT_RETRY, "no answer");
	if (event != NULL)
		rd_kafka_event_destroy(event);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_ConfigResource_destroy(resource);
	rd_kafka_queue_destroy(queue);
	return told;
}

enum result kafka_topic_check(const char *topic, const struct kafka_topic_settings *settings, struct error *error)
{
	if (strstr(settings->cleanup_policy, "compact") == NULL)
		return RESULT_OK;
	return error_stop(error, STOP_COMPACTED,
	    "topic %s has cleanup.policy=%s: of the records of a Kafka key only the last one stays, so rows and totals "
	    "would "
	    "depend on when they were read",
	    topic, settings->cleanup_policy);
}

enum result kafka_topic_missing(
    const char *topic, bool was_read, uint64_t since_us, uint64_t now_us, struct error *error)
{
	const char *how = was_read ? " any more" : "";
	if (now_us - since_us < (uint64_t)MISSING_TOPIC_MS * 1000)
		return error_set(error, RESULT_RETRY, "topic %s does not exist%s: %s", topic, how,
		    was_read ? "it was deleted, or this user may not see it" : "waiting for it");
	return error_stop(error, was_read ? STOP_OTHER_LOG : STOP_NO_TOPIC, "topic %s does not exist%s", topic, how);
}
