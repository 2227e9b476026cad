//! CPU time: conservation while exits are waited for, and no spikes whatever happens.

use super::fixture::{Actor, Fixture};
use super::meter::{Meter, Reading, TICK};
use super::resident::Resident;
use std::time::Duration;

fn group(actor: &Actor) -> [String; 2] {
    ["--pid".to_owned(), format!("group:{}", actor.pid)]
}

fn meter(root: &Actor, further: &[&str], actors: &[&Actor]) -> Meter {
    let group = group(root);
    Meter::start(&[&[group[0].as_str(), &group[1]], further].concat(), actors)
}

/// CPU time that these actors answer for, in seconds.
fn used(actors: &[&Actor]) -> f64 {
    actors.iter().map(|actor| actor.usage().as_secs_f64()).sum()
}

/// Holds psstat to what some actors used, by their own account before and after each of the two
/// samples; within two ticks for each process alive at either.
#[track_caller]
fn assert_used(reading: &Reading, account: [f64; 4], processes: u32) {
    let [first, second, third, fourth] = account;
    let seconds = reading.seconds("group");
    let off = f64::from(2 * processes) * TICK;
    let range = third - second - off..=fourth - first + off;
    assert!(range.contains(&seconds), "{seconds} s of {range:?} s: {reading:?}");
}

/// A group's root, and its parent, which adopts what is orphaned in the group.
fn adopter_and_root(fixture: &Fixture) -> (Actor, Actor) {
    let adopter = fixture.actor("adopter");
    adopter.obey("subreaper");
    let root = adopter.spawn("root");
    (adopter, root)
}

/// 100 children one after the other, each waited for; none of them is there at any sample.
fn a_hundred_children_count_in_full(generations: u64) {
    let fixture = Fixture::new();
    let root = fixture.actor("root");
    let mut meter = meter(&root, &[], &[&root]);
    root.obey(&format!("chains 100 {generations} 50"));
    let reading = meter.sample(&[&root]);
    assert!(reading.least > 5.0, "{reading:?}");
    reading.agrees_within("group", 0.02);
    assert_eq!(reading.said.line("group").processes, 1);
}

#[test]
fn a_hundred_children_between_two_samples_count_in_full() {
    a_hundred_children_count_in_full(1);
}

#[test]
fn a_hundred_grandchildren_between_two_samples_count_in_full() {
    a_hundred_children_count_in_full(2);
}

#[test]
fn great_grandchildren_between_two_samples_count_in_full() {
    a_hundred_children_count_in_full(3);
}

#[test]
fn thousands_of_the_shortest_commands_count_in_full() {
    let fixture = Fixture::new();
    let root = fixture.actor("root");
    let mut meter = meter(&root, &[], &[&root]);
    let before = root.usage();
    // Until it is so much that ticks do not matter.
    while root.usage().saturating_sub(before).as_secs_f64() < 2.0 {
        root.obey("sh i=0; while [ $i -lt 1000 ]; do /bin/true; i=$((i + 1)); done");
    }
    meter.sample(&[&root]).agrees_within("group", 0.02);
}

/// Samples fall into the middle of lives and of exits.
#[test]
fn samples_amid_short_lives_add_up_to_the_kernels_account() {
    let fixture = Fixture::new();
    let root = fixture.actor("root");
    let mut meters = [meter(&root, &[], &[]), meter(&root, &["--multi-threaded"], &[])];
    let before = root.usage();
    let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
    let mut sums = [0.0; 2];
    std::thread::scope(|scope| {
        let (done, work_is_done) = std::sync::mpsc::channel::<()>();
        let mut samples = 0;
        let meters = &mut meters;
        let sums = &mut sums;
        scope.spawn(move || {
            loop {
                let last = work_is_done.try_recv().is_ok();
                for (meter, sum) in meters.iter_mut().zip(&mut *sums) {
                    let reading = meter.sample(&[]);
                    let seconds = reading.seconds("group");
                    // Never more than the machine has: one process works at a time, but another may
                    // still be ending on another processor. Two ticks each for root, child and
                    // grandchild; and the end of the last life may show late.
                    let most = cores * reading.elapsed + 10.0 * TICK;
                    assert!(seconds <= most, "{seconds}: {reading:?}");
                    *sum += seconds;
                }
                samples += 1;
                if last {
                    assert!(samples > 3, "{samples} samples are too few to show anything");
                    break;
                }
                std::thread::sleep(Duration::from_millis(60));
            }
        });
        root.obey("chains 30 2 70");
        root.obey("chains 60 3 15");
        done.send(()).expect("the samples are still being taken");
    });
    let truth = (root.usage() - before).as_secs_f64();
    for (sum, meter) in sums.iter_mut().zip(&mut meters) {
        // What ended while the last sample was taken arrives with the next.
        *sum += meter.sample(&[]).seconds("group");
        assert!((*sum - truth).abs() <= 0.02 * truth, "{sum} s of {truth} s");
        println!("sum of all samples {sum:.3} s, getrusage {truth:.3} s");
    }
}

/// Children that live long and use little, beside one that makes many that live short. The latter are
/// counted by what their parents inherit, which the kernel shows in ticks; the former by their clocks.
#[test]
fn light_children_beside_a_storm_add_up_to_the_kernels_account() {
    let fixture = Fixture::new();
    let root = fixture.actor("root");
    let pid_file = fixture.path().join("root.pid");
    std::fs::write(&pid_file, format!("{}\n", root.pid)).expect("written");
    let by_file = format!("--pid-file=group:{}", pid_file.display());
    let used = || root.usage().as_secs_f64();

    let first = used();
    let mut meter = meter(&root, &[], &[]);
    let mut resident = Resident::start(&[&by_file, "--fields=p_cpu,cpu_time,n_proc"], 1);
    let baseline = resident.sample().remove(0);
    let second = used();

    root.obey("crew 20 300 50");
    let child = root.spawn("child");
    let end = fixture.path().join("end");
    let (mut sums, mut totals, mut taken) = ([0.0; 2], Vec::new(), baseline.nanos);
    let mut sample = || {
        sums[0] += meter.sample(&[]).seconds("group");
        let line = resident.sample().remove(0);
        sums[1] += line.decimal("p_cpu") * (line.nanos - taken) as f64 / 1e9;
        totals.push(line.decimal("cpu_time") - baseline.decimal("cpu_time"));
        taken = line.nanos;
        line.processes
    };
    let child = std::thread::scope(|scope| {
        let storm = format!("sh while [ ! -e {} ]; do /bin/true; done", end.display());
        let child = scope.spawn(move || {
            child.obey(&storm);
            child
        });
        for _ in 0..10 {
            std::thread::sleep(Duration::from_millis(300));
            assert!(sample() >= 22, "the root, its child and 20 workers");
        }
        std::fs::write(&end, "").expect("written");
        child.join().expect("the storm ends")
    });
    child.exit();
    root.wait_for(&child);
    root.obey("dismiss");
    let third = used();
    // In a short interval p_cpu is limited to what the machine has.
    std::thread::sleep(Duration::from_millis(500));
    // Everybody has ended and was waited for.
    assert_eq!(sample(), 1);
    let truth = third - second..=used() - first;
    assert!(*truth.start() > 0.5, "there was no storm: {truth:?}");
    // The root, its child and the shell below have waited. Two ticks each.
    let slack = 6.0 * TICK;
    let [one_shot, resident] = sums;
    let total = *totals.last().expect("samples were taken");
    println!("one shot {one_shot:.6} s, resident {resident:.6} s, {total:.6} s of {truth:.6?} s");
    for sum in [one_shot, resident, total] {
        let range = truth.start() - slack..=truth.end() + slack;
        assert!(range.contains(&sum), "{sum} s of {truth:?} s: {totals:?}");
    }
    assert!(totals.is_sorted(), "{totals:?}");
}

#[test]
fn a_chain_of_busy_processes_that_ends_makes_no_spike() {
    let fixture = Fixture::new();
    let root = fixture.actor("root");
    let child = root.spawn("child");
    let grandchild = child.spawn("grandchild");
    let brother = root.spawn("brother");
    let all = [&root, &child, &grandchild, &brother];
    child.burn(1000);
    grandchild.burn(2000);
    let mut meter = meter(&root, &[], &all);
    brother.burn(200);
    meter.sample(&all).agrees("group", 4);

    child.burn(100);
    grandchild.burn(150);
    brother.burn(200);
    grandchild.exit();
    child.wait_for(&grandchild);
    child.exit();
    root.wait_for(&child);
    let reading = meter.sample(&all);
    assert!(reading.least >= 0.45, "{reading:?}");
    reading.agrees("group", 4);
    assert_eq!(reading.said.line("group").processes, 2);

    brother.burn(100);
    meter.sample(&all).agrees("group", 2);
}

#[test]
fn a_zombie_keeps_its_cpu_time_and_is_not_counted() {
    let fixture = Fixture::new();
    let root = fixture.actor("root");
    let child = root.spawn("child");
    let all = [&root, &child];
    let mut meter = meter(&root, &[], &all);
    assert_eq!(meter.sample(&all).said.line("group").processes, 2);
    child.burn(500);
    child.exit();
    root.obey(&format!("linger {}", child.pid));
    let reading = meter.sample(&all);
    assert_eq!(reading.said.line("group").processes, 1, "a zombie is none");
    assert!(reading.least >= 0.5, "{reading:?}");
    reading.agrees("group", 2);
    root.wait_for(&child);
    // The zombie's time was cut to ticks by itself in the sample before.
    meter.sample(&all).agrees("group", 2);
    meter.sample(&all).agrees("group", 1);
}

/// Where SIGCHLD is ignored the kernel drops the child time of those who end: it is lost, and
/// must not be taken off what others used, nor turn up later.
#[test]
fn children_that_nobody_waits_for_take_nothing_away() {
    let fixture = Fixture::new();
    // Not the shell's trap: dash does not ignore this signal even if told to.
    let root = fixture.actor_through(&["env", "--ignore-signal=CHLD"], "root");
    let child = root.spawn("child");
    let brother = root.spawn("brother");
    child.burn(800);
    // The child is out of the account: what it used is lost.
    let stay = [&root, &brother];
    let first = used(&stay);
    let mut meter = meter(&root, &[], &[&root, &child, &brother]);
    let second = used(&stay);
    child.exit();
    root.wait_for(&child);
    brother.burn(300);
    root.burn(200);
    let third = used(&stay);
    assert!(third - second < 0.7, "SIGCHLD is not ignored after all");
    let reading = meter.sample(&stay);
    assert_used(&reading, [first, second, third, used(&stay)], 3);
    assert_eq!(reading.said.line("group").processes, 2);

    // What comes and goes unseen and unwaited for is lost; what stays is not.
    root.obey("chains 10 1 50");
    brother.burn(300);
    let reading = meter.sample(&[&root, &brother]);
    reading.agrees("group", 2);
    assert!(reading.least >= 0.3, "{reading:?}");
    meter.sample(&[&root, &brother]).agrees("group", 2);
}

#[test]
fn a_double_forked_child_leaves_the_group() {
    let fixture = Fixture::new();
    let (adopter, root) = adopter_and_root(&fixture);
    let middle = root.spawn("middle");
    let daemon = middle.spawn("daemon");
    daemon.burn(800);
    middle.burn(300);
    let mut meter = meter(&root, &[], &[&root, &middle]);
    middle.exit();
    root.wait_for(&middle);
    daemon.burn(200);
    // It is the adopter's child now, and no longer in this group: what it used is not to be taken
    // off what others used.
    root.obey("chains 4 1 300");
    let reading = meter.sample(&[&root, &middle]);
    reading.agrees("group", 2);
    assert_eq!(reading.said.line("group").processes, 1);
    root.burn(200);
    daemon.exit();
    adopter.wait_for(&daemon);
    meter.sample(&[&root]).agrees("group", 1);
    root.burn(200);
    meter.sample(&[&root]).agrees("group", 1);
}

#[test]
fn an_orphan_that_ends_elsewhere_takes_nothing_away() {
    let fixture = Fixture::new();
    let (adopter, root) = adopter_and_root(&fixture);
    let middle = root.spawn("middle");
    let orphan = middle.spawn("orphan");
    // Far more than the root gains below, whatever the machine takes to start a process.
    orphan.burn(3000);
    let stay = [&root, &middle];
    let first = used(&stay);
    let mut meter = meter(&root, &[], &[&root, &middle, &orphan]);
    let second = used(&stay);
    middle.exit();
    root.wait_for(&middle);
    orphan.exit();
    adopter.wait_for(&orphan);
    root.obey("chains 2 1 250");
    // The adopter got the orphan's time. The root gained less than that, which cannot be it.
    let third = used(&stay);
    let reading = meter.sample(&[&root]);
    assert_used(&reading, [first, second, third, used(&stay)], 3);
    root.burn(200);
    meter.sample(&[&root]).agrees("group", 1);
}

#[test]
fn a_subreaper_does_not_report_an_orphans_lifetime() {
    let fixture = Fixture::new();
    let root = fixture.actor("root");
    root.obey("subreaper");
    let middle = root.spawn("middle");
    let inner = middle.spawn("inner");
    let orphan = inner.spawn("orphan");
    let all = [&root, &middle, &inner, &orphan];
    orphan.burn(2000);
    inner.burn(300);
    let mut meter = meter(&root, &[], &all);
    orphan.obey("busy");
    meter.sample(&all).agrees("group", 4);

    // The orphan's parent ends and is waited for; the orphan works on, adopted by the root.
    inner.exit();
    middle.wait_for(&inner);
    orphan.burn(100);
    let reading = meter.sample(&all);
    reading.agrees("group", 4);
    assert_eq!(reading.said.line("group").processes, 3);

    orphan.obey("idle");
    orphan.burn(100);
    orphan.exit();
    root.obey(&format!("linger {}", orphan.pid));
    let reading = meter.sample(&all);
    reading.agrees("group", 3);
    assert_eq!(reading.said.line("group").processes, 2);
    root.wait_for(&orphan);
    meter.sample(&all).agrees("group", 3);
    meter.sample(&all).agrees("group", 2);
}

#[test]
fn an_orphan_that_its_adopter_waits_for_arrives_once() {
    let fixture = Fixture::new();
    let root = fixture.actor("root");
    root.obey("subreaper");
    let middle = root.spawn("middle");
    let orphan = middle.spawn("orphan");
    let all = [&root, &middle, &orphan];
    orphan.burn(800);
    middle.burn(200);
    let mut meter = meter(&root, &[], &all);
    // Both end between two samples: the middle one unwaited for, the orphan after it.
    middle.exit();
    orphan.burn(300);
    orphan.exit();
    root.wait_for(&middle);
    root.wait_for(&orphan);
    let reading = meter.sample(&[&root]);
    // The root has inherited both lives, of which all but this was counted before.
    reading.agrees("group", 3);
    assert!(reading.least >= 0.3, "{reading:?}");
    root.burn(200);
    meter.sample(&[&root]).agrees("group", 1);
}

#[test]
fn the_death_of_a_middle_process_keeps_what_was_counted() {
    let fixture = Fixture::new();
    let root = fixture.actor("root");
    let middle = root.spawn("middle");
    let below = middle.spawn("below");
    below.burn(600);
    middle.burn(600);
    let grand = below.spawn("grand");
    below.burn(10);
    grand.burn(400);
    let stay = [&root, &middle];
    let first = used(&stay);
    let mut meter = meter(&root, &[], &[&root, &middle, &below, &grand]);
    let second = used(&stay);
    // `grand` is waited for by `below`, which then outlives `middle`.
    grand.exit();
    below.wait_for(&grand);
    middle.exit();
    root.wait_for(&middle);
    root.burn(250);
    let third = used(&stay);
    let reading = meter.sample(&[&root]);
    assert_used(&reading, [first, second, third, used(&stay)], 4);
    assert_eq!(reading.said.line("group").processes, 1);
    root.burn(100);
    meter.sample(&[&root]).agrees("group", 1);
}

#[test]
fn the_time_of_all_threads_counts() {
    let fixture = Fixture::new();
    let root = fixture.actor("root");
    let mut meter = meter(&root, &[], &[&root]);
    root.obey("threads 4 300");
    let reading = meter.sample(&[&root]);
    assert!(reading.least >= 1.2, "{reading:?}");
    reading.agrees("group", 1);
    for _ in 0..3 {
        root.obey("busy");
    }
    root.burn(200);
    let reading = meter.sample(&[&root]);
    reading.agrees("group", 1);
    assert_eq!(reading.said.line("group").processes, 1);
    root.obey("idle");
}
