//! The unit files of systemd: whether there is one of a name, and which unit an alias means.

use crate::host;
use crate::sys::retry;
use psstat_core::kernel::UnitFile;
use psstat_core::select::systemd::{self, Template};
use rustix::fs::{Access, AtFlags, CWD};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where systemd looks for unit files, the most important first (systemd.unit(5)). Directories that hold
/// only additions to other files are left out.
const DIRECTORIES: [Directory; 11] = [
    Directory::Run("systemd/transient"),
    Directory::Run("systemd/generator.early"),
    Directory::Etc("systemd/system"),
    Directory::Etc("systemd/system.attached"),
    Directory::Run("systemd/system"),
    Directory::Run("systemd/system.attached"),
    Directory::Run("systemd/generator"),
    Directory::Usr("local/lib/systemd/system"),
    Directory::Usr("lib/systemd/system"),
    // Where `/lib` is not a link to `/usr/lib`.
    Directory::Lib("systemd/system"),
    Directory::Run("systemd/generator.late"),
];

#[derive(Clone, Copy)]
enum Directory {
    Run(&'static str),
    Etc(&'static str),
    Usr(&'static str),
    Lib(&'static str),
}

/// An alias can be one of an alias. More than a few are a circle.
const MOST_ALIASES: usize = 8;

/// The directories of one machine.
#[derive(Debug)]
pub struct UnitFiles {
    root: PathBuf,
    etc: PathBuf,
    run: PathBuf,
}

impl UnitFiles {
    /// The directories of the machine whose sysfs is mounted at `sys`: below the directory above, or where
    /// `HOST_ROOT`, `HOST_ETC` and `HOST_RUN` say. `None` if the systemd of that machine does not run, or its
    /// directories cannot be seen (sd_booted(3)).
    pub fn of_machine(sys: &Path) -> Option<UnitFiles> {
        let above = || sys.parent().filter(|_| sys.ends_with("sys")).map(Path::to_owned);
        let root = host::directory("HOST_ROOT").or_else(above)?;
        let below = |variable, name| host::directory(variable).unwrap_or_else(|| root.join(name));
        let (etc, run) = (below("HOST_ETC", "etc"), below("HOST_RUN", "run"));
        let files = UnitFiles { etc, run, root };
        let is_there = |directory| exists(&files.path(directory));
        let its_own = [Directory::Usr("lib/systemd/system"), Directory::Lib("systemd/system")];
        (is_there(Directory::Run("systemd/system")) && its_own.into_iter().any(is_there))
            .then_some(files)
    }

    fn path(&self, directory: Directory) -> PathBuf {
        match directory {
            Directory::Run(below) => self.run.join(below),
            Directory::Etc(below) => self.etc.join(below),
            Directory::Usr(below) => self.root.join("usr").join(below),
            Directory::Lib(below) => self.root.join("lib").join(below),
        }
    }

    /// What is known about the file of the unit `id`.
    pub fn find(&self, id: &str) -> UnitFile {
        let mut meant = id.to_owned();
        for _ in 0..MOST_ALIASES {
            match self.find_one(&meant) {
                UnitFile::Alias(of) => meant = of,
                // What an alias leads to need not be there: it is the name of the unit all the same.
                _ if meant != id => return UnitFile::Alias(meant),
                found => return found,
            }
        }
        UnitFile::Unknown
    }

    /// What the file says, if it is one, without following further aliases.
    fn find_one(&self, id: &str) -> UnitFile {
        if id.contains('/') {
            return UnitFile::Unknown;
        }
        let template = Template::of(id);
        let names = [Some(id.to_owned()), template.as_ref().map(Template::file_name)];
        for name in names.into_iter().flatten() {
            for directory in DIRECTORIES {
                let path = self.path(directory).join(&name);
                match retry(|| rustix::fs::readlinkat(CWD, &path, Vec::new())) {
                    Ok(target) => {
                        let target = Path::new(OsStr::from_bytes(target.as_bytes()));
                        return meaning(id, &name, template.as_ref(), target);
                    }
                    // It is a file and not a link.
                    Err(Errno::INVAL) => return UnitFile::Exists,
                    Err(Errno::NOENT | Errno::NOTDIR) => {}
                    Err(_) => return UnitFile::Unknown,
                }
            }
        }
        UnitFile::Missing
    }
}

/// What a link named `name`, which was found for the unit `id`, says if it leads to `target`.
fn meaning(id: &str, name: &str, template: Option<&Template<'_>>, target: &Path) -> UnitFile {
    // A link to a file of the same name elsewhere, or a masked unit, is no alias.
    let file = target.file_name().and_then(OsStr::to_str).filter(|&file| file != name);
    match file.filter(|file| systemd::type_of(file) == systemd::type_of(id)) {
        None => UnitFile::Exists,
        Some(file) => {
            let instance = template.and_then(|template| template.instance_of(file));
            UnitFile::Alias(instance.unwrap_or_else(|| file.to_owned()))
        }
    }
}

fn exists(path: &Path) -> bool {
    retry(|| rustix::fs::accessat(CWD, path, Access::EXISTS, AtFlags::empty())).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn machine() -> (tempfile::TempDir, UnitFiles) {
        let root = tempfile::tempdir().unwrap();
        for directory in ["etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system"] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        let files = UnitFiles::of_machine(&root.path().join("sys")).unwrap();
        (root, files)
    }

    #[test]
    fn without_a_running_systemd_nothing_is_known() {
        let (root, _) = machine();
        let sys = root.path().join("sys");
        assert!(UnitFiles::of_machine(&root.path().join("other")).is_none());
        fs::remove_dir(root.path().join("run/systemd/system")).unwrap();
        assert!(UnitFiles::of_machine(&sys).is_none());
        fs::create_dir(root.path().join("run/systemd/system")).unwrap();
        assert!(UnitFiles::of_machine(&sys).is_some());
        fs::remove_dir(root.path().join("usr/lib/systemd/system")).unwrap();
        assert!(UnitFiles::of_machine(&sys).is_none());
    }

    #[test]
    fn a_unit_has_a_file_an_alias_or_nothing() {
        let (root, files) = machine();
        let (etc, lib) = ("etc/systemd/system", "usr/lib/systemd/system");
        let file = |directory: &str, name: &str| {
            fs::write(root.path().join(directory).join(name), "").unwrap();
        };
        let link = |name: &str, target: &str| {
            symlink(target, root.path().join(etc).join(name)).unwrap();
        };
        file(lib, "mariadb.service");
        file(lib, "postgresql@.service");
        link("mysql.service", "/usr/lib/systemd/system/mariadb.service");
        link("sql.service", "mysql.service");
        link("linked.service", "/opt/x/linked.service");
        link("masked.service", "/dev/null");
        link("pg@.service", "/usr/lib/systemd/system/postgresql@.service");
        link("main@a.service", "/usr/lib/systemd/system/postgresql@.service");
        link("pg.service", "postgresql@15-main.service");
        link("circle.service", "circle2.service");
        link("circle2.service", "circle.service");
        let alias = |id: &str| UnitFile::Alias(id.to_owned());
        for (id, expected) in [
            ("mariadb.service", UnitFile::Exists),
            ("mysql.service", alias("mariadb.service")),
            ("sql.service", alias("mariadb.service")),
            ("linked.service", UnitFile::Exists),
            ("masked.service", UnitFile::Exists),
            ("postgresql@15-main.service", UnitFile::Exists),
            ("pg@15-main.service", alias("postgresql@15-main.service")),
            ("main@a.service", alias("postgresql@a.service")),
            ("pg.service", alias("postgresql@15-main.service")),
            ("circle.service", UnitFile::Unknown),
            ("ngnix.service", UnitFile::Missing),
            ("../mariadb.service", UnitFile::Unknown),
        ] {
            assert_eq!(files.find(id), expected, "{id}");
        }
    }
}
