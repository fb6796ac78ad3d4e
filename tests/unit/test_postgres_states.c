/* Every row of the tables of postgres_states.c, by what a person would expect of it. A row that is deleted or changed there is
 * noticed here: the codes stand for their classes, and the rows are counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/postgres/postgres_session.h"
#include "common/postgres/postgres_states.h"

/* prefix of the row that decides, a code, and what it means */
static const struct {
	const char *prefix, *code;
	enum sink_outcome outcome;
	enum stop stop;
} codes[] = {
    {"SL001", "SL001", SINK_FENCED, STOP_STATEMENT_REFUSED},
    {"SL002", "SL002", SINK_MOVED, STOP_STATEMENT_REFUSED},
    {"SL003", "SL003", SINK_UNKNOWN, STOP_STATEMENT_REFUSED},
    {"SL004", "SL004", SINK_CONFIG, STOP_ROWS_NOT_WRITTEN},
    {"03", "03000", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"08", "08006", SINK_UNKNOWN, STOP_STATEMENT_REFUSED},
    {"08", "08P01", SINK_UNKNOWN, STOP_STATEMENT_REFUSED},
    {"09", "09000", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"0A", "0A000", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"0", "0B000", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"0", "0P000", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"20", "20000", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"21", "21000", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"22", "22001", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"22", "22P05", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"23", "23505", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"23", "23514", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"24", "24000", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"25006", "25006", SINK_UNKNOWN, STOP_STATEMENT_REFUSED},
    {"25P03", "25P03", SINK_UNKNOWN, STOP_STATEMENT_REFUSED},
    {"25P04", "25P04", SINK_UNKNOWN, STOP_STATEMENT_REFUSED},
    {"25", "25001", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"25", "25P02", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"26", "26000", SINK_UNKNOWN, STOP_STATEMENT_REFUSED},
    {"27", "27000", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"28P01", "28P01", SINK_CONFIG, STOP_PASSWORD_REFUSED},
    {"28", "28000", SINK_CONFIG, STOP_LOGIN_REFUSED},
    {"2", "2B000", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"34", "34000", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"38", "38000", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"39", "39P01", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"3B", "3B001", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"3D", "3D000", SINK_CONFIG, STOP_DATABASE_MISSING},
    {"3F", "3F000", SINK_CONFIG, STOP_TABLE_GONE},
    {"40", "40001", SINK_UNKNOWN, STOP_STATEMENT_REFUSED},
    {"40", "40P01", SINK_UNKNOWN, STOP_STATEMENT_REFUSED},
    {"40", "40003", SINK_UNKNOWN, STOP_STATEMENT_REFUSED},
    {"42501", "42501", SINK_CONFIG, STOP_RIGHT_MISSING},
    {"42P01", "42P01", SINK_CONFIG, STOP_TABLE_GONE},
    {"42703", "42703", SINK_CONFIG, STOP_COLUMN_DIFFERS},
    {"42804", "42804", SINK_CONFIG, STOP_COLUMN_DIFFERS},
    {"42", "42883", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"42", "42P05", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"44", "44000", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"53", "53100", SINK_UNKNOWN, STOP_STATEMENT_REFUSED},
    {"53", "53200", SINK_UNKNOWN, STOP_STATEMENT_REFUSED},
    {"53", "53300", SINK_UNKNOWN, STOP_STATEMENT_REFUSED},
    {"54", "54000", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"55006", "55006", SINK_UNKNOWN, STOP_STATEMENT_REFUSED},
    {"55P03", "55P03", SINK_UNKNOWN, STOP_STATEMENT_REFUSED},
    {"55", "55000", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"57", "57014", SINK_UNKNOWN, STOP_STATEMENT_REFUSED},
    {"57", "57P01", SINK_UNKNOWN, STOP_STATEMENT_REFUSED},
    {"57", "57P03", SINK_UNKNOWN, STOP_STATEMENT_REFUSED},
    {"57", "57P05", SINK_UNKNOWN, STOP_STATEMENT_REFUSED},
    {"58", "58030", SINK_UNKNOWN, STOP_STATEMENT_REFUSED},
    {"72", "72000", SINK_UNKNOWN, STOP_STATEMENT_REFUSED},
    {"F0", "F0000", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"HV", "HV00N", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"P0", "P0001", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"XX001", "XX001", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"XX002", "XX002", SINK_CONFIG, STOP_STATEMENT_REFUSED},
    {"XX", "XX000", SINK_UNKNOWN, STOP_STATEMENT_REFUSED},
};
enum { CODES = sizeof codes / sizeof codes[0] };

static void test_every_state(void **state)
{
	(void)state;
	for (size_t i = 0; i < CODES; i++) {
		if (postgres_state_outcome(codes[i].code) != codes[i].outcome)
			fail_msg("%s is %d", codes[i].code, (int)postgres_state_outcome(codes[i].code));
		if (postgres_state_stop(codes[i].code) != codes[i].stop)
			fail_msg("%s: %s", codes[i].code, stop_name(postgres_state_stop(codes[i].code)));
	}
	assert_int_equal(postgres_state_outcome(""), SINK_UNKNOWN);
	assert_int_equal(postgres_state_outcome("ZZ000"), SINK_CONFIG);
}

/* Each row is there, once, with a reason, and none is hidden behind a shorter one before it. */
static void test_every_state_row(void **state)
{
	size_t seen = 0;

	(void)state;
	for (size_t i = 0; i < postgres_states_len; i++) {
		const struct postgres_state *row = &postgres_states[i];
		bool expected = false;
		for (size_t j = 0; j < CODES && !expected; j++)
			expected = strcmp(codes[j].prefix, row->prefix) == 0 && codes[j].outcome == row->outcome;
		if (!expected)
			fail_msg("nothing is expected of row %s", row->prefix);
		assert_true(strlen(row->why) > 5);
		for (size_t j = 0; j < i; j++)
			if (strncmp(postgres_states[j].prefix, row->prefix, strlen(postgres_states[j].prefix)) == 0)
				fail_msg("row %s is never reached", row->prefix);
	}
	for (size_t j = 0; j < CODES; j++)
		seen += j == 0 || strcmp(codes[j].prefix, codes[j - 1].prefix) != 0;
	assert_int_equal(seen, postgres_states_len);
}

static const char to[] = "connection to server at \"db\" (10.0.0.7), port 5432 failed: ";

static const struct {
	const char *row; /* of connect_words; NULL: none, or an SQLSTATE */
	const char *message; /* behind `to`, unless the row begins with ^ */
	enum connect_verdict verdict;
	enum stop stop;
} messages[] = {
    {"^invalid ", "invalid sslmode value: \"requir\"\n", CONNECT_FINAL, STOP_CONNECTION_SETTINGS},
    {"^could not match ", "could not match 2 port numbers to 3 hosts\n", CONNECT_FINAL, STOP_CONNECTION_SETTINGS},
    {"definition of service ", "definition of service \"shop\" not found\n", CONNECT_FINAL, STOP_CONNECTION_SETTINGS},
    {"in service file", "syntax error in service file \"x\", line 2\n", CONNECT_FINAL, STOP_CONNECTION_SETTINGS},
    {"service file \"", "service file \"/x\" not found\n", CONNECT_FINAL, STOP_CONNECTION_SETTINGS},
    {"value \"require\" invalid", "sslmode value \"require\" invalid when SSL support is not compiled in\n",
        CONNECT_FINAL, STOP_CONNECTION_SETTINGS},
    {"no password supplied", "fe_sendauth: no password supplied\n", CONNECT_PASSWORD, STOP_PASSWORD_REFUSED},
    {"server does not support SSL, but SSL was required", "server does not support SSL, but SSL was required\n",
        CONNECT_FINAL, STOP_CONNECTION_SETTINGS},
    {"root certificate file", "root certificate file \"/ca\" does not exist\nEither provide the file or ...\n",
        CONNECT_FINAL, STOP_CONNECTION_SETTINGS},
    {"certificate verify failed", "SSL error: certificate verify failed\n", CONNECT_FINAL, STOP_CONNECTION_SETTINGS},
    {"does not match host name", "server certificate for \"a\" does not match host name \"b\"\n", CONNECT_FINAL,
        STOP_CONNECTION_SETTINGS},
    {"could not get server's host name from server certificate",
        "could not get server's host name from server certificate\n", CONNECT_FINAL, STOP_CONNECTION_SETTINGS},
    {"certificate file", "could not open certificate file \"x\": No such file\n", CONNECT_FINAL,
        STOP_CONNECTION_SETTINGS},
    {"certificate present, but not private key", "certificate present, but not private key file \"x\"\n", CONNECT_FINAL,
        STOP_CONNECTION_SETTINGS},
    {"certificate does not match private key", "certificate does not match private key of \"x\": y\n", CONNECT_FINAL,
        STOP_CONNECTION_SETTINGS},
    {"private key file", "private key file \"x\" has group or world access\n", CONNECT_FINAL, STOP_CONNECTION_SETTINGS},
    {"alert unknown ca", "SSL error: tlsv1 alert unknown ca\n", CONNECT_FINAL, STOP_CONNECTION_SETTINGS},
    {"alert bad certificate", "SSL error: sslv3 alert bad certificate\n", CONNECT_FINAL, STOP_CONNECTION_SETTINGS},
    {"alert certificate", "SSL error: tlsv13 alert certificate required\n", CONNECT_FINAL, STOP_CONNECTION_SETTINGS},
    {"alert handshake failure", "SSL error: sslv3 alert handshake failure\n", CONNECT_FINAL, STOP_CONNECTION_SETTINGS},
    {"alert protocol version", "SSL error: tlsv1 alert protocol version\n", CONNECT_FINAL, STOP_CONNECTION_SETTINGS},
    {"unsupported protocol", "SSL error: unsupported protocol\n", CONNECT_FINAL, STOP_CONNECTION_SETTINGS},
    {"no protocols available", "SSL error: no protocols available\n", CONNECT_FINAL, STOP_CONNECTION_SETTINGS},
    {"channel binding is required",
        "channel binding is required, but server did not offer an authentication method that "
        "supports channel binding\n",
        CONNECT_FINAL, STOP_CONNECTION_SETTINGS},
    {"channel binding required", "channel binding required, but not supported by server's authentication request\n",
        CONNECT_FINAL, STOP_CONNECTION_SETTINGS},
    {"GSSAPI encryption required", "GSSAPI encryption required but was impossible\n", CONNECT_FINAL,
        STOP_CONNECTION_SETTINGS},
    {"server does not support GSSAPI encryption, but it was required",
        "server does not support GSSAPI encryption, but it was required\n", CONNECT_FINAL, STOP_CONNECTION_SETTINGS},
    {"authentication method", "authentication method 42 not supported\n", CONNECT_FINAL, STOP_CONNECTION_SETTINGS},
    {"Name or service not known", "could not translate host name \"db\" to address: Name or service not known\n",
        CONNECT_MISSING, STOP_DATABASE_MISSING},
    {"No address associated with hostname",
        "could not translate host name \"db\" to address: No address associated with hostname\n", CONNECT_MISSING,
        STOP_DATABASE_MISSING},
    {NULL, "could not translate host name \"db\" to address: Temporary failure in name resolution\n", CONNECT_PASSING,
        0},
    {NULL, "Connection refused\n\tIs the server running on that host?\n", CONNECT_PASSING, 0},
    {NULL, "timeout expired\n", CONNECT_PASSING, 0},
    {NULL, "server closed the connection unexpectedly\n", CONNECT_PASSING, 0},
    {NULL, "SSL SYSCALL error: EOF detected\n", CONNECT_PASSING, 0},
    {NULL, "SSL error: unexpected eof while reading\n", CONNECT_PASSING, 0},
    {NULL, "session is read-only\n", CONNECT_PASSING, 0},
    {NULL, "server is in hot standby mode\n", CONNECT_PASSING, 0},
    {NULL, "FATAL:  57P03: the database system is starting up\nLOCATION:  x\n", CONNECT_PASSING, 0},
    {NULL, "FATAL:  53300: sorry, too many clients already\n", CONNECT_PASSING, 0},
    {NULL, "FATAL:  53300: too many connections for role \"app\"\n", CONNECT_PASSING, 0},
    {NULL, "FATAL:  55000: database \"shop\" is not currently accepting connections\n", CONNECT_PASSING, 0},
    {NULL, "FATAL:  28P01: password authentication failed for user \"app\"\n", CONNECT_PASSWORD, STOP_PASSWORD_REFUSED},
    {NULL, "FATAL:  28000: role \"app\" is not permitted to log in\n", CONNECT_PASSWORD, STOP_LOGIN_REFUSED},
    {NULL, "FATAL:  28000: no pg_hba.conf entry for host\n", CONNECT_PASSWORD, STOP_LOGIN_REFUSED},
    {NULL, "FATAL:  3D000: database \"shop\" does not exist\n", CONNECT_MISSING, STOP_DATABASE_MISSING},
    {NULL, "FATAL:  42501: permission denied for database \"shop\"\n", CONNECT_FINAL, STOP_LOGIN_REFUSED},
    {NULL, "FATAL:  42704: unrecognized configuration parameter \"x\"\n", CONNECT_FINAL, STOP_STATEMENT_REFUSED},
};
enum { MESSAGES = sizeof messages / sizeof messages[0] };

static void assert_verdict(const char *message, enum connect_verdict verdict, enum stop stop)
{
	enum stop found;

	if (postgres_connect_verdict(message, &found) != verdict)
		fail_msg("%s: %d instead of %d", message, (int)postgres_connect_verdict(message, &found), (int)verdict);
	if (verdict != CONNECT_PASSING && found != stop)
		fail_msg("%s: %s", message, stop_name(found));
}

static void test_every_message(void **state)
{
	size_t rows = 0;

	(void)state;
	for (size_t i = 0; i < MESSAGES; i++) {
		struct buffer text = {0};
		const char *row = messages[i].row;
		if (row == NULL || row[0] != '^')
			buffer_append_text(&text, to);
		buffer_append_text(&text, messages[i].message);
		buffer_append(&text, "", 1);
		assert_verdict((const char *)text.data, messages[i].verdict, messages[i].stop);
		buffer_fini(&text);
		if (row == NULL)
			continue;
		assert_string_equal(connect_words[rows].words, row);
		assert_int_equal(connect_words[rows].verdict, messages[i].verdict);
		rows++;
	}
	assert_int_equal(rows, connect_words_len);
}

/* A row of an earlier address must not hide that another one is only restarting; nor the other way round. */
static void test_several_addresses(void **state)
{
	struct buffer text = {0};

	(void)state;
	for (int order = 0; order < 2; order++) {
		buffer_clear(&text);
		for (int i = 0; i < 2; i++)
			buffer_printf(&text, "%s%s", to,
			    i == order ? "server does not support SSL, but SSL was required\n"
			               : "Connection refused\n");
		buffer_append(&text, "", 1);
		assert_verdict((const char *)text.data, CONNECT_PASSING, 0);
	}
	buffer_clear(&text);
	buffer_printf(&text,
	    "%sFATAL:  28P01: password authentication failed for user \"a\"\n%sFATAL:  28000: no pg_hba.conf "
	    "entry\n",
	    to, to);
	buffer_append(&text, "", 1);
	assert_verdict((const char *)text.data, CONNECT_PASSWORD, STOP_PASSWORD_REFUSED);
	buffer_fini(&text);
}

static void test_every_setting_has_a_reason(void **state)
{
	(void)state;
	for (size_t i = 0; i < session_settings_len; i++)
		assert_true(strlen(session_settings[i].why) > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_state),
	    cmocka_unit_test(test_every_state_row),
	    cmocka_unit_test(test_every_message),
	    cmocka_unit_test(test_several_addresses),
	    cmocka_unit_test(test_every_setting_has_a_reason),
	};
	return cmocka_run_group_tests_name("postgres_states", tests, NULL, NULL);
}
