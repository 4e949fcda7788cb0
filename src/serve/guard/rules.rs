//! What the web configuration file says, ready to use.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use hyper::header::{HeaderName, HeaderValue};

use super::contents::Contents;
use super::passwords::Users;
use super::rate::Rate;
use super::tls::{self, Acceptor};
use crate::config::web_file;

/// How requests are taken.
#[derive(Debug)]
pub(in crate::serve) struct Rules {
    contents: Contents,
    pub(super) tls: Option<Acceptor>,
    pub(in crate::serve) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) users: Users,
    pub(super) rate: Option<Arc<Rate>>,
    /// What of it we do without.
    pub(super) left_out: Vec<String>,
}

/// What a web configuration file comes to.
#[derive(Debug)]
pub struct Checked {
    /// Served by TLS.
    pub tls: bool,
    /// Users; 0: whoever asks.
    pub users: usize,
    /// What of it is left out.
    pub left_out: Vec<String>,
}

/// Whether a web configuration file and those that it names are right; blocks.
///
/// # Errors
/// Every problem that they have.
pub fn check(path: &Path) -> Result<Checked, Vec<String>> {
    let rules = Rules::read(path)?;
    let (tls, users) = (rules.tls.is_some(), rules.users.count());
    Ok(Checked { tls, users, left_out: rules.left_out })
}

impl Rules {
    /// Reads the files; blocks.
    pub(super) fn read(path: &Path) -> Result<Self, Vec<String>> {
        let told = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
        let mut contents = Contents::default();
        let text = contents.read(path).map_err(|what| vec![format!("web config: {what}")])?;
        let text = String::from_utf8(text).map_err(|_binary| vec![told(&"it is not UTF-8")])?;
        let directory = path.parent().unwrap_or(Path::new("."));
        let file = web_file::read(&text, directory)
            .map_err(|problems| problems.iter().map(|problem| told(problem)).collect::<Vec<_>>())?;
        let tls = file.tls.as_ref().map(|tls| tls::acceptor(tls, &mut contents)).transpose();
        let tls = tls.map_err(|what| vec![told(&format!("tls_server_config.{what}"))])?;
        Ok(Self {
            contents,
            tls,
            headers: file.headers,
            users: Users::new(file.users),
            rate: file.rate_limit.map(|limit| Arc::new(Rate::new(limit, Instant::now()))),
            left_out: file.left_out.iter().map(|problem| told(problem)).collect(),
        })
    }

    /// What the files say now, if it is something else; blocks.
    pub(super) fn read_again(&self, path: &Path) -> Result<Option<Self>, Vec<String>> {
        if !self.contents.have_changed() {
            return Ok(None);
        }
        let mut new = Self::read(path)?;
        if self.tls.is_some() != new.tls.is_some() {
            let how = if new.tls.is_some() { "on" } else { "off" };
            let what = format!("turning TLS {how} (tls_server_config) needs a restart");
            return Err(vec![format!("{}: {what}", path.display())]);
        }
        // A file that is half written must not open the door.
        if !self.users.is_empty() && new.users.is_empty() {
            let what = "nobody is left in basic_auth_users; to let everybody in needs a restart";
            return Err(vec![format!("{}: {what}", path.display())]);
        }
        if let (Some(before), Some(rate)) = (&self.rate, &new.rate)
            && before.limit == rate.limit
        {
            new.rate = Some(Arc::clone(before));
        }
        Ok(Some(new))
    }
}
