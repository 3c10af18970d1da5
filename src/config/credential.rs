//! Credentials of Basic authentication: users who may connect, and their passwords.

use std::fmt;
use std::str::FromStr;

use ctutils::CtEq;
use sha2::{Digest, Sha256};

use super::Invalid;

/// A user and a password, `USER:PASSWORD`. The password is not kept, only a digest of both, which
/// takes the same time to compare however long they are.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    user: String,
    digest: [u8; 32],
}

impl Credential {
    /// The user's name.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Returns the pair that matches `shown`, a `USER:PASSWORD`, if one does. Every pair is
    /// compared, in constant time.
    pub fn find<'c>(pairs: &'c [Self], shown: &[u8]) -> Option<&'c Self> {
        let digest = <[u8; 32]>::from(Sha256::digest(shown));
        let mut found = None;
        for pair in pairs {
            // Only who is right learns something by this branch.
            if pair.digest.ct_eq(&digest).into() {
                found = Some(pair);
            }
        }
        found
    }
}

impl FromStr for Credential {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // What is wrong is said without the text, which is a secret.
        let Some((user, _)) = text.split_once(':').filter(|(user, _)| !user.is_empty()) else {
            return Err(Invalid(
                "a user and a password are written USER:PASSWORD".into(),
            ));
        };
        // RFC 7617 section 2.
        if text.chars().any(char::is_control) {
            return Err(Invalid(
                "a user and a password have no control characters".into(),
            ));
        }
        Ok(Self {
            user: user.to_owned(),
            digest: Sha256::digest(text).into(),
        })
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:…", self.user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_found_by_user_and_password() {
        let pairs: Vec<Credential> = ["ada:countess", "bob:a:b", "eve:"]
            .map(|pair| pair.parse().unwrap())
            .into();
        let find = |shown: &str| Credential::find(&pairs, shown.as_bytes()).map(Credential::user);
        assert_eq!(find("ada:countess"), Some("ada"));
        assert_eq!(find("bob:a:b"), Some("bob"));
        assert_eq!(find("eve:"), Some("eve"));
        for wrong in [
            "",
            "ada",
            "ada:",
            "ada:countes",
            "ada:countesss",
            "Ada:countess",
            "bob:a",
            ":",
        ] {
            assert_eq!(find(wrong), None, "{wrong}");
        }
        assert_eq!(Credential::find(&[], b"ada:countess"), None);
    }

    #[test]
    fn a_password_is_not_shown() {
        let pair: Credential = "ada:countess".parse().unwrap();
        assert_eq!(format!("{pair:?}"), "ada:…");
        for wrong in ["secret", ":secret", "ada:sec\nret"] {
            let error = wrong.parse::<Credential>().unwrap_err().to_string();
            assert!(!error.contains("sec"), "{error}");
        }
    }
}
