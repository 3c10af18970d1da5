//! The page of the chat, in two browsers: names and who is here, what one says the other hears, and
//! both go on by themselves when the server starts anew.

use std::path::Path;

use super::support::Server;
use super::support::browser::Page;

async fn serve(port: &str) -> Server {
    let handlers = Path::new(env!("CARGO_MANIFEST_DIR")).join("handlers");
    let builder = Server::builder().bare().args(["-p", port, "-w"]);
    let www = handlers.join("www");
    builder.arg(handlers).arg("-d").arg(www).start().await
}

async fn join(server: &Server, name: &str) -> Page {
    let url = format!("http://127.0.0.1:{}/chat.html#tea", server.port());
    let mut page = Page::open(&url).await;
    page.fill("#join [name=name]", name).await;
    page.click("#join button").await;
    page.shows("#here", name).await;
    page
}

async fn say(page: &mut Page, text: &str) {
    page.fill("#say input", text).await;
    page.click("#say button").await;
    page.shows("ol", text).await;
}

#[tokio::test]
async fn two_pages_talk_see_each_other_and_outlive_the_server() {
    let mut server = serve("0").await;
    let port = server.port().to_string();
    let mut ann = join(&server, "Ann").await;
    ann.picture("phone-first").await;
    assert_eq!(ann.text("#state").await, "only you here");
    let mut bob = join(&server, "Bob <b>").await;
    for page in [&mut ann, &mut bob] {
        page.shows("#here", "Bob <b>").await;
        page.shows("#here", "Ann").await;
        page.shows("#state", "2 here").await;
    }
    ann.shows("ol", "Bob <b> came in").await;
    say(&mut ann, "Tea is ready <script>").await;
    bob.shows("ol", "Tea is ready <script>").await;
    say(&mut bob, "Coming! 我来了").await;
    ann.shows("ol", "Coming! 我来了").await;
    bob.picture("phone-talk").await;

    // Its memory is gone with it: the pages come back, and say that something may be missing.
    assert!(server.stop().await.success());
    ann.shows("#state", "connection lost").await;
    drop(server);
    let server = serve(&port).await;
    for page in [&mut ann, &mut bob] {
        page.shows("ol", "may be missing here").await;
        page.shows("#state", "2 here").await;
        page.shows("ol", "Tea is ready").await;
    }
    say(&mut bob, "Another cup?").await;
    ann.shows("ol", "Another cup?").await;
    ann.picture("phone-again").await;
    assert_eq!(server.count("fault"), 0, "{}", server.logged());
}

/// Whoever reads Chinese is spoken to in Chinese.
#[tokio::test]
async fn the_page_speaks_its_readers_language() {
    let server = serve("0").await;
    let url = format!("http://127.0.0.1:{}/chat.html", server.port());
    let mut page = Page::open_in("zh-CN", &url).await;
    page.shows("#join button", "加入").await;
    assert_eq!(page.text("#join [name=room]").await, "大厅");
    page.picture("phone-join-chinese").await;
    page.fill("#join [name=name]", "小明").await;
    page.click("#join button").await;
    page.shows("#here", "小明（你）").await;
    page.shows("#state", "这里只有你").await;
    say(&mut page, "你好").await;
    page.picture("phone-talk-chinese").await;
    assert!(page.fits(390).await);
}
