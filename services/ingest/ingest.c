#include "services/ingest/ingest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/crash_point.h"
#include "common/base/key_group.h"
#include "common/base/log.h"
#include "common/base/mutant.h"
#include "proto/letter.h"
#include "services/ingest/record_mark.h"
#include "services/ingest/record_parser.h"

enum {
	BATCH = 256, /* records lent by the port at a time, of one partition */
	RECORDS_PER_TICK = 1024, /* then commands get their turn */
	LETTERS_BYTES = 512 * 1024,
	DESCRIBE_PAUSE_US = 200000,
	DOUBT_PAUSE_US = 20000, /* nothing is read meanwhile */
	CONFIRM_US = 3000000, /* whether it is the same log, when nothing raises a doubt */
	CONFIRM_SHARE = 20, /* but not for more than such a part of the time */
	UNSURE_US = 1000000, /* after that somebody is told what is waited for */
	LOOK_AGAIN_US = 1000000, /* the port's health and ends, when nothing else wakes us */
	ENDS_OLD_US = 3000000, /* they are asked for every second */
	SHORT_US = 5000000, /* a log that ends before the frontier for so long is not the one that was read */
};

struct partition {
	uint32_t id;
	int64_t position; /* next offset to read */
	int64_t ceiling; /* not to be read before the silence is lifted; INT64_MAX: none */
	uint64_t short_us; /* since when the log ends before the ceiling; 0: it does not */
	bool marked; /* a record in front of position was read once: */
	struct mark mark; /* the last one, once what is lent has been given back or a cut was made, */
	struct mark sure; /* and one that was in the log still when all up to `next_sure` had been read */
	struct mark
	    next_sure; /* the last one when it was asked; without a question under way the same as sure, or older */
	struct source_record records[BATCH];
	size_t taken, next;
};

/* What waits to be sent to one dedup actor, or writer of documents. */
struct output {
	uint32_t channel;
	struct rows_writer rows;
	struct letter *letters;
	uint32_t letters_len;
	size_t letters_bytes;
	struct arena arena; /* the letters' bytes: the port's memory does not last */
};

enum ingest_state { INGEST_IDLE, INGEST_DESCRIBING, INGEST_DEPLOYED, INGEST_READING, INGEST_STOPPED };

struct ingest {
	struct actor actor;
	struct ingest_process *process;
	uint64_t attempt;
	enum ingest_state state;
	struct record_parser *parser;
	struct partition *partitions;
	uint32_t partitions_len, next_partition;
	struct output *outputs; /* by route */
	uint32_t outputs_len;
	struct counters counters; /* since the last barrier */
	uint64_t sent, credit; /* bytes since the last barrier, and how many there may be */
	uint64_t barriers; /* n of the last one sent */
	bool silent;
	bool passed; /* since the last barrier, something that is no record */
	uint32_t described; /* partitions of the topic that the attempt knows, or the coordinator was told of */
	struct frame_pending said; /* what the coordinator was told last, its ends included, */
	uint64_t said_us; /* and when */
	bool ends_known; /* it was told so */
	char waiting[512];
	struct buffer values; /* scratch */
	struct marks
	    marks; /* PREPARE: to be compared with what the log holds now; later those that are compared again */
	struct marks told; /* by DEPLOY, of every partition */
	char *cluster; /* as PREPARE found it; NULL: not told */
	bool asking; /* a question is under way: */
	uint64_t asked_us, asked_doubts; /* when it was asked, and the source's doubts by then */
	uint64_t ask_us; /* when the next one is due */
	uint64_t doubts; /* those that are settled */
	char unsure[512]; /* what is waited for until the next one is; empty: nothing */
};

/* --- where it stands ----------------------------------------------------------------------------------------------- */

static struct ingest *ingest_of(struct actor *actor)
{
	return (struct ingest *)actor;
}

static bool has_credit(const struct ingest *ingest)
{
	return ingest->sent < ingest->credit;
}

/* The ingests share the epoch's bytes, so that what is in flight does not grow with their number; one record is always
 * allowed. */
static uint64_t share_of(const struct ingest_process *process, uint64_t bytes)
{
	uint64_t share = bytes / process->topology.ingest;
	return share > 0 ? share : 1;
}

/* While a backlog is drained the epochs grow: they are cheaper by the record, and nobody waits for the newest one. */
static uint64_t next_credit(const struct ingest *ingest)
{
	const struct pipeline *pipeline = ingest->process->pipeline;
	uint64_t most = share_of(ingest->process, pipeline->epoch.max_bytes_behind);
	if (has_credit(ingest))
		return share_of(ingest->process, pipeline->epoch.max_bytes);
	return ingest->credit * 2 < most ? ingest->credit * 2 : most;
}

static bool at_ceiling(const struct ingest *ingest)
{
	for (uint32_t i = 0; i < ingest->partitions_len; i++)
		if (ingest->partitions[i].position < ingest->partitions[i].ceiling)
			return false;
	return true;
}

static bool same_level(const struct frame_pending *said, const struct frame_pending *now)
{
	return said->actor != 0 && said->after == now->after && said->waiting == now->waiting &&
	       said->full == now->full && said->at_ceiling == now->at_ceiling;
}

/* As the source last heard; others than were told. */
static bool ends_are_others(const struct ingest *ingest)
{
	struct source_port *source = ingest->process->source;
	for (uint32_t i = 0; i < ingest->partitions_len; i++) {
		int64_t end = source->ops->end(source, ingest->partitions[i].id);
		if (end >= 0 && end != cut_get(&ingest->said.ends, ingest->partitions[i].id, -1))
			return true;
	}
	return false;
}

static void note_ends(struct ingest *ingest)
{
	struct source_port *source = ingest->process->source;
	for (uint32_t i = 0; i < ingest->partitions_len; i++) {
		int64_t end = source->ops->end(source, ingest->partitions[i].id);
		if (end >= 0)
			cut_set(&ingest->said.ends, ingest->partitions[i].id, end);
	}
}

/* For how long the ends of the partitions have not been known; 0: they are. */
static uint64_t ends_age_us(const struct ingest *ingest, uint64_t now_us)
{
	struct source_port *source = ingest->process->source;
	uint64_t heard_us = source->ops->heard_us(source);
	if (heard_us != 0 && now_us < heard_us + ENDS_OLD_US)
		return 0;
	return heard_us != 0 ? now_us - heard_us : 1;
}

/* A level, not an edge: said again after every barrier for as long as it is so; and as the log grows, for a sink may be away so that no
 * barrier comes, a transaction be open so that nothing can be read, or all have been read before the end was heard. */
static void say_pending(struct ingest *ingest, uint64_t now_us, struct outbox *outbox)
{
	struct frame_pending now = {
	    .actor = ingest->actor.id,
	    .after = ingest->barriers,
	    .waiting = ingest->counters.n[COUNTER_CONSUMED] > 0 || ingest->passed,
	    .full = !has_credit(ingest),
	    .at_ceiling = ingest->silent && at_ceiling(ingest),
	    .ends_age_us = ends_age_us(ingest, now_us),
	};
	bool known = now.ends_age_us == 0, other = known != ingest->ends_known;
	if (now.at_ceiling)
		CRASH_POINT(ingest_ceiling);
	if (now.waiting || now.at_ceiling)
		other = other || !same_level(&ingest->said, &now);
	if (!other && (now_us < ingest->said_us + LOOK_AGAIN_US || !ends_are_others(ingest)))
		return;
	ingest->said_us = now_us;
	note_ends(ingest);
	now.ends = ingest->said.ends;
	ingest->said = now;
	ingest->ends_known = known;
	outbox_report(outbox, FRAME_PENDING, &now);
}

static void say_waiting(struct ingest *ingest, struct outbox *outbox, const char *text)
{
	if (strcmp(ingest->waiting, text) == 0)
		return;
	(void)snprintf(ingest->waiting, sizeof ingest->waiting, "%s", text);
	outbox_report(outbox, FRAME_WAITING, &(struct frame_waiting){.actor = ingest->actor.id, .text = text});
}

/* --- sending ------------------------------------------------------------------------------------------------------- */

static void flush_rows(struct output *output, struct outbox *outbox)
{
	if (output->rows.count == 0)
		return;
	rows_end(&output->rows);
	outbox_send_encoded(outbox, output->channel, FRAME_ROWS, buffer_bytes(&output->rows.body));
	rows_begin(&output->rows);
}

static void flush_letters(struct output *output, struct outbox *outbox)
{
	if (output->letters_len == 0)
		return;
	struct frame_dead_letters letters = {.letters = {output->letters, output->letters_len}};
	outbox_send(outbox, output->channel, FRAME_DEAD_LETTERS, &letters);
	output->letters_len = 0;
	output->letters_bytes = 0;
	arena_clear(&output->arena);
}

/* Any two logs that differ in a record have other digests, but for chance. */
static void digest_add(struct ingest *ingest, const struct source_record *record, uint64_t content)
{
	uint64_t mixed = (content ^ ((uint64_t)record->offset * UINT64_C(0x9e3779b97f4a7c15))) +
	                 record->partition * UINT64_C(0xc2b2ae3d27d4eb4f);
	mixed = (mixed ^ mixed >> 32) * UINT64_C(0xd6e8feb86659fd93);
	ingest->counters.n[COUNTER_DIGEST] += mixed ^ mixed >> 29;
}

static void put_row(struct ingest *ingest, const struct source_record *record, const struct parsed_record *parsed,
    struct outbox *outbox)
{
	const struct pipeline *pipeline = ingest->process->pipeline;
	uint32_t fields = (uint32_t)pipeline->record.fields_len;
	uint64_t hash = key_hash(parsed->values[pipeline->record.key].text);
	struct output *output = &ingest->outputs[key_group_owner(
	    key_group(hash, pipeline->key_groups), pipeline->key_groups, ingest->outputs_len)];
	buffer_clear(&ingest->values);
	row_encode_values(&ingest->values, parsed->values, fields);
	struct bytes content = buffer_bytes(&ingest->values);
	if (MUTANT(content_cut))
		content.len -= 1;
	size_t before = output->rows.body.len;
	uint64_t hash_of_content = key_hash(content);
	digest_add(ingest, record, hash_of_content);
	rows_put(&output->rows, record->partition, record->offset, record->timestamp_ms, hash_of_content, fields,
	    buffer_bytes(&ingest->values));
	ingest->sent += output->rows.body.len - before;
	if (output->rows.body.len >= FRAME_BODY_TARGET)
		flush_rows(output, outbox);
}

static struct bytes keep(struct arena *arena, struct bytes bytes)
{
	if (bytes.data == NULL)
		return bytes;
	return (struct bytes){arena_clone(arena, bytes.data, bytes.len), bytes.len};
}

static void put_letter(struct ingest *ingest, const struct source_record *record, const char *reason,
    const char *detail, struct outbox *outbox)
{
	struct output *output = &ingest->outputs[record->partition % ingest->outputs_len];
	char words[LETTER_DETAIL_MAX];
	struct letter letter = {
	    .partition = record->partition,
	    .offset = record->offset,
	    .key = record->key,
	    .payload = record->payload,
	    .payload_raw = true,
	    .reason = {(const uint8_t *)reason, strlen(reason)}, /* a word of the parser's table */
	    .detail = {(const uint8_t *)detail, strlen(detail)},
	};
	letter_cut(&letter, words);
	size_t size = letter_size(&letter);
	if (output->letters_bytes + size > LETTERS_BYTES)
		flush_letters(output, outbox);
	letter.key = keep(&output->arena, letter.key);
	letter.payload = keep(&output->arena, letter.payload);
	letter.detail = keep(&output->arena, letter.detail);
	output->letters = memory_resize(output->letters, output->letters_len + 1, sizeof *output->letters);
	output->letters[output->letters_len++] = letter;
	output->letters_bytes += size;
	ingest->sent += size;
}

static void put_record(struct ingest *ingest, const struct source_record *record, struct outbox *outbox)
{
	struct parsed_record parsed;
	record_parse(ingest->parser, record->payload, record->timestamp_ms, &parsed);
	ingest->counters.n[COUNTER_CONSUMED]++;
	if (parsed.reason == NULL) {
		ingest->counters.n[COUNTER_UNKNOWN_FIELDS] += parsed.unknown_fields;
		put_row(ingest, record, &parsed, outbox);
		return;
	}
	ingest->counters.n[COUNTER_DEAD]++;
	digest_add(ingest, record, key_hash(record->payload));
	if (ingest->process->topology.plan->has_letters)
		put_letter(ingest, record, parsed.reason, parsed.detail, outbox);
}

/* --- reading ------------------------------------------------------------------------------------------------------- */

/* The log may go on with what is no record. In silence the cut that the ceiling is of was beyond it, too. */
static void pass_to(struct ingest *ingest, struct partition *partition, int64_t position)
{
	if (position > partition->ceiling)
		position = partition->ceiling;
	if (position <= partition->position || MUTANT(gap_not_passed))
		return;
	partition->position = position;
	ingest->passed = true;
}

/* Something has happened after which it may be another log: nothing is read until the records of before were seen again. */
static bool in_doubt(const struct ingest *ingest)
{
	struct source_port *source = ingest->process->source;
	return source->ops->doubts(source) != ingest->doubts && !MUTANT(read_in_doubt);
}

/* Only the last record of what is lent, or in front of a cut, is hashed: a record costs nothing. */
static void mark_last(struct partition *partition)
{
	if (partition->next == 0)
		return;
	const struct source_record *record = &partition->records[partition->next - 1];
	if (partition->marked && partition->mark.offset == record->offset)
		return;
	partition->mark = (struct mark){partition->id, record->offset, record_mark(record)};
	if (!partition->marked || MUTANT(sure_of_the_last))
		partition->sure = partition->next_sure = partition->mark;
	partition->marked = true;
}

/* Reads what is lent as far as credit and ceiling allow; returns how many records. */
static size_t read_lent(struct ingest *ingest, struct partition *partition, struct outbox *outbox)
{
	size_t read = 0;
	while (partition->next < partition->taken && has_credit(ingest)) {
		const struct source_record *record = &partition->records[partition->next];
		if (record->offset >= partition->ceiling && !MUTANT(no_ceiling)) {
			pass_to(ingest, partition, partition->ceiling);
			break;
		}
		CHECK(record->offset >= partition->position);
		put_record(ingest, record, outbox);
		partition->position = record->offset + 1;
		partition->next++;
		read++;
	}
	if (partition->taken > 0 && partition->next == partition->taken) {
		struct source_port *source = ingest->process->source;
		if (!MUTANT(mark_of_cut_only))
			mark_last(partition);
		source->ops->give_back(source, partition->records, partition->taken);
		partition->taken = partition->next = 0;
	}
	return read;
}

static enum result read_partition(
    struct ingest *ingest, struct partition *partition, struct outbox *outbox, size_t *read, struct error *error)
{
	struct source_port *source = ingest->process->source;
	*read = 0;
	if (partition->taken == 0 && partition->position < partition->ceiling) {
		enum result result =
		    source->ops->take(source, partition->id, partition->records, BATCH, &partition->taken, error);
		partition->next = 0;
		if (result != RESULT_OK)
			return result;
	}
	if (in_doubt(ingest)) /* asked behind take: what was lent before is of the log of before */
		return RESULT_OK;
	*read = read_lent(ingest, partition, outbox);
	if (partition->taken == 0)
		pass_to(ingest, partition, source->ops->position(source, partition->id));
	return RESULT_OK;
}

static enum result read_all(struct ingest *ingest, struct outbox *outbox, struct error *error)
{
	size_t in_all = 0;
	uint32_t idle = 0;
	if (MUTANT(first_partition_first))
		ingest->next_partition = 0;
	while (idle < ingest->partitions_len && has_credit(ingest) && in_all < RECORDS_PER_TICK) {
		struct partition *partition = &ingest->partitions[ingest->next_partition++ % ingest->partitions_len];
		size_t read;
		enum result result = read_partition(ingest, partition, outbox, &read, error);
		if (result != RESULT_OK)
			return result;
		in_all += read;
		idle = read ? 0 : idle + 1;
	}
	if (in_all >= RECORDS_PER_TICK)
		ingest->actor.wake_us = WAKE_NOW;
	return RESULT_OK;
}

/* A log that ends before the frontier is not the log that the database was filled from. A broker that has just become
 * the leader may tell an end that lags, but not for long. */
static enum result check_ends(struct ingest *ingest, uint64_t now_us, struct error *error)
{
	struct source_port *source = ingest->process->source;
	for (uint32_t i = 0; ingest->silent && i < ingest->partitions_len; i++) {
		struct partition *partition = &ingest->partitions[i];
		int64_t end = source->ops->end(source, partition->id);
		if (end < 0 || partition->ceiling == INT64_MAX || end >= partition->ceiling)
			partition->short_us = 0;
		else if (partition->short_us == 0)
			partition->short_us = now_us;
		else if (now_us - partition->short_us >= SHORT_US)
			return error_stop(error, STOP_OTHER_LOG,
			    "partition %u of topic %s ends at offset %" PRId64
			    ", but the database was filled up to %" PRId64
			    ": the topic was made anew or has lost records",
			    partition->id, ingest->process->pipeline->source.topic, end, partition->ceiling);
	}
	return RESULT_OK;
}

/* Partitions are fixed for an attempt: the coordinator begins a new one for those that were added. */
static void look_at_partitions(struct ingest *ingest, struct outbox *outbox)
{
	struct source_port *source = ingest->process->source;
	uint32_t partitions = source->ops->partitions(source);
	if (partitions <= ingest->described)
		return;
	ingest->described = partitions;
	outbox_report(outbox, FRAME_DESCRIBED, &(struct frame_described){.partitions = partitions});
}

static enum result look_at_source(struct ingest *ingest, uint64_t now_us, struct outbox *outbox, struct error *error)
{
	struct source_port *source = ingest->process->source;
	struct error health = {0};
	enum result result = source->ops->health(source, &health);
	if (result == RESULT_OK || result == RESULT_RETRY) {
		say_waiting(ingest, outbox, result == RESULT_OK ? ingest->unsure : health.text);
		return check_ends(ingest, now_us, error);
	}
	*error = health;
	return result;
}

static enum result other_log(
    const struct ingest *ingest, const struct recall *recall, const char *found, struct error *error)
{
	return error_stop(error, STOP_OTHER_LOG,
	    "topic %s is not the one that was read, it was made anew or has lost records: of partition %" PRIu32
	    " a record was read at offset %" PRId64 ", and %s",
	    ingest->process->pipeline->source.topic, recall->mark.partition, recall->mark.offset, found);
}

/* The log that is there now has to be the one that was read. */
static enum result check_recall(
    const struct ingest *ingest, const struct recall *recall, uint32_t partitions, struct error *error)
{
	char found[80] = "there is no record";
	if (MUTANT(mark_not_compared))
		return RESULT_OK;
	switch (recall->now) {
	case RECALLED_UNKNOWN:
		return RESULT_OK;
	case RECALLED_THERE:
		return recall->hash == recall->mark.hash ? RESULT_OK
		                                         : other_log(ingest, recall, "there is another one", error);
	case RECALLED_GONE:
		if (ingest->state == INGEST_READING)
			return RESULT_OK; /* retention goes on */
		log_warn("topic %s does not hold offset %" PRId64 " of partition %" PRIu32
		         " any more: it cannot be seen whether this is still the log that was read",
		    ingest->process->pipeline->source.topic, recall->mark.offset, recall->mark.partition);
		return RESULT_OK;
	case RECALLED_SHORT:
		(void)snprintf(found, sizeof found, "the log ends at offset %" PRId64, recall->end);
		break;
	case RECALLED_ABSENT:
		if (recall->mark.partition >= partitions)
			(void)snprintf(found, sizeof found, "the topic has %" PRIu32 " partitions", partitions);
		break;
	}
	return other_log(ingest, recall, found, error);
}

/* Of the first partition that differs the last record is named. */
static enum result check_recalls(const struct ingest *ingest, const struct description *found, struct error *error)
{
	bool differs = false;
	for (uint32_t i = 0; i < found->recalls_len; i++) {
		const struct recall *recall = &found->recalls[i];
		if (differs && recall[-1].mark.partition != recall->mark.partition)
			break;
		if (check_recall(ingest, recall, found->partitions, error) != RESULT_OK)
			differs = true;
	}
	return differs ? error->code : RESULT_OK;
}

static void note_cluster(struct ingest *ingest, const struct facts *facts)
{
	const char *cluster = facts_get(facts, FACT_CLUSTER);
	free(ingest->cluster);
	ingest->cluster = cluster != NULL ? text_clone(cluster) : NULL;
}

static enum result describe(struct ingest *ingest, uint64_t now_us, struct outbox *outbox, struct error *error)
{
	struct source_port *source = ingest->process->source;
	struct description found = {0};
	struct error why = {0};
	enum result result = source->ops->describe(source, &ingest->marks, &found, &why);
	if (result == RESULT_OK && found.partitions > TOPIC_PARTITIONS_MAX)
		result =
		    error_stop(&why, STOP_TOO_MANY_PARTITIONS, "topic %s has %u partitions, and a job reads at most %d",
		        ingest->process->pipeline->source.topic, found.partitions, TOPIC_PARTITIONS_MAX);
	if (result == RESULT_OK)
		result = check_recalls(ingest, &found, &why);
	if (result == RESULT_RETRY) {
		say_waiting(ingest, outbox, why.text);
		ingest->actor.wake_us = now_us + DESCRIBE_PAUSE_US;
		result = RESULT_OK;
	} else if (result == RESULT_OK) {
		say_waiting(ingest, outbox, "");
		outbox_report(outbox, FRAME_DESCRIBED,
		    &(struct frame_described){
		        .partitions = found.partitions, .start = found.start, .facts = found.facts});
		note_cluster(ingest, &found.facts);
		ingest->state = INGEST_IDLE;
	} else {
		*error = why;
	}
	description_fini(&found);
	return result;
}

/* --- still the same log? ------------------------------------------------------------------------------------------- */

/* A topic is made anew as a whole, so where none of our partitions was read yet those of others tell. */
static void ask_of_others(struct ingest *ingest)
{
	for (uint32_t i = 0; i < ingest->told.len && !MUTANT(own_marks_only); i++)
		marks_add(&ingest->marks, &ingest->told.entries[i]);
}

/* A topic may be deleted and made anew under an ingest that reads it, or its cluster be another one. So records that were read are
 * read again, now and then, and before anything more is read where the source has a doubt. Asked are, of each partition, the last
 * record (`next_sure`), and one that was the last when it was asked before (`sure`): as that is still there, all that was read up to
 * now is of one log, and `next_sure` takes its place. So what a barrier names as sure is of the log of before, however fast another
 * one took its place: who starts next compares it. */
static void confirm_begin(struct ingest *ingest, uint64_t now_us)
{
	struct source_port *source = ingest->process->source;
	ingest->asked_doubts = source->ops->doubts(source);
	ingest->asked_us = now_us;
	ingest->asking = true;
	ingest->marks.len = 0;
	for (uint32_t i = 0; i < ingest->partitions_len; i++) {
		struct partition *partition = &ingest->partitions[i];
		if (!partition->marked)
			continue;
		partition->next_sure = partition->mark;
		marks_add(&ingest->marks, &partition->sure);
		marks_add(&ingest->marks, &partition->next_sure);
	}
	if (ingest->marks.len == 0)
		ask_of_others(ingest);
}

static void confirm_end(struct ingest *ingest, uint64_t now_us)
{
	uint64_t pause_us = (now_us - ingest->asked_us) * CONFIRM_SHARE;
	for (uint32_t i = 0; i < ingest->partitions_len; i++)
		ingest->partitions[i].sure = ingest->partitions[i].next_sure;
	ingest->asking = false;
	ingest->doubts = ingest->asked_doubts;
	ingest->ask_us = now_us + (pause_us > CONFIRM_US ? pause_us : CONFIRM_US);
}

/* The next attempt compares it with what is remembered, and says what to do. */
static enum result check_cluster(const struct ingest *ingest, const struct facts *facts, struct error *error)
{
	const char *cluster = facts_get(facts, FACT_CLUSTER);
	if (ingest->cluster == NULL || cluster == NULL || strcmp(ingest->cluster, cluster) == 0)
		return RESULT_OK;
	return error_set(
	    error, RESULT_CORRUPT, "the Kafka cluster was '%s', and now it is '%s'", ingest->cluster, cluster);
}

static enum result confirm(struct ingest *ingest, uint64_t now_us, struct error *error)
{
	struct source_port *source = ingest->process->source;
	struct description found = {0};
	struct error why = {0};
	if (ingest->ask_us == 0)
		ingest->ask_us = now_us + CONFIRM_US; /* PREPARE compared just now */
	bool due = now_us >= ingest->ask_us || in_doubt(ingest);
	if ((!ingest->asking && !due) || ingest->partitions_len == 0 || MUTANT(log_not_confirmed))
		return RESULT_OK;
	if (!ingest->asking)
		confirm_begin(ingest, now_us);
	if (ingest->marks.len == 0 && in_doubt(ingest) && !MUTANT(doubt_forgotten))
		return error_set(error, RESULT_RETRY,
		    "Kafka was away, or the topic, before any record had been read here: the next attempt finds out "
		    "whether it is the same topic");
	enum result result = source->ops->describe(source, &ingest->marks, &found, &why);
	ingest->unsure[0] = '\0';
	if (result == RESULT_RETRY) {
		if (in_doubt(ingest) && now_us >= ingest->asked_us + UNSURE_US)
			(void)snprintf(ingest->unsure, sizeof ingest->unsure, "%.500s", why.text);
		ingest->actor.wake_us = now_us + (in_doubt(ingest) ? DOUBT_PAUSE_US : DESCRIBE_PAUSE_US);
		return RESULT_OK;
	}
	if (result == RESULT_OK)
		result = check_recalls(ingest, &found, &why);
	if (result == RESULT_OK)
		result = check_cluster(ingest, &found.facts, &why);
	if (result == RESULT_OK)
		confirm_end(ingest, now_us);
	else
		*error = why;
	if (in_doubt(ingest))
		ingest->actor.wake_us = now_us + DOUBT_PAUSE_US;
	description_fini(&found);
	return result;
}

static enum result on_tick(struct actor *actor, uint64_t now_us, struct outbox *outbox, struct error *error)
{
	struct ingest *ingest = ingest_of(actor);
	enum result result = RESULT_OK;
	actor->wake_us = WAKE_NEVER;
	if (ingest->state == INGEST_DESCRIBING)
		return describe(ingest, now_us, outbox, error);
	if (ingest->state != INGEST_READING)
		return RESULT_OK;
	actor->wake_us = now_us + LOOK_AGAIN_US;
	look_at_partitions(ingest, outbox);
	result = confirm(ingest, now_us, error);
	if (result == RESULT_OK)
		result = look_at_source(ingest, now_us, outbox, error);
	if (result == RESULT_OK)
		result = read_all(ingest, outbox, error);
	if (result == RESULT_OK)
		say_pending(ingest, now_us, outbox);
	return result;
}

/* --- commands ------------------------------------------------------------------------------------------------------ */

/* The last of its records that were read before; where the log is read from the start of the job there is none. */
static void find_mark(struct partition *partition, const struct marks *marks)
{
	for (uint32_t i = 0; i < marks->len; i++) {
		const struct mark *mark = &marks->entries[i];
		if (mark->partition == partition->id && mark->offset < partition->position) {
			partition->marked = true;
			partition->mark = *mark; /* they are sorted */
			partition->sure = partition->next_sure = *mark;
		}
	}
}

static void add_partition(struct ingest *ingest, uint32_t id, int64_t position, const struct marks *marks)
{
	ingest->partitions = memory_resize(ingest->partitions, ingest->partitions_len + 1, sizeof *ingest->partitions);
	struct partition *partition = &ingest->partitions[ingest->partitions_len++];
	*partition = (struct partition){.id = id, .position = position, .ceiling = INT64_MAX};
	if (!MUTANT(mark_forgotten))
		find_mark(partition, marks);
}

static const char *worker_of(const struct places *places, uint32_t actor)
{
	for (uint32_t i = 0; i < places->len; i++)
		if (places->entries[i].actor == actor)
			return places->entries[i].worker;
	return "";
}

/* The first actor of the process has the shared port read the partitions of all of them. */
static enum result assign(struct ingest *ingest, const struct frame_deploy *deploy, struct error *error)
{
	struct ingest_process *process = ingest->process;
	const char *here = worker_of(&deploy->places, ingest->actor.id);
	struct cut positions = {0};
	if (process->assigned)
		return RESULT_OK;
	for (uint32_t p = 0; p < deploy->partitions; p++) {
		uint32_t owner = actor_id(ROLE_INGEST, p % process->topology.ingest);
		if (strcmp(worker_of(&deploy->places, owner), here) == 0)
			cut_set(&positions, p, cut_get(&deploy->base_cut, p, 0));
	}
	enum result result = process->source->ops->assign(process->source, &positions, error);
	process->assigned = result == RESULT_OK;
	cut_fini(&positions);
	return result;
}

static enum result on_prepare(
    struct actor *actor, uint32_t channel, const struct frame *command, struct outbox *outbox, struct error *error)
{
	struct ingest *ingest = ingest_of(actor);
	(void)channel, (void)outbox, (void)error;
	if (command->body.prepare.actor != actor->id)
		return RESULT_OK;
	ingest->state = INGEST_DESCRIBING;
	marks_copy(&ingest->marks, &command->body.prepare.marks);
	actor->wake_us = WAKE_NOW;
	return RESULT_OK;
}

static enum result on_deploy(
    struct actor *actor, uint32_t channel, const struct frame *command, struct outbox *outbox, struct error *error)
{
	struct ingest *ingest = ingest_of(actor);
	const struct frame_deploy *deploy = &command->body.deploy;
	(void)channel, (void)outbox;
	const struct topology *topology = &ingest->process->topology;
	ingest->described = (uint32_t)deploy->partitions;
	marks_copy(&ingest->told, &deploy->marks);
	for (uint32_t p = 0; p < deploy->partitions; p++)
		if (p % topology->ingest == actor_index(ingest->actor.id))
			add_partition(ingest, p, cut_get(&deploy->base_cut, p, 0), &deploy->marks);
	ingest->silent = !cut_equal(&deploy->base_cut, &deploy->frontier_cut);
	/* In silence a partition that the frontier does not name is not read at all. */
	for (uint32_t i = 0; ingest->silent && i < ingest->partitions_len; i++) {
		struct partition *partition = &ingest->partitions[i];
		partition->ceiling = cut_get(&deploy->frontier_cut, partition->id, partition->position);
	}
	ingest->state = INGEST_DEPLOYED;
	return assign(ingest, deploy, error);
}

static enum result on_start(
    struct actor *actor, uint32_t channel, const struct frame *command, struct outbox *outbox, struct error *error)
{
	(void)channel, (void)command, (void)outbox, (void)error;
	CRASH_POINT(ingest_started);
	ingest_of(actor)->state = INGEST_READING;
	actor->wake_us = WAKE_NOW;
	return RESULT_OK;
}

static enum result on_inject(
    struct actor *actor, uint32_t channel, const struct frame *command, struct outbox *outbox, struct error *error)
{
	struct ingest *ingest = ingest_of(actor);
	const struct frame_inject *inject = &command->body.inject;
	(void)channel;
	struct frame_barrier barrier = {.epoch = inject->epoch,
	    .base = inject->base,
	    .checkpoint = inject->checkpoint,
	    .lift = inject->lift,
	    .stop = inject->stop};
	struct share share = {.actor = ingest->actor.id};
	if ((ingest->state != INGEST_READING && ingest->state != INGEST_STOPPED) ||
	    inject->epoch.n != ingest->barriers + 1)
		return error_set(error, RESULT_CORRUPT, "told to cut epoch %" PRIu64 " after %" PRIu64, inject->epoch.n,
		    ingest->barriers);
	for (uint32_t i = 0; i < ingest->partitions_len; i++) {
		struct partition *partition = &ingest->partitions[i];
		cut_set(&barrier.cut, partition->id, partition->position + (MUTANT(cut_off_by_one) ? 1 : 0));
		mark_last(partition);
		if (!partition->marked)
			continue;
		marks_add(&barrier.marks, &partition->sure);
		marks_add(&barrier.marks, &partition->mark);
	}
	if (!ingest->process->topology.plan->counts_at_sink)
		share.counters = ingest->counters;
	barrier.shares = (struct shares){&share, 1};
	CRASH_POINT(ingest_barrier);
	for (uint32_t i = 0; i < ingest->outputs_len; i++) {
		flush_rows(&ingest->outputs[i], outbox);
		flush_letters(&ingest->outputs[i], outbox);
		outbox_send(outbox, ingest->outputs[i].channel, FRAME_BARRIER, &barrier);
	}
	cut_fini(&barrier.cut);
	marks_fini(&barrier.marks);
	ingest->credit = next_credit(ingest);
	if (!MUTANT(credit_not_reset))
		ingest->sent = 0;
	ingest->counters = (struct counters){0};
	ingest->passed = false;
	ingest->barriers = inject->epoch.n;
	if (inject->lift) {
		ingest->silent = false;
		for (uint32_t i = 0; i < ingest->partitions_len; i++)
			ingest->partitions[i].ceiling = INT64_MAX;
	}
	if (inject->stop)
		ingest->state = INGEST_STOPPED;
	ingest->actor.wake_us = WAKE_NOW;
	return RESULT_OK;
}

static enum result on_committed(
    struct actor *actor, uint32_t channel, const struct frame *command, struct outbox *outbox, struct error *error)
{
	struct ingest *ingest = ingest_of(actor);
	const struct frame_committed *committed = &command->body.committed;
	(void)channel, (void)outbox, (void)error;
	struct source_port *source = ingest->process->source;
	struct cut mine = {0};
	for (uint32_t i = 0; i < ingest->partitions_len; i++)
		if (cut_names(&committed->cut, ingest->partitions[i].id))
			cut_set(&mine, ingest->partitions[i].id, cut_get(&committed->cut, ingest->partitions[i].id, 0));
	if (mine.len > 0)
		source->ops->commit_group(source, &mine);
	cut_fini(&mine);
	return RESULT_OK;
}

static bool accepts(const struct actor *actor, uint32_t channel)
{
	(void)actor, (void)channel;
	return false;
}

static void ingest_free(struct actor *actor)
{
	struct ingest *ingest = ingest_of(actor);
	struct source_port *source = ingest->process->source;
	for (uint32_t i = 0; i < ingest->partitions_len; i++)
		if (ingest->partitions[i].taken > 0)
			source->ops->give_back(source, ingest->partitions[i].records, ingest->partitions[i].taken);
	for (uint32_t i = 0; i < ingest->outputs_len; i++) {
		buffer_fini(&ingest->outputs[i].rows.body);
		free(ingest->outputs[i].letters);
		arena_fini(&ingest->outputs[i].arena);
	}
	record_parser_free(ingest->parser);
	buffer_fini(&ingest->values);
	cut_fini(&ingest->said.ends);
	marks_fini(&ingest->marks);
	marks_fini(&ingest->told);
	free(ingest->cluster);
	free(ingest->partitions);
	free(ingest->outputs);
	free(ingest);
}

const struct actor_ops ingest_ops = {
    .accepts = accepts,
    .handlers =
        {
            [FRAME_PREPARE] = on_prepare,
            [FRAME_DEPLOY] = on_deploy,
            [FRAME_START] = on_start,
            [FRAME_INJECT] = on_inject,
            [FRAME_COMMITTED] = on_committed,
        },
    .on_tick = on_tick,
    .free = ingest_free,
};

struct actor *ingest_new(struct ingest_process *process, uint32_t id, uint64_t attempt, struct error *error)
{
	struct record_parser *parser;
	if (record_parser_new(&parser, process->pipeline, error) != RESULT_OK)
		return NULL;
	struct ingest *ingest = memory_new(sizeof *ingest);
	ingest->actor =
	    (struct actor){.ops = &ingest_ops, .id = id, .event_fd = process->source->event_fd, .wake_us = WAKE_NEVER};
	ingest->process = process;
	ingest->attempt = attempt;
	ingest->parser = parser;
	ingest->credit = share_of(process, process->pipeline->epoch.max_bytes);
	ingest->outputs_len = topology_routes(&process->topology);
	ingest->outputs = memory_resize(NULL, ingest->outputs_len, sizeof *ingest->outputs);
	for (uint32_t i = 0; i < ingest->outputs_len; i++) {
		ingest->outputs[i] = (struct output){
		    .channel = topology_channel(&process->topology, id, topology_route(&process->topology, i)),
		};
		rows_begin(&ingest->outputs[i].rows);
	}
	return &ingest->actor;
}
