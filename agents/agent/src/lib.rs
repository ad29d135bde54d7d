//! agents/agent
