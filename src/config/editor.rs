//! The address that opens a place of a file in the developer's editor.

use std::str::FromStr;

/// Schemes of addresses that run or show what they hold.
const NO_EDITOR: [&str; 4] = ["javascript", "data", "blob", "vbscript"];

/// An address with `{file}`, and perhaps `{line}` and `{column}`, which a page fills in:
/// `vscode://file{file}:{line}:{column}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Editor(String);

impl Editor {
    /// The address, with what is to be filled in.
    pub fn address(&self) -> &str {
        &self.0
    }
}

impl FromStr for Editor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "+-.".contains(letter);
        let is_scheme = scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && scheme.chars().all(is_letter)
            && !NO_EDITOR
                .iter()
                .any(|known| scheme.eq_ignore_ascii_case(known));
        if is_scheme && text.contains("{file}") {
            return Ok(Self(text.to_owned()));
        }
        Err(
            "the address that your editor opens files by is wanted, with {file}, {line} and \
            {column} in it, such as vscode://file{file}:{line}:{column}"
                .to_owned(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_and_a_file() {
        for address in [
            "vscode://file{file}:{line}:{column}",
            "idea://open?file={file}&line={line}",
            "http://localhost:63342/api/file{file}:{line}",
        ] {
            let editor: Editor = address.parse().expect(address);
            assert_eq!(editor.address(), address);
        }
        for wrong in [
            "",
            "code",
            "{file}",
            "vscode://file",
            "://{file}",
            "7z:{file}",
            "javascript:alert({file})",
            "JavaScript:{file}",
            "data:text/html,{file}",
        ] {
            let error = wrong.parse::<Editor>().expect_err(wrong);
            assert!(error.contains("{column}"), "{error}");
        }
    }
}
