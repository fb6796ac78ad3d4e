/* What a program prints counts only once it is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/output.h"

struct ending {
	int code;
	char words[256];
};

/* A process with this as stdout (NULL: it is closed) prints so many lines and ends with code. */
static struct ending ending_of(const char *path, int lines, int code)
{
	struct ending ending = {0};
	int status, words[2];

	assert_int_equal(pipe(words), 0);
	pid_t pid = fork();
	if (pid == 0) {
		(void)dup2(words[1], STDERR_FILENO);
		(void)close(STDOUT_FILENO);
		if (path != NULL && open(path, O_WRONLY) != STDOUT_FILENO)
			_exit(1);
		output_open();
		for (int i = 0; i < lines; i++)
			(void)puts("a line");
		_exit(output_end("program", code));
	}
	(void)close(words[1]);
	assert_true(read(words[0], ending.words, sizeof ending.words - 1) >= 0);
	(void)close(words[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	ending.code = WEXITSTATUS(status);
	return ending;
}

static void test_written(void **state)
{
	(void)state;
	assert_int_equal(ending_of("/dev/null", 10, 0).code, 0);
	assert_int_equal(ending_of("/dev/null", 10, 78).code, 78);
	assert_int_equal(ending_of("/dev/full", 0, 0).code, 0); /* nothing was to be said */
	assert_int_equal(ending_of(NULL, 0, 0).code, 0);
}

static void test_not_written(void **state)
{
	(void)state;
	for (int lines = 1; lines < 100000; lines *= 300) {
		struct ending full = ending_of("/dev/full", lines, 0), shut = ending_of(NULL, lines, 0);
		assert_int_equal(full.code, EXIT_OUTPUT);
		assert_int_equal(shut.code, EXIT_OUTPUT);
		assert_non_null(strstr(full.words, "program: the output could not be written"));
		assert_non_null(strstr(shut.words, "program: the output could not be written"));
	}
	assert_int_equal(ending_of("/dev/full", 1, 78).code, 78); /* that matters more */
}

/* The file or connection opened next would be what is printed to. */
static void test_descriptors(void **state)
{
	(void)state;
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
			(void)close(fd);
		output_open();
		_exit(open("/dev/null", O_WRONLY) > STDERR_FILENO ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_written),
	    cmocka_unit_test(test_not_written),
	    cmocka_unit_test(test_descriptors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
