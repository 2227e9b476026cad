//! Files whose paths match a glob.
//!
//! `*`, `?` and brackets match within one component of a path, and not a dot at its beginning, as in a shell.
//! Classes such as `[:alpha:]` mean nothing. A file whose path is the glob itself is that file.

use super::of_kernel::is_of_kernel;
use crate::sys::retry;
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, StatxFlags, statx};
use rustix::io::Errno;

/// At most so many directories are read, and so many files are found.
const MOST: usize = 4096;

/// At most so many entries of directories are looked at.
const MOST_ENTRIES: usize = 1 << 18;

/// Why the files cannot be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GlobError {
    /// There are too many.
    TooMany,
    /// A directory is one of procfs, sysfs or another file system in which the kernel shows itself.
    OfKernel,
    /// A directory cannot be read.
    Failed(Errno),
}

/// Whether a path has characters that make it a glob.
pub fn is_glob(path: &[u8]) -> bool {
    path.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

/// The paths that match now, sorted. There may be none. If a file has the glob itself as its path, that is
/// the only one.
///
/// # Errors
/// [`GlobError`] if a directory cannot be read, or there are too many of them or of the files.
pub fn find(glob: &[u8]) -> Result<Vec<Vec<u8>>, GlobError> {
    if !is_glob(glob) || exists(glob) {
        return Ok(vec![glob.to_vec()]);
    }
    let mut search = Search { directories: 0, entries: 0 };
    let mut found: Vec<Vec<u8>> = vec![Vec::new()];
    for component in glob.split_inclusive(|&byte| byte == b'/') {
        let (pattern, slashes) = match component.strip_suffix(b"/") {
            Some(pattern) => (pattern, &b"/"[..]),
            None => (component, &b""[..]),
        };
        if !is_glob(pattern) {
            found.iter_mut().for_each(|path| path.extend_from_slice(component));
            continue;
        }
        let is_literal = search.directories == 0;
        let mut below = Vec::new();
        for directory in found {
            for name in search.matches(&directory, pattern, is_literal)? {
                below.push([&directory[..], &name, slashes].concat());
            }
            if below.len() > MOST {
                return Err(GlobError::TooMany);
            }
        }
        found = below;
    }
    // A name after the last glob may not be there.
    found.retain(|path| exists(path));
    found.sort_unstable();
    Ok(found)
}

/// Whether there is something at a path. What cannot be found out may be there.
fn exists(path: &[u8]) -> bool {
    let look = || statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE);
    !matches!(retry(look), Err(Errno::NOENT | Errno::NOTDIR))
}

struct Search {
    directories: usize,
    entries: usize,
}

impl Search {
    /// The names in a directory that match. None if there is no such directory. `is_literal` says that its
    /// path was given as it is.
    fn matches(
        &mut self,
        directory: &[u8],
        pattern: &[u8],
        is_literal: bool,
    ) -> Result<Vec<Vec<u8>>, GlobError> {
        self.directories += 1;
        if self.directories > MOST {
            return Err(GlobError::TooMany);
        }
        let path = if directory.is_empty() { b"." } else { directory };
        // As for a file: procfs is not entered, whatever leads there.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let seen = match retry(|| rustix::fs::open(path, flags, Mode::empty())) {
            Ok(seen) => seen,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Vec::new()),
            // A link that leads to itself.
            Err(Errno::LOOP) if !is_literal => return Ok(Vec::new()),
            Err(errno) => return Err(GlobError::Failed(errno)),
        };
        let file_system = retry(|| rustix::fs::fstatfs(&seen)).map_err(GlobError::Failed)?;
        if is_of_kernel(file_system.f_type) {
            return if is_literal { Err(GlobError::OfKernel) } else { Ok(Vec::new()) };
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = retry(|| rustix::fs::openat(&seen, ".", flags, Mode::empty()));
        let entries = Dir::new(opened.map_err(GlobError::Failed)?).map_err(GlobError::Failed)?;
        let mut names = Vec::new();
        for entry in entries {
            self.entries += 1;
            if self.entries > MOST_ENTRIES || names.len() > MOST {
                return Err(GlobError::TooMany);
            }
            let entry = entry.map_err(GlobError::Failed)?;
            let name = entry.file_name().to_bytes();
            let is_hidden = name.starts_with(b".") && !pattern.starts_with(b".");
            if !is_hidden && !matches!(name, b"." | b"..") && matches(pattern, name) {
                names.push(name.to_vec());
            }
        }
        Ok(names)
    }
}

/// Whether a glob matches a whole name: fnmatch(3) with `FNM_NOESCAPE`, for bytes. The time is bounded by the
/// product of the lengths.
pub fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut in_name) = (0, 0);
    // Where to go on if what follows the last `*` does not match: the `*` takes one byte more.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let step = match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at + 1, in_name));
                at += 1;
                continue;
            }
            None if in_name == name.len() => return true,
            None => None,
            Some(_) => name.get(in_name).and_then(|&byte| one(&pattern[at..], byte)),
        };
        match (step, &mut retry) {
            (Some(length), _) => {
                at += length;
                in_name += 1;
            }
            (None, Some((after, from))) if *from < name.len() => {
                *from += 1;
                (at, in_name) = (*after, *from);
            }
            (None, _) => return false,
        }
    }
}

/// How many bytes at the beginning of a pattern match one byte. `None` if they do not match it.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern.first()? {
        b'?' => Some(1),
        b'[' => match bracket(pattern, byte) {
            Some((length, is_in)) => is_in.then_some(length),
            // A bracket that is not closed matches itself.
            None => (byte == b'[').then_some(1),
        },
        &literal => (literal == byte).then_some(1),
    }
}

/// The length of a bracket expression, and whether a byte is in it. `None` if it is not closed.
fn bracket(pattern: &[u8], byte: u8) -> Option<(usize, bool)> {
    let mut index = 1;
    let is_negated = matches!(pattern.get(index), Some(b'!' | b'^'));
    if is_negated {
        index += 1;
    }
    let first = index;
    let mut is_in = false;
    loop {
        let start = *pattern.get(index)?;
        if start == b']' && index > first {
            return Some((index + 1, is_in != is_negated));
        }
        match (pattern.get(index + 1), pattern.get(index + 2)) {
            (Some(b'-'), Some(&end)) if end != b']' => {
                is_in |= (start..=end).contains(&byte);
                index += 3;
            }
            _ => {
                is_in |= start == byte;
                index += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    #[test]
    fn globs_match_names() {
        for (glob, name, expected) in [
            ("*", "", true),
            ("*", "a.pid", true),
            ("*.pid", "a.pid", true),
            ("*.pid", "a.pid.old", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-c-d", false),
            ("?.pid", "ab.pid", false),
            ("[ab]?", "bz", true),
            ("[!ab]?", "bz", false),
            ("[^a-c]", "d", true),
            ("[a-c]", "b", true),
            ("[]x]", "]", true),
            ("[a", "[a", true),
            ("[a-]", "-", true),
            ("\\*", "\\x", true),
            ("**a", "ba", true),
            ("abc", "ab", false),
        ] {
            assert_eq!(matches(glob.as_bytes(), name.as_bytes()), expected, "{glob} {name}");
        }
        assert!(matches(b"\xff*", b"\xff\xfe"), "names are bytes");
    }

    fn found(directory: &Path, glob: &str) -> Result<Vec<String>, GlobError> {
        let glob = directory.join(glob);
        let start = directory.as_os_str().len() + 1;
        let name = |path: Vec<u8>| String::from_utf8_lossy(&path[start..]).into_owned();
        Ok(find(glob.as_os_str().as_bytes())?.into_iter().map(name).collect())
    }

    #[test]
    fn files_are_found_in_directories() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        for name in
            ["php/b.pid", "php/a.pid", "php/.hidden.pid", "php/x.log", "ng/a.pid", "e/d/a.pid"]
        {
            let path = directory.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "1\n").unwrap();
        }
        let is = |glob: &str, expected: &[&str]| {
            assert_eq!(found(directory, glob).unwrap(), expected, "{glob}");
        };
        is("php/*.pid", &["php/a.pid", "php/b.pid"]);
        is("*/a.pid", &["ng/a.pid", "php/a.pid"]);
        is("*/[ab].pid", &["ng/a.pid", "php/a.pid", "php/b.pid"]);
        is("*/d/*", &["e/d/a.pid"]);
        is("php/.*.pid", &["php/.hidden.pid"]);
        is("none/*.pid", &[]);
        is("php/a.pid/*", &[]);
        is("*.pid", &[]);
        is("none.pid", &["none.pid"]);
        std::fs::write(directory.join("php/[ab].pid"), "1\n").unwrap();
        is("php/[ab].pid", &["php/[ab].pid"]);
        std::fs::remove_file(directory.join("php/[ab].pid")).unwrap();
        std::os::unix::fs::symlink("/proc/self", directory.join("link")).unwrap();
        std::os::unix::fs::symlink("loop", directory.join("loop")).unwrap();
        is("*/sta*", &[]);
        assert_eq!(found(directory, "link/sta*"), Err(GlobError::OfKernel));
        assert_eq!(find(b"/proc/*/stat"), Err(GlobError::OfKernel));
    }

    #[test]
    fn there_is_a_limit() {
        let directory = tempfile::tempdir().unwrap();
        for number in 0..=MOST {
            std::fs::write(directory.path().join(number.to_string()), "").unwrap();
        }
        assert_eq!(found(directory.path(), "*"), Err(GlobError::TooMany));
        std::fs::remove_file(directory.path().join("0")).unwrap();
        assert_eq!(found(directory.path(), "*").map(|found| found.len()), Ok(MOST));
    }

    proptest! {
        #[test]
        fn a_glob_matches_what_the_globs_of_selectors_match(
            glob in "[ab*?\\[\\]!^-]{0,8}",
            name in "[ab\\[\\]-]{0,8}",
        ) {
            use psstat_core::select::matcher::Matcher;
            // A range that goes backwards is refused there, and is empty here.
            if let Ok(matcher) = Matcher::of_globs([(0, &*glob)].into_iter()) {
                let expected = matcher.is_match(name.as_bytes());
                prop_assert_eq!(matches(glob.as_bytes(), name.as_bytes()), expected);
            }
        }
    }
}
