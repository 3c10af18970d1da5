//! What a call has called before, by the types of its arguments.
//!
//! Rhai resolves a call; it keeps what it has found at the second time, and from its cache a site
//! takes it. So what is called, and that it may be called, is always Rhai's word.

use std::any::TypeId;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use rhai::{
    Caches, Dynamic, EvalAltResult, FnArgsVec, FuncRegistration, ImmutableString, Module,
    NativeCallContext, RhaiFunc,
};

/// Functions that one site keeps: one for each combination of types.
const KEPT: usize = 4;
/// Calls in vain after which a site no longer looks for what it calls.
const TRIES: u8 = 16;

/// A place in a script that calls a native function.
pub struct Site {
    /// Name of the function.
    pub name: ImmutableString,
    known: RefCell<Vec<Rc<Known>>>,
    tries: Cell<u8>,
}

/// A native function, and what it is called with.
pub struct Known {
    types: FnArgsVec<TypeId>,
    /// The function.
    pub function: RhaiFunc,
    /// The module that it comes from.
    pub source: Option<ImmutableString>,
    /// Whether it changes its first argument in place.
    pub is_method: bool,
    /// Whether it may be called on a constant.
    pub is_pure: bool,
    /// Whether it wants to know how it was called.
    pub has_context: bool,
}

impl Site {
    /// One that calls a function of this name.
    pub fn new(name: impl Into<ImmutableString>) -> Self {
        Self {
            name: name.into(),
            known: RefCell::default(),
            tries: Cell::new(0),
        }
    }

    /// The function for these arguments. A copy of the reference: others may come through here
    /// while the function waits.
    #[inline]
    pub fn find(&self, first: &Dynamic, others: &[Dynamic]) -> Option<Rc<Known>> {
        let known = self.known.borrow();
        known
            .iter()
            .find(|known| known.takes(first, others))
            .map(Rc::clone)
    }

    /// The same for a call without arguments.
    #[inline]
    pub fn find_bare(&self) -> Option<Rc<Known>> {
        let known = self.known.borrow();
        known.iter().find(|known| known.types.is_empty()).cloned()
    }

    /// Whether it is worth to look for what it calls.
    pub fn is_open(&self) -> bool {
        self.tries.get() < TRIES && self.known.borrow().len() < KEPT
    }

    /// Takes what Rhai has found for arguments of these types, if it has kept it.
    pub fn learn(&self, types: FnArgsVec<TypeId>, caches: &mut Caches) {
        // Calls that wait look for it, too, when they go on: any number of them.
        let is_known = |known: &Rc<Known>| known.types == types;
        if !self.is_open() || self.known.borrow().iter().any(is_known) {
            return;
        }
        self.tries.set(self.tries.get().saturating_add(1));
        let hash = hash(&self.name, &types);
        let cache = caches.fn_resolution_cache_mut();
        let Some(Some(entry)) = cache.dict.get(&hash) else {
            return;
        };
        let function = &entry.func;
        if matches!(
            function,
            RhaiFunc::Script { .. } | RhaiFunc::Iterator { .. }
        ) {
            return;
        }
        self.known.borrow_mut().push(Rc::new(Known {
            types,
            is_method: function.is_method(),
            is_pure: function.is_pure(),
            has_context: function.has_context(),
            function: function.clone(),
            source: entry.source.clone(),
        }));
    }
}

impl std::fmt::Debug for Site {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_tuple("Site").field(&self.name).finish()
    }
}

impl Known {
    /// Calls the function.
    #[inline]
    pub fn call(
        &self,
        context: Option<NativeCallContext>,
        args: &mut [&mut Dynamic],
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        match &self.function {
            RhaiFunc::Pure { func, .. } | RhaiFunc::Method { func, .. } => func(context, args),
            RhaiFunc::Plugin { func } => func.call(context, args),
            RhaiFunc::StaticPlugin { func } => func.call(context, args),
            _ => Ok(Dynamic::UNIT),
        }
    }

    #[inline]
    fn takes(&self, first: &Dynamic, others: &[Dynamic]) -> bool {
        let Some((first_type, types)) = self.types.split_first() else {
            return false;
        };
        types.len() == others.len()
            && *first_type == first.type_id()
            && types.iter().zip(others).all(|(a, b)| *a == b.type_id())
    }
}

/// Rhai's number of a function of this name with arguments of these types. Rhai tells it only of
/// functions that are registered.
fn hash(name: &str, types: &[TypeId]) -> u64 {
    let nothing = RhaiFunc::Pure {
        func: Rc::new(|_, _| Ok(Dynamic::UNIT)),
        has_context: false,
        is_pure: true,
        is_volatile: false,
    };
    let mut module = Module::new();
    FuncRegistration::new(name)
        .set_into_module_raw(&mut module, types, nothing)
        .hash
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thousands of connections may wait in one function, all of which it did not know.
    #[test]
    fn any_number_of_calls_may_look_for_what_they_called() {
        let (site, mut caches) = (Site::new("sleep"), Caches::new());
        for _ in 0..1_000 {
            site.learn([TypeId::of::<f64>()].into_iter().collect(), &mut caches);
        }
        assert!(!site.is_open());
    }
}
