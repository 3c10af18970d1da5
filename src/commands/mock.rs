//! A handler that answers as a recording did.
//!
//! What the server said goes into steps, each with the client's message before it: when that
//! comes again, so do its answers. A client that says them in another order gets the answers of the
//! next such step, or else of the first.

use std::fmt::Write;

use data_encoding::BASE64;

use crate::client::Address;
use crate::config::limits::SCRIPT;
use crate::observe::event::By;
use crate::recording::{Ending, Recording, Said, Side};
use crate::websocket::{Message, close};

/// Seconds from which the time before an answer is kept.
const PAUSE: f64 = 0.1;
/// The longest pause that is kept: tests of clients do not wait for a coffee.
const LONGEST_PAUSE: f64 = 60.0;
/// Bytes of the steps; the rest of a handler's bound is for the code around them.
const LONGEST: usize = SCRIPT.source - 8 * 1024;

/// The code around the steps.
const CODE: &str = r#"
fn on_open(ws) {
    this.next = 0;
    for answer in greeting() {
        say(ws, answer);
    }
}

fn transfer_data(ws, message) {
    let steps = conversation();
    let place = find(steps, message, this.next);
    if place == () {
        warn(`the recording has no such message: ${message}`);
        return;
    }
    this.next = place + 1;
    for answer in steps[place].answers {
        say(ws, answer);
    }
}

// The place of the next step that begins with this message, or else of the first such.
fn find(steps, message, next) {
    for place in next..steps.len() {
        if is_same(steps[place].said, message) { return place; }
    }
    for place in 0..steps.len() {
        if is_same(steps[place].said, message) { return place; }
    }
}

// Where messages have times or names of their own, compare less here, such as
// parse_json(recorded).type == parse_json(message).type.
fn is_same(recorded, message) {
    recorded == message
}

fn say(ws, answer) {
    if "after" in answer {
        sleep(answer.after);
    }
    if "text" in answer {
        ws.send(answer.text);
    } else if "base64" in answer {
        ws.send(base64_decode(answer.base64));
    } else {
        ws.close(answer.close, answer.reason);
    }
}
"#;

/// A client's message, and what was answered.
struct Step<'r> {
    said: Option<&'r Message<'static>>,
    answers: Vec<String>,
}

/// The text of a handler for the recorded connections to the path of the first one, and what of
/// the file is not in it, if anything.
pub fn handler(recordings: &[Recording], file: &str) -> (String, Option<String>) {
    let path = |recording: &Recording| {
        let target = Address::parse(&recording.url).map(|address| address.target);
        let target = target.unwrap_or_default();
        target.split('?').next().unwrap_or_default().to_owned()
    };
    let first = recordings.first().map(path).unwrap_or_default();
    let of_path: Vec<_> = recordings
        .iter()
        .filter(|recording| path(recording) == first)
        .collect();
    let (mut greeting, mut conversation) = (String::new(), String::new());
    let (mut steps, mut left_out) = (0_usize, 0_usize);
    for (number, recording) in of_path.iter().enumerate() {
        for step in steps_of(recording) {
            let answers = step.answers.concat();
            let room = LONGEST.saturating_sub(greeting.len() + conversation.len());
            match step.said {
                // A greeting is not known before the client's first word: that of the first
                // connection is taken.
                None if number > 0 || answers.is_empty() => {}
                None if answers.len() <= room => greeting = answers,
                Some(said) => {
                    let step = format!(
                        "        #{{\n            said: {},\n            answers: [\n{}            \
                        ],\n        }},\n",
                        literal(said),
                        indented(&answers),
                    );
                    if left_out == 0 && step.len() <= room {
                        steps += 1;
                        conversation += &step;
                    } else {
                        left_out += 1;
                    }
                }
                None => left_out += 1,
            }
        }
    }
    let file = file.replace(|character: char| character.is_control(), "?");
    let mut text = format!(
        "// Answers as the server of {file} did: {steps} messages of a client, each with what followed \
        it.\n{CODE}\n"
    );
    if let Some(protocol) = of_path.iter().find_map(|known| known.protocol.as_ref()) {
        let protocol = quoted(protocol);
        let _ = write!(
            text,
            "// The subprotocol that was agreed on.\nfn do_extra_handshake(request) {{\n    if \
            {protocol} in request.requested_protocols {{\n        request.protocol = {protocol};\n    \
            }}\n}}\n\n"
        );
    }
    let _ = write!(
        text,
        "// What the server said first.\nfn greeting() {{\n    [\n{greeting}    ]\n}}\n\n// What the \
        client said, and what was answered.\nfn conversation() {{\n    [\n{conversation}    ]\n}}\n"
    );
    let others = recordings.len() - of_path.len();
    let lacks = match (left_out, others) {
        (0, 0) => None,
        (0, others) => Some(format!(
            "{others} connections of the recording are to other paths than {first}, and left out"
        )),
        (left_out, _) => Some(format!(
            "the last {left_out} messages are left out: a handler has at most {} KiB",
            SCRIPT.source / 1024
        )),
    };
    (text, lacks)
}

fn steps_of(recording: &Recording) -> Vec<Step<'_>> {
    let mut steps = vec![Step {
        said: None,
        answers: Vec::new(),
    }];
    let mut before = recording.started;
    for Said { by, time, message } in &recording.said {
        match by {
            Side::Client => steps.push(Step {
                said: Some(message),
                answers: Vec::new(),
            }),
            Side::Server => {
                let what = match message {
                    Message::Text(_) => format!("text: {}", literal(message)),
                    Message::Binary(bytes) => format!("base64: \"{}\"", BASE64.encode(bytes)),
                };
                answer(&mut steps, &pause(before, *time), &what);
            }
        }
        before = *time;
    }
    if let Some(Ending {
        code,
        reason,
        by: By::Server,
    }) = &recording.ending
    {
        // A Close without a code, or none at all, has no call with one.
        let code = if close::is_sendable(*code) {
            *code
        } else {
            1000
        };
        let reason = quoted(reason);
        answer(&mut steps, "", &format!("close: {code}, reason: {reason}"));
    }
    steps
}

fn answer(steps: &mut [Step<'_>], pause: &str, what: &str) {
    if let Some(step) = steps.last_mut() {
        step.answers
            .push(format!("        #{{ {pause}{what} }},\n"));
    }
}

/// The time before an answer, where it is worth it.
fn pause(before: f64, time: f64) -> String {
    let pause = time - before;
    match before > 0.0 && pause >= PAUSE {
        true => format!("after: {:.1}, ", pause.min(LONGEST_PAUSE)),
        false => String::new(),
    }
}

/// A message as an expression.
fn literal(message: &Message<'_>) -> String {
    match message {
        Message::Text(text) => quoted(text),
        Message::Binary(bytes) => format!("base64_decode(\"{}\")", BASE64.encode(bytes)),
    }
}

/// A text as a string of the language.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                out.push('\\');
                out.push(character);
            }
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            character => out.push(character),
        }
    }
    out.push('"');
    out
}

fn indented(lines: &str) -> String {
    lines
        .lines()
        .map(|line| format!("        {line}\n"))
        .collect()
}
