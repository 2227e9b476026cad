//! One read that no sample makes.

use super::abandoned;
use std::sync::mpsc;
use std::time::Duration;

/// Calls `read` on a thread of its own. `None` if it has not come back within `patience`. Then the thread is
/// abandoned. If no thread can be made, this one calls it, however long it takes.
pub fn within<T: Send + 'static>(
    patience: Duration,
    read: impl Fn() -> T + Clone + Send + 'static,
) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    let on_thread = read.clone();
    let started = std::thread::Builder::new().spawn(move || {
        // Nobody waits any more if the time was up.
        let _ = sender.send(on_thread());
    });
    if started.is_err() {
        return Some(read());
    }
    let read = receiver.recv_timeout(patience).ok();
    if read.is_none() {
        abandoned::note();
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_never_comes_back_is_abandoned() {
        assert_eq!(within(Duration::from_secs(60), || 7), Some(7));
        let forever = || std::thread::sleep(Duration::from_secs(3600));
        assert_eq!(within(Duration::from_millis(1), forever), None);
    }
}
