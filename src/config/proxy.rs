//! The keys `proxy_url` and `proxy_auth`: an HTTP proxy between us and a service.

use std::fmt;
use std::path::PathBuf;

use hyper::Uri;

use super::fields::Fields;
use super::http::{file, needed, refuse_secrets, username};
use super::units::percent_decoded;

/// A proxy.
#[derive(Debug, Clone, PartialEq)]
pub struct Proxy {
    /// Its address, without a user's name.
    pub url: Uri,
    /// Who we are to it.
    pub auth: Option<ProxyAuth>,
}

/// What the header Proxy-Authorization is made of; always Basic.
#[derive(Debug, Clone, PartialEq)]
pub struct ProxyAuth {
    /// In the open.
    pub username: String,
    /// The password.
    pub password: Password,
}

/// Where a password is.
#[derive(Clone, PartialEq)]
pub enum Password {
    /// It stands in the address.
    Text(String),
    /// In this file.
    File(PathBuf),
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(…)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl Proxy {
    /// Reads both keys of the map `http`.
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let proxy = fields.parsed("proxy_url", proxy_url);
        let auth = fields.map("proxy_auth").and_then(proxy_auth);
        if fields.get("proxy_auth").is_none() {
            return proxy;
        }
        if fields.get("proxy_url").is_none() {
            fields.problem_at_map("has proxy_auth without proxy_url");
        }
        let proxy = proxy?;
        if proxy.auth.is_some() {
            fields.problem_at_map("has a user name in proxy_url and in proxy_auth; give one");
        }
        Some(Self { auth, ..proxy })
    }
}

fn proxy_auth(mut fields: Fields<'_>) -> Option<ProxyAuth> {
    let username = fields.parsed("username", username);
    let password_file = file(&mut fields, "password_file");
    refuse_secrets(&mut fields, &["password"]);
    needed(&mut fields, "username", "checkout-metrics");
    needed(&mut fields, "password_file", "/run/secrets/proxy-password");
    fields.finish();
    Some(ProxyAuth { username: username?, password: Password::File(password_file?) })
}

/// What is wrong is told without the text: it may hold a password.
fn proxy_url(text: &str) -> Result<Proxy, String> {
    const SHAPE: &str = "write it like http://proxy.internal:3128";
    let (secret, plain) = without_user(text);
    let uri: Uri =
        plain.parse().map_err(|error| format!("is not an address ({error}); {SHAPE}"))?;
    let host = uri.host().unwrap_or_default();
    match uri.scheme_str() {
        Some("http") if !host.is_empty() && matches!(uri.path(), "" | "/") => {}
        Some("https" | "socks5" | "socks5h") => {
            return Err(format!("must be an HTTP proxy; {SHAPE}"));
        }
        _ => return Err(format!("must be http://, a host and a port; {SHAPE}")),
    }
    Ok(Proxy { url: uri, auth: secret.map(user).transpose()? })
}

/// What stands before the host, and the address without it.
fn without_user(text: &str) -> (Option<&str>, String) {
    let Some((scheme, rest)) = text.split_once("://") else { return (None, text.to_owned()) };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), format!("{scheme}://{host}{path}")),
        None => (None, text.to_owned()),
    }
}

/// `name:password`, both percent-encoded.
fn user(text: &str) -> Result<ProxyAuth, String> {
    let (name, password) = text.split_once(':').unwrap_or((text, ""));
    let decoded = |text: &str| {
        percent_decoded(text).ok_or("has a user name or password that is not percent-encoded text")
    };
    let name = username(&decoded(name)?)?;
    Ok(ProxyAuth { username: name, password: Password::Text(decoded(password)?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_in_the_address_is_taken_out_of_it_and_never_shown() {
        let check = |text: &str, url: &str, name: &str, secret: &str| {
            let proxy = proxy_url(text).unwrap();
            let shown = format!("{proxy:?}");
            let ProxyAuth { username, password: Password::Text(password) } = proxy.auth.unwrap()
            else {
                panic!("no file")
            };
            assert_eq!((&*proxy.url.to_string(), &*username, &*password), (url, name, secret));
            assert!(secret.is_empty() || !shown.contains(secret), "{shown}");
        };
        check("http://me:s3cret@p:3128", "http://p:3128/", "me", "s3cret");
        check("http://me:s3%3Acr%40et@p/", "http://p/", "me", "s3:cr@et");
        check("http://me@p", "http://p/", "me", "");
        check("http://me:a@b@p:1", "http://p:1/", "me", "a@b");
        assert!(proxy_url("http://p:1").unwrap().auth.is_none());
    }

    #[test]
    fn mistakes_are_told_without_the_secret() {
        for wrong in [
            "https://me:s3cret@p",
            "http://me:s3cret@",
            "http://me:s3cret@p:1/path",
            "http://me:s3cret%zz@p",
            "http://:s3cret@p",
            "http://me:s3cret@p p",
            "me:s3cret@p:1",
        ] {
            let what = proxy_url(wrong).unwrap_err();
            assert!(!what.contains("s3cret"), "{wrong}: {what}");
        }
    }
}
