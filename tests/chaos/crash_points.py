#!/usr/bin/python3
"""Every crash point of common/base/crash_points.h: a process dies there, the pipeline goes on, and an audit finds nothing.

Wants programs that were built with the preset crash: SLUICE_BIN names their folder. argv: names of points; all, where there are none.
"""
import random, signal, subprocess, sys, time

from bed import BIN, CRASH_POINTS, Bed, Failure, ProxiedServices, has_crash_points, private_services

RATE = 100
OFTEN = (("interval: 5s", "interval: 1s"),)
FORGETFUL = (*OFTEN, ("retention: 24h", "retention: 0s"))
SECONDS = 30  # until a point is passed


def ctl(bed, *words, **more):
    return subprocess.run([BIN / "sluicectl", *words], env=dict(bed.environment, **more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_hit(bed, point, **more):
    if not bed.await_hit(point, SECONDS, **more):
        raise Failure(f"nobody came to {point} within {SECONDS} s")


def kill_aggregator(bed, rng):
    names = [name for name in bed.processes() if name.startswith("aggregator")]
    bed.signal([rng.choice(names)] if names else [], signal.SIGKILL)


def work(bed, point, rng):
    wait_hit(bed, point)


def restart(bed, point, rng):
    kill_aggregator(bed, rng)
    wait_hit(bed, point)


def nocache(bed, point, rng):
    bed.await_progress(time.monotonic(), 30, "checkpoints")  # else there is nothing to restore
    bed.signal([name for name in bed.processes() if name.startswith("aggregator")], signal.SIGKILL)
    subprocess.run(["rm", "-rf", *map(str, bed.state.glob("*"))])
    wait_hit(bed, point)


def silent(bed, point, rng):
    """A checkpoint is asked for all the time, also while the replay is not over."""
    asking, killed = None, 0

    def lead():
        nonlocal asking, killed
        if time.monotonic() > killed + 2:
            kill_aggregator(bed, rng)
            killed = time.monotonic()
            if asking:
                asking.kill()
                asking.wait()
            asking = subprocess.Popen([BIN / "sluicectl", "checkpoint"], env=bed.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_hit(bed, point, lead=lead)
    asking.kill()
    asking.wait()


def lost(bed, point, rng):
    bed.services.postgres_proxy.lose_commit("answered")
    wait_hit(bed, point)


def late(bed, point, rng):
    """All is forgotten at once here: what was sent already is late when it comes again."""
    wait_hit(bed, point)


RUN = {run.__name__: run for run in (work, restart, nocache, silent, lost, late)}


def pass_points(bed, points, rng):
    for point in points:
        began = time.monotonic()
        bed.arm(point)
        RUN[CRASH_POINTS[point]](bed, point, rng)
        hit = time.monotonic()
        bed.await_attempt(hit, 3)
        after = bed.await_progress(hit, 60) - hit
        bed.audit()
        print(f"  {point:22} hit after {hit - began:5.2f} s, goes on after {after:5.2f} s, exact", flush=True)


def with_bed(folder, services, number, changes, run):
    bed = Bed(folder, services, number, RATE, changes)
    kept = None
    try:
        run(bed)
        bed.down()
        bed.look_for_deaths()
        bed.finish_readers()
    except BaseException:
        kept = folder.parent / f"sluice-crash-{number}"
        print(f"logs are in {kept}", flush=True)
        raise
    finally:
        bed.close(kept)


def fresh(point):
    def run(bed):
        bed.arm(point)
        bed.up()
        if bed.is_armed(point):
            raise Failure(f"nobody came to {point}")
        bed.await_progress(time.monotonic(), 60)
        bed.audit()
        print(f"  {point:22} hit at the first start, exact", flush=True)
    return run


def rebuild(points):
    """sluicectl dies, does its work the second time, and the job goes on from what it wrote."""
    def run(bed):
        bed.up()
        for point in points:
            bed.await_progress(time.monotonic(), 60)
            bed.down()
            subprocess.run(["rm", "-rf", *map(str, (*bed.state.glob("*"), *bed.checkpoints.glob("*")))])
            bed.arm(point)
            died = ctl(bed, "rebuild", SLUICE_CRASH_FOLDER=str(bed.crash_points))
            if died.returncode != -signal.SIGKILL or bed.is_armed(point):
                raise Failure(f"sluicectl rebuild ended with {died.returncode} and did not die at {point}:\n{died.stdout}")
            done = ctl(bed, "rebuild")
            if done.returncode != 0:
                raise Failure(f"sluicectl rebuild after {point}: exit {done.returncode}\n{done.stdout}")
            bed.deploy()
            bed.await_progress(time.monotonic(), 60)
            bed.audit()
            print(f"  {point:22} hit, done again, exact", flush=True)
    return run


def reset_once(bed, **more):
    """PostgreSQL may not have noticed yet that the old sink is gone."""
    deadline = time.monotonic() + 60
    while True:
        done = ctl(bed, "reset", "--job", "totals", "--yes", **more)
        if "a writer is connected" not in done.stdout or time.monotonic() > deadline:
            return done
        time.sleep(0.2)


def reset(points):
    """sluicectl dies. Then the job starts, or says how it can; and a second reset leads to a first start."""
    def run(bed):
        bed.up()
        for point in points:
            for again in (False, True):
                bed.await_progress(time.monotonic(), 60, "checkpoints")
                bed.down()
                bed.new_history()
                bed.arm(point)
                died = reset_once(bed, SLUICE_CRASH_FOLDER=str(bed.crash_points))
                if died.returncode != -signal.SIGKILL or bed.is_armed(point):
                    raise Failure(f"sluicectl reset ended with {died.returncode} and did not die at {point}:\n{died.stdout}")
                said = "started at once"
                try:
                    if not again:
                        bed.deploy()
                except Failure as refused:
                    if "sluicectl reset --job totals" not in str(refused):
                        raise
                    said, again = "refused with a way out", True
                if again:
                    done = reset_once(bed)
                    if done.returncode != 0:
                        raise Failure(f"sluicectl reset after {point}: exit {done.returncode}\n{done.stdout}")
                    said = said if said.startswith("refused") else "done again"
                    bed.deploy()
                bed.await_progress(time.monotonic(), 60)
                bed.readers[-1].start()
                bed.audit()
                print(f"  {point:22} hit, {said}, exact", flush=True)
    return run


def pass_chosen(known, kind_of_services, run):
    """run: with a folder, services and the points that argv names, or all that are known. Returns the exit code."""
    chosen = sys.argv[1:] or known
    unknown = [name for name in chosen if name not in known]
    if unknown:
        print(f"no crash points here: {unknown}")
        return 2
    if not has_crash_points():
        print(f"{BIN} was built without crash points: cmake --preset crash && cmake --build --preset crash, SLUICE_BIN=build/crash/bin")
        return 2
    began = time.monotonic()
    try:
        with private_services(kind_of_services) as (folder, services):
            run(folder, services, chosen)
    except Failure as failure:
        print(failure)
        print("0 passed, 1 failed")
        return 1
    print(f"{len(chosen)} crash points, each hit and followed by an exact audit, in {time.monotonic() - began:.0f} s")
    return 0


def go_through(folder, services, chosen):
    rng, number = random.Random(1), 1
    when = {kind: [name for name in chosen if CRASH_POINTS[name] == kind] for kind in set(CRASH_POINTS.values())}

    def in_turn(points):
        def run(bed):
            bed.up()
            bed.await_progress(time.monotonic(), 60)
            pass_points(bed, points, rng)
        return run
    for point in when["fresh"]:
        with_bed(folder, services, number, OFTEN, fresh(point))
        number += 1
    usual = [name for name in chosen if CRASH_POINTS[name] in ("work", "restart", "nocache", "silent", "lost")]
    for changes, run in ((OFTEN, in_turn(usual) if usual else None), (FORGETFUL, in_turn(when["late"]) if when["late"] else None),
                         (OFTEN, rebuild(when["ctl"]) if when["ctl"] else None), (OFTEN, reset(when["over"]) if when["over"] else None)):
        if run:
            with_bed(folder, services, number, changes, run)
            number += 1


if __name__ == "__main__":
    here = [name for name, when in CRASH_POINTS.items() if when in (*RUN, "fresh", "ctl", "over")]  # search_points.py has the others
    sys.exit(pass_chosen(here, ProxiedServices, go_through))
