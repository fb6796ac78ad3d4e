#!/usr/bin/python3
"""Attacks a deployed pipeline for as long as asked, and proves after every round that the numbers are right.

A round is a topic, a database and a deployment of its own under supervisord, with real Kafka and PostgreSQL. The pipeline's settings
and the schedule (which faults, in which order, with which parameters) follow from the seed; the moments at which they strike do not.
"""
import argparse, json, random, signal, sys, threading, time, traceback
from pathlib import Path

from bed import Bed, Failure, HERE, ProxiedServices, has_crash_points, private_services
from faults import FAULTS
import settings

ROUND_MINUTES = 12
AUDIT_EVERY = 40  # faults


def say(text):
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


class Deck:
    """Every fault as often as its share, shuffled; then again."""

    def __init__(self, rng, names, faults=FAULTS):
        self.rng, self.names, self.faults, self.cards = rng, names, faults, []

    def draw(self):
        if not self.cards:
            self.cards = [name for name in sorted(self.names) for _ in range(self.faults[name].share)]
            self.rng.shuffle(self.cards)
        return self.faults[self.cards.pop()]


def strike(bed, fault, rng):
    """One fault, its end, and what was seen of it."""
    fence, began = bed.watch.fence, time.monotonic()
    second = None
    if rng.random() < 0.15:  # one more blow while the first is felt
        victim = rng.choice(("coordinator", "ingest", "aggregator", "sink"))
        second = threading.Timer(rng.uniform(0, 1.5), FAULTS[f"kill_{victim}"].run, (bed, random.Random(rng.random())))
        second.start()
    try:
        detail = fault.run(bed, rng)
    finally:
        if second:
            second.join()
    healed = time.monotonic()
    bed.await_attempt(began, 2.5 if fault.group == "kill -9" else 0.3)
    after = bed.await_progress(healed, fault.limit, fault.over) - healed
    time.sleep(rng.choice((rng.uniform(0, 0.3), rng.uniform(0.3, 3))))
    found = {"fault": fault.name, "lasted": round(healed - began, 3), "after": round(after, 3), "stall": round(bed.watch.stall(began), 3),
             "attempts": bed.watch.fence - fence, "with_kill": bool(second), **({"at": detail} if detail else {})}
    bed.check()
    if fault.audited:
        bed.audit()
    return found


def run_round(folder, services, seed, seconds, arguments, results):
    drawn = settings.draw(seed)
    bed, kept = Bed(folder, services, seed, arguments.rate, drawn.items()), None
    begin = time.monotonic()
    found = {"seed": seed, "settings": settings.text_of(drawn), "forgetful": settings.is_forgetful(seed), "faults": [], "audits": 0, "snapshots": 0,
             "records": 0, "mounted": bed.mounted}
    results["rounds"].append(found)
    try:
        bed.up()
        bed.await_progress(time.monotonic(), 60)
        say(f"round {seed}: the pipeline runs ({found['settings']}); faults for {seconds:.0f} s")
        deck = Deck(bed.rng, [name for name in arguments.faults if name != "failover" or settings.survives_failover(drawn)])
        while time.monotonic() - begin < seconds:
            fault = deck.draw()
            one = strike(bed, fault, bed.rng)
            found["faults"].append(one)
            say(f"{len(found['faults']):4} {one['fault'] + (' ' + one['at'] if 'at' in one else ''):34} lasted {one['lasted']:5.1f} s, then {one['after']:6.2f} s; "
                f"longest stall {one['stall']:5.2f} s, {one['attempts']} attempts{', and a kill' if one['with_kill'] else ''}")
            if len(found["faults"]) % AUDIT_EVERY == 0:
                bed.audit()
        bed.records.end()
        found["records"] = bed.settle(300 if found["forgetful"] else 90)  # repeats that are late take an attempt each time
        bed.prove()
        bed.down()
        bed.look_for_deaths()
        bed.look_for_leftovers()
        bed.finish_readers()
        found["seconds"] = round(time.monotonic() - begin)
        say(f"round {seed}: {len(found['faults'])} faults, {found['records']:,} records, exact")
    except (Exception, KeyboardInterrupt):
        kept = arguments.output / f"failed-{seed}"
        kept.mkdir(parents=True, exist_ok=True)
        raise
    finally:
        found.update(snapshots=bed.snapshots(), audits=bed.audits)
        bed.close(kept)


def main():
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1, help="of the first round; the next ones follow")
    parser.add_argument("--rate", type=int, default=800, help="records a second")
    parser.add_argument("--faults", metavar="NAME,...", help="only these")
    parser.add_argument("--list", action="store_true", help="print the faults and end")
    parser.add_argument("--output", type=Path, default=Path("/tmp/sluice-chaos"), help="where results, and logs of what failed, go")
    parser.add_argument("--record", action="store_true", help="add the results to those in tests/chaos/RESULTS.md")
    arguments = parser.parse_args()
    if arguments.list:
        for fault in FAULTS.values():
            print(f"{fault.group:12} {fault.name:28} {fault.share} in a deck")
        return 0
    arguments.faults = arguments.faults.split(",") if arguments.faults else list(FAULTS)
    if not has_crash_points():
        say("these programs were built without crash points: that fault is left out")
        arguments.faults = [name for name in arguments.faults if name != "crash_point"]
    for name in arguments.faults:
        if name not in FAULTS:
            parser.error(f"no fault {name}; --list prints them")
    arguments.output.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    results = {"date": time.strftime("%Y-%m-%d"), "rounds": []}
    seed, left, code = arguments.seed, arguments.minutes * 60, 0
    try:
        with private_services(ProxiedServices) as (folder, services):
            while left > 0 and code == 0:
                seconds = min(left, ROUND_MINUTES * 60)
                run_round(folder, services, seed, seconds, arguments, results)
                seed, left = seed + 1, left - seconds
    except KeyboardInterrupt:
        say("interrupted")
        code = 130
    except Exception as failure:
        print(str(failure) if isinstance(failure, Failure) else traceback.format_exc(), flush=True)
        say(f"FAILED in round {seed}; logs are in {arguments.output}/failed-{seed}")
        code = 1
    results["violations"] = int(code == 1)
    (arguments.output / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    import report
    print(report.text_of([results]))
    if arguments.record and code == 0:
        report.add(results, HERE)
    faults = sum(len(r["faults"]) for r in results["rounds"])
    print(f"{faults} faults, {sum(r['snapshots'] for r in results['rounds']):,} snapshots, {results['violations']} violations")
    return code


if __name__ == "__main__":
    sys.exit(main())
