//! The settings of the command line or of the configuration file: their values, how one is laid over
//! the other, and the step from settings to a [`Job`]. Pure: anything that the system must be asked
//! for comes in as [`Surroundings`].

use crate::files::config::ReadConfigError;
use crate::job::{Baseline, Job, Mounts};
use crate::mistakes::{self, Mistake};
use psstat_core::emit::Format;
use psstat_core::emit::table::Sort;
use psstat_core::field::{Field, Fields};
use psstat_core::model::label::{Label, excerpt};
use psstat_core::model::memory::MemoryMode;
use psstat_core::model::units::{Pid, Uid};
use psstat_core::plan::{Options, Plan, PlanError};
use psstat_core::select::selector::{self, PathPattern, Selector, Source, User};
use psstat_core::select::systemd;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use thiserror::Error;

/// Why a value was refused, and how to fix it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ValueError {
    /// The value is empty.
    #[error("the value is empty")]
    Empty,
    /// The name before the `:` is empty, or nothing of it can be printed.
    #[error("the name is empty")]
    EmptyName,
    /// A list has no values.
    #[error("the list is empty: add a value, or remove the key")]
    EmptyList,
    /// There is a name and no value.
    #[error("missing value after NAME:")]
    NothingAfterName,
    /// There is a name and no regex.
    #[error("missing value after NAME: (the regex '.*' matches every process)")]
    NoRegexAfterName,
    /// An empty regex or glob.
    #[error("the value is empty; to match everything write '.*' (regex) or '*' (glob)")]
    EmptyPattern,
    /// The value is not text.
    #[error("not UTF-8")]
    NotUtf8,
    /// The value contains a NUL, which neither a path nor a tag can.
    #[error("it contains a NUL character: remove it")]
    Nul,
    /// It is not a duration.
    #[error("write durations as 500ms, 1s, 2m or 1h, in lower case")]
    NotADuration,
    /// The duration is 0.
    #[error("it must be longer than 0")]
    NoDuration,
    /// It is none of these.
    #[error("use {}", alternatives(.0))]
    NotOneOf(Vec<&'static str>),
    /// There is no field of that name.
    #[error("unknown field {name:?}: the fields are {}", field_names())]
    UnknownField {
        /// The name.
        name: String,
    },
    /// A table cannot be sorted by that.
    #[error("use name, cpu or a field of the table: {}", field_names())]
    UnknownSort,
    /// A field is named twice.
    #[error("{0} is named twice: name it once")]
    RepeatedField(&'static str),
    /// The list of fields is empty.
    #[error("it names no field")]
    NoField,
    /// It cannot be the name of a file.
    #[error("it must be the name of a file")]
    NotAFileName,
    /// The name of the cache contains a slash.
    #[error("it must be a name without '/'; --cache-dir sets the directory")]
    SlashInName,
    /// It is not the pid of a process.
    #[error("not a pid (1 to 4194304)")]
    NotAPid,
    /// What is before the `:` cannot be a name, so the whole is taken for a value.
    #[error(
        "not a pid (1 to 4194304), and {character:?} cannot stand in a NAME: a NAME has letters, digits, \
         spaces and _.-@"
    )]
    NotAName {
        /// The first character that cannot be in a name.
        character: char,
    },
    /// A brace in a name belongs to no placeholder.
    #[error(
        "a {0} of the name belongs to no placeholder: write one as {{app}}, with letters, digits and _, or \
         leave out the braces"
    )]
    StrayBrace(char),
    /// What is before the `:` would be a name but for a brace.
    #[error(
        "{name:?} is no NAME, because a brace of it belongs to no placeholder: write one as {{app}}, with \
         letters, digits and _; if no NAME is meant, begin the value with ':'"
    )]
    AlmostName {
        /// What is before the `:`, shortened if it is long.
        name: String,
    },
    /// A name that cannot have placeholders has braces.
    #[error("placeholders have no meaning in this name: leave out the braces")]
    Braces,
    /// The rest has the name of a group.
    #[error("a group has that name too: give one of the two another name")]
    NameOfGroup,
    /// psstat uses the name itself.
    #[error("psstat uses that name itself: choose another")]
    ReservedName,
    /// There can be no such number of groups.
    #[error("write a number from 1 to {MOST_GROUPS}")]
    NotANumberOfGroups,
    /// No user can have that id.
    #[error("not the id of a user (0 to 4294967295)")]
    NotAUid,
}

fn field_names() -> String {
    Field::all().map(Field::name).collect::<Vec<_>>().join(", ")
}

/// The words of a list, the last one behind "or".
pub fn alternatives<S: AsRef<str>>(words: &[S]) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match words.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => words.concat(),
    }
}

/// Why a tag was refused, and how to fix it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TagError {
    /// There are too many tags.
    #[error("there are more than {MOST_TAGS} tags")]
    TooMany,
    /// There is no `=`.
    #[error("write it as KEY=VALUE")]
    NoEquals,
    /// The key is empty.
    #[error("the key is empty")]
    EmptyKey,
    /// The value is empty, or nothing of it can be printed.
    #[error("the value is empty")]
    EmptyValue,
    /// psstat writes that tag.
    #[error("psstat itself writes process_name: choose another key")]
    ProcessName,
    /// Prometheus reserves that key.
    #[error("Prometheus and VictoriaMetrics reserve that key: choose another")]
    ReservedByPrometheus,
    /// InfluxDB drops every point with such a tag.
    #[error("InfluxDB reserves that key: choose another")]
    ReservedByInflux,
    /// The key is there twice.
    #[error("that key is given twice: give it once")]
    Repeated,
}

/// Why settings make no job, and how to fix it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JobError {
    /// The run would be given up before its second sample.
    #[error("the timeout must be longer than the time between the samples (--timeout, --wait)")]
    TimeoutWithinWait,
    /// The table has no such column.
    #[error(
        "cannot sort by {0}, because the table has no such column: add {0} to the fields (--fields)"
    )]
    SortByMissing(&'static str),
    /// The rest has the name of a group.
    #[error(
        "rest = {:?}: a selector has that NAME too: give one of the two another name",
        .0.as_str()
    )]
    RestIsGroup(Label),
    /// They do not say what to measure.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// A length of time, longer than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(Duration);

impl FromStr for Period {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Period, ValueError> {
        match humantime::parse_duration(text) {
            Ok(Duration::ZERO) => Err(ValueError::NoDuration),
            Ok(duration) => Ok(Period(duration)),
            Err(_) => Err(ValueError::NotADuration),
        }
    }
}

impl From<FieldList> for Fields {
    fn from(FieldList(fields): FieldList) -> Fields {
        fields
    }
}

impl From<Period> for Duration {
    fn from(Period(duration): Period) -> Duration {
        duration
    }
}

/// The name of a cache file, without a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheName(String);

impl FromStr for CacheName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<CacheName, ValueError> {
        match text {
            "" | "." | ".." => Err(ValueError::NotAFileName),
            _ if text.contains('/') => Err(ValueError::SlashInName),
            _ if text.contains('\0') => Err(ValueError::Nul),
            _ => Ok(CacheName(text.to_owned())),
        }
    }
}

/// The fields to print, as a list of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldList(Fields);

impl FieldList {
    /// The fields of these names.
    ///
    /// # Errors
    /// [`ValueError`] if a name is unknown or there twice, or if there is none.
    pub fn of_names<'t>(names: impl IntoIterator<Item = &'t str>) -> Result<FieldList, ValueError> {
        let mut fields = Vec::new();
        for name in names {
            let field = Field::named(name.trim());
            let field =
                field.ok_or_else(|| ValueError::UnknownField { name: excerpt(name).into() })?;
            if fields.contains(&field) {
                return Err(ValueError::RepeatedField(field.name()));
            }
            fields.push(field);
        }
        if fields.is_empty() {
            Err(ValueError::NoField)
        } else {
            Ok(FieldList(Fields::new(fields)))
        }
    }
}

impl FromStr for FieldList {
    type Err = ValueError;

    fn from_str(list: &str) -> Result<FieldList, ValueError> {
        FieldList::of_names(list.split(','))
    }
}

/// What a table is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortKey(Sort);

impl FromStr for SortKey {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<SortKey, ValueError> {
        match text {
            "name" => Ok(SortKey(Sort::Name)),
            "cpu" => Ok(SortKey(Sort::By(Field::CpuShare))),
            _ => Field::named(text).map(|by| SortKey(Sort::By(by))).ok_or(ValueError::UnknownSort),
        }
    }
}

impl SortKey {
    /// The column of a table with these fields.
    fn among(self, fields: &Fields) -> Result<Sort, JobError> {
        let SortKey(Sort::By(by)) = self else { return Ok(self.0) };
        // Memory in bytes and as a part of the machine's have the same order.
        let same = match by {
            Field::Memory => Field::MemoryShare,
            Field::MemoryShare => Field::Memory,
            other => other,
        };
        let is_shown = |field: &Field| fields.as_slice().contains(field);
        let shown = [by, same].into_iter().find(is_shown);
        shown.map(Sort::By).ok_or(JobError::SortByMissing(by.name()))
    }
}

/// What the meaning of settings depends on.
#[derive(Debug)]
pub struct Surroundings {
    /// The host's name (uname(2)).
    pub host: Vec<u8>,
    /// `HOST_PROC`, which Telegraf uses too.
    pub host_proc: Option<OsString>,
    /// `HOST_SYS`.
    pub host_sys: Option<OsString>,
    /// The effective user that psstat runs as.
    pub user: Uid,
    /// Finds the uid of a user by name.
    pub find_user: fn(&str) -> Option<Uid>,
    /// Reads the text of a configuration file.
    pub read_config: fn(&Path) -> Result<String, ReadConfigError>,
    /// Finds the configuration files that a path or glob means, in the order of their names.
    pub find_configs: fn(&Path) -> Result<Vec<PathBuf>, ReadConfigError>,
    /// Finds an environment variable.
    pub variable: fn(&str) -> Option<OsString>,
    /// Whether the control groups of systemd are in sight, given where sysfs is mounted.
    pub has_units: fn(&Path) -> bool,
    /// Whether only version 2 of control groups is mounted, given where sysfs is mounted.
    pub is_v2: fn(&Path) -> bool,
}

#[cfg(test)]
impl Surroundings {
    /// Those of a made-up host `tengu` with one user and these files.
    pub fn made_up(read_config: fn(&Path) -> Result<String, ReadConfigError>) -> Surroundings {
        Surroundings {
            host: b"tengu".to_vec(),
            host_proc: None,
            host_sys: None,
            user: Uid(1000),
            find_user: |name| (name == "www-data").then_some(Uid(33)),
            read_config,
            find_configs: |path| Ok(vec![path.to_owned()]),
            variable: |_| None,
            has_units: |_| true,
            is_v2: |_| false,
        }
    }
}

/// The settings of one source. `None` is left open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What to measure, in the order given.
    pub selectors: Vec<Selector>,
    /// Tags of every line.
    pub tags: TagList,
    /// Value of the `host` tag, unless a tag has that name. Empty means no such tag.
    pub host: Option<Vec<u8>>,
    /// Directory of the cache file.
    pub cache_dir: Option<PathBuf>,
    /// Name of the cache file.
    pub cache_name: Option<CacheName>,
    /// The time between two samples in one run.
    pub wait: Option<Period>,
    /// The time between two samples of a resident process.
    pub interval: Option<Period>,
    /// The fields to print, in that order.
    pub fields: Option<FieldList>,
    /// How memory is measured.
    pub memory: Option<MemoryMode>,
    /// The output format.
    pub format: Option<Format>,
    /// What a table is sorted by. It means nothing to another format.
    pub sort: Option<SortKey>,
    /// The file that each sample replaces.
    pub output: Option<PathBuf>,
    /// Mount point of procfs.
    pub proc: Option<PathBuf>,
    /// Mount point of sysfs.
    pub sys: Option<PathBuf>,
    /// How long a run may take.
    pub timeout: Option<Period>,
    /// Whether `/proc` is read on several threads.
    pub multi_threaded: Option<bool>,
    /// Whether a resident process keeps the rights that it does not need.
    pub no_sandbox: Option<bool>,
    /// Whether each process belongs to one group at most.
    pub exclusive: Option<bool>,
    /// The name of the group that has all processes of no other group.
    pub rest: Option<Label>,
    /// Whether a resident process asks the kernel for a record of each exit.
    pub exit_records: Option<bool>,
    /// The files that they were read from.
    pub files: Vec<PathBuf>,
    /// What was found to be wrong with them already.
    pub mistakes: Vec<Mistake>,
}

impl Settings {
    /// Lays these settings over others. Selectors and tags add up; of two values, this one wins.
    pub fn over(self, below: Settings) -> Settings {
        let mut selectors = below.selectors;
        for selector in &mut selectors {
            selector.tags.retain(|(key, _)| !self.sets_tag(key));
            // `--fields` is for all groups.
            selector.fields.take_if(|_| self.fields.is_some());
        }
        selectors.extend(self.selectors);
        let mut mistakes = below.mistakes;
        mistakes.extend(self.mistakes);
        let mut files = below.files;
        files.extend(self.files);
        Settings {
            selectors,
            files,
            mistakes,
            // `--host` also overrides a tag `host` of the file.
            tags: self.tags.over(below.tags, self.host.is_some()),
            host: self.host.or(below.host),
            cache_dir: self.cache_dir.or(below.cache_dir),
            cache_name: self.cache_name.or(below.cache_name),
            wait: self.wait.or(below.wait),
            interval: self.interval.or(below.interval),
            fields: self.fields.or(below.fields),
            memory: self.memory.or(below.memory),
            format: self.format.or(below.format),
            sort: self.sort.or(below.sort),
            output: self.output.or(below.output),
            proc: self.proc.or(below.proc),
            sys: self.sys.or(below.sys),
            timeout: self.timeout.or(below.timeout),
            multi_threaded: self.multi_threaded.or(below.multi_threaded),
            no_sandbox: self.no_sandbox.or(below.no_sandbox),
            exclusive: self.exclusive.or(below.exclusive),
            rest: self.rest.or(below.rest),
            exit_records: self.exit_records.or(below.exit_records),
        }
    }

    fn sets_tag(&self, key: &Label) -> bool {
        let is_host = key.as_str() == HOST;
        self.tags.get(key).is_some() || is_host && self.host.is_some()
    }

    /// Where procfs and sysfs are mounted.
    pub fn mounts(&self, surroundings: &Surroundings) -> Mounts {
        let mount = |given: &Option<PathBuf>, variable: &Option<OsString>, default: &str| {
            let given = given.clone();
            given
                .or_else(|| variable.clone().filter(|dir| !dir.is_empty()).map(PathBuf::from))
                .unwrap_or_else(|| PathBuf::from(default))
        };
        Mounts {
            is_proc_chosen: self.proc.is_some()
                || surroundings.host_proc.as_ref().is_some_and(|path| !path.is_empty()),
            proc: mount(&self.proc, &surroundings.host_proc, "/proc"),
            sys: mount(&self.sys, &surroundings.host_sys, "/sys"),
        }
    }

    /// The job that these settings describe, with defaults for what they leave open.
    ///
    /// # Errors
    /// [`JobError`] if the settings contradict each other, or select nothing.
    pub fn job(mut self, surroundings: &Surroundings) -> Result<Job, JobError> {
        let mounts = self.mounts(surroundings);
        let is_v2 = || (surroundings.is_v2)(&mounts.sys);
        self.mistakes.extend(mistakes::correct(&mut self.selectors, &mounts.sys, is_v2));
        let format = self.format.unwrap_or_default();
        let default_fields = || match format {
            Format::Prometheus => Fields::new(Field::DEFAULT_OF_PAGE),
            Format::Influx | Format::Json | Format::Table => Fields::default(),
        };
        let fields = self.fields.take().map_or_else(default_fields, |FieldList(fields)| fields);
        // Prometheus adds a label of its own for the host.
        let default_host = Some(&surroundings.host).filter(|_| format != Format::Prometheus);
        let host = self.host.as_ref().or(default_host).and_then(|host| Label::new(host));
        let memory = self.memory.unwrap_or_default();
        let tags = self.tags.clone().with_host(host);
        let is_exclusive = self.exclusive.unwrap_or_default();
        let rest = self.rest.clone();
        let is_group = |rest: &&Label| self.selectors.iter().any(|one| one.name() == Some(rest));
        if let Some(rest) = rest.as_ref().filter(is_group) {
            return Err(JobError::RestIsGroup(rest.clone()));
        }
        let options = Options { tags, memory, fields, format, sort: None, is_exclusive, rest };
        let mut plan = Plan::new(self.selectors.clone(), options)?;
        let sort = self.sort.filter(|_| format == Format::Table);
        plan.sort = sort.map(|key| key.among(&plan.fields)).transpose()?;
        let key = self.job_key(&plan);
        let wait = self.wait.map(Duration::from);
        let timeout = match (self.timeout.map(Duration::from), wait) {
            (Some(timeout), Some(wait)) if timeout <= wait => {
                return Err(JobError::TimeoutWithinWait);
            }
            (Some(timeout), _) => timeout,
            (None, wait) => DEFAULT_TIMEOUT.saturating_add(wait.unwrap_or_default()),
        };
        let default_name =
            || format!("psstat-{}-{:016x}", surroundings.user.0, selector::hash(&key));
        let baseline = match wait {
            Some(wait) => Baseline::Wait(wait),
            None => Baseline::Cache {
                dir: self.cache_dir.unwrap_or_else(|| PathBuf::from("/tmp")),
                name: self.cache_name.map_or_else(default_name, |CacheName(name)| name),
            },
        };
        Ok(Job {
            plan,
            mounts,
            files: self.files,
            mistakes: self.mistakes,
            baseline,
            output: self.output,
            interval: self.interval.map(Duration::from),
            multi_threaded: self.multi_threaded.unwrap_or_default(),
            sandbox: !self.no_sandbox.unwrap_or_default(),
            exit_records: self.exit_records.unwrap_or_default(),
            timeout,
        })
    }

    /// Identifies the cache of a job: its selectors, how they divide the machine, the fields of each group, and the
    /// host and tags that were given. If two jobs shared a cache, each would report only what was used since the
    /// other ran.
    fn job_key(&self, plan: &Plan) -> Vec<u8> {
        let mut key: Vec<u8> = self.selectors.iter().flat_map(Selector::key).collect();
        let mut put = |part: &[u8]| {
            // The length comes first, so that two lists of parts never have the same bytes.
            key.extend_from_slice(&part.len().to_le_bytes());
            key.extend_from_slice(part);
        };
        let of_selectors = self.selectors.iter().flat_map(|selector| &selector.tags);
        for (tag, value) in self.tags.0.iter().chain(of_selectors) {
            put(tag.as_str().as_bytes());
            put(value.as_str().as_bytes());
        }
        if let Some(host) = &self.host {
            put(HOST.as_bytes());
            put(host);
        }
        for fields in &plan.fields_of {
            let mut names: Vec<&str> = fields.as_slice().iter().map(|field| field.name()).collect();
            names.sort_unstable();
            put(names.join(",").as_bytes());
        }
        if self.exclusive == Some(true) {
            key.extend_from_slice(b"exclusive");
        }
        if let Some(rest) = &self.rest {
            key.extend_from_slice(b"rest");
            key.extend_from_slice(rest.as_str().as_bytes());
        }
        key
    }
}

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(4);

/// The key of the first tag.
const HOST: &str = "host";

/// The largest number of groups that a name with placeholders can be allowed.
const MOST_GROUPS: usize = 100_000;

/// How many tags there can be in one place. Each is compared with all others.
const MOST_TAGS: usize = 256;

/// Tags in the order given. No key is there twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagList(Vec<(Label, Label)>);

impl TagList {
    /// Adds a tag.
    ///
    /// # Errors
    /// [`TagError`] if the tag cannot be printed, or if the key is reserved or there already.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), TagError> {
        let key = Label::new(key).ok_or(TagError::EmptyKey)?;
        let value = Label::new(value).ok_or(TagError::EmptyValue)?;
        match key.as_str() {
            "process_name" => return Err(TagError::ProcessName),
            "__name__" => return Err(TagError::ReservedByPrometheus),
            "time" | "_field" | "_measurement" => return Err(TagError::ReservedByInflux),
            _ if self.get(&key).is_some() => return Err(TagError::Repeated),
            _ if self.0.len() >= MOST_TAGS => return Err(TagError::TooMany),
            _ => self.0.push((key, value)),
        }
        Ok(())
    }

    /// The tags.
    pub fn into_pairs(self) -> Vec<(Label, Label)> {
        self.0
    }

    fn get(&self, key: &Label) -> Option<&Label> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Lays these tags over others. A key of both keeps its place and gets this value. If
    /// `host_is_set` by other means, the tag `host` below is dropped.
    fn over(self, below: TagList, host_is_set: bool) -> TagList {
        let mut tags = below.0;
        tags.retain(|(key, _)| !host_is_set || key.as_str() != HOST);
        for (key, value) in self.0 {
            match tags.iter_mut().find(|(known, _)| *known == key) {
                Some((_, known)) => *known = value,
                None => tags.push((key, value)),
            }
        }
        TagList(tags)
    }

    /// All tags, `host` first. Its value is that of the tag, or else `host`.
    fn with_host(self, host: Option<Label>) -> Vec<(Label, Label)> {
        let (given, others): (Vec<_>, Vec<_>) =
            self.0.into_iter().partition(|(key, _)| key.as_str() == HOST);
        let default = host.map(|host| (Label::lossy(HOST.as_bytes()), host));
        given.into_iter().next().or(default).into_iter().chain(others).collect()
    }
}

/// Reads the name of a memory mode.
///
/// # Errors
/// [`ValueError::NotOneOf`] if there is no such mode.
pub fn memory_mode(name: &str) -> Result<MemoryMode, ValueError> {
    let names = || MemoryMode::ALL.map(MemoryMode::name).to_vec();
    MemoryMode::named(name).ok_or_else(|| ValueError::NotOneOf(names()))
}

/// Reads the name of an output format.
///
/// # Errors
/// [`ValueError::NotOneOf`] if there is no such format.
pub fn format(name: &str) -> Result<Format, ValueError> {
    let names = || Format::ALL.map(Format::name).to_vec();
    Format::named(name).ok_or_else(|| ValueError::NotOneOf(names()))
}

/// Reads a pid.
///
/// # Errors
/// [`ValueError::NotAPid`] if no process can have it; [`ValueError::NotAName`] if a name was meant that cannot
/// be one.
pub fn pid(digits: &str) -> Result<Pid, ValueError> {
    Pid::parse(digits.as_bytes()).ok_or_else(|| {
        let name = digits.rsplit_once(':').map_or("", |(name, _)| name);
        let bad = name.chars().find(|&character| !selector::can_be_in_name(character));
        bad.map_or(ValueError::NotAPid, |character| ValueError::NotAName { character })
    })
}

/// Reads the largest number of groups that a name with placeholders may make.
///
/// # Errors
/// [`ValueError::NotANumberOfGroups`] if it makes no sense.
pub fn max_groups(number: i64) -> Result<usize, ValueError> {
    let number = usize::try_from(number).ok();
    number.filter(|number| (1..=MOST_GROUPS).contains(number)).ok_or(ValueError::NotANumberOfGroups)
}

/// Finds a user by name or uid. One that is not known is looked up again in each sample.
pub fn user(text: &str, surroundings: &Surroundings) -> User {
    let id = (surroundings.find_user)(text);
    match text.parse() {
        Ok(uid) if id.is_none() => User::Id(Uid(uid)),
        _ => User::Named { name: text.to_owned(), id },
    }
}

/// The systemd units that a name or glob means.
pub fn unit(text: &str) -> Source {
    Source::Unit(systemd::expand(text))
}

/// The control groups that a glob means, with or without slashes at its ends.
pub fn control_group(text: &str) -> Source {
    Source::ControlGroup(PathPattern::Glob(text.trim_matches('/').to_owned()))
}
