//! The header, read item by item.

/// What an item declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A documented macro.
    Constant,
    /// A typedef.
    Type,
    /// A function.
    Function,
    /// A section's title.
    Banner,
    /// What is neither documented nor ours to move: includes, guards, forward declarations.
    Other,
}

/// One declaration with its comment.
#[derive(Clone, Debug)]
pub struct Item {
    /// What it declares.
    pub kind: Kind,
    /// The name it declares; the title of a banner; empty for what is [`Kind::Other`].
    pub name: String,
    /// The comment, without its stars.
    pub doc: String,
    /// The declaration.
    pub code: String,
    /// As it stands in the header, comment and all.
    pub text: String,
}

/// How wide a banner is.
const WIDTH: usize = 100;

/// The line that begins a section.
pub fn banner(title: &str) -> String {
    let line = format!("/* ---- {title} ");
    format!("{line:-<width$} */", width = WIDTH - 3)
}

/// Takes a header apart. Joined with empty lines, the items' texts are the header again.
pub fn parse(header: &str) -> Vec<Item> {
    chunks(header).into_iter().map(item).collect()
}

/// What empty lines separate, but for those in braces or comments.
fn chunks(header: &str) -> Vec<String> {
    let (mut chunks, mut chunk, mut depth, mut comment) = (Vec::new(), String::new(), 0, false);
    for line in header.trim_end().lines() {
        if line.trim().is_empty() && depth == 0 && !comment {
            if !chunk.is_empty() {
                chunks.push(std::mem::take(&mut chunk));
            }
            continue;
        }
        if !chunk.is_empty() {
            chunk.push('\n');
        }
        chunk.push_str(line);
        comment = match (line.rfind("/*"), line.rfind("*/")) {
            (None, None) => comment,
            (begin, end) => begin > end,
        };
        if !comment && !line.trim_start().starts_with('*') && !line.contains("extern \"C\"") {
            depth += line.matches('{').count() as i32;
            depth = (depth - line.matches('}').count() as i32).max(0);
        }
    }
    chunks.push(chunk);
    chunks
}

fn item(text: String) -> Item {
    let (doc, code) = match text.strip_prefix("/**").and_then(|rest| rest.split_once("*/")) {
        Some((doc, code)) => (plain(doc), code.trim().to_string()),
        None => (String::new(), text.clone()),
    };
    let (kind, name) = if let Some(rest) = text.strip_prefix("/* ---- ") {
        (Kind::Banner, rest.trim_end_matches("*/").trim_end().trim_end_matches('-').trim_end().to_string())
    } else if code.starts_with("NYARIO_EXTERN ") {
        (Kind::Function, before(&code, '('))
    } else if code.starts_with("typedef ") {
        (Kind::Type, type_name(&code))
    } else if let (Some(rest), false) = (code.strip_prefix("#define "), doc.is_empty()) {
        (Kind::Constant, words(rest).next().unwrap_or_default().to_string())
    } else {
        (Kind::Other, String::new())
    };
    Item { kind, name, doc, code, text }
}

/// A comment without its stars.
pub fn plain(comment: &str) -> String {
    let lines = comment.lines().map(|line| {
        let line = line.trim();
        line.strip_prefix('*').map_or(line, |line| line.strip_prefix(' ').unwrap_or(line))
    });
    lines.collect::<Vec<_>>().join("\n").trim().to_string()
}

/// The identifiers and numbers of a text.
pub fn words(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The last word before a character.
fn before(code: &str, end: char) -> String {
    words(code.split(end).next().unwrap_or_default()).next_back().unwrap_or_default().to_string()
}

/// `typedef int64_t name;`, `typedef int name[2];`, `typedef struct { ... } name;` or `typedef void (*name)(...);`
fn type_name(code: &str) -> String {
    match code.split_once("(*") {
        Some((before_it, rest)) if !before_it.contains('{') => before(rest, ')'),
        _ => before(code.rsplit('}').next().unwrap_or_default(), '['),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "/*\n * Ours.\n */\n\n#define A 1\n\n/**\n * A flag.\n */\n#define NYARIO_FLAG 4\n\n\
        /**\n * Options.\n */\ntypedef struct {\n  /**\n   * Its size.\n   */\n  size_t size;\n\n  void (*f)(int);\n} nyario_options;\n\n\
        /**\n * Runs.\n */\ntypedef void (*nyario_run)(int fd, void (*g)(int));\n\n\
        #ifdef __cplusplus\nextern \"C\" {\n#endif\n\n/* ---- A title ---- */\n\n/**\n * Does.\n *\n * Returns 0.\n */\n\
        NYARIO_EXTERN const char *nyario_do(int a);\n";

    #[test]
    fn every_item_is_found_by_its_name() {
        let items = parse(HEADER);
        let found: Vec<(Kind, &str)> = items.iter().map(|item| (item.kind, item.name.as_str())).collect();
        let wanted = [
            (Kind::Other, ""),
            (Kind::Other, ""),
            (Kind::Constant, "NYARIO_FLAG"),
            (Kind::Type, "nyario_options"),
            (Kind::Type, "nyario_run"),
            (Kind::Other, ""),
            (Kind::Banner, "A title"),
            (Kind::Function, "nyario_do"),
        ];
        assert_eq!(found, wanted);
        assert_eq!(items[7].doc, "Does.\n\nReturns 0.");
        assert_eq!(items[7].code, "NYARIO_EXTERN const char *nyario_do(int a);");
    }

    #[test]
    fn joined_it_is_the_header_again() {
        let texts: Vec<String> = parse(HEADER).into_iter().map(|item| item.text).collect();
        assert_eq!(texts.join("\n\n") + "\n", HEADER);
    }

    #[test]
    fn a_banner_is_read_as_it_is_written() {
        let items = parse(&banner("Names and addresses"));
        assert_eq!((items[0].kind, items[0].name.as_str()), (Kind::Banner, "Names and addresses"));
        assert_eq!(items[0].text.len(), WIDTH);
    }
}
