#!/usr/bin/python3
"""What exactness rests on outside the log is remembered, and compared at every start: the log itself by its last records, the cluster,
settings that decide which records there are, the rules of the time zone, the topic's own settings, the checkpoint folder.

Each difference ends the processes with 78 and is named; nothing is changed. What was changed on purpose is accepted by a verb.
"""
import json, shutil, subprocess, sys, time

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource

from jobs import EXIT_CONFIG, Failure, SearchServices, must_be, run_cases, sql, wait_for
from services import Elasticsearch, audit, call
from test_refusals import KAFKA, RARELY, content, crash, delete_topic, filled, must_refuse

NOT_THE_ONE = "is not the one that was read"


def record(key, amount=1, at="2024-01-15T10:00:00Z"):
    return json.dumps({"transaction_id": key, "product_category": "books", "total_amount": amount, "transaction_date": at}).encode()


def send(it, keys, **more):
    it.send([(0, None, record(key, **more)) for key in keys])


def keys(prefix, count):
    return [f"{prefix}-{i}" for i in range(count)]


def small(job, count=20, **more):
    """A job that has read so many records of one partition; it runs."""
    it = job(partitions=1, **more)
    send(it, keys("a", count))
    it.start_all().wait_live()
    it.settle()
    return it


def end(it, how):
    it.stop() if how == "down" else crash(it)


def start_again(it):
    it.start_all().wait_live()
    it.settle()
    it.prove()


def audited(it):
    """What the independent checker cannot say: it knows UTC only."""
    it.settle()
    audit(it.environment)


# --- the log itself -------------------------------------------------------------------------------------------------------
def made_anew(it, count):
    """As many records, the same amounts: other keys."""
    delete_topic(it)
    it.services.topic(it.name, 1)
    send(it, keys("b", count))


def another_topic(job, how, count):
    it = small(job, changes=(RARELY,))
    end(it, how)
    before = content(it)
    made_anew(it, count)
    it.start_all()
    must_refuse(it, before, NOT_THE_ONE, "partition 0", "offset 19", "there is another one", "What to do: ")


def as_long_after_down(job):
    another_topic(job, "down", 20)


def as_long_after_a_crash(job):
    another_topic(job, "crash", 20)


def longer_after_down(job):
    another_topic(job, "down", 50)


def longer_after_a_crash(job):
    another_topic(job, "crash", 50)


def between_commits(job):
    """Nothing new for several starts: the record before the cut is still known."""
    it = small(job)
    for _ in range(2):
        it.stop()
        start_again(it)
    it.stop()
    before = content(it)
    made_anew(it, 30)
    it.start_all()
    must_refuse(it, before, NOT_THE_ONE)


def partitions_without_records(job):
    it = job(partitions=4)
    send(it, keys("a", 5))
    it.start_all().wait_live()
    it.settle()
    it.stop()
    it.start_all().wait_live()
    it.send([(2, None, record("c-0")), (3, b"key", record("c-1"))])
    it.settle()
    marks, = sql(it.url, "SELECT marks FROM sluice.frontier")
    must_be("partitions with a mark", sorted(marks), ["0", "2", "3"])
    crash(it)
    start_again(it)


def behind_a_marker(job):
    """The last offset before the cut is a transaction's marker, then a transaction that was aborted."""
    it = job(partitions=1)
    producer = Producer({"bootstrap.servers": it.services.brokers, "transactional.id": it.name, "log_level": 0})
    producer.init_transactions()
    for name, done in (("a", producer.commit_transaction), ("b", producer.abort_transaction)):
        producer.begin_transaction()
        for key in keys(name, 5):
            producer.produce(it.name, record(key), partition=0)
        producer.flush(10)
        done()
    it.start_all().wait_live()
    it.settle()
    marks, = sql(it.url, "SELECT marks FROM sluice.frontier")
    must_be("offset of the mark", marks["0"].split(":")[0], "4")
    for how in ("crash", "down"):
        end(it, how)
        start_again(it)


def a_record_that_is_gone(job):
    """Retention has taken the last record before the cut: nothing can be compared, and the job goes on."""
    it = small(job)
    it.stop()
    call(KAFKA, "forget", it.services.kafka, it.name, 0, 20)
    it.start_all().wait_live()
    if "it cannot be seen whether" not in (it.folder / "ingest-0.log").read_text():
        raise Failure("nobody says that nothing was compared")
    send(it, keys("c", 5))
    it.settle()


# --- verbs that write a place of the log, or that begin at one ---------------------------------------------------------
def ctl(it, *words):
    done = subprocess.run([str(it.bin / "sluicectl"), *words], env=it.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


VERBS = ("skip --to {} --yes", "skip --to {} --dry-run", "skip --to earliest --yes", "skip --to earliest --dry-run", "rebuild",
         "rebuild --dry-run", "rebuild --from kafka", "accept --yes")


def verbs_refuse(it, to, *words, verbs=VERBS):
    """Not even the fence is raised."""
    before = sql(it.url, "SELECT json_agg(f), (SELECT json_agg(c ORDER BY attempt, epoch) FROM sluice.checkpoints c), "
                 "(SELECT count(*) FROM sluice.interventions) FROM sluice.frontier f")
    for verb in verbs:
        code, said = ctl(it, *verb.format(to).split())
        must_be(f"exit code of {verb}, words\n{said}", (code, all(word in said for word in words)), (EXIT_CONFIG, True))
        must_be(f"what is there after {verb}", sql(it.url, "SELECT json_agg(f), (SELECT json_agg(c ORDER BY attempt, epoch) FROM "
                "sluice.checkpoints c), (SELECT count(*) FROM sluice.interventions) FROM sluice.frontier f"), before)


def read_and_stopped(job):
    """Twenty records of each of two partitions."""
    it = job(partitions=2)
    it.send([(p, None, record(f"{p}-{i}")) for p in range(2) for i in range(20)])
    it.start_all().wait_live()
    it.settle()
    it.stop()
    return it


def verbs_on_another_topic(job):
    """Longer than the one that was read, shorter, with other partitions; one partition that differs is enough."""
    it = read_and_stopped(job)
    for partitions, records in ((2, [("x", 50), ("y", 50)]), (2, [("0", 50), ("y", 50)]), (2, [("x", 5), ("y", 5)]), (1, [("0", 50)])):
        delete_topic(it)
        it.services.topic(it.name, partitions)
        it.send([(p, None, record(f"{name}-{i}")) for p, (name, count) in enumerate(records) for i in range(count)])
        short = records[0][1] < 20  # that is believed after five seconds only
        verbs_refuse(it, "0:4" if short else "0:30", NOT_THE_ONE, "What to do: ", verbs=VERBS[:1] if short else VERBS)


def verbs_behind_retention(job):
    """Where the record in front of the cut is gone in one partition, that of the other one still counts."""
    it = read_and_stopped(job)
    it.send([(0, None, record(f"0-{i}")) for i in range(20, 40)])
    call(KAFKA, "forget", it.services.kafka, it.name, 0, 30)
    must_be("exit code of skip", ctl(it, "skip", "--to", "earliest", "--yes")[0], 0)
    it.start_all().wait_live()
    audited(it)
    it.stop()
    delete_topic(it)
    it.services.topic(it.name, 2)
    it.send([(p, None, record(f"x-{p}-{i}")) for p in range(2) for i in range(60)])
    call(KAFKA, "forget", it.services.kafka, it.name, 0, 50)
    verbs_refuse(it, "1:30", NOT_THE_ONE, "partition 1", "offset 19")


def skip_with_other_settings(job):
    """What decides which records there are: refused before the skip is written, and after `accept` it goes on."""
    it = small(job, changes=(UNCOMMITTED, RARELY))
    send(it, keys("b", 5))
    it.settle()
    it.stop()
    send(it, keys("c", 5))
    it.write_config(RARELY)
    before = content(it)
    for words in (("--dry-run",), ("--yes",)):
        code, said = ctl(it, "skip", "--to", "0:28", *words)
        must_be(f"exit code of skip, words\n{said}", (code, "isolation.level" in said, "sluicectl accept" in said), (EXIT_CONFIG, True, True))
    must_be("content", content(it), before)
    must_be("accepted", accept(it, "--yes")[0], 0)
    must_be("exit code of skip", ctl(it, "skip", "--to", "0:28", "--yes")[0], 0)
    it.start_all().wait_live()
    audited(it)


# --- another cluster -----------------------------------------------------------------------------------------------------------
def second_kafka(it):
    folder = it.services.kafka.parent / "kafka2"
    call(KAFKA, "start", folder)
    return folder, "127.0.0.1:" + call(KAFKA, "port", folder).splitlines()[-1]


def mirror(it, folder, brokers, change=lambda value: value):
    """The same records at the same offsets, with their timestamps."""
    call(KAFKA, "topic", folder, it.name, 1)
    consumer = Consumer({"bootstrap.servers": it.services.brokers, "group.id": "mirror"})
    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})
    consumer.assign([TopicPartition(it.name, 0, OFFSET_BEGINNING)])
    for _ in range(it.ends()["0"]):
        message = consumer.poll(20)
        producer.produce(it.name, change(message.value()), message.key(), 0, timestamp=message.timestamp()[1])
    consumer.close()
    if producer.flush(20):
        raise Failure("not everything was delivered")


def accept(it, *options):
    done = subprocess.run([str(it.bin / "sluicectl"), "accept", *options], env=it.environment, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def moved(it, case, change=lambda value: value):
    """The job is stopped, and its topic is in another cluster, too; case(before), with all processes pointed there."""
    it.stop()
    before = content(it)
    folder, brokers = second_kafka(it)
    own, own_kafka = it.services.brokers, it.environment["KAFKA_BOOTSTRAP_SERVERS"]
    try:
        mirror(it, folder, brokers, change)
        it.services.brokers = it.environment["KAFKA_BOOTSTRAP_SERVERS"] = brokers
        it.start_all()
        case(before)
    finally:
        it.end()
        it.services.brokers, it.environment["KAFKA_BOOTSTRAP_SERVERS"] = own, own_kafka
        call(KAFKA, "stop", folder, "--kill")


def another_cluster(job):
    """One record is another one: nobody can accept that."""
    it = small(job)

    def refused(before):
        must_refuse(it, before, NOT_THE_ONE, seconds=60)
        code, words = accept(it, "--yes")
        must_be("other records accepted", (code, NOT_THE_ONE in words), (EXIT_CONFIG, True))
    moved(it, refused, lambda value: value.replace(b"a-19", b"z-19"))


def a_mirrored_cluster(job):
    it = small(job)

    def accepted(before):
        must_refuse(it, before, "the Kafka cluster is not the one that was read", "(kafka.cluster_id)", "sluicectl accept", seconds=60)
        code, words = ctl(it, "skip", "--to", "0:20", "--yes")
        must_be("skipped there", (code, "(kafka.cluster_id)" in words), (EXIT_CONFIG, True))
        code, words = accept(it)
        must_be("shown only", (code, "kafka.cluster_id" in words, "--yes" in words), (1, True, True))
        must_be("interventions", sql(it.url, "SELECT count(*) FROM sluice.interventions"), (0,))
        code, words = accept(it, "-o", "json", "--yes")
        said = json.loads(words)
        must_be("accepted", (code, said["accepted"], list(said["differs"]), said["records_checked"]), (0, True, ["kafka.cluster_id"], 1))
        must_be("interventions", sql(it.url, "SELECT verb FROM sluice.interventions WHERE job LIKE %s", it.name + "/%"), ("accept",))
        must_be("nothing left", accept(it)[0], 0)
        start_again(it)
    moved(it, accepted)


# --- settings ------------------------------------------------------------------------------------------------------------------
UNCOMMITTED = ("    group.id: sluice", "    isolation.level: read_uncommitted\n    group.id: sluice")


def isolation(job, how):
    it = small(job, changes=(UNCOMMITTED, RARELY))
    end(it, how)
    before = content(it)
    it.write_config(RARELY)
    it.start_all()
    must_refuse(it, before, "isolation.level", "'read_uncommitted' is remembered, now it is 'read_committed'")
    if how == "crash":  # something would be read again, in another way
        must_be("accepted", accept(it, "--yes")[0], EXIT_CONFIG)
        it.write_config(UNCOMMITTED, RARELY)
    else:
        must_be("accepted", accept(it, "--yes")[0], 0)
    it.start_all().wait_live()
    send(it, keys("c", 5))
    it.settle()
    it.prove()


def isolation_after_down(job):
    isolation(job, "down")


def isolation_after_a_crash(job):
    isolation(job, "crash")


MEXICO = ("time_zone: UTC", "time_zone: America/Mexico_City")


def other_zones(it):
    """Another tzdata, by which Mexico has daylight saving time still."""
    folder = it.folder / "zoneinfo"
    (folder / "America").mkdir(parents=True)
    shutil.copy("/usr/share/zoneinfo/America/Chicago", folder / "America/Mexico_City")
    return str(folder)


def zone_rules(job):
    it = job(partitions=1, changes=(MEXICO, RARELY))
    send(it, keys("a", 3), at="2024-07-01T05:30:00Z")
    it.start_all().wait_live()
    it.settle()
    crash(it)
    before = content(it)
    it.environment["TZDIR"] = other_zones(it)
    it.start_all()
    must_refuse(it, before, "the rules of the pipeline's time zone", "they differ in ", "(time_zone.rules)")
    del it.environment["TZDIR"]
    it.start_all().wait_live()
    audited(it)


def zone_rules_of_one_process(job):
    it = job(partitions=1, changes=(MEXICO,))
    send(it, keys("a", 3))
    it.environment["TZDIR"] = other_zones(it)
    it.start("ingest-0")
    del it.environment["TZDIR"]
    it.expected = (1, 1)
    for name in ("sink", "aggregator-0", "coordinator"):
        it.start(name)
    it.exits_with(EXIT_CONFIG, names=["ingest-0"])
    if "other rules of the time zone America/Mexico_City than the coordinator" not in (it.folder / "ingest-0.log").read_text():
        raise Failure("it does not say why")
    it.start("ingest-0")
    it.wait_live()
    audited(it)


# --- the topic's own settings ------------------------------------------------------------------------------------------------------
def set_policy(it, policy):
    resource = ConfigResource(ConfigResource.Type.TOPIC, it.name, set_config={"cleanup.policy": policy})
    admin = AdminClient({"bootstrap.servers": it.services.brokers})
    for future in admin.alter_configs([resource]).values():
        future.result(30)


def compacted(job):
    for policy in ("compact", "compact,delete"):
        it = job(partitions=1)
        set_policy(it, policy)
        it.start_all()
        it.exits_with(EXIT_CONFIG)
        if "cleanup.policy=" not in (it.folder / "sink.log").read_text():
            raise Failure("the sink does not say why")
        set_policy(it, "delete")
        send(it, keys("a", 3))
        start_again(it)


def compacted_while_it_runs(job):
    it = small(job)
    before = content(it)
    set_policy(it, "compact")
    must_refuse(it, before, "cleanup.policy=compact", "What to do: ", seconds=60)


# --- the checkpoint folder -----------------------------------------------------------------------------------------------------------
OFTEN = ("interval: 5s", "interval: 1s")


def keep_going(it, done):
    for i in range(120):
        if done():
            return
        send(it, [f"w-{i}"])
        time.sleep(0.25)
    raise Failure("nobody stops the job")


def all_ended(it):
    return all(process.poll() is not None for process in it.running.values())


def another_folder(job):
    it = job(partitions=1, changes=(OFTEN,))
    folder = it.environment["CHECKPOINT_DIR"]
    it.environment["CHECKPOINT_DIR"] = str(it.folder / "elsewhere")
    it.start("aggregator-0")
    it.environment["CHECKPOINT_DIR"] = folder
    for name in ("sink", "ingest-0", "coordinator"):
        it.start(name)
    it.wait_live()
    keep_going(it, lambda: all_ended(it))
    it.exits_with(EXIT_CONFIG)
    words = (it.folder / "coordinator.log").read_text()
    if "cannot be seen in the coordinator's checkpoint folder" not in words or "CHECKPOINT_DIR" not in words:
        raise Failure("the coordinator does not say why")
    if " is complete" in words:
        raise Failure("a checkpoint is called complete")
    start_again(it)


def folder_removed(job):
    it = small(job, changes=(OFTEN,))
    keep_going(it, lambda: " is complete" in (it.folder / "coordinator.log").read_text())
    shutil.rmtree(it.environment["CHECKPOINT_DIR"])
    keep_going(it, lambda: all_ended(it))
    it.exits_with(EXIT_CONFIG)
    if "rebuild" not in (it.folder / "coordinator.log").read_text():
        raise Failure("the coordinator does not name the way out")
    call("env", *(f"{name}={value}" for name, value in it.environment.items()), it.bin / "sluicectl", "rebuild")
    start_again(it)


# --- the search job -----------------------------------------------------------------------------------------------------------
def search(job):
    it = job(partitions=1)
    send(it, keys("a", 20))
    it.start("coordinator")
    it.start_search()
    it.settle_search()
    it.stop()
    it.start("coordinator")
    it.start_search()
    send(it, keys("c", 3))
    it.settle_search()
    it.stop()
    made_anew(it, 23)
    for verb in ("skip --to 0:23 --yes", "skip --to earliest --dry-run", "accept"):
        code, said = ctl(it, *verb.split(), "--job", "search")
        must_be(f"exit code of {verb}, words\n{said}", (code, NOT_THE_ONE in said), (EXIT_CONFIG, True))
    it.start("coordinator")
    it.start_search()
    it.exits_with(EXIT_CONFIG, names=["search-ingest-0", "search-sink-0"])
    if NOT_THE_ONE not in (it.folder / "search-sink-0.log").read_text():
        raise Failure("the search job does not say why")


def search_accepts(job):
    it = job(partitions=1, changes=(UNCOMMITTED,))
    send(it, keys("a", 20))
    it.start("coordinator")
    it.start_search()
    it.settle_search()
    it.stop()
    it.write_config()
    it.start("coordinator")
    it.start_search()
    it.exits_with(EXIT_CONFIG, names=["search-ingest-0", "search-sink-0"])
    it.stop()
    must_be("shown", accept(it, "--job", "search")[0], 1)
    must_be("accepted", accept(it, "--job", "search", "--yes")[0], 0)
    it.start("coordinator")
    it.start_search()
    send(it, keys("c", 3))
    it.settle_search()
    it.prove_search(rows=False)


CASES = (as_long_after_down, as_long_after_a_crash, longer_after_down, longer_after_a_crash, between_commits, partitions_without_records,
         behind_a_marker, a_record_that_is_gone, verbs_on_another_topic,
         verbs_behind_retention, skip_with_other_settings, another_cluster, a_mirrored_cluster, isolation_after_down, isolation_after_a_crash, zone_rules,
         zone_rules_of_one_process, compacted, compacted_while_it_runs, another_folder, folder_removed)
SEARCH_CASES = (search, search_accepts)

if __name__ == "__main__":
    code = run_cases(CASES) if not sys.argv[1:] or set(sys.argv[1:]) & {case.__name__ for case in CASES} else 0
    if not sys.argv[1:] or set(sys.argv[1:]) & {case.__name__ for case in SEARCH_CASES}:
        missing = Elasticsearch.missing()
        if missing:
            print(f"  the search job: skipped, {missing}")
        else:
            code |= run_cases(SEARCH_CASES, SearchServices)
    sys.exit(code)
