//! Text for `man`.

use crate::doc;

/// Where lines are broken.
const WIDTH: usize = 78;

/// A text that stands where roff would read commands.
pub fn verbatim(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A paragraph, each sentence on a line of its own: names of functions and errors bold, what stands in backticks
/// italic.
pub fn prose(text: &str) -> String {
    let mut lines = Vec::new();
    let mut line = String::new();
    for (index, word) in words(text).into_iter().enumerate() {
        let ends = index > 0 && line.ends_with(['.', '!', '?', ':']) && line.len() > 2;
        if !line.is_empty() && (ends || line.len() + word.len() >= WIDTH) {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    lines.push(line);
    let lines = lines.into_iter().map(|line| if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

/// The words of a paragraph, marked up; what stands in backticks is one word.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut glue = false;
    for (index, part) in text.split('`').enumerate() {
        if index % 2 == 1 {
            let marked = format!("\\fI{}\\fP", verbatim(part).replace(' ', "\\ "));
            append(&mut words, marked, glue);
            glue = true;
            continue;
        }
        glue = glue && !part.starts_with(' ');
        for word in part.split_whitespace() {
            append(&mut words, marked(word), glue);
            glue = false;
        }
        glue = !part.is_empty() && !part.ends_with(' ');
    }
    words
}

fn append(words: &mut Vec<String>, word: String, glue: bool) {
    match words.last_mut().filter(|_| glue) {
        Some(last) => last.push_str(&word),
        None => words.push(word),
    }
}

fn marked(word: &str) -> String {
    let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let start = word.find(name).unwrap_or(0);
    let end = word[start..].find(|c| !name(c)).map_or(word.len(), |len| start + len);
    let (before, core, after) = (&word[..start], &word[start..end], &word[end..]);
    let page = after.strip_prefix('(').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let error =
        core.len() > 2 && core.starts_with('E') && core.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    let escaped = verbatim(core);
    let ours = core.starts_with("NYARIO_") || (core.starts_with("nyario_") && !core.ends_with('_'));
    let core = if ours || page || (error && before.ends_with('-')) { format!("\\fB{escaped}\\fP") } else { escaped };
    format!("{}{core}{}", verbatim(before).trim_start_matches("\\&"), verbatim(after).trim_start_matches("\\&"))
}

/// Paragraphs, lists and code, each with the request before it.
pub fn blocks(paragraphs: &[String]) -> String {
    let mut out = String::new();
    for (index, paragraph) in paragraphs.iter().enumerate() {
        if let Some(entry) = paragraph.strip_prefix("- ") {
            out += &format!(".IP \\(bu 3\n{}\n", prose(entry));
        } else {
            if index > 0 {
                out += ".PP\n";
            }
            if paragraph.starts_with("    ") {
                out += &code(paragraph);
            } else {
                out += &format!("{}\n", prose(paragraph));
            }
        }
    }
    out
}

/// Lines as they are.
pub fn code(text: &str) -> String {
    format!(".nf\n{}\n.fi\n", verbatim(text).lines().map(|line| line.to_string() + "\n").collect::<String>().trim_end())
}

/// A comment as blocks.
pub fn comment(text: &str) -> String {
    blocks(&doc::paragraphs(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_stand_on_lines_of_their_own() {
        assert_eq!(
            prose("One. Two `a b`, nyario_read and -EINVAL; see read(2)."),
            "One.\nTwo \\fIa\\ b\\fP, \\fBnyario_read\\fP and \\-\\fBEINVAL\\fP; see \\fBread\\fP(2)."
        );
    }

    #[test]
    fn nothing_is_taken_for_a_command() {
        assert_eq!(prose(".so it is"), "\\&.so it is");
        assert_eq!(verbatim("'a\n\\n-1"), "\\&'a\n\\en\\-1");
    }
}
