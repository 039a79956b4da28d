"""Which browser a subscription is of."""

from urllib.parse import urlsplit

# The push service tells the family; the user agent tells the brands that share Google's. More telling words first:
# Edge, Opera and Samsung call themselves Chrome as well, and Chrome calls itself Safari.
_BY_HOST = ((".push.services.mozilla.com", "firefox"), (".push.apple.com", "safari"), (".notify.windows.com", "edge"))
_BY_AGENT = (
    ("Edg", "edge"),
    ("OPR/", "opera"),
    ("SamsungBrowser/", "samsung"),
    ("Firefox/", "firefox"),
    ("FxiOS/", "firefox"),
    ("Chrome/", "chrome"),
    ("CriOS/", "chrome"),
    ("Safari/", "safari"),
)


def browser_of(endpoint: str, user_agent: str) -> str | None:
    """firefox, safari, edge, chrome, opera or samsung; None where neither host nor user agent tells."""
    host = (urlsplit(endpoint).hostname or "").lower()
    for suffix, browser in _BY_HOST:
        if host.endswith(suffix):
            return browser
    for word, browser in _BY_AGENT:
        if word in user_agent:
            return browser
    return "chrome" if host == "fcm.googleapis.com" else None
