"""What the tests and the benchmark share: private Kafka, PostgreSQL and Elasticsearch, and the pipeline's processes beside them."""
import json, os, shutil, signal, subprocess, tempfile, time, urllib.error, urllib.parse, urllib.request
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from ports import take_port

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/bin"))
HERE = ROOT / "tests/integration"
KINDS = ("coordinator", "ingest", "aggregator", "sink")


class Failure(Exception):
    pass


def call(*words):
    done = subprocess.run([str(w) for w in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise Failure(f"{words}: exit {done.returncode}\n{done.stdout}")
    return done.stdout.strip()


class Services:
    """A private Kafka and PostgreSQL under one folder."""

    def __init__(self, folder):
        self.kafka, self.postgres = folder / "kafka", folder / "pg"

    def start(self):
        call(HERE / "kafka/kafka.sh", "start", self.kafka)
        call(HERE / "postgres.sh", "start", self.postgres)
        self.brokers = "127.0.0.1:" + call(HERE / "kafka/kafka.sh", "port", self.kafka).splitlines()[-1]
        self.url = call(HERE / "postgres.sh", "url", self.postgres).splitlines()[-1]

    def topic(self, name, partitions):
        call(HERE / "kafka/kafka.sh", "topic", self.kafka, name, partitions)

    @staticmethod
    def end(consumer, partition, seconds):
        deadline = time.monotonic() + seconds
        while True:
            try:
                return consumer.get_watermark_offsets(partition, seconds)[1]
            except KafkaException as failure:  # of a topic that was just made: no leader, or another one
                error = failure.args[0]
                passes = error.retriable() or error.code() == KafkaError.NOT_LEADER_FOR_PARTITION
                if not passes or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def ends(self, topic, seconds=10):
        """The next offset of each partition."""
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": "tests"})
        try:
            partitions = consumer.list_topics(topic, seconds).topics[topic].partitions
            return {str(p): self.end(consumer, TopicPartition(topic, p), seconds) for p in partitions}
        finally:
            consumer.close()

    def stop(self):
        for words in ((HERE / "kafka/kafka.sh", "stop", self.kafka, "--kill"),
                      (HERE / "postgres.sh", "stop", self.postgres, "immediate")):
            subprocess.run([str(w) for w in words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Elasticsearch:
    """A private node under a folder. Tests that need one start it, and stop it whatever happens; with it, the data are gone."""
    # One request at a time is worked on, one waits, any other is refused: items inside a response, or a whole request.
    QUEUE_OF_ONE = ("thread_pool.write.queue_size=1", "node.processors=1", "indexing_pressure.memory.limit=2mb")

    def __init__(self, folder):
        self.folder, self.url = folder / "elasticsearch", None

    def script(self, verb, *words):
        return call(HERE / "elasticsearch/elasticsearch.sh", verb, self.folder, *words)

    @staticmethod
    def missing():
        """Why there can be none on this machine; None where there can."""
        absent = [name for name in ("java", "javac", "mvn") if shutil.which(name) is None]
        return f"no {', '.join(absent)}: scripts/deps --with-services installs what runs Elasticsearch" if absent else None

    def start(self, *settings):
        """Also again, on the same data and port. settings: "name=value", for this start only."""
        self.script("start", *(word for setting in settings for word in ("-E", setting)))
        self.url = self.script("url").splitlines()[-1]
        return self

    def stop(self):
        self.script("stop")

    def kill(self):
        """As a crash would."""
        self.script("stop", "--kill")

    def restart(self, *settings):
        self.stop()
        return self.start(*settings)

    def freeze(self):
        """Its connections stay, and nobody answers on them."""
        os.kill(int(self.script("pid")), signal.SIGSTOP)

    def thaw(self):
        os.kill(int(self.script("pid")), signal.SIGCONT)

    def end(self):
        subprocess.run([str(HERE / "elasticsearch/elasticsearch.sh"), "stop", str(self.folder), "--kill"],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- its contents -------------------------------------------------------------------------------------------------
    def ask(self, method, path, body=None, missing=None):
        """The answer, with Decimal for numbers that have a point. missing: what stands for an index or document that is not
        there; otherwise that is a failure."""
        request = urllib.request.Request(self.url + path, None if body is None else json.dumps(body).encode(),
                                         {"content-type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer, parse_float=Decimal)
        except urllib.error.HTTPError as error:
            if error.code == 404 and missing is not None:
                return missing
            raise Failure(f"{method} {path}: {error.code} {error.read().decode(errors='replace')[:500]}")
        except OSError as error:
            raise Failure(f"{method} {path}: {error}")

    def refresh(self, index):
        """What was accepted until now can be found from now on."""
        self.ask("POST", f"/{index}/_refresh?allow_no_indices=true&ignore_unavailable=true")

    def count(self, index):
        self.refresh(index)
        return self.ask("GET", f"/{index}/_count", missing={"count": 0})["count"]

    def search(self, index, body):
        self.refresh(index)
        return self.ask("POST", f"/{index}/_search", body)

    def get(self, index, name):
        """_source of one document, also without a refresh; None where it is not there."""
        return self.ask("GET", f"/{index}/_doc/{urllib.parse.quote(name, safe='')}", missing={}).get("_source")

    def documents(self, index):
        """Every document: _id to _source."""
        self.refresh(index)
        page, found = self.ask("POST", f"/{index}/_search?scroll=1m", {"size": 5000, "sort": ["_doc"]}, missing={"hits": {"hits": []}}), {}
        while page["hits"]["hits"]:
            found.update((hit["_id"], hit["_source"]) for hit in page["hits"]["hits"])
            page = self.ask("POST", "/_search/scroll", {"scroll": "1m", "scroll_id": page["_scroll_id"]})
        if "_scroll_id" in page:
            self.ask("DELETE", "/_search/scroll", {"scroll_id": page["_scroll_id"]})
        return found

    def block(self, index, how, on=True):
        """how: read_only_allow_delete, as a disk that is nearly full does (answers 429); write or read_only, as a person does (403)."""
        self.ask("PUT", f"/{index}/_settings", {f"index.blocks.{how}": True if on else None})


class Pipeline:
    def __init__(self, folder, services, config=ROOT / "compose/pipeline.yaml", url=None):
        self.folder, self.running = folder, {}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ELASTICSEARCH_")}
        self.environment = dict(inherited, KAFKA_BOOTSTRAP_SERVERS=services.brokers, DATABASE_URL=url or services.url,
                                CHECKPOINT_DIR=str(folder / "checkpoints"),
                                STATE_DIR=str(folder / "state"), SLUICE_COORDINATOR=f"tcp://127.0.0.1:{take_port()}",
                                SLUICE_CONFIG=str(config), SLUICE_LOG_FORMAT="text")

    def start(self, kind):
        log = open(self.folder / f"{kind}.log", "ab")
        words = [str(BIN / f"sluice-{kind}")]
        if kind == "coordinator":
            words += ["--expect-ingest", "1", "--expect-aggregators", "1"]
        self.running[kind] = subprocess.Popen(words, env=self.environment, stdout=log, stderr=log)

    def kill(self, kind):
        process = self.running.pop(kind)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def stop(self):
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise Failure("a process did not end within ten seconds of SIGTERM")
        self.running = {}

    def logs(self):
        return "\n".join(f"--- {kind}\n" + "\n".join((self.folder / f"{kind}.log").read_text().splitlines()[-15:])
                         for kind in KINDS if (self.folder / f"{kind}.log").exists())


def wait_for(what, condition, seconds, pause=0.05):
    """Asks more and more rarely, for a question costs those who work as much as who asks."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {seconds} s")
        time.sleep(pause)
        pause = max(pause, min(1.2 * pause, 0.3))


def prove(services, environment, topic="financial_transactions", pipeline=None, tables=""):
    """Everything in the topic, and nothing else, is in the database: say a checker in another language, and the audit."""
    said = call(HERE / "checker.py", "--brokers", services.brokers, "--database", environment["DATABASE_URL"], "--topic", topic, "--whole",
                *(("--job", f"{pipeline}/totals") if pipeline else ()), "--tables", tables)
    return said + audit(environment)


def audit(environment, *words):
    """Of the totals, unless words say otherwise."""
    names = ("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "CHECKPOINT_DIR", "SLUICE_CONFIG", *(("ELASTICSEARCH_URL",) if words else ()))
    return call("env", *(f"{name}={environment[name]}" for name in names), BIN / "sluicectl", "audit", *words)


@contextmanager
def private_services(kind=Services):
    """Services under a folder of their own; both are gone afterwards, whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-"))
    folder.chmod(0o755)
    services = kind(folder)
    try:
        services.start()
        yield folder, services
    finally:
        services.stop()
        shutil.rmtree(folder, ignore_errors=True)
