/* common/postgres/postgres_states.h - what a refusal means: one row per class or code of SQLSTATE, one per message of libpq's own.
 *
 * Passing is what ends by itself or by what the people who run the server do anyway (a restart, a full disk, a lock): the same is
 * tried again, for ever, and status says so. Final is what stays until somebody mends what this job was given: its address,
 * rights, tables. Where it is not known, final: a wrong 78 is seen at once, a wait for ever may not be.
 *
 * Source: PostgreSQL 15, appendix A, and src/interfaces/libpq.
 */
#ifndef POSTGRES_STATES_H
#define POSTGRES_STATES_H

#include <stddef.h>

#include "common/base/sink_outcome.h"

enum { POSTGRES_STATE = 5 /* length of a SQLSTATE */ };

struct postgres_state {
	const char *prefix; /* a class (two characters) or a code; the first row that fits counts */
	enum sink_outcome outcome;
	enum stop stop; /* CONFIG only: the way out */
	const char *why;
};
extern const struct postgres_state postgres_states[];
extern const size_t postgres_states_len;

/* Empty: not from the server, but from the connection, which is passing. */
enum sink_outcome postgres_state_outcome(const char *state);
enum stop postgres_state_stop(const char *state);

/* What is to be done when a connection was not made; the more hopeful ones come first. */
enum connect_verdict {
	CONNECT_PASSING,
	CONNECT_MISSING, /* final only when it stays so for a while */
	CONNECT_PASSWORD, /* final unless what the password is read from has another one by now */
	CONNECT_FINAL,
};
struct connect_words {
	const char *words; /* stand somewhere in the message; with ^ before them: at its beginning */
	enum connect_verdict verdict;
	enum stop stop;
	const char *why;
};
extern const struct connect_words connect_words[];
extern const size_t connect_words_len;

/* message: libpq's, verbose (with SQLSTATEs). Of several addresses that were tried the most hopeful one counts. */
enum connect_verdict postgres_connect_verdict(const char *message, enum stop *stop);

#endif
