#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/settings.h"
#include "common/base/timestamp.h"
#include "common/runtime/control_client.h"
#include "common/runtime/topology.h"
#include "services/sluicectl/job_state.h"

enum {
	ASK_AGAIN_MS = 200,
	WAIT_MOST_SECONDS = 86400,
	WAIT_LONG_US = 2000000, /* who waits for less is not ill */
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

/* --- who waits for what ----------------------------------------------------------------------------------------- */

static void print_waits(const struct waits *waits, struct buffer *out)
{
	char since[TIMESTAMP_TEXT_MAX];
	for (uint32_t i = 0; i < waits->len; i++) {
		const struct wait_entry *wait = &waits->entries[i];
		(void)timestamp_print(wait->since_us, since);
		buffer_printf(out, "waiting    %s: %s (since %.19sZ, %.1f s)\n", wait->who, wait->text, since,
		    (double)wait->for_us / 1e6);
	}
}

/* One text of all, for people, and a list. */
static void print_waits_json(const struct waits *waits, struct buffer *out)
{
	char since[TIMESTAMP_TEXT_MAX];
	struct buffer all = {0};
	for (uint32_t i = 0; i < waits->len; i++)
		buffer_printf(&all, "%s%s: %s", i > 0 ? "; " : "", waits->entries[i].who, waits->entries[i].text);
	buffer_append_text(out, "\"waiting\": ");
	buffer_append_json(out, buffer_bytes(&all));
	buffer_append_text(out, ", \"waits\": [");
	for (uint32_t i = 0; i < waits->len; i++) {
		const struct wait_entry *wait = &waits->entries[i];
		(void)timestamp_print(wait->since_us, since);
		buffer_append_text(out, i > 0 ? ", {" : "{");
		json_text(out, "who", wait->who);
		buffer_append_text(out, ", ");
		json_text(out, "text", wait->text);
		buffer_printf(out, ", \"since\": \"%.19sZ\", \"seconds\": %.1f}", since, (double)wait->for_us / 1e6);
	}
	buffer_append_text(out, "]");
	buffer_fini(&all);
}

/* --- a report --------------------------------------------------------------------------------------------------- */

static void print_json(const struct frame_status_report *report, struct buffer *out)
{
	buffer_append_text(out, "{");
	json_text(out, "job", report->job);
	buffer_append_text(out, ", ");
	json_text(out, "state", report->state);
	buffer_printf(out, ", \"live\": %s, ", report->live ? "true" : "false");
	print_waits_json(&report->waits, out);
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
	double age = (double)(report->now_us - report->committed_us) / 1e6;
	buffer_printf(out, "  (committed %.1f s ago, commits take %.1f ms)", age, (double)report->commit_us / 1e3);
}

static void print_checkpoint(const struct frame_status_report *report, struct buffer *out)
{
	buffer_printf(out, "checkpoint %" PRIu64 ".%" PRIu64, report->checkpoint.attempt, report->checkpoint.n);
	if (report->checkpoint_us != 0)
		buffer_printf(out, "  (%.1f s ago, took %.1f ms, %.1f KiB new of %.1f KiB)",
		    (double)(report->now_us - report->checkpoint_us) / 1e6, (double)report->checkpoint_took_us / 1e3,
		    (double)report->checkpoint_bytes / 1024, (double)report->checkpoint_whole_bytes / 1024);
	buffer_printf(out, "; %" PRIu64 " completed, %" PRIu64 " failed; restored from %" PRIu64 ".%" PRIu64 "\n",
	    report->checkpoints_completed, report->checkpoints_failed, report->restored.attempt, report->restored.n);
}

static void print_table(const struct frame_status_report *report, struct buffer *out)
{
	buffer_printf(out, "job        %s\nstate      %s%s\n", report->job, report->state,
	    strcmp(report->state, "RUNNING") == 0 && !report->live ? " (silent replay up to the frontier)" : "");
	print_waits(&report->waits, out);
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

/* --- is it well? ------------------------------------------------------------------------------------------------ */

/* One line on why not; false: it is well. max_age_us: of the last commit, where there are records to be committed. */
static bool is_ill(const struct frame_status_report *report, uint64_t max_age_us, struct buffer *why)
{
	int64_t age_us = report->now_us - report->committed_us, unknown_us = report->now_us - report->ends_unknown_us;
	uint64_t lag = cut_distance(&report->cut, &report->ends);
	if (strcmp(report->state, "RUNNING") != 0)
		buffer_printf(why, "%s", report->state);
	else if (!report->live)
		buffer_append_text(why, "RUNNING, in the silent replay up to the frontier");
	for (uint32_t i = 0; i < report->waits.len; i++)
		if (report->waits.entries[i].for_us >= WAIT_LONG_US)
			buffer_printf(why, "%s%s: %s (for %.1f s)", why->len > 0 ? ", " : "",
			    report->waits.entries[i].who, report->waits.entries[i].text,
			    (double)report->waits.entries[i].for_us / 1e6);
	if (why->len > 0 && !report->live && report->last_error[0] != '\0')
		buffer_printf(why, " (last error: %s)", report->last_error);
	if (why->len == 0 && report->ends_unknown_us != 0 && unknown_us >= WAIT_LONG_US)
		buffer_printf(why, "the lag is unknown for %.1f s", (double)unknown_us / 1e6);
	if (why->len > 0 || report->ends_unknown_us != 0 || lag == 0)
		return why->len > 0;
	if (report->committed_us == 0)
		buffer_printf(why, "%" PRIu64 " records behind, and nothing was committed yet", lag);
	else if (age_us > 0 && (uint64_t)age_us > max_age_us)
		buffer_printf(
		    why, "%" PRIu64 " records behind, and the last commit is %.1f s ago", lag, (double)age_us / 1e6);
	return why->len > 0;
}

static void print_check(struct buffer *out, const char *job, const struct buffer *why, bool json, bool first)
{
	if (!json) {
		if (why->len > 0)
			buffer_printf(out, "%s%s: %.*s", first ? "not healthy: " : "; ", job, (int)why->len,
			    (const char *)why->data);
		return;
	}
	buffer_printf(out, "%s{", first ? "" : ", ");
	json_text(out, "job", job);
	buffer_printf(out, ", \"healthy\": %s, \"why\": ", why->len > 0 ? "false" : "true");
	buffer_append_json(out, buffer_bytes(why));
	buffer_append_text(out, "}");
}

/* --- of a job whose coordinator has ended -------------------------------------------------------------------------- */

/* "STOPPED since 2026-11-30T18:39:38Z: words" */
static void say_note(const struct stop_note *note, struct buffer *out)
{
	char since[TIMESTAMP_TEXT_MAX];
	(void)timestamp_print(note->since_us, since);
	buffer_printf(out, "STOPPED since %.19sZ: %s", since, note->text);
}

/* The members of a report that it has; no numbers, for they would be old. */
static void print_note_json(const char *job, const struct stop_note *note, struct buffer *out)
{
	char since[TIMESTAMP_TEXT_MAX];
	(void)timestamp_print(note->since_us, since);
	buffer_append_text(out, "{");
	json_text(out, "job", job);
	buffer_printf(out,
	    ", \"state\": \"STOPPED\", \"stopped_since\": \"%.19sZ\", \"live\": false, \"waiting\": \"\", ", since);
	json_text(out, "last_error", note->text);
	buffer_append_text(out, "}");
}

static void print_note(const struct arguments *arguments, const char *job, const struct stop_note *note,
    const char *name, bool first, struct buffer *out)
{
	if (!arguments->json) {
		buffer_printf(out, "%sjob        %s\nstate      ", first ? "" : "\n", job);
		say_note(note, out);
		buffer_append_text(out, "\n");
		return;
	}
	if (name != NULL)
		buffer_printf(out, "%s\"%s\": ", first ? "{" : ", ", name);
	print_note_json(job, note, out);
}

/* Asks until the job runs, has stopped, or the deadline has passed; the exit code. */
static int ask_about(
    const char *url, const char *job, uint64_t deadline, struct arena *arena, struct frame *answer, struct error *error)
{
	for (;;) {
		arena_clear(arena);
		enum result result = control_ask(url, job, FRAME_STATUS, JOB_STATE_ANSWER_MS, arena, answer, error);
		bool answered = result == RESULT_OK;
		const struct frame_status_report *report = &answer->body.status_report;
		if (result == RESULT_CONFIG)
			return EXIT_FAILURE;
		bool running = answered && report->live;
		if (running || (answered && strcmp(report->state, "STOPPED") == 0) || clock_monotonic_us() >= deadline)
			return running ? EXIT_SUCCESS : answered ? EXIT_FAILURE : EXIT_UNAVAILABLE;
		sluicectl_pause_ms(ASK_AGAIN_MS);
	}
}

struct asked {
	const char *url;
	bool wanted[JOBS];
	uint64_t deadline_us, max_age_us;
};

static enum result read_question(
    const struct arguments *arguments, const struct pipeline *pipeline, struct asked *asked, struct error *error)
{
	uint64_t seconds;
	asked->url = arguments->coordinator ? arguments->coordinator : pipeline->coordinator.listen;
	if (option_number("--wait", arguments->wait, 0, WAIT_MOST_SECONDS, &seconds, error) != RESULT_OK)
		return error->code;
	asked->deadline_us = clock_monotonic_us() + seconds * 1000000;
	if (!duration_parse(arguments->max_age, &asked->max_age_us))
		return error_set(error, RESULT_CONFIG, "--max-age %s: it is a duration such as 30s, 500ms or 5m",
		    arguments->max_age);
	return sluicectl_jobs(arguments, pipeline, asked->wanted, error);
}

/* The coordinator may run a job that is off where this is typed, as the environment is another: it is asked about, too. */
static void want_jobs(const struct arguments *arguments, const struct pipeline *pipeline,
    const struct frame_status_report *report, struct asked *asked)
{
	char job[JOB_NAME_MAX];
	for (enum job_kind kind = JOB_TOTALS; kind < JOBS && arguments->job == NULL; kind++) {
		size_t len = strlen(job_name(pipeline, kind, job));
		const char *found = strstr(report->jobs, job);
		asked->wanted[kind] |= found != NULL && (found == report->jobs || found[-1] == ' ') &&
		                       (found[len] == ' ' || found[len] == '\0');
	}
}

/* Exit code 0: every job is well. One line, or one JSON object. */
static int check(const struct arguments *arguments, const struct pipeline *pipeline, struct asked *asked)
{
	struct arena arena = {0};
	struct frame answer;
	struct buffer out = {0};
	int worst = EXIT_SUCCESS;
	bool first = true;
	for (enum job_kind kind = JOB_TOTALS; kind < JOBS; kind++) {
		struct buffer why = {0};
		struct error error = {0};
		struct stop_note note;
		char job[JOB_NAME_MAX];
		if (!asked->wanted[kind])
			continue;
		int code =
		    ask_about(asked->url, job_name(pipeline, kind, job), asked->deadline_us, &arena, &answer, &error);
		bool stopped = code == EXIT_UNAVAILABLE && job_state_note(pipeline, job, &note);
		if (stopped)
			say_note(&note, &why);
		if (stopped)
			code = EXIT_FAILURE;
		else if (code == EXIT_UNAVAILABLE || error.code == RESULT_CONFIG)
			buffer_printf(&why, "no word from a coordinator at %s: %s", asked->url, error.text);
		else
			want_jobs(arguments, pipeline, &answer.body.status_report, asked);
		if (why.len == 0 && is_ill(&answer.body.status_report, asked->max_age_us, &why))
			code = EXIT_FAILURE;
		worst = code > worst ? code : worst;
		print_check(&out, job, &why, arguments->json, first);
		first = first && why.len == 0 && !arguments->json;
		buffer_fini(&why);
	}
	if (arguments->json)
		(void)printf("{\"healthy\": %s, \"jobs\": [%.*s]}\n", worst == EXIT_SUCCESS ? "true" : "false",
		    (int)out.len, (const char *)out.data);
	else
		(void)printf("%.*s\n", out.len > 0 ? (int)out.len : (int)strlen("healthy"),
		    out.len > 0 ? (const char *)out.data : "healthy");
	buffer_fini(&out);
	arena_fini(&arena);
	return worst;
}

static int tell(const struct arguments *arguments, const struct pipeline *pipeline, struct asked *asked)
{
	struct arena arena = {0};
	struct frame answer;
	struct buffer out = {0};
	int worst = EXIT_SUCCESS;
	bool both = asked->wanted[JOB_TOTALS] && asked->wanted[JOB_SEARCH], first = true;
	for (enum job_kind kind = JOB_TOTALS; kind < JOBS; kind++) {
		struct error error = {0};
		struct stop_note note;
		char job[JOB_NAME_MAX];
		if (!asked->wanted[kind])
			continue;
		int code =
		    ask_about(asked->url, job_name(pipeline, kind, job), asked->deadline_us, &arena, &answer, &error);
		if (code == EXIT_UNAVAILABLE && job_state_note(pipeline, job, &note)) {
			worst = EXIT_FAILURE > worst ? EXIT_FAILURE : worst;
			print_note(arguments, job, &note, both ? job_kind_name(kind) : NULL, first, &out);
			first = false;
			continue;
		}
		worst = code > worst ? code : worst;
		if (code == EXIT_UNAVAILABLE || error.code == RESULT_CONFIG) {
			(void)fprintf(stderr, "sluicectl: no word about %s from a coordinator at %s: %s\n", job,
			    asked->url, error.text);
			continue;
		}
		want_jobs(arguments, pipeline, &answer.body.status_report, asked);
		both = asked->wanted[JOB_TOTALS] && asked->wanted[JOB_SEARCH];
		print_report(arguments, &answer.body.status_report, both ? job_kind_name(kind) : NULL, first, &out);
		first = false;
	}
	if (arguments->json && !first)
		buffer_append_text(&out, both ? "}\n" : "\n");
	print_buffer(&out);
	arena_fini(&arena);
	return worst;
}

static int run(const struct arguments *arguments, const struct pipeline *pipeline)
{
	struct asked asked = {0};
	struct error error = {0};
	if (read_question(arguments, pipeline, &asked, &error) != RESULT_OK)
		return sluicectl_refuse("%s", error.text);
	return arguments->check ? check(arguments, pipeline, &asked) : tell(arguments, pipeline, &asked);
}

const struct verb verb_status = {
    .name = "status",
    .run = run,
    .what = "asks the coordinator how the job is",
    .exits =
        "0 every job asked about runs, 1 one does not, or has stopped, 69 no coordinator answers and none has said "
        "why; with --check: 0 every job asked about runs, nobody has waited for 2 s, and "
        "where there is a lag the last commit is not older than --max-age",
    .rows =
        {
            ROW_COORDINATOR,
            ROW_JOB("totals (PostgreSQL) or search (Elasticsearch) only; otherwise every job that is on"),
            {"--wait", "SECONDS", NULL, "0", AT(wait), "wait so long until the job runs"},
            {"--check", NULL, NULL, NULL, AT(check), "is it healthy? One line, and the exit code"},
            {"--max-age", "DURATION", NULL, "30s", AT(max_age),
                "of the last commit, for --check, where there is a lag"},
        },
    .rows_len = 5,
};
