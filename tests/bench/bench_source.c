/* bench_source - what reading a topic costs: the Kafka source of ingest, and a bare librdkafka loop as the floor.
 *
 *   bench_source floor|source BOOTSTRAP TOPIC RECORDS [NAME=VALUE]...
 *
 * Reads RECORDS records of all partitions from the beginning, touches one byte of each, and prints one line: records a
 * second, CPU-seconds per million, resident and peak memory. "idle" as RECORDS reads nothing for ten seconds from the
 * end of the topic and prints the CPU it took. The setting work.ns=N is the bench's own: a sleep of N nanoseconds a
 * record after each batch stands for the work of the rest of a pipeline, so that queues fill.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>

#include "common/base/log.h"
#include "common/base/timestamp.h"
#include "services/ingest/source_kafka.h"

enum { BATCH = 1000, IDLE_US = 10000000, PARTITIONS_MAX = 64 };

struct bench {
	struct pipeline pipeline;
	uint64_t wanted; /* 0: idle */
	uint64_t work_ns;
	uint64_t read;
	uint32_t touched;
	uint64_t begun_us;
	double cpu_begun;
};

static double cpu_seconds(void)
{
	struct rusage usage;
	(void)getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static long memory_kib(const char *name)
{
	char line[128];
	long kib = -1;
	FILE *status = fopen("/proc/self/status", "re");
	while (status != NULL && fgets(line, sizeof line, status) != NULL) {
		if (strncmp(line, name, strlen(name)) == 0)
			kib = strtol(line + strlen(name), NULL, 10);
	}
	if (status != NULL)
		(void)fclose(status);
	return kib;
}

static void bench_begin(struct bench *bench)
{
	bench->begun_us = clock_monotonic_us();
	bench->cpu_begun = cpu_seconds();
}

static bool bench_goes_on(const struct bench *bench)
{
	if (bench->wanted == 0)
		return clock_monotonic_us() - bench->begun_us < IDLE_US;
	return bench->read < bench->wanted;
}

static void work_for(const struct bench *bench, uint64_t records)
{
	uint64_t ns = bench->work_ns * records;
	const struct timespec pause = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
	if (ns > 0)
		(void)nanosleep(&pause, NULL);
}

static void bench_print(const struct bench *bench, const char *mode)
{
	double seconds = (double)(clock_monotonic_us() - bench->begun_us) / 1e6, cpu = cpu_seconds() - bench->cpu_begun;
	if (bench->wanted == 0)
		(void)printf("%-7s idle: %.2f %% of a core", mode, 100 * cpu / seconds);
	else
		(void)printf("%-7s %9.0f records/s  %.2f CPU-s per million", mode, (double)bench->read / seconds,
		    cpu / (double)bench->read * 1e6);
	(void)printf("  RSS %ld MiB  peak %ld MiB (byte sum %" PRIu32 ")\n", memory_kib("VmRSS:") / 1024,
	    memory_kib("VmHWM:") / 1024, bench->touched);
}

static void panic_on(enum result result, const struct error *error)
{
	if (result != RESULT_OK)
		panic("%s", error->text);
}

static void run_source(struct bench *bench)
{
	struct error error;
	struct source_port *port = NULL;
	static const struct marks none;
	struct description found = {0};
	panic_on(source_kafka_open(&port, &bench->pipeline, "bench", &error), &error);
	enum result result;
	while ((result = port->ops->describe(port, &none, &found, &error)) == RESULT_RETRY)
		(void)fprintf(stderr, "%s\n", error.text);
	panic_on(result, &error);
	panic_on(port->ops->assign(port, &found.start, &error), &error);
	struct source_record records[BATCH];
	bench_begin(bench);
	while (bench_goes_on(bench)) {
		size_t round = 0;
		for (uint32_t partition = 0; partition < found.partitions; partition++) {
			size_t len;
			panic_on(port->ops->take(port, partition, records, BATCH, &len, &error), &error);
			for (size_t i = 0; i < len; i++)
				bench->touched += records[i].payload.len > 0 ? records[i].payload.data[0] : 0;
			port->ops->give_back(port, records, len);
			work_for(bench, len);
			round += len;
		}
		bench->read += round;
		if (port->ops->health(port, &error) != RESULT_OK)
			(void)fprintf(stderr, "%s\n", error.text);
		struct pollfd waited = {.fd = port->event_fd, .events = POLLIN};
		uint64_t count;
		if (round == 0 && poll(&waited, 1, 1000) > 0 && read(port->event_fd, &count, sizeof count) < 0)
			panic("event_fd");
	}
	bench_print(bench, "source");
	port->ops->close(port);
	description_fini(&found);
}

static rd_kafka_t *floor_client(const struct bench *bench)
{
	char text[256] = "";
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	(void)rd_kafka_conf_set(conf, "group.id", "floor", text, sizeof text);
	(void)rd_kafka_conf_set(conf, "enable.auto.commit", "false", text, sizeof text);
	for (size_t i = 0; i < bench->pipeline.source.kafka_len; i++) {
		const struct setting *setting = &bench->pipeline.source.kafka[i];
		if (rd_kafka_conf_set(conf, setting->name, setting->value, text, sizeof text) != RD_KAFKA_CONF_OK)
			panic("%s", text);
	}
	rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof text);
	if (client == NULL)
		panic("%s", text);
	return client;
}

static void floor_assign(const struct bench *bench, rd_kafka_t *client)
{
	const struct rd_kafka_metadata *metadata = NULL;
	rd_kafka_topic_t *topic = rd_kafka_topic_new(client, bench->pipeline.source.topic, NULL);
	if (rd_kafka_metadata(client, 0, topic, &metadata, 10000) != RD_KAFKA_RESP_ERR_NO_ERROR)
		panic("no metadata");
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(PARTITIONS_MAX);
	for (int i = 0; i < metadata->topics[0].partition_cnt; i++)
		rd_kafka_topic_partition_list_add(list, bench->pipeline.source.topic, i)->offset =
		    bench->wanted == 0 ? RD_KAFKA_OFFSET_END : RD_KAFKA_OFFSET_BEGINNING;
	if (rd_kafka_assign(client, list) != RD_KAFKA_RESP_ERR_NO_ERROR)
		panic("assign");
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_metadata_destroy(metadata);
	rd_kafka_topic_destroy(topic);
}

static void run_floor(struct bench *bench)
{
	static rd_kafka_message_t *messages[BATCH];
	rd_kafka_t *client = floor_client(bench);
	floor_assign(bench, client);
	rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(client);
	bench_begin(bench);
	while (bench_goes_on(bench)) {
		ssize_t len = rd_kafka_consume_batch_queue(queue, 100, messages, BATCH);
		for (ssize_t i = 0; i < len; i++) {
			if (messages[i]->err != RD_KAFKA_RESP_ERR_NO_ERROR)
				panic("%s", rd_kafka_message_errstr(messages[i]));
			bench->touched += messages[i]->len > 0 ? *(uint8_t *)messages[i]->payload : 0;
			rd_kafka_message_destroy(messages[i]);
		}
		bench->read += len > 0 ? (uint64_t)len : 0;
		work_for(bench, len > 0 ? (uint64_t)len : 0);
	}
	bench_print(bench, "floor");
	rd_kafka_queue_destroy(queue);
	rd_kafka_destroy(client);
}

int main(int argc, char **argv)
{
	if (argc < 5 || (strcmp(argv[1], "floor") != 0 && strcmp(argv[1], "source") != 0)) {
		(void)fputs("usage: bench_source floor|source BOOTSTRAP TOPIC RECORDS|idle [NAME=VALUE]...\n", stderr);
		return EXIT_USAGE;
	}
	log_open("bench", "text", LOG_INFO);
	struct bench bench = {.wanted = strtoull(argv[4], NULL, 10)};
	bench.pipeline.job = "bench";
	bench.pipeline.source.topic = argv[3];
	bench.pipeline.source.start.at = bench.wanted == 0 ? START_LATEST : START_EARLIEST;
	struct setting *settings = bench.pipeline.source.kafka;
	settings[0] = (struct setting){"bootstrap.servers", argv[2]};
	size_t len = 1;
	for (int i = 5; i < argc && len < PIPELINE_KAFKA_MAX; i++) {
		char *value = strchr(argv[i], '=');
		if (value == NULL)
			panic("not NAME=VALUE: %s", argv[i]);
		*value++ = '\0';
		if (strcmp(argv[i], "work.ns") == 0)
			bench.work_ns = strtoull(value, NULL, 10);
		else
			settings[len++] = (struct setting){argv[i], value};
	}
	bench.pipeline.source.kafka_len = len;
	if (strcmp(argv[1], "floor") == 0)
		run_floor(&bench);
	else
		run_source(&bench);
	return EXIT_SUCCESS;
}
