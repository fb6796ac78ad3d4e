/* common/base/stops.h - what ends a job with exit code 78, and the way out of it: one row per kind of stop.
 *
 * STOP(NAME, "what a person does"). error_stop (error.h) makes the message: the caller's words say what was found, the row says what to
 * do about it. tests/integration/test_ways_out.py brings each of them about and takes its way out to the letter, until the audit says
 * exact: a row without a case there fails it. The way must work from the state that the stop leaves behind.
 */
#ifndef BASE_STOPS_H
#define BASE_STOPS_H

#define STOPS(STOP)                                                                                                    \
	STOP(NOT_STOPPED_CLEANLY, "start once more with the old file, end it with scripts/down (or SIGTERM to the "    \
	                          "coordinator), which takes a last checkpoint, then start with the new file")         \
	STOP(TOO_MANY_PARTITIONS,                                                                                      \
	    "name a topic with fewer partitions in source.topic, and start again; where the job has read this one"     \
	    " already, give it another name, and tables of its own")                                                   \
	STOP(STATE_DIFFERS,                                                                                            \
	    "put back what was changed (the topic, its records, how they are read, the rules of the time "             \
	    "zone; or the checkpoint folder, and then empty state.dir, STATE_DIR, too) and start again; "              \
	    "or, where the tables are right, make a checkpoint of them with sluicectl rebuild and start "              \
	    "again: then nothing is replayed. sluicectl audit tells whether they are")                                 \
	STOP(ROWS_NOT_WRITTEN,                                                                                         \
	    "find what drops, adds, changes or deletes rows of that table (in psql, \\d and its name show triggers "   \
	    "and rules), take it off, and start again: nothing of that epoch was written")                             \
	STOP(NOT_COUNTED,                                                                                              \
	    "as a superuser run ALTER DATABASE ... SET track_counts = on (and ALTER ROLE ... RESET track_counts "      \
	    "where it is set for the user), and start again")                                                          \
	STOP(TABLES_DIFFER, "let sluicectl audit name the differences, put the rows right (they are those that the "   \
	                    "audit expects), and call this again")                                                     \
	STOP(PIPELINE_FILE, "mend what is named in the pipeline file (or in the environment that it takes it from), "  \
	                    "until `sluicectl validate` says nothing more, then start again")                          \
	STOP(NO_TOPIC, "create the topic, or put its right name into source.topic, and start again")                   \
	STOP(KAFKA_REFUSES, "let source.kafka say how this Kafka is talked to (security.protocol, sasl.*, ssl.*), "    \
	                    "and this user be allowed to read and describe the topic, then start again")               \
	STOP(CHECKPOINT_AHEAD, "somebody changed schema sluice, or put only parts of a backup back: put the whole "    \
	                       "database back as it was, and start again; or start over with `sluicectl reset --job "  \
	                       "totals --yes` (--job search where it is the search job that stopped)")                 \
	STOP(CHECKPOINTS_OF_ANOTHER,                                                                                   \
	    "use the pipeline file that this job was started with; or, for another one, give the job another name "    \
	    "(job), with tables and a database of its own, or start over with `sluicectl reset --job totals --yes` "   \
	    "(--job search where it is the search job that stopped)")                                                  \
	STOP(OTHER_MEANING, "put the old words back into the pipeline file, and start again. Only limits of records "  \
	                    "may change (lengths, digits before the point, required, aliases, max_record_bytes, "      \
	                    "max_future): the tables were filled by the rest. For anything else give the job another " \
	                    "name and tables of its own, and let it read from the start")                              \
	STOP(FOLDER, "let the user that runs Sluice read, write and enter that folder (chown, chmod), or name "        \
	             "another one in the pipeline file, and start again")                                              \
	STOP(ADDRESS, "put an address that this machine has, and a port that this user may listen on, into "           \
	              "coordinator.listen (SLUICE_COORDINATOR), tcp://HOST:PORT, and start again")                     \
	STOP(OTHER_RELEASE, "run the same release of every program: end those of the older one, and start them anew")  \
	STOP(TOO_MANY_KEYS,                                                                                            \
	    "lower checkpoint.max_records, or raise parallelism.dedup, in the pipeline file, and start again")         \
	STOP(MEMORY_DAMAGED, "somebody changed schema sluice by hand: put the whole database back as it was (a "       \
	                     "backup), and start again; or start over with `sluicectl reset --job totals --yes`")      \
	STOP(NO_PROC, "mount /proc for this process, and start again")                                                 \
	STOP(OUR_FAULT, "this is a fault of Sluice: please report it with the logs. Nothing of the epoch was "         \
	                "written, and the totals stay right; a start from the last checkpoint may get past it")        \
	STOP(TOTAL_BEYOND_COLUMN,                                                                                      \
	    "give the measure more digits in the pipeline file, and the column as many (ALTER TABLE ... ALTER "        \
	    "COLUMN ... TYPE numeric(...)), then start again: nothing was lost, the job goes on from its "             \
	    "last checkpoint")                                                                                         \
	STOP(NO_SCHEMA,                                                                                                \
	    "name a schema as sinks.postgres.schema in the pipeline file (it is made where it is missing), or "        \
	    "put one that exists on this user's search_path")                                                          \
	STOP(OTHER_SCHEMA,                                                                                             \
	    "put the old name back into the pipeline file; or stop all processes, move every table of the job "        \
	    "there with ALTER TABLE ... SET SCHEMA, and start again with the new name")                                \
	STOP(TABLE_GONE, "where it was moved to another schema, move all tables of the job there and name that "       \
	                 "schema as sinks.postgres.schema; where it was renamed, rename it back; where it was "        \
	                 "dropped, restore this database from a backup; and start again")                              \
	STOP(LETTERS_OF_NOBODY,                                                                                        \
	    "stop every job of this database. Where the table belongs to another role, GRANT that role to this "       \
	    "user for a start. Where the words above name two jobs, run `ALTER TABLE dead_letters ADD COLUMN IF "      \
	    "NOT EXISTS job text` and set it, in that letter, to the name of the job that wrote it, until "            \
	    "`sluicectl init` names no other letter. Then start again")                                                \
	STOP(TABLE_OF_ANOTHER,                                                                                         \
	    "give this pipeline tables of its own: other names in record.table and "                                   \
	    "rollups.table, or another schema in sinks.postgres.schema; or, where that job is over, "                  \
	    "run `sluicectl reset --job totals --yes` with its pipeline file")                                         \
	STOP(RECORDS_GONE,                                                                                             \
	    "they were removed before the job had read them (retention). To go on with what is there: `sluicectl "     \
	    "skip --to earliest --dry-run` says what is lost, `sluicectl skip --to earliest --yes` writes it "         \
	    "down, then start again. Both with --job search where it is the search job that stopped")                  \
	STOP(CANNOT_UNPACK,                                                                                            \
	    "if they are larger than source.kafka's receive.message.max.bytes (100000000 where the file does not "     \
	    "say), give that more, up to 2147483647, and the ingest as much memory; otherwise pass over them: "        \
	    "`sluicectl skip --to PARTITION:OFFSET --yes` with the offset behind them (and --job search where it is "  \
	    "the search job that stopped), then start again")                                                          \
	STOP(OTHER_LOG, "let bootstrap.servers and source.topic lead to the log that was read, and start again. "      \
	                "Where that log is gone for good, its rows can only be kept as they are: give the job "        \
	                "another name and tables of its own, or start over with `sluicectl reset --job totals --yes` " \
	                "(--job search where it is the search job that stopped)")                                      \
	STOP(FACT_CHANGED, "undo the change, and start again. Where it was made on purpose: `sluicectl accept` shows " \
	                   "what differs and "                                                                         \
	                   "checks what can be checked, and records it with --yes; then start again")                  \
	STOP(OTHER_ZONE_RULES, "give all processes of the job the same version of tzdata (package tzdata, or the "     \
	                       "folder TZDIR), and start "                                                             \
	                       "them again")                                                                           \
	STOP(COMPACTED, "set cleanup.policy=delete for the topic (kafka-configs.sh --alter --entity-type topics "      \
	                "--entity-name TOPIC "                                                                         \
	                "--add-config cleanup.policy=delete), or read another topic, and start again")                 \
	STOP(FILES_NOT_SEEN,                                                                                           \
	    "let checkpoint.dir (CHECKPOINT_DIR) be one folder that all processes of the job share, and start again. " \
	    "Where the folder was emptied: `sluicectl rebuild` writes a checkpoint anew, then start again")            \
	STOP(COLUMN_DIFFERS, "make the column what `sluicectl validate --ddl` prints, with ALTER TABLE (and USING "    \
	                     "where PostgreSQL asks for it); where "                                                   \
	                     "the table is not this job's, give the job's another name in the pipeline file; and "     \
	                     "start again. What was rounded, cut "                                                     \
	                     "or lost meanwhile stays so: run `sluicectl audit` then; where it is not exact, end the " \
	                     "job, run `sluicectl reset --job "                                                        \
	                     "totals --yes`, and start again")                                                         \
	STOP(KEY_MISSING, "make that key, and start again. Where PostgreSQL says that a key is there twice, "          \
	                  "`sluicectl audit` names the "                                                               \
	                  "rows that are too many: delete them first")                                                 \
	STOP(TABLE_REPLACED, "give the old one its name back (ALTER TABLE ... RENAME TO ...), or see that the new "    \
	                     "one holds all of its "                                                                   \
	                     "rows; start again, and run `sluicectl audit`: where it is not exact, end the job, run "  \
	                     "`sluicectl reset --job totals "                                                          \
	                     "--yes`, and start again")                                                                \
	STOP(ROWS_OF_OTHERS,                                                                                           \
	    "empty the table, or give the job's table another name in the pipeline file, and start again")             \
	STOP(SCHEMA_OF_OTHERS,                                                                                         \
	    "rename that schema (ALTER SCHEMA ... RENAME TO ...), so that Sluice can make its own, and start again")   \
	STOP(NEWER_RELEASE, "run the newer release; an older one does not know what that one remembers")               \
	STOP(OLDER_SCHEMA,                                                                                             \
	    "end the processes of the older release, run `sluicectl init` of this one (or start it, which does "       \
	    "the same), and call this again")                                                                          \
	STOP(PASSWORD_REFUSED, "put the right password where sinks.postgres.url gets it from (or PGPASSWORD, "         \
	                       "PGPASSFILE), and start again")                                                         \
	STOP(LOGIN_REFUSED, "let this role in: ALTER ROLE ... LOGIN, GRANT CONNECT ON DATABASE ..., a line in "        \
	                    "pg_hba.conf; and start again")                                                            \
	STOP(DATABASE_MISSING,                                                                                         \
	    "create the database, or correct its name or its host in sinks.postgres.url, and start again")             \
	STOP(CONNECTION_SETTINGS, "correct sinks.postgres.url (or the PG* variables), the certificates that it "       \
	                          "names, or the server, and start again")                                             \
	STOP(POOLER, "name PostgreSQL itself in sinks.postgres.url, or a pool in session mode (pgbouncer: pool_mode "  \
	             "= session), and start again")                                                                    \
	STOP(RIGHT_MISSING, "GRANT this user what PostgreSQL says is missing, and start again")                        \
	STOP(STATEMENT_REFUSED, "mend in the database what PostgreSQL says, and start again; nothing was written")     \
	STOP(ENCODING, "make a database with ENCODING 'UTF8', and name it in sinks.postgres.url")                      \
	STOP(TABLE_KIND, "put an ordinary table in its place (sluicectl validate --ddl prints it; copy the rows, "     \
	                 "with nothing added), and start again")                                                       \
	STOP(TABLE_NOT_LASTING, "make it last (ALTER TABLE ... SET LOGGED), and start again")                          \
	STOP(TABLE_INTERFERED,                                                                                         \
	    "drop it (DROP TRIGGER, DROP RULE), or disable it where it is a trigger or row "                           \
	    "security (ALTER TABLE ... DISABLE ...), and start again; then `sluicectl audit` tells "                   \
	    "whether it has changed rows before it was noticed")                                                       \
	STOP(TABLE_KEY, "drop that index (DROP INDEX) or constraint (ALTER TABLE ... DROP CONSTRAINT); where it is a " \
	                "key of the job, "                                                                             \
	                "make its columns what `sluicectl validate --ddl` prints (ALTER TABLE ... ALTER COLUMN ... "   \
	                "TYPE, without COLLATE); and "                                                                 \
	                "start again")                                                                                 \
	STOP(ROWS_GONE, "restore this database from a backup; or stop all processes and start the job over: "          \
	                "sluicectl reset --job totals --yes; and start again")                                         \
	STOP(NO_CHECKPOINT,                                                                                            \
	    "point checkpoint.dir at the folder that was used before; or run `sluicectl rebuild`, which writes a "     \
	    "checkpoint anew from the database, then start again; or, to start over with empty tables, run "           \
	    "`sluicectl reset --job totals --yes`, then start again: no other job is touched")                         \
	STOP(OTHER_COORDINATOR,                                                                                        \
	    "give each pipeline of a machine an address of its own in coordinator.listen "                             \
	    "(SLUICE_COORDINATOR), the same for all its processes and for sluicectl, then start again")                \
	STOP(INDEX_OF_ANOTHER,                                                                                         \
	    "give this pipeline an index of its own in sinks.elasticsearch.index; or, where that job is over, run "    \
	    "`sluicectl reset --job search --yes` with its pipeline file")                                             \
	STOP(INDEX_GONE, "run `sluicectl reset --job search --with-index --yes`, then start again: the index is made " \
	                 "and filled anew from source.start. Where somebody has put it back with its documents, and "  \
	                 "it maps them as before, leave out --with-index: they stay")                                  \
	STOP(CONTROL_UNREADABLE, "run `sluicectl reset --job search --yes`, then start again: the index is filled "    \
	                         "anew from source.start, and documents that are in it stay")                          \
	STOP(INDEX_UNFIT,                                                                                              \
	    "remove what is named (index template, ingest pipeline, alias, data stream, setting), run `sluicectl "     \
	    "reset --job search --with-index --yes`, which deletes the documents, then start again: the index is "     \
	    "made and filled anew from source.start; or do so with another index in sinks.elasticsearch.index")        \
	STOP(INDEX_RENAMED, "take the old one again; or run `sluicectl reset --job search --yes`, then start again: "  \
	                    "the new one is filled from source.start, and the old one stays as it is")                 \
	STOP(LETTER_REFUSED, "correct that index, or, where it holds no letters yet, delete it, then start again: it " \
	                     "is made anew. Where letters of before are lost: `sluicectl reset --job search "          \
	                     "--with-index --yes`, then start again: all is filled anew from source.start")            \
	STOP(ELASTICSEARCH_REFUSES, "mend what it says (address, certificate, credentials, privileges, or the "        \
	                            "setting that it names), then start again")

enum stop {
#define STOP(name, way) STOP_##name,
	STOPS(STOP)
#undef STOP
	    STOP_KINDS
};

const char *stop_name(enum stop stop); /* "NOT_STOPPED_CLEANLY" */
const char *stop_way(enum stop stop);

#endif
