//! The manual page of the configuration file. What a key has in common with an option of the command line is
//! taken from the definition of that.

use crate::cli;
use clap::{Arg, Command};
use roff::{Roff, bold, italic, roman};

/// A key of the file.
struct Key {
    name: &'static str,
    /// The type of its value.
    kind: &'static str,
    /// What it means. `None` for what the option of the same name means.
    text: Option<&'static str>,
}

const fn option(name: &'static str, kind: &'static str) -> Key {
    Key { name, kind, text: None }
}

const fn key(name: &'static str, kind: &'static str, text: &'static str) -> Key {
    Key { name, kind, text: Some(text) }
}

/// The keys above the first table.
const OF_FILE: &[Key] = &[
    option("host", "string"),
    key(
        "fields",
        "array of strings, or a string with commas",
        "The fields to print, in this order. psstat(1) explains each. \
         [default: p_cpu,p_mem,n_proc; cpu_time,mem,n_proc for prometheus]",
    ),
    option("memory", "string"),
    option("format", "string"),
    option("sort", "string"),
    option("output", "string"),
    option("cache_dir", "string"),
    option("cache_name", "string"),
    option("timeout", "string, a duration"),
    option("interval", "string, a duration"),
    option("wait", "string, a duration"),
    option("proc", "string"),
    option("sys", "string"),
    option("multi_threaded", "boolean"),
    option("no_sandbox", "boolean"),
    option("exit_records", "boolean"),
    key(
        "include",
        "string, a path or a glob, or an array of them",
        "Further files of groups, sorted by name. A relative path begins where this file is. They cannot have \
         options, tags or an include of their own. [default: none]",
    ),
    key(
        "exclusive",
        "boolean",
        "Whether a process belongs to one group at most: the first in the file that selects it. Otherwise it \
         counts in each group that has it. [default: false]",
    ),
    key(
        "rest",
        "string",
        "The name of one more group, of all processes that no other group has. [default: no such group]",
    ),
    key(
        "max_groups",
        "integer",
        "How many groups a name with placeholders makes at most. [default: 1000]",
    ),
    key(
        "overflow",
        "string",
        "The name of the group of the processes whose names are beyond max_groups. [default: other]",
    ),
    key("tags", "table", "Tags of every line: see TAGS. [default: none]"),
    key("group", "array of tables", "The groups: see GROUPS."),
];

/// The keys of a group.
const OF_GROUP: &[Key] = &[
    key(
        "name",
        "string",
        "The name of the group. A group with a name prints a line even while it has no process. Groups with \
         the same name are one. It may have placeholders. [default: each process name, unit or control group \
         is a group of its own]",
    ),
    key("pid", "integer", "Source: the process with that pid."),
    key(
        "pid_file",
        "string, a path or a glob",
        "Source: the process whose pid is on the first line of that file, or of each file that matches.",
    ),
    key(
        "pid_files",
        "array of strings",
        "Source: the same for several files. Not together with pid_file.",
    ),
    key(
        "systemd",
        "string, a glob",
        "Source: every systemd unit whose id matches. nginx means nginx.service.",
    ),
    key(
        "cgroup",
        "string, a glob",
        "Source: every control group whose path below the root matches as a whole, without the first slash.",
    ),
    key(
        "cgroup_regex",
        "string, a regex",
        "Source: every control group whose path below the root matches, without the first slash.",
    ),
    key(
        "pattern",
        "string, a regex",
        "Condition: the process name (comm, the first 15 bytes) matches.",
    ),
    key(
        "cmdline",
        "string, a regex",
        "Condition: the command line matches, its arguments joined by one space.",
    ),
    key(
        "exe",
        "string, a glob",
        "Condition: the path of the executable matches as a whole, symbolic links resolved.",
    ),
    key(
        "exe_regex",
        "string, a regex",
        "Condition: the path of the executable matches, symbolic links resolved. Not together with exe.",
    ),
    key(
        "user",
        "string or integer",
        "Condition: the process has that effective user, by name or uid.",
    ),
    key(
        "children",
        "boolean",
        "Whether all descendants of the selected processes belong to the group. A group of units or control \
         groups without a condition has all their processes in any case. [default: true]",
    ),
    key(
        "fields",
        "array of strings, or a string with commas",
        "The fields of this group. Parts of one group that have a list must have the same one. [default: those of the \
         file]",
    ),
    key("max_groups", "integer", "The same as above, for this group. [default: that of the file]"),
    key("overflow", "string", "The same as above, for this group. [default: that of the file]"),
    key("tags", "table", "Tags of this group. They replace tags of the same keys. [default: none]"),
];

const PLACEHOLDERS: &[(&str, &str)] = &[
    ("{word}", "what (?P<word>...) matches in a regex of the group"),
    ("{comm}", "the name of the process"),
    ("{exe}", "the path of its executable"),
    ("{user}", "its effective user"),
    ("{unit}", "its systemd unit, without .service"),
    ("{instance}", "what stands between @ and . in the id of that unit"),
    ("{cgroup}", "the path of its control group, / for the root"),
];

const EXAMPLES: &[(&str, &str)] = &[
    (
        "A service, the workers of another one, and a pid file that may be stale:",
        "[tags]\nenv = \"production\"\n\n\
         [[group]]\nname = \"web\"\nsystemd = \"nginx\"\n\n\
         [[group]]\nname = \"php\"\npattern = \"^php-fpm\"\nuser = \"www-data\"\n\n\
         [[group]]\nname = \"mysql\"\npid_file = \"/run/mysqld/mysqld.pid\"\nexe = \"*/mariadbd\"\n\
         tags = { team = \"data\" }",
    ),
    (
        "A group for each application, and one for each Docker container:",
        "[[group]]\nname = \"java-{app}\"\ncmdline = '-Dapp=(?P<app>[\\w-]+)'\nuser = \"app\"\n\
         max_groups = 50\n\n\
         [[group]]\nname = \"docker-{id}\"\n\
         cgroup_regex = '^system\\.slice/docker-(?P<id>[0-9a-f]{12})'",
    ),
    (
        "The whole machine, each process in one group:",
        "exclusive = true\nrest = \"everything-else\"\n\n\
         [[group]]\nname = \"web\"\nsystemd = \"nginx\"\n\n\
         [[group]]\nname = \"shells\"\npattern = \"^(ba|z|da)?sh$\"",
    ),
];

/// The manual page in roff(7).
pub fn page() -> String {
    let definition = cli::definition();
    let mut roff = Roff::new();
    let version = format!("psstat {}", env!("CARGO_PKG_VERSION"));
    roff.control("TH", ["PSSTAT.TOML", "5", " ", &version, "File Formats"]);
    roff.control("SH", ["NAME"]);
    roff.text([roman("psstat.toml - configuration file of psstat")]);
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([
        bold("psstat"),
        roman(" [execd|check|explain|top] "),
        bold("--config"),
        roman(" /etc/psstat.toml"),
    ]);
    paragraphs(
        &mut roff,
        "DESCRIPTION",
        &[
            "The file says what psstat measures, and how. It is used only if --config names it. Its format is \
             TOML. All keys are optional. A key that psstat does not know is a mistake, and so is a value of \
             another type. psstat check --config FILE names all mistakes with their lines, and shows what the \
             file selects now.",
            "Options of the command line replace those of the file. A --tag replaces the file's tag of the same \
             key, also in a group. Selectors of the command line are added to the groups of the file.",
            "psstat execd reads the file when it starts. After a change, start it again.",
        ],
    );
    roff.control("SH", ["OPTIONS"]);
    roff.text([roman("They stand above the first [table]. Those of the command line have its names, with _ for -.")]);
    keys(&mut roff, OF_FILE, &definition);
    paragraphs(
        &mut roff,
        "TAGS",
        &[
            "Below [tags], each key is a tag of every line, and its value is a string. process_name is not \
           allowed, because psstat sets it.",
        ],
    );
    paragraphs(
        &mut roff,
        "GROUPS",
        &[
            "Each [[group]] selects processes. It has at most one source, and without a source it looks at all \
           processes. It may have conditions, and a process must fulfil all of them. It needs a source or a \
           condition. The value of each source and condition may be an array, which means any of its values. A \
           string may have ${NAME} or ${NAME:-DEFAULT}, which is the value of an environment variable.",
        ],
    );
    keys(&mut roff, OF_GROUP, &definition);
    roff.control("SH", ["PLACEHOLDERS"]);
    roff.text([roman("A name with one of these makes a group for each name that comes out:")]);
    for (placeholder, text) in PLACEHOLDERS {
        roff.control("TP", []).text([bold(*placeholder)]).text([roman(*text)]);
    }
    paragraphs(
        &mut roff,
        "VALUES",
        &[
            "A duration is a number with a unit: ms, s, m or h, in lower case, as in 500ms, 1s or 2m.",
            "A regex matches anywhere in the text; ^ and $ anchor it. It is case-sensitive; (?i) in front \
             ignores case. A glob matches the whole text. Single quotes around a string keep its backslashes.",
        ],
    );
    roff.control("SH", ["EXAMPLES"]);
    for (text, file) in EXAMPLES {
        roff.control("PP", []).text([roman(*text)]);
        roff.control("PP", []).control("RS", ["4"]).control("nf", []);
        for line in file.lines() {
            roff.text([roman(line)]);
        }
        roff.control("fi", []).control("RE", []);
    }
    roff.control("SH", ["FILES"]);
    for (file, text) in [
        ("/etc/psstat.toml", "The usual place. psstat.service reads it."),
        ("/usr/share/doc/psstat/examples/psstat.toml", "An annotated example."),
    ] {
        roff.control("TP", []).text([bold(file)]).text([roman(text)]);
    }
    roff.control("SH", ["SEE ALSO"]).text([bold("psstat"), roman("(1)")]);
    roff.to_roff()
}

fn paragraphs(roff: &mut Roff, title: &str, texts: &[&str]) {
    roff.control("SH", [title]);
    for text in texts {
        roff.control("PP", []).text([roman(*text)]);
    }
}

fn keys(roff: &mut Roff, keys: &[Key], definition: &Command) {
    for key in keys {
        let text = key.text.map_or_else(|| help(definition, key.name), ToOwned::to_owned);
        let head = [bold(key.name), roman(" ("), italic(key.kind), roman(")")];
        roff.control("TP", []).text(head).text([roman(text)]);
    }
}

/// The help of the option with the name of a key, in one line.
fn help(definition: &Command, key: &str) -> String {
    let name = key.replace('_', "-");
    let option = definition.get_arguments().find(|arg| arg.get_long() == Some(&name));
    let help = option.and_then(Arg::get_help).map(ToString::to_string).unwrap_or_default();
    let help = help.replace('\n', " ");
    if help.is_empty() || help.ends_with('.') || help.ends_with(']') { help } else { help + "." }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, keys};
    use crate::files::config::ReadConfigError;
    use crate::settings::Surroundings;
    use std::path::Path;

    #[test]
    fn the_page_explains_every_key() {
        let names = |keys: &[Key]| -> Vec<&str> {
            let mut names: Vec<&str> = keys.iter().map(|key| key.name).collect();
            names.sort_unstable();
            names
        };
        let sorted = |keys: &[&'static str]| {
            let mut keys = keys.to_vec();
            keys.sort_unstable();
            keys
        };
        let [of_file, of_group] = keys();
        assert_eq!(names(OF_FILE), sorted(of_file));
        assert_eq!(names(OF_GROUP), sorted(of_group));
        let definition = cli::definition();
        for key in OF_FILE.iter().filter(|key| key.text.is_none()) {
            assert_ne!(help(&definition, key.name), "", "{} is no option", key.name);
        }
        let page = page();
        assert!(page.contains(".TH PSSTAT.TOML 5 \" \""), "{page}");
        for text in ["Give up on a sample after this long", "(?P<word>...)", "everything\\-else"] {
            assert!(page.contains(text), "{text} is not in {page}");
        }
    }

    #[test]
    fn every_example_is_valid() {
        let surroundings = Surroundings::made_up(|_| Err(ReadConfigError::TooLong));
        for (_, text) in EXAMPLES {
            let read = config::parse(Path::new("psstat.toml"), text, &surroundings);
            assert!(read.is_ok(), "{text}: {read:?}");
        }
    }
}
