/* Protects: argument before environment before default, and usage errors that name the argument. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/runtime/service_options.h"

static int clear_environment(void **state)
{
	(void)state;
	static const char *const names[] = {"SLUICE_CONFIG", "SLUICE_NAME", "SLUICE_COORDINATOR", "SLUICE_ADVERTISE",
	    "SLUICE_LOG_FORMAT", "SLUICE_LOG_LEVEL"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		(void)unsetenv(names[i]);
	return 0;
}

static struct error error;

static enum result parse(struct service_options *options, const char *first, const char *second)
{
	char *argv[4] = {(char *)(uintptr_t) "program", (char *)(uintptr_t)first, (char *)(uintptr_t)second, NULL};
	int argc = 1 + (first != NULL) + (second != NULL);
	return service_options_parse(options, argc, argv, &error);
}

static void test_defaults(void **state)
{
	(void)state;
	struct service_options options;
	assert_int_equal(parse(&options, NULL, NULL), RESULT_OK);
	assert_string_equal(options.config, "/etc/sluice/pipeline.yaml");
	assert_null(options.name);
	assert_null(options.coordinator);
	assert_null(options.advertise);
	assert_string_equal(options.log_format, "auto");
	assert_int_equal(options.least, LOG_INFO);
	assert_false(options.help || options.version);
}

static void test_argument_before_environment(void **state)
{
	(void)state;
	struct service_options options;
	assert_int_equal(setenv("SLUICE_CONFIG", "from-environment.yaml", 1), 0);
	assert_int_equal(setenv("SLUICE_LOG_LEVEL", "", 1), 0); /* empty is as good as none */
	assert_int_equal(parse(&options, NULL, NULL), RESULT_OK);
	assert_string_equal(options.config, "from-environment.yaml");
	assert_int_equal(options.least, LOG_INFO);
	assert_int_equal(parse(&options, "--config", "a.yaml"), RESULT_OK);
	assert_string_equal(options.config, "a.yaml");
	assert_int_equal(parse(&options, "--config=b=c.yaml", "--log-level=debug"), RESULT_OK);
	assert_string_equal(options.config, "b=c.yaml");
	assert_int_equal(options.least, LOG_DEBUG);
	assert_int_equal(parse(&options, "--help", "--version"), RESULT_OK);
	assert_true(options.help && options.version);
}

static void test_usage_errors(void **state)
{
	(void)state;
	struct service_options options;
	static const struct {
		const char *first, *second, *text;
	} cases[] = {
	    {"--conf", "a", "unknown argument --conf (see --help)"},
	    {"a.yaml", NULL, "unknown argument a.yaml (see --help)"},
	    {"", NULL, "unknown argument  (see --help)"},
	    {"--config", NULL, "--config needs a value: --config FILE"},
	    {"--name=", NULL, "--name has an empty value"},
	    {"--help=yes", NULL, "--help takes no value"},
	    {"--log-format", "xml", "log format xml is not one of json, text, auto"},
	    {"--log-level", "loud", "log level loud is not one of debug, info, warn, error"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(parse(&options, cases[i].first, cases[i].second), RESULT_CONFIG);
		assert_string_equal(error.text, cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_defaults, clear_environment),
	    cmocka_unit_test_setup(test_argument_before_environment, clear_environment),
	    cmocka_unit_test_setup(test_usage_errors, clear_environment),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
