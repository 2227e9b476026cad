//! When `psstat execd` ends, and how.

use super::{
    END, PSSTAT, Resident, SILENCE, assert_no_line, directory, next, resident_of_own_group,
    wait_for,
};
use crate::support::OWN_PROCESSES;
use crate::support::limit::Limited;
use rustix::process::Signal;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A resident process with another standard input than a pipe of the test.
fn with_input(input: impl Into<Stdio>, more: &[&str]) -> Resident {
    let mut command = Command::new(PSSTAT);
    command.args(["execd", "--host=", "--pid=own:1"]).args(more).envs([OWN_PROCESSES]);
    let child =
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    Resident { child, stdin: None }
}

#[test]
fn with_an_interval_it_outlives_an_input_that_is_not_a_pipe() {
    let directory = directory();
    let file = directory.path().join("requests");
    fs::write(&file, "\n\nno line feed").expect("written");
    let open = |path| Stdio::from(File::open(path).expect("it is there"));
    for path in ["/dev/null", file.to_str().expect("UTF-8")] {
        let mut psstat = with_input(open(path), &["--interval=50ms"]);
        let lines = psstat.lines();
        for _ in 0..5 {
            assert_eq!(next(&lines).name, "own", "{path}");
        }
        psstat.terminate().assert_clean();
        with_input(open(path), &[]).wait().assert_clean();
    }
}

#[test]
fn with_an_interval_it_ends_with_a_pipe_or_a_socket() {
    let (pipe, writer) = std::io::pipe().expect("a pipe");
    let (socket, other) = UnixStream::pair().expect("sockets");
    let inputs: [(OwnedFd, OwnedFd); 2] =
        [(pipe.into(), writer.into()), (socket.into(), other.into())];
    for (input, other_end) in inputs {
        let mut psstat = with_input(input, &["--interval=1h"]);
        let lines = psstat.lines();
        assert_no_line(&lines);
        assert_eq!(psstat.child.try_wait().expect("a child"), None);
        drop(other_end);
        psstat.wait().assert_clean();
    }
}

#[test]
fn an_input_at_its_end_costs_no_time() {
    let psstat = with_input(Stdio::null(), &["--interval=1h"]);
    psstat.await_handlers();
    let ticks = || {
        let path = format!("/proc/{}/stat", psstat.child.id());
        let stat = fs::read_to_string(path).expect("it is there");
        let fields: Vec<&str> = stat[stat.rfind(')').expect("a name")..].split(' ').collect();
        fields[12].parse::<u64>().expect("utime") + fields[13].parse::<u64>().expect("stime")
    };
    // By now it has taken its first sample and waits.
    std::thread::sleep(2 * SILENCE);
    let before = ticks();
    std::thread::sleep(2 * SILENCE);
    assert!(ticks() - before < 10, "it polls again and again");
    psstat.terminate().assert_clean();
}

/// Waits for the end of both outputs, and returns how much later the process ended.
fn outlives_its_output(mut psstat: Resident) -> Duration {
    let mut text = String::new();
    Limited::new(psstat.stdout()).read_to_string(&mut text).expect("UTF-8");
    let stderr = psstat.child.stderr.take().expect("it is not taken");
    Limited::new(stderr).read_to_string(&mut text).expect("UTF-8");
    let begin = Instant::now();
    wait_for("psstat to end", || psstat.child.try_wait().expect("a child").is_some());
    begin.elapsed()
}

/// Telegraf drops what it has not read when the process ends.
#[test]
fn its_output_ends_before_the_process() {
    const LEAST: Duration = Duration::from_millis(70);
    let resident = |args: &[&str]| Resident::new(args);
    let own = || {
        let psstat = resident_of_own_group(&[]);
        psstat.await_handlers();
        psstat
    };
    let missing = "/no such directory";
    let ways: [(&str, &dyn Fn() -> Resident); 7] = [
        ("end of input", &|| {
            let mut psstat = own();
            psstat.stdin = None;
            psstat
        }),
        ("SIGTERM", &|| {
            let psstat = own();
            psstat.signal(Signal::TERM);
            psstat
        }),
        ("bad argument", &|| resident(&["--nonsense"])),
        ("no selector", &|| resident(&[])),
        ("no configuration file", &|| resident(&["--config", missing])),
        ("no procfs", &|| resident(&["--pid=1", "--proc", missing])),
        ("an option in front", &|| {
            Resident::of(Command::new(PSSTAT).args(["--nonsense", "execd", "--pid=1"]))
        }),
    ];
    for (way, start) in ways {
        // This thread may have to wait for a processor, and then does not see the end of the output at once.
        let seen: Vec<Duration> = (0..10).map(|_| outlives_its_output(start())).collect();
        assert!(seen.iter().any(|&time| (LEAST..END).contains(&time)), "{way}: {seen:?}");
    }
}
