//! Units and control groups on simulated machines: every hierarchy, and malformed content.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails a test")]

mod figures;
mod machine;
mod memory;
mod templates;
mod walk;

use crate::stderr::{assert_warning, assert_warnings};
use crate::support::{limit, may_be_root, public_binary};
use machine::{Machine, Mounted, Process, REFERENCE_MILLIS};
use std::fs;
use std::path::Path;

const NGINX: &str = "system.slice/nginx.service";
const CRON: &str = "system.slice/cron.service";

/// A machine with two services: one has two processes, the other has one.
fn with_services(mounted: Mounted) -> Machine {
    let machine = Machine::new(mounted);
    machine.put("system.slice", &[]);
    machine.put(NGINX, &[10, 11]);
    machine.put(CRON, &[20]);
    machine
}

// ---- Conditions ----------------------------------------------------------------------------------

#[test]
fn in_a_unit_processes_that_meet_the_conditions_are_roots() {
    for mounted in Mounted::ALL {
        let machine = Machine::new(mounted);
        machine.put("system.slice", &[]);
        machine.put(NGINX, &[10, 11, 12, 13]);
        machine.put(CRON, &[20]);
        let process = |comm, parent, own| Process { comm, parent, own, ..Process::default() };
        machine.process(11, process("worker", 10, 0));
        machine.process(12, process("worker", 10, 0));
        machine.process(13, process("cgi", 12, 0));
        machine.process(20, process("worker", 1, 0));
        let config = machine.config(
            "[[group]]\nname = 'workers'\nsystemd = 'nginx'\npattern = '^worker$'\n\
             [[group]]\nname = 'alone'\ncgroup = 'system.slice/*'\npattern = '^worker$'\n\
             children = false\n\
             [[group]]\nsystemd = 'nginx'\npattern = 'cgi'\n\
             [[group]]\nsystemd = 'nginx'\n",
        );
        let mut job = machine.job(&[&config]);
        job.sample();
        machine.process(11, process("worker", 10, 30));
        machine.process(13, process("cgi", 12, 20));
        machine.process(20, process("worker", 1, 50));
        let sample = job.sample();
        let counts = [("workers", 3), ("alone", 3), ("cgi", 1), ("nginx", 4)];
        assert_eq!(sample.counts(), counts, "{mounted:?}");
        let used = ["workers", "alone", "cgi"].map(|name| sample.used(name));
        assert_eq!(used, [Some(500), Some(800), Some(200)], "{mounted:?}");
        // Only a machine without hierarchies causes a warning.
        let is_fallback = sample.stderr.starts_with("W! ") && sample.stderr.contains("--sys");
        assert_eq!(is_fallback, mounted == Mounted::Nothing, "{mounted:?}: {}", sample.stderr);
    }
}

// ---- Hierarchies --------------------------------------------------------------------------------

#[test]
fn every_hierarchy_yields_the_same_lines() {
    for mounted in Mounted::ALL {
        let machine = with_services(mounted);
        let selectors = [
            "--systemd=nginx",
            "--systemd=c*",
            "--systemd=system.slice",
            "--cgroup=system.slice/n*",
        ];
        let mut job = machine.job(&selectors);
        let first = job.sample();
        assert!(first.names.is_empty() && first.stderr.contains("I! first run"), "{first:?}");
        machine.has_used(NGINX, 10, 2500);
        let sample = job.sample();
        let counts = [("nginx", 2), ("cron", 1), ("system.slice", 3), (NGINX, 2)];
        assert_eq!(sample.counts(), counts, "{mounted:?}");
        let is_fallback = sample.stderr.starts_with("W! ") && sample.stderr.contains("--sys");
        assert_eq!(is_fallback, mounted == Mounted::Nothing, "{mounted:?}: {}", sample.stderr);
        assert!(is_fallback || sample.stderr.is_empty(), "{mounted:?}: {}", sample.stderr);
        assert_eq!(sample.used("nginx"), Some(2500), "{mounted:?}");
        assert_eq!(sample.used(NGINX), Some(2500), "{mounted:?}");
        assert_eq!(sample.used("cron"), Some(0), "{mounted:?}");
        assert_eq!(sample.pages("system.slice"), 30, "{mounted:?}");
    }
}

#[test]
fn a_hierarchy_that_systemd_does_not_use_is_ignored() {
    let machine = with_services(Mounted::V1);
    // Many hosts with version 1 mount it, with all processes in its root.
    machine.write("sys/fs/cgroup/unified/cgroup.procs", "1\n10\n11\n20\n");
    assert_eq!(machine.sample(&["--systemd=nginx"]).counts(), [("nginx", 2)]);
}

#[test]
fn without_systemd_cpuacct_lists_the_processes() {
    let machine = Machine::new(Mounted::Nothing);
    let counts = "sys/fs/cgroup/cpu,cpuacct";
    machine.process(10, Process::default());
    machine.write(format!("{counts}/docker/abc/cgroup.procs"), "10\n");
    machine.write(format!("{counts}/docker/abc/cpuacct.usage"), "7000000000\n");
    machine.write(format!("{counts}/reference/cgroup.procs"), "900\n");
    let mut job = machine.job(&["--cgroup=docker/*"]);
    job.sample();
    machine.write(format!("{counts}/docker/abc/cpuacct.usage"), "10000000000\n");
    let sample = job.sample();
    assert_eq!(sample.counts(), [("docker/abc", 1)]);
    assert_eq!(sample.used("docker/abc"), Some(3000));
}

#[test]
fn without_hierarchies_the_processes_name_their_groups() {
    let machine = Machine::new(Mounted::Nothing);
    machine.process(10, Process::default());
    let sample = machine.sample(&["--systemd=*", "--systemd=web:nginx", "--cgroup=*/*"]);
    assert_eq!(sample.count("web"), 0);
    assert_eq!(sample.used("web"), Some(0));
    // The reference and systemd have a file `cgroup`; process 10 does not.
    assert_eq!(sample.counts(), [("-.slice", 2), ("init.scope", 1), ("web", 0)]);
}

#[test]
fn the_unified_line_then_systemd_then_cpuacct_decides() {
    for (lines, unit) in [
        ("0::/system.slice/a.service\n", "a"),
        ("3:cpuacct:/x\n1:name=systemd:/system.slice/a.service\n0::/system.slice/b.service\n", "b"),
        (
            "0::/\n3:cpu,cpuacct:/system.slice/x.service\n1:name=systemd:/system.slice/a.service\n",
            "a",
        ),
        ("3:cpu,cpuacct:/system.slice/a.service\n2:memory:/system.slice/x.service\n0::/\n", "a"),
        ("0::/../../system.slice/a.service\n", "a"),
        ("0::/../system.slice/../a.service\n", ""),
        ("0::/system.slice/a.service (deleted)\n", "a"),
        ("0::/system.slice/a.service/inner (deleted)\n", "a"),
        ("1:name=systemd:/system.slice/a:b.service\n", "a:b"),
        ("0::/..\n", ""),
        ("0::/\n", ""),
        ("garbage\n\n::\n0:\n", ""),
        ("", ""),
    ] {
        let machine = Machine::new(Mounted::Nothing);
        machine.process(10, Process::default());
        machine.write("proc/10/cgroup", lines);
        let sample = machine.sample(&["--systemd=*.service"]);
        let expected: &[(&str, u64)] = if unit.is_empty() { &[] } else { &[(unit, 1)] };
        assert_eq!(sample.counts(), expected, "{lines:?}");
    }
}

#[test]
fn unit_paths_are_relative_to_the_root_of_systemd() {
    for mounted in [Mounted::V2, Mounted::Hybrid, Mounted::V1, Mounted::Nothing] {
        let machine = Machine::new(mounted);
        if mounted != Mounted::Nothing {
            machine.remove("init.scope");
        }
        machine.put("docker/abc/init.scope", &[1]);
        machine.put("docker/abc/system.slice/nginx.service", &[10, 11]);
        machine.put("system.slice/other.service", &[20]);
        let sample = machine.sample(&["--systemd=-.slice", "--systemd=*.service"]);
        assert_eq!(sample.counts(), [("-.slice", 3), ("nginx", 2)], "{mounted:?}");
    }
}

#[test]
fn a_container_without_systemd_has_no_units() {
    for mounted in [Mounted::V2, Mounted::Nothing] {
        let machine = Machine::new(mounted);
        if mounted != Mounted::Nothing {
            machine.remove("init.scope");
        }
        machine.put("docker/abc", &[1]);
        machine.put("docker/abc/system.slice/nginx.service", &[10]);
        let sample = machine.sample(&["--systemd=nginx", "--cgroup=*/nginx.service"]);
        assert_eq!(sample.counts(), [("docker/abc/system.slice/nginx.service", 1)], "{mounted:?}");
    }
}

// ---- Members ------------------------------------------------------------------------------------

#[test]
fn members_in_another_pid_namespace_count_with_a_warning() {
    let machine = with_services(Mounted::V2);
    machine.write(machine.group(NGINX).join("cgroup.procs"), "0\n10\n0\n");
    let sample = machine.sample(&["--systemd=nginx"]);
    assert_eq!(sample.counts(), [("nginx", 3)]);
    assert_warning(&sample.stderr, &["2 ", "pid namespace", "--proc", "HOST_PROC"]);
}

/// A sum over some of the processes would look like the sum over all.
#[test]
fn a_group_with_foreign_members_has_no_partial_sums() {
    let machine = with_services(Mounted::V2);
    machine.write(machine.group(NGINX).join("cgroup.procs"), "0\n10\n0\n");
    let fields = "--fields=p_cpu,p_mem,n_proc,cpu_time,mem,n_thread,n_zombie,faults_major,uptime";
    let sample = machine.sample(&["--systemd=nginx", "--systemd=cron", fields]);
    assert_eq!(sample.keys("nginx"), "cpu_time,n_proc,p_cpu");
    let all = "cpu_time,faults_major,mem,n_proc,n_thread,n_zombie,p_cpu,p_mem,uptime";
    assert_eq!(sample.keys("cron"), all, "it has no such members");
    assert_warning(&sample.stderr, &["2 ", "n_proc"]);
}

#[test]
fn only_pids_of_existing_processes_count() {
    for (list, count) in [
        ("10\n4000\n", 1),
        ("", 0),
        ("garbage\n-1\n10 11\n99999999999\n\n11\n", 1),
        ("11\n10\n11\n", 2),
    ] {
        let machine = with_services(Mounted::V2);
        machine.write(machine.group(NGINX).join("cgroup.procs"), list);
        let sample = machine.sample(&["--systemd=web:nginx"]);
        assert_eq!((sample.counts(), &*sample.stderr), (vec![("web", count)], ""), "{list:?}");
    }
}

#[test]
fn a_group_without_cgroup_procs_has_no_processes() {
    let machine = with_services(Mounted::V2);
    fs::remove_file(machine.group(NGINX).join("cgroup.procs")).unwrap();
    assert_eq!(machine.sample(&["--systemd=nginx", "--systemd=cron"]).counts(), [("cron", 1)]);
}

#[test]
fn all_groups_below_a_unit_belong_to_it() {
    let machine = with_services(Mounted::V2);
    machine.put("system.slice/nginx.service/payload", &[30, 31]);
    machine.put("system.slice/nginx.service/payload/fake.service", &[32]);
    let sample = machine.sample(&["--systemd=nginx", "--systemd=fake"]);
    assert_eq!(sample.counts(), [("nginx", 5)]);
}

#[test]
fn a_zombie_is_not_counted_but_its_cpu_time_is() {
    for mounted in Mounted::ALL {
        let machine = with_services(mounted);
        machine.process(11, Process { state: 'Z', resident: 0, own: 500, ..Process::default() });
        let mut job = machine.job(&["--systemd=nginx"]);
        job.sample();
        machine.has_used(NGINX, 10, 300);
        let sample = job.sample();
        assert_eq!(sample.counts(), [("nginx", 1)], "{mounted:?}");
        assert_eq!(sample.used("nginx"), Some(300), "{mounted:?}");
    }
}

#[test]
fn memory_of_a_unit_is_summed_in_each_mode() {
    let machine = with_services(Mounted::V2);
    machine.process(10, Process { resident: 100, shared: 60, ..Process::default() });
    machine.process(11, Process { resident: 90, shared: 80, ..Process::default() });
    // Proportional set sizes: 12 KiB and 20 KiB.
    machine.write("proc/10/smaps_rollup", "Rss: 400 kB\nPss: 12 kB\n");
    machine.write("proc/11/smaps_rollup", "Rss: 360 kB\nPss: 20 kB\n");
    for (mode, pages) in [("rss", 190), ("shared-once", 40 + 10 + 80), ("pss", 8)] {
        let sample = machine.sample(&["--systemd=nginx", "--memory", mode]);
        assert_eq!(sample.pages("nginx"), pages, "{mode}");
    }
}

// ---- What cannot be read ------------------------------------------------------------------------

/// A file that cannot be read is a directory here: root may read every file.
#[test]
fn a_unit_that_cannot_be_read_once_has_no_line_and_then_a_baseline() {
    for mounted in [Mounted::V2, Mounted::Hybrid, Mounted::V1] {
        for name in ["cgroup.procs", "cpu.stat"] {
            if name == "cpu.stat" && mounted == Mounted::V1 {
                continue;
            }
            let machine = with_services(mounted);
            machine.has_used(NGINX, 10, 90_000_000);
            let mut job =
                machine.job(&["--systemd=web:nginx", "--systemd=nginx", "--systemd=cron"]);
            job.sample();
            let file = machine.group(NGINX).join(name);
            let text = fs::read(&file).unwrap();
            fs::remove_file(&file).unwrap();
            fs::create_dir(&file).unwrap();
            let sample = job.sample();
            assert_eq!(sample.counts(), [("cron", 1)], "{mounted:?}, {name}: {sample:?}");
            let first = sample.stderr.lines().next().unwrap();
            assert!(first.starts_with("W! no line for web, nginx: control group "), "{first}");
            assert!(first.contains(NGINX), "{first}");
            fs::remove_dir(&file).unwrap();
            fs::write(&file, text).unwrap();
            machine.has_used(NGINX, 10, 90_000_500);
            let sample = job.sample();
            assert_eq!(sample.counts(), [("web", 2), ("nginx", 2), ("cron", 1)]);
            assert_eq!((sample.used("web"), sample.stderr.as_str()), (None, ""), "a baseline");
            machine.has_used(NGINX, 10, 90_000_700);
            let sample = job.sample();
            assert_eq!([sample.used("web"), sample.used("nginx")], [Some(200); 2], "{mounted:?}");
        }
    }
}

/// As nobody, who may neither read one unit nor look into a slice.
#[test]
fn a_unit_behind_a_closed_directory_has_no_line() {
    if !may_be_root("a directory that another user may not read") {
        return;
    }
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::os::unix::process::CommandExt;
    let machine = with_services(Mounted::V2);
    machine.put("closed.slice/a.service", &[40]);
    let allow = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let top = machine.group("").ancestors().nth(3).unwrap().to_owned();
    allow(&top, 0o755);
    allow(&machine.group(NGINX), 0o700);
    allow(&machine.group("closed.slice"), 0o700);
    let cache = top.join("private");
    fs::create_dir(&cache).unwrap();
    chown(&cache, Some(65534), Some(65534)).unwrap();
    let program = public_binary();
    let run = |selectors: &[&str]| {
        let mut command = program.command();
        command.uid(65534).gid(65534).args(selectors).arg("--proc").arg(top.join("proc"));
        command.arg("--sys").arg(top.join("sys")).args([
            "--wait=1ms",
            "--fields=n_proc",
            "--host=",
        ]);
        let output = limit::output(&mut command).unwrap();
        let names = String::from_utf8(output.stdout).unwrap();
        let names = names.lines().map(|line| line.split(' ').next().unwrap().to_owned());
        (names.collect::<Vec<_>>(), String::from_utf8(output.stderr).unwrap())
    };
    let cron = "psstat,process_name=cron".to_owned();
    let (names, stderr) = run(&["--cgroup=web:system.slice/nginx.service", "--systemd=cron"]);
    // A unit of that name could be in the closed slice, too.
    assert!(names.is_empty(), "{names:?}: {stderr}");
    let closed = "--cgroup=cron:system.slice/cron*";
    let (names, stderr) = run(&["--cgroup=web:system.slice/nginx.service", closed]);
    assert_eq!(names, [cron], "{stderr}");
    // Nor does one that another selector would find below it.
    let (names, stderr) = run(&["--systemd=all:closed*.slice", "--systemd=web:a"]);
    assert!(names.is_empty(), "{names:?}: {stderr}");
    // The closed slice matters only to a selector that can find something in it.
    let (_, stderr) = run(&["--cgroup=web:system.slice/nginx.service", closed]);
    assert!(stderr.starts_with("W! no line for web: control group "), "{stderr}");
    let (names, stderr) = run(&["--cgroup=web:*/nginx.service", closed]);
    assert_eq!(names, ["psstat,process_name=cron"], "{stderr}");
    let warnings: Vec<&str> = stderr.lines().collect();
    assert!(warnings[0].starts_with("W! no line for web: 2 control groups cannot be"), "{stderr}");
    assert!(warnings[0].contains("permission denied"), "{stderr}");
}

#[test]
fn without_any_unit_in_sight_units_have_no_line() {
    for mounted in [Mounted::V2, Mounted::Nothing] {
        let machine = Machine::new(mounted);
        if mounted == Mounted::Nothing {
            machine.put("", &[1]);
        } else {
            machine.remove("init.scope");
        }
        machine.put("docker/x", &[20]);
        let sample = machine.sample(&["--systemd=web:nginx", "--cgroup=x:docker/x"]);
        assert_eq!(sample.counts(), [("x", 1)], "{mounted:?}: {sample:?}");
        let first = sample.stderr.lines().next().unwrap();
        assert!(first.starts_with("W! no line for web: no systemd unit is in sight"), "{sample:?}");
        assert!(first.contains("HOST_SYS"), "{sample:?}");
    }
}

#[test]
fn without_any_unit_in_sight_the_advice_is_not_systemctl() {
    let machine = Machine::new(Mounted::V2);
    machine.add_unit_files(&["nginx.service"]);
    machine.remove("init.scope");
    let sample = machine.sample(&["--systemd=nginx"]);
    assert_warning(&sample.stderr, &["no systemd unit is in sight", "--cgroup", "HOST_SYS"]);
    assert!(!sample.stderr.contains("systemctl"), "{sample:?}");
}

// ---- What does not exist ------------------------------------------------------------------------

#[test]
fn an_alias_means_the_unit_that_its_link_leads_to() {
    for mounted in [Mounted::V2, Mounted::Hybrid, Mounted::V1] {
        let machine = with_services(mounted);
        machine.add_unit_files(&["nginx.service", "worker@.service"]);
        machine.add_alias("web.service", "nginx.service");
        machine.add_alias("job@.service", "worker@.service");
        machine.put("system.slice/system-worker.slice/worker@a.service", &[30]);
        let selectors = ["--systemd=web", "--systemd=job:job@a", "--systemd=stopped:job@b"];
        let mut job = machine.job(&selectors);
        job.sample();
        machine.has_used(NGINX, 10, 700);
        let sample = job.sample();
        assert_eq!(sample.counts(), [("nginx", 2), ("job", 1), ("stopped", 0)], "{mounted:?}");
        assert_eq!((sample.used("nginx"), &*sample.stderr), (Some(700), ""), "{mounted:?}");
    }
}

#[test]
fn a_unit_without_a_file_is_reported_with_and_without_a_name() {
    let machine = with_services(Mounted::V2);
    machine.add_unit_files(&["nginx.service", "stopped.service", "worker@.service"]);
    let all = [
        "--systemd=web:ngnix",
        "--systemd=cron",
        "--systemd=down:stopped",
        "--systemd=template:worker@a",
        "--systemd=session-9.scope",
        "--systemd=timer:bakcup.timer",
        "--systemd=swap:dev-sdb.swap",
        "--systemd=apahce",
    ];
    let sample = machine.sample(&all);
    let no_file = "no unit file of that name";
    let expected: [&[&str]; 4] = [
        &["--systemd ngnix.service", no_file],
        &["--systemd session-9.scope", "systemctl list-units"],
        &["--systemd bakcup.timer", no_file],
        &["--systemd apahce.service", no_file],
    ];
    assert_warnings(&sample.stderr, &expected);
    assert_eq!(sample.count("web"), 0);
    // cron has no file and runs. Where nobody knows systemd's directories, nothing is said of files.
    let without_directories = with_services(Mounted::V2);
    assert!(!without_directories.sample(&all).stderr.contains(no_file));
}

#[test]
fn a_control_group_that_is_not_there_is_reported_in_the_first_sample() {
    let machine = with_services(Mounted::V2);
    let mut job = machine.job(&[
        "--cgroup=web:nginx.service",
        "--cgroup=all:*.scoop",
        "--cgroup=system.slice/none",
        "--cgroup=cron:system.slice/cr*",
    ]);
    let first = job.sample().stderr;
    let first: String =
        first.split_inclusive('\n').filter(|line| line.starts_with("W! ")).collect();
    let unnamed: &[&str] = &["--cgroup system.slice/none", "/proc/PID/cgroup"];
    let named: [&[&str]; 2] =
        [&["--cgroup nginx.service", "/proc/PID/cgroup"], &["--cgroup *.scoop", "whole path"]];
    assert_warnings(&first, &[named[0], named[1], unnamed]);
    // A service may be stopped. Its line says so.
    let sample = job.sample();
    assert_eq!(sample.counts(), [("web", 0), ("all", 0), ("cron", 1)]);
    assert_warnings(&sample.stderr, &[unnamed]);
}

// ---- CPU time -----------------------------------------------------------------------------------

#[test]
fn without_a_counter_cpu_time_comes_from_the_processes() {
    for text in ["nr_periods 0\n", "", "usage_usec\n", "usage_usec x\n"] {
        let machine = with_services(Mounted::V2);
        let mut job = machine.job(&["--systemd=nginx"]);
        machine.write(machine.group(NGINX).join("cpu.stat"), text);
        job.sample();
        machine.has_used(NGINX, 10, 700);
        machine.write(machine.group(NGINX).join("cpu.stat"), text);
        assert_eq!(job.sample().used("nginx"), Some(700), "{text:?}");
    }
}

#[test]
fn a_counter_that_was_reset_counts_from_zero() {
    for mounted in [Mounted::V2, Mounted::V1] {
        let machine = with_services(mounted);
        machine.has_used(NGINX, 10, 90_000);
        let mut job = machine.job(&["--systemd=nginx"]);
        job.sample();
        machine.has_used(NGINX, 10, 400);
        assert_eq!(job.sample().used("nginx"), Some(400), "{mounted:?}");
        machine.has_used(NGINX, 10, 500);
        assert_eq!(job.sample().used("nginx"), Some(100), "{mounted:?}");
    }
}

/// Replaces a group by a new one. The new directory is created before the old one is removed, so that
/// they have different inode numbers.
fn restart(machine: &Machine, path: &str, pid: u32, used: u64) {
    let away = format!("{path}.away");
    fs::rename(machine.group(path), machine.group(&away)).unwrap();
    machine.put(path, &[pid]);
    machine.has_used(path, pid, used);
    machine.remove(&away);
}

#[test]
fn a_group_that_was_recreated_counts_from_zero() {
    for mounted in [Mounted::V2, Mounted::Hybrid, Mounted::V1] {
        // More or less than the old group had used: the rate has neither spike nor gap.
        for used in [300, 60_000] {
            let machine = with_services(mounted);
            machine.has_used(NGINX, 10, 50_000);
            let mut job = machine.job(&["--systemd=nginx"]);
            job.sample();
            restart(&machine, NGINX, 12, used);
            let sample = job.sample();
            assert_eq!(sample.counts(), [("nginx", 1)], "{mounted:?}");
            assert_eq!(sample.used("nginx"), Some(used), "{mounted:?}");
        }
    }
}

#[test]
fn a_new_unit_counts_in_full_and_a_removed_one_is_zero() {
    for mounted in [Mounted::V2, Mounted::V1] {
        let machine = with_services(mounted);
        let mut job = machine.job(&["--systemd=n*", "--systemd=web:n*"]);
        job.sample();
        machine.remove(NGINX);
        let sample = job.sample();
        assert_eq!(sample.counts(), [("web", 0)], "{mounted:?}");
        assert_eq!((sample.used("web"), sample.pages("web")), (Some(0), 0), "{mounted:?}");
        machine.put("system.slice/new.service", &[30]);
        machine.has_used("system.slice/new.service", 30, 800);
        let sample = job.sample();
        assert_eq!(sample.counts(), [("new", 1), ("web", 1)], "{mounted:?}");
        assert_eq!([sample.used("new"), sample.used("web")], [Some(800); 2], "{mounted:?}");
    }
}

#[test]
fn a_unit_without_processes_is_down() {
    for mounted in Mounted::ALL {
        let machine = with_services(mounted);
        machine.has_used(CRON, 20, 5000);
        let mut job = machine.job(&["--systemd=cron", "--systemd=jobs:cron"]);
        job.sample();
        assert_eq!(job.sample().counts(), [("cron", 1), ("jobs", 1)], "{mounted:?}");
        machine.end(20);
        let sample = job.sample();
        assert_eq!(sample.counts(), [("jobs", 0)], "{mounted:?}");
        assert_eq!((sample.used("jobs"), sample.pages("jobs")), (Some(0), 0), "{mounted:?}");
    }
}

#[test]
fn a_new_selector_has_no_rate_in_its_first_line() {
    for mounted in Mounted::ALL {
        let machine = with_services(mounted);
        machine.has_used(NGINX, 10, 70_000);
        let mut job = machine.job(&["--systemd=cron"]);
        job.sample();
        job.select(&["--systemd=cron", "--systemd=nginx"]);
        let sample = job.sample();
        assert_eq!(sample.counts(), [("cron", 1), ("nginx", 2)], "{mounted:?}");
        assert_eq!(sample.used("cron"), Some(0), "{mounted:?}");
        assert_eq!(sample.used("nginx"), None, "{mounted:?}");
        machine.has_used(NGINX, 10, 70_600);
        assert_eq!(job.sample().used("nginx"), Some(600), "{mounted:?}");
    }
}

#[test]
fn systemd_does_not_inherit_the_cpu_time_of_units() {
    // A service that used 100 s ended, and systemd waited for it. Without a counter this looks like
    // CPU time of systemd itself.
    for mounted in Mounted::ALL {
        let machine = with_services(mounted);
        let systemd = Process { comm: "systemd", parent: 0, ..Process::default() };
        let mut job = machine.job(&["--systemd=init.scope"]);
        job.sample();
        machine.process(1, Process { own: 20, children: 10_000, ..systemd });
        if mounted != Mounted::Nothing {
            machine.put("init.scope", &[1]);
        }
        let used = job.sample().used("init.scope");
        let counted = !matches!(mounted, Mounted::V1Bare | Mounted::Nothing);
        assert_eq!(used, Some(if counted { 0 } else { 200 }), "{mounted:?}");
    }
}

#[test]
fn process_1_grouped_with_units_counts_its_own_time_only() {
    let machine = with_services(Mounted::V2);
    let systemd = Process { comm: "systemd", parent: 0, ..Process::default() };
    let mut job = machine.job(&["--pattern=x:^systemd$", "--systemd=x:nginx"]);
    job.sample();
    // A unit that used 100 s has stopped. Its counter, which no longer exists, had counted that.
    machine.process(1, Process { own: 20, children: 10_000, ..systemd });
    // Its own CPU time, and that of the reference, which is its child.
    assert_eq!(job.sample().used("x"), Some(200 + REFERENCE_MILLIS));
}

#[test]
fn an_exact_unit_that_does_not_run_causes_a_warning() {
    let machine = with_services(Mounted::V2);
    let stderr = |selector: &str| machine.sample(&[selector]).stderr;
    assert_warning(&stderr("--systemd=ngnix"), &["--systemd", "ngnix.service"]);
    assert_eq!(stderr("--systemd=down:ngnix"), "", "its line has n_proc=0");
    assert_eq!(stderr("--systemd=ngnix*"), "", "a glob may match nothing");
}

// ---- Groups of several selectors ----------------------------------------------------------------

#[test]
fn units_with_the_same_name_form_one_group() {
    for mounted in Mounted::ALL {
        let machine = with_services(mounted);
        let mut job = machine.job(&["--systemd=both:nginx", "--systemd=both:cron"]);
        job.sample();
        machine.has_used(NGINX, 10, 300);
        machine.has_used(CRON, 20, 200);
        let sample = job.sample();
        assert_eq!(sample.counts(), [("both", 3)], "{mounted:?}");
        assert_eq!((sample.used("both"), sample.pages("both")), (Some(500), 30), "{mounted:?}");
    }
}

#[test]
fn nested_control_groups_count_once() {
    for mounted in Mounted::ALL {
        let machine = with_services(mounted);
        let mut job =
            machine.job(&["--systemd=x:nginx", "--systemd=x:system.slice", "--cgroup=x:*/nginx*"]);
        job.sample();
        machine.has_used(NGINX, 10, 300);
        if mounted != Mounted::Nothing {
            // A group includes the groups below it.
            machine.put("system.slice", &[]);
            machine.has_used("system.slice", 999, 300);
        }
        let sample = job.sample();
        assert_eq!(sample.counts(), [("x", 3)], "{mounted:?}");
        assert_eq!((sample.used("x"), sample.pages("x")), (Some(300), 30), "{mounted:?}");
    }
}

#[test]
fn a_unit_and_a_pattern_with_one_name_form_one_group() {
    for mounted in Mounted::ALL {
        let machine = with_services(mounted);
        let tool = |own| Process { comm: "tool", own, ..Process::default() };
        machine.process(50, tool(0));
        machine.put("user.slice", &[50]);
        // The pattern also matches a process of the unit, which counts once.
        machine.process(11, tool(0));
        let mut job = machine.job(&["--systemd=x:nginx", "--pattern=x:^tool$"]);
        job.sample();
        machine.has_used(NGINX, 10, 300);
        machine.process(50, tool(40));
        let sample = job.sample();
        assert_eq!(sample.counts(), [("x", 3)], "{mounted:?}");
        assert_eq!((sample.used("x"), sample.pages("x")), (Some(700), 30), "{mounted:?}");
    }
}

// ---- Names and globs ----------------------------------------------------------------------------

#[test]
fn globs_match_the_whole_path_of_a_control_group() {
    let machine = with_services(Mounted::V2);
    machine.put("user.slice", &[]);
    machine.put("user.slice/a", &[30]);
    machine.put("user.slice/a/b", &[31]);
    for (glob, expected) in [
        ("user.slice/a", &["user.slice/a"][..]),
        ("/user.slice/a", &["user.slice/a"]),
        ("/user.slice/a/", &["user.slice/a"]),
        ("a", &[]),
        ("*/a", &["user.slice/a"]),
        ("user.slice/*", &["user.slice/a", "user.slice/a/b"]),
        ("user*", &["user.slice", "user.slice/a", "user.slice/a/b"]),
        ("*b", &["user.slice/a/b"]),
        ("user.slice/?", &["user.slice/a"]),
        ("user.slice/[!a]*", &[]),
        ("/", &["/"]),
    ] {
        let sample = machine.sample(&["--cgroup", glob]);
        assert_eq!(sample.names, expected, "{glob}");
    }
    assert_eq!(machine.sample(&["--cgroup=/"]).count("/"), 7, "all there are, the reference too");
    assert_eq!(machine.sample(&["--cgroup=all:/"]).counts(), [("all", 7)]);
}

#[test]
fn hostile_names_of_control_groups_break_no_line() {
    for (directory, printed) in [
        (&b"a,b=c d"[..], "a\\,b\\=c\\ d"),
        (b"a\nb", "a\\nb"),
        (b"\xff\xfe", "??"),
        (b"caf\xc3", "caf?"),
        (b"back\\slash\\", "back\\slash"),
        (b"\x1b[31m", "?[31m"),
        (b"\"", "\""),
    ] {
        let machine = Machine::new(Mounted::V2);
        machine.put([b"odd/", directory].concat(), &[30, 31]);
        let sample = machine.sample(&["--cgroup=odd/*"]);
        assert_eq!(sample.counts(), [(&*format!("odd/{printed}"), 2)], "{directory:?}");

        let machine = Machine::new(Mounted::V2);
        machine.put([b"system.slice/", directory, b".service"].concat(), &[30, 31]);
        let sample = machine.sample(&["--systemd=*.service"]);
        // When the ending `.service` is removed, the backslash is the last byte.
        assert_eq!(sample.counts(), [(printed, 2)], "{directory:?}");
    }
}

#[test]
fn the_escape_underscore_is_removed_from_unit_names() {
    for mounted in Mounted::ALL {
        let machine = Machine::new(mounted);
        machine.put("system.slice/_cpu.service", &[30]);
        machine.put("system.slice/_x", &[31]);
        let sample = machine.sample(&["--systemd=cpu", "--systemd=*x*", "--systemd=_*"]);
        assert_eq!(sample.counts(), [("cpu", 1)], "{mounted:?}");
    }
}
