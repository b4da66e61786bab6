//! One neutral form of a conversation with a model, and a dialect at each side of it.
//!
//! A caller's request is read into the [neutral] form by its dialect ([`openai`], [`anthropic`]: a [`Caller`]) and
//! written from it in the upstream's ([`gemini`]). What the upstream answers is read into neutral [`Event`]s, one path
//! for whole answers and for streams, and each is written by the caller's [`Voice`]. [`Exchange`] ties the two. No I/O
//! happens here, and nothing here knows of keys or sockets: bytes in, bytes out.
//!
//! [neutral]: Conversation

mod ahead;
pub mod anthropic;
mod caller;
mod catalogue;
mod data_url;
mod depth;
mod events;
mod exchange;
mod fields;
pub mod gemini;
mod multipart;
mod neutral;
mod one_line;
mod one_or;
pub mod openai;
mod origins;
pub mod responses;
mod segments;
mod text;
mod tree;

pub use caller::{Asked, Caller, Form, Ignored, Refused, Repeated, Shape, Voice};
pub use catalogue::catalogue;
pub use events::{Events, MOST_OF_EVENT};
pub use exchange::{Exchange, Listener};
pub use multipart::{about_tokens_of_form, is_plain_form, model_of_form};
pub use neutral::{
    Call, CallId, Canvas, Carried, Chosen, Conversation, Drawing, Drawn, Effort, Embedded, Embedding, Event, Far,
    Fault, Finish, Format, Kind, Likely, Medium, Model, Part, Picture, Returned, Role, Sampling, Signature, Source,
    Speech, Thinking, Tool, ToolChoice, Turn, Usage,
};
use one_or::OneOr;
pub use segments::Segments;
pub use text::Text;
