#!/usr/bin/python3
"""kill -9 of every kind of process under load, with a reader that takes snapshots all the time.

In every snapshot: the rows of `transactions` add up to each totals table, the counters add up, there is a letter for every
record that was not accepted, and the cut never goes back. At the end every record that was produced is accounted for.
"""
import json, subprocess, sys, threading, time

import psycopg2

from services import BIN, KINDS, Failure, Pipeline, private_services, wait_for

RECORDS, RATE = 120_000, 8_000


SNAPSHOT = """SELECT cut, counters,
    (SELECT count(*) FROM transactions), (SELECT coalesce(sum(total_amount), 0) FROM transactions),
    (SELECT coalesce(sum(total_sales), 0) FROM sales_per_day),
    (SELECT coalesce(sum(total_sales), 0) FROM sales_per_category),
    (SELECT coalesce(sum(total_sales), 0) FROM sales_per_month),
    (SELECT count(*) FROM dead_letters) FROM sluice.frontier WHERE cut IS NOT NULL"""


class Reader(threading.Thread):
    """One statement sees one snapshot."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url, self.snapshots, self.violations, self.cut, self.over = url, 0, [], {}, False
        self.counters = {}

    def look(self, cursor):
        cursor.execute(SNAPSHOT)
        row = cursor.fetchone()
        if row is None:
            return
        cut, n, rows, amount, day, category, month, letters = row
        n = {k: n.get(k, 0) for k in ("consumed", "accepted", "duplicates", "conflicts", "dead")}
        self.snapshots += 1
        for name, total in (("day", day), ("category", category), ("month", month)):
            if total != amount:
                self.violations.append(f"{cut}: rows add up to {amount}, sales_per_{name} to {total}")
        if rows != n["accepted"] or letters != n["dead"] + n["conflicts"]:
            self.violations.append(f"{cut}: {rows} rows, {letters} letters, counters {n}")
        if n["consumed"] != n["accepted"] + n["duplicates"] + n["conflicts"] + n["dead"]:
            self.violations.append(f"{cut}: counters do not add up: {n}")
        if any(cut.get(p, 0) < o for p, o in self.cut.items()):
            self.violations.append(f"the cut went back from {self.cut} to {cut}")
        self.cut, self.counters = cut, n

    def run(self):
        connection = psycopg2.connect(self.url)
        connection.autocommit = True
        with connection.cursor() as cursor:
            while not self.over:
                try:
                    self.look(cursor)
                except psycopg2.errors.UndefinedTable:
                    time.sleep(0.1)  # not made yet
        connection.close()


def crashes(folder, services):
    pipeline, reader = Pipeline(folder, services), Reader(services.url)
    try:
        for kind in reversed(KINDS):  # in any order: they wait for each other
            pipeline.start(kind)
        reader.start()
        producer = subprocess.Popen([BIN / "sluice-producer", "--count", str(RECORDS), "--rate", str(RATE), "--seed", "7",
                                     "--duplicates", "5", "--conflicts", "2", "--poison", "2", "--quiet"],
                                    env=pipeline.environment, stdout=subprocess.DEVNULL)
        wait_for("the first commit", lambda: reader.counters.get("consumed", 0) > 0, 30)
        for victims in (("sink",), ("aggregator",), ("ingest",), ("coordinator",), ("sink", "ingest"), KINDS):
            before = reader.counters["consumed"]
            for kind in victims:
                pipeline.kill(kind)
            for kind in victims:
                pipeline.start(kind)
            wait_for(f"a commit after kill -9 of {', '.join(victims)}",
                     lambda: reader.counters["consumed"] > before or reader.counters["consumed"] == RECORDS, 30)
            print(f"  killed {', '.join(victims)}: goes on at {reader.counters['consumed']} records", flush=True)
        if producer.wait() != 0:
            raise Failure("the producer did not deliver everything")
        wait_for("all records", lambda: reader.counters["consumed"] >= RECORDS, 60)
        pipeline.stop()
        reader.over = True
        reader.join()
        if reader.violations:
            raise Failure("\n".join(reader.violations[:5]))
        if reader.counters["consumed"] != RECORDS or reader.snapshots < 50:
            raise Failure(f"{reader.counters}, {reader.snapshots} snapshots")
        print(f"  {reader.snapshots} snapshots, no violation; {json.dumps(reader.counters)}", flush=True)
    except Failure as failure:
        raise Failure(f"{failure}\n{pipeline.logs()}")
    finally:
        for process in pipeline.running.values():
            process.kill()
            process.wait()


def main():
    try:
        with private_services() as (folder, services):
            services.topic("financial_transactions", 4)
            crashes(folder, services)
    except Failure as failure:
        print(failure)
        print("0 passed, 1 failed")
        return 1
    print("1 passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
