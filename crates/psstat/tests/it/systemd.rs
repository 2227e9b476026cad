//! psstat on a real systemd, booted in namespaces in each mode of control groups:
//! `tests/systemd/sandbox` boots it, `tests/systemd/checks.py` runs inside, and `rights.py`. What units feel is measured on the
//! systemd of the machine itself, by `tests/systemd/figures.py`.
//!
//! Skipped, with the reason on standard error, where no sandbox can be made: without root, without
//! systemd, or without the hierarchies of a mode.

use crate::support::{is_installed, limit, skip, skip_in_part};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// The status by which the sandbox says that it cannot run here.
const CANNOT: i32 = 77;

/// All checks of a mode take less, on an emulated machine too.
pub const SANDBOX_LIMIT: Duration = Duration::from_secs(1500);

/// What must have been checked in every mode, so that no check can get lost unseen.
const CHECKS: [&str; 24] = [
    "a_process_that_left_its_session_still_belongs_to_its_unit",
    "instances_of_a_template_go_by_their_escaped_ids",
    "a_dash_within_a_name_stays_escaped",
    "transient_units_are_units",
    "a_containers_scope_is_a_unit",
    "one_rule_names_containers_and_instances",
    "units_of_a_users_manager_are_found_by_their_path_alone",
    "groups_below_a_delegated_unit_are_its_own_and_no_units",
    "nested_slices_hold_what_is_in_those_below",
    "servers_of_debian_are_counted_as_their_units",
    "all_that_systemctl_lists_and_no_more",
    "without_sysfs_the_processes_tell_the_same",
    "no_privilege_is_needed",
    "what_does_not_run_has_a_line_only_if_named",
    "cpu_time_is_that_of_the_kernels_counter",
    "cpu_time_without_accounting",
    "cpu_time_stays_between_two_readings_of_a_unit_at_work",
    "a_slice_counts_what_its_units_used",
    "a_restart_counts_what_the_new_instance_used",
    "a_restart_without_accounting_counts_the_same",
    "a_unit_that_stops_between_two_samples",
    "the_manager_does_not_inherit_what_units_used",
    "a_unit_made_and_removed_while_it_is_read",
    "memory_is_that_of_the_unit_whatever_selects_it",
];

/// Threaded control groups are there on version 2 alone.
const THREADS: &str = "a_group_of_threads_leaves_its_processes_where_they_were";

/// What units feel, on a machine whose systemd has version 2 of control groups with the controllers for it.
const FIGURES: [&str; 11] = [
    "throttling_is_what_the_kernel_counts",
    "waiting_for_a_processor_is_what_the_kernel_counts",
    "waiting_for_memory_is_what_the_kernel_counts",
    "waiting_for_storage_is_what_the_kernel_counts",
    "oom_kills_are_what_the_kernel_counts",
    "a_slice_counts_the_kills_of_units_that_are_gone",
    "limits_and_peaks_are_what_the_kernel_says",
    "swap_is_what_the_kernel_says",
    "a_restart_is_a_start_and_a_worker_is_not",
    "a_restart_loop_shows",
    "what_the_kernel_does_not_tell_is_left_out_and_said",
];

/// What needs a right: how a row of the table in SECURITY.md begins, and the check that tries it.
const RIGHTS: [(&str, &str); 10] = [
    ("`--pid`, `--pattern`", "most_features_need_nothing"),
    ("`--pid-file`", "a_pid_file"),
    ("`--exe`", "executables_of_other_users"),
    ("`--memory auto`", "memory_that_forked_processes_share"),
    ("`--memory pss`", "proportional_set_sizes"),
    ("`--memory shared-once`, `rss`", "the_other_ways_to_measure_memory"),
    ("`io_read`", "storage_traffic"),
    ("`n_fd`", "open_files"),
    ("any selector of processes", "hidden_processes"),
    ("`execd --exit-records`", EXIT_RECORDS),
];

/// The kernel tells of exits in the first namespaces alone.
const EXIT_RECORDS: &str = "exit_records";

#[test]
fn every_row_of_the_table_of_privileges_has_a_check() {
    let text = include_str!("../../../../SECURITY.md");
    let table = text.split("| what | needs | without it | cures |\n|---|---|---|---|\n").nth(1);
    let rows = table.expect("the table").lines().take_while(|line| line.starts_with('|'));
    let rows: Vec<&str> = rows.collect();
    assert_eq!(rows.len(), RIGHTS.len(), "{rows:?}");
    for (row, (begin, check)) in rows.iter().zip(RIGHTS) {
        assert!(row.starts_with(&format!("| {begin}")), "{check} tries {begin}, and not {row}");
    }
}

#[test]
fn the_table_of_privileges_holds_for_telegrafs_user() {
    let checks = RIGHTS.map(|(_, check)| check);
    let checks: Vec<&str> = checks.into_iter().filter(|&check| check != EXIT_RECORDS).collect();
    let psstat = env!("CARGO_BIN_EXE_psstat");
    let script = ["python3", "/opt/psstat/rights.py", "/usr/local/bin/psstat"];
    let mut output = None;
    // Whichever hierarchy of control groups there is: what is tested here is the same in all.
    for mode in ["v2", "hybrid", "legacy"] {
        let ran = output_of(SANDBOX, &[&[mode, psstat], &script[..], &checks].concat());
        let can = ran.status.code() != Some(CANNOT);
        output = Some(ran);
        if can {
            break;
        }
    }
    judge("rights.py", &output.expect("a mode"), &checks);
}

#[test]
fn exit_records_need_what_the_table_of_privileges_says() {
    if is_installed("python3") {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/systemd/rights.py");
        let arguments = [env!("CARGO_BIN_EXE_psstat"), EXIT_RECORDS];
        judge(script, &output_of(script, &arguments), &[EXIT_RECORDS]);
    }
}

#[test]
fn what_units_feel_is_what_the_kernel_says() {
    if is_installed("python3") {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/systemd/figures.py");
        all_pass(script, &[env!("CARGO_BIN_EXE_psstat")], &FIGURES);
    }
}

#[test]
fn on_version_2() {
    all_checks_pass("v2", &[THREADS]);
}

#[test]
fn on_both_versions_side_by_side() {
    all_checks_pass("hybrid", &[THREADS]);
}

#[test]
fn on_version_1() {
    all_checks_pass("legacy", &[]);
}

const SANDBOX: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/systemd/sandbox");

fn all_checks_pass(mode: &str, further: &[&str]) {
    all_pass(SANDBOX, &[mode, env!("CARGO_BIN_EXE_psstat")], &[&CHECKS, further].concat());
}

/// Runs a script, which must make exactly the expected checks.
fn all_pass(script: &str, arguments: &[&str], expected: &[&str]) {
    judge(&format!("{script} {arguments:?}"), &output_of(script, arguments), expected);
}

fn output_of(script: &str, arguments: &[&str]) -> Output {
    let output = Command::new(script)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{script}: {error}"));
    limit::finish(output, SANDBOX_LIMIT)
}

/// Checks that a script has made exactly the expected checks, and that all of them are ok.
fn judge(script: &str, output: &Output, expected: &[&str]) {
    let printed = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(CANNOT) {
        skip(said.lines().last().unwrap_or("no reason given"));
        return;
    }
    let skipped = || printed.lines().filter_map(|line| line.strip_prefix("skipped "));
    let wrong = |line: &&str| !line.starts_with("ok ") && !line.starts_with("skipped ");
    let failed: Vec<&str> = printed.lines().filter(wrong).collect();
    assert!(
        failed.is_empty() && output.status.success(),
        "{script}, {}:\n{}\n{said}",
        output.status,
        failed.join("\n"),
    );
    skipped().for_each(skip_in_part);
    let names = skipped().filter_map(|line| line.split(':').next());
    let mut passed: Vec<&str> =
        printed.lines().filter_map(|line| line.strip_prefix("ok ")).chain(names).collect();
    let mut expected = expected.to_vec();
    passed.sort_unstable();
    expected.sort_unstable();
    assert_eq!(passed, expected, "{script}");
}
