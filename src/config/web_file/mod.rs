//! The web configuration file of Prometheus' exporter-toolkit, as it is: TLS, users, headers of answers, a
//! limit on requests. <https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md>

pub mod tls;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use bcrypt::HashParts;
use hyper::header::{
    CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS, X_XSS_PROTECTION,
};

use super::Problem;
use super::fields::{Fields, Problems};
use super::node::{self, Value};
use tls::ServerTls;

/// The dearest bcrypt hash that is taken: each step takes twice the time, and this one some 15 s.
const COST_MAX: u32 = 18;

/// The headers that may be set, and the values of those that have only a few.
const HEADERS: [(&str, HeaderName, &[&str]); 5] = [
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY, &[]),
    ("X-Frame-Options", X_FRAME_OPTIONS, &["deny", "sameorigin"]),
    ("X-Content-Type-Options", X_CONTENT_TYPE_OPTIONS, &["nosniff"]),
    ("X-XSS-Protection", X_XSS_PROTECTION, &[]),
    ("Strict-Transport-Security", STRICT_TRANSPORT_SECURITY, &[]),
];

/// What such a file says.
#[derive(Debug, Default)]
pub struct WebFile {
    /// Serve by TLS, and only so.
    pub tls: Option<ServerTls>,
    /// Headers of every answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Who may ask; nobody listed: everybody.
    pub users: Vec<User>,
    /// How often one may ask.
    pub rate_limit: Option<RateLimit>,
    /// What we leave out of it, because we have nothing so old; never less safe.
    pub left_out: Vec<Problem>,
}

/// Somebody who may ask.
#[derive(Debug)]
pub struct User {
    /// Name.
    pub name: String,
    /// The password's bcrypt hash.
    pub hash: Secret,
    /// The hash's cost: the logarithm of the work.
    pub cost: u32,
}

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// From one request to the next.
    pub interval: Duration,
    /// So many at once.
    pub burst: u32,
}

/// A text that is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Reads a file's text. `directory`: where it is, for the paths in it.
///
/// # Errors
/// Every problem it has, in the order of the file.
pub fn read(text: &str, directory: &Path) -> Result<WebFile, Vec<Problem>> {
    let root = node::read(text).map_err(|problem| vec![problem])?;
    if matches!(root.value, Value::Null) {
        return Ok(WebFile::default());
    }
    let problems = Problems::default();
    let file = Fields::of(&root, "", &problems).map(|fields| root_fields(fields, directory));
    match file {
        Some(file) if problems.is_empty() => Ok(file),
        _ => Err(problems.into_sorted()),
    }
}

fn root_fields(mut fields: Fields<'_>, directory: &Path) -> WebFile {
    let mut left_out = Vec::new();
    let tls = fields.map("tls_server_config");
    let mut tls = tls.and_then(|keys| tls::read(keys, directory, &mut left_out));
    let (http2, headers) = fields.map("http_server_config").map_or((true, Vec::new()), http);
    if let Some(tls) = &mut tls {
        tls.http2 = http2;
    }
    let users = fields.map("basic_auth_users").map(|fields| users(&fields)).unwrap_or_default();
    let rate_limit = fields.map("rate_limit").and_then(rate_limit);
    fields.finish();
    WebFile { tls, headers, users, rate_limit, left_out }
}

fn http(mut fields: Fields<'_>) -> (bool, Vec<(HeaderName, HeaderValue)>) {
    let http2 = fields.get("http2").is_none() || fields.flag("http2");
    let headers = fields.map("headers").map(headers).unwrap_or_default();
    fields.finish();
    (http2, headers)
}

fn headers(mut fields: Fields<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    for (key, name, allowed) in HEADERS {
        let value = fields.parsed(key, |text| match HeaderValue::from_str(text) {
            _ if text.is_empty() => Ok(None),
            _ if !allowed.is_empty() && !allowed.contains(&text) => {
                Err(format!("must be {}", allowed.join(" or ")))
            }
            Ok(value) => Ok(Some(value)),
            Err(_invalid) => Err("holds characters that a header may not have".into()),
        });
        headers.extend(value.flatten().map(|value| (name, value)));
    }
    fields.finish();
    headers
}

fn users(fields: &Fields<'_>) -> Vec<User> {
    let mut users = Vec::new();
    for (name, hash) in fields.entries() {
        let (Value::Text(user), Value::Text(text)) = (&name.value, &hash.value) else {
            let what =
                "must be a name and its password's bcrypt hash, both as text; put them in quotes";
            fields.problem(name.line, "?", what);
            continue;
        };
        match user_of(user, text) {
            Ok(user) => users.push(user),
            Err(what) => fields.problem(hash.line, user, what),
        }
    }
    users
}

fn user_of(name: &str, hash: &str) -> Result<User, String> {
    if name.contains(':') {
        return Err("a user name cannot hold a colon".into());
    }
    let Ok(parts) = hash.parse::<HashParts>() else {
        return Err("is not a bcrypt hash; make one with: htpasswd -nBC 10 NAME".into());
    };
    match parts.get_cost() {
        cost @ 4..=COST_MAX => Ok(User { name: name.into(), hash: Secret(hash.into()), cost }),
        cost => {
            Err(format!("its cost is {cost}; it must be from 4 to {COST_MAX}, and 10 is usual"))
        }
    }
}

fn rate_limit(mut fields: Fields<'_>) -> Option<RateLimit> {
    let interval = fields.parsed("interval", go_duration);
    let burst = fields.parsed("burst", |text| {
        text.parse().map_err(|_not_a_number| "must be a number of requests")
    });
    let is_wanted = interval.is_some_and(|interval| !interval.is_zero());
    let no_burst = burst == Some(0) || fields.get("burst").is_none();
    if is_wanted && no_burst {
        fields.problem(fields.line(), "burst", "must be at least 1, else no request is answered");
    }
    fields.finish();
    Some(RateLimit { interval: interval.filter(|_| is_wanted)?, burst: burst? })
}

/// Reads a duration as Go writes them: `1s`, `1.5s`, `1m30s`, `200us`; a bare number is of nanoseconds.
fn go_duration(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!("{text:?} is not a duration; write a number with a unit: 250ms, 1s, 1.5s, 1m30s")
    };
    if let Ok(nanoseconds) = text.parse() {
        return Ok(Duration::from_nanos(nanoseconds));
    }
    let (mut total, mut rest) = (Duration::ZERO, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        let number: f64 = number.parse().map_err(|_not_a_number| wrong())?;
        let part = Duration::try_from_secs_f64(number * seconds).ok();
        total = part.and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
        rest = tail;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use rustls::CipherSuite;
    use rustls::version::{TLS12, TLS13};

    use super::tls::{ClientAuth, Pem};
    use super::*;

    const HASH: &str = "$2y$04$gHLqfTeqnFhv1bEYDDYBLuwnXOtVxKVVzMMcfFkzsE1nUzfSJ7uS6";

    fn parsed(text: &str) -> WebFile {
        read(text, Path::new("/etc/web")).unwrap_or_else(|problems| panic!("{text}: {problems:?}"))
    }

    fn tls(keys: &str) -> ServerTls {
        parsed(&format!("tls_server_config: {{cert_file: c, key_file: /k, {keys}}}")).tls.unwrap()
    }

    #[test]
    fn defaults_are_the_toolkits() {
        for empty in ["", "# nothing\n", "tls_server_config:\n", "tls_server_config: {}"] {
            let file = parsed(empty);
            assert!(file.tls.is_none() && file.users.is_empty() && file.rate_limit.is_none());
        }
        let tls = tls("");
        assert_eq!(tls.certificate, Pem::File("/etc/web/c".into()));
        assert_eq!(tls.key, Pem::File("/k".into()));
        assert_eq!(tls.client_auth, ClientAuth::NoClientCert);
        assert_eq!(tls.versions, [&TLS12, &TLS13]);
        assert!(tls.http2 && tls.prefer_server_cipher_suites);
        assert!(tls.client_ca.is_none() && tls.client_allowed_sans.is_none());
    }

    #[test]
    fn every_key_is_understood() {
        let file = parsed(&format!(
            "tls_server_config: {{cert: C, key: K, client_ca: A, client_auth_type: RequireClientCert, \
               client_allowed_sans: [a, 10.0.0.1], min_version: TLS13, max_version: TLS13, \
               prefer_server_cipher_suites: false, curve_preferences: [CurveP384, X25519], \
               cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256]}}\n\
             http_server_config: {{http2: false, headers: {{X-Frame-Options: deny, X-XSS-Protection: ''}}}}\n\
             basic_auth_users: {{me: {HASH}}}\n\
             rate_limit: {{interval: 1m1.5s, burst: 3}}\n"
        ));
        let tls = file.tls.unwrap();
        assert_eq!(tls.certificate, Pem::Inline(Secret("C".into())));
        assert_eq!(tls.client_auth, ClientAuth::RequireAnyClientCert);
        assert_eq!(tls.client_allowed_sans.unwrap(), ["a", "10.0.0.1"]);
        assert_eq!(tls.versions, [&TLS13]);
        let suites: Vec<_> = tls.cipher_suites.iter().map(|suite| suite.suite()).collect();
        assert_eq!(suites[3..], [CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]);
        let curves: Vec<_> = tls.curves.iter().map(|curve| curve.name()).collect();
        assert_eq!(curves, [rustls::NamedGroup::secp384r1, rustls::NamedGroup::X25519]);
        assert!(!tls.http2 && !tls.prefer_server_cipher_suites);
        assert_eq!(file.headers, [(X_FRAME_OPTIONS, HeaderValue::from_static("deny"))]);
        assert_eq!((file.users[0].name.as_str(), file.users[0].cost), ("me", 4));
        let interval = Duration::from_millis(61_500);
        assert_eq!(file.rate_limit, Some(RateLimit { interval, burst: 3 }));
        assert!(file.left_out.is_empty());
    }

    #[test]
    fn what_is_too_old_is_left_out_and_told() {
        let text = "tls_server_config: {cert_file: c, key_file: k, min_version: TLS10, curve_preferences: \
            [CurveP521, X25519], cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]}";
        let file = parsed(text);
        let told: Vec<_> = file.left_out.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 3);
        for (told, part) in told.iter().zip(["min_version", "cipher_suites", "CurveP521"]) {
            assert!(told.contains(part), "{told}");
        }
        assert_eq!(file.tls.unwrap().versions, [&TLS12, &TLS13]);
    }

    #[test]
    fn durations_are_gos() {
        for (text, expected) in [
            ("1s", Some(Duration::from_secs(1))),
            ("1.5s", Some(Duration::from_millis(1500))),
            ("1h1m1s", Some(Duration::from_secs(3661))),
            ("200us", Some(Duration::from_micros(200))),
            ("2µs", Some(Duration::from_micros(2))),
            ("1000", Some(Duration::from_micros(1))),
            ("0", Some(Duration::ZERO)),
            ("", None),
            ("s", None),
            ("1d", None),
            ("1.2.3s", None),
            ("-1s", None),
            ("1e99s", None),
            ("99999999999999999999999h", None),
        ] {
            assert_eq!(go_duration(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn every_mistake_is_told_with_what_would_be_right() {
        let check = |text: &str, expected: &[&str]| {
            let problems = read(text, Path::new("/")).err().unwrap_or_default();
            let found: Vec<_> = problems.iter().map(ToString::to_string).collect();
            let same = found.len() == expected.len()
                && found.iter().zip(expected).all(|(found, expected)| found.contains(expected));
            assert!(same, "{text}: {found:#?} {expected:#?}");
            assert!(!format!("{found:?}").contains("geheim"), "{found:?}");
        };
        let tls = |keys: &str, expected: &[&str]| {
            check(&format!("tls_server_config: {{cert_file: c, key_file: k, {keys}}}"), expected);
        };
        check("- a", &["must be a map of keys"]);
        check(
            "tls_config: {}",
            &["is not a key; the keys here are tls_server_config, http_server"],
        );
        check(
            "tls_server_config: {min_version: TLS12}",
            &["cert_file: is missing", "key_file: is"],
        );
        check("tls_server_config: {cert_file: c}", &["key_file: is missing; TLS needs it, or key"]);
        tls("cert: x", &["tls_server_config.cert: is there besides cert_file"]);
        tls("client_ca: x", &["client_auth_type: asks for no certificate"]);
        tls("client_auth_type: Require", &["must be NoClientCert, RequestClientCert"]);
        tls("client_allowed_sans: [a]", &["needs client_auth_type: RequireAndVerify"]);
        tls("min_version: TLS14", &["must be one of TLS10, TLS11, TLS12, TLS13"]);
        tls("max_version: TLS11", &["leaves no version to speak"]);
        tls("min_version: TLS13, max_version: TLS12", &["leaves no version to speak"]);
        tls("cipher_suites: [TLS_NULL]", &["\"TLS_NULL\" is not a cipher suite of Go"]);
        tls("cipher_suites: [1]", &["must hold texts, has a number"]);
        tls("curve_preferences: [CurveP521]", &["leaves no curve"]);
        tls("curve_preferences: [P256]", &["\"P256\" is not one of X25519", "leaves no curve"]);
        tls("minversion: x", &["did you mean min_version?"]);
        let headers = |text: &str, expected: &[&str]| {
            check(&format!("http_server_config: {{headers: {{{text}}}}}"), expected);
        };
        headers("X-Frame-Options: none", &["must be deny or sameorigin"]);
        headers("X-A: b", &["is not a key; the keys here are Content-Security-Policy"]);
        headers("X-XSS-Protection: \"a\\nb\"", &["characters that a header may not have"]);
        check("http_server_config: {http2: maybe}", &["http2: must be true or false"]);
        let users = |text: &str, expected: &[&str]| {
            check(&format!("basic_auth_users: {{{text}}}"), expected);
        };
        users(
            "me: geheim",
            &["basic_auth_users.me: is not a bcrypt hash; make one with: htpasswd"],
        );
        users("1: x", &["must be a name and its password's bcrypt hash"]);
        users(&format!("'a:b': {HASH}"), &["cannot hold a colon"]);
        users(&format!("me: {}", HASH.replace("$04$", "$19$")), &["its cost is 19"]);
        users(&format!("me: {}", HASH.replace("$04$", "$03$")), &["its cost is 3"]);
        check("rate_limit: {interval: 1s}", &["burst: must be at least 1"]);
        check("rate_limit: {interval: soon, burst: 1}", &["interval: \"soon\" is not a duration"]);
        check("rate_limit: {interval: 0}", &[]);
    }

    #[test]
    fn secrets_are_not_shown() {
        let text = format!(
            "basic_auth_users: {{me: {HASH}}}\ntls_server_config: {{cert: c, key: GEHEIM}}"
        );
        let shown = format!("{:?}", parsed(&text));
        assert!(!shown.contains("GEHEIM") && !shown.contains("$2y$"), "{shown}");
    }
}
