//! What units feel (throttling, pressure, OOM kills, limits, peaks, swap), on made-up hierarchies.

#![allow(clippy::cast_sign_loss, reason = "no field is negative")]

use super::machine::{Job, Machine, Mounted, Process, REFERENCE, Sample};
use super::{CRON, NGINX, restart, with_services};
use crate::stderr::{assert_warning, assert_warnings};
use crate::support::limit::{self, Limited};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// Those that only units and control groups have.
const FIELDS: &str =
    "cpu_throttled,cpu_pressure,mem_pressure,io_pressure,oom_kills,mem_limit,mem_peak";

/// The files of a control group, and what they say.
#[derive(Clone, Copy)]
struct Feels {
    /// CPU time, throttled time and pressures, in microseconds.
    throttled: u64,
    cpu: u64,
    memory: u64,
    io: u64,
    kills: u64,
    limit: &'static str,
    peak: u64,
    swap: u64,
}

const NOTHING: Feels =
    Feels { throttled: 0, cpu: 0, memory: 0, io: 0, kills: 0, limit: "max", peak: 0, swap: 0 };

impl Feels {
    fn write(self, machine: &Machine, path: &str) {
        let Feels { throttled, cpu, memory, io, kills, limit, peak, swap } = self;
        let write = |file: &str, text: String| machine.write(machine.group(path).join(file), text);
        let stat = "usage_usec 0\nuser_usec 0\nnr_periods 9\nnr_throttled 9\n";
        write("cpu.stat", format!("{stat}throttled_usec {throttled}\nnr_bursts 0\n"));
        for (file, total) in [("cpu", cpu), ("memory", memory), ("io", io)] {
            let line = format!("avg10=1.00 avg60=2.00 avg300=3.00 total={total}");
            let full = "full avg10=0.00 avg60=0.00 avg300=0.00 total=77777777";
            write(&format!("{file}.pressure"), format!("some {line}\n{full}\n"));
        }
        let events = format!("low 0\nhigh 0\nmax 5\noom 3\noom_kill {kills}\noom_group_kill 1\n");
        write("memory.events", events);
        write("memory.max", format!("{limit}\n"));
        write("memory.peak", format!("{peak}\n"));
        write("memory.swap.current", format!("{swap}\n"));
    }
}

/// A job with the fields of control groups, and what else is given.
fn job<'m>(machine: &'m Machine, arguments: &[&str]) -> Job<'m> {
    NOTHING.write(machine, REFERENCE.0);
    let fields = format!("--fields=p_cpu,n_proc,{FIELDS}");
    machine.job(&[arguments, &[&fields]].concat())
}

/// The next sample, after so long that no pressure that a test makes up is all of the time.
fn next(job: &mut Job<'_>) -> Sample {
    sleep(Duration::from_millis(50));
    job.sample()
}

/// What a field per second is over the whole interval, in microseconds.
fn micros(sample: &Sample, name: &str, field: &str) -> Option<u64> {
    let value = sample.value(name, field)?;
    Some((value * sample.seconds() * 1e6).round() as u64)
}

#[track_caller]
fn assert_near(left: Option<u64>, right: u64) {
    // The fields have six decimals, and the interval is known by one of them.
    let left = left.unwrap();
    assert!(left.abs_diff(right) <= 20 + right / 100, "{left} is not {right}");
}

#[test]
fn fields_are_what_the_files_say() {
    for mounted in [Mounted::V2, Mounted::Hybrid] {
        let machine = with_services(mounted);
        let before = Feels { throttled: 9_000_000, cpu: 8_000_000, kills: 30, ..NOTHING };
        before.write(&machine, NGINX);
        NOTHING.write(&machine, CRON);
        let mut job = job(&machine, &["--systemd=nginx", "--systemd=web:nginx", "--systemd=cron"]);
        job.sample();
        let quiet = next(&mut job);
        assert_eq!(quiet.stderr, "", "{mounted:?}");
        for name in ["nginx", "web", "cron"] {
            let keys = "cpu_pressure,cpu_throttled,io_pressure,mem_peak,mem_pressure,n_proc,oom_kills,p_cpu";
            assert_eq!(quiet.keys(name), keys, "no limit");
            for field in FIELDS.split(',').filter(|&field| field != "mem_limit") {
                assert_eq!(quiet.value(name, field), Some(0.0), "{field} of {name}");
            }
        }
        let now = Feels {
            throttled: 9_070_000,
            cpu: 8_010_000,
            memory: 2_000,
            io: 5_000,
            kills: 32,
            limit: "67108864",
            peak: 67_100_000,
            swap: 7,
        };
        now.write(&machine, NGINX);
        let sample = next(&mut job);
        for name in ["nginx", "web"] {
            assert_near(micros(&sample, name, "cpu_throttled"), 70_000);
            assert_near(micros(&sample, name, "cpu_pressure"), 10_000);
            assert_near(micros(&sample, name, "mem_pressure"), 2_000);
            assert_near(micros(&sample, name, "io_pressure"), 5_000);
            assert_eq!(sample.value(name, "oom_kills"), Some(2.0), "since it was first seen");
            assert_eq!(sample.value(name, "mem_limit"), Some(67_108_864.0));
            assert_eq!(sample.value(name, "mem_peak"), Some(67_100_000.0));
        }
        assert_eq!(sample.value("cron", "cpu_throttled"), Some(0.0));
    }
}

#[test]
fn a_pressure_is_never_more_than_all_of_the_time() {
    let machine = with_services(Mounted::V2);
    NOTHING.write(&machine, NGINX);
    let mut job = job(&machine, &["--systemd=nginx"]);
    job.sample();
    let most = u64::MAX / 1000;
    Feels { throttled: most, cpu: most, io: u64::MAX, ..NOTHING }.write(&machine, NGINX);
    let sample = next(&mut job);
    assert_eq!(sample.value("nginx", "cpu_pressure"), Some(1.0));
    assert_eq!(sample.value("nginx", "io_pressure"), Some(1.0));
    assert!(sample.value("nginx", "cpu_throttled").unwrap() > 1.0, "over all processors");
}

/// What is wrong with one file leaves out its fields, and nothing else.
#[test]
fn odd_content_leaves_out_its_field_and_nothing_else() {
    type Odd = (&'static str, &'static [u8], &'static str);
    const CASES: [Odd; 22] = [
        ("cpu.stat", b"usage_usec 5\n", "cpu_throttled"),
        ("cpu.stat", b"usage_usec 5\nthrottled_usec x\n", "cpu_throttled"),
        ("cpu.stat", b"usage_usec 5\nthrottled_usec -1\n", "cpu_throttled"),
        ("cpu.stat", b"usage_usec 5\nthrottled_usec 99999999999999999999\n", "cpu_throttled"),
        ("cpu.pressure", b"", "cpu_pressure"),
        ("cpu.pressure", b"full avg10=0.00 avg60=0.00 avg300=0.00 total=5\n", "cpu_pressure"),
        ("memory.pressure", b"some avg10=0.00 total=5.5\n", "mem_pressure"),
        ("memory.pressure", b"\xff\xfe\0", "mem_pressure"),
        ("io.pressure", b"some\n", "io_pressure"),
        ("io.pressure", b"some total=\n", "io_pressure"),
        ("memory.events", b"", "oom_kills"),
        ("memory.events", b"oom 3\noom_group_kill 4\n", "oom_kills"),
        ("memory.events", b"oom_kill 18446744073709551616\n", "oom_kills"),
        ("memory.max", b"", "mem_limit"),
        ("memory.max", b"none\n", "mem_limit"),
        ("memory.max", b"-1\n", "mem_limit"),
        ("memory.max", b"4096 max\n", "mem_limit"),
        ("memory.max", b"18446744073709551616\n", "mem_limit"),
        ("memory.peak", b"max\n", "mem_peak"),
        ("memory.peak", b"1 2\n", "mem_peak"),
        ("memory.peak", &[b'1'; 5000], "mem_peak"),
        ("memory.peak", b"\n", "mem_peak"),
    ];
    let all = "cpu_pressure,cpu_throttled,io_pressure,mem_limit,mem_peak,mem_pressure,n_proc,oom_kills,p_cpu";
    for (file, text, left_out) in CASES {
        let what = format!("{file}: {}", text.escape_ascii());
        let machine = with_services(Mounted::V2);
        let usual = Feels { limit: "4096", ..NOTHING };
        usual.write(&machine, NGINX);
        usual.write(&machine, CRON);
        let mut job = job(&machine, &["--systemd=nginx", "--systemd=cron"]);
        job.sample();
        machine.write(machine.group(NGINX).join(file), text);
        let sample = job.sample();
        let kept: Vec<&str> = all.split(',').filter(|&field| field != left_out).collect();
        assert_eq!(sample.keys("nginx"), kept.join(","), "{what}");
        assert_eq!(sample.keys("cron"), all, "{what}");
        assert_warning(&sample.stderr, &["nginx.service", file, left_out]);
        // Nobody reads it for other fields.
        let fields = FIELDS.split(',').filter(|&field| field != left_out).collect::<Vec<_>>();
        for fields in ["p_mem,n_proc,cpu_time,starts", &fields.join(",")] {
            let fields = format!("--fields=p_cpu,{fields}");
            let sample = machine.sample(&["--systemd=nginx", &fields]);
            assert_eq!(sample.stderr, "", "{what}: {fields}");
        }
        // It is repaired. What is counted needs another sample to compare with.
        usual.write(&machine, NGINX);
        let sample = job.sample();
        assert_eq!(sample.stderr, "", "{what}");
        let is_level =
            left_out == "oom_kills" || left_out.starts_with("mem_limit") || left_out == "mem_peak";
        assert_eq!(
            sample.keys("nginx"),
            if is_level { all.into() } else { kept.join(",") },
            "{what}"
        );
        assert_eq!(job.sample().keys("nginx"), all, "{what}");
    }
}

#[test]
fn a_missing_file_is_said_with_what_it_needs() {
    for (file, field, needs) in [
        ("cpu.pressure", "cpu_pressure", "psi=1"),
        ("memory.pressure", "mem_pressure", "psi=1"),
        ("io.pressure", "io_pressure", "psi=1"),
        ("memory.events", "oom_kills", "MemoryAccounting="),
        ("memory.max", "mem_limit", "MemoryAccounting="),
        ("memory.peak", "mem_peak", "Linux 5.19"),
    ] {
        let machine = with_services(Mounted::V2);
        Feels { limit: "4096", ..NOTHING }.write(&machine, NGINX);
        fs::remove_file(machine.group(NGINX).join(file)).unwrap();
        let sample = job(&machine, &["--systemd=nginx"]).second_sample();
        assert_eq!(sample.value("nginx", field), None);
        assert_warning(&sample.stderr, &["nginx.service", file, "not found", field, needs]);
    }
    let machine = with_services(Mounted::V2);
    NOTHING.write(&machine, NGINX);
    machine.write(machine.group(NGINX).join("cpu.stat"), "usage_usec 4\n");
    let sample = job(&machine, &["--systemd=nginx"]).second_sample();
    let names = ["throttled_usec of ", "cpu.stat", "not found", "cpu_throttled", "CPUQuota="];
    assert_warning(&sample.stderr, &names);
}

/// One line for each kind of file, however many groups and fields lack it.
#[test]
fn where_the_kernel_has_no_such_files_each_is_said_once() {
    for mounted in Mounted::ALL {
        let machine = with_services(mounted);
        let fields = format!("--fields=p_cpu,n_proc,{FIELDS}");
        let sample = machine.sample(&["--systemd=nginx", "--systemd=cron", &fields]);
        for name in ["nginx", "cron"] {
            assert_eq!(sample.keys(name), "n_proc,p_cpu", "{mounted:?}");
        }
        if mounted == Mounted::Nothing {
            assert_warning(&sample.stderr, &["--sys"]);
            continue;
        }
        // Also in hybrid mode, it is the file that was tried.
        let root: PathBuf = machine.group("").components().collect();
        let tried = format!("throttled_usec of {}/reference/cpu.stat", root.display());
        assert_warnings(
            &sample.stderr,
            &[
                &["3 throttling counters", "cpu_throttled is", &tried],
                &["9 pressure files", "cpu_pressure, mem_pressure and io_pressure are"],
                &["3 OOM kill counters", "oom_kills is"],
                &["3 memory limits", "mem_limit is"],
                &["3 memory peaks", "mem_peak is"],
            ],
        );
    }
}

#[test]
fn a_resident_process_says_it_once() {
    let machine = with_services(Mounted::V2);
    let directory = machine.group("").ancestors().nth(3).unwrap().to_owned();
    let mut child = Command::new(env!("CARGO_BIN_EXE_psstat"))
        .args(["execd", "--systemd=web:nginx", "--fields=n_proc,cpu_pressure,mem_peak", "--host="])
        .arg("--proc")
        .arg(directory.join("proc"))
        .arg("--sys")
        .arg(directory.join("sys"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let stdout = child.stdout.take().unwrap();
    let mut lines = BufReader::new(Limited::new(stdout)).lines();
    for _ in 0..4 {
        stdin.write_all(b"\n").unwrap();
        let line = lines.next().unwrap().unwrap();
        assert!(line.starts_with("psstat,process_name=web n_proc=2i "), "{line}");
    }
    drop(stdin);
    let output = limit::finish(child, limit::LIMIT);
    let stderr = String::from_utf8(output.stderr).unwrap();
    let warnings: String =
        stderr.split_inclusive('\n').filter(|line| line.starts_with("W! ")).collect();
    assert_warnings(&warnings, &[&["cpu.pressure"], &["memory.peak"]]);
}

#[test]
fn a_unit_that_is_made_again_counts_from_zero() {
    let machine = with_services(Mounted::V2);
    let before = Feels { throttled: 50_000, cpu: 9_000, kills: 3, ..NOTHING };
    before.write(&machine, NGINX);
    let mut job = job(&machine, &["--systemd=web:nginx"]);
    job.sample();
    Feels { kills: 4, ..before }.write(&machine, NGINX);
    assert_eq!(next(&mut job).value("web", "oom_kills"), Some(1.0));
    // Its new counters are below the old ones, and then above.
    for (pid, cpu, kills, all) in [(12, 4_000, 2, 3.0), (13, 30_000, 9, 12.0)] {
        restart(&machine, NGINX, pid, 0);
        Feels { throttled: cpu, cpu, kills, ..NOTHING }.write(&machine, NGINX);
        let sample = next(&mut job);
        assert_near(micros(&sample, "web", "cpu_throttled"), cpu);
        assert_near(micros(&sample, "web", "cpu_pressure"), cpu);
        assert_eq!(sample.value("web", "oom_kills"), Some(all));
    }
    // It stops, and starts again.
    machine.remove(NGINX);
    let sample = next(&mut job);
    assert_eq!(sample.keys("web"), "n_proc,oom_kills,p_cpu");
    assert_eq!(sample.value("web", "oom_kills"), Some(12.0));
    machine.put(NGINX, &[14]);
    Feels { kills: 1, ..NOTHING }.write(&machine, NGINX);
    assert_eq!(next(&mut job).value("web", "oom_kills"), Some(13.0));
}

#[test]
fn a_counter_that_falls_is_a_new_baseline() {
    let machine = with_services(Mounted::V2);
    Feels { throttled: 5_000_000, cpu: 5_000_000, kills: 9, ..NOTHING }.write(&machine, NGINX);
    let mut job = job(&machine, &["--systemd=nginx"]);
    job.sample();
    Feels { throttled: 4_000_000, cpu: 5_000_000, kills: 3, ..NOTHING }.write(&machine, NGINX);
    let sample = next(&mut job);
    assert_eq!(sample.value("nginx", "cpu_throttled"), None);
    assert_eq!(sample.value("nginx", "cpu_pressure"), Some(0.0));
    assert_eq!(sample.value("nginx", "oom_kills"), Some(0.0));
    Feels { throttled: 4_020_000, cpu: 5_000_000, kills: 4, ..NOTHING }.write(&machine, NGINX);
    let sample = next(&mut job);
    assert_near(micros(&sample, "nginx", "cpu_throttled"), 20_000);
    assert_eq!(sample.value("nginx", "oom_kills"), Some(1.0));
}

/// The group can have any age, so its counters are only a baseline.
#[test]
fn a_selector_that_is_added_has_no_rate_at_first() {
    let machine = with_services(Mounted::V2);
    for path in [NGINX, CRON] {
        Feels { throttled: 70_000_000, kills: 5, ..NOTHING }.write(&machine, path);
    }
    let mut job = job(&machine, &["--systemd=nginx"]);
    job.sample();
    let fields = format!("--fields=p_cpu,n_proc,{FIELDS}");
    job.select(&["--systemd=nginx", "--systemd=cron", &fields]);
    let sample = next(&mut job);
    assert_eq!(sample.value("cron", "cpu_throttled"), None);
    assert_eq!(sample.value("cron", "oom_kills"), Some(0.0));
    assert_eq!(sample.value("nginx", "cpu_throttled"), Some(0.0));
    assert_eq!(next(&mut job).value("cron", "cpu_throttled"), Some(0.0));
    // So are those of a group that was known without them.
    job.select(&["--systemd=nginx", "--systemd=cron", "--fields=p_cpu,n_proc"]);
    job.sample();
    job.select(&["--systemd=nginx", "--systemd=cron", &fields]);
    let sample = next(&mut job);
    assert_eq!(sample.value("cron", "cpu_throttled"), None);
    assert_eq!(sample.value("cron", "oom_kills"), Some(0.0));
}

#[test]
fn a_group_of_several_control_groups_adds_up_what_adds_up() {
    let machine = with_services(Mounted::V2);
    let both = ["--systemd=all:nginx", "--systemd=all:cron"];
    NOTHING.write(&machine, NGINX);
    NOTHING.write(&machine, CRON);
    let mut job = job(&machine, &both);
    job.sample();
    let feels =
        |cpu, limit| Feels { throttled: cpu, cpu, io: cpu, kills: 2, limit, peak: 100, ..NOTHING };
    feels(9_000, "5000").write(&machine, NGINX);
    feels(4_000, "3000").write(&machine, CRON);
    let sample = next(&mut job);
    assert_near(micros(&sample, "all", "cpu_throttled"), 13_000);
    assert_near(micros(&sample, "all", "cpu_pressure"), 9_000);
    assert_near(micros(&sample, "all", "io_pressure"), 9_000);
    let levels = ["oom_kills", "mem_limit", "mem_peak"].map(|field| sample.value("all", field));
    assert_eq!(levels, [Some(4.0), Some(8000.0), Some(200.0)]);
    // One of them cannot be read: the sum is not known.
    fs::remove_file(machine.group(CRON).join("memory.peak")).unwrap();
    fs::remove_file(machine.group(CRON).join("io.pressure")).unwrap();
    let sample = next(&mut job);
    assert_eq!(sample.value("all", "mem_peak"), None);
    assert_eq!(sample.value("all", "io_pressure"), None);
    assert_eq!(sample.value("all", "cpu_pressure"), Some(0.0));
}

#[test]
fn a_memory_limit_is_the_smallest_up_to_the_root() {
    let machine = with_services(Mounted::V2);
    let set = |path: &str, limit: &str| {
        machine.write(machine.group(path).join("memory.max"), format!("{limit}\n"));
    };
    let limits = || {
        let names =
            ["--systemd=nginx", "--systemd=cron", "--systemd=all:nginx", "--systemd=all:cron"];
        let sample = machine.sample(&[&names[..], &["--fields=p_cpu,n_proc,mem_limit"]].concat());
        assert_eq!(sample.stderr, "");
        ["nginx", "cron", "all"]
            .map(|name| sample.value(name, "mem_limit").map(|bytes| bytes as u64))
    };
    set(REFERENCE.0, "max");
    set(NGINX, "5000");
    set(CRON, "max");
    assert_eq!(limits(), [Some(5000), None, None], "the slice has no such file");
    set("system.slice", "max");
    assert_eq!(limits(), [Some(5000), None, None]);
    set("system.slice", "7000");
    assert_eq!(limits(), [Some(5000), Some(7000), Some(7000)], "both together");
    set(CRON, "1000");
    assert_eq!(limits(), [Some(5000), Some(1000), Some(6000)]);
    // In a container, the root that is seen has a limit too.
    set("", "4000");
    assert_eq!(limits(), [Some(4000), Some(1000), Some(4000)]);
    // Without the controller, the limit above it holds.
    fs::remove_file(machine.group(CRON).join("memory.max")).unwrap();
    assert_eq!(limits(), [Some(4000), Some(4000), Some(4000)]);
    set("", "0");
    assert_eq!(limits(), [Some(0), Some(0), Some(0)]);
}

/// Nobody can say what processes felt by themselves, nor how much of a sum is missing.
#[test]
fn a_group_of_other_processes_has_no_such_fields() {
    let machine = with_services(Mounted::V2);
    Feels { limit: "4096", ..NOTHING }.write(&machine, NGINX);
    let sample = job(&machine, &["--pid=web:10", "--pattern=^x$"]).second_sample();
    assert_eq!(sample.keys("web"), "n_proc,p_cpu");
    assert_eq!(sample.stderr, "", "the reference has them");
    let sample = job(&machine, &["--systemd=web:nginx", "--pid=web:20"]).second_sample();
    assert_eq!(sample.keys("web"), "n_proc,p_cpu", "it has another process");
    // Without any control group, it is a mistake.
    let directory = machine.group("").ancestors().nth(3).unwrap().to_owned();
    let run = |directory: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_psstat"));
        command.args([
            "--pid=web:10",
            "--fields=n_proc,cpu_pressure,mem_peak",
            "--cache-name=other",
        ]);
        command.arg("--proc").arg(directory.join("proc")).arg("--cache-dir").arg(directory);
        limit::output(&mut command).unwrap()
    };
    run(&directory);
    let output = run(&directory);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_warning(&stderr, &["cpu_pressure and mem_peak are left out", "--systemd", "--cgroup"]);
}

#[test]
fn members_in_another_pid_namespace_leave_out_no_such_field() {
    let machine = with_services(Mounted::V2);
    Feels { limit: "4096", ..NOTHING }.write(&machine, NGINX);
    machine.write(machine.group(NGINX).join("cgroup.procs"), "0\n10\n0\n");
    let sample = job(&machine, &["--systemd=nginx"]).second_sample();
    assert_eq!(sample.keys("nginx").split(',').count(), 2 + FIELDS.split(',').count());
}

#[test]
fn swap_of_a_unit_is_that_of_its_control_group() {
    let machine = with_services(Mounted::V2);
    let status = |pid: u32, text: &str| machine.write(format!("proc/{pid}/status"), text);
    for pid in [10, 11, 20, 900] {
        status(pid, "Name:\tx\nVmSwap:\t      40 kB\n");
    }
    let fields = "--fields=p_cpu,n_proc,swap";
    let names = ["--systemd=nginx", "--systemd=cron", "--pid=one:10", fields];
    let swap = || {
        let sample = machine.sample(&names);
        assert_eq!(sample.stderr, "");
        ["nginx", "cron", "one"].map(|name| sample.value(name, "swap").map(|bytes| bytes as u64))
    };
    let kib = |kib: u64| Some(kib * 1024);
    assert_eq!(swap(), [kib(80), kib(40), kib(40)], "the sum of its processes");
    NOTHING.write(&machine, CRON);
    Feels { swap: 50 * 1024, ..NOTHING }.write(&machine, NGINX);
    assert_eq!(swap(), [kib(50), kib(0), kib(40)], "what they share counts once");
    // Then the files of the processes are not read.
    status(20, "garbage");
    status(11, "garbage");
    assert_eq!(swap(), [kib(50), kib(0), kib(40)]);
    machine.write(machine.group(CRON).join("memory.swap.current"), "garbage\n");
    status(20, "Name:\tx\nVmSwap:\t      3 kB\n");
    assert_eq!(swap(), [kib(50), kib(3), kib(40)]);
}

/// The main process of a unit is a start; its workers are not, and neither is a command in another unit.
#[test]
fn starts_of_a_unit_are_its_processes_without_a_parent_in_it() {
    let machine = with_services(Mounted::V2);
    let now = || crate::support::ticks_since_boot();
    let mut job =
        machine.job(&["--systemd=web:nginx", "--systemd=system.slice", "--fields=p_cpu,starts"]);
    job.sample();
    let mut starts = |machine: &Machine, pids: &[(u32, u32, u64)]| {
        for &(pid, parent, start) in pids {
            machine.process(pid, Process { parent, start, ..Process::default() });
        }
        let all: Vec<u32> = pids.iter().map(|&(pid, ..)| pid).collect();
        machine.put(NGINX, &all);
        sleep(Duration::from_millis(40));
        let sample = job.sample();
        assert_eq!(sample.stderr, "");
        ["web", "system.slice"].map(|name| sample.value(name, "starts"))
    };
    assert_eq!(starts(&machine, &[(10, 1, 100), (11, 10, 100)]), [Some(0.0); 2]);
    let main = now();
    assert_eq!(starts(&machine, &[(30, 1, main), (31, 30, main), (32, 31, main)]), [Some(1.0); 2]);
    assert_eq!(starts(&machine, &[(30, 1, main), (31, 30, main)]), [Some(0.0); 2], "once");
    assert_eq!(starts(&machine, &[(30, 1, main), (33, 30, now())]), [Some(0.0); 2], "a worker");
    assert_eq!(
        starts(&machine, &[(30, 1, main), (34, 20, now())]),
        [Some(1.0), Some(0.0)],
        "cron's"
    );
    for pid in 40..43 {
        assert_eq!(starts(&machine, &[(pid, 1, now())]), [Some(1.0); 2], "a restart loop");
    }
    assert_eq!(starts(&machine, &[]), [Some(0.0); 2]);
}
