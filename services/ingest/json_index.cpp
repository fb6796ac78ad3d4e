/* services/ingest/json_index.cpp - see json_index.h. The library picks the code for this processor when it starts. */
#include "services/ingest/json_index.h"

#include <memory>
#include <new>

#include <simdjson.h>

struct json_index {
	const simdjson::implementation *implementation;
	std::unique_ptr<simdjson::internal::dom_parser_implementation> stage;
};

struct json_index *json_index_new(size_t document_max)
{
	auto *index = new (std::nothrow) json_index();

	if (index == nullptr)
		return nullptr;
	index->implementation = simdjson::get_active_implementation();
	if (index->implementation->create_dom_parser_implementation(document_max, 1, index->stage) == simdjson::SUCCESS)
		return index;
	delete index;
	return nullptr;
}

void json_index_free(struct json_index *index)
{
	delete index;
}

enum json_index_verdict json_index_build(
    struct json_index *index, const uint8_t *document, size_t len, const uint32_t **starts, uint32_t *count)
{
	simdjson::internal::dom_parser_implementation &stage = *index->stage;
	simdjson::error_code code;

	if (len > stage.capacity())
		return JSON_INDEX_BROKEN;
	code = stage.stage1(document, len, simdjson::stage1_mode::regular);
	if (code != simdjson::SUCCESS)
		return code == simdjson::EMPTY ? JSON_INDEX_EMPTY : JSON_INDEX_BROKEN;
	stage.structural_indexes[stage.n_structural_indexes] = static_cast<uint32_t>(len);
	*starts = stage.structural_indexes.get();
	*count = stage.n_structural_indexes;
	return JSON_INDEX_OK;
}

bool json_index_utf8(const struct json_index *index, const uint8_t *document, size_t len)
{
	return index->implementation->validate_utf8(reinterpret_cast<const char *>(document), len);
}
