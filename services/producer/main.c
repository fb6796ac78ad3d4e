/* sluice-producer - made-up transactions to a Kafka topic, at a steady rate; can be the broker as well. */
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "common/base/buffer.h"
#include "common/base/error.h"
#include "common/base/output.h"
#include "common/base/timestamp.h"
#include "services/producer/broker.h"
#include "services/producer/options.h"
#include "services/producer/sender.h"
#include "services/producer/stream.h"

enum { SLICE_US = 2000, LOOK_US = 100000, UNTHROTTLED_BATCH = 256, PRINTED_MAX = 1024 };

struct producer {
	struct options options;
	struct stream stream;
	struct sender sender;
	struct broker *broker; /* NULL: a real one */
	uint64_t *partition_bytes; /* of the embedded broker */
	bool broker_full;
	int signals;
	unsigned interrupts;
	uint64_t begun_us, ended_us;
};

/* Signals are read, not handled: they were blocked before any thread was started. */
static int signals_open(void)
{
	sigset_t set;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	CHECK(fd >= 0);
	return fd;
}

static void signals_read(struct producer *producer)
{
	struct signalfd_siginfo signal;
	while (read(producer->signals, &signal, sizeof signal) == (ssize_t)sizeof signal)
		producer->interrupts++;
}

/* Sleeps until a point in time, or a signal. */
static void sleep_until(struct producer *producer, uint64_t until_us)
{
	uint64_t now_us = clock_monotonic_us();
	struct timespec timeout = {0};
	if (until_us > now_us) {
		timeout.tv_sec = (time_t)((until_us - now_us) / 1000000);
		timeout.tv_nsec = (long)((until_us - now_us) % 1000000) * 1000;
	}
	struct pollfd waited = {.fd = producer->signals, .events = POLLIN};
	if (ppoll(&waited, 1, &timeout, NULL) > 0)
		signals_read(producer);
}

static bool is_interrupted(void *opaque)
{
	struct producer *producer = opaque;
	signals_read(producer);
	return producer->interrupts > 0;
}

/* The last flush is given up only at the second signal. */
static bool is_interrupted_twice(void *opaque)
{
	struct producer *producer = opaque;
	signals_read(producer);
	return producer->interrupts > 1;
}

/* Where the record goes in the embedded broker; -1: there is no more room. A real broker places by key. */
static int32_t partition_choose(struct producer *producer, struct bytes key, struct bytes payload)
{
	uint32_t hash = 2166136261u;
	for (size_t i = 0; i < key.len; i++)
		hash = (hash ^ key.data[i]) * 16777619u;
	uint32_t partition = hash % (uint32_t)producer->options.partitions;
	uint64_t bytes = key.len + payload.len + BROKER_RECORD_OVERHEAD;
	if (producer->partition_bytes[partition] + bytes > BROKER_PARTITION_BYTES)
		return -1;
	producer->partition_bytes[partition] += bytes;
	return (int32_t)partition;
}

/* One line a record, whatever bytes it is of: users know this from the generator that they have. */
static void record_print(const struct producer *producer, struct bytes payload)
{
	if (producer->options.quiet)
		return;
	if (payload.data == NULL) {
		(void)puts("(tombstone)");
		return;
	}
	size_t len = payload.len < PRINTED_MAX ? payload.len : PRINTED_MAX;
	for (size_t i = 0; i < len; i++) {
		if (payload.data[i] >= 0x20 && payload.data[i] < 0x7f)
			(void)putchar(payload.data[i]);
		else
			(void)printf("\\x%02x", payload.data[i]);
	}
	(void)puts(len < payload.len ? "..." : "");
}

/* False: no more can be sent. */
static bool send_one(struct producer *producer)
{
	struct bytes key, payload;
	struct stream_counts before = producer->stream.counts;
	stream_next(&producer->stream, &key, &payload);
	int32_t partition = -1;
	if (producer->broker != NULL) {
		partition = partition_choose(producer, key, payload);
		if (partition < 0) {
			producer->broker_full = true;
			producer->stream.counts = before;
			return false;
		}
	}
	if (sender_send(&producer->sender, partition, key, payload)) {
		record_print(producer, payload);
		return true;
	}
	producer->stream.counts = before;
	return false;
}

/* The last slice of a limited time still has its records to send. */
static bool is_done(const struct producer *producer, uint64_t now_us)
{
	const struct options *options = &producer->options;
	return producer->interrupts > 0 || (options->count > 0 && producer->sender.counts.sent >= options->count) ||
	       (options->seconds > 0 && now_us - producer->begun_us >= options->seconds * 1000000 + SLICE_US);
}

/* How many records ought to have been sent by now. */
static uint64_t due_by(const struct producer *producer, uint64_t now_us)
{
	const struct options *options = &producer->options;
	uint64_t due = options->rate == 0
	                   ? producer->sender.counts.sent + UNTHROTTLED_BATCH
	                   : (uint64_t)((unsigned __int128)(now_us - producer->begun_us) * options->rate / 1000000) + 1;
	return options->count > 0 && due > options->count ? options->count : due;
}

/* When the next record is due, or the next look at signals and reports. Points of time are counted from the beginning:
 * what one slice is late, the next makes up for. */
static uint64_t next_wake(const struct producer *producer, uint64_t now_us)
{
	uint64_t due_us = producer->begun_us + (uint64_t)((unsigned __int128)producer->sender.counts.sent * 1000000 /
	                                                  producer->options.rate);
	uint64_t slice_us = now_us - (now_us - producer->begun_us) % SLICE_US + SLICE_US;
	if (due_us < slice_us)
		return slice_us;
	return due_us < now_us + LOOK_US ? due_us : now_us + LOOK_US;
}

static void send_all(struct producer *producer)
{
	uint64_t now_us = producer->begun_us = clock_monotonic_us();
	bool room = true;
	while (room && !is_done(producer, now_us)) {
		for (uint64_t due = due_by(producer, now_us); room && producer->sender.counts.sent < due;)
			room = send_one(producer);
		sender_poll(&producer->sender);
		now_us = clock_monotonic_us();
		if (producer->options.rate > 0)
			sleep_until(producer, next_wake(producer, now_us));
		else
			signals_read(producer);
		now_us = clock_monotonic_us();
	}
}

static void summary_print(const struct producer *producer)
{
	const struct sender_counts *sent = &producer->sender.counts;
	const struct stream_counts *made = &producer->stream.counts;
	(void)printf("sent %" PRIu64 ", delivered %" PRIu64 ", failed %" PRIu64 "; new %" PRIu64 ", duplicates %" PRIu64
	             ", conflicts %" PRIu64 ", poison %" PRIu64 "; %" PRIu64 " bytes in %.3f s\n",
	    sent->sent, sent->delivered, sent->sent - sent->delivered, made->fresh, made->duplicates, made->conflicts,
	    made->poison, sent->bytes, (double)(producer->ended_us - producer->begun_us) / 1e6);
	if (producer->sender.first_failure[0] != '\0')
		(void)fprintf(stderr, "sluice-producer: not delivered: %s\n", producer->sender.first_failure);
	(void)fflush(stdout);
}

static void serve_until_signal(struct producer *producer)
{
	if (producer->broker == NULL || producer->interrupts > 0)
		return;
	if (producer->broker_full)
		(void)printf("the embedded broker is full (%d MiB a partition): nothing more is sent\n",
		    BROKER_PARTITION_BYTES >> 20);
	(void)printf("serving on %s until SIGTERM\n", broker_address(producer->broker));
	(void)fflush(stdout);
	while (producer->interrupts == 0)
		sleep_until(producer, clock_monotonic_us() + 1000000);
}

static enum result broker_start(struct producer *producer, struct error *error)
{
	struct options *options = &producer->options;
	enum result result = broker_open(&producer->broker, options->topic, (uint32_t)options->partitions, error);
	if (result != RESULT_OK)
		return result;
	options->bootstrap = broker_address(producer->broker);
	producer->partition_bytes = memory_new(options->partitions * sizeof producer->partition_bytes[0]);
	if (options->broker_file != NULL)
		result = broker_publish(producer->broker, options->broker_file, error);
	return result;
}

static enum result producer_start(struct producer *producer, struct error *error)
{
	struct options *options = &producer->options;
	/* A rate and a time make a number: the same everywhere, unless the broker is too slow for it. */
	if (options->rate > 0 && options->seconds > 0 && options->seconds <= UINT64_MAX / options->rate) {
		uint64_t due = options->rate * options->seconds;
		if (options->count == 0 || due < options->count)
			options->count = due;
	}
	stream_init(&producer->stream, (struct stream_mix){options->seed, options->duplicates, options->conflicts,
	                                   options->poison, (uint32_t)options->days});
	if (options->embedded_broker) {
		enum result result = broker_start(producer, error);
		if (result != RESULT_OK)
			return result;
	}
	producer->sender.topic_name = options->topic;
	producer->sender.interrupted = is_interrupted;
	producer->sender.opaque = producer;
	return sender_open(&producer->sender, options->bootstrap, options->settings.words, options->settings.len,
	    (uint32_t)options->create_topic, error);
}

static bool producer_run(struct producer *producer)
{
	struct error error;
	if (producer_start(producer, &error) != RESULT_OK) {
		(void)fprintf(stderr, "sluice-producer: %s\n", error.text);
		return false;
	}
	send_all(producer);
	producer->sender.interrupted = is_interrupted_twice;
	bool flushed = sender_flush(&producer->sender);
	producer->ended_us = clock_monotonic_us();
	summary_print(producer);
	serve_until_signal(producer);
	return flushed && producer->sender.counts.delivered == producer->sender.counts.sent;
}

static int run(struct producer *producer)
{
	producer->signals = signals_open();
	(void)setvbuf(stdout, NULL, _IOLBF, 0); /* whoever reads a pipe sees a record when it is sent */
	int exit_code = producer_run(producer) ? EXIT_SUCCESS : EXIT_FAILURE;
	sender_close(&producer->sender);
	broker_close(producer->broker);
	stream_fini(&producer->stream);
	(void)close(producer->signals);
	return exit_code;
}

static int run_program(int argc, char **argv)
{
	struct error error;
	int exit_code = EXIT_SUCCESS;
	struct producer *producer = memory_new(sizeof *producer);
	if (producer_options_parse(&producer->options, argc, argv, &error) != RESULT_OK) {
		(void)fprintf(stderr, "sluice-producer: %s\n", error.text);
		exit_code = EXIT_USAGE;
	} else if (producer->options.help) {
		producer_options_help(stdout);
	} else if (producer->options.version) {
		(void)puts("sluice-producer " SLUICE_VERSION);
	} else {
		exit_code = run(producer);
	}
	free(producer->partition_bytes);
	free(producer);
	return exit_code;
}

int main(int argc, char **argv)
{
	output_open();
	return output_end("sluice-producer", run_program(argc, argv));
}
