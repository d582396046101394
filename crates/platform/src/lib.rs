//! What a bot does inside a meeting product: links, packs, the browser, capture.
//!
//! One visit: [`link`] finds the product of a meeting link and [`pack`] holds what is known of its page, as data.
//! [`browser`] starts Chromium and speaks to it over a pipe, [`page`] is one page of it, [`capture`] is the script in
//! that page that takes the sound of everybody out of it. [`meeting`] puts them together and knows no product by name.

pub mod browser;
pub mod capture;
mod cdp;
pub mod link;
pub mod meeting;
pub mod pack;
pub mod page;
