/* services/coordinator/checkpoints_parts.h - the parts of checkpoints.h: checkpoints.c keeps the lists and chooses what is
 * restored, checkpoints_under_way.c takes the next one, checkpoints_retired.c lets the oldest go.
 */
#ifndef CHECKPOINTS_PARTS_H
#define CHECKPOINTS_PARTS_H

#include "services/coordinator/checkpoints.h"

/* Into the list of complete ones, in front of the one at this place; all is copied. */
void checkpoint_keep(struct checkpoint_keeper *keeper, uint32_t place, struct epoch_id epoch, const struct cut *cut,
    const struct files *files, const struct checkpoints *line);
void checkpoint_forget_kept(struct checkpoint_keeper *keeper, uint32_t place);
/* The database names it: into that list. */
void checkpoint_name(struct checkpoint_keeper *keeper, uint32_t place, struct epoch_id epoch);
void checkpoint_forget_named(struct checkpoint_keeper *keeper, uint32_t place);
/* The base, and what that was built on. The entries are the caller's to free. */
struct checkpoints checkpoint_line_of_next(const struct checkpoint_keeper *keeper);

#endif
