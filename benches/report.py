"""Creates the tables of docs/BENCHMARKS.md from raw results."""

from __future__ import annotations

from pathlib import Path

import bounds
from raw import BASELINE_OF, STARTS, TITLES, Raw, written

DOCUMENT = Path(__file__).resolve().parent.parent / "docs/BENCHMARKS.md"
BEGIN = "<!-- begin: written by scripts/bench -->"
END = "<!-- end: written by scripts/bench -->"

# The jobs of psstat and of another program that monitor the same processes.
PEERS = {"execd, pattern": "process-exporter, one", "execd, all": "process-exporter, all"}

# The jobs that monitor one process. Their memory grows only with what is kept of other processes.
BY_PID_FILE, BY_PATTERN = "execd, few, pid-file", "execd, few, pattern"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def measured(machine: dict) -> str:
    """When, with which psstat and on what machine the results were measured."""
    virtual = " (virtual machine)" if machine["virtual"] else ""
    return (
        f"Measured {machine['date']} at {machine['psstat']}: {machine['processors']} × "
        f"{machine['processor']}{virtual}, {machine['memory_mib'] / 1024:.0f} GiB, Linux "
        f"{machine['linux']}, {machine['system']}"
    )


def versions(machine: dict) -> str:
    """The other programs, with their versions."""
    return ", ".join(f"{name} {version}" for name, version in machine["peers"].items())


def about(raw: Raw) -> str:
    machine = raw.machine
    return f"{measured(machine)}, {machine['rustc']}. Debian packages: {versions(machine)}."


def costs(raw: Raw, population: int) -> str:
    """The cost of every job at one population."""
    made = raw.populations[population]
    others = [size for name, size in made["groups"].items() if name not in ("one", "few")]
    head = ["job", "M", "CPU, ms", "× its baseline", "wall, ms", "memory, MiB", "system calls"]
    rows = []
    for job in TITLES:
        if raw.has(population, job) and job not in STARTS:
            rows.append(one_shot(raw, population, job))
        elif (population, job) in raw.residents:
            rows.append(resident(raw, population, job))
    if raw.instructions:
        head.append("instructions in user mode, millions")
        rows = [row + [""] * (len(head) - len(row)) for row in rows]
    text = (
        f"### N = {made['processes']:,}\n\n{made['made']:,} of them created: one group of "
        f"{made['groups']['one']}, {len(others)} groups of {others[0]}. {made['below_leader']:,} have a "
        f"smaller pid than their leader. {len(raw.runs[population, 'baseline'])} rounds. Load of the "
        f"machine before: {made['load']:.1f}.\n\n"
    )
    return text + table(head, rows)


def one_shot(raw: Raw, population: int, job: str) -> list[str]:
    calls = raw.calls.get((population, job))
    count = raw.instructions.get((population, job))
    return [
        TITLES[job],
        written(raw.members.get((population, job))),
        raw.spread(population, job, "cpu", 1000).text(1),
        raw.ratio(population, job, BASELINE_OF.get(job, "baseline")).text(2),
        f"{raw.spread(population, job, 'wall', 1000).median:.1f}",
        f"{raw.spread(population, job, 'peak', 1024).median:.1f}",
        "" if calls is None else f"{calls:,}",
        *([] if count is None else [f"{count / 1e6:.1f}"]),
    ]


def resident(raw: Raw, population: int, job: str) -> list[str]:
    return [
        TITLES[job],
        written(raw.members.get((population, job))),
        f"{raw.per_sample(population, job) / 1000:.2f}",
        f"{raw.to_plain(population, job):.3f}",
        "",
        f"{raw.residents[population, job]['resident'] / 1024:.1f}",
        "",
    ]


def peers(raw: Raw) -> str:
    """Residents that monitor the same processes, next to each other."""
    rows = []
    for population in raw.populations:
        for psstat, other in PEERS.items():
            if (population, other) in raw.residents:
                costs = [raw.per_sample(population, job) / 1000 for job in (psstat, other)]
                rows.append(
                    [
                        f"{raw.processes(population):,}",
                        written(raw.members.get((population, psstat))),
                        *(f"{cost:.2f}" for cost in costs),
                        f"{costs[1] / costs[0]:.0f}",
                    ]
                )
    head = ["N", "M", "psstat execd, ms of CPU", "process-exporter, ms of CPU", "ratio"]
    return "### Next to process-exporter\n\n" + table(head, rows) if rows else ""


def clock_table(raw: Raw) -> str:
    """The memory of a resident that selects by attributes, next to one that knows the pid.

    Both monitor one process. Only the first keeps the clocks of all others.
    """
    known = [at for at in raw.populations if (at, BY_PATTERN) in raw.residents]
    if len(known) < 2:
        return ""

    def anonymous(at: int, job: str) -> int:
        return raw.residents[at, job]["anonymous"]

    def more(at: int) -> int:
        return anonymous(at, BY_PATTERN) - anonymous(at, BY_PID_FILE)

    rows = []
    for at in known:
        processes = raw.processes(at) - raw.processes(known[0])
        grown = 1024 * (more(at) - more(known[0]))
        rows.append(
            [
                f"{raw.processes(at):,}",
                *(f"{anonymous(at, job):,}" for job in (BY_PID_FILE, BY_PATTERN)),
                f"{more(at):,}",
                f"{grown / processes:.0f}" if processes else "",
            ]
        )
    head = ["N", "by `--pid-file`, KiB", "by `--pattern`, KiB", "difference, KiB"]
    head.append("its growth from the first row, bytes per process")
    return "### Memory of the clock table, M = 1\n\n" + table(head, rows)


def starts(raw: Raw) -> str:
    """Start-up time, measured with few processes."""
    population = min(raw.populations)
    if not raw.has(population, "true"):
        return ""
    rows = [
        [
            TITLES[job],
            raw.spread(population, job, "wall", 1000).text(2),
            raw.ratio(population, job, "true", "wall").text(2),
            raw.spread(population, job, "cpu", 1000).text(2),
            raw.ratio(population, job, "true").text(2),
        ]
        for job in [*STARTS, "baseline"]
        if raw.has(population, job)
    ]
    head = ["program", "wall, ms", "× `/bin/true`", "CPU, ms", "× `/bin/true`"]
    title = f"### Start-up, N = {raw.processes(population):,}\n\n"
    return title + table(head, rows)


def margins(raw: Raw) -> str:
    """The cost of one more process: the difference of two medians, per process."""
    large = raw.large()
    if len(large) < 2:
        return ""
    low, high = large[0], large[1]

    def micros(at: int, job: str) -> float:
        return raw.spread(at, job, "cpu").median

    def per_other(job: str) -> str:
        processes = raw.processes(high) - raw.processes(low)
        return f"{(micros(high, job) - micros(low, job)) / processes:.2f}"

    def per_monitored(some: str, every: str) -> str:
        groups = raw.populations[high]["groups"]
        others = sum(size for name, size in groups.items() if name not in ("one", "few"))
        processes = others - groups["one"]
        return f"{(micros(high, every) - micros(high, some)) / processes:.2f}"

    rows = [
        ["process that is not monitored, in the first run", per_other("first"), per_other("baseline")],
        ["process that is not monitored, in a later run", per_other("one"), per_other("baseline")],
        [
            "monitored process, in addition to that",
            per_monitored("one", "all in one"),
            per_monitored("baseline, one", "baseline, all"),
        ],
    ]
    head = ["one more", "psstat, µs of CPU", "baseline, µs of CPU"]
    return "### One process more\n\n" + table(head, rows)


def tables(path: Path) -> str:
    """All tables, in Markdown."""
    raw = Raw(path)
    parts = [about(raw), f"Raw results: `benches/results/{path.name}`."]
    parts += ["### Bounds", table(bounds.HEAD, bounds.rows(raw))]
    parts += [peers(raw), clock_table(raw), starts(raw), margins(raw)]
    parts += [costs(raw, population) for population in raw.populations]
    return "\n\n".join(part for part in parts if part)


def comparison(path: Path) -> str:
    """The two binaries that --against measured, in Markdown."""
    raw = Raw(path)
    head = ["job", "CPU before, ms", "CPU now, ms", "ratio", "wall: ratio", "memory, MiB"]
    parts = [
        "The ratio is that of the release build (now) to the other binary (before), of both runs in a "
        "round: the median of all rounds, and in parentheses the lowest and the highest. Below 1 the "
        "release build costs less."
    ]
    for population in raw.populations:
        rows = []
        for job, title in TITLES.items():
            new, old = f"{job} (new)", f"{job} (old)"
            if not raw.has(population, new):
                continue
            resident = job.startswith("execd")
            peaks = [raw.spread(population, key, "peak", 1024).median for key in (old, new)]
            rows.append(
                [
                    "psstat, start-up" if job in STARTS else title,
                    raw.spread(population, old, "cpu", 1000).text(3),
                    raw.spread(population, new, "cpu", 1000).text(3),
                    raw.ratio(population, new, old).text(2),
                    "" if resident else raw.ratio(population, new, old, "wall").text(2),
                    f"{peaks[0]:.1f}, {peaks[1]:.1f}",
                ]
            )
        rounds = len(next(iter(raw.runs.values())))
        title = f"### N = {raw.processes(population):,}, {rounds} rounds\n\n"
        parts.append(title + table(head, rows))
    return "\n\n".join(parts)


def write(path: Path) -> None:
    """Writes the tables into the document, between the two markers."""
    text = DOCUMENT.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{tables(path)}\n\n{END}{after}")
