#include "common/base/output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mutant.h"

void output_open(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO && !MUTANT(descriptors_closed); fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
			_exit(EXIT_OUTPUT); /* the lowest one is free, and there is /dev/null */
}

int output_end(const char *program, int code)
{
	/* What has failed in the middle is known without its reason. */
	bool lost = ferror(stdout) != 0;
	errno = 0;
	bool failed = fflush(stdout) != 0 || lost;
	const char *why = errno != 0 ? strerror(errno) : "an error of writing";

	if (!failed || MUTANT(output_unchecked))
		return code;
	if (errno != EPIPE)
		(void)fprintf(stderr, "%s: the output could not be written: %s\n", program, why);
	return code != EXIT_SUCCESS ? code : EXIT_OUTPUT;
}
