//! A strict simulator of the Gemini API.
