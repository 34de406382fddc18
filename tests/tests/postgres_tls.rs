//! The store on a PostgreSQL server that speaks TLS, with an authority of our own: who is believed, who is
//! not, and where the password comes from.
#![allow(clippy::unwrap_used, reason = "a test file: helpers of tests are not seen as tests by the lint")]

use std::net::TcpListener;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tenken_collector::store::{Location, Store};

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    /// Certificate and key for a name.
    fn leaf(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

async fn open(url: &str) -> Result<Store, String> {
    Store::open(&Location::Url(url.to_owned())).await.map_err(|e| e.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_authority_is_believed_and_no_other() {
    if e2e::postgres::installed().is_none() {
        skip::skip("PostgreSQL is not installed");
        return;
    }
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (certificate, key) = ours.leaf("localhost");
    let server = e2e::postgres::Postgres::start_tls(port, &certificate, &key).unwrap();
    // Over the private socket: the role that logs in by password.
    let socket = format!("{}&port={port}", server.url());
    let (client, connection) = tokio_postgres::connect(&socket, tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    let role = "create role tenken login superuser password 'right one'";
    for statement in [role, "create database tenken owner tenken"] {
        client.batch_execute(statement).await.unwrap();
    }
    driver.abort();

    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (our_file, other_file) =
        (file("ours.pem", &ours.issuer.pem()), file("other.pem", &other.issuer.pem()));
    let (right, wrong) = (file("right", "right one\n"), file("wrong", "wrong one\n"));
    let base = format!("port={port} user=tenken dbname=tenken passwordfile={right}");
    let by_name = format!("host=localhost hostaddr=127.0.0.1 {base}");
    let by_address = format!("host=127.0.0.1 {base}");

    let verified = format!("{by_name} sslmode=verify-full sslrootcert={our_file}");
    let store = open(&verified).await.unwrap();
    store.ensure_org(&"office".parse().unwrap(), "Office", jiff::Timestamp::now()).await.unwrap();
    let sql = "select count(*) as n from hosts";
    let table = store.run_sql(&"office".parse().unwrap(), sql, Default::default()).await.unwrap();
    assert_eq!(table.rows[0][0], 0, "read-only SQL takes the same way");
    let url = format!(
        "postgres://tenken:right%20one@localhost:{port}/tenken?sslmode=verify-full&sslrootcert={our_file}"
    );
    open(&url).await.unwrap();
    open(&format!("{by_address} sslmode=require")).await.unwrap();
    open(&format!("{by_address} sslmode=prefer")).await.unwrap();

    for (refused, why) in [
        (format!("{by_name} sslmode=verify-full sslrootcert={other_file}"), "another authority"),
        (format!("{by_name} sslmode=require sslrootcert={other_file}"), "another authority, required"),
        (format!("{by_name} sslmode=verify-full"), "an authority this system does not know"),
        (format!("{by_address} sslmode=verify-full sslrootcert={our_file}"), "another name"),
        (format!("{by_name} sslmode=disable"), "a server that wants TLS"),
        (verified.replace(&right, &wrong), "a wrong password"),
    ] {
        let error = open(&refused).await.expect_err(why);
        assert!(!error.contains("right one"), "{why}: {error}");
    }
}
