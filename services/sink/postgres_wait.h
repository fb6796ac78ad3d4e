/* services/sink/postgres_wait.h - for what a request waits that PostgreSQL has not answered within two seconds.
 *
 * Another session asks what the backend does and who blocks it. It is opened when the wait has become long, and closed when it is over,
 * so it costs nothing otherwise. The words are those of a cause, without figures that grow: they change when the cause does.
 *
 * Blocking: a look may take as long as connecting to a server that does not answer: three seconds.
 */
#ifndef POSTGRES_WAIT_H
#define POSTGRES_WAIT_H

#include "common/postgres/postgres_connection.h"

enum { WAIT_TEXT_MAX = 256, WAIT_LOOK_AFTER_MS = 2000, WAIT_LOOK_EVERY_MS = 2000 };

struct postgres_wait {
	const struct pipeline *pipeline;
	int pid; /* of the backend that is waited for */
	int64_t since_us; /* real time; 0: nothing is waited for */
	struct postgres other;
	char text[WAIT_TEXT_MAX];
	bool cause; /* text names one that a person can do something about */
};

/* A request begins. */
void postgres_wait_begin(struct postgres_wait *wait);
/* Looks. true: the server is there, and at it. */
bool postgres_wait_look(struct postgres_wait *wait);
/* The request is over. */
void postgres_wait_end(struct postgres_wait *wait);
void postgres_wait_fini(struct postgres_wait *wait);

/* The words, from what pg_stat_activity says; for tests. Fields that it does not show are "". */
struct wait_facts {
	const char *event_type, *event; /* of the backend that is waited for */
	const char *relation; /* whose lock it wants */
	const char *standbys; /* synchronous_standby_names */
	const char *blockers; /* how many */
	const char *blocker_pid, *blocker_name, *blocker_user, *blocker_state, *blocker_since; /* of the first */
};
/* Returns whether it is a cause that a person can do something about. */
bool wait_words(const struct wait_facts *facts, const char *since, char text[WAIT_TEXT_MAX]);

#endif
