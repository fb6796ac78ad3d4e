#include "common/base/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mutant.h"

/* NEAR: so many letters may be wrong in a key for another one to be meant. */
enum { ROWS_MAX = 64, PATH_BYTES_MAX = 320, NEAR = 2 };

/* --- reading --------------------------------------------------------------------------------------------------- */

struct reader {
	const struct setting_row *rows;
	size_t rows_len;
	void *base;
	bool seen[ROWS_MAX];
	struct mistakes *mistakes;
	struct error *error;
};

bool mistakes_add(struct mistakes *mistakes, const struct error *error)
{
	if (mistakes == NULL || mistakes->len >= (MUTANT(first_mistake_only) ? 1 : MISTAKES_MAX))
		return false;
	buffer_printf(&mistakes->lines, "%s\n", error->text);
	mistakes->len++;
	return true;
}

static void *member_of(const struct setting_row *row, void *base)
{
	return (char *)base + row->offset;
}

static void store_number(const struct setting_row *row, void *base, uint64_t value)
{
	CHECK(row->size == 4 || row->size == 8);
	if (row->size == 4)
		*(uint32_t *)member_of(row, base) = (uint32_t)value;
	else
		*(uint64_t *)member_of(row, base) = value;
}

static uint64_t load_number(const struct setting_row *row, const void *base)
{
	const char *member = (const char *)base + row->offset;
	return row->size == 4 ? *(const uint32_t *)member : *(const uint64_t *)member;
}

static void print_number(const struct setting_row *row, uint64_t value, struct buffer *out)
{
	if (row->kind == SETTING_DURATION)
		duration_print(value, out);
	else if (row->kind == SETTING_SIZE)
		size_print(value, out);
	else
		buffer_printf(out, "%llu", (unsigned long long)value);
}

static bool number_parse(const struct setting_row *row, const char *text, uint64_t *value)
{
	if (row->kind == SETTING_DURATION)
		return duration_parse(text, value);
	if (row->kind == SETTING_SIZE)
		return size_parse(text, value);
	return count_parse(text, UINT64_MAX, value);
}

/* why gets what is wrong with the text, in words. */
static bool store_text(const struct setting_row *row, void *base, const char *text, struct buffer *why)
{
	uint64_t number = 0;
	switch (row->kind) {
	case SETTING_NODE:
		return true;
	case SETTING_TEXT:
		if (row->valid != NULL && !row->valid(text)) {
			buffer_printf(why, "'%.128s': expected %s", text, row->expects);
			return false;
		}
		*(char **)member_of(row, base) = text_clone(text);
		return true;
	case SETTING_FLAG:
		if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
			buffer_printf(why, "'%.128s': expected true or false", text);
			return false;
		}
		*(bool *)member_of(row, base) = text[0] == 't';
		return true;
	case SETTING_COUNT:
	case SETTING_DURATION:
	case SETTING_SIZE:
		break;
	}
	if (!number_parse(row, text, &number)) {
		buffer_printf(why, "'%.128s': expected a %s", text,
		    row->kind == SETTING_DURATION ? "duration such as 10ms, 5s, 1m, 24h or 1d"
		    : row->kind == SETTING_SIZE   ? "size such as 256KiB, 1MiB, 64MB or a number of bytes"
		                                  : "whole number");
		return false;
	}
	if (number < row->least || number > row->most) {
		buffer_printf(why, "'%.128s': expected ", text);
		print_number(row, row->least, why);
		buffer_append_text(why, " to ");
		print_number(row, row->most, why);
		return false;
	}
	store_number(row, base, number);
	return true;
}

static enum result read_value(struct reader *reader, const struct setting_row *row, const struct yaml_node *node)
{
	if (row->kind == SETTING_NODE) {
		*(const struct yaml_node **)member_of(row, reader->base) = node;
		return RESULT_OK;
	}
	if (node->kind != YAML_TEXT)
		return yaml_error(
		    node, reader->error, "expected a single value, not a %s", node->kind == YAML_LIST ? "list" : "map");
	struct buffer why = {0};
	enum result result = RESULT_OK;
	if (!store_text(row, reader->base, node->text, &why))
		result = yaml_error(node, reader->error, "%.*s", (int)why.len, (const char *)why.data);
	buffer_fini(&why);
	return result;
}

/* The part of a row's path that could stand in the map at prefix ("" or "epoch."); NULL where it does not lie below. */
static const char *below(const struct setting_row *row, const char *prefix)
{
	size_t len = strlen(prefix);
	return strncmp(row->path, prefix, len) == 0 ? row->path + len : NULL;
}

static enum result unknown_key(struct reader *reader, const char *prefix, const struct yaml_node *node)
{
	char best[PATH_BYTES_MAX] = "", last[PATH_BYTES_MAX] = "";
	struct buffer known = {0};
	size_t best_distance = SIZE_MAX;
	for (size_t i = 0; i < reader->rows_len; i++) {
		const char *rest = below(&reader->rows[i], prefix);
		if (rest == NULL)
			continue;
		char name[PATH_BYTES_MAX];
		(void)snprintf(name, sizeof name, "%.*s", (int)strcspn(rest, "."), rest);
		size_t distance = text_distance(node->key, name);
		if (distance < best_distance || best[0] == '\0') {
			best_distance = distance;
			memcpy(best, name, sizeof best);
		}
		if (strcmp(name, last) != 0)
			buffer_printf(&known, "%s%s", known.len ? ", " : "", name);
		memcpy(last, name, sizeof last);
	}
	buffer_append(&known, "", 1);
	struct buffer where = {0};
	if (node->parent != NULL)
		yaml_path(node->parent, &where);
	bool near = best_distance <= NEAR || strncmp(node->key, best, strlen(best)) == 0;
	(void)error_set(reader->error, RESULT_CONFIG, "unknown key '%.64s'%s%s at line %u; %s%.400s%s", node->key,
	    where.len ? " in " : "", where.len ? (const char *)where.data : "", node->line,
	    near ? "did you mean '" : "there is ", near ? best : (const char *)known.data, near ? "'?" : "");
	buffer_fini(&where);
	buffer_fini(&known);
	return RESULT_CONFIG;
}

static bool is_section(const struct reader *reader, const char *path)
{
	size_t len = strlen(path);
	for (size_t i = 0; i < reader->rows_len; i++)
		if (strncmp(reader->rows[i].path, path, len) == 0 && reader->rows[i].path[len] == '.')
			return true;
	return false;
}

static struct setting_row const *find_row(const struct reader *reader, const char *path)
{
	for (size_t i = 0; i < reader->rows_len; i++)
		if (strcmp(reader->rows[i].path, path) == 0)
			return &reader->rows[i];
	return NULL;
}

/* One that is wrong is not missing: it gets its fallback, or an empty text, and whoever reads on finds something. */
static enum result read_row(struct reader *reader, const struct setting_row *row, const struct yaml_node *node)
{
	struct buffer unheard = {0};
	enum result result = read_value(reader, row, node);
	bool good = result == RESULT_OK;
	reader->seen[row - reader->rows] = true;
	if (!good && row->fallback != NULL)
		(void)store_text(row, reader->base, row->fallback, &unheard);
	else if (!good && row->kind == SETTING_TEXT)
		*(char **)member_of(row, reader->base) = text_clone("");
	buffer_fini(&unheard);
	return result;
}

static enum result read_entry(struct reader *reader, const char *prefix, const struct yaml_node *node);

/* prefix is "" or ends with a dot. As deep as the table's paths, since anything else is an unknown key. */
static enum result read_map(struct reader *reader, const char *prefix, const struct yaml_node *map)
{
	enum result result = RESULT_OK;
	for (const struct yaml_node *node = map->first; node != NULL && result == RESULT_OK; node = node->next) {
		result = read_entry(reader, prefix, node);
		if (result != RESULT_OK && mistakes_add(reader->mistakes, reader->error))
			result = RESULT_OK;
	}
	return result;
}

static enum result read_entry(struct reader *reader, const char *prefix, const struct yaml_node *node)
{
	char path[PATH_BYTES_MAX];
	int len = snprintf(path, sizeof path - 1, "%s%s", prefix, node->key);
	if (len < 0 || (size_t)len >= sizeof path - 1 || strchr(node->key, '.') != NULL)
		return unknown_key(reader, prefix, node);
	const struct setting_row *row = find_row(reader, path);
	if (row == NULL && !is_section(reader, path))
		return unknown_key(reader, prefix, node);
	if (node->kind == YAML_NULL)
		return RESULT_OK; /* as if it were not there */
	if (row != NULL)
		return read_row(reader, row, node);
	if (node->kind != YAML_MAP)
		return yaml_error(node, reader->error, "expected a map of settings");
	memcpy(path + len, ".", 2);
	return read_map(reader, path, node);
}

/* Names the innermost map that is there. */
static enum result missing_key(const struct reader *reader, const struct yaml_node *map, const char *path)
{
	const char *rest = path;
	for (;;) {
		char key[PATH_BYTES_MAX];
		(void)snprintf(key, sizeof key, "%.*s", (int)strcspn(rest, "."), rest);
		const struct yaml_node *inner = yaml_member(map, key);
		if (inner == NULL || inner->kind != YAML_MAP)
			break;
		map = inner;
		rest += strlen(key) + 1;
	}
	struct buffer where = {0};
	yaml_path(map, &where);
	(void)error_set(reader->error, RESULT_CONFIG, "missing key '%s%s%s' (in the map at line %u)",
	    where.len ? (const char *)where.data : "", where.len ? "." : "", rest, map->line);
	buffer_fini(&where);
	return RESULT_CONFIG;
}

enum result settings_read(
    const struct setting_row *rows, size_t rows_len, const struct yaml_node *map, void *base, struct error *error)
{
	return settings_read_all(rows, rows_len, map, base, NULL, error);
}

enum result settings_read_all(const struct setting_row *rows, size_t rows_len, const struct yaml_node *map, void *base,
    struct mistakes *mistakes, struct error *error)
{
	struct reader reader = {.rows = rows, .rows_len = rows_len, .base = base, .mistakes = mistakes, .error = error};
	CHECK(rows_len <= ROWS_MAX);
	if (map->kind != YAML_MAP)
		return yaml_error(map, error, "expected a map");
	enum result result = read_map(&reader, "", map);
	for (size_t i = 0; i < rows_len && result == RESULT_OK; i++) {
		if (reader.seen[i])
			continue;
		if (rows[i].needed) {
			result = missing_key(&reader, map, rows[i].path);
			if (mistakes_add(mistakes, error))
				result = RESULT_OK;
			if (rows[i].kind == SETTING_TEXT)
				*(char **)member_of(&rows[i], base) = text_clone("");
			continue;
		}
		struct buffer why = {0};
		CHECK(rows[i].fallback == NULL || store_text(&rows[i], base, rows[i].fallback, &why));
		buffer_fini(&why);
	}
	return result;
}

void settings_free(const struct setting_row *rows, size_t rows_len, void *base, size_t base_size)
{
	for (size_t i = 0; i < rows_len; i++)
		if (rows[i].kind == SETTING_TEXT && rows[i].offset < base_size) {
			char **text = member_of(&rows[i], base);
			free(*text);
			*text = NULL;
		}
}

/* --- writing --------------------------------------------------------------------------------------------------- */

void setting_print(const struct setting_row *row, const void *base, struct buffer *out)
{
	switch (row->kind) {
	case SETTING_NODE:
		break;
	case SETTING_TEXT: {
		const char *text = *(char *const *)((const char *)base + row->offset);
		yaml_print_text(text ? text : "", out);
		break;
	}
	case SETTING_FLAG:
		buffer_append_text(out, *((const bool *)base + row->offset) ? "true" : "false");
		break;
	case SETTING_COUNT:
	case SETTING_DURATION:
	case SETTING_SIZE:
		print_number(row, load_number(row, base), out);
		break;
	}
}
