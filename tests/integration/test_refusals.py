#!/usr/bin/python3
"""Kafka does not hold what the database was filled from, or refuses us: a person's business, and nothing is changed.

All processes of the job end with 78 and say the same; no row, total, letter or frontier is another than before.
"""
import json, sys

import psycopg2
from confluent_kafka.admin import AdminClient

from audits import audit
from jobs import EXIT_CONFIG, Failure, must_be, run_cases, sql, wait_for
from services import HERE, call

KAFKA = HERE / "kafka/kafka.sh"
TABLES = ("transactions", "sales_per_category", "sales_per_day", "sales_per_month", "dead_letters",
          "(SELECT job, cut, counters, fingerprint FROM sluice.frontier)")  # fence, attempt and epoch tell that a start was tried


def content(job):
    connection = psycopg2.connect(job.url)
    with connection, connection.cursor() as cursor:
        found = {}
        for table in TABLES:
            cursor.execute(f"SELECT count(*), md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {table} t")
            found[table] = cursor.fetchone()
    connection.close()
    return found


def filled(job, **more):
    """A job whose database was filled from its topic. It runs."""
    it = job(**more)
    it.produce(2000, "--rate", 0)
    it.start_all().wait_live()
    it.settle()
    return it


def delete_topic(it):
    admin = AdminClient({"bootstrap.servers": it.services.brokers})
    for future in admin.delete_topics([it.name]).values():
        future.result(10)
    wait_for("the topic's end", lambda: it.name not in admin.list_topics(timeout=10).topics, 20)


def make_anew(it, partitions, records):
    delete_topic(it)
    it.services.topic(it.name, partitions)
    if records:
        it.produce(records, "--rate", 0, seed=9)


def must_refuse(it, before, *words, seconds=30):
    names = list(it.running)
    it.exits_with(EXIT_CONFIG, seconds)
    for name in names:
        tail = (it.folder / f"{name}.log").read_text(errors="replace")[-3000:]
        if not all(word in tail for word in words):
            raise Failure(f"{name} does not say {words}:\n{tail}")
    after = content(it)
    for table in TABLES:
        must_be(table, after[table], before[table])


def fewer_partitions(job):
    it = filled(job, partitions=4)
    it.stop()
    before = content(it)
    make_anew(it, 2, 4000)
    it.start_all()
    must_refuse(it, before, "made anew")
    code, out, err = audit(it)
    must_be("an audit without two of four partitions", (code, out.count("the topic has no such partition"), err), (1, 2, ""))
    delete_topic(it)
    code, out, err = audit(it)
    for words in ("topic fewer_partitions", "is not there", "What to do: let bootstrap.servers and source.topic lead to the log that was read"):
        if code != EXIT_CONFIG or words not in err:
            raise Failure(f"an audit without a topic: {code} {out} {err}")


def nothing_committed_so_far(job):
    """The audit of a job that was never started, that waits, and that has stopped at its first start, says which it is, and what to do."""
    it = job(partitions=1)

    def says(code, *words):
        found, out, err = audit(it)
        if found != code or not all(word in err for word in words):
            raise Failure(f"{found} instead of {code} with {words}: {out}{err}")
    says(EXIT_CONFIG, "was never started", "Start it")
    it.start("coordinator")
    wait_for("its coordinator", it.status, 20)
    says(69, "has committed nothing yet", "waits for", "run again")
    it.kill("coordinator")
    sql(it.url, "CREATE VIEW transactions AS SELECT 1 AS a")
    it.start_all()
    it.exits_with(EXIT_CONFIG)
    says(EXIT_CONFIG, "has stopped before it had committed anything", "is a view", "What to do: put an ordinary table in its place")
    sql(it.url, "DROP VIEW transactions")
    it.start_all().wait_live()
    it.produce(100, "--rate", 0)
    it.settle()
    says(0)


def crash(it):
    """No last checkpoint: what came after the one before has to be read again."""
    for name in list(it.running):
        it.kill(name)


RARELY = ("interval: 5s", "interval: 1d")  # a crash replays from the start


def a_log_that_ends_before_the_frontier(job):
    it = filled(job, partitions=2, changes=(RARELY,))
    crash(it)
    before = content(it)
    make_anew(it, 2, 100)
    it.start_all()
    must_refuse(it, before, "ends at offset", "it was made anew or has lost records")


def an_empty_log(job):
    it = filled(job, partitions=1, changes=(RARELY,))
    crash(it)
    before = content(it)
    make_anew(it, 1, 0)
    it.start_all()
    must_refuse(it, before, "the log ends at offset 0", "it was made anew or has lost records")


def alike(letter):
    """Records that count and add up to the same, whatever their letter; the last one is the same."""
    return [(0, None, json.dumps({"transaction_id": f"{letter}{i}" if i < 49 else "last", "product_category": "books", "total_amount": 1.00,
                                  "transaction_date": "2024-01-15T10:00:00Z"}).encode()) for i in range(50)]


def as_many_other_records(job):
    it = job(partitions=1, changes=(RARELY,))
    it.send(alike("a"))
    it.start_all().wait_live()
    it.settle()
    crash(it)
    before = content(it)
    make_anew(it, 1, 0)
    it.send(alike("b"))
    it.start_all()
    must_refuse(it, before)


def made_anew_while_stopped(job):
    it = filled(job, partitions=2)
    it.stop()
    before = content(it)
    make_anew(it, 2, 100)
    it.start_all()
    must_refuse(it, before, "partition 0", "the log ends at offset", "was made anew or has lost records")


def made_anew_under_a_running_job(job):
    it = filled(job, partitions=2)
    before = content(it)
    make_anew(it, 2, 100)
    must_refuse(it, before, f"topic {it.name}", seconds=40)


def fewer_partitions_under_a_running_job(job):
    it = filled(job, partitions=3)
    before = content(it)
    make_anew(it, 1, 0)
    must_refuse(it, before, f"topic {it.name}", seconds=40)


def removed_by_retention(job):
    """What lies before the checkpoint is not needed any more; what lies behind it is."""
    it = filled(job, partitions=2, changes=(RARELY,))
    call(KAFKA, "forget", it.services.kafka, it.name, 1, 100)
    it.stop()
    it.start_all().wait_live()
    it.produce(100, "--rate", 0, seed=2)
    it.settle()
    crash(it)
    call(KAFKA, "forget", it.services.kafka, it.name, 1, 1010)
    before = content(it)
    it.start_all()
    must_refuse(it, before, "partition 1", "out of range", "1010")


def with_password(it, user, password):
    port = call(KAFKA, "sasl-port", it.services.kafka).splitlines()[-1]
    it.environment["KAFKA_BOOTSTRAP_SERVERS"] = f"127.0.0.1:{port}"
    it.write_config(("    group.id: sluice", f"    security.protocol: SASL_PLAINTEXT\n    sasl.mechanism: PLAIN\n"
                     f"    sasl.username: {user}\n    sasl.password: {password}\n    group.id: sluice"))


def wrong_password(job):
    it = filled(job, partitions=1)
    it.stop()
    before = content(it)
    with_password(it, "reader", "not-it-17")
    it.start_all()
    must_refuse(it, before, "Kafka refuses us", "uthentication")
    if any("not-it-17" in log.read_text(errors="replace") for log in it.folder.glob("*.log")):
        raise Failure("a log shows the password")
    with_password(it, "reader", "reader")
    it.start_all().wait_live()
    it.prove()


def may_not_read(job):
    it = filled(job, partitions=1)
    it.stop()
    before = content(it)
    with_password(it, "stranger", "stranger")
    it.start_all()
    must_refuse(it, before, f"topic {it.name}", "uthorization failed")


CASES = (nothing_committed_so_far, fewer_partitions, a_log_that_ends_before_the_frontier, as_many_other_records, an_empty_log, made_anew_while_stopped, made_anew_under_a_running_job,
         fewer_partitions_under_a_running_job, removed_by_retention, wrong_password, may_not_read)

if __name__ == "__main__":
    sys.exit(run_cases(CASES))
