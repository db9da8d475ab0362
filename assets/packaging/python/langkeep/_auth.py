"""Auth for httpx and requests. Neither needs to be installed."""

import asyncio
import urllib.parse
from typing import TYPE_CHECKING, Any, AsyncGenerator, Generator, Optional, Tuple

from ._agent import Agent, Error

if TYPE_CHECKING:
    import httpx
    import requests

    _Base = httpx.Auth
else:
    try:
        from httpx import Auth as _Base
    except ImportError:
        _Base = object


class Auth(_Base):
    """Sign requests to a profile's server, with httpx's auth= or requests'.

    Each request gets an access token that is valid at that moment, or with key=True an API
    key, which Langflow wants for running flows. One that the server answers with 401 is sent
    once more, with a renewed session. A request to any other server than the profile's is a
    langkeep.Error. Redirects: an access token never goes to another server; of a key, httpx
    alone would take it along, if it is told to follow redirects.
    """

    def __init__(self, profile: Optional[str] = None, *, key: bool = False) -> None:
        self._agent, self._profile, self._key = Agent(), profile, key

    def _header(self, url: str) -> Tuple[str, str]:
        kind = "api-key" if self._key else "token"
        answer = self._agent.credential(self._profile, kind, None)
        if _origin(url) != _origin(answer["server_url"]):
            raise Error("forbidden", f"profile {answer['profile']} is of {answer['server_url']}, and gives no credential to {_server(url)}")
        return ("x-api-key", answer["api_key"]) if self._key else ("Authorization", "Bearer " + answer["access_token"])

    def _renewed(self, url: str, before: Optional[str]) -> Optional[Tuple[str, str]]:
        """Return a header other than the one that was refused; None if there is none."""
        if not self._key:
            self._agent.refresh(self._profile)
        header = self._header(url)
        return header if header[1] != before else None

    # httpx

    def sync_auth_flow(self, request: "httpx.Request") -> "Generator[httpx.Request, httpx.Response, None]":
        name, value = self._header(str(request.url))
        request.headers[name] = value
        response = yield request
        if response.status_code == 401:
            header = self._renewed(str(request.url), value)
            if header:
                request.headers[name] = header[1]
                yield request

    async def async_auth_flow(self, request: "httpx.Request") -> "AsyncGenerator[httpx.Request, httpx.Response]":
        name, value = await asyncio.get_running_loop().run_in_executor(None, self._header, str(request.url))
        request.headers[name] = value
        response = yield request
        if response.status_code == 401:
            header = await asyncio.get_running_loop().run_in_executor(None, self._renewed, str(request.url), value)
            if header:
                request.headers[name] = header[1]
                yield request

    # requests

    def __call__(self, request: "requests.PreparedRequest") -> "requests.PreparedRequest":
        name, value = self._header(str(request.url))
        request.headers[name] = value
        body: Any = request.body
        start = body.tell() if hasattr(body, "seek") and hasattr(body, "tell") else None

        def again(response: "requests.Response", **options: Any) -> "requests.Response":
            body_left = body is None or isinstance(body, (bytes, str)) or start is not None
            if response.status_code == 401 and response.request.headers.get(name) == value and body_left:
                header = self._renewed(str(request.url), value)
                if header:
                    if start is not None:
                        body.seek(start)
                    response.content  # read, so that the connection can be used again
                    response.close()
                    second = response.request.copy()
                    second.headers[name] = header[1]
                    first, response = response, response.connection.send(second, **options)
                    response.history.append(first)
                    response.request = second
            if response.is_redirect and _origin(urllib.parse.urljoin(response.url, response.headers["location"])) != _origin(response.url):
                request.headers.pop(name, None)  # which requests copies to the next one
            return response

        hooks: Any = request.hooks
        hooks["response"].append(again)
        return request


def _origin(url: str) -> Tuple[str, Optional[str], Optional[int]]:
    at = urllib.parse.urlsplit(url)
    return at.scheme, at.hostname, at.port or {"http": 80, "https": 443}.get(at.scheme)


def _server(url: str) -> str:
    at = urllib.parse.urlsplit(url)
    return f"{at.scheme}://{at.hostname}" + (f":{at.port}" if at.port else "")
