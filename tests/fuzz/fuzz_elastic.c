/* What Elasticsearch answers, in pieces: bulk answers, errors and control documents. The first byte says which, the second how
 * large the pieces are. */
#include <stdlib.h>
#include <string.h>

#include "services/sink/elastic_answer.h"
#include "services/sink/elastic_control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An answer that is taken has told every item once, and the same in any pieces. */
static void read_bulk(uint32_t items, size_t piece, const uint8_t *data, size_t size)
{
	static struct bulk_answer answer, whole;

	bulk_answer_start(&answer, items);
	bulk_answer_start(&whole, items);
	for (size_t at = 0; at < size; at += piece)
		(void)bulk_answer_piece(&answer, (struct bytes){data + at, at + piece < size ? piece : size - at});
	if (size > 0)
		(void)bulk_answer_piece(&whole, (struct bytes){data, size});
	bool taken = bulk_answer_end(&answer);
	CHECK(bulk_answer_end(&whole) == taken);
	if (!taken)
		return;
	size_t failures = 0;
	for (uint32_t i = 0; i < items; i++) {
		CHECK(answer.statuses[i] >= 100 && answer.statuses[i] == whole.statuses[i]);
		failures += (answer.statuses[i] < 200 || answer.statuses[i] > 299) && answer.statuses[i] != 409;
	}
	CHECK(answer.failures_len == failures && whole.failures_len == failures);
	for (size_t i = 0; i < failures; i++) {
		const struct bulk_failure *failure = &answer.failures[i];
		CHECK(failure->status == answer.statuses[failure->item]);
		CHECK(strcmp(failure->error.reason, whole.failures[i].error.reason) == 0);
		(void)elastic_judge(failure->status, failure->error.type, failure->error.reason);
	}
}

static void read_error(long status, const uint8_t *data, size_t size)
{
	struct http_request request = {.status = status};
	struct elastic_error error;

	buffer_append(&request.answer, data, size);
	request.text_len = size < sizeof request.text - 1 ? size : sizeof request.text - 1;
	memcpy(request.text, data, request.text_len);
	elastic_error_read(&request, &error);
	CHECK(strlen(error.reason) < sizeof error.reason && strlen(error.type) < sizeof error.type);
	(void)elastic_judge(status, error.type, error.reason);
	buffer_fini(&request.answer);
}

/* What is taken is printed such that it reads back the same. */
static void read_control(const uint8_t *data, size_t size)
{
	struct controls controls = {.job = "shop/search"};
	struct control control = {0}, again = {0};
	struct buffer text = {0};

	if (!control_parse((struct bytes){data, size}, &control)) {
		CHECK(control.cut.entries == NULL);
		return;
	}
	/* A text with quotes in it was written by nobody, and is compared with ours only. */
	if (strpbrk(control.index, "\"\\") == NULL && strpbrk(control.fingerprint, "\"\\") == NULL &&
	    strspn(control.index, "abcdefghijklmnopqrstuvwxyz0123456789-_.%YmdABCDEF") == strlen(control.index) &&
	    strspn(control.fingerprint, "0123456789abcdef") == strlen(control.fingerprint)) {
		buffer_append_text(&text, "{\"_seq_no\":1,\"_primary_term\":1,\"_source\":");
		control_print(&controls, 0, &control, &text);
		buffer_append_text(&text, "}");
		CHECK(control_parse(buffer_bytes(&text), &again));
		CHECK(cut_equal(&control.cut, &again.cut) && control.started == again.started);
		CHECK(control.fence == again.fence && epoch_equal(control.last, again.last));
	}
	control_fini(&control);
	control_fini(&again);
	buffer_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	size_t piece = data[1] % 32 + 1U;
	if (data[0] % 4 <= 1)
		read_bulk(data[0] / 4, piece, data + 2, size - 2);
	else if (data[0] % 4 == 2)
		read_error(100 + data[1] * 2, data + 2, size - 2);
	else
		read_control(data + 2, size - 2);
	return 0;
}
