"""The command line. `edgegate` alone is `edgegate run`.

Exit codes: 0 done, 1 the configuration has problems or the work failed, 2 the command itself was wrong, 130 interrupted. What a
user can mend is said in sentences on standard error, never as a traceback. The server is imported only by the command that
needs it, so that the others start at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgegate import __version__
from edgegate.admin.commands import add_commands
from edgegate.config.discover import vendor_defaults, vendors
from edgegate.config.load import find, load, read
from edgegate.config.model import Config
from edgegate.config.problems import ConfigError
from edgegate.config.schema import schema_text
from edgegate.config.show import show
from edgegate.config.variables import OTHERS, VARIABLES
from edgegate.ledger.prices import Prices, Rate

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None, env: Mapping[str, str] | None = None) -> int:
    """Runs one command and returns its exit code. The arguments and the environment are the process's own unless given."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    variables = os.environ if env is None else env
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help", "--version")):
        words.insert(0, "run")
    try:
        options = _parser().parse_args(words)
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else USAGE
    try:
        code: int = options.command(options, variables)
        sys.stdout.flush()
    except ConfigError as error:
        _complain(error)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `edgegate env | head`: nobody reads on, and the exit must not try to flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    return code


def _run(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    flags = _flags(options)
    config = load(options.config, env, flags)
    serve = importlib.import_module("edgegate.server.main").serve
    return int(serve(config, lambda: load(options.config, env, flags), options.config or find(env)))


def _simulate(options: argparse.Namespace, _: Mapping[str, str]) -> int:
    return int(importlib.import_module("edgegate.simulate.main").serve(options.host, options.port))


def _check(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    loaded = read(options.config, env)
    if loaded.problems:
        raise ConfigError(loaded.problems)
    config = loaded.config
    print(f"{loaded.file or 'no configuration file'}: no problems")
    print(f"chain: {' -> '.join(stage.name for stage in config.chain)}")
    print(f"providers: {', '.join(config.providers) or 'none; set OPENAI_API_KEY or another variable of `edgegate env`'}")
    return OK


def _config_show(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    print(show(load(options.config, env)), end="")
    return OK


def _config_schema(_: argparse.Namespace, __: Mapping[str, str]) -> int:
    print(schema_text(), end="")
    return OK


def _env(_: argparse.Namespace, env: Mapping[str, str]) -> int:
    """Every variable that is honoured; `*` marks those that are set. Values are not shown: many are credentials."""
    rows = [(variable.name, variable.doc) for variable in (*OTHERS, *VARIABLES)]
    for vendor in vendors():
        rows += [(name, f"Key of {vendor.name}, which needs no entry in the file then.") for name in vendor.keys]
        rows += [(name, f"Address of {vendor.name} instead of {vendor.base_url or 'a public one'}.") for name in vendor.urls]
        rows += [
            (name, f"`{option}` of {vendor.name}, where its entry has none.")
            for option, names in vendor.variables.items()
            for name in names
        ]
    width = max(len(name) for name, _ in rows)
    for name, doc in rows:
        print(f"{'*' if env.get(name) else ' '} {name:<{width}}  {doc}")
    return OK


def _models(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    """What the configuration says about models; no provider is asked."""
    config = load(options.config, env)
    prices = Prices.load(config.prices)
    if not config.providers:
        print("No provider is configured: set OPENAI_API_KEY or another variable of `edgegate env`, or add one to the file.")
    for name, provider in config.providers.items():
        vendor = vendor_defaults(provider.dialect or name)
        prefixes = provider.prefixes or (vendor.prefixes if vendor else ())
        print(f"{name}: {', '.join(f'{prefix}*' for prefix in prefixes) or 'by name only'}")
        for model in (*provider.models, *provider.deployments):
            print(f"  {name}/{model}  {_price(prices.rate(model, name, provider.dialect or name))}")
    _aliases(config)
    return OK


def _aliases(config: Config) -> None:
    for alias, target in config.models.aliases.items():
        print(f"{alias} = {target}")
    for model, targets in config.models.fallbacks.items():
        print(f"{model}, or else {', '.join(targets)}")


def _price(rate: Rate | None) -> str:
    return "price unknown" if rate is None else f"${rate.input / 1e6:g} in, ${rate.output / 1e6:g} out per million tokens"


def _replay(options: argparse.Namespace, _: Mapping[str, str]) -> int:
    module = importlib.import_module("edgegate.server.replay")
    try:
        for line in module.replay(options.file, options.provider, options.client):
            print(line)
    except module.ReplayError as error:
        print(f"edgegate: {error}", file=sys.stderr)
        return FAILED
    return OK


def _version(_: argparse.Namespace, __: Mapping[str, str]) -> int:
    print(f"edgegate {__version__}")
    return OK


def _flags(options: argparse.Namespace) -> dict[str, str]:
    given = {"--host": options.host, "--port": options.port, "--workers": options.workers, "--log-level": options.log_level}
    return {name: value for name, value in given.items() if value is not None}


def _complain(error: ConfigError) -> None:
    for problem in error.problems:
        print(problem, file=sys.stderr)
    count = len(error.problems)
    print(f"edgegate: {count} problem{'s' if count > 1 else ''} in the configuration", file=sys.stderr)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:6]) <= 65535):
        raise argparse.ArgumentTypeError("expected a port from 0 to 65535")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edgegate", description="A reverse proxy for LLM traffic.")
    parser.add_argument("--version", action="version", version=f"edgegate {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    file = argparse.ArgumentParser(add_help=False)
    file.add_argument("--config", "-c", type=Path, metavar="FILE", help="configuration file (default: looked up, see `edgegate env`)")

    run = commands.add_parser("run", parents=[file], help="serve; this is what `edgegate` alone does")
    run.add_argument("--host", help="host to listen on, in place of the one in server.listen")
    run.add_argument("--port", "-p", help="port to listen on, in place of the one in server.listen")
    run.add_argument("--workers", help="worker processes")
    run.add_argument("--log-level", help="debug, info, warning or error")
    run.set_defaults(command=_run)

    commands.add_parser("check", parents=[file], help="say what is wrong with the configuration").set_defaults(command=_check)

    config = commands.add_parser("config", help="show the configuration or its schema")
    about = config.add_subparsers(title="commands", metavar="COMMAND", required=True)
    about.add_parser("show", parents=[file], help="what takes effect, without secrets").set_defaults(command=_config_show)
    about.add_parser("schema", help="JSON Schema of config.yaml").set_defaults(command=_config_schema)

    commands.add_parser("env", help="every environment variable that is honoured").set_defaults(command=_env)
    commands.add_parser("models", parents=[file], help="providers, models, aliases and prices as configured").set_defaults(command=_models)

    add_commands(commands, file)

    simulate = commands.add_parser(
        "simulate",
        help="a provider for trying things out, without keys or cost",
        epilog="Delays and faults are asked for by the model's name, e.g. gpt-4o-slow-first-token-2 or gpt-4o-error-429.",
    )
    simulate.add_argument("--host", default="127.0.0.1")
    simulate.add_argument("--port", "-p", type=_port, default=8090)
    simulate.set_defaults(command=_simulate)

    again = commands.add_parser("replay", help="show what the dialects make of a recorded exchange")
    again.add_argument("file", type=Path, metavar="FILE", help="JSON with path, request, status and response")
    again.add_argument("--provider", default="", metavar="DIALECT", help="write the request for this provider, not the recorded one")
    again.add_argument("--client", default="", metavar="FORMAT", help="write the reply in this format, e.g. anthropic.messages")
    again.set_defaults(command=_replay)

    commands.add_parser("version", help="print the version").set_defaults(command=_version)
    return parser


if __name__ == "__main__":
    sys.exit(main())
