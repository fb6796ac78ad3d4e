/* common/postgres/postgres_counts.c - see postgres_counts.h. */
#include "common/postgres/postgres_counts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/postgres/ddl.h"

enum { COUNTED, COUNTER_FIRST, SUMMED = COUNTER_FIRST + COUNTERS, SUM_FIRST };

void counters_print(const struct counters *counters, struct buffer *out)
{
	for (size_t i = 0; i < COUNTERS; i++)
		buffer_printf(out, "%s\"%s\": %" PRIu64, i ? ", " : "{", counter_names[i], counters->n[i]);
	buffer_append_text(out, "}");
}

static void name_print(struct buffer *out, const char *name)
{
	sql_literal(out, (struct bytes){(const uint8_t *)name, strlen(name)});
}

void counts_sql(const struct pipeline *pipeline, struct buffer *out)
{
	buffer_append_text(out, ", counters IS NOT NULL");
	for (size_t i = 0; i < COUNTERS; i++)
		buffer_printf(out, ", counters ->> '%s'", counter_names[i]);
	buffer_append_text(out, ", sums IS NOT NULL");
	for (size_t i = 0; i < pipeline->rollups_len; i++) {
		const struct rollup *rollup = &pipeline->rollups[i];
		for (size_t m = 0; m < SUM_PARTS * rollup->measures_len; m++) {
			buffer_append_text(out, ", coalesce(sums #>> ARRAY[");
			name_print(out, rollup->table);
			buffer_append_text(out, ", ");
			name_print(out, rollup->measures[m / SUM_PARTS].column);
			buffer_printf(out, ", '%zu'], '0')", m % SUM_PARTS);
		}
	}
}

bool counts_take(const PGresult *result, int row, int column, const struct pipeline *pipeline, struct counts *counts)
{
	*counts = (struct counts){.counted = PQgetvalue(result, row, column + COUNTED)[0] == 't'};
	counts->sums.known = PQgetvalue(result, row, column + SUMMED)[0] == 't';
	for (int i = 0; i < COUNTERS; i++)
		counts->counters.n[i] = strtoull(PQgetvalue(result, row, column + COUNTER_FIRST + i), NULL, 10);
	column += SUM_FIRST;
	for (size_t i = 0; i < pipeline->rollups_len; i++)
		for (size_t m = 0; m < pipeline->rollups[i].measures_len; m++)
			for (enum sum_part part = SUM_PLAIN; part < SUM_PARTS; part++, column++)
				if (!sum_parse(PQgetvalue(result, row, column), sum_part(&counts->sums.of[i][m], part)))
					return false;
	return true;
}
