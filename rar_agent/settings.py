"""One typed settings object: defaults < rar.toml < environment RAR_* < arguments."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from platformdirs import user_data_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from rar_agent.addresses import without_user
from rar_agent.errors import ConfigurationError

NOT_SETTINGS = frozenset({"RAR_DATA", "RAR_DEBUG", "RAR_MCP_TOKEN", "RAR_MILVUS_TOKEN"})
"""RAR_ variables that are no settings: RAR_DATA names the images for tests and benchmarks,
RAR_DEBUG makes the command line show tracebacks, RAR_MCP_TOKEN is who `rar-agent mcp` answers,
RAR_MILVUS_TOKEN who asks Milvus."""


MOST_CANDIDATES = 26
"""Options are letters."""


_PROMPTS = {"listwise": "rank@1", "choice": "choice@1", "pairwise": "pairwise@1"}


Scale = Annotated[float, Field(ge=1, le=10)]


class TokenPrice(BaseModel):
    """What a model's tokens cost, in US dollars a million."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: float = Field(ge=0)
    output: float = Field(ge=0)


class Settings(BaseSettings):
    """What can be chosen without touching code.

    Every field is also an environment variable (`RAR_MODEL`) and a key of `rar.toml` in the
    working directory (`model = "openai:..."`).
    """

    model_config = SettingsConfigDict(
        env_prefix="RAR_",
        toml_file="rar.toml",
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=False,
    )

    home: Path = Field(default_factory=lambda: user_data_path("rar-agent", appauthor=False))
    """Where memories, the user's prompts and kept answers live."""
    memory: str = "imagenet-1k"
    """Memory that `recognize` asks by default: a name, or the address of one in Milvus."""
    encoder: str = "auto"
    """For `memory create`: `auto`, `builtin`, `open_clip:MODEL/PRETRAINED`, `open_clip:FOLDER`."""
    device: str = "auto"
    """Torch device of the encoder and of a local model: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`."""
    engine: Literal["auto", "torch", "compile", "openvino"] = "auto"
    """What runs the encoder's image half; `auto`: what `tune` found for it on this machine, else
    `torch`."""
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = "auto"
    """Precision class of the encoder's forward pass; `auto`: lower than `fp32` only where `tune`
    was allowed it and its drift is recorded in the memory."""
    batch_size: int = Field(default=32, ge=1, le=4096)
    """Images encoded at once, at most; `tune` may find fewer to be faster."""
    encode_waiting: int = Field(default=64, ge=1)
    """Images of single recognitions that may be read and wait to be encoded; whoever asks for more
    waits with theirs unread."""
    encode_window_ms: float = Field(default=0, ge=0, le=1_000)
    """Milliseconds that a forward pass waits for more such images while several are asked for."""
    download: bool = False
    """Whether open_clip, local models and detectors may download weights, `datasets` and
    torchvision data sets."""
    evals_data: Path | None = None
    """Folder of the data sets that `eval` reads; default: `evals/data` in `home`."""

    k: int = Field(default=5, ge=1, le=MOST_CANDIDATES)
    """Candidates, that is distinct categories, to retrieve and rank."""
    exemplars: int = Field(default=3, ge=0, le=16)
    """Nearest exemplars shown for each candidate."""
    skip_ranking_at: float | None = Field(default=None, ge=0, le=1.01)
    """Calibrated probability from which the model is not asked; above 1: always ask; default: what
    `memory calibrate` found, else 0.98."""
    abstain_below: float = Field(default=0.2, ge=0, le=1)
    """Calibrated probability under which the answer is abstained."""
    error_rate: float | None = Field(default=None, gt=0, lt=1)
    """Share of accepted answers that may be wrong; takes the place of `abstain_below`."""
    coverage: float | None = Field(default=None, gt=0, lt=1)
    """Share of images whose category is to be among the candidates; takes the place of `k`."""

    model: str | None = None
    """Multimodal LLM that ranks: `provider:name` for init_chat_model, or `local:FOLDER` or
    `local:org/name` for one of transformers in this process; none: retrieval order."""
    base_url: str | None = None
    """OpenAI-compatible server (Ollama, vLLM, llama.cpp, LM Studio): asked without a key if none is
    set."""
    model_options: dict[str, Any] = {}
    """More for init_chat_model, in rar.toml: `model_options = {reasoning_effort = "minimal"}`."""
    model_precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Precision of a local model's weights; `auto`: as its files have them."""
    quantize: Literal["4bit", "8bit"] | None = None
    """Bits of a local model's weights, on CUDA, by bitsandbytes."""
    model_timeout_s: float = Field(default=60.0, gt=0)
    """Seconds for one request to the model, until its whole answer is there."""
    model_retries: int = Field(default=2, ge=0, le=10)
    """Retries of one request, done by the provider's SDK and by nothing else."""
    model_requests: int = Field(default=8, ge=1, le=1_000)
    """Requests to the model at the same time; those that wait for a retry do not count."""
    ranker: Literal["listwise", "choice", "pairwise"] = "listwise"
    """How the model ranks: sorts all candidates; chooses one, by the log-probabilities of the
    letters; compares the first three in pairs."""
    prompt: str | None = None
    """Ranking prompt, as `name@version`; default: `rank@1`, `choice@1` or `pairwise@1`."""
    orders: int = Field(default=1, ge=0, le=MOST_CANDIDATES)
    """In how many orders the options are shown, a call each; 0: each option at each letter."""
    seed: int = 0
    """Seed of the order in which options are shown."""
    image_side: int = Field(default=768, ge=64, le=2_000)
    """Longest side of the photo that a model is shown, in pixels."""
    agent_model: str | None = None
    """Chat model of `graphs/agent.py`, as `provider:name`; default: `model`. It calls tools."""
    agent_base_url: str | None = None
    """OpenAI-compatible server of `agent_model`."""
    agent_prompt: str = "agent@1"
    """Its instructions, as `name@version`."""
    guide_prompt: str = "field-guide@1"
    """Instructions of the field guide that it asks, as `name@version`."""
    max_cost: float | None = Field(default=None, gt=0)
    """US dollars that a process may spend on all its models; then retrieval answers alone. A
    process has one limit: the last one that was set, for models that were loaded before, too."""
    cache_mb: float = Field(default=200, ge=0)
    """Size in MB of the file of models' answers, so that none is paid for twice; 0: none."""
    prices: dict[str, TokenPrice] = {}
    """US dollars for a million tokens of models by name, in rar.toml:
    `prices."openai:gpt-5-mini" = {input = 0.25, output = 2.0}`; default: as genai-prices lists."""

    crop_scales: tuple[Scale, Scale, Scale] = (2.0, 1.5, 1.2)
    """Sides of a box's crop in sides of the box, for objects under 32 x 32 pixels, under 96 x 96,
    and larger."""
    crop_square: bool = True
    """Whether crops are made square."""
    crop_blur: float = Field(default=0.02, ge=0, le=1)
    """Standard deviation of the blur around the box, in sides of the crop; 0: sharp."""
    crop_outline: bool = False
    """Whether the box is outlined in its crop."""
    crop_prompt: str | None = None
    """Ranking prompt for a box, as `name@version`; default: `rank-crop@1` where the ranker is
    `listwise`, else as for images."""
    crops_prompt: str = "rank-crops@1"
    """Ranking prompt for several boxes at once."""
    crops_together: int = Field(default=6, ge=1, le=26)
    """Boxes of an image that a model is shown in one call, by `listwise` alone."""
    crops_asked: int | None = Field(default=None, ge=0)
    """Boxes of an image that a model is asked about at most, those that can gain most; default: all
    that can gain."""
    box_weight: float = Field(default=1.0, ge=0, le=10)
    """Exponent of a box's own score, by which the category's probability is multiplied."""
    max_boxes: int = Field(default=10_000, ge=1)
    """Most boxes of an image."""
    proposer: str | None = None
    """Detector that proposes boxes where none are given: `torchvision:MODEL` or `MODEL/FILE`,
    `zero-shot:FOLDER` or `zero-shot:org/name`."""
    proposer_boxes: int = Field(default=100, ge=1)
    """Boxes that it proposes at most; COCO counts 100 of an image, LVIS 300."""
    proposer_labels: tuple[str, ...] = ("object",)
    """What a zero-shot detector looks for, as a JSON list."""

    roots: Annotated[tuple[Path, ...], NoDecode] = ()
    """Folders under which a string chosen by a model may name a file; none by default."""
    allow_urls: bool = False
    """Whether public https URLs may be fetched."""
    images_days: float = Field(default=30, gt=0)
    """Days without use after which an image that was attached to a conversation is removed."""
    images_mb: float = Field(default=1_000, gt=0)
    """Size in MB of the folder of attached images; those unused for longest go first."""
    max_bytes: int = Field(default=50_000_000, ge=1)
    """Largest encoded image, in bytes."""
    max_pixels: int = Field(default=80_000_000, ge=1)
    """Largest image, width times height; Pillow itself refuses over 178,956,970."""
    max_frames: int = Field(default=1_000, ge=1)
    """Most frames of an animation; only the first is used."""
    decode_whole: bool = False
    """Whether JPEGs are decoded at full size even where the encoder sees less than half of it."""
    isolate: bool | Literal["auto"] = "auto"
    """Whether images are decoded in processes of their own, limited in memory and time; `auto`: by
    `mcp --http`, the page, graph servers and `build_agent()`, where others send them."""
    isolate_seconds: float = Field(default=30, ge=1, le=3_600)
    """Seconds that such a process has for an image."""
    isolate_mb: int = Field(default=3_000, ge=500)
    """Megabytes of address space that such a process has; not kept to by macOS."""

    ray_address: str | None = None
    """Ray cluster of `--engine ray`: `auto`, `ray://HOST:10001` or `HOST:6379`; none: one on this
    machine, started for as long as it is needed."""
    ray_workers: int | None = Field(default=None, ge=1)
    """Its workers at most; default: as many as the cluster has processors or GPUs for."""
    ray_gpus: float = Field(default=0, ge=0)
    """GPUs of each worker, or the share of one; 0: they work on processors."""
    ray_folder: Path | None = None
    """Folder that all its nodes share, where work is handed out; default: `ray` in `home`."""
    ray_patience_s: float = Field(default=600, gt=0)
    """Seconds in which a worker has to finish something; then it is ended, and begun anew."""

    trace_images: bool = False
    """Whether what a model was asked is traced with its images, by LangSmith for one."""
    log: Literal["text", "json"] = "text"
    """Form of the log that commands and servers write to standard error."""
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    """The least that is logged there."""

    @property
    def ranking_prompt(self) -> str:
        """The prompt that is used: the one that is asked for, or the ranker's."""
        return self.prompt or _PROMPTS[self.ranker]

    @property
    def crop_ranking_prompt(self) -> str:
        """The prompt that is used for a box."""
        usual = "rank-crop@1" if self.ranker == "listwise" else self.ranking_prompt
        return self.crop_prompt or usual

    @property
    def for_others(self) -> Settings:
        """The same, where others name or send images: `auto` isolates."""
        return self.model_copy(update={"isolate": True}) if self.isolate == "auto" else self

    @field_validator("memory")
    @classmethod
    def _hide_user(cls, value: str) -> str:
        return without_user(value)

    @field_validator("roots", mode="before")
    @classmethod
    def _split_roots(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(Path(part) for part in value.split(os.pathsep) if part)
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: arguments, environment, rar.toml."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings(base: Settings | None = None, **overrides: Any) -> Settings:  # noqa: ANN401
    """Read the settings; arguments that are None are left to the other sources.

    Args:
        base: Settings to change; nothing is then read from the environment or rar.toml.
        **overrides: Fields of `Settings`.

    Raises:
        ConfigurationError: A value is not valid; the message names where it can be set.
    """
    given = base.model_dump() if base else {}
    try:
        return Settings(**{**given, **{k: v for k, v in overrides.items() if v is not None}})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "?"
        # Of what a message may show, options and what is no setting may be keys.
        shown = name in Settings.model_fields and name != "model_options"
        value = f" = {first.get('input')!r}" if shown else ""
        raise ConfigurationError(
            f"Setting '{name}'{value} is not valid: {first['msg']}.",
            f"Correct it in the command, in RAR_{name.upper()}, or in rar.toml.",
        ) from error
    except SettingsError as error:  # of a dictionary
        raise ConfigurationError(
            f"The environment cannot be read: {error}.",
            "Write it as JSON, such as RAR_PRICES='"
            """{"openai:gpt-5-mini": {"input": 0.25, "output": 2}}'.""",
        ) from error
    except ValueError as error:  # a rar.toml that is not TOML
        raise ConfigurationError(
            f"rar.toml cannot be read: {error}.", "Correct the file."
        ) from error


def unknown_variables() -> list[str]:
    """Environment variables that start with RAR_ and set nothing (likely misspelt)."""
    known = {f"RAR_{field.upper()}" for field in Settings.model_fields} | NOT_SETTINGS
    return sorted(v for v in os.environ if v.startswith("RAR_") and v.upper() not in known)
