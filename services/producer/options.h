/* services/producer/options.h - what the command line of sluice-producer says. */
#ifndef PRODUCER_OPTIONS_H
#define PRODUCER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SETTINGS_MAX = 32 };

struct options {
	const char *bootstrap;
	const char *topic;
	uint64_t rate; /* records a second; 0: as fast as possible */
	uint64_t count; /* 0: no end */
	uint64_t seconds; /* 0: no end */
	uint64_t seed;
	double duplicates, conflicts, poison; /* percent */
	uint32_t days; /* 0: the event happens now */
	uint32_t create_topic; /* partitions; 0: do not */
	bool embedded_broker;
	const char *broker_file;
	uint32_t partitions; /* of the embedded broker's topic */
	bool quiet;
	const char *settings[SETTINGS_MAX]; /* name=value, for librdkafka */
	size_t settings_len;
};

/* False: the process ends now with *exit_code (--help, --version, or a usage error that was printed). */
bool options_read(struct options *options, int argc, char **argv, int *exit_code);

#endif
