import pytest
import timm
import torch

from rar_agent.encoders.builtin import read_weights
from rar_agent.encoders.efficientnet import EfficientNetLite2


@pytest.fixture(scope="module")
def network():
    return EfficientNetLite2(read_weights())


@pytest.fixture(scope="module")
def timms():
    """Timm's network with the same weights: its layers come in the same order."""
    found = timm.create_model("tf_efficientnet_lite2", num_classes=0).eval()
    values = [value for name, value in read_weights().items() if not name.startswith("_fc.")]
    ordered = found.state_dict()
    assert [value.shape for value in ordered.values()] == [value.shape for value in values]
    found.load_state_dict(dict(zip(ordered, values, strict=True)))
    return found


@pytest.mark.parametrize("size", [(260, 260), (261, 243), (33, 64)])
def test_equals_timms_but_for_rounding(network, timms, size):
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    for layout in (torch.contiguous_format, torch.channels_last):
        batch = images.contiguous(memory_format=layout)
        with torch.inference_mode():
            expected = timms(batch)
            largest = expected.abs().max()
            assert (network(batch) - expected).abs().max() <= 1e-5 * largest


def test_images_that_are_given_stay_as_they_are(network):
    images = torch.rand(1, 3, 64, 64)
    before = images.clone()
    with torch.inference_mode():
        network(images)
    assert torch.equal(images, before)


def test_a_missing_weight_is_no_random_one():
    state = read_weights()
    del state["_blocks.7._bn1.running_mean"]
    with pytest.raises(RuntimeError, match=r"_blocks\.7\._depthwise_conv"):
        EfficientNetLite2(state)
