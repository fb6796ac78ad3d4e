/* common/postgres/postgres_states.c - see postgres_states.h. */
#include "common/postgres/postgres_states.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mutant.h"

/* clang-format off */
#define PASSING SINK_UNKNOWN, STOP_KINDS
#define FINAL SINK_CONFIG, STOP_STATEMENT_REFUSED
const struct postgres_state postgres_states[] = {
	{"SL001", SINK_FENCED, STOP_KINDS, "ours: another writer has raised the fence"},
	{"SL002", SINK_MOVED, STOP_KINDS, "ours: the frontier is not where this writer left it"},
	{"SL003", PASSING, "ours: a table has changed since it was looked at; a look says whether that matters"},
	{"SL004", SINK_CONFIG, STOP_ROWS_NOT_WRITTEN, "ours: an epoch wrote other rows than it sent"},
	{"03", FINAL, "a statement that is not complete: a mistake of ours"},
	{"08", PASSING, "the connection, or what a pooler says of it"},
	{"09", FINAL, "somebody's trigger"},
	{"0A", FINAL, "what this server, or this kind of table, cannot do"},
	{"0", FINAL, "0B, 0F, 0L, 0P, 0Z: nothing that we do"},
	{"20", FINAL, "somebody's function"},
	{"21", FINAL, "the same"},
	{"22", FINAL, "data that ingest should have refused"},
	{"23", FINAL, "a constraint that we do not know; a key that is there already is looked at first"},
	{"24", FINAL, "a cursor: a mistake of ours"},
	{"25006", PASSING, "read only: a standby, the old primary of a failover, or somebody wants it so for now"},
	{"25P03", PASSING, "idle in a transaction for too long: this process was stopped"},
	{"25P04", PASSING, "a transaction took too long"},
	{"25", FINAL, "a transaction where there should be none, or none where there should be one"},
	{"26", PASSING, "a prepared statement is gone: a new session makes it again"},
	{"27", FINAL, "somebody's trigger changes the rows that it was called for"},
	{"28P01", SINK_CONFIG, STOP_PASSWORD_REFUSED, "a password"},
	{"28", SINK_CONFIG, STOP_LOGIN_REFUSED, "a role that may not log in, or not from here"},
	{"2", FINAL, "2B, 2D, 2F: nothing that we do"},
	{"34", FINAL, "a cursor: a mistake of ours"},
	{"38", FINAL, "somebody's function"},
	{"39", FINAL, "the same"},
	{"3B", FINAL, "a savepoint: nothing that we do"},
	{"3D", SINK_CONFIG, STOP_DATABASE_MISSING, "the database; while connecting it is waited for"},
	{"3F", SINK_CONFIG, STOP_TABLE_GONE, "a schema is gone"},
	{"40", PASSING, "a deadlock, a serialization failure, an answer that was lost: the same again"},
	{"42501", SINK_CONFIG, STOP_RIGHT_MISSING, "a right"},
	{"42P01", SINK_CONFIG, STOP_TABLE_GONE, "a table is gone"},
	{"42703", SINK_CONFIG, STOP_COLUMN_DIFFERS, "a column is gone"},
	{"42804", SINK_CONFIG, STOP_COLUMN_DIFFERS, "a column has another type"},
	{"42", FINAL, "something that we name is not there, or is there twice"},
	{"44", FINAL, "a view's CHECK OPTION"},
	{"53", PASSING, "a full disk, no memory, too many connections: of this server, database or role"},
	{"54", FINAL, "larger than PostgreSQL can hold: a row of an index, a message"},
	{"55006", PASSING, "in use just now"},
	{"55P03", PASSING, "a lock was not to be had in time"},
	{"55", FINAL, "a publication without a replica identity, a view that takes no rows, ..."},
	{"57", PASSING, "cancelled, shut down, starting up, timed out: somebody runs this server"},
	{"58", PASSING, "the operating system: input and output"},
	{"72", PASSING, "a snapshot is too old"},
	{"F0", FINAL, "the server's own files"},
	{"HV", FINAL, "a foreign table"},
	{"P0", FINAL, "somebody's trigger has raised it"},
	{"XX001", FINAL, "data are damaged: no retry mends them"},
	{"XX002", FINAL, "an index is damaged"},
	{"XX", PASSING, "what PostgreSQL did not expect either: concurrent DDL does this, and poolers"},
};
const size_t postgres_states_len = sizeof postgres_states / sizeof postgres_states[0];

/* Of libpq itself, always in English here. */
#define SETTINGS CONNECT_FINAL, STOP_CONNECTION_SETTINGS
const struct connect_words connect_words[] = {
	{"^invalid ", SETTINGS, "a setting that libpq cannot read; it has not even tried"},
	{"^could not match ", SETTINGS, "so many ports for so many hosts"},
	{"definition of service ", SETTINGS, "PGSERVICE"},
	{"in service file", SETTINGS, "the same"},
	{"service file \"", SETTINGS, "the same"},
	{"value \"require\" invalid", SETTINGS, "a libpq that was built without TLS or GSSAPI"},
	{"no password supplied", CONNECT_PASSWORD, STOP_PASSWORD_REFUSED, "the server wants one, and there is none"},
	{"server does not support SSL, but SSL was required", SETTINGS, "sslmode"},
	{"root certificate file", SETTINGS, "sslrootcert: not there, or not to be read"},
	{"certificate verify failed", SETTINGS, "the server's certificate is not one of this authority's, or has expired"},
	{"does not match host name", SETTINGS, "the server's certificate is another host's"},
	{"could not get server's host name from server certificate", SETTINGS, "the same"},
	{"certificate file", SETTINGS, "sslcert"},
	{"certificate present, but not private key", SETTINGS, "sslkey"},
	{"certificate does not match private key", SETTINGS, "sslkey"},
	{"private key file", SETTINGS, "sslkey: not there, not to be read, or to be read by all"},
	{"alert unknown ca", SETTINGS, "the server does not take our certificate"},
	{"alert bad certificate", SETTINGS, "the same"},
	{"alert certificate", SETTINGS, "the same: required, expired, revoked, unknown"},
	{"alert handshake failure", SETTINGS, "nothing that both sides can speak"},
	{"alert protocol version", SETTINGS, "ssl_min_protocol_version"},
	{"unsupported protocol", SETTINGS, "the same"},
	{"no protocols available", SETTINGS, "the same"},
	{"channel binding is required", SETTINGS, "channel_binding"},
	{"channel binding required", SETTINGS, "the same"},
	{"GSSAPI encryption required", SETTINGS, "gssencmode"},
	{"server does not support GSSAPI encryption, but it was required", SETTINGS, "gssencmode"},
	{"authentication method", SETTINGS, "one that libpq does not know, or may not use"},
	{"Name or service not known", CONNECT_MISSING, STOP_DATABASE_MISSING,
        "a host name that nobody knows: it may be about to be made"},
	{"No address associated with hostname", CONNECT_MISSING, STOP_DATABASE_MISSING, "the same"},
};
const size_t connect_words_len = sizeof connect_words / sizeof connect_words[0];
/* clang-format on */

static const struct postgres_state *state_row(const char *state)
{
	for (size_t i = 0; i < postgres_states_len; i++)
		if (strncmp(state, postgres_states[i].prefix, strlen(postgres_states[i].prefix)) == 0)
			return &postgres_states[i];
	return NULL;
}

enum sink_outcome postgres_state_outcome(const char *state)
{
	const struct postgres_state *row = state_row(state);

	if (!*state)
		return SINK_UNKNOWN;
	return row ? row->outcome : SINK_CONFIG;
}

enum stop postgres_state_stop(const char *state)
{
	const struct postgres_state *row = state_row(state);
	return *state && row && row->outcome == SINK_CONFIG ? row->stop : STOP_STATEMENT_REFUSED;
}

/* The last "FATAL:  28P01: " of these bytes. */
static void state_find(const char *message, size_t len, char state[POSTGRES_STATE + 1])
{
	state[0] = '\0';
	for (size_t i = 0; i + 3 + POSTGRES_STATE < len; i++) {
		const char *code = message + i + 3;
		size_t digits = 0;
		if (memcmp(message + i, ":  ", 3) != 0)
			continue;
		while (digits < POSTGRES_STATE &&
		       (isupper((unsigned char)code[digits]) || isdigit((unsigned char)code[digits])))
			digits++;
		if (digits == POSTGRES_STATE && code[digits] == ':') {
			memcpy(state, code, POSTGRES_STATE);
			state[POSTGRES_STATE] = '\0';
		}
	}
}

static enum connect_verdict state_verdict(const char *state, enum stop *stop)
{
	/* "database is not currently accepting connections": it was told so, and will be told otherwise. */
	if (strcmp(state, "55000") == 0)
		return CONNECT_PASSING;
	*stop = postgres_state_stop(state);
	if (strncmp(state, "3D", 2) == 0)
		return CONNECT_MISSING;
	if (strncmp(state, "28", 2) == 0)
		return CONNECT_PASSWORD;
	if (strcmp(state, "42501") == 0)
		*stop = STOP_LOGIN_REFUSED;
	return postgres_state_outcome(state) == SINK_CONFIG ? CONNECT_FINAL : CONNECT_PASSING;
}

/* Of one address. */
static enum connect_verdict part_verdict(const char *part, size_t len, enum stop *stop)
{
	char state[POSTGRES_STATE + 1];

	state_find(part, len, state);
	if (*state)
		return state_verdict(state, stop);
	for (size_t i = 0; i < connect_words_len; i++) {
		const char *words = connect_words[i].words;
		bool here = words[0] == '^'
		                ? len >= strlen(words + 1) && memcmp(part, words + 1, strlen(words + 1)) == 0
		                : memmem(part, len, words, strlen(words)) != NULL;
		if (!here)
			continue;
		*stop = connect_words[i].stop;
		return connect_words[i].verdict;
	}
	return CONNECT_PASSING;
}

enum connect_verdict postgres_connect_verdict(const char *message, enum stop *stop)
{
	static const char head[] = "connection to server ";
	enum connect_verdict verdict = CONNECT_FINAL;

	*stop = STOP_CONNECTION_SETTINGS;
	for (const char *part = message, *next; part; part = next) {
		enum stop mine = STOP_CONNECTION_SETTINGS;
		next = strstr(part + 1, head);
		enum connect_verdict found = part_verdict(part, next ? (size_t)(next - part) : strlen(part), &mine);
		if (found < verdict || part == message) {
			verdict = found;
			*stop = mine;
		}
		if (MUTANT(first_address_counts))
			break;
	}
	return verdict;
}
