//! What the comment of every function has to say.

use crate::doc;
use crate::header::{Item, Kind};

/// What is missing from the documentation, one line each; none when all is said.
pub fn missing(items: &[Item]) -> Vec<String> {
    let mut missing = Vec::new();
    for item in items {
        let mut lacks = |what: &str| missing.push(format!("{}: {what}", item.name));
        if !matches!(item.kind, Kind::Function | Kind::Type | Kind::Constant) {
            continue;
        }
        if item.doc.is_empty() {
            lacks("no comment");
            continue;
        }
        if item.kind != Kind::Function {
            continue;
        }
        let doc = doc::parse(&item.doc);
        let one_line = item.doc.replace('\n', " ");
        if doc.description.is_empty() {
            lacks("nothing says what it does");
        }
        if doc.returns.is_none() && !item.code.starts_with("NYARIO_EXTERN void ") {
            lacks("no sentence that begins with 'Returns', at the beginning of a paragraph or of a sentence");
        }
        if doc.since.is_none() {
            lacks("no 'Since 0.1.' at the end");
        }
        if !["uspend", "locks the thread", "does not return"].iter().any(|word| one_line.contains(word)) {
            lacks("no word on suspending: 'Suspends the fiber ...', 'Does not suspend.' or 'Blocks the thread.'");
        }
        for (name, _) in &doc.errors {
            if doc::text_of(name).is_none() {
                lacks(&format!("-{name} is no error that nyario_strerror knows"));
            }
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::parse;

    fn of(doc: &str, code: &str) -> Vec<String> {
        missing(&parse(&format!("/**\n * {}\n */\n{code}\n", doc.replace('\n', "\n * "))))
    }

    #[test]
    fn each_part_is_missed() {
        let code = "NYARIO_EXTERN int nyario_do(void);";
        assert!(of("Does. Suspends the fiber.\n\nReturns 0, or -EINVAL. Since 0.1.", code).is_empty());
        assert!(of("Does. Blocks the\nthread. Returns 0. Since 0.1.", code).is_empty());
        for doc in [
            "Does. Suspends the fiber.\n\nReturns 0, or -EINVAL.",
            "Does. Suspends the fiber. Since 0.1.",
            "Does.\n\nReturns 0, or -EINVAL. Since 0.1.",
            "Returns 0 and does not suspend. Since 0.1.",
            "Does. Suspends the fiber.\n\nReturns 0, or -EWRONG. Since 0.1.",
        ] {
            assert_eq!(of(doc, code).len(), 1, "{doc}: {:?}", of(doc, code));
        }
    }

    #[test]
    fn what_returns_nothing_need_not_say_so() {
        assert!(of("Does. Does not suspend. Since 0.1.", "NYARIO_EXTERN void nyario_do(void);").is_empty());
    }

    #[test]
    fn everything_has_a_comment() {
        assert_eq!(missing(&parse("typedef int nyario_t;")).len(), 1);
        assert_eq!(missing(&parse("NYARIO_EXTERN int nyario_do(void);")).len(), 1);
    }
}
