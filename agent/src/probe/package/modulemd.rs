//! Module metadata of rpm repositories: `modules.yaml`, documents `modulemd` (one build of a stream of a module)
//! and `modulemd-defaults`. Streamed: only artifacts of wanted packages are kept.

use std::cell::RefCell;
use std::io::{self, BufRead};

use saphyr_parser::{BufferedInput, Event, Parser};

/// Most documents of one file.
const MAX_DOCUMENTS: usize = 20_000;
/// Most requirements of one build, and streams of one requirement.
const MAX_LIST: usize = 100;
/// Most wanted artifacts of one build.
const MAX_ARTIFACTS: usize = 10_000;
/// Longest line, bytes.
const MAX_LINE: u64 = 64 * 1024;
/// Deepest nesting.
const MAX_DEPTH: usize = 32;

/// What does not read as this format.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ModulemdError(String);

/// One build of a stream of a module.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Build {
    /// Module.
    pub module: String,
    /// Stream.
    pub stream: String,
    /// Which of the builds with different requirements it is, where it says so for good.
    pub static_context: Option<String>,
    /// Modules it needs and which of their streams; `-x` is any but `x`, none is any.
    pub requires: Vec<(String, Vec<String>)>,
    /// Its packages as `name-epoch:version-release.arch`, wanted ones only.
    pub artifacts: Vec<String>,
}

/// A document that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// `modulemd`.
    Build(Build),
    /// `modulemd-defaults`: module and stream.
    Default(String, String),
}

/// Reads `modules.yaml` and calls `each` with every build and default; gives the number of documents seen.
/// `wanted`: whether a package name matters.
pub fn scan(
    input: impl BufRead,
    wanted: &dyn Fn(&str) -> bool,
    each: &mut dyn FnMut(Document),
) -> Result<usize, ModulemdError> {
    let failure = RefCell::new(None);
    let characters = Characters { input, line: Vec::new().into_iter(), failure: &failure };
    let mut parser = Parser::new(BufferedInput::new(characters));
    let (mut seen, mut draft, mut place) = (0, Draft::default(), Place::default());
    while let Some(event) = parser.next_event() {
        let (event, _) = event.map_err(|e| ModulemdError(e.to_string()))?;
        match event {
            Event::DocumentStart(_) => (draft, place) = Default::default(),
            Event::DocumentEnd => {
                seen += 1;
                // What is left out could make a package look as if no module had it.
                if seen > MAX_DOCUMENTS || draft.is_cut {
                    return Err(ModulemdError("too many entries".into()));
                }
                std::mem::take(&mut draft).finish().into_iter().for_each(&mut *each);
            }
            Event::MappingStart(..) => place.enter(Frame::Map(None))?,
            Event::SequenceStart(..) => {
                draft.list(&place.path());
                place.enter(Frame::List)?;
            }
            Event::MappingEnd | Event::SequenceEnd => place.leave(),
            Event::Scalar(text, ..) => {
                if let Some(value) = place.scalar(text) {
                    draft.value(&place.path(), &value, wanted);
                    place.done();
                }
            }
            // What an alias stands for is not followed.
            Event::Alias(_) => {
                if place.scalar("".into()).is_some() {
                    place.done();
                }
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd => {}
        }
    }
    drop(parser);
    match failure.into_inner() {
        Some(error) => Err(ModulemdError(error)),
        None => Ok(seen),
    }
}

/// Name of a package from `name-epoch:version-release.arch`.
#[must_use]
pub fn name_of(nevra: &str) -> Option<&str> {
    nevra.rsplitn(3, '-').nth(2)
}

/// The characters of a text, line by line; what cannot be read ends them.
struct Characters<'f, R> {
    input: R,
    line: std::vec::IntoIter<char>,
    failure: &'f RefCell<Option<String>>,
}

impl<R: BufRead> Iterator for Characters<'_, R> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        if let Some(next) = self.line.next() {
            return Some(next);
        }
        let mut bytes = Vec::new();
        let read = io::Read::take(&mut self.input, MAX_LINE).read_until(b'\n', &mut bytes);
        let failed = match read {
            Ok(0) => return None,
            Ok(_) if bytes.len() as u64 == MAX_LINE => "line too long".to_owned(),
            Ok(_) => {
                self.line = String::from_utf8_lossy(&bytes).chars().collect::<Vec<_>>().into_iter();
                return self.line.next();
            }
            Err(error) => error.to_string(),
        };
        self.failure.borrow_mut().get_or_insert(failed);
        None
    }
}

enum Frame {
    /// With the key whose value comes.
    Map(Option<String>),
    List,
}

/// Where in a document the reader stands.
#[derive(Default)]
struct Place(Vec<Frame>);

impl Place {
    fn enter(&mut self, frame: Frame) -> Result<(), ModulemdError> {
        if matches!(self.0.last(), Some(Frame::Map(None))) {
            return Err(ModulemdError("a key that is no text".into()));
        }
        self.0.push(frame);
        if self.0.len() > MAX_DEPTH { Err(ModulemdError("nested too deeply".into())) } else { Ok(()) }
    }

    fn leave(&mut self) {
        self.0.pop();
        self.done();
    }

    /// A value is complete; the next text of a mapping is a key.
    fn done(&mut self) {
        if let Some(Frame::Map(key)) = self.0.last_mut() {
            *key = None;
        }
    }

    /// Takes a text as a key, or gives it back as a value.
    fn scalar<'t>(&mut self, text: std::borrow::Cow<'t, str>) -> Option<std::borrow::Cow<'t, str>> {
        match self.0.last_mut() {
            Some(Frame::Map(key @ None)) => {
                *key = Some(text.into_owned());
                None
            }
            _ => Some(text),
        }
    }

    /// Keys from the top; `-` in a list.
    fn path(&self) -> Vec<&str> {
        fn step(frame: &Frame) -> &str {
            match frame {
                Frame::Map(key) => key.as_deref().unwrap_or_default(),
                Frame::List => "-",
            }
        }
        self.0.iter().map(step).collect()
    }
}

/// A document while it is read.
#[derive(Default)]
struct Draft {
    kind: String,
    build: Build,
    context: String,
    is_static: bool,
    /// `data.module` of defaults.
    of: String,
    /// Whether a limit left something out.
    is_cut: bool,
}

impl Draft {
    /// A list begins: that of a requirement may stay empty.
    fn list(&mut self, path: &[&str]) {
        if let ["data", "dependencies", "-", "requires", module] = path {
            self.require(module, None);
        }
    }

    fn value(&mut self, path: &[&str], value: &str, wanted: &dyn Fn(&str) -> bool) {
        match path {
            ["document"] => value.clone_into(&mut self.kind),
            ["data", "name"] => value.clone_into(&mut self.build.module),
            ["data", "module"] => value.clone_into(&mut self.of),
            ["data", "stream"] => value.clone_into(&mut self.build.stream),
            ["data", "context"] => value.clone_into(&mut self.context),
            ["data", "static_context"] => self.is_static = value == "true",
            ["data", "dependencies", "-", "requires", module, "-"]
            // The first version of the format has one stream, without lists.
            | ["data", "dependencies", "requires", module] => self.require(module, Some(value)),
            ["data", "artifacts", "rpms", "-"] if name_of(value).is_some_and(wanted) => {
                self.is_cut |= !push(&mut self.build.artifacts, value.to_owned(), MAX_ARTIFACTS);
            }
            _ => {}
        }
    }

    fn require(&mut self, module: &str, stream: Option<&str>) {
        let requires = &mut self.build.requires;
        if !requires.iter().any(|(name, _)| name == module) {
            self.is_cut |= !push(requires, (module.to_owned(), vec![]), MAX_LIST);
        }
        let streams = requires.iter_mut().find(|(name, _)| name == module).map(|(_, streams)| streams);
        if let (Some(streams), Some(stream)) = (streams, stream) {
            self.is_cut |= !push(streams, stream.to_owned(), MAX_LIST);
        }
    }

    fn finish(mut self) -> Option<Document> {
        match self.kind.as_str() {
            "modulemd" if !self.build.module.is_empty() => {
                self.build.static_context = self.is_static.then_some(self.context);
                self.build.requires.sort();
                Some(Document::Build(self.build))
            }
            "modulemd-defaults" if !self.of.is_empty() && !self.build.stream.is_empty() => {
                Some(Document::Default(self.of, self.build.stream))
            }
            _ => None,
        }
    }
}

/// Adds an entry unless there are `most`; whether it did.
fn push<T>(list: &mut Vec<T>, entry: T, most: usize) -> bool {
    let fits = list.len() < most;
    if fits {
        list.push(entry);
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Document>, ModulemdError> {
        let mut out = vec![];
        scan(text.as_bytes(), &|name| name != "other", &mut |d| out.push(d)).map(|_| out)
    }

    const BUILD: &str = r#"---
document: modulemd
version: 2
data:
  name: lang-db
  stream: "1.6"
  version: 8040020210427202142
  context: 43efad94
  static_context: true
  arch: x86_64
  summary: 'It''s: a "database"'
  description: >-
    More than one line: with colons,
    - and what looks like a list.
  license: {module: [MIT], content: [GPL+ or Artistic]}
  dependencies:
  - buildrequires:
      platform: [el8.4.0]
    requires:
      platform: [el8]
      lang: [3.6, -3.5]
      any: []
  profiles:
    common:
      rpms:
      - lang-db
  artifacts:
    rpms:
    - lang-db-0:1.6-2.module_el8+8.x86_64
    - other-1:2-3.noarch
...
---
document: modulemd-defaults
version: 1
data:
  module: lang-db
  stream: "1.6"
  profiles:
    "1.6": [common]
...
"#;

    #[test]
    fn builds_and_defaults_are_read_and_the_rest_is_skipped() {
        let some = |streams: &[&str]| streams.iter().map(|&s| s.to_owned()).collect::<Vec<_>>();
        let build = Build {
            module: "lang-db".into(),
            stream: "1.6".into(),
            static_context: Some("43efad94".into()),
            requires: vec![
                ("any".into(), vec![]),
                ("lang".into(), some(&["3.6", "-3.5"])),
                ("platform".into(), some(&["el8"])),
            ],
            artifacts: vec!["lang-db-0:1.6-2.module_el8+8.x86_64".into()],
        };
        let default = Document::Default("lang-db".into(), "1.6".into());
        assert_eq!(read(BUILD).unwrap(), [Document::Build(build), default]);
        let old = "document: modulemd\nversion: 1\ndata:\n  name: m\n  stream: s\n  dependencies:\n    requires:\n      platform: f28\n";
        let read_old = read(old).unwrap();
        let [Document::Build(old)] = read_old.as_slice() else { panic!("{read_old:?}") };
        assert_eq!(old.requires, [("platform".to_owned(), some(&["f28"]))]);
        assert_eq!(
            read("---\ndocument: modulemd-translations\nversion: 1\ndata: {module: x}\n").unwrap(),
            []
        );
        assert_eq!(read("").unwrap(), []);
    }

    #[test]
    fn damage_is_an_error() {
        let deep = format!("a: {}", "[".repeat(100));
        let long = format!("a: {}", "x".repeat(70_000));
        let many = format!("data:\n  dependencies:\n  - requires: {{m: [{}]}}\n", "s, ".repeat(101));
        for text in
            [many.as_str(), "a: [b", "a: {b: c", "? {a: b}\n: c\n", "a: \"b", &deep, &long, "a: b\n c: d\ne"]
        {
            assert!(read(text).is_err(), "{}", &text[..text.len().min(40)]);
        }
    }
}
