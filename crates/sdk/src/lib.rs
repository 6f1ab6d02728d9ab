//! What people and programs touch: the client of the public interface, the wallet, the whole campaign or
//! training as one call, the opening of results, the registry of models, and the checker of evidence that trusts no node (R134, R207-R210).

pub mod audit;
pub mod budget;
pub mod campaign;
pub mod challenge;
pub mod client;
pub mod computation;
pub mod council;
pub mod erasure;
pub mod hardware;
pub mod model;
pub mod moved;
pub mod policy;
pub mod receipts;
pub mod recipient;
pub mod replay;
pub mod secret;
pub mod semantics;
pub mod settle;
pub mod shape;
pub mod statistic;
pub mod submission;
pub mod training;
pub mod treasury;
pub mod verify;
pub mod wallet;
pub mod watching;

mod own;
