//! Operators on plain values, as Rhai's built-in ones do it. What is not here Rhai does.

use rhai::{Dynamic, EvalAltResult, Position, Token};

/// An operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `+`.
    Plus,
    /// `-` between two.
    Minus,
    /// `*`.
    Multiply,
    /// `/`.
    Divide,
    /// `%`.
    Modulo,
    /// `==`.
    Equal,
    /// `!=`.
    NotEqual,
    /// `<`.
    Less,
    /// `<=`.
    LessEqual,
    /// `>`.
    Greater,
    /// `>=`.
    GreaterEqual,
    /// `..`.
    Range,
    /// `..=`.
    RangeInclusive,
    /// `!`.
    Not,
    /// `-` before one.
    Negate,
}

/// An operation's result; `None` for Rhai to do it.
pub type Done = Option<Result<Dynamic, Box<EvalAltResult>>>;

impl Operator {
    /// The operator that a token is.
    pub fn of(token: &Token) -> Option<Self> {
        Some(match token {
            Token::Plus => Self::Plus,
            Token::Minus => Self::Minus,
            Token::Multiply => Self::Multiply,
            Token::Divide => Self::Divide,
            Token::Modulo => Self::Modulo,
            Token::EqualsTo => Self::Equal,
            Token::NotEqualsTo => Self::NotEqual,
            Token::LessThan => Self::Less,
            Token::LessThanEqualsTo => Self::LessEqual,
            Token::GreaterThan => Self::Greater,
            Token::GreaterThanEqualsTo => Self::GreaterEqual,
            Token::ExclusiveRange => Self::Range,
            Token::InclusiveRange => Self::RangeInclusive,
            _ => return None,
        })
    }

    /// The operator that a token is before one operand.
    pub fn of_one(token: &Token) -> Option<Self> {
        match token {
            Token::Bang => Some(Self::Not),
            Token::Minus | Token::UnaryMinus => Some(Self::Negate),
            _ => None,
        }
    }

    /// On one value.
    pub fn one(self, value: &Dynamic, position: Position) -> Done {
        match self {
            Self::Not => value.as_bool().ok().map(|value| Ok((!value).into())),
            Self::Negate => {
                if let Ok(number) = value.as_int() {
                    let negated = number.checked_neg().map(Dynamic::from);
                    return Some(negated.ok_or_else(|| fault("integer overflow".into(), position)));
                }
                value.as_float().ok().map(|number| Ok((-number).into()))
            }
            _ => None,
        }
    }

    /// On two values, which are not shared.
    #[inline]
    pub fn two(self, left: &Dynamic, right: &Dynamic, position: Position) -> Done {
        if left.is_int() && right.is_int() {
            let (Ok(x), Ok(y)) = (left.as_int(), right.as_int()) else {
                return None;
            };
            return self.ints(x, y, position);
        }
        if left.is_string() && right.is_string() {
            return self.strings(left, right);
        }
        self.others(left, right)
    }

    #[inline]
    fn ints(self, x: i64, y: i64, position: Position) -> Done {
        let number = |number: Option<i64>, what: &str, sign: &str| {
            Some(match number {
                Some(number) => Ok(number.into()),
                None => Err(fault(format!("{what}: {x} {sign} {y}"), position)),
            })
        };
        match self {
            Self::Plus => number(x.checked_add(y), "Addition overflow", "+"),
            Self::Minus => number(x.checked_sub(y), "Subtraction overflow", "-"),
            Self::Multiply => number(x.checked_mul(y), "Multiplication overflow", "*"),
            Self::Divide if y == 0 => number(None, "Division by zero", "/"),
            Self::Divide => number(x.checked_div(y), "Division overflow", "/"),
            Self::Modulo => number(x.checked_rem(y), "Modulo division by zero or overflow", "%"),
            Self::Range => Some(Ok(Dynamic::from(x..y))),
            Self::RangeInclusive => Some(Ok(Dynamic::from(x..=y))),
            _ => self.compare(&x, &y),
        }
    }

    fn strings(self, left: &Dynamic, right: &Dynamic) -> Done {
        let (Ok(x), Ok(y)) = (
            left.as_immutable_string_ref(),
            right.as_immutable_string_ref(),
        ) else {
            return None;
        };
        match self {
            Self::Plus => Some(Ok((&*x + &*y).into())),
            _ => self.compare(&*x, &*y),
        }
    }

    fn others(self, left: &Dynamic, right: &Dynamic) -> Done {
        if left.is_unit() && right.is_unit() {
            return match self {
                Self::Equal => Some(Ok(Dynamic::TRUE)),
                Self::NotEqual => Some(Ok(Dynamic::FALSE)),
                _ => None,
            };
        }
        if let (Ok(x), Ok(y)) = (left.as_bool(), right.as_bool()) {
            return self.compare(&x, &y);
        }
        if let (Ok(x), Ok(y)) = (left.as_char(), right.as_char()) {
            return self.compare(&x, &y);
        }
        let float = |value: &Dynamic| {
            let int = || value.as_int().ok().map(|int| int as f64);
            value.as_float().ok().or_else(int)
        };
        if let (Some(x), Some(y)) = (float(left), float(right)) {
            return match self {
                Self::Plus => Some(Ok((x + y).into())),
                Self::Minus => Some(Ok((x - y).into())),
                Self::Multiply => Some(Ok((x * y).into())),
                Self::Divide => Some(Ok((x / y).into())),
                Self::Modulo => Some(Ok((x % y).into())),
                _ => None,
            };
        }
        // A value and `()`: what is asked most often of values of different types.
        let is_plain = |value: &Dynamic| !value.is_unit() && !value.is_variant();
        if left.is_unit() && is_plain(right) || right.is_unit() && is_plain(left) {
            return match self {
                Self::Equal => Some(Ok(Dynamic::FALSE)),
                Self::NotEqual => Some(Ok(Dynamic::TRUE)),
                _ => None,
            };
        }
        None
    }

    #[inline]
    fn compare<T: PartialOrd + ?Sized>(self, x: &T, y: &T) -> Done {
        Some(Ok(Dynamic::from(match self {
            Self::Equal => x == y,
            Self::NotEqual => x != y,
            Self::Less => x < y,
            Self::LessEqual => x <= y,
            Self::Greater => x > y,
            Self::GreaterEqual => x >= y,
            _ => return None,
        })))
    }

    /// Changes a value in place by another, neither of them shared; `None` for Rhai to do it.
    pub fn change(
        self,
        target: &mut Dynamic,
        value: &Dynamic,
        position: Position,
    ) -> Option<Result<(), Box<EvalAltResult>>> {
        if target.is_read_only() {
            return None;
        }
        if target.is_int() && value.is_int() {
            if !matches!(
                self,
                Self::Plus | Self::Minus | Self::Multiply | Self::Divide | Self::Modulo
            ) {
                return None;
            }
            let done = self.two(target, value, position)?;
            return Some(done.map(|mut changed| {
                // A value has a tag beside it.
                changed.set_tag(target.tag());
                *target = changed;
            }));
        }
        if self == Self::Plus && target.is_string() && value.is_string() {
            let mut text = target.as_immutable_string_mut().ok()?;
            *text += &*value.as_immutable_string_ref().ok()?;
            return Some(Ok(()));
        }
        None
    }
}

fn fault(message: String, position: Position) -> Box<EvalAltResult> {
    EvalAltResult::ErrorArithmetic(message, position).into()
}
