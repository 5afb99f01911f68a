//! The import order.
