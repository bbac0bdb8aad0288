//! TLS towards PostgreSQL: rustls, verifying the server's certificate as libpq does for what the
//! connection string asks.

mod certificate;

use std::{fs, os::unix::fs::MetadataExt, path::Path, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore,
    SignatureScheme, SupportedProtocolVersion,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};
use tokio_postgres::config::SslNegotiation;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::dsn::{Dsn, Tls, Verify, Version};
use crate::error::{Error, Result};

/// The name of PostgreSQL's protocol, for a server that TLS is spoken to without asking.
const ALPN: &[u8] = b"postgresql";

/// Makes TLS connections as `dsn` wants them verified.
///
/// # Errors
/// [`Error::Config`] when a file that `dsn` names cannot be used.
pub fn connector(dsn: &Dsn) -> Result<MakeRustlsConnect> {
    connector_of(dsn).map_err(|why| Error::Config(format!("{}: {why}", dsn.setting())))
}

fn connector_of(dsn: &Dsn) -> Result<MakeRustlsConnect, String> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(Verifier::new(&dsn.tls, provider.clone())?);
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions(&dsn.tls))
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match &dsn.tls.identity {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates("sslcert", certificate)?;
            let signer = provider.key_provider.load_private_key(private_key(key)?);
            let signer = signer.map_err(|e| unusable("sslkey", key, &e.to_string()))?;
            // Whether the two belong together is for the server to say: of certificates of version 1
            // rustls cannot tell.
            let identity = SingleCertAndKey::from(CertifiedKey::new(chain, signer));
            config.with_client_cert_resolver(Arc::new(identity))
        }
    };
    config.enable_sni = dsn.tls.names_host;
    if dsn.config.get_ssl_negotiation() == SslNegotiation::Direct {
        config.alpn_protocols = vec![ALPN.to_vec()];
    }
    Ok(MakeRustlsConnect::new(config))
}

fn versions(tls: &Tls) -> Vec<&'static SupportedProtocolVersion> {
    let (lowest, highest) = tls.versions;
    let mut versions = Vec::new();
    if highest == Version::Tls13 {
        versions.push(&TLS13);
    }
    if lowest == Version::Tls12 {
        versions.push(&TLS12);
    }
    versions
}

fn unusable(option: &str, file: &Path, why: &str) -> String {
    format!("{option} {}: {why}", file.display())
}

/// The certificates of a PEM file; at least one.
fn certificates(option: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = || CertificateDer::pem_file_iter(file)?.collect();
    let found: Result<Vec<_>, rustls::pki_types::pem::Error> = read();
    match found {
        Ok(found) if found.is_empty() => Err(unusable(option, file, "holds no certificate")),
        Ok(found) => Ok(found),
        Err(error) => Err(unusable(option, file, &error.to_string())),
    }
}

/// Those of `sslrootcert` that may vouch for a server. webpki asks no authority what it may do.
fn authorities(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut found = certificates("sslrootcert", file)?;
    found.retain(certificate::may_be_trusted);
    if found.is_empty() {
        return Err(unusable(
            "sslrootcert",
            file,
            "holds no certificate that may vouch for a server",
        ));
    }
    Ok(found)
}

/// The key of this client, which others must not be able to read.
fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let fail = |why: &str| unusable("sslkey", file, why);
    let metadata = fs::metadata(file).map_err(|error| fail(&error.to_string()))?;
    // A file of root's may be readable for a group.
    let forbidden = if metadata.uid() == 0 { 0o027 } else { 0o077 };
    if metadata.mode() & forbidden != 0 {
        return Err(fail("others can read it; use chmod 600"));
    }
    PrivateKeyDer::from_pem_file(file).map_err(|error| fail(&error.to_string()))
}

/// Verifies what `sslmode` and `sslrootcert` ask for.
#[derive(Debug)]
struct Verifier {
    /// Who verifies the chain; nobody where nothing is verified.
    chain: Option<Arc<WebPkiServerVerifier>>,
    by_name: bool,
    /// The certificates of `sslrootcert`.
    trusted: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(tls: &Tls, provider: Arc<CryptoProvider>) -> Result<Self, String> {
        let by_name = tls.verify == Verify::Host;
        if tls.verify == Verify::Nothing {
            return Ok(Self {
                chain: None,
                by_name,
                trusted: Vec::new(),
                provider,
            });
        }
        let trusted = match &tls.root_cert {
            Some(file) => authorities(file)?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|e| format!("sslrootcert: {e}"))?;
        Ok(Self {
            chain: Some(chain),
            by_name,
            // Public authorities sign nothing that webpki cannot read.
            trusted: tls.root_cert.as_ref().map(|_| trusted).unwrap_or_default(),
            provider,
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        let refusal = match chain.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            Ok(verified) => return Ok(verified),
            // The chain is checked before the name, so a wrong name means a right chain.
            Err(
                refusal @ TlsError::InvalidCertificate(
                    CertificateError::NotValidForName
                    | CertificateError::NotValidForNameContext { .. },
                ),
            ) => refusal,
            Err(refusal) if !certificate::is_unread(&refusal) => return Err(refusal),
            Err(refusal) => {
                certificate::is_trusted(end_entity, &self.trusted, now, &self.provider)
                    .map_err(|_| refusal)?;
                CertificateError::NotValidForName.into()
            }
        };
        if !self.by_name || certificate::names(end_entity, name) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(refusal)
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        certificate::signed_handshake(message, certificate, signature, &self.provider, true)
            .unwrap_or_else(|| {
                let algorithms = &self.provider.signature_verification_algorithms;
                rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
            })
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        certificate::signed_handshake(message, certificate, signature, &self.provider, false)
            .unwrap_or_else(|| {
                let algorithms = &self.provider.signature_verification_algorithms;
                rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
            })
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
