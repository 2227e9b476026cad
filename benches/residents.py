"""The jobs whose process stays and takes samples on request."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from checks import psstat_saw
from environment import BASELINE, PSSTAT, Wrong
from population import FEW, GROUPS, ONE, Population, cpu_clock

# The jobs that are also measured while the group runs between two samples.
BUSY = ["execd, pid-file", "execd, pattern", "execd, few, pid-file"]

# A job takes no more samples than this. Waking up the group before each takes longer than the sample.
MOST_SAMPLES = 500
MOST_BUSY_SAMPLES = 200

# The job of process-exporter that monitors the same processes as this job of psstat.
PEER_OF = {"execd, pattern": "process-exporter, one", "execd, all": "process-exporter, all"}


class Resident:
    """A job whose process stays. It takes one sample per request."""

    key: str
    # The number of processes that it monitors: M.
    members: int
    process: subprocess.Popen
    # What happens before each sample.
    before: Callable[[], None] | None = None

    def ask(self) -> str:
        """Requests one sample and returns its text."""
        raise NotImplementedError

    def check(self, text: str) -> None:
        """Raises `Wrong` if the sample does not show the created processes."""
        raise NotImplementedError

    def samples(self) -> int:
        """The number of samples to take."""
        most = MOST_BUSY_SAMPLES if self.before else MOST_SAMPLES
        return min(most, max(20, 300_000 // self.members))

    def measure(self, samples: int) -> dict[str, int]:
        """Takes samples. Returns their CPU time together in microseconds, and memory in KiB."""
        self.check(self.sample())
        before = self.cpu()
        for _ in range(samples):
            self.sample()
        cpu = self.cpu() - before
        self.check(self.sample())
        return {"samples": samples, "cpu": cpu // 1000, **self.memory()}

    def sample(self) -> str:
        if self.before:
            self.before()
        return self.ask()

    def cpu(self) -> int:
        """The CPU time of all threads in nanoseconds. A sample is far shorter than a tick."""
        return cpu_clock(self.process.pid)

    def memory(self) -> dict[str, int]:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        fields = {"resident": "VmRSS", "anonymous": "RssAnon"}
        return {key: int(re.search(rf"{name}:\s+(\d+)", status)[1]) for key, name in fields.items()}

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


class ProcessExporter(Resident):
    """process-exporter, with options to read no threads and no smaps, as psstat by default."""

    program = "prometheus-process-exporter"

    def __init__(self, key: str, groups: dict[str, int], directory: Path, smaps: bool = False):
        self.key = key
        self.groups = groups
        self.members = sum(groups.values())
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        config = directory / "process-exporter.yml"
        names = ", ".join(groups)
        config.write_text(f'process_names:\n  - name: "{{{{.Comm}}}}"\n    comm: [{names}]\n')
        self.url = f"http://{address}/metrics"
        self.process = subprocess.Popen(
            [
                self.program,
                *("-config.path", config),
                *("-web.listen-address", address),
                *("-threads=false", f"-gather-smaps={str(smaps).lower()}"),
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

    def samples(self) -> int:
        return min(300, max(3, 30_000 // self.members))

    def check(self, text: str) -> None:
        for name, size in self.groups.items():
            metric = f'namedprocess_namegroup_num_procs{{groupname="{name}"}}'
            count = int(re.search(re.escape(metric) + r" (\d+)", text)[1])
            if count != size:
                raise Wrong(f"{self.key}: {count} processes in {name} instead of {size}")


@dataclass(frozen=True)
class ExecdJob:
    """What a psstat execd is asked to measure."""

    key: str
    selectors: list[str | Path]
    # The names and sizes of the groups, one line each.
    groups: dict[str, int]
    before: Callable[[], None] | None = None


class OnRequest(Resident):
    """A program that takes a sample per line on standard input."""

    def start(self, argv: list[str | Path]) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True)

    def request(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()


class Execd(OnRequest):
    """psstat execd."""

    def __init__(self, job: ExecdJob, program: Path = PSSTAT):
        self.key = job.key
        self.groups = job.groups
        self.members = sum(job.groups.values())
        self.before = job.before
        self.check = psstat_saw(job.key, job.groups)
        self.start([program, "execd", *job.selectors, "--timeout", "60s"])

    def ask(self) -> str:
        self.request()
        return "".join(self.process.stdout.readline() for _ in self.groups)


class HeldBaseline(Resident):
    """Reads files again that it keeps open. This is the baseline of a resident process."""

    key = "baseline, held"

    def __init__(self, made: Population):
        self.argv = [BASELINE, "--held", made.pids(ONE), "--repeat"]
        self.members = made.sizes(ONE)[ONE]

    def measure(self, samples: int) -> dict[str, int]:
        done = subprocess.run(
            [*self.argv, str(samples)], stdout=subprocess.PIPE, text=True, check=True
        )
        _, nanoseconds = map(int, done.stdout.split())
        return {"samples": samples, "cpu": samples * nanoseconds // 1000, "resident": 0}

    def stop(self) -> None:
        """Nothing to stop: the program has ended."""


class BusyBaseline(OnRequest):
    """The same, when the processes of the files have run before each reading."""

    key = "baseline, held, busy"

    def __init__(self, made: Population):
        self.members = made.sizes(ONE)[ONE]
        self.before = made.wake
        self.nanoseconds = 0
        self.start([BASELINE, "--held", made.pids(ONE), "--repeat", "lines"])

    def ask(self) -> str:
        self.request()
        text = self.process.stdout.readline()
        self.nanoseconds += int(text.split()[1])
        return text

    def check(self, text: str) -> None:
        files = int(text.split()[0])
        if files != 2 * self.members:
            raise Wrong(f"{self.key}: {files} files of {self.members} processes")

    def cpu(self) -> int:
        # Without the waiting for a request and the answer.
        return self.nanoseconds


def execd_jobs(made: Population) -> list[ExecdJob]:
    """The jobs of psstat execd with processes that sleep."""

    def by_pid_file(name: str) -> list[str]:
        return ["--pid-file", f"{name}:{made.pid_file(name)}"]

    def by_pattern(name: str) -> list[str]:
        return ["--pattern", f"{name}:^{name}$"]

    one, few = made.sizes(ONE), made.sizes(FEW)
    return [
        ExecdJob("execd, pid-file", by_pid_file(ONE), one),
        ExecdJob("execd, pattern", by_pattern(ONE), one),
        ExecdJob("execd, all", ["--pattern", GROUPS], made.sizes(*made.groups)),
        ExecdJob("execd, few, pid-file", by_pid_file(FEW), few),
        ExecdJob("execd, few, pattern", by_pattern(FEW), few),
    ]


def busy(jobs: list[ExecdJob], made: Population) -> list[ExecdJob]:
    """Those of the jobs that are also measured with a group that runs before each sample."""
    return [
        replace(job, key=f"{job.key}, busy", before=made.wake) for job in jobs if job.key in BUSY
    ]


def resident_jobs(made: Population) -> Iterator[Resident]:
    """All of them. Another program follows the psstat that monitors the same processes."""
    idle = execd_jobs(made)
    yield HeldBaseline(made)
    for job in idle:
        yield Execd(job)
        if job.key in PEER_OF and shutil.which(ProcessExporter.program):
            yield ProcessExporter(PEER_OF[job.key], job.groups, made.directory)
    yield BusyBaseline(made)
    for job in busy(idle, made):
        yield Execd(job)
