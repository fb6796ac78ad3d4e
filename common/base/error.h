/* common/base/error.h - what went wrong, and what the caller is to do about it.
 *
 * Errors: a function that can fail returns enum result (or bool) and fills a struct error. The code says what to do,
 *         the text says what happened; callers put their own words in front on the way up (error_wrap), and the one
 *         that handles it logs it once. What cannot be is a panic, in release builds too.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/base/stops.h"

enum result {
	RESULT_OK,
	RESULT_RETRY, /* something outside is away or busy: the same call may succeed later */
	RESULT_CORRUPT, /* what came in breaks the protocol: the attempt ends */
	RESULT_CONFIG, /* a person has to change something: exit 78, no restart */
};

enum { ERROR_TEXT_MAX = 1024, EXIT_USAGE = 2, EXIT_CONFIG = 78 };

struct error {
	enum result code;
	char text[ERROR_TEXT_MAX];
};

#define MUST_USE __attribute__((warn_unused_result))

/* Fills error (NULL is allowed) and returns code, so that `return error_set(...)` reads well. */
enum result error_set(struct error *error, enum result code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* CONFIG, with a way out: "what was found. What to do: what the row of stops.h says". What was found is cut where both do not fit. */
enum result error_stop(struct error *error, enum stop stop, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for an error that is there already: puts the way out behind its text where it is CONFIG. Keeps and returns the code. */
enum result error_way(struct error *error, enum stop stop);

/* How long the text is without that. */
size_t error_found_len(const struct error *error);

/* Puts words in front: "context: what happened". Keeps and returns the code. */
enum result error_wrap(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

const char *result_name(enum result result);

/* Ends the process: for what cannot be. */
void panic(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

#define CHECK(condition)                                                                                               \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			panic("%s:%d: cannot be: %s", __FILE__, __LINE__, #condition);                                 \
	} while (0)

#endif
