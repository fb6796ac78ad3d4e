/* services/producer/options.h - what the command line of sluice-producer says.
 *
 * Ownership: texts point into argv and the environment.
 * Errors:    CONFIG: wrong usage, with the argument named.
 */
#ifndef PRODUCER_OPTIONS_H
#define PRODUCER_OPTIONS_H

#include "common/base/options.h"

struct options {
	const char *bootstrap, *topic;
	uint64_t rate; /* records a second; 0: as fast as possible */
	uint64_t count; /* 0: no end */
	uint64_t seconds; /* 0: no end */
	uint64_t seed;
	double duplicates, conflicts, poison; /* percent */
	uint64_t days; /* 0: the event happens now */
	uint64_t create_topic; /* partitions; 0: do not */
	bool embedded_broker;
	const char *broker_file; /* or NULL */
	uint64_t partitions; /* of the embedded broker's topic */
	bool quiet, help, version;
	struct option_words settings; /* name=value, for librdkafka */
};

enum result producer_options_parse(struct options *options, int argc, char *const *argv, struct error *error) MUST_USE;
void producer_options_help(FILE *out);

#endif
