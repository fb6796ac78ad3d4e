/* common/base/settings.h - settings as tables: one row per setting, from which reading, defaults, suggestions and help come.
 *
 * How to add a setting: a row in its table (pipeline.c), a member where the row's offset points, and a line in
 * compose/pipeline.yaml where a newcomer would look for it. Nothing else reads names.
 *
 * Ownership: SETTING_TEXT members are the caller's to free; SETTING_NODE members are borrowed from the tree.
 * Errors:    CONFIG with the setting's path and line.
 * Units:     durations are microseconds, sizes bytes; in the file they have a unit: 10ms, 5s, 1m, 24h, 1d; 256KiB,
 *            1MiB (1024), 64kB, 1MB (1000), any case, or plain bytes.
 */
#ifndef BASE_SETTINGS_H
#define BASE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/error.h"
#include "common/base/yaml_tree.h"

enum setting_kind {
	SETTING_TEXT, /* char *, owned */
	SETTING_FLAG, /* bool: true or false */
	SETTING_COUNT, /* uint32_t or uint64_t by the row's size */
	SETTING_DURATION, /* uint64_t or int64_t microseconds */
	SETTING_SIZE, /* uint32_t or uint64_t bytes */
	SETTING_NODE, /* const struct yaml_node *, for what has a shape of its own; NULL where absent */
};

struct setting_row {
	const char *path; /* dots between the keys: epoch.max_bytes */
	enum setting_kind kind;
	bool needed; /* an error where absent */
	const char *fallback; /* the default as a file would say it; NULL: the member stays zero where absent */
	size_t offset, size; /* of the member in what the table fills; see SETTING_AT */
	uint64_t least, most; /* of numbers, durations and sizes */
	bool (*valid)(const char *text);
	const char *expects; /* what valid wants, in words */
	const char *help;
	/* How the setting is printed where it is not simply its member. */
	void (*print)(const void *base, struct buffer *out);
};

#define SETTING_AT(type, member) .offset = offsetof(type, member), .size = sizeof(((type *)0)->member)

/* Reads a map by a table. base is zeroed, and after an error holds what was read so far. */
enum result settings_read(const struct setting_row *rows, size_t rows_len, const struct yaml_node *map, void *base,
    struct error *error) MUST_USE;
/* All that is wrong with a file, one line each. */
enum { MISTAKES_MAX = 20 };
struct mistakes {
	struct buffer lines;
	uint32_t len;
};
/* False: nobody wants them all (NULL), or there are MISTAKES_MAX. */
bool mistakes_add(struct mistakes *mistakes, const struct error *error);
/* The same, but goes on behind a mistake as long as the list takes them; what is wrong has its fallback. */
enum result settings_read_all(const struct setting_row *rows, size_t rows_len, const struct yaml_node *map, void *base,
    struct mistakes *mistakes, struct error *error) MUST_USE;
/* Frees the texts within the first base_size bytes of base. */
void settings_free(const struct setting_row *rows, size_t rows_len, void *base, size_t base_size);

bool duration_parse(const char *text, uint64_t *us);
bool size_parse(const char *text, uint64_t *bytes);
/* Digits only, nothing before or behind them. */
bool count_parse(const char *text, uint64_t most, uint64_t *count);
/* In the largest unit that divides it: "10ms", "1MiB". */
void duration_print(uint64_t us, struct buffer *out);
void size_print(uint64_t bytes, struct buffer *out);
/* A scalar as YAML: in quotes where it needs them, ${ escaped. */
void yaml_print_text(const char *text, struct buffer *out);
/* The member of base as a value of the file; nothing for SETTING_NODE. */
void setting_print(const struct setting_row *row, const void *base, struct buffer *out);

/* Insertions, deletions, replacements and swaps of neighbours that turn one text into the other, without regard to
 * case; texts above 63 bytes count as far away. */
size_t text_distance(const char *a, const char *b);

#endif
