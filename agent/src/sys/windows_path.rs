//! Paths as Windows writes them, made into paths of [`Sys`].

use super::{Sys, SysError};

/// Variables of the machine that stand in paths of the registry, with their usual value below the system drive.
const VARIABLES: [(&str, &str); 8] = [
    ("%systemdrive%", ""),
    ("%systemroot%", "/Windows"),
    ("%windir%", "/Windows"),
    ("%programfiles%", "/Program Files"),
    ("%programfiles(x86)%", "/Program Files (x86)"),
    ("%programdata%", "/ProgramData"),
    ("%allusersprofile%", "/ProgramData"),
    ("%public%", "/Users/Public"),
];

impl Sys {
    /// The path to give to [`Sys`] for a path as Windows writes it (`C:\...`, `%SystemRoot%\...`,
    /// `\??\C:\...`). Under a root folder, which is the system drive, other drives are `Unsupported`
    /// (`other_volume`); so are shares and variables of a user.
    pub fn windows_path(&self, path: &str) -> Result<String, SysError> {
        let other = || SysError::Unsupported { what: path.into(), reason: "other_volume".into() };
        let plain = path.trim_matches(['"', '\0', ' ']).replace('\\', "/");
        let plain = plain.strip_prefix("/??/").or_else(|| plain.strip_prefix("//?/")).unwrap_or(&plain);
        let lower = plain.to_ascii_lowercase();
        for (variable, value) in VARIABLES {
            if lower.starts_with(variable) {
                return Ok(format!("{value}{}", &plain[variable.len()..]));
            }
        }
        if lower.starts_with("/systemroot/") {
            return Ok(format!("/Windows{}", &plain["/systemroot".len()..]));
        }
        let (drive, rest) = match plain.as_bytes() {
            [drive, b':', b'/', ..] => (drive.to_ascii_uppercase(), &plain[2..]),
            _ => return Err(other()),
        };
        if self.is_live() {
            return Ok(plain.to_owned());
        }
        if drive == self.system_drive() { Ok(rest.to_owned()) } else { Err(other()) }
    }

    /// Letter of the drive a root folder is: that of `SystemRoot`, `C` where no hive says so.
    fn system_drive(&self) -> u8 {
        let version = self.registry(r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion");
        let root = version.ok().flatten().and_then(|key| key.string("SystemRoot").ok().flatten());
        match root.as_deref().map(str::as_bytes) {
            Some([drive, b':', ..]) => drive.to_ascii_uppercase(),
            _ => b'C',
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drives_and_variables_lead_into_the_root() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("Windows")).unwrap();
        let sys = Sys::at_root(dir.path(), None).unwrap();
        let path = |text: &str| sys.windows_path(text);
        assert_eq!(path(r"c:\Users\山田　太郎").unwrap(), "/Users/山田　太郎");
        assert_eq!(path(r"%SystemDrive%\Users\a").unwrap(), "/Users/a");
        assert_eq!(path(r"%systemroot%\System32").unwrap(), "/Windows/System32");
        assert_eq!(path(r"\??\c:\Windows").unwrap(), "/Windows");
        assert_eq!(path(r"\SystemRoot\System32").unwrap(), "/Windows/System32");
        for outside in [r"D:\Data", r"\\server\share", r"%USERPROFILE%\x", "", "C:", "relative"] {
            assert_eq!(path(outside).unwrap_err().reason().code, "other_volume", "{outside}");
        }
    }
}
