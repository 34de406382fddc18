use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

use super::*;

struct Ca {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    pem: String,
}

fn ca(name: &str) -> Ca {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2036, 1, 1));
    let key = KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap();
    Ca { der: cert.der().clone(), pem: cert.pem(), issuer: Issuer::new(params, key) }
}

fn leaf(ca: &Ca, years: (i32, i32)) -> CertificateDer<'static> {
    let mut params = CertificateParams::new(vec!["collector.example".into()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(years.0, 6, 1), date_time_ymd(years.1, 6, 1));
    let key = KeyPair::generate().unwrap();
    params.signed_by(&key, &ca.issuer).unwrap().der().clone()
}

fn verdict(
    anchor: &Anchor,
    reference_s: u64,
    leaf: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    name: &str,
) -> Result<(), rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let anchors = match anchor {
        Anchor::Fingerprint(digest) => Anchors::Fingerprint(*digest),
        Anchor::Pinned(pems) => Anchors::Fixed(verifier(pinned(pems).unwrap(), &provider).unwrap()),
        Anchor::OsStore => unreachable!("not tested here"),
    };
    let verifier = Verifier { anchors, reference_s, presented: Presented::default(), provider };
    let name = ServerName::try_from(name.to_owned()).unwrap();
    // The host's clock says 1970: it must not matter.
    let clock = UnixTime::since_unix_epoch(std::time::Duration::ZERO);
    verifier.verify_server_cert(leaf, others, &name, &[], clock).map(drop)
}

fn year(year: i16) -> u64 {
    let date: jiff::Timestamp = format!("{year}-09-01T00:00:00Z").parse().unwrap();
    date.as_second() as u64
}

#[test]
fn only_the_pinned_ca_counts_and_it_must_be_presented_at_enrolment() {
    let (ours, other) = (ca("ours"), ca("other"));
    let pin = Anchor::Fingerprint(Digest::of(&ours.der));
    let good = leaf(&ours, (2026, 2030));
    let forged = leaf(&other, (2026, 2030));
    let check = |leaf: &_, others: &[_]| verdict(&pin, year(2026), leaf, others, "collector.example");
    assert!(check(&good, std::slice::from_ref(&ours.der)).is_ok());
    assert!(check(&good, &[]).is_err());
    assert!(check(&forged, std::slice::from_ref(&other.der)).is_err());
    // The pinned certificate lies in the chain but did not sign the leaf.
    assert!(check(&forged, &[ours.der.clone(), other.der.clone()]).is_err());
    let wrong_name = verdict(&pin, year(2026), &good, std::slice::from_ref(&ours.der), "elsewhere.example");
    assert!(wrong_name.is_err());
}

#[test]
fn dates_are_checked_against_what_is_known_not_against_the_host_clock() {
    let ours = ca("ours");
    let anchor = Anchor::Pinned(vec![ours.pem.clone()]);
    let check = |reference, years| {
        verdict(&anchor, reference, &leaf(&ours, years), std::slice::from_ref(&ours.der), "collector.example")
    };
    assert!(check(year(2027), (2026, 2028)).is_ok());
    // Expired by a time that a collector has signed.
    assert!(check(year(2029), (2026, 2028)).is_err());
    // Made after this program was built: the reference is old, not the certificate too young.
    assert!(check(year(2024), (2027, 2029)).is_ok());
}

#[test]
fn bundle_with_old_and_new_ca_takes_both() {
    let (old, new) = (ca("old"), ca("new"));
    let anchor = Anchor::Pinned(vec![old.pem.clone(), new.pem.clone()]);
    for issuer in [&old, &new] {
        let leaf = leaf(issuer, (2026, 2030));
        assert!(verdict(&anchor, year(2026), &leaf, &[], "collector.example").is_ok());
    }
    assert!(matches!(pinned(&["no certificate".into()]), Err(TlsError::NoAnchor)));
}

#[test]
fn reference_is_the_later_of_build_and_signed_time() {
    let built = reference_time(None);
    assert!(built > 1_700_000_000);
    assert_eq!(reference_time(Some(0)), built);
    assert_eq!(reference_time(Some((built as i64 + 5) * 1000)), built + 5);
}
