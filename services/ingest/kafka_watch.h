/* services/ingest/kafka_watch.h - the thread beside a reading consumer: it asks brokers what must not block the reader.
 *
 * - How far the log reaches (every ENDS_MS): lag is told by that, and a partition of which nothing comes though it reaches further is
 *   named once that has lasted HELD_US.
 * - Whether the log still reaches as far as was read, and the topic still has its partitions (every CHECK_MS).
 * - The range of the log once an offset turned out to be outside of it, so that the error can name it.
 * - Whether Kafka answers again while all brokers are away (every AWAY_CHECK_MS).
 * - Whether somebody has the topic compacted.
 * - It wakes librdkafka: version 2.0.2 sleeps up to a second once a partition's queue was full, and any request to the
 *   partition's broker ends that sleep. The reader asks for it each time it has taken a quarter of what a queue holds.
 *
 * Threads: partitions are shared by the reader and this thread through their atomic members; the rest is guarded here.
 */
#ifndef KAFKA_WATCH_H
#define KAFKA_WATCH_H

#include <pthread.h>
#include <stdatomic.h>

#include <librdkafka/rdkafka.h>

#include "common/base/error.h"

enum { CHECK_MS = 10000, AWAY_CHECK_MS = 1000, ENDS_MS = 1000 };

struct kafka_partition {
	uint32_t id;
	rd_kafka_queue_t *queue;
	/* The reader's: taken since it last asked to wake librdkafka. */
	int64_t bytes_taken, records_taken;
	/* Shared. */
	_Atomic int64_t next; /* offset to read next */
	_Atomic int64_t end; /* of the log, as this thread last heard; -1 */
	_Atomic int64_t stable_end; /* where the broker said that nothing more may be read; -1: it did not */
	atomic_bool wake;
	atomic_bool out_of_range; /* the broker refused `next` */
	/* The watch's. */
	bool short_before; /* the log ended before `next` at the last check */
	int64_t held_at; /* since held_us the log has reached behind it, and nothing has come */
	uint64_t held_us; /* 0: not held */
	int64_t held_since_us; /* the same as an instant, for people */
};

struct kafka_watch {
	rd_kafka_t *client;
	rd_kafka_topic_t *topic;
	const char *topic_name;
	struct kafka_partition *partitions;
	uint32_t partitions_len;
	int event_fd;
	pthread_t thread;
	atomic_bool away; /* all brokers */
	_Atomic uint32_t partitions_known; /* of the topic; 0: not yet */
	_Atomic uint64_t
	    answered_us; /* when a question was asked that was answered (monotonic); at first: the beginning */
	_Atomic uint64_t heard_us; /* when the ends were asked for that are known; 0: not yet */

	/* The thread's own. */
	uint64_t missing_since_us; /* 0: not missing */
	uint64_t checks; /* so far */
	/* The reader's. */
	int64_t silent_since_us; /* an instant; 0: Kafka answers */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Under the lock. */
	bool stop, work, check_now;
	struct error failure; /* code OK: none; stays once it is set */
	uint64_t outages; /* so far; the current one is the last */
	struct error notice; /* what is waited for; code OK: nothing */
	struct error held; /* the partitions that are held; code OK: none is */
};

/* The first group of members is the caller's to fill, the client included; they must outlive the watch. */
void kafka_watch_start(struct kafka_watch *watch);
void kafka_watch_stop(struct kafka_watch *watch);

void kafka_watch_wake(struct kafka_watch *watch, struct kafka_partition *partition);
void kafka_watch_out_of_range(struct kafka_watch *watch, struct kafka_partition *partition);
/* What lies at `next` is no batch that librdkafka can unpack, and why. */
void kafka_watch_cannot_unpack(struct kafka_watch *watch, struct kafka_partition *partition, const char *why);
/* How far the log reaches, by what was asked and by what came with records; -1: not known yet. With isolation.level read_committed the
 * former ends where a transaction is open, the latter does not. */
int64_t kafka_watch_end(const struct kafka_watch *watch, const struct kafka_partition *partition);
/* Looks at the topic now rather than at the next check. */
void kafka_watch_check(struct kafka_watch *watch);
/* All brokers are away. */
void kafka_watch_away(struct kafka_watch *watch, const char *why);

/* Ends the reading for good; only the first failure counts. */
void kafka_watch_fail(struct kafka_watch *watch, const struct error *failure);
/* The failure, otherwise what is waited for, otherwise OK. The reader's. */
enum result kafka_watch_state(struct kafka_watch *watch, struct error *error);
/* The failure, otherwise OK. */
enum result kafka_watch_failure(struct kafka_watch *watch, struct error *error);

#endif
