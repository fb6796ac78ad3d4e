#!/usr/bin/python3
"""Each stop of common/base/stops.h is brought about, and the way out that its message tells is taken to the letter, until the audit says
exact. A row of that table without a case here is a failure."""
import json, re, shutil, signal, subprocess, sys, urllib.parse

from jobs import EXIT_CONFIG, Failure, must_be, run_cases, sql
from services import BIN, ROOT, call

RARELY = ("interval: 5s", "interval: 1d")  # a crash replays from the start
MONTH = "    by:\n      - {column: year, year: transaction_date}\n      - {column: month, month: transaction_date}\n    measures:\n"
MEASURE = '      - {column: total_sales, sum: total_amount, type: "decimal(%s,2)"}'


def ways():
    """Name and words of each row."""
    text = (ROOT / "common/base/stops.h").read_text().replace("\\\n", "")
    rows = re.findall(r'\tSTOP\(\s*(\w+),((?:\s*"(?:[^"\\]|\\.)*")+)\)', text)
    return {name: "".join(json.loads(part) for part in re.findall(r'"(?:[^"\\]|\\.)*"', words)) for name, words in rows}


WAYS = ways()


def ctl(it, *words):
    return subprocess.run([str(BIN / "sluicectl"), *words], env=it.environment, text=True, capture_output=True, check=False)


def stopped(it, stop, *found, names=None):
    """Every process (or those named) has ended with 78, and each says what was found and the way out."""
    names = names or list(it.running)
    it.exits_with(EXIT_CONFIG, names=names)
    for name in names:
        tail = (it.folder / f"{name}.log").read_text(errors="replace")[-4000:].replace('\\"', '"')
        for words in (*found, *([WAYS[stop]] if stop else [])):
            if words not in tail:
                raise Failure(f"{name} does not say {words!r}:\n{tail}")


def exact(it):
    """It runs again, and goes on."""
    it.wait_live()
    it.produce(500, "--rate", 0, seed=77)
    it.settle()
    done = ctl(it, "audit")
    must_be(f"exit code of the audit\n{done.stdout}{done.stderr}", done.returncode, 0)


def crash(it):
    for name in list(it.running):
        it.kill(name)


def record(key, amount, day="2024-01-15"):
    return 0, None, json.dumps({"transaction_id": key, "product_category": "books", "total_amount": amount,
                                "transaction_date": f"{day}T10:00:00Z"}).encode()


def not_stopped_cleanly(job):
    wider = ('type: "decimal(10,2)", required: true', 'type: "decimal(12,2)", required: true')
    it = job(changes=(RARELY,))
    it.send([record("a", 1), record("b", 2)])
    it.start_all().wait_live()
    it.settle()
    crash(it)
    sql(it.url, "ALTER TABLE transactions ALTER total_amount TYPE numeric(12,2)")
    it.write_config(RARELY, wider)
    it.start_all()
    stopped(it, "NOT_STOPPED_CLEANLY", "decimal(12,2)")
    it.write_config(RARELY)
    sql(it.url, "ALTER TABLE transactions ALTER total_amount TYPE numeric(10,2)")
    it.start_all().wait_live()
    it.running["coordinator"].send_signal(signal.SIGTERM)
    it.exits_with(0)
    it.write_config(RARELY, wider)
    sql(it.url, "ALTER TABLE transactions ALTER total_amount TYPE numeric(12,2)")
    it.start_all()
    exact(it)


def month_of(digits):
    return MONTH + MEASURE % 15, MONTH + MEASURE % digits


def total_beyond_column(job, *, clean=False, crashed=False):
    """Also where the old file can never be run again to the end; and where all of it was killed before."""
    it = job(changes=(RARELY, month_of(8)))
    it.start_all().wait_live()
    it.send([record("a", 400000), record("b", 400000), record("other month", 7, "2024-02-15")])
    it.settle()
    if crashed:
        crash(it)
        it.start_all().wait_live()
    it.send([record("c", 400000)])
    stopped(it, "TOTAL_BEYOND_COLUMN", "total_sales of sales_per_month", "DECIMAL(8,2)")
    must_be("the month that fits", sql(it.url, "SELECT total_sales::text FROM sales_per_month WHERE month = 1"), ("800000.00",))
    it.start_all()
    stopped(it, "TOTAL_BEYOND_COLUMN", "sales_per_month")  # still so: nothing was changed
    it.write_config(RARELY, month_of(10))
    it.start_all()
    stopped(it, None, "sales_per_month", "numeric(10,2)", "ALTER TABLE")
    sql(it.url, "ALTER TABLE sales_per_month ALTER COLUMN total_sales TYPE numeric(10,2)")
    it.start_all()
    exact(it)
    must_be("the month", sql(it.url, "SELECT total_sales >= 1200000 FROM sales_per_month WHERE month = 1 AND year = 2024"), (True,))
    crash(it)  # and once more, from a checkpoint named for the new file
    it.start_all()
    exact(it)


def total_beyond_column_after_a_crash(job):
    total_beyond_column(job, crashed=True)


def state_differs(job):
    """The checkpoint is one of another history: here, as the database says that it has counted otherwise."""
    for column, change, found in (("counters", "'{\"consumed\": 7}'", "consumed"),
                                  ("counters", "'{\"digest\": 7}'", "not the same ones"),
                                  ("sums", "'{\"sales_per_day\": {\"total_sales\": [\"5.00\", \"5\"]}}'", "total_sales of sales_per_day"),
                                  ("sums", "'{\"sales_per_day\": {\"total_sales\": [\"0.00\", \"5\"]}}'", "not in the same groups")):
        it = job(changes=(RARELY,))
        it.produce(500, "--rate", 0)
        it.start_all().wait_live()
        it.settle()
        crash(it)
        before = it.frontier()[2:]
        sql(it.url, f"UPDATE sluice.checkpoints SET {column} = {column} || {change}")
        it.start_all()
        stopped(it, "STATE_DIFFERS", found)
        must_be("cut and counters", it.frontier()[2:], before)
        rebuilt = ctl(it, "rebuild")
        must_be(f"exit code of rebuild\n{rebuilt.stderr}", rebuilt.returncode, 0)
        it.start_all()
        exact(it)
        it.end()


def tables_differ(job):
    it = job()
    it.produce(500, "--rate", 0)
    it.start_all().wait_live()
    it.settle()
    it.stop()
    sql(it.url, "UPDATE sales_per_day SET total_sales = total_sales + 1 WHERE ctid = (SELECT min(ctid) FROM sales_per_day)")
    refused = ctl(it, "rebuild")
    must_be(f"exit code of rebuild\n{refused.stderr}", refused.returncode, EXIT_CONFIG)
    for words in ("total_sales of sales_per_day", WAYS["TABLES_DIFFER"]):
        must_be(f"{words!r} in {refused.stderr}", words in refused.stderr, True)
    must_be("exit code of the audit", ctl(it, "audit").returncode, 1)
    sql(it.url, "UPDATE sales_per_day SET total_sales = total_sales - 1 WHERE ctid = (SELECT max(ctid) FROM sales_per_day)")
    must_be("exit code of rebuild", ctl(it, "rebuild").returncode, 0)
    it.start_all()
    exact(it)


def rows_not_written(job):
    """Whatever takes rows away again behind the job's back; the same where it does so while the job runs."""
    it = job(changes=(RARELY,))
    it.produce(500, "--rate", 0)
    it.start_all().wait_live()
    it.settle()
    before = it.frontier()[2:]
    sql(it.url, "CREATE FUNCTION harm() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM public.transactions t WHERE "
                "t.transaction_id = NEW.transaction_id; RETURN NULL; END $$; CREATE TRIGGER harm AFTER INSERT ON transactions "
                "FOR EACH ROW EXECUTE FUNCTION harm()")
    it.produce(500, "--rate", 0, seed=2)
    stopped(it, "ROWS_NOT_WRITTEN", "rows were sent to be deleted")
    must_be("cut and counters", it.frontier()[2:], before)
    sql(it.url, "DROP TRIGGER harm ON transactions")
    it.start_all()
    exact(it)


def not_counted(job):
    it = job()
    it.produce(500, "--rate", 0)
    it.start_all().wait_live()
    it.settle()
    it.stop()
    sql(it.url, f'ALTER DATABASE "{it.name}" SET track_counts = off')
    it.start_all()
    stopped(it, "NOT_COUNTED", "track_counts is off")
    sql(it.url, f'ALTER DATABASE "{it.name}" SET track_counts = on')
    it.start_all()
    exact(it)


def filled(job, **more):
    it = job(changes=(RARELY,), **more)
    it.send([record("a", 1), record("b", 2), record("c", 3, "2024-02-15")])
    it.start_all().wait_live()
    it.settle()
    return it


# What is done to the database of a stopped job, what is found of it, and what its way out says, as a person would type it.
IN_THE_DATABASE = {
    "COLUMN_DIFFERS": ("ALTER TABLE transactions ALTER total_amount TYPE numeric(11,2)", "total_amount",
                       "ALTER TABLE transactions ALTER total_amount TYPE numeric(10,2)"),
    "TABLE_GONE": ("ALTER TABLE sales_per_day RENAME TO elsewhere", "sales_per_day", "ALTER TABLE elsewhere RENAME TO sales_per_day"),
    "TABLE_NOT_LASTING": ("ALTER TABLE sales_per_day SET UNLOGGED", "sales_per_day", "ALTER TABLE sales_per_day SET LOGGED"),
    "TABLE_INTERFERED": ("CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "
                         "CREATE TRIGGER swallow BEFORE INSERT ON transactions FOR EACH ROW EXECUTE FUNCTION nothing()", "swallow",
                         "DROP TRIGGER swallow ON transactions"),
    "TABLE_KEY": ("CREATE UNIQUE INDEX extra ON transactions (total_amount)", "extra", "DROP INDEX extra"),
    "TABLE_KIND": ("ALTER TABLE sales_per_day RENAME TO behind; CREATE VIEW sales_per_day AS SELECT * FROM behind", "sales_per_day",
                   "DROP VIEW sales_per_day; ALTER TABLE behind RENAME TO sales_per_day"),
    "ROWS_GONE": ("CREATE TABLE backup AS TABLE transactions; TRUNCATE transactions", "transactions",
                  "INSERT INTO transactions TABLE backup"),
    "NEWER_RELEASE": ("INSERT INTO sluice.migrations VALUES (9999)", "9999", "DELETE FROM sluice.migrations WHERE version = 9999"),
    "MEMORY_DAMAGED": ("CREATE TABLE backup AS TABLE sluice.frontier; UPDATE sluice.frontier SET cut = '[1]'", "the cut in the frontier",
                       "UPDATE sluice.frontier f SET cut = b.cut FROM backup b"),
    "CHECKPOINT_AHEAD": ("CREATE TABLE backup AS TABLE sluice.frontier; UPDATE sluice.frontier SET cut = '{\"0\": 1, \"1\": 0, \"2\": 0, \"3\": 0}'",
                         "ahead", "UPDATE sluice.frontier f SET cut = b.cut FROM backup b"),
}


def in_the_database(stop):
    broken, found, mended = IN_THE_DATABASE[stop]

    def case(job):
        it = filled(job)
        it.stop()
        sql(it.url, broken)
        it.start_all()
        stopped(it, stop, found)
        sql(it.url, mended)
        it.start_all()
        exact(it)
    case.__name__ = stop.lower()
    return case


def rows_of_others(job):
    it = job()
    must_be("exit code of init", ctl(it, "init").returncode, 0)
    sql(it.url, "INSERT INTO sales_per_day VALUES ('2024-01-15', 1)")
    sql(it.url, "DELETE FROM sluice.frontier")
    it.start_all()
    stopped(it, "ROWS_OF_OTHERS", "sales_per_day")
    sql(it.url, "TRUNCATE sales_per_day")
    it.start_all()
    exact(it)


def schema_of_others(job):
    it = job()
    sql(it.url, "CREATE SCHEMA sluice; CREATE TABLE sluice.migrations (version integer)")
    it.start_all()
    stopped(it, "SCHEMA_OF_OTHERS", "sluice")
    sql(it.url, "ALTER SCHEMA sluice RENAME TO theirs")
    it.start_all()
    exact(it)


SHOP = ('    schema: ""', "    schema: shop")


def no_schema(job):
    it = job()
    sql(it.url, f'ALTER DATABASE "{it.name}" SET search_path = nowhere')
    it.start_all()
    stopped(it, "NO_SCHEMA")
    it.write_config(SHOP)
    it.start_all()
    exact(it)


def other_schema(job):
    it = filled(job)
    it.stop()
    it.write_config(RARELY, SHOP)
    it.start_all()
    stopped(it, "OTHER_SCHEMA", "shop")
    sql(it.url, "CREATE SCHEMA IF NOT EXISTS shop")
    for table in ("transactions", "sales_per_category", "sales_per_day", "sales_per_month", "dead_letters"):
        sql(it.url, f"ALTER TABLE {table} SET SCHEMA shop")
    it.start_all()
    exact(it)


def other_file(stop, change, *found):
    """The file of a job that was stopped cleanly is changed, and put back."""
    def case(job):
        it = filled(job)
        it.stop()
        it.write_config(RARELY, change)
        it.start_all()
        stopped(it, stop, *found)
        it.write_config(RARELY)
        it.start_all()
        exact(it)
    case.__name__ = stop.lower()
    return case


other_meaning = other_file("OTHER_MEANING", ("time_zone: UTC", "time_zone: Europe/Berlin"), "time_zone Europe/Berlin")
pipeline_file = other_file("PIPELINE_FILE", ("  policy: first", "  polcy: first"), "polcy")
kafka_refuses = other_file("KAFKA_REFUSES", ("    group.id: sluice", "    security.protocol: SASL_PLAINTEXT\n    sasl.mechanism: PLAIN\n"
                                             "    sasl.username: nobody\n    sasl.password: wrong\n    group.id: sluice"), "Kafka refuses us")


def no_checkpoint(job):
    it = filled(job)
    it.stop()
    shutil.rmtree(it.folder / "checkpoints" / it.name)
    it.start_all()
    stopped(it, "NO_CHECKPOINT", "knows none of its checkpoints")
    rebuilt = ctl(it, "rebuild")
    must_be(f"exit code of rebuild\n{rebuilt.stderr}", rebuilt.returncode, 0)
    it.start_all()
    exact(it)
    it.stop()
    shutil.rmtree(it.folder / "checkpoints" / it.name)
    it.start_all()
    stopped(it, "NO_CHECKPOINT")
    reset = ctl(it, "reset", "--job", "totals", "--yes")
    must_be(f"exit code of reset\n{reset.stderr}", reset.returncode, 0)
    it.start_all()
    exact(it)


def checkpoints_of_another(job):
    """The database is new, the folder is not."""
    it = filled(job)
    it.stop()
    sql(it.url, "DROP SCHEMA sluice CASCADE; DROP TABLE transactions, sales_per_category, sales_per_day, sales_per_month, dead_letters")
    it.write_config(RARELY, ("time_zone: UTC", "time_zone: Europe/Berlin"))
    it.start_all()
    stopped(it, "CHECKPOINTS_OF_ANOTHER")
    it.write_config(RARELY)
    it.start_all()
    exact(it)


def folder(job):
    it = job()
    (it.folder / "occupied").write_text("a file")
    before = it.environment["CHECKPOINT_DIR"]
    it.environment["CHECKPOINT_DIR"] = str(it.folder / "occupied" / "checkpoints")
    it.start_all()
    stopped(it, "FOLDER", "occupied", names=("coordinator",))  # nobody else has looked at it yet
    it.end()
    it.environment["CHECKPOINT_DIR"] = before
    it.start_all()
    exact(it)


def encoding(job):
    it = job()
    right, old = it.url, it.name + "_latin"
    call("psql", right, "-qc", f"CREATE DATABASE \"{old}\" ENCODING LATIN1 LOCALE 'C' TEMPLATE template0")
    it.environment["DATABASE_URL"] = right.rsplit("/", 1)[0] + "/" + old
    it.start_all()
    stopped(it, "ENCODING", "LATIN1")
    it.environment["DATABASE_URL"] = right
    it.start_all()
    exact(it)


def with_role(it, role, more):
    """The job's address for a role made for it."""
    sql(it.url, f"CREATE ROLE {role} PASSWORD 'right' {more}")
    parts = urllib.parse.urlsplit(it.url)
    return f"postgresql://{role}:%s@{parts.hostname}:{parts.port}{parts.path}"


def password_refused(job):
    it = job()
    url = with_role(it, "a_password", "LOGIN SUPERUSER")
    it.environment["DATABASE_URL"] = url % "wrong"
    it.start_all()
    stopped(it, "PASSWORD_REFUSED", "a_password")
    it.environment["DATABASE_URL"] = url % "right"
    it.start_all()
    exact(it)


def login_refused(job):
    it = job()
    it.environment["DATABASE_URL"] = with_role(it, "a_login", "NOLOGIN SUPERUSER") % "right"
    it.start_all()
    stopped(it, "LOGIN_REFUSED", "a_login")
    sql(it.url, "ALTER ROLE a_login LOGIN")
    it.start_all()
    exact(it)


def right_missing(job):
    it = job()
    it.environment["DATABASE_URL"] = with_role(it, "a_right", "LOGIN") % "right"
    it.start_all()
    stopped(it, "RIGHT_MISSING", "permission denied")
    sql(it.url, f'GRANT CREATE ON DATABASE "{it.name}" TO a_right')
    sql(it.url, "GRANT CREATE ON SCHEMA public TO a_right")
    it.start_all()
    exact(it)


def connection_settings(job):
    it = job()
    it.environment["DATABASE_URL"] = it.url + "?sslmode=requir"
    it.start_all()
    stopped(it, "CONNECTION_SETTINGS", "requir")
    it.environment["DATABASE_URL"] = it.url
    it.start_all()
    exact(it)


CASES = {"NOT_STOPPED_CLEANLY": (not_stopped_cleanly,), "TOTAL_BEYOND_COLUMN": (total_beyond_column, total_beyond_column_after_a_crash),
         "STATE_DIFFERS": (state_differs,), "TABLES_DIFFER": (tables_differ,), "ROWS_OF_OTHERS": (rows_of_others,),
         "SCHEMA_OF_OTHERS": (schema_of_others,), "NO_SCHEMA": (no_schema,), "OTHER_SCHEMA": (other_schema,),
         "OTHER_MEANING": (other_meaning,), "PIPELINE_FILE": (pipeline_file,), "KAFKA_REFUSES": (kafka_refuses,),
         "NO_CHECKPOINT": (no_checkpoint,), "CHECKPOINTS_OF_ANOTHER": (checkpoints_of_another,), "FOLDER": (folder,),
         "ENCODING": (encoding,), "PASSWORD_REFUSED": (password_refused,),
         "LOGIN_REFUSED": (login_refused,), "ROWS_NOT_WRITTEN": (rows_not_written,), "NOT_COUNTED": (not_counted,), "RIGHT_MISSING": (right_missing,), "CONNECTION_SETTINGS": (connection_settings,)}
CASES |= {stop: (in_the_database(stop),) for stop in IN_THE_DATABASE}
# Their way out is taken where what they need is there already.
ELSEWHERE = {
    "OTHER_LOG": ("test_remembered.py", "as_long_after_down"),
    "FACT_CHANGED": ("test_remembered.py", "isolation_after_down"),
    "OTHER_ZONE_RULES": ("test_remembered.py", "zone_rules_of_one_process"),
    "COMPACTED": ("test_remembered.py", "compacted"),
    "FILES_NOT_SEEN": ("test_remembered.py", "folder_removed"),
    "RECORDS_GONE": ("test_kafka.py", "retention_over_the_cut"),
    "CANNOT_UNPACK": ("test_kafka.py", "a_range_on_purpose"),
    "TABLE_OF_ANOTHER": ("test_neighbours.py", "tables_of_a_neighbour_are_refused"),
    "INDEX_OF_ANOTHER": ("test_neighbours.py", "an_index_has_one_owner"),
    "OTHER_COORDINATOR": ("test_neighbours.py", "an_address_has_one_coordinator"),
    "INDEX_GONE": ("test_search_job.py", "the_index_is_deleted"),
}
# Brought about elsewhere, or only in a test of a part, and nobody has taken their way out yet: this list can only become shorter.
NOT_TAKEN_YET = {"ADDRESS", "DATABASE_MISSING", "ELASTICSEARCH_REFUSES", "INDEX_RENAMED", "INDEX_UNFIT", "LETTERS_OF_NOBODY",
                 "LETTER_REFUSED", "NO_PROC", "NO_TOPIC", "OTHER_RELEASE", "OUR_FAULT", "POOLER", "STATEMENT_REFUSED", "TOO_MANY_KEYS", "TOO_MANY_PARTITIONS"}


# What is behind a `person ? CONFIG : RETRY` and gets its way from error_way; an option on the command line, which ends a program before
# there is a job; words that came with a STOP, their way in them; a verb's own.
WAY_BEHIND = {"services/ingest/kafka_describe.c", "common/state/files.c", "common/runtime/nng_error.c", "common/runtime/service.c"}
NO_JOB_YET = {"common/runtime/service_options.c", "services/coordinator/main.c", "common/runtime/control_client.c",
              "common/postgres/postgres_schema.c"}


def every_stop_is_of_the_table(job):
    """Nothing ends a job with 78 by words of its own."""
    rooms = ("services/ingest", "services/aggregator", "services/sink", "services/coordinator", "common/state", "common/runtime",
             "common/postgres", "proto")
    found = {str(file.relative_to(ROOT)) for room in rooms for file in (ROOT / room).rglob("*.c")
             if re.search(r"error_set\([^;]*?\bRESULT_CONFIG\s*[,:]", file.read_text())}
    must_be("files with stops of their own", sorted(found - WAY_BEHIND - NO_JOB_YET), [])
    for file in WAY_BEHIND:
        must_be(f"{file} tells ways", "error_way(" in (ROOT / file).read_text(), True)


def every_row_has_a_case(job):
    known = set(CASES) | set(ELSEWHERE) | NOT_TAKEN_YET
    must_be("stops without a case", sorted(set(WAYS) - known), [])
    must_be("cases without a stop", sorted(known - set(WAYS)), [])
    must_be("ways that are taken after all", sorted((set(CASES) | set(ELSEWHERE)) & NOT_TAKEN_YET), [])
    for stop, (file, case) in ELSEWHERE.items():
        must_be(f"{file} has {case} for {stop}", f"def {case}(" in (ROOT / "tests/integration" / file).read_text(), True)


if __name__ == "__main__":
    sys.exit(run_cases((every_row_has_a_case, every_stop_is_of_the_table, *(case for cases in CASES.values() for case in cases))))
