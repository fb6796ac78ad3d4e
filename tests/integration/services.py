"""What the tests and the benchmark share: a private Kafka and PostgreSQL, and the pipeline's processes beside them."""
import os, shutil, signal, socket, subprocess, tempfile, time
from contextlib import contextmanager
from pathlib import Path

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

    def stop(self):
        for words in ((HERE / "kafka/kafka.sh", "stop", self.kafka, "--kill"),
                      (HERE / "postgres.sh", "stop", self.postgres, "immediate")):
            subprocess.run([str(w) for w in words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Pipeline:
    def __init__(self, folder, services, config=ROOT / "compose/pipeline.yaml", url=None):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.folder, self.running = folder, {}
        self.environment = dict(os.environ, KAFKA_BOOTSTRAP_SERVERS=services.brokers, DATABASE_URL=url or services.url,
                                CHECKPOINT_DIR=str(folder / "checkpoints"),
                                STATE_DIR=str(folder / "state"), SLUICE_COORDINATOR=f"tcp://127.0.0.1:{port}",
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


def wait_for(what, condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {seconds} s")
        time.sleep(0.05)


def prove(services, environment, topic="financial_transactions"):
    """Everything in the topic, and nothing else, is in the database: say a checker in another language, and the audit."""
    said = call(HERE / "checker.py", "--brokers", services.brokers, "--database", environment["DATABASE_URL"], "--topic", topic, "--whole")
    given = [f"{k}={environment[k]}" for k in ("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "CHECKPOINT_DIR", "SLUICE_CONFIG")]
    return said + call("env", *given, BIN / "sluicectl", "audit")


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
