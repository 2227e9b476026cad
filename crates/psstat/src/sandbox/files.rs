//! Which files may be opened: landlock(7).

use super::remaining::Remaining;
use crate::blocking::within::within;
use crate::files::{glob, replace};
use crate::procfs;
use crate::users;
use landlock::{
    ABI, Access, AccessFs, AccessNet, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, Scope,
};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The newest version of Landlock that psstat knows. On an older kernel, the rules of its version hold.
const NEWEST: ABI = ABI::V6;

/// Where programs put their pid files, often in a directory that is removed while they do not run.
const RUN: &str = "/run";

/// How long to wait for the directories of pid files, which can be on a file server that does not answer.
const PATIENCE: Duration = Duration::from_millis(250);

/// Allows to read procfs, sysfs, the directories of pid files, and that of passwd(5) if groups are named after
/// users, and to replace the output file. Forbids all
/// other files, TCP, and signals to other processes. Does nothing if the kernel cannot do that, or if
/// restricted reads would miss processes.
pub fn restrict(remaining: Remaining<'_>) -> Result<(), RulesetError> {
    let rules = rules(remaining)?;
    if rules_hide_processes(&rules, &remaining.mounts.proc) {
        return Ok(());
    }
    rules.restrict_self()?;
    replace::set_restricted();
    Ok(())
}

fn rules(remaining: Remaining<'_>) -> Result<RulesetCreated, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let replace =
        read | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg | AccessFs::RemoveFile;
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    let mut readable = vec![
        remaining.mounts.proc.clone(),
        remaining.mounts.sys.clone(),
        // A pid file is opened by way of `/proc/self/fd`.
        PathBuf::from("/proc"),
    ];
    if remaining.plan.selectors.name_users() {
        // Who changes passwd(5) replaces the file.
        readable.push(directory_of(&users::passwd()).to_owned());
    }
    let pid_files = remaining.plan.pid_files();
    let pid_files: Vec<PathBuf> = pid_files.map(|path| OsStr::from_bytes(path).into()).collect();
    if !pid_files.is_empty() {
        readable.push(PathBuf::from(RUN));
    }
    let output = remaining.output.map(|file| directory_of(file).to_owned());
    // What does not answer is left out: it can be used when psstat is started again.
    let open = move || {
        let mut readable = readable.clone();
        readable.extend(pid_files.iter().flat_map(|path| directories(path)));
        // What matches a glob can be a symbolic link to a file elsewhere.
        let of_glob = |path: &PathBuf| glob::find(path.as_os_str().as_bytes()).unwrap_or_default();
        let matching = pid_files.iter().filter(|path| glob::is_glob(path.as_os_str().as_bytes()));
        let matching = matching.flat_map(of_glob);
        readable.extend(matching.flat_map(|path| directories(Path::new(OsStr::from_bytes(&path)))));
        readable.sort_unstable();
        readable.dedup();
        let readable: Vec<PathFd> = readable.iter().filter_map(open).collect();
        (readable, output.as_ref().and_then(open))
    };
    let (readable, output) = within(PATIENCE, open).unwrap_or_default();
    for directory in readable {
        rules = rules.add_rule(PathBeneath::new(directory, read))?;
    }
    match output {
        Some(directory) => rules.add_rule(PathBeneath::new(directory, replace)),
        None => Ok(rules),
    }
}

/// The directory of a pid file, and if the file is a symbolic link, that of the file to which it leads. If a
/// directory does not exist yet, or is a glob, the nearest one above it that exists.
fn directories(pid_file: &Path) -> Vec<PathBuf> {
    let target = std::fs::canonicalize(pid_file).ok();
    let paths = [Some(pid_file), target.as_deref()];
    let existing =
        |path: &Path| path.ancestors().skip(1).find(|above| existing(above)).map(non_empty);
    fn existing(path: &Path) -> bool {
        non_empty(path).is_dir()
    }
    fn non_empty(path: &Path) -> PathBuf {
        if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() }
    }
    paths.into_iter().flatten().filter_map(existing).collect()
}

fn directory_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Opens a directory for a rule. One that cannot be opened is left out: psstat could not use it either.
fn open(path: &PathBuf) -> Option<PathFd> {
    PathFd::new(path).ok()
}

/// Whether a process with these rules does not see process 1. If procfs is mounted with `hidepid`, it shows
/// only processes that its reader may trace, which Landlock forbids. Tries it in a thread, because a
/// restriction holds for a thread and cannot be taken back.
fn rules_hide_processes(rules: &RulesetCreated, proc: &Path) -> bool {
    let Ok(rules) = rules.try_clone() else { return true };
    let proc = proc.to_owned();
    let tried = std::thread::Builder::new()
        .spawn(move || rules.restrict_self().is_ok() && procfs::shows_init(&proc));
    let sees_init = tried.is_ok_and(|thread| thread.join().unwrap_or(false));
    !sees_init
}
