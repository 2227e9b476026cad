#!/usr/bin/python3
"""Tries what psstat says units feel on the systemd of this machine. Runs as root, as
figures.py PSSTAT [CHECK...]; without a CHECK it makes all of them.

It needs control groups of version 2 with the controllers cpu and memory, which the namespaces of `sandbox`
do not have. It starts transient units in a slice of their own, whose limits hold for them alone, and stops
them. They are frozen around each reading, so that psstat and this script read the same.

Prints one line per check, as checks.py does. Exit status 77: it cannot run here; the last line on standard
error says why.
"""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # This directory can be a user's, and this user is root.
from harness import PATIENCE, Skipped, all_succeed, check, eventually, require, run

CANNOT = 77
ROOT = pathlib.Path("/sys/fs/cgroup")
SLICE = "psstatcheck.slice"
MIB = 1 << 20
PSSTAT = os.path.realpath(sys.argv[1])
# The fields, the files that have them, and the lines of these.
COUNTERS = {
    "cpu_throttled": ("cpu.stat", r"^throttled_usec (\d+)$"),
    "cpu_pressure": ("cpu.pressure", r"^some .*total=(\d+)$"),
    "mem_pressure": ("memory.pressure", r"^some .*total=(\d+)$"),
    "io_pressure": ("io.pressure", r"^some .*total=(\d+)$"),
}
FIELDS = "n_proc,swap,starts,cpu_throttled,cpu_pressure,mem_pressure,io_pressure,oom_kills,mem_limit,mem_peak"


def cannot_run():
    """Why the checks cannot run here. None if they can."""
    if os.geteuid() != 0:
        return "only root can start units"
    if not os.path.isdir("/run/systemd/system"):
        return "systemd does not run here"
    if not (ROOT / "cgroup.controllers").exists():
        return "control groups of version 2 alone are not mounted here"
    controllers = (ROOT / "cgroup.controllers").read_text().split()
    missing = [name for name in ("cpu", "memory") if name not in controllers]
    if missing:
        return f"version 2 of control groups has no controller {' and '.join(missing)} here"
    return None


# ---- Units ----------------------------------------------------------------------------------------


def group_of(unit):
    """The directory of a unit's control group."""
    path = run("systemctl", "show", "--property=ControlGroup", "--value", "--", unit).strip()
    return ROOT / path.lstrip("/")


@contextlib.contextmanager
def unit(name, *command, **properties):
    """Runs a command as a service while the body runs. Gives the directory of its control group."""
    name = f"psstatcheck-{name}.service"
    options = [f"--property={key}={value}" for key, value in properties.items()]
    run("systemd-run", "--quiet", f"--unit={name}", f"--slice={SLICE}", *options, "--", *command)
    try:
        eventually(f"{name} runs", lambda: group_of(name) != ROOT and group_of(name).is_dir())
        yield group_of(name)
    finally:
        subprocess.run(["systemctl", "kill", "--signal=KILL", name], capture_output=True)
        subprocess.run(["systemctl", "stop", name], capture_output=True)
        subprocess.run(["systemctl", "reset-failed", name], capture_output=True)


@contextlib.contextmanager
def frozen(group):
    """Stops all tasks of a control group, so that all readings of it are one."""
    (group / "cgroup.freeze").write_text("1")
    try:
        is_frozen = lambda: "frozen 1" in (group / "cgroup.events").read_text()
        eventually(f"{group} is frozen", is_frozen)
        yield
    finally:
        (group / "cgroup.freeze").write_text("0")


def number(group, file, line=r"^(\d+)$"):
    """What a file says. None if there is no such file or line."""
    try:
        found = re.search(line, (group / file).read_text(), re.M)
    except OSError:
        return None
    return found and int(found[1])


def micros(group):
    """What the counters of a control group say, in microseconds."""
    return {field: number(group, *place) for field, place in COUNTERS.items()}


# ---- What psstat says -----------------------------------------------------------------------------


class Job:
    """The same selectors, run again and again with a cache of their own."""

    number = 0

    def __init__(self, *selectors, fields=FIELDS):
        Job.number += 1
        self.stderr = ""
        self.command = [PSSTAT, *selectors, "--fields", fields, "--host", "", "--timeout", "60s"]
        self.command += ["--cache-dir", CACHES, "--cache-name", f"job-{Job.number}"]

    def sample(self):
        """The fields of each line, and when it was taken."""
        done = subprocess.run(self.command, capture_output=True, text=True, timeout=PATIENCE)
        require(done.returncode == 0, f"{self.command}: {done.stderr.strip()}")
        self.stderr = done.stderr
        sample = {}
        for line in done.stdout.splitlines():
            head, fields, taken = line.split(" ")
            values = dict(field.split("=") for field in fields.split(","))
            sample[head.split("process_name=")[1]] = {
                **{key: float(value.rstrip("i")) for key, value in values.items()},
                "taken": int(taken) / 1e9,
            }
        return sample

    def metrics(self):
        """The values of a page for Prometheus, by metric."""
        done = subprocess.run(
            [*self.command, "--format", "prometheus"], capture_output=True, text=True, timeout=PATIENCE
        )
        lines = [line for line in done.stdout.splitlines() if not line.startswith("#")]
        return {line.split("{")[0]: float(line.split(" ")[1]) for line in lines}


def unit_job(group, *more):
    return Job("--systemd", f"x:{group.name}", *more)


def require_near(what, said, truth, tolerance):
    require(said is not None, f"{what} is left out; the kernel says {truth}")
    require(abs(said - truth) <= tolerance, f"{what}: psstat says {said}, the kernel {truth}")


def gains_agree(group, wanted):
    """Whether psstat and the files of a control group say the same of what its counters gained; the wanted
    ones must have gained something."""
    job, page = unit_job(group), unit_job(group)
    with frozen(group):
        before = micros(group)
        job.sample(), page.metrics()
        # The baseline has no lines, and so no time.
        taken = job.sample()["x"]["taken"]
        zero = page.metrics()
        require(micros(group) == before, "it was not frozen")
    missing = [field for field in wanted if before[field] is None]
    if missing:
        require("x" in job.sample(), "no line")
        require(all(field not in job.sample()["x"] for field in missing), "a value that is not known")
        raise Skipped(f"this kernel does not tell {', '.join(missing)}")
    has_gained = lambda: all(micros(group)[field] - before[field] > 300_000 for field in wanted)
    deadline = time.monotonic() + 60
    while not has_gained() and time.monotonic() < deadline:
        time.sleep(0.1)
    with frozen(group):
        after = micros(group)
        sample = job.sample()["x"]
        metrics = page.metrics()
        require(micros(group) == after, "it was not frozen")
    interval = sample["taken"] - taken
    require(interval > 0, "time stands still")
    still = []
    for field in COUNTERS:
        if before[field] is None:
            require(field not in sample, f"{field}: the kernel does not tell it")
            continue
        gain = (after[field] - before[field]) / 1e6
        # The field has six decimals, and is never more than all of the time.
        tolerance = 1e-6 * interval + 1e-3 * gain + 1e-5
        said = sample[field] * interval if field in sample else None
        require_near(field, said, gain if field == "cpu_throttled" else min(gain, interval), tolerance)
        metric = f"psstat_{field.replace('mem_', 'memory_')}_seconds_total"
        counted = metrics[metric] - zero[metric]
        require_near(metric, counted, gain, 1e-5)
        if field in wanted and not gain:
            still.append(field)
    if still:
        raise Skipped(f"nothing could be made to wait: {', '.join(still)}")


# ---- Checks ---------------------------------------------------------------------------------------


@check
def throttling_is_what_the_kernel_counts():
    with unit("throttled", "sh", "-c", "while :; do :; done", CPUQuota="20%") as group:
        gains_agree(group, ["cpu_throttled"])


@check
def waiting_for_a_processor_is_what_the_kernel_counts():
    loops = "taskset -c 0 sh -c 'while :; do :; done & while :; do :; done & wait'"
    with unit("crowded", "sh", "-c", loops, CPUWeight=100) as group:
        gains_agree(group, ["cpu_pressure"])


@check
def waiting_for_memory_is_what_the_kernel_counts():
    hog = "x = bytearray(64 << 20)\nwhile True:\n for i in range(0, len(x), 4096): x[i] += 1\n x = x[:] "
    with unit("squeezed", sys.executable, "-c", hog, MemoryHigh="24M", MemorySwapMax="0") as group:
        gains_agree(group, ["mem_pressure"])


@check
def waiting_for_storage_is_what_the_kernel_counts():
    if not shutil.which("dd"):
        raise Skipped("dd is not installed")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        path = f"{directory}/data"
        run("dd", "if=/dev/zero", f"of={path}", "bs=1M", "count=16", "status=none")
        loop = f"while :; do dd if={path} of=/dev/null iflag=direct bs=4k status=none || sleep 1; done"
        with unit("reading", "sh", "-c", loop, IOAccounting="yes") as group:
            gains_agree(group, ["io_pressure"])


HOG = "x = bytearray(200 << 20)\nfor i in range(0, len(x), 4096): x[i] = 1"


@check
def oom_kills_are_what_the_kernel_counts():
    loop = f"while :; do {sys.executable} -c '{HOG}'; sleep 0.2; done"
    limits = {"MemoryMax": "48M", "MemorySwapMax": "0", "OOMPolicy": "continue"}
    with unit("killed", "sh", "-c", loop, **limits) as group:
        kills = lambda: number(group, "memory.events", r"^oom_kill (\d+)$")
        job = unit_job(group)
        eventually("one is killed", lambda: kills() > 0)
        with frozen(group):
            before = kills()
            job.sample()
            require(job.sample()["x"]["oom_kills"] == 0, "those from before psstat saw it do not count")
        for _ in range(2):
            last = kills()
            eventually("another is killed", lambda: kills() > last + 1)
            with frozen(group):
                said, truth = job.sample()["x"]["oom_kills"], kills() - before
                require(said == truth, f"psstat says {said}, the kernel {truth}")


@check
def a_slice_counts_the_kills_of_units_that_are_gone():
    """The control group of a unit that is killed as a whole is removed before anybody can read it."""
    group = group_of(SLICE)
    kills = lambda: number(group, "memory.events", r"^oom_kill (\d+)$")
    job = Job("--systemd", f"x:{SLICE}")
    with unit("anchor", "sleep", "1000", MemoryAccounting="yes"):
        eventually("the slice has a file", lambda: kills() is not None)
        job.sample()
        before = kills()
        again = {"Restart": "always", "RestartSec": "100ms", "StartLimitIntervalSec": "0"}
        with unit("dying", sys.executable, "-c", HOG, MemoryMax="48M", MemorySwapMax="0", **again):
            eventually("three are killed", lambda: kills() > before + 2)
        eventually("nobody is left", lambda: not (group / "psstatcheck-dying.service").exists())
        said, truth = job.sample()["x"]["oom_kills"], kills() - before
        require(said == truth > 2, f"psstat says {said}, the kernel {truth}")


@check
def limits_and_peaks_are_what_the_kernel_says():
    run("systemctl", "set-property", "--runtime", SLICE, "MemoryMax=96M")
    try:
        touch = "x = bytearray(20 << 20)\nimport time\ntime.sleep(1000)"
        for limit, expected in (("64M", 64 * MIB), ("infinity", 96 * MIB), ("200M", 96 * MIB)):
            with unit("limited", sys.executable, "-c", touch, MemoryMax=limit) as group:
                eventually("it is loaded", lambda: number(group, "memory.current") > 20 * MIB)
                job = unit_job(group)
                with frozen(group):
                    job.sample()
                    sample = job.sample()["x"]
                    peak = number(group, "memory.peak")
                require(sample.get("mem_limit") == expected, f"{limit}: {sample}")
                if peak is None:
                    require("mem_peak" not in sample and "memory.peak" in job.stderr, f"{sample} {job.stderr}")
                else:
                    require(sample.get("mem_peak") == peak > 20 * MIB, f"{sample}, not {peak}")
    finally:
        run("systemctl", "set-property", "--runtime", SLICE, "MemoryMax=infinity")


@check
def swap_is_what_the_kernel_says():
    text = pathlib.Path("/proc/meminfo").read_text()
    if re.search(r"^SwapFree: +0 kB$", text, re.M):
        raise Skipped("there is no swap here")
    hog = "x = bytearray(b'x') * (64 << 20)\nimport time\ntime.sleep(1000)"
    with unit("swapped", sys.executable, "-c", hog, MemoryHigh="24M") as group:
        eventually("it is swapped out", lambda: (number(group, "memory.swap.current") or 0) > 8 * MIB)
        main = (group / "cgroup.procs").read_text().split()[0]
        job = unit_job(group, "--pid", f"p:{main}")
        with frozen(group):
            job.sample()
            sample = job.sample()
            truth = number(group, "memory.swap.current")
            of_process = 1024 * number(pathlib.Path(f"/proc/{main}"), "status", r"^VmSwap:\s+(\d+) kB$")
        require(sample["x"]["swap"] == truth, f"{sample}, not {truth}")
        require(sample["p"]["swap"] == of_process > 8 * MIB, f"{sample}, not {of_process}")


@check
def a_restart_is_a_start_and_a_worker_is_not():
    workers = "while :; do sleep 0.05 & sleep 0.05; wait; done"
    with unit("working", "sh", "-c", workers) as group:
        job = unit_job(group)
        job.sample()
        for _ in range(5):
            require(job.sample()["x"]["starts"] == 0, "workers")
        for _ in range(3):
            run("systemctl", "restart", group.name)
            eventually("it runs", lambda: group.is_dir() and (group / "cgroup.procs").read_text())
            require(job.sample()["x"]["starts"] == 1, "a restart")
            require(job.sample()["x"]["starts"] == 0, "twice")


@check
def a_restart_loop_shows():
    again = {"Restart": "always", "RestartSec": "100ms", "StartLimitIntervalSec": "0"}
    with unit("looping", "sleep", "1", **again) as group:
        job = unit_job(group)
        job.sample()
        show = ("systemctl", "show", "--property=NRestarts", "--value", group.name)
        starts, truth, before = 0, 0, int(run(*show))
        for _ in range(400):
            starts += job.sample()["x"]["starts"]
            truth = int(run(*show)) - before
            if truth >= 4:
                break
            time.sleep(0.2)
        starts += job.sample()["x"]["starts"]
        # One more may have started by the last sample.
        require(2 <= starts <= truth + 1, f"{starts} starts, {truth} restarts")
        # A sample every 0.2 s, or as fast as the machine is, misses none that lives for 1 s.
        require(starts >= truth - 1, f"{starts} starts, {truth} restarts")


@check
def what_the_kernel_does_not_tell_is_left_out_and_said():
    with unit("plain", "sleep", "1000") as group:
        job = unit_job(group)
        job.sample()
        sample = job.sample()["x"]
        places = {**COUNTERS, "oom_kills": ("memory.events", r"^oom_kill (\d+)$"), "mem_peak": ("memory.peak", r"^(\d+)$")}
        for field, place in places.items():
            is_told = number(group, *place) is not None
            require((field in sample) == is_told, f"{field}: {sample}")
            require((f"{field} " in job.stderr or f"{field}," in job.stderr) != is_told, f"{field}: {job.stderr}")


# ---- All of it ------------------------------------------------------------------------------------


def main():
    reason = cannot_run()
    if reason:
        print(f"figures: {reason}", file=sys.stderr)
        sys.exit(CANNOT)
    are_ok = all_succeed(sys.argv[2:])
    subprocess.run(["systemctl", "stop", SLICE], capture_output=True)
    sys.exit(not are_ok)


with tempfile.TemporaryDirectory() as CACHES:
    main()
