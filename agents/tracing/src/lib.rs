//! agents/tracing
