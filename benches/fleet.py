"""Sends the samples of a simulated fleet of hosts to a real VictoriaMetrics, for psstat and procstat.

First, psstat takes samples of real services on this machine. At the same times, procstat.py creates
the lines that procstat would print. Then each host of the fleet sends these samples under its own
name, in its own order, and at its own time of the interval. The results go to a file in
benches/results, one JSON object per line, and as a table to standard output.
"""

from __future__ import annotations

import argparse
import datetime
import http.client
import json
import os
import random
import re
import signal
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from environment import PSSTAT, ROOT, Results, machine, output_of
from procstat import Plugin
from services import free_port, services

HOST, TIME = b"@HOST@", b"@TIME@"

# Lines per request. This is the default of Telegraf's metric_batch_size.
BATCH = 1000

PROGRAMS = ["psstat", "procstat, lean", "procstat, all fields"]

# The programs that print counters.
COUNTERS = ["procstat, all fields"]

# A group that does not run. psstat prints zeros for it.
DOWN = "backup"


@dataclass
class Recording:
    """The samples that one program printed. HOST and TIME mark where host and time belong."""

    name: str
    samples: list[bytes] = field(default_factory=list)

    def add(self, lines: list[str]) -> None:
        self.samples.append("".join(f"{line}\n" for line in lines).encode())

    def on_the_wire(self) -> dict[str, float]:
        """Mean number of bytes per host and interval, uncompressed and as gzip, as Telegraf sends."""
        texts = [text.replace(HOST, host(42)).replace(TIME, b"%d" % 1e18) for text in self.samples]
        packed = [len(zlib.compress(text, 6, 31)) for text in texts]
        count = len(texts)
        return {
            "lines": sum(text.count(b"\n") for text in texts) / count,
            "fields": sum(fields_of(text) for text in texts) / count,
            "bytes": sum(map(len, texts)) / count,
            "gzip_bytes": sum(packed) / count,
        }


def fields_of(text: bytes) -> int:
    """The number of fields in these lines: of equals signs after the tags and outside quotes."""
    bare = re.sub(rb'"(\\.|[^"\\])*"', b"", text)
    lines = (re.split(rb"(?<!\\) ", line)[1] for line in bare.splitlines())
    return sum(line.count(b"=") for line in lines)


def series_of(text: bytes) -> set[bytes]:
    """The series of these lines. Tags and the name of the field identify a series."""
    keys = set()
    for line in re.sub(rb'"(\\.|[^"\\])*"', b"", text).splitlines():
        tags, fields, _ = re.split(rb"(?<!\\) ", line)
        keys.update(tags + b" " + pair.partition(b"=")[0] for pair in fields.split(b","))
    return keys


def host(number: int) -> bytes:
    return b"host%05d" % number


def record(count: int, interval: float, directory: Path) -> tuple[dict[str, Recording], dict]:
    """Takes `count` samples of real services."""
    recordings = {name: Recording(name) for name in PROGRAMS}
    with services(directory) as groups:
        selectors = [word for name, pid in groups.items() for word in ("--pid", f"{name}:{pid}")]
        selectors += ["--pid-file", f"{DOWN}:{directory}/none.pid"]
        command = [PSSTAT, "execd", "--interval", f"{int(1000 * interval)}ms", *selectors]
        plugin = Plugin()
        plugin.lines(groups, "", "")
        counted: dict[str, list[int]] = {}
        process = subprocess.Popen(
            [*command, "--host", HOST.decode()],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        try:
            for _ in range(count):
                lines = [process.stdout.readline() for _ in range(len(groups) + 1)]
                stamps = {line.split()[-1] for line in lines}
                if len(stamps) != 1:
                    sys.exit(f"fleet: these lines are not of one sample: {lines}")
                when = TIME.decode()
                recordings["psstat"].add([re.sub(r"\d+$", when, line.strip()) for line in lines])
                everything, lean = plugin.lines(groups, HOST.decode(), when)
                recordings["procstat, all fields"].add(everything)
                recordings["procstat, lean"].add(lean)
                for line in lines:
                    name, alive = re.search(r"process_name=(\S+) .*n_proc=(\d+)i", line).groups()
                    counted.setdefault(name, []).append(int(alive))
        finally:
            process.stdin.close()
            process.stdout.close()
            process.wait()
    processes = {name: sum(counts) / len(counts) for name, counts in counted.items()}
    return recordings, {"samples": count, "interval_s": interval, "processes": processes}


class Server:
    """A VictoriaMetrics, started for one replay."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.port = free_port()
        self.log = open(directory / "log", "w")
        self.process = subprocess.Popen(
            [
                "victoria-metrics",
                f"-storageDataPath={directory / 'data'}",
                f"-httpListenAddr=127.0.0.1:{self.port}",
                "-search.latencyOffset=0s",
            ],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
        )
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        for _ in range(600):
            try:
                self.get("/health")
                return
            except OSError:
                self.connection.close()
                time.sleep(0.1)
        self.stop()
        sys.exit("fleet: VictoriaMetrics does not start")

    def get(self, path: str) -> str:
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        text = answer.read().decode()
        if answer.status >= 300:
            sys.exit(f"fleet: {path}: {answer.status} {text}")
        return text

    def write(self, lines: bytes) -> None:
        self.connection.request("POST", "/write", lines)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 204:
            sys.exit(f"fleet: VictoriaMetrics rejects the lines: {answer.status} {text!r}")

    def counter(self, name: str) -> float:
        """The sum of a counter of the server over all its labels."""
        found = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", self.get("/metrics"), re.MULTILINE)
        return sum(map(float, found))

    def memory(self) -> dict[str, int]:
        """The memory of the server in bytes, from /proc/PID/status."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        keys = {"resident": "VmRSS", "peak": "VmHWM", "anonymous": "RssAnon", "mapped": "RssFile"}
        return {k: int(re.search(rf"{v}:\s+(\d+)", status)[1]) * 1024 for k, v in keys.items()}

    def memory_by_psstat(self) -> int:
        """The memory of the server as psstat reports it, in bytes."""
        selector = ["--pid", f"server:{self.process.pid}", "--memory", "rss", "--wait", "100ms"]
        line = output_of(str(PSSTAT), *selector)
        total = int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())[1]) * 1024
        return round(float(re.search(r"p_mem=([\d.]+)", line)[1]) * total)

    def cpu(self) -> float:
        """CPU time of the server in seconds."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        user, system = stat[stat.rindex(")") + 2 :].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def settle(self, until: float) -> None:
        """Makes the server write and merge its data, and waits until it has."""
        self.get("/internal/force_flush")
        self.get("/internal/force_merge")
        quiet = 0
        while quiet < 3 and time.monotonic() < until:
            time.sleep(1)
            busy = self.counter("vm_active_merges") + self.counter("vm_active_force_merges")
            quiet = 0 if busy else quiet + 1

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def disk(self) -> dict[str, int]:
        """Bytes on disk: of the samples, and of the index of the series."""
        def size(part: str) -> int:
            files = (self.directory / "data" / part).rglob("*")
            return sum(file.stat().st_size for file in files if file.is_file())

        return {"samples": size("data"), "index": size("indexdb")}


class Wander:
    """The order in which a host sends the recorded samples. It starts at a random sample, continues
    with the next, and sometimes jumps to another, so that hosts and hours differ. Counters must not
    decrease, so with them it does not jump and does not start again at the first sample."""

    def __init__(self, number: int, recorded: int, wanted: int, jumps: bool):
        self.random = random.Random(number)
        self.count = recorded
        self.jumps = jumps
        self.seen: set[int] = set()
        self.at = self.random.randrange(recorded if jumps else recorded - wanted + 1) - 1

    def next(self) -> int:
        jump = self.jumps and self.random.random() < 0.1
        self.at = self.random.randrange(self.count) if jump else (self.at + 1) % self.count
        self.seen.add(self.at)
        return self.at


def replay(
    recording: Recording, hosts: int, count: int, interval: int, until: float, directory: Path
) -> dict[str, object]:
    """Sends `count` samples of every host, and returns what they cost the server."""
    directory.mkdir()
    server = Server(directory)
    try:
        before = server.memory()
        recorded, jumps = len(recording.samples), recording.name not in COUNTERS
        fleet = [(host(n), Wander(n, recorded, count, jumps)) for n in range(hosts)]
        draw = random.Random(1)
        # Each host sends at its own time of the interval, up to 5 ms late.
        moments = [draw.randrange(interval * 10**9) for _ in range(hosts)]
        start, sent, fields, bytes_sent = first_moment(count, interval), 0, 0, 0
        known = [fields_of(sample) for sample in recording.samples]
        waited, cpu = 0.0, server.cpu()
        texts: list[bytes] = []
        lines = 0

        def send() -> None:
            nonlocal waited, sent, bytes_sent, lines
            body = b"".join(texts)
            began = time.perf_counter()
            server.write(body)
            waited += time.perf_counter() - began
            bytes_sent += len(body)
            sent += lines
            lines = 0
            texts.clear()

        for step in range(count):
            if time.monotonic() > until:
                sys.exit("fleet: not done within --limit; use fewer hosts or samples")
            for (name, wander), moment in zip(fleet, moments):
                at = wander.next()
                when = start + step * interval * 10**9 + moment + draw.randrange(5_000_000)
                text = recording.samples[at].replace(HOST, name).replace(TIME, b"%d" % when)
                texts.append(text)
                fields += known[at]
                lines += text.count(b"\n")
                if lines >= BATCH:
                    send()
        if texts:
            send()
        taken = int(server.counter("vm_rows_inserted_total"))
        lost = server.counter("vm_rows_invalid_total") + server.counter("vm_rows_ignored_total")
        if (taken, lost) != (fields, 0):
            sys.exit(f"fleet: {fields} samples were sent, {taken} were accepted, {lost} lost")
        used = server.cpu() - cpu
        time.sleep(2)
        after, by_psstat = server.memory(), server.memory_by_psstat()
        server.get("/internal/force_flush")
        series = count_series(recording, [wander.seen for _, wander in fleet])
        end = start + count * interval * 10**9
        answers = queries(server, end) if recording.name == "psstat" else []
        server.settle(until)
    finally:
        server.stop()
    disk = server.disk()
    shutil.rmtree(directory)
    return {
        "hosts": hosts,
        "samples_per_series": count,
        "interval_s": interval,
        "lines": sent,
        "samples": taken,
        "series": series,
        "bytes_sent": bytes_sent,
        "seconds": round(waited, 3),
        "samples_per_second": round(taken / waited),
        "cpu_seconds": round(used, 2),
        "memory_before": before,
        "memory_after": after,
        "memory_by_psstat": by_psstat,
        "disk": disk,
        "queries": answers,
        "load": os.getloadavg()[1],
    }


def count_series(recording: Recording, seen: list[set[int]]) -> int:
    """The number of series of all hosts; `seen` has the samples that each host sent. The server's own
    counter is too high: it may count a new series twice."""
    of = [series_of(text) for text in recording.samples]
    return sum(len(set().union(*(of[at] for at in samples))) for samples in seen)


def first_moment(count: int, interval: int) -> int:
    """The time of the first sample, in nanoseconds. All samples get times of the same day in UTC,
    because the index has entries per day, and times in the past if the day is long enough."""
    now = int(time.time())
    midnight = now - now % 86_400
    return max(midnight, now - (count + 1) * interval) * 10**9


QUERIES = [
    'sum(psstat_p_cpu{process_name="web"})',
    'topk(3, psstat_p_cpu{process_name="app"})',
    f'count(psstat_n_proc{{process_name="{DOWN}"}} == 0)',
    'quantile(0.99, avg_over_time(psstat_p_cpu{process_name="db"}[5m]))',
    "sum by (process_name) (psstat_p_mem)",
]


def queries(server: Server, now: int) -> list[dict[str, object]]:
    """Runs the queries of docs/FLEET.md. Returns the number of series and the time of each."""
    answers = []
    for query in QUERIES:
        parameters = urllib.parse.urlencode({"query": query, "time": now // 10**9})
        began = time.perf_counter()
        result = json.loads(server.get(f"/api/v1/query?{parameters}"))["data"]["result"]
        took = time.perf_counter() - began
        first = result[0]["value"][1] if result else None
        answers.append(
            {"query": query, "series": len(result), "first": first, "ms": round(1000 * took, 1)}
        )
    return answers


def table(wire: dict[str, dict], runs: dict[str, dict]) -> str:
    """The results in Markdown."""
    columns = [
        ("lines per host and interval", lambda n: f"{wire[n]['lines']:.1f}"),
        ("fields per host and interval", lambda n: f"{wire[n]['fields']:.1f}"),
        ("bytes per host and interval", lambda n: f"{wire[n]['bytes']:.0f}"),
        ("the same, gzip", lambda n: f"{wire[n]['gzip_bytes']:.0f}"),
        ("hosts replayed", lambda n: f"{runs[n]['hosts']:,}"),
        ("samples per series", lambda n: f"{runs[n]['samples_per_series']:,}"),
        ("samples", lambda n: f"{runs[n]['samples']:,}"),
        ("series", lambda n: f"{runs[n]['series']:,}"),
        ("series per host", lambda n: f"{runs[n]['series'] / runs[n]['hosts']:.0f}"),
        ("samples per second accepted", lambda n: f"{runs[n]['samples_per_second']:,}"),
        (
            "samples per second of the server's CPU",
            lambda n: f"{runs[n]['samples'] / runs[n]['cpu_seconds']:,.0f}",
        ),
        (
            "server's memory before, after (MiB)",
            lambda n: f"{runs[n]['memory_before']['resident'] / 2**20:.0f}, "
            f"{runs[n]['memory_after']['resident'] / 2**20:.0f}",
        ),
        (
            "growth of its memory per series (bytes)",
            lambda n: f"{growth(runs[n]) / runs[n]['series']:.0f}",
        ),
        (
            "disk per sample (bytes)",
            lambda n: f"{runs[n]['disk']['samples'] / runs[n]['samples']:.2f}",
        ),
        (
            "index per series (bytes)",
            lambda n: f"{runs[n]['disk']['index'] / runs[n]['series']:.0f}",
        ),
    ]
    text = f"| | {' | '.join(runs)} |\n|---|{'---:|' * len(runs)}\n"
    for title, cell in columns:
        text += f"| {title} | {' | '.join(cell(name) for name in runs)} |\n"
    return text


# With fewer samples per series, the bytes per sample on disk are not those of a long run.
ENOUGH = 100


def projection(wire: dict[str, dict], runs: dict[str, dict], interval: int) -> str:
    """The results multiplied by the size of fleets, in Markdown. These are not measured."""
    text = f"| hosts | | {' | '.join(runs)} |\n|---:|---|{'---:|' * len(runs)}\n"
    for hosts in (1, 100, 10_000):
        intervals = 86_400 / interval * hosts

        def gigabytes(count: float) -> str:
            number, unit = (count / 1e9, "GB") if count >= 1e8 else (count / 1e6, "MB")
            return f"{number:,.0f} {unit}" if number >= 10 else f"{number:.2g} {unit}"

        def disk(name: str) -> str:
            run = runs[name]
            if run["samples_per_series"] < ENOUGH:
                return "not measured"
            each = run["disk"]["samples"] / run["samples"]
            return gigabytes(intervals * wire[name]["fields"] * each)

        rows = {
            "samples per second": lambda name: f"{hosts * wire[name]['fields'] / interval:,.1f}",
            "a day on the wire": lambda name: gigabytes(intervals * wire[name]["bytes"]),
            "the same, gzip": lambda name: gigabytes(intervals * wire[name]["gzip_bytes"]),
            "a day on disk": disk,
        }
        for title, cell in rows.items():
            text += f"| {hosts:,} | {title} | {' | '.join(cell(name) for name in runs)} |\n"
    return text


def growth(run: dict) -> int:
    return run["memory_after"]["resident"] - run["memory_before"]["resident"]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/fleet", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--hosts", type=int, default=1000, help="hosts of the fleet (default 1000)")
    add("--samples", type=int, default=360, help="samples per host (default 360: an hour)")
    add(
        "--all-samples", type=int, default=3,
        help="samples per host of procstat with all fields (default 3, because it has many series)",
    )
    add("--interval", type=int, default=10, help="seconds between two samples (default 10)")
    add("--only", choices=PROGRAMS, help="send the lines of only one program")
    add("--recorded", type=int, default=60, help="samples of real services to take (default 60)")
    add(
        "--spacing", type=float, default=1.0,
        help="seconds between them (default 1; CPU time is counted in steps of 10 ms)",
    )
    add("--limit", type=int, default=900, help="give up after so many seconds (default 900)")
    add("--output", type=Path, metavar="FILE", help="file for the raw results")
    return parser.parse_args()


def main() -> None:
    # On SIGTERM, leave all blocks, so that the servers that were started stop.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    chosen = options()
    if not shutil.which("victoria-metrics"):
        sys.exit("fleet: VictoriaMetrics is missing: scripts/install-test-packages")
    if chosen.all_samples > chosen.recorded:
        sys.exit("fleet: --all-samples must not exceed --recorded, because counters must not decrease")
    until = time.monotonic() + chosen.limit
    about = machine()
    version = output_of("dpkg-query", "-W", "-f", "${Version}", "victoria-metrics")
    day = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    where = f"{about['architecture']}-{about['processors']}cpu-linux{about['linux']}"
    name = f"fleet-{day}-{where}-{chosen.hosts}hosts-{chosen.samples}samples.jsonl"
    results = Results(chosen.output or ROOT / "benches/results" / name)
    results.add("machine", **about, victoria_metrics=version)
    with tempfile.TemporaryDirectory(prefix="psstat-fleet-") as temporary:
        directory = Path(temporary)
        # PostgreSQL runs as another user and must reach its files.
        directory.chmod(0o755)
        say(f"taking {chosen.recorded} samples of real services")
        recordings, about_groups = record(chosen.recorded, chosen.spacing, directory)
        results.add("services", **about_groups)
        wire, runs = {}, {}
        for name, recording in recordings.items():
            wire[name] = recording.on_the_wire()
            results.add("wire", program=name, **wire[name])
        for name in [chosen.only] if chosen.only else PROGRAMS:
            count = chosen.all_samples if name in COUNTERS else chosen.samples
            say(f"{name}: {chosen.hosts} hosts, {count} samples each")
            runs[name] = replay(
                recordings[name], chosen.hosts, count, chosen.interval, until, directory / "server"
            )
            results.add("replay", program=name, **runs[name])
    say(f"raw results: {results.path}")
    print(table(wire, runs), projection(wire, runs, chosen.interval), sep="\n", end="")


def say(text: str) -> None:
    print(f"fleet: {text}", file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
