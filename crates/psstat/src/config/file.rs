//! The keys of a configuration file and the types of their values, read by serde.

use super::several::Several;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Visitor};
use std::collections::BTreeMap;
use toml::Spanned;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub include: Option<Several<String>>,
    pub host: Option<Spanned<String>>,
    pub cache_dir: Option<Spanned<String>>,
    pub cache_name: Option<Spanned<String>>,
    pub wait: Option<Spanned<String>>,
    pub interval: Option<Spanned<String>>,
    pub fields: Option<Spanned<Names>>,
    pub memory: Option<Spanned<String>>,
    pub format: Option<Spanned<String>>,
    pub sort: Option<Spanned<String>>,
    pub output: Option<Spanned<String>>,
    pub proc: Option<Spanned<String>>,
    pub sys: Option<Spanned<String>>,
    pub timeout: Option<Spanned<String>>,
    pub multi_threaded: Option<bool>,
    pub no_sandbox: Option<bool>,
    pub exclusive: Option<bool>,
    pub rest: Option<Spanned<String>>,
    pub max_groups: Option<Spanned<i64>>,
    pub overflow: Option<Spanned<String>>,
    pub exit_records: Option<bool>,
    #[serde(default)]
    pub tags: Tags,
    #[serde(default)]
    pub group: Vec<Spanned<Group>>,
}

/// A `[[group]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    pub name: Option<Spanned<String>>,
    pub pid: Option<Several<i64>>,
    pub pid_file: Option<Several<String>>,
    pub pid_files: Option<Several<String>>,
    pub systemd: Option<Several<String>>,
    pub cgroup: Option<Several<String>>,
    pub cgroup_regex: Option<Several<String>>,
    pub pattern: Option<Several<String>>,
    pub cmdline: Option<Several<String>>,
    pub exe: Option<Several<String>>,
    pub exe_regex: Option<Several<String>>,
    pub user: Option<Several<User>>,
    pub children: Option<bool>,
    pub fields: Option<Spanned<Names>>,
    pub max_groups: Option<Spanned<i64>>,
    pub overflow: Option<Spanned<String>>,
    #[serde(default)]
    pub tags: Tags,
}

/// The tags of every line, or of a group.
pub type Tags = BTreeMap<Spanned<String>, Spanned<String>>;

/// A list of names, or one string with commas as on the command line.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Names {
    One(String),
    Many(Vec<String>),
}

/// A user by uid or name.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum User {
    Uid(i64),
    Name(String),
}

/// The keys of a table, as its derived `Deserialize` declares them.
pub fn keys<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut keys: &'static [&'static str] = &[];
    // It declares the keys and gets an error instead of a table.
    let _ = T::deserialize(KeysOf(&mut keys));
    keys
}

/// A deserializer that only remembers which keys are asked for.
struct KeysOf<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for KeysOf<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        keys: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = keys;
        Err(Self::Error::custom("there is no table"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(Self::Error::custom("not a table"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
