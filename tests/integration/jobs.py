"""A job of its own for a case: topic, database and pipeline file, and any number of processes of each kind."""
import json, signal, subprocess, sys, time, traceback
from contextlib import contextmanager

import psycopg2
from confluent_kafka import Producer

from documents import control_documents, cut_of, newest_controls, prove_documents, prove_like_rows
from services import BIN, ROOT, Elasticsearch, Failure, Pipeline, Services, audit, call, private_services, prove, wait_for
from snapshots import Reader  # for the cases

EXIT_CONFIG = 78
TABLES = ("transactions", "sales_per_category", "sales_per_day", "sales_per_month")
INDEXES = ("idx_transactions_category", "idx_transactions_date")
PARALLELISM = "parallelism: {ingest: 2, dedup: 2, rollup: 1, search: 1}"  # as shipped, for cases that change it


def sql(url, text, *arguments):
    """The first row of what a statement answers, if it answers anything."""
    connection = psycopg2.connect(url, connect_timeout=30)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(text, arguments or None)
            return cursor.fetchone() if cursor.description else None
    finally:
        connection.close()


class SearchServices(Services):
    """And an Elasticsearch."""

    def __init__(self, folder):
        super().__init__(folder)
        self.elasticsearch = Elasticsearch(folder)

    def start(self):
        super().start()
        self.elasticsearch.start()

    def stop(self):
        super().stop()
        self.elasticsearch.end()


class Job(Pipeline):
    """Processes are named as they offer themselves: coordinator, sink, ingest-0, aggregator-0, aggregator-1... Those of the search job
    are search-ingest-0, search-sink-0...; it is on where there is an Elasticsearch, and its documents are in an index of the job's name."""
    bin, shipped = BIN, ROOT / "compose/pipeline.yaml"  # its programs and the file they came with

    def __init__(self, folder, services, name, partitions=4, changes=(), database=None, topic=None, tables=""):
        """database, topic: another job's, for neighbours; otherwise there are some of its own. tables: stands behind the names of its
        tables and indexes. changes: text of the pipeline file, and what stands for it instead."""
        self.services, self.name, self.topic, self.tables = services, name, topic or name, tables
        self.elasticsearch = getattr(services, "elasticsearch", None)
        folder = folder / name
        folder.mkdir()
        folder.chmod(0o755)
        super().__init__(folder, services, folder / "pipeline.yaml")
        database = database or name
        if sql(services.url, "SELECT 1 FROM pg_database WHERE datname = %s", database) is None:
            call("psql", services.url, "-qc", f'CREATE DATABASE "{database}"')
        self.url = services.url.rsplit("/", 1)[0] + "/" + database
        self.environment["DATABASE_URL"] = self.url
        if self.elasticsearch:
            self.environment["ELASTICSEARCH_URL"] = self.elasticsearch.url
        if partitions and not topic:
            services.topic(name, partitions)
        self.write_config(*changes)
        self.expected, self.index, self.schema = (1, 1), name, ""

    def write_config(self, *changes):
        """The shipped file with names of its own, and changes as (text, instead)."""
        text = self.shipped.read_text()
        default = next(words for words in ("# index: transactions-%Y.%m", "index: transactions") if words in text)  # also of older ones
        index = ((default, f"index: {self.name}"),) if self.elasticsearch else ()
        names = (*(f"table: {name}\n" for name in TABLES), *(f"{name}}}" for name in INDEXES)) if self.tables else ()
        tables = [(name, name[:-1] + self.tables + name[-1]) for name in names]
        for old, new in (("job: ecommerce-transactions", f"job: {self.name}"),
                         ("topic: financial_transactions", f"topic: {self.topic}"), *index, *tables, *changes):
            if old not in text:
                raise Failure(f"the shipped pipeline file has no {old!r} to change")
            text = text.replace(old, new)
        (self.folder / "pipeline.yaml").write_text(text)

    # --- processes ----------------------------------------------------------------------------------------------------
    def start(self, name, *before):
        """before: a command that runs it."""
        kind = name.removeprefix("search-").split("-")[0]
        words = [*before, str(self.bin / f"sluice-{kind}"), *(("--job", "search") if name.startswith("search-") else ())]
        if kind == "coordinator":
            words += ["--expect-ingest", str(self.expected[0]), "--expect-aggregators", str(self.expected[1])]
        else:
            words += ["--name", name]
        with open(self.folder / f"{name}.log", "ab") as log:
            self.running[name] = subprocess.Popen(words, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def start_all(self, ingest=1, aggregators=1):
        """All of totals."""
        self.expected = (ingest, aggregators)
        for name in ("sink", *(f"aggregator-{i}" for i in range(aggregators)), *(f"ingest-{i}" for i in range(ingest)),
                     "coordinator"):
            self.start(name)
        return self

    def start_search(self, ingest=1, sinks=1):
        """All of the search job but the coordinator."""
        for name in (*(f"search-sink-{i}" for i in range(sinks)), *(f"search-ingest-{i}" for i in range(ingest))):
            self.start(name)
        return self

    def restart(self, name):
        self.kill(name)
        self.start(name)

    def end(self):
        """Whatever happened: nothing is left."""
        for process in self.running.values():
            process.kill()
            process.wait()
        self.running = {}

    def exits_with(self, code, seconds=30, names=None):
        """All processes, or those named, end by themselves."""
        for name, process in [(name, self.running[name]) for name in names or list(self.running)]:
            try:
                if process.wait(seconds) != code:
                    raise Failure(f"{name} ended with {process.returncode}, not {code}")
            except subprocess.TimeoutExpired:
                raise Failure(f"{name} did not end")
            del self.running[name]

    def logs(self):
        return "\n".join(f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                         for log in sorted(self.folder.glob("*.log")))

    # --- what it does -------------------------------------------------------------------------------------------------
    def status(self, job=None):
        only = ("--job", job or "totals") if self.elasticsearch else ()
        done = subprocess.run([self.bin / "sluicectl", "status", "-o", "json", *only], env=self.environment, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True)
        return json.loads(done.stdout) if done.stdout else None

    def frontier(self):
        """attempt, epoch, cut and counters; None before there is one."""
        try:
            found = sql(self.url, "SELECT attempt, epoch, cut, counters FROM sluice.frontier WHERE cut IS NOT NULL AND job = %s",
                        f"{self.name}/totals")
        except psycopg2.Error:
            return None
        return found

    def fence(self):
        """The number of the attempt that writes, also before its first commit."""
        return sql(self.url, "SELECT fence FROM sluice.frontier WHERE job = %s", f"{self.name}/totals")[0]

    def consumed(self):
        found = self.frontier()
        return found[3].get("consumed", 0) if found else 0

    def wait_live(self, seconds=60, job=None):
        wait_for("the job is deployed and past the replay", lambda: (self.status(job) or {}).get("live"), seconds)

    def produce(self, count, *options, wait=True, seed=1):
        producer = subprocess.Popen([str(w) for w in (self.bin / "sluice-producer", "--topic", self.topic, "--count", count, "--seed",
                                     seed, "--duplicates", 4, "--conflicts", 3, "--poison", 3, "--days", 2, "--quiet", *options)],
                                    env=self.environment, stdout=subprocess.DEVNULL)
        if wait and producer.wait() != 0:
            raise Failure("the producer did not deliver everything")
        return producer

    @contextmanager
    def stream(self, rate, seed=1):
        """Records for as long as what is inside takes, on a slow machine as on a fast one; then all of them have been delivered."""
        producer = self.produce(10**9, "--rate", rate, wait=False, seed=seed)
        try:
            yield
            producer.terminate()
            if producer.wait() != 0:
                raise Failure("the producer did not deliver everything")
        finally:
            producer.kill()
            producer.wait()

    def send(self, records):
        """(partition, key, value) each, as bytes; returns their offsets in order."""
        offsets, producer = [None] * len(records), Producer({"bootstrap.servers": self.services.brokers,
                                                             "enable.idempotence": True, "message.max.bytes": 4000000,
                                                             "log_level": 0})
        for place, (partition, key, value) in enumerate(records):
            def delivered(error, message, place=place):
                offsets[place] = None if error else message.offset()
            producer.produce(self.topic, value, key, partition, on_delivery=delivered)
            producer.poll(0)
        if producer.flush(30) or None in offsets:
            raise Failure("not everything was delivered to Kafka")
        return offsets

    def send_distinct(self, count, prefix="distinct"):
        """So many records, each with a key of its own; returns them."""
        records = [(i % 4, None, json.dumps({"transaction_id": f"{prefix}-{i}", "product_category": "books", "total_amount": i,
                                             "transaction_date": "2024-01-15T10:00:00Z", "product_name": "x" * 250}).encode())
                   for i in range(count)]
        self.send(records)
        return records

    def ends(self):
        return self.services.ends(self.topic)

    def settle(self, seconds=60):
        """Everything that is in the topic now is in the database."""
        ends = self.ends()

        def there():
            found = self.frontier()
            return found and all(found[2].get(p, 0) >= end for p, end in ends.items())
        wait_for(f"the cut {ends}", there, seconds)

    def prove(self):
        prove(self.services, self.environment, self.topic, self.name, self.tables)

    # --- the search job -----------------------------------------------------------------------------------------------
    def search_cut(self):
        """The job's cut; None before there is one, and while Elasticsearch is away."""
        try:
            return cut_of(newest_controls(self.elasticsearch, self.name))
        except Failure:
            return None

    def settle_search(self, seconds=120):
        """Everything that is in the topic now is in Elasticsearch."""
        ends = {int(p): end for p, end in self.ends().items()}

        def there():
            cut = self.search_cut()
            return cut is not None and all(cut.get(p, 0) >= end for p, end in ends.items())
        wait_for(f"the search job's cut {ends}", there, seconds)

    def prove_search(self, dead=(), rows=True, counted=True, index=None):
        """dead: keys with a letter. rows: compare with PostgreSQL, too. counted: its writers were the same all the time."""
        controls, index = control_documents(self.elasticsearch, self.name), index or self.name
        records = prove_documents(self.elasticsearch, self.services.brokers, self.topic, index, cut_of(controls), dead)
        if rows:
            prove_like_rows(self.elasticsearch, index, self.url, dead)
        for name, control in controls.items():
            n = control["counters"]
            if n["consumed"] != n["accepted"] + n["dead"]:
                raise Failure(f"{name}: its counters do not add up: {n}")
        if counted:
            must_be("documents that came to the writers", sum(c["counters"]["consumed"] for c in controls.values()), records)
        audit(dict(self.environment, ELASTICSEARCH_URL=self.elasticsearch.url), "--job", "search")


def must_be(what, found, wanted):
    if found != wanted:
        raise Failure(f"{what}: {found!r} instead of {wanted!r}")


def run_cases(cases, kind=Services):
    """Each case gets services, a folder, and a maker of jobs whose processes are ended after it. argv: names of cases."""
    passed = failed = 0
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that started us in the background had it ignored
    with private_services(kind) as (folder, services):
        for case in cases:
            if sys.argv[1:] and case.__name__ not in sys.argv[1:]:
                continue
            began, jobs = time.monotonic(), []

            def job(**more):
                jobs.append(Job(folder, services, f"{case.__name__}_{len(jobs)}"[:60].strip("_"), **more))
                return jobs[-1]
            try:
                case(job)
                passed += 1
                print(f"  {case.__name__}: ok ({time.monotonic() - began:.1f} s)", flush=True)
            except Exception as failure:
                failed += 1
                text = str(failure) if isinstance(failure, Failure) else traceback.format_exc()
                print(f"  {case.__name__}: FAILED\n{text}\n" + "\n".join(each.logs() for each in jobs), flush=True)
            finally:
                for each in jobs:
                    each.end()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0
