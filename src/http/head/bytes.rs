//! A head from bytes, strictly: where it ends, and what its lines are. RFC 9112 sections 2 to 5.

use http::Version;

use super::{Form, Head, bounds};
use crate::config::limits;
use crate::http::respond::Refusal;

/// Returns the length of the head, given that the last `new` bytes have just come; `None` asks for
/// more.
pub fn end(bytes: &[u8], new: usize, limits: &limits::Head) -> Result<Option<usize>, Refusal> {
    let seen = bytes.len() - new;
    let line_end = bytes.iter().position(|byte| *byte == b'\n');
    // What is no request at all is refused by its first line: other protocols never send an empty
    // one.
    if seen == 0 || line_end.is_some_and(|at| at >= seen) {
        check_request_line(&bytes[..line_end.map_or(bytes.len(), |at| at + 1)])?;
    }
    bounds::check_line(line_end.unwrap_or(bytes.len()), limits)?;
    let from = seen.saturating_sub(3);
    if let Some(at) = bytes[from..]
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
    {
        let length = from + at + 4;
        return bounds::check_size(length, limits).map(|()| Some(length));
    }
    if has_bare_line_feed(&bytes[from..], from == 0) {
        return Err(Refusal::new(400, "a line does not end with CR LF"));
    }
    bounds::check_size(bytes.len(), limits).map(|()| None)
}

/// Whether a line ends without CR. The very first byte of a head has nothing before it, and
/// httparse passes over empty lines.
fn has_bare_line_feed(bytes: &[u8], at_start: bool) -> bool {
    at_start && bytes.first() == Some(&b'\n')
        || bytes
            .windows(2)
            .any(|pair| pair[1] == b'\n' && pair[0] != b'\r')
}

/// Refuses a first line, whole or in part, that cannot become a request's.
fn check_request_line(line: &[u8]) -> Result<(), Refusal> {
    if let [22, 3, ..] = line {
        let refusal = Refusal::new(
            400,
            "TLS is spoken to a port of plain HTTP: open http:// or ws://",
        );
        let refusal = refusal.named("tls-to-plain-port");
        return Err(refusal.advising("; --tls or --tls-port PORT speaks TLS"));
    }
    let malformed = || Refusal::new(400, "this is not an HTTP/1.1 request");
    let mut fields = [httparse::EMPTY_HEADER; 0];
    let Err(error) = httparse::Request::new(&mut fields).parse(line) else {
        return Ok(());
    };
    match error {
        httparse::Error::TooManyHeaders => Ok(()),
        httparse::Error::Version => {
            let version = line
                .rsplit(|byte| *byte == b' ')
                .next()
                .unwrap_or_default()
                .trim_ascii();
            match version {
                [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                    if major.is_ascii_digit() && *major != b'1' && minor.is_ascii_digit() =>
                {
                    Err(bounds::other_version())
                }
                _ => Err(malformed()),
            }
        }
        _ => Err(malformed()),
    }
}

impl Head {
    /// Takes the fields apart. `length` is where the head ends.
    pub fn parse(bytes: Vec<u8>, length: usize, limits: &limits::Head) -> Result<Self, Refusal> {
        let mut fields = vec![httparse::EMPTY_HEADER; limits.headers];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(&bytes[..length]) {
            Ok(httparse::Status::Complete(_)) => {}
            Err(httparse::Error::TooManyHeaders) => {
                return Err(bounds::too_many(limits));
            }
            Ok(httparse::Status::Partial) | Err(_) => {
                return Err(Refusal::new(400, "a header line is malformed"));
            }
        }
        if has_bare_line_feed(&bytes[..length], true) {
            return Err(Refusal::new(400, "a line does not end with CR LF"));
        }
        let start = bytes.as_ptr() as usize;
        let range = |part: &[u8]| {
            let from = part.as_ptr() as usize - start;
            from..from + part.len()
        };
        let method = range(request.method.unwrap_or_default().as_bytes());
        let target = range(request.path.unwrap_or_default().as_bytes());
        let form = Form::of(request.path.unwrap_or_default(), target.start);
        let version = match request.version {
            Some(0) => Version::HTTP_10,
            _ => Version::HTTP_11,
        };
        let fields: Vec<_> = request
            .headers
            .iter()
            .map(|field| (range(field.name.as_bytes()), range(field.value)))
            .collect();
        let lengths = fields.iter().map(|(name, value)| value.end - name.start);
        bounds::check_fields(lengths, limits)?;
        Ok(Self {
            bytes,
            length,
            method,
            form,
            target,
            version,
            fields,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by fuzzing: an empty line before the request, which httparse passes over, may end with
    /// LF alone there.
    #[test]
    fn a_line_feed_before_the_request_is_bare() {
        let request = b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
        let refused = end(&request, request.len(), &limits::HEAD).map_err(|refusal| refusal.status);
        assert!(matches!(refused, Ok(Some(_)) | Err(400)));
        let parsed = Head::parse(request.clone(), request.len(), &limits::HEAD);
        assert_eq!(parsed.map_err(|refusal| refusal.status).err(), Some(400));
        let after_crlf = [b"\r".as_slice(), &request].concat();
        assert!(Head::parse(after_crlf.clone(), after_crlf.len(), &limits::HEAD).is_ok());
    }
}
