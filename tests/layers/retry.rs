//! What is sent again, with which key and when.
