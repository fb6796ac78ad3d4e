#include "common/runtime/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/timestamp.h"
#include "common/runtime/channel.h"
#include "common/runtime/control_client.h"
#include "common/runtime/control_server.h"
#include "common/runtime/trace.h"

enum {
	LINGER_US = 300000, /* so that the coordinator hears why */
	ENDING_MOST_S = 3, /* then the watchdog ends the process: nng may hang */
	EXIT_WATCHDOG = 70,
	DESCRIPTORS_MAX = 65536,
	FDS_MAX = 256,
	/* From CONNECT on: every sender dials at once when it hears the same word. */
	HELLO_US = 10000000,
	/* Without a coordinator for so long, it is said (once): an ordinary restart of it takes less. */
	ALONE_US = 2000000,
	/* Connected, and no answer for so long: it hangs, or the network between does. */
	UNHEARD_US = CONTROL_POLL_US + ALONE_US,
	/* Told to end: so long for a last checkpoint. Docker Compose kills after 10 s. */
	LEAVE_US = 9000000,
};

struct runner {
	struct host host; /* first: the worker calls back through it */
	const struct runner_config *config;
	struct worker worker;
	char name[WORKER_NAME_MAX];
	uint64_t identity;
	struct channel_set *channels;
	struct control_client *control;
	int epoll_fd, signal_fd;
	int actor_fds[FDS_MAX]; /* watched already */
	size_t actor_fds_len;
	uint64_t hello_by_us; /* 0: not waiting for any */
	uint64_t alone_since_us; /* 0: there is a coordinator */
	bool alone_said;
	uint64_t leave_by_us; /* told to end; 0: not */
	bool failed; /* the last words are worth waiting for */
	bool over;
	int code;
};

static struct runner *runner_of(struct host *host)
{
	return (struct runner *)host;
}

/* --- the end: by _exit or exec, never by closing nng's sockets ------------------------------------------------------- */

/* An end that was asked for stays one: what had to last was durable before the process began to end. */
static volatile sig_atomic_t alarm_code = EXIT_WATCHDOG;

static void on_alarm(int signal_number)
{
	(void)signal_number;
	_exit(alarm_code);
}

static void begin_ending(struct runner *runner)
{
	struct sigaction action = {.sa_handler = on_alarm};
	sigset_t alarm_only;
	(void)sigemptyset(&alarm_only);
	(void)sigaddset(&alarm_only, SIGALRM);
	(void)sigaction(SIGALRM, &action, NULL);
	(void)pthread_sigmask(SIG_UNBLOCK, &alarm_only, NULL);
	(void)alarm(ENDING_MOST_S);
	if (runner->failed)
		control_client_linger(runner->control, LINGER_US);
}

/* Descriptors of libraries are not all close-on-exec by themselves. */
static void close_at_exec(void)
{
	if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
		return;
	/* A kernel before 5.11: one by one. */
	long most = sysconf(_SC_OPEN_MAX);
	for (int fd = 3; fd < most && fd < DESCRIPTORS_MAX; fd++)
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* A signal that is already here would end the new program by its default action, before it could say exit 0. */
static bool told_to_end(const struct runner *runner)
{
	struct signalfd_siginfo ignored;
	return read(runner->signal_fd, &ignored, sizeof ignored) == sizeof ignored;
}

static void host_restart(struct host *host, const char *why)
{
	struct runner *runner = runner_of(host);
	sigset_t none;
	log_info("starting afresh: %s", why);
	begin_ending(runner);
	(void)fflush(NULL);
	if (runner->leave_by_us != 0 || told_to_end(runner))
		_exit(EXIT_SUCCESS);
	close_at_exec();
	(void)alarm(0);
	(void)sigemptyset(&none);
	(void)pthread_sigmask(SIG_SETMASK, &none, NULL);
	(void)execv("/proc/self/exe", runner->config->argv);
	panic("exec: %s", strerror(errno));
}

static void host_stop(struct host *host, int code, const char *why)
{
	struct runner *runner = runner_of(host);
	if (code == EXIT_CONFIG)
		log_error("the job stops: %s", why);
	else
		log_info("told to end: %s", why);
	runner->over = true;
	runner->code = code;
}

/* --- the worker's other wishes ------------------------------------------------------------------------------------- */

static enum result host_listen(struct host *host, uint32_t channel, char url[CHANNEL_URL_MAX], struct error *error)
{
	struct runner *runner = runner_of(host);
	const char *advertise = runner->config->advertise ? runner->config->advertise : "127.0.0.1";
	return channel_listen(runner->channels, channel, advertise, url, CHANNEL_URL_MAX, error);
}

static enum result host_dial(struct host *host, uint32_t channel, const char *url, struct error *error)
{
	return channel_dial(runner_of(host)->channels, channel, url, clock_monotonic_us(), error);
}

static void trace(const struct runner *runner, uint32_t channel, const struct buffer *message)
{
	char from[ACTOR_NAME_MAX], to[ACTOR_NAME_MAX];
	if (!trace_wanted())
		return;
	struct edge edge = topology_edge(&runner->worker.topology, channel);
	trace_frame(actor_name(edge.from, from), actor_name(edge.to, to), buffer_bytes(message));
}

static void host_send(struct host *host, uint32_t channel, struct buffer *message)
{
	trace(runner_of(host), channel, message);
	channel_send(runner_of(host)->channels, channel, message);
}

static void host_taken(struct host *host, uint32_t channel)
{
	channel_taken(runner_of(host)->channels, channel);
}

static void host_report(struct host *host, enum frame_kind kind, uint64_t attempt, struct buffer *message)
{
	struct runner *runner = runner_of(host);
	runner->failed |= kind == FRAME_FAILED;
	control_client_report(runner->control, kind, attempt, message);
}

static void watch(const struct runner *runner, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
	CHECK(epoll_ctl(runner->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0);
}

static struct actor *host_create(struct host *host, uint32_t id, uint64_t attempt, struct error *error)
{
	struct runner *runner = runner_of(host);
	struct actor *actor = runner->config->create(runner->config->context, id, attempt, error);
	if (actor == NULL || actor->event_fd < 0)
		return actor;
	for (size_t i = 0; i < runner->actor_fds_len; i++)
		if (runner->actor_fds[i] == actor->event_fd)
			return actor;
	CHECK(runner->actor_fds_len < FDS_MAX);
	runner->actor_fds[runner->actor_fds_len++] = actor->event_fd;
	watch(runner, actor->event_fd);
	return actor;
}

static const struct host_ops runner_host = {
    .listen = host_listen,
    .dial = host_dial,
    .send = host_send,
    .taken = host_taken,
    .report = host_report,
    .restart = host_restart,
    .stop = host_stop,
    .create = host_create,
};

/* --- the loop ------------------------------------------------------------------------------------------------------ */

static void handle_commands(struct runner *runner)
{
	struct frame command;
	while (!runner->over && control_client_next(runner->control, &command))
		worker_command(&runner->worker, &command);
}

static void handle_channels(struct runner *runner)
{
	struct channel_event event;
	while (!runner->over && channel_next(runner->channels, clock_monotonic_us(), &event)) {
		switch (event.kind) {
		case CHANNEL_MESSAGE:
			trace(runner, event.channel, &event.message);
			worker_message(&runner->worker, event.channel, &event.message);
			break;
		case CHANNEL_LOST:
			worker_channel_lost(&runner->worker, event.channel, event.why);
			break;
		}
	}
}

/* Read empty first and looked at afterwards: no news can get lost between. */
static void wake_actors(struct runner *runner, int fd)
{
	uint64_t ignored;
	(void)!read(fd, &ignored, sizeof ignored);
	for (uint32_t i = 0; i < runner->worker.actors_len; i++)
		if (runner->worker.actors[i]->event_fd == fd)
			runner->worker.actors[i]->wake_us = WAKE_NOW;
}

/* Who has not been greeted in time on a channel waits in vain. */
static void check_hellos(struct runner *runner, uint64_t now_us)
{
	const struct worker *worker = &runner->worker;
	if (worker->state != WORKER_CONNECTED || worker->ready_said) {
		runner->hello_by_us = 0;
		return;
	}
	if (runner->hello_by_us == 0)
		runner->hello_by_us = now_us + HELLO_US;
	for (uint32_t i = 0; i < worker->channels_len && now_us >= runner->hello_by_us; i++) {
		const struct worker_channel *channel = &worker->channels[i];
		if (channel->here_to && !channel->here_from && !channel->greeted) {
			worker_channel_lost(&runner->worker, channel->id, "no HELLO within 10 s");
			return;
		}
	}
}

static void check_coordinator(struct runner *runner, uint64_t now_us)
{
	bool connected = control_client_connected(runner->control);
	bool unheard = connected && now_us >= control_client_heard_us(runner->control) + UNHEARD_US;
	if (unheard && !runner->alone_said) {
		log_warn("waiting for the coordinator at %s, which has not answered for %.1f s",
		    runner->config->coordinator_url, (double)(now_us - control_client_heard_us(runner->control)) / 1e6);
		runner->alone_said = true;
	} else if (connected && !unheard) {
		if (runner->alone_said)
			log_info("the coordinator is there");
		runner->alone_since_us = 0;
		runner->alone_said = false;
	} else if (!connected && runner->alone_since_us == 0) {
		runner->alone_since_us = now_us;
	} else if (!connected && !runner->alone_said && now_us - runner->alone_since_us >= ALONE_US) {
		log_warn("waiting for the coordinator at %s", runner->config->coordinator_url);
		runner->alone_said = true;
	}
}

static uint64_t earlier(uint64_t a_us, uint64_t b_us)
{
	return a_us == 0 || (b_us != 0 && b_us < a_us) ? b_us : a_us;
}

static int timeout_ms(const struct runner *runner)
{
	uint64_t now = clock_monotonic_us();
	uint64_t wake = earlier(worker_wake_us(&runner->worker), channel_wake_us(runner->channels));
	wake = earlier(wake, runner->hello_by_us);
	wake = earlier(wake, runner->leave_by_us);
	if (runner->alone_since_us != 0 && !runner->alone_said)
		wake = earlier(wake, runner->alone_since_us + ALONE_US);
	if (control_client_connected(runner->control) && !runner->alone_said)
		wake = earlier(wake, control_client_heard_us(runner->control) + UNHEARD_US);
	if (wake == 0)
		return -1;
	return wake <= now ? 0 : (int)((wake - now + 999) / 1000);
}

static bool is_actor_fd(const struct runner *runner, int fd)
{
	for (size_t i = 0; i < runner->actor_fds_len; i++)
		if (runner->actor_fds[i] == fd)
			return true;
	return false;
}

static void say_leaving(struct runner *runner)
{
	struct buffer message = {0};
	buffer_reserve(&message, FRAME_HEADER_SIZE);
	message.len = FRAME_HEADER_SIZE;
	frame_encode_body(&message, FRAME_LEAVING, &(struct frame_leaving){.text = "told to end by a signal"});
	control_client_report(runner->control, FRAME_LEAVING, 0, &message);
}

/* The coordinator takes a checkpoint first, and then lets us go; told twice, or without a coordinator: at once. */
static void on_signal(struct runner *runner, uint64_t now_us)
{
	struct signalfd_siginfo ignored;
	(void)!read(runner->signal_fd, &ignored, sizeof ignored);
	log_info("told to end by a signal");
	runner->over = runner->leave_by_us != 0 || !control_client_connected(runner->control);
	if (runner->over)
		return;
	runner->leave_by_us = now_us + LEAVE_US;
	say_leaving(runner);
}

static void check_leaving(struct runner *runner, uint64_t now_us)
{
	if (runner->leave_by_us == 0 || runner->over)
		return;
	if (!control_client_connected(runner->control)) {
		runner->over = true;
	} else if (now_us >= runner->leave_by_us) {
		log_warn("the coordinator takes no last checkpoint in time: what came after the one before will be "
		         "read again");
		runner->over = true;
	}
}

static void loop(struct runner *runner)
{
	bool more = false;
	while (!runner->over) {
		struct epoll_event events[8];
		int ready = epoll_wait(runner->epoll_fd, events, 8, more ? 0 : timeout_ms(runner));
		for (int i = 0; i < ready; i++) {
			if (events[i].data.fd == runner->signal_fd)
				on_signal(runner, clock_monotonic_us());
			else if (is_actor_fd(runner, events[i].data.fd))
				wake_actors(runner, events[i].data.fd);
		}
		/* Commands come before data: a barrier should not wait behind rows that can be read later. */
		handle_commands(runner);
		handle_channels(runner);
		check_hellos(runner, clock_monotonic_us());
		check_coordinator(runner, clock_monotonic_us());
		check_leaving(runner, clock_monotonic_us());
		more = !runner->over && worker_run(&runner->worker, clock_monotonic_us());
	}
}

static void open_signals(struct runner *runner)
{
	sigset_t signals;
	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGINT);
	(void)signal(SIGPIPE, SIG_IGN);
	CHECK(pthread_sigmask(SIG_BLOCK, &signals, NULL) == 0);
	runner->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	runner->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	CHECK(runner->signal_fd >= 0 && runner->epoll_fd >= 0);
	watch(runner, runner->signal_fd);
}

/* Drawn once per start, for host name and pid are the same in two containers. It outlives exec, in the environment: as
 * "pid:number", so that nobody inherits it. */
static void draw_identity(struct runner *runner)
{
	static const char variable[] = "SLUICE_IDENTITY";
	const char *known = getenv(variable);
	char text[48];
	uint64_t pid = 0;
	if (known != NULL &&
	    /* our own words: NOLINTNEXTLINE(cert-err34-c) */
	    sscanf(known, "%" SCNu64 ":%" SCNx64, &pid, &runner->identity) == 2 && pid == (uint64_t)getpid())
		return;
	CHECK(getrandom(&runner->identity, sizeof runner->identity, 0) == sizeof runner->identity);
	(void)snprintf(text, sizeof text, "%d:%" PRIx64, (int)getpid(), runner->identity);
	CHECK(setenv(variable, text, 1) == 0);
}

static void name_worker(struct runner *runner)
{
	char host[65] = "localhost";
	if (runner->config->name != NULL) {
		(void)snprintf(runner->name, sizeof runner->name, "%s", runner->config->name);
		return;
	}
	(void)gethostname(host, sizeof host - 1);
	(void)snprintf(runner->name, sizeof runner->name, "%s-%s-%08" PRIx32,
	    process_role_name(runner->config->process), host, (uint32_t)runner->identity);
}

static enum result open_links(struct runner *runner, struct error *error)
{
	const struct runner_config *config = runner->config;
	char topology[TOPOLOGY_TEXT_MAX];
	struct frame_registration registration = worker_registration(config->process, (uint64_t)getpid(),
	    runner->identity, config->job, config->pipeline, &config->topology, config->zone_rules, topology);
	worker_init(&runner->worker, &runner->host, runner->name, config->job, &config->topology);
	enum result result = channel_set_open(&runner->channels, topology_channels(&config->topology), error);
	if (result != RESULT_OK)
		return result;
	result = control_client_open(
	    &runner->control, config->coordinator_url, runner->name, config->job, &registration, error);
	if (result != RESULT_OK)
		return result;
	runner->alone_since_us = clock_monotonic_us();
	watch(runner, channel_set_event_fd(runner->channels));
	watch(runner, control_client_event_fd(runner->control));
	return RESULT_OK;
}

int runner_run(const struct runner_config *config)
{
	struct runner runner = {.host = {&runner_host}, .config = config};
	struct error error = {0};
	open_signals(&runner);
	draw_identity(&runner);
	name_worker(&runner);
	log_set_job(config->job, 0);
	if (open_links(&runner, &error) != RESULT_OK) {
		log_error("%s", error.text);
		runner.code = error.code == RESULT_CONFIG ? EXIT_CONFIG : EXIT_FAILURE;
	} else {
		log_info("%s offers itself to the coordinator at %s", runner.name, config->coordinator_url);
		loop(&runner);
		if (runner.over)
			alarm_code = runner.code;
		begin_ending(&runner);
	}
	(void)fflush(NULL);
	_exit(runner.code);
}
