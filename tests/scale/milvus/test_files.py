import base64
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rar_agent.errors import DamagedDataError
from rar_agent.memory.format.manifest import FileRef
from rar_agent.scale.milvus import origin
from rar_agent.scale.milvus.files import CHUNK, chunk_count, chunk_key, chunks

SIZES = st.one_of(
    st.integers(0, 50),
    st.builds(lambda n, d: max(0, n * CHUNK + d), st.integers(0, 4), st.integers(-2, 2)),
)


@given(size=SIZES, fill=st.binary(min_size=1, max_size=7))
def test_chunks_are_the_file_and_fit_into_a_text(size, fill):
    data = (fill * (size // len(fill) + 1))[:size]
    texts = list(chunks(io.BytesIO(data)))
    assert len(texts) == chunk_count(size)
    assert b"".join(base64.b64decode(text) for text in texts) == data
    assert all(len(text.encode()) <= 65_535 for text in texts)


@pytest.fixture(scope="module")
def files(lite):
    found = origin(lite.address("files")).files
    found.make()
    return found


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=SIZES, seed=st.integers(0, 255), ends=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_what_is_put_is_read_whole_and_in_part(files, size, seed, ends):
    data = bytes((i * 7 + seed) % 251 for i in range(size))
    ref = FileRef(name=f"{seed:064x}.thing", size=size)
    files.drop(ref.name)
    files.put(ref, io.BytesIO(data))
    assert files.whole([ref]) == {ref.name}
    assert b"".join(files.read(ref)) == data
    start, end = sorted(int(end * size) for end in ends)
    assert b"".join(files.read(ref, start, end)) == data[start:end]


def test_a_file_that_is_not_whole_is_not_taken_for_one(files):
    data = b"x" * (2 * CHUNK + 5)
    ref = FileRef(name=f"{'a' * 64}.thing", size=len(data))
    files.put(ref, io.BytesIO(data[: 2 * CHUNK]))
    assert files.whole([ref]) == set()
    with pytest.raises(DamagedDataError, match=r"files_files .* is missing"):
        list(files.read(ref))
    files.put(ref, io.BytesIO(data))  # again
    assert b"".join(files.read(ref)) == data


@pytest.mark.parametrize("text", ["", "????", "eHh4", base64.b64encode(b"y" * 99).decode()])
def test_a_chunk_that_is_not_what_was_written(files, text):
    ref = FileRef(name=f"{'b' * 64}.thing", size=100)
    files.put_rows([(chunk_key(ref.name, 0), text)])
    with pytest.raises(DamagedDataError, match="is not what was written"):
        list(files.read(ref))


def test_files_are_dropped_alone(files):
    refs = [FileRef(name=f"{letter * 64}.thing", size=3) for letter in "cd"]
    for ref in refs:
        files.put(ref, io.BytesIO(b"abc"))
    assert {ref.name for ref in refs} <= files.names()
    files.drop(refs[0].name)
    assert refs[0].name not in files.names()
    assert b"".join(files.read(refs[1])) == b"abc"
