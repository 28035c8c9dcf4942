//! A function's comment, taken apart: what it does, what it returns, its errors, since when.

use nyario_core::sys::Errno;

/// The parts of a comment.
#[derive(Debug, PartialEq, Eq)]
pub struct Doc {
    /// What it does, in paragraphs.
    pub description: Vec<String>,
    /// What stands between "Returns" and the errors.
    pub returns: Option<String>,
    /// Each error by name, and when it comes, which may be empty.
    pub errors: Vec<(String, String)>,
    /// "another error of read(2)" and the like.
    pub others: Option<String>,
    /// The version that brought it.
    pub since: Option<String>,
}

/// Takes a comment apart.
pub fn parse(doc: &str) -> Doc {
    let mut description = paragraphs(doc);
    let mut since = None;
    if let Some(last) = description.last_mut()
        && let Some((rest, version)) = last.rsplit_once("Since ")
        && let Some(version) = version.strip_suffix('.')
    {
        since = Some(version.to_string());
        *last = rest.trim_end().to_string();
    }
    let mut returned = None;
    for paragraph in &mut description {
        let at =
            if paragraph.starts_with("Returns ") { Some(0) } else { paragraph.find(". Returns ").map(|at| at + 2) };
        if let Some(at) = at {
            returned = Some(paragraph.split_off(at));
        }
    }
    description.iter_mut().for_each(|paragraph| paragraph.truncate(paragraph.trim_end().len()));
    description.retain(|paragraph| !paragraph.is_empty());
    let mut doc = Doc { description, returns: None, errors: Vec::new(), others: None, since };
    if let Some(returned) = returned {
        take_results(&mut doc, returned.trim_start_matches("Returns "));
    }
    doc
}

/// `0, or -EINVAL for NULL, -EBADF, or another error of read(2).`
fn take_results(doc: &mut Doc, text: &str) {
    let mut text = text.trim().trim_end_matches('.');
    for others in [", or another error of ", ", or an error of ", "; or another error of "] {
        if let Some((rest, from)) = text.rsplit_once(others) {
            doc.others =
                Some(format!("{}{from}", others.trim_start_matches([',', ';', ' ']).trim_start_matches("or ")));
            text = rest;
            break;
        }
    }
    let mut starts: Vec<usize> =
        text.match_indices('-').map(|(at, _)| at).filter(|&at| error_at(text, at).is_some()).collect();
    let first = starts.first().copied().unwrap_or(text.len());
    doc.returns = Some(joint(&text[..first]).to_string());
    starts.push(text.len());
    for pair in starts.windows(2) {
        let name = error_at(text, pair[0]).expect("that is where one is");
        let when = joint(&text[pair[0] + 1 + name.len()..pair[1]]);
        doc.errors.push((name.to_string(), when.trim_start_matches([',', ' ']).to_string()));
    }
}

/// The name of the error at a minus.
fn error_at(text: &str, minus: usize) -> Option<&str> {
    let word = crate::header::words(&text[minus..]).next()?;
    let follows = text[minus + 1..].starts_with(word);
    let stands_alone = minus == 0 || text[..minus].ends_with([' ', '(']);
    let named =
        word.starts_with('E') && word.len() > 2 && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    (follows && stands_alone && (named || word.starts_with("NYARIO_E"))).then_some(word)
}

/// Without what joins it to the next.
fn joint(text: &str) -> &str {
    let text = text.trim_end();
    let text = text.strip_suffix(" and").or_else(|| text.strip_suffix(" or")).unwrap_or(text);
    text.trim_end().trim_end_matches([',', ';', '.']).trim()
}

/// Each paragraph as one line; each entry of a list, which begins with `- `, too. Lines that are indented by four stay as
/// they are, in a paragraph of theirs.
pub fn paragraphs(text: &str) -> Vec<String> {
    let mut paragraphs: Vec<String> = Vec::new();
    let mut fresh = true;
    for line in text.lines() {
        let code = line.starts_with("    ");
        let after_code = paragraphs.last().is_some_and(|paragraph| paragraph.starts_with("    "));
        match paragraphs.last_mut().filter(|_| !fresh && !line.starts_with("- ") && code == after_code) {
            _ if line.trim().is_empty() => fresh = true,
            Some(paragraph) if code => *paragraph += &format!("\n{line}"),
            Some(paragraph) => *paragraph += &format!(" {}", line.trim()),
            None => {
                paragraphs.push(if code { line.to_string() } else { line.trim().to_string() });
                fresh = false;
            }
        }
    }
    paragraphs
}

/// What the library says of an error, by its name.
pub fn text_of(name: &str) -> Option<&'static str> {
    (1..5000).map(Errno).find(|error| error.name() == name).map(|error| error.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_told_from_errors() {
        let doc = parse(
            "Does it. Does not\nsuspend.\n\nMore of it.\n\nReturns `len`; fewer when it failed (the next tells why); or -EPIPE, -EBADF (also\n\
             when closed), -ECANCELED and -ETIMEDOUT, after which it may be\ncalled again, or another error of write(2). Since 0.1.",
        );
        assert_eq!(doc.description, ["Does it. Does not suspend.", "More of it."]);
        assert_eq!(doc.returns.as_deref(), Some("`len`; fewer when it failed (the next tells why)"));
        let errors: Vec<(&str, &str)> = doc.errors.iter().map(|(name, when)| (name.as_str(), when.as_str())).collect();
        let wanted = [
            ("EPIPE", ""),
            ("EBADF", "(also when closed)"),
            ("ECANCELED", ""),
            ("ETIMEDOUT", "after which it may be called again"),
        ];
        assert_eq!(errors, wanted);
        assert_eq!(doc.others.as_deref(), Some("another error of write(2)"));
        assert_eq!(doc.since.as_deref(), Some("0.1"));
    }

    #[test]
    fn one_paragraph_will_do() {
        let doc = parse("The text. Does not suspend. Returns the text, never NULL. Since 0.1.");
        assert_eq!(doc.description, ["The text. Does not suspend."]);
        assert_eq!((doc.returns.as_deref(), doc.errors.len()), (Some("the text, never NULL"), 0));
    }

    #[test]
    fn lists_and_code_stay_apart() {
        let found = paragraphs("Text\nof two lines:\n- one\n  more\n- two\n\n    code {\n        code\n    }\n\nEnd.");
        let code = "    code {\n        code\n    }";
        assert_eq!(found, ["Text of two lines:", "- one more", "- two", code, "End."]);
    }

    #[test]
    fn what_is_missing_is_missing() {
        let doc = parse("Only this.");
        assert_eq!((doc.returns, doc.since, doc.errors.len()), (None, None, 0));
    }

    #[test]
    fn errors_have_texts() {
        assert_eq!(text_of("EINVAL"), Some(Errno(22).text()));
        assert_eq!(text_of("ENOSUCH"), None);
    }
}
