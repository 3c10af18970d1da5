//! JSON text as services send it: records with the same keys, and names, words and numbers that
//! differ. It compresses to about a quarter; a message of one repeated letter would compress to a
//! hundredth and say nothing.

use std::fmt::Write;

use fastrand::Rng;

/// Exactly `size` bytes, the `number`-th of a kind: the same number is the same text in every run.
pub fn text(number: usize, size: usize) -> String {
    let mut random = Rng::with_seed(number as u64);
    let mut text = String::from("[");
    while text.len() < size {
        if text.len() > 1 {
            text.push(',');
        }
        record(&mut text, &mut random);
    }
    // Cut where it is: no server reads it, and nothing but ASCII is in it.
    text.truncate(size - 1);
    text.push(']');
    text
}

fn record(text: &mut String, random: &mut Rng) {
    let id = random.u32(10_000..1_000_000);
    let user = choose(NAMES, random);
    let town = choose(TOWNS, random);
    let note: Vec<_> = (0..random.usize(2..7))
        .map(|_| choose(WORDS, random))
        .collect();
    let (is_active, score) = (random.bool(), random.f64() * 100.0);
    let (hour, minute, second) = (random.u8(0..24), random.u8(0..60), random.u8(0..60));
    let _ = write!(
        text,
        r#"{{"id":{id},"user":"{user}","town":"{town}","active":{is_active},"score":{score:.2},"#
    );
    let _ = write!(
        text,
        r#""created":"2026-03-{:02}T{hour:02}:{minute:02}:{second:02}Z","note":"{}"}}"#,
        random.u8(1..29),
        note.join(" ")
    );
}

fn choose(words: &[&'static str], random: &mut Rng) -> &'static str {
    words[random.usize(..words.len())]
}

const NAMES: &[&str] = &[
    "Ada", "Amir", "Bela", "Chen", "Dora", "Emil", "Fatou", "Grace", "Hedy", "Ines", "Jonas",
    "Kofi", "Lena", "Mateo", "Nadia", "Oskar", "Priya", "Ravi", "Selma", "Tove", "Umar", "Vera",
    "Wanda", "Xenia", "Yusuf", "Zoe",
];

const TOWNS: &[&str] = &[
    "Aarhus", "Accra", "Bern", "Bologna", "Cork", "Dakar", "Esbjerg", "Gent", "Graz", "Hanoi",
    "Izmir", "Kyoto", "Lima", "Lyon", "Malaga", "Nairobi", "Oslo", "Porto", "Quito", "Riga",
    "Split", "Tallinn", "Utrecht", "Vienna", "Yerevan",
];

const WORDS: &[&str] = &[
    "about",
    "arrived",
    "box",
    "broken",
    "called",
    "cancelled",
    "changed",
    "checked",
    "cold",
    "customer",
    "delayed",
    "delivery",
    "door",
    "empty",
    "evening",
    "first",
    "forwarded",
    "green",
    "invoice",
    "label",
    "late",
    "left",
    "message",
    "missing",
    "morning",
    "needs",
    "neighbour",
    "next",
    "order",
    "paid",
    "parcel",
    "phone",
    "please",
    "ready",
    "refund",
    "returned",
    "second",
    "sent",
    "shipped",
    "signed",
    "store",
    "street",
    "ticket",
    "today",
    "tomorrow",
    "truck",
    "twice",
    "update",
    "waiting",
    "warehouse",
    "week",
    "wrong",
];
