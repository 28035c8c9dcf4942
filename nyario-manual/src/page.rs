//! The pages: one for each function, and nyario(7).

use crate::doc::{self, Doc};
use crate::header::{Item, Kind, plain, words};
use crate::roff::{blocks, code, comment, prose, verbatim};

/// An example: which functions' pages show it, what it is about, its text, and what it prints.
pub struct Example {
    names: Vec<String>,
    about: String,
    text: String,
    output: String,
}

impl Example {
    /// Reads a file that begins with `/* nyario_a, nyario_b: what it shows. */`, and what its program prints.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read(source: &str, output: &str) -> Result<Example, String> {
        let wrong = || "it does not begin with a comment like '/* nyario_a, nyario_b: what it shows. */'".to_string();
        let (head, text) = source.strip_prefix("/*").and_then(|rest| rest.split_once("*/")).ok_or_else(wrong)?;
        let head = plain(head).replace('\n', " ");
        let (names, about) = head.split_once(':').ok_or_else(wrong)?;
        let names = names.split(',').map(|name| name.trim().to_string()).collect();
        let (about, text) = (sentence(about.trim()), text.trim().to_string());
        Ok(Example { names, about, text, output: output.trim_end().to_string() })
    }

    /// The functions it names that there are not.
    pub fn strangers<'a>(&'a self, items: &'a [Item]) -> impl Iterator<Item = &'a str> {
        let known = |name: &str| items.iter().any(|item| item.kind == Kind::Function && item.name == name);
        self.names.iter().map(String::as_str).filter(move |name| !known(name))
    }
}

/// A page's file name and text, for each function.
pub fn functions(items: &[Item], examples: &[Example], version: &str) -> Vec<(String, String)> {
    let mut section = String::new();
    let mut pages = Vec::new();
    for item in items {
        match item.kind {
            Kind::Banner => section.clone_from(&item.name),
            Kind::Function => {
                pages.push((format!("{}.3", item.name), function(item, &section, items, examples, version)))
            }
            _ => {}
        }
    }
    pages
}

fn function(item: &Item, section: &str, items: &[Item], examples: &[Example], version: &str) -> String {
    let doc = doc::parse(&item.doc);
    let mut page = title(&item.name, "3", version);
    page += &format!(".SH NAME\n{} \\- {}\n", item.name, summary(&doc));

    page += ".SH SYNOPSIS\n.nf\n.B #include <nyario.h>\n";
    let used = used_by(item, items);
    for declared in used.iter().copied().chain([item]) {
        page += &format!(".PP\n{}", declaration(declared));
    }
    page += ".fi\n";

    page += &format!(".SH DESCRIPTION\n{}", blocks(&doc.description));
    let name = &item.name;
    for item in &used {
        let doc = item.doc.strip_prefix(&format!("{name}: ")).map_or(item.doc.clone(), sentence);
        page += &format!(".TP\n.B {}\n{}{}", item.name, comment(&doc), fields(item));
    }

    let nothing = item.code.starts_with("NYARIO_EXTERN void ");
    page += ".SH RETURN VALUE\n";
    page += &match &doc.returns {
        _ if nothing => format!(".BR {} ()\nreturns nothing.\n", item.name),
        Some(returns) => format!("{}\n", prose(&sentence(&format!("Returns {returns}")))),
        None => String::new(),
    };
    if !doc.errors.is_empty() || doc.others.is_some() {
        page += "When it fails, the result is negative, and one of those below;\nerrno itself is not touched.\n";
        page += ".SH ERRORS\n";
        for (name, when) in &doc.errors {
            let text = match (when.is_empty(), doc::text_of(name)) {
                (true, text) => sentence(text.unwrap_or_default()),
                (false, _) if when.starts_with('(') => {
                    format!("{} {}", sentence(doc::text_of(name).unwrap_or_default()), sentence(unwrapped(when)))
                }
                (false, _) => sentence(when),
            };
            page += &format!(".TP\n.B \\-{name}\n{}\n", prose(&text));
        }
        if let Some(others) = &doc.others {
            page += &format!(".PP\n{}\n", prose(&sentence(&format!("or {others}"))));
        }
    }
    if let Some(since) = &doc.since {
        page += &format!(".SH HISTORY\nSince nyario {since}.\n");
    }
    for example in examples.iter().filter(|example| example.names.contains(&item.name)) {
        page += &format!(".SH EXAMPLES\n{}\n{}", prose(&example.about), indented(&example.text));
        page += &format!(".PP\nIt prints:\n{}", indented(&example.output));
    }
    page + &see_also(item, section, items)
}

fn indented(text: &str) -> String {
    format!(".PP\n.in +4n\n{}.in\n", code(text))
}

fn title(name: &str, section: &str, version: &str) -> String {
    let upper = name.to_uppercase();
    format!(
        ".\\\" Made from nyario.h by nyario-manual.\n.TH {upper} {section} \"\" \"nyario {version}\" \"nyario manual\"\n"
    )
}

/// The first thing that is said of it, for a list of names.
fn summary(doc: &Doc) -> String {
    let first = doc.description.first().map_or("", String::as_str);
    let end = [". ", ": ", "; ", " ("].iter().filter_map(|end| first.find(end)).min().unwrap_or(first.len());
    let line = first[..end].trim_end_matches('.').replace('`', "");
    let mut chars = line.chars();
    let begin = chars.next().map(|c| c.to_ascii_lowercase().to_string()).unwrap_or_default();
    verbatim(&(begin + chars.as_str()))
}

/// The types and constants that a page must explain: in the declaration, in those of the types there, and those that
/// the comment names.
fn used_by<'a>(function: &Item, items: &'a [Item]) -> Vec<&'a Item> {
    let mut used: Vec<&Item> = Vec::new();
    let mut texts = vec![function.code.clone(), function.doc.clone()];
    while let Some(text) = texts.pop() {
        for word in words(&text) {
            let found = items.iter().find(|item| item.name == word && matches!(item.kind, Kind::Type | Kind::Constant));
            if let Some(item) = found
                && !used.iter().any(|known| known.name == item.name)
            {
                used.push(item);
                texts.push(item.code.clone());
            }
        }
    }
    // What belongs to it by its name alone: the flags that a comment begins with.
    for item in items.iter().filter(|item| item.kind == Kind::Constant) {
        if item.doc.starts_with(&format!("{}:", function.name)) && !used.iter().any(|known| known.name == item.name) {
            used.push(item);
        }
    }
    let place = |item: &Item| items.iter().position(|other| other.name == item.name);
    used.sort_by_key(|item| place(item));
    used
}

/// A declaration in bold, without the comments inside it.
fn declaration(item: &Item) -> String {
    let mut out = String::new();
    let mut comment = false;
    for line in item.code.lines() {
        let begins = line.trim_start().starts_with("/*");
        if !begins && !comment {
            let line = line.strip_prefix("NYARIO_EXTERN ").unwrap_or(line);
            out += &format!("\\fB{}\\fP\n", verbatim(line).replace("\\&", ""));
        }
        comment = (begins || comment) && !line.contains("*/");
    }
    out
}

/// The members of a struct and what they are for.
fn fields(item: &Item) -> String {
    let mut rest = item.code.as_str();
    let mut out = String::new();
    while let Some((_, after)) = rest.split_once("/**") {
        let Some((text, code)) = after.split_once("*/") else { break };
        let member = code.trim_start().lines().next().unwrap_or_default().trim_end_matches([';', ',']);
        out += &format!(".RS\n.TP\n.I {}\n{}.RE\n", verbatim(member), comment(&plain(text)));
        rest = code;
    }
    out
}

fn see_also(item: &Item, section: &str, items: &[Item]) -> String {
    let mut names: Vec<&str> = Vec::new();
    let mut at = "";
    for other in items {
        match other.kind {
            Kind::Banner => at = &other.name,
            Kind::Function
                if other.name != item.name && (at == section || words(&item.doc).any(|word| word == other.name)) =>
            {
                names.push(&other.name);
            }
            _ => {}
        }
    }
    names.sort_unstable();
    let pages = names.iter().map(|name| format!(".BR {name} (3),\n")).collect::<String>();
    format!(".SH SEE ALSO\n{pages}.BR nyario (7)\n")
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase().to_string()).unwrap_or_default();
    let text = first + chars.as_str();
    if text.ends_with('.') { text } else { text + "." }
}

fn unwrapped(text: &str) -> &str {
    text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(text)
}

/// nyario(7): `template` with `@TITLE@` and `@FUNCTIONS@` filled in.
pub fn overview(template: &str, items: &[Item], version: &str) -> String {
    let mut list = String::new();
    let mut empty = true;
    for item in items {
        match item.kind {
            Kind::Banner => {
                list += &format!("{}.TP\n.B {}\n", if empty { "" } else { "\n" }, verbatim(&item.name));
                empty = true;
            }
            Kind::Function => {
                list += &format!("{}\\fB{}\\fP(3)", if empty { "" } else { ",\n" }, item.name);
                empty = false;
            }
            _ => {}
        }
    }
    template.replace("@TITLE@\n", &title("nyario", "7", version)).replace("@FUNCTIONS@", &list)
}
