//! `psstat execd` while a call fails: it is asked for samples, as Telegraf asks.

use super::verdict;
use crate::support::Run;
use crate::support::limit;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{Read as _, Write as _};
use std::process::{ChildStdout, Command, Stdio};

/// How often more are requested until one is complete.
const MORE_REQUESTS: usize = 8;

/// After this much silence, no more lines come.
const SILENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 400_000_000 };

/// Asks for so many samples, and for more until one has `lines` lines. Then ends it.
pub fn run(command: &mut Command, lines: usize, requests: usize) -> Run {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut text = Vec::new();
    for request in 1..=requests + MORE_REQUESTS {
        if stdin.write_all(b"\n").is_err() {
            break;
        }
        let answer = read_lines(&mut stdout, lines);
        let is_complete = answer.iter().filter(|&&byte| byte == b'\n').count() == lines;
        text.extend(answer);
        if is_complete && request >= requests {
            break;
        }
    }
    drop(stdin);
    child.stdout = Some(stdout);
    let rest = limit::finish(child, verdict::LIMIT);
    text.extend(&rest.stdout);
    Run { stdout: text, ..Run::from(rest) }
}

/// Reads until there are so many lines, or no more come.
fn read_lines(stdout: &mut ChildStdout, lines: usize) -> Vec<u8> {
    let mut text = Vec::new();
    while text.iter().filter(|&&byte| byte == b'\n').count() < lines {
        let mut polled = [PollFd::new(stdout, PollFlags::IN)];
        let ready = rustix::io::retry_on_intr(|| poll(&mut polled, Some(&SILENCE))).unwrap();
        let mut piece = [0; 65536];
        let count = if ready == 0 { 0 } else { stdout.read(&mut piece).unwrap() };
        if count == 0 {
            break;
        }
        text.extend_from_slice(&piece[..count]);
    }
    text
}
