/* common/state/stop_note.h - why a job has stopped, for whoever asks when its coordinator has ended: <dir>/<job>/stopped, in
 * the checkpoint folder, which all processes share and sluicectl knows.
 *
 * It speaks for the job as long as the attempt that stopped is the last one that was taken: a coordinator behind which
 * another one has taken an attempt writes nothing, and what it had written before is not read any more. The next start
 * removes it.
 *
 * root: <dir>/<job>, as checkpoint_store's.
 */
#ifndef STATE_STOP_NOTE_H
#define STATE_STOP_NOTE_H

#include <stdint.h>

#include "common/base/error.h"

struct stop_note {
	uint64_t attempt;
	int64_t since_us;
	char text[ERROR_TEXT_MAX]; /* one line */
};

/* *written false without an error: another attempt has begun. */
enum result stop_note_write(
    const char *root, const struct stop_note *note, bool *written, struct error *error) MUST_USE;
void stop_note_remove(const char *root);
/* False: there is none that speaks for the job. */
bool stop_note_read(const char *root, struct stop_note *note);

#endif
