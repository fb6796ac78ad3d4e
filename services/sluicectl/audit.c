/* services/sluicectl/audit.c - sluicectl audit: is the database what the topic says, up to the cut that it prints?
 *
 * See audit.h for the steps.
 */
#include "services/sluicectl/audit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/timestamp.h"
#include "services/sluicectl/audit_keys.h"
#include "services/sluicectl/audit_letters.h"
#include "services/sluicectl/sluicectl.h"

static void compare_counter(struct report *report, const char *name, uint64_t due, uint64_t found)
{
	struct difference difference = {.kind = DIFFERENCE_COUNTER};
	if (due == found)
		return;
	buffer_append_text(&difference.key, name);
	buffer_printf(&difference.expected, "%" PRIu64, due);
	buffer_printf(&difference.found, "%" PRIu64, found);
	report_add(report, &difference);
}

/* Where the beginning is gone, counters can be held against each other and against the tables only. */
static void compare_counters(struct report *report)
{
	const uint64_t *found = report->counters_found;
	uint64_t sum = found[AUDIT_ACCEPTED] + found[AUDIT_DUPLICATES] + found[AUDIT_CONFLICTS] + found[AUDIT_DEAD];
	compare_counter(
	    report, "consumed, against accepted + duplicates + conflicts + dead", sum, found[AUDIT_CONSUMED]);
	if (report->partial) {
		compare_counter(report, "accepted, against the rows of the table", report->rows, found[AUDIT_ACCEPTED]);
		compare_counter(report, "conflicts + dead, against the dead letters", report->letters,
		    found[AUDIT_CONFLICTS] + found[AUDIT_DEAD]);
		return;
	}
	for (size_t i = 0; i < AUDIT_COUNTERS; i++)
		compare_counter(report, audit_counter_names[i], report->counters_due[i], found[i]);
}

static enum result compare(struct audit *audit, struct error *error)
{
	progress_show(&audit->progress, "comparing rows", 0, 0);
	keys_compare(&audit->spool, &audit->report, &audit->totals);
	progress_show(&audit->progress, "comparing totals", 0, 0);
	totals_compare(&audit->totals);
	progress_show(&audit->progress, "comparing dead letters", 0, 0);
	letters_compare(&audit->spool, &audit->report);
	compare_counters(&audit->report);
	return spool_check(&audit->spool, error);
}

static enum result run(struct audit *audit, struct error *error)
{
	uint64_t began_us = clock_monotonic_us();
	enum result result = audit_database_read(audit, error);
	if (result == RESULT_OK)
		result = audit_log_read(audit, error);
	if (result == RESULT_OK)
		result = compare(audit, error);
	progress_clear(&audit->progress);
	audit->report.seconds = (double)(clock_monotonic_us() - began_us) / 1e6;
	audit->report.spool_bytes = spool_bytes(&audit->spool);
	return result;
}

static void print(const struct arguments *arguments, const struct report *report)
{
	struct buffer out = {0};
	if (arguments->json)
		report_print_json(report, &out);
	else
		report_print_text(report, &out);
	(void)fwrite(out.data, 1, out.len, stdout);
	buffer_fini(&out);
}

int verb_audit(const struct arguments *arguments, const struct pipeline *pipeline)
{
	struct audit *audit = memory_new(sizeof *audit);
	struct error error = {0};
	int code = EXIT_UNAVAILABLE;
	audit->pipeline = audit->report.pipeline = pipeline;
	(void)snprintf(audit->report.job, sizeof audit->report.job, "%s/totals", pipeline->job);
	record_reader_init(&audit->reader, pipeline);
	totals_init(&audit->totals, &audit->spool, &audit->report);
	progress_open(&audit->progress);
	enum result result = spool_open(&audit->spool, &error);
	if (result == RESULT_OK)
		result = run(audit, &error);
	if (result == RESULT_OK) {
		print(arguments, &audit->report);
		code = audit->report.differences_len == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
	} else {
		(void)fprintf(stderr, "sluicectl: %s\n", error.text);
		code = result == RESULT_CONFIG ? EXIT_CONFIG : EXIT_UNAVAILABLE;
	}
	spool_close(&audit->spool);
	totals_fini(&audit->totals);
	record_reader_fini(&audit->reader);
	report_fini(&audit->report);
	free(audit);
	return code;
}
