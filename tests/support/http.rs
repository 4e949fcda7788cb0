//! The least HTTP client.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let header = |line: &'_ str| {
            line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name))
        };
        let line = self.head.lines().find(|line| header(line))?;
        line.split_once(':').map(|(_, value)| value.trim())
    }
}

/// A whole request on a connection of its own.
pub(crate) fn request(method: &str, address: SocketAddr, path: &str) -> io::Result<Answer> {
    request_with(method, address, path, "")
}

/// The same with further headers, each with its end of line.
pub(crate) fn request_with(
    method: &str,
    address: SocketAddr,
    path: &str,
    headers: &str,
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n"
    );
    // In one: who refuses us at the first byte need not take the rest.
    stream.write_all(request.as_bytes())?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all)?;
    answer(&all, method != "HEAD")
}

pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    request("GET", address, path)
}

/// A body that must be there.
pub(crate) fn body(address: SocketAddr, path: &str) -> String {
    let answer = get(address, path).unwrap_or_else(|error| panic!("GET {path}: {error}"));
    assert_eq!(answer.status, 200, "GET {path}: {}", answer.text());
    answer.text().to_owned()
}

fn answer(all: &[u8], has_body: bool) -> io::Result<Answer> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(|| bad("no head"))?;
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let mut answer =
        Answer { status: status.ok_or_else(|| bad("no status"))?, head, body: Vec::new() };
    if has_body {
        let raw = &all[end + 4..];
        let chunked = answer.header("transfer-encoding") == Some("chunked");
        answer.body = if chunked {
            unchunked(raw).ok_or_else(|| bad("broken chunks"))?
        } else {
            raw.to_vec()
        };
    }
    Ok(answer)
}

fn unchunked(mut raw: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = raw.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&raw[..end]).ok()?, 16).ok()?;
        raw = raw.get(end + 2..)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(raw.get(..size)?);
        raw = raw.get(size + 2..)?;
    }
}
