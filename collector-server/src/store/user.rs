//! Users, sessions, one-time links and API tokens. Secrets come in as hashes only.

use jiff::Timestamp;
use tenken_shared::ids::OrgId;

use super::audit::{org_number, record};
use super::db::params;
use super::{Result, Row, Store, StoreError, Tx};
use crate::user::{Actor, ApiTokenRow, Role, SESSION_IDLE, UserRow};

/// What a valid session or token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Who.
    pub actor: Actor,
    /// User name, for sessions.
    pub user: Option<String>,
}

/// A token to be made.
#[derive(Debug, Clone)]
pub struct NewApiToken {
    /// Public id.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// Role.
    pub role: Role,
    /// Hash of its secret.
    pub secret_hash: String,
    /// Until when.
    pub expires_at: Option<Timestamp>,
}

impl Store {
    /// Whether anybody can log in yet.
    pub async fn has_password(&self) -> Result<bool> {
        self.read(|tx| {
            Ok(tx
                .one(
                    "select user_name from app_user where password_hash is not null and disabled_at is null limit 1",
                    &[],
                    |_| Ok(()),
                )?
                .is_some())
        })
        .await
    }

    /// Adds a user, or gives an existing one a role in this organisation.
    pub async fn add_user(&self, actor: &Actor, name: &str, role: Role) -> Result<()> {
        let (actor, name) = (actor.clone(), name.to_owned());
        self.write(move |tx| {
            let org = org_number(tx, &actor.org)?;
            tx.execute(
                "insert into app_user (user_name, created_at) values (?1, ?2) on conflict (user_name) do nothing",
                params![&name, Timestamp::now()],
            )?;
            let put = tx.execute(
                "insert into user_role (org_id, user_name, role) values (?1, ?2, ?3)
                 on conflict (org_id, user_name) do nothing",
                params![org, &name, role.as_str()],
            )?;
            if put == 0 {
                return Err(StoreError::Conflict(format!("user {name}")));
            }
            record(tx, org, &actor.name, "user.add", &name, role.as_str())
        })
        .await
    }

    /// Users of an organisation, by name.
    pub async fn users(&self, org: &OrgId) -> Result<Vec<UserRow>> {
        let org = org.clone();
        self.read(move |tx| {
            let number = org_number(tx, &org)?;
            tx.rows(
                "select u.user_name, r.role, case when u.password_hash is null then 0 else 1 end,
                 case when u.disabled_at is null then 0 else 1 end, u.created_at, u.last_login_at
                 from user_role r join app_user u on u.user_name = r.user_name
                 where r.org_id = ?1 order by u.user_name",
                params![number],
                |row| {
                    Ok(UserRow {
                        name: row.text(0)?.to_owned(),
                        role: row.parse(1)?,
                        has_password: row.flag(2)?,
                        disabled: row.flag(3)?,
                        created_at: row.time(4)?,
                        last_login_at: row.opt_time(5)?,
                    })
                },
            )
        })
        .await
    }

    /// Refuses (or again allows) a user's log-in; open sessions end. Only for users of this organisation.
    pub async fn disable_user(&self, actor: &Actor, name: &str, disabled: bool) -> Result<()> {
        let (actor, name) = (actor.clone(), name.to_owned());
        self.write(move |tx| {
            let org = org_number(tx, &actor.org)?;
            member(tx, org, &name)?;
            let at = disabled.then(Timestamp::now);
            tx.execute("update app_user set disabled_at = ?2 where user_name = ?1", params![&name, at])?;
            tx.execute("delete from session where user_name = ?1", params![&name])?;
            record(tx, org, &actor.name, if disabled { "user.disable" } else { "user.enable" }, &name, "")
        })
        .await
    }

    /// Sets a password; open sessions of the user end.
    pub async fn set_password(&self, actor: &Actor, name: &str, phc: &str) -> Result<()> {
        let (actor, name, phc) = (actor.clone(), name.to_owned(), phc.to_owned());
        self.write(move |tx| {
            let org = org_number(tx, &actor.org)?;
            member(tx, org, &name)?;
            put_password(tx, &name, &phc)?;
            record(tx, org, &actor.name, "user.password", &name, "")
        })
        .await
    }

    /// The password hash of a user that may log in; `None` for everybody else.
    pub async fn password_hash(&self, name: &str) -> Result<Option<String>> {
        let name = name.to_owned();
        self.read(move |tx| {
            let found = tx.one(
                "select password_hash from app_user where user_name = ?1 and disabled_at is null",
                params![&name],
                |row| row.opt_string(0),
            )?;
            Ok(found.flatten())
        })
        .await
    }

    /// Keeps a one-time link. The user is one of `actor`'s organisation.
    pub async fn add_link(&self, actor: &Actor, name: &str, hash: &str, expires_at: Timestamp) -> Result<()> {
        let (actor, name, hash) = (actor.clone(), name.to_owned(), hash.to_owned());
        self.write(move |tx| {
            let org = org_number(tx, &actor.org)?;
            member(tx, org, &name)?;
            tx.execute(
                "insert into one_time_link (secret_hash, user_name, created_at, expires_at) values (?1, ?2, ?3, ?4)",
                params![&hash, &name, Timestamp::now(), expires_at],
            )?;
            record(tx, org, &actor.name, "user.link", &name, "")
        })
        .await
    }

    /// The user of a link that is still good.
    pub async fn link_user(&self, hash: &str, now: Timestamp) -> Result<Option<String>> {
        let hash = hash.to_owned();
        self.read(move |tx| good_link(tx, &hash, now)).await
    }

    /// Uses a link up and sets the password; `None` when the link is not good (any longer).
    pub async fn redeem_link(&self, hash: &str, phc: &str, now: Timestamp) -> Result<Option<String>> {
        let (hash, phc) = (hash.to_owned(), phc.to_owned());
        self.write(move |tx| {
            let Some(name) = good_link(tx, &hash, now)? else { return Ok(None) };
            let used = tx.execute(
                "update one_time_link set used_at = ?2 where secret_hash = ?1 and used_at is null",
                params![&hash, now],
            )?;
            if used == 0 {
                return Ok(None);
            }
            put_password(tx, &name, &phc)?;
            let orgs =
                tx.rows("select org_id from user_role where user_name = ?1", params![&name], |r| r.int(0))?;
            for org in orgs {
                record(tx, org, &format!("user:{name}"), "user.password", &name, "one-time link")?;
            }
            Ok(Some(name))
        })
        .await
    }

    /// Organisations a user has a role in, by name.
    pub async fn roles_of(&self, name: &str) -> Result<Vec<(OrgId, Role)>> {
        let name = name.to_owned();
        self.read(move |tx| {
            tx.rows(
                "select o.slug, r.role from user_role r join org o on o.org_id = r.org_id
                 where r.user_name = ?1 order by o.slug",
                params![&name],
                |row| Ok((row.parse(0)?, row.parse(1)?)),
            )
        })
        .await
    }

    /// Opens a session in one organisation and notes the log-in.
    pub async fn open_session(
        &self,
        name: &str,
        org: &OrgId,
        hash: &str,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<()> {
        let (name, org, hash) = (name.to_owned(), org.clone(), hash.to_owned());
        self.write(move |tx| {
            let number = org_number(tx, &org)?;
            member(tx, number, &name)?;
            tx.execute("delete from session where expires_at < ?1", params![now])?;
            tx.execute(
                "insert into session (secret_hash, org_id, user_name, created_at, last_seen_at, expires_at)
                 values (?1, ?2, ?3, ?4, ?4, ?5)",
                params![&hash, number, &name, now, expires_at],
            )?;
            tx.execute("update app_user set last_login_at = ?2 where user_name = ?1", params![&name, now])?;
            record(tx, number, &format!("user:{name}"), "session.open", &name, "")
        })
        .await
    }

    /// Who a session stands for, if it is still good; moves its last use on, once a minute at most.
    pub async fn session(&self, hash: &str, now: Timestamp) -> Result<Option<Held>> {
        let key = hash.to_owned();
        let idle_since = now - SESSION_IDLE;
        let found = self
            .read(move |tx| {
                tx.one(
                    "select o.slug, r.role, s.user_name, s.last_seen_at
                     from session s
                     join org o on o.org_id = s.org_id
                     join user_role r on r.org_id = s.org_id and r.user_name = s.user_name
                     join app_user u on u.user_name = s.user_name
                     where s.secret_hash = ?1 and s.expires_at > ?2 and s.last_seen_at > ?3 and u.disabled_at is null",
                    params![&key, now, idle_since],
                    |row| Ok((held(row)?, row.time(3)?)),
                )
            })
            .await?;
        let Some((held, last_seen)) = found else { return Ok(None) };
        if now.duration_since(last_seen).as_secs() >= 60 {
            let key = hash.to_owned();
            self.write(move |tx| {
                tx.execute("update session set last_seen_at = ?2 where secret_hash = ?1", params![&key, now])
            })
            .await?;
        }
        Ok(Some(held))
    }

    /// Ends a session.
    pub async fn close_session(&self, hash: &str) -> Result<()> {
        let hash = hash.to_owned();
        self.write(move |tx| tx.execute("delete from session where secret_hash = ?1", params![&hash]))
            .await?;
        Ok(())
    }

    /// Makes an API token.
    pub async fn add_api_token(&self, actor: &Actor, token: NewApiToken) -> Result<()> {
        let actor = actor.clone();
        self.write(move |tx| {
            let org = org_number(tx, &actor.org)?;
            tx.execute(
                "insert into api_token (org_id, token_id, secret_hash, name, role, created_at, created_by, expires_at)
                 values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    org,
                    &token.id,
                    &token.secret_hash,
                    &token.name,
                    token.role.as_str(),
                    Timestamp::now(),
                    &actor.name,
                    token.expires_at
                ],
            )?;
            let detail = format!("{} {}", token.role.as_str(), token.name);
            record(tx, org, &actor.name, "api_token.create", &token.id, &detail)
        })
        .await
    }

    /// API tokens of an organisation, newest first.
    pub async fn api_tokens(&self, org: &OrgId) -> Result<Vec<ApiTokenRow>> {
        let org = org.clone();
        self.read(move |tx| {
            let number = org_number(tx, &org)?;
            tx.rows(
                "select token_id, name, role, created_by, created_at, expires_at, revoked_at, last_used_at
                 from api_token where org_id = ?1 order by created_at desc, token_id",
                params![number],
                |row| {
                    Ok(ApiTokenRow {
                        id: row.text(0)?.to_owned(),
                        name: row.text(1)?.to_owned(),
                        role: row.parse(2)?,
                        created_by: row.text(3)?.to_owned(),
                        created_at: row.time(4)?,
                        expires_at: row.opt_time(5)?,
                        revoked_at: row.opt_time(6)?,
                        last_used_at: row.opt_time(7)?,
                    })
                },
            )
        })
        .await
    }

    /// Revokes an API token at once.
    pub async fn revoke_api_token(&self, actor: &Actor, id: &str) -> Result<()> {
        let (actor, id) = (actor.clone(), id.to_owned());
        self.write(move |tx| {
            let org = org_number(tx, &actor.org)?;
            let done = tx.execute(
                "update api_token set revoked_at = ?3 where org_id = ?1 and token_id = ?2 and revoked_at is null",
                params![org, &id, Timestamp::now()],
            )?;
            if done == 0 {
                return Err(StoreError::NotFound(format!("API token {id}")));
            }
            record(tx, org, &actor.name, "api_token.revoke", &id, "")
        })
        .await
    }

    /// Who an API token stands for, if it is still good; notes its use, once a minute at most.
    pub async fn api_token(&self, hash: &str, now: Timestamp) -> Result<Option<Held>> {
        let key = hash.to_owned();
        let found = self
            .read(move |tx| {
                tx.one(
                    "select o.slug, t.role, t.token_id, t.last_used_at, t.org_id
                     from api_token t join org o on o.org_id = t.org_id
                     where t.secret_hash = ?1 and t.revoked_at is null and (t.expires_at is null or t.expires_at > ?2)",
                    params![&key, now],
                    |row| {
                        let name = format!("api-token:{}", row.text(2)?);
                        let actor = Actor { org: row.parse(0)?, role: row.parse(1)?, name };
                        Ok((Held { actor, user: None }, row.opt_time(3)?, row.int(4)?))
                    },
                )
            })
            .await?;
        let Some((held, last_used, org)) = found else { return Ok(None) };
        if last_used.is_none_or(|at| now.duration_since(at).as_secs() >= 60) {
            let key = hash.to_owned();
            self.write(move |tx| {
                tx.execute(
                    "update api_token set last_used_at = ?3 where org_id = ?1 and secret_hash = ?2",
                    params![org, &key, now],
                )
            })
            .await?;
        }
        Ok(Some(held))
    }
}

fn held(row: &Row) -> Result<Held> {
    let user = row.text(2)?.to_owned();
    let actor = Actor { org: row.parse(0)?, role: row.parse(1)?, name: format!("user:{user}") };
    Ok(Held { actor, user: Some(user) })
}

/// Refuses users that have no role in the organisation: nothing crosses.
fn member(tx: &mut (dyn Tx + '_), org: i64, name: &str) -> Result<()> {
    tx.one("select role from user_role where org_id = ?1 and user_name = ?2", params![org, name], |_| Ok(()))?
        .ok_or_else(|| StoreError::NotFound(format!("user {name}")))
}

fn good_link(tx: &mut (dyn Tx + '_), hash: &str, now: Timestamp) -> Result<Option<String>> {
    tx.one(
        "select l.user_name from one_time_link l join app_user u on u.user_name = l.user_name
         where l.secret_hash = ?1 and l.used_at is null and l.expires_at > ?2 and u.disabled_at is null",
        params![hash, now],
        |row| Ok(row.text(0)?.to_owned()),
    )
}

fn put_password(tx: &mut (dyn Tx + '_), name: &str, phc: &str) -> Result<()> {
    tx.execute("update app_user set password_hash = ?2 where user_name = ?1", params![name, phc])?;
    tx.execute("delete from session where user_name = ?1", params![name])?;
    tx.execute(
        "update one_time_link set used_at = ?2 where user_name = ?1 and used_at is null",
        params![name, Timestamp::now()],
    )?;
    Ok(())
}
