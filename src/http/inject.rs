//! A page that is being developed gets one more script: in front of all others of its head.

/// The script's tag.
const TAG: &[u8] = b"<script src=\"/_wsh/console/dev.js\"></script>";
/// Bytes of a page in which its head is looked for.
const FRONT: usize = 16 << 10;
/// Bytes of a page that gets it.
pub const LONGEST: u64 = 4 << 20;

/// A page with the script. One that is no text of single bytes stays as it is.
pub fn inject(mut page: Vec<u8>) -> Vec<u8> {
    if page.starts_with(b"\xfe\xff") || page.starts_with(b"\xff\xfe") {
        return page;
    }
    let at = place(&page[..page.len().min(FRONT)]);
    page.splice(at..at, TAG.iter().copied());
    page
}

/// Where scripts of a head begin: behind `<head>`, or what else has to come first.
fn place(page: &[u8]) -> usize {
    let (mut at, mut best) = (0, 0);
    while let Some(begin) = page[at..].iter().position(|byte| *byte == b'<') {
        let tag = &page[at + begin..];
        let begins = |name: &[u8]| {
            let name_is = tag
                .get(..name.len())
                .is_some_and(|front| front.eq_ignore_ascii_case(name));
            // <header> is none.
            name_is && !tag.get(name.len()).is_some_and(u8::is_ascii_alphanumeric)
        };
        let is_comment = tag.starts_with(b"<!--");
        let end: &[u8] = if is_comment { b"-->" } else { b">" };
        let Some(length) = memchr::memmem::find(tag, end) else {
            break;
        };
        at += begin + length + end.len();
        if is_comment {
            continue;
        }
        if begins(b"<head") {
            return at;
        }
        if !(begins(b"<!doctype") || begins(b"<html")) {
            break;
        }
        best = at;
    }
    match best {
        // A byte order mark stays the first.
        0 if page.starts_with(b"\xef\xbb\xbf") => 3,
        best => best,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_before_every_other_script() {
        for (page, front) in [
            (
                "<!doctype html><html lang=en><HEAD data-x=1><script>",
                "<!doctype html><html lang=en><HEAD data-x=1>",
            ),
            (
                "<!-- <head> --><!DOCTYPE html>\n<head>x",
                "<!-- <head> --><!DOCTYPE html>\n<head>",
            ),
            ("<!doctype html><title>x</title>", "<!doctype html>"),
            ("<!doctype html><html><header>", "<!doctype html><html>"),
            ("\u{feff}<p>x", "\u{feff}"),
            ("x", ""),
            ("", ""),
            ("<!doctype html", ""),
            ("<", ""),
        ] {
            let injected = String::from_utf8(inject(page.into())).unwrap();
            let tag = std::str::from_utf8(TAG).unwrap();
            let (before, after) = injected.split_once(tag).unwrap();
            assert_eq!(before, front, "{page}");
            assert_eq!(format!("{before}{after}"), page);
        }
        let other = b"\xff\xfe<\0".to_vec();
        assert_eq!(inject(other.clone()), other);
    }
}
