//! The listening sockets, and the connections that they give.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as Knock;
use std::path::{Path, PathBuf};

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with, sockopt,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tracing::debug;

use crate::config::listen::Listen;

/// Connections that wait to be accepted.
const BACKLOG: u16 = 1024;

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    /// As it is told and as it is written in a URL.
    name: String,
    /// The Unix socket's file, if it is ours to remove.
    #[expect(dead_code, reason = "removes the file when it is dropped")]
    file: Option<File>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A connection's stream.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Who has connected.
pub(super) struct Client {
    pub(super) stream: Box<dyn Stream>,
    /// On this machine.
    pub(super) is_local: bool,
}

impl Listener {
    /// Listens there.
    ///
    /// # Errors
    /// The place cannot be had.
    pub fn bind(place: &Listen) -> io::Result<Self> {
        match place {
            Listen::Tcp(address) => Self::of_tcp(tcp(*address)?),
            Listen::Unix { path, mode } => {
                let socket = UnixListener::from_std(unix(path, *mode)?)?;
                Ok(Self::of_unix(socket, Some(path)))
            }
        }
    }

    /// A socket that listens already, opened by another process.
    ///
    /// # Errors
    /// It is no listening socket of TCP or Unix.
    pub fn adopt(socket: OwnedFd, place: Option<&Listen>) -> io::Result<Self> {
        if !sockopt::socket_acceptconn(&socket)? {
            return Err(ErrorKind::InvalidInput.into());
        }
        let family = sockopt::socket_domain(&socket)?;
        if family == AddressFamily::UNIX {
            let socket = std::os::unix::net::UnixListener::from(socket);
            socket.set_nonblocking(true)?;
            let path = match place {
                Some(Listen::Unix { path, .. }) => Some(path.as_path()),
                _ => None,
            };
            return Ok(Self::of_unix(UnixListener::from_std(socket)?, path));
        }
        let socket = std::net::TcpListener::from(socket);
        socket.set_nonblocking(true)?;
        Self::of_tcp(TcpListener::from_std(socket)?)
    }

    fn of_tcp(socket: TcpListener) -> io::Result<Self> {
        let name = socket.local_addr()?.to_string();
        Ok(Self { socket: Socket::Tcp(socket), name, file: None })
    }

    fn of_unix(socket: UnixListener, path: Option<&Path>) -> Self {
        let bound = socket.local_addr().ok();
        let shown = bound.as_ref().and_then(|bound| bound.as_pathname()).or(path);
        let name = shown.map_or("unix:".into(), |path| format!("unix://{}", path.display()));
        let file = path.and_then(File::now);
        Self { socket: Socket::Unix(socket), name, file }
    }

    /// Its address, if it is one of TCP.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(socket) => socket.local_addr().ok(),
            Socket::Unix(_) => None,
        }
    }

    pub(super) async fn accept(&self) -> io::Result<Client> {
        Ok(match &self.socket {
            Socket::Tcp(socket) => {
                let (stream, from) = socket.accept().await?;
                let is_local = from.ip().to_canonical().is_loopback();
                Client { stream: Box::new(stream), is_local }
            }
            // The file's permissions say who may connect.
            Socket::Unix(socket) => {
                Client { stream: Box::new(socket.accept().await?.0), is_local: true }
            }
        })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Tcp(socket) => socket.as_fd(),
            Socket::Unix(socket) => socket.as_fd(),
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A Unix socket's file as it was when we made it.
#[derive(Debug)]
struct File {
    path: PathBuf,
    inode: (u64, u64),
}

impl File {
    fn now(path: &Path) -> Option<Self> {
        Some(Self { path: path.to_owned(), inode: inode(path)? })
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // Another exporter may have put its own there.
        if inode(&self.path) == Some(self.inode)
            && let Err(error) = fs::remove_file(&self.path)
        {
            debug!(%error, path = %self.path.display(), "cannot remove the socket");
        }
    }
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = match socket {
        Ok(socket) => socket,
        // A machine without IPv6 has IPv4 in [::] all the same.
        Err(error) if address.ip().is_unspecified() && address.is_ipv6() => {
            debug!(%error, "no IPv6 on this machine, listening on IPv4");
            return tcp(SocketAddr::new(std::net::Ipv4Addr::UNSPECIFIED.into(), address.port()));
        }
        Err(error) => return Err(error),
    };
    if address.is_ipv6() && address.ip().is_unspecified() {
        // The system's default may be otherwise.
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG.into())
}

/// A socket that nobody can connect to before its permissions are right.
fn unix(path: &Path, mode: u32) -> io::Result<std::os::unix::net::UnixListener> {
    remove_stale(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    listen(&socket, BACKLOG.into())?;
    Ok(socket.into())
}

/// Removes a socket that nobody listens on; leaves everything else where it is.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket && Knock::connect(path).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused) {
        fs::remove_file(path)?;
    }
    Ok(())
}
