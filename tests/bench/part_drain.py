"""A backlog drained, beside a bare COPY of the same rows; latency, beside a bare commit; both without checkpoints and with.

Absolute times depend on the machine: read the ratios, the CPU-seconds and the shape of the curves.
"""
import io, statistics, time

import psycopg2
from confluent_kafka import Consumer

from bed import Peak, Watch, cpu_of, latency_of, middle_of, show, wait_for
COLUMNS = ("transaction_id product_id product_name product_category product_price product_quantity product_brand "
           "total_amount currency customer_id transaction_date payment_method").split()
BATCH = 2500


LATENCY_RUNS = 3  # of each


class Drain:
    def __init__(self, bed):
        self.bed = bed

    def once(self, topic, records, interval="5s", keep=None):
        """From the first commit's attempt to the last record's commit. keep: is called with the job at the end."""
        self.bed.settle_database()
        with self.bed.job(topic, interval) as job:
            job.init()
            watch, peak = Watch(job.url), Peak(job)
            for name in ("coordinator", "ingest-0", "aggregator-0", "sink"):
                job.start(name)
            wait_for("the start", watch.started, 60)
            began = time.monotonic()
            with peak:
                wait_for("the drain", lambda: watch.consumed() >= records, 3000)
            took = time.monotonic() - began
            result = {"records": records, "rate": records / took, "interval": interval,
                      "backend": sum(cpu_of(pid) for pid in watch.backends()) / records * 1e6,
                      "cpu": {k: v / records * 1e6 for k, v in job.cpu().items()}, "pss": peak.most}
            if keep is not None:
                result.update(keep(job, watch))
            watch.close()
        return result

    def rows_of(self, url, topic, records):
        """The rows in the order of the log, as a plain consumer would copy them (the table holds them sorted by key)."""
        out = io.StringIO()
        connection = psycopg2.connect(url)
        connection.cursor().copy_expert(f"COPY transactions ({', '.join(COLUMNS)}) TO STDOUT", out)
        connection.close()
        rows = {line.split("\t", 1)[0]: line for line in out.getvalue().splitlines(keepends=True)}
        consumer = Consumer({"bootstrap.servers": self.bed.services.brokers, "group.id": "floor", "auto.offset.reset": "earliest",
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

    def latency(self, topic, rate, seconds, interval):
        """From the moment a record is made to the commit of its row; the first three seconds do not count."""
        self.bed.settle_database()
        self.bed.services.topic(topic, 4)
        with self.bed.job(topic, interval) as job:
            for name in ("coordinator", "ingest-0", "aggregator-0", "sink"):
                job.start(name)
            job.wait_live(60)
            before, began = sum(job.cpu().values()), time.time()
            self.bed.produce(topic, "--rate", rate, "--seconds", seconds, "--seed", 5).wait()
            time.sleep(1)
            cpu = sum(job.cpu().values()) - before
            found = latency_of(job.url, (began + 3, time.time()))
            return dict(found, rate=rate, cpu=cpu / (rate * seconds) * 1e6, fsync=self.fsync_floor(job.url))

    def latencies(self, name, rate, interval):
        runs = []
        for n in range(1 if self.bed.quick else LATENCY_RUNS):
            runs.append(self.latency(f"{name}-{n}", rate, 5 if self.bed.quick else self.bed.arguments.seconds, interval))
            show(f"latency at {rate}/s, {interval}", f"p50 {runs[-1]['p50']:.1f}, p99 {runs[-1]['p99']:.1f}, p99.9 {runs[-1]['p999']:.1f} ms; fsync "
                 f"p50 {runs[-1]['fsync']['p50']:.1f}, p99 {runs[-1]['fsync']['p99']:.1f} ms")
        return middle_of(runs)


def tell(name, drain):
    show(name, f"{drain['rate']:,.0f} records/s, ours {sum(drain['cpu'].values()):.2f}, backend {drain['backend']:.1f} CPU-s per million, "
         f"PSS {sum(drain['pss'].values()):.0f} MB")
    return drain


def measure(bed):
    drain, records = Drain(bed), bed.arguments.records
    for partitions in (1, 4, 16):
        bed.backlog(f"backlog{partitions}", partitions, records, 9)
    held = {}

    def rows(job, _):
        held["batches"], held["rows"] = drain.rows_of(job.url, "backlog4", records)
        return {"floor": drain.copy_floor(job.url, held["batches"], held["rows"])}

    def floor(job, _):
        return {"floor": drain.copy_floor(job.url, held["batches"], held["rows"])}
    warm = drain.once("backlog4", records, "1d", rows)  # warms up, and gives the rows for the floor
    results = {"records": records, "drains": {}, "without": tell("drain, no checkpoints", drain.once("backlog4", records, "1d", floor))}
    for partitions in (4, 1, 16):
        results["drains"][str(partitions)] = tell(f"drain, {partitions} partitions", drain.once(
            f"backlog{partitions}", records, keep=floor if partitions == 4 else None))
    results["floors"] = [warm["floor"], results["without"].pop("floor"), results["drains"]["4"].pop("floor")]
    for each in results["floors"]:
        show("COPY floor", f"{each['rate']:,.0f} rows/s, {each['backend']:.1f} backend CPU-s per million")
    bed.backlog("backlog-large", 4, 4 * records, 10)
    results["large"] = tell("drain, four times as many", drain.once("backlog-large", 4 * records))
    results["latency"] = {interval: [drain.latencies(f"live-{interval}-{rate}", rate, interval) for rate in (1000, 5000, 10000)]
                          for interval in ("1d", "5s")}
    return results
