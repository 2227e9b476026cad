//! From reports to text: one file per format. Pure; into one buffer, so that a reader gets whole
//! lines or none.

pub mod influx;
