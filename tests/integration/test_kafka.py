#!/usr/bin/python3
"""What may come from Kafka: records of any size, logs that others have cut, brokers and producers that stop in the middle.

No record ends a process, none is waited for in silence, and every letter is what the audit expects.
"""
import json, os, re, signal, subprocess, sys, time
from contextlib import contextmanager

import psycopg2
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from audits import must_be_exact
from jobs import EXIT_CONFIG, Failure, must_be, run_cases, wait_for
from services import BIN, HERE, call

KAFKA = HERE / "kafka/kafka.sh"
RARELY = ("interval: 5s", "interval: 1d")  # a crash replays from the start

HUGE = 120_000_000  # max.message.bytes of a topic
KEY_MOST, PAYLOAD_MOST = 1 << 19, 3 << 20  # of a letter


def topic(it, partitions=1, **config):
    """The job's topic, with these settings."""
    admin = AdminClient({"bootstrap.servers": it.services.brokers})
    for future in admin.create_topics([NewTopic(it.name, partitions, 1, config={k.replace("_", "."): str(v) for k, v in config.items()})]).values():
        future.result(20)


def send(it, records, **settings):
    """(partition, key, value, headers) each."""
    producer = Producer({"bootstrap.servers": it.services.brokers, "compression.type": "zstd", "message.max.bytes": HUGE,
                         "linger.ms": 0, "log_level": 0, **{k.replace("_", "."): v for k, v in settings.items()}})
    failed = []
    for partition, key, value, headers in records:
        producer.produce(it.name, value, key, partition, headers=headers, on_delivery=lambda error, _: error and failed.append(error))
        producer.poll(0)
    if producer.flush(60) or failed:
        raise Failure(f"not everything was delivered to Kafka: {failed[:1]}")


def sale(key, amount=1, **more):
    return json.dumps({"transaction_id": key, "product_category": "books", "total_amount": amount,
                       "transaction_date": "2024-01-15T10:00:00Z", **more}).encode()


def letters(it):
    """(offset, length of key, length of payload, reason, detail), in order."""
    connection = psycopg2.connect(it.url)
    with connection, connection.cursor() as cursor:
        cursor.execute('SELECT "offset", length(key), length(payload), reason, detail FROM dead_letters ORDER BY "partition", "offset"')
        found = cursor.fetchall()
    connection.close()
    return found


# --- sizes ------------------------------------------------------------------------------------------------------------

def large_keys(job):
    """Keys, payloads and headers above what a frame takes: one letter each, cut, and it says so."""
    it = job(partitions=0)
    topic(it, max_message_bytes=HUGE)
    many = [(f"h{i}", b"x" * 1000) for i in range(2000)]
    sizes = ((5_000_000, b"not json"), (5_000_000, None), (1_153_434, b"x" * (3 << 20)), (KEY_MOST, b"x" * PAYLOAD_MOST),
             (KEY_MOST + 1, b"x" * (PAYLOAD_MOST + 1)), (KEY_MOST - 1, b"[" * (PAYLOAD_MOST - 1)), (4_194_256, b"?"), (4_194_304, b"?"),
             (0, b"x" * 6_000_000), (9_000_000, b"x" * 9_000_000))
    records = [(0, b"k" * key, value, many if place % 3 == 0 else None) for place, (key, value) in enumerate(sizes)]
    # Records that are read well: what they carry beside the payload is nobody's business, also of a conflict.
    records += [(0, b"k" * 5_000_000, sale("a", amount), many) for amount in (1, 1, 2)]
    send(it, records)
    it.start_all().wait_live()
    it.settle(60)
    found = letters(it)
    must_be("letters", len(found), len(sizes) + 1)
    for (offset, key, payload, reason, detail), (key_len, value) in zip(found, sizes):
        must_be(f"key of {offset}", key, min(key_len, KEY_MOST))
        must_be(f"payload of {offset}", payload, None if value is None else min(len(value), PAYLOAD_MOST))
        for name, whole, most in (("key", key_len, KEY_MOST), ("payload", len(value or b""), PAYLOAD_MOST)):
            must_be(f"whether the letter of {offset} says that its {name} is cut",
                    f"{name} of {whole} bytes cut to {most}" in detail, whole > most)
    must_be("the last one's reason", found[-1][3], "conflict")
    must_be("attempts ended", it.status()["attempts_ended"], 0)
    must_be_exact(it)
    it.prove()


def cannot_unpack(it, offset):
    it.exits_with(EXIT_CONFIG, 60)
    for log in ("coordinator", "ingest-0", "sink"):
        text = (it.folder / f"{log}.log").read_text()
        if f"the records at offset {offset} cannot be unpacked" not in text or "What to do: " not in text:
            raise Failure(f"{log} does not say what cannot be unpacked")


def blanks(job):
    """Three kilobytes that become 95 megabytes, which librdkafka's bound does not allow: told at once, and read with a larger one."""
    it = job(partitions=0)
    topic(it, max_message_bytes=HUGE)
    send(it, [(0, None, sale("a"), None)])
    send(it, [(0, None, sale("b") + b" " * 95_000_000, None)])
    send(it, [(0, None, sale("c"), None)])
    it.start_all()
    cannot_unpack(it, 1)
    it.write_config(("    group.id: sluice", "    group.id: sluice\n    receive.message.max.bytes: 1000000000"))
    it.start_all().wait_live()
    it.settle(60)
    must_be("the letter", [(o, p, r) for o, _, p, r, _ in letters(it)], [(1, PAYLOAD_MOST, "too_large")])
    must_be_exact(it)


def other_codecs(job):
    """The same in what other producers pack with."""
    it = job(partitions=0)
    topic(it, max_message_bytes=HUGE)
    for codec in ("gzip", "lz4", "snappy"):
        send(it, [(0, None, sale(codec) + b" " * 50_000_000, None)], compression_type=codec)
    it.start_all().wait_live()
    it.settle(60)
    must_be("letters", [(p, r) for _, _, p, r, _ in letters(it)], [(PAYLOAD_MOST, "too_large")] * 3)
    must_be_exact(it)


# --- lag, and what is waited for --------------------------------------------------------------------------------------

def transactional(it, name, **settings):
    producer = Producer({"bootstrap.servers": it.services.brokers, "transactional.id": f"{it.name}-{name}", "log_level": 0,
                         "linger.ms": 0, **{k.replace("_", "."): v for k, v in settings.items()}})
    producer.init_transactions(30)
    return producer


def group_offsets(it, partitions, group="sluice"):
    consumer = Consumer({"bootstrap.servers": it.services.brokers, "group.id": group, "log_level": 0})
    try:
        return {str(one.partition): one.offset for one in consumer.committed([TopicPartition(it.name, p) for p in range(partitions)], 20)}
    finally:
        consumer.close()


def lag(it):
    return it.status()["lag"]


def wait_for_lag(it, records, seconds):
    seen = []

    def reached():
        seen[:] = [lag(it)]
        return seen == [records]
    try:
        wait_for(f"a lag of {records}", reached, seconds)
    except Failure as failure:
        raise Failure(f"{failure}; it is {seen[0]}")


def markers(job):
    """Behind a transaction's marker there is nothing to read: the cut goes behind it, lag is 0, also for lag tools."""
    it = job(partitions=2)
    it.start_all().wait_live()
    producer = transactional(it, "one")
    for how in (producer.commit_transaction, producer.abort_transaction, producer.commit_transaction):
        producer.begin_transaction()
        for p in range(2):
            for i in range(10):
                producer.produce(it.name, sale(f"{how.__name__}-{p}-{i}"), partition=p)
        producer.flush(20)
        how(20)
    wait_for("the markers", lambda: it.ends() == {"0": 33, "1": 33}, 15)
    ends = it.ends()
    it.settle(30)
    wait_for_lag(it, 0, 15)
    must_be("the frontier", it.frontier()[2], ends)
    wait_for("the group's offsets", lambda: group_offsets(it, 2) == ends, 30, 0.5)
    for name in list(it.running):  # the last checkpoint lies in front of the last marker, or at it
        it.kill(name)
    it.start_all().wait_live()
    producer.begin_transaction()
    producer.produce(it.name, sale("more"), partition=0)
    producer.commit_transaction(20)
    it.settle(30)
    wait_for_lag(it, 0, 15)
    must_be("records", it.consumed(), 41)
    must_be_exact(it)
    it.prove()


def broker_pid(it):
    return int((it.services.kafka / "broker.pid").read_text())


@contextmanager
def frozen(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def table(it):
    return subprocess.run([BIN / "sluicectl", "status"], env=it.environment, stdout=subprocess.PIPE, text=True).stdout


def logged(it, words):
    return (it.folder / "coordinator.log").read_text().count(words)


def frozen_kafka(job):
    """An old lag is no lag."""
    it = job(partitions=2)
    it.produce(100, "--rate", 0)
    it.start_all().wait_live()
    it.settle()
    wait_for_lag(it, 0, 15)
    with frozen(broker_pid(it)):
        wait_for("a lag that is unknown", lambda: lag(it) is None, 12)
        wait_for("what is waited for", lambda: "Kafka does not answer since" in it.status()["waiting"], 5)
        if not re.search(r"lag +unknown since 20..-..-..T..:..:..Z", table(it)):
            raise Failure(f"the table does not say since when lag is unknown:\n{table(it)}")
        wait_for("the line in the log", lambda: logged(it, "Kafka does not answer since"), 10)
        must_be("since when", time.time() - 30 < it.status()["lag_unknown_since_us"] / 1e6 < time.time(), True)
    wait_for_lag(it, 0, 30)
    wait_for("nothing to be waited for", lambda: not it.status()["waiting"], 30)
    must_be("lines in the log", logged(it, "Kafka does not answer since"), 1)
    it.kill("ingest-0")
    wait_for("a lag that nobody knows", lambda: lag(it) is None, 10)


def open_transaction(job):
    """A producer that was killed holds a partition: which one, since when, and how to end it."""
    it = job(partitions=2)
    it.start_all().wait_live()
    holder = transactional(it, "holder", transaction_timeout_ms=60000)
    send(it, [(p, None, sale(f"before-{p}-{i}"), None) for p in range(2) for i in range(5)])
    holder.begin_transaction()
    holder.produce(it.name, sale("held"), partition=1)
    holder.flush(20)
    send(it, [(p, None, sale(f"behind-{p}-{i}"), None) for p in range(2) for i in range(5)])
    began = time.monotonic()
    wait_for("words about the transaction", lambda: "by an open transaction" in it.status()["waiting"], 15)
    took = time.monotonic() - began
    words = it.status()["waiting"]
    if not re.search(rf"partition 1 of topic {it.name} is held at offset 5 since 20..-..-..T..:..:..Z by an open transaction", words) \
            or f"abort --topic {it.name} --partition 1 --start-offset 5" not in words:
        raise Failure(words)
    must_be("lag", lag(it), 6)
    must_be("partition 0", it.frontier()[2]["0"], 10)
    wait_for("the line in the log", lambda: logged(it, "by an open transaction"), 10)
    holder.abort_transaction(20)
    it.settle(30)
    wait_for_lag(it, 0, 15)
    wait_for("nothing to be waited for", lambda: not it.status()["waiting"], 10)
    must_be("lines in the log", logged(it, "by an open transaction"), 1)
    must_be_exact(it)
    print(f"    told after {took:.1f} s")


@contextmanager
def commits_held(it):
    """Nobody can write a row meanwhile."""
    connection = psycopg2.connect(it.url)
    try:
        connection.cursor().execute("LOCK TABLE transactions IN ACCESS EXCLUSIVE MODE")
        yield
    finally:
        connection.close()


def numbers_that_people_read(job):
    """Lag is that of all partitions; the rate comes, and goes."""
    it = job(partitions=4)
    it.start_all(ingest=2).wait_live()
    send(it, [(p, None, sale(f"first-{p}"), None) for p in range(4)])
    it.settle()
    wait_for_lag(it, 0, 15)
    with commits_held(it):
        send(it, [(p, None, sale(f"{p}-{i}"), None) for p in range(4) for i in range(10 ** p)])
        wait_for_lag(it, 1111, 30)
    wait_for_lag(it, 0, 30)
    wait_for("a rate of 0", lambda: it.status()["records_per_second"] == 0, 15)
    producer, rates = it.produce(5000, "--rate", 500, wait=False), []
    while producer.poll() is None:
        rates.append(it.status()["records_per_second"])
        time.sleep(0.3)
    rates = sorted(rate for rate in rates if rate)
    if not rates or not 250 < rates[len(rates) // 2] < 1000 or rates[-1] > 2000:
        raise Failure(f"500 records/s are told as {rates}")
    wait_for("a rate of 0", lambda: it.status()["records_per_second"] == 0, 15)


# --- going on behind what is gone -------------------------------------------------------------------------------------

def forget(it, partition, offset):
    call(KAFKA, "forget", it.services.kafka, it.name, partition, offset)


def skip(it, *words, code=0):
    done = subprocess.run([BIN / "sluicectl", "skip", *words], env=it.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    must_be(f"exit of skip {' '.join(words)} ({done.stderr.strip()})", done.returncode, code)
    return done.stdout if code == 0 else done.stderr


def stopped_for_what_is_gone(it, partition):
    names = list(it.running)
    it.exits_with(EXIT_CONFIG, 60)
    for name in names:
        text = (it.folder / f"{name}.log").read_text()
        if f"partition {partition}: offset" not in text or "is out of range" not in text or "sluicectl skip --to earliest --yes" not in text:
            raise Failure(f"{name} does not name the way out:\n{text[-1500:]}")


def skipped_in(report):
    return [(one["partition"], one["from"], one["to"]) for one in report["skipped"]]


def retention_over_the_cut(job):
    """A job that was off for a week: records that it never read are gone."""
    it = job(partitions=3)
    sales = [[(p, None, sale(f"{p}-{i}", i % 7), None) for i in range(20)] for p in range(3)]
    send(it, [one for part in sales for one in part[:10]])
    it.start_all().wait_live()
    it.settle()
    must_be("refused while it runs", "is running" in skip(it, "--to", "earliest", "--yes", code=EXIT_CONFIG), True)
    it.stop()
    send(it, [one for part in sales for one in part[10:]])
    forget(it, 0, 15)
    forget(it, 1, 5)  # nothing that is needed
    it.start_all()
    stopped_for_what_is_gone(it, 0)
    said = skip(it, "--to", "earliest", "--dry-run")
    if "to skip     0: 10 to 15, 5 records" not in said or "nothing was changed" not in said:
        raise Failure(said)
    must_be("without --yes", "--yes" in skip(it, "--to", "earliest", code=2), True)
    must_be("the frontier", it.frontier()[2]["0"], 10)
    for to, words in (("0:9", "never goes back"), ("0:12", "the log begins at offset 15"), ("0:21", "ends at offset 20"), ("3:1", "no partition 3")):
        must_be(f"words about {to}", words in skip(it, "--to", to, "--yes", code=EXIT_CONFIG), True)
    for to in ("late", "0", "0:", "0:1,", "0:-1", "0:1,0:2", "0:99999999999999999999"):
        must_be(f"words about {to}", "earliest" in skip(it, "--to", to, "--yes", code=2), True)
    said = json.loads(skip(it, "--to", "earliest", "--yes", "-o", "json"))
    must_be("what was skipped", [(one["partition"], one["from"], one["to"]) for one in said["skipped"]], [(0, 10, 15)])
    it.start_all().wait_live()
    it.settle()
    must_be("consumed", it.consumed(), 55)
    send(it, [(0, None, sale("0-3", 3), None), (0, None, sale("0-12", 12 % 7), None)])  # a repeat of before, and one that was lost
    it.settle()
    report = must_be_exact(it)
    must_be("the audit's skips", skipped_in(report), [(0, 10, 15)])
    text = subprocess.run([BIN / "sluicectl", "audit"], env=it.environment, stdout=subprocess.PIPE, text=True).stdout
    if not re.search(r"^skipped +0: 10 to 15, 5 records, on 20..-..-..T..:..:..Z$", text, re.M):
        raise Failure(text)


def retention_between_checkpoint_and_cut(job):
    """The job has read them, but the last checkpoint lies in front of them: nothing is lost, and yet no start is possible."""
    it = job(partitions=2, changes=(RARELY,))
    send(it, [(p, None, sale(f"{p}-{i}", i % 7), None) for p in range(2) for i in range(10)])
    it.start_all().wait_live()
    it.settle()
    for name in list(it.running):
        it.kill(name)
    forget(it, 1, 4)
    it.start_all()
    stopped_for_what_is_gone(it, 1)
    said = skip(it, "--to", "earliest", "--yes")
    must_be("nothing is skipped", "nothing: all records behind the cut are there" in said, True)
    it.start_all().wait_live()
    send(it, [(1, None, sale("more"), None), (1, None, sale("1-2", 2), None)])
    it.settle()
    must_be("skips", skipped_in(must_be_exact(it)), [])


def a_range_on_purpose(job):
    """Records that are there and that nobody wants, among them what cannot be unpacked; twice, and more behind them."""
    it = job(partitions=0)
    topic(it, partitions=2, max_message_bytes=HUGE)
    send(it, [(p, None, sale(f"{p}-{i}"), None) for p in range(2) for i in range(5)])
    it.start_all().wait_live()
    it.settle()
    send(it, [(1, None, sale("b") + b" " * 95_000_000, None)])
    cannot_unpack(it, 5)
    send(it, [(p, None, sale(f"{p}-{i}"), None) for p in range(2) for i in range(6, 20)])
    skip(it, "--to", "1:6,0:7", "--yes")
    skip(it, "--to", "1:9", "--yes")
    it.start_all().wait_live()
    it.settle()
    must_be("consumed", it.consumed(), 10 + (19 - 7) + (20 - 9))
    report = must_be_exact(it)
    must_be("the audit's skips", skipped_in(report), [(0, 5, 7), (1, 5, 6), (1, 6, 9)])
    must_be("whether all is proved", report["partial"], False)


CASES = (large_keys, blanks, other_codecs, markers, frozen_kafka, open_transaction, numbers_that_people_read, retention_over_the_cut,
         retention_between_checkpoint_and_cut, a_range_on_purpose)

if __name__ == "__main__":
    sys.exit(run_cases(CASES))
