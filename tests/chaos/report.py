"""What chaos runs have shown: results.json, RESULTS.md and its plot."""
import json
from collections import defaultdict

from faults import FAULTS


def percentile(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def by_fault(runs):
    found = defaultdict(list)
    for run in runs:
        for one_round in run["rounds"]:
            for one in one_round["faults"]:
                found[one["fault"]].append(one)
    return found


def text_of(runs):
    found = by_fault(runs)
    rows = ["| faults | kind | count | with a kill beside | new attempts | then p50 | p99 | most | longest stall |", "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
    for fault in FAULTS.values():
        if fault.name in found:
            ones = found[fault.name]
            after = [one["after"] for one in ones]
            rows.append(f"| {fault.group} | `{fault.name}` | {len(ones)} | {sum(one['with_kill'] for one in ones)} | {sum(one['attempts'] for one in ones)} | "
                        f"{percentile(after, .5):.2f} s | {percentile(after, .99):.2f} s | {max(after):.2f} s | {max(one['stall'] for one in ones):.1f} s |")
    return "\n".join(rows)


def totals(runs):
    rounds = [r for run in runs for r in run["rounds"]]
    faults = [one for r in rounds for one in r["faults"]]
    return {"rounds": len(rounds), "hours": sum(r.get("seconds", 0) for r in rounds) / 3600,
            "faults": len(faults) + sum(one["with_kill"] for one in faults), "attempts": sum(one["attempts"] for one in faults),
            "records": sum(r["records"] for r in rounds), "snapshots": sum(r["snapshots"] for r in rounds),
            "audits": sum(r["audits"] for r in rounds), "violations": sum(run["violations"] for run in runs)}


def seeds(runs):
    """By date, each round a seed."""
    found = defaultdict(list)
    for run in runs:
        found[run["date"]] += [str(one["seed"]) for one in run["rounds"]]
    return "; ".join(f"{date}: {', '.join(each)}" for date, each in found.items())


def add(results, folder):
    """One more run to those that are kept."""
    stored = folder / "results.json"
    runs = json.loads(stored.read_text()) if stored.exists() else []
    runs.append(results)
    stored.write_text("[\n" + ",\n".join(json.dumps(run) for run in runs) + "\n]\n")
    write(runs, folder)


def write(runs, folder):
    n = totals(runs)
    (folder / "RESULTS.md").write_text(f"""# Chaos

What `scripts/chaos` did to deployed pipelines, and what came of it: a round is a topic, a database and a deployment under supervisord
(coordinator, sink, two ingests, two aggregators), real Kafka and PostgreSQL, records arriving all the time, and faults drawn by seed.

**{n['faults']:,} faults in {n['hours']:.1f} hours and {n['rounds']} rounds: {n['violations']} violations.** {n['attempts']:,} new attempts, {n['records']:,} records,
{n['snapshots']:,} snapshots compared while it happened, {n['audits']} audits.

![recovery by kind of fault](chaos.svg)

*Then* is the time from the end of the fault (a kill ends at once) until something new was committed; for faults of the disk, until a
checkpoint was completed. *Longest stall* is the longest time in which nothing new was committed from the beginning of the fault on, so the
outage itself counts.

{text_of(runs)}

## What it found

Runs before these ended with a violation or a job that stopped, and are not counted above:

- A retirement of checkpoints that a crash interrupted, between the row in the database and the manifest, left manifests that nobody
  names and nobody removed. They are swept with a later retirement now; the simulation counts them.
- A checkpoint folder that became read-only stopped the job for a person (exit code 78), like one that was read-only from the start. Now
  it is a failed checkpoint like any other: the totals go on, and the next one succeeds when the folder can be written again.

Seeds: {seeds(runs)}.
""")
    plot(runs, folder / "chaos.svg")


COLOURS = {"kill -9": "#b71c1c", "ended": "#e57373", "SIGSTOP": "#ef6c00", "scaling": "#fbc02d", "PostgreSQL": "#1565c0", "Kafka": "#6a1b9a",
           "network": "#00838f", "disk": "#4e342e", "clock": "#546e7a", "crash point": "#880e4f"}


def plot(runs, path):
    import matplotlib
    matplotlib.use("svg")
    import matplotlib.pyplot as plt
    matplotlib.rcParams["svg.hashsalt"] = "sluice"
    found = by_fault(runs)
    names = [fault.name for fault in FAULTS.values() if fault.name in found][::-1]
    figure, axis = plt.subplots(figsize=(11, 0.27 * len(names) + 1.6))
    for row, name in enumerate(names):
        after = [max(one["after"], 0.001) for one in found[name]]
        colour = COLOURS[FAULTS[name].group]
        axis.plot(after, [row] * len(after), "o", color=colour, alpha=0.3, markersize=4, markeredgewidth=0)
        axis.plot([percentile(after, .5)], [row], "|", color=colour, markersize=13, markeredgewidth=2.5)
    axis.set_yticks(range(len(names)), [f"{name} ({len(found[name])})" for name in names], fontsize=8)
    axis.set_xscale("log")
    axis.set_xlabel("seconds from the end of the fault until something new was committed (disk: a checkpoint); bar: median")
    axis.grid(axis="x", alpha=0.3)
    axis.set_ylim(-0.7, len(names) - 0.3)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
