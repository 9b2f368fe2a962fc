"""YAML text as a tree of scalars, lists and mappings that remember where they were written. Nothing is interpreted here.

Built from PyYAML's parse events, not its loader: scalars stay text (so `on`, `010` or `1:30` mean what the option's type says,
not what YAML 1.1 guesses), no tag is ever resolved, a name given twice is an error, and hostile input is bounded: nesting by
`MAX_DEPTH`, and the number of nodes, aliases expanded, by `MAX_NODES`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from edgegate.config.problems import Place, Problem, shown_name

MAX_DEPTH = 64
MAX_NODES = 100_000
MAX_BYTES = 1 << 20


@dataclass(slots=True)
class Scalar:
    """`plain`: written without quotes. `literal`: no substitution is made in it (it comes from outside already)."""

    place: Place
    text: str
    plain: bool = True
    literal: bool = False

    @property
    def empty(self) -> bool:
        return self.plain and self.text in ("", "~", "null", "Null", "NULL")


@dataclass(slots=True)
class Listing:
    place: Place
    items: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Table:
    place: Place
    entries: dict[str, Node] = field(default_factory=dict)
    names: dict[str, Place] = field(default_factory=dict)

    def put(self, name: str, node: Node) -> None:
        self.entries[name] = node
        self.names[name] = node.place


Node = Scalar | Listing | Table


class _Refused(Exception):
    def __init__(self, place: Place, text: str) -> None:
        super().__init__(text)
        self.problem = Problem(place, "", text)


@dataclass(slots=True)
class _Frame:
    """A collection under construction, with the number of nodes in it and the height of the tallest."""

    node: Listing | Table
    anchor: str | None
    size: int = 1
    height: int = 1
    name: str | None = None
    name_place: Place | None = None
    merges: list[Node] = field(default_factory=list)


def parse(text: str, source: str) -> tuple[Table | None, list[Problem]]:
    """The document's top mapping (None if there is none) and what is wrong with the text. After a syntax error the rest of
    the file is not known, so that is the last problem."""
    builder = _Builder(source)
    try:
        builder.build(text)
    except _Refused as refused:
        builder.problems.append(refused.problem)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(source) if mark is None else Place(source, mark.line + 1, mark.column + 1)
        inline = mark is not None and text[max(mark.index - 1, 0) : mark.index + 1] == "${"
        hint = "; quote a value with `${...}` inside [ ] and { }" if inline else ""
        builder.problems.append(Problem(place, "", f"not YAML: {error.problem or error.context}{hint}"))
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = Place(source, before.count("\n") + 1, error.position - before.rfind("\n"))
        builder.problems.append(Problem(place, "", "not YAML: a control character"))
    root = builder.root
    if isinstance(root, Table):
        return root, builder.problems
    if root is not None and not (isinstance(root, Scalar) and root.empty):
        builder.problems.append(Problem(root.place, "", "expected named sections such as `providers:` at the top"))
    return None, builder.problems


class _Builder:
    def __init__(self, source: str) -> None:
        self.problems: list[Problem] = []
        self.root: Node | None = None
        self._source = source
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[Node, int, int]] = {}

    def build(self, text: str) -> None:
        documents = 0
        for event in _events(text):
            mark = event.start_mark
            place = Place(self._source) if mark is None else Place(self._source, mark.line + 1, mark.column + 1)
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _Refused(place, "a second document: one file holds one configuration")
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event.anchor, place)
            elif isinstance(event, yaml.ScalarEvent):
                self._no_tag(event.tag, place)
                scalar = Scalar(place, event.value, plain=event.style is None)
                if event.anchor:
                    self._anchors[event.anchor] = (scalar, 1, 1)
                self._add(scalar, 1, 1)
            elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
                self._no_tag(event.tag, place)
                if len(self._stack) >= MAX_DEPTH:
                    raise _Refused(place, f"nested deeper than {MAX_DEPTH} levels")
                node = Listing(place) if isinstance(event, yaml.SequenceStartEvent) else Table(place)
                if event.anchor:
                    self._anchors.pop(event.anchor, None)
                self._stack.append(_Frame(node, event.anchor))
            elif isinstance(event, yaml.CollectionEndEvent):
                self._close()

    def _no_tag(self, tag: str | None, place: Place) -> None:
        if tag is not None:
            self.problems.append(Problem(place, "", "tags (`!...`) are not used here"))

    def _alias(self, anchor: str | None, place: Place) -> None:
        known = self._anchors.get(anchor or "")
        if known is None:
            inside = any(frame.anchor == anchor for frame in self._stack)
            raise _Refused(place, f"`*{anchor}` stands inside its own anchor" if inside else f"`*{anchor}` has no anchor above it")
        node, size, height = known
        if len(self._stack) + height > MAX_DEPTH:
            raise _Refused(place, f"nested deeper than {MAX_DEPTH} levels")
        self._add(node, size, height)

    def _close(self) -> None:
        frame = self._stack.pop()
        if isinstance(frame.node, Table):
            self._merge(frame.node, frame.merges)
        if frame.anchor:
            self._anchors[frame.anchor] = (frame.node, frame.size, frame.height)
        self._add(frame.node, frame.size, frame.height)

    def _add(self, node: Node, size: int, height: int) -> None:
        if not self._stack:
            self.root = node
            return
        frame = self._stack[-1]
        frame.size += size
        frame.height = max(frame.height, height + 1)
        if frame.size > MAX_NODES:
            raise _Refused(node.place, f"more than {MAX_NODES} values, aliases expanded")
        if isinstance(frame.node, Listing):
            frame.node.items.append(node)
        elif frame.name_place is None:
            frame.name_place = node.place
            if isinstance(node, Scalar):
                frame.name = node.text
            else:
                self.problems.append(Problem(node.place, "", "a name must be plain text"))
        else:
            self._entry(frame, frame.node, node)
            frame.name = frame.name_place = None

    def _entry(self, frame: _Frame, table: Table, node: Node) -> None:
        name, place = frame.name, frame.name_place
        if name is None or place is None:
            return
        if name == "<<":
            frame.merges.extend(node.items if isinstance(node, Listing) else [node])
        elif name in table.entries:
            first = table.names[name]
            self.problems.append(Problem(place, "", f"`{shown_name(name)}` is given twice (first in line {first.line})"))
        else:
            table.entries[name] = node
            table.names[name] = place

    def _merge(self, table: Table, merges: list[Node]) -> None:
        for other in merges:
            if not isinstance(other, Table):
                self.problems.append(Problem(other.place, "", "`<<` takes a mapping, or a list of them"))
                continue
            for name, node in other.entries.items():
                if name not in table.entries:
                    table.entries[name] = node
                    table.names[name] = other.names[name]


def _events(text: str) -> Iterator[yaml.Event]:
    yield from yaml.parse(text, Loader=yaml.SafeLoader)
