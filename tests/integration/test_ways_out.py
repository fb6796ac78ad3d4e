#!/usr/bin/python3
"""Each stop of common/base/stops.h is brought about, and the way out that its message tells is taken to the letter, until the audit says
exact. A row of that table without a case here is a failure."""
import copy, json, os, re, shutil, signal, socket, struct, subprocess, sys, threading, urllib.parse
from pathlib import Path

from confluent_kafka.admin import AdminClient

from jobs import EXIT_CONFIG, PARALLELISM, Failure, must_be, run_cases, sql, wait_for
from pooler import Pooler, exactly
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
    say(it, names, stop, *found)


def say(it, names, stop, *found):
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
    # As a text that is run: what stands there by name is found at the look, and says who it is.
    sql(it.url, "CREATE FUNCTION harm() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN EXECUTE format('DELETE FROM public.%I', "
                "'transactions') || ' t WHERE t.transaction_id = $1' USING NEW.transaction_id; RETURN NULL; END $$; CREATE TRIGGER harm AFTER INSERT ON transactions "
                "FOR EACH ROW EXECUTE FUNCTION harm()")
    it.produce(500, "--rate", 0, seed=2)
    stopped(it, "ROWS_NOT_WRITTEN", "rows were sent to be deleted")
    must_be("cut and counters", it.frontier()[2:], before)
    sql(it.url, "DROP TRIGGER harm ON transactions")
    it.start_all()
    exact(it)


def changed_while_it_runs(name, stop, broken, mended, *found):
    """Nothing is written into a table that has become another one, and what was written before stays exact."""
    def case(job):
        it = filled(job)
        before = it.frontier()[2:]
        sql(it.url, broken)
        it.send([record("d", 1.23)])
        stopped(it, stop, *found)
        must_be("cut and counters", it.frontier()[2:], before)
        sql(it.url, mended)
        it.start_all()
        exact(it)
    case.__name__ = f"{name}_while_it_runs"
    return case


def rounded_while_it_runs(job):
    """The ALTER TABLE itself has rounded what was there: another one does not bring it back, and the words say what does."""
    it = job(changes=(RARELY,))
    it.send([record("a", 1.25), record("b", 2.75), record("c", 3.55, "2024-02-15")])
    it.start_all().wait_live()
    it.settle()
    sql(it.url, "ALTER TABLE transactions ALTER total_amount TYPE numeric(9,1)")
    it.send([record("d", 1.23)])
    stopped(it, "COLUMN_DIFFERS", 'its column "total_amount" is numeric(9,1) instead of numeric(10,2)')
    must_be("rows", sql(it.url, "SELECT count(*) FROM transactions"), (3,))
    sql(it.url, "ALTER TABLE transactions ALTER COLUMN total_amount TYPE numeric(10,2)")
    it.start_all()
    it.wait_live()
    it.settle()
    must_be("exit code of the audit", ctl(it, "audit").returncode, 1)
    it.stop()
    reset = ctl(it, "reset", "--job", "totals", "--yes")
    must_be(f"exit code of reset\n{reset.stderr}", reset.returncode, 0)
    it.start_all()
    exact(it)


key_missing = changed_while_it_runs("key_missing", "KEY_MISSING", "ALTER TABLE transactions DROP CONSTRAINT transactions_pkey",
                                    'ALTER TABLE "public"."transactions" ADD PRIMARY KEY ("transaction_id")',
                                    'ALTER TABLE "public"."transactions" ADD PRIMARY KEY ("transaction_id") makes it')
table_replaced = changed_while_it_runs("table_replaced", "TABLE_REPLACED", "ALTER TABLE sales_per_month RENAME TO months_t; CREATE TABLE sales_per_month "
                                       "(LIKE months_t INCLUDING ALL); INSERT INTO sales_per_month TABLE months_t",
                                       "DROP TABLE sales_per_month; ALTER TABLE months_t RENAME TO sales_per_month",
                                       'table "sales_per_month" of the pipeline file', "renamed to public.months_t, and another")
table_kept = changed_while_it_runs("table_kept", "TABLE_REPLACED", "CREATE TABLE copy (LIKE sales_per_day INCLUDING ALL); INSERT INTO copy TABLE sales_per_day; "
                                   "DROP TABLE sales_per_day; ALTER TABLE copy RENAME TO sales_per_day", "SELECT 1", "it was dropped, and another")


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

def older_schema(job):
    """As a release made it that knew five steps. Each verb that reads what a job has written says so; `init` brings it up."""
    it = job()
    for version, file in enumerate(sorted((ROOT / "sql").glob("00[1-5]_*.sql")), 1):
        sql(it.url, file.read_text())
        sql(it.url, "INSERT INTO sluice.migrations (version) VALUES (%s)", version)
    for words in (("audit",), ("accept",), ("rebuild", "--dry-run"), ("skip", "--to", "earliest", "--dry-run"), ("reset", "--job", "totals", "--dry-run")):
        done = ctl(it, *words)
        must_be(f"exit code of {words}", done.returncode, EXIT_CONFIG)
        for said in ("schema sluice has version 5", WAYS["OLDER_SCHEMA"]):
            must_be(f"{said!r} in {done.stderr}", said in done.stderr, True)
    must_be("exit code of init", ctl(it, "init").returncode, 0)
    for words in (("audit",), ("accept",)):
        must_be(f"of {words}", "was never started" in ctl(it, *words).stderr, True)
    it.start_all()
    exact(it)


# --- addresses, releases, and what is in front of a service ---------------------------------------------------------------------
LISTEN = ('  listen: "${SLUICE_COORDINATOR:tcp://127.0.0.1:7710}"', "  # listen: the default")


def address(job):
    """One without tcp://, which every process finds; and a port that only root may listen on."""
    it = job(changes=(LISTEN,))
    right = it.environment["SLUICE_COORDINATOR"]
    it.environment["SLUICE_COORDINATOR"] = it.environment["SLUICE_LISTEN"] = right.removeprefix("tcp://")
    it.start_all()
    stopped(it, "ADDRESS", right.removeprefix("tcp://"))
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) > 81:
        it.environment["SLUICE_LISTEN"] = "tcp://127.0.0.1:81"
        it.start("coordinator", *(("setpriv", "--bounding-set", "-net_bind_service") if os.geteuid() == 0 else ()))
        stopped(it, "ADDRESS", "tcp://127.0.0.1:81: Permission denied")
    del it.environment["SLUICE_LISTEN"]
    it.environment["SLUICE_COORDINATOR"] = right
    it.write_config()
    it.start_all()
    exact(it)


class Interpreter:
    """Between processes and their coordinator: to either the other one speaks the wire version before its own."""

    def __init__(self, to):
        self.to = to
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near = self.listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                return
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self.pass_on, args=(one, other), daemon=True).start()

    @staticmethod
    def pass_on(one, other):
        try:
            other.sendall(exactly(one, 8))  # nng's greeting; then messages, a length of eight bytes in front of each
            while True:
                length = exactly(one, 8)
                message = exactly(one, struct.unpack("!Q", length)[0])
                other.sendall(length + re.sub(rb"(?s)SLUC(..)", lambda m: b"SLUC" + struct.pack("<H", struct.unpack("<H", m[1])[0] - 1), message))
        except OSError:
            one.close()
            other.close()


def other_release(job):
    it = job()
    right = it.environment["SLUICE_COORDINATOR"]
    it.start_all().wait_live()
    it.kill("ingest-0")
    older = Interpreter(int(right.rsplit(":", 1)[1]))
    it.environment["SLUICE_COORDINATOR"] = older.url
    it.start("ingest-0")
    stopped(it, "OTHER_RELEASE", "wire version", names=("ingest-0",))
    log = (it.folder / "coordinator.log").read_text()
    must_be("the coordinator says so, too", "the other side speaks wire version" in log and WAYS["OTHER_RELEASE"] in log, True)
    asked = ctl(it, "status")
    must_be(f"of sluicectl {asked.stderr}", (asked.returncode, WAYS["OTHER_RELEASE"] in asked.stderr), (1, True))
    older.listener.close()
    it.environment["SLUICE_COORDINATOR"] = right
    it.start("ingest-0")
    exact(it)


def pooler(job):
    """Then PostgreSQL itself; and a pool in session mode."""
    it = job()
    postgres = it.services.postgres
    pools = {mode: Pooler(f"{postgres}/.s.PGSQL.{(postgres / 'port').read_text().strip()}", mode) for mode in ("transaction", "session")}
    urls = {mode: f"postgresql://postgres@127.0.0.1:{pool.port}/{it.name}" for mode, pool in pools.items()}
    it.environment["DATABASE_URL"] = urls["transaction"]
    it.start_all()
    stopped(it, "POOLER", "there is a pooler before PostgreSQL")
    it.environment["DATABASE_URL"] = it.url
    it.start_all()
    exact(it)
    it.stop()
    it.environment["DATABASE_URL"] = urls["session"]
    it.start_all()
    it.send([record("through the pool", 3)])
    exact(it)
    for pool in pools.values():
        pool.close()


# --- what is not there ------------------------------------------------------------------------------------------------------------
def missing(job):
    """Topic and database are waited for, for a minute; of two jobs at a time. One is made; for the other the right name is put in."""
    topics, databases = [job(partitions=0), job(partitions=0)], [job(), job()]
    for it in databases:
        call("psql", it.services.url, "-qc", f'DROP DATABASE "{it.name}"')
    for it in topics + databases:
        it.start_all()
    for it in topics + databases:
        names = list(it.running)
        it.exits_with(EXIT_CONFIG, 90)
        say(it, names, "NO_TOPIC" if it in topics else "DATABASE_MISSING", it.name, "does not exist")
    made, named = topics
    made.services.topic(made.name, 4)
    named.topic += "_right"
    named.services.topic(named.topic, 4)
    named.write_config()
    made, named = databases
    named.url = named.environment["DATABASE_URL"] = named.url + "_right"
    for name in (made.name, named.name + "_right"):
        call("psql", made.services.url, "-qc", f'CREATE DATABASE "{name}"')
    for it in topics + databases:
        it.start_all()
    for it in topics + databases:
        exact(it)


def no_proc(job):
    """As in a container that was given none: where this machine lets us make one."""
    it = filled(job)
    hidden = ("unshare", *(("-rm",) if os.geteuid() else ("-m",)), "sh", "-c", 'mount -t tmpfs none /proc && exec "$0" "$@"')
    if subprocess.run([*hidden, "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        print("    no mount namespaces here: not tried", flush=True)
        return
    it.kill("aggregator-0")
    it.start("aggregator-0", *hidden)
    stopped(it, "NO_PROC", "/proc is not mounted")
    it.start_all()
    exact(it)


# --- too many, and what PostgreSQL refuses -------------------------------------------------------------------------------------
def too_many_partitions(job):
    """In the broker of the producer, which has them at once."""
    it = job()
    broker = subprocess.Popen([str(BIN / "sluice-producer"), "--embedded-broker", "--broker-file", str(it.folder / "broker"), "--topic",
                               it.topic, "--partitions", "10001", "--count", "1", "--quiet"], stdout=subprocess.DEVNULL)
    try:
        wait_for("the broker", (it.folder / "broker").exists, 60)
        it.services = copy.copy(it.services)
        it.services.brokers = it.environment["KAFKA_BOOTSTRAP_SERVERS"] = (it.folder / "broker").read_text().strip()
        it.start_all()
        stopped(it, "TOO_MANY_PARTITIONS", "has 10001 partitions")
        it.topic += "_fewer"  # which that broker makes when somebody asks for it
        it.write_config()
        it.start_all()
        exact(it)
    finally:
        broker.kill()
        broker.wait()


def too_many_keys(job):
    """They would fill 32 GiB, so the stop itself is one of test_overlay.c. It leaves a job that can replay what it had committed."""
    for change in (("  retain: 3", "  retain: 3\n  max_records: 1000"), (PARALLELISM, PARALLELISM.replace("dedup: 2", "dedup: 5"))):
        it = job(changes=(RARELY,))
        it.produce(3000, "--rate", 0)
        it.start_all().wait_live()
        it.settle()
        crash(it)
        it.write_config(RARELY, change)
        it.start_all()
        exact(it)
        it.end()


def statement_refused(job):
    it = filled(job)
    before = it.frontier()[2:]
    sql(it.url, "CREATE FUNCTION none_today() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no books today'; END $$; "
                "CREATE TRIGGER none_today AFTER INSERT ON transactions FOR EACH ROW EXECUTE FUNCTION none_today()")
    it.send([record("d", 4)])
    stopped(it, "STATEMENT_REFUSED", "no books today")
    must_be("cut and counters", it.frontier()[2:], before)
    sql(it.url, "DROP TRIGGER none_today ON transactions")
    it.start_all()
    exact(it)


def as_before_owners(it):
    """The table of letters as a release made it that knew one job per database."""
    sql(it.url, "ALTER TABLE dead_letters DROP COLUMN job; ALTER TABLE dead_letters ADD UNIQUE (topic, partition, \"offset\", sink)")


def sale(key, **more):
    return 0, None, json.dumps({"transaction_id": key, "product_category": "books", "total_amount": 1, "transaction_date": "2024-01-15T10:00:00Z",
                                **more}).encode()


def letters_of_nobody(job):
    """Each of two jobs could have written each of two letters."""
    one = job(changes=[("product_category, type: string(100),     required", "product_category, type: string(20), required")])
    two = job(database=one.name, topic=one.name, tables="_b", changes=[("product_name,     type: string(255)", "product_name,     type: string(10)")])
    jobs = {one: sale("of one", product_category="b" * 30), two: sale("of two", product_name="n" * 20)}
    offsets = one.send([*jobs.values(), sale("of nobody")])
    for it in jobs:
        it.start_all()
    for it in jobs:
        it.settle()
        it.stop()
    as_before_owners(one)
    for it in jobs:
        it.start_all()
        stopped(it, "LETTERS_OF_NOBODY", f"may be of job {one.name}/totals or {two.name}/totals")
    sql(one.url, "ALTER TABLE dead_letters ADD COLUMN IF NOT EXISTS job text")
    wrote = {str(offset): it for it, offset in zip(jobs, offsets)}
    while wrote:
        refused = ctl(one, "init")
        found = re.search(rf"letter of record {one.name}/0/(\d+) may be of job", refused.stderr)
        must_be(f"of init {refused.stderr}", (refused.returncode, bool(found)), (EXIT_CONFIG, True))
        sql(one.url, 'UPDATE dead_letters SET job = %s WHERE "offset" = %s', f"{wrote.pop(found[1]).name}/totals", found[1])
    must_be("exit code of init", ctl(one, "init").returncode, 0)
    for it in jobs:
        it.start_all()
        exact(it)


def letters_of_another_role(job):
    it = job()
    it.environment["DATABASE_URL"] = with_role(it, "a_writer", "LOGIN") % "right"
    sql(it.url, f'GRANT CREATE ON DATABASE "{it.name}" TO a_writer; GRANT CREATE ON SCHEMA public TO a_writer; CREATE ROLE a_keeper')
    it.send([sale("of this one", product_category=None), sale("b")])
    it.start_all()
    it.settle()
    it.stop()
    as_before_owners(it)
    sql(it.url, "GRANT CREATE ON SCHEMA public TO a_keeper; ALTER TABLE dead_letters OWNER TO a_keeper; GRANT ALL ON dead_letters TO a_writer")
    it.start_all()
    stopped(it, "LETTERS_OF_NOBODY", "it belongs to role a_keeper")
    sql(it.url, "GRANT a_keeper TO a_writer")
    it.start_all()
    exact(it)
    sql(it.url, "REVOKE a_keeper FROM a_writer")
    exact(it)
    it.stop()
    it.start_all()
    exact(it)


CASES = {"NOT_STOPPED_CLEANLY": (not_stopped_cleanly,), "TOTAL_BEYOND_COLUMN": (total_beyond_column, total_beyond_column_after_a_crash),
         "STATE_DIFFERS": (state_differs,), "TABLES_DIFFER": (tables_differ,), "ROWS_OF_OTHERS": (rows_of_others,),
         "SCHEMA_OF_OTHERS": (schema_of_others,), "NO_SCHEMA": (no_schema,), "OTHER_SCHEMA": (other_schema,),
         "OTHER_MEANING": (other_meaning,), "PIPELINE_FILE": (pipeline_file,), "KAFKA_REFUSES": (kafka_refuses,),
         "NO_CHECKPOINT": (no_checkpoint,), "CHECKPOINTS_OF_ANOTHER": (checkpoints_of_another,), "FOLDER": (folder,),
         "ENCODING": (encoding,), "PASSWORD_REFUSED": (password_refused,),
         "LOGIN_REFUSED": (login_refused,), "ROWS_NOT_WRITTEN": (rows_not_written,), "NOT_COUNTED": (not_counted,), "RIGHT_MISSING": (right_missing,), "CONNECTION_SETTINGS": (connection_settings,),
         "OLDER_SCHEMA": (older_schema,), "ADDRESS": (address,), "OTHER_RELEASE": (other_release,), "POOLER": (pooler,), "NO_TOPIC": (missing,), "DATABASE_MISSING": (missing,),
         "NO_PROC": (no_proc,), "TOO_MANY_PARTITIONS": (too_many_partitions,), "TOO_MANY_KEYS": (too_many_keys,),
         "STATEMENT_REFUSED": (statement_refused,), "LETTERS_OF_NOBODY": (letters_of_nobody, letters_of_another_role)}
CASES |= {stop: (in_the_database(stop),) for stop in IN_THE_DATABASE}
CASES["COLUMN_DIFFERS"] += (rounded_while_it_runs,)
CASES |= {"KEY_MISSING": (key_missing,), "TABLE_REPLACED": (table_replaced, table_kept)}
# Their way out is taken where what they need is there already.
ELSEWHERE = {
    "OTHER_LOG": ("test_other_log.py", "at_once_longer"),
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
    "CONTROL_UNREADABLE": ("test_search_job.py", "a_control_document_that_is_none"),
    "INDEX_RENAMED": ("test_search_job.py", "the_index_has_another_name"),
    "INDEX_UNFIT": ("test_search_job.py", "an_unfit_index"),
    "LETTER_REFUSED": ("test_search_job.py", "letters_that_are_refused"),
    "ELASTICSEARCH_REFUSES": ("test_search_job.py", "refused"),
}
# The stop itself is one of a test of a part: its way, where there is one to take, is a case here.
IN_A_PART = {
    "OUR_FAULT": ("test_group_table.c", "test_delta_overflow_is_an_error"),
    "TOO_MANY_KEYS": ("test_overlay.c", "test_more_than_references_name"),
}


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
    known = set(CASES) | set(ELSEWHERE) | set(IN_A_PART)
    must_be("stops without a case", sorted(set(WAYS) - known), [])
    must_be("cases without a stop", sorted(known - set(WAYS)), [])
    for stop, (file, case) in (ELSEWHERE | IN_A_PART).items():
        text = (ROOT / "tests" / ("unit" if file.endswith(".c") else "integration") / file).read_text()
        must_be(f"{file} has {case} for {stop}", re.search(rf"^(def|static void) {case}\(", text, re.M) is not None, True)


if __name__ == "__main__":
    sys.exit(run_cases((every_row_has_a_case, every_stop_is_of_the_table, *dict.fromkeys(case for cases in CASES.values() for case in cases))))
