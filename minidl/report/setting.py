"""What of the report's setting is another here: a row for each thing, the report's and this study's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .language import decimal, has, listed, say
from .reported import BATCHES, LEVELS, MODELS
from .results import Results


def setting_rows(results: Results) -> list[dict[str, Any]]:
    """``what``, ``report``, ``here`` and whether they are the ``same``; without what a study does not say."""
    settings, figures = results.study.get("settings", {}), results.figures.values()
    counts = sorted({row["count"] for row in results.rows})
    methods = dict.fromkeys(results.method(name) for name in results.figures)
    rows = [
        ("images", say("setting.size_unknown"), _images(settings)),
        ("batches", _numbers(BATCHES), _numbers(sorted({figure["batch_size"] for figure in figures}))),
        *_levels(results),
        ("seeds", say("setting.seeds_report"), str(len(settings["seeds"])) if settings.get("seeds") else ""),
        ("attacked", say("setting.fifth"), _numbers(counts)),
        ("attacks", say("method.fgsm"), listed([say(f"method.{method}") for method in methods])),
        ("figures", say("setting.report_figures"), say("comma").join([*results.figures, *results.transfers])),
    ]
    told = [{"what": say(f"setting.{what}"), "report": theirs, "here": here} for what, theirs, here in rows]
    return [row | {"same": row["report"] == row["here"]} for row in told + _recipes(results, settings) if row["here"]]


def _images(settings: dict[str, Any]) -> str:
    """ "Imagenette, 64 px", and whose images have another size."""
    data, crop = settings.get("data"), settings.get("crop")
    if not (isinstance(data, str) and has(f"data.{data}") and isinstance(crop, int)):
        return ""
    told = [say("setting.pixels", data=say(f"data.{data}"), pixels=crop)]
    for model, name in MODELS.items():
        recipe = settings.get(model)
        own = recipe.get("pixels") if isinstance(recipe, dict) else None
        told += [say("setting.pixels_own", model=name, pixels=own)] if own and own != crop else []
    return say("semicolon").join(told)


def _levels(results: Results) -> Iterable[tuple[str, str, str]]:
    """What was varied, of the kinds that the study has."""
    names = {"sparsity": "sparsities", "low_rank": "ranks", "temperature": "temperatures"}
    for varied, name in names.items():
        shown = [figure["figure"] for figure in results.figures.values() if figure["varied"] == varied]
        rows = [row for figure in shown for row in results.rows_of(figure)]
        levels = dict.fromkeys(row[varied] for row in rows)
        if levels:
            yield name, _told(varied, LEVELS[varied]), _told(varied, levels)


def _told(varied: str, levels: Iterable[Any]) -> str:
    if varied == "low_rank":
        return say("comma").join(say("setting.none_alike") if level == "none" else str(level) for level in levels)
    return _numbers(100 * level if varied == "sparsity" else level for level in levels)


def _numbers(values: Iterable[float]) -> str:
    return say("comma").join(decimal(f"{value:g}") for value in values)


def _recipes(results: Results, settings: dict[str, Any]) -> list[dict[str, str]]:
    """How each model that the study has was trained."""
    rows = []
    for model in dict.fromkeys(figure["model"] for figure in results.figures.values()):
        recipe = settings.get(model)
        if model in MODELS and isinstance(recipe, dict) and {"epochs", "lr"} <= set(recipe):
            here = say("setting.recipe_here", epochs=recipe["epochs"], rate=decimal(str(recipe["lr"])))
            what = say("setting.recipe", model=MODELS[model])
            rows.append({"what": what, "report": say("setting.unknown"), "here": here})
    return rows
