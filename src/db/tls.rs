//! TLS towards PostgreSQL: rustls with the verification that the connection string asks for.

use std::sync::Arc;

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::dsn::{Dsn, Verify};
use crate::error::{Error, Result};

/// Makes TLS connections as `dsn` wants them verified.
///
/// # Errors
/// [`Error::Config`] when `sslrootcert` cannot be read or holds no certificate.
pub fn connector(dsn: &Dsn) -> Result<MakeRustlsConnect> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::Start(e.to_string()))?;
    let config = match dsn.verify {
        Verify::Host => config.with_root_certificates(roots(dsn)?),
        verify => {
            let authority = if verify == Verify::Authority {
                let roots = Arc::new(roots(dsn)?);
                let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
                    .build()
                    .map_err(|e| Error::Config(format!("DATABASE_URL: sslrootcert: {e}")))?;
                Some(verifier)
            } else {
                None
            };
            config
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(NameIgnored {
                    authority,
                    provider,
                }))
        }
    };
    Ok(MakeRustlsConnect::new(config.with_no_client_auth()))
}

/// The authorities to trust: `sslrootcert`, else those of the system.
fn roots(dsn: &Dsn) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    if let Some(path) = &dsn.root_cert {
        let fail = |why: String| {
            Error::Config(format!(
                "DATABASE_URL: sslrootcert {}: {why}",
                path.display()
            ))
        };
        for certificate in CertificateDer::pem_file_iter(path).map_err(|e| fail(e.to_string()))? {
            store
                .add(certificate.map_err(|e| fail(e.to_string()))?)
                .map_err(|e| fail(e.to_string()))?;
        }
        if store.is_empty() {
            return Err(fail("holds no certificate".into()));
        }
    } else {
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    Ok(store)
}

/// Verifies what libpq verifies below `verify-full`: the authority, or nothing at all; never the
/// host's name.
#[derive(Debug)]
struct NameIgnored {
    authority: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for NameIgnored {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let Some(authority) = &self.authority else {
            return Ok(ServerCertVerified::assertion());
        };
        match authority.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            // The chain is checked before the name, so a wrong name means a right chain.
            Err(TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
