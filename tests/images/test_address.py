"""Which URLs and addresses are of the open internet, by table."""

import pytest

from rar_agent.errors import ImageError
from rar_agent.images.address import is_public, read_url

NOT_PUBLIC = [
    *("0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.254"),
    *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1"),
    *("100.64.0.1", "100.127.255.255", "100.100.100.200"),  # shared; Alibaba's metadata
    *("169.254.0.1", "169.254.169.254", "169.254.170.2", "169.254.0.23"),  # clouds' metadata
    *("192.0.0.1", "192.0.0.9", "192.0.0.170", "192.0.0.192"),  # the last: Oracle's metadata
    "168.63.129.16",  # Azure's
    *("192.0.2.1", "198.51.100.1", "203.0.113.1"),  # documentation
    *("192.31.196.1", "192.52.193.1", "192.88.99.1", "192.175.48.1", "198.18.0.1", "198.19.1.1"),
    *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::2"),
    *("fe80::1", "fe80::1%eth0", "fe80::1%1", "febf::1", "fec0::1"),
    *("fc00::1", "fd00:ec2::254", "fd20:ce::254", "fd00:42::42"),  # clouds' metadata
    *("ff02::1", "ff0e::1"),
    *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:8.8.8.8"),  # mapped
    *("::127.0.0.1", "::8.8.8.8", "::ffff:0:127.0.0.1", "::ffff:0:808:808"),  # compatible; SIIT
    *("64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b::10.0.0.1", "64:ff9b::a83f:8110"),
    *("64:ff9b:1::7f00:1", "64:ff9b:1::808:808", "64:ff9b:1:fffe::1"),  # local NAT64
    *("2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:808:808::1"),  # 6to4
    *("2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),  # Teredo
    *("2001:2::1", "2001:10::1", "2001:20::1", "2001:1ff::1"),
    *("2606:4700::5efe:7f00:1", "2606:4700::200:5efe:7f00:1", "fe80::5efe:a00:1"),  # ISATAP
    *("2001:db8::1", "3fff::1", "3fff:fff::1"),  # documentation
    *("100::1", "100:0:0:1::1", "5f00::1", "2620:4f:8000::1", "4000::1", "1::1"),
    *("", "localhost", "127.1", "0177.0.0.1", "2130706433", "8.8.8.8%eth0", "2606:4700::1%eth0"),
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_is_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0"),
        *("169.253.255.255", "192.0.1.1", "168.63.129.17", "223.255.255.255", "198.20.0.1"),
        *("2606:4700::1111", "2a00:1450:4001:80b::200e", "2001:4860:4860::8888", "2001:200::1"),
        *("64:ff9b::808:808", "64:ff9b::8.8.8.8"),  # how hosts without IPv4 see 8.8.8.8
    ],
)
def test_what_is_public(address):
    assert is_public(address)


def test_the_registries_of_ietf_are_refused_whatever_python_says():
    """Of Python's own networks, none is public here; its releases disagree on some."""
    import ipaddress

    for constants in (ipaddress._IPv4Constants, ipaddress._IPv6Constants):
        for network in constants._private_networks:
            for address in (network[0], network[-1]):
                assert not is_public(str(address)), address


REFUSED = [
    # schemes
    *("http://example.org/a", "ftp://example.org/a", "file:///etc/passwd", "//example.org/a"),
    *(
        "data:image/png;base64,AAAA",
        "gopher://example.org/",
        "https:example.org",
        "https:/a.example",
    ),
    *("https://", "https:///x", "https://?x", "", "example.org/a.png", "jar:https://example.org/a"),
    # userinfo
    *("https://user:pw@example.org/a", "https://user@example.org", "https://@example.org/"),
    *("https://example.org@127.0.0.1/", "https://127.0.0.1@example.org/", "https://a%40b.example/"),
    # IPv4 in every form of inet_aton
    *("https://2130706433/", "https://017700000001/", "https://0x7f000001/", "https://0x7f.1/"),
    *("https://127.1/", "https://127.0.1/", "https://0177.0.0.1/", "https://127.0.0.01/"),
    *("https://0x7f.0x0.0x0.0x1/", "https://0/", "https://0x/", "https://1.2.3.4.5/"),
    *("https://127.0.0.0x1/", "https://256.1.1.1/", "https://a.0x7f/", "https://a.1/"),
    *("https://4294967297/", "https://127.0.0.1.0x/"),
    # IPv6 with scopes, half brackets, IPvFuture
    *("https://[fe80::1%25eth0]/", "https://[fe80::1%eth0]/", "https://[::1/", "https://::1/"),
    *("https://[v1.a]/", "https://[]/", "https://[::1]x/", "https://[127.0.0.1:1]/"),
    *("https://[8.8.8.8]/", "https://[ffff]/"),
    # names that are not full, or local by their zone
    *("https://localhost/", "https://metadata/", "https://a/", "https://x.localhost/"),
    *("https://printer.local/", "https://metadata.google.internal/", "https://a.internal/"),
    *("https://METADATA.Google.InternaL/", "https://router.home.arpa/"),
    *("https://metadata.packet.net/", "https://metadata.platformequinix.com/"),
    # dots and labels
    *(
        "https://example.org./",
        "https://localhost./",
        "https://127.0.0.1./",
        "https://.example.org/",
    ),
    *("https://a..example.org/", "https://-a.example.org/", "https://a-.example.org/"),
    *(f"https://{'a' * 64}.org/", f"https://{'a.' * 130}org/", "https://./", "https://../"),
    # other digits, dots and letters
    *(
        "https://127。0。0。1/",
        "https://example。org/",
        "https://example．org/",
        "https://１２７.0.0.1/",
    ),
    *("https://①②⑦.0.0.1/", "https://exämple.org/", "https://ⓔxample.org/", "https://ſ.example/"),
    *(
        "https://a.example\u212a/",
        "https://٠.example/",
        "https://exa\u200bmple.org/",
        "https://a\u00ad.org/",
    ),
    # backslashes, control characters, spaces, percent in hosts
    *("https://example.org\\@127.0.0.1/", "https:\\\\127.0.0.1\\", "https://example.org\\.evil/"),
    *("https://example.org/a b", "https://example.org/\r\nHost: x", "https://exa\tmple.org/"),
    *(
        " https://example.org/",
        "https://example.org/\0",
        "https://example.org/a\n",
        "https://a\x7f.org",
    ),
    *("https://%31%32%37.0.0.1/", "https://127%2e0.0.1/", "https://example.org%00.evil.org/"),
    *("https://example.org/\ud800", "https://example.org;x/", "https://example.org&x/"),
    # ports
    *("https://example.org:0/", "https://example.org:65536/", "https://example.org:99999999/"),
    *("https://example.org:/", "https://example.org:-1/", "https://example.org:4 43/"),
    *("https://example.org:443:443/", "https://example.org:４４３/", "https://example.org:0x1bb/"),
    # a fragment where the host should be; too long
    *(
        "https://#@example.org/",
        f"https://a.org/{'a' * 5_000}",
    ),
]


@pytest.mark.parametrize("url", REFUSED)
def test_urls_that_are_not_plain(url):
    with pytest.raises(ImageError) as error:
        read_url(url)
    str(error.value).encode()
    assert "pw" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("https://example.org", "example.org", 443, "/"),
        ("https://Example.ORG:0443/A.png", "example.org", 443, "/A.png"),
        ("https://example.org:8443/a?b=c&d=%20#e", "example.org", 8443, "/a?b=c&d=%20"),
        ("https://example.org?q", "example.org", 443, "/?q"),
        ("https://example.org#@127.0.0.1/", "example.org", 443, "/"),
        ("https://example.org/@127.0.0.1/x:80", "example.org", 443, "/@127.0.0.1/x:80"),
        ("https://example.org/ä。png?ü", "example.org", 443, "/%C3%A4%E3%80%82png?%C3%BC"),
        ("https://xn--exmple-cua.org/", "xn--exmple-cua.org", 443, "/"),
        ("https://a_b.s3.example/", "a_b.s3.example", 443, "/"),
        ("https://0x7f.example.org/", "0x7f.example.org", 443, "/"),
        ("https://8.8.8.8/", "8.8.8.8", 443, "/"),
        ("https://[2606:4700::1111]:443/a", "2606:4700::1111", 443, "/a"),
    ],
)
def test_how_a_plain_url_is_read(url, host, port, path):
    target = read_url(url)
    assert (target.host, target.port, target.path) == (host, port, path)


def test_messages_leave_out_the_query():
    assert str(read_url("https://example.org/a.png?signature=1")) == "https://example.org/a.png"
    assert str(read_url("https://[2606:4700::1111]:8443/")) == "https://[2606:4700::1111]:8443/"
