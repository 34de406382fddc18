//! Reads the text form of a Windows security descriptor (SDDL), as far as it takes to tell who may touch
//! a folder. Shape: `O:BAG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)`; the parts in this order, each optional.
//! Pure, so that it is tested on every system.

/// LocalSystem, in both spellings.
const SYSTEM: [&str; 2] = ["SY", "S-1-5-18"];
/// The group Administrators, in both spellings.
const ADMINISTRATORS: [&str; 2] = ["BA", "S-1-5-32-544"];

/// What makes a folder one that others could read or change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotClosed {
    /// It belongs to somebody else.
    #[error("it belongs to {0}")]
    Owner(String),
    /// No list of rights: everybody may do everything.
    #[error("it has no access list")]
    NoList,
    /// Rights come down from the folder above.
    #[error("it takes rights over from the folder above")]
    Inherits,
    /// Somebody else is given rights.
    #[error("{0} has rights on it")]
    Guest(String),
    /// The text is none of these.
    #[error("its security descriptor does not read: {0}")]
    Unread(String),
}

/// Checks that only SYSTEM, Administrators and `guests` (SIDs) have rights, that one of them owns it, and,
/// where `protected`, that nothing is inherited.
pub fn check(text: &str, guests: &[String], protected: bool) -> Result<(), NotClosed> {
    let known = |who: &str| {
        SYSTEM.contains(&who) || ADMINISTRATORS.contains(&who) || guests.iter().any(|guest| guest == who)
    };
    let owner = part(text, 'O').unwrap_or_default();
    if !known(owner) {
        return Err(NotClosed::Owner(owner.to_owned()));
    }
    let list = part(text, 'D').ok_or(NotClosed::NoList)?;
    let (flags, entries) = list.split_at(list.find('(').unwrap_or(list.len()));
    if flags.contains("NO_ACCESS_CONTROL") {
        return Err(NotClosed::NoList);
    }
    if protected && !flags.contains('P') {
        return Err(NotClosed::Inherits);
    }
    for entry in entries.split('(').skip(1) {
        let fields: Vec<&str> = entry.split(')').next().unwrap_or_default().split(';').collect();
        let (Some(kind), Some(who)) = (fields.first(), fields.get(5)) else {
            return Err(NotClosed::Unread(entry.chars().take(80).collect()));
        };
        // Only what denies is harmless; every other kind, known or not, counts as giving.
        if !matches!(*kind, "D" | "OD") && !known(who) {
            return Err(NotClosed::Guest((*who).to_owned()));
        }
    }
    Ok(())
}

/// The part that begins with `letter:`; `G`, `D` and `S` end the one before.
fn part(text: &str, letter: char) -> Option<&str> {
    let mut rest = text;
    loop {
        let (name, after) = rest.split_once(':')?;
        let end = after
            .char_indices()
            .find(|(at, c)| matches!(c, 'O' | 'G' | 'D' | 'S') && after[at + 1..].starts_with(':'))
            .map_or(after.len(), |(at, _)| at);
        if name.ends_with(letter) {
            return Some(&after[..end]);
        }
        rest = &after[end..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSED: &str = "O:BAG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)";

    #[test]
    fn closed_folder_is_closed_and_guests_are_told_apart() {
        assert_eq!(check(CLOSED, &[], true), Ok(()));
        let with = "O:SYG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;S-1-5-80-1-2)";
        assert_eq!(check(with, &[], true), Err(NotClosed::Guest("S-1-5-80-1-2".into())));
        assert_eq!(check(with, &["S-1-5-80-1-2".into()], true), Ok(()));
    }

    #[test]
    fn what_others_could_use_is_named() {
        let cases = [
            ("O:BAG:SYD:AI(A;OICIID;FA;;;SY)", NotClosed::Inherits),
            ("O:S-1-5-21-1-2-3-1001G:SYD:PAI(A;;FA;;;SY)", NotClosed::Owner("S-1-5-21-1-2-3-1001".into())),
            ("O:BAG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;0x1200a9;;;BU)", NotClosed::Guest("BU".into())),
            ("O:BAG:SYD:PAI(A;OICI;FA;;;SY)(XA;;FX;;;WD;(@User.x==1))", NotClosed::Guest("WD".into())),
            ("O:BAG:SY", NotClosed::NoList),
            ("O:BAD:NO_ACCESS_CONTROL", NotClosed::NoList),
            ("O:BAD:PAI(A;OICI)", NotClosed::Unread("A;OICI)".into())),
            ("", NotClosed::Owner(String::new())),
        ];
        for (text, expected) in cases {
            assert_eq!(check(text, &[], true), Err(expected), "{text}");
        }
    }

    #[test]
    fn a_file_may_inherit_and_denials_harm_nobody() {
        assert_eq!(check("O:SYG:SYD:AI(D;;FA;;;WD)(A;ID;FA;;;SY)(A;ID;FA;;;BA)", &[], false), Ok(()));
        assert_eq!(check("O:SYG:SYD:P", &[], true), Ok(()), "an empty list lets nobody in");
    }
}
