//! What is asked and answered, in no dialect: what every caller's dialect is read into, and every upstream's is written
//! from; and back.

mod call_id;
mod calls;
mod catalogue;
mod conversation;
mod embedding;
mod event;
mod far;
mod fault;
mod medium;
mod picture;
mod sampling;
mod tool;

pub use call_id::{CallId, Carried, Signature};
pub(crate) use calls::Calls;
pub use catalogue::Model;
pub(crate) use conversation::CHOSEN;
pub use conversation::{Call, Conversation, Part, Returned, Role, Turn};
pub use embedding::{Embedded, Embedding};
pub use event::{Chosen, Event, Finish, Likely, Source, Usage};
pub use far::Far;
pub use fault::{Fault, Kind};
pub use medium::{Canvas, Medium, Speech};
pub use picture::{Drawing, Drawn, Picture};
pub use sampling::{Effort, Format, Sampling, Thinking};
pub use tool::{Tool, ToolChoice};
