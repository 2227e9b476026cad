"""Measures what psstat costs, next to a baseline and to other programs.

A round runs every job once, each soon after its baseline, so that other load on the machine affects
both. Ratios are computed within a round. The results go to a file in benches/results, one JSON object
per line. report.py creates the tables from that file.

To add a job, add it to `one_shot_jobs` in one_shots.py (a new process per sample) or to `execd_jobs` in
residents.py (a process that stays and takes samples on request). comparison.py compares what psstat and
other programs report.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import comparison
import many_groups
import one_shots
import peers
import report
import residents
from environment import PSSTAT, PSSTAT_DYNAMIC, ROOT, Results, Skipped, Wrong, machine, output_of, say
from one_shots import OneShot, Psstat, one_shot_jobs
from population import (
    CONTROL_GROUP,
    GROUPED,
    ONE,
    POPULATIONS,
    QUICK_POPULATIONS,
    Population,
    control_group,
    count_processes,
    population,
    shape,
)
from residents import Execd, ExecdJob, ProcessExporter, execd_jobs, resident_jobs

# System calls are counted in populations up to this size. strace is slow, and the counts grow with N.
COUNTED_UP_TO = 1_000

# The jobs that --against measures with both binaries, besides the busy ones.
COMPARED = ["first", "first, all", "pid-file", "one", "all in one", "all in many", "one, static"]
COMPARED_RESIDENTS = ["execd, pid-file", "execd, pattern", "execd, all"]

# A comparison of residents takes so many samples per round, or fewer.
COMPARED_SAMPLES = 100

# Adds a result at one population to the file of results.
Add = Callable[..., None]


def measure(target: int, runs: int, results: Results, directory: Path) -> None:
    """Runs all measurements at one population."""
    with ExitStack() as stack:
        made = stack.enter_context(population(shape(target), directory / str(target)))
        add = partial(results.add, population=target)
        describe(made, add)
        psstat = Psstat(directory_of_caches(made, "cache"))
        jobs = one_shots.start_jobs(made, psstat) if target == min(POPULATIONS) else []
        jobs += one_shot_jobs(made, psstat)
        grouped = control_group(CONTROL_GROUP, made.members[ONE][:GROUPED])
        if stack.enter_context(grouped):
            jobs += one_shots.control_group_jobs(CONTROL_GROUP, psstat)
        jobs += one_shots.peer_jobs(made)
        busy = one_shots.busy(jobs, made)
        scratch = made.directory / "output"
        warm_up(jobs, scratch)
        # One after the other: in a round of both, the busy jobs would change what the idle ones find.
        for some in (jobs, busy):
            rounds(some, runs, scratch, add)
        for job in [*jobs, *busy]:
            count(job, scratch, add, calls=target <= COUNTED_UP_TO)
        measure_residents(made, add)


def describe(made: Population, add: Add) -> None:
    add(
        "population",
        made=made.made,
        groups=made.sizes(*made.members),
        below_leader=made.below_leader(),
        processes=count_processes(),
        load=os.getloadavg()[0],
    )
    say(f"{count_processes()} processes, {made.made} of them created for this")


def directory_of_caches(made: Population, name: str) -> Path:
    directory = made.directory / name
    directory.mkdir()
    return directory


def warm_up(jobs: list[OneShot], scratch: Path) -> None:
    """Runs all jobs twice.

    The first run of psstat reads all processes. The second reads those again that had started shortly
    before the first.
    """
    for job in [*jobs, *jobs]:
        job.run(scratch, warm_up=True)


def rounds(jobs: list[OneShot], runs: int, scratch: Path, add: Add) -> None:
    for number in range(runs):
        say(f"round {number + 1} of {runs}")
        for job in jobs:
            cost = job.run(scratch)
            add("run", job=job.key, members=job.members, round=number, **cost)


def count(job: OneShot, scratch: Path, add: Add, calls: bool) -> None:
    """Counts what does not depend on other load."""
    if calls and shutil.which("strace"):
        add("calls", job=job.key, calls=job.system_calls(scratch))
    if shutil.which("perf") and (instructions := job.instructions()) is not None:
        add("instructions", job=job.key, instructions=instructions)


def measure_residents(made: Population, add: Add) -> None:
    for resident in resident_jobs(made):
        say(resident.key)
        try:
            cost = resident.measure(resident.samples())
        finally:
            resident.stop()
        add("resident", job=resident.key, members=resident.members, **cost)


def compare(target: int, runs: int, results: Results, directory: Path, against: Path) -> None:
    """Measures the release build and another psstat at one population, in turns."""
    with population(shape(target), directory / str(target)) as made:
        add = partial(results.add, population=target)
        describe(made, add)
        programs = {"new": PSSTAT, "old": against}
        binaries = {
            name: copied(binary, made.directory / name) for name, binary in programs.items()
        }
        idle: dict[str, list[OneShot]] = {}
        for name, binary in binaries.items():
            psstat = Psstat(directory_of_caches(made, f"cache-{name}"), binary)
            jobs = one_shot_jobs(made, psstat)
            if target == min(POPULATIONS):
                jobs += one_shots.start_jobs(made, psstat)
            idle[name] = [job for job in jobs if job.key in COMPARED]
        scratch = made.directory / "output"
        for jobs in idle.values():
            warm_up(jobs, scratch)
        compare_one_shots(idle, runs, scratch, add)
        busy = {name: one_shots.busy(jobs, made) for name, jobs in idle.items()}
        compare_one_shots(busy, runs, scratch, add)
        some = [job for job in execd_jobs(made) if job.key in COMPARED_RESIDENTS]
        for job in [*some, *residents.busy(some, made)]:
            compare_residents(job, binaries, runs, add)


def copied(binary: Path, directory: Path) -> Path:
    """A copy of the program. What a start costs depends on the file system that the file is on."""
    directory.mkdir()
    return Path(shutil.copy(binary, directory / "psstat"))


def compare_one_shots(
    jobs: dict[str, list[OneShot]], runs: int, scratch: Path, add: Add
) -> None:
    """Runs the same jobs of two binaries."""
    for number in range(runs):
        say(f"round {number + 1} of {runs}")
        for new, old in zip(jobs["new"], jobs["old"]):
            pair = {"new": new, "old": old}
            for name in in_turns(number):
                cost = pair[name].run(scratch)
                add("run", job=new.key, binary=name, round=number, **cost)


def compare_residents(job: ExecdJob, binaries: dict[str, Path], runs: int, add: Add) -> None:
    say(job.key)
    pair = {name: Execd(job, binary) for name, binary in binaries.items()}
    try:
        for number in range(runs):
            for name in in_turns(number):
                resident = pair[name]
                samples = min(COMPARED_SAMPLES, resident.samples())
                cost = resident.measure(samples)
                figures = {"cpu": cost["cpu"] / samples, "peak": cost["resident"]}
                add("run", job=job.key, binary=name, round=number, **figures)
    finally:
        for resident in pair.values():
            resident.stop()


def in_turns(number: int) -> list[str]:
    """The order of the two binaries in a round. Each is the first in every other round."""
    return ["new", "old"] if number % 2 == 0 else ["old", "new"]


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


def default_output(about: dict[str, object], kind: str) -> Path:
    day = str(about["date"]).split()[0]
    name = f"{kind}{day}-{about['architecture']}-{about['processors']}cpu-linux{about['linux']}.jsonl"
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
        help="measure nothing; write the tables of docs/BENCHMARKS.md from these raw results, or with "
        "--peers those of docs/COMPARISON.md",
    )
    parser.add_argument(
        "--peers",
        action="store_true",
        help="compare psstat with other programs that measure processes: those in PATH, and those that the "
        "variables TELEGRAF, OTELCOL, APPS_PLUGIN, ATOP, PIDSTAT, SYSTEMD_CGTOP and ORIGINAL_PSSTAT name. "
        "Writes docs/COMPARISON.md; with --quick it prints the tables instead",
    )
    parser.add_argument(
        "--against",
        metavar="PATH",
        type=existing_file,
        help="compare the release build with another psstat binary, such as an older build. Measures "
        "only psstat, both binaries in each round, in turns: first run, one group by pid file and by "
        "pattern, idle and busy, all groups, and start-up; and residents: one group by pid file and by "
        "pattern, idle and busy, and all groups. Prints the ratios and does not write "
        "docs/BENCHMARKS.md. The raw results go to target/bench-against.jsonl",
    )
    parser.add_argument(
        "--groups",
        action="store_true",
        help=f"measure only what the number of groups costs: {many_groups.PROCESSES} processes in "
        f"{many_groups.DIVISIONS} groups, by name, by a rule that makes a group for each match, and with "
        "exclusive groups. Print the table, do not write docs/BENCHMARKS.md. The raw results go to "
        "target/bench-groups.jsonl",
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
        (comparison if chosen.peers else report).write(chosen.report)
        return
    about = machine()
    if chosen.against:
        output = chosen.output or ROOT / "target/bench-against.jsonl"
    elif chosen.groups:
        output = chosen.output or ROOT / "target/bench-groups.jsonl"
    else:
        output = chosen.output or default_output(about, "peers-" if chosen.peers else "")
    results = Results(output)
    known = {} if chosen.against or chosen.groups else versions()
    results.add("machine", **about, peers={**known, **peers.versions()} if chosen.peers else known)
    with tempfile.TemporaryDirectory(prefix="psstat-bench-") as directory:
        if chosen.groups:
            processes = many_groups.QUICK_PROCESSES if chosen.quick else many_groups.PROCESSES
            many_groups.measure(processes, chosen.runs or 5, results, Path(directory))
        else:
            run(chosen, results, Path(directory))
    say(f"raw results: {results.path}")
    if chosen.groups:
        print(many_groups.report(results.path))
    elif chosen.against:
        print(report.comparison(results.path))
    else:
        pages = comparison if chosen.peers else report
        if chosen.quick:
            print(pages.tables(results.path))
        else:
            pages.write(results.path)


def run(chosen: argparse.Namespace, results: Results, directory: Path) -> None:
    if chosen.peers:
        comparison.measure(chosen.quick, results, directory)
        return
    populations = chosen.populations or (QUICK_POPULATIONS if chosen.quick else POPULATIONS)
    runs = chosen.runs or (5 if chosen.quick else 15)
    for target in populations:
        try:
            if chosen.against:
                compare(target, runs, results, directory, chosen.against)
            else:
                measure(target, runs, results, directory)
        except Skipped as reason:
            say(f"population {target} is skipped: {reason}")
    if not chosen.against:
        sizes = {"static": PSSTAT.stat().st_size, "dynamic": PSSTAT_DYNAMIC.stat().st_size}
        results.add("binary", **sizes)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except Wrong as disagreement:
        sys.exit(f"bench: {disagreement}")
