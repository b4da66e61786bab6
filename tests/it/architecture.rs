//! Rules of the source tree that are otherwise easy to break unnoticed.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

/// The library's modules from bottom to top: each imports only from itself and the modules before it.
const ORDER: &[&str] = &[
    "macros",
    "body",
    "json",
    "time",
    "secret",
    "limit",
    "key",
    "classify",
    "provider",
    "store",
    "pool",
    "error",
    "replay",
    "redact",
    "retry",
    "rotation",
    "cooldown",
    "fallback",
    "into_response",
    "stack",
    "run",
    "reqwest",
    "config",
    "metrics",
];

/// The gateway's modules from bottom to top. Those on one line share the state of the application and may import each other.
const GATEWAY: &[&str] = &[
    "dialect",
    "request_result",
    "config",
    "error",
    "telemetry",
    "store",
    "key_sources",
    "tenants",
    "usage",
    "app metrics middleware proxy convert health key_row reload server admin",
    "cli",
];

/// Modules that every module may import: the crate's one error type carries the pool's refusal and the attempts.
const ANYWHERE: &[&str] = &["error", "macros"];

/// File names that do not describe the content of a file.
const EMPTY_NAMES: &[&str] = &["util", "utils", "helper", "helpers", "common", "misc", "manager", "types", "models"];

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn module_of(path: &Path, root: &Path) -> String {
    let first = path.strip_prefix(root).unwrap().components().next().unwrap();
    first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// Returns the first path segments after `crate::` in the `use` statements of a file, without comments and tests.
fn imports(text: &str) -> Vec<String> {
    let text: String = text
        .split("#[cfg(test)]")
        .next()
        .unwrap_or_default()
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut names = Vec::new();
    for statement in text.split("use crate::").skip(1) {
        let statement = statement.split(';').next().unwrap_or_default();
        let Some(list) = statement.strip_prefix('{') else {
            names.push(statement.split("::").next().unwrap_or_default().trim().to_owned());
            continue;
        };
        let mut depth = 0;
        for part in list.split_inclusive(['{', '}', ',']) {
            if depth == 0 {
                let name = part.trim().trim_end_matches(['{', '}', ',']).split("::").next().unwrap_or_default();
                names.push(name.trim().to_owned());
            }
            depth += part.matches('{').count() as i32 - part.matches('}').count() as i32;
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// Returns each import of a crate: the file, its module and the imported module.
fn all_imports(root: &Path) -> Vec<(PathBuf, String, String)> {
    let mut found = Vec::new();
    for file in files(root) {
        let module = module_of(&file, root);
        if ["lib", "main"].contains(&&*module) || file.strip_prefix(root).unwrap().to_string_lossy().contains("/tests")
        {
            continue;
        }
        let imported = imports(&fs::read_to_string(&file).unwrap());
        found.extend(imported.into_iter().map(|name| (file.clone(), module.clone(), name)));
    }
    found
}

fn rank(order: &[&str], module: &str) -> usize {
    let place = order.iter().position(|level| level.split(' ').any(|known| known == module));
    place.unwrap_or_else(|| panic!("{module} has no place in the order"))
}

#[test]
fn modules_import_only_from_modules_below_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    // Names exported at the crate's root are mapped to their modules.
    let lib = fs::read_to_string(root.join("lib.rs")).unwrap();
    let mut exported = HashMap::new();
    for statement in lib.split("\npub use ").skip(1) {
        let (module, names) = statement.split(';').next().unwrap().split_once("::").unwrap();
        for name in names.split(|at: char| !at.is_alphanumeric() && at != '_').filter(|name| !name.is_empty()) {
            exported.insert(name.to_owned(), module.to_owned());
        }
    }
    let mut wrong = Vec::new();
    for (file, module, name) in all_imports(&root) {
        let imported = exported.get(&name).cloned().unwrap_or(name);
        let anywhere = ANYWHERE.contains(&imported.as_str()) || module == "error";
        if !anywhere && rank(ORDER, &imported) > rank(ORDER, &module) {
            wrong.push(format!("{} imports {imported}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn modules_of_the_gateway_import_only_from_modules_below_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/keypool/src");
    let mut wrong = Vec::new();
    for (file, module, imported) in all_imports(&root) {
        if rank(GATEWAY, &imported) > rank(GATEWAY, &module) || (&*module, &*imported) == ("cli", "admin") {
            wrong.push(format!("{} imports {imported}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A file outside `src/` that is included by the code must be in the package.
#[test]
fn included_files_are_in_the_package() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let packed = manifest.lines().find(|line| line.starts_with("include = ")).unwrap();
    for file in files(&root.join("src")) {
        for included in fs::read_to_string(&file).unwrap().split(r#"include_str!("../"#).skip(1) {
            let name = included.split('"').next().unwrap();
            assert!(packed.contains(&format!(r#""{name}""#)), "{} includes {name}", file.display());
        }
    }
}

#[test]
fn folders_are_small_and_file_names_are_descriptive() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders: HashMap<PathBuf, usize> = HashMap::new();
    for file in files(&root) {
        let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(!EMPTY_NAMES.contains(&stem.as_str()), "{} does not describe its content", file.display());
        *folders.entry(file.parent().unwrap().to_owned()).or_default() += 1;
    }
    for (folder, files) in folders {
        assert!(files <= 25, "{} has {files} files", folder.display());
    }
}
