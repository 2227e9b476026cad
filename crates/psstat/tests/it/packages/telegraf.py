#!/usr/bin/python3
"""Stands in for Telegraf, which Debian has not: telegraf.py FOLDER OUTPUT INTERVAL

Does with the inputs `exec` and `execd` of every FOLDER/*.conf what Telegraf's documentation says of
them, every INTERVAL seconds until SIGTERM. What NAME.conf makes psstat print on standard output is
added to OUTPUT/NAME.lines (of an `exec` only where it ended with status 0), what it says on standard
error to OUTPUT/NAME.said.
"""

import pathlib
import shlex
import signal
import subprocess
import sys
import threading
import tomllib

FOLDER, OUTPUT, INTERVAL = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), float(sys.argv[3])
SIGNALS = ("SIGHUP", "SIGUSR1", "SIGUSR2")


def append(name, kind, data):
    with open(OUTPUT / f"{name}.{kind}", "ab") as file:
        file.write(data)


def require(condition, text):
    if not condition:
        sys.exit(f"telegraf.py: {text}")


def run(name, settings):
    """Runs each command of an `exec` once."""
    seconds = float(settings["timeout"].removesuffix("s"))
    for command in settings["commands"]:
        # The old form is one string, split as by a shell; the new one a list of arguments.
        arguments = shlex.split(command) if isinstance(command, str) else command
        try:
            done = subprocess.run(arguments, capture_output=True, timeout=seconds)
        except subprocess.TimeoutExpired:
            append(name, "said", f"E! {arguments} took longer than {seconds} s\n".encode())
            continue
        append(name, "said", done.stderr)
        if done.returncode == 0:
            append(name, "lines", done.stdout)
        else:
            append(name, "said", f"E! status {done.returncode}\n".encode())


class Resident:
    """The process of one `execd`."""

    def __init__(self, name, settings):
        self.signal = settings["signal"]
        require(self.signal in ("none", "STDIN", *SIGNALS), f"{name}: no such signal")
        self.process = subprocess.Popen(
            settings["command"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for kind, stream in (("lines", self.process.stdout), ("said", self.process.stderr)):
            threading.Thread(target=self.copy, args=(name, kind, stream)).start()

    @staticmethod
    def copy(name, kind, stream):
        for line in stream:
            append(name, kind, line)

    def ask(self):
        if self.signal == "STDIN":
            self.process.stdin.write(b"\n")
            self.process.stdin.flush()
        elif self.signal in SIGNALS:
            self.process.send_signal(getattr(signal, self.signal))

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def main():
    commands, residents = [], []
    for path in sorted(FOLDER.glob("*.conf")):
        inputs = tomllib.loads(path.read_text())["inputs"]
        for kind, entries in inputs.items():
            require(kind in ("exec", "execd"), f"{path}: no input {kind}")
            for settings in entries:
                require(settings["data_format"] == "influx", f"{path}: nobody could read it")
                if kind == "exec":
                    commands.append((path.stem, settings))
                else:
                    residents.append(Resident(path.stem, settings))
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    # As Telegraf does, whose first collection comes an interval after its start.
    while not ended.wait(INTERVAL):
        for name, settings in commands:
            run(name, settings)
        for resident in residents:
            resident.ask()
    for resident in residents:
        resident.end()


main()
