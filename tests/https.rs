//! TLS, as real clients see it.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::path::Path;
use std::thread;

use rcgen::SanType;
use rustix::process::{Signal, kill_process};
use tempfile::TempDir;

use crate::support::certificates::{Authority, Pair};
use crate::support::curl::{self, Curled, curl};
use crate::support::exporter::Exporter;
use crate::support::http;
use crate::support::metrics::Page;
use crate::support::process::exporter_of;
use crate::support::prometheus::Prometheus;
use crate::support::wait::{wait_until, wait_until_or};

/// An exporter that speaks TLS.
struct Secured {
    folder: TempDir,
    exporter: Exporter,
}

impl Secured {
    /// With this certificate, and more of `tls_server_config`.
    fn new(pair: &Pair, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The paths are relative to the file.
        fs::copy(&pair.cert, folder.path().join("cert.pem")).unwrap();
        fs::copy(&pair.key, folder.path().join("key.pem")).unwrap();
        let file = folder.path().join("web.yml");
        fs::write(&file, server(more)).unwrap();
        let flags = ["--web.config.file", file.to_str().unwrap(), "--service", "s", "--stdin"];
        let exporter = Exporter::run(&flags);
        Self { folder, exporter }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn curl(&self, arguments: &[&str]) -> Curled {
        curl(&format!("https://{}/-/healthy", self.exporter.address()), arguments)
    }

    fn wait_for(&self, series: &str, value: f64) -> Page {
        curl::wait_for(&self.exporter, "https", &["--insecure"], series, value)
    }
}

fn server(more: &str) -> String {
    format!("tls_server_config: {{cert_file: cert.pem, key_file: key.pem{more}}}\n")
}

fn ended(reason: &str) -> String {
    format!(r#"godebug_exporter_http_connections_ended_early_total{{reason="{reason}"}}"#)
}

const HOST: &[&str] = &["127.0.0.1"];

const SUCCESSFUL: &str = "godebug_exporter_web_config_last_reload_successful";

/// curl's codes for a server whose certificate is not believed; the first also where another authority
/// has the same name.
const NOT_BELIEVED: [i32; 2] = [35, 60];

#[test]
fn both_versions_of_http_and_of_tls_are_spoken() {
    let authority = Authority::new();
    let ca = authority.file();
    let secured = Secured::new(&authority.signs(HOST), "");
    for (flags, version) in [
        (&["--http2"][..], "2"),
        (&["--http1.1"], "1.1"),
        (&["--http2", "--tls-max", "1.2"], "2"),
        (&["--no-alpn", "--tls-max", "1.2"], "1.1"),
        (&["--tlsv1.3", "--tls13-ciphers", "TLS_CHACHA20_POLY1305_SHA256"], "2"),
    ] {
        let answer = secured.curl(&[&["--cacert", &ca], flags].concat());
        assert_eq!((answer.status, answer.version.as_str()), (200, version), "{answer:?}");
        assert_eq!(answer.body, "healthy\n");
    }
    let old =
        secured.curl(&["--cacert", &ca, "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"]);
    assert_eq!((old.exit, old.status), (35, 0), "{old:?}");
    let page = curl::page(&secured.exporter, "https", &["--cacert", &ca, "--compressed"]);
    assert!(page.has("go_sched_samples_total"), "{page}");
    // A whole page over several requests of one connection.
    let url = format!("https://{}/metrics", secured.exporter.address());
    let both = curl(&url, &["--cacert", &ca, "--http2", &url]);
    assert_eq!((both.exit, both.status), (0, 200), "{both:?}");
    // HTTP/2 has no Host.
    let address = secured.exporter.address().to_string();
    for version in ["--http2", "--http1.1"] {
        let targets = curl(&format!("https://{address}/api/v1/sd"), &["--cacert", &ca, version]);
        assert!(targets.body.contains(&address), "{targets:?}");
    }
    secured.wait_for(&ended("tls"), 1.0);
}

#[test]
fn the_file_says_what_is_spoken() {
    let authority = Authority::new();
    let more = ", min_version: TLS13}\nhttp_server_config: {http2: false, headers: \
        {X-Frame-Options: deny, Strict-Transport-Security: max-age=9}";
    let secured = Secured::new(&authority.signs(HOST), more);
    let ca = authority.file();
    let answer = secured.curl(&["--cacert", &ca, "--http2"]);
    assert_eq!((answer.status, answer.version.as_str()), (200, "1.1"), "{answer:?}");
    assert_eq!(answer.header("x-frame-options"), Some("deny"));
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=9"));
    assert_eq!(secured.curl(&["--cacert", &ca, "--tls-max", "1.2"]).exit, 35);
    let suite = ", max_version: TLS12, cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384], \
        curve_preferences: [CurveP384]";
    let secured = Secured::new(&authority.signs(HOST), suite);
    for (cipher, curve, is_spoken) in [
        ("ECDHE-ECDSA-AES256-GCM-SHA384", "P-384:P-256", true),
        ("ECDHE-ECDSA-AES128-GCM-SHA256", "P-384:P-256", false),
        ("ECDHE-ECDSA-AES256-GCM-SHA384", "X25519:P-256", false),
    ] {
        let flags = ["--cacert", &ca, "--ciphers", cipher, "--curves", curve];
        let answer = secured.curl(&flags);
        assert_eq!(answer.status == 200, is_spoken, "{flags:?} {answer:?}");
    }
}

#[test]
fn without_tls_one_is_told() {
    let authority = Authority::new();
    let secured = Secured::new(&authority.signs(HOST), "");
    let answer = http::get(secured.exporter.address(), "/metrics").unwrap();
    assert!(answer.status == 400 && answer.text().contains("https"), "{}", answer.text());
    let mut stream = TcpStream::connect(secured.exporter.address()).unwrap();
    stream.write_all(&[0xff; 100]).unwrap();
    let _reset = stream.read_to_end(&mut Vec::new());
    secured.wait_for(&ended("no_http"), 2.0);
}

#[test]
fn clients_do_not_believe_an_expired_or_a_wrong_certificate() {
    let (authority, other) = (Authority::new(), Authority::new());
    let ca = authority.file();
    for (pair, what) in [
        (authority.signs_expired(HOST), "expired"),
        (authority.signs(&["elsewhere.example"]), "of another host"),
        (other.signs(HOST), "of another authority"),
        (other.self_signed(HOST), "its own"),
    ] {
        let secured = Secured::new(&pair, "");
        let answer = secured.curl(&["--cacert", &ca]);
        assert!(NOT_BELIEVED.contains(&answer.exit), "{what}: {answer:?}");
        assert_eq!(answer.status, 0, "{what}: {answer:?}");
        // Who does not care is served.
        assert_eq!(secured.curl(&["--insecure"]).status, 200, "{what}");
    }
}

#[test]
fn client_certificates_are_taken_as_go_takes_them() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = authority.signs(HOST);
    let clients = [
        None,
        Some(authority.signs(&["client.example"])),
        Some(authority.signs_expired(&["client.example"])),
        Some(other.signs(&["client.example"])),
    ];
    let ca = authority.file();
    let with_ca = format!(", client_ca_file: {ca}");
    for (policy, more, expected) in [
        ("NoClientCert", "", [true, true, true, true]),
        ("RequestClientCert", &with_ca, [true, true, true, true]),
        ("RequireAnyClientCert", &with_ca, [false, true, true, true]),
        ("VerifyClientCertIfGiven", &with_ca, [true, true, false, false]),
        ("RequireAndVerifyClientCert", &with_ca, [false, true, false, false]),
    ] {
        let secured = Secured::new(&server, &format!(", client_auth_type: {policy}{more}"));
        for (client, is_served) in clients.iter().zip(expected) {
            for version in ["--tlsv1.3", "--tls-max=1.2"] {
                let mut flags = vec!["--cacert", &ca];
                flags.extend(version.split('='));
                if let Some(pair) = client {
                    flags.extend(["--cert", &pair.cert, "--key", &pair.key]);
                }
                let answer = secured.curl(&flags);
                assert_eq!(answer.status == 200, is_served, "{policy} {flags:?} {answer:?}");
            }
        }
    }
}

#[test]
fn a_client_may_be_its_own_authority() {
    let (authority, own) = (Authority::new(), Authority::new());
    let (client, foreign) = (own.self_signed(&["me"]), own.self_signed(&["me"]));
    let more =
        format!(", client_auth_type: RequireAndVerifyClientCert, client_ca_file: {}", client.cert);
    let secured = Secured::new(&authority.signs(HOST), &more);
    let ca = authority.file();
    for (pair, status) in [(&client, 200), (&foreign, 0)] {
        let answer = secured.curl(&["--cacert", &ca, "--cert", &pair.cert, "--key", &pair.key]);
        assert_eq!(answer.status, status, "{answer:?}");
    }
    secured.wait_as(&["--cert", &client.cert, "--key", &client.key], &ended("tls"), 1.0);
}

impl Secured {
    fn wait_as(&self, who: &[&str], series: &str, value: f64) -> Page {
        let arguments = [&["--insecure"], who].concat();
        curl::wait_for(&self.exporter, "https", &arguments, series, value)
    }
}

#[test]
fn only_clients_with_an_allowed_name_are_served() {
    let authority = Authority::new();
    let more = format!(
        ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: {}, \
         client_allowed_sans: [a.example, me@a.example, 10.1.2.3, '2001:db8::1', 'spiffe://a/b']",
        authority.file()
    );
    let secured = Secured::new(&authority.signs(HOST), &more);
    let ca = authority.file();
    let text = |text: &str| text.try_into().unwrap();
    for (name, is_served) in [
        (SanType::DnsName(text("a.example")), true),
        (SanType::DnsName(text("b.a.example")), false),
        (SanType::DnsName(text("*.example")), false),
        (SanType::Rfc822Name(text("me@a.example")), true),
        (SanType::Rfc822Name(text("a.example")), true),
        (SanType::Rfc822Name(text("you@a.example")), false),
        (SanType::URI(text("spiffe://a/b")), true),
        (SanType::URI(text("spiffe://a/b/c")), false),
        (SanType::IpAddress(IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3))), true),
        (SanType::IpAddress(IpAddr::V4(Ipv4Addr::new(10, 1, 2, 4))), false),
        (SanType::IpAddress("2001:db8::1".parse().unwrap()), true),
    ] {
        let pair = authority.signs_name(name.clone());
        let answer = secured.curl(&["--cacert", &ca, "--cert", &pair.cert, "--key", &pair.key]);
        assert_eq!(answer.status == 200, is_served, "{name:?} {answer:?}");
    }
}

#[test]
fn certificates_are_renewed_without_a_restart_and_broken_ones_change_nothing() {
    let (before, after) = (Authority::new(), Authority::new());
    let (old, new) = (before.signs(HOST), after.signs(HOST));
    let secured = Secured::new(&old, "");
    let believed_by = |authority: &Authority| {
        let answer = secured.curl(&["--cacert", &authority.file()]);
        assert!(answer.exit == 0 || NOT_BELIEVED.contains(&answer.exit), "{answer:?}");
        answer.exit == 0
    };
    assert!(believed_by(&before) && !believed_by(&after));
    // For a moment the key is not that of the certificate, as when somebody replaces both.
    fs::copy(&new.cert, secured.path("cert.pem")).unwrap();
    secured.wait_for(SUCCESSFUL, 0.0);
    assert!(believed_by(&before), "what was goes on");
    fs::copy(&new.key, secured.path("key.pem")).unwrap();
    let page = secured.wait_for(SUCCESSFUL, 1.0);
    assert!(believed_by(&after) && !believed_by(&before));
    let reloads = |page: &Page, result: &str| {
        page.value(&format!(r#"godebug_exporter_web_config_reloads_total{{result="{result}"}}"#))
    };
    assert_eq!((reloads(&page, "success"), reloads(&page, "failure")), (1.0, 1.0));
    for (text, told) in [
        ("tls_server_config: {cert_file: none.pem, key_file: key.pem}", "cert_file: cannot read"),
        ("tls_server_config: {cert_file: web.yml, key_file: key.pem}", "no certificate in PEM"),
        ("tls_server_config: {cert_file: cert.pem, key_file: web.yml}", "no private key in PEM"),
        ("tls_server_config: {cert_file: cert.pem}", "key_file: is missing"),
        ("", "turning TLS off (tls_server_config) needs a restart"),
        ("{", "not valid YAML"),
    ] {
        fs::write(secured.path("web.yml"), text).unwrap();
        wait_until_or(
            told,
            || {
                assert!(believed_by(&after), "what was goes on");
                let errors = secured.exporter.log("error");
                errors.last().filter(|line| line.contains(told)).cloned()
            },
            || secured.exporter.stderr.text(),
        );
    }
    assert_eq!(secured.exporter.log("error").len(), 7, "{}", secured.exporter.stderr.text());
    fs::write(secured.path("web.yml"), server("")).unwrap();
    secured.wait_for(SUCCESSFUL, 1.0);
}

#[test]
fn hundreds_at_once_with_a_password_that_nobody_has_shown_yet_are_served() {
    let authority = Authority::new();
    // "me" and "right".
    let more = format!("}}\nbasic_auth_users: {{me: '{}'", bcrypt::hash("right", 10).unwrap());
    let secured = Secured::new(&authority.signs(HOST), &more);
    let (address, client) = (secured.exporter.address(), authority.client(&[]));
    let scrape = || {
        let name = "127.0.0.1".try_into().unwrap();
        let tls = rustls::ClientConnection::new(client.clone(), name).unwrap();
        let mut stream = rustls::StreamOwned::new(tls, TcpStream::connect(address).unwrap());
        let head = "Host: x\r\nConnection: close\r\nAuthorization: Basic bWU6cmlnaHQ=\r\n";
        write!(stream, "GET /api/v1/services HTTP/1.1\r\n{head}\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let answers = thread::scope(|scope| {
        let scrapers: Vec<_> = (0..300).map(|_| scope.spawn(scrape)).collect();
        scrapers.into_iter().map(|scraper| scraper.join().unwrap()).collect::<Vec<_>>()
    });
    let served = answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 200 ")).count();
    let told = answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 503 ")).count();
    assert_eq!(served + told, answers.len(), "{answers:?}");
    assert!(served >= 40, "{served} {told}");
}

#[test]
fn half_open_handshakes_end() {
    let authority = Authority::new();
    let secured = Secured::new(&authority.signs(HOST), "");
    let begun: Vec<_> = (0..20)
        .map(|n| {
            let mut stream = TcpStream::connect(secured.exporter.address()).unwrap();
            // The beginning of a ClientHello.
            let hello: &[u8] = if n % 2 == 0 { b"" } else { &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3] };
            stream.write_all(hello).unwrap();
            stream
        })
        .collect();
    secured.wait_for(&ended("head_timeout"), 20.0);
    drop(begun);
}

#[test]
fn what_is_wrong_is_told_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yml");
    let path = file.to_str().unwrap();
    fs::write(&file, "tls_server_config: {cert_file: none}\nbasic_auth_users: {me: x}\n").unwrap();
    let config = folder.path().join("config.yaml");
    let service = "services: [{name: s, trace: {stdin: true}}]\n";
    fs::write(&config, format!("web: {{config_file: {path}}}\n{service}")).unwrap();
    let config = config.to_str().unwrap();
    let started = folder.path().join("started");
    for arguments in [
        &["run", "--service", "s", "--stdin", "--web-config-file", path][..],
        &["run", "--config", config],
        &["check", config],
        &["exec", "--web-config-file", path, "--", "touch", started.to_str().unwrap()],
    ] {
        let output = crate::support::exporter::output(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {said}");
        for told in [
            format!("{path}: line 1: tls_server_config.key_file: is missing"),
            format!("{path}: line 2: basic_auth_users.me: is not a bcrypt hash"),
        ] {
            assert!(said.contains(&told), "{arguments:?}: {said}");
        }
    }
    assert!(!started.exists(), "exec tells it before the command starts");
    fs::remove_file(&file).unwrap();
    let output = crate::support::exporter::output(&["check", config]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("web config: cannot read") && said.contains(path), "{said}");
}

#[test]
fn check_tells_what_a_file_comes_to() {
    let folder = tempfile::tempdir().unwrap();
    let (config, web) = (folder.path().join("config.yaml"), folder.path().join("web.yml"));
    let service = "services: [{name: s, trace: {stdin: true}}]\n";
    fs::write(&config, format!("web: {{config_file: {}}}\n{service}", web.display())).unwrap();
    let authority = Authority::new();
    let pair = authority.signs(HOST);
    let text = format!(
        "tls_server_config: {{cert_file: {}, key_file: {}, min_version: TLS10}}\n\
         basic_auth_users: {{me: '{}'}}",
        pair.cert,
        pair.key,
        bcrypt::hash("x", 4).unwrap()
    );
    for (text, told) in [
        (text.as_str(), "  web: TLS, users: 1\n  web: left out: "),
        ("", "  web: no TLS, whoever asks\n  s: trace"),
    ] {
        fs::write(&web, text).unwrap();
        let output = crate::support::exporter::output(&["check", config.to_str().unwrap()]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(told), "{said}");
    }
}

#[test]
fn a_client_that_takes_no_answers_is_disconnected() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let (config, web) = (folder.path().join("config.yaml"), folder.path().join("web.yml"));
    let pair = authority.signs(HOST);
    let text = format!("tls_server_config: {{cert_file: {}, key_file: {}}}", pair.cert, pair.key);
    fs::write(&web, text).unwrap();
    let text = format!(
        "web: {{config_file: {}, write_timeout: 1s}}\n\
         services: [{{name: s, trace: {{stdin: true}}}}]\n",
        web.display()
    );
    fs::write(&config, text).unwrap();
    let exporter = Exporter::run(&["--config", config.to_str().unwrap()]);
    let stream = TcpStream::connect(exporter.address()).unwrap();
    let name = "127.0.0.1".try_into().unwrap();
    let client = rustls::ClientConnection::new(authority.client(&[]), name).unwrap();
    let mut slow = rustls::StreamOwned::new(client, stream);
    // More than fits into all buffers between us.
    slow.write_all(&b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(3000)).unwrap();
    curl::wait_for(&exporter, "https", &["--insecure"], &ended("write_timeout"), 1.0);
    let connections = "godebug_exporter_http_connections";
    curl::wait_for(&exporter, "https", &["--insecure"], connections, 1.0);
}

#[test]
fn exec_waits_for_a_file_that_broke_meanwhile() {
    let authority = Authority::new();
    let pair = authority.signs(HOST);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yml");
    let web = format!("tls_server_config: {{cert_file: {}, key_file: {}}}", pair.cert, pair.key);
    fs::write(&file, &web).unwrap();
    let exec = Exporter::exec(&["--web-config-file", file.to_str().unwrap()], &["sleep", "600"]);
    let pid = exec.process.0.id();
    let url = format!("https://{}/-/healthy", exec.address());
    let ca = authority.file();
    let flags = ["--cacert", ca.as_str(), "--max-time", "1"];
    wait_until("it serves", || (curl(&url, &flags).status == 200).then_some(()));
    fs::write(&file, "tls_server_config: {cert_file: none}").unwrap();
    kill_process(wait_until("an exporter", || exporter_of(pid)), Signal::KILL).unwrap();
    exec.stderr
        .line("it is told", |line| line.contains("no /metrics yet, trying again").then_some(()));
    assert_eq!(curl(&url, &flags).status, 0);
    fs::write(&file, &web).unwrap();
    wait_until("it serves again", || (curl(&url, &flags).status == 200).then_some(()));
}

#[test]
fn exec_serves_by_tls_too() {
    let authority = Authority::new();
    let pair = authority.signs(HOST);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yml");
    let web = format!("tls_server_config: {{cert_file: {}, key_file: {}}}", pair.cert, pair.key);
    fs::write(&file, web).unwrap();
    let exec = Exporter::exec(&["--web-config-file", file.to_str().unwrap()], &["sleep", "600"]);
    let page = curl::page(&exec, "https", &["--cacert", &authority.file()]);
    assert!(page.has("godebug_exporter_build_info"), "{page}");
}

#[test]
fn prometheus_scrapes_by_tls_with_a_password() {
    let authority = Authority::new();
    let client = authority.signs(&["prometheus"]);
    let more = format!(
        ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: {}}}\n\
         basic_auth_users: {{prometheus: '{}'",
        authority.file(),
        bcrypt::hash("secret", 10).unwrap()
    );
    let secured = Secured::new(&authority.signs(HOST), &more);
    let keys = |password: &str| {
        format!(
            ", scheme: https, basic_auth: {{username: prometheus, password: {password}}}, tls_config: \
             {{ca_file: {}, cert_file: {}, key_file: {}}}",
            authority.file(),
            client.cert,
            client.key
        )
    };
    let address = secured.exporter.address();
    for prometheus in [
        Prometheus::scraping_by(address, &keys("secret")),
        Prometheus::newest_scraping(address, &keys("secret")),
    ] {
        prometheus.wait("up is 1", || (prometheus.query("up") == Some(1.0)).then_some(()));
        let series = "count(godebug_exporter_build_info)";
        assert_eq!(prometheus.query(series), Some(1.0));
    }
    let prometheus = Prometheus::newest_scraping(address, &keys("wrong"));
    prometheus.wait("up is 0", || (prometheus.query("up") == Some(0.0)).then_some(()));
    let targets = prometheus.api("/api/v1/targets?state=active");
    let error = targets["activeTargets"][0]["lastError"].as_str().unwrap();
    assert!(error.contains("401"), "{error}");
}

/// What promtool takes we take, and the other way round, but for what `stricter` tells.
#[test]
fn promtool_and_we_agree_on_what_is_right() {
    let authority = Authority::new();
    let (pair, other) = (authority.signs(HOST), authority.signs(HOST));
    let folder = tempfile::tempdir().unwrap();
    for (name, from) in [("c", &pair.cert), ("k", &pair.key), ("k2", &other.key)] {
        fs::copy(from, folder.path().join(name)).unwrap();
    }
    fs::copy(authority.file(), folder.path().join("ca")).unwrap();
    let hash = bcrypt::hash("x", 4).unwrap();
    let tls = |more: &str| format!("tls_server_config: {{cert_file: c, key_file: k{more}}}\n");
    let both = [
        String::new(),
        tls(""),
        tls(", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca"),
        tls(", client_auth_type: RequireAndVerifyClientCert, client_ca_file: none"),
        tls(", client_auth_type: VerifyClientCertIfGiven"),
        tls(", client_auth_type: Sometimes"),
        tls(", client_ca_file: ca"),
        tls(", cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, TLS_AES_128_GCM_SHA256]"),
        tls(", cipher_suites: [TLS_ECDHE_RSA]"),
        tls(", curve_preferences: [CurveP256, CurveP521]"),
        tls(", curve_preferences: [P256]"),
        tls(", min_version: TLS10, max_version: TLS13, prefer_server_cipher_suites: false"),
        tls(", min_version: TLS9"),
        tls(", min_version: 1.2"),
        tls(", unknown: 1"),
        "tls_server_config: {cert_file: c, key_file: k2}\n".into(),
        "tls_server_config: {cert_file: none, key_file: k}\n".into(),
        "tls_server_config: {key_file: k}\n".into(),
        "tls_server_config: {}\n".into(),
        "http_server_config: {http2: false, headers: {X-Frame-Options: deny}}\n".into(),
        "http_server_config: {headers: {X-Frame-Options: maybe}}\n".into(),
        "http_server_config: {headers: {X-Other: a}}\n".into(),
        "http_server_config: {http2: perhaps}\n".into(),
        format!("basic_auth_users: {{me: '{hash}', you: '{hash}'}}\n"),
        format!("basic_auth_users: {{me: '{hash}', me: '{hash}'}}\n"),
        format!("basic_auth_users: {{me: '{}'}}\n", &hash[..50]),
        "basic_auth_users: {me: secret}\n".into(),
        "unknown: {}\n".into(),
        "- list\n".into(),
        "{\n".into(),
    ];
    let verdicts = |text: &str| {
        let file = folder.path().join("web.yml");
        fs::write(&file, text).unwrap();
        (crate::support::prometheus::check_web_config(&file), check(&file))
    };
    let mut right = 0;
    for text in &both {
        let (theirs, ours) = verdicts(text);
        assert_eq!(theirs.is_ok(), ours.is_ok(), "{text}: {theirs:?} {ours:?}");
        right += usize::from(ours.is_ok());
    }
    assert!(right > 8, "{right}");
    // They would be served without TLS, or with nobody let in.
    let stricter = ["tls_server_config: {min_version: TLS13}\n".to_owned(), tls(", cert: x")];
    for text in &stricter {
        let (theirs, ours) = verdicts(text);
        assert!(theirs.is_ok() && ours.is_err(), "{text}: {theirs:?} {ours:?}");
    }
}

fn check(file: &Path) -> Result<(), String> {
    let config = file.with_file_name("config.yaml");
    let service = "services: [{name: s, trace: {stdin: true}}]";
    fs::write(&config, format!("web: {{config_file: {}}}\n{service}\n", file.display())).unwrap();
    let output = crate::support::exporter::output(&["check", config.to_str().unwrap()]);
    let said = String::from_utf8(output.stderr).unwrap();
    if output.status.success() { Ok(()) } else { Err(said) }
}
