"""A process that holds its memory lock for ever, as during a page fault on a file server that is down.

Prints its pid when the kernel no longer answers for it, and ends when standard input ends. With arguments,
runs them as a program that sees a file /mnt/silent/file whose reading never ends, and ends with it.

It mounts a FUSE file system in namespaces of its own, and serves everything but reads. One thread then
has the kernel read a page of a mapped file, which takes the lock for reading. Another asks for the lock for
writing. Whoever asks after it waits.
"""
import ctypes, os, signal, struct, subprocess, sys, threading, time

CLONE_NEWNS, CLONE_NEWUSER, MS_REC, MS_PRIVATE = 0x20000, 0x10000000, 0x4000, 0x40000
LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, INIT, INTERRUPT = 1, 2, 3, 14, 15, 17, 26, 36
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p


def require(result, what):
    if result != 0:
        os.write(1, f"skip: {what}: {os.strerror(ctypes.get_errno())}\n".encode())
        os._exit(0)


def attributes(node):
    mode, links = (0o40755, 2) if node == 1 else (0o100644, 1)
    return struct.pack("=6Q3I7I", node, 1 << 20, 0, 0, 0, 0, 0, 0, 0, mode, links, 0, 0, 0, 4096, 0)


def serve(device):
    while True:
        request = os.read(device, 1 << 20)
        _, operation, unique, node = struct.unpack_from("=2I2Q", request)
        if operation in (READ, INTERRUPT, FORGET):
            continue
        error, body = 0, b""
        if operation == INIT:
            body = struct.pack("=4I2H2I2H8I", 7, 31, 0, 0, 0, 0, 65536, 1, 0, 0, *[0] * 8)
        elif operation == LOOKUP:
            body = struct.pack("=4Q2I", 2, 0, 1000, 1000, 0, 0) + attributes(2)
        elif operation == GETATTR:
            body = struct.pack("=Q2I", 1000, 0, 0) + attributes(node)
        elif operation == OPEN:
            body = struct.pack("=Q2I", 0, 0, 0)
        elif operation == STATFS:
            body = bytes(80)
        else:
            error = -38
        os.write(device, struct.pack("=IiQ", 16 + len(body), error, unique) + body)


def hold_lock():
    file = os.open("/mnt/silent/file", os.O_RDONLY)
    page = libc.mmap(None, 1 << 20, 1, 2, file, ctypes.c_long(0))
    memory = os.open("/proc/self/mem", os.O_RDONLY)
    threading.Thread(target=lambda: os.pread(memory, 8, page)).start()
    time.sleep(0.5)
    threading.Thread(target=lambda: libc.mmap(None, 4096, 1, 0x22, -1, ctypes.c_long(0))).start()
    time.sleep(10000)


def mount():
    user, group = os.getuid(), os.getgid()
    require(libc.unshare(CLONE_NEWUSER | CLONE_NEWNS), "user namespaces")
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    try:
        device = os.open("/dev/fuse", os.O_RDWR)
    except OSError as error:
        os.write(1, f"skip: /dev/fuse: {error.strerror}\n".encode())
        os._exit(0)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    require(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount /")
    require(libc.mount(b"tmpfs", b"/mnt", b"tmpfs", 0, None), "mount tmpfs")
    os.mkdir("/mnt/silent")
    require(libc.mount(b"x", b"/mnt/silent", b"fuse", 0, options), "mount FUSE")
    return device


def is_silent(pid):
    """Whether the kernel does not answer for the process. Only a reader that can be killed finds that out."""
    reader = subprocess.Popen(["cat", f"/proc/{pid}/cmdline"], stdout=subprocess.DEVNULL)
    try:
        reader.wait(timeout=0.5)
        return False
    except subprocess.TimeoutExpired:
        reader.kill()
        reader.wait()
        return True


def main():
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ready)
        device = mount()
        server = os.fork()
        if server == 0:
            os.close(tell)
            serve(device)
        os.close(device)
        os.write(tell, f"{server}\n".encode())
        os.close(tell)
        if len(sys.argv) > 1:
            program = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)
            os.write(1, program.stdout.read())
            # Not even SIGKILL ends a read that the server has taken, but the end of the server does.
            os.kill(server, signal.SIGKILL)
            os._exit(program.wait())
        hold_lock()
    os.close(tell)
    server = os.read(ready, 100)
    if not server:
        os.waitpid(child, 0)
        return 0
    if len(sys.argv) > 1:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        while not is_silent(child):
            time.sleep(0.1)
        print(child, flush=True)
        sys.stdin.read()
    finally:
        for pid in (child, int(server)):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(child, 0)


sys.exit(main())
