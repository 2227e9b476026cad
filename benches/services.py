"""Starts real services under load, to take samples of. Each service is a group of processes.

The services listen on free ports of 127.0.0.1 and have their files in one directory. Services that are
not installed are skipped.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# Four workers. Each uses a different share of a processor.
APP = """
import os, random, sys, time
part = 0.0
for worker in range(4):
    if os.fork() == 0:
        part = 0.05 + 0.1 * worker
        break
while os.getppid() != 1:
    end = time.monotonic() + random.uniform(0, 0.2 * part)
    while time.monotonic() < end:
        pass
    time.sleep(0.1)
"""

# Starts children that live for a short time, as cron, CI and CGI do.
JOBS = """
while :; do
    sh -c 'i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; sleep 0.2'
    sleep 0.1
done
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def services(directory: Path) -> Iterator[dict[str, int]]:
    """Starts all installed services. Yields the name and the first pid of each."""
    started: dict[str, subprocess.Popen] = {}
    clients: list[threading.Thread] = []
    done = threading.Event()

    def start(name: str, argv: list[str | Path], **options: object) -> None:
        with open(directory / f"{name}.log", "w") as log:
            started[name] = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory,
                start_new_session=True, **options,
            )

    def client(ask: Callable[[], None]) -> None:
        def repeat() -> None:
            while not done.wait(0.05):
                try:
                    ask()
                except OSError:
                    pass  # The service has not started yet, or has stopped.

        clients.append(threading.Thread(target=repeat, daemon=True))

    try:
        if nginx := shutil.which("nginx", path="/usr/sbin:/usr/bin"):
            port = free_port()
            (directory / "nginx.conf").write_text(nginx_config(directory, port))
            start("web", [nginx, "-c", directory / "nginx.conf", "-e", directory / "web.error"])
            client(lambda: [talk(port, b"GET / HTTP/1.0\r\n\r\n") for _ in range(50)])
        if redis := shutil.which("redis-server"):
            redis_port = free_port()
            argv = [redis, "--bind", "127.0.0.1", "--port", str(redis_port), "--save", ""]
            start("cache", argv)
            client(lambda: talk(redis_port, b"SET a 1\r\n" * 5000 + b"QUIT\r\n"))
        postgres = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        if postgres and os.geteuid() == 0:
            program = postgres[-1]
            data, port_of_db = directory / "db", free_port()
            data.mkdir()
            shutil.chown(data, "postgres")
            as_postgres = {"user": "postgres", "cwd": "/"}
            subprocess.run(
                [program.parent / "initdb", "-D", data, "--auth=trust", "--no-sync"],
                check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **as_postgres,
            )
            options = ["-c", "listen_addresses=127.0.0.1", "-c", f"port={port_of_db}"]
            options += ["-c", f"unix_socket_directories={data}"]
            start("db", [program, "-D", data, *options], user="postgres")
            sql = "select count(*) from generate_series(1, 100000)"
            psql = [program.parent / "psql", "-q", "-h", "127.0.0.1", "-p", str(port_of_db)]
            psql += ["-U", "postgres", "-c", sql]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            client(lambda: subprocess.run(psql, **quiet, **as_postgres) and None)
        start("app", [sys.executable, "-c", APP])
        start("jobs", ["/bin/sh", "-c", JOBS])
        for thread in clients:
            thread.start()
        time.sleep(3)
        for name, process in started.items():
            if process.poll() is not None:
                log = (directory / f"{name}.log").read_text()
                raise OSError(f"{name} ended with status {process.returncode}: {log}")
        yield {name: process.pid for name, process in started.items()}
    finally:
        done.set()
        for thread in clients:
            if thread.is_alive():
                thread.join()
        for process in started.values():
            end(process)


def end(process: subprocess.Popen) -> None:
    """Ends a service and its children: all processes of its session."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def talk(port: int, request: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as stream:
        stream.sendall(request)
        while stream.recv(65536):
            pass


def nginx_config(directory: Path, port: int) -> str:
    kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    temporary = "".join(f"{kind}_temp_path {directory}/{kind};\n" for kind in kinds)
    return f"""
        worker_processes 4; daemon off; pid {directory}/nginx.pid; error_log {directory}/web.error;
        events {{}}
        http {{
            access_log off; {temporary}
            server {{ listen 127.0.0.1:{port}; root {directory}; }}
        }}
    """
