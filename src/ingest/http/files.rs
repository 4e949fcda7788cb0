//! The files that hold secrets. They are read for each request: who replaces one need not tell us.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use super::error::FetchError;
use crate::config::http::{Auth, HeaderText, Http};
use crate::config::proxy::{Password, Proxy};

/// A bundle of every authority of the world has 250 KiB.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Reads one; blocks.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, FetchError> {
    let wrong = |source| FetchError::File { path: path.to_owned(), source };
    // A pipe that nobody writes to would be waited for.
    if !path.metadata().map_err(wrong)?.is_file() {
        return Err(wrong(io::Error::other("it is not a file")));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(wrong)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(wrong)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(wrong(io::Error::other("it has more than 1 MiB")));
    }
    Ok(bytes)
}

/// The headers that the config asks for, with what is in their files now; blocks.
pub(super) fn headers(http: &Http) -> Result<HeaderMap, FetchError> {
    let mut headers = HeaderMap::new();
    for (name, text) in &http.headers {
        let value = match text {
            HeaderText::Value(value) => value.clone(),
            HeaderText::File(path) => secret(path, |text| text.to_vec())?,
        };
        headers.insert(name, value);
    }
    match &http.auth {
        Some(Auth::Basic { username, password_file }) => {
            let value = secret(password_file, |password| basic(username, password))?;
            headers.insert(AUTHORIZATION, value);
        }
        Some(Auth::Credentials { scheme, credentials_file }) => {
            let value =
                secret(credentials_file, |token| [scheme.as_bytes(), b" ", token].concat())?;
            headers.insert(AUTHORIZATION, value);
        }
        None => {}
    }
    Ok(headers)
}

/// What a proxy wants to know of us; blocks.
pub(super) fn proxy_authorization(proxy: &Proxy) -> Result<Option<HeaderValue>, FetchError> {
    let Some(auth) = &proxy.auth else { return Ok(None) };
    let name = &auth.username;
    match &auth.password {
        Password::File(path) => secret(path, |password| basic(name, password)).map(Some),
        Password::Text(password) => {
            let value = HeaderValue::from_bytes(&basic(name, password.as_bytes()));
            let mut value = value.map_err(|_unusable| FetchError::Request)?;
            value.set_sensitive(true);
            Ok(Some(value))
        }
    }
}

fn basic(username: &str, password: &[u8]) -> Vec<u8> {
    let pair = [username.as_bytes(), b":", password].concat();
    format!("Basic {}", BASE64_STANDARD.encode(pair)).into_bytes()
}

/// What a file says, without the blanks and the end of line around it.
fn secret(path: &Path, made: impl Fn(&[u8]) -> Vec<u8>) -> Result<HeaderValue, FetchError> {
    let wrong = |what| FetchError::File { path: path.to_owned(), source: io::Error::other(what) };
    let text = read(path)?;
    let text = text.trim_ascii();
    if text.is_empty() {
        return Err(wrong("it is empty"));
    }
    let mut value = HeaderValue::from_bytes(&made(text))
        .map_err(|_invalid| wrong("it holds what a header may not, such as a second line"))?;
    value.set_sensitive(true);
    Ok(value)
}
