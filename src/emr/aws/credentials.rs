//! The credentials in use: kept until shortly before they expire, then looked for again.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use object_store::aws::AwsCredential;
use serde::Deserialize;
use tokio::{sync::Mutex, time};

use super::chain::Chain;

/// How long the sources may take together.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long before they expire credentials are replaced.
const EARLY: Duration = Duration::from_mins(5);
/// How long credentials are used that do not say when they expire: a file may have new ones.
const USUALLY: Duration = Duration::from_mins(15);
/// Between attempts to replace credentials that can still be used.
const AGAIN: Duration = Duration::from_secs(30);

/// Credentials that a source has given.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) credential: Arc<AwsCredential>,
    expires: Option<Timestamp>,
}

/// Credentials as sources write them in JSON and XML.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Written {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: String,
    #[serde(alias = "Token")]
    pub(super) session_token: Option<String>,
    pub(super) expiration: Option<Timestamp>,
}

impl Found {
    /// Refuses what cannot be sent in a header.
    pub(super) fn new(written: Written) -> Result<Self, String> {
        let is_sendable = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let credential = AwsCredential {
            key_id: written.access_key_id,
            secret_key: written.secret_access_key,
            token: written.session_token.filter(|token| !token.is_empty()),
        };
        if !is_sendable(&credential.key_id) || !credential.token.as_deref().is_none_or(is_sendable)
        {
            return Err("a key or token has characters that none can have".into());
        }
        Ok(Self {
            credential: Arc::new(credential),
            expires: written.expiration,
        })
    }

    /// What an answer in JSON holds. Never shows the answer.
    pub(super) fn from_json(answer: &[u8], source: &str) -> Result<Self, String> {
        let written = serde_json::from_slice(answer);
        let written = written.map_err(|_| format!("{source} has given no credentials"))?;
        Self::new(written)
    }

    /// How long they are used before they are looked for again.
    fn lasts(&self, now: Timestamp) -> Duration {
        let Some(expires) = self.expires else {
            return USUALLY;
        };
        let left = Duration::try_from(expires.duration_since(now)).unwrap_or_default();
        // Those that a source has given out late are better than none.
        left.saturating_sub(EARLY).max(AGAIN)
    }
}

/// The credentials in use; looks for new ones before they expire.
pub(super) struct Credentials {
    chain: Chain,
    /// Those in use, and when they are looked for again.
    current: Mutex<Option<(Found, Instant)>>,
}

impl Credentials {
    pub(super) fn new(chain: Chain) -> Self {
        Self {
            chain,
            current: Mutex::default(),
        }
    }

    /// Credentials to sign with; says why there are none. One caller looks for them, others wait.
    pub(super) async fn get(&self) -> Result<Arc<AwsCredential>, String> {
        let mut current = self.current.lock().await;
        if let Some((found, until)) = &*current
            && Instant::now() < *until
        {
            return Ok(found.credential.clone());
        }
        let now = Timestamp::now();
        let found = time::timeout(TIMEOUT, self.chain.find())
            .await
            .unwrap_or_else(|_| Err("the source of the credentials does not answer".into()));
        let (found, lasts) = match (found, current.take()) {
            (Ok(found), _) => {
                let lasts = found.lasts(now);
                (found, lasts)
            }
            (Err(why), Some((found, _))) if found.expires.is_some_and(|expires| expires > now) => {
                tracing::warn!(why, "the AWS credentials cannot be replaced yet");
                (found, AGAIN)
            }
            (Err(why), _) => return Err(why),
        };
        let credential = found.credential.clone();
        *current = Some((found, Instant::now() + lasts));
        Ok(credential)
    }

    /// Has them looked for at the next call.
    pub(super) async fn forget(&self) {
        *self.current.lock().await = None;
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{"Version": 1, "AccessKeyId": "AKIA", "SecretAccessKey": "very-secret",
        "Token": "token", "Expiration": "2026-02-25T06:00:00Z", "Code": "Success"}"#;

    #[test]
    fn credentials_are_replaced_before_they_expire() {
        let found = Found::from_json(ANSWER.as_bytes(), "x").unwrap();
        let lasts = |now: &str| found.lasts(now.parse().unwrap()).as_secs();
        assert_eq!(lasts("2026-02-25T05:00:00Z"), 55 * 60);
        assert_eq!(lasts("2026-02-25T05:59:00Z"), 30);
        assert_eq!(lasts("2026-02-25T07:00:00Z"), 30);
    }

    #[test]
    fn no_secret_is_ever_shown() {
        let found = Found::from_json(ANSWER.as_bytes(), "x").unwrap();
        let shown = format!("{found:?}");
        assert!(
            !shown.contains("very-secret") && !shown.contains("\"token\""),
            "{shown}"
        );
        let broken = ANSWER.replace("2026-02-25", "very-secret");
        let why = Found::from_json(broken.as_bytes(), "x").unwrap_err();
        assert_eq!(why, "x has given no credentials");
    }

    #[test]
    fn a_key_that_no_header_can_hold_is_refused() {
        for (from, to) in [("AKIA", "AK\\nIA"), ("\"token\"", "\"tok\\u00e9n\"")] {
            let answer = ANSWER.replace(from, to);
            assert!(Found::from_json(answer.as_bytes(), "x").is_err(), "{to}");
        }
    }
}
