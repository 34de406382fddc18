//! Users, sessions, one-time links and API tokens. Secrets come in as hashes only.

use jiff::Timestamp;
use tenken_shared::ids::OrgId;

use super::audit::{Entry, org_number, record};
use super::db::params;
use super::{Result, Row, Rule, Store, StoreError, Tx};
use crate::audit::Action;
use crate::user::{Actor, ApiTokenRow, Role, SESSION_IDLE, USER_ACTOR, UserRow};

/// What a valid session or token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Who.
    pub actor: Actor,
    /// User name, for sessions.
    pub user: Option<String>,
    /// In how many organisations the user has a role.
    pub orgs: i64,
}

/// One organisation of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Its id.
    pub org: OrgId,
    /// Its name; may be empty.
    pub name: String,
    /// Role there.
    pub role: Role,
    /// Whether the user's last session was there.
    pub last: bool,
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
    /// Whether it may change what concerns every organisation.
    pub everywhere: bool,
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
        let name = name.to_owned();
        self.change(actor, move |tx, org| {
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
            Ok(((), Entry::new(Action::UserAdd, &name).detail(role.as_str())))
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

    /// Gives a user of this organisation another role in it; open sessions there go on with the new one.
    /// The last administrator stays one.
    pub async fn set_role(&self, actor: &Actor, name: &str, role: Role) -> Result<()> {
        let name = name.to_owned();
        self.change(actor, move |tx, org| {
            member(tx, org, &name)?;
            if role != Role::Admin {
                other_admin(tx, org, &name)?;
            }
            tx.execute(
                "update user_role set role = ?3 where org_id = ?1 and user_name = ?2",
                params![org, &name, role.as_str()],
            )?;
            Ok(((), Entry::new(Action::UserRole, &name).detail(role.as_str())))
        })
        .await
    }

    /// Takes a user's role in this organisation away; open sessions there end. The last administrator
    /// stays.
    pub async fn remove_user(&self, actor: &Actor, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.change(actor, move |tx, org| {
            member(tx, org, &name)?;
            other_admin(tx, org, &name)?;
            for table in ["user_role", "session"] {
                tx.execute(
                    &format!("delete from {table} where org_id = ?1 and user_name = ?2"),
                    params![org, &name],
                )?;
            }
            Ok(((), Entry::new(Action::UserRemove, &name)))
        })
        .await
    }

    /// Refuses (or again allows) a user's log-in; open sessions end. Only for users that are the actor's
    /// to rule.
    pub async fn disable_user(&self, actor: &Actor, name: &str, disabled: bool) -> Result<()> {
        let (by, name) = (actor.clone(), name.to_owned());
        self.change(actor, move |tx, org| {
            ruled(tx, &by, org, &name)?;
            let at = disabled.then(Timestamp::now);
            tx.execute("update app_user set disabled_at = ?2 where user_name = ?1", params![&name, at])?;
            tx.execute("delete from session where user_name = ?1", params![&name])?;
            let action = if disabled { Action::UserDisable } else { Action::UserEnable };
            Ok(((), Entry::new(action, &name)))
        })
        .await
    }

    /// Sets a password; open sessions of the user end.
    pub async fn set_password(&self, actor: &Actor, name: &str, phc: &str) -> Result<()> {
        let (by, name, phc) = (actor.clone(), name.to_owned(), phc.to_owned());
        self.change(actor, move |tx, org| {
            ruled(tx, &by, org, &name)?;
            put_password(tx, &name, &phc)?;
            Ok(((), Entry::new(Action::UserPassword, &name)))
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

    /// Keeps a one-time link for a user that is the actor's to rule.
    pub async fn add_link(&self, actor: &Actor, name: &str, hash: &str, expires_at: Timestamp) -> Result<()> {
        let (by, name, hash) = (actor.clone(), name.to_owned(), hash.to_owned());
        self.change(actor, move |tx, org| {
            ruled(tx, &by, org, &name)?;
            tx.execute(
                "insert into one_time_link (secret_hash, user_name, created_at, expires_at) values (?1, ?2, ?3, ?4)",
                params![&hash, &name, Timestamp::now(), expires_at],
            )?;
            Ok(((), Entry::new(Action::UserLink, &name)))
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
                let entry = Entry::new(Action::UserPassword, &name).detail("one-time link");
                record(tx, org, &format!("{USER_ACTOR}{name}"), &entry)?;
            }
            Ok(Some(name))
        })
        .await
    }

    /// Organisations a user has a role in, by name.
    pub async fn memberships(&self, name: &str) -> Result<Vec<Membership>> {
        let name = name.to_owned();
        self.read(move |tx| {
            tx.rows(
                "select o.slug, o.name, r.role, case when u.last_org_id = r.org_id then 1 else 0 end
                 from user_role r join org o on o.org_id = r.org_id
                 join app_user u on u.user_name = r.user_name
                 where r.user_name = ?1 order by o.slug",
                params![&name],
                |row| {
                    Ok(Membership {
                        org: row.parse(0)?,
                        name: row.text(1)?.to_owned(),
                        role: row.parse(2)?,
                        last: row.flag(3)?,
                    })
                },
            )
        })
        .await
    }

    /// Opens a session in one organisation, notes the log-in and remembers where it was.
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
            put_session(tx, number, &name, &hash, now, expires_at)?;
            tx.execute("update app_user set last_login_at = ?2 where user_name = ?1", params![&name, now])?;
            let entry = Entry::new(Action::SessionOpen, &name);
            record(tx, number, &format!("{USER_ACTOR}{name}"), &entry)
        })
        .await
    }

    /// Goes on in another organisation of the user: a new session takes the place of the old one and ends
    /// when that would have ended. Both organisations' logs say so.
    pub async fn switch_session(
        &self,
        actor: &Actor,
        old: &str,
        to: &OrgId,
        new: &str,
        now: Timestamp,
    ) -> Result<()> {
        let (old, to, new) = (old.to_owned(), to.clone(), new.to_owned());
        let user = actor.user_name().map(str::to_owned);
        let by = actor.name.clone();
        self.change(actor, move |tx, _| {
            let gone = || StoreError::NotFound("session".into());
            let name = user.clone().ok_or_else(gone)?;
            let target = org_number(tx, &to)?;
            member(tx, target, &name)?;
            let ends = tx
                .one(
                    "delete from session where secret_hash = ?1 and user_name = ?2 returning expires_at",
                    params![&old, &name],
                    |row| row.time(0),
                )?
                .ok_or_else(gone)?;
            put_session(tx, target, &name, &new, now, ends)?;
            let entry = Entry::new(Action::SessionSwitch, &name).detail(&to);
            record(tx, target, &by, &entry)?;
            Ok(((), entry))
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
                    "select o.slug, r.role, s.user_name, s.last_seen_at,
                     (select count(*) from user_role m where m.user_name = s.user_name)
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

    /// Ends the actor's session.
    pub async fn close_session(&self, actor: &Actor, hash: &str) -> Result<()> {
        let (hash, name) = (hash.to_owned(), actor.user_name().unwrap_or(&actor.name).to_owned());
        self.change(actor, move |tx, org| {
            tx.execute("delete from session where org_id = ?1 and secret_hash = ?2", params![org, &hash])?;
            Ok(((), Entry::new(Action::SessionClose, &name)))
        })
        .await
    }

    /// Makes an API token.
    pub async fn add_api_token(&self, actor: &Actor, token: NewApiToken) -> Result<()> {
        let by = actor.name.clone();
        self.change(actor, move |tx, org| {
            tx.execute(
                "insert into api_token (org_id, token_id, secret_hash, name, role, created_at, created_by, expires_at,
                 everywhere) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                params![
                    org,
                    &token.id,
                    &token.secret_hash,
                    &token.name,
                    token.role.as_str(),
                    Timestamp::now(),
                    &by,
                    token.expires_at,
                    i64::from(token.everywhere)
                ],
            )?;
            let entry = Entry::new(Action::ApiTokenCreate, &token.id);
            let reach = if token.everywhere { " everywhere" } else { "" };
            Ok(((), entry.detail(format_args!("{}{reach} {}", token.role.as_str(), token.name))))
        })
        .await
    }

    /// API tokens of an organisation, newest first.
    pub async fn api_tokens(&self, org: &OrgId) -> Result<Vec<ApiTokenRow>> {
        let org = org.clone();
        self.read(move |tx| {
            let number = org_number(tx, &org)?;
            tx.rows(
                "select token_id, name, role, created_by, created_at, expires_at, revoked_at, last_used_at, everywhere
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
                        everywhere: row.flag(8)?,
                    })
                },
            )
        })
        .await
    }

    /// Revokes an API token at once.
    pub async fn revoke_api_token(&self, actor: &Actor, id: &str) -> Result<()> {
        let id = id.to_owned();
        self.change(actor, move |tx, org| {
            let done = tx.execute(
                "update api_token set revoked_at = ?3 where org_id = ?1 and token_id = ?2 and revoked_at is null",
                params![org, &id, Timestamp::now()],
            )?;
            if done == 0 {
                return Err(StoreError::NotFound(format!("API token {id}")));
            }
            Ok(((), Entry::new(Action::ApiTokenRevoke, &id)))
        })
        .await
    }

    /// Who an API token stands for, if it is still good; notes its use, once a minute at most.
    pub async fn api_token(&self, hash: &str, now: Timestamp) -> Result<Option<Held>> {
        let key = hash.to_owned();
        let found = self
            .read(move |tx| {
                tx.one(
                    "select o.slug, t.role, t.token_id, t.last_used_at, t.org_id, t.everywhere
                     from api_token t join org o on o.org_id = t.org_id
                     where t.secret_hash = ?1 and t.revoked_at is null and (t.expires_at is null or t.expires_at > ?2)",
                    params![&key, now],
                    |row| {
                        let actor = Actor::api_token(row.parse(0)?, row.parse(1)?, row.text(2)?);
                        let actor = Actor { everywhere: row.flag(5)?, ..actor };
                        Ok((Held { actor, user: None, orgs: 1 }, row.opt_time(3)?, row.int(4)?))
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
    let actor = Actor::user(row.parse(0)?, row.parse(1)?, &user);
    Ok(Held { actor, user: Some(user), orgs: row.int(4)? })
}

fn put_session(
    tx: &mut (dyn Tx + '_),
    org: i64,
    name: &str,
    hash: &str,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<()> {
    tx.execute(
        "insert into session (secret_hash, org_id, user_name, created_at, last_seen_at, expires_at)
         values (?1, ?2, ?3, ?4, ?4, ?5)",
        params![hash, org, name, now, expires_at],
    )?;
    tx.execute("update app_user set last_org_id = ?2 where user_name = ?1", params![name, org])?;
    Ok(())
}

/// Refuses to touch the log-in of users that also belong to an organisation where the actor is no
/// administrator: who sets somebody's password can be that person everywhere.
fn ruled(tx: &mut (dyn Tx + '_), actor: &Actor, org: i64, name: &str) -> Result<()> {
    member(tx, org, name)?;
    if actor.everywhere {
        return Ok(());
    }
    let elsewhere = tx.one(
        "select 1 from user_role r where r.user_name = ?2 and r.org_id <> ?1 and not exists (
         select 1 from user_role a where a.org_id = r.org_id and a.user_name = ?3 and a.role = 'admin') limit 1",
        params![org, name, actor.user_name()],
        |row| row.int(0),
    )?;
    match elsewhere {
        None => Ok(()),
        Some(_) => Err(StoreError::Rule(Rule::ElsewhereToo(name.to_owned()))),
    }
}

/// Refuses to leave an organisation without an administrator who can log in.
fn other_admin(tx: &mut (dyn Tx + '_), org: i64, name: &str) -> Result<()> {
    tx.one(
        "select 1 from user_role r join app_user u on u.user_name = r.user_name
         where r.org_id = ?1 and r.user_name <> ?2 and r.role = 'admin' and u.disabled_at is null limit 1",
        params![org, name],
        |_| Ok(()),
    )?
    .ok_or(StoreError::Rule(Rule::LastAdministrator))
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
