//! A real headless Chromium with one page, driven over its DevTools protocol.
//!
//!     let mut page = Page::open(&server.page("/")).await;
//!     page.click("#run").await;
//!     page.until("document.body.innerText.includes('onopen')").await;
//!
//! A missing Chromium fails the test: a skipped browser test looks like a passed one.

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// A start with a new profile takes a second alone, and several on a machine that is busy.
const START: Duration = Duration::from_secs(60);

/// How long the page has to reach a state. A call of the protocol has more, so that the page's own
/// complaint, which says what it showed, arrives first.
const STATE: Duration = Duration::from_secs(20);
const CALL: Duration = Duration::from_secs(30);

/// How long a browser may take to leave.
const END: Duration = Duration::from_secs(10);

pub struct Page {
    devtools: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: Option<String>,
    last_id: u64,
    // In this order: the browser ends before its profile is removed.
    _browser: Browser,
    _profile: TempDir,
}

impl Page {
    /// A browser of its own, with this address loaded.
    pub async fn open(url: &str) -> Page {
        Self::open_with(None, "en-US", url).await
    }

    /// The same for somebody who reads this language.
    pub async fn open_in(language: &str, url: &str) -> Page {
        Self::open_with(None, language, url).await
    }

    /// The same with this home folder, in which it looks for the authorities that the user trusts.
    pub async fn open_at_home(home: &Path, url: &str) -> Page {
        Self::open_with(Some(home), "en-US", url).await
    }

    async fn open_with(home: Option<&Path>, language: &str, url: &str) -> Page {
        let profile = tempfile::tempdir().expect("a folder for the profile");
        let mut browser = Browser::start(profile.path(), home, language);
        let address = browser.devtools(profile.path()).await;
        let (devtools, _) = tokio_tungstenite::connect_async(&address)
            .await
            .expect("connect to Chromium");
        let mut page = Page {
            devtools,
            session: None,
            last_id: 0,
            _browser: browser,
            _profile: profile,
        };
        page.attach().await;
        page.go(url).await;
        page
    }

    /// Loads an address and waits until its scripts have run.
    pub async fn go(&mut self, url: &str) {
        let answer = self.call("Page.navigate", json!({ "url": url })).await;
        assert_eq!(answer.get("errorText"), None, "open {url}");
        self.until("document.readyState == 'complete'").await;
    }

    /// The value of a JavaScript expression; a promise is awaited.
    pub async fn value(&mut self, expression: &str) -> Value {
        let answer = self.call("Runtime.evaluate", evaluation(expression)).await;
        value_of(expression, answer)
    }

    /// The text of an element, or the value of a field.
    pub async fn text(&mut self, selector: &str) -> String {
        let element = element(selector);
        let expression = format!("{element}.value ?? {element}.innerText");
        let text = self.value(&expression).await;
        text.as_str().expect("a text").to_owned()
    }

    /// Waits until a JavaScript expression is true; fails with what the page shows instead.
    pub async fn until(&mut self, expression: &str) {
        let look = format!(
            "new Promise((done, fail) => {{
                const end = performance.now() + {};
                (function look() {{
                    if ({expression}) return done(true);
                    if (performance.now() > end)
                        return fail(new Error('in vain; shown is:\\n' + document.body.innerText));
                    setTimeout(look, 10);
                }})();
            }})",
            STATE.as_millis()
        );
        let parameters = evaluation(&look);
        loop {
            match self.try_call("Runtime.evaluate", &parameters).await {
                Ok(answer) => return drop(value_of(expression, answer)),
                // What was clicked has just led to another page, which is to be looked at instead.
                Err(error) if error.contains("navigated") || error.contains("destroyed") => {}
                Err(error) => panic!("{expression}: {error}"),
            }
        }
    }

    /// A picture of the page as a phone shows it, for whoever wants to look: written to the folder
    /// that PICTURES_OF_PAGES names, if it does.
    pub async fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("PICTURES_OF_PAGES") else {
            return;
        };
        let phone = json!({"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": true});
        self.call("Emulation.setDeviceMetricsOverride", phone).await;
        let answer = self.call("Page.captureScreenshot", json!({})).await;
        let data = answer["data"].as_str().expect("a picture");
        let bytes = data_encoding::BASE64
            .decode(data.as_bytes())
            .expect("base64");
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), bytes).expect("written");
        self.call("Emulation.clearDeviceMetricsOverride", json!({}))
            .await;
    }

    /// Pictures of the page in both widths, light and dark, as [`picture`](Self::picture) makes one.
    pub async fn pictures(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("PICTURES_OF_PAGES") else {
            return;
        };
        for (width, height) in [(1280, 900), (390, 844)] {
            let size = json!({
                "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500,
            });
            self.call("Emulation.setDeviceMetricsOverride", size).await;
            for scheme in ["light", "dark"] {
                let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
                let media = json!({ "features": [feature] });
                self.call("Emulation.setEmulatedMedia", media).await;
                let answer = self.call("Page.captureScreenshot", json!({})).await;
                let data = answer["data"].as_str().expect("a picture");
                let bytes = data_encoding::BASE64
                    .decode(data.as_bytes())
                    .expect("base64");
                let file = format!("{name}-{width}-{scheme}.png");
                std::fs::write(Path::new(&folder).join(file), bytes).expect("written");
            }
        }
        self.call("Emulation.clearDeviceMetricsOverride", json!({}))
            .await;
    }

    /// Whether nothing is beside the window of this width.
    pub async fn fits(&mut self, width: u32) -> bool {
        let size =
            json!({ "width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
        let wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth";
        let fits = self.value(wide).await == true;
        self.call("Emulation.clearDeviceMetricsOverride", json!({}))
            .await;
        fits
    }

    /// Presses a key as the keyboard does.
    pub async fn press(&mut self, key: &str) {
        let text = match key {
            "Enter" => "\r",
            "Space" => " ",
            _ => "",
        };
        for kind in ["keyDown", "keyUp"] {
            let (key, code) = if key == "Space" {
                (" ", "Space")
            } else {
                (key, key)
            };
            let virtual_key = match code {
                "Enter" => 13,
                "Tab" => 9,
                "Space" => 32,
                _ => 0,
            };
            let mut event = json!({
                "type": kind, "key": key, "code": code, "windowsVirtualKeyCode": virtual_key,
            });
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = json!(text);
            }
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Waits until an element's text contains this one.
    pub async fn shows(&mut self, selector: &str, text: &str) {
        let element = element(selector);
        self.until(&format!("{element}.innerText.includes({})", json!(text)))
            .await;
    }

    /// A click of the mouse in the middle of the element: a covered one is not reached.
    pub async fn click(&mut self, selector: &str) {
        let middle = format!(
            "(() => {{ const element = {}; element.scrollIntoView({{ block: 'center' }});
                const box = element.getBoundingClientRect();
                return [box.x + box.width / 2, box.y + box.height / 2]; }})()",
            element(selector)
        );
        let middle = self.value(&middle).await;
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({
                "type": kind, "x": middle[0], "y": middle[1], "button": "left", "clickCount": 1,
            });
            self.call("Input.dispatchMouseEvent", event).await;
        }
    }

    /// Puts a text into a field as the keyboard does.
    pub async fn fill(&mut self, selector: &str, text: &str) {
        let element = element(selector);
        self.value(&format!("{element}.focus(), {element}.select()"))
            .await;
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    async fn attach(&mut self) {
        let target = self
            .call("Target.createTarget", json!({ "url": "about:blank" }))
            .await;
        let parameters = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self.call("Target.attachToTarget", parameters).await;
        let session = attached["sessionId"].as_str().expect("a session");
        self.session = Some(session.to_owned());
    }

    /// One call of the DevTools protocol; events in between are not ours.
    async fn call(&mut self, method: &str, parameters: Value) -> Value {
        let answer = self.try_call(method, &parameters).await;
        answer.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    async fn try_call(&mut self, method: &str, parameters: &Value) -> Result<Value, String> {
        self.last_id += 1;
        let mut request = json!({ "id": self.last_id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            request["sessionId"] = json!(session);
        }
        let request = Message::text(request.to_string());
        self.devtools
            .send(request)
            .await
            .expect("Chromium is still there");

        let answer = tokio::time::timeout(CALL, self.answer()).await;
        let mut answer = answer.unwrap_or_else(|_| panic!("no answer to {method} in {CALL:?}"));
        match answer.get("error") {
            Some(error) => Err(error.to_string()),
            None => Ok(answer["result"].take()),
        }
    }

    async fn answer(&mut self) -> Value {
        loop {
            let message = self.devtools.next().await.expect("Chromium ended");
            let message = message.expect("Chromium is still there");
            let Message::Text(text) = message else {
                continue;
            };
            let message: Value = serde_json::from_str(&text).expect("JSON");
            if message["id"] == self.last_id {
                return message;
            }
        }
    }
}

fn evaluation(expression: &str) -> Value {
    json!({ "expression": expression, "awaitPromise": true, "returnByValue": true })
}

/// What an evaluation has come to.
fn value_of(expression: &str, mut answer: Value) -> Value {
    if let Some(thrown) = answer.get("exceptionDetails") {
        let text = &thrown["exception"]["description"];
        panic!("{expression}\n{}", text.as_str().unwrap_or("threw"));
    }
    answer["result"]["value"].take()
}

/// What the browser complains about, a file of the profile.
const LOG: &str = "stderr.log";

struct Browser(Child);

impl Browser {
    fn start(profile: &Path, home: Option<&Path>, language: &str) -> Browser {
        let program = std::env::var_os("CHROMIUM").unwrap_or_else(|| "/usr/bin/chromium".into());
        let mut data_dir = OsString::from("--user-data-dir=");
        data_dir.push(profile);
        let home = home.map(|home| ("HOME", home));
        let child = Command::new(&program)
            .envs(home)
            // CI runs as root, where the sandbox refuses to start, and with a small /dev/shm.
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--disable-gpu",
            ])
            // Nothing of its own on the network: the tests talk to this machine alone.
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .args(["--disable-quic", "--no-first-run", "--no-proxy-server"])
            // Names below .example lead here, as a stranger's DNS can have its own do.
            .arg("--host-resolver-rules=MAP *.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE \
                localhost, EXCLUDE 127.0.0.1")
            .arg("--remote-debugging-port=0")
            .arg(format!("--accept-lang={language}"))
            .arg(data_dir)
            // What it leaves behind goes with the profile.
            .env("TMPDIR", profile)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(profile.join(LOG)).expect("a file in the profile"))
            .spawn();
        match child {
            Ok(child) => Browser(child),
            Err(error) => panic!(
                "{}: {error}. The browser tests need Chromium: \
                 apt-get install chromium, or set CHROMIUM to its path.",
                program.display()
            ),
        }
    }

    /// The address of the DevTools socket, from the file that the browser writes once it listens.
    async fn devtools(&mut self, profile: &Path) -> String {
        let file = profile.join("DevToolsActivePort");
        let started = tokio::time::timeout(START, async {
            loop {
                let content = std::fs::read_to_string(&file).unwrap_or_default();
                // Two lines, the port and the path; the second may not be there yet.
                if let Some((port, path)) = content.split_once('\n')
                    && path.starts_with('/')
                {
                    return format!("ws://127.0.0.1:{port}{}", path.trim_end());
                }
                if let Some(status) = self.0.try_wait().expect("the child's status") {
                    let log = std::fs::read_to_string(profile.join(LOG));
                    panic!(
                        "Chromium ended at its start: {status}\n{}",
                        log.unwrap_or_default()
                    );
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        started
            .await
            .unwrap_or_else(|_| panic!("Chromium did not start in {START:?}"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Asked, not killed: renderers that outlive it would write into the profile.
        let ask = Command::new("sh")
            .args(["-c", &format!("kill {}", self.0.id())])
            .status();
        let asked = Instant::now();
        while ask.is_ok() && asked.elapsed() < END {
            match self.0.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(5)),
                _ => return,
            }
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The JavaScript that finds an element, or fails by its selector's name.
fn element(selector: &str) -> String {
    let selector = json!(selector);
    let missing = format!("(() => {{ throw new Error('no element ' + {selector}) }})()");
    format!("(document.querySelector({selector}) ?? {missing})")
}
