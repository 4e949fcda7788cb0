//! Passwords, and what those who have one may do.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tempfile::TempDir;

use crate::support::certificates::Authority;
use crate::support::curl::curl;
use crate::support::exporter::{self, Exporter};
use crate::support::metrics::Page;
use crate::support::wait::{wait_until, wait_until_or};
use crate::support::{http, ports};

const SERVICE: &str = "services: [{name: s, trace: {stdin: true}}]\n";

/// An exporter with a config file and a web configuration file.
struct Guarded {
    folder: TempDir,
    exporter: Exporter,
}

impl Guarded {
    fn new(web: &str) -> Self {
        Self::on("127.0.0.1", web)
    }

    fn on(host: &str, web: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (config, file) = (folder.path().join("config.yaml"), folder.path().join("web.yml"));
        fs::write(&file, web).unwrap();
        let text = format!("web: {{config_file: {}}}\n{SERVICE}", file.display());
        fs::write(&config, text).unwrap();
        let listen = format!("{host}:0");
        let flags = ["run", "--listen", &listen, "--config", config.to_str().unwrap()];
        Self { folder, exporter: Exporter::start(exporter::command(flags)) }
    }

    fn web(&self) -> PathBuf {
        self.folder.path().join("web.yml")
    }

    fn ask(&self, method: &str, path: &str, headers: &str) -> http::Answer {
        http::request_with(method, self.exporter.address(), path, headers).unwrap()
    }

    fn status(&self, headers: &str) -> u16 {
        self.ask("GET", "/-/healthy", headers).status
    }

    fn page(&self, headers: &str) -> Page {
        let answer = self.ask("GET", "/metrics", headers);
        assert_eq!(answer.status, 200, "{}", answer.text());
        Page::read(answer.text())
    }
}

fn users(pairs: &[(&str, &str)]) -> String {
    let user = |(name, password): &(&str, &str)| {
        format!("  {name}: {}\n", bcrypt::hash(password, 4).unwrap())
    };
    format!("basic_auth_users:\n{}", pairs.iter().map(user).collect::<String>())
}

fn basic(user: &str, password: &str) -> String {
    let pair = BASE64_STANDARD.encode(format!("{user}:{password}"));
    format!("Authorization: Basic {pair}\r\n")
}

#[test]
fn every_path_asks_for_a_password() {
    let guarded = Guarded::new(&users(&[("me", "right"), ("you", "with:colon")]));
    let (me, you) = (basic("me", "right"), basic("you", "with:colon"));
    for (path, status) in [
        ("/", 200),
        ("/metrics", 200),
        ("/-/healthy", 200),
        ("/-/ready", 200),
        ("/api/v1/services", 200),
        ("/probe", 404),
        ("/nothing", 404),
        ("/-/../metrics", 404),
    ] {
        for wrong in [
            String::new(),
            basic("me", "wrong"),
            basic("me", ""),
            basic("me", "with:colon"),
            basic("nobody", "right"),
            basic("", ""),
            "Authorization: Bearer right\r\n".into(),
            "Authorization: Basic !\r\n".into(),
        ] {
            let answer = guarded.ask("GET", path, &wrong);
            assert_eq!(answer.status, 401, "{path} {wrong}");
            assert_eq!(
                answer.header("www-authenticate"),
                Some(r#"Basic realm="godebug-exporter""#)
            );
            assert_eq!(answer.text(), "unauthorized\n");
        }
        let ready = || guarded.ask("GET", path, &me).status == status;
        wait_until(path, || ready().then_some(()));
        assert_eq!(guarded.ask("GET", path, &you).status, status, "{path}");
    }
    for (method, path, status) in [("POST", "/metrics", 405), ("DELETE", "/", 405)] {
        assert_eq!(guarded.ask(method, path, "").status, 401, "{method} {path}");
        assert_eq!(guarded.ask(method, path, &me).status, status, "{method} {path}");
    }
    let url = format!("http://{}/metrics", guarded.exporter.address());
    assert_eq!(curl(&url, &["--user", "me:right"]).status, 200);
    assert_eq!(curl(&url, &["--user", "me:wrong"]).status, 401);
    let refused = r#"godebug_exporter_http_requests_total{path="/metrics",code="401"}"#;
    assert_eq!(guarded.page(&me).value(refused), 10.0);
}

#[test]
fn users_change_while_it_runs_and_a_broken_file_opens_nothing() {
    let guarded = Guarded::new(&users(&[("me", "old")]));
    let (old, new) = (basic("me", "old"), basic("me", "new"));
    assert_eq!((guarded.status(&old), guarded.status(&new)), (200, 401));
    fs::write(guarded.web(), users(&[("me", "new")])).unwrap();
    wait_until("the new password", || (guarded.status(&new) == 200).then_some(()));
    assert_eq!(guarded.status(&old), 401);
    for (text, told) in [
        ("", "nobody is left in basic_auth_users"),
        ("basic_auth_users: {}", "nobody is left in basic_auth_users"),
        ("basic_auth_users: {me: new}", "is not a bcrypt hash"),
    ] {
        fs::write(guarded.web(), text).unwrap();
        wait_until_or(
            told,
            || {
                assert_eq!((guarded.status(""), guarded.status(&new)), (401, 200), "{told}");
                guarded.exporter.log("error").last().filter(|line| line.contains(told)).cloned()
            },
            || guarded.exporter.stderr.text(),
        );
        let answer = guarded.ask("POST", "/-/reload", &new);
        assert!(answer.status == 500 && answer.text().contains(told), "{}", answer.text());
    }
    fs::remove_file(guarded.web()).unwrap();
    let answer = guarded.ask("POST", "/-/reload", &new);
    assert!(answer.status == 500 && answer.text().contains("cannot read"), "{}", answer.text());
    // A reload looks at once.
    fs::write(guarded.web(), users(&[("me", "new"), ("you", "too")])).unwrap();
    assert_eq!(guarded.ask("POST", "/-/reload", &new).status, 200);
    assert_eq!(guarded.status(&basic("you", "too")), 200);
    // What the log says is nobody's password.
    let log = guarded.exporter.stderr.text();
    assert!(!log.contains("$2b$"), "{log}");
}

#[test]
fn headers_and_the_rate_limit_hold_for_every_answer() {
    let web = "http_server_config: {headers: {X-Content-Type-Options: nosniff}}\n\
        rate_limit: {interval: 1h, burst: 3}\n";
    let guarded = Guarded::new(web);
    for status in [200, 200, 200, 429, 429] {
        let answer = guarded.ask("GET", "/", "");
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    // Another limit is another bucket, and users come on top of it.
    let without = users(&[("me", "right")]);
    fs::write(guarded.web(), without).unwrap();
    wait_until("no limit", || (guarded.status("") == 401).then_some(()));
    assert_eq!(guarded.status(&basic("me", "right")), 200);
}

#[test]
fn who_guesses_gets_little_of_the_machine_and_nobody_else_notices() {
    let hash = bcrypt::hash("right", 10).unwrap();
    let guarded = Guarded::new(&format!("basic_auth_users: {{me: {hash}}}"));
    let (me, address) = (basic("me", "right"), guarded.exporter.address());
    let cpu = |page: &Page| page.value("process_cpu_seconds_total");
    let (before, started) = (cpu(&guarded.page(&me)), Instant::now());
    let enough = AtomicBool::new(false);
    let (mut worst, mut after) = (Duration::ZERO, 0.0);
    thread::scope(|scope| {
        for guesser in 0..40 {
            let enough = &enough;
            scope.spawn(move || guess(address, guesser, enough));
        }
        // Longer than a guess waits for its turn.
        while started.elapsed() < Duration::from_secs(7) {
            let asked = Instant::now();
            after = cpu(&guarded.page(&me));
            worst = worst.max(asked.elapsed());
        }
        enough.store(true, Ordering::Relaxed);
    });
    let share = (after - before) / started.elapsed().as_secs_f64();
    let page = guarded.page(&me);
    let guesses = |code: &str| {
        page.get(&format!(r#"godebug_exporter_http_requests_total{{path="other",code="{code}"}}"#))
    };
    assert!(guesses("401") > Some(1.0) && guesses("503") > Some(1.0), "{page}");
    assert!(worst < Duration::from_secs(2), "{worst:?}");
    assert!(share < 0.7, "{share} of a processor, {:?} guesses", guesses("401"));
}

fn guess(address: SocketAddr, guesser: usize, enough: &AtomicBool) {
    let mut n = 0;
    while !enough.load(Ordering::Relaxed) {
        let user = if usize::is_multiple_of(guesser, 2) { "me" } else { "nobody" };
        let password = basic(user, &format!("guess {guesser} {n}"));
        let answer = http::request_with("GET", address, "/guess", &password).unwrap();
        assert!(matches!(answer.status, 401 | 503), "{}", answer.status);
        n += 1;
    }
}

#[test]
fn who_may_reload() {
    let Some(outside) = ports::not_loopback() else { return };
    let at = |guarded: &Guarded| -> SocketAddr {
        format!("{outside}:{}", guarded.exporter.address().port()).parse().unwrap()
    };
    let reload = |address: SocketAddr, headers: &str| {
        http::request_with("POST", address, "/-/reload", headers).unwrap().status
    };
    let (origin, forwarded) = ("Origin: http://evil.example\r\n", "X-Forwarded-For: 8.8.8.8\r\n");
    let me = basic("me", "right");
    let guarded = Guarded::on("0.0.0.0", &users(&[("me", "right")]));
    let local = guarded.exporter.address().port();
    let local = SocketAddr::from(([127, 0, 0, 1], local));
    for (address, headers, status) in [
        (at(&guarded), String::new(), 401),
        (local, String::new(), 401),
        (at(&guarded), me.clone(), 200),
        (local, me.clone(), 200),
        (local, format!("{me}{forwarded}"), 200),
        (local, format!("{me}{origin}"), 403),
    ] {
        assert_eq!(reload(address, &headers), status, "{address} {headers}");
    }
    let guarded = Guarded::on("0.0.0.0", "");
    let local = SocketAddr::from(([127, 0, 0, 1], guarded.exporter.address().port()));
    for (address, headers, status) in [
        (at(&guarded), "", 403),
        (at(&guarded), me.as_str(), 403),
        (local, "", 200),
        (local, origin, 403),
        (local, forwarded, 403),
        (local, "Forwarded: for=8.8.8.8\r\n", 403),
        (local, "Via: 1.1 proxy\r\n", 403),
    ] {
        assert_eq!(reload(address, headers), status, "{address} {headers}");
    }
}

#[test]
fn a_client_certificate_that_was_checked_is_as_good_as_a_password() {
    let Some(outside) = ports::not_loopback() else { return };
    let authority = Authority::new();
    let (server, client) = (authority.signs(&[&outside]), authority.signs(&["me"]));
    for (policy, status) in [
        ("RequireAndVerifyClientCert", 200),
        ("VerifyClientCertIfGiven", 200),
        ("RequireAnyClientCert", 403),
        ("RequestClientCert", 403),
    ] {
        let guarded = Guarded::on(
            "0.0.0.0",
            &format!(
                "tls_server_config: {{cert_file: {}, key_file: {}, client_auth_type: {policy}, \
                 client_ca_file: {}}}",
                server.cert,
                server.key,
                authority.file()
            ),
        );
        let url = format!("https://{outside}:{}/-/reload", guarded.exporter.address().port());
        let ca = authority.file();
        let flags = ["--request", "POST", "--cacert", &ca];
        let known = ["--cert", &client.cert, "--key", &client.key];
        let answer = curl(&url, &[&flags[..], &known].concat());
        assert_eq!(answer.status, status, "{policy}: {answer:?}");
        let unknown = curl(&url, &flags);
        assert!(matches!(unknown.status, 0 | 403), "{policy}: {unknown:?}");
    }
}
