"""What the pages say is true: their links lead somewhere, and their example runs."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    broken = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert broken == []


def test_the_readme_has_the_commands_that_ci_runs():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in ("install", "docs", "test", "emulated"):
        assert re.search(rf"<!-- ci: {name} -->\n```sh\n.+?\n```", text, re.DOTALL)


def test_the_readme_example_runs(tmp_path, monkeypatch, capsys):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    first, second = re.findall(r"```python\n(.+?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(first, names)
    assert (tmp_path / "fc5.safetensors").is_file()
    assert names["curve"].accuracy[0] > 0.95
    assert names["pruner"].sparsity == pytest.approx(0.9, abs=1e-5)
    assert "0." in capsys.readouterr().out
    exec(second, names)
    assert callable(names["cube"])
