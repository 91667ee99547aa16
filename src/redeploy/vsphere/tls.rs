//! Whom we speak to: a certificate pinned by its SHA-256, vouched for by a given authority, or
//! refused. Hosts that lost their vCenter carry certificates of a dead authority; a pin still works.

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    str::FromStr,
    sync::{Arc, Mutex},
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// The SHA-256 of a certificate as the server sends it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Thumbprint([u8; 32]);

/// A text that is no thumbprint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThumbprintError {
    /// 40 digits.
    #[error("{0:?} is a SHA-1 thumbprint, which can be forged; give the SHA-256 one (64 digits)")]
    Sha1(String),
    /// Anything else.
    #[error("{0:?} is no SHA-256 thumbprint (64 hexadecimal digits, with or without colons)")]
    Other(String),
}

impl Thumbprint {
    fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl FromStr for Thumbprint {
    type Err = ThumbprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match digits(text) {
            Some(bytes) if bytes.len() == 20 => Err(ThumbprintError::Sha1(text.to_owned())),
            Some(bytes) => match <[u8; 32]>::try_from(bytes) {
                Ok(bytes) => Ok(Self(bytes)),
                Err(_) => Err(ThumbprintError::Other(text.to_owned())),
            },
            None => Err(ThumbprintError::Other(text.to_owned())),
        }
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02X}", if i == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Hexadecimal digits with or without colons.
fn digits(text: &str) -> Option<Vec<u8>> {
    hex::decode(text.trim().replace(':', "")).ok()
}

/// What makes a server's certificate good.
#[derive(Clone, Debug, Default)]
pub enum Trust {
    /// Nothing yet: the thumbprint is shown and the connection ends.
    #[default]
    Nothing,
    /// This very certificate.
    Pin(Thumbprint),
    /// Any certificate that these authorities signed for the host's name.
    Authorities(Vec<CertificateDer<'static>>),
}

impl Trust {
    /// The authorities in a PEM file.
    ///
    /// # Errors
    /// One line, for a file that cannot be read or holds no certificate.
    pub fn from_pem_file(path: &Path) -> Result<Self, String> {
        let said = |error: &dyn fmt::Display| format!("{}: {error}", path.display());
        let bytes = std::fs::read(path).map_err(|error| said(&error))?;
        let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
            .collect::<Result<_, _>>()
            .map_err(|error| said(&error))?;
        if found.is_empty() {
            return Err(said(&"holds no certificate"));
        }
        Ok(Self::Authorities(found))
    }
}

/// Checks certificates and remembers which was seen, to be shown when it was refused.
#[derive(Debug)]
pub(super) struct Gate {
    host: String,
    trust: Trust,
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// Upload hosts that the server, itself verified, named with the SHA-1 of their certificate.
    vouched: Mutex<BTreeMap<String, [u8; 20]>>,
    seen: Mutex<BTreeMap<String, Thumbprint>>,
    provider: Arc<CryptoProvider>,
}

impl Gate {
    pub(super) fn new(host: &str, trust: Trust) -> Result<Arc<Self>, String> {
        let provider = Arc::new(ring::default_provider());
        let chain = match &trust {
            Trust::Authorities(certificates) => {
                let mut roots = RootCertStore::empty();
                let (good, _) = roots.add_parsable_certificates(certificates.iter().cloned());
                if good == 0 {
                    return Err("none of the authorities' certificates can be used".to_owned());
                }
                let roots = Arc::new(roots);
                let built =
                    WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider));
                Some(built.build().map_err(|error| error.to_string())?)
            }
            Trust::Nothing | Trust::Pin(_) => None,
        };
        Ok(Arc::new(Self {
            host: host.to_owned(),
            trust,
            chain,
            vouched: Mutex::default(),
            seen: Mutex::default(),
            provider,
        }))
    }

    pub(super) fn config(self: &Arc<Self>) -> Result<ClientConfig, String> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let verifier: Arc<dyn ServerCertVerifier> = Arc::clone(self) as _;
        Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
    }

    /// The certificate that `host` showed last.
    pub(super) fn seen(&self, host: &str) -> Option<Thumbprint> {
        self.seen.lock().ok()?.get(host).copied()
    }

    /// The pin of the server itself.
    pub(super) fn pin(&self) -> Option<Thumbprint> {
        match &self.trust {
            Trust::Pin(pin) => Some(*pin),
            Trust::Nothing | Trust::Authorities(_) => None,
        }
    }

    /// Lets an upload host in by the SHA-1 that the verified server gave with its address.
    pub(super) fn vouch(&self, host: &str, sha1: &str) {
        let Some(Ok(sha1)) = digits(sha1).map(<[u8; 20]>::try_from) else { return };
        if let Ok(mut vouched) = self.vouched.lock() {
            vouched.insert(host.to_owned(), sha1);
        }
    }
}

impl ServerCertVerifier for Gate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let name = server_name.to_str().into_owned();
        let shown = Thumbprint::of(end_entity);
        if let Ok(mut seen) = self.seen.lock() {
            seen.insert(name.clone(), shown);
        }
        if name == self.host && self.pin() == Some(shown) {
            return Ok(ServerCertVerified::assertion());
        }
        if let Some(chain) = &self.chain {
            return chain.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            );
        }
        let sha1: [u8; 20] = Sha1::digest(end_entity).into();
        let vouched = self.vouched.lock().ok().and_then(|known| known.get(&name).copied());
        if name != self.host && vouched == Some(sha1) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(TlsError::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbprint_is_read_in_every_usual_spelling() {
        let plain = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        let one: Thumbprint = plain.parse().unwrap();
        assert_eq!(one, colons.parse().unwrap());
        assert_eq!(one.to_string(), colons);
        assert!(matches!("ab".repeat(20).parse::<Thumbprint>(), Err(ThumbprintError::Sha1(_))));
        for bad in ["", "abc", "zz", &"ab".repeat(33)] {
            assert!(matches!(bad.parse::<Thumbprint>(), Err(ThumbprintError::Other(_))), "{bad}");
        }
    }
}
