#!/usr/bin/python3
"""Installs, tries and removes psstat's packages, or does what README says. Runs as root on a machine
that may be thrown away, with a systemd (tests/systemd/sandbox), as checks.py deb|rpm|readme|service, in a
directory that holds the packages, README.md, telegraf.py and harness.py (tests/systemd).

Prints one line per check, `ok NAME` or `not ok NAME: what was wrong`, and ends with status 0 where
all are ok. The checks of a run build on each other: after the first that fails it ends.
"""

import glob
import json
import os
import pathlib
import pty
import pwd
import re
import select
import subprocess
import sys
import time

from harness import PATIENCE, Wrong, eventually, require, run

HERE = pathlib.Path(__file__).parent
NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--")
EXAMPLES = pathlib.Path("/usr/share/doc/psstat/examples")
SNIPPETS = (
    "exec", "exec-string",
    "execd-none", "execd-sighup", "execd-sigusr1", "execd-sigusr2", "execd-stdin",
)
DROP_IN = "/usr/lib/systemd/system/telegraf.service.d/psstat.conf"
UNITS = pathlib.Path("/etc/systemd/system")
CONFIGURATION = pathlib.Path("/etc/telegraf/telegraf.d")
OUTPUT = pathlib.Path("/var/lib/telegraf")
CACHE = pathlib.Path("/run/psstat")
CONFIG = pathlib.Path("/etc/psstat.toml")
PAGE = pathlib.Path("/var/lib/prometheus/node-exporter/psstat.prom")
# In both packages. What is said of a release and its licence has a place of its own in each.
FILES = {
    "/usr/bin/psstat",
    "/usr/share/man/man1/psstat.1.gz",
    "/usr/share/man/man5/psstat.toml.5.gz",
    "/usr/share/doc/psstat/README.md",
    *(
        f"/usr/share/doc/psstat/docs/{name}.md"
        for name in ("MEASUREMENTS", "FORMATS", "CONTAINERS", "TROUBLESHOOTING", "DASHBOARDS")
    ),
    *(
        f"/usr/share/doc/psstat/docs/dashboards/{name}-{language}.png"
        for name in ("groups", "fleet")
        for language in ("influxql", "promql")
    ),
    "/usr/lib/systemd/system/psstat.service",
    "/usr/lib/sysusers.d/psstat.conf",
    "/usr/lib/tmpfiles.d/psstat.conf",
    "/usr/share/bash-completion/completions/psstat",
    "/usr/share/fish/vendor_completions.d/psstat.fish",
    "/usr/share/doc/psstat/psstat.spdx.json",
    DROP_IN,
    f"{EXAMPLES}/psstat.toml",
    *(f"{EXAMPLES}/telegraf/{name}.conf" for name in SNIPPETS),
    *(
        f"{EXAMPLES}/dashboards/{name}-{language}.json"
        for name in ("groups", "fleet")
        for language in ("influxql", "promql")
    ),
    *(
        f"{EXAMPLES}/alerts/{name}"
        for name in ("psstat.rules.yml", "psstat.rules.test.yml", "psstat.influxql", "psstat-1m.influxql")
    ),
}
FILES_OF_DEB = FILES | {
    "/usr/share/zsh/vendor-completions/_psstat",
    "/usr/share/doc/psstat/changelog.gz",
    "/usr/share/doc/psstat/changelog.Debian.gz",
    "/usr/share/doc/psstat/copyright",
    "/usr/share/doc/psstat/THIRD-PARTY-NOTICES",
    "/usr/share/lintian/overrides/psstat",
}
FILES_OF_RPM = FILES | {
    "/usr/share/zsh/site-functions/_psstat",
    "/usr/share/doc/psstat/CHANGELOG.md",
    "/usr/share/licenses/psstat/LICENSE",
    "/usr/share/licenses/psstat/THIRD-PARTY-NOTICES",
}
# Where a package may leave something, and what others write there meanwhile.
PLACES = ("/etc", "/usr", "/var", "/run", "/opt", "/srv", "/boot")
NOT_OURS = (
    "/run/systemd", "/run/udev", "/opt/packages",
    "/var/lib/dpkg", "/var/lib/systemd", "/var/cache", "/var/log", "/var/tmp",
)
# cargo-generate-rpm packs files alone, so that rpm leaves the directories that it has made for them.
FOLDERS_LEFT_BY_RPM = {
    str(directory)
    for file in FILES_OF_RPM
    for directory in pathlib.Path(file).parents
}

# ---- Running things -----------------------------------------------------------------------------


def systemctl(*arguments):
    return run("systemctl", *arguments)


def shown(unit, what):
    return systemctl("show", "--property", what, "--value", unit).strip()


def package(pattern):
    """The one package file of that kind."""
    found = glob.glob(str(HERE / pattern))
    require(len(found) == 1, f"{pattern}: {found}")
    return found[0]


def all_files():
    """Every path of this machine at which a package may leave something."""
    paths = set()
    for place in PLACES:
        for directory, directories, files in os.walk(place):
            directories[:] = [name for name in directories if f"{directory}/{name}" not in NOT_OURS]
            paths.update(f"{directory}/{name}" for name in directories + files)
    return paths


class Traces:
    """What a package could have left on this machine, or taken away: the paths that come or go
    while the package manager works on it, and all that bear its name. What servers make when
    they are first started, at other times, is theirs."""

    def __init__(self):
        self.before = all_files()
        self.touched = set()

    def of(self, work):
        """Gives what does the same, and watches it."""

        def watched(*arguments):
            then = all_files()
            work(*arguments)
            self.touched |= then ^ all_files()

        watched.__name__ = work.__name__
        return watched

    def left(self):
        now = all_files()
        named = {path for path in now | self.before if "psstat" in path}
        return (now ^ self.before) & (self.touched | named)


# ---- What is installed works --------------------------------------------------------------------


def psstat_is_that_version(version):
    require(run("psstat", "--version") == f"psstat {version}\n", "psstat --version")


def psstat_needs_nothing_beside_it():
    """Runs it in a root directory in which there is nothing else."""
    root = HERE / "empty"
    root.mkdir()
    run("cp", "/usr/bin/psstat", str(root))
    run("chroot", str(root), "/psstat", "--version")


def anyone_may_run_it():
    line = run(*NOBODY, "psstat", "--wait", "100ms", "--host", "", "--pid", "first:1")
    require(
        re.fullmatch(r"psstat,process_name=first p_cpu=[0-9.]+,p_mem=[0-9.]+,n_proc=\d+i \d+\n", line),
        f"it printed {line!r}",
    )


def the_manual_pages_are_found_and_well_formed():
    for name, file, texts in (
        ("psstat", "man1/psstat.1.gz", ("PSSTAT(1)", "--pid-file", "--systemd", "execd")),
        ("psstat.toml", "man5/psstat.toml.5.gz", ("PSSTAT.TOML(5)", "max_groups", "(?P<word>...)")),
    ):
        where = run("man", "--where", name).strip()
        require(where == f"/usr/share/man/{file}", where)
        said = subprocess.run(
            ["man", "--warnings", "-Tutf8", "-P", "cat", name],
            capture_output=True, text=True, env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"},
        )
        require(said.returncode == 0 and not said.stderr, f"man: {said.stderr}")
        plain = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", said.stdout)
        for text in texts:
            require(text.lower() in plain.lower().replace("‐", "-"), f"{text} is not in the page")


def bash_completes():
    """Types into a real bash, which loads the completions by itself."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="dumb", PS1="$ ", INPUTRC="/dev/null")
        os.execvp("bash", ["bash", "--noprofile", "--norc", "-i"])
    try:
        typed = ". /usr/share/bash-completion/bash_completion; echo re''ady\n"
        os.write(terminal, typed.encode())
        read_until(terminal, "ready")
        os.write(terminal, b"psstat --cache-d\t")
        read_until(terminal, "psstat --cache-dir ")
        os.write(terminal, b"\x15psstat exe\t")
        read_until(terminal, "psstat execd ")
    finally:
        os.close(terminal)
        os.waitpid(child, 0)


def read_until(terminal, text):
    seen = ""
    while text not in seen:
        ready, _, _ = select.select([terminal], [], [], PATIENCE)
        require(ready, f"{text!r} did not come, but {seen!r}")
        seen += os.read(terminal, 4096).decode(errors="replace")


# ---- Telegraf -----------------------------------------------------------------------------------


def have_telegraf():
    """A stand-in for it, with a user, a unit and directories like those of its package."""
    run("useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", "telegraf")
    CONFIGURATION.mkdir(parents=True)
    (UNITS / "telegraf.service").write_text(
        "[Unit]\nDescription=Stand-in for Telegraf\n"
        "[Service]\nUser=telegraf\nStateDirectory=telegraf\n"
        f"ExecStart=/usr/bin/python3 {HERE}/telegraf.py {CONFIGURATION} {OUTPUT} 0.5\n"
    )
    systemctl("daemon-reload")


def configure(*names):
    for path in [*CONFIGURATION.iterdir(), *OUTPUT.glob("*.lines"), *OUTPUT.glob("*.said")]:
        path.unlink()
    for name in names:
        run("cp", f"{EXAMPLES}/telegraf/{name}.conf", str(CONFIGURATION))


def telegraf_got(name, kind):
    path = OUTPUT / f"{name}.{kind}"
    return path.read_text() if path.exists() else ""


def telegraf_gets_lines(name):
    """A line for every group of the example, of which nginx is one that runs."""
    eventually(f"lines of {name}", lambda: telegraf_got(name, "lines").count("\n") >= 3)
    lines = telegraf_got(name, "lines").splitlines()
    groups = [re.search(r",process_name=(\w+) .*n_proc=(\d+)i \d+$", line) for line in lines]
    require(all(groups), f"{name}: {lines}")
    require({group[1] for group in groups} == {"web", "database", "jobs"}, f"{name}: {lines}")
    require(all(int(group[2]) >= 1 for group in groups if group[1] == "web"), f"{name}: {lines}")
    said = telegraf_got(name, "said")
    require(not re.search("^[EW]!", said, re.MULTILINE), f"{name} said {said}")


def a_telegraf_that_was_there_before_is_left_alone_until_it_is_restarted(install):
    have_telegraf()
    systemctl("start", "nginx", "telegraf")
    pid = shown("telegraf", "MainPID")
    install()
    require(shown("telegraf", "MainPID") == pid, "it was restarted")
    require(not CACHE.exists(), f"{CACHE} is there")


def the_drop_in_is_noticed():
    require(DROP_IN in shown("telegraf", "DropInPaths"), "the drop-in is not")
    require(shown("telegraf", "NeedDaemonReload") == "no", "systemd has not been told")


def exec_prints_lines_from_the_second_run_on():
    configure("exec")
    systemctl("restart", "telegraf")
    telegraf_gets_lines("exec")
    said = telegraf_got("exec", "said").splitlines()
    require(len(said) == 1 and said[0].startswith("I! "), f"the first run said {said}")


def the_cache_folder_is_private():
    status = CACHE.stat()
    require(status.st_uid == pwd.getpwnam("telegraf").pw_uid, f"it belongs to {status.st_uid}")
    require(status.st_mode & 0o7777 == 0o700, f"its mode is {status.st_mode:o}")
    names = eventually("a cache file", lambda: [path.name for path in CACHE.iterdir()])
    require(any(name.startswith(f"psstat-{status.st_uid}-") for name in names), f"{names}")
    peek = subprocess.run([*NOBODY, "ls", str(CACHE)], capture_output=True)
    require(peek.returncode != 0, "nobody can look into it")


def a_restart_keeps_the_baseline():
    """The old form selects the same, so it goes on where the new one has ended."""
    configure("exec-string")
    systemctl("restart", "telegraf")
    telegraf_gets_lines("exec-string")
    said = telegraf_got("exec-string", "said")
    require(not said, f"the first run after a restart said {said}")


def execd_prints_lines_in_every_signal_mode():
    names = [name for name in SNIPPETS if name.startswith("execd")]
    configure(*names)
    systemctl("restart", "telegraf")
    for name in names:
        telegraf_gets_lines(name)
    said = [telegraf_got(name, "said") for name in names]
    require(said == [""] * len(names), f"they said {said}")


def the_cache_folder_goes_when_telegraf_stops_and_comes_when_it_starts():
    systemctl("stop", "telegraf")
    require(not CACHE.exists(), f"{CACHE} has stayed")
    systemctl("start", "telegraf")
    eventually(f"{CACHE}", CACHE.exists)
    systemctl("stop", "telegraf")


def without_telegraf_the_drop_in_does_nothing():
    unit = UNITS / "telegraf.service"
    text = unit.read_text()
    unit.unlink()
    systemctl("daemon-reload")
    start = subprocess.run(["systemctl", "start", "telegraf"], capture_output=True, text=True)
    require("not found" in start.stderr, f"systemctl said {start.stderr}")
    require(not CACHE.exists(), f"{CACHE} is there")
    unit.write_text(text)
    systemctl("daemon-reload")
    the_drop_in_is_noticed()


def systemd_has_no_complaint_about_the_units():
    for unit in ("telegraf.service", "psstat.service"):
        said = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True
        )
        ours = [line for line in said.stderr.splitlines() if "psstat" in line or "telegraf" in line]
        require(said.returncode == 0 and not ours, f"{unit}: {said.returncode} {said.stderr}")


def the_service_starts_with_the_example():
    run("cp", str(EXAMPLES / "psstat.toml"), str(CONFIG))
    run("psstat", "check", "--config", str(CONFIG))
    systemctl("enable", "--now", "psstat.service")
    eventually("the page has nginx", lambda: 'process_name="nginx"' in run(*NOBODY, "cat", str(PAGE)))


def old_cache_files_are_removed():
    """At a start of the machine those in /tmp; on any other day only those in the directory that have not
    been used for ten days."""
    in_tmp, other = pathlib.Path("/tmp/psstat-1000-0123456789abcdef"), pathlib.Path("/tmp/psstat-notes")
    CACHE.mkdir(exist_ok=True)
    old, new = CACHE / "psstat-1000-old", CACHE / "psstat-1000-new"
    for path in (in_tmp, other, old, new):
        path.touch()
    mode = CACHE.stat().st_mode
    systemd_tmpfiles = ("systemd-tmpfiles", "psstat.conf")
    run(*systemd_tmpfiles, "--clean", "--create", "--remove")
    require(all(path.exists() for path in (in_tmp, other, old, new)), "something is gone")
    run(*systemd_tmpfiles, "--remove", "--boot")
    require(not in_tmp.exists() and other.exists(), "at a start of the machine")
    # Ten days do not pass here.
    rules = pathlib.Path("/usr/lib/tmpfiles.d/psstat.conf").read_text()
    require(" 10d\n" in rules, rules)
    run("systemd-tmpfiles", "--clean", "-", input=rules.replace(" 10d\n", " 1us\n"))
    require(not old.exists() and not new.exists() and other.exists(), "after their time")
    require(CACHE.stat().st_mode == mode, "the directory has changed")
    other.unlink()


def forget_telegraf():
    """Leaves the machine as it was before the stand-in and the units came."""
    systemctl("stop", "telegraf", "nginx")
    run("rm", "-rf", f"{UNITS}/telegraf.service", str(CONFIG))
    run("rm", "-r", "/etc/telegraf", str(OUTPUT))
    run("userdel", "telegraf")


# ---- The packages -------------------------------------------------------------------------------


def deb(check):
    file = package("psstat_*.deb")
    version = run("dpkg-deb", "-f", file, "Version").strip().removesuffix("-1")
    # Some images of Debian leave manual pages out of what is installed.
    for path in glob.glob("/etc/dpkg/dpkg.cfg.d/*"):
        os.remove(path)
    # man finds a page without its index, which takes seconds at each step.
    pathlib.Path("/var/lib/man-db/auto-update").unlink(missing_ok=True)

    def install():
        said = subprocess.run(["dpkg", "-i", file], capture_output=True, text=True)
        others = [line for line in said.stderr.splitlines() if "man-db" not in line]
        require(said.returncode == 0 and not others, f"dpkg said {said.stderr}")

    def it_comes_and_goes_where_no_systemd_runs():
        script = 'mount -t tmpfs tmpfs /run && dpkg -i "$1" && psstat --version && dpkg -P psstat'
        run("unshare", "--mount", "sh", "-c", script, "sh", file)

    def its_files_are_those():
        listed = run("dpkg", "-L", "psstat").splitlines()
        files = {path for path in listed if not os.path.isdir(path)}
        require(files == FILES_OF_DEB, f"not in both: {sorted(files ^ FILES_OF_DEB)}")
        require(not run("dpkg", "-V", "psstat"), "files are not as they were packed")

    def an_upgrade_takes_its_place_and_keeps_the_baseline():
        """The same files under a later version, put over the one that Telegraf's stand-in uses."""
        systemctl("start", "telegraf")
        eventually(f"{CACHE}", CACHE.exists)
        marker = CACHE / "marker"
        marker.touch()
        measured_by = shown("psstat", "MainPID")
        tree, later = HERE / "later", HERE / "later.deb"
        run("dpkg-deb", "-R", file, str(tree))
        control = tree / "DEBIAN" / "control"
        control.write_text(control.read_text().replace(f"Version: {version}-1", "Version: 99-1"))
        run("dpkg-deb", "-b", str(tree), str(later))
        run("dpkg", "-i", str(later))
        require(run("dpkg-query", "-W", "-f", "${Version}", "psstat") == "99-1", "not upgraded")
        its_files_are_those()
        the_drop_in_is_noticed()
        require(shown("psstat", "MainPID") != measured_by, "the service runs the old version")
        require(shown("psstat", "ActiveState") == "active", "the service does not run")
        require(marker.exists() and shown("telegraf", "ActiveState") == "active", "disturbed")
        systemctl("stop", "telegraf")

    def nothing_is_left_after_removal():
        run("dpkg", "-r", "psstat")
        require(DROP_IN not in shown("telegraf", "DropInPaths"), "systemd has not been told")
        run("dpkg", "-P", "psstat")
        gone = subprocess.run(["dpkg", "-s", "psstat"], capture_output=True)
        require(gone.returncode != 0, "dpkg still knows it")
        require(shown("psstat", "ActiveState") == "inactive", "the service runs on")
        require(not PAGE.exists(), "the page has stayed")

    PAGE.parent.mkdir(parents=True, exist_ok=True)
    os.chown(PAGE.parent, 1501, 1501)

    check(it_comes_and_goes_where_no_systemd_runs)
    traces = Traces()
    check(a_telegraf_that_was_there_before_is_left_alone_until_it_is_restarted, traces.of(install))
    check(its_files_are_those)
    check(the_drop_in_is_noticed)
    check(psstat_is_that_version, version)
    check(psstat_needs_nothing_beside_it)
    check(anyone_may_run_it)
    check(the_manual_pages_are_found_and_well_formed)
    check(bash_completes)
    check(exec_prints_lines_from_the_second_run_on)
    check(the_cache_folder_is_private)
    check(a_restart_keeps_the_baseline)
    check(execd_prints_lines_in_every_signal_mode)
    check(the_cache_folder_goes_when_telegraf_stops_and_comes_when_it_starts)
    check(without_telegraf_the_drop_in_does_nothing)
    check(systemd_has_no_complaint_about_the_units)
    check(the_service_starts_with_the_example)
    check(old_cache_files_are_removed)
    check(traces.of(an_upgrade_takes_its_place_and_keeps_the_baseline))
    check(traces.of(nothing_is_left_after_removal))
    forget_telegraf()
    check(nothing_has_come_or_gone, traces, set())


def rpm(check):
    file = package("psstat-*.rpm")
    version = run("rpm", "-qp", "--queryformat", "%{VERSION}", file)
    # Debian's rpm wants to be told that it is meant to install.
    database = ("--dbpath", str(HERE / "rpmdb"))

    def install():
        run("rpm", "--initdb", *database)
        run("rpm", "-i", "--force-debian", *database, file)

    def its_files_are_those():
        files = set(run("rpm", "-ql", *database, "psstat").splitlines())
        require(files == FILES_OF_RPM, f"not in both: {sorted(files ^ FILES_OF_RPM)}")
        require(not run("rpm", "-V", *database, "psstat"), "files are not as they were packed")

    def after_a_reload_the_drop_in_is_noticed():
        """Debian's systemd has no trigger for rpm, which those of distributions with rpm have."""
        systemctl("daemon-reload")
        the_drop_in_is_noticed()

    def nothing_is_left_after_removal():
        run("rpm", "-e", *database, "psstat")
        require(not run("rpm", "-qa", *database), "rpm still knows it")

    traces = Traces()
    check(a_telegraf_that_was_there_before_is_left_alone_until_it_is_restarted, traces.of(install))
    check(its_files_are_those)
    check(after_a_reload_the_drop_in_is_noticed)
    check(psstat_is_that_version, version)
    check(psstat_needs_nothing_beside_it)
    check(anyone_may_run_it)
    check(the_manual_pages_are_found_and_well_formed)
    check(bash_completes)
    check(exec_prints_lines_from_the_second_run_on)
    check(the_cache_folder_is_private)
    check(traces.of(nothing_is_left_after_removal))
    forget_telegraf()
    check(nothing_has_come_or_gone, traces, FOLDERS_LEFT_BY_RPM)


def nothing_has_come_or_gone(traces, but):
    require(DROP_IN in traces.touched, f"the watch saw nothing: {traces.touched}")
    changed = traces.left() - but
    require(not changed, f"{sorted(changed)[:20]}")


# ---- The service --------------------------------------------------------------------------------


def service(check):
    """psstat.service, as a user installs and starts it, with an interval of one second."""
    directory = PAGE.parent
    drop_in = UNITS / "psstat.service.d" / "test.conf"

    def page():
        """What node_exporter reads, whose user has no rights here."""
        read = subprocess.run([*NOBODY, "cat", str(PAGE)], capture_output=True, text=True)
        return read.stdout

    def counter():
        found = re.search(r'^psstat_cpu_seconds_total\{process_name="busy"\} ([0-9.]+)$', page(), re.M)
        return found and float(found[1])

    def a_page_that_grows():
        eventually("the page has the group", lambda: counter() is not None)
        last = counter()
        eventually("a later page", lambda: (counter() or 0) > last)

    def of_process(key):
        """What the kernel says of the running psstat."""
        status = pathlib.Path(f"/proc/{shown('psstat', 'MainPID')}/status").read_text()
        return re.search(rf"^{key}:\s+(\S+)", status, re.M)[1]

    def journal():
        run("journalctl", "--sync")
        return run("journalctl", "-o", "cat", "-u", "psstat", "_SYSTEMD_UNIT=psstat.service").splitlines()

    def it_starts_and_a_page_is_there():
        run("dpkg", "-i", package("psstat_*.deb"))
        directory.mkdir(parents=True, exist_ok=True)
        drop_in.parent.mkdir(parents=True)
        start = pathlib.Path("/usr/lib/systemd/system/psstat.service").read_text()
        start = re.search("^ExecStart=(.*)$", start, re.M)[1]
        quick = start.replace("--interval 15s", "--interval 1s")
        require(quick != start, start)
        drop_in.write_text(f"[Service]\nExecStart=\nExecStart={quick}\nRestartSec=1s\n")
        (UNITS / "busy.service").write_text("[Service]\nExecStart=/bin/sh -c 'while :; do :; done'\n")
        (UNITS / "idle.service").write_text("[Service]\nExecStart=/bin/sleep 100000\n")
        CONFIG.write_text(
            '[[group]]\nname = "busy"\nsystemd = "busy"\n'
            '[[group]]\nname = "idle"\nsystemd = "idle"\n'
            '[[group]]\nname = "all"\npid = 1\n'
        )
        systemctl("daemon-reload")
        systemctl("start", "busy", "idle")
        PAGE.write_text("an old page of root's\n")
        other = directory / "other.prom"
        other.write_text("other_metric 1\n")
        systemctl("enable", "--now", "psstat")
        require(run(*NOBODY, "cat", str(other)) == "other_metric 1\n", "the page of another program")
        other.unlink()
        require("psstat_build_info" in page(), f"no page at the start: {page()!r}")

    def every_interval_has_a_fresh_page():
        a_page_that_grows()
        seen, begin = set(), time.monotonic()
        while len(seen) < 5:
            seen.add(PAGE.stat().st_mtime_ns)
            require(time.monotonic() - begin < PATIENCE, "no fresh page")
            time.sleep(0.05)
        require(time.monotonic() - begin > 3, f"five pages in {time.monotonic() - begin} s")

    def it_has_few_rights():
        user = pwd.getpwnam("psstat")
        require(of_process("Uid") == str(user.pw_uid), of_process("Uid"))
        for key in ("CapEff", "CapPrm", "CapBnd", "CapAmb"):
            require(int(of_process(key), 16) == 1 << 19, f"{key}: {of_process(key)}")
        require((of_process("NoNewPrivs"), of_process("Seccomp")) == ("1", "2"), "it is not confined")
        said = run("systemd-analyze", "security", "--no-pager", "psstat.service")
        exposure = re.search(r"exposure level for psstat.service: ([0-9.]+)", said)
        require(exposure and float(exposure[1]) < 2, said[-300:])

    def normal_work_says_nothing():
        before = journal()
        systemctl("stop", "idle")
        eventually("idle is 0", lambda: 'psstat_processes{process_name="idle"} 0\n' in page())
        for _ in range(3):
            a_page_that_grows()
        said = [line for line in journal()[len(before):]]
        require(len(said) <= 1, f"it says again and again {said}")
        require(not said or "idle" in said[0], f"{said}")
        require(not [line for line in before if re.match("[EWI]! ", line)], f"{before}")
        systemctl("start", "idle")

    def it_ends_at_once_and_takes_its_page_with_it():
        begin = time.monotonic()
        systemctl("stop", "psstat")
        require(time.monotonic() - begin < 60, "it took long")
        require(shown("psstat", "Result") == "success", shown("psstat", "Result"))
        require(not PAGE.exists(), "old values have stayed")
        systemctl("start", "psstat")
        a_page_that_grows()

    def a_restart_reads_the_configuration():
        CONFIG.write_text(CONFIG.read_text() + '[[group]]\nname = "later"\nsystemd = "idle"\n')
        systemctl("restart", "psstat")
        eventually("the new group", lambda: 'psstat_processes{process_name="later"} 1\n' in page())

    def a_killed_one_is_started_again():
        before = shown("psstat", "MainPID")
        systemctl("kill", "--signal=KILL", "psstat")
        eventually("another one", lambda: shown("psstat", "MainPID") not in ("0", before))
        a_page_that_grows()

    def a_full_disk_keeps_the_last_page():
        systemctl("stop", "psstat")
        run("mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "tmpfs", str(directory))
        try:
            systemctl("start", "psstat")
            a_page_that_grows()
            main = shown("psstat", "MainPID")
            before = len(journal())
            with open(directory / "others", "wb", buffering=0) as file:
                try:
                    while True:
                        file.write(b"x" * 4096)
                except OSError:
                    pass
            eventually("it says so", lambda: any("E! cannot write" in line for line in journal()[before:]))
            require(counter() is not None, f"the page is {page()!r}")
            require(sorted(os.listdir(directory)) == ["others", "psstat.prom"], f"{os.listdir(directory)}")
            (directory / "others").unlink()
            a_page_that_grows()
            require(shown("psstat", "MainPID") == main, "it was started again")
        finally:
            systemctl("stop", "psstat")
            run("umount", str(directory))
        systemctl("start", "psstat")
        a_page_that_grows()

    def a_directory_taken_away_and_given_back():
        before = len(journal())
        run("rm", "-r", str(directory))
        eventually("it says so", lambda: any("E! cannot write" in line for line in journal()[before:]))
        directory.mkdir()
        a_page_that_grows()
        # Also while psstat was away.
        systemctl("stop", "psstat")
        run("rm", "-r", str(directory))
        systemctl("start", "psstat")
        a_page_that_grows()

    def a_wrong_configuration_is_said_and_not_tried_again():
        right = CONFIG.read_text()
        CONFIG.write_text(right + "colour = 1\n")
        start = subprocess.run(["systemctl", "restart", "psstat"], capture_output=True, text=True)
        require(start.returncode != 0, "it starts")
        require(shown("psstat", "ActiveState") == "failed", shown("psstat", "ActiveState"))
        said = [line for line in journal() if line.startswith("E! ")]
        require("colour" in said[-1], f"{said[-3:]}")
        time.sleep(3)
        require([line for line in journal() if line.startswith("E! ")] == said, "it is tried again")
        CONFIG.write_text(right)
        systemctl("start", "psstat")
        a_page_that_grows()

    def it_runs_with_file_capabilities_too():
        """README gives them to psstat for Telegraf."""
        run("setcap", "cap_sys_ptrace=ep", "/usr/bin/psstat")
        systemctl("restart", "psstat")
        a_page_that_grows()
        run("setcap", "-r", "/usr/bin/psstat")

    def removal_stops_it():
        run("dpkg", "-r", "psstat")
        require(shown("psstat", "ActiveState") == "inactive", shown("psstat", "ActiveState"))
        require(not PAGE.exists(), "the page has stayed")
        require(not glob.glob("/etc/systemd/system/*.wants/psstat.service"), "it is still enabled")

    if not shown("systemd-journald", "ActiveState") == "active":
        systemctl("start", "systemd-journald.service")
    check(it_starts_and_a_page_is_there)
    check(every_interval_has_a_fresh_page)
    check(it_has_few_rights)
    check(normal_work_says_nothing)
    check(it_ends_at_once_and_takes_its_page_with_it)
    check(a_restart_reads_the_configuration)
    check(a_killed_one_is_started_again)
    check(a_full_disk_keeps_the_last_page)
    check(a_directory_taken_away_and_given_back)
    check(a_wrong_configuration_is_said_and_not_tried_again)
    check(it_runs_with_file_capabilities_too)
    check(removal_stops_it)


# ---- README -------------------------------------------------------------------------------------


def blocks(title, page="README.md"):
    """The commands of a section of a page, one text for each block."""
    sections = re.split(r"^## (.*)\n", (HERE / page).read_text(), flags=re.MULTILINE)
    texts = [text for name, text in zip(sections[1::2], sections[2::2]) if name == title]
    require(len(texts) == 1, f"{page} has {len(texts)} sections {title!r}")
    return re.findall(r"^```sh\n(.*?)^```$", texts[0], flags=re.MULTILINE | re.DOTALL)


class Shell:
    """A user's shell, into which one block after the other is pasted."""

    def __init__(self):
        self.process = subprocess.Popen(
            ["bash", "-e", "-o", "pipefail"], cwd=HERE, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )

    def paste(self, block):
        """Gives what a block has printed, all of whose commands must succeed."""
        self.process.stdin.write(f"{block}\necho END OF BLOCK\n")
        self.process.stdin.flush()
        printed = ""
        for line in self.process.stdout:
            if line == "END OF BLOCK\n":
                return printed
            printed += line
        raise Wrong(f"it failed: {block}")


def readme(check):
    shell = Shell()
    results = []

    def every_block_of_its_three_sections_works():
        pasted = blocks("Install") + blocks("From installation to lines in InfluxDB")
        pasted += blocks("Alerts for InfluxDB 1.x", "docs/DASHBOARDS.md")
        pasted += blocks("Use with Prometheus")
        have_telegraf()
        # There is no network here, and what README has installed is in place. So apt is not to
        # know of later versions, which it would want to download.
        run("find", "/var/lib/apt/lists", "-type", "f", "-delete")
        for block in pasted:
            results.append((block, shell.paste(block)))

    def printed_by(text):
        found = [printed for block, printed in results if text in block]
        require(len(found) == 1, f"{len(found)} blocks of README hold {text!r}")
        return found[0]

    def lines_are(text):
        pattern = r"psstat,host=\S+,process_name=(\w+) \S*n_proc=\d+i \d+"
        lines = [re.fullmatch(pattern, line) for line in text.splitlines()]
        require(all(lines), f"README makes it print {text!r}")
        return [line[1] for line in lines]

    def the_version_is_said():
        version = run("dpkg-query", "-W", "-f", "${Version}", "psstat").removesuffix("-1")
        require(f"\npsstat {version}\n" in printed_by("dpkg -i"), printed_by("dpkg -i"))

    def first_lines_come():
        first = next(printed for block, printed in results if block.startswith("psstat --wait"))
        require(lines_are(first) == ["shell", "web"], first)

    def the_lines_are_in_influxdb():
        answer = json.loads(printed_by("SELECT"))
        series = answer["results"][0]["series"][0]
        rows = [dict(zip(series["columns"], values)) for values in series["values"]]
        require([row["process_name"] for row in rows] == ["shell", "web"], f"{rows}")
        require(rows[0]["n_proc"] >= 1 and rows[0]["p_mem"] > 0, f"{rows}")
        require(rows[1]["n_proc"] == 0, f"{rows}")
        require(all(row["host"] and row["p_cpu"] >= 0 for row in rows), f"{rows}")

    def telegraf_gets_lines_from_the_example():
        eventually("lines", lambda: telegraf_got("psstat", "lines").count("\n") >= 3)
        names = lines_are(telegraf_got("psstat", "lines").rsplit("\n", 1)[0])
        require(set(names) == {"web", "database", "jobs"}, f"{names}")

    def node_exporter_serves_the_page():
        systemctl("start", "prometheus-node-exporter")
        # It adds the labels that only other groups have, without a value.
        line = r'^psstat_processes\{env="production",process_name="ssh"[^}]*\} \d+$'
        metrics = ("curl", "-fsS", "--retry", "20", "--retry-connrefused", "http://127.0.0.1:9100/metrics")
        eventually("the metrics of psstat", lambda: re.search(line, run(*metrics), re.M))
        require("\nnode_textfile_scrape_error 0\n" in run(*metrics), "it does not like the page")

    def an_alert_of_influxdb_is_printed():
        """Of a group that is down for a minute. What README itself stores need not be so old."""
        query = "q@/usr/share/doc/psstat/examples/alerts/psstat.influxql"
        block = next(block for block, _ in results if query in block)
        now = int(time.time())
        lines = [f"psstat,host=made-up,process_name=ended n_proc=0i {now - ago}" for ago in (80, 45, 10)]
        database = "http://127.0.0.1:8086/write?db=telegraf&precision=s"
        run("curl", "-fsS", database, "--data-binary", "\n".join(lines))
        rows = [line for line in shell.paste(block).splitlines() if "process_name=ended" in line]
        require(len(rows) == 1 and rows[0].startswith("psstat,"), f"{rows}")

    def an_alert_of_prometheus_fires():
        answer = json.loads(printed_by("ALERTS"))
        alerts = [series["metric"] for series in answer["data"]["result"]]
        require(alerts and all(alert["alertstate"] == "firing" for alert in alerts), f"{alerts}")
        down = [alert["process_name"] for alert in alerts if alert["alertname"] == "PsstatGroupDown"]
        require({"php", "mysql"} <= set(down), f"{alerts}")

    def every_example_is_named():
        text = (HERE / "README.md").read_text()
        missing = [name for name in SNIPPETS if f"`{name}.conf`" not in text]
        require(not missing, f"README does not know {missing}")

    check(every_block_of_its_three_sections_works)
    check(the_version_is_said)
    check(first_lines_come)
    check(the_lines_are_in_influxdb)
    check(telegraf_gets_lines_from_the_example)
    check(node_exporter_serves_the_page)
    check(an_alert_of_influxdb_is_printed)
    check(an_alert_of_prometheus_fires)
    check(every_example_is_named)


def main():
    # Images for containers forbid packages to start and stop services.
    pathlib.Path("/usr/sbin/policy-rc.d").unlink(missing_ok=True)
    # The sandbox brings a psstat of its own.
    pathlib.Path("/usr/local/bin/psstat").unlink(missing_ok=True)
    # This is a container, and its processes are meant.
    os.environ["HOST_PROC"] = "/proc"
    systemctl("set-environment", "HOST_PROC=/proc")

    def check(function, *arguments):
        try:
            function(*arguments)
        except (Wrong, OSError, ValueError, LookupError, subprocess.SubprocessError) as error:
            print(f"not ok {function.__name__}: {error}", flush=True)
            sys.exit(1)
        print(f"ok {function.__name__}", flush=True)

    {"deb": deb, "rpm": rpm, "readme": readme, "service": service}[sys.argv[1]](check)


main()
