//! Which addresses belong to the open network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether anybody on the open network may be reached there. What only this machine, its network or its provider could
/// mean by an address is not: a caller must not reach through us what he cannot reach himself.
pub(super) fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_global_v4(address),
        IpAddr::V6(address) => is_global_v6(address),
    }
}

fn is_global_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    let special = match first {
        // this network, private, loopback, multicast, reserved, broadcast
        0 | 10 | 127 | 224..=255 => true,
        // shared (CGNAT)
        100 => (64..=127).contains(&second),
        // link-local: the clouds' metadata
        169 => second == 254,
        172 => (16..=31).contains(&second),
        // private, protocol assignments, documentation, relays
        192 => matches!((second, third), (168, _) | (0, 0 | 2) | (88, 99)),
        // benchmarks, documentation
        198 => matches!((second, third), (18 | 19, _) | (51, 100)),
        203 => (second, third) == (0, 113),
        _ => false,
    };
    !special
}

/// Global unicast is `2000::/3`; all else (loopback, mapped, NAT64, ULA, link-local, multicast) lies outside of it.
fn is_global_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let special = match first {
        // protocol assignments (Teredo and others carry IPv4), documentation
        0x2001 => second < 0x200 || second == 0xdb8,
        // 6to4
        0x2002 => true,
        // documentation
        0x3fff => second < 0x1000,
        _ => first & 0xe000 != 0x2000,
    };
    !special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_open_network() {
        for address in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:8.8.8.8",
            "::ffff:127.0.0.1",
            "::8.8.8.8",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "100::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "5f00::1",
            "4000::1",
        ] {
            assert!(!is_global(address.parse().unwrap()), "{address}");
        }
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.1.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a00:1450::1",
            "2001:200::1",
            "3fff:1000::1",
        ] {
            assert!(is_global(address.parse().unwrap()), "{address}");
        }
    }
}
