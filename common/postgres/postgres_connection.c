/* common/postgres/postgres_connection.c - see postgres_connection.h. */
#include "common/postgres/postgres_connection.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/timestamp.h"
#include "common/postgres/postgres_states.h"

bool postgres_alive(const struct postgres *postgres)
{
	return postgres->link && PQstatus(postgres->link) == CONNECTION_OK;
}

void postgres_disconnect(struct postgres *postgres)
{
	PQfinish(postgres->link);
	postgres->link = NULL;
}

/* 1: the socket is ready, 0: not within this time, -1: the owner leaves, or poll failed. */
static int ready_within(const struct postgres *postgres, short events, uint64_t us)
{
	struct pollfd wait[2] = {
	    {.fd = PQsocket(postgres->link), .events = events},
	    {.fd = postgres->stop_fd, .events = POLLIN},
	};
	int ready;

	if (wait[0].fd < 0)
		return -1;
	do
		ready = poll(wait, 2, (int)((us + 999) / 1000));
	while (ready < 0 && errno == EINTR);
	return ready < 0 || wait[1].revents ? -1 : ready > 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Waits for the socket; false: silence for too long, the owner leaves, or poll failed. */
static bool wait_ready(struct postgres *postgres, short events)
{
	uint64_t silence_us = (postgres->silence_ms ? (uint64_t)postgres->silence_ms : POSTGRES_SILENCE_MS) * 1000;
	uint64_t now = clock_monotonic_us(), end = now + silence_us;

	while (now < end) {
		if (postgres->on_late && now >= postgres->late_us) {
			bool at_it = postgres->on_late(postgres->late_context);
			now = clock_monotonic_us();
			postgres->late_us = now + postgres->late_every_us;
			end = at_it ? now + silence_us : end;
		}
		uint64_t wait_us =
		    least(end > now ? end - now : 1, postgres->on_late ? postgres->late_us - now : UINT64_MAX);
		int ready = ready_within(postgres, events, wait_us);
		if (ready != 0)
			return ready > 0;
		now = clock_monotonic_us();
	}
	return false;
}

bool postgres_pause(const struct postgres *postgres, int pause_ms)
{
	struct pollfd wait = {.fd = postgres->stop_fd, .events = POLLIN};
	return poll(&wait, 1, pause_ms) == 0;
}

/* Sends everything that libpq holds, reading on the way so that neither side blocks the other. */
static bool flush(struct postgres *postgres)
{
	for (;;) {
		int left = PQflush(postgres->link);
		if (left <= 0)
			return left == 0;
		if (!wait_ready(postgres, POLLIN | POLLOUT) || !PQconsumeInput(postgres->link))
			return false;
	}
}

bool postgres_send(struct postgres *postgres, const char *sql)
{
	return postgres_alive(postgres) && PQsendQuery(postgres->link, sql) && flush(postgres);
}

bool postgres_next(struct postgres *postgres, PGresult **result)
{
	while (PQisBusy(postgres->link))
		if (!wait_ready(postgres, POLLIN) || !PQconsumeInput(postgres->link))
			return false;
	*result = PQgetResult(postgres->link);
	return true;
}

bool postgres_copy_put(struct postgres *postgres, struct bytes chunk)
{
	int put;

	CHECK(chunk.len < INT32_MAX);
	while ((put = PQputCopyData(postgres->link, (const char *)chunk.data, (int)chunk.len)) == 0)
		if (!flush(postgres))
			return false;
	return put > 0 && flush(postgres);
}

bool postgres_copy_end(struct postgres *postgres)
{
	int put;

	while ((put = PQputCopyEnd(postgres->link, NULL)) == 0)
		if (!flush(postgres))
			return false;
	return put > 0 && flush(postgres);
}

bool postgres_copy_get(struct postgres *postgres, char **message, size_t *len)
{
	int got;

	while ((got = PQgetCopyData(postgres->link, message, 1)) == 0)
		if (!wait_ready(postgres, POLLIN) || !PQconsumeInput(postgres->link))
			return false;
	*len = got > 0 ? (size_t)got : 0;
	return got > 0 || got == -1;
}

const char *postgres_state(const PGresult *result)
{
	const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	return state ? state : "";
}

/* libpq ends its messages with a line feed and uses several lines. */
static void one_line(char *text)
{
	size_t len = strlen(text);

	while (len && text[len - 1] == '\n')
		text[--len] = '\0';
	for (char *at = text; *at; at++)
		if (*at == '\n' || *at == '\t')
			*at = ' ';
}

/* The server's words, or libpq's. */
static void words_print(const struct postgres *postgres, const PGresult *result, char *text, size_t size)
{
	const char *state = postgres_state(result);

	if (*state) {
		const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
		const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
		snprintf(text, size, "%s%s%s%s%s (SQLSTATE %s)", PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY),
		    detail && *state != 'S' ? ": " : "", detail && *state != 'S' ? detail : "", hint ? ": " : "",
		    hint ? hint : "", state);
	} else {
		const char *words = postgres->link ? PQerrorMessage(postgres->link) : "";
		snprintf(text, size, "%s", *words ? words : "no answer; the connection is given up");
	}
	one_line(text);
}

void postgres_words(const struct postgres *postgres, const PGresult *result, struct error *error)
{
	char text[ERROR_TEXT_MAX];

	words_print(postgres, result, text, sizeof text);
	error_set(error, RESULT_RETRY, "PostgreSQL: %s", text);
}

/* Row security is refused with the SQLSTATE of a missing right, and no GRANT helps. */
static enum stop stop_of(const PGresult *result)
{
	const char *function = result ? PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION) : NULL;
	bool row_security = function && strcmp(function, "check_enable_rls") == 0;
	return row_security ? STOP_TABLE_INTERFERED : postgres_state_stop(postgres_state(result));
}

enum sink_outcome postgres_fault(const struct postgres *postgres, const PGresult *result, struct error *error)
{
	const char *state = postgres_state(result);
	enum sink_outcome outcome = postgres_state_outcome(state);

	postgres_words(postgres, result, error);
	if (outcome == SINK_CONFIG) {
		struct error words = *error;
		error_stop(error, stop_of(result), "%s", words.text);
	}
	return outcome;
}

enum sink_outcome postgres_lost(struct postgres *postgres, struct error *error)
{
	enum sink_outcome outcome = postgres_fault(postgres, NULL, error);
	postgres_disconnect(postgres);
	return outcome;
}

static bool result_failed(const PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);
	return status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY;
}

/* Collects the results of what was sent. */
static enum sink_outcome results_take(struct postgres *postgres, bool sent, PGresult **result, struct error *error)
{
	PGresult *last = NULL, *next = NULL;
	enum sink_outcome outcome = SINK_DONE;

	if (!sent)
		return postgres_lost(postgres, error);
	for (;;) {
		if (!postgres_next(postgres, &next)) {
			PQclear(last);
			return postgres_lost(postgres, error);
		}
		if (!next)
			break;
		if (outcome == SINK_DONE && result_failed(next)) {
			outcome = postgres_fault(postgres, next, error);
			snprintf(postgres->state, sizeof postgres->state, "%s", postgres_state(next));
		}
		PQclear(last);
		last = next;
	}
	if (outcome == SINK_DONE && !postgres_alive(postgres))
		outcome = SINK_UNKNOWN;
	if (outcome == SINK_DONE && result)
		*result = last;
	else
		PQclear(last);
	return outcome;
}

static void query_begin(struct postgres *postgres, PGresult **result)
{
	if (result)
		*result = NULL;
	postgres->state[0] = '\0';
}

enum sink_outcome postgres_query(struct postgres *postgres, PGresult **result, struct error *error, const char *sql,
    int params_len, const char *const *params)
{
	bool sent;

	query_begin(postgres, result);
	if (!postgres_alive(postgres))
		return postgres_lost(postgres, error);
	if (params_len)
		sent =
		    PQsendQueryParams(postgres->link, sql, params_len, NULL, params, NULL, NULL, 0) && flush(postgres);
	else
		sent = postgres_send(postgres, sql);
	return results_take(postgres, sent, result, error);
}

enum sink_outcome postgres_query_binary(struct postgres *postgres, PGresult **result, struct error *error,
    const char *sql, int params_len, const struct bytes *params)
{
	const char *values[POSTGRES_BINARY_MAX];
	int lengths[POSTGRES_BINARY_MAX], formats[POSTGRES_BINARY_MAX];

	query_begin(postgres, result);
	if (!postgres_alive(postgres))
		return postgres_lost(postgres, error);
	CHECK(params_len <= POSTGRES_BINARY_MAX);
	for (int i = 0; i < params_len; i++) {
		CHECK(params[i].len < INT32_MAX);
		values[i] = (const char *)params[i].data;
		lengths[i] = (int)params[i].len;
		formats[i] = 1;
	}
	bool sent =
	    PQsendQueryParams(postgres->link, sql, params_len, NULL, values, lengths, formats, 0) && flush(postgres);
	return results_take(postgres, sent, result, error);
}

void postgres_rollback(struct postgres *postgres)
{
	struct error ignored;

	if (!postgres_alive(postgres) || PQtransactionStatus(postgres->link) == PQTRANS_IDLE)
		return;
	if (postgres_query(postgres, NULL, &ignored, "ROLLBACK", 0, NULL) != SINK_DONE)
		postgres_disconnect(postgres);
}
