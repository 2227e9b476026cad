//! Waiting within a limit. No test depends on how long anything takes; one that hangs fails, and
//! says what it has waited for.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{Error, ErrorKind, Read, Result};
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// Nothing that a test waits for takes longer, however slow and busy the machine.
pub const LIMIT: Duration = Duration::from_secs(600);

/// Runs a command to its end and gives what it has printed, as [`Command::output`] does.
#[track_caller]
pub fn output(command: &mut Command) -> Result<Output> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(finish(command.spawn()?, LIMIT))
}

/// Waits for the end of a process, and gives what it has printed into pipes of its own.
#[track_caller]
pub fn finish(mut child: Child, limit: Duration) -> Output {
    drop(child.stdin.take());
    let begin = Instant::now();
    let stdout = child.stdout.take().map(|pipe| std::thread::spawn(move || read(pipe, limit)));
    let stderr = child.stderr.take().map_or(Ok(Vec::new()), |pipe| read(pipe, limit));
    let stdout = stdout.map_or(Ok(Vec::new()), |thread| thread.join().expect("it does not panic"));
    match (stdout, stderr) {
        (Ok(stdout), Ok(stderr)) => {
            let status = end_of(&mut child, limit.saturating_sub(begin.elapsed()));
            Output { status, stdout, stderr }
        }
        errors => {
            let _ = child.kill();
            let _ = child.wait();
            panic!("process {} has printed no end: {errors:?}", child.id());
        }
    }
}

fn read(pipe: impl Read + AsFd, limit: Duration) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    Limited { inner: pipe, limit }.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Waits for the end of a process.
#[track_caller]
pub fn end(child: &mut Child) -> ExitStatus {
    end_of(child, LIMIT)
}

#[track_caller]
fn end_of(child: &mut Child, limit: Duration) -> ExitStatus {
    let begin = Instant::now();
    let mut pause = Duration::from_micros(50);
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return status;
        }
        if begin.elapsed() >= limit {
            let _ = child.kill();
            let status = child.wait().expect("a child");
            // A second panic would end all tests.
            if !std::thread::panicking() {
                panic!("process {} has not ended by itself", child.id());
            }
            return status;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// A pipe of which each read ends: with an error where nothing comes within the limit.
#[derive(Debug)]
pub struct Limited<R> {
    inner: R,
    limit: Duration,
}

impl<R> Limited<R> {
    pub fn new(inner: R) -> Limited<R> {
        Limited { inner, limit: LIMIT }
    }
}

impl<R: Read + AsFd> Read for Limited<R> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize> {
        let limit = Timespec::try_from(self.limit).expect("some minutes");
        let mut pipe = [PollFd::new(&self.inner, PollFlags::IN)];
        match rustix::io::retry_on_intr(|| poll(&mut pipe, Some(&limit)))? {
            0 => Err(Error::new(ErrorKind::TimedOut, "nothing has come")),
            _ => self.inner.read(bytes),
        }
    }
}
