//! TLS, with the certificates that the config's files hold now.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hyper::Uri;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::connect::{Stream, host_and_port};
use super::error::{FetchError, is_authority};
use super::files;
use crate::config::http::Tls;

/// What one service's TLS is made of; kept while the files stay the same, so that a connection can
/// take up the session of the one before.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Option<(Contents, Connector)>>);

/// What is in the files.
#[derive(Debug, PartialEq, Eq)]
struct Contents {
    authorities: Option<Vec<u8>>,
    certificate: Option<(Vec<u8>, Vec<u8>)>,
}

/// What we ask to speak inside of TLS; nothing is HTTP/1.1.
pub(super) type Alpn = &'static [&'static [u8]];

/// Makes TLS of a stream.
#[derive(Debug, Clone)]
pub struct Connector {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
    asked: Arc<Asked>,
}

impl Cache {
    /// What the files say now; blocks.
    pub(super) fn connector(&self, tls: &Tls, alpn: Alpn) -> Result<Connector, FetchError> {
        let authorities = tls.ca_file.as_deref().map(files::read).transpose()?;
        let certificate = match &tls.certificate {
            Some(pair) => Some((files::read(&pair.cert_file)?, files::read(&pair.key_file)?)),
            None => None,
        };
        let contents = Contents { authorities, certificate };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((before, connector)) = &*kept
            && *before == contents
        {
            return Ok(connector.clone());
        }
        let connector = connector(tls, &contents, alpn)?;
        *kept = Some((contents, connector.clone()));
        Ok(connector)
    }
}

impl Connector {
    pub(super) async fn connect(
        &self,
        url: &Uri,
        stream: Box<dyn Stream>,
    ) -> Result<TlsStream<Box<dyn Stream>>, FetchError> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host_and_port(url).0.to_owned())
                .map_err(|_invalid| FetchError::Request)?,
        };
        let connector = TlsConnector::from(Arc::clone(&self.config));
        connector
            .connect(name, stream)
            .await
            .map_err(|error| self.explained(FetchError::of_exchange(error)))
    }

    /// What an error means if the server asked for a certificate, and there is none: some say it by
    /// closing the connection, and what they say by TLS may be lost with it.
    pub(super) fn explained(&self, error: FetchError) -> FetchError {
        use FetchError::{Broken, NoCertificate, Tls};
        match error {
            Broken(_) | Tls(rustls::Error::AlertReceived(_))
                if self.asked.0.load(Ordering::Relaxed) =>
            {
                NoCertificate
            }
            other => other,
        }
    }
}

fn connector(tls: &Tls, contents: &Contents, alpn: Alpn) -> Result<Connector, FetchError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let unusable = |error: rustls::Error| FetchError::TlsConfig(error.to_string());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(verifier(tls, contents, provider)?);
    let asked = Arc::new(Asked::default());
    let mut config = match (&contents.certificate, &tls.certificate) {
        (Some((chain, key)), Some(paths)) => {
            let chain = certificates(chain, &paths.cert_file)?;
            let key = PrivateKeyDer::from_pem_slice(key)
                .map_err(|_not_pem| no_pem(&paths.key_file, "private key"))?;
            builder.with_client_auth_cert(chain, key).map_err(unusable)?
        }
        _ => builder.with_client_cert_resolver(Arc::clone(&asked) as Arc<dyn ResolvesClientCert>),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Connector { config: Arc::new(config), server_name: tls.server_name.clone(), asked })
}

fn verifier(
    tls: &Tls,
    contents: &Contents,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, FetchError> {
    if tls.insecure_skip_verify {
        return Ok(Arc::new(Anybody(provider)));
    }
    let mut trusted = Vec::new();
    let mut roots = RootCertStore::empty();
    match (&contents.authorities, &tls.ca_file) {
        (Some(pem), Some(path)) => {
            trusted = certificates(pem, path)?;
            roots.add_parsable_certificates(trusted.iter().cloned());
        }
        _ => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                // An image that holds nothing but us has none.
                roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            }
        }
    }
    let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| FetchError::TlsConfig(error.to_string()))?;
    Ok(Arc::new(Known { chains, trusted }))
}

fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, FetchError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    all.ok().filter(|all| !all.is_empty()).ok_or_else(|| no_pem(path, "certificate"))
}

fn no_pem(path: &Path, what: &str) -> FetchError {
    let source = io::Error::other(format!("it holds no {what} in PEM"));
    FetchError::File { path: path.to_owned(), source }
}

/// We have no certificate; remembers whether a server asked for one.
#[derive(Debug, Default)]
struct Asked(AtomicBool);

impl ResolvesClientCert for Asked {
    fn resolve(&self, _issuers: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// Takes chains that end at a trusted authority, and a trusted certificate itself: one that a
/// service signed by itself is often an authority too, which `webpki` refuses as a server's.
#[derive(Debug)]
struct Known {
    chains: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict = self.chains.verify_server_cert(certificate, between, name, ocsp, now);
        match verdict {
            // Its dates are checked before this.
            Err(rustls::Error::InvalidCertificate(error))
                if is_authority(&error) && self.trusted.contains(certificate) =>
            {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// The user's choice: the server is whoever answers.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _between: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
