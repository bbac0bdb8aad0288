//! Certificates that libpq (OpenSSL) accepts and webpki does not: of X.509 version 1, as `openssl x509
//! -req` makes them; one that is its own authority; a server's that may itself sign; and one that has
//! its host's name in the subject alone. Asked only after webpki has refused one of these kinds. It follows no
//! chain: the certificate is one of the trusted ones, or one of those has signed it. Also says which authorities
//! may not be trusted: webpki does not ask them what they may do.

use rustls::{
    CertificateError, DigitallySignedStruct, Error as TlsError, OtherError,
    client::danger::HandshakeSignatureValid,
    crypto::{self, CryptoProvider},
    pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
};
use x509_cert::{
    Certificate, Version,
    der::{
        Decode, Encode,
        asn1::{ObjectIdentifier, PrintableStringRef, Utf8StringRef},
        oid::AssociatedOid,
    },
    ext::pkix::{
        BasicConstraints, CertificatePolicies, CrlDistributionPoints, ExtendedKeyUsage,
        InhibitAnyPolicy, KeyUsage, NameConstraints, PolicyConstraints, PolicyMappings,
        SubjectAltName, name::GeneralName,
    },
    spki::AlgorithmIdentifierOwned,
};

/// `commonName` of a subject.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
/// What a key may be used for: to be a TLS server, and for everything.
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
const ANY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");

/// What an authority may say that must be understood, and OpenSSL does.
const UNDERSTOOD: [ObjectIdentifier; 10] = [
    BasicConstraints::OID,
    CertificatePolicies::OID,
    CrlDistributionPoints::OID,
    ExtendedKeyUsage::OID,
    InhibitAnyPolicy::OID,
    KeyUsage::OID,
    NameConstraints::OID,
    PolicyConstraints::OID,
    PolicyMappings::OID,
    SubjectAltName::OID,
];

/// Whether webpki has refused a certificate of a kind that OpenSSL accepts: of version 1, or one that may itself
/// sign. All other refusals are final.
pub(super) fn is_unread(refusal: &TlsError) -> bool {
    let TlsError::InvalidCertificate(CertificateError::Other(OtherError(why))) = refusal else {
        return false;
    };
    matches!(
        why.downcast_ref::<webpki::Error>(),
        Some(webpki::Error::CaUsedAsEndEntity | webpki::Error::UnsupportedCertVersion)
    )
}

/// Whether nothing that a trusted certificate says of itself keeps it from vouching for a server: it demands
/// nothing that is unknown here, and it is for servers. One that cannot be read is for webpki to judge.
pub(super) fn may_be_trusted(certificate: &CertificateDer<'static>) -> bool {
    parsed(certificate).map_or(true, |authority| {
        understands(&authority, &UNDERSTOOD).is_ok() && is_for_servers(&authority).is_ok()
    })
}

/// Whether `certificate` is its own authority and one of the `trusted`, or is signed by one of them, and
/// is valid now.
///
/// # Errors
/// Why it is not to be believed.
pub(super) fn is_trusted(
    certificate: &CertificateDer<'_>,
    trusted: &[CertificateDer<'_>],
    now: UnixTime,
    provider: &CryptoProvider,
) -> Result<(), CertificateError> {
    let leaf = parsed(certificate)?;
    is_valid(&leaf, now)?;
    let known = [
        BasicConstraints::OID,
        ExtendedKeyUsage::OID,
        KeyUsage::OID,
        SubjectAltName::OID,
    ];
    understands(&leaf, &known)?;
    is_for_servers(&leaf)?;
    let is_its_own = leaf.tbs_certificate.subject == leaf.tbs_certificate.issuer;
    if is_its_own
        && trusted
            .iter()
            .any(|one| one.as_ref() == certificate.as_ref())
    {
        return Ok(());
    }
    let signed_by = |authority: &Certificate| {
        authority.tbs_certificate.subject == leaf.tbs_certificate.issuer
            && may_sign(authority)
            && has_signed(authority, &leaf, provider)
    };
    let authorities = trusted.iter().filter_map(|one| parsed(one).ok());
    match authorities.into_iter().find(signed_by) {
        Some(authority) => is_valid(&authority, now),
        None => Err(CertificateError::UnknownIssuer),
    }
}

/// Whether the certificate names the host as libpq looks for it: where it has no other name of the
/// host's kind, in its subject.
pub(super) fn names(certificate: &CertificateDer<'_>, host: &ServerName<'_>) -> bool {
    let Ok(certificate) = parsed(certificate) else {
        return false;
    };
    let Ok(alternatives) = certificate.tbs_certificate.get::<SubjectAltName>() else {
        return false;
    };
    let (text, is_address) = match host {
        ServerName::DnsName(name) => (name.as_ref().to_owned(), false),
        ServerName::IpAddress(address) => (std::net::IpAddr::from(*address).to_string(), true),
        _ => return false,
    };
    let (mut has_names, mut has_addresses) = (false, false);
    for alternative in alternatives.iter().flat_map(|(_, names)| &names.0) {
        match alternative {
            GeneralName::DnsName(name) if matches(name.as_str(), &text, is_address) => return true,
            GeneralName::DnsName(_) => has_names = true,
            GeneralName::IpAddress(address) => {
                let is_it = match text.parse() {
                    Ok(std::net::IpAddr::V4(ip)) => address.as_bytes() == ip.octets(),
                    Ok(std::net::IpAddr::V6(ip)) => address.as_bytes() == ip.octets(),
                    Err(_) => false,
                };
                if is_it {
                    return true;
                }
                has_addresses = true;
            }
            _ => {}
        }
    }
    if has_names || (is_address && has_addresses) {
        return false;
    }
    let subject = &certificate.tbs_certificate.subject;
    let attributes = subject.0.iter().flat_map(|set| set.0.iter());
    attributes
        .filter(|attribute| attribute.oid == COMMON_NAME)
        .any(|attribute| {
            let utf8 = attribute
                .value
                .decode_as::<Utf8StringRef<'_>>()
                .map(|name| name.to_string());
            let name = utf8.or_else(|_| {
                let printable = attribute.value.decode_as::<PrintableStringRef<'_>>();
                printable.map(|name| name.to_string())
            });
            name.is_ok_and(|name| matches(&name, &text, is_address))
        })
}

/// Whether a handshake was signed with the key of a certificate that webpki cannot read. `None` when
/// it can.
pub(super) fn signed_handshake(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
    provider: &CryptoProvider,
    is_tls12: bool,
) -> Option<Result<HandshakeSignatureValid, TlsError>> {
    let certificate = parsed(certificate).ok()?;
    if certificate.tbs_certificate.version == Version::V3 {
        return None;
    }
    let algorithms = &provider.signature_verification_algorithms;
    let key = &certificate.tbs_certificate.subject_public_key_info;
    if !is_tls12 {
        let key = SubjectPublicKeyInfoDer::from(key.to_der().ok()?);
        return Some(crypto::verify_tls13_signature_with_raw_key(
            message, &key, signature, algorithms,
        ));
    }
    let of_key = contents(&key.algorithm)?;
    let bits = key.subject_public_key.as_bytes()?;
    let candidates = algorithms
        .mapping
        .iter()
        .filter(|(scheme, _)| *scheme == signature.scheme);
    let is_valid = candidates
        .flat_map(|(_, algorithms)| algorithms.iter())
        .any(|algorithm| {
            algorithm.public_key_alg_id().as_ref() == of_key
                && algorithm
                    .verify_signature(bits, message, signature.signature())
                    .is_ok()
        });
    Some(if is_valid {
        Ok(HandshakeSignatureValid::assertion())
    } else {
        Err(CertificateError::BadSignature.into())
    })
}

fn parsed(certificate: &CertificateDer<'_>) -> Result<Certificate, CertificateError> {
    Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)
}

fn is_valid(certificate: &Certificate, now: UnixTime) -> Result<(), CertificateError> {
    let validity = &certificate.tbs_certificate.validity;
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet);
    }
    if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired);
    }
    Ok(())
}

/// Whether all that the certificate says must be understood is among `known`.
fn understands(
    certificate: &Certificate,
    known: &[ObjectIdentifier],
) -> Result<(), CertificateError> {
    let extensions = certificate.tbs_certificate.extensions.as_deref();
    for extension in extensions.unwrap_or_default() {
        if extension.critical && !known.contains(&extension.extn_id) {
            return Err(CertificateError::UnhandledCriticalExtension);
        }
    }
    Ok(())
}

/// Whether nothing that the certificate says of its use speaks against a server.
fn is_for_servers(certificate: &Certificate) -> Result<(), CertificateError> {
    let usage = certificate.tbs_certificate.get::<ExtendedKeyUsage>();
    let usage = usage.map_err(|_| CertificateError::BadEncoding)?;
    let serves = |usage: &ExtendedKeyUsage| {
        usage
            .0
            .iter()
            .any(|usage| [SERVER_AUTH, ANY_USAGE].contains(usage))
    };
    match usage {
        Some((_, usage)) if !serves(&usage) => Err(CertificateError::InvalidPurpose),
        _ => Ok(()),
    }
}

/// Whether a trusted certificate may vouch for others. One of version 1 cannot say that it may not. One that may
/// do so only for some names may not here: nobody would look at the names.
fn may_sign(authority: &Certificate) -> bool {
    let authority = &authority.tbs_certificate;
    if !matches!(authority.get::<NameConstraints>(), Ok(None)) {
        return false;
    }
    let signs = match authority.get::<KeyUsage>() {
        Ok(usage) => usage.is_none_or(|(_, usage)| usage.key_cert_sign()),
        Err(_) => false,
    };
    signs
        && match authority.get::<BasicConstraints>() {
            Ok(Some((_, constraints))) => constraints.ca,
            Ok(None) => authority.version == Version::V1,
            Err(_) => false,
        }
}

fn has_signed(authority: &Certificate, leaf: &Certificate, provider: &CryptoProvider) -> bool {
    let key = &authority.tbs_certificate.subject_public_key_info;
    let (Some(of_key), Some(of_signature)) = (
        contents(&key.algorithm),
        contents(&leaf.signature_algorithm),
    ) else {
        return false;
    };
    let (Some(key), Some(signature), Ok(message)) = (
        key.subject_public_key.as_bytes(),
        leaf.signature.as_bytes(),
        leaf.tbs_certificate.to_der(),
    ) else {
        return false;
    };
    leaf.tbs_certificate.signature == leaf.signature_algorithm
        && provider
            .signature_verification_algorithms
            .all
            .iter()
            .any(|algorithm| {
                algorithm.public_key_alg_id().as_ref() == of_key
                    && algorithm.signature_alg_id().as_ref() == of_signature
                    && algorithm.verify_signature(key, &message, signature).is_ok()
            })
}

/// An algorithm's identifier without the head of its sequence, as rustls writes it.
fn contents(algorithm: &AlgorithmIdentifierOwned) -> Option<Vec<u8>> {
    let der = algorithm.to_der().ok()?;
    match der.as_slice() {
        [_, length, rest @ ..] if usize::from(*length) == rest.len() => Some(rest.to_vec()),
        _ => None,
    }
}

/// Whether a name of a certificate is the host's; `*.` stands for its first part.
fn matches(pattern: &str, host: &str, is_address: bool) -> bool {
    if pattern.eq_ignore_ascii_case(host) {
        return true;
    }
    let (Some(suffix), Some((_, rest))) = (pattern.strip_prefix("*."), host.split_once('.')) else {
        return false;
    };
    !is_address && suffix.contains('.') && suffix.eq_ignore_ascii_case(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_part_of_a_name() {
        for (pattern, host, is_address, expected) in [
            ("db.example.com", "DB.example.com", false, true),
            ("*.example.com", "db.example.com", false, true),
            ("*.example.com", "a.db.example.com", false, false),
            ("*.com", "example.com", false, false),
            ("*", "db", false, false),
            ("d*.example.com", "db.example.com", false, false),
            ("10.0.0.1", "10.0.0.1", true, true),
            ("*.0.0.1", "10.0.0.1", true, false),
        ] {
            assert_eq!(
                matches(pattern, host, is_address),
                expected,
                "{pattern} {host}"
            );
        }
    }
}
