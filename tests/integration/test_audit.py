#!/usr/bin/python3
"""sluicectl audit finds nothing where nothing is wrong, also under full load, and every harm where there is one, by name."""
import os, pty, signal, subprocess, sys, time

from confluent_kafka import Producer

from audits import audit, found, kinds, must_be_exact
from jobs import EXIT_CONFIG, Failure, must_be, run_cases, sql, wait_for
from services import BIN, HERE, call

EXIT_UNAVAILABLE = 69
TABLES = ("transactions", "sales_per_category", "sales_per_day", "sales_per_month", "dead_letters", "sluice.frontier")
A_ROW = "ctid = (SELECT max(ctid) FROM transactions)"

# What is done to the database, the kind of difference that has to be found, how many of it, and words of the report.
HARM = (
    ("a row is gone", "DELETE FROM transactions WHERE " + A_ROW, "row_missing", 1, "no row"),
    ("a cent in a row", "UPDATE transactions SET total_amount = total_amount + 0.01 WHERE " + A_ROW, "row", 1, "total_amount"),
    ("a text in a row", "UPDATE transactions SET customer_id = customer_id || 'x' WHERE " + A_ROW, "row", 1, "customer_id"),
    ("a microsecond in a row", "UPDATE transactions SET transaction_date = transaction_date + interval '1 us' WHERE " + A_ROW,
     "row", 1, "transaction_date"),
    ("a null in a row", "UPDATE transactions SET currency = NULL WHERE " + A_ROW, "row", 1, "currency nothing"),
    ("a row too many", "INSERT INTO transactions (transaction_id, product_category, total_amount, transaction_date) "
     "VALUES ('nobody sent this', 'home', 0, '2024-01-15')", "row_extra", 1, "nobody sent this"),
    ("a total of a category", "UPDATE sales_per_category SET total_sales = total_sales + 0.01 "
     "WHERE ctid = (SELECT min(ctid) FROM sales_per_category)", "total", 1, "sales_per_category: transaction_date 2024-01-"),
    ("cents between totals", "UPDATE sales_per_category SET total_sales = total_sales + "
     "CASE category WHEN 'home' THEN 0.01 WHEN 'sports' THEN -0.01 ELSE 0 END", "total", 4, "category 'home'"),
    ("a month that nobody sold in", "INSERT INTO sales_per_month VALUES (2023, 12, 0)", "total_extra", 1, "year 2023, month 12"),
    ("a day is gone", "DELETE FROM sales_per_day WHERE ctid = (SELECT min(ctid) FROM sales_per_day)", "total_missing", 1,
     "sales_per_day: transaction_date 2024-01-1"),
    ("a dead letter is gone", "DELETE FROM dead_letters WHERE ctid = (SELECT min(ctid) FROM dead_letters)", "letter_missing", 1,
     "no dead letter"),
    ("a dead letter too many", "INSERT INTO dead_letters SELECT job, topic, partition, \"offset\" + 1000000, key, payload, payload_raw, "
     "reason, detail, sink, epoch, created_at FROM dead_letters LIMIT 1", "letter_extra", 1, "no dead letter"),
    ("a dead letter's reason", "UPDATE dead_letters SET reason = 'too_long' WHERE ctid = (SELECT ctid FROM dead_letters "
     "WHERE reason = 'invalid_json' LIMIT 1)", "letter", 1, "reason too_long"),
    ("a dead letter's bytes", "UPDATE dead_letters SET payload = payload || 'x'::bytea WHERE ctid = (SELECT ctid FROM dead_letters "
     "WHERE reason = 'invalid_json' LIMIT 1)", "letter", 1, "reason invalid_json"),
    ("a dead letter's key", "UPDATE dead_letters SET key = NULL WHERE ctid = (SELECT ctid FROM dead_letters "
     "WHERE key IS NOT NULL LIMIT 1)", "letter", 1, "key none"),
    ("what a conflict says", "UPDATE dead_letters SET payload = replace(convert_from(payload, 'UTF8'), '\"total_amount\": ', "
     "'\"total_amount\": 1')::bytea WHERE ctid = (SELECT ctid FROM dead_letters WHERE reason = 'conflict' LIMIT 1)",
     "letter", 1, "re-encoded"),
    ("a conflict that says it is raw", "UPDATE dead_letters SET payload_raw = true WHERE ctid = (SELECT ctid FROM dead_letters "
     "WHERE reason = 'conflict' LIMIT 1)", "letter", 1, "payload_raw"),
    ("a counter", "UPDATE sluice.frontier SET counters = jsonb_set(counters, '{duplicates}', '0')", "counter", 2, "duplicates"),
)


def exact_under_load(job):
    it = job()
    it.start_all().wait_live()
    read = [2_000]
    with it.stream(8_000):
        wait_for("records", lambda: it.consumed() > read[0], 30)
        while len(read) < 5 or read[-1] < 50_000:
            report = must_be_exact(it)
            read.append(report["records_read"])
            if report["partial"] or report["snapshot_seconds"] > 10:
                raise Failure(f"partial, or a long snapshot: {report}")
    if read != sorted(set(read)):
        raise Failure(f"each audit beside a running job has to be further on: {read}")
    it.settle()
    report = must_be_exact(it)
    must_be("records", report["records_read"], sum(it.ends().values()))
    must_be("counters", report["counters_found"], report["counters_expected"])
    for counter in ("duplicates", "conflicts", "dead"):
        if report["counters_found"][counter] < 500:
            raise Failure(f"the load has to have {counter}: {report}")
    it.prove()


def every_harm_is_named(job):
    it = job()
    it.produce(5000, "--rate", 0)
    it.start_all().settle()
    it.stop()
    must_be_exact(it)
    for table in TABLES:
        sql(it.url, f"CREATE TABLE saved_{table.replace('.', '_')} AS TABLE {table}")
    for name, harm, kind, count, words in HARM:
        sql(it.url, harm)
        report = found(it)
        must_be(f"{name}: differences", kinds(report), {kind: count})
        code, text, _ = audit(it)
        if code != 1 or words not in text or not text.splitlines()[-1].startswith("NOT exact"):
            raise Failure(f"{name}: the report does not say {words!r} (exit {code})\n{text}")
        for table in TABLES:
            sql(it.url, f"TRUNCATE {table}")
            sql(it.url, f"INSERT INTO {table} SELECT * FROM saved_{table.replace('.', '_')}")
        must_be_exact(it)
    must_be("the last line", audit(it)[1].splitlines()[-1], "exact")


def an_empty_database_is_all_missing(job):
    """More differences than are shown, of several kinds, and each counted."""
    it = job()
    it.produce(3000, "--rate", 0)
    it.start_all().settle()
    it.stop()
    before = must_be_exact(it)
    for table in TABLES[:-1]:
        sql(it.url, f"TRUNCATE {table}")
    report = found(it)
    must_be("differences", kinds(report), {
        "row_missing": before["compared"]["rows"], "total_missing": sum(before["compared"]["totals"].values()),
        "letter_missing": before["compared"]["letters"]})
    must_be("spelled out", len(report["shown"]), 30)


def repeats_in_other_partitions(job):
    """Which record of a key came first is for the database to say, as long as it was the first of its partition."""
    it = job()
    it.start_all(ingest=2).wait_live()
    content = ('{"transaction_id": "%d", "product_category": "home", "total_amount": %s, '
               '"transaction_date": "2024-01-15T10:00:00Z"}')
    for round_of in range(2):
        it.send([(partition, b"%d" % key, (content % (key, f"{partition % 2}.{key % 3}{round_of}")).encode())
                 for key in range(1000) for partition in range(4)])
    it.settle()
    report = must_be_exact(it)
    must_be("rows", report["compared"]["rows"], 1000)
    # A row of the second record of its partition is none that may be there.
    sql(it.url, "UPDATE transactions SET total_amount = total_amount + 0.01 WHERE transaction_id = '500'")
    if kinds(found(it)).get("row") != 1:
        raise Failure(f"the row holds what was never first: {found(it)}")


def holes_in_the_offsets(job):
    """Aborted transactions and marks of transactions: offsets without records, also before the cut."""
    it = job(partitions=1)
    it.start_all().wait_live()
    record = ('{"transaction_id": "%s", "product_category": "home", "total_amount": 1.10, '
              '"transaction_date": "2024-01-15T10:00:00Z"}')
    producer = Producer({"bootstrap.servers": it.services.brokers, "transactional.id": it.name, "log_level": 0})
    producer.init_transactions(30)
    for number in range(6):
        producer.begin_transaction()
        for each in range(10):
            producer.produce(it.name, (record % f"{number}-{each}").encode(), b"%d" % each, 0)
        producer.flush(30)
        if number % 2:
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)
    wait_for("the records", lambda: it.consumed() == 30, 30)
    report = must_be_exact(it)
    must_be("records", report["records_read"], 30)


def the_beginning_is_gone(job):
    it = job(partitions=2)
    it.produce(5000, "--rate", 0)
    it.start_all().settle()
    cut = it.frontier()[2]
    call(HERE / "kafka/kafka.sh", "forget", it.services.kafka, it.name, 0, cut["0"] // 2)
    report = must_be_exact(it)
    must_be("what was read", (report["partial"], report["read_from"]), (True, {"0": cut["0"] // 2, "1": 0}))
    if not report["unproved"]["rows"] or not report["unproved"]["letters"] or report["unproved"]["rows"] > 3000:
        raise Failure(f"half of one of two partitions is gone: {report}")
    if "Kafka does not hold the beginning" not in audit(it)[1]:
        raise Failure("the report does not say that the beginning is gone")
    sql(it.url, "UPDATE sales_per_day SET total_sales = total_sales + 0.01 WHERE transaction_date = '2024-01-15'")
    must_be("a wrong total", kinds(found(it)), {"total": 1})
    sql(it.url, "UPDATE sales_per_day SET total_sales = total_sales - 0.01 WHERE transaction_date = '2024-01-15'")
    must_be_exact(it)
    # All of partition 1 is there: a letter of it that is gone is found.
    sql(it.url, "DELETE FROM dead_letters WHERE partition = 1 AND \"offset\" = (SELECT max(\"offset\") FROM dead_letters "
        "WHERE partition = 1)")
    must_be("a letter that is gone", kinds(found(it)), {"letter_missing": 1, "counter": 1})


def the_start_is_where_the_job_began(job):
    """Not every job begins at the first record: the frontier says where, or else the first checkpoint."""
    it = job(partitions=2, changes=[("start: earliest", "start: latest")])
    it.produce(1000, "--rate", 0)
    it.start_all().wait_live()
    it.produce(1000, "--rate", 0, seed=2)
    it.settle()
    it.stop()
    must_be("records", must_be_exact(it)["records_read"], 1000)
    sql(it.url, "ALTER TABLE sluice.frontier ADD COLUMN IF NOT EXISTS start jsonb")
    sql(it.url, "UPDATE sluice.frontier SET start = NULL")
    must_be("records by the first checkpoint", must_be_exact(it)["records_read"], 1000)
    sql(it.url, "UPDATE sluice.frontier f SET start = c.cut FROM sluice.checkpoints c WHERE (c.attempt, c.epoch) = (0, 0)")
    sql(it.url, "DELETE FROM sluice.checkpoints")
    must_be("records by the frontier", must_be_exact(it)["records_read"], 1000)
    sql(it.url, "UPDATE sluice.frontier SET start = NULL")
    must_be("nobody says where it began", audit(it)[0], EXIT_CONFIG)


# What whoever runs the database may have set for it, or for the role, for reasons of theirs.
DEFAULTS = (("default_transaction_read_only", "on"), ("statement_timeout", "1s"), ("lock_timeout", "1ms"), ("idle_in_transaction_session_timeout", "1ms"),
            ("search_path", "nowhere"), ("DateStyle", "German, DMY"), ("IntervalStyle", "iso_8601"), ("TimeZone", "Asia/Kathmandu"),
            ("extra_float_digits", "-10"), ("bytea_output", "escape"), ("client_encoding", "LATIN1"), ("default_transaction_isolation", "serializable"),
            ("standard_conforming_strings", "off"), ("transform_null_equals", "on"))


def defaults_of_others(job):
    """One at a time and all at once, for the database and for the role in it: nothing is read otherwise."""
    it = job()
    it.produce(1000, "--rate", 0)
    it.start_all().settle()
    it.stop()
    words = sql(it.url, "SELECT format('ALTER DATABASE %I ', current_database()), format('ALTER ROLE %I IN DATABASE %I ', current_user, current_database())")
    writable = f"{it.url}?options=-c%20default_transaction_read_only%3Doff%20-c%20idle_in_transaction_session_timeout%3D0%20-c%20statement_timeout%3D0"
    for alter in words:
        for name, value in DEFAULTS:
            sql(writable, f"{alter} SET {name} = '{value}'")
            must_be(f"records with {name} = {value}", must_be_exact(it)["records_read"], 1000)
            if alter == words[0]:
                sql(writable, f"{alter} RESET {name}")
    sql(writable, "UPDATE public.sales_per_day SET total_sales = total_sales + 1 WHERE ctid = (SELECT min(ctid) FROM public.sales_per_day)")
    must_be("what is wrong", kinds(found(it)), {"total": 1})


def what_stands_in_the_way(job):
    it = job(partitions=1)
    must_be("a database without Sluice", audit(it)[0], EXIT_CONFIG)
    it.produce(100, "--rate", 0)
    it.start_all().settle()
    must_be("a broker that is not there", audit(it, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")[0],
            EXIT_UNAVAILABLE)
    must_be("a server that is not there", audit(it, DATABASE_URL="postgresql://127.0.0.1:1/x")[0],
            EXIT_UNAVAILABLE)
    must_be("an unknown format", audit(it, "-o", "xml")[0], 2)
    code, _, err = audit(it, TMPDIR="/nowhere")
    if code != EXIT_UNAVAILABLE or "/nowhere" not in err:
        raise Failure(f"no temporary folder: exit {code}, {err}")
    text = (it.folder / "pipeline.yaml").read_text()
    (it.folder / "other.yaml").write_text(text.replace("max_future: 1d", "max_future: 2d"))
    must_be("a file of another meaning", audit(it, "--config", it.folder / "other.yaml")[0], EXIT_CONFIG)
    must_be_exact(it)


def interrupted_on_a_terminal(job):
    """A bar on a terminal, and after SIGINT no file is left."""
    it = job()
    it.produce(60000, "--rate", 0)
    it.start_all().settle(90)
    folder = it.folder / "tmp"
    folder.mkdir()
    main, terminal = pty.openpty()
    environment = dict(it.environment, TMPDIR=str(folder))
    process = subprocess.Popen([BIN / "sluicectl", "audit"], env=environment, stdout=subprocess.DEVNULL, stderr=terminal)
    shown = os.read(main, 100)
    process.send_signal(signal.SIGINT)
    must_be("how it ended", process.wait(10), -signal.SIGINT)
    if b"PostgreSQL" not in shown and b"Kafka" not in shown:
        raise Failure(f"no bar: {shown!r}")
    must_be("what is left", list(folder.iterdir()), [])
    os.close(terminal)
    os.close(main)
    must_be("stderr where it is no terminal", audit(it)[2], "")


CASES = (exact_under_load, every_harm_is_named, an_empty_database_is_all_missing, repeats_in_other_partitions,
         holes_in_the_offsets, the_beginning_is_gone, the_start_is_where_the_job_began, defaults_of_others, what_stands_in_the_way,
         interrupted_on_a_terminal)

if __name__ == "__main__":
    sys.exit(run_cases(CASES))
