//! A directory that looks like a procfs, written process by process.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What the made-up machine has of memory, in pages: a page of a group is `0.000001` of it.
pub const MEMORY_PAGES: u64 = 1_000_000;

/// The processes of a made-up machine.
pub struct FakeProc {
    dir: TempDir,
}

/// One process; what differs from [`Process::new`] is set by field.
#[derive(Clone, Debug)]
pub struct Process {
    pub pid: u32,
    pub parent: u32,
    pub comm: Vec<u8>,
    pub state: char,
    pub threads: u64,
    /// In ticks since boot.
    pub start: u64,
    /// Ticks of its own; half of them, rounded down, in kernel mode.
    pub own: u64,
    /// Ticks of children that it has waited for, in user mode, as the kernel prints them: signed.
    pub children: i64,
    /// Major page faults of its own, and of children that it has waited for.
    pub faults: (u64, u64),
    /// Pages.
    pub resident: u64,
    /// Those of them that are shared.
    pub shared: u64,
    /// Arguments, each ended by a NUL.
    pub cmdline: Vec<u8>,
    pub exe: Option<PathBuf>,
    pub effective_uid: u32,
    /// Proportional share, in KiB.
    pub pss: Option<u64>,
    /// Swapped memory, in KiB.
    pub swap: u64,
}

impl Process {
    /// A process as old as the machine that has used nothing.
    pub fn new(pid: u32, parent: u32, comm: impl AsRef<[u8]>) -> Process {
        Process {
            pid,
            parent,
            comm: comm.as_ref().to_vec(),
            state: 'S',
            threads: 1,
            start: 1,
            own: 0,
            children: 0,
            faults: (1, 2),
            resident: 0,
            shared: 0,
            cmdline: Vec::new(),
            exe: None,
            effective_uid: 0,
            pss: None,
            swap: 0,
        }
    }

    /// The line of `stat`: 52 fields (proc_pid_stat(5)).
    pub fn stat(&self) -> Vec<u8> {
        let Process { pid, parent, state, threads, start, own, children, .. } = self;
        let (faults, children_faults) = self.faults;
        let (user, system) = (own - own / 2, own / 2);
        let mut line = format!("{pid} (").into_bytes();
        line.extend_from_slice(&self.comm);
        line.extend_from_slice(
            format!(
                ") {state} {parent} {pid} {pid} 0 -1 4194560 100 200 {faults} {children_faults} {user} {system} \
                 {children} 0 20 0 {threads} 0 {start} 1048576 50 18446744073709551615 1 1 0 0 0 \
                 0 4096 17475 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
            )
            .as_bytes(),
        );
        line
    }

    fn status(&self) -> String {
        let Process { effective_uid: uid, swap, .. } = self;
        format!(
            "Name:\tx\nUmask:\t0022\nState:\tS (sleeping)\nUid:\t4000\t{uid}\t4001\t4002\n\
             VmSwap:\t{swap:>8} kB\n"
        )
    }
}

impl FakeProc {
    /// A machine with a process 1 and [`MEMORY_PAGES`] of memory.
    pub fn new() -> FakeProc {
        let tree = FakeProc { dir: tempfile::tempdir().unwrap() };
        let kib = MEMORY_PAGES * rustix::param::page_size() as u64 / 1024;
        tree.write("meminfo", format!("MemTotal:       {kib} kB\nMemFree:        12 kB\n"));
        tree.write("sys/kernel/random/boot_id", "6f9eb6b5-5a5b-4b5e-9d3b-6f2f3c1d1c10\n");
        tree.add(&Process::new(1, 0, "init"));
        tree
    }

    /// Where it is, for `--proc`.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The path of a file in it.
    pub fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }

    /// Writes any file of it, and the directories above.
    pub fn write(&self, name: impl AsRef<Path>, text: impl AsRef<[u8]>) {
        let path = self.file(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Adds a process, or changes the one of that pid.
    pub fn add(&self, process: &Process) {
        let directory = PathBuf::from(process.pid.to_string());
        self.write(directory.join("stat"), process.stat());
        let Process { resident, shared, .. } = process;
        self.write(directory.join("statm"), format!("9999 {resident} {shared} 1 0 200 0\n"));
        self.write(directory.join("cmdline"), &process.cmdline);
        self.write(directory.join("status"), process.status());
        if let Some(kib) = process.pss {
            let text = format!(
                "00400000-7ff000 ---p 00000000 00:00 0 [rollup]\nRss: 9 kB\nPss:{kib:>20} kB\n"
            );
            self.write(directory.join("smaps_rollup"), text);
        }
        let exe = self.file(directory.join("exe"));
        let _ = std::fs::remove_file(&exe);
        if let Some(target) = &process.exe {
            std::os::unix::fs::symlink(target, exe).unwrap();
        }
    }

    /// Lets a process have read and written so many bytes of storage.
    pub fn set_io(&self, pid: u32, read: impl Display, written: impl Display) {
        let text = format!(
            "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: {read}\nwrite_bytes: {written}\n\
             cancelled_write_bytes: 5\n"
        );
        self.write(format!("{pid}/io"), text);
    }

    /// Lets a process have just these threads, each switched away from so many times.
    pub fn set_threads(&self, pid: u32, threads: &[(u32, u64)]) {
        let _ = std::fs::remove_dir_all(self.file(format!("{pid}/task")));
        for (tid, count) in threads {
            let (asked, forced) = (count - count / 3, count / 3);
            let text = format!(
                "Name:\tx\nGroups:\t{}\nvoluntary_ctxt_switches:\t{asked}\n\
                 nonvoluntary_ctxt_switches:\t{forced}\n",
                // A user may be in so many groups that they fill more than one reading.
                "1234567 ".repeat(1000),
            );
            self.write(format!("{pid}/task/{tid}/status"), text);
        }
    }

    /// Lets a process have so many files open.
    pub fn set_open_files(&self, pid: u32, count: u32) {
        let _ = std::fs::remove_dir_all(self.file(format!("{pid}/fd")));
        std::fs::create_dir(self.file(format!("{pid}/fd"))).unwrap();
        for fd in 0..count {
            self.write(format!("{pid}/fd/{fd}"), "");
        }
    }

    /// Adds some.
    pub fn add_all(&self, processes: &[Process]) {
        processes.iter().for_each(|process| self.add(process));
    }

    /// Lets a process end.
    pub fn remove(&self, pid: u32) {
        std::fs::remove_dir_all(self.file(pid.to_string())).unwrap();
    }
}
