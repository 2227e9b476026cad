"""Measures what psstat costs, next to a baseline and to other programs.

A round runs every job once, each soon after its baseline, so that other load on the machine affects
both. Ratios are computed within a round. The results go to a file in benches/results, one JSON object
per line. report.py creates the tables from that file.

To add a job, add it to `one_shot_jobs` (a new process per sample) or add a subclass of `Resident` to
`resident_jobs` (a process that stays and takes samples on request).
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import report

ROOT = Path(__file__).resolve().parent.parent
HOST = subprocess.run(
    ["rustc", "--print", "host-tuple"], stdout=subprocess.PIPE, text=True, check=True
).stdout.strip()
RELEASE = ROOT / "target" / HOST / "release"
PSSTAT = RELEASE / "psstat"
PSSTAT_DYNAMIC = ROOT / "target/dynamic" / HOST / "release/psstat"
BASELINE = RELEASE / "examples/baseline"
SPAWN_PROCESSES = RELEASE / "examples/spawn_processes"
RUSAGE = RELEASE / "examples/rusage"

POPULATIONS = [100, 1_000, 10_000, 25_000]
QUICK_POPULATIONS = [100, 1_000]

# System calls are counted in populations up to this size. strace is slow, and the counts grow with N.
COUNTED_UP_TO = 1_000

# pidstat is not measured in larger populations: its cost grows with the square of N.
PIDSTAT_UP_TO = 10_000

# The group that is measured alone. The other groups are g000, g001, ...
ONE = "one"
GROUPS = "^g[0-9]+$"


# The jobs that --against measures with both binaries.
COMPARED = ["first", "first, all", "pid-file", "one", "all in one", "all in many", "one, static"]

# A comparison of residents takes so many samples per round.
COMPARED_SAMPLES = 100


class Skipped(Exception):
    """Something cannot be measured on this machine. The message says why."""


class Wrong(Exception):
    """A program did not report the processes that were created."""


@dataclass
class Population:
    """The processes that were created for the measurement."""

    target: int
    directory: Path
    members: dict[str, list[int]]
    leaders: dict[str, int] = field(default_factory=dict)

    @property
    def made(self) -> int:
        return sum(len(pids) for pids in self.members.values())

    @property
    def groups(self) -> list[str]:
        return [name for name in self.members if name != ONE]

    def below_leader(self) -> int:
        """The number of children with a smaller pid than their leader. /proc lists them first."""
        return sum(
            sum(pid < self.leaders[name] for pid in pids) for name, pids in self.members.items()
        )

    def in_groups(self) -> int:
        return self.made - len(self.members[ONE])

    def pids(self, *names: str) -> Path:
        """A file with the pids of these groups, one per line."""
        file = self.directory / f"{names[0]}-{len(names)}.pids"
        if not file.exists():
            pids = (pid for name in names for pid in self.members[name])
            file.write_text("".join(f"{pid}\n" for pid in sorted(pids)))
        return file

    def pid_file(self) -> Path:
        """The pid file of the group that is measured alone. It names the leader."""
        file = self.directory / "one.pid"
        if not file.exists():
            file.write_text(f"{self.leaders[ONE]}\n")
        return file


def shape(target: int) -> list[tuple[str, int]]:
    """Names and sizes of the groups of a population."""
    if target < 1_000:
        return [(ONE, 10)] + [(f"g{number:03}", 1) for number in range(10)]
    return [(ONE, 100)] + [(f"g{number:03}", target // 100) for number in range(100)]


@contextmanager
def population(target: int, directory: Path) -> Iterator[Population]:
    """Creates the processes, and ends them at the end of the block."""
    groups = shape(target)
    total = sum(size for _, size in groups)
    room = int(Path("/proc/sys/kernel/pid_max").read_text()) - count_processes() - 2_000
    if total > room:
        raise Skipped(f"kernel.pid_max leaves room for {room} processes")
    directory = directory / str(target)
    directory.mkdir()
    made = Population(target, directory, {name: [] for name, _ in groups})
    host = subprocess.Popen(
        [SPAWN_PROCESSES, *(f"{name}:{size}" for name, size in groups)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        for line in host.stdout:
            if line == "ready\n":
                break
            name, role, pid = line.split()
            made.members[name].append(int(pid))
            if role == "leader":
                made.leaders[name] = int(pid)
        if made.made != total:
            raise Skipped(f"only {made.made} of {total} processes could be started")
        yield made
    finally:
        host.stdin.close()
        host.stdout.close()
        host.wait()


# The size of the control group. It is the same in every population.
GROUPED = 10
CONTROL_GROUP = "psstat-bench"


@contextmanager
def control_group(pids: list[int]) -> Iterator[bool]:
    """Moves these processes into a new control group, if this user may create one."""
    mounts = [Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup/systemd")]
    root = next((mount for mount in mounts if (mount / "cgroup.procs").exists()), None)
    directory = root / CONTROL_GROUP if root else None
    try:
        directory.mkdir()
        for pid in pids:
            (directory / "cgroup.procs").write_text(str(pid))
    except (AttributeError, OSError) as error:
        say(f"cannot create a control group ({error}): its job is skipped")
        yield False
        return
    try:
        yield True
    finally:
        # A control group can be removed only when it is empty.
        for pid in pids:
            (root / "cgroup.procs").write_text(str(pid))
        directory.rmdir()


def count_processes() -> int:
    return sum(name.isdigit() for name in os.listdir("/proc"))


@dataclass(frozen=True)
class OneShot:
    """A job that starts a new process for every sample."""

    key: str
    argv: list[str | Path]
    # Gets the output of the job. Raises `Wrong` if it does not show the created processes.
    check: Callable[[str], None] = lambda text: None
    # A file that is removed before the run. Without its cache, psstat reads every process.
    without: Path | None = None

    def run(self, scratch: Path, warm_up: bool = False) -> dict[str, int]:
        """Runs the job once. Returns times in microseconds, memory in KiB."""
        if self.without:
            self.without.unlink(missing_ok=True)
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


def one_shot_jobs(
    made: Population, cache: Path, grouped: bool, binary: Path = PSSTAT
) -> list[OneShot]:
    """All of them, each after the baseline that it is compared with (see report.BASELINE_OF)."""
    one, every = len(made.members[ONE]), made.in_groups()
    eleven = made.groups[:11]

    def psstat(key: str, expected: dict[str, int], *selectors: str, program: Path = binary):
        check = psstat_saw(key, expected)
        # Under strace, on a busy machine, a run may take longer than the default timeout of 4 s.
        argv = [program, *selectors, "--cache-dir", cache, "--timeout", "60s"]
        return OneShot(key, argv, check)

    def baseline(key: str, *options: str | Path) -> OneShot:
        def check(text: str) -> None:
            at_least(key, int(text.split()[0]), made.made)

        return OneShot(key, [BASELINE, *options], check)

    def first(key: str, *selectors: str) -> OneShot:
        argv = [binary, *selectors, "--cache-dir", cache, "--cache-name", key, "--timeout", "60s"]
        return OneShot(key, argv, nothing_printed(key), without=cache / key)

    pattern = ["--pattern", f"{ONE}:^{ONE}$"]
    jobs = [
        OneShot("true", ["/bin/true"]),
        baseline("baseline"),
        first("first", *pattern),
        first("first, all", "--pattern", GROUPS),
        psstat("pid-file", {ONE: one}, "--pid-file", f"{ONE}:{made.pid_file()}"),
        baseline("baseline, one", "--statm", made.pids(ONE)),
        psstat("one", {ONE: one}, *pattern),
        psstat("one, threads", {ONE: one}, *pattern, "--multi-threaded"),
        psstat("cmdline", {ONE: one}, "--cmdline", f"{ONE}:--(leader|child) {ONE}"),
        baseline("baseline, eleven", "--statm", made.pids(*eleven)),
        psstat(
            "eleven",
            {name: len(made.members[name]) for name in eleven},
            *(word for name in eleven for word in ("--pattern", f"^{name}$")),
        ),
        baseline("baseline, all", "--statm", made.pids(*made.groups)),
        psstat("all in one", {"all": every}, "--pattern", f"all:{GROUPS}"),
        psstat(
            "all in many", {g: len(made.members[g]) for g in made.groups}, "--pattern", GROUPS
        ),
        # All created processes, and the one that created them.
        psstat("exe", {"all": made.made + 1}, "--exe", f"all:{SPAWN_PROCESSES}"),
        psstat("user", {"all": -made.made}, "--user", f"all:{os.getuid()}"),
    ]
    if made.target == min(POPULATIONS):
        jobs.insert(1, psstat("one, dynamic", {ONE: one}, *pattern, program=PSSTAT_DYNAMIC))
        jobs.insert(1, psstat("one, static", {ONE: one}, *pattern))
    if grouped:
        jobs.append(psstat("cgroup", {"ten": GROUPED}, "--cgroup", f"ten:{CONTROL_GROUP}"))
    if shutil.which("systemctl"):
        jobs.append(OneShot("systemctl", ["systemctl", "--version"]))
    if shutil.which("ps"):
        argv = ["ps", "-e", "-o", "pid,ppid,stat,time,rss,comm"]
        jobs.append(OneShot("ps", argv, lines_of_one("ps", one)))
    if shutil.which("pidstat") and made.target <= PIDSTAT_UP_TO:
        argv = ["pidstat", "-p", "ALL", "-u", "-r", "1", "1"]
        # Four lines per process: CPU, memory, and the average of each.
        jobs.append(OneShot("pidstat", argv, lines_of_one("pidstat", 4 * one)))
    return jobs


def psstat_saw(key: str, expected: dict[str, int]) -> Callable[[str], None]:
    """Checks the number of processes of each group. A negative number means: at least so many."""

    def check(text: str) -> None:
        seen = {
            name: int(count)
            for name, count in re.findall(r"process_name=(\S+) .*n_proc=(\d+)i", text)
        }
        if seen.keys() != expected.keys():
            raise Wrong(f"{key}: groups {sorted(seen)} instead of {sorted(expected)}")
        for name, count in expected.items():
            if count < 0:
                at_least(key, seen[name], -count)
            elif seen[name] != count:
                raise Wrong(f"{key}: {seen[name]} processes in {name} instead of {count}")

    return check


def nothing_printed(key: str) -> Callable[[str], None]:
    """Checks that the run printed nothing, as the first run of psstat does."""

    def check(text: str) -> None:
        if text:
            raise Wrong(f"{key}: it printed {text!r}, so it had a cache")

    return check


def lines_of_one(key: str, expected: int) -> Callable[[str], None]:
    def check(text: str) -> None:
        seen = sum(line.endswith(f" {ONE}") for line in text.splitlines())
        if seen != expected:
            raise Wrong(f"{key}: {seen} lines of {ONE} instead of {expected}")

    return check


def at_least(key: str, seen: int, expected: int) -> None:
    if seen < expected:
        raise Wrong(f"{key}: {seen} processes instead of {expected} or more")


class Resident:
    """A job whose process stays. It takes one sample per request."""

    key: str
    process: subprocess.Popen

    def ask(self) -> str:
        """Requests one sample and returns its text."""
        raise NotImplementedError

    def enough(self, made: Population) -> int:
        """The number of samples to take. CPU time is counted in ticks of 10 ms."""
        return min(300, max(3, 30_000 // made.made))

    def check(self, text: str) -> None:
        """Raises `Wrong` if the sample does not show the created processes."""
        raise NotImplementedError

    def measure(self, samples: int) -> dict[str, int]:
        """Takes samples. Returns their CPU time together, in microseconds."""
        self.check(self.ask())
        before = self.cpu()
        for _ in range(samples):
            self.ask()
        cpu = self.cpu() - before
        self.check(self.ask())
        return {"samples": samples, "cpu": cpu, "resident": self.resident()}

    def cpu(self) -> int:
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        user, system = stat[stat.rindex(")") + 2 :].split()[11:13]
        return (int(user) + int(system)) * 1_000_000 // os.sysconf("SC_CLK_TCK")

    def resident(self) -> int:
        """Resident memory in KiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


class ProcessExporter(Resident):
    """process-exporter, with options to read no threads and no smaps, as psstat by default."""

    key = "process-exporter"
    program = "prometheus-process-exporter"

    def __init__(self, made: Population):
        self.made = made
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        names = ", ".join([ONE, *made.groups])
        config = made.directory / "process-exporter.yml"
        config.write_text(f'process_names:\n  - name: "{{{{.Comm}}}}"\n    comm: [{names}]\n')
        self.url = f"http://{address}/metrics"
        self.process = subprocess.Popen(
            [
                self.program,
                *("-config.path", config),
                *("-web.listen-address", address),
                *("-threads=false", "-gather-smaps=false"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def ask(self) -> str:
        # It accepts connections after it has read all processes for the first time.
        for _ in range(600):
            try:
                with urllib.request.urlopen(self.url, timeout=60) as answer:
                    return answer.read().decode()
            except urllib.error.URLError as error:
                if not isinstance(error.reason, ConnectionRefusedError):
                    raise
            self.process.poll()
            if self.process.returncode is not None:
                raise Wrong(f"{self.key}: it ended with status {self.process.returncode}")
            time.sleep(0.1)
        raise Wrong(f"{self.key}: it does not answer")

    def check(self, text: str) -> None:
        for name, pids in self.made.members.items():
            metric = f'namedprocess_namegroup_num_procs{{groupname="{name}"}}'
            count = int(re.search(re.escape(metric) + r" (\d+)", text)[1])
            if count != len(pids):
                raise Wrong(f"{self.key}: {count} processes in {name} instead of {len(pids)}")


class Execd(Resident):
    """psstat execd, which takes a sample per line on standard input."""

    def __init__(self, key: str, made: Population, *selectors: str, program: Path = PSSTAT):
        self.key = key
        self.saw = psstat_saw(key, {ONE: len(made.members[ONE])})
        self.process = subprocess.Popen(
            [program, "execd", *selectors, "--timeout", "60s"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self) -> str:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def enough(self, made: Population) -> int:
        return 500

    def check(self, text: str) -> None:
        self.saw(text)

    def cpu(self) -> int:
        # The scheduler counts in nanoseconds. A sample is far shorter than a tick.
        return int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[0]) // 1000


class HeldBaseline(Resident):
    """Reads files again that it keeps open. This is the baseline of a resident process."""

    key = "baseline, held"

    def __init__(self, made: Population):
        self.argv = [BASELINE, "--held", made.pids(ONE), "--repeat"]

    def enough(self, made: Population) -> int:
        return 500

    def measure(self, samples: int) -> dict[str, int]:
        done = subprocess.run(
            [*self.argv, str(samples)], stdout=subprocess.PIPE, text=True, check=True
        )
        _, nanoseconds = map(int, done.stdout.split())
        return {"samples": samples, "cpu": samples * nanoseconds // 1000, "resident": 0}

    def stop(self) -> None:
        """Nothing to stop: the program has ended."""


def execd_jobs(made: Population) -> dict[str, list[str]]:
    """The selectors of each job of psstat execd."""
    return {
        "execd, pid-file": ["--pid-file", f"{ONE}:{made.pid_file()}"],
        "execd, pattern": ["--pattern", f"{ONE}:^{ONE}$"],
    }


def resident_jobs(made: Population) -> Iterator[Resident]:
    yield HeldBaseline(made)
    for key, selectors in execd_jobs(made).items():
        yield Execd(key, made, *selectors)
    if shutil.which(ProcessExporter.program):
        yield ProcessExporter(made)


def system_calls(job: OneShot, scratch: Path) -> int:
    """The number of system calls of a run, in all threads."""
    counts = scratch.with_suffix(".strace")
    subprocess.run(
        ["strace", "-c", "-f", "-o", counts, *job.argv],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    total = counts.read_text().splitlines()[-1].split()
    # The columns: % time, seconds, usecs/call, calls, errors (if any), "total".
    return int(total[3])


def instructions(job: OneShot) -> int | None:
    """The number of instructions of a run in user mode, if the processor counts them."""
    done = subprocess.run(
        ["perf", "stat", "-x", ",", "-e", "instructions:u", *job.argv],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    count = done.stderr.splitlines()[-1].split(",")[0] if done.stderr else ""
    return int(count) if count.isdigit() else None


class Results:
    """The file of raw results: one JSON object per line."""

    def __init__(self, path: Path):
        self.path = path
        self.file = open(path, "w")

    def add(self, kind: str, **values: object) -> None:
        print(json.dumps({"kind": kind, **values}), file=self.file, flush=True)


def measure(target: int, runs: int, results: Results, directory: Path) -> None:
    """Runs all measurements at one population."""
    with (
        population(target, directory) as made,
        control_group(made.members[ONE][:GROUPED]) as grouped,
    ):
        results.add(
            "population",
            population=target,
            made=made.made,
            groups={name: len(pids) for name, pids in made.members.items()},
            below_leader=made.below_leader(),
            processes=count_processes(),
            load=os.getloadavg()[0],
        )
        say(f"{count_processes()} processes, {made.made} of them created for this")
        cache = made.directory / "cache"
        cache.mkdir()
        scratch = made.directory / "output"
        jobs = one_shot_jobs(made, cache, grouped)
        # The first run of psstat reads all processes. The second reads those again that had started
        # shortly before the first.
        for job in [*jobs, *jobs]:
            job.run(scratch, warm_up=True)
        for number in range(runs):
            say(f"round {number + 1} of {runs}")
            for job in jobs:
                cost = job.run(scratch)
                results.add("run", population=target, job=job.key, round=number, **cost)
        for job in jobs:
            if shutil.which("strace") and target <= COUNTED_UP_TO:
                calls = system_calls(job, scratch)
                results.add("calls", population=target, job=job.key, calls=calls)
            if shutil.which("perf") and (count := instructions(job)) is not None:
                results.add("instructions", population=target, job=job.key, instructions=count)
        for resident in resident_jobs(made):
            say(resident.key)
            try:
                cost = resident.measure(resident.enough(made))
            finally:
                resident.stop()
            results.add("resident", population=target, job=resident.key, **cost)


def compare(target: int, runs: int, results: Results, directory: Path, against: Path) -> None:
    """Measures the release build and another psstat at one population, in turns."""
    with population(target, directory) as made:
        results.add(
            "population",
            population=target,
            made=made.made,
            groups={name: len(pids) for name, pids in made.members.items()},
            processes=count_processes(),
            load=os.getloadavg()[0],
        )
        say(f"{count_processes()} processes, {made.made} of them created for this")
        scratch = made.directory / "output"
        binaries = {"new": PSSTAT, "old": against}
        jobs: dict[str, dict[str, OneShot]] = {}
        for name, binary in binaries.items():
            cache = made.directory / f"cache-{name}"
            cache.mkdir()
            for job in one_shot_jobs(made, cache, False, binary):
                if job.key in COMPARED:
                    jobs.setdefault(job.key, {})[name] = job
        for pair in [*jobs.values(), *jobs.values()]:
            for job in pair.values():
                job.run(scratch, warm_up=True)
        for number in range(runs):
            say(f"round {number + 1} of {runs}")
            for key, pair in jobs.items():
                for name in in_turns(number):
                    cost = pair[name].run(scratch)
                    results.add(
                        "run", population=target, job=key, binary=name, round=number, **cost
                    )
        for key, selectors in execd_jobs(made).items():
            say(key)
            pair = {
                name: Execd(key, made, *selectors, program=binary)
                for name, binary in binaries.items()
            }
            try:
                for number in range(runs):
                    for name in in_turns(number):
                        cost = pair[name].measure(COMPARED_SAMPLES)
                        results.add(
                            "run",
                            population=target,
                            job=key,
                            binary=name,
                            round=number,
                            cpu=cost["cpu"] / cost["samples"],
                            peak=cost["resident"],
                        )
            finally:
                for resident in pair.values():
                    resident.stop()


def in_turns(number: int) -> list[str]:
    """The order of the two binaries in a round. Each is the first in every other round."""
    return ["new", "old"] if number % 2 == 0 else ["old", "new"]


def machine() -> dict[str, object]:
    """What the results depend on. Nothing that identifies the host."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", cpuinfo)
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    return {
        "processor": model[1] if model else platform.machine(),
        "processors": os.cpu_count(),
        "virtual": "hypervisor" in cpuinfo,
        "architecture": platform.machine(),
        "memory_mib": int(memory[1]) // 1024,
        # Without the suffix of the distribution.
        "linux": re.match(r"[\d.]+", platform.release())[0],
        "system": platform.freedesktop_os_release()["PRETTY_NAME"],
        "rustc": output_of("rustc", "--version"),
        "psstat": output_of("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


PACKAGES = {
    "ps": "procps",
    "pidstat": "sysstat",
    ProcessExporter.program: "prometheus-process-exporter",
    "strace": "strace",
}


def versions() -> dict[str, str]:
    """Versions of the other programs that are installed. Prints which are not."""
    found = {}
    for program, package in PACKAGES.items():
        if shutil.which(program):
            found[package] = output_of("dpkg-query", "-W", "-f", "${Version}", package)
        else:
            say(f"{program} is not measured: apt-get install {package}")
    return found


def output_of(*argv: str) -> str:
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True).stdout.strip()


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr)


def default_output(about: dict[str, object]) -> Path:
    day = str(about["date"]).split()[0]
    name = f"{day}-{about['architecture']}-{about['processors']}cpu-linux{about['linux']}.jsonl"
    return ROOT / "benches/results" / name


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--populations",
        metavar="N,N",
        help=f"numbers of processes to create, roughly (default {POPULATIONS})",
        type=lambda text: [int(number) for number in text.split(",")],
    )
    parser.add_argument("--runs", metavar="K", type=int, help="rounds per population (default 15)")
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"populations {QUICK_POPULATIONS}, 5 rounds; print the tables, do not write "
        "docs/BENCHMARKS.md",
    )
    parser.add_argument("--output", metavar="FILE", type=Path, help="file for the raw results")
    parser.add_argument(
        "--report",
        metavar="FILE",
        type=Path,
        help="measure nothing; write the tables of docs/BENCHMARKS.md from these raw results",
    )
    parser.add_argument(
        "--against",
        metavar="PATH",
        type=existing_file,
        help="compare the release build with another psstat binary, such as an older build. Measures "
        "only psstat, both binaries in each round, in turns: first run, one group by pid file and by "
        "pattern, all groups, start-up, and resident by pid file and by pattern. Prints the ratios and "
        "does not write docs/BENCHMARKS.md. The raw results go to target/bench-against.jsonl",
    )
    return parser.parse_args()


def existing_file(text: str) -> Path:
    path = Path(text).absolute()
    if not os.access(path, os.X_OK) or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not a program")
    return path


def main() -> None:
    # On SIGTERM, leave all blocks, so that the processes that were created end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    chosen = options()
    if chosen.report:
        report.write(chosen.report)
        return
    populations = chosen.populations or (QUICK_POPULATIONS if chosen.quick else POPULATIONS)
    runs = chosen.runs or (5 if chosen.quick else 15)
    about = machine()
    if chosen.against:
        output = chosen.output or ROOT / "target/bench-against.jsonl"
    else:
        output = chosen.output or default_output(about)
    results = Results(output)
    results.add("machine", **about, peers={} if chosen.against else versions())
    if not chosen.against:
        results.add(
            "binary", static=PSSTAT.stat().st_size, dynamic=PSSTAT_DYNAMIC.stat().st_size
        )
    with tempfile.TemporaryDirectory(prefix="psstat-bench-") as directory:
        for target in populations:
            try:
                if chosen.against:
                    compare(target, runs, results, Path(directory), chosen.against)
                else:
                    measure(target, runs, results, Path(directory))
            except Skipped as reason:
                say(f"population {target} is skipped: {reason}")
    say(f"raw results: {results.path}")
    if chosen.against:
        print(report.comparison(results.path))
    elif chosen.quick:
        print(report.tables(results.path))
    else:
        report.write(results.path)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except Wrong as disagreement:
        sys.exit(f"bench: {disagreement}")
