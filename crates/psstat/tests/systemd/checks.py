#!/usr/bin/python3
"""Tries psstat on a real systemd. Runs inside the sandbox, as
checks.py v2|hybrid|legacy [CHECK...]; without a CHECK it makes all of them.

Prints one line per check, `ok NAME`, `not ok NAME: what was wrong` or `skipped NAME: why`, and ends
with status 0 where none is not ok. What psstat says is compared with what systemctl and the files of the control groups
say; where work is measured it is paused around each reading, so that all of them read the same.
"""

import glob
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

from harness import PATIENCE, Skipped, Wrong, all_succeed, check, eventually, require, run

MODE = sys.argv[1]
ROOT = pathlib.Path("/sys/fs/cgroup")
# The hierarchy in which systemd keeps who is where.
TRACKING = ROOT / {"v2": "", "hybrid": "unified", "legacy": "systemd"}[MODE]
USER = "psstat-user"
USER_ID = 1500
USERS_MANAGER = f"user.slice/user-{USER_ID}.slice/user@{USER_ID}.service"
AS_USER = ("setpriv", f"--reuid={USER_ID}", f"--regid={USER_ID}", "--clear-groups")
USERS_ENVIRONMENT = {**os.environ, "XDG_RUNTIME_DIR": f"/run/user/{USER_ID}"}
DOCKER_SCOPE = "docker-" + "0123456789abcdef" * 4 + ".scope"

# ---- Running things -----------------------------------------------------------------------------


def start(*units):
    run("systemctl", "start", *units)


def stop(*units):
    run("systemctl", "stop", *units)


def systemd_run(*arguments):
    run("systemd-run", "--quiet", *arguments)


# ---- What is true -------------------------------------------------------------------------------


def group_of(unit):
    """The path of a unit's control group, below the root."""
    if unit == "-.slice":
        return ""
    return run("systemctl", "show", "--property=ControlGroup", "--value", "--", unit).strip().lstrip("/")


def processes(path):
    """The processes in a control group and below; 0 stands for one of another pid namespace."""
    pids = []
    for group, _, _ in os.walk(TRACKING / path):
        try:
            pids += [int(line) for line in (pathlib.Path(group) / "cgroup.procs").read_text().split()]
        except OSError:
            pass  # Removed meanwhile, or threaded: then its processes stand further up.
    return pids


def wait_for(unit, count):
    """Waits until a unit has that many processes, each of which has begun to be what it will be."""
    path = group_of(unit)
    eventually(f"{unit} has {count} processes", lambda: len(processes(path)) == count)
    return path


def stat(pid):
    """The fields of /proc/PID/stat behind the name."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def life_time(pids):
    """The CPU time of processes and the children they have waited for, in seconds."""
    ticks = 0
    for pid in pids:
        try:
            ticks += sum(int(field) for field in stat(pid)[11:15])
        except (FileNotFoundError, ProcessLookupError):
            pass  # It has ended since it was listed.
    return ticks / os.sysconf("SC_CLK_TCK")


def counted_time(path):
    """The CPU time of a control group by the kernel's counter, in seconds; none without one."""
    try:
        if MODE == "legacy":
            return int((ROOT / "cpuacct" / path / "cpuacct.usage").read_text()) / 1e9
        usage = re.search(r"^usage_usec (\d+)$", (TRACKING / path / "cpu.stat").read_text(), re.M)
        return int(usage[1]) / 1e6
    except FileNotFoundError:
        return None


class Paused:
    """Stops all processes of a control group, so that all readings of it are one."""

    def __init__(self, path):
        self.path = path

    def signal(self, number):
        for pid in processes(self.path):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def all_stopped(self):
        # Again and again, because one that has not stopped yet may have forked.
        for _ in range(20):
            self.signal(signal.SIGSTOP)
            try:
                if all(stat(pid)[0] in "TZ" for pid in processes(self.path)):
                    return True
            except (FileNotFoundError, ProcessLookupError):
                pass
            time.sleep(0.005)
        # One that waits for its child to be another program (vfork) cannot stop if that has.
        self.signal(signal.SIGCONT)
        return False

    def __enter__(self):
        try:
            eventually(f"all of {self.path} stop", self.all_stopped)
        except Wrong as wrong:
            states = run("ps", "-o", "pid=,stat=,args=", *map(str, processes(self.path)))
            self.__exit__()
            raise Wrong(f"{wrong}: {states}") from wrong
        return self

    def __exit__(self, *_):
        self.signal(signal.SIGCONT)


# ---- What psstat says ---------------------------------------------------------------------------

LINE = re.compile(
    r"psstat,host=[^ ,=]+,process_name=((?:[^ ,=]|\\[ ,=])+) "
    r"(?:p_cpu=([0-9.]+),)?(?:p_mem=([0-9.]+),)?n_proc=([0-9]+)i ([0-9]{19})\n"
)
FIRST_RUN = "I! first run: "
FOREIGN = "in another pid namespace"
# What may be said beside the lines here.
KNOWN_NOTES = (FIRST_RUN, FOREIGN, ": no such unit is running", "no control groups can be read below /nowhere")


class Report:
    """One line."""

    def __init__(self, match):
        _, cpu, memory, count, taken = match.groups()
        self.cpu = None if cpu is None else float(cpu)
        # A group with processes of another pid namespace has none.
        self.memory = None if memory is None else float(memory)
        self.count = int(count)
        self.taken = int(taken) / 1e9

    def __repr__(self):
        return f"p_cpu={self.cpu},p_mem={self.memory},n_proc={self.count}"


class Sample(dict):
    """The lines of one run, by name; `stderr` is what it said beside."""

    def counts(self):
        return {name: report.count for name, report in self.items()}


def psstat(*arguments, prefix=()):
    """Runs psstat once; every line must be one of line protocol, no name there twice."""
    # A slow machine is no error.
    command = [*prefix, "psstat", *arguments, "--timeout", "60s"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    require(done.returncode == 0, f"{command}: status {done.returncode}: {done.stderr.strip()}")
    sample = Sample()
    sample.stderr = done.stderr
    for line in done.stdout.splitlines(keepends=True):
        match = LINE.fullmatch(line)
        require(match, f"{command}: no line of a report: {line!r}")
        name = re.sub(r"\\([ ,=])", r"\1", match[1])
        require(name not in sample, f"{command}: {name} is there twice")
        sample[name] = Report(match)
    for note in done.stderr.splitlines():
        require(any(known in note for known in KNOWN_NOTES), f"{command}: {note}")
    return sample


class Job:
    """The same selectors, run again and again with a cache of their own."""

    number = 0

    def __init__(self, *selectors):
        Job.number += 1
        self.arguments = [*selectors, "--cache-dir", "/run/checks", "--cache-name", f"job-{Job.number}"]
        first = psstat(*self.arguments)
        require(not first and FIRST_RUN in first.stderr, f"the first run printed {first}")

    def sample(self):
        return psstat(*self.arguments)


def units(*globs):
    """One sample of units."""
    job = Job(*[argument for glob in globs for argument in ("--systemd", glob)])
    return job.sample()


def used_between(first, second, name):
    """The CPU time that the second sample reports, in seconds, and the rounding of its rate."""
    require(name in second, f"no line of {name}: {second}")
    require(second[name].cpu is not None, f"no p_cpu of {name}")
    interval = next(iter(second.values())).taken - next(iter(first.values())).taken
    return second[name].cpu * interval, 0.00005 * interval


# ---- Checks: who is counted ---------------------------------------------------------------------


def only_in(*modes):
    return lambda function: check(function) if MODE in modes else function


@check
def a_process_that_left_its_session_still_belongs_to_its_unit():
    path = wait_for("several.service", 4)
    sample = units("several")
    require(sample.counts() == {"several": len(processes(path))}, sample)
    # What the unit's group has and the descent from its main process has not.
    main = run("systemctl", "show", "--property=MainPID", "--value", "several").strip()
    eventually("the orphan has been adopted", lambda: sum(int(stat(p)[1]) == 1 for p in processes(path)) == 2)
    require(Job("--pid", f"main:{main}").sample().counts() == {"main": 3}, "descent")


@check
def instances_of_a_template_go_by_their_escaped_ids():
    wait_for("worker@a-b.service", 1)
    wait_for(r"worker@web\x2d1.service", 1)
    both = {"worker@a-b": 1, r"worker@web\x2d1": 1}
    require(units("worker@*").counts() == both, units("worker@*"))
    require(units("worker@a-b", r"worker@web\x2d1.service").counts() == both, "by id")
    require(units("worker@web-1").counts() == {}, "the unescaped name is another unit")
    require(units("system-worker.slice").counts() == {"system-worker.slice": 2}, "their slice")


@check
def a_dash_within_a_name_stays_escaped():
    wait_for(r"my-dashed\x2dname.service", 1)
    require(units(r"my-dashed\x2dname").counts() == {r"my-dashed\x2dname": 1}, "by id")
    require(units(r"my-*").counts() == {r"my-dashed\x2dname": 1}, "by glob")


@check
def transient_units_are_units():
    wait_for("passing.service", 1)
    wait_for("passing.scope", 1)
    both = {"passing": 1, "passing.scope": 1}
    require(units("passing", "passing.scope").counts() == both, units("passing", "passing.scope"))
    require(units("passing.*").counts() == both, "by glob")


@check
def a_containers_scope_is_a_unit():
    wait_for(DOCKER_SCOPE, 1)
    require(units("docker-*.scope").counts() == {DOCKER_SCOPE: 1}, units("docker-*.scope"))
    require(units(f"box:{DOCKER_SCOPE}").counts() == {"box": 1}, "named")


@check
def one_rule_names_containers_and_instances():
    wait_for(DOCKER_SCOPE, 1)
    wait_for("worker@a-b.service", 1)
    wait_for(r"worker@web\x2d1.service", 1)
    rules = pathlib.Path("/run/checks/names.toml")
    rules.write_text(
        "[[group]]\nname = 'box-{id}'\n"
        r"cgroup_regex = '^system\.slice/docker-(?P<id>[0-9a-z]{4})[0-9a-z]*\.scope$'"
        "\n[[group]]\nname = 'worker-{instance}'\nsystemd = 'worker@*'\n"
        "[[group]]\nname = '{unit}!'\npattern = '.'\ncgroup = '*/worker@*'\n"
    )
    box = "box-" + DOCKER_SCOPE.removeprefix("docker-")[:4]
    names = ["a-b", r"web\x2d1"]
    expected = {box: 1} | {f"worker-{name}": 1 for name in names} | {f"worker@{name}!": 1 for name in names}
    sample = Job("--config", str(rules)).sample()
    require(sample.counts() == expected, sample)


@check
def units_of_a_users_manager_are_found_by_their_path_alone():
    sample = units("uapp", "uscope.scope", f"user@{USER_ID}")
    manager = len(processes(USERS_MANAGER))
    require(sample.counts() == {f"user@{USER_ID}": manager}, sample)
    by_path = Job("--cgroup", "uapp:*/user@*/uapp.service").sample()
    require(by_path.counts() == {"uapp": 1}, by_path)


@check
def groups_below_a_delegated_unit_are_its_own_and_no_units():
    path = wait_for("delegated.service", 3)
    group = TRACKING / path
    for name, pid in zip(("payload", "fake.service"), sorted(processes(path))):
        (group / name).mkdir()
        (group / name / "cgroup.procs").write_text(str(pid))
    require(len(processes(path)) == 3, "the check moved them wrongly")
    require(len((group / "cgroup.procs").read_text().split()) == 1, "the check moved none")
    require(units("delegated", "fake*").counts() == {"delegated": 3}, units("delegated", "fake*"))
    by_path = Job("--cgroup", f"{path}/*").sample()
    require(by_path.counts() == {f"{path}/payload": 1, f"{path}/fake.service": 1}, by_path)


@only_in("v2", "hybrid")
def a_group_of_threads_leaves_its_processes_where_they_were():
    path = wait_for("threaded.service", 2)
    inner = TRACKING / path / "threads"
    inner.mkdir()
    (inner / "cgroup.type").write_text("threaded")
    (inner / "cgroup.threads").write_text(str(processes(path)[0]))
    try:
        (inner / "cgroup.procs").read_text()
        raise Wrong("the group is not threaded")
    except OSError:
        pass
    require((inner / "cgroup.threads").read_text().strip(), "no thread has moved")
    require(units("threaded").counts() == {"threaded": 2}, units("threaded"))


@check
def nested_slices_hold_what_is_in_those_below():
    path = wait_for("nested.service", 2)
    require(path == "foo.slice/foo-bar.slice/nested.service", path)
    sample = units("foo.slice", "foo-bar.slice", "nested")
    require(sample.counts() == {"foo.slice": 2, "foo-bar.slice": 2, "nested": 2}, sample)
    require(list(sample) == ["foo.slice", "foo-bar.slice", "nested"], "the order typed")
    together = units("x:foo.slice", "x:foo-bar.slice", "x:nested")
    require(together.counts() == {"x": 2}, f"counted once: {together}")


def servers_of_debian():
    """The units of those that are installed."""
    servers = {"nginx": "/usr/sbin/nginx", "redis-server": "/usr/bin/redis-server"}
    found = [name for name, program in servers.items() if os.path.exists(program)]
    clusters = glob.glob("/etc/postgresql/*/main")
    return found + [f"postgresql@{cluster.split('/')[3]}-main" for cluster in clusters]


@check
def servers_of_debian_are_counted_as_their_units():
    names = servers_of_debian()
    for name in names:
        unit = f"{name}.service"
        path = group_of(unit)
        require(path, f"{unit} does not run")

        def as_counted():
            before = sorted(processes(path))
            sample = units(name)
            return sorted(processes(path)) == before and (sample, len(before))

        sample, count = eventually(f"{unit} stays as it is", as_counted)
        require(sample.counts() == {name: count} and count > 0, f"{sample}, not {count}")
        require(sample[name].memory > 0, f"{name} has no memory")
    missing = [
        server
        for server in ("nginx", "redis-server", "postgresql")
        if not any(name.startswith(server) for name in names)
    ]
    if missing:
        raise Skipped(f"not installed: {', '.join(missing)} (scripts/install-test-packages does it)")


def listed_by_systemctl(*manager):
    """The units that a manager lists, with their control groups."""
    systemctl = [*AS_USER, "systemctl", "--user"] if manager else ["systemctl"]
    lines = run(*systemctl, "list-units", "--all", "--plain", "--no-legend", env=USERS_ENVIRONMENT).splitlines()
    ids = [line.split()[0] for line in lines]
    show = run(*systemctl, "show", "--property=Id,ControlGroup", "--", *ids, env=USERS_ENVIRONMENT)
    for unit in show.split("\n\n"):
        known = dict(line.split("=", 1) for line in unit.splitlines())
        if known.get("Id") == "init.scope" and not known.get("ControlGroup"):
            # systemd 247 does not say where it has put itself.
            known["ControlGroup"] = f"{USERS_MANAGER}/init.scope" if manager else "init.scope"
        if known.get("ControlGroup"):
            yield known["Id"], known["ControlGroup"].lstrip("/")


def held_by_systemctl():
    """How many processes stand under each name, by systemctl of the system."""
    counts = {}
    for unit, path in listed_by_systemctl():
        held = len(processes("" if unit == "-.slice" else path))
        if held:
            name = unit.removesuffix(".service")
            counts[name] = counts.get(name, 0) + held
    return counts


@check
def all_that_systemctl_lists_and_no_more():
    def compared():
        before = held_by_systemctl()
        sample = units("*")
        return held_by_systemctl() == before and (sample, before)

    sample, expected = eventually("the machine stays as it is", compared)
    require(len(expected) > 15, f"too few to tell: {expected}")
    # psstat runs where this does, in the root group.
    expected["-.slice"] += 1
    wrong = {
        name: (sample.counts().get(name), expected.get(name))
        for name in sample.keys() | expected.keys()
        if sample.counts().get(name) != expected.get(name)
    }
    require(not wrong, f"psstat and systemctl differ: {wrong}")


@check
def without_sysfs_the_processes_tell_the_same():
    def compared():
        before = held_by_systemctl()
        job = Job("--systemd", "*", "--sys", "/nowhere")
        sample = job.sample()
        return held_by_systemctl() == before and (sample, before)

    sample, expected = eventually("the machine stays as it is", compared)
    counts = sample.counts()
    # The root also holds the processes outside the sandbox, and those that came in from there.
    expected.pop("-.slice")
    counts.pop("-.slice")
    require(counts == expected, f"{counts}, not {expected}")


@check
def no_privilege_is_needed():
    cache = "/run/checks-of-user"
    os.mkdir(cache)
    os.chown(cache, USER_ID, USER_ID)
    prefix = AS_USER
    arguments = ["--systemd", "several", "--cache-dir", cache]
    psstat(*arguments, prefix=prefix)
    sample = psstat(*arguments, prefix=prefix)
    require(sample.counts() == {"several": 4} and sample["several"].memory > 0, sample)


@check
def what_does_not_run_has_a_line_only_if_named():
    require(group_of("worker@idle.service") == "", "the unit runs")
    run("systemctl", "start", "worker@idle")
    run("systemctl", "stop", "worker@idle")
    require(units("worker@idle").counts() == {}, "stopped")
    down = units("idle:worker@idle", "none:nothing-*", "nothing-*")
    require(down.counts() == {"idle": 0, "none": 0}, down)
    for report in down.values():
        require(report.cpu == 0 and report.memory == 0, down)


# ---- Checks: CPU time ---------------------------------------------------------------------------


def agrees(name, truth_of, path, ticks=0):
    """Whether p_cpu times the interval is what was used, by `truth_of`, within one percent, and
    as many ticks as may be lost where times are cut to whole ones."""
    job = Job("--systemd", name)
    with Paused(path):
        then = truth_of(path)
        first = job.sample()
    eventually(f"{name} works", lambda: truth_of(path) - then > 0.1)
    with Paused(path):
        now = truth_of(path)
        second = job.sample()
    used, rounding = used_between(first, second, name)
    truth = now - then
    tolerance = 0.01 * truth + rounding + ticks / os.sysconf("SC_CLK_TCK")
    require(abs(used - truth) <= tolerance, f"{name}: {used} s reported, {truth} s used")


def ledger_of(path):
    return life_time(processes(path))


@check
def cpu_time_is_that_of_the_kernels_counter():
    for unit in ("busy-accounted", "forgetful-accounted"):
        start(unit)
        path = group_of(f"{unit}.service")
        require(counted_time(path) is not None, f"{unit} has no counter")
        agrees(unit, counted_time, path)
        stop(unit)


@check
def cpu_time_without_accounting():
    start("busy")
    path = group_of("busy.service")
    if MODE == "legacy":
        require(counted_time(path) is None, "busy.service has a counter")
        agrees("busy", ledger_of, path, ticks=2)
    else:
        # Version 2 counts always.
        agrees("busy", counted_time, path)
    stop("busy")


@check
def cpu_time_stays_between_two_readings_of_a_unit_at_work():
    start("forgetful-accounted")
    path = group_of("forgetful-accounted.service")
    job = Job("--systemd", "forgetful-accounted")
    for _ in range(2):
        earliest = counted_time(path)
        first = job.sample()
        latest = counted_time(path)
        time.sleep(0.7)
        earliest_end = counted_time(path)
        second = job.sample()
        latest_end = counted_time(path)
        used, rounding = used_between(first, second, "forgetful-accounted")
        least, most = earliest_end - latest, latest_end - earliest
        require(0.99 * least - rounding <= used <= 1.01 * most + rounding, f"{least} <= {used} <= {most}")
    stop("forgetful-accounted")


@check
def a_slice_counts_what_its_units_used():
    start("busy-accounted", "forgetful-accounted")
    agrees("accounted.slice", counted_time, "accounted.slice")
    stop("busy-accounted", "forgetful-accounted")


def restarted(unit, truth_of, ticks=0):
    start(unit)
    path = group_of(f"{unit}.service")
    job = Job("--systemd", unit)
    # The old instance has a past that must not come back.
    time.sleep(0.4)
    with Paused(path):
        first = job.sample()
    time.sleep(0.3)
    run("systemctl", "restart", unit)
    eventually(f"{unit} works", lambda: (truth_of(path) or 0) > 0.1)
    with Paused(path):
        truth = truth_of(path)
        second = job.sample()
    used, rounding = used_between(first, second, unit)
    # What `truth_of` reads from `stat` is cut to ticks; psstat's own reading is not.
    tolerance = 0.01 * truth + rounding + ticks / os.sysconf("SC_CLK_TCK")
    require(abs(used - truth) <= tolerance, f"{used} s reported, {truth} s used anew")
    stop(unit)


@check
def a_restart_counts_what_the_new_instance_used():
    restarted("busy-accounted", counted_time)


@check
def a_restart_without_accounting_counts_the_same():
    if MODE == "legacy":
        restarted("busy", ledger_of, ticks=2)
    else:
        restarted("busy", counted_time)


@check
def a_unit_that_stops_between_two_samples():
    start("busy")
    job = Job("--systemd", "busy", "--systemd", "down:busy")
    require(job.sample().counts().keys() == {"busy", "down"}, "it runs")
    stop("busy")
    after = job.sample()
    require(after.counts() == {"down": 0}, after)
    require(after["down"].cpu == 0 and after["down"].memory == 0, after)
    start("busy")
    time.sleep(0.2)
    again = job.sample()
    require(again.keys() == {"busy", "down"} and all(r.cpu is not None for r in again.values()), again)
    stop("busy")


@check
def the_manager_does_not_inherit_what_units_used():
    """What ends in a unit is waited for by the manager, in init.scope, and is the unit's."""
    start("busy")
    path = group_of("busy.service")
    eventually("busy has used some time", lambda: life_time(processes(path)) > 1.5)
    jobs = [Job("--systemd", "init.scope"), Job("--systemd", "init.scope", "--sys", "/nowhere")]

    def ticks_of_manager():
        own_user, own_system, user, system = (int(field) for field in stat(1)[11:15])
        return own_user + own_system, user + system

    before = ticks_of_manager()
    firsts = [job.sample() for job in jobs]
    stop("busy")
    seconds = [job.sample() for job in jobs]
    after = ticks_of_manager()
    own, inherited = ((now - then) / os.sysconf("SC_CLK_TCK") for then, now in zip(before, after))
    require(inherited > 1.5, "the manager has waited for nothing")
    for first, second in zip(firsts, seconds):
        used, _ = used_between(first, second, "init.scope")
        # What the manager starts is in its group until it is moved.
        require(used < own + inherited / 2, f"{used} s reported of init.scope, {own} s used")


@check
def a_unit_made_and_removed_while_it_is_read():
    job = Job("--systemd", "flicker*", "--systemd", "f:flicker", "--systemd", "system.slice")
    done = threading.Event()
    failures = []

    def flicker():
        while not done.is_set():
            try:
                start("flicker")
                stop("flicker")
            except Wrong as wrong:
                failures.append(wrong)

    flickering = threading.Thread(target=flicker)
    flickering.start()
    seen = {0: 0, 1: 0}
    try:
        for _ in range(100):
            sample = job.sample()
            require({"f", "system.slice"} <= sample.keys() <= {"f", "flicker", "system.slice"}, sample)
            require(sample["f"].count in seen, sample)
            seen[sample["f"].count] += 1
            for report in sample.values():
                require((report.cpu or 0) <= 2 * os.cpu_count() and report.memory < 0.5, sample)
    finally:
        done.set()
        flickering.join()
    require(not failures, f"{failures[:1]}")
    require(seen[0] and seen[1], f"it never changed: {seen}")


# ---- Checks: memory -----------------------------------------------------------------------------


def pss(pid):
    """The proportional set size of a process, in bytes."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss: +(\d+) kB$", text, re.M)[1]) * 1024


def is_accounted(path):
    """Whether the kernel accounts the memory of that control group."""
    hierarchy = ROOT / "memory" if MODE != "v2" else ROOT
    return (hierarchy / path / "memory.stat").exists()


def memory_by_selector(prefix=()):
    """The memory of the preloading service in bytes, by what selects it."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    selectors = {
        "unit": ("--systemd", "web:preloading"),
        "pid file": ("--pid-file", "web:/run/preloading.pid"),
        "pattern": ("--pattern", "web:^preloading$"),
    }
    memory = {}
    for name, selector in selectors.items():
        report = psstat(*selector, "--wait", "50ms", prefix=prefix)["web"]
        require(report.count == 10, f"{name}: {report}")
        memory[name] = report.memory * total
    return memory


@check
def memory_is_that_of_the_unit_whatever_selects_it():
    start("preloading")
    try:
        path = wait_for("preloading.service", 10)
        eventually("it is ready", lambda: os.path.exists("/run/preloading.pid"))
        truth = sum(pss(pid) for pid in processes(path))
        mib = 1 << 20
        require(truth > 100 * mib, f"PSS is {truth}")
        nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        users = [()]
        if is_accounted(path):
            users.append(nobody)
        for prefix in users:
            memory = memory_by_selector(prefix)
            text = f"{memory} as {prefix or 'root'}, sum of PSS {truth}"
            require(max(memory.values()) <= 1.01 * min(memory.values()), text)
            require(all(abs(one - truth) <= 0.05 * truth for one in memory.values()), text)
        if len(users) == 1:
            memory = memory_by_selector(nobody)
            require(min(memory.values()) > 5 * truth, f"{memory} by nobody's account, PSS {truth}")
    finally:
        stop("preloading")
    if len(users) == 1:
        raise Skipped("as nobody: the kernel does not account the memory of units here")


# ---- All of it ----------------------------------------------------------------------------------


def set_up():
    os.mkdir("/run/checks", 0o700)
    run("useradd", "--uid", str(USER_ID), "--create-home", USER)
    # Else logind ends the user's manager ten seconds after the last session.
    lingering = pathlib.Path("/var/lib/systemd/linger")
    lingering.mkdir(parents=True, exist_ok=True)
    (lingering / USER).touch()
    start(
        "several", "worker@a-b", r"worker@web\x2d1", "nested", "delegated", "threaded",
        f"user@{USER_ID}", *servers_of_debian(),
    )  # fmt: skip
    systemd_run(r"--unit=my-dashed\x2dname", "sleep", "1000")
    systemd_run("--unit=passing", "sleep", "1000")
    for scope in ("passing.scope", DOCKER_SCOPE):
        # It stays in the foreground.
        command = ["systemd-run", "--quiet", "--scope", f"--unit={scope}", "sleep", "1000"]
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    # Not by --machine, which systemd before 248 has not for a user.
    of_user = (*AS_USER, "systemd-run", "--quiet", "--user")
    run(*of_user, "--unit=uapp", "sleep", "1000", env=USERS_ENVIRONMENT)
    scope = ("systemd-run", "--user", "--scope", "--unit=uscope", "sleep", "1000")
    run(*of_user, "--unit=ulauncher", *scope, env=USERS_ENVIRONMENT)
    for name in ("uapp.service", "uscope.scope"):
        path = f"{USERS_MANAGER}/app.slice/{name}"
        eventually(f"{name} runs", lambda: len(processes(path)) == 1)


def main():
    set_up()
    sys.exit(not all_succeed(sys.argv[2:]))


main()
