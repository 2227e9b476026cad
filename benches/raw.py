"""The raw results of one run of the benchmark, and the titles of its jobs."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import mean, median

# The title of each job, in the order of the tables.
TITLES = {
    "baseline": "**baseline**: list `/proc`, read one `stat` per process",
    "first": "psstat, first run (reads all processes)",
    "first, all": "psstat, first run, all groups",
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
    "baseline, busy": "**baseline**, the one group busy",
    "one, busy": "psstat, one busy group",
    "pid-file, busy": "psstat, one busy group by `--pid-file`",
    "systemctl": "`systemctl --version`, the least cost of a helper program that asks systemd",
    "ps": "`ps -e -o pid,ppid,stat,time,rss,comm`",
    "pidstat": "`pidstat -p ALL -u -r 1 1` (reads all twice)",
    "baseline, held": "**baseline** of a resident: `stat` and `statm` of the one group, kept open",
    "execd, pid-file": "psstat execd, one group by `--pid-file`, one sample",
    "execd, pattern": "psstat execd, one group by `--pattern`, one sample",
    "process-exporter, one": "process-exporter, one group, one scrape",
    "execd, all": "psstat execd, all groups, one sample",
    "process-exporter, all": "process-exporter, all groups, one scrape",
    # Older results have only this one, and no psstat that monitors the same processes.
    "process-exporter": "process-exporter, all groups and the one group, one scrape",
    "execd, few, pid-file": "psstat execd, one process by `--pid-file`, one sample",
    "execd, few, pattern": "psstat execd, one process by `--pattern`, one sample",
    "baseline, held, busy": "**baseline** of a resident, the one group busy",
    "execd, pid-file, busy": "psstat execd, one busy group by `--pid-file`, one sample",
    "execd, pattern, busy": "psstat execd, one busy group by `--pattern`, one sample",
    "execd, few, pid-file, busy": (
        "psstat execd, one idle process by `--pid-file`, the one group busy, one sample"
    ),
    "true": "`/bin/true`",
    "one, static": "psstat, linked statically (as released)",
    "one, dynamic": "psstat, linked dynamically",
}

STARTS = ["true", "one, static", "one, dynamic"]

# The baseline that a job is compared with, if it is not the plain one. It reads the same processes and
# the same `statm` files. It does not read the files that only some selectors need.
BASELINE_OF = {
    **dict.fromkeys(["one", "one, threads", "cmdline"], "baseline, one"),
    "eleven": "baseline, eleven",
    **dict.fromkeys(["all in one", "all in many", "exe", "user"], "baseline, all"),
    **dict.fromkeys(["baseline, busy", "one, busy", "pid-file, busy"], "baseline, busy"),
}

# The job that differs only in the members: it monitors one process.
FEW_OF = {
    "execd, pid-file": "execd, few, pid-file",
    "execd, pattern": "execd, few, pattern",
    "execd, pid-file, busy": "execd, few, pid-file, busy",
    # By pattern, psstat also looks at processes that have run and are no members. So the processes that
    # are members in one job must be idle in the other, and the share is an upper limit.
    "execd, pattern, busy": "execd, few, pattern",
}


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
        self.members: dict[tuple[int, str], int | str] = {}
        self.populations: dict[int, dict] = {}
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            # Older files call the baseline "floor".
            job = re.sub("^floor", "baseline", entry.get("job", ""))
            # Results of --against have two binaries.
            if "binary" in entry:
                job = f"{job} ({entry['binary']})"
            where = (entry.get("population"), job)
            if entry.get("members") is not None:
                self.members[where] = entry["members"]
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

    def to_plain(self, population: int, job: str) -> float | None:
        """CPU time of a job or of one sample of a resident, to that of the plain baseline."""
        if self.has(population, job):
            return self.ratio(population, job, "baseline").median
        if (population, job) in self.residents:
            baseline = self.spread(population, "baseline", "cpu").median
            return self.per_sample(population, job) / baseline
        return None

    def share(self, population: int, job: str) -> float | None:
        """The share of the members in a sample of a resident, to reading the files that are kept open.

        It is what the sample costs more than one of a single process.
        """
        held = "baseline, held, busy" if job.endswith(", busy") else "baseline, held"
        few = FEW_OF[job]
        if any((population, key) not in self.residents for key in (job, few, held)):
            return None
        of_members = self.per_sample(population, job) - self.per_sample(population, few)
        return of_members / self.per_sample(population, held)

    def per_sample(self, population: int, job: str) -> float:
        """CPU time of one sample of a resident, in microseconds."""
        cost = self.residents[population, job]
        return cost["cpu"] / cost["samples"]

    def processes(self, population: int) -> int:
        return self.populations[population]["processes"]

    def where(self, population: int, job: str) -> str:
        """The numbers of processes on the machine and monitored."""
        members = self.members.get((population, job))
        known = "" if members is None else f", M = {written(members)}"
        return f"N = {self.processes(population):,}{known}"

    def large(self) -> list[int]:
        """The populations in which a scan costs more than the start-up."""
        return [population for population in self.populations if population >= 1_000]


def written(members: int | str | None) -> str:
    """A number of processes. Older results do not have it."""
    return f"{members:,}" if isinstance(members, int) else members or ""


@dataclass
class Errors:
    """How far one program was from the kernel's account of a group, as fractions of it."""

    rms: float
    largest: float

    @staticmethod
    def of(entry: dict) -> Errors:
        pairs = zip(entry["reported"], entry["used"])
        errors = [reported / used - 1 for reported, used in pairs]
        return Errors(sqrt(mean(error**2 for error in errors)), max(map(abs, errors)))

    def text(self) -> str:
        return f"{100 * self.rms:.2f} %, {100 * self.largest:.2f} %"
