/* sql/ecommerce.sql is what the shipped pipeline file declares. `test_ddl --print > sql/ecommerce.sql` writes it anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/postgres/ddl.h"

static void shipped_ddl(struct buffer *out)
{
	struct pipeline pipeline;
	struct error error = {0};

	if (pipeline_load(&pipeline, SOURCE_DIR "/compose/pipeline.yaml", &error) != RESULT_OK)
		panic("%s", error.text);
	ddl_print(&pipeline, out);
	buffer_append(out, "", 1);
	pipeline_fini(&pipeline);
}

static void test_shipped(void **state)
{
	struct buffer generated = {0}, stored = {0};
	FILE *file = fopen(SOURCE_DIR "/sql/ecommerce.sql", "r");

	(void)state;
	assert_non_null(file);
	uint8_t *at = buffer_reserve(&stored, 65536);
	stored.len = fread(at, 1, 65535, file);
	fclose(file);
	buffer_append(&stored, "", 1);
	shipped_ddl(&generated);
	assert_string_equal((const char *)generated.data, (const char *)stored.data);
	buffer_fini(&generated);
	buffer_fini(&stored);
}

static void test_quotes(void **state)
{
	struct buffer out = {0};

	(void)state;
	sql_identifier(&out, "a\"b");
	sql_literal(&out, (struct bytes){(const uint8_t *)"it's \\ \"", 8});
	buffer_append(&out, "", 1);
	assert_string_equal((const char *)out.data, "\"a\"\"b\"'it''s \\ \"'");
	buffer_fini(&out);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_shipped), cmocka_unit_test(test_quotes)};

	if (argc == 2 && strcmp(argv[1], "--print") == 0) {
		struct buffer out = {0};
		shipped_ddl(&out);
		fputs((const char *)out.data, stdout);
		buffer_fini(&out);
		return 0;
	}
	return cmocka_run_group_tests_name("ddl", tests, NULL, NULL);
}
