"""A push service that speaks autopush: WebSocket to the user agent, RFC 8030 to the application server, on one port.

It checks every push request with `check_push`, queues for user agents that are away, lets a newer message with the
same Topic replace a queued one, answers 404 and 410 where there is nobody (any more), and keeps what came for the
test to look at. `script` makes it answer out of the ordinary, as a push service with a bad day does.
"""

import asyncio
import base64
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from types import TracebackType
from typing import Any
from uuid import uuid4

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from push_server.demo.push_service import check_push


@dataclass(slots=True)
class Channel:
    """One subscription: whose it is, and the application server key it was made with."""

    token: str
    channel_id: str
    uaid: str
    key: bytes | None
    active: bool = True


@dataclass(slots=True)
class Message:
    """A push message on its way to a user agent; `version` is what the user agent acknowledges."""

    version: str
    channel_id: str
    body: bytes
    ttl: int
    topic: str | None


@dataclass(frozen=True, slots=True)
class Received:
    """A push request as it came, and how it was answered."""

    token: str
    headers: dict[str, str]
    body: bytes
    status: int
    code: str
    at: float
    """time.monotonic()"""


@dataclass(slots=True)
class Agent:
    """A user agent: its queue outlives its connection."""

    socket: WebSocket | None = None
    queue: dict[str, Message] = field(default_factory=dict)


class Autopush:
    """The server, in a thread of its own; a context manager."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        self.websocket_url = f"ws://127.0.0.1:{self.port}/"
        self.channels: dict[str, Channel] = {}  # by token
        self.agents: dict[str, Agent] = {}  # by uaid
        self.received: list[Received] = []
        self._scripted: deque[tuple[int, dict[str, str]]] = deque()
        self._versions = count(1)
        self._changed = threading.Condition()
        routes = [
            WebSocketRoute("/", self._user_agent),
            Route("/wpush/v2/{token}", self._push, methods=["POST"]),
        ]
        config = uvicorn.Config(Starlette(routes=routes), log_level="warning", lifespan="off")
        self._server = uvicorn.Server(config)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="autopush", daemon=True)

    def __enter__(self) -> "Autopush":
        self._thread.start()  # connections wait in the listener's backlog until it serves
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)

    # What tests say and ask

    def script(self, status: int, times: int = 1, **headers: str) -> None:
        """Answer the next `times` push requests so: script(429, retry_after="2")."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        self._scripted.extend([(status, sent)] * times)

    def wait(self, condition: Callable[[], Any], timeout: float = 60) -> Any:
        """Block until `condition()` is true, looking whenever something happens here; its value, or TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(condition, timeout):
                raise TimeoutError("the push service saw nothing of the kind")
            return condition()

    def wait_for_push(self, number: int = 1, timeout: float = 60) -> list[Received]:
        """The push requests so far, once there are `number` of them."""
        self.wait(lambda: len(self.received) >= number, timeout)
        return list(self.received)

    def push_again(self, received: Received) -> None:
        """Bring the user agent a message for a second time, as a push service may after a lost acknowledgement."""
        channel = self.channels[received.token]
        message = self._message(channel, received.body, int(received.headers["ttl"]), None)
        asyncio.run_coroutine_threadsafe(self._deliver(channel.uaid, message), self._loop).result(10)

    def forget_user_agents(self) -> None:
        """Lose all state, as after a push service's data loss: every endpoint is gone, user agents start anew."""
        for channel in self.channels.values():
            channel.active = False
        peers = [agent.socket for agent in self.agents.values() if agent.socket]
        self.agents.clear()
        for peer in peers:
            asyncio.run_coroutine_threadsafe(peer.close(), self._loop).result(10)

    # The user agent's side

    async def _user_agent(self, peer: WebSocket) -> None:
        offered = peer.scope.get("subprotocols") or []
        await peer.accept("push-notification" if "push-notification" in offered else None)
        uaid = ""
        with suppress(WebSocketDisconnect):
            while True:
                message = await peer.receive_json()
                kind = message.get("messageType", "ping")
                if kind == "hello":
                    uaid = await self._hello(peer, message)
                elif kind == "register":
                    await peer.send_json(self._register(uaid, message))
                elif kind == "unregister":
                    self._unregister(message["channelID"])
                    await peer.send_json({**_only(message, "messageType", "channelID"), "status": 200})
                elif kind == "ack":
                    self._acknowledge(uaid, [update["version"] for update in message["updates"]])
                elif kind == "ping":
                    await peer.send_json({})
                self._notify()
        agent = self.agents.get(uaid)
        if agent and agent.socket is peer:
            agent.socket = None
        self._notify()

    async def _hello(self, peer: WebSocket, message: dict[str, Any]) -> str:
        known = message.get("uaid") or ""
        uaid = known if known in self.agents else uuid4().hex
        agent = self.agents.setdefault(uaid, Agent())
        agent.socket = peer
        answer = {"messageType": "hello", "status": 200, "uaid": uaid, "use_webpush": True, "broadcasts": {}}
        await peer.send_json(answer)
        for queued in list(agent.queue.values()):
            await peer.send_json(_notification(queued))
        return uaid

    def _register(self, uaid: str, message: dict[str, Any]) -> dict[str, Any]:
        key = base64.urlsafe_b64decode(message["key"] + "==") if message.get("key") else None
        channel = Channel(uuid4().hex, message["channelID"], uaid, key)
        self.channels[channel.token] = channel
        endpoint = f"{self.origin}/wpush/v2/{channel.token}"
        return {**_only(message, "messageType", "channelID"), "status": 200, "pushEndpoint": endpoint}

    def _unregister(self, channel_id: str) -> None:
        for channel in self.channels.values():
            if channel.channel_id == channel_id:
                channel.active = False

    def _acknowledge(self, uaid: str, versions: list[str]) -> None:
        for version in versions:
            self.agents[uaid].queue.pop(version, None)

    # The application server's side

    async def _push(self, request: Request) -> Response:
        token, body = request.path_params["token"], await request.body()
        headers = dict(request.headers)
        status, code, extra = self._judge(token, headers, body)
        if status == 201:
            channel = self.channels[token]
            message = self._message(channel, body, int(headers["ttl"]), headers.get("topic"))
            extra = {"Location": f"{self.origin}/message/{message.version}", "TTL": headers["ttl"]}
            await self._deliver(channel.uaid, message)
        self.received.append(Received(token, headers, body, status, code, time.monotonic()))
        self._notify()
        return JSONResponse({"code": status, "error": code}, status, extra)

    def _judge(self, token: str, headers: dict[str, str], body: bytes) -> tuple[int, str, dict[str, str]]:
        if self._scripted:
            status, extra = self._scripted.popleft()
            return status, "scripted", extra
        channel = self.channels.get(token)
        if channel is None:
            return 404, "unknown", {}
        if not channel.active:
            return 410, "gone", {}
        now = datetime.now(UTC)
        rejection = check_push(headers, body, origin=self.origin, application_server_key=channel.key, now=now)
        return (rejection.status, rejection.code, {}) if rejection else (201, "ok", {})

    def _message(self, channel: Channel, body: bytes, ttl: int, topic: str | None) -> Message:
        return Message(f"v{next(self._versions)}", channel.channel_id, body, ttl, topic)

    async def _deliver(self, uaid: str, message: Message) -> None:
        agent = self.agents.setdefault(uaid, Agent())
        if agent.socket is None and message.ttl == 0:
            return  # RFC 8030 §5.2: not to be kept for later
        if message.topic is not None:
            same = [(m.channel_id, m.topic) == (message.channel_id, message.topic) for m in agent.queue.values()]
            for version in [version for version, match in zip(agent.queue, same, strict=True) if match]:
                del agent.queue[version]
        agent.queue[message.version] = message
        if agent.socket is not None:
            await agent.socket.send_json(_notification(message))

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._server.serve(sockets=[self._listener]))
        self._loop.close()


def _notification(message: Message) -> dict[str, Any]:
    return {
        "messageType": "notification",
        "channelID": message.channel_id,
        "version": message.version,
        "ttl": message.ttl,
        "data": base64.urlsafe_b64encode(message.body).rstrip(b"=").decode(),
        "headers": {"encoding": "aes128gcm"},
    }


def _only(message: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: message[name] for name in names}
