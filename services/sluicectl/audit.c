/* services/sluicectl/audit.c - sluicectl audit: are database and search copy what the topic says, up to the cuts that they print?
 *
 * One job after the other, each with a reading of the topic and a temporary file of its own; see audit.h for the steps.
 */
#include "services/sluicectl/audit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/timestamp.h"
#include "services/sluicectl/audit_keys.h"
#include "services/sluicectl/audit_letters.h"
#include "services/sluicectl/audit_search.h"
#include "services/sluicectl/job_state.h"

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

static void totals_take_record(struct audit *audit, const struct key_record *record)
{
	keys_put_record(&audit->spool, record);
}

static void compare_totals(struct audit *audit)
{
	progress_show(&audit->progress, "comparing rows", 0, 0);
	keys_compare(&audit->spool, &audit->report, &audit->totals);
	progress_show(&audit->progress, "comparing totals", 0, 0);
	totals_compare(&audit->totals);
	progress_show(&audit->progress, "comparing dead letters", 0, 0);
	letters_compare(&audit->spool, &audit->report);
	compare_counters(&audit->report);
}

static enum result read_search(struct audit *audit, struct error *error)
{
	audit->report.search = memory_new(sizeof *audit->report.search);
	return audit_search_read(audit, error);
}

static const struct audit_target targets[JOBS] = {
    [JOB_TOTALS] =
        {
            .read = audit_database_read,
            .take_record = totals_take_record,
            .compare = compare_totals,
            .print_text = totals_report_print_text,
            .print_json = totals_report_print_json,
            .has_letters = true,
        },
    [JOB_SEARCH] =
        {
            .read = read_search,
            .take_record = audit_search_take_record,
            .compare = audit_search_compare,
            .print_text = search_report_print_text,
            .print_json = search_report_print_json,
            .runs_ahead = true,
        },
};

static enum result run(struct audit *audit, struct error *error)
{
	uint64_t began_us = clock_monotonic_us();
	enum result result = spool_open(&audit->spool, error);
	if (result == RESULT_OK)
		result = audit->target->read(audit, error);
	if (result == RESULT_OK)
		result = audit_log_read(audit, error);
	if (result == RESULT_OK) {
		audit->target->compare(audit);
		result = spool_check(&audit->spool, error);
	}
	progress_clear(&audit->progress);
	audit->report.seconds = (double)(clock_monotonic_us() - began_us) / 1e6;
	audit->report.spool_bytes = spool_bytes(&audit->spool);
	return result;
}

/* --- jobs ------------------------------------------------------------------------------------------------------ */

/* What became of the jobs audited. */
struct outcome {
	size_t jobs; /* printed so far */
	bool different, config, away;
	struct buffer out;
};

static void print(struct outcome *outcome, const struct arguments *arguments, const struct audit *audit)
{
	const struct report *report = &audit->report;
	if (arguments->json) {
		report_print_json(report, audit->target->print_json, &outcome->out);
		return;
	}
	buffer_append_text(&outcome->out, outcome->jobs > 0 ? "\n" : "");
	report_print_text(report, audit->target->print_text, &outcome->out);
}

static void print_fault(struct outcome *outcome, const struct arguments *arguments, const struct error *error)
{
	(void)fprintf(stderr, "sluicectl: %s\n", error->text);
	if (!arguments->json)
		return;
	buffer_append_text(&outcome->out, "{\"error\": ");
	buffer_append_json(&outcome->out, (struct bytes){(const uint8_t *)error->text, strlen(error->text)});
	buffer_append_text(&outcome->out, ", \"exact\": false}");
}

static void audit_job(
    struct outcome *outcome, const struct arguments *arguments, const struct pipeline *pipeline, enum job_kind kind)
{
	struct audit *audit = memory_new(sizeof *audit);
	struct report *report = &audit->report;
	struct error error = {0};
	audit->target = &targets[kind];
	audit->pipeline = report->pipeline = pipeline;
	audit->spool.file = -1;
	(void)job_name(pipeline, kind, report->job);
	record_reader_init(&audit->reader, pipeline);
	totals_init(&audit->totals, &audit->spool, report);
	progress_open(&audit->progress);
	enum result result = run(audit, &error);
	if (report->nothing)
		result = job_state_nothing(arguments, pipeline, report->job, &error);
	if (result == RESULT_OK)
		print(outcome, arguments, audit);
	else
		print_fault(outcome, arguments, &error);
	outcome->jobs++;
	outcome->different = outcome->different || (result == RESULT_OK && report->differences_len > 0);
	outcome->config = outcome->config || result == RESULT_CONFIG;
	outcome->away = outcome->away || (result != RESULT_OK && result != RESULT_CONFIG);
	spool_close(&audit->spool);
	totals_fini(&audit->totals);
	record_reader_fini(&audit->reader);
	report_fini(report);
	free(audit);
}

/* A difference is one, whatever else cannot be said. */
static int code_of(const struct outcome *outcome)
{
	if (outcome->different)
		return EXIT_FAILURE;
	if (outcome->config)
		return EXIT_CONFIG;
	return outcome->away ? EXIT_UNAVAILABLE : EXIT_SUCCESS;
}

static int audit_jobs(const struct arguments *arguments, const struct pipeline *pipeline)
{
	struct outcome outcome = {0};
	bool wanted[JOBS];
	struct error error = {0};
	if (sluicectl_jobs(arguments, pipeline, wanted, &error) != RESULT_OK)
		return sluicectl_refuse("%s", error.text);
	bool both = wanted[JOB_TOTALS] && wanted[JOB_SEARCH];
	for (enum job_kind kind = JOB_TOTALS; kind < JOBS; kind++) {
		if (!wanted[kind])
			continue;
		if (arguments->json && both)
			buffer_printf(&outcome.out, "%s\"%s\": ", outcome.jobs > 0 ? ", " : "{", job_kind_name(kind));
		audit_job(&outcome, arguments, pipeline, kind);
	}
	int code = code_of(&outcome);
	if (arguments->json && both)
		buffer_printf(&outcome.out, ", \"exact\": %s}", code == EXIT_SUCCESS ? "true" : "false");
	/* A single job that could not be audited prints nothing but its error. */
	if (both || code == EXIT_SUCCESS || code == EXIT_FAILURE) {
		buffer_append_text(&outcome.out, arguments->json ? "\n" : "");
		(void)fwrite(outcome.out.data, 1, outcome.out.len, stdout);
	}
	buffer_fini(&outcome.out);
	return code;
}

const struct verb verb_audit = {
    .name = "audit",
    .run = audit_jobs,
    .what = "proves rows, totals, documents, dead letters and counters from Kafka",
    .exits = "0 exact, 1 not, 69 a service is away, 78 a person has to change something",
    .rows = {ROW_JOB("totals (PostgreSQL) or search (Elasticsearch) only; otherwise every job that is on"),
        ROW_COORDINATOR},
    .rows_len = 2,
};
