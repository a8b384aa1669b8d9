"""Ask servers once whether they are there, as the engine does before its first request.

answers(engine.servers, "Qwen/Qwen2.5-7B-Instruct")   → {"http://gpu1:8000/v1": "", "http://gpu2:8000/v1": "Connection refused"}
"""

import asyncio
from collections.abc import Sequence

from factory.engines.bodies import Failed
from factory.engines.server import PROBE, Dropped, Server
from factory.errors import EngineError


def answers(servers: Sequence[Server], model: str) -> dict[str, str]:
    """Address → "" where it lists the model, else what is wrong, without any key."""
    return asyncio.run(_all(servers, model))


async def _all(servers: Sequence[Server], model: str) -> dict[str, str]:
    import aiohttp

    headers = {"Authorization": f"Bearer {servers[0].key}"} if servers[0].key else {}
    async with aiohttp.ClientSession(headers=headers, cookie_jar=aiohttp.DummyCookieJar()) as session:
        for server in servers:
            server.session = session
        found = await asyncio.gather(*(_one(server, model) for server in servers))
    return {server.url: trouble for server, trouble in zip(servers, found, strict=True)}


async def _one(server: Server, model: str) -> str:
    try:
        await server.contact(model, PROBE)
    except (Failed, Dropped, EngineError) as error:
        return str(error)
    return ""
