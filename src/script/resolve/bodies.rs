//! Which function a statement belongs to, by where it stands.

use std::collections::HashMap;

use rhai::Position;

/// Source ranges of the bodies of functions.
#[derive(Default)]
pub struct Bodies {
    /// Their beginning and end, with whose they are.
    blocks: Vec<(Position, Position, usize)>,
    /// A closure's body that is an expression has no end, and is one statement.
    expressions: HashMap<Position, usize>,
}

impl Bodies {
    /// Takes on the body of a function.
    pub fn add(&mut self, at: usize, start: Position, end: Position) {
        if end.is_none() {
            self.expressions.insert(start, at);
        } else {
            self.blocks.push((start, end, at));
        }
    }

    /// Nothing is added from now on: they are put in order.
    pub fn sorted(mut self) -> Self {
        self.blocks.sort();
        self
    }

    /// The function that a statement belongs to: of those around it the one that begins last.
    pub fn around(&self, statement: Position) -> Option<usize> {
        if let Some(at) = self.expressions.get(&statement) {
            return Some(*at);
        }
        let before = self
            .blocks
            .partition_point(|(start, ..)| *start <= statement);
        let mut before = self.blocks[..before].iter().rev();
        let around = before.find(|(_, end, _)| statement <= *end);
        around.map(|(.., at)| *at)
    }
}
