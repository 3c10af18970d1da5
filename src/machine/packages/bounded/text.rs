//! Values as text: what `print`, `to_string`, `to_debug` and string interpolation show of
//! containers.
//!
//! As Rhai shows them, down to a depth and up to a length; what lies beyond is `…`. These functions
//! never fail, since Rhai would fall back to a way without bounds.

use std::fmt::Write;

use rhai::{Array, Blob, Dynamic, Engine, ImmutableString, Map, NativeCallContext};

use crate::machine::{Limits, meter};

pub fn register(engine: &mut Engine, limits: &Limits) {
    let (most, depth) = (limits.shown, limits.depth);
    for name in ["print", "to_string", "debug", "to_debug"] {
        engine
            .register_fn(
                name,
                move |context: NativeCallContext, array: &mut Array| {
                    Text::new(Some(&context), most).of(|text| text.array(array, depth))
                },
            )
            .register_fn(name, move |context: NativeCallContext, map: &mut Map| {
                Text::new(Some(&context), most).of(|text| text.map(map, depth))
            })
            .register_fn(name, move |blob: &mut Blob| {
                Text::new(None, most).of(|text| text.blob(blob))
            });
    }
    for name in ["debug", "to_debug"] {
        engine.register_fn(name, move |string: &str| {
            Text::new(None, most).of(|text| text.quoted(string))
        });
    }
}

struct Text<'a> {
    /// For the text of types that are not Rhai's own.
    context: Option<&'a NativeCallContext<'a>>,
    out: String,
    most: usize,
}

impl<'a> Text<'a> {
    fn new(context: Option<&'a NativeCallContext<'a>>, most: usize) -> Self {
        Self {
            context,
            out: String::new(),
            most,
        }
    }

    fn of(mut self, write: impl FnOnce(&mut Self)) -> ImmutableString {
        write(&mut self);
        if self.out.len() > self.most {
            self.out.truncate(self.out.floor_char_boundary(self.most));
            self.out.push('…');
        }
        self.out.into()
    }

    fn is_full(&self) -> bool {
        self.out.len() > self.most
    }

    fn value(&mut self, value: &Dynamic, depth: usize) {
        meter::yield_now();
        if let Ok(number) = value.as_int() {
            self.write(number);
        } else if let Ok(string) = value.as_immutable_string_ref() {
            self.quoted(&string);
        } else if let Ok(array) = value.as_array_ref() {
            self.array(&array, depth);
        } else if let Ok(map) = value.as_map_ref() {
            self.map(&map, depth);
        } else if let Ok(blob) = value.as_blob_ref() {
            self.blob(&blob);
        } else if let Ok(number) = value.as_float() {
            self.write(format_args!("{number:?}"));
        } else if value.is_unit() {
            self.out.push_str("()");
        } else {
            self.other(value);
        }
    }

    fn array(&mut self, array: &Array, depth: usize) {
        self.container("[", array, depth, |text, element| {
            text.value(element, depth - 1);
        });
    }

    fn map(&mut self, map: &Map, depth: usize) {
        self.container("#{", map, depth, |text, (key, value)| {
            text.quoted(key);
            text.out.push_str(": ");
            text.value(value, depth - 1);
        });
    }

    fn container<T>(
        &mut self,
        open: &str,
        items: impl IntoIterator<Item = T>,
        depth: usize,
        mut write: impl FnMut(&mut Self, T),
    ) {
        let close = if open == "[" { ']' } else { '}' };
        if depth == 0 {
            self.out.push('…');
            return;
        }
        self.out.push_str(open);
        let begin = self.out.len();
        for item in items {
            if self.is_full() {
                return;
            }
            if self.out.len() > begin {
                self.out.push_str(", ");
            }
            write(self, item);
        }
        self.out.push(close);
    }

    fn blob(&mut self, blob: &Blob) {
        self.out.push('[');
        for (at, byte) in blob.iter().enumerate() {
            if at > 0 && at % 8 == 0 {
                if self.is_full() {
                    return;
                }
                meter::yield_now();
                self.out.push(' ');
            }
            self.write(format_args!("{byte:02x}"));
        }
        self.out.push(']');
    }

    fn quoted(&mut self, string: &str) {
        let room = self.most.saturating_sub(self.out.len());
        if string.len() > room {
            // What does not fit is not looked at; two quotes and one byte more make it too long, so
            // that it is cut.
            let shown = &string[..string.floor_char_boundary(room)];
            self.write(format_args!("{shown:?}…"));
        } else {
            self.write(format_args!("{string:?}"));
        }
    }

    /// A type without parts, or one of ours.
    fn other(&mut self, value: &Dynamic) {
        let shown = self.context.and_then(|context| {
            context
                .call_native_fn_raw("to_debug", true, &mut [&mut value.clone()])
                .ok()?
                .into_immutable_string()
                .ok()
        });
        match shown {
            Some(shown) => self.out.push_str(&shown),
            None => self.write(value),
        }
    }

    fn write(&mut self, shown: impl std::fmt::Display) {
        let _ = write!(self.out, "{shown}");
    }
}
