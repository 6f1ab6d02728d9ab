//! Reading documents: a photograph, a scan or a PDF in, the words on it and the expense they tell out (R082-R084).
//!
//! A document is hostile until it has been read. The process `symphony-reader`, started by the Vault for one document
//! ([`host`]), locks itself down ([`lockdown`]) before the first byte of it arrives. It refuses by size, kind and
//! dimensions before anything is decoded ([`document`]), prepares pictures in memory-safe code ([`prepare`]), gives
//! recognition only plain grey pixels, and starts the foreign programs (Tesseract, poppler) as children that see one
//! document and no network ([`tool`]). What the words say is decided in `symphony_compute::parse`.
//!
//! [`render`] draws receipts whose truth is known, [`hostile`] makes documents that no reader should be sent; both
//! are for demonstrations and tests.

pub mod annotate;
pub mod document;
pub mod host;
pub mod hostile;
pub mod lockdown;
pub mod picture;
pub mod prepare;
pub mod process;
pub mod protocol;
pub mod render;
pub mod tool;

mod pdf;
mod recognize;
