/* Any bytes as what Elasticsearch answers: as a document, a dead letter, and a control document. The first byte picks which. */
#include <string.h>

#include "services/sluicectl/audit_control.h"
#include "services/sluicectl/audit_document.h"
#include "tests/unit/shipped_pipeline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_content(const struct pipeline *pipeline, struct bytes content)
{
	struct audit_value value;
	struct buffer words = {0};
	struct bytes rest = content;
	size_t len = 0;

	while (content_next(&rest, &value))
		len++;
	CHECK(len == pipeline->record.fields_len || len == pipeline->record.fields_len + 1);
	content_print(&words, pipeline, content, NULL);
	buffer_fini(&words);
}

static void read_control(const struct tree *tree)
{
	struct control control;

	if (control_read(&control, "j/search", 0, tree->root) == NULL) {
		CHECK(control.writers > 0 && control.cut.len <= CONTROL_PARTITIONS_MAX);
		for (size_t i = 1; i < control.cut.len; i++)
			CHECK(control.cut.offsets[i - 1].partition < control.cut.offsets[i].partition);
		CHECK(controls_active(&control, 1) <= 1);
	}
	control_fini(&control);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pipeline pipeline;
	static struct audit_zone zone;
	static struct tree tree;
	struct document_letter letter;
	struct buffer content = {0};

	if (pipeline.path == NULL) {
		shipped_pipeline(&pipeline);
		audit_zone_use(&zone, "Europe/Berlin");
	}
	if (size == 0 || tree_read(&tree, (struct bytes){data + 1, size - 1}) != NULL)
		return 0;
	if (data[0] % 3 == 0) {
		document_content(&content, &pipeline, &zone, tree.root);
		check_content(&pipeline, buffer_bytes(&content));
		buffer_fini(&content);
	} else if (data[0] % 3 == 1) {
		document_letter_read(&letter, (struct bytes){(const uint8_t *)"t-0-1", 5}, tree.root);
		CHECK(letter.trouble != NULL || (letter.partition == 0 && letter.offset == 1));
	} else {
		read_control(&tree);
	}
	return 0;
}
