#include "common/runtime/nng_error.h"

#include <stdio.h>

#include <nng/nng.h>

enum result nng_error_set(struct error *error, int code, const char *what, ...)
{
	char context[512];
	va_list args;
	va_start(args, what);
	(void)vsnprintf(context, sizeof context, what, args);
	va_end(args);
	bool person = code == NNG_EINVAL || code == NNG_ENOTSUP || code == NNG_EPERM;
	(void)error_set(error, person ? RESULT_CONFIG : RESULT_RETRY, "%s: %s", context, nng_strerror(code));
	return error_way(error, STOP_ADDRESS);
}

void nng_must(int code, const char *what)
{
	if (code != 0)
		panic("%s: %s", what, nng_strerror(code));
}
