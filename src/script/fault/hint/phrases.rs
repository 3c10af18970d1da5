//! What several hints say.

use crate::script::fault::foreign;

/// Said where a text is written like another language's with values in it.
pub const TEMPLATE: &str = "a text with values in it stands between backticks: `… ${value}`";

/// For a property that is to be set and would be a hook elsewhere.
pub fn to_a_hook(name: &str) -> Option<String> {
    let hook = foreign::hook(name)?;
    Some(format!("there is a hook for it: `{}`", hook.definition()))
}
