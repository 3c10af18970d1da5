//! `README.zh-CN.md` says what `README.md` does: the same commands, flags, paths and rows, in
//! another language.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use super::support::{ECHO, Server};

const ENGLISH: &str = include_str!("../../README.md");
const CHINESE: &str = include_str!("../../README.zh-CN.md");

/// Whoever changes one of them changes the other.
#[test]
fn the_twins_have_the_same_code() {
    assert_eq!(code(ENGLISH), code(CHINESE));
    let (english, chinese) = (spans(ENGLISH), spans(CHINESE));
    let missing: Vec<_> = english.difference(&chinese).collect();
    assert!(missing.is_empty(), "README.zh-CN.md lacks {missing:?}");
    let unknown: Vec<_> = chinese.difference(&english).collect();
    assert!(unknown.is_empty(), "README.md lacks {unknown:?}");
}

#[test]
fn the_twins_have_the_same_sections_and_rows() {
    for prefix in ["#", "|", "    "] {
        let count = |text: &str| text.lines().filter(|line| line.starts_with(prefix)).count();
        assert_eq!(count(ENGLISH), count(CHINESE), "lines with {prefix:?}");
    }
}

/// Every file that one of them, or a tutorial, links to is there, and both link to the same ones.
#[test]
fn every_link_leads_to_a_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for page in [
        "README.md",
        "README.zh-CN.md",
        "docs/tutorial.md",
        "docs/tutorial.zh-CN.md",
    ] {
        let text = std::fs::read_to_string(root.join(page)).expect("the page");
        let folder = root.join(page);
        let folder = folder.parent().expect("a folder");
        let links = links(&text);
        assert!(links.len() > 5, "{page}: {links:?}");
        for link in &links {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let file = if file.is_empty() {
                root.join(page)
            } else {
                folder.join(file)
            };
            assert!(file.exists(), "{page}: {link}");
            if !anchor.is_empty() {
                let target = std::fs::read_to_string(&file).expect("the page that is linked to");
                let found = target
                    .lines()
                    .filter(|line| line.starts_with('#'))
                    .map(slug);
                assert_eq!(
                    found.filter(|slug| slug == anchor).count(),
                    1,
                    "{page}: {link}"
                );
            }
        }
    }
    // The one that the other language has under another name.
    let shared = |text| {
        links(text)
            .into_iter()
            .map(|link| link.replace(".zh-CN", ""))
    };
    assert_eq!(
        shared(ENGLISH).collect::<BTreeSet<_>>(),
        shared(CHINESE).collect::<BTreeSet<_>>()
    );
}

/// The first command's second half: an echo without a browser.
#[tokio::test]
async fn the_python_line_prints_what_it_says() {
    let server = Server::start(&[("echo_wsh.rhai", ECHO)]).await;
    let line = code(ENGLISH)
        .into_iter()
        .find(|line| line.contains("python3 -c"))
        .expect("the line")
        .replace("9998", &server.port().to_string());
    let done = Command::new("sh").args(["-c", &line]).output();
    let done = done.expect("start a shell");
    assert_eq!(
        String::from_utf8_lossy(&done.stdout),
        "b'hello'\n",
        "{done:?}"
    );
}

/// Blocks of it that are commands of ours for a new folder, and its configuration.
#[tokio::test]
async fn the_configuration_and_the_template_are_real() {
    let mut toml = code(ENGLISH)
        .into_iter()
        .skip_while(|line| !line.ends_with("# wsh-server.toml"));
    let toml: String = toml
        .by_ref()
        .take_while(|line| line.contains('#') || line.contains('='))
        .map(|line| format!("{}\n", line.trim_start()))
        .collect();
    let config = Server::builder().bare().file("wsh-server.toml", &toml);
    let config = config
        .args(["config", "--config", "wsh-server.toml"])
        .run()
        .await;
    assert!(config.status.success(), "{config:?}");
    for line in toml.lines().filter(|line| line.contains('=')) {
        assert!(config.stdout.contains(line), "{line}\n{}", config.stdout);
    }

    let command = spans(ENGLISH)
        .into_iter()
        .find(|span| span.starts_with("wsh-server new greeter"));
    let words = command.expect("the command").split(' ').skip(1);
    let new = Server::builder().bare().args(words).run().await;
    assert!(new.status.success(), "{new:?}");
    assert!(new.stdout.contains("greeter_wsh.rhai"), "{new:?}");
}

/// Blocks that are indented by four spaces.
fn code(text: &str) -> Vec<&str> {
    text.lines()
        .filter(|line| line.starts_with("    "))
        .collect()
}

/// What stands in backticks.
fn spans(text: &str) -> BTreeSet<&str> {
    let lines = text.lines().filter(|line| !line.starts_with("    "));
    lines
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .collect()
}

/// Where the links to files of this repository lead.
fn links(text: &str) -> BTreeSet<&str> {
    let targets = text.split("](").skip(1);
    let targets = targets.filter_map(|rest| Some(rest.split_once(')')?.0));
    targets.filter(|link| !link.contains("://")).collect()
}

/// As GitHub names a heading.
fn slug(heading: &str) -> String {
    let letters = heading.trim_start_matches(['#', ' ']).to_lowercase();
    let kept = letters
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().replace(' ', "-")
}
