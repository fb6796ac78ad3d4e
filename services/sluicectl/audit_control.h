/* services/sluicectl/audit_control.h - the control documents of the search job: how far each writer says it is.
 *
 * The writers are those of the first documents that share out all key groups; the others are of writers that were, until
 * somebody has taken over from them, and still count for the cut.
 *
 * Ownership: control_read fills caller's memory, control_fini frees it.
 * Errors:    a function answers NULL, or words for what is wrong.
 */
#ifndef AUDIT_CONTROL_H
#define AUDIT_CONTROL_H

#include "services/sluicectl/audit_tree.h"

enum { CONTROL_PARTITIONS_MAX = 1 << 16, CONTROL_WRITERS_MAX = 256 };

#define CONTROL_INDEX "sluice-control"
/* What was passed over on purpose is among what writer 0 remembers: "skip.<partition>.<from>": "<to> <when>". */
#define CONTROL_SKIP "skip."

enum control_counter { CONTROL_CONSUMED, CONTROL_ACCEPTED, CONTROL_DEAD, CONTROL_COUNTERS };
extern const char *const control_counter_names[CONTROL_COUNTERS];

struct control_offset {
	uint32_t partition;
	int64_t offset;
};

/* In ascending order of partitions; a partition that is not named is at 0. */
struct control_cut {
	struct control_offset *offsets;
	size_t len;
};

struct control {
	uint32_t writer, writers;
	uint32_t first_group, groups, key_groups;
	uint64_t attempt, epoch;
	bool started; /* it has a cut */
	struct control_cut cut;
	bool has_start; /* where the job began, if it says so */
	struct control_cut start;
	bool has_since; /* from where its counters count, if it says so: where its key groups became its own */
	struct control_cut since;
	uint64_t counters[CONTROL_COUNTERS];
	char fingerprint[33];
	char index[256];
};

/* source: the document of this writer. */
const char *control_read(struct control *control, const char *job, uint32_t writer, const struct tree_node *source);
void control_fini(struct control *control);

/* /sluice-control/VERB/JOB.WRITER, as a path has it. */
void control_path(struct buffer *path, const char *verb, const char *job, uint32_t writer);

/* A document as it was read. A change that names it fails where somebody else has changed the document since. */
struct control_version {
	int64_t seq_no, term;
};
/* answer: the whole one to a GET of the document. False: it does not say. */
bool control_version_read(struct control_version *version, const struct tree_node *answer);
/* ?if_seq_no=...&if_primary_term=... */
void control_version_put(const struct control_version *version, struct buffer *path);

int64_t control_cut_at(const struct control_cut *cut, uint32_t partition);
/* How many of them, in ascending order, are of the writers that there are. 0: they do not share out the key groups. */
size_t controls_active(const struct control *controls, size_t len);

#endif
