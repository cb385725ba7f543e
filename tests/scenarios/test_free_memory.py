import sys

import pytest

from scenarios.bench.endurance import resident_bytes
from scenarios.free_memory import return_free_memory


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the C library is another")
def test_what_was_freed_between_what_is_kept_goes_back():
    blocks = [bytes(3000) for _ in range(60_000)]
    kept = blocks[::200]  # the heap cannot shrink from its end alone
    del blocks
    held = resident_bytes()
    return_free_memory()
    assert len(kept) == 300
    assert resident_bytes() < held - 100e6
