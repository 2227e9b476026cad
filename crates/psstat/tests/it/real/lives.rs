//! Processes that come, go, change their name, end half.

use super::fixture::{Fixture, unique};
use super::meter::{Meter, TICK, second_of_two};
use super::needs;
use psstat_core::discovery::tracker::ROTATION;

/// As many samples find a process that changes its name late: [`ROTATION`] where the machine has
/// no more processes than it had a round ago, and tests beside this one may start some.
const LATE_NAME_SAMPLES: u64 = 4 * ROTATION;

#[test]
fn an_old_process_has_no_cpu_time_at_its_first_sample() {
    let fixture = Fixture::new();
    let name = unique("join");
    let (unnamed, named) = (format!("^{name}$"), format!("named:^{name}$"));
    let old = fixture.actor("old");
    old.burn(1000);
    let mut meter = Meter::start(&["--pattern", &unnamed, "--pattern", &named], &[&old]);
    let reading = meter.sample(&[&old]);
    assert_eq!(
        reading.said.only_line().values,
        "psstat,process_name=named p_cpu=0,p_mem=0,n_proc=0i"
    );

    old.obey(&format!("name {name}"));
    old.burn(300);
    // On a machine with many processes rotation finds who changes its name late.
    let mut sightings = (0..LATE_NAME_SAMPLES).map(|_| meter.sample(&[&old]));
    let reading = sightings.find(|reading| reading.said.line("named").processes > 0);
    let reading = reading.expect("rotation comes to every process");
    drop(sightings);
    for group in [name.as_str(), "named"] {
        let line = reading.said.line(group);
        assert_eq!((line.cpu, line.processes), (None, 1), "unknown is not 0: {line:?}");
        assert!(line.memory.is_some_and(|memory| memory > 0.0), "{line:?}");
    }
    old.burn(200);
    let reading = meter.sample(&[&old]);
    reading.agrees(&name, 1);
    reading.agrees("named", 1);
}

#[test]
fn a_renamed_process_changes_its_group() {
    let fixture = Fixture::new();
    let [one, other] = ["one", "other"].map(unique);
    let (first, second) = (format!("one:^{one}$"), format!("other:^{other}$"));
    let stays = fixture.actor("stays");
    let moves = fixture.actor("moves");
    stays.obey(&format!("name {one}"));
    moves.obey(&format!("name {one}"));
    moves.burn(1500);
    let mut meter = Meter::start(&["--pattern", &first, "--pattern", &second], &[]);
    let counts = |meter: &mut Meter| {
        let reading = meter.sample(&[]);
        let group = |name| {
            let line = reading.said.line(name);
            (line.processes, line.cpu.map(|cpu| cpu * reading.elapsed))
        };
        (group("one"), group("other"))
    };
    let none = |seconds: Option<f64>| seconds.is_some_and(|seconds| seconds <= 2.0 * TICK);

    let (before, empty) = counts(&mut meter);
    assert!(before.0 == 2 && none(before.1) && empty == (0, Some(0.0)), "{before:?} {empty:?}");

    // Neither a dip where it leaves, nor its past where it joins.
    moves.obey(&format!("name {other}"));
    let used = || moves.usage().as_secs_f64();
    let first = used();
    let (left, joined) = counts(&mut meter);
    let second = used();
    assert!(left.0 == 1 && none(left.1), "{left:?}");
    assert_eq!(joined, (1, None));

    moves.burn(200);
    let third = used();
    let (left, joined) = counts(&mut meter);
    assert!(left.0 == 1 && none(left.1), "{left:?}");
    let range = third - second - 2.0 * TICK..=used() - first + 2.0 * TICK;
    assert!(joined.0 == 1 && joined.1.is_some_and(|s| range.contains(&s)), "{joined:?} {range:?}");

    // Back again, to a group that is known: its time away is nobody's.
    moves.obey(&format!("name {one}"));
    let (back, empty) = counts(&mut meter);
    assert!(back.0 == 2 && none(back.1) && empty == (0, Some(0.0)), "{back:?} {empty:?}");
}

#[test]
fn a_named_group_with_nothing_in_it_is_down_not_missing() {
    let nobody = unique("none");
    let (unnamed, named) = (format!("^{nobody}$"), format!("web:^{nobody}$"));
    let said = second_of_two(&["--pattern", &unnamed, "--pattern", &named]);
    let line = said.only_line();
    assert_eq!(line.values, "psstat,process_name=web p_cpu=0,p_mem=0,n_proc=0i");
    assert_eq!(said.stderr, "");
}

#[test]
fn a_restarted_service_starts_from_nothing() {
    let fixture = Fixture::new();
    let pid_file = fixture.path().join("service.pid");
    let selector = format!("service:{}", pid_file.display());
    let write = |pid: u32| std::fs::write(&pid_file, format!("{pid}\n")).expect("written");

    let old = fixture.actor("old");
    let worker = old.spawn("worker");
    write(old.pid);
    old.burn(1000);
    worker.burn(500);
    let mut meter = Meter::start(&["--pid-file", &selector], &[&old, &worker]);
    old.burn(100);
    meter.sample(&[&old, &worker]).agrees("service", 2);

    worker.exit();
    old.exit();
    fixture.wait_for(&old);
    let new = fixture.actor("new");
    new.burn(300);
    write(new.pid);
    let before = new.usage().as_secs_f64();
    let reading = meter.sample(&[]);
    let (seconds, after) = (reading.seconds("service"), new.usage().as_secs_f64());
    // Its user and its system time are cut to ticks each.
    let range = before - 2.0 * TICK..=after + TICK;
    assert!(range.contains(&seconds), "{seconds} of {range:?} s");
    assert_eq!(reading.said.line("service").processes, 1);
    assert_eq!(reading.said.stderr, "");

    // Down, with its file left behind.
    new.exit();
    fixture.wait_for(&new);
    let reading = meter.sample(&[]);
    assert_eq!(
        reading.said.only_line().values,
        "psstat,process_name=service p_cpu=0,p_mem=0,n_proc=0i"
    );
    assert!(reading.said.stderr.starts_with("W! "), "{:?}", reading.said.stderr);
}

/// The leading thread is the one that `/proc` shows. When it alone ends, it stands there as a
/// zombie, and the process runs on.
#[test]
fn a_process_whose_leading_thread_has_ended_is_alive() {
    const PROGRAM: &str = "
import ctypes, os, sys, threading, time
def work():
    while open('/proc/%d/stat' % os.getpid()).read().rsplit(') ')[1][0] != 'Z':
        time.sleep(0.001)
    while time.thread_time() < 0.5:
        pass
    print(time.process_time(), flush=True)
    sys.stdin.read()
    os._exit(0)
open('/proc/self/comm', 'w').write(sys.argv[1])
threading.Thread(target=work).start()
ctypes.CDLL(None).pthread_exit(None)
";
    if !needs::is_installed("python3") {
        return;
    }
    let fixture = Fixture::new();
    let name = unique("lead");
    let mut meter = Meter::start(&["--pattern", &format!("group:^{name}$")], &[]);
    let mut program = fixture.start(&["/usr/bin/python3", "-c", PROGRAM, &name]);
    let used: f64 = program.line().parse().expect("seconds");
    let reading = meter.sample(&[]);
    assert_eq!(reading.said.line("group").processes, 1);
    let seconds = reading.seconds("group");
    assert!((used - 2.0 * TICK..=used + 2.0 * TICK).contains(&seconds), "{seconds} of {used} s");
}

#[test]
fn kernel_threads_are_processes_like_any_other() {
    let comm = std::fs::read_to_string("/proc/2/comm").unwrap_or_default();
    if comm != "kthreadd\n" {
        return needs::skip("no kernel threads are visible in this pid namespace");
    }
    let said = second_of_two(&["--pid", "all:2", "--pattern", "^kthreadd$"]);
    for group in ["all", "kthreadd"] {
        let line = said.line(group);
        assert!(line.processes > 1, "kthreadd is the parent of all others: {line:?}");
        assert_eq!(line.memory, Some(0.0));
        assert!(line.cpu.is_some());
    }
}
