"""What is spelled in two ways and means one thing has one digest; what earlier versions hashed is known."""

from hashlib import sha256

import pytest

from coregpt.lab.study.identity import canonical, settled
from coregpt.lab.study.meaning import digest_of, digests_of, source_name


@pytest.mark.parametrize("source", ["ok", "./ok", "ok/", "/data/ok", "../ok", "~/ok"])
def test_a_folder_is_called_by_its_name(source: str) -> None:
    assert source_name(source) == "ok"


@pytest.mark.parametrize("source", ["pydocs", "fineweb10B", ".", ".."])
def test_what_has_no_other_name_keeps_it(source: str) -> None:
    assert source_name(source) == source


def test_only_zeros_are_settled() -> None:
    assert canonical(settled({"a": [-0.0, (1, 1.0)], "b": True, "c": None, "d": -1e-300})) == canonical(
        {"a": [0.0, [1, 1.0]], "b": True, "c": None, "d": -1e-300}
    )


def test_a_declaration_without_other_spellings_has_the_digest_that_it_always_had() -> None:
    plain = {"arms": {"a": {"data": {"source": "pydocs"}}}, "seeds": [0, 1]}
    assert digests_of(plain) == {digest_of(plain)} == {sha256(canonical(plain)).hexdigest()}
    spelled = {"arms": {"a": {"data": {"source": "/x/ok"}}}, "seeds": [0, 1]}
    assert digests_of(spelled) == {digest_of(spelled), sha256(canonical(spelled)).hexdigest()}
    assert len(digests_of(spelled)) == 2
