//! A strict parser of Prometheus' text format. It follows the specification, not the code of psstat, so
//! that it can find faults of that code.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// One sample of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Sample {
    /// By name, then by labels. No two samples of a page have the same name and labels.
    pub fn order(one: &Sample, other: &Sample) -> Ordering {
        (&one.name, &one.labels).cmp(&(&other.name, &other.labels))
    }
}

/// The samples of a page, sorted.
///
/// # Panics
/// If the page is malformed, has a timestamp, has a series twice, or has a sample before HELP and TYPE
/// of its metric.
pub fn read(page: &str) -> Vec<Sample> {
    let mut described = BTreeSet::new();
    let mut samples = Vec::new();
    assert!(page.is_empty() || page.ends_with('\n'), "the last line is cut: {page:?}");
    for line in page.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (kind, name, rest) = (words.next(), words.next().unwrap(), words.next().unwrap());
            match kind {
                Some("HELP") => assert!(!rest.is_empty() && !rest.contains('\\'), "{line}"),
                Some("TYPE") => {
                    assert!(matches!(rest, "gauge" | "counter"), "{line}");
                    assert!(described.insert(name), "{name} is described twice");
                }
                _ => panic!("neither HELP nor TYPE: {line}"),
            }
            continue;
        }
        let sample = sample(line).unwrap_or_else(|| panic!("not accepted: {line:?}"));
        assert_eq!(described.iter().find(|name| **name == sample.name), Some(&&*sample.name));
        samples.push(sample);
    }
    samples.sort_by(Sample::order);
    let twice = samples.windows(2).find(|two| Sample::order(&two[0], &two[1]).is_eq());
    assert_eq!(twice, None, "a series twice");
    samples
}

fn sample(line: &str) -> Option<Sample> {
    let mut labels = BTreeMap::new();
    let Some((name, mut rest)) = line.split_once('{') else {
        let (name, value) = line.split_once(' ')?;
        let value = value.parse::<f64>().ok().filter(|value| value.is_finite())?;
        return Some(Sample { name: name.to_owned(), labels, value });
    };
    loop {
        let (key, behind) = rest.split_once("=\"")?;
        let (value, behind) = quoted(behind)?;
        let fit = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let good = key.chars().all(fit) && !key.starts_with(|c: char| c.is_ascii_digit());
        let first = labels.insert(key.to_owned(), value).is_none();
        if key.is_empty() || !good || !first {
            return None;
        }
        rest = behind;
        match rest.strip_prefix(',') {
            Some(behind) => rest = behind,
            None => break,
        }
    }
    let value = rest.strip_prefix("} ")?.parse::<f64>().ok()?;
    value.is_finite().then(|| Sample { name: name.to_owned(), labels, value })
}

/// The text up to the closing quote, unescaped, and the rest after the quote.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut plain = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Some((plain, &text[index + 1..])),
            '\\' => plain.push(match characters.next()?.1 {
                'n' => '\n',
                escaped @ ('\\' | '"') => escaped,
                _ => return None,
            }),
            other => plain.push(other),
        }
    }
    None
}
