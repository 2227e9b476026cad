//! Users: passwd(5) and getent(1).

use crate::host;
use crate::sys::retry;
use nix::sys::signal::{SigSet, SigmaskHow};
use psstat_core::model::units::Uid;
use rustix::fs::{FileType, Mode, OFlags};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long to wait for getent(1). It may ask a server that does not answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asking for a user costs as much as some samples.
const ASK_EVERY: Duration = Duration::from_secs(60);

/// The path of passwd(5), below `HOST_ETC` if that is set.
pub fn passwd() -> PathBuf {
    host::directory("HOST_ETC").unwrap_or_else(|| "/etc".into()).join("passwd")
}

/// So many bytes of passwd(5) are read.
const PASSWD_LIMIT: usize = 1 << 20;

/// The lines of a passwd file. Empty if it cannot be read, or is not a regular file: a FIFO or a device could
/// block, or have no end. If it is too long, the lines at its beginning.
fn read(path: &Path) -> Vec<u8> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = retry(|| rustix::fs::open(path, flags, Mode::empty()));
    let Ok(file) = opened else { return Vec::new() };
    let stat = retry(|| rustix::fs::fstat(&file));
    if !stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile) {
        return Vec::new();
    }
    let mut text = Vec::new();
    // What was read before an error is as good as a shorter file.
    let _ = File::from(file).take(PASSWD_LIMIT as u64).read_to_end(&mut text);
    if text.len() == PASSWD_LIMIT {
        // A part of a line could have a part of a number.
        let end = text.iter().rposition(|&byte| byte == b'\n').unwrap_or_default();
        text.truncate(end);
    }
    text
}

/// Looks up a user in passwd(5), below `HOST_ETC` if that is set.
pub fn find_local(name: &str) -> Option<Uid> {
    uid_of(name, &read(&passwd()))
}

/// The names of the users that passwd(5) has, by their ids. Of several with the same id, the first.
pub fn names() -> BTreeMap<u32, String> {
    let mut names = BTreeMap::new();
    for line in read(&passwd()).split(|&byte| byte == b'\n') {
        let mut fields = line.split(|&byte| byte == b':');
        let (Some(name), Some(uid)) = (fields.next(), fields.nth(1)) else { continue };
        let uid = std::str::from_utf8(uid).ok().and_then(|uid| uid.parse().ok());
        if let (Some(uid), Ok(name)) = (uid, std::str::from_utf8(name))
            && !name.chars().any(char::is_control)
        {
            names.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    names
}

/// The first name of a user in passwd(5), below `HOST_ETC` if that is set.
pub fn name_of(uid: Uid) -> Option<String> {
    names().remove(&uid.0)
}

/// Asks getent(1) for users, because a static binary cannot ask the other sources of the C library itself.
/// Asks for each user once a minute. All clones share the memory of what was asked.
#[derive(Clone, Debug, Default)]
pub struct Getent {
    /// When it was last asked for each user.
    asked: Arc<Mutex<BTreeMap<String, Instant>>>,
}

impl Getent {
    /// Asks for a user. Waits for up to `patience`, and at most a second, and not when the time `is_over`.
    /// `None` also if it was asked less than a minute ago. A name that could be an option or a number is not
    /// asked for.
    pub fn find(&self, name: &str, patience: Duration, is_over: impl Fn() -> bool) -> Option<Uid> {
        let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
        if is_number || name.starts_with('-') || is_over() || !self.is_due(name) {
            return None;
        }
        let mut getent = Command::new("/usr/bin/getent");
        getent.args(["passwd", name]).stdin(Stdio::null()).stderr(Stdio::null());
        uid_of(name, &output(getent, patience.min(PATIENCE), is_over)?)
    }

    /// Whether a user is to be asked for now. Notes that he is.
    fn is_due(&self, name: &str) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.get(name).is_some_and(|asked| asked.elapsed() < ASK_EVERY) {
            return false;
        }
        asked.insert(name.to_owned(), Instant::now());
        true
    }
}

/// The first 4096 bytes that a command writes to standard output. `None` if it does not end within
/// `patience`, or before the time `is_over`. Then it is killed.
fn output(mut command: Command, patience: Duration, is_over: impl Fn() -> bool) -> Option<Vec<u8>> {
    let mut child = spawn_unblocked(command.stdout(Stdio::piped())).ok()?;
    let begin = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(_)) => break,
            Ok(None) if begin.elapsed() <= patience && !is_over() => {}
            _ => {
                kill(child);
                return None;
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut text = Vec::new();
    child.stdout.take()?.take(4096).read_to_end(&mut text).ok()?;
    Some(text)
}

/// Starts a command with no signal blocked. A program inherits the blocked signals of the thread that starts
/// it, and the thread that samples may have blocked some. A signal that comes meanwhile is handled by this
/// thread, as it would be by any other.
fn spawn_unblocked(command: &mut Command) -> io::Result<Child> {
    // The set is valid, so this does not fail.
    let blocked = SigSet::empty().thread_swap_mask(SigmaskHow::SIG_SETMASK);
    let child = command.spawn();
    if let Ok(blocked) = blocked {
        let _ = blocked.thread_set_mask();
    }
    child
}

/// Kills a child. Another thread waits for its end, because it may be stuck in the kernel.
fn kill(mut child: Child) {
    let _ = child.kill();
    // If no thread can be made, the child stays a zombie until psstat ends.
    let _ = std::thread::Builder::new().spawn(move || child.wait());
}

/// The uid of a user in the text of a passwd file.
fn uid_of(name: &str, passwd: &[u8]) -> Option<Uid> {
    passwd.split(|&byte| byte == b'\n').find_map(|line| {
        let mut fields = line.split(|&byte| byte == b':');
        let uid = (fields.next()? == name.as_bytes()).then(|| fields.nth(1)).flatten()?;
        std::str::from_utf8(uid).ok()?.parse().ok().map(Uid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::Signal;

    const LONG: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> Command {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", script]);
        shell
    }

    /// Waits until no child of this process with that pid exists, be it a zombie.
    fn assert_reaped(pid: &str) {
        let begin = Instant::now();
        while Path::new("/proc").join(pid.trim()).exists() {
            assert!(begin.elapsed() < LONG, "{pid} was not reaped");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_command_that_is_killed_is_reaped() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        let script =
            format!("echo $$ > {0}.new && mv {0}.new {0}; exec sleep 1000", file.display());
        for is_stopped in [false, true] {
            let patience = if is_stopped { LONG } else { Duration::ZERO };
            let is_over = || is_stopped && file.exists();
            let begin = Instant::now();
            while !file.exists() {
                // Without patience, it may be killed before it has written its pid.
                let patience = patience.max(begin.elapsed());
                assert_eq!(output(shell(&script), patience, is_over), None);
            }
            assert!(begin.elapsed() < LONG);
            assert_reaped(&std::fs::read_to_string(&file).unwrap());
            std::fs::remove_file(&file).unwrap();
        }
    }

    #[test]
    fn a_command_has_no_signal_blocked() {
        let thread = std::thread::spawn(|| {
            let mut blocked = SigSet::empty();
            blocked.add(Signal::SIGTERM);
            blocked.thread_block().unwrap();
            let status = output(shell("cat /proc/self/status"), LONG, || false).unwrap();
            let status = String::from_utf8(status).unwrap();
            let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
            assert_eq!(blocked.map(str::trim), Some("0000000000000000"));
            let own = SigSet::thread_get_mask().unwrap();
            assert!(own.contains(Signal::SIGTERM), "this thread still has it blocked");
        });
        thread.join().unwrap();
    }

    #[test]
    fn a_user_is_asked_for_once_a_minute_by_all_clones() {
        let getent = Getent::default();
        assert!(getent.is_due("a") && getent.is_due("b"));
        assert!(!getent.clone().is_due("a"));
        let long_ago = Instant::now().checked_sub(ASK_EVERY).expect("the machine runs longer");
        getent.asked.lock().unwrap().insert("a".to_owned(), long_ago);
        assert!(getent.is_due("a") && !getent.is_due("a"));
    }

    #[test]
    fn a_user_is_found_by_name_and_by_id() {
        let name = name_of(Uid(0)).expect("every machine has a user 0");
        assert_eq!(find_local(&name), Some(Uid(0)));
        assert_eq!(name_of(Uid(u32::MAX - 7)), None);
    }

    #[test]
    fn a_passwd_file_that_has_no_end_is_empty() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("passwd");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert!(read(&fifo).is_empty());
        assert!(read(Path::new("/dev/zero")).is_empty());
        assert!(read(directory.path()).is_empty());
    }

    #[test]
    fn a_long_passwd_file_is_read_to_the_last_whole_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut text = b"root:x:0:0\n".repeat(PASSWD_LIMIT / 11);
        text.extend(b"late:x:123456789\n".repeat(2));
        std::fs::write(file.path(), &text).unwrap();
        let lines = read(file.path());
        assert!(lines.len() < PASSWD_LIMIT && lines.len() > PASSWD_LIMIT - 20);
        assert_eq!(uid_of("root", &lines), Some(Uid(0)));
        assert_eq!(uid_of("late", &lines), None);
    }

    #[test]
    fn what_a_command_writes_is_its_output() {
        assert_eq!(output(shell("echo x; exit 2"), LONG, || false), Some(b"x\n".to_vec()));
        assert_eq!(output(Command::new("/no/such/program"), LONG, || false), None);
    }
}
