//! How the workspace hangs together: imports point one way, and each rule of the design that a text can show.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The most lines of a source file: one concept, whole.
const LONGEST: usize = 600;
/// The most names of types that two crates have for different things.
const SHARED_NAMES: usize = 8;
/// The crates, each above those that it may import.
const CRATES: [(&str, &str, &str); 5] = [
    ("rbm-core", "rbm_core", "lib.rs"),
    ("data", "candle_dbn_data", "lib.rs"),
    ("boltzmann", "candle_boltzmann", "lib.rs"),
    ("dbn", "candle_dbn", "lib.rs"),
    ("cli", "candle_dbn_cli", "main.rs"),
];

/// The one file outside `ops` with `unsafe` in it.
const MAP: &str = "crates/data/src/mmap.rs";

/// A file of source, without comments and without its tests.
struct Source {
    path: PathBuf,
    code: String,
    lines: usize,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("crates").join(name)
}

/// Every source file of the crate in the folder `name`, by path.
fn sources(name: &str) -> Vec<Source> {
    let (mut folders, mut files) = (vec![folder(name).join("src")], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    let is_root = |file: &PathBuf| file.ends_with("src/lib.rs") || file.ends_with("src/main.rs");
    let is_there = files.len() > 2 && files.iter().any(is_root);
    assert!(is_there, "the sources of {name} are not where they were");
    files.into_iter().map(Source::read).collect()
}

impl Source {
    fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
        let code: Vec<_> =
            code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let code = code.join("\n");
        Self { path, code, lines: text.lines().count() }
    }

    /// `crates/…`
    fn name(&self) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        self.path.strip_prefix(root).unwrap().display().to_string()
    }

    /// The module below the crate's root that the file belongs to; a folder is one module.
    fn module(&self) -> String {
        let parts: Vec<_> = self.path.iter().map(|part| part.to_str().unwrap()).collect();
        let at = parts.iter().rposition(|part| *part == "src").unwrap() + 1;
        parts[at].trim_end_matches(".rs").to_owned()
    }

    /// The path of the module that the file is, from the crate's root: nothing for the root itself.
    fn module_path(&self) -> Vec<String> {
        let path = self.path.with_extension("");
        let parts: Vec<_> = path.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
        let at = parts.iter().rposition(|part| part == "src").unwrap() + 1;
        let parts = &parts[at..];
        let is_named = |last: &String| !["mod", "lib", "main"].contains(&last.as_str());
        let named = parts.len() - usize::from(!parts.last().is_some_and(is_named));
        parts[..named].to_vec()
    }

    /// What the file imports by `use` under which name, each as a path from the crate's root; what comes from other crates is left out.
    fn imported(&self, children: &[String]) -> Vec<(String, Vec<String>)> {
        let own = self.module_path();
        let uses = self.code.split(';').filter_map(|statement| {
            let line = statement.trim().rsplit('\n').next_back()?;
            let from = statement.find(if line.starts_with("use ") { "use " } else { " use " })?;
            let head = statement[..from].trim();
            let is_use = head.is_empty()
                || head.ends_with(']')
                || head.rsplit('\n').next()?.starts_with("pub");
            is_use.then(|| paths(statement[from..].trim().strip_prefix("use ").unwrap_or_default()))
        });
        let absolute = uses
            .flatten()
            .filter_map(|path| Some((path.last()?.clone(), absolute(&path, &own, children)?)));
        absolute.collect()
    }

    /// Every path in the code that begins in this crate, from its root.
    fn paths_within(&self, children: &[String]) -> Vec<Vec<String>> {
        let own = self.module_path();
        let without_exports: Vec<_> =
            self.code.split(';').filter(|statement| !is_export(statement)).collect();
        let code = without_exports.join(";");
        let starts = ["crate", "super", "self"]
            .into_iter()
            .map(str::to_owned)
            .chain(children.iter().cloned());
        let mut found = Vec::new();
        for start in starts {
            let prefix = format!("{start}::");
            for (at, _) in code.match_indices(&prefix) {
                let before = code[..at].chars().next_back();
                if before.is_some_and(|c| c.is_alphanumeric() || "_:$\"".contains(c)) {
                    continue;
                }
                let rest = &code[at..];
                let end = rest
                    .find(|c: char| !(c.is_alphanumeric() || "_:{".contains(c)))
                    .unwrap_or(rest.len());
                let tree = match rest[..end].find('{') {
                    Some(brace) if rest[..brace].ends_with("::") => &rest[..matching(rest, brace)],
                    Some(brace) => &rest[..brace],
                    None => &rest[..end],
                };
                found.extend(
                    paths(tree).into_iter().filter_map(|path| absolute(&path, &own, children)),
                );
            }
        }
        found
    }

    /// The first name after every `prefix::`, also of each path between braces.
    fn names_after(&self, prefix: &str) -> Vec<String> {
        let prefix = format!("{prefix}::");
        let is_start = |at: usize| {
            let before = self.code[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || "_:$".contains(c))
        };
        let starts = self.code.match_indices(&prefix).filter(|(at, _)| is_start(*at));
        starts.flat_map(|(at, found)| first_names(&self.code[at + found.len()..])).collect()
    }
}

/// Whether a statement, with what stands before it, is `pub use`.
fn is_export(statement: &str) -> bool {
    let last = statement.trim().lines().find(|line| line.contains("use ")).unwrap_or_default();
    last.starts_with("pub") && last.contains(" use ")
}

/// Behind the brace that closes the one at `open`.
fn matching(text: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices().skip_while(|(at, _)| *at < open) {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// `path` as it is written in the module `own`, from the crate's root; nothing where it begins elsewhere.
fn absolute(path: &[String], own: &[String], children: &[String]) -> Option<Vec<String>> {
    let up = path.iter().take_while(|name| *name == "super").count();
    let (base, rest) = match path.first()?.as_str() {
        "crate" => (&own[..0], &path[1..]),
        "self" if path.len() > 1 => (own, &path[1..]),
        "super" => (&own[..own.len().checked_sub(up)?], &path[up..]),
        child if children.iter().any(|other| other == child) => (own, path),
        _ => return None,
    };
    Some(base.iter().chain(rest).filter(|name| *name != "self").cloned().collect())
}

/// `a::b` is `a`; `{a::{b, c}, d}` is `a` and `d`.
fn first_names(path: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = path.strip_prefix('{') else { return vec![word(path)] };
    let mut names = vec![word(group)];
    let mut depth = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(word(&group[at + 1..])),
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// Every path of a tree of imports: `a::{b, c::{d}}` is `a::b` and `a::c::d`. What is called `x as y` counts as `y`.
fn paths(tree: &str) -> Vec<Vec<String>> {
    let tree = tree.trim();
    let Some((stem, group)) = tree.split_once('{') else {
        let named = tree.rsplit(" as ").next().unwrap();
        let mut path: Vec<_> = tree.split("::").map(|name| name.trim().to_owned()).collect();
        if let (true, Some(last)) = (tree.contains(" as "), path.last_mut()) {
            *last = named.trim().to_owned();
        }
        return vec![path];
    };
    let stem: Vec<_> = stem.split("::").map(str::trim).filter(|name| !name.is_empty()).collect();
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    let group = group.rsplit_once('}').map_or(group, |(group, _)| group);
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    let parts = parts.into_iter().filter(|part| !part.trim().is_empty()).flat_map(paths);
    parts.map(|path| stem.iter().map(|name| (*name).to_owned()).chain(path).collect()).collect()
}

/// The modules of a crate in the order in which its root declares them, and the module of each name that it re-exports.
fn declared(root: &Source) -> (Vec<String>, BTreeMap<String, String>) {
    let (mut order, mut exports) = (Vec::new(), BTreeMap::new());
    for statement in root.code.split(';').map(str::trim) {
        let statement = statement.rsplit("]\n").next().unwrap().trim();
        let public = statement.strip_prefix("pub ");
        if let Some(module) = public.unwrap_or(statement).strip_prefix("mod ") {
            order.push(module.to_owned());
        } else if let Some((module, names)) =
            public.and_then(|public| public.strip_prefix("use ")?.split_once("::"))
        {
            let module = module.trim_start_matches("self::");
            let names = paths(names).into_iter().filter_map(|path| path.last().cloned());
            exports.extend(names.map(|name| (name, module.to_owned())));
        }
    }
    (order, exports)
}

#[test]
fn crates_import_downwards() {
    for (i, (name, ..)) in CRATES.iter().enumerate() {
        let manifest = fs::read_to_string(folder(name).join("Cargo.toml")).unwrap();
        let dependencies = manifest.split_once("[dependencies]").unwrap().1;
        for (above, library, _) in &CRATES[i + 1..] {
            let package = library.replace('_', "-");
            let is_named = dependencies.lines().any(|line| {
                [*above, package.as_str()].contains(&line.split(['.', ' ', '=']).next().unwrap())
            });
            assert!(!is_named, "crates/{name} depends on {package}");
            for source in sources(name) {
                let imports = source.names_after(library);
                assert!(imports.is_empty(), "{} imports {library}::{imports:?}", source.name());
            }
        }
    }
}

/// The order of declaration is the order of reading: no file needs what comes after it.
#[test]
fn files_import_from_above() {
    let mut wrong = Vec::new();
    for (name, _, root) in CRATES {
        let sources = sources(name);
        let root = sources.iter().find(|s| s.path.ends_with(format!("src/{root}"))).unwrap();
        let (order, exports) = declared(root);
        let at = |module: &str| order.iter().position(|other| other == module);
        let modules: Vec<_> = sources.iter().map(Source::module).collect();
        for module in &order {
            assert!(modules.contains(module), "crates/{name}: no file of {module}");
        }
        for source in sources.iter().filter(|s| s.path != root.path) {
            let module = source.module();
            let own = at(&module).unwrap_or_else(|| panic!("{} is not declared", source.name()));
            let is_child = source.path.parent().unwrap() == folder(name).join("src")
                || source.path.ends_with("mod.rs");
            let mut imports = source.names_after("crate");
            if is_child {
                imports.extend(source.names_after("super"));
            } else {
                imports.extend(source.names_after("super::super"));
            }
            for import in imports {
                let from = exports.get(&import).unwrap_or(&import);
                match at(from) {
                    Some(from_at) if from_at <= own => {}
                    Some(_) => {
                        wrong.push(format!(
                            "{}: {module} imports {import} of {from}, which comes later",
                            source.name()
                        ));
                    }
                    // A re-export of another crate.
                    None if CRATES.iter().any(|(_, library, _)| library == from) => {}
                    None => wrong.push(format!("{}: what is crate::{import}?", source.name())),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A file can be read when those that it imports have been: no two need each other, straight or in a circle. What a file only hands on
/// (`pub use`) it does not need.
#[test]
fn files_form_no_circle() {
    let mut wrong = Vec::new();
    for name in CRATES.iter().map(|(name, ..)| *name).chain(["loopback-hub"]) {
        let sources = sources(name);
        let modules: BTreeMap<_, _> =
            sources.iter().enumerate().map(|(i, source)| (source.module_path(), i)).collect();
        let children: Vec<Vec<String>> = sources
            .iter()
            .map(|source| {
                let own = source.module_path();
                let is_child =
                    |path: &&Vec<String>| path.len() == own.len() + 1 && path.starts_with(&own);
                modules.keys().filter(is_child).filter_map(|path| path.last().cloned()).collect()
            })
            .collect();
        let imported: Vec<BTreeMap<_, _>> = sources
            .iter()
            .zip(&children)
            .map(|(source, children)| source.imported(children).into_iter().collect())
            .collect();
        // The file in which what a path names is written.
        let home = |path: &[String]| -> Option<usize> {
            let mut path = path.to_vec();
            for _ in 0..10 {
                let depth = (0..=path.len()).rev().find(|n| modules.contains_key(&path[..*n]))?;
                let file = modules[&path[..depth]];
                match path.get(depth).and_then(|name| imported[file].get(name)) {
                    Some(further) => {
                        path = further.iter().chain(&path[depth + 1..]).cloned().collect()
                    }
                    None => return Some(file),
                }
            }
            None
        };
        let needs: Vec<BTreeSet<usize>> = sources
            .iter()
            .zip(&children)
            .enumerate()
            .map(|(i, (source, children))| {
                let paths = source.paths_within(children);
                paths.iter().filter_map(|path| home(path)).filter(|file| *file != i).collect()
            })
            .collect();
        // Files whose needs are all met, one after the other; what is left needs itself.
        let mut left: BTreeSet<usize> = (0..sources.len()).collect();
        while let Some(&next) = left.iter().find(|file| needs[**file].is_disjoint(&left)) {
            left.remove(&next);
        }
        while let Some(&top) =
            left.iter().find(|file| !left.iter().any(|other| needs[*other].contains(file)))
        {
            left.remove(&top);
        }
        wrong.extend(left.iter().map(|file| {
            let needed = needs[*file].intersection(&left).map(|other| sources[*other].name());
            format!("{} needs {}", sources[*file].name(), needed.collect::<Vec<_>>().join(", "))
        }));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Nobody outside `ops` knows on which device a tensor lies, and nobody but it and [`MAP`] is unsafe.
#[test]
fn only_ops_knows_the_backend() {
    let words = [
        "unsafe",
        "as_slice",
        "CpuStorage",
        "CudaStorage",
        "MetalStorage",
        "feature = \"cuda\"",
        "feature = \"metal\"",
    ];
    let mut wrong = Vec::new();
    for source in CRATES.iter().flat_map(|(name, ..)| sources(name)) {
        let is_ops = source.name().starts_with("crates/rbm-core/src/ops/");
        // Mapping a file is unsafe by nature, as others can change it meanwhile; it knows nothing of tensors or devices.
        let maps = |word: &str| source.name() == MAP && word == "unsafe";
        let is_wrong = |word: &str| !is_ops && !maps(word) && source.code.contains(word);
        let found = words.iter().filter(|word| is_wrong(word));
        wrong.extend(found.map(|word| format!("{}: {word}", source.name())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn libraries_return_errors() {
    let words =
        [".unwrap()", ".expect(", "panic!", "todo!", "unimplemented!", "unreachable!", "anyhow"];
    let mut wrong = Vec::new();
    for source in CRATES[..4].iter().flat_map(|(name, ..)| sources(name)) {
        let found = words.iter().filter(|word| source.code.contains(*word));
        wrong.extend(found.map(|word| format!("{}: {word}", source.name())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_are_short_and_roots_hold_no_code() {
    let mut wrong = Vec::new();
    for (name, ..) in CRATES {
        for source in sources(name) {
            if source.lines > LONGEST {
                wrong.push(format!("{}: {} lines", source.name(), source.lines));
            }
            if source.path.ends_with("lib.rs")
                && source.code.contains('{')
                && source.code.contains("fn ")
            {
                wrong.push(format!("{}: code", source.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The types that a source declares on its own level: those inside functions and traits are not seen from elsewhere.
fn types(code: &str) -> impl Iterator<Item = String> {
    let declared = |line: &str| {
        let line = ["pub ", "pub(crate) ", "pub(super) "]
            .iter()
            .find_map(|word| line.strip_prefix(word))
            .unwrap_or(line)
            .to_owned();
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_owned);
        let is_type =
            ["struct", "enum", "trait", "type", "union"].contains(&words.next()?.as_str());
        is_type.then(|| words.next()).flatten()
    };
    code.lines().filter_map(declared).collect::<Vec<_>>().into_iter()
}

/// A reader who meets a name knows the thing. `Readme` carries the doctests of each crate's README.
#[test]
fn a_name_is_one_type() {
    let (mut wrong, mut crates) = (Vec::new(), BTreeMap::<String, Vec<&str>>::new());
    for (name, ..) in CRATES {
        let mut files = BTreeMap::<String, Vec<String>>::new();
        for source in sources(name) {
            for found in types(&source.code) {
                files.entry(found).or_default().push(source.name());
            }
        }
        for (found, places) in files {
            if places.len() > 1 {
                wrong.push(format!("{found}: {}", places.join(", ")));
            }
            crates.entry(found).or_default().push(name);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(crates["Rbm"] == ["rbm-core"] && crates["Readme"].len() == 4);
    crates.retain(|_, names| names.len() > 1);
    assert!(crates.len() <= SHARED_NAMES, "{crates:?}");
}

/// What this file takes the sources apart with.
#[test]
fn paths_are_read_as_written() {
    assert_eq!(
        paths("a::{b, c::{D, E}, F as G}").concat(),
        ["a", "b", "a", "c", "D", "a", "c", "E", "a", "G"]
    );
    assert_eq!(first_names("a::b;"), ["a"]);
    assert_eq!(first_names("{A, b::{C, D}, e::F}; x"), ["A", "b", "e"]);
    let code = "use crate::{x, y::Z};\nfn f() { crate::w::g(); my_crate::v(); }".to_owned();
    let source = Source { path: PathBuf::new(), code, lines: 2 };
    assert_eq!(source.names_after("crate"), ["x", "y", "w"]);
}

/// What is not optimised in `cargo build` is not in `cargo build --release` either, and the other way round: cargo has no word for both.
#[test]
fn profiles_leave_the_same_crates_alone() {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let of = |profile: &str| -> Vec<String> {
        let head = format!("[profile.{profile}.package]\n");
        let (_, list) = text.split_once(&head).unwrap();
        list.lines().take_while(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    assert!(of("dev").len() > 10);
    assert_eq!(of("dev"), of("release"));
}

/// A bar beside the others of the program would be drawn where `-q` hides them.
#[test]
fn bars_belong_to_the_bars_of_the_program() {
    for source in sources("cli") {
        for line in source.code.lines().filter(|line| line.contains("ProgressBar::new")) {
            assert!(line.contains("bars.add("), "{}: {line}", source.name());
        }
    }
}

/// Where the tree of folders is shown.
const ARCHITECTURE: &str = "ARCHITECTURE.md";
/// Where the tree of files is shown.
const INTERNALS: &str = "docs/guide/src/internals.md";
/// The crates in the order of both trees.
const SHOWN: [&str; 6] = ["rbm-core", "data", "boltzmann", "dbn", "cli", "loopback-hub"];

/// The first sentence of a file's documentation, as plain text.
fn first_sentence(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
    let paragraph: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    let paragraph = paragraph.join(" ").replace("[`", "").replace("`]", "").replace('`', "");
    let end = paragraph.match_indices(". ").map(|(at, _)| at).find(|at| {
        // A name, "et al." or "e.g." ends no sentence.
        let before = paragraph[..*at].rsplit([' ', '(']).next().unwrap();
        before.len() > 2 && !before.contains('.') && before != "etc"
    });
    end.map_or(paragraph.as_str(), |at| &paragraph[..at]).trim_end_matches('.').to_owned()
}

/// A line of a tree: a name, and the first sentence of the file that describes what has it.
fn described(name: &str, depth: usize, file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let name = format!("{}{name}", "  ".repeat(depth));
    format!("{name:<30} {}", first_sentence(&text)).trim_end().to_owned()
}

/// What is in the folder and below, indented, each with its first sentence; a folder has that of its `mod.rs`. `with_files` or folders alone.
fn tree(folder: &Path, depth: usize, with_files: bool, lines: &mut Vec<String>) {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_source = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    let mut paths: Vec<_> = entries.filter(|path| path.is_dir() || is_source(path)).collect();
    paths.sort();
    let (folders, files): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| path.is_dir());
    for file in files.iter().filter(|file| with_files && !file.ends_with("mod.rs")) {
        lines.push(described(file.file_name().unwrap().to_str().unwrap(), depth, file));
    }
    for below in folders {
        let name = format!("{}/", below.file_name().unwrap().display());
        lines.push(described(&name, depth, &below.join("mod.rs")));
        tree(&below, depth + 1, with_files, lines);
    }
}

/// Holds what stands between the marks of a page against what should stand there. `UPDATE=1` writes it.
fn check_page(name: &str, should: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once("<!-- tree -->\n").unwrap();
    let (is, after) = rest.split_once("\n<!-- end of tree -->").unwrap();
    if is == should {
        return;
    }
    assert!(
        std::env::var_os("UPDATE").is_some(),
        "{name} should be (UPDATE=1 writes it):\n{should}"
    );
    let page = format!("{before}<!-- tree -->\n{should}\n<!-- end of tree -->{after}");
    fs::write(path, page).unwrap();
}

/// The architecture shows every folder and the guide every file as it describes itself.
#[test]
fn trees_are_as_the_files_say() {
    let (mut folders, mut files) = (Vec::new(), String::new());
    for name in SHOWN {
        let src = folder(name).join("src");
        let root = ["lib.rs", "main.rs"].map(|root| src.join(root));
        let root = root.iter().find(|root| root.exists()).unwrap();
        folders.push(described(&format!("{name}/"), 0, root));
        tree(&src, 1, false, &mut folders);
        let mut lines = Vec::new();
        tree(&src, 0, true, &mut lines);
        files += &format!("\n### crates/{name}/src\n\n```text\n{}\n```\n", lines.join("\n"));
    }
    check_page(ARCHITECTURE, &format!("\n```text\n{}\n```\n", folders.join("\n")));
    check_page(INTERNALS, &files);
}

/// Both screens of the architecture.
#[test]
fn the_architecture_is_short() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(ARCHITECTURE);
    let lines = fs::read_to_string(page).unwrap().lines().count();
    assert!(lines <= 110, "{ARCHITECTURE} has {lines} lines");
}

#[test]
fn sentences_end_where_they_end() {
    let text =
        "//! Where [`Rbm`] begins, as Hinton et al. say (2006).\n//! More.\n//!\n//! Later.\n";
    assert_eq!(first_sentence(text), "Where Rbm begins, as Hinton et al. say (2006)");
    assert_eq!(first_sentence("use x;"), "");
}

/// The documents point at files that are there.
#[test]
fn links_lead_to_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages: Vec<_> =
        ["", "docs", "docs/design", "docs/guide/src", "docs/upstream", "benches/peers"]
            .iter()
            .flat_map(|folder| fs::read_dir(root.join(folder)).unwrap())
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
            .collect();
    pages.sort();
    assert!(pages.len() > 25, "{pages:?}");
    let mut wrong = Vec::new();
    for page in &pages {
        let text = fs::read_to_string(page).unwrap();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split([')', ' ', '\n']).next().unwrap();
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file =
                if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let Ok(there) =
                fs::read_to_string(&file).or_else(|_| fs::metadata(&file).map(|_| String::new()))
            else {
                wrong.push(format!("{}: {target}", page.display()));
                continue;
            };
            let heads = there.lines().filter(|line| line.starts_with('#'));
            let heads = heads.map(|line| {
                let line = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
                line.chars()
                    .filter(|c| c.is_alphanumeric() || "-_".contains(*c))
                    .collect::<String>()
            });
            if !anchor.is_empty() && !heads.into_iter().any(|head| head == anchor) {
                wrong.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let readme = fs::metadata(root.join("README.md")).unwrap().len();
    assert!(readme <= 8192, "README.md has {readme} bytes");
}
