//! Reads a caller's SQL just far enough to refuse what has no place in it.
//!
//! The dialect is the part both engines read alike: plain literals, `"quoted names"`, no dollar quotes,
//! escape strings, back-ticks or brackets, so that this reader and the engine see the same tokens. A name
//! before `(` must be a known harmless function or a keyword; words that write, configure or reach for the
//! catalogue are refused wherever they stand outside a literal.

use super::SandboxError;

/// Functions a caller may use, over both engines. Nothing that sleeps, reads files, configures, makes
/// large values from small ones or runs text.
pub const FUNCTIONS: &[&str] = &[
    "abs",
    "avg",
    "ceil",
    "coalesce",
    "count",
    "date",
    "datetime",
    "dense_rank",
    "extract",
    "first_value",
    "floor",
    "greatest",
    "group_concat",
    "iif",
    "ifnull",
    "instr",
    "julianday",
    "lag",
    "last_value",
    "lead",
    "least",
    "left",
    "length",
    "like",
    "lower",
    "ltrim",
    "max",
    "min",
    "ntile",
    "nullif",
    "position",
    "rank",
    "replace",
    "right",
    "round",
    "row_number",
    "rtrim",
    "strftime",
    "string_agg",
    "strpos",
    "substr",
    "substring",
    "sum",
    "time",
    "total",
    "trim",
    "unixepoch",
    "upper",
];

/// Keywords and types that may stand before `(`.
const BEFORE_PAREN: &[&str] = &[
    "all",
    "and",
    "any",
    "as",
    "between",
    "by",
    "case",
    "cast",
    "char",
    "decimal",
    "distinct",
    "else",
    "end",
    "except",
    "exists",
    "filter",
    "from",
    "having",
    "in",
    "intersect",
    "is",
    "join",
    "limit",
    "materialized",
    "not",
    "numeric",
    "offset",
    "on",
    "or",
    "over",
    "partition",
    "select",
    "then",
    "union",
    "using",
    "values",
    "varchar",
    "when",
    "where",
];

/// Words that have no place in a question.
const DENIED: &[&str] = &[
    "alter",
    "analyze",
    "attach",
    "begin",
    "call",
    "checkpoint",
    "cluster",
    "comment",
    "commit",
    "copy",
    "create",
    "deallocate",
    "declare",
    "delete",
    "detach",
    "discard",
    "do",
    "drop",
    "execute",
    "explain",
    "for",
    "grant",
    "import",
    "insert",
    "into",
    "lateral",
    "listen",
    "load",
    "lock",
    "merge",
    "notify",
    "pragma",
    "prepare",
    "recursive",
    "refresh",
    "reindex",
    "release",
    "reset",
    "revoke",
    "rollback",
    "savepoint",
    "security",
    "set",
    "share",
    "show",
    "table",
    "tablesample",
    "truncate",
    "unlisten",
    "update",
    "vacuum",
];

/// Beginnings of names that belong to an engine.
const DENIED_PREFIXES: &[&str] = &[
    "pg_",
    "sqlite_",
    "information_schema",
    "lo_",
    "dblink",
    "json_populate",
    "query_to_",
    "current_setting",
    "set_config",
];

/// What both engines take for space. Any other, such as U+3000, is part of a name to them.
const SPACES: [char; 5] = [' ', '\t', '\n', '\r', '\x0c'];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token<'a> {
    /// Bare word, as written.
    Word(&'a str),
    /// `"name"`, without the quotes.
    Quoted(&'a str),
    /// Number or text literal.
    Literal,
    /// Anything else.
    Sign(char),
}

/// Refuses what is not one harmless `select`; answers the statement without trailing semicolons.
pub fn check(sql: &str, max_bytes: usize) -> Result<&str, SandboxError> {
    if sql.len() > max_bytes {
        return Err(SandboxError::Limit("statement size"));
    }
    if sql.contains('\0') {
        return Err(SandboxError::Denied("NUL".into()));
    }
    let sql = sql.trim_matches(|c: char| c.is_whitespace() || c == ';');
    let tokens = read(sql)?;
    match tokens.iter().find(|t| **t != Token::Sign('(')) {
        Some(Token::Word(word))
            if ["select", "with", "values"].iter().any(|k| word.eq_ignore_ascii_case(k)) => {}
        _ => return Err(SandboxError::Denied("only SELECT is allowed".into())),
    }
    for (index, token) in tokens.iter().enumerate() {
        let next = tokens.get(index + 1);
        match token {
            Token::Sign(';') => return Err(SandboxError::Denied("only one statement is allowed".into())),
            Token::Word(word) => check_name(word, false, next)?,
            Token::Quoted(word) => check_name(word, true, next)?,
            Token::Literal | Token::Sign(_) => {}
        }
    }
    Ok(sql)
}

fn check_name(word: &str, quoted: bool, next: Option<&Token<'_>>) -> Result<(), SandboxError> {
    let lower = word.to_ascii_lowercase();
    let denied = || SandboxError::Denied(lower.clone());
    if DENIED_PREFIXES.iter().any(|p| lower.starts_with(p)) || (!quoted && DENIED.contains(&lower.as_str())) {
        return Err(denied());
    }
    if next == Some(&Token::Sign('(')) {
        let known =
            FUNCTIONS.contains(&lower.as_str()) || (!quoted && BEFORE_PAREN.contains(&lower.as_str()));
        if !known {
            return Err(SandboxError::Denied(format!("{lower}()")));
        }
    }
    Ok(())
}

fn read(sql: &str) -> Result<Vec<Token<'_>>, SandboxError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = sql[at..].chars().next() {
        let rest = &sql[at..];
        let (token, used) = if SPACES.contains(&c) {
            (None, c.len_utf8())
        } else if rest.starts_with("--") {
            (None, line_comment(rest)?)
        } else if rest.starts_with("/*") {
            (None, comment(rest)?)
        } else if c == '\'' || c == '"' {
            let (inner, used) = quoted(rest, c)?;
            (Some(if c == '"' { Token::Quoted(inner) } else { Token::Literal }), used)
        } else if is_word(c) {
            word(rest)?
        } else {
            sign(c)?;
            (Some(Token::Sign(c)), c.len_utf8())
        };
        tokens.extend(token);
        at += used;
    }
    Ok(tokens)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// A bare word or number. A word right before a quote would make an escape or bit string, also when it
/// begins with digits (`1e'\''` is `1` and an escape string to PostgreSQL up to 14): refused.
fn word(rest: &str) -> Result<(Option<Token<'_>>, usize), SandboxError> {
    let used = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
    let text = &rest[..used];
    if rest[used..].starts_with(['\'', '"', '&']) {
        return Err(SandboxError::Denied("prefixed literals".into()));
    }
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok((Some(Token::Word(text)), used));
    }
    if is_number(text, &rest[used..]) {
        Ok((Some(Token::Literal), used))
    } else {
        Err(SandboxError::Denied("words that begin with a digit".into()))
    }
}

/// Whether `text` is a whole number with or without exponent (`5`, `5e3`, the `5e` of `5e-3`). PostgreSQL
/// up to 14 reads other letters after digits as a word of their own: `1into` holds an `into`.
fn is_number(text: &str, after: &str) -> bool {
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    match text.split_once(['e', 'E']) {
        None => digits(text),
        Some((mantissa, "")) => {
            digits(mantissa)
                && after.strip_prefix(['+', '-']).is_some_and(|t| t.starts_with(|c: char| c.is_ascii_digit()))
        }
        Some((mantissa, exponent)) => digits(mantissa) && digits(exponent),
    }
}

fn sign(c: char) -> Result<(), SandboxError> {
    if "(),.;+-*/%=<>|!:~".contains(c) {
        Ok(())
    } else {
        Err(SandboxError::Denied(format!("the character {:?}", c)))
    }
}

/// Length of a comment to the end of its line. To PostgreSQL a carriage return ends it, to SQLite only a
/// line feed does: one that stands alone is refused.
fn line_comment(rest: &str) -> Result<usize, SandboxError> {
    let end = rest.find('\n').unwrap_or(rest.len());
    let comment = rest[..end].strip_suffix('\r').unwrap_or(&rest[..end]);
    if comment.contains('\r') {
        return Err(SandboxError::Denied("a carriage return in a comment".into()));
    }
    Ok(end)
}

/// Length of a comment in `/* */`. Nested ones differ between engines and are refused; so is `/*/*/`,
/// whose end for SQLite is the beginning of a nested one for PostgreSQL.
fn comment(rest: &str) -> Result<usize, SandboxError> {
    let inside = &rest[2..];
    let end = inside.find("*/").ok_or_else(|| SandboxError::Invalid("a comment does not end".into()))? + 2;
    if inside[..end].contains("/*") {
        return Err(SandboxError::Denied("nested comments".into()));
    }
    Ok(2 + end)
}

/// The inside of a quoted run (doubled quotes belong to it) and the length of the whole.
fn quoted(rest: &str, quote: char) -> Result<(&str, usize), SandboxError> {
    let mut from = 1;
    loop {
        let end = rest[from..]
            .find(quote)
            .map(|offset| from + offset)
            .ok_or_else(|| SandboxError::Invalid("a quote does not end".into()))?;
        if rest[end + 1..].starts_with(quote) {
            from = end + 2;
        } else {
            return Ok((&rest[1..end], end + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(sql: &str) {
        assert!(check(sql, 10_000).is_err(), "{sql}");
    }

    #[test]
    fn questions_pass() {
        for sql in [
            "select * from hosts",
            "SELECT h.name, count(*) AS n FROM hosts h JOIN software s ON s.host = h.host GROUP BY h.name ORDER BY 2 DESC LIMIT 5;",
            "with old as (select host from updates where days_open > 14) select count(distinct host) from old",
            "select name from software where name like '%OpenSSL%' and version <> '3.0' -- why; not\n",
            "select 'it''s; drop table x', \"name\" from hosts where (1=1) or not (state in ('active'))",
            "(select 1) union all (select 2)",
            "values (1), (2)",
            "select name from hosts where name = '経理部'",
            "select 1 -- why\r\n, 2 /* then */ /**/ /***/ /*/ and */",
            "select round(1.5e3, 2), 2e-3, .5, 1/2, case when (1=1) then 2 else 3 end",
        ] {
            assert!(check(sql, 10_000).is_ok(), "{sql}: {:?}", check(sql, 10_000));
        }
    }

    #[test]
    fn attacks_are_refused_before_the_engine_sees_them() {
        for sql in [
            "attach 'x' as y",
            "vacuum into '/tmp/x'",
            "pragma table_info(host)",
            "select * from pragma_table_info('host')",
            "select 1; select 2",
            "with x as (delete from host returning *) select * from x",
            "with x as (insert into host values (1)) select 1",
            "with recursive r(n) as (select 1 union all select n+1 from r) select * from r",
            "select set_config('role','postgres',true)",
            "select pg_sleep(100)",
            "select \"pg_sleep\"(100)",
            "select pg_catalog.pg_sleep(1)",
            "select U&\"pg\\005fsleep\"(1)",
            "select E'\\'' , pg_sleep(1) --'",
            "select $$x$$",
            "select * from dblink('host=x','select 1')",
            "copy hosts to program 'sh'",
            "select lo_import('/etc/passwd')",
            "select pg_read_file('/etc/passwd')",
            "select load_extension('x')",
            "select * from sqlite_master",
            "select * from \"sqlite_temp_master\"",
            "select * from information_schema.tables",
            "select randomblob(1000000000)",
            "select printf('%1000000000d', 1)",
            "select query_to_xml('select 1', true, true, '')",
            "select * into x from hosts",
            "select * from hosts for update",
            "explain select 1",
            "set role postgres",
            "select `name` from hosts",
            "select [name] from hosts",
            "select 1 /* /* */ */",
            "select 1 /*/",
            "select 1 /*/*/ ' */ */ , pg_sleep(10) -- '",
            "select 1 -- \r, pg_sleep(10)",
            "select 1 -- ' \r' \n, pg_sleep(10)",
            "select 1e'\\' , ' , pg_sleep(10) -- '",
            "select 1into x",
            "select 1 limit 1for no key",
            "(\u{3000}select 1)",
            "select\u{a0}1",
            "select '\0'",
            "select 'open",
            "",
            "do $$begin end$$",
            "table hosts",
            "select generate_series(1,1000000000)",
        ] {
            denied(sql);
        }
    }

    #[test]
    fn length_is_bounded() {
        assert!(matches!(
            check(&format!("select {}", "1+".repeat(9000)), 16_384),
            Err(SandboxError::Limit(_))
        ));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_answered(sql in "\\PC{0,200}") {
            let _ = check(&sql, 10_000);
        }
    }
}
