"""Where the agent is, and how it is asked: docs/api.md has the routes."""

import base64
import hashlib
import hmac
import http.client
import json
import os
import secrets
import shutil
import socket
import stat
import subprocess
import sys
import sysconfig
import urllib.parse
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

# A refresh may take a slow server, or a person who is asked, up to two minutes.
_PATIENCE = 150.0  # s


class Error(Exception):
    """The agent has nothing to hand out, or there is no agent.

    kind is the end of the problem's type in docs/api.md, such as "sign-in-required" or
    "server-unreachable"; "no-agent" where none answers.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Agent:
    """The agent of this user, or the one that LANGKEEP_URL and LANGKEEP_TOKEN name."""

    def credential(self, profile: Optional[str], kind: str, min_valid: Optional[str]) -> Dict[str, Any]:
        """Return the answer of GET /v1/profiles/{name}/token or …/api-key."""
        query = "?" + urllib.parse.urlencode({"min_valid": min_valid}) if min_valid else ""
        return self.ask("GET", f"{self.route(profile)}/{kind}{query}")

    def refresh(self, profile: Optional[str]) -> None:
        """Renew the session, at most once every 5 s."""
        self.ask("POST", f"{self.route(profile)}/refresh")

    def route(self, profile: Optional[str]) -> str:
        """Return the route of a profile, or of the one that goes without saying."""
        name = profile or os.environ.get("LANGKEEP_PROFILE") or self._only()
        return "/v1/profiles/" + urllib.parse.quote(name, safe="")

    def _only(self) -> str:
        names = [p["name"] for p in self.ask("GET", "/v1/profiles")["profiles"]]
        if len(names) == 1:
            return str(names[0])
        try:
            default = self.ask("GET", "/v1/settings")["default_profile"]
        except Error:  # a client may not see the settings
            default = ""
        if default:
            return str(default)
        if not names:
            raise Error("not-found", "no profile: run langkeep login NAME URL")
        raise Error("bad-request", "name a profile, or set LANGKEEP_PROFILE: " + ", ".join(names))

    def ask(self, method: str, route: str) -> Dict[str, Any]:
        """Call a route of the API and return its JSON."""
        connection, token = _connect()
        try:
            headers = {"Accept": "application/json"}
            if token:
                headers["Authorization"] = "Bearer " + token
            connection.request(method, route, headers=headers)
            response = connection.getresponse()
            answer: Dict[str, Any] = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Error("no-agent", f"the agent did not answer ({error}): run langkeep doctor") from error
        finally:
            connection.close()
        if response.status == 200:
            return answer
        raise Error(str(answer.get("type", "")).rpartition("/")[2], str(answer.get("detail", response.reason)))


def _connect() -> Tuple[http.client.HTTPConnection, str]:
    """Connect to the agent; the second value is the token to send, which may be empty."""
    url, token = os.environ.get("LANGKEEP_URL", ""), os.environ.get("LANGKEEP_TOKEN", "")
    if bool(url) != bool(token):
        raise Error("bad-request", "LANGKEEP_URL and LANGKEEP_TOKEN go together: set both or none")
    if url:
        return _over_tcp(url, token), token
    try:
        return _own()
    except (OSError, ValueError, KeyError):
        _start()
    try:
        return _own()
    except (OSError, ValueError, KeyError) as error:
        raise Error("no-agent", f"no agent answers ({error}): run langkeep doctor") from error


def _own() -> Tuple[http.client.HTTPConnection, str]:
    state, run = _folders()
    if hasattr(socket, "AF_UNIX"):
        try:
            return _Socket(str(run / "agent.sock")), ""
        except OSError:
            pass  # its path may be too long, so that the agent has none
    url = json.loads((state / "agent.json").read_text("utf-8"))["url"]
    if _lock_free(state / "lock"):
        raise OSError(f"the one at {url} has ended")
    token = (run / "token").read_text("ascii").strip()
    return _over_tcp(url, token), token


def _lock_free(lock: Path) -> bool:
    """Tell whether no agent holds its lock, as agent/paths does. A killed agent leaves
    agent.json behind, and another program may listen at that address now."""
    try:
        fd = os.open(lock, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return True
    try:  # closing ends the lock
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(fd)


def _start() -> None:
    program = shutil.which("langkeep", path=sysconfig.get_path("scripts")) or shutil.which("langkeep")
    if not program:
        raise Error("no-agent", "no agent runs, and no langkeep is on the PATH: start it with langkeep start")
    done = subprocess.run([program, "start"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise Error("no-agent", "the agent does not start: " + done.stderr.strip())


class _Socket(http.client.HTTPConnection):
    """A connection to a Unix socket, already made."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_PATIENCE)
        self.sock = socket.socket(socket.AF_UNIX)
        try:
            self.sock.settimeout(_PATIENCE)
            self.sock.connect(path)
        except OSError:
            self.sock.close()
            raise


def _over_tcp(url: str, token: str) -> http.client.HTTPConnection:
    """Connect over TCP to a listener that proves to know the token, as localapi/proof
    has it: any program may listen there."""
    at = urllib.parse.urlsplit(url)
    if at.scheme != "http" or at.hostname not in ("127.0.0.1", "localhost", "::1") or not at.port:
        raise Error("bad-request", f"{url!r} is not the agent's: LANGKEEP_URL must be http:// and a loopback address with its port")
    connection = http.client.HTTPConnection(at.hostname, at.port, timeout=_PATIENCE)
    connection.connect()
    try:
        _prove(connection, token)
    except Exception:
        connection.close()
        raise
    return connection


def _prove(connection: http.client.HTTPConnection, token: str) -> None:
    shared = hashlib.sha256(token.encode()).digest()
    key_id = hashlib.sha256(b"langkeep-key-id" + shared).digest()[:16]
    nonce = secrets.token_bytes(32)
    body = json.dumps({"key": _base64(key_id), "nonce": _base64(nonce)})
    host, port = connection.sock.getpeername()[:2]  # now: an answer may end the connection
    connection.auto_open = 0  # the proof is for this very connection
    connection.request("POST", "/v1/proof", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    text = response.read(16 << 10)
    if response.status == 401:
        raise Error("unauthorized", "the agent does not know this token: it was revoked, has expired, or belongs to an earlier start of the agent")
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    right = hmac.new(shared, b"langkeep-agent\n" + address.encode() + b"\n" + nonce, hashlib.sha256).digest()
    if response.status != 200 or not hmac.compare_digest(_base64(right), str(json.loads(text).get("proof"))):
        raise Error("no-agent", f"the program that listens at {address} does not prove to be the agent, and got no secret")


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _folders() -> Tuple[Path, Path]:
    """Return the state and the run folder, as agent/paths finds them."""
    home = os.environ.get("LANGKEEP_HOME")
    if home:
        base = Path(home).expanduser().absolute()
        return base / "state", base / "run"
    if sys.platform == "win32":
        state = Path(os.environ["LOCALAPPDATA"]) / "langkeep"
        return state, state / "run"
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support" / "langkeep"
        return base / "state", base / "run"
    xdg = os.environ.get("XDG_STATE_HOME", "")
    state = (Path(xdg) if xdg.startswith("/") else Path.home() / ".local" / "state") / "langkeep"
    for run in (os.environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{os.getuid()}"):
        if run.startswith("/") and _private(run):
            return state, Path(run) / "langkeep"
    return state, state / "run"


def _private(folder: str) -> bool:
    try:
        info = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.getuid() and stat.S_IMODE(info.st_mode) == 0o700
