"""How far the CPU time that programs report is from the kernel's account.

The processes are light workers: each wakes up periodically and uses a little CPU, as those of many
services do. All programs look at the same processes in the same run. The kernel's account of a group is
its control group's `cpu.stat`. For a program that takes a sample on request, the account is read right
before and right after the sample, and the mean of both is the account at that sample. For a program that
takes samples on its own, a thread reads the account every 5 ms, and the account at a sample is between
the two readings around it.
"""

from __future__ import annotations

import bisect
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from environment import Results, Wrong, output_of, say
from one_shots import Psstat
from peers import PEERS, Group, Peer, Sample, find, installed
from population import CONTROL_GROUP, Population, control_group, cpu_clock, population
from residents import Execd, ExecdJob, ProcessExporter

SAMPLES = 30
QUICK_SAMPLES = 5
INTERVAL = 1.0

# How often the account is read for programs that take samples on their own, in seconds.
RESOLUTION = 0.005

# Reads the CPU time of each group since some moment, in seconds.
Read = Callable[[], dict[str, float]]


@dataclass(frozen=True)
class Readings:
    """What a program and the account said in each interval."""

    # The length of each interval in seconds.
    seconds: list[float]
    # Of each group, in seconds of CPU time.
    reported: dict[str, list[float]]
    used: dict[str, list[float]]

    @staticmethod
    def of(times: list[float], reported: list[dict], used: list[dict]) -> Readings:
        """From totals at these moments."""
        names = used[0]
        return Readings(
            gains(times),
            {name: gains([totals.get(name, 0) for totals in reported]) for name in names},
            {name: gains([totals[name] for totals in used]) for name in names},
        )

    def row(self, name: str) -> dict[str, list[float]]:
        return {
            "seconds": self.seconds,
            "reported": self.reported[name],
            "used": self.used[name],
        }


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
        account, source = stack.enter_context(kernel_account(made.members))
        programs = {}
        for key, program in PROGRAMS.items():
            if key not in NEEDED or find(NEEDED[key]):
                programs[key] = stack.enter_context(program(made))
        peers = stack.enter_context(running(installed(PEERS), groups_of(made), directory))
        readings = compare(programs, peers, account, samples)
    for key, reading in readings.items():
        for load in LOADS:
            row = reading.row(load.name)
            results.add("accuracy", program=key, **vars(load), account=source, **row)


def groups_of(made: Population) -> list[Group]:
    return [Group(name, pid, (name,)) for name, pid in made.leaders.items()]


@contextmanager
def running(
    peers: list[type[Peer]], groups: list[Group], directory: Path
) -> Iterator[dict[str, Peer]]:
    """Starts these programs, and ends them at the end of the block."""
    started = {}
    try:
        for peer in peers:
            place = directory / peer.__name__
            place.mkdir()
            started[peer.title] = peer(groups, place)
        yield started
    finally:
        for peer in started.values():
            peer.stop()


def compare(
    programs: dict[str, Read], peers: dict[str, Peer], account: Read, samples: int
) -> dict[str, Readings]:
    """What each program and the kernel's account said in each interval."""
    with history(account) as before:
        # Of what comes before its first sample, a program knows nothing.
        for peer in peers.values():
            peer.wait(1, 60)
        first = {key: len(peer.samples) for key, peer in peers.items()}
        readings = read_in_turns(programs, account, samples)
        for key, peer in peers.items():
            last = first[key] + samples
            peer.wait(last + 1, 60 + 10 * samples * INTERVAL)
            readings[key] = in_intervals(peer.samples[first[key] : last + 1], before)
    return readings


def read_in_turns(programs: dict[str, Read], account: Read, samples: int) -> dict[str, Readings]:
    """Asks each program for a sample in each interval."""
    if not programs:
        return {}
    # The first sample of psstat is a baseline.
    for read in [*programs.values(), *programs.values()]:
        read()
    samples_of = {key: [] for key in programs}
    start = time.monotonic()
    for _ in range(samples + 1):
        time.sleep(INTERVAL - (time.monotonic() - start) % INTERVAL)
        for key, read in programs.items():
            before = account()
            reported = read()
            after = account()
            used = {name: (before[name] + after[name]) / 2 for name in before}
            samples_of[key].append((time.monotonic(), reported, used))
    return {key: Readings.of(*map(list, zip(*taken))) for key, taken in samples_of.items()}


def in_intervals(samples: list[Sample], history: History) -> Readings:
    """What a program that takes samples on its own said since the sample before."""
    names = samples[0].cpu
    return Readings(
        gains([sample.time for sample in samples]),
        {name: [round(sample.cpu[name], 9) for sample in samples[1:]] for name in names},
        {name: gains([history.at(sample.time, name) for sample in samples]) for name in names},
    )


def gains(totals: list[float]) -> list[float]:
    return [round(later - earlier, 9) for earlier, later in zip(totals, totals[1:])]


class History:
    """What the kernel's account said at each moment."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.totals: list[dict[str, float]] = []

    def add(self, totals: dict[str, float]) -> None:
        self.times.append(time.time())
        self.totals.append(totals)

    def at(self, moment: float, name: str) -> float:
        """The account of a group between the two readings around this moment."""
        after = bisect.bisect(self.times, moment)
        if after in (0, len(self.times)):
            raise Wrong("a sample was taken while the account was not read")
        start, end = self.times[after - 1 : after + 1]
        low, high = (totals[name] for totals in self.totals[after - 1 : after + 1])
        return low + (high - low) * (moment - start) / (end - start)


@contextmanager
def history(account: Read) -> Iterator[History]:
    """Reads the account all the time."""
    kept, done = History(), threading.Event()

    def follow() -> None:
        while not done.wait(RESOLUTION):
            kept.add(account())

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        done.set()
        thread.join()


@contextmanager
def kernel_account(members: dict[str, list[int]]) -> Iterator[tuple[Read, str]]:
    """The kernel's account of each group, and where it is from."""
    with ExitStack() as stack:
        groups = {
            name: stack.enter_context(control_group(f"{CONTROL_GROUP}-{name}", pids))
            for name, pids in members.items()
        }
        if all(group and (group / "cpu.stat").exists() for group in groups.values()):
            yield lambda: {name: usage(group) for name, group in groups.items()}, "cpu.stat"
        else:
            yield (
                lambda: {name: sum(map(run_time, pids)) for name, pids in members.items()},
                "schedstat",
            )


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
def execd(selectors: list[str], groups: dict[str, int]) -> Iterator[Read]:
    """A resident psstat. `groups` has a key for each line of a sample."""
    resident = Execd(ExecdJob("execd", selectors, groups))
    total = Sum()
    try:
        yield lambda: total.add(resident.ask())
    finally:
        resident.stop()


def all_groups(made: Population) -> AbstractContextManager[Read]:
    return execd(selectors(made), made.sizes(*made.members))


@contextmanager
def one_shot(made: Population) -> Iterator[Read]:
    job = Psstat(made.directory).sample("one shot", {}, *selectors(made))
    job.run(made.directory / "output", warm_up=True)
    total = Sum()
    yield lambda: total.add(output_of(*job.argv))


class OriginalSum:
    """Adds up what the original psstat prints, which has no time of its own."""

    LINE = re.compile(r"process_name=(\S+) pcpu=([\d.]+),")

    def __init__(self, argv: list[str | Path]) -> None:
        self.argv = argv
        self.seconds: dict[str, float] = {}
        self.last = time.monotonic()

    def read(self) -> dict[str, float]:
        now = time.monotonic()
        for name, cores in self.LINE.findall(output_of(*self.argv)):
            self.seconds[name] = self.seconds.get(name, 0) + float(cores) * (now - self.last)
        self.last = now
        return dict(self.seconds)


@contextmanager
def original(made: Population) -> Iterator[Read]:
    cache = ["--cache-dir", made.directory, "--cache-name", "original"]
    yield OriginalSum([find(NEEDED["original"]), *cache, *selectors(made)]).read


@contextmanager
def process_exporter(made: Population) -> Iterator[Read]:
    exporter = ProcessExporter("process-exporter", made.sizes(*made.members), made.directory)
    try:
        yield lambda: exported_cpu(exporter.ask())
    finally:
        exporter.stop()


def exported_cpu(page: str) -> dict[str, float]:
    """The CPU time of each group on a page of process-exporter."""
    counter = re.compile(
        r'^namedprocess_namegroup_cpu_seconds_total{groupname="([\w-]+)",mode="\w+"} (\S+)$',
        re.MULTILINE,
    )
    seconds: dict[str, float] = {}
    for name, mode in counter.findall(page):
        seconds[name] = seconds.get(name, 0) + float(mode)
    return seconds


@contextmanager
def sum_of_clocks(made: Population) -> Iterator[Read]:
    members = made.members.items()
    yield lambda: {name: sum(map(cpu_clock, pids)) / 1e9 for name, pids in members}


PROGRAMS = {
    "execd": all_groups,
    "one shot": one_shot,
    "original": original,
    "process-exporter": process_exporter,
    "sum of clocks": sum_of_clocks,
}

# Programs that may be missing. The variable of the original is `ORIGINAL_PSSTAT`.
NEEDED = {"original": "original-psstat", "process-exporter": ProcessExporter.program}
