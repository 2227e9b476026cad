//! What one source of settings says (the command line, the configuration file), checked value by
//! value; how two sources are laid over each other; and what becomes of it in the end. Pure: what
//! must be asked of the system is handed in as [`Surroundings`].

use crate::job::{Baseline, Job, Mounts};
use psstat_core::emit::Format;
use psstat_core::field::{Field, Fields};
use psstat_core::model::label::Label;
use psstat_core::model::memory::MemoryMode;
use psstat_core::model::units::{Pid, Uid};
use psstat_core::plan::{Options, Plan};
use psstat_core::select::selector::{self, Selector, Source};
use psstat_core::select::systemd;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is wrong with the command line or the configuration file, and how to fix it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// What settings mean depends on these.
#[derive(Debug)]
pub struct Surroundings {
    /// The host's name (uname(2)).
    pub host: Vec<u8>,
    /// `HOST_PROC`, as Telegraf and its kin use it.
    pub host_proc: Option<OsString>,
    /// `HOST_SYS`.
    pub host_sys: Option<OsString>,
    /// The effective user psstat runs as.
    pub user: Uid,
    /// Finds a user's number by name.
    pub find_user: fn(&str) -> Option<Uid>,
    /// Reads the configuration file; the error says why it cannot be read.
    pub read_config: fn(&Path) -> Result<String, String>,
}

#[cfg(test)]
impl Surroundings {
    /// Those of a made-up host `tengu`, which has one user and these files.
    pub fn made_up(read_config: fn(&Path) -> Result<String, String>) -> Surroundings {
        Surroundings {
            host: b"tengu".to_vec(),
            host_proc: None,
            host_sys: None,
            user: Uid(1000),
            find_user: |name| (name == "www-data").then_some(Uid(33)),
            read_config,
        }
    }
}

/// What one source of settings says. What it leaves open is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What to measure, in the order given.
    pub selectors: Vec<Selector>,
    /// Tags of every line.
    pub tags: TagList,
    /// Value of the `host` tag, where no tag of that name is given; empty: no such tag.
    pub host: Option<Vec<u8>>,
    /// Folder of the cache file.
    pub cache_dir: Option<PathBuf>,
    /// Its name.
    pub cache_name: Option<String>,
    /// Two samples that far apart in one run.
    pub wait: Option<Duration>,
    /// How far apart a resident process samples by itself.
    pub interval: Option<Duration>,
    /// Which fields are written, in that order.
    pub fields: Option<Fields>,
    /// How memory is summed.
    pub memory: Option<MemoryMode>,
    /// The output format.
    pub format: Option<Format>,
    /// The file that each sample replaces.
    pub output: Option<PathBuf>,
    /// Where procfs is mounted.
    pub proc: Option<PathBuf>,
    /// Where sysfs is mounted.
    pub sys: Option<PathBuf>,
    /// How long a run may last.
    pub timeout: Option<Duration>,
    /// Whether `/proc` is read by several threads.
    pub multi_threaded: Option<bool>,
}

impl Settings {
    /// Lays these settings over others: they add to them, and win.
    pub fn over(self, below: Settings) -> Settings {
        let mut selectors = below.selectors;
        for selector in &mut selectors {
            selector.tags.retain(|(key, _)| !self.sets_tag(key));
        }
        selectors.extend(self.selectors);
        Settings {
            selectors,
            // A host that was typed stands against a tag of that name in the file.
            tags: self.tags.over(below.tags, self.host.is_some()),
            host: self.host.or(below.host),
            cache_dir: self.cache_dir.or(below.cache_dir),
            cache_name: self.cache_name.or(below.cache_name),
            wait: self.wait.or(below.wait),
            interval: self.interval.or(below.interval),
            fields: self.fields.or(below.fields),
            memory: self.memory.or(below.memory),
            format: self.format.or(below.format),
            output: self.output.or(below.output),
            proc: self.proc.or(below.proc),
            sys: self.sys.or(below.sys),
            timeout: self.timeout.or(below.timeout),
            multi_threaded: self.multi_threaded.or(below.multi_threaded),
        }
    }

    fn sets_tag(&self, key: &Label) -> bool {
        let is_host = key.as_str() == HOST;
        self.tags.get(key).is_some() || is_host && self.host.is_some()
    }

    /// Fills in what is left open.
    ///
    /// # Errors
    /// The text says what does not fit together, and how to mend it.
    pub fn job(self, surroundings: &Surroundings) -> Result<Job, String> {
        let fields = self.fields.unwrap_or_default();
        let key = job_key(&self.selectors, &fields);
        let host = Label::new(self.host.as_ref().unwrap_or(&surroundings.host));
        let options = Options {
            tags: self.tags.with_host(host),
            memory: self.memory.unwrap_or_default(),
            fields,
            format: self.format.unwrap_or_default(),
        };
        let plan = Plan::new(self.selectors, options).map_err(|error| error.to_string())?;
        let timeout = match (self.timeout, self.wait) {
            (Some(timeout), Some(wait)) if timeout <= wait => {
                return Err("--timeout must be longer than --wait".to_owned());
            }
            (Some(timeout), _) => timeout,
            (None, wait) => DEFAULT_TIMEOUT.saturating_add(wait.unwrap_or_default()),
        };
        let default_name =
            || format!("psstat-{}-{:016x}", surroundings.user.0, selector::hash(&key));
        let baseline = match self.wait {
            Some(wait) => Baseline::Wait(wait),
            None => Baseline::Cache {
                dir: self.cache_dir.unwrap_or_else(|| PathBuf::from("/tmp")),
                name: self.cache_name.unwrap_or_else(default_name),
            },
        };
        let mount = |given: Option<PathBuf>, variable: &Option<OsString>, default: &str| {
            given
                .or_else(|| variable.clone().filter(|dir| !dir.is_empty()).map(PathBuf::from))
                .unwrap_or_else(|| PathBuf::from(default))
        };
        Ok(Job {
            plan,
            mounts: Mounts {
                proc: mount(self.proc, &surroundings.host_proc, "/proc"),
                sys: mount(self.sys, &surroundings.host_sys, "/sys"),
            },
            baseline,
            output: self.output,
            interval: self.interval,
            multi_threaded: self.multi_threaded.unwrap_or_default(),
            timeout,
        })
    }
}

/// What tells this job's cache from those of others: its selectors, and the fields for which more
/// must be remembered. Two jobs that share a cache would each lose what the other does not keep.
fn job_key(selectors: &[Selector], fields: &Fields) -> Vec<u8> {
    let mut key: Vec<u8> = selectors.iter().flat_map(Selector::key).collect();
    let keeping = Field::all().filter(|field| field.row().keeps_state);
    for field in keeping.filter(|field| fields.as_slice().contains(field)) {
        key.extend_from_slice(field.name().as_bytes());
        key.push(0);
    }
    key
}

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(4);

/// The tag that every line begins with.
const HOST: &str = "host";

/// Tags in the order given, no key twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagList(Vec<(Label, Label)>);

impl TagList {
    /// Adds a tag.
    ///
    /// # Errors
    /// The text says what is wrong with it.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let key = Label::new(key).ok_or("the key is empty")?;
        let value = Label::new(value).ok_or("the value is empty")?;
        match key.as_str() {
            "process_name" => return Err("psstat itself writes process_name".to_owned()),
            "__name__" => {
                let text = "Prometheus and VictoriaMetrics keep that key for themselves";
                return Err(format!("{text}; choose another"));
            }
            // InfluxDB drops every point with such a tag.
            "time" | "_field" | "_measurement" => {
                return Err("InfluxDB keeps that key for itself; choose another".to_owned());
            }
            _ if self.get(&key).is_some() => return Err("that key is given twice".to_owned()),
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

    /// Lays these tags over others: a key of both keeps its place and gets this value. Where
    /// `host_is_set` otherwise, a host below does not count.
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

    /// All tags, `host` first: the one that is among them, else that value.
    fn with_host(self, host: Option<Label>) -> Vec<(Label, Label)> {
        let (given, others): (Vec<_>, Vec<_>) =
            self.0.into_iter().partition(|(key, _)| key.as_str() == HOST);
        let default = host.map(|host| (Label::lossy(HOST.as_bytes()), host));
        given.into_iter().next().or(default).into_iter().chain(others).collect()
    }
}

/// Reads the name of a way to sum memory.
///
/// # Errors
/// Names those that there are.
pub fn memory(text: &str) -> Result<MemoryMode, String> {
    MemoryMode::named(text).ok_or_else(|| "it is rss, shared-once or pss".to_owned())
}

/// Reads the name of an output format.
///
/// # Errors
/// Names those that there are.
pub fn format(text: &str) -> Result<Format, String> {
    Format::named(text).ok_or_else(|| "it is influx, json or prometheus".to_owned())
}

/// Reads the names of fields.
///
/// # Errors
/// Names the fields that there are, or the one that is there twice.
pub fn fields<'t>(names: impl Iterator<Item = &'t str>) -> Result<Fields, String> {
    let mut fields = Vec::new();
    for name in names {
        let known = || Field::all().map(Field::name).collect::<Vec<_>>().join(", ");
        let field =
            Field::named(name.trim()).ok_or_else(|| format!("{name:?} is none of {}", known()))?;
        if fields.contains(&field) {
            return Err(format!("{name} is there twice"));
        }
        fields.push(field);
    }
    if fields.is_empty() {
        return Err("it names no field".to_owned());
    }
    Ok(Fields::new(fields))
}

/// Reads a length of time.
///
/// # Errors
/// Says how one is written.
pub fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        Ok(_) => Err("it must be longer than nothing".to_owned()),
        Err(_) => Err("durations are written 500ms, 1s or 2m".to_owned()),
    }
}

/// Checks the name of a cache file.
///
/// # Errors
/// Says why it cannot be one.
pub fn cache_name(text: &str) -> Result<String, String> {
    match text {
        "" | "." | ".." => Err("it is the name of a file".to_owned()),
        _ if text.contains('/') => {
            Err("it is a name, without '/'; --cache-dir says where".to_owned())
        }
        _ if text.contains('\0') => Err("no file has a NUL in its name".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// Checks the number of a process.
///
/// # Errors
/// Says which numbers processes have.
pub fn pid(digits: &str) -> Result<Pid, String> {
    Pid::parse(digits.as_bytes())
        .ok_or_else(|| "not the number of a process (1 to 4194304)".to_owned())
}

/// Finds a user by name or number.
///
/// # Errors
/// Where there is no such user.
pub fn user(text: &str, surroundings: &Surroundings) -> Result<Uid, String> {
    (surroundings.find_user)(text)
        .or_else(|| text.parse().ok().map(Uid))
        .ok_or_else(|| "no such user in /etc/passwd: users from elsewhere go by number".to_owned())
}

/// The systemd units that a name or glob means.
pub fn unit(text: &str) -> Source {
    Source::Unit(systemd::expand(text))
}

/// The control groups that a glob means, slashes at its ends or none.
pub fn control_group(text: &str) -> Source {
    Source::ControlGroup(text.trim_matches('/').to_owned())
}
