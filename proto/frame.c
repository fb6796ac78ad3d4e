#include "proto/frame.h"

#include <stddef.h>
#include <string.h>

#include <msgpack.h>

#include "common/base/key_group.h"
#include "common/base/mutant.h"
#include "proto/frame_fields.h"

enum { FRAME_MAGIC = 0x43554c53 }; /* "SLUC" */

/* --- the table --------------------------------------------------------------------------------------------- */

#define FIELD(S, field_type, field_name, field_what)                                                                   \
	{.type = TYPE_##field_type,                                                                                    \
	    .offset = offsetof(struct frame_##S, field_name),                                                          \
	    .name = #field_name,                                                                                       \
	    .what = (field_what)},
#define FRAME(KIND, frame_name, number, frame_what)                                                                    \
	static const struct field_row fields_of_##frame_name[] = {FRAME_##KIND##_FIELDS(FIELD, frame_name)};
FRAMES(FRAME)
#undef FRAME
#undef FIELD

const struct frame_row frame_rows[] = {
#define FRAME(KIND, frame_name, number, frame_what)                                                                    \
	{.kind = FRAME_##KIND,                                                                                         \
	    .name = #KIND,                                                                                             \
	    .what = (frame_what),                                                                                      \
	    .fields = fields_of_##frame_name,                                                                          \
	    .fields_len = sizeof fields_of_##frame_name / sizeof *fields_of_##frame_name,                              \
	    .size = sizeof(struct frame_##frame_name)},
    FRAMES(FRAME)
#undef FRAME
};
const size_t frame_rows_len = sizeof frame_rows / sizeof *frame_rows;

const struct frame_route frame_routes[] = {
#define ROUTE(KIND, sender, receiver) {FRAME_##KIND, PARTY_##sender, PARTY_##receiver},
    FRAME_ROUTES(ROUTE)
#undef ROUTE
};
const size_t frame_routes_len = sizeof frame_routes / sizeof *frame_routes;

#define FRAME(KIND, frame_name, number, frame_what)                                                                    \
	_Static_assert((number) < FRAME_KINDS, "a table by kind has room for " #KIND);
FRAMES(FRAME)
#undef FRAME

const struct frame_row *frame_row_of(enum frame_kind kind)
{
	for (size_t i = 0; i < frame_rows_len; i++)
		if (frame_rows[i].kind == kind)
			return &frame_rows[i];
	return NULL;
}

const char *frame_kind_name(enum frame_kind kind)
{
	const struct frame_row *row = frame_row_of(kind);
	return row ? row->name : "(unknown kind)";
}

const char *frame_party_name(enum frame_party party)
{
	static const char *const names[PARTIES] = {"nobody",
#define PARTY(name, words) words,
	    FRAME_PARTIES(PARTY)
#undef PARTY
	};
	return (unsigned)party < PARTIES ? names[party] : names[PARTY_NONE];
}

bool frame_travels(enum frame_kind kind, enum frame_party from, enum frame_party to)
{
	for (size_t i = 0; i < frame_routes_len; i++)
		if (frame_routes[i].kind == kind && frame_routes[i].from == from && frame_routes[i].to == to)
			return true;
	return false;
}

uint32_t frame_job(const char *job)
{
	return (uint32_t)key_hash((struct bytes){(const uint8_t *)job, strlen(job)});
}

/* --- the header ----------------------------------------------------------------------------------------------- */

static void put(uint8_t *at, uint64_t value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get(const uint8_t *at, size_t size)
{
	uint64_t value = 0;
	for (size_t i = 0; i < size; i++)
		value |= (uint64_t)at[i] << (8 * i);
	return value;
}

enum {
	AT_MAGIC = 0,
	AT_VERSION = 4,
	AT_KIND = 6,
	AT_JOB = 8,
	AT_CHANNEL = 12,
	AT_ATTEMPT = 16,
	AT_SEQUENCE = 24,
	AT_LENGTH = 32,
	AT_ZERO = 36,
	AT_CHECKSUM = 40
};

/* Over the header without its checksum and the body: one pass over the bytes, the header's part as the seed. */
static uint64_t checksum(const uint8_t *message, size_t body_len)
{
	return XXH3_64bits_withSeed(message + FRAME_HEADER_SIZE, body_len, XXH3_64bits(message, AT_CHECKSUM));
}

void frame_header_write(uint8_t *message, size_t body_len, const struct frame_header *header)
{
	CHECK(body_len <= FRAME_MAX - FRAME_HEADER_SIZE);
	put(message + AT_MAGIC, FRAME_MAGIC, 4);
	put(message + AT_VERSION, WIRE_VERSION, 2);
	put(message + AT_KIND, (uint64_t)header->kind, 2);
	put(message + AT_JOB, header->job, 4);
	put(message + AT_CHANNEL, header->channel, 4);
	put(message + AT_ATTEMPT, header->attempt, 8);
	put(message + AT_SEQUENCE, header->sequence, 8);
	put(message + AT_LENGTH, body_len, 4);
	put(message + AT_ZERO, 0, 4);
	put(message + AT_CHECKSUM, checksum(message, body_len), 8);
}

static enum result read_header(struct bytes message, struct frame *frame, size_t *whole, struct error *error)
{
	const uint8_t *at = message.data;
	if (message.len < FRAME_HEADER_SIZE)
		return error_set(error, RESULT_CORRUPT, "frame of %zu bytes is shorter than its header", message.len);
	if (get(at + AT_MAGIC, 4) != FRAME_MAGIC)
		return error_set(error, RESULT_CORRUPT, "not a frame of ours (bad magic)");
	if (get(at + AT_VERSION, 2) != WIRE_VERSION)
		return error_stop(error, STOP_OTHER_RELEASE,
		    "the other side speaks wire version %u, this program speaks %u", (unsigned)get(at + AT_VERSION, 2),
		    WIRE_VERSION);
	uint64_t len = get(at + AT_LENGTH, 4);
	if (len > message.len - FRAME_HEADER_SIZE || len > FRAME_MAX - FRAME_HEADER_SIZE || get(at + AT_ZERO, 4) != 0)
		return error_set(error, RESULT_CORRUPT, "frame names a body of %llu bytes, %zu are there",
		    (unsigned long long)len, message.len - FRAME_HEADER_SIZE);
	if (get(at + AT_CHECKSUM, 8) != checksum(at, (size_t)len) && !MUTANT(checksum_unchecked))
		return error_set(error, RESULT_CORRUPT, "frame checksum does not match");
	frame->header = (struct frame_header){
	    .kind = (enum frame_kind)get(at + AT_KIND, 2),
	    .job = (uint32_t)get(at + AT_JOB, 4),
	    .channel = (uint32_t)get(at + AT_CHANNEL, 4),
	    .attempt = get(at + AT_ATTEMPT, 8),
	    .sequence = get(at + AT_SEQUENCE, 8),
	};
	frame->encoded_body = (struct bytes){at + FRAME_HEADER_SIZE, (size_t)len};
	*whole = FRAME_HEADER_SIZE + (size_t)len;
	return RESULT_OK;
}

/* --- bodies ---------------------------------------------------------------------------------------------------- */

static bool is_raw(const struct frame_row *row)
{
	return row->fields_len == 1 && row->fields[0].type == TYPE_RAW;
}

static int append(void *data, const char *bytes, size_t len)
{
	buffer_append(data, bytes, len);
	return 0;
}

void frame_encode_body(struct buffer *out, enum frame_kind kind, const void *body)
{
	const struct frame_row *row = frame_row_of(kind);
	CHECK(row != NULL);
	if (!is_raw(row)) {
		msgpack_packer packer;
		msgpack_packer_init(&packer, out, append);
		msgpack_pack_array(&packer, row->fields_len);
	}
	for (size_t i = 0; i < row->fields_len; i++)
		field_encode(row->fields[i].type, out, (const uint8_t *)body + row->fields[i].offset);
}

void frame_encode(struct buffer *out, const struct frame_header *header, const void *body)
{
	size_t start = out->len;
	buffer_reserve(out, FRAME_HEADER_SIZE);
	out->len += FRAME_HEADER_SIZE;
	frame_encode_body(out, header->kind, body);
	frame_header_write(out->data + start, out->len - start - FRAME_HEADER_SIZE, header);
}

void frame_encode_raw(struct buffer *out, const struct frame_header *header, struct bytes encoded_body)
{
	uint8_t *message = buffer_reserve(out, FRAME_HEADER_SIZE + encoded_body.len);
	if (encoded_body.len)
		memcpy(message + FRAME_HEADER_SIZE, encoded_body.data, encoded_body.len);
	frame_header_write(message, encoded_body.len, header);
	out->len += FRAME_HEADER_SIZE + encoded_body.len;
}

static enum result decode_body(struct frame *frame, struct arena *arena, struct error *error)
{
	const struct frame_row *row = frame_row_of(frame->header.kind);
	if (row == NULL)
		return error_set(error, RESULT_CORRUPT, "unknown frame kind %d", (int)frame->header.kind);
	memset(&frame->body, 0, row->size);
	struct wire wire = wire_open(frame->encoded_body);
	if (!is_raw(row) && wire_array(&wire) != row->fields_len)
		return error_set(error, RESULT_CORRUPT, "%s has not %zu fields", row->name, row->fields_len);
	for (size_t i = 0; i < row->fields_len; i++) {
		field_decode(row->fields[i].type, &wire, arena, (uint8_t *)&frame->body + row->fields[i].offset);
		if (wire.bad)
			return error_set(
			    error, RESULT_CORRUPT, "%s: field %s is malformed", row->name, row->fields[i].name);
	}
	if (!wire_done(&wire))
		return error_set(error, RESULT_CORRUPT, "%s: bytes behind the last field", row->name);
	return RESULT_OK;
}

enum result frame_decode(
    struct bytes message, struct arena *arena, struct frame *frame, size_t *used, struct error *error)
{
	size_t whole = 0;
	enum result result = read_header(message, frame, &whole, error);
	if (result != RESULT_OK)
		return result;
	if (used == NULL && whole != message.len)
		return error_set(error, RESULT_CORRUPT, "%zu bytes behind the frame", message.len - whole);
	if (used != NULL)
		*used = whole;
	return decode_body(frame, arena, error);
}

void frame_print(const struct frame *frame, struct buffer *out)
{
	const struct frame_row *row = frame_row_of(frame->header.kind);
	if (row == NULL) {
		buffer_printf(out, "(unknown kind %d)", (int)frame->header.kind);
		return;
	}
	buffer_append_text(out, row->name);
	for (size_t i = 0; i < row->fields_len; i++) {
		buffer_printf(out, " %s=", row->fields[i].name);
		field_print(row->fields[i].type, out, (const uint8_t *)&frame->body + row->fields[i].offset);
	}
}
