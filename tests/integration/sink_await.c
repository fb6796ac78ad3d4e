/* tests/integration/sink_await.c - see sink_await.h. */
#include "tests/integration/sink_await.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { ANSWER_MS = 60000 };

struct sink_answer *sink_await(struct sink_port *port)
{
	struct pollfd wait = {.fd = port->event_fd, .events = POLLIN};
	struct sink_answer *answer = NULL;
	char words[512];

	while (poll(&wait, 1, ANSWER_MS) == 1) {
		if (port->ops->answer(port, &answer))
			return answer;
		(void)port->ops->late_words(port, words, sizeof words); /* that is what it was */
	}
	fail_msg("no answer within %d ms", ANSWER_MS);
	return answer;
}
