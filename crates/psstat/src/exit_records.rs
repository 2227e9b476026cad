//! Exit records: the kernel's interface taskstats, over generic netlink
//! ([`parse`](psstat_core::parse::taskstats)).
//!
//! The kernel sends a record to whoever has asked for it, from the process that ends, before that process can
//! be missed. Until it is received it lies in the buffer of a socket. So a thread receives records and keeps
//! them in a form that takes less space, and each sample receives what has come since. If the buffer is full,
//! the kernel drops records, and says so.

use crate::clock;
use crate::error::{Error, ExitRecordsError};
use crate::job::{Job, Mounts};
use crate::privilege::{self, PrivilegeError};
use crate::procfs::Procfs;
use crate::sys::{PAUSE, retry};
use nix::time::ClockId;
use psstat_core::model::exit::{Exit, Exits};
use psstat_core::model::units::{BootNanos, Pid};
use psstat_core::parse::taskstats::{self as messages, Message, Record};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::netlink::{GENERIC, SocketAddrNetlink};
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The size of the socket's buffer in bytes. A record takes about 1,300 there.
const BUFFER: usize = 8 << 20;

/// How often records are received while they keep coming. This is how much later than it did a process may
/// seem to have started.
const PACE: Duration = Duration::from_millis(10);

/// How many records are kept at most until a sample takes them.
const MOST_KEPT: usize = 1 << 18;

/// The largest message that the kernel sends.
const LARGEST: usize = 16 << 10;

/// How long to wait for an answer of the kernel, in seconds.
const PATIENCE: i64 = 2;

/// Exit records, as the kernel sends them.
#[derive(Clone, Debug)]
pub struct ExitRecords(Arc<Receiver>);

#[derive(Debug)]
struct Receiver {
    socket: OwnedFd,
    family: u16,
    /// Whether the kernel tells the runtime of tasks.
    has_runtime: bool,
    received: Mutex<Received>,
    is_collecting: AtomicBool,
}

#[derive(Debug, Default)]
struct Received {
    /// The records that no sample has taken into account yet.
    list: VecDeque<Exit>,
    /// The number of the first of them.
    first: u64,
    /// How often records were lost so far.
    losses: u64,
    buffer: Vec<u8>,
}

impl ExitRecords {
    /// Asks the kernel for them, if the job wants that. Gives up the right to ask in any case. Call this before
    /// there are threads.
    ///
    /// # Errors
    /// [`ExitRecordsError`] if the kernel gives none.
    pub fn of(job: &Job) -> Result<Option<ExitRecords>, Error> {
        if !job.exit_records {
            privilege::give_up_asking_for_exits().map_err(PrivilegeError::from)?;
            return Ok(None);
        }
        let asked = privilege::ask_for_exits(|| ExitRecords::ask(&job.mounts));
        Ok(Some(asked.map_err(PrivilegeError::from)??))
    }

    fn ask(mounts: &Mounts) -> Result<ExitRecords, ExitRecordsError> {
        let shows_own = Procfs::open(&mounts.proc).is_ok_and(|proc| proc.shows_own_pid_namespace());
        let flags = SocketFlags::CLOEXEC;
        let kind = SocketType::RAW;
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, kind, flags, Some(GENERIC))?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        // The first needs the same right as the records. Without either, the buffer is small, and records are
        // lost sooner.
        let _ = set_socket_recv_buffer_size_force(&socket, BUFFER)
            .or_else(|_| set_socket_recv_buffer_size(&socket, BUFFER));
        let mut buffer = vec![0; LARGEST];
        let family = request(&socket, &messages::request_family(), None, &mut buffer, |message| {
            if let Message::Family(family) = message { Some(family) } else { None }
        });
        let family = match family {
            Ok(family) => family.ok_or(ExitRecordsError::Missing)?,
            Err(Errno::NOENT) => return Err(ExitRecordsError::Missing),
            Err(error) => return Err(error.into()),
        };
        let own = messages::request_process(family, Pid::new(std::process::id()));
        let has_runtime = request(&socket, &own, Some(family), &mut buffer, |message| {
            let Message::Record(payload) = message else { return None };
            Some(Record::parse(payload).map(|record| record.runtime > 0))
        });
        let has_runtime = match has_runtime {
            Ok(Some(parsed)) => parsed.ok_or(ExitRecordsError::OtherForm)?,
            Ok(None) => return Err(ExitRecordsError::OtherForm),
            Err(Errno::PERM) if privilege::file_may_ask_for_exits() => {
                return Err(ExitRecordsError::WithoutEffect);
            }
            Err(Errno::PERM) => return Err(ExitRecordsError::NotPermitted),
            Err(error) => return Err(error.into()),
        };
        let processors = processors(&mounts.sys);
        let exits = messages::request_exits(family, &processors);
        match request(&socket, &exits, Some(family), &mut buffer, |_| None::<()>) {
            Ok(_) => {}
            Err(Errno::INVAL) => return Err(ExitRecordsError::Contained),
            Err(error) => return Err(error.into()),
        }
        if !sends_records(&socket, family, &mut buffer) {
            return Err(ExitRecordsError::Missing);
        }
        if !shows_own {
            return Err(ExitRecordsError::OtherProcesses(mounts.proc.display().to_string()));
        }
        let received = Received { buffer, ..Received::default() };
        let is_collecting = AtomicBool::new(false);
        let received = Mutex::new(received);
        Ok(ExitRecords(Arc::new(Receiver { socket, family, has_runtime, received, is_collecting })))
    }

    /// Starts a thread that receives records, if none does. If no thread can be made, records are received in
    /// each sample, and this is tried again.
    pub fn collect(&self) {
        if self.0.is_collecting.swap(true, Ordering::Relaxed) {
            return;
        }
        let receiver = Arc::clone(&self.0);
        let thread = std::thread::Builder::new().name("exits".to_owned());
        if thread.spawn(move || receiver.collect()).is_err() {
            self.0.is_collecting.store(false, Ordering::Relaxed);
        }
    }

    /// The records from that number on. Those before it are not needed any more.
    pub fn from(&self, from: u64) -> Exits {
        let mut received = self.0.received();
        self.0.receive(&mut received);
        received.drop_before(from);
        let Received { list, first, losses, .. } = &*received;
        let next = first + list.len() as u64;
        Exits { list: list.iter().cloned().collect(), next, losses: *losses }
    }
}

impl Receiver {
    fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Receives records for ever.
    fn collect(&self) {
        loop {
            let is_ready = retry(|| poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], None));
            if is_ready.is_ok() {
                self.receive(&mut self.received());
            }
            std::thread::sleep(if is_ready.is_ok() { PACE } else { PAUSE });
        }
    }

    /// Receives all records that have come.
    fn receive(&self, received: &mut Received) {
        let mut buffer = std::mem::take(&mut received.buffer);
        loop {
            let receive = || rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT);
            match retry(receive) {
                Ok((0, _)) => break,
                Ok((length, _)) => self.add(&buffer[..length.min(LARGEST)], received),
                Err(Errno::NOBUFS) => received.losses += 1,
                Err(_) => break,
            }
        }
        received.buffer = buffer;
    }

    fn add(&self, datagram: &[u8], received: &mut Received) {
        let now = clock::now(ClockId::CLOCK_BOOTTIME);
        let now = BootNanos(u64::try_from(now).unwrap_or_default());
        for message in messages::messages(datagram, Some(self.family)) {
            let Message::Record(payload) = message else { continue };
            let exit = Record::parse(payload).and_then(|record| record.exit(now, self.has_runtime));
            let Some(exit) = exit else { continue };
            if received.list.len() >= MOST_KEPT {
                received.list.pop_front();
                received.first += 1;
                received.losses += 1;
            }
            received.list.push_back(exit);
        }
    }
}

impl Received {
    fn drop_before(&mut self, from: u64) {
        let count = usize::try_from(from.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let count = count.min(self.list.len());
        self.list.drain(..count);
        self.first += count as u64;
    }
}

/// Sends a request, and receives messages until the answer that ends it. Returns what `found` finds in one of
/// them.
fn request<T>(
    socket: &OwnedFd,
    request: &[u8],
    family: Option<u16>,
    buffer: &mut [u8],
    mut found: impl FnMut(Message<'_>) -> Option<T>,
) -> Result<Option<T>, Errno> {
    retry(|| rustix::net::send(socket, request, SendFlags::empty()))?;
    let mut result = None;
    let patience = Timespec { tv_sec: PATIENCE, tv_nsec: 0 };
    loop {
        let mut polled = [PollFd::new(socket, PollFlags::IN)];
        if retry(|| poll(&mut polled, Some(&patience)))? == 0 {
            return Err(Errno::TIMEDOUT);
        }
        let (length, _) =
            retry(|| rustix::net::recv(socket, &mut buffer[..], RecvFlags::DONTWAIT))?;
        for message in messages::messages(&buffer[..length.min(buffer.len())], family) {
            match message {
                Message::Error(0) => return Ok(result),
                Message::Error(error) => return Err(Errno::from_raw_os_error(error)),
                other => result = result.or(found(other)),
            }
        }
    }
}

/// Whether the kernel sends a record when a thread ends. In another network namespace it takes the request, and
/// sends the records to nobody (`send_cpu_listeners`, kernel/taskstats.c).
fn sends_records(socket: &OwnedFd, family: u16, buffer: &mut [u8]) -> bool {
    let ended = std::thread::Builder::new().spawn(|| {}).map(std::thread::JoinHandle::join);
    // If no thread can be made, nothing is known.
    if ended.is_err() {
        return true;
    }
    let patience = Timespec { tv_sec: PATIENCE, tv_nsec: 0 };
    let mut polled = [PollFd::new(socket, PollFlags::IN)];
    if !retry(|| poll(&mut polled, Some(&patience))).is_ok_and(|ready| ready > 0) {
        return false;
    }
    let received = retry(|| rustix::net::recv(socket, &mut buffer[..], RecvFlags::DONTWAIT));
    let length = received.map_or(0, |(length, _)| length.min(buffer.len()));
    let mut messages = messages::messages(&buffer[..length], Some(family));
    messages.any(|message| matches!(message, Message::Record(_)))
}

/// The list of the processors that the machine can have: `devices/system/cpu/possible` below `sys`.
fn processors(sys: &Path) -> Vec<u8> {
    let mut list = std::fs::read(sys.join("devices/system/cpu/possible")).unwrap_or_default();
    while list.last().is_some_and(u8::is_ascii_whitespace) {
        list.pop();
    }
    if list.is_empty() { b"0".to_vec() } else { list }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sample_has_taken_is_not_kept() {
        let mut received = Received { first: 5, ..Received::default() };
        received.drop_before(3);
        received.drop_before(9);
        assert_eq!((received.first, received.list.len()), (5, 0));
    }
}
