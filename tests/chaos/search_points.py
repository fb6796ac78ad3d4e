#!/usr/bin/python3
"""Every crash point of the search job (common/base/crash_points.h): a process dies there, the job goes on, and an audit finds nothing.

Wants programs that were built with the preset crash: SLUICE_BIN names their folder. argv: names of points; all, where there are none.
"""
import random, signal, subprocess, sys, time

from bed import BIN, CRASH_POINTS
from crash_points import pass_chosen, wait_hit
from search import SearchBed, SearchServices, search_names
from services import Elasticsearch, audit

RATE = 100
BURST = 10_000  # several epochs
MISSING = 300  # seconds until all is there again


def documents(bed, point, rng):
    wait_hit(bed, point)


def fencing(bed, point, rng):
    bed.signal(rng.sample(search_names(bed, "sink"), 1), signal.SIGKILL)
    wait_hit(bed, point)


def refused(bed, point, rng):
    bed.send_misfits(rng)
    wait_hit(bed, point)


def behind(bed, point, rng):
    """The processes that read and write are gone while the backlog grows."""
    names = search_names(bed)
    bed.signal(names, signal.SIGSTOP)
    subprocess.run([BIN / "sluice-producer", "--bootstrap", bed.services.brokers, "--topic", bed.name, "--count", str(BURST), "--rate", "0",
                    "--seed", str(rng.randrange(1 << 30)), "--quiet"], check=True)
    bed.signal(names, signal.SIGCONT)
    wait_hit(bed, point)


RUN = {run.__name__: run for run in (documents, fencing, refused, behind)}


def pass_points(bed, points, rng):
    for point in points:
        began = time.monotonic()
        bed.arm(point)
        RUN[CRASH_POINTS[point]](bed, point, rng)
        hit = time.monotonic()
        bed.await_search(MISSING)
        after = time.monotonic() - hit
        audit(dict(bed.environment, ELASTICSEARCH_URL=bed.elastic.url), "--job", "search")
        print(f"  {point:18} hit after {hit - began:5.2f} s, all is there after {after:5.2f} s, exact", flush=True)


def go_through(folder, services, points):
    bed, rng, kept = SearchBed(folder, services, 1, RATE), random.Random(1), None
    try:
        bed.up()
        bed.await_search(MISSING)
        pass_points(bed, points, rng)
        bed.records.end()
        bed.settle()
        bed.await_search(MISSING, over=True)
        bed.prove()
        bed.prove_search()
        bed.down()
        bed.look_for_deaths()
        bed.finish_readers()
    except BaseException:
        kept = folder.parent / "sluice-search-points"
        print(f"logs are in {kept}", flush=True)
        raise
    finally:
        bed.close(kept)


if __name__ == "__main__":
    if Elasticsearch.missing():
        print(f"SKIPPED, nothing was passed: {Elasticsearch.missing()}")
        sys.exit(0)
    sys.exit(pass_chosen([name for name, when in CRASH_POINTS.items() if when in RUN], SearchServices, go_through))
