//! Makes only the system calls that any program needs that reads every process. Its cost is the
//! baseline that the benchmark compares psstat with.
//!
//! ```text
//! baseline [--repeat K|lines] [--statm PIDS] [--held PIDS]
//! ```
//!
//! Lists `/proc`, and opens, reads and closes one `stat` per process. PIDS is a file with one pid per
//! line. With `--statm`, the program also reads `statm` of each of these processes. With `--held`, it
//! reads only `stat` and `statm` of these processes, from files that it keeps open. `--repeat` repeats
//! the reading K times, or with `lines`, once for each line of standard input.
//!
//! Prints two numbers: how many processes it read (with `--held`, files), and the CPU time of one
//! repetition in nanoseconds. With `--repeat lines`, prints them after each repetition.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, RawDir, SeekFrom};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use std::error::Error;
use std::ffi::CStr;
use std::mem::MaybeUninit;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Room for the longest path, `4194304/statm`, and the byte zero after it.
const PATH: usize = 16;

/// Longer than any `stat` line, which has 52 fields of at most 20 digits, and a name.
const LINE: usize = 2048;

struct Options {
    /// `None`: once for each line of standard input.
    repeat: Option<u64>,
    statm: Vec<Path>,
    held: Option<Vec<Path>>,
}

fn main() -> Outcome<()> {
    let options = options()?;
    let proc = rustix::fs::open("/proc", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    let held = match &options.held {
        None => None,
        Some(paths) => Some(hold(proc.as_fd(), paths)?),
    };
    let read = || match &held {
        Some(files) => Ok(read_held(files)),
        None => scan(proc.as_fd(), &options.statm),
    };
    match options.repeat {
        Some(times) => measure(times, read)?,
        None => std::io::stdin().lines().try_for_each(|_| measure(1, read))?,
    }
    Ok(())
}

/// Reads so many times, and prints what was read and the CPU time of one repetition.
fn measure(times: u64, read: impl Fn() -> Outcome<usize>) -> Outcome<()> {
    let before = cpu_time();
    let mut seen = 0;
    for _ in 0..times {
        seen = read()?;
    }
    println!("{seen} {}", (cpu_time() - before) / times);
    Ok(())
}

fn options() -> Outcome<Options> {
    let mut options = Options { repeat: Some(1), statm: Vec::new(), held: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or("missing value after an option")?;
        match word.as_str() {
            "--repeat" if value == "lines" => options.repeat = None,
            "--repeat" => options.repeat = Some(value.parse::<u64>()?.max(1)),
            "--statm" => options.statm = paths(&value, b"/statm")?,
            "--held" => {
                let mut held = paths(&value, b"/stat")?;
                held.extend(paths(&value, b"/statm")?);
                options.held = Some(held);
            }
            _ => return Err(format!("unknown option {word}").into()),
        }
    }
    Ok(options)
}

fn paths(file: &str, name: &[u8]) -> Outcome<Vec<Path>> {
    Ok(std::fs::read(file)?
        .split(|&byte| byte == b'\n')
        .filter(|pid| !pid.is_empty() && pid.len() < 8)
        .map(|pid| Path::new(pid, name))
        .collect())
}

/// A path relative to `/proc`, followed by bytes of zero.
struct Path([u8; PATH]);

impl Path {
    fn new(pid: &[u8], name: &[u8]) -> Path {
        let mut path = [0; PATH];
        path[..pid.len()].copy_from_slice(pid);
        path[pid.len()..pid.len() + name.len()].copy_from_slice(name);
        Path(path)
    }
}

fn cpu_time() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

/// Reads `stat` of every process, and then these files. Returns the number of processes.
fn scan(proc: BorrowedFd<'_>, statm: &[Path]) -> Outcome<usize> {
    rustix::fs::seek(proc, SeekFrom::Start(0))?;
    let mut space = [MaybeUninit::uninit(); 32 * 1024];
    let mut entries = RawDir::new(proc, &mut space);
    let mut seen = 0;
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name[0].is_ascii_digit() {
            read_once(proc, &Path::new(name, b"/stat"))?;
            seen += 1;
        }
    }
    for path in statm {
        read_once(proc, path)?;
    }
    Ok(seen)
}

/// Opens, reads and closes a file. Ignores a process that has ended in the meantime.
fn read_once(proc: BorrowedFd<'_>, path: &Path) -> Result<(), Errno> {
    match open(proc, path) {
        Ok(file) => match rustix::io::read(&file, &mut [MaybeUninit::uninit(); LINE]) {
            Ok(_) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno),
        },
        Err(Errno::NOENT | Errno::SRCH) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn open(proc: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    let path = CStr::from_bytes_until_nul(&path.0).map_err(|_| Errno::NAMETOOLONG)?;
    rustix::fs::openat(proc, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

fn hold(proc: BorrowedFd<'_>, paths: &[Path]) -> Result<Vec<OwnedFd>, Errno> {
    paths.iter().map(|path| open(proc, path)).collect()
}

fn read_held(files: &[OwnedFd]) -> usize {
    let mut space = [MaybeUninit::uninit(); LINE];
    files.iter().filter(|file| rustix::io::pread(file, &mut space, 0).is_ok()).count()
}
