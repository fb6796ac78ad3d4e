#!/usr/bin/python3
"""While a job runs, its topic becomes another one: deleted and made anew, at once or slowly, shorter, as long or longer, with more or fewer
partitions; or another cluster answers at the address. The job ends with 78 and names the difference, nothing of the other log is
committed, and no start goes on. What only looks like it (a broker that restarts, retention, a transaction's marker) costs nothing.
"""
import signal, sys, time
from contextlib import contextmanager

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from jobs import EXIT_CONFIG, Failure, SearchServices, must_be, run_cases, sql, wait_for
from services import Elasticsearch, audit, call
from test_refusals import KAFKA, content, crash, must_refuse
from test_remembered import NOT_THE_ONE, accept, ctl, end, keys, mirror, record, send, start_again

OLD, PARTITIONS = 60, 2


def spread(it, prefix, count, partitions=PARTITIONS):
    it.send([(p, None, record(f"{prefix}-{p}-{i}")) for p in range(partitions) for i in range(count)])


def reading(job, **more):
    """A job that has read so many records of each partition, over several epochs; it runs."""
    it = job(partitions=PARTITIONS, **more)
    it.start_all().wait_live()
    for part in range(3):
        spread(it, f"old{part}", OLD // 3)
        it.settle()
    return it


def swap(it, pause, partitions=PARTITIONS):
    """Deleted and made anew: nobody waits for more than the broker's word."""
    admin = AdminClient({"bootstrap.servers": it.services.brokers, "log_level": 0})
    admin.delete_topics([it.topic])[it.topic].result(20)
    time.sleep(pause)  # for how long there is none
    for _ in range(100):
        try:
            admin.create_topics([NewTopic(it.topic, partitions, 1)])[it.topic].result(20)
            return
        except KafkaException:
            time.sleep(0.02)
    raise Failure("the topic cannot be made anew")


def stops(it, before, *words, seconds=60):
    must_refuse(it, before, *words, "What to do: ", seconds=seconds)


def no_way_on(it, before):
    """Neither a start nor `accept` takes it."""
    it.start_all()
    stops(it, before)
    code, said = accept(it, "--yes")
    must_be(f"exit code of accept, which says\n{said}", code, EXIT_CONFIG)


def start_over(it):
    """The way out of a log that is gone."""
    code, said = ctl(it, "reset", "--job", "totals", "--yes")
    must_be(f"exit code of reset, which says\n{said}", code, 0)
    it.start_all().wait_live()
    it.settle()
    it.prove()


@contextmanager
def frozen(it, *names):
    """Nothing is read meanwhile: what comes next finds the new log as long as it has become."""
    for name in names:
        it.running[name].send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for name in names:
            it.running[name].send_signal(signal.SIGCONT)


def swapped(job, pause, count, partitions=PARTITIONS):
    """Kafka refuses the ingest what it asks for, and so it looks before it reads on."""
    it = reading(job)
    before = content(it)
    swap(it, pause, partitions)
    if count:
        spread(it, "new", count, partitions)
    stops(it, before, "made anew")
    no_way_on(it, before)
    start_over(it)


def unseen(job, pause, partitions=PARTITIONS, looked=True, how=None, **more):
    """The ingest asks for nothing meanwhile, so that Kafka refuses it nothing: some of the new log may be committed, but the next look
    finds it (how None), or else the next start."""
    it = reading(job, **more)
    if looked:
        time.sleep(4)  # all was looked at
    with frozen(it, "ingest-0"):
        swap(it, pause, partitions)
        spread(it, "new", 3 * OLD, partitions)
    if how:
        wait_for("some of it", lambda: max(it.frontier()[2].values()) > OLD, 10)
        end(it, how)
        it.start_all()
    for _ in range(2):
        it.exits_with(EXIT_CONFIG)
        if "made anew" not in (it.folder / "sink.log").read_text()[-3000:]:
            raise Failure("the sink does not say why")
        it.start_all()
    it.exits_with(EXIT_CONFIG)
    must_be("exit code of accept", accept(it, "--yes")[0], EXIT_CONFIG)
    start_over(it)


def at_once_longer(job):
    swapped(job, 0, 3 * OLD)


def at_once_as_long(job):
    swapped(job, 0, OLD)


def at_once_shorter(job):
    swapped(job, 0, OLD // 2)


def soon_longer(job):
    swapped(job, 0.13, 3 * OLD)


def slowly_longer(job):
    swapped(job, 4, 3 * OLD)


def unseen_longer(job):
    unseen(job, 0)


def unseen_slowly(job):
    unseen(job, 1.5)


def unseen_at_once(job):
    """Nothing has been looked at again yet."""
    unseen(job, 0, looked=False)


def unseen_more_partitions(job):
    unseen(job, 0, 2 * PARTITIONS)


def unseen_fewer_partitions(job):
    unseen(job, 0, PARTITIONS - 1)


def unseen_then_stopped(job):
    unseen(job, 0, how="down")


def unseen_then_killed(job):
    unseen(job, 0, how="crash")


def unseen_at_once_then_stopped(job):
    unseen(job, 0, looked=False, how="down")


UNTOLD = ("    group.id: sluice", "    debug: generic\n    group.id: sluice")  # librdkafka says nothing of what Kafka refuses


def untold(job):
    unseen(job, 0.13, changes=(UNTOLD,))


def slowly_empty(job):
    swapped(job, 4, 0)


def more_partitions(job):
    swapped(job, 0.13, 3 * OLD, 2 * PARTITIONS)


def fewer_partitions(job):
    swapped(job, 0.13, 3 * OLD, PARTITIONS - 1)


def under_load(job):
    """Records are on their way all the time, so that the log that is new grows as the old one did."""
    it = reading(job)
    it.produce(3000, "--rate", 3000, seed=3)
    swap(it, 0)
    for seed in range(4, 40):
        if all(process.poll() is not None for process in it.running.values()):
            break
        it.produce(4000, "--rate", 20000, seed=seed)
    it.exits_with(EXIT_CONFIG)
    if "made anew" not in (it.folder / "sink.log").read_text()[-3000:]:
        raise Failure("the sink does not say why")
    it.start_all()
    it.exits_with(EXIT_CONFIG)
    start_over(it)


def deleted(job):
    """It is told as what it is, at once; the job waits for it, and in the end tells so."""
    it = reading(job)
    before = content(it)
    admin = AdminClient({"bootstrap.servers": it.services.brokers, "log_level": 0})
    admin.delete_topics([it.topic])[it.topic].result(20)
    told = f"topic {it.topic} does not exist any more"
    wait_for("what is waited for", lambda: told in str(it.status()), 15)
    if "Kafka does not answer" in (it.folder / "coordinator.log").read_text():
        raise Failure("it is said that Kafka does not answer")
    stops(it, before, told, seconds=120)
    it.services.topic(it.topic, PARTITIONS)
    spread(it, "new", 3 * OLD)
    no_way_on(it, before)
    start_over(it)


def stopped_at_once(job):
    """The job is stopped cleanly, or killed, right after it: whoever starts next sees it."""
    for how in ("down", "crash"):
        it = reading(job)
        swap(it, 0)
        spread(it, "new", 3 * OLD)
        it.stop() if how == "down" else crash(it)
        it.start_all()
        it.exits_with(EXIT_CONFIG)
        if not any(word in (it.folder / "sink.log").read_text()[-3000:] for word in ("made anew", NOT_THE_ONE)):
            raise Failure("the sink does not say why")


# --- another cluster -----------------------------------------------------------------------------------------------------------
class Clusters:
    """A Kafka of its own for a job, and another one that may take its place: at its address, with what is in it by then."""

    def __init__(self, job):
        place = job(partitions=0)
        self.services, self.first, self.other = place.services, place.folder / "first", place.folder / "other"
        self.saved = self.services.kafka, self.services.brokers

    def use(self, folder, *port):
        call(KAFKA, "start", folder, *port)
        self.services.kafka = folder
        self.services.brokers = "127.0.0.1:" + call(KAFKA, "port", folder).splitlines()[-1]
        return self.services.brokers

    def __enter__(self):
        self.use(self.first)
        return self

    def fill_other(self, fill):
        """At an address that the job does not know."""
        saved = self.services.kafka, self.services.brokers
        fill(self.use(self.other))
        call(KAFKA, "stop", self.other)
        self.services.kafka, self.services.brokers = saved

    def replace(self):
        call(KAFKA, "stop", self.first)
        self.use(self.other, self.services.brokers.rsplit(":", 1)[1])

    def __exit__(self, *_):
        for folder in (self.first, self.other):
            call(KAFKA, "stop", folder, "--kill")
        self.services.kafka, self.services.brokers = self.saved


def another_cluster(job, count=3 * OLD):
    """With a topic of that name, whose log is longer."""
    with Clusters(job) as clusters:
        it = reading(job)
        before = content(it)

        def fill(brokers):
            it.services.topic(it.topic, PARTITIONS)
            if count:
                spread(it, "new", count)
        clusters.fill_other(fill)
        clusters.replace()
        stops(it, before, "made anew")
        no_way_on(it, before)
        start_over(it)
        it.end()


def another_empty_cluster(job):
    another_cluster(job, 0)


def another_cluster_and_back(job):
    """Nothing was read of it: once the address leads to the first one again, the job goes on."""
    with Clusters(job) as clusters:
        it = reading(job)
        before = content(it)
        clusters.fill_other(lambda brokers: (it.services.topic(it.topic, PARTITIONS), spread(it, "new", 3 * OLD)))
        clusters.replace()
        stops(it, before, "made anew")
        call(KAFKA, "stop", clusters.other)
        clusters.use(clusters.first)
        start_again(it)
        it.end()


def a_mirrored_cluster(job):
    """The same records: told as another cluster, and accepted."""
    with Clusters(job) as clusters:
        it = job(partitions=1)
        send(it, keys("a", 20))
        it.start_all().wait_live()
        it.settle()
        before = content(it)
        first = it.services.brokers

        def fill(brokers):
            it.services.brokers = first
            mirror(it, clusters.other, brokers)
        clusters.fill_other(fill)
        clusters.replace()
        stops(it, before, "the Kafka cluster is not the one that was read", "(kafka.cluster_id)")
        must_be("accepted", accept(it, "--yes")[0], 0)
        start_again(it)
        it.end()


# --- what only looks like it ---------------------------------------------------------------------------------------------------
def the_same_after_a_restart(job):
    """A broker that restarts, also as a crash, again and again: no attempt is lost."""
    with Clusters(job):
        it = reading(job)
        attempts = it.status()["attempts_ended"]
        for part, how in enumerate(((), ("--kill",), ())):
            call(KAFKA, "stop", it.services.kafka, *how)
            call(KAFKA, "start", it.services.kafka)
            spread(it, f"more{part}", 5)
            it.settle()
        must_be("attempts that ended", it.status()["attempts_ended"], attempts)
        it.prove()
        it.end()


def retention_goes_on(job):
    """The records that were read last are removed, again and again."""
    it = reading(job)
    attempts = it.status()["attempts_ended"]
    for part in range(3):
        for p in range(PARTITIONS):
            call(KAFKA, "forget", it.services.kafka, it.topic, p, it.ends()[str(p)])
        time.sleep(4)  # the records are asked for again meanwhile
        spread(it, f"kept{part}", 5)
        it.settle()
    must_be("attempts that ended", it.status()["attempts_ended"], attempts)
    must_be("state", it.status()["live"], True)


def markers(job):
    """The last offset before the cut is no record."""
    it = job(partitions=1)
    it.start_all().wait_live()
    producer = Producer({"bootstrap.servers": it.services.brokers, "transactional.id": it.name, "log_level": 0})
    producer.init_transactions()
    for part, done in enumerate((producer.commit_transaction, producer.abort_transaction) * 3):
        producer.begin_transaction()
        for key in keys(f"t{part}", 5):
            producer.produce(it.topic, record(key), partition=0)
        producer.flush(10)
        done()
        it.settle()
        time.sleep(2)  # the records are asked for again meanwhile
    must_be("attempts that ended", it.status()["attempts_ended"], 0)
    it.prove()


def more_partitions_of_the_same(job):
    """ALTER: one new attempt, and the job goes on."""
    from confluent_kafka.admin import NewPartitions
    it = reading(job)
    admin = AdminClient({"bootstrap.servers": it.services.brokers, "log_level": 0})
    admin.create_partitions([NewPartitions(it.topic, PARTITIONS + 2)])[it.topic].result(20)
    spread(it, "more", 10, PARTITIONS + 2)
    it.settle()
    it.prove()


# --- the search job ------------------------------------------------------------------------------------------------------------
def search_reading(job):
    it = job(partitions=PARTITIONS)
    it.start_all().start_search().wait_live()
    for part in range(3):
        spread(it, f"old{part}", OLD // 3)
        it.settle()
        it.settle_search()
    return it


def search_swapped(job, pause, count):
    it = search_reading(job)
    documents = it.elasticsearch.count(it.index)
    swap(it, pause)
    spread(it, "new", count)
    it.exits_with(EXIT_CONFIG, 60)
    for log in ("search-sink-0.log", "sink.log"):
        if "made anew" not in (it.folder / log).read_text()[-3000:]:
            raise Failure(f"{log} does not say why")
    must_be("documents", it.elasticsearch.count(it.index), documents)
    it.start_all().start_search()
    it.exits_with(EXIT_CONFIG, 60)


def search_soon_longer(job):
    search_swapped(job, 0.13, 3 * OLD)


def search_slowly_longer(job):
    search_swapped(job, 4, 3 * OLD)


def search_stopped_at_once(job):
    it = search_reading(job)
    swap(it, 0)
    spread(it, "new", 3 * OLD)
    it.stop()
    it.start_all().start_search()
    it.exits_with(EXIT_CONFIG, 60)


CASES = (at_once_longer, at_once_as_long, at_once_shorter, soon_longer, slowly_longer,
         slowly_empty, unseen_longer, unseen_slowly, unseen_at_once, unseen_more_partitions, unseen_fewer_partitions, unseen_then_stopped,
         unseen_then_killed, unseen_at_once_then_stopped, untold, more_partitions, fewer_partitions,
         under_load, deleted, stopped_at_once, another_cluster, another_empty_cluster,
         another_cluster_and_back, a_mirrored_cluster, the_same_after_a_restart, retention_goes_on, markers,
         more_partitions_of_the_same)
SEARCH = (search_soon_longer, search_slowly_longer, search_stopped_at_once)

if __name__ == "__main__":
    failed = run_cases(CASES) if not sys.argv[1:] or set(sys.argv[1:]) & {case.__name__ for case in CASES} else 0
    if not sys.argv[1:] or set(sys.argv[1:]) & {case.__name__ for case in SEARCH}:
        missing = Elasticsearch.missing()
        if missing:
            print(missing)
        else:
            failed += run_cases(SEARCH, SearchServices)
    sys.exit(1 if failed else 0)
