"""A server that loads 120 MiB and forks nine workers, which only read it."""

import os
import signal

# The names of processes select it too, and there are other programs in Python.
with open("/proc/self/comm", "w") as comm:
    comm.write("preloading")
data = bytearray(os.urandom(1 << 20) * 120)
told, tell = os.pipe()
for _ in range(9):
    if os.fork() == 0:
        sum(data[::4096])
        os.write(tell, b"x")
        signal.pause()
for _ in range(9):
    os.read(told, 1)
with open("/run/preloading.pid", "w") as file:
    file.write(f"{os.getpid()}\n")
signal.pause()
