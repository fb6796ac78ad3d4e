/* services/sink/postgres_late.h - which of these rows have a key that the record table holds, and is it the same record?
 *
 * The rows go to the server as arrays, one a column, and are joined with the table there: it needs no right but to read the
 * record table (which the check of the tables needs as well), no temporary table, and changes nothing. Values are compared
 * by PostgreSQL, as its column types compare them; texts byte by byte, whatever the column's collation.
 */
#ifndef POSTGRES_LATE_H
#define POSTGRES_LATE_H

#include "common/postgres/postgres_connection.h"
#include "proto/cut.h"
#include "services/sink/postgres_rows.h"

/* rows: built with epoch_rows_build. Runs within the caller's transaction. */
enum sink_outcome postgres_late_find(struct postgres *postgres, const struct pipeline *pipeline,
    struct epoch_rows *rows, struct decisions *found, struct error *error) MUST_USE;

#endif
