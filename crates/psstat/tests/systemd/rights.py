#!/usr/bin/python3
"""Tries, as the user telegraf and in a unit of its own, what the table of privileges in SECURITY.md says: what a
feature needs, what happens without it, and that each cure helps. Runs as root on a systemd, as
rights.py PSSTAT [CHECK...]; without a CHECK it makes all of them.

Most checks change the machine, so they are for the sandbox. `exit_records` is for a machine of its own: in the
sandbox the kernel tells nobody of exits.

Prints one line per check, as checks.py does. Exit status 77: it cannot run here; the last line on standard
error says why.
"""

import contextlib
import functools
import grp
import os
import pathlib
import pwd
import re
import shutil
import struct
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True  # This directory can be a user's, and this user is root.
from harness import PATIENCE, Skipped, all_succeed, check, eventually, require, run

CANNOT = 77
PSSTAT = os.path.realpath(sys.argv[1])
USER, OWNER = "telegraf", "daemon"
MIB = 1 << 20
SHARED = 64 * MIB
# A program of OWNER's with two workers, which share SHARED bytes of memory with it, and a process that has left
# them. The account of the control group is that of all four.
SERVICE = f"""
import os, sys, time
if os.fork() == 0:
    if os.fork() == 0:
        os.execv("/bin/sleep", ["sleep", "1000000"])
    os._exit(0)
os.wait()
memory = b"x" * {SHARED}
for _ in range(2):
    if os.fork() == 0:
        time.sleep(1000000)
with open(sys.argv[1], "w") as file:
    file.write(str(os.getpid()))
os.chmod(sys.argv[1], 0o640)
time.sleep(1000000)
"""


def cannot_run():
    """Why the checks cannot run here. None if they can."""
    if os.geteuid() != 0:
        return "only root can start units"
    if not os.path.isdir("/run/systemd/system"):
        return "systemd does not run here"
    return None


# ---- What is measured, and as whom ----------------------------------------------------------------


class Service:
    """A service of OWNER's, while the body of a `with` runs."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="psstatcheck-", dir="/var/tmp"))
        self.pid_file = self.directory / "pid"
        # A copy, so that no other process has this path.
        self.python = self.directory / "psstatcheck-python"

    def __enter__(self):
        os.chmod(self.directory, 0o755)
        shutil.copy(os.path.realpath(sys.executable), self.python)
        owner = pwd.getpwnam(OWNER)
        os.chown(self.directory, owner.pw_uid, owner.pw_gid)
        run(
            "systemd-run", "--quiet", "--unit=psstatcheck", f"--property=User={OWNER}",
            "--property=MemoryAccounting=yes", "--", str(self.python), "-c", SERVICE, str(self.pid_file),
        )
        eventually("the service runs", self.is_ready)
        self.pid = self.pid_file.read_text()
        return self

    def is_ready(self):
        return self.pid_file.exists() and self.pid_file.stat().st_mode & 0o777 == 0o640

    def write_pid_file_anew(self):
        """As the service does when it starts again."""
        owner = pwd.getpwnam(OWNER)
        self.pid_file.unlink()
        self.pid_file.write_text(self.pid)
        os.chown(self.pid_file, owner.pw_uid, owner.pw_gid)
        os.chmod(self.pid_file, 0o640)

    def __exit__(self, *_):
        subprocess.run(["systemctl", "stop", "psstatcheck"], capture_output=True)
        subprocess.run(["systemctl", "reset-failed", "psstatcheck"], capture_output=True)
        shutil.rmtree(self.directory)


class Said:
    """What a run of psstat has printed: a dictionary of the fields of the group g, None without a line."""

    def __init__(self, done):
        self.stderr = done.stderr
        line = re.search(r"^psstat,process_name=g (\S+) \d+$", done.stdout, re.M)
        pairs = line and [pair.split("=") for pair in line[1].split(",")]
        self.fields = line and {key: float(value.rstrip("i")) for key, value in pairs}

    def value(self, field):
        require(self.fields is not None and field in self.fields, f"no {field}: {self}")
        return self.fields[field]

    def lacks(self, field, *reasons):
        """It has no such field, or without a field no line, and says why."""
        there = self.fields if field is None else (self.fields or {}).get(field)
        require(there is None, f"{field or 'a line'} is there: {self}")
        self.says(*reasons)

    def says(self, *reasons):
        missing = [reason for reason in reasons if reason not in self.stderr]
        require(not missing, f"it does not say {missing}: {self}")

    def is_silent(self):
        require(self.stderr == "", f"it says something: {self}")

    def __str__(self):
        return f"{self.fields} {self.stderr.strip()}"


def as_telegraf(*arguments, psstat=PSSTAT, user=USER, properties=()):
    """Runs psstat in a unit of that user."""
    options = [f"--property={each}" for each in (f"User={user}", *properties)]
    return subprocess.run(
        ["systemd-run", "--quiet", "--wait", "--pipe", "--collect", *options, "--", psstat, *arguments],
        capture_output=True, text=True, timeout=PATIENCE, input="\n",
    )


def sampled(*arguments, **options):
    done = as_telegraf("--wait=300ms", "--host=", "--timeout=60s", *arguments, **options)
    require(done.returncode == 0, f"{arguments}: {done.returncode} {done.stderr}")
    return Said(done)


def anybody_may_run(program):
    try:
        subprocess.run([program, "--version"], user=65534, group=65534, extra_groups=[], capture_output=True)
    except PermissionError:
        return False
    return True


@contextlib.contextmanager
def given_by_setcap(capabilities):
    """A copy of psstat with these file capabilities, which root and the group of USER alone may run."""
    if not shutil.which("setcap"):
        raise Skipped("setcap is not installed")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="psstatcheck-", dir="/var/tmp"))
    try:
        os.chmod(directory, 0o755)
        copy = directory / "psstat"
        shutil.copy(PSSTAT, copy)
        os.chown(copy, 0, grp.getgrnam(USER).gr_gid)
        os.chmod(copy, 0o750)
        run("setcap", f"{capabilities}=ep", str(copy))
        require(not anybody_may_run(copy), "anybody may run it")
        yield str(copy)
    finally:
        shutil.rmtree(directory)


def in_the_service(capabilities):
    """The properties of psstat.service that decide what it may do, with what README adds for further capabilities."""
    here, unit = pathlib.Path(__file__).resolve(), "packaging/systemd/psstat.service"
    # The sandbox has it beside this program.
    units = (here.with_name("psstat.service"), *(parent / unit for parent in here.parents))
    text = next(path for path in units if path.exists()).read_text()
    lines = re.findall(r"^\w+=.+$", text.partition("[Service]")[2].partition("[Install]")[0], re.M)
    starts = ("Type=", "User=", "StateDirectory=", "Exec", "Restart=", "RestartPrevent", "RestartSec=")
    properties = [line for line in lines if not line.startswith(starts)]
    require("AmbientCapabilities=CAP_SYS_PTRACE" in properties, f"{unit} has {properties}")
    further = "".join(f" {name}" for name in capabilities.upper().split(",") if name != "CAP_SYS_PTRACE")
    of_sets = ("AmbientCapabilities=", "CapabilityBoundingSet=")
    # A drop-in adds to these two. Of a transient unit, the last value counts.
    return [line + further if line.startswith(of_sets) else line for line in properties]


def with_each_cure(capabilities, *arguments):
    """What psstat says with each way to give it a right that takes more than a file: as in psstat.service, with file
    capabilities, with ambient ones, and as root."""
    yield sampled(*arguments, properties=in_the_service(capabilities))
    with given_by_setcap(capabilities.lower()) as copy:
        yield sampled(*arguments, psstat=copy)
    yield sampled(*arguments, properties=[f"AmbientCapabilities={capabilities.upper().replace(',', ' ')}"])
    yield sampled(*arguments, user="root")


# ---- The rows of the table ------------------------------------------------------------------------


@check
def most_features_need_nothing():
    fields = (
        "p_cpu,p_mem,n_proc,cpu_time,mem,n_thread,n_zombie,faults_major,ctx_switches,uptime,swap,starts"
    )
    with Service() as service:
        for selector in (
            f"--pid=g:{service.pid}", "--pattern=g:^psstatcheck-py", f"--cmdline=g:^{service.python} ",
            f"--user=g:{OWNER}", "--systemd=g:psstatcheck", "--cgroup=g:*/psstatcheck.service",
        ):
            said = sampled(selector, f"--fields={fields}")
            require(said.value("n_proc") >= 3, f"{selector}: {said}")
            for field in fields.split(","):
                said.value(field)
            said.is_silent()


@check
def a_pid_file():
    with Service() as service:
        selector = f"--pid-file=g:{service.pid_file}"
        sampled(selector).lacks(None, "W! no line for g", "permission denied", "--systemd", "let psstat's user read it")
        require(sampled("--systemd=g:psstatcheck").value("n_proc") == 4, "--systemd")
        said = sampled(selector, properties=[f"SupplementaryGroups={OWNER}"])
        require(said.value("n_proc") == 3, said)
        allow(service.pid_file, pwd.getpwnam(USER).pw_uid)
        said = sampled(selector)
        require(said.value("n_proc") == 3, said)
        said.is_silent()
        service.write_pid_file_anew()
        sampled(selector).lacks(None, "W! no line for g", "permission denied")


def allow(path, uid):
    """Lets a user read a file of mode 0640, as setfacl does."""
    nobody, entries = 0xFFFFFFFF, []
    for tag, rights, of in ((1, 6, nobody), (2, 4, uid), (4, 4, nobody), (16, 4, nobody), (32, 0, nobody)):
        entries.append(struct.pack("<HHI", tag, rights, of))
    os.setxattr(path, "system.posix_acl_access", struct.pack("<I", 2) + b"".join(entries))


@check
def executables_of_other_users():
    with Service() as service:
        selector = f"--exe=g:{service.python}"
        sampled(selector).lacks(None, "W! no line for g", "executable paths cannot be read", "CAP_SYS_PTRACE")
        for other in ("--systemd=g:psstatcheck", "--cgroup=g:*/psstatcheck.service"):
            require(sampled(other).value("n_proc") == 4, other)
        for said in with_each_cure("cap_sys_ptrace", selector):
            require(said.value("n_proc") == 3, said)
            said.is_silent()


@check
def memory_that_forked_processes_share():
    with Service() as service:
        arguments = (f"--pid=g:{service.pid}", "--fields=mem,n_proc")
        said = sampled(*arguments)
        require(said.value("mem") >= 3 * SHARED, f"it does not count once per process: {said}")
        said.is_silent()
        for said in with_each_cure("cap_sys_ptrace", *arguments):
            require(SHARED < said.value("mem") < 2 * SHARED, said)
        of_unit = sampled("--systemd=g:psstatcheck", "--fields=mem,n_proc").value("mem")
        group = run("systemctl", "show", "--property=ControlGroup", "--value", "psstatcheck").strip()
        roots = ("/sys/fs/cgroup", "/sys/fs/cgroup/memory")
        if not any(os.path.exists(f"{root}{group}/memory.stat") for root in roots):
            raise Skipped("the kernel has no account of memory for units here; without it, all is as said")
        require(SHARED < of_unit < 2 * SHARED, f"the unit has {of_unit}")


@check
def proportional_set_sizes():
    with Service() as service:
        arguments = (f"--pid=g:{service.pid}", "--fields=mem,n_proc", "--memory=pss")
        said = sampled(*arguments)
        require(said.value("mem") >= 3 * SHARED, f"not as with shared-once: {said}")
        said.says("proportional set sizes cannot be read", "CAP_SYS_PTRACE")
        for said in with_each_cure("cap_sys_ptrace", *arguments):
            require(SHARED < said.value("mem") < 2 * SHARED, said)
            said.is_silent()


@check
def the_other_ways_to_measure_memory():
    with Service() as service:
        for mode in ("shared-once", "rss"):
            said = sampled(f"--pid=g:{service.pid}", "--fields=mem,n_proc", f"--memory={mode}")
            require(said.value("mem") >= 3 * SHARED, f"{mode}: {said}")
            said.is_silent()


def needs_two_capabilities(field, arguments):
    sampled(*arguments).lacks(field, "cannot be read", "CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE")
    with given_by_setcap("cap_sys_ptrace") as copy:
        sampled(*arguments, psstat=copy).lacks(field, "CAP_DAC_READ_SEARCH")
    for said in with_each_cure("cap_sys_ptrace,cap_dac_read_search", *arguments):
        said.value(field)
        said.is_silent()


@check
def storage_traffic():
    with Service() as service:
        needs_two_capabilities("io_write", (f"--pid=g:{service.pid}", "--fields=io_read,io_write,n_proc"))


@check
def open_files():
    with Service() as service:
        arguments = (f"--pid=g:{service.pid}", "--fields=n_fd,n_proc")
        major, minor = map(int, re.match(r"(\d+)\.(\d+)", os.uname().release).groups())
        if (major, minor) < (6, 2):
            needs_two_capabilities("n_fd", arguments)
            return
        said = sampled(*arguments)
        require(said.value("n_fd") >= 9, said)
        said.is_silent()


@check
def hidden_processes():
    group = grp.getgrnam(OWNER).gr_gid
    with Service() as service:
        run("mount", "-o", f"remount,hidepid=invisible,gid={group}", "/proc")
        try:
            for selector in ("--pattern=g:^psstatcheck-py", f"--pid=g:{service.pid}"):
                sampled(selector).lacks(None, "W! no line for g", "hidepid", "gid=", "CAP_SYS_PTRACE")
                said = sampled(selector, properties=[f"SupplementaryGroups={OWNER}"])
                require(said.value("n_proc") == 3, said)
                for said in with_each_cure("cap_sys_ptrace", selector):
                    require(said.value("n_proc") == 3, said)
                    said.is_silent()
        finally:
            run("mount", "-o", "remount,hidepid=off,gid=0", "/proc")


@check
def exit_records():
    tried = functools.partial(
        as_telegraf, "execd", "--host=", "--exit-records", "--fields=n_proc", "--pattern=g:^psstatcheck$"
    )
    done = tried()
    require(done.returncode == 1 and done.stderr.startswith("E! --exit-records needs CAP_NET_ADMIN"), done)
    with given_by_setcap("cap_net_admin") as copy:
        cured = [tried(psstat=copy)]
    cured += [tried(properties=["AmbientCapabilities=CAP_NET_ADMIN"]), tried(user="root")]
    for done in cured:
        require(done.returncode == 0 and done.stderr == "", done)
        require(Said(done).value("n_proc") == 0, done)


def main():
    reason = cannot_run()
    if reason:
        print(f"rights: {reason}", file=sys.stderr)
        sys.exit(CANNOT)
    made = subprocess.run(["getent", "passwd", USER], capture_output=True).returncode != 0
    if made:
        run("useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", USER)
    try:
        succeeded = all_succeed(sys.argv[2:])
    finally:
        if made:
            run("userdel", USER)
    sys.exit(0 if succeeded else 1)


main()
