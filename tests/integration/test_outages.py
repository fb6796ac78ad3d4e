#!/usr/bin/python3
"""Everything outside goes away and comes back, a stopped writer wakes up as a zombie, and a person has made a mistake.

A reader takes snapshots all the time; at the end of every case each record produced is accounted for.
"""
import json, os, signal, subprocess, sys, time, traceback

from services import (BIN, KINDS, ROOT, Failure, Pipeline, call, private_services, prove, wait_for)
from snapshots import Reader

TICK = os.sysconf("SC_CLK_TCK")
TOPIC, PER_CASE = "financial_transactions", 8_000


class Bed:
    """One topic and one database for all cases that end well; each adds records and waits for them."""

    def __init__(self, folder, services):
        self.folder, self.services, self.produced = folder, services, 0
        self.pipeline = Pipeline(folder, services)
        self.reader = Reader(services.url)

    def produce(self, rate=4_000):
        self.produced += PER_CASE
        return subprocess.Popen([BIN / "sluice-producer", "--count", str(PER_CASE), "--rate", str(rate), "--seed",
                                 str(self.produced), "--duplicates", "3", "--conflicts", "1", "--poison", "1", "--quiet"],
                                env=self.pipeline.environment, stdout=subprocess.DEVNULL)

    def consumed(self):
        return self.reader.counters.get("consumed", 0)

    def waiting(self):
        done = subprocess.run([BIN / "sluicectl", "status", "-o", "json"], env=self.pipeline.environment, stdout=subprocess.PIPE)
        return json.loads(done.stdout)["waiting"]

    def settle(self, producer, seconds=60):
        if producer.wait() != 0:
            raise Failure("the producer did not deliver everything")
        # A batch whose answer was lost is in the topic twice, so that says how many there are.
        there = sum(self.services.ends(TOPIC).values())
        if there < self.produced:
            raise Failure(f"{there} records are in the topic, {self.produced} were produced")
        self.produced = there
        wait_for("all records", lambda: self.consumed() >= there, seconds)
        if self.consumed() != there:
            raise Failure(f"{self.consumed()} records were counted, {there} are in the topic")

    def postgres(self, *words):
        call(ROOT / "tests/integration/postgres.sh", *words)

    def kafka(self, *words):
        call(ROOT / "tests/integration/kafka/kafka.sh", *words)


def nothing_is_there(bed):
    """The processes start before Kafka and PostgreSQL, in any order, and wait."""
    bed.postgres("stop", bed.services.postgres, "fast")
    bed.kafka("stop", bed.services.kafka)
    for kind in reversed(KINDS):
        bed.pipeline.start(kind)
    time.sleep(3)
    if any(p.poll() is not None for p in bed.pipeline.running.values()):
        raise Failure("a process did not wait")
    bed.postgres("start", bed.services.postgres)
    time.sleep(1)
    bed.kafka("start", bed.services.kafka)
    bed.reader.start()
    bed.settle(bed.produce())


def postgres_restarts(bed):
    for how in ("fast", "immediate"):
        producer = bed.produce()
        time.sleep(0.7)
        bed.postgres("stop", bed.services.postgres, how)
        time.sleep(1.5)
        bed.postgres("start", bed.services.postgres)
        bed.settle(producer)


def backend_is_ended(bed):
    producer = bed.produce()
    for _ in range(5):
        time.sleep(0.3)
        call("psql", bed.services.url, "-Atc",
             "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%-sink-%'")
    bed.settle(producer)


def kafka_restarts(bed):
    producer = bed.produce(rate=1_600)
    time.sleep(1)
    bed.kafka("stop", bed.services.kafka, "--kill")
    wait_for("the status to say that Kafka is waited for", lambda: "Kafka does not answer" in bed.waiting(), 20)
    bed.kafka("start", bed.services.kafka)
    bed.settle(producer, 90)
    wait_for("the status to say that nothing is waited for", lambda: not bed.waiting(), 20)


def zombie(bed):
    """A stopped writer is declared lost; another takes over; the old one wakes up and must not commit."""
    producer = bed.produce(rate=800)
    time.sleep(1)
    stopped = bed.pipeline.running["sink"]
    stopped.send_signal(signal.SIGSTOP)
    try:
        bed.pipeline.start("sink")
        before = bed.consumed()
        wait_for("the second writer", lambda: bed.consumed() > before, 30)
    finally:
        stopped.send_signal(signal.SIGCONT)
    bed.settle(producer)
    stopped.terminate()
    if stopped.wait(10) not in (0, 1):
        raise Failure(f"the zombie ended with {stopped.returncode}")


def many_processes(bed):
    """More processes than actors, and fewer: nothing changes but who does the work."""
    for kind in ("ingest", "aggregator"):
        extra = bed.pipeline.running[kind]
        bed.pipeline.start(kind)
        bed.pipeline.running[f"{kind}-2"] = extra
    bed.pipeline.kill("coordinator")
    bed.pipeline.start("coordinator")
    bed.settle(bed.produce())
    for kind in ("ingest", "aggregator"):
        bed.pipeline.kill(f"{kind}-2")
    bed.settle(bed.produce())


def idle(bed):
    """Next to no CPU: below 2 % of a core for all processes together, in the quietest of a few moments: a machine that is busy with
    other things makes the same work dearer."""
    def cpu():
        fields = [open(f"/proc/{p.pid}/stat").read().rsplit(")", 1)[1].split() for p in bed.pipeline.running.values()]
        return sum(int(f[11]) + int(f[12]) for f in fields) / TICK
    time.sleep(2)
    used = []
    while len(used) < 4 and not any(each < 0.02 for each in used):
        before = cpu()
        time.sleep(10)
        used.append((cpu() - before) / 10)
        print(f"    {100 * used[-1]:.2f} % of a core")
    if min(used) >= 0.02:
        raise Failure("an idle pipeline should use below 2 % of a core")


def stops_with_78(bed, words, change, seconds=30):
    """All processes of the job end with 78 and say why."""
    bed.pipeline.stop()
    environment = dict(bed.pipeline.environment)
    change(bed.pipeline)
    for kind in KINDS:
        bed.pipeline.start(kind)
    started = dict(bed.pipeline.running)
    for kind, process in started.items():
        try:
            if process.wait(seconds) != 78:
                raise Failure(f"{kind} ended with {process.returncode}")
        except subprocess.TimeoutExpired:
            raise Failure(f"{kind} did not end")
    for kind in KINDS:
        tail = (bed.folder / f"{kind}.log").read_text()[-2000:]
        if not any(word in tail for word in words):
            raise Failure(f"{kind} does not say why:\n{tail}")
    bed.pipeline.running, bed.pipeline.environment = {}, environment


def wrong_password(bed):
    def change(pipeline):
        url = bed.services.url
        user, rest = url.split("://", 1)[1].split("@", 1)
        pipeline.environment["DATABASE_URL"] = f"postgresql://nobody_of_that_name:wrong@{rest}"
    stops_with_78(bed, ("password authentication failed", "does not exist"), change)


def other_meaning(bed):
    def change(pipeline):
        text = (ROOT / "compose/pipeline.yaml").read_text().replace("time_zone: UTC", "time_zone: Europe/Berlin", 1)
        (bed.folder / "other.yaml").write_text(text)
        pipeline.environment["SLUICE_CONFIG"] = str(bed.folder / "other.yaml")
    stops_with_78(bed, ("meaning", "fingerprint"), change)


def checkpoint_folder_lost(bed):
    def change(pipeline):
        pipeline.environment["CHECKPOINT_DIR"] = str(bed.folder / "empty")
    stops_with_78(bed, ("knows none of its checkpoints",), change)


def goes_on(bed):
    for kind in KINDS:
        bed.pipeline.start(kind)
    bed.settle(bed.produce())


CASES = (nothing_is_there, postgres_restarts, backend_is_ended, kafka_restarts, zombie, many_processes, idle,
         wrong_password, other_meaning, checkpoint_folder_lost, goes_on)


def main():
    passed = failed = 0
    with private_services() as (folder, services):
        services.topic(TOPIC, 4)
        bed = Bed(folder, services)
        try:
            for case in CASES:
                began = time.monotonic()
                try:
                    case(bed)
                    passed += 1
                    print(f"  {case.__name__}: ok ({time.monotonic() - began:.1f} s)", flush=True)
                except Exception as failure:
                    failed += 1
                    text = str(failure) if isinstance(failure, Failure) else traceback.format_exc()
                    print(f"  {case.__name__}: FAILED\n{text}\n{bed.pipeline.logs()}", flush=True)
                    break  # what follows builds on it
            try:
                bed.reader.finish()
            except Failure as failure:
                failed += 1
                print(failure)
            if not failed:
                print(prove(services, bed.pipeline.environment).splitlines()[-1])
            print(f"  {bed.reader.snapshots} snapshots")
        finally:
            for process in bed.pipeline.running.values():
                process.kill()
                process.wait()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
