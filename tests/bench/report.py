"""RESULTS.md and its plots from what was measured. A figure that was not measured is not printed."""
import os, platform, statistics

KINDS = ("coordinator", "ingest", "aggregator", "sink")
COLOURS = {"coordinator": "#90a4ae", "ingest": "#1565c0", "aggregator": "#2e7d32", "sink": "#ef6c00"}


def verdict(good):
    return "reached" if good else "**missed**"


def most(value, limit, unit="", digits=0):
    return f"at most {limit:,g}{unit}, {verdict(value <= limit)}"


def by_kind(values, digits):
    return ", ".join(f"{k} {v:.{digits}f}" for k, v in values.items())


def percentile(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def table(rows):
    return ["| figure | measured | floor, or of what | to reach |", "| --- | --- | --- | --- |"] + ["| " + " | ".join(r) + " |" for r in rows] + [""]


def drain_rows(part, drain, limits):
    floor = statistics.mean(f["rate"] for f in part["floors"])
    floor_cpu = statistics.mean(f["backend"] for f in part["floors"])
    cpu, pss = sum(drain["cpu"].values()), sum(drain["pss"].values())
    floors = " and ".join(f"{f['rate']:,.0f}" for f in part["floors"])
    rows = [("drain of the backlog", f"{drain['rate']:,.0f} records/s, {drain['rate'] / floor:.2f} times the floor",
             f"text COPY, 2,500 a transaction, in turn with the drains: {floors} rows/s", f"1.0 times, {verdict(drain['rate'] >= floor)}"),
            ("CPU-seconds per million records", f"{cpu:.2f} ({by_kind(drain['cpu'], 2)})", "all Sluice processes", most(cpu, limits["cpu"])),
            ("the backend's CPU-seconds per million", f"{drain['backend']:.1f}", f"text COPY: {floor_cpu:.1f}", ""),
            ("memory, at its most (PSS)", f"{pss:.0f} MB ({by_kind(drain['pss'], 0)})", "all Sluice processes", most(pss, limits["pss"], " MB"))]
    if drain is part["drains"]["4"]:
        more = sum(part["large"]["pss"].values()) - pss
        rows.append(("memory for a further key", f"{more * 1e6 / (part['large']['records'] - drain['records']):.0f} bytes",
                     f"{part['large']['records']:,} records against {drain['records']:,}", ""))
    for run in part["latency"]["1d" if drain["interval"] == "1d" else "5s"]:
        limit = {5000: 30, 10000: 40}.get(run["rate"])
        rows.append((f"latency at {run['rate']:,}/s, p50 / p99 / p99.9", f"{run['p50']:.1f} / {run['p99']:.1f} / {run['p999']:.1f} ms",
                     f"one-row commit p50 {run['fsync']['p50']:.1f}, p99 {run['fsync']['p99']:.1f} ms; p99 of all runs: "
                     + ", ".join(f"{p:.0f}" for p in run["p99s"]), f"p99 {most(run['p99'], limit, ' ms')}" if limit else ""))
    return rows


def growth(part, state, live):
    lines = ["| records | partitions | records/s | our CPU-s per million | backend's | PSS MB | then 5,000/s live: p50 / p99 |",
             "| --- | --- | --- | --- | --- | --- | --- |"]
    cases = [(name, name, drain) for name, drain in part["drains"].items()] + [("large", "4", part["large"])]
    for name, partitions, drain in cases + ([("state", "4", state)] if state else []):
        latency = (live or {}).get("cases", {}).get(name)
        lines.append(f"| {drain['records']:,} | {partitions} | {drain['rate']:,.0f} | {sum(drain['cpu'].values()):.2f} | "
                     f"{drain['backend']:.1f} | {sum(drain['pss'].values()):.0f} | "
                     + (f"{latency['p50']:.1f} / {latency['p99']:.1f} ms |" if latency else "|"))
    return lines + [""]


def recovery_rows(part):
    rows = []
    peer = [r["seconds"] * 1000 for r in part["peer"]]
    for name, runs in (("a peer takes over", part["peer"]), ("alone", part["alone"])):
        for role in KINDS:
            times = [r["seconds"] * 1000 for r in runs if r["role"] == role]
            if times:
                limit = most(percentile(times, .5), 1800, " ms") if runs is part["alone"] else ""
                rows.append((f"kill -9 of {role}, {name}: p50 / p99", f"{percentile(times, .5):.0f} / {percentile(times, .99):.0f} ms",
                             f"{len(times)} kills", f"p50 {limit}" if limit else ""))
    rows.insert(0, ("kill -9 of a worker that has a peer: p50 / p99", f"{percentile(peer, .5):.0f} / {percentile(peer, .99):.0f} ms",
                    f"{len(peer)} kills at {part['rate']:,} records/s, to the first newly committed epoch",
                    f"p50 {most(percentile(peer, .5), 500, ' ms')}; p99 {most(percentile(peer, .99), 2000, ' ms')}"))
    return rows


def checkpoint_rows(part):
    times = part["checkpoint"]["ms"]
    return [("throughput with checkpoints every 5 s", f"{part['ratio']:.3f} times that without",
             f"medians of {len(part['pairs'])} drains each, in turn; pairs: " + ", ".join(f"{p:.2f}" for p in part["pairs"]),
             f"at least 0.95, {verdict(part['ratio'] >= 0.95)}"),
            (f"a checkpoint with {part['records']:,} new keys", f"{percentile(times, .5):.0f} ms at p50, {max(times):.0f} ms at most",
             f"{part['checkpoint']['bytes'] / 1e6:.0f} MB", most(percentile(times, .5), 1000, " ms"))]


CACHES_MB = 2 * 32 * 1024 * 1024 / 1e6  # state.memory of two dedup actors, which many keys fill


def state_rows(part):
    cpu, pss = sum(part["cpu"].values()), sum(part["pss"].values())
    return [(f"CPU-seconds per million, {part['records']:,} keys", f"{cpu:.2f} ({by_kind(part['cpu'], 2)})", "all Sluice processes", most(cpu, 6)),
            ("memory, at its most (PSS)", f"{pss:.0f} MB ({by_kind(part['pss'], 0)}), {pss - CACHES_MB:.0f} MB beyond the stated caches",
             f"stated: `state.memory` of two dedup actors, {CACHES_MB:.0f} MB", most(pss - CACHES_MB, 150, " MB beyond the caches")),
            ("restart of everything, caches intact", f"{part['cached']['seconds']:.2f} s", "to the first new epoch", most(part["cached"]["seconds"], 3, " s")),
            ("restart of everything, caches gone", f"{part['rebuilt']['seconds']:.1f} s, {part['rebuilt']['keys_per_second'] / 1e6:.2f} million keys/s",
             f"of which loading {', '.join(f'{ms / 1000:.1f} s' for ms in part['rebuilt']['loads_ms'])}",
             f"at least 1 million/s, {verdict(part['rebuilt']['keys_per_second'] >= 1e6)}")]


def snapshot_rows(part):
    free, held = part["free"], part["held"]
    fifths = {name: ", ".join(f"{p99:.0f}" for p99 in part[name]["fifths"]) for name in ("free", "held")}
    ratio = held["p99"] / free["p99"]
    return [(f"latency with a snapshot held open for {held['seconds']} s, p50 / p99", f"{held['p50']:.1f} / {held['p99']:.1f} ms (p99 by fifths: {fifths['held']})",
             f"without, as long, before it, into a table of its own: {free['p50']:.1f} / {free['p99']:.1f} ms (p99 by fifths: {fifths['free']})",
             f"p99 {most(ratio, 2, ' times')} ({ratio:.2f})")]


def search_rows(part):
    cpu, drain = sum(part["drain"]["cpu"].values()), part["drain"]
    ratios, writer = ", ".join(f"{ratio:.2f}" for ratio in part["ratios"]), drain["pss"]["search-sink"]
    floors = [f["rate"] for f in part["floors"]]
    live, off = part["latency"], part["off"]
    change = off["without"]["rate"] / off["with"]["rate"]
    return [("drain of the backlog into Elasticsearch", f"{drain['rate']:,.0f} documents/s, {part['ratio']:.2f} times the floor",
             f"a bare client posting prebuilt bodies of the same documents before and after each drain: {min(floors):,.0f} to {max(floors):,.0f} documents/s; "
             f"{len(part['ratios'])} drains: {ratios}",
             f"0.9 times, {verdict(part['ratio'] >= 0.9)}"),
            ("CPU-seconds per million documents", f"{cpu:.2f} ({by_kind(drain['cpu'], 2)})", f"all processes of the job; Elasticsearch itself {drain['server']:.0f}, "
             f"with the bare client {statistics.median(f['server'] for f in part['floors']):.0f}", most(cpu, 4)),
            ("memory of the writer, at its most (PSS)", f"{writer:.0f} MB", f"all processes: {sum(drain['pss'].values()):.0f} MB", most(writer, 64, " MB")),
            (f"latency at {live['rate']:,}/s until a document is accepted, p50 / p99", f"{live['p50']:.1f} / {live['p99']:.1f} ms",
             f"{live['count']:,} documents; refresh apart", f"p99 {most(live['p99'], 100, ' ms')}"),
            (f"totals at {off['rate']:,}/s, Elasticsearch there / switched off", f"{off['with']['rate']:,.0f} / {off['without']['rate']:,.0f} records/s; p50 "
             f"{off['with']['p50']:.1f} / {off['without']['p50']:.1f} ms; p99 {off['with']['p99']:.1f} / {off['without']['p99']:.1f} ms", f"{off['seconds']} s each, in one run, the kill included", f"throughput unchanged, {verdict(change >= 0.99)}")]


def against_rows(part):
    rows = []

    def row(name, runs, of, unit, limit=None, digits=2):
        other, now = ([of(run) for run in runs[key]] for key in ("other", "now"))
        ratio = statistics.median(now) / statistics.median(other)
        pairs = ", ".join(f"{b / a:.2f}" for a, b in zip(other, now))
        rows.append((name, f"{statistics.median(now):,.{digits}f}{unit}, {ratio:.2f} times", f"{statistics.median(other):,.{digits}f}{unit}; pairs: {pairs}",
                     most(ratio, limit, " times", 0) if limit else ""))
    for key in ("drain", "large", "keys"):
        name = f"drain of {part[key]['now'][0]['records']:,} records"
        row(f"{name}, CPU-seconds per million", part[key], lambda run: sum(run["cpu"].values()), "", 1.1)
        row(f"{name}, the backend's", part[key], lambda run: run["backend"], "", digits=1)
        row(f"{name}, records/s", part[key], lambda run: run["rate"], "", digits=0)
        row(f"{name}, memory (PSS)", part[key], lambda run: sum(run["pss"].values()), " MB", 1.1, 0)
    live = f"live at {part['rate']:,}/s"
    row(f"{live}, CPU-seconds per million", part["live"], lambda run: run["cpu"], "", 1.1)
    for name in ("p50", "p99"):
        row(f"{live}, {name}", part["live"], lambda run: run[name], " ms", digits=1)
    return rows


def write(results, folder):
    lines = ["# Figures", "", f"Printed by `scripts/bench`: {os.cpu_count()} cores ({platform.machine()}), real Kafka and PostgreSQL with default "
             "durability on the same machine, records of about 400 bytes over two event days. Absolute times depend on the machine: read "
             "ratios and CPU-seconds.", ""]
    if "drain" in results:
        part = results["drain"]
        lines += [f"## A backlog of {part['records']:,} records ({part['date']})", "", "![throughput, CPU, memory and latency](results.svg)", "",
                  "Without checkpoints:", "", *table(drain_rows(part, part["without"], {"cpu": 3.5, "pss": 200})),
                  "With checkpoints every 5 s, the default:", "", *table(drain_rows(part, part["drains"]["4"], {"cpu": 4.5, "pss": 150})),
                  "Latency is the commit timestamp of the row's transaction less the moment the producer made the record, the first three seconds "
                  "left out; of three runs the one with the median p99.", "", "### Growth", "", *growth(part, results.get("state"), results.get("growth"))]
    for name, title, rows in (("checkpoints", "Checkpoints", checkpoint_rows), ("recovery", "Recovery", recovery_rows),
                              ("state", "Many keys", state_rows), ("snapshot", "Somebody else's snapshot", snapshot_rows),
                              ("search", "The search copy", search_rows)):
        if name in results:
            lines += [f"## {title} ({results[name]['date']})", ""]
            lines += ["![how long nothing new is committed](recovery.svg)", ""] if name == "recovery" else []
            lines += table(rows(results[name]))
    if "against" in results:
        part = results["against"]
        lines += [f"## Against the programs of {part['day']} ({part['date']})", "",
                  f"Revision {part['revision']} and today's in turn, on the same backlogs; medians, and today's as so many times theirs.", "",
                  *table(against_rows(part))]
    text = "\n".join(lines)
    (folder / "RESULTS.md").write_text(text)
    plot(results, folder)
    return text


def plot(results, folder):
    import matplotlib
    matplotlib.use("svg")
    import matplotlib.pyplot as plt
    matplotlib.rcParams["svg.hashsalt"] = "sluice"
    if "drain" in results:
        plot_drain(plt, results["drain"], results.get("state"), results.get("growth"), folder / "results.svg")
    if "recovery" in results:
        plot_recovery(plt, results["recovery"], folder / "recovery.svg")


def stack(axis, cases, what):
    bottom = [0] * len(cases)
    for kind in KINDS:
        values = [drain[what].get(kind, 0) for _, drain in cases]
        axis.bar([name for name, _ in cases], values, bottom=bottom, label=kind, color=COLOURS[kind])
        bottom = [b + v for b, v in zip(bottom, values)]


def plot_drain(plt, part, state, live, path):
    figure, axes = plt.subplots(2, 3, figsize=(16, 8))
    (rate, cpu, behind), (memory, latency, rest) = axes
    rest.axis("off")
    cases = [("1 M, no\ncheckpoints", part["without"])] + [(f"1 M,\n{p} part.", d) for p, d in sorted(part["drains"].items(), key=lambda x: int(x[0]))]
    cases += [("4 M", part["large"])] + ([(f"{state['records'] / 1e6:.0f} M", state)] if state else [])
    rate.bar([name for name, _ in cases], [drain["rate"] / 1000 for _, drain in cases], color="#1565c0")
    rate.axhline(statistics.mean(f["rate"] for f in part["floors"]) / 1000, color="#ef6c00", linestyle="--", label="text COPY of 1 M rows")
    rate.set_title("drain, thousand records/s")
    rate.legend()
    stack(cpu, cases, "cpu")
    cpu.set_title("CPU-seconds per million records")
    cpu.legend()
    stack(memory, cases, "pss")
    memory.axhline(150, color="#b71c1c", linestyle=":", label="limit")
    memory.set_title("memory at its most, MB (PSS)")
    memory.legend()
    for interval, shift, name in (("1d", -0.2, "no checkpoints"), ("5s", 0.2, "every 5 s")):
        runs = part["latency"][interval]
        places = [n + shift for n in range(len(runs))]
        latency.bar(places, [r["p99"] for r in runs], width=0.38, color="#1565c0" if interval == "5s" else "#90caf9", label=f"p99, {name}")
        latency.plot(places, [r["p50"] for r in runs], "o", color="#0d47a1")
    latency.set_xticks(range(len(runs)), [f"{r['rate']:,}/s" for r in runs])
    latency.set_title("produce to commit, ms (dots: p50)")
    latency.legend()
    if live:
        names = [("1", "1 M,\n1 part."), ("4", "1 M,\n4 part."), ("16", "1 M,\n16 part."), ("large", "4 M")]
        behind.bar([name for _, name in names], [live["cases"][key]["p99"] for key, _ in names], color="#1565c0", label="p99")
        behind.bar([name for _, name in names], [live["cases"][key]["p50"] for key, _ in names], color="#90caf9", label="p50")
        behind.legend()
    behind.set_title("live at 5,000/s behind a backlog, ms")
    for axis in (rate, cpu, memory, latency):  # room for the legend
        axis.set_ylim(top=axis.get_ylim()[1] * 1.35)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def plot_recovery(plt, part, path):
    figure, axes = plt.subplots(1, 2, figsize=(12, 4), sharey=True)
    for axis, runs, title in ((axes[0], part["peer"], "a peer or standby takes over"), (axes[1], part["alone"], "alone, supervisord starts it again")):
        for role in KINDS:
            times = sorted(r["seconds"] for r in runs if r["role"] == role)
            if times:
                axis.step(times, [(n + 1) / len(times) for n in range(len(times))], where="post", label=role, color=COLOURS[role])
        axis.set_xlim(left=0)
        axis.set_title(title)
        axis.set_xlabel("seconds from kill -9 to the first newly committed epoch")
        axis.grid(alpha=0.3)
        axis.legend(loc="lower right")
    axes[0].set_ylabel("share of the kills")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
