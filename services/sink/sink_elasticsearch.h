/* services/sink/sink_elasticsearch.h - the sink port behind which there is Elasticsearch; for a job of documents.
 *
 * One thread of its own and one request at a time; that thread keeps several HTTP requests going. elastic_frontier.h says what
 * is asked, elastic_bulk.h how documents get there. mark, choose, retire and late are a panic.
 *
 * Ownership: pipeline outlives the port; job is copied.
 * Threads:   open before any other thread that uses libcurl.
 */
#ifndef SINK_ELASTICSEARCH_H
#define SINK_ELASTICSEARCH_H

#include "common/base/pipeline.h"
#include "services/sink/sink_port.h"
#include "services/sink/sink_runner.h"

/* job: <pipeline.job>/search; writer of writers, from 0. runner: NULL: whoever writes is ended. CONFIG where the pipeline file has no address of Elasticsearch or
 * something that it names cannot be read; nothing is asked over the network yet. */
enum result sink_elasticsearch_open(struct sink_port **port, const struct pipeline *pipeline, const char *job,
    uint32_t writer, uint32_t writers, const struct sink_runner *runner, struct error *error) MUST_USE;

#endif
