/* common/postgres/postgres_connect.c - how a session is opened and set up; see postgres_connection.h.
 *
 * A failed connection carries no SQLSTATE in libpq 15, and the server's words are in the server's language. But a link
 * remembers how verbose its messages are to be: a second try with verbose messages shows the code in the text.
 */
#include "common/postgres/postgres_connection.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/timestamp.h"
#include "common/postgres/postgres_session.h"

enum { PARAMETERS_MAX = 16 };

struct parameters {
	const char *keys[PARAMETERS_MAX + 1], *values[PARAMETERS_MAX + 1];
	size_t len;
};

static void parameter_add(struct parameters *parameters, const char *key, const char *value)
{
	CHECK(parameters->len < PARAMETERS_MAX);
	parameters->keys[parameters->len] = key;
	parameters->values[parameters->len++] = value;
}

/* A default: the url comes later and wins, and so does an environment variable. */
static void parameter_default(struct parameters *parameters, const char *key, const char *value, const char *variable)
{
	if (!variable || !getenv(variable))
		parameter_add(parameters, key, value);
}

static void parameters_collect(
    struct parameters *parameters, const struct pipeline *pipeline, const char *application_name)
{
	const char *url = pipeline->sinks.postgres_url;

	parameter_default(parameters, "connect_timeout", "3", "PGCONNECT_TIMEOUT");
	parameter_default(parameters, "target_session_attrs", "read-write", "PGTARGETSESSIONATTRS");
	parameter_default(parameters, "tcp_user_timeout", "10000", NULL);
	parameter_default(parameters, "keepalives_idle", "5", NULL);
	parameter_default(parameters, "keepalives_interval", "2", NULL);
	parameter_default(parameters, "keepalives_count", "3", NULL);
	if (url && *url)
		parameter_add(parameters, "dbname", url);
	else if (!getenv("PGDATABASE") && !getenv("PGSERVICE"))
		parameter_add(parameters, "dbname", "ecommerce");
	parameter_add(parameters, "application_name", application_name);
	parameter_add(parameters, "client_encoding", "UTF8");
}

/* An address that cannot be read will not get better. Says nothing of the address itself: it may hold a password. */
static enum sink_outcome url_check(const struct pipeline *pipeline, struct error *error)
{
	const char *url = pipeline->sinks.postgres_url;
	char *words = NULL;

	if (!url || !*url || (!strchr(url, '=') && !strstr(url, "://")))
		return SINK_DONE;
	PQconninfoOption *options = PQconninfoParse(url, &words);
	if (options) {
		PQconninfoFree(options);
		return SINK_DONE;
	}
	PQfreemem(words);
	error_set(error, RESULT_CONFIG,
	    "sinks.postgres.url is not an address that libpq can read "
	    "(postgresql://user:password@host:port/database, or keyword=value pairs)");
	return SINK_CONFIG;
}

/* The last "FATAL:  28P01: " in a verbose message. */
static void state_find(const char *message, char state[POSTGRES_STATE + 1])
{
	state[0] = '\0';
	for (const char *at = message; (at = strstr(at, ":  ")); at++) {
		const char *code = at + 3;
		size_t len = 0;
		while (isupper((unsigned char)code[len]) || isdigit((unsigned char)code[len]))
			len++;
		if (len == POSTGRES_STATE && code[len] == ':') {
			memcpy(state, code, POSTGRES_STATE);
			state[POSTGRES_STATE] = '\0';
		}
	}
}

/* Waiting does not help against these. libpq itself says the second kind, always in English here, and begins with
 * "invalid" where it has not even tried to connect. */
static bool refused_for_good(const char *state, const char *message)
{
	return strncmp(state, "28", 2) == 0 || strncmp(state, "42", 2) == 0 ||
	       strstr(message, "no password supplied") || strncmp(message, "invalid ", 8) == 0;
}

static bool missing_for_long(struct postgres *postgres, const char *state)
{
	uint64_t now = clock_monotonic_us();

	if (strcmp(state, "3D000") != 0) {
		postgres->missing_since_us = 0;
		return false;
	}
	if (!postgres->missing_since_us)
		postgres->missing_since_us = now;
	return now - postgres->missing_since_us >= POSTGRES_MISSING_MS * 1000ULL;
}

static enum sink_outcome connect_failed(struct postgres *postgres, uint64_t began_us, struct error *error)
{
	char state[POSTGRES_STATE + 1];
	enum sink_outcome outcome;
	struct error first;

	postgres_fault(postgres, NULL, &first);
	/* A server that did not answer at all need not be asked again. */
	if (postgres->link && clock_monotonic_us() - began_us < 1000000) {
		PQsetErrorVerbosity(postgres->link, PQERRORS_VERBOSE);
		PQreset(postgres->link);
		if (postgres_alive(postgres)) {
			PQsetErrorVerbosity(postgres->link, PQERRORS_DEFAULT);
			return SINK_DONE;
		}
	}
	const char *message = postgres->link ? PQerrorMessage(postgres->link) : "";
	state_find(message, state);
	bool give_up = missing_for_long(postgres, state);
	outcome = give_up || refused_for_good(state, message) ? SINK_CONFIG : SINK_UNKNOWN;
	error_set(error, outcome == SINK_CONFIG ? RESULT_CONFIG : RESULT_RETRY, "%s", first.text);
	postgres_disconnect(postgres);
	return outcome;
}

static void ignore_notice(void *context, const PGresult *result)
{
	(void)context;
	(void)result;
}

enum sink_outcome postgres_connect(
    struct postgres *postgres, const struct pipeline *pipeline, const char *application_name, struct error *error)
{
	struct parameters parameters = {0};
	uint64_t began_us = clock_monotonic_us();
	enum sink_outcome outcome = url_check(pipeline, error);

	postgres_disconnect(postgres);
	if (outcome != SINK_DONE)
		return outcome;
	parameters_collect(&parameters, pipeline, application_name);
	postgres->link = PQconnectdbParams(parameters.keys, parameters.values, 1);
	if (!postgres_alive(postgres)) {
		outcome = connect_failed(postgres, began_us, error);
		if (outcome != SINK_DONE)
			return outcome;
	}
	postgres->missing_since_us = 0;
	postgres->pid = PQbackendPID(postgres->link);
	postgres->started[0] = '\0';
	PQsetNoticeReceiver(postgres->link, ignore_notice, NULL);
	if (PQsetnonblocking(postgres->link, 1) != 0)
		panic("PQsetnonblocking: %s", PQerrorMessage(postgres->link));
	outcome = postgres_session_set_up(postgres, pipeline, error);
	if (outcome != SINK_DONE)
		postgres_disconnect(postgres);
	return outcome;
}
