/* services/sluicectl/audit_letters.h - the dead letters that have to be, and whether they are.
 *
 * Of key and payload a letter keeps a hash of 128 bits and the first bytes, for words. The payload of a conflict, which is
 * re-encoded, stands for the content that it means.
 */
#ifndef AUDIT_LETTERS_H
#define AUDIT_LETTERS_H

#include "services/sluicectl/audit_record.h"
#include "services/sluicectl/audit_report.h"
#include "services/sluicectl/audit_spool.h"

enum { LETTER_PAYLOAD_MOST = 3 << 20, LETTER_KEY_MOST = 1 << 19 }; /* what is longer is cut */

struct letter {
	uint32_t partition;
	int64_t offset;
	struct bytes key, payload; /* data NULL: none */
	bool payload_raw;
	struct bytes reason;
};

void letter_put_found(struct spool *spool, struct record_reader *reader, const struct letter *letter);
/* Of a record that was refused: its own bytes, however many. */
void letter_put_bad(struct spool *spool, const struct letter *letter);
/* Of a conflict: payload is the content of the record. */
void letter_put_conflict(struct spool *spool, const struct letter *letter);

/* After the last of all. */
void letters_compare(struct spool *spool, struct report *report);

#endif
