"""A copy is served for seconds, read anew by one thread at a time, not served past its bound."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from conversations import aged_cache
from conversations.aged_cache import AgedCache

THREADS = 12


class Away(Exception):
    pass


class Source:
    """What is read: a number that grows with each read, so that each answer says which it was."""

    def __init__(self):
        self.reads, self.problem, self.takes = 0, None, 0.0
        self.open = threading.Event()  # a read ends when this is set
        self.open.set()
        self.begun = threading.Semaphore(0)  # released by each read that begins

    def read(self, key):
        self.reads += 1
        number, problem, gate = self.reads, self.problem, self.open
        self.begun.release()
        assert gate.wait(60)
        aged_cache.monotonic.now += self.takes
        if problem:
            raise problem
        return f"{key} {number}"


class Clock:
    now = 1000.0
    meanwhile = None  # what another thread does while one looks at the clock, once

    def __call__(self):
        now, meanwhile, self.meanwhile = self.now, self.meanwhile, None
        if meanwhile:
            meanwhile()
        return now


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(aged_cache, "monotonic", clock)
    return clock


@pytest.fixture
def source():
    return Source()


@pytest.fixture
def waiting():
    """Released by each thread that gives back what it holds.

    Before it waits, and when it has read.
    """
    return threading.Semaphore(0)


@pytest.fixture
def cache(source, waiting):
    return AgedCache(source.read, fresh=4, oldest=5, most=3, release=waiting.release)


@pytest.fixture
def threads():
    with ThreadPoolExecutor(THREADS) as threads:
        yield threads


def taken(semaphore, count):
    for _ in range(count):
        assert semaphore.acquire(timeout=60)


# Ages ---------------------------------------------------------------------------------------------


def test_a_fresh_copy_is_served_without_a_read(cache, source, clock):
    assert cache.get("a") == "a 1"
    clock.now += 3.9
    assert cache.get("a") == "a 1"
    assert source.reads == 1


@pytest.mark.parametrize("age", [4, 4.9, 5, 6, 1e6])
def test_an_older_one_is_read_anew(cache, clock, age):
    cache.get("a")
    clock.now += age
    assert cache.get("a") == "a 2"
    assert cache.get("a") == "a 2"


def test_between_the_two_ages_one_reads_and_the_others_take_the_copy(cache, source, clock, threads):
    cache.get("a")
    taken(source.begun, 1)
    clock.now += 4.5
    source.open.clear()
    reader = threads.submit(cache.get, "a")
    taken(source.begun, 1)
    assert {cache.get("a") for _ in range(THREADS)} == {"a 1"}
    source.open.set()
    assert reader.result(60) == "a 2"
    assert cache.get("a") == "a 2"
    assert source.reads == 2


@pytest.mark.parametrize("age", [None, 5, 20, 1e6])
def test_past_its_bound_all_wait_for_the_one_that_reads(
    cache, source, clock, threads, waiting, age
):
    before = 0
    if age is not None:
        cache.get("a")
        before = 1
        clock.now += age
        taken(source.begun, 1)
        taken(waiting, 1)
    source.open.clear()
    answers = [threads.submit(cache.get, "a") for _ in range(THREADS)]
    taken(source.begun, 1)
    taken(waiting, THREADS - 1)
    assert not any(answer.done() for answer in answers)
    source.open.set()
    assert {answer.result(60) for answer in answers} == {f"a {before + 1}"}
    assert source.reads == before + 1


def test_a_copy_that_came_of_age_while_it_is_read_anew_is_waited_for(
    cache, source, clock, threads, waiting
):
    cache.get("a")
    taken(source.begun, 1)
    taken(waiting, 1)
    clock.now += 4.5
    source.open.clear()
    reader = threads.submit(cache.get, "a")
    taken(source.begun, 1)
    assert cache.get("a") == "a 1"
    clock.now += 0.5
    late = threads.submit(cache.get, "a")
    taken(waiting, 1)
    source.open.set()
    assert (reader.result(60), late.result(60)) == ("a 2", "a 2")


def test_what_another_thread_has_just_read_is_not_read_again(cache, source, clock, threads):
    cache.get("a")
    clock.now += 5
    clock.meanwhile = lambda: threads.submit(cache.get, "a").result(60)
    assert cache.get("a") == "a 2"
    assert source.reads == 2


def test_an_age_counts_from_when_the_read_began(cache, source, clock):
    source.takes = 3.0
    cache.get("a")
    source.takes = 0.0
    clock.now += 1.0
    assert cache.get("a") == "a 2"


def test_a_read_that_began_too_long_ago_is_not_waited_for(cache, source, clock, threads):
    source.open.clear()
    slow = threads.submit(cache.get, "a")
    taken(source.begun, 1)
    clock.now += 5
    second = threads.submit(cache.get, "a")
    taken(source.begun, 1)
    source.open.set()
    assert (slow.result(60), second.result(60)) == ("a 1", "a 2")
    assert cache.get("a") == "a 2"


def test_no_read_replaces_a_later_one(cache, source, clock, threads):
    source.open.clear()
    slow = threads.submit(cache.get, "a")
    taken(source.begun, 1)
    slow_may_end, source.open = source.open, threading.Event()
    source.open.set()
    clock.now += 5
    assert cache.get("a") == "a 2"
    slow_may_end.set()
    assert slow.result(60) == "a 1"
    assert cache.get("a") == "a 2"


# Errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("age", [None, 5, 1e6])
def test_past_its_bound_all_have_the_readers_error(cache, source, clock, threads, waiting, age):
    if age is not None:
        cache.get("a")
        clock.now += age
        taken(source.begun, 1)
        taken(waiting, 1)
    source.problem = Away()
    source.open.clear()
    answers = [threads.submit(cache.get, "a") for _ in range(THREADS)]
    taken(source.begun, 1)
    taken(waiting, THREADS - 1)
    source.open.set()
    assert [type(answer.exception(60)) for answer in answers] == [Away] * THREADS


def test_after_an_error_the_next_reads(cache, source):
    source.problem = Away()
    for _ in range(2):
        with pytest.raises(Away):
            cache.get("a")
    source.problem = None
    assert cache.get("a") == "a 3"


def test_before_its_bound_a_copy_serves_where_the_read_fails(cache, source, clock):
    cache.get("a")
    source.problem = Away()
    clock.now += 4.9
    assert cache.get("a") == "a 1"
    clock.now += 0.1
    with pytest.raises(Away):
        cache.get("a")
    assert source.reads == 3


def test_a_read_that_fails_late_leaves_no_copy_to_serve(cache, source, clock):
    cache.get("a")
    source.problem, source.takes = Away(), 0.5
    clock.now += 4.5
    with pytest.raises(Away):
        cache.get("a")


@pytest.mark.parametrize("problem", [KeyboardInterrupt, SystemExit])
def test_no_thread_waits_for_one_that_was_ended(cache, source, problem):
    source.problem = problem()
    with pytest.raises(problem):
        cache.get("a")
    source.problem = None
    assert cache.get("a") == "a 2"


def test_what_gives_back_a_connection_may_fail(source):
    def fail():
        raise Away

    cache = AgedCache(source.read, release=fail)
    for _ in range(2):
        with pytest.raises(Away):
            cache.get("a")
    assert cache.last("a") is None


# Keys ---------------------------------------------------------------------------------------------


def test_a_key_waits_for_no_other(cache, source, threads):
    source.open.clear()
    slow = threads.submit(cache.get, "a")
    taken(source.begun, 1)
    slow_may_end, source.open = source.open, threading.Event()
    source.open.set()
    assert cache.get("b") == "b 2"
    slow_may_end.set()
    assert slow.result(60) == "a 1"


def test_there_are_never_more_than_so_many(cache, source, clock):
    for key in "abc":
        cache.get(key)
    clock.now += 4.5
    cache.get("a")
    cache.get("d")  # "b" was read longest ago
    assert [cache.last(key) for key in "abcd"] == ["a 4", None, "c 3", "d 5"]
    for number in range(100):
        cache.get(number)
    assert sum(cache.last(key) is not None for key in [*"abcd", *range(100)]) == 3


def test_what_was_read_last_is_told_without_a_read(cache, source, clock):
    assert cache.last("a") is None
    cache.get("a")
    clock.now += 1e6
    assert cache.last("a") == "a 1"
    assert source.reads == 1


def test_that_there_is_nothing_is_a_value_too():
    reads = []
    cache = AgedCache(reads.append)
    assert (cache.get("a"), cache.get("a"), reads) == (None, None, ["a"])


# Forgetting ---------------------------------------------------------------------------------------


def test_all_is_read_anew_after_forgetting(cache):
    for key in "ab":
        cache.get(key)
    cache.forget()
    assert [cache.last(key) for key in "ab"] == [None, None]
    assert [cache.get(key) for key in "ab"] == ["a 3", "b 4"]


def test_what_was_being_read_is_not_kept_and_not_waited_for(cache, source, threads):
    source.open.clear()
    before = threads.submit(cache.get, "a")
    taken(source.begun, 1)
    cache.forget()
    after = threads.submit(cache.get, "a")
    taken(source.begun, 1)
    source.open.set()
    assert (before.result(60), after.result(60)) == ("a 1", "a 2")
    assert cache.get("a") == "a 2"


def test_a_read_from_before_is_not_kept_where_no_other_followed(cache, source, threads):
    source.open.clear()
    before = threads.submit(cache.get, "a")
    taken(source.begun, 1)
    cache.forget()
    source.open.set()
    assert before.result(60) == "a 1"
    assert cache.last("a") is None
    assert cache.get("a") == "a 2"
