#include "services/sink/epoch.h"

#include <stdlib.h>

struct epoch *epoch_new(void)
{
	return memory_new(sizeof(struct epoch));
}

void epoch_free(struct epoch *epoch)
{
	if (epoch == NULL)
		return;
	cut_fini(&epoch->cut);
	marks_fini(&epoch->marks);
	free(epoch->rows);
	free(epoch->letters);
	free(epoch->decisions);
	free(epoch->totals);
	arena_fini(&epoch->arena);
	free(epoch);
}

static struct bytes keep(struct epoch *epoch, struct bytes bytes)
{
	if (bytes.data == NULL)
		return bytes;
	return (struct bytes){arena_clone(&epoch->arena, bytes.data, bytes.len), bytes.len};
}

void epoch_add_rows(struct epoch *epoch, struct bytes rows)
{
	epoch->rows = memory_resize(epoch->rows, epoch->rows_len + 1, sizeof *epoch->rows);
	epoch->rows[epoch->rows_len++] = keep(epoch, rows);
}

void epoch_add_letters(struct epoch *epoch, const struct letters *letters)
{
	struct letters copy = {
	    arena_clone(&epoch->arena, letters->entries, letters->len * sizeof *letters->entries), letters->len};
	for (uint32_t i = 0; i < copy.len; i++) {
		struct letter *letter = &copy.entries[i];
		letter->key = keep(epoch, letter->key);
		letter->payload = keep(epoch, letter->payload);
		letter->reason = keep(epoch, letter->reason);
		letter->detail = keep(epoch, letter->detail);
	}
	epoch->letters = memory_resize(epoch->letters, epoch->letters_len + 1, sizeof *epoch->letters);
	epoch->letters[epoch->letters_len++] = copy;
}

void epoch_add_decisions(struct epoch *epoch, const struct decisions *decisions)
{
	struct decisions copy = {
	    arena_clone(&epoch->arena, decisions->entries, decisions->len * sizeof *decisions->entries),
	    decisions->len};
	epoch->decisions = memory_resize(epoch->decisions, epoch->decisions_len + 1, sizeof *epoch->decisions);
	epoch->decisions[epoch->decisions_len++] = copy;
}

void epoch_add_totals(struct epoch *epoch, const struct groups *groups)
{
	struct groups copy = {
	    arena_clone(&epoch->arena, groups->entries, groups->len * sizeof *groups->entries), groups->len};
	for (uint32_t i = 0; i < copy.len; i++) {
		copy.entries[i].key = keep(epoch, copy.entries[i].key);
		copy.entries[i].measures = keep(epoch, copy.entries[i].measures);
	}
	epoch->totals = memory_resize(epoch->totals, epoch->totals_len + 1, sizeof *epoch->totals);
	epoch->totals[epoch->totals_len++] = copy;
}
