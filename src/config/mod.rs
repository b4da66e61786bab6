//! Configuration of a pool by a file and the environment (feature `config`).
//!
//! [`PoolConfig`] is a TOML table: a file of its own, or one entry of a larger file such as a gateway's
//! `[[providers]]`. Variables such as `KEYPOOL__STRATEGY` override the file. Keys come from `[[keys]]`, from key files
//! and from variables such as `GEMINI_API_KEYS`.
//!
//! ```
//! use tower_keypool::config::{Environment, PoolConfig};
//!
//! let text = r#"
//!     provider = "gemini"
//!     wait = "5s"
//!
//!     [limits."gemini-2.5-flash"]
//!     rpm = 10
//!     rpd = 250
//!
//!     [[keys]]
//!     secret_env = "WORK_KEY"
//!     project = "a"
//!
//!     [[errors]]
//!     status = 429
//!     message = "out of credits"
//!     class = "billing"
//! "#;
//! let variables = [("WORK_KEY", "AIza-not-a-real-key-001"), ("KEYPOOL__STRATEGY", "round-robin")];
//! let environment = Environment::from_vars(variables);
//! let config = PoolConfig::from_toml("keypool.toml", text, &environment)?;
//! let loaded = config.keys(&environment);
//! assert!(loaded.problems.is_empty());
//! let pool = config.builder()?.keys(loaded.keys).build()?;
//! assert_eq!(pool.try_acquire("gemini-2.5-flash")?.project(), "a");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! All problems of a configuration are reported at once, each with its file and line. An invalid setting makes the
//! whole file invalid. An invalid key entry does not: it is reported in [`Loaded::problems`] and left out, and the
//! valid keys are used, at start and at each reload. Messages contain no values, which may be secrets.
//!
//! # Key files
//! One key a line, followed by its options. Blank lines and text after a `#` are ignored:
//!
//! ```text
//! AIza…001 project=a tier=free
//! AIza…002 project=b tier=paid rpm=1000 label="of the team"   # a comment
//! ```
//!
//! A line may also be `NAME=key` if the name is general, such as `API_KEY`, or contains the name of the provider, of its
//! API or of its host, such as `GEMINI_API_KEY`; the value may be several keys. Other names are reported, because their
//! values may be secrets of other services.
//!
//! The same options are the columns of a CSV or TSV file, whose first line names them (`key` for the key), the fields
//! of the objects in a JSON array, and the settings of `[[keys]]`. [`KeyEntry`] lists them.
//!
//! # Key variables
//! For a provider named `gemini`: `GEMINI_API_KEY`, `GEMINI_API_KEYS`, `GEMINI_API_KEY_1` and so on,
//! `GEMINI_FREE_KEYS`, `GEMINI_PAID_KEYS`, and the same names with `GOOGLE` as their prefix. Several keys are separated
//! by semicolons or line ends, and each may have options; keys without options also by commas or spaces. Other providers
//! have variables with their own name as the prefix.

mod document;
mod environment;
mod key_entry;
mod key_file;
mod loaded;
mod pool;
mod wording;

pub use document::read;
pub use environment::Environment;
pub use key_entry::{KeyEntry, LimitsEntry};
pub use loaded::{Loaded, Problem};
pub use pool::PoolConfig;
