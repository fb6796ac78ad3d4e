/* services/coordinator/main.c - sluice-coordinator: the coordinators of all jobs on one control link, one thread, one epoll.
 *
 * A job that a person has to look after stops, the others go on; it begins again when somebody starts a process of it. The
 * process ends when no job is left that has ever had one.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/options.h"
#include "common/base/output.h"
#include "common/base/timestamp.h"
#include "common/runtime/control_client.h"
#include "common/runtime/control_server.h"
#include "common/base/job.h"
#include "common/state/stop_note.h"
#include "services/coordinator/checkpoint_life.h"
#include "services/coordinator/coordinator.h"
#include "services/coordinator/deployment.h"
#include "services/coordinator/store_watch.h"

enum {
	LINGER_US = 1500000,
	NEIGHBOUR_MS = 1000,
	STOP_US = 9000000 /* for a last checkpoint; Docker Compose kills after 10 s */
};

struct arguments {
	const char *config, *listen, *expect_ingest, *expect_aggregators, *log_format, *log_level;
	bool diagram, help, version;
};

#define AT(member) .offset = offsetof(struct arguments, member)
static const struct option_row rows[] = {
    {"--config", "FILE", "SLUICE_CONFIG", "/etc/sluice/pipeline.yaml", AT(config), "the pipeline file"},
    {"--listen", "URL", "SLUICE_LISTEN", NULL, AT(listen),
        "control link (default: coordinator.listen of the pipeline file)"},
    {"--expect-ingest", "N", "SLUICE_EXPECT_INGEST", "0", AT(expect_ingest),
        "ingest processes to wait for; 0: whoever comes"},
    {"--expect-aggregators", "N", "SLUICE_EXPECT_AGGREGATORS", "0", AT(expect_aggregators), "likewise"},
    {"--log-format", "FORMAT", "SLUICE_LOG_FORMAT", "auto", AT(log_format), "json, text, or auto: text on a terminal"},
    {"--log-level", "LEVEL", "SLUICE_LOG_LEVEL", "info", AT(log_level), "debug, info, warn or error"},
    {"--diagram", NULL, NULL, NULL, AT(diagram), "print the lives of an attempt and of a checkpoint for Graphviz"},
    {"--help", NULL, NULL, NULL, AT(help), "this text"},
    {"--version", NULL, NULL, NULL, AT(version), "the version"},
};
enum { ROWS = sizeof rows / sizeof *rows };

struct job {
	struct coordinator_port port;
	struct process *process;
	char name[JOB_NAME_MAX];
	struct coordinator_config config;
	struct coordinator *coordinator;
	bool manned; /* a process of it has registered, in this life of the job */
	bool over;
	int code; /* with which it is */
};

struct process {
	struct control_server *server;
	struct job jobs[JOBS];
	uint32_t jobs_len;
	char names[JOBS * JOB_NAME_MAX]; /* of the jobs, with blanks between */
	int epoll_fd, signal_fd;
	uint64_t stop_by_us; /* told to end; 0: not */
	bool over;
};

static void port_command(
    struct coordinator_port *port, const char *worker, uint64_t attempt, enum frame_kind kind, const void *body)
{
	control_server_command(((struct job *)port)->process->server, worker, attempt, kind, body);
}

/* For sluicectl status, once this process has ended. */
static void note_stop(const struct job *job, const char *why)
{
	struct stop_note note = {.attempt = coordinator_attempt(job->coordinator), .since_us = clock_realtime_us()};
	struct error error;
	bool written;
	(void)snprintf(note.text, sizeof note.text, "%s", why);
	if (note.attempt > 0 &&
	    stop_note_write(job->config.store->ops->root(job->config.store), &note, &written, &error) != RESULT_OK)
		log_warn("sluicectl status will not know why the job has stopped: %s", error.text);
}

static void port_stop(struct coordinator_port *port, int code, const char *why)
{
	struct job *job = (struct job *)port;
	struct process *process = job->process;
	if (code == EXIT_SUCCESS)
		log_info("the job %s stops: %s", job->name, why);
	else
		log_error("the job %s stops: %s", job->name, why);
	if (code != EXIT_SUCCESS)
		note_stop(job, why);
	job->over = true;
	job->code = code;
	process->over = true;
	for (uint32_t i = 0; i < process->jobs_len; i++)
		process->over &= process->jobs[i].over || (!process->jobs[i].manned && process->stop_by_us == 0);
}

static void begin(struct job *job)
{
	if (job->coordinator != NULL)
		coordinator_free(job->coordinator);
	job->coordinator = coordinator_new(&job->config, clock_monotonic_us());
	job->over = job->manned = false;
	job->code = EXIT_SUCCESS;
}

static void begin_again(struct job *job)
{
	log_info("somebody has started the job %s again", job->name);
	stop_note_remove(job->config.store->ops->root(job->config.store));
	begin(job);
}

static void print_diagram(void)
{
	struct buffer text = {0};
	deployment_diagram(&text);
	checkpoint_diagram(&text);
	(void)fwrite(text.data, 1, text.len, stdout);
	buffer_fini(&text);
}

static int wrong_usage(const struct error *error)
{
	(void)fprintf(stderr, "sluice-coordinator: %s\n", error->text);
	return EXIT_USAGE;
}

static void answer_status(struct process *process, const struct coordinator *coordinator, uint32_t token)
{
	struct frame_status_report report;
	struct arena arena = {0};
	coordinator_report(coordinator, &arena, &report);
	report.jobs = process->names;
	control_server_answer(process->server, token, &report);
	arena_fini(&arena);
}

static void on_frame(struct job *job, const struct control_event *event)
{
	if (event->frame.header.kind == FRAME_REGISTER) {
		if (job->over && job->process->stop_by_us == 0)
			begin_again(job);
		job->manned = true;
	}
	coordinator_on_event(job->coordinator, event->worker, &event->frame, clock_monotonic_us());
}

static void handle_events(struct process *process)
{
	struct control_event event;
	while (!process->over && control_server_next(process->server, clock_monotonic_us(), &event)) {
		struct job *job = &process->jobs[event.job];
		switch (event.kind) {
		case CONTROL_FRAME:
			on_frame(job, &event);
			break;
		case CONTROL_LOST:
			coordinator_on_lost(job->coordinator, event.worker, event.why, clock_monotonic_us());
			break;
		case CONTROL_STATUS:
			if (event.frame.header.kind == FRAME_CHECKPOINT)
				coordinator_checkpoint(job->coordinator, clock_monotonic_us());
			answer_status(process, job->coordinator, event.token);
			break;
		}
	}
}

static void tick(struct process *process)
{
	for (uint32_t i = 0; i < process->jobs_len && !process->over; i++)
		coordinator_on_tick(process->jobs[i].coordinator, clock_monotonic_us());
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a == 0 ? b : b == 0 || a < b ? a : b;
}

static int timeout_ms(const struct process *process)
{
	uint64_t now = clock_monotonic_us();
	uint64_t wake = sooner(control_server_wake_us(process->server), process->stop_by_us);
	for (uint32_t i = 0; i < process->jobs_len; i++)
		wake = sooner(wake, coordinator_wake_us(process->jobs[i].coordinator));
	if (wake == 0)
		return -1;
	return wake <= now ? 0 : (int)((wake - now + 999) / 1000);
}

/* Once: a last checkpoint, then everybody ends. Twice, false: at once. */
static bool on_signal(struct process *process, uint64_t now_us)
{
	struct signalfd_siginfo ignored;
	(void)!read(process->signal_fd, &ignored, sizeof ignored);
	log_info("told to end");
	if (process->stop_by_us != 0)
		return false;
	process->stop_by_us = now_us + STOP_US;
	for (uint32_t i = 0; i < process->jobs_len; i++)
		if (!process->jobs[i].over)
			coordinator_stop(process->jobs[i].coordinator, now_us);
	return true;
}

static void loop(struct process *process)
{
	while (!process->over) {
		struct epoll_event event;
		int ready = epoll_wait(process->epoll_fd, &event, 1, timeout_ms(process));
		if (ready == 1 && event.data.fd == process->signal_fd && !on_signal(process, clock_monotonic_us()))
			return;
		handle_events(process);
		tick(process);
		control_server_flush(process->server, clock_monotonic_us());
		if (process->stop_by_us != 0 && clock_monotonic_us() >= process->stop_by_us) {
			log_warn("no last checkpoint in time: what came after the one before will be read again");
			return;
		}
	}
	control_server_linger(process->server, LINGER_US);
}

static void watch(const struct process *process, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
	CHECK(epoll_ctl(process->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0);
}

/* Before nng starts its threads, which inherit the mask. */
static void open_signals(struct process *process)
{
	sigset_t signals;
	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGINT);
	CHECK(sigprocmask(SIG_BLOCK, &signals, NULL) == 0);
	process->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	process->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	CHECK(process->signal_fd >= 0 && process->epoll_fd >= 0);
	watch(process, process->signal_fd);
}

static enum result open_jobs(struct process *process, const struct pipeline *pipeline,
    const struct coordinator_config *config, struct error *error)
{
	for (enum job_kind kind = JOB_TOTALS; kind < JOBS; kind++) {
		if (!job_is_on(pipeline, kind))
			continue;
		struct job *job = &process->jobs[process->jobs_len++];
		job->port = (struct coordinator_port){port_command, port_stop};
		job->process = process;
		job->config = *config;
		job->config.job = job_name(pipeline, kind, job->name);
		job->config.topology = topology_of_job(pipeline, kind);
		job->config.port = &job->port;
		if (checkpoint_folder_open(&job->config.store, pipeline->checkpoint.dir, job->name, error) != RESULT_OK)
			return error->code;
		job->config.store = store_watch(job->config.store);
		(void)snprintf(process->names + strlen(process->names), sizeof process->names - strlen(process->names),
		    "%s%s", process->jobs_len > 1 ? " " : "", job->name);
		begin(job);
	}
	return RESULT_OK;
}

/* Of a job that somebody has started again, only how it ended this time counts. */
static int worst_code(const struct process *process)
{
	int worst = EXIT_SUCCESS;
	for (uint32_t i = 0; i < process->jobs_len; i++)
		if (process->jobs[i].code > worst)
			worst = process->jobs[i].code;
	return worst;
}

/* Who has the address? One of another pipeline keeps it, and says so; one of this one is about to end. */
static enum result check_neighbour(const struct process *process, const char *listen, struct error *error)
{
	struct arena arena = {0};
	struct frame answer;
	struct error said;

	if (control_ask(listen, process->jobs[0].name, FRAME_STATUS, NEIGHBOUR_MS, &arena, &answer, &said) ==
	    RESULT_CONFIG)
		(void)error_stop(
		    error, STOP_OTHER_COORDINATOR, "coordinator.listen, %s, is taken: %.300s", listen, said.text);
	arena_fini(&arena);
	return error->code;
}

static int run(
    const struct arguments *arguments, const struct pipeline *pipeline, const struct coordinator_config *config)
{
	struct process process = {0};
	struct error error = {0};
	const char *names[JOBS];
	const char *listen = arguments->listen ? arguments->listen : pipeline->coordinator.listen;
	open_signals(&process);
	enum result result = open_jobs(&process, pipeline, config, &error);
	for (uint32_t i = 0; i < process.jobs_len; i++)
		names[i] = process.jobs[i].name;
	if (result == RESULT_OK)
		result = control_server_open(&process.server, listen, names, process.jobs_len,
		    (uint64_t)clock_realtime_us(), HEARTBEAT_TIMEOUT_US, &error);
	if (result == RESULT_RETRY && process.jobs_len > 0)
		result = check_neighbour(&process, listen, &error);
	if (result != RESULT_OK) {
		log_error("%s", error.text);
		return result == RESULT_CONFIG ? EXIT_CONFIG : EXIT_FAILURE;
	}
	for (uint32_t i = 0; i < process.jobs_len; i++)
		stop_note_remove(process.jobs[i].config.store->ops->root(process.jobs[i].config.store));
	watch(&process, control_server_event_fd(process.server));
	log_set_job(names[0], 0);
	log_info("waiting for processes at %s", listen);
	loop(&process);
	return worst_code(&process);
}

static int run_program(int argc, char **argv)
{
	struct arguments arguments;
	struct pipeline pipeline;
	struct error error;
	enum log_level least;
	char zone_rules[ZONE_RULES_MAX];
	uint64_t ingest, aggregators;
	if (options_parse(rows, ROWS, &arguments, argc, argv, NULL, &error) != RESULT_OK ||
	    option_number("--expect-ingest", arguments.expect_ingest, 0, 1000, &ingest, &error) != RESULT_OK ||
	    option_number("--expect-aggregators", arguments.expect_aggregators, 0, 1000, &aggregators, &error) !=
	        RESULT_OK)
		return wrong_usage(&error);
	if (!log_format_is_known(arguments.log_format)) {
		error_set(&error, RESULT_CONFIG, "log format %s is not one of json, text, auto", arguments.log_format);
		return wrong_usage(&error);
	}
	if (!log_level_parse(arguments.log_level, &least)) {
		error_set(
		    &error, RESULT_CONFIG, "--log-level is debug, info, warn or error, not %s", arguments.log_level);
		return wrong_usage(&error);
	}
	if (arguments.help) {
		(void)puts("usage: sluice-coordinator [OPTIONS]\n\nowns the jobs of a pipeline: who takes part, when a "
		           "barrier is "
		           "injected, what is restored\n");
		options_help(stdout, rows, ROWS);
		return EXIT_SUCCESS;
	}
	if (arguments.version) {
		(void)puts("sluice-coordinator " SLUICE_VERSION);
		return EXIT_SUCCESS;
	}
	if (arguments.diagram) {
		print_diagram();
		return EXIT_SUCCESS;
	}
	log_open("coordinator", arguments.log_format, least);
	if (pipeline_load(&pipeline, arguments.config, &error) != RESULT_OK ||
	    time_zone_rules(pipeline.record.time_zone, zone_rules, &error) != RESULT_OK) {
		(void)error_way(&error, STOP_PIPELINE_FILE);
		log_error("%s", error.text);
		return EXIT_CONFIG;
	}
	const struct coordinator_config config = {
	    .pipeline = &pipeline,
	    .zone_rules = zone_rules,
	    .expected_ingest = (uint32_t)ingest,
	    .expected_aggregators = (uint32_t)aggregators,
	};
	return run(&arguments, &pipeline, &config);
}

int main(int argc, char **argv)
{
	output_open();
	int code = output_end("sluice-coordinator", run_program(argc, argv));
	/* nng's threads may hang at exit: the process ends here, with what was logged. */
	(void)fflush(NULL);
	_exit(code);
}
