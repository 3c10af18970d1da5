//! Texts of the pages, in the languages that their readers have.

use serde_json::{Value, json};

use crate::http::head::Head;

/// The texts of one language.
pub struct Words {
    pub lang: &'static str,
    pub handlers: &'static str,
    pub no_handlers: &'static str,
    pub nothing_here: &'static str,
    pub path: &'static str,
    pub file: &'static str,
    pub hooks: &'static str,
    pub serves: &'static str,
    pub version: &'static str,
    pub nothing_serves: &'static str,
    pub broken: &'static str,
    pub fault: &'static str,
    pub about: &'static str,
    pub about_broken: &'static str,
    pub console: &'static str,
    pub message: &'static str,
    pub send: &'static str,
    pub open: &'static str,
    close: &'static str,
    states: [&'static str; 4],
    opened: &'static str,
    sent: &'static str,
    got: &'static str,
    closed: &'static str,
    refused: &'static str,
    bytes: &'static str,
    pub log: &'static str,
}

impl Words {
    /// Those that a reader prefers.
    pub fn of(head: &Head) -> &'static Self {
        let (mut best, mut words) = (0.0, &ENGLISH);
        for element in head
            .values("accept-language")
            .flat_map(|line| line.split(','))
        {
            let (tag, weight) = element.split_once(';').unwrap_or((element, "q=1"));
            let weight = weight
                .trim()
                .strip_prefix("q=")
                .and_then(|text| text.parse().ok());
            let weight: f32 = weight.unwrap_or(0.0);
            let tag = tag.trim().to_ascii_lowercase();
            let known = match tag.split('-').next() {
                Some("zh") => &CHINESE,
                Some("en") => &ENGLISH,
                _ => continue,
            };
            if weight > best {
                (best, words) = (weight, known);
            }
        }
        words
    }

    /// Returns the texts of the page's script.
    pub fn of_script(&self) -> Value {
        json!({
            "open": self.open, "close": self.close, "states": self.states, "opened": self.opened,
            "sent": self.sent, "got": self.got, "closed": self.closed, "refused": self.refused,
            "bytes": self.bytes,
        })
    }
}

const ENGLISH: Words = Words {
    lang: "en",
    handlers: "Handlers",
    no_handlers: "There are none yet: save a file NAME_wsh.rhai into the handler folder, or let \
        wsh-server new NAME make one.",
    nothing_here: "Nothing has this path.",
    path: "path",
    file: "file",
    hooks: "hooks",
    serves: "serves",
    version: "version",
    nothing_serves: "no version yet: connections are refused with 500",
    broken: "The newest save is broken",
    fault: "The last fault of this version",
    about: "This is a WebSocket handler. This page is connected to it: send it something, edit the \
        file, and send again.",
    about_broken: "This is a WebSocket handler, and it does not serve yet.",
    console: "Console",
    message: "Message",
    send: "Send",
    open: "Connect",
    close: "Close",
    states: ["connecting", "open", "closing", "closed"],
    opened: "opened",
    sent: "sent",
    got: "received",
    closed: "closed",
    refused: "not opened: the server's log says why",
    bytes: "bytes",
    log: "Messages",
};

const CHINESE: Words = Words {
    lang: "zh-CN",
    handlers: "处理脚本",
    no_handlers: "还没有处理脚本：请在处理脚本文件夹中保存 NAME_wsh.rhai，或运行 wsh-server new NAME。",
    nothing_here: "此路径下没有内容。",
    path: "路径",
    file: "文件",
    hooks: "钩子",
    serves: "正在运行",
    version: "版本",
    nothing_serves: "还没有可用的版本：连接会被拒绝（500）",
    broken: "最近一次保存有错误",
    fault: "此版本最近一次出错",
    about: "这是一个 WebSocket 处理脚本，本页已与它连接：发送一条消息，修改文件，再发送一次。",
    about_broken: "这是一个 WebSocket 处理脚本，但目前还不能运行。",
    console: "控制台",
    message: "消息",
    send: "发送",
    open: "连接",
    close: "关闭",
    states: ["正在连接", "已连接", "正在关闭", "已关闭"],
    opened: "已连接",
    sent: "已发送",
    got: "已接收",
    closed: "已关闭",
    refused: "未能连接：原因见服务器日志",
    bytes: "字节",
    log: "消息记录",
};
