//! Which addresses the server may be made to call (RFC 6890; OAuth client-id-metadata-document §6).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is one that a stranger must not be able to make this server call: loopback, private, link-local
/// (cloud metadata among them), carrier NAT, multicast, documentation, and IPv6 forms that carry any of these.
pub(super) fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_special_v4(v4),
        IpAddr::V6(v6) => is_special_v6(v6),
    }
}

fn is_special_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b))
}

fn is_special_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // Global unicast is 2000::/3; of that, tunnels, documentation and 2001::/23, which IANA keeps for protocols, are left out.
    let carries_v4 = address.to_ipv4_mapped().is_some() || segments[0] == 0x2002;
    let global = segments[0] & 0xe000 == 0x2000;
    let protocols = segments[0] == 0x2001 && segments[1] < 0x200;
    !global || carries_v4 || protocols || segments[..2] == [0x2001, 0xdb8] || segments[0] == 0x3fff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_special_ones_in_every_spelling() {
        let special = [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "198.18.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "3fff::1",
            "5f00::1",
            "100::1",
            "64:ff9b:1::1",
            "192.0.0.170",
            "192.88.99.1",
            "203.0.113.1",
            "ff02::1",
            "::127.0.0.1",
        ];
        for text in special {
            assert!(is_special(text.parse().unwrap()), "{text}");
        }
        for text in
            ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "100.128.0.1", "2001:200::1", "2001:4860:4860::8888"]
        {
            assert!(!is_special(text.parse().unwrap()), "{text}");
        }
    }
}
