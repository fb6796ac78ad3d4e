/* services/sink/elastic_wait.h - for what a request of the port waits that has not been answered within two seconds.
 *
 * The port's requests are many of Elasticsearch's. Where one of these has been under way for two seconds, the host does not answer; where
 * each is answered and all of them take longer, it is slow. The words are those of a cause, without figures that grow.
 */
#ifndef ELASTIC_WAIT_H
#define ELASTIC_WAIT_H

#include <stdint.h>

enum { ELASTIC_WAIT_MAX = 384, ELASTIC_WAIT_US = 2000000 };

struct elastic_wait {
	/* Is told the words, once; NULL: nobody cares. */
	void (*say)(void *context, const char *text);
	void *context;
	uint64_t since_us; /* monotonic; 0: nothing is waited for */
	char text[ELASTIC_WAIT_MAX]; /* what was said; empty: nothing */
};

/* What http.h knows of the requests under way. */
struct elastic_silence {
	const char *
	    where; /* http://host:9200, of the oldest one that is under way, or else of the one that was answered last */
	const char *what; /* GET /index; NULL: none is under way */
	uint64_t since_us; /* of the oldest one */
	long status; /* of the last answer; 0: it was none */
};

/* The port's request begins, and is over. */
void elastic_wait_begin(struct elastic_wait *wait);
void elastic_wait_end(struct elastic_wait *wait);
void elastic_wait_look(struct elastic_wait *wait, const struct elastic_silence *silence);
/* How long to wait at most until it is time to look, of most_ms. oldest_us: since when the oldest request is under way; 0: none is. */
int elastic_wait_ms(const struct elastic_wait *wait, uint64_t oldest_us, int most_ms);

#endif
