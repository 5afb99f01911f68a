# Everything that must pass before a change lands.
ci:
    .ci/run

# Tests that take minutes.
slow:
    cargo test --workspace --release -- --ignored

# One learning step beside its matrix products.
bench:
    cargo bench -p rbm-core --bench training
