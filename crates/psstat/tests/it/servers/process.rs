//! A server process on a free port of 127.0.0.1 with a directory of its own. It is stopped when its
//! handle is dropped.

use super::http::{self, Answer};
use crate::support::limit::LIMIT;
use crate::support::skip;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How to start a server.
pub struct Program<'p> {
    pub name: &'static str,
    /// Returns its arguments, given its directory and its ports. Writes its files to the directory.
    pub arguments: &'p dyn Fn(&Path, Ports) -> Vec<String>,
    /// A path whose response has a status of 200 to 299 as soon as the server is ready.
    pub ready: &'static str,
}

/// Ports that were free when they were chosen.
#[derive(Clone, Copy)]
pub struct Ports {
    /// For HTTP.
    pub http: u16,
    /// For another protocol that the server must listen on.
    pub other: u16,
}

pub struct Server {
    child: Child,
    port: u16,
    directory: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process has not been waited for, so the pid is still its own.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts a server. `None` if it is not installed; the test is then skipped.
    #[track_caller]
    pub fn start(program: &Program<'_>) -> Option<Server> {
        // Another process may use the port before the server does.
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

    fn try_start(program: &Program<'_>) -> std::io::Result<Server> {
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

    /// Its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.file("log")).expect("its log")
    }

    pub fn get(&self, path: &str) -> Answer {
        http::ask(self.port, "GET", path, b"").expect("the server answers")
    }

    pub fn post(&self, path: &str, body: &[u8]) -> Answer {
        http::ask(self.port, "POST", path, body).expect("the server answers")
    }

    /// The text of a page. Panics if the page does not exist.
    pub fn page(&self, path: &str) -> String {
        let answer = self.get(path);
        assert!(answer.is_good(), "{path}: {answer:?}");
        answer.body
    }
}

/// Repeats a request until the result is as expected. Returns the last result after some time.
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
