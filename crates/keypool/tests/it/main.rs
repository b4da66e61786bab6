//! The gateway and the binary, from outside.

mod accounts;
mod acting;
mod admin;
mod agents;
mod aliased;
mod astray;
mod batch;
mod beginnings;
mod beside;
mod binary;
// 127.0.0.2 and so on are there on Linux alone.
#[cfg(target_os = "linux")]
mod borders;
mod breaking;
mod browser;
mod callers;
mod catalogued;
mod commands;
mod config;
mod continuing;
mod cross_origin;
mod crowded;
mod cut;
mod damaged;
mod dawdling;
mod described;
mod descriptors;
mod dialects;
mod echoed;
mod ending;
#[cfg(target_os = "linux")]
mod endless;
mod examining;
#[cfg(target_os = "linux")]
mod exits;
mod explain;
mod exposition;
#[cfg(unix)]
mod fitting;
mod flags;
mod following;
mod forecast;
mod framed;
#[cfg(unix)]
mod generating;
mod guarding;
mod guessable;
mod hidden;
mod home;
mod hostile;
#[cfg(unix)]
mod inputs;
mod interacting;
mod inventories;
mod isolated;
mod joining;
mod keepers;
mod keys;
mod leaving;
mod listing;
mod live;
mod locked;
mod makers;
mod making;
mod media;
mod mending;
mod nearness;
mod once;
mod ops;
#[cfg(unix)]
mod outputs;
mod overruled;
mod owning;
mod passing;
mod providers;
mod ranges;
mod realtime;
mod recalling;
mod redis;
mod refusals;
mod reload;
mod resources;
mod responding;
mod restarting;
mod retold;
mod revoked;
mod rights;
mod roomy;
mod secured;
mod serving;
mod sessions;
mod sharing;
mod side_by_side;
mod smuggling;
mod sources;
mod spans;
mod stale;
mod status;
mod steering;
mod streaming;
mod support;
mod suspected;
#[cfg(unix)]
mod tables;
mod tasks;
mod telling;
mod tenants;
mod tls;
mod together;
mod tokens;
mod told;
mod ui;
mod unnamed;
mod unsaid;
mod uploads;
mod upstreams;
mod waiting;
#[cfg(unix)]
mod watching;
mod wording;
