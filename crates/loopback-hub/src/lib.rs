//! A Hub on 127.0.0.1: as much of its API as pushing and pulling needs, repositories in memory, and faults on demand.
//!
//! It speaks to `dbn` and to Python's `huggingface_hub`. Files named `.safetensors` are large ones, as on the Hub; how
//! their bytes travel is the [`Transfer`] that a server is started with. xet needs no server: the clients write into a folder
//! that the server names.
#![allow(clippy::unwrap_used)]

mod answer;
mod store;

mod service;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use tempfile::TempDir;

pub use answer::Lie;
use service::Service;
pub use service::{Faults, TOKEN, Transfer};
use store::Store;

/// A server, until it is dropped.
pub struct Server {
    address: SocketAddr,
    service: Arc<Service>,
    runtime: Option<tokio::runtime::Runtime>,
    content: Arc<TempDir>,
}

impl Server {
    /// A server without repositories, on a port that was free.
    pub fn start(transfer: Transfer) -> Self {
        let content = Arc::new(tempfile::tempdir().unwrap());
        Self::with(transfer, Arc::new(Mutex::new(Store::default())), content)
    }

    /// Another server with the same repositories, at another address, which tells the truth.
    pub fn mirror(&self) -> Self {
        Self::with(self.service.transfer, self.service.store.clone(), self.content.clone())
    }

    fn with(transfer: Transfer, store: Arc<Mutex<Store>>, content: Arc<TempDir>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_io()
            .enable_time()
            .build()
            .unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let service = Arc::new(Service {
            base: format!("http://{address}"),
            content: format!("local://{}", content.path().display()),
            transfer,
            store,
            faults: Mutex::new(Faults::default()),
            log: Mutex::new(Vec::new()),
            authorised: Mutex::new(Vec::new()),
            files: AtomicUsize::new(0),
        });
        let router = Router::new().fallback(service::answer).with_state(service.clone());
        let router = router.layer(axum::extract::DefaultBodyLimit::max(1 << 30));
        runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, service, runtime: Some(runtime), content }
    }

    /// What `HF_ENDPOINT` is to be.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far, as `GET /path -> 200`.
    pub fn log(&self) -> Vec<String> {
        self.service.log.lock().unwrap().clone()
    }

    /// The paths that were asked for with a token.
    pub fn authorised(&self) -> Vec<String> {
        self.service.authorised.lock().unwrap().clone()
    }

    /// Lies from now on.
    pub fn lie(&self, lie: Lie) {
        self.set_faults(Faults { lie, ..Faults::default() });
    }

    /// What goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.service.files.store(0, Ordering::Relaxed);
        *self.service.faults.lock().unwrap() = faults;
    }

    /// Puts a file into a repository, which is made if need be: `models/me/name` or `datasets/me/name`.
    pub fn put(&self, repository: &str, path: &str, bytes: &[u8]) {
        self.put_at(repository, "main", path, bytes);
    }

    /// [`Server::put`] onto a branch, which is made if need be.
    pub fn put_at(&self, repository: &str, branch: &str, path: &str, bytes: &[u8]) {
        let mut store = self.service.store.lock().unwrap();
        store.put(repository, branch, path, bytes.to_vec());
    }

    /// A file of a repository's main branch, unless it is not there or its bytes are in xet's folder.
    pub fn file(&self, repository: &str, path: &str) -> Option<Vec<u8>> {
        self.service.store.lock().unwrap().bytes(repository, "main", path)
    }

    /// The paths in a repository at a revision.
    pub fn paths(&self, repository: &str, revision: &str) -> Vec<String> {
        self.service.store.lock().unwrap().paths(repository, revision)
    }

    /// Lets nobody read a repository until its owner has let them in.
    pub fn gate(&self, repository: &str) {
        self.service.store.lock().unwrap().gate(repository);
    }

    /// Makes a repository private.
    pub fn hide(&self, repository: &str) {
        self.service.store.lock().unwrap().hide(repository);
    }

    /// Where xet's files lie.
    pub fn content(&self) -> &Path {
        self.content.path()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
