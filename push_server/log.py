"""Logging: one line an event, secrets masked before anything is written."""

import logging
import re
import sys

# Keys, bearer tokens, VAPID tokens, push endpoints' capability part and URL passwords never reach a log line.
_SECRETS = [
    (re.compile(r"\b(sk|whsec)_[A-Za-z0-9_\-]{8,}"), r"\1_***"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=\-]{8,}"), r"\1 ***"),
    (re.compile(r"\bt=eyJ[A-Za-z0-9._\-]+"), "t=***"),
    (re.compile(r"(https?://[^\s/\"']+)(/[^\s\"']*/)[A-Za-z0-9:_\-%]{24,}[^\s\"']*"), r"\1\2***"),
    (re.compile(r"(\w+://[^:/\s@]*):[^@/\s]+@"), r"\1:***@"),
]


def mask(text: str) -> str:
    """`text` with every known kind of secret replaced."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


class _Masked(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


def configure(process: str, level: str) -> None:
    """Log to stderr as `time level process logger message`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Masked(f"%(asctime)s %(levelname)-7s {process} %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("uvicorn.access", "alembic.runtime", "rq.worker", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
