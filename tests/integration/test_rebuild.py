#!/usr/bin/python3
"""The checkpoint folder is lost and the database holds a frontier: refused, and after `sluicectl rebuild` exact as before."""
import json, shutil, signal, subprocess, sys

from jobs import EXIT_CONFIG, Failure, must_be, run_cases, sql
from services import BIN, HERE, call

RARELY, OFTEN = ("interval: 5s", "interval: 1d"), ("interval: 5s", "interval: 200ms")


def ctl(it, *words, code=0):
    done = subprocess.run([str(BIN / "sluicectl"), *words], env=it.environment, text=True, capture_output=True, check=False)
    must_be(f"exit code of {words}\n{done.stdout}{done.stderr}", done.returncode, code)
    return done.stdout + done.stderr


def must_say(text, *words):
    if not all(word in text for word in words):
        raise Failure(f"not said: {words}\n{text}")


def filled(job, interval, **more):
    it = job(changes=(interval,), **more)
    it.produce(10000, "--rate", 0)
    it.start_all(aggregators=2).wait_live()
    it.settle()
    return it


def crash(it):
    for name in list(it.running):
        it.kill(name)


def lose(it):
    """Folder and caches; a start says what to do."""
    for name in ("CHECKPOINT_DIR", "STATE_DIR"):
        shutil.rmtree(it.environment[name])
    it.start_all(aggregators=2)
    it.exits_with(EXIT_CONFIG)
    must_say((it.folder / "coordinator.log").read_text()[-2000:], "sluicectl rebuild")


def go_on(it, *seeds):
    it.start_all(aggregators=2).wait_live()
    for seed in seeds:
        it.produce(3000, "--rate", 0, seed=seed)
        it.settle()
    print("    " + ctl(it, "audit").splitlines()[0])
    crash(it)  # and from the checkpoints that came since
    it.start_all(aggregators=2).wait_live()
    it.produce(1000, "--rate", 0, seed=77)
    it.settle()
    ctl(it, "audit")


def from_database(job):
    """Also with repeats of what was there before: seed 1 is the one that the job was filled with."""
    it = filled(job, OFTEN)
    must_say(ctl(it, "rebuild", code=EXIT_CONFIG), "is running")
    crash(it)
    lose(it)
    frontier = it.frontier()
    names = sql(it.url, "SELECT json_agg(c ORDER BY attempt, epoch) FROM sluice.checkpoints c")
    must_say(ctl(it, "rebuild", "--dry-run"), "nothing was changed")
    must_be("the names", sql(it.url, "SELECT json_agg(c ORDER BY attempt, epoch) FROM sluice.checkpoints c"), names)
    said = json.loads(ctl(it, "rebuild", "-o", "json"))
    must_be("source and cut", (said["from"], said["cut"]), ("database", frontier[2]))
    must_be("the frontier", it.frontier(), frontier)
    must_be("the names", sql(it.url, "SELECT count(*), max(cut::text)::jsonb FROM sluice.checkpoints"), (1, frontier[2]))
    go_on(it, 2, 1)
    late = sum("is over: sink" in line and "late duplicates" in line
               for line in (it.folder / "coordinator.log").read_text().splitlines())
    print(f"    {late} attempts ended by repeats of before")
    if not 1 <= late <= 12:
        raise Failure("the repeats were not noticed, or cost too much")


def from_kafka(job):
    it = filled(job, RARELY)
    crash(it)
    lose(it)
    must_say(ctl(it, "rebuild", "--from", "kafka"), "replays the log")
    go_on(it, 2, 1)
    if "runs from checkpoint 0.0: silent replay" not in (it.folder / "coordinator.log").read_text():
        raise Failure("no silent replay from the start")


def not_from_kafka(job):
    """Decisions were retired with the first checkpoints: a replay from the start might decide otherwise."""
    it = filled(job, OFTEN)
    for seed in range(2, 6):
        it.produce(200, "--rate", 0, seed=seed)
        it.settle()
        ctl(it, "checkpoint")
    it.running["coordinator"].send_signal(signal.SIGTERM)
    for name in list(it.running):
        must_be(f"exit code of {name}", it.running.pop(name).wait(15), 0)
    lose(it)
    must_be("checkpoint 0.0", sql(it.url, "SELECT count(*) FROM sluice.checkpoints WHERE attempt = 0"), (0,))
    must_say(ctl(it, "rebuild", "--from", "kafka", code=EXIT_CONFIG), "decisions", "--from database")
    ctl(it, "rebuild")
    go_on(it, 3, 9)


def kafka_has_lost_the_beginning(job):
    """Nobody can know that before the start: it is refused, nothing has changed, and the database's way is open."""
    it = filled(job, RARELY)
    crash(it)
    lose(it)
    frontier = it.frontier()
    ctl(it, "rebuild", "--from", "kafka")
    call(HERE / "kafka/kafka.sh", "forget", it.services.kafka, it.name, 1, 100)
    it.start_all(aggregators=2)
    it.exits_with(EXIT_CONFIG)
    must_say((it.folder / "coordinator.log").read_text()[-2000:], "partition 1", "out of range", "100")
    must_be("cut and counters", it.frontier()[2:], frontier[2:])
    for name in ("CHECKPOINT_DIR", "STATE_DIR"):
        shutil.rmtree(it.environment[name])
    ctl(it, "rebuild")
    it.start_all(aggregators=2).wait_live()
    it.produce(1000, "--rate", 0, seed=3)
    it.settle()
    ctl(it, "audit")


CASES = (from_database, from_kafka, not_from_kafka, kafka_has_lost_the_beginning)

if __name__ == "__main__":
    sys.exit(run_cases(CASES))
