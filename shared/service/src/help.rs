//! The command line in the reader's language.
//!
//! Help is written in English, where the arguments stand; a program has one table with the same sentences
//! in Japanese. What clap writes of its own is known here. [`gaps`] tells what a table lacks.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ErrorKind};
use clap::{Command, CommandFactory, FromArgMatches};
use tenken_shared::text::{Lang, printable};

use crate::language::of_environment;

/// English sentences of a command line as clap keeps them (those from comments without the last full stop),
/// each with the Japanese one.
pub type Sentences<'a> = [(&'a str, &'a str)];

/// What clap writes of its own: headings, which begin a line.
const HEADINGS: &Sentences<'_> = &[
    ("Usage:", "使い方:"),
    ("Commands:", "コマンド:"),
    ("Arguments:", "引数:"),
    ("Options:", "オプション:"),
];

/// What clap writes of its own, anywhere; of two that begin alike the longer one first.
const PHRASES: &Sentences<'_> = &[
    (
        "Print this message or the help of the given subcommand(s)",
        "使い方を表示（コマンドを指定すればその使い方）",
    ),
    ("Print help (see more with '--help')", "使い方を表示（詳しくは --help）"),
    ("Print help (see a summary with '-h')", "使い方を表示（概要は -h）"),
    ("Print help", "使い方を表示"),
    ("Print version", "版を表示"),
    ("Possible values:", "指定できる値:"),
    ("[possible values: ", "[指定できる値: "),
    ("[default: ", "[既定値: "),
    ("[env: ", "[環境変数: "),
];

/// Reads the command line of this process. What it cannot be, and the help it asks for, is printed in the
/// reader's language; then there is only an exit code left.
pub fn parse<T: CommandFactory + FromArgMatches>(sentences: &Sentences<'_>) -> Result<T, ExitCode> {
    let args: Vec<OsString> = std::env::args_os().collect();
    let lang = asked(&args).unwrap_or_else(of_environment);
    read(args, lang, sentences).map_err(|error| {
        let code = u8::try_from(error.exit_code()).unwrap_or(2);
        // Nobody is left to tell when this cannot be written.
        let _ = match (lang, error.use_stderr()) {
            (Lang::En, _) => error.print(),
            (Lang::Ja, true) => std::io::stderr().write_all(told(&error, sentences).as_bytes()),
            (Lang::Ja, false) => std::io::stdout().write_all(told(&error, sentences).as_bytes()),
        };
        ExitCode::from(code)
    })
}

fn read<T: CommandFactory + FromArgMatches>(
    args: Vec<OsString>,
    lang: Lang,
    sentences: &Sentences<'_>,
) -> Result<T, clap::Error> {
    let mut command = match lang {
        Lang::Ja => japanese(T::command(), sentences),
        Lang::En => T::command(),
    };
    let matches = command.try_get_matches_from_mut(args)?;
    T::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// What `--lang` says, wherever it stands: help is printed before anything else is read.
fn asked(args: &[OsString]) -> Option<Lang> {
    let mut words = args.iter().filter_map(|arg| arg.to_str()).take_while(|arg| *arg != "--");
    while let Some(word) = words.next() {
        let tag = match word.strip_prefix("--lang") {
            Some("") => words.next()?,
            Some(rest) => rest.strip_prefix('=').unwrap_or_default(),
            None => continue,
        };
        match tag {
            "ja" => return Some(Lang::Ja),
            "en" => return Some(Lang::En),
            _ => {}
        }
    }
    None
}

fn find<'a>(sentences: &Sentences<'a>, english: &str) -> Option<&'a str> {
    sentences.iter().find(|(en, _)| *en == english).map(|(_, ja)| *ja)
}

/// The command with every sentence in Japanese that the table has.
fn japanese(mut command: Command, sentences: &Sentences<'_>) -> Command {
    let ja = |text: Option<&StyledStr>| find(sentences, &text?.to_string()).map(str::to_owned);
    let (about, long) = (ja(command.get_about()), ja(command.get_long_about()));
    if let Some(text) = ja(command.get_after_help()) {
        command = command.after_help(text);
    }
    if let Some(text) = about {
        command = command.about(text);
    }
    if let Some(text) = long {
        command = command.long_about(text);
    }
    command
        .mut_args(|mut arg| {
            let (help, long) = (ja(arg.get_help()), ja(arg.get_long_help()));
            if let Some(text) = help {
                arg = arg.help(text);
            }
            if let Some(text) = long {
                arg = arg.long_help(text);
            }
            arg
        })
        .mut_subcommands(|sub| japanese(sub, sentences))
}

/// Help or an error, in Japanese.
fn told(error: &clap::Error, sentences: &Sentences<'_>) -> String {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            error.render().to_string().lines().map(|line| translated(line, sentences) + "\n").collect()
        }
        _ => refused(error),
    }
}

/// A line of help, in which only what clap wrote itself is still English.
fn translated(line: &str, sentences: &Sentences<'_>) -> String {
    for (en, ja) in HEADINGS {
        if let Some(rest) = line.strip_prefix(en) {
            return format!("{ja}{rest}");
        }
    }
    if line.trim_start().starts_with("- ")
        && let Some((value, about)) = line.split_once(": ")
        && let Some(ja) = find(sentences, about.trim_start())
    {
        return format!("{value}: {ja}");
    }
    PHRASES.iter().fold(line.to_owned(), |line, (en, ja)| line.replace(en, ja))
}

/// What a command line cannot be, and where to look.
fn refused(error: &clap::Error) -> String {
    let part = |kind| error.get(kind).map(|value| printable(&value.to_string())).unwrap_or_default();
    let (arg, value) = (part(ContextKind::InvalidArg), part(ContextKind::InvalidValue));
    let what = match error.kind() {
        ErrorKind::InvalidValue if value.is_empty() => format!("「{arg}」に値を指定してください。"),
        ErrorKind::InvalidValue => format!("「{arg}」に「{value}」は指定できません。"),
        ErrorKind::ValueValidation => format!("「{arg}」の値「{value}」は正しくありません。"),
        ErrorKind::UnknownArgument => format!("「{arg}」という引数はありません。"),
        ErrorKind::InvalidSubcommand => {
            format!("「{}」というコマンドはありません。", part(ContextKind::InvalidSubcommand))
        }
        ErrorKind::MissingSubcommand => "コマンドを指定してください。".to_owned(),
        ErrorKind::MissingRequiredArgument => format!("{arg} の指定が必要です。"),
        ErrorKind::ArgumentConflict => match part(ContextKind::PriorArg) {
            prior if prior == arg => format!("「{arg}」は一度だけ指定してください。"),
            prior => format!("「{arg}」は「{prior}」と同時に指定できません。"),
        },
        ErrorKind::NoEquals
        | ErrorKind::TooManyValues
        | ErrorKind::TooFewValues
        | ErrorKind::WrongNumberOfValues => format!("「{arg}」の値の数が正しくありません。"),
        _ => "コマンドラインを読めません。".to_owned(),
    };
    let mut text = format!("エラー: {what}使い方は --help で確かめてください。\n");
    if let Some(cause) = std::error::Error::source(error) {
        text.push_str(&format!("  理由: {}\n", printable(&cause.to_string())));
    }
    for (kind, label) in [
        (ContextKind::ValidValue, "指定できる値"),
        (ContextKind::SuggestedArg, "もしかして"),
        (ContextKind::SuggestedValue, "もしかして"),
        (ContextKind::SuggestedSubcommand, "もしかして"),
    ] {
        let value = part(kind);
        if !value.is_empty() {
            text.push_str(&format!("  {label}: {value}\n"));
        }
    }
    if let Some(usage) = error.get(ContextKind::Usage) {
        let usage = usage.to_string();
        text.extend(usage.lines().map(|line| translated(line, &[]) + "\n"));
    }
    text
}

/// For a test of each program: sentences without a Japanese one, entries that no command has any more, and
/// lines of any help that are still English.
#[must_use]
pub fn gaps(command: &Command, sentences: &Sentences<'_>) -> Vec<String> {
    let mut texts = Vec::new();
    gather(command, &mut texts);
    let lacks =
        texts.iter().filter(|text| find(sentences, text).is_none()).map(|t| format!("no Japanese: {t}"));
    let unused = sentences.iter().filter(|(en, _)| !texts.iter().any(|t| t == en));
    let mut gaps: Vec<String> = lacks.chain(unused.map(|(en, _)| format!("unused: {en}"))).collect();
    let whole = japanese(command.clone(), sentences);
    english(&whole, &whole, &[command.get_name()], sentences, &mut gaps);
    gaps.sort();
    gaps.dedup();
    gaps
}

/// Every sentence of a command and those below it; `-` and the name where it has none.
fn gather(command: &Command, texts: &mut Vec<String>) {
    let own =
        |text: Option<&StyledStr>, name: &str| text.map_or_else(|| format!("- {name}"), |t| t.to_string());
    texts.push(own(command.get_about(), command.get_name()));
    let more = [command.get_long_about(), command.get_after_help()];
    texts.extend(more.into_iter().flatten().map(ToString::to_string));
    for arg in command.get_arguments() {
        texts.push(own(arg.get_help(), &format!("{} {}", command.get_name(), arg.get_id())));
        texts.extend(arg.get_long_help().map(|t| t.to_string()));
        if arg.get_action().takes_values() {
            let values = arg.get_possible_values();
            texts.extend(values.iter().filter_map(|v| v.get_help()).map(|t| t.to_string()));
        }
    }
    command.get_subcommands().for_each(|sub| gather(sub, texts));
}

/// Lines of the help of a command and those below it that have two words in a row and nothing Japanese.
fn english(whole: &Command, at: &Command, path: &[&str], sentences: &Sentences<'_>, gaps: &mut Vec<String>) {
    let is_word = |word: &str| word.len() > 1 && word.bytes().skip(1).all(|b| b.is_ascii_lowercase());
    for flag in ["-h", "--help"] {
        let asked = whole.clone().try_get_matches_from(path.iter().chain([&flag]));
        let Err(help) = asked else { continue };
        for line in told(&help, sentences).lines().filter(|line| line.is_ascii()) {
            let words: Vec<&str> = line.split(' ').collect();
            if words.windows(2).any(|pair| pair.iter().all(|word| is_word(word))) {
                gaps.push(format!("English: {line}"));
            }
        }
    }
    for sub in at.get_subcommands() {
        english(whole, sub, &[path, &[sub.get_name()]].concat(), sentences, gaps);
    }
}

#[cfg(test)]
mod tests {
    use clap::{Parser, ValueEnum};

    use super::*;

    #[derive(Debug, Parser)]
    #[command(name = "x", about = "Does it", version)]
    struct Cli {
        /// Language
        #[arg(long, global = true)]
        lang: Option<String>,
        #[command(subcommand)]
        command: Sub,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Sub {
        /// Goes there
        #[command(after_help = "Or not")]
        Go {
            /// How to print
            #[arg(long, value_enum, default_value = "table")]
            format: Form,
            /// How many
            #[arg(long, conflicts_with = "all")]
            count: Option<u32>,
            /// All
            #[arg(long)]
            all: bool,
            /// Where to
            place: String,
        },
    }

    #[derive(Debug, Clone, Copy, ValueEnum)]
    enum Form {
        /// For people
        Table,
        Json,
    }

    const JA: &Sentences<'_> = &[
        ("Does it", "それをする"),
        ("Language", "言語"),
        ("Goes there", "そこへ行く"),
        ("Or not", "行かなくてもよい"),
        ("How to print", "表示の形"),
        ("For people", "人向け"),
        ("How many", "個数"),
        ("All", "すべて"),
        ("Where to", "行き先"),
    ];

    fn said(args: &[&str]) -> (i32, String) {
        let args = std::iter::once("x").chain(args.iter().copied()).map(OsString::from).collect();
        let error = read::<Cli>(args, Lang::Ja, JA).unwrap_err();
        (error.exit_code(), told(&error, JA))
    }

    #[test]
    fn help_is_japanese_to_the_last_line() {
        assert_eq!(gaps(&Cli::command(), JA), Vec::<String>::new());
        let (code, text) = said(&["go", "--help"]);
        assert_eq!(code, 0);
        for part in
            ["そこへ行く", "使い方: x go", "引数:", "オプション:", "[既定値: table]", "- table: 人向け"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(said(&["help", "go"]).1.contains("表示の形"));
        let (code, text) = said(&[]);
        assert!(code == 2 && text.contains("コマンド:"), "{text}");
        assert!(read::<Cli>(["x", "go", "there"].map(OsString::from).into(), Lang::Ja, JA).is_ok());
    }

    #[test]
    fn a_table_that_lacks_something_is_noticed() {
        let less: Vec<_> = JA.iter().copied().filter(|(en, _)| *en != "How many").collect();
        let found = gaps(&Cli::command(), &less);
        assert!(found.contains(&"no Japanese: How many".to_owned()), "{found:?}");
        assert!(found.iter().any(|gap| gap.starts_with("English: ")), "{found:?}");
        let more: Vec<_> = JA.iter().copied().chain([("Gone", "なし")]).collect();
        assert_eq!(gaps(&Cli::command(), &more), ["unused: Gone"]);
    }

    #[test]
    fn what_cannot_be_names_itself_and_the_help() {
        for (args, parts) in [
            (&["go"][..], &["<PLACE> の指定が必要です", "使い方: x go"][..]),
            (&["went"], &["「went」というコマンドはありません"]),
            (&["go", "there", "--al"], &["「--al」という引数はありません", "もしかして: --all"]),
            (&["go", "there", "--format", "xml"], &["「xml」は指定できません", "指定できる値: table, json"]),
            (&["go", "there", "--count", "many"], &["「many」は正しくありません", "理由: invalid digit"]),
            (&["go", "there", "--count"], &["に値を指定してください"]),
            (&["go", "there", "--count", "1", "--all"], &["「--count <COUNT>」は「--all」と同時に"]),
            (&["go", "there", "--all", "--all"], &["「--all」は一度だけ"]),
        ] {
            let (code, text) = said(args);
            assert_eq!(code, 2, "{text}");
            let first = text.lines().next().unwrap();
            assert!(first.starts_with("エラー: ") && first.contains("--help"), "{text}");
            for part in parts {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
    }

    #[test]
    fn the_language_is_known_before_anything_is_read() {
        let asked = |args: &[&str]| asked(&args.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(asked(&["x", "--lang", "ja", "--help"]), Some(Lang::Ja));
        assert_eq!(asked(&["x", "go", "--lang=en"]), Some(Lang::En));
        assert_eq!(asked(&["x", "--lang"]), None);
        assert_eq!(asked(&["x", "--lang", "fr"]), None);
        assert_eq!(asked(&["x", "--language=ja"]), None);
        assert_eq!(asked(&["x", "--", "--lang", "ja"]), None);
    }
}
