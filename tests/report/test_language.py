"""Two languages, one page: the same words in both, numbers and punctuation as each writes them."""

import re

import pytest

from minidl import report
from minidl.records import LANGUAGES
from minidl.report import wording
from minidl.report.claims import BEYOND, CLAIMS
from minidl.report.language import NARROW, count, listed, say, speaking, words
from minidl.report.verdict import points
from tests.report.synthetic import write_study
from tests.report.test_page import Page

OTHERS = LANGUAGES[1:]


def shown(page):
    """Its text, with the spaces that no line breaks at."""
    return re.sub("[ \n]+", " ", "".join(page.words))


def placeholders(text):
    return sorted(set(re.findall(r"{(\w+)}", text)))


@pytest.mark.parametrize("language", OTHERS)
def test_each_language_has_the_same_keys_and_places(language):
    ours, theirs = words("en"), words(language)
    assert [*theirs] == [*ours]  # in the same order, so that the files are read side by side
    assert {key: placeholders(text) for key, text in theirs.items()} == {
        key: placeholders(text) for key, text in ours.items()
    }


@pytest.mark.parametrize("language", OTHERS)
def test_tags_are_the_same_and_nothing_is_left_in_english(language):
    for key, text in words("en").items():
        other = words(language)[key]
        assert re.findall(r"</?\w+", other) == re.findall(r"</?\w+", text)
        if len(re.findall(r"\b[a-z]{2,}", re.sub(r"{\w+}", "", text))) > 4 and not key.startswith("methods."):
            assert other != text, key


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_claim_has_its_words(language):
    found = words(language)
    for name in CLAIMS | BEYOND:
        assert f"claim.{name}" in found
        assert len(found[f"short.{name}"]) <= 44  # what a slide has room for
        for verdict in ("holds", "fails", "undecided"):
            assert f"answer.{name}.{verdict}" in found


def test_every_word_that_is_asked_for_is_there(tmp_path):
    """What the code says by a key that stands in it whole."""
    import minidl

    package = tmp_path.__class__(minidl.__file__).parent / "report"
    said = [text for path in package.rglob("*") if path.suffix in (".py", ".jinja") for text in asked_in(path)]
    assert len(said) > 200
    assert [key for key in said if key not in words("en") and not key.endswith("_")] == []  # "page.run_" ~ column


def asked_in(path):
    return re.findall(r'\b(?:say|tell)\("([a-z_0-9A-Z]+(?:\.[a-z_0-9A-Z]+)*)"', path.read_text(encoding="utf-8"))


def test_french_writes_numbers_as_the_french_do():
    with speaking("fr"):
        assert wording.percent(0.8534) == "85,3"
        assert wording.effect(-0.031, -0.052, 0.011) == (
            f"{wording.MINUS}3,1 [{wording.MINUS}5,2{NARROW}; +1,1] points de pourcentage"
        )
        assert wording.p_value(0.0123) == "= 0,012"
        assert wording.large(11181642) == "11,2 M"
        assert points(0.0123) == "+1,2"
        assert say("label.sparsity", part="50") == f"parcimonie 50{NARROW}%"
        assert [count(n, "seed") for n in (0, 1, 2)] == ["0 graine", "1 graine", "2 graines"]
        assert listed(["a", "b", "c"]) == "a, b et c"
    assert [count(n, "seed") for n in (0, 1, 2)] == ["0 seeds", "1 seed", "2 seeds"]
    assert wording.percent(0.8534) == "85.3"


def test_a_language_that_is_not_there():
    with pytest.raises(ValueError, match="language is 'de': choose from en, fr"), speaking("de"):
        pass


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Both pages of a study whose claims.csv is that of its results."""
    folder = write_study(tmp_path_factory.mktemp("both"), figures=("9", "11", "12b", "13a"), images=300, claims=False)
    report.write_claims(folder)
    slides = report.write_slides(folder)
    assert report.write_page(folder) == folder / "index.html"
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in ("index.html", "index.fr.html")}
    return folder, slides, texts, {name: Page(text) for name, text in texts.items()}


def test_both_pages_have_the_same_parts(pages):
    _, _, _, (english, french) = *pages[:3], pages[3].values()
    sections = [[name for name in page.ids if not re.search(r"-(line)?\d+-", name)] for page in (english, french)]
    assert sections[0] == sections[1]
    assert "claims" in sections[0]
    assert french.tags == english.tags
    assert [*french.references] != english.references  # each leads to the other
    assert "index.fr.html" in english.references
    assert "index.html" in french.references


def test_each_says_its_language(pages):
    texts = pages[2]
    assert '<html lang="en">' in texts["index.html"]
    assert '<html lang="fr">' in texts["index.fr.html"]
    assert '<link rel="alternate" hreflang="fr" href="index.fr.html">' in texts["index.html"]
    assert '<link rel="alternate" hreflang="en" href="index.html">' in texts["index.fr.html"]


def test_french_text_is_set_as_french_is(pages):
    text = shown(pages[3]["index.fr.html"])
    text = re.sub(r"python experiments\S+|--\S+|\b[\w-]*seed\d+[\w-]*|This page in English|C\d [?] ", "", text)
    assert len(text) > 20_000
    assert re.findall(r"\d\.\d+ ?(?:%|±|\[)", text) == []
    assert re.findall(r".{9} [;:?!%»].{3}", text) == []  # a plain space, at which a line may break
    assert re.findall(r".{9}\w[;?!%»](?!\w).{3}", text) == []  # none at all
    assert f"Le rapport{NARROW}:" in text
    for word in ("Whether", "3 seeds", "The report", "accuracy under", "undecided", "networks are", "30 epochs"):
        assert word not in text


def test_the_answer_comes_first_and_is_that_of_the_table(pages):
    folder, _, _, parsed = pages
    rows = {row["claim"]: row for row in report.Results.load(folder).claims}
    for language, name in (("en", "index.html"), ("fr", "index.fr.html")):
        with speaking(language):
            told, text = say("page.claims"), shown(parsed[name])
            assert text.index(told) < text.index(say("page.networks_finished"))
            for claim in ("C2", "C5", "C7", "C9"):
                row = rows[claim]
                assert wording.effect(row["effect"], row["low"], row["high"]) in text
                assert say(f"claim.{claim}") in text
    assert 'class="asked"' in pages[2]["index.fr.html"]
    assert 'lang="en">' not in re.sub(r'<a href="index.html".*?</a>', "", pages[2]["index.fr.html"])  # all is said anew


def test_a_verdict_of_another_time_keeps_its_words(tmp_path):
    """What claims.csv says is shown, and in its own language where the results do not say it any more."""
    write_study(tmp_path, figures=("9",), images=50)
    report.write_page(tmp_path)
    french = (tmp_path / "index.fr.html").read_text(encoding="utf-8")
    assert '<span lang="en">made up</span>' in french
    assert 'class="asked"' not in french


def test_the_slide_is_a_picture_for_a_wall(pages):
    from PIL import Image

    slides = pages[1]
    assert [path.name for path in slides] == ["summary.png", "summary.fr.png"]
    pictures = [Image.open(path).convert("RGB") for path in slides]
    for picture in pictures:
        assert picture.size == (1920, 1080)
        edge = [picture.getpixel((x, y)) for x in (2, 1917) for y in range(0, 1080, 3)]
        assert set(edge) == {(255, 255, 255)}  # nothing is cut off
        colours = {colour for _, colour in picture.getcolors(1 << 20)}
        assert (207, 227, 243) in colours  # what is asked for
    assert pictures[0].tobytes() != pictures[1].tobytes()


def test_without_claims_there_is_no_slide(tmp_path):
    write_study(tmp_path, figures=("9",), seeds=(0,), images=20, claims=False)
    (tmp_path / "summary.png").write_bytes(b"old")
    assert report.write_slides(tmp_path) == []
    assert not (tmp_path / "summary.png").exists()
