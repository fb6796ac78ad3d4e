/* common/postgres/postgres_connect.c - how a session is opened and set up; see postgres_connection.h.
 *
 * A failed connection carries no SQLSTATE in libpq 15, and the server's words are in the server's language. But a link
 * remembers how verbose its messages are to be: a second try with verbose messages shows the code in the text.
 */
#include "common/postgres/postgres_connection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mutant.h"
#include "common/base/timestamp.h"
#include "common/postgres/postgres_session.h"

enum { PARAMETERS_MAX = 16, LOOK_SILENCE_MS = 3000, POOLER_LOOKS = 4 };

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

static const char *url_of(const struct postgres *postgres, const struct pipeline *pipeline)
{
	return postgres->url ? postgres->url : pipeline->sinks.postgres_url;
}

static void parameters_collect(
    struct parameters *parameters, const char *url, const char *application_name, const char *target)
{
	parameter_default(parameters, "connect_timeout", "3", "PGCONNECT_TIMEOUT");
	parameter_default(parameters, "target_session_attrs", target, "PGTARGETSESSIONATTRS");
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
static enum sink_outcome url_check(const char *url, struct error *error)
{
	char *words = NULL;

	if (!url || !*url)
		return SINK_DONE;
	/* libpq would take anything else for the name of a database, and look for that at this machine. */
	bool whole = strchr(url, '=') || strstr(url, "://");
	PQconninfoOption *options = whole ? PQconninfoParse(url, &words) : NULL;
	if (options) {
		PQconninfoFree(options);
		return SINK_DONE;
	}
	PQfreemem(words);
	error_stop(error, STOP_CONNECTION_SETTINGS,
	    "sinks.postgres.url is not an address that libpq can read "
	    "(postgresql://user:password@host:port/database, or keyword=value pairs; the name alone is for "
	    "PGDATABASE)");
	return SINK_CONFIG;
}

/* ---- when it fails ---- */

/* Another password for the same database. */
static bool same_database(const char *one, const char *other)
{
	static const char *const place[] = {"host", "hostaddr", "port", "dbname", "service"};
	PQconninfoOption *a = PQconninfoParse(one, NULL), *b = PQconninfoParse(other, NULL);
	bool same = a && b;

	for (size_t i = 0; same && a[i].keyword; i++)
		for (size_t j = 0; j < sizeof place / sizeof place[0]; j++)
			if (strcmp(a[i].keyword, place[j]) == 0)
				same = same && strcmp(a[i].val ? a[i].val : "", b[i].val ? b[i].val : "") == 0;
	PQconninfoFree(a);
	PQconninfoFree(b);
	return same;
}

/* The file that a password is read from may have another one by now. true: it has. */
static bool url_renew(struct postgres *postgres, const struct pipeline *pipeline)
{
	const char *old = url_of(postgres, pipeline);
	struct pipeline fresh = {0};
	struct error ignored;
	bool renewed = false;

	if (MUTANT(password_kept) || pipeline_load(&fresh, pipeline->path, &ignored) != RESULT_OK)
		return false;
	if (strcmp(fresh.sinks.postgres_url, old) != 0 && same_database(old, fresh.sinks.postgres_url)) {
		log_info("PostgreSQL refused what sinks.postgres.url was; what it is now is tried");
		char *url = text_clone(fresh.sinks.postgres_url);
		free(postgres->url);
		postgres->url = url;
		renewed = true;
	}
	pipeline_fini(&fresh);
	return renewed;
}

static bool for_long(struct postgres *postgres)
{
	uint64_t now = clock_monotonic_us();

	if (!postgres->missing_since_us)
		postgres->missing_since_us = now;
	return now - postgres->missing_since_us >= POSTGRES_MISSING_MS * 1000ULL;
}

static bool give_up(struct postgres *postgres, enum connect_verdict verdict)
{
	switch (verdict) {
	case CONNECT_PASSING:
		postgres->missing_since_us = 0;
		return false;
	case CONNECT_MISSING:
		return for_long(postgres);
	case CONNECT_PASSWORD:
		/* A password is changed in two places, one after the other. */
		return !postgres->was_connected || for_long(postgres);
	case CONNECT_FINAL:
		return true;
	}
	return true;
}

/* ---- a database that may not be written to ---- */

/* What it is, as one row; none: it may be written to by now. */
static const char read_only_sql[] =
    "SET search_path = pg_catalog, pg_temp; SELECT CASE WHEN pg_is_in_recovery() THEN 'is a standby "
    "(pg_is_in_recovery), which nobody can write to: promote it, or let sinks.postgres.url lead to the primary' ELSE "
    "format('makes new sessions read-only (default_transaction_read_only is on): %s', CASE s.source "
    "WHEN 'database' THEN format('`ALTER DATABASE %I RESET default_transaction_read_only`', current_database()) "
    "WHEN 'user' THEN format('`ALTER ROLE %I RESET default_transaction_read_only`', session_user) "
    "WHEN 'database user' THEN format('`ALTER ROLE %I IN DATABASE %I RESET default_transaction_read_only`', "
    "session_user, current_database()) "
    "WHEN 'global' THEN '`ALTER ROLE ALL RESET default_transaction_read_only`' "
    "WHEN 'configuration file' THEN '`ALTER SYSTEM SET default_transaction_read_only = off`, then `SELECT "
    "pg_reload_conf()`' "
    "WHEN 'client' THEN 'take it out of the options of sinks.postgres.url, or of PGOPTIONS' "
    "ELSE format('it comes from the server''s %s', s.source) END || CASE WHEN s.source = 'client' OR s.source = "
    "'command line' OR s.source = 'environment variable' THEN '' ELSE ' changes that' END) END "
    "FROM pg_settings s WHERE s.name = 'default_transaction_read_only' AND (s.setting = 'on' OR pg_is_in_recovery())";

static void parameters_of_anyone(struct parameters *parameters, const char *url)
{
	parameters_collect(parameters, url, "sluice, looking", "any");
	parameter_add(parameters, "target_session_attrs", "any"); /* whatever the url says */
}

/* libpq says "session is read-only" of a standby and of a setting: the first server that answers is asked which. Where that is
 * not to be had, error stays as it is. */
static void read_only_explain(const struct postgres *postgres, const struct pipeline *pipeline, struct error *error)
{
	struct postgres other = {.stop_fd = postgres->stop_fd, .silence_ms = LOOK_SILENCE_MS};
	struct parameters parameters = {0};
	PGresult *result = NULL;
	struct error ignored;

	parameters_of_anyone(&parameters, url_of(postgres, pipeline));
	other.link = PQconnectdbParams(parameters.keys, parameters.values, 1);
	if (postgres_alive(&other) && PQsetnonblocking(other.link, 1) == 0 &&
	    postgres_query(&other, &result, &ignored, read_only_sql, 0, NULL) == SINK_DONE && PQntuples(result) == 1)
		error_set(error, RESULT_RETRY, "PostgreSQL: the server at %s:%s %s", PQhost(other.link),
		    PQport(other.link), PQgetvalue(result, 0, 0));
	PQclear(result);
	postgres_fini(&other);
}

/* renewed: there is another password to try. */
static enum sink_outcome connect_failed(
    struct postgres *postgres, const struct pipeline *pipeline, bool *renewed, struct error *error)
{
	struct error first;
	enum stop stop;

	*renewed = false;
	postgres_words(postgres, NULL, &first);
	enum connect_verdict verdict =
	    postgres_connect_verdict(postgres->link ? PQerrorMessage(postgres->link) : "no memory", &stop);
	/* The server has answered: it is asked again for the code. */
	if (postgres->link && strstr(PQerrorMessage(postgres->link), ":  ")) {
		PQsetErrorVerbosity(postgres->link, PQERRORS_VERBOSE);
		PQreset(postgres->link);
		if (postgres_alive(postgres)) {
			PQsetErrorVerbosity(postgres->link, PQERRORS_DEFAULT);
			return SINK_DONE;
		}
		verdict = postgres_connect_verdict(PQerrorMessage(postgres->link), &stop);
	}
	bool read_only = postgres->link && strstr(PQerrorMessage(postgres->link), "session is read-only");
	postgres_disconnect(postgres);
	*error = first;
	if (read_only)
		read_only_explain(postgres, pipeline, error);
	if (verdict == CONNECT_PASSWORD && url_renew(postgres, pipeline)) {
		*renewed = true;
		return SINK_UNKNOWN;
	}
	if (!give_up(postgres, verdict)) {
		if (verdict == CONNECT_MISSING) /* it may come, but who has mistyped it is not to wait for the end */
			error_set(error, RESULT_RETRY, "%s. What to do: %s", first.text, stop_way(stop));
		return SINK_UNKNOWN;
	}
	error_stop(error, stop, "%s", first.text);
	return SINK_CONFIG;
}

static void ignore_notice(void *context, const PGresult *result)
{
	(void)context;
	(void)result;
}

static enum sink_outcome link_make(
    struct postgres *postgres, const struct pipeline *pipeline, const char *application_name, struct error *error)
{
	enum sink_outcome outcome = SINK_DONE;
	bool again = true;

	while (again) {
		struct parameters parameters = {0};
		again = false;
		parameters_collect(&parameters, url_of(postgres, pipeline), application_name,
		    postgres->reads_only ? "primary" : "read-write");
		postgres->link = PQconnectdbParams(parameters.keys, parameters.values, 1);
		outcome = postgres_alive(postgres) ? SINK_DONE : connect_failed(postgres, pipeline, &again, error);
	}
	return outcome;
}

/* ---- poolers ---- */

static enum sink_outcome backend_ask(struct postgres *postgres, int *pid, struct error *error)
{
	PGresult *result = NULL;
	enum sink_outcome outcome =
	    postgres_query(postgres, &result, error, "SELECT pg_catalog.pg_backend_pid()", 0, NULL);

	*pid = outcome == SINK_DONE ? (int)strtol(PQgetvalue(result, 0, 0), NULL, 10) : 0;
	PQclear(result);
	return outcome;
}

/* Somebody in between tells of another backend than the one that answers. A pool that gives a backend to a whole session is fine; one
 * that gives it to a transaction shows the same backend to two sessions, or two to one. */
static enum sink_outcome pooler_check(
    struct postgres *postgres, const struct pipeline *pipeline, const char *application_name, struct error *error)
{
	struct postgres other = {
	    .stop_fd = postgres->stop_fd, .silence_ms = LOOK_SILENCE_MS, .reads_only = postgres->reads_only};
	int mine = postgres->pid, theirs = 0;
	bool shared = false;
	enum sink_outcome outcome = SINK_DONE;

	if (PQbackendPID(postgres->link) == postgres->pid || MUTANT(pooler_unasked))
		return SINK_DONE;
	if (link_make(&other, pipeline, application_name, error) == SINK_DONE)
		for (int i = 0; i < POOLER_LOOKS && !shared && outcome == SINK_DONE; i++) {
			if (backend_ask(&other, &theirs, error) != SINK_DONE)
				break; /* a pool of one session is full now */
			outcome = backend_ask(postgres, &mine, error);
			shared = mine != postgres->pid || theirs == mine;
		}
	postgres_fini(&other);
	if (!shared)
		return outcome;
	error_stop(error, STOP_POOLER,
	    "there is a pooler before PostgreSQL that gives each transaction another session (pids %d, "
	    "%d and %d): prepared statements, locks and settings of a session are lost",
	    postgres->pid, theirs, mine);
	return SINK_CONFIG;
}

enum sink_outcome postgres_connect(
    struct postgres *postgres, const struct pipeline *pipeline, const char *application_name, struct error *error)
{
	enum sink_outcome outcome = url_check(url_of(postgres, pipeline), error);

	postgres_disconnect(postgres);
	if (outcome == SINK_DONE)
		outcome = link_make(postgres, pipeline, application_name, error);
	if (outcome != SINK_DONE)
		return outcome;
	postgres->missing_since_us = 0;
	postgres->was_connected = true;
	postgres->started[0] = '\0';
	PQsetNoticeReceiver(postgres->link, ignore_notice, NULL);
	if (PQsetnonblocking(postgres->link, 1) != 0)
		panic("PQsetnonblocking: %s", PQerrorMessage(postgres->link));
	outcome = postgres_session_set_up(postgres, pipeline, error);
	if (outcome == SINK_DONE)
		outcome = pooler_check(postgres, pipeline, application_name, error);
	if (outcome != SINK_DONE)
		postgres_disconnect(postgres);
	return outcome;
}

void postgres_fini(struct postgres *postgres)
{
	postgres_disconnect(postgres);
	free(postgres->url);
	postgres->url = NULL;
}
