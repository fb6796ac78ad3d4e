/* services/coordinator/waits.h - who waits for what, and since when: what processes say of themselves (WAITING), and what the
 * coordinator itself waits for (a row each in waits.c). The status has all of them; one that lasts WAIT_TOLD_US is told in the
 * log, once.
 *
 * Ownership: texts are copied.
 */
#ifndef WAITS_H
#define WAITS_H

#include "common/base/buffer.h"
#include "proto/frame.h"

enum { WAIT_TOLD_US = 2000000, WAIT_TEXT_MAX = 512 };

/* Of one actor of a process. */
struct wait {
	uint64_t actor;
	uint64_t since_us;
	bool told;
	char text[WAIT_TEXT_MAX];
};
struct member_waits {
	struct wait *entries;
	uint32_t len;
};

struct coordinator;
struct member;

/* What the coordinator itself may wait for. */
enum own_wait { WAIT_PROCESSES, WAIT_ATTEMPT, WAIT_ANSWER, WAIT_EPOCH, WAIT_CHECKPOINT, WAIT_REFUSED, OWN_WAITS };

/* False: nothing new. */
bool waits_say(struct member *member, const struct frame_waiting *waiting, uint64_t now_us);
void waits_fini(struct member_waits *waits);
/* Somebody says that it waits: a sink, or anybody. */
bool sink_waits(const struct coordinator *coordinator);
bool somebody_waits(const struct coordinator *coordinator);
/* Logs those that have become long. */
void waits_tell(struct coordinator *coordinator);
/* When waits_tell has something to say if nothing changes; 0: never. */
uint64_t waits_wake_us(const struct coordinator *coordinator);
/* Those of members, then the coordinator's own. */
void waits_report(const struct coordinator *coordinator, struct arena *arena, struct waits *waits);

#endif
