//! The system calls of a run, and how each can fail.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::slice;

/// How each call can fail, one at a time: errors that the kernel returns for it, wherever the file is.
const ERRORS: &[(&str, &[&str])] = &[
    ("openat", OPEN),
    ("open", OPEN),
    ("read", &["EIO", "ENOMEM", "EINTR", "ESRCH", "EACCES"]),
    ("pread64", &["EIO", "ENOMEM", "EINTR", "ESRCH"]),
    ("getdents64", &["EIO", "ENOMEM", "ENOENT", "EINTR"]),
    ("lseek", &["EIO", "EINVAL"]),
    ("newfstatat", STAT),
    ("fstat", &["ENOMEM", "EIO", "EINTR"]),
    ("fstatfs", &["ENOMEM", "EIO", "EINTR", "ENOSYS"]),
    ("statx", STAT),
    ("readlink", LINK),
    ("readlinkat", LINK),
    ("write", &["ENOSPC", "EIO", "EPIPE", "EAGAIN", "EINTR"]),
    ("flock", &["EINTR", "ENOLCK", "EAGAIN"]),
    ("ftruncate", &["EIO", "EINTR", "ENOSPC"]),
    ("fchmod", &["EPERM", "EIO", "EROFS", "EINTR"]),
    ("rename", RENAME),
    ("renameat", RENAME),
    ("unlink", &["EIO", "EACCES", "EINTR"]),
    ("close", &["EIO", "EINTR"]),
    ("dup2", &["EIO", "EINTR"]),
    ("fcntl", &["EMFILE", "EPERM"]),
    ("ioctl", &["ENOTTY", "EIO"]),
    ("poll", POLL),
    ("ppoll", POLL),
    ("clock_gettime", &["EINVAL"]),
    ("clock_nanosleep", &["EINTR"]),
    ("timerfd_create", &["EMFILE", "ENFILE", "ENOMEM"]),
    ("timerfd_settime", &["EINVAL", "ENOMEM"]),
    ("socketpair", &["EMFILE", "ENFILE", "ENOMEM"]),
    ("sendto", &["EAGAIN", "EPIPE"]),
    ("recvfrom", &["EAGAIN", "EINTR"]),
    ("seccomp", &["EINVAL", "ENOMEM", "EACCES"]),
    ("landlock_create_ruleset", &["ENOSYS", "EOPNOTSUPP", "ENOMEM", "EMFILE"]),
    ("landlock_add_rule", &["ENOMEM", "EINVAL"]),
    ("landlock_restrict_self", &["ENOMEM", "E2BIG", "EPERM"]),
    ("capset", &["EPERM"]),
    ("mmap", &["ENOMEM", "EAGAIN"]),
    ("brk", &["ENOMEM"]),
    ("mremap", &["ENOMEM"]),
    ("munmap", &["ENOMEM"]),
    ("mprotect", &["ENOMEM"]),
    ("madvise", &["ENOMEM", "EINVAL"]),
    ("clone3", &["EAGAIN", "ENOMEM", "ENOSYS"]),
    ("clone", &["EAGAIN", "ENOMEM"]),
    ("vfork", &["EAGAIN", "ENOMEM"]),
    ("pipe2", &["EMFILE", "ENFILE"]),
    ("wait4", &["EINTR"]),
    ("futex", &["EAGAIN", "EINTR"]),
    ("sigaltstack", &["ENOMEM"]),
    ("prctl", &["EINVAL", "EPERM"]),
    ("getrandom", &["ENOSYS", "EINTR"]),
    ("sched_getaffinity", &["ENOSYS", "EPERM"]),
    ("rseq", &["ENOSYS", "EPERM"]),
    ("set_robust_list", &["ENOSYS"]),
    ("nanosleep", &["EINTR"]),
];

const POLL: &[&str] = &["EINTR", "ENOMEM", "EINVAL"];
const RENAME: &[&str] = &["EIO", "ENOSPC", "EACCES", "EINTR"];
const OPEN: &[&str] = &["EMFILE", "ENFILE", "ENOMEM", "EINTR", "EIO", "EACCES", "ENOENT", "ESRCH"];
const STAT: &[&str] = &["ENOMEM", "EIO", "EACCES", "ENOENT", "EINTR"];
const LINK: &[&str] = &["ENOMEM", "EIO", "EACCES", "ENOENT", "EINTR"];

/// Calls that do not fail with the arguments that psstat and the C library give them.
const CANNOT_FAIL: [&str; 20] = [
    "capget",
    "getuid",
    "getgid",
    "getegid",
    "prlimit64",
    "rt_sigaction",
    "rt_sigprocmask",
    "sched_yield",
    "restart_syscall",
    "uname",
    "execve",
    "arch_prctl",
    "set_tid_address",
    "exit",
    "exit_group",
    "getpid",
    "gettid",
    "geteuid",
    "getppid",
    "rt_sigreturn",
];

/// A call of a run: its name, what it is about, and which call of that name of its thread it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    pub name: String,
    about: String,
    number: usize,
}

impl Call {
    /// Whether what it is about contains `text`.
    pub fn is_about(&self, text: &str) -> bool {
        self.about.contains(text)
    }
}

/// A call that fails.
#[derive(Clone, Debug)]
pub struct Fault {
    pub call: Call,
    pub error: &'static str,
}

impl Fault {
    /// The options of strace. Other calls are not traced, which is faster.
    pub fn options(&self) -> Vec<String> {
        let Fault { call: Call { name, number, .. }, error } = self;
        let inject = format!("inject={name}:error={error}:when={number}");
        ["-y", "--seccomp-bpf", "-e", &format!("trace={name}"), "-e", &inject]
            .map(str::to_owned)
            .into()
    }

    /// The fault with what the call that failed was about, according to the log of strace. `None` if none
    /// failed.
    pub fn as_it_happened(&self, log: &str) -> Option<Fault> {
        let line = log.lines().find(|line| line.contains("(INJECTED)"))?;
        let call = Call { about: line.to_owned(), ..self.call.clone() };
        Some(Fault { call, ..self.clone() })
    }

    /// Whether the error says that a control group is gone. If it is there again later, it is another one,
    /// and all that its counter shows has been used since.
    pub fn removes_control_group(&self) -> bool {
        self.error == "ENOENT" && self.call.is_about("fs/cgroup")
    }

    /// Whether the error says that the process, or what the file is about, is gone. Then psstat is right to
    /// leave it out.
    pub fn says_gone(&self) -> bool {
        matches!(self.error, "ENOENT" | "ESRCH")
            || (self.call.name.as_str(), self.error) == ("clock_gettime", "EINVAL")
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { call: Call { name, about, number }, error } = self;
        write!(f, "{error} from {name} number {number}, {name}({about}")
    }
}

/// The calls in a log of strace. `without_names` replaces what differs from run to run.
pub fn read(log: &str, without_names: impl Fn(&str) -> String) -> Vec<Call> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in log.lines() {
        let (thread, rest) = line.split_once(' ').unwrap();
        let rest = rest.trim_start();
        let Some((name, about)) = rest.split_once('(') else { continue };
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let count = counts.entry((thread, name)).or_default();
        *count += 1;
        let about = about.rsplit_once(" = ").map_or(about, |(about, _)| about);
        let about = without_numbers(&without_names(about.trim_end()));
        calls.push(Call { name: name.to_owned(), about, number: *count });
    }
    calls
}

/// The text with every number replaced.
fn without_numbers(text: &str) -> String {
    let mut result = String::new();
    let mut characters = text.chars().peekable();
    let mut is_in_word = false;
    while let Some(character) = characters.next() {
        if character.is_ascii_digit() && !is_in_word {
            while characters.next_if(|next| next.is_ascii_alphanumeric()).is_some() {}
            result.push('#');
        } else {
            result.push(character);
            is_in_word = character.is_ascii_alphabetic();
        }
    }
    result
}

/// The faults to try. If not all, one of the calls of each kind with each error, or with one of them.
pub fn choose(calls: &[Call], is_all: bool, has_each_error: bool) -> Vec<Fault> {
    let mut kinds: BTreeMap<(&str, &str), Vec<&Call>> = BTreeMap::new();
    for call in calls {
        if !CANNOT_FAIL.contains(&call.name.as_str()) {
            kinds.entry((&call.name, &call.about)).or_default().push(call);
        }
    }
    let mut faults = Vec::new();
    let mut turn = 0;
    for ((name, _), calls) in kinds {
        let errors = ERRORS.iter().find(|(known, _)| *known == name);
        let (_, errors) = errors.unwrap_or_else(|| panic!("how can {name} fail? Add it to ERRORS"));
        let one = errors.get(turn % errors.len().max(1));
        let errors =
            if is_all || has_each_error { errors } else { one.map_or(&[][..], slice::from_ref) };
        for error in errors {
            let mut add = |call: &Call| {
                let fault = Fault { call: call.clone(), error };
                if !fault.removes_control_group() {
                    faults.push(fault);
                }
            };
            if is_all {
                calls.iter().for_each(|call| add(call));
            } else {
                // The first, the last, and one between, by turns.
                let index = [0, calls.len() - 1, turn * 7 % calls.len()][turn % 3];
                add(calls[index]);
                turn += 1;
            }
        }
    }
    faults
}
