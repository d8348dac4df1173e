//! Decisions on plans that are compiled from real messages, area by area.

mod authorize;
mod balance;
mod effects;
mod equality;
mod fixture;
mod gateway;
mod inbound;
mod outbound;
mod path;
mod pure;
mod resources;
mod retry;
mod route;
mod upstream;
