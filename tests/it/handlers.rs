//! From a folder to paths, and from a document root to files: what is served under which name, and
//! what never is.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;

use crate::support::{ECHO, Head, Raw, Request, Server, answering, connect};

/// What must never leave the machine: it stands in files outside of every root.
const CANARY: &str = "the canary sings";

#[tokio::test]
async fn files_become_paths() {
    let server = Server::start(&[
        ("echo_wsh.rhai", ECHO),
        ("a/b_wsh.rhai", ECHO),
        ("a/b/c/d/e_wsh.rhai", ECHO),
        ("with.dot_wsh.rhai", ECHO),
        ("with space_wsh.rhai", ECHO),
        ("grüße_wsh.rhai", ECHO),
        ("数据_wsh.rhai", ECHO),
        ("upper_WSH.RHAI", ECHO),
        ("upper_WSH.rhai", ECHO),
        ("plain.rhai", ECHO),
        ("wsh.rhai", ECHO),
        ("name_wsh.rhai.txt", ECHO),
        ("name_wsh.py", ECHO),
    ])
    .await;
    let paths = [
        ("/echo", 101),
        ("/a/b", 101),
        ("/a/b/c/d/e", 101),
        ("/with.dot", 101),
        ("/with%20space", 101),
        ("/gr%C3%BC%C3%9Fe", 101),
        ("/%e6%95%b0%e6%8d%ae", 101),
        ("/echo?room=1&x=%2F..%00", 101),
        ("/echo?", 101),
        // Decoded once, and only once.
        ("/%65ch%6F", 101),
        ("/%2565cho", 404),
        // Exact and case-sensitive.
        ("/Echo", 404),
        ("/ECHO", 404),
        ("/echo/", 404),
        ("/ech", 404),
        ("/echo.", 404),
        ("/echo%20", 404),
        ("/echo;p=1", 404),
        ("/echo_wsh", 404),
        ("/echo_wsh.rhai", 404),
        ("/a", 404),
        ("/a/", 404),
        ("/a/b/", 404),
        ("/A/b", 404),
        ("/b", 404),
        ("/", 404),
        ("/upper", 404),
        ("/plain", 404),
        ("/name", 404),
    ];
    for (path, status) in paths {
        assert_eq!(server.status(path).await, status, "{path}");
    }
}

#[tokio::test]
async fn folders_have_handlers_of_their_own() {
    let server = Server::start(&[
        ("_wsh.rhai", &answering("root")),
        ("a/index_wsh.rhai", &answering("index")),
        ("b/_wsh.rhai", &answering("nameless")),
        ("b/c_wsh.rhai", &answering("beside")),
        ("index/d_wsh.rhai", &answering("a folder called index")),
    ])
    .await;
    let answers = [
        ("/", "root"),
        ("/a", "index"),
        ("/a/", "index"),
        ("/b", "nameless"),
        ("/b/", "nameless"),
        ("/b/c", "beside"),
        ("/index/d", "a folder called index"),
    ];
    for (path, answer) in answers {
        assert_eq!(first_answer(&server, path).await, answer, "{path}");
    }
    for path in ["/a//", "/b//", "/b/c/", "//", "/index"] {
        assert_ne!(server.status(path).await, 101, "{path}");
    }
}

#[tokio::test]
async fn parameters_of_a_path() {
    let server = Server::start(&[
        ("room/[id]_wsh.rhai", &telling("id")),
        ("room/lobby_wsh.rhai", &answering("the lobby")),
    ])
    .await;
    let rooms = [
        ("/room/42", "42"),
        ("/room/a%20b", "a b"),
        ("/room/%E6%95%B0%E6%8D%AE", "数据"),
        ("/room/a+b", "a+b"),
        ("/room/%2541", "%41"),
        ("/room/[id]", "[id]"),
        ("/room/Lobby", "Lobby"),
        ("/room/x?id=y", "x"),
        ("/room/a.b..c", "a.b..c"),
    ];
    for (path, id) in rooms {
        assert_eq!(
            connect(server.url(path)).await.next_text().await,
            id,
            "{path}"
        );
    }
    connect(server.url("/room/lobby"))
        .await
        .until_answer("the lobby")
        .await;
    for path in ["/room", "/room/", "/room/1/2", "/room/1/", "/1"] {
        assert_eq!(server.status(path).await, 404, "{path}");
    }
    for path in [
        "/room/a%2Fb",
        "/room/a%2fb",
        "/room/..",
        "/room/.",
        "/room/%2e%2e",
        "/room/%00",
    ] {
        let status = server.status(path).await;
        assert!(status == 400 || status == 404, "{path}: {status}");
    }
}

#[tokio::test]
async fn literal_goes_before_parameter_whatever_comes_first() {
    let server = Server::start(&[("room/[id]_wsh.rhai", &telling("id"))]).await;
    assert_eq!(
        connect(server.url("/room/new")).await.next_text().await,
        "new"
    );
    server.write("room/new_wsh.rhai", answering("literal"));
    server.log(["handler added", "room/new_wsh.rhai"]).await;
    connect(server.url("/room/new"))
        .await
        .until_answer("literal")
        .await;
    server.remove("room/new_wsh.rhai");
    server.log(["handler removed", "room/new_wsh.rhai"]).await;
    assert_eq!(
        connect(server.url("/room/new")).await.next_text().await,
        "new"
    );
}

#[tokio::test]
async fn parameters_in_folders() {
    let code = "fn do_extra_handshake(request) {\n    \
                this.both = request.params.shop + \" \" + request.params.item;\n}\n\
                fn on_open(ws) {\n    ws.send(this.both);\n}\n\
                fn transfer_data(ws, message) { }\n";
    let server = Server::start(&[("[shop]/item/[item]_wsh.rhai", code)]).await;
    let url = server.url("/books/item/7");
    assert_eq!(connect(url).await.next_text().await, "books 7");
    assert_eq!(server.status("/books/items/7").await, 404);
}

/// P09: byte for byte, and so is their Unicode form.
#[tokio::test]
async fn p09_names_that_differ_in_case_only() {
    let server = Server::start(&[
        ("room_wsh.rhai", &answering("small")),
        ("Room_wsh.rhai", &answering("large")),
        ("caf\u{e9}_wsh.rhai", &answering("composed")),
        ("cafe\u{301}_wsh.rhai", &answering("decomposed")),
    ])
    .await;
    connect(server.url("/room"))
        .await
        .until_answer("small")
        .await;
    connect(server.url("/Room"))
        .await
        .until_answer("large")
        .await;
    assert_eq!(first_answer(&server, "/caf%C3%A9").await, "composed");
    assert_eq!(first_answer(&server, "/cafe%CC%81").await, "decomposed");
}

#[tokio::test]
async fn two_files_for_one_path_are_a_warning() {
    let server = Server::start(&[
        ("a_wsh.rhai", &answering("file")),
        ("a/index_wsh.rhai", &answering("index")),
        ("b/index_wsh.rhai", ECHO),
        ("b/_wsh.rhai", ECHO),
    ])
    .await;
    server.log(["WARN", "a_wsh.rhai", "a/index_wsh.rhai"]).await;
    server
        .log(["WARN", "b/index_wsh.rhai", "b/_wsh.rhai"])
        .await;
    assert_eq!(server.status("/a").await, 101);
    assert_eq!(server.status("/b").await, 101);
    // With the one that serves gone, the other one serves.
    let (serving, other) = match first_answer(&server, "/a").await.as_str() {
        "file" => ("a_wsh.rhai", "index"),
        _ => ("a/index_wsh.rhai", "file"),
    };
    server.remove(serving);
    server.until_answer("/a", other).await;
}

/// Rows P01, P02, P03 and P07 of the table of attacks: as an upgrade, and as a request for a file.
#[tokio::test]
async fn p01_p02_p03_p07_no_way_out() {
    let server = Server::builder()
        .bare()
        .files(&[
            ("canary_wsh.rhai", &answering(CANARY)),
            ("canary", CANARY),
            ("h-secret/canary_wsh.rhai", &answering(CANARY)),
            ("h-secret/canary", CANARY),
            ("h/echo_wsh.rhai", ECHO),
            ("h/a/b_wsh.rhai", ECHO),
            ("h/www/index.html", "a page"),
            ("h/www/a/page.txt", "another page"),
            ("h/www-secret/canary", CANARY),
        ])
        .args(["-p", "0", "-w", "h", "-d", "h/www"])
        .start()
        .await;
    let refused = [
        // P01
        "/../canary",
        "/../../canary",
        "/a/../../canary",
        "/a/../echo",
        "/a/../a/b",
        "/./echo",
        "/a/./b",
        "/a/..",
        "/..",
        "/.",
        "/%2e%2e/canary",
        "/%2E%2e/canary",
        "/.%2e/canary",
        "/..%2fcanary",
        "/..%2Fcanary",
        "/..%5ccanary",
        "/..\\canary",
        "/%252e%252e/canary",
        "/%252e%252e%252fcanary",
        "//etc/passwd",
        "//echo",
        "///echo",
        "/a//b",
        "/a%2Fb",
        "/a%2fpage.txt",
        "/%2Fetc%2Fpasswd",
        // P02
        "/%00",
        "/echo%00",
        "/page%00.txt",
        "/a/page.txt%00.html",
        "/%c0%ae%c0%ae/canary",
        "/%c0%af",
        "/%ff",
        "/%zz",
        "/%",
        "/%6",
        "/echo%",
        "/gr\u{fc}n",
        // P03
        "/../h-secret/canary",
        "/../www-secret/canary",
        "/-secret/canary",
        "/%2e%2e/h-secret/canary",
        "/a/../../h-secret/canary",
        // P07
        "/C:/Windows/win.ini",
        "/c:canary",
        "/a/page.txt::$DATA",
        "/\\\\host\\share\\canary",
        "/CON",
        "/aux.txt",
        "/a/page.txt.",
        "/a/page.txt%20",
        "/a\\page.txt",
        "/a%5cpage.txt",
    ];
    for target in refused {
        let status = server.status(target).await;
        assert!(
            status == 400 || status == 404,
            "upgrade of {target}: {status}"
        );
        let (head, body) = fetch(&server, Request::get(target)).await;
        assert!(
            head.status == 400 || head.status == 404,
            "{target}: {head:?}"
        );
        assert!(
            !body.contains(CANARY) && !body.contains("/h/www"),
            "{target}: {body}"
        );
    }
    for target in ["/%00", "/%ff", "/%c0%af", "/%zz", "/%"] {
        assert_eq!(server.status(target).await, 400, "{target}");
    }
    assert_eq!(
        fetch(&server, Request::get("/a/page.txt")).await.1,
        "another page"
    );
}

/// P04: what a link in the document root leads to stays inside, like everything else.
#[tokio::test]
async fn p04_links_out_of_the_document_root() {
    let outside = tempfile::tempdir().expect("a temporary folder");
    fs::write(outside.path().join("canary"), CANARY).expect("write");
    fs::write(outside.path().join("index.html"), CANARY).expect("write");
    let builder = Server::builder()
        .files(&[("www/page.txt", "a page"), ("www/inner/real.txt", "inside")])
        .args(["-d", "www"]);
    let www = builder.dir().join("www");
    symlink(outside.path().join("canary"), www.join("file")).expect("a link");
    symlink(outside.path(), www.join("folder")).expect("a link");
    symlink("/etc/passwd", www.join("passwd.txt")).expect("a link");
    symlink("inner/real.txt", www.join("link.txt")).expect("a link");
    symlink("inner", www.join("link")).expect("a link");
    symlink("nowhere", www.join("dangling.txt")).expect("a link");
    symlink("loop.txt", www.join("loop.txt")).expect("a link");
    let server = builder.start().await;
    let refused = [
        "/file",
        "/folder/canary",
        "/folder/",
        "/folder",
        "/folder/index.html",
        "/passwd.txt",
        "/dangling.txt",
        "/loop.txt",
    ];
    for target in refused {
        let (head, body) = fetch(&server, Request::get(target)).await;
        assert_eq!(head.status, 404, "{target}: {head:?}");
        assert!(!body.contains(CANARY), "{target}");
    }
    for target in ["/link.txt", "/link/real.txt", "/inner/real.txt"] {
        assert_eq!(
            fetch(&server, Request::get(target)).await.1,
            "inside",
            "{target}"
        );
    }
}

/// P05: a name that is a file at one moment and a link out of the root at the next.
#[tokio::test]
async fn p05_a_link_swapped_while_it_is_asked_for() {
    let outside = tempfile::tempdir().expect("a temporary folder");
    fs::write(outside.path().join("canary"), CANARY).expect("write");
    let server = Server::builder()
        .files(&[("www/real/file.txt", "inside")])
        .args(["-d", "www"])
        .start()
        .await;
    let www = server.dir().join("www");
    fs::copy(www.join("real/file.txt"), www.join("page.txt")).expect("copy");
    let canary = outside.path().join("canary");
    let (running, ended) = std::sync::mpsc::channel::<()>();
    let swapping = std::thread::spawn(move || {
        let (page, next) = (www.join("page.txt"), www.join("next"));
        // Until the other side is dropped.
        while ended.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
            symlink(&canary, &next).expect("a link");
            fs::rename(&next, &page).expect("swap");
            fs::hard_link(www.join("real/file.txt"), &next).expect("a second name");
            fs::rename(&next, &page).expect("swap back");
        }
    });
    for _ in 0..300 {
        let (_, body) = fetch(&server, Request::get("/page.txt")).await;
        assert!(
            !body.contains(CANARY),
            "it was checked as one thing and opened as another"
        );
    }
    drop(running);
    swapping.join().expect("no panic");
}

/// P06: a folder that is both, handlers and documents, gives its documents only.
#[tokio::test]
async fn p06_sources_are_never_served() {
    let source = format!("// {CANARY}\n{ECHO}");
    let builder = Server::builder()
        .files(&[
            ("echo_wsh.rhai", &source),
            ("sub/echo_wsh.rhai", &source),
            ("lib/module.rhai", &source),
            ("UPPER_WSH.RHAI", &source),
            ("broken_wsh.rhai", &format!("// {CANARY}\nfn (")),
            ("echo_wsh.rhai~", &source),
            (".echo_wsh.rhai.swp", &source),
            ("echo_wsh.rhai.bak", &source),
            ("echo_wsh.rhai.orig", &source),
            ("#echo_wsh.rhai#", &source),
            (".git/config", CANARY),
            (".env", CANARY),
            ("sub/.htpasswd", CANARY),
            ("index.html", "a page"),
            (".well-known/acme", "a challenge"),
        ])
        .args(["-d", "."]);
    symlink("echo_wsh.rhai", builder.dir().join("innocent.txt")).expect("a link");
    let server = builder.start().await;
    let refused = [
        "/echo_wsh.rhai",
        "/echo_wsh.rhai?x=1",
        "/%65cho_wsh.rhai",
        "/echo_wsh%2erhai",
        "/echo_wsh.rhai/",
        "/echo_wsh.rhai.",
        "/echo_wsh.rhai%20",
        "/echo_wsh.rhai%00",
        "/echo_wsh.rhai::$DATA",
        "/ECHO_WSH.RHAI",
        "/UPPER_WSH.RHAI",
        "/sub/echo_wsh.rhai",
        "/lib/module.rhai",
        "/broken_wsh.rhai",
        "/echo_wsh.rhai~",
        "/.echo_wsh.rhai.swp",
        "/echo_wsh.rhai.bak",
        "/echo_wsh.rhai.orig",
        "/%23echo_wsh.rhai%23",
        "/.git/config",
        "/.git/",
        "/.env",
        "/%2eenv",
        "/sub/.htpasswd",
        "/innocent.txt",
    ];
    for target in refused {
        for request in [
            Request::get(target),
            Request::get(target).with("Range", "bytes=0-9"),
        ] {
            let (head, body) = fetch(&server, request).await;
            assert!(
                head.status == 404 || head.status == 400,
                "{target}: {head:?}"
            );
            assert!(
                !body.contains(CANARY) && !body.contains("transfer_data"),
                "{target}: {body}"
            );
        }
        assert_ne!(server.status(target).await, 101, "{target}");
    }
    assert_eq!(fetch(&server, Request::get("/")).await.1, "a page");
}

#[tokio::test]
async fn documents_have_their_types() {
    let types = [
        ("index.html", "text/html"),
        ("style.css", "text/css"),
        ("code.js", "text/javascript"),
        ("module.mjs", "application/javascript"),
        ("data.json", "application/json"),
        ("drawing.svg", "image/svg+xml"),
        ("image.png", "image/png"),
        ("photo.jpg", "image/jpeg"),
        ("program.wasm", "application/wasm"),
        ("note.txt", "text/plain"),
        ("icon.ico", "image/"),
        ("sub/page.html", "text/html"),
        ("no_extension", "application/octet-stream"),
    ];
    let mut builder = Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .args(["-d", "www"]);
    for (name, _) in types {
        builder = builder.file(&format!("www/{name}"), format!("this is {name}"));
    }
    let server = builder.file("www/空.txt", "发送数据").start().await;
    for (name, kind) in types {
        let (head, body) = fetch(&server, Request::get(&format!("/{name}"))).await;
        assert_eq!(
            (head.status, body),
            (200, format!("this is {name}")),
            "{name}"
        );
        let found = head.header("Content-Type").unwrap_or_default();
        assert!(found.starts_with(kind), "{name}: {found}");
        assert_eq!(head.header("Access-Control-Allow-Origin"), None, "{name}");
    }
    let (head, body) = fetch(&server, Request::get("/%E7%A9%BA.txt")).await;
    assert_eq!((head.status, body.as_str()), (200, "发送数据"));
    assert_eq!(
        fetch(&server, Request::get("/")).await.1,
        "this is index.html"
    );
    assert_eq!(
        fetch(&server, Request::get("/note.txt?version=2")).await.1,
        "this is note.txt"
    );
}

#[tokio::test]
async fn documents_that_are_not_there() {
    let server = Server::builder()
        .files(&[
            ("echo_wsh.rhai", ECHO),
            ("www/page.txt", "a page"),
            ("www/sub/page.txt", "another page"),
        ])
        .args(["-d", "www"])
        .start()
        .await;
    // No index, no listing.
    for target in [
        "/nothing",
        "/",
        "/sub/",
        "/page.txt/",
        "/page.txt/more",
        "/Page.txt",
        "/sub/nothing",
    ] {
        let (head, body) = fetch(&server, Request::get(target)).await;
        assert_eq!(head.status, 404, "{target}: {head:?}");
        assert!(
            !body.contains("page.txt") && !body.contains("www"),
            "{target}: {body}"
        );
    }
    // An upgrade of a document is the upgrade of an unknown path.
    assert_eq!(server.status("/page.txt").await, 404);
    // A handler's path is a handler's, whatever the document root holds.
    server.write("www/echo", "a document in the way");
    let (head, body) = fetch(&server, Request::get("/echo")).await;
    assert_eq!(head.status, 426);
    assert!(!body.contains("in the way"));
    for method in ["POST", "PUT", "DELETE"] {
        let line = format!("{method} /page.txt HTTP/1.1");
        let (head, _) = fetch(&server, Request::get("/page.txt").line(line)).await;
        assert_eq!(head.status, 405, "{method}");
    }

    let without = Server::start(&[("echo_wsh.rhai", ECHO), ("page.txt", "a page")]).await;
    for target in ["/page.txt", "/", "/echo_wsh.rhai"] {
        assert_eq!(
            fetch(&without, Request::get(target)).await.0.status,
            404,
            "{target}"
        );
    }
}

#[tokio::test]
async fn p11_parts_of_a_document() {
    let server = Server::builder()
        .files(&[("www/digits.txt", "0123456789")])
        .args(["-d", "www"])
        .start()
        .await;
    let parts = [
        ("bytes=0-3", 206, "0123", "bytes 0-3/10"),
        ("bytes=7-", 206, "789", "bytes 7-9/10"),
        ("bytes=-2", 206, "89", "bytes 8-9/10"),
        ("bytes=5-100", 206, "56789", "bytes 5-9/10"),
        ("bytes=10-", 416, "", "bytes */10"),
    ];
    for (range, status, part, content_range) in parts {
        let (head, body) = fetch(&server, Request::get("/digits.txt").with("Range", range)).await;
        assert_eq!(head.status, status, "{range}: {head:?}");
        assert_eq!(head.header("Content-Range"), Some(content_range), "{range}");
        if status == 206 {
            assert_eq!(body, part, "{range}");
        }
    }
    // P11: what is no range, and far too many of them.
    let many = format!("bytes={}", "0-0,".repeat(1_000));
    let odd = [
        "bytes=3-1",
        "bytes=a-b",
        "bytes=",
        "lines=1-2",
        "bytes=0-18446744073709551616",
        &many,
    ];
    for range in odd {
        let (head, body) = fetch(&server, Request::get("/digits.txt").with("Range", range)).await;
        let short = &range[..range.len().min(40)];
        assert!(
            matches!(head.status, 200 | 206 | 400 | 416),
            "{short}: {head:?}"
        );
        assert!(body.len() <= 200, "{short}: {} bytes", body.len());
    }
}

#[tokio::test]
async fn conditional_requests() {
    let server = Server::builder()
        .files(&[("www/page.txt", "a page")])
        .args(["-d", "www"])
        .start()
        .await;
    let (head, _) = fetch(&server, Request::get("/page.txt")).await;
    let modified = head
        .header("Last-Modified")
        .expect("Last-Modified")
        .to_owned();
    let (head, body) = fetch(
        &server,
        Request::get("/page.txt").with("If-Modified-Since", &modified),
    )
    .await;
    assert_eq!((head.status, body.as_str()), (304, ""));
    let long_ago = "Sat, 29 Oct 1994 19:43:31 GMT";
    let (head, body) = fetch(
        &server,
        Request::get("/page.txt").with("If-Modified-Since", long_ago),
    )
    .await;
    assert_eq!((head.status, body.as_str()), (200, "a page"));
    let (head, _) = fetch(
        &server,
        Request::get("/page.txt").with("If-Unmodified-Since", long_ago),
    )
    .await;
    assert_eq!(head.status, 412);

    let line = "HEAD /page.txt HTTP/1.1";
    let (head, body) = fetch(&server, Request::get("/page.txt").line(line)).await;
    assert_eq!((head.status, body.as_str()), (200, ""));
    assert_eq!(head.header("Content-Length"), Some("6"));

    // The document root needs no reload: what is written is what is served.
    server.write("www/page.txt", "an edited page");
    assert_eq!(
        fetch(&server, Request::get("/page.txt")).await.1,
        "an edited page"
    );
}

/// P08: a redirect must not lead to another host.
#[tokio::test]
async fn p08_redirects_of_folders_stay_here() {
    let server = Server::builder()
        .files(&[
            ("www/sub/index.html", "a page"),
            ("www/evil.com/index.html", "a page"),
        ])
        .args(["-d", "www"])
        .start()
        .await;
    let targets = [
        "/sub",
        "//evil.com",
        "//evil.com/..",
        "/\\evil.com",
        "//evil.com/%2e%2e",
        "/evil.com",
    ];
    for target in targets {
        let (head, _) = fetch(&server, Request::get(target)).await;
        if let Some(location) = head.header("Location") {
            assert!(
                location.starts_with('/')
                    && !location.starts_with("//")
                    && !location.contains('\\'),
                "{target}: {location}"
            );
        }
    }
    assert_eq!(fetch(&server, Request::get("/sub/")).await.1, "a page");
}

#[tokio::test]
async fn aliases_of_a_map_file() {
    let map = "# The start page of a chat is the chat.\n\
               /\t/echo\n\
               /short   /sub/long\n\
               /chain /short\n\
               \n\
               /early /later\n\
               /later /echo\n\
               /lost /nowhere\n\
               /one\n\
               /one /two /three\n";
    let server = Server::builder()
        .files(&[
            ("echo_wsh.rhai", &answering("echo")),
            ("sub/long_wsh.rhai", &answering("long")),
            ("aliases", map),
        ])
        .args(["-m", "aliases"])
        .start()
        .await;
    let answers = [
        ("/", "echo"),
        ("/short", "long"),
        ("/chain", "long"),
        ("/later", "echo"),
        ("/echo", "echo"),
        ("/sub/long", "long"),
    ];
    for (path, answer) in answers {
        connect(server.url(path)).await.until_answer(answer).await;
    }
    for path in [
        "/lost", "/nowhere", "/one", "/two", "/three", "/Short", "/short/",
    ] {
        assert_eq!(server.status(path).await, 404, "{path}");
    }
    server.until_logged(&["/nowhere", "/one"]).await;

    // An alias is another name of the same code: it follows its edits, and its end.
    let mut client = connect(server.url("/chain")).await;
    server.write("sub/long_wsh.rhai", answering("edited"));
    client.until_answer("edited").await;
    server.remove("sub/long_wsh.rhai");
    server.until_status("/chain", 404).await;
    server.until_status("/short", 404).await;
    assert_eq!(server.status("/").await, 101);
}

#[tokio::test]
async fn scan_dir_narrows_what_is_served() {
    let server = Server::builder()
        .bare()
        .files(&[
            ("h/outside_wsh.rhai", ECHO),
            ("h/sub/inside_wsh.rhai", ECHO),
            ("h/sub/deep/inside_wsh.rhai", ECHO),
            ("h/sub2/outside_wsh.rhai", ECHO),
        ])
        .args(["-p", "0", "-w", "h", "-s", "h/sub"])
        .start()
        .await;
    // Paths are counted from the root all the same.
    for (path, status) in [
        ("/sub/inside", 101),
        ("/sub/deep/inside", 101),
        ("/inside", 404),
        ("/outside", 404),
        ("/sub2/outside", 404),
    ] {
        assert_eq!(server.status(path).await, status, "{path}");
    }
    server.write("h/late_wsh.rhai", ECHO);
    server.write("h/sub/late_wsh.rhai", ECHO);
    server.until_status("/sub/late", 101).await;
    assert_eq!(server.status("/late").await, 404);
}

#[tokio::test]
async fn links_to_handlers_outside_of_the_root() {
    let tree = [
        ("h/echo_wsh.rhai", ECHO),
        ("h/inner/real_wsh.rhai", ECHO),
        ("h-secret/outer.rhai", ECHO),
        ("other/far_wsh.rhai", ECHO),
    ];
    for allowed in [false, true] {
        let builder = Server::builder()
            .bare()
            .files(&tree)
            .args(["-p", "0", "-w", "h"]);
        let h = builder.dir().join("h");
        symlink("inner/real_wsh.rhai", h.join("inside_wsh.rhai")).expect("a link");
        symlink("../other/far_wsh.rhai", h.join("outside_wsh.rhai")).expect("a link");
        // Its name begins like that of the root, which a comparison of texts takes for inside.
        symlink("../h-secret/outer.rhai", h.join("prefix_wsh.rhai")).expect("a link");
        symlink("nowhere", h.join("dangling_wsh.rhai")).expect("a link");
        symlink("loop_wsh.rhai", h.join("loop_wsh.rhai")).expect("a link");
        let flag: &[&str] = if allowed {
            &["--allow-handlers-outside-root-dir"]
        } else {
            &[]
        };
        let server = builder.args(flag).start().await;

        let outside = if allowed { 101 } else { 404 };
        let paths = [
            ("/echo", 101),
            ("/inner/real", 101),
            ("/inside", 101),
            ("/outside", outside),
            ("/prefix", outside),
        ];
        for (path, status) in paths {
            assert_eq!(
                server.status(path).await,
                status,
                "{path}, allowed: {allowed}"
            );
        }
        for path in ["/dangling", "/loop"] {
            assert_ne!(server.status(path).await, 101, "{path}");
        }
        if !allowed {
            server.log(["WARN", "outside_wsh.rhai"]).await;
            server.log(["WARN", "prefix_wsh.rhai"]).await;
        }
    }
}

#[tokio::test]
async fn links_to_folders() {
    let builder = Server::builder()
        .bare()
        .files(&[("h/real/echo_wsh.rhai", ECHO), ("other/far_wsh.rhai", ECHO)])
        .args(["-p", "0", "-w", "h"]);
    let h = builder.dir().join("h");
    symlink("../other", h.join("outside")).expect("a link");
    symlink(".", h.join("loop")).expect("a link");
    symlink("..", h.join("real/up")).expect("a link");
    let server = builder.start().await;
    assert_eq!(server.status("/real/echo").await, 101);
    assert_eq!(server.status("/outside/far").await, 404);
    // A folder that contains itself does not hold up what comes later.
    server.write("h/late_wsh.rhai", ECHO);
    server.until_status("/late", 101).await;
}

/// P10: things that are called like handlers and are none, and texts that are unusual but fine.
#[tokio::test]
async fn p10_what_else_may_be_called_a_handler() {
    let builder = Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .file("windows_wsh.rhai", ECHO.replace('\n', "\r\n"))
        .file("marked_wsh.rhai", format!("\u{feff}{ECHO}"))
        .file(
            "shebang_wsh.rhai",
            format!("#!/usr/bin/env wsh-server\n{ECHO}"),
        )
        .file("empty_wsh.rhai", "")
        .file(
            "latin_wsh.rhai",
            b"// caf\xe9\nfn transfer_data(ws, message) { }\n",
        )
        .file("locked_wsh.rhai", ECHO)
        .file("folder_wsh.rhai/inside_wsh.rhai", ECHO);
    let dir = builder.dir();
    let made = Command::new("mkfifo")
        .arg(dir.join("pipe_wsh.rhai"))
        .status();
    assert!(made.is_ok_and(|status| status.success()), "a named pipe");
    let _socket = UnixListener::bind(dir.join("socket_wsh.rhai")).expect("a socket");
    symlink("/dev/zero", dir.join("zeros_wsh.rhai")).expect("a link");
    let huge = fs::File::create(dir.join("huge_wsh.rhai")).expect("create");
    huge.set_len(10 << 30).expect("a hole of 10 GiB");
    let locked = fs::Permissions::from_mode(0o000);
    fs::set_permissions(dir.join("locked_wsh.rhai"), locked).expect("mode 000");

    let server = builder.start().await;
    for path in ["/echo", "/windows"] {
        connect(server.url(path)).await.echoes(1).await;
    }
    // Taken or refused, but not passed over: their names are known.
    for path in ["/marked", "/shebang"] {
        let status = server.status(path).await;
        assert!(status == 101 || status == 500, "{path}: {status}");
    }
    for path in ["/empty", "/latin", "/huge"] {
        assert_eq!(server.status(path).await, 500, "{path}");
        server.until_logged(&[&path[1..]]).await;
    }
    for path in ["/pipe", "/socket", "/zeros", "/folder"] {
        assert_ne!(server.status(path).await, 101, "{path}");
    }
    // None of them holds up the reload of the others.
    server.write("echo_wsh.rhai", answering("edited"));
    connect(server.url("/echo"))
        .await
        .until_answer("edited")
        .await;
}

/// P12: the length that was announced is the length that comes, or the connection ends before it.
#[tokio::test]
async fn p12_a_document_changed_while_it_is_sent() {
    const SIZE: usize = 32 * 1024 * 1024;
    let server = Server::builder()
        .file("www/cut.bin", vec![b'a'; SIZE])
        .file("www/swapped.bin", vec![b'a'; SIZE])
        .args(["-d", "www"])
        .start()
        .await;
    let www = server.dir().join("www");
    for (name, is_cut) in [("cut.bin", true), ("swapped.bin", false)] {
        let mut raw = Raw::connect(&server).await;
        let request = Request::get(&format!("/{name}")).with("Connection", "close");
        raw.send(request.bytes()).await;
        let head = raw.head().await;
        assert_eq!(
            head.header("Content-Length"),
            Some(SIZE.to_string().as_str())
        );
        // Far more than the sockets hold is still to come.
        assert_eq!(raw.exactly(1000).await, [b'a'; 1000]);
        if is_cut {
            let file = fs::File::options().write(true).open(www.join(name));
            file.and_then(|file| file.set_len(2_000)).expect("truncate");
        } else {
            fs::write(www.join("next"), vec![b'b'; SIZE]).expect("write");
            fs::rename(www.join("next"), www.join(name)).expect("swap");
        }
        let (rest, _) = raw.rest().await;
        let other = rest.iter().position(|byte| *byte != b'a');
        assert_eq!(other, None, "{name}: of the file that was opened only");
        if is_cut {
            assert!(
                rest.len() < SIZE - 1000,
                "{} bytes of a short file",
                rest.len()
            );
        } else {
            assert_eq!(rest.len(), SIZE - 1000);
        }
    }
}

/// P13: long paths are looked up like short ones.
#[tokio::test]
async fn p13_long_paths() {
    let server = Server::start(&[("echo_wsh.rhai", ECHO), ("room/[id]_wsh.rhai", ECHO)]).await;
    let long = [
        format!("/{}", "x".repeat(8_000)),
        format!("/room{}", "/x".repeat(3_900)),
    ];
    for path in &long {
        assert_eq!(server.status(path).await, 404);
    }
    assert_eq!(
        server.status(&format!("/room/{}", "x".repeat(8_000))).await,
        101
    );
    assert_eq!(server.status("/echo").await, 101);
}

/// A handler that tells the parameter of this name when it opens.
fn telling(name: &str) -> String {
    format!(
        "fn do_extra_handshake(request) {{\n    this.told = request.params.{name};\n}}\n\
         fn on_open(ws) {{\n    ws.send(this.told);\n}}\n\
         fn transfer_data(ws, message) {{ }}\n"
    )
}

/// What a new connection to this path answers to a message.
async fn first_answer(server: &Server, path: &str) -> String {
    let mut client = connect(server.url(path)).await;
    client.send_text("?").await;
    client.next_text().await
}

/// The answer to one request that is the last one of its connection.
async fn fetch(server: &Server, request: Request) -> (Head, String) {
    let mut raw = Raw::connect(server).await;
    raw.send(request.set("Connection", "close").bytes()).await;
    let head = raw.head().await;
    let body = String::from_utf8(raw.until_eof().await).expect("a body in UTF-8");
    (head, body)
}
