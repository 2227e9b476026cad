"""Makes the tables of docs/BENCHMARKS.md out of raw results."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from statistics import median

DOCUMENT = Path(__file__).resolve().parent.parent / "docs/BENCHMARKS.md"
BEGIN = "<!-- begin: written by scripts/bench -->"
END = "<!-- end: written by scripts/bench -->"

# What each job is called, in the order of the tables.
TITLES = {
    "floor": "**floor**: list, and one `stat` each",
    "first": "psstat, first run: it must look at all",
    "first, all": "psstat, first run, all in 100 groups",
    "floor, one": "**floor** and `statm` of the one group",
    "one": "psstat, one group",
    "one, threads": "psstat, one group, `--multi-threaded`",
    "cmdline": "psstat, one group by `--cmdline`",
    "pid-file": "psstat, one group by `--pid-file`",
    "floor, eleven": "**floor** and `statm` of eleven groups",
    "eleven": "psstat, eleven groups",
    "floor, all": "**floor** and `statm` of all groups",
    "all in one": "psstat, all groups as one",
    "all in many": "psstat, all groups, each by itself",
    "exe": "psstat, all as one by `--exe`",
    "user": "psstat, all as one by `--user`",
    "cgroup": "psstat, a control group of ten processes",
    "systemctl": "`systemctl --version`: the least that it costs to ask systemd by a helper",
    "ps": "`ps -e -o pid,ppid,stat,time,rss,comm`",
    "pidstat": "`pidstat -p ALL -u -r 1 1` (looks twice)",
    "floor, held": "**floor** of a resident: `stat` and `statm` of the one group, held open",
    "execd, pid-file": "psstat execd, one group by `--pid-file`, one sample",
    "execd, pattern": "psstat execd, one group by `--pattern`, one sample",
    "process-exporter": "process-exporter, one scrape",
    "true": "`/bin/true`",
    "one, static": "psstat, linked statically (as released)",
    "one, dynamic": "psstat, linked dynamically",
}

# The floor that a job is compared with; the bare one where nothing is said. It asks the kernel
# for the same processes and the same `statm` files, and not for what only some selectors read.
FLOOR_OF = {
    **dict.fromkeys(["one", "one, threads", "cmdline"], "floor, one"),
    "eleven": "floor, eleven",
    **dict.fromkeys(["all in one", "all in many", "exe", "user"], "floor, all"),
}

# The bounds that psstat is held to.
BOUND_SCAN = 1.15
BOUND_START = 3.0
BOUND_PEAK_MIB = 6.0
BOUND_BINARY_MIB = 4.0
MEMORY_POPULATION = 10_000

BOUND_PID_FILE = 1 / 15
BOUND_PATTERN = 1 / 8
BOUND_RESIDENT = 1 / 40
BOUND_HELD = 1.3

# What must look at every process, and what must hold all that is looked at.
FULL_SCANS = ["first", "first, all"]
LARGEST = ["one", "eleven", "all in one", "all in many"]


class Spread:
    """Figures of the same thing: the median, and from where to where they went."""

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
            where = (entry.get("population"), entry.get("job"))
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
        """Of two jobs, round by round."""
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
        ratios = {at: raw.ratio(at, job, FLOOR_OF.get(job, "floor")).median for at in large}
        row(
            f"{TITLES[job]}: CPU, to the floor",
            f"{BOUND_SCAN} ×",
            at_each(raw, {at: f"{ratio:.2f}" for at, ratio in ratios.items()}),
            all(ratio <= BOUND_SCAN for ratio in ratios.values()) if ratios else None,
        )
    if MEMORY_POPULATION in raw.populations:
        at = MEMORY_POPULATION
        floor = raw.spread(at, "floor", "cpu").median
        for job, limit in {"pid-file": BOUND_PID_FILE, "one": BOUND_PATTERN}.items():
            ratio = raw.ratio(at, job, "floor").median
            row(
                f"{TITLES[job]}, N = {raw.processes(at):,}: CPU, to the floor",
                f"1/{1 / limit:.0f}",
                f"1/{1 / ratio:.1f}",
                ratio <= limit,
            )
        held = raw.per_sample(at, "floor, held")
        for job in ["execd, pid-file", "execd, pattern"]:
            cost = raw.per_sample(at, job)
            row(
                f"{TITLES[job]}, N = {raw.processes(at):,}: CPU, to the floor",
                f"1/{1 / BOUND_RESIDENT:.0f}",
                f"1/{floor / cost:.0f}",
                cost / floor <= BOUND_RESIDENT,
            )
        # A resident that knows its members by number does little else than read them.
        row(
            f"{TITLES['execd, pid-file']}: CPU, to the files held",
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
            f"{BOUND_START:.0f} ×",
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
    """Figures at several populations, each with its number of processes."""
    return ", ".join(f"{figure} at N = {raw.processes(at):,}" for at, figure in figures.items())


def costs(raw: Raw, population: int) -> str:
    """What every job cost at one population."""
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
            raw.ratio(population, job, FLOOR_OF.get(job, "floor")).text(2),
            f"{raw.spread(population, job, 'wall', 1000).median:.1f}",
            f"{raw.spread(population, job, 'peak', 1024).median:.1f}",
            "" if calls is None else f"{calls:,}",
        ]
        if raw.instructions:
            count = raw.instructions.get((population, job))
            row.append("" if count is None else f"{count / 1e6:.1f}")
        rows.append(row)
    floor = raw.spread(population, "floor", "cpu", 1000).median
    for (at, job), cost in raw.residents.items():
        if at == population:
            cpu = cost["cpu"] / cost["samples"] / 1000
            memory = f"{cost['resident'] / 1024:.1f}"
            rows.append([TITLES[job], f"{cpu:.2f}", f"{cpu / floor:.3f}", "", memory, ""])
    head = ["job", "CPU, ms", "× its floor", "wall, ms", "memory, MiB", "system calls"]
    if raw.instructions:
        head.append("instructions in user mode, millions")
        rows = [row + [""] * (len(head) - len(row)) for row in rows]
    text = (
        f"### N = {made['processes']:,}\n\n{made['made']:,} of them made: one group of {one}, "
        f"{len(others)} groups of {others[0]}; {made['below_leader']:,} have a smaller pid than "
        f"their leader. {len(raw.runs[population, 'floor'])} rounds; load of the machine before: "
        f"{made['load']:.1f}.\n\n"
    )
    return text + table(head, rows)


STARTS = ["true", "one, static", "one, dynamic"]


def starts(raw: Raw) -> str:
    """Start-up, where there is little else to do."""
    population = min(raw.populations)
    rows = [
        [
            TITLES[job],
            raw.spread(population, job, "wall", 1000).text(2),
            raw.ratio(population, job, "true", "wall").text(2),
            raw.spread(population, job, "cpu", 1000).text(2),
            raw.ratio(population, job, "true").text(2),
        ]
        for job in [*STARTS, "floor"]
        if raw.has(population, job)
    ]
    head = ["program", "wall, ms", "× `/bin/true`", "CPU, ms", "× `/bin/true`"]
    title = f"### Start-up, N = {raw.processes(population):,}\n\n"
    return title + table(head, rows)


def margins(raw: Raw) -> str:
    """What one process more costs: the difference of two medians over that of two numbers."""
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
        ["process that is not monitored, first run", per_other("first"), per_other("floor")],
        ["process that is not monitored, later", per_other("one"), per_other("floor")],
        [
            "monitored process, on top of that",
            per_monitored("one", "all in one"),
            per_monitored("floor, one", "floor, all"),
        ],
    ]
    head = ["one more", "psstat, µs of CPU", "floor, µs of CPU"]
    return "### One process more\n\n" + table(head, rows)


def tables(path: Path) -> str:
    """All of them, in Markdown."""
    raw = Raw(path)
    parts = [about(raw), f"Raw results: `benches/results/{path.name}`.", "### Bounds", bounds(raw)]
    parts += [starts(raw), margins(raw)]
    parts += [costs(raw, population) for population in raw.populations]
    return "\n\n".join(part for part in parts if part)


def write(path: Path) -> None:
    """Puts the tables between their markers in the document."""
    text = DOCUMENT.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{tables(path)}\n\n{END}{after}")
