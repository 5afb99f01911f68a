//! The program as its users meet it: what it prints, what it leaves on disk, and how it answers what goes wrong.
#![allow(clippy::unwrap_used)]

mod alignments;
mod anneal;
mod bad_input;
mod beliefs;
mod bench;
mod codes;
mod commands;
mod common;
mod compare;
mod contacts;
mod deep_machines;
mod embed;
mod examples;
mod hostile;
mod hub;
mod hub_lies;
mod hub_python;
mod import;
mod joint;
mod keys;
mod kills;
mod learned_machines;
mod library;
mod likelihood;
mod machines;
mod manual;
mod real_valued;
mod reproducible;
mod resume;
mod score;
mod sources;
mod tables;
mod terminal;
mod train;
mod units;
