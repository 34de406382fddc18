//! SQL text both engines accept, and the one place where placeholders are rewritten.

use std::borrow::Cow;

/// `?1` placeholders as PostgreSQL's `$1`. Text literals with a question mark are left alone.
#[must_use]
pub fn for_postgres(sql: &str) -> Cow<'_, str> {
    if !sql.contains('?') {
        return Cow::Borrowed(sql);
    }
    let mut quoted = false;
    let mut out = String::with_capacity(sql.len());
    let mut chars = sql.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\'' {
            quoted = !quoted;
        }
        let placeholder = c == '?' && !quoted && chars.peek().is_some_and(char::is_ascii_digit);
        out.push(if placeholder { '$' } else { c });
    }
    Cow::Owned(out)
}

/// The statements of a migration file: separated by a semicolon at the end of a line.
pub fn statements(text: &str) -> impl Iterator<Item = &str> {
    text.split(";\n").map(str::trim).filter(|statement| !statement.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_rewritten_and_literals_kept() {
        assert_eq!(for_postgres("select ?1, '?2 it''s ?3', ?12"), "select $1, '?2 it''s ?3', $12");
    }
}
