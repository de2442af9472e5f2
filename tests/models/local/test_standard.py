"""LangChain's own tests of chat models; what a model of this kind cannot do is declared."""

import base64

import httpx
import pytest

from rar_agent.models.local import LocalChatModel
from tests.models.local.conftest import block, picture

pytest.importorskip("langchain_tests", reason="langchain-tests is not installed")
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests


class Capabilities:
    """Images, yes; tools, structured output, URLs, documents, sound: no."""

    has_tool_calling = False
    has_structured_output = False
    supports_image_inputs = True
    supports_model_override = False  # a name is weights that load for minutes

    @pytest.fixture(autouse=True)
    def _folder(self, folders):
        type(self).folder = str(folders("hybrid"))

    @property
    def chat_model_class(self):
        return LocalChatModel

    @property
    def chat_model_params(self):
        return {"model": self.folder, "device": "cpu"}

    @property
    def standard_chat_model_params(self):
        return {"temperature": 0, "max_tokens": 8, "timeout": 60, "stop": [], "max_retries": 2}


class TestUnit(Capabilities, ChatModelUnitTests):
    pass


class TestIntegration(Capabilities, ChatModelIntegrationTests):
    @pytest.fixture(autouse=True)
    def _image(self, monkeypatch):
        """The suite's image is on the network; this one is not."""
        file = base64.b64decode(block(picture(1))["base64"])
        monkeypatch.setattr(httpx, "get", lambda *_, **__: httpx.Response(200, content=file))
