/* common/runtime/channel.h - the edges between actors of different processes: a pair of nng PAIR0 sockets each.
 *
 * The receiver listens on a fresh port, the sender dials it. A channel stands once: when its peer goes, it is lost for
 * good, and so is the attempt; whoever else connects is refused by the protocol (PAIR0 has one peer) and disturbs
 * nobody. PUSH and PULL would not do: PUSH crashes its own process when a peer closes right after the handshake.
 *
 * Ownership: a message handed in is taken, one handed out is the caller's.
 * Blocking:  never. What is sent queues without a bound of its own: the epoch credit bounds it. Of what comes in, at
 *            most CHANNEL_INBOX messages a channel are held for the owner; the rest stays with the sender.
 * Limits:    FRAME_MAX bytes a message.
 * Threads:   one owner; nng's callbacks only fill the mailbox behind event_fd.
 */
#ifndef RUNTIME_CHANNEL_H
#define RUNTIME_CHANNEL_H

#include "common/base/buffer.h"
#include "common/base/error.h"

enum { CHANNEL_INBOX = 4, CHANNEL_CONNECT_US = 10000000 };

struct channel_set;

enum channel_event_kind { CHANNEL_MESSAGE, CHANNEL_LOST };
struct channel_event {
	enum channel_event_kind kind;
	uint32_t channel;
	struct buffer message; /* MESSAGE */
	const char *why; /* LOST: said once, nothing comes after it */
};

/* For channels 1..channels_len. */
enum result channel_set_open(struct channel_set **set, uint32_t channels_len, struct error *error) MUST_USE;
/* Closes what is open; may hang with nng, so that processes do without it and end with _exit. */
void channel_set_close(struct channel_set *set);
int channel_set_event_fd(const struct channel_set *set);

/* advertise: the host that goes into the url; also the address listened on. */
enum result channel_listen(struct channel_set *set, uint32_t channel, const char *advertise, char *url, size_t url_size,
    struct error *error) MUST_USE;
/* Tries for CHANNEL_CONNECT_US; then the channel is lost. */
enum result channel_dial(
    struct channel_set *set, uint32_t channel, const char *url, uint64_t now_us, struct error *error) MUST_USE;
void channel_send(struct channel_set *set, uint32_t channel, struct buffer *message);
/* One message of this channel has been dealt with. */
void channel_taken(struct channel_set *set, uint32_t channel);
/* false: nothing more for now. */
bool channel_next(struct channel_set *set, uint64_t now_us, struct channel_event *event);
/* When channel_next wants to be called at the latest; 0: no time. */
uint64_t channel_wake_us(const struct channel_set *set);

#endif
