//! Comparing containers: `==` and `!=` of arrays and maps; `contains`, `index_of` and `dedup` of
//! arrays.

use rhai::{Array, Dynamic, Engine, EvalAltResult, FnPtr, Map, NativeCallContext};

use super::bounds::{CALL, VALUE, change};
use crate::machine::Limits;
use crate::machine::error::throw;
use crate::machine::meter::Pace;

pub fn register(engine: &mut Engine, limits: &Limits) {
    let depth = limits.depth;
    for (name, wanted) in [("==", true), ("!=", false)] {
        engine
            .register_fn(
                name,
                move |context: NativeCallContext, a: &mut Array, b: Array| {
                    let equal = Equal::new(&context, depth).arrays(a, &b, depth)?;
                    Ok::<_, Box<EvalAltResult>>(equal == wanted)
                },
            )
            .register_fn(
                name,
                move |context: NativeCallContext, a: &mut Map, b: Map| {
                    let equal = Equal::new(&context, depth).maps(a, &b, depth)?;
                    Ok::<_, Box<EvalAltResult>>(equal == wanted)
                },
            );
    }
    engine
        .register_fn(
            "contains",
            move |context: NativeCallContext, array: &mut Array, value: Dynamic| {
                let found = Equal::new(&context, depth).find(array, &value)?;
                Ok::<_, Box<EvalAltResult>>(found.is_some())
            },
        )
        .register_fn(
            "index_of",
            move |context: NativeCallContext, array: &mut Array, value: Dynamic| {
                let found = Equal::new(&context, depth).find(array, &value)?;
                Ok::<_, Box<EvalAltResult>>(found.map_or(-1, |at| at as i64))
            },
        )
        .register_fn(
            "index_of",
            move |context: NativeCallContext, array: &mut Array, value: Dynamic, start: i64| {
                let start = offset(array.len(), start);
                let found = Equal::new(&context, depth).find(&array[start..], &value)?;
                Ok::<_, Box<EvalAltResult>>(found.map_or(-1, |at| (start + at) as i64))
            },
        );
    change(
        engine,
        "dedup",
        move |context: NativeCallContext, array: &mut Array| {
            let mut equal = Equal::new(&context, depth);
            dedup(array, |a, b| equal.values(a, b, depth))?;
            Ok::<_, Box<EvalAltResult>>(array.clone())
        },
    );
    change(
        engine,
        "dedup",
        |context: NativeCallContext, array: &mut Array, comparer: FnPtr| {
            dedup_by(&context, array, &comparer)
        },
    );
    change(
        engine,
        "dedup",
        |context: NativeCallContext, array: &mut Array, comparer: &str| {
            dedup_by(&context, array, &FnPtr::new(comparer)?)
        },
    );
}

/// Converts an index, which counts from the end if it is negative, into an offset within `length`.
pub fn offset(length: usize, index: i64) -> usize {
    let distance = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
    if index < 0 {
        length.saturating_sub(distance)
    } else {
        length.min(distance)
    }
}

fn dedup_by(
    context: &NativeCallContext,
    array: &mut Array,
    comparer: &FnPtr,
) -> Result<Array, Box<EvalAltResult>> {
    dedup(array, |a, b| {
        let same = comparer.call_raw(context, None, [a.clone(), b.clone()])?;
        Ok(same.as_bool().unwrap_or(false))
    })?;
    Ok(array.clone())
}

/// Leaves the first of elements that are the same and follow each other. After an error the array
/// is as before.
fn dedup(
    array: &mut Array,
    mut same: impl FnMut(&Dynamic, &Dynamic) -> Result<bool, Box<EvalAltResult>>,
) -> Result<(), Box<EvalAltResult>> {
    let mut kept = Vec::with_capacity(array.len());
    let mut last = None;
    for value in array.iter() {
        let keep = match last {
            Some(last) => !same(last, value)?,
            None => true,
        };
        if keep {
            last = Some(value);
        }
        kept.push(keep);
    }
    let mut kept = kept.into_iter();
    array.retain(|_| kept.next().unwrap_or(true));
    Ok(())
}

struct Equal<'a> {
    context: &'a NativeCallContext<'a>,
    depth: usize,
    pace: Pace,
}

impl<'a> Equal<'a> {
    fn new(context: &'a NativeCallContext<'a>, depth: usize) -> Self {
        Self {
            context,
            depth,
            pace: Pace::default(),
        }
    }

    fn find(
        &mut self,
        array: &[Dynamic],
        value: &Dynamic,
    ) -> Result<Option<usize>, Box<EvalAltResult>> {
        for (at, element) in array.iter().enumerate() {
            if self.values(element, value, self.depth)? {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    fn values(
        &mut self,
        a: &Dynamic,
        b: &Dynamic,
        depth: usize,
    ) -> Result<bool, Box<EvalAltResult>> {
        self.pace.step(VALUE)?;
        if let (Ok(a), Ok(b)) = (a.as_int(), b.as_int()) {
            return Ok(a == b);
        }
        if let (Ok(a), Ok(b)) = (a.as_immutable_string_ref(), b.as_immutable_string_ref()) {
            self.pace.step(a.len())?;
            return Ok(*a == *b);
        }
        if let (Ok(a), Ok(b)) = (a.as_array_ref(), b.as_array_ref()) {
            return self.arrays(&a, &b, self.inside(depth)?);
        }
        if let (Ok(a), Ok(b)) = (a.as_map_ref(), b.as_map_ref()) {
            return self.maps(&a, &b, self.inside(depth)?);
        }
        if let (Ok(a), Ok(b)) = (a.as_blob_ref(), b.as_blob_ref()) {
            self.pace.step(a.len())?;
            return Ok(*a == *b);
        }
        if [a, b]
            .iter()
            .any(|value| value.is_array() || value.is_map() || value.is_blob())
        {
            return Ok(false);
        }
        self.pace.step(CALL)?;
        let equal =
            self.context
                .call_native_fn_raw("==", true, &mut [&mut a.clone(), &mut b.clone()]);
        match equal {
            Ok(equal) => Ok(equal.as_bool().unwrap_or(false)),
            Err(error)
                if a.type_id() != b.type_id()
                    && matches!(*error, EvalAltResult::ErrorFunctionNotFound(..)) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn arrays(&mut self, a: &Array, b: &Array, depth: usize) -> Result<bool, Box<EvalAltResult>> {
        if a.len() != b.len() {
            return Ok(false);
        }
        for (a, b) in a.iter().zip(b) {
            if !self.values(a, b, depth)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn maps(&mut self, a: &Map, b: &Map, depth: usize) -> Result<bool, Box<EvalAltResult>> {
        if a.len() != b.len() {
            return Ok(false);
        }
        for (key, a) in a {
            match b.get(key) {
                Some(b) if self.values(a, b, depth)? => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    fn inside(&self, depth: usize) -> Result<usize, Box<EvalAltResult>> {
        match depth {
            0 | 1 => throw(
                "limit",
                format!(
                    "values that nest more than {} levels deep are not compared",
                    self.depth
                ),
            ),
            _ => Ok(depth - 1),
        }
    }
}
