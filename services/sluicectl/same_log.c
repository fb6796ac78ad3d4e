/* services/sluicectl/same_log.c - see same_log.h. */
#include "services/sluicectl/same_log.h"

#include <inttypes.h>

#include "common/base/mutant.h"

enum result same_log_check(
    const struct pipeline *pipeline, const struct description *description, struct same_log *found, struct error *error)
{
	*found = (struct same_log){0};
	for (uint32_t i = 0; i < description->recalls_len; i++) {
		const struct recall *recall = &description->recalls[i];
		bool same = recall->now == RECALLED_THERE && recall->hash == recall->mark.hash;
		bool gone = recall->now == RECALLED_GONE;
		found->same += same;
		found->gone += gone;
		if (!same && !gone && !MUTANT(other_log_written))
			return error_stop(error, STOP_OTHER_LOG,
			    "topic %s is not the one that was read: partition %" PRIu32
			    " has not the record at offset %" PRId64
			    " that was read in front of the cut. Nothing was changed",
			    pipeline->source.topic, recall->mark.partition, recall->mark.offset);
	}
	return RESULT_OK;
}
