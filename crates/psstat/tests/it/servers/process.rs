//! One server: a process on a free port of 127.0.0.1 with a directory of its own, stopped by its
//! handle.

use super::http::{self, Answer};
use crate::support::limit::LIMIT;
use crate::support::skip;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How to start a server.
pub struct Program {
    pub name: &'static str,
    /// Its arguments, given its directory and its ports; writes what it needs into the directory.
    pub arguments: fn(&Path, Ports) -> Vec<String>,
    /// A path that is answered with a status of 200 to 299 as soon as it can work.
    pub ready: &'static str,
}

/// Ports that were free a moment ago.
#[derive(Clone, Copy)]
pub struct Ports {
    /// For HTTP.
    pub http: u16,
    /// For what else the server must listen on.
    pub other: u16,
}

pub struct Server {
    child: Child,
    port: u16,
    directory: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // That very process, which is not yet waited for, so that its pid is still its own.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts one; none where it is not installed, which skips the test.
    #[track_caller]
    pub fn start(program: &Program) -> Option<Server> {
        // Another process may take a free port before the server does.
        for _ in 0..5 {
            match Server::try_start(program) {
                Ok(server) => return Some(server),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    let cure = "scripts/install-test-packages does it";
                    skip(&format!("{} is not installed ({cure})", program.name));
                    return None;
                }
                Err(error) => eprintln!("{} did not start: {error}", program.name),
            }
        }
        panic!("{} is installed and does not start", program.name);
    }

    fn try_start(program: &Program) -> std::io::Result<Server> {
        let directory = tempfile::tempdir()?;
        let free = || TcpListener::bind("127.0.0.1:0")?.local_addr().map(|free| free.port());
        let ports = Ports { http: free()?, other: free()? };
        let log = std::fs::File::create(directory.path().join("log"))?;
        let mut command = Command::new(program.name);
        command.args((program.arguments)(directory.path(), ports)).env("HOME", directory.path());
        command.current_dir(directory.path()).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        let mut server = Server { child: command.spawn()?, port: ports.http, directory };
        let started = Instant::now();
        loop {
            let ready = http::ask(server.port, "GET", program.ready, b"");
            if let Some(status) = server.child.try_wait()? {
                return Err(std::io::Error::other(format!("{status}: {}", server.log())));
            }
            if ready.is_ok_and(|answer| answer.is_good()) {
                return Ok(server);
            }
            assert!(started.elapsed() < LIMIT, "it is not ready: {}", server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path of a file in its directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What it has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.file("log")).expect("its log")
    }

    pub fn get(&self, path: &str) -> Answer {
        http::ask(self.port, "GET", path, b"").expect("the server answers")
    }

    pub fn post(&self, path: &str, body: &[u8]) -> Answer {
        http::ask(self.port, "POST", path, body).expect("the server answers")
    }

    /// The text of a page that is there.
    pub fn page(&self, path: &str) -> String {
        let answer = self.get(path);
        assert!(answer.is_good(), "{path}: {answer:?}");
        answer.body
    }
}

/// Asks again and again until it is as expected; at last, however it is.
pub fn until<T>(expected: impl Fn(&T) -> bool, ask: impl Fn() -> T) -> T {
    let started = Instant::now();
    loop {
        let answer = ask();
        if expected(&answer) || started.elapsed() > LIMIT {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
