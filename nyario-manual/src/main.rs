//! `nyario-manual` writes the pages into `target/man`; `nyario-manual --check` says what the header leaves unsaid.

use nyario_manual::page::{Example, functions, overview};
use nyario_manual::{header, rules};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let items = header::parse(&fs::read_to_string(root.join("include/nyario.h"))?);

    let mut wrong = rules::missing(&items);
    let mut examples = Vec::new();
    let mut paths: Vec<_> = fs::read_dir(root.join("examples/c/man"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_, std::io::Error>>()?;
    paths.retain(|path: &PathBuf| path.extension().is_some_and(|extension| extension == "c"));
    paths.sort();
    for path in paths {
        let output = fs::read_to_string(path.with_extension("out"))?;
        match Example::read(&fs::read_to_string(&path)?, &output) {
            Ok(example) => {
                wrong.extend(example.strangers(&items).map(|name| format!("{}: there is no {name}", path.display())));
                examples.push(example);
            }
            Err(error) => wrong.push(format!("{}: {error}", path.display())),
        }
    }
    if std::env::args().nth(1).as_deref() == Some("--check") {
        wrong.iter().for_each(|wrong| eprintln!("{wrong}"));
        return if wrong.is_empty() { Ok(()) } else { Err("the documentation is not complete".into()) };
    }

    let version = env!("CARGO_PKG_VERSION");
    let target = root.join("target/man");
    let _ = fs::remove_dir_all(&target);
    for folder in ["man3", "man7"] {
        fs::create_dir_all(target.join(folder))?;
    }
    for (name, text) in functions(&items, &examples, version) {
        fs::write(target.join("man3").join(name), text)?;
    }
    fs::write(target.join("man7/nyario.7"), overview(include_str!("../nyario.7"), &items, version))?;
    Ok(())
}
