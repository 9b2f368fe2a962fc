"""Providers that need no entry in the file, because the variable that their SDK reads is set; and what each vendor's usual
address, variables and model prefixes are. Looks at the environment only: nothing is contacted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from edgegate.config.model import ProviderOptions
from edgegate.config.option import Secret
from edgegate.dialects.clouds import bedrock_address, vertex_address
from edgegate.dialects.compat import COMPAT

OLLAMA_PORT = 11434


@dataclass(frozen=True, slots=True)
class Vendor:
    """keys, urls: variables, the first that is set counts. An empty `base_url` means that a URL must be given.

    version: the path that ends the address of a dialect whose endpoints stand below it (OpenAI's `/v1`, as SDKs are given it).
    surplus: paths that users give although the dialect's endpoints begin with them.
    shared_key: the key's variable serves other purposes too, so that it alone adds no provider.
    variables: options beside key and address that come from the environment where the entry leaves them out.
    address: the base URL where it depends on other options; "" as long as these are missing. `needs` names them.
    """

    name: str
    base_url: str
    prefixes: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    version: str = ""
    surplus: tuple[str, ...] = ()
    shared_key: bool = False
    variables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    address: Callable[[ProviderOptions], str] = lambda options: ""
    needs: str = "base_url"


NATIVE = (
    Vendor(
        "openai",
        "https://api.openai.com/v1",
        COMPAT["openai"].prefixes,
        ("OPENAI_API_KEY",),
        ("OPENAI_BASE_URL",),
        version="/v1",
    ),
    Vendor(
        "anthropic",
        "https://api.anthropic.com",
        ("claude-",),
        ("ANTHROPIC_API_KEY", "CLAUDE_API_KEY"),
        ("ANTHROPIC_BASE_URL",),
        surplus=("/v1",),
    ),
    Vendor(
        "gemini",
        "https://generativelanguage.googleapis.com",
        ("gemini-", "gemma-"),
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        ("GOOGLE_GEMINI_BASE_URL",),
        surplus=("/v1beta", "/v1"),
    ),
    Vendor(
        "mistral",
        "https://api.mistral.ai/v1",
        ("mistral-", "ministral-", "codestral-", "magistral-", "pixtral-", "devstral-", "open-mistral", "open-mixtral"),
        ("MISTRAL_API_KEY",),
        version="/v1",
    ),
    Vendor(
        "azure",
        "",
        keys=("AZURE_OPENAI_API_KEY",),
        urls=("AZURE_OPENAI_ENDPOINT",),
        surplus=("/v1", "/openai"),
        variables={"api_version": ("OPENAI_API_VERSION",)},
    ),
    Vendor("openai-responses", "https://api.openai.com/v1", keys=("OPENAI_API_KEY",), version="/v1", shared_key=True),
    Vendor(
        "vertex",
        "",
        variables={"project": ("GOOGLE_CLOUD_PROJECT",), "location": ("GOOGLE_CLOUD_LOCATION",)},
        address=lambda options: vertex_address(options.location or "global") if options.project else "",
        needs="project",
    ),
    Vendor(
        "bedrock",
        "",
        keys=("AWS_BEARER_TOKEN_BEDROCK",),
        variables={"region": ("AWS_REGION", "AWS_DEFAULT_REGION"), "profile": ("AWS_PROFILE",)},
        address=lambda options: bedrock_address(options.region) if options.region else "",
        needs="region",
    ),
    Vendor(
        "cohere",
        "https://api.cohere.com",
        ("command-", "c4ai-", "rerank-v", "embed-v"),
        ("CO_API_KEY", "COHERE_API_KEY"),
        surplus=("/v2", "/v1"),
    ),
    Vendor("ollama", f"http://127.0.0.1:{OLLAMA_PORT}", (), (), ("OLLAMA_URL", "OLLAMA_HOST"), surplus=("/v1", "/api")),
)
"""The vendors whose dialect has code of its own."""

PLAIN = Vendor("http", "")
"""No vendor: an app of any kind behind the gateway, whose paths are relayed as they are."""


def vendors() -> tuple[Vendor, ...]:
    """All that are known, in order of preference."""
    return (*NATIVE, *_compatible(), PLAIN)


def vendor_defaults(name: str, known: Iterable[Vendor] | None = None) -> Vendor | None:
    """The vendor with this provider or dialect name."""
    return next((vendor for vendor in (vendors() if known is None else known) if vendor.name == name), None)


def discover(
    providers: Mapping[str, ProviderOptions], env: Mapping[str, str], known: Iterable[Vendor] | None = None
) -> dict[str, ProviderOptions]:
    """`providers` as configured, in their order, and after them those found in the environment.

    An entry of a vendor's own name without `api_key` takes the vendor's key from the environment, but only as long as it has
    no `base_url` of its own: a key goes to no other host than the vendor's unless somebody wrote it there.
    """
    by_name = {vendor.name: vendor for vendor in (vendors() if known is None else known)}
    found = {}
    for name, options in providers.items():
        vendor = by_name.get(options.dialect or name)
        found[name] = options if vendor is None else _addressed(_from_environment(options, vendor, env), vendor)
    for vendor in by_name.values():
        key = next((env[name] for name in vendor.keys if env.get(name)), "").strip()
        url = next((env[name] for name in vendor.urls if env.get(name)), "").strip()
        if vendor.name == "ollama":
            url = _ollama(url)
        entry = found.get(vendor.name)
        if entry is None:
            made = _from_environment(ProviderOptions(base_url=url, api_key=Secret(key)), vendor, env)
            reachable = url or vendor.base_url or address_of(vendor, made)
            if reachable and ((key and not vendor.shared_key) or (url and not vendor.keys)):
                found[vendor.name] = _addressed(made, vendor)
        elif entry.dialect in ("", vendor.name) and not entry.base_url and not entry.api_key and not entry.api_keys:
            found[vendor.name] = _addressed(dataclasses.replace(entry, base_url=url, api_key=Secret(key)), vendor)
    return found


def address_of(vendor: Vendor, options: ProviderOptions) -> str:
    """The base URL that a vendor's other options lead to; "" if they are missing or lead nowhere."""
    try:
        return vendor.address(options)
    except ValueError:
        return ""


def base_address(url: str, vendor: Vendor) -> str:
    """A base URL as this vendor's dialect needs it, with the version in its path or without, whichever way it was written.
    A host alone gets the version; `http://host/`, with its slash, says that there is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if parts.scheme not in ("http", "https"):
        return url  # as written, for the checks, which say what is wrong with it
    if not parts.path:
        return url + vendor.version
    url = url.rstrip("/")
    for path in vendor.surplus:
        url = url.removesuffix(path)
    return url


def _from_environment(options: ProviderOptions, vendor: Vendor, env: Mapping[str, str]) -> ProviderOptions:
    """The options that an entry leaves out and the vendor's own tools read from variables."""
    found: dict[str, Any] = {}
    for option, names in vendor.variables.items():
        value = next((env[name] for name in names if env.get(name)), "").strip()
        if value and not getattr(options, option):
            found[option] = value
    return dataclasses.replace(options, **found) if found else options


def _addressed(options: ProviderOptions, vendor: Vendor) -> ProviderOptions:
    if not options.base_url:
        return options
    return dataclasses.replace(options, base_url=base_address(options.base_url, vendor))


def _ollama(host: str) -> str:
    """`OLLAMA_HOST` is the server's own variable: `0.0.0.0`, `:11434`, `box:11434` and whole URLs all occur."""
    if not host:
        return ""
    scheme, mark, rest = host.rpartition("://")
    address = rest.rstrip("/")
    name, colon, port = address.rpartition(":") if not address.endswith("]") else (address, "", "")
    if not colon:
        name, port = address, ("" if mark else str(OLLAMA_PORT))
    if name in ("", "0.0.0.0", "[::]"):
        name = "127.0.0.1"
    return f"{scheme or 'http'}://{name}{':' if port else ''}{port}"


def _compatible() -> tuple[Vendor, ...]:
    """The rows of the table of OpenAI-shaped providers, as far as they have no entry above."""
    own = {vendor.name for vendor in NATIVE}
    rows = (row for row in COMPAT.values() if row.name not in own)
    return tuple(
        Vendor(row.name, row.base_url, row.prefixes, (row.key,), version=urlsplit(row.base_url).path, shared_key=row.shared_key)
        for row in rows
    )
