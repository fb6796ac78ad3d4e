#include "common/base/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char **text_of(void *into, const struct option_row *row)
{
	return (const char **)(void *)((char *)into + row->offset);
}

static bool *flag_of(void *into, const struct option_row *row)
{
	return (bool *)(void *)((char *)into + row->offset);
}

static void apply_defaults(const struct option_row *rows, size_t rows_len, void *into)
{
	for (size_t i = 0; i < rows_len; i++) {
		if (rows[i].value == NULL) {
			*flag_of(into, &rows[i]) = false;
			continue;
		}
		const char *value = rows[i].variable ? getenv(rows[i].variable) : NULL;
		*text_of(into, &rows[i]) = value != NULL && *value != '\0' ? value : rows[i].fallback;
	}
}

const struct option_row *option_find(const struct option_row *rows, size_t rows_len, const char *argument)
{
	if (strcmp(argument, "-h") == 0)
		argument = "--help";
	size_t len = strcspn(argument, "=");
	for (size_t i = 0; i < rows_len; i++)
		if (strlen(rows[i].name) == len && memcmp(rows[i].name, argument, len) == 0)
			return &rows[i];
	return NULL;
}

static enum result take_value(const struct option_row *row, void *into, int argc, char *const *argv, int *at,
    const char *value, struct error *error)
{
	if (row->value == NULL) {
		if (value != NULL)
			return error_set(error, RESULT_CONFIG, "%s takes no value", row->name);
		*flag_of(into, row) = true;
		return RESULT_OK;
	}
	if (value == NULL && *at + 1 == argc)
		return error_set(error, RESULT_CONFIG, "%s needs a value: %s %s", row->name, row->name, row->value);
	if (value == NULL)
		value = argv[++*at];
	if (*value == '\0')
		return error_set(error, RESULT_CONFIG, "%s has an empty value", row->name);
	*text_of(into, row) = value;
	return RESULT_OK;
}

static enum result parse_one(const struct option_row *rows, size_t rows_len, void *into, int argc, char *const *argv,
    int *at, struct option_words *words, struct error *error)
{
	const char *argument = argv[*at];
	if (argument[0] != '-' && words != NULL) {
		if (words->len == OPTION_WORDS_MAX)
			return error_set(error, RESULT_CONFIG, "too many arguments at %s", argument);
		words->words[words->len++] = argument;
		return RESULT_OK;
	}
	const char *equals = strchr(argument, '=');
	const struct option_row *row = option_find(rows, rows_len, argument);
	if (row == NULL)
		return error_set(error, RESULT_CONFIG, "unknown argument %s (see --help)", argument);
	return take_value(row, into, argc, argv, at, equals != NULL ? equals + 1 : NULL, error);
}

enum result options_parse(const struct option_row *rows, size_t rows_len, void *into, int argc, char *const *argv,
    struct option_words *words, struct error *error)
{
	apply_defaults(rows, rows_len, into);
	if (words != NULL)
		*words = (struct option_words){.len = 0};
	for (int at = 1; at < argc; at++) {
		enum result result = parse_one(rows, rows_len, into, argc, argv, &at, words, error);
		if (result != RESULT_OK)
			return result;
	}
	return RESULT_OK;
}

void options_help(FILE *out, const struct option_row *rows, size_t rows_len)
{
	for (size_t i = 0; i < rows_len; i++) {
		const struct option_row *row = &rows[i];
		char left[64];
		(void)snprintf(
		    left, sizeof left, "%s%s%s", row->name, row->value ? " " : "", row->value ? row->value : "");
		(void)fprintf(out, "  %-26s %s", left, row->what);
		if (row->fallback != NULL)
			(void)fprintf(out, " (default %s)", row->fallback);
		if (row->variable != NULL)
			(void)fprintf(out, " [%s]", row->variable);
		(void)fputc('\n', out);
	}
}

enum result option_number(
    const char *name, const char *text, uint64_t least, uint64_t most, uint64_t *number, struct error *error)
{
	char *end;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < least || value > most)
		return error_set(error, RESULT_CONFIG,
		    "%s takes a whole number from %" PRIu64 " to %" PRIu64 ", not %s", name, least, most, text);
	*number = value;
	return RESULT_OK;
}
