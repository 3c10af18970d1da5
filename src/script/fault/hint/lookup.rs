//! Lookup of the names around one place of a source, and so of what was probably meant by a name
//! that nothing has.

use rhai::{Engine, Position};

use super::near::{did_you_mean, nearest, one_of};
use super::nothing::{self, NOTHING};
use super::phrases::{TEMPLATE, to_a_hook};
use crate::machine::source::{SUFFIX, Source};
use crate::script::fault::Location;
use crate::script::fault::describe::{Call, Property};
use crate::script::fault::elsewhere::{self, Used};
use crate::script::fault::outline::{Function, Outline};
use crate::script::fault::signatures::{self, Signature};
use crate::script::hooks::HOOKS;

/// Forms of a function that a hint lists.
const LISTED: usize = 5;

/// Names and signatures that there are around one place of a source.
pub struct Lookup<'a> {
    engine: &'a Engine,
    /// Location of the place; `None` if its position has no line.
    pub location: Option<Location>,
    outline: Outline,
    signatures: Vec<Signature>,
}

impl<'a> Lookup<'a> {
    /// Around this place of a text.
    pub fn new(engine: &'a Engine, text: &str, position: Position) -> Self {
        let outline = Outline::of(engine, text, position);
        Self {
            engine,
            location: Location::of(text, position),
            signatures: signatures::all(engine, &outline.functions),
            outline,
        }
    }

    /// Whether the source itself has given something this name.
    pub fn is_own(&self, name: &str) -> bool {
        let functions = self.outline.functions.iter();
        let functions = functions.map(|function| &function.name);
        let visible = self.outline.visible.iter();
        visible.chain(functions).any(|own| own == name)
    }

    /// For a call of a function that a module does not have.
    pub fn call_in_module(
        &self,
        source: &Source,
        module: &str,
        name: &str,
        call: &Call<'_>,
    ) -> Option<String> {
        let mut imports = self.outline.imports.iter();
        let (_, path) = imports.find(|(known, _)| known == module)?;
        let text = source.text_of(&format!("{path}{SUFFIX}"));
        let functions = Outline::of(self.engine, text, Position::NONE).functions;
        let named = functions.iter().filter(|function| function.name == name);
        if named.clone().any(|function| function.is_private) {
            return Some("it is private there".to_owned());
        }
        let forms: Vec<_> = named
            .map(|function| {
                let name = format!("{module}::{name}");
                Signature::of_script(&Function {
                    name,
                    ..function.clone()
                })
            })
            .collect();
        if !forms.is_empty() {
            return Some(in_words(forms.iter().collect(), call.types.len(), false));
        }
        let public = functions.iter().filter(|function| !function.is_private);
        let near = nearest(name, public.map(|function| &*function.name));
        let near = near.iter().map(|near| format!("{module}::{near}"));
        did_you_mean(near.collect())
    }

    /// For a constant that a module does not show.
    pub fn constant_of_module(&self, source: &Source, module: &str, name: &str) -> Option<String> {
        let mut imports = self.outline.imports.iter();
        let (_, path) = imports.find(|(known, _)| known == module)?;
        let text = source.text_of(&format!("{path}{SUFFIX}"));
        let mut functions = Outline::of(self.engine, text, Position::NONE)
            .functions
            .into_iter();
        Some(if functions.any(|function| function.name == name) {
            format!("it is a function: `{module}::{name}(…)`")
        } else {
            format!("a module shows what it exports: `export const {name} = …;`")
        })
    }

    /// For a call that no function takes: its forms, if there are any, or names like it.
    pub fn call(&self, call: &Call<'_>) -> Option<String> {
        if call.is_closure() {
            return Some(
                "write as many parameters between `|` and `|` as it is called with; one that was \
                kept in `this` belongs to \
                 the version of the file that made it"
                    .to_owned(),
            );
        }
        if !call.is_named() && call.types.contains(&"()") {
            return Some(nothing::of_operator(call, self.location.as_ref()));
        }
        if !call.is_named() {
            return operator(call);
        }
        let is_at = |is: &dyn Fn(&Location) -> bool| self.location.as_ref().is_some_and(is);
        if call.types.first() == Some(&"()") {
            return Some(if is_at(&|at| at.is_member(call.name)) {
                nothing::of_member(self.location.as_ref(), self.beginning(call.name))
            } else {
                NOTHING.to_owned()
            });
        }
        if ["int", "float"].contains(&call.name) && call.types == ["string"] {
            return said(call.name, Used::Free);
        }
        if is_at(&|at| at.word() == "in") {
            return Some("it looks into strings, arrays, blobs, object maps and ranges".to_owned());
        }
        let name = call.name;
        if name == "range" && call.types == ["int"] {
            return Some("a loop is written `for i in 0..10 { … }`".to_owned());
        }
        if ["after", "every"].contains(&name) && call.types.contains(&"function") {
            return Some(format!(
                "a timer has a name: `ws.{name}(1, \"later\")`, and `fn on_timer(ws, name)` is \
                called"
            ));
        }
        let mut types = call.types.iter().copied();
        let of = types.next().filter(|_| is_at(&|at| at.is_member(name)));
        if call.types[..] == ["string", "string"] && self.is_of_query() {
            return Some(query("name"));
        }
        let forms: Vec<_> = self
            .signatures
            .iter()
            .filter(|known| known.name == name && !known.is_property)
            .collect();
        if forms.is_empty() {
            if of.is_none() && self.outline.visible.iter().any(|known| known == name) {
                return Some(format!(
                    "a function in a variable is called so: `{name}.call(…)`"
                ));
            }
            return self.unknown(name, of);
        }
        match of {
            Some("array") if name == "append" => {
                Some("`push` adds one value, `append` another array's".to_owned())
            }
            Some(of) if forms.iter().all(|form| form.of.is_some() && !form.fits(of)) => {
                said(name, Used::on(Some(of)))
                    .or_else(|| synonym(name, Some(of)))
                    .or_else(|| Some(others(&forms)))
            }
            Some(of) => {
                let fitting = forms
                    .into_iter()
                    .filter(|form| form.of.is_none() || form.fits(of));
                Some(in_words(fitting.collect(), call.types.len(), true))
            }
            None => match said(name, Used::Free) {
                Some(hint) if matches!(call.types[..], [] | ["string", ..]) => Some(hint),
                _ => Some(in_words(forms, call.types.len(), false)),
            },
        }
    }

    /// For a name that no function or property has.
    fn unknown(&self, name: &str, of: Option<&str>) -> Option<String> {
        let near = self.nearest(name, of);
        // The same but for `_` and capitals.
        let bare = |name: &str| name.replace('_', "").to_lowercase();
        let is_same = |known: &String| known.rsplit('.').next().map(bare) == Some(bare(name));
        said(name, Used::on(of)).or_else(|| match near.iter().any(is_same) {
            true => did_you_mean(near),
            false => synonym(name, of).or_else(|| did_you_mean(near)),
        })
    }

    /// Whether the place is a member of the query, which is a string.
    pub fn is_of_query(&self) -> bool {
        let path = self.location.as_ref().map_or("", Location::path_before);
        ["ws.query", "request.query"].contains(&path)
    }

    /// The empty value of the type that has a method or property.
    fn beginning(&self, name: &str) -> Option<&'static str> {
        let known = || self.signatures.iter().filter(|known| known.name == name);
        let types = [("array", "[]"), ("string", "\"\""), ("map", "#{}")];
        let mut fitting = types
            .iter()
            .filter(|(of, _)| known().any(|known| known.fits(of) && known.of != Some("any")));
        fitting.next().map(|(_, value)| *value)
    }

    /// For a property that a value does not have.
    pub fn property(&self, property: &Property<'_>) -> Option<String> {
        let Property { name, of, to } = *property;
        if of == "()" {
            let begin = to.and(Some("#{}")).or_else(|| self.beginning(name));
            return Some(nothing::of_member(self.location.as_ref(), begin));
        }
        let before = self.location.as_ref().map_or("", Location::object);
        if of == "string" && self.outline.caught.iter().any(|caught| caught == before) {
            return Some(format!(
                "what was thrown is a string: `{before}` itself is the text"
            ));
        }
        if of == "string" && self.is_of_query() {
            return Some(query(name));
        }
        let mut known: Vec<_> = self
            .signatures
            .iter()
            .filter(|known| known.name == name && known.fits(of))
            .collect();
        if let (
            Some(_),
            Some(Signature {
                is_property: true, ..
            }),
        ) = (to, known.first())
        {
            known.retain(|known| known.is_setter());
            return Some(match &known[..] {
                [] => "it can be read, not set".to_owned(),
                setters => in_words(setters.to_vec(), 2, true),
            });
        }
        match known.first() {
            Some(known) => Some(format!("it is a function: `{}`", known.written(true))),
            None => to
                .and_then(|_| to_a_hook(name))
                .or_else(|| self.unknown(name, Some(of)))
                .or_else(|| {
                    let is_ours = Used::on(Some(of)) == Used::Connection;
                    is_ours.then(|| {
                        format!("what a connection's hooks keep is in `this`: `this.{name}`")
                    })
                }),
        }
    }

    /// For a name that nothing has here.
    pub fn variable(&self, name: &str) -> Option<String> {
        let outline = &self.outline;
        let is_listed = |names: &[String]| names.iter().any(|known| known == name);
        let function = outline.function();
        if function.is_some() && is_listed(&outline.constants) {
            return Some(format!("inside functions it is `global::{name}`"));
        }
        if function.is_some() && is_listed(&outline.variables) {
            if said(name, Used::Free).as_deref() == Some(elsewhere::SHARED) {
                return Some(elsewhere::SHARED.to_owned());
            }
            return Some(format!(
                "functions do not see variables of the top level: `const {name} = …;` is \
                `global::{name}` in them, and \
                 `this` keeps what changes"
            ));
        }
        let mut names: Vec<_> = outline.visible.iter().map(String::as_str).collect();
        let constants: Vec<_> = outline
            .constants
            .iter()
            .map(|name| format!("global::{name}"))
            .collect();
        names.extend(constants.iter().map(String::as_str));
        names.retain(|known| *known != name);
        // Every short name is like another.
        let is_foreign = name.len() <= 3 && said(name, Used::Free).is_some();
        if let near @ Some(_) = did_you_mean(nearest(name, names))
            && !is_foreign
        {
            return near;
        }
        let rest = self.location.as_ref().map_or("", Location::rest);
        let hint = match rest.as_bytes() {
            _ if is_parameter_of_an_arrow(rest) => Some(self.arrow(name, rest)),
            [b':', b'=', ..] => Some(format!("a variable is made by `let {name} = …;`")),
            [b'"', ..] if name == "b" => Some("a blob is made by `to_blob(\"…\")`".to_owned()),
            [b'\'', ..] if name == "f" => Some(TEMPLATE.to_owned()),
            [b':', b':', ..] => None,
            [b':', ..] => Some(format!("an object map is written `#{{ {name}: … }}`")),
            [b'"' | b'`', ..] => Some(TEMPLATE.to_owned()),
            _ => None,
        };
        hint.or_else(|| self.parameter(name, function))
            .or_else(|| self.of_namespace(name, rest))
            .or_else(|| said(name, Used::Free))
            // One that is used as a value is meant for a variable, such as `history.push(…)`.
            .or_else(|| self.is_function(name).filter(|_| !rest.starts_with('.')))
            .or_else(|| function.and_then(|_| self.kept(name, rest)))
            .or_else(|| synonym(name, None))
    }

    /// For the parameters of `(name, …) => …`, of which this one was found.
    fn arrow(&self, name: &str, rest: &str) -> String {
        let more = rest.split([')', '=']).next().unwrap_or_default().trim_end();
        match self.outline.function() {
            Some(_) => format!("a closure is `|{name}{more}| …`"),
            None => format!("a function of the top level is `fn name({name}{more}) {{ … }}`"),
        }
    }

    /// For what stands in a namespace elsewhere and in none here: `Math.floor`, `time.sleep`.
    fn of_namespace(&self, name: &str, rest: &str) -> Option<String> {
        let member = method_of(rest.strip_prefix('.')?);
        let known = match elsewhere::synonym(member, Used::Free, None) {
            Some(ours) => ours,
            None => member.to_owned(),
        };
        if ["JSON", "self"].contains(&name) || said(name, Used::Free)? == elsewhere::SHARED {
            return None;
        }
        let mut forms = self.signatures.iter().filter(|form| {
            form.name == known && !form.is_property && !form.written(false).contains('.')
        });
        let arguments = if forms.clone().any(|form| form.arity == 0) {
            ""
        } else {
            "…"
        };
        forms
            .next()
            .map(|_| format!("here it is `{known}({arguments})`"))
    }

    /// For a name that a hook's parameter has here or elsewhere.
    fn parameter(&self, name: &str, function: Option<&Function>) -> Option<String> {
        let is_visible = |name: &str| self.outline.visible.iter().any(|known| known == name);
        let rest = self.location.as_ref().map_or("", Location::rest);
        let (hook_has_it, ours) = (is_parameter(name), elsewhere::parameter(name));
        if (name == "request" || ours == Some("request")) && is_visible("ws") {
            let property = rest.strip_prefix('.').unwrap_or("");
            let end = property.find(|c: char| !c.is_alphanumeric() && c != '_');
            let property = &property[..end.unwrap_or(property.len())];
            let mut known = self
                .signatures
                .iter()
                .filter(|known| known.fits("WebSocket"));
            let property = match known.any(|known| known.name == property) {
                true => property,
                false => "path",
            };
            return Some(format!(
                "in this hook `ws` has what the request said: `ws.{property}`"
            ));
        }
        match (function, ours) {
            (Some(_), Some(ours)) if is_visible(ours) => {
                return Some(format!("here it is `{ours}`, the hook's parameter"));
            }
            _ if !hook_has_it => return None,
            _ => {}
        }
        Some(match function {
            None => format!(
                "the top level runs once, when the file is loaded, and has no connection: `{name}` \
                is there in the hooks"
            ),
            Some(function) => format!(
                "a function sees only its parameters, here ({}): hand it over as one of them",
                function.params.join(", ")
            ),
        })
    }

    /// For a name that was probably meant to keep its value between messages.
    fn kept(&self, name: &str, rest: &str) -> Option<String> {
        let is_assigned =
            rest.starts_with('=') && !rest.starts_with("==") && !rest.starts_with("=>");
        let begin = match rest.as_bytes() {
            [b'+' | b'-' | b'*' | b'/', b'=', ..] => "0",
            [b'[', ..] => "#{}",
            [b'.', ..] => self.beginning(method_of(rest)).unwrap_or_default(),
            _ => "",
        };
        if name.starts_with(char::is_uppercase) {
            return None;
        }
        Some(if is_assigned {
            format!(
                "a variable is made by `let {name} = …;`, and `this.{name}` keeps it between \
                messages"
            )
        } else if PEOPLE.contains(&name) {
            format!(
                "`this.{name}` keeps it between messages, for this connection alone; \
                `publish(\"name\", message)` reaches others"
            )
        } else if begin.is_empty() {
            format!(
                "`this.{name}` keeps it between messages, `let {name} = …;` makes it for this one"
            )
        } else {
            format!(
                "`this.{name}` keeps it between messages; `on_open` begins it: `this.{name} = \
                {begin};`"
            )
        })
    }

    /// For a `global::` name that is not there.
    pub fn constant(&self, name: &str) -> Option<String> {
        let outline = &self.outline;
        if outline.variables.iter().any(|known| known == name) {
            return Some(format!(
                "only constants are global: make it `const {name} = …;`"
            ));
        }
        let near = nearest(name, outline.constants.iter().map(String::as_str));
        let near = near.into_iter().map(|name| format!("global::{name}"));
        did_you_mean(near.collect()).or_else(|| {
            Some(format!(
                "it is defined by `const {name} = …;` at the top level of this file"
            ))
        })
    }

    /// If a name is a function's, how it is called.
    pub fn is_function(&self, name: &str) -> Option<String> {
        let forms = self
            .signatures
            .iter()
            .filter(|known| known.name == name && !known.is_property);
        // What closures and ranges have is seldom meant by a bare name, such as `name`.
        let mut forms = forms.filter(|form| !matches!(form.of, Some("function" | "range")));
        let of_anything = |form: &&Signature| form.of == Some("any");
        let form = forms.clone().find(of_anything).or(forms.next_back())?;
        let written = form.written(false);
        Some(format!("it is a function: `{written}`"))
    }

    fn nearest(&self, name: &str, of: Option<&str>) -> Vec<String> {
        let known = self.signatures.iter().filter(|known| match of {
            Some(of) => known.fits(of),
            None => !known.is_property,
        });
        let known: Vec<_> = known.collect();
        let found = nearest(name, known.iter().map(|known| &*known.name));
        let shown = |name: String| {
            known
                .iter()
                .find(|known| known.name == name)
                .map(|known| known.short())
        };
        found.into_iter().filter_map(shown).collect()
    }
}

/// Variable names in which a chat keeps all who are in it.
const PEOPLE: [&str; 6] = [
    "users",
    "players",
    "members",
    "people",
    "online",
    "nicknames",
];

/// For a value of the query that was asked of its text.
pub fn query(name: &str) -> String {
    format!(
        "`query` is the text behind the `?`; its values are in `query_params`: \
        `query_params.{name}?[0]`"
    )
}

/// Whether a hook has a parameter of this name that is not an everyday word.
fn is_parameter(name: &str) -> bool {
    name != "name" && HOOKS.iter().any(|hook| hook.params.contains(&name))
}

/// Whether what follows a name is the rest of `(name, …) => …` or `name => …`.
fn is_parameter_of_an_arrow(rest: &str) -> bool {
    let list = rest.trim_start_matches(|c: char| c.is_alphanumeric() || "_, ".contains(c));
    list.strip_prefix(')')
        .unwrap_or(list)
        .trim_start()
        .starts_with("=>")
}

/// The name behind a dot.
fn method_of(rest: &str) -> &str {
    let rest = rest.trim_start_matches('.');
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
    &rest[..end.unwrap_or(rest.len())]
}

fn said(name: &str, used: Used) -> Option<String> {
    elsewhere::said(name, used).map(str::to_owned)
}

fn synonym(name: &str, of: Option<&str>) -> Option<String> {
    let found = elsewhere::synonym(name, Used::on(of), of);
    did_you_mean(found.into_iter().collect())
}

/// The forms of a function, those with as many arguments first.
fn in_words(mut forms: Vec<&Signature>, arity: usize, is_member: bool) -> String {
    forms.sort_by_key(|form| (form.arity.abs_diff(arity), form.of != Some("any")));
    let mut written: Vec<_> = forms
        .iter()
        .map(|form| format!("`{}`", form.written(is_member)))
        .collect();
    written.dedup();
    let more = written.len().saturating_sub(LISTED);
    written.truncate(LISTED);
    match more {
        0 => format!("it takes: {}", one_of(&written)),
        more => format!("it takes: {} and {more} more", written.join(", ")),
    }
}

/// The types whose values a method is for.
fn others(forms: &[&Signature]) -> String {
    let mut types: Vec<_> = forms
        .iter()
        .flat_map(|form| form.types())
        .map(str::to_owned)
        .collect();
    types.sort();
    types.dedup();
    format!("`{}` is for {}", forms[0].name, one_of(&types))
}

fn operator(call: &Call<'_>) -> Option<String> {
    let has = |of: &str| call.types.contains(&of);
    if has("string") && (has("int") || has("float")) {
        return Some(
            "`parse_int(text)` and `parse_float(text)` make a number of a string, `${number}` in a \
            `text` a string of a number"
                .to_owned(),
        );
    }
    if call.name == ".." && has("string") {
        return Some("texts are put together by `+`".to_owned());
    }
    if has("function") {
        return Some("a function is called first: `f.call(…)`".to_owned());
    }
    let is_logical = ["!", "&&", "||"].contains(&call.name);
    is_logical
        .then(|| "it works on bools: compare first, as in `n != 0` or `text != \"\"`".to_owned())
}
