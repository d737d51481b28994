"""JSON: exact, canonical, separated from time, and strict about what it reads."""

import json

import pytest

from coregpt.contract.errors import ConfigError
from coregpt.report.analysis.summary import summarise
from coregpt.report.facts.model import Report
from coregpt.report.facts.serialise import from_json, to_json
from tests.report.studies import report, run, study
from tests.report.verdicts.test_compare import base, shifted


def example() -> Report:
    return report({"gpt": base(8), "up": shifted(0.03, 8), "odd": [None, *shifted(0.0, 8)[1:]]})


def test_a_report_survives_the_round_trip_byte_for_byte():
    text = to_json(example())
    assert to_json(from_json(text)) == text
    assert json.loads(text)["schema"] == 1


def test_values_keep_every_bit():
    found = from_json(to_json(example()))
    assert [r.value for r in found.runs] == [r.value for r in example().runs]


def test_numbers_that_are_not_finite_are_strings_and_the_text_is_strict_json():
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    data = json.loads(to_json(example()), parse_constant=refuse)
    curve = next(r for r in data["runs"] if r["status"] == "diverged")["curve"]
    assert curve[-1][-1] == "NaN"


def test_two_executions_differ_under_timing_only():
    def execution(speed: float) -> dict:
        runs = [
            run(a, s, v, speed=speed)
            for a, col in (("gpt", base()), ("ngpt", shifted(0.02)))
            for s, v in enumerate(col)
        ]
        slow = [r.timing.model_copy(update={"seconds": tuple(x * speed for x in r.timing.seconds)}) for r in runs]
        timed = [r.model_copy(update={"timing": t}) for r, t in zip(runs, slow, strict=True)]
        return json.loads(to_json(summarise(study(), timed)))

    first, second = execution(100.0), execution(7.0)
    assert first.pop("timing") != second.pop("timing")
    assert first == second
    assert not any(word in json.dumps(first) for word in ("seconds", "per_second", "peak_memory", "time_ratio"))


def test_a_truncated_file_is_named_as_such():
    with pytest.raises(ConfigError, match=r"out/report\.json: not complete JSON .*truncated or damaged"):
        from_json(to_json(example())[:5000], "out/report.json")


@pytest.mark.parametrize("text", ["[]", "{}", '"hello"', '{"metrics": 1}', "null"])
def test_a_foreign_file_is_not_taken_for_a_report(text: str):
    with pytest.raises(ConfigError, match=r"report\.json: not a CoreGPT report"):
        from_json(text)


def test_a_newer_schema_asks_for_an_upgrade():
    with pytest.raises(ConfigError, match=r"schema 2, this one reads 1"):
        from_json('{"schema": 2}')


@pytest.mark.parametrize("schema", ["0", '"1"', "true", "null", "1.5"])
def test_a_schema_that_is_no_version_is_refused(schema: str):
    with pytest.raises(ConfigError, match="schema"):
        from_json(f'{{"schema": {schema}}}')


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [
        (("study", "alpha"), "high", r"study\.alpha"),
        (("comparisons", 0, "verdict"), "great", r"comparisons\.0\.verdict"),
        (("runs", 0, "curve"), [[1, 2]], r"runs\.0\.curve"),
        (("extra",), 1, "extra"),
        (("design", "extra"), 1, r"design\.extra"),
    ],
)
def test_a_damaged_key_is_named(path: tuple, value: object, key: str):
    data = json.loads(to_json(example()))
    spot = data
    for step in path[:-1]:
        spot = spot[step]
    spot[path[-1]] = value
    with pytest.raises(ConfigError, match=rf"report\.json: {key}"):
        from_json(json.dumps(data))


def test_a_run_left_out_of_the_file_is_an_error():
    data = json.loads(to_json(example()))
    data["runs"].pop()
    with pytest.raises(ConfigError, match="every arm with every seed"):
        from_json(json.dumps(data))


def test_deeply_nested_text_is_an_error_not_a_crash():
    with pytest.raises(ConfigError):
        from_json("[" * 100_000)


def test_every_run_stands_on_a_line_of_its_own_with_sorted_keys_whether_it_diverged_or_not():
    lines = to_json(example()).splitlines()
    begin = lines.index('"runs": [') + 1
    found = [json.loads(line.rstrip(",")) for line in lines[begin : lines.index("],", begin)]]
    assert [(run["arm"], run["seed"]) for run in found] == [(run.arm, run.seed) for run in example().runs]
    assert {run["status"] for run in found} == {"finished", "diverged"}
    assert all(list(run) == sorted(run) for run in found)
