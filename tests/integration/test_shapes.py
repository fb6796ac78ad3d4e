#!/usr/bin/python3
"""The same exact result in every shape: many and few actors and processes, repeats in any partition, stopped and killed at
bad moments, and a zombie of every kind.
"""
import signal, sys, time

from jobs import EXIT_CONFIG, PARALLELISM, Failure, Reader, must_be, run_cases, sql, wait_for


def record(key, amount):
    return (f'{{"transaction_id": "{key}", "product_category": "home", "total_amount": {amount}, '
            f'"transaction_date": "2024-01-15T10:00:00Z"}}').encode()


def more_actors_than_processes(job):
    """And more ingests than partitions: one without a partition sends its barriers too."""
    it = job(partitions=2, changes=[(PARALLELISM, "parallelism: {ingest: 4, dedup: 5, rollup: 3}")])
    it.produce(10000, "--rate", 0)
    it.start_all().settle()
    must_be("processes", len(it.status()["workers"]), 3)
    it.prove()


def a_process_for_every_actor(job):
    it = job(partitions=5, changes=[(PARALLELISM, "parallelism: {ingest: 3, dedup: 3, rollup: 2}")])
    it.produce(10000, "--rate", 0)
    it.start_all(ingest=3, aggregators=5).settle()
    must_be("processes", len(it.status()["workers"]), 9)
    it.prove()


def repeats_in_other_partitions(job):
    """Which of them came first is decided once: also after a stop, when they are read again in another order."""
    it = job()
    it.start_all(ingest=2).wait_live()
    for first in range(0, 2000, 400):
        it.send([(partition, b"%d" % key, record(key, "1.10" if partition % 2 else "1.1" if key % 2 else "2"))
                 for key in range(first, first + 400) for partition in range(4)])
    it.settle()
    decided, verdicts = sql(it.url, "SELECT count(*), count(DISTINCT verdict) FROM sluice.decisions")
    if decided != 6000 or verdicts != 2:
        raise Failure(f"{decided} decisions of {verdicts} kinds: there are three repeats of each key, all in other partitions")
    it.prove()
    before = it.frontier()
    for _ in range(2):
        it.stop()
        it.start_all(ingest=2).wait_live()
        must_be("the frontier after a start with nothing new", it.frontier()[2:], before[2:])
    it.send([(0, b"1", record(1, "1.1")), (1, b"1", record(1, "7")), (2, b"new", record("new", "-0.005"))])
    it.settle()
    must_be("the new row", sql(it.url, "SELECT total_amount::text FROM transactions WHERE transaction_id = 'new'"), ("-0.01",))
    it.prove()


def killed_in_the_silent_replay(job):
    it = job()
    it.produce(30000, "--rate", 0)
    it.start_all().settle()
    before, reader = it.frontier(), Reader(it.url)
    reader.start()
    for name in ("ingest-0", "aggregator-0", "sink", "coordinator", "aggregator-0"):
        it.restart(name)
        time.sleep(0.5)
    it.produce(1000, "--rate", 0, seed=2)
    it.settle()
    reader.finish()
    must_be("records", it.consumed(), before[3]["consumed"] + 1000)
    it.prove()


def all_killed_at_once(job):
    it = job()
    it.produce(40000, "--rate", 0)
    reader = Reader(it.url)
    reader.start()
    it.start_all()
    for _ in range(4):
        before = it.consumed()
        wait_for("a commit", lambda: it.consumed() > before or it.consumed() == 40000, 30)
        names = list(it.running)
        for name in names:
            it.running[name].kill()
        for name in names:
            it.restart(name)
    it.settle(90)
    reader.finish()
    it.prove()


def zombie(job, name):
    """Stopped for longer than a heartbeat while another takes its place; then it goes on, knowing nothing of it."""
    it = job()
    it.start_all().wait_live()
    reader = Reader(it.url)
    reader.start()
    with it.stream(1_000):
        wait_for("records", lambda: it.consumed() > 1_000, 30)
        attempt, stopped = it.frontier()[0], it.running[name]
        stopped.send_signal(signal.SIGSTOP)
        it.start(name[:-1] + "9")
        wait_for("another takes over", lambda: it.frontier()[0] > attempt, 40)
        stopped.send_signal(signal.SIGCONT)
    it.settle()
    reader.finish()
    it.prove()


def zombie_ingest(job):
    zombie(job, "ingest-0")


def zombie_aggregator(job):
    zombie(job, "aggregator-0")


def coordinator_away(job):
    """Nothing is committed while nobody injects, and nothing is lost by it."""
    it = job()
    it.produce(20000, "--rate", 0)
    it.start_all().settle()
    it.kill("coordinator")
    it.produce(5000, "--rate", 0, seed=2)
    time.sleep(7)
    it.start("coordinator")
    it.settle()
    it.prove()


def topic_comes_later(job):
    it = job(partitions=0)
    it.start_all()
    wait_for("the wait for the topic is told", lambda: it.name in (it.status() or {}).get("waiting", ""), 20)
    it.services.topic(it.name, 3)
    it.wait_live()
    it.produce(1000, "--rate", 0)
    it.settle()
    it.prove()


def rows_without_a_frontier(job):
    """Tables that hold rows which Sluice did not write are left alone."""
    it = job()
    it.start_all().wait_live()
    it.stop()
    sql(it.url, "DELETE FROM sluice.frontier")
    sql(it.url, "INSERT INTO sales_per_day VALUES ('2024-01-01', 1)")
    it.start_all().exits_with(EXIT_CONFIG)
    if "sales_per_day" not in (it.folder / "coordinator.log").read_text():
        raise Failure("the coordinator does not name the table")
    must_be("its rows", sql(it.url, "SELECT count(*) FROM sales_per_day"), (1,))


CASES = (more_actors_than_processes, a_process_for_every_actor, repeats_in_other_partitions, killed_in_the_silent_replay,
         all_killed_at_once, zombie_ingest, zombie_aggregator, coordinator_away, topic_comes_later,
         rows_without_a_frontier)

if __name__ == "__main__":
    sys.exit(run_cases(CASES))
