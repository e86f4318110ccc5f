"""A secret that the gateway makes for itself is one, however many come for it at once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from llmgateway import secret

AT_ONCE = 8


def test_threads_that_come_at_once_read_one_secret(tmp_path, monkeypatch):
    make, all_found_none = secret.make, Barrier(AT_ONCE)

    def make_late() -> str:
        all_found_none.wait(60)
        return make()

    monkeypatch.setattr(secret, "make", make_late)
    path = tmp_path / "var" / "key"
    with ThreadPoolExecutor(AT_ONCE) as threads:
        found = set(threads.map(secret.read_or_make, [path] * AT_ONCE))
    assert found == {path.read_text()}
    assert [*path.parent.iterdir()] == [path]
    assert path.stat().st_mode & 0o777 == 0o600
