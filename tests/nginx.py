"""A real nginx on loopback, run with the very configuration that a page of docs prints."""

import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path

import httpx
import pytest
import trustme

NAME = "agents.example.org"
DOCS = Path(__file__).parents[1] / "docs"

_PATH = f"{os.environ['PATH']}:/usr/sbin"
_MAIN = """
{user}
daemon off;
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/error.log notice;
events {{ worker_connections 768; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    log_format asked '$status $upstream_addr $upstream_status';
    access_log {folder}/access.log asked;
    include {folder}/rar-agent.conf;
}}
"""


def printed(document, language="nginx"):
    """The blocks of a language on a page of docs."""
    text = (DOCS / document).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def require(program, package):
    """Skip a test where a program is not installed."""
    if shutil.which(program, path=_PATH) is None:
        pytest.skip(f"{program} is not installed: apt-get install {package}")


def free_port():
    """One that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


class Nginx:
    """Runs between `with` and its end; fails where nginx finds a word of the configuration wrong.

    Args:
        folder: For all that it writes.
        configuration: As it is printed.
        name: Of the server.
        changes: What stands in the place of what is printed: ports, files and secrets.
    """

    def __init__(self, folder, configuration, changes, name=NAME):
        require("nginx", "nginx-light")
        self.folder, self.port, self.name = folder, free_port(), name
        authority = trustme.CA()
        certificate = authority.issue_cert(name, "127.0.0.1")
        certificate.cert_chain_pems[0].write_to_path(folder / "chain.pem")
        certificate.private_key_pem.write_to_path(folder / "key.pem")
        authority.cert_pem.write_to_path(folder / "ca.pem")
        changes = {
            "listen 443 ssl": f"listen 127.0.0.1:{self.port} ssl",
            f"/etc/ssl/{name}/fullchain.pem": str(folder / "chain.pem"),
            f"/etc/ssl/{name}/privkey.pem": str(folder / "key.pem"),
            **changes,
        }
        for old, new in changes.items():
            assert old in configuration, f"{old} is not printed"
            configuration = configuration.replace(old, new)
        (folder / "rar-agent.conf").write_text(configuration)
        user = "user root;" if os.geteuid() == 0 else ""  # else they may not enter the folder
        (folder / "nginx.conf").write_text(_MAIN.format(folder=folder, user=user))

    @property
    def url(self):
        """Its address; the certificate is for this one, too."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def logged(self):
        """Status, processes that were tried, and their statuses, a line for each request."""
        return (self.folder / "access.log").read_text().splitlines()

    @property
    def errors(self):
        """What it complained of."""
        lines = (self.folder / "error.log").read_text().splitlines()
        return "\n".join(line for line in lines if "[notice]" not in line)

    def connection(self, headers=()):
        """What a client of httpx needs to trust its certificate, and to call it by its name."""
        trusted = ssl.create_default_context(cafile=self.folder / "ca.pem")
        named = {"Host": self.name, **dict(headers)}
        return {"base_url": self.url, "verify": trusted, "headers": named}

    def client(self, headers=(), make=httpx.Client, **given):
        """Such a client."""
        return make(**self.connection(headers), **given)

    def __enter__(self):
        command = ["nginx", "-e", str(self.folder / "early.log"), "-c", self.folder / "nginx.conf"]
        environment = {**os.environ, "PATH": _PATH}
        self._process = subprocess.Popen(
            command, env=environment, stderr=subprocess.PIPE, text=True, cwd=self.folder
        )
        end = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > end:
                    self._process.kill()
                    raise AssertionError(self._process.communicate()[1]) from None
                time.sleep(0.02)
            else:
                return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.communicate(timeout=10)
