#include "common/runtime/mailbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/buffer.h"

enum result mailbox_open(struct mailbox *mailbox, struct error *error)
{
	*mailbox = (struct mailbox){.event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
	if (mailbox->event_fd < 0)
		return error_set(error, RESULT_RETRY, "eventfd: %s", strerror(errno));
	CHECK(pthread_mutex_init(&mailbox->lock, NULL) == 0);
	return RESULT_OK;
}

void mailbox_close(struct mailbox *mailbox)
{
	(void)close(mailbox->event_fd);
	(void)pthread_mutex_destroy(&mailbox->lock);
	free(mailbox->incoming.items);
	free(mailbox->taken.items);
	*mailbox = (struct mailbox){.event_fd = -1};
}

void mailbox_put(struct mailbox *mailbox, struct mail mail)
{
	CHECK(pthread_mutex_lock(&mailbox->lock) == 0);
	struct mail_list *list = &mailbox->incoming;
	if (list->len == list->capacity) {
		list->capacity = list->capacity ? list->capacity * 2 : 64;
		list->items = memory_resize(list->items, list->capacity, sizeof *list->items);
	}
	bool first = list->len == 0;
	list->items[list->len++] = mail;
	CHECK(pthread_mutex_unlock(&mailbox->lock) == 0);
	if (!first)
		return; /* whoever put the first one wakes the owner for both */
	uint64_t one = 1;
	ssize_t written = write(mailbox->event_fd, &one, sizeof one);
	(void)written; /* a full counter is as readable as any other */
}

/* First the counter, then the list: whoever puts something after the swap finds the list empty and signals again. At
 * worst the owner is woken once for nothing. */
static void swap_lists(struct mailbox *mailbox)
{
	uint64_t count;
	ssize_t got = read(mailbox->event_fd, &count, sizeof count);
	(void)got; /* EAGAIN: nothing to clear */
	mailbox->taken.len = 0;
	mailbox->taken_first = 0;
	CHECK(pthread_mutex_lock(&mailbox->lock) == 0);
	struct mail_list full = mailbox->incoming;
	mailbox->incoming = mailbox->taken;
	mailbox->taken = full;
	CHECK(pthread_mutex_unlock(&mailbox->lock) == 0);
}

bool mailbox_take(struct mailbox *mailbox, struct mail *mail)
{
	if (mailbox->taken_first == mailbox->taken.len)
		swap_lists(mailbox);
	if (mailbox->taken_first == mailbox->taken.len)
		return false;
	*mail = mailbox->taken.items[mailbox->taken_first++];
	return true;
}
