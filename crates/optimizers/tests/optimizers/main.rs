//! Every algorithm through the optimizer, as a training loop uses it.

#[cfg(test)]
mod common;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod states;
#[cfg(test)]
mod updates;
