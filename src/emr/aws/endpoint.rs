//! Where a service of AWS is.

use hyper::{Uri, http::uri::Authority};

use super::profiles::Profiles;
use crate::config::aws::AwsVariables;

/// The names of a service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Service {
    /// In hosts and in signatures.
    pub(super) signed_as: &'static str,
    /// In the section of services of a profile.
    key: &'static str,
    /// The variable for its address.
    variable: &'static str,
}

/// Amazon EMR.
pub(super) const EMR: Service = Service {
    signed_as: "elasticmapreduce",
    key: "emr",
    variable: "AWS_ENDPOINT_URL_EMR",
};

/// The Security Token Service.
pub(super) const STS: Service = Service {
    signed_as: "sts",
    key: "sts",
    variable: "AWS_ENDPOINT_URL_STS",
};

/// The domains of a region by the beginning of its name: of the addresses with IPv4 alone, and of those with
/// IPv6 too (<https://docs.aws.amazon.com/general/latest/gr/rande.html>).
const DOMAINS: [(&str, &str, &str); 7] = [
    ("cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    ("eusc-", "amazonaws.eu", "api.amazonwebservices.eu"),
    ("us-iso-", "c2s.ic.gov", "api.aws.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov", "api.aws.scloud"),
    ("us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
    ("eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    ("", "amazonaws.com", "api.aws"),
];

/// The address that the variables or the profile name, or Amazon's own for the region.
pub(super) fn of(
    service: Service,
    region: &str,
    variables: &AwsVariables,
    profiles: &Profiles,
) -> Result<Uri, String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !region.chars().all(is_part) {
        return Err(format!("the region {region:?} is no name of a region"));
    }
    if let Some(url) = named(service, variables, profiles) {
        let url = url.trim_end_matches('/');
        let uri: Option<Uri> = format!("{url}/").parse().ok();
        let is_address = |uri: &Uri| {
            let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
            let authority = uri.authority().map_or("", Authority::as_str);
            is_http && !authority.is_empty() && !authority.contains('@') && uri.query().is_none()
        };
        // It may hold a password, so it is not shown.
        return uri.filter(is_address).ok_or_else(|| {
            format!(
                "{}, AWS_ENDPOINT_URL or the endpoint_url of the profile is no http or https address",
                service.variable
            )
        });
    }
    let is_set = |variable: &str, key: &str| {
        let of_profile = || profiles.property(variables, key) == Some("true");
        variables.is_true(variable) || variables.get(variable).is_none() && of_profile()
    };
    let is_dual = is_set("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint");
    let domain = DOMAINS
        .iter()
        .find(|(start, ..)| region.starts_with(start))
        .map_or(
            "amazonaws.com",
            |(_, ipv4, dual)| {
                if is_dual { dual } else { ipv4 }
            },
        );
    let is_fips = is_set("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint");
    // The usual endpoints of these regions are FIPS endpoints.
    let fips = if is_fips && (is_dual || !region.starts_with("us-gov-")) {
        "-fips"
    } else {
        ""
    };
    let url = format!("https://{}{fips}.{region}.{domain}/", service.signed_as);
    url.parse().map_err(|error| format!("{url}: {error}"))
}

fn named<'a>(
    service: Service,
    variables: &'a AwsVariables,
    profiles: &'a Profiles,
) -> Option<&'a str> {
    if variables.is_true("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") {
        return None;
    }
    variables
        .get(service.variable)
        .or_else(|| variables.get("AWS_ENDPOINT_URL"))
        .or_else(|| profiles.service_endpoint(variables, service.key))
        .or_else(|| profiles.property(variables, "endpoint_url"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(region: &str, variables: &[(&str, &str)]) -> Result<String, String> {
        let variables = variables.iter();
        let variables = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let profiles = Profiles::default();
        of(EMR, region, &variables.collect(), &profiles).map(|uri| uri.to_string())
    }

    #[test]
    fn a_region_has_its_own_address() {
        for (region, expected) in [
            (
                "eu-west-3",
                "https://elasticmapreduce.eu-west-3.amazonaws.com/",
            ),
            (
                "cn-north-1",
                "https://elasticmapreduce.cn-north-1.amazonaws.com.cn/",
            ),
            (
                "us-isob-east-1",
                "https://elasticmapreduce.us-isob-east-1.sc2s.sgov.gov/",
            ),
        ] {
            assert_eq!(address(region, &[]).unwrap(), expected);
        }
        let fips = ("AWS_USE_FIPS_ENDPOINT", "true");
        let dual = ("AWS_USE_DUALSTACK_ENDPOINT", "true");
        for (region, variables, expected) in [
            ("us-east-1", &[fips][..], "-fips.us-east-1.amazonaws.com"),
            ("us-east-1", &[dual], ".us-east-1.api.aws"),
            ("us-east-1", &[fips, dual], "-fips.us-east-1.api.aws"),
            ("us-gov-west-1", &[fips], ".us-gov-west-1.amazonaws.com"),
            (
                "us-gov-west-1",
                &[fips, dual],
                "-fips.us-gov-west-1.api.aws",
            ),
            (
                "cn-north-1",
                &[dual],
                ".cn-north-1.api.amazonwebservices.com.cn",
            ),
        ] {
            let expected = format!("https://elasticmapreduce{expected}/");
            assert_eq!(address(region, variables).unwrap(), expected);
        }
    }

    #[test]
    fn a_named_address_is_used() {
        let all = ("AWS_ENDPOINT_URL", "http://127.0.0.1:1/emr/");
        let one = ("AWS_ENDPOINT_URL_EMR", "https://emr.example");
        assert_eq!(address("x", &[all]).unwrap(), "http://127.0.0.1:1/emr/");
        assert_eq!(address("x", &[all, one]).unwrap(), "https://emr.example/");
        let ignored = ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true");
        let expected = "https://elasticmapreduce.x.amazonaws.com/";
        assert_eq!(address("x", &[all, one, ignored]).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_an_address_is_refused() {
        for url in [
            "localhost",
            "ftp://a",
            "http://",
            "http://a b",
            "http://a/?b",
            "http://user:secret@a",
        ] {
            let why = address("x", &[("AWS_ENDPOINT_URL", url)]).unwrap_err();
            assert!(why.contains("AWS_ENDPOINT_URL_EMR"), "{why}");
            assert!(!why.contains(url) && !why.contains("secret"), "{why}");
        }
        assert!(address("evil.example/", &[]).is_err());
    }
}
