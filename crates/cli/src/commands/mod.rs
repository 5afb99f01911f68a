//! The commands, a file each: what may be typed, and below it what is done.

mod anneal;
mod bench;
mod compare;
mod contacts;
mod embed;
mod evaluate;
#[cfg(feature = "hub")]
mod hub;
mod import;
mod infer;
mod inspect;
mod manual;
mod mutants;
mod recall;
mod recipe;
mod reproduce;
mod sample;
mod score;
mod train;

use std::path::PathBuf;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};
use indicatif::MultiProgress;

use crate::inputs;
use crate::logging::Logging;

/// Deep belief networks: train, evaluate, compare, sample, score, embed, encode, decode, inspect, import, push, pull, data, anneal, recall, infer, contacts, bench, reproduce.
#[derive(Debug, Parser)]
#[command(
    name = "dbn",
    version,
    about,
    after_help = "Start with `dbn train`: it needs no data, no network and less than a minute.\n\
Exit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C (after a checkpoint)."
)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub logging: Logging,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Train(train::Train),
    Recipe(recipe::ShowRecipe),
    Evaluate(evaluate::Evaluate),
    Compare(compare::Compare),
    Sample(sample::Sample),
    Score(score::Score),
    Embed(embed::Embed),
    Encode(embed::Encode),
    Decode(embed::Decode),
    Inspect(inspect::Inspect),
    #[cfg(feature = "hub")]
    Push(hub::Push),
    #[cfg(feature = "hub")]
    Pull(hub::Pull),
    #[cfg(feature = "hub")]
    Data(hub::Data),
    Import(import::Import),
    Anneal(anneal::Anneal),
    Recall(recall::Recall),
    Infer(infer::Infer),
    Contacts(contacts::Contacts),
    Bench(bench::Bench),
    Reproduce(reproduce::Reproduce),
    Completions(manual::Completions),
    #[command(name = "man")]
    Manual(manual::Manual),
}

impl Command {
    /// The model that the command is about, where there is one: a folder, or the name of a repository on the Hub.
    pub fn model(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::Evaluate(args) => Some(&mut args.run),
            Self::Score(args) => Some(&mut args.run),
            Self::Embed(args) => Some(&mut args.run),
            Self::Encode(args) => Some(&mut args.run),
            Self::Decode(args) => Some(&mut args.run),
            Self::Inspect(args) => Some(&mut args.run),
            Self::Contacts(args) => Some(&mut args.run),
            #[cfg(feature = "hub")]
            Self::Push(args) => Some(&mut args.run),
            _ => None,
        }
    }

    /// The same of commands that take machines by name and in files too.
    pub fn machine(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::Sample(args) => Some(&mut args.run),
            Self::Anneal(args) => Some(&mut args.model),
            Self::Infer(args) => Some(&mut args.model),
            _ => None,
        }
    }
}

/// Does what was asked for.
pub fn run(command: &mut Command, bars: &MultiProgress, quiet: bool) -> Result<()> {
    if let Some(given) = command.model() {
        *given = inputs::find_model(given, bars)?;
    }
    if let Some(given) = command.machine() {
        *given = inputs::find_machine(given, bars)?;
    }
    match command {
        Command::Train(args) => train::run(args, bars, quiet),
        Command::Recipe(args) => recipe::run(args),
        Command::Evaluate(args) => evaluate::run(args, bars),
        Command::Compare(args) => compare::run(args),
        Command::Sample(args) => sample::run(args, bars),
        Command::Score(args) => score::run(args, bars),
        Command::Embed(args) => embed::embed(args, bars),
        Command::Encode(args) => embed::encode(args, bars),
        Command::Decode(args) => embed::decode(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Import(args) => import::run(args),
        #[cfg(feature = "hub")]
        Command::Push(args) => hub::push(args, bars),
        #[cfg(feature = "hub")]
        Command::Pull(args) => hub::pull(args, bars),
        #[cfg(feature = "hub")]
        Command::Data(args) => hub::data(args, bars),
        Command::Anneal(args) => anneal::run(args, bars),
        Command::Recall(args) => recall::run(args),
        Command::Infer(args) => infer::run(args, bars),
        Command::Contacts(args) => contacts::run(args),
        Command::Bench(args) => bench::run(args, bars),
        Command::Reproduce(args) => reproduce::run(args, bars, quiet),
        Command::Completions(args) => manual::completions(args, Args::command()),
        Command::Manual(args) => manual::man(args, Args::command()),
    }
}
