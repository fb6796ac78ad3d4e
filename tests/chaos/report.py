"""What chaos runs have shown: results.json, RESULTS.md and its plot."""
import json
from collections import defaultdict

from faults import FAULTS
from settings import AS_SHIPPED


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


def search_text_of(runs):
    found = by_fault(runs)
    rows = ["| kind | count | with a kill beside | then p50 | most | longest stall of the totals |", "| --- | --- | --- | --- | --- | --- |"]
    for name, ones in sorted(found.items()):
        after = [one["after"] for one in ones]
        rows.append(f"| `{name}` | {len(ones)} | {sum(one['with_kill'] for one in ones)} | {percentile(after, .5):.2f} s | {max(after):.2f} s | "
                    f"{max(one['totals_stall'] for one in ones):.1f} s |")
    return "\n".join(rows)


def rounds_of(runs):
    rows = ["| date | seed | settings | minutes | faults | attempts | records | audits |", "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for run in runs:
        for one in run["rounds"]:
            n = totals([{"rounds": [one], "violations": 0}])
            rows.append(f"| {run['date']} | {one['seed']} | {one.get('settings', AS_SHIPPED)} | {one['seconds'] / 60:.0f} | {n['faults']} | {n['attempts']:,} | "
                        f"{n['records']:,} | {n['audits']} |")
    return "\n".join(rows)


def totals(runs):
    rounds = [r for run in runs for r in run["rounds"]]
    faults = [one for r in rounds for one in r["faults"]]
    return {"rounds": len(rounds), "hours": sum(r.get("seconds", 0) for r in rounds) / 3600,
            "faults": len(faults) + sum(one["with_kill"] for one in faults), "attempts": sum(one.get("attempts", 0) for one in faults),
            "records": sum(r["records"] for r in rounds), "snapshots": sum(r["snapshots"] for r in rounds),
            "audits": sum(r["audits"] for r in rounds), "violations": sum(run["violations"] for run in runs)}


def only(runs, wanted):
    """Of these runs the rounds that are wanted."""
    return [dict(run, rounds=[one for one in run["rounds"] if wanted(run, one)]) for run in runs]


def add(results, folder):
    """One more run to those that are kept."""
    stored = folder / "results.json"
    runs = json.loads(stored.read_text()) if stored.exists() else []
    runs.append(results)
    stored.write_text("[\n" + ",\n".join(json.dumps(run) for run in runs) + "\n]\n")
    write(runs, folder)


def write(runs, folder):
    of_totals, search = only(runs, lambda run, one: not run.get("search")), only(runs, lambda run, one: run.get("search"))
    ordinary = only(of_totals, lambda run, one: not one.get("forgetful"))
    forgetful = only(of_totals, lambda run, one: one.get("forgetful"))
    n, f = totals(of_totals), totals(forgetful)
    (folder / "RESULTS.md").write_text(f"""# Chaos

What `scripts/chaos` did to deployed pipelines, and what came of it: a round is a topic, a database and a deployment under supervisord
(coordinator, sink, two ingests, two aggregators), real Kafka and PostgreSQL, records arriving all the time, and settings and faults drawn
by seed.

**{n['faults']:,} faults in {n['hours']:.1f} hours and {n['rounds']} rounds: {n['violations']} violations.** {n['attempts']:,} new attempts, {n['records']:,} records,
{n['snapshots']:,} snapshots compared while it happened, {n['audits']} audits.

![recovery by kind of fault](chaos.svg)

*Then* is the time from the end of the fault (a kill ends at once) until something new was committed; for faults of the disk, until a
checkpoint was completed. *Longest stall* is the longest time in which nothing new was committed from the beginning of the fault on, so the
outage itself counts. Table and picture are of the rounds that remember. Those of 2026-11-29 ran beside much other work,
five to ten threads waiting for each processor: their times are longer than the pipeline's own.

{text_of(ordinary)}

## Rounds that forget

Every third seed forgets keys after seconds, or at once. Repeats are late there all the time, and each discovery ends an attempt, by
design, beside what the faults do: {f['faults']:,} faults in {f['hours']:.1f} hours, {f['attempts']:,} new attempts, {f['records']:,} records.{then_of(forgetful)}

{search_section(search)}## What it found

Runs before these ended with a violation or a job that stopped, and are not counted above:

- A retirement of checkpoints that a crash interrupted, between the row in the database and the manifest, left manifests that nobody
  names and nobody removed. They are swept with a later retirement now; the simulation counts them.
- A checkpoint folder that became read-only stopped the job for a person (exit code 78), like one that was read-only from the start. Now
  it is a failed checkpoint like any other: the totals go on, and the next one succeeds when the folder can be written again.
- After a pause longer than `duplicates.retention` (at once with a retention of 0, as in the test that saw it once), the first checkpoint
  left keys out of its files that were still found until the cache had taken it. A repeat that came in between was dropped, rightly; a
  kill after it, and the replay from that checkpoint took it for new: totals too high by one record. What is left out of the files is
  now decided once, at the barrier, where it is hidden, too; a unit test and the mutant `forgotten_found` keep it so. The rounds until
  then all remembered for 24 hours; those that forget are there since, and find it without the mending within a minute.

Three rounds of the search copy (2026-11-29, seeds 31 to 33, 16 faults) ended at a limit of time and prove nothing: Elasticsearch, with
a tenth of a processor, was not ready two minutes after a restart (twice) and had not taken everything 180 s after a queue of one. It
worked on a batch for more than `sinks.elasticsearch.timeout`, and was sent the whole of it again.

## The rounds

{rounds_of(of_totals)}
""")
    plot(ordinary, folder / "chaos.svg")


def search_section(runs):
    n, rounds = totals(runs), [(run["date"], one) for run in runs for one in run["rounds"]]
    if not rounds:
        return ""
    return f"""## The search copy

`scripts/chaos --search` attacks Elasticsearch, the way to it, and the processes of that job, while the totals go on and must not notice:
**{n['faults']:,} faults in {n['hours'] * 60:.0f} minutes, rounds: {n['rounds']}, {n['records']:,} records, {n['violations']} violations.** *Then* is here the time until everything that
Kafka had at the end of the fault was in Elasticsearch, under load. At the end of each round every document was compared with the topic
and with the rows, and {sum(one['letters'] for _, one in rounds):,} documents that Elasticsearch refused each had their letter.

{search_text_of(runs)}

Seeds: {', '.join(f"{one['seed']} ({date})" for date, one in rounds)}.

"""


def then_of(runs):
    after = [one["after"] for run in runs for one_round in run["rounds"] for one in one_round["faults"]]
    return f" *Then*, of all faults: p50 {percentile(after, .5):.2f} s, p99 {percentile(after, .99):.2f} s, most {max(after):.2f} s." if after else ""


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
