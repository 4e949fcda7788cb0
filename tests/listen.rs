//! Where the server listens.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use rustix::process::{Signal, kill_process};

use crate::support::exporter::{Exporter, command, output};
use crate::support::process::exporter_of;
use crate::support::wait::wait_until;
use crate::support::{http, ports};

/// What a request over a Unix socket gets.
fn over(path: &Path) -> Option<String> {
    let mut stream = UnixStream::connect(path).ok()?;
    stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.ends_with("healthy\n").then_some(answer)
}

fn answers(path: &Path) {
    wait_until("the socket answers", || over(path));
}

#[test]
fn several_places_serve_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("a.sock");
    let listen = format!(
        "listen: ['127.0.0.1:0', '[::1]:0', 'unix://{}?mode=0600']\n\
         services: [{{name: s, trace: {{stdin: true}}}}]\n",
        socket.display()
    );
    let config = folder.path().join("config.yaml");
    fs::write(&config, listen).unwrap();
    let mut exporter = Exporter::start(command(["run", "--config", config.to_str().unwrap()]));
    let v4 = exporter.address();
    let v6: SocketAddr = exporter.stderr.line("IPv6 too", |line| {
        let (_, rest) = line.split_once("message=listening address=")?;
        rest.split(' ').next()?.trim_matches('"').parse().ok().filter(SocketAddr::is_ipv6)
    });
    for address in [v4, v6] {
        assert_eq!(http::body(address, "/-/healthy"), "healthy\n");
    }
    answers(&socket);
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(exporter.stop().code(), Some(0));
    assert!(!socket.exists(), "the socket is removed at the end");
}

#[test]
fn the_flag_may_be_given_several_times_and_wins() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("a.sock");
    let listen = format!("unix://{}", socket.display());
    let exporter = Exporter::run(&["--web.listen-address", &listen, "--service", "s", "--stdin"]);
    assert_eq!(http::body(exporter.address(), "/-/healthy"), "healthy\n");
    answers(&socket);
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
}

#[test]
fn the_wildcard_of_ipv6_takes_ipv4_too() {
    let exporter = Exporter::start(command(["run", "--listen", ":0", "--service", "s", "--stdin"]));
    let port = exporter.stderr.line("it listens", |line| {
        let (_, rest) = line.split_once("message=listening address=")?;
        let address: SocketAddr = rest.split(' ').next()?.trim_matches('"').parse().ok()?;
        (address.ip() == Ipv6Addr::UNSPECIFIED).then_some(address.port())
    });
    for host in ["127.0.0.1", "[::1]"] {
        let address = format!("{host}:{port}").parse().unwrap();
        assert_eq!(http::body(address, "/-/healthy"), "healthy\n", "{host}");
    }
}

#[test]
fn a_socket_that_a_killed_exporter_left_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("a.sock");
    let listen = format!("unix://{}", socket.display());
    let start = || Exporter::run(&["--listen", &listen, "--service", "s", "--stdin"]);
    let mut first = start();
    answers(&socket);
    first.process.signal(Signal::KILL);
    first.process.end("the first");
    assert!(socket.exists(), "nobody could remove it");
    let _second = start();
    answers(&socket);
}

#[test]
fn what_is_in_use_or_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taken");
    let listen = format!("unix://{}", path.display());
    let refused = || {
        let mut exporter = Exporter::run(&["--listen", &listen, "--service", "s", "--stdin"]);
        assert_eq!(exporter.process.end("run").code(), Some(1));
        let stderr = String::from_utf8(exporter.stderr.whole()).unwrap();
        assert!(stderr.contains(&format!("cannot listen on {listen}")), "{stderr}");
    };
    fs::write(&path, "mine").unwrap();
    refused();
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    refused();
    assert!(fs::metadata(&path).unwrap().file_type().is_socket());
}

#[test]
fn the_next_exporter_of_exec_has_all_places() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("a.sock");
    let listen = format!("unix://{}", socket.display());
    let mut exec = Exporter::exec(&["--listen", &listen], &["sleep", "600"]);
    let address = exec.address();
    answers(&socket);
    let pid = exec.process.0.id();
    let victim = wait_until("an exporter", || exporter_of(pid));
    kill_process(victim, Signal::KILL).unwrap();
    wait_until("another one", || exporter_of(pid).filter(|next| *next != victim));
    assert_eq!(http::body(address, "/-/healthy"), "healthy\n");
    answers(&socket);
    assert_eq!(exec.stop().code(), Some(143));
    assert!(!socket.exists(), "the socket is removed at the end");
}

#[test]
fn systemd_opens_the_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("a.sock");
    let (address, binary) = (ports::free(), env!("CARGO_BIN_EXE_godebug-exporter"));
    let mut command = Command::new("systemd-socket-activate");
    command.arg("--listen").arg(address.to_string()).arg("--listen").arg(&socket);
    command.args([binary, "run", "--web.systemd-socket", "--service", "s", "--stdin"]);
    let _exporter = Exporter::start(command);
    // It starts the exporter when the first connection comes.
    wait_until("it serves", || http::get(address, "/-/healthy").ok());
    answers(&socket);
}

#[test]
fn without_systemd_there_are_no_sockets_of_it() {
    let output = output(&["run", "--web-systemd-socket", "--service", "s", "--stdin"]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("systemd has opened no sockets for us"), "{stderr}");
}
