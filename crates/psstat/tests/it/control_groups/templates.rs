//! Names of groups that are made of what was matched: containers, and instances of units.

use super::machine::{Machine, Mounted, Sample};
use crate::stderr::assert_warning;

const WEB: &str = "3f4e8a0c9d1b7a65f2e1c0b9a8d7c6b5a4f3e2d1c0b9a8f7e6d5c4b3a2f1e0d9";
const DB: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9";
const POD: &str = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod8ac1_77.slice";

/// A machine with containers of Docker, Podman and Kubernetes, as their control groups are called if
/// systemd makes them.
fn with_containers(mounted: Mounted) -> Machine {
    let machine = Machine::new(mounted);
    for slice in ["system.slice", "machine.slice", "user.slice", "kubepods.slice"] {
        machine.put(slice, &[]);
    }
    machine.put("kubepods.slice/kubepods-burstable.slice", &[]);
    machine.put(POD, &[]);
    machine.put(format!("system.slice/docker-{WEB}.scope"), &[10, 11]);
    machine.put(format!("system.slice/docker-{DB}.scope"), &[20]);
    machine.put("system.slice/docker.service", &[30]);
    machine.put(format!("machine.slice/libpod-{DB}.scope"), &[]);
    machine.put(format!("machine.slice/libpod-{DB}.scope/container"), &[40, 41, 42]);
    machine.put(format!("machine.slice/libpod-conmon-{DB}.scope"), &[43]);
    machine.put(format!("{POD}/cri-containerd-{WEB}.scope"), &[50]);
    machine.put(format!("{POD}/cri-containerd-{DB}.scope"), &[51, 52]);
    machine
}

#[test]
fn containers_are_named_by_their_ids() {
    for mounted in Mounted::ALL {
        let machine = with_containers(mounted);
        for (rule, expected) in [
            (
                r"name = 'docker-{id}'
                cgroup_regex = '^system\.slice/docker-(?P<id>[0-9a-f]{12})[0-9a-f]*\.scope$'",
                [("docker-0a1b2c3d4e5f", 1), ("docker-3f4e8a0c9d1b", 2)].as_slice(),
            ),
            (
                r"name = 'podman-{id}'
                cgroup_regex = 'libpod-(?P<id>[0-9a-f]{12})[0-9a-f]*\.scope$'",
                &[("podman-0a1b2c3d4e5f", 3)],
            ),
            (
                r"name = 'pod-{pod}'
                cgroup_regex = 'kubepods[^/]*-pod(?P<pod>[0-9a-f_]+)\.slice$'",
                &[("pod-8ac1_77", 3)],
            ),
            (
                r"name = '{pod}/{id}'
                cgroup_regex = '-pod(?P<pod>[0-9a-f_]+)\.slice/cri-containerd-(?P<id>[0-9a-f]{12})'",
                &[("8ac1_77/0a1b2c3d4e5f", 2), ("8ac1_77/3f4e8a0c9d1b", 1)],
            ),
        ] {
            let config = machine.config(&format!("[[group]]\n{rule}\n"));
            let mut job = machine.job(&[&config]);
            job.sample();
            machine.has_used(&format!("system.slice/docker-{WEB}.scope"), 10, 70);
            let sample = job.sample();
            assert_eq!(sample.counts(), expected, "{mounted:?}: {}", sample.stderr);
            if rule.contains("docker") {
                assert_eq!(sample.used("docker-3f4e8a0c9d1b"), Some(70), "{mounted:?}");
            }
        }
    }
}

#[test]
fn a_container_that_starts_later_has_all_its_time_in_its_first_line() {
    let machine = with_containers(Mounted::V2);
    let config =
        machine.config("[[group]]\nname = 'c-{id}'\ncgroup_regex = 'docker-(?P<id>[0-9a-f]{4})'\n");
    let mut job = machine.job(&[&config]);
    job.sample();
    machine.remove(&format!("system.slice/docker-{DB}.scope"));
    let new = format!("system.slice/docker-ffff{DB}.scope");
    machine.put(&new, &[60]);
    machine.has_used(&new, 60, 30);
    let sample = job.sample();
    assert_eq!(sample.counts(), [("c-3f4e", 2), ("c-ffff", 1)]);
    assert_eq!(sample.used("c-ffff"), Some(30), "all that it has used");
    machine.has_used(&new, 60, 45);
    assert_eq!(job.sample().used("c-ffff"), Some(15));
}

#[test]
fn instances_of_a_unit_are_named_after_them() {
    for mounted in Mounted::ALL {
        let machine = Machine::new(mounted);
        machine.put("system.slice", &[]);
        machine.put("system.slice/system-job.slice", &[]);
        machine.put("system.slice/system-job.slice/job@a.service", &[10]);
        machine.put("system.slice/system-job.slice/job@b-1.service", &[11, 12]);
        machine.put("system.slice/cron.service", &[13]);
        let sample = machine.sample(&["--systemd=job-{instance}:job@*.service"]);
        assert_eq!(sample.counts(), [("job-a", 1), ("job-b-1", 2)], "{mounted:?}");
        let sample = machine.sample(&["--systemd=u-{unit}:*.service"]);
        let expected = [("u-cron", 1), ("u-job@a", 1), ("u-job@b-1", 2)];
        assert_eq!(sample.counts(), expected, "{mounted:?}");
        // Processes in units, by what they are.
        let config =
            machine.config("[[group]]\nname = '{instance}'\nsystemd = 'job@*'\npattern = '.'\n");
        assert_eq!(machine.sample(&[&config]).counts(), [("a", 1), ("b-1", 2)], "{mounted:?}");
    }
}

#[test]
fn of_too_many_control_groups_those_made_first_keep_their_names() {
    let machine = Machine::new(Mounted::V2);
    machine.put("system.slice", &[]);
    for (pid, name) in (10..).zip(["d", "c", "b", "a"]) {
        machine.put(format!("system.slice/{name}.scope"), &[pid]);
    }
    let config = machine.config(
        "max_groups = 2\n[[group]]\nname = 'x-{n}'\ncgroup_regex = '/(?P<n>[a-d]).scope'\n",
    );
    let sample = machine.sample(&[&config]);
    assert_eq!(sample.count("other"), 2, "{sample:?}");
    assert_eq!(sample.counts().len(), 3);
    assert_warning(&sample.stderr, &["x-{n}: cgroup_regex ", "4 different names", "other"]);
    let other = with_containers(Mounted::V2);
    let unmatched = other.config("[[group]]\nname = 'x'\ncgroup_regex = 'no/such'\n");
    let said = other.job(&[&unmatched]).sample().stderr;
    let expected = "cgroup_regex no/such: no control group matches now: a regex matches anywhere";
    assert!(said.contains(expected), "{said}");
}

/// It is made anew later than those that wait for a place.
#[test]
fn a_control_group_that_had_its_name_keeps_it() {
    let machine = Machine::new(Mounted::V2);
    machine.put("system.slice", &[]);
    let path = |name: &str| format!("system.slice/{name}.scope");
    for (pid, name) in (10..).zip(["a", "b"]) {
        machine.put(path(name), &[pid]);
    }
    let config = machine.config(
        "max_groups = 2\n[[group]]\nname = 'x-{n}'\ncgroup_regex = '/(?P<n>[a-d]).scope'\n",
    );
    let mut job = machine.job(&[&config]);
    assert_eq!(job.second_sample().counts(), [("x-a", 1), ("x-b", 1)]);
    // Whatever has the number of the old directory, it is not the new one.
    machine.remove(&path("a"));
    for (pid, name) in (20..).zip(["c", "d", "e", "f"]) {
        machine.put(path(name), &[pid]);
    }
    machine.put(path("a"), &[12]);
    let sample = job.sample();
    assert_eq!(sample.counts(), [("other", 2), ("x-a", 1), ("x-b", 1)]);
    assert_warning(&sample.stderr, &["4 different names", "the others are x-"]);
    // A name that a sample does not find gives its place away.
    machine.remove(&path("a"));
    let names = |sample: &Sample| -> Vec<String> {
        sample.counts().into_iter().map(|(name, _)| name.to_owned()).collect()
    };
    let without = names(&job.sample());
    assert!(without.len() == 3 && without.contains(&"x-b".to_owned()), "{without:?}");
    machine.put(path("a"), &[13]);
    let again = job.sample();
    assert_eq!(names(&again), without);
    assert_eq!(again.count("other"), 2, "{again:?}");
}
