//! Whether a request is let in: who asks, and whether its tenant has something left.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, request::Parts};
use http_body_util::Full;
use tower_keypool::{KeyPool, Meter};

use crate::{
    gateway::{
        Gateway, Setup,
        admit::{
            account::Account,
            budget::NotNow,
            guard::Local,
            headers::Seen,
            reserved::{RESERVED, Reserved},
            tenant::{Tenant, TenantLimits},
        },
        dialect::{Dialect, Refusal},
        forward::{
            belongings::Belongings,
            resource::Unknown,
            results::Results,
            upload::{self, Passage},
        },
        translate::{holdings::Holdings, room::Whose},
        unix_time::unix_ms,
    },
    status::{Afterwards, Visit},
};

impl<S> Gateway<S> {
    /// The pool of its own provider.
    pub(super) fn pool(&self) -> Option<&KeyPool> {
        self.own.uploads.pool.as_ref()
    }

    /// Whose share of the room it is that a tenant's bodies take.
    pub(super) fn share(&self, tenant: &Tenant) -> Whose {
        (!self.tenants.is_alone()).then(|| Arc::clone(tenant.name()))
    }

    /// Whose what is, for requests that are translated.
    pub(super) fn holdings(&self, unknown: Unknown) -> Holdings {
        Holdings::of(&self.own.resources, self.all_beside(), (unknown, self.tenants.is_alone()))
    }

    /// Who asks, and whether the request belongs to an upload. `at`: where uploads of its path lie, what stood in front
    /// of that path, and by which one it came to batches.
    pub(super) async fn admit(
        &self,
        setup: &Setup<S>,
        (parts, seen): (&Parts, &Seen<'_>),
        local: &Local,
        (at, front, batches): (&Belongings, &str, Option<Box<str>>),
    ) -> Result<(Arc<Tenant>, Passage), Refusal> {
        let host = setup.guard.check(parts, seen, local)?;
        if let Some(id) = upload::id_of(parts) {
            return Box::pin(self.chunk(setup, id, (parts, seen), at)).await;
        }
        let tenant = match self.tenants.who(&setup.token, parts, seen, 0) {
            // Whoever has the one token has it for good: nobody need know the time.
            Ok(tenant) if tenant.grant().expires.is_none() => tenant,
            Ok(_) => self.tenants.who(&setup.token, parts, seen, unix_ms(&self.clock))?,
            Err(refusal) => return Err(refusal),
        };
        let passage = match batches {
            Some(path) => Passage::Batches(Results::at(parts, host, &path)),
            None => upload::opens(parts, host, front)?,
        };
        Ok((tenant, passage))
    }

    /// The id of an upload is its own credential: clients send none with the chunks.
    async fn chunk(
        &self,
        setup: &Setup<S>,
        id: &str,
        (parts, seen): (&Parts, &Seen<'_>),
        at: &Belongings,
    ) -> Result<(Arc<Tenant>, Passage), Refusal> {
        let chunk = at.uploads.chunk(id, parts).await?;
        let now = unix_ms(&self.clock);
        let tenant = self.tenants.named(&chunk.tenant, now).ok_or(upload::GONE)?;
        // Somebody else's token is none for it.
        if self.tenants.who(&setup.token, parts, seen, now).is_ok_and(|who| who.name() != tenant.name()) {
            return Err(upload::GONE);
        }
        Ok((tenant, Passage::Chunk(Box::new(chunk))))
    }

    /// Whether a tenant's limits let a request in with a body of so many bytes; its answer's cost is booked when it has gone. A
    /// part of an upload counts with its beginning.
    pub(super) async fn let_in(
        &self,
        (tenant, passage): (&Arc<Tenant>, &Passage),
        bytes: impl FnOnce() -> u64,
        visit: &mut Visit,
        dialect: Dialect,
        followed: Option<&Arc<Meter>>,
    ) -> Result<Option<Arc<Meter>>, Response<Full<Bytes>>> {
        let limited = tenant.grant().limits != TenantLimits::default();
        // Who is alone, and whom nobody asks about, is not counted.
        if !limited && followed.is_none() && tenant.is_default() {
            return Ok(None);
        }
        let reserved = if limited && !matches!(passage, Passage::Chunk(_)) {
            self.within_limits((tenant, bytes()), dialect).await?
        } else {
            Reserved::default()
        };
        let meter = followed.map_or_else(Arc::default, Arc::clone);
        let (books, tenant, told) = (Arc::clone(&self.books), Arc::clone(tenant), Arc::clone(&meter));
        visit.afterwards(Afterwards(Box::new(move |gone| books.close(&tenant, &told, reserved, gone))));
        Ok(Some(meter))
    }

    /// Where a socket of this tenant's is booked.
    ///
    /// # Errors
    /// The answer where its limits let no more in.
    pub(super) async fn account(
        &self,
        tenant: &Arc<Tenant>,
        dialect: Dialect,
    ) -> Result<Account, Response<Full<Bytes>>> {
        let limited = tenant.grant().limits != TenantLimits::default();
        if !limited && tenant.is_default() {
            return Ok(Account::nobodys());
        }
        if limited {
            self.within_limits((tenant, 0), dialect).await?;
        }
        Ok(Account::of(Arc::clone(tenant), Arc::clone(&self.books)))
    }

    async fn within_limits(&self, asked: (&Tenant, u64), dialect: Dialect) -> Result<Reserved, Response<Full<Bytes>>> {
        let now = unix_ms(&self.clock);
        if let Some(reserved) = self.books.budgets.admit_at_once(asked, now) {
            return Ok(reserved);
        }
        match Box::pin(self.books.budgets.admit(asked, now)).await {
            Ok(reserved) => Ok(reserved),
            Err(NotNow::Spent(spent)) => Err(spent.answer(dialect)),
            Err(NotNow::Reserved) => Err(dialect.answer_until(RESERVED, 1)),
            Err(NotNow::Unknown(error)) => {
                tracing::warn!("what a tenant used cannot be counted: {error}");
                Err(dialect.answer_until(Refusal::UNREACHABLE, 1))
            }
        }
    }
}
