#include "services/producer/broker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "common/base/buffer.h"

struct broker {
	rd_kafka_t *host; /* the cluster lives on a client's threads */
	rd_kafka_mock_cluster_t *cluster;
};

enum result broker_open(struct broker **out, const char *topic, uint32_t partitions, struct error *error)
{
	char text[256] = "";
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_conf_set_log_cb(conf, NULL);
	rd_kafka_t *host = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
	if (host == NULL) {
		rd_kafka_conf_destroy(conf);
		return error_set(error, RESULT_CONFIG, "embedded broker: %s", text);
	}
	struct broker *broker = memory_new(sizeof *broker);
	broker->host = host;
	broker->cluster = rd_kafka_mock_cluster_new(host, 1);
	if (broker->cluster == NULL) {
		broker_close(broker);
		return error_set(error, RESULT_CONFIG, "embedded broker: no cluster");
	}
	rd_kafka_resp_err_t code = rd_kafka_mock_topic_create(broker->cluster, topic, (int)partitions, 1);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
		broker_close(broker);
		return error_set(error, RESULT_CONFIG, "embedded broker: topic %s: %s", topic, rd_kafka_err2str(code));
	}
	*out = broker;
	return RESULT_OK;
}

const char *broker_address(const struct broker *broker)
{
	return rd_kafka_mock_cluster_bootstraps(broker->cluster);
}

enum result broker_publish(const struct broker *broker, const char *file, struct error *error)
{
	struct buffer fresh = {0};
	buffer_printf(&fresh, "%s.%d", file, (int)getpid());
	buffer_append(&fresh, "", 1);
	const char *path = (const char *)fresh.data;
	enum result result = RESULT_OK;
	FILE *out = fopen(path, "we");
	if (out == NULL || fprintf(out, "%s\n", broker_address(broker)) < 0)
		result = error_set(error, RESULT_CONFIG, "%s: %s", path, strerror(errno));
	if (out != NULL && fclose(out) != 0 && result == RESULT_OK)
		result = error_set(error, RESULT_CONFIG, "%s: %s", path, strerror(errno));
	if (result == RESULT_OK && rename(path, file) != 0)
		result = error_set(error, RESULT_CONFIG, "%s: %s", file, strerror(errno));
	if (result != RESULT_OK)
		(void)unlink(path);
	buffer_fini(&fresh);
	return result;
}

void broker_close(struct broker *broker)
{
	if (broker == NULL)
		return;
	if (broker->cluster != NULL)
		rd_kafka_mock_cluster_destroy(broker->cluster);
	rd_kafka_destroy(broker->host);
	free(broker);
}
