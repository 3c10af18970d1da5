//! A source file as far as others are concerned: the modules in it, the names that each brings in,
//! and the paths that each uses. Code that is compiled for tests alone is passed over.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, ItemUse, UseTree, Visibility};

/// The words of a path, as they stand there or from the crate's root on.
pub type Path = Vec<String>;

/// A module, be it a file or a part of one.
#[derive(Debug, Default)]
pub struct Module {
    /// Below `src`.
    pub file: String,
    /// What is defined in it, modules aside.
    pub items: BTreeSet<String>,
    /// Of that, macros, which everything below the module knows without a path.
    pub macros: BTreeSet<String>,
    /// The modules right below it.
    pub children: BTreeSet<String>,
    /// Names that it brings in, with where they come from.
    pub names: Vec<(String, Path)>,
    /// Modules whose names it brings in without naming them.
    pub globs: Vec<Path>,
    /// What it uses. A name that is only passed on (`pub use`) is none of it.
    pub paths: BTreeSet<Path>,
    /// The macros that it calls.
    pub calls: BTreeSet<Path>,
}

/// The modules of a file, by their paths.
pub fn modules(file: &str, text: &str) -> BTreeMap<Path, Module> {
    let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut reader = Reader {
        file,
        at: path_of(file),
        found: BTreeMap::new(),
        bound: Vec::new(),
    };
    reader.module();
    reader.visit_file(&parsed);
    reader.found
}

/// The lines of all literals in a source.
pub fn texts(source: &str) -> BTreeSet<String> {
    let mut texts = BTreeSet::new();
    let mut open = vec![source.parse::<TokenStream>().expect("Rust")];
    while let Some(tokens) = open.pop() {
        for token in tokens {
            match token {
                TokenTree::Group(group) => open.push(group.stream()),
                TokenTree::Literal(text) => {
                    texts.extend(text.to_string().lines().map(|line| line.trim().to_owned()));
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
    texts
}

/// The path of a file's module.
fn path_of(file: &str) -> Path {
    let path = file.trim_end_matches(".rs");
    let words = path
        .split('/')
        .filter(|word| !["lib", "mod"].contains(word));
    words.map(str::to_owned).collect()
}

struct Reader<'f> {
    file: &'f str,
    at: Path,
    found: BTreeMap<Path, Module>,
    /// Variables of the functions that are being read, innermost last.
    bound: Vec<BTreeSet<String>>,
}

impl Reader<'_> {
    fn module(&mut self) -> &mut Module {
        let module = self.found.entry(self.at.clone()).or_default();
        if module.file.is_empty() {
            module.file = self.file.to_owned();
        }
        module
    }

    fn is_bound(&self, name: &str) -> bool {
        self.bound.iter().any(|names| names.contains(name))
    }

    fn within(&mut self, bound: BTreeSet<String>, visit: impl FnOnce(&mut Self)) {
        self.bound.push(bound);
        visit(self);
        self.bound.pop();
    }

    /// The paths in tokens that nothing else takes apart: those of macros and attributes.
    fn read_tokens(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        // How many colons, and whether a field or a method is next.
        let (mut path, mut colons, mut is_behind_dot) = (Path::new(), 0, false);
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(word) => {
                    if colons != 2 {
                        path.clear();
                    }
                    path.push(word.to_string());
                    colons = 0;
                    let next = tokens.peek();
                    let goes_on =
                        matches!(next, Some(TokenTree::Punct(mark)) if mark.as_char() == ':');
                    let is_called = matches!(next, Some(TokenTree::Group(group))
                        if group.delimiter() == Delimiter::Parenthesis);
                    let is_macro =
                        matches!(next, Some(TokenTree::Punct(mark)) if mark.as_char() == '!');
                    let is_one = path.len() == 1;
                    let names_something = !is_one
                        || is_upper(&path[0])
                        || is_called && !is_behind_dot && !self.is_bound(&path[0]);
                    if is_macro {
                        let call = path.clone();
                        self.module().calls.insert(call);
                    }
                    if names_something && !(goes_on && is_one) {
                        let path = path.clone();
                        self.module().paths.insert(path);
                    }
                    is_behind_dot = false;
                }
                TokenTree::Punct(mark) => {
                    match mark.as_char() {
                        ':' => colons += 1,
                        _ => colons = 0,
                    }
                    is_behind_dot = mark.as_char() == '.';
                }
                TokenTree::Group(group) => {
                    self.read_tokens(group.stream());
                    (colons, is_behind_dot) = (0, false);
                }
                TokenTree::Literal(_) => (colons, is_behind_dot) = (0, false),
            }
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let (name, attributes) = parts(item);
        if is_for_tests(attributes) {
            return;
        }
        if let Some(name) = name {
            self.module().items.insert(name.to_string());
            if matches!(item, Item::Macro(_)) {
                self.module().macros.insert(name.to_string());
            }
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let name = item.ident.to_string();
        self.module().children.insert(name.clone());
        if item.content.is_some() {
            self.at.push(name);
            self.module();
            visit::visit_item_mod(self, item);
            self.at.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if item.leading_colon.is_some() {
            return;
        }
        let mut found = Vec::new();
        flatten(&item.tree, &mut Vec::new(), &mut found);
        let is_private = matches!(item.vis, Visibility::Inherited);
        let module = self.module();
        for (name, path) in found {
            if is_private {
                module.paths.insert(path.clone());
            }
            match name {
                Some(name) => module.names.push((name, path)),
                None => module.globs.push(path),
            }
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        if !matches!(item, ImplItem::Fn(function) if is_for_tests(&function.attrs)) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        let bound = Bound::of(|bound| bound.visit_item_fn(function));
        self.within(bound, |reader| visit::visit_item_fn(reader, function));
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        let bound = Bound::of(|bound| bound.visit_impl_item_fn(function));
        self.within(bound, |reader| visit::visit_impl_item_fn(reader, function));
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        let bound = Bound::of(|bound| bound.visit_trait_item_fn(function));
        self.within(bound, |reader| visit::visit_trait_item_fn(reader, function));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let words = path.segments.iter().map(|word| word.ident.to_string());
        let words: Path = words.collect();
        let is_variable = words.len() == 1 && self.is_bound(&words[0]);
        // What begins with colons is another crate's, or a part of a type in angle brackets.
        if path.leading_colon.is_none() && !is_variable {
            self.module().paths.insert(words);
        }
        visit::visit_path(self, path);
    }

    fn visit_pat_ident(&mut self, pattern: &'ast syn::PatIdent) {
        let name = pattern.ident.to_string();
        // A constant, and no new variable.
        if is_upper(&name) {
            self.module().paths.insert(vec![name]);
        }
        visit::visit_pat_ident(self, pattern);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        let words = mac.path.segments.iter().map(|word| word.ident.to_string());
        let call = words.collect();
        self.module().calls.insert(call);
        self.read_tokens(mac.tokens.clone());
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.read_tokens(list.tokens.clone());
    }
}

/// The variables of a function, closures included.
#[derive(Default)]
struct Bound(BTreeSet<String>);

impl Bound {
    fn of(visit: impl FnOnce(&mut Self)) -> BTreeSet<String> {
        let mut bound = Self::default();
        visit(&mut bound);
        bound.0
    }
}

impl<'ast> Visit<'ast> for Bound {
    fn visit_pat_ident(&mut self, pattern: &'ast syn::PatIdent) {
        let name = pattern.ident.to_string();
        if !is_upper(&name) {
            self.0.insert(name);
        }
        visit::visit_pat_ident(self, pattern);
    }
}

fn is_upper(name: &str) -> bool {
    name.starts_with(char::is_uppercase)
}

/// The names of a `use`, none for a glob, with where they come from.
fn flatten(tree: &UseTree, before: &mut Path, found: &mut Vec<(Option<String>, Path)>) {
    let named = |name: &syn::Ident| {
        let mut path = before.clone();
        if name != "self" {
            path.push(name.to_string());
        }
        path
    };
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, found);
            before.pop();
        }
        UseTree::Name(name) => {
            let path = named(&name.ident);
            found.push((path.last().cloned(), path));
        }
        UseTree::Rename(renamed) => {
            found.push((Some(renamed.rename.to_string()), named(&renamed.ident)));
        }
        UseTree::Glob(_) => found.push((None, before.clone())),
        UseTree::Group(group) => {
            for tree in &group.items {
                flatten(tree, before, found);
            }
        }
    }
}

/// The name that an item defines, modules aside, and its attributes.
fn parts(item: &Item) -> (Option<&syn::Ident>, &[Attribute]) {
    match item {
        Item::Const(item) => (Some(&item.ident), &item.attrs),
        Item::Enum(item) => (Some(&item.ident), &item.attrs),
        Item::Fn(item) => (Some(&item.sig.ident), &item.attrs),
        Item::Impl(item) => (None, &item.attrs),
        Item::Macro(item) => (item.ident.as_ref(), &item.attrs),
        Item::Mod(item) => (None, &item.attrs),
        Item::Static(item) => (Some(&item.ident), &item.attrs),
        Item::Struct(item) => (Some(&item.ident), &item.attrs),
        Item::Trait(item) => (Some(&item.ident), &item.attrs),
        Item::Type(item) => (Some(&item.ident), &item.attrs),
        Item::Union(item) => (Some(&item.ident), &item.attrs),
        Item::Use(item) => (None, &item.attrs),
        _ => (None, &[]),
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let is_test = |word: syn::Ident| word == "test";
        attribute.path().is_ident("cfg") && attribute.parse_args().is_ok_and(is_test)
    })
}
