# Everything that must pass before a change lands.
ci:
    .ci/run

# Tests that take minutes.
slow:
    cargo test --workspace --release -- --ignored

# Every crate that is meant to be published, packed and built from its package: a quarter of an hour.
package:
    cargo package --workspace --exclude loopback-hub --exclude candle-dbn-workspace

# The laws on a CUDA device, and the device against the CPU (never run so far: docs/guide/src/gpu.md).
gpu-laws:
    cargo test -p rbm-core --release --features cuda --test cuda -- --nocapture

# A thousand kills of trainings and commands at random moments: a quarter of an hour.
kills:
    cargo test --workspace --test cli -- --ignored --nocapture a_thousand_kills

# How fast this machine learns, beside the matrix products that it cannot do without.
bench:
    cargo run --release -- bench

# Every operation alone, and one learning step; DBN_BENCH_DATA=/path/to/mnist for real cases.
bench-ops:
    cargo bench -p rbm-core

# Other programs beside ours (benches/peers/README.md says what it needs).
bench-peers *ARGS:
    cargo build --release
    python3 benches/peers/run.py {{ARGS}}

# Python's huggingface_hub against ours, on a Hub on this machine; DBN_PYTHON is an interpreter that has it.
hub-python:
    cargo test --workspace --test cli hub_python -- --ignored

# Every reader against a fuzzer, so many minutes each (cargo install cargo-fuzz; a nightly compiler). What it finds goes to fuzz/artifacts:
# copy it to fuzz/corpus/TARGET/found-WHAT, where `cargo test` reads it too.
fuzz MINUTES:
    cd fuzz && export RAYON_NUM_THREADS=1 && for target in $(cargo +nightly fuzz list); do \
        cargo +nightly fuzz run -s none $target -- -max_total_time=$(({{MINUTES}} * 60)) -max_len=65536 -timeout=5 -rss_limit_mb=2048 || exit 1; \
    done
