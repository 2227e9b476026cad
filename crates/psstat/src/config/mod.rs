//! The configuration file (TOML), turned into [`Settings`]. Pure.
//!
//! ```toml
//! memory = "pss"                  # options have the names of the command line, with _ for -
//!
//! [tags]
//! env = "production"
//!
//! [[group]]
//! name = "web"
//! pid_file = "/run/nginx.pid"     # the source: pid, pid_file, systemd, cgroup or cgroup_regex;
//!                                 # without one, all processes
//! exe = "*/nginx"                 # the conditions: pattern, cmdline, exe or exe_regex, user
//! children = false                # without descendants
//! tags = { team = "edge" }
//!
//! [[group]]
//! name = "databases"
//! systemd = ["postgresql@*", "redis"]   # each of them
//! ```
//!
//! A `[[group]]` becomes a [`Selector`] for each value of its list, and for each combination if there are
//! several lists.
//!
//! A value may contain environment variables, as in `"${TEAM}"` (`variables.rs`). `include` names further
//! files of groups.
//!
//! Anything unknown is an error with file, line and cure. All errors are found at once. If a misspelt key were
//! ignored, nobody would notice that a group is not watched.
//!
//! `file.rs` declares the keys, `locate.rs` explains what serde refuses, `groups.rs` checks the groups, and this
//! file the other values.

mod error;
mod file;
mod groups;
mod lists;
mod locate;
mod several;
mod variables;

use crate::files::config::ReadConfigError;
use crate::settings::{
    self, CacheName, FieldList, Period, Settings, SortKey, Surroundings, TagList, ValueError,
};
pub use error::{ConfigError, ConfigErrors, Problem};
use file::{File, Group, Names};
use psstat_core::account::names::is_reserved;
use psstat_core::field::Fields;
use psstat_core::model::label::{Label, excerpt};
use psstat_core::select::selector::Selector;
use psstat_core::select::template::Bound;
use serde::Deserialize;
use several::Several;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, Deserializer};
use variables::Failed;

/// What toml says of a key that is there twice. It does not name the key.
const DUPLICATE: &str = "duplicate key";

/// So many mistakes are looked for. To find one, the file is read again.
const MOST_ERRORS: usize = 100;

/// Reads the text of the file at `path`.
///
/// # Errors
/// [`ConfigErrors`] if the text is not a valid configuration.
pub fn parse(
    path: &Path,
    text: &str,
    surroundings: &Surroundings,
) -> Result<Settings, ConfigErrors> {
    let noted = Noted::default();
    noted.files.borrow_mut().push(path.to_owned());
    let settings = Reader { path, text, surroundings, noted: &noted, main: None }.read();
    let files = noted.files.into_inner();
    match ConfigErrors::new(noted.errors.into_inner(), &files) {
        None => Ok(Settings { files, ..settings }),
        Some(errors) => Err(errors),
    }
}

/// The keys of a file, and those of a group.
pub fn keys() -> [&'static [&'static str]; 2] {
    [file::keys::<File>(), file::keys::<Group>()]
}

/// What is noted while files are read.
#[derive(Default)]
struct Noted {
    errors: RefCell<Vec<ConfigError>>,
    /// The files, in the order in which they are read.
    files: RefCell<Vec<PathBuf>>,
    /// The tags of the groups with a name, by the name and the key.
    tags: RefCell<BTreeMap<(Label, Label), Label>>,
    /// The fields of the groups with a name that have a list of their own.
    fields: RefCell<BTreeMap<Label, Fields>>,
}

/// Checks the values of a file. It notes each error and goes on.
#[derive(Clone, Copy)]
struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    surroundings: &'a Surroundings,
    noted: &'a Noted,
    /// The file that includes this one. `None` if this is the one that was given.
    main: Option<&'a Path>,
}

impl<'a> Reader<'a> {
    /// The number of lines that end between two positions.
    fn lines_between(self, start: usize, end: usize) -> usize {
        let between = self.text.as_bytes().get(start..end.min(self.text.len()));
        between.unwrap_or_default().iter().filter(|&&byte| byte == b'\n').count()
    }

    fn note(self, position: usize, problem: Problem) {
        let line = self.lines_between(0, position) + 1;
        let error = ConfigError { path: self.path.to_owned(), line, problem };
        self.noted.errors.borrow_mut().push(error);
    }

    fn note_value(self, key: &'static str, span: Range<usize>, reason: ValueError) {
        let value = excerpt(&self.text[span.clone()]).into_owned();
        self.note(span.start, Problem::Value { key, value, reason });
    }

    fn errors_so_far(self) -> usize {
        self.noted.errors.borrow().len()
    }

    /// The settings of the file, without those that are wrong.
    fn read(self) -> Settings {
        self.file().map_or_else(Settings::default, |(file, refused)| self.settings(file, &refused))
    }

    /// The values of the file, and the spans of the keys that were left out of it. `None` if nobody knows
    /// what belongs where.
    fn file(self) -> Option<(File, Vec<Range<usize>>)> {
        let errors_before = self.errors_so_far();
        let (mut table, consequences) = self.table()?;
        let mut refused = self.prepare(table.get_mut());
        locate::remove(&refused, table.get_mut());
        loop {
            let error = match File::deserialize(Deserializer::from(table)) {
                Ok(file) => {
                    if self.errors_so_far() == errors_before {
                        // They are no consequences.
                        consequences.into_iter().for_each(|span| self.note_duplicate(span));
                    }
                    return Some((file, refused));
                }
                Err(error) => error,
            };
            // serde stops at the first mistake, so the key that it is about is removed to find the next.
            (table, _) = DeTable::parse_recoverable(self.text);
            variables::replace(table.get_mut(), self.surroundings.variable);
            locate::remove(&refused, table.get_mut());
            let span = error.span().unwrap_or_default();
            let Some((key, problem)) = locate::problem_at(&span, table.get_ref(), self.text) else {
                self.note(span.start, Problem::Syntax(error.message().to_owned()));
                return None;
            };
            self.note(key.start, problem);
            if self.errors_so_far() >= MOST_ERRORS {
                self.note(self.text.len(), Problem::TooMany);
                return None;
            }
            refused.push(key);
            locate::remove(&refused, table.get_mut());
        }
    }

    /// Replaces environment variables, and notes keys that TOML allows and psstat does not. Returns the spans
    /// of the keys to leave out.
    fn prepare(self, table: &mut DeTable<'_>) -> Vec<Range<usize>> {
        let mut refused = Vec::new();
        for Failed { key, start, reason } in variables::replace(table, self.surroundings.variable) {
            self.note(start, Problem::Variable(reason));
            refused.push(key);
        }
        let mut refuse = |(key, span): (&'static str, Range<usize>),
                          problem: fn(&'static str) -> Problem| {
            self.note(span.start, problem(key));
            refused.push(span);
        };
        for found in locate::options_among_tags(table, self.text) {
            refuse(found, Problem::OptionAmongTags);
        }
        if self.main.is_some() {
            for found in locate::options(table) {
                refuse(found, Problem::OptionInIncluded);
            }
        }
        refused
    }

    fn note_duplicate(self, span: Range<usize>) {
        let key = self.text.get(span.clone()).unwrap_or_default();
        self.note(span.start, Problem::DuplicateKey(excerpt(key).into_owned()));
    }

    /// The file as TOML, and the spans of the keys that are there twice if a group lacks two brackets. serde
    /// refuses that group. `None` if it is no TOML, so that nobody knows what belongs where.
    fn table(self) -> Option<(Spanned<DeTable<'a>>, Vec<Range<usize>>)> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        let mut is_toml = true;
        let (mut consequences, mut of_group) = (Vec::new(), 0..0);
        for error in errors {
            let span = error.span().unwrap_or_default();
            let message = error.message().lines().collect::<Vec<_>>().join(", ");
            if message == DUPLICATE {
                let (before, behind) = self.text.split_at_checked(span.end).unwrap_or_default();
                // If one of two groups lacks a bracket, the header of the second is a duplicate, and so are its keys.
                if before.ends_with("[group") {
                    of_group = span.start..span.end + behind.find("\n[").unwrap_or(behind.len());
                }
                if of_group.contains(&span.start) {
                    consequences.push(span);
                } else {
                    self.note_duplicate(span);
                }
            } else if std::mem::take(&mut is_toml) {
                // Others can be a consequence of this one.
                self.note(span.start, Problem::Syntax(message));
            }
        }
        is_toml.then_some((table, consequences))
    }

    /// The settings of a file from which the keys with the spans `refused` were removed.
    fn settings(self, file: File, refused: &[Range<usize>]) -> Settings {
        let bound = Bound::default();
        let bound = self.bound(file.max_groups.as_ref(), file.overflow.as_ref(), &bound);
        let mut selectors = self.groups(file.group, refused, &bound);
        if let Some(include) = &file.include {
            selectors.extend(self.included(include, &bound));
        }
        let rest = self.value("rest", file.rest.as_ref(), |text| {
            let rest = without_braces(text)?;
            let is_group = selectors.iter().any(|selector| selector.name() == Some(&rest));
            if is_group { Err(ValueError::NameOfGroup) } else { Ok(rest) }
        });
        Settings {
            selectors,
            tags: self.tags(file.tags),
            host: self.value("host", file.host.as_ref(), |host| Ok(host.as_bytes().to_vec())),
            cache_dir: self.value("cache_dir", file.cache_dir.as_ref(), path),
            cache_name: self.value("cache_name", file.cache_name.as_ref(), str::parse::<CacheName>),
            wait: self.value("wait", file.wait.as_ref(), str::parse::<Period>),
            interval: self.value("interval", file.interval.as_ref(), str::parse::<Period>),
            fields: file.fields.and_then(|names| self.fields(&names)),
            memory: self.value("memory", file.memory.as_ref(), settings::memory_mode),
            format: self.value("format", file.format.as_ref(), settings::format),
            sort: self.value("sort", file.sort.as_ref(), str::parse::<SortKey>),
            output: self.value("output", file.output.as_ref(), path),
            proc: self.value("proc", file.proc.as_ref(), path),
            sys: self.value("sys", file.sys.as_ref(), path),
            timeout: self.value("timeout", file.timeout.as_ref(), str::parse::<Period>),
            multi_threaded: file.multi_threaded,
            no_sandbox: file.no_sandbox,
            exclusive: file.exclusive,
            rest,
            exit_records: file.exit_records,
            files: Vec::new(),
            mistakes: Vec::new(),
        }
    }

    /// The groups of the files that are included, in the order of their names.
    fn included(self, include: &Several<String>, bound: &Bound) -> Vec<Selector> {
        let mut selectors = Vec::new();
        let patterns = self.values("include", Some(include), |value| {
            Some((value.span().start, self.value("include", Some(value), path)?))
        });
        for (start, pattern) in patterns {
            let pattern = self.path.parent().unwrap_or(Path::new("")).join(pattern);
            let unreadable = |path: &Path, reason: ReadConfigError| {
                let path = path.to_owned();
                self.note(start, Problem::Unreadable { path, reason: reason.to_string() });
            };
            let found = (self.surroundings.find_configs)(&pattern);
            let found = found.map_err(|reason| unreadable(&pattern, reason)).unwrap_or_default();
            for path in found {
                // A glob can match the file that it is in, and two globs can match one file.
                if self.noted.files.borrow().contains(&path) {
                    continue;
                }
                self.noted.files.borrow_mut().push(path.clone());
                let text = match (self.surroundings.read_config)(&path) {
                    Ok(text) => text,
                    Err(reason) => {
                        unreadable(&path, reason);
                        continue;
                    }
                };
                let reader = Reader { path: &path, text: &text, main: Some(self.path), ..self };
                if let Some((file, refused)) = reader.file() {
                    selectors.extend(reader.groups(file.group, &refused, bound));
                }
            }
        }
        selectors
    }

    fn value<T>(
        self,
        key: &'static str,
        value: Option<&Spanned<String>>,
        read: impl FnOnce(&str) -> Result<T, ValueError>,
    ) -> Option<T> {
        let value = value?;
        let read = match value.get_ref() {
            text if text.contains('\0') => Err(ValueError::Nul),
            text => read(text),
        };
        read.map_err(|reason| self.note_value(key, value.span(), reason)).ok()
    }

    /// What `read` makes of each value of a key.
    fn values<T, R>(
        self,
        key: &'static str,
        several: Option<&Several<T>>,
        read: impl Fn(&Spanned<T>) -> Option<R>,
    ) -> Vec<R> {
        let Some(Several { span, values }) = several else { return Vec::new() };
        if values.is_empty() {
            self.note_value(key, span.clone(), ValueError::EmptyList);
        }
        values.iter().filter_map(read).collect()
    }

    fn fields(self, names: &Spanned<Names>) -> Option<FieldList> {
        let fields = match names.get_ref() {
            Names::One(list) => list.parse(),
            Names::Many(names) => FieldList::of_names(names.iter().map(String::as_str)),
        };
        fields.map_err(|reason| self.note_value("fields", names.span(), reason)).ok()
    }

    fn tags(self, tags: file::Tags) -> TagList {
        let mut tags: Vec<(Spanned<String>, Spanned<String>)> = tags.into_iter().collect();
        tags.sort_unstable_by_key(|(key, _)| key.span().start);
        let mut list = TagList::default();
        for (key, value) in tags {
            if value.get_ref().contains('\0') {
                self.note_value("tag", value.span(), ValueError::Nul);
                continue;
            }
            let pushed = list.push(key.get_ref().as_bytes(), value.get_ref().as_bytes());
            if let Err(reason) = pushed {
                let quoted = excerpt(key.get_ref()).into_owned();
                self.note(key.span().start, Problem::Tag { key: quoted, reason });
            }
        }
        list
    }

    /// How many groups a name with placeholders may make. `default` says what is left open.
    fn bound(
        self,
        max_groups: Option<&Spanned<i64>>,
        overflow: Option<&Spanned<String>>,
        default: &Bound,
    ) -> Bound {
        let max_groups = max_groups.and_then(|number| {
            let read = settings::max_groups(*number.get_ref());
            read.map_err(|reason| self.note_value("max_groups", number.span(), reason)).ok()
        });
        let overflow = self.value("overflow", overflow, without_braces);
        Bound {
            max_groups: max_groups.unwrap_or(default.max_groups),
            overflow: overflow.unwrap_or_else(|| default.overflow.clone()),
        }
    }
}

fn label(text: &str) -> Result<Label, ValueError> {
    let label = Label::new(text.as_bytes()).ok_or(ValueError::EmptyName)?;
    if is_reserved(&label) { Err(ValueError::ReservedName) } else { Ok(label) }
}

fn without_braces(text: &str) -> Result<Label, ValueError> {
    if text.contains(['{', '}']) { Err(ValueError::Braces) } else { label(text) }
}

fn path(text: &str) -> Result<PathBuf, ValueError> {
    if text.is_empty() { Err(ValueError::Empty) } else { Ok(PathBuf::from(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Baseline;
    use proptest::prelude::*;
    use psstat_core::emit::Format;
    use psstat_core::field::Field;
    use psstat_core::model::memory::MemoryMode;
    use psstat_core::model::units::Pid;
    use psstat_core::select::selector::Source;

    /// Those of a host with two files to include and one variable.
    fn surroundings() -> Surroundings {
        let mut surroundings = Surroundings::made_up(|path| match path.to_str() {
            Some("/etc/psstat.d/a.toml") => Ok("[[group]]\nname = 'a'\npid = 1\n".to_owned()),
            Some("/etc/psstat.d/b.toml") => Ok(B.to_owned()),
            Some("/etc/psstat.d/bad.toml") => Ok(BAD.to_owned()),
            _ => Err(ReadConfigError::TooLong),
        });
        surroundings.find_configs = |path| match path.to_str() {
            Some("/etc/psstat.d/*.toml") => {
                Ok(["a", "b"].map(|name| format!("/etc/psstat.d/{name}.toml").into()).to_vec())
            }
            Some("/etc/none/*") => Ok(Vec::new()),
            Some("/etc/psstat.d/unreadable/*") => Err(ReadConfigError::Directory),
            _ => Ok(vec![path.to_owned()]),
        };
        surroundings.variable = |name| (name == "TEAM").then(|| "edge\"\nx".into());
        surroundings
    }

    const B: &str = "[[group]]\nname = 'b'\npid = 2\n\n[[group]]\nname = 'a'\npid = 3\n";

    const BAD: &str =
        "timeout = '1s'\ninclude = 'x'\nzzz = 1\n[tags]\na = 'b'\n[[group]]\npid = 0\n";

    fn read(text: &str) -> Result<Settings, ConfigErrors> {
        parse(Path::new("/etc/psstat.toml"), text, &surroundings())
    }

    /// All errors, each on a line.
    fn refusals(text: &str) -> Vec<String> {
        let errors = read(text).unwrap_err();
        let errors: Vec<String> = errors.iter().map(ConfigError::to_string).collect();
        assert!(!errors.iter().any(|error| error.contains('\n')), "{text:?}: {errors:?}");
        errors
    }

    /// The only error.
    fn refusal(text: &str) -> String {
        let errors = refusals(text);
        assert_eq!(errors.len(), 1, "{text:?}: {errors:?}");
        errors.into_iter().next().unwrap()
    }

    #[test]
    fn every_key_sets_its_value() {
        let settings = read(
            r#"
            host = "tengu"
            cache_dir = "/run/psstat"
            cache_name = "web"
            wait = "500ms"
            interval = "10s"
            fields = ["n_proc", "p_cpu"]
            memory = "pss"
            format = "json"
            sort = "name"
            output = "/tmp/out"
            proc = "/host/proc"
            sys = "/host/sys"
            timeout = "2s"
            multi_threaded = true
            no_sandbox = true
            exclusive = true
            rest = "other"
            exit_records = true

            [tags]
            z = "1"
            a = "2"

            [[group]]
            name = "web"
            pid_file = "/run/nginx.pid"
            exe = "*/nginx"
            children = false
            fields = ["mem"]
            tags = { team = "edge" }

            [[group]]
            name = "one"
            pid = 1

            [[group]]
            systemd = "postgresql@*"
            pattern = "postgres"
            user = 7

            [[group]]
            cgroup = "/user.slice/*"

            [[group]]
            name = "php"
            cmdline = "--fpm"
            user = "www-data"
            [group.tags]
            team = "app"
            "#,
        )
        .unwrap();
        let selectors: Vec<String> = settings.selectors.iter().map(Selector::to_string).collect();
        assert_eq!(
            selectors,
            [
                "web: pid_file /run/nginx.pid, exe */nginx, children false",
                "one: pid 1",
                "(by their own names): systemd postgresql@*, pattern postgres, user 7",
                "(by their own names): cgroup user.slice/*",
                "php: cmdline --fpm, user www-data",
            ]
        );
        let label = |text: &str| Label::lossy(text.as_bytes());
        assert_eq!(settings.selectors[0].tags, [(label("team"), label("edge"))]);
        assert_eq!(settings.selectors[4].tags, [(label("team"), label("app"))]);
        assert_eq!(settings.selectors[1].source, Source::Pid(Pid::new(1)));
        assert_eq!(settings.selectors[0].fields, Some(Fields::new([Field::Memory])));
        assert_eq!(settings.selectors[1].fields, None);
        let mut tags = TagList::default();
        tags.push(b"z", b"1").unwrap();
        tags.push(b"a", b"2").unwrap();
        let expected = Settings {
            selectors: settings.selectors.clone(),
            tags,
            host: Some(b"tengu".to_vec()),
            cache_dir: Some("/run/psstat".into()),
            cache_name: "web".parse().ok(),
            wait: "500ms".parse().ok(),
            interval: "10s".parse().ok(),
            fields: "n_proc,p_cpu".parse().ok(),
            memory: Some(MemoryMode::Pss),
            format: Some(Format::Json),
            sort: "name".parse().ok(),
            output: Some("/tmp/out".into()),
            proc: Some("/host/proc".into()),
            sys: Some("/host/sys".into()),
            timeout: "2s".parse().ok(),
            multi_threaded: Some(true),
            no_sandbox: Some(true),
            exclusive: Some(true),
            rest: Some(Label::lossy(b"other")),
            exit_records: Some(true),
            files: vec!["/etc/psstat.toml".into()],
            mistakes: Vec::new(),
        };
        assert_eq!(settings, expected);
        assert_eq!(read("fields = 'n_proc,p_cpu'").unwrap().fields, settings.fields);
        let nothing = Settings { files: settings.files, ..Settings::default() };
        assert_eq!(read("# nothing yet\n").unwrap(), nothing);
    }

    /// Each row: a file, the line that its error names, what the error names there, and the cure.
    const REFUSALS: [(&str, usize, &str, &str); 70] = [
        ("[[group]]\npid = 1\nname = '{comm'", 3, "name '{comm'", "a { of the name"),
        ("[[group]]\nname = '{ap-p}'\npid = 1", 2, "name '{ap-p}'", "write one as {app}"),
        ("[[group]]\nname = '{comm}}'\npid = 1", 2, "name '{comm}}'", "a } of the name"),
        ("overflow = '{comm}'", 1, "overflow '{comm}'", "leave out the braces"),
        ("rest = 'x}'", 1, "rest 'x}'", "leave out the braces"),
        ("rest = 'a'\n[[group]]\nname = 'a'\npid = 1", 1, "rest 'a'", "a group has that name too"),
        ("memroy = 'pss'", 1, "\"memroy\"", "did you mean memory?"),
        ("\n\ncache-dir = '/x'", 3, "\"cache-dir\"", "did you mean cache_dir?"),
        ("zzz = 1", 1, "\"zzz\"", "the keys are include, host, cache_dir"),
        ("[tag]\nenv = 'x'", 1, "\"tag\"", "did you mean tags?"),
        ("memory = 'pss'\npattern = 'x'", 2, "pattern", "below a [[group]]"),
        ("[[group]]\npid = 1\nmemory = 'pss'", 3, "memory", "to the top of the file"),
        ("[[group]]\npatern = 'x'", 2, "\"patern\"", "did you mean pattern?"),
        ("[[group]]\npid-file = 'x'", 2, "\"pid-file\"", "did you mean pid_file?"),
        ("[[group]]\nzzz = 1", 2, "\"zzz\"", "the keys are name, pid"),
        ("[group]\npid = 1", 1, "group", "[[group]], with two brackets"),
        ("[group.tags]\na = 'b'", 1, "group", "[[group]], with two brackets"),
        ("[[group]]\nname.x = 'y'", 2, "name", "as in name = \"web\"; this is of type table"),
        ("group = 7", 1, "group", "[[group]], with two brackets"),
        ("\ngroup = [1]", 2, "group", "[[group]], with two brackets"),
        ("tags = 'x'", 1, "tags", "as in [tags]"),
        ("[[group]]\npid = 1\ntags = 'x'", 3, "tags", "as in [tags]"),
        ("host = 1", 1, "host", "as in host = \"tengu\"; this is of type integer"),
        ("host = 1979-05-27", 1, "host", "as in host = \"tengu\"; this is of type datetime"),
        ("multi_threaded = 'yes'", 1, "multi_threaded", "true or false, as in"),
        ("fields = [1]", 1, "fields", "as in fields = [\"p_cpu\", \"n_proc\"]"),
        ("fields = ['cpu']", 1, "\"cpu\"", "the fields are p_cpu"),
        ("fields = []", 1, "fields []", "it names no field"),
        ("memory = 'most'", 1, "memory 'most'", "use auto, shared-once, pss or rss"),
        ("format = 'xml'", 1, "format 'xml'", "use influx, json, prometheus or table"),
        ("sort = 'size'", 1, "sort 'size'", "use name, cpu or a field of the table: p_cpu"),
        ("timeout = '1'", 1, "timeout '1'", "write durations as 500ms"),
        ("wait = '0s'", 1, "wait '0s'", "it must be longer than 0"),
        ("timeout = 1", 1, "timeout", "as in timeout = \"10s\"; this is of type integer"),
        ("cache_name = 'a/b'", 1, "cache_name 'a/b'", "without '/'"),
        ("cache_dir = ''", 1, "cache_dir ''", "the value is empty"),
        ("output = \"a\\u0000b\"", 1, "output \"a\\u0000b\"", "remove it"),
        ("[tags]\nx = \"a\\u0000b\"", 2, "tag \"a\\u0000b\"", "remove it"),
        ("[tags]\nprocess_name = 'x'", 2, "tag \"process_name\"", "choose another key"),
        ("[tags]\nenv = ''", 2, "tag \"env\"", "the value is empty"),
        ("[tags]\nport = 80", 2, "port", "as in port = \"production\"; this is of type integer"),
        ("[[group]]\nname = 'x'", 1, "selects nothing", "add a pid, pid_file"),
        ("[[group]]\nname = ''\npid = 1", 2, "name ''", "the name is empty"),
        ("[[group]]\npid = 1\npid_file = '/x'", 3, "pid_file beside pid", "a second [[group]]"),
        ("[[group]]\npid = 0", 2, "pid 0", "not a pid (1 to 4194304)"),
        ("[[group]]\npid = 99999999999999999999", 2, "pid 9999", "not a pid (1 to 4194304)"),
        ("[[group]]\npid = '1'", 2, "pid", "as in pid = 1; this is of type string"),
        ("[[group]]\npattern = ''", 2, "pattern ''", "to match everything write '.*'"),
        ("[[group]]\n\npattern = 'a('", 3, "pattern: bad regex \"a(\"", "unclosed group"),
        ("[[group]]\nexe = '[z-a]'", 2, "exe: bad glob \"[z-a]\"", "invalid"),
        ("[[group]]\ncgroup_regex = 'a('", 2, "cgroup_regex: bad regex", "unclosed group"),
        (
            "[[group]]\nexe_regex = 'b'\nexe = 'a'",
            2,
            "exe_regex beside exe",
            "a second [[group]] with the same name",
        ),
        (
            "[[group]]\ncgroup = 'a'\ncgroup_regex = 'b'",
            3,
            "cgroup_regex beside cgroup",
            "a second [[group]] with the same name",
        ),
        (
            "[[group]]\npattern = 'x'\nname = 'a-{app}'",
            3,
            "nothing is called {app}",
            "a named group of the regex, as in (?P<app>[a-z]+)",
        ),
        (
            "[[group]]\nname = '{comm}'\nsystemd = 'x@*'",
            2,
            "{comm} is a property of a process",
            "use {unit}, {instance} or {cgroup}",
        ),
        (
            "[[group]]\npid = 1\nmax_groups = 5",
            3,
            "max_groups has no meaning",
            "name = \"java-{app}\"",
        ),
        ("[[group]]\nuser = []", 2, "user []", "the list is empty"),
        ("[[group]]\npid_file = ['/a',\n '']", 3, "pid_file ''", "the value is empty"),
        (
            "[[group]]\npattern = ['a',\n'b',\n'c(']",
            4,
            "pattern: bad regex \"c(\"",
            "unclosed group",
        ),
        (
            "[[group]]\npid = [1, 'a']",
            2,
            "list of numbers",
            "as in pid = 1; this is of type string",
        ),
        ("[[group]]\nsystemd = ['a', 7]", 2, "systemd", "list of strings, as in systemd"),
        (
            "[[group]]\npid_files = ['a']\nsystemd = ['b']",
            3,
            "systemd beside pid_files",
            "a second",
        ),
        (
            "[[group]]\npid_files = ['a']\npid_file = 'b'",
            3,
            "pid_file beside pid_files",
            "a second",
        ),
        ("[[group]]\npid = 1\nfields = ['cpu']", 3, "\"cpu\"", "the fields are p_cpu"),
        ("[[group]]\npid = 1\nfields = 1", 3, "fields", "as in fields = ["),
        (
            "[[group]]\nname = 'a'\npid = 1\nfields = 'mem'\n[[group]]\nname = 'a'\npid = 2\nfields = ['n_fd']",
            5,
            "fields differ",
            "give the list once",
        ),
        ("max_groups = 0", 1, "bad max_groups 0", "from 1 to 100000"),
        ("overflow = ''", 1, "bad overflow ''", "the name is empty"),
        (
            "[[group]]\npid = 1\n[[group]]\nsystemd = 'x'\nchildren = false",
            3,
            "children = false",
            "add a pattern, cmdline, exe or user",
        ),
        (
            "[[group]]\nname = 'a'\npid = 1\ntags = { x = '1' }\n[[group]]\nname = 'a'\npid = 2\ntags = { x = '2' }",
            5,
            "tag x",
            "use one value",
        ),
    ];

    #[test]
    fn a_refusal_names_file_line_key_and_cure() {
        for (text, line, key, cure) in REFUSALS {
            let error = refusal(text);
            let place = format!("/etc/psstat.toml:{line}: ");
            assert!(error.starts_with(&place), "{text:?}: {error}");
            assert!(error.contains(key) && error.contains(cure), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_syntax_error_names_its_line() {
        for (text, line) in [
            ("host = ", 1),
            ("a = 1\nhost 'x'\n", 2),
            ("[tags]\na = '1'\na = '2'", 3),
            ("[[group]]\npid = 1\n[[group", 3),
            ("[tags]\n[tags]\n", 2),
            ("host = 'x", 1),
        ] {
            let error = refusal(text);
            assert!(error.starts_with(&format!("/etc/psstat.toml:{line}: ")), "{text:?}: {error}");
        }
        let twice = refusal("host = 'a'\nhost = 'b'");
        assert_eq!(twice, "/etc/psstat.toml:2: duplicate key host: remove one of the two");
    }

    #[test]
    fn all_mistakes_are_named_in_the_order_of_their_lines() {
        let text = "\
zzz = 1
host = 2
timeout = '5'
fields = ['cpu']
[tags]
env = ''
port = 80
[[group]]
patern = 'x'
[[group]]
name = 'a'
pattern = 'a('
exe = '[z-a]'
pid = '1'
[[group]]
name = 'b'
[[group]]
name = 'c'
pid = 0
children = 1
tags = { time = 'x', y = 7 }
[[group]]
name = 'd'
pid = 1
";
        let expected = [
            (1, "unknown key \"zzz\""),
            (2, "host must be a string"),
            (3, "bad timeout '5'"),
            (4, "bad fields ['cpu']: unknown field \"cpu\""),
            (6, "bad tag \"env\": the value is empty"),
            (7, "port must be a string"),
            (9, "unknown key \"patern\""),
            (12, "pattern: bad regex"),
            (13, "exe: bad glob"),
            (14, "pid must be a number"),
            (15, "this [[group]] selects nothing"),
            (19, "bad pid 0"),
            (20, "children must be true or false"),
            (21, "y must be a string"),
            (21, "bad tag \"time\""),
        ];
        let found = refusals(text);
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, (line, problem)) in found.iter().zip(expected) {
            let start = format!("/etc/psstat.toml:{line}: {problem}");
            assert!(found.starts_with(&start), "{start:?} is not {found:?}");
        }
        let first = read(text).unwrap_err().to_string();
        assert_eq!(first, found[0], "who sees one line sees the first");
    }

    #[test]
    fn a_key_that_is_there_twice_hides_no_other_mistake() {
        let found = refusals("host = 'a'\nhost = 'b'\nzzz = 1\n");
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains(":2: duplicate key host"), "{found:?}");
        assert!(found[1].contains(":3: unknown key \"zzz\""), "{found:?}");
    }

    #[test]
    fn a_group_without_two_brackets_is_not_called_a_duplicate() {
        const ONE: &str = "[group]\npid = 1\n";
        const TWO: &str = "[[group]]\npid = 2\n";
        const MISTAKE: &str = "write a group as [[group]], with two brackets";
        for (text, line) in [
            (format!("{ONE}{TWO}"), 1),
            (format!("{TWO}{ONE}"), 3),
            (format!("{ONE}{ONE}"), 3),
            (format!("{TWO}{ONE}{TWO}"), 3),
            (format!("{TWO}{TWO}{ONE}"), 5),
            (format!("group = 3\n{TWO}"), 1),
        ] {
            let expected = [format!("/etc/psstat.toml:{line}: {MISTAKE}")];
            assert_eq!(refusals(&text), expected, "{text}");
        }
        for (text, key) in [
            ("[tags]\ngroup = 'a'\ngroup = 'b'\n[[group]]\npid = 1\n", "3: duplicate key group"),
            ("[[group]]\npid = 1\ntags = {group = 'a', group = 'b'}\n", "3: duplicate key group"),
            ("group = [{pid = 1}]\n[[group]]\npid = 2\n", "2: duplicate key group"),
            ("group = 3\n[[group]]\npid = 2\n[tags]\na = 'b'\na = 'c'\n", "6: duplicate key a"),
        ] {
            assert!(refusals(text).iter().any(|error| error.contains(key)), "{:?}", refusals(text));
        }
    }

    #[test]
    fn a_file_of_mistakes_is_read_for_a_while() {
        let text: String = (0..1000).map(|key| format!("z{key} = 1\n")).collect();
        let found = refusals(&text);
        assert_eq!(found.len(), MOST_ERRORS + 1);
        assert!(found[MOST_ERRORS].contains("there may be more mistakes"), "{found:?}");
    }

    #[test]
    fn included_files_add_groups() {
        let text = "include = ['psstat.d/*.toml', '/etc/psstat.toml', '/etc/none/*', '/etc/psstat.d/b.toml']\n\
                    [[group]]\nname = 'main'\npid = 7\n";
        let settings = read(text).unwrap();
        let expected =
            ["pid 7 (psstat.toml:2)", "pid 1 (a.toml:1)", "pid 2 (b.toml:1)", "pid 3 (b.toml:5)"];
        assert_eq!(selectors(text), expected);
        let files = ["psstat.toml", "psstat.d/a.toml", "psstat.d/b.toml"];
        let files = files.map(|name| PathBuf::from(format!("/etc/{name}")));
        assert_eq!(settings.files, files, "each is read once");
        assert_eq!(selectors("include = '/etc/none/*'"), [""; 0]);
        let error = read("max_groups = 5\ninclude = 'named.toml'").unwrap_err().to_string();
        let unread = "/etc/psstat.toml:2: cannot read /etc/named.toml: longer than 1 MiB";
        assert!(error.starts_with(unread), "{error}");
    }

    #[test]
    fn a_mistake_in_an_included_file_names_that_file() {
        let found = refusals("include = ['psstat.d/bad.toml', 'psstat.d/unreadable/*']\nzzz = 1\n");
        let expected = [
            ("psstat.toml:1: cannot read /etc/psstat.d/unreadable/*: it is a directory", ""),
            ("psstat.toml:2: unknown key \"zzz\"", ""),
            ("psstat.d/bad.toml:1: timeout is an option", "the file that includes this one"),
            ("psstat.d/bad.toml:2: include is an option", ""),
            ("psstat.d/bad.toml:3: unknown key \"zzz\"", ""),
            ("psstat.d/bad.toml:4: tags", "tags = { "),
            ("psstat.d/bad.toml:7: bad pid 0", ""),
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, (start, part)) in found.iter().zip(expected) {
            let start = format!("/etc/{start}");
            assert!(
                found.starts_with(&start) && found.contains(part),
                "{start:?} is not {found:?}"
            );
        }
        let conflict =
            "include = 'psstat.d/*.toml'\n[[group]]\nname = 'a'\npid = 9\ntags = { x = '1' }";
        assert_eq!(read(conflict).unwrap().selectors.len(), 4);
    }

    #[test]
    fn variables_are_replaced_in_values_alone() {
        let settings = read(
            "cache_dir = '/run/${TEAM}'\nfields = ['${F:-mem}']\n[tags]\nteam = '${TEAM}'\n'${TEAM}' = 'x'\n\
             [[group]]\npattern = ['${NONE:-nginx}$', 'x']\ntags = { a = '${B:-c}', b = '$${TEAM}' }",
        )
        .unwrap();
        assert_eq!(settings.cache_dir, Some("/run/edge\"\nx".into()), "it is no TOML");
        assert_eq!(settings.fields, "mem".parse().ok());
        let tags: Vec<String> =
            settings.tags.into_pairs().iter().map(|(key, _)| key.to_string()).collect();
        assert_eq!(tags, ["team", "${TEAM}"]);
        let patterns: Vec<_> =
            settings.selectors.iter().map(|one| one.conditions.pattern.as_deref()).collect();
        assert_eq!(patterns, [Some("nginx$"), Some("x")]);
        let of_group: Vec<&str> =
            settings.selectors[0].tags.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(of_group, ["c", "${TEAM}"]);
        let found =
            refusals("timeout = '${T}'\n[[group]]\nname = 'x'\npid_files = ['/a',\n'${P}']\n");
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].contains(":1: ") && found[0].contains("variable T is not set"),
            "{found:?}"
        );
        assert!(
            found[1].contains(":5: ") && found[1].contains("variable P is not set"),
            "{found:?}"
        );
    }

    #[test]
    fn an_option_below_tags_is_none() {
        for (text, line) in [
            ("[tags]\nenv = 'x'\ntimeout = '5s'\n", 3),
            ("[tags]\nfields = ['mem']\n", 2),
            ("[tags]\nmulti_threaded = true\n", 2),
            ("[[group]]\npid = 1\n[group.tags]\nformat = 'json'\n", 4),
        ] {
            let error = refusal(text);
            let place = format!("/etc/psstat.toml:{line}: ");
            assert!(error.starts_with(&place), "{error}");
            assert!(error.contains("above the first [table]"), "{error}");
        }
        // On purpose, and what was never meant as an option.
        for text in [
            "tags = { timeout = '5s' }",
            "tags.timeout = '5s'",
            "[tags]\nhost = 'a'\ngroup = 'x'\ntags = 'y'\nuser = 'z'",
            "[[group]]\npid = 1\ntags = { format = 'x', memory = 'y' }",
            "[[group]]\npid = 1\ntags.format = 'x'",
        ] {
            read(text).unwrap();
        }
    }

    fn selectors(text: &str) -> Vec<String> {
        let selectors = read(text).unwrap().selectors;
        selectors.iter().map(Selector::terms_and_place).collect()
    }

    #[test]
    fn a_list_makes_a_selector_for_each_value() {
        let text = "[[group]]\nname = 'web'\nchildren = false\ntags = { a = 'b' }\n\
                    pid_files = ['/run/a.pid',\n '/run/b.pid']\n[[group]]\nsystemd = ['a', 'b@*']\n";
        let expected = [
            "pid_file /run/a.pid, children false (psstat.toml:1)",
            "pid_file /run/b.pid, children false (psstat.toml:1)",
            "systemd a.service (psstat.toml:7)",
            "systemd b@* (psstat.toml:7)",
        ];
        assert_eq!(selectors(text), expected);
        let of_web = read(text).unwrap().selectors;
        assert_eq!(of_web[0].tags, of_web[1].tags);
        assert_eq!(of_web[0].name(), of_web[1].name());
        for (key, values) in [
            ("pid", "[1, 2]"),
            ("pid_file", "['/a', '/b']"),
            ("cgroup", "['a', 'b']"),
            ("cgroup_regex", "['a', 'b']"),
            ("pattern", "['a', 'b']"),
            ("cmdline", "['a', 'b']"),
            ("exe", "['a', 'b']"),
            ("exe_regex", "['a', 'b']"),
            ("user", "['www-data', 7]"),
        ] {
            let both = selectors(&format!("[[group]]\n{key} = {values}\n"));
            assert_eq!(both.len(), 2, "{both:?}");
            assert!(both[0] != both[1] && both.iter().all(|one| one.starts_with(key)), "{both:?}");
        }
    }

    #[test]
    fn several_lists_make_all_combinations() {
        let text = "[[group]]\nsystemd = ['a', 'b']\npattern = 'x'\nuser = [1, 2]\n";
        let expected = [
            "systemd a.service, pattern x, user 1 (psstat.toml:1)",
            "systemd a.service, pattern x, user 2 (psstat.toml:1)",
            "systemd b.service, pattern x, user 1 (psstat.toml:1)",
            "systemd b.service, pattern x, user 2 (psstat.toml:1)",
        ];
        assert_eq!(selectors(text), expected);
        let numbers = |count: u32| (1..=count).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        let group = |users, patterns| {
            format!(
                "[[group]]\nuser = [{}]\npattern = ['a'{}]",
                numbers(users),
                ",'b'".repeat(patterns)
            )
        };
        assert_eq!(selectors(&group(500, 1)).len(), 1000);
        let refused = refusal(&group(501, 1));
        assert!(refused.contains(":1: ") && refused.contains(" 1002 combinations"), "{refused}");
        let name = "[[group]]\nname = 'x-{a}'\ncmdline = ['(?P<a>.)', 'b']\n";
        assert!(refusal(name).contains("nothing is called {a}"), "each value must name the groups");
    }

    #[test]
    fn other_fields_of_a_group_make_another_cache() {
        let cache = |fields: &str| {
            let text = format!("[[group]]\nname = 'a'\npid = 1\nfields = '{fields}'");
            match read(&text).unwrap().job(&surroundings()).unwrap().baseline {
                Baseline::Cache { name, .. } => name,
                Baseline::Wait(_) => panic!("there is a cache"),
            }
        };
        assert_eq!(cache("mem,n_proc"), cache("n_proc, mem"));
        assert_ne!(cache("mem"), cache("n_proc"));
        assert_ne!(cache("mem"), cache("cpu_time"));
    }

    #[test]
    fn a_second_group_of_a_name_may_repeat_and_add_tags() {
        let text = "[[group]]\nname = 'a'\npid = 1\ntags = { x = '1' }\n[[group]]\nname = 'a'\n\
                    pid = 2\ntags = { x = '1', y = '2' }\n[[group]]\npid = 3\ntags = { x = '3' }";
        assert_eq!(read(text).unwrap().selectors.len(), 3);
        let text = "[[group]]\nname = 'a'\npid = 1\nfields = 'mem'\n[[group]]\nname = 'a'\npid = 2\n\
                    [[group]]\nname = 'a'\npid = 3\nfields = ['mem']\n[[group]]\npid = 4\nfields = 'n_fd'";
        assert_eq!(read(text).unwrap().selectors.len(), 4);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_in_one_line(text in "[\\[\\]='\"{},.\\\\a-z0-9_\\n# -]{0,60}") {
            for error in read(&text).err().iter().flat_map(ConfigErrors::iter) {
                let error = error.to_string();
                prop_assert!(error.starts_with("/etc/psstat.toml:"), "{}", error);
                prop_assert!(!error.contains('\n'), "{}", error);
            }
        }

        #[test]
        fn any_value_of_any_key_is_read_or_refused(
            key in proptest::sample::select([file::keys::<File>(), file::keys::<Group>()].concat()),
            value in proptest::sample::select(
                &["1", "-1", "1.5", "true", "''", "'x'", "[]", "['']", "{}", "{ a = 1 }", "1979-05-27",
                  "[[]]", "[1, 2]", "['x', 'y']", "[1, 'x']", "[{}]", "'\u{1F600}'", "99999999999999999999", "0x10", "inf"][..]
            ),
            in_group: bool,
        ) {
            let text = if in_group { format!("[[group]]\n{key} = {value}") } else { format!("{key} = {value}") };
            for error in read(&text).err().iter().flat_map(ConfigErrors::iter) {
                let line = if in_group && error.problem != Problem::SelectsNothing { 2 } else { 1 };
                prop_assert_eq!(error.line, line, "{}", error);
                // The key or value is at fault, not what is around it.
                let is_syntax = matches!(error.problem, Problem::Syntax(_));
                prop_assert!(!is_syntax || error.to_string().contains("TOML"), "{}", error);
            }
        }
    }
}
