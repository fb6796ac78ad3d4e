/* Protects: every flag of the producer reaches its place, and wrong usage names the argument. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "services/producer/options.h"

enum { ARGUMENTS_MAX = 32 };

static struct error error;

/* words: separated by spaces. */
static enum result parse(struct options *options, const char *words)
{
	static char copy[1024];
	char *argv[ARGUMENTS_MAX] = {copy}, *rest = copy, *word;
	int argc = 1;
	(void)snprintf(copy, sizeof copy, "%s", words);
	while ((word = strtok_r(rest, " ", &rest)) != NULL && argc < ARGUMENTS_MAX)
		argv[argc++] = word;
	return producer_options_parse(options, argc, argv, &error);
}

static void test_defaults(void **state)
{
	struct options options;
	(void)state;
	assert_int_equal(unsetenv("KAFKA_BOOTSTRAP_SERVERS"), 0);
	assert_int_equal(parse(&options, ""), RESULT_OK);
	assert_string_equal(options.bootstrap, "localhost:9092");
	assert_string_equal(options.topic, "financial_transactions");
	assert_int_equal(options.rate, 100);
	assert_int_equal(options.count + options.seconds + options.days + options.create_topic, 0);
	assert_int_equal(options.seed, 1);
	assert_int_equal(options.partitions, 4);
	assert_true(options.duplicates + options.conflicts + options.poison == 0);
	assert_false(options.quiet || options.embedded_broker || options.help || options.version);
	assert_int_equal(setenv("KAFKA_BOOTSTRAP_SERVERS", "elsewhere:1", 1), 0);
	assert_int_equal(parse(&options, ""), RESULT_OK);
	assert_string_equal(options.bootstrap, "elsewhere:1");
	assert_int_equal(unsetenv("KAFKA_BOOTSTRAP_SERVERS"), 0);
}

static void test_every_flag(void **state)
{
	struct options options;
	(void)state;
	assert_int_equal(
	    parse(&options, "--bootstrap a:1 --topic t --rate 0 --count=7 --seconds 8 --seed 9 --duplicates 1.5 "
	                    "--conflicts 2 --poison 96.5 --days 10 --embedded-broker --broker-file f "
	                    "--partitions 11 --quiet --help --version linger.ms=3 acks=1"),
	    RESULT_OK);
	assert_string_equal(options.bootstrap, "a:1");
	assert_string_equal(options.topic, "t");
	assert_int_equal(options.rate, 0);
	assert_int_equal(options.count, 7);
	assert_int_equal(options.seconds, 8);
	assert_int_equal(options.seed, 9);
	assert_true(options.duplicates == 1.5 && options.conflicts == 2 && options.poison == 96.5);
	assert_int_equal(options.days, 10);
	assert_true(options.embedded_broker && options.quiet && options.help && options.version);
	assert_string_equal(options.broker_file, "f");
	assert_int_equal(options.partitions, 11);
	assert_int_equal(options.settings.len, 2);
	assert_string_equal(options.settings.words[1], "acks=1");
	assert_int_equal(parse(&options, "--create-topic 3"), RESULT_OK);
	assert_int_equal(options.create_topic, 3);
}

static void test_wrong_usage_names_the_argument(void **state)
{
	static const struct {
		const char *words, *named;
	} wrong[] = {
	    {"--rate", "--rate"},
	    {"--rate -1", "--rate"},
	    {"--count many", "--count"},
	    {"--count 0", "--count"},
	    {"--seconds 1.5", "--seconds"},
	    {"--poison 101", "--poison"},
	    {"--poison nan", "--poison"},
	    {"--duplicates 2%", "--duplicates"},
	    {"--duplicates 60 --poison 50", "--poison"},
	    {"--days 0", "--days"},
	    {"--partitions 16385", "--partitions"},
	    {"--broker-file f", "--broker-file"},
	    {"--embedded-broker --create-topic 1", "--create-topic"},
	    {"--quiet=yes", "--quiet"},
	    {"--no-such-flag", "--no-such-flag"},
	    {"word", "word"},
	};
	struct options options;
	(void)state;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		assert_int_equal(parse(&options, wrong[i].words), RESULT_CONFIG);
		assert_non_null(strstr(error.text, wrong[i].named));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_defaults),
	    cmocka_unit_test(test_every_flag),
	    cmocka_unit_test(test_wrong_usage_names_the_argument),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
