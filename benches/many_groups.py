"""What the number of groups costs: the same processes in a few groups and in thousands."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

from checks import at_least, psstat_saw
from environment import BASELINE, Results, Skipped, say
from one_shots import TIMEOUT, OneShot, Psstat
from population import Population, count_processes, population
from raw import Spread
from report import table
from residents import Execd, ExecdJob

# All processes together, and the numbers of groups that they are divided into.
PROCESSES = 8_000
QUICK_PROCESSES = 800
DIVISIONS = [10, 100, 1_000, 4_000]

# Samples of a resident per round.
SAMPLES = 20

NAMES = "^t([0-9]+)$"

# Jobs, in the order of the table. Each is compared with the first, in the same round.
BASELINE_JOB = "baseline"
TITLES = {
    BASELINE_JOB: "**baseline**: read `stat` of all processes and `statm` of those",
    "one": "one group",
    "comm": "a group for each name: `--pattern '^t[0-9]+$'`",
    "rule": "a group for each match: `name = \"job-{n}\"`, `pattern = '^t(?P<n>[0-9]+)$'`",
    "exclusive": "the same rule with `exclusive = true`, `rest = \"other\"`",
    "execd, one": "resident: one group",
    "execd, comm": "resident: a group for each name",
    "execd, rule": "resident: a group for each match",
    "execd, exclusive": "resident: the same with `exclusive = true`, `rest = \"other\"`",
}


def measure(processes: int, runs: int, results: Results, directory: Path) -> None:
    """Measures all jobs with each number of groups."""
    for groups in DIVISIONS:
        if processes % groups:
            continue
        names = [f"t{number:04}:{processes // groups}" for number in range(groups)]
        try:
            with population(names, directory / str(groups)) as made:
                say(f"{groups} groups")
                divided(made, runs, partial(results.add, groups=groups, members=made.made))
        except Skipped as reason:
            say(f"{groups} groups are skipped: {reason}")


def divided(made: Population, runs: int, add: Callable[..., None]) -> None:
    """Measures all jobs with one division of the processes."""
    add("groups", processes=count_processes(), below_leader=made.below_leader())
    options = selections(made)
    cache = made.directory / "cache"
    cache.mkdir()
    jobs = [baseline(made), *one_shots(made, Psstat(cache), options)]
    scratch = made.directory / "output"
    for _ in range(2):
        for job in jobs:
            job.run(scratch, warm_up=True)
    residents = [Execd(job) for job in execd_jobs(made, options)]
    try:
        for number in range(runs):
            say(f"round {number + 1} of {runs}")
            for job in jobs:
                add("groups run", job=job.key, round=number, **job.run(scratch))
            for resident in residents:
                cost = resident.measure(SAMPLES)
                cpu = cost["cpu"] / SAMPLES
                add("groups run", job=resident.key, round=number, cpu=cpu, peak=cost["resident"])
    finally:
        for resident in residents:
            resident.stop()


def selections(made: Population) -> dict[str, list[str | Path]]:
    """The options of each job."""
    rule = 'name = "job-{n}"\npattern = \'^t(?P<n>[0-9]+)$\'\n'
    file = made.directory / "exclusive.toml"
    file.write_text(f'exclusive = true\nrest = "other"\nmax_groups = 10000\n[[group]]\n{rule}')
    plain = made.directory / "rule.toml"
    plain.write_text(f"max_groups = 10000\n[[group]]\n{rule}")
    return {
        "one": ["--pattern", f"all:{NAMES}"],
        "comm": ["--pattern", NAMES],
        "rule": ["--config", plain],
        "exclusive": ["--config", file],
    }


def expectations(made: Population) -> dict[str, dict[str, int]]:
    """The groups of each job, with the number of processes. A negative number means: at least so many."""
    named = {name.replace("t", "job-"): len(pids) for name, pids in made.members.items()}
    return {
        "one": {"all": made.made},
        "comm": made.sizes(*made.members),
        "rule": named,
        # The process that created the others and this program are among the rest.
        "exclusive": {**named, "other": -2},
    }


def baseline(made: Population) -> OneShot:
    def check(text: str) -> None:
        at_least(BASELINE_JOB, int(text.split()[0]), made.made)

    return OneShot(BASELINE_JOB, [BASELINE, "--statm", made.pids(*made.members)], check=check)


def one_shots(
    made: Population, psstat: Psstat, options: dict[str, list[str | Path]]
) -> list[OneShot]:
    groups = expectations(made)
    return [psstat.sample(key, groups[key], *words) for key, words in options.items()]


def execd_jobs(made: Population, options: dict[str, list[str | Path]]) -> list[ExecdJob]:
    groups = expectations(made)
    return [ExecdJob(f"execd, {key}", words, groups[key]) for key, words in options.items()]


def report(path: Path) -> str:
    """The table of a file of raw results, in Markdown."""
    runs: dict[tuple[int, str], dict[int, dict]] = defaultdict(dict)
    members: dict[int, int] = {}
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        if entry["kind"] == "groups run":
            runs[entry["groups"], entry["job"]][entry["round"]] = entry
            members[entry["groups"]] = entry["members"]
    head = ["job", *(f"{groups:,} groups of {of // groups}" for groups, of in members.items())]
    rows = [
        [title, *(cell(runs[groups, job], runs[groups, BASELINE_JOB]) for groups in members)]
        for job, title in TITLES.items()
    ]
    return table(head, rows)


def cell(runs: dict[int, dict], baseline: dict[int, dict]) -> str:
    """CPU in milliseconds, its ratio to the baseline of the same round, and memory in MiB."""
    cpu = Spread([run["cpu"] / 1000 for run in runs.values()])
    ratio = Spread([run["cpu"] / baseline[number]["cpu"] for number, run in runs.items()])
    peak = Spread([run["peak"] / 1024 for run in runs.values()])
    return f"{cpu.median:.1f} ms, {ratio.median:.3f}, {peak.median:.1f} MiB"
