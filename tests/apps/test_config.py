"""`rtbrain config`: checks a file, prints a schema."""

import json
from pathlib import Path

from tests.apps.program import refused, rtbrain


def test_a_file_that_works_is_called_by_its_kind(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("stream: {name: patient}\nthreads: 2\n")
    done = rtbrain("config", "check", mine)
    assert done.returncode == 0
    assert "mine.yaml: valid settings of kind decode" in done.stdout
    assert 'backlog "latest"' in done.stdout


def test_a_file_that_cannot_work_is_refused_in_one_line(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("stream: {nme: patient}\n")
    assert "did you mean name?" in refused("config", "check", mine)
    mine.write_text("mode: linear\n")
    assert "bundle" in refused("config", "check", mine, "--kind", "decode")


def test_the_schema_of_a_kind_refuses_unknown_keys() -> None:
    schema = json.loads(rtbrain("config", "schema", "decode").stdout)
    assert schema["additionalProperties"] is False
    assert "stream" in schema["properties"]
