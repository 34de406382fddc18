//! Over hives written by an independent library, damaged ones, and the corpus where it is present.

use proptest::prelude::*;
use regf::writer::HiveBuilder;

use super::*;

fn placeholder() -> Vec<u8> {
    HiveBuilder::new().unwrap().to_bytes().unwrap()
}

#[test]
fn an_empty_hive_opens() {
    let hive = Hive::open(placeholder(), &[]).unwrap();
    assert_eq!(hive.recovery(), Recovery::Clean);
}

proptest! {
    #[test]
    fn damaged_hives_never_panic(at in 0usize..8192, byte in any::<u8>(), cut in 0usize..9000) {
        let mut image = placeholder();
        if let Some(b) = image.get_mut(at) { *b = byte; }
        image.truncate(cut.max(1));
        if let Ok(hive) = Hive::open(image, &[]) {
            if let Ok(node) = hive.node(hive.root()) {
                let _ = (hive.subkeys(&node), hive.values(&node));
            }
        }
    }
}
