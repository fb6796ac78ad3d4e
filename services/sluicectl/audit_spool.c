/* services/sluicectl/audit_spool.c - see audit_spool.h. */
#include "services/sluicectl/audit_spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	BUCKET_BITS = 6,
	SPLIT = 16,
	SPLIT_BITS = 4,
	SPLITS_MOST = 6, /* 64 * 16^6 parts: what is larger then has one hash */
};

struct item_head {
	uint64_t hash;
	uint32_t len;
} __attribute__((packed));

static void fail(struct spool *spool, const char *what)
{
	if (spool->failed)
		return;
	spool->failed = true;
	(void)error_set(&spool->error, RESULT_RETRY, "the temporary file (in $TMPDIR): %s: %s", what, strerror(errno));
}

enum result spool_open(struct spool *spool, struct error *error)
{
	const char *folder = getenv("TMPDIR");
	char path[4096];
	*spool = (struct spool){0};
	if (folder == NULL || *folder == '\0')
		folder = "/tmp";
	spool->file = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (spool->file >= 0)
		return RESULT_OK;
	/* A file system without nameless files. */
	int len = snprintf(path, sizeof path, "%s/sluice-audit-XXXXXX", folder);
	if (len > 0 && (size_t)len < sizeof path)
		spool->file = mkostemp(path, O_CLOEXEC);
	if (spool->file < 0)
		return error_set(
		    error, RESULT_RETRY, "no temporary file can be made in %s: %s", folder, strerror(errno));
	(void)unlink(path);
	return RESULT_OK;
}

static void stream_fini(struct spool_stream *stream)
{
	free(stream->blocks);
	free(stream->tail);
	*stream = (struct spool_stream){0};
}

void spool_close(struct spool *spool)
{
	for (size_t lane = 0; lane < SPOOL_LANES; lane++)
		for (size_t bucket = 0; bucket < SPOOL_BUCKETS; bucket++)
			stream_fini(&spool->lanes[lane][bucket]);
	free(spool->free_blocks);
	if (spool->file >= 0)
		(void)close(spool->file);
	spool->file = -1;
}

enum result spool_check(const struct spool *spool, struct error *error)
{
	if (!spool->failed)
		return RESULT_OK;
	*error = spool->error;
	return error->code;
}

uint64_t spool_bytes(const struct spool *spool)
{
	return (uint64_t)spool->blocks * SPOOL_BLOCK_BYTES;
}

/* --- putting --------------------------------------------------------------------------------------------------- */

static void list_add(uint32_t **list, size_t *len, size_t *room, uint32_t block)
{
	if (*len == *room) {
		*room = *room ? *room * 2 : 16;
		*list = memory_resize(*list, *room, sizeof **list);
	}
	(*list)[(*len)++] = block;
}

static void tail_write(struct spool *spool, struct spool_stream *stream)
{
	uint32_t block = spool->free_len > 0 ? spool->free_blocks[--spool->free_len] : spool->blocks++;
	size_t done = 0;
	while (done < SPOOL_BLOCK_BYTES && !spool->failed) {
		ssize_t wrote = pwrite(spool->file, stream->tail + done, SPOOL_BLOCK_BYTES - done,
		    (off_t)block * SPOOL_BLOCK_BYTES + (off_t)done);
		if (wrote > 0)
			done += (size_t)wrote;
		else if (wrote == 0 || errno != EINTR)
			fail(spool, "writing");
	}
	list_add(&stream->blocks, &stream->blocks_len, &stream->blocks_room, block);
	stream->tail_len = 0;
}

static void stream_put(struct spool *spool, struct spool_stream *stream, const void *data, size_t len)
{
	const uint8_t *from = data;
	stream->bytes += len;
	while (len > 0 && !spool->failed) {
		size_t room = SPOOL_BLOCK_BYTES - stream->tail_len;
		size_t part = len < room ? len : room;
		if (stream->tail == NULL)
			stream->tail = memory_new(SPOOL_BLOCK_BYTES);
		memcpy(stream->tail + stream->tail_len, from, part);
		stream->tail_len += part;
		from += part;
		len -= part;
		if (stream->tail_len == SPOOL_BLOCK_BYTES)
			tail_write(spool, stream);
	}
}

static void item_put(struct spool *spool, struct spool_stream *stream, uint64_t hash, struct bytes item)
{
	struct item_head head = {hash, (uint32_t)item.len};
	CHECK(item.len <= UINT32_MAX);
	stream_put(spool, stream, &head, sizeof head);
	stream_put(spool, stream, item.data, item.len);
}

void spool_put(struct spool *spool, enum spool_lane_name lane, uint64_t hash, struct bytes item)
{
	item_put(spool, &spool->lanes[lane][hash % SPOOL_BUCKETS], hash, item);
}

/* --- taking ---------------------------------------------------------------------------------------------------- */

void spool_cursor_open(struct spool_cursor *cursor, struct spool *spool, const struct spool_stream *stream)
{
	*cursor = (struct spool_cursor){.spool = spool, .stream = stream, .block = memory_new(SPOOL_BLOCK_BYTES)};
}

void spool_cursor_close(struct spool_cursor *cursor)
{
	free(cursor->block);
	buffer_fini(&cursor->item);
}

/* The next block, or what is only in memory. */
static bool block_read(struct spool_cursor *cursor)
{
	const struct spool_stream *stream = cursor->stream;
	size_t place = cursor->block_place++;
	cursor->at = cursor->len = 0;
	if (place > stream->blocks_len || cursor->spool->failed)
		return false;
	if (place == stream->blocks_len) {
		if (stream->tail_len > 0)
			memcpy(cursor->block, stream->tail, stream->tail_len);
		cursor->len = stream->tail_len;
		return cursor->len > 0;
	}
	off_t from = (off_t)stream->blocks[place] * SPOOL_BLOCK_BYTES;
	while (cursor->len < SPOOL_BLOCK_BYTES) {
		ssize_t got = pread(cursor->spool->file, cursor->block + cursor->len, SPOOL_BLOCK_BYTES - cursor->len,
		    from + (off_t)cursor->len);
		if (got > 0) {
			cursor->len += (size_t)got;
		} else if (got == 0 || errno != EINTR) {
			fail(cursor->spool, "reading");
			return false;
		}
	}
	return true;
}

static bool take(struct spool_cursor *cursor, void *into, size_t len)
{
	uint8_t *to = into;
	while (len > 0) {
		if (cursor->at == cursor->len && !block_read(cursor))
			return false;
		size_t there = cursor->len - cursor->at;
		size_t part = len < there ? len : there;
		memcpy(to, cursor->block + cursor->at, part);
		cursor->at += part;
		to += part;
		len -= part;
	}
	return true;
}

bool spool_next(struct spool_cursor *cursor, struct spool_item *item)
{
	struct item_head head;
	if (!take(cursor, &head, sizeof head))
		return false;
	/* Mostly an item lies within one block and need not be copied. */
	if (cursor->len - cursor->at >= head.len) {
		*item = (struct spool_item){head.hash, {cursor->block + cursor->at, head.len}};
		cursor->at += head.len;
		return true;
	}
	buffer_clear(&cursor->item);
	if (!take(cursor, buffer_reserve(&cursor->item, head.len), head.len))
		return false;
	*item = (struct spool_item){head.hash, {cursor->item.data, head.len}};
	return true;
}

/* --- parts ----------------------------------------------------------------------------------------------------- */

/* Nobody needs it any more: its blocks may be written again. */
static void stream_release(struct spool *spool, struct spool_stream *stream)
{
	for (size_t i = 0; i < stream->blocks_len; i++)
		list_add(&spool->free_blocks, &spool->free_len, &spool->free_room, stream->blocks[i]);
	stream_fini(stream);
}

static void stream_split(
    struct spool *spool, struct spool_stream *stream, struct spool_stream parts[SPLIT], unsigned shift)
{
	struct spool_cursor cursor;
	struct spool_item item;
	spool_cursor_open(&cursor, spool, stream);
	while (spool_next(&cursor, &item))
		item_put(spool, &parts[item.hash >> shift & (SPLIT - 1)], item.hash, item.bytes);
	spool_cursor_close(&cursor);
	stream_release(spool, stream);
}

static void each_part(struct spool *spool, struct spool_stream *a, struct spool_stream *b, unsigned splits,
    spool_on_part *on_part, void *context)
{
	if (spool->failed)
		return;
	if (a->bytes + b->bytes <= SPOOL_PART_BYTES || splits == SPLITS_MOST) {
		on_part(context, a, b);
		stream_release(spool, a);
		stream_release(spool, b);
		return;
	}
	struct spool_stream parts[2][SPLIT] = {0};
	unsigned shift = BUCKET_BITS + splits * SPLIT_BITS;
	stream_split(spool, a, parts[0], shift);
	stream_split(spool, b, parts[1], shift);
	for (size_t i = 0; i < SPLIT; i++) {
		each_part(spool, &parts[0][i], &parts[1][i], splits + 1, on_part, context);
		stream_fini(&parts[0][i]);
		stream_fini(&parts[1][i]);
	}
}

void spool_each_part(
    struct spool *spool, enum spool_lane_name a, enum spool_lane_name b, spool_on_part *on_part, void *context)
{
	for (size_t bucket = 0; bucket < SPOOL_BUCKETS; bucket++)
		each_part(spool, &spool->lanes[a][bucket], &spool->lanes[b][bucket], 0, on_part, context);
}
