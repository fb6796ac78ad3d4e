/* services/sink/elastic_letters.h - documents that Elasticsearch refuses for good, on their way into their index.
 *
 * A letter is rendered when a request for it is made; until then only what was said about it is kept. Letters go before
 * documents, so there are never more of them than the requests under way can bring forth.
 */
#ifndef ELASTIC_LETTERS_H
#define ELASTIC_LETTERS_H

#include "services/sink/elastic_answer.h"
#include "services/sink/elastic_epoch.h"

struct letter_note {
	uint32_t item; /* of the epoch */
	bool brief; /* the whole document was too large for a letter */
	uint16_t status; /* 0: nobody was asked */
	struct elastic_error error;
};

struct letter_notes {
	struct letter_note *notes;
	size_t len, capacity;
	uint32_t *waiting; /* places of those that are to be sent */
	size_t waiting_len;
	uint32_t *unused;
	size_t unused_len;
};

void letter_notes_clear(struct letter_notes *notes);
void letter_notes_fini(struct letter_notes *notes);
void letter_note_add(struct letter_notes *notes, uint32_t item, uint16_t status, const struct elastic_error *error);
bool letter_note_take(struct letter_notes *notes, uint32_t *place);
void letter_note_return(struct letter_notes *notes, uint32_t place);
/* It is stored. */
void letter_note_drop(struct letter_notes *notes, uint32_t place);
/* Both lines. */
void letter_put(struct document_plan *plan, const struct letter_note *note, const struct row *row, struct buffer *out);

/* "transactions-dead-letters" */
void letters_index(const struct pipeline *pipeline, char out[INDEX_NAME_MAX]);

#endif
