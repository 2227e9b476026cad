//! A Telegraf that runs, and what it has written.

use crate::support::limit::{self, LIMIT};
use crate::support::line::{self, Line};
use crate::support::{OWN_PROCESSES, skip, why_not_installed};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PSSTAT: &str = env!("CARGO_BIN_EXE_psstat");

/// What the log may have although all is well.
const EXPECTED: [&str; 6] = [
    // The form of exec-string.conf.
    "Deprecat",
    // A busy machine. What Telegraf does not read in time is the matter of `stops_are_quiet`.
    "Collection took longer",
    ": read |",
    // Telegraf may ask by a signal before psstat can have handlers, and then starts it again.
    "exited: signal: hangup",
    "exited: signal: user defined signal",
    "os: process already finished",
];

/// The program.
pub struct Telegraf {
    path: PathBuf,
    /// Major and minor.
    version: (u32, u32),
}

impl Telegraf {
    /// The one whose path is in the variable `TELEGRAF`, or else that in `PATH`. `None` if there is none; the
    /// test is then skipped.
    #[track_caller]
    pub fn find() -> Option<Telegraf> {
        let named = std::env::var_os("TELEGRAF").filter(|path| !path.is_empty());
        let missing = if named.is_none() { why_not_installed("telegraf") } else { None };
        if let Some(reason) = missing {
            skip(&format!("{reason}: install it, or set TELEGRAF to the path of its program"));
            return None;
        }
        let path = PathBuf::from(named.unwrap_or_else(|| "telegraf".into()));
        let said = limit::output(Command::new(&path).arg("--version"));
        let said = said.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let number = said.strip_prefix("Telegraf ").unwrap_or_else(|| panic!("it is {said:?}"));
        let mut parts = number.split('.').map(|part| part.parse().expect("a number"));
        let version = (parts.next().expect("major"), parts.next().expect("minor"));
        Some(Telegraf { path, version })
    }

    /// Whether `exec` takes a command as a list of arguments, and has `log_stderr`.
    pub fn is_new(&self) -> bool {
        self.version >= (1, 39)
    }

    /// An input `exec` that runs psstat with these arguments.
    pub fn exec(&self, arguments: &[String]) -> String {
        let command = [&[PSSTAT.to_owned()], arguments].concat();
        if self.is_new() {
            let command = list(&command);
            return format!(
                "[[inputs.exec]]\ncommands = [{command}]\ntimeout = \"600s\"\nlog_stderr = true\n\
                 data_format = \"influx\"\n"
            );
        }
        let quoted = command.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''")));
        let command = string(&quoted.collect::<Vec<_>>().join(" "));
        format!(
            "[[inputs.exec]]\ncommands = [{command}]\ntimeout = \"600s\"\ndata_format = \"influx\"\n"
        )
    }

    /// An input `execd` that runs psstat with these arguments, asked over standard input.
    pub fn execd(arguments: &[String]) -> String {
        let command = list(&[&[PSSTAT.to_owned(), "execd".to_owned()], arguments].concat());
        format!(
            "[[inputs.execd]]\ncommand = {command}\nsignal = \"STDIN\"\nrestart_delay = \"10ms\"\n\
             data_format = \"influx\"\n"
        )
    }
}

/// A list of strings in TOML.
fn list(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| string(word)).collect();
    format!("[{}]", words.join(", "))
}

/// A string in TOML, which has all escapes of JSON.
fn string(text: &str) -> String {
    serde_json::to_string(text).expect("a string")
}

/// A Telegraf of its own, with its files. It is killed when this value is dropped.
pub struct Agent<'t> {
    telegraf: &'t Telegraf,
    directory: tempfile::TempDir,
    environment: Vec<(&'static str, PathBuf)>,
    child: Option<Child>,
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        self.kill();
    }
}

impl<'t> Agent<'t> {
    /// One that asks its inputs every 100 ms.
    pub fn new(telegraf: &'t Telegraf) -> Agent<'t> {
        let directory = tempfile::tempdir().expect("a directory");
        let agent = Agent { telegraf, directory, environment: Vec::new(), child: None };
        fs::create_dir(agent.file("inputs")).expect("a directory");
        agent.write(
            "telegraf.conf",
            &format!(
                "[agent]\ninterval = \"100ms\"\nround_interval = false\nflush_interval = \"100ms\"\n\
                 precision = \"1ns\"\nhostname = \"of-telegraf\"\nskip_processors_after_aggregators = true\n\
                 [[outputs.file]]\nfiles = [{}]\ndata_format = \"influx\"\n",
                string(agent.file("lines").to_str().expect("UTF-8"))
            ),
        );
        agent
    }

    /// The path of one of its files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The directory of its files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.file(name), text).expect("its directory takes files");
    }

    /// Gives it these inputs, beside those that it has under other names.
    pub fn configure(&self, name: &str, inputs: &str) {
        self.write(&format!("inputs/{name}.conf"), inputs);
    }

    /// Sets a variable for it and psstat.
    pub fn set(&mut self, name: &'static str, value: PathBuf) {
        self.environment.push((name, value));
    }

    fn command(&self) -> Command {
        // So that it seldom waits for a processor longer than psstat leaves it time to read.
        let mut command = if rustix::process::geteuid().is_root() {
            let mut nice = Command::new("nice");
            nice.args(["-n", "-15"]).arg(&self.telegraf.path);
            nice
        } else {
            Command::new(&self.telegraf.path)
        };
        command.arg("--config").arg(self.file("telegraf.conf"));
        command.arg("--config-directory").arg(self.file("inputs"));
        command.env("HOME", self.directory.path()).env_remove("HOST_SYS").envs([OWN_PROCESSES]);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn start(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let log = File::options().append(true).create(true).open(self.file("log")).expect("a file");
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().expect("it starts"));
    }

    /// Runs `telegraf --test`, and returns its output and its log.
    pub fn test(&self) -> (String, String) {
        let output = limit::output(self.command().arg("--test")).expect("it starts");
        let [out, log] =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("UTF-8"));
        assert!(output.status.success(), "{}:\n{out}{log}", output.status);
        (out, log)
    }

    pub fn signal(&self, signal: Signal) {
        send(self.child.as_ref().expect("it runs").id(), signal);
    }

    /// Waits for its end, which must be a good one.
    pub fn finish(&mut self) {
        let status = limit::end(&mut self.child.take().expect("it runs"));
        assert!(status.success(), "{status}:\n{}", self.log());
    }

    /// Stops it as systemd does.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        self.finish();
    }

    /// Ends it so that it can do nothing more.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The whole lines that it has written so far.
    pub fn lines(&self) -> Vec<Line> {
        let bytes = fs::read(self.file("lines")).unwrap_or_default();
        let end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        line::read(&bytes[..end])
    }

    /// The lines of this group.
    pub fn lines_of(&self, name: &str) -> Vec<Line> {
        self.lines().into_iter().filter(|line| line.name() == name).collect()
    }

    /// The log of all its starts.
    pub fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    /// The lines of its log that have this text.
    pub fn log_of(&self, text: &str) -> Vec<String> {
        self.log().lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }

    /// What its log has of errors, and of warnings about its inputs.
    pub fn complaints(&self) -> Vec<String> {
        let is_complaint = |line: &&str| {
            line.contains(" E! ") || line.contains(" W! ") && line.contains("[inputs.")
        };
        let is_expected = |line: &&str| EXPECTED.iter().any(|part| line.contains(part));
        let log = self.log();
        let lines = log.lines().filter(is_complaint).filter(|line| !is_expected(line));
        lines.map(str::to_owned).collect()
    }

    /// The pids of the psstats that it has started and that have not ended, whoever their parent is now.
    pub fn jobs(&self) -> Vec<u32> {
        let variable = format!("HOME={}", self.directory.path().display());
        let is_job = |pid: &u32| {
            let of_process =
                |name: &str| fs::read(Path::new("/proc").join(format!("{pid}/{name}")));
            // It is empty for a zombie.
            let environment = of_process("environ").unwrap_or_default();
            of_process("comm").is_ok_and(|comm| comm == b"psstat\n")
                && environment.split(|&byte| byte == 0).any(|each| each == variable.as_bytes())
        };
        let entries = fs::read_dir("/proc").expect("procfs").flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(is_job).collect()
    }

    /// Waits until something is there, and returns it.
    #[track_caller]
    pub fn eventually<T>(&self, what: &str, question: impl Fn(&Self) -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            if let Some(answer) = question(self) {
                return answer;
            }
            assert!(begin.elapsed() < LIMIT, "waited in vain for {what}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until there are so many psstats, and returns their pids.
    #[track_caller]
    pub fn await_jobs(&self, count: usize) -> Vec<u32> {
        self.eventually("psstat", |agent| Some(agent.jobs()).filter(|jobs| jobs.len() == count))
    }

    /// Waits until none of these psstats is there.
    #[track_caller]
    pub fn await_end(&self, ended: &[u32]) {
        self.eventually("the end of psstat", |agent| {
            let jobs = agent.jobs();
            ended.iter().all(|pid| !jobs.contains(pid)).then_some(())
        });
    }

    /// Waits for a line of this group that is later than all that are there, and returns it.
    #[track_caller]
    pub fn await_line(&self, name: &str) -> Line {
        let time = |lines: &[Line]| lines.last().map_or(0, |line| line.time);
        let last = time(&self.lines_of(name));
        self.eventually(name, |agent| agent.lines_of(name).pop().filter(|line| line.time > last))
    }
}

/// Sends a signal to a process, if it is still there.
pub fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a pid");
    let sent = kill_process(pid, signal);
    assert!(matches!(sent, Ok(()) | Err(Errno::SRCH)), "{sent:?}");
}
