//! Auto-run on a Linux machine: which desktops are installed, and what they do with inserted media.
//!
//! A desktop's defaults count for everybody who has set nothing. Mounting alone starts nothing;
//! opening a window or offering the medium's own program does.

use std::collections::BTreeSet;

use tenken_shared::collected::{Reason, Status};
use tenken_shared::fact::autorun::{Autorun, AutorunSetting};

use super::parse;
use crate::probe::Collection;
use crate::probe::dconf::{self, Database, Profile, Value};
use crate::probe::homes::{self, Home};
use crate::probe::sources::{Sources, collected};
use crate::sys::{Sys, SysError};

const SESSIONS: [&str; 2] = ["/usr/share/xsessions", "/usr/share/wayland-sessions"];
/// Desktops that keep their media settings in dconf, with the folder of their keys.
const DCONF: [(&str, &str); 3] = [
    ("gnome", "/org/gnome/desktop/media-handling"),
    ("mate", "/org/mate/desktop/media-handling"),
    ("cinnamon", "/org/cinnamon/desktop/media-handling"),
];
/// Key, default of the schema.
const KEYS: [(&str, bool); 3] = [("automount", true), ("automount-open", true), ("autorun-never", false)];
const MAX_SETTINGS: u64 = 1024 * 1024;

/// Collects the fact.
pub(super) fn collect(sys: &Sys) -> Collection {
    let mut cx = Context { sys, sources: Sources::new(), settings: vec![], permits: vec![] };
    cx.sources.require_programs(sys);
    let desktops = cx.desktops();
    let homes = homes::list(sys).inspect_err(|e| cx.sources.error("/etc/passwd", e)).unwrap_or_default();
    if let Some(desktops) = &desktops {
        cx.dconf(desktops, &homes);
        if desktops.contains("xfce") {
            cx.xfce(&homes);
        }
        if desktops.contains("kde") {
            cx.kde(&homes);
        }
        if desktops.contains("lxde") || desktops.contains("lxqt") {
            cx.pcmanfm(&homes);
        }
        if desktops.contains("other") {
            cx.permits.push(None);
            cx.sources.gap("desktop", Status::Partial, Reason::new("desktop_not_known"));
        }
    }
    let active = if cx.permits.contains(&Some(true)) {
        Some(true)
    } else if desktops.is_none() || cx.permits.contains(&None) || cx.sources.has_gap() {
        None
    } else {
        Some(false)
    };
    cx.settings.sort_by(|a, b| (&a.scope, &a.subject, &a.key).cmp(&(&b.scope, &b.subject, &b.key)));
    let body = Autorun {
        active,
        desktop: desktops.map(|d| !d.is_empty()),
        settings: cx.settings,
        sources: cx.sources.into_vec(),
    };
    let states = body.sources.clone();
    Collection::of(
        collected(body, &states),
        "desktop sessions; dconf; desktop settings of each user",
        sys.now(),
    )
}

struct Context<'a> {
    sys: &'a Sys,
    sources: Sources,
    settings: Vec<AutorunSetting>,
    /// For the machine and each user: whether media can start something.
    permits: Vec<Option<bool>>,
}

/// Family of a session file's name.
fn family(session: &str) -> &'static str {
    let name = session.to_ascii_lowercase();
    let is = |words: &[&str]| words.iter().any(|w| name.contains(w));
    if is(&["gnome", "ubuntu", "pop", "unity", "budgie"]) {
        "gnome"
    } else if is(&["mate"]) {
        "mate"
    } else if is(&["cinnamon"]) {
        "cinnamon"
    } else if is(&["plasma", "kde"]) {
        "kde"
    } else if is(&["xfce", "xubuntu"]) {
        "xfce"
    } else if is(&["lxqt", "lubuntu"]) {
        "lxqt"
    } else if is(&["lxde"]) {
        "lxde"
    } else if is(&[
        "openbox", "i3", "sway", "fluxbox", "icewm", "awesome", "xmonad", "twm", "dwm", "bspwm", "weston",
    ]) {
        // Window managers: nothing of theirs handles media.
        "window_manager"
    } else {
        "other"
    }
}

impl Context<'_> {
    /// Families of the installed sessions; `None` where the folders may not be read.
    fn desktops(&mut self) -> Option<BTreeSet<&'static str>> {
        let mut out = BTreeSet::new();
        for folder in SESSIONS {
            match self.sys.list(folder) {
                Ok(entries) => {
                    let sessions: Vec<_> = entries.iter().filter(|e| e.name.ends_with(".desktop")).collect();
                    self.sources.known(folder, sessions.len());
                    out.extend(sessions.iter().map(|e| family(&e.name)));
                }
                Err(error) => {
                    self.sources.error(folder, &error);
                    if !matches!(error, SysError::Absent { .. }) {
                        return None;
                    }
                }
            }
        }
        Some(out)
    }

    fn add(
        &mut self,
        scope: &str,
        subject: &str,
        key: &str,
        value: &str,
        permits: Option<bool>,
        locked: bool,
    ) {
        self.settings.push(AutorunSetting {
            scope: scope.into(),
            subject: subject.into(),
            key: key.into(),
            value: value.chars().take(200).collect(),
            permits,
            locked,
        });
    }

    fn dconf(&mut self, desktops: &BTreeSet<&str>, homes: &[Home]) {
        let wanted: Vec<_> = DCONF.into_iter().filter(|(name, _)| desktops.contains(name)).collect();
        if wanted.is_empty() {
            return;
        }
        let profile = Profile::load(self.sys, &mut self.sources);
        for (subject, folder) in &wanted {
            self.dconf_scope(&profile, None, "machine", subject, folder);
        }
        for home in homes {
            let source = format!("dconf:{}", home.user);
            match dconf::of_user(self.sys, home) {
                Ok(database) => {
                    self.sources.known(&source, database.as_ref().map_or(0, |d| d.values.len()));
                    for (subject, folder) in wanted.iter().filter(|_| database.is_some()) {
                        self.dconf_scope(&profile, database.as_ref(), &home.user, subject, folder);
                    }
                }
                Err(error) => {
                    self.sources.error(&source, &error);
                    self.permits.push(None);
                }
            }
        }
    }

    /// Values in force for one scope: the machine (who has set nothing), or one user.
    fn dconf_scope(
        &mut self,
        profile: &Profile,
        user: Option<&Database>,
        scope: &str,
        subject: &str,
        folder: &str,
    ) {
        let mut in_force = [false; 3];
        for (i, (key, default)) in KEYS.into_iter().enumerate() {
            let path = format!("{folder}/{key}");
            let value = profile.get(&path, user);
            in_force[i] = matches!(value, Some(Value::Bool(true))) || (value.is_none() && default);
            let own = user.is_some_and(|d| d.values.contains_key(&path));
            if own || scope == "machine" {
                let permits = match key {
                    "automount-open" => in_force[i],
                    "autorun-never" => !in_force[i],
                    _ => false,
                };
                let origin = if value.is_none() { " (default)" } else { "" };
                self.add(
                    scope,
                    subject,
                    key,
                    &format!("{}{origin}", in_force[i]),
                    Some(permits),
                    profile.is_locked(&path),
                );
            }
        }
        let [mounts, opens, never] = in_force;
        // What is not mounted by itself neither opens nor offers its program by itself.
        self.permits.push(Some(mounts && (opens || !never)));
    }

    /// Reads one settings file of a user; a gap is recorded.
    fn user_file(&mut self, home: &Home, path: &str) -> Option<String> {
        let full = format!("{}/{path}", home.path);
        match self.sys.read_owned(&full, home.uid, MAX_SETTINGS) {
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(SysError::Absent { .. }) => None,
            Err(error) => {
                self.sources.error(format!("{path}:{}", home.user), &error);
                self.permits.push(None);
                None
            }
        }
    }

    fn xfce(&mut self, homes: &[Home]) {
        const FILE: &str = "xfce4/xfconf/xfce-perchannel-xml/thunar-volman.xml";
        if matches!(self.sys.exists("/usr/bin/thunar-volman"), Ok(false)) {
            self.add("machine", "xfce", "thunar-volman", "not installed", Some(false), false);
            self.permits.push(Some(false));
            return;
        }
        let machine = self.sources.optional_text(self.sys, &format!("/etc/xdg/{FILE}"));
        let mut texts = vec![("machine".to_owned(), machine)];
        for home in homes {
            let own = self.user_file(home, &format!(".config/{FILE}"));
            texts.extend(own.map(|t| (home.user.clone(), Some(t))));
        }
        for (scope, text) in texts {
            match text.as_deref().map(parse::xfconf).transpose() {
                Ok(values) => self.xfce_scope(&scope, &values.unwrap_or_default()),
                Err(error) => {
                    self.sources.error(format!("thunar-volman:{scope}"), &SysError::malformed(FILE, error));
                    self.permits.push(None);
                }
            }
        }
    }

    fn xfce_scope(&mut self, scope: &str, values: &std::collections::BTreeMap<String, String>) {
        let keys = ["/autobrowse/enabled", "/autorun/enabled", "/autoopen/enabled"];
        let on: Vec<Option<bool>> = keys.iter().map(|k| values.get(*k).map(|v| v == "true")).collect();
        for (key, state) in keys.iter().zip(&on) {
            if let Some(state) = state {
                self.add(scope, "xfce", key, &state.to_string(), Some(*state), false);
            }
        }
        // The built-in defaults differ between versions: unset is unknown.
        self.permits.push(if on.contains(&Some(true)) {
            Some(true)
        } else if on.contains(&None) {
            None
        } else {
            Some(false)
        });
    }

    fn kde(&mut self, homes: &[Home]) {
        // Plasma mounts at most; opening is left to the user's click.
        for home in homes {
            let Some(text) = self.user_file(home, ".config/kded_device_automounterrc") else { continue };
            if let Some(value) = parse::ini(&text).get("general/automountenabled") {
                self.add(&home.user, "kde", "AutomountEnabled", value, Some(false), false);
            }
        }
        self.add("machine", "kde", "device_automounter", "mounts only", Some(false), false);
        self.permits.push(Some(false));
    }

    fn pcmanfm(&mut self, homes: &[Home]) {
        let mut files = vec![(
            "machine".to_owned(),
            self.sources.optional_text(self.sys, "/etc/xdg/pcmanfm-qt/lxqt/settings.conf"),
        )];
        files.push((
            "machine".to_owned(),
            self.sources.optional_text(self.sys, "/etc/xdg/pcmanfm/LXDE/pcmanfm.conf"),
        ));
        for home in homes {
            for path in [".config/pcmanfm-qt/lxqt/settings.conf", ".config/pcmanfm/LXDE/pcmanfm.conf"] {
                let own = self.user_file(home, path);
                files.extend(own.map(|t| (home.user.clone(), Some(t))));
            }
        }
        let mut machine = None;
        for (scope, text) in files.into_iter().filter_map(|(s, t)| Some((s, t?))) {
            let Some(value) = parse::ini(&text).get("volume/autorun").cloned() else { continue };
            let on = !matches!(value.as_str(), "0" | "false");
            self.add(&scope, "lxqt", "AutoRun", &value, Some(on), false);
            if scope == "machine" {
                machine = Some(machine.unwrap_or(false) || on);
            } else {
                self.permits.push(Some(on));
            }
        }
        // PCManFM offers the medium's program unless told otherwise.
        self.permits.push(Some(machine.unwrap_or(true)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::PROBE;
    use super::*;
    use crate::probe::ProbeConfig;
    use crate::probe::fixture::{Fixture, body};

    fn autorun(fixture: &Fixture) -> Autorun {
        body(fixture.collect::<Autorun>(&PROBE, &ProbeConfig::default()))
    }

    #[test]
    fn without_a_desktop_nothing_starts() {
        let fixture = Fixture::empty();
        fixture.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
        let autorun = autorun(&fixture);
        assert_eq!((autorun.desktop, autorun.active), (Some(false), Some(false)));
    }

    #[test]
    fn a_locked_machine_setting_holds_for_everybody() {
        let fixture = Fixture::of("autorun/linux-gnome");
        let autorun = autorun(&fixture);
        assert_eq!(
            (autorun.desktop, autorun.active),
            (Some(true), Some(false)),
            "nothing is mounted by itself"
        );
        let machine = autorun.settings.iter().find(|s| s.scope == "machine" && s.key == "automount").unwrap();
        assert!(machine.locked && machine.value == "false");
        assert!(
            autorun
                .settings
                .iter()
                .any(|s| s.scope == "ito" && s.key == "autorun-never" && s.permits == Some(false))
        );
    }

    #[test]
    fn defaults_of_a_desktop_permit() {
        let fixture = Fixture::of("autorun/linux-gnome");
        std::fs::remove_dir_all(fixture.path("etc/dconf")).unwrap();
        assert_eq!(autorun(&fixture).active, Some(true), "who has set nothing gets the defaults");
    }

    #[test]
    fn an_unreadable_user_leaves_it_open() {
        let fixture = Fixture::of("autorun/linux-gnome");
        fixture.write("home/ito/.config/dconf/user", "rubbish");
        let fact = fixture.collect::<Autorun>(&PROBE, &ProbeConfig::default());
        assert_eq!(fact.reason().map(|r| r.code.as_str()), Some("malformed"));
        assert_eq!(body(fact).active, None);
    }

    #[test]
    fn an_unknown_desktop_is_unknown() {
        let fixture = Fixture::empty();
        fixture.write("etc/passwd", "").write("usr/share/xsessions/brandnew.desktop", "");
        assert_eq!(autorun(&fixture).active, None);
    }
}
