"""Compares the results with what psstat may cost at most."""

from __future__ import annotations

from raw import BASELINE_OF, TITLES, Raw

# Sample that must look at every process, in any number of groups, to the baseline.
BOUND_SCAN = 1.15
FULL_SCANS = ["first", "first, all"]

# All groups idle, from the second sample on, to the plain baseline. By population.
BOUNDS_ALL = {10_000: 1.0, 25_000: BOUND_SCAN}
ALL_GROUPS = ["all in many", "execd, all"]

# One group of 100 idle processes in this population, to the plain baseline.
POPULATION = 10_000
BOUNDS_ONE = {
    "pid-file": 1 / 50,
    "one": 1 / 50,
    "execd, pid-file": 1 / 250,
    "execd, pattern": 1 / 120,
}

# The share of the members in a sample of a resident, to reading the files that are kept open.
BOUNDS_SHARE = {
    "execd, pid-file": 0.5,
    "execd, pattern": 0.5,
    "execd, pid-file, busy": 1.3,
    "execd, pattern, busy": 1.3,
}

# Wall time of a whole run, to `/bin/true`.
BOUND_START = 2.2

# Memory in MiB: the peak of a run in the population, and a resident with 1,000 monitored processes.
BOUND_PEAK = 6.0
LARGEST = ["one", "eleven", "all in one", "all in many"]
BOUND_RESIDENT = 8.0
RESIDENT_MEMBERS = 1_000

BOUND_BINARY_MIB = 4.0

HEAD = ["what", "bound", "measured (medians)", "kept"]


def rows(raw: Raw) -> list[list[str]]:
    """The rows of the table of bounds. What an older file of results does not have is left out."""
    bounds = Bounds(raw)
    bounds.scans()
    bounds.all_groups()
    bounds.one_group()
    bounds.members()
    bounds.following()
    bounds.start()
    bounds.memory()
    bounds.many()
    bounds.binary()
    return bounds.rows


class Bounds:
    def __init__(self, raw: Raw):
        self.raw = raw
        self.rows: list[list[str]] = []

    def row(self, what: str, bound: str, measured: str, kept: bool | None = None) -> None:
        verdict = {True: "yes", False: "**no**", None: ""}[kept]
        self.rows.append([what, bound, measured, verdict])

    def scans(self) -> None:
        for job in FULL_SCANS:
            ratios = {
                at: self.raw.ratio(at, job, BASELINE_OF.get(job, "baseline")).median
                for at in self.raw.large()
            }
            self.row(
                f"{TITLES[job]}: CPU, to the baseline",
                f"{BOUND_SCAN} ×",
                self.at_each({at: f"{ratio:.2f}" for at, ratio in ratios.items()}),
                all(ratio <= BOUND_SCAN for ratio in ratios.values()) if ratios else None,
            )

    def all_groups(self) -> None:
        for job in ALL_GROUPS:
            for at, limit in BOUNDS_ALL.items():
                ratio = self.raw.to_plain(at, job)
                if ratio is not None:
                    self.row(
                        f"{TITLES[job]}, {self.raw.where(at, job)}: CPU, to the plain baseline",
                        f"{limit:g} ×",
                        f"{ratio:.2f}",
                        ratio <= limit,
                    )

    def one_group(self) -> None:
        for job, limit in BOUNDS_ONE.items():
            ratio = self.raw.to_plain(POPULATION, job)
            if ratio is not None:
                self.row(
                    f"{TITLES[job]}, {self.raw.where(POPULATION, job)}: CPU, to the baseline",
                    f"1/{1 / limit:.0f}",
                    f"1/{1 / ratio:.0f}",
                    ratio <= limit,
                )

    def members(self) -> None:
        for job, limit in BOUNDS_SHARE.items():
            share = self.raw.share(POPULATION, job)
            if share is not None:
                self.row(
                    f"{TITLES[job]}, {self.raw.where(POPULATION, job)}: CPU for the members, "
                    "to reading their files kept open",
                    f"{limit} ×",
                    f"{share:.2f}",
                    share <= limit,
                )

    def following(self) -> None:
        smallest = min(self.raw.populations)
        for job in [job for job in ("pid-file", "cgroup") if self.raw.has(smallest, job)]:
            cpu = {at: self.raw.spread(at, job, "cpu", 1000) for at in self.raw.populations}
            self.row(
                f"{TITLES[job]}: CPU, ms",
                "follows M, not N",
                self.at_each({at: f"{spread.median:.1f}" for at, spread in cpu.items()}),
            )

    def start(self) -> None:
        smallest = min(self.raw.populations)
        if self.raw.has(smallest, "one, static"):
            ratio = self.raw.ratio(smallest, "one, static", "true", "wall").median
            self.row(
                f"start-up, {self.raw.processes(smallest)} processes: wall, to `/bin/true`",
                f"{BOUND_START:.1f} ×",
                f"{ratio:.2f}",
                ratio <= BOUND_START,
            )

    def memory(self) -> None:
        for job in [job for job in LARGEST if self.raw.has(POPULATION, job)]:
            self.memory_row(POPULATION, job, "peak", BOUND_PEAK)
        for (at, job), members in self.raw.members.items():
            if job == "execd, all" and members == RESIDENT_MEMBERS:
                self.memory_row(at, job, "resident", BOUND_RESIDENT)

    def memory_row(self, at: int, job: str, figure: str, limit: float) -> None:
        if (at, job) in self.raw.residents:
            memory = self.raw.residents[at, job][figure] / 1024
        else:
            memory = self.raw.spread(at, job, figure, 1024).median
        self.row(
            f"{TITLES[job]}, {self.raw.where(at, job)}: {figure} memory",
            f"{limit:.0f} MiB",
            f"{memory:.1f}",
            memory <= limit,
        )

    def many(self) -> None:
        ratios = {
            at: self.raw.ratio(at, "all in many", "all in one").median for at in self.raw.large()
        }
        self.row(
            "100 groups, to the same processes in one group: CPU",
            "cost follows N + M",
            self.at_each({at: f"{ratio:.2f}" for at, ratio in ratios.items()}),
        )

    def binary(self) -> None:
        size = self.raw.binary["static"] / (1 << 20)
        self.row(
            "binary", f"{BOUND_BINARY_MIB:.0f} MiB", f"{size:.2f}", size <= BOUND_BINARY_MIB
        )

    def at_each(self, figures: dict[int, str]) -> str:
        """Values at several populations, each with the number of processes."""
        pairs = figures.items()
        return ", ".join(f"{figure} at N = {self.raw.processes(at):,}" for at, figure in pairs)
