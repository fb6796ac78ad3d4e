"""Rounds of chaos: the command line of those who attack, the order of their faults, and what is written about them."""
import argparse, json, signal, time, traceback
from pathlib import Path

from bed import HERE, Failure, private_services


def say(text):
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


class Deck:
    """Every fault as often as its share, shuffled; then again."""

    def __init__(self, rng, names, faults):
        self.rng, self.names, self.faults, self.cards = rng, names, faults, []

    def draw(self):
        if not self.cards:
            self.cards = [name for name in sorted(self.names) for _ in range(self.faults[name].share)]
            self.rng.shuffle(self.cards)
        return self.faults[self.cards.pop()]


def read_arguments(prog, description, faults, row):
    """row: how --list shows a fault. None: it has been shown."""
    parser = argparse.ArgumentParser(prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1, help="of the first round; the next ones follow")
    parser.add_argument("--rate", type=int, default=800, help="records a second")
    parser.add_argument("--faults", metavar="NAME,...", help="only these")
    parser.add_argument("--list", action="store_true", help="print the faults and end")
    parser.add_argument("--output", type=Path, default=Path("/tmp/sluice-chaos"), help="where results, and logs of what failed, go")
    parser.add_argument("--record", action="store_true", help="add the results to those in tests/chaos/RESULTS.md")
    arguments = parser.parse_args()
    if arguments.list:
        for fault in faults.values():
            print(row(fault))
        return None
    arguments.faults = arguments.faults.split(",") if arguments.faults else list(faults)
    for name in arguments.faults:
        if name not in faults:
            parser.error(f"no fault {name}; --list prints them")
    arguments.output.mkdir(parents=True, exist_ok=True)
    return arguments


def folder_of_failed(arguments, seed, what=""):
    """Where the logs of a round that failed are kept."""
    return arguments.output / f"failed-{what}{seed}"


def run_rounds(arguments, services_class, run_round, round_minutes, what=""):
    """Round after round, until the minutes are over or one has failed; returns the exit code.

    run_round(folder, services, seed, seconds, arguments, found) adds to found what it saw; what: a word before names of files.
    """
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    results = {"date": time.strftime("%Y-%m-%d"), **({"search": True} if what else {}), "rounds": []}
    seed, left, code = arguments.seed, arguments.minutes * 60, 0
    try:
        with private_services(services_class) as (folder, services):
            while left > 0:
                seconds = min(left, round_minutes * 60)
                found = {"seed": seed, "faults": [], "audits": 0, "snapshots": 0, "records": 0}
                results["rounds"].append(found)
                run_round(folder, services, seed, seconds, arguments, found)
                seed, left = seed + 1, left - seconds
    except KeyboardInterrupt:
        say("interrupted")
        code = 130
    except Exception as failure:
        print(str(failure) if isinstance(failure, Failure) else traceback.format_exc(), flush=True)
        say(f"FAILED in round {seed}; logs are in {folder_of_failed(arguments, seed, what)}")
        code = 1
    results["violations"] = int(code == 1)
    (arguments.output / f"{what}results.json").write_text(json.dumps(results, indent=1) + "\n")
    import report
    print(report.search_text_of([results]) if what else report.text_of([results]))
    if arguments.record and code == 0:
        report.add(results, HERE)
    rounds = results["rounds"]
    print(f"{sum(len(one['faults']) for one in rounds)} faults, {sum(one['snapshots'] for one in rounds):,} snapshots, {results['violations']} violations")
    return code
