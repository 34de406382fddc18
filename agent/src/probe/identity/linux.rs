//! Identity of a Linux machine: `/etc/machine-id`, host name, join configuration; SMBIOS UUID from sysfs.

use tenken_shared::collected::{Collected, Reason};
use tenken_shared::fact::identity::Identity;

use super::parse;
use crate::probe::Collection;
use crate::probe::sources::{Sources, collected};
use crate::sys::Sys;

/// Collects `identity`. Privilege: root for the SMBIOS UUID and `sssd.conf`.
pub fn collect(sys: &Sys) -> Vec<Collection> {
    let mut sources = Sources::new();
    let mut body = Identity {
        machine_id: first_machine_id(sys, &mut sources),
        product_uuid: line(sys, "/sys/class/dmi/id/product_uuid", &mut sources)
            .map(|u| u.to_ascii_lowercase()),
        ..Identity::default()
    };
    names(sys, &mut sources, &mut body);
    join(sys, &mut sources, &mut body);
    let source = "/etc/machine-id; /etc/hostname; /proc/sys/kernel/hostname; /sys/class/dmi/id/product_uuid";
    let answer = if body.machine_id.is_none() && body.hostname.is_none() && !sources.has_gap() {
        Collected::Absent(Reason::with("not_present", "machine id and host name"))
    } else {
        collected(body, &sources.into_vec())
    };
    vec![Collection::of(answer, source, sys.now())]
}

fn first_machine_id(sys: &Sys, sources: &mut Sources) -> Option<String> {
    ["/etc/machine-id", "/var/lib/dbus/machine-id"]
        .into_iter()
        .find_map(|path| parse::machine_id(&sources.optional_text(sys, path)?))
}

fn line(sys: &Sys, path: &str, sources: &mut Sources) -> Option<String> {
    let text = sources.optional_text(sys, path)?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The running name where there is one, else the configured one.
fn names(sys: &Sys, sources: &mut Sources, body: &mut Identity) {
    let name = ["/proc/sys/kernel/hostname", "/etc/hostname"].into_iter().find_map(|path| {
        let text = sources.optional_text(sys, path)?;
        parse::host_name(&text).map(str::to_owned)
    });
    let Some(name) = name else { return };
    match name.split_once('.') {
        Some((short, _)) => {
            body.hostname = Some(short.to_owned());
            body.fqdn = Some(name);
        }
        None => {
            let hosts = sources.optional_text(sys, "/etc/hosts");
            body.fqdn = hosts.and_then(|hosts| parse::fqdn_in_hosts(&hosts, &name));
            body.hostname = Some(name);
        }
    }
}

/// Join by SSSD, FreeIPA or Samba; `none` only where all three could be looked at.
fn join(sys: &Sys, sources: &mut Sources, body: &mut Identity) {
    let mut own = Sources::new();
    if let Some((kind, domain)) =
        own.optional_text(sys, "/etc/sssd/sssd.conf").and_then(|text| parse::sssd_join(&text))
    {
        (body.join, body.domain) = (Some(kind.into()), Some(domain));
    }
    let ipa = own.optional_text(sys, "/etc/ipa/default.conf");
    if let Some(ipa) = ipa.filter(|_| body.join.is_none()) {
        (body.join, body.domain) = (Some("freeipa".into()), parse::ini(&ipa).remove("global/domain"));
    }
    if let Some(samba) = own.optional_text(sys, "/etc/samba/smb.conf") {
        let (realm, workgroup) = parse::samba(&samba);
        body.workgroup = workgroup;
        if let Some(realm) = realm.filter(|_| body.join.is_none()) {
            (body.join, body.domain) = (Some("active_directory".into()), Some(realm));
        }
    }
    if body.join.is_none() && !own.has_gap() {
        body.join = Some("none".into());
    }
    if body.domain.is_none() {
        let domain = body.fqdn.as_deref().and_then(|fqdn| fqdn.split_once('.')).map(|(_, domain)| domain);
        body.domain = domain.map(str::to_owned);
    }
    sources.extend(own);
}
