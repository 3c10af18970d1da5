//! Methods that look at a text or at bytes, and leave them where they are.
//!
//! Rhai's own way of registering takes each argument out of its place, as the type that the
//! function wants: a blob that a script goes on using is copied for that. What only looks at its
//! argument is registered with these.

use std::any::{TypeId, type_name};
use std::marker::PhantomData;
use std::rc::Rc;

use rhai::{
    Blob, Dynamic, EvalAltResult, ImmutableString, NativeCallContext, Position, RhaiFunc,
    RhaiNativeFunc, Variant,
};

/// What a native function gives.
type Outcome<R> = Result<R, Box<EvalAltResult>>;

/// A method of `T` that looks at its argument, which is an `A`.
#[derive(Debug)]
pub struct Looks<T, A, F> {
    look: F,
    _of: PhantomData<fn(&T, &A)>,
}

/// A method that looks at a text.
pub fn at_text<T, R, F>(look: F) -> Looks<T, ImmutableString, F>
where
    F: Fn(&T, &str) -> Outcome<R> + 'static,
{
    let _of = PhantomData;
    Looks { look, _of }
}

/// A method that looks at bytes.
pub fn at_bytes<T, R, F>(look: F) -> Looks<T, Blob, F>
where
    F: Fn(&T, &[u8]) -> Outcome<R> + 'static,
{
    let _of = PhantomData;
    Looks { look, _of }
}

impl<T, R, F> RhaiNativeFunc<(T, ImmutableString), 2, false, R, true>
    for Looks<T, ImmutableString, F>
where
    T: Variant + Clone,
    R: Variant + Clone,
    F: Fn(&T, &str) -> Outcome<R> + 'static,
{
    fn param_types() -> [TypeId; 2] {
        [TypeId::of::<T>(), TypeId::of::<ImmutableString>()]
    }

    fn param_names() -> [&'static str; 2] {
        [type_name::<&mut T>(), type_name::<ImmutableString>()]
    }

    fn into_rhai_function(self, is_pure: bool, is_volatile: bool) -> RhaiFunc {
        method(is_pure, is_volatile, move |args| match args {
            [object, argument] => {
                let (Some(object), Ok(text)) =
                    (object.read_lock::<T>(), argument.as_immutable_string_ref())
                else {
                    return None;
                };
                Some((self.look)(&object, &text).map(Dynamic::from))
            }
            _ => None,
        })
    }
}

impl<T, R, F> RhaiNativeFunc<(T, Blob), 2, false, R, true> for Looks<T, Blob, F>
where
    T: Variant + Clone,
    R: Variant + Clone,
    F: Fn(&T, &[u8]) -> Outcome<R> + 'static,
{
    fn param_types() -> [TypeId; 2] {
        [TypeId::of::<T>(), TypeId::of::<Blob>()]
    }

    fn param_names() -> [&'static str; 2] {
        [type_name::<&mut T>(), type_name::<Blob>()]
    }

    fn into_rhai_function(self, is_pure: bool, is_volatile: bool) -> RhaiFunc {
        method(is_pure, is_volatile, move |args| match args {
            [object, argument] => {
                let (Some(object), Ok(bytes)) = (object.read_lock::<T>(), argument.as_blob_ref())
                else {
                    return None;
                };
                Some((self.look)(&object, &bytes).map(Dynamic::from))
            }
            _ => None,
        })
    }
}

/// A method as Rhai has it. It is only called with arguments of its types: nothing comes of it only
/// where one of them is being changed.
fn method(
    is_pure: bool,
    is_volatile: bool,
    call: impl Fn(&mut [&mut Dynamic]) -> Option<Outcome<Dynamic>> + 'static,
) -> RhaiFunc {
    let func = move |_: Option<NativeCallContext>, args: &mut [&mut Dynamic]| {
        let race = || EvalAltResult::ErrorDataRace(String::new(), Position::NONE);
        call(args).unwrap_or_else(|| Err(race().into()))
    };
    RhaiFunc::Method {
        func: Rc::new(func),
        has_context: false,
        is_pure,
        is_volatile,
    }
}

#[cfg(test)]
mod tests {
    use rhai::Engine;

    use super::*;

    #[derive(Debug, Clone)]
    struct Ledger(usize);

    /// Variables, constants, properties and shared values are looked at, and are there afterwards.
    #[test]
    fn what_is_looked_at_stays() {
        let mut engine = Engine::new();
        engine
            .register_fn("ledger", || Ledger(1))
            .register_fn(
                "add",
                at_text(|ledger: &Ledger, text| Ok((ledger.0 + text.len()) as i64)),
            )
            .register_fn(
                "add",
                at_bytes(|ledger: &Ledger, bytes| Ok((ledger.0 + bytes.len()) as i64)),
            );
        let script = "
            let ledger = ledger();
            let text = `four`;
            const BYTES = blob(3, 7);
            let map = #{ bytes: BYTES };
            let both = `twelve`;
            let closure = || both.len();
            let sums = [ledger.add(text), ledger.add(BYTES), ledger.add(map.bytes)];
            sums.push(add(ledger, both));
            [sums, text, BYTES.len(), map.bytes.len(), closure.call()].to_string()";
        let shown = engine
            .eval::<String>(script)
            .map_err(|error| error.to_string());
        let wanted = r#"[[5, 4, 4, 7], "four", 3, 3, 6]"#;
        assert_eq!(shown.as_deref(), Ok(wanted));
    }

    #[test]
    fn the_error_is_that_of_the_method() {
        let mut engine = Engine::new();
        let fails = at_text(|_: &Ledger, text| -> Outcome<i64> { Err(text.into()) });
        engine
            .register_fn("ledger", || Ledger(1))
            .register_fn("add", fails);
        let error = engine.eval::<i64>("ledger().add(`no room`)");
        assert!(error.is_err_and(|error| error.to_string().contains("no room")));
    }
}
