"""Wrong API keys at a gateway of several processes: one limit, and a count that is whole."""

import re

from proxy.models import WrongKeys
from proxy.tests.gateway import ALICE, eventually


def test_two_processes_have_one_limit_and_one_count(started, database):
    gateway = started(WEB_WORKERS=2, WRONG_KEYS_PER_ADDRESS=10)
    WrongKeys.objects.all().delete()
    statuses = [gateway.call("/v1/models", x_api_key=f"gw-{n}").status for n in range(40)]
    assert statuses == [401] * 10 + [429] * 30
    assert gateway.call("/api/conversations", key=ALICE).status == 200
    eventually(lambda: WrongKeys.objects.get().count == 40)
    page = gateway.call("/metrics").body.decode()
    figures = dict(re.findall(r'llmgateway_wrong_keys_total\{answer="(\w+)"\} (\S+)', page))
    assert {answer: float(number) for answer, number in figures.items()} == {
        "refused": 10,
        "paused": 30,
    }
    WrongKeys.objects.all().delete()
