/* common/runtime/trace.h - the one place where frames are printed: `ingest.0 -> dedup.3 #1207 BARRIER epoch=7.42 ...`.
 *
 * Switched on by SLUICE_TRACE=1 in the environment. Slow: every frame is decoded once more.
 */
#ifndef RUNTIME_TRACE_H
#define RUNTIME_TRACE_H

#include <stdbool.h>

#include "common/base/buffer.h"

bool trace_wanted(void);
/* One whole message of a channel or one frame of the control link. */
void trace_frame(const char *from, const char *to, struct bytes message);

#endif
