/* For what PostgreSQL waits, in words: from what pg_stat_activity may say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "services/sink/postgres_wait.h"

static void assert_words(struct wait_facts facts, bool cause, const char *words)
{
	char text[WAIT_TEXT_MAX];
	const char **values[] = {&facts.event_type, &facts.event, &facts.relation, &facts.standbys, &facts.blockers,
	    &facts.blocker_pid, &facts.blocker_name, &facts.blocker_user, &facts.blocker_state, &facts.blocker_since};

	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
		if (*values[i] == NULL)
			*values[i] = "";
	assert_int_equal(wait_words(&facts, "10:00:00Z", text), cause);
	assert_string_equal(text, words);
}

static void test_words(void **state)
{
	(void)state;
	assert_words((struct wait_facts){.event_type = "Lock",
	                 .event = "relation",
	                 .relation = "public.transactions",
	                 .blockers = "1",
	                 .blocker_pid = "4711",
	                 .blocker_name = "psql",
	                 .blocker_user = "bob",
	                 .blocker_state = "idle in transaction",
	                 .blocker_since = "09:59:00Z"},
	    true,
	    "PostgreSQL: since 10:00:00Z for a lock on public.transactions, held by pid 4711 (psql, user bob, idle in "
	    "transaction, "
	    "since 09:59:00Z)");
	/* A row, several who hold it, and what this user may not see of the first. */
	assert_words((struct wait_facts){.event_type = "Lock",
	                 .event = "transactionid",
	                 .blockers = "3",
	                 .blocker_pid = "12",
	                 .blocker_name = "a program without a name",
	                 .blocker_user = "eve"},
	    true,
	    "PostgreSQL: since 10:00:00Z for a lock on a row, held by pid 12 (a program without a name, user eve), and "
	    "2 more");
	assert_words((struct wait_facts){.event_type = "Lock", .event = "tuple", .blockers = "1", .blocker_pid = "0"},
	    true,
	    "PostgreSQL: since 10:00:00Z for a lock on a row, held by a prepared transaction (pg_prepared_xacts)");
	assert_words(
	    (struct wait_facts){.event_type = "IPC", .event = "SyncRep", .standbys = "FIRST 1 (s1)", .blockers = "0"},
	    true,
	    "PostgreSQL: since 10:00:00Z for a synchronous standby to confirm a commit (SyncRep; "
	    "synchronous_standby_names = 'FIRST "
	    "1 (s1)')");
	assert_words((struct wait_facts){.event_type = "IO", .event = "WALSync", .blockers = "0"}, false,
	    "PostgreSQL: since 10:00:00Z for its answer; it is at work, and was seen waiting for IO/WALSync");
	assert_words((struct wait_facts){.event_type = "Client", .event = "ClientRead", .blockers = "0"}, false,
	    "PostgreSQL: since 10:00:00Z for its answer; it was seen waiting for this process, or for the network "
	    "(Client/ClientRead)");
	assert_words(
	    (struct wait_facts){.blockers = "0"}, false, "PostgreSQL: since 10:00:00Z for its answer; it is at work");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_words)};
	return cmocka_run_group_tests_name("postgres_wait", tests, NULL, NULL);
}
