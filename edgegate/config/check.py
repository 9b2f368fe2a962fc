"""What must hold between options, beyond each one's type: addresses parse, names refer to something, keys are usable, files
exist, and nobody serves a network without knowing its callers. Contacts nothing.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path

from edgegate.config.address import Address, parse_address
from edgegate.config.check_access import check_access
from edgegate.config.discover import Vendor, vendors
from edgegate.config.model import AdminKeyOptions, Config, KeyOptions, PriceOptions, ProviderOptions
from edgegate.config.problems import Place, Problem, did_you_mean, shown
from edgegate.config.stages import AuthOptions, IdempotencyOptions
from edgegate.ledger.prices import PriceError, Prices

DEFAULT_SECRETS = (
    "gw-admin-change-me", "sk-1234", "sk-12345", "changeme", "change-me", "change_me", "secret", "password", "admin", "test", "sk-test",
    "dev-key", "test-key", "my-secret-key", "your-api-key", "your_api_key", "sk-your-key", "master-key", "sk-master-key", "sk-edgegate",
)  # fmt: skip
"""Secrets that documents and examples show, so that anybody knows them."""

RESERVED = frozenset({"v1", "v1beta", "api", "admin", "health", "ready", "startup", "metrics", "static", "dashboard"})
"""First segments of the gateway's own paths; a provider of this name could not be relayed as `/<provider>/*`."""

_PROVIDER_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*", re.ASCII)
_HASH = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
_FRAMING = frozenset({"host", "content-length", "transfer-encoding", "connection", "te", "upgrade", "expect", "trailer", "keep-alive"})

Finding = tuple[str, str]


def check(config: Config, places: Mapping[str, Place] | None = None, source: str = "configuration") -> list[Problem]:
    """Every problem found. `places` says where a key path was written; the nearest path above serves where it has none."""
    known = vendors()
    findings = [
        *_listener(config),
        *_server_files(config),
        *(finding for name, options in config.providers.items() for finding in _provider(name, options, known)),
        *_loops(config, known),
        *_names(config, known),
        *_keys(config),
        *_admin(config),
        *check_access(config),
        *_prices(config),
        *_idempotency(config),
    ]
    return [Problem(_nearest(places or {}, path, source), path, text) for path, text in findings]


def _listener(config: Config) -> Iterator[Finding]:
    path = "server.listen"
    try:
        address = parse_address(config.server.listen)
    except ValueError as error:
        yield path, f"expected {error}, got {shown(config.server.listen)}"
        return
    stages = {stage.name: stage.options for stage in config.chain}
    auth = stages.get("auth")
    anonymous = isinstance(auth, AuthOptions) and auth.anonymous
    if config.keys and auth is None:
        yield "chain", "keys are configured but nothing asks for them: put `auth` first"
    elif not address.loopback and not anonymous and not (isinstance(auth, AuthOptions) and _knows_callers(config, auth)):
        yield (
            path,
            (
                f"{address} can be reached from other machines, and no caller would need a key: configure `keys`, listen on "
                "127.0.0.1, or say so with `auth: {anonymous: true}` in the chain"
            ),
        )
    if not address.loopback:
        for index, options in enumerate(config.keys):
            if _publicly_known(options):
                yield f"keys[{index}]", f"this key is a publicly known default, and {address} can be reached from other machines"


def _publicly_known(options: KeyOptions | AdminKeyOptions) -> bool:
    known = {hashlib.sha256(secret.encode()).hexdigest() for secret in DEFAULT_SECRETS}
    return options.key.reveal().lower() in DEFAULT_SECRETS or options.hash.removeprefix("sha256:") in known


def _knows_callers(config: Config, auth: AuthOptions) -> bool:
    """By keys, by tokens, or by keys that are made at run time: with a store to keep them a gateway on a network begins closed."""
    return bool(config.keys or auth.jwt is not None or config.store.file or config.store.postgres)


def _server_files(config: Config) -> Iterator[Finding]:
    tls = config.server.tls
    if tls is not None:
        for name, file in (("cert", tls.cert), ("key", tls.key)):
            if not file:
                yield f"server.tls.{name}", "expected a PEM file; certificate and key go together"
            elif not Path(file).is_file():
                yield f"server.tls.{name}", f"no file {file}"
    for index, network in enumerate(config.server.trusted_proxies):
        try:
            ipaddress.ip_network(network)
        except ValueError:
            yield f"server.trusted_proxies[{index}]", f"expected a network such as 10.0.0.0/8 or ::1, got {shown(network)}"


def _provider(name: str, options: ProviderOptions, known: tuple[Vendor, ...]) -> Iterator[Finding]:
    path = f"providers.{name}"
    if not _PROVIDER_NAME.fullmatch(name):
        yield path, "a provider's name has lower-case letters, digits, `-`, `_` and `.` only"
    elif name in RESERVED:
        yield path, f"the gateway's own paths begin with /{name}; choose another name"
    dialect = options.dialect or name
    vendor = next((vendor for vendor in known if vendor.name == dialect), None)
    if vendor is None:
        near = did_you_mean(dialect, (v.name for v in known))
        if options.dialect:
            yield f"{path}.dialect", f"no dialect {shown(dialect)}{near}"
        else:
            yield path, f"the name is none of a dialect, so the entry needs `dialect`{near}"
    elif not (options.base_url or vendor.base_url):
        try:
            if not vendor.address(options):
                yield path, f"`{vendor.needs}` is needed: {vendor.name} has no address of its own without it"
        except ValueError as error:
            yield path, str(error)
    if options.base_url:
        yield from _url(f"{path}.base_url", options.base_url, credentials="`api_key`")
    if options.api_key and options.api_keys:
        yield f"{path}.api_keys", "credentials stand in `api_key` or in `api_keys`, not in both"
    if options.api_keys and (options.token_file or options.token_command):
        yield f"{path}.api_keys", "a token of `token_file` or `token_command` takes the place of keys"
    if not all(options.api_keys):
        yield f"{path}.api_keys", "one of these keys is empty"
    if options.token_file and options.token_command:
        yield f"{path}.token_command", "a token comes from `token_file` or from `token_command`, not from both"
    if options.ca_file and not Path(options.ca_file).is_file():
        yield f"{path}.ca_file", f"no file {options.ca_file}"
    for header in options.headers:
        if not _HEADER_NAME.fullmatch(header):
            yield f"{path}.headers", "a header's name has letters, digits and `-` only"
        elif header.lower() in _FRAMING:
            yield f"{path}.headers.{header}", "this header is the gateway's own to set"


def _url(path: str, url: str, credentials: str) -> Iterator[Finding]:
    """`credentials`: the option they belong into; empty where the URL may hold them. The URL itself is quoted with care."""
    try:
        parts = urllib.parse.urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or re.search(r"\s", url):
        yield path, f"expected a URL such as https://host or http://host:port/base, got {shown(url)}"
    elif parts.query or parts.fragment:
        yield path, "expected a URL without `?` and `#`"
    elif credentials and "@" in parts.netloc:
        yield path, f"expected a URL without a name and password; the credential goes into {credentials}"


def _loops(config: Config, known: tuple[Vendor, ...]) -> Iterator[Finding]:
    try:
        address = parse_address(config.server.listen)
    except ValueError:
        return
    for name, options in config.providers.items():
        vendor = next((vendor for vendor in known if vendor.name == (options.dialect or name)), None)
        try:
            parts = urllib.parse.urlsplit(options.base_url or (vendor.base_url if vendor else ""))
            port = parts.port or (443 if parts.scheme == "https" else 80)
            here = Address(host=parts.hostname or "").loopback and port == address.port != 0 and not address.path
        except ValueError:
            continue
        if here and (address.loopback or address.host in ("", "0.0.0.0", "::")):
            variable = f" (is {vendor.urls[0]} meant for the apps?)" if vendor and vendor.urls else ""
            yield f"providers.{name}.base_url", f"this is the gateway's own address{variable}"


def _names(config: Config, known: tuple[Vendor, ...]) -> Iterator[Finding]:
    models, providers = config.models, config.providers
    if models.default_provider and models.default_provider not in providers:
        hint = _unconfigured(models.default_provider, known) or did_you_mean(models.default_provider, providers)
        yield "models.default_provider", f"no provider {shown(models.default_provider)} is configured{hint}"
    served = {model for options in providers.values() for model in options.models}
    targets = [(f"models.aliases.{name}", target) for name, target in models.aliases.items()]
    for table, chains in (("fallbacks", models.fallbacks), ("larger_context", models.larger_context)):
        for name, chain in chains.items():
            targets += [(f"models.{table}.{name}[{index}]", target) for index, target in enumerate(chain)]
    for name, balanced in models.balance.items():
        targets += [(f"models.balance.{name}.targets.{target}", target) for target in balanced.targets]
        if not balanced.targets:
            yield f"models.balance.{name}", "expected `targets`, such as `{azure-east/gpt-4o: 3, openai/gpt-4o: 1}`"
        for target, weight in balanced.targets.items():
            if weight < 0:
                yield f"models.balance.{name}.targets.{target}", f"expected a weight of 0 or more, got {weight:g}"
            elif target in models.balance or models.aliases.get(target) in models.balance:
                yield f"models.balance.{name}.targets.{target}", "a balanced name cannot be among the targets of another"
    for path, target in targets:
        provider, slash, model = target.partition("/")
        if not target or (slash and not (provider and model)):
            yield path, "expected a model, or `provider/model`"
        elif slash and provider not in providers and target not in served:
            unconfigured = _unconfigured(provider, known)
            near = did_you_mean(provider, providers)
            if unconfigured or near.startswith("; did"):
                yield path, f"no provider {shown(provider)} is configured{unconfigured or near}"
    for name in models.aliases:
        seen, at = {name}, models.aliases[name]
        while at in models.aliases and at not in seen:
            seen.add(at)
            at = models.aliases[at]
        if at == name:
            yield f"models.aliases.{name}", "this alias leads back to itself"


def _unconfigured(name: str, known: tuple[Vendor, ...]) -> str:
    vendor = next((vendor for vendor in known if vendor.name == name), None)
    if vendor is None:
        return ""
    variables = vendor.keys or vendor.urls
    return f"; set {variables[0]} or add it under `providers`" if variables else "; add it under `providers`"


def _keys(config: Config) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    names: dict[str, int] = {}
    for index, options in enumerate(config.keys):
        path = f"keys[{index}]"
        if options.hash and not _HASH.fullmatch(options.hash):
            yield f"{path}.hash", "expected `sha256:` and 64 lower-case hex digits"
            continue
        if bool(options.key) == bool(options.hash):
            yield path, "expected one of `key` and `hash`" + (", got both" if options.key else ", got neither")
            continue
        digest = _digest(options)
        if digest in seen:
            yield path, f"the same key as keys[{seen[digest]}]"
        seen.setdefault(digest, index)
        if options.name and options.name in names:
            yield f"{path}.name", f"the same name as keys[{names[options.name]}]; logs and metrics could not tell them apart"
        names.setdefault(options.name, index)
        for at, provider in enumerate(options.providers):
            if provider not in config.providers:
                yield f"{path}.providers[{at}]", f"no provider {shown(provider)} is configured{did_you_mean(provider, config.providers)}"


def _digest(options: KeyOptions | AdminKeyOptions) -> str:
    """As an entry's `hash` has it."""
    return options.hash or "sha256:" + hashlib.sha256(options.key.reveal().encode()).hexdigest()


def _admin(config: Config) -> Iterator[Finding]:
    admin = config.admin
    address: Address | None = None
    try:
        address = parse_address(admin.listen)
    except ValueError as error:
        yield "admin.listen", f"expected {error}, got {shown(admin.listen)}"
    if admin.keys and address is not None and _same_place(address, config.server.listen):
        yield "admin.listen", "the admin API needs an address of its own, not the one of `server.listen`"
    apps = {_digest(options) for options in config.keys if options.key or options.hash}
    seen: set[str] = set()
    names: set[str] = set()
    for index, options in enumerate(admin.keys):
        path = f"admin.keys[{index}]"
        if options.hash and not _HASH.fullmatch(options.hash):
            yield f"{path}.hash", "expected `sha256:` and 64 lower-case hex digits"
            continue
        if bool(options.key) == bool(options.hash):
            yield path, "expected one of `key` and `hash`" + (", got both" if options.key else ", got neither")
            continue
        digest = _digest(options)
        if digest in apps:
            yield path, "this is also the key of an app, under `keys`; each secret has one purpose"
        if digest in seen:
            yield path, "the same key stands in `admin.keys` already"
        if options.name and options.name in names:
            yield f"{path}.name", "another key of `admin.keys` has this name; the audit record could not tell them apart"
        if address is not None and not address.loopback and _publicly_known(options):
            yield path, f"this key is a publicly known default, and {address} can be reached from other machines"
        seen.add(digest)
        names.add(options.name)


def _same_place(address: Address, listen: str) -> bool:
    """Whether two listeners would want the same socket. A port of 0 is any."""
    try:
        other = parse_address(listen)
    except ValueError:
        return False
    if address.path or other.path:
        return address.path == other.path
    hosts = {"127.0.0.1" if host == "localhost" else host for host in (address.host, other.host)}
    return address.port == other.port != 0 and (len(hosts) == 1 or bool(hosts & {"", "0.0.0.0", "::"}))


def _prices(config: Config) -> Iterator[Finding]:
    if config.prices == PriceOptions():
        return  # nothing was added to the catalogue that ships with edgegate
    try:
        Prices.load(config.prices)
    except PriceError as error:
        yield error.path, error.text


def _idempotency(config: Config) -> Iterator[Finding]:
    for index, stage in enumerate(config.chain):
        options = stage.options
        if isinstance(options, IdempotencyOptions) and options.file:
            file = Path(options.file)
            path = f"chain[{index}].idempotency.file"
            if file.is_dir():
                yield path, f"expected a file, {file} is a directory"
            elif not file.parent.is_dir():
                yield path, f"no directory {file.parent}"


def _nearest(places: Mapping[str, Place], path: str, source: str) -> Place:
    while path:
        if path in places:
            return places[path]
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return Place(source)
