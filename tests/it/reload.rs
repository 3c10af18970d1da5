//! Hot reload: the hazards W01 to W22 of a folder that people and programs edit while it serves.
//! Each test does what an editor or a tool does, and waits for the answer that shows the new code.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;

use crate::support::{Client, ECHO, Server, answering, connect, within};

#[tokio::test]
async fn w01_saved_in_place_in_pieces() {
    let server = Server::start(&[("echo_wsh.rhai", &answering("0"))]).await;
    let mut client = connect(server.url("/echo")).await;
    let mut last = 0;
    for version in 1..=5 {
        let code = answering(&version.to_string());
        let mut file = fs::File::create(server.dir().join("echo_wsh.rhai")).expect("truncate");
        for piece in code.as_bytes().chunks(7) {
            file.write_all(piece).expect("write a piece");
            // A round trip between two pieces: whatever the server makes of the half file, it
            // answers.
            client.send_text("?").await;
            let answer: u32 = client.next_text().await.parse().expect("a version");
            assert!(
                (last..=version).contains(&answer),
                "{answer} of a half file"
            );
            last = answer;
        }
        drop(file);
        client.until_answer(&version.to_string()).await;
        last = version;
    }
}

#[tokio::test]
async fn w01_left_half_written_for_long() {
    let server = Server::start(&[("echo_wsh.rhai", &answering("old"))]).await;
    let mut client = connect(server.url("/echo")).await;
    let code = answering("new");
    let path = server.dir().join("echo_wsh.rhai");

    // Long enough to be taken for finished: first empty, then half.
    let mut file = fs::File::create(&path).expect("truncate");
    server.broken("echo_wsh.rhai").await;
    client.send_text("?").await;
    assert_eq!(client.next_text().await, "old");
    file.write_all(&code.as_bytes()[..40])
        .expect("write a half");
    server.broken("echo_wsh.rhai").await;
    client.send_text("?").await;
    assert_eq!(client.next_text().await, "old");
    assert_eq!(server.status("/echo").await, 101);

    file.write_all(&code.as_bytes()[40..])
        .expect("write the rest");
    client.until_answer("new").await;
}

/// An editor that is held up between cutting a file to nothing and writing it: longer than a file
/// must stand still.
#[tokio::test]
async fn w01_cut_to_nothing_before_it_is_written() {
    let module = "fn name() { \"V\" }\n";
    let server = Server::start(&[
        (
            "it_wsh.rhai",
            "import \"lib\" as lib;\nfn transfer_data(ws, message) { ws.send(lib::name()); }\n",
        ),
        ("lib.rhai", &module.replace('V', "old")),
    ])
    .await;
    let mut client = connect(server.url("/it")).await;
    client.until_answer("old").await;
    for name in ["new", "newer"] {
        server.write("lib.rhai", "");
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.write("lib.rhai", module.replace('V', name));
        client.until_answer(name).await;
    }
    assert_eq!(server.count("handler broken"), 0);
    assert_eq!(server.count("script fault"), 0);
}

#[tokio::test]
async fn w02_renamed_over_is_one_reload() {
    let server = Server::start(&[("echo_wsh.rhai", &answering("1"))]).await;
    let mut client = connect(server.url("/echo")).await;
    server.replace("echo_wsh.rhai", answering("2"));
    client.until_answer("2").await;
    settle(&server, "").await;
    assert_eq!(server.count(["handler reloaded", "echo_wsh.rhai"]), 1);
    assert_eq!(server.count("handler removed"), 0);
    assert_eq!(server.count("handler broken"), 0);
    assert_eq!(server.status("/echo_wsh.rhai").await, 404);
}

#[tokio::test]
async fn w03_backup_renamed_like_vim() {
    let server = Server::start(&[("echo_wsh.rhai", &answering("0"))]).await;
    let mut client = connect(server.url("/echo")).await;
    for version in 1..=10 {
        save_like_vim(
            &server.dir().join("echo_wsh.rhai"),
            &answering(&version.to_string()),
        );
        assert_eq!(server.status("/echo").await, 101);
        client.until_answer(&version.to_string()).await;
    }
    settle(&server, "").await;
    assert_eq!(server.count("handler removed"), 0);
}

#[tokio::test]
async fn w04_droppings_of_editors() {
    let server = Server::start(&[("echo_wsh.rhai", &answering("1"))]).await;
    let mut client = connect(server.url("/echo")).await;
    let droppings = [
        "4913",
        ".echo_wsh.rhai.swp",
        ".echo_wsh.rhai.swx",
        "echo_wsh.rhai~",
        "#echo_wsh.rhai#",
        "echo_wsh.rhai___jb_tmp___",
        "echo_wsh.rhai___jb_old___",
        "echo_wsh.rhai.tmp",
        "echo_wsh.rhai.bak",
        ".goutputstream-X1Y2Z3",
        ".hidden_wsh.rhai",
        "~temporary_wsh.rhai",
        ".git/hook_wsh.rhai",
    ];
    for name in droppings {
        server.write(name, answering("dropping"));
    }
    // The lock of Emacs: a link that leads nowhere.
    let lock = server.dir().join(".#echo_wsh.rhai");
    symlink("somebody@example.4242", &lock).expect("a link");
    settle(&server, "").await;

    client.send_text("?").await;
    assert_eq!(client.next_text().await, "1");
    for path in [
        "/4913",
        "/.hidden",
        "/~temporary",
        "/.git/hook",
        "/.%23echo",
    ] {
        assert_eq!(server.status(path).await, 404, "{path}");
    }
    for name in droppings {
        server.remove(name);
    }
    fs::remove_file(lock).expect("remove the link");
    settle(&server, "").await;
    for line in ["handler reloaded", "handler removed", "handler broken"] {
        assert_eq!(server.count(line), 0, "{}", server.logged());
    }
    assert_eq!(
        server.count("handler added"),
        server.count(["handler added", "barrier"])
    );
}

#[tokio::test]
async fn w05_a_broken_save_keeps_the_last_good_version() {
    let server = Server::start(&[("echo_wsh.rhai", &answering("1"))]).await;
    let mut client = connect(server.url("/echo")).await;
    server.replace(
        "echo_wsh.rhai",
        "fn transfer_data(ws, message) {\n    ws.send(;\n}\n",
    );
    server.broken("echo_wsh.rhai").await;
    server
        .until_logged(&["echo_wsh.rhai:2:13", "ws.send(;", "^"])
        .await;

    client.send_text("?").await;
    assert_eq!(client.next_text().await, "1");
    let mut newcomer = connect(server.url("/echo")).await;
    newcomer.send_text("?").await;
    assert_eq!(newcomer.next_text().await, "1");

    settle(&server, "").await;
    assert_eq!(server.count("handler broken"), 1, "a fault is told once");
    server.replace("echo_wsh.rhai", answering("2"));
    client.until_answer("2").await;
    newcomer.until_answer("2").await;
}

/// A name that exists nowhere is as broken as a bracket that is not closed: whoever is connected
/// goes on with the last good version, and loses no message.
#[tokio::test]
async fn a01_a_wrong_call_does_not_serve() {
    let module = "fn v(n) { n }\nexport const LIMIT = 1;\n";
    let good = |answer: &str| {
        format!(
            "import \"lib/v\" as v;\nconst A = 1;\nfn transfer_data(ws, message) {{\n    \
             reply(ws, `{answer}${{v::v(message)}}`);\n}}\nfn reply(ws, text) {{\n    \
             ws.send(text);\n}}\n"
        )
    };
    let server = Server::start(&[("lib/v.rhai", module), ("it_wsh.rhai", &good("1"))]).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(connect(server.url("/it")).await);
    }
    for (line, place, nearest) in [
        ("ws.sned(message);", "it_wsh.rhai:4:8", "ws.send"),
        ("let x = to_jsn(message);", "it_wsh.rhai:4:13", "to_json"),
        ("ws.send();", "it_wsh.rhai:4:8", "ws.send(text: string)"),
        ("v::vv();", "it_wsh.rhai:4:8", "v::v"),
        ("v::v();", "it_wsh.rhai:4:8", "v::v(n)"),
        ("v::LIMITS;", "it_wsh.rhai:4:5", "export const"),
        ("global::B;", "it_wsh.rhai:4:5", "const B"),
        ("reply(ws);", "it_wsh.rhai:4:5", "reply(ws, text)"),
        ("rply(ws, message);", "it_wsh.rhai:4:5", "reply"),
        ("ws.pth;", "it_wsh.rhai:4:8", "ws.path"),
    ] {
        let code = good("2").replacen("    reply", &format!("    {line}\n    reply"), 1);
        server.replace("it_wsh.rhai", &code);
        server.log("handler broken").await;
        server.until_logged(&[place, line, "^", nearest]).await;
        for client in &mut clients {
            client.send_text("?").await;
            assert_eq!(client.next_text().await, "1?", "{line}");
        }
    }
    let mut newcomer = connect(server.url("/it")).await;
    newcomer.send_text("?").await;
    assert_eq!(newcomer.next_text().await, "1?");
    server.replace("it_wsh.rhai", good("3"));
    for client in clients.iter_mut().chain([&mut newcomer]) {
        client.until_answer("3?").await;
    }
    assert_eq!(server.count("script fault"), 0, "{}", server.logged());
}

#[tokio::test]
async fn w05_undone_to_the_very_same_text() {
    let server = Server::start(&[("echo_wsh.rhai", &answering("1"))]).await;
    let mut client = connect(server.url("/echo")).await;
    server.replace("echo_wsh.rhai", "fn transfer_data(ws, message) {");
    server.broken("echo_wsh.rhai").await;
    server.replace("echo_wsh.rhai", answering("1"));
    settle(&server, "").await;
    client.until_answer("1").await;
    // The next mistake must be told again, though the text between was an old one.
    server.replace("echo_wsh.rhai", "fn transfer_data(ws, message) {");
    server.broken("echo_wsh.rhai").await;
}

#[tokio::test]
async fn w06_first_version_broken_at_the_start() {
    let server = Server::start(&[("echo_wsh.rhai", "fn transfer_data(")]).await;
    server.broken("echo_wsh.rhai").await;
    assert_eq!(server.status("/echo").await, 500);
    server.replace("echo_wsh.rhai", answering("1"));
    server.until_answer("/echo", "1").await;
}

#[tokio::test]
async fn w06_first_version_broken_while_serving() {
    let server = Server::start(&[("other_wsh.rhai", ECHO)]).await;
    assert_eq!(server.status("/echo").await, 404);
    server.write("echo_wsh.rhai", "fn transfer_data(ws, message) { let }");
    server.until_status("/echo", 500).await;
    server.broken("echo_wsh.rhai").await;
    server.remove("echo_wsh.rhai");
    server.until_status("/echo", 404).await;
}

#[tokio::test]
async fn w06_no_transfer_data_is_broken_too() {
    let server = Server::start(&[("echo_wsh.rhai", "fn on_open(ws) { }\n")]).await;
    server.broken("echo_wsh.rhai").await;
    server.until_logged(&["transfer_data"]).await;
    assert_eq!(server.status("/echo").await, 500);
}

#[tokio::test]
async fn w07_a_fault_at_the_top_level() {
    let server = Server::start(&[("echo_wsh.rhai", &answering("1"))]).await;
    let mut client = connect(server.url("/echo")).await;
    let faulty = [
        "const LIMIT = [1, 2][7];\n",
        "throw \"not today\";\n",
        "loop {}\n",
    ];
    for start in faulty {
        server.replace("echo_wsh.rhai", format!("{start}{}", answering("faulty")));
        server.broken("echo_wsh.rhai").await;
        client.send_text("?").await;
        assert_eq!(client.next_text().await, "1", "after {start}");
        assert_eq!(server.status("/echo").await, 101);
    }
    // Without a version before it, such a handler is one that cannot answer.
    server.write("new_wsh.rhai", format!("throw 1;\n{}", answering("faulty")));
    server.until_status("/new", 500).await;
}

#[tokio::test]
async fn w08_deleted_under_a_live_connection() {
    let code = "fn transfer_data(ws, message) {\n    \
                if this.n == () { this.n = 0; }\n    \
                this.n += 1;\n    \
                ws.send(`${this.n}`);\n}\n\
                fn on_close(ws, code, reason, was_clean) {\n    \
                print(`ended after ${this.n}`);\n}\n";
    let server = Server::start(&[("count_wsh.rhai", code)]).await;
    let mut client = connect(server.url("/count")).await;
    client.until_answer("1").await;
    server.remove("count_wsh.rhai");
    server.log(["handler removed", "count_wsh.rhai"]).await;
    server.until_status("/count", 404).await;
    client.until_answer("2").await;
    assert_eq!(client.close(1000, "").await.0, 1000);
    server.log("ended after 2").await;

    server.write("count_wsh.rhai", answering("back"));
    server.until_answer("/count", "back").await;
}

#[tokio::test]
async fn w08_deleted_and_recreated_by_the_editor() {
    let server = Server::start(&[("echo_wsh.rhai", &answering("1"))]).await;
    let mut client = connect(server.url("/echo")).await;
    for version in 2..=5 {
        server.remove("echo_wsh.rhai");
        server.write("echo_wsh.rhai", answering(&version.to_string()));
        client.until_answer(&version.to_string()).await;
    }
}

#[tokio::test]
async fn w09_file_renamed() {
    // One worker, so that one publication is one moment.
    let server = Server::builder()
        .workers(1)
        .file("old_wsh.rhai", answering("1"))
        .start()
        .await;
    let mut client = connect(server.url("/old")).await;
    rename(&server, "old_wsh.rhai", "new_wsh.rhai");
    server.until_status("/new", 101).await;
    assert_eq!(server.status("/old").await, 404, "both are one publication");
    client.until_answer("1").await;
}

#[tokio::test]
async fn w09_folder_renamed() {
    let server = Server::builder()
        .workers(1)
        .file("old/deep/one_wsh.rhai", answering("1"))
        .file("old/two_wsh.rhai", answering("2"))
        .start()
        .await;
    let mut client = connect(server.url("/old/two")).await;
    rename(&server, "old", "new");
    server.until_status("/new/deep/one", 101).await;
    assert_eq!(server.status("/new/two").await, 101);
    for path in ["/old/two", "/old/deep/one"] {
        assert_eq!(server.status(path).await, 404, "{path}");
    }
    client.until_answer("2").await;
    // The folder is followed under its new name.
    server.write("new/two_wsh.rhai", answering("3"));
    server.until_answer("/new/two", "3").await;
}

#[tokio::test]
async fn w10_watched_root_renamed() {
    let server = rooted(&answering("1")).await;
    let mut client = connect(server.url("/echo")).await;
    rename(&server, "root", "elsewhere");
    client.send_text("?").await;
    assert_eq!(client.next_text().await, "1");

    server.write("root/echo_wsh.rhai", answering("2"));
    client.until_answer("2").await;
    server.write("root/echo_wsh.rhai", answering("3"));
    client.until_answer("3").await;

    // The folder that went away is nobody's any more.
    server.write("elsewhere/echo_wsh.rhai", answering("4"));
    settle(&server, "root/").await;
    client.send_text("?").await;
    assert_eq!(client.next_text().await, "3");
}

#[tokio::test]
async fn w10_watched_root_renamed_away_and_back() {
    let server = rooted(&answering("1")).await;
    let mut client = connect(server.url("/echo")).await;
    rename(&server, "root", "elsewhere");
    server.write("elsewhere/echo_wsh.rhai", answering("2"));
    rename(&server, "elsewhere", "root");
    client.until_answer("2").await;
    server.write("root/echo_wsh.rhai", answering("3"));
    client.until_answer("3").await;
}

#[tokio::test]
async fn w10_root_is_a_link_that_a_deployment_turns() {
    let builder = Server::builder()
        .bare()
        .file("releases/1/echo_wsh.rhai", answering("1"))
        .file("releases/2/echo_wsh.rhai", answering("2"));
    symlink("releases/1", builder.dir().join("current")).expect("a link");
    let server = builder.args(["-p", "0", "-w", "current"]).start().await;
    let mut client = connect(server.url("/echo")).await;
    client.until_answer("1").await;

    symlink("releases/2", server.dir().join("next")).expect("a link");
    rename(&server, "next", "current");
    client.until_answer("2").await;
    server.write("releases/2/echo_wsh.rhai", answering("3"));
    client.until_answer("3").await;
}

#[tokio::test]
async fn w11_watched_root_deleted_and_recreated() {
    let server = rooted(&answering("1")).await;
    let mut client = connect(server.url("/echo")).await;
    let root = server.dir().join("root");
    for version in ["2", "3"] {
        fs::remove_dir_all(&root).expect("delete the root");
        client.send_text("?").await;
        client.next_text().await;
        server.write("root/echo_wsh.rhai", answering(version));
        client.until_answer(version).await;
        server.until_status("/echo", 101).await;
    }
    server.write("root/sub/late_wsh.rhai", answering("late"));
    server.until_status("/sub/late", 101).await;
}

#[tokio::test]
async fn w12_new_folder_and_file_at_once() {
    let server = Server::builder()
        .workers(1)
        .file("echo_wsh.rhai", ECHO)
        .start()
        .await;
    for round in 0..20 {
        server.write(&format!("new{round}/deep/er_wsh.rhai"), ECHO);
    }
    for round in 0..20 {
        server
            .until_status(&format!("/new{round}/deep/er"), 101)
            .await;
    }
    // And they are watched from then on.
    let mut client = connect(server.url("/new7/deep/er")).await;
    server.write("new7/deep/er_wsh.rhai", answering("edited"));
    client.until_answer("edited").await;
}

#[tokio::test]
async fn w13_mass_change() {
    const FILES: usize = 3_000;
    // One worker, so that one publication is one moment.
    let server = Server::builder()
        .workers(1)
        .file("echo_wsh.rhai", ECHO)
        .start()
        .await;
    let mut beside = connect(server.url("/echo")).await;
    let checkout = tempfile::tempdir().expect("a temporary folder");
    write_many(checkout.path(), FILES, "1");

    // Moved into the root they come all at once, so they are published all at once.
    let target = server.dir().join("many");
    fs::rename(checkout.path().join("many"), &target).expect("move the folder");
    server.until_status("/many/0/0", 101).await;
    for path in ["/many/1/1", "/many/9/1509", "/many/9/2999"] {
        assert_eq!(server.status(path).await, 101, "{path}");
    }
    beside.echoes(10).await;

    // Rewritten one by one while they are served, as by a checkout of another branch.
    let mut first = connect(server.url("/many/0/0")).await;
    let mut last = connect(server.url("/many/9/2999")).await;
    first.until_answer("1").await;
    write_many(server.dir(), FILES, "2");
    last.until_answer("2").await;
    first.until_answer("2").await;
    beside.echoes(10).await;

    fs::remove_dir_all(&target).expect("delete the folder");
    server.until_status("/many/9/2999", 404).await;
    last.until_answer("2").await;
    beside.echoes(10).await;
}

#[tokio::test]
async fn w16_target_of_a_link_edited() {
    let outside = tempfile::tempdir().expect("a temporary folder");
    let target = outside.path().join("real.rhai");
    fs::write(&target, answering("1")).expect("write the target");
    let builder = Server::builder().arg("--allow-handlers-outside-root-dir");
    symlink(&target, builder.dir().join("link_wsh.rhai")).expect("a link");
    let server = builder.start().await;
    let mut client = connect(server.url("/link")).await;
    client.until_answer("1").await;

    // Nothing happens in the watched folder: only looking finds these two.
    fs::write(&target, answering("2")).expect("edit the target");
    client.until_answer("2").await;
    save_like_vim(&target, &answering("3"));
    client.until_answer("3").await;

    let other = outside.path().join("other.rhai");
    fs::write(&other, answering("4")).expect("write another target");
    symlink(&other, server.dir().join("next")).expect("a link");
    rename(&server, "next", "link_wsh.rhai");
    client.until_answer("4").await;
}

#[tokio::test]
async fn w17_same_size_and_same_time() {
    let builder = Server::builder().file("echo_wsh.rhai", answering("a"));
    let path = builder.dir().join("echo_wsh.rhai");
    // A round number of seconds, long ago: what `rsync -t`, FAT and archives leave.
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    set_modified(&path, old);
    let server = builder.start().await;
    let mut client = connect(server.url("/echo")).await;
    client.until_answer("a").await;

    server.write("echo_wsh.rhai", answering("b"));
    set_modified(&path, old);
    client.until_answer("b").await;

    let beside = server.dir().join("beside");
    fs::write(&beside, answering("c")).expect("write");
    set_modified(&beside, old);
    fs::rename(&beside, &path).expect("rename over");
    client.until_answer("c").await;

    server.write("echo_wsh.rhai", answering("d"));
    client.until_answer("d").await;
    let recent = fs::metadata(&path)
        .and_then(|data| data.modified())
        .expect("a time");
    server.write("echo_wsh.rhai", answering("e"));
    set_modified(&path, recent);
    client.until_answer("e").await;
}

#[tokio::test]
async fn w18_saved_every_20_ms() {
    let saves: [fn(&Server, &str); 2] = [
        |server, text| server.replace("echo_wsh.rhai", answering(text)),
        |server, text| server.write("echo_wsh.rhai", answering(text)),
    ];
    for save in saves {
        let server = Server::start(&[("echo_wsh.rhai", &answering("0"))]).await;
        let mut client = connect(server.url("/echo")).await;
        let (mut written, mut seen) = (0, BTreeSet::from([0]));
        // The storm lasts until it has shown new code twice: the wait for calm must have an end.
        within("new code in the middle of a storm", async {
            let mut interval = tokio::time::interval(Duration::from_millis(20));
            while seen.len() < 3 {
                interval.tick().await;
                written += 1;
                save(&server, &written.to_string());
                client.send_text("?").await;
                let answer: u32 = client.next_text().await.parse().expect("a version");
                assert!(Some(&answer) >= seen.last() && answer <= written);
                seen.insert(answer);
            }
        })
        .await;
        client.until_answer(&written.to_string()).await;
        assert_eq!(server.status("/echo").await, 101);
    }
}

#[tokio::test]
async fn w19_a_slow_compile_holds_up_nobody() {
    let server = Server::start(&[("echo_wsh.rhai", ECHO)]).await;
    let mut client = connect(server.url("/echo")).await;
    // Declarations in one block compile in quadratic time.
    let slow = |lines: usize| {
        let lines: String = (0..lines).map(|n| format!("    let v{n} = 1;\n")).collect();
        format!("fn transfer_data(ws, message) {{\n{lines}}}\n")
    };
    server.write("huge_wsh.rhai", slow(40_000));
    client.echoes(50).await;
    server.broken("huge_wsh.rhai").await;
    assert_eq!(server.status("/huge").await, 500);
    server.write("slow_wsh.rhai", slow(4_000));
    client.echoes(50).await;
    server.write("echo_wsh.rhai", answering("new"));
    client.until_answer("new").await;
}

#[tokio::test]
async fn w20_a_shared_module_edited_is_one_publication() {
    const HANDLERS: usize = 10;
    let module = |version: u32| format!("fn version() {{ \"{version}\" }}\n");
    let user = "import \"lib/shared\" as common;\n\
                fn transfer_data(ws, message) {\n    \
                ws.send(common::version());\n}\n";
    // One worker, so that one publication is one moment.
    let mut builder = Server::builder()
        .workers(1)
        .file("lib/shared.rhai", module(0))
        .file("beside_wsh.rhai", ECHO);
    for number in 0..HANDLERS {
        builder = builder.file(&format!("user{number}_wsh.rhai"), user);
    }
    let server = builder.start().await;
    let mut clients = Vec::new();
    for number in 0..HANDLERS {
        clients.push(connect(server.url(&format!("/user{number}"))).await);
    }
    for version in 1..=5 {
        server.write("lib/shared.rhai", module(version));
        let first = version as usize % HANDLERS;
        clients[first].until_answer(&version.to_string()).await;
        for client in &mut clients {
            client.send_text("?").await;
            assert_eq!(client.next_text().await, version.to_string());
        }
    }
    settle(&server, "").await;
    assert_eq!(server.count(["handler reloaded", "user3_wsh.rhai"]), 5);
    assert_eq!(server.count(["handler reloaded", "beside_wsh.rhai"]), 0);
}

#[tokio::test]
async fn w21_unreadable_keeps_the_last_good_version() {
    let server = Server::start(&[("echo_wsh.rhai", &answering("1"))]).await;
    let mut client = connect(server.url("/echo")).await;
    // A missing permission does not stop root, who runs most CI; bytes that are no text stop
    // anybody.
    server.replace(
        "echo_wsh.rhai",
        b"fn transfer_data(ws, message) { ws.send(\"\xff\xfe\"); }",
    );
    server.broken("echo_wsh.rhai").await;
    client.send_text("?").await;
    assert_eq!(client.next_text().await, "1");
    server.replace("echo_wsh.rhai", answering("2"));
    client.until_answer("2").await;
}

#[tokio::test]
async fn w22_connections_follow_the_edit_from_their_first_hook() {
    const RELOADS: u32 = 20;
    let both = |version: u32| {
        format!(
            "fn on_open(ws) {{\n    ws.send(\"{version}\");\n}}\n{}",
            answering(&version.to_string())
        )
    };
    let server = Server::start(&[("echo_wsh.rhai", &both(0))]).await;
    let url = server.url("/echo");
    let handshakes = tokio::spawn(async move {
        let mut last = 0;
        while last < RELOADS {
            let mut client = connect(&url).await;
            let opened: u32 = client.next_text().await.parse().expect("a version");
            client.send_text("?").await;
            let answered: u32 = client.next_text().await.parse().expect("a version");
            assert!(
                opened <= answered,
                "{opened} at the opening, then {answered}"
            );
            last = answered;
            client.close(1000, "").await;
        }
    });
    for version in 1..=RELOADS {
        server.replace("echo_wsh.rhai", both(version));
        server.log(["handler reloaded", "echo_wsh.rhai"]).await;
    }
    within("a connection on the last code", handshakes)
        .await
        .expect("no panic");
}

#[tokio::test]
async fn state_survives_a_reload() {
    let counting = |label: &str| {
        format!(
            "const LABEL = \"{label}\";\n\
             fn on_open(ws) {{ this.n = 0; }}\n\
             fn transfer_data(ws, message) {{\n    \
             this.n += 1;\n    \
             ws.send(`${{global::LABEL}} ${{this.n}}`);\n}}\n"
        )
    };
    let server = Server::start(&[("count_wsh.rhai", &counting("old"))]).await;
    let mut client = connect(server.url("/count")).await;
    let mut other = connect(server.url("/count")).await;
    client.until_answer("old 3").await;
    server.replace("count_wsh.rhai", counting("new"));
    server.log(["handler reloaded", "count_wsh.rhai"]).await;
    other.until_answer_of("new ").await;
    client.send_text("?").await;
    let answer = client.next_text().await;
    assert!(answer.ends_with(" 4"), "the count goes on: {answer}");
}

#[tokio::test]
async fn a_waiting_hook_ends_in_the_code_it_began_in() {
    let code = |name: &str| {
        format!(
            "fn transfer_data(ws, message) {{\n    \
             print(\"{name} begins\");\n    \
             sleep(0.5);\n    \
             ws.send(name());\n}}\n\
             fn name() {{\n    \"{name}\"\n}}\n"
        )
    };
    let server = Server::start(&[("nap_wsh.rhai", &code("old"))]).await;
    let mut client = connect(server.url("/nap")).await;
    client.send_text("?").await;
    server.log("old begins").await;
    server.replace("nap_wsh.rhai", code("new"));
    server.log(["handler reloaded", "nap_wsh.rhai"]).await;
    assert_eq!(client.next_text().await, "old");
    client.until_answer("new").await;
}

#[tokio::test]
async fn a_hook_that_a_reload_adds_is_called() {
    let server = Server::start(&[("echo_wsh.rhai", ECHO)]).await;
    let mut client = connect(server.url("/echo")).await;
    client.echoes(1).await;
    let more = "fn passive_closing_handshake(ws, code, reason) { [3001, reason + \"!\"] }\n\
                fn on_close(ws, code, reason, was_clean) { print(`closed with ${code}`); }\n";
    server.replace("echo_wsh.rhai", format!("{}{more}", answering("new")));
    client.until_answer("new").await;
    assert_eq!(client.close(3000, "bye").await, (3001, "bye!".to_owned()));
    server.log("closed with 3000").await;
}

/// The promise of the product: nobody notices a reload but by its effect.
#[tokio::test]
async fn a_hundred_reloads_under_load() {
    const RELOADS: u32 = 100;
    const CONNECTIONS: usize = 20;
    let numbered = |version: u32| {
        format!("fn transfer_data(ws, message) {{\n    ws.send(\"{version} \" + message);\n}}\n")
    };
    let server = Server::start(&[("echo_wsh.rhai", &numbered(0))]).await;
    let mut talks = JoinSet::new();
    for _ in 0..CONNECTIONS {
        talks.spawn(talk_until(connect(server.url("/echo")).await, RELOADS));
    }
    let path = server.dir().join("echo_wsh.rhai");
    for version in 1..=RELOADS {
        match version % 3 {
            0 => server.write("echo_wsh.rhai", numbered(version)),
            1 => server.replace("echo_wsh.rhai", numbered(version)),
            _ => save_like_vim(&path, &numbered(version)),
        }
        server.log(["handler reloaded", "echo_wsh.rhai"]).await;
    }
    let ended = within("every connection to see the last code", talks.join_all()).await;
    assert_eq!(ended.len(), CONNECTIONS);
}

/// Sends numbered messages, several under way at any time, until a reply carries this version.
async fn talk_until(mut client: Client, last: u32) {
    const UNDER_WAY: u64 = 4;
    let (mut sent, mut version) = (0, 0);
    for received in 0.. {
        while version < last && sent < received + UNDER_WAY {
            client.send_text(sent.to_string()).await;
            sent += 1;
        }
        if received == sent {
            break;
        }
        let reply = client.next_text().await;
        let (shown, number) = reply.split_once(' ').expect("a version and a number");
        assert_eq!(number, received.to_string(), "lost or out of order");
        let shown = shown.parse().expect("a version");
        assert!(shown >= version, "from {version} back to {shown}");
        version = shown;
    }
    assert_eq!(client.close(1000, "done").await.0, 1000);
}

impl Client {
    /// Sends messages until the reply begins like this.
    async fn until_answer_of(&mut self, start: &str) {
        within(&format!("an answer that begins with {start:?}"), async {
            loop {
                self.send_text("?").await;
                if self.next_text().await.starts_with(start) {
                    return;
                }
            }
        })
        .await;
    }
}

/// Returns when every change made before it has been dealt with and logged: later changes are seen
/// later, so what has not happened by then does not happen. Two rounds, because the lines of one
/// publication have no promised order.
async fn settle(server: &Server, root: &str) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..2 {
        let name = format!("barrier{}_wsh.rhai", NEXT.fetch_add(1, Ordering::Relaxed));
        server.write(&format!("{root}{name}"), ECHO);
        server.log(["handler added", &name]).await;
    }
}

/// A server whose root is a folder inside its temporary one, so that the root itself can be moved.
async fn rooted(code: &str) -> Server {
    let server = Server::builder().bare().file("root/echo_wsh.rhai", code);
    server.args(["-p", "0", "-w", "root"]).start().await
}

fn rename(server: &Server, from: &str, to: &str) {
    let dir = server.dir();
    fs::rename(dir.join(from), dir.join(to)).expect("rename");
}

/// Moves the old file aside, writes a new one, deletes the old.
fn save_like_vim(path: &Path, content: &str) {
    let backup = path.with_extension("rhai~");
    fs::rename(path, &backup).expect("move the old file aside");
    fs::write(path, content).expect("write the new file");
    fs::remove_file(&backup).expect("delete the old file");
}

fn set_modified(path: &Path, time: SystemTime) {
    let file = fs::File::options().write(true).open(path).expect("open");
    let times = fs::FileTimes::new().set_modified(time);
    file.set_times(times).expect("set the time");
}

/// `many/0/0_wsh.rhai` to `many/9/2999_wsh.rhai`, each of which answers with this text.
fn write_many(root: &Path, files: usize, text: &str) {
    for number in 0..files {
        let folder = root.join("many").join((number % 10).to_string());
        fs::create_dir_all(&folder).expect("create a folder");
        let file = folder.join(format!("{number}_wsh.rhai"));
        fs::write(file, answering(text)).expect("write a handler");
    }
}
