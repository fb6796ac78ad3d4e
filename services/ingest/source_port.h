/* services/ingest/source_port.h - where an ingest reads records.
 *
 * Implemented by source_kafka.c (librdkafka), tests/sim/sim_source.c (memory).
 *
 * Ownership: records lent by take are valid until give_back.
 * Errors:    RETRY: away; the text says what is waited for, call again later. CONFIG: topic missing for too long, access
 *            refused, offset out of range, log shorter than the position, partitions fewer than known.
 * Blocking:  describe may block for half a second before assign; the others do not block.
 * Order:     the records of a partition come in offset order, offsets strictly rising, holes are allowed.
 */
#ifndef SOURCE_PORT_H
#define SOURCE_PORT_H

#include "proto/cut.h"
#include "common/base/error.h"
#include "common/base/pipeline.h"

struct source_record {
	uint32_t partition;
	int64_t offset;
	int64_t timestamp_ms; /* Kafka's; -1: none */
	struct bytes key; /* data NULL: none */
	struct bytes payload; /* data NULL: a tombstone */
	void *owner; /* the port's */
};

/* What became of a record that was read once. */
enum recalled {
	RECALLED_THERE, /* a record has its offset; hash is that one's */
	RECALLED_GONE, /* the log begins behind it: nothing can be said */
	RECALLED_SHORT, /* the log ends in front of it */
	RECALLED_ABSENT, /* the log reaches over its offset, and does not have it */
	RECALLED_UNKNOWN, /* while reading only: no answer about this one, but another of its topic is THERE */
};
struct recall {
	struct mark mark; /* as it was */
	enum recalled now;
	uint64_t hash; /* THERE */
	int64_t end; /* SHORT: of the log */
};

struct description {
	uint32_t partitions; /* of the topic */
	struct cut start; /* pipeline.source.start resolved; the heap's */
	struct facts facts; /* what of the log exactness rests on; the arena's */
	struct recall *recalls; /* one per mark, in their order; the arena's */
	uint32_t recalls_len;
	struct arena arena;
};
static inline void description_fini(struct description *description)
{
	cut_fini(&description->start);
	arena_fini(&description->arena);
	*description = (struct description){0};
}

struct source_port;
struct source_port_ops {
	/* What the topic is like, and what has become of the records of these marks. start names every partition; where
	 * pipeline.source.start is START_OFFSETS, one that it does not name begins at 0. The description is empty before, and
	 * the caller's to fini. While it says RETRY it is asked again, with the same marks (by their address). After assign
	 * only partitions, recalls and the cluster are told, as they are then. */
	enum result (*describe)(struct source_port *, const struct marks *marks, struct description *, struct error *);
	/* Begins to read these partitions at these offsets. Called once. */
	enum result (*assign)(struct source_port *, const struct cut *positions, struct error *);
	/* Up to max records of one partition; 0: none now (event_fd will become readable). A partition that is not asked for
	 * is not read: the port stops fetching when its own bounded queue is full. */
	enum result (*take)(struct source_port *, uint32_t partition, struct source_record *records, size_t max,
	    size_t *taken, struct error *);
	void (*give_back)(struct source_port *, struct source_record *records, size_t len);
	/* Another number than before: the log may have become another one, as the topic was gone, or a broker. What was
	 * handed out before it changed is not touched by that. */
	uint64_t (*doubts)(struct source_port *);
	/* How it is now: RETRY for as long as something is waited for, CONFIG from the failure on, otherwise OK. */
	enum result (*health)(struct source_port *, struct error *);
	/* Where reading stands: every record in front of it was handed out. It may lie behind the last record's next, where the
	 * log goes on with what is no record: a transaction's marker, what was aborted, what compaction took. */
	int64_t (*position)(struct source_port *, uint32_t partition);
	/* Next offset that the log will get, as last heard, or -1: for lag only. */
	int64_t (*end)(struct source_port *, uint32_t partition);
	/* When the ends were asked for that are known now (monotonic); 0: they are not all known yet. */
	uint64_t (*heard_us)(struct source_port *);
	/* Partitions of the topic as last heard, 0: not yet. More than were described: there are new ones. */
	uint32_t (*partitions)(struct source_port *);
	/* For lag tools only: the group's offsets. Does not block, errors are ignored. */
	void (*commit_group)(struct source_port *, const struct cut *cut);
	void (*close)(struct source_port *);
};
struct source_port {
	const struct source_port_ops *ops;
	/* An eventfd, readable when take may find records again or health has news. Whoever waits for it reads it empty
	 * first and only then asks: the port itself never reads it. -1: the runner polls (simulation). */
	int event_fd;
};

#endif
