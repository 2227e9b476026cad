//! The configuration file (TOML), turned into [`Settings`]. Pure.
//!
//! ```toml
//! memory = "pss"                  # options, named as on the command line, with _ for -
//!
//! [tags]
//! env = "production"
//!
//! [[group]]
//! name = "web"
//! pid_file = "/run/nginx.pid"     # where processes are looked for: pid, pid_file, systemd,
//!                                 # cgroup; without one, among all
//! exe = "*/nginx"                 # what they must fulfil: pattern, cmdline, exe, user
//! children = false                # without their descendants
//! tags = { team = "edge" }
//! ```
//!
//! Whatever is not understood is an error that names file, line and cure: a word that is passed
//! over in silence is a group that nobody watches.

use crate::settings::{self, Settings, Surroundings, TagList};
use psstat_core::field::Fields;
use psstat_core::model::label::{Label, excerpt};
use psstat_core::model::units::Uid;
use psstat_core::select::matcher::{Matcher, PatternError};
use psstat_core::select::selector::{Conditions, Selector, Source};
use std::collections::BTreeMap;
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The options, which stand before the first table.
const OPTIONS: [&str; 13] = [
    "host",
    "cache_dir",
    "cache_name",
    "wait",
    "interval",
    "fields",
    "memory",
    "format",
    "output",
    "proc",
    "sys",
    "timeout",
    "multi_threaded",
];

/// The tables.
const TABLES: [&str; 2] = ["tags", "group"];

/// What may stand in a `[[group]]`.
const GROUP: [&str; 11] = [
    "name", "pid", "pid_file", "systemd", "cgroup", "pattern", "cmdline", "exe", "user",
    "children", "tags",
];

/// What the parser says of a key that is there twice, without saying which.
const DUPLICATE: &str = "duplicate key";

/// As like as that, a word was meant.
const LIKENESS: f64 = 0.8;

/// Reads a file of that path and text.
///
/// # Errors
/// In one line: the file, the line, what is wrong with it and how to mend it.
pub fn parse(path: &Path, text: &str, surroundings: &Surroundings) -> Result<Settings, String> {
    let file = File { path, text };
    let table = DeTable::parse(text).map_err(|error| {
        let span = error.span().unwrap_or_default();
        let mut message = error.message().lines().collect::<Vec<_>>().join(", ");
        if message == DUPLICATE {
            let key = excerpt(text.get(span.clone()).unwrap_or_default());
            message = format!("{DUPLICATE} {key}: take one of the two out");
        }
        file.error(&span, &message)
    })?;
    let mut settings = Settings::default();
    for entry in file.entries(table.get_ref()) {
        match entry.key {
            "tags" => settings.tags = entry.tags()?,
            "group" => settings.selectors = entry.groups(surroundings)?,
            _ => entry.option(&mut settings)?,
        }
    }
    Ok(settings)
}

/// What the errors speak of.
#[derive(Clone, Copy)]
struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

/// A key and its value.
#[derive(Clone, Copy)]
struct Entry<'a> {
    file: File<'a>,
    key: &'a str,
    at: usize,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> File<'a> {
    fn error(self, span: &Range<usize>, what: &str) -> String {
        let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        format!("{}:{line}: {what}", self.path.display())
    }

    /// The entries of a table in the order written.
    fn entries(self, table: &'a DeTable<'a>) -> Vec<Entry<'a>> {
        let entry = |(key, value): (&'a Spanned<_>, &'a Spanned<DeValue<'a>>)| {
            let text: &std::borrow::Cow<'a, str> = key.get_ref();
            Entry { file: self, key: text, at: key.span().start, value }
        };
        let mut entries: Vec<Entry<'a>> = table.iter().map(entry).collect();
        entries.sort_by_key(|entry| entry.at);
        entries
    }
}

impl<'a> Entry<'a> {
    fn error(self, what: &str) -> String {
        self.file.error(&(self.at..self.at), what)
    }

    /// Says that the value is of the right type and yet wrong.
    fn bad(self, reason: &str) -> String {
        let value = excerpt(&self.file.text[self.value.span()]);
        self.error(&format!("bad {} {value}: {reason}", self.key))
    }

    fn mistyped(self, expected: &str, example: &str) -> String {
        let found = self.value.get_ref().type_str();
        let key = excerpt(self.key);
        self.error(&format!(
            "{key} is {expected}, as in {key} = {example}; this is of type {found}"
        ))
    }

    fn text(self, example: &str) -> Result<&'a str, String> {
        let text = self.value.get_ref().as_str();
        let text = text.ok_or_else(|| self.mistyped("a string", &format!("{example:?}")))?;
        if text.contains('\0') { Err(self.bad("it holds a NUL")) } else { Ok(text) }
    }

    /// A text that means something.
    fn word(self, example: &str) -> Result<String, String> {
        match self.text(example)? {
            "" => Err(self.bad("nothing stands in it")),
            text => Ok(text.to_owned()),
        }
    }

    fn path(self, example: &str) -> Result<PathBuf, String> {
        self.word(example).map(PathBuf::from)
    }

    fn flag(self) -> Result<bool, String> {
        self.value.get_ref().as_bool().ok_or_else(|| self.mistyped("true or false", "false"))
    }

    fn duration(self) -> Result<Duration, String> {
        settings::duration(self.text("10s")?).map_err(|reason| self.bad(&reason))
    }

    /// A regex or a glob, tried out: it is the line of the file that must be named if it is bad.
    fn matched(
        self,
        example: &str,
        matcher: impl Fn(&str) -> Result<Matcher, PatternError>,
    ) -> Result<String, String> {
        let text = self.text(example)?;
        if text.is_empty() {
            return Err(self.bad("nothing stands in it; to match everything write '.*' or '*'"));
        }
        matcher(text).map_err(|reason| self.error(&format!("{}: {reason}", self.key)))?;
        Ok(text.to_owned())
    }

    fn regex(self, example: &str) -> Result<String, String> {
        self.matched(example, |text| Matcher::of_regexes([(0, text)].into_iter()))
    }

    fn glob(self, example: &str) -> Result<String, String> {
        self.matched(example, |text| Matcher::of_globs([(0, text)].into_iter()))
    }

    fn unknown(self, place: &str, known: &[&str]) -> String {
        let likeness = |word: &&&str| strsim::jaro_winkler(self.key, word);
        let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        let cure = match nearest.filter(|word| likeness(word) > LIKENESS) {
            Some(word) => format!("did you mean {word}?"),
            None => format!("there may be {}", known.join(", ")),
        };
        self.error(&format!("unknown key {:?} {place}: {cure}", excerpt(self.key)))
    }

    fn option(self, settings: &mut Settings) -> Result<(), String> {
        let bad = |reason: String| self.bad(&reason);
        match self.key {
            "host" => settings.host = Some(self.text("tengu")?.as_bytes().to_vec()),
            "cache_dir" => settings.cache_dir = Some(self.path("/run/psstat")?),
            "cache_name" => {
                let name = settings::cache_name(self.text("web")?).map_err(bad)?;
                settings.cache_name = Some(name);
            }
            "wait" => settings.wait = Some(self.duration()?),
            "interval" => settings.interval = Some(self.duration()?),
            "fields" => settings.fields = Some(self.fields()?),
            "memory" => {
                let mode = settings::memory(self.text("shared-once")?).map_err(bad)?;
                settings.memory = Some(mode);
            }
            "format" => {
                settings.format = Some(settings::format(self.text("influx")?).map_err(bad)?);
            }
            "output" => settings.output = Some(self.path("/var/lib/psstat.prom")?),
            "proc" => settings.proc = Some(self.path("/host/proc")?),
            "sys" => settings.sys = Some(self.path("/host/sys")?),
            "timeout" => settings.timeout = Some(self.duration()?),
            "multi_threaded" => settings.multi_threaded = Some(self.flag()?),
            key if GROUP.contains(&key) => {
                return Err(self.error(&format!("{key} belongs in a [[group]]")));
            }
            _ => {
                let known = [&OPTIONS[..], &TABLES].concat();
                return Err(self.unknown("at the top of the file", &known));
            }
        }
        Ok(())
    }

    /// A list of strings; or one string with commas, as on the command line.
    fn fields(self) -> Result<Fields, String> {
        let mistyped = || self.mistyped("a list of strings", "[\"p_cpu\", \"n_proc\"]");
        let names: Vec<&str> = match self.value.get_ref() {
            DeValue::String(list) => list.split(',').collect(),
            DeValue::Array(list) => {
                let names = list.iter().map(|name| name.get_ref().as_str());
                names.collect::<Option<_>>().ok_or_else(mistyped)?
            }
            _ => return Err(mistyped()),
        };
        settings::fields(names.into_iter()).map_err(|reason| self.bad(&reason))
    }

    fn tags(self) -> Result<TagList, String> {
        let table = self.value.get_ref().as_table();
        let table = table.ok_or_else(|| {
            self.error("tags are a table, as in [tags] or tags = { env = \"production\" }")
        })?;
        let mut tags = TagList::default();
        for tag in self.file.entries(table) {
            let value = tag.text("production")?;
            let pushed = tags.push(tag.key.as_bytes(), value.as_bytes());
            pushed.map_err(|reason| {
                tag.error(&format!("bad tag {:?}: {reason}", excerpt(tag.key)))
            })?;
        }
        Ok(tags)
    }

    fn groups(self, surroundings: &Surroundings) -> Result<Vec<Selector>, String> {
        let tables = self.value.get_ref().as_array().and_then(|groups| {
            let table =
                |group: &'a Spanned<DeValue<'a>>| Some((group.span(), group.get_ref().as_table()?));
            groups.iter().map(table).collect::<Option<Vec<_>>>()
        });
        let tables =
            tables.ok_or_else(|| self.error("a group is written [[group]], with two brackets"))?;
        let mut selectors: Vec<Selector> = Vec::new();
        let mut tags_of_groups: BTreeMap<(Label, Label), Label> = BTreeMap::new();
        for (span, table) in tables {
            let selector = self.file.group(&span, table, surroundings)?;
            let named = selector.name.iter();
            for (name, (key, value)) in
                named.flat_map(|name| selector.tags.iter().map(move |tag| (name, tag)))
            {
                // Selectors of one name are one group, which has one line.
                let known = tags_of_groups.entry((name.clone(), key.clone()));
                if known.or_insert_with(|| value.clone()) != value {
                    let what = format!(
                        "tag {key} has another value in the other [[group]] of this name: they \
                         make one group, with one line"
                    );
                    return Err(self.file.error(&span, &what));
                }
            }
            selectors.push(selector);
        }
        Ok(selectors)
    }
}

impl<'a> File<'a> {
    fn group(
        self,
        span: &Range<usize>,
        table: &'a DeTable<'a>,
        surroundings: &Surroundings,
    ) -> Result<Selector, String> {
        let mut name = None;
        let mut source: Option<(&str, Source)> = None;
        let mut conditions = Conditions::default();
        let mut children = true;
        let mut tags = TagList::default();
        for entry in self.entries(table) {
            let place = match entry.key {
                "pid" => Some(entry.pid()?),
                "pid_file" => {
                    Some(Source::PidFile(entry.path("/run/nginx.pid")?.into_os_string().into_vec()))
                }
                "systemd" => Some(settings::unit(&entry.glob("nginx")?)),
                "cgroup" => Some(settings::control_group(&entry.glob("user.slice/*")?)),
                _ => None,
            };
            if let Some(place) = place {
                if let Some((other, _)) = source.replace((entry.key, place)) {
                    let key = entry.key;
                    return Err(entry.error(&format!(
                        "{key} beside {other}: a [[group]] has one source; a second [[group]] of \
                         the same name adds to it"
                    )));
                }
                continue;
            }
            match entry.key {
                "name" => {
                    let label = Label::new(entry.text("web")?.as_bytes());
                    name = Some(label.ok_or_else(|| entry.bad("the name is empty"))?);
                }
                "pattern" => conditions.pattern = Some(entry.regex("^nginx$")?),
                "cmdline" => conditions.cmdline = Some(entry.regex("--port 80")?),
                "exe" => conditions.exe = Some(entry.glob("*/nginx")?),
                "user" => conditions.user = Some(entry.user(surroundings)?),
                "children" => children = entry.flag()?,
                "tags" => tags = entry.tags()?,
                key if OPTIONS.contains(&key) => {
                    return Err(entry.error(&format!(
                        "{key} does not belong in a [[group]]: options stand at the top of the \
                         file, before the first [table]"
                    )));
                }
                _ => return Err(entry.unknown("in a [[group]]", &GROUP)),
            }
        }
        let source = source.map_or(Source::All, |(_, source)| source);
        if source == Source::All && conditions.is_empty() {
            let what = "this [[group]] picks nothing: give it a pid, pid_file, systemd, cgroup, \
                        pattern, cmdline, exe or user; pattern = '.*' takes every process";
            return Err(self.error(span, what));
        }
        let tags = tags.into_pairs();
        let selector = Selector { name, source, conditions, children, tags };
        if selector.takes_control_groups() && !children {
            let what = "children = false says nothing of a whole unit or control group, in which \
                        every process counts: add a pattern, cmdline, exe or user that picks some";
            return Err(self.error(span, what));
        }
        Ok(selector)
    }
}

impl Entry<'_> {
    fn pid(self) -> Result<Source, String> {
        let DeValue::Integer(number) = self.value.get_ref() else {
            return Err(self.mistyped("a number", "1"));
        };
        let pid = settings::pid(&number.to_string()).map_err(|reason| self.bad(&reason))?;
        Ok(Source::Pid(pid))
    }

    fn user(self, surroundings: &Surroundings) -> Result<Uid, String> {
        let text = match self.value.get_ref() {
            DeValue::Integer(number) => number.to_string(),
            DeValue::String(name) => name.to_string(),
            _ => return Err(self.mistyped("a name or a number", "\"www-data\"")),
        };
        settings::user(&text, surroundings).map_err(|reason| self.bad(&reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use psstat_core::emit::Format;
    use psstat_core::field::{Field, Fields};
    use psstat_core::model::memory::MemoryMode;
    use psstat_core::model::units::Pid;

    fn read(text: &str) -> Result<Settings, String> {
        let surroundings = Surroundings::made_up(|_| Err("there is none".to_owned()));
        parse(Path::new("/etc/psstat.toml"), text, &surroundings)
    }

    #[test]
    fn every_key_has_its_place() {
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
            output = "/tmp/out"
            proc = "/host/proc"
            sys = "/host/sys"
            timeout = "2s"
            multi_threaded = true

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
            cache_name: Some("web".to_owned()),
            wait: Some(Duration::from_millis(500)),
            interval: Some(Duration::from_secs(10)),
            fields: Some(Fields::new([Field::Processes, Field::CpuShare])),
            memory: Some(MemoryMode::Pss),
            format: Some(Format::Json),
            output: Some("/tmp/out".into()),
            proc: Some("/host/proc".into()),
            sys: Some("/host/sys".into()),
            timeout: Some(Duration::from_secs(2)),
            multi_threaded: Some(true),
        };
        assert_eq!(settings, expected);
        assert_eq!(read("fields = 'n_proc,p_cpu'").unwrap().fields, settings.fields);
        assert_eq!(read("# nothing yet\n").unwrap(), Settings::default());
    }

    /// Each row: a file, and what is said of it.
    const REFUSALS: [(&str, &str); 36] = [
        (
            "memroy = 'pss'",
            "1: unknown key \"memroy\" at the top of the file: did you mean memory?",
        ),
        (
            "\n\ncache-dir = '/x'",
            "3: unknown key \"cache-dir\" at the top of the file: did you mean cache_dir?",
        ),
        ("zzz = 1", "1: unknown key \"zzz\" at the top of the file: there may be host, cache_dir"),
        ("[tag]\nenv = 'x'", "1: unknown key \"tag\" at the top of the file: did you mean tags?"),
        ("pattern = 'x'", "1: pattern belongs in a [[group]]"),
        (
            "[[group]]\npid = 1\nmemory = 'pss'",
            "3: memory does not belong in a [[group]]: options stand at the top",
        ),
        (
            "[[group]]\npatern = 'x'",
            "2: unknown key \"patern\" in a [[group]]: did you mean pattern?",
        ),
        (
            "[[group]]\npid-file = 'x'",
            "2: unknown key \"pid-file\" in a [[group]]: did you mean pid_file?",
        ),
        ("[group]\npid = 1", "1: a group is written [[group]], with two brackets"),
        ("group = 7", "1: a group is written [[group]], with two brackets"),
        ("tags = 'x'", "1: tags are a table, as in [tags]"),
        ("host = 1", "1: host is a string, as in host = \"tengu\"; this is of type integer"),
        (
            "multi_threaded = 'yes'",
            "1: multi_threaded is true or false, as in multi_threaded = false; this is of type string",
        ),
        (
            "fields = [1]",
            "1: fields is a list of strings, as in fields = [\"p_cpu\", \"n_proc\"]; this is of type array",
        ),
        ("fields = ['cpu']", "1: bad fields ['cpu']: \"cpu\" is none of p_cpu"),
        ("fields = []", "1: bad fields []: it names no field"),
        ("memory = 'most'", "1: bad memory 'most': it is rss, shared-once or pss"),
        ("format = 'xml'", "1: bad format 'xml': it is influx, json or prometheus"),
        ("timeout = '1'", "1: bad timeout '1': durations are written 500ms, 1s or 2m"),
        ("timeout = 1", "1: timeout is a string, as in timeout = \"10s\"; this is of type integer"),
        ("cache_name = 'a/b'", "1: bad cache_name 'a/b': it is a name, without '/'"),
        ("cache_dir = ''", "1: bad cache_dir '': nothing stands in it"),
        ("output = \"a\\u0000b\"", "1: bad output \"a\\u0000b\": it holds a NUL"),
        (
            "[tags]\nprocess_name = 'x'",
            "2: bad tag \"process_name\": psstat itself writes process_name",
        ),
        ("[tags]\nenv = ''", "2: bad tag \"env\": the value is empty"),
        (
            "[tags]\nport = 80",
            "2: port is a string, as in port = \"production\"; this is of type integer",
        ),
        ("[[group]]\nname = 'x'", "1: this [[group]] picks nothing: give it a pid, pid_file"),
        ("[[group]]\nname = ''\npid = 1", "2: bad name '': the name is empty"),
        (
            "[[group]]\npid = 1\npid_file = '/x'",
            "3: pid_file beside pid: a [[group]] has one source",
        ),
        ("[[group]]\npid = 0", "2: bad pid 0: not the number of a process (1 to 4194304)"),
        ("[[group]]\npid = '1'", "2: pid is a number, as in pid = 1; this is of type string"),
        ("[[group]]\n\npattern = 'a('", "3: pattern: bad regex \"a(\": unclosed group"),
        ("[[group]]\nexe = '[z-a]'", "2: exe: bad glob \"[z-a]\": "),
        (
            "[[group]]\nuser = 'nobody-here'",
            "2: bad user 'nobody-here': no such user in /etc/passwd",
        ),
        (
            "[[group]]\npid = 1\n[[group]]\nsystemd = 'x'\nchildren = false",
            "3: children = false says nothing of a whole unit",
        ),
        (
            "[[group]]\nname = 'a'\npid = 1\ntags = { x = '1' }\n[[group]]\nname = 'a'\npid = 2\ntags = { x = '2' }",
            "5: tag x has another value in the other [[group]] of this name",
        ),
    ];

    #[test]
    fn what_is_not_understood_names_file_line_and_cure() {
        for (text, expected) in REFUSALS {
            let error = read(text).unwrap_err();
            let expected = format!("/etc/psstat.toml:{expected}");
            assert!(error.starts_with(&expected), "{text:?}: {error}");
            assert!(!error.contains('\n'), "{text:?}: {error}");
        }
    }

    #[test]
    fn what_is_no_toml_names_its_line() {
        for (text, line) in [
            ("host = ", 1),
            ("a = 1\nhost 'x'\n", 2),
            ("[tags]\na = '1'\na = '2'", 3),
            ("[[group]]\npid = 1\n[[group", 3),
            ("[tags]\n[tags]\n", 2),
            ("host = 'x", 1),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(&format!("/etc/psstat.toml:{line}: ")), "{text:?}: {error}");
            assert!(!error.contains('\n'), "{text:?}: {error}");
        }
    }

    #[test]
    fn group_tags_need_not_be_repeated_and_may_be_added_to() {
        let text = "[[group]]\nname = 'a'\npid = 1\ntags = { x = '1' }\n[[group]]\nname = 'a'\n\
                    pid = 2\ntags = { x = '1', y = '2' }\n[[group]]\npid = 3\ntags = { x = '3' }";
        assert_eq!(read(text).unwrap().selectors.len(), 3);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_in_one_line(text in "[\\[\\]='\"{},.\\\\a-z0-9_\\n# -]{0,60}") {
            if let Err(error) = read(&text) {
                prop_assert!(error.starts_with("/etc/psstat.toml:"), "{}", error);
                prop_assert!(!error.contains('\n'), "{}", error);
            }
        }

        #[test]
        fn any_value_of_any_key_is_read_or_refused(
            key in proptest::sample::select([&OPTIONS[..], &TABLES, &GROUP].concat()),
            value in proptest::sample::select(
                &["1", "-1", "1.5", "true", "''", "'x'", "[]", "['']", "{}", "{ a = 1 }", "1979-05-27",
                  "[[]]", "'\u{1F600}'", "99999999999999999999", "0x10", "inf"][..]
            ),
            in_group: bool,
        ) {
            let text = if in_group { format!("[[group]]\n{key} = {value}") } else { format!("{key} = {value}") };
            if let Err(error) = read(&text) {
                prop_assert!(error.starts_with("/etc/psstat.toml:"), "{}", error);
            }
        }
    }
}
