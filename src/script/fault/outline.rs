//! A source's tokens to its names: what it defines, and what can be seen at a place of it, also if
//! it does not compile.

use rhai::{Engine, Position, Token};

/// Definitions at a source's top level, and what is known of one place of it.
#[derive(Debug, Default)]
pub struct Outline {
    /// Every `fn`, in order.
    pub functions: Vec<Function>,
    /// Every `const` of the top level.
    pub constants: Vec<String>,
    /// Every `let` of the top level.
    pub variables: Vec<String>,
    /// Every module's name, and its path.
    pub imports: Vec<(String, String)>,
    /// The names that `catch` gives to what was thrown.
    pub caught: Vec<String>,
    /// The names that the place sees.
    pub visible: Vec<String>,
    /// The function that the place is in, one of `functions`.
    pub inside: Option<usize>,
    /// The bracket that was probably not closed, if one was not.
    pub unclosed: Option<(char, Position)>,
}

/// A function of a source.
#[derive(Debug, Clone)]
pub struct Function {
    /// Name of the function.
    pub name: String,
    /// Position of the name in the source.
    pub position: Position,
    /// Names of the parameters, in order.
    pub params: Vec<String>,
    /// Whether other files cannot call it.
    pub is_private: bool,
}

impl Outline {
    /// Reads a source, with a place of interest.
    pub fn of(engine: &Engine, text: &str, place: Position) -> Self {
        let tokens = tokens(engine, text);
        let mut reader = Reader::new(text);
        let mut seen = false;
        for (at, (token, position)) in tokens.iter().enumerate() {
            if !seen && *position >= place {
                seen = true;
                reader.look();
            }
            let before = at.checked_sub(1).map(|at| &tokens[at].0);
            reader.take(before, token, *position, &tokens[at + 1..]);
        }
        if !seen {
            reader.look();
        }
        reader.finish()
    }

    /// The function that the place is in.
    pub fn function(&self) -> Option<&Function> {
        self.functions.get(self.inside?)
    }
}

/// The method whose call is the whole argument of the call of the function named here.
pub fn method_in_argument(engine: &Engine, text: &str, place: Position) -> Option<String> {
    let tokens = tokens(engine, text);
    let call = tokens.iter().position(|(_, at)| *at == place)?;
    let arguments = &tokens[call + 1..];
    let arguments = arguments.get(1..closing(arguments)?)?;
    let is_last = |open: &usize| closing(&arguments[*open..]) == Some(arguments.len() - 1 - open);
    match &arguments[..(0..arguments.len()).find(is_last)?] {
        [
            before @ ..,
            (Token::Period, _),
            (Token::Identifier(name), _),
        ] if before.iter().all(|(token, _)| *token != Token::Comma) => Some(name.to_string()),
        _ => None,
    }
}

/// Returns the index of the token that closes the parentheses that open here.
fn closing(tokens: Tokens<'_>) -> Option<usize> {
    let mut open = 0;
    for (at, (token, _)) in tokens.iter().enumerate() {
        match token {
            Token::LeftParen => open += 1,
            Token::RightParen => open -= 1,
            // Both in one.
            Token::Unit => {}
            _ if open == 0 => return None,
            _ => {}
        }
        if open <= 0 {
            return (open == 0).then_some(at);
        }
    }
    None
}

type Tokens<'t> = &'t [(Token, Position)];

/// The tokens, with those inside `${…}` of texts, for which Rhai's parser gives its tokenizer a
/// sign.
pub fn tokens(engine: &Engine, text: &str) -> Vec<(Token, Position)> {
    let texts = [text];
    let (stream, control) = engine.lex(&texts);
    let mut tokens = Vec::new();
    let (mut braces, mut is_in_text) = (Vec::new(), false);
    for (token, position) in stream {
        match &token {
            Token::EOF => break,
            Token::InterpolatedString(_) => is_in_text = true,
            Token::LeftBrace | Token::MapStart => braces.push(std::mem::take(&mut is_in_text)),
            Token::RightBrace => {
                control.borrow_mut().is_within_text = braces.pop().unwrap_or(false);
            }
            _ => {}
        }
        tokens.push((token, position));
    }
    tokens
}

struct Reader {
    outline: Outline,
    /// The file itself, and the brackets around what is read now.
    blocks: Vec<Block>,
    /// Names that belong into the next block.
    pending: Vec<String>,
    pending_function: Option<usize>,
    /// Indentation of each line.
    indents: Vec<usize>,
    /// A block whose end is indented in another way than its beginning.
    crooked: Option<(char, Position)>,
}

struct Block {
    open: char,
    position: Position,
    names: Vec<String>,
    function: Option<usize>,
}

impl Reader {
    fn new(text: &str) -> Self {
        let indent = |line: &str| line.chars().take_while(|c| c.is_whitespace()).count();
        Self {
            outline: Outline::default(),
            blocks: vec![Block {
                open: ' ',
                position: Position::NONE,
                names: Vec::new(),
                function: None,
            }],
            pending: Vec::new(),
            pending_function: None,
            indents: text.split('\n').map(indent).collect(),
            crooked: None,
        }
    }

    /// Keeps what is seen from here.
    fn look(&mut self) {
        self.outline.inside = self.blocks.iter().find_map(|block| block.function);
        // A function sees nothing of the top level.
        let hidden = usize::from(self.outline.inside.is_some());
        let names = self.blocks[hidden..].iter().flat_map(|block| &block.names);
        self.outline.visible = names.cloned().collect();
    }

    fn take(&mut self, before: Option<&Token>, token: &Token, at: Position, rest: Tokens<'_>) {
        match (token, rest) {
            // `()` is one token.
            (
                Token::Fn,
                [
                    (Token::Identifier(name), at),
                    (Token::LeftParen | Token::Unit, _),
                    ..,
                ],
            ) => {
                self.pending = names(&rest[1..], |token| {
                    matches!(token, Token::RightParen | Token::Unit)
                });
                self.pending_function = Some(self.outline.functions.len());
                self.outline.functions.push(Function {
                    name: name.to_string(),
                    position: *at,
                    params: self.pending.clone(),
                    is_private: before == Some(&Token::Private),
                });
            }
            (Token::Let | Token::Const, [(Token::Identifier(name), _), ..]) => {
                if self.blocks.len() == 1 {
                    let of_this_kind = match token {
                        Token::Const => &mut self.outline.constants,
                        _ => &mut self.outline.variables,
                    };
                    of_this_kind.push(name.to_string());
                }
                self.declare([name.to_string()]);
            }
            (Token::As, [(Token::Identifier(name), _), ..]) => {
                if let Some(Token::StringConstant(path)) = before {
                    self.outline
                        .imports
                        .push((name.to_string(), path.to_string()));
                }
                self.declare([name.to_string()]);
            }
            (Token::For, rest) => self.pending = names(rest, |token| *token == Token::In),
            (Token::Catch, [(Token::LeftParen, _), (Token::Identifier(name), _), ..]) => {
                self.pending = vec![name.to_string()];
                self.outline.caught.push(name.to_string());
            }
            (Token::Pipe, rest) if before.is_none_or(|before| !ends_a_value(before)) => {
                self.declare(names(rest, |token| *token == Token::Pipe));
            }
            (Token::LeftBrace, _) => {
                self.open('{', at);
                if let Some(block) = self.blocks.last_mut() {
                    block.names = std::mem::take(&mut self.pending);
                    block.function = self.pending_function.take();
                }
            }
            (Token::MapStart, _) => self.open('{', at),
            (Token::LeftParen, _) => self.open('(', at),
            (Token::LeftBracket | Token::QuestionBracket, _) => self.open('[', at),
            (Token::RightBrace, _) => self.close('{', at),
            (Token::RightParen, _) => self.close('(', at),
            (Token::RightBracket, _) => self.close('[', at),
            _ => {}
        }
    }

    fn declare(&mut self, names: impl IntoIterator<Item = String>) {
        if let Some(block) = self.blocks.last_mut() {
            block.names.extend(names);
        }
    }

    fn open(&mut self, open: char, position: Position) {
        self.blocks.push(Block {
            open,
            position,
            names: Vec::new(),
            function: None,
        });
    }

    fn close(&mut self, open: char, at: Position) {
        let Some(opened) = self.blocks.iter().rposition(|block| block.open == open) else {
            return;
        };
        // What was opened inside and is still open was forgotten.
        if let Some(forgotten) = self.blocks.get(opened + 1) {
            let unclosed = (forgotten.open, forgotten.position);
            self.outline.unclosed.get_or_insert(unclosed);
        }
        let position = self.blocks[opened].position;
        self.blocks.truncate(opened);
        let indent = |position: Position| {
            let line = position.line().unwrap_or(1);
            self.indents.get(line - 1).copied().unwrap_or(0)
        };
        let begins_its_line = at.position().unwrap_or(1) == indent(at) + 1;
        if begins_its_line && indent(at) != indent(position) {
            self.crooked.get_or_insert((open, position));
        }
    }

    fn finish(mut self) -> Outline {
        if let [_, .., last] = &self.blocks[..] {
            let unclosed = self.crooked.unwrap_or((last.open, last.position));
            self.outline.unclosed.get_or_insert(unclosed);
        }
        self.outline
    }
}

/// The identifiers up to a token.
fn names(tokens: Tokens<'_>, is_end: impl Fn(&Token) -> bool) -> Vec<String> {
    let tokens = tokens.iter().map(|(token, _)| token);
    tokens
        .take_while(|token| !is_end(token) && **token != Token::LeftBrace)
        .filter_map(|token| match token {
            Token::Identifier(name) => Some(name.to_string()),
            _ => None,
        })
        .collect()
}

/// Whether `|` after this token is an operator; otherwise it begins a closure.
fn ends_a_value(token: &Token) -> bool {
    matches!(
        token,
        Token::Identifier(_)
            | Token::RightParen
            | Token::RightBracket
            | Token::RightBrace
            | Token::IntegerConstant(_)
            | Token::True
            | Token::False
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(text: &str, line: u16, column: u16) -> Outline {
        Outline::of(&Engine::new_raw(), text, Position::new(line, column))
    }

    #[test]
    fn a_function_sees_its_own_names_only() {
        let text = "const A = 1;\nlet b = 2;\nfn f(x, y) {\n    let z = |c| c;\n    for (i, j) in \
            x {\n        \
                    here\n    }\n}\nfn g(w) {\n}\n";
        let seen = outline(text, 6, 9);
        assert_eq!(seen.visible, ["x", "y", "z", "c", "i", "j"]);
        assert_eq!(
            (seen.constants, seen.variables),
            (vec!["A".into()], vec!["b".into()])
        );
        assert_eq!(seen.functions[seen.inside.expect("in f")].name, "f");
        assert_eq!(seen.functions[1].params, ["w"]);
        assert_eq!(outline(text, 3, 1).visible, ["A", "b"]);
        let seen = outline("import \"lib/x\" as x;\nprivate fn f() { }\n", 1, 1);
        assert_eq!(seen.imports, [("x".into(), "lib/x".into())]);
        assert!(seen.functions[0].is_private);
        assert_eq!(outline("fn f() {\nhere\n}", 2, 1).inside, Some(0));
    }

    #[test]
    fn what_stands_inside_texts_is_read_too() {
        let text = "fn f(a) {\n    `x ${ g(|b| `${b}`) } } y`;\n    here\n}\n";
        let seen = outline(text, 3, 5);
        assert_eq!((seen.visible, seen.unclosed), (vec!["a".into()], None));
    }

    #[test]
    fn the_bracket_that_was_forgotten() {
        for (text, open, line) in [
            ("fn f() {\n    if true {\n}\n", '{', 2),
            ("fn f() {\n    g(1;\n}\n", '(', 2),
            ("fn f() {\n    let a = [1, 2;\n}\n", '[', 2),
            ("fn f() {\n\nfn g(a) {\n}\n", '{', 1),
        ] {
            let (found, position) = outline(text, 1, 1).unclosed.expect(text);
            assert_eq!((found, position.line()), (open, Some(line)), "{text}");
        }
        assert_eq!(outline("fn f() { [(1)] }", 1, 1).unclosed, None);
    }
}
