//! How requests ended.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::StatusCode;
use serde::Serialize;
use tower_keypool::{Attempts, ErrorClass};

/// The result of a request, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestResult {
    /// It was served.
    Good,
    /// The request was invalid: the caller must correct it. Or the caller left before the response.
    #[default]
    Caller,
    /// No key was available in time.
    Unavailable,
    /// The provider or the gateway failed.
    Failed,
}

impl RequestResult {
    pub fn of(status: StatusCode, attempts: &Attempts) -> Self {
        let class = attempts.last().and_then(tower_keypool::pool::Attempt::class);
        match class {
            _ if !status.is_client_error() && !status.is_server_error() => Self::Good,
            Some(ErrorClass::Caller | ErrorClass::ModelNotFound) => Self::Caller,
            Some(class) if class.is_key_fault() => Self::Unavailable,
            None if status.is_client_error() => Self::Caller,
            None if status == StatusCode::SERVICE_UNAVAILABLE => Self::Unavailable,
            _ => Self::Failed,
        }
    }
}

/// Whether a request was sent with a key, perhaps more than once. It is an extension of the request.
#[derive(Clone, Debug, Default)]
pub struct Sent(Arc<AtomicBool>);

impl Sent {
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
