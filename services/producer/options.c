#include "services/producer/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/error.h"

enum option_kind {
	OPTION_TEXT,
	OPTION_NUMBER,
	OPTION_PERCENT,
	OPTION_PARTITIONS,
	OPTION_FLAG,
	OPTION_SETTING,
	OPTION_HELP,
	OPTION_VERSION
};

enum { DAYS_MAX = 3650, PARTITIONS_MAX = 1024 };

struct option_row {
	const char *name;
	char letter; /* 0: only the long name */
	enum option_kind kind;
	size_t place; /* in struct options */
	const char *argument;
	const char *help;
};

#define PLACE(member) offsetof(struct options, member)
static const struct option_row rows[] = {
    {"bootstrap", 'b', OPTION_TEXT, PLACE(bootstrap), "HOST:PORT",
        "Kafka (default: $KAFKA_BOOTSTRAP_SERVERS, or localhost:9092)"},
    {"topic", 't', OPTION_TEXT, PLACE(topic), "NAME", "default: financial_transactions"},
    {"create-topic", 0, OPTION_PARTITIONS, PLACE(create_topic), "N",
        "create the topic with N partitions where it does not exist"},
    {"rate", 'r', OPTION_NUMBER, PLACE(rate), "N", "records a second; 0: as fast as possible (default: 100)"},
    {"count", 'n', OPTION_NUMBER, PLACE(count), "N", "end after N records"},
    {"seconds", 's', OPTION_NUMBER, PLACE(seconds), "N", "end after N seconds"},
    {"seed", 0, OPTION_NUMBER, PLACE(seed), "N", "the same seed sends the same records (default: 1)"},
    {"duplicates", 0, OPTION_PERCENT, PLACE(duplicates), "PERCENT", "records that repeat an earlier one"},
    {"conflicts", 0, OPTION_PERCENT, PLACE(conflicts), "PERCENT",
        "records with the key of an earlier one and another amount"},
    {"poison", 0, OPTION_PERCENT, PLACE(poison), "PERCENT", "records that have to be refused, of all kinds in turn"},
    {"days", 0, OPTION_NUMBER, PLACE(days), "N",
        "events happen on N days from 2024-01-15 on (default: they happen now)"},
    {"embedded-broker", 0, OPTION_FLAG, PLACE(embedded_broker), NULL,
        "be the Kafka broker as well, in memory, until SIGTERM; for trials"},
    {"broker-file", 0, OPTION_TEXT, PLACE(broker_file), "FILE", "write the embedded broker's host:port there"},
    {"partitions", 0, OPTION_PARTITIONS, PLACE(partitions), "N", "of the topic in the embedded broker (default: 4)"},
    {"set", 'X', OPTION_SETTING, 0, "NAME=VALUE", "a setting for librdkafka; may be repeated"},
    {"quiet", 'q', OPTION_FLAG, PLACE(quiet), NULL, "print the summary only"},
    {"help", 'h', OPTION_HELP, 0, NULL, "print this"},
    {"version", 'V', OPTION_VERSION, 0, NULL, "print the version"},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static void help_print(FILE *out)
{
	(void)fputs("usage: sluice-producer [OPTION]...\n"
	            "Sends made-up transactions to a Kafka topic.\n\n",
	    out);
	for (size_t i = 0; i < ROWS; i++) {
		char left[48], letter[8] = "    ";
		if (rows[i].letter != 0)
			(void)snprintf(letter, sizeof letter, "-%c, ", rows[i].letter);
		(void)snprintf(left, sizeof left, "%s--%s%s%s", letter, rows[i].name,
		    rows[i].argument != NULL ? " " : "", rows[i].argument != NULL ? rows[i].argument : "");
		(void)fprintf(out, "  %-30s  %s\n", left, rows[i].help);
	}
	(void)fputs("\nExits with 0 only if every record was delivered.\n", out);
}

static bool number_read(const char *text, uint64_t *number)
{
	char *end;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || text[0] == '-')
		return false;
	*number = value;
	return true;
}

static bool percent_read(const char *text, double *percent)
{
	char *end;
	errno = 0;
	*percent = strtod(text, &end);
	return errno == 0 && end != text && *end == '\0' && *percent >= 0 && *percent <= 100;
}

static bool usage_error(const struct option_row *row, const char *text)
{
	(void)fprintf(stderr, "sluice-producer: --%s: not a valid value: %s\n", row->name, text);
	return false;
}

static bool option_apply(struct options *options, const struct option_row *row, const char *text)
{
	void *place = (char *)options + row->place;
	uint64_t number = 0;
	switch (row->kind) {
	case OPTION_TEXT:
		*(const char **)place = text;
		return text[0] != '\0' || usage_error(row, text);
	case OPTION_NUMBER:
		if (!number_read(text, &number) || (row->place == PLACE(days) && number > DAYS_MAX))
			return usage_error(row, text);
		if (row->place == PLACE(days))
			options->days = (uint32_t)number;
		else
			*(uint64_t *)place = number;
		return true;
	case OPTION_PERCENT:
		return percent_read(text, place) || usage_error(row, text);
	case OPTION_PARTITIONS:
		if (!number_read(text, &number) || number == 0 || number > PARTITIONS_MAX)
			return usage_error(row, text);
		*(uint32_t *)place = (uint32_t)number;
		return true;
	case OPTION_FLAG:
		*(bool *)place = true;
		return true;
	case OPTION_SETTING:
		if (strchr(text, '=') == NULL || options->settings_len == SETTINGS_MAX)
			return usage_error(row, text);
		options->settings[options->settings_len++] = text;
		return true;
	case OPTION_HELP:
	case OPTION_VERSION:
		break;
	}
	panic("option --%s", row->name);
}

static bool options_check(const struct options *options)
{
	if (options->duplicates + options->conflicts + options->poison > 100)
		(void)fputs("sluice-producer: duplicates, conflicts and poison are more than 100 percent\n", stderr);
	else if (options->broker_file != NULL && !options->embedded_broker)
		(void)fputs("sluice-producer: --broker-file needs --embedded-broker\n", stderr);
	else if (options->embedded_broker && options->create_topic != 0)
		(void)fputs("sluice-producer: --embedded-broker takes --partitions, not --create-topic\n", stderr);
	else
		return true;
	return false;
}

static void rows_to_getopt(struct option longs[ROWS + 1], char letters[2 * ROWS + 1])
{
	size_t at = 0;
	for (size_t i = 0; i < ROWS; i++) {
		longs[i] = (struct option){
		    rows[i].name, rows[i].argument != NULL ? required_argument : no_argument, NULL, (int)i + 256};
		if (rows[i].letter == 0)
			continue;
		letters[at++] = rows[i].letter;
		if (rows[i].argument != NULL)
			letters[at++] = ':';
	}
	longs[ROWS] = (struct option){0};
	letters[at] = '\0';
}

static const struct option_row *row_find(int found)
{
	for (size_t i = 0; i < ROWS; i++) {
		if (found == (int)i + 256 || (rows[i].letter != 0 && found == rows[i].letter))
			return &rows[i];
	}
	return NULL;
}

bool options_read(struct options *options, int argc, char **argv, int *exit_code)
{
	struct option longs[ROWS + 1];
	char letters[2 * ROWS + 1];
	rows_to_getopt(longs, letters);
	const char *environment = getenv("KAFKA_BOOTSTRAP_SERVERS");
	*options = (struct options){
	    .bootstrap = environment != NULL && environment[0] != '\0' ? environment : "localhost:9092",
	    .topic = "financial_transactions",
	    .rate = 100,
	    .seed = 1,
	    .partitions = 4,
	};
	*exit_code = EXIT_USAGE;
	for (int found; (found = getopt_long(argc, argv, letters, longs, NULL)) != -1;) {
		const struct option_row *row = row_find(found);
		if (row == NULL) {
			(void)fputs("Try sluice-producer --help.\n", stderr);
			return false;
		}
		if (row->kind == OPTION_HELP || row->kind == OPTION_VERSION) {
			if (row->kind == OPTION_HELP)
				help_print(stdout);
			else
				(void)puts("sluice-producer " SLUICE_VERSION);
			*exit_code = 0;
			return false;
		}
		if (!option_apply(options, row, optarg))
			return false;
	}
	if (optind < argc) {
		(void)fprintf(stderr, "sluice-producer: unexpected: %s\n", argv[optind]);
		return false;
	}
	return options_check(options);
}
