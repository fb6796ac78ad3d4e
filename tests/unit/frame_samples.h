/* tests/unit/frame_samples.h - one frame of every kind, for the codec's tests, the golden bytes and the fuzz corpus. */
#ifndef FRAME_SAMPLES_H
#define FRAME_SAMPLES_H

#include <string.h>

#include "proto/frame.h"

static struct cut_entry sample_cut_entries[] = {{0, 12}, {3, 0}, {70000, INT64_MAX}};
static const struct cut sample_cut = {sample_cut_entries, 3};
static const struct epoch_id sample_epoch = {7, 42};
static const struct counters sample_counters = {{1, 200, 70000, UINT64_MAX, 0, 5}};
static struct share sample_share_entries[] = {{1 << 16, {{9, 0, 0, 0, 1, 0}}}, {2 << 16 | 1, {{0, 7, 1, 0, 0, 0}}}};
static struct decision sample_decision_entries[] = {{0, 5, VERDICT_DUPLICATE}, {4, 1 << 20, VERDICT_CONFLICT}};
static struct letter sample_letter_entries[] = {
    {0, 1, {NULL, 0}, {NULL, 0}, true, {(const uint8_t *)"tombstone", 9}, {(const uint8_t *)"", 0}},
    {2, 99, {(const uint8_t *)"k", 1}, {(const uint8_t *)"{\0x", 3}, false, {(const uint8_t *)"conflict", 8},
        {(const uint8_t *)"caf\xc3\xa9", 5}},
};
static struct group sample_group_entries[] = {
    {0, {(const uint8_t *)"\x92\x01\xa1z", 4}, {(const uint8_t *)"0123456789abcdef", 16}},
    {1, {(const uint8_t *)"\x90", 1}, {(const uint8_t *)"0123456789abcdef0123456789abcdef", 32}},
};
static struct mark sample_mark_entries[] = {{0, 11, UINT64_MAX}, {0, 12, 7}, {70000, INT64_MAX, 0}};
static struct fact sample_fact_entries[] = {{"kafka.cluster_id", "caf\xc3\xa9"}, {"time_zone.rules", ""}};
static struct checkpoint_entry sample_checkpoint_entries[] = {
    {{7, 3}, {sample_cut_entries, 2}, {sample_mark_entries, 1}}, {{0, 0}, {NULL, 0}, {NULL, 0}}};
static struct file_entry sample_file_entries[] = {
    {"checkpoints/7.42/dedup.0", {7, 42}, 2, 0, 64, 3, 1700000000000, 5, 700, UINT64_MAX},
    {"checkpoints/7.3/rollup.0", {7, 3}, 3, 127, 1, 0, -1, 0, 48, 1}};
static struct place sample_place_entries[] = {{1 << 16, "ingest-a-1"}, {4 << 16, "sink-b-2"}};
static struct address sample_address_entries[] = {{1, "tcp://127.0.0.1:4001"}, {300, "tcp://127.0.0.1:65535"}};
static struct worker_entry sample_worker_entries[] = {{"sink-b-2", 3, 4711, "writer.0"}, {"ingest-a-1", 1, 1, ""}};
static struct wait_entry sample_wait_entries[] = {{"ingest-a-1", "Kafka does not answer", 1700000000000000, 2100000}};

/* Fills every field of the kind's struct with something that is not zero. */
static inline void frame_sample(const struct frame_row *row, union frame_body *body)
{
	memset(body, 0, sizeof *body);
	for (size_t i = 0; i < row->fields_len; i++) {
		void *value = (uint8_t *)body + row->fields[i].offset;
		switch (row->fields[i].type) {
		case TYPE_UNSIGNED:
			*(uint64_t *)value = 1000 + i;
			break;
		case TYPE_SIGNED:
			*(int64_t *)value = -1000 - (int64_t)i;
			break;
		case TYPE_FLAG:
			*(bool *)value = true;
			break;
		case TYPE_TEXT:
			*(const char **)value = "text \xc3\xa9";
			break;
		case TYPE_EPOCH:
			*(struct epoch_id *)value = sample_epoch;
			break;
		case TYPE_CUT:
			*(struct cut *)value = sample_cut;
			break;
		case TYPE_COUNTERS:
			*(struct counters *)value = sample_counters;
			break;
		case TYPE_SHARES:
			*(struct shares *)value = (struct shares){sample_share_entries, 2};
			break;
		case TYPE_DECISIONS:
			*(struct decisions *)value = (struct decisions){sample_decision_entries, 2};
			break;
		case TYPE_LETTERS:
			*(struct letters *)value = (struct letters){sample_letter_entries, 2};
			break;
		case TYPE_GROUPS:
			*(struct groups *)value = (struct groups){sample_group_entries, 2};
			break;
		case TYPE_MARKS:
			*(struct marks *)value = (struct marks){sample_mark_entries, 3};
			break;
		case TYPE_FACTS:
			*(struct facts *)value = (struct facts){sample_fact_entries, 2};
			break;
		case TYPE_CHECKPOINTS:
			*(struct checkpoints *)value = (struct checkpoints){sample_checkpoint_entries, 2};
			break;
		case TYPE_FILES:
			*(struct files *)value = (struct files){sample_file_entries, 2};
			break;
		case TYPE_PLACES:
			*(struct places *)value = (struct places){sample_place_entries, 2};
			break;
		case TYPE_ADDRESSES:
			*(struct addresses *)value = (struct addresses){sample_address_entries, 2};
			break;
		case TYPE_WORKERS:
			*(struct workers *)value = (struct workers){sample_worker_entries, 2};
			break;
		case TYPE_WAITS:
			*(struct waits *)value = (struct waits){sample_wait_entries, 1};
			break;
		case TYPE_RAW:
			*(struct bytes *)value = (struct bytes){(const uint8_t *)"\x90", 1};
			break;
		}
	}
}

static const struct frame_header sample_header = {.job = 0xfeed, .channel = 3, .attempt = 7, .sequence = 1207};

#endif
