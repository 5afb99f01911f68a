//! A Hub on this machine to try things with: prints what to set, and serves until it is stopped.
//!
//! `cargo run -p loopback-hub --example serve -- regular|basic|xet`

use loopback_hub::{Server, TOKEN, Transfer};

fn main() {
    let transfer = match std::env::args().nth(1).as_deref() {
        None | Some("regular") => Transfer::Regular,
        Some("basic") => Transfer::Basic,
        Some("xet") => Transfer::Xet,
        Some(other) => {
            eprintln!("expected regular, basic or xet, found {other:?}");
            std::process::exit(2);
        }
    };
    let server = Server::start(transfer);
    println!("export HF_ENDPOINT={} HF_TOKEN={TOKEN}", server.endpoint());
    loop {
        std::thread::park();
    }
}
