//! nginx with its workers: one service, picked in every way at once.

use super::fixture::{Fixture, unique};
use super::kernel;
use super::meter::{psstat, second_of_two};
use super::needs;
use crate::support::limit::LIMIT;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

/// Where Debian's package puts it, which is in the path of root alone.
const NGINX: &str = "/usr/sbin/nginx";

struct Nginx {
    /// Of the executable, and so of all its processes: nginx of its own, whatever else runs here.
    name: String,
    master: u32,
    workers: Vec<u32>,
}

fn nginx(fixture: &Fixture) -> Nginx {
    let name = unique("nginx");
    let program = fixture.copy_of(Path::new(NGINX), &name);
    let program = program.to_str().expect("UTF-8");
    let prefix = fixture.path().display();
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let port = port.expect("a free port").port();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {prefix}/{kind};\n"))
        .concat();
    let config = format!(
        "worker_processes 8; daemon off; pid {prefix}/nginx.pid; error_log {prefix}/error.log;
         events {{}}
         http {{
             access_log off; {temporary}
             server {{ listen 127.0.0.1:{port}; }}
         }}"
    );
    let path = fixture.path().join("nginx.conf");
    std::fs::write(&path, config).expect("written");
    let log = format!("{prefix}/error.log");
    let config = path.to_str().expect("UTF-8");
    let master = fixture.serve("TERM", &[program, "-c", config, "-e", &log]);
    let started = Instant::now();
    loop {
        let workers = kernel::children(master);
        // They wait for requests: all that they need to start is behind them.
        if workers.len() == 8 && workers.iter().copied().chain([master]).all(kernel::sleeps) {
            return Nginx { name, master, workers };
        }
        let said = || std::fs::read_to_string(fixture.path().join("log"));
        assert!(started.elapsed() < LIMIT, "no workers: {:?}", said());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_master_and_eight_workers_are_one_line() {
    if !needs::is_installed(NGINX) {
        return;
    }
    let fixture = Fixture::new();
    let Nginx { name, .. } = nginx(&fixture);
    let said = second_of_two(&["--pattern", &format!("{name}$")]);
    let line = said.only_line();
    assert_eq!((line.name.as_str(), line.processes), (name.as_str(), 9));
    assert_eq!(said.stderr, "");
}

#[test]
fn nested_targets_say_the_same_in_any_order() {
    if !needs::is_installed(NGINX) {
        return;
    }
    let fixture = Fixture::new();
    let Nginx { name, master, workers } = nginx(&fixture);
    let selectors = [
        ["--pattern".to_owned(), format!("web:{name}")],
        ["--pid".to_owned(), format!("web:{master}")],
        ["--pid-file".to_owned(), format!("web:{}/nginx.pid", fixture.path().display())],
        ["--pid".to_owned(), format!("web:{}", workers[3])],
        ["--pid".to_owned(), format!("worker:{}", workers[5])],
    ];
    let mut expected: Option<Vec<String>> = None;
    for first in 0..selectors.len() {
        for reversed in [false, true] {
            let mut order: Vec<_> = selectors.iter().cycle().skip(first).take(5).collect();
            if reversed {
                order.reverse();
            }
            let args: Vec<&str> = order.into_iter().flatten().map(String::as_str).collect();
            let said = psstat(&[&args[..], &["--wait", "20ms"]].concat());
            assert_eq!((said.line("web").processes, said.line("worker").processes), (9, 1));
            let leads = if args[1].starts_with("web") { "web" } else { "worker" };
            assert_eq!(said.lines[0].name, leads, "in the order typed: {args:?}");
            let mut values: Vec<String> = said.lines.into_iter().map(|line| line.values).collect();
            values.sort();
            assert_eq!(*expected.get_or_insert_with(|| values.clone()), values, "{args:?}");
        }
    }
}
