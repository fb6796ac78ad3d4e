/* services/sink/postgres_wait.c - see postgres_wait.h. */
#include "services/sink/postgres_wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/timestamp.h"

enum { OTHER_SILENCE_MS = 2000, CLOCK_MAX = 16 };

static const char facts_sql[] =
    "SELECT coalesce(a.wait_event_type, ''), coalesce(a.wait_event, ''), coalesce((SELECT l.relation::regclass::text "
    "FROM "
    "pg_locks l WHERE l.pid = a.pid AND NOT l.granted AND l.relation IS NOT NULL LIMIT 1), ''), "
    "current_setting('synchronous_standby_names'), cardinality(pg_blocking_pids(a.pid)), coalesce(x.pid::text, ''), "
    "coalesce(nullif(b.application_name, ''), 'a program without a name'), coalesce(b.usename, ''), coalesce(b.state, "
    "''), "
    "coalesce(to_char(coalesce(b.xact_start, b.backend_start) AT TIME ZONE 'UTC', 'HH24:MI:SS\"Z\"'), '') "
    "FROM pg_stat_activity a LEFT JOIN LATERAL unnest(pg_blocking_pids(a.pid)) x(pid) ON true LEFT JOIN "
    "pg_stat_activity b "
    "ON b.pid = x.pid WHERE a.pid = $1 ORDER BY x.pid LIMIT 1";

static const char *clock_text(int64_t real_us, char text[CLOCK_MAX])
{
	time_t seconds = (time_t)(real_us / 1000000);
	struct tm parts;

	gmtime_r(&seconds, &parts);
	(void)strftime(text, CLOCK_MAX, "%H:%M:%SZ", &parts);
	return text;
}

static void blocker_print(const struct wait_facts *facts, char *text, size_t size)
{
	long others = strtol(facts->blockers, NULL, 10) - 1; /* a count of PostgreSQL's */
	char more[48] = "";

	if (others > 0)
		(void)snprintf(more, sizeof more, ", and %ld more", others);
	if (strcmp(facts->blocker_pid, "0") == 0)
		(void)snprintf(text, size, "a prepared transaction (pg_prepared_xacts)%s", more);
	else
		(void)snprintf(text, size, "pid %s (%s, user %s%s%s%s%s)%s", facts->blocker_pid, facts->blocker_name,
		    facts->blocker_user, facts->blocker_state[0] ? ", " : "", facts->blocker_state,
		    facts->blocker_since[0] ? ", since " : "", facts->blocker_since, more);
}

bool wait_words(const struct wait_facts *facts, const char *since, char text[WAIT_TEXT_MAX])
{
	char blocker[WAIT_TEXT_MAX / 2];

	if (facts->blocker_pid[0] != '\0') {
		blocker_print(facts, blocker, sizeof blocker);
		(void)snprintf(text, WAIT_TEXT_MAX, "PostgreSQL: since %s for a lock on %.80s, held by %s", since,
		    facts->relation[0] ? facts->relation : "a row", blocker);
		return true;
	}
	if (strcmp(facts->event, "SyncRep") == 0) {
		(void)snprintf(text, WAIT_TEXT_MAX,
		    "PostgreSQL: since %s for a synchronous standby to confirm a commit (SyncRep; "
		    "synchronous_standby_names = '%.80s')",
		    since, facts->standbys);
		return true;
	}
	if (strcmp(facts->event_type, "Client") == 0)
		(void)snprintf(text, WAIT_TEXT_MAX,
		    "PostgreSQL: since %s for its answer; it was seen waiting for this process, or for the "
		    "network (%s/%s)",
		    since, facts->event_type, facts->event);
	else if (facts->event[0] != '\0')
		(void)snprintf(text, WAIT_TEXT_MAX,
		    "PostgreSQL: since %s for its answer; it is at work, and was seen waiting for %s/%s", since,
		    facts->event_type, facts->event);
	else
		(void)snprintf(text, WAIT_TEXT_MAX, "PostgreSQL: since %s for its answer; it is at work", since);
	return false;
}

void postgres_wait_begin(struct postgres_wait *wait)
{
	wait->since_us = clock_realtime_us();
	wait->text[0] = '\0';
	wait->cause = false;
}

/* What it is busy with changes all the time: that is said once. */
static void words_take(struct postgres_wait *wait, const PGresult *result)
{
	char text[WAIT_TEXT_MAX], since[CLOCK_MAX];
	const char *value[10];

	for (int i = 0; i < 10; i++)
		value[i] = PQgetvalue(result, 0, i);
	const struct wait_facts facts = {
	    .event_type = value[0],
	    .event = value[1],
	    .relation = value[2],
	    .standbys = value[3],
	    .blockers = value[4],
	    .blocker_pid = value[5],
	    .blocker_name = value[6],
	    .blocker_user = value[7],
	    .blocker_state = value[8],
	    .blocker_since = value[9],
	};
	bool cause = wait_words(&facts, clock_text(wait->since_us, since), text);
	if (cause || wait->cause || wait->text[0] == '\0')
		(void)snprintf(wait->text, sizeof wait->text, "%s", text);
	wait->cause = cause;
}

static void silence_take(struct postgres_wait *wait, const struct error *error)
{
	bool silent = strstr(error->text, "timeout expired") || strstr(error->text, "no answer");
	char since[CLOCK_MAX];

	clock_text(wait->since_us, since);
	if (silent)
		(void)snprintf(wait->text, sizeof wait->text,
		    "PostgreSQL: no answer since %s, and none on another connection: is it stopped, or the network "
		    "cut?",
		    since);
	else
		(void)snprintf(wait->text, sizeof wait->text,
		    "PostgreSQL: no answer since %s; another connection: %.150s", since, error->text);
	wait->cause = true;
}

bool postgres_wait_look(struct postgres_wait *wait)
{
	char pid[16];
	const char *param = pid;
	PGresult *result = NULL;
	struct error error = {0};
	enum sink_outcome outcome = SINK_DONE;
	bool there = false;

	if (wait->since_us == 0)
		return false;
	(void)snprintf(pid, sizeof pid, "%d", wait->pid);
	wait->other.silence_ms = OTHER_SILENCE_MS;
	if (!postgres_alive(&wait->other))
		outcome = postgres_connect(&wait->other, wait->pipeline, "sluice, looking", &error);
	if (outcome == SINK_DONE)
		outcome = postgres_query(&wait->other, &result, &error, facts_sql, 1, &param);
	if (outcome != SINK_DONE)
		silence_take(wait, &error);
	else if ((there = PQntuples(result) == 1))
		words_take(wait, result);
	PQclear(result);
	return there;
}

void postgres_wait_end(struct postgres_wait *wait)
{
	wait->since_us = 0;
	if (wait->text[0] != '\0')
		postgres_disconnect(&wait->other);
	wait->text[0] = '\0';
}

void postgres_wait_fini(struct postgres_wait *wait)
{
	postgres_fini(&wait->other);
}
