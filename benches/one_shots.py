"""The jobs that start a new process for every sample."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from checks import at_least, lines_of_one, nothing_printed, psstat_saw
from environment import BASELINE, PSSTAT, PSSTAT_DYNAMIC, RUSAGE, SPAWN_PROCESSES, Wrong
from population import GROUPED, GROUPS, ONE, Population

# pidstat is not measured with more created processes: its cost grows with the square of N.
PIDSTAT_UP_TO = 11_000

# The jobs that are also measured while the group runs between two samples.
BUSY = ["baseline", "pid-file", "one"]

# Under strace, on a busy machine, a run may take longer than the default timeout of 4 s.
TIMEOUT = ["--timeout", "60s"]


@dataclass(frozen=True)
class OneShot:
    """A job that starts a new process for every sample."""

    key: str
    argv: list[str | Path]
    # The number of processes that it monitors: M. "N" means all processes of the machine.
    members: int | str | None = None
    # Gets the output of the job. Raises `Wrong` if it does not show the created processes.
    check: Callable[[str], None] = lambda text: None
    # What happens before the run.
    before: Callable[[], None] = lambda: None

    def run(self, scratch: Path, warm_up: bool = False) -> dict[str, int]:
        """Runs the job once. Returns times in microseconds, memory in KiB."""
        self.before()
        with open(scratch, "w+") as output:
            done = subprocess.run(
                [RUSAGE, *self.argv], stdout=output, stderr=subprocess.PIPE, text=True, check=True
            )
            output.seek(0)
            text = output.read()
        status, user, system, wall, peak = map(int, done.stderr.splitlines()[-1].split())
        if status != 0:
            raise Wrong(f"{self.key}: exit status {status}: {done.stderr}")
        # The first run of psstat stores a baseline and prints nothing.
        if not warm_up:
            self.check(text)
        return {"cpu": user + system, "wall": wall, "peak": peak}

    def system_calls(self, scratch: Path) -> int:
        """The number of system calls of a run, in all threads."""
        self.before()
        counts = scratch.with_suffix(".strace")
        subprocess.run(
            ["strace", "-c", "-f", "-o", counts, *self.argv],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        total = counts.read_text().splitlines()[-1].split()
        # The columns: % time, seconds, usecs/call, calls, errors (if any), "total".
        return int(total[3])

    def instructions(self) -> int | None:
        """The number of instructions of a run in user mode, if the processor counts them."""
        self.before()
        done = subprocess.run(
            ["perf", "stat", "-x", ",", "-e", "instructions:u", *self.argv],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        count = done.stderr.splitlines()[-1].split(",")[0] if done.stderr else ""
        return int(count) if count.isdigit() else None


class Psstat:
    """Makes the jobs of one psstat binary, which share a directory of cache files."""

    def __init__(self, cache: Path, binary: Path = PSSTAT):
        self.cache = cache
        self.binary = binary

    def sample(self, key: str, expected: dict[str, int], *selectors: str | Path) -> OneShot:
        argv = [self.binary, *selectors, "--cache-dir", self.cache, *TIMEOUT]
        members = sum(map(abs, expected.values()))
        return OneShot(key, argv, members, psstat_saw(key, expected))

    def first(self, key: str, members: int, *selectors: str) -> OneShot:
        """The first run: its cache file is removed before it."""
        argv = [self.binary, *selectors, "--cache-dir", self.cache, "--cache-name", key, *TIMEOUT]

        def forget() -> None:
            (self.cache / key).unlink(missing_ok=True)

        return OneShot(key, argv, members, nothing_printed(key), forget)


def start_jobs(made: Population, psstat: Psstat) -> list[OneShot]:
    """Start-up, which is compared in the smallest population."""
    one = psstat.sample("one, static", made.sizes(ONE), "--pattern", f"{ONE}:^{ONE}$")
    dynamic = replace(one, key="one, dynamic", argv=[PSSTAT_DYNAMIC, *one.argv[1:]])
    return [OneShot("true", ["/bin/true"]), one, dynamic]


def one_shot_jobs(made: Population, psstat: Psstat) -> list[OneShot]:
    """The jobs of psstat, each after the baseline that it is compared with (see report.BASELINE_OF)."""
    one, every = made.sizes(ONE), made.in_groups()
    eleven = made.groups[:11]
    pattern = ["--pattern", f"{ONE}:^{ONE}$"]

    def baseline(key: str, *options: str | Path) -> OneShot:
        def check(text: str) -> None:
            at_least(key, int(text.split()[0]), made.made)

        return OneShot(key, [BASELINE, *options], check=check)

    return [
        baseline("baseline"),
        psstat.first("first", one[ONE], *pattern),
        psstat.first("first, all", every, "--pattern", GROUPS),
        psstat.sample("pid-file", one, "--pid-file", f"{ONE}:{made.pid_file(ONE)}"),
        baseline("baseline, one", "--statm", made.pids(ONE)),
        psstat.sample("one", one, *pattern),
        psstat.sample("one, threads", one, *pattern, "--multi-threaded"),
        psstat.sample("cmdline", one, "--cmdline", f"{ONE}:--(leader|child) {ONE}"),
        baseline("baseline, eleven", "--statm", made.pids(*eleven)),
        psstat.sample(
            "eleven",
            made.sizes(*eleven),
            *(word for name in eleven for word in ("--pattern", f"^{name}$")),
        ),
        baseline("baseline, all", "--statm", made.pids(*made.groups)),
        psstat.sample("all in one", {"all": every}, "--pattern", f"all:{GROUPS}"),
        psstat.sample("all in many", made.sizes(*made.groups), "--pattern", GROUPS),
        # All created processes, and the one that created them.
        psstat.sample("exe", {"all": made.made + 1}, "--exe", f"all:{SPAWN_PROCESSES}"),
        psstat.sample("user", {"all": -made.made}, "--user", f"all:{os.getuid()}"),
    ]


def busy(jobs: list[OneShot], made: Population) -> list[OneShot]:
    """Those of the jobs that are also measured with a group that runs before each of them.

    They use the cache files of the same jobs, so that these find an idle group again.
    """

    def job(idle: OneShot) -> OneShot:
        return replace(idle, key=f"{idle.key}, busy", before=made.wake)

    return [job(idle) for idle in jobs if idle.key in BUSY]


def control_group_jobs(name: str, psstat: Psstat) -> list[OneShot]:
    return [psstat.sample("cgroup", {"ten": GROUPED}, "--cgroup", f"ten:{name}")]


def peer_jobs(made: Population) -> list[OneShot]:
    """Other programs, those that are installed."""
    one = made.sizes(ONE)[ONE]
    jobs = []
    if shutil.which("systemctl"):
        jobs.append(OneShot("systemctl", ["systemctl", "--version"]))
    if shutil.which("ps"):
        argv = ["ps", "-e", "-o", "pid,ppid,stat,time,rss,comm"]
        jobs.append(OneShot("ps", argv, "N", lines_of_one("ps", one)))
    if shutil.which("pidstat") and made.made <= PIDSTAT_UP_TO:
        argv = ["pidstat", "-p", "ALL", "-u", "-r", "1", "1"]
        # Four lines per process: CPU, memory, and the average of each.
        jobs.append(OneShot("pidstat", argv, "N", lines_of_one("pidstat", 4 * one)))
    return jobs
