#include "common/runtime/channel.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>

#include "common/runtime/mailbox.h"
#include "common/runtime/nng_error.h"
#include "proto/frame.h"

enum { REMOVED_MAX = 4, RECONNECT_LEAST_MS = 20, RECONNECT_MOST_MS = 200 };

enum mail_kind { MAIL_MESSAGE, MAIL_GONE };

struct channel {
	struct channel_set *set;
	uint32_t id;
	bool open, lost_said; /* the owner's */
	uint64_t connect_by_us; /* the owner's; 0: not waiting for a connection */
	nng_socket socket;
	nng_aio *receive_aio, *send_aio;

	pthread_mutex_t lock; /* guards what follows; never held while nng is called, which may call back */
	uint32_t pipe; /* of the one peer; 0: none yet */
	uint32_t removed[REMOVED_MAX]; /* pipes that went before they were announced */
	uint32_t removed_next;
	bool over;
	bool receiving, sending; /* an aio is under way */
	uint32_t held; /* messages handed to the owner and not yet dealt with */
	nng_msg **outgoing; /* a ring */
	size_t outgoing_first, outgoing_len, outgoing_capacity;
};

struct channel_set {
	struct mailbox mailbox;
	uint32_t channels_len;
	struct channel channels[];
};

static struct channel *channel_of(struct channel_set *set, uint32_t id)
{
	CHECK(id >= 1 && id <= set->channels_len);
	return &set->channels[id - 1];
}

static void lock(struct channel *channel)
{
	CHECK(pthread_mutex_lock(&channel->lock) == 0);
}

static void unlock(struct channel *channel)
{
	CHECK(pthread_mutex_unlock(&channel->lock) == 0);
}

/* Under the lock: from now on nothing leaves and nothing comes in. */
static void end_channel(struct channel *channel)
{
	if (channel->over)
		return;
	channel->over = true;
	mailbox_put(&channel->set->mailbox, (struct mail){.kind = MAIL_GONE, .id = channel->id});
}

/* --- nng's threads ------------------------------------------------------------------------------------------------ */

static bool was_removed(const struct channel *channel, uint32_t pipe)
{
	for (uint32_t i = 0; i < REMOVED_MAX; i++)
		if (channel->removed[i] == pipe)
			return true;
	return false;
}

/* Removals are also told of pipes that PAIR0 refused, and, from another thread, now and then before the addition. */
static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *context)
{
	struct channel *channel = context;
	uint32_t id = (uint32_t)nng_pipe_id(pipe);
	lock(channel);
	if (event == NNG_PIPE_EV_ADD_POST && channel->pipe == 0) {
		channel->pipe = id;
		if (was_removed(channel, id))
			end_channel(channel);
	} else if (event == NNG_PIPE_EV_REM_POST && channel->pipe == id) {
		end_channel(channel);
	} else if (event == NNG_PIPE_EV_REM_POST) {
		channel->removed[channel->removed_next++ % REMOVED_MAX] = id;
	}
	unlock(channel);
}

static void on_received(void *context)
{
	struct channel *channel = context;
	bool ok = nng_aio_result(channel->receive_aio) == 0;
	nng_msg *message = ok ? nng_aio_get_msg(channel->receive_aio) : NULL;
	lock(channel);
	if (ok && !channel->over) {
		channel->held++;
		mailbox_put(
		    &channel->set->mailbox, (struct mail){.kind = MAIL_MESSAGE, .id = channel->id, .payload = message});
		message = NULL;
	}
	bool again = ok && !channel->over && channel->held < CHANNEL_INBOX;
	channel->receiving = again;
	unlock(channel);
	if (message != NULL)
		nng_msg_free(message);
	if (again)
		nng_recv_aio(channel->socket, channel->receive_aio);
}

/* Under the lock. NULL: nothing to send. */
static nng_msg *next_outgoing(struct channel *channel)
{
	nng_msg *message = NULL;
	if (channel->outgoing_len != 0 && !channel->over) {
		message = channel->outgoing[channel->outgoing_first];
		channel->outgoing_first = (channel->outgoing_first + 1) % channel->outgoing_capacity;
		channel->outgoing_len--;
	}
	channel->sending = message != NULL;
	return message;
}

static void start_send(struct channel *channel, nng_msg *message)
{
	nng_aio_set_msg(channel->send_aio, message);
	nng_send_aio(channel->socket, channel->send_aio);
}

static void on_sent(void *context)
{
	struct channel *channel = context;
	bool ok = nng_aio_result(channel->send_aio) == 0;
	if (!ok) {
		nng_msg_free(nng_aio_get_msg(channel->send_aio));
		nng_aio_set_msg(channel->send_aio, NULL);
	}
	lock(channel);
	if (!ok)
		end_channel(channel);
	nng_msg *message = next_outgoing(channel);
	unlock(channel);
	if (message != NULL)
		start_send(channel, message);
}

/* --- opening -------------------------------------------------------------------------------------------------------- */

enum result channel_set_open(struct channel_set **opened, uint32_t channels_len, struct error *error)
{
	struct channel_set *set = memory_new(sizeof *set + channels_len * sizeof *set->channels);
	set->channels_len = channels_len;
	enum result result = mailbox_open(&set->mailbox, error);
	if (result != RESULT_OK) {
		free(set);
		return result;
	}
	*opened = set;
	return RESULT_OK;
}

static enum result open_channel(struct channel *channel, struct channel_set *set, uint32_t id, struct error *error)
{
	CHECK(!channel->open); /* once an attempt, and a process has one attempt */
	*channel = (struct channel){.set = set, .id = id};
	int code = nng_pair0_open(&channel->socket);
	if (code != 0)
		return nng_error_set(error, code, "channel %u: opening its socket", id);
	CHECK(pthread_mutex_init(&channel->lock, NULL) == 0);
	channel->open = true;
	nng_must(nng_aio_alloc(&channel->receive_aio, on_received, channel), "nng_aio_alloc");
	nng_must(nng_aio_alloc(&channel->send_aio, on_sent, channel), "nng_aio_alloc");
	/* A timeout on an aio makes nng's expire thread spin. */
	nng_aio_set_timeout(channel->receive_aio, NNG_DURATION_INFINITE);
	nng_aio_set_timeout(channel->send_aio, NNG_DURATION_INFINITE);
	nng_must(nng_socket_set_size(channel->socket, NNG_OPT_RECVMAXSZ, FRAME_MAX), NNG_OPT_RECVMAXSZ);
	nng_must(nng_socket_set_int(channel->socket, NNG_OPT_SENDBUF, 0), NNG_OPT_SENDBUF);
	nng_must(nng_socket_set_int(channel->socket, NNG_OPT_RECVBUF, 0), NNG_OPT_RECVBUF);
	nng_must(nng_socket_set_ms(channel->socket, NNG_OPT_RECONNMINT, RECONNECT_LEAST_MS), NNG_OPT_RECONNMINT);
	nng_must(nng_socket_set_ms(channel->socket, NNG_OPT_RECONNMAXT, RECONNECT_MOST_MS), NNG_OPT_RECONNMAXT);
	nng_must(nng_pipe_notify(channel->socket, NNG_PIPE_EV_ADD_POST, on_pipe, channel), "nng_pipe_notify");
	nng_must(nng_pipe_notify(channel->socket, NNG_PIPE_EV_REM_POST, on_pipe, channel), "nng_pipe_notify");
	channel->receiving = true;
	nng_recv_aio(channel->socket, channel->receive_aio);
	return RESULT_OK;
}

static enum result bound_port(nng_listener listener, uint16_t *port, struct error *error)
{
	nng_sockaddr address;
	int code = nng_listener_get_addr(listener, NNG_OPT_LOCADDR, &address);
	if (code != 0)
		return nng_error_set(error, code, "which port a channel listens on");
	*port = ntohs(address.s_family == NNG_AF_INET6 ? address.s_in6.sa_port : address.s_in.sa_port);
	return RESULT_OK;
}

enum result channel_listen(
    struct channel_set *set, uint32_t id, const char *advertise, char *url, size_t url_size, struct error *error)
{
	struct channel *channel = channel_of(set, id);
	/* A bare IPv6 address needs brackets in front of a port. */
	bool bare = strchr(advertise, ':') != NULL && advertise[0] != '[';
	const char *before = bare ? "[" : "", *behind = bare ? "]" : "";
	nng_listener listener;
	uint16_t port = 0;
	enum result result = open_channel(channel, set, id, error);
	if (result != RESULT_OK)
		return result;
	(void)snprintf(url, url_size, "tcp://%s%s%s:0", before, advertise, behind);
	int code = nng_listen(channel->socket, url, &listener, 0);
	if (code != 0)
		return nng_error_set(error, code, "channel %u: listening on %s", id, url);
	result = bound_port(listener, &port, error);
	if (result != RESULT_OK)
		return result;
	int len = snprintf(url, url_size, "tcp://%s%s%s:%u", before, advertise, behind, port);
	if (len < 0 || (size_t)len >= url_size)
		return error_stop(error, STOP_ADDRESS, "the advertised host is too long: %s", advertise);
	return RESULT_OK;
}

enum result channel_dial(struct channel_set *set, uint32_t id, const char *url, uint64_t now_us, struct error *error)
{
	struct channel *channel = channel_of(set, id);
	enum result result = open_channel(channel, set, id, error);
	if (result != RESULT_OK)
		return result;
	channel->connect_by_us = now_us + CHANNEL_CONNECT_US;
	int code = nng_dial(channel->socket, url, NULL, NNG_FLAG_NONBLOCK);
	if (code != 0)
		return nng_error_set(error, code, "channel %u: dialing %s", id, url);
	return RESULT_OK;
}

/* --- the owner's thread --------------------------------------------------------------------------------------------- */

int channel_set_event_fd(const struct channel_set *set)
{
	return set->mailbox.event_fd;
}

static void push_outgoing(struct channel *channel, nng_msg *message)
{
	if (channel->outgoing_len == channel->outgoing_capacity) {
		size_t capacity = channel->outgoing_capacity ? channel->outgoing_capacity * 2 : 16;
		nng_msg **grown = memory_resize(NULL, capacity, sizeof(nng_msg *));
		for (size_t i = 0; i < channel->outgoing_len; i++)
			grown[i] = channel->outgoing[(channel->outgoing_first + i) % channel->outgoing_capacity];
		free(channel->outgoing);
		channel->outgoing = grown;
		channel->outgoing_first = 0;
		channel->outgoing_capacity = capacity;
	}
	channel->outgoing[(channel->outgoing_first + channel->outgoing_len++) % channel->outgoing_capacity] = message;
}

static nng_msg *to_nng(const struct buffer *message)
{
	nng_msg *copy;
	CHECK(message->len <= FRAME_MAX); /* the other side would close the pipe */
	nng_must(nng_msg_alloc(&copy, message->len), "nng_msg_alloc");
	memcpy(nng_msg_body(copy), message->data, message->len);
	return copy;
}

void channel_send(struct channel_set *set, uint32_t id, struct buffer *message)
{
	struct channel *channel = channel_of(set, id);
	CHECK(channel->open);
	nng_msg *copy = to_nng(message), *first = NULL;
	buffer_fini(message);
	lock(channel);
	if (!channel->over) {
		push_outgoing(channel, copy);
		copy = NULL;
		if (!channel->sending)
			first = next_outgoing(channel);
	}
	unlock(channel);
	if (copy != NULL)
		nng_msg_free(copy);
	if (first != NULL)
		start_send(channel, first);
}

void channel_taken(struct channel_set *set, uint32_t id)
{
	struct channel *channel = channel_of(set, id);
	lock(channel);
	CHECK(channel->held > 0);
	channel->held--;
	bool receive = !channel->receiving && !channel->over && channel->held < CHANNEL_INBOX;
	if (receive)
		channel->receiving = true;
	unlock(channel);
	if (receive)
		nng_recv_aio(channel->socket, channel->receive_aio);
}

static bool lose(struct channel *channel, const char *why, struct channel_event *event)
{
	if (channel->lost_said)
		return false;
	channel->lost_said = true;
	channel->connect_by_us = 0;
	*event = (struct channel_event){.kind = CHANNEL_LOST, .channel = channel->id, .why = why};
	return true;
}

static bool read_mail(struct channel *channel, const struct mail *mail, struct channel_event *event)
{
	if (mail->kind == MAIL_GONE)
		return lose(channel, "the other end has gone", event);
	nng_msg *message = mail->payload;
	if (!channel->lost_said) {
		*event = (struct channel_event){.kind = CHANNEL_MESSAGE, .channel = channel->id};
		buffer_append(&event->message, nng_msg_body(message), nng_msg_len(message));
	}
	nng_msg_free(message);
	return !channel->lost_said;
}

static bool is_connected(struct channel *channel)
{
	lock(channel);
	bool connected = channel->pipe != 0;
	unlock(channel);
	return connected;
}

static bool check_dials(struct channel_set *set, uint64_t now_us, struct channel_event *event)
{
	for (uint32_t i = 0; i < set->channels_len; i++) {
		struct channel *channel = &set->channels[i];
		if (channel->connect_by_us == 0 || now_us < channel->connect_by_us)
			continue;
		channel->connect_by_us = 0;
		if (is_connected(channel))
			continue;
		lock(channel);
		channel->over = true;
		unlock(channel);
		if (lose(channel, "no connection within 10 s", event))
			return true;
	}
	return false;
}

bool channel_next(struct channel_set *set, uint64_t now_us, struct channel_event *event)
{
	struct mail mail;
	while (mailbox_take(&set->mailbox, &mail))
		if (read_mail(channel_of(set, mail.id), &mail, event))
			return true;
	return check_dials(set, now_us, event);
}

uint64_t channel_wake_us(const struct channel_set *set)
{
	uint64_t earliest = 0;
	for (uint32_t i = 0; i < set->channels_len; i++) {
		uint64_t by_us = set->channels[i].connect_by_us;
		if (by_us != 0 && (earliest == 0 || by_us < earliest))
			earliest = by_us;
	}
	return earliest;
}

void channel_set_close(struct channel_set *set)
{
	struct mail mail;
	if (set == NULL)
		return;
	for (uint32_t i = 0; i < set->channels_len; i++) {
		struct channel *channel = &set->channels[i];
		if (!channel->open)
			continue;
		(void)nng_close(channel->socket);
		nng_aio_stop(channel->receive_aio);
		nng_aio_stop(channel->send_aio);
		nng_aio_free(channel->receive_aio);
		nng_aio_free(channel->send_aio);
		for (size_t k = 0; k < channel->outgoing_len; k++)
			nng_msg_free(channel->outgoing[(channel->outgoing_first + k) % channel->outgoing_capacity]);
		free(channel->outgoing);
		(void)pthread_mutex_destroy(&channel->lock);
	}
	while (mailbox_take(&set->mailbox, &mail))
		if (mail.kind == MAIL_MESSAGE)
			nng_msg_free(mail.payload);
	mailbox_close(&set->mailbox);
	free(set);
}
