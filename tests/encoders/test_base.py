import pytest

from rar_agent.encoders import Fingerprint
from rar_agent.errors import FingerprintMismatchError

DETAILS = {"architecture": "a", "weights": "1234", "dimension": "8"}


def test_identity_ignores_order_and_precision():
    same = Fingerprint(dict(reversed(DETAILS.items())), "bf16")
    assert Fingerprint(DETAILS, "fp32").identity == same.identity
    Fingerprint(DETAILS).require(same, "Memory 'x'", "")


def test_a_mismatch_says_what_differs_and_what_to_run():
    other = Fingerprint({**DETAILS, "weights": "9999"})
    with pytest.raises(FingerprintMismatchError) as error:
        Fingerprint(DETAILS).require(other, "Memory 'x'", "Run this.")
    assert "weights (1234 there, 9999 here)" in str(error.value)
    assert "architecture" not in str(error.value)
    assert "Run this." in str(error.value)
