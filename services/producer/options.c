#include "services/producer/options.h"

#include <stdlib.h>
#include <string.h>

enum { DAYS_MAX = 3650, PARTITIONS_MAX = 16384 };

/* As typed; the numbers among them are read afterwards. */
struct arguments {
	const char *bootstrap, *topic, *create_topic, *rate, *count, *seconds, *seed, *duplicates, *conflicts, *poison,
	    *days, *broker_file, *partitions;
	bool embedded_broker, quiet, help, version;
};

#define AT(member) .offset = offsetof(struct arguments, member)
static const struct option_row rows[] = {
    {"--bootstrap", "HOST:PORT", "KAFKA_BOOTSTRAP_SERVERS", "localhost:9092", AT(bootstrap), "Kafka"},
    {"--topic", "NAME", NULL, "financial_transactions", AT(topic), "where to"},
    {"--create-topic", "N", NULL, NULL, AT(create_topic), "create the topic with N partitions where it does not exist"},
    {"--rate", "N", NULL, "100", AT(rate), "records a second; 0: as fast as possible"},
    {"--count", "N", NULL, NULL, AT(count), "end after N records"},
    {"--seconds", "N", NULL, NULL, AT(seconds), "end after N seconds"},
    {"--seed", "N", NULL, "1", AT(seed), "the same seed sends the same records"},
    {"--duplicates", "PERCENT", NULL, "0", AT(duplicates), "records that repeat an earlier one"},
    {"--conflicts", "PERCENT", NULL, "0", AT(conflicts), "records with the key of an earlier one and another amount"},
    {"--poison", "PERCENT", NULL, "0", AT(poison), "records that have to be refused, of all kinds in turn"},
    {"--days", "N", NULL, NULL, AT(days), "events happen on N days from 2024-01-15 on; otherwise now"},
    {"--embedded-broker", NULL, NULL, NULL, AT(embedded_broker),
        "be the Kafka broker as well, in memory, until SIGTERM; for trials"},
    {"--broker-file", "FILE", NULL, NULL, AT(broker_file), "write the embedded broker's host:port there"},
    {"--partitions", "N", NULL, "4", AT(partitions), "of the topic in the embedded broker"},
    {"--quiet", NULL, NULL, NULL, AT(quiet), "print the summary only, not each record"},
    {"--help", NULL, NULL, NULL, AT(help), "this text"},
    {"--version", NULL, NULL, NULL, AT(version), "the version"},
};
enum { ROWS = sizeof rows / sizeof *rows };

#define FROM(member) offsetof(struct arguments, member), offsetof(struct options, member)
static const struct {
	const char *name;
	size_t from, into;
	uint64_t least, most;
} numbers[] = {
    {"--create-topic", FROM(create_topic), 1, PARTITIONS_MAX},
    {"--rate", FROM(rate), 0, UINT64_MAX},
    {"--count", FROM(count), 1, UINT64_MAX},
    {"--seconds", FROM(seconds), 1, UINT64_MAX / 1000000},
    {"--seed", FROM(seed), 0, UINT64_MAX},
    {"--days", FROM(days), 1, DAYS_MAX},
    {"--partitions", FROM(partitions), 1, PARTITIONS_MAX},
};
static const struct {
	const char *name;
	size_t from, into;
} percents[] = {
    {"--duplicates", FROM(duplicates)},
    {"--conflicts", FROM(conflicts)},
    {"--poison", FROM(poison)},
};

static const char *text_at(const struct arguments *arguments, size_t offset)
{
	return *(const char *const *)(const void *)((const char *)arguments + offset);
}

static enum result read_numbers(const struct arguments *arguments, struct options *options, struct error *error)
{
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		const char *text = text_at(arguments, numbers[i].from);
		uint64_t *number = (uint64_t *)(void *)((char *)options + numbers[i].into);
		if (text != NULL &&
		    option_number(numbers[i].name, text, numbers[i].least, numbers[i].most, number, error) != RESULT_OK)
			return error->code;
	}
	return RESULT_OK;
}

static enum result read_percents(const struct arguments *arguments, struct options *options, struct error *error)
{
	for (size_t i = 0; i < sizeof percents / sizeof *percents; i++) {
		const char *text = text_at(arguments, percents[i].from);
		double *percent = (double *)(void *)((char *)options + percents[i].into);
		char *end;
		*percent = strtod(text, &end);
		if (end == text || *end != '\0' || !(*percent >= 0 && *percent <= 100))
			return error_set(
			    error, RESULT_CONFIG, "%s takes a number from 0 to 100, not %s", percents[i].name, text);
	}
	return RESULT_OK;
}

static enum result check(const struct options *options, struct error *error)
{
	if (options->duplicates + options->conflicts + options->poison > 100)
		return error_set(
		    error, RESULT_CONFIG, "--duplicates, --conflicts and --poison are more than 100 percent together");
	if (options->broker_file != NULL && !options->embedded_broker)
		return error_set(error, RESULT_CONFIG, "--broker-file needs --embedded-broker");
	if (options->embedded_broker && options->create_topic != 0)
		return error_set(error, RESULT_CONFIG, "--embedded-broker takes --partitions, not --create-topic");
	for (size_t i = 0; i < options->settings.len; i++)
		if (strchr(options->settings.words[i], '=') == NULL)
			return error_set(error, RESULT_CONFIG,
			    "unknown argument %s: a setting for librdkafka is NAME=VALUE", options->settings.words[i]);
	return RESULT_OK;
}

enum result producer_options_parse(struct options *options, int argc, char *const *argv, struct error *error)
{
	struct arguments arguments;
	*options = (struct options){0};
	enum result result = options_parse(rows, ROWS, &arguments, argc, argv, &options->settings, error);
	if (result != RESULT_OK)
		return result;
	options->bootstrap = arguments.bootstrap;
	options->topic = arguments.topic;
	options->broker_file = arguments.broker_file;
	options->embedded_broker = arguments.embedded_broker;
	options->quiet = arguments.quiet;
	options->help = arguments.help;
	options->version = arguments.version;
	result = read_numbers(&arguments, options, error);
	if (result == RESULT_OK)
		result = read_percents(&arguments, options, error);
	return result == RESULT_OK ? check(options, error) : result;
}

void producer_options_help(FILE *out)
{
	(void)fputs("sluice-producer - sends made-up transactions to a Kafka topic\n\n"
	            "usage: sluice-producer [ARGUMENT...] [NAME=VALUE...]\n\n"
	            "NAME=VALUE is a setting for librdkafka.\n\n",
	    out);
	options_help(out, rows, ROWS);
	(void)fputs("\nExits with 0 only if every record was delivered.\n"
	            "A batch whose answer was lost is sent again: its records may be there twice.\n",
	    out);
}
