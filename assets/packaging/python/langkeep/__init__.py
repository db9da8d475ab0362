"""Access tokens and API keys for Langflow, from the Langkeep agent on this computer.

    import langkeep, httpx

    httpx.get("https://flows.example.org/api/v1/users/whoami", auth=langkeep.Auth("prod"))
    langkeep.token("prod")                 # an access token, as text
    langkeep.key("prod", min_valid="1h")   # an API key that works for another hour

The agent keeps the sessions, so nothing is kept here: ask each time. If none runs, one is
started. Every failure is a langkeep.Error, whose text says what to do.
"""

from typing import TYPE_CHECKING, Optional

from ._agent import Agent, Error

if TYPE_CHECKING:
    from ._auth import Auth as Auth

__all__ = ["Auth", "Error", "key", "token"]


def token(profile: Optional[str] = None, *, min_valid: Optional[str] = None) -> str:
    """Return a valid access token, which goes into the header Authorization: Bearer.

    profile may be left out where LANGKEEP_PROFILE or default_profile is set or only one
    exists. min_valid is how long the token must still live, such as "10m".
    """
    return str(Agent().credential(profile, "token", min_valid)["access_token"])


def key(profile: Optional[str] = None, *, min_valid: Optional[str] = None) -> str:
    """Return a valid API key, which goes into the header x-api-key.

    Langflow wants one for running flows, /responses, webhooks and MCP. The arguments are
    those of token.
    """
    return str(Agent().credential(profile, "api-key", min_valid)["api_key"])


def __getattr__(name: str) -> object:
    # Auth builds on httpx where that is installed, which takes a while to import.
    if name == "Auth":
        from ._auth import Auth

        return Auth
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
