"""The demo: a live view of the totals, a kill -9 on the way, and the proof at the end. See scripts/demo."""
import argparse, json, os, re, shutil, signal, subprocess, sys, tempfile, time
from pathlib import Path

import psycopg2

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/bin"))
TESTS = ROOT / "tests/integration"
sys.path.insert(0, str(TESTS))
from documents import cut_of, newest_controls, prove_documents, prove_like_rows
from services import Elasticsearch, Failure

RATE, RATE_REAL, RECORDS_EMBEDDED = 400, 2_000, 30_000  # the embedded broker keeps 5 MiB a partition
JOB, TOPIC, INDEX = "ecommerce-transactions", "financial_transactions", "transactions"
PLAIN = not sys.stdout.isatty() or "NO_COLOR" in os.environ
VIEW = """SELECT f.attempt || '.' || f.epoch, f.counters, extract(epoch FROM now() - f.committed_at),
    (SELECT count(*) FROM transactions), (SELECT coalesce(sum(total_amount), 0) FROM transactions),
    (SELECT coalesce(sum(total_sales), 0) FROM sales_per_category), (SELECT coalesce(sum(total_sales), 0) FROM sales_per_day),
    (SELECT coalesce(sum(total_sales), 0) FROM sales_per_month),
    (SELECT json_agg(x) FROM (SELECT category, sum(total_sales)::text AS total FROM sales_per_category GROUP BY 1 ORDER BY 1) x),
    (SELECT json_agg(x) FROM (SELECT transaction_date::text AS day, total_sales::text AS total FROM sales_per_day
        ORDER BY 1 DESC LIMIT 3) x),
    (SELECT percentile_disc(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY ms) FROM (SELECT 1000 * extract(epoch FROM
        pg_xact_commit_timestamp(xmin) - transaction_date AT TIME ZONE 'UTC') AS ms FROM transactions
        WHERE created_at > now() AT TIME ZONE current_setting('TimeZone') - interval '3 s') l)
    FROM sluice.frontier f WHERE cut IS NOT NULL"""


NEWEST = {"query": {"match_all": {}}, "sort": [{"transaction_date": "desc"}]}
TWICE = {"size": 0, "aggs": {"twice": {"terms": {"field": "transaction_id.keyword", "min_doc_count": 2}}}}


def line_of(hit):
    document = hit["_source"]
    return f"  {document['transaction_date']}  {hit['_id']}  {document['product_category']:<12} {document['total_amount']:>12,}"


def say(text):
    print(text if PLAIN else f"\033[1m==>\033[0m {text}", flush=True)


class Demo:
    def __init__(self, arguments):
        self.arguments, self.producer = arguments, None
        self.folder = Path(tempfile.mkdtemp(prefix="sluice-demo-"))
        self.folder.chmod(0o755)
        self.killed, self.snapshots, self.unequal, self.height = None, 0, 0, 0
        self.elasticsearch = Elasticsearch(self.folder) if arguments.real else None

    def call(self, *words, check=True, **more):
        done = subprocess.run([str(w) for w in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env=self.environment(), **more)
        if check and done.returncode != 0:
            raise SystemExit(f"{' '.join(map(str, words))} ended with {done.returncode}\n{done.stdout}")
        return done.stdout.strip()

    def environment(self):
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "SLUICE_", "CHECKPOINT_DIR", "ELASTICSEARCH_"))}
        environment["SLUICE_BIN"] = str(BIN)
        if hasattr(self, "url"):
            environment["DATABASE_URL"] = self.url
        if hasattr(self, "brokers"):
            environment["KAFKA_BOOTSTRAP_SERVERS"] = self.brokers
        if self.elasticsearch and self.elasticsearch.url:
            environment["ELASTICSEARCH_URL"] = self.elasticsearch.url
        return environment

    # --- what runs ----------------------------------------------------------------------------------------------------
    def start(self):
        say("a private PostgreSQL")
        self.call(TESTS / "postgres.sh", "start", self.folder / "pg")
        self.url = self.call(TESTS / "postgres.sh", "url", self.folder / "pg").splitlines()[-1]
        if self.arguments.real:
            say("a real Kafka broker")
            self.call(TESTS / "kafka/kafka.sh", "start", self.folder / "kafka")
            self.brokers = "127.0.0.1:" + self.call(TESTS / "kafka/kafka.sh", "port", self.folder / "kafka").splitlines()[-1]
            self.call(TESTS / "kafka/kafka.sh", "topic", self.folder / "kafka", TOPIC, 4)
            say("a real Elasticsearch")
            self.elasticsearch.start()
            self.produce("--rate", RATE_REAL)
        else:
            say("the producer, which is the Kafka broker, too (in memory)")
            self.produce("--embedded-broker", "--broker-file", self.folder / "broker", "--rate", RATE,
                         "--count", RECORDS_EMBEDDED)
            deadline = time.monotonic() + 10
            while not (self.folder / "broker").exists():
                if time.monotonic() > deadline or self.producer.poll() is not None:
                    raise SystemExit("the embedded broker did not come up:\n" + (self.folder / "producer.log").read_text())
                time.sleep(0.05)
            self.brokers = (self.folder / "broker").read_text().strip()
        say("the pipeline, under supervisord")
        self.call(ROOT / "scripts/up", "--config", self.pipeline_file(), "--run-dir", self.folder / "run", "--ingest", 1,
                  "--aggregators", 1)

    def pipeline_file(self):
        """The shipped one; the embedded broker answers an empty fetch only after the whole wait, so that is made short."""
        text = (ROOT / "compose/pipeline.yaml").read_text()
        if not self.arguments.real:
            text = re.sub(r'(\n +)(group\.id: )', r'\1fetch.wait.max.ms: 5\1\2', text, count=1)
        (self.folder / "pipeline.yaml").write_text(text)
        return self.folder / "pipeline.yaml"

    def produce(self, *options):
        log = open(self.folder / "producer.log", "wb")
        words = [BIN / "sluice-producer", *options, "--seconds", self.arguments.seconds, "--seed", os.getpid(), "--duplicates", 3,
                 "--conflicts", 1, "--poison", 1, "--quiet"]
        self.producer = subprocess.Popen([str(w) for w in words], env=self.environment(), stdout=log, stderr=log,
                                         start_new_session=True)

    def stop(self):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.call(ROOT / "scripts/down", "--run-dir", self.folder / "run", check=False)
        if self.producer and self.producer.poll() is None:
            self.producer.terminate()
            try:
                self.producer.wait(5)
            except subprocess.TimeoutExpired:
                self.producer.kill()
                self.producer.wait()
        if self.arguments.real:
            self.call(TESTS / "kafka/kafka.sh", "stop", self.folder / "kafka", "--kill", check=False)
            self.elasticsearch.end()
        self.call(TESTS / "postgres.sh", "stop", self.folder / "pg", "immediate", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def status(self, job):
        environment = dict(self.environment())
        for line in (self.folder / "run/env").read_text().splitlines():
            match = re.match(r"(?:export )?([A-Z_]+)='?(.*?)'?$", line)
            if match:
                environment[match[1]] = match[2]
        done = subprocess.run([str(BIN / "sluicectl"), "status", "--job", job, "-o", "json"], env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True)
        return json.loads(done.stdout) if done.stdout else None

    # --- what one sees ------------------------------------------------------------------------------------------------
    def look(self, cursor):
        cursor.execute(VIEW)
        return cursor.fetchone()

    def kill(self):
        """An aggregator, and of the search job the one who writes."""
        killed = []
        for job, process in (("totals", "aggregator"), ("search", "sink"))[:1 + bool(self.elasticsearch)]:
            for worker in (self.status(job) or {"workers": []})["workers"]:
                if worker["process"] == process and worker["actors"]:
                    os.kill(worker["pid"], signal.SIGKILL)
                    killed.append(f"{worker['pid']} ({process}: {worker['actors']})")
                    break
        self.killed = f"kill -9 {', '.join(killed)}" if killed else None

    def search_lines(self, rows):
        """What Elasticsearch shows at the moment: it makes documents visible once a second."""
        if not self.elasticsearch:
            return []
        try:
            answer = self.elasticsearch.ask("POST", f"/{INDEX}/_search", {"size": 3, "track_total_hits": True, **NEWEST}, missing={"hits": {"hits": []}})
        except Failure:
            return ["Elasticsearch does not answer"]
        hits = answer["hits"]
        lines = [f"{hits.get('total', {'value': 0})['value']:,} documents in Elasticsearch, {rows:,} rows in PostgreSQL"]
        if not PLAIN:
            lines += ["", *map(line_of, hits["hits"]), *[""] * (3 - len(hits["hits"])), ""]
        return lines

    def draw(self, view, rate, left):
        epoch, counters, age, rows, amount, category, day, month, categories, days, latency = view
        equal = amount == category == day == month
        self.snapshots += 1
        self.unequal += not equal
        lines = [f"epoch {epoch}   {rate:,.0f} records/s   latency p50 {latency[0]:.0f} ms, p99 {latency[1]:.0f} ms" if latency
                 else f"epoch {epoch}   committed {float(age):.1f} s ago",
                 "consumed {consumed:,} = accepted {accepted:,} + duplicates {duplicates:,} + conflicts {conflicts:,} + dead {dead:,}"
                 .format(**{k: counters.get(k, 0) for k in ("consumed", "accepted", "duplicates", "conflicts", "dead")})]
        if not PLAIN:
            lines += [""] + [f"  {c['category']:<12} {float(c['total']):>18,.2f}" for c in categories or []]
            lines += [""] + [f"  {d['day']:<12} {float(d['total']):>18,.2f}" for d in days or []] + [""]
        lines.append(f"{rows:,} rows add up to {amount:,}; by category, day and month: "
                     + ("the same" if equal else f"NOT THE SAME: {category}, {day}, {month}"))
        lines += self.search_lines(rows)
        lines.append(f"{self.killed or 'a process is about to be killed'}   {max(0, left):.0f} s left")
        if PLAIN:
            print(" | ".join(lines), flush=True)
            return
        if self.height:
            print(f"\033[{self.height}F", end="")
        print("\n".join(f"{line}\033[K" for line in lines), flush=True)
        self.height = len(lines)

    def watch(self):
        connection = psycopg2.connect(self.url)
        connection.autocommit = True
        cursor = connection.cursor()
        began, drawn, seen = time.monotonic(), 0, []
        while (left := began + self.arguments.seconds - time.monotonic()) > 0:
            view = self.look(cursor)
            now = time.monotonic()
            if view:
                seen = [s for s in seen if s[0] > now - 3] + [(now, view[1].get("consumed", 0))]
                rate = (seen[-1][1] - seen[0][1]) / (now - seen[0][0]) if len(seen) > 1 else 0
                if now - drawn >= (2 if PLAIN else 0.2):
                    self.draw(view, rate, left)
                    drawn = now
            if self.killed is None and left < self.arguments.seconds / 2:
                self.kill()
            time.sleep(0.1)
        connection.close()

    def settle(self):
        """The producer has sent for as long as it was told to; the rest is consumed."""
        connection = psycopg2.connect(self.url)
        connection.autocommit = True
        cursor = connection.cursor()
        cut, since, deadline = None, time.monotonic(), time.monotonic() + 60
        while time.monotonic() < deadline and time.monotonic() - since < 1.5:
            cursor.execute("SELECT cut::text FROM sluice.frontier")
            found = cursor.fetchone()[0]
            if found != cut:
                cut, since = found, time.monotonic()
            time.sleep(0.1)
        cursor.execute("SELECT cut FROM sluice.frontier")
        whole = {int(p): offset for p, offset in cursor.fetchone()[0].items()}
        connection.close()
        while self.elasticsearch and time.monotonic() < deadline and self.search_cut() != whole:
            time.sleep(0.1)

    def search_cut(self):
        try:
            return cut_of(newest_controls(self.elasticsearch, JOB))
        except Failure:
            return None

    def prove(self):
        say("the proof: a checker that shares no code with the pipeline reads topic and tables")
        done = subprocess.run([str(TESTS / "checker.py"), "--brokers", self.brokers, "--database", self.url, "--whole"], env=self.environment())
        return done.returncode == 0 and (not self.elasticsearch or self.prove_documents())

    def prove_documents(self):
        """And the queries that one knows."""
        url = f"{self.elasticsearch.url}/{INDEX}"
        say(f"curl {url}/_count")
        print(f"  {self.elasticsearch.count(INDEX):,} documents")
        say(f"curl {url}/_search, the newest three")
        for hit in self.elasticsearch.search(INDEX, {"size": 3, **NEWEST})["hits"]["hits"]:
            print(line_of(hit))
        say(f"curl {url}/_search, transactions that are there twice")
        print(f"  {self.elasticsearch.search(INDEX, TWICE)['aggregations']['twice']['buckets']}")
        say("the same proof of the documents, from the topic and from the rows")
        try:
            prove_documents(self.elasticsearch, self.brokers, TOPIC, INDEX, self.search_cut())
            prove_like_rows(self.elasticsearch, INDEX, self.url)
        except Failure as failure:
            print(f"  {failure}")
            return False
        print("  every document is as it has to be, and no other is there")
        return True


def main():
    parser = argparse.ArgumentParser(prog="demo")
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--real", action="store_true")
    demo = Demo(parser.parse_args())
    code = 1
    try:
        demo.start()
        demo.watch()
        demo.settle()
        proved = demo.prove()
        if demo.killed is None:
            say("no process could be killed")
        say(f"{demo.snapshots} snapshots drawn, {demo.unequal} with totals that differ from the rows; "
            + ("proved" if proved else "NOT proved"))
        code = 0 if proved and demo.killed and not demo.unequal else 1
    except Failure as failure:
        print(failure)
    except KeyboardInterrupt:
        say("ended")
        code = 130
    finally:
        demo.stop()
    return code


if __name__ == "__main__":
    sys.exit(main())
