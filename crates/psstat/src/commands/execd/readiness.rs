//! Tells the service manager that psstat is ready: sd_notify(3).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The variable with the address of the service manager's socket. systemd sets it for a unit with
/// `Type=notify`.
const SOCKET: &str = "NOTIFY_SOCKET";

/// Sends `READY=1`, if a service manager waits for it. If it does not get the message, it says so when its time
/// is up.
pub fn report() {
    if let Some(name) = std::env::var_os(SOCKET) {
        let _ = send(&name);
    }
}

fn send(name: &OsStr) -> io::Result<()> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not stop psstat.
    socket.set_nonblocking(true)?;
    socket.send_to_addr(b"READY=1", &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_addresses_are_understood() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify");
        let name = format!("psstat-test-{}", std::process::id());
        let of_path = UnixDatagram::bind(&path).expect("a socket");
        let address = SocketAddr::from_abstract_name(&name).expect("an address");
        let of_name = UnixDatagram::bind_addr(&address).expect("a socket");
        for (socket, name) in
            [(of_path, path.into_os_string()), (of_name, format!("@{name}").into())]
        {
            send(&name).expect("it is read");
            let mut buffer = [0; 16];
            let count = socket.recv(&mut buffer).expect("a message");
            assert_eq!(&buffer[..count], b"READY=1", "{name:?}");
        }
        assert!(send(OsStr::new("/nowhere/notify")).is_err());
    }
}
