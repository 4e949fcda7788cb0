//! How a service is reached by HTTP: the keys under `http`, named as in Prometheus' own
//! `http_config`. No secret stands in the config: files hold them, and are read for each request.

use std::path::PathBuf;

use hyper::header::{self, HeaderName, HeaderValue};
use rustls::pki_types::ServerName;

use super::fields::Fields;
use super::node::Value;
use super::proxy::{Password, Proxy};

/// Headers that have keys of their own, or that the connection is made of.
const RESERVED_HEADERS: [HeaderName; 13] = [
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::COOKIE,
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::TRANSFER_ENCODING,
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::UPGRADE,
    header::TE,
    header::USER_AGENT,
];

/// How a service is reached.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Http {
    /// For addresses with https.
    pub tls: Tls,
    /// Who we are.
    pub auth: Option<Auth>,
    /// Further headers.
    pub headers: Vec<(HeaderName, HeaderText)>,
    /// A proxy between us.
    pub proxy: Option<Proxy>,
    /// Connect to this socket; the host of the address is a name only.
    pub unix_socket: Option<PathBuf>,
}

/// How a server is known, and we to it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tls {
    /// The authorities that are trusted, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Our certificate.
    pub certificate: Option<Certificate>,
    /// The name in the server's certificate, if it is not the address'.
    pub server_name: Option<ServerName<'static>>,
    /// Anybody may be the server.
    pub insecure_skip_verify: bool,
}

/// A client's certificate.
#[derive(Debug, Clone, PartialEq)]
pub struct Certificate {
    /// With its chain, PEM.
    pub cert_file: PathBuf,
    /// PEM.
    pub key_file: PathBuf,
}

/// What the header Authorization is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum Auth {
    /// A user's name and password.
    Basic {
        /// In the open.
        username: String,
        /// Holds the password.
        password_file: PathBuf,
    },
    /// A scheme and what belongs to it.
    Credentials {
        /// `Bearer`, mostly.
        scheme: String,
        /// Holds the token.
        credentials_file: PathBuf,
    },
}

/// What a header says.
#[derive(Debug, Clone, PartialEq)]
pub enum HeaderText {
    /// This.
    Value(HeaderValue),
    /// What is in this file.
    File(PathBuf),
}

impl Http {
    /// Whether any file has to be read before a request.
    #[must_use]
    pub fn names_files(&self) -> bool {
        self.auth.is_some()
            || self.headers.iter().any(|(_, text)| matches!(text, HeaderText::File(_)))
            || self
                .proxy
                .as_ref()
                .and_then(|proxy| proxy.auth.as_ref())
                .is_some_and(|auth| matches!(auth.password, Password::File(_)))
    }

    /// Reads the map `http`.
    pub(super) fn read(mut fields: Fields<'_>) -> Self {
        let tls = fields.map("tls_config").map(tls).unwrap_or_default();
        let basic = fields.map("basic_auth").and_then(basic_auth);
        let credentials = fields.map("authorization").and_then(authorization);
        if fields.get("basic_auth").is_some() && fields.get("authorization").is_some() {
            fields.problem_at_map("has both basic_auth and authorization; give one");
        }
        let headers = fields.map("headers").map(headers).unwrap_or_default();
        let proxy = Proxy::read(&mut fields);
        let unix_socket = file(&mut fields, "unix_socket");
        if proxy.is_some() && unix_socket.is_some() {
            fields.problem_at_map("has both proxy_url and unix_socket; give one");
        }
        fields.finish();
        Self { tls, auth: basic.or(credentials), headers, proxy, unix_socket }
    }
}

fn tls(mut fields: Fields<'_>) -> Tls {
    let ca_file = file(&mut fields, "ca_file");
    let cert_file = file(&mut fields, "cert_file");
    let key_file = file(&mut fields, "key_file");
    if cert_file.is_some() != key_file.is_some() {
        fields.problem_at_map("needs both cert_file and key_file for a client certificate");
    }
    let server_name = fields.parsed("server_name", |text| {
        ServerName::try_from(text.to_owned()).map_err(|_invalid| {
            format!("{text:?} is not the name of a host; write it like checkout.internal")
        })
    });
    let insecure_skip_verify = fields.flag("insecure_skip_verify");
    refuse_secrets(&mut fields, &["ca", "cert", "key"]);
    fields.finish();
    let certificate =
        cert_file.zip(key_file).map(|(cert_file, key_file)| Certificate { cert_file, key_file });
    Tls { ca_file, certificate, server_name, insecure_skip_verify }
}

fn basic_auth(mut fields: Fields<'_>) -> Option<Auth> {
    let username = fields.parsed("username", username);
    let password_file = file(&mut fields, "password_file");
    refuse_secrets(&mut fields, &["password"]);
    needed(&mut fields, "username", "checkout-metrics");
    needed(&mut fields, "password_file", "/run/secrets/password");
    fields.finish();
    Some(Auth::Basic { username: username?, password_file: password_file? })
}

pub(super) fn username(text: &str) -> Result<String, &'static str> {
    match text {
        "" => Err("must not be empty"),
        text if text.contains(':') => Err("must not hold a colon: basic auth ends the name there"),
        text => Ok(text.to_owned()),
    }
}

fn authorization(mut fields: Fields<'_>) -> Option<Auth> {
    let scheme = fields.parsed("type", |text| match text {
        "" => Err("must not be empty"),
        text if text.eq_ignore_ascii_case("basic") => Err("must not be Basic; use basic_auth"),
        text if text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => Ok(text.to_owned()),
        _ => Err("must be one word, like Bearer"),
    });
    let credentials_file = file(&mut fields, "credentials_file");
    refuse_secrets(&mut fields, &["credentials"]);
    needed(&mut fields, "credentials_file", "/run/secrets/token");
    fields.finish();
    let scheme = scheme.unwrap_or_else(|| "Bearer".into());
    Some(Auth::Credentials { scheme, credentials_file: credentials_file? })
}

/// What Prometheus would take in the config itself.
pub(super) fn refuse_secrets(fields: &mut Fields<'_>, keys: &[&'static str]) {
    for key in keys {
        let given = fields
            .entries()
            .iter()
            .find(|(name, _)| matches!(&name.value, Value::Text(text) if text == key));
        if let Some((name, _)) = given {
            let what = format!(
                "does not belong in a config; put it into a file and name that under {key}_file"
            );
            fields.problem(name.line, key, what);
            // Known by now: it is told once.
            fields.get(key);
        }
    }
}

pub(super) fn needed(fields: &mut Fields<'_>, key: &'static str, example: &str) {
    if fields.get(key).is_none() {
        fields.problem(fields.line(), key, format!("is missing; write it like {example}"));
    }
}

fn headers(fields: Fields<'_>) -> Vec<(HeaderName, HeaderText)> {
    let mut headers: Vec<(HeaderName, HeaderText)> = Vec::new();
    for (key, value) in fields.entries() {
        let Value::Text(text) = &key.value else {
            fields.problem(
                key.line,
                "?",
                format!("a header's name must be text, is {}", key.value.kind()),
            );
            continue;
        };
        match (header_name(text), header_text(&fields, text, value)) {
            (Err(what), _) => fields.problem(key.line, text, what),
            (Ok(name), _) if headers.iter().any(|(other, _)| *other == name) => {
                fields.problem(key.line, text, "is there twice; case does not matter");
            }
            (Ok(name), Some(value)) => headers.push((name, value)),
            (Ok(_), None) => {}
        }
    }
    headers
}

/// Whether a header is made by the connection, or has keys of its own.
pub(super) fn is_reserved(name: &HeaderName) -> bool {
    *name != header::AUTHORIZATION && RESERVED_HEADERS.contains(name)
}

fn header_name(text: &str) -> Result<HeaderName, String> {
    let name: HeaderName =
        text.parse().map_err(|_invalid| format!("{text:?} is not the name of a header"))?;
    if name == header::AUTHORIZATION {
        return Err("has keys of its own: basic_auth and authorization".into());
    }
    if RESERVED_HEADERS.contains(&name) {
        return Err("is set by the exporter itself, or may not be sent".into());
    }
    Ok(name)
}

/// `text`, or `{file: PATH}`.
fn header_text(fields: &Fields<'_>, name: &str, value: &super::node::Node) -> Option<HeaderText> {
    match &value.value {
        Value::Text(text) => {
            let value_of = HeaderValue::from_str(text);
            if value_of.is_err() {
                fields.problem(value.line, name, "holds characters that a header may not have");
            }
            value_of.ok().map(HeaderText::Value)
        }
        Value::Map(_) => {
            let mut map = fields.below(value, name)?;
            let path = file(&mut map, "file");
            needed(&mut map, "file", "/run/secrets/key");
            map.finish();
            path.map(HeaderText::File)
        }
        other => {
            let what = format!("must be text, or {{file: PATH}}, is {}", other.kind());
            fields.problem(value.line, name, what);
            None
        }
    }
}

pub(super) fn file(fields: &mut Fields<'_>, key: &'static str) -> Option<PathBuf> {
    fields.parsed(key, |text| match text {
        "" => Err("must not be empty"),
        text => Ok(PathBuf::from(text)),
    })
}

#[cfg(test)]
mod tests {
    use crate::config::file;

    fn problems(http: &str) -> Vec<String> {
        let text = format!(
            "services:\n  - name: a\n    expvar: {{url: https://x}}\n    http:\n{}",
            http.lines().map(|line| format!("      {line}\n")).collect::<String>()
        );
        match file::read(&text) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn every_mistake_is_told_with_what_would_be_right() {
        let check = |http: &str, expected: &[&str]| {
            let found = problems(http);
            let same = found.len() == expected.len()
                && found.iter().zip(expected).all(|(found, expected)| found.contains(expected));
            assert!(same, "{http}: {found:#?} {expected:#?}");
        };
        check("tls_config: {ca_file: /ca}\nbasic_auth: {username: me, password_file: /p}", &[]);
        check("headers: {X-A: b, X-C: {file: /d}}\nproxy_url: http://p:3128", &[]);
        check("unix_socket: /s\nauthorization: {credentials_file: /t}", &[]);
        check("tls_config: {cert_file: /c}", &["line 5: services[0].http.tls_config: needs both"]);
        check(
            "tls_config: {server_name: 'a b'}",
            &["server_name: \"a b\" is not the name of a host"],
        );
        check("tls_config: {ca_fil: /x}", &["did you mean ca_file?"]);
        check(
            "tls_config: {ca: x}",
            &["ca: does not belong in a config; put it into a file and name that under ca_file"],
        );
        check(
            "basic_auth: {username: me, password: x}",
            &["password: does not belong", "password_file: is missing"],
        );
        check("basic_auth: {username: 'a:b', password_file: /x}", &["must not hold a colon"]);
        check(
            "authorization: {credentials: x}",
            &["credentials: does not", "credentials_file: is missing"],
        );
        check("authorization: {type: Basic, credentials_file: /x}", &["use basic_auth"]);
        check(
            "basic_auth: {username: a, password_file: /x}\nauthorization: {credentials_file: /x}",
            &["has both basic_auth and authorization"],
        );
        check("headers: {Authorization: x}", &["has keys of its own"]);
        check(
            "headers: {Host: x, Cookie: yum}",
            &["headers.Host: is set by", "headers.Cookie: is set by"],
        );
        check(
            "headers: {X-A: 1, x b: c}",
            &["headers.X-A: must be text", "is not the name of a header"],
        );
        check("headers: {X-A: a, x-a: b}", &["is there twice"]);
        check("headers: {X-A: {fil: /x}}", &["headers.X-A.file: is missing", "did you mean file?"]);
        check("proxy_url: https://p", &["proxy_url: must be an HTTP proxy"]);
        check("proxy_url: http://me:pw@p:1", &[]);
        check("proxy_url: http://p:1\nproxy_auth: {username: me, password_file: /p}", &[]);
        check("proxy_auth: {username: me, password_file: /p}", &["without proxy_url"]);
        check(
            "proxy_url: http://a@p\nproxy_auth: {username: me, password_file: /p}",
            &["a user name in proxy_url and in proxy_auth"],
        );
        check(
            "proxy_url: http://p\nproxy_auth: {username: me, password: x}",
            &["password: does not belong", "password_file: is missing"],
        );
        check("proxy_url: http://p\nunix_socket: /s", &["has both proxy_url and unix_socket"]);
        check("follow_redirects: true", &["is not a key"]);
    }

    #[test]
    fn http_without_use_is_a_mistake() {
        let problem = |text: &str| file::read(text).unwrap_err()[0].to_string();
        let found = problem("services: [{name: a, trace: {stdin: true}, http: {unix_socket: /s}}]");
        assert!(found.contains("http: belongs to an endpoint"), "{found}");
        let found = problem(
            "services: [{name: a, expvar: {url: http://x}, http: {tls_config: {ca_file: /x}}}]",
        );
        assert!(found.contains("no url begins with https://"), "{found}");
    }
}
