#include "services/ingest/kafka_watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/timestamp.h"
#include "services/ingest/kafka_client.h"
#include "services/ingest/kafka_describe.h"
#include "services/ingest/kafka_topic.h"

enum {
	QUERY_TIMEOUT_MS = 5000,
	SETTINGS_CHECKS = 3, /* the topic's settings: at every so manieth check */
	ENDS_TIMEOUT_MS = 2000,
	SILENT_US = 3000000, /* without an answer: asked every second */
	HELD_US = 2000000, /* by a transaction, */
	NOTHING_US = 5000000, /* and by nobody knows what: a large record takes its time */
	INSTANT_MAX = 32,
};

/* 2024-01-15T10:00:00Z */
static const char *instant_print(int64_t us, char out[INSTANT_MAX])
{
	char text[TIMESTAMP_TEXT_MAX];
	(void)timestamp_print(us, text);
	(void)snprintf(out, INSTANT_MAX, "%.19sZ", text);
	return out;
}

static void reader_notify(const struct kafka_watch *watch)
{
	const uint64_t one = 1;
	/* Full (EAGAIN) is as readable as it gets. */
	ssize_t written = write(watch->event_fd, &one, sizeof one);
	(void)written;
}

static void thread_notify(struct kafka_watch *watch)
{
	(void)pthread_mutex_lock(&watch->lock);
	watch->work = true;
	(void)pthread_cond_signal(&watch->changed);
	(void)pthread_mutex_unlock(&watch->lock);
}

void kafka_watch_wake(struct kafka_watch *watch, struct kafka_partition *partition)
{
	atomic_store(&partition->wake, true);
	thread_notify(watch);
}

void kafka_watch_out_of_range(struct kafka_watch *watch, struct kafka_partition *partition)
{
	atomic_store(&partition->out_of_range, true);
	thread_notify(watch);
}

int64_t kafka_watch_end(const struct kafka_watch *watch, const struct kafka_partition *partition)
{
	int64_t low, high = -1, asked = atomic_load(&partition->end);
	if (rd_kafka_get_watermark_offsets(watch->client, watch->topic_name, (int32_t)partition->id, &low, &high) !=
	        RD_KAFKA_RESP_ERR_NO_ERROR ||
	    high < asked)
		high = asked;
	return high;
}

/* Its checksum was right, so it would be the same the next time. */
void kafka_watch_cannot_unpack(struct kafka_watch *watch, struct kafka_partition *partition, const char *why)
{
	struct error failure;
	int64_t next = atomic_load(&partition->next);
	(void)error_stop(&failure, STOP_CANNOT_UNPACK,
	    "topic %s partition %" PRIu32 ": the records at offset %" PRId64 " cannot be unpacked (%s)",
	    watch->topic_name, partition->id, next, why);
	kafka_watch_fail(watch, &failure);
}

void kafka_watch_check(struct kafka_watch *watch)
{
	(void)pthread_mutex_lock(&watch->lock);
	watch->check_now = true;
	watch->work = true;
	(void)pthread_cond_signal(&watch->changed);
	(void)pthread_mutex_unlock(&watch->lock);
}

void kafka_watch_fail(struct kafka_watch *watch, const struct error *failure)
{
	(void)pthread_mutex_lock(&watch->lock);
	if (watch->failure.code == RESULT_OK)
		watch->failure = *failure;
	(void)pthread_mutex_unlock(&watch->lock);
	reader_notify(watch);
}

/* notice NULL: nothing is waited for any more. */
static void set_notice(struct kafka_watch *watch, const struct error *notice)
{
	(void)pthread_mutex_lock(&watch->lock);
	watch->notice = notice != NULL ? *notice : (struct error){.code = RESULT_OK};
	(void)pthread_mutex_unlock(&watch->lock);
	reader_notify(watch);
}

enum result kafka_watch_failure(struct kafka_watch *watch, struct error *error)
{
	(void)pthread_mutex_lock(&watch->lock);
	enum result result = watch->failure.code;
	if (result != RESULT_OK)
		*error = watch->failure;
	(void)pthread_mutex_unlock(&watch->lock);
	return result;
}

/* Told by the time that has passed: whoever asks may hang in its question. */
static enum result silence_state(struct kafka_watch *watch, struct error *error)
{
	uint64_t now_us = clock_monotonic_us(), answered_us = atomic_load(&watch->answered_us);
	char since[INSTANT_MAX];
	if (now_us < answered_us + SILENT_US) {
		watch->silent_since_us = 0;
		return RESULT_OK;
	}
	if (watch->silent_since_us == 0)
		watch->silent_since_us = clock_realtime_us() - (int64_t)(now_us - answered_us);
	return error_set(
	    error, RESULT_RETRY, "Kafka does not answer since %s", instant_print(watch->silent_since_us, since));
}

enum result kafka_watch_state(struct kafka_watch *watch, struct error *error)
{
	enum result result = kafka_watch_failure(watch, error);
	if (result != RESULT_OK)
		return result;
	(void)pthread_mutex_lock(&watch->lock);
	const struct error notice = watch->notice, held = watch->held;
	(void)pthread_mutex_unlock(&watch->lock);
	if (notice.code != RESULT_OK)
		*error = notice;
	else if (silence_state(watch, error) == RESULT_OK)
		*error = held;
	return error->code;
}

void kafka_watch_away(struct kafka_watch *watch, const char *why)
{
	struct error notice;
	(void)error_set(&notice, RESULT_RETRY, "Kafka does not answer: %s", why);
	(void)pthread_mutex_lock(&watch->lock);
	if (!atomic_exchange(&watch->away, true)) {
		watch->outages++;
		watch->notice = notice;
	}
	(void)pthread_mutex_unlock(&watch->lock);
	reader_notify(watch);
	thread_notify(watch); /* it looks every second from now on */
}

/* An answer to a question that was asked before the outage began says nothing about it; nor do records, which may have
 * waited in a queue. */
static void answered(struct kafka_watch *watch, uint64_t asked_us, uint64_t outages)
{
	atomic_store(&watch->answered_us, asked_us);
	(void)pthread_mutex_lock(&watch->lock);
	bool is_back = atomic_load(&watch->away) && watch->outages == outages;
	if (is_back) {
		atomic_store(&watch->away, false);
		watch->notice.code = RESULT_OK;
	}
	(void)pthread_mutex_unlock(&watch->lock);
	if (!is_back)
		return;
	log_info("Kafka answers again");
	reader_notify(watch);
}

static uint64_t outages_so_far(struct kafka_watch *watch)
{
	(void)pthread_mutex_lock(&watch->lock);
	uint64_t outages = watch->outages;
	(void)pthread_mutex_unlock(&watch->lock);
	return outages;
}

static bool range_ask(struct kafka_watch *watch, struct kafka_partition *partition, int64_t *low, int64_t *high)
{
	uint64_t asked_us = clock_monotonic_us(), outages = outages_so_far(watch);
	rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(
	    watch->client, watch->topic_name, (int32_t)partition->id, low, high, QUERY_TIMEOUT_MS);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return false;
	atomic_store(&partition->end, *high);
	answered(watch, asked_us, outages);
	return true;
}

static void out_of_range_report(struct kafka_watch *watch, struct kafka_partition *partition)
{
	int64_t low, high, wanted = atomic_load(&partition->next);
	struct error failure;
	bool known = range_ask(watch, partition, &low, &high);
	if (known && low > wanted)
		(void)error_stop(&failure, STOP_RECORDS_GONE,
		    "topic %s partition %" PRIu32 ": offset %" PRId64 " is out of range: the log holds %" PRId64
		    " up to %" PRId64,
		    watch->topic_name, partition->id, wanted, low, high);
	else if (known)
		(void)error_stop(&failure, STOP_OTHER_LOG,
		    "topic %s partition %" PRIu32 ": read up to offset %" PRId64
		    ", which is out of range: the log holds %" PRId64 " up to %" PRId64
		    "; records were lost or the topic was made anew",
		    watch->topic_name, partition->id, wanted, low, high);
	else
		(void)error_stop(&failure, STOP_OTHER_LOG,
		    "topic %s partition %" PRIu32 ": read up to offset %" PRId64
		    ", which is out of range: records were lost or the topic was made anew",
		    watch->topic_name, partition->id, wanted);
	kafka_watch_fail(watch, &failure);
}

/* A log that ends before what was already read lost records (unclean election, topic made anew). A new leader may
 * tell an end that lags for a moment, so it takes two checks. */
static void end_check(struct kafka_watch *watch, struct kafka_partition *partition)
{
	int64_t next = atomic_load(&partition->next), end = atomic_load(&partition->end), low, high;
	bool is_short = end >= 0 && end < next;
	if (is_short && partition->short_before && range_ask(watch, partition, &low, &high) && high < next) {
		struct error failure;
		(void)error_stop(&failure, STOP_OTHER_LOG,
		    "topic %s partition %" PRIu32 ": read up to offset %" PRId64
		    ", which is out of range: the log holds %" PRId64 " up to %" PRId64
		    "; records were lost or the topic was made anew",
		    watch->topic_name, partition->id, next, low, high);
		kafka_watch_fail(watch, &failure);
	}
	partition->short_before = is_short;
}

static void topic_missing(struct kafka_watch *watch)
{
	uint64_t now_us = clock_monotonic_us();
	struct error error;
	if (watch->missing_since_us == 0)
		watch->missing_since_us = now_us;
	if (kafka_topic_missing(watch->topic_name, true, watch->missing_since_us, now_us, &error) == RESULT_RETRY)
		set_notice(watch, &error);
	else
		kafka_watch_fail(watch, &error);
}

static void partitions_check(struct kafka_watch *watch, uint32_t now)
{
	uint32_t known = atomic_load(&watch->partitions_known), needed = known;
	for (uint32_t i = 0; i < watch->partitions_len; i++) {
		if (watch->partitions[i].id >= needed)
			needed = watch->partitions[i].id + 1;
	}
	if (now < needed) {
		struct error failure;
		(void)error_stop(&failure, STOP_OTHER_LOG,
		    "topic %s has %" PRIu32 " partitions, but %" PRIu32 " are known: it was made anew",
		    watch->topic_name, now, needed);
		kafka_watch_fail(watch, &failure);
		return;
	}
	atomic_store(&watch->partitions_known, now);
	if (now > known)
		reader_notify(watch);
}

static void topic_check(struct kafka_watch *watch)
{
	const struct rd_kafka_metadata *metadata = NULL;
	uint64_t asked_us = clock_monotonic_us(), outages = outages_so_far(watch);
	rd_kafka_resp_err_t code = rd_kafka_metadata(watch->client, 0, watch->topic, &metadata, QUERY_TIMEOUT_MS);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return;
	answered(watch, asked_us, outages);
	if (metadata->topic_cnt == 1) {
		const rd_kafka_metadata_topic_t *topic = &metadata->topics[0];
		if (topic->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
			topic_missing(watch);
		} else if (topic->err == RD_KAFKA_RESP_ERR_NO_ERROR && topic->partition_cnt > 0) {
			if (watch->missing_since_us != 0)
				set_notice(watch, NULL);
			watch->missing_since_us = 0;
			partitions_check(watch, (uint32_t)topic->partition_cnt);
		}
	}
	rd_kafka_metadata_destroy(metadata);
}

static void requests_serve(struct kafka_watch *watch)
{
	for (uint32_t i = 0; i < watch->partitions_len; i++) {
		struct kafka_partition *partition = &watch->partitions[i];
		int64_t low, high;
		if (atomic_exchange(&partition->out_of_range, false))
			out_of_range_report(watch, partition);
		else if (atomic_exchange(&partition->wake, false))
			(void)range_ask(watch, partition, &low, &high);
	}
}

static bool stopped(struct kafka_watch *watch)
{
	(void)pthread_mutex_lock(&watch->lock);
	bool stop = watch->stop;
	(void)pthread_mutex_unlock(&watch->lock);
	return stop;
}

/* Somebody may have it compacted while it is read. */
static void settings_check(struct kafka_watch *watch)
{
	struct kafka_topic_settings settings;
	struct error error;
	if (watch->checks++ % SETTINGS_CHECKS != 0)
		return;
	if (kafka_topic_ask(watch->client, watch->topic_name, &settings, &error) &&
	    kafka_topic_check(watch->topic_name, &settings, &error) != RESULT_OK)
		kafka_watch_fail(watch, &error);
}

static void everything_check(struct kafka_watch *watch)
{
	topic_check(watch);
	if (watch->missing_since_us != 0 || atomic_load(&watch->away))
		return;
	for (uint32_t i = 0; i < watch->partitions_len && !stopped(watch); i++)
		end_check(watch, &watch->partitions[i]);
	settings_check(watch);
}

/* One question for all partitions: brokers have one answer each. False: not all ends are known anew. */
static bool ends_ask(struct kafka_watch *watch)
{
	uint64_t asked_us = clock_monotonic_us(), outages = outages_so_far(watch);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)watch->partitions_len);
	for (uint32_t i = 0; i < watch->partitions_len; i++)
		rd_kafka_topic_partition_list_add(list, watch->topic_name, (int32_t)watch->partitions[i].id)->offset =
		    RD_KAFKA_OFFSET_END;
	bool told = rd_kafka_offsets_for_times(watch->client, list, ENDS_TIMEOUT_MS) == RD_KAFKA_RESP_ERR_NO_ERROR;
	bool all = told;
	bool unknown = false; /* to a broker */
	for (int i = 0; i < list->cnt && told; i++) {
		const rd_kafka_topic_partition_t *one = &list->elems[i];
		if (one->err == RD_KAFKA_RESP_ERR_NO_ERROR && one->offset >= 0)
			atomic_store(&watch->partitions[i].end, one->offset);
		else
			all = false;
	}
	for (int i = 0; i < list->cnt; i++)
		unknown = unknown || list->elems[i].err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
		          list->elems[i].err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
		          list->elems[i].err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
	rd_kafka_topic_partition_list_destroy(list);
	if (told)
		answered(watch, asked_us, outages);
	if (unknown)
		kafka_watch_check(watch); /* is it there at all? */
	if (all)
		atomic_store(&watch->heard_us, asked_us);
	return all;
}

/* Nothing has come of it for so long, and nothing waits to be taken. */
static bool is_held(const struct kafka_watch *watch, struct kafka_partition *partition, uint64_t now_us)
{
	int64_t next = atomic_load(&partition->next);
	bool by_transaction = atomic_load(&partition->stable_end) == next;
	if (kafka_watch_end(watch, partition) <= next || rd_kafka_queue_length(partition->queue) > 0) {
		partition->held_us = 0;
		return false;
	}
	if (partition->held_us == 0 || partition->held_at != next) {
		partition->held_us = now_us;
		partition->held_since_us = clock_realtime_us();
		partition->held_at = next;
	}
	return now_us >= partition->held_us + (uint64_t)(by_transaction ? HELD_US : NOTHING_US);
}

/* The same words for as long as it lasts. */
static void held_say(
    const struct kafka_watch *watch, const struct kafka_partition *partition, uint32_t others, struct error *held)
{
	char since[INSTANT_MAX], more[48] = "";
	(void)instant_print(partition->held_since_us, since);
	if (others > 0)
		(void)snprintf(more, sizeof more, " (as %" PRIu32 " other partitions are)", others);
	if (atomic_load(&partition->stable_end) == partition->held_at)
		(void)error_set(held, RESULT_RETRY,
		    "partition %" PRIu32 " of topic %s is held at offset %" PRId64
		    " since %s by an open transaction%s. Its producer has to commit or abort it; otherwise Kafka ends "
		    "it "
		    "after the producer's transaction.timeout.ms, and kafka-transactions.sh abort --topic %s "
		    "--partition "
		    "%" PRIu32 " --start-offset %" PRId64 " at once",
		    partition->id, watch->topic_name, partition->held_at, since, more, watch->topic_name, partition->id,
		    partition->held_at);
	else
		(void)error_set(held, RESULT_RETRY,
		    "nothing comes from partition %" PRIu32 " of topic %s at offset %" PRId64
		    " since %s, though the log goes on%s: a large record may be on its way, or the broker does not "
		    "send "
		    "it",
		    partition->id, watch->topic_name, partition->held_at, since, more);
}

static void held_look(struct kafka_watch *watch)
{
	const struct kafka_partition *first = NULL;
	uint64_t now_us = clock_monotonic_us();
	uint32_t others = 0;
	struct error held = {.code = RESULT_OK};
	for (uint32_t i = 0; i < watch->partitions_len; i++) {
		bool is = is_held(watch, &watch->partitions[i], now_us);
		others += is && first != NULL;
		if (is && first == NULL)
			first = &watch->partitions[i];
	}
	if (first != NULL)
		held_say(watch, first, others, &held);
	(void)pthread_mutex_lock(&watch->lock);
	bool other = held.code != watch->held.code || strcmp(held.text, watch->held.text) != 0;
	watch->held = held;
	(void)pthread_mutex_unlock(&watch->lock);
	if (other)
		reader_notify(watch);
}

static void ends_check(struct kafka_watch *watch)
{
	if (ends_ask(watch))
		held_look(watch);
	else
		for (uint32_t i = 0; i < watch->partitions_len; i++)
			watch->partitions[i].held_us = 0;
}

static bool checks_often(const struct kafka_watch *watch)
{
	return atomic_load(&watch->away) || watch->missing_since_us != 0;
}

/* Waits for work or this time. Under the lock. */
static void work_wait(struct kafka_watch *watch, uint64_t due_us)
{
	struct timespec until = {.tv_sec = (time_t)(due_us / 1000000), .tv_nsec = (long)(due_us % 1000000) * 1000};
	while (!watch->stop && !watch->work && pthread_cond_timedwait(&watch->changed, &watch->lock, &until) == 0)
		;
	watch->work = false;
}

static bool check_is_due(struct kafka_watch *watch, uint64_t checked_us)
{
	uint64_t pause_us = (uint64_t)(checks_often(watch) ? AWAY_CHECK_MS : CHECK_MS) * 1000;
	(void)pthread_mutex_lock(&watch->lock);
	bool due = watch->check_now || clock_monotonic_us() >= checked_us + pause_us;
	watch->check_now = false;
	(void)pthread_mutex_unlock(&watch->lock);
	return due;
}

static void *watch_run(void *opaque)
{
	struct kafka_watch *watch = opaque;
	uint64_t checked_us = clock_monotonic_us(), ends_us = 0; /* when they were done last */
	(void)pthread_mutex_lock(&watch->lock);
	while (!watch->stop) {
		(void)pthread_mutex_unlock(&watch->lock);
		requests_serve(watch);
		if (clock_monotonic_us() >= ends_us + (uint64_t)ENDS_MS * 1000) {
			ends_check(watch);
			ends_us = clock_monotonic_us();
		}
		if (check_is_due(watch, checked_us)) {
			everything_check(watch);
			checked_us = clock_monotonic_us();
		}
		(void)pthread_mutex_lock(&watch->lock);
		work_wait(watch, ends_us + (uint64_t)ENDS_MS * 1000);
	}
	(void)pthread_mutex_unlock(&watch->lock);
	return NULL;
}

void kafka_watch_start(struct kafka_watch *watch)
{
	atomic_init(&watch->answered_us, clock_monotonic_us());
	(void)pthread_mutex_init(&watch->lock, NULL);
	pthread_condattr_t attributes;
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&watch->changed, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	CHECK(pthread_create(&watch->thread, NULL, watch_run, watch) == 0);
}

void kafka_watch_stop(struct kafka_watch *watch)
{
	(void)pthread_mutex_lock(&watch->lock);
	watch->stop = true;
	(void)pthread_cond_signal(&watch->changed);
	(void)pthread_mutex_unlock(&watch->lock);
	(void)pthread_join(watch->thread, NULL);
	(void)pthread_cond_destroy(&watch->changed);
	(void)pthread_mutex_destroy(&watch->lock);
}
