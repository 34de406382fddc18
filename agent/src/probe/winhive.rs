//! Windows machines for probe tests: a folder with hives written by an independent library.

use regf::structures::DataType;
use regf::writer::{HiveBuilder, KeyTreeNode, KeyTreeValue};
use tenken_shared::collected::Collected;
use tenken_shared::fact::FactBody;

use super::{Probe, ProbeConfig};
use crate::probe::fixture::Fixture;

/// A Windows machine under a root folder. Hives that nothing was put into do not exist.
pub struct Machine {
    fixture: Fixture,
    hives: Vec<(String, KeyTreeNode)>,
}

/// A value to put into a hive.
pub enum Put {
    Text(String),
    Number(u32),
    Bytes(Vec<u8>),
    Texts(Vec<String>),
}

impl From<&str> for Put {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<u32> for Put {
    fn from(number: u32) -> Self {
        Self::Number(number)
    }
}

impl From<Vec<u8>> for Put {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<&str>> for Put {
    fn from(texts: Vec<&str>) -> Self {
        Self::Texts(texts.into_iter().map(str::to_owned).collect())
    }
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

impl Default for Machine {
    fn default() -> Self {
        let fixture = Fixture::empty();
        fixture.folder("/Windows/System32/config");
        Self { fixture, hives: vec![] }
    }
}

impl Machine {
    /// An empty Windows folder.
    pub fn new() -> Self {
        Self::default()
    }

    /// The folder.
    pub fn fixture(&self) -> &Fixture {
        &self.fixture
    }

    /// Puts a value into `SOFTWARE`.
    pub fn software(&mut self, key: &str, name: &str, value: impl Into<Put>) -> &mut Self {
        self.put("Windows/System32/config/SOFTWARE", key, name, value.into())
    }

    /// Puts a value into `SYSTEM`.
    pub fn system(&mut self, key: &str, name: &str, value: impl Into<Put>) -> &mut Self {
        self.put("Windows/System32/config/SYSTEM", key, name, value.into())
    }

    /// Puts a value into `SAM`.
    pub fn sam(&mut self, key: &str, name: &str, value: impl Into<Put>) -> &mut Self {
        self.put("Windows/System32/config/SAM", key, name, value.into())
    }

    /// Puts an unnamed value into `SECURITY`.
    pub fn security(&mut self, key: &str, value: Vec<u8>) -> &mut Self {
        self.put("Windows/System32/config/SECURITY", key, "", Put::Bytes(value))
    }

    /// Puts a value into any hive file, in place of one of that name.
    pub fn put(&mut self, file: &str, key: &str, name: &str, value: Put) -> &mut Self {
        let at = match self.hives.iter().position(|(of, _)| of == file) {
            Some(at) => at,
            None => {
                self.hives.push((file.into(), KeyTreeNode::new("ROOT")));
                self.hives.len() - 1
            }
        };
        let (data_type, data) = match value {
            Put::Text(text) => (DataType::String, wide(&text)),
            Put::Number(number) => (DataType::Dword, number.to_le_bytes().to_vec()),
            Put::Bytes(bytes) => (DataType::Binary, bytes),
            Put::Texts(texts) => {
                (DataType::MultiString, texts.iter().flat_map(|t| wide(t)).chain([0, 0]).collect())
            }
        };
        let tree = &mut self.hives[at].1;
        let values = &mut tree.get_or_create_path(key).values;
        values.retain(|value| value.name != name);
        values.push(KeyTreeValue { name: name.into(), data_type, data });
        let bytes = HiveBuilder::from_tree(tree.clone()).unwrap().to_bytes().unwrap();
        self.fixture.write(file, bytes);
        self
    }

    /// Runs a probe and gives the fact of type `T`.
    pub fn collect<T: FactBody>(&self, probe: &Probe, config: &ProbeConfig) -> Collected<T> {
        self.fixture.collect(probe, config)
    }
}
