//! What comes nearest to a selector that matches nothing.
//!
//! *Example:* `--pattern postgres-exporter` matches nothing, because names have at most 15 bytes. Two processes
//! are called `postgres-export`, and one has `postgres-exporter` in its command line. Both are said.

pub mod around;
mod matching;
pub mod named;
mod places;
mod processes;
mod scripts;
mod spaces;
mod words;

use super::facts::text_of;
use crate::model::units::Pid;
use crate::select::selector::{Selector, Source};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use around::Surroundings;
use named::{near_named, near_pid_file};
use places::{near_control_groups, near_units};
use processes::near_processes;
use spaces::{near_without_spaces, space_at};

/// Sentences about what comes nearest to a selector that matches no process. `named` is the process that it names
/// by its pid, or why that is not known.
pub fn misses(
    selector: &Selector,
    named: Option<Result<Pid, String>>,
    around: &Surroundings<'_>,
) -> Vec<String> {
    let mut said = Vec::new();
    let is_running = |pid: &Pid| around.facts.contains_key(pid);
    let named_is_absent = !named.as_ref().is_some_and(|one| one.as_ref().is_ok_and(is_running));
    match named {
        Some(Ok(pid)) => near_named(pid, selector, around, &mut said),
        Some(Err(reason)) => {
            said.push(reason);
            if let Source::PidFile(path) = &selector.source
                && let Some(end) = space_at(&text_of(path))
            {
                said.push(format!("the path of the pid file {end} with a space"));
            }
        }
        None => {}
    }
    if let Source::PidFile(path) = &selector.source
        && named_is_absent
    {
        near_pid_file(path, around, &mut said);
    }
    if !said.is_empty() {
        return said;
    }
    near_without_spaces(selector, around, &mut said);
    if said.is_empty() {
        match &selector.source {
            Source::Unit(glob) => near_units(glob, around, &mut said),
            Source::ControlGroup(glob) => near_control_groups(glob, around, &mut said),
            Source::All | Source::Rest | Source::Pid(_) | Source::PidFile(_) => {}
        }
        if !selector.conditions.is_empty() {
            near_processes(selector, around, &mut said);
        }
    }
    if !around.is_complete {
        said.push("not all processes were looked at in time".to_string());
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::facts::Facts;
    use crate::model::label::Label;
    use crate::model::process::Kinship;
    use crate::model::units::Uid;
    use crate::select::selector::{Conditions, PathPattern, User};
    use crate::select::systemd;
    use alloc::borrow::ToOwned;
    use alloc::collections::BTreeMap;

    fn facts() -> BTreeMap<Pid, Facts> {
        let rows = [
            (
                100,
                "postgres",
                "postgres: checkpointer",
                Some("/usr/lib/postgresql/15/bin/postgres"),
                108,
            ),
            (
                101,
                "postgres-export",
                "/usr/bin/postgres-exporter --web",
                Some("/usr/bin/postgres-exporter"),
                999,
            ),
            (102, "Xorg", "/usr/lib/xorg/Xorg :0", None, 0),
            (103, "su", "su - postgres", Some("/usr/bin/su"), 0),
        ];
        let make = |(pid, name, command, exe, user): (u32, &str, &str, Option<&str>, u32)| {
            let facts = Facts {
                name: name.to_owned(),
                command: Some(command.to_owned()),
                exe: exe.map(str::to_owned),
                user: Some(user),
                state: Some('S'),
                parent: Some(Pid::INIT),
                kinship: None,
            };
            (Pid::new(pid), facts)
        };
        rows.into_iter().map(make).collect()
    }

    static NO_FACTS: BTreeMap<Pid, Facts> = BTreeMap::new();
    static NO_USERS: BTreeMap<u32, String> = BTreeMap::new();
    static NO_OWNERS: BTreeMap<Pid, String> = BTreeMap::new();

    /// Those of a machine that shows nothing but these processes.
    fn only(facts: &BTreeMap<Pid, Facts>) -> Surroundings<'_> {
        Surroundings {
            facts,
            is_complete: true,
            units: &[],
            control_groups: &[],
            users: &NO_USERS,
            owners: &NO_OWNERS,
        }
    }

    fn said(selector: &Selector) -> String {
        let (facts, users) = (facts(), BTreeMap::from([(108, "postgres".to_owned())]));
        let units = [
            ("postgresql.service".to_owned(), 0),
            ("postgresql@15-main.service".to_owned(), 7),
            ("nginx.service".to_owned(), 5),
        ];
        let control_groups = [
            ("system.slice/nginx.service".to_owned(), 5),
            ("system.slice/idle.service".to_owned(), 0),
        ];
        let control_groups = &control_groups;
        let around = Surroundings { units: &units, control_groups, users: &users, ..only(&facts) };
        misses(selector, None, &around).join("\n")
    }

    #[test]
    fn what_belongs_to_another_group_is_named_with_it() {
        let facts = facts();
        let owners = BTreeMap::from([(Pid::new(100), "db".to_owned())]);
        let said = |pattern: &str| {
            let around = Surroundings { owners: &owners, ..only(&facts) };
            let conditions = Conditions { pattern: text(pattern), ..Conditions::default() };
            misses(&Selector::of_all(Label::new(b"x"), conditions), None, &around)
        };
        assert_eq!(
            said("^postgres$"),
            ["1 process matches, and belongs to db, which comes first (exclusive): 100 postgres"]
        );
        let both = said("^(postgres|Xorg)$");
        assert!(both.len() == 2 && both[0].contains("belongs to db"), "{both:?}");
        assert!(both[1].starts_with("1 process matches now, and did not when"), "{both:?}");
    }

    fn of(conditions: Conditions) -> String {
        said(&Selector::of_all(Label::new(b"x"), conditions))
    }

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn a_name_that_is_too_long_is_named_with_what_it_is_cut_to() {
        let said = of(Conditions { pattern: text("postgres-exporter"), ..Conditions::default() });
        assert!(said.contains("first 15 bytes"), "{said}");
        assert!(said.contains("1 process is called postgres-export"), "{said}");
        assert!(said.contains("in the command line (--cmdline): 101 postgres-export"), "{said}");
    }

    #[test]
    fn another_case_is_named() {
        let said = of(Conditions { pattern: text("xorg"), ..Conditions::default() });
        assert!(said.contains("in another case: 102 Xorg: (?i)"), "{said}");
    }

    #[test]
    fn a_regex_that_matches_a_cut_name_only_as_a_whole_is_explained() {
        let pattern =
            |regex: &str| of(Conditions { pattern: text(regex), ..Conditions::default() });
        for regex in ["exporter$", "postgres-exporter|mysqld-exporter99", "^(postgres-exporter)$"] {
            let said = pattern(regex);
            let cut = "first 15 bytes of a name; 1 process matches with its whole name: \
                       101 postgres-export (postgres-exporter): use --exe or --cmdline";
            assert!(said.contains(cut), "{regex}: {said}");
        }
        for regex in
            ["node-exporter-123|mysqld-exporter9", "^(?:node-exporter-123|mysqld-exporter9)$"]
        {
            let said = pattern(regex);
            assert!(said.contains(&format!("whatever matches {regex} is longer")), "{said}");
        }
        let said = pattern("mysqld|mysqld-exporter9");
        assert_eq!(said, "no process has a name that matches mysqld|mysqld-exporter9");
    }

    #[test]
    fn another_case_of_an_executable_a_unit_or_a_user_is_named() {
        let said_of = |conditions| of(conditions);
        let exe = text("*/Postgres").map(PathPattern::Glob);
        let said = said_of(Conditions { exe, ..Conditions::default() });
        let near = "1 process matches in another case: 100 /usr/lib/postgresql/15/bin/postgres";
        assert!(said.contains(near), "{said}");
        let user = Some(User::named("Postgres"));
        let said = said_of(Conditions { user, ..Conditions::default() });
        assert_eq!(said, "there is no user Postgres\nthere is a user postgres, who has 1 process");
        let said = self::said(&Selector::new(None, Source::Unit("Nginx.service".to_owned())));
        assert_eq!(said, "units with a similar name run: nginx.service (5 processes)");
    }

    #[test]
    fn a_control_group_that_is_missing_is_said_with_those_that_are_similar() {
        let of = |glob: &str| {
            let glob = PathPattern::Glob(glob.to_owned());
            said(&Selector::new(None, Source::ControlGroup(glob)))
        };
        let missing = of("Nginx.service");
        assert!(
            missing.starts_with("no control group matches Nginx.service: it must be the whole")
        );
        let near = "\ncontrol groups with a similar name: system.slice/nginx.service (5 processes)";
        assert!(missing.ends_with(near), "{missing}");
        assert_eq!(of("system.slice/idle*"), "no process is in system.slice/idle.service");
        assert_eq!(of("kafka").lines().count(), 1);
        let control_groups = [(String::new(), 0)];
        let around = Surroundings { control_groups: &control_groups, ..only(&NO_FACTS) };
        let root = Source::ControlGroup(PathPattern::Glob("*".to_owned()));
        let said = misses(&Selector::new(None, root), None, &around);
        assert_eq!(said, ["no process is in the root"]);
    }

    #[test]
    fn what_a_process_has_left_behind_is_named() {
        let mut facts = facts();
        let (group, session) = (Pid::new(90), Pid::new(91));
        let kinship = Some(Kinship { group, session, is_kernel_thread: false });
        facts.entry(Pid::new(103)).and_modify(|facts| facts.kinship = kinship);
        let around = only(&facts);
        for pid in [90, 91] {
            let pid = Pid::new(pid);
            let said = misses(&Selector::new(None, Source::Pid(pid)), Some(Ok(pid)), &around);
            assert_eq!(
                said,
                [
                    format!("process {pid} is not running"),
                    format!(
                        "1 process of the process group or session of {pid} still runs: 103 su: to count \
                         it, use --pid-file with its pid file, or --pattern '^su$'"
                    )
                ]
            );
        }
        let selector = Selector::new(None, Source::PidFile(b"/run/postgres.pid".to_vec()));
        for named in [Err("pid file: not found".to_owned()), Ok(Pid::new(7))] {
            let said = misses(&selector, Some(named), &around).join("\n");
            let near = "1 process is called postgres: 100 postgres: to count it, use --pid-file";
            assert!(said.contains(near), "{said}");
        }
    }

    #[test]
    fn an_executable_elsewhere_is_named() {
        let said = of(Conditions {
            exe: text("/opt/postgres").map(PathPattern::Glob),
            ..Conditions::default()
        });
        assert!(said.contains("100 /usr/lib/postgresql/15/bin/postgres"), "{said}");
        assert!(said.contains("the executable of 1 process cannot be read"), "{said}");
    }

    #[test]
    fn a_script_is_named_with_its_interpreter() {
        let row = |pid: u32, name: &str, command: &str, exe: &str| {
            let (command, exe) = (Some(command.to_owned()), Some(exe.to_owned()));
            (Pid::new(pid), Facts { name: name.to_owned(), command, exe, ..Facts::default() })
        };
        let facts = BTreeMap::from([
            row(200, "wrapper.sh", "/bin/sh -e /usr/local/bin/wrapper.sh -x", "/usr/bin/dash"),
            row(201, "sh", "sh /usr/local/bin/wrapper.sh", "/usr/bin/bash"),
            row(202, "python3", "python3 -u /srv/app.py", "/usr/bin/python3.11"),
            row(203, "a-name-of-its-ow", "tool /srv/a-name-of-its-own", "/opt/tool"),
            row(204, "vi", "vi /usr/local/bin/wrapper.sh", "/usr/bin/vi"),
            row(205, "app.py", "/srv/app.py", "/srv/app.py"),
        ]);
        let of = |exe: PathPattern| {
            let conditions = Conditions { exe: Some(exe), ..Conditions::default() };
            misses(&Selector::of_all(None, conditions), None, &only(&facts)).join("\n")
        };
        let glob = |glob: &str| of(PathPattern::Glob(glob.to_owned()));
        assert_eq!(
            glob("/usr/local/bin/wrapper.sh"),
            "2 processes run such a file as a script, and the executable is its interpreter: 200 \
             wrapper.sh (/usr/bin/dash), 201 sh (/usr/bin/bash): use --cmdline \
             '/usr/local/bin/wrapper\\.sh'"
        );
        assert!(glob("*/srv/app.p?").contains("1 process matches now"), "it is a program too");
        assert!(glob("*/srv/*own").starts_with("no process has"), "the name is not of 15 bytes");
        let by_regex = of(PathPattern::Regex("/wrapper".to_owned()));
        assert!(by_regex.starts_with("2 processes run such a file as a script"), "{by_regex}");
    }

    #[test]
    fn each_script_is_in_the_advice_as_a_shell_takes_it() {
        let row = |pid: u32, script: &str| {
            let (command, exe) = (format!("sh {script}"), Some("/usr/bin/dash".to_owned()));
            let (name, command) = ("sh".to_owned(), Some(command));
            (Pid::new(pid), Facts { name, command, exe, ..Facts::default() })
        };
        let facts = BTreeMap::from([row(1, "/srv/b"), row(2, "/srv/it's"), row(3, "/srv/b")]);
        let exe = Some(PathPattern::Glob("/srv/*".to_owned()));
        let selector = Selector::of_all(None, Conditions { exe, ..Conditions::default() });
        let said = misses(&selector, None, &only(&facts)).join("\n");
        assert!(said.ends_with(r": use --cmdline '/srv/b', --cmdline '/srv/it'\''s'"), "{said}");
    }

    #[test]
    fn a_space_at_an_end_is_named_if_it_is_the_reason() {
        let pattern =
            |regex: &str| of(Conditions { pattern: text(regex), ..Conditions::default() });
        assert_eq!(
            pattern("^su "),
            "\"^su \" ends with a space, which must match too: remove the space. Without it, 1 process \
             matches: 103 su"
        );
        assert!(pattern(" su").starts_with("\" su\" begins with a space"));
        // The space is not the reason, or not one.
        for regex in ["kafka ", " ", "su\\ ", " $", "x* "] {
            assert!(!pattern(regex).contains("with a space"), "{regex}");
        }
        let exe = text("/usr/bin/su ").map(PathPattern::Glob);
        let both = of(Conditions { exe, pattern: text("^su$"), ..Conditions::default() });
        assert!(both.starts_with("\"/usr/bin/su \" ends") && !both.contains('\n'), "{both}");
        let exe = text(" /usr/bin/su").map(PathPattern::Glob);
        let both = of(Conditions { exe, pattern: text("^su "), ..Conditions::default() });
        assert_eq!(
            both,
            "\"^su \" ends with a space and \" /usr/bin/su\" begins with a space, which must match too: \
             remove the spaces. Without them, 1 process matches: 103 su"
        );
        let user = |name: &str| Some(User::named(name));
        let nobody = of(Conditions { user: user("kafka "), ..Conditions::default() });
        assert_eq!(nobody, "there is no user \"kafka \", which ends with a space");
        let reason = "pid file /run/x.pid : not found".to_owned();
        let by_file = Selector::new(None, Source::PidFile(b"/run/x.pid ".to_vec()));
        let by_file = misses(&by_file, Some(Err(reason)), &only(&BTreeMap::new()));
        assert_eq!(by_file[1..], ["the path of the pid file ends with a space"]);
        let kafka = said(&Selector::new(None, Source::Unit(systemd::expand("kafka "))));
        assert_eq!(kafka, "no unit that matches \"kafka \", with the space, is running");
        for name in ["postgres ", "108 "] {
            let by_user = of(Conditions { user: user(name), ..Conditions::default() });
            assert!(by_user.contains("ends with a space"), "{by_user}");
            assert!(by_user.contains("1 process matches: 100 postgres"), "{by_user}");
        }
        let unit = |name: &str| Selector::new(None, Source::Unit(systemd::expand(name)));
        for name in ["nginx ", "nginx.service ", "ngin* "] {
            let by_unit = said(&unit(name));
            let expected = format!("{name:?} ends with a space, which must match too: remove");
            assert!(by_unit.starts_with(&expected), "{by_unit}");
            assert!(by_unit.ends_with("Without it, it matches nginx.service"), "{by_unit}");
        }
        assert!(!said(&unit("postgresql ")).contains("with a space"), "it has no process");
        let glob = PathPattern::Glob(" system.slice/ngin*".to_owned());
        let by_path = said(&Selector::new(None, Source::ControlGroup(glob)));
        assert!(
            by_path.ends_with("Without it, it matches system.slice/nginx.service"),
            "{by_path}"
        );
    }

    #[test]
    fn of_several_conditions_the_one_that_fails_is_named_with_its_value() {
        let user = Some(User::Id(Uid(108)));
        let said = of(Conditions { cmdline: text("^su"), user, ..Conditions::default() });
        assert!(said.contains("1 process meets cmdline ^su"), "{said}");
        assert!(said.contains("1 process would match but for the user: 103 su (0)"), "{said}");
        assert!(said.contains("but for the command line: 100 postgres (postgres: check"), "{said}");
    }

    #[test]
    fn an_empty_unit_is_named_with_those_that_run() {
        let unit = Source::Unit("postgresql.service".to_owned());
        let said = said(&Selector::new(None, unit));
        assert!(said.contains("postgresql.service has no process"), "{said}");
        assert!(said.contains("run: postgresql@15-main.service (7 processes)"), "{said}");
        assert!(!said.contains("nginx"), "{said}");
    }

    #[test]
    fn what_matches_elsewhere_is_not_called_another_case() {
        let conditions = Conditions { pattern: text("^postgres$"), ..Conditions::default() };
        let in_place = |source| {
            said(&Selector { conditions: conditions.clone(), ..Selector::new(None, source) })
        };
        assert_eq!(
            in_place(Source::Unit("nginx.service".to_owned())),
            "1 process matches, but is not in unit nginx.service: 100 postgres"
        );
        assert_eq!(
            in_place(Source::PidFile(b"/run/\x1bx".to_vec())),
            "1 process matches, but is not the process in /run/?x: 100 postgres"
        );
        let said = of(conditions.clone());
        assert_eq!(
            said,
            "1 process matches now, and did not when the sample was taken: 100 postgres"
        );
    }

    #[test]
    fn a_source_without_conditions_says_nothing_of_processes() {
        assert_eq!(said(&Selector::new(None, Source::Pid(Pid::new(7)))), "");
    }

    #[test]
    fn many_units_are_not_all_named() {
        let facts = BTreeMap::new();
        let units: Vec<_> = (0..9).map(|number| (format!("web@{number}.service"), 1)).collect();
        let around = Surroundings { is_complete: false, units: &units, ..only(&facts) };
        let unit = Source::Unit("web.service".to_owned());
        let said = misses(&Selector::new(None, unit), None, &around);
        assert_eq!(
            said,
            [
                "units with a similar name run: web@0.service (1 process), web@1.service (1 process), \
                 web@2.service (1 process), and 6 more",
                "not all processes were looked at in time"
            ]
        );
    }

    #[test]
    fn nothing_near_is_said_too() {
        let said = of(Conditions { pattern: text("kafka"), ..Conditions::default() });
        assert_eq!(said, "no process has a name that matches kafka");
    }

    #[test]
    fn a_process_that_is_named_by_its_pid_is_said_with_what_is_wrong() {
        let facts = facts();
        let around = only(&facts);
        let named = |pid: u32, exe: &str| {
            let mut selector = Selector::new(Label::new(b"x"), Source::Pid(Pid::new(pid)));
            selector.conditions.exe = text(exe).map(PathPattern::Glob);
            misses(&selector, Some(Ok(Pid::new(pid))), &around).join("; ")
        };
        assert_eq!(named(7, "*"), "process 7 is not running");
        assert_eq!(
            named(103, "*/sudo"),
            "process 103 is su, and its executable is /usr/bin/su, which exe */sudo does not match"
        );
        let hidden = Facts { exe: None, ..facts[&Pid::new(103)].clone() };
        let hidden = BTreeMap::from([(Pid::new(103), hidden)]);
        let mut selector = Selector::new(Label::new(b"x"), Source::Pid(Pid::new(103)));
        selector.conditions.exe = text("*/sudo").map(PathPattern::Glob);
        assert_eq!(
            misses(&selector, Some(Ok(Pid::new(103))), &only(&hidden)),
            ["process 103 is su, and its executable cannot be read"]
        );
        let reason = "pid file /run/x.pid: not found".to_owned();
        let selector = Selector::new(None, Source::PidFile(b"/run/x.pid".to_vec()));
        assert_eq!(misses(&selector, Some(Err(reason.clone())), &around), [reason]);
    }
}
