//! The language of the person at this machine.

use tenken_shared::text::Lang;

/// Language of what is printed: that of `LC_ALL`, `LC_MESSAGES` or `LANG`, in that order; on Windows, where
/// these are not set, the display language of the user; else English.
#[must_use]
pub fn of_environment() -> Lang {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    match ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(set) {
        Some(tag) => Lang::from_tag(&tag),
        None => of_system().unwrap_or(Lang::En),
    }
}

#[cfg(windows)]
fn of_system() -> Option<Lang> {
    Some(if crate::manager::sys::ui_is_japanese() { Lang::Ja } else { Lang::En })
}

#[cfg(not(windows))]
fn of_system() -> Option<Lang> {
    None
}
