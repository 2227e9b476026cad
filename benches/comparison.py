"""Compares psstat with other programs, and creates the tables of docs/COMPARISON.md.

Each question has one load for all programs: how exact the CPU time of light processes is (accuracy.py), how
much of the CPU time of short-lived children is reported, what becomes of children that match as well, what
memory is reported of processes that share it, and what a sample costs.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from statistics import median

import accuracy
import peers
from accuracy import OriginalSum, Read, compare, exported_cpu, kernel_account, running
from environment import PSSTAT, ROOT, Results, Skipped, Wrong, output_of, say
from one_shots import OneShot, Psstat
from peers import Group, Peer, find, installed
from population import (
    CONTROL_GROUP,
    ONE,
    Population,
    control_group,
    count_processes,
    population,
    shape,
)
from raw import Errors
from report import measured, table, versions
from residents import Execd, ExecdJob, ProcessExporter, Resident

DOCUMENT = ROOT / "docs/COMPARISON.md"
BEGIN = "<!-- begin: written by scripts/bench --peers -->"
END = "<!-- end: written by scripts/bench --peers -->"

POPULATIONS = [1_000, 3_000, 10_000]
QUICK_POPULATIONS = [100, 1_000]

# The samples of the short-lived children, and of the group that is counted twice.
SAMPLES = 20
QUICK_SAMPLES = 5

# The shared memory in MiB, and the processes that share it with the one that filled it.
SHARED = 200
FORKS = 200

# A program takes so many samples for its cost, or fewer if that takes longer than so many seconds.
GATHERS = 10
PATIENCE = 150

ORIGINAL = accuracy.NEEDED["original"]

# Fills its memory after the first line of its standard input, and then forks. When its standard input ends,
# the forks end, and it closes its standard output.
FORKING = f"""
import mmap, os, signal, sys
open("/proc/self/comm", "w").write("forked")
sys.stdin.buffer.raw.read(1)
memory = mmap.mmap(-1, {SHARED} << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for at in range(0, {SHARED} << 20, 4096):
    memory[at] = 1
for _ in range({FORKS}):
    if os.fork() == 0:
        sys.stdin.buffer.raw.read()
        os._exit(0)
print("ready", flush=True)
for _ in range({FORKS}):
    os.wait()
os.close(1)
signal.pause()
"""


def measure(quick: bool, results: Results, directory: Path) -> None:
    samples = QUICK_SAMPLES if quick else SAMPLES
    accuracy.measure(
        accuracy.QUICK_SAMPLES if quick else accuracy.SAMPLES, results, directory / "accuracy"
    )
    try:
        short_lived(samples, results, directory / "short")
    except Skipped as reason:
        say(f"short-lived children are skipped: {reason}")
    matched_twice(samples, results, directory / "twice")
    shared_memory(results, directory / "memory")
    for target in QUICK_POPULATIONS if quick else POPULATIONS:
        try:
            costs(target, results, directory / f"costs-{target}")
        except Skipped as reason:
            say(f"population {target} is skipped: {reason}")


@contextmanager
def short_load(directory: Path) -> Iterator[tuple[Group, Read]]:
    """A shell that runs one short command after the other, and waits for each.

    And the kernel's account of them.
    """
    comms = ("short", "shortjob", "shortwait")
    for program, comm in zip(("bash", "gzip", "sleep"), comms):
        shutil.copy(shutil.which(program), directory / comm)
    data = directory / "data"
    data.write_bytes(PSSTAT.read_bytes()[:400_000])
    script = "read; while :; do ./shortjob -c data > /dev/null; ./shortwait 0.02; done"
    shell = subprocess.Popen(
        [directory / "short", "-c", script], cwd=directory, stdin=subprocess.PIPE, text=True
    )
    try:
        with control_group(f"{CONTROL_GROUP}-short", [shell.pid]) as group:
            if not group or not (group / "cpu.stat").exists():
                raise Skipped("short-lived children need a control group with cpu.stat")
            shell.stdin.write("\n")
            shell.stdin.flush()
            try:
                yield (
                    Group("short", shell.pid, comms),
                    lambda: {"short": accuracy.usage(group)},
                )
            finally:
                # A control group can be removed only when it is empty.
                shell.send_signal(signal.SIGSTOP)
                while len((group / "cgroup.procs").read_text().split()) > 1:
                    time.sleep(0.01)
    finally:
        shell.kill()
        shell.wait()


def short_lived(samples: int, results: Results, directory: Path) -> None:
    """How much of the CPU time of children that end each program reports."""
    say(f"short-lived children: {samples} samples")
    directory.mkdir()
    with ExitStack() as stack:
        group, account = stack.enter_context(short_load(directory))
        of_parent = ["--pid", f"short:{group.leader}"]
        of_jobs = ["--pattern", "short:^shortjob$"]
        programs = {
            "psstat, the parent": stack.enter_context(one_group(of_parent)),
            "psstat, the children by name": stack.enter_context(one_group(of_jobs)),
        }
        if may_have_exit_records():
            key = "psstat, the children by name, `--exit-records`"
            programs[key] = stack.enter_context(one_group([*of_jobs, "--exit-records"]))
        if find(ORIGINAL):
            cache = ["--cache-dir", directory, "--cache-name", "original"]
            programs["original psstat"] = OriginalSum([find(ORIGINAL), *cache, *of_parent]).read
        if find(ProcessExporter.program):
            programs["process-exporter"] = stack.enter_context(exporter(group, directory))
        others = [*peers.PEERS, peers.TelegrafChildren, peers.PidstatChildren]
        started = stack.enter_context(running(installed(others), [group], directory))
        readings = compare(programs, started, account, samples)
    add(results, "short", readings, "short")


def may_have_exit_records() -> bool:
    """Needs CAP_NET_ADMIN and the namespaces of the host."""
    argv = [PSSTAT, "execd", "--exit-records", "--pid", "1"]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        say(f"without exit records: {done.stderr.strip()}")
    return done.returncode == 0


def matched_twice(samples: int, results: Results, directory: Path) -> None:
    """A group whose children match as well as their parent."""
    say(f"children that match: {samples} samples")
    load = accuracy.LOADS[0]
    with ExitStack() as stack:
        made = stack.enter_context(population([load.argument], directory))
        account, _ = stack.enter_context(kernel_account(made.members))
        selectors = ["--pattern", f"{load.name}:^{load.name}$"]
        programs = {"psstat, by name": stack.enter_context(one_group(selectors))}
        group = accuracy.groups_of(made)
        if find(ProcessExporter.program):
            programs["process-exporter"] = stack.enter_context(exporter(group[0], directory))
        others = installed([peers.Telegraf, peers.TelegrafBoth])
        started = stack.enter_context(running(others, group, directory))
        readings = compare(programs, started, account, samples)
        for title, peer in started.items():
            results.add("lines", program=title, lines=peer.lines)
    add(results, "twice", readings, load.name)


def add(results: Results, kind: str, readings: dict[str, accuracy.Readings], name: str) -> None:
    for key, reading in readings.items():
        results.add(kind, program=key, **reading.row(name))


def one_group(selectors: list[str]) -> AbstractContextManager[Read]:
    """A resident psstat with these selectors of one group."""
    return accuracy.execd(selectors, {selectors[1].partition(":")[0]: 1})


@contextmanager
def exporter(group: Group, directory: Path) -> Iterator[Read]:
    """It counts the children of a process with its group, unless it has a group for them."""
    resident = ProcessExporter("process-exporter", {group.name: 1}, directory)
    try:
        yield lambda: exported_cpu(resident.ask())
    finally:
        resident.stop()


def shared_memory(results: Results, directory: Path) -> None:
    """What each program says of forked workers that share the memory of their parent."""
    say(f"{FORKS + 1} processes that share {SHARED} MiB")
    directory.mkdir()
    pipe = subprocess.PIPE
    script = directory / "forking.py"
    script.write_text(FORKING)
    parent = subprocess.Popen([sys.executable, script], stdin=pipe, stdout=pipe, text=True)
    try:
        # The kernel accounts memory to the control group in which it was written.
        with control_group(f"{CONTROL_GROUP}-forked", [parent.pid]):
            parent.stdin.write("\n")
            parent.stdin.flush()
            parent.stdout.readline()
            try:
                group = Group("forked", parent.pid, ("forked",))
                for program, size in memory_figures(group, directory):
                    results.add("memory", program=program, bytes=size)
            finally:
                parent.stdin.close()
                parent.stdout.read()
    finally:
        parent.kill()
        parent.wait()


def memory_figures(group: Group, directory: Path) -> Iterator[tuple[str, int]]:
    pids = [group.leader, *children_of(group.leader)]
    rollups = (Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids)
    pss = sum(int(re.search(r"\nPss:\s+(\d+)", text)[1]) for text in rollups)
    yield "kernel: the sum of PSS", pss * 1024
    selector = ["--pid", f"forked:{group.leader}"]
    for mode in ("auto", "pss", "rss"):
        argv = [PSSTAT, "--wait", "1s", "--fields", "mem", "--memory", mode, *selector]
        yield f"psstat, `--memory {mode}`", int(re.search(r" mem=(\d+)", output_of(*argv))[1])
    if find(ORIGINAL):
        argv = [find(ORIGINAL), "--cache-dir", directory, *selector]
        share = float(re.search(r"pmem=([\d.]+)", output_of(*argv))[1])
        total = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1])
        yield "original psstat", int(share * total * 1024)
    if find(ProcessExporter.program):
        resident = ProcessExporter("process-exporter", {"forked": 1}, directory, smaps=True)
        try:
            page = resident.ask()
        finally:
            resident.stop()
        for kind in ("resident", "proportionalResident"):
            metric = rf'_memory_bytes{{groupname="forked",memtype="{kind}"}} (\S+)'
            yield f"process-exporter, `{kind}`", int(float(re.search(metric, page)[1]))
    others = installed([*peers.PEERS, peers.TelegrafPss])
    with running(others, [group], directory) as started:
        for title, peer in started.items():
            peer.wait(3, 120)
            yield title, int(peer.samples[2].memory["forked"])


def children_of(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def costs(target: int, results: Results, directory: Path) -> None:
    """What a sample of one group of processes costs on a machine with so many processes."""
    with population(shape(target), directory) as made:
        members = len(made.members[ONE])
        processes = count_processes()
        say(f"{processes} processes, of which {members} are measured")
        for program, micros in figures(made):
            say(f"{program}: {median(micros) / 1000:.2f} ms")
            # Another program may have started or ended many.
            if abs(count_processes() - processes) > processes / 10:
                raise Wrong(f"the machine had {processes} processes, and has {count_processes()}")
            row = {"population": target, "processes": processes, "members": members}
            load = os.getloadavg()[0]
            results.add("gather", program=program, **row, load=load, cpu=micros)


def figures(made: Population) -> Iterator[tuple[str, list[int]]]:
    """Each program, and the CPU time of its samples in microseconds."""
    one, directory = made.sizes(ONE), made.directory
    by_name = ["--pattern", f"{ONE}:^{ONE}$"]
    by_pid_file = ["--pid-file", f"{ONE}:{made.pid_file(ONE)}"]
    for program, selector in {
        "psstat execd, by name": by_name,
        "psstat execd, parent and children": by_pid_file,
    }.items():
        yield program, each(Execd(ExecdJob(program, selector, one)))
    shots = [Psstat(directory).sample("psstat, one shot, parent and children", one, *by_pid_file)]
    if find(ORIGINAL):
        argv = [find(ORIGINAL), "--cache-dir", directory, "--cache-name", "original", *by_pid_file]
        shots.append(OneShot("original psstat, parent and children", argv))
    for shot in shots:
        # The first run of psstat reads all processes, and the second the new ones again.
        for _ in range(2):
            shot.run(directory / "output", warm_up=True)
        yield shot.key, [shot.run(directory / "output")["cpu"] for _ in range(GATHERS)]
    if find(ProcessExporter.program):
        yield "process-exporter", each(ProcessExporter("process-exporter", one, directory))
    group = [Group(ONE, made.leaders[ONE], (ONE,))]
    for peer in installed([*peers.PEERS, peers.TelegrafChildren]):
        with running([peer], group, directory) as started:
            yield peer.title, gathers(started[peer.title])


def each(resident: Resident) -> list[int]:
    """The CPU time of each sample in microseconds, once the first two have been taken."""
    try:
        for _ in range(3):
            resident.ask()
        totals = [resident.cpu()]
        for _ in range(GATHERS):
            resident.ask()
            totals.append(resident.cpu())
    finally:
        resident.stop()
    return [(later - earlier) // 1000 for earlier, later in zip(totals, totals[1:])]


def gathers(peer: Peer) -> list[int]:
    """The same of a program that takes samples on its own."""
    end = time.monotonic() + PATIENCE
    # The first includes the start.
    peer.wait(2, 3_000)
    while len(peer.samples) < GATHERS + 1 and time.monotonic() < end:
        time.sleep(0.1)
    clocks = [sample.cost for sample in peer.samples[: GATHERS + 1]]
    return [(later - earlier) // 1000 for earlier, later in zip(clocks, clocks[1:])]


def rows_of(path: Path) -> dict[str, list[dict]]:
    """The raw results of each kind."""
    rows: dict[str, list[dict]] = {}
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        rows.setdefault(entry["kind"], []).append(entry)
    return rows


def tables(path: Path) -> str:
    """All tables, in Markdown."""
    rows = rows_of(path)
    parts = [
        about(rows["machine"][0], path),
        accuracy_table(rows["accuracy"]),
        short_table(rows.get("short", [])),
        twice_table(rows["twice"], rows.get("lines", [])),
        memory_table(rows["memory"]),
        cost_table(rows["gather"]),
    ]
    return "\n\n".join(part for part in parts if part)


def about(machine: dict, path: Path) -> str:
    return (
        f"{measured(machine)}. {versions(machine)}.\n\n"
        f"Raw results: `benches/results/{path.name}`."
    )


def accuracy_table(entries: list[dict]) -> str:
    """The errors of each program: rms and largest."""
    loads: dict[str, None] = {}
    rows: dict[str, list[str]] = {}
    for entry in entries:
        usage, period = entry["usage"] / 1000, entry["period"] // 1000
        loads[f"{entry['processes']} processes, {usage:g} ms every {period:,} ms"] = None
        title = ACCURACY_TITLES.get(entry["program"], entry["program"])
        rows.setdefault(title, [title]).append(Errors.of(entry).text())
    source = ACCOUNTS[entries[0]["account"]]
    return (
        f"### Accuracy\n\nThe error of the CPU time between two samples, as a fraction of {source}: rms, "
        f"largest. {intervals_of(entries)}.\n\n"
        + table(["program", *loads], list(rows.values()))
    )


def short_table(entries: list[dict]) -> str:
    if not entries:
        return ""
    return (
        f"### Short-lived children\n\nThe CPU time that each program reported, as a fraction of what "
        f"the kernel counted (`cpu.stat`). {intervals_of(entries)}: all of them together, and the lowest and "
        "the highest of one.\n\n"
        + table(["program", "reported", "lowest", "highest"], list(map(shares, entries)))
    )


def twice_table(entries: list[dict], counts: list[dict]) -> str:
    load = accuracy.LOADS[0]
    lines = {entry["program"]: entry["lines"] for entry in counts}
    rows = [[*shares(entry), f"{lines.get(entry['program'], 1)}"] for entry in entries]
    return (
        f"### Children that match as well\n\nThe same for {load.processes} processes that all match: a "
        "parent and its children. A line is one of a process, or of the whole group.\n\n"
        + table(["program", "reported", "lowest", "highest", "lines in a sample"], rows)
    )


def intervals_of(entries: list[dict]) -> str:
    lengths = [seconds for entry in entries for seconds in entry["seconds"]]
    number = len(entries[0]["seconds"])
    return f"{number} intervals of {median(lengths):.1f} s (at most {max(lengths):.1f} s)"


def shares(entry: dict) -> list[str]:
    each = [reported / used for reported, used in zip(entry["reported"], entry["used"])]
    total = sum(entry["reported"]) / sum(entry["used"])
    return [entry["program"], *(f"{100 * share:.1f} %" for share in (total, min(each), max(each)))]


def memory_table(entries: list[dict]) -> str:
    rows = [[entry["program"], f"{entry['bytes'] / 2**20:,.0f}"] for entry in entries]
    return (
        f"### Shared memory\n\n{FORKS + 1} processes that share {SHARED} MiB, because one filled them "
        "and the others are its forks.\n\n" + table(["program", "MiB"], rows)
    )


def cost_table(entries: list[dict]) -> str:
    numbers = sorted({entry["population"] for entry in entries})
    found = {(entry["program"], entry["population"]): entry for entry in entries}
    programs = dict.fromkeys(entry["program"] for entry in entries)
    reference = next(iter(programs))

    def cell(program: str, number: int) -> str:
        if (program, number) not in found:
            return ""
        micros = median(found[program, number]["cpu"])
        ratio = micros / median(found[reference, number]["cpu"])
        return f"{micros / 1000:,.2f} ({ratio:,.{0 if ratio >= 10 else 1}f} ×)"

    rows = [[program, *(cell(program, number) for number in numbers)] for program in programs]
    heads = [next(e for e in entries if e["population"] == number) for number in numbers]
    head = ["program", *(f"N = {e['processes']:,}, M = {e['members']}" for e in heads)]
    return (
        "### Cost of a sample\n\nThe CPU time of one sample of M processes that sleep, on a machine with N, in ms: "
        f"the median of up to {GATHERS} samples, and the ratio to {reference}.\n\n" + table(head, rows)
    )


ACCURACY_TITLES = {
    "execd": "psstat execd",
    "one shot": "psstat, one shot",
    "original": "original psstat",
    "sum of clocks": "sum of CPU clocks",
}

ACCOUNTS = {
    "cpu.stat": "`usage_usec` of the group's own control group",
    "schedstat": "the sum of `/proc/PID/schedstat`",
}


def write(path: Path) -> None:
    """Writes the tables into the document, between the two markers."""
    text = DOCUMENT.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{tables(path)}\n\n{END}{after}")
