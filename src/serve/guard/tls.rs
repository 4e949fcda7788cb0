//! How we speak TLS.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use super::client::Clients;
use super::contents::Contents;
use crate::config::web_file::tls::{ClientAuth, ServerTls};

/// What a connection begins with.
#[derive(Debug, Clone)]
pub(in crate::serve) struct Acceptor {
    pub(in crate::serve) config: Arc<ServerConfig>,
    /// A client's certificate, where there is one, is of an authority that the file names.
    pub(in crate::serve) verifies: bool,
}

/// Made of what the files hold now; blocks.
pub(super) fn acceptor(tls: &ServerTls, contents: &mut Contents) -> Result<Acceptor, String> {
    let chain = certificates(&contents.pem(&tls.certificate, "cert")?, "cert")?;
    let key = PrivateKeyDer::from_pem_slice(&contents.pem(&tls.key, "key")?)
        .map_err(|_not_pem| "key: holds no private key in PEM (without a password)".to_owned())?;
    let provider = Arc::new(CryptoProvider {
        cipher_suites: tls.cipher_suites.clone(),
        kx_groups: tls.curves.clone(),
        ..rustls::crypto::ring::default_provider()
    });
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&tls.versions)
        .map_err(|error| format!("cipher_suites: none can be used: {error}"))?;
    let asks = tls.client_auth != ClientAuth::NoClientCert;
    let builder = if asks {
        builder.with_client_cert_verifier(Arc::new(clients(tls, contents, provider)?))
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => "key: it is not the key of cert".to_owned(),
        error => format!("cert and key cannot be used: {error}"),
    })?;
    config.ignore_client_order = tls.prefer_server_cipher_suites;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if tls.http2 {
        config.alpn_protocols.insert(0, b"h2".to_vec());
    }
    if asks {
        // Who comes again is checked again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    // Whom any authority of the system knows is nobody in particular.
    let verifies = tls.client_auth.verifies() && tls.client_ca.is_some();
    Ok(Acceptor { config: Arc::new(config), verifies })
}

fn clients(
    tls: &ServerTls,
    contents: &mut Contents,
    provider: Arc<CryptoProvider>,
) -> Result<Clients, String> {
    let trusted = match &tls.client_ca {
        Some(pem) => certificates(&contents.pem(pem, "client_ca")?, "client_ca")?,
        // As Go does.
        None if tls.client_auth.verifies() => rustls_native_certs::load_native_certs().certs,
        None => Vec::new(),
    };
    let mut chains = None;
    if tls.client_auth.verifies() {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        let builder =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let verifier = builder.build().map_err(|error| format!("client_ca: {error}"))?;
        chains = Some(verifier);
    }
    let is_required = tls.client_auth.requires();
    Ok(Clients { is_required, chains, trusted, sans: tls.client_allowed_sans.clone(), provider })
}

fn certificates(pem: &[u8], key: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.ok().filter(|all| !all.is_empty());
    all.ok_or_else(|| format!("{key}: holds no certificate in PEM"))
}
