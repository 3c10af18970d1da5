//! Two texts line by line: what was taken away, and what was added.

use std::fmt::Write;

/// Lines up to which the shortest difference is looked for: its cost is their product.
const LONGEST: usize = 1000;
/// Equal lines that are shown around a difference.
const AROUND: usize = 2;
/// Characters of a line that are shown.
const WIDE: usize = 160;
/// Lines of a difference that are shown.
const SHOWN: usize = 100;

/// A line's part in a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Same,
    Removed,
    Added,
}

/// How the second text differs from the first: `-` is recorded, `+` came.
pub fn of(one: &[String], other: &[String]) -> String {
    if let ([one], [other]) = (one, other) {
        let (one, other) = around(one, other);
        return format!("- {one}\n+ {other}\n");
    }
    let lines = match one.len() > LONGEST || other.len() > LONGEST {
        true => {
            let removed = one.iter().map(|line| (Kind::Removed, line));
            let added = other.iter().map(|line| (Kind::Added, line));
            removed.chain(added).collect()
        }
        false => align(one, other),
    };
    show(&lines)
}

/// A text that is missing.
pub fn removed(lines: &[String]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| (Kind::Removed, line)).collect();
    show(&lines)
}

/// A text that nobody waited for.
pub fn added(lines: &[String]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| (Kind::Added, line)).collect();
    show(&lines)
}

/// The longest common subsequence, and what is not in it.
fn align<'t>(one: &'t [String], other: &'t [String]) -> Vec<(Kind, &'t String)> {
    let width = other.len() + 1;
    let mut common = vec![0_u16; (one.len() + 1) * width];
    for i in (0..one.len()).rev() {
        for j in (0..other.len()).rev() {
            common[i * width + j] = match one[i] == other[j] {
                true => common[(i + 1) * width + j + 1] + 1,
                false => common[(i + 1) * width + j].max(common[i * width + j + 1]),
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < one.len() && j < other.len() {
        if one[i] == other[j] {
            lines.push((Kind::Same, &one[i]));
            (i, j) = (i + 1, j + 1);
        } else if common[(i + 1) * width + j] >= common[i * width + j + 1] {
            lines.push((Kind::Removed, &one[i]));
            i += 1;
        } else {
            lines.push((Kind::Added, &other[j]));
            j += 1;
        }
    }
    lines.extend(one[i..].iter().map(|line| (Kind::Removed, line)));
    lines.extend(other[j..].iter().map(|line| (Kind::Added, line)));
    lines
}

fn show(lines: &[(Kind, &String)]) -> String {
    let mut out = String::new();
    let (mut shown, mut gap) = (0, false);
    for (at, (kind, line)) in lines.iter().enumerate() {
        let near = &lines[at.saturating_sub(AROUND)..(at + AROUND + 1).min(lines.len())];
        if near.iter().all(|(kind, _)| *kind == Kind::Same) {
            gap = true;
            continue;
        }
        if shown == SHOWN {
            let _ = writeln!(out, "  … {} more lines", lines.len() - at);
            break;
        }
        if std::mem::take(&mut gap) {
            out.push_str("  …\n");
        }
        let mark = match kind {
            Kind::Same => ' ',
            Kind::Removed => '-',
            Kind::Added => '+',
        };
        let _ = writeln!(out, "{mark} {}", cut(line, 0));
        shown += 1;
    }
    out
}

/// Two long lines from shortly before the place where they begin to differ.
fn around(one: &str, other: &str) -> (String, String) {
    let same = one.chars().zip(other.chars());
    let same = same.take_while(|(one, other)| one == other).count();
    let is_long = one.len().max(other.len()) > WIDE;
    let from = if is_long { same.saturating_sub(40) } else { 0 };
    (cut(one, from), cut(other, from))
}

/// A part of a line, without anything that a terminal would obey.
fn cut(line: &str, from: usize) -> String {
    let mut out = String::new();
    if from > 0 {
        out.push('…');
    }
    let mut rest = line.chars().skip(from);
    for character in rest.by_ref().take(WIDE) {
        match character {
            '\t' => out.push('\t'),
            control if control.is_control() => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(control));
            }
            character => out.push(character),
        }
    }
    if rest.next().is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(one: &str, other: &str) -> String {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        of(&lines(one), &lines(other))
    }

    #[test]
    fn what_is_common_stays() {
        assert_eq!(
            diff("a\nb\nc\nd\ne\nf\ng", "a\nb\nc\nd\nX\nf\ng\nh"),
            "  …\n  c\n  d\n- e\n+ X\n  f\n  g\n+ h\n"
        );
        assert_eq!(diff("a\x1b", "b"), "- a\\u{1b}\n+ b\n");
    }

    #[test]
    fn long_lines_are_shown_where_they_differ() {
        let (one, other) = ("x".repeat(500) + "1", "x".repeat(500) + "2");
        let shown = diff(&one, &other);
        assert!(shown.contains("x1\n") && shown.contains("x2\n"), "{shown}");
        assert!(shown.len() < 200);
    }
}
