"""The physical limit of sending: what libcrypto itself takes for the cryptography of a message.

For each message a key pair is made and its public key exported, the browser's key is read, the secret agreed on, HKDF
unrolled to its five HMACs, and one record sealed by AES-128-GCM. Each primitive is timed by itself, many times in a
row, and they are added up: so a program in C would have them, with nothing between. They are called through ctypes,
whose cost is no cryptography: as many calls with the same arguments to a function that does nothing are taken off.
"""

import ctypes
import ctypes.util
import time
from collections.abc import Callable
from ctypes import byref
from typing import Any, Final

PLAINTEXT: Final = b"x" * 300
"""As long as what the others send."""
_GET_TAG: Final = 16  # EVP_CTRL_AEAD_GET_TAG
_SALT: Final = bytes(16)
_INFO: Final = b"WebPush: info\0" + bytes(131)
_Pointer = ctypes.c_void_p
_POINTERS = (
    "EVP_PKEY_CTX_new_from_name",
    "EVP_PKEY_CTX_new",
    "EVP_PKEY_new",
    "EVP_sha256",
    "EVP_aes_128_gcm",
    "EVP_CIPHER_CTX_new",
    "HMAC",
)
_NEEDED = (*_POINTERS, "EVP_PKEY_get1_encoded_public_key", "EVP_PKEY_derive_set_peer_ex")  # the last is OpenSSL 3's


class CryptoLimit:
    """`seconds(messages)`: the CPU time that libcrypto takes for so many messages."""

    def __init__(self, library: ctypes.CDLL) -> None:
        real = _Primitives(_Functions(library))
        nothing = _Primitives(_Nothing(library), real)
        self._steps = [
            (getattr(real, name), getattr(nothing, name)) for name in ("generate", "parse", "agree", "derive", "seal")
        ]
        library.OpenSSL_version.restype = ctypes.c_char_p
        self.version: str = library.OpenSSL_version(0).decode()

    @classmethod
    def of_this_machine(cls) -> "CryptoLimit | None":
        """None without OpenSSL 3 on the system."""
        name = ctypes.util.find_library("crypto")
        try:
            library = ctypes.CDLL(name) if name else None
            if library is None:
                return None
            for function in _NEEDED:
                getattr(library, function)
        except (OSError, AttributeError):
            return None
        return cls(library)

    def seconds(self, messages: int) -> float:
        """CPU time in libcrypto, the calls' own cost taken off."""
        return sum(_seconds(real, messages) - _seconds(nothing, messages) for real, nothing in self._steps)


def _seconds(step: Callable[[int], None], messages: int) -> float:
    began = time.process_time()
    step(messages)
    return time.process_time() - began


class _Functions:
    """libcrypto's functions by name."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        for name in _POINTERS:
            getattr(library, name).restype = ctypes.c_void_p

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._library, name)
        setattr(self, name, function)
        return function


class _Nothing:
    """One that does nothing, under every name; it takes any arguments, as all C functions do that read none."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def __getattr__(self, name: str) -> Any:
        function = self._library["OpenSSL_version_num"]
        function.restype = ctypes.c_void_p if name in _POINTERS else ctypes.c_int
        setattr(self, name, function)
        return function


class _Primitives:
    """What a message takes, each so many times in a row. `like`: whose keys to name, for one that does nothing."""

    def __init__(self, crypto: Any, like: "_Primitives | None" = None) -> None:
        self._crypto = crypto
        self._secret, self._digest, self._tag = (ctypes.create_string_buffer(size) for size in (32, 32, 16))
        if like is not None:
            self._generator, self._private, self._point = like._generator, like._private, like._point
            return
        self._generator = _Pointer(crypto.EVP_PKEY_CTX_new_from_name(None, b"EC", None))
        crypto.EVP_PKEY_keygen_init(self._generator)
        crypto.EVP_PKEY_CTX_set_group_name(self._generator, b"P-256")
        self._private, exported = _Pointer(), _Pointer()
        crypto.EVP_PKEY_keygen(self._generator, byref(self._private))
        if crypto.EVP_PKEY_get1_encoded_public_key(self._private, byref(exported)) != 65:
            raise RuntimeError("libcrypto made no key")
        self._point = ctypes.string_at(exported, 65)

    def generate(self, messages: int) -> None:
        """A key pair, and its public key as bytes."""
        crypto, key, exported = self._crypto, _Pointer(), _Pointer()
        for _ in range(messages):
            key.value = None
            crypto.EVP_PKEY_keygen(self._generator, byref(key))
            crypto.EVP_PKEY_get1_encoded_public_key(key, byref(exported))
            crypto.CRYPTO_free(exported, None, 0)
            crypto.EVP_PKEY_free(key)

    def parse(self, messages: int) -> None:
        """The browser's key from its bytes."""
        crypto = self._crypto
        for _ in range(messages):
            key = crypto.EVP_PKEY_new()
            crypto.EVP_PKEY_copy_parameters(_Pointer(key), self._private)
            crypto.EVP_PKEY_set1_encoded_public_key(_Pointer(key), self._point, 65)
            crypto.EVP_PKEY_free(_Pointer(key))

    def agree(self, messages: int) -> None:
        """The shared secret, by ECDH."""
        crypto, size, done = self._crypto, ctypes.c_size_t(32), 1
        for _ in range(messages):
            agreement = _Pointer(crypto.EVP_PKEY_CTX_new(self._private, None))
            crypto.EVP_PKEY_derive_init(agreement)
            crypto.EVP_PKEY_derive_set_peer_ex(agreement, self._private, 0)
            done = crypto.EVP_PKEY_derive(agreement, self._secret, byref(size))
            crypto.EVP_PKEY_CTX_free(agreement)
        self._check(done)

    def derive(self, messages: int) -> None:
        """Key and nonce, by HKDF unrolled to its HMACs."""
        hmac, sha256 = self._crypto.HMAC, _Pointer(self._crypto.EVP_sha256())
        for _ in range(messages):
            hmac(sha256, _SALT, 16, self._secret, 32, self._digest, None)
            hmac(sha256, self._digest, 32, _INFO, len(_INFO), self._digest, None)
            hmac(sha256, _SALT, 16, self._digest, 32, self._digest, None)
            hmac(sha256, self._digest, 32, b"Content-Encoding: aes128gcm\0\x01", 29, self._secret, None)
            hmac(sha256, self._digest, 32, b"Content-Encoding: nonce\0\x01", 25, self._digest, None)

    def seal(self, messages: int) -> None:
        """One record, by AES-128-GCM with a context that is used again."""
        crypto, length, done = self._crypto, ctypes.c_int(), 1
        sealed = ctypes.create_string_buffer(len(PLAINTEXT) + 16)
        context, aes = _Pointer(crypto.EVP_CIPHER_CTX_new()), _Pointer(crypto.EVP_aes_128_gcm())
        for _ in range(messages):
            crypto.EVP_EncryptInit_ex(context, aes, None, self._secret, self._digest)
            crypto.EVP_EncryptUpdate(context, sealed, byref(length), PLAINTEXT, len(PLAINTEXT))
            crypto.EVP_EncryptFinal_ex(context, sealed, byref(length))
            done = crypto.EVP_CIPHER_CTX_ctrl(context, _GET_TAG, 16, self._tag)
        crypto.EVP_CIPHER_CTX_free(context)
        self._check(done)

    def _check(self, done: int) -> None:
        if done != 1 and isinstance(self._crypto, _Functions):
            raise RuntimeError("libcrypto did not encrypt")
