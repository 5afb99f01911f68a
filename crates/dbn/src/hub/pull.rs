//! From the Hub into the cache.

use rbm_core::{Error, Result};

use super::api::{HubRepository, ListedFile, Listing};
use super::cache::{BESIDE, Cache, Found, Snapshot, damaged};
use super::http::{Answer, Counter, Failure};
use super::{Hub, Reference};
use crate::network::config::{CONFIG, WEIGHTS};
use crate::store::model_config::ModelConfig;

/// The most bytes of a configuration.
const LARGEST_CONFIG: u64 = 1 << 20;

impl Hub {
    /// The model that `reference` means as the Hub has it now, fetched into the cache unless it is there; in offline mode what was
    /// there before.
    ///
    /// # Errors
    ///
    /// `Invalid`, with what to do, where there is no such model or revision, or one that is not to be trusted: larger than its
    /// own configuration says, or other bytes than were listed.
    pub fn pull(&self, reference: &Reference) -> Result<Snapshot> {
        let (repository, cache) = self.repository(reference);
        if self.options.is_offline {
            return self.cached(reference, &cache, reference.revision());
        }
        let info = repository.info(&self.http, Some(reference.revision()));
        let found =
            info.and_then(|info| self.at_commit(reference, &repository, &cache, &info.commit));
        found.map_err(|failure| failure.about(reference))
    }

    /// [`Hub::pull`], but where the Hub does not answer what was there before: of the commit that it has, if it got as far as to
    /// name that one, or else of the revision.
    ///
    /// # Errors
    ///
    /// As [`Hub::pull`], where nothing of it is in the cache.
    pub fn find(&self, reference: &Reference) -> Result<Snapshot> {
        let (repository, cache) = self.repository(reference);
        if self.options.is_offline {
            return self.cached(reference, &cache, reference.revision());
        }
        let (failure, revision) = match repository.info(&self.http, Some(reference.revision())) {
            Ok(info) => match self.at_commit(reference, &repository, &cache, &info.commit) {
                Ok(snapshot) => return Ok(snapshot),
                Err(failure) => (failure, info.commit),
            },
            Err(failure) => (failure, reference.revision().to_owned()),
        };
        let cached = match failure.is_silence() {
            true => self.cached(reference, &cache, &revision).ok(),
            false => None,
        };
        let cached = cached.ok_or_else(|| failure.about(reference))?;
        tracing::warn!(%reference, "the Hub does not answer: what was fetched earlier is used");
        Ok(cached)
    }

    /// What is in the cache already.
    fn cached(&self, reference: &Reference, cache: &Cache, revision: &str) -> Result<Snapshot> {
        let missing = || Failure::NotCached.about(reference);
        let commit = cache.commit(revision).ok_or_else(missing)?;
        let dir = cache.snapshot(&commit);
        let mut files = Vec::new();
        for name in Snapshot::names() {
            match cache.look_offline(&commit, name)? {
                Found::Whole => files.push(name.to_owned()),
                Found::Damaged => return Err(damaged(&dir.join(name))),
                Found::Missing if name == CONFIG => return Err(missing()),
                Found::Missing => {}
            }
        }
        let has = |name: &str| files.iter().any(|file| file == name);
        if !has(ModelConfig::read(dir.join(CONFIG))?.weights()) {
            return Err(missing());
        }
        Ok(Snapshot { dir, files })
    }

    /// The model at a commit: listed, looked at, and then fetched as far as it is not there.
    fn at_commit(
        &self,
        reference: &Reference,
        repository: &HubRepository,
        cache: &Cache,
        commit: &str,
    ) -> Answer<Snapshot> {
        let names: Vec<_> = Snapshot::names().collect();
        let listing = repository.listed(&self.http, commit, &names)?;
        let config = listing.get(CONFIG).ok_or(Failure::NoFile(CONFIG))?;
        if !ModelConfig::WEIGHTS.iter().any(|name| listing.contains_key(*name)) {
            return Err(Failure::NoFile(WEIGHTS));
        }
        check_size(reference, CONFIG, config, LARGEST_CONFIG)?;
        for (name, most) in BESIDE {
            if let Some(listed) = listing.get(name) {
                check_size(reference, name, listed, most)?;
            }
        }
        let mut missing = self.missing(cache, commit, &listing)?;
        let dir = cache.snapshot(commit);
        let mut path = dir.join(CONFIG);
        if missing.contains(&CONFIG) {
            path = cache.fetch(&self.http, repository, commit, CONFIG, config, |_| {})?;
        }
        let config = ModelConfig::read(&path).map_err(|error| match error {
            // It has no name of its own yet.
            Error::File { place, expected, found, .. } => {
                Error::file(format!("{reference}/{CONFIG}"), place, expected, found)
            }
            other => other,
        })?;
        let (of_weights, (least, most)) = (config.weights(), config.weights_size());
        let weights = listing.get(of_weights).ok_or(Failure::NoFile(of_weights))?;
        if weights.size < least {
            let expected = format!("at least {least} bytes, as its {CONFIG} says");
            return Err(refused(reference, of_weights, expected, weights.size));
        }
        check_size(reference, of_weights, weights, most)?;
        // Weights of another kind of model are not looked at.
        let is_of_it = |name: &str| name == of_weights || !ModelConfig::WEIGHTS.contains(&name);
        missing.retain(|name| is_of_it(name));
        let of = missing.iter().map(|name| listing[name].size).sum();
        let counter = Counter::of(self.watching.clone(), of);
        for name in &missing {
            let moved = |bytes| counter.add(bytes);
            cache.fetch(&self.http, repository, commit, name, &listing[name], moved)?;
        }
        // The configuration last: what has one is whole.
        for name in missing.iter().rev() {
            cache.place(commit, name, &listing[name].hash)?;
        }
        if let Err(error) = cache.remember(reference.revision(), commit) {
            tracing::warn!(
                %reference,
                %error,
                "the cache cannot be written: offline, this revision will not be found by its name"
            );
        }
        let files = names.into_iter().filter(|name| listing.contains_key(name) && is_of_it(name));
        Ok(Snapshot { dir, files: files.map(str::to_owned).collect() })
    }

    /// The names of what is to be fetched, the configuration first.
    fn missing(&self, cache: &Cache, commit: &str, listing: &Listing) -> Answer<Vec<&'static str>> {
        let mut missing = Vec::new();
        for name in Snapshot::names() {
            let Some(listed) = listing.get(name) else { continue };
            let found = cache.look(commit, name, listed)?;
            if found == Found::Damaged {
                let file = cache.snapshot(commit).join(name);
                tracing::warn!(file = %file.display(), "damaged in the cache: fetched again");
            }
            if found != Found::Whole {
                missing.push(name);
            }
        }
        Ok(missing)
    }
}

fn check_size(reference: &Reference, name: &str, listed: &ListedFile, most: u64) -> Answer<()> {
    match listed.size > most {
        true => Err(refused(reference, name, format!("at most {most} bytes"), listed.size)),
        false => Ok(()),
    }
}

fn refused(reference: &Reference, name: &str, expected: String, size: u64) -> Failure {
    let found = format!("{size}; nothing was fetched");
    Error::invalid(format!("{reference}: {name}"), expected, found).into()
}
