#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/timestamp.h"
#include "common/runtime/control_client.h"
#include "common/runtime/topology.h"
#include "services/sluicectl/sluicectl.h"

enum {
	ANSWER_MS = 2000,
	ASK_AGAIN_MS = 200,
	WAIT_MOST_SECONDS = 86400,
};

/* Of all partitions together; rather no number than an old one. */
static void json_lag(const struct frame_status_report *report, struct buffer *out)
{
	if (report->ends_unknown_us == 0)
		buffer_printf(out, "\"lag\": %" PRIu64 ", ", cut_distance(&report->cut, &report->ends));
	else
		buffer_append_text(out, "\"lag\": null, ");
	buffer_printf(out, "\"lag_unknown_since_us\": %" PRId64 ", ", report->ends_unknown_us);
}

static void print_lag(const struct frame_status_report *report, struct buffer *out)
{
	char since[TIMESTAMP_TEXT_MAX];
	if (report->ends_unknown_us == 0) {
		buffer_printf(out, "lag        %" PRIu64 " records\n", cut_distance(&report->cut, &report->ends));
		return;
	}
	(void)timestamp_print(report->ends_unknown_us, since);
	buffer_printf(out, "lag        unknown since %.19sZ: nobody says how long the log is\n", since);
}

static void print_json(const struct frame_status_report *report, struct buffer *out)
{
	buffer_append_text(out, "{");
	json_text(out, "job", report->job);
	buffer_append_text(out, ", ");
	json_text(out, "state", report->state);
	buffer_printf(out, ", \"live\": %s, ", report->live ? "true" : "false");
	json_text(out, "waiting", report->waiting);
	buffer_append_text(out, ", ");
	json_text(out, "last_error", report->last_error);
	buffer_printf(
	    out, ", \"epoch\": \"%" PRIu64 ".%" PRIu64 "\", \"cut\": ", report->epoch.attempt, report->epoch.n);
	cut_print(&report->cut, out);
	buffer_append_text(out, ", \"ends\": ");
	cut_print(&report->ends, out);
	buffer_append_text(out, ", \"counters\": {");
	for (int i = 0; i < COUNTERS_FOR_PEOPLE; i++)
		buffer_printf(out, "%s\"%s\": %" PRIu64, i ? ", " : "", counter_names[i], report->counters.n[i]);
	buffer_append_text(out, "}, ");
	json_lag(report, out);
	buffer_printf(out,
	    "\"in_flight\": %" PRIu64 ", \"commit_us\": %" PRIu64 ", \"records_per_second\": %" PRIu64
	    ", \"attempts_ended\": %" PRIu64 ", \"committed_us\": %" PRId64 ", \"workers\": [",
	    report->in_flight, report->commit_us, report->records_per_second, report->attempts_ended,
	    report->committed_us);
	for (uint32_t i = 0; i < report->workers.len; i++) {
		const struct worker_entry *worker = &report->workers.entries[i];
		buffer_append_text(out, i ? ", {" : "{");
		json_text(out, "worker", worker->worker);
		buffer_append_text(out, ", ");
		json_text(out, "process", process_role_name((enum process_role)worker->process));
		buffer_printf(out, ", \"pid\": %" PRIu64 ", ", worker->pid);
		json_text(out, "actors", worker->actors);
		buffer_append_text(out, "}");
	}
	buffer_printf(out,
	    "], \"checkpoint\": {\"latest\": \"%" PRIu64 ".%" PRIu64 "\", \"restored\": \"%" PRIu64 ".%" PRIu64
	    "\", \"completed\": %" PRIu64 ", \"failed\": %" PRIu64 ", \"completed_us\": %" PRId64
	    ", \"took_us\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"whole_bytes\": %" PRIu64 "}, ",
	    report->checkpoint.attempt, report->checkpoint.n, report->restored.attempt, report->restored.n,
	    report->checkpoints_completed, report->checkpoints_failed, report->checkpoint_us,
	    report->checkpoint_took_us, report->checkpoint_bytes, report->checkpoint_whole_bytes);
	json_text(out, "verdict", report->verdict);
	buffer_append_text(out, "}");
}

static void print_age(const struct frame_status_report *report, struct buffer *out)
{
	if (report->committed_us == 0)
		return;
	double age = (double)(clock_realtime_us() - report->committed_us) / 1e6;
	buffer_printf(out, "  (committed %.1f s ago, commits take %.1f ms)", age, (double)report->commit_us / 1e3);
}

static void print_checkpoint(const struct frame_status_report *report, struct buffer *out)
{
	buffer_printf(out, "checkpoint %" PRIu64 ".%" PRIu64, report->checkpoint.attempt, report->checkpoint.n);
	if (report->checkpoint_us != 0)
		buffer_printf(out, "  (%.1f s ago, took %.1f ms, %.1f KiB new of %.1f KiB)",
		    (double)(clock_realtime_us() - report->checkpoint_us) / 1e6,
		    (double)report->checkpoint_took_us / 1e3, (double)report->checkpoint_bytes / 1024,
		    (double)report->checkpoint_whole_bytes / 1024);
	buffer_printf(out, "; %" PRIu64 " completed, %" PRIu64 " failed; restored from %" PRIu64 ".%" PRIu64 "\n",
	    report->checkpoints_completed, report->checkpoints_failed, report->restored.attempt, report->restored.n);
}

static void print_table(const struct frame_status_report *report, struct buffer *out)
{
	buffer_printf(out, "job        %s\nstate      %s%s\n", report->job, report->state,
	    strcmp(report->state, "RUNNING") == 0 && !report->live ? " (silent replay up to the frontier)" : "");
	if (report->waiting[0] != '\0')
		buffer_printf(out, "waiting    %s\n", report->waiting);
	if (report->verdict[0] != '\0')
		buffer_printf(out, "verdict    %s\n", report->verdict);
	if (report->last_error[0] != '\0')
		buffer_printf(out, "last error %s%s\n", report->last_error,
		    strcmp(report->state, "RUNNING") == 0 && report->live ? " (the job runs again)" : "");
	buffer_printf(out, "epoch      %" PRIu64 ".%" PRIu64, report->epoch.attempt, report->epoch.n);
	print_age(report, out);
	buffer_append_text(out, "\ncut        ");
	cut_print(&report->cut, out);
	buffer_append_text(out, "\n");
	print_lag(report, out);
	buffer_printf(out, "rate       %" PRIu64 " records/s\ncounters  ", report->records_per_second);
	for (int i = 0; i < COUNTERS_FOR_PEOPLE; i++)
		buffer_printf(out, " %s %" PRIu64, counter_names[i], report->counters.n[i]);
	buffer_append_text(out, "\n");
	print_checkpoint(report, out);
	buffer_printf(out, "attempts   %" PRIu64 " ended since the coordinator started\n\n%-36s %-11s %8s  %s\n",
	    report->attempts_ended, "WORKER", "ROLE", "PID", "ACTORS");
	for (uint32_t i = 0; i < report->workers.len; i++) {
		const struct worker_entry *worker = &report->workers.entries[i];
		buffer_printf(out, "%-36s %-11s %8" PRIu64 "  %s\n", worker->worker,
		    process_role_name((enum process_role)worker->process), worker->pid,
		    worker->actors[0] != '\0' ? worker->actors : "(standby)");
	}
}

/* One job as it is; of several each under its name. */
static void print_report(const struct arguments *arguments, const struct frame_status_report *report, const char *name,
    bool first, struct buffer *out)
{
	if (!arguments->json) {
		buffer_append_text(out, first ? "" : "\n");
		print_table(report, out);
		return;
	}
	if (name != NULL)
		buffer_printf(out, "%s\"%s\": ", first ? "{" : ", ", name);
	print_json(report, out);
}

/* Asks until the job runs, has stopped, or the deadline has passed; the exit code. */
static int ask_about(
    const char *url, const char *job, uint64_t deadline, struct arena *arena, struct frame *answer, struct error *error)
{
	for (;;) {
		arena_clear(arena);
		bool answered = control_ask(url, job, FRAME_STATUS, ANSWER_MS, arena, answer, error) == RESULT_OK;
		const struct frame_status_report *report = &answer->body.status_report;
		if (answered && strcmp(report->job, job) != 0) {
			error_set(error, RESULT_CONFIG,
			    "it does not run %s: its pipeline file says otherwise, or it was started before that "
			    "changed",
			    job);
			return EXIT_FAILURE;
		}
		bool running = answered && report->live;
		if (running || (answered && strcmp(report->state, "STOPPED") == 0) || clock_monotonic_us() >= deadline)
			return running ? EXIT_SUCCESS : answered ? EXIT_FAILURE : EXIT_UNAVAILABLE;
		sluicectl_pause_ms(ASK_AGAIN_MS);
	}
}

static int run(const struct arguments *arguments, const struct pipeline *pipeline)
{
	const char *url = arguments->coordinator ? arguments->coordinator : pipeline->coordinator.listen;
	struct arena arena = {0};
	struct error error = {0};
	struct frame answer;
	uint64_t seconds;
	bool wanted[JOBS];
	if (option_number("--wait", arguments->wait, 0, WAIT_MOST_SECONDS, &seconds, &error) != RESULT_OK ||
	    sluicectl_jobs(arguments, pipeline, wanted, &error) != RESULT_OK)
		return sluicectl_refuse("%s", error.text);
	uint64_t deadline = clock_monotonic_us() + seconds * 1000000;
	int worst = EXIT_SUCCESS;
	bool both = wanted[JOB_TOTALS] && wanted[JOB_SEARCH], first = true;
	struct buffer out = {0};
	for (enum job_kind kind = JOB_TOTALS; kind < JOBS; kind++) {
		char job[JOB_NAME_MAX];
		if (!wanted[kind])
			continue;
		error = (struct error){0};
		int code = ask_about(url, job_name(pipeline, kind, job), deadline, &arena, &answer, &error);
		if (code > worst)
			worst = code;
		if (code == EXIT_UNAVAILABLE || error.code == RESULT_CONFIG) {
			(void)fprintf(
			    stderr, "sluicectl: no word about %s from a coordinator at %s: %s\n", job, url, error.text);
			continue;
		}
		print_report(arguments, &answer.body.status_report, both ? job_kind_name(kind) : NULL, first, &out);
		first = false;
	}
	if (arguments->json && !first)
		buffer_append_text(&out, both ? "}\n" : "\n");
	print_buffer(&out);
	arena_fini(&arena);
	return worst;
}

const struct verb verb_status = {
    .name = "status",
    .run = run,
    .what = "asks the coordinator how the job is",
    .exits = "0 every job asked about runs, 1 one does not, 69 no coordinator answers",
    .rows =
        {
            ROW_COORDINATOR,
            ROW_JOB("totals (PostgreSQL) or search (Elasticsearch) only; otherwise every job that is on"),
            {"--wait", "SECONDS", NULL, "0", AT(wait), "wait so long until the job runs"},
        },
    .rows_len = 3,
};
