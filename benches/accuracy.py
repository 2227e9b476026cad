"""How far the CPU time that programs report is from the kernel's account.

The processes are light workers: each wakes up periodically and uses a little CPU, as those of many
services do. All programs look at the same processes in the same run. The kernel's account of a group is
read right before and right after each sample, and the mean of both is the account at that sample.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from environment import Results, output_of, say
from one_shots import Psstat
from population import CONTROL_GROUP, Population, control_group, cpu_clock, population
from residents import Execd, ExecdJob, ProcessExporter

SAMPLES = 30
QUICK_SAMPLES = 5
INTERVAL = 1.0

# Reads the CPU time of each group since some moment, in seconds.
Read = Callable[[], dict[str, float]]


@dataclass(frozen=True)
class Load:
    """A group of light workers. Times are in microseconds."""

    processes: int
    usage: int
    period: int

    @property
    def name(self) -> str:
        return f"light{self.processes}"

    @property
    def argument(self) -> str:
        return f"{self.name}:{self.processes}:{self.usage}:{self.period}"


LOADS = [Load(20, 1_000, 200_000), Load(50, 500, 500_000), Load(100, 300, 1_000_000)]


def measure(samples: int, results: Results, directory: Path) -> None:
    """Compares all programs with the kernel's account of each load."""
    say(f"accuracy: {samples} samples")
    with ExitStack() as stack:
        made = stack.enter_context(population([load.argument for load in LOADS], directory))
        account, source = stack.enter_context(kernel_account(made))
        programs = {}
        for key, program in PROGRAMS.items():
            if key != "process-exporter" or shutil.which(ProcessExporter.program):
                programs[key] = stack.enter_context(program(made))
        readings = read_in_turns(programs, account, samples)
    for key, pairs in readings.items():
        for load in LOADS:
            results.add(
                "accuracy",
                program=key,
                **vars(load),
                account=source,
                reported=gains([reported[load.name] for reported, _ in pairs]),
                used=gains([used[load.name] for _, used in pairs]),
            )


def read_in_turns(
    programs: dict[str, Read], account: Read, samples: int
) -> dict[str, list[tuple[dict[str, float], dict[str, float]]]]:
    """What each program and the kernel's account said at each sample."""
    # The first sample of psstat is a baseline.
    for read in [*programs.values(), *programs.values()]:
        read()
    readings = {key: [] for key in programs}
    start = time.monotonic()
    for _ in range(samples + 1):
        time.sleep(INTERVAL - (time.monotonic() - start) % INTERVAL)
        for key, read in programs.items():
            before = account()
            reported = read()
            after = account()
            used = {name: (before[name] + after[name]) / 2 for name in before}
            readings[key].append((reported, used))
    return readings


def gains(totals: list[float]) -> list[float]:
    return [round(later - earlier, 9) for earlier, later in zip(totals, totals[1:])]


@contextmanager
def kernel_account(made: Population) -> Iterator[tuple[Read, str]]:
    """The kernel's account of each group, and where it is from."""
    with ExitStack() as stack:
        groups = {
            name: stack.enter_context(control_group(f"{CONTROL_GROUP}-{name}", pids))
            for name, pids in made.members.items()
        }
        if all(group and (group / "cpu.stat").exists() for group in groups.values()):
            yield lambda: {name: usage(group) for name, group in groups.items()}, "cpu.stat"
        else:
            members = made.members.items()
            yield lambda: {name: sum(map(run_time, pids)) for name, pids in members}, "schedstat"


def usage(group: Path) -> float:
    """The CPU time of a control group in seconds. The kernel counts it in microseconds."""
    return int(re.search(r"usage_usec (\d+)", (group / "cpu.stat").read_text())[1]) / 1e6


def run_time(pid: int) -> float:
    """The time that the scheduler let a process run, in seconds."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


class Sum:
    """Adds up what psstat prints: `p_cpu`, times the time since the line before."""

    LINE = re.compile(r"process_name=(\S+) p_cpu=([\d.]+),.* (\d+)$", re.MULTILINE)

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.last: dict[str, int] = {}

    def add(self, text: str) -> dict[str, float]:
        for name, cores, stamp in self.LINE.findall(text):
            since = int(stamp) - self.last.get(name, int(stamp))
            self.seconds[name] = self.seconds.get(name, 0) + float(cores) * since / 1e9
            self.last[name] = int(stamp)
        return dict(self.seconds)


def selectors(made: Population) -> list[str]:
    """By pid, a sample reads only the members. So it is short, and the account is close to it."""
    return [word for name, pid in made.leaders.items() for word in ("--pid", f"{name}:{pid}")]


@contextmanager
def execd(made: Population) -> Iterator[Read]:
    resident = Execd(ExecdJob("execd", selectors(made), made.sizes(*made.members)))
    total = Sum()
    try:
        yield lambda: total.add(resident.ask())
    finally:
        resident.stop()


@contextmanager
def one_shot(made: Population) -> Iterator[Read]:
    job = Psstat(made.directory).sample("one shot", {}, *selectors(made))
    job.run(made.directory / "output", warm_up=True)
    total = Sum()
    yield lambda: total.add(output_of(*job.argv))


@contextmanager
def process_exporter(made: Population) -> Iterator[Read]:
    counter = re.compile(
        r'^namedprocess_namegroup_cpu_seconds_total{groupname="(\w+)",mode="\w+"} (\S+)$',
        re.MULTILINE,
    )
    exporter = ProcessExporter("process-exporter", made.sizes(*made.members), made.directory)

    def read() -> dict[str, float]:
        seconds = dict.fromkeys(made.members, 0.0)
        for name, mode in counter.findall(exporter.ask()):
            seconds[name] += float(mode)
        return seconds

    try:
        yield read
    finally:
        exporter.stop()


@contextmanager
def sum_of_clocks(made: Population) -> Iterator[Read]:
    members = made.members.items()
    yield lambda: {name: sum(map(cpu_clock, pids)) / 1e9 for name, pids in members}


PROGRAMS = {
    "execd": execd,
    "one shot": one_shot,
    "process-exporter": process_exporter,
    "sum of clocks": sum_of_clocks,
}
