/* services/sluicectl/audit_record.h - what a payload means to the audit: a content and a key, or a reason to refuse it.
 *
 * A reading of its own of tests/vectors/README.md; no line is shared with the parser of the pipeline, and a unit test
 * holds it against every vector.
 *
 * Ownership: what an audit_record points to is borrowed until the next read.
 */
#ifndef AUDIT_RECORD_H
#define AUDIT_RECORD_H

#include "services/sluicectl/audit_json.h"
#include "services/sluicectl/audit_time.h"
#include "services/sluicectl/audit_value.h"

struct record_reader {
	const struct pipeline *pipeline;
	struct audit_zone zone;
	struct document document;
	struct buffer content;
};

struct audit_record {
	const char *reason; /* NULL: it is a row */
	struct bytes key; /* text of the key's field */
	struct bytes content; /* audit_value.h */
	uint32_t unknown_fields;
};

void record_reader_init(struct record_reader *reader, const struct pipeline *pipeline);
void record_reader_fini(struct record_reader *reader);

/* payload.data NULL: the record has none. timestamp_ms -1: Kafka has no timestamp for it. */
void record_read(struct record_reader *reader, struct bytes payload, int64_t timestamp_ms, struct audit_record *record);
/* The same for the payload of a conflict's letter, which was written by Sluice: of any size, at any time. */
void record_read_letter(struct record_reader *reader, struct bytes payload, struct audit_record *record);

#endif
