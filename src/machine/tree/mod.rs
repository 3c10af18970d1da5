//! Functions of scripts as trees of our own, so that a call neither looks for names nor asks what
//! it has asked before.
//!
//! Rhai walks through a script's text as parsed and resolves every name and every call anew. Here
//! the statements of a function are translated once, when its file is loaded: variables are
//! numbered slots, and a call keeps the function that it found, by the types of its arguments. The
//! meaning stays Rhai's to the letter: values, errors with their positions, the order of effects,
//! and the number of operations. What a tree does not know it gives to Rhai, which then sees the
//! same values under the same names; so a tree never has to know all of the language.
//!
//! | file | is about |
//! |---|---|
//! | `node` | what a tree is made of |
//! | `translate`, `chains` | Rhai's statements and expressions to nodes; chains of properties, indexes and methods |
//! | `mentions` | which variables are mentioned once |
//! | `functions`, `defined` | the functions of a file that its trees call |
//! | `residue` | parts that Rhai evaluates, on values that the tree gives it |
//! | `site` | what a call has called before |
//! | `operators`, `values` | operators on plain values; values as variables have them |
//! | `run` | a call: its slots, its `this`, and how Rhai is asked |
//! | `places` | values that are looked at where they are |
//! | `statements`, `expressions`, `follow`, `caught` | what nodes do |

mod caught;
mod chains;
mod defined;
mod expressions;
mod follow;
mod functions;
mod mentions;
mod node;
mod operators;
mod places;
mod residue;
mod run;
mod site;
mod statements;
mod translate;
mod values;

pub use functions::{Functions, statements};
pub use node::{Left, Tree};
pub use run::Run;
