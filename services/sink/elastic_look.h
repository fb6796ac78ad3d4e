/* services/sink/elastic_look.h - an index as Elasticsearch describes it, held against what is needed of it.
 *
 * Templates that others have made, ingest pipelines, aliases and data streams all change what becomes of a document without a word.
 * So whatever is written to is looked at: is it an index of that name, does it keep documents as they are sent, and does it map each
 * field of the pipeline file as it has to be. What others add beside that (fields, replicas, more ways to search a text) is theirs.
 *
 * Ownership: nothing is kept of the answer.
 * Source:    the answer to GET /<index>, Elasticsearch 7.17, "Get index API".
 */
#ifndef ELASTIC_LOOK_H
#define ELASTIC_LOOK_H

#include <stdbool.h>

#include "common/base/buffer.h"

enum { LOOK_WORDS_MAX = 384, LOOK_UUID_MAX = 64 };

struct index_look {
	char uuid[LOOK_UUID_MAX];
	char shut[LOOK_WORDS_MAX]; /* until a person undoes it: "is closed: POST /x/_open opens it again" */
	char blocked[LOOK_WORDS_MAX]; /* the same of one that can be read: "is read-only: ..." */
	bool unsafe; /* what was acknowledged may be lost in a power cut */
	bool lacks; /* it does not map all that it has to */
	char wrong
	    [LOOK_WORDS_MAX]; /* the first thing that must not be as it is: "is an alias of x-000001"; empty: nothing */
};

/* mapping: {"properties": {...}} of the fields; no data: any will do. false: the answer is none. */
bool index_look_read(struct index_look *look, const char *name, struct bytes mapping, struct bytes answer);

#endif
