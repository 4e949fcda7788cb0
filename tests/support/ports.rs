//! Ports for who must know their address before it exists.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below what the system gives out for port 0 (ip_local_port_range), so that nobody else gets one.
const FIRST: u16 = 12_000;
const LAST: u16 = 32_000;

/// A loopback address that nobody listens on, a different one at each call.
pub(crate) fn free() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 1000).unwrap() * 20;
    for _ in FIRST..LAST {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start + step) % (LAST - FIRST);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no free port between {FIRST} and {LAST}");
}

/// Our own address that is not loopback, which is as good as another machine's; if there is one.
pub(crate) fn not_loopback() -> Option<String> {
    let output = std::process::Command::new("hostname").arg("-I").output().unwrap();
    let addresses = String::from_utf8(output.stdout).unwrap();
    addresses.split_whitespace().find(|text| !text.contains(':')).map(str::to_owned)
}
