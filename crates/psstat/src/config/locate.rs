//! Finds what serde refused, and says what is wrong with it.
//!
//! An error of serde has a span and a text. The text is for programmers, so only the span is used:
//! it is either that of an unknown key or that of a value of the wrong type.

use super::error::Problem;
use super::file::{File, Group, keys};
use crate::settings::ValueError;
use psstat_core::model::label::excerpt;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Each key with the type of its value and an example.
const EXAMPLES: [(&str, &str, &str); 34] = [
    ("include", STRINGS, "\"/etc/psstat.d/*.toml\""),
    ("host", STRING, "\"tengu\""),
    ("cache_dir", STRING, "\"/run/psstat\""),
    ("cache_name", STRING, "\"web\""),
    ("wait", STRING, "\"1s\""),
    ("interval", STRING, "\"10s\""),
    ("fields", "a list of strings", "[\"p_cpu\", \"n_proc\"]"),
    ("memory", STRING, "\"auto\""),
    ("format", STRING, "\"influx\""),
    ("sort", STRING, "\"cpu\""),
    ("output", STRING, "\"/var/lib/psstat.prom\""),
    ("proc", STRING, "\"/host/proc\""),
    ("sys", STRING, "\"/host/sys\""),
    ("timeout", STRING, "\"10s\""),
    ("multi_threaded", BOOLEAN, "true"),
    ("no_sandbox", BOOLEAN, "true"),
    ("exit_records", BOOLEAN, "true"),
    ("name", STRING, "\"web\""),
    ("pid", "a number or a list of numbers", "1"),
    ("pid_file", STRINGS, "\"/run/nginx.pid\""),
    ("pid_files", STRINGS, "[\"/run/a.pid\", \"/run/b.pid\"]"),
    ("systemd", STRINGS, "\"nginx\""),
    ("cgroup", STRINGS, "\"user.slice/*\""),
    ("cgroup_regex", STRINGS, "\"docker-(?P<id>[0-9a-f]{12})\""),
    ("pattern", STRINGS, "\"^nginx$\""),
    ("cmdline", STRINGS, "\"--port 80\""),
    ("exe", STRINGS, "\"*/nginx\""),
    ("exe_regex", STRINGS, "\"/nginx$\""),
    ("user", "a name, a number, or a list of them", "\"www-data\""),
    ("children", BOOLEAN, "false"),
    ("exclusive", BOOLEAN, "true"),
    ("rest", STRING, "\"other\""),
    ("max_groups", NUMBER, "1000"),
    ("overflow", STRING, "\"other\""),
];

const STRING: &str = "a string";
const STRINGS: &str = "a string or a list of strings";
const NUMBER: &str = "a number";
const BOOLEAN: &str = "true or false";

/// A word that is at least this similar may be the one that was meant.
const SIMILARITY: f64 = 0.8;

/// A table that a key is in.
#[derive(Clone, Copy)]
enum Place {
    Top,
    Group,
    Tags,
}

/// A key and its value.
struct Entry<'a> {
    place: Place,
    key: &'a str,
    key_span: Range<usize>,
    value: &'a Spanned<DeValue<'a>>,
}

/// What is wrong at `span` of the text, and the span of the key that it is about.
pub fn problem_at(
    span: &Range<usize>,
    table: &DeTable<'_>,
    text: &str,
) -> Option<(Range<usize>, Problem)> {
    let mut entries = Vec::new();
    collect(Place::Top, table, &mut entries);
    // An implicit table, as in `[key.other]`, has the span of its key.
    let is_unknown = |entry: &&Entry<'_>| entry.key_span == *span && !entry.is_known();
    if let Some(entry) = entries.iter().find(is_unknown) {
        return Some((span.clone(), entry.unknown_key()));
    }
    let contains = |entry: &&Entry<'_>| {
        let value = entry.value.span();
        value.start <= span.start && span.end <= value.end
    };
    // The innermost value is the shortest.
    let entry = entries.iter().filter(contains).min_by_key(|entry| entry.value.span().len())?;
    Some((entry.key_span.clone(), entry.wrong_value(span, text)))
}

/// The options of the file, which belong to the file that includes it.
pub fn options(table: &DeTable<'_>) -> Vec<(&'static str, Range<usize>)> {
    let is_option = |key: &&'static str| *key != "group";
    keys_among(table, is_option)
}

/// The keys of a `[tags]` table that are names of options: they have slipped below its header. What stands
/// between braces, or behind a dot, cannot slip, so it is meant as a tag.
pub fn options_among_tags(table: &DeTable<'_>, text: &str) -> Vec<(&'static str, Range<usize>)> {
    // psstat writes the tag `host` itself, so an option of that name does the same.
    let is_option = |key: &&'static str| !matches!(*key, "host" | "tags" | "group");
    let is_behind_dot = |span: &Range<usize>| {
        text.get(..span.start)
            .is_some_and(|before| before.trim_end_matches([' ', '\t']).ends_with('.'))
    };
    let of_table = |table: &DeTable<'_>| {
        let tags = table.get("tags").filter(|tags| !text[tags.span().start..].starts_with('{'));
        let tags = tags.and_then(|tags| tags.get_ref().as_table());
        let found = tags.map_or_else(Vec::new, |tags| keys_among(tags, is_option));
        found.into_iter().filter(|(_, span)| !is_behind_dot(span)).collect::<Vec<_>>()
    };
    let mut found = of_table(table);
    let groups = table.get("group").and_then(|groups| groups.get_ref().as_array());
    let groups = groups.into_iter().flat_map(|groups| groups.iter());
    found.extend(groups.filter_map(|group| group.get_ref().as_table()).flat_map(of_table));
    found
}

/// The keys of a table that are keys of the file.
fn keys_among(
    table: &DeTable<'_>,
    is_wanted: impl Fn(&&'static str) -> bool,
) -> Vec<(&'static str, Range<usize>)> {
    let known = keys::<File>().iter().copied().filter(is_wanted);
    let found = known.filter_map(|name| Some((name, table.get_key_value(name)?.0.span())));
    found.collect()
}

/// Removes the keys with these spans.
pub fn remove(keys: &[Range<usize>], table: &mut DeTable<'_>) {
    let here: Vec<_> = table.keys().filter(|key| keys.contains(&key.span())).cloned().collect();
    for key in here {
        table.remove(&key);
    }
    for (_, value) in table.iter_mut() {
        match value.get_mut() {
            DeValue::Table(table) => remove(keys, table),
            DeValue::Array(values) => {
                for value in values.iter_mut() {
                    if let DeValue::Table(table) = value.get_mut() {
                        remove(keys, table);
                    }
                }
            }
            _ => {}
        }
    }
}

/// The value at `span`: this one, or one in its list.
fn innermost<'a>(value: &'a Spanned<DeValue<'a>>, span: &Range<usize>) -> &'a Spanned<DeValue<'a>> {
    let is_there = |value: &&Spanned<DeValue<'a>>| {
        let place = value.span();
        place.start <= span.start && span.end <= place.end
    };
    let values = value.get_ref().as_array().into_iter().flat_map(|values| values.iter());
    values.into_iter().find(is_there).unwrap_or(value)
}

fn collect<'a>(place: Place, table: &'a DeTable<'a>, entries: &mut Vec<Entry<'a>>) {
    for (key, value) in table {
        let name: &str = key.get_ref();
        entries.push(Entry { place, key: name, key_span: key.span(), value });
        match (place, name, value.get_ref()) {
            (Place::Top | Place::Group, "tags", DeValue::Table(tags)) => {
                collect(Place::Tags, tags, entries);
            }
            (Place::Top, "group", DeValue::Array(groups)) => {
                for group in groups.iter().filter_map(|group| group.get_ref().as_table()) {
                    collect(Place::Group, group, entries);
                }
            }
            _ => {}
        }
    }
}

impl Entry<'_> {
    fn is_known(&self) -> bool {
        match self.place {
            Place::Top => keys::<File>().contains(&self.key),
            Place::Group => keys::<Group>().contains(&self.key),
            // Any key may be that of a tag.
            Place::Tags => true,
        }
    }

    fn unknown_key(&self) -> Problem {
        let (known, others, place) = match self.place {
            Place::Top => (keys::<File>(), keys::<Group>(), "at the top of the file"),
            Place::Group | Place::Tags => (keys::<Group>(), keys::<File>(), "in a [[group]]"),
        };
        if let Some(other) = others.iter().find(|other| **other == self.key) {
            return match self.place {
                Place::Top => Problem::BelongsInGroup(other),
                Place::Group | Place::Tags => Problem::BelongsAtTop(other),
            };
        }
        let similarity = |word: &&&str| strsim::jaro_winkler(self.key, word);
        let nearest = known.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
        Problem::UnknownKey {
            key: excerpt(self.key).into_owned(),
            place,
            suggestion: nearest.filter(|word| similarity(word) > SIMILARITY).copied(),
            known,
        }
    }

    /// `span` is that of the value, or of what is wrong in it.
    fn wrong_value(&self, span: &Range<usize>, text: &str) -> Problem {
        let found = innermost(self.value, span);
        let (found, place) = (found.get_ref().type_str(), found.span());
        let type_error = |expected, example| Problem::Type {
            key: excerpt(self.key).into_owned(),
            expected,
            example,
            found,
        };
        match (self.place, self.key) {
            (Place::Tags, _) => type_error(STRING, "\"production\""),
            (Place::Top, "group") => Problem::GroupBrackets,
            (_, "tags") => Problem::TagsNotTable,
            // The number is larger than any integer of Rust that serde knows.
            (Place::Group, "pid") if found == "integer" => Problem::Value {
                key: "pid",
                value: excerpt(&text[place]).into_owned(),
                reason: ValueError::NotAPid,
            },
            (Place::Group, "user") if found == "integer" => Problem::Value {
                key: "user",
                value: excerpt(&text[place]).into_owned(),
                reason: ValueError::NotAUid,
            },
            (_, key) => match EXAMPLES.iter().find(|(known, ..)| *known == key) {
                Some((_, expected, example)) => type_error(expected, example),
                None => self.unknown_key(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_an_example() {
        for key in [keys::<File>(), keys::<Group>()].concat() {
            let is_table = matches!(key, "tags" | "group");
            let rows = EXAMPLES.iter().filter(|(known, ..)| *known == key).count();
            assert_eq!(rows, usize::from(!is_table), "{key}");
        }
        assert!(keys::<File>().len() > 10 && keys::<Group>().len() > 10);
    }
}
