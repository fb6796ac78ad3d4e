/* tests/fuzz/fuzz_control_server.c - anybody's messages on the coordinator's control link: never more than a worker lost or an answer
 * that says no; and once all are silent, no request is held any more.
 *
 * libFuzzer's entry. The listener is this file's: messages come from the input, answers are read as a worker would. An
 * input is a list of steps, see step(); checksums are right unless a step is raw bytes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/runtime/control_listener.h"
#include "common/runtime/control_server.h"
#include "common/runtime/control_session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WORKERS = 3, PIPES = 4, HEARTBEAT_US = 1000000, SILENCE_STEPS = 4096 };
static const char *const JOB = "shop/totals";

struct control_request {
	struct buffer message;
};
static struct {
	struct control_news next;
	bool there;
	size_t held; /* requests neither answered nor dropped */
	uint64_t now_us;
	struct control_server *server;
} link;

/* --- the listener --------------------------------------------------------------------------------------------------- */

enum result control_listener_open(struct control_listener **listener, const char *url, struct error *error)
{
	(void)url, (void)error;
	*listener = NULL;
	return RESULT_OK;
}

int control_listener_event_fd(const struct control_listener *listener)
{
	(void)listener;
	return -1;
}

bool control_listener_next(struct control_listener *listener, struct control_news *news)
{
	bool there = link.there;
	(void)listener;
	*news = link.next;
	link.there = false;
	return there;
}

void control_listener_check(struct control_listener *listener, uint64_t now_us)
{
	(void)listener, (void)now_us;
}

void control_request_drop(struct control_request *request)
{
	buffer_fini(&request->message);
	free(request);
	link.held--;
}

void control_request_answer(struct control_request *request, struct buffer *message)
{
	struct arena arena = {0};
	struct control_reader reader;
	struct frame frame;
	struct error error = {0};
	CHECK(message->len <= FRAME_MAX);
	CHECK(control_reader_open(&reader, buffer_bytes(message), &arena, &error) == RESULT_OK);
	while (control_reader_more(&reader))
		CHECK(control_reader_next(&reader, &arena, &frame, NULL, &error) == RESULT_OK);
	arena_fini(&arena);
	buffer_fini(message);
	control_request_drop(request);
}

/* --- what the coordinator does -------------------------------------------------------------------------------------- */

static void serve(void)
{
	struct control_event event;
	while (control_server_next(link.server, link.now_us, &event)) {
		if (event.kind == CONTROL_STATUS) {
			control_server_answer(link.server, event.token, &(struct frame_status_report){.job = JOB});
		} else {
			CHECK(event.worker != NULL && strlen(event.worker) < FRAME_MAX);
			CHECK(event.kind != CONTROL_LOST || event.why != NULL);
		}
	}
	control_server_flush(link.server, link.now_us);
}

static void wait_us(uint64_t us)
{
	link.now_us += us;
	serve();
}

static void arrive(uint32_t pipe, struct buffer *message)
{
	struct control_request *request = memory_new(sizeof *request);
	request->message = *message;
	*message = (struct buffer){0};
	link.next = (struct control_news){
	    .kind = CONTROL_REQUEST, .pipe = pipe, .request = request, .message = buffer_bytes(&request->message)};
	link.there = true;
	link.held++;
	serve();
}

/* --- what the input says -------------------------------------------------------------------------------------------- */

static uint8_t take(struct bytes *input)
{
	if (input->len == 0)
		return 0;
	input->len--;
	return *input->data++;
}

static struct bytes take_bytes(struct bytes *input)
{
	size_t len = take(input);
	len += (size_t)take(input) << 8;
	struct bytes taken = {input->data, len < input->len ? len : input->len};
	input->data += taken.len;
	input->len -= taken.len;
	return taken;
}

static void put_message(struct bytes *input, uint8_t who, struct buffer *message)
{
	char worker[8];
	struct frame_heartbeat heartbeat = {.worker = worker, .incarnation = who / WORKERS % 4};
	uint32_t job = frame_job(JOB);
	uint8_t numbers = take(input);
	(void)snprintf(worker, sizeof worker, "w%d", who % WORKERS);
	heartbeat.acknowledged = numbers % 4;
	heartbeat.coordinator = numbers / 4 % 4;
	frame_encode(message, &(struct frame_header){.kind = FRAME_HEARTBEAT, .job = job}, &heartbeat);
	for (int frames = numbers / 16 % 4; frames > 0; frames--) {
		struct frame_header header = {.kind = frame_rows[take(input) % frame_rows_len].kind, .job = job};
		header.sequence = take(input);
		frame_encode_raw(message, &header, take_bytes(input));
	}
}

static void step(struct bytes *input)
{
	uint8_t what = take(input), which = take(input);
	struct buffer message = {0};
	char worker[8];
	switch (what % 8) {
	case 0:
		wait_us(which * UINT64_C(10000));
		return;
	case 1:
		link.next = (struct control_news){.kind = CONTROL_PIPE_GONE, .pipe = which % PIPES};
		link.there = true;
		serve();
		return;
	case 2:
		(void)snprintf(worker, sizeof worker, "w%d", which % WORKERS);
		control_server_command(link.server, worker, which, FRAME_CANCEL, &(struct frame_cancel){.text = "x"});
		serve();
		return;
	case 3: {
		struct bytes raw = take_bytes(input);
		buffer_append(&message, raw.data, raw.len);
		break;
	}
	default:
		put_message(input, which, &message);
	}
	arrive(what / 8 % PIPES, &message);
}

/* The server lives on from input to input: so silence has to leave nothing behind. */
static void fall_silent(void)
{
	for (int i = 0; link.held != 0 && i < SILENCE_STEPS; i++)
		wait_us(HEARTBEAT_US);
	CHECK(link.held == 0);
	for (int i = 0; i < 4; i++)
		wait_us(HEARTBEAT_US);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes input = {data, size};
	struct error error;
	if (link.server == NULL) {
		log_open("fuzz", NULL, LOG_ERROR);
		CHECK(control_server_open(&link.server, "", &JOB, 1, 1, HEARTBEAT_US, &error) == RESULT_OK);
	}
	while (input.len != 0)
		step(&input);
	fall_silent();
	return 0;
}
