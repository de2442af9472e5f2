import json
import socket
import warnings

import pytest

from rar_agent.errors import ConfigurationError
from rar_agent.models import Question, load_chat_model
from rar_agent.models.prices import FREE, FixedPrice, ListedPrice
from rar_agent.prompts import Message
from rar_agent.settings import TokenPrice, load_settings
from rar_agent.types import Usage, sum_usage
from tests.openai_server import Reply

QUESTION = Question((Message("user", ("Which?",)),))
OPENAI = "https://api.openai.com/v1/"


def told(sent, received, **details):
    return {
        "input_tokens": sent,
        "output_tokens": received,
        "total_tokens": sent + received,
        "input_token_details": details,
    }


def completion(usage, **fields):
    message = {"role": "assistant", "content": "A"}
    return Reply(
        body=json.dumps(
            {
                "id": "1",
                "object": "chat.completion",
                "created": 1,
                "model": "m",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": usage,
                **fields,
            }
        ).encode()
    )


def usage_of(server, **options):
    return load_chat_model(load_settings(base_url=server.url, **options)).ask(QUESTION).usage


def test_listed_prices_need_no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a price was fetched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    price = ListedPrice("gpt-4o", OPENAI)
    assert price.known
    assert price.dollars(told(1_000_000, 100_000)) == pytest.approx(2.5 + 1.0)


def test_tokens_that_the_provider_had_cached_cost_what_is_listed_for_them():
    price = ListedPrice("gpt-4o", OPENAI)
    plain = price.dollars(told(1_000, 0))
    assert price.dollars(told(1_000, 0, cache_read=800)) == pytest.approx(plain * 0.6)
    assert price.dollars(told(1_000, 0, cache_read=None)) == plain


def test_a_service_tier_has_its_own_price():
    price = ListedPrice("gpt-5-mini", OPENAI)
    usual = price.dollars(told(1_000, 100))
    assert price.dollars(told(1_000, 100), "default") == usual
    flex = price.dollars(told(1_000, 100, flex=1_000, flex_cache_read=0), "flex")
    assert flex == pytest.approx(usual / 2)


@pytest.mark.parametrize(
    "price",
    [
        ListedPrice("no-such-model", OPENAI),
        ListedPrice("gpt-4o", "http://127.0.0.1:8000/v1"),  # the name alone proves nothing
        ListedPrice("llava", provider="ollama"),
        ListedPrice("text-embedding-3-small", OPENAI),  # no output is listed
        ListedPrice("phi-4-reasoning:free", provider="azure"),  # listed, without any price
    ],
)
def test_an_unknown_price_is_never_zero(price):
    assert not price.known
    assert price.dollars(told(1_000, 100)) is None


def test_counts_that_cannot_be_have_no_cost():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ListedPrice("gpt-4o", OPENAI).dollars(told(10, 1, cache_read=20)) is None


def test_a_server_of_ones_own_costs_nobody_knows_what(server):
    usage = usage_of(server, model="gpt-4o")
    assert (usage.input_tokens, usage.output_tokens, usage.cost) == (300, 12, None)


@pytest.mark.parametrize("name", ["m", "openai:m"])
def test_a_price_of_the_users_own_under_either_name(server, name):
    prices = {name: {"input": 10, "output": 100}}
    usage = usage_of(server, model="m", prices=prices)
    assert usage.cost == pytest.approx(300 * 10e-6 + 12 * 100e-6)


def test_prices_are_read_from_the_file_and_the_environment(monkeypatch, tmp_path):
    (tmp_path / "rar.toml").write_text('prices."openai:m" = {input = 0.25, output = 2.0}')
    assert load_settings().prices == {"openai:m": TokenPrice(input=0.25, output=2)}
    again = load_settings(load_settings(), k=3)
    assert again.prices == {"openai:m": TokenPrice(input=0.25, output=2)}
    monkeypatch.setenv("RAR_PRICES", '{"m": {"input": 1, "output": -1}}')
    with pytest.raises(ConfigurationError, match="RAR_PRICES"):
        load_settings()
    monkeypatch.setenv("RAR_PRICES", "m=1")
    with pytest.raises(ConfigurationError, match=r"environment .*prices.* as JSON"):
        load_settings()


def test_what_a_server_tells_beside_the_tokens_counts(server, monkeypatch):
    server.script = [
        completion(
            {
                "prompt_tokens": 1_000,
                "completion_tokens": 100,
                "total_tokens": 1_100,
                "prompt_tokens_details": {"cached_tokens": 600},
            },
            service_tier="flex",
        )
    ]
    asked = load_chat_model(load_settings(model="gpt-5-mini", base_url=server.url))
    # As if OpenAI had answered: its URL is all that makes the difference.
    asked._price = ListedPrice("gpt-5-mini", OPENAI)
    expected = (400 * 0.25 + 600 * 0.025 + 100 * 2.0) / 2 / 1_000_000
    assert asked.ask(QUESTION).usage.cost == pytest.approx(expected)


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": 0, "completion_tokens": 0}])
def test_a_server_that_does_not_count_is_free_only_at_no_price(server, usage):
    server.script = [completion(usage)]
    paid, free = {"m": {"input": 1, "output": 1}}, {"m": {"input": 0, "output": 0}}
    assert usage_of(server, model="m", prices=paid).cost is None
    assert usage_of(server, model="m", prices=free).cost == 0


def test_a_model_in_this_process_is_free():
    assert FREE.dollars(told(1_000, 100)) == FREE.dollars(None) == 0
    assert FixedPrice(TokenPrice(input=1, output=0)).dollars(None) is None


def test_a_sum_with_something_unknown_is_unknown():
    known, unknown = Usage(input_tokens=1, cost=0.5), Usage(output_tokens=2, cost=None, cached=1)
    assert sum_usage([known, known]) == Usage(input_tokens=2, cost=1.0)
    assert sum_usage([known, unknown]) == Usage(
        input_tokens=1, output_tokens=2, cost=None, cached=1
    )
    assert sum_usage([]).cost == 0
