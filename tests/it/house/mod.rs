//! The house: no circle between the files of `src`, no modules that import each other, no file that
//! holds everything, and a map that is right. It reads the code, so that nothing but the code has to
//! be kept up to date. What it cannot see are methods called on values of types that no path names.

mod graph;
mod source;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use graph::{Graph, House, circles};

static HOUSE: LazyLock<House> = LazyLock::new(House::read);

/// Lines of the longest file.
const LONGEST: usize = 700;
/// Columns of the widest line.
const WIDEST: usize = 100;

#[test]
fn no_files_import_each_other_in_a_circle() {
    let circles = circles(&HOUSE.files());
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let house = &*HOUSE;
    let siblings = house.siblings();
    let circles: Vec<_> = siblings.values().flat_map(circles).collect();
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn no_file_holds_everything() {
    let house = &*HOUSE;
    let lines = house
        .texts
        .iter()
        .map(|(file, text)| (file, text.lines().count()));
    let long: Vec<_> = lines.filter(|(_, lines)| *lines > LONGEST).collect();
    assert!(long.is_empty(), "over {LONGEST} lines: {long:?}");
}

/// A line of a text stays one however long it is, and so do a table's rows.
fn may_be_wide(line: &str, texts: &BTreeSet<String>) -> bool {
    let is_row = ["//! |", "/// |"]
        .iter()
        .any(|row| line.trim_start().starts_with(row));
    let mut long = texts.iter().filter(|text| text.len() > WIDEST / 2);
    is_row || !line.trim_start().starts_with("//") && long.any(|text| line.contains(text.as_str()))
}

#[test]
fn no_line_is_wider_than_a_screen() {
    let mut wide = Vec::new();
    for (file, source) in &HOUSE.texts {
        let texts = source::texts(source);
        for (number, line) in (1..).zip(source.lines()) {
            if line.chars().count() > WIDEST && !may_be_wide(line, &texts) {
                wide.push(format!("{file}:{number}: {}", line.trim_start()));
            }
        }
    }
    assert!(
        wide.is_empty(),
        "over {WIDEST} columns:\n{}",
        wide.join("\n")
    );
}

#[test]
fn only_texts_and_tables_are_wide() {
    let text = format!("the text {}", "x".repeat(WIDEST));
    let texts = source::texts(&format!("fn f() {{ g!(\"{text}\", \"a\\\n  {text}\") }}"));
    assert!(may_be_wide(&format!("    g(\"{text}\")"), &texts));
    assert!(may_be_wide(&format!("  {text}\");"), &texts));
    assert!(may_be_wide(&format!("//! | {text} |"), &texts));
    assert!(!may_be_wide(&format!("// {text}"), &texts));
    assert!(!may_be_wide(
        &format!("g(a, \"a\"{})", ", a".repeat(WIDEST)),
        &texts
    ));
}

/// The table at the head of `lib.rs`: its last column names what a module imports, its last heading
/// what goes without saying.
#[test]
fn the_map_says_who_imports_whom() {
    let house = &*HOUSE;
    let rows = house.texts["lib.rs"].lines();
    let rows = rows.filter_map(|line| line.strip_prefix("//! |")?.strip_suffix('|'));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.split('|').collect()).collect();
    let modules = |cell: &str| -> BTreeSet<String> {
        let quoted = cell.split('`').skip(1).step_by(2).map(str::to_owned);
        quoted.filter(|word| house.top().contains(word)).collect()
    };
    let last = |row: &[&str]| modules(row.last().expect("a column"));
    let usual = last(&rows[0]);
    let siblings = house.siblings();
    let mut told = BTreeSet::new();
    for row in &rows[2..] {
        let name = modules(row[0]).pop_first().expect("a module");
        let imports = siblings[&Vec::new()].get(&name);
        let imports = imports.into_iter().flat_map(|uses| uses.keys().cloned());
        let imports: BTreeSet<_> = imports.filter(|name| !usual.contains(name)).collect();
        assert_eq!(last(row), imports, "what {name} imports: the map, the code");
        told.insert(name);
    }
    assert_eq!(told, *house.top(), "the map, the code");
}

/// A crate of files, each a name and what it holds.
fn house(files: &[(&'static str, &'static str)]) -> House {
    House::of(files.iter().copied())
}

/// The circles between files, each as the names in it.
fn found(files: &[(&'static str, &'static str)]) -> Vec<String> {
    circles(&house(files).files())
}

/// Two files, of which `a.rs` uses `b.rs` as it is written here, and is used by it.
fn both_ways(a: &'static str) -> usize {
    let files = [
        (
            "lib.rs",
            "mod a; mod b; pub use b::Thing as Other; pub use b::made;",
        ),
        ("a.rs", a),
        (
            "b.rs",
            "use crate::a::A; pub struct Thing; pub const LEAST: A = A; pub trait Doing {} pub fn made() {}",
        ),
    ];
    found(&files).len()
}

#[test]
fn a_circle_of_two_is_found_however_it_is_written() {
    for uses in [
        "use crate::b::Thing; pub struct A;",
        "use super::b::Thing; pub struct A;",
        "use crate::{b::{self, Thing}}; pub struct A;",
        "use crate::b::Thing as Renamed; pub struct A;",
        "use crate::b; pub struct A; fn f(_: b::Thing) {}",
        "use crate::b::{self as other}; pub struct A; fn f() { other::made() }",
        "pub struct A; fn f() -> usize { crate::b::LEAST }",
        "pub struct A; impl super::b::Doing for A {}",
        "pub struct A; fn f() -> Option<Vec<crate::b::Thing>> { None }",
        "pub struct A; fn f() { let _ = || { use crate::b::Thing; }; }",
        "pub struct A; fn f(x: u8) { match x { crate::b::LEAST => {} _ => {} } }",
        "pub struct A; mod inner { use super::super::b::Thing; }",
        "pub struct A; mod inner { pub use crate::b::Thing; } fn f(_: inner::Thing) {}",
        // Through what the root passes on.
        "use crate::Other; pub struct A;",
        "use super::Other; pub struct A;",
        "pub struct A; fn f() { crate::made() }",
        // Passed on, and used as well.
        "pub use crate::b::Thing; pub struct A; fn f(_: Thing) {}",
        // By a glob.
        "use crate::b::*; pub struct A; fn f(_: Thing) {}",
        "use super::*; pub struct A; fn f(_: Other) {}",
        "use super::*; pub struct A; fn f() { made() }",
        // In macros and attributes.
        "pub struct A; fn f() { println!(\"{}\", crate::b::LEAST) }",
        "pub use crate::b::made; pub struct A; fn f() { assert!(made() == ()) }",
        "pub use crate::b::LEAST; pub struct A; fn f() { assert!(LEAST == 1) }",
        "use crate::b; pub struct A; fn f() { select! { x = b::made() => x.y } }",
        "pub struct A; macro_rules! m { () => { $crate::b::made() } }",
        "#[derive(Args)] pub struct A { #[arg(value_parser = crate::b::made)] a: u8 }",
        "pub struct A; fn f() { bitflags! { crate::b::unheard_of!() } }",
    ] {
        assert_eq!(both_ways(uses), 1, "{uses}");
    }
}

#[test]
fn what_uses_nothing_is_no_circle() {
    for uses in [
        "pub struct A;",
        // Only passed on.
        "pub use crate::b::Thing; pub struct A;",
        // A module's name by itself.
        "use crate::b; pub struct A;",
        // Variables, fields and methods that are named alike.
        "pub use crate::b::made; pub struct A; fn f(made: u8) -> u8 { made }",
        "pub use crate::b::made; pub struct A; fn f(made: F) { assert!(made(1)) }",
        "pub use crate::b::made; pub struct A; fn f(a: A) { assert!(a.made()); a.made() }",
        // Other crates, and another thing of the same name.
        "use ::b::Thing; pub struct A;",
        "pub use crate::b::Thing; pub struct A; mod inner { struct Thing; fn f(_: Thing) {} }",
        // Tests.
        "pub struct A; #[cfg(test)] mod tests { use crate::b::Thing; }",
        "pub struct A; impl A { #[cfg(test)] fn f(_: crate::b::Thing) {} }",
        "/// See [`Thing`](crate::b::Thing).\npub struct A;",
    ] {
        assert_eq!(both_ways(uses), 0, "{uses}");
    }
}

#[test]
fn a_file_that_is_there_for_tests_does_not_count() {
    let files = [
        ("lib.rs", "mod a;"),
        ("a.rs", "pub struct A; #[cfg(test)] mod tests;"),
        ("a/tests.rs", "use super::A;"),
    ];
    assert_eq!(found(&files), [""; 0]);
}

#[test]
fn a_circle_of_three_is_found_with_its_edges() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c; mod d;"),
        ("a.rs", "pub struct A; use crate::b::B; use crate::d::D;"),
        ("b/mod.rs", "mod inner; pub use inner::B;"),
        ("b/inner.rs", "pub struct B; use crate::c::C;"),
        ("c.rs", "pub struct C; use crate::a::A;"),
        ("d.rs", "pub struct D;"),
    ];
    let edges = "3 in a circle:\n  a.rs → b/inner.rs: crate::b::B\n  \
        b/inner.rs → c.rs: crate::c::C\n  c.rs → a.rs: crate::a::A";
    assert_eq!(found(&files), [edges]);
}

/// A file and the one above it are two files, too.
#[test]
fn a_parent_that_uses_what_uses_it_is_found() {
    let files = [
        ("lib.rs", "mod a;"),
        ("a/mod.rs", "mod b; pub struct A; fn f() { b::f() }"),
        ("a/b.rs", "pub fn f() {} use super::A;"),
    ];
    assert_eq!(found(&files).len(), 1);
    let files = [
        files[0],
        ("a/mod.rs", "mod b; pub struct A; pub use b::f;"),
        files[2],
    ];
    assert_eq!(found(&files), [""; 0]);
}

/// A macro is known below the module that defines it, without a path.
#[test]
fn a_macro_from_above_is_followed() {
    let files = [
        (
            "lib.rs",
            "#[macro_use] mod a { macro_rules! m { () => {} } mod b; mod c; }",
        ),
        ("a/b.rs", "pub fn f() {} fn g() { m!() }"),
        ("a/c.rs", ""),
    ];
    let graph = house(&files).files();
    let uses: Vec<_> = graph["a/b.rs"].keys().collect();
    assert_eq!(uses, ["lib.rs"]);
}

/// Two folders whose files make no circle may import each other all the same.
#[test]
fn modules_that_import_each_other_are_found() {
    let files = [
        ("lib.rs", "mod a; mod deep;"),
        ("a.rs", ""),
        ("deep/mod.rs", "mod one; mod two;"),
        ("deep/one/mod.rs", "mod user; pub mod used;"),
        ("deep/one/user.rs", "use crate::deep::two::used::Two;"),
        ("deep/one/used.rs", "pub struct One;"),
        ("deep/two/mod.rs", "mod user; pub mod used;"),
        ("deep/two/user.rs", "use super::super::one::used::One;"),
        ("deep/two/used.rs", "pub struct Two;"),
    ];
    assert_eq!(found(&files), [""; 0]);
    let siblings = house(&files).siblings();
    let deep: &Graph = &siblings[&vec!["deep".to_owned()]];
    let circles = circles(deep);
    assert_eq!(circles.len(), 1);
    let edge = "one → two: deep/one/user.rs uses crate::deep::two::used::Two of deep/two/used.rs";
    assert!(circles[0].contains(edge), "{circles:?}");
}
