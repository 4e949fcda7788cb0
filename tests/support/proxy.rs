//! An HTTP proxy that forwards whatever it is asked for, and tells what that was.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Listens until the test ends.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Answers CONNECT with this status.
    pub(crate) fn start(connect: &'static str) -> Self {
        Self::wanting(None, connect)
    }

    /// Lets nobody through but who has this Proxy-Authorization.
    pub(crate) fn guarded(wanted: &'static str) -> Self {
        Self::wanting(Some(wanted), "200 Go on")
    }

    fn wanting(wanted: Option<&'static str>, connect: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self { address: listener.local_addr().unwrap(), asked: Arc::default() };
        let asked = Arc::clone(&proxy.asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, asked) = (stream.unwrap(), Arc::clone(&asked));
                // A client that has gone is its own business.
                std::thread::spawn(move || forward(stream, wanted, connect, &asked).ok());
            }
        });
        proxy
    }

    /// The first lines of all requests.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn forward(
    mut client: TcpStream,
    wanted: Option<&str>,
    connect: &str,
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let (first, rest) = head.split_once("\r\n").unwrap();
    asked.lock().unwrap().push(first.to_owned());
    let (own, rest): (Vec<&str>, Vec<&str>) = rest
        .split_inclusive("\r\n")
        .partition(|line| line.to_ascii_lowercase().starts_with("proxy-authorization:"));
    let given = own.first().and_then(|line| line.split_once(": ")).map(|(_, value)| value.trim());
    if wanted.is_some_and(|wanted| given != Some(wanted)) {
        let no =
            "HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n";
        return client.write_all(no.as_bytes());
    }
    let rest = rest.concat();
    let words: Vec<&str> = first.split(' ').collect();
    let mut server = if words[0] == "CONNECT" {
        write!(client, "HTTP/1.1 {connect}\r\n\r\n")?;
        if !connect.starts_with('2') {
            return Ok(());
        }
        TcpStream::connect(words[1])?
    } else {
        let target = words[1].strip_prefix("http://").unwrap();
        let (host, path) = target.split_at(target.find('/').unwrap());
        let mut server = TcpStream::connect(host)?;
        write!(server, "GET {path} HTTP/1.1\r\n{rest}")?;
        server
    };
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || std::io::copy(&mut from_client, &mut to_server).ok());
    std::io::copy(&mut server, &mut client)?;
    client.shutdown(std::net::Shutdown::Both)
}
