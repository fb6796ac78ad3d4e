/* common/state/delta_file.h - a file of a checkpoint: keyed entries, sorted by key group and key, immutable.
 *
 * Layout, little endian: magic and version; blocks, each the zstd-compressed entries of one key group (two bytes key
 * length, two bytes value length, key, value; about BLOCK_BYTES of them); the index, 32 bytes a block (group, entries,
 * raw and packed length, offset, XXH3 of the packed bytes); a footer (offset of the index, number of blocks, entries in
 * all, XXH3 of the index, magic). The XXH3 of the index is the file's checksum: it covers every block's own.
 *
 * So an actor that owns part of the key groups reads the blocks of these, and every byte that it reads is verified.
 *
 * Errors: RETRY where storage fails: nothing is left behind. CORRUPT for whatever is not exactly such a file.
 * Limits: a block is at most DELTA_BLOCK_MAX bytes raw; declared lengths are checked against the file's before anything is
 *         allocated.
 */
#ifndef STATE_DELTA_FILE_H
#define STATE_DELTA_FILE_H

#include "common/base/buffer.h"
#include "common/base/error.h"

enum { DELTA_BLOCK_MAX = 256 * 1024 };

struct delta_entry {
	uint32_t group;
	struct bytes key, value;
};

struct delta_writer;
/* The file gets its name when it is finished. Folders are made where they are missing. */
enum result delta_writer_open(struct delta_writer **writer, const char *path, struct error *error) MUST_USE;
/* In rising order of group and key. */
enum result delta_writer_put(
    struct delta_writer *writer, const struct delta_entry *entry, struct error *error) MUST_USE;
struct delta_summary {
	uint64_t rows, bytes, checksum;
};
/* Durable when it returns OK. Frees the writer, also on failure. */
enum result delta_writer_finish(
    struct delta_writer *writer, struct delta_summary *summary, struct error *error) MUST_USE;
void delta_writer_abandon(struct delta_writer *writer);

struct delta_reader;
/* Entries of the key groups from first_group on. expected: what the manifest says (NULL: not known). */
enum result delta_reader_open(struct delta_reader **reader, const char *path, const struct delta_summary *expected,
    uint32_t first_group, uint32_t groups_len, struct error *error) MUST_USE;
/* *more false: that was all. The entry is valid until the next call. */
enum result delta_reader_next(
    struct delta_reader *reader, struct delta_entry *entry, bool *more, struct error *error) MUST_USE;
void delta_reader_close(struct delta_reader *reader);

#endif
