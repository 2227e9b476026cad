//! Scripts: the executable of such a process is its interpreter.

use super::around::{Surroundings, all};
use super::matching::path_of;
use super::words::{examples, first_of, quoted, these};
use crate::explain::facts::Facts;
use crate::model::collect;
use crate::model::process::LONGEST_COMM;
use crate::select::selector::PathPattern;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// The programs that run scripts, without the numbers of versions, and the letters of their options behind which
/// there is code, or the name of a module, and no script.
const INTERPRETERS: [(&str, &str); 15] = [
    ("ash", "cs"),
    ("awk", ""),
    ("bash", "cs"),
    ("dash", "cs"),
    ("fish", "c"),
    ("gawk", ""),
    ("ksh", "cs"),
    ("lua", "e"),
    ("mawk", ""),
    ("node", "ep"),
    ("perl", "eE"),
    ("php", "rBRE"),
    ("python", "cm"),
    ("ruby", "e"),
    ("sh", "cs"),
];

/// The long options of that kind.
const CODE: [&str; 4] = ["--command", "--eval", "--print", "--run"];

/// The script that a process runs, if its executable is only the interpreter: its first argument that is no option.
/// The kernel names a process by its script, so one that has the name of the file is taken for it too.
fn script(facts: &Facts) -> Option<&str> {
    let (command, exe) = (facts.command.as_deref()?, facts.exe.as_deref()?);
    let base = |path: &'_ str| path.rsplit('/').next().unwrap_or_default().to_string();
    let mut words = command.split(' ');
    let first = words.next()?;
    let options: Vec<&str> = words.clone().take_while(|word| word.starts_with('-')).collect();
    let path = words.nth(options.len())?;
    let (file, program) = (base(path), base(exe));
    // It is many programs, and the first word says which. A login shell has a `-` in front.
    let applet = if program == "busybox" { base(first) } else { program.clone() };
    let kind = applet.trim_start_matches('-');
    let kind = kind.trim_end_matches(|last: char| last.is_ascii_digit() || last == '.');
    let is_named_by_it = file.len() >= facts.name.len()
        && file.starts_with(&facts.name)
        && (file == facts.name || facts.name.len() == LONGEST_COMM);
    let runs_file = match INTERPRETERS.into_iter().find(|(name, _)| *name == kind) {
        // Without this option there is a program in its place.
        Some((_, "")) => options.iter().any(|option| option.ends_with('f')),
        Some((_, letters)) => !options.iter().any(|option| is_code(option, letters)),
        None => is_named_by_it,
    };
    (file != program && runs_file).then_some(path)
}

/// Whether what follows an option is no script. `letters` are those of short options of this kind, which are the
/// first or the last of several: `-c`, `-lc`, `-ne`. In a shell they can be anywhere: `-ce`.
fn is_code(option: &str, letters: &str) -> bool {
    if option.starts_with("--") {
        return CODE.contains(&option.split('=').next().unwrap_or_default());
    }
    let option = option.trim_start_matches('-');
    let is_of_shell = letters.starts_with("cs");
    let ends = [option.chars().next(), option.chars().next_back()];
    ends.into_iter().flatten().any(|letter| letters.contains(letter))
        || is_of_shell && option.contains('c')
}

/// Processes that run a file with such a path as a script.
pub(super) fn near_scripts(
    pattern: &PathPattern,
    around: &Surroundings<'_>,
    said: &mut Vec<String>,
) {
    let matches = path_of(pattern);
    let found = all(around, |facts| script(facts).is_some_and(&matches));
    let paths = collect::set(found.iter().filter_map(|(_, facts)| script(facts)));
    if paths.is_empty() {
        return;
    }
    let advice =
        paths.into_iter().map(|path| format!("--cmdline {}", quoted(&regex::escape(path))));
    said.push(format!(
        "{} such a file as a script, and the executable is its interpreter: {}: use {}",
        these(found.len(), "runs", "run"),
        examples(&found, |facts| {
            format!("{} ({})", facts.name, facts.exe.as_deref().unwrap_or_default())
        }),
        first_of(advice.collect())
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::borrow::ToOwned;

    #[test]
    fn what_an_interpreter_runs_that_is_no_file_is_no_script() {
        let of = |exe: &str, command: &str| {
            let (exe, command) = (Some(exe.to_owned()), Some(command.to_owned()));
            let name = "x".to_owned();
            script(&Facts { name, exe, command, ..Facts::default() }).map(ToOwned::to_owned)
        };
        for (exe, command) in [
            ("/usr/bin/dash", "sh -c /usr/local/bin/app --x"),
            ("/usr/bin/bash", "bash -lc /usr/local/bin/app"),
            ("/usr/bin/bash", "bash -ce /usr/local/bin/app"),
            ("/usr/bin/bash", "bash -s /usr/local/bin/app"),
            ("/usr/bin/python3.11", "python3 -I -m /app"),
            ("/usr/bin/python3.11", "python3 -c /app"),
            ("/usr/bin/perl", "perl -ne /app/"),
            ("/usr/bin/node", "node --eval /app/"),
            ("/usr/bin/fish", "fish --command=x /app"),
            ("/usr/bin/mawk", "awk /app/ /var/log/syslog"),
            ("/bin/busybox", "vi /app"),
            ("/bin/busybox", "-sh -c /app"),
            ("/bin/sh", "sh"),
        ] {
            assert_eq!(of(exe, command), None, "{command}");
        }
        for (exe, command) in [
            ("/usr/bin/dash", "sh -e /app -c x"),
            ("/usr/bin/bash", "bash --login -- /app"),
            ("/usr/bin/python3.11", "python3 -u -E /app -m x"),
            ("/usr/bin/perl", "perl -w /app"),
            ("/usr/bin/gawk", "awk -f /app"),
            ("/bin/busybox", "/bin/sh /app"),
        ] {
            assert_eq!(of(exe, command).as_deref(), Some("/app"), "{command}");
        }
    }
}
