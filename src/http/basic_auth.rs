//! Basic authentication, RFC 7617: who sends which header.

use data_encoding::BASE64;

use super::refusals::Kind;
use super::respond::Refusal;
use crate::config::Credential;

/// The reason why authentication fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// Nothing was shown: browsers ask their user after that.
    #[error("no user and password were sent, and --basic-auth asks for them")]
    Silent,
    /// Something that is no user and password.
    #[error("the Authorization header has no user and password of the Basic scheme")]
    Unreadable,
    /// A user or a password that is wrong.
    #[error(
        "the user and password are none of those that --basic-auth-file or --basic-auth-credential \
        name"
    )]
    Wrong,
}

impl From<Unknown> for Refusal {
    fn from(_: Unknown) -> Self {
        Self::new(401, "a user and a password are needed")
            .named(Kind::BasicAuth.id())
            .header(
                "WWW-Authenticate",
                r#"Basic realm="wsh-server", charset="UTF-8""#,
            )
    }
}

/// The user that these `Authorization` headers prove to be.
pub fn user<'c>(headers: &[&str], known: &'c [Credential]) -> Result<&'c str, Unknown> {
    let header = match headers {
        [] => return Err(Unknown::Silent),
        [header] => header,
        _ => return Err(Unknown::Unreadable),
    };
    let (scheme, token) = header.split_once(' ').ok_or(Unknown::Unreadable)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(Unknown::Unreadable);
    }
    let shown = BASE64.decode(token.trim_start_matches(' ').as_bytes());
    let shown = shown.map_err(|_| Unknown::Unreadable)?;
    Credential::find(known, &shown)
        .map(Credential::user)
        .ok_or(Unknown::Wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_known_by_one_correct_header() {
        let known = [
            "ada:countess".parse().unwrap(),
            "björn:påssword".parse().unwrap(),
        ];
        let ada = format!("Basic {}", BASE64.encode(b"ada:countess"));
        let cases: &[(&[&str], _)] = &[
            (&[&ada], Ok("ada")),
            (&["bAsIc   YWRhOmNvdW50ZXNz"], Ok("ada")),
            (
                &[&format!(
                    "Basic {}",
                    BASE64.encode("björn:påssword".as_bytes())
                )],
                Ok("björn"),
            ),
            (&[], Err(Unknown::Silent)),
            (&[&ada, &ada], Err(Unknown::Unreadable)),
            (&["Basic"], Err(Unknown::Unreadable)),
            (&["Bearer YWRhOmNvdW50ZXNz"], Err(Unknown::Unreadable)),
            (&["Basic YWRhOmNvdW50ZXN"], Err(Unknown::Unreadable)),
            (&["Basic %"], Err(Unknown::Unreadable)),
            (&["Basic "], Err(Unknown::Wrong)),
            (&["Basic YWRhOg=="], Err(Unknown::Wrong)),
        ];
        for (headers, expected) in cases {
            assert_eq!(user(headers, &known), *expected, "{headers:?}");
        }
        assert_eq!(user(&[&ada], &[]), Err(Unknown::Wrong));
    }
}
