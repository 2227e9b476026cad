"""Creates the tables of docs/BENCHMARKS.md from raw results."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from statistics import median

DOCUMENT = Path(__file__).resolve().parent.parent / "docs/BENCHMARKS.md"
BEGIN = "<!-- begin: written by scripts/bench -->"
END = "<!-- end: written by scripts/bench -->"

# The title of each job, in the order of the tables.
TITLES = {
    "baseline": "**baseline**: list `/proc`, read one `stat` per process",
    "first": "psstat, first run (reads all processes)",
    "first, all": "psstat, first run, all processes in 100 groups",
    "baseline, one": "**baseline** and `statm` of the one group",
    "one": "psstat, one group",
    "one, threads": "psstat, one group, `--multi-threaded`",
    "cmdline": "psstat, one group by `--cmdline`",
    "pid-file": "psstat, one group by `--pid-file`",
    "baseline, eleven": "**baseline** and `statm` of eleven groups",
    "eleven": "psstat, eleven groups",
    "baseline, all": "**baseline** and `statm` of all groups",
    "all in one": "psstat, all groups as one",
    "all in many": "psstat, all groups, one line each",
    "exe": "psstat, all as one by `--exe`",
    "user": "psstat, all as one by `--user`",
    "cgroup": "psstat, a control group of ten processes",
    "systemctl": "`systemctl --version`, the least cost of a helper program that asks systemd",
    "ps": "`ps -e -o pid,ppid,stat,time,rss,comm`",
    "pidstat": "`pidstat -p ALL -u -r 1 1` (reads all twice)",
    "baseline, held": "**baseline** of a resident: `stat` and `statm` of the one group, kept open",
    "execd, pid-file": "psstat execd, one group by `--pid-file`, one sample",
    "execd, pattern": "psstat execd, one group by `--pattern`, one sample",
    "process-exporter": "process-exporter, one scrape",
    "true": "`/bin/true`",
    "one, static": "psstat, linked statically (as released)",
    "one, dynamic": "psstat, linked dynamically",
}

# The baseline that a job is compared with, if it is not the plain one. It reads the same processes and
# the same `statm` files. It does not read the files that only some selectors need.
BASELINE_OF = {
    **dict.fromkeys(["one", "one, threads", "cmdline"], "baseline, one"),
    "eleven": "baseline, eleven",
    **dict.fromkeys(["all in one", "all in many", "exe", "user"], "baseline, all"),
}

# What psstat may cost at most.
BOUND_SCAN = 1.15
BOUND_START = 2.2
BOUND_PEAK_MIB = 6.0
BOUND_BINARY_MIB = 4.0
MEMORY_POPULATION = 10_000

BOUND_PID_FILE = 1 / 50
BOUND_PATTERN = 1 / 50
BOUNDS_RESIDENT = {"execd, pid-file": 1 / 250, "execd, pattern": 1 / 120}
BOUND_HELD = 0.5

# The jobs that read every process, and the jobs whose memory has a bound.
FULL_SCANS = ["first", "first, all"]
LARGEST = ["one", "eleven", "all in one", "all in many"]


class Spread:
    """The median, the lowest and the highest of several measurements of the same value."""

    def __init__(self, figures: list[float]):
        self.median = median(figures)
        self.lowest, self.highest = min(figures), max(figures)

    def text(self, digits: int) -> str:
        return f"{self.median:.{digits}f} ({self.lowest:.{digits}f}–{self.highest:.{digits}f})"


class Raw:
    """The raw results of one run of the benchmark."""

    def __init__(self, path: Path):
        self.runs: dict[tuple[int, str], dict[int, dict[str, int]]] = defaultdict(dict)
        self.calls: dict[tuple[int, str], int] = {}
        self.instructions: dict[tuple[int, str], int] = {}
        self.residents: dict[tuple[int, str], dict[str, int]] = {}
        self.populations: dict[int, dict] = {}
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            # Older files call the baseline "floor".
            job = re.sub("^floor", "baseline", entry.get("job", ""))
            # Results of --against have two binaries.
            if "binary" in entry:
                job = f"{job} ({entry['binary']})"
            where = (entry.get("population"), job)
            match entry["kind"]:
                case "machine":
                    self.machine = entry
                case "binary":
                    self.binary = entry
                case "population":
                    self.populations[entry["population"]] = entry
                case "run":
                    self.runs[where][entry["round"]] = entry
                case "calls":
                    self.calls[where] = entry["calls"]
                case "instructions":
                    self.instructions[where] = entry["instructions"]
                case "resident":
                    self.residents[where] = entry

    def has(self, population: int, job: str) -> bool:
        return (population, job) in self.runs

    def spread(self, population: int, job: str, figure: str, scale: float = 1) -> Spread:
        rounds = self.runs[population, job].values()
        return Spread([entry[figure] / scale for entry in rounds])

    def ratio(self, population: int, job: str, to: str, figure: str = "cpu") -> Spread:
        """The ratio of two jobs in each round."""
        others = self.runs[population, to]
        pairs = ((run, others[number]) for number, run in self.runs[population, job].items())
        return Spread([run[figure] / max(other[figure], 1) for run, other in pairs])

    def per_sample(self, population: int, job: str) -> float:
        """CPU time of one sample of a resident, in microseconds."""
        cost = self.residents[population, job]
        return cost["cpu"] / cost["samples"]

    def processes(self, population: int) -> int:
        return self.populations[population]["processes"]


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def about(raw: Raw) -> str:
    machine = raw.machine
    virtual = " (virtual machine)" if machine["virtual"] else ""
    peers = ", ".join(f"{name} {version}" for name, version in machine["peers"].items())
    return (
        f"Measured {machine['date']} at {machine['psstat']}: {machine['processors']} × "
        f"{machine['processor']}{virtual}, {machine['memory_mib'] / 1024:.0f} GiB, Linux "
        f"{machine['linux']}, {machine['system']}, {machine['rustc']}. Debian packages: {peers}."
    )


def bounds(raw: Raw) -> str:
    rows = []

    def row(what: str, bound: str, measured: str, kept: bool | None) -> None:
        rows.append([what, bound, measured, {True: "yes", False: "**no**", None: ""}[kept]])

    large = [population for population in raw.populations if population >= 1_000]
    for job in FULL_SCANS:
        ratios = {at: raw.ratio(at, job, BASELINE_OF.get(job, "baseline")).median for at in large}
        row(
            f"{TITLES[job]}: CPU, to the baseline",
            f"{BOUND_SCAN} ×",
            at_each(raw, {at: f"{ratio:.2f}" for at, ratio in ratios.items()}),
            all(ratio <= BOUND_SCAN for ratio in ratios.values()) if ratios else None,
        )
    if MEMORY_POPULATION in raw.populations:
        at = MEMORY_POPULATION
        baseline = raw.spread(at, "baseline", "cpu").median
        for job, limit in {"pid-file": BOUND_PID_FILE, "one": BOUND_PATTERN}.items():
            ratio = raw.ratio(at, job, "baseline").median
            row(
                f"{TITLES[job]}, N = {raw.processes(at):,}: CPU, to the baseline",
                f"1/{1 / limit:.0f}",
                f"1/{1 / ratio:.1f}",
                ratio <= limit,
            )
        held = raw.per_sample(at, "baseline, held")
        for job, limit in BOUNDS_RESIDENT.items():
            cost = raw.per_sample(at, job)
            row(
                f"{TITLES[job]}, N = {raw.processes(at):,}: CPU, to the baseline",
                f"1/{1 / limit:.0f}",
                f"1/{baseline / cost:.0f}",
                cost / baseline <= limit,
            )
        # A resident that knows the pids of its members does little but read their files.
        row(
            f"{TITLES['execd, pid-file']}: CPU, to reading the files kept open",
            f"{BOUND_HELD} × for the members' share",
            f"{raw.per_sample(at, 'execd, pid-file') / held:.2f} for all of the sample",
            None,
        )
    smallest = min(raw.populations)
    for key in [key for key in ("pid-file", "cgroup") if raw.has(smallest, key)]:
        cpu = {at: raw.spread(at, key, "cpu", 1000).median for at in raw.populations}
        row(
            f"{TITLES[key]}: CPU, ms",
            "follows M, not N",
            at_each(raw, {at: f"{milliseconds:.1f}" for at, milliseconds in cpu.items()}),
            None,
        )
    if raw.has(smallest, "one, static"):
        ratio = raw.ratio(smallest, "one, static", "true", "wall").median
        row(
            f"start-up, {raw.processes(smallest)} processes: wall, to `/bin/true`",
            f"{BOUND_START:.1f} ×",
            f"{ratio:.2f}",
            ratio <= BOUND_START,
        )
    if MEMORY_POPULATION in raw.populations:
        for job in LARGEST:
            peak = raw.spread(MEMORY_POPULATION, job, "peak", 1024).median
            row(
                f"{TITLES[job]}: peak memory, N = {raw.processes(MEMORY_POPULATION):,}",
                f"{BOUND_PEAK_MIB:.0f} MiB",
                f"{peak:.1f}",
                peak <= BOUND_PEAK_MIB,
            )
    many = {at: raw.ratio(at, "all in many", "all in one").median for at in large}
    row(
        "100 groups, to the same processes in one group: CPU",
        "cost follows N + M",
        at_each(raw, {at: f"{ratio:.2f}" for at, ratio in many.items()}),
        None,
    )
    size = raw.binary["static"] / (1 << 20)
    row("binary", f"{BOUND_BINARY_MIB:.0f} MiB", f"{size:.2f}", size <= BOUND_BINARY_MIB)
    return table(["what", "bound", "measured (medians)", "kept"], rows)


def at_each(raw: Raw, figures: dict[int, str]) -> str:
    """Values at several populations, each with the number of processes."""
    return ", ".join(f"{figure} at N = {raw.processes(at):,}" for at, figure in figures.items())


def costs(raw: Raw, population: int) -> str:
    """The cost of every job at one population."""
    made = raw.populations[population]
    one = made["groups"]["one"]
    others = [size for name, size in made["groups"].items() if name != "one"]
    rows = []
    for job, title in TITLES.items():
        if not raw.has(population, job) or job in STARTS:
            continue
        calls = raw.calls.get((population, job))
        row = [
            title,
            raw.spread(population, job, "cpu", 1000).text(1),
            raw.ratio(population, job, BASELINE_OF.get(job, "baseline")).text(2),
            f"{raw.spread(population, job, 'wall', 1000).median:.1f}",
            f"{raw.spread(population, job, 'peak', 1024).median:.1f}",
            "" if calls is None else f"{calls:,}",
        ]
        if raw.instructions:
            count = raw.instructions.get((population, job))
            row.append("" if count is None else f"{count / 1e6:.1f}")
        rows.append(row)
    baseline = raw.spread(population, "baseline", "cpu", 1000).median
    for (at, job), cost in raw.residents.items():
        if at == population:
            cpu = cost["cpu"] / cost["samples"] / 1000
            memory = f"{cost['resident'] / 1024:.1f}"
            rows.append([TITLES[job], f"{cpu:.2f}", f"{cpu / baseline:.3f}", "", memory, ""])
    head = ["job", "CPU, ms", "× its baseline", "wall, ms", "memory, MiB", "system calls"]
    if raw.instructions:
        head.append("instructions in user mode, millions")
        rows = [row + [""] * (len(head) - len(row)) for row in rows]
    text = (
        f"### N = {made['processes']:,}\n\n{made['made']:,} of them created: one group of {one}, "
        f"{len(others)} groups of {others[0]}. {made['below_leader']:,} have a smaller pid than "
        f"their leader. {len(raw.runs[population, 'baseline'])} rounds. Load of the machine before: "
        f"{made['load']:.1f}.\n\n"
    )
    return text + table(head, rows)


STARTS = ["true", "one, static", "one, dynamic"]


def starts(raw: Raw) -> str:
    """Start-up time, measured with few processes."""
    population = min(raw.populations)
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
    large = [population for population in raw.populations if population >= 1_000]
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
        processes = sum(groups.values()) - 2 * groups["one"]
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
    parts = [about(raw), f"Raw results: `benches/results/{path.name}`.", "### Bounds", bounds(raw)]
    parts += [starts(raw), margins(raw)]
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
