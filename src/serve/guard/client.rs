//! Whose certificates are taken.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Checks a client's certificate as the config says.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) is_required: bool,
    /// Believed authorities; none: every certificate is taken, from whoever has its key.
    pub(super) chains: Option<Arc<dyn ClientCertVerifier>>,
    /// Their certificates, one of which may be the client's own.
    pub(super) trusted: Vec<CertificateDer<'static>>,
    /// It has to have one of these names.
    pub(super) sans: Option<Vec<String>>,
    pub(super) provider: Arc<CryptoProvider>,
}

impl Clients {
    fn check_names(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let Some(allowed) = &self.sans else { return Ok(()) };
        let names = names(certificate)
            .map_err(|_broken| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        if names.iter().any(|name| allowed.contains(name)) {
            return Ok(());
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }
}

/// Its subject alternative names: of DNS, of mail, of IP and URIs, as Go prints them.
fn names(certificate: &CertificateDer<'_>) -> Result<Vec<String>, x509_cert::der::Error> {
    let certificate = Certificate::from_der(certificate)?;
    let names = certificate.tbs_certificate().get_extension::<SubjectAltName>()?;
    let names = names.map(|(_critical, names)| names.0).unwrap_or_default();
    Ok(names.iter().filter_map(name).collect())
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(text)
        | GeneralName::Rfc822Name(text)
        | GeneralName::UniformResourceIdentifier(text) => Some(text.as_str().to_owned()),
        GeneralName::IpAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(bytes.as_bytes()).map(IpAddr::from);
            let ip = v4.or_else(|_no_v4| <[u8; 16]>::try_from(bytes.as_bytes()).map(IpAddr::from));
            ip.ok().map(|ip| ip.to_canonical().to_string())
        }
        _ => None,
    }
}

/// What `webpki` says of a certificate that a client signed by itself, and that is an authority too, as
/// `openssl req -x509` makes them. Dates are checked before this.
fn is_authority(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) = error else {
        return false;
    };
    matches!(cause.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.is_required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chains.as_ref().map_or(&[], |chains| chains.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(chains) = &self.chains {
            match chains.verify_client_cert(certificate, between, now) {
                Err(error) if is_authority(&error) && self.trusted.contains(certificate) => {}
                verdict => _ = verdict?,
            }
        }
        self.check_names(certificate)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
