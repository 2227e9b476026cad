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
//! ```
//!
//! Anything unknown is an error with file, line and cure. All errors are found at once. If a misspelt key were ignored, nobody
//! would notice that a group is not watched.
//!
//! `file.rs` declares the keys, `locate.rs` explains what serde refuses, and this file checks the
//! values.

mod error;
mod file;
mod locate;

use crate::settings::{
    self, CacheName, FieldList, Period, Settings, SortKey, Surroundings, TagList, ValueError,
};
pub use error::{ConfigError, ConfigErrors, Problem};
use file::{File, Group, Names, User};
use psstat_core::account::names::JOINT_NAME;
use psstat_core::model::label::{Label, excerpt};
use psstat_core::model::units::Uid;
use psstat_core::select::matcher::{Matcher, PatternError};
use psstat_core::select::recipe::Recipe;
use psstat_core::select::selector::{
    self, Conditions, Naming, PathPattern, Place, Selector, Source,
};
use psstat_core::select::template::{Bound, stray_brace};
use serde::Deserialize;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, Deserializer};

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
    let errors = RefCell::default();
    let settings = Reader { path, text, surroundings, errors: &errors }.read();
    match ConfigErrors::new(errors.into_inner()) {
        None => Ok(settings),
        Some(errors) => Err(errors),
    }
}

/// Checks the values of a file. It notes each error and goes on.
#[derive(Clone, Copy)]
struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    surroundings: &'a Surroundings,
    errors: &'a RefCell<Vec<ConfigError>>,
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
        self.errors.borrow_mut().push(error);
    }

    fn note_value(self, key: &'static str, span: Range<usize>, reason: ValueError) {
        let value = excerpt(&self.text[span.clone()]).into_owned();
        self.note(span.start, Problem::Value { key, value, reason });
    }

    fn errors_so_far(self) -> usize {
        self.errors.borrow().len()
    }

    /// The settings of the file, without those that are wrong.
    fn read(self) -> Settings {
        let Some(mut table) = self.table() else { return Settings::default() };
        let mut refused = Vec::new();
        loop {
            let error = match File::deserialize(Deserializer::from(table)) {
                Ok(file) => return self.settings(file, &refused),
                Err(error) => error,
            };
            // serde stops at the first mistake, so the key that it is about is removed to find the next.
            (table, _) = DeTable::parse_recoverable(self.text);
            locate::remove(&refused, table.get_mut());
            let span = error.span().unwrap_or_default();
            let Some((key, problem)) = locate::problem_at(&span, table.get_ref(), self.text) else {
                self.note(span.start, Problem::Syntax(error.message().to_owned()));
                return Settings::default();
            };
            self.note(key.start, problem);
            if self.errors_so_far() >= MOST_ERRORS {
                self.note(self.text.len(), Problem::TooMany);
                return Settings::default();
            }
            refused.push(key);
            locate::remove(&refused, table.get_mut());
        }
    }

    /// The file as TOML. `None` if it is none, so that nobody knows what belongs where.
    fn table(self) -> Option<Spanned<DeTable<'a>>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        let mut is_toml = true;
        for error in errors {
            let span = error.span().unwrap_or_default();
            let message = error.message().lines().collect::<Vec<_>>().join(", ");
            if message == DUPLICATE {
                let key = self.text.get(span.clone()).unwrap_or_default();
                self.note(span.start, Problem::DuplicateKey(excerpt(key).into_owned()));
            } else if std::mem::take(&mut is_toml) {
                // Others can be a consequence of this one.
                self.note(span.start, Problem::Syntax(message));
            }
        }
        is_toml.then_some(table)
    }

    /// The settings of a file from which the keys with the spans `refused` were removed.
    fn settings(self, file: File, refused: &[Range<usize>]) -> Settings {
        let bound = Bound::default();
        let bound = self.bound(file.max_groups.as_ref(), file.overflow.as_ref(), &bound);
        let selectors = self.groups(file.group, refused, &bound);
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
            mistakes: Vec::new(),
        }
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

    fn groups(
        self,
        groups: Vec<Spanned<Group>>,
        refused: &[Range<usize>],
        bound: &Bound,
    ) -> Vec<Selector> {
        let mut selectors: Vec<Selector> = Vec::new();
        let mut tags_of_groups: BTreeMap<(Label, Label), Label> = BTreeMap::new();
        let mut groups = groups.into_iter().peekable();
        let (mut line, mut counted) = (1, 0);
        while let Some(group) = groups.next() {
            let start = group.span().start;
            line += self.lines_between(counted, start);
            counted = counted.max(start);
            let end = groups.peek().map_or(self.text.len(), |next| next.span().start);
            let is_whole = !refused.iter().any(|key| (start..end).contains(&key.start));
            let group = group.into_inner();
            let bound = self.bound(group.max_groups.as_ref(), group.overflow.as_ref(), bound);
            let Some(selector) = self.selector(start, group, is_whole, bound) else {
                continue;
            };
            // Selectors of one name are one group, which has one line.
            if let Some(name) = selector.name() {
                let mut differs = |(key, value): &&(Label, Label)| {
                    let known = tags_of_groups.entry((name.clone(), key.clone()));
                    known.or_insert_with(|| value.clone()) != value
                };
                for (key, _) in selector.tags.iter().filter(|tag| differs(tag)) {
                    self.note(start, Problem::TagConflict(key.clone()));
                }
            }
            let file = self.path.to_string_lossy().into_owned();
            selectors.push(Selector { place: Some(Place { file, line }), ..selector });
        }
        selectors
    }

    /// The selector of the `[[group]]` that starts there. `None` if something is wrong with it. If keys
    /// were removed from it, it is not whole, and does not say what it selects.
    fn selector(
        self,
        start: usize,
        group: Group,
        is_whole: bool,
        bound: Bound,
    ) -> Option<Selector> {
        let errors_before = self.errors_so_far();
        let naming = self.value("name", group.name.as_ref(), |name| {
            if let Some(brace) = stray_brace(name) {
                return Err(ValueError::StrayBrace(brace));
            }
            let naming = Naming::parse(name, bound).ok_or(ValueError::EmptyName)?;
            if let Naming::Given(_) = naming {
                label(name)?;
            }
            Ok(naming)
        });
        let naming = naming.unwrap_or_default();
        let source = self.source(&group);
        let conditions = Conditions {
            pattern: self.pattern("pattern", group.pattern.as_ref(), regex),
            cmdline: self.pattern("cmdline", group.cmdline.as_ref(), regex),
            exe: self.executable(&group),
            user: group.user.and_then(|user| self.user(&user)),
        };
        let tags = self.tags(group.tags).into_pairs();
        if !is_whole || self.errors_so_far() > errors_before {
            return None;
        }
        if source == Source::All && conditions.is_empty() {
            self.note(start, Problem::SelectsNothing);
            return None;
        }
        match &naming {
            Naming::Template(template, _) => {
                let name = group.name.as_ref().map_or(start, |name| name.span().start);
                if let Err(reason) = Recipe::new(template, &source, &conditions) {
                    self.note(name, Problem::Template(reason));
                    return None;
                }
            }
            Naming::Own | Naming::Given(_) => {
                let max_groups = group.max_groups.as_ref().map(Spanned::span);
                let overflow = group.overflow.as_ref().map(Spanned::span);
                let given = [("max_groups", max_groups), ("overflow", overflow)];
                for (key, span) in given.into_iter().filter_map(|(key, span)| Some((key, span?))) {
                    self.note(span.start, Problem::NoTemplate(key));
                }
            }
        }
        let children = group.children.unwrap_or(true);
        let place = None;
        let selector = Selector { naming, source, conditions, children, tags, place };
        if selector.takes_control_groups() && !children {
            self.note(start, Problem::NoChildrenToLeaveOut);
            return None;
        }
        Some(selector)
    }

    /// Where a group's processes come from. There is at most one source.
    fn source(self, group: &Group) -> Source {
        let start =
            |value: &Option<Spanned<String>>| value.as_ref().map(|value| value.span().start);
        let pid_file = self.value("pid_file", group.pid_file.as_ref(), path);
        let pid_file = pid_file.map(|path| Source::PidFile(path.into_os_string().into_vec()));
        let unit = self.pattern("systemd", group.systemd.as_ref(), glob);
        let control_group = self.pattern("cgroup", group.cgroup.as_ref(), glob);
        let by_regex = self.pattern("cgroup_regex", group.cgroup_regex.as_ref(), regex);
        let by_regex = by_regex.map(|regex| Source::ControlGroup(PathPattern::Regex(regex)));
        let pid = group.pid.as_ref().and_then(|pid| self.pid(pid));
        let all = [
            ("pid", group.pid.as_ref().map(|pid| pid.span().start), pid),
            ("pid_file", start(&group.pid_file), pid_file),
            ("systemd", start(&group.systemd), unit.as_deref().map(settings::unit)),
            ("cgroup", start(&group.cgroup), control_group.as_deref().map(settings::control_group)),
            ("cgroup_regex", start(&group.cgroup_regex), by_regex),
        ];
        let given = all.into_iter().filter_map(|(key, start, source)| Some((start?, key, source?)));
        let mut given: Vec<(usize, &'static str, Source)> = given.collect();
        given.sort_unstable_by_key(|&(start, ..)| start);
        if let [(_, first, _), (start, second, _), ..] = given[..] {
            self.note(start, Problem::TwoSources { first, second });
        }
        given.pop().map_or(Source::All, |(_, _, source)| source)
    }

    /// What a group's executables must match: a glob or a regex.
    fn executable(self, group: &Group) -> Option<PathPattern> {
        let by_glob = self.pattern("exe", group.exe.as_ref(), glob).map(PathPattern::Glob);
        let by_regex = self.pattern("exe_regex", group.exe_regex.as_ref(), regex);
        if let (Some(_), Some(second)) = (&group.exe, &group.exe_regex) {
            let problem = Problem::TwoSources { first: "exe", second: "exe_regex" };
            self.note(second.span().start, problem);
        }
        by_glob.or(by_regex.map(PathPattern::Regex))
    }

    fn pid(self, pid: &Spanned<i64>) -> Option<Source> {
        let found = settings::pid(&pid.get_ref().to_string());
        let found = found.map_err(|reason| self.note_value("pid", pid.span(), reason));
        found.map(Source::Pid).ok()
    }

    /// A regex or a glob. It is compiled here so that the error has a line.
    fn pattern(
        self,
        key: &'static str,
        value: Option<&Spanned<String>>,
        compile: impl FnOnce(&str) -> Result<Matcher, PatternError>,
    ) -> Option<String> {
        let start = value.map_or(0, |value| value.span().start);
        let text = self.value(key, value, |text| match text {
            "" => Err(ValueError::EmptyPattern),
            _ => Ok(text.to_owned()),
        })?;
        let compiled = compile(&text);
        compiled.map_err(|reason| self.note(start, Problem::Pattern { key, reason })).ok()?;
        Some(text)
    }

    fn user(self, user: &Spanned<User>) -> Option<selector::User> {
        match user.get_ref() {
            User::Uid(uid) => u32::try_from(*uid)
                .map(|uid| selector::User::Id(Uid(uid)))
                .map_err(|_| self.note_value("user", user.span(), ValueError::NotAUid))
                .ok(),
            User::Name(name) => Some(settings::user(name, self.surroundings)),
        }
    }
}

fn label(text: &str) -> Result<Label, ValueError> {
    let label = Label::new(text.as_bytes()).ok_or(ValueError::EmptyName)?;
    if label.as_str() == JOINT_NAME { Err(ValueError::ReservedName) } else { Ok(label) }
}

fn without_braces(text: &str) -> Result<Label, ValueError> {
    if text.contains(['{', '}']) { Err(ValueError::Braces) } else { label(text) }
}

fn path(text: &str) -> Result<PathBuf, ValueError> {
    if text.is_empty() { Err(ValueError::Empty) } else { Ok(PathBuf::from(text)) }
}

fn regex(text: &str) -> Result<Matcher, PatternError> {
    Matcher::of_regexes([(0, text)].into_iter())
}

fn glob(text: &str) -> Result<Matcher, PatternError> {
    Matcher::of_globs([(0, text)].into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::config::ReadConfigError;
    use proptest::prelude::*;
    use psstat_core::emit::Format;
    use psstat_core::model::memory::MemoryMode;
    use psstat_core::model::units::Pid;

    fn read(text: &str) -> Result<Settings, ConfigErrors> {
        let surroundings = Surroundings::made_up(|_| Err(ReadConfigError::TooLong));
        parse(Path::new("/etc/psstat.toml"), text, &surroundings)
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

            [tags]
            z = "1"
            a = "2"

            [[group]]
            name = "web"
            pid_file = "/run/nginx.pid"
            exe = "*/nginx"
            children = false
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
                "php: cmdline --fpm, user 33",
            ]
        );
        let label = |text: &str| Label::lossy(text.as_bytes());
        assert_eq!(settings.selectors[0].tags, [(label("team"), label("edge"))]);
        assert_eq!(settings.selectors[4].tags, [(label("team"), label("app"))]);
        assert_eq!(settings.selectors[1].source, Source::Pid(Pid::new(1)));
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
            mistakes: Vec::new(),
        };
        assert_eq!(settings, expected);
        assert_eq!(read("fields = 'n_proc,p_cpu'").unwrap().fields, settings.fields);
        assert_eq!(read("# nothing yet\n").unwrap(), Settings::default());
    }

    /// Each row: a file, the line that its error names, what the error names there, and the cure.
    const REFUSALS: [(&str, usize, &str, &str); 60] = [
        ("[[group]]\npid = 1\nname = '{comm'", 3, "name '{comm'", "a { of the name"),
        ("[[group]]\nname = '{ap-p}'\npid = 1", 2, "name '{ap-p}'", "write one as {app}"),
        ("[[group]]\nname = '{comm}}'\npid = 1", 2, "name '{comm}}'", "a } of the name"),
        ("overflow = '{comm}'", 1, "overflow '{comm}'", "leave out the braces"),
        ("rest = 'x}'", 1, "rest 'x}'", "leave out the braces"),
        ("rest = 'a'\n[[group]]\nname = 'a'\npid = 1", 1, "rest 'a'", "a group has that name too"),
        ("memroy = 'pss'", 1, "\"memroy\"", "did you mean memory?"),
        ("\n\ncache-dir = '/x'", 3, "\"cache-dir\"", "did you mean cache_dir?"),
        ("zzz = 1", 1, "\"zzz\"", "the keys are host, cache_dir"),
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
    fn a_file_of_mistakes_is_read_for_a_while() {
        let text: String = (0..1000).map(|key| format!("z{key} = 1\n")).collect();
        let found = refusals(&text);
        assert_eq!(found.len(), MOST_ERRORS + 1);
        assert!(found[MOST_ERRORS].contains("there may be more mistakes"), "{found:?}");
    }

    #[test]
    fn a_second_group_of_a_name_may_repeat_and_add_tags() {
        let text = "[[group]]\nname = 'a'\npid = 1\ntags = { x = '1' }\n[[group]]\nname = 'a'\n\
                    pid = 2\ntags = { x = '1', y = '2' }\n[[group]]\npid = 3\ntags = { x = '3' }";
        assert_eq!(read(text).unwrap().selectors.len(), 3);
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
                  "[[]]", "'\u{1F600}'", "99999999999999999999", "0x10", "inf"][..]
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
