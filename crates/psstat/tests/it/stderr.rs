//! Checks the form of lines on standard error: Telegraf's prefix, one line, at most 512 bytes. They
//! check what a line names, not its wording.

/// Telegraf shows no more of a line, line feed included.
const LIMIT: usize = 512;

/// Checks that `text` is one line with this prefix that contains each of `names`.
#[track_caller]
pub fn assert_line(text: &str, prefix: &str, names: &[&str]) {
    assert_eq!(text.matches('\n').count(), 1, "not one line: {text:?}");
    assert!(text.ends_with('\n'), "not a whole line: {text:?}");
    assert!(text.len() <= LIMIT, "{} bytes: {text:?}", text.len());
    assert!(text.starts_with(prefix), "{prefix:?} is not in front of {text:?}");
    for name in names {
        assert!(text.contains(name), "{name:?} is not in {text:?}");
    }
}

/// Checks that `text` is one warning that contains each of `names`.
#[track_caller]
pub fn assert_warning(text: &str, names: &[&str]) {
    assert_line(text, "W! ", names);
}

/// Checks that `text` is one warning per list, in this order, that contains each of its names.
#[track_caller]
pub fn assert_warnings(text: &str, warnings: &[&[&str]]) {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    assert_eq!(lines.len(), warnings.len(), "{text}");
    for (line, names) in lines.iter().zip(warnings) {
        assert_warning(line, names);
    }
}

/// The first line.
pub fn first_line(text: &str) -> &str {
    text.split_inclusive('\n').next().unwrap_or_default()
}
