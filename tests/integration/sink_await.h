/* tests/integration/sink_await.h - the answer of a sink's port, whichever it is. */
#ifndef SINK_AWAIT_H
#define SINK_AWAIT_H

#include "services/sink/sink_port.h"

/* Fails the test where none comes within a minute. Valid until the port's next request. */
struct sink_answer *sink_await(struct sink_port *port);

#endif
