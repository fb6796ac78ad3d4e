#include "common/state/delta_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>
#include <zstd.h>

#include "common/base/crash_point.h"
#include "common/base/mutant.h"
#include "common/state/files.h"

enum {
	MAGIC = 0x46445553, /* "SUDF" */
	VERSION = 1,
	HEADER_SIZE = 8,
	INDEX_ENTRY_SIZE = 32,
	FOOTER_SIZE = 40,
	ENTRY_HEADER = 4,
	BLOCK_BYTES = 64 * 1024,
	ZSTD_LEVEL = -5, /* Keys are mostly random: 4 % larger than with level 1, for a third of the time. */
	BUFFER_BYTES = 1024 * 1024,
	PACKED_MAX = ZSTD_COMPRESSBOUND(DELTA_BLOCK_MAX),
};

static void put(uint8_t *at, uint64_t value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get(const uint8_t *at, size_t size)
{
	uint64_t value = 0;
	for (size_t i = 0; i < size; i++)
		value |= (uint64_t)at[i] << (8 * i);
	return value;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

struct delta_writer {
	char path[PATH_MAX], beside[PATH_MAX + 8];
	int fd;
	struct buffer raw, out, index; /* the block, what is not in the file yet, all blocks so far */
	uint32_t group, block_rows;
	uint64_t written, rows;
	ZSTD_CCtx *zstd;
};

static enum result flush(struct delta_writer *writer, struct error *error)
{
	enum result result = file_write(writer->fd, buffer_bytes(&writer->out), writer->beside, error);
	writer->written += writer->out.len;
	buffer_clear(&writer->out);
	return result;
}

enum result delta_writer_open(struct delta_writer **opened, const char *path, struct error *error)
{
	uint8_t header[HEADER_SIZE];
	char folder[PATH_MAX];
	struct delta_writer *writer = memory_new(sizeof *writer);
	(void)snprintf(writer->path, sizeof writer->path, "%s", path);
	(void)snprintf(writer->beside, sizeof writer->beside, "%s.new", path);
	(void)snprintf(folder, sizeof folder, "%s", path);
	*strrchr(folder, '/') = '\0';
	writer->fd = -1;
	enum result result = folder_make(folder, error);
	if (result == RESULT_OK) {
		writer->fd = open(writer->beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		if (writer->fd < 0)
			result = file_failed(error, "create", writer->beside);
	}
	if (result != RESULT_OK) {
		delta_writer_abandon(writer);
		return result;
	}
	writer->zstd = ZSTD_createCCtx();
	CHECK(writer->zstd != NULL);
	put(header, MAGIC, 4);
	put(header + 4, VERSION, 4);
	buffer_append(&writer->out, header, sizeof header);
	*opened = writer;
	CRASH_POINT(delta_begun);
	return RESULT_OK;
}

static enum result end_block(struct delta_writer *writer, struct error *error)
{
	if (writer->block_rows == 0)
		return RESULT_OK;
	size_t room = ZSTD_compressBound(writer->raw.len);
	uint8_t *packed = buffer_reserve(&writer->out, room);
	size_t len = ZSTD_compressCCtx(writer->zstd, packed, room, writer->raw.data, writer->raw.len, ZSTD_LEVEL);
	CHECK(!ZSTD_isError(len));
	uint8_t *at = buffer_reserve(&writer->index, INDEX_ENTRY_SIZE);
	put(at, writer->group, 4);
	put(at + 4, writer->block_rows, 4);
	put(at + 8, writer->raw.len, 4);
	put(at + 12, len, 4);
	put(at + 16, writer->written + writer->out.len, 8);
	put(at + 24, XXH3_64bits(packed, len), 8);
	writer->index.len += INDEX_ENTRY_SIZE;
	writer->out.len += len;
	writer->block_rows = 0;
	buffer_clear(&writer->raw);
	return writer->out.len >= BUFFER_BYTES ? flush(writer, error) : RESULT_OK;
}

enum result delta_writer_put(struct delta_writer *writer, const struct delta_entry *entry, struct error *error)
{
	uint8_t header[ENTRY_HEADER];
	CHECK(entry->key.len <= UINT16_MAX && entry->value.len <= UINT16_MAX);
	if (writer->block_rows > 0 && (entry->group != writer->group || writer->raw.len >= BLOCK_BYTES)) {
		CHECK(entry->group >= writer->group);
		if (end_block(writer, error) != RESULT_OK)
			return error->code;
	}
	writer->group = entry->group;
	put(header, entry->key.len, 2);
	put(header + 2, entry->value.len, 2);
	buffer_append(&writer->raw, header, sizeof header);
	buffer_append(&writer->raw, entry->key.data, entry->key.len);
	buffer_append(&writer->raw, entry->value.data, entry->value.len);
	writer->block_rows++;
	writer->rows++;
	return RESULT_OK;
}

static void end_file(struct delta_writer *writer, struct delta_summary *summary)
{
	uint8_t footer[FOOTER_SIZE];
	summary->rows = writer->rows;
	summary->checksum = XXH3_64bits(writer->index.data, writer->index.len);
	put(footer, writer->written + writer->out.len, 8);
	put(footer + 8, writer->index.len / INDEX_ENTRY_SIZE, 8);
	put(footer + 16, writer->rows, 8);
	put(footer + 24, summary->checksum, 8);
	put(footer + 32, VERSION, 4);
	put(footer + 36, MAGIC, 4);
	buffer_append(&writer->out, writer->index.data, writer->index.len);
	buffer_append(&writer->out, footer, sizeof footer);
}

enum result delta_writer_finish(struct delta_writer *writer, struct delta_summary *summary, struct error *error)
{
	enum result result = end_block(writer, error);
	if (result == RESULT_OK) {
		end_file(writer, summary);
		result = flush(writer, error);
		summary->bytes = writer->written;
	}
	CRASH_POINT(delta_written);
	if (result == RESULT_OK && !MUTANT(file_unsynced) && fsync(writer->fd) != 0)
		result = file_failed(error, "sync", writer->beside);
	CRASH_POINT(delta_synced);
	if (result == RESULT_OK && rename(writer->beside, writer->path) != 0)
		result = file_failed(error, "rename", writer->beside);
	CRASH_POINT(delta_renamed);
	if (result == RESULT_OK) {
		writer->beside[0] = '\0';
		char folder[PATH_MAX];
		(void)snprintf(folder, sizeof folder, "%s", writer->path);
		*strrchr(folder, '/') = '\0';
		result = MUTANT(file_name_unsynced) ? RESULT_OK : folder_sync(folder, error);
		if (result != RESULT_OK)
			(void)unlink(writer->path);
	}
	CRASH_POINT(delta_durable);
	delta_writer_abandon(writer);
	return result;
}

void delta_writer_abandon(struct delta_writer *writer)
{
	if (writer == NULL)
		return;
	if (writer->fd >= 0)
		(void)close(writer->fd);
	if (writer->fd >= 0 && writer->beside[0] != '\0')
		(void)unlink(writer->beside);
	ZSTD_freeCCtx(writer->zstd);
	buffer_fini(&writer->raw);
	buffer_fini(&writer->out);
	buffer_fini(&writer->index);
	free(writer);
}

/* --- reading ------------------------------------------------------------------------------------------------------- */

struct delta_reader {
	char path[PATH_MAX];
	int fd;
	uint64_t size, data_end; /* of the file; of its blocks */
	struct buffer index, packed, raw;
	size_t block, blocks; /* next, how many */
	uint32_t first_group, groups_len;
	uint32_t group, rows_left; /* of the block in hand */
	size_t at;
	ZSTD_DCtx *zstd;
};

static enum result corrupt(const struct delta_reader *reader, const char *what, struct error *error)
{
	return error_set(error, RESULT_CORRUPT, "%s: %s", reader->path, what);
}

static enum result read_at(
    const struct delta_reader *reader, uint64_t offset, size_t len, struct buffer *into, struct error *error)
{
	buffer_clear(into);
	if (len == 0)
		return RESULT_OK;
	uint8_t *to = buffer_reserve(into, len);
	while (into->len < len) {
		ssize_t got = pread(reader->fd, to + into->len, len - into->len, (off_t)(offset + into->len));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return file_failed(error, "read", reader->path);
		if (got == 0)
			return corrupt(reader, "it ends too early", error);
		into->len += (size_t)got;
	}
	return RESULT_OK;
}

/* The blocks lie one behind the other, their key groups rise, and together they are the file: nothing is between them. */
static enum result check_index(const struct delta_reader *reader, uint64_t rows_expected, struct error *error)
{
	uint64_t end = HEADER_SIZE, rows = 0;
	uint32_t group = 0;
	for (size_t i = 0; i < reader->blocks; i++) {
		const uint8_t *entry = reader->index.data + i * INDEX_ENTRY_SIZE;
		uint64_t block_rows = get(entry + 4, 4), raw_len = get(entry + 8, 4), len = get(entry + 12, 4);
		if (get(entry, 4) < group || block_rows == 0 || raw_len > DELTA_BLOCK_MAX ||
		    block_rows > raw_len / ENTRY_HEADER || len > PACKED_MAX || get(entry + 16, 8) != end ||
		    len > reader->data_end - end)
			return corrupt(reader, "its index is malformed", error);
		group = (uint32_t)get(entry, 4);
		end += len;
		rows += block_rows;
	}
	if (end != reader->data_end || rows != rows_expected)
		return corrupt(reader, "its index does not fit its footer", error);
	return RESULT_OK;
}

static enum result read_index(struct delta_reader *reader, const struct delta_summary *expected, struct error *error)
{
	if (reader->size < HEADER_SIZE + FOOTER_SIZE || (expected != NULL && reader->size != expected->bytes))
		return corrupt(reader, "it has not the size that it should have", error);
	if (read_at(reader, 0, HEADER_SIZE, &reader->raw, error) != RESULT_OK)
		return error->code;
	if (get(reader->raw.data, 4) != MAGIC || get(reader->raw.data + 4, 4) != VERSION)
		return corrupt(reader, "not a file of a checkpoint, or of another release", error);
	if (read_at(reader, reader->size - FOOTER_SIZE, FOOTER_SIZE, &reader->raw, error) != RESULT_OK)
		return error->code;
	const uint8_t *footer = reader->raw.data;
	uint64_t blocks = get(footer + 8, 8), rows = get(footer + 16, 8), checksum = get(footer + 24, 8);
	reader->data_end = get(footer, 8);
	if (get(footer + 32, 4) != VERSION || get(footer + 36, 4) != MAGIC || reader->data_end < HEADER_SIZE ||
	    reader->data_end > reader->size - FOOTER_SIZE || blocks > reader->size / INDEX_ENTRY_SIZE ||
	    reader->data_end + blocks * INDEX_ENTRY_SIZE + FOOTER_SIZE != reader->size)
		return corrupt(reader, "its footer is malformed", error);
	if (expected != NULL && (expected->checksum != checksum || expected->rows != rows))
		return corrupt(reader, "it is not the file that the manifest names", error);
	if (read_at(reader, reader->data_end, (size_t)blocks * INDEX_ENTRY_SIZE, &reader->index, error) != RESULT_OK)
		return error->code;
	if (XXH3_64bits(reader->index.data, reader->index.len) != checksum)
		return corrupt(reader, "the checksum of its index does not match", error);
	reader->blocks = (size_t)blocks;
	return check_index(reader, rows, error);
}

enum result delta_reader_open(struct delta_reader **opened, const char *path, const struct delta_summary *expected,
    uint32_t first_group, uint32_t groups_len, struct error *error)
{
	struct delta_reader *reader = memory_new(sizeof *reader);
	struct stat status = {0};
	(void)snprintf(reader->path, sizeof reader->path, "%s", path);
	reader->first_group = first_group;
	reader->groups_len = groups_len;
	reader->zstd = ZSTD_createDCtx();
	CHECK(reader->zstd != NULL);
	enum result result = RESULT_OK;
	reader->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (reader->fd < 0 && errno == ENOENT)
		result = corrupt(reader, "it is not there", error);
	else if (reader->fd < 0 || fstat(reader->fd, &status) != 0)
		result = file_failed(error, "open", path);
	if (result == RESULT_OK) {
		reader->size = (uint64_t)status.st_size;
		result = read_index(reader, expected, error);
	}
	if (result != RESULT_OK) {
		delta_reader_close(reader);
		return result;
	}
	*opened = reader;
	return RESULT_OK;
}

/* The next block of our key groups; *more false: there is none. */
static enum result next_block(struct delta_reader *reader, bool *more, struct error *error)
{
	const uint8_t *entry = NULL;
	for (; reader->block < reader->blocks; reader->block++) {
		entry = reader->index.data + reader->block * INDEX_ENTRY_SIZE;
		if ((uint32_t)get(entry, 4) - reader->first_group < reader->groups_len)
			break;
	}
	*more = reader->block < reader->blocks;
	if (!*more)
		return RESULT_OK;
	uint64_t raw_len = get(entry + 8, 4), len = get(entry + 12, 4), at = get(entry + 16, 8);
	if (read_at(reader, at, (size_t)len, &reader->packed, error) != RESULT_OK)
		return error->code;
	if (XXH3_64bits(reader->packed.data, reader->packed.len) != get(entry + 24, 8))
		return corrupt(reader, "the checksum of a block does not match", error);
	buffer_clear(&reader->raw);
	uint8_t *raw = buffer_reserve(&reader->raw, (size_t)raw_len);
	if (ZSTD_decompressDCtx(reader->zstd, raw, (size_t)raw_len, reader->packed.data, reader->packed.len) != raw_len)
		return corrupt(reader, "a block cannot be unpacked", error);
	reader->raw.len = (size_t)raw_len;
	reader->group = (uint32_t)get(entry, 4);
	reader->rows_left = (uint32_t)get(entry + 4, 4);
	reader->at = 0;
	reader->block++;
	return RESULT_OK;
}

enum result delta_reader_next(struct delta_reader *reader, struct delta_entry *entry, bool *more, struct error *error)
{
	*more = true;
	if (reader->rows_left == 0) {
		if (reader->at != reader->raw.len && reader->block > 0 && reader->at > 0)
			return corrupt(reader, "bytes behind the last entry of a block", error);
		if (next_block(reader, more, error) != RESULT_OK || !*more)
			return *more ? error->code : RESULT_OK;
	}
	const uint8_t *at = reader->raw.data + reader->at;
	size_t left = reader->raw.len - reader->at;
	if (left < ENTRY_HEADER)
		return corrupt(reader, "an entry is cut off", error);
	size_t key_len = (size_t)get(at, 2), value_len = (size_t)get(at + 2, 2);
	if (left - ENTRY_HEADER < key_len + value_len)
		return corrupt(reader, "an entry is cut off", error);
	*entry =
	    (struct delta_entry){reader->group, {at + ENTRY_HEADER, key_len}, {at + ENTRY_HEADER + key_len, value_len}};
	reader->at += ENTRY_HEADER + key_len + value_len;
	reader->rows_left--;
	return RESULT_OK;
}

void delta_reader_close(struct delta_reader *reader)
{
	if (reader == NULL)
		return;
	if (reader->fd >= 0)
		(void)close(reader->fd);
	ZSTD_freeDCtx(reader->zstd);
	buffer_fini(&reader->index);
	buffer_fini(&reader->packed);
	buffer_fini(&reader->raw);
	free(reader);
}
