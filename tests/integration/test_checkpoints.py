#!/usr/bin/python3
"""What is kept of a job: restarts read little again, whatever became of caches, files and processes; and it stays exact."""
import json, shutil, signal, subprocess, sys, time

from jobs import EXIT_CONFIG, PARALLELISM, Failure, must_be, run_cases, sql, wait_for
from services import BIN

OFTEN, BY_HAND = ("interval: 5s", "interval: 200ms"), ("interval: 5s", "interval: 1d")


def ctl(it, *words):
    return subprocess.run([str(BIN / "sluicectl"), *words], env=it.environment, text=True, capture_output=True, check=False)


def crash(it):
    for name in list(it.running):
        it.kill(name)


def log_of(it, name="coordinator"):
    return (it.folder / f"{name}.log").read_text(errors="replace")


def filled(job, records=20000, interval=OFTEN, **more):
    it = job(changes=(interval,), **more)
    it.produce(records, "--rate", 0, "--duplicates", 5)
    it.start_all(aggregators=2).wait_live()
    it.settle()
    return it


def go_on(it, seed, records=5000, **processes):
    """Started again it is restored from a checkpoint, and everything is right, also with what comes now."""
    before = log_of(it)
    it.start_all(**processes).wait_live()
    it.produce(records, "--rate", 0, "--duplicates", 5, seed=seed)
    it.settle()
    it.prove()
    said = log_of(it)[len(before):]
    if "runs from checkpoint" not in said or "runs from checkpoint 0.0" in said:
        raise Failure(f"not restored from a checkpoint:\n{said[-3000:]}")
    return said


def by_hand(job):
    it = filled(job)
    done = ctl(it, "checkpoint")
    must_be("exit code", done.returncode, 0)
    if "is complete" not in done.stdout:
        raise Failure(done.stdout + done.stderr)
    crash(it)
    go_on(it, 2, aggregators=2)
    state = json.loads(ctl(it, "status", "-o", "json").stdout)
    if state["checkpoint"]["completed"] < 1 or state["checkpoint"]["restored"] == "0.0":
        raise Failure(str(state["checkpoint"]))


def cache_lost(job):
    it = filled(job)
    must_be("exit code", ctl(it, "checkpoint").returncode, 0)
    crash(it)
    shutil.rmtree(it.environment["STATE_DIR"])
    go_on(it, 2, aggregators=2)


def other_parallelism(job):
    it = filled(job)
    for seed, numbers in enumerate(("{ingest: 3, dedup: 3, rollup: 2}", "{ingest: 1, dedup: 1, rollup: 1}"), 2):
        must_be("exit code", ctl(it, "checkpoint").returncode, 0)
        crash(it)
        it.write_config(OFTEN, (PARALLELISM, f"parallelism: {numbers}"))
        go_on(it, seed, aggregators=2)


def damaged_file(job):
    """The newest checkpoint cannot be read: the one before is restored."""
    it = filled(job, interval=BY_HAND)
    must_be("exit code", ctl(it, "checkpoint").returncode, 0)
    it.produce(3000, "--rate", 0, seed=7)
    it.settle()
    must_be("exit code", ctl(it, "checkpoint").returncode, 0)
    crash(it)
    shutil.rmtree(it.environment["STATE_DIR"])
    attempt, epoch = sql(it.url, "SELECT attempt, epoch FROM sluice.checkpoints ORDER BY attempt DESC, epoch DESC LIMIT 1")
    root = it.folder / "checkpoints" / it.name / "totals" / "checkpoints" / f"{attempt}.{epoch}"
    files = [path for path in root.iterdir() if path.name != "manifest"]
    if not files:
        raise Failure(f"no files in {root}")
    for path in files:
        content = bytearray(path.read_bytes())
        content[len(content) // 3] ^= 0x40
        path.write_bytes(content)
    said = go_on(it, 3, aggregators=2)
    if "cannot be restored" not in said:
        raise Failure(said[-3000:])


def a_process_is_lost(job):
    """Its actors are placed on the one that is there, at once; when it is back, they are moved again."""
    it = filled(job)

    def goes_on(seconds):
        at = it.consumed()
        wait_for("new records", lambda: it.consumed() > at + 500, seconds)

    def both_work():
        workers = json.loads(ctl(it, "status", "-o", "json").stdout or "{}").get("workers", [])
        return sum(w["process"] == "aggregator" and w["actors"] != "" for w in workers) == 2
    with it.stream(1_000, seed=4):
        goes_on(20)
        began = time.monotonic()
        it.kill("aggregator-1")
        goes_on(20)
        print(f"    goes on after {time.monotonic() - began:.1f} s")
        it.start("aggregator-1")
        wait_for("actors on both aggregators", both_work, 30)
        it.running["aggregator-0"].send_signal(signal.SIGTERM)  # one leaves, behind a checkpoint
        must_be("exit code", it.running.pop("aggregator-0").wait(15), 0)
    it.settle()
    it.prove()


def few_are_kept(job):
    it = filled(job)
    for seed in range(2, 8):
        it.produce(500, "--rate", 0, seed=seed)
        it.settle()
        must_be("exit code", ctl(it, "checkpoint").returncode, 0)
    root = it.folder / "checkpoints" / it.name / "totals" / "checkpoints"
    wait_for("retired checkpoints",
             lambda: len(list(root.glob("*/manifest"))) <= 3 and
             sql(it.url, "SELECT count(*) FROM sluice.checkpoints")[0] <= 3, 20)


def clean_stop(job):
    """SIGTERM: a last checkpoint that is where the database is; the next start reads nothing again."""
    it = filled(job)
    it.produce(30000, "--rate", 0, seed=5)
    it.running["coordinator"].send_signal(signal.SIGTERM)
    for name in list(it.running):
        must_be(f"exit code of {name}", it.running.pop(name).wait(15), 0)
    cut, = sql(it.url, "SELECT cut FROM sluice.frontier")
    last, = sql(it.url, "SELECT cut FROM sluice.checkpoints ORDER BY attempt DESC, epoch DESC LIMIT 1")
    must_be("the last checkpoint's cut", last, cut)
    said = go_on(it, 6, aggregators=2)
    if "silent replay" in said:
        raise Failure(said[-3000:])


WIDER = ('type: "decimal(10,2)", required: true', 'type: "decimal(12,2)", required: true')


def stop_cleanly(it):
    it.running["coordinator"].send_signal(signal.SIGTERM)
    for name in list(it.running):
        must_be(f"exit code of {name}", it.running.pop(name).wait(15), 0)


def must_refuse(it, *words):
    it.start_all(aggregators=2)
    it.exits_with(EXIT_CONFIG)
    if not all(word in log_of(it)[-3000:] for word in words):
        raise Failure(f"not said: {words}\n{log_of(it)[-3000:]}")


def record_of(key, amount=1):
    return json.dumps({"transaction_id": key, "product_category": "books", "total_amount": amount,
                       "transaction_date": "2024-01-15T10:00:00Z"}).encode()


def large(it, key):
    """Fits only where amounts have 12 digits."""
    it.send([(0, None, record_of(key, 1234567890.12))])
    it.settle()


def row(it, key):
    return sql(it.url, "SELECT total_amount::text FROM transactions WHERE transaction_id = %s", key)


def other_meaning(job):
    """Limits may change after a clean stop, and only then; what holds no state is judged by the new file from there on."""
    it = filled(job, interval=BY_HAND)  # so that a crash leaves the last checkpoint behind the frontier
    large(it, "large-1")
    must_be("the row of a record that is too large", row(it, "large-1"), None)
    crash(it)
    it.write_config(OFTEN, WIDER)
    sql(it.url, "ALTER TABLE transactions ALTER total_amount TYPE numeric(12,2)")
    frontier = it.frontier()
    must_refuse(it, "not stopped cleanly", "decimal(10,2)", "decimal(12,2)", "SIGTERM")
    must_be("the frontier", it.frontier(), frontier)
    sql(it.url, "ALTER TABLE transactions ALTER total_amount TYPE numeric(10,2)")
    it.write_config(OFTEN)
    it.start_all(aggregators=2).wait_live()
    stop_cleanly(it)
    it.write_config(OFTEN, WIDER)
    must_refuse(it, "total_amount", "ALTER TABLE")
    it.write_config(OFTEN, ("time_zone: UTC", "time_zone: Europe/Berlin"))
    must_refuse(it, "time_zone UTC", "time_zone Europe/Berlin", "Only limits")
    it.write_config(OFTEN, WIDER)
    sql(it.url, "ALTER TABLE transactions ALTER total_amount TYPE numeric(12,2)")
    it.start_all(aggregators=2).wait_live()
    large(it, "large-2")
    must_be("the row of a record that is too large by the old file", row(it, "large-1"), None)
    must_be("the row of one that came later", row(it, "large-2"), ("1234567890.12",))
    crash(it)  # and once more, back to a checkpoint of the new file
    it.start_all(aggregators=2).wait_live()
    it.produce(2000, "--rate", 0, seed=8)
    it.settle()
    audited = ctl(it, "audit")
    must_be(f"exit code of the audit\n{audited.stdout}{audited.stderr}", audited.returncode, 0)
    if "another pipeline file" not in audited.stdout:
        raise Failure(audited.stdout)
    root = it.folder / "checkpoints" / it.name / "totals" / "checkpoints"
    for _ in range(4):
        it.produce(100, "--rate", 0, seed=9)
        it.settle()
        must_be("exit code", ctl(it, "checkpoint").returncode, 0)
    wait_for("retired checkpoints", lambda: len(list(root.glob("*/manifest"))) <= 3, 20)


FORGETFUL = (("retention: 24h", "retention: 0s"), ("max_bytes: 1MiB", "max_bytes: 64KiB"), ("max_bytes_behind: 6MiB", "max_bytes_behind: 64KiB"))


def many_late(job):
    """Every key of a long stretch is forgotten, and comes again, over many epochs: few attempts, not one for every few epochs."""
    it = job(changes=(OFTEN, *FORGETFUL))
    records = it.send_distinct(5000)
    it.start_all(aggregators=2).wait_live()
    it.settle()
    for later in range(4):  # newer generations, so that the one of these keys is dropped
        time.sleep(1.2)
        it.send([(0, None, record_of(f"later-{later}"))])
        it.settle()
        must_be("exit code", ctl(it, "checkpoint").returncode, 0)
    ended, epoch = it.status()["attempts_ended"], it.frontier()[1]
    it.send(records)
    it.settle()
    audited = ctl(it, "audit")  # the checker takes every decision for one between partitions
    must_be(f"exit code of the audit\n{audited.stdout}{audited.stderr}", audited.returncode, 0)
    counters = it.frontier()[3]
    must_be("duplicates", counters["duplicates"], 5000)
    ended = it.status()["attempts_ended"] - ended
    print(f"    {ended} attempts ended, epoch {epoch} before, {it.frontier()[0]}.{it.frontier()[1]} now")
    if not 1 <= ended <= 12:
        raise Failure(f"{ended} attempts ended by 5000 late duplicates")


CASES = (many_late, other_meaning, by_hand, cache_lost, other_parallelism, damaged_file, a_process_is_lost, few_are_kept, clean_stop)

if __name__ == "__main__":
    sys.exit(run_cases(CASES))
