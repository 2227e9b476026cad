//! Which executable an exit record means. A record tells its device and inode, and not its path.
//!
//! psstat looks for the file where programs usually are: in the directories of `DIRECTORIES`, and in those
//! that the globs of `--exe` name. A file that is elsewhere is not found, nor one on a file system that shows
//! other numbers to stat(2) than to the kernel (btrfs, overlayfs).

use psstat_core::model::exit::FileId;
use psstat_core::plan::Plan;
use rustix::fs::{AtFlags, CWD, FileType, statat};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where programs usually are.
const DIRECTORIES: [&str; 8] = [
    "/usr/bin",
    "/usr/sbin",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/bin",
    "/sbin",
    "/usr/lib/postfix/sbin",
    "/usr/games",
];

/// How long what was found holds. A file that is not known is not looked for again before.
const FRESH: Duration = Duration::from_secs(60);

/// Executables, by what exit records tell of them.
#[derive(Debug, Default)]
pub struct Executables {
    directories: Vec<PathBuf>,
    found: BTreeMap<FileId, Vec<u8>>,
    searched: Option<Instant>,
}

impl Executables {
    /// Those that may matter to a plan.
    pub fn of(plan: &Plan) -> Executables {
        let patterns =
            plan.selectors.iter().filter_map(|selector| selector.conditions.exe.as_ref());
        let mut directories = BTreeSet::new();
        for pattern in patterns {
            directories.extend(DIRECTORIES.map(PathBuf::from));
            directories.extend(pattern.glob().and_then(directory_of));
        }
        Executables { directories: directories.into_iter().collect(), ..Executables::default() }
    }

    /// The path of a file, symbolic links resolved. `None` if it is not found.
    pub fn path_of(&mut self, file: FileId) -> Option<Vec<u8>> {
        let is_fresh = self.searched.is_some_and(|searched| searched.elapsed() < FRESH);
        if !is_fresh && !self.directories.is_empty() {
            self.found.clear();
            let directories = self.directories.iter().filter_map(|dir| dir.canonicalize().ok());
            let directories: BTreeSet<PathBuf> = directories.collect();
            directories.iter().for_each(|dir| self.search(dir));
            self.searched = Some(Instant::now());
        }
        self.found.get(&file).cloned()
    }

    fn search(&mut self, directory: &Path) {
        let Ok(entries) = std::fs::read_dir(directory) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let Ok(stat) = statat(CWD, &path, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let is_executable = stat.st_mode & 0o111 != 0;
            if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && is_executable {
                let id = FileId { device: stat.st_dev, inode: stat.st_ino };
                self.found.entry(id).or_insert_with(|| path.as_os_str().as_bytes().to_vec());
            }
        }
    }
}

/// The directory that a glob names, if it names one.
fn directory_of(glob: &str) -> Option<PathBuf> {
    let (directory, _) = glob.rsplit_once('/')?;
    let is_literal = !directory.contains(['*', '?', '[', '\\']);
    (is_literal && directory.starts_with('/')).then(|| PathBuf::from(directory))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    #[test]
    fn a_file_is_found_where_a_glob_names_its_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().canonicalize().expect("a path");
        let path = dir.join("tool");
        std::fs::write(&path, "").expect("written");
        let id = |path: &Path| {
            let metadata = path.metadata().expect("a file");
            FileId { device: metadata.dev(), inode: metadata.ino() }
        };
        let directory = directory_of(&format!("{}/to*", dir.display())).expect("a literal");
        let of = || Executables { directories: vec![directory.clone()], ..Executables::default() };
        assert_eq!(of().path_of(id(&path)), None, "it is not executable");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("a mode");
        assert_eq!(of().path_of(id(&path)), Some(path.as_os_str().as_bytes().to_vec()));
        assert_eq!(of().path_of(FileId { device: 0, inode: 1 }), None);
    }

    #[test]
    fn only_a_glob_with_a_plain_directory_names_one() {
        for glob in ["*/nginx", "/opt/*/bin/x", "nginx", "/opt/[ab]/x"] {
            assert_eq!(directory_of(glob), None, "{glob}");
        }
        assert_eq!(directory_of("/opt/app/bin/*"), Some(PathBuf::from("/opt/app/bin")));
    }
}
