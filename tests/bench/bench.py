#!/usr/bin/python3
"""The figures of Sluice beside their floors and limits, part by part; writes results.json, RESULTS.md and its plots.

What was measured before stays until its part is measured again; RESULTS.md says when each was.
"""
import argparse, importlib, json, sys, time
from pathlib import Path

from bed import Bed, Failure, show
from services import Services, private_services

PARTS = {  # and about how long each takes
    "drain": "8 minutes", "growth": "6 minutes", "checkpoints": "4 minutes", "recovery": "9 minutes", "snapshot": "12 minutes",
    "state": "12 minutes", "search": "12 minutes",
}
COMPARISON = {"against": "50 minutes"}  # the only part where another revision is named


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="parts: " + ", ".join(f"{k} ({v})" for k, v in PARTS.items()))
    parser.add_argument("--only", metavar="PART,...", help="measure these parts")
    parser.add_argument("--against", metavar="REVISION", help="run the programs of this revision (of git) and today's in turn, and nothing else")
    parser.add_argument("--records", type=int, default=1_000_000, help="of a backlog")
    parser.add_argument("--keys", type=int, default=20_000_000, help="of the part with many keys")
    parser.add_argument("--seconds", type=int, default=15, help="of each latency run")
    parser.add_argument("--kills", type=int, default=0, help="of each kind; 0: 34 with a peer, 12 without")
    parser.add_argument("--seed", type=int, default=1, help="of the moments of the kills")
    parser.add_argument("--quick", action="store_true", help="small and few, to see that it works; figures mean little then")
    parser.add_argument("--output", type=Path, default=Path(__file__).resolve().parent, help="where the results go")
    arguments = parser.parse_args()
    parts = COMPARISON if arguments.against else PARTS
    chosen = arguments.only.split(",") if arguments.only else list(parts)
    for name in chosen:
        if name not in parts:
            parser.error(f"no part {name}; there are: {', '.join(parts)}")
    if arguments.quick:
        arguments.records, arguments.keys = min(arguments.records, 100_000), min(arguments.keys, 200_000)
    arguments.output.mkdir(parents=True, exist_ok=True)
    stored = arguments.output / "results.json"
    results = json.loads(stored.read_text()) if stored.exists() else {}
    failed = []
    for name in chosen:
        show(name, f"about {parts[name]}" if not arguments.quick else "quick")
        try:
            part = importlib.import_module(f"part_{name}")
            with private_services(getattr(part, "SERVICES", Services)) as (folder, services):
                found = part.measure(Bed(folder, services, arguments))
        except Failure as failure:
            print(failure, file=sys.stderr)
            failed.append(name)
            continue
        results[name] = dict(found, date=time.strftime("%Y-%m-%d"))
        stored.write_text(json.dumps(results, indent=1) + "\n")
    import report
    text = report.write(results, arguments.output)
    print("\n" + text)
    if failed:
        print(f"not measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
