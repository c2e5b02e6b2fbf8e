"""index.html of the demo: one file that needs nothing else, neither network nor neighbours."""
from __future__ import annotations

import base64
import html
import json
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lisa_ros.cli.demo.checks import box_center, rotation_matrix
from lisa_ros.cli.demo.inputs import DemoInput
from lisa_ros.cli.demo.record import Answer, png_bytes
from lisa_ros.cli.demo.summary import size_text

SCENE_POINTS = 40_000
TARGET_POINTS = 20_000
HERE = Path(__file__).parent


def write_page(path: Path, shown: DemoInput, answers: Sequence[Answer], facts: Mapping[str, Any]) -> None:
    """Write the page: facts, table, and one card per question with overlay, mask, cloud, box and times."""
    template = string.Template((HERE / "page.html").read_text(encoding="utf-8"))
    text = template.substitute(
        title=_text(shown.title),
        lead=_lead(answers),
        facts="".join(f"<div><dt>{_text(k)}</dt><dd>{_text(v)}</dd></div>" for k, v in _facts(facts).items()),
        note=f'<p class="note"><strong>Please note.</strong> {_text(shown.note)}</p>' if shown.note else "",
        frame=_picture(shown.frame.color, "jpg"),
        depth=_depth_figure(shown.frame),
        rows="".join(_row(q, answer) for q, answer in enumerate(answers)),
        cards="".join(_card(q, answer) for q, answer in enumerate(answers)),
        checks=_all_checks(answers),
        css=(HERE / "page.css").read_text(encoding="utf-8"),
        js=(HERE / "page.js").read_text(encoding="utf-8"),
        data=json.dumps(_clouds(shown, answers)),
    )
    path.write_text(text, encoding="utf-8")


def _text(value: object) -> str:
    return html.escape(str(value))


def _lead(answers: Sequence[Answer]) -> str:
    known = [answer for answer in answers if answer.query.truth is not None]
    right = sum(answer.reply.result is not None and answer.found != answer.query.absent for answer in known)
    failed = sum(not check.passed for answer in answers for check in answer.checks)
    count = sum(len(answer.checks) for answer in answers)
    found, lifted = (sum(map(bool, kinds)) for kinds in zip(*((a.found, a.point_count) for a in answers), strict=True))
    parts = [f"{len(answers)} questions went to the node as plain text."]
    parts.append(f"It found something for {found} of them, and lifted {lifted} to a cloud and a box.")
    if known:
        parts.append(f"{right} of {len(known)} are right about whether the target is there.")
    parts.append(f"All {count} consistency checks held." if not failed else f"{failed} of {count} consistency checks failed.")
    return _text(" ".join(parts))


def _facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    shown = {key: facts[key] for key in ("scene", "picture", "model", "device", "mode") if facts.get(key)}
    shown["node ready after"] = f"{facts['ready_seconds']:.1f} s"
    return shown


def _picture(image: np.ndarray, kind: str) -> str:
    """An image as a data address; "jpg" for photographs, "png" for masks."""
    import cv2

    if kind == "png":
        return "data:image/png;base64," + base64.b64encode(png_bytes(image)).decode()
    data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


def _depth_figure(frame: Any) -> str:
    if frame.depth is None:
        return ""
    import cv2

    depth = frame.depth
    valid = np.isfinite(depth) & (depth > 0)
    near, far = np.percentile(depth[valid], (1, 99)) if valid.any() else (0.0, 1.0)
    level = np.clip((depth - near) / max(far - near, 1e-6), 0, 1)
    colored = cv2.applyColorMap((255 * (1 - np.nan_to_num(level))).astype(np.uint8), cv2.COLORMAP_VIRIDIS)[:, :, ::-1].copy()
    colored[~valid] = 0
    holes = 100 * (1 - valid.mean())
    return (
        f'<figure><img src="{_picture(colored, "jpg")}" alt="depth image">'
        f"<figcaption>depth, {near:.2f} m (yellow) to {far:.2f} m (violet); {holes:.1f} % holes (black)</figcaption></figure>"
    )


def _verdict(answer: Answer) -> str:
    """Class of the found? chip: bad when it points at nothing or misses something, good when it also has the right pixels."""
    if answer.query.truth is None or answer.reply.result is None:
        return "plain"
    if answer.found == answer.query.absent:
        return "bad"
    return "good" if answer.iou is None or answer.iou >= 0.5 else "plain"


def _iou(answer: Answer) -> str:
    return "–" if answer.iou is None else f"{answer.iou:.2f}"


def _row(q: int, answer: Answer) -> str:
    result = answer.reply.result
    cells = (
        f'<td><a href="#q{q}">{_text(answer.query.text)}</a></td>',
        f"<td>{_answer(answer)}</td>",
        f'<td><span class="chip {_verdict(answer)}">{_text(answer.found_text)}</span></td>',
        f'<td class="num">{_iou(answer)}</td>',
        f'<td class="num">{answer.point_count or "–"}</td>',
        f'<td class="num">{"<br>".join(_text(size_text(size)) for size in answer.box_sizes) or "–"}</td>',
        f'<td class="num">{1000 * answer.engine_seconds:.0f}</td>',
        f'<td class="num">{1000 * answer.reply.seconds:.0f}</td>' if result else "<td>–</td>",
    )
    return f"<tr>{''.join(cells)}</tr>"


def _answer(answer: Answer) -> str:
    """The model's text; its target token stands out."""
    result = answer.reply.result
    text = _text((result.answer or result.message) if result else "no result")
    return text.replace("[SEG]", '<span class="seg">[SEG]</span>')


def _card(q: int, answer: Answer) -> str:
    reply = answer.reply
    views = []
    if reply.overlay is not None:
        views.append(("overlay", _picture(reply.overlay, "jpg")))
    if reply.mask is not None:
        views.append(("mask", _picture(reply.mask, "png")))
    if answer.query.truth is not None and answer.query.truth.any():
        views.append(("truth", _picture(answer.query.truth.astype(np.uint8) * 255, "png")))
    buttons = "".join(f'<button type="button" data-view="{name}">{name}</button>' for name, _ in views)
    images = "".join(f'<img data-view="{name}" src="{src}" alt="{name}: {_text(answer.query.text)}">' for name, src in views)
    pictures = f'<div class="pictures"><div class="tabs">{buttons}</div>{images}</div>' if views else ""
    if reply.points is not None:
        cloud = (
            f'<div class="cloud"><canvas data-cloud="{q}" tabindex="0" role="img" aria-label="target cloud of '
            f'{_text(answer.query.text)}"></canvas><span class="hint">drag to turn, scroll to zoom</span></div>'
        )
    else:
        cloud = f'<div class="cloud empty"><p>{_text(_no_cloud(answer))}</p></div>'
    return (
        f'<article id="q{q}"><header><span class="kind">{_text(answer.query.kind)}</span><h2>{_text(answer.query.text)}</h2>'
        f'<p class="answer">{_answer(answer)}</p></header><div class="views">{pictures}{cloud}</div>'
        f'<dl class="figures">{_figures(answer)}</dl>{_stages(answer)}</article>'
    )


def _no_cloud(answer: Answer) -> str:
    if answer.reply.result is None:
        return "No result came."
    if not answer.found:
        return "Nothing was found, so there is nothing to lift."
    return answer.reply.result.message or "Nothing could be lifted: no depth inside the mask."


def _figures(answer: Answer) -> str:
    result = answer.reply.result
    figures = {
        "found?": f'<span class="chip {_verdict(answer)}">{_text(answer.found_text)}</span>',
        "mask IoU": _iou(answer),
        "p([SEG])": f"{result.target_probability:.2f}" if result else "–",
        "pixels": f"{int(np.count_nonzero(answer.reply.mask)):,}" if answer.reply.mask is not None else "–",
        "points": f"{answer.point_count:,}" if answer.point_count else "–",
        "3D box": "<br>".join(_text(size_text(size)) + " m" for size in answer.box_sizes) or "–",
    }
    if answer.box_sizes:
        figures["distance"] = f"{float(np.median(np.linalg.norm(answer.reply.points, axis=1))):.2f} m"
    return "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in figures.items())


def _stages(answer: Answer) -> str:
    """A bar of the stages' shares of the time from query to result, as the client saw it."""
    stages = [(stage, seconds) for stage, seconds in answer.stages.items() if seconds > 0]
    total = max(answer.reply.seconds, sum(seconds for _, seconds in stages), 1e-9)
    rest = total - sum(seconds for _, seconds in stages)
    parts = [*enumerate(stages), (-1, ("transport", rest))]
    bars = "".join(
        f'<i class="s{n % 8 if n >= 0 else "rest"}" style="width:{100 * seconds / total:.2f}%" '
        f'title="{_text(stage)} {1000 * seconds:.1f} ms"></i>'
        for n, (stage, seconds) in parts
    )
    legend = "".join(
        f'<li><i class="s{n % 8 if n >= 0 else "rest"}"></i>{_text(stage)} <b>{1000 * seconds:.1f}</b> ms</li>'
        for n, (stage, seconds) in parts
    )
    return f'<div class="time"><div class="bar">{bars}</div><ul>{legend}<li class="sum"><b>{1000 * total:.0f}</b> ms in all</li></ul></div>'


def _all_checks(answers: Sequence[Answer]) -> str:
    groups = []
    for answer in answers:
        items = "".join(
            f'<li class="{"held" if check.passed else "failed"}">{_text(check.claim)}'
            f'{f" <small>{_text(check.detail)}</small>" if check.detail else ""}</li>'
            for check in answer.checks
        )
        groups.append(f"<section><h3>{_text(answer.query.text)}</h3><ul>{items}</ul></section>")
    return "".join(groups)


def _clouds(shown: DemoInput, answers: Sequence[Answer]) -> dict[str, Any]:
    """Everything the viewer draws: the scene once, each target's points and box edges; coordinates in millimetres."""
    data: dict[str, Any] = {"scene": _scene(shown.frame), "targets": {}}
    for q, answer in enumerate(answers):
        if answer.reply.points is None:
            continue
        points, colors = _thin(answer.reply.points, answer.reply.colors, TARGET_POINTS)
        boxes = [_corners(instance) for instance in answer.reply.result.instances if instance.point_count]
        center = np.median(answer.reply.points, axis=0)
        radius = float(np.percentile(np.linalg.norm(answer.reply.points - center, axis=1), 98))
        data["targets"][q] = {
            **_packed(points, colors),
            "boxes": [np.rint(1000 * corners).astype(int).tolist() for corners in boxes],
            "center": np.rint(1000 * center).astype(int).tolist(),
            "radius": round(1000 * radius),
        }
    return data


def _scene(frame: Any) -> dict[str, str]:
    """The whole frame as a cloud, thinned."""
    from lisa_ros.geometry.depth import resample

    camera = frame.depth_camera
    if camera is None:
        return _packed(np.zeros((0, 3)), np.zeros((0, 3)))
    step = max(1, int(np.sqrt(frame.depth.size / SCENE_POINTS)))
    points = camera.back_project(frame.depth)[::step, ::step].reshape(-1, 3)
    colors = resample(frame.color, *frame.depth.shape)[::step, ::step].reshape(-1, 3)
    valid = np.isfinite(points).all(axis=1) & (points[:, 2] > 0) & (points[:, 2] < 30)
    return _packed(points[valid], colors[valid])


def _thin(points: np.ndarray, colors: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    step = -(-len(points) // most)
    return points[::step], colors[::step]


def _packed(points: np.ndarray, colors: np.ndarray) -> dict[str, str]:
    """Points as int16 millimetres and colours as bytes, base64, little endian."""
    xyz = np.clip(np.rint(1000 * np.asarray(points)), -32767, 32767).astype("<i2")
    return {
        "xyz": base64.b64encode(xyz.tobytes()).decode(),
        "rgb": base64.b64encode(np.asarray(colors).astype(np.uint8).tobytes()).decode(),
    }


def _corners(instance: Any) -> np.ndarray:
    """Corners of an instance's box, [8,3] metres; bit 0, 1, 2 of the row number says which end of axis 0, 1, 2."""
    ends = np.array([[(row >> axis) & 1 for axis in range(3)] for row in range(8)]) - 0.5
    size = np.array([instance.box_size.x, instance.box_size.y, instance.box_size.z])
    return box_center(instance) + (ends * size) @ rotation_matrix(instance.box_pose.orientation).T
