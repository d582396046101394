//! Which addresses a customer's URL may reach.
//!
//! Everything here is a pure function of its arguments. Addresses are refused unless they are plainly public: a range
//! that nobody thought of is on the safe side. An operator opens ranges with [`Policy::new`].

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

/// What the operator opened. Without ranges only public addresses are let through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    allow: Vec<IpNet>,
}

/// A text that is not a range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a range of addresses: expected CIDR such as 10.0.0.0/8 or fd00::/8, or one address")]
pub struct BadRange {
    /// The text.
    pub text: String,
}

/// Why a URL or an address may not be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not a scheme that is spoken here.
    #[error("the scheme {scheme:?} is not allowed: use http, https, ws or wss")]
    Scheme {
        /// What it was.
        scheme: String,
    },
    /// A user name or password in the URL.
    #[error("user name and password are not allowed in the URL")]
    UserInfo,
    /// No host.
    #[error("the URL has no host")]
    NoHost,
    /// A name that means this machine or its cloud's metadata service.
    #[error("{host} is not allowed: it is a name for {what}")]
    Name {
        /// The name.
        host: String,
        /// What it stands for.
        what: Range,
    },
    /// An address that is not public.
    #[error("{ip} is not allowed: it is {what}, and the operator has not opened it")]
    Address {
        /// The address.
        ip: IpAddr,
        /// Why.
        what: Range,
    },
}

/// A kind of address that is not for the public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// `0.0.0.0/8`, `::`.
    Unspecified,
    /// `127.0.0.0/8`, `::1`.
    Loopback,
    /// RFC 1918.
    Private,
    /// `100.64.0.0/10`.
    CarrierNat,
    /// `169.254.0.0/16`, `fe80::/10`.
    LinkLocal,
    /// A cloud's metadata service.
    Metadata,
    /// `fc00::/7`, `fec0::/10`.
    UniqueLocal,
    /// For examples in documents.
    Documentation,
    /// For benchmarks.
    Benchmarking,
    /// To many.
    Multicast,
    /// To all in a network.
    Broadcast,
    /// An IPv4 address written as IPv6.
    Embedded,
    /// A tunnel or translator (6to4, Teredo).
    Tunnel,
    /// Not given out for public use.
    Reserved,
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "an unspecified address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::CarrierNat => "a carrier-grade NAT address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "a cloud metadata service",
            Self::UniqueLocal => "a unique local address",
            Self::Documentation => "a documentation address",
            Self::Benchmarking => "a benchmarking address",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "a broadcast address",
            Self::Embedded => "an IPv4 address inside an IPv6 address",
            Self::Tunnel => "a tunnel address",
            Self::Reserved => "a reserved address",
        })
    }
}

impl Policy {
    /// A policy that also lets these ranges through (`10.0.0.0/8`, `fd00::/8`, a single address).
    pub fn new<'a>(ranges: impl IntoIterator<Item = &'a str>) -> Result<Self, BadRange> {
        let allow = ranges
            .into_iter()
            .map(|text| {
                let trimmed = text.trim();
                trimmed
                    .parse::<IpNet>()
                    .or_else(|_| trimmed.parse::<IpAddr>().map(IpNet::from))
                    .map_err(|_| BadRange { text: text.to_owned() })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { allow })
    }

    /// Whether a connection to `ip` may be made. An opened IPv4 range also opens its addresses in IPv6 clothes.
    pub fn check_ip(&self, ip: IpAddr) -> Result<(), Refused> {
        let Some(what) = refusal(ip) else { return Ok(()) };
        let inner = match ip {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => embedded(v6).map(IpAddr::V4),
        };
        let opened = |ip: &IpAddr| self.allow.iter().any(|net| net.contains(ip));
        if opened(&ip) || inner.as_ref().is_some_and(opened) {
            return Ok(());
        }
        Err(Refused::Address { ip, what })
    }

    /// Whether a URL is worth trying: its scheme, user info, a literal address in any spelling, names of this machine.
    ///
    /// Says nothing about what another name resolves to; that is checked again for each connection.
    pub fn check_url(&self, url: &Url) -> Result<(), Refused> {
        if !matches!(url.scheme(), "http" | "https" | "ws" | "wss") {
            return Err(Refused::Scheme { scheme: url.scheme().to_owned() });
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::UserInfo);
        }
        match url.host().ok_or(Refused::NoHost)? {
            Host::Ipv4(ip) => self.check_ip(ip.into()),
            Host::Ipv6(ip) => self.check_ip(ip.into()),
            Host::Domain(name) => self.check_name(name),
        }
    }

    fn check_name(&self, name: &str) -> Result<(), Refused> {
        let bare = name.trim_end_matches('.').to_ascii_lowercase();
        if bare.is_empty() {
            return Err(Refused::NoHost);
        }
        let local = ["localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"].contains(&bare.as_str())
            || bare.ends_with(".localhost");
        let loopback_open =
            || self.check_ip(Ipv4Addr::LOCALHOST.into()).is_ok() || self.check_ip(Ipv6Addr::LOCALHOST.into()).is_ok();
        if local && !loopback_open() {
            return Err(Refused::Name { host: name.to_owned(), what: Range::Loopback });
        }
        let metadata = matches!(bare.as_str(), "metadata.google.internal" | "metadata.goog" | "instance-data");
        if metadata && self.check_ip(METADATA_V4.into()).is_err() {
            return Err(Refused::Name { host: name.to_owned(), what: Range::Metadata });
        }
        Ok(())
    }
}

const METADATA_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// Refused IPv4 ranges; the first that fits names the reason.
const V4: &[(Ipv4Net, Range)] = &[
    (v4([169, 254, 169, 254], 32), Range::Metadata),
    // Alibaba's metadata service, and Azure's, which sits at a public address.
    (v4([100, 100, 100, 200], 32), Range::Metadata),
    (v4([168, 63, 129, 16], 32), Range::Metadata),
    (v4([0, 0, 0, 0], 8), Range::Unspecified),
    (v4([10, 0, 0, 0], 8), Range::Private),
    (v4([100, 64, 0, 0], 10), Range::CarrierNat),
    (v4([127, 0, 0, 0], 8), Range::Loopback),
    (v4([169, 254, 0, 0], 16), Range::LinkLocal),
    (v4([172, 16, 0, 0], 12), Range::Private),
    (v4([192, 0, 0, 0], 24), Range::Reserved),
    (v4([192, 0, 2, 0], 24), Range::Documentation),
    (v4([192, 88, 99, 0], 24), Range::Tunnel),
    (v4([192, 168, 0, 0], 16), Range::Private),
    (v4([198, 18, 0, 0], 15), Range::Benchmarking),
    (v4([198, 51, 100, 0], 24), Range::Documentation),
    (v4([203, 0, 113, 0], 24), Range::Documentation),
    (v4([224, 0, 0, 0], 4), Range::Multicast),
    (v4([255, 255, 255, 255], 32), Range::Broadcast),
    (v4([240, 0, 0, 0], 4), Range::Reserved),
];

/// Refused IPv6 ranges. What is in none of them is refused too unless it is global unicast (`2000::/3`).
const V6: &[(Ipv6Net, Range)] = &[
    (v6([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254], 128), Range::Metadata),
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 128), Range::Unspecified),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), Range::Loopback),
    (v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96), Range::Embedded),
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 96), Range::Embedded),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), Range::LinkLocal),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), Range::UniqueLocal),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), Range::UniqueLocal),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), Range::Multicast),
    (v6([0x2001, 0x0db8, 0, 0, 0, 0, 0, 0], 32), Range::Documentation),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), Range::Documentation),
    (v6([0x2001, 0x0002, 0, 0, 0, 0, 0, 0], 48), Range::Benchmarking),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), Range::Tunnel),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), Range::Reserved),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), Range::Tunnel),
];

const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);
const NAT64: Ipv6Net = v6([0x0064, 0xff9b, 0, 0, 0, 0, 0, 0], 96);
const MAPPED: Ipv6Net = v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96);
const COMPATIBLE: Ipv6Net = v6([0, 0, 0, 0, 0, 0, 0, 0], 96);

const fn v4(octets: [u8; 4], length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::from_octets(octets), length)
}

const fn v6(groups: [u16; 8], length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::from_segments(groups), length)
}

/// Why `ip` is refused without an exception, if it is.
fn refusal(ip: IpAddr) -> Option<Range> {
    match ip {
        IpAddr::V4(ip) => V4.iter().find(|(net, _)| net.contains(&ip)).map(|(_, what)| *what),
        // A translator hands these to IPv4: what counts is the address inside.
        IpAddr::V6(ip) if NAT64.contains(&ip) => refusal(IpAddr::V4(embedded(ip)?)),
        IpAddr::V6(ip) => V6
            .iter()
            .find(|(net, _)| net.contains(&ip))
            .map(|(_, what)| *what)
            .or_else(|| (!GLOBAL_V6.contains(&ip)).then_some(Range::Reserved)),
    }
}

/// Whether a URL says by itself that it is on this machine: an address of the loopback interface, or `localhost`.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// The IPv4 address in the last 32 bits of a mapped, compatible or NAT64 address.
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    // `::` and `::1` are not IPv4 addresses in disguise.
    if ip.is_unspecified() || ip.is_loopback() {
        return None;
    }
    let [.., a, b, c, d] = ip.octets();
    [MAPPED, COMPATIBLE, NAT64].iter().any(|net| net.contains(&ip)).then(|| Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each URL with the kind of refusal, or none.
    const URLS: &[(&str, Option<&str>)] = &[
        ("https://example.com/hook", None),
        ("http://example.com:8080/hook?a=b#c", None),
        ("wss://example.com/audio", None),
        ("ws://example.com/audio", None),
        ("https://8.8.8.8/", None),
        ("https://[2606:4700:4700::1111]/", None),
        ("https://[64:ff9b::808:808]/", None),
        ("https://localhost.example.com/", None),
        ("https://100.63.255.255/", None),
        ("https://100.128.0.0/", None),
        ("https://172.15.255.255/", None),
        ("https://172.32.0.0/", None),
        ("https://192.167.255.255/", None),
        ("https://11.0.0.0/", None),
        ("https://223.255.255.255/", None),
        ("ftp://example.com/", Some("scheme")),
        ("file:///etc/passwd", Some("scheme")),
        ("gopher://example.com/", Some("scheme")),
        ("data:text/plain,hello", Some("scheme")),
        ("https://user@example.com/", Some("user")),
        ("https://user:word@example.com/", Some("user")),
        ("https://:word@example.com/", Some("user")),
        ("http://localhost/", Some("loopback")),
        ("http://LOCALHOST./", Some("loopback")),
        ("http://a.localhost/", Some("loopback")),
        ("http://ip6-localhost/", Some("loopback")),
        ("http://metadata.google.internal/computeMetadata/v1/", Some("metadata")),
        ("http://127.0.0.1/", Some("loopback")),
        ("http://127.1/", Some("loopback")),
        ("http://127.0.0.1./", Some("loopback")),
        ("http://2130706433/", Some("loopback")),
        ("http://0x7f000001/", Some("loopback")),
        ("http://0177.0.0.1/", Some("loopback")),
        ("http://017700000001/", Some("loopback")),
        ("http://0x7f.1/", Some("loopback")),
        ("http://①②⑦.0.0.1/", Some("loopback")),
        ("http://127。0。0。1/", Some("loopback")),
        ("http://127.255.255.254/", Some("loopback")),
        ("http://%31%32%37.0.0.1/", Some("loopback")),
        ("http://0/", Some("unspecified")),
        ("http://0.0.0.0/", Some("unspecified")),
        ("http://10.0.0.1/", Some("private")),
        ("http://10.255.255.255/", Some("private")),
        ("http://172.16.0.1/", Some("private")),
        ("http://172.31.255.255/", Some("private")),
        ("http://192.168.0.1/", Some("private")),
        ("http://100.64.0.1/", Some("carrier")),
        ("http://100.127.255.255/", Some("carrier")),
        ("http://169.254.0.1/", Some("link-local")),
        ("http://169.254.169.254/latest/meta-data/", Some("metadata")),
        ("http://100.100.100.200/", Some("metadata")),
        ("http://168.63.129.16/", Some("metadata")),
        ("http://2852039166/", Some("metadata")),
        ("http://192.0.0.192/", Some("reserved")),
        ("http://192.0.2.1/", Some("documentation")),
        ("http://198.51.100.1/", Some("documentation")),
        ("http://203.0.113.1/", Some("documentation")),
        ("http://198.18.0.1/", Some("benchmarking")),
        ("http://198.19.255.255/", Some("benchmarking")),
        ("http://192.88.99.1/", Some("tunnel")),
        ("http://224.0.0.1/", Some("multicast")),
        ("http://239.255.255.255/", Some("multicast")),
        ("http://240.0.0.1/", Some("reserved")),
        ("http://255.255.255.255/", Some("broadcast")),
        ("http://[::]/", Some("unspecified")),
        ("http://[::1]/", Some("loopback")),
        ("http://[0:0:0:0:0:0:0:1]/", Some("loopback")),
        ("http://[::ffff:127.0.0.1]/", Some("inside")),
        ("http://[::ffff:7f00:1]/", Some("inside")),
        ("http://[::ffff:8.8.8.8]/", Some("inside")),
        ("http://[::127.0.0.1]/", Some("inside")),
        ("http://[64:ff9b::7f00:1]/", Some("loopback")),
        ("http://[64:ff9b::a9fe:a9fe]/", Some("metadata")),
        ("http://[64:ff9b:1::a00:1]/", Some("reserved")),
        ("http://[fe80::1]/", Some("link-local")),
        ("http://[fec0::1]/", Some("unique local")),
        ("http://[fc00::1]/", Some("unique local")),
        ("http://[fd12:3456::1]/", Some("unique local")),
        ("http://[fd00:ec2::254]/", Some("metadata")),
        ("http://[ff02::1]/", Some("multicast")),
        ("http://[2001:db8::1]/", Some("documentation")),
        ("http://[3fff::1]/", Some("documentation")),
        ("http://[2001:2::1]/", Some("benchmarking")),
        ("http://[2001:0:53aa:64c::1]/", Some("tunnel")),
        ("http://[2001:10::1]/", Some("reserved")),
        ("http://[2002:7f00:1::1]/", Some("tunnel")),
        ("http://[2002:808:808::1]/", Some("tunnel")),
        ("http://[100::1]/", Some("reserved")),
        ("http://[5f00::1]/", Some("reserved")),
        ("http://[4000::1]/", Some("reserved")),
    ];

    #[test]
    fn every_spelling_of_a_private_address_is_refused_and_public_ones_are_not() {
        let policy = Policy::default();
        for (text, want) in URLS {
            let url = Url::parse(text).unwrap();
            match (policy.check_url(&url), want) {
                (Ok(()), None) => {}
                (Err(refused), Some(word)) if refused.to_string().contains(word) => {}
                (got, want) => panic!("{text}: expected {want:?}, got {got:?}"),
            }
        }
    }

    #[test]
    fn the_operator_opens_ranges_and_nothing_beside_them() {
        let policy = Policy::new(["127.0.0.0/8", " 10.1.0.0/16 ", "fd00::/8", "192.168.7.7"]).unwrap();
        for open in [
            "http://127.0.0.1/",
            "http://localhost:9/",
            "http://[::ffff:127.0.0.1]/",
            "http://[64:ff9b::a01:1]/",
            "http://10.1.2.3/",
            "ws://[fd00::1]/",
            "http://192.168.7.7/",
        ] {
            assert_eq!(policy.check_url(&Url::parse(open).unwrap()), Ok(()), "{open}");
        }
        for shut in ["http://10.2.0.1/", "http://[::1]/", "http://192.168.7.8/", "http://169.254.169.254/"] {
            assert!(policy.check_url(&Url::parse(shut).unwrap()).is_err(), "{shut}");
        }
        let v6 = Policy::new(["::1/128"]).unwrap();
        assert_eq!(v6.check_url(&Url::parse("http://localhost/").unwrap()), Ok(()));
        assert!(v6.check_url(&Url::parse("http://127.0.0.1/").unwrap()).is_err());
    }

    #[test]
    fn bad_ranges_are_named() {
        for bad in ["", "127.0.0.0/99", "ten", "10.0.0/8", "localhost"] {
            let error = Policy::new(["10.0.0.0/8", bad]).unwrap_err();
            assert_eq!(error.text, bad);
            assert!(error.to_string().contains("expected CIDR"), "{error}");
        }
    }
}
