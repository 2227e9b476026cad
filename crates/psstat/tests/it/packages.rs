//! Both packages, as `scripts/package` builds them: checked by Debian's linters; installed, tried and
//! removed on a machine of their own; and what README tells a new user to do with them, word by word.
//!
//! The machine is the sandbox of `tests/systemd`, with a real systemd over a throw-away overlay of
//! this one; `packages/checks.py` runs inside. Where no sandbox can be made (without root, without
//! systemd), standard error says that it was skipped, and why.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use crate::support::{REPOSITORY, is_installed, limit, skip};
use crate::systemd::SANDBOX_LIMIT;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");

/// The status by which the sandbox says that it cannot run here.
const CANNOT: i32 = 77;

/// What must have been checked of the .deb, so that no check can get lost unseen.
const CHECKS_OF_DEB: [&str; 21] = [
    "it_comes_and_goes_where_no_systemd_runs",
    "a_telegraf_that_was_there_before_is_left_alone_until_it_is_restarted",
    "its_files_are_those",
    "the_drop_in_is_noticed",
    "psstat_is_that_version",
    "psstat_needs_nothing_beside_it",
    "anyone_may_run_it",
    "the_manual_pages_are_found_and_well_formed",
    "bash_completes",
    "exec_prints_lines_from_the_second_run_on",
    "the_cache_folder_is_private",
    "a_restart_keeps_the_baseline",
    "execd_prints_lines_in_every_signal_mode",
    "the_cache_folder_goes_when_telegraf_stops_and_comes_when_it_starts",
    "without_telegraf_the_drop_in_does_nothing",
    "systemd_has_no_complaint_about_the_units",
    "the_service_starts_with_the_example",
    "old_cache_files_are_removed",
    "an_upgrade_takes_its_place_and_keeps_the_baseline",
    "nothing_is_left_after_removal",
    "nothing_has_come_or_gone",
];

/// And of the .rpm, which holds the same.
const CHECKS_OF_RPM: [&str; 12] = [
    "a_telegraf_that_was_there_before_is_left_alone_until_it_is_restarted",
    "its_files_are_those",
    "after_a_reload_the_drop_in_is_noticed",
    "psstat_is_that_version",
    "psstat_needs_nothing_beside_it",
    "anyone_may_run_it",
    "the_manual_pages_are_found_and_well_formed",
    "bash_completes",
    "exec_prints_lines_from_the_second_run_on",
    "the_cache_folder_is_private",
    "nothing_is_left_after_removal",
    "nothing_has_come_or_gone",
];

/// And of psstat.service.
const CHECKS_OF_SERVICE: [&str; 12] = [
    "it_starts_and_a_page_is_there",
    "every_interval_has_a_fresh_page",
    "it_has_few_rights",
    "normal_work_says_nothing",
    "it_ends_at_once_and_takes_its_page_with_it",
    "a_restart_reads_the_configuration",
    "a_killed_one_is_started_again",
    "a_full_disk_keeps_the_last_page",
    "a_directory_taken_away_and_given_back",
    "a_wrong_configuration_is_said_and_not_tried_again",
    "it_runs_with_file_capabilities_too",
    "removal_stops_it",
];

/// And of README.
const CHECKS_OF_README: [&str; 9] = [
    "every_block_of_its_three_sections_works",
    "the_version_is_said",
    "first_lines_come",
    "the_lines_are_in_influxdb",
    "telegraf_gets_lines_from_the_example",
    "node_exporter_serves_the_page",
    "an_alert_of_influxdb_is_printed",
    "an_alert_of_prometheus_fires",
    "every_example_is_named",
];

/// What the packages are tried with, beside what boots the sandbox.
const TRIED_WITH: [&str; 5] =
    ["/usr/sbin/nginx", "/usr/share/bash-completion/bash_completion", "man", "python3", "tar"];

#[test]
fn the_deb_is_installed_tried_and_removed() {
    if !all_installed(&TRIED_WITH) || !all_installed(&["dpkg-deb"]) {
        return;
    }
    all_checks_pass("deb", &CHECKS_OF_DEB);
}

#[test]
fn the_rpm_is_installed_tried_and_removed() {
    if !all_installed(&TRIED_WITH) || !all_installed(&["rpm"]) {
        return;
    }
    all_checks_pass("rpm", &CHECKS_OF_RPM);
}

#[test]
fn the_service_writes_pages_and_survives_what_happens() {
    if !all_installed(&["dpkg-deb", "python3", "journalctl", "setcap", "tar"]) {
        return;
    }
    all_checks_pass("service", &CHECKS_OF_SERVICE);
}

#[test]
fn readme_leads_from_installation_to_lines_in_influxdb_and_to_prometheus() {
    if !all_installed(&TRIED_WITH)
        || !all_installed(&["apt-get", "influxd", "curl", "prometheus", "prometheus-node-exporter"])
    {
        return;
    }
    all_checks_pass("readme", &CHECKS_OF_README);
}

#[test]
fn packages_built_twice_have_the_same_bytes() {
    if !all_installed(&[]) {
        return;
    }
    let first = packages();
    let second = build("packages-again");
    for (one, other) in [(&first.deb, &second.deb), (&first.rpm, &second.rpm)] {
        assert_eq!(one.file_name(), other.file_name());
        assert!(fs::read(one).unwrap() == fs::read(other).unwrap(), "{one:?} has changed");
    }
}

#[test]
fn lintian_accepts_the_deb() {
    if !all_installed(&["lintian"]) {
        return;
    }
    let mut lintian = Command::new("lintian");
    lintian.args(["--fail-on", "error,warning"]).arg(&packages().deb);
    let output = limit::output(&mut lintian).unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
}

#[test]
fn rpmlint_accepts_the_rpm() {
    if !all_installed(&["rpmlint"]) {
        return;
    }
    let mut rpmlint = Command::new("rpmlint");
    rpmlint.arg("-c").arg(format!("{REPOSITORY}/packaging/rpm/rpmlint.toml")).arg(&packages().rpm);
    let output = limit::output(&mut rpmlint).unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("0 errors, 0 warnings"), "{printed}");
}

/// The binary is static: it contains other projects' code, whose licences require these notices.
#[test]
fn both_packages_have_the_notices_of_all_linked_crates() {
    if !all_installed(&["dpkg-deb", "tar", "rpm2cpio"]) {
        return;
    }
    let notices = in_the_deb("THIRD-PARTY-NOTICES");
    let mut crates = 0;
    for (name, version) in linked_crates() {
        let linked = format!("{name} {version}");
        assert!(notices.contains(&format!("\n{linked}: ")), "no licence of {linked}");
        let of_text = format!(" {linked}");
        let texts = notices.split("Licence text of:").skip(1);
        let mut owners = texts.map(|text| text.split("\n==").next().unwrap());
        assert!(owners.any(|owners| owners.contains(&of_text)), "no licence text of {linked}");
        crates += 1;
    }
    assert!(crates > 20, "{crates}");
    for part in ["Rust standard library", "GNU LESSER GENERAL PUBLIC LICENSE", "libgcc"] {
        assert!(notices.contains(part), "nothing about {part}");
    }
    names_no_place_of_this_machine(&notices);
    is_in_the_rpm(&notices);
}

/// A software bill of materials, for those who look for vulnerable versions.
#[test]
fn both_packages_list_what_the_binary_contains() {
    if !all_installed(&["dpkg-deb", "tar", "rpm2cpio"]) {
        return;
    }
    let text = in_the_deb("psstat.spdx.json");
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["spdxVersion"], "SPDX-2.3");
    let packages = document["packages"].as_array().unwrap();
    let urls: Vec<&str> = packages
        .iter()
        .filter_map(|package| package["externalRefs"][0]["referenceLocator"].as_str())
        .collect();
    for (name, version) in linked_crates() {
        let url = format!("pkg:cargo/{name}@{version}");
        assert!(urls.contains(&&*url), "{url} is not in {urls:?}");
    }
    for part in ["pkg:generic/rust-std@", "pkg:deb/debian/glibc@", "pkg:deb/debian/gcc-"] {
        assert!(urls.iter().any(|url| url.starts_with(part)), "no {part} in {urls:?}");
    }
    for package in packages {
        assert!(package["licenseDeclared"].as_str().is_some_and(|text| !text.is_empty()));
    }
    // All of them, and nothing else, is linked into psstat.
    let links = document["relationships"].as_array().unwrap().iter();
    let links = links.filter(|link| link["relationshipType"] == "STATIC_LINK");
    assert_eq!(links.count(), packages.len() - 1);
    names_no_place_of_this_machine(&text);
    is_in_the_rpm(&text);
}

/// Name and version of each crate that is linked into psstat, the crates of psstat left out.
fn linked_crates() -> Vec<(String, String)> {
    let mut tree = Command::new("cargo");
    tree.args(["tree", "--locked", "-p", "psstat", "-e", "normal,no-proc-macro"]);
    tree.args(["--prefix", "none", "--format", "{p}"]).current_dir(REPOSITORY);
    let tree = String::from_utf8(limit::output(&mut tree).unwrap().stdout).unwrap();
    // A crate of this workspace is followed by its directory.
    let others = tree.lines().filter(|line| !line.contains(" (/"));
    let parts = others.map(|line| {
        let (name, rest) = line.split_once(" v").unwrap();
        (name.to_owned(), rest.split(' ').next().unwrap().to_owned())
    });
    parts.collect()
}

fn names_no_place_of_this_machine(text: &str) {
    let lock = fs::read_to_string(format!("{REPOSITORY}/Cargo.lock")).unwrap();
    let mut lines = lock.lines();
    let registry =
        lines.find_map(|line| line.strip_suffix("-index\"")?.rsplit('/').next()).unwrap();
    for unwanted in [registry, "/root/", "/home/", REPOSITORY] {
        assert!(!text.contains(unwanted), "{unwanted} is in the text");
    }
}

/// Checks that the .rpm has the same text.
fn is_in_the_rpm(text: &str) {
    // An archive that is not compressed, with the files as they are.
    let mut rpm = Command::new("rpm2cpio");
    let files = limit::output(rpm.arg(&packages().rpm)).unwrap().stdout;
    let text = text.as_bytes();
    assert!(files.windows(text.len()).any(|part| part == text), "the .rpm has another text");
}

/// A file of the documentation in the .deb.
fn in_the_deb(name: &str) -> String {
    let mut deb = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(&packages().deb)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let tar = Command::new("tar")
        .args(["-x", "-O", &format!("./usr/share/doc/psstat/{name}")])
        .stdin(deb.stdout.take().unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = limit::finish(tar, limit::LIMIT);
    limit::end(&mut deb);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What it says of itself, beside the files in it.
#[test]
fn the_deb_depends_on_nothing() {
    if !all_installed(&["dpkg-deb"]) {
        return;
    }
    let mut dpkg = Command::new("dpkg-deb");
    dpkg.arg("-f").arg(&packages().deb).args(["Package", "Version", "Architecture", "Depends"]);
    let output = limit::output(&mut dpkg).unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let version = format!("Version: {}-1\n", env!("CARGO_PKG_VERSION"));
    assert!(printed.contains("Package: psstat\n") && printed.contains(&version), "{printed}");
    assert!(printed.contains("Depends: \n") || !printed.contains("Depends"), "{printed}");
    let architecture = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    assert!(printed.contains(&format!("Architecture: {architecture}\n")), "{printed}");
}

#[test]
fn the_rpm_depends_on_nothing() {
    if !all_installed(&["rpm"]) {
        return;
    }
    let mut rpm = Command::new("rpm");
    rpm.args(["-qp", "--requires"]).arg(&packages().rpm);
    let output = limit::output(&mut rpm).unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !printed.is_empty(), "{output:?}");
    // What rpm itself must know to read the package.
    let others: Vec<_> = printed.lines().filter(|line| !line.starts_with("rpmlib(")).collect();
    assert!(others.is_empty(), "{others:?}");
    assert!(packages().rpm.to_string_lossy().ends_with(end_of_its_name()), "{:?}", packages());
}

fn end_of_its_name() -> &'static str {
    if cfg!(target_arch = "x86_64") { "-1.x86_64.rpm" } else { "-1.aarch64.rpm" }
}

#[derive(Debug)]
struct Packages {
    deb: PathBuf,
    rpm: PathBuf,
}

/// The packages, built once for all tests.
fn packages() -> &'static Packages {
    static PACKAGES: OnceLock<Packages> = OnceLock::new();
    PACKAGES.get_or_init(|| build("packages"))
}

/// Builds both into a directory of that name, which holds nothing else.
fn build(name: &str) -> Packages {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&directory);
    let mut built = Command::new(format!("{REPOSITORY}/scripts/package"));
    let built = limit::output(built.arg(&directory)).unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let printed = String::from_utf8(built.stdout).unwrap();
    let paths: Vec<PathBuf> = printed.lines().map(PathBuf::from).collect();
    let [deb, rpm] = paths.as_slice() else { panic!("scripts/package printed {printed}") };
    Packages { deb: deb.clone(), rpm: rpm.clone() }
}

/// Whether all is there that it takes to build the packages, and these programs; skips this test
/// where not.
#[track_caller]
fn all_installed(programs: &[&str]) -> bool {
    ["cargo", "python3", "dpkg-query"].iter().chain(programs).all(|program| is_installed(program))
}

fn all_checks_pass(what: &str, checks: &[&str]) {
    // Whichever hierarchy of control groups there is: what is tested here is the same in all.
    let mut said = String::new();
    for mode in ["v2", "hybrid", "legacy"] {
        let output = in_sandbox(mode, what);
        said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() == Some(CANNOT) {
            continue;
        }
        let printed = String::from_utf8_lossy(&output.stdout);
        let passed: Vec<&str> =
            printed.lines().filter_map(|line| line.strip_prefix("ok ")).collect();
        assert!(output.status.success(), "{what}, {}:\n{printed}\n{said}", output.status);
        assert_eq!(passed, checks, "{what}:\n{printed}");
        return;
    }
    skip(said.lines().last().unwrap_or("no reason given"));
}

/// Runs the checks in a sandbox, into which all that they need goes as an archive on standard input.
fn in_sandbox(mode: &str, what: &str) -> Output {
    let packages = packages();
    let mut tar = Command::new("tar")
        .args(["-c", "-C"])
        .arg(packages.deb.parent().unwrap())
        .args([packages.deb.file_name().unwrap(), packages.rpm.file_name().unwrap()])
        .args(["-C", REPOSITORY, "README.md", "docs/DASHBOARDS.md"])
        .args(["-C", &format!("{PACKAGE}/tests/it/packages"), "checks.py", "telegraf.py"])
        .args(["-C", &format!("{PACKAGE}/tests/systemd"), "harness.py"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let unpack = "mkdir /opt/packages && tar -x -C /opt/packages \
                  && exec python3 /opt/packages/checks.py \"$1\"";
    let sandbox = Command::new(format!("{PACKAGE}/tests/systemd/sandbox"))
        .args([mode, env!("CARGO_BIN_EXE_psstat"), "sh", "-c", unpack, "sh", what])
        .stdin(tar.stdout.take().unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = limit::finish(sandbox, SANDBOX_LIMIT);
    // Where the sandbox cannot run, nobody has read it.
    let _ = tar.kill();
    limit::end(&mut tar);
    output
}
