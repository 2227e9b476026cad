//! Links and tables of the documents.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use crate::support::REPOSITORY;
use regex::bytes::Regex;
use std::fs;
use std::path::{Path, PathBuf};

/// All pages: README, CHANGELOG and others beside them, and those below `docs` and `tests`, each
/// with its text.
fn documents() -> Vec<(PathBuf, String)> {
    let package = Path::new(REPOSITORY);
    let mut paths = Vec::new();
    for directory in ["", "docs", "crates/psstat/tests/systemd"] {
        for entry in fs::read_dir(package.join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    assert!(paths.len() > 8, "{paths:?}");
    let document = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path, without_blocks(&text))
    };
    paths.into_iter().map(document).collect()
}

/// Leaves out fenced blocks: what looks like a heading or a link there is none.
fn without_blocks(text: &str) -> String {
    let mut inside = false;
    let mut prose = String::new();
    for line in text.lines() {
        let fence = line.trim_start().starts_with("```");
        if !fence && !inside {
            prose.push_str(line);
        }
        inside ^= fence;
        prose.push('\n');
    }
    assert!(!inside, "a block has no end");
    prose
}

/// The name by which a link finds a heading, as web front ends of git make it: lower case, spaces to
/// hyphens, other punctuation left out.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|char| match char {
        ' ' => Some('-'),
        '-' | '_' => Some(char),
        _ => char.is_alphanumeric().then(|| char.to_ascii_lowercase()),
    });
    kept.collect()
}

fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#'))).collect()
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut followed = 0;
    for (path, text) in documents() {
        // A link may be broken over two lines.
        let text_of_links = text.replace('\n', " ");
        for found in link.captures_iter(text_of_links.as_bytes()) {
            let target = std::str::from_utf8(found.get(1).unwrap().as_bytes()).unwrap();
            if target.contains("://") {
                continue;
            }
            let (file, name) = target.split_once('#').unwrap_or((target, ""));
            let file =
                if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(file.exists(), "{}: nothing is at {target}", path.display());
            if !name.is_empty() {
                let known = anchors(&without_blocks(&fs::read_to_string(&file).unwrap()));
                let path = path.display();
                assert!(known.iter().any(|anchor| anchor == name), "{path}: {target} of {known:?}");
            }
            followed += 1;
        }
    }
    assert!(followed > 15, "{followed} links were found");
}

#[test]
fn every_row_of_a_table_has_as_many_cells_as_its_head() {
    for (path, text) in documents() {
        let mut cells_of_head = None;
        for (at, line) in text.lines().enumerate() {
            let row = line.trim();
            if !row.starts_with('|') {
                cells_of_head = None;
                continue;
            }
            let cells = row.replace("\\|", "").matches('|').count();
            let expected = *cells_of_head.get_or_insert(cells);
            let path = path.display();
            assert_eq!(cells, expected, "{path}:{}: {row}", at + 1);
            assert!(row.ends_with('|'), "{path}:{}: {row}", at + 1);
        }
    }
}
