#include "services/ingest/kafka_watch.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/timestamp.h"
#include "services/ingest/kafka_client.h"
#include "services/ingest/kafka_describe.h"

enum { QUERY_TIMEOUT_MS = 5000 };

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

enum result kafka_watch_state(struct kafka_watch *watch, struct error *error)
{
	enum result result = kafka_watch_failure(watch, error);
	if (result != RESULT_OK)
		return result;
	(void)pthread_mutex_lock(&watch->lock);
	result = watch->notice.code;
	if (result != RESULT_OK)
		*error = watch->notice;
	(void)pthread_mutex_unlock(&watch->lock);
	return result;
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
static void answered(struct kafka_watch *watch, uint64_t outages)
{
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
	uint64_t outages = outages_so_far(watch);
	rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(
	    watch->client, watch->topic_name, (int32_t)partition->id, low, high, QUERY_TIMEOUT_MS);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return false;
	atomic_store(&partition->end, *high);
	answered(watch, outages);
	return true;
}

static void out_of_range_report(struct kafka_watch *watch, struct kafka_partition *partition)
{
	int64_t low, high, wanted = atomic_load(&partition->next);
	struct error failure;
	if (range_ask(watch, partition, &low, &high))
		(void)error_set(&failure, RESULT_CONFIG,
		    "topic %s partition %" PRIu32 ": offset %" PRId64 " is out of range: the log holds %" PRId64
		    " up to %" PRId64,
		    watch->topic_name, partition->id, wanted, low, high);
	else
		(void)error_set(&failure, RESULT_CONFIG,
		    "topic %s partition %" PRIu32 ": offset %" PRId64 " is out of range of the log", watch->topic_name,
		    partition->id, wanted);
	kafka_watch_fail(watch, &failure);
}

/* A log that ends before what was already read lost records (unclean election, topic made anew). A new leader may
 * tell an end that lags for a moment, so it takes two checks. */
static void end_check(struct kafka_watch *watch, struct kafka_partition *partition)
{
	int64_t next = atomic_load(&partition->next), low, high;
	if (!range_ask(watch, partition, &low, &high))
		return;
	bool is_short = high < next;
	if (is_short && partition->short_before) {
		struct error failure;
		(void)error_set(&failure, RESULT_CONFIG,
		    "topic %s partition %" PRIu32 ": read up to offset %" PRId64 ", but the log holds %" PRId64
		    " up to %" PRId64 ": records were lost or the topic was made anew",
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
	(void)error_set(&error, RESULT_RETRY, "topic %s does not exist: waiting for it", watch->topic_name);
	set_notice(watch, &error);
	if (now_us - watch->missing_since_us >= (uint64_t)MISSING_TOPIC_MS * 1000) {
		(void)error_set(&error, RESULT_CONFIG, "topic %s does not exist", watch->topic_name);
		kafka_watch_fail(watch, &error);
	}
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
		(void)error_set(&failure, RESULT_CONFIG,
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
	uint64_t outages = outages_so_far(watch);
	rd_kafka_resp_err_t code = rd_kafka_metadata(watch->client, 0, watch->topic, &metadata, QUERY_TIMEOUT_MS);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return;
	answered(watch, outages);
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

static void everything_check(struct kafka_watch *watch)
{
	topic_check(watch);
	if (watch->missing_since_us != 0 || atomic_load(&watch->away))
		return;
	for (uint32_t i = 0; i < watch->partitions_len && !stopped(watch); i++)
		end_check(watch, &watch->partitions[i]);
}

static bool checks_often(const struct kafka_watch *watch)
{
	return atomic_load(&watch->away) || watch->missing_since_us != 0;
}

/* Waits for work or the time of the next check, and tells whether that has come. Under the lock. */
static bool work_wait(struct kafka_watch *watch, uint64_t checked_us)
{
	uint64_t pause_us = (uint64_t)(checks_often(watch) ? AWAY_CHECK_MS : CHECK_MS) * 1000;
	uint64_t due_us = checked_us + pause_us;
	struct timespec until = {.tv_sec = (time_t)(due_us / 1000000), .tv_nsec = (long)(due_us % 1000000) * 1000};
	while (!watch->stop && !watch->work && pthread_cond_timedwait(&watch->changed, &watch->lock, &until) == 0)
		;
	bool due = watch->check_now || clock_monotonic_us() >= due_us;
	watch->work = false;
	watch->check_now = false;
	return due;
}

static void *watch_run(void *opaque)
{
	struct kafka_watch *watch = opaque;
	uint64_t checked_us = clock_monotonic_us();
	(void)pthread_mutex_lock(&watch->lock);
	for (;;) {
		bool due = work_wait(watch, checked_us);
		if (watch->stop)
			break;
		(void)pthread_mutex_unlock(&watch->lock);
		requests_serve(watch);
		if (due) {
			everything_check(watch);
			checked_us = clock_monotonic_us();
		}
		(void)pthread_mutex_lock(&watch->lock);
	}
	(void)pthread_mutex_unlock(&watch->lock);
	return NULL;
}

void kafka_watch_start(struct kafka_watch *watch)
{
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
