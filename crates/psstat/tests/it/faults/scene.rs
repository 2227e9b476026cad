//! What is measured while calls fail.

use super::Expected;
use super::verdict::read_fields;
use crate::support::fake_proc::{FakeProc, Process};
use crate::support::limit::{self, Limited};
use crate::support::{OWN_PROCESSES, Run, copy_program};
use psstat::clock;
use psstat_core::model::units::Pid;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What is measured, and what is right.
pub struct Scene {
    directory: TempDir,
    machine: Machine,
    arguments: Vec<String>,
    /// The pids of the members.
    members: Vec<u32>,
    expected: Expected,
}

enum Machine {
    /// This one. The process ends with the scene.
    Real(Child),
    MadeUp(FakeProc),
}

/// Uses CPU time, has a child that did so and has ended, and starts two processes that sleep.
const PARENT: &str = "burn() { i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; }; \
    burn; (burn); \"$@\" & a=$!; \"$@\" & echo $a $!; read end; kill $a $!; wait";

/// The arguments of the children: one for each place.
const MARKS: [&str; 5] = ["86400.0", "86400.1", "86400.2", "86400.3", "86400.4"];

impl Scene {
    /// A parent and two children, all of which sleep, selected in every way.
    pub fn of_processes() -> Scene {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        copy_program(Path::new("/bin/sh"), &path("fault-parent"));
        copy_program(Path::new("/bin/sleep"), &path("fault-child"));
        let mut parent = Command::new(path("fault-parent"))
            .args(["-c", PARENT])
            .arg("sh")
            .arg(path("fault-child"))
            .args(MARKS)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = Limited::new(parent.stdout.take().unwrap());
        let mut text = Vec::new();
        while text.last() != Some(&b'\n') {
            let mut byte = [0];
            stdout.read_exact(&mut byte).unwrap();
            text.extend(byte);
        }
        let text = String::from_utf8(text).unwrap();
        let mut members: Vec<u32> =
            text.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
        for pid in &members {
            let comm = format!("/proc/{pid}/comm");
            while fs::read_to_string(&comm).unwrap() != "fault-child\n" {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        members.push(parent.id());
        members.iter().for_each(|&pid| wait_until_asleep(pid));
        fs::write(path("pid"), format!("{}\n", parent.id())).unwrap();
        let arguments = vec![
            format!("--pid-file=file:{}", path("pid").display()),
            format!("--pid=number:{}", parent.id()),
            "--pattern=name:^fault-child$".to_owned(),
            format!("--exe=exe:{}", path("fault-child").display()),
            "--fields=p_cpu,p_mem,n_proc,n_thread,n_fd,cpu_time,ctx_switches".to_owned(),
        ];
        Scene::new(directory, Machine::Real(parent), arguments, members)
    }

    /// A made-up machine with control groups.
    pub fn made_up() -> Scene {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let tree = FakeProc::new();
        let exe = Some(Path::new("/usr/bin/fault").to_owned());
        let line = b"fault\x0086400\0".to_vec();
        for (pid, parent) in [(100, 1), (101, 100), (102, 100), (103, 101), (200, 1)] {
            tree.add(&Process {
                own: 1000 + u64::from(pid),
                children: 500,
                resident: 100,
                shared: 10,
                cmdline: line.clone(),
                exe: exe.clone(),
                effective_uid: 4321,
                ..Process::new(pid, parent, "fault")
            });
            tree.set_io(pid, 10, 20);
            tree.set_threads(pid, &[(pid, 30), (pid + 1000, 60)]);
            tree.set_open_files(pid, 3);
            let unit = if pid < 102 { "fault.service" } else { "fault.service/below" };
            tree.write(format!("{pid}/cgroup"), format!("0::/system.slice/{unit}\n"));
        }
        fs::write(path("pid"), "100\n").unwrap();
        let group = |name: &str, pids: &str| {
            let directory = path("sys/fs/cgroup").join(name);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("cgroup.procs"), pids).unwrap();
            fs::write(directory.join("cpu.stat"), "usage_usec 12345678\n").unwrap();
        };
        group("", "1\n");
        group("init.scope", "");
        group("system.slice", "");
        group("system.slice/fault.service", "100\n101\n");
        group("system.slice/fault.service/below", "102\n103\n200\n");
        let cpus = path("sys/devices/system/cpu");
        fs::create_dir_all(&cpus).unwrap();
        fs::write(cpus.join("online"), "0-3\n").unwrap();
        let arguments = vec![
            format!("--proc={}", tree.path().display()),
            format!("--sys={}", path("sys").display()),
            format!("--pid-file=file:{}", path("pid").display()),
            "--pid=number:101".to_owned(),
            "--pattern=name:^fault$".to_owned(),
            "--cmdline=line:^fault 86400".to_owned(),
            "--exe=exe:/usr/bin/fault".to_owned(),
            "--user=user:4321".to_owned(),
            "--systemd=unit:fault".to_owned(),
            "--cgroup=below:*/below".to_owned(),
            "--fields=p_cpu,p_mem,n_proc,cpu_time,mem,n_thread,n_zombie,n_fd,io_read,io_write,\
             faults_major,ctx_switches"
                .to_owned(),
        ];
        let members = vec![100, 101, 102, 103, 200];
        Scene::new(directory, Machine::MadeUp(tree), arguments, members)
    }

    fn new(
        directory: TempDir,
        machine: Machine,
        mut arguments: Vec<String>,
        members: Vec<u32>,
    ) -> Scene {
        arguments.extend(["--host=".to_owned(), "--timeout=1m".to_owned()]);
        fs::write(directory.path().join("config"), "timeout = \"1m\"\n").unwrap();
        let expected = Expected::default();
        let mut scene = Scene { directory, machine, arguments, members, expected };
        let mut command = Command::new(env!("CARGO_BIN_EXE_psstat"));
        scene.add_arguments(&mut command, 0);
        let run = Run::of(command.arg("--wait=50ms"));
        assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""), "{run:?}");
        scene.expected = Expected::new(&read_fields(&run.lines()));
        scene
    }

    /// What is right.
    pub fn expected(&self) -> &Expected {
        &self.expected
    }

    /// The selectors and options of that place, and the environment.
    pub fn add_arguments(&self, command: &mut Command, place: usize) {
        command.args(&self.arguments).envs([OWN_PROCESSES]).env_remove("HOST_SYS");
        if let Machine::Real(_) = self.machine {
            // psstat and strace have an argument that matches, and do not count. Those of other places do
            // not match.
            command.arg(format!("--cmdline=line:{}", MARKS[place]));
        }
    }

    /// A configuration file that says nothing else.
    pub fn config(&self) -> PathBuf {
        self.directory.path().join("config")
    }

    /// Replaces what differs from run to run in the text of a call.
    pub fn without_names(&self, text: &str, place: &Path) -> String {
        let mut text = text.replace(place.to_str().unwrap(), "PLACE");
        text = text.replace(self.directory.path().to_str().unwrap(), "SCENE");
        if let Machine::MadeUp(tree) = &self.machine {
            text = text.replace(tree.path().to_str().unwrap(), "PROC");
        }
        for pid in &self.members {
            text = text.replace(&format!("/{pid}/"), "/MEMBER/");
            text = text.replace(&format!("\"{pid}/"), "\"MEMBER/");
        }
        text
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Machine::Real(parent) = &mut self.machine {
            drop(parent.stdin.take());
            limit::end(parent);
        }
    }
}

/// Waits until a process sleeps and has not run for a while, so that its CPU time stays what it is.
fn wait_until_asleep(pid: u32) {
    let begin = Instant::now();
    let mut last = None;
    loop {
        let clock = clock::read(Pid::new(pid));
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        if stat.contains(") S ") && clock.is_some() && clock == last {
            return;
        }
        assert!(begin.elapsed() < limit::LIMIT, "process {pid} does not sleep: {stat}");
        last = clock;
        std::thread::sleep(Duration::from_millis(20));
    }
}
