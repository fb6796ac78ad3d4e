/* common/runtime/nng_error.h - what a return code of nng means here. */
#ifndef RUNTIME_NNG_ERROR_H
#define RUNTIME_NNG_ERROR_H

#include "common/base/error.h"

/* "what: nng's words". CONFIG where only a person can change it (an address that is none, a transport that is not
 * there), RETRY otherwise. */
enum result nng_error_set(struct error *error, int code, const char *what, ...) __attribute__((format(printf, 3, 4)));

/* For calls that fail only when memory is out or when we use them wrongly. */
void nng_must(int code, const char *what);

#endif
