/* tests/bench/bench_elastic.c - what the Elasticsearch sink costs beside a bare client that posts prebuilt bodies of such documents.
 *
 *   ELASTICSEARCH_URL=http://127.0.0.1:9200 bench_elastic [DOCUMENTS [EPOCH_DOCUMENTS]]
 *   ELASTICSEARCH_URL=http://127.0.0.1:9200 bench_elastic --latency [DOCUMENTS_A_SECOND [SECONDS]]
 *
 * Both have the same number of requests at a time and the same size of a body. The floor runs before and after; only what lies
 * between the begin of a commit and its answer is counted, of the floor what lies between the first request and the last answer.
 */
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "services/sink/elastic_answer.h"
#include "services/sink/elastic_document.h"
#include "services/sink/elastic_index.h"
#include "services/sink/sink_elasticsearch.h"
#include "tests/bench/sample_rows.h"

enum { BODIES_MAX = 256 };

struct figures {
	double seconds, cpu;
};

static double seconds_now(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void figures_begin(struct figures *figures)
{
	figures->seconds -= seconds_now(CLOCK_MONOTONIC);
	figures->cpu -= seconds_now(CLOCK_PROCESS_CPUTIME_ID);
}

static void figures_end(struct figures *figures)
{
	figures->seconds += seconds_now(CLOCK_MONOTONIC);
	figures->cpu += seconds_now(CLOCK_PROCESS_CPUTIME_ID);
}

/* One ROWS body with so many rows. */
static struct bytes rows_make(struct source *source, struct rows_writer *writer, uint64_t rows)
{
	struct buffer encoded = {0};

	rows_begin(writer);
	for (uint64_t i = 0; i < rows; i++) {
		struct value values[FIELDS];
		char text[FIELDS][48];
		row_make(source, values, text);
		buffer_clear(&encoded);
		row_encode_values(&encoded, values, FIELDS);
		rows_put(writer, 0, (int64_t)source->rows++, 1700000000000, 1, FIELDS, buffer_bytes(&encoded));
	}
	rows_end(writer);
	buffer_fini(&encoded);
	return buffer_bytes(&writer->body);
}

static void index_make(struct http *http, const struct pipeline *pipeline, const char *name)
{
	struct http_request request = {.method = "DELETE"};
	struct buffer body = {0};

	buffer_printf(&request.path, "/%s", name);
	CHECK(http_do(http, &request));
	buffer_append_text(&body, "{\"settings\":{\"index.translog.durability\":\"request\"},\"mappings\":");
	mapping_put(pipeline, &body);
	buffer_append_text(&body, "}");
	request.method = "PUT";
	request.body = buffer_bytes(&body);
	CHECK(http_do(http, &request));
	if (request.status != 200)
		panic("%s: %s", name, request.text);
	buffer_fini(&body);
	http_request_fini(&request);
}

/* As few bodies as hold all rows. */
static size_t bodies_make(
    struct document_plan *plan, struct bytes rows, struct buffer bodies[BODIES_MAX], size_t most, size_t *bytes)
{
	struct rows_reader reader;
	static struct row row;
	struct error error;
	bool more;
	size_t len = 1;

	buffer_clear(&bodies[0]);
	CHECK(rows_open(&reader, rows, FIELDS, &error) == RESULT_OK);
	while (rows_next(&reader, &row, &more, &error) == RESULT_OK && more) {
		if (bodies[len - 1].len + 700 > most) {
			CHECK(len < BODIES_MAX);
			buffer_clear(&bodies[len++]);
		}
		document_put_action(plan, &row, &bodies[len - 1]);
		size_t before = bodies[len - 1].len;
		CHECK(document_put(plan, &row, &bodies[len - 1]));
		*bytes += bodies[len - 1].len - before;
		buffer_append(&bodies[len - 1], "\n", 1);
	}
	return len;
}

static void bodies_post(
    struct http *http, struct http_request *lanes, size_t lanes_len, struct buffer *bodies, size_t len)
{
	size_t sent = 0, done = 0;

	while (done < len) {
		for (size_t i = 0; i < lanes_len; i++) {
			if (lanes[i].done) {
				if (lanes[i].status != 200)
					panic("%ld: %s %s", lanes[i].status, lanes[i].text, lanes[i].failure);
				lanes[i].done = false;
				done++;
			}
			if (!lanes[i].busy && sent < len) {
				lanes[i].body = buffer_bytes(&bodies[sent++]);
				http_start(http, &lanes[i]);
			}
		}
		if (done < len)
			CHECK(http_wait(http, 1000));
	}
}

static struct figures floor_run(struct http *http, const struct pipeline *pipeline, struct source *source,
    uint64_t documents, uint64_t epoch, size_t *bytes)
{
	static struct buffer bodies[BODIES_MAX];
	struct http_request lanes[16] = {0};
	struct rows_writer writer = {0};
	struct document_plan plan;
	struct figures figures = {0};
	struct error error;

	index_make(http, pipeline, "bench-floor");
	CHECK(document_plan_init(&plan, pipeline, &error) == RESULT_OK);
	for (size_t i = 0; i < 16; i++) {
		lanes[i].method = "POST";
		lanes[i].lines = true;
		buffer_append_text(&lanes[i].path, "/bench-floor/_bulk?filter_path=errors");
	}
	for (uint64_t left = documents; left > 0; left -= left < epoch ? left : epoch) {
		struct bytes rows = rows_make(source, &writer, left < epoch ? left : epoch);
		size_t len = bodies_make(&plan, rows, bodies, pipeline->sinks.elasticsearch.max_batch_bytes, bytes);
		figures_begin(&figures);
		bodies_post(http, lanes, pipeline->sinks.elasticsearch.max_requests, bodies, len);
		figures_end(&figures);
	}
	for (size_t i = 0; i < 16; i++)
		http_request_fini(&lanes[i]);
	for (size_t i = 0; i < BODIES_MAX; i++)
		buffer_fini(&bodies[i]);
	document_plan_fini(&plan);
	buffer_fini(&writer.body);
	return figures;
}

static struct sink_answer *answer_wait(struct sink_port *port)
{
	struct pollfd wait = {.fd = port->event_fd, .events = POLLIN};
	struct sink_answer *answer;

	CHECK(poll(&wait, 1, 600000) == 1 && port->ops->answer(port, &answer));
	if (answer->outcome != SINK_DONE)
		panic("%s", answer->error.text);
	return answer;
}

struct bench {
	struct source *source;
	struct sink_port *port;
	struct rows_writer writer;
	struct cut cut;
	struct epoch_id last;
	uint64_t attempt;
};

static void bench_open(struct bench *bench, const struct pipeline *pipeline, struct source *source)
{
	struct error error;

	*bench = (struct bench){.source = source, .attempt = 1};
	if (sink_elasticsearch_open(&bench->port, pipeline, "bench/search", 0, 1, NULL, &error) != RESULT_OK)
		panic("%s", error.text);
	sink_start(bench->port, SINK_FENCE, .attempt = bench->attempt);
	(void)answer_wait(bench->port);
	cut_set(&bench->cut, 0, (int64_t)source->rows);
	sink_start(
	    bench->port, SINK_SET_CUT, .attempt = bench->attempt, .cut = &bench->cut, .remember = &(struct facts){0});
	(void)answer_wait(bench->port);
}

static void bench_commit(struct bench *bench, uint64_t rows_len, struct figures *figures)
{
	struct bytes rows = rows_make(bench->source, &bench->writer, rows_len);

	cut_set(&bench->cut, 0, (int64_t)bench->source->rows);
	struct transaction transaction = {.fence = bench->attempt,
	    .predecessor = bench->last,
	    .epoch = {bench->attempt, bench->last.n + 1},
	    .cut = &bench->cut,
	    .rows = &rows,
	    .rows_len = 1};
	figures_begin(figures);
	sink_start(bench->port, SINK_COMMIT, .transaction = &transaction);
	bench->last = answer_wait(bench->port)->frontier.last;
	figures_end(figures);
}

static void bench_close(struct bench *bench)
{
	bench->port->ops->close(bench->port);
	cut_fini(&bench->cut);
	buffer_fini(&bench->writer.body);
}

static struct figures sink_run(
    const struct pipeline *pipeline, struct source *source, uint64_t documents, uint64_t epoch)
{
	struct figures figures = {0};
	struct bench bench;

	bench_open(&bench, pipeline, source);
	for (uint64_t left = documents; left > 0; left -= left < epoch ? left : epoch)
		bench_commit(&bench, left < epoch ? left : epoch, &figures);
	bench_close(&bench);
	return figures;
}

static int compare_doubles(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;
	return left < right ? -1 : left > right;
}

/* Documents come at a rate; each waits for the begin of the next epoch, 10 ms apart at least, and for its commit. */
static void latency_run(const struct pipeline *pipeline, struct source *source, double rate, double seconds)
{
	size_t most = (size_t)(rate * seconds), done = 0;
	double *latencies = memory_new((most + 1) * sizeof *latencies);
	struct figures figures = {0};
	struct bench bench;

	bench_open(&bench, pipeline, source);
	double begin = seconds_now(CLOCK_MONOTONIC);
	while (done < most) {
		double now = seconds_now(CLOCK_MONOTONIC) - begin;
		size_t due = (size_t)(now * rate) < most ? (size_t)(now * rate) : most;
		if (due > done)
			bench_commit(&bench, due - done, &figures);
		double committed = seconds_now(CLOCK_MONOTONIC) - begin;
		for (; done < due; done++)
			latencies[done] = committed - (double)done / rate;
		if (committed - now < 0.01)
			usleep((useconds_t)((0.01 - (committed - now)) * 1e6));
	}
	bench_close(&bench);
	qsort(latencies, most, sizeof *latencies, compare_doubles);
	printf("%.0f documents/s: p50 %.1f ms, p99 %.1f ms, largest %.1f ms; %.2f CPU-s per million\n", rate,
	    latencies[most / 2] * 1e3, latencies[most * 99 / 100] * 1e3, latencies[most - 1] * 1e3,
	    figures.cpu * 1e6 / (double)most);
	free(latencies);
}

static void memory_print(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	printf("memory %.1f MiB at most, rows and prebuilt bodies included\n", (double)usage.ru_maxrss / 1024);
}

static void print(const char *what, const struct figures *figures, uint64_t documents)
{
	printf("%-6s %8.0f documents/s  %5.2f CPU-s per million\n", what, (double)documents / figures->seconds,
	    figures->cpu * 1e6 / (double)documents);
}

int main(int argc, char **argv)
{
	uint64_t documents = argc > 1 ? strtoull(argv[1], NULL, 10) : 200000;
	uint64_t epoch = argc > 2 ? strtoull(argv[2], NULL, 10) : 20000;
	struct source source = {.random = 88172645463325252ULL};
	struct pipeline *pipeline = &source.pipeline;
	struct http http;
	struct error error;
	size_t bytes = 0;

	if (pipeline_load(pipeline, SOURCE_DIR "/compose/pipeline.yaml", &error) != RESULT_OK)
		panic("%s", error.text);
	free(pipeline->sinks.elasticsearch.index);
	pipeline->sinks.elasticsearch.index = text_clone("bench-sink");
	http_prepare();
	if (http_open(&http, &pipeline->sinks.elasticsearch, eventfd(0, 0), &error) != RESULT_OK)
		panic("%s", error.text);
	static const char *const gone[] = {"bench%2Fsearch.0", "index%3Abench-sink"};
	for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++) {
		struct http_request request = {.method = "DELETE"};
		buffer_printf(&request.path, "/sluice-control/_doc/%s", gone[i]);
		CHECK(http_do(&http, &request));
		http_request_fini(&request);
	}
	index_make(&http, pipeline, "bench-sink");

	if (argc > 1 && strcmp(argv[1], "--latency") == 0) {
		latency_run(
		    pipeline, &source, argc > 2 ? strtod(argv[2], NULL) : 1000, argc > 3 ? strtod(argv[3], NULL) : 20);
		memory_print();
		return 0;
	}
	struct figures warm = floor_run(&http, pipeline, &source, documents / 4, epoch, &bytes);
	(void)warm;
	bytes = 0;
	struct figures before = floor_run(&http, pipeline, &source, documents / 2, epoch, &bytes);
	struct figures sink = sink_run(pipeline, &source, documents, epoch);
	struct figures after = floor_run(&http, pipeline, &source, documents - documents / 2, epoch, &bytes);
	struct figures floor = {before.seconds + after.seconds, before.cpu + after.cpu};
	printf("%zu bytes a document\n", bytes / documents);
	print("floor", &floor, documents);
	print("sink", &sink, documents);
	printf("ratio  %.3f\n", floor.seconds / sink.seconds);
	memory_print();
	close(http.stop_fd);
	http_close(&http);
	pipeline_fini(pipeline);
	return 0;
}
