//! Who may import what: reads the sources, comments and tests left out. And whether the documents
//! lead where they say.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use regex::bytes::Regex;
use std::fs;
use std::path::{Path, PathBuf};

/// These think, and touch neither files nor clocks.
const PURE: [&str; 15] = [
    "src/account/",
    "src/cache/codec.rs",
    "src/cli.rs",
    "src/config.rs",
    "src/emit/",
    "src/job.rs",
    "src/label.rs",
    "src/look.rs",
    "src/matcher.rs",
    "src/plan.rs",
    "src/select.rs",
    "src/selector.rs",
    "src/settings.rs",
    "src/unit.rs",
    "src/units.rs",
];

/// These wire input and output to thought.
const WIRING: [&str; 3] = ["src/run/", "src/main.rs", "src/lib.rs"];

/// One source file.
struct Source {
    /// Below the package.
    name: String,
    text: String,
    /// Without comments and without its tests.
    code: String,
}

impl Source {
    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.name.starts_with(place))
    }

    /// What a regex finds in the code.
    fn found(&self, regex: &str) -> Vec<String> {
        // Without Unicode, whose tables are left out of this build of the regexes.
        let regex = Regex::new(&format!("(?-u){regex}")).unwrap();
        let text =
            |found: regex::bytes::Match<'_>| String::from_utf8_lossy(found.as_bytes()).into();
        regex.find_iter(self.code.as_bytes()).map(text).collect()
    }

    fn assert_without(&self, regex: &str, why: &str) {
        let found = self.found(regex);
        assert!(found.is_empty(), "{} holds {found:?}: {why}", self.name);
    }
}

/// All sources below a folder of the package.
fn sources(folder: &str) -> Vec<Source> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![package.join(folder)];
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        // A folder that is not there yet has no sources.
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    let source = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(package).unwrap().to_str().unwrap().to_owned();
        let code = without_comments(text.split("\n#[cfg(test)]\nmod ").next().unwrap());
        Source { name, text, code }
    };
    files.into_iter().map(source).collect()
}

/// Leaves comments out. String literals are passed over, for `//` may stand in them.
fn without_comments(text: &str) -> String {
    let token = Regex::new(r#"(?s)(//[^\n]*)|b?"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.[^']*)'"#).unwrap();
    let code = token.replace_all(text.as_bytes(), |found: &regex::bytes::Captures<'_>| {
        if found.get(1).is_some() { Vec::new() } else { found[0].to_vec() }
    });
    String::from_utf8(code.into_owned()).unwrap()
}

#[test]
fn all_modules_are_seen() {
    let sources = sources("src");
    for place in PURE.iter().chain(&WIRING).chain(&["src/procfs/", "src/cache/store.rs"]) {
        assert!(sources.iter().any(|source| source.is_in(&[place])), "{place} is gone");
    }
    let store = sources.iter().find(|source| source.name == "src/replace.rs").unwrap();
    assert!(!store.found("rustix::fs").is_empty(), "the rules below would find nothing");
    assert!(!store.code.contains("A file that is replaced"), "comments are left out");
}

#[test]
fn what_thinks_does_no_input_or_output() {
    let io = concat!(
        r"\b(std::(fs|io|net|process|env|thread)\b|std::os::fd|rustix\b|signal_hook\b",
        r"|Instant\b|SystemTime\b|e?print(ln)?!)"
    );
    for source in sources("src").iter().filter(|source| source.is_in(&PURE)) {
        source.assert_without(io, "it is to be handed what it needs");
        source.assert_without(
            r"\b(procfs|run|store)::",
            "it is to know neither files nor who wires them to it",
        );
    }
}

#[test]
fn only_procfs_names_what_is_below_proc_and_sys() {
    for source in sources("src") {
        if source.is_in(&["src/procfs/"]) {
            continue;
        }
        let why = "only procfs opens anything there";
        // The two defaults are where they are mounted, and nothing below.
        let paths =
            if source.name == "src/settings.rs" { r#""/(proc|sys)/"# } else { r#""/(proc|sys)\b"# };
        source.assert_without(paths, why);
        source.assert_without(
            r#""/?(stat|statm|status|comm|smaps_rollup|meminfo|self|loadavg|cpu\.stat)""#,
            why,
        );
    }
}

#[test]
fn only_the_wiring_joins_input_and_output_to_thought() {
    for source in sources("src").iter().filter(|source| !source.is_in(&WIRING)) {
        let does = |regex: &str| !source.found(regex).is_empty();
        let reads = does(r"\b(procfs|store|std::fs|rustix::fs)::");
        let thinks = does(r"\b(account::(ledger|group)|emit|cli|plan)::");
        assert!(!(reads && thinks), "{} does both", source.name);
        source.assert_without(r"crate::run\b", "nothing knows the wiring but main");
    }
}

#[test]
fn main_is_a_paragraph() {
    let sources = sources("src");
    let main = sources.iter().find(|source| source.name == "src/main.rs").unwrap();
    let lines = main.text.lines().count();
    assert!(lines < 60, "src/main.rs has {lines} lines: what it does belongs elsewhere");
}

#[test]
fn nothing_is_unsafe() {
    for folder in ["src", "tests", "benches", "examples", "fuzz"] {
        for source in sources(folder) {
            source.assert_without(
                r"\bunsafe\s*(\{|fn\b|impl\b|trait\b|extern\b)",
                "rustix covers it",
            );
        }
    }
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    assert!(fs::read_to_string(manifest).unwrap().contains("unsafe_code = \"forbid\""));
}

#[test]
fn modules_say_what_they_own() {
    for source in sources("src").iter().chain(&sources("tests")) {
        assert!(source.text.starts_with("//! "), "{} does not say what it owns", source.name);
    }
}

/// All pages: README, CHANGELOG and others beside them, and those below `docs` and `tests`, each
/// with its text.
fn documents() -> Vec<(PathBuf, String)> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for directory in ["", "docs", "tests/systemd"] {
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
