"""Settings from the environment (`HOMING_*`), one class, every field documented."""

from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from push_server.errors import StartupError


class Settings(BaseSettings):
    """What an operator can set. `homing up` fills in what is missing; the parts refuse unsafe gaps."""

    model_config = SettingsConfigDict(env_prefix="HOMING_", extra="ignore")

    home: Path = Field(
        default_factory=lambda: Path.home() / ".homing",
        description="Where embedded PostgreSQL, Valkey and generated secrets live.",
    )
    database_url: str | None = Field(
        default=None, description="postgresql://… (15 or newer). Unset: embedded, under HOMING_HOME."
    )
    redis_url: str | None = Field(
        default=None, description="redis://… or unix://…. Unset: embedded Valkey, under HOMING_HOME."
    )
    public_url: str = Field(
        default="http://127.0.0.1:8000",
        description="Where browsers reach this server; goes into push payloads as data.homing.api.",
    )
    secret_key: SecretStr | None = Field(
        default=None,
        description="At least 32 characters. Encrypts VAPID private keys and subscription secrets at rest.",
    )
    push_hosts: Annotated[list[str], NoDecode] = Field(
        default_factory=list,
        description="Push-service origins allowed besides the built-in list, separated by commas or spaces.",
    )
    log_level: str = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR.")
    rule_timeout: float = Field(
        default=10.0, gt=0, description="Seconds that finding a segment's members may take; longer is refused."
    )
    backfill_timeout: float = Field(
        default=600.0, gt=0, description="Seconds that finding a segment's members in the background may take in all."
    )
    prepared_statements: bool = Field(
        default=True,
        description="Off for PgBouncer in transaction mode, unless its max_prepared_statements is above 0.",
    )
    clock: Literal["database", "machine"] = Field(
        default="database",
        description="By whose clock processes go. `homing up` with its own PostgreSQL goes by the machine's.",
    )
    chunk_size: int = Field(
        default=2000,
        ge=1,
        le=5000,
        description="Deliveries a sending job carries: what a job costs, some 20 ms of CPU time, is a tenth of 2,000.",
    )

    @field_validator("push_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return value.replace(",", " ").split() if isinstance(value, str) else value

    @field_validator("public_url")
    @classmethod
    def _no_trailing_slash(cls, value: str) -> str:
        return value.rstrip("/")

    def require_database_url(self) -> str:
        """The database URL, or an error that says how to get one."""
        if not self.database_url:
            raise StartupError(
                "HOMING_DATABASE_URL is not set. Set it to a PostgreSQL 15 or newer, or run `homing up`, "
                "which starts its own.",
                code="no_database",
            )
        return self.database_url

    def require_redis_url(self) -> str:
        """The Redis URL, or an error that says how to get one."""
        if not self.redis_url:
            raise StartupError(
                "HOMING_REDIS_URL is not set. Set it to a Redis or Valkey server, or run `homing up`, "
                "which starts its own.",
                code="no_redis",
            )
        return self.redis_url

    def require_secret_key(self) -> bytes:
        """The secret key's bytes, or an error that says how to make one."""
        return self._secret_bytes

    @cached_property  # it signs every message
    def _secret_bytes(self) -> bytes:
        key = self.secret_key.get_secret_value() if self.secret_key else ""
        if len(key) < 32:
            raise StartupError(
                "HOMING_SECRET_KEY is missing or shorter than 32 characters. Make one with "
                "`python3 -c 'import secrets; print(secrets.token_urlsafe(32))'` and keep it: "
                "keys stored under it cannot be read with another.",
                code="no_secret_key",
            )
        return key.encode()


@lru_cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
