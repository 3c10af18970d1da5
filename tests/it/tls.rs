//! TLS: wss beside ws, what a handshake refuses, client certificates, certificates that change, and
//! the development certificate in a real browser.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::browser::Page;
use super::support::{
    Authority, Builder, ECHO, Raw, Request, Server, TlsClient, Wire, connect, connect_over, within,
};

/// Says how a connection ended, and echoes.
const ENDS: &str = "fn on_close(ws, code, reason, was_clean) {\n    print(`ended ${code} \
    ${was_clean}`);\n}\n\
                    fn transfer_data(ws, message) {\n    ws.send(message);\n}\n";

/// Says who connects.
const WHO: &str = "fn transfer_data(ws, message) {\n    ws.send(`${ws.secure} ${ws.client_subject \
    ?? \"nobody\"}`);\n}\n";

const URL: &str = "wss://localhost/echo";

/// A server of an echo handler with a port of each kind.
fn both(authority: &Authority) -> Builder {
    let identity = authority.identity(&authority.issue("server"));
    Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .args(["--tls-port", "0"])
        .args(identity)
}

#[tokio::test]
async fn one_process_speaks_both_on_two_ports() {
    let authority = Authority::new();
    let server = both(&authority).start().await;
    assert_ne!(server.port(), server.tls_port());
    let mut plain = connect(server.url("/echo")).await;
    plain.echoes(1).await;
    for client in [authority.client(), authority.client().old()] {
        let stream = client.connect(server.tls_port()).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), None);
        let mut secure = connect_over(stream, URL).await;
        secure.echoes(1).await;
        assert_eq!(secure.close(1000, "done").await.0, 1000);
    }
}

#[tokio::test]
async fn the_port_itself_speaks_tls() {
    let authority = Authority::new();
    let identity = authority.identity(&authority.issue("server"));
    let builder = Server::builder().file("who_wsh.rhai", WHO);
    let server = builder.arg("-t").args(identity).start().await;
    assert_eq!(server.port(), server.tls_port());
    let stream = authority.client().connect(server.port()).await;
    let mut client = connect_over(stream, "wss://localhost/who").await;
    client.send_text("?").await;
    assert_eq!(client.next_text().await, "true nobody");
}

/// More than the stream takes at once, in both directions: nothing is left behind in a buffer of
/// the encryption.
#[tokio::test]
async fn the_longest_message_arrives_whole() {
    let authority = Authority::new();
    let server = both(&authority).start().await;
    let stream = authority.client().connect(server.tls_port()).await;
    let mut client = connect_over(stream, URL).await;
    for length in [0, 1, 16 * 1024, 64 * 1024 + 1, 16 * 1024 * 1024] {
        let data: Vec<u8> = (0..length).map(|i| (i * 31 % 251) as u8).collect();
        client.send_binary(data.clone()).await;
        assert!(client.next_binary().await == data, "{length} bytes");
    }
}

/// The encryption takes some 64 KiB more than the socket does. They arrive without another message
/// to push them out.
#[tokio::test]
async fn what_the_encryption_holds_back_arrives() {
    let code = "fn transfer_data(ws, message) {\n    print(`${message} ${ws.buffered_amount} \
        wait`);\n    ws.send(blob(16000, 7));\n}\n";
    let authority = Authority::new();
    let builder = both(&authority).file("more_wsh.rhai", code);
    let server = builder.start().await;
    let open = async || {
        let client = authority.client().with_window(4096);
        let stream = client.connect(server.tls_port()).await;
        connect_over(stream, "wss://localhost/more").await
    };
    // How many answers it takes, unread, until both socket and encryption are full.
    let mut client = open().await;
    let mut taken = 0;
    loop {
        client.send_text(format!("first-{taken}")).await;
        let line = server.log(format!("first-{taken} ").as_str()).await;
        if !line.contains(" 0 wait") {
            break;
        }
        taken += 1;
    }
    // Some fewer fill the socket alone, and the encryption in part.
    let mut client = open().await;
    let some = taken - 2;
    for number in 0..some {
        client.send_text(format!("second-{number}")).await;
        server.log(format!("second-{number} ").as_str()).await;
    }
    for _ in 0..some {
        assert_eq!(client.next_binary().await.len(), 16000);
    }
}

#[tokio::test]
async fn https_answers_plain_requests() {
    let authority = Authority::new();
    let server = both(&authority)
        .file("www/page.html", "<p>hello")
        .args(["-d", "www"])
        .start()
        .await;
    let mut stream = authority.client().connect(server.tls_port()).await;
    let request = b"GET /page.html HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.expect("send");
    let mut answer = String::new();
    // An end without close_notify would be an error here.
    let reading = stream.read_to_string(&mut answer);
    within("an answer", reading).await.expect("a whole answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("<p>hello"), "{answer}");
}

#[tokio::test]
async fn s08_a_silent_handshake_is_cut_off_and_holds_up_nobody() {
    let authority = Authority::new();
    let builder = both(&authority).args(["--tls-handshake-timeout", "1s"]);
    let server = builder
        .args(["--log-level", "debug"])
        .workers(1)
        .start()
        .await;
    let mut silent = Vec::new();
    for beginning in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00"] {
        for _ in 0..20 {
            let mut raw = Raw::connect_to(server.tls_port()).await;
            raw.send(beginning).await;
            silent.push(raw);
        }
    }
    let stream = authority.client().connect(server.tls_port()).await;
    connect_over(stream, URL).await.echoes(1).await;
    for mut raw in silent {
        raw.expect_eof().await;
    }
    server.log("refusal=\"tls-handshake-timeout\"").await;
}

/// An alert, the end, one line of the debug log, nothing at the default level.
#[tokio::test]
async fn s09_h26_what_is_no_handshake_is_ended_with_an_alert() {
    let authority = Authority::new();
    // A ClientHello of nothing but TLS 1.0, from a client without extensions.
    let mut ancient = b"\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x01".to_vec();
    ancient.extend([7; 32]);
    ancient.extend(b"\x00\x00\x02\x00\x2f\x01\x00");
    let cases: [(&str, &[u8]); 5] = [
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n"),
        ("zeros", &[0; 64]),
        ("a record that is too long", b"\x16\x03\x01\xff\xff\x01"),
        ("no common version", &ancient),
    ];
    for level in ["debug", "info"] {
        let mut server = both(&authority).args(["--log-level", level]).start().await;
        for (name, bytes) in cases {
            let mut raw = Raw::connect_to(server.tls_port()).await;
            raw.send(bytes).await;
            let answer = raw.until_eof().await;
            // A fatal alert: type 21, a version, two bytes, level 2.
            assert!(
                answer.len() == 7 && answer[0] == 21 && answer[5] == 2,
                "{name}: {}",
                answer.escape_ascii()
            );
        }
        let stream = authority.client().connect(server.tls_port()).await;
        connect_over(stream, URL).await.echoes(1).await;
        server.stop().await;
        let lines = if level == "debug" { cases.len() } else { 0 };
        assert_eq!(
            server.count("refusal=\"tls-handshake\""),
            lines,
            "{}",
            server.logged()
        );
    }
}

#[tokio::test]
async fn s09_no_common_protocol_above_tls_is_refused() {
    let authority = Authority::new();
    let server = both(&authority).start().await;
    for (offered, is_taken) in [("h2", false), ("h2,http/1.1", true), ("http/1.1", true)] {
        let port = server.tls_port();
        let output = tokio::task::spawn_blocking(move || {
            Command::new("openssl")
                .args(["s_client", "-connect", &format!("127.0.0.1:{port}")])
                .args(["-alpn", offered])
                .stdin(std::process::Stdio::null())
                .output()
        });
        let output = within("openssl", output).await.expect("no panic");
        let output = output.expect("openssl, of Debian's package of that name");
        let text =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        let expected = if is_taken {
            "ALPN protocol: http/1.1"
        } else {
            "no application protocol"
        };
        assert!(text.contains(expected), "{offered}: {text}");
    }
}

/// Without close_notify, somebody in between may have cut the stream: never a clean end, whatever
/// came before.
#[tokio::test]
async fn s11_an_end_without_close_notify_is_1006() {
    let authority = Authority::new();
    let builder = both(&authority).file("ends_wsh.rhai", ENDS);
    let server = builder.start().await;
    for with_notify in [false, true] {
        let stream = authority.client().connect(server.tls_port()).await;
        let mut client = connect_over(stream, "wss://localhost/ends").await;
        client.echoes(1).await;
        let mut stream = client.into_stream();
        // A message of which the end is missing.
        let mut part = Wire::text("a message that is cut off").bytes();
        part.truncate(12);
        stream.write_all(&part).await.expect("send");
        if with_notify {
            stream.shutdown().await.expect("close_notify");
        } else {
            stream.flush().await.expect("send");
            let (socket, _) = stream.get_mut();
            socket.shutdown().await.expect("FIN");
        }
        server.log("ended 1006 false").await;
    }
}

#[tokio::test]
async fn s11_an_unfinished_request_is_not_served() {
    let authority = Authority::new();
    let server = both(&authority).start().await;
    let mut stream = authority.client().connect(server.tls_port()).await;
    let request = Request::upgrade("/echo").bytes();
    let part = &request[..request.len() - 2];
    stream.write_all(part).await.expect("send");
    stream.flush().await.expect("send");
    let (socket, _) = stream.get_mut();
    socket.shutdown().await.expect("FIN");
    let mut answer = Vec::new();
    let _ = within("the end", stream.read_to_end(&mut answer)).await;
    assert!(answer.is_empty(), "{}", answer.escape_ascii());
}

/// Exit code 2, one sentence that names the flag, the file and the way out, and nothing is listened
/// on.
#[tokio::test]
async fn s04_what_cannot_serve_ends_the_start() {
    let authority = Authority::new();
    let good = authority.issue("server");
    let other = authority.issue("other");
    let half = &good.certificate[..good.certificate.len() / 2];
    let locked =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cases: [(&str, &str, &[&str]); 7] = [
        (
            &good.certificate,
            &other.key,
            &[
                "--private-key",
                "key.pem",
                "does not belong to",
                "cert.pem",
                "give",
            ],
        ),
        (
            half,
            &good.key,
            &["--certificate", "cert.pem", "not whole", "give"],
        ),
        (
            "",
            &good.key,
            &["--certificate", "cert.pem", "no certificate in it", "give"],
        ),
        (garbage, &good.key, &["--certificate", "cert.pem", "give"]),
        (
            &good.certificate,
            "",
            &["--private-key", "key.pem", "no private key in it", "give"],
        ),
        (
            &good.certificate,
            locked,
            &["--private-key", "key.pem", "locked", "openssl pkey"],
        ),
        (
            &good.certificate,
            &good.certificate,
            &["--private-key", "key.pem", "no private key in it"],
        ),
    ];
    for (certificate, key, parts) in cases {
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        let flags = authority.identity(&super::support::Issued { certificate, key });
        refuses(Server::builder().arg("-t").args(flags), parts).await;
    }
    let flags = authority.identity(&good);
    let missing = ["-t", "-c", "missing.pem", "-k", &flags[3]];
    refuses(
        Server::builder().args(missing),
        &["--certificate", "missing.pem", "cannot be read", "give"],
    )
    .await;
    let alone = ["-t", "-c", &flags[1]];
    refuses(
        Server::builder().args(alone),
        &["--private-key", "--tls-dev"],
    )
    .await;
    let vouching = ["--tls-client-auth", "--tls-client-ca", &flags[3], "-t"];
    let builder = Server::builder().args(vouching).args(flags.clone());
    refuses(
        builder,
        &["--tls-client-ca", "key.pem", "no certificate in it", "give"],
    )
    .await;
}

async fn refuses(builder: Builder, parts: &[&str]) {
    let finished = builder.file("echo_wsh.rhai", ECHO).run().await;
    assert_eq!(finished.status.code(), Some(2), "{finished:?}");
    assert!(!finished.stdout.contains("ready"), "{finished:?}");
    let errors: Vec<_> = finished.stderr.lines().collect();
    assert_eq!(errors.len(), 1, "one line: {}", finished.stderr);
    for part in parts {
        assert!(errors[0].contains(part), "{part:?} in {}", errors[0]);
    }
}

/// Demanded or only asked for; none, a good one, one that has ended, a stranger's.
#[tokio::test]
async fn s09_client_certificates() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let file = authority.write("clients.pem", authority.pem());
    let subject = "O=Tests\\, Inc.,CN=ada \u{e9}";
    let good = authority.issue("ada \u{e9}");
    let ended = authority.issue_until("ada", 2021);
    let foreign = stranger.issue("ada");
    for is_optional in [false, true] {
        let identity = authority.identity(&authority.issue("server"));
        let mut builder = Server::builder()
            .file("who_wsh.rhai", WHO)
            .args([
                "-t",
                "--tls-client-auth",
                "--log-level",
                "debug",
                "--tls-client-ca",
            ])
            .arg(&file)
            .args(identity);
        if is_optional {
            builder = builder.arg("--tls-client-cert-optional");
        }
        let mut server = builder.start().await;
        let cases = [
            (None, is_optional.then_some("true nobody")),
            (Some(&good), Some(&*format!("true {subject}"))),
            (Some(&ended), None),
            (Some(&foreign), None),
        ]
        .map(|(shown, answer)| (shown, answer.map(str::to_owned)));
        for is_old in [false, true] {
            for (shown, expected) in &cases {
                let client = shown.map_or(authority.client(), |shown| {
                    authority.client().showing(shown)
                });
                let client = if is_old { client.old() } else { client };
                let answer = ask(&client, server.port()).await;
                assert_eq!(answer.as_ref().ok(), expected.as_ref(), "{answer:?}");
                if let Err(error) = answer {
                    assert!(error.contains("alert"), "an alert: {error}");
                }
            }
        }
        server.stop().await;
        // A line a second, the others counted; and none of another kind.
        let count = |refusal| server.count(["refusal=", refusal]);
        assert!(count("tls-client-certificate") > 0, "{}", server.logged());
        assert_eq!(count("\"tls-handshake\""), 0, "{}", server.logged());
    }
}

/// A client that is refused for its certificate is a line, with its address and what is wrong.
#[tokio::test]
async fn refused_client_certificates_are_said() {
    let authority = Authority::new();
    let file = authority.write("clients.pem", authority.pem());
    let start = async || {
        let builder = Server::builder()
            .file("who_wsh.rhai", WHO)
            .args(["-t", "--tls-client-auth", "--tls-client-ca"])
            .arg(&file)
            .args(authority.identity(&authority.issue("server")));
        builder.start().await
    };
    let is_said = async |server: &Server, why: &str| {
        let line = server.log("tls-client-certificate").await;
        for part in ["WARN", "client=127.0.0.1:", why] {
            assert!(line.contains(part), "{part}: {line}");
        }
    };
    let cases = [
        (None, "it shows no certificate"),
        (Some(authority.issue_until("ada", 2021)), "has expired"),
        (
            Some(Authority::new().issue("ada")),
            "none of the authorities in --tls-client-ca",
        ),
    ];
    for (shown, why) in cases {
        let server = start().await;
        let client = shown.map_or(authority.client(), |shown| {
            authority.client().showing(&shown)
        });
        assert!(ask(&client, server.port()).await.is_err(), "{why}");
        is_said(&server, why).await;
    }

    // What `openssl x509 -req` makes of a request when it is given no extensions; our own client
    // would not show it.
    let server = start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = format!(
        "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -subj \
        /CN=ada -out ada.csr &&
         openssl x509 -req -in ada.csr -signkey key.pem -days 2 -out ada.pem &&
         openssl s_client -connect 127.0.0.1:{} -cert ada.pem -key key.pem",
        server.port()
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script]).current_dir(folder.path());
    command.stdin(std::process::Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = within("openssl", output).await.expect("no panic");
    output.expect("openssl, of Debian's package of that name");
    is_said(&server, "not of X.509 version 3").await;
}

/// What the handler says, or why there is no answer. In TLS 1.3 a client learns of its refusal when
/// it reads.
async fn ask(client: &TlsClient, port: u16) -> Result<String, String> {
    let mut stream = client
        .try_connect(port)
        .await
        .map_err(|error| error.to_string())?;
    let request = Request::upgrade("/who").bytes();
    let shown = |error: std::io::Error| error.to_string();
    stream.write_all(&request).await.map_err(shown)?;
    stream
        .write_all(&Wire::text("?").bytes())
        .await
        .map_err(shown)?;
    let mut answer = Vec::new();
    while !answer
        .windows(2)
        .any(|pair| pair == b"\x81\x0b" || (pair[0] == 0x81 && pair[1] > 2))
    {
        let reading = stream.read_buf(&mut answer);
        if within("an answer", reading).await.map_err(shown)? == 0 {
            return Err("the end".into());
        }
    }
    let start = answer
        .iter()
        .position(|byte| *byte == 0x81)
        .expect("a frame");
    Ok(String::from_utf8_lossy(&answer[start + 2..]).into_owned())
}

#[tokio::test]
async fn s10_certificates_change_while_it_runs() {
    let authority = Authority::new();
    let first = authority.issue("first");
    let flags = authority.identity(&first);
    let builder = Server::builder().file("echo_wsh.rhai", ECHO);
    let server = builder.arg("-t").args(flags).start().await;
    let serves = async |issued: &super::support::Issued| {
        let stream = authority.client().connect(server.port()).await;
        let (_, session) = stream.get_ref();
        let shown = session.peer_certificates().expect("a certificate")[0].clone();
        let pem = pem_of(&shown);
        assert_eq!(pem, one_line(&issued.certificate));
        connect_over(stream, URL).await
    };
    let mut open = serves(&first).await;
    open.echoes(1).await;

    // Half a file, then a pair that does not match: the first goes on, and the log says what is
    // wrong and where.
    let second = authority.issue("second");
    authority.write("cert.pem", &second.certificate[..200]);
    server
        .log(["ERROR", "--certificate", "cert.pem", "not whole"])
        .await;
    serves(&first).await.echoes(1).await;
    authority.write("cert.pem", &second.certificate);
    server
        .log(["ERROR", "--private-key", "key.pem", "does not belong"])
        .await;
    serves(&first).await.echoes(1).await;
    // Said once, however often it is looked at.
    server.signal("HUP");
    server.log("SIGHUP").await;

    authority.write("key.pem", &second.key);
    server
        .log(["INFO", "certificate read again", "cert.pem"])
        .await;
    serves(&second).await.echoes(1).await;
    open.echoes(1).await;
    assert_eq!(server.count("does not belong"), 1, "{}", server.logged());

    // A signal does not wait for the next look.
    let third = authority.issue("third");
    authority.identity(&third);
    server.signal("HUP");
    server.log(["INFO", "certificate read again"]).await;
    serves(&third).await.echoes(1).await;

    // A file that is gone is spoken of each time, and so is its return.
    let key = authority.write("key.pem", &third.key);
    for _ in 0..2 {
        std::fs::remove_file(&key).expect("remove");
        server
            .log(["ERROR", "--private-key", "cannot be read"])
            .await;
        serves(&third).await.echoes(1).await;
        authority.write("key.pem", &third.key);
        server
            .log(["INFO", "--private-key", "can be used again"])
            .await;
    }
}

/// A pipe in a file's place is not waited for, and what comes after it is read.
#[tokio::test]
async fn c03_a_pipe_for_a_certificate_is_left_behind() {
    let authority = Authority::new();
    let flags = authority.identity(&authority.issue("first"));
    let builder = Server::builder().file("echo_wsh.rhai", ECHO);
    let server = builder.arg("-t").args(flags).start().await;
    for (flag, name) in [("--certificate", "cert.pem"), ("--private-key", "key.pem")] {
        let file = authority.write(name, "");
        std::fs::remove_file(&file).expect("remove");
        let made = std::process::Command::new("mkfifo").arg(&file).status();
        assert!(made.is_ok_and(|status| status.success()), "a named pipe");
        server.log(["ERROR", flag, "a pipe or socket"]).await;
        // A signal is answered, too.
        server.signal("HUP");
        server.log("SIGHUP").await;

        std::fs::remove_file(&file).expect("remove");
        authority.identity(&authority.issue("next"));
        server.log(["INFO", "certificate read again"]).await;
        let stream = authority.client().connect(server.tls_port()).await;
        connect_over(stream, URL).await.echoes(1).await;
    }
}

fn one_line(pem: &str) -> String {
    pem.lines().filter(|line| !line.starts_with('-')).collect()
}

fn pem_of(der: &[u8]) -> String {
    data_encoding::BASE64.encode(der)
}

/// The files of the development certificate, and the authority among them.
fn development(data: &TempDir) -> Builder {
    Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .args(["--tls-port", "0", "--tls-dev"])
        .env("XDG_DATA_HOME", data.path())
}

#[tokio::test]
async fn the_development_certificate_is_made_once() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let folder = data.path().join("wsh-server");
    let mut server = development(&data).start().await;
    let authority = std::fs::read_to_string(folder.join("authority.pem")).expect("an authority");
    server
        .printed(["to trust its authority", "authority.pem"])
        .await;
    server.printed("update-ca-certificates").await;
    let mode = |path: &Path| {
        let metadata = std::fs::metadata(path).expect("a file");
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode(&folder), 0o700);
    for key in ["authority.key", "localhost.key"] {
        assert_eq!(mode(&folder.join(key)), 0o600, "{key}");
    }
    let client = TlsClient::trusting(&authority);
    let stream = client.connect(server.tls_port()).await;
    connect_over(stream, URL).await.echoes(1).await;
    server.stop().await;

    // A second start takes what is there.
    let leaf = std::fs::read(folder.join("localhost.pem")).expect("a certificate");
    let mut server = development(&data).start().await;
    assert_eq!(
        std::fs::read_to_string(folder.join("authority.pem")).expect("an authority"),
        authority
    );
    assert_eq!(
        std::fs::read(folder.join("localhost.pem")).expect("a certificate"),
        leaf
    );
    client.connect(server.tls_port()).await;
    server.stop().await;

    // What is missing is made anew, by the same authority.
    std::fs::remove_file(folder.join("localhost.pem")).expect("remove");
    let server = development(&data).start().await;
    client.connect(server.tls_port()).await;
}

/// A name that is not this machine's is not vouched for, even with the authority's key.
#[tokio::test]
async fn the_development_authority_vouches_for_this_machine_alone() {
    let data = tempfile::tempdir().expect("a temporary folder");
    development(&data).start().await.stop().await;
    let folder = data.path().join("wsh-server");
    let output = Command::new("openssl")
        .args(["x509", "-noout", "-text", "-in"])
        .arg(folder.join("authority.pem"))
        .output()
        .expect("openssl, of Debian's package of that name");
    let text = String::from_utf8_lossy(&output.stdout);
    for part in [
        "X509v3 Name Constraints: critical",
        "DNS:localhost",
        "IP:127.0.0.0/255.0.0.0",
        "CA:TRUE, pathlen:0",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_ends_the_start() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let file = data.path().join("a file");
    std::fs::write(&file, "").expect("write");
    let builder = Server::builder().args(["-t", "--tls-dev"]);
    let builder = builder.env("XDG_DATA_HOME", file);
    refuses(builder, &["--tls-dev", "XDG_DATA_HOME"]).await;
}

/// Trusted as the start says: by certutil, in a home of the browser's own.
#[tokio::test]
async fn chromium_trusts_the_development_certificate() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let server = development(&data)
        .file("www/index.html", "<p id=said>nothing")
        .args(["-d", "www"])
        .start()
        .await;
    // On an account whose browser has never run.
    let home = tempfile::tempdir().expect("a temporary folder");
    let line = server.printed("certutil").await;
    let (_, line) = line.split_once("Linux: ").expect("a command");
    let (line, _) = line.split_once("  (").expect("its package");
    let status = Command::new("sh")
        .args(["-c", line])
        .env("HOME", home.path())
        .status();
    let status = status.expect("a shell");
    assert!(status.success(), "certutil, of libnss3-tools: {line}");
    let origin = format!("localhost:{}", server.tls_port());
    let mut page = Page::open_at_home(home.path(), &format!("https://{origin}/")).await;
    page.value(&format!(
        "(() => {{
            const socket = new WebSocket('wss://{origin}/echo');
            socket.onopen = () => socket.send('over TLS');
            socket.onmessage = (event) => document.querySelector('#said').innerText = event.data;
            socket.onerror = () => document.querySelector('#said').innerText = 'failed';
        }})()"
    ))
    .await;
    page.shows("#said", "over TLS").await;
    assert_eq!(page.value("isSecureContext").await, true);
}

/// A flood of handshakes that are broken off leaves nothing behind.
#[tokio::test]
async fn handshakes_that_are_broken_off_leave_nothing() {
    let authority = Authority::new();
    let server = both(&authority).start().await;
    let before = server.sockets();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(("127.0.0.1", server.tls_port()))
            .await
            .expect("connect");
        stream.write_all(b"\x16\x03\x01").await.expect("send");
    }
    within("the sockets to be closed", async {
        while server.sockets() > before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
