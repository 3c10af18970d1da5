//! A certificate for localhost, from an authority of one's own: made once, kept in the user's data
//! folder.
//!
//! The authority can vouch for nothing but this machine's own names and addresses, so that a stolen
//! key opens no other door.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints,
};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use x509_cert::Certificate;
use x509_cert::der::{DateTime, Decode};

use crate::file;
use crate::observe::event::{Event, text};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Browsers take no certificate of more than 825 days from an authority of the user's own.
const LEAF_DAYS: u32 = 365;
/// Ten years: trusting it anew is the user's work.
const AUTHORITY_DAYS: u32 = 3650;
/// Remaining days of validity at which the server's certificate is made anew.
const RENEW_DAYS: u32 = 30;
/// Bytes of a file: a certificate has less than a thousand.
const LONGEST: usize = 64 * 1024;
/// Prefix of the authority's common name. A number follows, so that a user who trusts two can tell
/// them apart.
const NAME: &str = "wsh-server development authority";

/// Paths of the development certificates and the server's key.
#[derive(Debug)]
pub struct Made {
    /// The authority's certificate, which browsers are to trust.
    pub authority: PathBuf,
    /// The server's certificate.
    pub certificate: PathBuf,
    /// The private key of the server's certificate.
    pub private_key: PathBuf,
}

impl Made {
    fn within(folder: &Path) -> Self {
        Self {
            authority: folder.join("authority.pem"),
            certificate: folder.join("localhost.pem"),
            private_key: folder.join("localhost.key"),
        }
    }

    /// Returns the instructions for making browsers and the system trust the authority, in lines.
    pub fn how_to_trust(&self) -> String {
        let file = self.authority.display();
        format!(
            "the development certificate is for localhost, 127.0.0.1 and ::1; to trust its \
            authority, {file}:\n  \
             Debian, Ubuntu:  sudo cp '{file}' /usr/local/share/ca-certificates/wsh-server.crt && \
             sudo update-ca-certificates\n  \
             Chromium, Linux: mkdir -p ~/.pki/nssdb && certutil -d sql:$HOME/.pki/nssdb -A -t C,, \
             -n wsh-server -i '{file}'  (of libnss3-tools)\n  \
             Firefox:         Settings, Privacy & Security, View Certificates, Authorities, \
             Import\n  \
             macOS:           sudo security add-trusted-cert -d -k \
             /Library/Keychains/System.keychain '{file}'\n"
        )
    }
}

/// The folder of the user's data that is ours.
pub fn folder() -> io::Result<PathBuf> {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let data = std::env::var_os("XDG_DATA_HOME").and_then(absolute);
    let data = data.or_else(|| {
        let home = std::env::var_os("HOME").and_then(absolute)?;
        Some(home.join(".local/share"))
    });
    match data {
        Some(data) => Ok(data.join("wsh-server")),
        None => Err(io::Error::new(
            io::ErrorKind::NotFound,
            "neither XDG_DATA_HOME nor HOME says where",
        )),
    }
}

/// Makes what is missing, ends soon, or is from the future, and says where it is.
pub fn make() -> io::Result<Made> {
    make_in(&folder()?, SystemTime::now())
}

fn make_in(folder: &Path, now: SystemTime) -> io::Result<Made> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    // Two servers that start at once are to have one authority.
    let lock = File::create(folder.join("lock"))?;
    lock.lock()?;
    let made = Made::within(folder);
    let authority_key = folder.join("authority.key");
    let issuer = match read_authority(&made.authority, &authority_key, now) {
        Ok(issuer) => issuer,
        Err(why) => {
            if let Some(why) = why {
                let file = made.authority.display();
                Event::DevelopmentAuthority {
                    file: text(&file),
                    why: &why,
                }
                .tell();
            }
            make_authority(&made.authority, &authority_key, now)?
        }
    };
    if let Err(why) = check_leaf(&made, now) {
        if let Some(why) = why {
            let file = made.certificate.display();
            Event::DevelopmentCertificate {
                file: text(&file),
                why: &why,
            }
            .tell();
        }
        make_leaf(&issuer, &made, now).map_err(io::Error::other)??;
    }
    Ok(made)
}

/// Whether a certificate is there that need not be made anew yet.
pub fn holds(certificate: &Path) -> bool {
    let known = read(certificate);
    known.is_some_and(|known| unfit(&known, RENEW_DAYS, SystemTime::now()).is_none())
}

/// Checks the server's certificate; `Err` if it must be made, with the reason if that is worth a
/// log line.
fn check_leaf(made: &Made, now: SystemTime) -> Result<(), Option<String>> {
    let leaf = read(&made.certificate).ok_or(None)?;
    if !made.private_key.exists() {
        return Err(None);
    }
    if let Some(why) = unfit(&leaf, RENEW_DAYS, now) {
        return Err(Some(why));
    }
    let issued_by = leaf.tbs_certificate().issuer().to_string();
    let name = common_name(&made.authority).map(|name| format!("CN={name}"));
    if Some(issued_by) == name {
        Ok(())
    } else {
        Err(None)
    }
}

fn read(file: &Path) -> Option<Certificate> {
    let found = CertificateDer::from_pem_slice(&file::read(file, LONGEST).ok()?).ok()?;
    Certificate::from_der(&found).ok()
}

fn common_name(file: &Path) -> Option<String> {
    let subject = read(file)?.tbs_certificate().subject().to_string();
    Some(subject.strip_prefix("CN=")?.to_owned())
}

/// Returns why a certificate is not valid now, or will not be for so many days more.
fn unfit(certificate: &Certificate, days: u32, now: SystemTime) -> Option<String> {
    let validity = certificate.tbs_certificate().validity();
    let (begins, ends) = (validity.not_before, validity.not_after);
    if begins.to_system_time() > now {
        return Some(format!(
            "it is from the future, and holds from {begins} on: a clock was wrong when it was \
            made, or is now"
        ));
    }
    let until = ends.to_system_time();
    if until <= now {
        Some(format!("it ended at {ends}"))
    } else if until <= now + DAY * days {
        Some(format!("it ends at {ends}"))
    } else {
        None
    }
}

/// The authority that was made before, if it still outlives what it signs; or why it does not, if
/// there is one.
fn read_authority(
    certificate: &Path,
    key: &Path,
    now: SystemTime,
) -> Result<Issuer<'static, KeyPair>, Option<String>> {
    let known = read(certificate).ok_or(None)?;
    if let Some(why) = unfit(&known, LEAF_DAYS, now) {
        return Err(Some(why));
    }
    let pair = file::read_text(key, LONGEST).ok();
    let pair = pair.and_then(|text| KeyPair::from_pem(&text).ok());
    let pair = pair.ok_or_else(|| Some(format!("its key {} cannot be read", key.display())))?;
    let public = &known
        .tbs_certificate()
        .subject_public_key_info()
        .subject_public_key;
    if public.as_bytes() != Some(pair.public_key_raw()) {
        return Err(Some(format!("{} is the key of another", key.display())));
    }
    let name = common_name(certificate).ok_or(None)?;
    let params = authority_params(&name, now).map_err(|_| None)?;
    Ok(Issuer::new(params, pair))
}

fn make_authority(
    certificate: &Path,
    key: &Path,
    now: SystemTime,
) -> io::Result<Issuer<'static, KeyPair>> {
    let name = format!("{NAME} {:08x}", fastrand::u32(..));
    let params = authority_params(&name, now)?;
    let pair = KeyPair::generate().map_err(io::Error::other)?;
    let signed = params.self_signed(&pair).map_err(io::Error::other)?;
    write(key, &pair.serialize_pem(), 0o600)?;
    write(certificate, &signed.pem(), 0o644)?;
    Ok(Issuer::new(params, pair))
}

fn authority_params(name: &str, now: SystemTime) -> io::Result<CertificateParams> {
    let mut params = params(name, AUTHORITY_DAYS, now)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName("localhost".into()),
            GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([127, 0, 0, 0], 8)),
            GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix(
                std::net::Ipv6Addr::LOCALHOST.octets(),
                128,
            )),
        ],
        excluded_subtrees: Vec::new(),
    });
    Ok(params)
}

fn make_leaf(
    issuer: &Issuer<'_, KeyPair>,
    made: &Made,
    now: SystemTime,
) -> Result<io::Result<()>, rcgen::Error> {
    let names = ["localhost", "127.0.0.1", "::1"].map(String::from);
    let mut leaf = CertificateParams::new(names)?;
    let dated = match params("localhost", LEAF_DAYS, now) {
        Ok(dated) => dated,
        Err(error) => return Ok(Err(error)),
    };
    leaf.not_before = dated.not_before;
    leaf.not_after = dated.not_after;
    leaf.distinguished_name = dated.distinguished_name;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let signed = leaf.signed_by(&key, issuer)?;
    Ok(write(&made.private_key, &key.serialize_pem(), 0o600)
        .and_then(|()| write(&made.certificate, &signed.pem(), 0o644)))
}

/// A name, and a time from yesterday on: clocks differ.
fn params(name: &str, days: u32, now: SystemTime) -> io::Result<CertificateParams> {
    let date = |time: SystemTime| -> io::Result<_> {
        let date = DateTime::from_system_time(time).map_err(io::Error::other)?;
        let year = i32::from(date.year());
        Ok(rcgen::date_time_ymd(year, date.month(), date.day()))
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date(now - DAY)?;
    params.not_after = date(now + DAY * days)?;
    Ok(params)
}

/// Writes a file beside it and renames it, so that nobody reads a half of it.
fn write(file: &Path, text: &str, mode: u32) -> io::Result<()> {
    let new = file.with_extension("new");
    let _ = fs::remove_file(&new);
    let mut options = OpenOptions::new();
    let mut out = options.write(true).create_new(true).mode(mode).open(&new)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    fs::rename(new, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A start by the right clock replaces certificates that a wrong clock has made.
    #[test]
    fn what_a_wrong_clock_made_is_made_anew() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let now = SystemTime::now();
        let texts = |made: &Made| {
            let read = |file| fs::read_to_string(file).expect("it is made");
            (read(&made.authority), read(&made.certificate))
        };
        let first = texts(&make_in(dir.path(), now).expect("made"));
        let same = texts(&make_in(dir.path(), now + DAY * 300).expect("kept"));
        assert_eq!(same, first);

        // The leaf has ended by then, and the authority has not.
        let late = texts(&make_in(dir.path(), now + DAY * 400).expect("made"));
        assert_eq!(late.0, first.0);
        assert_ne!(late.1, first.1);
        let back = make_in(dir.path(), now).expect("made");
        assert_ne!(texts(&back).1, late.1);
        assert_eq!(texts(&back).0, first.0);
        assert!(holds(&back.certificate));

        let far = texts(&make_in(dir.path(), now + DAY * 4000).expect("made"));
        let back = make_in(dir.path(), now).expect("made");
        assert_ne!(texts(&back).0, far.0, "the authority is from the future");
        assert!(holds(&back.certificate));
        let again = texts(&make_in(dir.path(), now).expect("kept"));
        assert_eq!(again, texts(&back));
    }

    #[test]
    fn why_it_is_made_anew_is_told() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let now = SystemTime::now();
        let made = make_in(dir.path(), now).expect("made");
        let why = |days: i64| {
            let by = DAY * u32::try_from(days.abs()).expect("small");
            let then = if days < 0 { now - by } else { now + by };
            check_leaf(&made, then).err().flatten()
        };
        assert_eq!(why(0), None);
        assert!(why(-30).is_some_and(|why| why.contains("from the future")));
        assert!(why(350).is_some_and(|why| why.contains("it ends at")));
        assert!(why(400).is_some_and(|why| why.contains("it ended at")));
    }
}
