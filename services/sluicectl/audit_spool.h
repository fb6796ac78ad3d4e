/* services/sluicectl/audit_spool.h - what the audit has read and cannot hold in memory: items in one temporary file.
 *
 * Items are put into a *lane* (one a kind of thing) by the hash of what they are to be joined by, and come back part by
 * part: a *part* holds all items of some hashes from all the lanes asked for, at most SPOOL_PART_BYTES of them. Within a
 * part a lane's items come in the order in which they were put. A part that is too large is divided by further bits of
 * the hash; only items of one hash cannot be divided.
 *
 * The file has no name: it is gone when the process is, however it ends.
 *
 * Errors: kept, because nobody can act on them in between; after one, nothing is written or read any more. Ask
 *         spool_check after each step.
 * Limits: 32 KiB a lane and bucket in memory (SPOOL_LANES * SPOOL_BUCKETS of them, 12 MiB), and 4 bytes for each 32 KiB
 *         of the file.
 */
#ifndef AUDIT_SPOOL_H
#define AUDIT_SPOOL_H

#include "common/base/buffer.h"
#include "common/base/error.h"

enum {
	SPOOL_BUCKETS = 64,
	SPOOL_BLOCK_BYTES = 32 << 10,
	SPOOL_PART_BYTES = 32 << 20,
};

enum spool_lane_name {
	LANE_ROWS, /* of the record table */
	LANE_RECORDS, /* valid ones, of Kafka */
	LANE_LETTERS, /* of the database */
	LANE_LETTERS_DUE, /* by Kafka */
	LANE_TOTALS, /* of the database */
	LANE_TOTALS_DUE, /* by Kafka: parts of sums */
	SPOOL_LANES,
};

/* A run of items, in blocks of the file and one block in memory. */
struct spool_stream {
	uint32_t *blocks;
	size_t blocks_len, blocks_room;
	uint8_t *tail; /* NULL: nothing was put since the last full block */
	size_t tail_len;
	uint64_t bytes;
};

struct spool {
	int file;
	uint32_t blocks; /* of the file */
	uint32_t *free_blocks;
	size_t free_len, free_room;
	struct spool_stream lanes[SPOOL_LANES][SPOOL_BUCKETS];
	bool failed;
	struct error error;
};

struct spool_item {
	uint64_t hash;
	struct bytes bytes; /* borrowed until the next spool_next; aligned for nothing */
};

struct spool_cursor {
	struct spool *spool;
	const struct spool_stream *stream;
	uint8_t *block;
	size_t block_place; /* of the block after this one */
	size_t at, len; /* within block */
	struct buffer item;
};

/* The file is made in $TMPDIR, or /tmp. RETRY: it cannot be. */
enum result spool_open(struct spool *spool, struct error *error) MUST_USE;
void spool_close(struct spool *spool);
/* RETRY: a write or a read failed since it was opened; most likely the disk is full. */
enum result spool_check(const struct spool *spool, struct error *error) MUST_USE;
uint64_t spool_bytes(const struct spool *spool); /* of the file, at its largest */

void spool_put(struct spool *spool, enum spool_lane_name lane, uint64_t hash, struct bytes item);

/* From the first item. */
void spool_cursor_open(struct spool_cursor *cursor, struct spool *spool, const struct spool_stream *stream);
bool spool_next(struct spool_cursor *cursor, struct spool_item *item);
void spool_cursor_close(struct spool_cursor *cursor);

/* Calls on_part for each part of two lanes, which are empty afterwards. */
typedef void spool_on_part(void *context, const struct spool_stream *a, const struct spool_stream *b);
void spool_each_part(
    struct spool *spool, enum spool_lane_name a, enum spool_lane_name b, spool_on_part *on_part, void *context);

#endif
