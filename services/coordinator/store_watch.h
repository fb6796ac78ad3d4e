/* services/coordinator/store_watch.h - says so when the checkpoint folder does not answer.
 *
 * The coordinator calls its store on its only thread: while a call blocks (a hung network file system, a disk that stalls), no epoch
 * begins and nobody is answered, `sluicectl status` neither. A thread of this store's own tells in the log for what is waited.
 *
 * Blocking: as the store that is watched. Threads: those of the store; the log is told by one of its own.
 */
#ifndef COORDINATOR_STORE_WATCH_H
#define COORDINATOR_STORE_WATCH_H

#include "common/state/checkpoint_store.h"

enum { STORE_SILENCE_MS = 2000 };

/* Takes over inner, and is closed in its place. */
struct checkpoint_store *store_watch(struct checkpoint_store *inner);

#endif
