//! The rules of retries: [`RetryPolicy`], a policy for tower's own [`Retry`](tower::retry::Retry).

mod future;
mod policy;

pub use future::RetryFuture;
pub use policy::RetryPolicy;
pub(crate) use policy::Step;
