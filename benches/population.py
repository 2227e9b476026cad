"""Creates the processes that the programs look at."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from environment import SPAWN_PROCESSES, Skipped, Wrong, say

POPULATIONS = [100, 1_000, 10_000, 25_000]
QUICK_POPULATIONS = [100, 1_000]

# The group that is measured alone, and a group of one process: the difference of their costs is that of
# the members. The other groups are g000, g001, ...
ONE = "one"
FEW = "few"
GROUPS = "^g[0-9]+$"

# The size of the control group. It is the same in every population.
GROUPED = 10
CONTROL_GROUP = "psstat-bench"


@dataclass
class Population:
    """The processes that were created for the measurement."""

    directory: Path
    # The program that creates them.
    host: subprocess.Popen
    members: dict[str, list[int]]
    leaders: dict[str, int] = field(default_factory=dict)

    @property
    def made(self) -> int:
        return sum(len(pids) for pids in self.members.values())

    @property
    def groups(self) -> list[str]:
        return [name for name in self.members if name not in (ONE, FEW)]

    def sizes(self, *names: str) -> dict[str, int]:
        return {name: len(self.members[name]) for name in names}

    def below_leader(self) -> int:
        """The number of children with a smaller pid than their leader. /proc lists them first."""
        return sum(
            sum(pid < self.leaders[name] for pid in pids) for name, pids in self.members.items()
        )

    def in_groups(self) -> int:
        return sum(self.sizes(*self.groups).values())

    def pids(self, *names: str) -> Path:
        """A file with the pids of these groups, one per line."""
        file = self.directory / f"{names[0]}-{len(names)}.pids"
        if not file.exists():
            pids = (pid for name in names for pid in self.members[name])
            file.write_text("".join(f"{pid}\n" for pid in sorted(pids)))
        return file

    def pid_file(self, name: str) -> Path:
        """The pid file of a group. It names the leader."""
        file = self.directory / f"{name}.pid"
        if not file.exists():
            file.write_text(f"{self.leaders[name]}\n")
        return file

    def wake(self) -> None:
        """Lets every process of the group that is measured alone run for a moment."""
        pids = self.members[ONE]
        before = [cpu_clock(pid) for pid in pids]
        self.host.stdin.write(f"{ONE}\n")
        self.host.stdin.flush()
        awake = {pid for _, _, pid in announced(self.host)}
        # The clock of a process that still runs is up to a scheduler tick behind.
        time.sleep(0.02)
        moved = sum(cpu_clock(pid) > clock for pid, clock in zip(pids, before))
        if awake != set(pids) or moved != len(pids):
            raise Wrong(f"of {len(pids)} processes {len(awake)} woke up, and {moved} clocks moved")


def cpu_clock(pid: int) -> int:
    """The CPU time of all threads of a process in nanoseconds (clock_getcpuclockid(3))."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def shape(target: int) -> list[str]:
    """The groups of a population, as spawn_processes takes them."""
    size, groups, rest = (10, 10, 1) if target < 1_000 else (100, 100, target // 100)
    return [f"{ONE}:{size}", f"{FEW}:1", *(f"g{number:03}:{rest}" for number in range(groups))]


@contextmanager
def population(groups: list[str], directory: Path) -> Iterator[Population]:
    """Creates the processes of these groups, and ends them at the end of the block."""
    words = [group.split(":") for group in groups]
    total = sum(int(size) for _, size, *_ in words)
    room = int(Path("/proc/sys/kernel/pid_max").read_text()) - count_processes() - 2_000
    if total > room:
        raise Skipped(f"kernel.pid_max leaves room for {room} processes")
    directory.mkdir()
    host = subprocess.Popen(
        [SPAWN_PROCESSES, *groups], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    made = Population(directory, host, {name: [] for name, *_ in words})
    try:
        for name, role, pid in announced(host):
            made.members[name].append(pid)
            if role == "leader":
                made.leaders[name] = pid
        if made.made != total:
            raise Skipped(f"only {made.made} of {total} processes could be started")
        yield made
    finally:
        host.stdin.close()
        host.stdout.close()
        host.wait()


def announced(host: subprocess.Popen) -> Iterator[tuple[str, str, int]]:
    """What spawn_processes prints until it is ready: name, role or state, and pid."""
    for line in host.stdout:
        if line == "ready\n":
            return
        name, what, pid = line.split()
        yield name, what, int(pid)


@contextmanager
def control_group(name: str, pids: list[int]) -> Iterator[Path | None]:
    """Moves these processes into a new control group, if this user may create one.

    Yields its directory, or nothing. In hybrid mode, systemd-cgtop reads the hierarchies of version 1. So
    the processes are in a control group of that name there too.
    """
    mounts = [Path("/sys/fs/cgroup", *part) for part in ([], ["unified"], ["systemd"])]
    root = next((mount for mount in mounts if (mount / "cgroup.procs").exists()), None)
    roots = [root, *(Path("/sys/fs/cgroup", part) for part in ("cpuacct", "memory"))]
    roots = [mount for mount in roots if mount and (mount / "cgroup.procs").exists()]
    try:
        for mount in roots:
            (mount / name).mkdir()
            for pid in pids:
                (mount / name / "cgroup.procs").write_text(str(pid))
        if not roots:
            raise FileNotFoundError("no hierarchy is mounted")
    except OSError as error:
        say(f"cannot create a control group: {error}")
        yield None
        return
    try:
        yield root / name
    finally:
        # A control group can be removed only when it is empty.
        for mount in roots:
            for pid in pids:
                (mount / "cgroup.procs").write_text(str(pid))
            (mount / name).rmdir()


def count_processes() -> int:
    return sum(name.isdigit() for name in os.listdir("/proc"))
