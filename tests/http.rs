//! How services are reached: TLS, sockets, passwords, proxies.

use std::process::Stdio;

use crate::support::certificates::{Authority, Pair};
use crate::support::endpoint::{Behaviour, Endpoint};
use crate::support::exporter::{Exporter, output};
use crate::support::http;
use crate::support::metrics::Page;
use crate::support::proxy::Proxy;
use crate::support::service::Service;

const SUCCESS: &str = "godebug_exporter_scrape_success";
const GOOD: &str = r#"{"memstats": {"Alloc": 1}}"#;

/// An exporter that reads one endpoint whenever its own page is read; `http` is YAML.
fn reading(url: &str, http: &str) -> Exporter {
    let exporter = Exporter::configured(&format!(
        "services: [{{name: s, expvar: {{url: '{url}', interval: scrape, max_age: 0s}}, http: {{{http}}}}}]\n"
    ));
    exporter.address();
    exporter
}

/// What the page says of the last read: empty, or why it failed.
fn reason(page: &Page) -> String {
    if page.value(SUCCESS) == 1.0 {
        assert!(page.has("go_memstats_alloc_bytes"), "{page}");
        return String::new();
    }
    let text = page.to_string();
    let line = text.lines().find(|line| line.starts_with("godebug_exporter_scrape_errors_total"));
    let (_, rest) = line.unwrap().split_once("reason=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

fn check(url: &str, http: &str, expected: &str) {
    let exporter = reading(url, http);
    assert_eq!(reason(&exporter.page()), expected, "{url} {http}\n{}", exporter.stderr.text());
}

fn guarded(arguments: &[&str]) -> Service {
    Service::start(arguments, "", Stdio::null())
}

fn with_tls(pair: &Pair, more: &[&str]) -> (Service, String) {
    let arguments = ["-guarded-cert", &pair.cert, "-guarded-key", &pair.key];
    let service = guarded(&[&arguments[..], more].concat());
    let address = service.guarded();
    (service, format!("https://{address}"))
}

fn trusting(file: &str) -> String {
    format!("tls_config: {{ca_file: '{file}'}}")
}

#[test]
fn a_service_is_known_by_its_authority_and_its_name() {
    let (ours, other) = (Authority::new(), Authority::new());
    let (service, url) = with_tls(&ours.signs(&["127.0.0.1", "checkout.internal"]), &[]);
    check(&url, &trusting(&ours.file()), "");
    check(&url, &trusting(&other.file()), "tls_unknown_authority");
    check(&url, "", "tls_unknown_authority");
    check(&url, "tls_config: {insecure_skip_verify: true}", "");
    let named =
        |name: &str| format!("tls_config: {{ca_file: '{}', server_name: {name}}}", ours.file());
    check(&url, &named("checkout.internal"), "");
    check(&url, &named("search.internal"), "tls_wrong_name");
    check(&url, &trusting("/no/such/file"), "bad_file");
    check(&url, &trusting("/dev/zero"), "bad_file");
    // Who does not speak TLS, and who does.
    let plain = url.replace("https:", "http:");
    check(&plain, "", "http_status");
    let main = format!("https://{}", service.remote.address());
    check(&main, "", "tls");
}

#[test]
fn a_certificate_of_another_name_or_time_is_refused() {
    let ours = Authority::new();
    let (_service, url) = with_tls(&ours.signs(&["elsewhere.internal"]), &[]);
    check(&url, &trusting(&ours.file()), "tls_wrong_name");
    let (_service, url) = with_tls(&ours.signs_expired(&["127.0.0.1"]), &[]);
    check(&url, &trusting(&ours.file()), "tls_expired");
}

#[test]
fn a_certificate_that_signed_itself_is_taken_if_it_is_the_one_that_is_trusted() {
    let authority = Authority::new();
    let (mine, other) =
        (authority.self_signed(&["127.0.0.1"]), authority.self_signed(&["127.0.0.1"]));
    let (_service, url) = with_tls(&mine, &[]);
    check(&url, &trusting(&mine.cert), "");
    check(&url, &trusting(&other.cert), "tls_unknown_authority");
    let elsewhere = authority.self_signed(&["elsewhere.internal"]);
    let (_service, url) = with_tls(&elsewhere, &[]);
    check(&url, &trusting(&elsewhere.cert), "tls_wrong_name");
}

#[test]
fn a_service_may_want_a_certificate_of_ours() {
    let (ours, other) = (Authority::new(), Authority::new());
    let with = |pair: &Pair| {
        let Pair { cert, key } = pair;
        let ca = ours.file();
        format!("tls_config: {{ca_file: '{ca}', cert_file: '{cert}', key_file: '{key}'}}")
    };
    for more in [&["-guarded-tls12"][..], &[]] {
        let ca = ours.file();
        let more = [more, &["-guarded-ca", &ca]].concat();
        let (_service, url) = with_tls(&ours.signs(&["127.0.0.1"]), &more);
        check(&url, &with(&ours.signs(&["exporter"])), "");
        check(&url, &trusting(&ours.file()), "tls_client_certificate");
        let stranger = other.signs(&["exporter"]);
        let exporter = reading(&url, &with(&stranger));
        // The service may close before its alert is read.
        let found = reason(&exporter.page());
        assert!(["tls_client_certificate", "truncated"].contains(&&*found), "{found}");
    }
}

#[test]
fn a_renewed_authority_is_used_from_the_next_read_on() {
    let (ours, other) = (Authority::new(), Authority::new());
    let (_service, url) = with_tls(&ours.signs(&["127.0.0.1"]), &[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::copy(other.file(), &file).unwrap();
    let exporter = reading(&url, &trusting(file.to_str().unwrap()));
    assert_eq!(reason(&exporter.page()), "tls_unknown_authority");
    std::fs::copy(ours.file(), &file).unwrap();
    assert_eq!(reason(&exporter.page()), "");
}

#[test]
fn passwords_and_tokens_are_read_from_files_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let path = file.display();
    for (needed, http) in [
        ("Bearer s3cret-token", format!("authorization: {{credentials_file: '{path}'}}")),
        (
            "Token s3cret-token",
            format!("authorization: {{type: Token, credentials_file: '{path}'}}"),
        ),
        (
            "Basic bWU6czNjcmV0LXRva2Vu",
            format!("basic_auth: {{username: me, password_file: '{path}'}}"),
        ),
    ] {
        let service = guarded(&["-guarded-auth", needed]);
        let url = format!("http://{}", service.guarded());
        let _absent = std::fs::remove_file(&file);
        let exporter = reading(&url, &http);
        let step = |text: Option<&str>, expected: &str| {
            if let Some(text) = text {
                std::fs::write(&file, text).unwrap();
            }
            let page = exporter.page();
            let errors = |reason: &str| {
                page.sum(&format!(r#"godebug_exporter_scrape_errors_total{{reason="{reason}"}}"#))
            };
            let is_right = if expected.is_empty() {
                page.value(SUCCESS) == 1.0
            } else {
                page.value(SUCCESS) == 0.0 && errors(expected) >= 1.0
            };
            assert!(is_right, "{needed} {text:?}\n{page}");
        };
        step(None, "bad_file");
        step(Some("wrong"), "http_401");
        step(Some("s3cret-token\n"), "");
        step(Some("two\nlines"), "bad_file");
        step(Some("s3cret-token"), "");
        let told = [exporter.stderr.text(), http::body(exporter.address(), "/")].concat();
        assert!(!told.contains("s3cret"), "{told}");
    }
}

#[test]
fn a_service_may_listen_on_a_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("vars.sock");
    let path = socket.to_str().unwrap();
    let _service = guarded(&["-guarded-socket", path]);
    check("http://checkout", &format!("unix_socket: '{path}'"), "");
    check("http://checkout", &format!("unix_socket: '{path}.not'"), "not_found");
    let flags = ["--service", "s", "--expvar", "http://checkout", "--unix-socket", path];
    let exporter = Exporter::run(&flags);
    exporter.wait_for(SUCCESS, 1.0);
}

#[test]
fn flags_reach_a_guarded_service() {
    let ours = Authority::new();
    let pair = ours.signs(&["127.0.0.1"]);
    let (_service, url) = with_tls(&pair, &["-guarded-auth", "Bearer abc"]);
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "abc\n").unwrap();
    let (ca, token) = (ours.file(), token.to_str().unwrap());
    let flags = ["--service", "s", "--expvar", &url, "--credentials-file", token];
    for more in [&["--ca-file", &ca][..], &["--insecure-skip-verify"]] {
        Exporter::run(&[&flags[..], more].concat()).wait_for(SUCCESS, 1.0);
    }
    let output = output(&["run", "--service", "s", "--expvar", "http://x", "--ca-file", &ca]);
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8(output.stderr).unwrap().contains("https://"));
}

#[test]
fn a_proxy_stands_between() {
    let ours = Authority::new();
    let (service, url) = with_tls(&ours.signs(&["127.0.0.1"]), &[]);
    let proxy = Proxy::start("200 Go on");
    let through = |proxy: &Proxy| format!("proxy_url: 'http://{}'", proxy.address);
    let plain = format!("http://{}/debug/vars", service.remote.address());
    check(&plain, &through(&proxy), "");
    check(&url, &format!("{}, {}", through(&proxy), trusting(&ours.file())), "");
    let host = url.trim_start_matches("https://");
    for asked in [format!("GET {plain} HTTP/1.1"), format!("CONNECT {host} HTTP/1.1")] {
        assert!(proxy.asked().contains(&asked), "{asked} in {:?}", proxy.asked());
    }

    let strict = Proxy::start("403 No");
    check(&url, &format!("{}, {}", through(&strict), trusting(&ours.file())), "proxy");
    let nobody = crate::support::ports::free();
    check(&plain, &format!("proxy_url: 'http://{nobody}'"), "proxy");
}

#[test]
fn a_proxy_may_want_to_know_who_we_are() {
    let ours = Authority::new();
    let (service, url) = with_tls(&ours.signs(&["127.0.0.1"]), &[]);
    // me:s3cret
    let proxy = Proxy::guarded("Basic bWU6czNjcmV0");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let plain = format!("http://{}/debug/vars", service.remote.address());
    for url in [&plain, &url] {
        let http = |user: &str, more: &str| {
            let proxy = format!("proxy_url: 'http://{user}{}'{more}", proxy.address);
            if url.starts_with("https") {
                format!("{proxy}, {}", trusting(&ours.file()))
            } else {
                proxy
            }
        };
        check(url, &http("", ""), "proxy");
        check(url, &http("me:wrong@", ""), "proxy");
        let by_file =
            format!(", proxy_auth: {{username: me, password_file: '{}'}}", file.display());
        std::fs::write(&file, "wr0ng").unwrap();
        let exporter = reading(url, &http("", &by_file));
        assert_eq!(reason(&exporter.page()), "proxy");
        std::fs::write(&file, "s3cret\n").unwrap();
        assert_eq!(reason(&exporter.page()), "");
        for exporter in [&exporter, &reading(url, &http("me:s3cret@", ""))] {
            assert_eq!(reason(&exporter.page()), "");
            let pages = ["/", "/api/v1/services", "/metrics"];
            let shown = pages.map(|path| http::body(exporter.address(), path)).concat();
            let told = [exporter.stderr.text(), shown].concat();
            assert!(!told.contains("s3cret") && !told.contains("bWU6"), "{told}");
        }
    }
}

#[test]
fn what_we_send() {
    let endpoint = Endpoint::start(Behaviour::Body(GOOD.into()));
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "k3y\n").unwrap();
    let url = format!("http://{}/vars?token=s3cret", endpoint.address);
    let headers =
        format!("headers: {{X-Scope-OrgID: team, X-Api-Key: {{file: '{}'}}}}", key.display());
    let exporter = reading(&url, &headers);
    let page = exporter.page();
    assert_eq!(reason(&page), "");
    let head = endpoint.last_request().to_ascii_lowercase();
    for line in [
        "get /vars?token=s3cret http/1.1\r\n".to_owned(),
        format!("\r\nhost: {}\r\n", endpoint.address),
        "\r\nx-scope-orgid: team\r\n".into(),
        "\r\nx-api-key: k3y\r\n".into(),
        "\r\naccept-encoding: gzip\r\n".into(),
        "\r\nconnection: close\r\n".into(),
    ] {
        assert!(head.contains(&line), "{line} in {head}");
    }
    endpoint.behave(Behaviour::Raw(
        "HTTP/1.1 302 Found\r\nLocation: /login?back=s3cret\r\nContent-Length: 0\r\n\r\n".into(),
    ));
    exporter.page_where("the failure is told", |_| !exporter.log("warn").is_empty());
    let told = exporter.log("warn").concat();
    assert!(told.contains("sends us to /login") && told.contains("advice="), "{told}");
    let all = [page.to_string(), exporter.stderr.text(), http::body(exporter.address(), "/")];
    assert!(all.iter().all(|text| !text.contains("s3cret") && !text.contains("k3y")), "{all:?}");
}

#[test]
fn another_reason_is_told_too_and_each_once() {
    let endpoint = Endpoint::start(Behaviour::Body("<html>".into()));
    let exporter = reading(&format!("http://{}", endpoint.address), "");
    exporter.page_where("the first is told", |_| exporter.log("warn").len() == 1);
    endpoint.behave(Behaviour::Raw("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n".into()));
    exporter.page();
    endpoint.behave(Behaviour::Body("<html>".into()));
    exporter.page();
    let warnings = exporter.log("warn");
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
    assert!(warnings[0].contains("reason=unexpected_body") && warnings[1].contains("http_401"));
}
