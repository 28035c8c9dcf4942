//! The order of the header: a section for each module of the crate, with its constants, its types and its functions.
//!
//! cbindgen writes all constants, then all types, then all functions. Here each goes to its module's section, but for
//! what an earlier section needs, which stays in front of them all.

use crate::header::{Item, Kind, banner, parse, words};
use std::collections::HashMap;
use std::path::Path;

/// A module of nyario-capi.
struct Module {
    title: String,
    source: String,
}

/// Gives the header that cbindgen made of the crate whose sources lie in `sources` its sections.
///
/// # Panics
///
/// Where a function is not found in the sources.
pub fn arrange(header: &str, sources: &Path) -> String {
    let mut modules = Vec::new();
    read(sources, &mut modules);
    let items = parse(header);
    let begin = items.iter().position(|item| item.text.contains("extern \"C\" {")).expect("cpp_compat");
    let end = items.iter().rposition(|item| item.kind == Kind::Function).expect("a function") + 1;

    // Sections come in the order of their functions.
    let mut order: Vec<usize> = Vec::new();
    for item in items.iter().filter(|item| item.kind == Kind::Function) {
        let module = module_of(item, &modules).unwrap_or_else(|| panic!("{} stands in no module", item.name));
        if !order.contains(&module) {
            order.push(module);
        }
    }
    let place = |item: &Item| order.iter().position(|&module| Some(module) == module_of(item, &modules));
    let movable = |item: &Item| matches!(item.kind, Kind::Constant | Kind::Type | Kind::Function);

    // The first section that needs each item; those that are needed before their own stay in front.
    let mut sections: HashMap<&str, Option<usize>> =
        items.iter().filter(|item| movable(item)).map(|item| (item.name.as_str(), place(item))).collect();
    loop {
        let mut settled = true;
        for user in items.iter().filter(|item| movable(item)) {
            let at = sections[user.name.as_str()];
            for word in words(&without_comments(&user.code)) {
                if let Some(section) = sections.get_mut(word).filter(|section| section.is_some() && **section > at) {
                    *section = None;
                    settled = false;
                }
            }
        }
        if settled {
            break;
        }
    }

    let mut texts: Vec<String> = Vec::new();
    let text = |item: &Item| item.text.clone();
    texts.extend(items[..begin].iter().filter(|item| !movable(item)).map(text));
    texts.push(items[begin].text.clone());
    texts.extend(items.iter().filter(|item| movable(item) && sections[item.name.as_str()].is_none()).map(text));
    for (index, &module) in order.iter().enumerate() {
        texts.push(banner(&modules[module].title));
        texts
            .extend(items.iter().filter(|item| movable(item) && sections[item.name.as_str()] == Some(index)).map(text));
    }
    texts.extend(items[end..].iter().map(text));
    texts.join("\n\n") + "\n"
}

/// The comments of a struct's fields speak of functions; they need nothing.
fn without_comments(code: &str) -> String {
    let mut rest = code;
    let mut bare = String::new();
    while let Some((before, after)) = rest.split_once("/*") {
        bare.push_str(before);
        rest = after.split_once("*/").map_or("", |(_, after)| after);
    }
    bare + rest
}

fn module_of(item: &Item, modules: &[Module]) -> Option<usize> {
    modules.iter().position(|module| {
        module.source.lines().any(|line| {
            let mut words = words(line).skip_while(|word| !DECLARES.contains(word)).skip(1);
            words.next() == Some(&item.name)
        })
    })
}

/// What stands before the name that a line declares.
const DECLARES: [&str; 6] = ["fn", "type", "struct", "union", "enum", "const"];

fn read(folder: &Path, modules: &mut Vec<Module>) {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("the sources can be read")
        .map(|entry| entry.expect("the sources can be read").path())
        .collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            read(&path, modules);
        } else {
            let source = std::fs::read_to_string(&path).expect("the sources are text");
            let title = source.lines().next().unwrap_or_default();
            let title = title.trim_start_matches("//!").trim().trim_end_matches('.').to_string();
            modules.push(Module { title, source });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_stands_in_its_section_unless_it_is_needed_before() {
        let folder = std::env::temp_dir().join(format!("nyario-arrange-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("inner")).unwrap();
        let one =
            "//! One.\npub const NYARIO_A: i32 = 1;\npub extern \"C\" fn nyario_one() {}\npub type nyario_x = i32;\n";
        std::fs::write(folder.join("one.rs"), one).unwrap();
        let two = "//! Two, and more.\npub type nyario_t = i32;\npub const NYARIO_B: u32 = 1;\npub fn nyario_two() {}\n\
            pub type nyario_u = i32;\n";
        std::fs::write(folder.join("inner/two.rs"), two).unwrap();
        let doc = |code: &str| format!("/**\n * Said.\n */\n{code}\n\n");
        let header = [
            "/* Before. */\n\n".to_string(),
            doc("#define NYARIO_A 1"),
            doc("#define NYARIO_B 2"),
            doc("typedef int nyario_t;"),
            doc("typedef int nyario_u;"),
            doc("typedef int nyario_x[NYARIO_B] /* See nyario_two. */;"),
            "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n".to_string(),
            doc("NYARIO_EXTERN nyario_x nyario_one(nyario_t);"),
            doc("NYARIO_EXTERN int nyario_two(nyario_t, nyario_u);"),
            "#ifdef __cplusplus\n}\n#endif\n".to_string(),
        ];
        let arranged = arrange(&header.concat(), &folder);
        std::fs::remove_dir_all(&folder).unwrap();
        let lines: Vec<&str> = arranged
            .lines()
            .filter(|line| !line.contains('*') || line.contains("----") || line.contains("typedef"))
            .collect();
        let lines: Vec<&str> = lines.into_iter().filter(|line| !line.is_empty()).collect();
        let wanted = [
            "#ifdef __cplusplus",
            "extern \"C\" {",
            "#endif",
            "#define NYARIO_B 2",
            "typedef int nyario_t;",
            &banner("One"),
            "#define NYARIO_A 1",
            "typedef int nyario_x[NYARIO_B] /* See nyario_two. */;",
            "NYARIO_EXTERN nyario_x nyario_one(nyario_t);",
            &banner("Two, and more"),
            "typedef int nyario_u;",
            "NYARIO_EXTERN int nyario_two(nyario_t, nyario_u);",
            "#ifdef __cplusplus",
            "}",
            "#endif",
        ];
        assert_eq!(lines, wanted);
    }
}
