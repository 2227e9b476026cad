#!/usr/bin/python3
"""Installs, tries and removes psstat's packages, or does what README says. Runs as root on a machine
that may be thrown away, with a systemd (tests/systemd/sandbox), as checks.py deb|rpm|readme, in a
directory that holds the packages, README.md and telegraf.py.

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

HERE = pathlib.Path(__file__).parent
# Everything that is waited for comes within a moment or, on a crowded machine, a few.
PATIENCE = 300.0
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
    "/usr/share/bash-completion/completions/psstat",
    "/usr/share/fish/vendor_completions.d/psstat.fish",
    "/usr/share/doc/psstat/psstat.spdx.json",
    DROP_IN,
    f"{EXAMPLES}/psstat.toml",
    *(f"{EXAMPLES}/telegraf/{name}.conf" for name in SNIPPETS),
    f"{EXAMPLES}/systemd/psstat-textfile.service",
    f"{EXAMPLES}/systemd/psstat-textfile.timer",
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


class Wrong(Exception):
    """What a check found wrong."""


def require(condition, text):
    if not condition:
        raise Wrong(text)


def run(*command, **options):
    """Runs a command that must succeed; gives its output."""
    options = {"stdin": subprocess.DEVNULL, "timeout": PATIENCE, **options}
    done = subprocess.run(command, capture_output=True, text=True, **options)
    require(
        done.returncode == 0,
        f"{command} ended with {done.returncode}: {done.stderr.strip()} {done.stdout.strip()}",
    )
    return done.stdout


def eventually(what, question):
    """Waits until the question is answered by something true, and gives that."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = question()
        if answer:
            return answer
        require(time.monotonic() < deadline, f"never happened: {what}")
        time.sleep(0.05)


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


def the_manual_page_is_found_and_well_formed():
    where = run("man", "--where", "psstat").strip()
    require(where == "/usr/share/man/man1/psstat.1.gz", where)
    said = subprocess.run(
        ["man", "--warnings", "-Tutf8", "-P", "cat", "psstat"],
        capture_output=True, text=True, env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"},
    )
    require(said.returncode == 0 and not said.stderr, f"man: {said.stderr}")
    plain = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", said.stdout)
    for text in ("PSSTAT(1)", "--pid-file", "--systemd", "execd"):
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
    run("cp", *glob.glob(f"{EXAMPLES}/systemd/psstat-textfile.*"), str(UNITS))
    for unit in ("telegraf.service", "psstat-textfile.service", "psstat-textfile.timer"):
        said = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True
        )
        ours = [line for line in said.stderr.splitlines() if "psstat" in line or "telegraf" in line]
        require(said.returncode == 0 and not ours, f"{unit}: {said.returncode} {said.stderr}")


def the_textfile_service_may_do_what_it_needs_to():
    """Runs it twice under its own restrictions, on the example that ships, in a directory that belongs
    to node_exporter's user."""
    run("cp", str(EXAMPLES / "psstat.toml"), str(CONFIG))
    run("psstat", "check", "--config", str(CONFIG))
    for _ in range(2):
        systemctl("start", "psstat-textfile.service")
    text = run(*NOBODY, "cat", str(PAGE))
    require('process_name="nginx"' in text and "# TYPE psstat" in text, f"the page is {text!r}")
    require(pathlib.Path("/run/psstat-textfile").stat().st_mode & 0o777 == 0o700, "it is no secret")
    PAGE.unlink()
    systemctl("enable", "--now", "psstat-textfile.timer")
    eventually("the timer writes the page", PAGE.exists)
    systemctl("disable", "--now", "psstat-textfile.timer")


def forget_telegraf():
    """Leaves the machine as it was before the stand-in and the units came."""
    systemctl("stop", "telegraf", "nginx")
    run("rm", "-rf", *glob.glob(f"{UNITS}/psstat-textfile.*"), f"{UNITS}/telegraf.service")
    run("rm", "-rf", str(PAGE), str(CONFIG), "/run/psstat-textfile")
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
        tree, later = HERE / "later", HERE / "later.deb"
        run("dpkg-deb", "-R", file, str(tree))
        control = tree / "DEBIAN" / "control"
        control.write_text(control.read_text().replace(f"Version: {version}-1", "Version: 99-1"))
        run("dpkg-deb", "-b", str(tree), str(later))
        run("dpkg", "-i", str(later))
        require(run("dpkg-query", "-W", "-f", "${Version}", "psstat") == "99-1", "not upgraded")
        its_files_are_those()
        the_drop_in_is_noticed()
        require(marker.exists() and shown("telegraf", "ActiveState") == "active", "disturbed")
        systemctl("stop", "telegraf")

    def nothing_is_left_after_removal():
        run("dpkg", "-r", "psstat")
        require(DROP_IN not in shown("telegraf", "DropInPaths"), "systemd has not been told")
        run("dpkg", "-P", "psstat")
        gone = subprocess.run(["dpkg", "-s", "psstat"], capture_output=True)
        require(gone.returncode != 0, "dpkg still knows it")

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
    check(the_manual_page_is_found_and_well_formed)
    check(bash_completes)
    check(exec_prints_lines_from_the_second_run_on)
    check(the_cache_folder_is_private)
    check(a_restart_keeps_the_baseline)
    check(execd_prints_lines_in_every_signal_mode)
    check(the_cache_folder_goes_when_telegraf_stops_and_comes_when_it_starts)
    check(without_telegraf_the_drop_in_does_nothing)
    check(systemd_has_no_complaint_about_the_units)
    check(the_textfile_service_may_do_what_it_needs_to)
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
    check(the_manual_page_is_found_and_well_formed)
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


# ---- README -------------------------------------------------------------------------------------


def blocks(title):
    """The commands of a section of README, one text for each block."""
    sections = re.split(r"^## (.*)\n", (HERE / "README.md").read_text(), flags=re.MULTILINE)
    texts = [text for name, text in zip(sections[1::2], sections[2::2]) if name == title]
    require(len(texts) == 1, f"README has {len(texts)} sections {title!r}")
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

    def every_block_of_its_two_sections_works():
        pasted = blocks("Install") + blocks("From installation to lines in InfluxDB")
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

    def every_example_is_named():
        text = (HERE / "README.md").read_text()
        missing = [name for name in SNIPPETS if f"`{name}.conf`" not in text]
        require(not missing, f"README does not know {missing}")

    check(every_block_of_its_two_sections_works)
    check(the_version_is_said)
    check(first_lines_come)
    check(the_lines_are_in_influxdb)
    check(telegraf_gets_lines_from_the_example)
    check(every_example_is_named)


def main():
    # The sandbox brings a psstat of its own.
    pathlib.Path("/usr/local/bin/psstat").unlink()
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

    {"deb": deb, "rpm": rpm, "readme": readme}[sys.argv[1]](check)


main()
