//! Ordinary files: fresh after every edit, one connection for many, conditions and parts by RFC
//! 9110, compressed, and never at the cost of others.

use std::io::Read;
use std::time::{Duration, Instant};

use super::support::{Builder, Head, Raw, Request, Server, Wire, connect, within};

const ECHO: &str = "fn transfer_data(ws, message) { ws.send(message); }";
/// Long enough for compression, and text.
fn long_text() -> String {
    (0..200)
        .map(|line| format!("line {line} of a page\n"))
        .collect()
}

fn builder() -> Builder {
    Server::builder()
        .files(&[
            ("echo_wsh.rhai", ECHO),
            ("www/index.html", "<p>here</p>"),
            ("www/digits.txt", "0123456789"),
            ("www/empty.txt", ""),
            ("www/sub/index.html", "a folder"),
            ("www/page.html", &long_text()),
        ])
        .args(["-d", "www"])
}

/// One request on a connection that stays, and its answer.
async fn ask(raw: &mut Raw, request: Request) -> (Head, Vec<u8>) {
    let is_head = request.line.starts_with("HEAD");
    raw.send(request.bytes()).await;
    let head = raw.head().await;
    let has_body = !is_head && !matches!(head.status, 204 | 304);
    let body = if has_body {
        raw.body(&head).await
    } else {
        Vec::new()
    };
    (head, body)
}

/// One request on a connection of its own.
async fn fetch(server: &Server, request: Request) -> (Head, Vec<u8>) {
    ask(&mut Raw::connect(server).await, request).await
}

fn get(target: &str) -> Request {
    Request::get(target)
}

/// The worst surprise of an edit: browsers that guess how long a file stays fresh.
#[tokio::test]
async fn a_file_is_asked_for_again_after_every_edit() {
    let server = builder().start().await;
    let mut raw = Raw::connect(&server).await;
    for target in ["/", "/digits.txt", "/page.html", "/sub/"] {
        let (head, _) = ask(&mut raw, get(target)).await;
        assert_eq!(head.header("Cache-Control"), Some("no-cache"), "{target}");
        assert!(head.header("Date").is_some(), "{head:?}");
        let tag = head.header("ETag").expect("an ETag").to_owned();
        assert!(head.header("Last-Modified").is_some(), "{head:?}");
        let (head, body) = ask(&mut raw, get(target).with("If-None-Match", &tag)).await;
        assert_eq!((head.status, body.len()), (304, 0), "{target}");
        assert_eq!(head.header("ETag"), Some(tag.as_str()), "{target}");
        assert_eq!(head.header("Cache-Control"), Some("no-cache"), "{target}");
        assert!(head.header("Date").is_some(), "{head:?}");
        for absent in [
            "Content-Length",
            "Content-Type",
            "Content-Encoding",
            "Last-Modified",
        ] {
            assert_eq!(head.header(absent), None, "{absent} of {target}");
        }
    }
    let (head, _) = ask(&mut raw, get("/digits.txt")).await;
    let old = head.header("ETag").expect("an ETag").to_owned();
    server.replace("www/digits.txt", "9876543210");
    let (head, body) = ask(&mut raw, get("/digits.txt").with("If-None-Match", old)).await;
    assert_eq!((head.status, body), (200, b"9876543210".to_vec()));
}

#[tokio::test]
async fn many_requests_have_one_connection() {
    let server = builder().start().await;
    let mut raw = Raw::connect(&server).await;
    for _ in 0..50 {
        let (head, body) = ask(&mut raw, get("/digits.txt")).await;
        assert_eq!((head.status, body), (200, b"0123456789".to_vec()));
        assert!(!head.has("Connection", "close"), "{head:?}");
        assert_eq!(head.header("Keep-Alive"), Some("timeout=15"));
    }
    // What is merely not there does not cost it either.
    for (request, status) in [
        (get("/nothing"), 404),
        (get("/sub?a=b"), 308),
        (get("/digits.txt").line("DELETE /digits.txt HTTP/1.1"), 405),
        (get("/digits.txt").line("HEAD /digits.txt HTTP/1.1"), 200),
        (get("/digits.txt").with("Range", "bytes=10-"), 416),
        (get("/digits.txt").with("If-Match", "\"x\""), 412),
        (get("/digits.txt").line("OPTIONS /digits.txt HTTP/1.1"), 204),
    ] {
        let line = request.line.clone();
        let (head, _) = ask(&mut raw, request).await;
        assert_eq!(head.status, status, "{line}");
        assert!(!head.has("Connection", "close"), "{line}: {head:?}");
    }
    // Sent at once, answered in their order.
    let three = get("/digits.txt")
        .followed_by(get("/nothing").bytes())
        .followed_by(get("/").bytes());
    raw.send(three.bytes()).await;
    for (status, body) in [
        (200, "0123456789"),
        (404, "nothing has this path\n"),
        (200, "<p>here</p>"),
    ] {
        let head = raw.head().await;
        assert_eq!(head.status, status);
        assert_eq!(raw.body(&head).await, body.as_bytes());
    }
    // And a WebSocket at last, with its first frame behind the head.
    let upgrade = Request::upgrade("/echo").followed_by(Wire::text("hello").bytes());
    raw.send(upgrade.bytes()).await;
    raw.head().await.expect_upgrade();
    raw.expect_text("hello").await;
}

/// Whatever two readers could understand differently is the last of its connection, and so is what
/// is refused as such.
#[tokio::test]
async fn odd_requests_end_their_connection() {
    let server = builder().start().await;
    let smuggled = get("/digits.txt").bytes();
    let cases = [
        (get("/digits.txt").with("Connection", "close"), 200),
        (
            get("/digits.txt").with("Connection", "keep-alive, Close"),
            200,
        ),
        (get("/digits.txt").line("GET /digits.txt HTTP/1.0"), 200),
        (
            get("/digits.txt")
                .line("GET /digits.txt HTTP/1.0")
                .with("Connection", "keep-alive"),
            200,
        ),
        (get("/digits.txt").with("Content-Length", "0"), 200),
        (get("/digits.txt").with("Content-Length", "5"), 400),
        (get("/digits.txt").with("Transfer-Encoding", "chunked"), 400),
        (get("/digits.txt").with("Expect", "100-continue"), 200),
        (get("/digits.txt").with("Upgrade", "h2c"), 200),
        (get("/nothing").with("Upgrade", "h2c"), 404),
        (Request::upgrade("/nothing"), 404),
        (get("/echo"), 426),
        (get("/%zz"), 400),
        (get("/digits.txt").set("Host", "evil.example"), 403),
    ];
    for (request, status) in cases {
        let name = format!("{request:?}");
        let mut raw = Raw::connect(&server).await;
        // Not the first of its connection.
        ask(&mut raw, get("/")).await;
        raw.send(request.followed_by(&smuggled).bytes()).await;
        let head = raw.head().await;
        assert_eq!(head.status, status, "{name}");
        assert!(head.has("Connection", "close"), "{name}: {head:?}");
        let body = raw.body(&head).await;
        assert!(status == 200 || body != b"0123456789", "{name}");
        raw.expect_eof().await;
    }
}

#[tokio::test]
async fn a_kept_connection_has_its_bounds() {
    let server = builder()
        .args(["--keep-alive-timeout", "300ms", "--header-timeout", "1s"])
        .start()
        .await;
    // Idle: it ends without a word.
    let mut raw = Raw::connect(&server).await;
    let (head, _) = ask(&mut raw, get("/")).await;
    assert_eq!(head.header("Keep-Alive"), Some("timeout=1"));
    raw.expect_eof().await;
    // A second head has as long as the first.
    let mut raw = Raw::connect(&server).await;
    ask(&mut raw, get("/")).await;
    raw.send("GET / HTTP/1.1\r\n").await;
    raw.expect_refusal(408).await;
}

#[tokio::test]
async fn a_kept_connection_ends_after_a_thousand_requests() {
    let server = builder().start().await;
    let mut raw = Raw::connect(&server).await;
    for number in 1..=1_000 {
        let (head, _) = ask(&mut raw, get("/digits.txt")).await;
        assert_eq!(head.has("Connection", "close"), number == 1_000, "{number}");
    }
    raw.expect_eof().await;
}

/// Idle connections do not hold up a shutdown, and what is asked for while it goes on is the last.
#[tokio::test]
async fn kept_connections_end_with_the_server() {
    let mut server = builder().start().await;
    let mut idle = Raw::connect(&server).await;
    ask(&mut idle, get("/")).await;
    let mut half = Raw::connect(&server).await;
    half.send("GET / HTTP/1.1\r\nHost: local").await;
    // Both are known to the workers once others, which came later, are.
    for _ in 0..4 {
        connect(server.url("/echo")).await.close(1000, "").await;
    }
    server.signal("TERM");
    idle.expect_eof().await;
    half.expect_refusal(503).await;
    assert!(server.exited().await.success());
}

/// A06: what is left of one version is not sent to who has the beginning of another.
#[tokio::test]
async fn a06_parts_are_of_the_version_that_the_client_has() {
    let server = builder().start().await;
    let mut raw = Raw::connect(&server).await;
    let (head, _) = ask(&mut raw, get("/digits.txt")).await;
    let tag = head.header("ETag").expect("an ETag").to_owned();
    let range = || get("/digits.txt").with("Range", "bytes=0-3");
    let (head, body) = ask(&mut raw, range().with("If-Range", "\"old\"")).await;
    assert_eq!((head.status, body), (200, b"0123456789".to_vec()));
    assert_eq!(head.header("Content-Range"), None);
    let (head, body) = ask(&mut raw, range().with("If-Range", &tag)).await;
    assert_eq!((head.status, body), (206, b"0123".to_vec()));
    let (head, _) = ask(&mut raw, range().with("If-Range", format!("W/{tag}"))).await;
    assert_eq!(head.status, 200, "13.1.5: strong comparison");
    let (head, _) = ask(
        &mut raw,
        range().with("If-Range", "Sat, 29 Oct 1994 19:43:31 GMT"),
    )
    .await;
    assert_eq!(head.status, 200);
    // Ranges are for GET, and conditions are judged before them.
    let (head, _) = ask(&mut raw, range().line("HEAD /digits.txt HTTP/1.1")).await;
    assert_eq!(
        (head.status, head.header("Content-Length")),
        (200, Some("10"))
    );
    let (head, _) = ask(&mut raw, range().with("If-None-Match", &tag)).await;
    assert_eq!(head.status, 304);
    let (head, _) = ask(&mut raw, range().with("If-Match", "\"old\"")).await;
    assert_eq!(head.status, 412);
    let (head, _) = ask(&mut raw, get("/empty.txt").with("Range", "bytes=0-")).await;
    assert_eq!(
        (head.status, head.header("Content-Range")),
        (416, Some("bytes */0"))
    );
}

/// Section 14.6: several parts, each with its place.
#[tokio::test]
async fn several_parts_at_once() {
    let server = builder().start().await;
    let (head, body) = fetch(&server, get("/digits.txt").with("Range", "bytes=0-1, -2")).await;
    assert_eq!(head.status, 206);
    assert_eq!(head.header("Content-Range"), None);
    let kind = head.header("Content-Type").expect("a type");
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .expect("a boundary");
    let part = |range: &str, bytes: &str| {
        format!(
            "\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: \
            {range}\r\n\r\n{bytes}"
        )
    };
    let expected = format!(
        "{}{}\r\n--{boundary}--\r\n",
        part("bytes 0-1/10", "01"),
        part("bytes 8-9/10", "89")
    );
    assert_eq!(String::from_utf8(body).expect("text"), expected);
    // Too many, or over each other: all of it, once.
    for range in ["bytes=0-5,3-9", &format!("bytes={}", "0-0,".repeat(1_000))] {
        let (head, body) = fetch(&server, get("/digits.txt").with("Range", range)).await;
        assert_eq!((head.status, body.len()), (200, 10), "{range:.20}");
    }
}

#[tokio::test]
async fn redirects_keep_the_query_and_methods_are_named() {
    let server = builder().start().await;
    let (head, _) = fetch(&server, get("/sub?a=b&c=%20?d")).await;
    assert_eq!(head.status, 308);
    assert_eq!(head.header("Location"), Some("/sub/?a=b&c=%20?d"));
    for (line, status, allow) in [
        ("POST /digits.txt HTTP/1.1", 405, "GET, HEAD, OPTIONS"),
        ("OPTIONS /digits.txt HTTP/1.1", 204, "GET, HEAD, OPTIONS"),
        ("PUT /echo HTTP/1.1", 405, "GET, OPTIONS"),
        ("OPTIONS /echo HTTP/1.1", 204, "GET, OPTIONS"),
    ] {
        let (head, body) = fetch(&server, get("/").line(line)).await;
        assert_eq!(
            (head.status, head.header("Allow")),
            (status, Some(allow)),
            "{line}"
        );
        if status == 204 {
            assert_eq!(head.header("Content-Length"), None, "{line}: RFC 9110, 8.6");
            assert!(body.is_empty());
        }
    }
    for target in ["/digits.txt", "/page.html", "/nothing", "/sub", "/echo"] {
        let (get_head, _) = fetch(&server, get(target)).await;
        let head = get(target).line(format!("HEAD {target} HTTP/1.1"));
        let (head, _) = fetch(&server, head).await;
        assert_eq!(head.status, get_head.status, "{target}");
        for name in ["Content-Length", "Content-Type", "ETag", "Vary", "Location"] {
            assert_eq!(
                head.header(name),
                get_head.header(name),
                "{name} of {target}"
            );
        }
    }
}

#[tokio::test]
async fn text_is_compressed_for_who_takes_it() {
    let server = builder()
        .file("www/picture.png", vec![0; 4096])
        .start()
        .await;
    let text = long_text();
    let mut raw = Raw::connect(&server).await;
    let (plain, body) = ask(&mut raw, get("/page.html")).await;
    assert_eq!(body, text.as_bytes());
    assert_eq!(plain.header("Content-Encoding"), None);
    assert_eq!(plain.header("Vary"), Some("Accept-Encoding"));
    let tag = plain.header("ETag").expect("an ETag").to_owned();

    let gzip = || get("/page.html").with("Accept-Encoding", "gzip, deflate, br, zstd");
    let (head, body) = ask(&mut raw, gzip()).await;
    assert_eq!(head.header("Content-Encoding"), Some("gzip"));
    assert_eq!(head.header("Vary"), Some("Accept-Encoding"));
    assert_eq!(head.header("Cache-Control"), Some("no-cache"));
    assert!(
        body.len() < text.len() / 3,
        "{} of {} bytes",
        body.len(),
        text.len()
    );
    let mut inflated = String::new();
    let mut decoder = flate2::read::GzDecoder::new(&body[..]);
    decoder.read_to_string(&mut inflated).expect("gzip");
    assert_eq!(inflated, text);
    let weak = head.header("ETag").expect("an ETag").to_owned();
    assert_eq!(weak, format!("W/{tag}"), "other bytes, the same meaning");

    let (head, _) = ask(&mut raw, gzip().with("If-None-Match", &weak)).await;
    assert_eq!(
        (head.status, head.header("Vary")),
        (304, Some("Accept-Encoding"))
    );
    // A part is one of the file as it is, and a weak tag never allows one.
    let part = || gzip().with("Range", "bytes=0-3");
    let (head, body) = ask(&mut raw, part()).await;
    assert_eq!((head.status, body), (206, b"line".to_vec()));
    assert_eq!(head.header("Content-Encoding"), None);
    let (head, body) = ask(&mut raw, part().with("If-Range", &weak)).await;
    assert_eq!((head.status, body.len()), (200, text.len()));

    for refused in ["gzip;q=0", "identity", "br", "gzip;q=0.1, identity"] {
        let (head, _) = ask(&mut raw, get("/page.html").with("Accept-Encoding", refused)).await;
        assert_eq!(head.header("Content-Encoding"), None, "{refused}");
    }
    // What is short or no text is sent as it is, whoever asks.
    for target in ["/digits.txt", "/picture.png"] {
        let (head, _) = ask(&mut raw, get(target).with("Accept-Encoding", "gzip")).await;
        assert_eq!(head.header("Content-Encoding"), None, "{target}");
        assert_eq!(head.header("Vary"), None, "{target}");
    }
    // An edit is seen at once.
    let edited = text.replace("line", "verse");
    server.replace("www/page.html", &edited);
    let (_, body) = ask(&mut raw, gzip()).await;
    inflated.clear();
    let mut decoder = flate2::read::GzDecoder::new(&body[..]);
    decoder.read_to_string(&mut inflated).expect("gzip");
    assert_eq!(inflated, edited);
}

/// C06: a file that is there is not said to be missing because there are no descriptors left to
/// open it with.
#[tokio::test]
async fn c06_without_descriptors_a_file_is_not_missing() {
    let server = builder().workers(1).start().await;
    let mut raw = Raw::connect(&server).await;
    let (head, _) = ask(&mut raw, get("/digits.txt")).await;
    assert_eq!(head.status, 200);
    // Everything that may be open is open: from now on no descriptor can be had.
    let pid = i32::try_from(server.pid()).expect("a process");
    let files = rlimit::Resource::NOFILE;
    let (mut soft, mut hard) = (0, 0);
    rlimit::prlimit(pid, files, None, Some((&mut soft, &mut hard))).expect("its limit");
    let bound_to = |most| {
        rlimit::prlimit(pid, files, Some((most, hard)), None).expect("a limit for it");
    };
    bound_to(4);
    let (head, body) = ask(&mut raw, get("/digits.txt")).await;
    let body = String::from_utf8(body).expect("text");
    assert_eq!(head.status, 503, "{body}");
    assert!(head.header("Retry-After").is_some(), "{head:?}");
    server.log(["GET /digits.txt", "ulimit -n"]).await;
    bound_to(soft);
    let (head, _) = fetch(&server, get("/digits.txt")).await;
    assert_eq!(head.status, 200);
}

/// C07: downloads that nobody reads count as connections do, hold little, and end.
#[tokio::test]
async fn c07_unread_downloads_are_bounded() {
    let server = builder()
        .workers(1)
        .file("www/large.bin", vec![7; 32 * 1024 * 1024])
        .args(["--max-connections", "41", "--send-timeout", "2s"])
        .start()
        .await;
    let large = || get("/large.bin");
    fetch(&server, get("/")).await;
    let before = server.memory().now;
    let mut unread = Vec::new();
    for _ in 0..20 {
        let mut raw = Raw::connect(&server).await;
        raw.send(large().bytes()).await;
        assert_eq!(raw.head().await.status, 200);
        unread.push(raw);
    }
    let grown = server.memory().now.saturating_sub(before);
    assert!(
        grown < 20 * 200 + 4_096,
        "{grown} KiB for 20 unread downloads"
    );
    // 20 connections and their files leave room for one more connection, which has none for a large
    // file.
    let mut last = Raw::connect(&server).await;
    let (head, _) = ask(&mut last, get("/digits.txt")).await;
    assert_eq!(head.status, 200, "short files hold nothing");
    last.send(large().bytes()).await;
    let head = last.expect_refusal(503).await;
    assert!(head.header("Retry-After").is_some(), "{head:?}");
    server.log("--max-connections").await;
    // Whoever takes nothing for the send timeout is gone, with its file.
    let room = async {
        loop {
            let mut raw = Raw::connect(&server).await;
            raw.send(large().bytes()).await;
            if raw.head().await.status == 200 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within("room for another download", room).await;
    drop(unread);
}

/// C07: files are read and written a little at a time, so that nobody waits for those who load
/// much.
#[tokio::test]
async fn c07_an_echo_does_not_wait_for_downloads() {
    let server = builder()
        .workers(1)
        .file("www/large.bin", vec![7; 2 * 1024 * 1024])
        .start()
        .await;
    let mut echo = connect(server.url("/echo")).await;
    let port = server.port();
    // On a thread of their own: the client's end is not to be what the echo waits for.
    let downloads = std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let download = || async move {
                let mut raw = Raw::connect_to(port).await;
                raw.send(get("/large.bin").with("Connection", "close").bytes())
                    .await;
                let head = raw.head().await;
                (head.status, raw.body(&head).await.len())
            };
            let all: Vec<_> = (0..200).map(|_| tokio::spawn(download())).collect();
            for one in all {
                let ended = one.await.expect("no panic");
                assert_eq!(ended, (200, 2 * 1024 * 1024));
            }
        });
    });
    let mut waits = Vec::new();
    while !downloads.is_finished() {
        let begun = Instant::now();
        echo.send_text("hello").await;
        assert_eq!(echo.next_text().await, "hello");
        waits.push(begun.elapsed());
    }
    downloads.join().expect("whole downloads");
    waits.sort();
    println!(
        "{} echoes while 0.4 GB were sent: median {:?}, longest {:?}",
        waits.len(),
        waits[waits.len() / 2],
        waits[waits.len() - 1]
    );
    // If an echo waited for a round of all downloads, there would be one for each of their 32
    // rounds.
    assert!(waits.len() > 64, "{} echoes", waits.len());
}

/// A file that is cut while it is sent cannot be what was announced: the connection ends early, and
/// says nothing wrong.
#[tokio::test]
async fn a_file_that_shrinks_ends_its_connection() {
    let server = builder()
        .file("www/large.bin", vec![7; 16 * 1024 * 1024])
        .start()
        .await;
    let mut raw = Raw::connect(&server).await;
    raw.send(get("/large.bin").bytes()).await;
    let head = raw.head().await;
    assert_eq!(head.header("Content-Length"), Some("16777216"));
    server.write("www/large.bin", "short");
    let body = raw.until_eof().await;
    assert!(body.len() < 16 * 1024 * 1024, "{}", body.len());
}

#[tokio::test]
async fn a_file_that_may_not_be_read_is_not_missing() {
    use std::os::unix::fs::PermissionsExt;
    let builder = builder().file("www/secret.txt", "secret");
    let file = builder.dir().join("www/secret.txt");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o000)).expect("chmod");
    // The superuser reads everything.
    let expected = if std::fs::read(&file).is_ok() {
        200
    } else {
        403
    };
    let server = builder.start().await;
    let (head, _) = fetch(&server, get("/secret.txt")).await;
    assert_eq!(head.status, expected);
}
