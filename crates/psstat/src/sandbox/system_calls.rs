//! Which system calls may be made: seccomp(2).
//!
//! The filter names calls that psstat never makes, and they fail with `EPERM`. It does not name the calls
//! that psstat makes and forbid all others: these depend on the C library, and a call that a newer library
//! makes would end psstat.

use super::filter::{self, Check, Verdict};
use super::remaining::Remaining;
use nix::libc;
use psstat_core::emit::Format;
use rustix::io::Errno;
use std::collections::BTreeMap;

/// Calls that neither psstat nor getent(1) makes: they change the system, other processes or the rights of
/// this one.
const NEVER: &[libc::c_long] = &[
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    // Mounts and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    // The kernel and the machine.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    // Interfaces of the kernel that have had many errors.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // Users and devices.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    libc::SYS_mknodat,
    libc::SYS_open_by_handle_at,
];

/// Calls that psstat does not make unless it asks getent(1).
const NOT_ALONE: &[libc::c_long] = &[
    // Programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_memfd_create,
    libc::SYS_personality,
    // Sockets. The two that signals are written to are open.
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    // Signals to other processes.
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_pidfd_send_signal,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    // Owners, names and terminals.
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_mkdirat,
    libc::SYS_setxattr,
    libc::SYS_fsetxattr,
    libc::SYS_lsetxattr,
    libc::SYS_ioctl,
];

/// Calls that receive messages. psstat makes only the first, and only for exit records.
const RECEIVING: &[libc::c_long] = &[libc::SYS_recvfrom, libc::SYS_recvmsg, libc::SYS_recvmmsg];

/// Older forms of these calls that newer architectures do not have.
#[cfg(target_arch = "x86_64")]
const OLDER: &[libc::c_long] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_link,
    libc::SYS_symlink,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_mknod,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_kexec_file_load,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[libc::c_long] = &[];

/// Calls that change a file. psstat makes them only for `--output`.
const WRITING: &[libc::c_long] = &[
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlinkat,
    libc::SYS_truncate,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_openat2,
];

#[cfg(target_arch = "x86_64")]
const OLDER_WRITING: &[libc::c_long] =
    &[libc::SYS_rename, libc::SYS_unlink, libc::SYS_chmod, libc::SYS_creat];
#[cfg(not(target_arch = "x86_64"))]
const OLDER_WRITING: &[libc::c_long] = &[];

/// Installs the filter, in all threads. Does nothing if the kernel has no filters.
pub fn restrict(remaining: Remaining<'_>) -> Result<(), seccompiler::Error> {
    let Some(program) = filter::program(&rules(remaining)) else { return Ok(()) };
    match seccompiler::apply_filter_all_threads(&program) {
        Err(seccompiler::Error::Seccomp(error)) if is_missing(&error) => Ok(()),
        result => result,
    }
}

/// Whether the kernel has no filters: no seccomp(2) before Linux 3.17, or not built in.
fn is_missing(error: &std::io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOSYS | Errno::INVAL))
}

/// Which calls are forbidden.
fn rules(remaining: Remaining<'_>) -> BTreeMap<u32, Verdict> {
    let mut rules = BTreeMap::new();
    let mut add = |calls: &[libc::c_long], verdict: &Verdict| {
        let numbers = calls.iter().filter_map(|&call| u32::try_from(call).ok());
        rules.extend(numbers.map(|number| (number, verdict.clone())));
    };
    add(NEVER, &Verdict::Forbid);
    if remaining.asks_getent() {
        return rules;
    }
    add(NOT_ALONE, &Verdict::Forbid);
    add(OLDER, &Verdict::Forbid);
    add(if remaining.receives { &RECEIVING[1..] } else { RECEIVING }, &Verdict::Forbid);
    let maps = [libc::SYS_mmap, libc::SYS_mprotect, libc::SYS_pkey_mprotect];
    add(&maps, &Verdict::ForbidIf(vec![Check::bits(2, libc::PROT_EXEC, libc::PROT_EXEC)]));
    // abort(3) sends a signal to its own process.
    add(&[libc::SYS_tgkill], &Verdict::ForbidIf(vec![Check::is_not(0, std::process::id())]));
    if remaining.plan.format == Format::Table && remaining.output.is_none() {
        // The window of the terminal can change.
        let size = u32::try_from(libc::TIOCGWINSZ).unwrap_or_default();
        add(&[libc::SYS_ioctl], &Verdict::ForbidIf(vec![Check::is_not(1, size)]));
    }
    if remaining.output.is_none() {
        add(WRITING, &Verdict::Forbid);
        add(OLDER_WRITING, &Verdict::Forbid);
        add(&[libc::SYS_openat], &opening_for_writing(2));
        #[cfg(target_arch = "x86_64")]
        add(&[libc::SYS_open], &opening_for_writing(1));
    }
    rules
}

/// Forbids to open a file for writing, or to create it. `flags` is the index of that argument.
fn opening_for_writing(flags: u32) -> Verdict {
    Verdict::ForbidIf(vec![
        Check::bits(flags, libc::O_ACCMODE, libc::O_WRONLY),
        Check::bits(flags, libc::O_ACCMODE, libc::O_RDWR),
        Check::bits(flags, libc::O_CREAT, libc::O_CREAT),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Invocation, parse};
    use crate::files::config::ReadConfigError;
    use crate::job::Job;
    use crate::settings::Surroundings;
    use seccompiler::sock_filter;
    use std::ffi::OsString;

    /// What the filter of a job decides of a call: `true` if it may be made.
    fn allows(args: &[&str], call: libc::c_long, arguments: [u64; 6]) -> bool {
        let surroundings = Surroundings::made_up(|_| Err(ReadConfigError::TooLong));
        let args = [&["psstat", "execd"], args].concat();
        let Ok(Invocation::Execd(job)) = parse(args.iter().map(OsString::from), &surroundings)
        else {
            panic!("{args:?}")
        };
        let Job { plan, mounts, output, exit_records, .. } = &*job;
        let receives = *exit_records;
        let remaining = Remaining { plan, mounts, output: output.as_deref(), receives };
        let verdict = run(&filter::program(&rules(remaining)).unwrap(), call, arguments);
        let forbidden = libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned();
        assert!([libc::SECCOMP_RET_ALLOW, forbidden].contains(&verdict), "{verdict:x}");
        verdict == libc::SECCOMP_RET_ALLOW
    }

    /// Runs a program of the classic BPF (Documentation/networking/filter.rst of the kernel) on a `struct
    /// seccomp_data` (include/uapi/linux/seccomp.h).
    fn run(program: &[sock_filter], call: libc::c_long, arguments: [u64; 6]) -> u32 {
        let arch: u32 = if cfg!(target_arch = "x86_64") { 0xc000_003e } else { 0xc000_00b7 };
        let mut data = [i32::try_from(call).unwrap().to_ne_bytes(), arch.to_ne_bytes()].concat();
        data.extend([0; 8]);
        data.extend(arguments.iter().flat_map(|argument| argument.to_ne_bytes()));
        let (mut value, mut next) = (0, 0);
        loop {
            let step = &program[next];
            next += 1;
            let mut jump = |is_true| next += usize::from(if is_true { step.jt } else { step.jf });
            match step.code {
                0x20 => {
                    let place = usize::try_from(step.k).unwrap();
                    value = u32::from_ne_bytes(data[place..place + 4].try_into().unwrap());
                }
                0x54 => value &= step.k,
                0x05 => next += usize::try_from(step.k).unwrap(),
                0x15 => jump(value == step.k),
                0x25 => jump(value > step.k),
                0x35 => jump(value >= step.k),
                0x06 => return step.k,
                other => panic!("{other:x}"),
            }
        }
    }

    const GROUP: &[&str] = &["--pid=web:1"];
    const UNKNOWN_USER: &[&str] = &["--user=his:nobody-knows-him"];
    const TO_FILE: &[&str] = &["--pid=web:1", "--output=/run/page"];
    const NONE: [u64; 6] = [0; 6];

    fn third(argument: i32) -> [u64; 6] {
        [0, 0, u64::from(argument.cast_unsigned()), 0, 0, 0]
    }

    #[test]
    fn calls_that_change_the_system_are_forbidden() {
        for args in [GROUP, UNKNOWN_USER, TO_FILE] {
            for call in [libc::SYS_ptrace, libc::SYS_mount, libc::SYS_bpf, libc::SYS_setuid] {
                assert!(!allows(args, call, NONE), "{args:?} {call}");
            }
            for call in [libc::SYS_read, libc::SYS_clone3, libc::SYS_exit_group, libc::SYS_capset] {
                assert!(allows(args, call, NONE), "{args:?} {call}");
            }
        }
    }

    #[test]
    fn only_a_job_with_an_unknown_user_may_run_programs() {
        for call in [libc::SYS_execve, libc::SYS_socket, libc::SYS_kill] {
            assert!(!allows(GROUP, call, NONE) && !allows(TO_FILE, call, NONE), "{call}");
            assert!(allows(UNKNOWN_USER, call, NONE), "{call}");
        }
        for call in [libc::SYS_mmap, libc::SYS_mprotect] {
            assert!(!allows(GROUP, call, third(libc::PROT_READ | libc::PROT_EXEC)), "{call}");
            assert!(allows(GROUP, call, third(libc::PROT_READ | libc::PROT_WRITE)), "{call}");
            assert!(allows(UNKNOWN_USER, call, third(libc::PROT_EXEC)), "{call}");
        }
    }

    #[test]
    fn only_a_job_with_an_output_file_may_write_files() {
        for flags in [libc::O_WRONLY, libc::O_RDWR, libc::O_CREAT, libc::O_RDWR | libc::O_CREAT] {
            assert!(!allows(GROUP, libc::SYS_openat, third(flags | libc::O_CLOEXEC)), "{flags:x}");
            assert!(allows(TO_FILE, libc::SYS_openat, third(flags)), "{flags:x}");
        }
        #[cfg(target_arch = "x86_64")]
        assert!(
            allows(GROUP, libc::SYS_open, NONE)
                && !allows(GROUP, libc::SYS_open, [0, 1, 0, 0, 0, 0])
        );
        let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_DIRECTORY;
        assert!(allows(GROUP, libc::SYS_openat, third(flags)));
        assert!(
            !allows(GROUP, libc::SYS_renameat, NONE) && allows(TO_FILE, libc::SYS_renameat, NONE)
        );
    }

    #[test]
    fn only_a_job_with_a_table_may_ask_for_the_size_of_a_terminal() {
        let table = ["--pid=web:1", "--format=table"];
        // The type of a request depends on the C library.
        let control = |request: libc::Ioctl| {
            let request = u32::try_from(request).expect("requests have 32 bits");
            [1, request.into(), 0, 0, 0, 0]
        };
        assert!(allows(&table, libc::SYS_ioctl, control(libc::TIOCGWINSZ)));
        assert!(!allows(&table, libc::SYS_ioctl, control(libc::TIOCSTI)));
        assert!(!allows(GROUP, libc::SYS_ioctl, control(libc::TIOCGWINSZ)));
        let to_file = [&table[..], &["--output=/run/page"]].concat();
        assert!(!allows(&to_file, libc::SYS_ioctl, control(libc::TIOCGWINSZ)));
    }

    #[test]
    fn only_a_job_with_exit_records_may_receive_messages() {
        let with_records = [GROUP, &["--exit-records"]].concat();
        assert!(allows(&with_records, libc::SYS_recvfrom, NONE));
        assert!(!allows(GROUP, libc::SYS_recvfrom, NONE));
        for call in [libc::SYS_socket, libc::SYS_bind, libc::SYS_recvmsg] {
            assert!(!allows(&with_records, call, NONE), "{call}: it is open already");
        }
    }

    #[test]
    fn each_call_has_the_verdict_of_its_own_number() {
        let forbidden = [NEVER, NOT_ALONE, OLDER, RECEIVING].concat();
        for call in (0..600).filter(|&call| call != libc::SYS_tgkill) {
            let forbidden = forbidden.contains(&call);
            assert_eq!(allows(TO_FILE, call, [u64::MAX - 7; 6]), !forbidden, "{call}");
        }
        #[cfg(target_arch = "x86_64")]
        for call in [libc::SYS_read, libc::SYS_mount] {
            assert!(!allows(GROUP, 0x4000_0000 | call, NONE), "a call of the x32 interface");
        }
    }

    #[test]
    fn psstat_may_only_signal_itself() {
        let process = |pid: u32| [u64::from(pid), 0, 0, 0, 0, 0];
        assert!(allows(GROUP, libc::SYS_tgkill, process(std::process::id())));
        assert!(!allows(GROUP, libc::SYS_tgkill, process(1)));
    }
}
