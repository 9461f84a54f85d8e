"""Headers of safetensors files: any bytes give tensors or a CheckpointError, nothing else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save, save_file

from sdxl_engine import CheckpointError
from sdxl_engine.checkpoint.safetensors_file import DTYPES, ROWS, StoredTensor, read_header

GOOD = save({"a": np.ones((2, 3), np.float32), "b": np.zeros(4, np.float16)}, {"format": "pt"})


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One path for all examples of a property: each writes it anew."""
    return tmp_path_factory.mktemp("files") / "weights.safetensors"


def encode(header: bytes, data: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def read_all(path: Path, data: bytes) -> dict[str, StoredTensor] | None:
    """The tensors, each read once; None for a CheckpointError that names the file."""
    path.write_bytes(data)
    try:
        tensors = read_header(path)
        for tensor in tensors.values():
            if tensor.dtype in DTYPES:
                assert tensor.read().shape == tensor.shape
    except CheckpointError as error:
        if path.name not in str(error):
            raise
        return None
    return tensors


def test_a_good_file(path: Path) -> None:
    tensors = read_all(path, GOOD)
    assert tensors is not None
    assert {name: tensor.shape for name, tensor in tensors.items()} == {"a": (2, 3), "b": (4,)}
    np.testing.assert_array_equal(tensors["a"].read(), np.ones((2, 3), np.float32))


def test_a_file_without_tensors(path: Path) -> None:
    save_file({}, path)
    assert read_header(path) == {}


@pytest.mark.parametrize("shape", [(0,), (0, 3), (5,), (1_000_000,), (40_003, 9), (2, 300_000)])
def test_blocks_are_the_tensor_in_pieces(path: Path, shape: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    save_file({"before": np.ones(3, np.float32), "values": values}, path)
    tensor = read_header(path)["values"]
    pieces = [block.copy() for block in tensor.blocks()]  # the next comes in the same memory
    assert all(len(piece) % ROWS == 0 for piece in pieces[:-1])
    np.testing.assert_array_equal(np.concatenate([values[:0], *pieces]), values)


@pytest.mark.parametrize(
    "header",
    [
        b"not json",
        b"[1, 2]",
        b"[" * 200_000,
        b'{"a": 1}',
        b'{"a": []}',
        b'{"a": {"dtype": "F32"}}',
        b'{"a": {"dtype": "F32", "shape": [1e999], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [true], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": ["1"], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": "1", "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [false, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 8]}}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "I64", "shape": [], "data_offsets": [4, 0]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},'
        b' "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}',
    ],
)
def test_a_damaged_header_is_named(path: Path, header: bytes) -> None:
    path.write_bytes(encode(header, bytes(4)))
    with pytest.raises(CheckpointError, match=r"weights\.safetensors has a damaged header"):
        read_header(path)


def layout(*spans: tuple[int, int]) -> bytes:
    header = {
        str(index): {"dtype": "I8", "shape": [last - first], "data_offsets": [first, last]}
        for index, (first, last) in enumerate(spans)
    }
    return encode(json.dumps(header).encode(), bytes(8))


@pytest.mark.parametrize(
    "spans",
    [
        [(0, 8)],
        [(4, 8), (0, 4)],
        [(0, 0), (0, 8), (8, 8)],
        [(0, 3), (3, 3), (3, 8)],
    ],
)
def test_tensors_lie_side_by_side(path: Path, spans: list[tuple[int, int]]) -> None:
    assert read_all(path, layout(*spans)) is not None


@pytest.mark.parametrize(
    "spans",
    [
        [(1, 8)],
        [(0, 3), (4, 8)],
        [(0, 5), (4, 8)],
        [(0, 8), (0, 8)],
        [(0, 8), (4, 4)],
        [(0, 7)],
        [(0, 9)],
        [],
    ],
)
def test_gaps_overlaps_and_ends_elsewhere(path: Path, spans: list[tuple[int, int]]) -> None:
    assert read_all(path, layout(*spans)) is None


def test_a_header_that_claims_the_whole_disk(path: Path) -> None:
    path.write_bytes((2**62).to_bytes(8, "little") + b"{}")
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        read_header(path)


def test_a_tensor_whose_file_is_gone_or_cut(path: Path) -> None:
    path.write_bytes(GOOD)
    tensor = read_header(path)["b"]
    path.write_bytes(GOOD[:-1])
    for read in (tensor.read, lambda: list(tensor.blocks())):
        with pytest.raises(CheckpointError, match="truncated"):
            read()
    path.unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        tensor.read()
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_header(path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_header(path.parent)


@given(st.binary(max_size=100))
def test_any_bytes(path: Path, data: bytes) -> None:
    read_all(path, data)


@given(st.binary(max_size=60))
def test_any_header(path: Path, header: bytes) -> None:
    read_all(path, encode(header, bytes(8)))


@given(st.data())
def test_any_bytes_changed_in_a_good_file(path: Path, data: st.DataObject) -> None:
    damaged = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 3))):
        first = data.draw(st.integers(0, len(damaged)))
        last = first + data.draw(st.integers(0, 4))
        damaged[first:last] = data.draw(st.binary(max_size=4) | st.sampled_from([b"9", b"-", b"["]))
    read_all(path, bytes(damaged))


sides = st.integers(-1, 3) | st.sampled_from([2**31, 2**62, 2**63, 10**30, 1e999, 1.0, True, None])
offsets = st.integers(-1, 9) | st.sampled_from([24, 32, 10**30, np.nan, "0", False])
changes: dict[str, st.SearchStrategy[Any]] = {
    "dtype": st.sampled_from(["F32", "F16", "BF16", "I64", "BOOL", "x", None, 1, [], {}]),
    "shape": st.lists(sides, max_size=4) | st.just([1] * 100) | st.none() | st.integers(),
    "data_offsets": st.lists(offsets, max_size=3) | st.none(),
}


@given(st.data(), st.sampled_from(["a", "b"]))
def test_any_value_changed_in_a_good_header(path: Path, data: st.DataObject, name: str) -> None:
    length = int.from_bytes(GOOD[:8], "little")
    header = json.loads(GOOD[8 : 8 + length])
    for key in data.draw(st.sets(st.sampled_from(sorted(changes)), min_size=1)):
        header[name][key] = data.draw(changes[key])
    read_all(path, encode(json.dumps(header).encode(), GOOD[8 + length :]))


@pytest.mark.timeout(10)
@pytest.mark.parametrize("shape", [[9**900] * 3_000, [0] * 10**6, [0, 2**64]])
def test_a_shape_that_no_tensor_has(path: Path, shape: list[int]) -> None:
    """It is not multiplied: of many large numbers that takes minutes."""
    header = {"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}
    path.write_bytes(encode(json.dumps(header).encode()))
    with pytest.raises(CheckpointError, match="damaged header"):
        read_header(path)


@pytest.mark.parametrize("change", [lambda shape: [0, *shape], lambda shape: [*shape, 0]])
@pytest.mark.parametrize("shape", [[2**62, 2**62], [10**30], [1] * 100])
def test_an_empty_tensor_of_an_impossible_shape(
    path: Path, shape: list[int], change: Callable[[list[int]], list[int]]
) -> None:
    header = {"a": {"dtype": "F32", "shape": change(shape), "data_offsets": [0, 0]}}
    assert read_all(path, encode(json.dumps(header).encode())) is None
