"""Where a caller is: what proxies say is believed as far as they are trusted, and addresses have one spelling."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.access.address import UNIX, client_address, is_trusted, networks_of, parse_address, subject_of

TRUSTED = networks_of(["10.0.0.0/8", "fd00::/8"])
OUTSIDE = "203.0.113.7"


@pytest.mark.parametrize("remote", ["203.0.113.7", "2001:db8::1", UNIX, "", "not an address"])
def test_without_proxies_the_peer_is_the_caller_whatever_the_header_says(remote: str) -> None:
    said = [] if remote == UNIX else ["198.51.100.1"]
    assert client_address(remote, said, ()) == remote


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], "10.0.0.1"),
        ([OUTSIDE], OUTSIDE),
        ([f"6.6.6.6, {OUTSIDE}"], OUTSIDE),
        ([f"6.6.6.6,{OUTSIDE} , 10.9.9.9"], OUTSIDE),
        (["6.6.6.6", OUTSIDE, "10.9.9.9"], OUTSIDE),
        (["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        ([f"{OUTSIDE}:4711"], OUTSIDE),
        (["[2001:db8::5]:443"], "2001:db8::5"),
        (["2001:DB8:0::5"], "2001:db8::5"),
        (["[2001:db8::5]"], "2001:db8::5"),
        ([f"::ffff:{OUTSIDE}"], OUTSIDE),
        (["::ffff:10.3.3.3, ::ffff:10.4.4.4"], "10.3.3.3"),
        (["unknown"], "10.0.0.1"),
        ([f"{OUTSIDE}, garbage, 10.2.2.2"], "10.2.2.2"),
        ([f"{OUTSIDE}, , 10.2.2.2"], "10.2.2.2"),
        ([f"{OUTSIDE},"], "10.0.0.1"),
        ([""], "10.0.0.1"),
    ],
)
def test_the_caller_is_the_rightmost_address_that_is_not_trusted(values: list[str], expected: str) -> None:
    assert client_address("10.0.0.1", values, TRUSTED) == expected


def test_a_peer_that_is_not_trusted_is_the_caller_itself() -> None:
    assert client_address(OUTSIDE, ["10.0.0.1"], TRUSTED) == OUTSIDE
    assert client_address("::ffff:203.0.113.7", ["1.1.1.1"], TRUSTED) == OUTSIDE


def test_a_proxy_on_a_unix_socket_is_trusted_without_being_configured() -> None:
    assert client_address(UNIX, [OUTSIDE], ()) == OUTSIDE
    assert client_address(UNIX, [], TRUSTED) == UNIX
    assert client_address(UNIX, ["garbage"], TRUSTED) == UNIX
    assert is_trusted(UNIX, ())
    assert not is_trusted("", TRUSTED)
    assert not is_trusted("unix.example", TRUSTED)


def test_an_ipv4_peer_in_ipv6_clothes_is_trusted_as_what_it_is() -> None:
    assert is_trusted("::ffff:10.0.0.1", TRUSTED)
    assert client_address("::ffff:10.0.0.1", [OUTSIDE], TRUSTED) == OUTSIDE


@pytest.mark.parametrize(
    "text",
    ["", " ", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.4:", "1.2.3.4:x", "1.2.3.4:99999", "[::1", "::1]", "[::1]x", "[::1]:", "[1.2.3.4]:1",
     "a" * 100, "::1:::2", "localhost", "1.2.3.4/8", "\x00", "١.2.3.4", "1.2.3.4:²"],
)  # fmt: skip
def test_what_is_no_address_is_none(text: str) -> None:
    assert parse_address(text) is None


def test_a_zone_is_cut() -> None:
    assert str(parse_address("fe80::1%eth0")) == "fe80::1"


@pytest.mark.parametrize(
    ("ip", "subject"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        (UNIX, UNIX),
        ("", ""),
        ("a:b", "a:b"),
    ],
)
def test_ipv6_callers_are_counted_by_their_64(ip: str, subject: str) -> None:
    assert subject_of(ip) == subject


addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
entries = st.one_of(addresses, addresses.map(lambda a: f"[{a}]:80" if ":" in a else f"{a}:80"), st.text(max_size=20), st.just("10.0.0.9"))


@given(
    remote=st.one_of(addresses, st.just("10.0.0.1"), st.just(UNIX)),
    values=st.lists(st.lists(entries, max_size=6).map(",".join), max_size=4),
)
def test_the_answer_is_the_peer_or_one_of_the_entries_and_always_an_address(remote: str, values: list[str]) -> None:
    found = client_address(remote, values, TRUSTED)
    if found == UNIX:
        assert remote == UNIX
        return
    address = ipaddress.ip_address(found)
    assert str(address) == found
    said = {str(parse_address(entry)) for value in values for entry in value.split(",")}
    assert found in said or found == str(parse_address(remote))
    if not is_trusted(remote, TRUSTED):
        assert found == str(parse_address(remote))


@given(forged=st.lists(entries, max_size=10), caller=st.ip_addresses(v=4).filter(lambda a: a not in TRUSTED[0]), hops=st.integers(0, 5))
def test_nothing_that_a_caller_writes_itself_changes_its_address(forged: list[str], caller: ipaddress.IPv4Address, hops: int) -> None:
    line = ",".join([*forged, str(caller), *["10.0.0.2"] * hops])
    assert client_address("10.0.0.1", [line], TRUSTED) == str(caller)


@given(st.text(max_size=80))
def test_any_text_is_read_without_an_error(text: str) -> None:
    parse_address(text)
    subject_of(text)
    client_address("10.0.0.1", [text], TRUSTED)


def test_a_header_of_thousands_of_trusted_hops_is_not_walked_to_its_end() -> None:
    assert client_address("10.0.0.1", ["1.1.1.1," + "10.0.0.2," * 5000 + "10.0.0.3"], TRUSTED) == "10.0.0.2"
