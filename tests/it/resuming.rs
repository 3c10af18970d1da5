//! The guide's browser client, which comes back by itself and from where it was: run as it is
//! printed, through a line that breaks and a server that is killed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::support::browser::Page;
use super::support::{Server, connect, within};

/// The guide.
const GUIDE: &str = include_str!("../../docs/scripting.md");

/// The handler that keeps scores.
fn handler() -> &'static str {
    let blocks = GUIDE.split("```rhai\n").skip(1);
    let mut blocks = blocks.filter_map(|block| Some(block.split_once("\n```")?.0));
    let of_scores = blocks.find(|block| block.contains("topic(\"scores\""));
    of_scores.expect("the handler of the guide")
}

/// The client, a block that is indented, for a server on this port.
fn client(port: u16) -> String {
    let (_, behind) = GUIDE
        .split_once("The browser's side")
        .expect("the client of the guide");
    let lines = behind.lines().skip_while(|line| !line.starts_with("    "));
    let block: Vec<_> = lines
        .take_while(|line| line.starts_with("    ") || line.is_empty())
        .collect();
    let client = block.join("\n");
    assert!(client.contains("localhost:9998"), "{client}");
    client.replace("localhost:9998", &format!("localhost:{port}"))
}

const PAGE: &str = "<!doctype html><ol id=list></ol><script>
const show = data => { list.append(Object.assign(document.createElement('li'), { innerText: data })); };
</script><script src=client.js></script>";

/// A line to a server, which can be cut.
struct Line {
    port: u16,
    is_up: Arc<AtomicBool>,
    cut: Arc<Notify>,
}

impl Line {
    async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a line");
        let line = Self {
            port: listener.local_addr().expect("an address").port(),
            is_up: Arc::new(AtomicBool::new(true)),
            cut: Arc::default(),
        };
        let (is_up, cut) = (Arc::clone(&line.is_up), Arc::clone(&line.cut));
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (is_up, cut) = (Arc::clone(&is_up), Arc::clone(&cut));
                tokio::spawn(async move {
                    let ended = cut.notified();
                    if !is_up.load(Ordering::SeqCst) {
                        return;
                    }
                    // A server that is away is a line that is down.
                    if let Ok(mut far) = TcpStream::connect(("127.0.0.1", server)).await {
                        tokio::select! {
                            _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                            () = ended => {}
                        }
                    }
                });
            }
        });
        line
    }

    fn cut(&self) {
        self.is_up.store(false, Ordering::SeqCst);
        self.cut.notify_waiters();
    }

    fn mend(&self) {
        self.is_up.store(true, Ordering::SeqCst);
    }
}

async fn serve(folder: &Path, port: &str) -> Server {
    let www = folder.join("www");
    let builder = Server::builder().bare().args(["-p", port, "-w"]);
    builder.arg(folder).arg("-d").arg(www).start().await
}

/// Everything that the page has shown.
async fn shown(page: &mut Page, wanted: &[&str]) {
    let list = "[...document.querySelectorAll('li')].map(item => item.innerText).join()";
    page.until(&format!(
        "{list}.endsWith('{}')",
        wanted.last().unwrap_or(&"")
    ))
    .await;
    assert_eq!(page.value(list).await, wanted.join(","));
}

/// How many read the scores, by their counts.
async fn read(server: &Server, wanted: &str) {
    let mut asker = connect(server.url("/count")).await;
    let is_so = async {
        loop {
            asker.send_text("?").await;
            if asker.next_text().await == wanted {
                break;
            }
        }
    };
    within("subscribers", is_so).await;
}

#[tokio::test]
async fn the_guides_client_misses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, content: &str| {
        std::fs::write(folder.path().join(name), content).expect("a file of the folder");
    };
    std::fs::create_dir(folder.path().join("www")).expect("a folder for pages");
    write("scores_wsh.rhai", handler());
    write(
        "count_wsh.rhai",
        "fn transfer_data(ws, message) { ws.send(`${subscribers(\"scores\")}`); }",
    );
    let mut server = serve(folder.path(), "0").await;
    let line = Line::to(server.port()).await;
    write("www/index.html", PAGE);
    write("www/client.js", &client(line.port));
    let mut page = Page::open(&format!("http://localhost:{}/", line.port)).await;
    read(&server, "1").await;

    let mut speaker = connect(server.url("/scores")).await;
    speaker.next_text().await;
    for score in ["one", "two"] {
        speaker.send_text(score).await;
    }
    shown(&mut page, &["one", "two"]).await;

    line.cut();
    // The speaker alone is left.
    read(&server, "1").await;
    for score in ["three", "four"] {
        speaker.send_text(score).await;
    }
    line.mend();
    shown(&mut page, &["one", "two", "three", "four"]).await;

    // Another life of the topic: the page goes on with what comes from then on.
    let port = server.port().to_string();
    server.signal("KILL");
    server.exited().await;
    let server = serve(folder.path(), &port).await;
    read(&server, "1").await;
    let mut speaker = connect(server.url("/scores")).await;
    speaker.next_text().await;
    speaker.send_text("five").await;
    shown(&mut page, &["one", "two", "three", "four", "five"]).await;
}
