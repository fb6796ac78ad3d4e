/* proto/frame.h - the only thing processes exchange: a fixed header, then a msgpack body.
 *
 * Header, little endian: magic u32, version u16, kind u16, job u32, channel u32, attempt u64, sequence u64, length u32,
 * zero u32, checksum u64 (XXH3-64 of the header with checksum 0 and the body). It is checked before anything
 * is decoded. A body is a msgpack array of the kind's fields in table order; a ROWS body is the array of rows itself.
 *
 * Ownership: decoded bodies point into the message and the arena that were given.
 * Errors:    CORRUPT for anything that is not exactly a frame; another wire version is CONFIG, with both named.
 * Limits:    FRAME_MAX bytes a message; counts are checked against the bytes that are left before anything is taken.
 */
#ifndef PROTO_FRAME_H
#define PROTO_FRAME_H

#include "common/base/error.h"
#include "proto/cut.h"
#include "proto/frame_table.h"

enum {
	WIRE_VERSION = 5,
	FRAME_HEADER_SIZE = 48,
	FRAME_MAX = 4 * 1024 * 1024,
	FRAME_BODY_TARGET = 64 * 1024,
};

struct checkpoint_entry {
	struct epoch_id epoch;
	struct cut cut;
	struct marks marks; /* FENCED only */
};
struct checkpoints {
	struct checkpoint_entry *entries;
	uint32_t len;
};
/* A file of a checkpoint, as far as one actor needs it: those of its key groups. Immutable. */
struct file_entry {
	const char *name; /* within the job's folder: checkpoints/3.120/dedup.0 */
	struct epoch_id written; /* by which checkpoint: later ones go over earlier ones */
	uint32_t role; /* enum role: dedup, rollup */
	uint32_t first_group, groups_len; /* only entries of these key groups count */
	uint64_t generation; /* of time; see state_port.h */
	int64_t newest_ms; /* Kafka timestamp of its newest entry */
	uint64_t rows, bytes, checksum; /* of the whole file */
};
struct files {
	struct file_entry *entries;
	uint32_t len;
};
struct place {
	uint32_t actor;
	const char *worker;
};
struct places {
	struct place *entries;
	uint32_t len;
};
struct address {
	uint32_t channel;
	const char *url;
};
struct addresses {
	struct address *entries;
	uint32_t len;
};
struct worker_entry {
	const char *worker;
	uint32_t process;
	uint64_t pid;
	const char *actors; /* "ingest.0 ingest.1"; empty: standby */
};
struct workers {
	struct worker_entry *entries;
	uint32_t len;
};
/* Who waits, and what for: since_us is an instant, for_us how long that is. */
struct wait_entry {
	const char *who, *text;
	int64_t since_us;
	uint64_t for_us;
};
struct waits {
	struct wait_entry *entries;
	uint32_t len;
};

enum field_kind {
#define TYPE(type, ctype) TYPE_##type,
	FIELD_TYPES(TYPE)
#undef TYPE
};

enum frame_kind {
	FRAME_NONE = 0,
#define FRAME(KIND, name, number, what) FRAME_##KIND = (number),
	FRAMES(FRAME)
#undef FRAME
};

enum { FRAME_KINDS = 65 }; /* above every number: a table by kind has so many places */

enum frame_party {
	PARTY_NONE = 0,
#define PARTY(name, words) PARTY_##name,
	FRAME_PARTIES(PARTY)
#undef PARTY
	    PARTIES
};

#define TYPE(type, ctype) typedef ctype field_##type;
FIELD_TYPES(TYPE)
#undef TYPE

#define FIELD(S, type, name, what) field_##type name;
#define FRAME(KIND, name, number, what)                                                                                \
	struct frame_##name {                                                                                          \
		FRAME_##KIND##_FIELDS(FIELD, name)                                                                     \
	};
FRAMES(FRAME)
#undef FRAME
#undef FIELD

union frame_body {
#define FRAME(KIND, name, number, what) struct frame_##name name;
	FRAMES(FRAME)
#undef FRAME
};

struct field_row {
	enum field_kind type;
	size_t offset; /* in the kind's struct */
	const char *name, *what;
};
struct frame_row {
	enum frame_kind kind;
	const char *name, *what;
	const struct field_row *fields;
	size_t fields_len, size;
};
extern const struct frame_row frame_rows[];
extern const size_t frame_rows_len;
/* NULL: no such kind. */
const struct frame_row *frame_row_of(enum frame_kind kind);
const char *frame_kind_name(enum frame_kind kind);

struct frame_route {
	enum frame_kind kind;
	enum frame_party from, to;
};
extern const struct frame_route frame_routes[];
extern const size_t frame_routes_len;
const char *frame_party_name(enum frame_party party);
bool frame_travels(enum frame_kind kind, enum frame_party from, enum frame_party to);

struct frame_header {
	enum frame_kind kind;
	uint32_t job; /* hash of the job name */
	uint32_t channel; /* 0: control link and files */
	uint64_t attempt, sequence;
};

struct frame {
	struct frame_header header;
	struct bytes encoded_body;
	union frame_body body;
};

uint32_t frame_job(const char *job);

/* Appends a whole message: header and body (the kind's struct). */
void frame_encode(struct buffer *out, const struct frame_header *header, const void *body);
/* Appends the body alone (the kind's struct). */
void frame_encode_body(struct buffer *out, enum frame_kind kind, const void *body);
/* The same around a body that is encoded already. */
void frame_encode_raw(struct buffer *out, const struct frame_header *header, struct bytes encoded_body);
/* Writes a header in front of body bytes that stand at message + FRAME_HEADER_SIZE. */
void frame_header_write(uint8_t *message, size_t body_len, const struct frame_header *header);

/* Decodes the first frame of a message. *used: its length; pass NULL where trailing bytes are an error. */
enum result frame_decode(
    struct bytes message, struct arena *arena, struct frame *frame, size_t *used, struct error *error) MUST_USE;

/* BARRIER epoch=7.42 cut={"0": 12} ... ; long lists are cut short. */
void frame_print(const struct frame *frame, struct buffer *out);

#endif
