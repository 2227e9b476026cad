//! The rules of docs/ARCHITECTURE.md that the compiler does not hold: no import cycle, only the
//! readers of procfs and cgroupfs name files of the kernel, and each module says what it owns.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use crate::support::REPOSITORY;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, UseTree};

/// The sources of a crate, by module path. `["engine", "roots"]` is `engine::roots`.
type Modules = BTreeMap<Vec<String>, syn::File>;

const CRATES: [&str; 2] = ["psstat-core", "psstat"];

fn sources_of(name: &str) -> Modules {
    let root = Path::new(REPOSITORY).join("crates").join(name).join("src");
    let mut modules = Modules::new();
    for path in rust_files(&root) {
        let below = path.strip_prefix(&root).unwrap().with_extension("");
        let mut module: Vec<String> =
            below.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
        if module.last().is_some_and(|last| matches!(&**last, "mod" | "lib" | "main")) {
            module.pop();
        }
        let text = fs::read_to_string(&path).unwrap();
        let file = syn::parse_file(&text).unwrap();
        let entry = modules.entry(module).or_insert_with(|| syn::parse_file("").unwrap());
        entry.items.extend(file.items);
        entry.attrs.extend(file.attrs);
    }
    assert!(!modules.is_empty(), "no sources below {}", root.display());
    modules
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Collects the modules that a module names, its tests left out.
struct Imports<'m> {
    module: &'m [String],
    modules: &'m Modules,
    /// Names that a `use` brings into scope, with the path behind each.
    found: BTreeSet<Vec<String>>,
}

impl<'m> Imports<'m> {
    fn of(module: &'m [String], modules: &'m Modules) -> BTreeSet<Vec<String>> {
        let mut imports = Imports { module, modules, found: BTreeSet::new() };
        imports.visit_file(&modules[module]);
        imports.found.remove(module);
        imports.found
    }

    /// Notes the module that a path leads to, if it is one of this crate.
    fn add(&mut self, path: &[String]) {
        let Some((first, rest)) = path.split_first() else { return };
        let mut at = match &**first {
            "crate" => Vec::new(),
            "self" => self.module.to_vec(),
            "super" => self.module[..self.module.len().saturating_sub(1)].to_vec(),
            // A module below this one, named without a prefix.
            _ => {
                let below = [self.module, std::slice::from_ref(first)].concat();
                if !self.modules.contains_key(&below) {
                    return;
                }
                below
            }
        };
        for name in rest {
            if name == "super" {
                at.pop();
                continue;
            }
            let below = [&at[..], std::slice::from_ref(name)].concat();
            if !self.modules.contains_key(&below) {
                break;
            }
            at = below;
        }
        self.found.insert(at);
    }

    fn add_tree(&mut self, prefix: &mut Vec<String>, tree: &UseTree) {
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.add_tree(prefix, &path.tree);
                prefix.pop();
            }
            UseTree::Name(name) => {
                prefix.push(name.ident.to_string());
                self.add(prefix);
                prefix.pop();
            }
            UseTree::Rename(rename) => {
                prefix.push(rename.ident.to_string());
                self.add(prefix);
                prefix.pop();
            }
            UseTree::Glob(_) => self.add(prefix),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_tree(prefix, tree);
                }
            }
        }
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|name| name == "test")
    })
}

impl Visit<'_> for Imports<'_> {
    fn visit_item(&mut self, item: &Item) {
        match item {
            Item::Mod(ItemMod { attrs, .. }) if is_test(attrs) => {}
            Item::Use(import) => self.add_tree(&mut Vec::new(), &import.tree),
            _ => visit::visit_item(self, item),
        }
    }

    // `pub(super)` says who may import, and imports nothing.
    fn visit_vis_restricted(&mut self, _: &syn::VisRestricted) {}

    fn visit_path(&mut self, path: &syn::Path) {
        let segments: Vec<String> =
            path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.add(&segments);
        visit::visit_path(self, path);
    }
}

/// A cycle in a graph, as the nodes along it.
fn cycle<N: Ord + Clone>(graph: &BTreeMap<N, BTreeSet<N>>) -> Option<Vec<N>> {
    fn visit<N: Ord + Clone>(
        node: &N,
        graph: &BTreeMap<N, BTreeSet<N>>,
        trail: &mut Vec<N>,
        done: &mut BTreeSet<N>,
    ) -> Option<Vec<N>> {
        if let Some(start) = trail.iter().position(|other| other == node) {
            return Some(trail[start..].to_vec());
        }
        if done.contains(node) {
            return None;
        }
        trail.push(node.clone());
        let next = graph.get(node).into_iter().flatten();
        let found = next.into_iter().find_map(|next| visit(next, graph, trail, done));
        trail.pop();
        done.insert(node.clone());
        found
    }
    let mut done = BTreeSet::new();
    graph.keys().find_map(|node| visit(node, graph, &mut Vec::new(), &mut done))
}

fn import_graph(name: &str) -> BTreeMap<Vec<String>, BTreeSet<Vec<String>>> {
    let modules = sources_of(name);
    modules.keys().map(|module| (module.clone(), Imports::of(module, &modules))).collect()
}

#[test]
fn files_import_each_other_without_a_cycle() {
    for name in CRATES {
        let graph = import_graph(name);
        let imports: usize = graph.values().map(BTreeSet::len).sum();
        assert!(imports > graph.len(), "{name}: the imports are not found");
        assert_eq!(cycle(&graph), None, "{name}");
    }
}

#[test]
fn top_modules_import_each_other_without_a_cycle() {
    for name in CRATES {
        let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (module, imports) in import_graph(name) {
            let Some(from) = module.first() else { continue };
            let to = imports.iter().filter_map(|path| path.first()).filter(|to| *to != from);
            graph.entry(from.clone()).or_default().extend(to.cloned());
        }
        assert_eq!(cycle(&graph), None, "{name}");
    }
}

#[test]
fn a_cycle_is_found() {
    let edges = |list: &[(u8, u8)]| {
        let mut graph: BTreeMap<u8, BTreeSet<u8>> = BTreeMap::new();
        for &(from, to) in list {
            graph.entry(from).or_default().insert(to);
        }
        graph
    };
    assert_eq!(cycle(&edges(&[(1, 2), (2, 3), (1, 3)])), None);
    assert_eq!(cycle(&edges(&[(1, 2), (2, 3), (3, 2)])), Some(vec![2, 3]));
    assert_eq!(cycle(&edges(&[(1, 1)])), Some(vec![1]));
}

#[test]
fn imports_are_found_in_every_form() {
    let file = |text: &str| syn::parse_file(text).unwrap();
    let path = |text: &str| text.split("::").map(str::to_owned).collect::<Vec<_>>();
    let text = "use below::X; use super::b; use crate::a::{below::Y, self as z};
        pub(super) fn f() { below::g(); crate::c::h(); std::mem::drop(()); }";
    let modules: Modules = [
        (Vec::new(), file("")),
        (path("a"), file(text)),
        (path("a::below"), file("use super::X; pub(in crate::b) struct Y;")),
        (path("b"), file("")),
        (path("c"), file("#[cfg(test)] mod tests { use crate::b; }")),
    ]
    .into();
    let of = |module: &str| Imports::of(&path(module), &modules);
    assert_eq!(of("a"), ["a::below", "b", "c"].map(path).into());
    assert_eq!(of("a::below"), [path("a")].into());
    assert_eq!(of("c"), BTreeSet::new());
}

/// Counts the parameters of functions, `self` not included.
struct LongSignatures(Vec<String>);

impl Visit<'_> for LongSignatures {
    fn visit_signature(&mut self, signature: &syn::Signature) {
        let parameters =
            signature.inputs.iter().filter(|input| matches!(input, syn::FnArg::Typed(_)));
        if parameters.count() > 5 {
            self.0.push(signature.ident.to_string());
        }
    }
}

#[test]
fn no_function_has_more_than_five_parameters() {
    for name in CRATES {
        let mut long = LongSignatures(Vec::new());
        sources_of(name).values().for_each(|file| long.visit_file(file));
        assert!(long.0.is_empty(), "{name}: {:?}", long.0);
    }
}

/// Collects string literals.
struct Literals(Vec<String>);

impl Visit<'_> for Literals {
    fn visit_item(&mut self, item: &Item) {
        match item {
            Item::Mod(ItemMod { attrs, .. }) if is_test(attrs) => {}
            _ => visit::visit_item(self, item),
        }
    }

    fn visit_lit_str(&mut self, literal: &syn::LitStr) {
        self.0.push(literal.value());
    }

    fn visit_lit_cstr(&mut self, literal: &syn::LitCStr) {
        self.0.push(literal.value().to_string_lossy().into_owned());
    }

    // Documentation is a string literal too.
    fn visit_attribute(&mut self, _: &Attribute) {}
}

#[test]
fn only_procfs_and_cgroupfs_name_files_of_the_kernel() {
    let names = ["stat", "statm", "comm", "smaps_rollup", "meminfo", "loadavg", "cpu.stat"];
    let mut found = 0;
    for (module, file) in sources_of("psstat") {
        let mut literals = Literals(Vec::new());
        literals.visit_file(&file);
        let named: Vec<&String> =
            literals.0.iter().filter(|literal| names.contains(&&***literal)).collect();
        if module.first().is_some_and(|top| matches!(&**top, "procfs" | "cgroupfs")) {
            found += named.len();
        } else {
            assert!(named.is_empty(), "{module:?} names {named:?}");
        }
    }
    assert!(found >= names.len() - 1, "{found} names found: the rule looks for nothing");
}

#[test]
fn each_source_file_says_what_it_owns() {
    let mut files = Vec::new();
    for name in CRATES {
        let root = Path::new(REPOSITORY).join("crates").join(name);
        for directory in ["src", "tests"].map(|directory| root.join(directory)) {
            if directory.exists() {
                files.extend(rust_files(&directory));
            }
        }
    }
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{} does not say what it owns", path.display());
    }
}
