//! The owners of files, caches, batches, uploads and other resources: one table from a resource's name to its project
//! and tenant.
//!
//! The table is learned from the responses that create resources. If it cannot be read, the request is refused.
//! A resource that is not in the table is not found; the provider is not asked.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{Method, Request, StatusCode, header, request::Parts, response};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use keypool_store::{SqliteStore, sqlite::Resource};
use memchr::{memchr, memmem};
use moka::sync::Cache;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};
use tower_keypool::{Affinity, Attempts, BoxError, ErrorKind, KeyRequest};

use super::{
    address::Address,
    body::check_readable,
    handler::{self, Incoming},
    headers,
    names::{self, PathName},
    pools::ProviderPool,
    query,
    route::Endpoint,
    uploads,
};
use crate::{app::AppState, config::ProviderKind, dialect::Dialect, error::ApiError, tenants::Tenant};

/// How long entries of the database are cached. Another process may remove an entry meanwhile.
const CACHE_TTL: Duration = Duration::from_secs(60);
/// Maximum number of cached entries. Without a database the cache is the whole table.
const CACHE_SIZE: u64 = 100_000;
/// Maximum size of a response, or of an event, that is searched for names.
const MAX_SEARCHED: usize = 1 << 20;
/// How long a resource is kept in the table if responses do not say when it expires (responses, interactions,
/// operations).
const KEPT_DAYS: i64 = 60;
const DAY_MS: i64 = 24 * 3_600_000;
/// Number of concurrent requests for the resources of a list.
const AT_ONCE: usize = 8;
/// Default number of resources on a page of a list.
const PAGE: u32 = 20;

/// The table of resources.
pub struct Resources {
    sqlite: Option<SqliteStore>,
    cache: Cache<String, Arc<Resource>>,
}

impl Resources {
    pub fn new(sqlite: Option<SqliteStore>) -> Self {
        let cache = Cache::builder().max_capacity(CACHE_SIZE);
        let cache = if sqlite.is_some() { cache.time_to_live(CACHE_TTL) } else { cache };
        Self { sqlite, cache: cache.build() }
    }

    /// Returns the resource with this name.
    ///
    /// # Errors
    /// 503 if the database cannot be read.
    pub async fn find(&self, name: &str) -> Result<Option<Arc<Resource>>, ApiError> {
        if let Some(found) = self.cache.get(name) {
            return Ok(Some(found));
        }
        let Some(sqlite) = &self.sqlite else { return Ok(None) };
        let found = sqlite.resource(name).await.map_err(|error| unreadable(&error))?.map(Arc::new);
        if let Some(found) = &found {
            self.cache.insert(name.to_owned(), Arc::clone(found));
        }
        Ok(found)
    }

    /// Records the project and the tenant of a resource.
    ///
    /// # Errors
    /// 503 if the database cannot be written.
    pub async fn learn(
        &self,
        name: &str,
        project: &str,
        tenant: &Tenant,
        expires_ms: Option<i64>,
    ) -> Result<(), ApiError> {
        let mut resource = Resource::new(name, project);
        resource.tenant = tenant.name.as_deref().map(str::to_owned);
        resource.expires_ms = expires_ms;
        let is_same = |kept: &Resource| {
            (&*kept.project, &kept.tenant, kept.expires_ms) == (project, &resource.tenant, expires_ms)
        };
        // Clients that wait for a batch poll it often.
        if self.cache.get(name).is_some_and(|kept| is_same(&kept)) {
            return Ok(());
        }
        // Some names can be chosen by the client.
        let is_current =
            |kept: &Resource| kept.expires_ms.is_none_or(|end| end > jiff::Timestamp::now().as_millisecond());
        if let Some(kept) = self.find(name).await?.filter(|kept| kept.tenant != resource.tenant && is_current(kept)) {
            tracing::warn!(
                name,
                owner = kept.tenant,
                tenant = resource.tenant,
                "a resource of this name has another owner"
            );
            return Ok(());
        }
        if let Some(sqlite) = &self.sqlite {
            sqlite.put_resource(resource.clone()).await.map_err(|error| unreadable(&error))?;
        }
        self.cache.insert(name.to_owned(), Arc::new(resource));
        Ok(())
    }

    /// Removes a resource.
    ///
    /// # Errors
    /// 503 if the database cannot be written.
    pub async fn forget(&self, name: &str) -> Result<(), ApiError> {
        self.cache.invalidate(name);
        if let Some(sqlite) = &self.sqlite {
            sqlite.remove_resource(name).await.map_err(|error| unreadable(&error))?;
        }
        Ok(())
    }

    /// Returns at most `limit` resources of a tenant whose names start with `prefix` and sort after `after`, by name.
    async fn list(
        &self,
        prefix: &str,
        tenant: Option<&str>,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Resource>, ApiError> {
        let Some(sqlite) = &self.sqlite else {
            let fits = |name: &str| name.starts_with(prefix) && name > after;
            let found = self.cache.iter().filter(|(name, kept)| fits(name) && kept.tenant.as_deref() == tenant);
            let mut found: Vec<Resource> = found.map(|(_, resource)| (*resource).clone()).collect();
            found.sort_by(|a, b| a.name.cmp(&b.name));
            found.truncate(limit as usize);
            return Ok(found);
        };
        sqlite.resources(prefix, tenant, after, limit).await.map_err(|error| unreadable(&error))
    }
}

/// What a request does with resources.
pub struct ResourceAccess {
    provider: Arc<ProviderPool>,
    tenant: Arc<Tenant>,
    method: Method,
    /// What its path names; `None` for an unknown path.
    place: Option<PathName>,
    /// Whether its response may name new resources.
    reads_response: bool,
}

impl ResourceAccess {
    pub fn of(incoming: &Incoming) -> Self {
        let Incoming { route, tenant, provider, head, body, .. } = incoming;
        let place = names::in_path(route.dialect, head.uri.path());
        let is_content = query::value(&head.uri, "alt").is_some_and(|alt| alt == "media");
        let reads_response = match &place {
            _ if head.method == Method::DELETE || is_content => false,
            _ if route.endpoint == Endpoint::Upload => true,
            // A model that runs code gets a container.
            _ if route.endpoint == Endpoint::Messages => {
                body.data().is_some_and(|data| memmem::find(data, b"\"code_execution").is_some())
            }
            Some(place) if place.is_chats() => body.data().is_some_and(|data| is_kept(data)),
            place => place.as_ref().is_some_and(PathName::may_create),
        };
        let (provider, tenant, method) = (Arc::clone(provider), Arc::clone(tenant), head.method.clone());
        Self { provider, tenant, method, place, reads_response }
    }

    /// Reports whether the response is read, so that it must be uncompressed.
    pub fn reads_response(&self) -> bool {
        self.reads_response
    }

    /// Reports whether the response may add resources to the table, or remove one.
    pub fn changes_table(&self) -> bool {
        self.reads_response || self.method == Method::DELETE
    }

    /// Returns why only the gateway's own token may use the path. Providers of the kind `api-key-header` may have any
    /// paths.
    fn refusal(&self) -> Option<&'static str> {
        let may_be_unknown = self.provider.settings.kind == ProviderKind::ApiKeyHeader;
        match &self.place {
            _ if self.tenant.name.is_none() => None,
            None if may_be_unknown => None,
            None => Some("the gateway does not know this path"),
            Some(place) if place.may_show_others(&self.method) => Some("the response could contain data of others"),
            Some(_) => None,
        }
    }

    /// Returns the collection whose list is requested.
    pub fn list(&self) -> Option<&'static str> {
        let place = self.place.as_ref().filter(|place| self.method == Method::GET && place.is_list());
        place.and_then(PathName::collection)
    }
}

/// Reports whether OpenAI keeps the chat of a request.
fn is_kept(chat: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Chat {
        store: Option<bool>,
    }
    memmem::find(chat, b"\"store\"").is_some()
        && serde_json::from_slice::<Chat>(chat).is_ok_and(|chat| chat.store == Some(true))
}

/// Returns the name of a provider's resource in the table.
fn table_name(provider: &ProviderPool, name: &str) -> String {
    format!("{}:{name}", provider.name)
}

/// Returns the host, with the port if any, of a provider.
fn host(provider: &ProviderPool) -> &str {
    provider.pool.provider().base().authority().as_str()
}

/// Returns the project that holds the resources which a request names in its path, its query and its body.
///
/// # Errors
/// 404 for an unknown resource, one of another tenant, or a path that is not open to tenants; 400 for resources of
/// two projects, or an unreadable body; 413 or 415 for a body that cannot be searched; 503 if the table cannot be read.
pub async fn pinned(incoming: &Incoming, access: &ResourceAccess) -> Result<Option<Arc<str>>, ApiError> {
    let ResourceAccess { provider, tenant, place, .. } = access;
    let Incoming { app, route, head, body, .. } = incoming;
    if route.endpoint == Endpoint::Upload
        && let Some(id) = uploads::upload_id(&head.uri)
    {
        let session = app.resources.find(&uploads::name(&id)).await?;
        let session = session.filter(|session| session.tenant.as_deref() == tenant.name.as_deref());
        return Ok(Some(session.ok_or_else(|| not_found(route.dialect, "this upload"))?.project.as_str().into()));
    }
    if let Some(reason) = access.refusal() {
        let path = head.uri.path();
        return Err(ApiError::not_found(format!("{path}: {reason}, so only the gateway's own token may use it")));
    }
    let mut named: Vec<String> = place.as_ref().and_then(|place| place.name.clone()).into_iter().collect();
    if is_json(head) {
        check_readable(&head.headers)?;
        match body.data() {
            Some(data) => named.extend(named_in(provider, tenant, data)?),
            None if tenant.name.is_some() => {
                let message = "the body is too large to be searched for file names: raise replay_mib in [gateway]";
                return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message));
            }
            None => {}
        }
    }
    project_of(app, provider, tenant, &named).await
}

/// Returns the project that holds the resources which a provider's request body names.
///
/// # Errors
/// Those of [`pinned`].
pub async fn pinned_by_body(
    app: &AppState,
    provider: &ProviderPool,
    tenant: &Tenant,
    body: &[u8],
) -> Result<Option<Arc<str>>, ApiError> {
    project_of(app, provider, tenant, &named_in(provider, tenant, body)?).await
}

/// Returns the resources that a body names. A tenant's body must be valid JSON: otherwise the provider might read a
/// name that is not found here.
fn named_in(provider: &ProviderPool, tenant: &Tenant, body: &[u8]) -> Result<Vec<String>, ApiError> {
    let invalid = |error| ApiError::bad_request(format!("the body is not valid JSON: {error}"));
    if tenant.name.is_some() && !body.is_empty() {
        serde_json::from_slice::<IgnoredAny>(body).map_err(invalid)?;
    }
    match names::in_body(provider.dialect, body, host(provider)) {
        Err(_) if tenant.name.is_none() => Ok(Vec::new()),
        found => found.map_err(invalid),
    }
}

async fn project_of(
    app: &AppState,
    provider: &ProviderPool,
    tenant: &Tenant,
    named: &[String],
) -> Result<Option<Arc<str>>, ApiError> {
    let mut pinned: Option<(&str, Arc<Resource>)> = None;
    for name in named {
        let found = app.resources.find(&table_name(provider, name)).await?;
        let found = found.filter(|found| found.tenant.as_deref() == tenant.name.as_deref());
        let found = found.ok_or_else(|| not_found(provider.dialect, name))?;
        match &pinned {
            Some((first, before)) if before.project != found.project => {
                return Err(ApiError::bad_request(format!(
                    "{first} and {name} belong to two projects, and no key can read both: create one of them again, \
                     with one session (x-keypool-session) for both requests"
                )));
            }
            Some(_) => {}
            None => pinned = Some((name, found)),
        }
    }
    Ok(pinned.map(|(_, found)| found.project.as_str().into()))
}

/// Reports whether the body can name resources. Multipart forms and uploaded files cannot.
fn is_json(head: &Parts) -> bool {
    let content_type = head.headers.get(header::CONTENT_TYPE).map(header::HeaderValue::as_bytes).unwrap_or_default();
    !content_type.starts_with(b"multipart/") && !head.uri.path().starts_with("/upload/")
}

/// The error for an unknown resource: the provider's own words, and the reason.
fn not_found(dialect: Dialect, name: &str) -> ApiError {
    let words = match dialect {
        Dialect::Gemini => "Requested entity was not found.",
        Dialect::OpenAi => "No such object.",
        Dialect::Anthropic => "Not found.",
    };
    ApiError::not_found(format!(
        "{words} {name} was not created with this token through this gateway, or it was deleted"
    ))
}

/// Records the resources that a response names before the client sees the response, and removes a deleted resource.
/// `address` replaces the provider's in a batch of Anthropic.
///
/// # Errors
/// 503 if the table cannot be written; 502 if the response breaks off.
pub async fn learn(
    app: &AppState,
    access: ResourceAccess,
    head: &mut response::Parts,
    answer: Body,
    address: Option<Address>,
) -> Result<Body, ApiError> {
    if access.method == Method::DELETE
        && (head.status.is_success() || head.status == StatusCode::NOT_FOUND)
        && let Some(PathName { name: Some(name), rest, .. }) = &access.place
        && rest.is_empty()
    {
        app.resources.forget(&table_name(&access.provider, name)).await?;
    }
    let project = head.extensions.get::<Attempts>().and_then(|attempts| Some(attempts.last()?.project().to_owned()));
    let Some(project) = project.filter(|_| access.reads_response && head.status.is_success()) else {
        return Ok(answer);
    };
    let learner = Learner { app: Arc::clone(app), access, project, address };
    if headers::is_event_stream(&head.headers) {
        return Ok(learner.events(answer));
    }
    learner.whole(head, answer).await
}

struct Learner {
    app: AppState,
    access: ResourceAccess,
    project: String,
    address: Option<Address>,
}

impl Learner {
    async fn learn(&self, json: &[u8]) -> Result<(), ApiError> {
        let Ok(answer) = serde_json::from_slice::<Value>(json) else { return Ok(()) };
        // OpenAI does not keep such a response.
        if answer.get("store") == Some(&Value::Bool(false)) {
            return Ok(());
        }
        let ResourceAccess { provider, tenant, place, .. } = &self.access;
        for name in names::in_answer(provider.dialect, place.as_ref(), &answer, host(provider)) {
            let default_expiry = || {
                // Rounded to days, so that repeated responses yield the same value.
                let today = jiff::Timestamp::now().as_millisecond() / DAY_MS;
                (!names::is_permanent(&name)).then(|| (today + KEPT_DAYS) * DAY_MS)
            };
            let expires = names::expiry(&answer).or_else(default_expiry);
            self.app.resources.learn(&table_name(provider, &name), &self.project, tenant, expires).await?;
        }
        Ok(())
    }

    /// Reads a whole response, and then passes on its frames, unchanged unless it contains the provider's address.
    async fn whole(&self, head: &mut response::Parts, mut answer: Body) -> Result<Body, ApiError> {
        let (mut frames, mut text) = (Vec::new(), BytesMut::new());
        loop {
            match answer.frame().await {
                None => break,
                Some(Err(error)) => {
                    let message = format!("the provider's response broke off: {error}");
                    return Err(ApiError::new(StatusCode::BAD_GATEWAY, message));
                }
                Some(Ok(frame)) => {
                    text.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
                    frames.push(Ok::<_, BoxError>(frame));
                }
            }
            if text.len() > MAX_SEARCHED {
                tracing::warn!(project = self.project, "a response of more than 1 MiB was not searched for resources");
                let rest = TryStreamExt::map_err(BodyStream::new(answer), BoxError::from);
                return Ok(Body::new(StreamBody::new(stream::iter(frames).chain(rest))));
            }
        }
        self.learn(&text).await?;
        if let Some(batch) = self.with_own_address(&text) {
            head.headers.remove(header::CONTENT_LENGTH);
            return Ok(Body::from(batch.to_string()));
        }
        Ok(Body::new(StreamBody::new(stream::iter(frames))))
    }

    /// Returns a batch of Anthropic with the gateway's address; `None` for other responses.
    fn with_own_address(&self, text: &[u8]) -> Option<Value> {
        memmem::find(text, b"\"results_url\"")?;
        let mut batch = serde_json::from_slice(text).ok()?;
        self.address.as_ref()?.replace_results_url(&self.access.provider, &mut batch).then_some(batch)
    }

    /// Passes on events. An event that names a new resource is held until the resource is recorded.
    fn events(self, answer: Body) -> Body {
        let frames = TryStreamExt::map_err(BodyStream::new(answer), BoxError::from);
        let begun = (self, Box::pin(frames), BytesMut::new());
        let frames = stream::try_unfold(begun, |(learner, mut frames, mut line)| async move {
            let Some(frame) = frames.try_next().await? else { return Ok::<_, BoxError>(None) };
            if let Some(data) = frame.data_ref() {
                learner.lines(&mut line, data).await.map_err(|error| error.message)?;
            }
            Ok(Some((frame, (learner, frames, line))))
        });
        Body::new(StreamBody::new(frames))
    }

    async fn lines(&self, line: &mut BytesMut, mut data: &[u8]) -> Result<(), ApiError> {
        const NAMING: [&[u8]; 5] =
            [b"response.created", b"chat.completion.chunk", b"\"interaction", b"\"container", b"\"file_id\""];
        while let Some(end) = memchr(b'\n', data) {
            line.extend_from_slice(&data[..end]);
            data = &data[end + 1..];
            if let Some(json) = line.strip_prefix(b"data:")
                && NAMING.iter().any(|naming| memmem::find(json, naming).is_some())
            {
                self.learn(json).await?;
            }
            line.clear();
        }
        // A longer event is not searched.
        if line.len() < MAX_SEARCHED {
            line.extend_from_slice(data);
        }
        Ok(())
    }
}

/// Creates a list from the table: requests each resource of a page from its own project, and combines the results.
///
/// At the provider each project has its own list, which contains the resources of all tenants. Therefore the table is
/// paged instead, in the order of names: its pages are stable, and the last name is the token of the next page. The
/// objects come from the provider, since clients read the state of resources from lists.
///
/// # Errors
/// 503 if the table cannot be read; 429 if the tenant has reached a limit; the errors of the requests.
pub async fn list(incoming: &Incoming, collection: &str, address: Option<&Address>) -> Result<Response, ApiError> {
    let Incoming { app, route, tenant, provider, head, .. } = incoming;
    let is_gemini = route.dialect == Dialect::Gemini && !head.uri.path().contains("/openai/");
    let (size, token) = match route.dialect {
        _ if is_gemini => ("pageSize", "pageToken"),
        Dialect::Anthropic => ("limit", "after_id"),
        _ => ("limit", "after"),
    };
    let size = query::value(&head.uri, size).and_then(|size| size.parse().ok()).unwrap_or(PAGE).clamp(1, 100);
    let prefix = table_name(provider, &format!("{collection}/"));
    let after = query::value(&head.uri, token).map(|id| format!("{prefix}{id}")).unwrap_or_default();
    let _quota = app.tenants.admit(tenant, None).await?;
    let mut page = app.resources.list(&prefix, tenant.name.as_deref(), &after, size + 1).await?;
    let more = page.len() > size as usize;
    page.truncate(size as usize);
    let id = |resource: &Resource| resource.name[prefix.len()..].to_owned();
    let last = page.last().map(id);
    let first = page.first().map(id);
    let objects = stream::iter(page).map(|resource| object(app, provider, head, id(&resource), resource));
    let objects: Vec<Option<Value>> = objects.buffered(AT_ONCE).try_collect().await?;
    let mut objects: Vec<Value> = objects.into_iter().flatten().collect();
    if let Some(address) = address {
        for object in &mut objects {
            address.replace_results_url(provider, object);
        }
    }
    let list = if is_gemini {
        // Google omits empty lists, and returns batches as operations.
        let field = if collection == "batches" { "operations" } else { collection };
        let mut list = Map::new();
        if !objects.is_empty() {
            list.insert(field.to_owned(), objects.into());
        }
        if let Some(last) = last.filter(|_| more) {
            list.insert("nextPageToken".to_owned(), last.into());
        }
        Value::Object(list)
    } else {
        json!({ "object": "list", "data": objects, "first_id": first, "last_id": last, "has_more": more })
    };
    let mut response = Response::new(Body::from(list.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Requests a resource from its project; `None` if the provider no longer has it, or no key of the project is available.
async fn object(
    app: &AppState,
    provider: &ProviderPool,
    head: &Parts,
    id: String,
    resource: Resource,
) -> Result<Option<Value>, ApiError> {
    let path = format!("{}/{id}", head.uri.path().trim_end_matches('/'));
    let mut request =
        Request::get(path).body(Body::empty()).map_err(|_| ApiError::bad_request("the path is not valid"))?;
    *request.headers_mut() = head.headers.clone();
    headers::for_upstream(request.headers_mut());
    request.headers_mut().remove(header::ACCEPT_ENCODING);
    let project = Affinity::RequireProject(resource.project.as_str().into());
    request.extensions_mut().insert(KeyRequest::default().uncounted().affinity(project));
    let answer = match provider.send(request).await {
        Ok(answer) => answer,
        Err(error) if error.kind() == ErrorKind::Unavailable => {
            let (name, project) = (&resource.name, &resource.project);
            tracing::warn!(name, project, %error, "a resource is left out of a list: its project is unavailable");
            return Ok(None);
        }
        Err(error) => return Err(ApiError::from(&error)),
    };
    let (head, body) = answer.into_parts();
    let text: Bytes = http_body_util::Limited::new(body, MAX_SEARCHED)
        .collect()
        .await
        .map_err(|error| ApiError::new(StatusCode::BAD_GATEWAY, format!("{id} could not be read: {error}")))?
        .to_bytes();
    // Google returns 403 for a file that does not exist.
    if matches!(head.status, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN | StatusCode::GONE) {
        if head.status != StatusCode::FORBIDDEN {
            app.resources.forget(&resource.name).await?;
        }
        return Ok(None);
    }
    if head.status.is_success() {
        let unreadable = |_| ApiError::new(StatusCode::BAD_GATEWAY, format!("the provider's {id} could not be read"));
        return serde_json::from_slice(&text).map(Some).map_err(unreadable);
    }
    Err(handler::unreadable_error(&head).unwrap_or_else(|| {
        let text = String::from_utf8_lossy(&text[..text.len().min(300)]);
        ApiError::new(head.status, format!("{id} could not be read for this list: {text}"))
    }))
}

fn unreadable(error: &keypool_store::sqlite::SqliteError) -> ApiError {
    tracing::error!(%error, "the table of resources is unavailable");
    let message = "the owner of the file, cache or batch cannot be looked up: the gateway's database is unavailable";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(Some(Duration::from_secs(1)))
}
