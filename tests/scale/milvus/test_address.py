import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rar_agent.addresses import without_user
from rar_agent.errors import ConfigurationError, InputError
from rar_agent.memory import memory_folder
from rar_agent.memory.format.origin import origin_of
from rar_agent.scale.milvus.address import parse_address
from rar_agent.settings import load_settings
from rar_agent.telemetry import redacted

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,20}", fullmatch=True)
HOSTS = st.one_of(
    st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z]{2,5})?", fullmatch=True),
    st.sampled_from(["127.0.0.1", "[::1]", "[2001:db8::7]"]),
)
SECRETS = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=20)


def quoted(text):
    from urllib.parse import quote

    return quote(text, safe="")


@given(
    tls=st.booleans(),
    user=st.none() | st.tuples(SECRETS, SECRETS),
    host=HOSTS,
    port=st.none() | st.integers(1, 65535),
    database=st.none() | NAMES,
    name=NAMES,
)
def test_an_address_is_read_as_it_is_written(tls, user, host, port, database, name):
    place = f"{host}{'' if port is None else f':{port}'}/{f'{database}/' if database else ''}{name}"
    scheme = "milvus+tls" if tls else "milvus"
    given_user = f"{quoted(user[0])}:{quoted(user[1])}@" if user else ""
    found = parse_address(f"{scheme}://{given_user}{place}")
    assert found.host == host.strip("[]")
    assert (found.port, found.name, found.database) == (port or 19530, name, database or "")
    assert found.tls == tls
    if user:
        assert found.token == f"{user[0]}:{user[1]}"
    shown = str(found)
    assert parse_address(shown) == parse_address(shown)
    assert str(parse_address(shown)) == shown
    assert "@" not in shown
    assert "@" not in repr(found)
    assert found.uri.startswith("https://" if tls else "http://")


@given(st.text(max_size=60))
def test_what_is_no_address_is_refused_and_never_a_traceback(text):
    found = None
    with contextlib.suppress(InputError):
        found = parse_address(f"milvus://{text}")
    assert found is None or (found.name and 0 < found.port < 2**16)


@pytest.mark.parametrize(
    "address",
    [
        "milvus://host",
        "milvus://host/",
        "milvus:///birds",
        "milvus://host/a/b/c",
        "milvus://host:0/birds",
        "milvus://host:70000/birds",
        "milvus://host:x/birds",
        "milvus://host/1birds",
        "milvus://host/birds-1",
        "milvus://host/../birds",
        "milvus://host/birds?x=1",
        "milvus://host/birds#x",
        "milvus://ho st/birds",
        f"milvus://host/{'b' * 65}",
    ],
)
def test_these_are_none(address):
    with pytest.raises(InputError, match="is no address"):
        parse_address(address)


@pytest.mark.parametrize(
    "address",
    ["milvus://me:geheimnis@host/b-d", "milvus://me:geheim/nis@host/b/c/d", "milvus://x:geheim?@/"],
)
def test_what_is_refused_is_shown_without_its_password(address):
    with pytest.raises(InputError) as refused:
        parse_address(address)
    assert "geheim" not in str(refused.value)


def test_a_place_that_nothing_speaks_to(tmp_path):
    with pytest.raises(ConfigurationError, match="'redis://' is no place"):
        memory_folder(tmp_path, "redis://host/birds")


def test_a_token_of_the_environment_and_one_of_the_address(monkeypatch):
    monkeypatch.setenv("RAR_MILVUS_TOKEN", "root:fromthere")
    assert parse_address("milvus://hosta/birds").token == "root:fromthere"
    assert parse_address("milvus://me:pw%2F1@hosta/birds").token == "me:pw/1"
    assert parse_address("milvus://apikey@hostb/birds").token == "apikey"


def test_settings_keep_no_password_and_it_is_masked_wherever_it_appears():
    settings = load_settings(memory="milvus://me:sesam%40oeffne@hostc:1/birds")
    assert settings.memory == "milvus://hostc:1/birds"
    assert "sesam" not in repr(settings)
    assert parse_address(settings.memory).token == "me:sesam@oeffne"
    for text in ("sesam@oeffne", "sesam%40oeffne", "me:sesam@oeffne"):
        assert redacted(f"it said {text}.") == "it said [password]."


def test_folders_of_mirrors_are_apart_and_know_no_password(tmp_path):
    folders = {
        memory_folder(tmp_path, address)
        for address in (
            "milvus://hostd/birds",
            "milvus://hostd/db/birds",
            "milvus://hostd:1/birds",
            "milvus+tls://hostd/birds",
        )
    }
    assert len(folders) == 4
    assert {folder.name for folder in folders} == {"birds"}
    one = memory_folder(tmp_path, "milvus://me:parole@hostd/birds")
    assert one in folders
    assert "parole" not in str(one)
    assert "parole" not in origin_of(one).address
    assert not (tmp_path / "mirrors").exists()  # nothing is asked, nothing is made


@given(st.text(max_size=40))
def test_names_of_memories_here_stay_as_they_are(text):
    if "://" not in text:
        assert without_user(text) == text
