"""The page of training steps keeps what was measured elsewhere."""

from pathlib import Path

from benchmarks.overhead_page import known, page, publish
from benchmarks.pages import RESULTS, cpu_kind


def record(date: str) -> dict:
    facts = {"processor": "a CPU", "bf16 in hardware": "no", "precision": "fp32", "torch": "2"}
    steps = {"4x128": {"plain fp32": {"times_faster": [1.0, 1.0, 1.0], "ms": 30.0}}}
    return {"date": date, "facts": facts, "step": steps}


def test_a_measurement_replaces_its_own_kind_and_no_other(tmp_path: Path) -> None:
    publish("Intel, AVX512", record("2020-01-01"), tmp_path)
    publish("AMD, AVX2", record("2020-01-02"), tmp_path)
    text = publish("AMD, AVX2", record("2020-01-03"), tmp_path)
    assert text == (tmp_path / "overhead.md").read_text()
    assert "2020-01-01" in text
    assert "2020-01-02" not in text
    assert "2020-01-03" in text
    assert list(known(tmp_path)) == ["AMD, AVX2", "Intel, AVX512"]
    assert "### 4 rows of 128 tokens" in text


def test_the_committed_page_is_made_of_the_committed_numbers() -> None:
    assert "\n".join(page(known())) + "\n" == (RESULTS / "overhead.md").read_text()


def test_the_kind_of_this_processor_has_a_maker_and_its_vectors() -> None:
    maker, _, vectors = cpu_kind().partition(", ")
    assert maker in ("AMD", "Intel", "Apple", "other")
    assert vectors
