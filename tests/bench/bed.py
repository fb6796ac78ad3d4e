"""What the parts of the benchmark share: a job of its own for a run, its processes' CPU and memory, its latencies."""
import os, subprocess, sys, threading, time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "integration"), str(HERE.parents[1] / "scripts/lib")]
import psycopg2
from jobs import Job, sql
from run_dir import RunDir
from services import BIN, Failure, call, wait_for

TICK = os.sysconf("SC_CLK_TCK")


def show(step, text):
    print(f"{time.strftime('%H:%M:%S')}  {step:30} {text}", flush=True)


def cpu_of(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def pss_of(pid):
    """MB, not MiB: the limits are in MB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0


def percentiles(values):
    """p50, p99, least and most of a list that is not empty; a percentile is one of the values."""
    ordered = sorted(values)
    at = {name: ordered[min(len(ordered) - 1, int(len(ordered) * part))] for name, part in (("p50", .5), ("p90", .9), ("p99", .99))}
    return dict(at, least=ordered[0], most=ordered[-1], count=len(ordered))


def in_turn(rounds, names, run):
    """{name: [run(name, 0), run(name, 1)...]}; every other round goes backwards, so that whatever drifts strikes all alike."""
    found = {name: [] for name in names}
    for n in range(rounds):
        for name in names if n % 2 == 0 else reversed(names):
            found[name].append(run(name, n))
    return found


class Bed:
    """Topics and databases for all parts. quick: everything is small, to see that it works; figures mean little then."""

    def __init__(self, folder, services, arguments):
        self.folder, self.services, self.arguments, self.quick = folder, services, arguments, arguments.quick
        self.runs, self.filled, self.job_kind = 0, {}, BenchJob

    def backlog(self, name, partitions, count, seed):
        """A topic with so many records over two event days; made once."""
        if name not in self.filled:
            show("backlog", f"{count:,} records into {name}")
            self.services.topic(name, partitions)
            self.produce(name, "--rate", 0, "--count", count, "--days", 2, "--seed", seed).wait()
            self.filled[name] = count
        return name

    def produce(self, topic, *options):
        producer = subprocess.Popen([str(w) for w in (BIN / "sluice-producer", "--bootstrap", self.services.brokers, "--topic",
                                     topic, "--quiet", *options)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        return Producer(producer)

    def job(self, topic, interval="5s"):
        self.runs += 1
        return self.job_kind(self, f"run{self.runs}", topic, interval)

    def settle_database(self):
        """What an earlier run has left to write would cost the next one."""
        connection = psycopg2.connect(self.services.url)
        connection.autocommit = True
        connection.cursor().execute("CHECKPOINT")
        connection.close()


class Producer:
    def __init__(self, process):
        self.process = process

    def wait(self):
        if self.process.wait() != 0:
            raise Failure("the producer did not deliver everything")

    def end(self):
        self.process.kill()
        self.process.wait()


class BenchJob(Job):
    """With a database of its own, which is dropped at the end."""

    def __init__(self, bed, name, topic, interval):
        checkpoint = f"interval: {interval}"
        if interval == "1d":  # none in a run, however much it reads
            checkpoint += "\n  max_records: 1000000000"
        super().__init__(bed.folder, bed.services, name, partitions=0,
                         changes=((f"topic: {name}", f"topic: {topic}"), ("interval: 5s", checkpoint)))

    def __enter__(self):
        return self

    def __exit__(self, kind, value, _trace):
        if kind is not None and issubclass(kind, Failure):
            value.args = (f"{value}\n{self.logs()}",)
        self.end()
        self.drop()

    def drop(self):
        call("psql", self.services.url, "-qc", f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')
        call("rm", "-rf", self.folder)

    def init(self):
        """Tables and frontier, so that the first look finds them."""
        call("env", *(f"{k}={self.environment[k]}" for k in ("DATABASE_URL", "CHECKPOINT_DIR", "SLUICE_CONFIG")),
             self.bin / "sluicectl", "init")

    def by_kind(self, measure):
        """The sum over the processes of a kind."""
        sums = {}
        for name, process in self.running.items():
            kind = name.rstrip("0123456789").rstrip("-")
            sums[kind] = sums.get(kind, 0) + measure(process.pid)
        return sums

    def cpu(self):
        return self.by_kind(cpu_of)

    def pss(self):
        return self.by_kind(pss_of)

    def checkpoint(self):
        """By hand; its milliseconds from injection to completion, and its bytes, as the coordinator counts them."""
        call("env", *(f"{k}={self.environment[k]}" for k in ("SLUICE_COORDINATOR", "SLUICE_CONFIG", "CHECKPOINT_DIR", "DATABASE_URL")),
             self.bin / "sluicectl", "checkpoint")
        state = self.status()["checkpoint"]
        return {"ms": state["took_us"] / 1000, "bytes": state["bytes"]}


class Peak:
    """The most memory that all processes took together, looked at every so many seconds, and how it was made up then."""

    def __init__(self, job, pause=0.25):
        self.job, self.pause, self.most, self.over = job, pause, {}, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.over.wait(self.pause):
            now = self.job.pss()
            if sum(now.values()) > sum(self.most.values()):
                self.most = now

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


class Watch:
    """The frontier of a job, looked at over a connection of its own."""

    def __init__(self, url):
        self.connection = psycopg2.connect(url)
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()

    def ask(self, text):
        self.cursor.execute(text)
        return self.cursor.fetchone()

    def started(self):
        return self.ask("SELECT cut IS NOT NULL FROM sluice.frontier")[0]

    def consumed(self):
        return self.ask("SELECT coalesce((counters->>'consumed')::bigint, 0) FROM sluice.frontier")[0]

    def fence(self):
        return self.ask("SELECT fence FROM sluice.frontier")[0]

    def wait_new(self, fence, since, seconds):
        """Seconds since a monotonic moment to the first commit of an attempt above the fence of that moment, as a reader sees
        it: looked for every few milliseconds, so rather too long than too short."""
        while True:
            attempt, epoch = self.ask("SELECT attempt, epoch FROM sluice.frontier")
            now = time.monotonic()
            if attempt > fence and epoch > 0:  # 0: what is restored was chosen
                return now - since
            if now - since > seconds:
                raise Failure(f"nothing new was committed within {seconds} s")
            time.sleep(0.004)

    def backends(self):
        self.cursor.execute("SELECT pid FROM pg_stat_activity WHERE application_name LIKE '%%-sink-%%' OR application_name LIKE 'sink-%%'"
                            " AND datname = current_database()")
        return [pid for pid, in self.cursor.fetchall()]

    def close(self):
        self.connection.close()


LATENCY = """SELECT count(*), percentile_disc(ARRAY[0.5, 0.9, 0.99, 0.999]) WITHIN GROUP (ORDER BY ms) FROM (
    SELECT 1000 * extract(epoch FROM pg_xact_commit_timestamp(transactions.xmin) - transaction_date AT TIME ZONE 'UTC') AS ms
    FROM transactions JOIN unnest(%s::double precision[], %s::double precision[]) span (begins, ends)
    ON transaction_date >= to_timestamp(begins) AT TIME ZONE 'UTC' AND transaction_date < to_timestamp(ends) AT TIME ZONE 'UTC') x"""


def latency_of(url, *spans):
    """Of the records that were made in these spans: (begin, end), in seconds since 1970."""
    counted, at = sql(url, LATENCY, [begin for begin, _ in spans], [end for _, end in spans])
    if not counted:
        raise Failure("no rows to measure a latency by")
    return dict(zip(("p50", "p90", "p99", "p999"), map(float, at)), counted=counted)


def middle_of(runs):
    """The one with the median p99, and the p99 of all: a disk has its moments."""
    ordered = sorted(runs, key=lambda run: run["p99"])
    return dict(ordered[len(ordered) // 2], p99s=[run["p99"] for run in ordered])


class Supervised(RunDir):
    """A job under supervisord as scripts/up runs it, with any number of sinks."""

    def __init__(self, job, ingest, aggregators, sinks):
        super().__init__(str(job.folder / "run"))
        os.makedirs(self.dir, exist_ok=True)
        self.job, self.sinks = job, sinks
        self.prepare(str(job.folder / "pipeline.yaml"), ingest, aggregators, 0)
        job.environment.update(self.environment())  # for sluicectl

    def environment(self):
        made = {k: self.job.environment[k] for k in ("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL")}
        return dict(super().environment(), **made, SLUICE_LOG_FORMAT="json")

    def program(self, name, priority, arguments, bin_dir, count, many):
        if name == "sink":
            count, many = self.sinks, True
        return super().program(name, priority, arguments, bin_dir, count, many)

    def __enter__(self):
        try:
            self.start(str(BIN))
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
