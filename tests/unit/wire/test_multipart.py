"""The model's field in a form: found wherever it stands, replaced without touching another byte."""

from __future__ import annotations

import pytest
from aiohttp import FormData
from aiohttp.multipart import MultipartWriter
from hypothesis import given
from hypothesis import strategies as st

from edgegate.wire.multipart import boundary_of, field_span

FORM = (
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n-- x\r\n'
    b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--x--\r\n'
)


def value(body: bytes, boundary: bytes, name: str) -> bytes | None:
    span = field_span(body, boundary, name)
    return None if span is None else body[span[0] : span[1]]


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('multipart/form-data; boundary="a b;c"', b"a b;c"),
        ("Multipart/Form-Data;charset=utf-8; boundary=abc; x=y", b"abc"),
        ("multipart/mixed; boundary=abc", None),
        ("multipart/form-data", None),
        ("application/json", None),
        ("", None),
    ],
)
def test_the_boundary_in_a_content_type(content_type: str, boundary: bytes | None) -> None:
    assert boundary_of(content_type) == boundary


def test_a_field_behind_a_file_is_found() -> None:
    assert value(FORM, b"x", "model") == b"whisper-1"
    assert value(FORM, b"x", "filename") is None


def test_a_preamble_and_an_empty_value_are_allowed() -> None:
    body = b"preamble\r\n--x\r\nContent-Disposition: form-data; name=model\r\n\r\n\r\n--x--"
    assert value(body, b"x", "model") == b""


@pytest.mark.parametrize("body", [b"", b"--x", b"--x--", b"--x\r\n", b"--x\r\nA: b", b"--x\r\n\r\nno end", b"\r\n--y\r\n\r\n1\r\n--y--"])
def test_what_is_no_form_has_no_field(body: bytes) -> None:
    assert field_span(body, b"x", "model") is None


@given(st.binary(max_size=200), st.binary(min_size=1, max_size=5))
def test_any_bytes_are_searched_without_an_error(body: bytes, boundary: bytes) -> None:
    span = field_span(b"--" + boundary + b"\r\n" + body, boundary, "model")
    assert span is None or 0 <= span[0] <= span[1] <= len(body) + len(boundary) + 4


@given(st.lists(st.tuples(st.sampled_from(["a", "file", "models", "model"]), st.text(min_size=1, max_size=20)), max_size=6))
async def test_the_first_field_of_the_name_in_forms_as_aiohttp_writes_them(fields: list[tuple[str, str]]) -> None:
    form = FormData(quote_fields=False)
    form.add_field("first", b"\x00\xff", filename="x.bin")
    for name, text in fields:
        form.add_field(name, text)
    written = form()
    assert isinstance(written, MultipartWriter)
    boundary = boundary_of(written.headers["Content-Type"])
    assert boundary is not None
    expected = next((text.encode() for name, text in fields if name == "model"), None)
    assert value(await written.as_bytes(), boundary, "model") == expected
