"""One peer's way to encode photos, as its documentation says, in a process of its own.

    python -m benchmarks.encode_peers '{"way": "open_clip", "batch": 32, ...}'

Runs in environments without rar_agent too. What is made ready once is not counted; reading files
with two workers where the peer has workers, the forward pass and writing a .npy are. See `encode`.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks import process

Found = dict[str, Any]
WORKERS = 2
_READY = [Image.new("RGB", (640, 480))] * 4


class Files(torch.utils.data.Dataset[torch.Tensor]):
    """Photos as tensors."""

    def __init__(self, paths: list[Path], transform: Callable[[Image.Image], torch.Tensor]) -> None:
        self._paths, self._transform = paths, transform

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number: int) -> torch.Tensor:
        with Image.open(self._paths[number]) as image:
            return self._transform(image.convert("RGB"))


def open_clip(given: Found) -> Found:
    """Its README's loop: its transform, `encode_image`, rows of length 1."""
    made: Any = importlib.import_module("open_clip")
    model, _, transform = made.create_model_and_transforms(
        "ViT-B-32", pretrained=given["open_clip"], weights_only=True
    )
    return _loop(given, model.eval().encode_image, transform)


def timm(given: Found) -> Found:
    """The builtin encoder's network by timm, with the transform that timm has for it."""
    made: Any = importlib.import_module("timm")
    model = made.create_model("tf_efficientnet_lite2", num_classes=0).eval()
    model.load_state_dict(torch.load(given["timm"], weights_only=True))
    config = made.data.resolve_model_data_config(model)
    return _loop(given, model, made.data.create_transform(**config))


def _loop(
    given: Found,
    features: Callable[[torch.Tensor], torch.Tensor],
    transform: Callable[[Image.Image], torch.Tensor],
) -> Found:
    with torch.inference_mode():
        features(torch.stack([transform(image) for image in _READY]))
        photos = _photos(given)
        spending = process.Spending()
        loader = torch.utils.data.DataLoader(
            Files(photos, transform), batch_size=given["batch"], num_workers=WORKERS
        )
        rows = []
        for batch in loader:
            found = features(batch)
            rows.append(found / found.norm(dim=-1, keepdim=True))
        np.save(given["vectors"], torch.cat(rows).numpy())
        del loader
    return spending.end() | {"images": len(photos)}


def sentence_transformers(given: Found) -> Found:
    """`encode` of opened images, as its example of image search; it has no workers to read."""
    made: Any = importlib.import_module("sentence_transformers")
    model = made.SentenceTransformer(given["transformers"], device="cpu")
    model.encode(_READY)
    photos = _photos(given)
    spending = process.Spending()
    rows = model.encode(
        [Image.open(photo) for photo in photos],
        batch_size=given["batch"],
        normalize_embeddings=True,
        show_progress_bar=False,
    )
    np.save(given["vectors"], rows)
    return spending.end() | {"images": len(photos)}


def clip_retrieval(given: Found) -> Found:
    """Its `clip_inference` on a folder of files; it writes .npy and Parquet by itself.

    Its workers import all of it anew, which takes seconds: time begins with the first batch that
    they hand over, and the reading of that one is a present.
    """
    inference: Any = importlib.import_module("clip_retrieval.clip_inference.main")
    mapper: Any = importlib.import_module("clip_retrieval.clip_inference.mapper")
    model = f"open_clip:ViT-B-32/{given['open_clip']}"
    # it keeps what it loaded once
    mapper.load_clip(
        clip_model=model, use_jit=False, warmup_batch_size=given["batch"], clip_cache_path=None
    )
    begun: list[float] = []
    forward = mapper.ClipMapper.__call__

    def noted(self: Any, item: Any) -> Any:  # noqa: ANN401
        begun.append(time.perf_counter())
        return forward(self, item)

    mapper.ClipMapper.__call__ = noted
    with tempfile.TemporaryDirectory() as to:
        spending = process.Spending()
        inference.main(
            input_dataset=given["folder"],
            output_folder=to,
            batch_size=given["batch"],
            num_prepro_workers=WORKERS,
            enable_text=False,
            clip_model=model,
        )
        found = spending.end() | {"seconds": time.perf_counter() - begun[0]}
        (part,) = Path(to, "img_emb").glob("*.npy")
        rows = np.load(part, allow_pickle=False)
        (table,) = Path(to, "metadata").glob("*.parquet")
        pandas: Any = importlib.import_module("pandas")
        order = np.argsort(pandas.read_parquet(table)["image_path"].to_numpy())
        np.save(given["vectors"], rows[order].astype(np.float32))
    return found | {"images": len(rows)}


WAYS: dict[str, Callable[[Found], Found]] = {
    "open_clip": open_clip,
    "timm": timm,
    "sentence-transformers": sentence_transformers,
    "clip-retrieval": clip_retrieval,
}


def _photos(given: Found) -> list[Path]:
    return sorted(path for path in Path(given["folder"]).rglob("*.jpg"))


def main() -> None:
    """Measure what the argument says."""
    given: Found = json.loads(sys.argv[1])
    process.tell(WAYS[given["way"]](given) | {"threads": torch.get_num_threads()})


if __name__ == "__main__":
    main()
