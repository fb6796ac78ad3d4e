#!/usr/bin/python3
"""Attacks a deployed pipeline for as long as asked, and proves after every round that the numbers are right.

A round is a topic, a database and a deployment of its own under supervisord, with real Kafka and PostgreSQL. The pipeline's settings
and the schedule (which faults, in which order, with which parameters) follow from the seed; the moments at which they strike do not.
"""
import random, sys, threading, time

from bed import Bed, ProxiedServices, has_crash_points
from faults import FAULTS
from rounds import Deck, folder_of_failed, read_arguments, run_rounds, say
import settings

ROUND_MINUTES = 12
AUDIT_EVERY = 40  # faults


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


def run_round(folder, services, seed, seconds, arguments, found):
    drawn = settings.draw(seed)
    bed, kept = Bed(folder, services, seed, arguments.rate, drawn.items()), None
    begin = time.monotonic()
    found.update(settings=settings.text_of(drawn), forgetful=settings.is_forgetful(seed), mounted=bed.mounted)
    try:
        bed.up()
        bed.await_progress(time.monotonic(), 60)
        say(f"round {seed}: the pipeline runs ({found['settings']}); faults for {seconds:.0f} s")
        deck = Deck(bed.rng, [name for name in arguments.faults if name != "failover" or settings.survives_failover(drawn)], FAULTS)
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
        kept = folder_of_failed(arguments, seed)
        raise
    finally:
        found.update(snapshots=bed.snapshots(), audits=bed.audits)
        bed.close(kept)


def main():
    arguments = read_arguments("chaos", __doc__, FAULTS, lambda fault: f"{fault.group:12} {fault.name:28} {fault.share} in a deck")
    if not arguments:
        return 0
    if not has_crash_points():
        say("these programs were built without crash points: that fault is left out")
        arguments.faults = [name for name in arguments.faults if name != "crash_point"]
    return run_rounds(arguments, ProxiedServices, run_round, ROUND_MINUTES)


if __name__ == "__main__":
    sys.exit(main())
