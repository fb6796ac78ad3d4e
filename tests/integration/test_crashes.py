#!/usr/bin/python3
"""kill -9 of every kind of process under load, with a reader that takes snapshots all the time.

In every snapshot: the rows of `transactions` add up to each totals table, the counters add up, there is a letter for every
record that was not accepted, and the cut never goes back. At the end every record that was produced is accounted for.
"""
import json, subprocess, sys

from services import BIN, KINDS, Failure, Pipeline, private_services, prove, wait_for
from snapshots import Reader

RECORDS, RATE = 120_000, 8_000


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
        prove(services, pipeline.environment)
        pipeline.stop()
        reader.finish()
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
