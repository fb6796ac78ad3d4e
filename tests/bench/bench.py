#!/usr/bin/python3
"""The figures of Sluice beside their floors, measured in one run; writes RESULTS.md and a plot.

Absolute times depend on the machine: read the ratios, the CPU-seconds and the shape of the curves.
"""
import argparse, io, json, os, platform, statistics, subprocess, sys, time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
import psycopg2
from confluent_kafka import Consumer
from services import BIN, KINDS, ROOT, Failure, Pipeline, call, private_services, wait_for

TICK = os.sysconf("SC_CLK_TCK")
COLUMNS = ("transaction_id product_id product_name product_category product_price product_quantity product_brand "
           "total_amount currency customer_id transaction_date payment_method").split()
BATCH = 2500


def cpu_of(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def pss_of(pid):
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0


class Bench:
    def __init__(self, folder, services, interval):
        self.folder, self.services, self.interval, self.runs = folder, services, interval, 0

    def database(self):
        """A new, empty database with the job's tables."""
        self.runs += 1
        name = f"bench{self.runs}"
        admin = psycopg2.connect(self.services.url)
        admin.autocommit = True
        admin.cursor().execute(f"CREATE DATABASE {name}")
        admin.close()
        return self.services.url.rsplit("/", 1)[0] + "/" + name

    def pipeline(self, topic, url):
        folder = self.folder / f"run{self.runs}"
        folder.mkdir()
        text = (ROOT / "compose/pipeline.yaml").read_text().replace("topic: financial_transactions", f"topic: {topic}")
        text = text.replace("interval: 5s", f"interval: {self.interval}")
        if self.interval == "1d":  # none in a run, however much it reads
            text = text.replace("interval: 1d", "interval: 1d\n  max_records: 1000000000")
        (folder / "pipeline.yaml").write_text(text)
        pipeline = Pipeline(folder, self.services, folder / "pipeline.yaml", url)
        pipeline.topic_name = topic
        return pipeline

    def produce(self, topic, *options):
        call(BIN / "sluice-producer", "--bootstrap", self.services.brokers, "--topic", topic, "--quiet", *options)

    def drain(self, topic, records):
        """A backlog of so many records, from the first commit's attempt to the last record's commit."""
        url = self.database()
        pipeline = self.pipeline(topic, url)
        call("env", f"DATABASE_URL={url}", f"CHECKPOINT_DIR={pipeline.folder}/checkpoints", BIN / "sluicectl", "init",
             "--config", pipeline.environment["SLUICE_CONFIG"])
        connection = psycopg2.connect(url)
        connection.autocommit = True
        cursor = connection.cursor()

        def consumed():
            cursor.execute("SELECT coalesce((counters->>'consumed')::bigint, 0) FROM sluice.frontier")
            return cursor.fetchone()[0]

        def fence():
            cursor.execute("SELECT cut IS NOT NULL FROM sluice.frontier")
            return cursor.fetchone()[0]

        for kind in KINDS:
            pipeline.start(kind)
        try:
            wait_for("the start", fence, 60)
            began = time.monotonic()
            wait_for("the drain", lambda: consumed() >= records, 300)
            took = time.monotonic() - began
            cursor.execute("SELECT pid FROM pg_stat_activity WHERE application_name LIKE '%%-sink-%%' ORDER BY pid")
            backend = sum(cpu_of(pid) for (pid,) in cursor.fetchall())
            result = {"records": records, "rate": records / took, "backend": backend / records * 1e6,
                      "cpu": {k: cpu_of(p.pid) / records * 1e6 for k, p in pipeline.running.items()},
                      "pss": {k: pss_of(p.pid) for k, p in pipeline.running.items()}}
            pipeline.stop()
        except Failure as failure:
            raise Failure(f"{failure}\n{pipeline.logs()}")
        finally:
            for process in pipeline.running.values():
                process.kill()
        connection.close()
        return result, url

    def rows_of(self, url, topic, records):
        """The rows in the order of the log, as a plain consumer would copy them (the table holds them sorted by key)."""
        out = io.StringIO()
        connection = psycopg2.connect(url)
        connection.cursor().copy_expert(f"COPY transactions ({', '.join(COLUMNS)}) TO STDOUT", out)
        connection.close()
        rows = {line.split("\t", 1)[0]: line for line in out.getvalue().splitlines(keepends=True)}
        consumer = Consumer({"bootstrap.servers": self.services.brokers, "group.id": "floor", "auto.offset.reset": "earliest",
                             "enable.auto.commit": False})
        consumer.subscribe([topic])
        lines, seen = [], 0
        while seen < records:
            for message in consumer.consume(10_000, 1.0):
                seen += 1
                line = rows.pop(message.key().decode(), None)
                if line is not None:
                    lines.append(line)
        consumer.close()
        return ["".join(lines[i:i + BATCH]) for i in range(0, len(lines), BATCH)], len(lines)

    def copy_floor(self, url, batches, rows):
        """Text COPY of the same rows into the same table, emptied, a transaction for every 2,500."""
        connection = psycopg2.connect(url)
        cursor = connection.cursor()
        cursor.execute("TRUNCATE transactions")
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
        connection.commit()
        before, began = cpu_of(pid), time.monotonic()
        for batch in batches:
            cursor.copy_expert(f"COPY transactions ({', '.join(COLUMNS)}) FROM STDIN", io.StringIO(batch))
            connection.commit()
        took = time.monotonic() - began
        result = {"rate": rows / took, "backend": (cpu_of(pid) - before) / rows * 1e6}
        connection.close()
        return result

    def fsync_floor(self, url, commits=300):
        connection = psycopg2.connect(url)
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE IF NOT EXISTS fsync_floor (n int)")
        connection.commit()
        times = []
        for n in range(commits):
            cursor.execute("INSERT INTO fsync_floor VALUES (%s)", (n,))
            began = time.monotonic()
            connection.commit()
            times.append((time.monotonic() - began) * 1000)
        connection.close()
        times.sort()
        return {"p50": times[len(times) // 2], "p99": times[int(len(times) * 0.99)]}

    def latency(self, topic, rate, seconds):
        """From the moment a record is made to the commit of its row; the first three seconds do not count."""
        url = self.database()
        pipeline = self.pipeline(topic, url)
        for kind in KINDS:
            pipeline.start(kind)
        try:
            call("env", *(f"{k}={pipeline.environment[k]}" for k in ("DATABASE_URL", "CHECKPOINT_DIR", "SLUICE_COORDINATOR")),
                 BIN / "sluicectl", "status", "--wait", "30", "--config", pipeline.environment["SLUICE_CONFIG"])
            before = sum(cpu_of(p.pid) for p in pipeline.running.values())
            self.produce(topic, "--rate", rate, "--seconds", seconds, "--seed", 5)
            time.sleep(1)
            cpu = sum(cpu_of(p.pid) for p in pipeline.running.values()) - before
            connection = psycopg2.connect(url)
            cursor = connection.cursor()
            cursor.execute("""SELECT count(*), percentile_disc(ARRAY[0.5, 0.9, 0.99, 0.999]) WITHIN GROUP (ORDER BY ms) FROM (
                SELECT 1000 * extract(epoch FROM pg_xact_commit_timestamp(xmin) - transaction_date AT TIME ZONE 'UTC') AS ms
                FROM transactions WHERE transaction_date > (SELECT min(transaction_date) + interval '3 s' FROM transactions)) x""")
            counted, (p50, p90, p99, p999) = cursor.fetchone()
            connection.close()
            pipeline.stop()
        except Failure as failure:
            raise Failure(f"{failure}\n{pipeline.logs()}")
        finally:
            for process in pipeline.running.values():
                process.kill()
        return {"rate": rate, "p50": float(p50), "p90": float(p90), "p99": float(p99), "p999": float(p999),
                "counted": counted, "cpu": cpu / (rate * seconds) * 1e6, "fsync": self.fsync_floor(url)}


def show(step, text):
    print(f"{step:28} {text}", flush=True)


def measure(bench, arguments):
    results = {"records": arguments.records}
    for partitions in (1, 4, 16):
        bench.services.topic(f"backlog{partitions}", partitions)
        bench.produce(f"backlog{partitions}", "--rate", 0, "--count", arguments.records, "--days", 2, "--seed", 9)
    _, url = bench.drain("backlog4", arguments.records)  # warms up, and gives the rows for the floor
    batches, rows = bench.rows_of(url, "backlog4", arguments.records)
    floors = [bench.copy_floor(url, batches, rows)]
    show("COPY floor, before", f"{floors[0]['rate']:,.0f} rows/s, {floors[0]['backend']:.1f} backend CPU-s per million")
    results["drains"] = {}
    for partitions in (4, 1, 16):
        drain, _ = bench.drain(f"backlog{partitions}", arguments.records)
        results["drains"][str(partitions)] = drain
        show(f"drain, {partitions} partitions", f"{drain['rate']:,.0f} records/s, ours {sum(drain['cpu'].values()):.2f}, "
             f"backend {drain['backend']:.1f} CPU-s per million, PSS {sum(drain['pss'].values()):.0f} MiB")
        if partitions == 4:
            floors.append(bench.copy_floor(url, batches, rows))
            show("COPY floor, after", f"{floors[1]['rate']:,.0f} rows/s, {floors[1]['backend']:.1f} backend CPU-s per million")
    results["floors"] = floors
    bench.services.topic("large", 4)
    bench.produce("large", "--rate", 0, "--count", 4 * arguments.records, "--days", 2, "--seed", 10)
    results["large"], _ = bench.drain("large", 4 * arguments.records)
    show("drain, four times as many", f"{results['large']['rate']:,.0f} records/s, ours {sum(results['large']['cpu'].values()):.2f}, "
         f"PSS {sum(results['large']['pss'].values()):.0f} MiB")
    results["latency"] = []
    for rate in (1000, 5000, 10000):
        bench.services.topic(f"live{rate}", 4)
        latency = bench.latency(f"live{rate}", rate, arguments.seconds)
        results["latency"].append(latency)
        show(f"latency at {rate}/s", f"p50 {latency['p50']:.1f}, p99 {latency['p99']:.1f}, p99.9 {latency['p999']:.1f} ms; fsync "
             f"p50 {latency['fsync']['p50']:.1f}, p99 {latency['fsync']['p99']:.1f} ms; {latency['cpu']:.1f} CPU-s per million")
    return results


def report(results):
    four, large = results["drains"]["4"], results["large"]
    floor = statistics.mean(f["rate"] for f in results["floors"])
    floor_cpu = statistics.mean(f["backend"] for f in results["floors"])
    cpu, pss = sum(four["cpu"].values()), sum(four["pss"].values())
    per_key = (sum(large["pss"].values()) - pss) * 1024 * 1024 / (large["records"] - four["records"])
    def verdict(good):
        return "reached" if good else "**missed**"
    lines = ["# Figures", "", f"Printed by `scripts/bench` on {time.strftime('%Y-%m-%d')}: {os.cpu_count()} cores ({platform.machine()}), "
             f"real Kafka and PostgreSQL with default durability on the same machine, {results['records']:,} records of about 400 bytes "
             "over two event days. Absolute times depend on the machine: read ratios and CPU-seconds.", "",
             "![throughput, CPU and latency](results.svg)", "", "| figure | measured | floor of the same run | to reach | |", "| --- | --- | --- | --- | --- |",
             f"| drain of the backlog | {four['rate']:,.0f} records/s | text COPY, 2,500 a transaction: {results['floors'][0]['rate']:,.0f} before, "
             f"{results['floors'][1]['rate']:,.0f} rows/s after | 1.0 times | {four['rate'] / floor:.2f} times, {verdict(four['rate'] >= floor)} |",
             f"| CPU-seconds per million, all processes | {cpu:.2f} ({', '.join(f'{k} {v:.2f}' for k, v in four['cpu'].items())}) | | at most 3.5 | {verdict(cpu <= 3.5)} |",
             f"| PostgreSQL backend's CPU-seconds per million | {four['backend']:.1f} | {floor_cpu:.1f} | | |",
             f"| memory of all processes after 1 million keys (PSS) | {pss:.0f} MiB ({', '.join(f'{k} {v:.0f}' for k, v in four['pss'].items())}) | | below 200 MB | {verdict(pss * 1.048576 < 200)} |",
             f"| bytes per further key | {per_key:.0f} | | | |"]
    for latency in results["latency"]:
        limit = {5000: 30, 10000: 40}.get(latency["rate"])
        lines.append(f"| latency at {latency['rate']:,}/s, p50 / p99 / p99.9 | {latency['p50']:.1f} / {latency['p99']:.1f} / {latency['p999']:.1f} ms "
                     f"| one-row commit p50 {latency['fsync']['p50']:.1f}, p99 {latency['fsync']['p99']:.1f} ms | "
                     + (f"p99 at most {limit} ms | {verdict(latency['p99'] <= limit)} |" if limit else "| |"))
    lines += ["", "## Growth", "", "| records | partitions | records/s | our CPU-s per million | backend's | PSS MiB |", "| --- | --- | --- | --- | --- | --- |"]
    for partitions, drain in [*results["drains"].items(), ("4", large)]:
        lines.append(f"| {drain['records']:,} | {partitions} | {drain['rate']:,.0f} | {sum(drain['cpu'].values()):.2f} | {drain['backend']:.1f} | {sum(drain['pss'].values()):.0f} |")
    lines += ["", "Latency is the commit timestamp of the row's transaction less the moment the producer made the record (its "
              "`transaction_date`), the first three seconds left out.", ""]
    return "\n".join(lines)


def plot(results, path):
    import matplotlib
    matplotlib.use("svg")
    import matplotlib.pyplot as plt
    matplotlib.rcParams["svg.hashsalt"] = "sluice"
    figure, (rate, cpu, latency) = plt.subplots(1, 3, figsize=(13, 3.8))
    cases = [(f"{p} part.", d) for p, d in sorted(results["drains"].items(), key=lambda x: int(x[0]))] + [("4 part.,\n4x records", results["large"])]
    rate.bar([c[0] for c in cases], [c[1]["rate"] / 1000 for c in cases], color="#1565c0")
    rate.axhline(statistics.mean(f["rate"] for f in results["floors"]) / 1000, color="#ef6c00", linestyle="--", label="text COPY, 2,500 rows")
    rate.set_title("drain, thousand records/s")
    rate.legend()
    bottom = [0] * len(cases)
    for kind, colour in zip(KINDS, ("#90a4ae", "#1565c0", "#2e7d32", "#ef6c00")):
        values = [c[1]["cpu"].get(kind, 0) for c in cases]
        cpu.bar([c[0] for c in cases], values, bottom=bottom, label=kind, color=colour)
        bottom = [b + v for b, v in zip(bottom, values)]
    cpu.axhline(3.5, color="#b71c1c", linestyle=":", label="limit")
    cpu.set_title("CPU-seconds per million records")
    cpu.legend()
    rates = [f"{x['rate']:,}/s" for x in results["latency"]]
    for name, colour in (("p99", "#1565c0"), ("p50", "#90caf9")):
        latency.bar(rates, [x[name] for x in results["latency"]], color=colour, label=name)
    latency.plot(rates, [x["fsync"]["p99"] for x in results["latency"]], "o--", color="#ef6c00", label="one-row commit, p99")
    latency.set_title("produce to commit, ms")
    latency.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=15, help="of each latency run")
    parser.add_argument("--interval", default="5s", help="of checkpoints; 1d: none in a run")
    parser.add_argument("--output", type=Path, default=Path(__file__).resolve().parent, help="where RESULTS.md and results.svg go")
    arguments = parser.parse_args()
    try:
        with private_services() as (folder, services):
            results = measure(Bench(folder, services, arguments.interval), arguments)
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    text = report(results)
    print("\n" + text)
    (arguments.output / "RESULTS.md").write_text(text)
    plot(results, arguments.output / "results.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
