/* common/base/options.h - command line arguments from a table; --help comes from the same rows.
 *
 * -h is --help. An argument goes before its environment variable, that before the fallback. --name VALUE and --name=VALUE are the same.
 *
 * Ownership: texts point into argv and the environment.
 * Errors:    CONFIG: wrong usage (exit EXIT_USAGE), with the argument named.
 */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/error.h"

struct option_row {
	const char *name; /* "--config" */
	const char *value; /* what stands for the value in --help; NULL: a flag */
	const char *variable; /* of the environment, or NULL; one that is empty is as good as none */
	const char *fallback; /* or NULL */
	size_t offset; /* of the member in the caller's struct: const char *, or bool for a flag */
	const char *what;
};

enum { OPTION_WORDS_MAX = 8 };

/* Arguments that are no options; more than OPTION_WORDS_MAX are refused. */
struct option_words {
	const char *words[OPTION_WORDS_MAX];
	size_t len;
};

/* words NULL: there are to be none. */
enum result options_parse(const struct option_row *rows, size_t rows_len, void *into, int argc, char *const *argv,
    struct option_words *words, struct error *error) MUST_USE;
/* The row of an argument as it was typed (--name, --name=VALUE, -h); NULL: there is none. */
const struct option_row *option_find(const struct option_row *rows, size_t rows_len, const char *argument);
void options_help(FILE *out, const struct option_row *rows, size_t rows_len);
/* A whole number from least to most. */
enum result option_number(
    const char *name, const char *text, uint64_t least, uint64_t most, uint64_t *number, struct error *error) MUST_USE;

#endif
