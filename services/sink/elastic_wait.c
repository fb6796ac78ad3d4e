/* services/sink/elastic_wait.c - see elastic_wait.h. */
#include "services/sink/elastic_wait.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mutant.h"
#include "common/base/timestamp.h"

enum { FIRST_US = 250000 /* by so much later than the port's request its first one of Elasticsearch may begin */ };
enum { CLOCK_AT = sizeof "2026-11-30T" - 1, CLOCK_LEN = sizeof "18:50:01" - 1 };

void elastic_wait_begin(struct elastic_wait *wait)
{
	wait->since_us = clock_monotonic_us();
	wait->text[0] = '\0';
}

void elastic_wait_end(struct elastic_wait *wait)
{
	wait->since_us = 0;
}

static int sooner(uint64_t since_us, uint64_t now_us, int most_ms)
{
	uint64_t due_us = since_us + ELASTIC_WAIT_US;

	if (since_us == 0 || due_us <= now_us || due_us - now_us >= (uint64_t)most_ms * 1000)
		return most_ms;
	return (int)((due_us - now_us) / 1000) + 1;
}

int elastic_wait_ms(const struct elastic_wait *wait, uint64_t oldest_us, int most_ms)
{
	uint64_t now_us = clock_monotonic_us();

	if (wait->since_us == 0)
		return most_ms;
	return sooner(wait->since_us, now_us, sooner(oldest_us, now_us, most_ms));
}

/* When that was, by the wall clock: "18:50:01Z". */
static void since_print(uint64_t monotonic_us, uint64_t now_us, char out[CLOCK_LEN + 2])
{
	char text[TIMESTAMP_TEXT_MAX];

	(void)timestamp_print(clock_realtime_us() - (int64_t)(now_us - monotonic_us), text);
	(void)snprintf(out, CLOCK_LEN + 2, "%.*sZ", CLOCK_LEN, text + CLOCK_AT);
}

static void slow_print(
    const struct elastic_silence *silence, const char *since, bool silent, char text[ELASTIC_WAIT_MAX])
{
	char answer[48] = "";

	if (silent) {
		(void)snprintf(text, ELASTIC_WAIT_MAX,
		    "Elasticsearch at %.120s: no answer since %s to %.120s: is it stopped or overloaded, or the "
		    "network "
		    "cut?",
		    silence->where, since, silence->what);
		return;
	}
	if (silence->status > 299)
		(void)snprintf(answer, sizeof answer, ", the last answer was %ld", silence->status);
	(void)snprintf(text, ELASTIC_WAIT_MAX, "Elasticsearch at %.120s: slow, at work on it since %s%s",
	    silence->where, since, answer);
}

void elastic_wait_look(struct elastic_wait *wait, const struct elastic_silence *silence)
{
	uint64_t now_us = clock_monotonic_us(), since_us = wait->since_us;
	char since[CLOCK_LEN + 2], text[ELASTIC_WAIT_MAX];
	bool silent = false;

	if (wait->say == NULL || since_us == 0 || now_us - since_us < ELASTIC_WAIT_US || MUTANT(answers_unwaited))
		return;
	/* Nobody took the answer to one of before the port's request. */
	if (silence->what != NULL && now_us - silence->since_us >= ELASTIC_WAIT_US - FIRST_US) {
		silent = true;
		since_us = silence->since_us > since_us ? silence->since_us : since_us;
	}
	if (!silent && silence->what == NULL && silence->status == 0)
		return; /* between two that failed: who sends them says why */
	since_print(since_us, now_us, since);
	slow_print(silence, since, silent, text);
	if (strcmp(text, wait->text) == 0)
		return;
	memcpy(wait->text, text, sizeof text);
	wait->say(wait->context, text);
}
