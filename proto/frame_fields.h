/* proto/frame_fields.h - how each type of field is written, read and shown. Private to proto/. */
#ifndef PROTO_FRAME_FIELDS_H
#define PROTO_FRAME_FIELDS_H

#include "proto/frame.h"
#include "proto/wire.h"

/* value: address of the field in the kind's struct. */
void field_encode(enum field_kind type, struct buffer *out, const void *value);
/* Sets wire->bad where it is not one. Lists go into the arena, texts and blobs are borrowed from the wire's bytes. */
void field_decode(enum field_kind type, struct wire *wire, struct arena *arena, void *value);
void field_print(enum field_kind type, struct buffer *out, const void *value);

#endif
