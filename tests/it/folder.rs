//! The handler folder in bad shape: files that do not fit together yet, names and kinds that cannot
//! be served, folders that cannot be read, what comes and goes.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::support::{ECHO, Raw, Server, answering, connect, within};

const USER: &str =
    "import \"MODULE\" as it;\nfn transfer_data(ws, message) { ws.send(it::answer()); }\n";

/// A handler whose answer is a module's.
fn using(module: &str) -> String {
    USER.replace("MODULE", module)
}

fn module(answer: &str) -> String {
    format!("fn answer() {{ \"{answer}\" }}\n")
}

fn make_pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.is_ok_and(|status| status.success()), "a named pipe");
}

/// Saved a while apart, in either order: the old pair answers until the new one is whole.
#[tokio::test]
async fn a02_a_handler_and_its_module_are_published_together() {
    let files = [("it_wsh.rhai", using("v0")), ("v0.rhai", module("0"))];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let server = Server::start(&files).await;
    let mut client = connect(server.url("/it")).await;
    client.until_answer("0").await;
    for version in 1..=6 {
        let (name, before) = (format!("v{version}"), (version - 1).to_string());
        let save_handler = || server.write("it_wsh.rhai", using(&name));
        let save_module = || {
            server.remove(&format!("v{before}.rhai"));
            server.write(&format!("{name}.rhai"), module(&version.to_string()));
        };
        if version % 2 == 0 {
            save_handler()
        } else {
            save_module()
        }
        // Long enough to be taken for finished, and once longer than what does not fit is waited
        // for.
        let apart = [30, 100, 200, 200, 800, 800][version - 1];
        let end = tokio::time::Instant::now() + Duration::from_millis(apart);
        while tokio::time::Instant::now() < end {
            client.send_text("?").await;
            assert_eq!(client.next_text().await, before, "version {version}");
        }
        if version % 2 == 0 {
            save_module()
        } else {
            save_handler()
        }
        client.until_answer(&version.to_string()).await;
    }
    assert_eq!(server.count("script fault"), 0, "{}", server.logged());
}

/// The same where the module's name stays, and what is called in it changes.
#[tokio::test]
async fn a02_a_call_and_what_it_calls_are_published_together() {
    let caller = |arguments: &str| {
        format!(
            "import \"v\" as v;\nfn transfer_data(ws, message) {{ ws.send(v::v({arguments})); }}\n"
        )
    };
    let called =
        |parameters: &str, answer: &str| format!("fn v({parameters}) {{ \"{answer}\" }}\n");
    let server = Server::start(&[
        ("it_wsh.rhai", &caller("")),
        ("other_wsh.rhai", &caller("")),
        ("v.rhai", &called("", "0")),
    ])
    .await;
    let mut client = connect(server.url("/it")).await;
    let mut other = connect(server.url("/other")).await;
    client.until_answer("0").await;
    for (version, apart) in [(1, 50), (2, 50), (3, 800), (4, 800)] {
        let (arguments, parameters) = [("", ""), ("1", "n")][version % 2];
        let (before, after) = ((version - 1).to_string(), version.to_string());
        let handlers_first = version > 2;
        let save = |handlers: bool| {
            if handlers {
                server.write("it_wsh.rhai", caller(arguments));
                server.write("other_wsh.rhai", caller(arguments));
            } else {
                server.write("v.rhai", called(parameters, &after));
            }
        };
        save(handlers_first);
        let end = tokio::time::Instant::now() + Duration::from_millis(apart);
        while tokio::time::Instant::now() < end {
            for client in [&mut client, &mut other] {
                client.send_text("?").await;
                assert_eq!(client.next_text().await, before);
            }
        }
        save(!handlers_first);
        client.until_answer(&after).await;
        other.until_answer(&after).await;
    }
    assert_eq!(server.count("script fault"), 0, "{}", server.logged());
}

/// What does not fit is said once, and what fits serves.
#[tokio::test]
async fn a02_what_never_fits_is_said() {
    let server = Server::start(&[
        ("it_wsh.rhai", &using("v0")),
        ("v0.rhai", &module("0")),
        ("other_wsh.rhai", &answering("0")),
    ])
    .await;
    let mut client = connect(server.url("/it")).await;
    let mut other = connect(server.url("/other")).await;
    server.write("it_wsh.rhai", using("v1"));
    server.write("other_wsh.rhai", answering("1"));
    other.until_answer("1").await;
    server.broken("it_wsh.rhai").await;
    client.until_answer("0").await;
    server.write("other_wsh.rhai", answering("2"));
    other.until_answer("2").await;
    assert_eq!(server.count("handler broken"), 1, "{}", server.logged());
    server.write("v1.rhai", module("1"));
    client.until_answer("1").await;
}

/// 40 handlers and their module, written one after the other as by a checkout, while they are
/// spoken to.
#[tokio::test]
async fn a02_a_checkout_of_many_files() {
    const HANDLERS: usize = 40;
    const CHECKOUTS: usize = 3;
    let mut builder = Server::builder().file("v0.rhai", module("0"));
    for number in 0..HANDLERS {
        builder = builder.file(&format!("h{number}_wsh.rhai"), using("v0"));
    }
    let server = builder.start().await;
    let mut talks = JoinSet::new();
    for number in 0..HANDLERS {
        let mut client = connect(server.url(&format!("/h{number}"))).await;
        talks.spawn(async move {
            let mut last = 0;
            while last < CHECKOUTS {
                client.send_text("?").await;
                let version = client.next_text().await.parse().expect("a version");
                assert!(version >= last, "back from {last} to {version}");
                last = version;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }
    for version in 1..=CHECKOUTS {
        // As git does: what is gone first, then the rest in the order of names, here with the
        // processor elsewhere.
        server.remove(&format!("v{}.rhai", version - 1));
        for number in 0..HANDLERS {
            server.write(
                &format!("h{number}_wsh.rhai"),
                using(&format!("v{version}")),
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        server.write(&format!("v{version}.rhai"), module(&version.to_string()));
        let mut witness = connect(server.url("/h0")).await;
        witness.until_answer(&version.to_string()).await;
    }
    within("everybody to see the last version", talks.join_all()).await;
    assert_eq!(server.count("script fault"), 0, "{}", server.logged());
}

/// Versions count for each file, also for one that comes back.
#[tokio::test]
async fn versions_count_for_each_file() {
    let faulty = |number: u32| format!("fn transfer_data(ws, message) {{ throw \"{number}\"; }}\n");
    let mut files = vec![("it_wsh.rhai".to_owned(), faulty(1))];
    files.extend((0..20).map(|number| (format!("h{number}_wsh.rhai"), ECHO.to_owned())));
    let files: Vec<_> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let server = Server::start(&files).await;
    let faults = async |version: u32| {
        let mut client = connect(server.url("/it")).await;
        client.send_text("?").await;
        server
            .log(["script fault", &format!("version={version}")])
            .await;
    };
    faults(1).await;
    server.write("it_wsh.rhai", faulty(2));
    server.log(["handler reloaded", "it_wsh.rhai"]).await;
    faults(2).await;
    server.write("it_wsh.rhai", "fn transfer_data(");
    server.broken("it_wsh.rhai").await;
    server.remove("it_wsh.rhai");
    server.log(["handler removed", "it_wsh.rhai"]).await;
    server.write("it_wsh.rhai", faulty(3));
    server.log(["handler added", "it_wsh.rhai"]).await;
    faults(3).await;
}

/// The first mistake of somebody: the tutorial's folder, the suffix forgotten, capitals.
#[tokio::test]
async fn no_handler_is_explained() {
    let builder = Server::builder()
        .file(
            "echo_wsh.py",
            "def web_socket_transfer_data(request): pass\n",
        )
        .file("echo.rhai", ECHO)
        .file("Talk_WSH.rhai", ECHO);
    let server = builder.start().await;
    let said = server.log(["WARN", "no handler in "]).await;
    for part in [
        "a handler is NAME_wsh.rhai",
        "echo_wsh.py (a pywebsocket handler: see docs/from-pywebsocket.md)",
        "echo.rhai (a module; rename it to echo_wsh.rhai to serve it)",
        "rename it to Talk_wsh.rhai",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // And when the last one goes.
    for _ in 0..2 {
        server.write("new_wsh.rhai", ECHO);
        server.log(["handler added", "new_wsh.rhai"]).await;
        server.remove("new_wsh.rhai");
        server.log(["WARN", "no handler in "]).await;
    }

    for command in ["check", "routes"] {
        let found = Server::builder()
            .bare()
            .file("echo.rhai", ECHO)
            .args([command, "-w", "."])
            .run()
            .await;
        let said = format!("{}{}", found.stdout, found.stderr);
        assert!(
            said.contains("no handler in .: a handler is NAME_wsh.rhai"),
            "{command}: {said}"
        );
    }
}

/// A pipe in the place of a handler, a module or the map file stops nobody, is said, and so is what
/// comes after it.
#[tokio::test]
async fn c03_pipes_in_the_place_of_files() {
    let server = Server::builder()
        .file("it_wsh.rhai", using("lib"))
        .file("lib.rhai", module("0"))
        .file("other_wsh.rhai", answering("0"))
        .file("map", "/alias /other\n")
        .args(["-m", "map"])
        .start()
        .await;
    let mut other = connect(server.url("/other")).await;
    let mut client = connect(server.url("/it")).await;
    let pipe = |name: &str| {
        server.remove(name);
        make_pipe(&server.dir().join(name));
    };
    for (round, name) in ["it_wsh.rhai", "lib.rhai", "map"].iter().enumerate() {
        let good = fs::read(server.dir().join(name)).expect("a good file");
        pipe(name);
        if *name == "lib.rhai" {
            server.log("handler broken").await;
            server.until_logged(&["it is a pipe or socket"]).await;
        } else {
            server.log(["WARN", name, "a pipe or socket"]).await;
        }
        // The others are read, what was loaded serves.
        let version = (2 * round + 1).to_string();
        server.write("other_wsh.rhai", answering(&version));
        other.until_answer(&version).await;
        client.until_answer("0").await;
        assert_eq!(server.status("/alias").await, 101);
        assert_eq!(server.status("/it").await, 101);

        server.replace(name, good);
        match *name {
            "it_wsh.rhai" => server.log(["INFO", "no longer", name]).await,
            "lib.rhai" => server.log(["handler reloaded", "it_wsh.rhai"]).await,
            _ => server.log(["INFO", "map", "can be read again"]).await,
        };
        let version = (2 * round + 2).to_string();
        server.write("other_wsh.rhai", answering(&version));
        other.until_answer(&version).await;
    }
    server.write("map", "/second /other\n");
    server.until_status("/second", 101).await;
    server.until_status("/alias", 404).await;
}

/// The map file saved in place, in pieces: no alias is away meanwhile.
#[tokio::test]
async fn a_map_file_is_not_taken_by_halves() {
    let server = Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .file("map", "/one /echo\n/two /echo\n")
        .args(["-m", "map"])
        .start()
        .await;
    server.write("map", "");
    let end = tokio::time::Instant::now() + Duration::from_millis(100);
    while tokio::time::Instant::now() < end {
        server.write("nudge", "");
        assert_eq!(server.status("/two").await, 101);
    }
    server.write("map", "/one /echo\n/two /echo\n/three /echo\n");
    server.until_status("/three", 101).await;
    assert_eq!(server.status("/two").await, 101);
}

/// What reads for ever, or never, behind a link that is allowed.
#[tokio::test]
async fn b07_links_to_what_cannot_be_read() {
    let outside = tempfile::tempdir().expect("a temporary folder");
    make_pipe(&outside.path().join("pipe"));
    let builder = Server::builder()
        .file("echo_wsh.rhai", answering("0"))
        .arg("--allow-handlers-outside-root-dir");
    for (name, target) in [
        ("pipe_wsh.rhai", outside.path().join("pipe")),
        ("null_wsh.rhai", "/dev/zero".into()),
        ("kernel_wsh.rhai", "/proc/kmsg".into()),
        ("memory_wsh.rhai", "/proc/self/mem".into()),
    ] {
        symlink(target, builder.dir().join(name)).expect("a link");
    }
    let server = builder.start().await;
    let mut client = connect(server.url("/echo")).await;
    for version in ["1", "2", "3"] {
        server.write("echo_wsh.rhai", answering(version));
        client.until_answer(version).await;
    }
    server
        .until_logged(&["pipe_wsh.rhai is not served", "null_wsh.rhai is not served"])
        .await;
}

/// Names that no path can have are said, and nothing of them reaches the terminal as it is.
#[tokio::test]
async fn b07_names_that_cannot_be_served() {
    let builder = Server::builder().file("echo_wsh.rhai", ECHO);
    let names: [&[u8]; 6] = [
        b"back\\slash_wsh.rhai",
        b"line\nbreak_wsh.rhai",
        b"esc\x1b[31m_wsh.rhai",
        b"caf\xe9_wsh.rhai",
        "turn\u{202e}ed_wsh.rhai".as_bytes(),
        b"module\n.rhai",
    ];
    for name in names {
        fs::write(builder.dir().join(OsStr::from_bytes(name)), ECHO).expect("write");
    }
    let folder = builder.dir().join(OsStr::from_bytes(b"fol\xffder"));
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("in_wsh.rhai"), ECHO).expect("write");
    let server = builder.start().await;
    for shown in [
        r"back\\slash_wsh.rhai",
        r"line\nbreak_wsh.rhai",
        r"[31m_wsh.rhai",
        r"caf\xE9_wsh.rhai",
        r"turn\u{202e}ed_wsh.rhai",
        r"module\n.rhai",
        r"fol\xFFder",
    ] {
        let line = server.log(["WARN", shown, "is passed over"]).await;
        assert!(!line.contains(['\u{1b}', '\u{202e}']), "{line:?}");
    }
    assert_eq!(server.status("/echo").await, 101);
    let table = server.printed("ready: ").await;
    assert!(table.contains("1 handler "), "{table}");
}

/// A subfolder that cannot be looked into is not deleted. A link that leads to itself is one, for
/// root as well.
#[tokio::test]
async fn c08_a_folder_that_cannot_be_read_goes_on_serving() {
    let builder = Server::builder()
        .file(".real/deep/it_wsh.rhai", answering("0"))
        .file("echo_wsh.rhai", answering("0"));
    let (sub, next) = (builder.dir().join("sub"), builder.dir().join(".next"));
    // Renamed over, because what is away for a moment is deleted on a machine that is busy enough.
    let turn = |target: &str| {
        symlink(target, &next).expect("a link");
        fs::rename(&next, &sub).expect("turn the link");
    };
    turn(".real");
    let server = builder.start().await;
    let mut client = connect(server.url("/sub/deep/it")).await;
    let mut echo = connect(server.url("/echo")).await;
    for round in 1..=2 {
        turn("sub");
        server.log(["WARN", "sub cannot be looked into"]).await;
        let version = round.to_string();
        server.write("echo_wsh.rhai", answering(&version));
        echo.until_answer(&version).await;
        client.until_answer(&(round - 1).to_string()).await;
        assert_eq!(server.status("/sub/deep/it").await, 101);

        turn(".real");
        server
            .log(["INFO", "no longer: sub cannot be looked into"])
            .await;
        server.write(".real/deep/it_wsh.rhai", answering(&version));
        client.until_answer(&version).await;
    }
    assert_eq!(server.count("handler removed"), 0, "{}", server.logged());
}

/// Each outage of the root is said, and each return.
#[tokio::test]
async fn c09_every_outage_is_said() {
    let builder = Server::builder().bare().file("root/echo_wsh.rhai", ECHO);
    let server = builder.args(["-p", "0", "-w", "root"]).start().await;
    let (root, away) = (server.dir().join("root"), server.dir().join("away"));
    for _ in 0..3 {
        fs::rename(&root, &away).expect("away");
        server.log(["WARN", "root", "goes on serving"]).await;
        assert_eq!(server.status("/echo").await, 101);
        fs::rename(&away, &root).expect("back");
        server.log(["INFO", "root", "can be read again"]).await;
    }
    assert_eq!(server.count("handler removed"), 0, "{}", server.logged());
}

/// Folders deep inside each other are looked into as far as anybody needs, and cost nobody anything
/// beyond.
#[tokio::test]
async fn c05_folders_deep_inside_each_other() {
    let builder = Server::builder().file("echo_wsh.rhai", ECHO);
    let deep = "d/".repeat(60);
    let builder = builder.file(&format!("{deep}deep_wsh.rhai"), answering("deep"));
    let bottom = builder.dir().join("d/".repeat(500));
    fs::create_dir_all(bottom).expect("500 folders");
    let server = builder.start().await;
    server.until_answer(&format!("/{deep}deep"), "deep").await;
    let said = server.log(["WARN", "is not looked into"]).await;
    assert!(said.contains("64 deep"), "{said}");
    server.write("new_wsh.rhai", answering("new"));
    server.until_answer("/new", "new").await;
    assert_eq!(server.count("is not looked into"), 1);
}

/// The built-in pages come before what handlers below their address say to a browser.
#[tokio::test]
async fn a_folder_of_the_pages_name_is_warned_of() {
    let files = [("_wsh/mine_wsh.rhai", ECHO), ("wsh/mine_wsh.rhai", ECHO)];
    let server = Server::start(&files).await;
    let line = server.log(["WARN", "_wsh/mine_wsh.rhai"]).await;
    assert!(line.contains("rename the folder"), "{line}");
    Raw::open(&server, "/_wsh/mine").await.echoes(1).await;
    assert_eq!(server.count("rename the folder"), 1, "{}", server.logged());
}
