/* common/runtime/mailbox.h - the way from nng's threads to the one thread that owns everything else.
 *
 * A callback puts news in and goes; the owner is woken through event_fd, and takes all that is there.
 *
 * Ownership: payloads belong to whoever takes them.
 * Threads:   mailbox_put on any; everything else on the owner's.
 * Blocking:  never longer than a copy of a few words under the lock.
 */
#ifndef RUNTIME_MAILBOX_H
#define RUNTIME_MAILBOX_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

struct mail {
	int kind;
	uint32_t id;
	void *payload;
};

struct mail_list {
	struct mail *items;
	size_t len, capacity;
};

struct mailbox {
	pthread_mutex_t lock; /* guards incoming */
	struct mail_list incoming;
	struct mail_list taken; /* the owner's: read without the lock */
	size_t taken_first;
	int event_fd;
};

enum result mailbox_open(struct mailbox *mailbox, struct error *error) MUST_USE;
void mailbox_close(struct mailbox *mailbox);
void mailbox_put(struct mailbox *mailbox, struct mail mail);
/* false: nothing is there. Take until then. */
bool mailbox_take(struct mailbox *mailbox, struct mail *mail);

#endif
