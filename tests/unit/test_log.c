/* A log line is one line and, where a program reads it, one JSON object, whatever bytes a message quotes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "common/base/log.h"

/* stderr goes to a file between capture_begin and capture_end. */
struct capture {
	FILE *file;
	int stderr_before;
};

static struct capture capture_begin(void)
{
	struct capture capture = {.file = tmpfile(), .stderr_before = dup(STDERR_FILENO)};
	assert_non_null(capture.file);
	assert_true(dup2(fileno(capture.file), STDERR_FILENO) >= 0);
	return capture;
}

static char *capture_end(struct capture *capture)
{
	static char text[1 << 20];
	(void)dup2(capture->stderr_before, STDERR_FILENO);
	(void)close(capture->stderr_before);
	rewind(capture->file);
	size_t len = fread(text, 1, sizeof text - 1, capture->file);
	text[len] = '\0';
	(void)fclose(capture->file);
	return text;
}

/* A time such as 2024-01-15T10:00:00.123456Z at the start; returns what follows. */
static const char *skip_time(const char *text, int fraction_digits)
{
	const char *shape = "dddd-dd-ddTdd:dd:dd.";
	for (; *shape != '\0'; shape++, text++)
		assert_true(*shape == 'd' ? *text >= '0' && *text <= '9' : *text == *shape);
	for (int i = 0; i < fraction_digits; i++, text++)
		assert_true(*text >= '0' && *text <= '9');
	assert_int_equal(*text, 'Z');
	return text + 1;
}

static const char *json_rest(const char *line)
{
	static const char start[] = "{\"ts\":\"";
	assert_memory_equal(line, start, sizeof start - 1);
	return skip_time(line + sizeof start - 1, 6);
}

static void test_json(void **state)
{
	(void)state;
	struct capture capture = capture_begin();
	log_open("ingest.0", "json", LOG_INFO);
	log_info("ready: %d channels", 3);
	assert_string_equal(json_rest(capture_end(&capture)),
	    "\",\"level\":\"info\",\"component\":\"ingest.0\",\"msg\":\"ready: 3 channels\"}\n");

	capture = capture_begin();
	log_set_job("ecommerce/totals", 7);
	log_error("gone");
	log_set_job(NULL, 0);
	assert_string_equal(json_rest(capture_end(&capture)),
	    "\",\"level\":\"error\",\"component\":\"ingest.0\",\"job\":\"ecommerce/"
	    "totals\",\"attempt\":7,\"msg\":\"gone\"}\n");

	capture = capture_begin();
	log_warn("again");
	assert_null(strstr(capture_end(&capture), "job"));
}

static void expect_json_message(const char *message, const char *escaped)
{
	struct capture capture = capture_begin();
	log_open("x", "json", LOG_INFO);
	log_info("%s", message);
	char expected[512];
	(void)snprintf(
	    expected, sizeof expected, "\",\"level\":\"info\",\"component\":\"x\",\"msg\":\"%s\"}\n", escaped);
	assert_string_equal(json_rest(capture_end(&capture)), expected);
}

static void test_escapes(void **state)
{
	(void)state;
	expect_json_message("say \"hi\" to C:\\temp", "say \\\"hi\\\" to C:\\\\temp");
	expect_json_message("two\nlines\r\tand \x1b[31m \x7f", "two\\nlines\\u000d\\u0009and \\u001b[31m \\u007f");
	expect_json_message("k\xc3\xb6ln \xe2\x82\xac \xf0\x9f\x98\x80", "k\xc3\xb6ln \xe2\x82\xac \xf0\x9f\x98\x80");
	/* alone, cut, overlong, a surrogate, beyond the last character, never in UTF-8 */
	expect_json_message("\x80", "\\ufffd");
	expect_json_message("\xe2\x82", "\\ufffd\\ufffd");
	expect_json_message("\xc0\xaf", "\\ufffd\\ufffd");
	expect_json_message("\xe0\x80\xaf", "\\ufffd\\ufffd\\ufffd");
	expect_json_message("\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd");
	expect_json_message("\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd");
	expect_json_message("\xff!", "\\ufffd!");
	expect_json_message(
	    "{\"level\":\"error\"}\n{\"forged\":1}", "{\\\"level\\\":\\\"error\\\"}\\n{\\\"forged\\\":1}");
}

static void test_text(void **state)
{
	(void)state;
	struct capture capture = capture_begin();
	log_open("sink.0", "text", LOG_DEBUG);
	log_debug("a \"quoted\"\nline");
	log_set_job("j/totals", 3);
	log_warn("careful");
	log_set_job("", 0);
	const char *text = capture_end(&capture);
	const char *rest = skip_time(text, 3);
	static const char first[] = " debug sink.0: a \"quoted\"\\nline\n";
	assert_memory_equal(rest, first, sizeof first - 1);
	assert_string_equal(skip_time(rest + sizeof first - 1, 3), " warn  sink.0: [totals attempt 3] careful\n");
}

static void test_levels(void **state)
{
	(void)state;
	enum log_level level = LOG_ERROR;
	assert_true(log_level_parse("debug", &level) && level == LOG_DEBUG);
	assert_true(log_level_parse("info", &level) && level == LOG_INFO);
	assert_true(log_level_parse("warn", &level) && level == LOG_WARN);
	assert_true(log_level_parse("error", &level) && level == LOG_ERROR);
	assert_false(log_level_parse("loud", &level));
	assert_false(log_level_parse("", &level));

	struct capture capture = capture_begin();
	log_open("x", "auto", LOG_WARN); /* a file is no terminal: JSON */
	assert_false(log_wants(LOG_INFO));
	assert_true(log_wants(LOG_WARN));
	log_debug("1");
	log_info("2");
	log_warn("3");
	const char *text = capture_end(&capture);
	assert_non_null(strstr(text, "\"msg\":\"3\"}\n"));
	assert_ptr_equal(strchr(text, '\n') + 1, text + strlen(text)); /* one line */
}

/* A full disk behind stderr neither stops the caller nor changes what it is about to look at. */
static void test_nowhere_to_write(void **state)
{
	(void)state;
	struct capture capture = capture_begin();
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_true(full >= 0 && dup2(full, STDERR_FILENO) >= 0);
	log_open("x", "json", LOG_INFO);
	errno = ENOENT;
	log_warn("lost");
	int errno_after = errno;
	(void)close(full);
	assert_string_equal(capture_end(&capture), "");
	assert_int_equal(errno_after, ENOENT);
}

static void test_long_message(void **state)
{
	(void)state;
	char *message = malloc(100001);
	memset(message, 'x', 100000);
	message[100000] = '\0';
	struct capture capture = capture_begin();
	log_open("x", "json", LOG_INFO);
	log_info("%s", message);
	const char *text = capture_end(&capture);
	assert_non_null(strstr(text, message));
	assert_int_equal(text[strlen(text) - 1], '\n');
	free(message);
}

enum { THREADS = 4, LINES = 300 };

static void *write_lines(void *argument)
{
	for (int i = 0; i < LINES; i++)
		log_info("thread %d line %d", *(int *)argument, i);
	return NULL;
}

static void test_threads(void **state)
{
	(void)state;
	pthread_t threads[THREADS];
	int numbers[THREADS];
	struct capture capture = capture_begin();
	log_open("x", "json", LOG_INFO);
	for (int i = 0; i < THREADS; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &numbers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		(void)pthread_join(threads[i], NULL);
	char *at = capture_end(&capture);
	int next[THREADS] = {0};
	for (char *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
		int thread, line, used = 0;
		*end = '\0';
		const char *rest = json_rest(at);
		(void)sscanf(rest, "\",\"level\":\"info\",\"component\":\"x\",\"msg\":\"thread %d line %d\"}%n",
		    &thread, &line, &used);
		assert_int_equal((size_t)used, strlen(rest));
		assert_int_equal(line, next[thread]++); /* whole, and in its thread's order */
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(next[i], LINES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_json),
	    cmocka_unit_test(test_escapes),
	    cmocka_unit_test(test_text),
	    cmocka_unit_test(test_levels),
	    cmocka_unit_test(test_nowhere_to_write),
	    cmocka_unit_test(test_long_message),
	    cmocka_unit_test(test_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
