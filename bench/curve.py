"""The physical limit of sending: one key generation and one key agreement on P-256 for each message, by libcrypto."""

import ctypes
import ctypes.util
from collections.abc import Callable


def curve_operations() -> Callable[[int], None] | None:
    """A function that does the curve operations of so many messages; None without OpenSSL 3 on the system."""
    name = ctypes.util.find_library("crypto")
    try:
        crypto = ctypes.CDLL(name) if name else None
        if crypto is None:
            return None
        for function in ("EVP_PKEY_CTX_new_from_name", "EVP_PKEY_CTX_new"):
            getattr(crypto, function).restype = ctypes.c_void_p
        crypto.EVP_PKEY_derive_set_peer_ex  # noqa: B018 (OpenSSL 1.1 has none)
    except (OSError, AttributeError):
        return None
    pointer, byref = ctypes.c_void_p, ctypes.byref
    generator = pointer(crypto.EVP_PKEY_CTX_new_from_name(None, b"EC", None))
    crypto.EVP_PKEY_keygen_init(generator)
    crypto.EVP_PKEY_CTX_set_group_name(generator, b"P-256")
    browser = pointer()
    crypto.EVP_PKEY_keygen(generator, byref(browser))
    secret = ctypes.create_string_buffer(32)

    def run(messages: int) -> None:
        for _ in range(messages):
            ephemeral = pointer()
            crypto.EVP_PKEY_keygen(generator, byref(ephemeral))
            agreement = pointer(crypto.EVP_PKEY_CTX_new(ephemeral, None))
            crypto.EVP_PKEY_derive_init(agreement)
            crypto.EVP_PKEY_derive_set_peer_ex(agreement, browser, 0)
            size = ctypes.c_size_t(32)
            if crypto.EVP_PKEY_derive(agreement, secret, byref(size)) != 1:
                raise RuntimeError("libcrypto derived no secret")
            crypto.EVP_PKEY_CTX_free(agreement)
            crypto.EVP_PKEY_free(ephemeral)

    return run
