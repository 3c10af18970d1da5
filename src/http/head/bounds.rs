//! The bounds of a head, and the refusals of what is beyond them.

use crate::config::limits;
use crate::http::respond::Refusal;

/// Of the request line's bytes.
pub(super) fn check_line(bytes: usize, limits: &limits::Head) -> Result<(), Refusal> {
    let most = limits.line;
    if bytes > most {
        let refusal = Refusal::new(414, format!("the request line has more than {most} bytes"));
        return Err(refusal.limit("max-header-line"));
    }
    Ok(())
}

/// Of the bytes of the whole head.
pub(super) fn check_size(bytes: usize, limits: &limits::Head) -> Result<(), Refusal> {
    let most = limits.bytes;
    if bytes > most {
        let refusal = Refusal::new(431, format!("the head has more than {most} bytes"));
        return Err(refusal.limit("max-header-size"));
    }
    Ok(())
}

/// The answer to more header lines than there may be.
pub(super) fn too_many(limits: &limits::Head) -> Refusal {
    let most = limits.headers;
    let refusal = Refusal::new(431, format!("the head has more than {most} lines"));
    refusal.limit("max-headers")
}

/// Of the bytes of each header line.
pub(super) fn check_fields(
    mut lengths: impl Iterator<Item = usize>,
    limits: &limits::Head,
) -> Result<(), Refusal> {
    let most = limits.line;
    if lengths.any(|bytes| bytes > most) {
        let refusal = Refusal::new(431, format!("a header line has more than {most} bytes"));
        return Err(refusal.limit("max-header-line"));
    }
    Ok(())
}

/// The answer to another version than 1.0 and 1.1.
pub(super) fn other_version() -> Refusal {
    Refusal::new(505, "HTTP/1.1 is spoken here")
}
