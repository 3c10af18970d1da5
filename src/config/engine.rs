//! Engines in other processes, by URL: Redis or Valkey, and NATS. Their passwords are never shown.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

use super::Invalid;

/// What topics go through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Broker {
    /// This process alone.
    #[default]
    Memory,
    /// An engine that several nodes share.
    Engine(EngineUrl),
}

/// What keeps stores and queues.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Store {
    /// Memory: they end with the process.
    #[default]
    Memory,
    /// A file, which outlives it.
    File(PathBuf),
    /// A Redis, which several servers share.
    Redis(EngineUrl),
}

/// What kind of server an engine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Redis or Valkey.
    Redis,
    /// NATS.
    Nats,
}

/// Where it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A host and a port, with or without TLS.
    Tcp(String, u16, bool),
    /// A Unix-domain socket.
    Unix(PathBuf),
}

/// An engine's address, and how to get in. Shown without its password, in the log and everywhere.
#[derive(Clone, PartialEq, Eq)]
pub struct EngineUrl {
    /// The kind of server.
    pub engine: Engine,
    /// Where it is.
    pub place: Place,
    /// The user, if one is named.
    pub user: Option<String>,
    /// The password, if there is one.
    pub password: Option<String>,
    /// The number of Redis' database.
    pub database: u16,
    /// What the names of all its keys and channels begin with.
    pub prefix: String,
}

/// Names of keys and channels where nothing else is said.
const PREFIX: &str = "wsh";
/// Bytes of such a prefix, at the most.
const LONGEST_PREFIX: usize = 64;
/// What is shown in a password's place.
const HIDDEN: &str = "***";

/// What engines' URLs look like.
const FORMS: &str = "redis://HOST, rediss://HOST (TLS), redis+unix:/PATH, nats://HOST or \
    tls://HOST (NATS over TLS)";

impl FromStr for Broker {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "memory" => Ok(Self::Memory),
            _ => text.parse().map(Self::Engine),
        }
    }
}

impl FromStr for Store {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wanted = || Invalid("memory, file:PATH or redis://HOST is wanted".into());
        match text.split_once(':') {
            None if text == "memory" => Ok(Self::Memory),
            None | Some(("file", "")) => Err(wanted()),
            Some(("file", path)) => Ok(Self::File(path.into())),
            Some(_) => match text.parse::<EngineUrl>()? {
                url if url.engine == Engine::Redis => Ok(Self::Redis(url)),
                _ => Err(wanted()),
            },
        }
    }
}

impl FromStr for EngineUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // What is wrong is said without the text, which has a password in it.
        let invalid = |what: &str| Invalid(format!("{what}; an engine is {FORMS}"));
        let url = Url::parse(text).map_err(|error| invalid(&format!("not a URL: {error}")))?;
        let (engine, port, is_encrypted) = match url.scheme() {
            "redis" | "valkey" => (Engine::Redis, 6379, false),
            "rediss" | "valkeys" => (Engine::Redis, 6379, true),
            "redis+unix" | "valkey+unix" => (Engine::Redis, 0, false),
            "nats" => (Engine::Nats, 4222, false),
            "tls" => (Engine::Nats, 4222, true),
            scheme => return Err(invalid(&format!("{scheme}: is no engine"))),
        };
        let decoded = |text: &str| {
            let bytes = percent_encoding::percent_decode_str(text);
            let text = bytes.decode_utf8().map(|text| text.into_owned());
            text.map_err(|_| invalid("the user and the password are UTF-8"))
        };
        let user = Some(url.username()).filter(|user| !user.is_empty());
        let mut parsed = Self {
            engine,
            place: Place::Unix(PathBuf::new()),
            user: user.map(decoded).transpose()?,
            password: url.password().map(decoded).transpose()?,
            database: 0,
            prefix: PREFIX.to_owned(),
        };
        let database = |text: &str| {
            let number = text.parse().ok();
            number.ok_or_else(|| invalid("a database is a number, as in redis://HOST/1"))
        };
        let path = url.path();
        if url.scheme().ends_with("+unix") {
            if !path.starts_with('/') || path.len() < 2 {
                return Err(invalid("a Unix-domain socket is an absolute path"));
            }
            parsed.place = Place::Unix(decoded(path)?.into());
        } else {
            let host = url.host_str().unwrap_or_default();
            let host = host.trim_start_matches('[').trim_end_matches(']');
            if host.is_empty() {
                return Err(invalid("the host is missing"));
            }
            let port = url.port().unwrap_or(port);
            parsed.place = Place::Tcp(host.to_owned(), port, is_encrypted);
            match (path.trim_matches('/'), engine) {
                ("", _) => {}
                (number, Engine::Redis) => parsed.database = database(number)?,
                (_, Engine::Nats) => return Err(invalid("NATS has no paths")),
            }
        }
        for (name, value) in url.query_pairs() {
            match &*name {
                "prefix" => {
                    parsed.prefix = prefix(&value).ok_or_else(|| {
                        invalid("prefix is 1 to 64 letters, digits and characters of _-.:")
                    })?
                }
                "db" if engine == Engine::Redis => parsed.database = database(&value)?,
                "user" => parsed.user = Some(value.into_owned()),
                "password" => parsed.password = Some(value.into_owned()),
                _ => {
                    return Err(invalid(&format!(
                        "there is no parameter {name:?}, only prefix, db, user and password"
                    )));
                }
            }
        }
        // A token of NATS stands alone, in the user's place.
        if engine == Engine::Nats && parsed.password.is_none() {
            parsed.password = parsed.user.take();
        }
        if engine == Engine::Nats && parsed.prefix.split('.').any(str::is_empty) {
            return Err(invalid(
                "a prefix for NATS has a dot only between two other characters",
            ));
        }
        if url.fragment().is_some() {
            return Err(invalid("a # has no meaning: write %23 in a password"));
        }
        Ok(parsed)
    }
}

/// A prefix that neither Redis' patterns nor NATS' subjects take for something else.
fn prefix(text: &str) -> Option<String> {
    let fits = (1..=LONGEST_PREFIX).contains(&text.len());
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
    (fits && text.bytes().all(is_plain)).then(|| text.to_owned())
}

impl fmt::Display for EngineUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = self.password.as_ref().map(|_| HIDDEN);
        match &self.place {
            Place::Tcp(host, port, is_encrypted) => {
                out.write_str(match (self.engine, is_encrypted) {
                    (Engine::Redis, false) => "redis://",
                    (Engine::Redis, true) => "rediss://",
                    (Engine::Nats, false) => "nats://",
                    (Engine::Nats, true) => "tls://",
                })?;
                if self.user.is_some() || secret.is_some() {
                    out.write_str(self.user.as_deref().unwrap_or_default())?;
                    if let Some(secret) = secret {
                        write!(out, ":{secret}")?;
                    }
                    out.write_str("@")?;
                }
                match host.contains(':') {
                    true => write!(out, "[{host}]:{port}")?,
                    false => write!(out, "{host}:{port}")?,
                }
                if self.database != 0 {
                    write!(out, "/{}", self.database)?;
                }
            }
            Place::Unix(path) => {
                write!(out, "redis+unix:{}", path.display())?;
                if self.database != 0 {
                    write!(out, "?db={}", self.database)?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for EngineUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_and_its_password_is_not_shown() {
        for (text, shown) in [
            ("redis://localhost", "redis://localhost:6379"),
            (
                "redis://:se%23cret@10.0.0.1:7000/2?prefix=chat",
                "redis://:***@10.0.0.1:7000/2",
            ),
            ("rediss://ann:secret@[::1]", "rediss://ann:***@[::1]:6379"),
            (
                "redis+unix:/run/redis.sock?db=3&password=secret",
                "redis+unix:/run/redis.sock?db=3",
            ),
            ("redis+unix:///run/redis.sock", "redis+unix:/run/redis.sock"),
            ("nats://secret-token@nats", "nats://:***@nats:4222"),
            ("tls://u:secret@nats:4443", "tls://u:***@nats:4443"),
        ] {
            let url: EngineUrl = text.parse().expect(text);
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("cret"), "{url:?}");
        }
        let url: EngineUrl = "redis://:se%23cret@h/2?prefix=chat".parse().expect("a URL");
        assert_eq!(url.password.as_deref(), Some("se#cret"));
        assert_eq!((url.database, url.prefix.as_str()), (2, "chat"));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for text in [
            "redis",
            "redis://",
            "http://:secret@host",
            "redis://:secret@host/one",
            "redis://:secret@host/99999",
            "redis://:secret@host?prefix=a*b",
            "redis://:secret@host?prefix=",
            "redis://:secret@host?database=1",
            "redis://:secret@host#insecure",
            "redis+unix:run/redis.sock?password=secret",
            "nats://:secret@host/1",
            "redis://:secret@host:port",
            "nats://:secret@host?prefix=.chat",
            "nats://:secret@host?prefix=my..chat",
            "nats://:secret@host?db=1",
        ] {
            let error = text.parse::<EngineUrl>().expect_err(text).to_string();
            assert!(!error.contains("secret"), "{error}");
            assert!(error.contains("redis://HOST"), "{error}");
        }
        assert_eq!("memory".parse(), Ok(Broker::Memory));
        for text in [
            "redis",
            "file:",
            "nats://:secret@host",
            "redis://:secret@host/x",
        ] {
            let error = text.parse::<Store>().expect_err(text).to_string();
            assert!(
                error.contains("redis://HOST") && !error.contains("secret"),
                "{error}"
            );
        }
        assert_eq!("file:a".parse(), Ok(Store::File("a".into())));
    }
}
