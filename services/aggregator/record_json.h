/* services/aggregator/record_json.h - the values of a row as a JSON object: the payload of a conflict's dead letter. */
#ifndef RECORD_JSON_H
#define RECORD_JSON_H

#include "common/base/pipeline.h"
#include "proto/row.h"

/* Canonical names, fields in declared order, nulls left out, decimals as numbers, timestamps as text. */
void record_json(const struct pipeline *pipeline, const struct value *values, struct buffer *out);

#endif
