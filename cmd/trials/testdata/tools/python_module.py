"""Uses the module langkeep as its users would, with what leads to the agent in the environment.

    python_module.py real SERVER       profile prod, on a real Langflow with the flow echo
    python_module.py stand-in SERVER   profile fake, whose server refuses the next token once
    python_module.py redirect SERVER   profile fake, whose server leads elsewhere
    python_module.py token             prints a token of the profile that goes without saying
"""
import asyncio
import sys

import httpx
import requests

import langkeep


def real(server: str) -> None:
    whoami = server + "/api/v1/users/whoami"
    assert httpx.get(whoami, headers={"Authorization": "Bearer " + langkeep.token("prod", min_valid="10s")}).status_code == 200
    assert httpx.get(whoami, headers={"x-api-key": langkeep.key("prod")}).status_code == 200
    with httpx.Client(base_url=server, auth=langkeep.Auth("prod")) as client:
        assert client.get("/api/v1/users/whoami").status_code == 200
    run = {"input_value": "by Python"}
    with httpx.Client(base_url=server, auth=langkeep.Auth("prod", key=True), timeout=60) as client:
        assert "by Python" in client.post("/api/v1/run/echo", json=run).text
    with requests.Session() as session:
        session.auth = langkeep.Auth("prod")
        assert session.get(whoami).status_code == 200
        session.auth = langkeep.Auth("prod", key=True)
        assert "by Python" in session.post(server + "/api/v1/run/echo", json=run).text

    async def many() -> None:
        async with httpx.AsyncClient(auth=langkeep.Auth("prod")) as client:
            answers = await asyncio.gather(*[client.get(whoami) for _ in range(20)])
            assert {a.status_code for a in answers} == {200}

    asyncio.run(many())
    for get in (lambda url: httpx.get(url, auth=langkeep.Auth("prod")), lambda url: requests.get(url, auth=langkeep.Auth("prod"))):
        try:
            get("http://127.0.0.1:1/api/v1/users/whoami")
        except langkeep.Error as error:
            assert error.kind == "forbidden" and "gives no credential to http://127.0.0.1:1" in str(error), error
        else:
            raise AssertionError("another server got a token")
    try:
        from langflow_sdk import Client
    except ImportError:  # it wants a newer Python
        print("without langflow-sdk")
        return
    assert Client(base_url=server, api_key=langkeep.key("prod")).run("echo", input_value="sdk").first_text_output() == "sdk"
    print("with langflow-sdk")


def stand_in(server: str) -> None:
    for get in (httpx.get, requests.get):
        answer = get(server + "/api/v1/users/whoami", auth=langkeep.Auth("fake"))
        print(answer.status_code, end=" ")


def redirect(server: str) -> None:
    print(httpx.get(server + "/api/v1/users/whoami", auth=langkeep.Auth("fake"), follow_redirects=True).status_code, end=" ")
    for key in (False, True):
        print(requests.get(server + "/api/v1/users/whoami", auth=langkeep.Auth("fake", key=key)).status_code, end=" ")


def token() -> None:
    try:
        print(langkeep.token())
    except langkeep.Error as error:
        print(f"{error.kind}: {error}")


{"real": real, "stand-in": stand_in, "redirect": redirect, "token": token}[sys.argv[1]](*sys.argv[2:])
