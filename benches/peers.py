"""Other programs that measure processes, as far as they are installed.

Each of them takes a sample per second on its own, and prints it. A thread reads what it prints. Variables of
the environment say where programs are that are not in PATH: see `find`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from environment import Wrong
from population import cpu_clock

INTERVAL = 1.0


@dataclass(frozen=True)
class Group:
    """Processes that a program is asked to measure."""

    name: str
    leader: int
    # The process names of the leader and of its children.
    comms: tuple[str, ...]

    @property
    def regex(self) -> str:
        return f"^({'|'.join(self.comms)})$"


@dataclass(frozen=True)
class Sample:
    """What a program printed of each group."""

    # When the program took it, as the wall clock.
    time: float
    # The CPU time in seconds since the sample before, and the memory in bytes.
    cpu: dict[str, float]
    memory: dict[str, int]
    # The CPU time in nanoseconds that the program itself has used.
    cost: int


# Of a sample: the time, the CPU times and the memory.
Parsed = tuple[float, dict[str, float], dict[str, int]]


def find(program: str, *elsewhere: str) -> str | None:
    """The program that a variable names (`apps.plugin`: `APPS_PLUGIN`), or that is in PATH."""
    named = os.environ.get(re.sub(r"\W", "_", program).upper())
    candidates = [named] if named else [program, *elsewhere]
    return next((path for path in map(shutil.which, candidates) if path), None)


class Peer:
    """A running program that takes samples on its own."""

    title: str
    program: str
    elsewhere: tuple[str, ...] = ()
    # Arguments that print the version.
    asked_version: tuple[str, ...] = ("--version",)

    def __init__(self, groups: list[Group], directory: Path):
        self.groups = groups
        self.directory = directory
        self.samples: list[Sample] = []
        self.failure: Exception | None = None
        self.of_comm = {comm: group.name for group in groups for comm in group.comms}
        # Its log is of interest only if it fails.
        self.log = open(directory / "log", "w")
        self.process = subprocess.Popen(
            self.argv(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            errors="replace",
            env={**os.environ, **self.environment()},
        )
        self.thread = threading.Thread(target=self.follow, daemon=True)
        self.thread.start()

    @classmethod
    def path(cls) -> str | None:
        return find(cls.program, *cls.elsewhere)

    @classmethod
    def version(cls) -> str:
        text = subprocess.run(
            [cls.path(), *cls.asked_version], capture_output=True, text=True, check=False
        )
        found = re.search(r"\d+\.\d+(\.\d+)*", text.stdout + text.stderr)
        return found[0] if found else "unknown"

    def argv(self) -> list[str | Path]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {"LC_ALL": "C", "S_COLORS": "never"}

    def parse(self, lines: Iterator[str]) -> Iterator[Parsed]:
        raise NotImplementedError

    def follow(self) -> None:
        try:
            for at, cpu, memory in self.parse(iter(self.process.stdout)):
                cost = cpu_clock(self.process.pid)
                self.samples.append(Sample(at, cpu, memory, cost))
        except OSError:
            pass  # It has ended.
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            self.failure = error

    def wait(self, samples: int, seconds: float) -> None:
        """Waits for so many samples."""
        end = time.monotonic() + seconds
        while len(self.samples) < samples:
            if self.failure:
                raise Wrong(f"{self.title} printed what is not understood: {self.failure!r}")
            if self.process.poll() is not None:
                log = (self.directory / "log").read_text()[-2_000:]
                raise Wrong(f"{self.title}: it ended with status {self.process.returncode}: {log}")
            if time.monotonic() > end:
                raise Wrong(f"{self.title}: {len(self.samples)} samples in {seconds:.0f} s")
            time.sleep(0.05)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.thread.join()
        self.log.close()

    def nothing(self) -> dict[str, float]:
        return {group.name: 0.0 for group in self.groups}


class Telegraf(Peer):
    """procstat of Telegraf, with the least fields that have CPU time and memory."""

    title = "Telegraf procstat"
    program = "telegraf"
    # A filter for each group.
    filters = "process_names = [{comms}]"
    properties = '["cpu", "memory"]'
    memory, unit = "memory_rss", 1
    # The number of lines about processes in the last sample.
    lines = 0

    def argv(self) -> list[str | Path]:
        text = f"""
            [agent]
            interval = "{INTERVAL:g}s"
            round_interval = false
            precision = "1ns"
            metric_batch_size = 1
            flush_interval = "1s"
            omit_hostname = true
            [[outputs.file]]
            files = ["stdout"]
            data_format = "influx"
            [[inputs.procstat]]
            tag_with = ["pid"]
            properties = {self.properties}
            """
        for group in self.groups:
            pid_file = self.directory / f"{group.name}.pid"
            pid_file.write_text(f"{group.leader}\n")
            comms = ", ".join(f'"{comm}"' for comm in group.comms)
            text += f'[[inputs.procstat.filter]]\nname = "{group.name}"\n'
            text += self.filters.format(comms=comms, pid_file=pid_file) + "\n"
        config = self.directory / "telegraf.conf"
        config.write_text(text)
        return [self.path(), "--config", config]

    def parse(self, lines: Iterator[str]) -> Iterator[Parsed]:
        cpu, memory, last, looked_up, count = self.nothing(), self.nothing(), None, 0, 0
        for line in lines:
            tags, _, rest = line.partition(" ")
            fields, _, stamp = rest.strip().rpartition(" ")
            if line.startswith("procstat_lookup,"):
                # The last line of each filter.
                looked_up += 1
                if looked_up == len(self.groups):
                    yield int(stamp) / 1e9, cpu, memory
                    cpu, memory, last, looked_up = self.nothing(), self.nothing(), int(stamp), 0
                    self.lines, count = count, 0
            elif line.startswith("procstat,"):
                name, count = re.search(r",filter=(\w+)", tags)[1], count + 1
                if (usage := re.search(r"(?:^|,)cpu_usage=([^,]+)", fields)) and last:
                    cpu[name] += float(usage[1]) / 100 * (int(stamp) - last) / 1e9
                # A process that has just ended has none.
                if size := re.search(rf"(?:^|,){self.memory}=(\d+)", fields):
                    memory[name] += int(size[1]) * self.unit


class TelegrafChildren(Telegraf):
    title = "Telegraf procstat, with children"
    filters = 'pid_files = ["{pid_file}"]\nrecursion_depth = -1'


class TelegrafBoth(Telegraf):
    title = "Telegraf procstat, by name and with children"
    filters = "process_names = [{comms}]\nrecursion_depth = -1"


class TelegrafPss(Telegraf):
    """With the kernel's proportional set size, which procstat shows in KiB."""

    title = "Telegraf procstat, `memory_pss`"
    properties = '["cpu", "mmap"]'
    memory, unit = "memory_pss", 1024


class OpenTelemetry(Peer):
    """The process scraper of the OpenTelemetry collector."""

    title = "OpenTelemetry process scraper"
    program = "otelcol"
    elsewhere = ("otelcol-contrib",)

    def argv(self) -> list[str | Path]:
        names = ", ".join(f'"{comm}"' for comm in self.of_comm)
        config = self.directory / "otelcol.yaml"
        config.write_text(f"""
receivers:
  hostmetrics:
    collection_interval: {INTERVAL:g}s
    scrapers:
      process:
        include: {{names: [{names}], match_type: strict}}
        mute_process_all_errors: true
exporters:
  debug: {{verbosity: detailed, use_internal_logger: false}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    metrics: {{receivers: [hostmetrics], exporters: [debug]}}
""")
        return [self.path(), "--config", f"file:{config}"]

    def parse(self, lines: Iterator[str]) -> Iterator[Parsed]:
        # The CPU time and the memory of each process.
        before: dict[int, float] = {}
        used: dict[int, float] = {}
        held: dict[int, int] = {}
        name_of: dict[int, str] = {}
        pid, metric, at, first = 0, "", None, True
        for line in lines:
            word, _, value = line.strip().removeprefix("-> ").partition(": ")
            match word:
                case "ResourceMetrics #0":
                    # The first process of a sample.
                    if at is not None:
                        yield at, self.sums(used, before, name_of, first), self.held(held, name_of)
                        before, used, held, first, at = {**before, **used}, {}, {}, False, None
                case "process.pid":
                    pid = int(value[4:-1])
                case "process.executable.name":
                    name_of[pid] = self.of_comm[value[4:-1]]
                case "Name":
                    metric = value
                case "Timestamp" if at is None:
                    at = datetime.fromisoformat(value[:19]).replace(tzinfo=UTC).timestamp()
                    # Go leaves out zeros at the end of the fraction.
                    at += float("0" + re.match(r"(\.\d+)?", value[19:])[0])
                case "Value" if metric == "process.cpu.time":
                    used[pid] = used.get(pid, 0) + float(value)
                case "Value" if metric == "process.memory.usage":
                    held[pid] = int(value)

    def sums(
        self, used: dict[int, float], before: dict[int, float], name_of: dict[int, str], first: bool
    ) -> dict[str, float]:
        """What all processes used since the sample before. Of a new process, that is everything."""
        total = self.nothing()
        for pid, seconds in used.items():
            if not first:
                total[name_of[pid]] += max(0, seconds - before.get(pid, 0))
        return total

    def held(self, held: dict[int, int], name_of: dict[int, str]) -> dict[str, int]:
        total = dict.fromkeys(self.nothing(), 0)
        for pid, size in held.items():
            total[name_of[pid]] += size
        return total


class AppsPlugin(Peer):
    """netdata's apps.plugin, without its charts of users."""

    title = "netdata apps.plugin"
    program = "apps.plugin"
    elsewhere = tuple(
        f"/usr/{place}/netdata/plugins.d/apps.plugin" for place in ("lib", "libexec")
    )
    asked_version = ("version",)

    def argv(self) -> list[str | Path]:
        lines = [f"{group.name}: {' '.join(group.comms)}\n" for group in self.groups]
        # It counts a parent that is in no group with its children.
        lines.append(f"benchmark: {Path('/proc/self/comm').read_text()}")
        (self.directory / "apps_groups.conf").write_text("".join(lines))
        return [self.path(), f"{INTERVAL:g}", "without-users", "without-groups"]

    def environment(self) -> dict[str, str]:
        places = ("NETDATA_USER_CONFIG_DIR", "NETDATA_STOCK_CONFIG_DIR")
        return dict.fromkeys(places, str(self.directory))

    def parse(self, lines: Iterator[str]) -> Iterator[Parsed]:
        cpu, memory, chart, interval, at = self.nothing(), {}, "", 0.0, None
        for line in lines:
            words = line.split()
            match words:
                case ["BEGIN", chart, micros]:
                    if chart == "apps.cpu":
                        if at is not None:
                            yield at, cpu, memory
                        cpu, memory, at = self.nothing(), {}, time.time()
                        interval = int(micros) / 1e6
                case ["SET", name, "=", value] if name in cpu:
                    if chart == "apps.cpu":
                        # 100 % of one processor is 1,000,000.
                        cpu[name] = int(value) / 1e6 * interval
                    elif chart == "apps.mem":
                        memory[name] = int(value) * 1024


class Pidstat(Peer):
    title = "pidstat"
    program = "pidstat"
    asked_version = ("-V",)

    def argv(self) -> list[str | Path]:
        names = f"^({'|'.join(self.of_comm)})$"
        return ["stdbuf", "-oL", self.path(), "-h", "-u", "-r", "-p", "ALL", "-C", names, "1"]

    def parse(self, lines: Iterator[str]) -> Iterator[Parsed]:
        cpu, memory, columns, last = self.nothing(), self.nothing(), [], time.time()
        for line in lines:
            words = line.split()
            if line.startswith("#"):
                if columns:
                    # The next sample begins to be printed.
                    yield at, cpu, memory
                    cpu, memory, last = self.nothing(), self.nothing(), at
                columns, at = words[1:], time.time()
            elif columns and words:
                row = dict(zip(columns, words))
                name = self.of_comm[row["Command"]]
                cpu[name] += float(row["%CPU"]) / 100 * (at - last)
                memory[name] += int(row["RSS"]) * 1024


class PidstatChildren(Peer):
    """pidstat with the times of each process and of the children that it has waited for."""

    title = "pidstat -T CHILD"
    program = "pidstat"

    def argv(self) -> list[str | Path]:
        (group,) = self.groups
        leader = str(group.leader)
        return ["stdbuf", "-oL", self.path(), "-h", "-u", "-T", "CHILD", "-p", leader, "1"]

    def parse(self, lines: Iterator[str]) -> Iterator[Parsed]:
        # One line per sample.
        (group,) = self.groups
        for line in lines:
            match line.split():
                case [_, _, pid, user, system, *_] if pid == str(group.leader):
                    yield time.time(), {group.name: (float(user) + float(system)) / 1000}, {}


class Atop(Peer):
    """atop. As root it also lets the kernel account for each process that ends."""

    title = "atop"
    program = "atop"
    asked_version = ("-V",)

    def argv(self) -> list[str | Path]:
        return ["stdbuf", "-oL", self.path(), "-a", "-P", "PRC,PRM", f"{INTERVAL:g}"]

    def parse(self, lines: Iterator[str]) -> Iterator[Parsed]:
        row = re.compile(r"(PR[CM]) \S+ (\d+) .* \((.*?)\) ([A-Z]) (.*)")
        cpu, memory = self.nothing(), self.nothing()
        for line in lines:
            if line.startswith("SEP"):
                yield time.time(), cpu, memory
                cpu, memory = self.nothing(), self.nothing()
            elif (found := row.match(line)) and found[3] in self.of_comm:
                kind, _, comm, _, rest = found.groups()
                words = rest.split()
                if kind == "PRC" and words[10] == "y":
                    cpu[self.of_comm[comm]] += (int(words[1]) + int(words[2])) / int(words[0])
                elif kind == "PRM" and words[13] == "y":
                    memory[self.of_comm[comm]] += int(words[2]) * 1024


class ControlGroups(Peer):
    """systemd-cgtop, which shows control groups."""

    title = "systemd-cgtop"
    program = "systemd-cgtop"

    def argv(self) -> list[str | Path]:
        depth = ("--batch", "--iterations=0", "--raw", "--depth=1", f"--delay={INTERVAL:g}")
        return ["stdbuf", "-oL", self.path(), *depth]

    def parse(self, lines: Iterator[str]) -> Iterator[Parsed]:
        cpu, memory, last, at = self.nothing(), {}, time.time(), None
        for line in lines:
            match line.split():
                case []:
                    if at is not None:
                        yield at, cpu, memory
                        cpu, memory, last, at = self.nothing(), {}, at, None
                case [path, _, percent, size, *_]:
                    at = at or time.time()
                    name = path.rpartition("-")[2]
                    if name in cpu and path.startswith("/psstat-bench-"):
                        cpu[name] = 0 if percent == "-" else float(percent) / 100 * (at - last)
                        memory[name] = 0 if size == "-" else int(size)


PEERS = [Telegraf, OpenTelemetry, AppsPlugin, Pidstat, Atop, ControlGroups]


def installed(peers: list[type[Peer]]) -> list[type[Peer]]:
    return [peer for peer in peers if peer.path()]


def versions() -> dict[str, str]:
    """The versions of those that are installed."""
    return {peer.title: peer.version() for peer in installed(PEERS)}
