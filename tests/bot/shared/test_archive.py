"""ZIP files of a bounded size."""

import io
from zipfile import ZipFile

from hypothesis import given
from hypothesis import strategies as st

from bot.shared.archive import Archives


@given(
    files=st.lists(st.tuples(st.binary(max_size=600), st.booleans()), max_size=12),
    file_bytes=st.integers(0, 1_500),
    total_bytes=st.integers(0, 4_000),
    count=st.integers(1, 4),
)
def test_what_is_put_in_is_there_and_no_bound_is_passed(
    files: list[tuple[bytes, bool]], file_bytes: int, total_bytes: int, count: int
) -> None:
    archives = Archives(file_bytes=file_bytes, total_bytes=total_bytes, count=count)
    put = {
        f"bild-ä-{number}": data
        for number, (data, packed) in enumerate(files)
        if archives.add(f"bild-ä-{number}", data, packed=packed)
    }
    made = archives.close()
    assert len(made) <= count
    assert all(len(one) <= file_bytes for one in made)
    assert sum(map(len, made)) <= total_bytes
    found: dict[str, bytes] = {}
    for one in made:
        with ZipFile(io.BytesIO(one)) as archive:
            assert archive.testzip() is None
            found |= {name: archive.read(name) for name in archive.namelist()}
    assert found == put


def test_another_is_begun_only_when_one_is_full() -> None:
    archives = Archives(file_bytes=1_000, total_bytes=10_000, count=3)
    assert [archives.add(str(number), bytes(400)) for number in range(7)] == [True] * 6 + [False]
    assert len(archives.close()) == 3
