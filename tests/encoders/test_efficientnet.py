import pytest
import timm
import torch

from rar_agent.encoders.builtin import read_weights
from rar_agent.encoders.efficientnet import EfficientNetLite2


@pytest.fixture(scope="module")
def network():
    return EfficientNetLite2(read_weights())


@pytest.fixture(scope="module")
def timms(network):
    """Timm's network with the same weights: its layers come in the same order."""
    found = timm.create_model("tf_efficientnet_lite2", num_classes=0).eval()
    values = list(network.state_dict().values())
    ordered = found.state_dict()
    assert [value.shape for value in ordered.values()] == [value.shape for value in values]
    found.load_state_dict(dict(zip(ordered, values, strict=True)))
    return found


@pytest.mark.parametrize("size", [(260, 260), (261, 243), (33, 64)])
def test_equals_timms_to_the_bit(network, timms, size):
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    for layout in (torch.contiguous_format, torch.channels_last):
        batch = images.contiguous(memory_format=layout)
        with torch.inference_mode():
            assert torch.equal(network(batch), timms(batch))


def test_all_weights_are_those_of_the_file(network):
    state = read_weights()
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name]), name
    assert {name for name in state if name not in network.state_dict()} == {
        "_fc.weight",
        "_fc.bias",
    }


def test_a_missing_weight_is_no_random_one():
    state = read_weights()
    del state["_blocks.7._bn1.running_var"]
    with pytest.raises(RuntimeError, match="running_var"):
        EfficientNetLite2(state)
