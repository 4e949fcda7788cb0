//! The map `tls_server_config`.

use std::path::{Path, PathBuf};

use rustls::crypto::SupportedKxGroup;
use rustls::crypto::ring::{cipher_suite as suites, kx_group};
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

use super::Secret;
use crate::config::Problem;
use crate::config::fields::Fields;
use crate::config::node::Value;

/// How we serve by TLS.
#[derive(Debug, Clone)]
pub struct ServerTls {
    /// Our certificate, and those between it and its authority.
    pub certificate: Pem,
    /// Its key.
    pub key: Pem,
    /// What we want of clients.
    pub client_auth: ClientAuth,
    /// Whose certificates we believe; none: the system's authorities.
    pub client_ca: Option<Pem>,
    /// Of these names a client's certificate has to have one; none: any will do.
    pub client_allowed_sans: Option<Vec<String>>,
    /// Never empty.
    pub versions: Vec<&'static SupportedProtocolVersion>,
    /// In the order of preference.
    pub cipher_suites: Vec<SupportedCipherSuite>,
    /// In the order of preference.
    pub curves: Vec<&'static dyn SupportedKxGroup>,
    /// Our order, not the client's.
    pub prefer_server_cipher_suites: bool,
    /// Offer HTTP/2 besides HTTP/1.1.
    pub http2: bool,
}

/// Text in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pem {
    /// In a file of its own.
    File(PathBuf),
    /// In the web configuration file itself.
    Inline(Secret),
}

/// What we want of clients, under the names of Go's `tls.ClientAuthType`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Go's")]
pub enum ClientAuth {
    #[default]
    NoClientCert,
    RequestClientCert,
    RequireAnyClientCert,
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

impl ClientAuth {
    /// Whether a client without a certificate is refused.
    #[must_use]
    pub const fn requires(self) -> bool {
        matches!(self, Self::RequireAnyClientCert | Self::RequireAndVerifyClientCert)
    }

    /// Whether a certificate has to be signed by an authority that we believe.
    #[must_use]
    pub const fn verifies(self) -> bool {
        matches!(self, Self::VerifyClientCertIfGiven | Self::RequireAndVerifyClientCert)
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "" | "NoClientCert" => Ok(Self::NoClientCert),
            "RequestClientCert" => Ok(Self::RequestClientCert),
            "RequireAnyClientCert" | "RequireClientCert" => Ok(Self::RequireAnyClientCert),
            "VerifyClientCertIfGiven" => Ok(Self::VerifyClientCertIfGiven),
            "RequireAndVerifyClientCert" => Ok(Self::RequireAndVerifyClientCert),
            _ => Err(
                "must be NoClientCert, RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert",
            ),
        }
    }
}

/// The suites of TLS 1.2 that we have; all of them are forward secret and authenticated.
const SUITES: [(&str, SupportedCipherSuite); 6] = [
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", suites::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", suites::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        suites::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", suites::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", suites::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        suites::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// Those of TLS 1.3; as in Go they are always there, listed or not.
const SUITES_TLS13: [(&str, SupportedCipherSuite); 3] = [
    ("TLS_AES_128_GCM_SHA256", suites::TLS13_AES_128_GCM_SHA256),
    ("TLS_AES_256_GCM_SHA384", suites::TLS13_AES_256_GCM_SHA384),
    ("TLS_CHACHA20_POLY1305_SHA256", suites::TLS13_CHACHA20_POLY1305_SHA256),
];

/// Those that Go has, or had, and we have not.
const SUITES_OLD: [&str; 8] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
];

const CURVES: [(&str, Option<&'static dyn SupportedKxGroup>); 4] = [
    ("X25519", Some(kx_group::X25519)),
    ("CurveP256", Some(kx_group::SECP256R1)),
    ("CurveP384", Some(kx_group::SECP384R1)),
    ("CurveP521", None),
];

const VERSIONS: [&str; 4] = ["TLS10", "TLS11", "TLS12", "TLS13"];

/// One map while it is read.
struct Reading<'a, 'l> {
    fields: Fields<'a>,
    directory: &'a Path,
    left_out: &'l mut Vec<Problem>,
}

/// Reads it; an empty one is none.
pub(super) fn read<'a>(
    fields: Fields<'a>,
    directory: &'a Path,
    left_out: &mut Vec<Problem>,
) -> Option<ServerTls> {
    if fields.entries().is_empty() {
        return None;
    }
    let mut reading = Reading { fields, directory, left_out };
    let certificate = reading.pem("cert", "cert_file");
    let key = reading.pem("key", "key_file");
    for (pem, inline, file) in [(&certificate, "cert", "cert_file"), (&key, "key", "key_file")] {
        if pem.is_none() {
            let what = format!("is missing; TLS needs it, or {inline}");
            reading.fields.problem(reading.fields.line(), file, what);
        }
    }
    let (client_auth, client_ca, client_allowed_sans) = reading.clients();
    let (versions, cipher_suites, curves) =
        (reading.versions(), reading.cipher_suites(), reading.curves());
    let fields = &mut reading.fields;
    let prefer_server_cipher_suites = fields.get("prefer_server_cipher_suites").is_none()
        || fields.flag("prefer_server_cipher_suites");
    reading.fields.finish();
    Some(ServerTls {
        certificate: certificate?,
        key: key?,
        client_auth,
        client_ca,
        client_allowed_sans,
        versions,
        cipher_suites,
        curves,
        prefer_server_cipher_suites,
        http2: true,
    })
}

impl<'a> Reading<'a, '_> {
    fn pem(&mut self, inline: &'static str, file: &'static str) -> Option<Pem> {
        let text = self.fields.text(inline).filter(|(_, text)| !text.is_empty());
        let path = self.fields.text(file).filter(|(_, text)| !text.is_empty());
        if let (Some((line, _)), Some(_)) = (text, path) {
            self.fields.problem(line, inline, format!("is there besides {file}; give only one"));
        }
        let inline = text.map(|(_, text)| Pem::Inline(Secret(text.into())));
        inline.or_else(|| path.map(|(_, path)| Pem::File(self.directory.join(path))))
    }

    fn clients(&mut self) -> (ClientAuth, Option<Pem>, Option<Vec<String>>) {
        let auth = self.fields.parsed("client_auth_type", ClientAuth::parse).unwrap_or_default();
        let ca = self.pem("client_ca", "client_ca_file");
        let line = self.fields.line();
        if ca.is_some() && auth == ClientAuth::NoClientCert {
            let what = "asks for no certificate, though there is a client CA; to let in only its clients, write RequireAndVerifyClientCert";
            self.fields.problem(line, "client_auth_type", what);
        }
        let sans = self.texts("client_allowed_sans");
        if sans.is_some() && !auth.requires() {
            let what = "needs client_auth_type: RequireAndVerifyClientCert (or RequireAnyClientCert); else a client need not have a certificate";
            self.fields.problem(line, "client_allowed_sans", what);
        }
        let sans = sans.map(|sans| sans.into_iter().map(|(_, san)| san.into()).collect());
        (auth, ca, sans)
    }

    fn versions(&mut self) -> Vec<&'static SupportedProtocolVersion> {
        let place = |text: &str| {
            let place = VERSIONS.iter().position(|version| *version == text);
            place.ok_or_else(|| format!("must be one of {}", VERSIONS.join(", ")))
        };
        let least = self.fields.parsed("min_version", place);
        let most = self.fields.parsed("max_version", place);
        if least.is_some_and(|least| least < 2) {
            self.left_out("min_version", "we begin at TLS12".into());
        }
        let (least, most) = (least.unwrap_or(2), most.unwrap_or(3));
        let all = [(2, &TLS12), (3, &TLS13)];
        let versions = all.into_iter().filter(|(place, _)| (least..=most).contains(place));
        let versions: Vec<_> = versions.map(|(_, version)| version).collect();
        if versions.is_empty() {
            let what = "leaves no version to speak; ours are TLS12 and TLS13";
            self.fields.problem(self.fields.line(), "max_version", what);
        }
        versions
    }

    fn cipher_suites(&mut self) -> Vec<SupportedCipherSuite> {
        let listed = self.texts("cipher_suites").unwrap_or_default();
        let mut chosen = Vec::new();
        for (line, name) in &listed {
            let ours = SUITES.iter().find(|(ours, _)| ours == name);
            if let Some((_, suite)) = ours {
                chosen.push(*suite);
            } else if SUITES_OLD.contains(name) {
                self.left_out("cipher_suites", format!("{name} is too old for us"));
            } else if !SUITES_TLS13.iter().any(|(ours, _)| ours == name) {
                let what = format!("{name:?} is not a cipher suite of Go's crypto/tls");
                self.fields.problem(*line, "cipher_suites", what);
            }
        }
        if listed.is_empty() {
            return rustls::crypto::ring::ALL_CIPHER_SUITES.to_vec();
        }
        SUITES_TLS13.into_iter().map(|(_, suite)| suite).chain(chosen).collect()
    }

    fn curves(&mut self) -> Vec<&'static dyn SupportedKxGroup> {
        let listed = self.texts("curve_preferences").unwrap_or_default();
        let mut chosen = Vec::new();
        for (line, name) in &listed {
            match CURVES.iter().find(|(known, _)| known == name) {
                Some((_, Some(curve))) => chosen.push(*curve),
                Some((_, None)) => {
                    self.left_out("curve_preferences", format!("we do not have {name}"));
                }
                None => {
                    let what =
                        format!("{name:?} is not one of X25519, CurveP256, CurveP384, CurveP521");
                    self.fields.problem(*line, "curve_preferences", what);
                }
            }
        }
        if listed.is_empty() {
            return rustls::crypto::ring::ALL_KX_GROUPS.to_vec();
        }
        if chosen.is_empty() {
            let what = "leaves no curve; ours are X25519, CurveP256, CurveP384";
            self.fields.problem(self.fields.line(), "curve_preferences", what);
        }
        chosen
    }

    /// A list of texts and their lines.
    fn texts(&mut self, key: &'static str) -> Option<Vec<(u64, &'a str)>> {
        let items = self.fields.list(key)?;
        let mut texts = Vec::new();
        for item in items {
            match &item.value {
                Value::Text(text) => texts.push((item.line, text.as_str())),
                other => {
                    let what = format!("must hold texts, has {}; put it in quotes", other.kind());
                    self.fields.problem(item.line, key, what);
                }
            }
        }
        Some(texts)
    }

    fn left_out(&mut self, key: &str, what: String) {
        let (line, path) = (self.fields.line(), self.fields.path_of(key));
        self.left_out.push(Problem { line, path, what });
    }
}
